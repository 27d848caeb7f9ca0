"""Pickles with their large buffers beside them, as they lie in memory that processes share.

In this order: a prefix, the lengths of the buffers, a head of the caller's, the pickle, and each buffer at a multiple
of 64 bytes. Pickle runs the code of whoever wrote it: this is for a program and the processes that it started, whose
memory has no name.
"""

from __future__ import annotations

import ctypes
import io
import pickle
import struct
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from . import _native

__all__ = ["PREFIX", "SMALL_BYTES_MAX", "Pieces", "dumps", "dumps_as_forking", "fill", "lay_out", "memory_of", "read"]

SMALL_BYTES_MAX = 64 << 10
"""A buffer that has no more is a part of the pickle."""
PREFIX = struct.Struct("=IIQ")
"""Bytes of the head, number of buffers, bytes of the pickle."""
_ALIGNMENT = 64

Pieces = list[tuple[int, "bytes | memoryview"]]
"""What lies where."""


def dumps(value: object) -> tuple[bytes, list[memoryview]]:
    """The pickle of `value`, and its large buffers."""
    buffers: list[memoryview] = []
    try:
        return pickle.dumps(value, 5, buffer_callback=_sorter(buffers)), buffers
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError):
        # What only `multiprocessing` can send, connections for example; or it raises once more.
        return dumps_as_forking(value)


def dumps_as_forking(value: object) -> tuple[bytes, list[memoryview]]:
    """The same, by the reducers that are registered for `multiprocessing`."""
    buffers: list[memoryview] = []
    stream = io.BytesIO()
    ForkingPickler(stream, 5, True, _sorter(buffers)).dump(value)
    return stream.getvalue(), buffers


def _sorter(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """Puts large ones there, and says of the others that they stay."""

    def stays(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # it has gaps
            return True
        if raw.nbytes <= SMALL_BYTES_MAX:
            return True
        buffers.append(raw)
        return False

    return stays


def lay_out(head: bytes, data: bytes, buffers: Sequence[memoryview]) -> tuple[Pieces, int]:
    """Where each piece goes, and how many bytes they take together."""
    lengths = struct.pack(f"={len(buffers)}Q", *(buffer.nbytes for buffer in buffers))
    first = PREFIX.pack(len(head), len(buffers), len(data)) + lengths + head
    pieces: Pieces = [(0, first), (len(first), data)]
    end = len(first) + len(data)
    for buffer in buffers:
        start = _aligned(end)
        pieces.append((start, buffer))
        end = start + buffer.nbytes
    return pieces, end


def fill(memory: memoryview, pieces: Pieces) -> None:
    """Copies them there."""
    for at, piece in pieces:
        memory[at : at + len(piece)] = piece


def read(memory: memoryview) -> tuple[memoryview, memoryview, list[memoryview]]:
    """The head, the pickle and the buffers that lie there."""
    head_bytes, count, data_bytes = PREFIX.unpack_from(memory)
    head_at = PREFIX.size + 8 * count
    data_at = head_at + head_bytes
    end = data_at + data_bytes
    buffers = []
    for length in struct.unpack_from(f"={count}Q", memory, PREFIX.size) if count else ():
        start = _aligned(end)
        end = start + length
        buffers.append(memory[start:end])
    return memory[head_at:data_at], memory[data_at : data_at + data_bytes], buffers


def _aligned(place: int) -> int:
    return -(-place // _ALIGNMENT) * _ALIGNMENT


_kinds: dict[int, type[ctypes.Array[ctypes.c_char]]] = {}
"""Arrays of so many bits of length: a class for each length would be made anew each time."""


def memory_of(block: _native.SharedBlock) -> memoryview:
    """The bytes of a block, which stays as long as they are looked at."""
    bits = (len(block) - 1).bit_length()
    kind = _kinds.get(bits)
    if kind is None:
        kind = _kinds[bits] = ctypes.c_char * (1 << bits)
    array = kind.from_address(block.address)
    # It keeps the block, and what is made of it keeps the array.
    array.block = block  # type: ignore[attr-defined]
    return memoryview(array).cast("B")[: len(block)]
