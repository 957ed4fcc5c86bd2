"""scripts/setup.sh: which lane and interpreter it chooses, when it installs and when it rebuilds."""

import os
import re
import shlex
import subprocess
import sys
import time

import pytest

PYTHON = os.path.realpath(sys.executable)


# --- The decision -----------------------------------------------------------------------------------------------------


def choose(shell, glibc, *pythons, wanted=""):
    return shell("setup.sh", f"choose '{glibc}' '{wanted}'", stdin="".join(f"{python}\n" for python in pythons))


@pytest.mark.parametrize(
    ("glibc", "pythons", "lane", "interpreter"),
    [
        ("2.41", ["3.13.5 yes /b13", "3.10.1 yes /a"], "B", "/b13"),
        ("2.39", ["3.10.1 yes /a", "3.11.2 yes /b11"], "B", "/b11"),
        ("2.39", ["3.11.2 yes /b11", "3.12.0 yes /b12"], "B", "/b12"),
        # 2.4 is older than 2.39: the parts are numbers, not decimals.
        ("2.4", ["3.13.5 yes /b13", "3.10.1 yes /a"], "A", "/a"),
        ("2.38", ["3.13.5 yes /b13", "3.10.1 yes /a"], "A", "/a"),
        ("2.36", ["3.13.5 yes /b13"], "A", "uv"),
        ("2.41", ["3.14.0 yes /too-new", "3.9.2 yes /too-old"], "A", "uv"),
        ("2.41", ["3.14.0 yes /too-new", "3.10.1 yes /a"], "A", "/a"),
        # Headers are needed to compile, so an older Python that has them comes first.
        ("2.41", ["3.13.5 no /bare", "3.12.1 yes /full"], "B", "/full"),
        ("2.41", ["3.13.5 no /bare"], "B", "/bare"),
        # The first on PATH among equals.
        ("2.36", ["3.10.9 yes /z", "3.10.9 yes /y"], "A", "/z"),
        ("2.36", ["3.10.9 yes /a folder/python"], "A", "/a folder/python"),
        ("2.36", [], "A", "uv"),
    ],
)
def test_choice(shell, glibc, pythons, lane, interpreter):
    result = choose(shell, glibc, *pythons)
    assert result.returncode == 0, result.stderr
    assert result.stdout.rstrip("\n").split("\t")[:2] == [lane, interpreter]


@pytest.mark.parametrize(
    ("glibc", "pythons", "wanted", "reason"),
    [
        ("2.41", ["3.13.5 yes /b"], "", "Python 3.13.5 and glibc 2.41 >= 2.39"),
        ("2.36", ["3.10.1 yes /a"], "", "Python 3.10.1; glibc 2.36 is older than 2.39"),
        ("2.41", ["3.10.1 yes /a"], "", "no Python 3.11 to 3.13"),
        ("2.41", ["3.13.5 yes /b", "3.10.1 yes /a"], "A", "asked for by FINETUNE_LANE=A"),
    ],
)
def test_choice_says_why_in_one_line(shell, glibc, pythons, wanted, reason):
    result = choose(shell, glibc, *pythons, wanted=wanted)
    assert reason in result.stdout
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("glibc", "wanted", "expected"),
    [
        ("2.36", "B", "glibc 2.36 is older than 2.39"),
        ("2.36", "C", "got 'C'; expected A, B"),
        ("", "", "no glibc"),
    ],
)
def test_choice_that_cannot_be(shell, glibc, wanted, expected):
    result = choose(shell, glibc, "3.10.1 yes /a", "3.13.0 yes /b", wanted=wanted)
    assert result.returncode == 1
    assert expected in result.stdout


def test_a_shim_that_does_not_run_is_no_interpreter(shell, tmp_path):
    shims = tmp_path / "shims"
    shims.mkdir()
    for name in ("python3.13", "python3.10"):
        (shims / name).write_text("#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n")
        (shims / name).chmod(0o755)
    versions = tmp_path / "home/.pyenv/versions/3.10.77/bin"
    versions.mkdir(parents=True)
    (versions / "python3.10").write_text("#!/bin/sh\necho 3.10.77 yes $0\n")
    (versions / "python3.10").chmod(0o755)

    result = shell("setup.sh", f"PATH={shims}:$PATH; find_pythons")

    assert str(shims) not in result.stdout
    assert f"3.10.77 yes {versions}/python3.10" in result.stdout.splitlines()


def test_a_virtual_environment_stands_for_the_python_behind_it(shell, tmp_path):
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", "--copies", tmp_path / "env"], check=True)
    behind = shell("setup.sh", f"describe_python {shlex.quote(PYTHON)}").stdout
    assert behind
    assert shell("setup.sh", f"describe_python {tmp_path}/env/bin/python").stdout == behind


def test_missing_compiler_is_named_with_its_remedy(shell, tmp_path):
    bare = tmp_path / "python3.13"
    bare.write_text(f"#!/bin/sh\necho 3.13.5 no {bare}\n")
    bare.chmod(0o755)
    result = shell(
        "setup.sh", f"command() {{ [ $2 != g++ ] && [ $2 != c++ ]; }}; need_compiler {bare}", FINETUNE_APT="no"
    )
    assert result.returncode == 1
    assert "apt-get install g++ python3.13-dev" in result.stderr


