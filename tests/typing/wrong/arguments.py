"""Arguments that do not fit are errors at every verb, in the words for an ordinary call."""

from __future__ import annotations

from lineshaft import App, current

app = App("home")


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task
def send(to: str, *, tenant: str) -> None: ...


@app.task
def many(*numbers: int, **options: str) -> None: ...


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


def cleanups() -> None:
    current.cleanup(add, "x")  # error: mypy[arg-type] pyright[reportArgumentType]
    current.cleanup(send, "a@b")  # error: mypy[call-arg] pyright[reportCallIssue]


def calls() -> None:
    add("x")  # error: mypy[arg-type] pyright[reportArgumentType]
    add()  # error: mypy[call-arg] pyright[reportCallIssue]
    add(1, 2, 3)  # error: mypy[call-arg] pyright[reportCallIssue]
    add(1, c=3)  # error: mypy[call-arg] pyright[reportCallIssue]
    add(1, a=1)  # error: mypy[misc] pyright[reportCallIssue]
    send("a", "b")  # error: mypy[call-arg] pyright[reportCallIssue]
    send("a")  # error: mypy[call-arg] pyright[reportCallIssue]
    many("x")  # error: mypy[arg-type] pyright[reportArgumentType]
    many(1, x=2)  # error: mypy[arg-type] pyright[reportArgumentType]
    fetch(1)  # error: mypy[arg-type, unused-coroutine] pyright[reportArgumentType, reportUnusedCoroutine]


def enqueue() -> None:
    add.enqueue("x")  # error: mypy[arg-type] pyright[reportArgumentType]
    add.enqueue(1, "x")  # error: mypy[arg-type] pyright[reportArgumentType]
    add.enqueue(None)  # error: mypy[arg-type] pyright[reportArgumentType]
    add.enqueue()  # error: mypy[call-arg] pyright[reportCallIssue]
    add.enqueue(1, 2, 3)  # error: mypy[call-arg] pyright[reportCallIssue]
    add.enqueue(1, c=3)  # error: mypy[call-arg] pyright[reportCallIssue]
    add.enqueue(1, queue="x")  # error: mypy[call-arg] pyright[reportCallIssue]
    send.enqueue("a", "b")  # error: mypy[call-arg] pyright[reportCallIssue]
    send.enqueue("a")  # error: mypy[call-arg] pyright[reportCallIssue]
    send.enqueue("a", tenant=None)  # error: mypy[arg-type] pyright[reportArgumentType]
    many.enqueue("x")  # error: mypy[arg-type] pyright[reportArgumentType]
    many.enqueue(1, x=2)  # error: mypy[arg-type] pyright[reportArgumentType]
    fetch.enqueue(1)  # error: mypy[arg-type] pyright[reportArgumentType]
    fetch.enqueue()  # error: mypy[call-arg] pyright[reportCallIssue]


def other_verbs() -> None:
    add.delay("x")  # error: mypy[arg-type] pyright[reportArgumentType]
    add.delay()  # error: mypy[call-arg] pyright[reportCallIssue]
    add.si("x")  # error: mypy[arg-type] pyright[reportArgumentType]
    add.si()  # error: mypy[call-arg] pyright[reportCallIssue]
    send.si("a")  # error: mypy[call-arg] pyright[reportCallIssue]
    fetch.si(1)  # error: mypy[arg-type] pyright[reportArgumentType]
    add.using(priority=1).enqueue("x")  # error: mypy[arg-type] pyright[reportArgumentType]
    add.using(priority=1).enqueue()  # error: mypy[call-arg] pyright[reportCallIssue]
    add.using(priority=1).si(1, 2, 3)  # error: mypy[call-arg] pyright[reportCallIssue]
    send.using(queue="q").delay("a")  # error: mypy[call-arg] pyright[reportCallIssue]


async def async_verbs() -> None:
    await add.aenqueue("x")  # error: mypy[arg-type] pyright[reportArgumentType]
    await add.aenqueue()  # error: mypy[call-arg] pyright[reportCallIssue]
    await send.using(queue="q").aenqueue("a")  # error: mypy[call-arg] pyright[reportCallIssue]
    await fetch.aenqueue(1)  # error: mypy[arg-type] pyright[reportArgumentType]
    await fetch(1)  # error: mypy[arg-type] pyright[reportArgumentType]


def maps() -> None:
    add.map(["x"])  # error: mypy[list-item] pyright[reportArgumentType]
    add.map([None])  # error: mypy[list-item] pyright[reportArgumentType]
    add.map(5)  # error: mypy[arg-type] pyright[reportArgumentType]
    add.map()  # error: mypy[call-arg] pyright[reportCallIssue]
    add.using(queue="q").map(["x"])  # error: mypy[list-item] pyright[reportArgumentType]
    fetch.map([1])  # error: mypy[list-item] pyright[reportArgumentType]
    send.map(["a"])  # error: mypy[arg-type, misc] pyright[reportAttributeAccessIssue]


async def async_maps() -> None:
    await add.amap(["x"])  # error: mypy[list-item] pyright[reportArgumentType]
    await fetch.amap([1])  # error: mypy[list-item] pyright[reportArgumentType]


def many_calls() -> None:
    add.enqueue_many([1, 2])  # error: mypy[list-item] pyright[reportArgumentType]
    add.enqueue_many([fetch.si("u")])  # error: mypy[list-item] pyright[reportArgumentType]
    app.enqueue_many([add])  # error: mypy[arg-type] pyright[reportArgumentType]
    app.enqueue_many(add.si(1))  # error: mypy[arg-type] pyright[reportArgumentType]
    app.enqueue_many([add.enqueue(1)])  # error: mypy[arg-type] pyright[reportArgumentType]
