"""Build the .ipynb files from their sources: a pure function of the source's text, so a rebuild changes nothing.

Nothing of the machine, of an earlier build, or of an execution gets in: no outputs, no kernel version, and the id of a
cell is its nbgrader grade_id, else a digest of its own text. So the ids of the other cells survive the edit of one.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from course_lib.authoring.tree import find_root, sources
from course_lib.errors import CourseError

KEPT = ("accelerator", "colab")  # of a source's header: what Colab reads
JUPYTEXT_ONLY = (
    "lines_to_next_cell",
    "lines_to_end_of_cell_marker",
    "cell_marker",
    "title",
    "incorrectly_encoded_metadata",
)


def notebook_text(source: Path) -> str:
    """The notebook that `source` (jupytext, py:percent) describes, as the text of an .ipynb file.

    Raises:
        CourseError: the source is not a notebook, or does not describe a valid one.
    """
    import jupytext
    import nbformat

    text = source.read_text(encoding="utf-8")
    if "\n# %%" not in text:
        raise CourseError(f"{source} has no cells; a notebook source is divided by lines that start with '# %%'.")
    try:
        read = jupytext.reads(text, fmt="py:percent")
    except (ValueError, SyntaxError) as error:
        raise CourseError(f"{source} cannot be read as a notebook ({error}).") from error
    cells, seen = [], set()
    for cell in read.cells:
        body = cell.source.strip("\n")
        if not body.strip():
            continue
        metadata = {key: value for key, value in cell.metadata.items() if key not in JUPYTEXT_ONLY}
        new = {"cell_type": cell.cell_type, "id": _cell_id(cell.cell_type, body, metadata, seen), "metadata": metadata}
        if cell.cell_type == "code":
            new.update(execution_count=None, outputs=[])
        cells.append({**new, "source": body})
    notebook = nbformat.from_dict(
        {
            "cells": cells,
            "metadata": {
                **{key: read.metadata[key] for key in KEPT if key in read.metadata},
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                "language_info": {"name": "python"},
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise CourseError(f"{source} does not describe a valid notebook ({error.message}).") from error
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def _cell_id(kind: str, body: str, metadata: dict, seen: set[str]) -> str:
    """grade_id, else twelve hexadecimal digits of the text's digest; equal cells are told apart by their order."""
    grade_id = metadata.get("nbgrader", {}).get("grade_id")
    base = grade_id or hashlib.sha256(f"{kind}\n{body}".encode()).hexdigest()[:12]
    if grade_id in seen:
        raise CourseError(f"The grade_id {grade_id!r} is used twice in one assignment.")
    name, k = base, 2
    while name in seen:
        name, k = f"{base}-{k}", k + 1
    seen.add(name)
    return name


def build(root: Path, *, check: bool = False) -> list[Path]:
    """Write every notebook whose built file is not what its source says, and delete built files without a source.

    Args:
        root: the repository.
        check: change nothing.

    Returns:
        The built files that were out of date.
    """
    stale, built = [], set()
    for source in sources(root):
        target = source.with_suffix(".ipynb")
        built.add(target)
        text = notebook_text(source)
        if not target.is_file() or target.read_bytes() != text.encode("utf-8"):
            stale.append(target)
            if not check:
                write(target, text)
    for orphan in sorted({*(root / "notebooks").glob("*.ipynb"), *(root / "solutions").glob("ps*/*.ipynb")} - built):
        stale.append(orphan)
        if not check:
            orphan.unlink()
    return stale


def write(path: Path, text: str) -> None:
    """Write all of `text` or nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(text.encode("utf-8"))
        os.replace(partial, path)
    except OSError as error:
        raise CourseError(f"Could not write {path} ({error.strerror or error}).") from error
    finally:
        partial.unlink(missing_ok=True)


def build_command(check: bool) -> int:
    """What `course build` does; the exit status."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    root = find_root()
    count = len(sources(root))
    stale = build(root, check=check)
    for path in stale:
        name = path.relative_to(root)
        has_source = path.with_suffix(".py") in sources(root)
        if check:
            console.print(f"[red]out of date[/] {name}" if has_source else f"[red]has no source[/] {name}")
        else:
            console.print(f"built {name}" if has_source else f"deleted {name} (it has no source)")
    if check and stale:
        console.print(f"{len(stale)} of the built notebooks do not match their sources; run: course build")
        return 1
    console.print(
        f"{count} notebooks are up to date." if check or not stale else f"{count} notebooks, {len(stale)} changed."
    )
    return 0
