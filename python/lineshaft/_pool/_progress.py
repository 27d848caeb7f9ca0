"""How far a map is, in one line of a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ._outcomes import AsyncResult

__all__ = ["followed"]

T = TypeVar("T")

_INTERVAL_S = 0.1


def followed(result: AsyncResult[list[T]], progress: bool | str) -> list[T]:
    """The result, which is waited for with a line that says how much of it is there; `progress` stands before it."""
    if progress:
        _follow(result, progress if isinstance(progress, str) else "map")
    return result.get()


def _follow(result: AsyncResult[Any], label: str) -> None:
    """Shows how much of a map is done, until it is. Nothing where standard error is no terminal."""
    stream = sys.stderr
    if stream is None or not stream.isatty():
        return
    import shutil  # not before, since workers that import `Pool` are to start fast

    began = time.monotonic()
    try:
        while not result.ready():
            result.wait(_INTERVAL_S)
            done, total = result.counted()
            columns = shutil.get_terminal_size().columns
            stream.write("\r" + _line(label, done, total, time.monotonic() - began)[: columns - 1] + "\x1b[K")
            stream.flush()
    finally:
        stream.write("\r\x1b[K")
        stream.flush()


def _line(label: str, done: int, total: int, seconds: float) -> str:
    filled = 20 * done // max(total, 1)
    line = f"{label} [{'#' * filled}{' ' * (20 - filled)}] {done}/{total}"
    if done == 0:
        return line
    return f"{line}, {done / seconds:.3g}/s, {(total - done) * seconds / done:.0f} s left"
