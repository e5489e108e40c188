"""Gatepost beside what an administrator would take instead, on one machine: python -m bench.peers FOLDER

Each turn starts one contestant after the other, on loopback and in a folder that goes away: Postfix with rspamd as its
milter, the same with clamd behind rspamd, Postfix with amavisd, SpamAssassin and clamd, Gatepost with the same rspamd
and clamd, and Gatepost with its built-in engines. Each gets the same messages at fixed rates and over so many
connections, and gives them to one sink. While one is measured none of the others runs.

Needs root and Debian's postfix, rspamd, clamav-daemon and amavisd-new: --install has apt-get bring what is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import uvloop

from bench import usage
from bench.contest import report, told
from bench.dns import NameServer
from bench.engines import EICAR, PeerMissing, amavisd, clamd, free_port, rspamd
from bench.facts import facts
from bench.house import DOMAIN, House, NotUp
from bench.ledger import Ledger
from bench.load import NoConnectionError, closed_loop
from bench.measure import Setting, add_settings, measure, settings
from bench.messages import Message, load, message
from bench.postfix import content_filter, milter, postfix
from bench.report import Run
from bench.sink import Sink
from bench.usage import Use

WARM_UP = 200  # messages over eight connections before anything is measured: processes are started, code is warm
STOPPED_WITHIN = 5.0  # seconds in which a virus that isn't stopped would have arrived
PACKAGES = {"postfix": "postfix", "rspamd": "rspamd", "clamd": "clamav-daemon", "amavisd": "amavisd-new"}


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """A contestant that runs."""

    port: int
    used: Callable[[], dict[str, Use]]
    troubles: Callable[[], list[str]] = list


@dataclasses.dataclass(frozen=True, slots=True)
class Contestant:
    """What can be started; `share` of the messages are sent to it, so that a slow one doesn't take all evening."""

    name: str
    start: Callable[[Path, int, str], contextlib.AbstractAsyncContextManager[Standing]]  # folder, sink's port, DNS
    share: float = 1.0
    stops: bool = False  # a virus must not get through: a filter that can't read a file may well call it clean


@contextlib.asynccontextmanager
async def _postfix_rspamd(folder: Path, relay: int, _dns: str) -> AsyncIterator[Standing]:
    async with (
        rspamd(folder, milter=True) as filtering,
        postfix(folder, relay, DOMAIN, milter(filtering.milter)) as mta,
    ):
        yield Standing(mta.port, _of(postfix=mta.pid, rspamd=filtering.pid))


@contextlib.asynccontextmanager
async def _postfix_rspamd_clamd(folder: Path, relay: int, _dns: str) -> AsyncIterator[Standing]:
    async with (
        clamd(folder) as viruses,
        rspamd(folder, milter=True, clamd=viruses.port) as filtering,
        postfix(folder, relay, DOMAIN, milter(filtering.milter)) as mta,
    ):
        yield Standing(mta.port, _of(postfix=mta.pid, rspamd=filtering.pid, clamd=viruses.pid))


@contextlib.asynccontextmanager
async def _postfix_amavis(folder: Path, relay: int, _dns: str) -> AsyncIterator[Standing]:
    back = free_port()
    async with (
        clamd(folder, "amavis") as viruses,
        amavisd(folder, back, viruses.socket) as filtering,
        postfix(folder, relay, DOMAIN, content_filter(filtering.port), back=back) as mta,
    ):
        yield Standing(mta.port, _of(postfix=mta.pid, amavisd=filtering.pid, clamd=viruses.pid))


@contextlib.asynccontextmanager
async def _gatepost(folder: Path, relay: int, dns: str) -> AsyncIterator[Standing]:
    async with House(folder, relay, dns) as house:
        yield Standing(house.port, lambda: usage.tree(house.pid), house.troubles)


@contextlib.asynccontextmanager
async def _gatepost_engines(folder: Path, relay: int, dns: str) -> AsyncIterator[Standing]:
    async with clamd(folder) as viruses, rspamd(folder) as filtering:
        environ = {"GATEPOST_RSPAMD": filtering.url, "GATEPOST_CLAMD": f"127.0.0.1:{viruses.port}"}
        async with House(folder, relay, dns, environ=environ) as house:
            engines = _of(rspamd=filtering.pid, clamd=viruses.pid)
            yield Standing(house.port, lambda: {**usage.tree(house.pid), **engines()}, house.troubles)


def _of(**pids: int) -> Callable[[], dict[str, Use]]:
    def used() -> dict[str, Use]:
        return {part: use for name, pid in pids.items() for part, use in usage.tree(pid, name).items()}

    return used


CONTESTANTS = {
    "rspamd": Contestant("Postfix + rspamd", _postfix_rspamd),
    "clamd": Contestant("Postfix + rspamd + clamd", _postfix_rspamd_clamd, stops=True),
    "amavis": Contestant("Postfix + amavisd + SpamAssassin + clamd", _postfix_amavis, share=0.1, stops=True),
    "engines": Contestant("Gatepost with rspamd + clamd", _gatepost_engines),
    "builtin": Contestant("Gatepost, built-in engines", _gatepost),
}


