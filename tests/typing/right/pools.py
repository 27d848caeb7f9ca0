"""Pools of jobs: what comes back is of the type that the task returns."""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import assert_type

from lineshaft import App

app = App("home")


@app.task
def square(x: int) -> int:
    return x * x


@app.task
def greet(name: str, politely: bool = False) -> str:
    return f"dear {name}" if politely else name


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


def numbers() -> Iterator[int]:
    yield 1


def note(values: list[int]) -> None: ...


with app.pool(queue="inner", durable=True, ahead=100) as pool:
    assert_type(pool.apply(square, (2,)), int)
    assert_type(pool.apply(greet, ("Ada",), {"politely": True}), str)
    assert_type(pool.apply_async(fetch, ("a",)).get(timeout=1), bytes)
    assert_type(pool.map(square, [1, 2], chunksize=1), list[int])
    assert_type(pool.map(square.using(priority="high"), numbers(), progress=True), list[int])
    assert_type(pool.map(fetch, ["a"]), list[bytes])
    assert_type(pool.starmap(greet, [("Ada", True)], progress="greeting"), list[str])
    result = pool.map_async(square, numbers(), callback=note, error_callback=print)
    assert_type(result.get(), list[int])
    assert_type(result.ready(), bool)
    assert_type([job.id for job in result.jobs], list[str])
    assert_type(pool.starmap_async(greet, [("Ada", True)]).failures, dict[int, BaseException])
    for number in pool.imap(square, numbers()):
        assert_type(number, int)
    assert_type(next(pool.imap_unordered(fetch, ["a"])), bytes)

pool = app.pool()
pool.close()
pool.terminate()
pool.join()
