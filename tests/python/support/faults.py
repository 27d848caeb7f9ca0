"""Faults: an exception at each line that runs, or a cancellation at each `await`, one run for each of them.

`at_each_line(run, ...)` calls `run` again and again. In the n-th run it raises before the n-th line that is executed
in the watched code, as Ctrl-C, a request to stop or an error may; the last run is the one that no fault reached.
`at_each_await(run)` does the same to a coroutine with `Task.cancel`, while it waits or when what it waits for has come
and it did not go on yet, which is where things are given to those who are gone.

Not struck is the step between the body of a `with` and its `__exit__`: the interpreter takes it at once, and nothing
but a tracer is ever called there. Nor is what `__del__` does, whose exceptions arrive nowhere.
"""

from __future__ import annotations

import asyncio
import dis
import gc
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, Literal

import lineshaft

PACKAGE = Path(lineshaft.__file__).parent
RUNS_MAX = 5_000
"""More of them are a run that does not end."""
AT_ONCE_S = 60.0


class Run:
    """What became of one run."""

    def __init__(
        self, number: int, where: str | None, value: Any, error: BaseException | None, prepared: tuple[Any, ...]
    ) -> None:
        self.number = number
        self.prepared = prepared
        self.where = where
        """Where the fault struck; None if the run was over before."""
        self.value = value
        """What it returned."""
        self.error = error
        """What it raised. Its traceback is gone, and with it what the frames held."""

    def __repr__(self) -> str:
        return f"<run {self.number}, struck at {self.where}: {self.error or self.value!r}>"


def at_each_line(
    run: Callable[..., Any],
    *watched: str | Callable[..., Any],
    error: type[BaseException] = KeyboardInterrupt,
    prepare: Callable[[], tuple[Any, ...]] = tuple,
) -> Iterator[Run]:
    """Runs it with `error` raised at each line of `watched`: files and directories of the package, and functions.

    `run` is given what `prepare` returns before the faults begin, which is in `prepared` of each run.
    """
    files = tuple(str(PACKAGE / one) for one in watched if isinstance(one, str))
    codes = frozenset(one.__code__ for one in watched if isinstance(one, FunctionType))

    def is_watched(code: CodeType) -> bool:
        return code in codes or code.co_filename.startswith(files)

    for number in _numbers():
        striker, prepared = _Striker(number, is_watched, error), prepare()
        yield (done := striker.run(run, prepared))
        if done.where is None:
            return


def at_each_await(
    run: Callable[..., Coroutine[Any, Any, Any]],
    when: Literal["waiting", "woken"] = "waiting",
    prepare: Callable[[], tuple[Any, ...]] = tuple,
) -> Iterator[Run]:
    """Runs the coroutine, cancelled at each of its awaits that suspend it; `prepare` as in `at_each_line`."""
    for number in _numbers():
        yield (done := asyncio.run(_Cancelling(number, when).run(run, prepare())))
        if done.where is None:
            return


def _numbers() -> Iterator[int]:
    # Garbage is collected after each run, which takes long where other tests have left much that is none.
    gc.collect()
    gc.freeze()
    try:
        yield from range(1, RUNS_MAX)
    finally:
        gc.unfreeze()
    raise AssertionError(f"not over after {RUNS_MAX} faults")


class _Striker:
    """Raises at one line."""

    def __init__(self, number: int, is_watched: Callable[[CodeType], bool], error: type[BaseException]) -> None:
        self._number = number
        self._is_watched = is_watched
        self._error = error
        self._lines = count(1)
        self.where: str | None = None

    def run(self, run: Callable[..., Any], prepared: tuple[Any, ...]) -> Run:
        before, value, error = sys.gettrace(), None, None
        sys.settrace(self._called)
        try:
            value = run(*prepared)
        except BaseException as raised:
            error = raised
        finally:
            sys.settrace(before)
        return Run(self._number, self.where, value, _without_frames(error), prepared)

    def _called(self, frame: FrameType, event: str, _: object) -> Any:
        return self._stepped if self._is_watched(frame.f_code) and not _is_finalizing(frame) else None

    def _stepped(self, frame: FrameType, event: str, _: object) -> Any:
        if event != "line" or self.where is not None or frame.f_lasti in _steps_out_of_with(frame.f_code):
            return self._stepped
        if next(self._lines) == self._number:
            self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}"
            raise self._error(f"struck at {self.where}")
        return self._stepped


