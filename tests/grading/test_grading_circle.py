"""Release → students → autograde → feedback → tables, on the small problem set."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import read, with_code, write
from tiny_course import NAME

from course_lib.grading import gradebook, plain
from course_lib.grading.course import Course
from course_lib.grading.export import canvas_csv, marks_of, moodle_csv
from course_lib.grading.release import release
from course_lib.grading.samples import HALF, RIGHT, WRONG, expected, students_of

POINTS = {"double-test": 2, "double-sequence": 1, "mean-test": 2, "why": 2, "largest-test": 4, "sign-test": 1}
FULL = POINTS | {"why": 0}  # nobody has read the written answer yet
NONE = dict.fromkeys(POINTS, 0)
GRADED = {"ada", "ben", "eve", "fay", "gus", "ida", "jon", "kim", "lea"}  # all but hal, whose file is no notebook


def earned(course: Course, student: str) -> dict[str, float]:
    return {row.cell: row.score for row in gradebook.scores(course.root, [NAME], student)}


@pytest.fixture
def own_course(circle, tmp_path) -> Course:
    """A copy of the graded course that a test may change."""
    for part in ("pyproject.toml", "nbgrader_config.py"):
        shutil.copy(circle.course.root / part, tmp_path)
    for part in ("solutions", "assignments", "build"):
        shutil.copytree(circle.course.root / part, tmp_path / part)
    return Course(tmp_path)


def test_scores_are_exactly_as_expected(circle):
    half = FULL | {"largest-test": 0, "sign-test": 0}
    wanted = {"ada": FULL, "ben": half, "eve": NONE, "fay": FULL, "kim": NONE, "lea": FULL}
    wanted |= {"gus": FULL | {"mean-test": 0}, "ida": FULL, "jon": FULL}  # a process that ended, two that were repaired
    assert {student: earned(circle.course, student) for student in wanted} == wanted
    graded = {row.student for row in gradebook.scores(circle.course.root, [NAME])}
    assert graded == set(wanted)  # those that were refused are not in the gradebook, not even with 0


def test_scores_agree_with_an_execution_that_knows_nothing_of_nbgrader(circle):
    source = circle.course.read_source(NAME)
    for student, notebook in students_of(circle.course, NAME).items():
        by_cell = {cell: score for cell, score in earned(circle.course, student).items() if cell != "why"}
        assert expected(source, notebook) == by_cell
    assert [RIGHT, HALF, WRONG] == ["ada", "ben", "eve"]


def test_answers_wait_for_a_person_and_empty_ones_do_not(circle):
    pending = {
        row.student: row.needs_manual_grade for row in gradebook.scores(circle.course.root, [NAME]) if row.cell == "why"
    }
    assert pending == {student: student not in ("ben", "kim") for student in GRADED}


def test_what_was_not_graded_is_named_with_a_reason_and_what_was_repaired_with_the_repair(circle):
    ran = circle.graded
    assert ran.status == 1
    assert [line for line in ran.err.splitlines() if "course:" in line and "was not graded" in line] == [
        line for line in ran.err.splitlines() if "hal" in line
    ]
    assert "web page" in ran.err
    repaired = {line.split(",")[0]: line for line in ran.out.splitlines() if "was repaired" in line}
    assert set(repaired) == {"ida", "jon"}
    assert "'double-test'" in repaired["ida"]
    assert "9 graded, 0 unchanged, 1 not graded; 2 were repaired" in ran.out
    assert "Traceback" not in ran.out + ran.err


def test_the_table_names_students_tasks_and_totals(circle):
    rows = {}
    for line in circle.graded.out.splitlines():
        parts = line.split()
        rows[parts[0] if parts else ""] = parts[1:]
    assert rows["student"] == ["/3", "/2", "/2", "/4", "/1", "/12"]
    assert rows["ada"] == ["3", "2", "*", "4", "1", "10"]
    assert rows["ben"] == ["3", "2", "0", "0", "0", "5"]
    assert rows["kim"] == ["0", "0", "0", "0", "0", "0"]


def test_nothing_half_done_is_left(circle):
    grading = circle.course.grading
    autograded = {path.name for path in (grading / "autograded").iterdir()}
    assert autograded == GRADED
    assert not list(grading.glob("**/.*"))
    assert not (grading / "submitted" / "hal").exists()
    assert (
        circle.course.submitted("ada", NAME).read_bytes() == (circle.submissions / "ada" / f"{NAME}.ipynb").read_bytes()
    )


def test_the_formgrader_opens_the_results(circle):
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    config = plain.settings(circle.course.root)
    api = NbGraderAPI(CourseDirectory(config=config), config=config)
    assert [assignment["name"] for assignment in api.get_assignments()] == [NAME]
    rows = {row["student"]: row for row in api.get_submissions(NAME)}
    assert rows["ada"]["autograded"]
    assert rows["ada"]["score"] == 10
    assert rows["gus"]["autograded"]
    assert rows["gus"]["score"] == 8
    assert "hal" not in rows
    assert rows["ada"]["max_score"] == 12


def test_feedback_shows_the_score_and_hides_the_hidden_tests(own_course, course_command):
    stale = own_course.feedback("ada", NAME)
    stale.parent.mkdir(parents=True)
    stale.write_text("from last week")
    ran = course_command("feedback", "-a", NAME, "-j", "1", inside=own_course.root)
    assert ran.status == 0, ran.err
    assert "10 pages" in ran.out  # the refused one has a page, too
    pages = {student: own_course.feedback(student, NAME).read_text() for student in ("ada", "ben", "eve", "fay", "kim")}
    for page in pages.values():
        text = re.sub("<[^>]*>", "", page)
        for hidden in ("seventeen", "abab", "-34", "-41", "[23]", "HIDDEN TESTS"):
            assert hidden not in text[text.index("points") :], hidden  # after the styles
    assert re.search(r">10 <small>of 12 points<", pages["ada"])
    assert "Task 1 is wrong; think of the sign." in pages["eve"]  # a visible check may teach
    assert "A hidden test failed: your code raised TypeError" in pages["eve"]
    assert "This task is not done yet." in pages["ben"]
    assert "careful" in pages["fay"]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_plain_table_has_a_row_for_each_task(circle, course_command, tmp_path):
    ran = course_command("export", "--csv", "-o", tmp_path / "deep" / "marks.csv", inside=circle.course.root)
    assert ran.status == 0
    assert "7 submissions have written answers" in ran.err
    rows = rows_of((tmp_path / "deep" / "marks.csv").read_text())
    assert len(rows) == 9 * 5
    of_ben = {
        row["task"]: (row["score"], row["points"], row["needs_manual_grade"]) for row in rows if row["student"] == "ben"
    }
    assert of_ben == {
        "double": ("3", "3", "no"),
        "mean": ("2", "2", "no"),
        "why": ("0", "2", "no"),
        "largest": ("0", "4", "no"),
        "sign": ("0", "1", "no"),
    }


def test_the_lms_tables_have_the_fields_that_they_import(own_course):
    from nbgrader.api import Gradebook

    with Gradebook(plain.settings(own_course.root).CourseDirectory.db_url) as gradebook:
        person = {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.org", "lms_user_id": "4711"}
        gradebook.update_or_create_student("ada", **person)
    marks = marks_of(own_course)
    canvas = canvas_csv(own_course, marks).splitlines()
    assert canvas[0] == f"Student,ID,SIS User ID,SIS Login ID,Section,{NAME}"
    assert canvas[1] == "    Points Possible,,,,,12"
    assert canvas[2] == '"Lovelace, Ada",4711,,ada,,10'
    assert canvas[3] == "ben,,,ben,,5"
    moodle = rows_of(moodle_csv(own_course, marks))
    assert moodle[0] == {
        "First name": "Ada",
        "Last name": "Lovelace",
        "Username": "ada",
        "Email address": "ada@example.org",
        NAME: "10",
        f"{NAME} (feedback)": "double 3/3, mean 2/2, why 0/2, largest 4/4, sign 1/1.",
    }


def test_a_regrade_keeps_what_a_person_gave_and_a_refused_one_keeps_the_earlier_result(
    own_course, course_command, tmp_path
):
    from nbgrader.api import Gradebook

    url = plain.settings(own_course.root).CourseDirectory.db_url
    with Gradebook(url) as book:
        book.find_grade("why", NAME, NAME, "ada").manual_score = 1.5
        book.db.commit()
    right = students_of(own_course, NAME)[RIGHT]
    folder = tmp_path / "again"
    write(folder / "ada" / f"{NAME}.ipynb", with_code(right, "sign", "def sign(x):\n    return 0"))
    write(folder / "ben" / f"{NAME}.ipynb", with_code(right, "mean", "import os\nos.kill(os.getppid(), 9)"))
    write(folder / "fay" / f"{NAME}.ipynb", "{")
    before = own_course.autograded("fay", NAME).read_bytes()
    scores_before = earned(own_course, "fay")
    ran = course_command("grade", folder, "-j", "1", inside=own_course.root)
    assert ran.status == 1
    assert "fay, ps00_tiny was not graded" in ran.err
    assert earned(own_course, "ada") == FULL | {"why": 1.5, "sign-test": 0}
    assert earned(own_course, "ben") == FULL | {"mean-test": 0}
    assert earned(own_course, "fay") == scores_before
    assert own_course.autograded("fay", NAME).read_bytes() == before


BAD_INPUT = {
    "no folder": (("grade", "nowhere"), "There is no folder nowhere"),
    "a file": (("grade", "pyproject.toml"), "is not a folder"),
    "an empty folder": (("grade", "empty"), "There is no submission"),
    "an unknown problem set": (("grade", "bad", "-a", "ps99"), "ps99"),
    "an unknown sandbox": (("grade", "bad", "--sandbox", "jail"), "'jail'"),
    "no roster": (("grade", "bad", "--roster", "who.csv"), "who.csv"),
    "not released": (("grade", "bad"), "is not released yet"),
    "unknown in feedback": (("feedback", "-a", "ps99"), "ps99"),
    "nothing graded, feedback": (("feedback",), "run course grade first"),
    "nothing graded, export": (("export", "--csv"), "run course grade first"),
    "no table chosen": (("export",), "--canvas"),
    "two tables chosen": (("export", "--csv", "--moodle"), "--canvas"),
    "samples in a full folder": (("samples", "bad"), "holds something"),
    "samples of what is not released": (("samples", "new"), "not released"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_sentence_and_leaves_nothing(tiny, course_command, case):
    (tiny.root / "empty").mkdir()
    write(tiny.root / "bad" / "ada" / f"{NAME}.ipynb", "not a notebook")
    arguments, sentence = BAD_INPUT[case]
    before = sorted(str(path) for path in tiny.root.rglob("*"))
    ran = course_command(*arguments, inside=tiny.root)
    assert ran.status == 2
    assert sentence in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""
    assert sorted(str(path) for path in tiny.root.rglob("*")) == before


def test_where_nothing_can_be_graded_it_is_said_and_no_student_is_entered(tiny, course_command):
    release(tiny)
    write(tiny.root / "bad" / "ada" / f"{NAME}.ipynb", "not a notebook")
    ran = course_command("grade", "bad", "-j", "1", inside=tiny.root)
    assert ran.status == 2
    assert "Nothing in bad could be graded:" in ran.err
    assert f"ada, {NAME}: it is not JSON" in ran.err
    assert gradebook.students(tiny.root) == {}
    assert not (tiny.grading / "autograded").exists()
    assert not (tiny.grading / "submitted").exists()


def test_outside_the_course_is_one_sentence(tmp_path, course_command):
    ran = course_command("grade", ".", inside=tmp_path)
    assert ran.status == 2
    assert "not inside the course" in ran.err


def test_a_table_that_cannot_be_written_is_one_sentence(circle, course_command):
    ran = course_command("export", "--csv", "-o", "/proc/marks.csv", inside=circle.course.root)
    assert ran.status == 2
    assert "Cannot write /proc/marks.csv" in ran.err


@pytest.mark.parametrize("command", ["release", "grade", "feedback", "export", "samples"])
def test_help_has_an_example(tmp_path, course_command, command):
    ran = course_command(command, "--help", inside=tmp_path)
    assert ran.status == 0
    assert f"Example: course {command}" in ran.out


def test_samples_are_three_students_for_each_problem_set(own_course, course_command):
    assert course_command("samples", "new", inside=own_course.root).status == 0
    files = sorted(
        str(path.relative_to(own_course.root / "new")) for path in Path(own_course.root / "new").rglob("*.ipynb")
    )
    assert files == [f"{student}/{NAME}.ipynb" for student in ("ada", "ben", "eve")]
    text = json.dumps(read(own_course.root / "new" / "ada" / f"{NAME}.ipynb"))
    assert "SOLUTION" not in text
    assert "HIDDEN" not in text
