"""An app for the tests of slots: bodies for threads and for a loop."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from lineshaft import App, Retry, current

if "SLOTWORKS_WITHOUT_UVLOOP" in os.environ:
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # as if it were not installed
if "SLOTWORKS_TRACED" in os.environ:
    threading.settrace(getattr)  # as `traces` does, in all threads that come
app = App("unused")
setting: contextvars.ContextVar[str] = contextvars.ContextVar("setting", default="untouched")


def write(path: str, text: str) -> None:
    with Path(path).open("a") as file:
        file.write(text + "\n")


@app.task
def where() -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


@app.task
async def loop_kind() -> str:
    return type(asyncio.get_running_loop()).__module__


@app.task
def breaks_threads() -> None:
    """What the worker itself needs for the next attempt in a thread raises, once."""
    real = threading.get_ident

    def broken() -> int:
        threading.get_ident = real
        raise RuntimeError("nobody knows this thread")

    threading.get_ident = broken


@app.task
async def breaks_coroutines() -> None:
    """The same for the next coroutine."""
    real = asyncio.Task

    def broken(*args: object, **options: object) -> None:
        asyncio.Task = real  # type: ignore[misc]
        raise RuntimeError("no task is to be had")

    asyncio.Task = broken  # type: ignore[misc, assignment]


@app.task
def meets(path: str, count: int) -> int:
    """Waits until so many of them are there."""
    write(path, "here")
    while len(Path(path).read_text().split()) < count:
        time.sleep(0.01)
    return os.getpid()


@app.task
async def ameets(path: str, count: int) -> int:
    write(path, "here")
    while len(Path(path).read_text().split()) < count:
        await asyncio.sleep(0.01)
    return os.getpid()


arrived = 0
all_are_here = asyncio.Event()


@app.task
async def gathers(count: int) -> int:
    """The same for many of one process."""
    global arrived
    arrived += 1
    if arrived == count:
        all_are_here.set()
    await all_are_here.wait()
    return os.getpid()


def may_end(path: str) -> bool:
    return Path(path + ".go").exists()


@app.task
def holds(path: str) -> int:
    """Until it may end."""
    write(path, f"start {os.getpid()}")
    while not may_end(path):
        time.sleep(0.01)
    return os.getpid()


@app.task
async def aholds(path: str) -> int:
    while not may_end(path):
        await asyncio.sleep(0.01)
    return os.getpid()


@app.task
def notes(path: str, seconds: float) -> None:
    write(path, f"start {os.getpid()}")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    write(path, "end")


@app.task
def talks(word: str) -> str:
    for number in range(5):
        print(f"{word} {number}")
        time.sleep(0.02)
    print(f"{word} error", file=sys.stderr)
    current.progress(word)
    return str(current.job.id)


@app.task
def waits(path: str) -> str:
    """Until it is interrupted, and tells by what."""
    try:
        write(path, "start")
        while True:
            time.sleep(0.01)
    except BaseException as error:
        write(path, f"{type(error).__name__}: {error}; cancelled={current.cancelled}")
        raise


@app.task(timeout="300ms")
def too_long(path: str) -> None:
    waits.function(path)


@app.task(timeout="200ms")
def deaf() -> None:
    """Hears nothing."""
    time.sleep(60)


@app.task
def sets(value: str) -> str:
    before = setting.get()
    setting.set(value)
    time.sleep(0.01)
    return before


@app.task
def short(n: int) -> int:
    """Computes for a moment."""
    total = 0
    for number in range(n):
        total += number
    return total


@app.task(timeout="20ms", priority=5)
def about_in_time(seconds: float) -> None:
    """Takes about as long as it takes until somebody notices that it takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.001)


@app.task
def traces() -> int:
    """From here on all that this thread runs is traced, as by a debugger: nothing of it is of interest."""
    # Of no frame "call" is an attribute, so this gives None; and no interruption can get into a function in C.
    sys.settrace(getattr)
    return os.getpid()


@app.task
def is_traced() -> tuple[int, bool]:
    return os.getpid(), sys.gettrace() is getattr


@app.task
def dies_talking(path: str, number: int) -> None:
    """Two of them kill their process together, when both have said their words."""
    print(f"last words of {number}")
    write(f"{path}.{current.attempt}", "said")
    while len(Path(f"{path}.{current.attempt}").read_text().split()) < 2:
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


talking: list[int] = []


@app.task
async def adies_talking(number: int, most: int) -> None:
    """The last one of the first attempts kills them all."""
    if current.attempt > 1:
        return
    print(f"last words of {number}")
    talking.append(number)
    if len(talking) == most:
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(1000)


@app.task
def exits() -> None:
    sys.exit(3)


class Declined(Exception):
    """An answer rather than a failure."""


@app.task(expected=(Declined, KeyError), retries=Retry(1, first="1ms", cap="1ms", never=KeyError))
def charges(kind: str) -> None:
    raise {"declined": Declined, "key": KeyError, "value": ValueError}[kind]("no funds")


@app.task(expected=Declined)
async def acharges(kind: str) -> None:
    charges.function(kind)


