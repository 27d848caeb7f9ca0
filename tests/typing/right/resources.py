"""Resources, tasks without an app, hooks: what a parameter gets is known, and is no argument of a call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any

from typing_extensions import assert_type

from lineshaft import App, AsyncResourcePool, Call, Hooks, Job, Resource, ResourcePool, Tasks


class Pool:
    size: int = 1


class Connection:
    def __enter__(self) -> Pool:
        return Pool()

    def __exit__(self, *_: object) -> None: ...


class Audit(Hooks):
    def before_enqueue(self, call: Call[Any], /) -> Call[Any] | None:
        return call.using(tags=["x"], priority="high")

    def after_enqueue(self, job: Job[Any], /) -> None:
        print(job.id)

    def on_failure(self, call: Call[Any], error: BaseException, /) -> None: ...

    def after_attempt(self, call: Call[Any], outcome: str, /) -> None: ...


app = App("home", hooks=[Audit()])
tasks = Tasks(queue="mail", retries=3, validate=True)
app.include("shop.mail.tasks", tasks)


@app.resource
def generator() -> Iterator[Pool]:
    yield Pool()


@app.resource(scope="attempt")
def full_generator() -> Generator[Pool, None, None]:
    yield Pool()


@app.resource
async def async_generator() -> AsyncIterator[Pool]:
    yield Pool()


@app.resource(scope="worker", name="plain")
def value() -> Pool:
    return Pool()


@app.resource
async def coroutine() -> Pool:
    return Pool()


@app.resource
def manager() -> AbstractContextManager[Pool]:
    return nullcontext(Pool())


@app.resource
def connection() -> Connection:
    return Connection()


@app.resource
@contextmanager
def decorated() -> Iterator[Pool]:
    yield Pool()


@tasks.resource
@asynccontextmanager
async def async_decorated(*, inner: Pool = tasks.use(generator)) -> AsyncIterator[Pool]:
    yield inner


for resource in (generator, full_generator, async_generator, value, coroutine, manager, decorated, async_decorated):
    assert_type(resource, Resource[Pool])
assert_type(connection, Resource[Pool])
assert_type(app.use(value), Pool)


@app.task
def count(n: int, *, pool: Pool = app.use(generator)) -> int:
    return n * pool.size


@tasks.task(priority="low")
async def send(to: str, *, pool: Pool = tasks.use("generator")) -> str:
    return to


assert_type(count.enqueue(1), Job[int])
assert_type(count(1), int)
assert_type(count(1, pool=Pool()), int)
assert_type(send.enqueue("ada"), Job[str])
assert_type(count.si(1).using(metadata="x"), Call[int])

with app.override(generator=Pool()), app.override({generator: Pool()}, home="elsewhere"):
    count(2)


@app.resource
def several() -> ResourcePool[Pool]:
    return ResourcePool(Pool, max=3, idle="1m", broken=(OSError,))


@app.task
def borrows(*, several: ResourcePool[Pool] = app.use(several)) -> int:
    with several.get(timeout=2) as one:
        assert_type(one, Pool)
        several.discard(one)
        return one.size


async def opened() -> Pool:
    return Pool()


async def closed(pool: Pool) -> None: ...


async def aborrows() -> None:
    async with AsyncResourcePool(opened, closed, healthy=lambda pool: pool.size > 0) as several:
        async with several.get() as one:
            assert_type(one, Pool)
        assert_type(several.info().waited_s, float)
