"""Decorators with options keep the signature; options take every form that the documentation names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from typing_extensions import assert_type

from lineshaft import App, AsyncTask, Call, Cancel, Job, Retry, Snooze, Task, TaskFailed, Unique, current

app = App()


@app.register
@dataclass
class Order:
    item: str

    def note(self, what: str, *, times: int = 1) -> None:
        self.item += what * times


def per_item(order: Order, tenant: str) -> str:
    return order.item + tenant


@app.task(
    name="shop.buy",
    aliases=["buy"],
    queue="shop",
    priority=2,
    retries=Retry(max=5, on=ConnectionError, never=(KeyError, ValueError), first="2s", cap=timedelta(minutes=1)),
    timeout=timedelta(minutes=5),
    unique=Unique(by=("order", "tenant"), while_="queued"),
    delivery="at_least_once",
    result=True,
    tags={"x"},
)
def buy(order: Order, tenant: str = "t") -> Order:
    if current.attempt > 3:
        raise Cancel("too late")
    raise Snooze("5m")


def patience(attempt: int, error: BaseException) -> timedelta:
    return timedelta(seconds=attempt)


@app.task(retries=Retry(max=3, after=patience), expected=(KeyError, OSError))
def lend(order: Order) -> None:
    with current.shield():
        current.progress("half")
        current.checkpoint((order, 7))
    current.cleanup(order.note, "over", times=2)
    place: tuple[Order, int] | None = current.resume_from
    assert place is None or place[1] == 7


@app.task
async def alend(order: Order) -> None:
    await current.acheckpoint(order)


app.task(retries=Retry(3, after=lambda attempt, error: f"{attempt}m"))(lend.function)


@app.task(unique=Unique(by=per_item))
def sell(order: Order, tenant: str) -> Order:
    raise Retry(after=10)


@app.task(unique=Unique(by="number"), timeout=None)
def count(number: int) -> int:
    return number


@app.task
def returns_any(value: int) -> Any:
    return value


@app.task()
def never_returns(code: int) -> NoReturn:
    raise SystemExit(code)


@app.task
async def async_any(value: dict[str, Any]) -> list[Any]:
    return [value]


assert_type(Order("x"), Order)
assert_type(buy(Order("x")), Order)
assert_type(buy.enqueue(Order("x"), tenant="t"), Job[Order])
assert_type(sell.si(Order("x"), "t"), Call[Order])
assert_type(count.map(range(3)), list[Job[int]])
assert_type(async_any.enqueue({}), Job[list[Any]])


@app.task
def tell_owner(job: Job[int]) -> None:
    assert_type(job.result(), int)


@app.task
async def page_somebody(job: Job[Any], urgent: bool = True) -> None: ...


@app.task(on_failure=tell_owner)
def risky(number: int) -> int:
    return number


@app.task(on_failure="shop.tell_owner")
def named(job: Job[int]) -> Job[int]:
    return job


assert_type(risky.using(on_failure=page_somebody).enqueue(3), Job[int])
assert_type(risky.using(on_failure=None).enqueue(3), Job[int])
assert_type(named.enqueue(risky.enqueue(3)), Job[Job[int]])

by_hand: Task[[int], int] = app.task(count.function)
asynchronous: AsyncTask[[dict[str, Any]], list[Any]] = async_any

try:
    buy.enqueue(Order("x")).result()
except TaskFailed as error:
    assert_type(error.is_a(ValueError), bool)
    assert_type(error.types, tuple[str, ...])
    assert_type(error.job, Job[Any] | None)
    assert_type(error.reason, str | None)
