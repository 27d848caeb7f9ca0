"""The face itself: what is exported, and the tree of errors."""

from __future__ import annotations

import pickle

import pytest

import lineshaft
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
