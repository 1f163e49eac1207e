"""Before handing in: what of a notebook will be graded, what is missing or damaged, and what its visible checks say."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.handin.cells import nbgrader_of, tasks_of
from course_lib.handin.reading import load, read
from course_lib.handin.rebuild import Piece, Rebuilt, excerpt, normal, notebook_of, rebuild
from course_lib.handin.releases import PACKAGE, release_of
from course_lib.jupyter import in_notebook

LIMIT = 120.0  # seconds that a cell may take
GRACE = 10.0  # seconds more after which a cell that cannot be interrupted is ended with its process
START = 120.0  # seconds until the first cell begins, on a busy machine
CHECKING = "COURSE_CHECKING"  # set where a notebook is being checked: a check inside it does nothing

# States of a task.
PASSES, FAILS, UNDONE = "passes", "fails", "not done"
PERSON, UNSEEN, UNRUN = "read by a person", "hidden tests only", "not run"


@dataclass(frozen=True)
class Ran:
    """What came of a cell that was run."""

    kind: str  # type of the exception, "time limit" or "not run"; "" if it ran through
    error: str  # its text
    output: str


@dataclass(frozen=True)
class Row:
    """One task of the report."""

    task: str
    points: float
    state: str
    text: str  # for what fails, why


@dataclass(frozen=True)
class Report:
    """What `examine` found out."""

    name: str  # of the problem set
    rebuilt: Rebuilt
    rows: list[Row]
    raising: list[str]  # sentences about other cells that raise
    release: dict[str, Any]
    submitted: list[dict[str, Any]]  # the cells as they were handed in

    @property
    def damaged(self) -> bool:
        """Whether a cell had to be repaired or has another text than it should."""
        return bool(self.rebuilt.repairs or self.rebuilt.tampered)

    @property
    def fine(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.damaged or self.raising or any(row.state in (FAILS, UNDONE) for row in self.rows))


# -------------------------------------------------------------------------------------------------- the running


def run_cells(
    sources: Sequence[str], folder: Path, limit: float = LIMIT, begun: Callable[[int], None] = lambda number: None
) -> list[Ran]:
    """Run cells in a process of their own, in `folder`, at the smoke budget and without windows.

    Args:
        limit: seconds for each; a cell that takes longer is interrupted, and if it cannot be, is the last one.
        begun: called with the number of each cell as it begins.

    Returns:
        One for each cell; where the process ended before a cell was run, "not run" and why.
    """
    with tempfile.TemporaryDirectory(prefix="course-check-") as scratch:
        environment = {**os.environ, "MPLBACKEND": "Agg", "COURSE_HEADLESS": "1", "IPYTHONDIR": scratch, CHECKING: "1"}
        environment.setdefault("COURSE_BUDGET", "smoke")
        if "site-packages" not in PACKAGE.parts:  # a library that is not installed, but was found by its folder
            paths = [str(PACKAGE.parent), *filter(None, [environment.get("PYTHONPATH")])]
            environment["PYTHONPATH"] = os.pathsep.join(paths)
        process = subprocess.Popen(
            [sys.executable, "-m", "course_lib.handin.runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        try:
            return _listen(process, list(sources), limit, begun)
        finally:
            _end(process)


def _listen(
    process: subprocess.Popen[bytes], sources: list[str], limit: float, begun: Callable[[int], None]
) -> list[Ran]:
    said: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def pass_on() -> None:
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                said.put(json.loads(line))
        said.put(None)

    threading.Thread(target=pass_on, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # it ended at once; what it says is its end
        process.stdin.write(json.dumps({"cells": sources, "limit": limit}).encode())
        process.stdin.close()
    done: list[Ran] = []
    at, wait, why = 0, START, ""
    while len(done) < len(sources) and not why:
        try:
            message = said.get(timeout=wait)
        except queue.Empty:
            done.append(Ran("time limit", f"It took longer than {limit:g} s and could not be interrupted.", ""))
            why = f"the cell {excerpt(sources[at])} had to be ended by force"
            break
        if message is None:
            done.append(Ran("crash", "It ended the whole process (os._exit, a crash, or no memory left).", ""))
            why = f"the cell {excerpt(sources[at])} ended the process"
        elif "kind" in message:
            done.append(Ran(message["kind"], message["error"], message["output"]))
            wait = START
        else:
            at, wait = message["cell"], limit + GRACE
            begun(at)
    return done + [Ran("not run", f"It was not run, because {why}.", "")] * (len(sources) - len(done))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and, where that can be done, what it has started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe.close()


# -------------------------------------------------------------------------------------------------- the report


def examine(
    data: bytes,
    called: str,
    folder: Path,
    *,
    assignment: str | None = None,
    limit: float = LIMIT,
    run: bool = True,
    begun: Callable[[int, int], None] = lambda number, of: None,
) -> Report:
    """Everything about a notebook that can be said before it is graded.

    Args:
        called: the name of its file. folder: where it lies, and its cells run.
        run: whether to run the cells, and with them the visible checks.
        begun: called with the number of a cell as it begins, and how many there are.

    Raises:
        CourseError: it cannot be read, or is of no problem set.
    """
    notebook = read(data)
    if notebook.refusal:
        raise CourseError(f"{called} could not be graded: {notebook.refusal}.")
    name, release = release_of(data, called, assignment)
    rebuilt = rebuild(data, release)
    if rebuilt.refusal:
        raise CourseError(f"{called} could not be graded as {name}: {rebuilt.refusal}.")
    code = [number for number, piece in enumerate(rebuilt.pieces) if piece.kind == "code"]
    ran: dict[int, Ran] = {}
    if run:
        sources = [rebuilt.pieces[number].source for number in code]
        results = run_cells(sources, folder, limit, lambda number: begun(number, len(code)))
        ran = dict(zip(code, results, strict=True))
    return Report(
        name,
        rebuilt,
        _rows(rebuilt.pieces, release, ran),
        _raising(rebuilt.pieces, release, ran),
        release,
        [cell.original for cell in notebook.cells],
    )


def _rows(pieces: Sequence[Piece], release: dict[str, Any], ran: dict[int, Ran]) -> list[Row]:
    """What is to be said of each task."""
    at = {piece.grade_id: number for number, piece in enumerate(pieces) if piece.grade_id}
    stubs = {nbgrader_of(cell).get("grade_id"): cell for cell in release["cells"]}
    rows = []
    for task in tasks_of(release):
        untouched = task.name in at and _same(pieces[at[task.name]].source, stubs[task.name])
        states = (
            [(UNDONE, "") if untouched else _state(task.name, ran.get(at[task.name]), None)] if task.name in at else []
        )
        if task.written:
            rows.append(Row(task.name, task.points, UNDONE if untouched else PERSON, ""))
            continue
        tests = [name for name in task.cells if name in at]
        if not untouched:
            states += [_state(name, ran.get(at[name]), pieces[at[name]].source) for name in tests]
        rows.append(Row(task.name, task.points, *_worst(states)))
    return rows


def _same(text: str, stub: dict[str, Any]) -> bool:
    source = stub.get("source", "")
    return normal(text) in ("", normal(source if isinstance(source, str) else "".join(source)))


def _state(name: str, ran: Ran | None, check: str | None) -> tuple[str, str]:
    """What a cell says about its task; `check` is the text of a test cell, None for the solution itself."""
    if ran is None:
        return UNRUN, ""
    if ran.kind == "NotImplementedError" or (not ran.kind and "is not done yet" in ran.output):
        return UNDONE, f"{name} is not done yet"
    if ran.kind in ("AssertionError", "CheckFailed", "time limit", "crash", "not run"):
        return FAILS, f"{name}: {ran.error or 'its check failed without a word.'}"
    if ran.kind:
        return FAILS, f"{name}: {ran.kind}{': ' * bool(ran.error)}{ran.error}"
    return (PASSES if check and normal(check) else UNSEEN), ""


def _worst(states: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The state of a task, from those of its cells."""
    for wanted in (FAILS, UNDONE, PASSES, UNRUN):
        texts = [text for state, text in states if state == wanted]
        if texts:
            return wanted, next(filter(None, texts), "")
    return UNSEEN, ""


