"""The instructor's commands of `course`. Each is thin: what it does is in the module of its name."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
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
    """Add release, grade, feedback, export, report and samples to the command line."""

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
                metavar="DIR",
                help="Holds STUDENT/NAME.ipynb, STUDENT/NAME/NAME.ipynb or STUDENT_NAME.ipynb, or is what Canvas, "
                "Moodle or Blackboard gives to download, unpacked or as a ZIP file.",
            ),
        ],
        assignment: Assignments = None,
        jobs: Jobs = CPUS,
        limit: Annotated[
            float | None, typer.Option(min=1, help="Seconds that one submission may take; 900 unless given.")
        ] = None,
        question_limit: Annotated[
            float | None, typer.Option(min=1, help="Seconds that one cell may take; 120 unless given.")
        ] = None,
        sandbox: Annotated[
            str, typer.Option(help="bubblewrap, or none: students' code then has your rights. Results are marked.")
        ] = "bubblewrap",
        scheduler: Annotated[
            str | None, typer.Option(metavar="ADDRESS", help="Grade on the workers of this dask scheduler.")
        ] = None,
        roster: Annotated[
            Path | None, typer.Option(metavar="FILE", help="CSV file that tells who has which name and number.")
        ] = None,
        again: Annotated[bool, typer.Option("--again", help="Also grade what has not changed since it was.")] = False,
    ) -> None:
        """Grade a folder of submissions into build/grading: what is new, and what changed since it was graded.

        It can be interrupted at any time; the next run does the rest. Exit status 0 if all were graded, 1 if some were
        not (each is named with the reason), 2 if none could be.

        Example: course grade submissions/ --assignment ps01_backprop --jobs 4
        """
        from course_lib.grading.course import Course
        from course_lib.grading.grade import grade as run
        from course_lib.grading.lms import opened, read_roster
        from course_lib.grading.results import keep_refusals
        from course_lib.grading.submissions import Refusal

        console, course = Console(), Course.find()
        if sandbox not in ("bubblewrap", "none"):
            raise CourseError(f"There is no sandbox {sandbox!r}; it can be bubblewrap or none.")
        if sandbox == "none":
            _complain("Without a sandbox students' code can read and change what you can.", "yellow")
        limits = {"submission": limit, "question": question_limit}
        with opened(folder) as (place, packed), _progress(console, "Grading") as (started, finished):
            report = run(
                course,
                place,
                assignment or (),
                jobs=jobs,
                limits={name: seconds for name, seconds in limits.items() if seconds is not None},
                sandbox=sandbox,
                scheduler=scheduler,
                again=again,
                roster=read_roster(roster) if roster is not None else None,
                started=started,
                finished=finished,
                tell=lambda sentence: _complain(sentence, "yellow"),
            )
        report.refused += [Refusal(name, reason) for name, reason in packed]
        with contextlib.suppress(CourseError):  # a full disk is told of below
            keep_refusals(course, ((refusal.name, refusal.reason) for refusal in report.refused))
        for name, tasks in report.tasks.items():
            marks = {student: marks for (of, student), marks in sorted(report.marks.items()) if of == name}
            if marks:
                console.print(_table(name, tasks, marks, console.width))
        if any(mark.needs_manual_grade for marks in report.marks.values() for mark in marks.values()):
            console.print("* a written answer waits for you: jupyter lab, then Nbgrader > Formgrader.", highlight=False)
        for (name, student), sentences in sorted(report.repaired.items()):
            console.print(
                f"{escape(student)}, {escape(name)} was repaired: {escape('; '.join(sentences))}", highlight=False
            )
        for (name, student), sentences in sorted(report.tampered.items()):
            _complain(f"{student}, {name}: {'; '.join(sentences)}.", "yellow")
        console.print(
            f"{report.graded} graded, {report.unchanged} unchanged, {len(report.refused)} not graded"
            f"{f'; {len(report.repaired)} were repaired' if report.repaired else ''}. "
            f"Gradebook and graded notebooks: {escape(str(course.grading.relative_to(course.root)))}",
            highlight=False,
        )
        _name(report.refused, "graded")
        if report.stopped:
            _complain(f"Results could not be written ({report.stopped}); make room, then run course grade again.")
        if report.unwritten:
            _complain(f"The gradebook lacks results ({report.unwritten}); they are safe, run course grade again.")
        if report.refused or report.stopped or report.unwritten:
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
        totals: Annotated[bool, typer.Option("--totals", help="One row for each student and problem set.")] = False,
        canvas: Annotated[bool, typer.Option("--canvas", help="For Canvas: Grades > Import.")] = False,
        moodle: Annotated[bool, typer.Option("--moodle", help="For Moodle: Grades > Import > CSV file.")] = False,
        moodle_worksheet: Annotated[
            bool, typer.Option("--moodle-worksheet", help="For Moodle: Submissions > Upload grading worksheet.")
        ] = False,
        output: Annotated[
            Path | None, typer.Option("--output", "-o", metavar="FILE", help="Standard output unless given.")
        ] = None,
        assignment: Assignments = None,
    ) -> None:
        """Write the marks as a table for a spreadsheet, Canvas or Moodle.

        All but --csv are after what grading.toml takes off for being late.

        Example: course export --canvas -o grades.csv
        """
        from course_lib.grading import export as tables
        from course_lib.grading.course import Course, write_whole

        kinds = ((csv, tables.plain_csv), (totals, tables.totals_csv), (canvas, tables.canvas_csv))
        chosen = [make for wanted, make in (*kinds, (moodle, tables.moodle_csv)) if wanted]
        if len(chosen) + moodle_worksheet != 1:
            raise CourseError(
                "Say which table you want: one of --csv, --totals, --canvas, --moodle and --moodle-worksheet."
            )
        course = Course.find()
        marks = tables.marks_of(course, assignment or ())
        text, missing = tables.moodle_worksheet(course, marks) if moodle_worksheet else (chosen[0](course, marks), [])
        if output is None:
            typer.echo(text, nl=False)
        else:
            write_whole(output, text.encode())
        if missing:
            _complain(
                f"Not in the worksheet, for they were not downloaded from Moodle: {', '.join(missing)}.", "yellow"
            )
        pending = sum(any(mark.needs_manual_grade for mark in tasks.values()) for tasks in marks.values())
        if pending:
            _complain(f"{pending} submissions have written answers that nobody has graded; they count as 0.", "yellow")

    @app.command()
    def report(
        assignment: Assignments = None,
        output: Annotated[
            Path | None, typer.Option("--output", "-o", metavar="FILE", help="build/grading/report.html unless given.")
        ] = None,
        similar: Annotated[
            bool, typer.Option(help="Compare the submissions with each other, which takes 15 ms for each.")
        ] = True,
    ) -> None:
        """Write a page about the class: scores by task, what fails most often, who was late, what was refused.

        Example: course report --assignment ps01_backprop
        """
        from course_lib.grading.course import Course
        from course_lib.grading.report import report as write

        console, course = Console(), Course.find()
        with console.status("Reading the results"):
            path = write(course, assignment or (), output, similar=similar)
        shown = path.relative_to(course.root) if path.is_relative_to(course.root) else path
        console.print(f"Report: {escape(str(shown))}", highlight=False)

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
def _progress(console: Console, title: str) -> Iterator[tuple[Callable[[int], None], Callable[..., None]]]:
    """What is done and how long the rest takes: a bar, or where nobody watches a line a minute on standard error.

    Yields:
        (started, finished): to be called with the number of submissions, and with each one's name and outcome.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}"),
        TextColumn("{task.fields[last]}"),
    )
    counts: Counter[str] = Counter()
    total, began, told = 0, time.monotonic(), time.monotonic()

    def rate() -> float:
        """How many a minute."""
        return 60 * counts.total() / max(time.monotonic() - began, 1e-3)

    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, last="", rate="", counts="")

        def started(number: int) -> None:
            nonlocal total, began, told
            total, began, told = number, time.monotonic(), time.monotonic()
            bar.update(task, total=number)

        def finished(name: str, outcome: str = "done") -> None:
            nonlocal told
            counts[outcome] += 1
            said = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()) if what != "done")
            bar.update(task, advance=1, last=escape(name), rate=f"{rate():.0f} a minute", counts=said)
            if not console.is_terminal and time.monotonic() - told > 60:
                told = time.monotonic()
                left = (total - counts.total()) / rate()
                _complain(
                    f"{title}: {counts.total()} of {total}{f' ({said})' if said else ''}, {rate():.0f} a minute, "
                    f"about {max(1, round(left))} minutes left.",
                    "cyan",
                )

        yield started, finished


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
