"""The system calls of the folder store in one place: a test records their order there, and makes each of them fail."""

from __future__ import annotations

import contextlib
import fcntl
import os

_fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has only fsync


class Disk:
    """The operating system's own calls, under their own names. `fakes_store.FaultyDisk` is the other one."""

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        return os.open(path, flags, mode)

    def close(self, file: int) -> None:
        os.close(file)

    def read(self, file: int, octets: int) -> bytes:
        return os.read(file, octets)

    def writev(self, file: int, buffers: list[memoryview]) -> int:
        return os.writev(file, buffers)

    def pread(self, file: int, octets: int, offset: int) -> bytes:
        return os.pread(file, octets, offset)

    def pwrite(self, file: int, data: memoryview, offset: int) -> int:
        return os.pwrite(file, data, offset)

    def seek(self, file: int, offset: int) -> None:
        os.lseek(file, offset, os.SEEK_SET)

    def lock(self, file: int) -> bool:
        """Return whether the file is ours now, until it is closed or we die: False when another process has it."""
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def fdatasync(self, file: int) -> None:
        _fdatasync(file)

    def fsync(self, file: int) -> None:
        os.fsync(file)

    def fstat(self, file: int) -> os.stat_result:
        return os.fstat(file)

    def stat(self, path: str) -> os.stat_result:
        return os.stat(path)  # noqa: PTH116  # the call by its own name: that is what this class is

    def free(self, path: str) -> int:
        """Return the octets that an ordinary user can still write."""
        system = os.statvfs(path)
        return system.f_bavail * system.f_frsize

    def link(self, path: str, target: str) -> None:
        os.link(path, target)  # as above

    def unlink(self, path: str) -> None:
        os.unlink(path)  # noqa: PTH108  # as above

    def mkdir(self, path: str) -> None:
        os.mkdir(path, 0o700)  # noqa: PTH102  # as above

    def scandir(self, path: str) -> list[os.DirEntry[str]]:
        with os.scandir(path) as entries:
            return list(entries)
