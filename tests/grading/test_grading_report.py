"""What the instructor's page says is right, and nothing that a student wrote gets out of its place."""

from __future__ import annotations

import functools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_course
from browser import Server, browser, chromium
from conftest import write
from tiny_course import NAME

from course_lib.errors import CourseError
from course_lib.grading import report as reports
from course_lib.grading.course import Course
from course_lib.grading.late import Attempt, Rule, settle
from course_lib.grading.report import discrimination, page, report, summarise
from course_lib.grading.results import Place, keep_refusals

CELLS = {"double-test": 2, "double-sequence": 1, "mean-test": 2, "why": 2, "largest-test": 4, "sign-test": 1}
EVIL = "</td></pre></svg><script>alert(1)</script><img src=//evil.example/x onerror=alert(2)>\x1b[2J\u202e"


@pytest.fixture
def course(tmp_path) -> Course:
    """The tiny course, with the instructor's notebook as its release, for nothing is run here."""
    made = Course(tiny_course.make_course(tmp_path))
    made.release(NAME).parent.mkdir(parents=True)
    shutil.copy(made.source(NAME), made.release(NAME))
    return made


def hand_in(course: Course, student: str, earned: dict[str, float], **options: Any) -> None:
    """A record as `course grade` writes it: who has points that are not given here has none, by a hidden test."""
    cells = {}
    for name, points in CELLS.items():
        score = earned.get(name, 0)
        failed = "" if score == points or name == "why" else "hidden test"
        message = f"A hidden test failed: {len(student)} of 7." if failed else ""
        cells[name] = {"score": score, "points": points, "manual": False, "failed": failed, "message": message}
    for name, changed in options.pop("cells", {}).items():
        cells[name] |= changed
    record = {
        "student": student,
        "assignment": NAME,
        "status": "graded",
        "reason": "",
        "repairs": [],
        "tampered": [],
        "sandbox": "bubblewrap",
        "cells": cells,
        "seconds": {"start": 0.25, "student": 0.5, "visible": 1.0, "hidden": 2.0, "total": 4.0},
        "fingerprint": {"submission": "", "tests": "", "cells": {}, "limits": {}},
        "submitted": "",
        "late": {},
        "adjusted": sum(cell["score"] for cell in cells.values()),
        **options,
    }
    Place.counting(course, student, NAME).write(record, b"{}")


def a_class(course: Course) -> None:
    hand_in(course, "ada", CELLS)
    hand_in(course, "ben", {"double-test": 2, "double-sequence": 1, "mean-test": 2})
    hand_in(course, "eve", {"sign-test": 1}, cells={"largest-test": {"failed": "not done", "message": "Not done."}})
    hand_in(course, "guy", {"double-test": 1, "largest-test": 4}, repairs=["A cell was put back."])


