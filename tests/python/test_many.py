"""Many calls at once: what is refused, and what has become of the calls before when something goes wrong."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterator

import pytest

from lineshaft import App, Call, SerializationError, Task
from lineshaft.testing import enqueued, private_engine

app = App()


@app.task(name="mail.send")
def send(number: int) -> int:
    return number


@app.task(name="shop.pay")
def pay(number: int) -> int:
    return number


@app.task(name="keep")
def keep(value: object) -> None: ...


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


def test_a_task_refuses_calls_of_another_and_names_both():
    """They were accepted, and typed as jobs of the wrong task."""
    calls = [send.si(1), pay.using(priority=1).si(2)]
    message = (
        "mail.send.enqueue_many() takes calls of mail.send, calls[1] is shop.pay.si(2); "
        "app.enqueue_many() takes calls of any task"
    )
    with private_engine():
        for refused in (lambda: send.enqueue_many(calls), lambda: asyncio.run(send.aenqueue_many(calls))):
            with pytest.raises(TypeError) as caught:
                refused()
            assert str(caught.value) == message
            assert notes(caught.value) == ["no job was made"]
        assert enqueued() == []
        assert [job.task for job in app.enqueue_many(calls)] == ["mail.send", "shop.pay"]
        assert [job.task for job in send.enqueue_many([send.si(1), send.using(priority=1).si(2)])] == ["mail.send"] * 2


def raising(task: Task[[int], int], after: int) -> Iterator[Call[int]]:
    for number in range(after):
        yield task.si(number)
    raise OSError("the file ends here")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("after", "stands"),
    [
        (0, "no job was made"),
        (999, "no job was made"),
        (1_000, "jobs were made of calls[0:1000], and stay; of the rest none was"),
        (3_500, "jobs were made of calls[0:3000], and stay; of the rest none was"),
    ],
)
def test_calls_that_break_off_say_what_was_made(after, stands, is_async):
    """Nobody said whether there were jobs of the calls before."""
    calls = raising(send, after)
    with private_engine():
        with pytest.raises(OSError, match="the file ends here") as caught:
            asyncio.run(app.aenqueue_many(calls)) if is_async else send.enqueue_many(calls)
        assert notes(caught.value) == [stands]
        assert [made.args for made in enqueued()] == [(number,) for number in range(after // 1_000 * 1_000)]


def test_what_cannot_be_sent_is_found_by_the_number_of_its_call_and_the_name_of_its_task():
    """The message began with `args[0]`, of whichever task and call."""
    calls = [keep.si(number) for number in range(1_200)]
    calls[1_100] = keep.si(threading.Lock())
    with private_engine():
        with pytest.raises(SerializationError) as caught:
            keep.enqueue_many(calls)
        assert str(caught.value).startswith("calls[1100]: keep: args[0]: lock is not a value\n  hint: ")
        assert notes(caught.value) == ["jobs were made of calls[0:1000], and stay; of the rest none was"]
        with pytest.raises(SerializationError) as caught:
            asyncio.run(keep.amap([1, 2, threading.Lock()]))
        assert str(caught.value).startswith("calls[2]: keep: args[0]: lock is not a value\n  hint: ")
        for verb in (keep.enqueue, lambda value: asyncio.run(keep.aenqueue(value))):
            with pytest.raises(SerializationError) as caught:
                verb({"items": [functools.partial]})
            message = "keep: args[0]['items'][0]: type is not a value\n  hint: "
            assert str(caught.value).startswith(message)
