"""The pytest plugin: an engine of its own for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ._engine import private_engine, route_output

if TYPE_CHECKING:
    from collections.abc import Generator

MARK = 'lineshaft(home="memory"): the home of apps without one of their own; "tmp" is on disk, with a server process'


def pytest_configure(config: pytest.Config) -> None:
    """Names the marker."""
    config.addinivalue_line("markers", MARK)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses a wrong marker before the first test, rather than in the middle of a run."""
    for item in items:
        _home_of(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """From the first fixture of a test to its last."""
    with private_engine(_home_of(item)):
        return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Each phase of a test has streams of its own."""
    route_output()
    return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """The same."""
    route_output()
    return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """The same."""
    route_output()
    return (yield)


def _home_of(item: pytest.Item) -> Any:
    mark = item.get_closest_marker("lineshaft")
    if mark is None:
        return "memory"
    home = mark.kwargs.get("home", "memory")
    if mark.args or set(mark.kwargs) - {"home"} or home not in ("memory", "tmp"):
        raise pytest.UsageError(f'{item.nodeid}: @pytest.mark.lineshaft takes home="memory" or home="tmp"')
    return home
