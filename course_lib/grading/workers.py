"""Processes that check submissions, with everything that they need loaded once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from course_lib.grading.pool import Pool
from course_lib.grading.sandbox.box import Sandbox

PRELOAD = ("course_lib.grading.preloaded",)


@contextlib.contextmanager
def checkers(
    jobs: int,
    folder: Path,
    limit: float,
    box: Sandbox,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[Pool]:
    """A pool of processes whose calls are `checker.grade_one`.

    They are forked from the process in the sandbox, so that torch is loaded once for them and for students' code. Where
    there is no sandbox, or none inside that can part students from each other, they come from a fork server.

    Args:
        jobs: how many.
        folder: receives grading.log.
        limit: seconds that one call may take.
        box: of which `ready` has not been waited for.
        meanwhile: called while the sandbox loads what it needs.
    """
    with Pool(jobs, folder, limit, PRELOAD) as pool:
        if box.kind == "none":
            pool.warm()
        meanwhile()
        box.ready()
        if box.kind == "bubblewrap" and box.isolates:
            pool.start = box.worker
        else:
            from course_lib.grading.checker import use_sandbox

            pool.first = (use_sandbox, (box.control, box.kind, box.isolates, box.alone))
        yield pool
