"""The tables for Canvas, Moodle and spreadsheets, read back as those systems read them."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import standin
import tiny_course
from conftest import write
from tiny_course import NAME

from course_lib.errors import CourseError
from course_lib.grading import export
from course_lib.grading.course import Course
from course_lib.grading.export import canvas_csv, harmless, marks_of, moodle_csv, moodle_worksheet, totals_csv
from course_lib.grading.grade import grade
from course_lib.grading.lms import Person, Roster
from course_lib.grading.release import release
from course_lib.grading.samples import students_of

POLICY = f"""
timezone = "UTC"
[{NAME}]
due = 2026-11-01 12:00:00
penalty_percent = 10
canvas_id = 815
"""


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Path:
    """The tiny course, graded by the stand-in: a class whose files came from everywhere."""
    root = tmp_path_factory.mktemp("export")
    course = Course(tiny_course.make_course(root))
    release(course)
    (root / "grading.toml").write_text(POLICY)
    right, half, _ = students_of(course, NAME).values()
    folder = root / "downloads"
    write(folder / f"lovelaceada_4711_990_{NAME}.ipynb", right)
    write(folder / f"moogbob_LATE_12_991_{NAME}.ipynb", half)
    write(folder / f"Zoë Müller_77_assignsubmission_file_/{NAME}.ipynb", right)
    write(folder / f"Yu Ito_78_assignsubmission_file_/{NAME}.ipynb", half)
    write(folder / "late" / f"{NAME}.ipynb", right)
    (folder / "late" / "timestamp.txt").write_text("2026-11-02 13:00:00 UTC")
    write(folder / "hal" / f"{NAME}.ipynb", "<html>please sign in</html>")
    people = [
        Person("bob", "Bob", "Moog", "bob@example.org", "12"),
        Person("yu", "=cmd|' /C calc'!A0", "+Ito", "yu@example.org", name="Yu Ito"),
        Person("late", "Eve", "Late", "late@example.org"),
    ]
    grade(course, folder, roster=Roster.of(people), grader=standin.grade_one)
    return root


@pytest.fixture
def course(once, tmp_path) -> Course:
    shutil.copytree(once, tmp_path / "course")
    return Course(tmp_path / "course")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_canvas_finds_its_assignment_and_its_students(course):
    rows = list(csv.reader(io.StringIO(canvas_csv(course, marks_of(course)))))
    assert rows[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", f"{NAME} (815)"]
    assert rows[1] == ["    Points Possible", "", "", "", "", "12"]
    by_name = {row[0]: row for row in rows[2:]}
    # from Canvas itself: by its number alone, for the id was made of the file's name
    assert by_name["lovelaceada-4711"] == ["lovelaceada-4711", "4711", "", "", "", "10"]
    assert by_name["Moog, Bob"] == ["Moog, Bob", "12", "", "bob", "", "5"]
    assert by_name["Late, Eve"][3:] == ["late", "", "7.6"]  # 10 less 20% of 12, on the second day
    assert "hal" not in str(rows)  # what was refused is no 0
    assert {len(row) for row in rows} == {6}


def test_moodle_gets_totals_with_the_reason_as_feedback(course):
    rows = {row["Email address"]: row for row in rows_of(moodle_csv(course, marks_of(course)))}
    assert list(rows["late@example.org"]) == [
        "First name",
        "Last name",
        "Username",
        "Email address",
        NAME,
        f"{NAME} (feedback)",
    ]
    late = rows["late@example.org"]
    assert (late["Username"], late[NAME]) == ("late", "7.6")
    assert late[f"{NAME} (feedback)"] == (
        "double 3/3, mean 2/2, why 0/2, largest 4/4, sign 1/1. Handed in 1 day 1 hour after the time due, "
        "2026-11-01 12:00 UTC (by its timestamp.txt): 20% of the points possible are taken off."
    )
    logins = {row["Username"] for row in rows_of(moodle_csv(course, marks_of(course)))}
    assert logins == {"bob", "yu", "late", ""}  # Moodle knows no user "Zoë Müller"


def test_a_grading_worksheet_names_participants_by_their_numbers(course):
    text, missing = moodle_worksheet(course, marks_of(course))
    rows = rows_of(text)
    assert list(rows[0]) == [
        "Identifier",
        "Full name",
        "Email address",
        "Grade",
        "Last modified (grade)",
        "Feedback comments",
    ]
    assert [(row["Identifier"], row["Full name"], row["Grade"]) for row in rows] == [
        ("Participant 77", "Zoë Müller", "10"),
        ("Participant 78", "Yu Ito", "5"),
    ]
    assert missing == ["bob", "late", "lovelaceada-4711"]


def test_a_worksheet_without_moodle_or_of_two_sets_is_one_sentence(course, monkeypatch):
    marks = {key: tasks for key, tasks in marks_of(course).items() if key[1] in ("bob", "late")}
    with pytest.raises(CourseError, match="use --moodle"):
        moodle_worksheet(course, marks)
    monkeypatch.setattr(Course, "tasks", lambda self, name: [])
    with pytest.raises(CourseError, match="--assignment"):
        moodle_worksheet(course, {**marks, ("ps02", "bob"): {}})


def test_marks_that_people_give_later_count_in_what_is_taken_off(course):
    from course_lib.grading.gradebook import open_gradebook

    with open_gradebook(course.root) as gradebook:
        gradebook.find_grade("why", NAME, NAME, "late").manual_score = 2
        gradebook.db.commit()
    row = next(row for row in rows_of(totals_csv(course, marks_of(course))) if row["student"] == "late")
    assert (row["score"], row["penalty"], row["total"], row["points"]) == ("12", "2.4", "9.6", "12")
    assert row["why"].startswith("Handed in 1 day 1 hour")
    assert row["submitted"] == "2026-11-02T13:00:00+00:00"


def test_the_totals_say_where_a_time_is_not_known(course):
    rows = {row["student"]: row for row in rows_of(totals_csv(course, marks_of(course)))}
    assert "Marked as late, but by how much is not known" in rows["bob"]["why"]
    assert (rows["bob"]["penalty"], rows["bob"]["submitted"], rows["bob"]["lms_user_id"]) == ("0", "", "12")
    assert rows["lovelaceada-4711"]["why"] == ""  # Canvas did not mark it


def test_no_field_is_a_formula(course):
    tables = [
        export.plain_csv(course, marks_of(course)),
        totals_csv(course, marks_of(course)),
        canvas_csv(course, marks_of(course)),
        moodle_csv(course, marks_of(course)),
        moodle_worksheet(course, marks_of(course))[0],
    ]
    assert "'=cmd" in "".join(tables)
    for table in tables:
        for row in csv.reader(io.StringIO(table)):
            assert not [field for field in row if field.strip()[:1] in tuple("=+-@") and field != "-"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Ada", "Ada"),
        ("-3.5", "-3.5"),
        ("-", "-"),
        ("=1+1", "'=1+1"),
        ("  @SUM(A1)", "'  @SUM(A1)"),
        ("\t=1", "' =1"),
        ("＝1", "'＝1"),
        ("-2+3", "'-2+3"),
        ("a\r\n=1", "a  =1"),
        ("O'Neil, Zoë", "O'Neil, Zoë"),
    ],
)
def test_text_that_a_spreadsheet_would_execute_is_made_text(text, written):
    assert harmless(text) == written


def test_the_commands_write_each_table(course, course_command):
    for option in ("--totals", "--canvas", "--moodle", "--csv"):
        ran = course_command("export", option, inside=course.root)
        assert ran.status == 0, ran.err
        assert ran.out.count("\n") >= 6
    ran = course_command("export", "--moodle-worksheet", "-o", "sheet.csv", inside=course.root)
    assert ran.status == 0
    assert "bob, late, lovelaceada-4711" in ran.err
    assert len(rows_of((course.root / "sheet.csv").read_text())) == 2
    (course.root / "grading.toml").write_text("[ps99]\n")
    ran = course_command("export", "--canvas", inside=course.root)
    assert (ran.status, ran.out) == (2, "")
    assert "grading.toml, ps99" in ran.err


def test_records_without_what_was_added_later_still_make_tables(course):
    for path in (course.grading / "results").glob("*/*.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in record.items() if k not in ("lms", "late", "notes")}))
    assert rows_of(totals_csv(course, marks_of(course)))[0]["penalty"] == "0"
    assert "late" in canvas_csv(course, marks_of(course))
