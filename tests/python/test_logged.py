"""`logged`: what is said of calls, and where."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from lineshaft import OptionError, layers, logged


def test_the_classic_lines_are_printed(capsys):
    @logged
    def add(a, b):
        return a + b

    assert add(3, 5) == 8
    add(3, b=5)
    assert capsys.readouterr().out == (
        "Calling add with arguments (3, 5) and keyword arguments {}\nadd returned 8\n"
        "Calling add with arguments (3,) and keyword arguments {'b': 5}\nadd returned 8\n"
    )


def test_arguments_are_shown_as_python_shows_tuples_and_dicts(capsys):
    @logged
    def f(*args, **kwargs):
        return args, kwargs

    for args, kwargs in (((), {}), ((1,), {"a": "x"}), (([], "y"), {"b": {1: 2}, "c": None})):
        f(*args, **kwargs)
        assert capsys.readouterr().out.splitlines() == [
            f"Calling f with arguments {args} and keyword arguments {kwargs}",
            f"f returned {(args, kwargs)}",
        ]


def test_exceptions_are_shown_unless_they_shall_not_be(capsys):
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        logged(fail)()
    assert capsys.readouterr().out.splitlines()[1:] == ["fail raised ValueError: no"]
    with pytest.raises(ValueError, match=r"^no$"):
        logged(exceptions=False)(fail)()
    assert capsys.readouterr().out.splitlines()[1:] == []


def test_the_end_says_how_long_it_took_and_may_hide_the_result(capsys):
    logged(duration=True)(len)("abc")
    logged(result=False)(len)("abc")
    ends = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("Calling")]
    assert re.fullmatch(r"len returned 3 in \d+(\.\d+)? (ns|us|ms|s)", ends[0])
    assert ends[1] == "len returned"


def test_long_values_are_cut(capsys):
    logged(max_length=10)(lambda text: text)("x" * 100)
    assert capsys.readouterr().out.splitlines() == [
        "Calling <lambda> with arguments ('xxxxxx...,) and keyword arguments {}",
        "<lambda> returned 'xxxxxx...",
    ]


@pytest.mark.parametrize(
    ("redact", "call", "shown"),
    [
        ("password", lambda f: f("ada", "s3cret"), "('ada', ***) and keyword arguments {}"),
        ("password", lambda f: f("ada", password="s3cret"), "('ada',) and keyword arguments {'password': ***}"),
        (("user", "password"), lambda f: f("s3cret", "s3cret"), "(***, ***) and keyword arguments {}"),
        ("rest", lambda f: f("ada", "p", "s3cret", "s3cret"), "('ada', 'p', ***, ***) and keyword arguments {}"),
        ("token", lambda f: f("ada", "p", token="s3cret"), "('ada', 'p') and keyword arguments {'token': ***}"),
        ({"more"}, lambda f: f("ada", "p", token="s3cret"), "('ada', 'p') and keyword arguments {'token': ***}"),
        (["more"], lambda f: f("ada", password="p"), "('ada',) and keyword arguments {'password': 'p'}"),
    ],
)
def test_secrets_are_not_shown(capsys, redact, call, shown):
    @logged(redact=redact)
    def f(user, password, *rest, **more):
        return None

    call(f)
    out = capsys.readouterr().out
    assert out.splitlines()[0] == f"Calling f with arguments {shown}"
    assert "s3cret" not in out


def test_a_parameter_that_there_is_not_cannot_be_redacted():
    with pytest.raises(OptionError, match="'pasword' is not accepted"):

        @logged(redact="pasword")
        def log_in(user, password):
            return None


def test_what_cannot_be_shown_is_called_all_the_same(capsys):
    class Odd:
        def __repr__(self):
            raise OSError

    assert isinstance(logged(lambda x: x)(Odd()), Odd)
    assert capsys.readouterr().out.splitlines()[1] == "<lambda> returned <Odd whose repr raises OSError>"


def test_with_a_level_the_lines_go_through_logging(caplog, capsys):
    @logged(level="debug")
    def add(a, b):
        return a + b

    with caplog.at_level(logging.DEBUG, logger=__name__):
        assert add(3, 5) == 8
    assert [record.getMessage() for record in caplog.records] == [
        "Calling add with arguments (3, 5) and keyword arguments {}",
        "add returned 8",
    ]
    [record, _] = caplog.records
    assert (record.name, record.levelname, record.funcName) == (__name__, "DEBUG", "add")
    assert (record.pathname, record.lineno) == (__file__, add.__wrapped__.__code__.co_firstlineno)
    assert capsys.readouterr().out == ""


def test_what_is_not_heard_is_not_made(caplog):
    class Odd:
        def __repr__(self):
            shown.append(1)
            return "Odd"

    shown = []

    logger = logging.getLogger("test_logged.quiet")

    @logged(level="info", logger=logger)
    def f(x):
        return x

    @logged(level="info", logger=logger)
    async def coroutine(x):
        return x

    @logged(level="info", logger=logger)
    def generator(x):
        yield x

    @logged(level="info", logger=logger)
    async def async_generator(x):
        yield x

    async def main():
        await coroutine(Odd())
        async for _ in async_generator(Odd()):
            pass
        for _ in generator(Odd()):
            pass

    def everything():
        caplog.clear()
        shown.clear()
        f(Odd())
        asyncio.run(main())
        assert bool(shown) == bool(caplog.records)
        return len(caplog.records)

    logger.setLevel("WARNING")
    assert everything() == 0
    logger.setLevel("INFO")
    assert everything() == 8
    logger.disabled = True
    assert everything() == 0
    logger.disabled = False
    assert everything() == 8
    logging.disable(logging.INFO)
    try:
        assert everything() == 0
    finally:
        logging.disable(logging.NOTSET)
    assert everything() == 8


def test_loggers_may_be_names_adapters_and_classes_of_their_own(caplog):
    class Choosy(logging.Logger):
        def isEnabledFor(self, level):  # noqa: N802
            return listens

    choosy = Choosy("choosy")
    choosy.addHandler(caplog.handler)
    adapter = logging.LoggerAdapter(logging.getLogger("adapted"), {"who": "ada"})
    with caplog.at_level(logging.INFO):
        listens = False
        logged(logger=choosy)(len)("")
        assert caplog.records == []
        listens = True
        logged(logger=choosy)(len)("")
        logged(logger="named")(len)("")
        logged(logger=adapter)(len)("")
    assert [record.name for record in caplog.records[::2]] == ["choosy", "named", "adapted"]
    assert caplog.records[-1].who == "ada"


def test_wrong_options_say_what_is_accepted():
    for options in ({"level": "loud"}, {"level": True}, {"logger": 3}, {"redact": 3}, {"max_length": 0}):
        with pytest.raises(OptionError, match=f"option `{next(iter(options))}`"):
            logged(**options)


def test_its_layer_has_the_options_that_were_given():
    assert layers(logged(level="debug", redact="x")(lambda x: x))[0] == "logged(level='debug', redact='x')"
    assert layers(logged(len))[0] == "logged"
