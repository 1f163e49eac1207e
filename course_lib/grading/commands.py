"""The instructor's commands of `course`. Each is thin: what it does is in the module of its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from course_lib.errors import CourseError

Names = Annotated[list[str] | None, typer.Argument(metavar="[ASSIGNMENTS]...", help="All of them unless given.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--assignment", "-a", help="Only this problem set; may be repeated.")
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes side by side, one thread each.")]
CPUS = os.cpu_count() or 1


def register(app: typer.Typer) -> None:
    """Add release, grade, feedback, export and samples to the command line."""

    @app.command()
    def release(
        assignments: Names = None,
        check: Annotated[
            bool, typer.Option("--check", help="Change nothing; exit 1 where a release is out of date.")
        ] = False,
    ) -> None:
        """Make the students' version of problem sets: no solutions, no hidden tests.

        Example: course release ps01_backprop
        """
        from course_lib.grading.course import Course
        from course_lib.grading.release import release as make

        console, course = Console(), Course.find()
        with console.status("Making releases"):
            made = make(course, assignments or (), check=check)
        for name, changed in made:
            state = ("[red]out of date[/]" if check else "written") if changed else "up to date"
            console.print(f"{escape(str(course.release(name).relative_to(course.root)))}: {state}", highlight=False)
        if check and any(changed for _, changed in made):
            _complain("A release is out of date; make it again with course release.")
            raise typer.Exit(1)

    @app.command()
    def grade(
        folder: Annotated[
            Path,
            typer.Argument(
                metavar="DIR", help="Holds STUDENT/NAME.ipynb, STUDENT/NAME/NAME.ipynb or STUDENT_NAME.ipynb."
            ),
        ],
        assignment: Assignments = None,
        jobs: Jobs = CPUS,
        limit: Annotated[float, typer.Option(min=1, help="Seconds that one submission may take.")] = 900.0,
    ) -> None:
        """Grade a folder of submissions with nbgrader, into build/grading.

        Exit status 0 if all were graded, 1 if some were not (each is named with the reason), 2 if none could be.

        Example: course grade submissions/ --assignment ps01_backprop --jobs 4
        """
        from course_lib.grading.course import Course
        from course_lib.grading.grade import grade as run

        console, course = Console(), Course.find()
        with _progress(console, "Grading") as (started, finished):
            report = run(course, folder, assignment or (), jobs=jobs, limit=limit, started=started, finished=finished)
        for name, tasks in report.tasks.items():
            marks = {student: marks for (of, student), marks in sorted(report.marks.items()) if of == name}
            if marks:
                console.print(_table(name, tasks, marks, console.width))
        if any(mark.needs_manual_grade for marks in report.marks.values() for mark in marks.values()):
            console.print("* a written answer waits for you: jupyter lab, then Nbgrader > Formgrader.", highlight=False)
        console.print(
            f"{len(report.marks)} graded, {len(report.refused)} not. Gradebook and graded notebooks: "
            f"{escape(str(course.grading.relative_to(course.root)))}",
            highlight=False,
        )
        _name(report.refused, "graded")
        if report.refused:
            raise typer.Exit(1)

    @app.command()
    def feedback(assignment: Assignments = None, jobs: Jobs = CPUS) -> None:
        """Write a feedback page for each graded submission, without the hidden tests.

        Example: course feedback --assignment ps01_backprop
        """
        from course_lib.grading.course import Course
        from course_lib.grading.feedback import feedback as write

        console, course = Console(), Course.find()
        with _progress(console, "Writing feedback") as (started, finished):
            pages, failed = write(course, assignment or (), jobs=jobs, started=started, finished=finished)
        where = escape(str((course.grading / "feedback").relative_to(course.root)))
        console.print(f"{len(pages)} pages in {where}/STUDENT/NAME/NAME.html", highlight=False)
        _name(failed, "written")
        if failed:
            raise typer.Exit(1)

    @app.command()
    def export(
        csv: Annotated[bool, typer.Option("--csv", help="One row for each student, problem set and task.")] = False,
        canvas: Annotated[bool, typer.Option("--canvas", help="For Canvas: Grades > Import.")] = False,
        moodle: Annotated[bool, typer.Option("--moodle", help="For Moodle: Grades > Import > CSV file.")] = False,
        output: Annotated[
            Path | None, typer.Option("--output", "-o", metavar="FILE", help="Standard output unless given.")
        ] = None,
        assignment: Assignments = None,
    ) -> None:
        """Write the marks as a table for a spreadsheet, Canvas or Moodle.

        Example: course export --canvas -o grades.csv
        """
        from course_lib.grading import export as tables
        from course_lib.grading.course import Course, write_whole

        if csv + canvas + moodle != 1:
            raise CourseError("Say which table you want: one of --csv, --canvas and --moodle.")
        course = Course.find()
        marks = tables.marks_of(course, assignment or ())
        make = tables.plain_csv if csv else tables.canvas_csv if canvas else tables.moodle_csv
        text = make(course, marks)
        if output is None:
            typer.echo(text, nl=False)
        else:
            write_whole(output, text.encode())
        pending = sum(any(mark.needs_manual_grade for mark in tasks.values()) for tasks in marks.values())
        if pending:
            _complain(f"{pending} submissions have written answers that nobody has graded; they count as 0.", "yellow")

    @app.command()
    def samples(
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="Is made; must not hold anything yet.")],
        assignment: Assignments = None,
    ) -> None:
        """Write sample submissions: for each problem set a right, a half-done and a wrong one.

        Example: course samples build/samples
        """
        from course_lib.grading.course import Course
        from course_lib.grading.samples import write

        written = write(Course.find(), folder, assignment or ())
        Console().print(f"{len(written)} submissions in {escape(str(folder))}", highlight=False)


@contextmanager
def _progress(console: Console, title: str) -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    """A bar; yields (started, finished) to be called with the number of submissions and with each one's name."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, last="")
        yield (
            lambda total: bar.update(task, total=total),
            lambda name: bar.update(task, advance=1, last=escape(name)),
        )


