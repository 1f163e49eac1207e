"""Where downloaded data lives, and what is said when it cannot be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from course_lib.errors import CourseError


def data_root() -> Path:
    """The folder of downloaded data: $COURSE_DATA, or the user's cache folder."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("COURSE_DATA")
    return Path(chosen) if chosen else user_cache_path("course_lib") / "data"


@contextmanager
def fetching(what: str, root: Path, *, instead: str) -> Iterator[None]:
    """Turn every failure to fetch or read `what` into one sentence that says what to do."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        present = root.exists() and any(path.is_file() for path in root.rglob("*"))
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = f" or, if its files there are damaged, delete {root} and try again" if present else ""
        raise CourseError(
            f"{what} could not be loaded into {root} ({reason}); connect to the network once, copy its files there, "
            f"use {instead}{hint}."
        ) from error
