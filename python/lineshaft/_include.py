"""What an app includes: other modules with tasks, imported when they are first needed."""

from __future__ import annotations

import sys
import weakref
from _thread import RLock
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from ._errors import DeclarationError
from ._names import Place
from ._target import TargetError, check_target, groups_of, load_groups, module_name

if TYPE_CHECKING:
    from ._app import App
    from ._group import Tasks

__all__ = ["Includes", "include_imported"]

_waiting: weakref.WeakSet[Includes] = weakref.WeakSet()
"""Those that have something left to import."""


class _Pending(NamedTuple):
    """A TARGET that is not imported yet, and where it was included."""

    target: str
    place: Place


class Includes:
    """The included modules of one app."""

    def __init__(self, app: App) -> None:
        self._app = weakref.ref(app)
        self._pending: list[_Pending] = []
        # One thread imports while the others wait; the module that is being imported may ask again.
        self._lock = RLock()

    @property
    def targets(self) -> list[str]:
        """What is not imported yet."""
        return [pending.target for pending in self._pending]

    def add(self, what: object, place: Place) -> None:
        """Includes a TARGET, when it is needed; a `Tasks`, or those of a module, at once."""
        from ._group import Tasks

        if isinstance(what, str):
            check_target(what)
            self._pending.append(_Pending(what, place))
            _waiting.add(self)
            self.load_imported()
        elif isinstance(what, Tasks):
            self._join([what])
        elif isinstance(what, ModuleType):
            self._join(groups_of(what, self._app()))
        else:
            raise DeclarationError(
                f"app.include() does not take {type(what).__name__} {what!r}",
                hint="it takes a TARGET such as 'shop.mail.tasks', a module or a Tasks",
            )

    def load(self) -> None:
        """Imports all that is left."""
        if self._pending:
            with self._lock:
                while self._pending:
                    self._load(self._pending[0])

    def load_imported(self) -> None:
        """Takes over what this process has imported for another reason."""
        with self._lock:
            for pending in list(self._pending):
                module = sys.modules.get(module_name(pending.target))
                spec = getattr(module, "__spec__", None)
                if module is not None and not getattr(spec, "_initializing", False):
                    self._load(pending)

    def _load(self, pending: _Pending) -> None:
        self._pending.remove(pending)
        try:
            self._join(load_groups(pending.target, self._app()))
        except TargetError as error:
            self._pending.insert(0, pending)
            message = f"app.include({pending.target!r}) at {pending.place}: {error.args[0]}"
            raise TargetError(message, hint=error.hint) from None
        except BaseException:
            self._pending.insert(0, pending)
            raise
        if not self._pending:
            _waiting.discard(self)

    def _join(self, groups: list[Tasks]) -> None:
        app = self._app()
        if app is not None:
            for group in groups:
                group._join(app)


def include_imported() -> None:
    """Lets every app take over what it includes and this process has imported."""
    for includes in list(_waiting):
        includes.load_imported()
