"""Fields of all records that are logged in a block."""

from __future__ import annotations

from contextvars import Token
from types import TracebackType
from typing import Any

from .. import _native
from .._belongings import fields


class context:  # noqa: N801
    """`with context(user="ada"):` adds the field to each record that is logged in the block, by whichever logger.

    It goes with the context of Python: coroutines and tasks that begin in the block have it. So do calls that are given
    to a `Pool` or `Executor` in it, and in an attempt all threads that its body starts; other threads do
    if they are begun with `contextvars.copy_context()`, as `asyncio.to_thread` does. It goes along with jobs that are
    enqueued in the block, or whose calls are made in it, without secrets and up to 4,096 bytes of JSON: what their
    attempts log has the fields too, and so have the jobs that these enqueue.
    """

    __slots__ = ("_fields", "_tokens")

    def __init__(self, /, **fields: Any) -> None:
        self._fields = fields
        self._tokens: list[Token[_native.LogFields | None]] = []

    def __enter__(self) -> None:
        self._tokens.append(fields.set(_native.LogFields(fields.get(), self._fields)))

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        fields.reset(self._tokens.pop())


def current_context() -> dict[str, Any]:
    """The fields that are added to each record here and now, as a copy: those of the blocks around, and in an attempt
    those that came with its job.
    """
    return _native.log_context()
