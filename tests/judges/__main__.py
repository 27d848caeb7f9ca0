"""Runs the judges: `python -m tests.judges [--quick] [NAME ...]`. Exit code 1 if a case fails that is not excluded."""

from __future__ import annotations

import argparse
import signal
import sys
from types import ModuleType

from . import bridge, cpython, joblib, page, scikit_learn
from .report import Report

JUDGES: dict[str, ModuleType] = {module.NAME: module for module in (cpython, bridge, joblib, scikit_learn)}


def main(words: list[str]) -> int:
    """The exit code."""
    # A shell's background jobs ignore Ctrl-C, and so would the suites, some of whose cases interrupt themselves.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="python -m tests.judges", description="Suites of others, run on ours.")
    parser.add_argument("--quick", action="store_true", help="a part of each that takes a minute or so; no page")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(JUDGES)}; all of them by default")
    options = parser.parse_args(words)
    unknown = sorted(set(options.names) - set(JUDGES))
    if unknown:
        parser.error(f"there is no judge {', '.join(unknown)}, but {', '.join(JUDGES)}")
    reports = [_judge(JUDGES[name], quick=options.quick) for name in options.names or JUDGES]
    if not options.quick:
        page.write(reports)
    return 0 if all(report.is_good for report in reports) else 1


def _judge(module: ModuleType, *, quick: bool) -> Report:
    report: Report = module.run(quick)
    for line in report.missing:
        print(f"{report.name}: {line}")
    for case, detail in report.failed.items():
        print(f"{report.name}: FAILED {case}\n{detail.rstrip()}\n")
    print(report.closing, flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
