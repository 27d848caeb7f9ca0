"""Slots that are threads or coroutines of this process: which thread or loop runs what.

`def` tasks run in threads, `async def` tasks on one event loop, in the main thread of a worker's child. The steps of an
attempt are in the extension; a thread of its own (`Stops`) passes requests to stop on, and notices a loop that stands
still.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ._current import _running
from ._errors import Cancelled, TimedOut
from ._started import watch_loop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

    from . import _native
    from ._opening import Kept

__all__ = ["Loop", "Routed", "Stops", "interruptions", "route_output", "run_slots", "start_threads"]

LOOK_EVERY_S = 0.5
"""How often it is looked whether the loop still turns."""
BLOCKED_AFTER_S = 10.0
"""How long a job may hold the loop up before it is named."""
LEFTOVER_GRACE_S = 2.0
"""What tasks that a job left behind get to end after they were cancelled."""


def interruptions() -> tuple[type[BaseException], ...]:
    """What is raised in the bodies of threads, by reason; a class each, since a thread is given no instance."""
    return (
        _saying(Cancelled, "the job was cancelled"),
        _saying(TimedOut, "the attempt ran longer than its timeout"),
        _saying(Cancelled, "the attempt belongs to another worker by now"),
        _saying(Cancelled, "the worker stops, and its grace is over"),
    )


def _saying(cls: type[BaseException], text: str) -> type[BaseException]:
    def start(self: BaseException, *args: object) -> None:
        attempt = _running.get()
        if attempt is not None:
            attempt.heard()
        cls.__init__(self, *args or (text,))

    members = {"__init__": start, "__module__": cls.__module__, "__qualname__": cls.__qualname__, "__slots__": ()}
    return type(cls.__name__, (cls,), members)


def run_slots(slots: _native.Slots, has_loop: bool, kept: Kept | None) -> None:
    """Runs attempts until the worker stops; called in the main thread of a child."""
    if has_loop:
        Loop(slots, kept).run()
        return
    threads = start_threads(slots)
    stops = Stops(slots, None)
    for thread in threads:
        thread.join()
    stops.end()


def start_threads(slots: _native.Slots) -> list[threading.Thread]:
    """One thread per slot, each of which takes jobs by itself."""
    threads = [
        threading.Thread(target=slots.run, name=f"lineshaft-slot-{number}", daemon=True)
        for number in range(1, slots.count + 1)
    ]
    for thread in threads:
        thread.start()
    return threads


class Loop:
    """The event loop of a child: its coroutines, and the threads of the tasks that are none."""

    def __init__(self, slots: _native.Slots, kept: Kept | None) -> None:
        import asyncio

        self._slots = slots
        self._asyncio = asyncio
        self.loop = _new_loop()
        if kept is not None:
            kept._loop = self.loop
        self.jobs: dict[tuple[int, int], tuple[asyncio.Task[Any], _native.Work]] = {}
        self._left: dict[_native.RunningAttempt, set[asyncio.Task[Any]] | None] = {}
        self._followed: dict[_native.RunningAttempt, set[asyncio.Task[Any]]] = {}
        self._threads = Threads(slots.count)
        self._bell = slots.bell()
        self._turns = True
        """Until the loop was told to stop: once, since one stop too many would end what closes in it later."""
        self._ready: Any = getattr(self.loop, "_ready", None)
        """What runs in this turn, where a loop shows it. That of uvloop does not, so that its steps are watched."""
        self._copy: _native.Work | None = None

    def run(self) -> None:
        """Until the worker stops and nothing runs any more."""
        loop = self.loop
        self._asyncio.set_event_loop(loop)
        watch_loop(loop)
        loop.set_task_factory(self._make_task)
        self._mind_forks()
        loop.add_reader(self._bell, self._rung)
        stops = Stops(self._slots, self)
        loop.call_soon(self._take)
        while not self._is_over():
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                continue  # of a job, which has ended by it; its callback comes next
        self._turns = False
        loop.remove_reader(self._bell)
        os.close(self._bell)
        stops.end()

    def _mind_forks(self) -> None:
        """A copy that a coroutine makes by a fork may run to its next `await`: all else here is the original's."""
        thread, here = threading.get_ident(), weakref.ref(self)

        def forked() -> None:
            loop, attempt = here(), _running.get()
            if loop is not None and attempt is not None and threading.get_ident() == thread:
                loop._end_copy(attempt.id)

        os.register_at_fork(after_in_child=forked)

    def _end_copy(self, job_id: str) -> None:
        work = next(work for _, work in self.jobs.values() if work.id == job_id)
        if self._ready is None:
            self._copy = work
            return
        # What else is ready in this turn would run again.
        self._ready.clear()
        self.loop.call_soon(work.end_copy)

    def end_if_copy(self) -> None:
        """Ends this process if it is a copy that a step of a coroutine made by a fork."""
        if self._copy is not None:
            self._copy.end_copy()

    def _is_over(self) -> bool:
        return self._slots.is_drained and not self._slots.busy

    # ---- Jobs.

    def _rung(self) -> None:
        os.read(self._bell, 8)
        self._take()

    def _take(self) -> None:
        while (work := self._slots.take()) is not None:
            try:
                self._run(work)
            except BaseException as error:  # of the worker rather than of the task
                work.failed(error)
        if self._turns and self._is_over():
            self._turns = False
            self.loop.stop()

    def _run(self, work: _native.Work) -> None:
        if work.is_async:
            self._begin(work)
        else:
            self._threads.run(work, self._thread_ended)

    def _begin(self, work: _native.Work) -> None:
        try:
            coroutine = work.begin()
            if coroutine is not None:
                key = work.key
                task = self.loop.create_task(coroutine)
                self.jobs[key] = task, work
                attempt = _running.get()
                if attempt is not None:
                    self._left[attempt] = None
                    if work.is_followed:
                        self._followed[attempt] = {task}
                        work.follow(self._followed[attempt])
                # In the context of the attempt, as the task.
                task.add_done_callback(lambda done: self._ended(key, done))
        finally:
            _running.set(None)

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        """Tasks that a job starts belong to it."""
        if self._ready is None:
            coroutine = _Watched(coroutine, self)
        task: asyncio.Task[Any] = self._asyncio.Task(coroutine, loop=loop, **options)
        attempt = _running.get()
        if attempt in self._left:
            mine = self._left[attempt]
            if mine is None:
                mine = self._left[attempt] = set()
            mine.add(task)
            task.add_done_callback(mine.discard)
        followed = self._followed.get(attempt) if attempt is not None else None
        if followed is not None:
            followed.add(task)
            task.add_done_callback(followed.discard)
        return task

    def _ended(self, key: tuple[int, int], task: asyncio.Task[Any]) -> None:
        attempt = _running.get()
        left = None if attempt is None else self._left.pop(attempt)
        if attempt is not None:
            self._followed.pop(attempt, None)
        if left:
            self._sweep(key, task, left)
        else:
            self._report(key, task)

    def _sweep(self, key: tuple[int, int], task: asyncio.Task[Any], left: set[asyncio.Task[Any]]) -> None:
        """What a job left running ends with it."""
        for one in left:
            one.cancel("the job that started this task is over")

        async def sweep() -> None:
            await self._asyncio.wait(left.copy(), timeout=LEFTOVER_GRACE_S)
            self._report(key, task)

        _running.set(None)
        self.loop.create_task(sweep())

    def _report(self, key: tuple[int, int], task: asyncio.Task[Any]) -> None:
        _, work = self.jobs[key]
        if not (work.has_leftovers and (task.cancelled() or task.exception())):
            self._conclude(key, task)
            return

        def end() -> None:
            work.end_leftovers()
            self.loop.call_soon_threadsafe(self._conclude, key, task)

        threading.Thread(target=end, name="lineshaft-ending", daemon=True).start()

    def _conclude(self, key: tuple[int, int], task: asyncio.Task[Any]) -> None:
        _, work = self.jobs.pop(key)
        if task.cancelled():
            work.raised(_cancellation(task))
        elif (error := task.exception()) is not None:
            work.raised(error)
        else:
            work.returned(task.result())
        self._take()

    def _thread_ended(self) -> None:
        self.loop.call_soon_threadsafe(self._take)

    # ---- Called in the thread of `Stops`.

    def stop(self, key: tuple[int, int], words: str) -> None:
        """Cancels the coroutine of an attempt."""
        self.loop.call_soon_threadsafe(self._cancel, key, words)

    def _cancel(self, key: tuple[int, int], words: str) -> None:
        found = self.jobs.get(key)
        if found is None:
            return
        task, work = found
        if not work.hold(lambda: self._release(task, words)):
            task.cancel(words)

    def _release(self, task: asyncio.Task[Any], words: str) -> None:
        """The shield closed that held the request to stop back."""
        try:
            here = self._asyncio.current_task()
        except RuntimeError:  # in another thread
            self.loop.call_soon_threadsafe(task.cancel, words)
            return
        if here is task:
            raise self._asyncio.CancelledError(words)
        task.cancel(words)


