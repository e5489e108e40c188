"""What each process of a tree has used, by the part of Gatepost that it is. Linux: read from /proc."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """Processor seconds since the start, and resident octets now."""

    cpu: float = 0.0
    rss: int = 0

    def __add__(self, other: Use) -> Use:
        return Use(self.cpu + other.cpu, self.rss + other.rss)


@dataclasses.dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    use: Use
    command: tuple[str, ...]


def tree(root: int, named: str = "") -> dict[str, Use]:
    """Return the use of the process and of all its descendants, those that ended included, added up by part.

    `named` is what they are all called; by default each is the part of Gatepost that it is.
    """
    total: dict[str, Use] = {}
    for each, lineage in _descendants(root):
        name = named or _part(lineage)
        total[name] = total.get(name, Use()) + each.use
    return total


def parts(root: int) -> dict[int, str]:
    """Return the part of Gatepost that each living process of the tree is, by process id."""
    return {each.pid: _part(lineage) for each, lineage in _descendants(root)}


def _descendants(root: int) -> Iterator[tuple[_Process, list[tuple[str, ...]]]]:
    processes = _processes()
    for each in processes.values():
        lineage = _lineage(each, root, processes)
        if lineage is not None:
            yield each, lineage


def machine() -> float:
    """Return the processor seconds that all of the machine has been busy for, time stolen by its host included."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, (PROC / "stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def own() -> Use:
    """Return the use of this process."""
    found = _read(PROC / str(os.getpid()))
    return Use() if found is None else found.use


def _processes() -> dict[int, _Process]:
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (process := _read(entry)) is not None:
            found[process.pid] = process
    return found


def _read(entry: Path) -> _Process | None:
    with contextlib.suppress(OSError):  # a process may end while it is looked at
        # proc(5): the command's name stands in brackets and may hold anything; the fields after it are counted from 3
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
        command = tuple((entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0"))
        # With the time of children that ended: Postfix exchanges its processes all the time.
        use = Use(sum(map(int, fields[11:15])) / TICKS, int(fields[21]) * PAGE)
        return _Process(int(entry.name), int(fields[1]), use, command)
    return None


def _lineage(process: _Process, root: int, processes: Mapping[int, _Process]) -> list[tuple[str, ...]] | None:
    """Return the commands from the process up to the root, None when it does not descend from it."""
    commands = [process.command]
    while process.pid != root:
        above = processes.get(process.parent)
        if above is None:
            return None
        process = above
        commands.append(process.command)
    return commands


def _part(lineage: list[tuple[str, ...]]) -> str:
    command = lineage[0]
    if Path(command[0]).name == "java":
        return "broker (JVM)"
    if "services.scanners.worker" in command:
        return "scanner workers"
    for words in lineage:
        if "run" in words:
            units = [word for word in words[words.index("run") + 1 :] if word]
            return units[0] if len(units) == 1 else "backend (" + ", ".join(units) + ")"
    return "supervisor"
