"""The gradebook as tables: plain CSV, and the files that Canvas and Moodle import.

Totals are those after what grading.toml takes off for being late and for extra attempts (`late.adjusted`), computed
from the marks as they are now, with what people gave.

Text that a spreadsheet would take for a formula gets an apostrophe in front, as OWASP advises
(https://owasp.org/www-community/attacks/CSV_Injection). Names and comments can begin so; ids cannot (`lms.is_student`),
so nothing by which a system finds a student is changed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading import late
from course_lib.grading.course import Course
from course_lib.grading.grade import Mark, by_task
from course_lib.grading.lms import as_student
from course_lib.grading.results import all_records, effective

Marks = dict[tuple[str, str], dict[str, Mark]]  # (assignment, student): by task
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
NUMBER = re.compile(r"-?\d+(\.\d+)?")


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


def records_of(course: Course, marks: Marks) -> dict[tuple[str, str], dict[str, Any]]:
    """The record that counts for each submission that has one: (assignment, student): record."""
    found = {}
    for name in {name for name, _ in marks}:
        for record in all_records(course, name):
            counts = effective(record)
            if counts is not None:
                found[name, record["student"]] = counts
    return found


def plain_csv(course: Course, marks: Marks) -> str:
    """One row for each task of each submission, before anything is taken off.

    Columns: student, assignment, task, score, points, needs_manual_grade (yes or no).
    """
    rows = [["student", "assignment", "task", "score", "points", "needs_manual_grade"]]
    for (name, student), tasks in marks.items():
        for task, mark in tasks.items():
            pending = "yes" if mark.needs_manual_grade else "no"
            rows.append([student, name, task, number(mark.score), number(mark.points), pending])
    return _write(rows)


def totals_csv(course: Course, marks: Marks) -> str:
    """One row for each submission.

    Columns: student, first_name, last_name, email, lms_user_id, assignment, submitted (ISO 8601, empty if not known),
    attempt, attempts, score (as graded), penalty (points), total, points, needs_manual_grade (yes or no), why (what was
    taken off, a sentence).
    """
    table = _Table(course, marks)
    person_columns = ["first_name", "last_name", "email", "lms_user_id"]
    columns = ["submitted", "attempt", "attempts", "score", "penalty", "total", "points", "needs_manual_grade", "why"]
    rows = [["student", *person_columns, "assignment", *columns]]
    for (name, student), tasks in marks.items():
        person, record = table.people[student], table.records.get((name, student), {})
        terms = record.get("late") or {}
        raw, total = table.raw[name, student], table.totals[name, student]
        pending = "yes" if any(mark.needs_manual_grade for mark in tasks.values()) else "no"
        rows.append(
            [
                *(student, person.first_name, person.last_name, person.email, person.lms_user_id, name),
                *(record.get("submitted", ""), str(terms.get("attempt", 1)), str(terms.get("attempts", 1))),
                *(number(raw), number(raw - total), number(total), number(table.points[name]), pending),
                terms.get("why", ""),
            ]
        )
    return _write(rows)


def canvas_csv(course: Course, marks: Marks) -> str:
    """What Canvas imports under Grades > Import.

    The columns Student, ID, SIS User ID, SIS Login ID, Section in this order, then one for each assignment, titled
    with its name or "name (number)"; the second row holds the points possible. Canvas finds a student by ID, else by
    SIS User ID, else by SIS Login ID, else by name; an assignment by its number, else by its title, and offers to
    create one that it does not know. An empty score changes nothing. Sources: the instructor guide's "How do I import
    grades in the Gradebook?", https://community.canvaslms.com/t5/Instructor-Guide/tkb-p/Instructor, and Canvas's own
    reader and writer, https://github.com/instructure/canvas-lms/blob/master/lib/gradebook_importer.rb and
    gradebook_exporter.rb.

    ID is `lms_user_id`, which `course grade` takes from Canvas's file names or the roster; SIS Login ID is the
    student's id in our gradebook, unless that was made up from such a file name. The assignment's number is the
    `canvas_id` in grading.toml. The name is "Last, First" if known.
    """
    table = _Table(course, marks)
    policy = late.read_policy(course.root, course.choose())
    numbers = {name: policy.of(name).canvas_id for name in table.names}
    titles = [f"{name} ({numbers[name]})" if numbers[name] else name for name in table.names]
    rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *titles]]
    rows.append(["    Points Possible", "", "", "", "", *(number(table.points[name]) for name in table.names)])
    for student, person in table.people.items():
        known = ", ".join(part for part in (person.last_name, person.first_name) if part)
        login = "" if table.made_up(student) else student
        scores = [table.total(name, student) for name in table.names]
        rows.append([known or student, person.lms_user_id, "", login, "", *scores])
    return _write(rows)


def moodle_csv(course: Course, marks: Marks) -> str:
    """What Moodle imports under Grades > Import > CSV file.

    Moodle asks which column says who a student is ("Map from") and what it holds ("Map to": userid, useridnumber,
    useremail or username), then for each other column which grade item it is, an existing or a new one, or the feedback
    to one. So the headings are those of Moodle's own grade export where it has one: "First name", "Last name", "Email
    address"; then "Username" and for each problem set its name and its name with "(feedback)". Map from Username to
    username, or from Email address to useremail. An empty score is no grade. Grades above 100 are refused unless the
    site allows more. Sources: https://docs.moodle.org/en/Grade_import, and https://github.com/moodle/moodle,
    grade/import/csv/classes/load_data.php.

    A student's id in our gradebook is written as Username, unless that was made up from the name of a downloaded file;
    such students are found by `moodle_worksheet`.
    """
    table = _Table(course, marks)
    columns = [column for name in table.names for column in (name, f"{name} (feedback)")]
    rows = [["First name", "Last name", "Username", "Email address", *columns]]
    for student, person in table.people.items():
        cells = [cell for name in table.names for cell in (table.total(name, student), table.feedback(name, student))]
        login = "" if table.made_up(student) else student
        rows.append([person.first_name, person.last_name, login, person.email, *cells])
    return _write(rows)


def moodle_worksheet(course: Course, marks: Marks) -> tuple[str, list[str]]:
    """What Moodle imports in one assignment under Submissions > Actions > Upload grading worksheet.

    The columns are "Identifier", "Full name", "Email address", "Grade", "Last modified (grade)" and "Feedback
    comments", in English, of which Moodle needs Identifier, Grade and Last modified (grade)
    (https://github.com/moodle/moodle/blob/main/mod/assign/feedback/offline/importgradeslib.php; the headings are those
    of mod/assign/lang/en/assign.php). An Identifier is "Participant 123" with the number that stands in the names of
    downloaded files; it holds for this one assignment only. The assignment has to have the feedback type "Offline
    grading worksheet". Where there is a newer grade in Moodle, tick "Allow updating records that have been modified
    more recently in Moodle than in the spreadsheet" when uploading. A grade above the assignment's maximum is passed
    over.

    Returns:
        The table, and the students who are not in it because they were not downloaded from Moodle.

    Raises:
        CourseError: the marks are of more than one problem set, or none was downloaded from Moodle.
    """
    table = _Table(course, marks)
    if len(table.names) > 1:
        raise CourseError(
            f"A grading worksheet is of one problem set, and {len(table.names)} are graded; "
            "say which one with --assignment."
        )
    name, missing = table.names[0], []
    headings = ["Identifier", "Full name", "Email address", "Grade", "Last modified (grade)", "Feedback comments"]
    rows = [headings]
    for student, person in table.people.items():
        lms = table.records.get((name, student), {}).get("lms") or {}
        if lms.get("system") != "moodle":
            missing.append(student)
            continue
        full = lms.get("name") or f"{person.first_name} {person.last_name}".strip()
        grade, feedback = table.total(name, student), table.feedback(name, student)
        rows.append([f"Participant {lms['id']}", full, person.email, grade, "-", feedback])
    if len(rows) == 1:
        raise CourseError(
            f"No submission of {name} was downloaded from Moodle, so the numbers of its participants are not known; "
            "use --moodle."
        )
    return _write(rows), missing


class _Table:
    """What the tables for other systems share."""

    def __init__(self, course: Course, marks: Marks) -> None:
        from course_lib.grading import gradebook

        self.marks = marks
        self.names = sorted({name for name, _ in marks})  # problem sets
        self.records = records_of(course, marks)
        known = gradebook.students(course.root)
        self.people = {s: known.get(s, gradebook.Student(s)) for s in sorted({student for _, student in marks})}
        self.points = {name: sum(task.points for task in course.tasks(name)) for name in self.names}
        self.raw = {key: sum(mark.score for mark in tasks.values()) for key, tasks in marks.items()}
        self.totals = {
            key: late.adjusted(raw, self.points[key[0]], self.records.get(key, {}).get("late") or {})
            for key, raw in self.raw.items()
        }

    def total(self, name: str, student: str) -> str:
        """What a student has for a problem set; empty where nothing is graded."""
        return number(self.totals[name, student]) if (name, student) in self.totals else ""

    def feedback(self, name: str, student: str) -> str:
        """The marks by task, and what was taken off."""
        tasks = self.marks.get((name, student))
        if tasks is None:
            return ""
        listed = ", ".join(f"{task} {number(mark.score)}/{number(mark.points)}" for task, mark in tasks.items())
        why = (self.records.get((name, student), {}).get("late") or {}).get("why", "")
        return f"{listed}. {why}".strip()

    def made_up(self, student: str) -> bool:
        """Whether a student's id is from the name of a downloaded file, and so none that the system knows."""
        for (_, who), record in self.records.items():
            lms = record.get("lms") or {}
            if who == student and lms.get("system") == "canvas":
                return student in (f"{lms['name']}-{lms['id']}", student if student.startswith("anon-") else "")
            if who == student and lms.get("system") == "moodle":
                return student in (as_student(lms["name"]), f"{as_student(lms['name'])} {lms['id']}")
        return False


def harmless(text: str) -> str:
    """`text` in one line, and such that no spreadsheet takes it for a formula."""
    line = "".join(c if c.isprintable() else " " for c in text)
    if line.strip().startswith(FORMULA) and line != "-" and not NUMBER.fullmatch(line):
        return f"'{line}"
    return line


def _write(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([harmless(field) for field in row] for row in rows)
    return text.getvalue()
