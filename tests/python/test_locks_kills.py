"""Locks while servers and holders are killed, stopped and started again."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from lineshaft import App, LockTimeout
from support.processes import PATIENCE_S, is_alive, text_of, until


def server_of(home) -> int:
    found = re.search(r"^pid=(\d+)$", (home / "LOCK").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def kill_server(home) -> None:
    pid = server_of(home)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid), "the server is dead")


HOLDER = """
    import pathlib, sys, time
    from lineshaft import App, LockLost

    app = App(sys.argv[1])
    with app.lock("till", ttl="2s") as lock:
        pathlib.Path("fence").write_text(str(lock.fence))
        while not pathlib.Path("look").exists():
            time.sleep(0.02)
        try:
            lock.check()
        except LockLost as lost:
            print("lost", lost.fence, flush=True)
            raise SystemExit(7)
        print("held", flush=True)
"""


@pytest.fixture
def holder(programs, home):
    """A program that holds the lock `till`, with the time of 2 s, and looks whether it does when it is told to."""
    programs.write("holder.py", HOLDER)
    process = programs.start("holder.py", str(home))
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_a_lock_outlives_its_server_and_the_next_fence_is_greater(home):
    app = App(home)
    with app.lock("till", ttl="60s") as lock:
        fence = lock.fence
        for _ in range(3):
            kill_server(home)
            with pytest.raises(LockTimeout):
                App(home).lock("till", timeout=0).acquire()
        lock.check()
    with app.lock("till") as again:
        assert again.fence > fence


def test_who_waits_while_the_server_is_killed_is_given_it_in_its_turn(home):
    import threading

    app, order = App(home), []

    def wait(number: int) -> None:
        with app.lock("till"):
            order.append(number)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(3)]
    with app.lock("till"):
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        kill_server(home)
        time.sleep(0.5)
        assert order == []
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order == [0, 1, 2]


def test_a_killed_holder_has_it_until_its_time_is_over(home, holder, programs):
    fence = int(text_of(programs.directory / "fence"))
    holder.kill()
    began = time.monotonic()
    app = App(home)
    with app.lock("till") as lock:
        assert lock.fence > fence
        assert time.monotonic() - began > 1.0, "nobody knows at once what it had under way"


def test_a_holder_stopped_past_its_time_is_refused_and_the_next_one_has_a_greater_fence(home, holder, programs):
    fence = int(text_of(programs.directory / "fence"))
    holder.send_signal(signal.SIGSTOP)
    app = App(home)
    with app.lock("till") as lock:
        assert lock.fence > fence
        (programs.directory / "look").touch()
        holder.send_signal(signal.SIGCONT)
        out, err = holder.communicate(timeout=PATIENCE_S)
        lock.check()
    assert (out, holder.returncode) == (f"lost {fence}\n", 7), err


def test_a_holder_that_waits_for_nothing_keeps_it_past_its_time(home, holder, programs):
    text_of(programs.directory / "fence")
    time.sleep(5)
    with pytest.raises(LockTimeout):
        App(home).lock("till", timeout=0).acquire()
    (programs.directory / "look").touch()
    out, err = holder.communicate(timeout=PATIENCE_S)
    assert (out, holder.returncode) == ("held\n", 0), err


def test_those_at_a_barrier_wait_on_although_the_server_is_killed(programs, home):
    programs.write(
        "party.py",
        """
        import sys
        from lineshaft import App

        app = App(sys.argv[1])
        with app.lock(sys.argv[2]):
            print("came", flush=True)
            print(app.barrier("phase", 3).wait(), flush=True)
        """,
    )
    parties = []
    for number in range(3):
        if number == 2:
            kill_server(home)
        parties.append(programs.start("party.py", str(home), f"its own {number}"))
        assert parties[-1].stdout.readline() == "came\n"
    assert sorted(int(party.stdout.readline()) for party in parties) == [0, 1, 2]
    for party in parties:
        party.communicate(timeout=PATIENCE_S)
        assert party.returncode == 0
