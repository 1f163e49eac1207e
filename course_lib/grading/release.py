"""From the instructor's notebook to the students': no solutions, no hidden tests, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.course import Course, nbgrader_of, replace_folder, source_of, staging

REGION = re.compile(r"\b(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)\b")
# A misspelt marker would be left standing, with what it should have hidden.
SUSPICIOUS = re.compile(r"#{2,}\s*(?i:begin|end)\b|#\s*(BEGIN|END)\b")
NOTEBOOK_KEYS = ("kernelspec", "language_info", "accelerator", "colab")
CELL_KEYS = ("nbgrader", "deletable", "editable", "tags")


def release(course: Course, names: Sequence[str] = (), *, check: bool = False) -> list[tuple[str, bool]]:
    """Make assignments/NAME from solutions/NAME for each name, all of them unless given.

    A release is made aside and put in place whole, or not at all.

    Args:
        check: change nothing, only compare.

    Returns:
        (name, whether the release that was there is other than what the source gives now), one for each.

    Raises:
        CourseError: an unknown name; a notebook that is not built; a release that would give away a solution.
    """
    from course_lib.grading import plain  # imports nbgrader, which takes seconds

    found = []
    for name in course.choose(names):
        source = course.read_source(name)
        target = course.release(name).parent
        with staging(course.grading / "release") as folder:
            made = plain.generate(course.root, name, folder)
            path = made / f"{name}.ipynb"
            released = canonical(json.loads(path.read_text(encoding="utf-8")), source)
            given_away = leaks(source, released)
            if given_away:
                raise CourseError(
                    f"The release of {name} would give away {given_away[0]!r}; "
                    "mark the region with ### BEGIN and ### END, or change the line."
                )
            path.write_text(dump(released), encoding="utf-8")
            changed = contents(made) != contents(target)
            if changed and not check:
                with staging(target) as beside:
                    shutil.copytree(made, beside / name)
                    replace_folder(beside / name, target)
        found.append((name, changed))
    return found


def canonical(notebook: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    """`notebook` with nothing in it that differs from one build to the next, or that is the instructor's alone.

    Of the metadata only what Jupyter, papermill and nbgrader need stays. Cells keep the ids of the source; where the
    source has none, an id is made from the cell's place and text.
    """
    ids = [cell.get("id") for cell in source["cells"]]
    cells = []
    for place, cell in enumerate(notebook["cells"]):
        text = source_of(cell)
        own = ids[place] if place < len(ids) and len(ids) == len(notebook["cells"]) else None
        kept = {
            "cell_type": cell["cell_type"],
            "id": own or f"c{place:03d}-" + hashlib.sha256(text.encode()).hexdigest()[:8],
            "metadata": {key: cell["metadata"][key] for key in CELL_KEYS if key in cell["metadata"]},
            "source": text,
        }
        if cell["cell_type"] == "code":
            kept |= {"execution_count": None, "outputs": []}
        elif "attachments" in cell:
            kept["attachments"] = cell["attachments"]
        cells.append(kept)
    metadata = {key: notebook["metadata"][key] for key in NOTEBOOK_KEYS if key in notebook["metadata"]}
    if "language_info" in metadata:
        metadata["language_info"] = {"name": metadata["language_info"].get("name", "python")}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def dump(notebook: dict[str, Any]) -> str:
    """A notebook as nbformat writes it."""
    import nbformat

    return nbformat.writes(nbformat.from_dict(notebook)).rstrip("\n") + "\n"


def secrets(source: dict[str, Any]) -> set[str]:
    """The lines of the instructor's notebook that students must not see.

    These are the lines inside solution and hidden regions, and in solution cells without a region, that stand nowhere
    outside one. Lines of fewer than four letters or digits (such as a bracket) are nobody's secret.
    """
    inside, outside = set(), {"# YOUR CODE HERE", "raise NotImplementedError()", "YOUR ANSWER HERE"}
    for cell in source["cells"]:
        text = source_of(cell)
        whole = bool(nbgrader_of(cell).get("solution")) and "BEGIN SOLUTION" not in text
        within = False
        for line in text.split("\n"):
            marker = REGION.search(line)
            if marker:
                within = marker.group(1) == "BEGIN"
                continue
            (inside if within or whole else outside).add(line.strip())
    return {line for line in inside - outside if len(re.findall(r"\w", line)) >= 4}


def leaks(source: dict[str, Any], released: dict[str, Any]) -> list[str]:
    """Lines of `released` that give something away: secrets of the source, and markers that were not recognised."""
    hidden = secrets(source)
    return [
        line.strip()
        for cell in released["cells"]
        for line in source_of(cell).split("\n")
        if line.strip() in hidden or SUSPICIOUS.search(line)
    ]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder: its relative path and its bytes. Empty where there is no folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
