"""Signals that end a process wait until what it logged is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys, time
import lineshaft
from lineshaft.logging import configure

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below nohup it is ignored
log = lineshaft.get_logger("app")
configure(
    handlers=[{"kind": "http", "url": "http://127.0.0.1:1/", "name": "away"},
              {"kind": "file", "path": sys.argv[1], "format": "{message}"}],
    flush_on_signal=sys.argv[2] == "flush",
    when_full="drop_new",
)
"""


def run(tmp_path, rest, mode="flush"):
    path = tmp_path / "app.log"
    path.touch()
    command = [sys.executable, "-c", SCRIPT + rest, str(path), mode]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return ended, path.read_text().splitlines()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_what_was_logged_is_written_and_the_process_ends_by_the_signal(tmp_path, name):
    rest = f"""
for number in range(20_000):
    log.info(str(number))
os.kill(os.getpid(), signal.{name})
time.sleep(60)
"""
    ended, lines = run(tmp_path, rest)
    assert ended.returncode == -getattr(signal, name), ended.stderr
    assert lines == [str(number) for number in range(20_000)]


def test_a_program_that_does_something_about_a_signal_is_left_alone(tmp_path):
    rest = """
signal.signal(signal.SIGTERM, lambda *_: (log.info("mine"), sys.exit(7)))
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""
    ended, lines = run(tmp_path, rest)
    assert (ended.returncode, lines) == (7, ["mine"])


def test_a_fork_ends_at_once_and_its_parent_goes_on(tmp_path):
    rest = """
log.info("before")
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(3)
os.kill(child, signal.SIGTERM)
print(os.waitpid(child, 0)[1])
log.info("after")
"""
    ended, lines = run(tmp_path, rest)
    assert (ended.returncode, ended.stdout) == (0, f"{int(signal.SIGTERM)}\n")
    assert lines == ["before", "after"]


def test_a_fork_that_logs_waits_too(tmp_path):
    rest = """
child = os.fork()
if child == 0:
    for number in range(5_000):
        log.info(str(number))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
print(os.waitpid(child, 0)[1])
"""
    ended, lines = run(tmp_path, rest)
    assert (ended.returncode, ended.stdout) == (0, f"{int(signal.SIGTERM)}\n")
    assert lines == [str(number) for number in range(5_000)]


def test_without_the_option_a_signal_ends_at_once(tmp_path):
    rest = """
configure(handlers=[{"kind": "file", "path": sys.argv[1], "format": "{message}"}], flush_on_signal=True)
configure(handlers=[{"kind": "callable", "call": lambda record: time.sleep(60)}])
log.info("waits")
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""
    ended, _ = run(tmp_path, rest, mode="as it was")
    assert ended.returncode == -signal.SIGTERM
    assert os.path.exists(tmp_path / "app.log")
