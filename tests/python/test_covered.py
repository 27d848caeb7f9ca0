"""What `make coverage` makes of what was measured: its exit code."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

LINES = 25
"""As many as are looked at; of this file, since those that were not reached are read."""


@pytest.fixture
def covered(monkeypatch, tmp_path):
    monkeypatch.setenv("CARGO_TARGET_DIR", str(tmp_path))
    spec = importlib.util.spec_from_file_location("covered", Path(__file__).parents[1] / "covered.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("reached", "has_passed", "code", "verdict"),
    [
        (25, True, 0, "met"),
        (23, True, 0, "met"),
        (22, True, 1, "NOT MET"),
        (0, True, 1, "NOT MET"),
        (25, False, 1, "met, though tests failed: see above"),
    ],
)
def test_it_fails_where_a_goal_is_missed_or_a_test_failed(
    covered, monkeypatch, capsys, reached, has_passed, code, verdict
):
    """It succeeded though tests had failed."""
    here = str(Path(__file__).relative_to(covered.ROOT))
    lines = {(here, line): line <= reached for line in range(1, LINES + 1)}
    monkeypatch.setattr(covered, "measure_package", lambda _: [covered.Covered("package", lines, has_passed)])
    assert covered.main(["python"]) == code
    assert capsys.readouterr().out.splitlines()[1].endswith(verdict)
