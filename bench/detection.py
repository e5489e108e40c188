"""How much is caught and how much is wrongly stopped, per set, offline: python -m bench.detection HAM SPAM [PHISH].

Flagged is what the rules of a customer who wrote none don't deliver. Ham and spam are cross-validated: each message
is judged by a model that was trained on the other folds, and a thread or a mass mailing (same subject) lies in one
fold. PHISH is judged by the shipped model, or by `--model FILE`; `--shipped` judges ham and spam by it too, for folders
that it never learned from. Peers that already run are asked with `--rspamd http://HOST:PORT` and `--spamd HOST:PORT`.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import random
import re
import statistics
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp

from bench.report import table
from schemas.events import Status
from services.core.clock import SystemClock
from services.runtime.fakes_dns import FakeDns
from services.scanners import run
from services.scanners.config import ScannersConfig
from services.scanners.contract import Context, Scanner
from services.scanners.learned import fit, model
from services.scanners.learned.train import LEAST_SOURCES, example, parse
from services.scanners.mail import Mail
from services.scanners.ports import open_ports
from services.scanners.registry import choose

SEED = 7
STOPPED = {Status.VIRUS, Status.PHISHING, Status.SPAM}
NO_WORDS = re.compile(r"[\W\d_]+|\[[^\]]*\]|\b(?:re|fwd?|aw)\s*:")


@dataclasses.dataclass(slots=True)
class Item:
    """A message of a set."""

    set: str
    mail: Mail
    raw: bytes
    spam: bool
    fold: int


def items(folder: Path, kind: str, folds: int) -> list[Item]:
    """Return the folder's messages; file names before the first number tell its sets apart (easy-ham-1-00001.…)."""
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        raw = path.read_bytes()
        mail = parse(raw)
        subject = NO_WORDS.sub(" ", mail.header("subject").lower()).strip() or path.name
        prefix = re.match(r"(?:easy-ham|hard-ham|spam)", path.name)
        name = f"{kind}: {prefix.group()}" if prefix else kind
        found.append(Item(name, mail, raw, kind == "spam", zlib.crc32(subject.encode("utf-8", "replace")) % folds))
    return found


def trained(known: Sequence[fit.Example]) -> model.Model:
    """Return a model that learned from these."""
    names = fit.vocabulary(known, LEAST_SOURCES)
    weights, bias = fit.fit(known, names)
    spam = sum(one.spam for one in known)
    return model.load(model.dump(names, weights, bias, len(known) - spam, spam), "a fold")


async def ours(
    all_items: Sequence[Item], scanners: Sequence[Scanner], ctx: Callable[[Item], Context]
) -> tuple[list[bool], dict[str, list[float]]]:
    """Return whether each message was flagged, and the milliseconds of CPU of each scanner for each message."""
    flagged, spent = [], defaultdict(list)
    for item in all_items:
        mail = Mail(item.mail.received, item.mail.raw)
        hit, total = False, 0.0
        for scanner in scanners:
            began = time.process_time()
            finding = await run.run(scanner, mail, ctx(item))
            took = (time.process_time() - began) * 1000
            spent[scanner.SPEC.name].append(took)
            total += took
            hit = hit or finding.status in STOPPED or any(e.code == "DMARC_REJECT" for e in finding.evidence)
        spent["all"].append(total)
        flagged.append(hit)
    return flagged, spent


async def by_rspamd(url: str, raw: bytes) -> bool:
    """Return whether rspamd scores 6 or more, from which it adds its header."""
    headers = {"From": "bench@sender.bench.test", "Rcpt": "user1@example.test"}
    async with aiohttp.ClientSession() as session, session.post(url + "/checkv2", data=raw, headers=headers) as answer:
        return float((await answer.json(content_type=None))["score"]) >= 6.0


async def by_spamd(address: str, raw: bytes) -> bool:
    """Return whether SpamAssassin calls it spam (5 or more), by the protocol of spamc."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(raw) + raw)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return b"Spam: True" in answer


async def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="HAM SPAM [PHISH]")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--model", default="")
    parser.add_argument("--shipped", action="store_true")
    parser.add_argument("--only", default="", help="scanners, separated by commas; all by default")
    parser.add_argument("--rspamd", default="")
    parser.add_argument("--spamd", default="")
    parser.add_argument("--peers-sample", type=int, default=100)
    options = parser.parse_args()
    kinds = ("ham", "spam", "phishing")
    work = [
        each
        for folder, kind in zip(options.folders, kinds, strict=False)
        for each in items(folder, kind, options.folds)
    ]
    scanners = list(choose(tuple(filter(None, options.only.split(",")))).values())
    models: dict[int, model.Model] = {}
    if not options.shipped:
        known = [(one.fold, example(one.mail, spam=one.spam)) for one in work if not one.set.startswith("phishing")]
        models = {fold: trained([one for at, one in known if at != fold]) for fold in range(options.folds)}
    shipped = model.open_model(options.model)
    async with open_ports(ScannersConfig(), [each.SPEC for each in scanners], SystemClock()) as opened:
        offline = dataclasses.replace(opened, dns=FakeDns())

        def ctx(item: Item) -> Context:
            chosen = shipped if item.set.startswith("phishing") else models.get(item.fold, shipped)
            return dataclasses.replace(offline, model=chosen)

        flagged, spent = await ours(work, scanners, ctx)
    sets = sorted({item.set for item in work})
    rows = []
    for name in sets:
        hits = [hit for item, hit in zip(work, flagged, strict=True) if item.set == name]
        cells = [name, str(len(hits)), f"{sum(hits) / len(hits):.2%}"]
        sample = [item.raw for item in work if item.set == name]
        random.Random(SEED).shuffle(sample)  # noqa: S311  # a sample that repeats
        sample = sample[: options.peers_sample]
        for address, ask in ((options.rspamd, by_rspamd), (options.spamd, by_spamd)):
            cells.append(f"{sum([await ask(address, raw) for raw in sample]) / len(sample):.1%}" if address else "-")
        rows.append(cells)
    print(table(("set", "messages", "built-in", "rspamd", "SpamAssassin"), rows))
    print()
    print(
        table(("check", "CPU ms (median)"), [(name, f"{statistics.median(took):.2f}") for name, took in spent.items()])
    )


if __name__ == "__main__":
    asyncio.run(main())
