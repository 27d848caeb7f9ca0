"""CPython's own tests of `multiprocessing`, of `concurrent.futures` and of `functools.lru_cache`, on
`lineshaft.multiprocessing`, `lineshaft.Executor` and `lineshaft.cached`; `bridge.py` has those of `logging`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lineshaft

from ..child import CACHE
from ..child import run as run_child
from ..report import Report
from .exclusions import EXCLUSIONS
from .suites import Suite, find

NAME = "cpython"
_HERE = Path(__file__).parent
_PACKAGES = Path(lineshaft.__file__).parents[1]
_CASE_S = 300.0
"""For one case, of which the slowest takes some fifteen seconds on a machine that does nothing else."""
_MODULE_S = 3600.0
_SAID_MAX = 60
"""Lines of the log that a case is shown with which ended its process."""

_METHODS = ("fork", "spawn", "forkserver")
_FUTURES = ["ProcessPool*", "ThreadPool*"]
"""Not the cases of futures alone, which are the standard library's."""
_QUICK = {
    "fork": [
        "TestSimpleQueue::*",
        *(
            f"WithProcessesTest{what}*::*"
            for what in ("Barrier", "Condition", "Event", "Lock", "Pool", "Queue", "Semaphore")
        ),
    ],
    "futures": [
        f"ProcessPoolFork{what}Test::*"
        for what in ("ExecutorDeadlock", "FailingInitializer", "Initializer", "ProcessPoolExecutor")
    ],
}
"""Forked, since that is the start method that is fast."""


@dataclass
class Part:
    """A module of the suite, and which of its cases are run."""

    name: str
    module: str
    patterns: list[str] = field(default_factory=list)


def run(quick: bool) -> Report:
    """With every interpreter whose tests are found; quickly with one of them, and a part of the cases."""
    return run_parts(NAME, list(_parts(quick)), quick)


def run_parts(name: str, parts: Sequence[Part], quick: bool) -> Report:
    """What becomes of these parts of the suite."""
    found, missing = find()
    report = Report(name, missing=missing)
    runs = [(suite, part) for suite in (found[:1] if quick else found) for part in parts]
    with ThreadPoolExecutor(os.cpu_count()) as together:
        ended = together.map(lambda each: _run_part(name, *each), runs)
        for (suite, part), records in zip(runs, ended, strict=True):
            for record in records:
                case = f"{suite.version.partition('-')[0]}::{part.name}::{record['case']}"
                report.add(case, record["outcome"], record["detail"], EXCLUSIONS)
    report.suite = "CPython's tests of " + " and ".join(_counted(suite, report) for suite in found)
    return report


def _counted(suite: Suite, report: Report) -> str:
    """Its version, and how many of its cases passed."""
    version = suite.version.partition("-")[0]
    return f"{suite.version} ({sum(case.startswith(f'{version}::') for case in report.passed)} passed)"


def _parts(quick: bool) -> Iterator[Part]:
    for method in _METHODS:
        if not quick or method in _QUICK:
            yield Part(method, f"test.test_multiprocessing_{method}", _QUICK[method] if quick else [])
    yield Part("lru_cache", "judged_lru")
    yield Part("futures", "test.test_concurrent_futures", _QUICK["futures"] if quick else _FUTURES)


def _run_part(name: str, suite: Suite, part: Part) -> list[dict[str, Any]]:
    """What became of its cases. One that ends the process, or is ended with it, has failed, and the others are run."""
    directory = CACHE / "runs" / suite.version / part.name
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "cwd").mkdir(parents=True)
    results, log = directory / "results.jsonl", directory / "log"
    path = [str(_HERE / "site"), *([str(suite.path)] if suite.path else []), str(_PACKAGES)]
    command = [suite.python, str(_HERE / "runner.py"), part.module, str(results), str(_CASE_S), *part.patterns]
    shown = _Shown(f"{name}: {suite.version} {part.name}")
    code: int | None = 1
    while not _is_over(results):
        before = len(_records(results))
        # Where the paths of sockets are short enough.
        with tempfile.TemporaryDirectory(prefix="judges-") as temporary:
            code = run_child(
                command,
                cwd=directory / "cwd",
                log=log,
                deadline_s=_MODULE_S,
                env={"PYTHONPATH": os.pathsep.join(path), "TMPDIR": temporary},
                look=lambda: shown.show(_records(results)),
            )
        if not _is_over(results) or code != 0:
            _note_end(results, before, code, log)
    shown.show(_records(results), is_over=True)
    return [record for record in _records(results) if record["case"] and "outcome" in record]


def _is_over(results: Path) -> bool:
    return any(record.get("outcome") == "ended" for record in _records(results))


def _note_end(results: Path, before: int, code: int | None, log: Path) -> None:
    """Writes down the case that was being run when the process ended, so that the others are run."""
    new = _records(results)[before:]
    last = new[-1] if new else {}
    said = "\n".join(log.read_text(errors="replace").splitlines()[-_SAID_MAX:])
    with results.open("a") as file:
        if "outcome" in last or not last:
            # Not within a case: the process would end the same way again.
            last = {"case": f"{last.get('case') or 'the suite'}::ends well"}
            file.write(json.dumps({"case": "", "outcome": "ended"}) + "\n")
        last.update(outcome="failed", detail=f"{said}\nthe process of the suite ended with {code}")
        file.write(json.dumps(last) + "\n")


def _records(results: Path) -> list[dict[str, Any]]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines(keepends=True) if line.endswith("\n")]


class _Shown:
    """What has been said of a part: a line for each class of cases that is over."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def show(self, records: Sequence[dict[str, Any]], *, is_over: bool = False) -> None:
        groups: dict[str, list[dict[str, Any]]] = {}
        for record in records:
            if record["case"] and "outcome" in record:
                groups.setdefault(record["case"].partition("::")[0], []).append(record)
        names = list(groups) if is_over else list(groups)[:-1]
        for name in names[self._count :]:
            outcomes = [record["outcome"] for record in groups[name]]
            seconds = sum(record.get("s", 0.0) for record in groups[name])
            counts = ", ".join(f"{outcomes.count(what)} {what}" for what in ("passed", "failed", "skipped"))
            print(f"{self._name} {name}: {counts} ({seconds:.1f} s)", flush=True)
        self._count = max(self._count, len(names))
