"""Everything that is asked of nbgrader, one function per question. Arguments and answers are plain data, so that each
can be asked in another process.

The engine that will replace plain nbgrader replaces `autograde`; the others stay.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.course import CONFIG, Course

try:
    from nbclient.exceptions import DeadKernelError
    from nbgrader.api import Gradebook, MissingEntry
    from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.preprocessors.execute import UnresponsiveKernelError
    from traitlets.config import Config
    from traitlets.config.loader import PyFileConfigLoader
except ImportError as error:
    raise CourseError(f"Grading needs {error.name}; install course_lib[instructor].") from error

log = logging.getLogger("course.grading")
log.addHandler(logging.NullHandler())  # what nbgrader says is for a log file, not for the terminal

# nbgrader starts the program alembic by its bare name; it lies beside this Python, which need not be on the path.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


@dataclass(frozen=True)
class CellScore:
    """What one graded cell of one submission earned."""

    student: str
    assignment: str
    cell: str  # grade_id
    score: float
    points: float
    needs_manual_grade: bool


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


class _Autograde(_Noted, Autograde):
    pass


class _GenerateFeedback(_Noted, GenerateFeedback):
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


def prepare(root: Path, name: str, students: list[str]) -> set[str]:
    """Bring the gradebook up to date with the instructor's notebook of `name`, and enter the students.

    Returns:
        Those who have been graded on it before.

    Raises:
        CourseError: graded cells came or went although the gradebook holds submissions.
    """
    course, config = Course(root), settings(root)
    directory = _directory(config, release_directory="build/grading/release", assignment_id=name)
    failure = _start(_GenerateAssignment(coursedir=directory, config=config, log=log, force=True))
    if failure is not None:
        if "submissions associated" in str(failure):
            raise CourseError(
                f"The cells of {name} changed since the gradebook was begun, and it holds submissions to them; "
                f"move {course.grading} away (manual grades are in it), then grade again."
            )
        raise CourseError(f"nbgrader cannot prepare {name}: {_last(failure).rstrip('.')}.")
    with Gradebook(directory.db_url) as gradebook:
        for student in students:
            gradebook.update_or_create_student(student)
        return {submission.student.id for submission in gradebook.assignment_submissions(name)}


def autograde(root: Path, student: str, name: str) -> list[CellScore]:
    """Grade build/grading/submitted/STUDENT/NAME into the gradebook and build/grading/autograded.

    Returns:
        What each graded cell earned.

    Raises:
        CourseError: it could not be graded; `withdraw` then puts back what was there before.
    """
    config = settings(root)
    directory = _directory(config, student_id=student, assignment_id=name)
    directory.db_url = f"{directory.db_url}?timeout=60"  # seconds to wait while another process writes
    before, aside = _autograded(root, student, name)
    if aside.exists():  # left by a run that was killed: what stands in its place is half-done
        _remove(before)
    elif before.exists():
        aside.parent.mkdir(parents=True, exist_ok=True)
        before.rename(aside)
    with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
        if os.name != "nt":  # sockets in a folder of its own: two kernels that start at once may choose the same port
            config.KernelManager.transport, config.KernelManager.ip = "ipc", str(Path(folder) / "at")
        failure = _start(_Autograde(coursedir=directory, config=config, log=log))
    if failure is None:
        _remove(aside)
        return scores(root, [name], student)
    if isinstance(failure, DeadKernelError):
        raise CourseError("its kernel died: the code ended the process, or needed too much memory")
    if isinstance(failure, UnresponsiveKernelError):
        raise CourseError("a cell took too long and could not be interrupted")
    raise CourseError(f"nbgrader could not grade it ({_last(failure)})")


def withdraw(root: Path, student: str, name: str, graded_before: bool) -> None:
    """Leave no trace of a grading that failed: an earlier result comes back, a first one is as if never begun."""
    now, aside = _autograded(root, student, name)
    if aside.exists():
        _remove(now)
        now.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(now)
    if not graded_before:
        _remove(now)
        url = f"{settings(root).CourseDirectory.db_url}?timeout=60"
        with Gradebook(url) as gradebook, contextlib.suppress(MissingEntry):
            gradebook.remove_submission(name, student)


def _autograded(root: Path, student: str, name: str) -> tuple[Path, Path]:
    """The folder of an autograded submission, and where the one before it waits meanwhile."""
    folder = Course(root).autograded(student, name).parent
    return folder, root / "build" / "grading" / "before" / student / name


def _remove(folder: Path) -> None:
    """Delete a folder if it is there; nbgrader makes what it has graded read-only."""
    if folder.exists():
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)
        shutil.rmtree(folder)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()  # the student's, where it holds nothing else


def feedback(root: Path, student: str, name: str) -> Path:
    """Write the student's feedback page from the autograded notebook and the gradebook.

    Raises:
        CourseError: nbgrader could not.
    """
    config = settings(root)
    directory = _directory(config, student_id=student, assignment_id=name)
    failure = _start(_GenerateFeedback(coursedir=directory, config=config, log=log, force=True))
    if failure is not None:
        raise CourseError(f"nbgrader could not write it ({_last(failure)})")
    return Course(root).feedback(student, name)


def scores(root: Path, names: list[str], student: str | None = None) -> list[CellScore]:
    """What the gradebook holds of these problem sets, in the order of students and of the notebook's cells."""
    course, found = Course(root), []
    with Gradebook(settings(root).CourseDirectory.db_url) as gradebook:
        for name in names:
            order = {cell: k for k, cell in enumerate(c for task in course.tasks(name) for c in task.cells)}
            try:
                submissions = gradebook.assignment_submissions(name)
            except MissingEntry:
                continue
            for submission in submissions:
                if student is not None and submission.student.id != student:
                    continue
                found += [
                    CellScore(
                        submission.student.id,
                        name,
                        grade.name,
                        float(grade.score),
                        float(grade.max_score),
                        bool(grade.needs_manual_grade),
                    )
                    for notebook in submission.notebooks
                    for grade in sorted(notebook.grades, key=lambda grade: order.get(grade.name, len(order)))
                ]
    return sorted(found, key=lambda row: (names.index(row.assignment), row.student))  # stable: cells keep their order


@dataclass(frozen=True)
class Student:
    """What the gradebook knows of a person. Only `id` is always there."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""


def students(root: Path) -> dict[str, Student]:
    """The students in the gradebook, by id."""
    with Gradebook(settings(root).CourseDirectory.db_url) as gradebook:
        return {
            s.id: Student(s.id, s.first_name or "", s.last_name or "", s.email or "", s.lms_user_id or "")
            for s in gradebook.students
        }
