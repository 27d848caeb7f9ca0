"""The process that runs a module of the suite: `runner.py MODULE RESULTS DEADLINE_S [PATTERN ...]`.

A line of JSON for each case when it begins, and one with its outcome. Cases that have begun according to RESULTS are
not run again, so that whoever started this can do so again when a case ended the process.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import sys
import threading
import time
import unittest
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

_END_S = 60.0
"""For what the interpreter waits for when it ends."""


class Results(unittest.TestResult):
    """Writes what happens; a case that takes too long ends the process, and prints where every thread is."""

    def __init__(self, file: Any, deadline_s: float) -> None:
        super().__init__()
        self._file = file
        self._deadline_s = deadline_s
        self._began = 0.0
        self._case = ""
        self._outcome: tuple[str, str] | None = None

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().startTest(test)
        self._case, self._outcome, self._began = name_of(test), None, time.monotonic()
        self._write({"case": self._case})
        print(f"--- {self._case}", file=sys.__stderr__, flush=True)
        faulthandler.dump_traceback_later(self._deadline_s, exit=True, file=sys.__stderr__)

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()
        outcome, detail = self._outcome or ("passed", "")
        self._write({"case": self._case, "outcome": outcome, "detail": detail, "s": time.monotonic() - self._began})

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._end(test, "skipped", reason)

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._end(test, "failed", self.errors[-1][1])

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._end(test, "failed", self.failures[-1][1])

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._end(test, "failed", (self.failures + self.errors)[-1][1])

    def _end(self, test: Any, outcome: str, detail: str) -> None:
        if not isinstance(test, unittest.TestCase):  # setUpClass and the like
            self._write({"case": test.description, "outcome": outcome, "detail": detail})
        elif self._outcome is None or self._outcome[0] != "failed":
            self._outcome = outcome, detail

    def _write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()


def name_of(test: unittest.TestCase) -> str:
    """`Class::test`."""
    kind, _, method = test.id().rpartition(".")
    return f"{kind.rpartition('.')[2]}::{method}"


def left_behind() -> list[str]:
    """Threads and processes that do not end, but for those that `multiprocessing` has for the next process."""
    deadline = time.monotonic() + _END_S / 2
    while (found := [*_threads(), *_children(os.getpid())]) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    return found


def _threads() -> list[str]:
    return [repr(thread) for thread in threading.enumerate() if thread is not threading.main_thread()]


def _children(pid: int) -> list[str]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            kept = any(name in command for name in ("resource_tracker", "forkserver import main"))
            found += _children(int(child)) if kept else [f"{child} {command}"]
    return found


def chosen(suite: unittest.TestSuite, patterns: list[str], begun: set[str]) -> unittest.TestSuite:
    """Those whose names are like one of the patterns, and which have not begun, class by class."""
    kept: list[Any] = []
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            kept.append(chosen(test, patterns, begun))
        elif name_of(test) not in begun and any(fnmatchcase(name_of(test), pattern) for pattern in patterns):
            kept.append(test)
    return unittest.TestSuite(kept)


def main(module: str, path: str, deadline_s: str, *patterns: str) -> None:
    """Runs them."""
    faulthandler.enable()
    file = Path(path)
    records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    with file.open("a") as output:
        results = Results(output, float(deadline_s))
        suite = unittest.defaultTestLoader.loadTestsFromName(module)
        chosen(suite, list(patterns) or ["*"], {record["case"] for record in records}).run(results)
        for line in left_behind():
            results._write({"case": f"{module}::leaves nothing", "outcome": "failed", "detail": line})
        results._write({"case": "", "outcome": "ended"})
    faulthandler.dump_traceback_later(_END_S, exit=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
