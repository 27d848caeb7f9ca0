"""Random histories of locks and semaphores against a naive model, with servers that are killed in between."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from conftest import stop_server
from lineshaft import App, LockError
from support.processes import is_alive, until

KEYS = st.sampled_from(["a", "b"])
APPS = st.integers(0, 1)
"""Two programs, as far as the server can tell."""


class Locks(RuleBasedStateMachine):
    """Every step asks without waiting, so that the model knows the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.home = self.directory / "home"
        self.apps = [App(self.home) for _ in range(2)]
        self.held: list[tuple[str, str, object, int]] = []
        """Kind, key, the lock and its fence."""
        self.newest = 0

    @initialize()
    def begin(self) -> None:
        with self.apps[0].lock("a"):
            pass

    @rule(app=APPS, key=KEYS)
    def lock(self, app: int, key: str) -> None:
        self.ask("lock", key, 1, lambda: self.apps[app].lock(key, timeout=0))

    @rule(app=APPS, key=KEYS, n=st.integers(1, 3))
    def semaphore(self, app: int, key: str, n: int) -> None:
        self.ask("semaphore", key, n, lambda: self.apps[app].semaphore(key, n, timeout=0))

    def ask(self, kind: str, key: str, n: int, make) -> None:
        count = sum(1 for held in self.held if held[:2] == (kind, key))
        lock = make()
        try:
            lock.acquire()
        except LockError:  # who has it already is told so before anybody is asked
            assert count >= n, f"{kind} {key} is free"
            return
        assert count < n, f"{kind} {key} is held by {count}"
        assert lock.fence > self.newest, "fences grow"
        self.newest = lock.fence
        self.held.append((kind, key, lock, lock.fence))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data) -> None:
        at = data.draw(st.integers(0, len(self.held) - 1))
        *_, lock, _ = self.held.pop(at)
        lock.release()

    @rule()
    def kill_the_server(self) -> None:
        found = re.search(r"^pid=(\d+)$", (self.home / "LOCK").read_text(), re.MULTILINE)
        if found and is_alive(int(found[1])):
            os.kill(int(found[1]), signal.SIGKILL)
            until(lambda: not is_alive(int(found[1])), "the server is dead")

    @invariant()
    def what_is_held_is_held(self) -> None:
        for *_, lock, fence in self.held:
            lock.check()
            assert lock.fence == fence

    def teardown(self) -> None:
        for *_, lock, _ in self.held:
            lock.release()
        stop_server(self.home)
        shutil.rmtree(self.directory)


TestLocks = Locks.TestCase
TestLocks.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
