"""`logged`: says when a function is called and what it gives."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, overload

from .. import _native
from .._options import wrong
from ._decorator import Decorated, Decorates, shown_call
from ._driving import Body
from ._invocation import Invocation, name_of
from ._wording import Wording, length_of, shown_error, words_of
from ._wrapping import Layer, around

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_LEVEL_WORDS = ", ".join(f'"{word}"' for word in _LEVELS)


@overload
def logged(function: Decorated, /) -> Decorated: ...
@overload
def logged(
    *,
    level: str | int | None = None,
    logger: str | logging.Logger | logging.LoggerAdapter[Any] | None = None,
    redact: str | Sequence[str] = (),
    result: bool = True,
    exceptions: bool = True,
    duration: bool = False,
    max_length: int | None = None,
) -> Decorates: ...
def logged(
    function: Any = None,
    /,
    *,
    level: Any = None,
    logger: Any = None,
    redact: Any = (),
    result: bool = True,
    exceptions: bool = True,
    duration: bool = False,
    max_length: int | None = None,
) -> Any:
    """Has a function say when it is called, with which arguments, and what it gives or raises.

    As ``@logged`` it prints `Calling add with arguments (3, 5) and keyword arguments {}` and `add returned 8`.

    - `level`: has the lines go through `logging`, at `"debug"`, `"info"`, `"warning"`, `"error"`, `"critical"` or a
      number. Where nobody listens to that level, a call costs next to nothing more than without the decorator.
    - `logger`: a logger, or the name of one, to use in place of the one that is named as the function's module. With
      `logger` alone the level is `"info"`.
    - `redact`: names of parameters whose values are shown as `***`.
    - `result`: whether the result is shown; False for `add returned`.
    - `exceptions`: whether an exception is shown, which is raised in any case.
    - `duration`: whether the end says how long it took.
    - `max_length`: to how many characters each argument and result is cut; not at all by default.

    Of generators, the first line comes when the first item is asked for, the second when they end.
    """
    wording = Wording(words_of("redact", redact), bool(result), bool(exceptions), bool(duration), length_of(max_length))
    given = {
        "level": level,
        "logger": logger if logger is None or isinstance(logger, str) else getattr(logger, "name", logger),
        "redact": redact or None,
        "result": None if result else False,
        "exceptions": None if exceptions else False,
        "duration": duration or None,
        "max_length": max_length,
    }
    shown = shown_call("logged", {name: value for name, value in given.items() if value is not None})
    number = None if level is None and logger is None else _level("info" if level is None else level)
    _check_logger(logger)

    def make(function: Callable[..., Any]) -> Layer:
        words = wording.of(function)
        if number is None:
            return Layer(shown, lambda call: _saying(call, words, print))
        target = _logger_of(logger, function)
        say = _recording(target, number, function)
        return Layer(shown, lambda call: _saying(call, words, say), _native.Listening(target, number))

    def apply(function: Any) -> Any:
        return around(function, make, "logged")

    return apply if function is None else apply(function)


def _saying(call: Invocation[Any], words: Wording, say: Callable[[str], None]) -> Body:
    name = call.name
    say(words.beginning(name, call))
    began = time.perf_counter()
    try:
        result = yield
    except Exception as error:
        if words.exceptions:
            say(f"{name} raised {shown_error(error, words.max_length)}{words.took(began)}")
        raise
    say(words.ending(name, result) + words.took(began))


def _recording(
    logger: logging.Logger | logging.LoggerAdapter[Any], level: int, function: Callable[..., Any]
) -> Callable[[str], None]:
    """What logs a line, with the place of the function: a coroutine is not called by who made it."""
    file, line = place_of(function)
    name = name_of(function)
    if not isinstance(logger, logging.Logger):
        return lambda text: logger.log(level, "%s", text)

    def say(text: str) -> None:
        logger.handle(logger.makeRecord(logger.name, level, file, line, text, (), None, name))

    return say


def place_of(function: Any) -> tuple[str, int]:
    """File and line of a function, as well as they are known."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    return ("(unknown file)", 0) if code is None else (code.co_filename, code.co_firstlineno)


def _logger_of(logger: Any, function: Any) -> Any:
    if logger is None:
        return logging.getLogger(getattr(function, "__module__", None))
    return logging.getLogger(logger) if isinstance(logger, str) else logger


def _check_logger(logger: Any) -> None:
    if not (logger is None or isinstance(logger, str | logging.Logger | logging.LoggerAdapter)):
        raise wrong("logger", logger, "a logger or the name of one")


def _level(level: Any) -> int:
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    if isinstance(level, str) and level.lower() in _LEVELS:
        return _LEVELS[level.lower()]
    raise wrong("level", level, f"{_LEVEL_WORDS} or a number")
