"""Workers that tests share: a `lineshaft worker` with one child and a home of its own for each set of options."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import stop_server
from lineshaft import App
from support.processes import Program, until


class Worker(Program):
    """A `lineshaft worker` with one child."""

    def __init__(self, target: str, home: Path, *options: str, **variables: str) -> None:
        self.home = home
        command = [sys.executable, "-m", "lineshaft", "worker", target, "--home", str(home), "--processes", "1"]
        super().__init__(home.with_suffix(".log"), [*command, *options], **variables)
        self._heard = 0

    def begin_test(self) -> None:
        """Forgets what it said so far."""
        self._heard = len(self.text())

    def said(self) -> str:
        """What it said since the test began."""
        return self.text()[self._heard :]

    def until_said(self, words: str) -> str:
        """Waits for `words`; gives all that it said since the test began."""
        return until(lambda: words in (said := self.said()) and said, f"{words!r} is said")

    def stopped(self) -> tuple[int, str]:
        """Exit code and words after a SIGTERM."""
        return self.terminate(), self.said()


class Workers:
    """Workers for `app`. Each one starts when it is needed first."""

    def __init__(self, app: App, target: str, directory: Path) -> None:
        self._app = app
        self._target = target
        self._directory = directory
        self._running: dict[tuple[object, ...], Worker] = {}

    @contextmanager
    def one(self, *options: str, **variables: str) -> Iterator[Worker]:
        """A worker with these options, whose home is that of the app meanwhile."""
        key = (*options, *variables.items())
        worker = self._running.get(key)
        if worker is None or worker.has_ended():
            home = self._directory / f"home{len(self._running)}"
            worker = self._running[key] = Worker(self._target, home, *options, **variables)
        worker.begin_test()
        with self._app.override(home=worker.home):
            yield worker

    def close(self) -> None:
        """Ends them and their servers."""
        for worker in self._running.values():
            worker.kill()
            stop_server(worker.home)
