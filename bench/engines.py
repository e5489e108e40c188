"""rspamd, clamd, SpamAssassin and amavisd as Debian brings them: on loopback for one bench, ended after it, offline."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import getpass
import os
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import aiohttp

from bench.dns import NameServer

UP_WITHIN = 180.0  # seconds
DOWN_WITHIN = 10.0
ONE_WITHIN = 20  # seconds that SpamAssassin has for a message; what takes longer passes, as with spamc
RSPAMD_FROM = 6.0  # the score from which it adds its header
_OFF = ("worker-controller.inc", "worker-fuzzy.inc", "worker-proxy.inc", "greylist.conf", "ratelimit.conf")
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
_AMAVIS = """\
use strict;
$max_servers = 2;  # one a core
$daemon_user = '{account}'; $daemon_group = '{account}';
$MYHOME = '{home}'; $TEMPBASE = "$MYHOME/tmp"; $db_home = "$MYHOME/db"; $QUARANTINEDIR = "$MYHOME/quarantine";
$helpers_home = $MYHOME; $pid_file = "$MYHOME/pid"; $lock_file = "$MYHOME/lock"; $enable_db = 0;
$mydomain = 'example.test'; $myhostname = 'amavis.example.test';
$inet_socket_port = [{port}]; $inet_socket_bind = '127.0.0.1'; @inet_acl = qw(127.0.0.1);
$log_level = 0; $do_syslog = 0; $LOGFILE = "$MYHOME/log";
@local_domains_maps = (1); $sa_local_tests_only = 1; $sa_mail_body_size_limit = 400*1024;
$sa_tag_level_deflt = -999; $sa_tag2_level_deflt = 5; $sa_kill_level_deflt = 9999;
$final_virus_destiny = D_DISCARD; $final_banned_destiny = D_PASS;
$final_spam_destiny = D_PASS; $final_bad_header_destiny = D_PASS;
$forward_method = 'smtp:[127.0.0.1]:{back}'; $notify_method = $forward_method; $enable_dkim_verification = 0;
@av_scanners = (['ClamAV-clamd', \\&ask_daemon, ["CONTSCAN {{}}\\n", "{socket}"],
  qr/\\bOK$/m, qr/\\bFOUND$/m, qr/^.*?: (?!Infected Archive)(.*) FOUND$/m]);
1;
"""


class PeerMissing(Exception):  # noqa: N818  # it reads as what it says
    """A peer isn't installed, or did not come up."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rspamd:
    """A running rspamd: its normal worker, and its proxy as a milter that scans by itself."""

    url: str
    milter: int  # the port; 0 without
    pid: int


@contextlib.asynccontextmanager
async def rspamd(
    folder: Path, settings: Mapping[str, str] | None = None, *, milter: bool = False, clamd: int = 0
) -> AsyncIterator[Rspamd]:
    """Yield a running rspamd with Debian's rules and nothing that needs Redis or the network.

    `settings`: files of local.d by name, in place of those. `clamd`: the port of one that its antivirus module asks.
    """
    _there("rspamd")
    port, proxy = free_port(), free_port() if milter else 0
    home = folder / f"rspamd-{port}"
    await asyncio.to_thread(shutil.copytree, "/etc/rspamd", home)
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
        if milter:
            (local / "worker-proxy.inc").write_text(
                f'bind_socket = "127.0.0.1:{proxy}"; milter = yes; count = 1; timeout = 60s;\n'
                'upstream "local" { default = yes; self_scan = yes; }\n'
            )
        if clamd:
            (local / "antivirus.conf").write_text(
                f'clamav {{ type = "clamav"; servers = "127.0.0.1:{clamd}"; scan_mime_parts = false;'
                ' symbol = "CLAM_VIRUS"; action = "reject"; log_clean = false; }\n'
            )
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
        async with running(command, port) as pid:
            if proxy:
                await _up("rspamd's proxy", proxy, time.monotonic() + UP_WITHIN)
            yield Rspamd(f"http://127.0.0.1:{port}", proxy, pid)


@dataclasses.dataclass(frozen=True, slots=True)
class Clamd:
    """A running clamd on a port and a local socket."""

    port: int
    socket: Path
    pid: int