class Races:
    """All runs of one call, by setting and contestant."""

    def __init__(self, messages: Sequence[Message], chosen: argparse.Namespace) -> None:
        self.runs: dict[tuple[str, str], list[Run]] = {}
        self.troubles: list[str] = []
        self._messages = messages
        self._chosen = chosen
        self._number = 0

    async def turn(self, contestant: Contestant, sink: Sink, dns: str) -> None:
        """Start the contestant, run each setting once, and stop it."""
        with tempfile.TemporaryDirectory(dir=self._chosen.data, prefix="bench-peer-") as name:
            async with contestant.start(Path(name), sink.port, dns) as standing:
                await self._run(contestant, standing, sink, Setting("warm-up", connections=8), WARM_UP)
                if contestant.stops:
                    await self._stopped(contestant, standing, sink)
                for setting in settings(self._chosen.rates, self._chosen.connections):
                    print(f"  {contestant.name}: {setting.name}", file=sys.stderr)
                    run = await self._run(contestant, standing, sink, setting, self._chosen.messages)
                    self.runs.setdefault((setting.name, contestant.name), []).append(run)
                self.troubles += standing.troubles()

    async def _stopped(self, contestant: Contestant, standing: Standing, sink: Sink) -> None:
        """Raise PeerMissing when a virus arrives: then what is measured scans nothing."""
        ledger = Ledger(self._number, [message(b"Subject: a virus\n\n" + EICAR + b"\n")], 1, DOMAIN)
        self._number += 1
        sink.note = ledger.note
        await closed_loop(standing.port, 1, ledger.entries)
        await ledger.settled(STOPPED_WITHIN, 0.0)
        if ledger.figures().arrived:
            raise PeerMissing(f"{contestant.name} lets EICAR through")

    async def _run(self, contestant: Contestant, standing: Standing, sink: Sink, setting: Setting, count: int) -> Run:
        ledger = Ledger(self._number, self._messages, max(1, int(count * contestant.share)), DOMAIN)
        self._number += 1
        return await measure(standing.port, setting, ledger, sink, standing.used)


async def main(chosen: argparse.Namespace) -> str:
    """Return the report."""
    messages = load(chosen.folder)
    if not messages:
        raise SystemExit(f"{chosen.folder}: no messages")
    races = Races(messages, chosen)
    with tempfile.TemporaryDirectory(dir=chosen.data) as probe:
        known = facts(Path(probe), messages)
    async with Sink() as sink, NameServer() as names:
        for turn in range(chosen.repeat):  # one after the other in each turn: a noisy minute harms all alike
            print(f"turn {turn + 1} of {chosen.repeat}", file=sys.stderr)
            for key in chosen.only:
                await races.turn(CONTESTANTS[key], sink, names.address)
    known["peers"] = _versions()
    known["command"] = f"python -m bench.peers {chosen.folder.resolve().name} {chosen.words}".rstrip()
    return report(known, races.runs, told(races.troubles))


def _versions() -> str:
    names = [*sorted(PACKAGES.values()), "spamassassin"]
    command = ("dpkg-query", "-W", "-f", "${Package} ${Version}, ", *names)
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.rstrip(", ")


def install(wanted: Sequence[str]) -> None:
    """Have apt-get bring what is missing, and start nothing: Debian starts a server as soon as it is installed."""
    missing = [PACKAGES[name] for name in wanted if shutil.which(name) is None]
    if not missing:
        return
    policy = Path("/usr/sbin/policy-rc.d")
    made = not policy.exists()
    if made:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        command = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)
        subprocess.run(("apt-get", "update", "-qq"), check=True)
        subprocess.run(("env", "DEBIAN_FRONTEND=noninteractive", *command), check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerMissing(f"apt-get could not install {' '.join(missing)}") from error
    finally:
        if made:
            policy.unlink()


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; end with a line of usage for others."""
    options = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("folder", type=Path, help="of messages, one a file")
    options.add_argument("--messages", type=int, default=600, help="of each run; amavisd gets a tenth")
    add_settings(options)
    options.add_argument("--repeat", type=int, default=3, help="turns")
    options.add_argument("--only", type=lambda text: text.split(","), default=list(CONTESTANTS), help="with commas")
    options.add_argument("--data", type=Path, default=None, help="where folders are made; a real disk")
    options.add_argument("--out", type=Path, help="a file to keep the report in")
    options.add_argument("--install", action="store_true", help="have apt-get install the peers that are missing")
    chosen = options.parse_args(words)
    if not chosen.folder.is_dir():
        options.error(f"{chosen.folder} is not a folder")
    if unknown := set(chosen.only) - set(CONTESTANTS):
        options.error(f"{', '.join(sorted(unknown))}: there are {', '.join(CONTESTANTS)}")
    shown = ("messages", "rates", "connections", "repeat", "only")
    chosen.words = " ".join(
        f"--{name} " + (",".join(map(str, value)) if isinstance(value, list) else str(value))
        for name in shown
        if (value := getattr(chosen, name)) != options.get_default(name)
    )
    return chosen


if __name__ == "__main__":
    selected = arguments(sys.argv[1:])
    try:
        if selected.install:
            install(list(PACKAGES))
        text = uvloop.run(main(selected))
    except (NotUp, PeerMissing, NoConnectionError) as error:
        sys.exit(f"bench: {error}")
    print(text)
    if selected.out is not None:
        selected.out.parent.mkdir(parents=True, exist_ok=True)
        selected.out.write_text(text)