def _raising(pieces: Sequence[Piece], release: dict[str, Any], ran: dict[int, Ran]) -> list[str]:
    """Sentences about cells that raise and belong to no task."""
    tasks = {name for task in tasks_of(release) for name in (task.name, *task.cells)}
    return [
        f"The cell {excerpt(pieces[number].source)} raises {result.kind}{': ' * bool(result.error)}{result.error}"
        if result.kind not in ("time limit", "crash")
        else f"The cell {excerpt(pieces[number].source)}: {result.error}"
        for number, result in ran.items()
        if result.kind not in ("", "not run") and pieces[number].grade_id not in tasks
    ]


def write_repaired(report: Report, path: Path) -> None:
    """Write the notebook with its repairs. Raises CourseError where there is something already, or no room."""
    text = json.dumps(notebook_of(report.rebuilt, report.release, report.submitted), ensure_ascii=False, indent=1)
    try:
        with path.open("xb") as file:
            try:
                file.write(text.encode("utf-8", "replace") + b"\n")
            except OSError:
                path.unlink()
                raise
    except FileExistsError:
        raise CourseError(f"{path} is there already; give the name of a new file.") from None
    except OSError as error:
        raise CourseError(f"Cannot write {path} ({error.strerror or error}); choose another place.") from error


# -------------------------------------------------------------------------------------------------- what is seen


