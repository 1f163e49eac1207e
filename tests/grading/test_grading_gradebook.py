"""What is written to the gradebook is what nbgrader would write, and it costs the same for each submission."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import Any

import pytest
from conftest import read
from standin import dump
from tiny_course import NAME

from course_lib.grading import gradebook, plain
from course_lib.grading.course import Course, tasks_of
from course_lib.grading.gradebook import Cells, Entry, Writer, open_gradebook

POINTS = {
    "double-test": 2.0,
    "double-sequence": 1.0,
    "mean-test": 2.0,
    "why": 2.0,
    "largest-test": 4.0,
    "sign-test": 1.0,
}


def record(student: str, share: float = 1.0, submission: str = "a" * 64, **more: Any) -> dict[str, Any]:
    cells = {
        name: {"score": 0.0 if name == "why" else share * points, "points": points, "manual": name == "why"}
        for name, points in POINTS.items()
    }
    fingerprint = {"submission": submission, "cells": dict.fromkeys(POINTS, "c" * 64)}
    made = {"student": student, "assignment": NAME, "status": "graded", "cells": cells, "fingerprint": fingerprint}
    return {**made, "unanswered": [], "late": {}, "submitted": "", **more}


@pytest.fixture
def cells(tiny) -> Cells:
    return Cells.of(tiny.root, tiny.source(NAME).read_bytes())


def written(course: Course, cells: Cells, *records: dict[str, Any]) -> float:
    """Write records; the processor's seconds that this took."""
    writer, began = Writer(course.root, {NAME: cells}), time.process_time()
    for one in records:
        writer.add(Entry(one))
        writer.flush()
    assert writer.finish() == ""
    writer.close()
    return time.process_time() - began


def test_the_cells_are_those_that_nbgrader_saves(tiny, cells):
    written(tiny, cells)
    ours = dump(tiny.gradebook, own=False)
    tiny.gradebook.unlink()
    open_gradebook(tiny.root).close()
    config = plain.settings(tiny.root)
    directory = plain._directory(config, release_directory="build/grading/release", assignment_id=NAME)
    assert plain._start(plain._GenerateAssignment(coursedir=directory, config=config, log=plain.log)) is None
    assert dump(tiny.gradebook, own=False) == ours
    assert len(ours["cells"]) == 11
    assert len(ours["sources"]) == 11


def test_a_new_gradebook_has_the_version_that_nbgrader_gives_it(tiny):
    from nbgrader.api import get_alembic_version

    open_gradebook(tiny.root).close()
    with contextlib.closing(sqlite3.connect(tiny.gradebook)) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [(get_alembic_version(),)]
    assert not list(tiny.grading.glob(".*"))


def test_rows_are_those_that_nbgrader_gives_a_submission(tiny, cells):
    """The same rows as nbgrader's own add_submission, filled as SaveAutoGrades fills them."""
    written(tiny, cells, record("ada", unanswered=["mean"]))
    ours = dump(tiny.gradebook, own=False)
    tiny.gradebook.unlink()
    written(tiny, cells)
    with open_gradebook(tiny.root) as book:
        book.add_student("ada")
        book.add_submission(NAME, "ada")
        for name, points in POINTS.items():
            grade = book.find_grade(name, NAME, NAME, "ada")
            grade.auto_score = None if name == "why" else points
            grade.needs_manual_grade = name == "why"
        book.find_comment("mean", NAME, NAME, "ada").auto_comment = "No response."
        book.db.commit()
    assert dump(tiny.gradebook, own=False) == ours


def test_the_same_again_writes_nothing_and_what_people_gave_stays(tiny, cells):
    written(tiny, cells, record("ada"), record("ben", 0.5))
    with open_gradebook(tiny.root) as book:
        grade = book.find_grade("why", NAME, NAME, "ada")
        grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 1.5, 0.25, False
        book.find_comment("why", NAME, NAME, "ada").manual_comment = "Yes."
        book.db.commit()
    before = dump(tiny.gradebook)
    written(tiny, cells, record("ada"), record("ben", 0.5))
    assert dump(tiny.gradebook) == before
    written(tiny, cells, record("ada", submission="b" * 64))
    after = dump(tiny.gradebook)
    assert after["comments"] == before["comments"]
    assert set(after["grades"]) - set(before["grades"]) == {
        f"('{NAME}', 'ada', 'GradeCell', 'why', None, 1.5, 0.25, 1)"
    }


def test_scores_are_read_in_order(tiny, cells):
    written(tiny, cells, record("ben", 0.5), record("ada"))
    found = gradebook.scores(tiny.root, [NAME])
    order = [cell for task in tasks_of(read(tiny.source(NAME))) for cell in task.cells]
    assert [(score.student, score.cell) for score in found] == [(s, cell) for s in ("ada", "ben") for cell in order]
    assert {score.cell: score.points for score in found} == POINTS
    assert sum(score.score for score in found if score.student == "ben") == 5
    assert gradebook.scores(tiny.root, [NAME], "ada") == found[: len(order)]
    assert list(gradebook.students(tiny.root)) == ["ada", "ben"]


def test_what_is_known_of_a_person_is_entered_and_never_emptied(tiny, cells):
    writer = Writer(tiny.root, {NAME: cells})
    person = {"first_name": "Ada", "last_name": "Lovelace", "email": "", "lms_user_id": "4711"}
    for given in (person, {}, {"email": "ada@example.org"}):
        writer.add(Entry(record("ada"), person=given))
        assert writer.finish() == ""
    writer.close()
    assert gradebook.students(tiny.root) == {
        "ada": gradebook.Student("ada", "Ada", "Lovelace", "ada@example.org", "4711")
    }


def test_each_submission_costs_the_same(tiny, cells):
    """As little, from some dozens on, with hundreds in the gradebook as with none."""
    written(tiny, cells)  # makes it
    costs = []
    for start, number in ((0, 50), (50, 500), (550, 50)):
        records = [record(f"student-{k:04}") for k in range(start, start + number)]
        costs.append(written(tiny, cells, *records) / number)
    assert max(costs) < 0.010, costs
    assert costs[2] < 3 * costs[0] + 0.001, costs