def soon(attempt: int, error: BaseException) -> timedelta:
    if attempt == 2:
        raise LookupError("no table of delays")
    return timedelta(milliseconds=10)


# Next to none of the usual delays, up to four hours, is short: what ends in time was told so by `after`.
SAID_BY_AFTER = Retry(1, first="4h", cap="4h", after=soon)


@app.task(retries=SAID_BY_AFTER)
def fails_once() -> int:
    if current.attempt == 1:
        raise ValueError("not yet")
    return current.attempt


@app.task(retries=Retry(2, first="1ms", cap="1ms", after=soon))
def fails_twice() -> int:
    if current.attempt < 3:
        raise ValueError("not yet")
    return current.attempt


def until_stopping() -> None:
    while not current.cancelled:
        time.sleep(0.005)


@app.task
def shields(path: str) -> None:
    """Goes on in two nested shields when it is asked to stop, and tells where it was stopped."""
    try:
        with current.shield():
            write(path, "start")
            with current.shield():
                until_stopping()
                time.sleep(0.05)
                write(path, "inner")
            time.sleep(0.05)
            write(path, "outer")
        write(path, "past the shield")
    except BaseException as error:
        write(path, f"{type(error).__name__}: {error}")
        with current.shield():
            write(path, "tidied")
        raise


@app.task(timeout="200ms")
def shields_too_long(path: str) -> None:
    shields.function(path)


@app.task(timeout="200ms")
def shields_for_ever(path: str) -> None:
    with current.shield():
        write(path, "start")
        time.sleep(60)
        write(path, "end")


@app.task
def shields_in_a_thread(path: str) -> None:
    """A thread of the body opens and closes the shield."""

    def step() -> None:
        with current.shield():
            write(path, "start")
            until_stopping()
            time.sleep(0.05)
            write(path, "closing")

    thread = threading.Thread(target=contextvars.copy_context().run, args=(step,))
    thread.start()
    try:
        while True:
            time.sleep(0.01)
    except BaseException as error:
        thread.join()
        write(path, f"{type(error).__name__}: {error}")
        raise


@app.task(timeout="20ms", priority=5)
def about_shielded(path: str, seconds: float) -> None:
    """Opens and closes shields while it is to be interrupted; tells if one is torn apart."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        halves = 0
        try:
            with current.shield():
                halves += 1
                for _ in range(50):
                    pass
                halves += 1
        finally:
            if halves == 1:
                write(path, "torn apart")


@app.task
def whole(kind: str) -> int:
    """With shields of its own, none of which holds anything back."""
    total = 0
    for number in range(200):
        with current.shield():
            total += number
    return total


# ---- Coroutines.


@app.task
async def ashields(path: str) -> None:
    try:
        with current.shield():
            write(path, "start")
            with current.shield():
                while not current.cancelled:
                    await asyncio.sleep(0.005)
                await asyncio.sleep(0.05)
                write(path, "inner")
            await asyncio.sleep(0.05)
            write(path, "outer")
        write(path, "past the shield")
    except BaseException as error:
        write(path, f"{type(error).__name__}: {error}")
        with current.shield():
            await asyncio.sleep(0.05)
            write(path, "tidied")
        raise


@app.task(timeout="200ms")
async def ashields_too_long(path: str) -> None:
    await ashields.function(path)


@app.task(timeout="200ms")
async def ashields_for_ever(path: str) -> None:
    with current.shield():
        write(path, "start")
        await asyncio.sleep(60)
        write(path, "end")


@app.task
async def ashields_in_a_task(path: str) -> None:
    """A task of the body opens and closes the shield."""

    async def step() -> None:
        with current.shield():
            write(path, "start")
            while not current.cancelled:
                await asyncio.sleep(0.005)
            write(path, "closing")

    try:
        await asyncio.gather(step(), asyncio.sleep(60))
    except BaseException as error:
        write(path, f"{type(error).__name__}: {error}")
        raise


@app.task
async def ashields_in_a_thread(path: str) -> None:
    def step() -> None:
        with current.shield():
            write(path, "start")
            until_stopping()
            write(path, "closing")

    try:
        await asyncio.to_thread(step)
        await asyncio.sleep(60)
    except BaseException as error:
        write(path, f"{type(error).__name__}: {error}")
        raise


@app.task(timeout="20ms", priority=5)
async def about_ashielded(path: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        halves = 0
        try:
            with current.shield():
                halves += 1
                await asyncio.sleep(0)
                halves += 1
        finally:
            if halves == 1:
                write(path, "torn apart")


@app.task(retries=SAID_BY_AFTER)
async def afails_once() -> int:
    return fails_once.function()


@app.task(retries=Retry(2, first="1ms", cap="1ms", after=soon))
async def afails_twice() -> int:
    return fails_twice.function()


@app.task
async def sleeps(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return os.getpid()


@app.task
async def awhere() -> tuple[int, str, bool]:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    return os.getpid(), threading.current_thread().name, loop is asyncio.get_running_loop()


@app.task
async def awaits(path: str) -> None:
    try:
        write(path, "start")
        await asyncio.sleep(60)
    except BaseException as error:
        write(path, f"{type(error).__name__}: {error}; cancelled={current.cancelled}")
        raise


@app.task(timeout="300ms")
async def atoo_long(path: str) -> None:
    await awaits.function(path)


@app.task
async def atalks(word: str) -> str:
    for number in range(5):
        print(f"{word} {number}")
        await asyncio.sleep(0.01)
    current.progress(word)
    return current.job.id


@app.task
async def asets(value: str) -> str:
    before = setting.get()
    setting.set(value)
    await asyncio.sleep(0.01)
    assert setting.get() == value
    return before


@app.task
async def leaves(path: str) -> str:
    """Starts a task that outlives it."""

    async def left() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            write(path, f"left behind: {error}")
            raise

    task = asyncio.create_task(left())
    await asyncio.sleep(0.01)
    return task.get_name()


@app.task
async def aexits() -> None:
    sys.exit(3)


@app.task
async def fails() -> None:
    raise ValueError("not today")


@app.task
async def blocks(seconds: float) -> None:
    time.sleep(seconds)


@app.task(timeout="300ms")
async def adeaf() -> None:
    """Blocks the loop, and so hears nothing."""
    time.sleep(60)


@app.task
def copies(count: int) -> list[int]:
    """Forks again and again; each copy prints, and is given ten seconds."""
    return [exit_code(copy_that_prints()) for _ in range(count)]


def copy_that_prints() -> int:
    pid = os.fork()
    if pid == 0:
        print("said by a copy", flush=True)
        os._exit(7)
    return pid


def exit_code(pid: int) -> int:
    """The exit code of a copy; -9 if it had to be killed."""
    deadline = time.monotonic() + 10
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
    return os.waitstatus_to_exitcode(ended[1])


@app.task
def chatters(path: str) -> None:
    while not may_end(path):
        print("chatter " * 1_000)


@app.task
async def acopies(path: str, way: str) -> int:
    """Forks; the copy goes on as `way` says instead of ending."""
    return await {"returns": forks, "awaits": forks_and_awaits, "in a task": forks_in_a_task}[way](path)


async def forks(path: str) -> int:
    pid = os.fork()
    return await asyncio.to_thread(exit_code, pid) if pid else 0


async def forks_and_awaits(path: str) -> int:
    pid = os.fork()
    if pid == 0:
        await asyncio.sleep(0)
        write(path, "a copy came back")
    return await asyncio.to_thread(exit_code, pid)


async def forks_in_a_task(path: str) -> int:
    return await asyncio.create_task(forks(path))


@app.task
async def ticks(path: str) -> None:
    """Notes which processes it ever ran in."""
    while not may_end(path):
        with open(path, "a") as file:
            file.write(f"{os.getpid()}\n")
        await asyncio.sleep(0)


pool = ThreadPoolExecutor(2)


def part(number: int) -> tuple[str, object]:
    """What a thread of a body may say and ask; it says nothing of itself in the neighbours' attempts."""
    before = current.resume_from
    current.checkpoint([number, current.job.id])
    current.progress(number)
    print(f"part {number}")
    return current.job.id, before


