"""Four processes that write one file: `processes.py RECORDS`, of each."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROCESSES = 4
GOAL = 400_000
"""Records a second of all four."""


def work(system: str, number: int, records: int, path: str) -> None:
    """What one of them does, from when it is told to begin."""
    if system == "lineshaft":
        from lineshaft.logging import configure, flush, get_logger

        configure(handlers=[{"kind": "file", "path": path, "format": "{message} {fields}"}])
        log = get_logger("shop.mail")
        print("ready", flush=True)
        sys.stdin.readline()
        for each in range(records):
            log.info("sent", process=number, each=each)
        flush()
    else:
        handler = logging.FileHandler(path)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger = logging.getLogger("shop.mail")
        logger.addHandler(handler)
        logger.setLevel("INFO")
        print("ready", flush=True)
        sys.stdin.readline()
        for each in range(records):
            logger.info("sent process=%d each=%d", number, each)
    print("done", flush=True)


def measured(system: str, records: int) -> tuple[float, str]:
    """Seconds from the beginning to the end of the last, and what is wrong with the file."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "app.log")
        words = [sys.executable, __file__, system]
        started = [
            subprocess.Popen(
                [*words, str(number), str(records), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for number in range(PROCESSES)
        ]
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        began = time.perf_counter()
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        took = time.perf_counter() - began
        for process in started:
            process.communicate()
        return took, complaint(path, records)


def complaint(path: Path, records: int) -> str:
    """What is missing or mixed up in the file; empty if it is whole."""
    next_of = [0] * PROCESSES
    with path.open() as lines:
        for number, line in enumerate(lines, 1):
            words = line.split()
            if len(words) != 3 or not line.endswith("\n"):
                return f"line {number} is torn: {line!r}"
            process, each = (int(word.partition("=")[2]) for word in words[1:])
            if each != next_of[process]:
                return f"line {number} has {each} of process {process}, and not {next_of[process]}"
            next_of[process] += 1
    return "" if next_of == [records] * PROCESSES else f"there are {next_of}"


def main(records: int) -> None:
    print(f"{PROCESSES} processes, {records:,} records each, one file:")
    for system in ("lineshaft", "standard library"):
        took, wrong = measured(system, records)
        rate = PROCESSES * records / took
        goal = ""
        if system == "lineshaft":
            goal = f"  goal {GOAL:,}: {'met' if rate >= GOAL and not wrong else 'MISSED'}"
        print(f"  {system:18} {rate:9,.0f} records/s, {took:.2f} s, {wrong or 'every line there and whole'}{goal}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(int(sys.argv[1]))
    else:
        work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
