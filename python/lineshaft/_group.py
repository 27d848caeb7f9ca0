"""`Tasks`: declares tasks without an app, for modules that an app includes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from ._declare import check_names, is_coroutine_function
from ._errors import DeclarationError, TaskNotFound
from ._failure import check_row
from ._names import MAINS
from ._options import GROUP_OPTIONS, TASK_OPTIONS, checked
from ._resource import Provides, Resources
from ._task import AsyncTask, BaseTask, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from typing_extensions import Unpack

    from ._app import App, _Declares, _Unnamed
    from ._options import GroupOptions, TaskOptions
    from ._resource import Resource

__all__ = ["Tasks"]

P = ParamSpec("P")
R = TypeVar("R")


class Tasks(Provides):
    """Tasks of a module that knows no app: `@tasks.task` declares, `app.include("shop.mail.tasks")` gives them a home.

    `options` are those of `@tasks.task` but for `name` and `aliases`; a task that gives one of them overrides it. When
    one app of this process includes the tasks, `task.enqueue(...)` makes jobs of that app. When several do, the app of
    the running attempt is meant; outside of one, `app.tasks["name"].enqueue(...)` says which.
    """

    def __init__(self, **options: Unpack[GroupOptions]) -> None:
        self._options = checked(options, GROUP_OPTIONS, "Tasks()")
        self._module = str(sys._getframe(1).f_globals.get("__name__", "__main__"))
        self._declared: dict[str, BaseTask[..., Any]] = {}
        self._resources = Resources()
        self._apps: list[App] = []

    def __repr__(self) -> str:
        return f"<Tasks of {self._module} with {len(list(self._each()))} tasks>"

    @overload
    def task(self, function: Callable[P, _Unnamed], /) -> Task[P, Any]: ...

    @overload
    def task(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(self, /, **options: Unpack[TaskOptions]) -> _Declares: ...

    def task(self, function: Any = None, /, **options: Any) -> Any:
        """Declares a function as a task, as `@tasks.task` or `@tasks.task(option=...)`; the options of `@app.task`."""
        given = checked(options, TASK_OPTIONS, "@tasks.task")
        return self._declare(function, given) if function is not None else lambda later: self._declare(later, given)

    def _declare(self, function: Any, options: dict[str, Any]) -> BaseTask[..., Any]:
        kind = AsyncTask if is_coroutine_function(function) else Task
        task: BaseTask[..., Any] = kind(None, function, {**self._options, **options})
        if "on_failure" not in options and task.options.get("on_failure") in (*task.aliases, task.name):
            # What handles the failures of the others.
            task.options["on_failure"] = None
        check_names(task, self._declared)
        self._resources.check_task(task)
        check_row(task, {**self._declared, task.name: task})
        task._group = self
        for name in (task.name, *task.aliases):
            self._declared[name] = task
        for app in self._apps:
            app._adopt(task)
        self._settle()
        return task

    def _provide(self, resource: Resource[Any]) -> Resource[Any]:
        super()._provide(resource)
        for app in self._apps:
            app._provide(resource)
        return resource

    def _join(self, app: App) -> None:
        """`app` includes the tasks."""
        if app in self._apps:
            return
        for resource in self._resources.by_name.values():
            app._provide(resource)
        for task in self._each():
            app._adopt(task)
        self._apps.append(app)
        self._settle()

    def _settle(self) -> None:
        """Lets the tasks find the only app at once, and ask where there is none or more than one."""
        apps = self._distinct_apps()
        for task in self._each():
            if len(apps) == 1:
                task.app = apps[0]
            else:
                task.__dict__.pop("app", None)

    def _distinct_apps(self) -> list[App]:
        """The apps that include the tasks. A module that is imported again (a reload, a program that a module of its
        own imports) makes its app again: of those the program's own is meant, else the newest one.
        """
        distinct: dict[object, App] = {}
        for app in self._apps:
            key = app._place or id(app)
            if key not in distinct or distinct[key]._module not in MAINS:
                distinct[key] = app
        return list(distinct.values())

    def _each(self) -> Iterator[BaseTask[..., Any]]:
        return (task for name, task in self._declared.items() if name == task.name)

    def _app_of(self, task: BaseTask[..., Any]) -> App:
        """The app that is meant by a task which more or less than one app includes."""
        from ._include import include_imported

        include_imported()
        apps = self._distinct_apps()
        if len(apps) == 1:
            return apps[0]
        if not apps:
            raise TaskNotFound(
                f"{task.name} belongs to no app",
                task=task.name,
                hint=f"app.include({self._module!r}) gives it one; import the module that does so before",
            )
        running = self._running_app()
        if running is not None:
            return running
        raise DeclarationError(
            f"{task.name} belongs to {len(apps)} apps, of {' and '.join(app._module for app in apps)}",
            hint=f"say which one is meant: app.tasks[{task.name!r}]",
        )

    def _running_app(self) -> App | None:
        """The app whose attempt runs here, if that includes the tasks."""
        from ._current import _running

        attempt = _running.get()
        return attempt.app if attempt is not None and attempt.app in self._apps else None
