"""Worker processes of this program: `with app.workers()`, `app.run_worker()` and script mode.

All of them are a `Crew`: the supervisor, which is Rust on threads of its own, and its children, which import the app.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from . import _native
from ._drain import drain
from ._errors import DeclarationError, WorkerFailed
from ._guard import refuse_import_side_effect
from ._names import canonical_module, main_file
from ._options import duration, name, wrong

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ._app import App
    from ._options import Duration

__all__ = ["Block", "Crew", "Workers", "cores", "run_worker"]

PROCESSES_MAX = 1_024
SLOTS_MAX = 16_384
GRACE_S = 30.0
"""What running attempts get when a block ends before they do."""
GROW_AFTER_S = 0.25
"""How long the children of a script may have more to do than they can before another one is started."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_count(option: str, value: object) -> int:
    """How many worker processes; None is one per core."""
    if value is None:
        return cores()
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= PROCESSES_MAX:
        raise wrong(option, value, f"a number of processes, 1 to {PROCESSES_MAX}, or None for one per core")
    return value


class Slots(NamedTuple):
    """What the slots of a child are, and how many it has."""

    kind: str
    per_child: int


def slots_of(count: object, kind: object) -> Slots:
    """The slots of a child; None is as many as their kind has by default."""
    most = {"process": 1, "thread": SLOTS_MAX, "async": SLOTS_MAX}
    if not isinstance(kind, str) or kind not in most:
        raise wrong("kind", kind, '"process" (default), "thread" or "async"')
    if count is None:
        return Slots(kind, {"process": 1, "thread": 4 * cores(), "async": 1_000}[kind])
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= most[kind]:
        accepted = f"a number from 1 to {SLOTS_MAX:,}" if kind != "process" else '1, unless kind is "thread" or "async"'
        raise wrong("slots", count, accepted)
    return Slots(kind, count)


def queue_names(value: Iterable[str] | None) -> tuple[str, ...]:
    """The queues to serve; empty is all."""
    if value is None:
        return ()
    if isinstance(value, str):
        raise wrong("queues", value, "a list of names of queues")
    return tuple(name("queues", item) for item in value)


def target_of(app: App) -> str:
    """The TARGET by which a child finds `app`."""
    module = sys.modules.get(app._module)
    attribute = next((key for key, value in vars(module).items() if value is app), None) if module else None
    if attribute is None:
        raise DeclarationError(
            f"workers cannot find the app made in module {app._module}",
            hint="assign it to a name at the top level of its module: `app = App()`",
        )
    if app._module != "__main__":
        return f"{app._module}:{attribute}"
    file = main_file()
    if file is None:
        raise DeclarationError(
            "workers cannot import an app that was typed into an interactive session",
            hint="write it to a file",
        )
    main = canonical_module("__main__")
    return f"{main if getattr(sys.modules['__main__'], '__spec__', None) else file}:{attribute}"


def child_command(app: App) -> list[str]:
    """What a supervisor executes for a child: this interpreter with this process's `sys.path`."""
    import subprocess

    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    path = [str(entry) for entry in sys.path]
    start = f"import sys; sys.path[:] = {path!r}; from lineshaft._child import main; sys.exit(main())"
    return [sys.executable, *flags, "-c", start, target_of(app)]


