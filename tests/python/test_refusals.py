"""What is refused where it is written, word by word: each message says what is wrong, where, and what to do.

The other tests of declarations look for the parts of a message that matter to them; this file is the table.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lineshaft import (
    App,
    DeclarationError,
    ImportSideEffect,
    NoCurrentJob,
    OptionError,
    Retry,
    SerializationError,
    TaskNotFound,
    Unique,
    UnknownOption,
    current,
)
from lineshaft._guard import importing
from lineshaft._options import CALL_OPTIONS, TASK_OPTIONS

HERE = Path(__file__)
app = App()


@app.task(name="pair")
def pair(a: int, b: int = 1) -> int:
    return a + b


class Mailer:
    def send(self) -> None: ...

    @staticmethod
    def post() -> None: ...

    @classmethod
    def make(cls) -> None: ...

    def __call__(self) -> None: ...


def generate():
    yield 1


async def agenerate():
    yield 1


async def acoroutine(attempt: int, error: BaseException) -> int:
    return 1


class ShownAfter:
    """A function with a text of its own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__wrapped__ = function

    def __call__(self, attempt: int, error: BaseException) -> Any:
        return self.__wrapped__(attempt, error)

    def __repr__(self) -> str:
        return "<after>"


@app.task(name="waits", retries=Retry(2, on=OSError, after=ShownAfter(lambda attempt, error: attempt)))
def waits() -> None: ...


def nesting() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


def nesting_async() -> Callable[[], Any]:
    async def ainner() -> None: ...

    return ainner


