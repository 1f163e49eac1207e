# ruff: noqa: E501
"""Wrong solutions lose points, right ones get all; and the runner notices when it is not so.

Right solutions and stubs all run, of the wrong ones every third: other ones whenever their problem set is changed.
COURSE_MUTANTS=all runs all of them, as `course mutants` does.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from course_lib.authoring import mutants
from course_lib.errors import CourseError

ROOT = Path(__file__).resolve().parents[2]
WITH_MUTANTS = [name for name in mutants.assignments(ROOT) if (ROOT / "tests" / "mutants" / f"{name}.py").is_file()]
TASKS = {name: mutants.load_tasks(name, ROOT) for name in WITH_MUTANTS}


EVERY = 1 if os.environ.get("COURSE_MUTANTS") == "all" else 3


def every_mutant() -> list:
    return [
        pytest.param(name, task, mutant, id=f"{name}-{task}-{mutant}".replace(" ", "_"))
        for name, tasks in TASKS.items()
        for task, listed in tasks.items()
        for mutant in (mutants.REFERENCE, mutants.STUB, *listed.right, *turn(name, list(listed.wrong)))
    ]


@cache
def digest(assignment: str, salt: str = "") -> str:
    """Of the text of a problem set, in hexadecimal: another one whenever it is changed."""
    source = (ROOT / "solutions" / assignment / f"{assignment}.py").read_bytes()
    return hashlib.sha256(source + salt.encode()).hexdigest()


def turn(assignment: str, wrong: list[str]) -> list[str]:
    """Every third of the wrong solutions, the first of them by the text of the problem set."""
    return wrong[int(digest(assignment), 16) % EVERY :: EVERY]


def secret_of(assignment: str, mutant: str) -> str:
    """Other data for right solutions than the notebook's own, and others again whenever the problem set is changed.

    A chance of one in a thousand to be refused shows only in many draws: `course mutants PS --secret TEXT` makes one.
    """
    return digest(assignment, mutant)[:16]


@pytest.mark.parametrize(("assignment", "task", "mutant"), every_mutant())
def test_judged_rightly(assignment: str, task: str, mutant: str) -> None:
    secret = secret_of(assignment, mutant) if mutant in TASKS[assignment][task].right else None
    for row in mutants.run(assignment, tasks=[task], names=[mutant], root=ROOT, quick=True, secret=secret):
        said = f"{row.verdict}: {row.earned:g} of {row.points:g} points; {row.cell}: {row.message}"
        assert row.ok, f"{said} (secret {secret})"


@pytest.mark.parametrize(("assignment", "task"), [(name, task) for name, tasks in TASKS.items() for task in tasks])
def test_the_reference_is_right_whatever_the_data(assignment: str, task: str) -> None:
    secret = secret_of(assignment, mutants.REFERENCE)
    for row in mutants.run(assignment, tasks=[task], names=[mutants.REFERENCE], root=ROOT, secret=secret):
        assert row.ok, f"{row.verdict}; {row.cell}: {row.message} (secret {secret})"


def test_every_assignment_has_mutants() -> None:
    assert mutants.assignments(ROOT) == WITH_MUTANTS


@pytest.mark.parametrize("assignment", WITH_MUTANTS)
def test_every_graded_task_has_enough_mutants(assignment: str) -> None:
    assert list(TASKS[assignment]) == mutants.graded_tasks(assignment, ROOT)
    assert len(TASKS[assignment]) >= 6
    for task, listed in TASKS[assignment].items():
        assert len(listed.wrong) >= 5, f"{task} has only {len(listed.wrong)} wrong solutions"
        assert len(listed.right) >= 2, f"{task} has only {len(listed.right)} right solutions"
        assert not set(listed.wrong) & set(listed.right), f"{task}: a name is in both lists"


# ------------------------------------------------------------------------- the runner, on a tiny assignment

NOTEBOOK = '''\
# %% tags=["parameters"]
BUDGET = "auto"
# %%
assert BUDGET == "smoke", BUDGET
import numpy as np
# %% nbgrader={"grade": false, "grade_id": "average", "locked": false, "schema_version": 3, "solution": true, "task": false}
def average(x):
    """The mean of x over its rows."""
    ### BEGIN SOLUTION
    return x.sum(0) / len(x)
    ### END SOLUTION
# %%
print("a cell between: an error here costs no points", average(np.ones((2, 2))).shape)
# %% nbgrader={"grade": true, "grade_id": "average-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def close(a, b):
    assert np.allclose(a, b), "not the mean"

try:
    close(average(np.ones((2, 3))), np.ones(3))
except NotImplementedError:
    print("not done yet")
### BEGIN HIDDEN TESTS
close(average(np.array([[1.0, 2.0], [3.0, 6.0]])), [2.0, 4.0])
### END HIDDEN TESTS
# %% nbgrader={"grade": true, "grade_id": "average-shape", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
assert average(np.ones((2, 3))).shape == (3,)
# %% nbgrader={"grade": false, "grade_id": "twice", "locked": false, "schema_version": 3, "solution": true, "task": false}
def twice(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
# %% nbgrader={"grade": true, "grade_id": "twice-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
assert twice(3) == 6
### BEGIN HIDDEN TESTS
from course_lib.checks.core import fresh

assert twice(fresh(5)) == 2 * fresh(5)
### END HIDDEN TESTS
'''

MUTANTS = """\
from course_lib.authoring.mutants import Edit, Task