def show(report: Report, title: str, console: Any) -> None:
    """Print the report."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    marks = {
        PASSES: ("✓", "green", "passes its visible checks"),
        FAILS: ("✗", "bold red", "fails"),
        UNDONE: ("…", "yellow", "not done yet"),
        PERSON: ("✓", "green", "will be read by a person"),
        UNSEEN: ("·", "", "has no visible check; hidden tests will judge it"),
        UNRUN: ("·", "", "is answered; its checks were not run"),
    }
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, show_edge=False)
    table.add_column("task", no_wrap=True)
    table.add_column("points", justify="right")
    table.add_column("", no_wrap=True)
    table.add_column("", overflow="fold")
    for row in report.rows:
        mark, style, words = marks[row.state]
        table.add_row(Text(row.task), f"{row.points:g}", Text(mark, style), Text(row.text or words))
    said = [Text.assemble(("✗ ", "bold red"), sentence) for sentence in report.rebuilt.tampered + report.raising]
    said += [Text.assemble(("! ", "yellow"), sentence) for sentence in report.rebuilt.repairs]
    console.print(Group(table, Text(), *said, Text(_summary(report))))  # one output in a notebook


def _summary(report: Report) -> str:
    points: dict[str, float] = dict.fromkeys((PASSES, FAILS, UNDONE, PERSON, UNSEEN, UNRUN), 0.0)
    for row in report.rows:
        points[row.state] += row.points
    parts = [
        f"{points[state]:g} {words}"
        for state, words in (
            (PASSES, "in tasks that pass their visible checks"),
            (UNSEEN, "in tasks that only hidden tests will judge"),
            (UNRUN, "in tasks that are answered"),
            (PERSON, "in answers that a person reads"),
            (FAILS, "in tasks that fail a check"),
            (UNDONE, "in tasks that are not done yet"),
        )
        if points[state]
    ]
    text = f"Of {sum(points.values()):g} points: {', '.join(parts)}."
    if points[PASSES]:
        text += " Hidden tests use other data and other shapes."
    return text


def check_file(
    path: Path, *, assignment: str | None = None, repair: Path | None = None, limit: float = LIMIT, run: bool = True
) -> bool:
    """What `course check` does; whether nothing is left to do.

    Raises:
        CourseError: the notebook cannot be read or is of no problem set; `repair` cannot be written.
    """
    try:
        data, saved = load(path), datetime.fromtimestamp(path.stat().st_mtime)
    except FileNotFoundError:
        raise CourseError(f"There is no file {path}; give the notebook that you want to hand in.") from None
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror or error}).") from error
    when = f"{saved:%H:%M}" if saved.date() == datetime.now().date() else f"{saved:%Y-%m-%d %H:%M}"
    told = f"{path.name}, as saved at {when}"
    return _check(data, path.name, path.parent.resolve(), told, assignment, repair, limit, run)


def check_current(
    *, assignment: str | None = None, repair: Path | None = None, limit: float = LIMIT, run: bool = True
) -> bool:
    """The same for the notebook that is open in Colab. Raises CourseError elsewhere."""
    data, name = current_notebook()
    return _check(data, name, Path.cwd(), f"{name}, as it is now", assignment, repair, limit, run)


def _check(
    data: bytes,
    called: str,
    folder: Path,
    title: str,
    assignment: str | None,
    repair: Path | None,
    limit: float,
    run: bool,
) -> bool:
    from rich.console import Console

    if repair is not None and repair.exists():  # before minutes are spent on checks
        raise CourseError(f"{repair} is there already; give the name of a new file.")
    console = Console(highlight=False)
    if console.is_terminal:
        with console.status("Reading the notebook") as status:
            report = examine(
                data,
                called,
                folder,
                assignment=assignment,
                limit=limit,
                run=run,
                begun=lambda number, of: status.update(f"Running cell {number + 1} of {of}"),
            )
    else:
        report = examine(data, called, folder, assignment=assignment, limit=limit, run=run)
    show(report, f"{report.name}: {title}", console)
    if repair is not None and report.damaged:
        write_repaired(report, repair)
        console.print(f"The repaired notebook is {repair}; look through it before you hand it in.", markup=False)
    elif repair is not None:
        console.print("No cell had to be repaired, so no copy was written.")
    elif report.damaged:
        how = 'repair="NEW.ipynb"' if in_notebook() else "--repair NEW.ipynb"
        console.print(f"Grading repairs the cells in the same way; {how} writes a repaired copy.")
    return report.fine


def current_notebook() -> tuple[bytes, str]:
    """(contents, name) of the notebook that is open in Colab, also of what is not saved yet.

    Colab's page answers the request "get_ipynb" with {"ipynb": the notebook}; None means that it did not answer in time
    (`blocking_request` in https://github.com/googlecolab/colabtools/blob/main/google/colab/_message.py).

    Raises:
        CourseError: this is not Colab, or its page does not answer.
    """
    try:
        from google.colab import _message
    except ImportError:
        raise CourseError(
            'Only on Colab can a notebook find itself; here say which one: handin.check("ps01_backprop.ipynb").'
        ) from None
    try:
        answer = _message.blocking_request("get_ipynb", timeout_sec=60)
    except Exception as error:
        raise CourseError(f"Colab did not hand over the notebook ({error}); run this cell again.") from error
    notebook = answer.get("ipynb") if isinstance(answer, dict) else None
    if not isinstance(notebook, dict):
        raise CourseError("Colab did not hand over the notebook in time; run this cell again.")
    metadata = notebook.get("metadata")
    colab = metadata.get("colab") if isinstance(metadata, dict) else None
    name = colab.get("name") if isinstance(colab, dict) else None
    return json.dumps(notebook).encode(), name if isinstance(name, str) and name else "this notebook"
