"""The maintainers' commands of `course`. Each is thin: what it does is in the module of its name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add build, run, badges and publish to the command line."""

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

    @app.command()
    def run(
        notebooks: Annotated[
            list[str] | None, typer.Argument(help="Lectures or solved problem sets by name; all lectures unless given.")
        ] = None,
        budget: Annotated[str, typer.Option(help="smoke, laptop, gpu, paper, or auto (by the device).")] = "auto",
        jobs: Annotated[int, typer.Option(help="How many notebooks at a time; above 1, each has one thread.")] = 1,
        timeout: Annotated[
            float | None, typer.Option(help="Limit of each notebook in minutes; by the budget unless given.")
        ] = None,
        seed: Annotated[int, typer.Option(help="The seed every notebook starts from.")] = 0,
        device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    ) -> None:
        """Execute notebooks, judge their learning outcomes, and leave them with their HTML in build/notebooks.

        Exits with 1 where a cell raised, an outcome was missed, or a notebook reached its time limit.

        Example: course run 01_backprop --budget smoke --jobs 2
        """
        from course_lib.authoring.running import run_command

        raise typer.Exit(run_command(notebooks or [], budget, jobs, timeout, seed, device))

    @app.command()
    def badges(
        check: Annotated[
            bool, typer.Option("--check", help="Change nothing; exit 1 where an address differs.")
        ] = False,
    ) -> None:
        """Write the repository named in pyproject.toml (tool.course) into every Colab badge and install line.

        Example: course badges
        """
        from course_lib.authoring.badges import badges_command

        raise typer.Exit(badges_command(check))

    @app.command()
    def publish(
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="New, empty, or an earlier publication.")],
    ) -> None:
        """Make the students' repository: lectures, released problem sets, the library without the instructor's side.

        Example: course publish ../students
        """
        from course_lib.authoring.publish import publish_command

        raise typer.Exit(publish_command(folder))
