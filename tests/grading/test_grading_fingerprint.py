"""What a score depends on is noticed, and what it does not depend on is not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from tiny_course import REPOSITORY, marks, solution
from tiny_course import test as graded

from course_lib.authoring.build import notebook_text
from course_lib.errors import CourseError
from course_lib.grading import fingerprint
from course_lib.grading.course import nbgrader_of, source_of
from course_lib.grading.fingerprint import Library, Tests, changed, uses_of
from course_lib.grading.samples import MARKER, with_answers

Cells = list[dict[str, Any]]


def notebook() -> dict[str, Any]:
    cells = [
        new_markdown_cell("# Title", metadata=marks("title", locked=True)),
        new_code_cell(
            "import numpy as np\nfrom course_lib.checks import core as checks\nfrom course_lib import budget"
        ),
        new_code_cell("TOLERANCE = 1e-6"),
        new_code_cell("def near(a, b):\n    return abs(a - b) < TOLERANCE"),
        solution("double", "def double(x):\n    return 2 * x"),
        graded("double-values", 1, "y = 3\nassert near(double(y), 6)"),
        graded("double-check", 1, "checks.expect_close('double', double(2), 4)"),
        new_code_cell("figure = [double(k) for k in range(3)]"),
        solution("half", "def half(x):\n    return np.divide(x, 2)"),
        graded("half-values", 1, "x = 3\nassert half(x) == 1.5"),
        graded("half-again", 1, "assert half(double(x)) == x"),
        new_markdown_cell("Because.", metadata=marks("why", grade=True, solution=True, points=2)),
    ]
    for place, cell in enumerate(cells):
        cell.id = f"cell-{place}"
    return json.loads(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def released(notebook: dict[str, Any]) -> dict[str, Any]:
    """As students get it."""
    stubs = {
        cell["metadata"]["nbgrader"]["grade_id"]: "..."
        for cell in notebook["cells"]
        if nbgrader_of(cell).get("solution")
    }
    return with_answers(notebook, stubs)


def as_bytes(cells: dict[str, Any]) -> bytes:
    return json.dumps(cells).encode()


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("library") / "course_lib"
    return Path(shutil.copytree(fingerprint.LIBRARY, root, ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def own_library(library, tmp_path) -> Path:
    """A copy of course_lib that a test may change."""
    return Path(shutil.copytree(library, tmp_path / "course_lib"))


def touched(change: Callable[[Cells], Any], library: Path, submission: bytes | None = None) -> list[str]:
    """The graded cells that have to be graded again after a change of the instructor's notebook."""
    before, after = notebook(), notebook()
    submission = submission or as_bytes(notebook())
    change(after["cells"])
    old = Tests(as_bytes(before), as_bytes(released(before)), Library(library)).cells(submission)
    new = Tests(as_bytes(after), as_bytes(released(after)), Library(library))
    return changed(old, new.cells(submission))


def put(place: int, source: str) -> Callable[[Cells], Any]:
    return lambda cells: cells[place].update(source=source)


