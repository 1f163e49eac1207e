"""What is asked of nbgrader's converters, one function per question. Arguments and answers are plain data, so that
each can be asked in another process. What is asked of its gradebook is in `gradebook`.

Grading itself is not asked of nbgrader. It still can be, by hand: `nbgrader autograde NAME` in the course's folder
finds what `course grade` has left, because folders, gradebook and configuration are the same.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.course import CONFIG

try:
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config
    from traitlets.config.loader import PyFileConfigLoader
except ImportError as error:
    raise CourseError(f"Grading needs {error.name}; install course_lib[instructor].") from error

log = logging.getLogger("course.grading")
log.addHandler(logging.NullHandler())  # what nbgrader says is for a log file, not for the terminal

# nbgrader starts the program alembic by its bare name; it lies beside this Python, which need not be on the path.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def settings(root: Path) -> Config:
    """nbgrader_config.py as nbgrader itself reads it."""
    return PyFileConfigLoader(CONFIG, str(root)).load_config()


def _directory(config: Config, **options: Any) -> CourseDirectory:
    return CourseDirectory(config=config, log=log, **options)


def _last(error: BaseException) -> str:
    """The last line of an error, in one piece."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__


class _Noted:
    """A converter that keeps the exception which nbgrader only writes to its log."""

    failure: BaseException | None = None

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        self._note(super().init_assignment, assignment_id, student_id)  # type: ignore[misc]

    def convert_single_notebook(self, filename: str) -> None:
        self._note(super().convert_single_notebook, filename)  # type: ignore[misc]

    def _note(self, function: Any, *args: Any) -> None:
        try:
            function(*args)
        except BaseException as error:
            self.failure = self.failure or error
            raise


class _GenerateAssignment(_Noted, GenerateAssignment):
    pass


def _start(converter: Any) -> BaseException | None:
    """Run a converter; what went wrong, or None."""
    try:
        converter.start()
    except Exception as error:
        return converter.failure or error
    return None


def generate(root: Path, name: str, folder: Path) -> Path:
    """Make the student's version of `name` in `folder`. No gradebook is touched.

    Returns:
        The folder that holds the notebook and the other files students get.

    Raises:
        CourseError: nbgrader refuses the notebook: a region is not closed, a cell is marked wrongly.
    """
    config = settings(root)
    config.GenerateAssignment.no_database = True
    config.SaveCells.enabled = False
    # The instructor's files are copied, so that nothing in the course depends on where it is generated.
    shutil.copytree(root / "solutions" / name, folder / "solutions" / name)
    directory = _directory(
        config,
        root=str(folder),
        source_directory="solutions",
        release_directory="release",
        assignment_id=name,
    )
    failure = _start(_GenerateAssignment(coursedir=directory, config=config, log=log))
    if failure is not None:
        raise CourseError(f"nbgrader cannot release {name}: {_last(failure).rstrip('.')}.")
    return folder / "release" / name
