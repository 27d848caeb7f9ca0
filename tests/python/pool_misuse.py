"""What the tests of clumsy uses of pools have done in workers."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from lineshaft import Executor
from lineshaft._pool import _warm
from lineshaft.multiprocessing import Queue


class Slotted(Exception):
    """Nothing of it can be set."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class Changed(Exception):
    """It is read as something else."""

    def __reduce__(self) -> Any:
        return str, ("no exception",)


class Shapeless:
    """It can neither be sent nor shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __reduce__(self) -> Any:
        raise TypeError("stays here")


class ShapelessError(Shapeless, Exception):
    """Likewise, raised."""

    __str__ = Shapeless.__repr__


@dataclasses.dataclass
class Guarded:
    """Its lock is taken when it is pickled."""

    number: int
    lock: Any = dataclasses.field(default_factory=threading.Lock)

    def __getstate__(self) -> int:
        with self.lock:
            return self.number

    def __setstate__(self, number: int) -> None:
        self.number, self.lock = number, threading.Lock()

    def doubled(self) -> int:
        return 2 * self.number


def raise_slotted(number: int) -> int:
    if number == 1:
        raise Slotted("as it is")
    return number


def raise_changed(number: int) -> int:
    if number == 1:
        raise Changed
    return number


def raise_shapeless(number: int) -> int:
    if number == 1:
        raise ShapelessError
    return number


def give_shapeless(number: int) -> object:
    return Shapeless() if number == 1 else number


def leave_a_fork(number: int) -> int:
    """Every third item forks, and the copy ends as scripts do."""
    if number % 3 == 0:
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        os.waitpid(pid, 0)
    return number


def return_from_a_fork(number: int) -> int:
    """Every third item forks, and the copy comes back with something else."""
    if number % 3 == 0 and os.fork() == 0:
        return -1
    return number


def numbers_and_exit() -> Iterator[int]:
    yield 1
    sys.exit(3)


def numbers_of_a_queue() -> Iterator[int]:
    queue: Queue[int] = Queue()
    queue.put(1)
    queue.shutdown()
    while True:
        yield queue.get()


def use_an_executor(number: int) -> tuple[list[int], int]:
    """Gives how many crews wait for the next one, too."""
    with Executor(1) as executor:
        found = list(executor.map(abs, range(number)))
    return found, len(_warm.kept())


def leave_an_executor_open(number: int) -> tuple[list[int], int]:
    global left_open
    left_open = Executor(1)
    return list(left_open.map(abs, range(number))), len(_warm.kept())


left_open: Executor | None = None
