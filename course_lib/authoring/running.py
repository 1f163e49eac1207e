"""`course run`: execute notebooks side by side, each in a process with its own time limit, and judge their outcomes."""

from __future__ import annotations

import contextlib
import html
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from course_lib.authoring.build import notebook_text, write
from course_lib.authoring.surroundings import ONE_THREAD
from course_lib.authoring.tree import assignment_sources, choose, close_names, find_root, lecture_sources
from course_lib.budget import RUNGS
from course_lib.errors import CourseError
from course_lib.outcomes import Outcome, recorded_in

MINUTES = {"smoke": 15.0, "laptop": 90.0, "gpu": 180.0, "paper": 2880.0, "auto": 180.0}  # default limit of a notebook
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Run:
    """One notebook: what is asked, and as it goes on, what has happened."""

    name: str
    source: Path
    cells: int = 0
    of: int = 0
    code: int = 0  # code cells done: In [code] was the last
    status: str = "waiting"  # then running, then ok, raised, outcome missed, died, time limit, broken
    message: str = ""
    seconds: float = 0.0
    peak: int = 0  # bytes resident, the notebook's whole process tree
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def missed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if not outcome.met]

    @property
    def failed(self) -> bool:
        return self.status != "ok"


class Running:
    """A started notebook: the worker's process, and what it says."""

    def __init__(self, run: Run, job: dict[str, Any], environment: dict[str, str], limit: float) -> None:
        self.run, self.limit, self.output = run, limit, Path(job["output"])
        self.scratch = tempfile.mkdtemp(prefix="course-run-")
        self.started = time.monotonic()
        self.end: tuple[str, str] | None = None
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `finish`)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course_lib.authoring.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then ends every tree
        )
        run.status = "running"
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        with contextlib.suppress(BrokenPipeError):  # it ended at once; `poll` says so
            self.process.stdin.write(json.dumps({**job, "scratch": self.scratch}) + "\n")
            self.process.stdin.flush()

    def _listen(self) -> None:
        for line in self.process.stdout:
            try:
                said = json.loads(line)
            except json.JSONDecodeError:
                continue
            if "end" in said:
                self.end = (said["end"], said["message"])
            else:
                self.run.cells, self.run.of, self.run.code = said["cell"], said["of"], said["code"]

    def poll(self) -> bool:
        """Measure, enforce the limit; whether it has ended."""
        self.run.seconds = time.monotonic() - self.started
        self.run.peak = max(self.run.peak, _resident(self.process.pid))
        if self.process.poll() is not None:
            self.listener.join(5)
            return True
        if self.run.seconds > self.limit:
            self.kill()
            minutes = f"{self.limit / 60:g}"
            self.end = ("time limit", f"It was stopped at its limit of {minutes} min, in cell [{self.run.code + 1}].")
            return True
        return False

    def kill(self) -> None:
        """End the worker and its kernel."""
        end_tree(self.process.pid)
        self.process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def finish(self) -> None:
        """Write down how it ended."""
        if self.end is None:
            self.log.seek(0)
            said = self.log.read().decode("utf-8", "replace").strip().splitlines()
            self.end = ("died", said[-1] if said else f"The process ended with status {self.process.returncode}.")
        self.log.close()
        with contextlib.suppress(BrokenPipeError):  # the job may never have been read
            self.process.stdin.close()
        shutil.rmtree(self.scratch, ignore_errors=True)  # where the worker could not
        self.run.status, self.run.message = self.end


def _resident(pid: int) -> int:
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


def end_tree(pid: int) -> None:
    """Kill a process and all that it started."""
    import psutil

    try:
        parent = psutil.Process(pid)
        tree = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(tree, timeout=5)


