"""The maintainers' commands of `course`. Each is thin: what it does is in the module of its name."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add build to the command line."""

    @app.command()
    def build(
        check: Annotated[
            bool, typer.Option("--check", help="Change nothing; exit 1 where a file is out of date.")
        ] = False,
    ) -> None:
        """Build the .ipynb files of lectures and solutions from their sources.

        Example: course build --check
        """
        from course_lib.authoring.build import build_command

        raise typer.Exit(build_command(check))
