"""Where apps live: several in one process and in one home, in packages, under odd names and in odd places."""

from __future__ import annotations

import os
import sys
import zipfile

import pytest

from conftest import ADD, stop_server
from lineshaft import App, DeclarationError, JobNotFound, WaitTimeout

WAIT_S = 50

PROGRAM = (
    ADD
    + """
    if __name__ == "__main__":
        print(add.name, add.enqueue(2, 3).result(50))
"""
)

TWO_APPS = """
    import os
    from lineshaft import App

    shop = App({shop!r})
    mail = App({mail!r})

    @shop.task
    def buy(item: str) -> str:
        return f"bought {{item}}"

    @mail.task
    def send(to: str) -> str:
        return f"sent to {{to}}"
"""


def check_runs(programs, args: list[str], name: str, **kwargs: str) -> None:
    ended = programs.run(*args, **kwargs)
    assert (ended.returncode, ended.stdout) == (0, f"{name} 5\n"), ended.stderr


def test_two_apps_of_one_process_have_a_home_each(programs):
    source = TWO_APPS.format(shop="shop-home", mail="mail-home") + (
        "\n    if __name__ == '__main__':\n"
        "        with shop.workers(1), mail.workers(1):\n"
        "            print(buy.enqueue('x').result(50), send.enqueue('y').result(50))\n"
        "        print(os.path.basename(shop.url), os.path.basename(mail.url))\n"
    )
    programs.write("two.py", source)
    ended = programs.run("two.py")
    for home in ("shop-home", "mail-home"):
        stop_server(programs.directory / home)
    assert ended.stdout == "bought x sent to y\nshop-home mail-home\n", ended.stderr


def test_calls_and_jobs_of_an_app_with_another_home_are_refused(tmp_path):
    """A call went to the home of the app that was asked, where no worker knows its task, and waited for ever."""
    shop, mail = App(tmp_path / "shop"), App(tmp_path / "mail")
    buy = shop.task(name="buy")(top_level)
    message = (
        f"buy is a task of an app with the home {tmp_path}/shop, not {tmp_path}/mail\n"
        "  hint: enqueue its calls with that app, or declare it with `Tasks` that both apps include"
    )
    try:
        for calls in ([buy.si(1)], [buy.using(priority=1).si(1)]):
            with pytest.raises(DeclarationError) as refused:
                mail.enqueue_many(calls)
            assert str(refused.value) == message
        job = App(tmp_path / "shop").enqueue_many([buy.si(1)])[0]
        with pytest.raises(JobNotFound) as missed:
            list(mail.as_completed([job]))
        assert str(missed.value) == (
            f"LS0020: job {job.id} is one of the home {tmp_path}/shop, not of {tmp_path}/mail\n"
            "  hint: follow it with its own app"
        )
        with pytest.raises(TypeError, match=r"^as_completed\(\) takes jobs, this is of type str$"):
            list(mail.as_completed([job.id]))  # type: ignore[type-var]
        with pytest.raises(WaitTimeout, match=r"^job \S+ \(buy\) has not ended in time; it is available and "):
            list(shop.as_completed([job], timeout=0))
    finally:
        for home in ("shop", "mail"):
            stop_server(tmp_path / home)


def top_level(a: int) -> None: ...


def test_a_script_claims_no_waiting_jobs_of_other_programs(programs):
    """It said that a worker of its own app would run all that waits in the home."""
    enqueue = PROGRAM.replace("print(add.name, add.enqueue(2, 3).result(50))", "{}add.enqueue(2, 3)")
    for name in ("one.py", "two.py"):
        programs.write(name, enqueue.format(""))
    programs.write("done.py", enqueue.format("    with app.workers(1): "))
    home = programs.directory / ".lineshaft"
    assert programs.run("one.py").stderr == (
        f"lineshaft: 1 job waits (one.add) in {home}; `lineshaft worker one.py` runs it\n"
    )
    assert programs.run("two.py").stderr == (
        f"lineshaft: 2 jobs wait (one.add, two.add) in {home}; `lineshaft worker two.py` runs two.add\n"
    )
    assert programs.run("done.py").stderr == ""


