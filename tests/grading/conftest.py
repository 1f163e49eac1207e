"""The circle on the small problem set is walked once for all tests, also where several processes run them."""

from __future__ import annotations

import copy
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).parent))

import tiny_course
from tiny_course import NAME

from course_lib.grading.course import Course


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _forks(one_fork_server):
    """Gradings are forks of one process, shared with the mutants."""


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    """Wide enough that no table is wrapped, and without colours."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture
def course_command(monkeypatch, capfd):
    """Run `course` in a folder, through its own main function."""

    def run(*arguments: str, inside: Path) -> Ran:
        from course_lib import cli

        monkeypatch.chdir(inside)
        monkeypatch.setattr(sys, "argv", ["course", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capfd.readouterr()
        return Ran(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def tiny(tmp_path) -> Course:
    """A course with the small problem set, nothing released yet."""
    return Course(tiny_course.make_course(tmp_path))


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, notebook: dict[str, Any] | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook if isinstance(notebook, str) else json.dumps(notebook), encoding="utf-8")


def as_from_colab(notebook: dict[str, Any]) -> dict[str, Any]:
    """As Colab saves it: no cell ids, metadata of its own, format 4.0."""
    notebook = copy.deepcopy(notebook)
    notebook |= {"nbformat_minor": 0}
    notebook["metadata"] |= {"colab": {"provenance": []}, "accelerator": "GPU"}
    for cell in notebook["cells"]:
        cell["metadata"]["id"] = cell.pop("id")
        cell["metadata"]["outputId"] = "f00"
    return notebook


def with_code(notebook: dict[str, Any], grade_id: str, code: str) -> dict[str, Any]:
    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == grade_id:
            cell["source"] = code
    return notebook


WARNS = """import sys, warnings
def double(x):
    warnings.warn("careful", stacklevel=2)  # Python quotes the line of the caller, here a hidden test
    print("hm", file=sys.stderr)
    return 2 * x"""
DIES = "import os\ndef mean(values):\n    os._exit(1)"


@dataclass(frozen=True)
class Circle:
    course: Course
    submissions: Path
    graded: Ran


@pytest.fixture(scope="session")
def circle(tmp_path_factory) -> Circle:
    """Release, ten students, one `course grade` over all of them (by a process of its own)."""
    import subprocess

    from course_lib.grading.release import release
    from course_lib.grading.samples import students_of

    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    root, done = shared / "circle", shared / "circle.json"
    with FileLock(str(shared / "circle.lock")):
        if not done.exists():
            root.mkdir()
            course = Course(tiny_course.make_course(root))
            release(course)
            samples = students_of(course, NAME)
            right, folder = samples["ada"], root / "downloads"
            write(folder / "ada" / f"{NAME}.ipynb", right)
            write(folder / "ben" / NAME / f"{NAME}.ipynb", samples["ben"])
            write(folder / f"eve_{NAME}.ipynb", samples["eve"])
            write(folder / "fay" / f"{NAME}.ipynb", with_code(right, "double", WARNS))
            write(folder / "gus" / f"{NAME}.ipynb", with_code(right, "mean", DIES))
            write(folder / "hal" / f"{NAME}.ipynb", "<html>please sign in</html>")
            write(folder / "ida" / f"{NAME}.ipynb", {**right, "cells": [*right["cells"], right["cells"][4]]})
            bare = [{**cell, "metadata": {}} for cell in right["cells"]]
            write(folder / "jon" / f"{NAME}.ipynb", {**right, "cells": bare})
            write(folder / "kim" / f"{NAME}.ipynb", read(course.release(NAME)))
            write(folder / "lea" / f"{NAME}.ipynb", as_from_colab(right))
            command = [sys.executable, "-m", "course_lib.cli", "grade", str(folder), "--jobs", "2"]
            environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
            environment["PYTHONPATH"] = str(tiny_course.REPOSITORY)
            ran = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)
            done.write_text(json.dumps([ran.returncode, ran.stdout, ran.stderr]))
    return Circle(Course(root), root / "downloads", Ran(*json.loads(done.read_text())))
