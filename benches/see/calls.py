"""What a call of a logger takes: `calls.py ROUNDS SITE`, with the others in SITE."""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lineshaft

sys.path.append(sys.argv[2])
import loguru
import picologging
import structlog

CALLS = 20_000
GOALS_NS = {"heard": 1_500, "not heard": 90}
FORM = "%(asctime)s %(levelname)s %(name)s %(message)s"

Log = Callable[[], object]


def systems(directory: Path) -> dict[str, tuple[Log, Log]]:
    """What is logged to a file, and what nobody hears."""
    lineshaft.logging.configure(level="info", handlers=[{"kind": "file", "path": directory / "lineshaft.log"}])
    ours = lineshaft.get_logger("shop.mail")

    theirs = logging.getLogger("shop.mail")
    theirs.setLevel("INFO")
    theirs.propagate = False
    handler: Any = logging.FileHandler(directory / "stdlib.log")
    handler.setFormatter(logging.Formatter(FORM))
    theirs.addHandler(handler)

    pico = picologging.getLogger("shop.mail")
    pico.setLevel(picologging.INFO)
    handler = picologging.FileHandler(str(directory / "picologging.log"))
    handler.setFormatter(picologging.Formatter(FORM))
    pico.addHandler(handler)

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.LogfmtRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=structlog.WriteLoggerFactory(file=(directory / "structlog.log").open("w")),
        cache_logger_on_first_use=True,
    )
    structured = structlog.get_logger().bind()

    loguru.logger.remove()
    loguru.logger.add(directory / "loguru.log", level="INFO")
    guru = loguru.logger

    to, ms = "ada@example.org", 3
    return {
        "lineshaft": (lambda: ours.info("sent", to=to, ms=ms), lambda: ours.debug("sent", to=to, ms=ms)),
        "standard library": (
            lambda: theirs.info("sent to=%s ms=%d", to, ms),
            lambda: theirs.debug("sent to=%s ms=%d", to, ms),
        ),
        "picologging": (lambda: pico.info("sent to=%s ms=%d", to, ms), lambda: pico.debug("sent to=%s ms=%d", to, ms)),
        "structlog": (lambda: structured.info("sent", to=to, ms=ms), lambda: structured.debug("sent", to=to, ms=ms)),
        "loguru": (
            lambda: guru.info("sent to={} ms={}", to, ms),
            lambda: guru.debug("sent to={} ms={}", to, ms),
        ),
    }


def measured(log: Log) -> tuple[float, float]:
    """Nanoseconds of a call on the clock of who logs, and of all threads until it is written; beside an empty call."""
    empty: Log = lambda: None  # noqa: E731
    numbers = range(CALLS)
    began = time.perf_counter_ns()
    for _ in numbers:
        empty()
    beside = time.perf_counter_ns() - began
    began, cpu = time.perf_counter_ns(), time.process_time_ns()
    for _ in numbers:
        log()
    took = time.perf_counter_ns() - began - beside
    lineshaft.logging.flush()
    return took / CALLS, (time.process_time_ns() - cpu - beside) / CALLS


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        kinds = systems(Path(directory))
        for position, what in enumerate(("heard", "not heard")):
            figures: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
            for _ in range(rounds):
                for name, pair in kinds.items():
                    figures[name].append(measured(pair[position]))
            print(f"a record with two fields that is {what}:")
            base = statistics.median(wall for wall, _ in figures["lineshaft"])
            for name, found in figures.items():
                wall = statistics.median(wall for wall, _ in found)
                cpu = statistics.median(cpu for _, cpu in found)
                low, high = min(found)[0], max(found)[0]
                goal = ""
                if name == "lineshaft":
                    goal = f"  goal {GOALS_NS[what]:,}: {'met' if wall <= GOALS_NS[what] else 'MISSED'}"
                print(
                    f"  {name:18} {wall:7,.0f} ns ({low:,.0f} to {high:,.0f}), CPU of all threads {cpu:,.0f} ns, "
                    f"{wall / base:.1f} x ours{goal}"
                )


if __name__ == "__main__":
    main(int(sys.argv[1]))
