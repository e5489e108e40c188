"""A Postfix of its own: Debian's programs, with configuration, queue and log in a folder that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from bench.engines import PeerMissing, free_port, running

_PROGRAMS = "/usr/lib/postfix/sbin"
_PROTOTYPE = Path("/usr/share/postfix/master.cf.dist")
# What Debian's defaults leave open, and no more: the queue is synced and in_flow_delay holds as everywhere.
_MAIN = """\
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
config_directory = {home}/etc
command_directory = /usr/sbin
daemon_directory = {programs}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.peer.test
mydestination =
mynetworks = 192.0.2.0/30
relay_domains = {domain}
relay_transport = smtp:[127.0.0.1]:{relay}
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtp_dns_support_level = disabled
smtpd_tls_security_level = none
smtp_tls_security_level = none
maillog_file = {home}/log
maillog_file_prefixes = {home}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
message_size_limit = 52428800
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
alias_maps =
alias_database =
"""
_BACK = """\
127.0.0.1:{port} inet n - n - - smtpd
  -o content_filter=
  -o smtpd_milters=
  -o mynetworks=127.0.0.0/8
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix that takes SMTP on a port."""

    port: int
    pid: int


def milter(port: int) -> list[str]:
    """Return the lines of main.cf for a milter on loopback; without its answer nothing is taken."""
    return [f"smtpd_milters = inet:127.0.0.1:{port}", "milter_protocol = 6", "milter_default_action = tempfail"]


def content_filter(port: int) -> list[str]:
    """Return the lines of main.cf for a filter behind the queue."""
    return [f"content_filter = smtp:[127.0.0.1]:{port}"]


@contextlib.asynccontextmanager
async def postfix(
    folder: Path, relay: int, domain: str, more: Sequence[str] = (), *, back: int = 0, doors: Sequence[str] = ()
) -> AsyncIterator[Postfix]:
    """Yield a running Postfix that relays the domain to a port of loopback.

    `back` is a port where a filter gives back what it saw; `doors` are lines for master.cf. Raises PeerMissing: it
    needs Debian's package, and root.
    """
    port = free_port()
    home = await asyncio.to_thread(_prepared, folder, port, relay, domain, more, back, doors)
    # The master itself and not `postfix start-fg`: that leaves the process group by which it is ended.
    async with running([f"{_PROGRAMS}/master", "-c", str(home / "etc"), "-d"], port) as pid:
        yield Postfix(port, pid)


def _prepared(
    folder: Path, port: int, relay: int, domain: str, more: Sequence[str], back: int, doors: Sequence[str]
) -> Path:
    if shutil.which("postfix") is None or not _PROTOTYPE.exists():
        raise PeerMissing("postfix is not installed")
    if os.geteuid() != 0:
        raise PeerMissing("Postfix can only be started by root")
    home = folder / f"postfix-{port}"
    for name in ("etc", "spool", "data"):
        (home / name).mkdir(parents=True)
    folder.chmod(0o755)
    shutil.chown(home / "data", "postfix")
    (home / "etc" / "main.cf").write_text(
        _MAIN.format(home=home, programs=_PROGRAMS, domain=domain, relay=relay) + "".join(line + "\n" for line in more)
    )
    more_doors = (_BACK.format(port=back) if back else "") + "".join(line + "\n" for line in doors)
    (home / "etc" / "master.cf").write_text(_master(port) + more_doors)
    subprocess.run(("postfix", "-c", home / "etc", "check"), check=True, capture_output=True)  # makes its folders
    return home


def _master(port: int) -> str:
    """Return Debian's master.cf with its door on loopback and nothing in a chroot, which would want files."""
    lines = []
    for line in _PROTOTYPE.read_text().splitlines():
        if line.startswith(("#", " ")) or not line.strip():
            if line.startswith(" "):
                lines.append(line)
            continue
        fields = re.split(r"\s+", line, maxsplit=7)
        if fields[:2] == ["smtp", "inet"]:
            fields[0] = f"127.0.0.1:{port}"
        fields[4] = "n"
        lines.append(" ".join(fields))
    return "\n".join(lines) + "\n"
