"""What is kept of each grading: a record and a notebook, each written whole, the record last.

build/grading/results/STUDENT/NAME.json is the record of the submission that counts: what the checker answered without
its notebook, and what was added here,

- "fingerprint": {"submission": digest of the file handed in, "tests": digest of everything a score can depend on,
  "cells": {grade_id: digest of what its score depends on}, "limits": {...}},
- "unanswered": solution cells that still hold the stub,
- "attempt", "submitted" (ISO 8601, "" if not known), "late" (see `late.Outcome`), "adjusted": points after that,
- "lms": {"system", "id", "name"} as the file name told them, "notes": clauses about the file for the instructor,
- "earlier": where this submission was refused, the record of the one before it, which still counts.

Where a student has several attempts that could count, all of them are kept in build/grading/attempts/STUDENT/NAME.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.course import Course, nbgrader_of, source_of, write_whole

Record = dict[str, Any]


class Unwritable(CourseError):
    """A result could not be written; the message is a clause that says why."""


@dataclass(frozen=True)
class Place:
    """Where one result lies."""

    record: Path
    notebook: Path

    @classmethod
    def counting(cls, course: Course, student: str, name: str) -> Place:
        """Of the submission that counts."""
        return cls(course.grading / "results" / student / f"{name}.json", course.autograded(student, name))

    @classmethod
    def attempt(cls, course: Course, student: str, name: str, submission: str) -> Place:
        """Of one attempt of several, by the digest of the file handed in."""
        folder = course.grading / "attempts" / student / name
        return cls(folder / f"{submission[:32]}.json", folder / f"{submission[:32]}.ipynb")

    def read(self) -> Record | None:
        """The record, or None where there is none that can be used."""
        try:
            record = json.loads(self.record.read_bytes())
            whole = {"student", "assignment", "status", "cells"} <= record.keys()
            whole = whole and {"submission", "tests", "cells"} <= record["fingerprint"].keys()
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            return None
        if not whole or (record["status"] == "graded" and not self.notebook.is_file()):
            return None
        return record

    def write(self, record: Record, notebook: bytes | None) -> None:
        """Write a result. A notebook of None stays as it is.

        Raises:
            Unwritable: the disk is full, or the folder not to be written to.
        """
        if notebook is not None:
            put(self.notebook, notebook)
        put(self.record, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())


def put(path: Path, data: bytes) -> None:
    """Write a file whole. Raises Unwritable."""
    try:
        write_whole(path, data)
    except CourseError as error:
        cause = error.__cause__
        raise Unwritable(getattr(cause, "strerror", None) or str(cause)) from error


def all_records(course: Course, name: str) -> list[Record]:
    """The records of a problem set, by student."""
    paths = sorted((course.grading / "results").glob(f"*/{name}.json"))
    found = (Place.counting(course, path.parent.name, name).read() for path in paths)
    return [record for record in found if record is not None]


def keep_refusals(course: Course, refused: Iterable[tuple[str, str]]) -> None:
    """Note what a run could not grade, (name, reason) each; not all of that has a record. Raises Unwritable."""
    put(course.grading / "refused.json", (json.dumps(list(refused), indent=1) + "\n").encode())


def kept_refusals(course: Course) -> list[tuple[str, str]]:
    """What the last run could not grade."""
    try:
        return [(str(name), str(reason)) for name, reason in json.loads((course.grading / "refused.json").read_bytes())]
    except (OSError, ValueError, TypeError):
        return []


def effective(record: Record | None) -> Record | None:
    """The record whose scores count: this one, or the earlier one of a submission that was refused."""
    if record is None or record["status"] == "graded":
        return record
    return record.get("earlier")


# ------------------------------------------------------------------------------------------------ changes


def rescaled(record: Record, points: Mapping[str, float]) -> Record:
    """The record with the cells and points that the problem set has now; scores keep their share of the points."""
    cells = {}
    for name, cell in record["cells"].items():
        if name not in points:
            continue
        if cell["points"] != points[name]:
            share = cell["score"] / cell["points"] if cell["points"] else 0.0
            cell = {**cell, "score": share * points[name], "points": points[name]}
        cells[name] = cell
    marks = record["fingerprint"]
    kept = {name: made for name, made in marks["cells"].items() if name in points}
    return {**record, "cells": cells, "fingerprint": {**marks, "cells": kept}}


def merged(old: Record, new: Record, only: Iterable[str]) -> Record:
    """The new record, with the old one's scores for the cells that were not graded anew."""
    cells = {**old["cells"], **{name: new["cells"][name] for name in only if name in new["cells"]}}
    return {**new, "cells": {name: cells[name] for name in new["fingerprint"]["cells"] if name in cells}}


def merged_notebook(old: bytes, new: bytes, only: Iterable[str]) -> bytes:
    """The new notebook, with the old one's outputs in the test cells that were not run again."""
    anew = set(only)
    before = {nbgrader_of(cell).get("grade_id"): cell for cell in _cells(json.loads(old))}
    notebook = json.loads(new)
    for cell in _cells(notebook):
        grade = nbgrader_of(cell)
        kept = before.get(grade.get("grade_id"))
        if not grade.get("grade") or grade.get("solution") or grade["grade_id"] in anew or kept is None:
            continue
        for key in ("outputs", "execution_count"):
            if key in cell and key in kept:
                cell[key] = kept[key]
    return _dump(notebook)


def retouched(notebook: bytes, source: Mapping[str, Any]) -> bytes:
    """The notebook with the points that the problem set has now, and without the marks of cells that it has no more.

    A test cell that went is taken out; what the student wrote stays.
    """
    now = {nbgrader_of(cell)["grade_id"]: nbgrader_of(cell) for cell in source["cells"] if nbgrader_of(cell)}
    made = json.loads(notebook)
    cells = []
    for cell in _cells(made):
        grade = nbgrader_of(cell)
        name = grade.get("grade_id")
        if name and name not in now:
            if not grade.get("solution"):
                continue
            del cell["metadata"]["nbgrader"]
        elif name and "points" in grade and "points" in now[name]:
            grade["points"] = now[name]["points"]
        cells.append(cell)
    return _dump({**made, "cells": cells})


def unanswered(notebook: bytes, release: Mapping[str, Any]) -> list[str]:
    """The solution cells that hold what the release has there, in order."""
    stubs = {
        nbgrader_of(cell)["grade_id"]: source_of(cell) for cell in release["cells"] if nbgrader_of(cell).get("solution")
    }
    return [
        nbgrader_of(cell)["grade_id"]
        for cell in _cells(json.loads(notebook))
        if nbgrader_of(cell).get("solution") and stubs.get(nbgrader_of(cell)["grade_id"]) == source_of(cell)
    ]


def _cells(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    return notebook["cells"]


def _dump(notebook: Mapping[str, Any]) -> bytes:
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
