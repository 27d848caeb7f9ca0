"""Homes where they cannot be, or better were not: what is said, to the letter, and what happens.

Network file systems and FUSE cannot be mounted everywhere; the decision about them is tested in Rust, where the kind of
file system is a parameter.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import ADD, stop_server
from support.processes import is_alive, until

DEADLINE_S = 50
REFUSED = "lineshaft.ServerError: LS0002:"

PROGRAM = (
    "    import os, sys\n"
    + ADD.replace("App()", "App(sys.argv[1])")
    + """
    if __name__ == "__main__":
        print(add.enqueue(2, 3).result(50))
"""
)

UNMEASURED = {"COVERAGE_PROCESS_CONFIG": ""}
"""Nobody may not write where `make coverage` keeps what ran."""
AS_NOBODY = PROGRAM.replace(
    "    app = App",
    """
    def give_up_rights():
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)

    app = App""",
).replace('if __name__ == "__main__":', 'if __name__ == "__main__":\n        give_up_rights()')

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def last_lines(text: str, count: int) -> list[str]:
    return text.strip().splitlines()[-count:]


@pytest.fixture
def memory():
    """A directory on tmpfs."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or "tmpfs" not in file_system_of(shared):
        pytest.skip("there is no tmpfs here")
    directory = Path(tempfile.mkdtemp(prefix="ls-", dir=shared))
    yield directory
    stop_server(directory / "home")
    shutil.rmtree(directory)


