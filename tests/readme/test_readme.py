"""Every command that README.md or CONTRIBUTING.md shows exists, and is run: here, by `make course`, or by .ci/run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from course_lib import cli
from course_lib.authoring.tree import assignment_sources, lecture_sources

# Where each command is run for certain: "here" is this file; .ci/run and the Makefile have its very words.
RUN = {
    "make course": ".ci/run",
    "make test": ".ci/run",
    "make setup": ".ci/run",
    "make lint": ".ci/run",
    "make lab": "here",
    "make notebooks assignments": ".ci/run",
    "course doctor": "here",
    "course release": "Makefile",
    "course samples build/samples": "Makefile",
    "course grade build/samples --jobs 2": "Makefile",
    "course feedback": ".ci/run",
    "course report --output build/report.html": ".ci/run",
    "course export --csv --output build/marks.csv": ".ci/run",
    "course publish build/students": ".ci/run",
    "course badges": "Makefile",
    "course run 01_backprop --budget smoke --jobs 2": "Makefile",  # without a name: all of them
    "course run NN_topic --budget smoke": "Makefile",
    "course mutants": "tests/mutants/test_mutants.py",
    ".ci/run": "itself",
    ". .venv/bin/activate": "itself",
    "pre-commit install": "here",
}


def shown(path: Path) -> list[str]:
    """The commands in the sh blocks of a Markdown file, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [re.sub(r"\s+#\s.*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def commands(repository: Path) -> list[str]:
    return [line for name in ("README.md", "CONTRIBUTING.md") for line in shown(repository / name)]


def test_every_command_shown_is_run_somewhere(repository):
    assert set(commands(repository)) == set(RUN)
    for command, where in RUN.items():
        if where in ("here", "itself"):
            continue
        if where.startswith("tests/"):
            assert (repository / where).is_file()
            continue
        text = (repository / where).read_text()
        words = command.replace("course ", "$(COURSE) ", 1) if where == "Makefile" else command
        words = re.sub(r" (01_backprop|NN_topic)", "", words)
        assert words in text, f"{where} does not run: {command}"


def test_the_two_commands_come_first(repository):
    assert shown(repository / "README.md")[:2] == ["make course", "make test"]


def test_every_course_command_and_option_shown_exists(repository):
    if not cli.app.registered_commands:
        cli._register()
    known = typer.main.get_command(cli.app).commands
    for line in commands(repository):
        words = shlex.split(line)
        if words[0] == "course":
            options = {option for parameter in known[words[1]].params for option in parameter.opts}
            assert {word for word in words[2:] if word.startswith("-")} <= options, line


def test_every_make_target_shown_exists(repository):
    targets = re.findall(r"^([a-z]+):", (repository / "Makefile").read_text(), re.MULTILINE)
    for line in commands(repository):
        if line.startswith("make "):
            assert set(line.split()[1:]) <= set(targets), line


def test_every_command_has_help_with_an_example():
    if not cli.app.registered_commands:
        cli._register()
    for name, command in typer.main.get_command(cli.app).commands.items():
        assert re.search(rf"Example: course {name}\b", command.help), name


def test_course_doctor_runs(repository):
    done = subprocess.run(
        [sys.executable, "-m", "course_lib.cli", "doctor"], cwd=repository, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The course works here" in done.stdout


def test_the_help_of_a_command_and_a_wrong_one(repository):
    command = [sys.executable, "-m", "course_lib.cli"]
    shows = subprocess.run([*command, "run", "--help"], cwd=repository, capture_output=True, text=True, timeout=60)
    assert shows.returncode == 0 and "--budget" in shows.stdout
    wrong = subprocess.run([*command, "run", "98_gan"], cwd=repository, capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert wrong.stderr == "course: There is no notebook '98_gan'; did you mean 08_gan or ps08_gan?\n"


def test_the_programs_that_are_only_opened_are_there(repository):
    folder = Path(sys.executable).parent
    for program in ("jupyter-lab", "pre-commit"):
        done = subprocess.run([folder / program, "--version"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert "jupyter lab --notebook-dir=. notebooks" in (repository / "Makefile").read_text()


def test_the_table_of_units_is_what_there_is(repository):
    text = (repository / "README.md").read_text()
    assert re.findall(r"blob/[^/]+/notebooks/(\w+)\.ipynb", text) == [p.stem for p in lecture_sources(repository)]
    assert re.findall(r"\(assignments/\w+/(\w+)\.ipynb\)", text) == [p.stem for p in assignment_sources(repository)]


def test_every_file_that_is_linked_or_named_exists(repository):
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (repository / name).read_text()
        paths = re.findall(r"\]\((?!http)([^)#]+)\)", text)
        paths += re.findall(r"`((?:course_lib|tests|notebooks|benchmarks|solutions|assignments)/[\w./]*)`", text)
        for path in paths:
            path = re.sub(r"(NN|psNN)_topic.*|topic\.py", "", path)
            assert (repository / path).exists(), f"{name} names {path}"


# ------------------------------------------------------------------------------------------------------- the Makefile

PYTHON = """#!/bin/sh
# A stand-in for Python: says what it was asked, and makes an environment whose python says so too.
echo "$*" >> calls
case "$*" in
  *version_info*) exit ${OLD:-0} ;;
  *ensurepip*) exit ${NO_VENV:-0} ;;
  *"-m venv"*) mkdir -p .venv/bin; sed 's/echo/echo in/' "$0" > .venv/bin/python; chmod +x .venv/bin/python
    printf '#!/bin/sh\\necho course "$@"\\n' > .venv/bin/course; chmod +x .venv/bin/course; rm -f .venv/.partial ;;
  *"pip install"*) exit ${NO_NETWORK:-0} ;;
esac
"""


@pytest.fixture
def fresh(repository, tmp_path):
    """A folder with the Makefile and a stand-in for Python; calls it with the given variables."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((repository / name).read_text())
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)

    def make(target: str = "setup", **variables: str) -> tuple[int, str, list[str]]:
        (tmp_path / "calls").write_text("")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
        done = subprocess.run(
            ["make", target, "PYTHON=./python"],
            cwd=tmp_path,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )
        calls = (tmp_path / "calls").read_text().splitlines()
        return done.returncode, done.stdout + done.stderr, [call for call in calls if "venv" in call or "pip" in call]

    make.folder = tmp_path
    return make


def kinds(calls: list[str]) -> list[str]:
    """What was done: venv (a new environment) and pip (an installation)."""
    return ["venv" if "-m venv" in call else "pip" for call in calls if "-m venv" in call or "pip install" in call]


def test_setting_up_is_done_once(fresh):
    status, said, calls = fresh()
    assert status == 0 and kinds(calls) == ["venv", "pip"]
    assert "3 to 5 GB" in said
    assert any("--constraint constraints.txt --editable .[dev]" in call for call in calls)
    assert fresh()[2] == []
    status, said, calls = fresh("test")
    assert status == 0 and kinds(calls) == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_it_is_done_again_when_what_is_needed_changes_but_not_from_nothing(fresh, name):
    fresh()
    later = (fresh.folder / ".venv/.ready").stat().st_mtime + 5
    os.utime(fresh.folder / name, (later, later))
    assert kinds(fresh()[2]) == ["pip"]


def test_an_interrupted_installation_starts_from_nothing(fresh):
    status, _, calls = fresh(NO_NETWORK="1")
    assert status != 0 and kinds(calls) == ["venv", "pip"]
    assert not (fresh.folder / ".venv/.ready").exists()
    status, _, calls = fresh()
    assert status == 0 and kinds(calls) == ["venv", "pip"]
    assert not (fresh.folder / ".venv/.partial").exists()


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [("OLD", "The course needs Python 3.11 or newer"), ("NO_VENV", "its venv module is missing; on Debian or Ubuntu")],
)
def test_an_unfit_python_is_one_sentence(fresh, variable, sentence):
    status, said, calls = fresh(**{variable: "1"})
    assert status != 0 and kinds(calls) == []
    assert said.splitlines()[0].startswith(sentence) or sentence in said.splitlines()[0]
    assert not (fresh.folder / ".venv").exists()


def test_make_course_ends_by_saying_what_to_open(fresh):
    status, said, _ = fresh("course")
    assert status == 0
    steps = ["build --check", "run --budget smoke --jobs 2", "samples build/samples", "grade build/samples --jobs 2"]
    assert [said.index(f"course {step}") for step in steps] == sorted(said.index(f"course {step}") for step in steps)
    assert said.splitlines()[-2:] == [
        "The course works here. Open build/notebooks/index.html to read the executed lectures,",
        "or run: make lab",
    ]
