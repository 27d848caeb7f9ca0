"""An app for the tests of what attempts take."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time

from lineshaft import App, Retry, cached, current

app = App("unused")


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1_000))


@app.task
def burns(seconds: float) -> str:
    burn(seconds)
    return "x" * 1_000


@app.task
def sleeps(seconds: float) -> None:
    time.sleep(seconds)


@app.task
def computes_and_waits_in_turns(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        while time.perf_counter() < now + 0.02:
            pass
        time.sleep(0.02)


@app.task
def burns_in_a_thread(seconds: float) -> None:
    thread = threading.Thread(target=burn, args=(seconds,))
    thread.start()
    thread.join()


@app.task
def starts_one_that_burns() -> None:
    loops = "import time\nwhile time.process_time() < 0.4: pass"
    subprocess.run([sys.executable, "-S", "-c", loops], check=True)


@app.task
def takes_memory(mebibytes: int) -> int:
    block = bytearray(mebibytes << 20)
    block[:: 1 << 12] = b"x" * len(block[:: 1 << 12])
    return len(block)


@app.task
def collects(objects: int) -> None:
    kept = [[number] for number in range(objects)]
    for _ in range(10):
        gc.collect()
    del kept


@cached
def double(number: int) -> int:
    return 2 * number


@app.task
def looks_up(times: int) -> int:
    return sum(double(7) for _ in range(times))


@app.task
def prints(text: str) -> None:
    print(text, end="")


@app.task(retries=Retry(max=1, after=lambda *_: 0.3))
def fails_once() -> None:
    if current.attempt == 1:
        burn(0.1)
        raise ValueError("once")


@app.task(timeout=0.5)
def is_too_slow() -> None:
    while True:
        burn(0.05)


@app.task
def dies(mebibytes: int) -> None:
    block = bytearray(mebibytes << 20)
    block[:: 1 << 12] = b"x" * len(block[:: 1 << 12])
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
async def waits(seconds: float) -> None:
    await asyncio.sleep(seconds)


@app.task
def fails(really: bool) -> None:
    if really:
        raise ValueError("always")


@app.task(version=2)
def versioned() -> None:
    pass
