"""`gatepost replay`: what a changed scanner or policy would have done, printed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import orjson

from schemas.events import Verdict
from services.cli.behind import PATIENCE
from services.cli.customers_file import read_customers
from services.cli.printing import plain
from services.cli.site import Site
from services.cli.today import today
from services.core.clock import SystemClock
from services.core.errors import ConfigError
from services.core.ids import is_message_id
from services.core.moments import moment
from services.replay.app import IN_FLIGHT, Candidate, Found, Replay, Wanted, run
from services.replay.decide import Difference
from services.runtime.window import KafkaWindow
from services.scanners.candidates import candidates
from services.scanners.contract import Finding
from services.scanners.registry import choose

if TYPE_CHECKING:
    from services.scanners.pool import Pool  # with all that scanners need: most replays ask none

CLIENT = "gatepost-replay"
IN_FLIGHT_RULES = 200  # messages at a time where no scanner is asked


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says."""

    since: str
    until: str
    customer: str | None
    message: str | None
    scanners: tuple[str, ...]
    policy: Path | None
    diff: bool
    as_json: bool


async def replay(site: Site, options: Options) -> None:
    """Replay, and print who would have been treated otherwise; raise ConfigError for what can't be meant."""
    now = time.time()
    wanted = Wanted(moment(options.since, now), moment(options.until, now), options.customer, options.message)
    if wanted.since >= wanted.until:
        raise ConfigError("--from is not before --to")
    if options.message is not None and not is_message_id(options.message):
        raise ConfigError(f"{options.message[:80]!r} is no message id")
    if not options.scanners and options.policy is None:
        raise ConfigError("say what to try: --scanner NAME[@FOLDER], --policy FILE, or both")
    policy = {} if options.policy is None else {s.customer.id: s.customer for s in read_customers(options.policy)}
    names, folder = candidates("--scanner", options.scanners)
    customers, beside = await today(site.kafka, CLIENT, policy.values())
    clock = SystemClock()
    began = time.monotonic()
    async with _pool(site, names, folder) as pool:
        service = Replay(
            wanted,
            today=customers,
            policy=policy,
            candidates=_candidates(names),
            pool=pool,
            clock=clock,
            tell=_teller(options),
            beside=beside,
        )
        window = KafkaWindow(site.kafka, CLIENT, wanted.spans())
        found = await run(service, window, clock, IN_FLIGHT if names else IN_FLIGHT_RULES)
    print("\n".join(_summary(found, time.monotonic() - began, as_json=options.as_json)))


@contextlib.asynccontextmanager
async def _pool(site: Site, names: tuple[str, ...], folder: str) -> AsyncIterator[Pool | None]:
    if not names:
        yield None
        return
    from services.scanners import config as settings
    from services.scanners.pool import Pool

    config = settings.read(os.environ)
    changes = {"store": site.store, "scanners": names, "scanner_workers": 1}
    config = msgspec.structs.replace(config, **changes, **({"yara_dir": folder} if folder else {}))
    pool = Pool(config, names, patience=PATIENCE)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def _candidates(names: tuple[str, ...]) -> dict[str, Candidate]:
    """Return the candidates. A scanner's module may say in `rescore` what it makes of a recorded verdict alone."""
    found = {}
    for name, module in (choose(names) if names else {}).items():
        rescore = getattr(module, "rescore", _unknown)
        found[name] = Candidate(module.SPEC, rescore)
    return found


def _unknown(_: Verdict) -> Finding | None:
    return None


def _teller(options: Options) -> Callable[[Difference], None]:
    def tell(difference: Difference) -> None:
        if options.as_json:
            print(orjson.dumps(difference, option=orjson.OPT_SERIALIZE_DATACLASS).decode())
        elif options.diff:
            print("\n".join(_lines(difference)))

    return tell


def _lines(difference: Difference) -> list[str]:
    before, after = difference.before, difference.after
    lines = [
        f"{difference.id}  {difference.customer}  {', '.join(difference.recipients)}",
        f"  was    {before.brief}  ({before.rule or '-'}: {before.reason})",
        f"  would  {after.brief}  ({after.rule or '-'}: {after.reason})",
        *(f"  since  {change}" for change in difference.changes),
    ]
    if difference.drifted:
        lines.append("  also without the candidate: the customer's rules are no longer those of then")
    return [plain(line) for line in lines]


def _summary(found: Found, seconds: float, *, as_json: bool) -> list[str]:
    scans, otherwise = found.scans, {difference.id for difference in found.differences}
    if as_json:
        summary = {
            "messages": found.messages,
            "otherwise": len(otherwise),
            "scans": dict(scans),
            "incomplete": found.incomplete,
            "seconds": round(seconds, 1),
        }
        return [orjson.dumps({"summary": summary}).decode()]
    drifted = len({difference.id for difference in found.differences if difference.drifted})
    lines = [f"{found.messages} messages replayed in {seconds:.1f} s"]
    lines.append(f"{len(otherwise)} would have been treated otherwise")
    if drifted:
        lines.append(f"{drifted} of them without the candidate too: rules have changed since")
    if scans["object"] or scans["kept"]:
        lines.append(f"scanned again: {scans['object']} from the store, {scans['kept']} from kept copies")
    if scans["features"]:
        lines.append(f"gone from the store, judged by what their verdicts recorded: {scans['features']}")
    if scans["recorded"]:
        lines.append(f"gone from the store, so their recorded verdicts stand: {scans['recorded']}")
    if scans["nothing"]:
        lines.append(f"gone from the store, and never seen by the candidate: {scans['nothing']}")
    if found.incomplete:
        lines.append(f"left out: {found.incomplete}, not decided yet or their verdicts are gone from the log")
    return lines
