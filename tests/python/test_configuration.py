"""Options of tasks from configuration files, and settings of workers."""

from __future__ import annotations

import json

import pytest

APP = """
from lineshaft import App, OptionError

app = App()

@app.task(name="mail.send", timeout="30s", queue="mail", retries=1)
def send(to):
    return to

@app.task(name="mail.other")
def other():
    pass
"""


def options_of(project, expression: str) -> dict[str, object]:
    """What the next job of `expression` is made with."""
    program = f"import json, shop; print(json.dumps({expression}._effective, default=repr))"
    ended = project.run("-c", program)
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def test_a_file_overrides_the_options_of_a_declaration(project):
    project.configure('[tasks."mail.send"]\ntimeout = "2m"\npriority = "high"\n')
    options = options_of(project, "shop.send")
    assert (options["timeout"], options["priority"], options["queue"]) == (120.0, 2, "mail")
    assert "timeout" not in options_of(project, "shop.other")


def test_what_a_call_says_wins_over_the_file(project):
    project.configure('[tasks."mail.send"]\ntimeout = "2m"\nqueue = "slow"\n')
    options = options_of(project, 'shop.send.using(timeout="5s").using(run_after=1)')
    assert (options["timeout"], options["queue"], options["run_after"]) == (5.0, "slow", 1.0)


def test_jobs_are_made_as_the_file_says(project):
    project.configure('[tasks."mail.send"]\nqueue = "slow"\nretries = 4\n')
    program = "import shop; print(shop.send.queue, shop.send.enqueue(1).id)"
    ended = project.run("-c", program)
    assert ended.returncode == 0, ended.stderr
    queue, job = ended.stdout.split()
    shown = json.loads(project.run("-m", "lineshaft", "job", "show", job, "--json").stdout)
    assert (queue, shown["queue"], shown["max_attempts"]) == ("slow", "slow", 5)


def test_a_number_of_retries_in_a_file_leaves_the_rest_of_the_declaration(project):
    """The file's number used to take away for which errors the declaration tries again."""
    declared = """
        import lineshaft

        app = lineshaft.App()

        @app.task(name="mail.send", retries=lineshaft.Retry(2, never=KeyError, after=lambda attempt, error: 1))
        def send(to):
            return to
    """
    project.write("shop.py", declared)
    project.configure('[tasks."mail.send"]\nretries = 4\n')
    program = "import shop; retry = shop.send._effective['retries']; print(retry.max, retry.never, retry.after is None)"
    ended = project.run("-c", program)
    assert ended.stdout == "4 (<class 'KeyError'>,) False\n", ended.stderr


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('timeuot = "2m"', ":2: task 'mail.send' has no option `timeuot`: did you mean `timeout`?"),
        ('timeout = "soon"', ":2: option `timeout`: "),
        ('name = "x"', ":2: task 'mail.send' has no option `name`"),
    ],
)
def test_an_option_that_is_wrong_names_file_and_line(project, line, expected):
    project.configure(f'[tasks."mail.send"]\n{line}\n')
    program = "import shop\ntry:\n    shop.send.enqueue(1)\nexcept shop.OptionError as error:\n    print(error)"
    ended = project.run("-c", program)
    assert f"{project.directory}/lineshaft.toml{expected}" in ended.stdout, ended.stderr
    worker = project.run("-m", "lineshaft", "worker", "shop.py")
    assert worker.returncode == 1
    assert expected in worker.stderr


def test_reading_files_waits_for_the_first_job(project):
    project.configure("this is not toml")
    ended = project.run("-c", "import shop; shop.send.using(timeout=1); print('imported')")
    assert ended.stdout == "imported\n", ended.stderr
    ended = project.run("-c", "import shop; shop.send.enqueue(1)")
    assert f"{project.directory}/lineshaft.toml:1: this is not TOML" in ended.stderr


def test_a_task_that_does_not_exist_is_a_warning_of_the_worker(project):
    project.configure('[tasks."mail.sned"]\ntimeout = "2m"\n')
    worker = project.start("-m", "lineshaft", "worker", "shop.py", "--processes", "1")
    try:
        line = worker.stderr.readline()
        place = f"{project.directory}/lineshaft.toml:2"
        assert line == f"warning: {place}: the app has no task 'mail.sned': did you mean 'mail.send'?\n"
    finally:
        worker.terminate()
        worker.communicate(timeout=60)


def test_workers_of_a_program_warn_too(project):
    project.configure('[tasks."elsewhere"]\nretries = 1\n')
    program = "import shop\nwith shop.app.workers(1):\n    pass"
    ended = project.run("-c", program)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == f"{project.directory}/lineshaft.toml:2: the app has no task 'elsewhere'\n"
