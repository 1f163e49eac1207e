from __future__ import annotations

import json
import re

import nbformat
import pytest
import tiny_course
from tiny_course import NAME

from course_lib.errors import CourseError
from course_lib.grading.course import Course
from course_lib.grading.release import contents, leaks, release, secrets


def rewritten(course: Course, change) -> None:
    notebook = tiny_course.notebook()
    change(notebook)
    nbformat.write(notebook, course.source(NAME))


def test_a_release_holds_nothing_that_students_should_not_see(tiny):
    assert release(tiny) == [(NAME, True)]
    files = contents(tiny.release(NAME).parent)
    assert list(files) == [f"{NAME}.ipynb"]  # no .py, no leftovers
    text = files[f"{NAME}.ipynb"].decode()
    for secret in ("twice", "sum(values)", "seventeen", "abab", "-41", "SOLUTION", "HIDDEN", "nought", "left over"):
        assert secret not in text
    assert "instructor" not in text
    assert "3.11.99" not in text
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) == len(tiny_course.notebook().cells)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert notebook.cells[1].metadata == {"tags": ["parameters"]}
    stub = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "mean")
    assert stub.source == "def mean(values):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert not (tiny.root / "build" / "grading" / "gradebook.db").exists()


def test_a_release_is_the_same_bytes_wherever_and_whenever_it_is_built(tiny, tmp_path):
    release(tiny)
    first = contents(tiny.release(NAME).parent)
    assert release(tiny) == [(NAME, False)]
    assert contents(tiny.release(NAME).parent) == first
    (tmp_path / "elsewhere").mkdir()
    other = Course(tiny_course.make_course(tmp_path / "elsewhere"))
    release(other)
    assert contents(other.release(NAME).parent) == first


def test_cells_without_ids_get_the_same_ones_every_time(tiny):
    notebook = json.loads(tiny.source(NAME).read_text())
    for cell in notebook["cells"]:
        del cell["id"]
    tiny.source(NAME).write_text(json.dumps({**notebook, "nbformat_minor": 4}))
    release(tiny)
    first = contents(tiny.release(NAME).parent)
    assert release(tiny) == [(NAME, False)]
    ids = [cell["id"] for cell in json.loads(first[f"{NAME}.ipynb"])["cells"]]
    assert len(set(ids)) == len(ids)


def test_check_compares_and_changes_nothing(tiny, course_command):
    assert course_command("release", "--check", inside=tiny.root).status == 1
    assert not tiny.release(NAME).exists()
    assert course_command("release", inside=tiny.root).status == 0
    assert course_command("release", "--check", inside=tiny.root).status == 0
    edited = tiny.release(NAME).read_text() + "\n"
    tiny.release(NAME).write_text(edited)
    ran = course_command("release", NAME, "--check", inside=tiny.root)
    assert ran.status == 1
    assert "out of date" in ran.out
    assert tiny.release(NAME).read_text() == edited
    (tiny.release(NAME).parent / "solution.txt").write_text("a stray file")
    course_command("release", inside=tiny.root)
    assert list(contents(tiny.release(NAME).parent)) == [f"{NAME}.ipynb"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("    ### BEGIN SOLUTION\n    return 1", "no end solution statement"),
        ("    ### BEGIN SOLUTON\n    return 1\n    ### END SOLUTON", "give away"),
        ("    ### Begin Solution\n    return 1\n    ### End Solution", "give away"),
    ],
)
def test_a_region_that_is_not_recognised_is_never_released(tiny, wrong, sentence):
    def change(notebook):
        cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "mean-test")
        cell.source = "x = 1\n" + wrong
        if "BEGIN SOLUTION" in wrong:
            cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "mean")
            cell.source = "def mean(values):\n" + wrong

    rewritten(tiny, change)
    with pytest.raises(CourseError, match=sentence):
        release(tiny)
    assert not tiny.release(NAME).exists()
    assert contents(tiny.root / "build") == {}  # nothing half-written


def test_the_leak_search_finds_a_solution_line_and_a_hidden_line():
    source = tiny_course.notebook()
    hidden = secrets(source)
    assert {"return sum(values) / len(values)", "assert mean([23]) == 23", "It divides nought by nought."} <= hidden
    assert not any("check(" in line for line in hidden)
    leaking = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1\n    assert mean([23]) == 23")])
    assert leaks(source, leaking) == ["assert mean([23]) == 23"]


def test_a_released_notebook_runs_to_its_end_and_names_what_is_not_done(tiny, capsys):
    release(tiny)
    names: dict = {}
    for cell in json.loads(tiny.release(NAME).read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert re.findall(r"Task (\d) is not done yet", capsys.readouterr().out) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("arguments", [("release", "ps99"), ("release", NAME, "ps99", "--check")])
def test_an_unknown_problem_set_is_one_sentence(tiny, course_command, arguments):
    ran = course_command(*arguments, inside=tiny.root)
    assert ran.status == 2
    assert "ps99" in ran.err
    assert NAME in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not tiny.release(NAME).exists()


def test_a_notebook_that_is_not_built_or_damaged_is_one_sentence(tiny, course_command):
    tiny.source(NAME).write_text("{")
    assert "build it again" in course_command("release", inside=tiny.root).err
    tiny.source(NAME).unlink()
    ran = course_command("release", inside=tiny.root)
    assert (ran.status, ran.out.strip()) == (2, "")
    assert "course build" in ran.err
