"""Found by every interpreter that the judge starts: modules of the suite that import `multiprocessing` and
`concurrent.futures` get ours, and everybody else the standard library's.

Only what stands where a program's own code would is given something else: so the standard library goes on by itself,
and ours stands on it as it does in a program.
"""

from __future__ import annotations

import builtins
import functools
from types import ModuleType, SimpleNamespace
from typing import Any

_JUDGED = (
    "test._test_multiprocessing",
    "test.test_multiprocessing_",
    "test.test_concurrent_futures",
    "test.mp_",
    "imported_by_an_",
)
_SUBMODULES = ("dummy", "pool")
_PROGRAMS = {"__main__", "__mp_main__"}


class _Instead(ModuleType):
    """A module with some names of ours, and all others of the standard library."""

    def __init__(self, standard: ModuleType, ours: dict[str, Any]) -> None:
        super().__init__(standard.__name__, standard.__doc__)
        self.__dict__.update(ours, __path__=getattr(standard, "__path__", []), __all__=standard.__all__)
        self._standard = standard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._standard, name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._standard), *self.__all__})


@functools.cache
def _multiprocessing() -> ModuleType:
    import multiprocessing

    import judged  # noqa: F401

    from lineshaft import multiprocessing as ours

    return _Instead(multiprocessing, {**_public(ours), **{name: _submodule(name) for name in _SUBMODULES}})


@functools.cache
def _submodule(name: str) -> ModuleType:
    from importlib import import_module

    standard, ours = import_module(f"multiprocessing.{name}"), import_module(f"lineshaft.multiprocessing.{name}")
    return _Instead(standard, _public(ours))


def _public(module: ModuleType) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__all__}


@functools.cache
def _futures() -> ModuleType:
    import concurrent.futures

    import judged

    return _Instead(concurrent.futures, _public(judged))


_import = builtins.__import__


def _import_instead(
    name: str,
    globals: dict[str, Any] | None = None,  # noqa: A002
    locals: Any = None,  # noqa: A002
    fromlist: Any = (),
    level: int = 0,
) -> Any:
    module = _import(name, globals, locals, fromlist, level)
    importer = str((globals or {}).get("__name__"))
    if level or not (importer in _PROGRAMS or importer.startswith(_JUDGED)):
        return module
    if name == "multiprocessing" or (name.startswith("multiprocessing.") and not fromlist):
        return _multiprocessing()
    package, _, submodule = name.rpartition(".")
    if package == "multiprocessing" and submodule in _SUBMODULES:
        return _submodule(submodule)
    if name == "concurrent.futures" and fromlist:
        return _futures()
    if name in ("concurrent", "concurrent.futures"):
        return SimpleNamespace(futures=_futures())
    if name == "test.support.script_helper" or (name == "test.support" and "script_helper" in (fromlist or ())):
        _keep_environment()
    return module


def _keep_environment() -> None:
    """Scripts that tests start would be isolated, and so not find this file."""
    from test.support import script_helper

    script_helper.__dict__["__cached_interp_requires_environment"] = True


builtins.__import__ = _import_instead
