"""Tasks that are declared without an app, and apps that include them."""

from __future__ import annotations

import importlib
import sys

import pytest

import lineshaft
from conftest import stop_server
from lineshaft import (
    App,
    AsyncTask,
    DeclarationError,
    ImportSideEffect,
    OptionError,
    Task,
    TaskNotFound,
    Tasks,
    UnknownOption,
    current,
)
from lineshaft._target import TargetError

WAIT = 30

MAIL = """
    from lineshaft import Tasks

    tasks = Tasks(queue="mail", retries=3)

    @tasks.task
    def send(to: str) -> str:
        return f"sent to {to}"

    @tasks.task(queue="slow", name="mail.digest", aliases=["digest"])
    async def digest(to: str) -> str:
        return f"digest for {to}"
"""

SHOP = """
    from lineshaft import App

    app = App()
    app.include("shop.mail.tasks")

    if __name__ == "__main__":
        from shop.mail.tasks import digest, send

        with app.workers(1):
            print(send.enqueue("ada").result())
            print(digest.enqueue("ada").result())
            print(app.tasks["mail.digest"].using(queue="mail").enqueue("bob").result())
"""


@pytest.fixture
def package(programs, monkeypatch):
    """A program in a package whose tasks know no app; its modules are forgotten after the test."""
    for folder in ("shop", "shop/mail"):
        programs.write(f"{folder}/__init__.py", "")
    programs.write("shop/mail/tasks.py", MAIL)
    programs.write("shop/app.py", SHOP)
    monkeypatch.chdir(programs.directory)
    monkeypatch.setattr(sys, "path", [str(programs.directory), *sys.path])
    # Other tests may have imported a `shop` of their own.
    others = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "shop"}
    before = set(sys.modules)
    yield programs
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.modules.update(others)


def check_refused(error: type[Exception], message: str, call, *args) -> None:
    with pytest.raises(error) as caught:
        call(*args)
    assert str(caught.value) == message


def test_tasks_are_declared_without_an_app_and_run_by_the_one_that_includes_them(package):
    ended = package.run("-m", "shop.app")
    assert ended.stdout.splitlines() == ["sent to ada", "digest for ada", "digest for bob"], ended.stderr


def test_a_worker_imports_what_is_included(package):
    target = "shop.app"
    worker = package.start("-m", "lineshaft", "worker", target, "--processes", "1")
    try:
        app = importlib.import_module("shop.app").app
        assert app.tasks["shop.mail.tasks.send"].enqueue("eve").result(WAIT) == "sent to eve"
    finally:
        worker.terminate()
        worker.communicate(timeout=WAIT)


def test_options_of_the_group_are_defaults_for_its_tasks(package):
    module = importlib.import_module("shop.mail.tasks")
    assert isinstance(module.send, Task)
    assert isinstance(module.digest, AsyncTask)
    assert (module.send.queue, module.digest.queue) == ("mail", "slow")
    assert module.send.options["retries"].max == module.digest.options["retries"].max == 3
    assert (module.send.name, module.digest.name) == ("shop.mail.tasks.send", "mail.digest")
    assert module.send("ada") == "sent to ada"


def test_what_is_included_is_imported_when_it_is_first_needed(package):
    app = App()
    app.include("shop.mail.tasks")
    assert "shop.mail.tasks" not in sys.modules
    assert repr(app) == f"<App of {__name__} with 0 tasks and those of shop.mail.tasks>"
    assert app.find_task("digest").name == "mail.digest"
    assert set(app.tasks) == {"shop.mail.tasks.send", "mail.digest"}
    assert repr(app) == f"<App of {__name__} with 2 tasks>"


def test_a_task_finds_the_app_that_includes_its_module_by_name(package):
    app = App()
    app.include("shop.mail.tasks")
    module = importlib.import_module("shop.mail.tasks")
    assert module.send.app is app
    assert module.send.using(priority=1).app is app
    assert app.tasks["shop.mail.tasks.send"].app is app


@pytest.mark.parametrize("target", ["shop.mail.tasks", "shop.mail.tasks:tasks", "shop/mail/tasks.py"])
def test_every_form_of_target_and_module_and_tasks_can_be_included_twice(package, target):
    app = App()
    app.include(target, target)
    app.include(target)
    assert len(app.tasks) == 2
    module = importlib.import_module("shop.mail.tasks")
    app.include(module, module.tasks)
    assert len(app.tasks) == 2


