"""The archive of the broker's loaded classes (AppCDS): halves its start, made once. The broker runs without it too."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.core.errors import StartError
from services.runtime.broker_jars import locked
from services.runtime.broker_jvm import FLAGS, JAVA, Jvm, command, format_logs, run
from services.runtime.broker_settings import render, settings
from services.runtime.ports import free_ports

MAKE_S: Final = 120.0  # seconds for the rehearsal and the dump together
_log = logging.getLogger("gatepost.broker")


def archive_path(jars: Sequence[Path]) -> Path:
    """Return where the archive for these jars and this Java lies: Java refuses one that another build made."""
    modules = (JAVA.parent.parent / "lib" / "modules").stat()
    key = f"{JAVA} {modules.st_size} {modules.st_mtime_ns} {FLAGS} {jars}"
    return jars[0].parent / f"classes-{hashlib.sha256(key.encode()).hexdigest()[:12]}.jsa"


async def ensure_archive(jars: Sequence[Path]) -> Path | None:
    """Return the archive, made first where there is none (about 10 s). None when it can't be; the log says why."""
    try:
        archive = archive_path(jars)
        if archive.exists():
            return archive
        async with asyncio.timeout(MAKE_S), locked(archive.parent / "lock"):
            if not archive.exists():
                _log.info("preparing the embedded broker, once: archive=%s", archive)
                await _make(jars, archive)
    except (OSError, StartError) as error:  # TimeoutError is an OSError
        _log.warning("the broker starts without its class archive, 1.5 s slower: reason=%s", repr(error))
        return None
    return archive


async def _make(jars: Sequence[Path], archive: Path) -> None:
    """Rehearse one start, noting each class that is loaded, and dump those classes as the JVM keeps them in memory."""
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="rehearsal-") as name:
        folder = Path(name)
        port, controller_port = free_ports(2)
        properties, classes, new = folder / "server.properties", folder / "classes", folder / "new.jsa"
        properties.write_text(render(settings(folder / "logs", port, controller_port)), encoding="ascii")
        await format_logs(jars, properties, folder, scratch=folder)
        noting = (f"-XX:DumpLoadedClassList={classes}", "-Xshare:off")
        broker = await Jvm.spawn(command(jars, "kafka.Kafka", [str(properties)], scratch=folder, flags=noting), folder)
        try:
            await broker.ready(MAKE_S)
            await broker.stop(MAKE_S)
        finally:
            await broker.kill()
        dumping = ("-Xshare:dump", f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={new}")
        await run(command(jars, "kafka.Kafka", [], scratch=folder, flags=dumping), folder)
        new.replace(archive)
