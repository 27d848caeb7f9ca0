"""Opens the resources that a call needs, and closes them again.

A *room* is what is open together and closed together, in reverse order: one for each attempt or direct call, and in a
worker's child those that are kept between attempts. A resource that does not open uses no attempt: the job is put off,
and may expire meanwhile; nobody tries again before a delay that doubles.
"""

from __future__ import annotations

import logging
import random
import sys
import time
import weakref
from _thread import RLock
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ._current import _running
from ._errors import Cancelled, DeclarationError, NotOpened, Snooze, TimedOut
from ._resource import Resource, Resources
from ._tracebacks import from_the_users_code

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import TracebackType

    from typing_extensions import Self

    from ._resource import Use
    from ._task import BaseTask

__all__ = ["Kept", "with_resources"]

DELAY_FIRST_S = 1.0
DELAY_MAX_S = 60.0
"""How long nobody tries to open a resource that did not open."""


class Room:
    """Resources that are open together. What is kept between attempts is closed each for itself."""

    def __init__(self, *, is_kept: bool = False) -> None:
        self.values: dict[Resource[Any], Any] = {}
        self.lock = RLock()
        self.exits = ExitStack()
        self._is_kept = is_kept

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        is_swallowed = self.exits.__exit__(kind, error, traceback)
        _say_if_swallowed(error if is_swallowed else None, self.values)
        return is_swallowed

    def enter(self, resource: Resource[Any], made: Any) -> Any:
        """What `made` is the context manager of, or itself."""
        if _has(made, "__enter__", "__exit__"):
            with _naming(resource):
                return self.exits.enter_context(_closed_alone(resource, made) if self._is_kept else made)
        if _has(made, "__aenter__", "__aexit__"):
            raise DeclarationError(
                f"resource {resource.name} is an async context manager, which only an async task can enter",
                hint="write the task with `async def`",
            )
        return made


class AsyncRoom:
    """Resources that are open together in one event loop."""

    def __init__(self, *, is_kept: bool = False) -> None:
        import asyncio

        self.values: dict[Resource[Any], Any] = {}
        self.lock = asyncio.Lock()
        self.exits = AsyncExitStack()
        self._is_kept = is_kept

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        is_swallowed = await self.exits.__aexit__(kind, error, traceback)
        _say_if_swallowed(error if is_swallowed else None, self.values)
        return is_swallowed

    async def enter(self, resource: Resource[Any], made: Any) -> Any:
        """What `made` is the context manager of, or itself."""
        if hasattr(made, "__await__") and not _has(made, "__aenter__", "__aexit__"):
            made = await made
        with _naming(resource):
            if _has(made, "__aenter__", "__aexit__"):
                return await self.exits.enter_async_context(_aclosed_alone(resource, made) if self._is_kept else made)
            if not _has(made, "__enter__", "__exit__"):
                return made
            return self.exits.enter_context(_closed_alone(resource, made) if self._is_kept else made)


class Failure(NamedTuple):
    """A resource that did not open, the last time."""

    until: float
    """Nobody tries before, by the monotonic clock."""
    delay: float
    why: str
    times: int
    """How often in a row it raised the same."""


