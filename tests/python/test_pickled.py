"""Pickles: only where the sender says so, and only at an app that accepts them."""

from __future__ import annotations

import fractions
import os
import pickle
from typing import Any

import pytest

from lineshaft import App, Pickled, Record, SerializationError, _native

REFUSED = (
    "a pickle is not accepted here\n"
    "  hint: App(accept_pickle=True) reads it, and lets whoever can write to this home run any code here"
)


class Bomb:
    """Marks that it was unpickled."""

    went_off = False

    def __reduce__(self) -> Any:
        return _go_off, ()


def _go_off() -> str:
    Bomb.went_off = True
    return "bang"


def encode(value: Any) -> bytes:
    return _native.encode(value, _native.Registry())


def test_an_app_that_accepts_pickles_gets_what_was_pickled():
    types = App("unused", accept_pickle=True)._types
    half = fractions.Fraction(1, 2)
    decoded = types.decode(types.encode({"x": Pickled(half)}))["x"]
    assert isinstance(decoded, Pickled)
    assert decoded.value == half
    assert repr(decoded) == "Pickled(Fraction(1, 2))"


def test_an_app_that_does_not_never_unpickles():
    payload = encode([Pickled(Bomb())])
    with pytest.raises(SerializationError) as caught:
        App("unused")._types.decode(payload)
    assert str(caught.value) == f"[0]: {REFUSED}"
    assert _native.decode_raw(payload) == [Record("lineshaft.Pickled", {"pickle": pickle.dumps(Bomb(), 5)})]
    assert _native.show(payload).startswith("[<pickle of ")
    assert not Bomb.went_off
    # The bomb works, where pickles are accepted.
    decoded = App("unused", accept_pickle=True)._types.decode(payload)
    assert decoded[0].value == "bang"
    assert Bomb.went_off


def test_nothing_is_pickled_that_the_sender_did_not_wrap():
    with pytest.raises(SerializationError, match=r"^value: Fraction is not a value\n  hint: values are data"):
        App("unused", accept_pickle=True)._types.encode(fractions.Fraction(1, 2))


def test_what_cannot_be_pickled_fails_at_the_caller_with_its_path():
    with pytest.raises(SerializationError, match=r"^value\[0\]: .*pickle.*lambda") as caught:
        encode([Pickled(lambda: 0)])
    assert caught.value.__cause__ is not None


def test_a_damaged_pickle_is_an_error_like_any_other():
    payload = encode(Pickled([1, 2, 3]))
    with pytest.raises(SerializationError):
        App("unused", accept_pickle=True)._types.decode(payload.replace(b"\x80\x05", b"\x80\xff"))


APP = """
    import fractions
    import sys
    from lineshaft import App, Pickled, SerializationError, TaskFailed

    app = App(accept_pickle="--accept" in sys.argv or {accept})

    @app.task
    def double(number: Pickled[fractions.Fraction]) -> Pickled[fractions.Fraction]:
        return Pickled(number.value * 2)

    if __name__ == "__main__":
        with app.workers(1):
            job = double.enqueue(Pickled(fractions.Fraction(1, 3)))
            try:
                print(job.result(30).value)
            except TaskFailed as error:
                print(error.reason, str(error).splitlines()[0].partition("SerializationError: ")[2])
"""


def test_workers_take_pickles_only_if_their_app_accepts_them(programs):
    programs.write("yes.py", APP.replace("{accept}", "True"))
    programs.write("no.py", APP.replace("{accept}", "False"))
    ended = programs.run("yes.py")
    assert ended.stdout == "2/3\n", ended.stderr
    ended = programs.run("no.py")
    assert ended.stdout == "arguments_undecodable args[0]: a pickle is not accepted here\n", ended.stderr
    assert os.path.exists(programs.directory)
