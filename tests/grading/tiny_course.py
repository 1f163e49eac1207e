"""A small problem set that needs no torch, so that a submission to it is graded in a second or two."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "ps00_tiny"


def marks(grade_id: str, **options: Any) -> dict[str, Any]:
    """nbgrader's metadata of a cell."""
    return {
        "nbgrader": {
            "grade": False,
            "grade_id": grade_id,
            "locked": False,
            "schema_version": 3,
            "solution": False,
            "task": False,
            **options,
        }
    }


def solution(grade_id: str, source: str) -> Any:
    return new_code_cell(source, metadata=marks(grade_id, solution=True))


def test(grade_id: str, points: int, source: str) -> Any:
    return new_code_cell(source, metadata=marks(grade_id, grade=True, locked=True, points=points))


test.__test__ = False  # not for pytest

CHECK = '''def check(task, passes):
    try:
        good = passes()
    except NotImplementedError:
        print(f"Task {task} is not done yet.")
    else:
        assert good, f"Task {task} is wrong; think of the sign."'''
CHECK_ALOUD = f'{CHECK}\n        print(f"Task {{task}} passes.")'


def notebook() -> Any:
    """The instructor's notebook: tasks of 3 (in two cells), 2, 4 and 1 points, and a written answer of 2."""
    cells = [
        new_markdown_cell("# Tiny", metadata=marks("title", locked=True)),
        new_code_cell("BUDGET = 'auto'", metadata={"tags": ["parameters"], "instructor_notes": "the budget is a lie"}),
        new_code_cell(CHECK),
        solution(
            "double",
            'def double(x):\n    """2x, same shape."""\n    ### BEGIN SOLUTION\n    twice = 2 * x\n    return twice\n'
            "    ### END SOLUTION",
        ),
        test(
            "double-test",
            2,
            "check(1, lambda: double(3) == 6)\n### BEGIN HIDDEN TESTS\n"
            "assert double(-17) == -34, 'secret seventeen'\n### END HIDDEN TESTS",
        ),
        test(
            "double-sequence",
            1,
            "### BEGIN HIDDEN TESTS\nassert double('ab') == 'abab'\n### END HIDDEN TESTS",
        ),
        solution(
            "mean",
            "def mean(values):\n    ### BEGIN SOLUTION\n    return sum(values) / len(values)\n    ### END SOLUTION",
        ),
        test(
            "mean-test",
            2,
            "check(2, lambda: mean([1, 3]) == 2)\n### BEGIN HIDDEN TESTS\n"
            "assert mean([23]) == 23\n### END HIDDEN TESTS",
        ),
        new_markdown_cell("Why is the mean of nothing not a number?"),
        new_markdown_cell("It divides nought by nought.", metadata=marks("why", grade=True, solution=True, points=2)),
        solution(
            "largest",
            "def largest(values):\n    ### BEGIN SOLUTION\n    best = values[0]\n    for value in values:\n"
            "        best = value if value > best else best\n    return best\n    ### END SOLUTION",
        ),
        test(
            "largest-test",
            4,
            "check(3, lambda: largest([1, 5, 2]) == 5)\n### BEGIN HIDDEN TESTS\n"
            "assert largest([-41, -43]) == -41\n### END HIDDEN TESTS",
        ),
        solution("sign", "def sign(x):\n    ### BEGIN SOLUTION\n    return (x > 0) - (x < 0)\n    ### END SOLUTION"),
        test(
            "sign-test",
            1,
            "check(4, lambda: sign(-5) == -1)\n### BEGIN HIDDEN TESTS\nassert sign(59) == 1\n### END HIDDEN TESTS",
        ),
    ]
    for place, cell in enumerate(cells):
        cell.id = f"cell-{place}"
    cells[2].outputs = [nbformat.v4.new_output("stream", text="left over from the instructor")]
    cells[2].execution_count = 7
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "version": "3.11.99"},
        "instructor": "do not show",
    }
    return new_notebook(cells=cells, metadata=metadata)


def make_course(root: Path) -> Path:
    """A course with that one problem set in `root`, configured as the real one is."""
    (root / "pyproject.toml").write_text('[tool.course]\nrepository = "https://example.org/course"\n')
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    folder = root / "solutions" / NAME
    folder.mkdir(parents=True)
    nbformat.write(notebook(), folder / f"{NAME}.ipynb")
    (folder / f"{NAME}.py").write_text("# %%\ndef double(x):\n    return 2 * x\n")
    return root
