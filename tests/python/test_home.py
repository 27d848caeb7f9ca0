"""Which home an app means. No test here starts a server: a home is found, not made."""

from __future__ import annotations

import pytest

from lineshaft import App, LineshaftError

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


def test_the_home_is_beside_the_project_of_the_file(programs):
    programs.write("sub/deep/app.py", PRINT_URL.format(url=""))
    programs.write("sub/setup.cfg", "")
    check_home(programs, "sub/deep/app.py", "sub/.lineshaft")


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