class Read(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.words = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.text += " "
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        self.text += " "

    def handle_data(self, data):
        self.text += data


def read(course: Course, **options: Any) -> Read:
    return Read(report(course, **options).read_text(encoding="utf-8"))


def test_figures_by_task_are_those_of_the_records(course):
    a_class(course)
    summary = summarise(course, NAME)
    assert summary is not None
    tasks = {task.task.name: task for task in summary.tasks}
    assert [row.total for row in summary.rows] == [12, 5, 1, 5]
    assert (tasks["double"].mean, tasks["double"].full, tasks["double"].nothing) == (1.75, 2, 1)
    assert (tasks["largest"].mean, tasks["largest"].not_done, tasks["mean"].not_done) == (2.0, 1, 0)
    double = np.array([3.0, 3, 0, 1])
    rest = np.array([9.0, 2, 1, 4])
    assert tasks["double"].discrimination == pytest.approx(np.corrcoef(double, rest)[0, 1])
    (failure,) = tasks["sign"].failures
    assert (failure.count, failure.kind, failure.message) == (2, "hidden test", "A hidden test failed: 3 of 7.")
    assert not [f for f in tasks["largest"].failures if f.kind == "not done"]


def test_messages_that_differ_in_numbers_are_one_failure_and_the_most_frequent_comes_first(course):
    for k, value in enumerate(("0.5", "1e-7", "12", "-3.25")):
        said = {"mean-test": {"failed": "visible check", "message": f"It is off by {value} at {k}."}}
        hand_in(course, f"s{k}", {}, cells=said)
    hand_in(course, "other", {}, cells={"mean-test": {"failed": "time limit", "message": "Too long."}})
    failures = summarise(course, NAME).tasks[1].failures
    assert [(f.count, f.kind) for f in failures] == [(4, "visible check"), (1, "time limit")]
    assert failures[0].message == "It is off by 0.5 at 0."


def test_discrimination_where_it_is_not_defined():
    assert discrimination([1.0, 2.0], [[1.0], [2.0]]) is None  # too few
    assert discrimination([2.0, 2.0, 2.0], [[1.0], [2.0], [3.0]]) is None  # the same in the task
    assert discrimination([1.0, 2.0, 3.0], [[2.0], [2.0], [2.0]]) is None  # the same in the rest
    assert discrimination([1.0, 2.0, 3.0], [[], [], []]) is None  # only one task
    assert discrimination([1.0, None, 2.0, 3.0], [[3.0], [9.0], [2.0], [1.0]]) == pytest.approx(-1)
    assert discrimination([1.0, 2.0, 3.0], [[3.0, None], [4.0, None], [5.0, None]]) == pytest.approx(1)


def test_a_class_of_one_and_a_class_of_none(course):
    with pytest.raises(CourseError, match="run course grade first"):
        report(course)
    hand_in(course, "ada", CELLS)
    seen = read(course)
    assert "1 graded, of 1 handed in" in seen.words
    assert "discrimination –" in seen.words
    hand_in(course, "ada", {}, status="refused", reason="it is not JSON", cells={}, seconds={})
    seen = read(course)
    assert "0 graded, of 1 handed in" in seen.words
    assert "ada it is not JSON" in seen.words
    assert "nan" not in seen.words.lower().split()


def test_an_earlier_submission_counts_where_the_last_was_refused(course):
    a_class(course)
    earlier = Place.counting(course, "ada", NAME).read()
    hand_in(course, "ada", {}, status="refused", reason="it is empty", earlier=earlier)
    summary = summarise(course, NAME)
    assert (summary.handed_in, len(summary.rows), len(summary.refused)) == (4, 4, 1)
    assert "it is empty An earlier submission counts." in read(course).words


def test_files_that_nobody_could_be_given_are_listed(course):
    a_class(course)
    hand_in(course, "zoe", {}, status="refused", reason="it is empty")
    keep_refusals(course, [("zoe, ps00_tiny", "it is empty"), ("essay.docx", f"it is no notebook {EVIL}")])
    seen = read(course)
    assert "What else the last run did not grade file or submission why essay.docx it is no notebook" in seen.words
    assert seen.words.count("it is empty") == 1
    assert "script" not in seen.tags
    (course.grading / "refused.json").write_text("[3]")
    assert "What else" not in read(course).words


def test_what_a_hidden_test_says_to_instructors_is_shown(course):
    said = {"sign-test": {"failed": "hidden test", "message": "A hidden test failed.", "detail": "sign(59) is 0"}}
    for k in range(2):
        hand_in(course, f"s{k}", {}, cells=said)
    assert "2× A hidden test failed. sign(59) is 0 hidden test" in read(course).words


def test_what_people_gave_comes_from_the_gradebook(course):
    from course_lib.grading.gradebook import Cells, Entry, Writer, open_gradebook

    waits = {"why": {"manual": True, "score": 0}}
    for student in ("ada", "ben"):
        hand_in(course, student, CELLS, cells=waits)
    writer = Writer(course.root, {NAME: Cells.of(course.root, course.source(NAME).read_bytes())})
    for student, first in (("ada", "Ada"), ("ben", "")):
        writer.add(Entry(Place.counting(course, student, NAME).read(), None, {"first_name": first}))
    assert writer.finish() == ""
    writer.close()
    with open_gradebook(course.root) as gradebook:
        grade = gradebook.find_grade("why", NAME, NAME, "ada")
        grade.manual_score, grade.needs_manual_grade = 1.5, False
        gradebook.db.commit()
    summary = summarise(course, NAME)
    why = summary.tasks[2]
    assert (why.scored, why.waiting, why.mean) == (1, 1, 1.5)
    assert [(row.name, row.raw) for row in summary.rows] == [("Ada", 11.5), ("", 10)]


def test_what_is_taken_off_follows_the_marks_as_they_are_now(course):
    from datetime import UTC, datetime, timedelta

    due = datetime(2026, 11, 1, tzinfo=UTC)
    rule = Rule(due=due, share=0.1)
    late = settle(rule, "ada", [Attempt(1, 8, due + timedelta(hours=30), "its timestamp.txt")], 12).record()
    unknown = settle(rule, "ben", [Attempt(1, 8)], 12).record()
    hand_in(course, "ada", CELLS, late=late)
    hand_in(course, "ben", CELLS, late=unknown)
    summary = summarise(course, NAME)
    assert [row.total for row in summary.rows] == [pytest.approx(12 - 2.4), 12]
    seen = read(course).words
    assert "ada 1 day 6 hours 2.4 Handed in 1 day 6 hours after the time due" in seen
    assert "ben ? 0 When it was handed in is not known" in seen


def test_time_goes_to_the_parts_and_the_rest_is_the_rest(course):
    for k in range(1, 12):
        seconds = {"start": 0.1, "student": k, "visible": 1.0, "hidden": 2.0, "total": k + 3.6}
        hand_in(course, f"s{k:02d}", CELLS, seconds=seconds)
    hand_in(course, "cached", CELLS, seconds={})
    found = summarise(course, NAME).seconds
    assert found["student"] == (6, 10)
    assert found["other"] == (pytest.approx(0.5), pytest.approx(0.5))
    assert found["total"] == (pytest.approx(9.6), pytest.approx(13.6))
    assert "took 9.6 s in the median and 14 s at the 90th percentile" in read(course).words


def test_results_without_a_sandbox_are_marked_each(course):
    a_class(course)
    assert "no sandbox" not in read(course).words
    hand_in(course, "zoe", CELLS, sandbox="none")
    seen = read(course).words
    assert "1 of 5 results come from a run with --sandbox none" in seen
    assert "zoe no sandbox 12" in seen


def test_nothing_from_a_student_is_markup(course):
    said = {"sign-test": {"failed": "visible check", "message": EVIL}}
    hand_in(
        course,
        "ada",
        {},
        cells=said,
        repairs=[EVIL],
        tampered=[EVIL],
        notes=[EVIL],
        lms={"system": "moodle", "id": "1", "name": EVIL},
        late={"why": EVIL, "unknown": True, "seconds_late": 0, "late_share": 0, "attempt_share": 0, "floor": 0},
    )
    hand_in(course, "ben", {}, status="refused", reason=EVIL)
    for student in ("ada", "eve"):
        hand_in(course, "eve", {})
        notebook = json.loads(course.source(NAME).read_text())
        own = "\n".join(f"x{k} = np.sum(y[{k}:], axis={k}) * '{EVIL!r}' + {k} / z" for k in range(20))
        notebook["cells"].append({"cell_type": "code", "metadata": {}, "source": own, "outputs": []})
        write(course.submitted(student, NAME), notebook)
    text = report(course).read_text(encoding="utf-8")
    seen = Read(text)
    assert "1 similar pairs" in seen.words
    assert seen.text.count("<script>alert(1)</script>") >= 6
    assert not seen.tags & {"script", "img", "iframe", "object", "embed", "form", "link", "base"}
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert not [value for name, value in seen.attributes if name in ("href", "src") and not value.startswith("#")]
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_page_needs_nothing_from_anywhere_and_forbids_it(course):
    a_class(course)
    text = report(course).read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    addresses = set(re.findall(r"(?:https?:)?//[\w./-]+", text))
    assert addresses <= {"http://www.w3.org/1999/xlink"}
    assert not re.findall(r"url\((?!#)", text)


@pytest.mark.slow
def test_in_a_browser_no_script_runs_nothing_is_asked_for_and_the_page_fits_a_phone(course, tmp_path):
    if chromium() is None:
        pytest.skip("needs Chromium (Debian: chromium), and there is none")
    server = Server()
    evil = f"</td><script>fetch('{server.url}/hit')</script><img src={server.url}/hit onerror=alert(1)>" + "w" * 300
    a_class(course)
    said = {"sign-test": {"failed": "visible check", "message": evil}}
    whose = {"system": "moodle", "id": "1", "name": evil}
    hand_in(course, "zoe", {}, cells=said, repairs=[evil], tampered=[evil], sandbox="none", notes=[evil], lms=whose)
    hand_in(course, "yves", {}, status="refused", reason=evil)
    server.pages["/report"] = report(course).read_text(encoding="utf-8")
    with browser(tmp_path / "browser") as tab:
        for pixels in (390, 1280):
            tab.width(pixels)
            tab.open(f"{server.url}/report")
            assert tab.run("document.documentElement.scrollWidth") <= pixels
        assert tab.run("document.scripts.length + document.images.length") == 0
        assert tab.run("document.querySelectorAll('svg').length") == 2 + len(summarise(course, NAME).tasks)
        asked = [url for url in tab.requests() if not url.endswith(("/report", "/favicon.ico"))]
        refused = [text for text in tab.complaints() if "favicon" not in text]
    assert (asked, refused, [path for path in server.asked if "hit" in path]) == ([], [], [])


def test_every_student_is_in_the_table_with_marks_by_task(course):
    a_class(course)
    words = read(course).words
    for row in ("ada 12 3 2 2 4 1", "ben 5 3 2 0 0 0", "eve 1 0 0 0 0 1", "guy 5 1 0 0 4 0 repaired"):
        assert row in words


def test_a_page_of_two_problem_sets_has_a_way_to_each(course):
    a_class(course)
    summary = summarise(course, NAME)
    seen = Read(page([summary, summary]))
    assert seen.attributes.count(("href", f"#{NAME}")) == 2


def test_the_command_writes_the_page_where_it_is_told(course, course_command):
    a_class(course)
    ran = course_command("report", "-a", NAME, "-o", "deep/page.html", inside=course.root)
    assert ran.status == 0, ran.err
    assert "Report: deep/page.html" in ran.out
    assert (course.root / "deep/page.html").read_text().startswith("<!DOCTYPE html>")
    assert course_command("report", "--no-similar", inside=course.root).status == 0
    assert "similar pairs" not in (course.grading / "report.html").read_text()
    ran = course_command("report", "-a", "ps99", inside=course.root)
    assert (ran.status, ran.out) == (2, "")
    assert course_command("report", "--help", inside=course.root).status == 0


def test_a_thousand_students_make_a_page_in_seconds(course, monkeypatch):
    import time

    for k in range(1000):
        hand_in(
            course, f"s{k:04d}", {name: points * (k >> place & 1) for place, (name, points) in enumerate(CELLS.items())}
        )
    monkeypatch.setattr(reports, "_similar", functools.partial(lambda *_: None))
    begun = time.process_time()
    path: Path = report(course)
    assert time.process_time() - begun < 15
    assert path.stat().st_size < 3e6
