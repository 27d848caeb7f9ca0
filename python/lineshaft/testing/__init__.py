"""For tests of programs that use Lineshaft.

Under pytest each test has an engine of its own, in memory, in place of the default home; nothing has to be set up.
`private_engine` is the same for other test runners. Jobs run when a test waits for them, or at `run_jobs`;
`advance` moves the time by which they are due.
"""

from ._engine import Enqueued, advance, assert_enqueued, enqueued, private_engine, run_jobs

__all__ = ["Enqueued", "advance", "assert_enqueued", "enqueued", "private_engine", "run_jobs"]
