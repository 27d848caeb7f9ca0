"""Forms of one's own: a callable that makes a line of a record."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lineshaft import OptionError
from lineshaft.logging import LogRecord, configure, configure_from, flush, get_logger, status


@pytest.fixture(autouse=True)
def _quiet_again():
    yield
    configure(level="warning", handlers=[])


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "app.log"


def to_file(path: Path, form, **options) -> dict:
    return {"kind": "file", "path": path, "format": form, **options}


def written(path: Path) -> list[str]:
    assert flush(timeout=20)
    return path.read_text().splitlines()


def line(record: LogRecord) -> str:
    return f"{record.level_name[0].upper()} {record.message} {sorted(record.fields)}"


def test_a_callable_makes_the_line_of_a_record(path):
    configure(handlers=[to_file(path, line)])
    get_logger("app").info("sent", to="ada", ms=3)
    get_logger("app").error("not sent")
    assert written(path) == ["I sent ['ms', 'to']", "E not sent []"]


def test_it_is_called_in_the_thread_of_the_handler_and_sees_no_secrets(path):
    threads, seen = set(), []

    def form(record):
        threads.add(threading.get_ident())
        seen.append(record.fields["password"])
        return record.message

    configure(handlers=[to_file(path, form)])
    for _ in range(100):
        get_logger("app").info("x", password="swordfish")
    assert len(written(path)) == 100
    assert set(seen) == {"***"}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_record_is_one_line_and_nothing_that_a_terminal_obeys_is_in_it(path):
    configure(handlers=[to_file(path, lambda record: f"{record.message}\n\x1b[2J\u202efake\n")])
    get_logger("app").info("x")
    assert written(path) == [r"x\n\x1b[2J\u202efake"]


def test_an_exception_has_lines_as_the_text_form_has_them_and_comes_once(path, tmp_path):
    other = tmp_path / "other.log"
    configure(
        handlers=[
            to_file(path, lambda record: record.message),
            to_file(other, lambda record: f"{record.message}\n{record.exception}"),
        ]
    )
    try:
        raise ValueError("no")
    except ValueError:
        get_logger("app").exception("failed")
    for each in (path, other):
        lines = written(each)
        assert (lines[0], lines[1], lines[-1]) == ("failed", "  Traceback (most recent call last):", "  ValueError: no")
        assert len([found for found in lines if "Traceback" in found]) == 1


def odd(record: LogRecord):
    if record.message == "raises":
        raise KeyError("user\x1b")
    if record.message == "exits":
        raise SystemExit(3)
    return {"number": 5, "nothing": None, "bytes": b"x"}.get(record.message, record.message)


def test_one_that_fails_gives_the_text_form_with_a_note_is_counted_and_told_once(path, capfd):
    configure(handlers=[to_file(path, odd)])
    for message in ("a", "raises", "number", "nothing", "bytes", "exits", "b"):
        get_logger("app").info(message, ms=3)
    lines = written(path)
    assert (len(lines), lines[0], lines[-1]) == (7, "a", "b")
    for text, note in zip(
        lines[1:-1],
        (
            "KeyError: 'user\\x1b'",
            "it gave int and no str",
            "it gave NoneType and no str",
            "it gave bytes",
            "SystemExit: 3",
        ),
        strict=True,
    ):
        assert "info     app  " in text
        assert "ms=3  [the format failed: " in text
        assert note in text
    of_file = status().handlers[0]
    assert (of_file.handled, of_file.failed, of_file.unformatted, of_file.is_healthy) == (7, 0, 5, True)
    said = capfd.readouterr().err
    assert said.count("the format of the log handler") == 1
    assert "KeyError" in said
    assert "\x1b" not in said


def test_one_that_is_no_text_in_utf8_fails(path):
    configure(handlers=[to_file(path, lambda record: "a\udc80")])
    get_logger("app").info("x")
    [found] = written(path)
    assert "[the format failed: UnicodeEncodeError" in found


def test_one_that_logs_does_not_feed_itself(path):
    def form(record):
        get_logger("app").warning("from the form")
        return record.message

    configure(handlers=[to_file(path, form)])
    get_logger("app").info("x")
    assert written(path) == ["x"]
    assert written(path) == ["x"]


def test_one_that_hangs_holds_up_nobody(path, tmp_path):
    let_go = threading.Event()
    hung = tmp_path / "hung.log"
    configure(handlers=[to_file(path, "{message}"), to_file(hung, lambda record: str(let_go.wait(60)))])
    for number in range(100):
        get_logger("app").info(str(number))
    assert not flush(timeout=0.5)
    assert path.read_text().splitlines() == [str(number) for number in range(100)]
    let_go.set()
    assert written(hung) == ["True"] * 100


def test_every_handler_that_writes_takes_one(capfd):
    import http.server

    bodies = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        configure(handlers=[{"kind": "console", "format": line}, {"kind": "http", "url": url, "format": line}])
        get_logger("app").info("sent")
        assert flush(timeout=20)
        server.shutdown()
        thread.join()
    assert bodies == [b"I sent []\n"]
    assert capfd.readouterr().err == "I sent []\n"


def test_a_file_names_it(path, tmp_path, monkeypatch):
    (tmp_path / "shop_lines.py").write_text(
        "class Lines:\n    @staticmethod\n    def one(record):\n        return '*'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    toml = tmp_path / "logging.toml"
    toml.write_text(f"""
        [[handlers]]
        kind = "file"
        path = "{path}"
        format = "shop_lines:Lines.one"

        [[handlers]]
        kind = "file"
        path = "{path}2"
        format = "{{level:<8}} {{message}}"
    """)
    configure_from(toml)
    get_logger("app").info("x")
    assert written(path) == ["*"]
    assert written(path.with_name("app.log2")) == ["info     x"]
    toml.write_text('handlers = [{kind = "console", format = "shop_lines:none"}]')
    with pytest.raises(OptionError, match="module 'shop_lines' has no attribute 'none'"):
        configure_from(toml)


def test_what_is_no_form_is_refused():
    for kind in ({"kind": "console"}, {"kind": "syslog"}, {"kind": "http", "url": "http://127.0.0.1:1/"}):
        with pytest.raises(OptionError, match="option `format`: 3 is not accepted"):
            configure(handlers=[{**kind, "format": 3}])


def test_servers_and_functions_that_are_not_named_are_numbered():
    servers = [{"kind": "http", "url": f"http://127.0.0.1:1/{path}"} for path in "abc"]
    configure(handlers=[*servers, print, {"kind": "callable", "call": print, "name": "http://127.0.0.1:1 (2)"}, print])
    names = [handler.name for handler in status().handlers]
    first = "http://127.0.0.1:1"
    assert names == [first, f"{first} (3)", f"{first} (4)", "print", f"{first} (2)", "print (2)"]
    with pytest.raises(OptionError, match="two log handlers are called 'x'"):
        configure(handlers=[{**servers[0], "name": "x"}, {**servers[1], "name": "x"}])


ENDS = """
import atexit, sys, threading, time
from lineshaft.logging import configure, get_logger

