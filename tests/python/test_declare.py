"""Declaring tasks: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import functools
import textwrap
from datetime import datetime, timedelta, timezone

import pytest

from lineshaft import App, AsyncTask, DeclarationError, OptionError, Retry, Task, TaskNotFound, Unique, UnknownOption

app = App()


@app.task
def add(a: int, b: int = 1) -> int:
    """Adds."""
    return a + b


@app.task(name="mail.send", aliases=["send"], queue="mail", priority="high", retries=3, timeout="2m", tags=["x"])
def send(to: str, *, tenant: str) -> None:
    pass


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


def check_refused(function: object, what: str, fix: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        App().task(function)  # type: ignore[call-overload]
    message = str(caught.value)
    assert what in message, message
    assert fix in message, message


def test_a_task_is_still_the_function_when_called():
    assert add(2, 3) == 5
    assert add(2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert isinstance(add, Task)


def test_an_async_function_gives_an_async_task_that_runs_to_its_end_in_a_worker():
    assert isinstance(fetch, AsyncTask)
    assert fetch.body("x") == b"x"
    fetch("y").close()


def test_the_default_name_is_module_and_qualname():
    assert add.name == f"{__name__}.add"
    assert send.name == "mail.send"
    assert set(app.tasks) == {f"{__name__}.add", "mail.send", f"{__name__}.fetch"}


def test_a_task_is_found_by_name_and_alias_and_otherwise_guessed():
    assert app.find_task("send") is send
    with pytest.raises(TaskNotFound, match=r"(?s)no task 'mail.sned'.*did you mean 'mail.send'"):
        app.find_task("mail.sned")


def test_a_lambda_is_refused():
    check_refused(lambda: None, "<lambda> (", "write it with `def`")


def test_a_nested_function_is_refused():
    def inner() -> None: ...

    check_refused(inner, "cannot import a nested function", "functools.wraps")


class Mailer:
    def send(self) -> None: ...

    @staticmethod
    def post() -> None: ...


def test_methods_are_refused():
    fix = "move it out of the class"
    check_refused(Mailer.send, "Mailer.send", fix)
    check_refused(Mailer.__dict__["post"], "it is a method", fix)
    check_refused(Mailer().send, "it is a method", "top level of a module")


def generate():
    yield 1


async def agenerate():
    yield 1


def test_generators_are_refused():
    check_refused(generate, "it is a generator", "return a list")
    check_refused(agenerate, "it is a generator", "return a list")


def test_what_is_not_a_function_is_refused():
    check_refused(Mailer, "it is a class", "declare a function")
    check_refused(len, "it is a builtin_function_or_method", "written with `def`")
    check_refused(functools.partial(generate), "it is a partial", "written with `def`")


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@decorated
def wrapped(a: int) -> int:
    return a


def test_a_decorated_function_is_known_by_what_it_wraps():
    task = App().task(wrapped)
    assert task.name == f"{__name__}.wrapped"
    assert task.place.line == wrapped.__wrapped__.__code__.co_firstlineno


def test_two_functions_under_one_name_are_refused_with_both_places():
    other = App()
    other.task(name="x")(add.function)
    with pytest.raises(DeclarationError) as caught:
        other.task(name="x")(send.function)
    assert str(caught.value).startswith(f"two tasks are named 'x': {add.place} and {send.place}\n  hint: give one")


def test_an_alias_of_another_task_is_refused():
    other = App()
    other.task(add.function)
    with pytest.raises(DeclarationError, match="two tasks are named"):
        other.task(aliases=[add.name])(send.function)


def test_the_same_place_again_replaces_silently(tmp_path, monkeypatch):
    (tmp_path / "reloaded.py").write_text(
        textwrap.dedent(
            """
            from test_declare import reloading
            @reloading.task
            def work(): return 1
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    import importlib

    import reloaded

    first = reloading.tasks["reloaded.work"]
    importlib.reload(reloaded)
    assert reloading.tasks["reloaded.work"] is not first


