"""A page for each student: the score, what is likely wrong, their own work, what a person wrote; no hidden tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.grading.course import Course, write_whole
from course_lib.grading.page import Given, Grade, Page
from course_lib.grading.pool import Call, Pool
from course_lib.grading.submissions import Refusal

LIMIT = 300.0  # seconds a page may take
PRELOAD = ("course_lib.grading.feedback", "nbconvert.filters.markdown_mistune", "pygments.formatters", "PIL.Image")


def feedback(
    course: Course,
    names: Sequence[str] = (),
    *,
    jobs: int = 1,
    started: Callable[[int], None] = lambda total: None,
    finished: Callable[[str], None] = lambda name: None,
) -> tuple[list[Path], list[Refusal]]:
    """Write build/grading/feedback/STUDENT/NAME/NAME.html for everything that has been graded or refused.

    Returns:
        The pages, and what could not be written.

    Raises:
        CourseError: an unknown problem set, or nothing has been graded.
    """
    wanted = course.choose(names)
    known = [
        (student, name)
        for name in wanted
        for student in sorted(
            {path.parts[-3] for path in course.grading.glob(f"autograded/*/{name}/{name}.ipynb")}
            | {path.parts[-2] for path in course.grading.glob(f"results/*/{name}.json")}
        )
    ]
    if not known:
        raise CourseError(f"Nothing of {' or '.join(wanted)} has been graded; run course grade first.")
    started(len(known))
    given = read_given(course, wanted) if course.gradebook.is_file() else {}
    pages, failed = [], []
    with Pool(min(jobs, len(known)), course.grading, LIMIT, PRELOAD) as pool:
        calls = (Call(key, write_page, (course.root, *key, given.get(key))) for key in known)
        for answer in pool.run(calls):
            student, name = answer.key
            if answer.error:
                failed.append(Refusal(f"{student}, {name}", answer.error))
            else:
                pages.append(answer.value)
            finished(f"{student}, {name}")
    return sorted(pages), failed


def write_page(root: Path, student: str, name: str, given: Given | None) -> Path:
    """Write one page; runs in a worker."""
    path = Course(root).feedback(student, name)
    write_whole(path, Page(root, student, name, given).html().encode("utf-8", "replace"))
    return path


def read_given(course: Course, names: Sequence[str], student: str | None = None) -> dict[tuple[str, str], Given]:
    """What the gradebook holds of these problem sets, by (student, assignment), in a few queries."""
    from nbgrader import api
    from sqlalchemy import select

    from course_lib.grading.gradebook import open_gradebook

    submitted = (
        select(api.SubmittedAssignment.student_id, api.Assignment.name)
        .select_from(api.SubmittedNotebook)
        .join(api.SubmittedAssignment, api.SubmittedNotebook.assignment_id == api.SubmittedAssignment.id)
        .join(api.Assignment, api.SubmittedAssignment.assignment_id == api.Assignment.id)
        .where(api.Assignment.name.in_(names))
    )
    if student is not None:
        submitted = submitted.where(api.SubmittedAssignment.student_id == student)
    cells = api.BaseCell.__table__
    with open_gradebook(course.root) as gradebook:
        people = {
            row.id: " ".join(part for part in (row.first_name, row.last_name) if part)
            for row in gradebook.db.execute(select(api.Student.id, api.Student.first_name, api.Student.last_name))
        }
        penalties = gradebook.db.execute(submitted.add_columns(api.SubmittedNotebook.late_submission_penalty)).all()
        columns = (cells.c.name, *(getattr(api.Grade, name) for name in ("auto_score", "manual_score", "extra_credit")))
        grades = gradebook.db.execute(
            submitted.add_columns(*columns, api.Grade.needs_manual_grade)
            .join(api.Grade, api.Grade.notebook_id == api.SubmittedNotebook.id)
            .join(cells, api.Grade.cell_id == cells.c.id)
        ).all()
        comments = gradebook.db.execute(
            submitted.add_columns(cells.c.name, api.Comment.manual_comment)
            .join(api.Comment, api.Comment.notebook_id == api.SubmittedNotebook.id)
            .join(cells, api.Comment.cell_id == cells.c.id)
            .where(api.Comment.manual_comment.is_not(None))
        ).all()
    found = {(who, name): Given(people.get(who, ""), {}, {}, penalty or 0.0) for who, name, penalty in penalties}
    for who, name, cell, *values in grades:
        found[who, name].grades[cell] = Grade(*values[:3], bool(values[3]))  # type: ignore[index]
    for who, name, cell, comment in comments:
        found[who, name].comments[cell] = comment  # type: ignore[index]
    return found
