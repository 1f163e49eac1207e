"""Problem sets as they are released, a submission to each in which everything is answered, and what may befall it."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

from course_lib.handin.cells import nbgrader_of, source_of

REPOSITORY = Path(__file__).resolve().parents[2]
STUB = re.compile(r"( *)# YOUR CODE HERE\n *raise NotImplementedError\(\)")

Cell = dict[str, Any]
Notebook = dict[str, Any]


def _marks(grade_id: str, **options: Any) -> dict[str, Any]:
    plain = {"grade": False, "locked": False, "schema_version": 3, "solution": False, "task": False, "points": None}
    return {"nbgrader": plain | {"grade_id": grade_id} | options, "deletable": False}


def _cell(kind: str, source: str, metadata: dict[str, Any] | None = None) -> Cell:
    cell = {"cell_type": kind, "metadata": metadata or {}, "source": source}
    return cell | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def _solution(grade_id: str, source: str) -> Cell:
    body = "    # YOUR CODE HERE\n    raise NotImplementedError()"
    return _cell("code", f"{source}\n{body}", _marks(grade_id, solution=True))


def _test(grade_id: str, points: int, source: str) -> Cell:
    return _cell("code", source, _marks(grade_id, grade=True, locked=True, points=points))


def _tiny() -> Notebook:
    """Four functions, a written answer, a cell that only shows something. Needs no torch."""
    check = (
        "def check(task, passes):\n    try:\n        good = passes()\n    except NotImplementedError:\n"
        '        print(f"Task {task} is not done yet.")\n    else:\n'
        '        assert good, f"Task {task} is wrong; think of the sign."'
    )
    cells = [
        _cell("markdown", "# Tiny\n\nFour tasks.", _marks("title", locked=True)),
        _cell("code", 'BUDGET = "auto"', {"tags": ["parameters"]}),
        _cell("code", check),
        _solution("double", 'def double(x):\n    """2x, same shape."""'),
        _test("double-test", 2, "check(1, lambda: double(3) == 6)\n"),
        _test("double-sequence", 1, ""),
        _solution("mean", "def mean(values):"),
        _test("mean-test", 2, "check(2, lambda: mean([1, 3]) == 2)"),
        _cell("markdown", "**Question.** Why is the mean of nothing not a number?", _marks("why-text", locked=True)),
        _cell("markdown", "YOUR ANSWER HERE", _marks("why", grade=True, solution=True, points=2)),
        _solution("largest", "def largest(values):"),
        _test("largest-test", 4, "check(3, lambda: largest([1, 5, 2]) == 5)"),
        _cell("code", "for value in (1, 2, 3):\n    print('the double of', value, 'should be', value + value)"),
        _solution("sign", "def sign(x):"),
        _test("sign-test", 1, "check(4, lambda: sign(-5) == -1)"),
        _cell("markdown", "## Before you hand in\n\nRestart and run all."),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"tiny-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _real(name: str) -> Notebook:
    return json.loads((REPOSITORY / "assignments" / name / f"{name}.ipynb").read_text(encoding="utf-8"))


RELEASES = {"tiny": _tiny()} | {name: _real(name) for name in ("ps01_backprop", "ps08_gan")}

TINY_RIGHT = {
    "double": "def double(x):\n    twice = 2 * x\n    return twice",
    "mean": "def mean(values):\n    return sum(values) / len(values)",
    "why": "It divides nought by nought.",
    "largest": "def largest(values):\n    return max(values)",
    "sign": "def sign(x):\n    return (x > 0) - (x < 0)",
}


def answers_of(release: Notebook) -> dict[str, str]:
    """A text of its own for each solution cell, made from the stub: valid code, or words."""
    answers = {}
    for cell in release["cells"]:
        marks = nbgrader_of(cell)
        if marks.get("solution") and cell["cell_type"] == "code":
            name, calls = marks["grade_id"], iter(range(100))
            answers[name] = STUB.sub(
                lambda match: f"{match[1]}answer = 'mine, naïve: {name} {next(calls)}'\n{match[1]}return answer",  # noqa: B023
                source_of(cell),
            )
        elif marks.get("solution"):
            answers[marks["grade_id"]] = f"What I think of {marks['grade_id']}:\n\n- é, $x^2$ and so on"
    return answers


def submission(release: Notebook, answers: dict[str, str] | None = None) -> Notebook:
    """A copy of the release with these answers; by default those of `answers_of`."""
    notebook = copy.deepcopy(release)
    answers = answers_of(release) if answers is None else answers
    for cell in notebook["cells"]:
        name = nbgrader_of(cell).get("grade_id")
        if nbgrader_of(cell).get("solution") and name in answers:
            cell["source"] = answers[name]
    return notebook


def own(source: str, kind: str = "code") -> Cell:
    """A cell that a student added."""
    return _cell(kind, source)


def find(notebook: Notebook, grade_id: str) -> int:
    """The index of the first cell with a grade_id."""
    return next(k for k, cell in enumerate(notebook["cells"]) if nbgrader_of(cell).get("grade_id") == grade_id)


def through_colab(notebook: Notebook) -> Notebook:
    """What comes back from Colab: no cell ids but ids in the metadata, metadata of its own, sources as lists, 4.0."""
    notebook = copy.deepcopy(notebook)
    for number, cell in enumerate(notebook["cells"]):
        cell["metadata"]["id"] = cell.pop("id", f"Xy{number}z")
        if cell.get("cell_type") == "code":
            cell["metadata"] |= {"colab": {"base_uri": "https://localhost:8080/"}, "outputId": f"0{number}"}
            cell["execution_count"] = number
        cell["source"] = source_of(cell).splitlines(keepends=True)
    notebook["metadata"] = {"colab": {"provenance": []}, "accelerator": "GPU", "kernelspec": {"name": "python3"}}
    return notebook | {"nbformat_minor": 0}


def format_3(notebook: Notebook) -> Notebook:
    """The same in the format of IPython 3 and before."""
    cells = []
    for cell in notebook["cells"]:
        kept = {"cell_type": cell.get("cell_type"), "metadata": cell["metadata"]}
        if kept["cell_type"] == "code":
            cells.append(kept | {"input": cell["source"], "outputs": [], "prompt_number": 1, "language": "python"})
        else:
            cells.append(kept | {"source": cell["source"]})
    return {"metadata": {"name": ""}, "nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": cells}]}