def run_all(
    runs: Sequence[Run],
    *,
    folder: Path,
    budget: str,
    seed: int,
    jobs: int,
    minutes: float,
    device: str = "auto",
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Execute every notebook of `runs`, `jobs` at a time, and leave name.ipynb and name.html in `folder`.

    Whatever ends this function, Ctrl-C included, no process and no half-written file stays behind.

    Args:
        runs: filled in as it goes.
        folder: where the executed notebooks go, and where they are executed.
        budget, seed: the parameters of the notebooks.
        jobs: how many at a time; with more than one, each has one thread.
        minutes: the limit of each notebook.
        device: what course_lib.start takes for "auto".
        watch: called about five times a second.
    """
    environment = {key: value for key, value in os.environ.items() if key not in ("MPLBACKEND", "PYTHONSTARTUP")}
    environment.update(COURSE_HEADLESS="1", COURSE_DEVICE=device, PYDEVD_DISABLE_FILE_VALIDATION="1")
    if jobs > 1:
        environment.update(ONE_THREAD)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for run in runs:  # an old result must not pass for this one
            for suffix in (".ipynb", ".html"):
                (folder / f"{run.name}{suffix}").unlink(missing_ok=True)
    except OSError as error:
        raise CourseError(f"Could not write to {folder} ({error.strerror or error}).") from error

    # The longest source first, as a guess at the longest run: with several jobs it should not be left for the end.
    waiting, running = sorted(runs, key=lambda run: run.source.stat().st_size, reverse=True), []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                job = {
                    "notebook": notebook_text(run.source),
                    "output": str(folder / f".{run.name}.{os.getpid()}.partial.ipynb"),
                    "parameters": {"BUDGET": budget, "SEED": seed},
                    "cwd": str(folder),
                }
                running.append(Running(run, job, environment, minutes * 60))
            for one in list(running):
                if one.poll():
                    one.finish()
                    running.remove(one)
                    _collect(one.run, one.output, folder)
            watch()
            time.sleep(0.2)
    finally:
        for one in running:
            one.kill()
        for partial in folder.glob(f".*.{os.getpid()}.partial.ipynb"):
            partial.unlink(missing_ok=True)


def _collect(run: Run, partial: Path, folder: Path) -> None:
    """Judge the executed notebook, and put it and its HTML in place."""
    import nbformat

    from course_lib.authoring.html import to_html

    try:
        notebook = nbformat.read(partial, as_version=4)
    except Exception as error:  # nothing was written, or the process was killed while it wrote
        if run.status == "ok":
            run.status, run.message = "broken", f"The executed notebook cannot be read ({error})."
        return
    run.outcomes = recorded_in(notebook)
    if run.status == "ok" and run.missed:
        run.status = "outcome missed"
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
    notebook.metadata.pop("papermill", None)
    write(folder / f"{run.name}.ipynb", nbformat.writes(notebook) + "\n")
    write(folder / f"{run.name}.html", to_html(notebook, run.name))


# ---------------------------------------------------------------------------------------------- what a person sees


def table(runs: Sequence[Run]) -> Any:
    """Minutes, memory, outcomes and status of each notebook."""
    from rich.table import Table

    shown = Table(header_style="bold", box=None, pad_edge=False)
    shown.add_column("notebook", no_wrap=True)
    for name in ("minutes", "peak memory", "outcomes met"):
        shown.add_column(name, justify="right")
    shown.add_column("status")
    for run in runs:
        met = f"{len(run.outcomes) - len(run.missed)} of {len(run.outcomes)}"
        memory = f"{run.peak / 2**20:.0f} MB" if run.peak else "-"
        colour = "red" if run.failed else "green"
        shown.add_row(run.name, f"{run.seconds / 60:.1f}", memory, met, f"[{colour}]{run.status}[/]")
    return shown


def _failures(runs: Sequence[Run], console: Any) -> None:
    from rich.text import Text

    for run in runs:
        for outcome in run.missed:
            console.print(Text(f"{run.name}: {outcome}", style="red"))
        if run.message:
            console.print(Text(f"\n{run.name}: {run.status}", style="bold red"))
            lines = run.message.splitlines()
            kept = lines if len(lines) <= 40 else [*lines[:4], "…", *lines[-35:]]
            console.print(Text.from_ansi("\n".join(kept)))


def index_page(runs: Sequence[Run], budget: str) -> str:
    """A page with a link to each executed notebook."""
    rows = "\n".join(
        f'<tr><td><a href="{run.name}.html">{run.name}</a></td><td>{run.seconds / 60:.1f} min</td>'
        f"<td>{len(run.outcomes) - len(run.missed)} of {len(run.outcomes)} outcomes met</td>"
        f"<td>{html.escape(run.status)}</td></tr>"
        for run in runs
    )
    style = "body{font:16px/1.6 sans-serif;max-width:50em;margin:3em auto;padding:0 1em}td{padding:.2em 1.2em .2em 0}"
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Executed notebooks</title>\n'
        f"<style>{style}</style>\n"
        f"<h1>Executed notebooks</h1>\n<p>Budget: {html.escape(budget)}.</p>\n<table>\n{rows}\n</table>\n</html>\n"
    )


def _state(run: Run) -> str:
    if run.status != "running":
        return run.status
    return f"{run.cells} of {run.of} cells" if run.of else "starting"


@contextlib.contextmanager
def _watching(runs: Sequence[Run], console: Any) -> Iterator[Callable[[], None]]:
    """A function to call now and then: bars on a terminal, elsewhere a line when something has moved, not too often."""
    if console.is_terminal:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        ) as progress:
            tasks = {run.name: progress.add_task(run.name, total=None, start=False, state="waiting") for run in runs}

            def draw() -> None:
                for run in runs:
                    task = progress.tasks[progress.task_ids.index(tasks[run.name])]
                    if run.status == "waiting":
                        continue
                    if task.start_time is None:
                        progress.start_task(task.id)
                    state = _state(run)
                    progress.update(task.id, completed=run.cells, total=run.of or None, state=state)
                    if run.status != "running" and task.stop_time is None:
                        progress.stop_task(task.id)

            yield draw
        return

    said: dict[str, tuple[str, int]] = {}
    last = [-math.inf]

    def say() -> None:
        due = time.monotonic() - last[0] > 10
        for run in runs:
            status, cells = said.get(run.name, ("waiting", 0))
            moved = run.status == "running" and run.cells != cells and due
            if run.status != status or moved:
                said[run.name] = (run.status, run.cells)
                console.print(f"{run.name}: {_state(run)}, {run.seconds:.0f} s")
                last[0] = time.monotonic()

    yield say


def run_command(
    names: Sequence[str], budget: str, jobs: int, timeout: float | None, seed: int, device: str = "auto"
) -> int:
    """What `course run` does; the exit status."""
    from rich.console import Console

    rungs = ("auto", *RUNGS)
    if budget not in rungs:
        close = close_names(budget, rungs)
        hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(rungs)}."
        raise CourseError(f"There is no budget {budget!r}; {hint}")
    if jobs < 1:
        raise CourseError(f"--jobs must be at least 1, not {jobs}.")
    minutes = MINUTES[budget] if timeout is None else timeout
    if not 0 < minutes < math.inf:
        raise CourseError(f"--timeout must be a positive number of minutes, not {minutes:g}.")
    root = find_root()
    lectures = {path.stem: path for path in lecture_sources(root)}
    known = {**lectures, **{path.stem: path for path in assignment_sources(root)}}
    chosen = choose(names, known if names else lectures, "notebook")
    if device != "auto":
        from course_lib.device import choose_device

        choose_device(device)
    runs = [Run(path.stem, path) for path in chosen]

    console = Console(highlight=False, soft_wrap=True)
    folder = root / "build" / "notebooks"
    console.print(
        f"Running {', '.join(run.name for run in runs)} at the {budget} budget, {min(jobs, len(runs))} at a time."
    )

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    before = (
        signal.signal(signal.SIGTERM, interrupted) if threading.current_thread() is threading.main_thread() else None
    )
    try:
        with _watching(runs, console) as watch:
            run_all(
                runs, folder=folder, budget=budget, seed=seed, jobs=jobs, minutes=minutes, device=device, watch=watch
            )
    except KeyboardInterrupt:
        console.print("\nInterrupted; every notebook was stopped.")
        return 130
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
    write(folder / "index.html", index_page(runs, budget))
    console.print()
    console.print(table(runs))
    _failures(runs, console)
    console.print(f"\nExecuted notebooks: {(folder / 'index.html').relative_to(root)}")
    return 1 if any(run.failed for run in runs) else 0