@contextlib.asynccontextmanager
async def clamd(folder: Path, account: str = "clamav") -> AsyncIterator[Clamd]:
    """Yield a running clamd whose base is one signature, EICAR's: the real one is not to be had offline.

    The account is the one that reads what it is shown by its path. Its time for a message
    is that of its parsers; a base of eight million signatures costs it more, and all alike.
    """
    _there("clamd")
    port, home = free_port(), folder / "clamd"
    (home / "base").mkdir(parents=True)
    (home / "base" / "own.ndb").write_text(f"EICAR-Test:0:*:{EICAR.hex()}\n")
    (home / "clamd.conf").write_text(
        f"DatabaseDirectory {home}/base\nTCPSocket {port}\nTCPAddr 127.0.0.1\nLocalSocket {home}/socket\n"
        f"LocalSocketMode 666\nForeground yes\nLogFile {home}/log\nMaxThreads 4\nStreamMaxLength 100M\n"
        + (f"User {account}\n" if os.geteuid() == 0 else "")
    )
    if os.geteuid() == 0:
        _own(folder, home, account)
    async with running(["clamd", "-c", f"{home}/clamd.conf"], port) as pid:
        yield Clamd(port, home / "socket", pid)


@dataclasses.dataclass(frozen=True, slots=True)
class Amavis:
    """A running amavisd that takes SMTP on a port."""

    port: int
    pid: int


@contextlib.asynccontextmanager
async def amavisd(folder: Path, back: int, clamd_socket: Path) -> AsyncIterator[Amavis]:
    """Yield a running amavisd with SpamAssassin (local tests) and clamd, which gives what it saw back to a port."""
    _there("amavisd")
    port, home = free_port(), folder / "amavis"
    for name in ("tmp", "db", "quarantine"):
        (home / name).mkdir(parents=True)
    account = "amavis" if os.geteuid() == 0 else getpass.getuser()
    settings = folder / "amavisd.conf"  # beside its home: it reads none that is its own account's
    settings.write_text(_AMAVIS.format(home=home, port=port, back=back, socket=clamd_socket, account=account))
    if os.geteuid() == 0:
        _own(folder, home, "amavis")
    async with running(["amavisd", "-c", str(settings), "foreground"], port) as pid:
        yield Amavis(port, pid)


@contextlib.asynccontextmanager
async def spamd(folder: Path) -> AsyncIterator[str]:
    """Yield host:port of a running spamd with Debian's rules, local tests only, nothing learned."""
    _there("spamd")
    port = free_port()
    home = folder / "spamd"
    home.mkdir()
    command = ["spamd", "--local", f"--listen=127.0.0.1:{port}", "--max-children=2", "-x", "--syslog=null"]
    command += [f"--helper-home-dir={home}", f"--pidfile={home}/pid", f"--timeout-child={ONE_WITHIN}"]
    if os.geteuid() == 0:
        command += ["--username=nobody"]
        _own(folder, home, "nobody")
    async with running(command, port):
        yield f"127.0.0.1:{port}"


async def by_rspamd(server: Rspamd, messages: Sequence[bytes]) -> list[bool]:
    """Return for each message whether rspamd scores it as spam; raise PeerMissing for an answer that is none."""
    flagged = []
    headers = {"From": "bench@sender.bench.test", "Rcpt": "user1@example.test"}
    async with aiohttp.ClientSession() as session:
        for raw in messages:
            async with session.post(server.url + "/checkv2", data=raw, headers=headers) as answer:
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


def _there(program: str) -> None:
    if shutil.which(program) is None:
        raise PeerMissing(f"{program} is not installed")


@contextlib.asynccontextmanager
async def running(command: Sequence[str], port: int) -> AsyncIterator[int]:
    """Run a server in a process group of its own until the block ends; yield its process id."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        until = time.monotonic() + UP_WITHIN
        await _up(command[0], port, until, lambda: process.returncode is None)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(DOWN_WITHIN):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _up(name: str, port: int, until: float, alive: Callable[[], bool] = lambda: True) -> None:
    while not _listens(port):
        if not alive() or time.monotonic() > until:
            raise PeerMissing(f"{name} did not come up")
        await asyncio.sleep(0.2)


def _own(folder: Path, home: Path, user: str) -> None:
    """Let the account that the server runs as into its folder."""
    folder.chmod(0o755)
    for path in (home, *home.rglob("*")):
        shutil.chown(path, user)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
