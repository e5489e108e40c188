"""A folder that keeps objects through a power loss. Blocking: `folder_store` runs it on threads.

    ROOT/.tmp/                  half-written objects; also tells the folder from the empty mount point of its disk
    ROOT/mail/acme/7Q/01J…      objects, each a file

No key may be a prefix of another's segments: a file can't be a directory too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from typing import Final

from services.core.clock import Clock
from services.core.errors import ObjectConflict, ObjectNotFound, StoreFull, StoreUnavailable
from services.runtime.disk import Disk
from services.runtime.keys import checked_key, checked_prefix, is_key
from services.runtime.store import Stat

_STALE: Final = 3600.0  # s; no put takes as long, so an older temporary file belongs to a process that died
_UPLOAD: Final = "upload-"  # an upload takes as long as its client likes: whether its process lives is told by a lock
_BATCH: Final = 256  # objects of a listing read per call
_VECTOR: Final = 512  # buffers of one writev; Linux takes 1,024
_KNOWN_LIMIT: Final = 65_536  # directories remembered as durable
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_NONE_THERE: Final = (FileNotFoundError, NotADirectoryError)


class Folder:
    """Objects as files under `root`. Raises as the Store port; StoreFull when `reserve` octets would not stay free."""

    def __init__(self, root: str, *, disk: Disk, reserve: int) -> None:
        self._root = root
        self._temporary = f"{root}/.tmp"
        self.disk = disk
        self._reserve = reserve
        # Directories whose own entry survives a power loss. One that another thread or process has just made is not
        # known: whoever writes into it syncs its parents too, and no one answers for a directory that can vanish.
        self._known: set[str] = set()

    def create(self, clock: Clock) -> None:
        """Make the folder where it is missing and remove what dead processes left half-written. Raises OSError."""
        missing = []
        path = self._temporary
        while not self._exists(path):
            missing.append(path)
            path = os.path.dirname(path)  # noqa: PTH120  # strings: this file never builds a Path on the way of a message
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):
                self.disk.mkdir(path)
            self._sync(os.path.dirname(path) or ".")  # noqa: PTH120  # as above
        for entry in self.disk.scandir(self._temporary):
            with contextlib.suppress(FileNotFoundError):  # another process sweeps as well
                if entry.name.startswith(_UPLOAD):
                    self._sweep_upload(entry.path)
                elif clock.now() - entry.stat(follow_symlinks=False).st_mtime > _STALE:
                    self.disk.unlink(entry.path)

    def put(self, key: str, parts: Sequence[bytes | memoryview]) -> None:
        """As Store.put: write, fdatasync, link, fsync of the directory and of those above that are new, then return."""
        target = self._path(key)
        with self.typed("put"):
            self.check_room(sum(len(part) for part in parts))
            temporary = self._name("")
            try:
                self._write(temporary, parts)
                linked = self._link(temporary, target)
            finally:
                self.unlink(temporary)
            if not linked and not self._same(target, parts):
                raise ObjectConflict(f"other bytes under {key}")
            self._sync_path(target)  # also for one that was there: its writer may not have come so far

    def get(self, key: str) -> bytes:
        """As Store.get."""
        path = self._path(key)
        with self.typed("get"):
            try:
                file = self.disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except _NONE_THERE as error:
                self._check_mounted()
                raise ObjectNotFound(key) from error
            try:
                return self._read(file)
            except IsADirectoryError as error:
                raise ObjectNotFound(key) from error
            finally:
                self.disk.close(file)

    def delete(self, key: str) -> None:
        """As Store.delete. Not synced: a power loss can bring the object back; its outcome in the log says it ended."""
        path = self._path(key)
        with self.typed("delete"):
            try:
                self.disk.unlink(path)
            except (*_NONE_THERE, IsADirectoryError):
                self._check_mounted()

    def start_list(self, prefix: str) -> list[str]:
        """Return the directories at which `list_on` begins."""
        bare = checked_prefix(prefix)
        with self.typed("list"):
            self._check_mounted()
        return [f"{self._root}/{bare}" if bare else self._root]

    def list_on(self, pending: list[str]) -> list[Stat]:
        """Return some more objects, and leave in `pending` the directories still to read: empty when all are listed."""
        found: list[Stat] = []
        with self.typed("list"):
            while pending and len(found) < _BATCH:
                try:
                    entries = self.disk.scandir(pending.pop())
                except _NONE_THERE:
                    continue
                for entry in entries:
                    self._look_at(entry, found, pending)
        return found

    def check(self) -> None:
        """As Store.check: write, sync and remove a probe."""
        with self.typed("check"):
            self.check_room(0)
            probe = self._name("probe-")
            try:
                self._write(probe, [b"probe\n" * 100])
            finally:
                self.unlink(probe)

    # --- what `folder_draft` needs

    def open_upload(self) -> tuple[int, str]:
        """Return a new half-written file, open and ours for as long as it is open, and its path. Raises OSError."""
        while True:
            path = self._name(_UPLOAD)
            file = self.disk.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
            if self.disk.lock(file) and self._exists(path):
                return file, path
            self.disk.close(file)  # a process that starts just now has swept it

    def place(self, temporary: str, key: str) -> None:
        """Give a synced file its key for good: as in put. Raises OSError, ObjectConflict."""
        target = self._path(key)
        if not self._link(temporary, target):
            raise ObjectConflict(f"another object under {key}")
        self._sync_path(target)

    def unlink(self, path: str) -> None:
        """Remove a half-written file; one that is gone is fine. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            self.disk.unlink(path)

    def write(self, file: int, parts: Sequence[bytes | memoryview]) -> None:
        """Write all parts where the file stands. Raises OSError."""
        waiting = [memoryview(part).cast("B") for part in parts if len(part)]
        at = 0
        while at < len(waiting):
            written = self.disk.writev(file, waiting[at : at + _VECTOR])
            while at < len(waiting) and written >= len(waiting[at]):
                written -= len(waiting[at])
                at += 1
            if written:
                waiting[at] = waiting[at][written:]

    # --- steps

    def _name(self, kind: str) -> str:
        return f"{self._temporary}/{kind}{os.getpid()}-{secrets.token_hex(8)}"

    def _sweep_upload(self, path: str) -> None:
        file = self.disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if self.disk.lock(file):  # its process is dead
                self.disk.unlink(path)
        finally:
            self.disk.close(file)

    def _path(self, key: str) -> str:
        return f"{self._root}/{checked_key(key)}"

    def _write(self, path: str, parts: Sequence[bytes | memoryview]) -> None:
        file = self.disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self.write(file, parts)
            self.disk.fdatasync(file)
        finally:
            self.disk.close(file)

    def _link(self, temporary: str, target: str) -> bool:
        """Give the file its name; return False when the name is taken. Unlike a rename, it replaces nothing."""
        try:
            return self._linked(temporary, target)
        except FileNotFoundError:
            self._make_directories(target)
            return self._linked(temporary, target)
        except NotADirectoryError as error:
            raise ObjectConflict("a part of the key is an object") from error

    def _linked(self, temporary: str, target: str) -> bool:
        try:
            self.disk.link(temporary, target)
        except FileExistsError:
            return False
        return True

    def _make_directories(self, target: str) -> None:
        """Make the directories between the root and the target. Never the root: it may be unmounted."""
        for directory in reversed(self._between(target)):
            with contextlib.suppress(FileExistsError):
                self.disk.mkdir(directory)
                self._known.discard(directory)

    def _between(self, target: str) -> list[str]:
        """Return the directories below the root that lead to the target, the innermost first."""
        found = []
        end = target.rfind("/")
        while end > len(self._root):
            found.append(target[:end])
            end = target.rfind("/", 0, end)
        return found

    def _sync_path(self, target: str) -> None:
        directories = self._between(target)
        self._sync(directories[0] if directories else self._root)
        fresh = [directory for directory in directories if directory not in self._known]
        for directory in fresh:
            self._sync(directory[: directory.rfind("/")])
        if fresh:
            if len(self._known) > _KNOWN_LIMIT:
                self._known.clear()
            self._known.update(fresh)

    def _sync(self, directory: str) -> None:
        file = self.disk.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.disk.fsync(file)
        finally:
            self.disk.close(file)

    def _same(self, target: str, parts: Sequence[bytes | memoryview]) -> bool:
        try:
            file = self.disk.open(target, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise StoreUnavailable("put: deleted by another while it was stored") from error
        try:
            if self.disk.fstat(file).st_size != sum(len(part) for part in parts):
                return False
            there = memoryview(self._read(file))
        except IsADirectoryError:
            return False
        finally:
            self.disk.close(file)
        at = 0
        for part in parts:
            if there[at : at + len(part)] != part:
                return False
            at += len(part)
        return True

    def _read(self, file: int) -> bytes:
        size = self.disk.fstat(file).st_size
        data = self.disk.read(file, size + 1)
        if len(data) == size:
            return data
        pieces = [data]  # over 2 GB at once is more than one read gives
        while piece := self.disk.read(file, 1 << 26):
            pieces.append(piece)
        return b"".join(pieces)

    def _look_at(self, entry: os.DirEntry[str], found: list[Stat], pending: list[str]) -> None:
        key = entry.path[len(self._root) + 1 :]
        if not is_key(key):
            return  # .tmp, lost+found, and whatever else is not ours
        if entry.is_dir(follow_symlinks=False):
            pending.append(entry.path)
            return
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return  # deleted since
        if stat.S_ISREG(status.st_mode):
            found.append(Stat(key, status.st_size, status.st_mtime))

    # --- failures

    def _exists(self, path: str) -> bool:
        try:
            self.disk.stat(path)
        except FileNotFoundError:
            return False
        return True

    def _check_mounted(self) -> None:
        """Raise StoreUnavailable when the folder itself is gone: an unmounted disk must not end the messages on it."""
        if not self._exists(self._temporary):
            raise StoreUnavailable(f"the folder {self._root} is gone")

    def check_room(self, size: int) -> None:
        """Raise StoreFull in time: a broker on the same disk stops for good when the disk is full."""
        if self.disk.free(self._temporary) < self._reserve + size:
            raise StoreFull(f"less than {self._reserve} octets would stay free under {self._root}")

    @contextlib.contextmanager
    def typed(self, operation: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "error")
            text = f"{operation}: {reason} ({error.strerror}) under {self._root}"
            raise (StoreFull if error.errno in _FULL else StoreUnavailable)(text) from error
