"""Worker processes of this program: `with app.workers()`, `app.run_worker()` and script mode.

All of them are a `Crew`: the supervisor, which is Rust on threads of its own, and its children, which import the app.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import _native
from ._drain import drain
from ._errors import DeclarationError, WorkerFailed
from ._guard import refuse_import_side_effect
from ._names import canonical_module, main_file
from ._schema import text_of
from ._settings import NEVER, WATCHDOG_S

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ._app import App
    from ._settings import Recycle, Slots, WorkerSettings

__all__ = ["Block", "Crew", "Workers", "run_worker"]

GROW_AFTER_S = 0.25
"""How long the children of a script may have more to do than they can before another one is started."""


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
        recycle: Recycle = NEVER,
        watchdog_s: float = WATCHDOG_S,
    ) -> None:
        schema, odd = text_of(app)
        for words in [*app._check_tasks(), *odd]:
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
            recycle=recycle,
            watchdog=watchdog_s,
            schema=schema,
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

    def end(self, given_up: bool = False) -> None:
        """Stops the processes and blocks until they have ended; Ctrl-C meanwhile kills.

        With `given_up` nobody waits for what runs: it is asked to stop at once, and killed after a second.
        """
        try:
            if given_up:
                self._supervisor.leave()
            else:
                self._supervisor.stop()
            self.join()
        except BaseException:
            self.kill()
            self.join()
            raise


class Workers:
    """Worker processes for the block of a `with` or `async with`; made by `app.workers()`."""

    def __init__(self, app: App, settings: WorkerSettings, wait: bool) -> None:
        self._app = app
        self._settings = settings
        self._wait = wait
        self._block: Block | None = None
        self._given_up = False

    def __enter__(self) -> Self:
        refuse_import_side_effect("app.workers()")
        crew = crew_of(self._app, self._settings)
        try:
            crew.start()
            self._block = Block(crew)
            self._app._attendance.blocks.append(self._block)
            return self
        except BaseException:
            self._forget_block()
            crew.kill()  # and not joined: it may not have started
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        block = self._block
        if block is None:
            return
        try:
            self._forget_block()
            if kind is None and self._wait and block.crew.is_ours:
                drain(self._app, bytes(block.ids), lambda: self._check(block))
        finally:
            self._forget_block()
            if block.crew.is_ours:
                block.crew.end()
            self._block = None

    def __del__(self) -> None:
        # Something was raised between the body of the block and its end, such as Ctrl-C.
        block = getattr(self, "_block", None)
        if block is not None and block.crew.is_ours:
            self._forget_block()
            block.crew.kill()

    def _forget_block(self) -> None:
        blocks = self._app._attendance.blocks
        blocks[:] = [block for block in blocks if block is not self._block]

    async def __aenter__(self) -> Self:
        import asyncio

        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import asyncio

        block = self._block
        cancellation = None
        try:
            if kind is not None and issubclass(kind, KeyboardInterrupt) and _is_cancelled() and block is not None:
                block.crew.kill()
            # No task, which the end of the loop would cancel.
            leaving = asyncio.get_running_loop().run_in_executor(None, self.__exit__, kind, error, traceback)
            # What an exception leaves behind is not waited for, so that a cancellation is the second one then.
            self._given_up = kind is not None
            while not leaving.done():
                try:
                    await asyncio.shield(leaving)
                except asyncio.CancelledError as cancelled:
                    cancellation = cancelled
                    if self._given_up and block is not None:
                        block.crew.kill()
                    self._given_up = True
        except BaseException:
            # The second Ctrl-C, which `asyncio.run` raises wherever the loop is.
            if block is not None:
                block.crew.kill()
            raise
        if cancellation is not None:
            raise cancellation
        leaving.result()

    def _check(self, block: Block) -> None:
        block.crew.check()
        if self._given_up:
            raise WorkerFailed("the wait for the jobs of the block was cancelled")


def _is_cancelled() -> bool:
    """Whether the task that runs was cancelled, as `asyncio.run` does at the first Ctrl-C; Python 3.10 does not say."""
    import asyncio

    return bool(getattr(asyncio.current_task(), "cancelling", int)())


class Block:
    """A `with app.workers()` that is open: its processes, and the ids of the jobs this process made in it."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.ids = bytearray()


def crew_of(app: App, settings: WorkerSettings) -> Crew:
    """All the processes that the settings say, at once."""
    return Crew(
        app,
        most=settings.processes,
        start_with=settings.processes,
        queues=settings.queues,
        grace_s=settings.grace_s,
        slots=settings.slots,
        recycle=settings.recycle,
        watchdog_s=settings.watchdog_s,
    )


def run_worker(app: App, settings: WorkerSettings) -> None:
    """Works until SIGTERM or SIGINT; a second one kills what runs, and then ends the program with its exit code."""
    refuse_import_side_effect("app.run_worker()")
    crew = crew_of(app, settings)
    heard, restore = _stop_on_signals(crew)
    try:
        crew.start()
        crew.join()
    finally:
        crew.kill()
        restore()
    if len(heard) > 1:
        raise SystemExit(128 + heard[1])


def _stop_on_signals(crew: Crew) -> tuple[list[int], Callable[[], None]]:
    """The first SIGTERM or SIGINT stops the crew, the second kills it. Only the main thread can hear signals.

    Gives what was heard, and what restores the handlers.
    """
    import signal
    import threading

    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        return heard, lambda: None

    def hear(number: int, _: object) -> None:
        heard.append(number)
        (crew.stop if len(heard) == 1 else crew.kill)()

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, hear) for number in numbers]

    def restore() -> None:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

    return heard, restore
