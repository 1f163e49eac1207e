"""The `course` command. Thin: each group of commands registers itself, and what is not installed is not offered."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import typer
from rich.console import Console

from course_lib.errors import CourseError

# Modules with a `register(app)`; those of the instructor's and maintainers' side are absent from a student's library.
COMMANDS = (
    "course_lib.doctor",
    "course_lib.handin.commands",
    "course_lib.authoring.commands",
    "course_lib.authoring.mutants",
    "course_lib.grading.commands",
)

app = typer.Typer(
    name="course",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.callback()
def _course() -> None:
    """The course on networks that generate: what you can do with it here."""


def _register() -> None:
    for name in COMMANDS:
        package = name.rpartition(".")[0]
        if importlib.util.find_spec(package) and importlib.util.find_spec(name):
            importlib.import_module(name).register(app)


def main() -> None:
    """Run the command line; a CourseError becomes one sentence and exit status 2."""
    _register()
    try:
        app()
    except CourseError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]course:[/] {error}", highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
