"""`app.limiter()`: how often programs of a home pass, together."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lineshaft import App, OptionError, RateLimited


@pytest.fixture
def app():
    return App()


def test_so_many_pass_at_once_and_the_next_is_told_when(app):
    limiter = app.limiter("api", "3/h", wait=False)
    for _ in range(3):
        with limiter as same:
            assert same is limiter
    with pytest.raises(RateLimited) as caught:
        limiter.acquire()
    assert str(caught.value) == "limiter 'api' is passed more often than 3/h: free in 1200 s"
    assert 1_190 < caught.value.retry_after <= 1_200
    with pytest.raises(RateLimited):
        app.limiter("api", "3/h", wait="1m").acquire()
    app.limiter("another", "3/h", wait=False).acquire()
    assert repr(limiter) == "<limiter 'api' of 3/h>"


def test_who_waits_passes_in_turn_from_threads_and_coroutines(app):
    limiter = app.limiter("api", "50/s", burst=1)
    began = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: limiter.acquire(), range(10)))

    async def main() -> None:
        async def take() -> None:
            async with limiter:
                pass

        await asyncio.gather(*(take() for _ in range(10)))

    asyncio.run(main())
    assert time.monotonic() - began > 19 * 0.02 * 0.9, "twenty turns are nineteen times 20 ms apart"


def test_processes_share_it_and_it_outlives_the_server(programs):
    source = """
        from lineshaft import App, RateLimited

        app = App()
        passed = 0
        try:
            while True:
                app.limiter("api", "5/h", wait=False).acquire()
                passed += 1
        except RateLimited:
            print(passed)
    """
    programs.write("calls.py", source)
    assert programs.run("calls.py").stdout == "5\n"
    programs.run("-m", "lineshaft", "stop")
    assert programs.run("calls.py").stdout == "0\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate": "often"}, "option `rate`"),
        ({"rate": "1000/365d", "burst": 2_000}, "option `rate`"),
        ({"rate": "1/m", "burst": 0}, "option `burst`"),
        ({"rate": "1/m", "wait": "long"}, "option `wait`"),
        ({"rate": "1/m", "key": ""}, "option `key`"),
    ],
)
def test_options_say_what_they_take(app, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        app.limiter(**{"key": "api", **options})
