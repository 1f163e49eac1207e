"""The circle on the course's own problem sets: every student, score and page as expected."""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest
from filelock import FileLock
from tiny_course import REPOSITORY

from course_lib.authoring.build import notebook_text
from course_lib.authoring.tree import assignment_sources
from course_lib.checks.core import drawn_afresh
from course_lib.grading import fingerprint, gradebook
from course_lib.grading.course import Course, nbgrader_of, source_of, tasks_of
from course_lib.grading.release import contents, leaks, release
from course_lib.grading.samples import HALF, RIGHT, WRONG, expected, first_half, students_of, write

NAMES = [path.stem for path in assignment_sources(REPOSITORY)]
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Graded:
    course: Course
    status: int
    err: str


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Course:
    """The problem sets built from their sources and released, in a course of their own; once for all processes."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    root = shared / "real"
    course = Course(root)
    with FileLock(str(shared / "real.lock")):
        if not (root / "released").exists():
            root.mkdir()
            for part in ("pyproject.toml", "nbgrader_config.py"):
                shutil.copy(REPOSITORY / part, root)
            shutil.copytree(REPOSITORY / "tests" / "mutants", root / "tests" / "mutants")
            for name in NAMES:
                course.source(name).parent.mkdir(parents=True)
                source = REPOSITORY / "solutions" / name / f"{name}.py"
                shutil.copy(source, course.source(name).parent)
                course.source(name).write_text(notebook_text(source))
            release(course)
            (root / "released").touch()
    return course


@pytest.fixture(scope="module")
def graded(real) -> Graded:
    """Every sample student graded by one `course grade`, then the feedback."""
    with FileLock(str(real.root / "graded.lock")):
        done = real.root / "graded.json"
        if not done.exists():
            write(real, real.root / "samples")
            environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
            for command in ("grade samples --jobs 2", "feedback --jobs 1"):
                ran = subprocess.run(
                    [sys.executable, "-m", "course_lib.cli", *command.split()],
                    cwd=real.root,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=1200,
                )
                if ran.returncode:
                    break
            done.write_text(json.dumps([ran.returncode, ran.stderr]))
        status, err = json.loads(done.read_text())
    return Graded(real, status, err)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "smoke")
    monkeypatch.setenv("COURSE_HEADLESS", "1")


def test_there_are_problem_sets():
    assert len(NAMES) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_the_release_gives_nothing_away_and_is_the_same_when_rebuilt(real, name):
    files = contents(real.release(name).parent)
    assert list(files) == [f"{name}.ipynb"]
    released = json.loads(files[f"{name}.ipynb"])
    source = real.read_source(name)
    assert leaks(source, released) == []
    text = files[f"{name}.ipynb"].decode()
    assert not re.search("BEGIN|END (SOLUTION|HIDDEN)", text)
    tests = [cell for cell in released["cells"] if nbgrader_of(cell).get("grade") and cell["cell_type"] == "code"]
    assert len(tests) >= 6
    assert not any(cell["outputs"] for cell in released["cells"] if cell["cell_type"] == "code")
    stubs = [source_of(c) for c in released["cells"] if nbgrader_of(c).get("solution") and c["cell_type"] == "code"]
    assert all("raise NotImplementedError()" in stub for stub in stubs)
    assert release(real, [name]) == [(name, False)]


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_release_is_that_of_the_source(real, name):
    committed = REPOSITORY / "assignments" / name / f"{name}.ipynb"
    assert committed.is_file(), f"course release {name}, then commit it"
    assert committed.read_bytes() == real.release(name).read_bytes(), f"course build; course release {name}"


@pytest.mark.parametrize("name", NAMES)
def test_the_students_version_runs_to_its_end_and_names_every_task(real, name, capsys, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    released = json.loads(real.release(name).read_text())
    names: dict = {"__name__": "__main__"}
    for cell in released["cells"]:
        if cell["cell_type"] == "code":
            exec(compile(source_of(cell), name, "exec"), names)
    printed = capsys.readouterr().out
    coded = [task for task in tasks_of(real.read_source(name)) if not task.written]
    undone = set(re.findall(r"^Task (\d+)[^\n]* is not done yet", printed, re.MULTILINE))
    assert len(undone) >= len(coded) - 1 >= 5, printed  # a task may have no visible check


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_exactly_as_expected(graded, name):
    course = graded.course
    assert graded.status == 0, graded.err
    tasks = course.tasks(name)
    coded = [task for task in tasks if not task.written]
    half = first_half([task.name for task in coded])
    everything = {cell: points for task in coded for cell, points in task.cells.items()}
    of_half = {cell: points if task.name in half else 0.0 for task in coded for cell, points in task.cells.items()}
    # What is wrong may still pass with some test data, so the data must be those that were drawn for this file.
    handed_in = (course.root / "samples" / WRONG / f"{name}.ipynb").read_bytes()
    secret = fingerprint.secret(course.grading / "secret")
    seed = fingerprint.seed(secret, WRONG, name, hashlib.sha256(handed_in).hexdigest())
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), drawn_afresh(seed):
        wrong = expected(course.read_source(name), students_of(course, name)[WRONG])
    for task in coded:  # a wrong solution loses points in its own task
        assert sum(wrong[cell] for cell in task.cells) < task.points, task.name
    written = {cell for task in tasks if task.written for cell in task.cells}
    for student, wanted in ((RIGHT, everything), (HALF, of_half), (WRONG, wrong)):
        rows = gradebook.scores(course.root, [name], student)
        assert {row.cell: row.score for row in rows if row.cell not in written} == wanted, student
        assert all(row.needs_manual_grade == (row.cell in written and student != HALF) for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_feedback_pages_hold_no_hidden_test(graded, name):
    source = graded.course.read_source(name)
    regions = re.compile(r"BEGIN HIDDEN TESTS.*?\n(.*?)\n[^\n]*END HIDDEN TESTS", re.DOTALL)
    hidden, visible = set(), ""
    for cell in source["cells"]:
        text = source_of(cell)
        hidden |= {line.strip() for block in regions.findall(text) for line in block.split("\n")}
        visible += regions.sub("", text)
    hidden = {line for line in hidden if len(line) > 12 and line not in visible}
    assert len(hidden) > 10
    for student in (RIGHT, HALF, WRONG):
        page = graded.course.feedback(student, name).read_text()
        text = html.unescape(re.sub(r"<[^>]*>", "", page))
        assert re.search(r"\d of \d+ points", text)
        assert [line for line in hidden if line in text] == []
