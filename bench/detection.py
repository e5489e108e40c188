"""How much is caught and how much is wrongly stopped, per set, offline: python -m bench.detection HAM SPAM [PHISH].

Flagged is what the rules of a customer who wrote none don't deliver. Ham and spam are cross-validated: each message
is judged by a model that was trained as `gatepost train` does, on the other folds, and whatever belongs together lies
in one fold: a thread, equal subjects, near duplicates. PHISH is judged by the shipped model, or by `--model FILE`;
`--shipped` judges ham and spam by it too, for folders that it never learned from. `--peers` starts rspamd and
SpamAssassin beside it, asks them about a sample of each set, and ends them.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import random
import re
import statistics
import sys
import tempfile
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from bench import engines
from bench.report import table
from schemas.events import Action, Customer, Envelope, Verdict
from services.core.clock import SystemClock
from services.policy.decide import branches
from services.runtime.fakes_dns import FakeDns
from services.scanners import decide, fingerprints, run
from services.scanners.config import ScannersConfig
from services.scanners.contract import Context, Scanner
from services.scanners.facts import gather
from services.scanners.learned import model
from services.scanners.learned.train import build, example, parse
from services.scanners.mail import Mail
from services.scanners.ports import open_ports
from services.scanners.registry import choose

SEED = 7
ENVELOPE = Envelope(reverse_path="", recipients=("user1@example.test",), client_ip="")
CUSTOMER = Customer(id="bench")  # without rules of its own
NO_WORDS = re.compile(r"[\W\d_]+|\[[^\]]*\]|\b(?:re|fwd?|aw)\s*:")
MESSAGE_ID = re.compile(r"<[^<>\s]{3,250}>")


@dataclasses.dataclass(slots=True)
class Item:
    """A message of a set."""

    set: str
    mail: Mail
    name: str
    spam: bool
    fold: int = 0


def items(folder: Path, kind: str) -> list[Item]:
    """Return the folder's messages; file names before the first number tell its sets apart (easy-ham-1-00001.…)."""
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        prefix = re.match(r"easy-ham|hard-ham", path.name)
        name = prefix.group().replace("-", " ") if prefix else kind
        found.append(Item(name, parse(path.read_bytes()), path.name, kind == "spam"))
    return found


def fold(work: Sequence[Item], folds: int) -> int:
    """Put each item in a fold, what belongs together in the same one; return how many groups there are."""
    above: dict[int | str, int | str] = {}

    def head(one: int | str) -> int | str:
        while above.setdefault(one, one) != one:
            above[one] = above[above[one]]
            one = above[one]
        return one

    for number, item in enumerate(work):
        for sign in _signs(item.mail):
            above[head(sign)] = head(number)
    groups: defaultdict[int | str, list[Item]] = defaultdict(list)
    for number, item in enumerate(work):
        groups[head(number)].append(item)
    for group in groups.values():
        chosen = zlib.crc32(min(item.name for item in group).encode("utf-8", "replace")) % folds
        for item in group:
            item.fold = chosen
    return len(groups)


def _signs(mail: Mail) -> Iterable[str]:
    subject = NO_WORDS.sub(" ", mail.header("subject").lower()).strip()
    if subject:
        yield f"subject {subject}"
    for field in ("message-id", "in-reply-to", "references"):
        yield from MESSAGE_ID.findall(mail.header(field)[:2000])
    yield from fingerprints.of_text(gather(mail).words)


def trained(work: Sequence[Item], folds: int) -> dict[int, model.Model]:
    """Return for each fold a model that learned from the others."""
    known = [(item.fold, example(item.mail, spam=item.spam)) for item in work]
    return {
        each: model.load(build([one for at, one in known if at != each]), f"without fold {each}")
        for each in range(folds)
    }


async def ours(
    work: Sequence[Item], scanners: Sequence[Scanner], ctx: Callable[[Item], Context]
) -> tuple[list[str], dict[str, list[float]]]:
    """Return the rule that stopped each message, "" for none, and the milliseconds of CPU of each scanner for it."""
    stopped, spent = [], defaultdict(list)
    for item in work:
        began = time.process_time()
        mail = Mail(item.mail.received, item.mail.raw)
        _ = (mail.fields, mail.text, mail.html)  # every scanner shares these
        took = {"parsing": (time.process_time() - began) * 1000}
        answers: dict[str, Verdict] = {}
        for scanner in scanners:
            began = time.process_time()
            finding = await run.run(scanner, mail, ctx(item))
            took[scanner.SPEC.name] = (time.process_time() - began) * 1000
            answers[scanner.SPEC.name] = decide.verdict(scanner.SPEC, mail.received, finding, origin=0, now=0.0)
        for name, cpu in (*took.items(), ("all", sum(took.values()))):
            spent[name].append(cpu)
        stopped.append(by_default(mail, answers))
    return stopped, spent


