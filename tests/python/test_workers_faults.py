"""`app.workers()`, with an exception at each line of its own: no process stays behind."""

from __future__ import annotations

import os

from lineshaft import App
from lineshaft._workers import Block, Crew, Workers
from support.faults import at_each_line
from support.processes import children_of, until

app = App()
OURS = (Workers.__enter__, Workers.__exit__, Workers._forget_block, Block.__init__, Crew.start, Crew.end)


def test_an_exception_at_any_line_arrives_and_leaves_no_process_behind(home):
    """Ctrl-C at the end of `__enter__` or the beginning of `__exit__` left workers that nobody ended."""
    with app.override(home=home):
        used()  # and the server runs, which is none of the workers
        before = set(children_of(os.getpid()))
        for run in at_each_line(used, *OURS, used):
            assert isinstance(run.error, KeyboardInterrupt if run.where else type(None)), run
            assert app._attendance.blocks == [], run
            until(lambda: set(children_of(os.getpid())) <= before, f"its processes end after {run}")
    assert run.number > 20


def used() -> None:
    with app.workers(1):
        children_of(os.getpid())
