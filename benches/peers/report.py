"""The figures as two tables in Markdown."""

from __future__ import annotations

import os
import platform
import statistics
from typing import Any

from parts import PARTS, VICTIMS

JOBS = 200
SPEED = {
    "one by one /s": "enqueue_per_s",
    "in batches /s": "enqueue_many_per_s",
    "run /s": "drain_per_s",
    "start p50 ms": "start_p50_ms",
    "p99 ms": "start_p99_ms",
    "round trip p50 ms": "roundtrip_p50_ms",
    "server bytes per queued job": "server_bytes_per_queued_job",
    "cold start s": "cold_start_s",
    "CPU us per enqueue": "enqueue_cpu_us",
    "CPU us per job run": "run_cpu_us",
}
VICTIM = {"child": "one worker process killed", "worker": "whole worker killed", "server": "server killed"}


def page(figures: dict[str, Any]) -> str:
    """Where and when, then what each is told and does in a second, then what kills cost; systems by their titles."""
    systems = sorted(figures.values(), key=lambda of: of["about"]["title"])
    speed = [
        ["", "an answered enqueue is", *SPEED],
        ["---", "---", *["--:"] * len(SPEED)],
        *([of["about"]["title"], of["about"].get("acknowledged", ""), *_speed(of)] for of in systems),
    ]
    kills = [
        ["", *VICTIM.values()],
        ["---"] * 4,
        *([of["about"]["title"], *(_outcome(of.get(victim, {})) for victim in VICTIMS)] for of in systems),
    ]
    return "\n\n".join(
        [_heading(systems), *("\n".join(f"| {' | '.join(row)} |" for row in each) for each in (speed, kills))]
    )


def _heading(systems: list[dict[str, Any]]) -> str:
    measured = [of[part] for of in systems for part in PARTS if part in of]
    if not measured:
        return "Nothing measured."
    days = sorted({each["at"][:10] for each in measured})
    commits = sorted({each["commit"] for each in measured})
    speeds = [of["throughput"] for of in systems if "throughput" in of]  # kills may be of busier minutes
    syncs = statistics.median(each["probe_fdatasync_per_s"] for each in speeds or measured)
    versions = sorted({f"{name} {what}" for of in systems for name, what in of["about"].get("versions", {}).items()})
    return (
        f"Measured on {' and '.join(days)}, commit {', '.join(commits)}, {os.cpu_count()} CPUs, Python "
        f"{platform.python_version()}, {syncs:,.0f} writes of 4 KiB with their sync per second; {', '.join(versions)}."
    )


def _speed(of: dict[str, Any]) -> list[str]:
    """A row; what could not be measured says so in the first cell of its part."""
    both = of.get("throughput", {}) | of.get("latency", {})
    cells = [_number(both.get(key)) for key in SPEED.values()]
    for part, first in (("throughput", 0), ("latency", 3)):
        if why := _why_not(of.get(part, {})):
            cells[first] = why
    if disk := both.get("disk_bytes_per_queued_job"):
        cells[6] = f"{_number(disk)} (disk)"
    return cells


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _outcome(of: dict[str, Any]) -> str:
    if why := _why_not(of):
        return why
    if not of:
        return "-"
    lost, twice = of["not_run"], of["done_twice"]
    words = [f"{lost} of {JOBS} not run after {of['patience_s']:g} s" if lost else "0 lost"]
    if of["victim"] == "server" and of["pause_s"]:
        words.append(f"longest pause {_number(of['pause_s'])} s")
    elif of["victim"] != "server" and of["again_after_s"]:
        words.append(f"run again after {_number(of['again_after_s'])} s")
    if twice:
        words.append(f"{twice} done twice")
    return ", ".join(words)


def _why_not(of: dict[str, Any]) -> str | None:
    return of.get("skipped") or (f"failed: {of['error']}" if "error" in of else None)
