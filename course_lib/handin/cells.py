"""What both sides know of a problem set's notebook: nbgrader's marks, the text of a cell, the tasks and points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    """What is marked together: a solution cell with the test cells that follow it, or one written answer."""

    name: str  # grade_id of the solution cell
    cells: dict[str, float] = field(default_factory=dict)  # grade_id of each graded cell: its points
    written: bool = False  # graded by a person

    @property
    def points(self) -> float:
        return sum(self.cells.values())


def nbgrader_of(cell: dict[str, Any]) -> dict[str, Any]:
    """nbgrader's metadata of a cell; empty where it has none."""
    found = cell.get("metadata", {}).get("nbgrader", {})
    return found if isinstance(found, dict) else {}


def source_of(cell: dict[str, Any]) -> str:
    """The text of a cell, which a notebook file may hold as a list of lines."""
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(text)


def tasks_of(notebook: dict[str, Any]) -> list[Task]:
    """The tasks of a notebook: each test cell belongs to the solution cell before it."""
    tasks: list[Task] = []
    for cell in notebook["cells"]:
        grade = nbgrader_of(cell)
        if grade.get("solution"):
            tasks.append(Task(grade["grade_id"], {}, bool(grade.get("grade"))))
        if grade.get("grade"):
            if not tasks or (tasks[-1].written and not grade.get("solution")):
                tasks.append(Task(grade["grade_id"]))
            tasks[-1].cells[grade["grade_id"]] = float(grade["points"])
    return [task for task in tasks if task.cells]
