"""Handing in: a notebook rebuilt on the problem set it belongs to, and checked before anybody grades it."""

from __future__ import annotations

import os
from pathlib import Path


def check(
    notebook: str | Path | None = None,
    *,
    assignment: str | None = None,
    repair: str | Path | None = None,
    limit: float = 120.0,
    run: bool = True,
) -> None:
    """Print what of a notebook will be graded, what is missing or damaged, and what its visible checks say.

    >>> handin.check("ps01_backprop.ipynb")  # doctest: +SKIP

    Args:
        notebook: the file, as it was last saved; on Colab by default the notebook that is open.
        assignment: the problem set, if it is not recognised.
        repair: where to write a repaired copy, if there is something to repair; nothing is overwritten.
        limit: seconds that one cell may take.
        run: False only looks at the cells.

    Raises:
        CourseError: the notebook cannot be read, is of no problem set, or is not given where it must be.
    """
    if os.environ.get("COURSE_CHECKING"):  # this cell is part of a notebook that is being checked or graded
        return
    from course_lib.handin.checking import check_current, check_file

    path = None if repair is None else Path(repair)
    if notebook is None:
        check_current(assignment=assignment, repair=path, limit=limit, run=run)
    else:
        check_file(Path(notebook), assignment=assignment, repair=path, limit=limit, run=run)
