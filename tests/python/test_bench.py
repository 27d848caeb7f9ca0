"""`lineshaft bench` from the wheel: the figures that are measured in Python. What they come to is not looked at."""

from __future__ import annotations

import json


def test_figures_in_python_are_measured_and_nothing_is_left(programs):
    words = ["-m", "lineshaft", "bench", "--quick", "--json", "-"]
    ended = programs.run(*words, "cold_start_s", "enqueue_many_python_per_s", "child_kill_rerun_ms", "kills_lost_jobs")
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert {key for key in figures if not key.endswith(("_min", "_max"))} == {
        "probe_fdatasync_per_s",
        "probe_wakeup_per_s",
        "cold_start_s",
        "enqueue_many_python_per_s",
        "child_kill_rerun_ms",
        "kills_lost_jobs",
    }
    assert figures.pop("kills_lost_jobs") == 0
    assert all(value > 0 for key, value in figures.items() if not key.startswith("kills_lost_jobs"))
    assert not list(programs.directory.iterdir())
