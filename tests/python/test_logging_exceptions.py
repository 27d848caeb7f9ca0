"""Exceptions with the variables of their frames."""

from __future__ import annotations

import logging
import tracemalloc
import weakref

import pytest

from lineshaft.logging import Handler, configure, get_logger, records

MEMORY = {"kind": "memory"}
log = get_logger("shop")


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    configure(level="warning")


class Raising:
    def __repr__(self):
        raise ValueError("no text")


class Recursing:
    def __repr__(self):
        return repr(self)


class Long:
    def __repr__(self):
        return "x" * 1_000_000


class Card:
    def __repr__(self):
        return "4111"


LOCALS = {
    "raising": Raising(),
    "recursing": Recursing(),
    "long": Long(),
    "card": Card(),
    "lines": "one\ntwo",
    "password": "swordfish",
    "number": 4111111111111111,
    "nested": {"api_key": "swordfish", "deep": [Raising()]},
}


def fail(given, raising, recursing, long, card, lines, password, number, nested):
    raise KeyError("no")


def logged_failure(**options):
    configure(handlers=[MEMORY], **options)
    try:
        fail({"order": 7}, **LOCALS)
    except KeyError:
        log.exception("failed")
    [record] = records()
    return record.exception


def test_variables_are_shown_on_request_without_secrets():
    assert "raising = " not in logged_failure()
    text = logged_failure(show_locals=True, redact_types=[Card])
    for line in (
        '    given = {"order":7}',
        "    raising = <Raising whose repr raises ValueError>",
        "    recursing = <Recursing whose repr raises RecursionError>",
        "    card = ***",
        "    password = '***'",
        "    number = ***1111",
        "    lines = 'one\\ntwo'",
        '    nested = {"api_key":"***","deep":["<Raising whose repr raises ValueError>"]}',
    ):
        assert line in text.splitlines(), text
    assert "swordfish" not in text
    assert len(text) < 5_000
    assert text.endswith("KeyError: 'no'")


def test_the_room_for_variables_is_bounded_and_the_innermost_come_first():
    def down(depth, padding):
        if depth == 0:
            raise ValueError("deep")
        down(depth - 1, padding)

    configure(handlers=[MEMORY], show_locals=True)
    try:
        down(300, "x" * 10_000)
    except ValueError:
        log.exception("failed")
    [record] = records()
    assert "    depth = 0" in record.exception
    assert "    depth = 299" not in record.exception
    assert len(record.exception) < 200_000


def test_causes_and_records_of_the_standard_library_have_them_too():
    configure(level="info", handlers=[MEMORY], show_locals=True)
    logger = logging.getLogger("shop.locals")
    logger.addHandler(Handler())
    try:
        try:
            fail({"inner": 1}, **LOCALS)
        except KeyError as error:
            outer = 2
            raise RuntimeError("again") from error
    except RuntimeError:
        logger.exception("failed")
    finally:
        logger.handlers.clear()
    [record] = records()
    assert '    given = {"inner":1}' in record.exception
    assert f"    outer = {outer}" in record.exception


class Classless:
    @property
    def __class__(self):
        raise RuntimeError("outside of a request")


class RaisingNames(dict):
    def keys(self):
        raise RuntimeError("no names")

    __iter__ = keys


def test_variables_that_raise_do_not_take_the_traceback_with_them():
    def failing():
        gone, classless, after = weakref.proxy(Raising()), Classless(), "shown"
        raise KeyError(bool(after) and [type(gone), type(classless)] and "no")

    configure(handlers=[MEMORY], show_locals=True)
    code = "raise KeyError('no')"
    odd = {7: "seven", "\udcff": "odd", "plain": "shown"}
    for fails in (failing, lambda: exec(code, {}, odd), lambda: exec(code, {}, RaisingNames())):
        try:
            fails()
        except KeyError:
            log.exception("failed")
    first, second, third = (record.exception for record in records())
    assert "    after = 'shown'" in first
    assert "    classless = <" in first
    assert "    plain = 'shown'" in second
    assert "    ? = 'odd'" in second
    for text in (first, second, third):
        assert text.startswith("Traceback"), text
        assert text.endswith("KeyError: 'no'")


def test_a_repr_that_logs_an_exception_has_no_variables_shown_in_that():
    class Logging:
        times = 0

        def __repr__(self):
            Logging.times += 1
            if Logging.times > 100:
                raise RuntimeError("again and again")
            try:
                raise ValueError("inner")
            except ValueError:
                logging.getLogger("shop").exception("inner")
            return "done"

    def failing(first, second, third):
        raise KeyError("outer")

    configure(level="info", handlers=[MEMORY], show_locals=True, capture_stdlib=True)
    try:
        failing(Logging(), Logging(), Logging())
    except KeyError:
        logging.getLogger("shop").exception("outer")
    *inner, outer = records()
    configure(capture_stdlib=False, handlers=[])
    assert Logging.times == 3
    assert "    first = done" in outer.exception
    assert all("self = " not in record.exception for record in inner)


WORDS = "a word " * 100
HALVES = (
    WORDS[:490] + "postgres://ada:swordfish-swordfish@db/shop",
    WORDS[:490] + "{'password': 'swordfish swordfish swordfish'}",
    WORDS[:497] + "4111 1111 1111 1111 " + WORDS,
)


def test_half_a_secret_at_the_end_of_what_is_shown_is_not_shown():
    def failing(url, words, card):
        raise KeyError("no")

    configure(handlers=[MEMORY], show_locals=True)
    try:
        failing(*HALVES)
    except KeyError:
        log.exception("failed")
    [record] = records()
    assert record.exception.count("[cut: ") >= 2
    assert "swordf" not in record.exception
    assert "4111" not in record.exception


def test_large_variables_are_cut_before_they_are_shown():
    class Text(str):
        pass

    def failing(bytes_, array, text):
        raise KeyError("no")

    configure(handlers=[MEMORY], show_locals=True)
    large = b"x" * 20_000_000
    given = (large, bytearray(large), Text("y" * 20_000_000))
    tracemalloc.start()
    try:
        failing(*given)
    except KeyError:
        log.exception("failed")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    [record] = records()
    for name, begins in (("bytes_", "b'xxx"), ("array", "bytearray(b'xxx"), ("text", "\"'yyy")):
        [line] = [line for line in record.exception.splitlines() if line.startswith(f"    {name} = ")]
        assert line.startswith(f"    {name} = {begins}")
        assert "… [cut: 19999" in line
    assert peak < 10_000_000
