"""Grade a folder of submissions, each on its own: what goes wrong with one does not touch the others.

What happens to a submission is one call of `plain.autograde` in a process of `Pool`. Its arguments and its answer are
plain data, and nothing here depends on nbgrader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.errors import CourseError
from course_lib.grading.course import Course, Task, write_whole
from course_lib.grading.pool import Call, Pool
from course_lib.grading.submissions import Refusal, Submission, collect, examine

if TYPE_CHECKING:
    from course_lib.grading.plain import CellScore

LIMIT = 900.0  # seconds a submission may take


@dataclass(frozen=True)
class Mark:
    """What one student earned in one task."""

    score: float
    points: float
    needs_manual_grade: bool


@dataclass
class Report:
    """What came of a folder of submissions."""

    tasks: dict[str, list[Task]]  # of each assignment graded
    marks: dict[tuple[str, str], dict[str, Mark]] = field(default_factory=dict)  # (assignment, student): by task
    refused: list[Refusal] = field(default_factory=list)
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)


def by_task(tasks: Sequence[Task], scores: Sequence[CellScore]) -> dict[str, Mark]:
    """The cells of one submission added up by task. A cell without a score counts as 0 of its points."""
    earned = {score.cell: score for score in scores}
    return {
        task.name: Mark(
            sum(earned[cell].score for cell in task.cells if cell in earned),
            task.points,
            any(earned[cell].needs_manual_grade for cell in task.cells if cell in earned),
        )
        for task in tasks
    }


def grade(
    course: Course,
    folder: Path,
    names: Sequence[str] = (),
    *,
    jobs: int = 1,
    limit: float = LIMIT,
    started: Callable[[int], None] = lambda total: None,
    finished: Callable[[str], None] = lambda name: None,
) -> Report:
    """Grade the submissions in `folder` into build/grading.

    Args:
        names: the problem sets to grade; all of the course unless given.
        jobs: processes side by side, one thread each.
        limit: seconds that one submission may take.
        started: called with the number of submissions that will be graded.
        finished: called with the name of each, as it is done.

    Returns:
        The marks, and what was refused or failed, each with a reason.

    Raises:
        CourseError: nothing could be graded: an unknown problem set, no such folder, no submission in it that is a
            notebook of the problem set. Then build/grading is as it was.
    """
    wanted = course.choose(names)
    submissions, refused = collect(folder, course.choose(), wanted)
    sources = {name: course.read_source(name) for name in sorted({s.assignment for s in submissions})}
    sound: list[Submission] = []
    for submission in submissions:
        reason = examine(submission.path, sources[submission.assignment])
        if reason is None:
            sound.append(submission)
        else:
            refused.append(Refusal(f"{submission.student}, {submission.assignment}", reason))
    if not sound:
        listed = "\n".join(f"  {refusal.name}: {refusal.reason}." for refusal in refused)
        raise CourseError(f"Nothing in {folder} could be graded:\n{listed}")

    report = Report({name: course.tasks(name) for name in {s.assignment: None for s in sound}}, refused=refused)
    started(len(sound))
    begun: dict[tuple[str, str], bool] = {}  # what is not finished: whether there is an earlier result
    try:
        with Pool(min(jobs, len(sound)), course.grading, limit) as pool:
            for name in report.tasks:
                students = [s.student for s in sound if s.assignment == name]
                known = pool.ask(_prepare, course.root, name, students)
                begun |= {(name, student): student in known for student in students}
            for submission in sound:
                data = submission.path.read_bytes()
                write_whole(course.submitted(submission.student, submission.assignment), data)
            for answer in pool.run(
                Call((s.assignment, s.student), _autograde, (course.root, s.student, s.assignment)) for s in sound
            ):
                name, student = answer.key
                if answer.error:
                    report.refused.append(Refusal(f"{student}, {name}", answer.error))
                else:
                    report.marks[answer.key] = by_task(report.tasks[name], answer.value)
                    del begun[answer.key]
                report.seconds[answer.key] = answer.seconds
                finished(f"{student}, {name}")
    finally:
        # What failed, and what an interruption left half-done, goes; what was there before comes back.
        if begun:
            with Pool(1, course.grading, limit) as pool:
                for (name, student), before in begun.items():
                    pool.ask(_withdraw, course.root, student, name, before)
    return report


# The functions below run in the workers, where nbgrader is.


def _prepare(root: Path, name: str, students: list[str]) -> set[str]:
    from course_lib.grading import plain

    return plain.prepare(root, name, students)


def _autograde(root: Path, student: str, name: str) -> list[CellScore]:
    from course_lib.grading import plain

    return plain.autograde(root, student, name)


def _withdraw(root: Path, student: str, name: str, graded_before: bool) -> None:
    from course_lib.grading import plain

    plain.withdraw(root, student, name, graded_before)
