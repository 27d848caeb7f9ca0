"""CPython's own tests of `logging`, with every record of their loggers taken over the bridge of `lineshaft.logging`,
through its ring and its threads, and back; `cpython/site/judged_logging.py` says how.
"""

from __future__ import annotations

from .cpython import Part, run_parts
from .report import Report

NAME = "logging"
_QUICK = [
    f"{what}Test::*" for what in ("ConfigDict", "Formatter", "Logger", "LoggerAdapter", "QueueHandler", "StreamHandler")
]


def run(quick: bool) -> Report:
    """With every interpreter whose tests are found; quickly with one of them, and a part of the cases."""
    return run_parts(NAME, [Part("bridge", "judged_logging", _QUICK if quick else [])], quick)
