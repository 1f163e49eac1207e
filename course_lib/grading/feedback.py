"""A page for each student: their notebook as it ran, with scores and comments, and no hidden tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.grading.course import Course
from course_lib.grading.pool import Call, Pool
from course_lib.grading.submissions import Refusal

LIMIT = 300.0  # seconds a page may take


def feedback(
    course: Course,
    names: Sequence[str] = (),
    *,
    jobs: int = 1,
    started: Callable[[int], None] = lambda total: None,
    finished: Callable[[str], None] = lambda name: None,
) -> tuple[list[Path], list[Refusal]]:
    """Write build/grading/feedback/STUDENT/NAME/NAME.html for everything that has been graded.

    Returns:
        The pages, and what could not be written.

    Raises:
        CourseError: an unknown problem set, or nothing has been graded.
    """
    wanted = course.choose(names)
    graded = [
        (student, name)
        for name in wanted
        for student in sorted(path.parts[-3] for path in course.grading.glob(f"autograded/*/{name}/{name}.ipynb"))
    ]
    if not graded or not course.gradebook.is_file():
        raise CourseError(f"Nothing of {' or '.join(wanted)} has been graded; run course grade first.")
    started(len(graded))
    pages, failed = [], []
    with Pool(min(jobs, len(graded)), course.grading, LIMIT) as pool:
        for answer in pool.run(Call(key, _feedback, (course.root, *key)) for key in graded):
            student, name = answer.key
            if answer.error:
                failed.append(Refusal(f"{student}, {name}", answer.error))
            else:
                pages.append(answer.value)
            finished(f"{student}, {name}")
    return sorted(pages), failed


def _feedback(root: Path, student: str, name: str) -> Path:
    from course_lib.grading import plain  # runs in the workers, where nbgrader is

    return plain.feedback(root, student, name)
