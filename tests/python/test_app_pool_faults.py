"""`app.pool()`, with an exception at each line of its own that runs in the thread of the program."""

from __future__ import annotations

import threading

import pytest

from lineshaft import App
from support.faults import at_each_line
from support.processes import until

app = App()
OURS = "lineshaft-jobs"
"""The thread of a pool."""


@app.task
def double(number: int) -> int:
    return 2 * number


def used() -> list[int]:
    with app.pool() as pool:
        return list(pool.imap(double, range(4)))


def has_no_pool() -> bool:
    return not any(thread.name == OURS for thread in threading.enumerate())


@pytest.mark.filterwarnings("ignore:unclosed running pool:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_exception_at_any_line_arrives_and_leaves_no_thread_behind(error):
    """Ctrl-C between two lines of the end of a pool left its thread waiting for ever."""
    for run in at_each_line(used, "_jobpool", used, error=error):
        assert isinstance(run.error, error if run.where else type(None)), run
        until(has_no_pool, f"the thread ends after {run}")
    assert run.value == [0, 2, 4, 6]
    assert run.number > 100
