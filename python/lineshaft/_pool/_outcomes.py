"""What a pool gives for a call: its result later on, or its results one after the other."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from multiprocessing import TimeoutError as WaitTooLong
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AsyncResult", "Results"]

T = TypeVar("T")

_SLICE_S = 0.25
"""How long a wait goes without a step of the interpreter, between two of which a thread is asked to stop."""


class AsyncResult(Generic[T]):
    """The result of `Pool.apply_async`, `map_async` and `starmap_async`, which comes later."""

    def __init__(
        self,
        length: int | None,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._is_list = length is not None
        self._values: list[Any] = [None] * (1 if length is None else length)
        self._left = len(self._values)
        self._failures: dict[int, BaseException] = {}
        self._error: BaseException | None = None
        self._callback = callback
        self._error_callback = error_callback
        self._event = threading.Event()
        self.pool: object = None
        """What must not be collected before it is there."""
        if self._left == 0:
            self._end()

    def ready(self) -> bool:
        """Whether it is there."""
        return self._event.is_set()

    def successful(self) -> bool:
        """Whether nothing was raised. `ValueError` if it is not ready."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def wait(self, timeout: float | None = None) -> None:
        """Waits until it is there, for `timeout` seconds at most."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not self._event.wait(max(0.0, min(_SLICE_S, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                return

    def get(self, timeout: float | None = None) -> T:
        """The result, or what the first that failed raised; `multiprocessing.TimeoutError` after `timeout` seconds."""
        self.wait(timeout)
        if not self._event.is_set():
            raise WaitTooLong
        if self._error is not None:
            raise self._error
        return self._values if self._is_list else self._values[0]  # type: ignore[return-value]

    @property
    def failures(self) -> dict[int, BaseException]:
        """What single items of a map have raised, by their place. The others were done all the same."""
        return dict(self._failures)

    def counted(self) -> tuple[int, int]:
        """How many items are done, of how many."""
        return len(self._values) - self._left, len(self._values)

    def deliver(self, start: int, values: list[Any], failures: dict[int, BaseException]) -> None:
        """Results from the workers."""
        self._values[start : start + len(values)] = values
        self._left -= len(values)
        self._failures.update((start + place, error) for place, error in failures.items())
        if self._left == 0:
            self._end()

    def fail(self, error: BaseException) -> None:
        """There will be nothing more."""
        if not self._event.is_set():
            self._error = self._error or error
            self._end()

    def _end(self) -> None:
        if self._failures and self._error is None:
            self._error = self._failures[min(self._failures)]
        try:
            if self._error is None:
                if self._callback is not None:
                    self._callback(self._values if self._is_list else self._values[0])
            elif self._error_callback is not None:
                self._error_callback(self._error)
        finally:
            self._callback = self._error_callback = self.pool = None
            self._event.set()


class Results(Generic[T]):
    """An iterator over results, in the order of the items or as they come."""

    def __init__(self, *, is_ordered: bool, length: int | None) -> None:
        self._changed = threading.Condition()
        self._is_ordered = is_ordered
        self._length = length
        """How many there will be, as soon as that is known."""
        self._came = 0
        """How many are or were in `_ready`."""
        self._ready: deque[tuple[Any, BaseException | None]] = deque()
        self._early: dict[int, tuple[list[Any], dict[int, BaseException]]] = {}
        """By their first place, those before which others are missing."""
        self.pool: object = None
        """What must not be collected before all are there."""

    def __iter__(self) -> Results[T]:
        return self

    def __next__(self) -> T:
        return self.next()

    def next(self, timeout: float | None = None) -> T:
        """The next one, or what its item raised; `multiprocessing.TimeoutError` after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                value, error = self._ready.popleft()
                break
            except IndexError:  # Another thread may be faster again after the wait.
                with self._changed:
                    self._wait(None if deadline is None else deadline - time.monotonic())
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def take(self, timeout: float | None = None) -> deque[tuple[T, BaseException | None]]:
        """All that are there, each with what its item raised, as soon as there is one; else as `next`."""
        with self._changed:
            self._wait(timeout)
            taken, self._ready = self._ready, deque()
        return taken

    def _wait(self, timeout: float | None) -> None:
        """Until one is there. With the lock."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not self._ready:
            if self._came == self._length:
                raise StopIteration
            left = deadline - time.monotonic()
            if left <= 0:
                raise WaitTooLong
            self._changed.wait(min(_SLICE_S, left))

    def taken(self) -> int:
        """How many the program has taken."""
        return self._came - len(self._ready)

    def deliver(self, start: int, values: list[Any], failures: dict[int, BaseException]) -> None:
        """Results from the workers."""
        with self._changed:
            if self._length is not None and self._came >= self._length:
                return
            if self._is_ordered and start != self._came:
                self._early[start] = values, failures
            else:
                self._append(values, failures)
                while self._is_ordered and self._came in self._early:
                    self._append(*self._early.pop(self._came))
            self._note_change()

    def fail(self, error: BaseException) -> None:
        """There will be nothing more."""
        with self._changed:
            if self._length is None or self._came < self._length:
                self._append([None], {0: error})
                self._length = self._came
                self._note_change()

    def set_length(self, length: int) -> None:
        """So many there will be."""
        with self._changed:
            self._length = length
            self._note_change()

    def wait_for_more(self, timeout: float) -> None:
        """Until something comes, or `timeout` seconds."""
        with self._changed:
            self._changed.wait(timeout)

    def _note_change(self) -> None:
        if self._came == self._length:
            self.pool = None
        self._changed.notify_all()

    def _append(self, values: list[Any], failures: dict[int, BaseException]) -> None:
        if failures:
            self._ready.extend((value, failures.get(place)) for place, value in enumerate(values))
        else:
            self._ready.extend((value, None) for value in values)
        self._came += len(values)
