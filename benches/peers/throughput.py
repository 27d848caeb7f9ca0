"""How many jobs a system takes and runs in a second, and how soon it starts one."""

from __future__ import annotations

import os
import statistics
import struct
import subprocess
import time
from typing import TYPE_CHECKING, Any

import bodies
import processes
import servers

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

TEXT = "x" * 100
BATCH = 1_000
# Of one producer that waits for each, and of one that enqueues in batches.
MOST_SINGLE, MOST_IN_BATCHES = 50_000, 500_000
STARTS_PER_S = 50  # below what the slowest of them runs, so that none waits for those before it


def measure(system: ModuleType, seconds: float) -> dict[str, Any]:
    """Enqueues for a time one by one and in batches, then drains what was enqueued."""
    batch = [TEXT] * BATCH
    system.enqueue_many(system.nothing, batch)  # whatever is made or opened with the first ones
    before, cpu = _size(system), processes.cpu_seconds([os.getpid()])  # the server descends from this one
    single = _rate(lambda: system.enqueue(system.nothing, TEXT), 1, MOST_SINGLE, seconds)
    cpu = processes.cpu_seconds([os.getpid()]) - cpu
    many = _rate(lambda: system.enqueue_many(system.nothing, batch), BATCH, MOST_IN_BATCHES, seconds)
    queued = single[0] + many[0]
    figures = {
        "enqueue_per_s": single[0] / single[1],
        "enqueue_cpu_us": cpu / single[0] * 1e6,
        "enqueue_many_per_s": many[0] / many[1],
    }
    if not system.server or system.server.memory_tells:
        key = "server_bytes_per_queued_job" if system.server else "disk_bytes_per_queued_job"
        figures[key] = (_size(system) - before) / queued
    return figures | _drain(system, BATCH + queued, 4 * seconds)


def _rate(step: Callable[[], object], jobs: int, most: int, seconds: float) -> tuple[int, float]:
    """How many were made, in how many seconds."""
    made, began = 0, time.perf_counter()
    while made < most and time.perf_counter() - began < seconds:
        step()
        made += jobs
    return made, time.perf_counter() - began


def _size(system: ModuleType) -> int:
    """Memory of the server, or where there is none the files."""
    if system.server:
        return processes.resident_bytes(system.server.process.pid)
    return sum(path.stat().st_size for path in bodies.DIRECTORY.iterdir())


def _drain(system: ModuleType, queued: int, seconds: float) -> dict[str, Any]:
    """From the first that is seen done to the last, or to the end of the time."""
    workers = start_workers(system)
    those = [workers.pid, *([system.server.process.pid] if system.server else [])]
    try:
        deadline = time.perf_counter() + 60
        while not (first := _done()):
            if time.perf_counter() > deadline:
                raise SystemExit("no job was done within 60 s of the start of the worker")
            time.sleep(0.001)
        began, cpu = time.perf_counter(), processes.cpu_seconds(those)
        while (now := _done()) < queued and time.perf_counter() - began < seconds:
            time.sleep(0.001)
        took = time.perf_counter() - began
        return {
            "drain_per_s": (now - first) / took,
            "run_cpu_us": (processes.cpu_seconds(those) - cpu) / (now - first) * 1e6,
        }
    finally:
        servers.kill(workers)


def _done() -> int:
    return bodies.DONE.stat().st_size if bodies.DONE.exists() else 0


def latency(system: ModuleType, seconds: float) -> dict[str, Any]:
    """A worker's start to the first result, then starts at a steady pace and round trips, on workers that wait."""
    began = time.perf_counter()
    workers = start_workers(system)
    try:
        system.result(system.enqueue(system.nothing, TEXT), 60)
        cold = time.perf_counter() - began
        _starts(system, 2 * seconds)
        trips = _round_trips(system, seconds)
    finally:
        servers.kill(workers)
    starts = sorted(value for (value,) in struct.iter_unpack("d", bodies.STARTS.read_bytes()))
    return {
        "cold_start_s": cold,
        "start_p50_ms": statistics.median(starts) * 1e3,
        "start_p99_ms": starts[int(0.99 * len(starts))] * 1e3,
        "roundtrip_p50_ms": statistics.median(trips) * 1e3,
    }


def _starts(system: ModuleType, seconds: float) -> None:
    pace = time.monotonic()
    count = int(seconds * STARTS_PER_S)
    for _ in range(count):
        pace += 1 / STARTS_PER_S
        time.sleep(max(0.0, pace - time.monotonic()))
        system.enqueue(system.stamp, time.monotonic())
    deadline = time.monotonic() + 30
    while not bodies.STARTS.exists() or bodies.STARTS.stat().st_size < 8 * count:
        if time.monotonic() > deadline:
            raise SystemExit("not all of the jobs at a steady pace began within 30 s")
        time.sleep(0.01)


def _round_trips(system: ModuleType, seconds: float) -> list[float]:
    trips: list[float] = []
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        began = time.perf_counter()
        system.result(system.enqueue(system.nothing, TEXT), 30)
        trips.append(time.perf_counter() - began)
    return trips


def start_workers(system: ModuleType) -> subprocess.Popen:
    """The system's worker with two processes, its words in a file."""
    with open(bodies.DIRECTORY / "worker.log", "a") as log:
        return subprocess.Popen(system.WORKER, stdout=log, stderr=log)
