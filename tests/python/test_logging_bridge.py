"""The standard library's logging and ours, in both directions."""

from __future__ import annotations

import logging
import logging.config

import pytest

from lineshaft.logging import Handler, capture, configure, flush, get_logger, records

MEMORY = {"kind": "memory"}


@pytest.fixture(autouse=True)
def _quiet_again():
    before = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    configure(level="warning", handlers=[], capture_stdlib=False)
    logging.getLogger().handlers[:] = before[0]
    logging.getLogger().setLevel(before[1])


class Collecting(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


def test_records_of_the_standard_library_come_as_they_are():
    configure(level="info,shop=debug", handlers=[MEMORY])
    logger = logging.getLogger("shop.mail")
    logger.addHandler(Handler())
    logger.setLevel("DEBUG")
    logger.propagate = False
    try:
        logger.debug("%s of %d", "a", 2, extra={"user": "ada", "password": "x"})
        try:
            raise ValueError("no")
        except ValueError:
            logger.exception("failed")
        logger.info("%d", "no number")
    finally:
        logger.handlers.clear()
        logger.propagate = True
    first, second, third = records()
    assert (first.message, first.level, first.logger) == ("a of 2", 10, "shop.mail")
    assert first.fields == {"user": "ada", "password": "***"}
    assert (first.file, first.function) == (__file__, "test_records_of_the_standard_library_come_as_they_are")
    assert first.thread == "MainThread"
    assert second.exception.endswith("ValueError: no")
    assert third.message == "'%d' [arguments that do not fit: ('no number',)]"


def test_a_record_that_somebody_made_comes_as_far_as_it_goes():
    configure(level=-1, handlers=[MEMORY])
    Handler().handle(logging.makeLogRecord({"msg": "made"}))
    made = logging.makeLogRecord({"msg": "in a task", "name": "shop", "levelno": 20, "taskName": "Task-7"})
    Handler().handle(made)
    first, second = records()
    assert (first.logger, first.level, first.message, first.fields) == ("", 0, "made", {})
    assert (second.logger, second.level, second.fields) == ("shop", 20, {"taskName": "Task-7"})


def test_all_loggers_are_captured_until_they_are_let_go():
    collecting = Collecting()
    logging.getLogger().addHandler(collecting)
    configure(level="warning,lib=debug", handlers=[MEMORY])
    with capture():
        assert logging.getLogger("lib.x").isEnabledFor(logging.DEBUG)
        logging.getLogger("lib.x").debug("heard")
        logging.getLogger("app").info("not heard")
        logging.warning("of root")
        configure(level="error", handlers=[MEMORY], capture_stdlib=True)
        assert not logging.getLogger("lib.x").isEnabledFor(logging.WARNING)
        configure(level="info", handlers=[MEMORY])
        logging.getLogger("app").info("heard too")
    logging.getLogger("app").error("let go")
    assert [record.message for record in records()] == ["heard too"]
    assert [record.getMessage() for record in collecting.records] == ["let go"]


def test_ours_go_to_the_standard_library_and_do_not_come_back():
    collecting = Collecting()
    configure(level="trace", handlers=[{"kind": "stdlib"}, MEMORY], capture_stdlib=True)
    logging.getLogger().addHandler(collecting)
    logging.getLogger("theirs").warning("theirs")
    get_logger("ours").warning("ours", user="ada", msg="a name of theirs")
    get_logger("ours").trace("below")
    assert flush(timeout=10)
    assert [record.message for record in records()] == ["theirs", "ours", "below"]
    assert [record.getMessage() for record in collecting.records] == ["theirs", "ours", "below"]
    ours = collecting.records[1]
    assert (ours.name, ours.levelname, ours.user, ours.msg) == ("ours", "WARNING", "ada", "ours")
    assert (ours.pathname, ours.funcName) == (__file__, "test_ours_go_to_the_standard_library_and_do_not_come_back")
    assert collecting.records[2].levelname == "TRACE"


def test_dict_config_knows_the_handler():
    configure(level="info", handlers=[MEMORY])
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"lineshaft": {"class": "lineshaft.logging.Handler", "level": "ERROR"}},
            "loggers": {"configured": {"handlers": ["lineshaft"], "level": "DEBUG", "propagate": False}},
        }
    )
    logging.getLogger("configured").warning("below")
    logging.getLogger("configured").error("heard", extra={"n": 1})
    assert [(record.message, record.fields) for record in records()] == [("heard", {"n": 1})]