class Kept:
    """What a worker's child keeps open between attempts, and what did not open."""

    def __init__(self, resources: Resources) -> None:
        self.room = Room(is_kept=True)
        self._resources = resources
        self._rooms: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncRoom] = weakref.WeakKeyDictionary()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failures: dict[Resource[Any], Failure] = {}

    def async_room(self) -> AsyncRoom:
        """The room of the running loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        room = self._rooms.get(loop)
        if room is None:
            room = self._rooms[loop] = AsyncRoom(is_kept=True)
        return room

    def open_ahead(self, tasks: Mapping[str, BaseTask[..., Any]]) -> None:
        """Opens the resources of scope "worker", before there is a job; what does not open is tried again with one."""
        for task in tasks.values():
            for use in task.uses.values():
                resource = self._resources.find(use, task.name)
                if resource.scope == "worker":
                    self._open_ahead(resource)

    def _open_ahead(self, resource: Resource[Any]) -> None:
        opening = Opening(self._resources, {}, self)
        try:
            if not self._resources.is_async(resource):
                opening.value(resource, self.room)
        except Snooze:
            return  # it said why

    def holds_loop_of(self, task: BaseTask[..., Any]) -> bool:
        """Whether the task uses what stays open in an event loop between attempts, and so has to run in that loop."""
        used = _all_of(task.name, task.uses, self._resources)
        return any(one.scope != "attempt" and self._resources.is_async(one) for one in used)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine to its end in the loop in which async resources live."""
        import asyncio

        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.new_event_loop()
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        except BaseException:
            if not task.done():
                # A request to stop was raised into the loop; the coroutine hears of it as of any cancellation.
                task.cancel()
                loop.run_until_complete(asyncio.wait((task,)))
            raise

    def check(self, resource: Resource[Any]) -> None:
        """Raises `NotOpened` if it did not open a short while ago."""
        failure = self._failures.get(resource)
        left = 0.0 if failure is None else failure.until - time.monotonic()
        if failure is not None and left > 0:
            # Spread, so that what was put off does not come back all at once.
            raise NotOpened(left * random.uniform(1.0, 1.2) + 0.001, failure.why)

    def opened(self, resource: Resource[Any]) -> None:
        """It opened."""
        self._failures.pop(resource, None)

    def failed(self, resource: Resource[Any], error: BaseException) -> NotOpened:
        """It did not open: says so, with the traceback once for each error, and gives what puts the job off."""
        last = self._failures.get(resource)
        said = ": ".join(part for part in (type(error).__name__, str(error)) if part)
        why = f"resource {resource.name} did not open: {said}"
        is_new = last is None or last.why != why
        delay = DELAY_FIRST_S if last is None else min(2 * last.delay, DELAY_MAX_S)
        count = 1 if last is None or is_new else last.times + 1
        self._failures[resource] = Failure(time.monotonic() + delay, delay, why, count)
        logging.getLogger("lineshaft").error(
            "resource %s (%s) did not open%s; jobs that need it are put off for %g s",
            resource.name,
            resource.place,
            "" if is_new else f" for the {_ordinal(count)} time ({said})",
            delay,
            exc_info=(type(error), error, from_the_users_code(error.__traceback__)) if is_new else None,
        )
        return NotOpened(delay, why)

    def close(self) -> None:
        """Closes everything; what goes wrong is said and does not keep the rest open.

        A loop that a body of another thread holds up is left to it, with what is open there.
        """
        loop = self._loop
        if loop is not None and not loop.is_running():
            room = self._rooms.get(loop)
            if room is not None:
                loop.run_until_complete(room.exits.aclose())
            with _said("the event loop of resources did not end"):
                loop.run_until_complete(_end_of(loop))
            loop.close()
        self.room.exits.close()


class Opening:
    """Opens what one call needs. `kept` is None outside of workers: then everything is opened for the call."""

    def __init__(self, resources: Resources, fakes: Mapping[Resource[Any], Any], kept: Kept | None) -> None:
        self._resources = resources
        self._fakes = fakes
        self._kept = kept

    def values(self, owner: str, uses: Mapping[str, Use], room: Room) -> dict[str, Any]:
        """The resources by parameter."""
        return {name: self.value(self._resources.find(use, owner), room) for name, use in uses.items()}

    def value(self, resource: Resource[Any], room: Room) -> Any:
        """A resource; opened if it is not yet."""
        if resource in self._fakes:
            fake = self._fakes[resource]
            if not isinstance(fake, Resource):
                return fake
            resource = fake
        if self._kept is not None and resource.scope != "attempt":
            room = self._kept.room
        if resource in room.values:
            return room.values[resource]  # while a thread opens another one, this one need not wait
        with room.lock:
            if resource not in room.values:
                room.values[resource] = self._opened(resource, room)
            return room.values[resource]

    def _opened(self, resource: Resource[Any], room: Room) -> Any:
        inner = self.values(f"resource {resource.name}", resource.uses, room)
        kept = self._kept
        if kept is None:
            return room.enter(resource, resource.open(**inner))
        kept.check(resource)
        try:
            with _of_nobody(resource):
                value = room.enter(resource, resource.open(**inner))
        except BaseException as error:
            if _is_passed_on(error):
                raise
            raise kept.failed(resource, error) from error
        kept.opened(resource)
        return value

    async def avalues(self, owner: str, uses: Mapping[str, Use], room: AsyncRoom) -> dict[str, Any]:
        """`values` in an event loop."""
        return {name: await self.avalue(self._resources.find(use, owner), room) for name, use in uses.items()}

    async def avalue(self, resource: Resource[Any], room: AsyncRoom) -> Any:
        """`value` in an event loop."""
        if resource in self._fakes:
            fake = self._fakes[resource]
            if not isinstance(fake, Resource):
                return fake
            resource = fake
        if self._kept is not None and resource.scope != "attempt":
            if not self._resources.is_async(resource):
                return self.value(resource, self._kept.room)
            room = self._kept.async_room()
        if resource in room.values:
            return room.values[resource]
        inner = await self.avalues(f"resource {resource.name}", resource.uses, room)
        async with room.lock:
            if resource not in room.values:
                room.values[resource] = await self._aopened(resource, inner, room)
            return room.values[resource]

    async def _aopened(self, resource: Resource[Any], inner: dict[str, Any], room: AsyncRoom) -> Any:
        kept = self._kept
        if kept is None:
            return await room.enter(resource, resource.open(**inner))
        kept.check(resource)
        try:
            with _of_nobody(resource):
                value = await room.enter(resource, resource.open(**inner))
        except BaseException as error:
            if _is_passed_on(error):
                raise
            raise kept.failed(resource, error) from error
        kept.opened(resource)
        return value


