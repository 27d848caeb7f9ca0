"""A plugin of pytest that writes down each case as it begins and as it ends, and ends the process if one hangs."""

import faulthandler
import json
import os
import re
from pathlib import Path

RESULTS = Path(os.environ["JUDGED_RESULTS"])
CASE_S = float(os.environ["JUDGED_CASE_S"])
LOG = os.fdopen(os.dup(2), "w")
"""Where the process prints before its cases are captured."""
WANTED = re.compile(os.environ["JUDGED_CASES"])


def note(**record):
    with RESULTS.open("a") as file:
        file.write(json.dumps(record) + "\n")


def pytest_collection_modifyitems(config, items):
    """Leaves what is wanted and has not begun yet."""
    begun = set()
    if RESULTS.exists():
        begun = {json.loads(line)["case"] for line in RESULTS.read_text().splitlines()}
    stays = [item for item in items if item.nodeid not in begun and WANTED.search(item.nodeid)]
    config.hook.pytest_deselected(items=[item for item in items if item not in stays])
    items[:] = stays


def pytest_runtest_logstart(nodeid):
    note(case=nodeid)
    faulthandler.dump_traceback_later(CASE_S, exit=True, file=LOG)


def pytest_runtest_logreport(report):
    if report.failed:
        outcome = "failed"
    elif report.skipped:
        outcome = "passed" if hasattr(report, "wasxfail") else "skipped"
    elif report.when == "call":
        outcome = "passed"
    else:
        return
    detail = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
    note(case=report.nodeid, outcome=outcome, detail=detail[-3_000:])


def pytest_runtest_logfinish():
    faulthandler.cancel_dump_traceback_later()


def pytest_sessionfinish():
    note(case="", outcome="ended", detail="")