def test_a_factory_of_tasks_can_be_included(package):
    package.write("made.py", "from shop.mail.tasks import tasks\ndef make():\n    return tasks\n")
    app = App()
    app.include("made:make()")
    assert "mail.digest" in app.tasks


def test_tasks_that_are_declared_after_they_were_included_belong_to_the_app(package):
    tasks, app = Tasks(queue="late"), App()
    app.include(tasks)
    late = tasks.task(name="late")(current_app)
    assert app.tasks["late"].queue == "late"
    assert late.app is app


def test_a_task_without_an_app_says_how_it_gets_one():
    tasks = Tasks()
    alone = tasks.task(name="alone")(current_app)
    message = (
        "alone belongs to no app\n"
        "  hint: app.include('test_include') gives it one; import the module that does so before"
    )
    check_refused(TaskNotFound, message, alone.enqueue)
    check_refused(TaskNotFound, message, alone.map, [1])
    check_refused(TaskNotFound, message, alone.using(priority=1).enqueue)
    assert alone.using(priority=1).si().bound.task is alone


def current_app() -> str:
    return repr(current)


def test_a_task_of_two_apps_is_enqueued_by_naming_one(home):
    tasks, first, second = Tasks(), App(home), App(home)
    shared = tasks.task(name="shared")(current_app)
    urgent = shared.using(priority=1)
    first.include(tasks)
    assert shared.app is first
    second.include(tasks)
    message = (
        "shared belongs to 2 apps, of test_include and test_include\n"
        "  hint: say which one is meant: app.tasks['shared']"
    )
    check_refused(DeclarationError, message, shared.enqueue)
    check_refused(DeclarationError, message, urgent.enqueue)
    assert first.tasks["shared"].app is first
    assert second.tasks["shared"].using(priority=1).app is second
    assert second.tasks["shared"].enqueue().refresh().record.task == "shared"


def test_an_app_whose_module_is_imported_again_is_the_same_app(package, monkeypatch):
    """A program that a module of its own imports made two apps, and its tasks did not know which one was meant."""
    package.write("shop/web.py", "import shop.app\n")
    package.write(
        "shop/app.py",
        """
        from lineshaft import App

        app = App()
        app.include("shop.mail.tasks")

        if __name__ == "__main__":
            import shop.web
            from shop.mail.tasks import send

            assert shop.web.shop.app.app is not app
            assert send.app is app
            with app.workers(1):
                send.enqueue("ada")
            print(send.enqueue("ada").refresh().state)
        """,
    )
    ended = package.run("-m", "shop.app")
    assert ended.stdout == "available\n", ended.stderr
    app = importlib.import_module("shop.app").app
    tasks = importlib.import_module("shop.mail.tasks")
    assert tasks.send.app is app
    again = importlib.reload(sys.modules["shop.app"]).app
    assert tasks.send.app is again
    assert again is not app


def test_in_a_body_a_task_of_two_apps_is_one_of_the_app_that_runs(programs):
    programs.write(
        "common.py", "import lineshaft\ntasks = lineshaft.Tasks()\n@tasks.task\ndef leaf():\n    return 'leaf'\n"
    )
    programs.write(
        "two.py",
        """
        import lineshaft
        from common import leaf, tasks

        one, two = lineshaft.App("one"), lineshaft.App("two")
        one.include(tasks)
        two.include("common")

        @two.task
        def root() -> str:
            return leaf.enqueue().id

        if __name__ == "__main__":
            with two.workers(1):
                print(two.job(root.enqueue().result()).result())
        """,
    )
    try:
        ended = programs.run("two.py")
        assert ended.stdout == "leaf\n", ended.stderr
    finally:
        for home in ("one", "two"):
            stop_server(programs.directory / home)


def test_names_that_clash_are_refused_with_both_places():
    tasks, app = Tasks(), App()
    first = tasks.task(name="x")(current_app)
    with pytest.raises(DeclarationError, match="two tasks are named 'x'"):
        tasks.task(name="x")(check_refused)
    other = app.task(name="x")(check_refused)
    message = (
        f"two tasks are named 'x': {other.place} and {first.place}\n"
        '  hint: give one of them another name: @app.task(name="...")'
    )
    check_refused(DeclarationError, message, app.include, tasks)


