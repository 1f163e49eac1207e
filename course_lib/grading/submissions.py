"""What lies in a folder of submissions: whose, of which problem set, and whether nbgrader can be trusted with it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.course import nbgrader_of

# A student's name becomes a folder, a row of the gradebook and a field of a CSV file.
STUDENT = re.compile(r"[^\W_][\w.@+\- ]{0,99}")
SIZE = 20_000_000  # bytes; a notebook with many pictures has two million


@dataclass(frozen=True)
class Submission:
    """One notebook that a student handed in."""

    student: str
    assignment: str
    path: Path


@dataclass(frozen=True)
class Refusal:
    """A file, or a submission, that was not graded, and why: a clause that follows the name and "was not graded:"."""

    name: str
    reason: str


def collect(folder: Path, known: Sequence[str], wanted: Sequence[str]) -> tuple[list[Submission], list[Refusal]]:
    """The submissions below a folder, sorted by student.

    Three layouts are understood, also mixed: STUDENT/NAME.ipynb, STUDENT/NAME/NAME.ipynb (nbgrader's own) and
    STUDENT_NAME.ipynb, where NAME is a problem set.

    Args:
        known: every problem set of the course.
        wanted: those to be graded; submissions of others are passed over.

    Returns:
        The submissions, and the notebooks that are none.

    Raises:
        CourseError: there is no such folder, or no notebook of a wanted problem set in it.
    """
    if not folder.exists():
        raise CourseError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder; give the one that holds the submissions.")
    submissions: dict[tuple[str, str], list[Path]] = {}
    refusals = []
    for path in sorted(folder.rglob("*.ipynb")):
        parts = path.relative_to(folder).parts
        if not path.is_file() or any(part.startswith(".") for part in parts):
            continue
        student, name = _whose(parts, known)
        if name is None or student is None:
            where = "its name is not that of a problem set" if name is None else "its name does not say whose it is"
            refusals.append(Refusal(str(path.relative_to(folder)), f"{where}; use STUDENT/{wanted[0]}.ipynb"))
        elif name not in wanted:
            continue
        elif not STUDENT.fullmatch(student):
            reason = f"{student!r} is no name for a student; use letters, digits and . _ @ + -, letters or digits first"
            refusals.append(Refusal(str(path.relative_to(folder)), reason))
        else:
            submissions.setdefault((student, name), []).append(path)
    found = []
    for (student, name), paths in sorted(submissions.items()):
        if len(paths) == 1:
            found.append(Submission(student, name, paths[0]))
        else:
            places = " and ".join(str(path.relative_to(folder)) for path in paths)
            refusals.append(Refusal(f"{student}, {name}", f"it is there {len(paths)} times ({places}); keep one"))
    if not found and not refusals:
        raise CourseError(
            f"There is no submission of {' or '.join(wanted)} in {folder}; "
            f"it should hold STUDENT/{wanted[0]}.ipynb or STUDENT_{wanted[0]}.ipynb."
        )
    return found, refusals


def _whose(parts: tuple[str, ...], known: Sequence[str]) -> tuple[str | None, str | None]:
    """(student, problem set) of a file; None for what its path does not tell."""
    stem = parts[-1].removesuffix(".ipynb")
    if stem in known:
        if len(parts) == 2:
            return parts[0], stem
        if len(parts) == 3 and parts[1] == stem:
            return parts[0], stem
        return None, stem
    if len(parts) == 1:
        for name in sorted(known, key=len, reverse=True):
            if stem.endswith(f"_{name}") and len(stem) > len(name) + 1:
                return stem.removesuffix(f"_{name}"), name
    return None, None


def examine(path: Path, source: dict[str, Any]) -> str | None:
    """Why a notebook cannot be graded fairly, or None.

    On such files nbgrader stops, or silently gives 0; a sentence to the student is better.

    Args:
        source: the instructor's notebook.
    """
    try:
        if path.stat().st_size > SIZE:
            return f"it has {path.stat().st_size / 1e6:.0f} MB; clear the outputs and hand it in again"
        notebook = json.loads(path.read_bytes())
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    except (ValueError, RecursionError):
        return "it is not JSON, so it is no notebook; hand in the .ipynb file itself"
    problem = _malformed(notebook)
    if problem:
        return f"{problem}; open it in Jupyter, save it and hand it in again"

    expected = {grade["grade_id"]: grade for grade in map(nbgrader_of, source["cells"]) if grade.get("grade_id")}
    there = [grade for grade in map(nbgrader_of, notebook["cells"]) if isinstance(grade.get("grade_id"), str)]
    times = Counter(grade["grade_id"] for grade in there)
    repair = "copy the answers into a fresh copy of the problem set"
    twice = [name for name, count in times.items() if count > 1]
    if twice:
        return f"the cell {twice[0]!r} is there {times[twice[0]]} times; delete the copy, or {repair}"
    needed = [name for name, grade in expected.items() if grade.get("grade") or grade.get("solution")]
    missing = [name for name in needed if name not in times]
    if len(missing) == len(needed):
        return f"it has none of the problem set's graded cells (an editor may have stripped their marks); {repair}"
    if missing:
        return f"the cell {missing[0]!r} is missing{f' and {len(missing) - 1} more' if missing[1:] else ''}; {repair}"
    for grade in there:
        version = grade.get("schema_version")
        if grade["grade_id"] in expected and version != expected[grade["grade_id"]].get("schema_version"):
            return f"the cell {grade['grade_id']!r} carries marks of version {version!r}; {repair}"
    return None


def _malformed(notebook: Any) -> str | None:
    """What is wrong with the form of a notebook, or None. Missing cell ids are no fault: Colab writes none."""
    import nbformat

    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        return "it has no list of cells" if isinstance(notebook, dict) else "it is JSON but no notebook"
    if notebook.get("nbformat") != 4:
        return f"its notebook format is {notebook.get('nbformat')!r}, not 4"
    try:
        relaxed = {**notebook, "nbformat_minor": 4}
        relaxed["cells"] = [{k: v for k, v in cell.items() if k != "id"} for cell in notebook["cells"]]
        nbformat.validate(relaxed, relax_add_props=True)
    except nbformat.ValidationError as error:
        where = ".".join(str(part) for part in getattr(error, "absolute_path", ()))
        return f"it does not have the form of a notebook ({where or 'at the top'}: {str(error).splitlines()[0][:100]})"
    except Exception as error:
        return f"it does not have the form of a notebook ({type(error).__name__})"
    return None
