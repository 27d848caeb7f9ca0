# checked by: pyright
"""Type variables of a task survive, and tasks without a known result are sync ones: mypy cannot express either."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from typing_extensions import assert_type

from lineshaft import App, Job, Task

T = TypeVar("T")

app = App("home")


@app.task
def first(items: list[T]) -> T:
    return items[0]


@app.task
async def last(items: list[T], default: T | None = None) -> T | None:
    return items[-1] if items else default


@app.task
def returns_any(value: int) -> Any:
    return value


@app.task(retries=1)
def never_returns(code: int) -> NoReturn:
    raise SystemExit(code)


assert_type(first.enqueue([1]), Job[int])
assert_type(first.using(queue="q").enqueue(["x"]), Job[str])
assert_type(first([b""]), bytes)
assert_type(last.enqueue([1]), Job[int | None])
any_task: Task[[int], Any] = returns_any
assert_type(returns_any.enqueue(1), Job[Any])
text: str = returns_any(1)
sync_task: Task[[int], Any] = never_returns
