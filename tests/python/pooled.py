"""What the tests of pools have done in workers."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

STATE: dict[str, Any] = {}


def add_one(number: int) -> int:
    return number + 1


def multiply(left: int, right: int) -> int:
    return left * right


def greet(name: str, *, politely: bool = False) -> str:
    return f"dear {name}" if politely else name


def fail(number: int) -> int:
    if number % 3 == 2:
        raise ValueError(f"not {number}")
    return number


def look_at(array: Any, seconds: float) -> tuple[int, float, set[str], int]:
    """Who sees it, its sum, which files of pools are mapped, and how many bytes of those are copied."""
    time.sleep(seconds)
    total, files, copied, is_ours = float(array.sum()), set(), 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_ours = "lineshaft-share" in line
            files |= {words[4]} if is_ours else set()
        elif is_ours and words[0] == "Anonymous:":
            copied += int(words[1]) << 10
    return os.getpid(), total, files, copied


def leave(code: int) -> None:
    sys.exit(code)


def pid_of(_: object) -> int:
    return os.getpid()


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def nap_and_tell(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def nap_and_tell_thread(seconds: float) -> str:
    time.sleep(seconds)
    return threading.current_thread().name


def kill_at_five(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.002)
    return number


def die_once(path: str) -> str:
    mark = Path(path)
    if not mark.exists():
        mark.touch()
        os._exit(3)
    return "alive"


def remember(**values: Any) -> None:
    STATE.update(values)


def set_up(value: int) -> None:
    STATE["value"] = value


def recall(_: object) -> Any:
    return STATE.get("value")


def fail_to_set_up() -> None:
    raise ValueError("cannot be set up")


def a_lambda(_: object) -> Any:
    return lambda: None


class Unspeakable(Exception):
    """It cannot be encoded."""

    def __reduce__(self) -> Any:
        raise TypeError("nobody may know")


def raise_unspeakable(_: object) -> None:
    raise Unspeakable


class Unreadable:
    """It can be encoded, and not read."""

    def __reduce__(self) -> Any:
        return refuse, ("unreadable",)


def refuse(why: str) -> None:
    raise RuntimeError(why)


def give_unreadable(_: object) -> Unreadable:
    return Unreadable()


class Deadly:
    """It can be encoded, and kills who reads it."""

    def __reduce__(self) -> Any:
        return os._exit, (6,)


class UnreadableError(Exception):
    """It is encoded with one argument, and needs two."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def raise_unreadable(_: object) -> None:
    raise UnreadableError("one", "two")


class Silent:
    """It refuses to be sent."""

    def __reduce__(self) -> Any:
        raise NotImplementedError("stays here")


def double(array: Any) -> Any:
    array *= 2  # in place
    return array


def zeros(size: int) -> bytes:
    return bytes(size)


def size_of(data: bytes) -> int:
    return len(data)


def stop_iterating(number: int) -> int:
    if number == 1:
        raise StopIteration
    return number


def spin(microseconds: int) -> int:
    end = time.perf_counter_ns() + microseconds * 1_000
    while time.perf_counter_ns() < end:
        pass
    return os.getpid()


def hog(size: int) -> None:
    held = bytearray(size)
    time.sleep(600)
    del held


class Item:
    """Something that can be looked for."""


def same(item: Any) -> Any:
    return item
