"""A file that grows while its message comes in, and gets its head and its name at the end. Blocking, as `folder`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from services.core.errors import StoreUnavailable
from services.runtime.folder import Folder

_PIECE: Final = 1_048_576  # octets copied at a time


class Draft:
    """What is written so far, behind `room` octets left for a head. Calls from several threads come one by one."""

    def __init__(self, folder: Folder, room: int) -> None:
        self.size = 0  # octets written
        self._folder = folder
        self._disk = folder.disk
        self._room = room
        self._file = -1
        self._path = ""
        self._over = False
        self._lock = threading.Lock()  # a call that nobody waits for any longer may still be at work

    def write(self, parts: Sequence[bytes | memoryview]) -> None:
        """As Upload.write."""
        with self._lock, self._folder.typed("write"):
            self._check()
            octets = sum(len(part) for part in parts)
            self._folder.check_room(octets)
            self._open()
            self._folder.write(self._file, parts)
            self.size += octets

    def commit(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """As Upload.commit: the first object is the file itself, the others are copies."""
        with self._lock, self._folder.typed("commit"):
            self._check()
            self._open()
            in_place = next((at for at, (_, head) in enumerate(objects) if len(head) == self._room), None)
            for at, (key, head) in enumerate(objects):
                if at != in_place:
                    self._copy(key, head)
            if in_place is not None:
                key, head = objects[in_place]
                self._write_head(head)
                self._disk.fdatasync(self._file)
                self._folder.place(self._path, key)

    def close(self) -> None:
        """Remove the file under its temporary name; as Upload.discard, but it waits for a call under way."""
        with self._lock, self._folder.typed("discard"):
            self._over = True
            if self._file < 0:
                return
            file, self._file = self._file, -1
            try:
                self._folder.unlink(self._path)
            finally:
                self._disk.close(file)

    def _check(self) -> None:
        if self._over:
            raise StoreUnavailable("the upload has been given up")

    def _open(self) -> None:
        if self._file < 0:
            self._file, self._path = self._folder.open_upload()
            self._disk.seek(self._file, self._room)

    def _write_head(self, head: bytes) -> None:
        view = memoryview(head)
        at = 0
        while at < len(view):
            at += self._disk.pwrite(self._file, view[at:], at)

    def _copy(self, key: str, head: bytes) -> None:
        self._folder.check_room(self.size)
        file, path = self._folder.open_upload()
        try:
            self._folder.write(file, [head])
            at, end = self._room, self._room + self.size
            while at < end:
                piece = self._disk.pread(self._file, min(_PIECE, end - at), at)
                if not piece:
                    raise StoreUnavailable("commit: the half-written file is shorter than it was")
                self._folder.write(file, [piece])
                at += len(piece)
            self._disk.fdatasync(file)
            self._folder.place(path, key)
        finally:
            self._folder.unlink(path)
            self._disk.close(file)