def by_default(mail: Mail, answers: dict[str, Verdict]) -> str:
    """Return the default rule that keeps the message from its recipient, "" when it is delivered."""
    received = msgspec.structs.replace(mail.received, envelope=ENVELOPE)
    branch = branches(received, answers, CUSTOMER)[0]
    return "" if branch.action is Action.DELIVER else branch.rule


async def asked(sample: dict[str, list[bytes]]) -> dict[str, dict[str, str]]:
    """Return for each set what share of its sample each peer flagged."""
    shares: dict[str, dict[str, str]] = {name: {} for name in sample}
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        async with engines.rspamd(Path(folder)) as rspamd:
            for name, messages in sample.items():
                shares[name]["rspamd"] = _share(await engines.by_rspamd(rspamd, messages))
        async with engines.spamd(Path(folder)) as spamd:
            for name, messages in sample.items():
                shares[name]["SpamAssassin"] = _share(await engines.by_spamd(spamd, messages))
    return shares


def _share(flagged: list[bool]) -> str:
    return f"{sum(flagged) / len(flagged):.1%} of {len(flagged)}"


def arguments() -> argparse.Namespace:
    """Return the options; end with a line of usage for others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="HAM SPAM [PHISH]")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--model", default="")
    parser.add_argument("--shipped", action="store_true")
    parser.add_argument("--only", default="", help="scanners, separated by commas; all by default")
    parser.add_argument("--peers", action="store_true", help="ask rspamd and SpamAssassin, which must be installed")
    parser.add_argument("--peers-sample", type=int, default=150, help="messages of each set that they are asked about")
    options = parser.parse_args()
    if len(options.folders) not in {2, 3}:
        parser.error("HAM SPAM [PHISH]")
    return options


async def main() -> None:
    """Print the tables."""
    options = arguments()
    kinds = ("ham", "spam", "phishing")
    work = [each for folder, kind in zip(options.folders, kinds, strict=False) for each in items(folder, kind)]
    scanners = list(choose(tuple(filter(None, options.only.split(",")))).values())
    models: dict[int, model.Model] = {}
    if not options.shipped:
        validated = [item for item in work if item.set != "phishing"]
        groups = fold(validated, options.folds)
        print(f"{len(validated)} messages of ham and spam in {groups} groups, {options.folds} folds\n")
        models = trained(validated, options.folds)
    shipped = model.open_model(options.model)
    async with open_ports(ScannersConfig(), [each.SPEC for each in scanners], SystemClock()) as opened:
        offline = dataclasses.replace(opened, dns=FakeDns())

        def ctx(item: Item) -> Context:
            chosen = shipped if item.set == "phishing" else models.get(item.fold, shipped)
            return dataclasses.replace(offline, model=chosen)

        stopped, spent = await ours(work, scanners, ctx)
    sets = dict.fromkeys(item.set for item in work)
    sample: dict[str, list[bytes]] = {}
    for name in sets:
        sample[name] = [item.mail.raw for item in work if item.set == name]
        random.Random(SEED).shuffle(sample[name])  # noqa: S311  # a sample that repeats
        del sample[name][options.peers_sample :]
    shares = await asked(sample) if options.peers else {}
    rows = []
    for name in sets:
        rules = Counter(rule for item, rule in zip(work, stopped, strict=True) if item.set == name)
        count = sum(rules.values())
        hits = count - rules.pop("", 0)
        by = ", ".join(f"{rule} {number}" for rule, number in rules.most_common())
        peer = [shares.get(name, {}).get(each, "-") for each in ("rspamd", "SpamAssassin")]
        rows.append((name, str(count), str(hits), f"{hits / count:.2%}", *peer, by))
    print(table(("set", "messages", "flagged", "share", "rspamd", "SpamAssassin", "rules"), rows))
    print()
    cpu = [(name, f"{statistics.median(took):.2f}", f"{percentile(took):.1f}") for name, took in spent.items()]
    print(table(("check", "CPU ms, median", "99 %"), cpu))


def percentile(took: Sequence[float]) -> float:
    """Return the value below which 99 % lie."""
    return sorted(took)[int(len(took) * 0.99)]


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except engines.PeerMissing as error:
        sys.exit(f"bench.detection: {error}")
