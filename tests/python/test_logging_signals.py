"""Signals and crashes that end a process wait until what it logged is written."""

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


def run(tmp_path, rest, mode="flush", *options):
    path = tmp_path / "app.log"
    path.touch()
    command = [sys.executable, *options, "-c", SCRIPT + rest, str(path), mode]
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


LOGGED = """
import ctypes, faulthandler, threading
for number in range(2_000):
    log.info(str(number))
"""
CRASHES = {
    "SIGSEGV": "ctypes.string_at(0)",
    "SIGABRT": "os.abort()",
    "SIGBUS": "os.kill(os.getpid(), signal.SIGBUS); time.sleep(60)",
    "SIGFPE": "signal.raise_signal(signal.SIGFPE)",
    "SIGILL": "signal.pthread_kill(threading.get_ident(), signal.SIGILL)",
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_waits_until_what_was_logged_is_written(tmp_path, name):
    ended, lines = run(tmp_path, LOGGED + CRASHES[name])
    assert ended.returncode == -getattr(signal, name), ended.stderr
    assert lines == [str(number) for number in range(2_000)]
    assert "Fatal Python error" not in ended.stderr


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
@pytest.mark.parametrize("when", ["before", "after", "at the start"])
def test_the_traceback_of_faulthandler_comes_after_that(tmp_path, name, when):
    rest = LOGGED + CRASHES[name]
    if when == "after":
        rest = "import faulthandler; faulthandler.enable()" + rest
    options = {"before": (), "after": (), "at the start": ("-X", "faulthandler")}[when]
    script = "import faulthandler; faulthandler.enable()\n" if when == "before" else ""
    path = tmp_path / "app.log"
    command = [sys.executable, *options, "-c", script + SCRIPT + rest, str(path), "flush"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == -getattr(signal, name), ended.stderr
    assert path.read_text().splitlines() == [str(number) for number in range(2_000)]
    assert ended.stderr.count("Fatal Python error") == 1
    assert "Current thread" in ended.stderr


def test_a_crash_of_any_thread_waits(tmp_path):
    rest = LOGGED + "threading.Thread(target=ctypes.string_at, args=(0,)).start(); time.sleep(60)"
    ended, lines = run(tmp_path, rest)
    assert (ended.returncode, len(lines)) == (-signal.SIGSEGV, 2_000), ended.stderr


def test_a_full_stack_waits_where_there_is_another_one(tmp_path):
    ended, lines = run(tmp_path, LOGGED + "faulthandler._stack_overflow()")
    assert (ended.returncode, len(lines)) == (-signal.SIGSEGV, 2_000), ended.stderr


def test_a_crash_with_the_interpreter_in_hand_does_not_hang_on_what_needs_it(tmp_path):
    rest = """
import ctypes
configure(
    handlers=[{"kind": "callable", "call": lambda record: time.sleep(0.01)},
              {"kind": "file", "path": sys.argv[1], "format": "{message}"}],
    flush_on_signal=True,
)
for number in range(1_000):
    log.info(str(number))
ctypes.pythonapi.PyUnicode_FromString(None)
"""
    ended, lines = run(tmp_path, rest)
    assert ended.returncode == -signal.SIGSEGV, ended.stderr
    assert lines == [str(number) for number in range(1_000)]


def test_a_fork_that_crashes_writes_what_it_logged_and_its_parent_goes_on(tmp_path):
    rest = """
import ctypes
log.info("before")
for code in ("log.info('child'); ctypes.string_at(0)", "ctypes.string_at(0)"):
    child = os.fork()
    if child == 0:
        exec(code)
        os._exit(3)
    print(os.waitpid(child, 0)[1] & 127)
log.info("after")
"""
    ended, lines = run(tmp_path, rest)
    assert (ended.returncode, ended.stdout) == (0, f"{int(signal.SIGSEGV)}\n" * 2), ended.stderr
    assert lines == ["before", "child", "after"]


def test_a_program_that_handles_a_crash_itself_is_left_alone(tmp_path):
    rest = """
configure(handlers=[{"kind": "file", "path": sys.argv[1], "format": "{message}"}])
signal.signal(signal.SIGABRT, lambda *_: (log.info("mine"), sys.exit(7)))
configure(handlers=[{"kind": "file", "path": sys.argv[1], "format": "{message}"}], flush_on_signal=True)
signal.raise_signal(signal.SIGABRT)
time.sleep(60)
"""
    ended, lines = run(tmp_path, rest, mode="as it was")
    assert (ended.returncode, lines) == (7, ["mine"])


def test_without_the_option_a_crash_is_what_it_was(tmp_path):
    rest = """
import ctypes
for each in ("SIGSEGV", "SIGABRT"):
    assert signal.getsignal(getattr(signal, each)) is signal.SIG_DFL
configure(handlers=[{"kind": "callable", "call": lambda record: time.sleep(60)}])
log.info("waits")
ctypes.string_at(0)
"""
    ended, _ = run(tmp_path, rest, mode="as it was")
    assert ended.returncode == -signal.SIGSEGV