def test_workers_of_one_app_leave_the_jobs_of_another_in_the_same_home(programs):
    source = TWO_APPS.format(shop=".lineshaft", mail=".lineshaft") + (
        "\n    if __name__ == '__main__':\n"
        "        from lineshaft import WaitTimeout\n"
        "        with shop.workers(1, wait=False):\n"
        "            letter = send.enqueue('y')\n"
        "            print(buy.enqueue('x').result(50))\n"
        "            print(letter.refresh().state, letter.record.waits_for)\n"
        "        with mail.workers(1):\n"
        "            print(letter.result(50))\n"
    )
    programs.write("two.py", source)
    ended = programs.run("two.py")
    assert ended.stdout == "bought x\navailable a worker: no worker knows two.send in queue default\nsent to y\n", (
        ended.stderr
    )


def test_a_name_means_one_task_in_a_home_whichever_app_declares_it(programs):
    programs.write(
        "one.py",
        "from lineshaft import App\napp = App()\n@app.task(name='greet')\ndef greet(who): return f'hello {who}'\n",
    )
    programs.write(
        "other.py",
        "from lineshaft import App\nfrom one import greet\napp = App()\n"
        "@app.task(name='greet')\ndef hail(who): return f'hail {who}'\n"
        "if __name__ == '__main__':\n"
        "    with app.workers(1):\n"
        "        print(greet.enqueue('you').result(50))\n",
    )
    ended = programs.run("other.py")
    assert ended.stdout == "hail you\n", ended.stderr


def test_waiting_for_the_job_of_another_app_names_the_worker_that_it_needs(programs):
    programs.write("library.py", "from lineshaft import App\napp = App()\n@app.task\ndef work(): ...\n")
    programs.write(
        "main.py",
        "from library import work\nfrom lineshaft import WaitTimeout, _waiting\n_waiting.WARN_AFTER_S = 0.2\n"
        "try:\n    work.enqueue().result(1)\nexcept WaitTimeout:\n    print('waited')\n",
    )
    ended = programs.run("main.py")
    assert ended.stdout == "waited\n", ended.stderr
    assert "(library.work) waits: a worker: none is connected; start one: lineshaft worker library" in ended.stderr


PACKAGE_FILES = {
    "store/__init__.py": "",
    "store/sums.py": "def plus(a, b): return a + b\n",
    "store/app.py": PROGRAM.replace("from lineshaft", "from .sums import plus\n    from lineshaft").replace(
        "return a + b", "return plus(a, b)"
    ),
}


def test_an_app_in_a_package_with_relative_imports_is_run_with_m(programs):
    for file, source in PACKAGE_FILES.items():
        programs.write(file, source)
    check_runs(programs, ["-m", "store.app"], "store.app.add")


def test_an_app_in_a_package_is_run_by_its_path(programs):
    programs.write("store/__init__.py", "")
    programs.write("store/app.py", PROGRAM)
    check_runs(programs, ["store/app.py"], "store.app.add")


def test_a_relative_import_in_a_file_run_by_its_path_is_pythons_own_error(programs):
    for file, source in PACKAGE_FILES.items():
        programs.write(file, source)
    ended = programs.run("store/app.py")
    assert "ImportError: attempted relative import with no known parent package" in ended.stderr


def test_an_app_in_a_namespace_package_is_run_with_m(programs):
    programs.write("shelf/store/app.py", PROGRAM)
    check_runs(programs, ["-m", "shelf.store.app"], "shelf.store.app.add")


def test_an_app_in_a_namespace_package_run_by_its_path_is_a_module_of_its_directory(programs):
    programs.write("shelf/store/app.py", PROGRAM)
    try:
        check_runs(programs, ["shelf/store/app.py"], "app.add")
    finally:
        stop_server(programs.directory / "shelf/store/.lineshaft")


def test_a_package_with_a_main_module_is_run_by_its_name(programs):
    programs.write("store/__init__.py", "")
    programs.write("store/__main__.py", PROGRAM)
    check_runs(programs, ["-m", "store"], "store.__main__.add")


