"""The jars of the embedded broker: named and hashed in a committed lock, fetched once, checked at every start.

`python -m services.runtime.broker_jars` prints a new lock after a change of VERSION: all that ROOTS need.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final

from services.core.errors import StartError

VERSION: Final = "4.4.0"  # of Apache Kafka
ROOTS: Final = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.slf4j:slf4j-simple:1.7.36")
LOCK: Final = Path(__file__).with_name("broker_jars.lock")
ATTEMPTS: Final = 3
AT_ONCE: Final = 4
REPLY_S: Final = 20  # seconds without an octet before a download counts as failed
FETCH_S: Final = 900.0  # seconds for all jars, and for waiting for another process that fetches them
_log = logging.getLogger("gatepost.broker")


@dataclasses.dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    sha256: str
    group: str
    artifact: str
    version: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


Fetch = Callable[
    [Jar, Path], Path
]  # (jar, an empty folder to work in) → where the jar now lies; raises OSError or RuntimeError


def read_lock(text: str) -> tuple[Jar, ...]:
    """Return the jars of a lock: lines `sha256  group:artifact:version`. Raises StartError for anything else."""
    jars = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.replace(":", " ").split()
        if len(fields) != len(dataclasses.fields(Jar)) or len(fields[0]) != hashlib.sha256().digest_size * 2:
            raise StartError(f"line {number} of {LOCK.name} is not a hash and a coordinate; install Gatepost again")
        jars.append(Jar(*fields))
    return tuple(jars)


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where what can be fetched again is kept: gatepost under the XDG base directory for caches."""
    base = environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "gatepost"


def intact(path: Path, jar: Jar) -> bool:
    """Return whether the file is the very jar that was locked."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


async def ensure_jars(
    cache: Path | None = None, fetch: Fetch | None = None, *, lock: Path = LOCK, pause: float = 1.0
) -> list[Path]:
    """Return the class path of the broker, every jar compared with the lock; fetch first what is missing or changed.

    Processes that need the jars at the same time wait for one of them. `pause` seconds, growing, lie between attempts.
    Raises StartError: offline, a jar with another hash, no room.
    """
    text = await asyncio.to_thread(lock.read_text, encoding="ascii")
    jars = read_lock(text)
    cache = cache or cache_folder(os.environ)
    folder = cache / f"kafka-{VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        async with asyncio.timeout(FETCH_S), locked(folder / "lock"):
            missing = [jar for jar in jars if not await asyncio.to_thread(intact, folder / jar.name, jar)]
            if missing:
                _log.info(
                    "fetching the embedded broker, once: jars=%d of=%d folder=%s", len(missing), len(jars), folder
                )
                await _fetch_all(missing, folder, fetch or fetch_with_jgo, pause)
    except TimeoutError as error:
        raise StartError(f"the broker's jars could not be had within {FETCH_S:.0f} s; try again") from error
    except OSError as error:
        raise StartError(f"the broker's jars can't be kept in {folder}: {reason(error)}; set XDG_CACHE_HOME") from error
    return [folder / jar.name for jar in jars]


def fetch_with_jgo(jar: Jar, workdir: Path) -> Path:
    """Download one jar into the folder and return its path; the hash is the caller's to check."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - 0.3 s to import, needed once in the life of a machine

    context = MavenContext(repo_cache=workdir, timeout=REPLY_S)
    artifact: Path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    return artifact


async def _fetch_all(jars: list[Jar], folder: Path, fetch: Fetch, pause: float) -> None:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(jar: Jar) -> None:
        async with slots:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    await asyncio.to_thread(_fetch_one, jar, folder, fetch)
                    break
                except (OSError, RuntimeError) as error:
                    if attempt == ATTEMPTS or (isinstance(error, OSError) and error.errno in _LOCAL):
                        raise _why(jar, folder, error) from error
                    _log.info("a jar did not come, trying again: jar=%s reason=%s", jar.name, type(error).__name__)
                    await asyncio.sleep(attempt * pause)

    try:
        async with asyncio.TaskGroup() as group:
            for jar in jars:
                group.create_task(one(jar))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors  # one clear line: the first failure stands for all


_LOCAL: Final = frozenset({errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT})


def _fetch_one(jar: Jar, folder: Path, fetch: Fetch) -> None:
    """Put one verified jar in place. Each download has its own folder: what was cut off is never taken for a jar."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as workdir:
        got = fetch(jar, Path(workdir))
        if not intact(got, jar):
            raise StartError(
                f"{jar.name} as downloaded is not the one that {LOCK.name} names: refused, nothing was started"
            )
        got.replace(folder / jar.name)


def _why(jar: Jar, folder: Path, error: Exception) -> StartError:
    if isinstance(error, OSError) and error.errno in _LOCAL:
        return StartError(f"the broker's jars can't be kept in {folder}: {reason(error)}")
    return StartError(
        f"{jar.name} of the embedded broker, which is fetched once, could not be had ({type(error).__name__}): "
        "connect this machine, or name a broker with --kafka HOST:PORT"
    )


def reason(error: OSError) -> str:
    """Return what the system says of the error, without numbers and paths."""
    return (error.strerror or type(error).__name__).lower()


@contextlib.asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold the file's lock; wait for it as long as the caller's time-out lets. It ends with its holder."""
    file = path.open("ab")
    try:
        waiting = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    _log.info("waiting for another process that prepares the broker: lock=%s", path)
                waiting = True
                await asyncio.sleep(0.1)
        yield
    finally:
        file.close()


def resolve_lock(workdir: Path) -> str:
    """Return the text of a new lock: everything that ROOTS need at run time, downloaded into the folder and hashed."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - as above

    context = MavenContext(repo_cache=workdir, timeout=REPLY_S)
    asked, implied = context.resolver.resolve([context.create_dependency(root) for root in ROOTS])
    lines = []
    for dependency in [*asked, *(d for d in implied if d.scope in {"compile", "runtime"})]:
        digest = hashlib.sha256(dependency.artifact.resolve().read_bytes()).hexdigest()
        coordinate = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
        lines.append((coordinate, f"{digest}  {coordinate}\n"))
    return "".join(line for _, line in sorted(lines))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.stdout.write(resolve_lock(Path(scratch)))
