"""Calls: arguments are bound where the call is written."""

from __future__ import annotations

import pytest

from lineshaft import App

app = App()


@app.task(name="pair")
def pair(a: int, b: int = 1, *, c: int = 2) -> None: ...


@app.task(name="needs")
def needs(a: int, *, tenant: str) -> None: ...


@app.task(name="many")
def many(*args: int, **kwargs: int) -> None: ...


def check_refused(call, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == message


def test_arguments_that_do_not_fit_name_the_task():
    signature = "pair(a: 'int', b: 'int' = 1, *, c: 'int' = 2) -> 'None'"
    check_refused(lambda: pair.si(), f"{signature}: missing a required argument: 'a'")
    check_refused(lambda: pair.si(1, 2, 3), f"{signature}: too many positional arguments")
    check_refused(lambda: pair.si(1, d=1), f"{signature}: got an unexpected keyword argument 'd'")
    check_refused(
        lambda: needs.si(1), "needs(a: 'int', *, tenant: 'str') -> 'None': missing a required argument: 'tenant'"
    )


def test_arguments_that_fit_make_a_call():
    for call in (pair.si(1), pair.si(1, 2), pair.si(1, c=3), pair.si(a=1), needs.si(1, tenant="x"), many.si(1, 2, x=3)):
        assert call.bound.app is app
    call = pair.si(1, c=3)
    assert (call.args, call.kwargs, call.task, call.bound) == ((1,), {"c": 3}, "pair", pair)
    assert repr(call) == "pair.si(1, c=3)"


def test_enqueue_refuses_before_it_connects():
    with pytest.raises(TypeError, match="missing a required argument"):
        pair.enqueue()
