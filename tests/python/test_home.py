"""Which home an app means."""

from __future__ import annotations

import pytest

from conftest import stop_server
from lineshaft import App, LineshaftError
from support.processes import until

PRINT_URL = """
    from lineshaft import App
    print(App({url}).url)
"""


def check_home(programs, script: str, expected: str, **variables: str) -> None:
    ended = programs.run(script, **variables)
    assert ended.stderr == ""
    assert ended.stdout.strip() == str(programs.directory / expected)


def test_the_home_is_beside_the_file_that_makes_the_app(programs):
    programs.write("sub/app.py", PRINT_URL.format(url=""))
    check_home(programs, "sub/app.py", "sub/.lineshaft")


@pytest.mark.parametrize("marker", ["pyproject.toml", "setup.cfg", "manage.py", ".git"])
def test_the_home_is_beside_the_nearest_project_upward_of_the_file(programs, marker):
    programs.write("setup.cfg", "")
    programs.write("sub/deep/app.py", PRINT_URL.format(url=""))
    programs.write(f"sub/{marker}", "")
    check_home(programs, "sub/deep/app.py", "sub/.lineshaft")


def test_the_home_is_found_from_the_file_that_makes_the_app_not_from_the_one_that_is_run(programs):
    programs.write("library/shop.py", "from lineshaft import App\napp = App()\n")
    programs.write("library/setup.cfg", "")
    programs.write("site/run.py", "import sys\nsys.path.insert(0, '../library')\nimport shop\nprint(shop.app.url)")
    programs.write("site/setup.cfg", "")
    inner = type(programs)(programs.directory / "site")
    assert inner.run("run.py").stdout.strip() == str(programs.directory / "library" / ".lineshaft")


def test_a_command_with_a_target_means_the_home_of_its_app_and_another_that_of_its_directory(programs):
    programs.write("setup.cfg", "")
    programs.write("sub/setup.cfg", "")
    programs.write("sub/app.py", "from lineshaft import App\napp = App()\n@app.task\ndef work(): ...\n")
    of_app = programs.directory / "sub" / ".lineshaft"
    worker = programs.start("-m", "lineshaft", "worker", "sub/app.py")
    try:
        shown = ["-m", "lineshaft", "status", "--json"]
        until(lambda: '"app.work"' in programs.run(*shown, "--home", str(of_app)).stdout, "its worker is there")
        assert f"for the home {programs.directory / '.lineshaft'}: " in programs.run(*shown).stderr
        assert not (programs.directory / ".lineshaft").exists()
    finally:
        worker.terminate()
        worker.communicate(timeout=60)
        stop_server(of_app)


def test_a_configuration_file_names_the_home(programs):
    programs.write("sub/app.py", PRINT_URL.format(url=""))
    programs.write("lineshaft.toml", '[tool.lineshaft]\nurl = "data"')
    check_home(programs, "sub/app.py", "data")


def test_the_variable_goes_before_the_file_and_the_argument_before_both(programs):
    programs.write("app.py", PRINT_URL.format(url=""))
    programs.write("given.py", PRINT_URL.format(url="'mine'"))
    programs.write("lineshaft.toml", '[tool.lineshaft]\nurl = "data"')
    check_home(programs, "app.py", "elsewhere", LINESHAFT_URL="elsewhere")
    check_home(programs, "given.py", "mine", LINESHAFT_URL="elsewhere")


def test_the_home_stays_when_the_directory_changes(programs):
    programs.write(
        "app.py", "import os\nfrom lineshaft import App\napp = App()\nprint(app.url); os.chdir('/')\nprint(app.url)"
    )
    first, second = programs.run("app.py").stdout.split()
    assert first == second == str(programs.directory / ".lineshaft")


@pytest.mark.parametrize("url", ["postgres://localhost/x", "https://example.org"])
def test_a_url_that_is_not_built_yet_is_refused(url):
    with pytest.raises(LineshaftError, match="not built"):
        _ = App(url).url


def test_a_path_that_utf8_does_not_express_is_refused_with_the_fix():
    with pytest.raises(LineshaftError, match=r"(?s)from x\\xff: UTF-8 does not express this path.*LINESHAFT_URL"):
        _ = App("x\udcff").url
