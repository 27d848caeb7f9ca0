"""The server of a home, as a program sees it: one that ended, and one of another time.

How servers hand over is tested in Rust, with real ones of several versions.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path

import pytest

import lineshaft
from conftest import stop_server
from lineshaft import App, VersionMismatch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "protocol"))
import tiny

HINT = "the server gives way when nobody else is connected and nothing runs"


def test_a_program_that_outlives_its_server_starts_another_with_its_next_call(programs):
    source = """
        import json, subprocess, sys
        from lineshaft import App
        app = App()

        @app.task
        def work() -> None: ...

        def lineshaft(*words: str) -> str:
            command = [sys.executable, "-m", "lineshaft", *words]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        if __name__ == "__main__":
            first = work.enqueue()
            server = json.loads(lineshaft("status", "--json"))["pid"]
            lineshaft("stop")
            second = work.enqueue()
            print(first.refresh().state, second.refresh().state)
            print(json.loads(lineshaft("status", "--json"))["pid"] != server)
    """
    programs.write("app.py", source)
    ended = programs.run("app.py")
    assert ended.stdout == "available available\nTrue\n", ended.stderr


@pytest.fixture
def refusing(tmp_path):
    """A home whose server speaks no protocol of ours; gives the home and what it was greeted with."""
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True)
    greetings: list[dict[str, object]] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "run" / "socket"))
        listener.listen()
        (home / "run" / "address").write_text(f"{home}/run/socket\n")
        threading.Thread(target=refuse, args=(listener, greetings), daemon=True).start()
        yield home, greetings


def refuse(listener: socket.socket, greetings: list[dict[str, object]]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            received = b""
            while not (found := tiny.decode_frame(received)):
                data = connection.recv(1 << 16)
                if not data:
                    break
                received += data
            if found:
                greetings.append(found[0].message)
                text = {"code": "version_mismatch", "message": "no common protocol: the server (…)", "hint": HINT}
                connection.sendall(tiny.Frame(tiny.REFUSED, 0, text).encode())


def work() -> None: ...


def test_a_server_without_a_common_protocol_is_an_error_with_its_words_and_the_fix(refusing):
    home, greetings = refusing
    task = App(home).task(name="work")(work)
    with pytest.raises(VersionMismatch) as refused:
        task.enqueue()
    assert str(refused.value) == f"LS0011: no common protocol: the server (…)\n  hint: {HINT}"
    hello = greetings[0]
    assert hello["hand_over"] is True, "an older server is asked to make room"
    assert (hello["version"], hello["pid"]) == (lineshaft.__version__, os.getpid())
    assert hello["executable"] == sys.executable, "the environment is told, not the file of the interpreter"


def words_to_a_stranger(home) -> str:
    """What the server says to a client of another protocol."""
    hello = {"protocol": [9, 9], "version": "9.0.0", "executable": "stranger", "pid": os.getpid()}
    hello |= {"session": None, "open_session": False}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(Path(home, "run", "address").read_text().splitlines()[0])
        connection.sendall(tiny.Frame(tiny.HELLO, 1, hello).encode())
        received = b""
        while not (found := tiny.decode_frame(received)):
            received += connection.recv(1 << 16)
        return found[0].message["message"]


def test_a_server_that_python_runs_names_the_command_of_its_environment(home):
    """It named the file of the interpreter, which may serve any number of environments."""
    App(home).task(name="work")(work).enqueue()
    try:
        said = words_to_a_stranger(home)
        words = f"the server ({sys.executable} -m lineshaft, version {lineshaft.__version__}, process "
        assert said.startswith(f"no common protocol: {words}"), said
    finally:
        stop_server(home)
