"""What `current.cleanup(...)` leaves to be called when the body is over: a stack for each attempt that needs one.

It is emptied inside of what opened the attempt's resources, so that they are still open, and before the end of the
attempt is told. A task that is called as an ordinary function has a stack for the outermost call. Around each emptying
stands another one: what is raised between two steps of the first, such as Ctrl-C, leaves nothing behind.
"""

from __future__ import annotations

from _thread import allocate_lock
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ._current import _running
from ._declare import is_async_function
from ._errors import NoCurrentJob
from ._native import Shield
from ._tracebacks import from_the_users_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._native import RunningAttempt

__all__ = ["leave", "with_cleanup"]

F = TypeVar("F", bound="Callable[..., Any]")

_direct: ContextVar[Cleanups | None] = ContextVar("lineshaft_cleanups", default=None)
"""Of a task that is called outside of a job. Those of an attempt are found by it: its threads know nothing else."""


_lock = allocate_lock()
"""Held for one look at a stack: of all of them, since most stay empty and have to cost nothing."""


class Cleanups:
    """What is to be called, last in first out. Threads may add to it while the body runs."""

    is_async = False
    is_over = False
    """The body is over, and all of them were called."""
    _calls: list[partial[Any]] | None = None

    def add(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Adds a call; raises RuntimeError when nobody would make it any more."""
        if not self.is_async and is_async_function(function):
            raise TypeError(
                f"current.cleanup() cannot wait for {_name(function)}, which is a coroutine function; write the task "
                "with `async def`"
            )
        with _lock:
            if not self.is_over:
                self._calls = self._calls or []
                self._calls.append(partial(function, *args, **kwargs))
                return
        raise _too_late(function)

    def empty(self, error: BaseException | None) -> None:
        """Calls what there is; `error` is what the body raised.

        Raises the first error of them, unless `error` is there to be raised: then it is said.
        """
        if not self._calls and self._end():
            return
        raised = error
        with Shield(_running.get()):
            while not self._end():
                try:
                    while self._calls:
                        self._calls.pop()()
                except BaseException as later:
                    raised = _heavier(raised, later)
        if raised is not None and raised is not error:
            raise raised

    async def aempty(self, error: BaseException | None) -> None:
        """`empty` for coroutines, which waits for those that are coroutine functions."""
        if not self._calls and self._end():
            return
        raised = error
        with Shield(_running.get()):
            while not self._end():
                try:
                    while self._calls:
                        _ = await made if hasattr(made := self._calls.pop()(), "__await__") else None
                except BaseException as later:
                    raised = _heavier(raised, later)
        if raised is not None and raised is not error:
            raise raised

    def _end(self) -> bool:
        """Whether nothing is left; nothing is added from then on."""
        with _lock:
            self.is_over = not self._calls
            return self.is_over


class AsyncCleanups(Cleanups):
    """Those of a coroutine."""

    is_async = True


def leave(function: F, args: tuple[Any, ...], kwargs: dict[str, Any]) -> F:
    """Adds a call to the cleanups of what runs here."""
    attempt = _running.get()
    if attempt is None:
        has_begun, cleanups = False, _direct.get()
        if cleanups is not None and cleanups.is_over:
            cleanups = None
    else:
        has_begun, is_async = attempt.body_state
        cleanups = attempt.keep_cleanups(AsyncCleanups() if is_async else Cleanups()) if has_begun else None
    if cleanups is not None:
        cleanups.add(function, args, kwargs)
        return function
    if has_begun:
        raise _too_late(function)
    raise NoCurrentJob(
        f"current.cleanup: no task runs here, so nobody would call {_name(function)}",
        hint="it is for the body of a task, and for threads that take its context along",
    )


def with_cleanup(function: Callable[..., Any], is_async: bool) -> Callable[..., Any]:
    """`function` of a task, with what it leaves called when it is over."""

    def run(*args: Any, **kwargs: Any) -> Any:
        attempt = _running.get()
        if attempt is None:
            return here(*args, **kwargs)
        if not attempt.begin_body(False):
            return function(*args, **kwargs)
        try:
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                if not attempt.end_body():
                    _left(attempt).empty(error)
                raise
            if not attempt.end_body():
                _left(attempt).empty(None)
            return result
        finally:
            if not attempt.end_body() and not _left(attempt).is_over:
                _left(attempt).empty(None)

    async def arun(*args: Any, **kwargs: Any) -> Any:
        attempt = _running.get()
        if attempt is None:
            return await here(*args, **kwargs)
        if not attempt.begin_body(True):
            return await function(*args, **kwargs)
        try:
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                if not attempt.end_body():
                    await _left(attempt).aempty(error)
                raise
            if not attempt.end_body():
                await _left(attempt).aempty(None)
            return result
        finally:
            if not attempt.end_body() and not _left(attempt).is_over:
                await _left(attempt).aempty(None)

    here = _directly(function, is_async)
    made: Any = arun if is_async else run
    made.__name__, made.__qualname__ = function.__name__, function.__qualname__  # in words about its coroutines
    return made  # type: ignore[no-any-return]


def _directly(function: Callable[..., Any], is_async: bool) -> Callable[..., Any]:
    """The same where no job runs: those of the outermost call of a task are called when that is over."""

    def run(*args: Any, **kwargs: Any) -> Any:
        cleanups = Cleanups()
        try:
            try:
                _begin(cleanups)
                result = function(*args, **kwargs)
            except BaseException as error:
                cleanups.empty(error)
                raise
            cleanups.empty(None)
            return result
        finally:
            if not cleanups.is_over:
                cleanups.empty(None)

    async def arun(*args: Any, **kwargs: Any) -> Any:
        cleanups = AsyncCleanups()
        try:
            try:
                _begin(cleanups)
                result = await function(*args, **kwargs)
            except BaseException as error:
                await cleanups.aempty(error)
                raise
            await cleanups.aempty(None)
            return result
        finally:
            if not cleanups.is_over:
                await cleanups.aempty(None)

    return arun if is_async else run


def _begin(cleanups: Cleanups) -> None:
    """Makes them those of what runs here, unless it is a task that another one calls."""
    if (before := _direct.get()) is None or before.is_over:
        _direct.set(cleanups)


def _left(attempt: RunningAttempt) -> Cleanups:
    return cast("Cleanups", attempt.cleanups)


def _too_late(function: Callable[..., Any]) -> RuntimeError:
    return RuntimeError(f"the body is over: current.cleanup() would never call {_name(function)}")


def _heavier(error: BaseException | None, later: BaseException) -> BaseException:
    """Which of two errors the attempt ends with; the other one is said.

    The first, as a rule. A request to stop that came between is not lost to an error.
    """
    if error is None:
        return later
    import logging

    wins = later if isinstance(error, Exception) and not isinstance(later, Exception) else error
    other = error if wins is later else later
    logging.getLogger("lineshaft").error(
        "a cleanup of the attempt raised beside another error",
        exc_info=(type(other), other, from_the_users_code(other.__traceback__)),
    )
    return wins


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))
