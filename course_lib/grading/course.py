"""What the instructor's commands know of the course: its folders, its problem sets, and the tasks in them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.authoring import tree
from course_lib.errors import CourseError
from course_lib.handin.cells import Task, nbgrader_of, source_of, tasks_of

# jsonschema, which nbformat needs, builds a parser for internationalised addresses when it is imported, at a cost of
# seconds. No notebook's schema uses it; where it is "not installed", jsonschema does without.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

CONFIG = "nbgrader_config.py"
__all__ = [
    "CONFIG",
    "Course",
    "Task",
    "nbgrader_of",
    "replace_folder",
    "source_of",
    "staging",
    "tasks_of",
    "write_whole",
]


@dataclass(frozen=True)
class Course:
    """The course at `root`. Cheap to make; nothing of nbgrader is imported."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Course:
        """The course around the working folder. Raises CourseError where there is none, or no nbgrader_config.py."""
        root = tree.find_root(start)
        if not (root / CONFIG).is_file():
            raise CourseError(f"{root} has no {CONFIG}; the grading commands need it, take it from the repository.")
        return cls(root)

    def choose(self, names: Sequence[str] = ()) -> list[str]:
        """The problem sets called `names`, all of them where none is. Raises CourseError for an unknown one."""
        available = {path.stem: path for path in tree.assignment_sources(self.root)}
        return [path.stem for path in tree.choose(names, available, "assignment")]

    def source(self, name: str) -> Path:
        """solutions/NAME/NAME.ipynb, with solutions and hidden tests."""
        return self.root / "solutions" / name / f"{name}.ipynb"

    def release(self, name: str) -> Path:
        """assignments/NAME/NAME.ipynb, what students get."""
        return self.root / "assignments" / name / f"{name}.ipynb"

    @property
    def grading(self) -> Path:
        """build/grading, where everything that has to do with submissions lies."""
        return self.root / "build" / "grading"

    def submitted(self, student: str, name: str) -> Path:
        return self.grading / "submitted" / student / name / f"{name}.ipynb"

    def autograded(self, student: str, name: str) -> Path:
        return self.grading / "autograded" / student / name / f"{name}.ipynb"

    def feedback(self, student: str, name: str) -> Path:
        return self.grading / "feedback" / student / name / f"{name}.html"

    @property
    def gradebook(self) -> Path:
        return self.grading / "gradebook.db"

    def read_source(self, name: str) -> dict[str, Any]:
        """The instructor's notebook as a plain dict. Raises CourseError where it is not built or damaged."""
        path = self.source(name)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CourseError(
                f"{path.relative_to(self.root)} is not there; build it from its source with course build."
            ) from None
        except (ValueError, UnicodeDecodeError) as error:
            raise CourseError(f"{path.relative_to(self.root)} is not a notebook ({error}); build it again.") from error

    def tasks(self, name: str) -> list[Task]:
        """The tasks of a problem set, in order."""
        return tasks_of(self.read_source(name))


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, on the same disk, gone afterwards whatever happens."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise CourseError(f"Cannot write to {folder.parent} ({error.strerror or error}).") from error
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, old: Path) -> None:
    """Put the folder `new` in the place of `old`, whole; both are on one disk."""
    aside = new.with_name(f"{new.name}.old")
    if old.exists():
        os.rename(old, aside)
    os.rename(new, old)
    shutil.rmtree(aside, ignore_errors=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that `path` holds the old content or the new, never a part of it.

    Raises:
        CourseError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        raise CourseError(f"Cannot write {path} ({error.strerror or error}); choose another place.") from error
    finally:
        partial.unlink(missing_ok=True)
