"""Every kind of parameter keeps its name, its type and its default through the verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from typing_extensions import assert_type

from lineshaft import App, Job, Task

app = App("home")


class Order(NamedTuple):
    item: str
    number: int


@app.task
def many(*args: int, **options: str) -> int:
    return sum(args)


@app.task
def mixed(first: int, /, second: str = "", *rest: float, flag: bool, **more: bytes) -> None: ...


@app.task
def only_keywords(*, name: str, size: int = 0) -> str:
    return name * size


@app.task
def nothing() -> None: ...


@app.task
def optional(order: Order | None = None) -> Order | None:
    return order


@app.task
def takes_floats(numbers: Iterable[float]) -> float:
    return sum(numbers)


@app.task
def takes_anything(value: Any) -> str:
    return str(value)


def calls() -> None:
    assert_type(many.enqueue(), Job[int])
    assert_type(many.enqueue(1, 2, x="y"), Job[int])
    mixed.enqueue(1, flag=True)
    mixed.enqueue(1, "x", 1.5, 2, flag=False, other=b"")
    mixed.using(queue="q").enqueue(1, second="x", flag=True)
    assert_type(only_keywords.enqueue(name="x"), Job[str])
    assert_type(nothing.enqueue().result(), None)
    assert_type(optional.enqueue().result(), Order | None)
    assert_type(takes_anything.enqueue(object()), Job[str])


def maps(orders: list[Order], lists: list[list[int]]) -> None:
    assert_type(optional.map(orders), list[Job[Order | None]])
    assert_type(optional.map([None]), list[Job[Order | None]])
    assert_type(takes_floats.map(lists), list[Job[float]])
    assert_type(many.map([1, 2]), list[Job[int]])
    assert_type(takes_anything.map([1, "x"]), list[Job[str]])


def a_task_is_a_function(numbers: list[int]) -> None:
    function: Callable[..., int] = many
    assert_type(function(), int)
    assert_type(list(map(takes_anything, numbers)), list[str])
    assert_type(sorted(numbers, key=many), list[int])


def tasks_as_arguments() -> None:
    def start(task: Task[[Any], str]) -> Job[str]:
        return task.enqueue(1)

    def start_any(task: Task[..., Any]) -> str:
        return task.enqueue(1).id

    def show(job: Job[object]) -> object:
        return job.result()

    def follow(task: Task[[int], object]) -> object:
        return show(task.enqueue(1))

    start(takes_anything)
    start_any(many)
    start_any(only_keywords)
    show(many.enqueue())
    follow(many)
    follow(takes_anything)
