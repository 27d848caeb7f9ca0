"""Where small things lie that processes share: many in a segment, since each takes a descriptor."""

from __future__ import annotations

import os
from multiprocessing import context, reduction
from typing import Any

from lineshaft import _native

__all__ = ["Heap", "Place", "own", "take"]


class Heap:
    """A segment; children that are not forked get its descriptor, once for all that lies in it."""

    def __init__(self, native: _native.Heap) -> None:
        self.native = native

    def __reduce__(self) -> tuple[Any, ...]:
        context.assert_spawning(self)
        return _adopt, (reduction.DupFd(self.native.fileno()),)


Place = tuple[Heap, int]
"""A heap, and where in it."""

_current: Heap | None = None


def take(size_bytes: int) -> Place:
    """A place for so many bytes, which are zero and nobody else's."""
    global _current
    if _current is not None and (offset := _current.native.take(size_bytes)) is not None:
        return _current, offset
    heap = Heap(_native.Heap())
    offset = heap.native.take(size_bytes)
    if offset is None:
        raise ValueError(f"{size_bytes} bytes are more than a heap has")
    _current = heap
    return heap, offset


def own(passed: Any) -> int:
    """The descriptor that a parent passed, marked as one that has no owner in this process yet, whoever brought it."""
    fd: int = passed.detach()
    os.set_inheritable(fd, True)
    return fd


def _adopt(passed: Any) -> Heap:
    return Heap(_native.Heap.adopt(own(passed)))


def _forget() -> None:
    # What is left of it is the parent's.
    global _current
    _current = None


os.register_at_fork(after_in_child=_forget)
