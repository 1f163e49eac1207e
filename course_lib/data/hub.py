"""Where downloaded data and weights live, and what is said when it cannot be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

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


def fetched_weights(what: str, url: str, *, instead: str, root: Path | None = None) -> dict[str, Any]:
    """The state dict at `url`, on the CPU: downloaded once, checked by the hash in its name, kept in `root`/weights.

    Args:
        what: its name in words, for the message where it cannot be had.
        instead: what to use then, for the same message.
        root: data_root() unless given.

    Raises:
        CourseError: there is neither a network nor the file, or the file is damaged.
    """
    folder = (data_root() if root is None else root) / "weights"
    with fetching(what, folder, instead=instead):
        return torch.hub.load_state_dict_from_url(url, str(folder), map_location="cpu", progress=False, check_hash=True)
