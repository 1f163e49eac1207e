"""The gradebook as tables: plain CSV, and the files that Canvas and Moodle import."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from course_lib.errors import CourseError
from course_lib.grading.course import Course
from course_lib.grading.grade import Mark, by_task

Marks = dict[tuple[str, str], dict[str, Mark]]  # (assignment, student): by task


def marks_of(course: Course, names: Sequence[str] = ()) -> Marks:
    """The marks in the gradebook, by problem set and student.

    Raises:
        CourseError: an unknown problem set, or nothing has been graded.
    """
    wanted = course.choose(names)
    found: Marks = {}
    if course.gradebook.is_file():
        from course_lib.grading import gradebook  # imports nbgrader, which takes seconds

        cells: dict[tuple[str, str], list[gradebook.CellScore]] = {}
        for score in gradebook.scores(course.root, wanted):
            cells.setdefault((score.assignment, score.student), []).append(score)
        tasks = {name: course.tasks(name) for name in {name for name, _ in cells}}
        found = {key: by_task(tasks[key[0]], scores) for key, scores in cells.items()}
    if not found:
        raise CourseError(f"Nothing of {' or '.join(wanted)} has been graded; run course grade first.")
    return found


def number(value: float) -> str:
    """A score as LMSs show it: at most two decimals, none that say nothing."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def plain_csv(course: Course, marks: Marks) -> str:
    """One row for each task of each submission.

    Columns: student, assignment, task, score, points, needs_manual_grade (yes or no).
    """
    rows = [["student", "assignment", "task", "score", "points", "needs_manual_grade"]]
    for (name, student), tasks in marks.items():
        for task, mark in tasks.items():
            pending = "yes" if mark.needs_manual_grade else "no"
            rows.append([student, name, task, number(mark.score), number(mark.points), pending])
    return _write(rows)


def canvas_csv(course: Course, marks: Marks) -> str:
    """What Canvas imports under Grades > Import.

    The columns Student, ID, SIS User ID, SIS Login ID, Section in this order, then one for each assignment, titled
    with its name or "name (number)"; the second row holds the points possible. Canvas finds a student by ID, else by
    SIS User ID, else by SIS Login ID, else by name, and offers to create an assignment whose title it does not know.
    An empty score changes nothing. Sources: the instructor guide's "How do I import grades in the Gradebook?",
    https://community.canvaslms.com/t5/Instructor-Guide/tkb-p/Instructor, and for the header row Canvas's own reader,
    https://github.com/instructure/canvas-lms/blob/master/lib/gradebook_importer.rb.

    A student's id in our gradebook is written as SIS Login ID, `lms_user_id` as ID; the name is "Last, First" if known.
    """
    names, people, totals, points = _totals(course, marks)
    rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *names]]
    rows.append(["    Points Possible", "", "", "", "", *(number(points[name]) for name in names)])
    for student, person in people.items():
        known = ", ".join(part for part in (person.last_name, person.first_name) if part)
        scores = [totals.get((name, student), "") for name in names]
        rows.append([known or student, person.lms_user_id, "", student, "", *scores])
    return _write(rows)


def moodle_csv(course: Course, marks: Marks) -> str:
    """What Moodle imports under Grades > Import > CSV file.

    Moodle asks which column says who a student is ("Map from") and what it holds ("Map to": userid, useridnumber,
    useremail or username), then for each other column which grade item it is, an existing or a new one. So the
    headings are those of Moodle's own grade export where it has one: "First name", "Last name", "Email address"; then
    "Username" and one column for each problem set. Map from Username to username, or from Email address to useremail.
    An empty score is no grade. Grades above 100 are refused unless the site allows more. Sources:
    https://docs.moodle.org/en/Grade_import, and https://github.com/moodle/moodle, grade/import/csv.

    A student's id in our gradebook is written as Username.
    """
    names, people, totals, _ = _totals(course, marks)
    rows = [["First name", "Last name", "Username", "Email address", *names]]
    for student, person in people.items():
        scores = [totals.get((name, student), "") for name in names]
        rows.append([person.first_name, person.last_name, student, person.email, *scores])
    return _write(rows)


def _totals(course: Course, marks: Marks) -> tuple[list[str], dict, dict[tuple[str, str], str], dict[str, float]]:
    """Problem sets in order, students by id, the total of each submission as text, and the points of each set."""
    from course_lib.grading import gradebook

    names = sorted({name for name, _ in marks})
    known = gradebook.students(course.root)
    people = {student: known.get(student, gradebook.Student(student)) for student in sorted({key[1] for key in marks})}
    totals = {key: number(sum(mark.score for mark in tasks.values())) for key, tasks in marks.items()}
    return names, people, totals, {name: sum(task.points for task in course.tasks(name)) for name in names}


def _write(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
