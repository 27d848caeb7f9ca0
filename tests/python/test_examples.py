"""The examples run and print what they say; the demo is tried on good input, bad input and lies."""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import sysconfig
from html.parser import HTMLParser
from pathlib import Path

import pytest

from codebase.find import BROKEN, python_files
from codebase.ledger import Audit, Entry, judge
from codebase.measure import Function, Measures, measure_file
from codebase.page_html import html_page
from codebase.page_markdown import markdown_page
from codebase.progress import Progress
from codebase.report import DeadLetter, Findings, summarise, write_pages
from codebase_report import conclude

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"
REPORT = str(EXAMPLES / "codebase_report.py")
LAST_LINE = re.compile(r"files=(\d+) seconds=\d+\.\d\d jobs_per_s=\d+ rerun=(\d+) lost=(\d+)")


def test_every_example_is_run_here():
    names = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert names == ["app.py", "codebase_report.py", "logged.py", "model_selection.py", "producer_consumer.py"]


def test_the_first_program_prints_5(programs):
    ended = programs.run(str(EXAMPLES / "app.py"), LINESHAFT_URL=str(programs.directory / ".lineshaft"))
    assert (ended.returncode, ended.stdout) == (0, "5\n"), ended.stderr


LOGGED = """\
Calling plain_add with arguments (3, 5) and keyword arguments {}
plain_add returned 8
Calling add with arguments (3, 5) and keyword arguments {}
add returned 8
Calling fetch with arguments ('https://example.org',) and keyword arguments {'retries': 1}
fetch returned 'page of https://example.org'
Calling countdown with arguments (3,) and keyword arguments {}
countdown returned None
[3, 2, 1]
Calling log_in with arguments ('ada',) and keyword arguments {'password': ***}
log_in returned True
"""


def test_the_logged_functions_say_what_the_plain_one_says(programs):
    ended = programs.run(str(EXAMPLES / "logged.py"))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, LOGGED, "")


PRODUCED = """\
multiprocessing.Queue has task_done: False
consumed 0
consumed 1
consumed 2
the consumer has ended: False
consumed 0
consumed 1
consumed 2
the consumer has ended: True with 0
"""


def test_the_producer_and_the_consumer_end_with_ours_alone(programs):
    ended = programs.run(str(EXAMPLES / "producer_consumer.py"))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, PRODUCED, "")


def test_the_search_finds_a_model_that_beats_the_mean(programs):
    ended = programs.run(str(EXAMPLES / "model_selection.py"), "--plot", "scores.png", timeout=200)
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = re.findall(r"^(\w+) +(-?\d\.\d+) +\d+\.\d+$", ended.stdout, re.MULTILINE)
    assert {name for name, _ in rows} == {"Ridge", "SVR", "RandomForestRegressor", "mean"}
    assert all((float(score) < 0.05) if name == "mean" else (float(score) > 0.3) for name, score in rows)
    assert (programs.directory / "scores.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def some_code(tmp_path):
    """A directory with good and broken files."""
    folder = tmp_path / "some code"
    for package in ("json", "email", "asyncio"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(sysconfig.get_path("stdlib")) / package, folder / package, ignore=ignored)
    shutil.copytree(BROKEN, folder / "broken")
    return folder


def test_the_demo_measures_every_file_and_loses_none(programs, some_code):
    ended = programs.run(REPORT, str(some_code), "--output", "out", "--processes", "2")
    assert ended.returncode == 0, ended.stderr
    files, _, lost = LAST_LINE.fullmatch(ended.stdout.splitlines()[-1]).groups()
    assert (int(files), int(lost)) == (len(python_files(some_code)), 0)
    assert re.search(r"^kill -9 \d+: a worker process is dead$", ended.stderr, re.MULTILINE), ended.stderr
    out = programs.directory / "out"
    page = (out / "report.md").read_text()
    assert all(rf"broken/{path.name}".replace("_", r"\_") in page for path in BROKEN.glob("*.py"))
    assert "json" in page
    assert "<svg" in (out / "report.html").read_text()
    ledger = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert len({entry["id"] for entry in ledger}) == int(files)
    again = programs.run(REPORT, str(some_code), "--output", "out", "--no-kill")
    assert "kill -9" not in again.stderr
    assert " rerun=0 lost=0" in again.stdout
    assert len(list(out.glob("home-*"))) == 1


def test_the_demo_says_what_is_wrong_with_its_input(programs):
    (programs.directory / "empty").mkdir()
    programs.write("file.txt", "not a directory")
    for words, message in (
        (["nowhere"], "nowhere is not a directory"),
        (["file.txt"], "file.txt is not a directory"),
        (["empty"], "no .py files in empty"),
    ):
        ended = programs.run(REPORT, *words)
        assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"codebase_report: {message}\n")
    assert list(programs.directory.glob("lineshaft-demo*")) == []


def test_files_that_cannot_be_opened_are_dead_letters_and_odd_names_are_shown(programs):
    programs.write("odd/good.py", "x = 1")
    (programs.directory / "odd" / "dangling.py").symlink_to("nowhere")
    (programs.directory / "odd" / "<b>|`.py").write_text("y = 2")
    with open(bytes(programs.directory) + b"/odd/\xff.py", "w") as file:
        file.write("z = 3")
    ended = programs.run(REPORT, "odd", "--output", "out", "--no-kill")
    assert ended.returncode == 0, ended.stderr
    assert "files=4 " in ended.stdout
    assert "FileNotFoundError" in (programs.directory / "out" / "report.md").read_text()


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.py")), ids=lambda path: path.stem)
def test_no_python_can_read_a_broken_file(path):
    with pytest.raises((SyntaxError, ValueError)) as raised:
        ast.parse(path.read_bytes())
    assert str(raised.value)


