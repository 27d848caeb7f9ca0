"""The face itself: what is exported, the tree of errors, and the types that checkers see."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap

import pytest

import lineshaft
from conftest import environment
from lineshaft import _errors


def test_exported_members():
    for name in lineshaft.__all__:
        member = getattr(lineshaft, name)
        if isinstance(member, type):
            assert member.__module__ == "lineshaft", name
            assert member.__doc__, name
    for name in _errors.__all__:
        assert name in lineshaft.__all__


def test_the_tree_drawn_above_the_errors_is_the_tree():
    for line in (_errors.__doc__ or "").splitlines():
        if "──" not in line:
            continue
        name, *rest = line.split("── ")[1].split(maxsplit=1)
        cls = getattr(lineshaft, name)
        assert issubclass(cls, lineshaft.LineshaftError)
        if rest and rest[0].startswith("(also"):
            builtin = rest[0].split(")")[0].removeprefix("(also ")
            assert builtin in {base.__name__ for base in cls.__mro__}, name


@pytest.mark.parametrize("name", [name for name in _errors.__all__ if name not in ("Retry", "Snooze")])
def test_every_exception_can_be_made_and_pickled(name):
    error = getattr(_errors, name)("what happened")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert type(copy) is type(error)


def test_a_hint_follows_the_message():
    error = lineshaft.NoServer("nobody answers", hint="start one")
    assert str(error) == "nobody answers\n  hint: start one"
    assert isinstance(error, ConnectionError)


TYPED = """
    from lineshaft import App, Job, AsyncJob, Retry

    app = App()

    @app.task
    def add(a: int, b: int = 1) -> int:
        return a + b

    @app.task(retries=Retry(3), timeout="2m", priority="high")
    def send(to: str, *, tenant: str) -> None: ...

    @app.task
    async def fetch(url: str) -> bytes:
        return b""

    @app.task(queue="net")
    async def post(url: str) -> bytes:
        return b""

    job: Job[int] = add.enqueue(2, b=3)
    number: int = job.result(timeout="1m")
    direct: int = add(1)
    none: Job[None] = send.using(run_after="5m", tags=["x"]).enqueue("a", tenant="t")
    many: list[Job[int]] = add.enqueue_many(add.si(n) for n in range(3))
    mapped: list[Job[bytes]] = post.map(["x"])
    for done in app.as_completed(many):
        number = done.result()

    async def main() -> None:
        made: AsyncJob[bytes] = await fetch.aenqueue("u")
        body: bytes = await made
        body = await fetch("u")
        async with app.workers(2):
            pass
"""

WRONG = """
    from lineshaft import App

    app = App()

    @app.task
    def add(a: int, b: int) -> int:
        return a + b

    add.enqueue("x", 2)  # E: arg-type
    add.enqueue(1)  # E: call-arg
    add(1, 2, 3)  # E: call-arg
    add.using(eta="5m")  # E: call-arg
    text: str = add.enqueue(1, 2).result()  # E: assignment

    @app.task(retrys=3)  # E: call-overload
    def other() -> None: ...
"""


def check_types(path) -> str:
    options = ["--strict", "--config-file", "", "--cache-dir", str(path.parent)]
    command = [sys.executable, "-m", "mypy", *options, str(path)]
    env = {**environment(), "MYPYPATH": environment()["PYTHONPATH"]}
    env.pop("PYTHONPATH")
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False).stdout


def test_types_of_a_program_are_known(tmp_path):
    pytest.importorskip("mypy")
    path = tmp_path / "typed.py"
    path.write_text(textwrap.dedent(TYPED))
    assert check_types(path).startswith("Success"), check_types(path)


def test_wrong_types_are_found(tmp_path):
    pytest.importorskip("mypy")
    path = tmp_path / "wrong.py"
    path.write_text(textwrap.dedent(WRONG))
    said = check_types(path)
    for number, line in enumerate(textwrap.dedent(WRONG).splitlines(), 1):
        expected = line.partition("# E: ")[2]
        found = [text for text in said.splitlines() if text.startswith(f"{path}:{number}: error:")]
        assert bool(expected) == bool(found), f"line {number}: {line}\n{said}"
        assert not expected or any(f"[{expected}]" in text for text in found), said
