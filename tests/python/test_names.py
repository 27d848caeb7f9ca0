"""Names are the same whether a program is run or imported, and TARGETs find it either way."""

from __future__ import annotations

import sys

import pytest

from lineshaft import App, ImportSideEffect, canonical_name
from lineshaft._names import module_of_path
from lineshaft._target import TargetError, load_target, report_of

APP = """
    from lineshaft import App, canonical_name

    app = App()

    class Order: ...

    @app.task
    def work() -> None: ...

    if __name__ == "__main__":
        print(work.name, canonical_name(Order))
"""


@pytest.fixture
def fresh_imports(monkeypatch):
    """Modules and path entries that the test imports are forgotten again."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def check_names(programs, args: list[str], expected: str) -> None:
    ended = programs.run(*args)
    assert (ended.stdout.strip(), ended.stderr) == (f"{expected}.work {expected}.Order", "")


def test_a_script_is_known_by_its_module(programs):
    programs.write("app.py", APP)
    check_names(programs, ["app.py"], "app")


def test_a_script_in_a_package_is_known_from_the_import_root(programs):
    programs.write("store/__init__.py", "")
    programs.write("store/mail/__init__.py", "")
    programs.write("store/mail/jobs.py", APP)
    check_names(programs, ["store/mail/jobs.py"], "store.mail.jobs")
    check_names(programs, ["-m", "store.mail.jobs"], "store.mail.jobs")


def test_a_package_run_with_m_is_known_by_its_main_module(programs):
    programs.write("store/__init__.py", "")
    programs.write("store/__main__.py", APP)
    check_names(programs, ["-m", "store"], "store.__main__")


def test_the_module_of_a_path_begins_at_the_first_directory_that_is_no_package(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for folder in ("a", "a/b"):
        (tmp_path / folder / "__init__.py").touch()
    assert module_of_path(str(tmp_path / "a/b/c.py")) == (str(tmp_path), "a.b.c")
    assert module_of_path(str(tmp_path / "a/b/__init__.py")) == (str(tmp_path), "a.b")
    assert module_of_path(str(tmp_path / "c.py")) == (str(tmp_path), "c")


def test_builtins_have_canonical_names():
    assert canonical_name(ValueError) == "builtins.ValueError"


@pytest.mark.usefixtures("fresh_imports")
def test_every_form_of_target_finds_the_app(programs, monkeypatch):
    path = programs.write("store/__init__.py", "") and programs.write("store/targeted.py", APP)
    monkeypatch.chdir(programs.directory)
    app = load_target(str(path))
    for target in ("store.targeted", "store.targeted:app", "store/targeted.py:app", f"{path}:app"):
        assert load_target(target) is app
    assert list(app.tasks) == ["store.targeted.work"]


@pytest.mark.usefixtures("fresh_imports")
@pytest.mark.parametrize("target", ["uses", "../root/uses.py"])
def test_the_import_root_goes_before_everything_else_on_the_path(programs, monkeypatch, target):
    programs.write("elsewhere/helper.py", "HOME = 'elsewhere'")
    programs.write("root/helper.py", "HOME = 'root'")
    programs.write("root/uses.py", "import lineshaft, helper\napp = lineshaft.App(helper.HOME)")
    monkeypatch.setattr(sys, "path", [str(programs.directory / "elsewhere"), *sys.path])
    monkeypatch.chdir(programs.directory / ("root" if target == "uses" else "elsewhere"))
    assert load_target(target).url == str(programs.directory / "root" / "root")


@pytest.mark.usefixtures("fresh_imports")
def test_a_factory_is_called_under_the_import_guard(programs, monkeypatch):
    programs.write("made.py", "from lineshaft import App\ndef make(home='h'):\n    return App(home)\n")
    programs.write("runs.py", "import made\ndef make():\n    made.make().workers().__enter__()\n")
    monkeypatch.chdir(programs.directory)
    for target in ("made:make()", "made.py:make()"):
        assert load_target(target).url == str(programs.directory / "h")
    with pytest.raises(ImportSideEffect, match=r"runs.py:3 calls app.workers\(\)"):
        load_target("runs:make()")


def check_refused(target: str, *words: str) -> None:
    with pytest.raises(TargetError) as caught:
        load_target(target)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.usefixtures("fresh_imports")
def test_a_target_that_names_no_app_says_what_there_is(programs, monkeypatch):
    programs.write("one.py", APP + "\n    def make(name='x'): return name\n    def needs(name): return app\n")
    programs.write("two.py", APP + "\n    other = App()\n")
    programs.write("none.py", "x = 1")
    monkeypatch.chdir(programs.directory)
    check_refused("", "names no module", "a TARGET is module, module:attr")
    check_refused("missing.py", f"there is no file {programs.directory}/missing.py")
    check_refused("missing", "there is no module 'missing'")
    check_refused("not a module", "is not the name of a module")
    check_refused("one:nothing", "has no attribute 'nothing'", "its apps: app")
    check_refused("one:work", "is a Task, not an App")
    check_refused("one:make()", "target 'one:make()' gives a str, not an App", "its apps: app")
    check_refused(
        "one:needs()", "target 'one:needs()': missing a required argument: 'name'", "give its parameters defaults"
    )
    check_refused("one:app()", "target 'one:app()' calls App <App of one", "leave out the ()")
    check_refused("one:make(1)", "target 'one:make(1)' passes arguments", "is called without any: module:make()")
    check_refused("one:make-it", "'make-it' is not the name of an attribute", "a TARGET is module")
    check_refused("one:", "'' is not the name of an attribute")
    check_refused("one:make", "is a function, not an App", "one:make() is what it returns")
    check_refused("two", "more than one App", "say which: two:app or two:other")
    check_refused("none", "has no App", "`app = App()`")


@pytest.mark.usefixtures("fresh_imports")
def test_a_file_that_shadows_a_module_is_refused(programs):
    path = programs.write("json.py", APP)
    check_refused(str(path), "would be module 'json'", "rename the file")


@pytest.mark.usefixtures("fresh_imports")
def test_an_error_of_the_module_itself_passes_through(programs, monkeypatch):
    programs.write("broken.py", "import not_there_at_all")
    monkeypatch.chdir(programs.directory)
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        load_target("broken")


def test_a_file_whose_name_is_none_for_a_task_is_refused_with_the_fix(programs):
    programs.write("my script.py", APP)
    ended = programs.run("my script.py")
    assert "DeclarationError: work (" in ended.stderr
    assert "'my script.work' is not a name of letters, digits and" in ended.stderr
    assert 'give it one, @app.task(name="..."), or rename its file' in ended.stderr


@pytest.mark.usefixtures("fresh_imports")
def test_a_program_whose_file_does_not_end_in_py_is_loaded_by_its_path(programs):
    path = programs.write("bin/report", APP)
    app = load_target(f"{path}:app")
    assert list(app.tasks) == ["report.work"]
    assert load_target(str(path)) is app


def test_a_failed_import_is_reported_from_the_app_on(programs, monkeypatch):
    programs.write("broken.py", "import sys; sys.exit(3)")
    monkeypatch.chdir(programs.directory)
    with pytest.raises(SystemExit) as caught:
        load_target("broken")
    error = caught.value.with_traceback(caught.tb.tb_next)  # the test itself leads to the app, too
    first, place, *_, last = report_of(error).splitlines()
    assert (first, last) == ("Traceback (most recent call last):", "SystemExit: 3")
    assert place.startswith(f'  File "{programs.directory}/broken.py", line 1')


def test_apps_know_their_tasks():
    assert repr(App()) == f"<App of {__name__} with 0 tasks>"


def test_a_script_shares_results_with_those_who_import_it(programs):
    programs.write(
        "rates.py",
        """
        import subprocess
        import sys

        from lineshaft import App

        app = App()

        @app.cached
        def near(number: int) -> int:
            print("near", flush=True)
            return number

        @app.cached(scope="engine")
        def far(number: int) -> int:
            print("far", flush=True)
            return number

        if __name__ == "__main__":
            near(1), far(1)
            subprocess.run([sys.executable, "-c", "import rates; rates.near(1); rates.far(1)"], check=True)
        """,
    )
    ended = programs.run("rates.py")
    assert (ended.returncode, ended.stdout) == (0, "near\nfar\n"), ended.stderr
