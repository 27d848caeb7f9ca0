"""scikit-learn's own tests of searches, scores and ensembles, with every `Parallel` in them on two of our workers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .pytests import PytestSuite
from .pytests import run as run_suite
from .report import Report

NAME = "scikit_learn"
_MODULES = tuple(
    f"sklearn.{module}"
    for module in (
        "model_selection.tests.test_search",
        "model_selection.tests.test_validation",
        *(
            f"ensemble.tests.test_{kind}"
            for kind in ("bagging", "base", "common", "forest", "iforest", "stacking", "voting")
        ),
    )
)
"""Of the ensembles those that use `Parallel`: boosting goes step by step, in one process."""
_QUICK = r"grid_search(_n|_error|_failing|_refit|_multi|_bad|_precomp|_score)|test_parallel|n_jobs"
_SAME = (
    "fails on joblib's own workers as well: it looks for what a task leaves, records or warns of in the process it "
    "runs in, has what cannot be pickled, or expects the error of the first of two tasks"
)


def run(quick: bool) -> Report:
    """Quickly a part of the cases. Those that fail are tried on joblib's own workers, which tells whose fault it is."""
    report = run_suite(NAME, PytestSuite("sklearn", _MODULES, "context", _QUICK if quick else ""))
    if report.failed:
        on_theirs = run_suite(f"{NAME}-reference", PytestSuite("sklearn", _MODULES, "reference", _only(report.failed)))
        for case in on_theirs.failed.keys() & report.failed.keys():
            del report.failed[case]
            report.excluded[case] = _SAME
    return report


def _only(cases: Iterable[str]) -> str:
    """A pattern of these cases."""
    paths = (case.partition("::") for case in cases)
    return "|".join(rf"{module}\.py::{re.escape(name)}$" for module, _, name in paths)