@app.task
def parts(number: int) -> list[tuple[str, object]]:
    """The same from a thread of its own, a timer, a pool of its own, and one that all attempts of the child share."""
    told: list[tuple[str, object]] = []

    def tell() -> None:
        told.append(part(number))

    for thread in (threading.Thread(target=tell), threading.Timer(0, tell)):
        thread.start()
        thread.join()
    with ThreadPoolExecutor(1) as own:
        told.append(own.submit(part, number).result())
    told.append(pool.submit(part, number).result())
    return told


@app.task
async def aparts(number: int) -> list[tuple[str, object]]:
    """From the threads that a loop keeps."""
    loop = asyncio.get_running_loop()
    return [await asyncio.to_thread(part, number), await loop.run_in_executor(None, part, number)]


@app.task
def no_part() -> int | None:
    """A thread that nothing can tell the attempt of."""
    _thread.start_new_thread(lambda: current.checkpoint(1), ())
    time.sleep(0.2)
    return current.resume_from


@app.task
def closes_descriptors() -> None:
    """As careless daemonizing code does."""
    os.closerange(3, 256)


@app.task
def terminates_a_copy() -> int:
    copy = os.fork()
    if copy == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(copy, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])


@app.task
def starts(path: str, way: str) -> None:
    """Starts processes, and waits for one or until it is stopped."""
    if way == "multiprocessing":
        multiprocessing.get_context("forkserver").Process(target=run_tree, args=(path,)).start()
    elif way == "forks":
        if os.fork() == 0:
            run_tree(path)
    elif way == "waits":
        run_tree(path)
    else:
        subprocess.Popen([*TREE, path])
    while True:
        time.sleep(0.01)


def run_tree(path: str) -> None:
    """Runs a process that starts another one."""
    subprocess.Popen([*TREE, path]).wait()


TREE = ("sh", "-c", 'sleep 1000 & echo $$ $! > "$0"; wait')


@app.task
async def astarts(path: str) -> None:
    await asyncio.create_subprocess_exec(*TREE, path, start_new_session=True)
    await asyncio.sleep(1000)