class Crew:
    """Worker processes of this program: `start_with` at once, `most` as soon as those have not been enough."""

    def __init__(
        self,
        app: App,
        *,
        most: int,
        start_with: int,
        queues: tuple[str, ...],
        grace_s: float,
        slots: Slots | None = None,
    ) -> None:
        for words in app._overrides.check(app.tasks):
            logging.getLogger("lineshaft").warning(words)
        app._connection.client()  # a supervisor waits for a server, but starts none
        self._process = os.getpid()
        self._most = most
        self._grow_at = time.monotonic() + GROW_AFTER_S if most > start_with else float("inf")
        self._supervisor = _native.Supervisor(
            app.url,
            child_command(app),
            processes=start_with,
            kind="process" if slots is None else slots.kind,
            slots=1 if slots is None else slots.per_child,
            queues=list(queues),
            grace=grace_s,
        )

    @property
    def is_ours(self) -> bool:
        """Whether this process runs them: a forked copy has no part in them."""
        return os.getpid() == self._process

    def start(self) -> None:
        """Starts the processes."""
        self._supervisor.start()

    def check(self) -> None:
        """Starts more processes when it is time; raises `WorkerFailed` if they have ended by themselves."""
        if not self.is_ours:
            return
        if time.monotonic() >= self._grow_at:
            self._grow_at = float("inf")
            self._supervisor.grow(self._most)
        if self._supervisor.join(0.0):
            raise WorkerFailed("the workers of this process have ended", hint="their output says why")

    def stop(self) -> None:
        """Asks the processes to finish what runs and to hand back the rest."""
        self._supervisor.stop()

    def kill(self) -> None:
        """Kills the processes; their attempts run again elsewhere."""
        self._supervisor.kill()

    def join(self) -> None:
        """Blocks until all processes have ended."""
        while not self._supervisor.join(60.0):
            pass

    def end(self) -> None:
        """`stop` and `join`; Ctrl-C meanwhile kills."""
        self.stop()
        try:
            self.join()
        except BaseException:
            self.kill()
            self.join()
            raise


class Workers:
    """Worker processes for the block of a `with` or `async with`; made by `app.workers()`."""

    def __init__(
        self, app: App, n: int | None, slots: int | None, kind: str, queues: Iterable[str] | None, wait: bool
    ) -> None:
        self._app = app
        self._slots = slots_of(slots, kind)
        self._count = process_count("n", n)
        self._queues = queue_names(queues)
        self._wait = wait
        self._block: Block | None = None
        self._given_up = False

    def __enter__(self) -> Self:
        refuse_import_side_effect("app.workers()")
        crew = Crew(
            self._app,
            most=self._count,
            start_with=self._count,
            queues=self._queues,
            grace_s=GRACE_S,
            slots=self._slots,
        )
        crew.start()
        self._block = Block(crew)
        self._app._attendance.blocks.append(self._block)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        block = self._block
        if block is None:
            return
        self._block = None
        self._app._attendance.blocks.remove(block)
        if not block.crew.is_ours:
            return
        try:
            if kind is None and self._wait:
                drain(self._app, bytes(block.ids), lambda: self._check(block))
        finally:
            block.crew.end()

    async def __aenter__(self) -> Self:
        import asyncio

        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import asyncio

        leaving = asyncio.ensure_future(asyncio.to_thread(self.__exit__, kind, error, traceback))
        try:
            await asyncio.shield(leaving)
        except asyncio.CancelledError:
            self._given_up = True
            await leaving
            raise

    def _check(self, block: Block) -> None:
        block.crew.check()
        if self._given_up:
            raise WorkerFailed("the wait for the jobs of the block was cancelled")


class Block:
    """A `with app.workers()` that is open: its processes, and the ids of the jobs this process made in it."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.ids = bytearray()


def run_worker(app: App, processes: int | None, slots: Slots, queues: Iterable[str] | None, grace: Duration) -> None:
    """Works until SIGTERM or SIGINT."""
    refuse_import_side_effect("app.run_worker()")
    count = process_count("processes", processes)
    crew = Crew(
        app,
        most=count,
        start_with=count,
        queues=queue_names(queues),
        grace_s=duration("grace", grace),
        slots=slots,
    )
    restore = _stop_on_signals(crew)
    try:
        crew.start()
        crew.join()
    finally:
        crew.kill()
        restore()


def _stop_on_signals(crew: Crew) -> Callable[[], None]:
    """The first SIGTERM or SIGINT stops the crew, the second kills it. Only the main thread can hear signals."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    steps = iter((crew.stop,))
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: next(steps, crew.kill)()) for number in numbers]

    def restore() -> None:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

    return restore