def check(error: type[BaseException], message: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    assert str(caught.value) == message


def place(function: Any) -> str:
    return f"{HERE}:{function.__code__.co_firstlineno}"


LAMBDA = lambda: None  # noqa: E731
METHOD = "move it out of the class and pass what it needs as arguments"
NESTED = "move it to the top level of its module; a decorator around it needs functools.wraps"
BOUND = "declare a function at the top level of a module and pass it the object's data"

FUNCTIONS = {
    "a method": (Mailer.send, f"Mailer.send ({place(Mailer.send)})", "it is a method", METHOD),
    "a bound method": (Mailer().send, f"Mailer.send ({place(Mailer.send)})", "it is a method", BOUND),
    "a static method": (Mailer.__dict__["post"], f"Mailer.post ({place(Mailer.post)})", "it is a method", METHOD),
    "a static method of a class": (Mailer.post, f"Mailer.post ({place(Mailer.post)})", "it is a method", METHOD),
    "a class method": (
        Mailer.__dict__["make"],
        f"Mailer.make ({place(Mailer.make.__func__)})",
        "it is a method",
        METHOD,
    ),
    "a lambda": (
        LAMBDA,
        f"<lambda> ({place(LAMBDA)})",
        "a worker cannot import a lambda",
        "write it with `def` at the top level of its module",
    ),
    "a nested function": (
        nesting(),
        f"nesting.<locals>.inner ({place(nesting())})",
        "a worker cannot import a nested function",
        NESTED,
    ),
    "a nested coroutine function": (
        nesting_async(),
        f"nesting_async.<locals>.ainner ({place(nesting_async())})",
        "a worker cannot import a nested function",
        NESTED,
    ),
    "a generator": (
        generate,
        f"generate ({place(generate)})",
        "it is a generator",
        "return a list, or enqueue one job per item",
    ),
    "an async generator": (
        agenerate,
        f"agenerate ({place(agenerate)})",
        "it is a generator",
        "return a list, or enqueue one job per item",
    ),
    "a class": (Mailer, "Mailer", "it is a class", "declare a function that makes and uses it"),
    "a builtin": (len, "len", "it is a builtin_function_or_method", "declare a function written with `def`"),
    "a partial": (
        functools.partial(generate),
        repr(functools.partial(generate)),
        "it is a partial",
        "declare a function written with `def`",
    ),
    "a text": ("mail", "'mail'", "it is a text", 'options have names: @app.task(name="mail")'),
    "a number": (3, "3", "it is a int", "declare a function written with `def`"),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_what_a_worker_cannot_import_is_no_task(case):
    function, what, why, fix = FUNCTIONS[case]
    check(DeclarationError, f"{what} cannot be a task: {why}\n  hint: {fix}", App().task, function)


def test_a_name_belongs_to_one_function():
    other = App()
    first = other.task(name="send")(pair.function)
    message = (
        f"two tasks are named 'send': {first.place} and {place(top_level)}\n"
        '  hint: give one of them another name: @app.task(name="...")'
    )
    check(DeclarationError, message, other.task(name="send"), top_level)
    check(DeclarationError, message, other.task(name="post", aliases=["send"]), top_level)
    assert set(other.tasks) == {"send"}


def top_level(a: int) -> None: ...


DURATIONS = '"30s", "1h30m", a timedelta or a number of seconds'
AWARE = "a datetime with a time zone: datetime.now(timezone.utc) or .astimezone()"
OPTIONS = {
    "an unknown option": (
        UnknownOption,
        {"retrys": 3},
        f"@app.task has no option `retrys`: did you mean `retries`?\n  hint: its options: {', '.join(TASK_OPTIONS)}",
    ),
    "a priority": (
        OptionError,
        {"priority": "urgent"},
        (
            "option `priority`: 'urgent' is not accepted\n"
            '  hint: accepted: 1 (first) to 9, "high" (2), "normal" (5) or "low" (8)'
        ),
    ),
    "a timeout": (
        OptionError,
        {"timeout": 0},
        (
            "option `timeout`: 0 is not accepted\n"
            '  hint: accepted: at least 1 ms, as "30s", "1h30m", a timedelta or a number of seconds; '
            "None for no timeout"
        ),
    ),
    "retries": (
        OptionError,
        {"retries": -1},
        "option `retries`: -1 is not accepted\n  hint: accepted: a number of retries, 0 to 9999, or Retry(max=...)",
    ),
    "a Retry for bodies": (
        OptionError,
        {"retries": Retry(after=1)},
        (
            "option `retries`: Retry(after=1.0) is not accepted\n"
            "  hint: accepted: after(attempt: int, error: BaseException) -> duration; "
            "a fixed `after` belongs to `raise Retry(after=...)` in the body"
        ),
    ),
    "an after that is a coroutine function": (
        OptionError,
        {"retries": Retry(2, after=ShownAfter(acoroutine))},
        (
            "option `retries`: Retry(max=2, after=<after>) is not accepted\n"
            "  hint: accepted: after(attempt: int, error: BaseException) -> duration, "
            "written with `def`: nobody would wait for a coroutine"
        ),
    ),
    "an after that takes too little": (
        OptionError,
        {"retries": Retry(2, after=ShownAfter(lambda attempt: 1))},
        (
            "option `retries`: Retry(max=2, after=<after>) is not accepted\n"
            "  hint: accepted: after(attempt: int, error: BaseException) -> duration"
        ),
    ),
    "a Retry that says no number": (
        OptionError,
        {"retries": Retry(on=KeyError)},
        (
            "option `retries`: Retry(on=(<class 'KeyError'>,)) is not accepted\n"
            "  hint: accepted: Retry(max=...): how often to try again has no default"
        ),
    ),
    "a version": (
        OptionError,
        {"version": 0},
        "option `version`: 0 is not accepted\n  hint: accepted: a whole number from 1 (default) up",
    ),
    "an earliest version after the own one": (
        OptionError,
        {"version": 2, "from_version": 3},
        "option `from_version`: 3 is not accepted\n  hint: accepted: 1 to 2, which is the task's version",
    ),
    "a limit of memory": (
        OptionError,
        {"memory": "1MiB"},
        (
            "option `memory`: '1MiB' is not accepted\n"
            '  hint: accepted: at least 16 MiB, as "512MiB", "2GB" or a number of bytes; None for no limit'
        ),
    ),
    "expected errors": (
        OptionError,
        {"expected": [KeyError]},
        (
            "option `expected`: [<class 'KeyError'>] is not accepted\n"
            "  hint: accepted: an exception class or a tuple of them"
        ),
    ),
    "a name": (
        OptionError,
        {"name": "mail*send"},
        (
            "option `name`: 'mail*send' is not accepted\n"
            "  hint: accepted: a name of letters, digits and _ . : / @ + # -, not starting with `-`"
        ),
    ),
    "a flag": (
        OptionError,
        {"validate": 1},
        "option `validate`: 1 is not accepted\n  hint: accepted: True or False",
    ),
    "a queue": (
        OptionError,
        {"queue": ""},
        "option `queue`: '' is not accepted\n  hint: accepted: text of 1 to 255 bytes of UTF-8, this has 0",
    ),
    "aliases": (
        OptionError,
        {"aliases": "old"},
        "option `aliases`: 'old' is not accepted\n  hint: accepted: a list of names",
    ),
    "a moment without a time zone": (
        OptionError,
        {"expires": datetime(2030, 1, 1)},
        f"option `expires`: {datetime(2030, 1, 1)!r} is not accepted\n  hint: accepted: {AWARE}",
    ),
    "a deadline": (
        OptionError,
        {"deadline": -1},
        f"option `deadline`: -1 is not accepted\n  hint: accepted: 0 to 3650 days, as {DURATIONS}",
    ),
    "a delivery": (
        OptionError,
        {"delivery": "once"},
        'option `delivery`: \'once\' is not accepted\n  hint: accepted: "at_least_once" (default) or "at_most_once"',
    ),
    "a result": (OptionError, {"result": 0}, "option `result`: 0 is not accepted\n  hint: accepted: True or False"),
    "a profile": (
        OptionError,
        {"profile": 2},
        (
            "option `profile`: 2 is not accepted\n  hint: accepted: the share of attempts, from 0 (default) to 1, or "
            'for each True, "memory", "native" or ("memory", "native")'
        ),
    ),
    "one tag": (
        OptionError,
        {"tags": "mail"},
        "option `tags`: 'mail' is not accepted\n  hint: accepted: a list of at most 16 texts",
    ),
    "a tag of two lines": (
        OptionError,
        {"tags": ["a\nb"]},
        "option `tags`: 'a\\nb' is not accepted\n  hint: accepted: printable text",
    ),
    "a handler": (
        OptionError,
        {"on_failure": 3},
        (
            "option `on_failure`: 3 is not accepted\n  hint: accepted: "
            "a task (a function becomes one with @app.task), the name of a task, or None"
        ),
    ),
    "a unique": (
        OptionError,
        {"unique": True},
        (
            "option `unique`: True is not accepted\n"
            '  hint: accepted: "args", Unique(by=..., while_=..., period=...) or None'
        ),
    ),
    "a cache": (
        OptionError,
        {"cache": "2d"},
        (
            "option `cache`: '2d' is not accepted\n"
            '  hint: accepted: 1 ms to 24 h, for which results are kept, as "30s", "1h30m", a timedelta or a number '
            "of seconds; None for no cache"
        ),
    ),
    "a cache of no result": (
        OptionError,
        {"name": "one", "cache": "1h", "result": False},
        "one: `cache` needs a result, and `result=False` keeps none\n  hint: leave one of the two away",
    ),
    "a cache and a unique key": (
        OptionError,
        {"name": "one", "cache": "1h", "unique": "args"},
        (
            "one: `cache` and `unique` do not go together\n"
            "  hint: with `cache` an equal call joins the unfinished job anyway; it compares all arguments"
        ),
    ),
    "a unique key": (
        DeclarationError,
        {"name": "one", "unique": Unique(by="user")},
        "one: `unique` names 'user', which is not one of its parameters\n  hint: its parameters: a",
    ),
    "a unique key of a function": (
        DeclarationError,
        {"name": "one", "unique": Unique(by=lambda: 1)},
        (
            "one: the `by` of its `unique` cannot be called as the task is: too many positional arguments\n"
            "  hint: it takes what the task takes, (a: 'int') -> 'None', with defaults applied"
        ),
    ),
}


CALLS = {
    "a delay": (
        {"run_after": "soon"},
        (
            'option `run_after`: "soon" is not a duration\n  hint: accepted: a number of seconds (`30`, `0.5`), '
            "or numbers with ms, s, m, h, d, w, largest first (`250ms`, `1h30m`, `7d`)"
        ),
    ),
    "a moment without a time zone": (
        {"run_after": datetime(2030, 1, 1)},
        f"option `run_after`: {datetime(2030, 1, 1)!r} is not accepted\n  hint: accepted: {AWARE}",
    ),
    "a key": (
        {"idempotency_key": ""},
        "option `idempotency_key`: '' is not accepted\n  hint: accepted: text of 1 to 255 bytes of UTF-8, this has 0",
    ),
    "metadata": (
        {"metadata": 3},
        "option `metadata`: 3 is not accepted\n  hint: accepted: text of 0 to 4096 bytes",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_an_option_of_a_call_is_refused_where_it_is_written(case):
    options, message = CALLS[case]
    check(OptionError, message, lambda: pair.using(**options))


def test_the_tables_have_every_option():
    assert {option for _, options, _ in OPTIONS.values() for option in options} >= TASK_OPTIONS.keys()
    assert {option for options, _ in CALLS.values() for option in options} == CALL_OPTIONS.keys() - TASK_OPTIONS.keys()


@pytest.mark.parametrize("option", ["limit", "rate", "fair"])
def test_an_option_that_is_not_built_yet_is_an_unknown_one(option):
    message = f"@app.task has no option `{option}`\n  hint: its options: {', '.join(TASK_OPTIONS)}"
    check(UnknownOption, message, lambda: App().task(**{option: 1}))


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_is_refused_at_the_declaration(case):
    error, options, message = OPTIONS[case]
    check(error, message, lambda: App().task(**options)(top_level))


def test_a_first_delay_longer_than_the_longest_is_refused_where_it_is_written():
    """It was refused by the option only, far from the place, and not at all by a call."""
    message = "option `first`: '1h' is not accepted\n  hint: accepted: a duration no longer than `cap`, which is '1s'"
    check(OptionError, message, Retry, 3, first="1h", cap="1s")


def test_calls_are_refused_where_they_are_written():
    signature = "pair(a: 'int', b: 'int' = 1) -> 'int'"
    check(TypeError, f"{signature}: missing a required argument: 'a'", pair.enqueue)
    check(TypeError, f"{signature}: too many positional arguments", pair.si, 1, 2, 3)
    check(TypeError, f"{signature}: got an unexpected keyword argument 'c'", pair.si, 1, c=3)
    with pytest.raises(
        UnknownOption, match=r"^using\(\) of pair has no option `eta`\n  hint: its options: run_after, "
    ):
        pair.using(eta="5m")  # type: ignore[call-arg]


def test_a_value_that_cannot_be_sent_is_named_by_its_path(home):
    task = App(home).task(name="pair")(pair.function)
    with pytest.raises(SerializationError, match=r"^pair: args\[0\]\[1\]\['x'\]: function is not a value"):
        task.enqueue([1, {"x": test_calls_are_refused_where_they_are_written}])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "verb", ["enqueue()", "aenqueue()", "enqueue_many()", "app.workers()", "app.run_worker()", "a wait"]
)
def test_a_module_that_a_worker_imports_does_not_run_the_program(verb, home):
    here = App(home)
    task = here.task(name="pair")(pair.function)
    verbs = {
        "enqueue()": lambda: task.enqueue(1),
        "aenqueue()": lambda: task.aenqueue(1).send(None),
        "enqueue_many()": lambda: here.enqueue_many([]),
        "app.workers()": lambda: here.workers(1).__enter__(),
        "app.run_worker()": lambda: here.run_worker(1),
        "a wait": lambda: here.job("01980000-0000-7000-8000-000000000000").result(),
    }
    call = verbs[verb]
    line = call.__code__.co_firstlineno
    message = (
        f"{HERE}:{line} calls {verb} while a worker imports the app\n"
        '  hint: put it under `if __name__ == "__main__":`, so that importing the module only declares tasks'
    )
    with importing():
        check(ImportSideEffect, message, call)
    assert not issubclass(ImportSideEffect, Exception)
    assert not (home / "run").exists(), "no server was started"


def test_what_is_asked_outside_of_a_job_is_refused():
    message = (
        "current.job: no job runs here\n"
        "  hint: it is known in the body of a task that a worker runs, and in threads that take its context along"
    )
    check(NoCurrentJob, message, lambda: current.job)


def test_a_task_that_is_not_declared_is_guessed():
    message = "the app declares no task 'pear'\n  hint: did you mean 'pair'?"
    check(TaskNotFound, message, app.find_task, "pear")
    message = "the app declares no task 'x'\n  hint: its tasks: none"
    check(TaskNotFound, message, App().find_task, "x")


def test_a_job_is_not_awaitable():
    assert not hasattr(app.job("01980000-0000-7000-8000-000000000000"), "__await__")


@pytest.mark.parametrize(
    ("retries", "message"),
    [
        (
            Retry(3, after=ShownAfter(lambda attempt, error: attempt)),
            (
                "option `retries`: Retry(max=3, after=<after>) is not accepted\n"
                "  hint: accepted: Retry without `after`, which belongs to the task: `@app.task(retries=...)`"
            ),
        ),
        (
            Retry(3, first="2s"),
            (
                "option `retries`: Retry(max=3, first=2.0) is not accepted\n"
                "  hint: accepted: a number of retries: the declaration of waits has `after`, which says the rest"
            ),
        ),
    ],
)
def test_a_call_changes_nothing_of_an_after_but_the_number(retries, message):
    with pytest.raises(OptionError) as caught:
        waits.using(retries=retries)
    assert str(caught.value) == message


def test_what_is_expected_belongs_to_the_declaration():
    with pytest.raises(UnknownOption, match=r"^using\(\) of pair has no option `expected`"):
        pair.using(expected=KeyError)  # type: ignore[call-arg]
