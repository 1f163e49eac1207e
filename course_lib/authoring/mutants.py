"""Mutants: do an assignment's tests notice a wrong solution, and let every right one pass?

`tests/mutants/psNN_topic.py` holds `TASKS`, for each graded task (by the grade_id of its solution cell) named wrong
solutions, each of which must lose points, and right ones, which must get all. The runner executes the solution
notebook's cells in a process of their own with that one cell replaced. Two rows come by themselves: the reference
solution must get every point, and the stub that students receive must get none.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import linecache
import math
import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import sys
import time
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from course_lib.authoring import tree
from course_lib.authoring.surroundings import UNWATCHED, surroundings
from course_lib.errors import CourseError

LIMIT = 60.0  # seconds of processor time that a mutant may take; of waiting, PATIENCE times as much
PATIENCE = 5
CORES = os.cpu_count() or 1
PRELOAD = (
    "numpy",
    "torch",
    "torch._dynamo",  # what the first optimizer and the first assert_close import, for seconds
    "matplotlib.pyplot",
    "IPython.display",
    "sklearn.datasets",
    "sklearn.model_selection",
    "course_lib.authoring.mutants",
    "course_lib.checks.backprop",
    "course_lib.checks.gan",
    "course_lib.checks.generation",
    "course_lib.checks.inversion",
    "course_lib.checks.moments",
    "course_lib.checks.optimizers",
    "course_lib.checks.synthesis",
    "course_lib.checks.textures",
    "course_lib.cli",
    "course_lib.data",
    "course_lib.draw",
)
BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
REFERENCE, STUB = "reference solution", "stub"


class Edit:
    """A mutant told as changes of the reference solution: Edit(("old", "new"), …), each old text found exactly once."""

    def __init__(self, *changes: tuple[str, str]) -> None:
        self.changes = changes

    def apply(self, source: str) -> str:
        """The changed source. Raises CourseError where an old text is missing or ambiguous."""
        for old, new in self.changes:
            if source.count(old) != 1:
                raise CourseError(f"A mutant edits {old!r}, which is found {source.count(old)} times, not once.")
            source = source.replace(old, new)
        return source


@dataclass(frozen=True)
class Task:
    """The mutants of one graded task: by name, the source that replaces its solution cell, or an `Edit` of it."""

    wrong: Mapping[str, str | Edit]
    right: Mapping[str, str | Edit]


@dataclass(frozen=True)
class Row:
    """What became of one mutant."""

    assignment: str
    task: str  # grade_id of the solution cell
    name: str
    kind: str  # "wrong", "right", "stub"
    earned: float
    points: float
    killed_by: str = ""  # "visible check", "hidden test", "time limit", "crash", or "" where nothing failed
    cell: str = ""  # grade_id of the first test cell that failed
    message: str = ""
    broken: bool = False  # the mutant is no solution at all: it cannot be compiled, or uses a name that is not there
    seconds: float = 0.0  # of processor time
    output: str = field(default="", repr=False)  # the last thing that the cells printed

    @property
    def ok(self) -> bool:
        """Whether the tests judged it rightly."""
        if self.broken:
            return False
        if self.kind == "stub":
            return self.earned == 0
        return self.earned < self.points if self.kind == "wrong" else self.earned == self.points

    @property
    def verdict(self) -> str:
        """In words: "killed by hidden test", "SURVIVED", "accepted", "REJECTED by visible check", …"""
        if self.broken:
            return "BROKEN mutant"
        if self.kind == "right":
            return "accepted" if self.ok else f"REJECTED by {self.killed_by}"
        if self.kind == "stub":
            return "gets nothing" if self.ok else "STUB GETS POINTS"
        return f"killed by {self.killed_by}" if self.ok else "SURVIVED"


@dataclass(frozen=True)
class _Cell:
    """A code cell: its source and what nbgrader and jupytext say of it."""

    source: str
    name: str
    points: float = 0.0
    graded: bool = False  # an autograded test cell
    solution: bool = False  # the student writes here
    parameters: bool = False


@dataclass(frozen=True)
class _Job:
    assignment: str
    task: str
    name: str
    kind: str
    cells: tuple[_Cell, ...]
    quick: bool = False  # a wrong one is stopped where it is first caught
    secret: str | None = None  # of the data of hidden tests

    @property
    def points(self) -> float:
        return sum(cell.points for cell in self.cells if cell.graded)

    def row(self, earned: float = 0.0, **rest: Any) -> Row:
        return Row(self.assignment, self.task, self.name, self.kind, earned, self.points, **rest)


# ---------------------------------------------------------------------------------------------- reading


def _root(root: str | Path | None) -> Path:
    return tree.find_root() if root is None else Path(root)


def assignments(root: str | Path | None = None) -> list[str]:
    """The names of all assignments that have a source, in order."""
    return [path.stem for path in tree.assignment_sources(_root(root))]


def load_tasks(assignment: str, root: str | Path | None = None) -> dict[str, Task]:
    """`TASKS` of tests/mutants/<assignment>.py. Raises CourseError where there is none."""
    path = _root(root) / "tests" / "mutants" / f"{assignment}.py"
    if not path.is_file():
        known = ", ".join(assignments(root)) or "none"
        raise CourseError(f"There are no mutants at {path}; the assignments are {known}.")
    spec = importlib.util.spec_from_file_location(f"mutants_of_{assignment}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TASKS


def _read_cells(assignment: str, root: str | Path | None) -> list[_Cell]:
    path = _root(root) / "solutions" / assignment / f"{assignment}.py"
    if not path.is_file():
        known = ", ".join(assignments(root)) or "none"
        raise CourseError(f"There is no assignment {assignment!r}; the assignments are {known}.")
    return list(_parse_cells(path.read_text(encoding="utf-8")))


@functools.lru_cache(maxsize=8)  # parsing takes a tenth of a second, and the tests ask once for each mutant
def _parse_cells(text: str) -> tuple[_Cell, ...]:
    try:
        import jupytext
    except ImportError as error:
        raise CourseError("Mutants need jupytext; install course_lib[instructor].") from error
    cells = []
    for k, cell in enumerate(jupytext.reads(text, fmt="py:percent").cells):
        if cell.cell_type != "code":
            continue
        grade = cell.metadata.get("nbgrader", {})
        source = "\n".join("" if line.startswith(("%", "!")) else line for line in cell.source.split("\n"))
        cells.append(
            _Cell(
                source=source,
                name=grade.get("grade_id") or f"cell {k}",
                points=float(grade.get("points", 0)),
                graded=bool(grade.get("grade")) and not grade.get("solution"),
                solution=bool(grade.get("solution")) and not grade.get("grade"),
                parameters="parameters" in cell.metadata.get("tags", []),
            )
        )
    return tuple(cells)


def stub_of(source: str) -> str:
    """A solution cell as students receive it: each solution region replaced by `raise NotImplementedError()`."""
    region = re.compile(rf"^([ \t]*){BEGIN_SOLUTION}.*?{END_SOLUTION}[^\n]*", re.MULTILINE | re.DOTALL)
    return region.sub(r"\1raise NotImplementedError()", source)


def graded_tasks(assignment: str, root: str | Path | None = None) -> list[str]:
    """The grade_ids of the solution cells that autograded test cells follow, in order."""
    found: list[str] = []
    current = None
    for cell in _read_cells(assignment, root):
        current = cell.name if cell.solution else current
        if cell.graded and current and current not in found:
            found.append(current)
    return found


def _jobs_of(
    assignment: str,
    tasks: Mapping[str, Task],
    root: str | Path | None,
    names: set[str] | None,
    quick: bool,
    secret: str | None,
) -> Iterator[_Job]:
    cells = _read_cells(assignment, root)
    for task, mutants in tasks.items():
        places = [k for k, cell in enumerate(cells) if cell.solution and cell.name == task]
        if len(places) != 1:
            known = ", ".join(cell.name for cell in cells if cell.solution)
            raise CourseError(f"{assignment} has no solution cell {task!r} of its own; it has {known}.")
        at = places[0]
        end = next((k for k in range(at + 1, len(cells)) if cells[k].solution), len(cells))
        # Other tasks' tests are left out: they give this task no points.
        before = tuple(cell for cell in cells[:at] if not cell.graded)
        after = tuple(cells[at + 1 : end])
        if not any(cell.graded for cell in after):
            raise CourseError(f"{assignment}: no test cell follows the task {task!r}.")
        reference = cells[at].source
        variants = [("right", REFERENCE, reference), ("stub", STUB, stub_of(reference))]
        variants += [("right", name, source) for name, source in mutants.right.items()]
        variants += [("wrong", name, source) for name, source in mutants.wrong.items()]
        for kind, name, source in variants:
            if names is not None and name not in names:
                continue
            if isinstance(source, Edit):
                try:
                    source = source.apply(reference)
                except CourseError as error:
                    raise CourseError(f"{assignment}, {task}, {name!r}: {error}") from None
            replaced = (*before, _Cell(source, task, solution=True), *after)
            yield _Job(assignment, task, name, kind, replaced, quick, secret)


# ---------------------------------------------------------------------------------------------- running


def _is_hidden(source: str, line: int) -> bool:
    """Whether a line (from 1) of a test cell lies in a hidden region."""
    hidden = False
    for text in source.split("\n")[:line]:
        hidden = (hidden or text.strip() == BEGIN_HIDDEN) and text.strip() != END_HIDDEN
    return hidden


def _line_in(error: BaseException, filename: str) -> int:
    """The line of the file `filename` at which `error` left it; 1 if it was never inside."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            line = trace.tb_lineno
            break  # the outermost frame is the cell itself; a function that the cell defines may come again
        trace = trace.tb_next
    return line


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _run_cells(job: _Job) -> Row:
    """Execute the cells of `job` in this process, in a namespace of their own."""
    from course_lib.checks.core import draw_afresh
    from course_lib.device import seed_everything

    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    with contextlib.suppress(ImportError):
        from IPython.display import display

        module.display = display
    seed_everything(0)
    draw_afresh(job.secret)
    started, earned = time.process_time(), 0.0
    failure: dict[str, Any] = {}
    reached = False  # the mutant's own cell has been executed
    for k, cell in enumerate(job.cells):
        filename = f"<{job.assignment}:{k}:{cell.name}>"
        linecache.cache[filename] = (len(cell.source), None, cell.source.splitlines(keepends=True), filename)
        own = cell.solution and cell.name == job.task
        try:
            exec(compile(cell.source, filename, "exec"), module.__dict__)
            if cell.parameters and hasattr(module, "BUDGET"):
                module.BUDGET = "smoke"
        except BaseException as error:
            broken = isinstance(error, SyntaxError | NameError) and not isinstance(error, UnboundLocalError)
            if own:
                failure = {"killed_by": "its own cell", "cell": cell.name, "message": _sentence(error), "broken": True}
                break
            if not reached:
                message = f"the notebook itself fails, before the task: {_sentence(error)}"
                failure = {"killed_by": "crash", "cell": cell.name, "message": message, "broken": True}
                break
            if cell.graded and not failure:
                part = "hidden test" if _is_hidden(cell.source, _line_in(error, filename)) else "visible check"
                failure = {"killed_by": part, "cell": cell.name, "message": _sentence(error), "broken": broken}
                if job.quick and job.kind == "wrong":
                    break
        else:
            earned += cell.points if cell.graded else 0.0
        reached = reached or own
    return job.row(earned, seconds=time.process_time() - started, **failure)


