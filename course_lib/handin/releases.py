"""The problem sets as they were released: with the library where students install it, else in the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.handin.rebuild import rebuild

PACKAGE = Path(__file__).resolve().parents[1]


def available(package: Path = PACKAGE) -> dict[str, Path]:
    """The released notebooks by name.

    A student works on the notebooks in the clone's own assignments/, so these say nothing about the release;
    `course publish` puts copies into the library. In the instructor's repository the two are the same.

    Raises:
        CourseError: there is none.
    """
    found = {path.stem: path for path in sorted((package / "handin" / "released").rglob("*.ipynb"))}
    if not found and (package.parent / "pyproject.toml").is_file():
        found = {
            path.stem: path
            for path in sorted((package.parent / "assignments").glob("*/*.ipynb"))
            if path.stem == path.parent.name
        }
    if not found:
        raise CourseError("This installation of course_lib holds no problem sets; install it again from the course.")
    return found


def read_release(path: Path) -> dict[str, Any]:
    """A released notebook. Raises CourseError where it is damaged."""
    try:
        release = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(release["cells"], list):
            raise KeyError("cells")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"The problem set {path} cannot be read ({error}); install the course again.") from error
    return release


def release_of(data: bytes, called: str = "", name: str | None = None) -> tuple[str, dict[str, Any]]:
    """(name, release) of the problem set to which a notebook belongs.

    Args:
        data: the notebook's file.
        called: the file's name, which decides where the contents do not.
        name: the problem set, where it is known.

    Raises:
        CourseError: there is no such problem set, or the notebook is of none.
    """
    paths = available()
    if name is not None:
        if name not in paths:
            raise CourseError(f"There is no problem set {name!r}; there are {', '.join(paths)}.")
        return name, read_release(paths[name])
    releases = {name: read_release(path) for name, path in paths.items()}
    answered = {
        name: sum(bool(piece.grade_id) and piece.origin is not None for piece in rebuild(data, release).pieces)
        for name, release in releases.items()
    }
    most = max(answered.values())
    best = [name for name, count in answered.items() if count == most]
    named = [name for name in best if name in called]
    if most == 0 and not named:
        raise CourseError(
            f"{called or 'This notebook'} is not recognised as one of the problem sets {', '.join(paths)}; "
            "say which with --assignment NAME."
        )
    return (named or best)[0], releases[(named or best)[0]]