TASKS = {
    "average": Task(
        wrong={
            "wrong axis": Edit(("sum(0) / len(x)", "sum(1) / len(x)")),
            "sum": "def average(x):\\n    return x.sum(0)",
            "first row": "def average(x):\\n    return x[0]",
            "loops for ever": "def average(x):\\n    while True: pass",
            "leaves": "import os\\ndef average(x):\\n    os._exit(0)",
            "a copy of the right one": "def average(x):\\n    return x.mean(0)",
            "misspelt": "def average(x):\\n    return x.mean(axs)",
        },
        right={"numpy's": "def average(x):\\n    return np.mean(x, 0)", "median": "def average(x):\\n    return np.median(x, 0) + (x[1] > 2)"},
    ),
    "twice": Task(wrong={"square": "def twice(x):\\n    return x * x"}, right={"a table of answers": "def twice(x):\\n    return {3: 6, 5: 10}[x]"}),
}
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("course")
    (root / "solutions" / "ps99_tiny").mkdir(parents=True)
    (root / "tests" / "mutants").mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.course]")
    (root / "solutions" / "ps99_tiny" / "ps99_tiny.py").write_text(NOTEBOOK)
    (root / "tests" / "mutants" / "ps99_tiny.py").write_text(MUTANTS)
    return root


@pytest.fixture(scope="module")
def rows(tiny: Path) -> dict[tuple[str, str], mutants.Row]:
    return {(row.task, row.name): row for row in mutants.run("ps99_tiny", root=tiny, jobs=2, limit=2)}


@pytest.mark.parametrize(
    ("task", "mutant", "verdict", "earned"),
    [
        ("average", "reference solution", "accepted", 3),
        ("average", "stub", "gets nothing", 0),
        ("average", "wrong axis", "killed by visible check", 0),
        ("average", "sum", "killed by visible check", 1),
        ("average", "first row", "killed by hidden test", 1),
        ("average", "loops for ever", "killed by time limit", 0),
        ("average", "leaves", "killed by crash", 0),
        ("average", "a copy of the right one", "SURVIVED", 3),
        ("average", "misspelt", "BROKEN mutant", 0),
        ("average", "numpy's", "accepted", 3),
        ("average", "median", "REJECTED by hidden test", 1),
        ("twice", "square", "killed by visible check", 0),
    ],
)
def test_verdicts(rows: dict, task: str, mutant: str, verdict: str, earned: float) -> None:
    row = rows[task, mutant]
    assert (row.verdict, row.earned) == (verdict, earned), row
    assert row.ok == (mutant not in ("a copy of the right one", "misspelt", "median"))


def test_says_which_cell_and_why(rows: dict) -> None:
    row = rows["average", "sum"]
    assert (row.cell, row.message, row.points) == ("average-test", "AssertionError: not the mean", 3)
    assert "not done yet" in rows["average", "stub"].output
    assert "a cell between" in rows["average", "numpy's"].output


def test_command_prints_the_table_and_fails_where_one_survives(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny)
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(_app(), ["mutants", "ps99_tiny", "--limit", "2", "--jobs", "2"])
    assert result.exit_code == 1
    assert "SURVIVED" in result.output
    assert "REJECTED by hidden test" in result.output
    assert "6 of 8 wrong solutions killed, 4 of 5 right ones accepted." in result.output


def test_command_succeeds_where_all_are_judged_rightly(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny)
    result = CliRunner().invoke(_app(), ["mutants", "--task", "twice"])
    assert result.exit_code == 0, result.output


def test_answers_learnt_by_heart_fail_under_a_secret(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny)
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(_app(), ["mutants", "--task", "twice", "--secret", "salt"])
    assert result.exit_code == 1
    assert "REJECTED by hidden test" in result.output
    assert "1 of 1 wrong solutions killed, 1 of 2 right ones accepted." in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"assignment": "ps98_none"}, "There are no mutants"),
        ({"assignment": "ps99_tiny", "tasks": ["thrice"]}, "has no mutants of 'thrice'"),
        ({"assignment": "ps99_tiny", "names": ["nobody"]}, "has no mutant called 'nobody'"),
    ],
)
def test_bad_input_is_a_sentence(tiny: Path, arguments: dict, words: str) -> None:
    with pytest.raises(CourseError, match=words):
        mutants.run(**arguments, root=tiny)


def test_an_edit_must_apply_exactly_once() -> None:
    with pytest.raises(CourseError, match="found 2 times"):
        mutants.Edit(("a", "b")).apply("a a")
    assert mutants.Edit(("a", "b"), ("b c", "d")).apply("a c") == "d"


def _app() -> typer.Typer:
    app = typer.Typer()
    mutants.register(app)
    app.callback()(lambda: None)  # with one command only, typer would not take its name
    return app