def test_a_file_is_measured(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(
        '"""Doc."""\nimport os, json.decoder\nfrom . import x\nfrom re import sub\n\n\nclass A:\n    def f(self):\n'
        '        """Doc."""\n        if self:\n            return [y for y in x] or 1\n\n\nasync def g(): pass\n'
    )
    measures = measure_file(str(path), "some.py")
    assert (measures.lines, measures.functions, measures.classes, measures.branches) == (14, 2, 1, 1)
    assert (measures.documentable, measures.documented) == (4, 2)
    assert measures.imports == {"os", "json", "re"}
    assert measures.longest == Function("f", "some.py", 8, 4)


def record(job: str, state: str, *outcomes: str) -> dict[str, object]:
    return {"id": job, "state": state, "attempts": [{"outcome": outcome} for outcome in outcomes]}


def check_audit(jobs: list[dict[str, object]], lost: list[str]) -> None:
    assert judge([Entry("1", "a.py"), Entry("2", "b.py")], jobs).lost == lost


GOOD = record("1", "completed", "succeeded")


def test_the_audit_accepts_what_ended_once():
    ends = judge(
        [Entry("1", "a.py"), Entry("2", "b.py"), Entry("3", "c.py")],
        [GOOD, record("2", "discarded", "errored"), record("3", "completed", "crashed", "succeeded")],
    )
    assert ends == Audit(enqueued=3, completed=2, discarded=1, rerun=1, lost=[])


def test_the_audit_finds_what_did_not_end_exactly_once():
    check_audit([GOOD], ["b.py: job 2 is listed 0 times"])
    check_audit([GOOD, record("2", "running")], ["b.py: job 2 is running, with attempts that never began"])
    check_audit(
        [GOOD, record("2", "completed", "succeeded", "succeeded")],
        ["b.py: job 2 is completed, with attempts that succeeded, succeeded"],
    )
    check_audit([GOOD, GOOD, record("2", "discarded", "errored")], ["a.py: job 1 is listed 2 times"])
    check_audit([GOOD, record("2", "discarded"), record("3", "completed", "succeeded")], ["job 3 is not in the ledger"])
    assert judge([Entry("1", "a.py"), Entry("1", "b.py")], [GOOD]).lost == ["job 1 stands for 2 files"]


def test_a_loss_is_said_and_is_exit_code_1(capsys):
    ends = Audit(enqueued=2, completed=1, discarded=0, rerun=0, lost=["b.py: job 2 is listed 0 times"])
    assert conclude(ends, [], Path("home"), 1.0) == 1
    out, err = capsys.readouterr()
    assert out == "files=2 seconds=1.00 jobs_per_s=2 rerun=0 lost=1\n"
    assert err == "lost: b.py: job 2 is listed 0 times\n"


NASTY = "<script>alert(1)</script>|`*x*_[a](b)\n# y"


def nasty_findings() -> Findings:
    measures = Measures(
        f"{NASTY}/a.py", 3, functions=1, documentable=2, longest=Function(NASTY, NASTY, 1, 3), imports={NASTY}
    )
    return Findings(NASTY, Audit(2, 1, 1, 0, []), [measures], [DeadLetter(NASTY, "1", NASTY)])


class Tags(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)


def test_the_pages_show_any_text_as_text():
    report = summarise(nasty_findings())
    tags = Tags()
    tags.feed(html_page(report))
    assert "script" not in tags.seen
    assert {"svg", "table"} <= tags.seen
    page = markdown_page(report)
    assert "<script" not in page.replace("\\<script", "")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert all(line.endswith(" |") for line in rows)
    assert not any(line.startswith("# y") for line in page.splitlines())


def test_the_pages_of_nothing_are_pages(tmp_path):
    pages = write_pages(Findings("nothing", Audit(0, 0, 0, 0, [])), tmp_path)
    assert pages == [str(tmp_path / "report.md"), str(tmp_path / "report.html")]
    assert "0 files" in (tmp_path / "report.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]


class Terminal(io.StringIO):
    """A terminal that remembers."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_is_redrawn(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    progress = Progress("measured", 100, stream)
    for _ in range(50):
        now[0] += 0.2
        progress.step()
    progress.say("news")
    progress.close()
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert text.endswith("\r\x1b[Knews\n\r\x1b[Kmeasured 50 of 100 in 10.0 s\n")
    last = text.split("\r\x1b[K")[-3]
    assert last.endswith("50/100  5/s  10 s left")
    assert "████" in last
    assert max(map(len, text.split("\r\x1b[K"))) < 80


def test_elsewhere_progress_is_a_line_every_other_second(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress("measured", 100, stream)
    for _ in range(50):
        now[0] += 0.1
        progress.step()
    assert stream.getvalue().splitlines() == [
        "measured 20/100  10/s  8 s left",
        "measured 40/100  10/s  6 s left",
    ]
