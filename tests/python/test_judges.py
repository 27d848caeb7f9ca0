"""What `make judges` makes of what its suites say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.judges import page
from tests.judges.child import run
from tests.judges.cpython import runner
from tests.judges.report import BY_TIMING, Report

EXCLUSIONS = {"*::Left::*": "as it must be", "*::Late::*": f"{BY_TIMING}now and then"}


@pytest.mark.parametrize(
    ("case", "outcome", "where"),
    [
        ("fork::Kept::test", "passed", "passed"),
        ("fork::Kept::test", "failed", "failed"),
        ("fork::Kept::test", "skipped", "skipped"),
        ("fork::Left::test", "failed", "excluded"),
        ("fork::Left::test", "passed", "failed"),
        ("fork::Late::test", "failed", "excluded"),
        ("fork::Late::test", "passed", "passed"),
    ],
)
def test_a_case_is_excluded_only_where_it_fails(case, outcome, where):
    report = Report("judge")
    report.add(case, outcome, "detail", EXCLUSIONS)
    found = [name for name in ("passed", "failed", "excluded", "skipped") if case in getattr(report, name)]
    assert found == [where]
    assert report.is_good == (where != "failed")


def test_a_page_keeps_the_sections_of_judges_that_did_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "PAGE", tmp_path / "judges.md")
    page.write([Report("one", passed=["A::first"]), Report("two", passed=["B::first"], excluded={"B::x": "why"})])
    page.write([Report("one", passed=["A::second", "A::third"]), Report("three", missing=["nothing"])])
    text = page.PAGE.read_text()
    assert "- A: `second`, `third`" in text
    assert "`first`" in text.partition("## two")[2]
    assert "- why\n  - B: `x`" in text
    assert "## three" not in text


def test_a_case_that_ends_its_process_is_not_run_again(tmp_path):
    (tmp_path / "suite.py").write_text(
        "import os, unittest\n"
        "class Cases(unittest.TestCase):\n"
        "    def test_1(self): pass\n"
        "    def test_2(self): os._exit(7)\n"
        "    def test_3(self): self.fail('so be it')\n"
        "    def test_4(self): self.skipTest('not here')\n"
    )
    command = [sys.executable, runner.__file__, "suite", "results", "60"]
    codes = [subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": "."}, check=False).returncode for _ in range(2)]
    records = [json.loads(line) for line in (tmp_path / "results").read_text().splitlines()]
    assert codes == [7, 0]
    outcomes = {record["case"]: record["outcome"] for record in records if "outcome" in record}
    assert outcomes == {"Cases::test_1": "passed", "Cases::test_3": "failed", "Cases::test_4": "skipped", "": "ended"}
    assert [record["case"] for record in records].count("Cases::test_2") == 1


def test_all_that_a_suite_started_is_ended_with_it(tmp_path):
    script = (
        "import subprocess, sys, time\n"
        "sleeper = [sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(600)']\n"
        "child = subprocess.Popen(sleeper, start_new_session=True, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600 if sys.argv[1:] else 0)\n"
    )
    for words, deadline_s, expected in (([], 60.0, 0), (["stay"], 2.0, None)):
        log = tmp_path / f"log{len(words)}"
        assert run([sys.executable, "-c", script, *words], cwd=tmp_path, log=log, deadline_s=deadline_s) == expected
        for pid in log.read_text().split()[:1]:
            state = Path(f"/proc/{pid}/stat")
            assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"
