"""`course check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add check to the command line."""

    @app.command()
    def check(
        notebook: Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="What you want to hand in.")],
        repair: Annotated[
            Path | None, typer.Option("--repair", metavar="NEW.ipynb", help="Write a repaired copy; never overwrites.")
        ] = None,
        assignment: Annotated[
            str | None, typer.Option("--assignment", "-a", help="The problem set, if it is not recognised.")
        ] = None,
        limit: Annotated[float, typer.Option(min=1, help="Seconds that one cell may take.")] = 120.0,
        run: Annotated[bool, typer.Option(" /--no-run", help="Only look at the cells; run nothing.")] = True,
    ) -> None:
        """Say what of a notebook will be graded, what is missing or damaged, and what its visible checks say.

        Exit status 0 if nothing is left to do, 1 if something is (a task that fails or is not done yet counts), 2 if
        the notebook cannot be read.

        Example: course check assignments/ps01_backprop/ps01_backprop.ipynb
        """
        from course_lib.handin.checking import check_file

        if not check_file(notebook, assignment=assignment, repair=repair, limit=limit, run=run):
            raise typer.Exit(1)
