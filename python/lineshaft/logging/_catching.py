"""`Logger.catch`: what a block or a function raises is logged, and goes on or ends there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from .._decorators import _driving, _wrapping
from .._decorators._decorator import shown_call
from .._decorators._driving import Body
from .._decorators._invocation import Invocation, name_of
from .._decorators._wrapping import Layer, around
from .._errors import Cancel, Retry, Snooze
from .._options import flag, wrong

if TYPE_CHECKING:
    from .._decorators._decorator import Decorated
    from ._logger import Logger

P = ParamSpec("P")
R = TypeVar("R")

_STEERING = (Retry, Snooze, Cancel)
"""By these a body says what is to become of its job."""
_OURS = frozenset(str(file) for file in (__file__, _driving.__file__, _wrapping.__file__))
"""What is between a function and who called it."""


def catching(logger: Logger, given: tuple[Any, ...], level: int | str, message: str | None, reraise: bool) -> Any:
    """What `Logger.catch` gives."""
    is_function = len(given) == 1 and not isinstance(given[0], type)
    exceptions = () if is_function else given
    if not all(isinstance(one, type) and issubclass(one, BaseException) for one in exceptions):
        raise wrong("exceptions", given, "classes of exceptions, or one function")
    if message is not None and not isinstance(message, str):
        raise wrong("message", message, "a text")
    logger.enabled(level)  # or raises
    caught = (Catching if flag("reraise", reraise) else Swallowing)(logger, exceptions, level, message)
    return caught(given[0]) if is_function else caught


class _Caught:
    __slots__ = ("_exceptions", "_has_steering", "_level", "_logger", "_message")

    def __init__(
        self, logger: Logger, exceptions: tuple[type[BaseException], ...], level: int | str, message: str | None
    ) -> None:
        self._logger, self._level, self._message = logger, level, message
        self._exceptions = exceptions or (Exception,)
        self._has_steering = any(issubclass(one, _STEERING) for one in exceptions)

    def __enter__(self) -> None:
        return None

    def _has_logged(self, error: BaseException | None, who: str) -> bool:
        """Whether an exception is one of those that are meant, and so is logged."""
        if not isinstance(error, self._exceptions) or (isinstance(error, _STEERING) and not self._has_steering):
            return False
        message = self._message if self._message is not None else f"{who} raised {type(error).__name__}"
        traceback = error.__traceback__
        try:
            error.__traceback__ = _without_ours(traceback)
            self._logger.log(self._level, message, exc_info=error, stacklevel=_callers_between())
        finally:
            error.__traceback__ = traceback
        return True

    def _around(self, function: Any, is_over: bool) -> Any:
        def make(function: Callable[..., Any]) -> Layer:
            name = getattr(function, "__qualname__", None) or name_of(function)

            def body(call: Invocation[Any]) -> Body:
                try:
                    yield
                except BaseException as error:
                    if not (self._has_logged(error, name) and is_over):
                        raise
                    call.result = None

            return Layer(shown_call("catch", {"reraise": False} if is_over else {}), body)

        return around(function, make, "catch")


class Catching(_Caught):
    """What `Logger.catch` gives: for blocks and above functions, any number of them. What it logs goes on."""

    __slots__ = ()

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._has_logged(error, "a block")

    def __call__(self, function: Decorated, /) -> Decorated:
        """A function around this one, of the same kind, of which it logs what is raised."""
        result: Decorated = self._around(function, is_over=False)
        return result


class Swallowing(_Caught):
    """What `Logger.catch(reraise=False)` gives: for blocks and above functions. What it logs ends there."""

    __slots__ = ()

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return self._has_logged(error, "a block")

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Callable[P, Coroutine[Any, Any, R | None]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R | None]: ...
    def __call__(self, function: Any, /) -> Any:
        """A function around this one, of the same kind, which gives None where it has logged what was raised."""
        return self._around(function, is_over=True)


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    """From where the function begins: what called it is ours, and says nothing."""
    while traceback is not None and traceback.tb_next is not None:
        if traceback.tb_frame.f_code.co_filename not in _OURS:
            break
        traceback = traceback.tb_next
    return traceback


def _callers_between() -> int:
    """What `stacklevel` is for who called the function, or has the block: what is between is ours."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename in _OURS:
        level, frame = level + 1, frame.f_back
    return level