def test_musl_or_other_machines_are_refused(shell, tmp_path):
    result = shell("setup.sh", "uname() { echo Linux aarch64; }; main", FINETUNE_VENV=str(tmp_path / "env"))
    assert result.returncode == 1
    assert "Linux aarch64" in result.stderr


# --- The environment --------------------------------------------------------------------------------------------------

# An installation that takes the place of uv's: an environment without packages, and a line in a log.
FAKES = """
checkout=$PROJECT
glibc_version() { echo 2.41; }
get_uv() { echo uv; }
need_compiler() { :; }
install_locked() {
  echo installed >>"$PROJECT/log"
  eval "$DURING"
  [ -e "$3/bin/python" ] || "$2" -m venv --without-pip "$3"
}
main
"""


@pytest.fixture
def project(shell, tmp_path):
    """A checkout with a set-up whose installation is a fake. `project()` runs it; `installations()` counts."""

    class Project:
        folder = tmp_path / "project"
        venv = folder / ".venv"
        stamp = venv / ".finetune-stamp"

        def __call__(self, during="", wait=True, **environment):
            environment = {"FINETUNE_PYTHON": PYTHON, "PROJECT": str(self.folder), "DURING": during, **environment}
            return shell("setup.sh", FAKES, wait=wait, **environment)

        def installations(self):
            return (self.folder / "log").read_text().count("installed")

    (Project.folder / "scripts").mkdir(parents=True)
    for name in ("uv.lock", "pyproject.toml", "scripts/setup.sh"):
        (Project.folder / name).write_text("first\n")
    return Project()


def test_second_call_installs_nothing_and_is_quick(project):
    first = project()
    assert first.returncode == 0, first.stderr
    start = time.monotonic()
    second = project()
    assert time.monotonic() - start < 2
    assert second.returncode == 0
    assert project.installations() == 1
    (line,) = second.stderr.splitlines()
    assert re.fullmatch(f"set-up: lane [AB], {re.escape(PYTHON)} .*; ready", line)


@pytest.mark.parametrize("name", ["uv.lock", "pyproject.toml"])
def test_changed_dependencies_are_installed(project, name):
    project()
    (project.folder / name).write_text("second\n")
    project()
    assert project.installations() == 2


def test_new_top_level_package_is_installed(project):
    project()
    (project.folder / "components").mkdir()
    (project.folder / "components/__init__.py").touch()
    project()
    assert project.installations() == 2


def test_moved_checkout_is_installed_again(project, tmp_path):
    project()
    project.folder = project.folder.rename(tmp_path / "elsewhere")
    project()
    assert project.installations() == 2


def test_failed_installation_is_not_taken_for_ready(project):
    assert project(during='mkdir -p "$3"; return 1').returncode == 1
    assert not project.stamp.exists()
    assert project().returncode == 0
    assert project.installations() == 2


def test_interrupted_installation_is_rebuilt_from_nothing(project):
    killed = project(during='mkdir -p "$3/half-a-package"; touch "$3/pyvenv.cfg"; kill -9 $$')
    assert killed.returncode != 0
    repaired = project()
    assert repaired.returncode == 0, repaired.stderr
    assert "interrupted" in repaired.stderr
    assert not (project.venv / "half-a-package").exists()


def test_removed_interpreter_is_rebuilt(project):
    project()
    (project.venv / "bin/python").unlink()
    (project.venv / "bin/python").symlink_to("/nowhere/python3.10")
    repaired = project()
    assert "does not run any more" in repaired.stderr
    assert repaired.returncode == 0, repaired.stderr
    assert project.installations() == 2


def test_environment_of_another_interpreter_is_rebuilt(project):
    project.venv.joinpath("bin").mkdir(parents=True)
    project.venv.joinpath("pyvenv.cfg").write_text("home = /elsewhere\n")
    project.venv.joinpath("bin/python").symlink_to("/bin/echo")  # "runs", but is another program
    project.venv.joinpath("leftover").touch()
    repaired = project()
    assert "made with another Python (/elsewhere)" in repaired.stderr
    assert not project.venv.joinpath("leftover").exists()


def test_environment_of_this_interpreter_is_kept(project):
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", project.venv], check=True)
    project.venv.joinpath("made-by-hand").touch()
    result = project()
    assert result.returncode == 0, result.stderr
    assert project.venv.joinpath("made-by-hand").exists()


def test_folder_that_is_no_environment_is_left_alone(project):
    project.venv.mkdir()
    project.venv.joinpath("thesis.txt").touch()
    result = project()
    assert result.returncode == 1
    assert "expected a virtual environment or nothing" in result.stderr
    assert project.venv.joinpath("thesis.txt").exists()


def test_two_at_once_install_once(project):
    both = [project(during="sleep 1", wait=False) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert project.installations() == 1
    assert any("waiting" in error for error in errors)


@pytest.mark.parametrize(
    ("environment", "index"),
    [
        ({"PIP_INDEX_URL": "https://mirror.example/simple"}, "https://mirror.example/simple"),
        ({"UV_DEFAULT_INDEX": "ours=https://mirror.example/simple"}, "https://mirror.example/simple"),
        ({"PIP_INDEX_URL": "https://pypi.org/simple/"}, ""),
    ],
)
def test_package_index(shell, environment, index):
    assert shell("setup.sh", "package_index", **environment).stdout.strip() == index


def test_unknown_argument(shell):
    result = shell("setup.sh", "main --help-me")
    assert result.returncode == 1
    assert "got '--help-me'" in result.stderr