reloading = App()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retrys": 3}, "@app.task has no option `retrys`: did you mean `retries`?"),
        ({"rate": "100/m"}, "@app.task has no option `rate`"),
        ({"timeout": "30 sekunds"}, 'option `timeout`: "30 sekunds" is not a duration\n  hint: accepted: '),
        ({"timeout": 0}, "option `timeout`: 0 is not accepted\n  hint: accepted: at least 1 ms"),
        ({"timeout": "11000d"}, 'option `timeout`: "11000d" is not within ten years'),
        ({"timeout": float("nan")}, "option `timeout`: nan is not accepted"),
        ({"timeout": 10**400}, "is not accepted\n  hint: accepted: 0 to 3650 days"),
        ({"timeout": -(10**400)}, "is not accepted\n  hint: accepted: 0 to 3650 days"),
        ({"timeout": True}, "option `timeout`: True is not accepted"),
        ({"timeout": timedelta(days=-1)}, "option `timeout`: datetime.timedelta(days=-1) is not accepted"),
        ({"priority": 0}, "option `priority`: 0 is not accepted\n  hint: accepted: 1 (first) to 9"),
        ({"priority": "urgent"}, "option `priority`: 'urgent' is not accepted"),
        ({"retries": -1}, "option `retries`: -1 is not accepted"),
        (
            {"retries": 10_000},
            "option `retries`: 10000 is not accepted\n  hint: accepted: a number of retries, 0 to 9999",
        ),
        ({"retries": Retry(after=1)}, "option `retries`: Retry(after=1.0) is not accepted"),
        ({"retries": Retry()}, "option `retries`: Retry() is not accepted"),
        ({"queue": "a b"}, "option `queue`: 'a b' is not accepted"),
        ({"name": "mail*send"}, "accepted: a name of letters, digits and _ . : / @ + # -"),
        ({"queue": "q" * 256}, "this has 256"),
        ({"queue": "-x"}, "not starting with `-`"),
        ({"queue": "\ud800"}, "text that UTF-8 can express"),
        ({"name": ""}, "option `name`: '' is not accepted"),
        ({"name": None}, "option `name`: None is not accepted"),
        ({"aliases": "abc"}, "option `aliases`: 'abc' is not accepted"),
        ({"tags": "abc"}, "option `tags`: 'abc' is not accepted"),
        ({"tags": [str(number) for number in range(17)]}, "at most 16 tags, these are 17"),
        ({"result": 1}, "option `result`: 1 is not accepted\n  hint: accepted: True or False"),
        ({"delivery": "once"}, "option `delivery`: 'once' is not accepted"),
        ({"unique": "all"}, "option `unique`: 'all' is not accepted"),
    ],
)
def test_a_wrong_option_names_itself_the_value_and_the_accepted_forms(options, message):
    with pytest.raises(OptionError) as caught:
        App().task(**options)(add.function)
    assert message in str(caught.value)


def test_an_unknown_option_is_a_type_error_with_the_list():
    with pytest.raises(UnknownOption, match="its options: name, aliases, version, from_version, queue") as caught:
        App().task(colour="red")(add.function)
    assert isinstance(caught.value, TypeError)
    with pytest.raises(UnknownOption, match=r"using\(\) of mail.send has no option `eta`"):
        send.using(eta="5m")


def test_a_naive_datetime_is_refused_with_the_fix():
    with pytest.raises(OptionError, match="with a time zone"):
        add.using(run_after=datetime(2030, 1, 1))
    assert add.using(run_after=datetime(2030, 1, 1, tzinfo=timezone.utc)).options["run_after"].year == 2030


def test_options_are_read():
    assert send.options == {
        "queue": "mail",
        "priority": 2,
        "retries": send.options["retries"],
        "timeout": 120.0,
        "tags": ("x",),
    }
    assert send.options["retries"].max == 3
    using = send.using(priority=9, run_after="1h30m", timeout=None)
    assert (using.options["priority"], using.options["run_after"], using.options["timeout"]) == (9, 5400.0, None)
    assert send.options["priority"] == 2


def test_unique_names_are_checked_at_declaration():
    with pytest.raises(DeclarationError, match=r"(?s)names 'user', which is not one of its parameters.*a, b"):
        App().task(unique=Unique(by="user"))(add.function)
    with pytest.raises(OptionError, match="while_"):
        Unique(while_="always")


def test_retry_refuses_what_is_no_exception():
    with pytest.raises(OptionError, match="option `on`"):
        Retry(3, on=("ValueError",))
    assert repr(Retry(3, first="2s", never=KeyError)) == "Retry(max=3, never=(<class 'KeyError'>,), first=2.0)"
