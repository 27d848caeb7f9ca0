"""Functions with several implementations: what `alternatives` gives."""

from __future__ import annotations

import asyncio
import functools
import time
import types
from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Any, cast

from .. import _native
from .._cached._functions import mark_coroutine_function
from ._classes import Classes, Implementation
from ._options import Options


class _Chosen:
    """What functions and coroutine functions have in common."""

    __wrapped__: Callable[..., Any]

    def __init__(self, functions: Sequence[Callable[..., Any]], options: Options) -> None:
        self._functions = tuple(functions)
        functools.update_wrapper(cast("Any", self), functions[0])
        self.__qualname__ = getattr(functions[0], "__qualname__", repr(functions[0]))
        self._classes = Classes(self.__qualname__, functions, options)

    def __repr__(self) -> str:
        return f"<{self.__qualname__}, one of {len(self._functions)} implementations>"

    def __reduce__(self) -> str:
        return self.__qualname__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(cast("Any", self), instance)

    def implementations(self) -> dict[Hashable, list[Implementation]]:
        """How they stand, by class of arguments, in the order in which they were given."""
        return self._classes.rows()

    def explain(self) -> str:
        """The same for people."""
        return self._classes.text()

    def _pick(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Hashable, _native.Choice, _native.Pick]:
        kind, choice = self._classes.of(args, kwargs)
        return kind, choice, choice.pick(_now_ms())


class ChosenFunction(_Chosen):
    """A function with several implementations."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kind, choice, pick = self._pick(args, kwargs)
        number = pick.number
        began = time.perf_counter()
        try:
            value = self._functions[number](*args, **kwargs)
        except BaseException as error:
            choice.gave_none(pick)
            if number == 0 or not isinstance(error, Exception):
                raise
            failed = error
        else:
            self._classes.ran(kind, choice, pick, time.perf_counter() - began)
            if number == 0 or not self._classes.is_to_be_verified():
                return value
            right = self._functions[0](*args, **kwargs)
            if (is_right := self._classes.is_right(kind, number, right, value)) is False:
                self._classes.differed(kind, choice, number)
            return value if is_right else right
        value = self._functions[0](*args, **kwargs)  # whose exception is the function's
        self._classes.failed(kind, choice, number, failed)
        return value


class AsyncChosenFunction(_Chosen):
    """A coroutine function with several implementations."""

    def __init__(self, functions: Sequence[Callable[..., Any]], options: Options) -> None:
        super().__init__(functions, options)
        mark_coroutine_function(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        return self._call(args, kwargs)

    async def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kind, choice, pick = self._pick(args, kwargs)
        number = pick.number
        failed: Exception | None = None
        try:
            value, is_over, seconds = await _within(pick.limit_s, self._functions[number](*args, **kwargs))
        except BaseException as error:
            choice.gave_none(pick)
            if number == 0 or not isinstance(error, Exception):
                raise
            failed = error
        else:
            self._classes.ran(kind, choice, pick, seconds)
            if is_over and (number == 0 or not self._classes.is_to_be_verified()):
                return value
            if not is_over:
                number = choice.best or 0
                try:
                    return await self._functions[number](*args, **kwargs)
                except Exception as error:
                    if number == 0:
                        raise
                    failed = error
        right = await self._functions[0](*args, **kwargs)
        if failed is not None:
            self._classes.failed(kind, choice, number, failed)
            return right
        if (is_right := self._classes.is_right(kind, number, right, value)) is False:
            self._classes.differed(kind, choice, number)
        return value if is_right else right


async def _within(limit_s: float | None, coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, bool, float]:
    """What it gives, whether it was over in time, else it was cancelled, and how many seconds it took."""
    began = time.perf_counter()
    if limit_s is None:
        return await coroutine, True, time.perf_counter() - began
    # A task begins when the loop comes to it, and is heard of later than it ends: that time is not its own.
    task = asyncio.ensure_future(_timed(coroutine))
    try:
        done, _ = await asyncio.wait((task,), timeout=limit_s)
    except BaseException:
        task.cancel()
        await asyncio.wait((task,))
        raise
    if not done:
        task.cancel()
        await asyncio.wait((task,))
    if done or (not task.cancelled() and task.exception() is None):  # in the last moment
        value, seconds = task.result()
        return value, True, seconds
    return None, False, time.perf_counter() - began


async def _timed(coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    value = await coroutine
    return value, time.perf_counter() - began


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
