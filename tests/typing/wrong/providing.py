"""Mistakes with resources, tasks without an app, and hooks."""

from __future__ import annotations

from collections.abc import Iterator

from lineshaft import App, Hooks, ResourcePool, Tasks

app = App()


class Pool: ...


@app.resource
def pool() -> Iterator[Pool]:
    yield Pool()


@app.task
def count(n: int, *, db: int = app.use(pool)) -> int:  # error: mypy[assignment] pyright[reportArgumentType]
    return n


app.use(3)  # error: mypy[call-overload] pyright[reportArgumentType, reportCallIssue]
app.resource(scope="thread")  # error: mypy[call-overload] pyright[reportArgumentType]
app.include(3)  # error: mypy[arg-type] pyright[reportArgumentType]
Tasks(name="x")  # error: mypy[call-arg] pyright[reportCallIssue]
App(hooks=[3])  # error: mypy[list-item] pyright[reportArgumentType]


ResourcePool(Pool, str.upper)  # error: mypy[misc] pyright[reportArgumentType]
ResourcePool(Pool, max="3")  # error: mypy[arg-type] pyright[reportArgumentType]
ResourcePool(3)  # error: mypy[arg-type] pyright[reportArgumentType]


class Wrong(Hooks):
    def on_failure(self, call: str) -> None: ...  # error: mypy[override] pyright[reportIncompatibleMethodOverride]
