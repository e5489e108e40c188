"""rspamd and SpamAssassin as Debian brings them, started on loopback for one bench and ended after it, offline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import aiohttp

from bench.dns import NameServer

UP_WITHIN = 180.0  # seconds
DOWN_WITHIN = 10.0
ONE_WITHIN = 20  # seconds that SpamAssassin has for a message; what takes longer passes, as with spamc
RSPAMD_FROM = 6.0  # the score from which it adds its header
_OFF = ("worker-controller.inc", "worker-fuzzy.inc", "worker-proxy.inc", "greylist.conf", "ratelimit.conf")


class PeerMissing(Exception):  # noqa: N818  # it reads as what it says
    """A peer isn't installed, or did not come up."""


@contextlib.asynccontextmanager
async def rspamd(folder: Path, settings: Mapping[str, str] | None = None) -> AsyncIterator[str]:
    """Yield the URL of a running rspamd with Debian's rules and nothing that needs Redis or the network.

    `settings`: files of local.d by name, in place of those.
    """
    if shutil.which("rspamd") is None:
        raise PeerMissing("rspamd is not installed")
    port = _free_port()
    home = folder / "rspamd"
    shutil.copytree("/etc/rspamd", home)
    local = home / "local.d"
    local.mkdir(exist_ok=True)
    async with NameServer() as names:
        host, _, at = names.address.rpartition(":")
        server = f"{host}:{at}"
        (local / "options.inc").write_text(
            f'dns {{ nameserver = ["{server}"]; timeout = 1s; retransmits = 1; }}\n'
            f'pidfile = "{home}/rspamd.pid";\nlocal_addrs = "192.0.2.255";\n'
        )
        for name in _OFF:
            (local / name).write_text("enabled = false;\n")
        (local / "worker-normal.inc").write_text(f'bind_socket = "127.0.0.1:{port}"; count = 1;\n')
        (local / "logging.inc").write_text(f'type = "file"; filename = "{home}/log"; level = "error";\n')
        (local / "fuzzy_check.conf").write_text("rules { }\n")
        (local / "actions.conf").write_text("reject = null; greylist = null; add_header = 6;\n")
        for name, content in (settings or {}).items():
            (local / name).write_text(content)
        places = [f"--var={name}={home}" for name in ("CONFDIR", "LOCAL_CONFDIR", "DBDIR", "RUNDIR", "LOGDIR")]
        command = ["rspamd", "-f", "-c", f"{home}/rspamd.conf", *places]
        if os.geteuid() == 0:
            command += ["-u", "_rspamd", "-g", "_rspamd"]
            _own(folder, home, "_rspamd")
        async with _running(command, port):
            yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def spamd(folder: Path) -> AsyncIterator[str]:
    """Yield host:port of a running spamd with Debian's rules, local tests only, nothing learned."""
    if shutil.which("spamd") is None:
        raise PeerMissing("spamd is not installed")
    port = _free_port()
    home = folder / "spamd"
    home.mkdir()
    command = ["spamd", "--local", f"--listen=127.0.0.1:{port}", "--max-children=2", "-x", "--syslog=null"]
    command += [f"--helper-home-dir={home}", f"--pidfile={home}/pid", f"--timeout-child={ONE_WITHIN}"]
    if os.geteuid() == 0:
        command += ["--username=nobody"]
        _own(folder, home, "nobody")
    async with _running(command, port):
        yield f"127.0.0.1:{port}"


async def by_rspamd(url: str, messages: Sequence[bytes]) -> list[bool]:
    """Return for each message whether rspamd scores it as spam; raise PeerMissing for an answer that is none."""
    flagged = []
    headers = {"From": "bench@sender.bench.test", "Rcpt": "user1@example.test"}
    async with aiohttp.ClientSession() as session:
        for raw in messages:
            async with session.post(url + "/checkv2", data=raw, headers=headers) as answer:
                reply = await answer.json(content_type=None)
            if "score" not in reply:
                raise PeerMissing(f"rspamd answered {answer.status} without a score")
            flagged.append(float(reply["score"]) >= RSPAMD_FROM)
    return flagged


async def by_spamd(address: str, messages: Sequence[bytes]) -> list[bool]:
    """Return for each message whether SpamAssassin calls it spam (5 or more), by the protocol of spamc."""
    host, _, port = address.rpartition(":")
    flagged = []
    for raw in messages:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(raw) + raw)
        await writer.drain()
        answer = await reader.read()
        writer.close()
        if b"Spam:" not in answer and not answer.startswith(b"SPAMD/1.0 79"):
            raise PeerMissing(f"spamd answered {answer[:60]!r}")
        flagged.append(b"Spam: True" in answer)
    return flagged


@contextlib.asynccontextmanager
async def _running(command: Sequence[str], port: int) -> AsyncIterator[None]:
    """Run a server in a process group of its own until the block ends."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        until = time.monotonic() + UP_WITHIN
        while not _listens(port):
            if process.returncode is not None or time.monotonic() > until:
                raise PeerMissing(f"{command[0]} did not come up")
            await asyncio.sleep(0.2)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(DOWN_WITHIN):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _own(folder: Path, home: Path, user: str) -> None:
    """Let the account that the server runs as into its folder."""
    folder.chmod(0o755)
    for path in (home, *home.rglob("*")):
        shutil.chown(path, user)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