def _child(connection: multiprocessing.connection.Connection, job: _Job, limit: float) -> None:
    """The process of one mutant: one thread, no display, what it prints kept apart."""
    os.environ.update(UNWATCHED)
    with contextlib.suppress(ImportError):  # not on Windows; there only the waiting is limited
        import resource

        seconds = math.ceil(limit)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    import matplotlib
    import torch

    matplotlib.use("Agg")
    torch.set_num_threads(1)
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        row = _run_cells(job)
    connection.send((row, printed.getvalue()[-4000:]))
    connection.close()
    os._exit(0)


def _execute(jobs: Iterable[_Job], workers: int, limit: float) -> Iterator[Row]:
    """Rows as they finish, `workers` processes side by side."""
    # A fork server imports torch once, in one thread; each mutant then is a fork of it.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(list(PRELOAD))
    waiting = list(jobs)[::-1]
    running: dict[multiprocessing.connection.Connection, tuple[_Job, Any, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_child, args=(there, job, limit), daemon=True)
                with surroundings():
                    process.start()
                there.close()
                running[here] = (job, process, time.monotonic())
            nearest = min(started for _, _, started in running.values()) + PATIENCE * limit
            ready = multiprocessing.connection.wait(list(running), timeout=max(0.0, nearest - time.monotonic()))
            for pipe in list(running):
                job, process, started = running[pipe]
                if pipe in ready:
                    try:
                        row, printed = pipe.recv()
                        row = Row(**{**vars(row), "output": printed})
                    except EOFError:
                        process.join()
                        if process.exitcode == -getattr(signal, "SIGXCPU", 0):
                            row = job.row(killed_by="time limit", message=f"took more than {limit:g} s", seconds=limit)
                        else:
                            row = job.row(killed_by="crash", message="the process ended before its tests did")
                elif (waited := time.monotonic() - started) >= PATIENCE * limit:
                    row = job.row(killed_by="time limit", message=f"not done after {waited:.0f} s", seconds=waited)
                else:
                    continue
                _stop(process)
                pipe.close()
                del running[pipe]
                yield row
    finally:
        for pipe, (_, process, _) in running.items():
            _stop(process)
            pipe.close()


def _stop(process: Any) -> None:
    process.join(0.2)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()


def run(
    assignment: str,
    *,
    tasks: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    root: str | Path | None = None,
    jobs: int = 1,
    limit: float = LIMIT,
    quick: bool = False,
    secret: str | None = None,
) -> list[Row]:
    """Run the mutants of an assignment, with its reference solution and its stubs.

    Args:
        assignment: "ps01_backprop".
        tasks: only these (grade_ids of solution cells); all unless given.
        names: only the mutants called so.
        root: the course's folder; the one around the working folder unless given.
        jobs: processes side by side, one thread each.
        limit: seconds of processor time that one mutant may take (waiting: five times as many).
        quick: stop a wrong one at the first test cell that catches it; the points it would earn later are not counted.
        secret: hidden tests draw other data, as for a submission with this secret; the notebook's own unless given.

    Returns:
        One row for each mutant, in the order of the file.

    Raises:
        CourseError: no such assignment, task or mutant, or an edit that does not apply.
    """
    all_tasks = load_tasks(assignment, root)
    unknown = [task for task in tasks or () if task not in all_tasks]
    if unknown:
        raise CourseError(f"{assignment} has no mutants of {unknown[0]!r}; it has {', '.join(all_tasks)}.")
    chosen = {task: mutants for task, mutants in all_tasks.items() if tasks is None or task in tasks}
    work = list(_jobs_of(assignment, chosen, root, set(names) if names is not None else None, quick, secret))
    if not work:
        raise CourseError(f"{assignment} has no mutant called {', '.join(names or ())!r}.")
    order = {(job.task, job.kind, job.name): k for k, job in enumerate(work)}
    return sorted(_execute(work, max(1, jobs), limit), key=lambda row: order[row.task, row.kind, row.name])


# ---------------------------------------------------------------------------------------------- the command


def register(app: Any) -> None:
    """Add `course mutants`."""

    @app.command("mutants")
    def mutants(
        names: Annotated[
            list[str] | None, typer.Argument(metavar="ASSIGNMENTS", help="All of them unless given.")
        ] = None,
        task: Annotated[
            list[str] | None, typer.Option(help="Only this task (grade_id of the solution cell); may be repeated.")
        ] = None,
        jobs: Annotated[int, typer.Option(min=1, help="Processes side by side, one thread each.")] = CORES,
        limit: Annotated[float, typer.Option(min=0.1, help="Seconds of processor time for one mutant.")] = LIMIT,
        secret: Annotated[
            str | None, typer.Option(help="Any text: hidden tests draw other data, as they do for each submission.")
        ] = None,
    ) -> None:
        """Check the checks: every wrong solution must lose points, every right one must get all.

        Exit status 1 if a wrong solution survives, a right one is rejected, or a stub gets points.

        Example: course mutants ps01_backprop --task convolution --jobs 2
        """
        console = Console()
        failures = total = 0
        sources = {path.stem: path for path in tree.assignment_sources(tree.find_root())}
        for assignment in (path.stem for path in tree.choose(names or (), sources, "assignment")):
            with console.status(f"{assignment}: running mutants"):
                rows = run(assignment, tasks=task or None, jobs=jobs, limit=limit, secret=secret)
            table = Table(title=assignment, title_justify="left", row_styles=["", "dim"])
            for heading in ("task", "mutant", "verdict", "points", "test cell", "what the test said"):
                table.add_column(heading, justify="right" if heading == "points" else "left", overflow="fold")
            previous = None
            for row in rows:
                if previous not in (None, row.task):
                    table.add_section()
                colour = "green" if row.ok else "bold red"
                message = row.message if len(row.message) < 160 or not row.ok else row.message[:157] + "…"
                table.add_row(
                    escape(row.task if row.task != previous else ""),
                    escape(row.name),
                    f"[{colour}]{escape(row.verdict)}[/]",
                    f"{row.earned:g}/{row.points:g}",
                    escape(row.cell),
                    escape(message),
                )
                previous = row.task
            console.print(table)
            wrong = [row for row in rows if row.kind == "wrong"]
            right = [row for row in rows if row.kind == "right"]
            console.print(
                f"{assignment}: {sum(row.ok for row in wrong)} of {len(wrong)} wrong solutions killed, "
                f"{sum(row.ok for row in right)} of {len(right)} right ones accepted.",
                highlight=False,
            )
            failures += sum(not row.ok for row in rows)
            total += len(rows)
        if failures:
            Console(stderr=True).print(f"[bold red]course:[/] {failures} of {total} mutants were judged wrongly.")
            raise typer.Exit(1)
