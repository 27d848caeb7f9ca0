"""The command on a real terminal: questions, colours, columns, Ctrl-C."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

from conftest import environment
from lineshaft import App
from support.terminal import DEADLINE_S, Terminal


def on_terminal(home, *words: str, columns: int = 80, **variables: str) -> Terminal:
    """`lineshaft` on a terminal."""
    command = [sys.executable, "-m", "lineshaft", *words, "--home", str(home)]
    return Terminal(command, environment(**{"TERM": "xterm", **variables}), columns)


def lineshaft(home, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lineshaft", *words, "--home", str(home)]
    return subprocess.run(
        command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S
    )


@pytest.fixture
def jobs(home):
    """A home with three jobs in queue mail."""
    task = App(home).task(name="send", queue="mail")(send)
    task.enqueue_many(task.si() for _ in range(3))
    return home


def send() -> None: ...


def states(home) -> list[str]:
    listed = lineshaft(home, "job", "list").stdout.splitlines()[1:]
    return [line.split()[1] for line in listed]


@pytest.mark.parametrize("answer", ["y\n", "Y\n", "yes\n", " YES \n"])
def test_yes_goes_on(jobs, answer):
    terminal = on_terminal(jobs, "queue", "purge", "mail")
    terminal.until("cancel 3 jobs in queue mail? [y/N] ")
    terminal.type(answer)
    code, seen = terminal.end()
    assert (code, "purging 3 jobs of queue mail" in seen) == (0, True), seen


@pytest.mark.parametrize(
    ("answer", "shown"), [("n\n", "n\n"), ("\n", "\n"), ("yeah\n", "yeah\n"), ("\x04", "\n"), ("\udcff\n", "")]
)
def test_everything_else_declines(jobs, answer, shown):
    """The end of the input used to leave the question's line open, and the error followed on it."""
    terminal = on_terminal(jobs, "job", "cancel", "--queue", "mail")
    terminal.until("cancel 3 jobs in queue mail? [y/N] ")
    terminal.type(answer.encode(errors="surrogateescape"))
    code, seen = terminal.end()
    assert code == 3
    assert seen.replace("\x1b[1;31merror\x1b[0m", "error").endswith("\nerror: the jobs were left as they are\n"), seen
    assert f"[y/N] {shown}" in seen
    assert states(jobs) == ["available"] * 3


def test_ctrl_c_at_a_question_is_130_and_changes_nothing(jobs):
    terminal = on_terminal(jobs, "job", "cancel", "--queue", "mail")
    terminal.until("[y/N] ")
    terminal.type("\x03")
    code, _ = terminal.end()
    assert code == 130
    assert states(jobs) == ["available"] * 3


def test_sigterm_at_a_question_is_143(jobs):
    terminal = on_terminal(jobs, "queue", "purge", "mail")
    terminal.until("[y/N] ")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end()[0] == 143
    assert states(jobs) == ["available"] * 3


def test_a_filter_that_deletes_asks_with_the_number_and_yes_answers_ahead(jobs):
    lineshaft(jobs, "job", "cancel", "--queue", "mail", "--yes")
    terminal = on_terminal(jobs, "job", "delete", "--state", "cancelled")
    terminal.until("delete 3 jobs that are cancelled? [y/N] ")
    terminal.type("n\n")
    assert terminal.end()[0] == 3
    code, seen = on_terminal(jobs, "job", "delete", "--state", "cancelled", "--yes").end()
    assert (code, seen.count(" is deleted"), "?" in seen) == (0, 3, False)


def test_a_question_that_nobody_would_see_is_not_asked(jobs):
    """With the talk in a file, the question used to be asked there, and the terminal stood still."""
    command = f"{sys.executable} -m lineshaft queue purge mail --home {jobs} 2> {jobs}/talk"
    master, slave = pty.openpty()
    ended = subprocess.run(["sh", "-c", command], stdin=slave, env=environment(), timeout=DEADLINE_S)
    os.close(master)
    os.close(slave)
    assert ended.returncode == 3
    assert (jobs / "talk").read_text() == (
        "error: nobody was asked whether to cancel 3 jobs in queue mail\n"
        "hint: --yes says so where there is no terminal\n"
    )


def test_a_table_fits_the_terminal_and_a_pipe_gets_all_of_it(home):
    task = "shop.warehouse.packing.pack_and_send_with_tracking"
    lineshaft(home, "enqueue", task, "--queue", "packing-and-tracking")
    for columns in (80, 100):
        _, seen = on_terminal(home, "job", "list", columns=columns).end()
        lines = seen.splitlines()
        assert len(lines) == 2
        assert all(len(line) <= columns for line in lines), seen
        assert "…" in seen
        assert " available " in seen
    assert f" {task} " in lineshaft(home, "job", "list").stdout


@pytest.mark.parametrize(
    ("words", "variables", "coloured"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        ((), {"TERM": "dumb"}, False),
        (("--color", "never"), {}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
    ],
)
def test_colours_on_a_terminal(tmp_path, words, variables, coloured):
    for command in (("status",), ("stauts",)):
        code, seen = on_terminal(tmp_path / "none", *command, *words, **variables).end()
        assert (code, "\x1b[" in seen) == (2 if command == ("stauts",) else 8, coloured), seen


def test_a_reader_that_has_enough_ends_the_command_quietly(jobs):
    command = f"{sys.executable} -m lineshaft job list --home {jobs} | head -1; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], env=environment(), capture_output=True, text=True, timeout=60)
    header, code = ended.stdout.splitlines()
    assert (header.split()[:2], code, ended.stderr) == (["ID", "STATE"], "0", "")


def test_a_closed_output_is_no_place_to_write_to(jobs):
    """With standard output closed, the table used to go to whatever file had got its number."""
    command = f"{sys.executable} -m lineshaft job list --home {jobs} >&-"
    ended = subprocess.run(["bash", "-c", command], env=environment(), capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert states(jobs) == ["available"] * 3
