"""Running the body of a decorator around a call: one for each kind of function, which differ in how they wait.

At each `yield` the body asks for the call, or for a pause. What comes of it is sent in, or thrown in if it raised.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from ._invocation import Invocation, Pause

Body = Generator[Any, Any, Any]


def drive(call: Invocation[Any], body: Body) -> Any:
    """Around a function: what the call gives."""
    course = _Course(call, body)
    while course.goes_on():
        try:
            if course.pause is None:
                course.gave(call.function(*call.args, **call.kwargs))
            else:
                time.sleep(course.pause)
        except BaseException as error:
            course.failed(error)
    return call.result


async def drive_coroutine(call: Invocation[Any], body: Body) -> Any:
    """Around a coroutine function."""
    course = _Course(call, body)
    while course.goes_on():
        try:
            if course.pause is None:
                course.gave(await call.function(*call.args, **call.kwargs))
            else:
                await asyncio.sleep(course.pause)
        except BaseException as error:
            course.failed(error)
    return call.result


def drive_generator(call: Invocation[Any], body: Body) -> Generator[Any, Any, Any]:
    """Around a generator, from when the first item is asked for until it ends or is closed."""
    course = _Course(call, body)
    while course.goes_on():
        try:
            if course.pause is None:
                course.gave((yield from _items(call)))
            else:
                time.sleep(course.pause)
        except BaseException as error:
            course.failed(error)
    return call.result


def async_generator_around(
    function: Callable[..., Any], body_of: Callable[[Invocation[Any]], Body]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """An async generator around `function`, which is one, from when the first item is asked for.

    There is no `yield from` for these: what is sent and thrown in is passed on by hand, here and nowhere else.
    """

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call: Invocation[Any] = Invocation(function, args, kwargs)
        course = _Course(call, body_of(call))
        while course.goes_on():
            try:
                if course.pause is not None:
                    await asyncio.sleep(course.pause)
                    continue
                items = call.function(*call.args, **call.kwargs)
                try:
                    item = await items.asend(None)
                    while True:
                        call.has_given = True
                        try:
                            sent = yield item
                        except GeneratorExit:
                            raise
                        except BaseException as error:
                            item = await items.athrow(error)
                        else:
                            item = await items.asend(sent)
                except StopAsyncIteration:
                    pass
                finally:
                    await items.aclose()
            except BaseException as error:
                course.failed(error)

    return wrapper


class _Course:
    """Where a body is, and what is to be given to it."""

    __slots__ = ("_body", "_call", "_raised", "_result", "pause")

    def __init__(self, call: Invocation[Any], body: Body) -> None:
        self._call, self._body = call, body
        self._result: Any = None
        self._raised: BaseException | None = None
        self.pause: float | None = None
        """Seconds, if it is not the call that the body asks for."""

    def goes_on(self) -> bool:
        """Runs the body until it asks for something; false if it has ended, with `call.result` as it wants it."""
        raised, result = self._raised, self._result
        self._raised = self._result = None
        traceback = None if raised is None else raised.__traceback__
        try:
            asked = self._body.send(result) if raised is None else self._body.throw(raised)
        except StopIteration as end:
            if end.value is not None:
                self._call.result = end.value
            return False
        except BaseException as left:
            if raised is None or not _is(raised, left):
                raise
        else:
            self.pause = self._seconds(asked)
            if self.pause is None:
                self._call.result = None
            return True
        try:
            # What the body lets pass has the traceback that it came with.
            raise raised.with_traceback(traceback)
        finally:
            del raised, traceback  # which have this frame

    def gave(self, result: Any) -> None:
        self._result = self._call.result = result

    def failed(self, error: BaseException) -> None:
        self._raised = error

    def _seconds(self, asked: Any) -> float | None:
        if asked is None:
            return None
        if isinstance(asked, Pause):
            return asked.seconds
        self._body.close()
        name = getattr(self._body, "__qualname__", "the body")
        raise TypeError(
            f"{name} yields {asked!r}: the body of a decorator says `yield`, which makes the call, "
            "or `yield call.pause(...)`"
        )


def _is(raised: BaseException, left: BaseException) -> bool:
    """Whether `left`, which left a body, is `raised`, which was thrown into it.

    Python makes a RuntimeError of a StopIteration that leaves a generator: here that is the function's own.
    """
    return left is raised or (isinstance(raised, StopIteration) and left.__cause__ is raised)


def _items(call: Invocation[Any]) -> Generator[Any, Any, Any]:
    """All of a generator; notes when there was an item."""
    items = call.function(*call.args, **call.kwargs)
    step: Callable[[], Any] = functools.partial(next, items)
    while True:
        try:
            item = step()
        except StopIteration as end:
            return end.value
        call.has_given = True
        try:
            sent = yield item
        except GeneratorExit:
            items.close()
            raise
        except BaseException as error:
            step = functools.partial(items.throw, error)
        else:
            if sent is None:
                # From here on Python does it, and faster.
                return (yield from items)
            step = functools.partial(items.send, sent)
