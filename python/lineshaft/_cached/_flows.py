"""What threads and coroutines do alike, written once: a generator that yields what there is to wait for.

Whoever runs it carries each step out in its own way, and sends back what came of it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from .._loop import ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import _native
    from .._app import App

T = TypeVar("T")

computing: ContextVar[frozenset[str]] = ContextVar("lineshaft_cache_computing", default=frozenset())
"""The keys whose values are being computed by this thread or coroutine, and by those that it was started by."""

Flow = Generator["Connected | Asked | Locked | Called", Any, T]


class Connected:
    """The app's client."""

    def now(self, app: App) -> Any:
        return app._connection.client()

    async def later(self, app: App) -> Any:
        return await app._connection.aclient()


class Asked:
    """The answer to a question to the engine."""

    def __init__(self, ask: Callable[[_native.Client], _native.Reply[Any]]) -> None:
        self._ask = ask

    def now(self, app: App) -> Any:
        return self._ask(app._connection.client()).wait()

    async def later(self, app: App) -> Any:
        reply = self._ask(await app._connection.aclient())
        await ready(reply)
        return reply.wait()


class Locked:
    """A lock that was asked for: whether it was given."""

    WAIT_S = 3_600.0

    def __init__(self, lock: _native.Lock) -> None:
        self._lock = lock

    def now(self, _: App) -> Any:
        while (held := self._lock.wait(self.WAIT_S)) is None:
            pass
        return held

    async def later(self, _: App) -> Any:
        await ready(self._lock)
        return self._lock.wait(0.0)


class Called:
    """What a function gives that is called, and awaited if it is a coroutine function: its value and None, or None and
    its exception, which would end a generator if it were thrown into it and was a `StopIteration`.

    It computes the value of `key`, as those see whom it calls in other threads and tasks.
    """

    def __init__(self, call: Callable[[], Any], key: str) -> None:
        self._call, self._key = call, key

    def now(self, _: App) -> Any:
        before = computing.set(computing.get() | {self._key})
        try:
            return self._call(), None
        except Exception as error:
            return None, error
        finally:
            computing.reset(before)

    async def later(self, _: App) -> Any:
        before = computing.set(computing.get() | {self._key})
        try:
            return await self._call(), None
        except Exception as error:
            return None, error
        finally:
            computing.reset(before)


def run(flow: Flow[T], app: App) -> T:
    """Runs it on this thread."""
    try:
        step = next(flow)
        while True:
            try:
                answer = step.now(app)
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        flow.close()


async def arun(flow: Flow[T], app: App) -> T:
    """Runs it in this coroutine."""
    try:
        step = next(flow)
        while True:
            try:
                answer = await step.later(app)
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        flow.close()