class _Cancelling:
    """Cancels a task at one of its awaits."""

    def __init__(self, number: int, when: str) -> None:
        self._number = number
        self._when = when
        self._awaits = count(1)
        self.task: asyncio.Task[Any] | None = None
        self.where: str | None = None

    async def run(self, run: Callable[..., Coroutine[Any, Any, Any]], prepared: tuple[Any, ...]) -> Run:
        self.task = asyncio.get_running_loop().create_task(_Watched(run(*prepared), self))  # type: ignore[arg-type]
        await asyncio.wait((self.task,), timeout=AT_ONCE_S)
        assert self.task.done(), f"it hangs after a cancellation at {self.where}"
        cancelled = self.task.cancelled()
        error = asyncio.CancelledError() if cancelled else self.task.exception()
        value = None if error else self.task.result()
        self.task = None
        return Run(self._number, self.where, value, _without_frames(error), prepared)

    def suspended(self, waits_for: Any, coroutine: Coroutine[Any, Any, Any]) -> None:
        """The task is about to wait."""
        if self.where is not None or next(self._awaits) != self._number:
            return
        assert self.task is not None
        frames = [f"{Path(code.co_filename).name}:{line}" for code, line in _stack(coroutine)]
        self.where = " > ".join(frames)
        if self._when == "woken" and waits_for is not None:
            waits_for.add_done_callback(lambda _: self.task and self.task.cancel())
        else:
            asyncio.get_running_loop().call_soon(self.task.cancel)


class _Watched(Coroutine[Any, Any, Any]):
    """A coroutine that tells when it waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], told: _Cancelling) -> None:
        self._coroutine = coroutine
        self._told = told

    def send(self, value: Any, /) -> Any:
        waits_for = self._coroutine.send(value)
        self._told.suspended(waits_for, self._coroutine)
        return waits_for

    def throw(self, *error: Any) -> Any:
        waits_for = self._coroutine.throw(*error)
        self._told.suspended(waits_for, self._coroutine)
        return waits_for

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()


def _is_finalizing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


def _stack(coroutine: Any) -> Iterator[tuple[CodeType, int]]:
    while getattr(coroutine, "cr_frame", None) is not None:
        yield coroutine.cr_code, coroutine.cr_frame.f_lineno
        coroutine = coroutine.cr_await


def _without_frames(error: BaseException | None) -> BaseException | None:
    """As when whoever handled it is done with it: what only its frames held is gone."""
    chain, seen = error, set()
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        traceback.clear_frames(chain.__traceback__)
        chain.__traceback__ = None
        chain = chain.__cause__ or chain.__context__
    gc.collect()
    return error


@cache
def _steps_out_of_with(code: CodeType) -> frozenset[int]:
    """The offsets at which the interpreter goes on from the body of a `with` to its `__exit__`."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("NOP", "CACHE", "RESUME")]
    found = set()
    for position, step in enumerate(steps):
        ahead = [one for one in steps[position : position + 6] if one.opname not in ("SWAP", "ROT_TWO", "COPY")]
        names = [one.opname for one in ahead]
        nones = [one for one in ahead[:3] if one.opname == "LOAD_CONST" and one.argval is None]
        is_end = len(nones) == 3 or (len(nones) == 1 and names[1:3] == ["DUP_TOP", "DUP_TOP"])
        is_failure = names[:2] == ["PUSH_EXC_INFO", "WITH_EXCEPT_START"] or names[:1] == ["WITH_EXCEPT_START"]
        if is_end or is_failure:
            found.add(step.offset)
    return frozenset(found)
