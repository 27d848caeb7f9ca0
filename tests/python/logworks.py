"""An app for the tests of what attempts log."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import lineshaft
from lineshaft import App, Job, Pool, Retry, current

app = App("unused")
log = lineshaft.get_logger("shop.mail")


@app.task
def sends(to: str) -> None:
    log.debug("nobody wants to know")
    log.info("sending", to=to, ms=3, password="sesame")
    with lineshaft.logging.context(tenant="acme"):
        log.warning("a slow one\x1b[31m")
    try:
        raise ValueError("no stamp")
    except ValueError:
        log.exception("could not be sent")


@app.task(retries=Retry(max=1, after=lambda *_: 0.01))
def fails_once() -> None:
    log.info("attempt", number=current.attempt)
    if current.attempt == 1:
        raise ValueError


@app.task(delivery="at_most_once")
def logs_and_dies(count: int, number: int = signal.SIGKILL) -> None:
    for index in range(count):
        log.info("line", index=index)
    os.kill(os.getpid(), number)


@app.task
def logs_much(length: int) -> None:
    for index in range(length):
        log.info("x" * 10_000, index=index)


@app.task
def logs_lines(count: int) -> None:
    for index in range(count):
        log.info("line", index=index)


@app.task
def logs_large() -> None:
    log.info("before")
    lineshaft.get_logger("x" * 300_000).info("large", a="y" * 60_000, b="z" * 60_000)
    log.info("after")


@cache
def shared_pool() -> Pool:
    """One of the process, older than the attempts that use it, but for the first."""
    return Pool(1, kind="thread")


@app.task
def logs_in_threads(name: str) -> list[tuple[str, dict]]:
    """What a thread of its own, of a pool of the standard library and of a pool that attempts share know."""

    def known() -> tuple[str, dict]:
        log.info("from a thread")
        return current.job.id, lineshaft.logging.current_context()

    found: list[tuple[str, dict]] = []
    with lineshaft.logging.context(name=name), ThreadPoolExecutor(1) as executor:
        thread = threading.Thread(target=lambda: found.append(known()))
        thread.start()
        thread.join()
        found.append(executor.submit(known).result())
        found.append(shared_pool().apply(known))
    return found


@app.task
def asks_a_pool() -> list[dict]:
    with Pool(1) as pool:
        first = pool.apply(lineshaft.logging.current_context)
        with lineshaft.logging.context(step=2):
            return [first, pool.apply(lineshaft.logging.current_context)]


@app.task
def warns(number: int) -> bool:
    log.warning("a warning", number=number)
    print("printed")
    return True


@app.task
def says(text: str) -> None:
    log.info(text)


@app.task
def logs_with_others(name: str, together: int) -> None:
    _wait_for(together)
    for index in range(20):
        log.info("from a thread", name=name, index=index)


@app.task
async def logs_in_turns(name: str) -> None:
    for index in range(20):
        log.info("from a coroutine", name=name, index=index)
        await asyncio.sleep(0)


@app.task
def logs_from_the_standard_library() -> None:
    with lineshaft.logging.capture():
        logging.getLogger("shop.stdlib").warning("by %s", "another way")


_arrived = 0
_all_here = threading.Condition()


def _wait_for(count: int) -> None:
    global _arrived
    with _all_here:
        _arrived += 1
        _all_here.notify_all()
        assert _all_here.wait_for(lambda: _arrived >= count, 60)


@app.task
def passes_on(depth: int) -> str | None:
    log.info("here", known=sorted(lineshaft.logging.current_context()))
    if depth == 0:
        return None
    with lineshaft.logging.context(depth=depth):
        return passes_on.enqueue(depth - 1).id


@app.task
async def passes_on_in_a_coroutine(number: int) -> None:
    await asyncio.sleep(0.01)
    log.info("here", number=number)


@app.task
def looks_at_it() -> dict[str, object]:
    with lineshaft.logging.context(request="its own"):
        log.info("inside")
    log.info("outside")
    return lineshaft.logging.current_context()


@app.task
def tells(failed: Job[None]) -> None:
    log.info("it gave up", failed=failed.id)


@app.task(on_failure=tells)
def gives_up() -> None:
    raise ValueError("no stamp")