def with_resources(task: BaseTask[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of `task`, which finds its resources open; those that a caller passes are left as they are."""
    uses = task.uses

    def missing(kwargs: dict[str, Any]) -> Mapping[str, Use]:
        return uses if not kwargs else {name: use for name, use in uses.items() if name not in kwargs}

    def run(*args: Any, **kwargs: Any) -> Any:
        with Room() as room:
            kwargs.update(_opening_for(task).values(task.name, missing(kwargs), room))
            return function(*args, **kwargs)

    async def arun(*args: Any, **kwargs: Any) -> Any:
        async with AsyncRoom() as room:
            kwargs.update(await _opening_for(task).avalues(task.name, missing(kwargs), room))
            return await function(*args, **kwargs)

    return arun if task.is_async else run


def _all_of(owner: str, uses: Mapping[str, Use], resources: Resources) -> Iterator[Resource[Any]]:
    for use in uses.values():
        resource = resources.find(use, owner)
        yield resource
        yield from _all_of(f"resource {resource.name}", resource.uses, resources)


def _opening_for(task: BaseTask[..., Any]) -> Opening:
    app = task._app_here()
    if app is not None:
        return Opening(app._resources, app._fakes, app._kept)
    return Opening(task._group._resources if task._group is not None else Resources(), {}, None)


@contextmanager
def _of_nobody(resource: Resource[Any]) -> Iterator[None]:
    """What outlives an attempt is not the attempt's, nor are the threads and tasks that it starts."""
    if resource.scope == "attempt":
        yield
        return
    token = _running.set(None)
    try:
        yield
    finally:
        _running.reset(token)


@contextmanager
def _naming(resource: Resource[Any]) -> Iterator[None]:
    """A generator that ends before its `yield` is an error of `contextlib`, which cannot say whose it is."""
    try:
        yield
    except RuntimeError as error:
        if error.args != ("generator didn't yield",):
            raise
        raise DeclarationError(
            f"resource {resource.name} ({resource.place}) ended without yielding",
            hint="yield what tasks get, on every way through it; what cannot be opened raises",
        ) from None


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ends.get(number % 10, 'th')}"


def _has(thing: Any, *methods: str) -> bool:
    return all(hasattr(type(thing), method) for method in methods)


def _is_passed_on(error: BaseException) -> bool:
    """Whether it is about the attempt rather than about the resource."""
    asyncio = sys.modules.get("asyncio")
    cancelled = (asyncio.CancelledError,) if asyncio is not None else ()
    return isinstance(error, (Snooze, Cancelled, TimedOut, KeyboardInterrupt, GeneratorExit, *cancelled))


async def _end_of(loop: asyncio.AbstractEventLoop) -> None:
    """Ends what bodies and resources left running in a loop."""
    import asyncio

    left = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await loop.shutdown_asyncgens()


@contextmanager
def _closed_alone(resource: Resource[Any], made: AbstractContextManager[Any]) -> Iterator[Any]:
    """`made`, whose trouble at the end is said, and is not that of the resources which were opened before it."""
    with ExitStack() as stack:
        yield stack.enter_context(made)
        with _said(f"resource {resource.name} ({resource.place}) did not close"):
            stack.close()


@asynccontextmanager
async def _aclosed_alone(resource: Resource[Any], made: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(made)
        with _said(f"resource {resource.name} ({resource.place}) did not close"):
            await stack.aclose()


@contextmanager
def _said(what: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        logging.getLogger("lineshaft").error(what, exc_info=error)


def _say_if_swallowed(error: BaseException | None, values: Mapping[Resource[Any], Any]) -> None:
    if error is not None:
        names = ", ".join(resource.name for resource in values if resource.scope == "attempt")
        logging.getLogger("lineshaft").warning(
            "%r of the body was caught at the yield of a resource (%s) and not raised again: the attempt counts as "
            "succeeded, with the result None",
            error,
            names,
        )
