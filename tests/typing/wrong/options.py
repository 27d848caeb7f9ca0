"""Option names and values that do not exist are errors where they are written."""

from __future__ import annotations

from datetime import datetime

from lineshaft import App, Retry, Snooze, Unique

app = App("home")


def body(a: int, b: int = 1) -> int:
    return a + b


def per_attempt(attempt: int) -> float:
    return attempt * 2.0


add = app.task(body)

app.task(retrys=3)  # error: mypy[call-overload] pyright[reportCallIssue]
app.task(retries="3")  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(retries=2.5)  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(timeout=object())  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(priority="urgent")  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(priority=None)  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(name=3)  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(aliases=3)  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(queue=None)  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(unique="all")  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(delivery="once")  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(result="yes")  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(expected="KeyError")  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(expected=int)  # error: mypy[arg-type] pyright[reportArgumentType]
app.task(on_failure=add)  # error: mypy[arg-type] pyright[reportArgumentType]
app.task(on_failure=body)  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(on_failure=3)  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(tags=3)  # error: mypy[call-overload] pyright[reportArgumentType]
app.task(run_after="5m")  # error: mypy[call-overload] pyright[reportCallIssue]
app.task(body, retries=3)  # error: mypy[call-overload] pyright[reportCallIssue]
app.task(3)  # error: mypy[call-overload] pyright[reportArgumentType, reportCallIssue]

add.using(on_failure=add)  # error: mypy[arg-type] pyright[reportArgumentType]
add.using(eta="5m")  # error: mypy[call-arg] pyright[reportCallIssue]
add.using(name="x")  # error: mypy[call-arg] pyright[reportCallIssue]
add.using(aliases=["x"])  # error: mypy[call-arg] pyright[reportCallIssue]
add.using(run_after=object())  # error: mypy[arg-type] pyright[reportArgumentType]
add.using(run_after=[datetime.now()])  # error: mypy[arg-type] pyright[reportArgumentType]
add.using(idempotency_key=7)  # error: mypy[arg-type] pyright[reportArgumentType]
add.using(metadata={"a": 1})  # error: mypy[arg-type] pyright[reportArgumentType]
add.using(priority="urgent")  # error: mypy[arg-type] pyright[reportArgumentType]
add.using("high")  # error: mypy[call-arg] pyright[reportCallIssue]
add.using(retries=Retry(max="3"))  # error: mypy[arg-type] pyright[reportArgumentType]

Unique(by=3)  # error: mypy[arg-type] pyright[reportArgumentType]
Unique(by=["a"])  # error: mypy[arg-type] pyright[reportArgumentType]
Unique(while_="always")  # error: mypy[arg-type] pyright[reportArgumentType]
Unique(by="a", period=[1])  # error: mypy[arg-type] pyright[reportArgumentType]
Retry(on="ValueError")  # error: mypy[arg-type] pyright[reportArgumentType]
Retry(3, on=int)  # error: mypy[arg-type] pyright[reportArgumentType]
Retry(3, first=object())  # error: mypy[arg-type] pyright[reportArgumentType]
Retry(3, after=[1, 2])  # error: mypy[arg-type] pyright[reportArgumentType]
Retry(3, after=per_attempt)  # error: mypy[arg-type] pyright[reportArgumentType]
Snooze()  # error: mypy[call-arg] pyright[reportCallIssue]
Snooze(None)  # error: mypy[arg-type] pyright[reportArgumentType]

App(7)  # error: mypy[arg-type] pyright[reportArgumentType]
App("home", "other")  # error: mypy[arg-type, call-arg] pyright[reportCallIssue]
app.workers("2")  # error: mypy[arg-type] pyright[reportArgumentType]
app.workers(2, queue=["x"])  # error: mypy[call-arg] pyright[reportCallIssue]
app.run_worker(2, grace=object())  # error: mypy[arg-type] pyright[reportArgumentType]
app.register(3)  # error: mypy[arg-type] pyright[reportArgumentType]
