"""What a second `course grade` does: nothing that is done already, and just what a change touches."""

from __future__ import annotations

import functools
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import standin
import tiny_course
from conftest import read, with_code, write
from standin import gradings, outcome
from tiny_course import NAME, REPOSITORY

from course_lib.errors import CourseError
from course_lib.grading import fingerprint
from course_lib.grading.course import Course, nbgrader_of, source_of
from course_lib.grading.grade import Report, grade
from course_lib.grading.release import release
from course_lib.grading.results import Place
from course_lib.grading.samples import students_of

TESTS = ("double-test", "double-sequence", "mean-test", "largest-test", "sign-test")


class Graded:
    """The tiny course with ada (right), ben (half of it) and eve (wrong) graded once by the stand-in."""

    def __init__(self, root: Path) -> None:
        self.course, self.folder, self.log = Course(root), root / "downloads", root / "log"
        self.notebooks = students_of(self.course, NAME)

    def hand_in(self, student: str, notebook: dict[str, Any] | str) -> None:
        write(self.folder / student / f"{NAME}.ipynb", notebook)

    def again(self, **options: Any) -> Report:
        """Grade, and forget who was graded before."""
        self.log.unlink(missing_ok=True)
        return grade(
            self.course, self.folder, grader=functools.partial(standin.grade_one, log=str(self.log)), **options
        )

    @property
    def who(self) -> list[tuple[str, tuple[str, ...] | None]]:
        return sorted(gradings(self.log))

    def change(self, change: Any) -> None:
        """Change the instructor's notebook, and release it again."""
        notebook = read(self.course.source(NAME))
        change(notebook["cells"])
        write(self.course.source(NAME), notebook)
        release(self.course)

    def record(self, student: str) -> dict[str, Any]:
        record = Place.counting(self.course, student, NAME).read()
        assert record is not None
        return record

    def gradebook(self) -> Any:
        from course_lib.grading.gradebook import open_gradebook

        return open_gradebook(self.course.root)

    def grades(self, student: str) -> dict[str, tuple[Any, ...]]:
        """By cell: automatic score, manual score, extra credit, whether somebody should look."""
        with self.gradebook() as gradebook:
            notebook = gradebook.find_submission(NAME, student).notebooks[0]
            return {
                g.name: (g.auto_score, g.manual_score, g.extra_credit, g.needs_manual_grade) for g in notebook.grades
            }


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """A copy of course_lib: scores depend on its text, which somebody may be editing just now."""
    root = tmp_path_factory.mktemp("library") / "course_lib"
    return Path(shutil.copytree(fingerprint.LIBRARY, root, ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture(autouse=True)
def _at_rest(library, monkeypatch):
    monkeypatch.setattr(fingerprint, "LIBRARY", library)


@pytest.fixture(scope="module")
def once(tmp_path_factory, library) -> Path:
    """The course as it is after the first run; tests work on copies."""
    root = tmp_path_factory.mktemp("once")
    release(Course(tiny_course.make_course(root)))
    made = Graded(root)
    for student, notebook in made.notebooks.items():
        made.hand_in(student, notebook)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "LIBRARY", library)
        made.again()
    made.log.unlink()
    return root


@pytest.fixture
def graded(once, tmp_path) -> Graded:
    shutil.copytree(once, tmp_path / "course")
    return Graded(tmp_path / "course")


def cell_of(cells: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(cell for cell in cells if nbgrader_of(cell).get("grade_id") == name)


def test_what_has_not_changed_is_not_graded_again_and_nothing_changes(graded):
    before = outcome(graded.course)
    report = graded.again()
    assert graded.who == []
    assert (report.graded, report.unchanged) == (0, 3)
    assert outcome(graded.course) == before
    assert sum(mark.score for mark in report.marks[NAME, "ada"].values()) == 10
    graded.again(again=True)
    assert [student for student, _ in graded.who] == ["ada", "ben", "eve"]
    assert outcome(graded.course) == before


def test_what_was_handed_in_anew_is_graded_and_needs_a_person_again(graded):
    with graded.gradebook() as gradebook:
        grade_of_why = gradebook.find_grade("why", NAME, NAME, "ada")
        grade_of_why.manual_score, grade_of_why.needs_manual_grade = 1.5, False
        gradebook.db.commit()
    graded.hand_in("ada", with_code(graded.notebooks["ada"], "sign", "def sign(x):\n    return 0"))
    report = graded.again()
    assert graded.who == [("ada", None)]
    assert (report.graded, report.unchanged) == (1, 2)
    grades = graded.grades("ada")
    assert grades["sign-test"][0] == 0
    assert grades["why"] == (None, 1.5, None, True)
    submitted = graded.course.submitted("ada", NAME)
    assert submitted.read_bytes() == (graded.folder / "ada" / f"{NAME}.ipynb").read_bytes()


def test_a_changed_test_is_graded_alone_and_the_rest_is_kept(graded):
    outputs = {
        cell["metadata"]["nbgrader"]["grade_id"]: cell["outputs"]
        for cell in read(graded.course.autograded("ada", NAME))["cells"]
        if nbgrader_of(cell).get("grade") and cell["cell_type"] == "code"
    }
    with graded.gradebook() as gradebook:
        for name, score in (("why", 1.5), ("mean-test", 1.0), ("largest-test", 3.0)):
            given = gradebook.find_grade(name, NAME, NAME, "ada")
            given.manual_score, given.extra_credit, given.needs_manual_grade = score, 0.5, False
        gradebook.find_comment("mean", NAME, NAME, "ada").manual_comment = "Neat."
        gradebook.db.commit()
    graded.change(lambda cells: cell_of(cells, "mean-test").update(source="check(2, lambda: mean([1, 3]) == 99)"))
    graded.again()
    assert graded.who == [(student, ("mean-test",)) for student in ("ada", "ben", "eve")]
    grades = graded.grades("ada")
    assert grades["mean-test"] == (0.0, 1.0, 0.5, True)  # somebody should look at what they gave for the old test
    assert grades["why"] == (None, 1.5, 0.5, False)
    assert grades["largest-test"] == (4.0, 3.0, 0.5, False)
    assert grades["double-test"] == (2.0, None, None, False)
    with graded.gradebook() as gradebook:
        assert gradebook.find_comment("mean", NAME, NAME, "ada").comment == "Neat."
    after = read(graded.course.autograded("ada", NAME))
    for name in TESTS:
        cell = cell_of(after["cells"], name)
        assert (cell["outputs"] == outputs[name]) == (name != "mean-test")
    assert "== 99" in source_of(cell_of(after["cells"], "mean-test"))

    # What was merged is what grading all of it gives.
    merged = outcome(graded.course)
    graded.again(again=True)
    assert outcome(graded.course) | {"grades": None, "files": None} == merged | {"grades": None, "files": None}


def test_changed_points_rescale_without_grading(graded):
    def change(cells):
        cell_of(cells, "largest-test")["metadata"]["nbgrader"]["points"] = 10
        cell_of(cells, "why")["metadata"]["nbgrader"]["points"] = 5

    graded.change(change)
    report = graded.again()
    assert graded.who == []
    assert graded.grades("ada")["largest-test"][0] == 10
    assert graded.grades("ben")["largest-test"][0] == 0
    assert report.marks[NAME, "ada"]["largest"].points == 10
    assert sum(task.points for task in report.tasks[NAME]) == 3 + 2 + 5 + 10 + 1
    cell = cell_of(read(graded.course.autograded("ada", NAME))["cells"], "largest-test")
    assert cell["metadata"]["nbgrader"]["points"] == 10
    assert graded.again().unchanged == 3
    assert graded.who == []


def test_cells_come_and_go_though_there_are_submissions(graded):
    with graded.gradebook() as gradebook:
        for name in ("why", "sign-test"):
            given = gradebook.find_grade(name, NAME, NAME, "ada")
            given.manual_score, given.needs_manual_grade = 0.75, False
        gradebook.find_comment("sign", NAME, NAME, "ada").manual_comment = "Short."
        gradebook.db.commit()
    before = read(graded.course.source(NAME))

    def change(cells):
        for name in ("sign", "sign-test"):
            cells.remove(cell_of(cells, name))
        # a task of its own kind at the end, and a second test of an old task
        cells.append(
            tiny_course.solution("half", "def half(x):\n    ### BEGIN SOLUTION\n    return x / 2\n    ### END SOLUTION")
        )
        cells.append(tiny_course.test("half-test", 3, "assert half(4) == 2"))
        cells.append(tiny_course.test("mean-more", 1, "assert mean([2]) == 2"))
        for place, cell in enumerate(cells):
            cell["id"] = f"cell-{place}"

    graded.change(change)
    graded.again()
    # The old test of what went, which students still have, is a cell of their own now. It mentions `check`, and so does
    # no test but the one that did not before.
    assert {only for _, only in graded.who} == {("double-sequence", "half-test", "mean-more")}
    grades = graded.grades("ada")
    assert "sign-test" not in grades
    assert grades["why"] == (None, 0.75, None, False)
    assert (grades["half-test"][0], grades["mean-more"][0], grades["mean-test"][0]) == (0.0, 1.0, 2.0)
    with graded.gradebook() as gradebook:
        assert {cell.name for cell in gradebook.find_submission(NAME, "ada").notebooks[0].comments} >= {"half"}
    names = {nbgrader_of(cell).get("grade_id") for cell in read(graded.course.autograded("ada", NAME))["cells"]}
    assert {"half", "half-test"} <= names
    assert not {"sign", "sign-test"} & names

    # The cells come back, and with them what a person gave.
    write(graded.course.source(NAME), before)
    release(graded.course)
    graded.again()
    assert {only for _, only in graded.who} == {("double-sequence", "sign-test")}
    assert graded.grades("ada")["sign-test"] == (1.0, 0.75, None, True)
    with graded.gradebook() as gradebook:
        assert gradebook.find_comment("sign", NAME, NAME, "ada").manual_comment == "Short."


def test_a_refusal_is_kept_and_told_again_and_an_earlier_result_still_counts(graded):
    before = graded.grades("ada")
    graded.hand_in("ada", "not a notebook")
    graded.hand_in("zoe", "not a notebook either")
    report = graded.again()
    assert graded.who == [("ada", None), ("zoe", None)]
    assert {refusal.name for refusal in report.refused} == {f"ada, {NAME}", f"zoe, {NAME}"}
    report = graded.again()
    assert graded.who == []
    assert [refusal.reason for refusal in report.refused] == ["it is not JSON, so it is no notebook"] * 2
    assert graded.grades("ada") == before
    assert graded.record("ada")["earlier"]["status"] == "graded"
    assert graded.course.autograded("ada", NAME).is_file()
    with graded.gradebook() as gradebook:
        assert "zoe" not in {student.id for student in gradebook.students}
    graded.hand_in("ada", graded.notebooks["ada"])
    graded.hand_in("zoe", graded.notebooks["eve"])
    assert graded.again().refused == []
    assert graded.grades("zoe")["double-test"][0] == 0
    assert "earlier" not in graded.record("ada")


def test_a_fault_of_ours_is_tried_again_at_once_and_with_the_next_run(graded):
    graded.hand_in("ada", with_code(graded.notebooks["ada"], "sign", "# standin: ours"))
    for _ in range(2):
        report = graded.again()
        assert graded.who == [("ada", None)] * 3
        assert [refusal.reason for refusal in report.refused] == ["the sandbox broke"]
    assert graded.record("ada")["status"] == "graded"  # the earlier one


def test_what_the_gradebook_lacks_is_written_from_the_records(graded):
    before = outcome(graded.course)
    with graded.gradebook() as gradebook:
        gradebook.find_grade("mean-test", NAME, NAME, "ada").auto_score = 0.25
        gradebook.remove_submission(NAME, "eve")
        gradebook.db.commit()
    graded.again()
    assert graded.who == []
    assert outcome(graded.course) == before
    graded.course.gradebook.unlink()
    graded.again()
    assert graded.who == []
    assert outcome(graded.course) == before


@pytest.mark.parametrize("lost", ["record", "notebook", "half a record"])
def test_a_result_that_is_not_whole_is_found_anew(graded, lost):
    before = outcome(graded.course)
    place = Place.counting(graded.course, "ben", NAME)
    if lost == "half a record":
        place.record.write_bytes(place.record.read_bytes()[:200])
    else:
        getattr(place, lost).unlink()
    graded.again()
    assert graded.who == [("ben", None)]
    assert outcome(graded.course) == before


def test_results_without_a_sandbox_are_marked_and_found_anew_with_one(graded):
    assert graded.record("ada")["sandbox"] == "bubblewrap"
    graded.again(sandbox="none", again=True)
    assert graded.record("ada")["sandbox"] == "none"
    graded.again(sandbox="none")
    assert graded.who == []
    graded.again()
    assert len(graded.who) == 3


def test_more_time_gives_those_a_second_try_who_had_too_little(graded):
    place = Place.counting(graded.course, "ben", NAME)
    record = graded.record("ben")
    record["cells"]["sign-test"]["failed"] = "time limit"
    place.write(record, None)
    graded.again()
    assert graded.who == []
    graded.again(limits={"question": 240.0})
    assert graded.who == [("ben", None)]


def test_seeds_are_secret_and_one_for_each_submission(graded):
    secret = graded.course.grading / "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    graded.again(again=True)
    seeds = {line[0]: line[3] for line in map(json.loads, graded.log.read_text().splitlines())}
    assert len(set(seeds.values())) == 3
    key, digest = fingerprint.secret(secret), graded.record("ada")["fingerprint"]["submission"]
    assert seeds["ada"] == fingerprint.seed(key, "ada", NAME, digest)
    assert seeds["ada"] != fingerprint.seed(bytes(32), "ada", NAME, digest)
    assert secret.read_text() not in graded.log.read_text()


def test_repairs_are_reported(graded):
    graded.hand_in("ada", with_code(graded.notebooks["ada"], "sign", "# standin: repaired"))
    outcomes = []
    report = graded.again(finished=lambda name, what: outcomes.append((name, what)))
    assert outcomes == [(f"ada, {NAME}", "repaired")]
    assert report.repaired == {(NAME, "ada"): ["a cell was put back"]}


def test_of_several_attempts_the_best_counts_and_all_are_kept(graded):
    student, files = "lovelaceada-4711", ("lovelaceada_4711_1001_ps00_tiny", "lovelaceada_4711_1002_ps00_tiny-1")
    policy = graded.course.root / "grading.toml"
    policy.write_text(f'[{NAME}]\ncounts = "best"\n')
    shutil.rmtree(graded.folder)
    write(graded.folder / f"{files[0]}.ipynb", graded.notebooks["ada"])
    graded.again()
    assert graded.who == [(student, None)]
    write(graded.folder / f"{files[1]}.ipynb", graded.notebooks["eve"])
    report = graded.again()
    assert report.refused == []
    assert graded.who == [(student, None)]  # the first attempt has been graded already
    assert graded.record(student)["attempt"] == 1
    assert graded.grades(student)["double-test"][0] == 2
    before = outcome(graded.course)
    graded.again()
    assert graded.who == []
    assert outcome(graded.course) == before
    policy.write_text(f'[{NAME}]\ncounts = "last"\n')
    graded.again()
    assert graded.who == []
    assert graded.record(student)["attempt"] == 2
    assert graded.grades(student)["double-test"][0] == 0
    submitted = graded.course.submitted(student, NAME)
    assert submitted.read_bytes() == (graded.folder / f"{files[1]}.ipynb").read_bytes()


def test_a_late_penalty_is_in_the_gradebook_and_changes_with_the_policy_alone(graded):
    write(graded.folder / "ada" / "timestamp.txt", "2026-11-02 12:00:00 UTC")
    policy = graded.course.root / "grading.toml"
    policy.write_text(f'timezone = "UTC"\n[{NAME}]\ndue = 2026-11-01 23:59:00\npenalty_percent = 10\n')
    graded.again()
    assert graded.who == []
    assert graded.record("ada")["adjusted"] == pytest.approx(10 - 1.2)
    with graded.gradebook() as gradebook:
        submission = gradebook.find_submission(NAME, "ada")
        assert submission.notebooks[0].late_submission_penalty == pytest.approx(1.2)
        assert submission.total_seconds_late == 12 * 3600 + 60
        given = gradebook.find_grade("why", NAME, NAME, "ada")
        given.manual_score, given.needs_manual_grade = 2.0, False
        gradebook.db.commit()
    policy.write_text(policy.read_text() + f"[{NAME}.extensions]\nada = 3\n")
    graded.again()
    with graded.gradebook() as gradebook:
        submission = gradebook.find_submission(NAME, "ada")
        assert submission.notebooks[0].late_submission_penalty is None
        assert submission.total_seconds_late == 0
    assert graded.course.submitted("ada", NAME).with_name("timestamp.txt").read_text().startswith("2026-11-02 12:00:00")


def test_two_at_once_are_one_too_many(graded):
    code = (
        "import sys; from filelock import FileLock\n"
        f"lock = FileLock({str(graded.course.grading / 'lock')!r}); lock.acquire()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(CourseError, match="Another course grade"):
            graded.again()
        other.kill()
    assert graded.again().unchanged == 3  # a lock goes with its process


def test_the_plain_tools_go_on_from_here(graded):
    """nbgrader's own autograder, forced, and what formgrader reads."""
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    from course_lib.grading import plain

    config = plain.settings(graded.course.root)
    api = NbGraderAPI(CourseDirectory(config=config), config=config)
    rows = {row["student"]: row for row in api.get_submissions(NAME)}
    assert {student: rows[student]["score"] for student in ("ada", "ben", "eve")} == {"ada": 10, "ben": 5, "eve": 0}
    assert all(rows[student]["autograded"] for student in ("ada", "ben", "eve"))
    notebooks = api.get_notebook_submission_indices(NAME, NAME)
    assert len(notebooks) == 3
    before = graded.grades("ada")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "nbgrader", "autograde", NAME, "--student", "ada", "--force"]
    ran = subprocess.run(command, cwd=graded.course.root, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert graded.grades("ada") == before
    assert graded.again().unchanged == 3
    assert graded.grades("ada") == before