log = get_logger("app")
atexit.register(lambda: log.info("registered before"))
configure(handlers=[{"kind": "file", "path": sys.argv[1], "format": lambda record: f"<{record.message}>"}])

def chatters():
    while True:
        for _ in range(10):
            log.info("chatter")
        time.sleep(0.001)

for _ in range(int(sys.argv[2])):
    threading.Thread(target=chatters, daemon=True).start()
for number in range(1_000):
    log.info(str(number))
"""


@pytest.mark.parametrize("chatterers", [0, 4])
def test_the_end_of_the_interpreter_waits_for_it_and_goes_on_without(path, chatterers):
    for _ in range(3 if chatterers else 1):
        path.unlink(missing_ok=True)
        command = [sys.executable, "-c", ENDS, str(path), str(chatterers)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
        lines = [found for found in path.read_text().splitlines() if "chatter" not in found]
        assert lines[:1_000] == [f"<{number}>" for number in range(1_000)]
        # What comes when functions are not called any more has the text form.
        assert [found.rpartition("  ")[2] for found in lines[1_000:]] == ["registered before"]


def test_a_fork_has_it_too(path):
    import os

    configure(handlers=[to_file(path, lambda record: f"<{record.message}>")])
    get_logger("app").info("parent")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            get_logger("app").info("child")
            code = 0 if flush(timeout=20) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    get_logger("app").info("after")
    assert written(path) == ["<parent>", "<child>", "<after>"]


def test_a_crash_with_the_interpreter_in_hand_does_not_wait_for_it(path):
    script = """
import ctypes, sys, time
from lineshaft.logging import configure, get_logger

def slow(record):
    time.sleep(0.05)
    return record.message

configure(
    handlers=[{"kind": "file", "path": sys.argv[1], "format": "{message}"},
              {"kind": "file", "path": sys.argv[1] + ".own", "format": slow}],
    flush_on_signal=True,
)
for number in range(500):
    get_logger("app").info(str(number))
ctypes.pythonapi.PyUnicode_FromString(None)
"""
    began = time.monotonic()
    command = [sys.executable, "-c", script, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == -11, ended.stderr
    assert time.monotonic() - began < 60
    assert path.read_text().splitlines() == [str(number) for number in range(500)]


def test_a_stream_of_ones_own_is_not_needed(monkeypatch, path):
    monkeypatch.setattr(sys, "__stderr__", io.StringIO())
    configure(handlers=[to_file(path, odd)])
    get_logger("app").info("number")
    assert len(written(path)) == 1
