"""What other processes do with locks and their like in `test_multiprocessing_sync.py`."""

from __future__ import annotations

import os
import signal
import time
from threading import BrokenBarrierError


def hold(lock, said):
    lock.acquire()
    said.put(os.getpid())
    time.sleep(3600)


def die_holding(lock):
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def add(lock, total, times):
    for _ in range(times):
        with lock:
            total.value += 1


def release(lock):
    lock.release()


def wait_on(condition, said, timeout=60.0):
    with condition:
        said.put("waits")
        said.put(condition.wait(timeout))


def wait_for_ever(condition, said):
    with condition:
        said.put("waits")
        condition.wait()


def set_after(first, second):
    first.wait(60)
    second.set()


def meet(barrier, said):
    try:
        said.put(barrier.wait())
    except BrokenBarrierError:
        said.put("broken")


def meet_often(barrier, said, times):
    said.put([barrier.wait(60) for _ in range(times)])


def use_all(lock, rlock, semaphore, bounded, condition, event, barrier, value):
    with lock, rlock, rlock, semaphore, bounded, condition:
        value.value += 1
        condition.notify_all()
    event.set()
    assert barrier.wait(60) in (0, 1)
