"""`joblib.Parallel` on two workers: the backend `"lineshaft"` beside joblib's own, `"loky"`, in turns.

`python benches/parallel/search.py [--rounds 3] [--only NAME]`. Each figure is the median of the rounds, with the least
and the greatest beside it. Each round is a fresh program, and what is cold is its first `Parallel`; imports of the
program itself are not counted. "prepared" is with `register_joblib(prepare=2)`, three seconds before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import joblib
import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

import lineshaft

JOBS = 2
WARM_ROUNDS = 5
PREPARED_S = 3.0
BACKENDS = ("lineshaft", "lineshaft, prepared", "loky")


def search() -> None:
    """200 fits of about two milliseconds."""
    features, kinds = load_iris(return_X_y=True)
    grid = {"C": [10.0**power for power in range(-3, 5)], "gamma": [0.01, 0.03, 0.1, 0.3, 1.0]}
    GridSearchCV(SVC(), grid, cv=5, n_jobs=JOBS).fit(features, kinds)


ARRAY = np.ones(1_250_000)


def one_array() -> None:
    """200 tasks with the same 10 MB."""
    Parallel(JOBS, batch_size=1)(delayed(last)(ARRAY) for _ in range(200))


def last(array: Any) -> float:
    return float(array[-1])


def many_arrays() -> None:
    """100 tasks with 10 MB each."""
    Parallel(JOBS, batch_size=1)(delayed(last)(ARRAY + number) for number in range(100))


def small_tasks() -> None:
    """20,000 tasks of a microsecond."""
    Parallel(JOBS)(delayed(abs)(number) for number in range(20_000))


def after_an_error() -> None:
    """A call that raises, and one after it."""
    with suppress(ValueError):
        Parallel(JOBS)(delayed(int)("x") for _ in range(4))
    Parallel(JOBS)(delayed(abs)(number) for number in range(4))


WORKLOADS: dict[str, Callable[[], None]] = {
    "GridSearchCV of 200 small fits": search,
    "200 tasks, the same 10 MB": one_array,
    "100 tasks, 10 MB each": many_arrays,
    "20,000 tasks of 1 us": small_tasks,
    "one that raises, one more": after_an_error,
}


def inside(workload: str, backend: str) -> None:
    """Prints the seconds of the first call and the median of those after it."""
    do = WORKLOADS[workload]
    name, _, how = backend.partition(", ")
    if name == "lineshaft":
        lineshaft.register_joblib(prepare=JOBS if how else None)
        time.sleep(PREPARED_S if how else 0.0)
    with joblib.parallel_config(name, n_jobs=JOBS):
        cold, *warm = (seconds_of(do) for _ in range(1 + WARM_ROUNDS))
    print(json.dumps([cold, statistics.median(warm)]))


def seconds_of(do: Callable[[], None]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="a part of the names of what is measured")
    parser.add_argument("--inside", nargs=2, metavar=("WORKLOAD", "BACKEND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(*options.inside)
        return
    print(f"{JOBS} workers, median of {options.rounds} (least to greatest), in seconds")
    for workload in (name for name in WORKLOADS if options.only in name):
        print(workload)
        found: dict[str, list[list[float]]] = {backend: [] for backend in BACKENDS}
        for _ in range(options.rounds):
            for backend, figures in found.items():
                command = [sys.executable, __file__, "--inside", workload, backend]
                figures.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        for backend, figures in found.items():
            cold, warm = (shown(list(values)) for values in zip(*figures, strict=True))
            print(f"  {backend:20} cold {cold}   warm {warm}", flush=True)


def shown(values: list[float]) -> str:
    return f"{statistics.median(values):7.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
