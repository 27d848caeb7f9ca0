"""Finds what a TARGET names: `module`, `module:attr`, `module:make()`, or `path.py` in the place of the module.

`load_target` finds the app for workers and for the command line, under the import guard; `load_group` finds the tasks
that an app includes.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ._errors import LineshaftError
from ._guard import importing
from ._names import module_of_path

if TYPE_CHECKING:
    from types import ModuleType

    from ._app import App
    from ._group import Tasks

__all__ = ["TargetError", "check_target", "load_groups", "load_target", "report_of"]

_FORMS = "a TARGET is module, module:attr, module:make(), path.py, path.py:attr or path.py:make()"


_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class TargetError(LineshaftError, ImportError):
    """A TARGET that does not name what it should."""


def load_target(target: str) -> App:
    """Imports what `target` names and returns its app.

    The import root goes first on `sys.path`: the current directory for a module, the directory above the outermost
    package for a path. An exception raised by the module or the factory itself passes through with its traceback.
    """
    from ._app import App

    check_target(target)
    with importing():
        module, thing = _find(target)
    if thing is module:
        return _only_app(module, target)
    if isinstance(thing, App):
        return thing
    hint = _apps_hint(module, thing, target)
    raise TargetError(f"target {target!r} {_is_what(thing, target)}, not an App", hint=hint)


def load_groups(target: str, app: App | None) -> list[Tasks]:
    """Imports what `target` names and returns it, if it is a `Tasks`, or all of them that the module has."""
    from ._group import Tasks

    module, thing = _find(target)
    if thing is module:
        return groups_of(module, app)
    if isinstance(thing, Tasks):
        return [thing]
    names = [name for name, member in vars(module).items() if isinstance(member, Tasks)]
    hint = f"its Tasks: {', '.join(names)}" if names else "it has no Tasks at its top level"
    raise TargetError(f"target {target!r} {_is_what(thing, target)}, not a Tasks", hint=hint)


def groups_of(module: ModuleType, app: App | None) -> list[Tasks]:
    """Every `Tasks` at the top level of `module`, in the order of writing; none need be if it has tasks of `app`."""
    from ._group import Tasks
    from ._task import BaseTask

    found = {id(member): member for member in vars(module).values() if isinstance(member, Tasks)}
    if not found and not any(
        isinstance(one, BaseTask) and vars(one).get("app") is app for one in vars(module).values()
    ):
        hint = "`tasks = lineshaft.Tasks()` at its top level makes one"
        raise TargetError(f"module {module.__name__} has no Tasks", hint=hint)
    return list(found.values())


def check_target(target: str) -> None:
    """Raises `TargetError` if `target` has no form of a TARGET; imports nothing."""
    place, colon, attribute = target.partition(":")
    if not place:
        raise TargetError(f"target {target!r} names no module", hint=_FORMS)
    if not _is_path(place) and not all(part.isidentifier() for part in place.split(".")):
        raise TargetError(f"{place!r} is not the name of a module", hint=_FORMS)
    if "(" in attribute and not attribute.endswith("()"):
        raise TargetError(f"target {target!r} passes arguments", hint="a factory is called without any: module:make()")
    if colon and not all(part.isidentifier() for part in attribute.removesuffix("()").split(".")):
        raise TargetError(f"target {target!r}: {attribute!r} is not the name of an attribute", hint=_FORMS)


def module_name(target: str) -> str:
    """The name of the module that `target` imports."""
    place = target.partition(":")[0]
    return module_of_path(place)[1] if _is_path(place) else place


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


def _find(target: str) -> tuple[ModuleType, Any]:
    """The module that `target` imports, and what it names there: the module itself without an attribute."""
    place, _, attribute = target.partition(":")
    module = _import_path(place) if _is_path(place) else _import_module(place)
    return module, _attribute(module, attribute, target) if attribute else module


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
    spec.loader.exec_module(module)
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return _import(os.getcwd(), name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise
        raise TargetError(f"there is no module {error.name!r} in {os.getcwd()} or on sys.path", hint=_FORMS) from None


def _import(root: str, name: str) -> ModuleType:
    _first_on_path(root)
    return importlib.import_module(name)


def _first_on_path(root: str) -> None:
    if sys.path[:1] != [root]:
        sys.path.insert(0, root)


def _attribute(module: ModuleType, attribute: str, target: str) -> Any:
    thing: Any = module
    for part in attribute.removesuffix("()").split("."):
        try:
            thing = getattr(thing, part)
        except AttributeError:
            message = f"target {target!r}: {thing!r} has no attribute {part!r}"
            raise TargetError(message, hint=_apps_hint(module)) from None
    return _made(thing, target) if attribute.endswith("()") else thing


def _made(factory: Any, target: str) -> Any:
    """What a factory gives."""
    import inspect

    if not callable(factory):
        raise TargetError(f"target {target!r} calls {type(factory).__name__} {factory!r}", hint="leave out the ()")
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        message = f"target {target!r}: {error}"
        raise TargetError(message, hint="a factory is called without arguments; give its parameters defaults") from None
    except ValueError:
        pass  # a builtin that does not tell its signature: the call says what is wrong
    return factory()


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


def _is_what(thing: Any, target: str) -> str:
    return f"{'gives' if target.endswith('()') else 'is'} a {type(thing).__name__}"


def _apps_hint(module: ModuleType, thing: Any = None, target: str = "") -> str:
    apps = _apps(module)
    if isinstance(thing, FunctionType) and not target.endswith("()"):
        return f"{target}() is what it returns"
    return f"its apps: {', '.join(apps)}" if apps else "it has no App at its top level"


def _choices(target: str, apps: dict[str, App]) -> str:
    return " or ".join(f"{target}:{name}" for name in apps)
