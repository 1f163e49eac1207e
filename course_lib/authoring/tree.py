"""Where things are in the course's repository, and how a name that a person typed becomes a file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError


def find_root(start: Path | None = None) -> Path:
    """The root of the repository: the nearest folder at or above `start` whose pyproject.toml has [tool.course].

    Raises:
        CourseError: there is none.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if "course" in _tools(folder / "pyproject.toml"):
            return folder
    raise CourseError(f"{start} is not inside the course's repository; change to the folder that holds its README.md.")


def settings(root: Path) -> dict[str, Any]:
    """The table [tool.course] of pyproject.toml."""
    return _tools(root / "pyproject.toml")["course"]


def _tools(pyproject: Path) -> dict[str, Any]:
    if not pyproject.is_file():
        return {}
    try:
        return tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CourseError(f"{pyproject} cannot be read ({error}); repair it first.") from error


def lecture_sources(root: Path) -> list[Path]:
    """notebooks/NN_topic.py, in order."""
    return sorted((root / "notebooks").glob("[0-9][0-9]_*.py"))


def assignment_sources(root: Path) -> list[Path]:
    """solutions/psNN_topic/psNN_topic.py, in order."""
    return sorted(path for path in (root / "solutions").glob("ps*/ps*.py") if path.stem == path.parent.name)


def sources(root: Path) -> list[Path]:
    """Every notebook source."""
    return lecture_sources(root) + assignment_sources(root)


def close_names(name: str, known: Iterable[str]) -> list[str]:
    """Those of `known` that a person who typed `name` may have meant, the likeliest first."""
    known = list(known)
    inside = [other for other in known if name and (name in other or other.startswith(name.rstrip("_")))]
    return list(dict.fromkeys(inside + difflib.get_close_matches(name, known, n=3, cutoff=0.5)))[:3]


def choose(names: Sequence[str], available: dict[str, Path], kind: str) -> list[Path]:
    """The files of `names` in `available` (all of them where no name is given), each once.

    A name may be a path or carry a suffix: notebooks/01_backprop.py is 01_backprop.

    Raises:
        CourseError: there is nothing to choose from, or a name is unknown (the message suggests close ones).
    """
    if not available:
        raise CourseError(f"There is no {kind} here yet.")
    chosen = []
    for name in names:
        stem = Path(name).name
        for suffix in (".ipynb", ".py"):
            stem = stem.removesuffix(suffix)
        if stem not in available:
            close = close_names(stem, available)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(available))}."
            raise CourseError(f"There is no {kind} {name!r}; {hint}")
        chosen.append(available[stem])
    return list(dict.fromkeys(chosen)) or list(available.values())
