"""The tests of the problem sets judge the same across the bridge as in one process.

Each row is a solution of one task, right, wrong or the stub, that tests/mutants has judged in one process; here it is
graded as a submission is: its code in the sandbox, the tests outside. Right solutions all run, of the wrong ones every
tenth; COURSE_BOTH_WAYS=all runs all of them.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from needs import needs_sandbox

from course_lib.authoring import mutants
from course_lib.grading.checker import grade_one
from course_lib.grading.sandbox import box
from course_lib.grading.workers import checkers
from course_lib.handin.cells import nbgrader_of, source_of

ROOT = Path(__file__).resolve().parents[2]
EVERY = 1 if os.environ.get("COURSE_BOTH_WAYS") == "all" else 10
pytestmark = [needs_sandbox, pytest.mark.slow]


@cache
def files(name: str) -> tuple[bytes, bytes]:
    """The instructor's notebook and the release."""
    return tuple((ROOT / part / name / f"{name}.ipynb").read_bytes() for part in ("solutions", "assignments"))


@cache
def references(name: str) -> dict[str, str]:
    cells = json.loads(files(name)[0])["cells"]
    return {
        nbgrader_of(cell)["grade_id"]: source_of(cell)
        for cell in cells
        if nbgrader_of(cell).get("solution") and cell["cell_type"] == "code"
    }


@cache
def cells_of(name: str, task: str) -> tuple[str, ...]:
    """The test cells of a task."""
    found, current = [], ""
    for cell in json.loads(files(name)[0])["cells"]:
        marks = nbgrader_of(cell)
        if marks.get("solution") and cell["cell_type"] == "code":
            current = marks["grade_id"]
        elif marks.get("grade") and not marks.get("solution") and current == task:
            found.append(marks["grade_id"])
    return tuple(found)


def rows() -> list[tuple[str, str, str, str, str]]:
    """(problem set, task, name, kind, source)."""
    found = []
    for name in mutants.assignments(ROOT):
        for task, known in mutants.load_tasks(name, ROOT).items():
            reference = references(name)[task]
            wrong = sorted(known.wrong.items())[::EVERY]
            of_task = [("reference", "right", reference), ("stub", "stub", mutants.stub_of(reference))]
            of_task += [(n, "right", s) for n, s in known.right.items()] + [(n, "wrong", s) for n, s in wrong]
            for n, kind, source in of_task:
                text = source.apply(reference) if isinstance(source, mutants.Edit) else source
                found.append((name, task, n, kind, text))
    return found


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """A process that grades, with its sandbox."""
    with box.Sandbox(wait=False) as sandbox, checkers(1, tmp_path_factory.mktemp("grading"), 300, sandbox) as pool:
        yield pool


def submission(name: str, task: str, source: str) -> bytes:
    """All tasks solved by the reference, but one by `source`."""
    notebook: dict[str, Any] = json.loads(files(name)[1])
    for cell in notebook["cells"]:
        marks = nbgrader_of(cell)
        if marks.get("solution") and cell["cell_type"] == "code":
            cell["source"] = source if marks["grade_id"] == task else references(name)[marks["grade_id"]]
    return json.dumps(notebook).encode()


@pytest.mark.parametrize(("name", "task", "which", "kind", "source"), rows(), ids=lambda value: str(value)[:40])
def test_judged_as_in_one_process(worker, name, task, which, kind, source):
    instructor, release = files(name)
    job = {
        "student": "someone",
        "assignment": name,
        "data": submission(name, task, source),
        "source": instructor,
        "release": release,
        "seed": "5eed",
        "sandbox": "bubblewrap",
        "only": list(cells_of(name, task)),
        "limits": {**box.LIMITS, "question": 60.0},
    }
    result = worker.ask(grade_one, job)
    assert result["status"] == "graded", result["reason"]
    assert result["repairs"] == []
    assert result["tampered"] == []
    cells = {cell: mark for cell, mark in result["cells"].items() if cell in job["only"]}
    points, earned = (sum(mark[key] for mark in cells.values()) for key in ("points", "score"))
    lost = {cell: (mark["failed"], mark["detail"]) for cell, mark in cells.items() if mark["failed"]}
    odd = {cell: why for cell, why in lost.items() if why[0] in ("protocol", "stale", "crash", "memory")}
    assert not odd, "the bridge failed, not the solution"
    if kind == "right":
        assert earned == points, lost
    elif kind == "stub":
        assert earned == 0
    else:
        assert earned < points, f"the wrong solution {which!r} got every point"
