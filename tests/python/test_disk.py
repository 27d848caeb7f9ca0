"""A disk that is full, on a real file system of 64 MiB, and one that stands still."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import lineshaft
from support.effects import effects_in
from support.processes import PATIENCE_S, Stage, kill, until

FREED_S = 20.0
"""Until the server notices that there is room again (a second or two)."""
LEASE_S = 15.0
STALL_S = 20.0
"""Longer than a lease of 15 s."""
MIB = 1 << 20
STALL_C = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

int fdatasync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    while (access(getenv("STALL_FILE"), F_OK) == 0) usleep(20000);
    return real(fd);
}
"""


@pytest.fixture
def app(stage, monkeypatch):
    with stage.imported("_kills_app", monkeypatch) as app:
        yield app


@pytest.fixture
def small_disk(stage):
    """The stage's home on a file system of 64 MiB."""
    stage.home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "lineshaft-test", str(stage.home)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    yield stage.home
    subprocess.run(["umount", "--lazy", str(stage.home)], check=True)


def fill(path: Path) -> None:
    """Takes every free byte of its file system."""
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


def starts_of(stage: Stage, job: Any) -> list[Any]:
    return [effect for effect in effects_in(stage.effects) if (effect.what, effect.job) == ("start", job.id)]


def enqueue_without_end(app: Any, accepted: list[Any]) -> None:
    while True:
        accepted.append(app.echo.using(queue="later").enqueue(random.randbytes(200_000)))


def enqueued_again(app: Any) -> Any:
    try:
        return app.work.enqueue("again", 0)
    except lineshaft.StoreFull:
        time.sleep(0.05)
        return None


def backed_up(stage: Stage, place: Path) -> bool:
    return stage.run("store", "backup", str(place)).returncode == 0


def status_of(stage: Stage) -> Any:
    return json.loads(stage.run("status", "--json").stdout)


def test_a_full_disk_refuses_new_jobs_and_loses_nothing(stage, small_disk, app, tmp_path):
    stage.server()
    stage.worker(processes=1)
    running = app.work.enqueue("running", 2)
    until(lambda: starts_of(stage, running), "it starts")
    fill(small_disk / "ballast")
    accepted: list[Any] = []
    with pytest.raises(lineshaft.StoreFull) as caught:
        enqueue_without_end(app, accepted)
    print(f"\n{len(accepted)} more jobs were taken, then: {caught.value}")
    assert re.search(r"no new jobs until \d+ MiB are free there, and \d+ are", str(caught.value))
    assert running.result(timeout=PATIENCE_S) == "running"
    assert status_of(stage)["disk"]["state"] == "full"
    shown = stage.run("status").stdout
    assert "full, no new jobs are taken: 0" in shown, shown
    # Each try gives way to what frees space; when all of that is gone, it is let through.
    until(lambda: backed_up(stage, tmp_path / "backup"), "a full home is copied to another disk", FREED_S)
    (small_disk / "ballast").unlink()
    again = until(lambda: enqueued_again(app), "jobs are taken again", FREED_S)
    assert again.result(timeout=PATIENCE_S) == "again"
    for job in accepted:
        assert len(job.result(timeout=PATIENCE_S)) == 200_000
    assert status_of(stage)["disk"]["state"] == "ok"


def test_large_ends_and_checkpoints_wait_for_room_with_their_leases(stage, small_disk, app):
    stage.server()
    growing, echoed = app.grow.enqueue("one"), app.echo.enqueue(random.randbytes(60_000))
    fill(small_disk / "ballast")
    with pytest.raises(lineshaft.StoreFull):
        enqueue_without_end(app, [])
    stage.worker("--queues", "default", processes=2)
    until(lambda: starts_of(stage, growing), "it starts on what was kept back")
    until(lambda: echoed.refresh().state == "running", "the other one, too")
    time.sleep(LEASE_S + 5)
    assert [growing.refresh().state, echoed.refresh().state] == ["running", "running"]
    assert not [effect for effect in effects_in(stage.effects) if effect.what == "saved"]
    (small_disk / "ballast").unlink()
    assert (len(growing.result(timeout=PATIENCE_S)), len(echoed.result(timeout=PATIENCE_S))) == (60_000, 60_000)
    assert len(starts_of(stage, growing)) == 1
    assert [len(job.refresh().record.attempts) for job in (growing, echoed)] == [1, 1]


def test_a_server_killed_on_a_full_disk_starts_again_and_again(stage, small_disk, app):
    """It asked for 512 bytes more."""
    server = stage.server()
    stage.worker(processes=1)
    running = app.work.enqueue("running", 6)
    until(lambda: starts_of(stage, running), "it starts")
    accepted: list[Any] = []
    fill(small_disk / "ballast")
    with pytest.raises(lineshaft.StoreFull):
        enqueue_without_end(app, accepted)
    for number in range(3):
        kill([server.pid])
        fill(small_disk / f"more{number}")
        server = stage.server()
        with pytest.raises(lineshaft.StoreFull):
            app.work.enqueue("new", 0)
    assert running.result(timeout=PATIENCE_S) == "running"
    assert len(starts_of(stage, running)) == 1, "it went on through all of it"
    for ballast in [*small_disk.glob("more*"), small_disk / "ballast"]:
        ballast.unlink()
    assert until(lambda: enqueued_again(app), "jobs are taken again", FREED_S).result(timeout=PATIENCE_S) == "again"
    for job in accepted:
        assert len(job.result(timeout=PATIENCE_S)) == 200_000


def test_a_disk_that_stands_still_for_longer_than_a_lease_costs_no_attempt(stage, app):
    """Renewals were not answered, and workers ended what they ran."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make the disk stand still with")
    source, library, switch = (stage.directory / name for name in ("stall.c", "stall.so", "stall"))
    source.write_text(STALL_C)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    stage.server(LD_PRELOAD=str(library), STALL_FILE=str(switch))
    worker = stage.worker(processes=1)
    running = app.work.enqueue("long", STALL_S + 5)
    until(lambda: starts_of(stage, running), "it starts")
    time.sleep(1)
    switch.touch()
    stalled = threading.Thread(target=app.work.enqueue, args=("other", 0))
    stalled.start()
    time.sleep(STALL_S)
    assert stalled.is_alive(), "the disk did not stand still"
    switch.unlink()
    assert running.result(timeout=PATIENCE_S) == "long"
    stalled.join(PATIENCE_S)
    assert len(starts_of(stage, running)) == 1, worker.text()
    [attempt] = json.loads(stage.run("job", "show", running.id, "--json").stdout)["attempts"]
    assert attempt["outcome"] == "succeeded"
