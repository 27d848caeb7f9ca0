"""Suites of joblib and of what is built on it, which pytest runs and which come with the packages themselves."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import lineshaft

from ..child import CACHE
from ..child import run as run_child
from ..report import Report

__all__ = ["PytestSuite", "run"]

_SITE = Path(__file__).parent / "site"
_PACKAGES = Path(lineshaft.__file__).parents[1]
_CASE_S = 300.0
"""For one case, of which the slowest takes some twenty seconds on a machine that does nothing else."""
_SUITE_S = 3600.0
_SAID_MAX = 40
"""Lines of the log that a case is shown with which ended its process."""


@dataclass
class PytestSuite:
    """Test modules of a package, and how they are run."""

    package: str
    modules: Sequence[str]
    backend: str
    """What `site/sitecustomize.py` makes of joblib."""
    wanted: str = ""
    """A pattern that is found in the cases that are run; in all of them if it is empty."""
    exclusions: Mapping[str, str] = field(default_factory=dict)


def run(name: str, suite: PytestSuite) -> Report:
    """Until every case has begun: one that ends the process, or hangs, has failed."""
    report = Report(name)
    if importlib.util.find_spec(suite.package) is None:
        report.missing.append(f"{suite.package} is not installed")
        return report
    report.suite = f"The tests of {suite.package} {version(suite.package.replace('sklearn', 'scikit-learn'))}"
    directory = CACHE / "runs" / name
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "cwd").mkdir(parents=True)
    results = directory / "results.jsonl"
    records: list[dict[str, str]] = []
    while not any(record.get("outcome") == "ended" for record in records):
        before = len(records)
        code = _run_rest(suite, results)
        records = _records(results)
        if len(records) == before:
            said = (directory / "log").read_text(errors="replace").splitlines()[-_SAID_MAX:]
            report.failed["the suite::begins"] = "\n".join([*said, f"it ended with {code}"])
            break
    for case, outcome, detail in _outcomes(records):
        report.add(case, outcome, detail, suite.exclusions)
    return report


def _run_rest(suite: PytestSuite, results: Path) -> int | None:
    root = Path(importlib.import_module(suite.package).__file__ or "").parents[1]
    # Without its own settings, and without the plugins that happen to be here.
    options = ["-q", "-c", os.devnull, f"--rootdir={root}", "-W", "ignore", "-p", "no:cacheprovider"]
    return run_child(
        [sys.executable, "-m", "pytest", *options, "-p", "judged_pytest", "--pyargs", *suite.modules],
        cwd=results.parent / "cwd",
        log=results.parent / "log",
        deadline_s=_SUITE_S,
        env={
            "PYTHONPATH": os.pathsep.join([str(_SITE), str(_PACKAGES)]),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "JUDGED_BACKEND": suite.backend,
            "JUDGED_CASES": suite.wanted,
            "JUDGED_CASE_S": str(_CASE_S),
            "JUDGED_RESULTS": str(results),
        },
    )


def _records(results: Path) -> list[dict[str, str]]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines()]


def _outcomes(records: Sequence[dict[str, str]]) -> list[tuple[str, str, str]]:
    """Of each case: one that has only begun has ended its process, one that fails when it is torn down has failed."""
    found: dict[str, tuple[str, str]] = {}
    for record in records:
        case, outcome = record["case"], record.get("outcome", "")
        if case and found.get(case, ("", ""))[0] != "failed":
            found[case] = outcome, record.get("detail", "the process ended in it, or it hung")
    return [(_path(case), outcome or "failed", detail) for case, (outcome, detail) in found.items()]


def _path(case: str) -> str:
    """`joblib/test/test_parallel.py::test_x[1]` as `test_parallel::test_x[1]`."""
    module, _, name = case.partition("::")
    return f"{Path(module).stem}::{name}"
