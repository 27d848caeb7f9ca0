"""Exceptions with the variables of their frames."""

from __future__ import annotations

import logging

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
