"""What workers say to their crew."""

from __future__ import annotations

import traceback
from typing import Any, NamedTuple

__all__ = [
    "FAILED_TO_START",
    "POKE",
    "READY",
    "RESULTS",
    "Report",
    "detached",
    "forget_frames",
    "remote",
    "set_cause",
    "text_of",
]

POKE, RESULTS, READY, FAILED_TO_START = 0, 1, 2, 3
"""The crew itself, which wants to be woken; and what workers say."""


class Report(NamedTuple):
    """What a worker says."""

    tag: int
    worker: int = -1
    slot: int = 0
    size: int = 0
    """Of how many items."""
    took_ns: int = 0
    is_last: bool = True
    """Whether it is through with the share."""
    body: Any = None
    """Of results: the values, and the exceptions of those that raised. Of others a text."""


def detached(error: BaseException, *, is_pool: bool = False) -> BaseException:
    """An exception without the frames that it came through, since the pool is in them: they are told by its cause."""
    text = text_of(error)
    forget_frames(error)
    set_cause(error, remote(text, is_pool=is_pool))
    return error


def text_of(error: BaseException) -> str:
    """Its traceback, as Python prints it."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def forget_frames(error: BaseException) -> None:
    """Takes off an exception where it came through. Its class is not asked: a frozen dataclass would refuse."""
    BaseException.__setattr__(error, "__traceback__", None)
    BaseException.__setattr__(error, "__context__", None)


def set_cause(error: BaseException, cause: BaseException) -> None:
    """Likewise says what it comes from."""
    BaseException.__setattr__(error, "__cause__", cause)


def remote(text: str, *, is_pool: bool) -> BaseException:
    """A traceback told as text, as the standard library shows that of a worker."""
    quoted = f'\n"""\n{text}"""'
    if is_pool:
        from multiprocessing.pool import RemoteTraceback as Remote  # type: ignore[attr-defined]
    else:
        from concurrent.futures.process import _RemoteTraceback as Remote
    error: BaseException = Remote(quoted)
    return error