def test_a_group_takes_the_options_of_tasks_but_no_name():
    with pytest.raises(UnknownOption, match=r"Tasks\(\) has no option `name`"):
        Tasks(name="x")  # type: ignore[call-arg]
    with pytest.raises(UnknownOption, match=r"@tasks.task has no option `quue`: did you mean `queue`\?"):
        Tasks().task(quue="x")
    with pytest.raises(OptionError, match="option `priority`: 0 is not accepted"):
        Tasks(priority=0)


def test_what_cannot_be_included_is_refused(package):
    app = App()
    forms = "  hint: a TARGET is module, module:attr, module:make(), path.py, path.py:attr or path.py:make()"
    check_refused(TargetError, f"target '' names no module\n{forms}", app.include, "")
    check_refused(
        TargetError, f"'shop.mail tasks' is not the name of a module\n{forms}", app.include, "shop.mail tasks"
    )
    message = (
        "app.include() does not take int 3\n  hint: it takes a TARGET such as 'shop.mail.tasks', a module or a Tasks"
    )
    check_refused(DeclarationError, message, app.include, 3)
    hint = "\n  hint: `tasks = lineshaft.Tasks()` at its top level makes one"
    check_refused(TargetError, f"module lineshaft has no Tasks{hint}", app.include, lineshaft)


def test_a_module_that_is_not_there_is_named_with_the_place_that_includes_it(package):
    app = App()
    app.include("shop.mial")
    with pytest.raises(TargetError) as caught:
        app.find_task("x")
    first = str(caught.value).splitlines()[0]
    line = test_a_module_that_is_not_there_is_named_with_the_place_that_includes_it.__code__.co_firstlineno + 2
    assert first == (
        f"app.include('shop.mial') at {__file__}:{line}: "
        f"there is no module 'shop.mial' in {package.directory} or on sys.path"
    )
    with pytest.raises(TargetError):
        app.find_task("x")  # it is not forgotten


def test_something_else_than_tasks_is_refused_when_it_is_needed(package):
    app = App()
    app.include("shop.mail.tasks:send")
    with pytest.raises(
        TargetError, match=r"(?s)target 'shop.mail.tasks:send' is a Task, not a Tasks.*its Tasks: tasks"
    ):
        _ = app.tasks


def test_an_included_module_that_enqueues_while_a_worker_imports_it_is_refused(package):
    package.write("shop/mail/tasks.py", MAIL + "\n    import shop.app\n    send.enqueue('ada')\n")
    ended = package.run("-m", "lineshaft", "worker", "shop.app", "--processes", "1")
    assert ended.returncode == 1
    assert "shop/mail/tasks.py:14 calls enqueue() while a worker imports the app" in ended.stderr, ended.stderr


def test_an_included_module_that_does_not_import_ends_the_worker_with_the_reason(package):
    package.write("shop/mail/tasks.py", "import not_there_at_all\n")
    ended = package.run("-m", "lineshaft", "worker", "shop.app", "--processes", "1")
    assert ended.returncode == 1
    assert "No module named 'not_there_at_all'" in ended.stderr, ended.stderr
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        _ = importlib.import_module("shop.app").app.tasks
    assert issubclass(ImportSideEffect, BaseException)


def test_a_module_that_declares_with_the_app_itself_is_run_by_workers_once_it_is_included(programs):
    """Its program knew the task, the worker of `shop.app` did not, and was recommended all the same."""
    programs.write("shop/__init__.py", "")
    programs.write("shop/app.py", "from lineshaft import App\n\napp = App()\n")
    programs.write(
        "shop/mail.py", "from .app import app\n\n@app.task\ndef send(to: str) -> str:\n    return f'sent to {to}'\n"
    )
    main = """
        from lineshaft import WaitTimeout
        from shop.app import app
        from shop.mail import send

        with app.workers(1, wait=False):
            try:
                print(send.enqueue("ada").result(timeout={timeout}))
            except WaitTimeout as error:
                print(error.__notes__ if hasattr(error, "__notes__") else error)
    """
    programs.write("main.py", main.format(timeout=3))
    ended = programs.run("main.py")
    fix = "start one: lineshaft worker shop.app (it imports shop.app, which has to import shop.mail: "
    assert f"{fix}app.include('shop.mail') does)" in ended.stderr, ended
    programs.write("shop/app.py", "from lineshaft import App\n\napp = App()\napp.include('shop.mail')\n")
    programs.write("main.py", main.format(timeout=WAIT))
    assert programs.run("main.py").stdout == "sent to ada\n"
