"""Settings of the workers of a program: what the code says, variables, files, defaults."""

from __future__ import annotations

import json

import pytest

APP = """
import lineshaft
from lineshaft._settings import worker_settings

app = lineshaft.App()

@app.task
def work() -> int:
    import os
    return os.getppid()
"""


def settings_of(project, said: str = "", **variables: str) -> list[object]:
    program = f"import json, shop; print(json.dumps(shop.worker_settings(shop.app, {said})))"
    ended = project.run("-c", program, **variables)
    assert ended.returncode == 0, ended.stderr
    return list(json.loads(ended.stdout))[:4]


def test_code_comes_before_variable_before_project_before_user_before_default(project, tmp_path):
    user = tmp_path / "xdg"
    home = {"XDG_CONFIG_HOME": str(user)}
    cores, slots, queues, grace = settings_of(project, **home)
    assert (cores >= 1, slots, queues, grace) == (True, ["process", 1], [], 30.0)

    (user / "lineshaft").mkdir(parents=True)
    (user / "lineshaft" / "config.toml").write_text('processes = 7\nkind = "thread"\nslots = 2\ngrace = "1m"\n')
    assert settings_of(project, **home) == [7, ["thread", 2], [], 60.0]

    project.configure('processes = 6\nkind = "async"\nqueues = ["mail", "slow"]\n')
    assert settings_of(project, **home) == [6, ["async", 2], ["mail", "slow"], 60.0]

    variables = {"LINESHAFT_PROCESSES": "5", "LINESHAFT_QUEUES": "a,b", "LINESHAFT_GRACE": "5s", **home}
    assert settings_of(project, **variables) == [5, ["async", 2], ["a", "b"], 5.0]

    said = 'processes=4, kind="thread", slots=3, queues=["c"], grace=1'
    assert settings_of(project, said, **variables) == [4, ["thread", 3], ["c"], 1.0]


def test_when_a_process_is_replaced_is_said_like_everything_else(project):
    def recycling(said: str = "", **variables: str) -> list[object]:
        show = f"s = shop.worker_settings(shop.app, {said}); print(json.dumps([s.recycle, s.watchdog_s]))"
        ended = project.run("-c", f"import json, shop; {show}", **variables)
        assert ended.returncode == 0, ended.stderr
        return list(json.loads(ended.stdout))

    assert recycling() == [[None, None, None], 60.0]
    project.configure('recycle_jobs = 1000\nrecycle_age = "1d"\nwatchdog = "2m"\n')
    variables = {"LINESHAFT_RECYCLE_GROWTH": "1GiB", "LINESHAFT_RECYCLE_AGE": "2h"}
    assert recycling(**variables) == [[1000, 7200.0, 1 << 30], 120.0]
    said = 'recycle_jobs=5, recycle_age=60, recycle_growth="1MiB"'
    assert recycling(said, **variables) == [[5, 60.0, 1 << 20], 120.0]


@pytest.mark.parametrize("said", ["recycle_jobs=0", "recycle_jobs=True", "recycle_age='soon'", "recycle_growth='much'"])
def test_what_no_process_is_replaced_by_is_refused(project, said):
    ended = project.run("-c", f"import shop; shop.worker_settings(shop.app, {said})")
    assert f"option `{said.split('=')[0]}`" in ended.stderr


def test_workers_of_a_block_are_as_many_as_a_variable_says(project):
    program = """
        import json, subprocess, sys, time
        import shop

        STATUS = [sys.executable, "-m", "lineshaft", "status", "--json", "--home", shop.app.url]

        if __name__ == "__main__":
            with shop.app.workers():
                workers = []
                while not workers or workers[0]["children"] < 3:
                    workers = json.loads(subprocess.run(STATUS, capture_output=True, check=True).stdout)["workers"]
                    time.sleep(0.05)
                print(workers[0]["children"], workers[0]["queues"])
    """
    project.write("main.py", program)
    ended = project.run("main.py", LINESHAFT_PROCESSES="3", LINESHAFT_QUEUES="default,mail")
    assert ended.stdout == "3 ['default', 'mail']\n", ended.stderr


def test_a_script_grows_to_what_the_project_says_and_serves_its_own_queues(project):
    project.configure('processes = 1\nqueues = ["elsewhere"]\n')
    source = """
        import lineshaft

        app = lineshaft.App()

        @app.task
        def add(a, b):
            return a + b

        if __name__ == "__main__":
            print(add.enqueue(2, 3).result(60))
    """
    project.write("script.py", source)
    ended = project.run("script.py")
    assert (ended.returncode, ended.stdout) == (0, "5\n"), ended.stderr
    assert "1 process now, up to 1 (" in ended.stderr


@pytest.mark.parametrize(
    ("variables", "file", "expected"),
    [
        ({"LINESHAFT_PROCESSES": "many"}, "", 'option `LINESHAFT_PROCESSES`: "many" is not such a number'),
        ({"LINESHAFT_SLOTS": "8"}, "", "option `LINESHAFT_SLOTS`: 8 is not accepted"),
        ({}, "slots = 8\n", "lineshaft.toml:1`: 8 is not accepted"),
        ({}, "\nprocesses = 0\n", "lineshaft.toml:2: `processes` in the file is 0: this is not such a number"),
        ({}, "procesess = 2\n", "lineshaft.toml:1: unknown key `procesess` in the file: did you mean `processes`?"),
    ],
)
def test_a_setting_that_is_wrong_names_who_said_it(project, variables, file, expected):
    if file:
        project.configure(file)
    program = """
        import shop

        for start in (shop.app.workers, shop.app.run_worker):
            try:
                start()
            except shop.lineshaft.LineshaftError as error:
                print(error)
    """
    project.write("main.py", program)
    ended = project.run("main.py", **variables)
    assert ended.stdout.count(expected) == 2, ended.stdout + ended.stderr


def test_what_the_code_says_is_named_as_the_code_names_it(project):
    program = """
        import shop

        for said in ({"n": 0}, {"slots": 2}, {"kind": ""}, {"queues": "mail"}):
            try:
                shop.app.workers(**said)
            except shop.lineshaft.OptionError as error:
                print(error)
    """
    project.write("main.py", program)
    ended = project.run("main.py")
    errors = [line for line in ended.stdout.splitlines() if not line.startswith("  ")]
    assert [error.split(": ")[0] for error in errors] == [
        "option `n`",
        "option `slots`",
        "option `kind`",
        "option `queues`",
    ], ended.stderr
