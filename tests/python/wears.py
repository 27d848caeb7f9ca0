"""An app for the tests of workers that wear out."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import threading
import time

from lineshaft import App, Tasks

app = App("unused")

if os.environ.get("WEARS_GC") == "off":
    gc.disable()

tasks = Tasks(memory="64MiB")

MIB = 1 << 20
kept: list[bytearray] = []


class Litter:
    """An object that only the collector can end."""

    alive = 0
    made = 0

    def __init__(self) -> None:
        self.own = self
        Litter.alive += 1
        Litter.made += 1

    def __del__(self) -> None:
        Litter.alive -= 1


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task(memory="256MiB")
def hoard(mebibytes: int) -> int:
    print("has begun to hoard")
    blocks = []
    for _ in range(mebibytes):
        blocks.append(bytearray(b"x") * MIB)
        time.sleep(0.002)
    return len(blocks)


@app.task
def die_small() -> None:
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def whoami(number: int) -> int:
    time.sleep(0.005)
    return os.getpid()


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


base = 0


@app.task
def leak(mebibytes: int) -> tuple[int, int]:
    """Memory before the first of these jobs in this process, and after this one."""
    global base
    base = base or resident()
    kept.append(bytearray(b"x") * (mebibytes * MIB))
    return base, resident()


@app.task
def leak_at_once(mebibytes: int) -> int:
    kept.append(bytearray(b"x") * (mebibytes * MIB))
    return os.getpid()


@app.task
def is_frozen() -> bool:
    return gc.get_freeze_count() > 0


@app.task
def litter(count: int) -> int:
    """How often the collector ran in this body."""
    before = sum(generation["collections"] for generation in gc.get_stats())
    for _ in range(count):
        Litter()
    return sum(generation["collections"] for generation in gc.get_stats()) - before


@app.task
def litter_left() -> tuple[int, int]:
    return Litter.alive, Litter.made


@app.task
def shares_heap() -> bool:
    """Whether another thread than the main one gets memory from the heap of that."""
    libc = ctypes.CDLL(None)
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    blocks: list[int] = []
    thread = threading.Thread(target=lambda: blocks.append(libc.malloc(5_000)))
    thread.start()
    thread.join()
    with open("/proc/self/maps") as maps:
        heap = next(line for line in maps if line.rstrip().endswith("[heap]"))
    start, end = (int(address, 16) for address in heap.split()[0].split("-"))
    return start <= blocks[0] < end


@tasks.task
def small() -> None: ...


@tasks.task(memory=None)
def large() -> None: ...
