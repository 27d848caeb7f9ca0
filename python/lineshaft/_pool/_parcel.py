"""Messages between a pool and its workers: a head, an object, and its large buffers beside it.

What is small is copied through a ring. What is large lies in a block of memory that both sides map: arrays are not
copied on the way out of it, and a receiver that changes one changes its own copy of the page.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import struct
from typing import TYPE_CHECKING, Any

from .._pickles import PREFIX, fill, lay_out, memory_of, read

if TYPE_CHECKING:
    from .. import _native

__all__ = ["Letter", "NoRoom", "Wire", "Written"]

_FILE = struct.Struct("=iiQ")
"""Process, descriptor and bytes of a message that lies in a file."""
_IS_FILE = 1 << 30
_COPIED_MAX = 2048
"""Bytes of a message that goes through the ring. Of these a ring has room for as many as a worker gets at a time."""
_PARCELS_MAX = 200
"""Each takes a descriptor as long as something of it is in use; more than these are copied."""


class NoRoom(Exception):
    """A message for which there is no room now."""


class Letter:
    """A message that has come."""

    __slots__ = ("_buffers", "_data", "head")

    def __init__(self, memory: bytes | bytearray | memoryview | mmap.mmap) -> None:
        # These keep it.
        self.head, self._data, self._buffers = read(memoryview(memory))

    def loads(self) -> Any:
        """The object, whose arrays may be written to."""
        if not self._buffers:
            return pickle.loads(self._data)
        return pickle.loads(self._data, buffers=self._buffers)

    def forget(self) -> None:
        """Lets go of what has been read."""
        self.head = self._data = memoryview(b"")
        self._buffers = []

    def loads_copied(self) -> Any:
        """The same, with nothing of it in shared memory."""
        self._buffers = [memoryview(bytearray(buffer)) for buffer in self._buffers]
        return self.loads()


class Written:
    """A message in a file without a name, for which a line has no room, or which several have.

    It is there as long as this object.
    """

    def __init__(self, head: bytes, data: bytes, buffers: list[memoryview]) -> None:
        pieces, self.size_bytes = lay_out(head, data, buffers)
        self._file = _file_of(self.size_bytes)
        with mmap.mmap(self.descriptor, self.size_bytes) as mapped, memoryview(mapped) as memory:
            fill(memory, pieces)

    @property
    def descriptor(self) -> int:
        """Of the file."""
        return self._file.fileno()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


class Wire:
    """One end of a line."""

    def __init__(self, line: _native.Line) -> None:
        self.line = line

    def post(self, tag: int, head: bytes, data: bytes, buffers: list[memoryview], timeout: float | None = None) -> None:
        """Sends a message; `NoRoom` if there is none within `timeout` seconds, `ValueError` if there never is."""
        pieces, total = lay_out(head, data, buffers)
        if total <= _COPIED_MAX:
            if not self.line.put(tag, b"".join([piece for _, piece in pieces]), timeout):
                raise NoRoom
            return
        block = self.line.allocate(total, timeout)
        if block is None:
            raise NoRoom
        fill(memory_of(block), pieces)
        if not self.line.put_block(tag, block, timeout):
            raise NoRoom

    def post_written(self, tag: int, message: Written) -> None:
        """Sends a message that lies in a file, which stays until it has been read; `NoRoom` if there is none now."""
        if not self.line.put(tag | _IS_FILE, _FILE.pack(os.getpid(), message.descriptor, message.size_bytes), 0.0):
            raise NoRoom

    def open(self, tag: int, payload: bytes | _native.SharedBlock) -> tuple[int, Letter]:
        """The tag and what came with it."""
        if tag & _IS_FILE:
            assert isinstance(payload, bytes)
            pid, number, total = _FILE.unpack(payload)
            descriptor = os.open(f"/proc/{pid}/fd/{number}", os.O_RDWR)
            try:
                parcel = _Parcel(descriptor, total, flags=mmap.MAP_PRIVATE)
            finally:
                os.close(descriptor)
            return tag & ~_IS_FILE, Letter(parcel)
        if isinstance(payload, bytes):
            return tag, Letter(payload)
        memory = memory_of(payload)
        _, count, _ = PREFIX.unpack_from(memory)
        if count > 0 and _Parcel.alive < _PARCELS_MAX:
            try:
                parcel = _Parcel(
                    self.line.descriptors()[1], len(payload), flags=mmap.MAP_PRIVATE, offset=payload.offset
                )
            except OSError:  # no descriptor is left, or no room for a mapping
                pass
            else:
                parcel.block = payload
                return tag, Letter(parcel)
        return tag, Letter(bytearray(memory) if count > 0 else memory)


def _file_of(size_bytes: int) -> io.FileIO:
    """A file in memory, or on a disk where there is none; without a name."""
    try:
        return _with_room(io.FileIO(os.memfd_create("lineshaft-share"), "r+"), size_bytes)
    except OSError:
        import tempfile  # not before, since workers are to start fast

        return _with_room(tempfile.TemporaryFile(buffering=0), size_bytes)


def _with_room(file: io.FileIO, size_bytes: int) -> io.FileIO:
    try:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
    except OSError:
        file.close()
        raise
    return file


class _Parcel(mmap.mmap):
    """A block that is mapped by itself, as long as anybody looks at it."""

    alive = 0
    block: object = None

    def __new__(cls, *args: Any, **keywords: Any) -> _Parcel:
        made = super().__new__(cls, *args, **keywords)
        _Parcel.alive += 1
        return made

    def __del__(self) -> None:
        _Parcel.alive -= 1
