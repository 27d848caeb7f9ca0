"""Logging that does not hold up who logs: records with fields go into a ring, and threads of Rust write them.

::

    import lineshaft

    log = lineshaft.get_logger(__name__)
    lineshaft.logging.configure(level="info", handlers=[{"kind": "file", "path": "app.log"}])
    log.info("sent", to="ada@example.org", ms=3)

Without `configure`, warnings and what matters more go to standard error. docs/guides/logging.md says it all.
"""

from __future__ import annotations

from .._native import LogRecord
from ._bridge import Capture, Handler, capture
from ._configure import configure, configure_from, reload
from ._context import context, current_context
from ._logger import Logger, get_logger
from ._status import HandlerStatus, Status, flush, records, status

__all__ = [
    "Capture",
    "Handler",
    "HandlerStatus",
    "LogRecord",
    "Logger",
    "Status",
    "capture",
    "configure",
    "configure_from",
    "context",
    "current_context",
    "flush",
    "get_logger",
    "records",
    "reload",
    "status",
]
