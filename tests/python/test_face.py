"""The face itself: what is exported, and the tree of errors."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator

import pytest

import lineshaft
from lineshaft import _errors


def test_exported_members():
    assert lineshaft.__all__ == sorted(lineshaft.__all__)
    public = {name for name in vars(lineshaft) if not name.startswith("_")}
    assert {name for name in public if not inspect.ismodule(getattr(lineshaft, name))} <= set(lineshaft.__all__)
    for name in lineshaft.__all__:
        member = getattr(lineshaft, name)
        assert not isinstance(member, type) or member.__module__ == "lineshaft", name
    for name in _errors.__all__:
        assert name in lineshaft.__all__


def test_no_public_submodule_leaks_by_accident():
    modules = {name for name, member in vars(lineshaft).items() if inspect.ismodule(member)}
    # pytest puts modules named with @ into what it rewrites, and it rewrites the package of a plugin.
    assert {name for name in modules if not name.startswith(("_", "@"))} <= PUBLIC_MODULES


PUBLIC_MODULES = {"testing", "aio", "logging", "multiprocessing", "structures", "contrib", "compat"}


def public_things() -> Iterator[tuple[str, object]]:
    """Every public class and function, and every public member of a class that is Lineshaft's own."""
    for name in lineshaft.__all__:
        thing = getattr(lineshaft, name)
        yield name, thing if callable(thing) else type(thing)
        for cls in (base for base in getattr(thing, "__mro__", ()) if base.__module__.startswith("lineshaft")):
            for member, value in vars(cls).items():
                if not member.startswith("_") and (callable(value) or inspect.isdatadescriptor(value)):
                    yield f"{name}.{member}", value


def test_everything_public_is_described():
    assert sorted({name for name, thing in public_things() if not is_described(thing)}) == []


def is_described(thing: object) -> bool:
    """A slot has no words of its own: those of its class name it."""
    if inspect.ismemberdescriptor(thing) and not thing.__doc__:
        return f"`{thing.__name__}`" in (thing.__objclass__.__doc__ or "")
    return bool(inspect.getdoc(thing))


def test_a_member_that_takes_a_time_says_what_happens_when_it_is_over():
    for name, thing in public_things():
        if inspect.isfunction(thing) and {"timeout", "grace"} & set(inspect.signature(thing).parameters):
            doc = inspect.getdoc(thing) or ""
            assert re.search(r"timeout|`grace`|for coroutines", doc), name


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


VERBS = {
    lineshaft.Job: "refresh result wait cancel retry output attempts progress",
    lineshaft.Task: "enqueue map enqueue_many",
    lineshaft.AsyncTask: "enqueue map enqueue_many",
    lineshaft.Using: "enqueue map",
    lineshaft.App: "enqueue_many as_completed",
}
TWINS = {"wait": "await_"}
"""`await` is a word of the language."""


@pytest.mark.parametrize("cls", VERBS, ids=lambda cls: cls.__name__)
def test_every_verb_has_a_twin_for_coroutines_that_takes_the_same(cls):
    for verb in VERBS[cls].split():
        plain, twin = getattr(cls, verb), getattr(cls, TWINS.get(verb, f"a{verb}"))
        assert list(inspect.signature(plain).parameters) == list(inspect.signature(twin).parameters), verb
        is_twin = inspect.iscoroutinefunction(twin) or "AsyncIterator" in str(inspect.signature(twin).return_annotation)
        assert is_twin, verb
        assert not inspect.iscoroutinefunction(plain), verb


def test_properties_of_a_job_do_no_io(home):
    """The home does not exist, and does not come to exist."""
    job = lineshaft.App(home).job("01a0c450-6c7b-7800-8000-000040000001")
    known = [getattr(job, name) for name, member in vars(lineshaft.Job).items() if isinstance(member, property)]
    assert job.id in known
    assert repr(job) == "<Job 01a0c450-6c7b-7800-8000-000040000001>"
    assert not home.exists()
