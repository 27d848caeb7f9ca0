"""What a logger catches: in blocks and above functions."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

import lineshaft
from lineshaft import Cancel, OptionError, Retry, Snooze
from lineshaft.logging import configure, get_logger, records

log = get_logger("shop")


@pytest.fixture(autouse=True)
def kept():
    configure(level="info", handlers=[{"kind": "memory"}])
    yield
    configure(level="warning")


def fail(message="no"):
    raise ValueError(message)


def heard():
    return [(record.level_name, record.message, record.function) for record in records()]


def test_a_block_logs_what_it_raises_and_lets_it_go_on():
    with pytest.raises(ValueError, match="no") as raised, log.catch():
        fail()
    (record,) = records()
    assert heard() == [("error", "a block raised ValueError", "test_a_block_logs_what_it_raises_and_lets_it_go_on")]
    assert (record.logger, record.file) == ("shop", __file__)
    assert record.exception.startswith("Traceback (most recent call last):")
    assert record.exception.endswith("ValueError: no")
    assert "in fail" in record.exception
    assert raised.value.__traceback__ is not None
    with log.catch():
        pass
    assert len(records()) == 1


def test_a_block_ends_an_exception_if_it_shall_not_go_on():
    caught = log.bind(user="ada").catch(KeyError, ValueError, level="warning", message="not sent: 100 %", reraise=False)
    for _ in range(2):
        with caught:
            fail()
    with pytest.raises(TypeError), caught:
        raise TypeError
    assert [one[:2] for one in heard()] == 2 * [("warning", "not sent: 100 %")]
    assert records()[0].fields == {"user": "ada"}


def test_functions_are_caught_of_every_kind():
    @log.catch
    def plain(number, *, by=1):
        """Divides."""
        return number / by

    @log.catch(reraise=False)
    async def coroutine(number):
        await asyncio.sleep(0)
        return 1 / number

    @log.catch(reraise=False)
    def items():
        yield 1
        fail()

    @log.catch(reraise=False)
    async def later():
        yield 1
        fail()

    class Shop:
        @log.catch(reraise=False)
        def send(self):
            fail()

        @staticmethod
        @log.catch(reraise=False)
        def close():
            fail()

    async def all_of(items):
        return [item async for item in items]

    assert (plain(6, by=2), plain.__name__, plain.__doc__) == (3, "plain", "Divides.")
    assert asyncio.iscoroutinefunction(coroutine)
    assert asyncio.run(coroutine(2)) == 0.5
    with pytest.raises(ZeroDivisionError):
        plain(1, by=0)
    assert asyncio.run(coroutine(0)) is None
    assert (list(items()), asyncio.run(all_of(later()))) == ([1], [1])
    assert (Shop().send(), Shop.close()) == (None, None)
    here = "test_functions_are_caught_of_every_kind"
    named = [name.removeprefix(f"{here}.<locals>.") for _, name, _ in heard()]
    assert named == [
        "plain raised ZeroDivisionError",
        "coroutine raised ZeroDivisionError",
        "items raised ValueError",
        "later raised ValueError",
        "Shop.send raised ValueError",
        "Shop.close raised ValueError",
    ]
    # The place is that of who called, and what is in between is not shown.
    assert [function for _, _, function in heard()][::2] == [here, here, here]
    for record in records():
        first = record.exception.splitlines()[1]
        assert "_driving.py" not in record.exception
        assert "_catching.py" not in record.exception
        assert __file__ in first


def test_what_a_task_says_by_an_exception_is_none_that_is_caught():
    for steering in (Retry(after=1), Snooze("5m"), Cancel("why")):
        with pytest.raises(type(steering)), log.catch(reraise=False):
            raise steering
    for ending in (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        with pytest.raises(ending), log.catch(reraise=False):
            raise ending
    assert heard() == []
    with log.catch(Cancel, reraise=False):
        raise Cancel("why")
    with log.catch(KeyboardInterrupt, reraise=False):
        raise KeyboardInterrupt
    assert [message for _, message, _ in heard()] == ["a block raised Cancel", "a block raised KeyboardInterrupt"]


def test_a_coroutine_that_is_cancelled_ends_so():
    @log.catch(reraise=False)
    async def sleeps():
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(sleeps())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(main())
    assert heard() == []


def test_what_is_not_heard_is_caught_all_the_same():
    configure(level="off", handlers=[{"kind": "memory"}])
    with log.catch(reraise=False):
        fail()
    with pytest.raises(ValueError, match="no"), log.catch(level="debug"):
        fail()
    assert heard() == []


def test_secrets_are_hidden_in_what_is_caught():
    with log.catch(message="login with password=swordfish", reraise=False):
        fail("token=swordfish")
    (record,) = records()
    assert record.message == "login with password=***"
    assert record.exception.endswith("ValueError: token=***")


def test_wrong_options_are_named():
    for given, options, word in (
        ((), {"level": "loud"}, '"loud" is no level'),
        ((), {"message": 7}, "option `message`"),
        ((), {"reraise": 1}, "option `reraise`"),
        ((ValueError, "x"), {}, "option `exceptions`"),
        ((int,), {}, "option `exceptions`"),
    ):
        with pytest.raises(OptionError, match=word):
            log.catch(*given, **options)
    with pytest.raises(lineshaft.DeclarationError):
        log.catch("no function")
    with pytest.raises(lineshaft.DeclarationError, match="hide the class"):
        log.catch(ValueError)(Retry)
