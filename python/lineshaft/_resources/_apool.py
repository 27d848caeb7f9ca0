"""`AsyncResourcePool`: `ResourcePool` for coroutines, of any event loop.

What is opened in one loop is not lent in another one, where most clients and connections do not work: it rests until
its own loop asks, or gives way when there would be too many.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._errors import WrongState
from .._options import duration
from ._ledger import Item, Place
from ._pool import LOOK_EVERY_S, MAX, BasePool
from ._report import too_late

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from types import FrameType, TracebackType

    from typing_extensions import Self

    from .._options import Duration

__all__ = ["AsyncResourcePool"]

T = TypeVar("T")


class AsyncResourcePool(BasePool[T]):
    """At most `max` things that `open` gives, lent to one coroutine at a time and used again.

    ::

        pool = AsyncResourcePool(connect, Connection.close, max=4, healthy=Connection.ping, idle="30s")

        async with pool.get(timeout="2s") as connection:
            ...

    It is `ResourcePool` for event loops: `open`, `close` and `healthy` are coroutine functions, or functions that take
    no time. A block that is cancelled closes what it had; closing itself is not torn apart by a cancellation. Each loop
    has its own things, at most `max` in all of them together; those of a loop that is closed are forgotten.
    """

    def __init__(
        self,
        open: Callable[[], Awaitable[T]] | Callable[[], T],  # noqa: A002
        close: Callable[[T], object] | None = None,
        *,
        max: int = MAX,  # noqa: A002
        idle: Duration | None = None,
        healthy: Callable[[T], object] | None = None,
        timeout: Duration | None = None,
        broken: type[BaseException] | tuple[type[BaseException], ...] = (),
        name: str | None = None,
    ) -> None:
        super().__init__(open, close, healthy, max, idle, timeout, broken, name)

    def get(self, timeout: Duration | None = None) -> AsyncLoan[T]:
        """The block in which one is lent: `async with pool.get() as thing:`. `timeout` is instead of the pool's."""
        return AsyncLoan(self, self._timeout if timeout is None else duration("timeout", timeout), sys._getframe(1))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, timeout: Duration | None = None) -> None:
        """`ResourcePool.close` for coroutines."""
        seconds = None if timeout is None else duration("timeout", timeout)
        until = float("inf") if seconds is None else time.monotonic() + seconds
        ledger, here = self._ledger, _name_of_task()
        if any(place.loop is asyncio.get_running_loop() and place.task == here for place in ledger.holders()):
            raise WrongState(f"close() of {self.name} in a block that holds one of it would wait for itself")
        ledger.close()
        while True:
            await AsyncLoan(self, None, sys._getframe()).end_resting()
            is_empty = ledger.is_empty(bell := AsyncBell())
            if is_empty:
                return
            if is_empty is None:
                await bell.wait(min(until - time.monotonic(), LOOK_EVERY_S))
                if time.monotonic() >= until:
                    raise too_late(f"{self.name} did not close within {seconds:g} s", ledger)

    async def _ready(self, place: Place[T]) -> T:
        """What is lent: what rested, if it is good, or another one."""
        while place.items and not await self._is_good(place):
            await self._end(place)
        if not place.items:
            place.items.append(Item(place.loop))
            things: list[Any] = place.items[0].things
            things.append(await made if hasattr(made := self._open(), "__await__") else made)
            place.ledger.note_opened()
        return place.items[0].things[0]

    async def _is_good(self, place: Place[T]) -> bool:
        item = place.items[0]
        if item.is_broken or not item.things or item.loop is not place.loop:
            return False
        is_rested = self._is_rested(item)
        if self._healthy is None or (self._idle is not None and not is_rested):
            return not is_rested
        item.is_broken = True  # unless it answers
        try:
            answer = await said if hasattr(said := self._healthy(item.things[0]), "__await__") else said
            item.is_broken = not answer
        except Exception as error:
            self._say("is not healthy", error)
        return not item.is_broken

    async def _end(self, place: Place[T]) -> None:
        """Closes what the place holds, where it lives."""
        for item in place.items:
            item.is_broken = True
            try:
                while item.things:
                    await _to_its_end(self._closed, item)
                    place.ledger.note_closed()
            except Exception as error:
                self._say("did not close", error)
        place.items[:] = [item for item in place.items if item.things]

    def _closed(self, things: list[T]) -> Generator[Any, Any, None]:
        _ = (yield from made.__await__()) if hasattr(made := self._close(things.pop()), "__await__") else None

    async def _leave(self, place: Place[T]) -> None:
        """Gives a place back, and closes what it holds if nobody is to use it again."""
        if place.ledger is not self._ledger:
            return  # of the process that this one is a copy of
        try:
            if place.ledger.is_closing or any(item.is_broken for item in place.items):
                await self._end(place)
        finally:
            place.ledger.give_back(place)


