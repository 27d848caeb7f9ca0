"""Objects that are no values of the wire format, for queues: pickled, with large buffers beside the pickle.

Pickle runs the code of whoever wrote it. Here it is for a program and the processes that it started: the memory of a
queue has no name, and who has its descriptor inherited it.
"""

from __future__ import annotations

import pickle
from typing import Any

from lineshaft import _native
from lineshaft._pickles import SMALL_BYTES_MAX, Pieces, dumps_as_forking, lay_out, memory_of, read
from lineshaft._pickles import fill as fill_memory

__all__ = ["REGISTRY", "fill", "loads", "loads_with_buffers", "pack", "view"]

REGISTRY = _native.Registry(accept_pickle=True)
"""Of no class: those of the program are pickled, and so found by whoever gets them."""

_PICKLE, _VIEW, _PICKLE_WITH_BUFFERS = 4, 5, 6
"""As in `ipc/message.rs`."""

_Packed = tuple[int, bytes, Pieces, int]


def pack(obj: Any) -> _Packed:
    """What a message says of `obj`: its tag and its bytes, or what lies where in a block and how large that is."""
    if type(obj) is memoryview:
        return _pack_view(obj)
    data, buffers = dumps_as_forking(obj)
    if not buffers:
        return _PICKLE, data, [], 0
    return _PICKLE_WITH_BUFFERS, b"", *lay_out(b"", data, buffers)


def _pack_view(obj: memoryview) -> _Packed:
    if obj.nbytes <= SMALL_BYTES_MAX or not obj.c_contiguous:
        head = obj.tobytes()
        if len(head) <= SMALL_BYTES_MAX:
            return _VIEW, head, [], 0
        obj = memoryview(head)
    return _VIEW, b"", [(0, obj.cast("B"))], obj.nbytes


def fill(block: _native.SharedBlock, pieces: Pieces) -> None:
    """Places what `pack` made in a block."""
    fill_memory(memory_of(block), pieces)


def loads(data: bytes) -> Any:
    """What was pickled without buffers."""
    return pickle.loads(data)


def loads_with_buffers(block: _native.SharedBlock) -> Any:
    """What was pickled with buffers: they stay where they are, and cannot be written to."""
    _, data, buffers = read(view(block))
    return pickle.loads(data, buffers=buffers)


def view(block: _native.SharedBlock) -> memoryview:
    """The bytes of a block, to be read. The block is free again when the last view of them is gone."""
    return memory_of(block).toreadonly()