def _table(name: str, tasks: list[Any], marks: dict[str, dict[str, Any]], width: int) -> Table:
    """One row for each student, one column for each task; numbered where the names would not fit."""
    from course_lib.grading.export import number

    fits = sum(len(task.name) + 3 for task in tasks) + max(map(len, marks)) + 12 <= width
    legend = ", ".join(f"{k} {task.name}" for k, task in enumerate(tasks, start=1))
    table = Table(title=escape(name), title_justify="left", box=SIMPLE_HEAD, caption=None if fits else escape(legend))
    table.caption_justify = "left"
    table.add_column("student", no_wrap=True)
    for k, task in enumerate(tasks, start=1):
        heading = escape(task.name) if fits else str(k)
        table.add_column(f"{heading}\n/{number(task.points)}", justify="right", no_wrap=True)
    table.add_column(f"total\n/{number(sum(task.points for task in tasks))}", justify="right", style="bold")
    for student, earned in marks.items():
        cells = []
        for task in tasks:
            mark = earned[task.name]
            colour = "green" if mark.score == mark.points else "red" if mark.score == 0 else "yellow"
            cells.append("*" if mark.needs_manual_grade else f"[{colour}]{number(mark.score)}[/]")
        table.add_row(escape(student), *cells, number(sum(mark.score for mark in earned.values())))
    return table


def _name(refused: list[Any], done: str) -> None:
    for refusal in refused:
        _complain(f"{refusal.name} was not {done}: {refusal.reason}.")


def _complain(sentence: str, colour: str = "red") -> None:
    Console(stderr=True, soft_wrap=True).print(f"[bold {colour}]course:[/] {escape(sentence)}", highlight=False)