class _Watched(Coroutine[Any, Any, Any]):
    """A coroutine whose steps end a copy of the process that they made, before anything else runs in it."""

    __slots__ = ("_coroutine", "_loop")

    def __init__(self, coroutine: Any, loop: Loop) -> None:
        self._coroutine = coroutine
        self._loop = loop

    def send(self, value: Any, /) -> Any:
        try:
            return self._coroutine.send(value)
        finally:
            self._loop.end_if_copy()

    def throw(self, *error: Any) -> Any:
        try:
            return self._coroutine.throw(*error)
        finally:
            self._loop.end_if_copy()

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)


def _cancellation(task: asyncio.Task[Any]) -> BaseException:
    import asyncio

    try:
        task.result()
    except asyncio.CancelledError as error:
        return error
    raise AssertionError("it was cancelled")


def _new_loop() -> asyncio.AbstractEventLoop:
    import asyncio

    try:
        import uvloop  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class Threads:
    """Threads that run `def` tasks beside a loop; as many as are needed at once, at most one per slot."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._idle = 0
        self._lock = threading.Lock()
        self._works: queue.SimpleQueue[tuple[_native.Work, Callable[[], None]]] = queue.SimpleQueue()

    def run(self, work: _native.Work, then: Callable[[], None]) -> None:
        """Runs `work` in a thread and calls `then` there."""
        with self._lock:
            is_needed = self._idle == 0 and self._count < self._most
            if is_needed:
                self._count += 1
            else:
                self._idle -= 1
        self._works.put((work, then))
        if is_needed:
            threading.Thread(target=self._serve, name=f"lineshaft-slot-{self._count}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            work, then = self._works.get()
            work.run()
            with self._lock:
                self._idle += 1
            then()


class Stops:
    """A thread that passes requests to stop on, and names a job that holds the loop up."""

    def __init__(self, slots: _native.Slots, loop: Loop | None) -> None:
        self._slots = slots
        self._loop = loop
        self._over = False
        self._turned_at = time.monotonic()
        self._asked = False
        self._said = False
        self._overdue: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="lineshaft-stops", daemon=True)
        self._main = threading.get_ident()
        self._thread.start()

    def end(self) -> None:
        """No request comes any more."""
        self._over = True
        self._thread.join()

    def _run(self) -> None:
        if sys.version_info[:2] == (3, 11):
            # While a body is in a call that does not return, its interruption waits there, and until it is raised no
            # function that is traced gets to its first line. This thread is the one that ends what the body waits for.
            sys.settrace(None)
        while not self._over and not (self._slots.is_drained and not self._slots.busy):
            stop = self._slots.next_stop(LOOK_EVERY_S)
            if self._loop is not None:
                if stop is not None:
                    self._loop.stop(*stop)
                self._watch(self._loop)
            self._name_overdue()

    def _name_overdue(self) -> None:
        """Names jobs of this very process that go on although they were asked to stop, once each."""
        overdue = dict(self._slots.overdue())
        for job in overdue.keys() - self._overdue:
            print(
                f"lineshaft: job {job} was asked to stop and goes on after {overdue[job]:.0f} s; nothing but "
                f"the end of this process can end it",
                file=sys.stderr,
                flush=True,
            )
        self._overdue = set(overdue)

    def _watch(self, loop: Loop) -> None:
        """Asks the loop for a sign now and then; one that does not come is talked about, once each time."""
        if not self._asked:
            self._asked, self._said = True, False
            self._turned_at = time.monotonic()
            loop.loop.call_soon_threadsafe(self._turned)
        blocked_s = time.monotonic() - self._turned_at
        if blocked_s >= BLOCKED_AFTER_S and not self._said:
            self._said = True
            print(f"lineshaft: {self._blocked(loop, blocked_s)}", file=sys.stderr, flush=True)

    def _turned(self) -> None:
        self._asked = False

    def _blocked(self, loop: Loop, blocked_s: float) -> str:
        import asyncio

        current = asyncio.current_task(loop.loop)
        works = (work for task, work in list(loop.jobs.values()) if task is current)
        work = next(works, None)
        whom = "something" if work is None else f"task {work.task} (job {work.id})"
        jobs = "1 job" if len(loop.jobs) == 1 else f"{len(loop.jobs)} jobs"
        return (
            f"{whom} has held up the event loop of process {os.getpid()} for {blocked_s:.0f} s, with {jobs} on it, "
            f"{_place(sys._current_frames().get(self._main))}; use `await`, asyncio.to_thread() or a `def` task for "
            f"what blocks"
        )


def _place(frame: FrameType | None) -> str:
    if frame is None:
        return "nobody knows where"
    return f"at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def route_output() -> None:
    """From here on, what an attempt writes to `sys.stdout` and `sys.stderr` belongs to it."""
    sys.stdout = Routed(sys.stdout)
    sys.stderr = Routed(sys.stderr)


class Routed:
    """A text stream whose words go to the attempt that runs in this context, else to the stream behind it.

    With `shows` they always go to that as well.
    """

    def __init__(self, behind: Any, shows: bool = False) -> None:
        self._behind = behind
        self._shows = shows

    def write(self, text: str, /) -> int:
        attempt = _running.get()
        if attempt is None or not isinstance(text, str):
            return int(self._behind.write(text))
        if not attempt.print(text.encode(errors="backslashreplace")) or self._shows:
            self._behind.write(text)
        return len(text)

    def writelines(self, lines: Any, /) -> None:
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> _RoutedBytes:
        return _RoutedBytes(self._behind.buffer, self._shows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    def __iter__(self) -> Any:
        return iter(self._behind)


class _RoutedBytes:
    """The same for bytes."""

    def __init__(self, behind: Any, shows: bool) -> None:
        self._behind = behind
        self._shows = shows

    def write(self, data: Any, /) -> int:
        attempt = _running.get()
        data = bytes(data)
        if attempt is None or not attempt.print(data) or self._shows:
            return int(self._behind.write(data))
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)
