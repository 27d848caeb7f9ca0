"""Finds the app that a TARGET names: `module`, `module:attr`, `path.py` or `path.py:attr`.

Used by workers and by the command line; imports happen under the import guard.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from ._errors import LineshaftError
from ._guard import importing
from ._names import module_of_path

if TYPE_CHECKING:
    from types import ModuleType

    from ._app import App

__all__ = ["TargetError", "load_target", "report_of"]

_FORMS = "a TARGET is module, module:attr, path.py or path.py:attr"


_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class TargetError(LineshaftError, ImportError):
    """A TARGET that names no app."""


def load_target(target: str) -> App:
    """Imports what `target` names and returns its app.

    The import root goes first on `sys.path`: the current directory for a module, the directory above the outermost
    package for a path. An exception raised by the module itself passes through with its traceback.
    """
    place, _, attribute = target.partition(":")
    if not place:
        raise TargetError(f"target {target!r} names no module", hint=_FORMS)
    module = _import_path(place) if _is_path(place) else _import_module(place)
    return _named_app(module, attribute, target) if attribute else _only_app(module, target)


def report_of(error: BaseException) -> str:
    """Why `load_target` failed: the traceback without the frames that lead from here to the app."""
    if isinstance(error, TargetError):
        return str(error)
    import traceback

    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None and _leads_to_app(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def _leads_to_app(file: str) -> bool:
    return file.startswith((_PACKAGE, "<frozen importlib", "<string>")) or f"{os.sep}importlib{os.sep}" in file


def _is_path(place: str) -> bool:
    return place.endswith(".py") or os.sep in place


def _import_path(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise TargetError(f"there is no file {os.path.abspath(path)}", hint=_FORMS)
    root, name = module_of_path(path)
    module = _import(root, name) if path.endswith(".py") else _import_program(root, name, path)
    found = getattr(module, "__file__", None)
    if found is None or not os.path.samefile(found, path):
        raise TargetError(
            f"{os.path.abspath(path)} would be module {name!r}, but that is {found or 'a builtin module'}",
            hint="rename the file",
        )
    return module


def _import_program(root: str, name: str, path: str) -> ModuleType:
    """A program whose file does not end in `.py`, as scripts on the PATH are called; the import system skips them."""
    from importlib.machinery import SourceFileLoader
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(name, path, loader=SourceFileLoader(name, path))
    if spec is None or spec.loader is None or name in sys.modules:
        return _import(root, name)
    module = sys.modules[name] = module_from_spec(spec)
    _first_on_path(root)
    with importing():
        spec.loader.exec_module(module)
    return module


def _import_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise TargetError(f"{name!r} is not the name of a module", hint=_FORMS)
    try:
        return _import(os.getcwd(), name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise
        raise TargetError(f"there is no module {error.name!r} in {os.getcwd()} or on sys.path", hint=_FORMS) from None


def _import(root: str, name: str) -> ModuleType:
    _first_on_path(root)
    with importing():
        return importlib.import_module(name)


def _first_on_path(root: str) -> None:
    if sys.path[:1] != [root]:
        sys.path.insert(0, root)


def _named_app(module: ModuleType, attribute: str, target: str) -> App:
    thing: Any = module
    for part in attribute.split("."):
        try:
            thing = getattr(thing, part)
        except AttributeError:
            message = f"target {target!r}: {thing!r} has no attribute {part!r}"
            raise TargetError(message, hint=_apps_hint(module)) from None
    if not _is_app(thing):
        raise TargetError(f"target {target!r} is a {type(thing).__name__}, not an App", hint=_apps_hint(module))
    app: App = thing
    return app


def _only_app(module: ModuleType, target: str) -> App:
    apps = _apps(module)
    distinct = {id(app): app for app in apps.values()}
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    if not distinct:
        raise TargetError(f"module {module.__name__} has no App", hint="`app = App()` at its top level makes one")
    raise TargetError(f"module {module.__name__} has more than one App", hint=f"say which: {_choices(target, apps)}")


def _apps(module: ModuleType) -> dict[str, App]:
    return {name: thing for name, thing in vars(module).items() if _is_app(thing)}


def _is_app(thing: Any) -> bool:
    from ._app import App

    return isinstance(thing, App)


def _apps_hint(module: ModuleType) -> str:
    apps = _apps(module)
    return f"its apps: {', '.join(apps)}" if apps else "it has no App at its top level"


def _choices(target: str, apps: dict[str, App]) -> str:
    return " or ".join(f"{target}:{name}" for name in apps)