CHANGES = {
    "nothing": (lambda cells: None, []),
    "a text": (put(0, "# Another title"), []),
    "the solution": (put(4, "def double(x):\n    return x + x"), []),
    "a test": (put(5, "y = 3\nassert near(double(y), 6.0)"), ["double-values"]),
    "a test whose name is used by another": (put(9, "x = 5\nassert half(x) == 2.5"), ["half-values", "half-again"]),
    "a helper of a test and of nobody else": (
        put(3, "def near(a, b):\n    return abs(a - b) <= TOLERANCE"),
        ["double-values"],
    ),
    "what a helper uses": (put(2, "TOLERANCE = 1e-9"), ["double-values"]),
    "a demonstration that only binds": (put(7, "figure = [double(k) for k in range(9)]"), []),
    "a demonstration that acts": (put(7, "np.random.seed(7)"), ["half-values", "half-again"]),
    "an import that a student uses": (
        put(1, "import numpy as np  # 2\nfrom course_lib.checks import core as checks\nfrom course_lib import budget"),
        ["double-values", "double-check", "half-values", "half-again"],
    ),
    "points": (lambda cells: cells[5]["metadata"]["nbgrader"].update(points=9), []),
    "another model answer": (put(11, "Why not?"), []),
    "a test more": (
        lambda cells: cells.append(json.loads(json.dumps(graded("new", 1, "assert half(0) == 0")))),
        ["new"],
    ),
    "a task before": (
        lambda cells: cells.insert(4, json.loads(json.dumps(solution("third", "def third(x):\n    return x / 3")))),
        ["double-values", "double-check", "half-values", "half-again"],
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_touches_just_what_depends_on_it(library, case):
    change, expected = CHANGES[case]
    assert touched(change, library) == expected


def test_what_the_students_own_code_uses_counts_for_them_and_for_nobody_else(library):
    submission = notebook()
    submission["cells"][8]["source"] = "def half(x):\n    return x / 2 if near(2, 2) else 0"
    everything = ["double-values", "double-check", "half-values", "half-again"]
    assert touched(put(2, "TOLERANCE = 1e-9"), library, as_bytes(submission)) == everything
    submission["cells"][8]["source"] = "def half(x:\n"  # not Python: whatever it names counts
    assert touched(put(2, "TOLERANCE = 1e-9"), library, as_bytes(submission)) == ["double-values"]
    submission["cells"][8]["source"] = "def half(x:\n near"
    assert touched(put(2, "TOLERANCE = 1e-9"), library, as_bytes(submission)) == everything


def test_another_stub_of_a_written_answer_may_leave_it_unanswered(library):
    data, before, after = as_bytes(notebook()), released(notebook()), released(notebook())
    after["cells"][11]["source"] = "Write here."
    old, new = (Tests(data, as_bytes(release), Library(library)).cells(data) for release in (before, after))
    assert changed(old, new) == ["why"]


@pytest.mark.parametrize("data", [b"", b"no", b"[]", b'{"cells": 7}', b'{"cells": [{}]}', b"\xff", b"[" * 100_000])
def test_any_file_has_digests(library, data):
    tests = Tests(as_bytes(notebook()), as_bytes(notebook()), Library(library))
    assert list(tests.cells(data)) == list(tests.points)


def edited(root: Path, name: str, old: str, new: str) -> Library:
    path = root / name
    text = path.read_text()
    assert text.count(old) == 1, (name, old)
    path.write_text(text.replace(old, new))
    return Library(root)


def with_library(before: Library, after: Library, source: bytes, release: bytes, submission: bytes) -> list[str]:
    old = Tests(source, release, before).cells(submission)
    return changed(old, Tests(source, release, after).cells(submission))


def test_a_change_of_course_lib_touches_the_tests_that_reach_it(library, own_library):
    data = as_bytes(notebook())
    before = Library(library)

    def after(name: str, old: str, new: str) -> list[str]:
        changed_library = edited(own_library, name, old, new)
        assert changed_library.whole != before.whole
        return with_library(before, changed_library, data, data, data)

    assert after("checks/core.py", "def expect_shape(", "# a comment\ndef expect_shape(") == []
    assert after("checks/gan.py", "def check_round(", "def check_round_and_round(") == []
    assert after("checks/core.py", "if not np.all(np.isfinite(got)):", "if np.any(~np.isfinite(got)):") == [
        "double-check"
    ]


def test_the_engine_counts_for_all_and_the_command_line_for_nobody(library, own_library):
    data = as_bytes(notebook())
    before = Library(library)
    (own_library / "authoring" / "html.py").write_text("")
    (own_library / "grading" / "commands.py").write_text("")
    assert Library(own_library).whole == before.whole
    for part in ("grading/checker.py", "grading/bridge/wire.py", "grading/sandbox/zygote.py", "handin/rebuild.py"):
        path = own_library / part
        text = path.read_text()
        path.write_text(text + "\nTHING = 1\n")
        assert len(with_library(before, Library(own_library), data, data, data)) == 4, part
        path.write_text(text)
    assert Library(own_library).whole == before.whole


@pytest.mark.slow
def test_on_the_real_problem_set_a_check_touches_its_task(library, own_library):
    name = "ps01_backprop"
    source = notebook_text(REPOSITORY / "solutions" / name / f"{name}.py").encode()
    release = (REPOSITORY / "assignments" / name / f"{name}.ipynb").read_bytes()
    cells = json.loads(source)["cells"]
    answers = {
        nbgrader_of(cell)["grade_id"]: MARKER.sub("", source_of(cell))
        for cell in cells
        if nbgrader_of(cell).get("solution")
    }
    submission = json.dumps(with_answers(json.loads(release), answers)).encode()
    calls = {"checks.check_swish_backward", "checks.check_swish_forward"}
    users = [
        nbgrader_of(cell)["grade_id"]
        for cell in cells
        if nbgrader_of(cell).get("grade") and any(call in source_of(cell) for call in calls)
    ]
    text = (own_library / "checks" / "backprop.py").read_text()
    if not users:
        pytest.skip("the check has another name now")
    first = next(call.split(".")[1] for call in sorted(calls) if call in "".join(map(source_of, cells)))
    path = own_library / "checks" / "backprop.py"
    path.write_text(f"{text}\n\ndef one_check_more():\n    return {first}\n")
    assert with_library(Library(library), Library(own_library), source, release, submission) == []
    lines = text.split("\n")
    at = next(k for k, line in enumerate(lines) if line.startswith(f"def {first}("))
    end = next(k for k in range(at, len(lines)) if lines[k].endswith(":"))
    lines.insert(end + 1, "    THING = 1")
    path.write_text("\n".join(lines))
    found = with_library(Library(library), Library(own_library), source, release, submission)
    assert found
    assert set(found) <= set(users)


def test_names_are_read_as_python_binds_them():
    uses = uses_of(
        "import a.b as c, d.e\nfrom f import g\nfor h in range(c.x): i = h\nj = i + k.l\ndef m(n): return n + o"
    )
    assert {("k", "l"), ("o",)} <= uses.free
    assert not {("h",), ("i",), ("n",), ("c", "x")} & uses.free
    assert {"c", "d", "g", "h", "i", "j", "m"} <= uses.binds
    assert ("a", "b", "x") in uses.imported()
    assert uses_of("x = 1").acts is False
    assert uses_of("x[0] = 1").acts and uses_of("x.y = 1").acts and uses_of("print(1)").acts
    assert not uses_of('"a docstring"\ndef f(): print(1)').acts
    assert ("x",) in uses_of("x += 1").free
    assert ("y",) in uses_of("if True:\n    y = 1\nprint(y)").free
    assert ("e",) not in uses_of("try:\n    pass\nexcept ValueError as e:\n    print(e)").free
    assert ("w",) not in uses_of("with open('f') as w:\n    print(w)").free
    assert uses_of("%matplotlib inline\n!ls\nx = 1").binds == {"x"}


def test_the_secret_is_made_once_and_a_damaged_one_is_named(tmp_path):
    path = tmp_path / "deep" / "secret"
    made = fingerprint.secret(path)
    assert len(made) == 32
    assert fingerprint.secret(path) == made
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]
    path.write_text("half")
    with pytest.raises(CourseError, match="damaged"):
        fingerprint.secret(path)


def test_seeds_differ_by_all_that_they_are_made_of():
    seeds = {
        fingerprint.seed(secret, student, assignment, digest)
        for secret in (bytes(32), bytes(31) + b"1")
        for student in ("ada", "adaps")
        for assignment in ("ps", "psps")
        for digest in ("0", "1")
    }
    assert len(seeds) == 16
    assert fingerprint.seed(bytes(32), "a", "bc", "d") != fingerprint.seed(bytes(32), "ab", "c", "d")