def test_a_program_with_a_dash_in_its_name_runs(programs):
    programs.write("my-app.py", PROGRAM)
    check_runs(programs, ["my-app.py"], "my-app.add")


def test_a_renamed_program_leaves_jobs_that_its_old_name_as_an_alias_runs(programs):
    programs.write("old.py", PROGRAM.replace("print(add.name, add.enqueue(2, 3).result(50))", "add.enqueue(2, 3)"))
    programs.run("old.py")
    renamed = PROGRAM.replace("@app.task", '@app.task(aliases=["old.add"])').replace(
        "print(add.name, add.enqueue(2, 3).result(50))", "print(app.job(sys.argv[1]).result(50))"
    )
    programs.write("new.py", "import sys\n" + PROGRAM)
    (programs.directory / "old.py").unlink()
    programs.write("new.py", renamed.replace("from lineshaft", "import sys\n    from lineshaft"))
    listed = programs.run("-m", "lineshaft", "job", "list", "--json").stdout
    import json

    records = json.loads(listed)
    job = (records["jobs"] if isinstance(records, dict) else records)[0]["id"]
    ended = programs.run("new.py", job)
    assert ended.stdout == "5\n", ended.stderr


def test_a_program_run_through_a_link_runs(programs):
    programs.write("real/app.py", PROGRAM)
    (programs.directory / "linked.py").symlink_to(programs.directory / "real" / "app.py")
    check_runs(programs, ["linked.py"], "linked.add")


def test_a_program_run_from_another_directory_has_its_home_beside_it(programs, tmp_path):
    path = programs.write("app.py", PROGRAM)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    away = type(programs)(elsewhere)
    check_runs(away, [str(path)], "app.add")
    assert list(elsewhere.iterdir()) == []
    assert (programs.directory / ".lineshaft").is_dir()


def test_a_program_that_changes_its_directory_still_runs_its_jobs(programs):
    programs.write("app.py", PROGRAM.replace("print(add", "import os; os.chdir('/'); print(add"))
    check_runs(programs, ["app.py"], "app.add")


def test_a_program_from_standard_input_runs_its_tasks_itself_and_says_so(programs):
    import subprocess
    import textwrap

    from conftest import environment

    ended = subprocess.run(
        [sys.executable, "-"],
        input=textwrap.dedent(PROGRAM),
        cwd=programs.directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert ended.stdout == "__main__.add 5\n", ended.stderr
    assert ended.stderr.startswith("lineshaft: tasks of this session have no source file, so they run in this process")


def test_a_program_in_an_archive_runs_its_tasks_itself_and_says_so(programs):
    path = programs.directory / "app.pyz"
    import textwrap

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", textwrap.dedent(PROGRAM))
    ended = programs.run(str(path))
    assert ended.stdout == "__main__.add 5\n", ended.stderr
    assert ended.stderr.startswith("lineshaft: tasks of this session have no source file, so they run in this process")


@pytest.mark.parametrize(
    ("call", "verb"),
    [
        ("app.workers(1).__enter__()", "app.workers()"),
        ("app.run_worker(1)", "app.run_worker()"),
        ("add.map([])", "enqueue_many()"),
        ("app.job('0197f000-0000-7000-8000-000000000000').result(1)", "a wait"),
        ("add.enqueue(1, 2)", "enqueue()"),
    ],
)
def test_every_verb_with_effects_is_refused_while_a_worker_imports(programs, call, verb):
    path = programs.write("app.py", ADD.rstrip() + f"\n\n    {call}\n")
    ended = programs.run("-m", "lineshaft", "worker", "app.py")
    assert ended.returncode != 0
    assert f"lineshaft.ImportSideEffect: {path}:9 calls {verb} while a worker imports the app" in ended.stderr


def test_a_home_that_is_removed_is_made_anew_by_the_next_program(programs):
    import shutil

    programs.write("app.py", PROGRAM)
    check_runs(programs, ["app.py"], "app.add")
    shutil.rmtree(programs.directory / ".lineshaft")
    check_runs(programs, ["app.py"], "app.add")
    assert os.path.isdir(programs.directory / ".lineshaft")