class AsyncLoan(Generic[T]):
    """A block in which a thing is lent."""

    __slots__ = ("_place", "_pool", "_timeout")

    def __init__(self, pool: AsyncResourcePool[T], timeout: float | None, frame: FrameType) -> None:
        self._pool = pool
        self._timeout = timeout
        self._place: Place[T] = Place(pool._ledger, frame)

    async def __aenter__(self) -> T:
        try:
            place = self._pool._placed(self._place)
            place.loop, place.task = asyncio.get_running_loop(), _name_of_task()
            self._place = place
            bell = place.ledger.ask(place, AsyncBell)
            if bell is not None:
                await self._wait(place, bell)
            return await self._pool._ready(place)
        except BaseException:
            await self._pool._leave(self._place)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._pool._note(self._place, error)
        finally:
            await self._pool._leave(self._place)

    def __del__(self) -> None:
        if hasattr(self, "_place"):  # set last
            self._pool._find_lost(self._place)

    async def end_resting(self) -> None:
        """Closes one that rests, of a pool that closes."""
        place = self._place
        place.loop, place.task = asyncio.get_running_loop(), _name_of_task()
        try:
            place.ledger.take_resting(place)
        finally:
            await self._pool._leave(place)

    async def _wait(self, place: Place[T], bell: Any) -> None:
        began = time.monotonic()
        until = began + (float("inf") if self._timeout is None else self._timeout)
        while True:
            await bell.wait(min(until - time.monotonic(), LOOK_EVERY_S))
            if place.ledger.has(place):
                place.ledger.note_wait(began)
                return
            if time.monotonic() >= until and place.ledger.give_up(place):
                raise self._pool._timed_out(self._timeout, began)


class AsyncBell:
    """Wakes a coroutine, from any thread."""

    __slots__ = ("_future", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future = self._loop.create_future()

    def wake(self) -> bool:
        """False if its loop is closed."""
        try:
            self._loop.call_soon_threadsafe(self._ring)
        except RuntimeError:
            return False
        return True

    async def wait(self, seconds: float) -> bool:
        """Whether it woke within that time."""
        done, _ = await asyncio.wait((self._future,), timeout=max(0.0, seconds))
        return bool(done)

    def _ring(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


def _name_of_task() -> str:
    task = asyncio.current_task()
    return "a callback of the event loop" if task is None else task.get_name()


async def _to_its_end(close: Callable[[list[Any]], Generator[Any, Any, None]], item: Item[Any]) -> None:
    """Closes `item` in its loop; who is cancelled meanwhile waits for it, and is cancelled then.

    A loop that ends takes with it what lived there, also in the middle of closing; one that goes on later closes it.
    """
    here, loop = asyncio.get_running_loop(), item.loop
    closes: asyncio.Future[Any] | None = None
    try:
        if loop is None or loop is here:
            closes = here.create_task(Closing(close(item.things)))
        elif loop.is_running():
            closes = _begun(Closing(close(item.things)), loop)
        if closes is not None:
            await _over(closes, loop)
    except BaseException:
        if closes is not None:
            await _over(closes, loop)
        raise
    if closes is None or not closes.done():
        item.things = []
    elif not closes.cancelled():
        closes.result()


class Closing(Coroutine[Any, Any, None]):
    """Closes a thing as soon as its loop comes to that: also where the loop ends and cancels it before.

    Its steps are a generator. A coroutine that a loop never came to is warned of, as one that somebody forgot to await.
    """

    __slots__ = ("_has_begun", "_steps")

    def __init__(self, steps: Generator[Any, Any, None]) -> None:
        self._steps = steps
        self._has_begun = False

    def send(self, value: Any, /) -> Any:
        self._has_begun = True
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        return self._steps.throw(*error) if self._has_begun else self.send(None)

    def close(self) -> None:
        self._steps.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._steps


def _begun(closing: Closing, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any] | None:
    """None if the loop was closed meanwhile."""
    told: concurrent.futures.Future[None] = concurrent.futures.Future()

    def tell(task: asyncio.Task[None]) -> None:
        if task.cancelled():
            told.cancel()
        elif error := task.exception():
            told.set_exception(error)
        else:
            told.set_result(None)

    def begin() -> None:
        task = loop.create_task(closing)
        if hasattr(task, "_log_destroy_pending"):
            task._log_destroy_pending = False  # nobody of that loop has forgotten it
        task.add_done_callback(tell)

    try:
        loop.call_soon_threadsafe(begin)
    except RuntimeError:
        return None
    return asyncio.wrap_future(told)


async def _over(closes: asyncio.Future[Any], loop: asyncio.AbstractEventLoop | None) -> None:
    """Waits until it is closed, or will never be since its loop runs no more."""
    while not closes.done() and (loop is None or loop.is_running()):
        await asyncio.wait((closes,), timeout=LOOK_EVERY_S)


AsyncResourcePool.__module__ = "lineshaft"