def file_system_of(path: Path) -> str:
    command = ["stat", "-f", "-c", "%T", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_a_home_in_memory_is_warned_of_at_every_start(programs, memory):
    home = memory / "home"
    programs.write("app.py", PROGRAM)
    warning = (
        f"the home {home} is on tmpfs (memory): its jobs are gone after a reboot; "
        "set LINESHAFT_URL to a directory on a disk"
    )
    for _ in range(2):
        ended = programs.run("app.py", str(home))
        assert ended.stdout == "5\n", ended.stderr
        assert ended.stderr.splitlines()[0] == warning
        stop_server(home)
    serve = programs.start("-m", "lineshaft", "serve", "--home", str(home))
    assert serve.stdout.readline().startswith("ready ")
    serve.terminate()
    assert warning in serve.communicate(timeout=DEADLINE_S)[1]


@needs_root
def test_a_home_that_belongs_to_another_user_names_owner_path_and_fix(programs, tmp_path):
    programs.write("app.py", AS_NOBODY)
    home = open_directory() / "home"
    home.mkdir(mode=0o700)
    try:
        ended = programs.run("app.py", str(home), **UNMEASURED)
        assert last_lines(ended.stderr, 2) == [
            (
                f"{REFUSED} the home {home} cannot be read: Permission denied (os error 13); {home} "
                f"belongs to root (mode 0700) and this process runs as nobody"
            ),
            f"  hint: `sudo chown -R nobody {home}`, or set LINESHAFT_URL to a directory of your own",
        ]
    finally:
        shutil.rmtree(home.parent)


@needs_root
def test_a_home_that_cannot_be_made_names_the_directory_above_and_the_fix(programs):
    programs.write("app.py", AS_NOBODY)
    above = open_directory()
    try:
        ended = programs.run("app.py", str(above / "home"), **UNMEASURED)
        assert last_lines(ended.stderr, 2) == [
            (
                f"{REFUSED} the home {above}/home cannot be written: Permission denied (os error 13); "
                f"{above} belongs to root (mode 0755) and this process runs as nobody"
            ),
            f"  hint: `sudo install -d -m 700 -o nobody {above}/home`, or set LINESHAFT_URL to a directory of your own",
        ]
    finally:
        above.rmdir()


def open_directory() -> Path:
    """A directory that everybody may look into."""
    path = Path(tempfile.mkdtemp(prefix="ls-", dir="/tmp"))
    path.chmod(0o755)
    return path


@needs_root
def test_a_read_only_home_says_so(programs, tmp_path):
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "lineshaft-test", str(mounted)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        programs.write("app.py", PROGRAM)
        ended = programs.run("app.py", str(mounted / "home"))
        said, hint = last_lines(ended.stderr, 2)
        expected = f"{REFUSED} the home {mounted}/home cannot be written: Read-only file system (os error 30)"
        assert said.startswith(f"{expected}; {mounted} belongs to root"), ended.stderr
        assert hint == "  hint: set LINESHAFT_URL to a directory that can be written"
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_a_file_in_the_place_of_a_home_says_so(programs, tmp_path):
    programs.write("app.py", PROGRAM)
    (tmp_path / "file").write_text("mine")
    ended = programs.run("app.py", str(tmp_path / "file"))
    assert last_lines(ended.stderr, 2) == [
        f"{REFUSED} the home {tmp_path}/file is a file, not a directory",
        "  hint: move the file away, or set LINESHAFT_URL to a directory",
    ]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_server_that_cannot_start_is_an_error_with_the_end_of_its_log(programs, tmp_path):
    programs.write("app.py", PROGRAM)
    home = tmp_path / "home"
    home.mkdir()
    (home / "FORMAT").write_text("something else")
    ended = programs.run("app.py", str(home))
    error = ended.stderr[ended.stderr.index("lineshaft.NoServer") :]
    first, intro, *log = error.splitlines()
    assert first == (
        f"lineshaft.NoServer: LS0010: no server answers for the home {home}: "
        "the server that was started ended with exit status: 1"
    )
    assert intro.strip() == "its log ends with:"
    assert any("LS0003" in line for line in log), error
    assert (home / "output" / "server.log").exists()


def test_a_home_deep_down_is_reached_through_a_private_directory_elsewhere(programs, tmp_path):
    programs.write("app.py", PROGRAM)
    home = tmp_path / ("a" * 60) / ("b" * 60) / "home"
    serve = programs.start("-m", "lineshaft", "serve", "--home", str(home))
    try:
        assert serve.stdout.readline().startswith("ready ")
        socket = Path((home / "run" / "address").read_text().splitlines()[0])
        assert home not in socket.parents
        assert len(os.fsencode(socket)) <= 100
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        ended = programs.run("app.py", str(home))
        assert ended.stdout == "5\n", ended.stderr
    finally:
        serve.terminate()
        serve.communicate(timeout=DEADLINE_S)
    assert not socket.parent.exists()
    ended = programs.run("app.py", str(home))
    assert ended.stdout == "5\n", ended.stderr
    stop_server(home)


def test_a_home_that_is_removed_while_in_use_ends_its_server_and_tells_the_caller(programs):
    """Whoever waited made the home anew, and was told that there is no such job."""
    programs.write("shop.py", "from lineshaft import App\napp = App()\n@app.task\ndef work(): ...\n")
    source = """
        from lineshaft import LineshaftError
        from shop import work

        try:
            work.enqueue().result(45)
        except LineshaftError as error:
            print(type(error).__name__, error)
        print(work.enqueue().state)
    """
    programs.write("main.py", source)
    home = programs.directory / ".lineshaft"
    process = programs.start("main.py")
    assert process.stderr is not None
    assert "waits: a worker" in process.stderr.readline(), "from here on the wait is under way"
    server = json.loads(programs.run("-m", "lineshaft", "status", "--json").stdout)["pid"]
    shutil.rmtree(home)
    until(lambda: not is_alive(server), "the server of a removed home ends")
    out, err = process.communicate("", timeout=80)
    said = f"NoServer LS0010: no server answers for the home {home}: its directory was removed\n"
    assert out.startswith(said), (out, err)
    assert out.endswith("\navailable\n"), "the next call makes it anew"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.lineshaft]\nuri = "x"', "unknown key `uri` in [tool.lineshaft]: did you mean `url`?"),
        ("[tool.lineshaft]\nurl = 7", "`url` in [tool.lineshaft] is 7: this is not a directory"),
        ("[tool]\nlineshaft = 1", "[tool.lineshaft] is not a table"),
    ],
)
def test_a_configuration_that_is_wrong_names_its_file_and_the_key(programs, text, message):
    file = programs.write("lineshaft.toml", text)
    programs.write("app.py", "from lineshaft import App\nprint(App().url)")
    ended = programs.run("app.py")
    assert f"\nlineshaft.OptionError: LS0024: {file}:2: {message}\n" in ended.stderr
