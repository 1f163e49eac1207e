"""Submissions a minute: `course grade` against `nbgrader autograde`, the same submissions, the same cores, one run.

    python benchmarks/grading.py                          # 40 students, every problem set, as many jobs as cores
    python benchmarks/grading.py --students 50 --jobs 4
    python benchmarks/grading.py --flat 10 100 1000       # does the cost of a submission grow with their number?
    python benchmarks/grading.py --bridge                 # what a call across the bridge takes

The class is made up of the mutants of the problem sets: for each task of each student the reference, another right
solution, a wrong one or the stub, drawn with a fixed seed. nbgrader runs as its users would run it in parallel: one
process a core, each on students of its own, all writing to one gradebook. Both sides start from nothing and are timed
as commands. A machine's speed drifts: our side runs on all submissions before nbgrader's and after each problem set of
nbgrader's, in a new course each time, and the mean counts.
Exit status 1 where the ratio is below its target.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from course_lib.authoring import mutants, tree
from course_lib.handin.cells import nbgrader_of, source_of

TARGET = 5.0
ROOT = Path(__file__).resolve().parents[1]
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
ENVIRONMENT = {**THREADS, "COURSE_BUDGET": "smoke", "COURSE_HEADLESS": "1", "PYTHONPATH": str(ROOT)}


def submission(name: str, draw: random.Random) -> dict[str, Any]:
    """A student's notebook of a problem set."""
    released = json.loads((ROOT / "assignments" / name / f"{name}.ipynb").read_text())
    source = json.loads((ROOT / "solutions" / name / f"{name}.ipynb").read_text())
    tasks = mutants.load_tasks(name, ROOT)
    for cell, original in zip(released["cells"], source["cells"], strict=True):
        marks, reference = nbgrader_of(cell), source_of(original)
        if not marks.get("solution") or marks.get("grade") or cell["cell_type"] != "code":
            continue
        known = tasks[marks["grade_id"]]
        kind = draw.choices(("reference", "right", "wrong", "stub"), (6, 2, 3, 1))[0]
        if kind in ("right", "wrong"):
            chosen = draw.choice(sorted(getattr(known, kind).items()))[1]
            cell["source"] = chosen.apply(reference) if isinstance(chosen, mutants.Edit) else chosen
        elif kind == "reference":
            cell["source"] = reference
    return released


def make_class(folder: Path, names: list[str], students: list[str]) -> None:
    """The submissions, in nbgrader's layout."""
    for name in names:
        for student in students:
            path = folder / student / name / f"{name}.ipynb"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(submission(name, random.Random(f"{name} {student}"))))


def make_course(folder: Path) -> Path:
    """A copy of what grading needs of the course, with an empty gradebook."""
    for part in ("solutions", "assignments"):
        shutil.copytree(ROOT / part, folder / part)
    for part in ("nbgrader_config.py", "pyproject.toml"):
        shutil.copy(ROOT / part, folder / part)
    return folder


def run(command: list[str], inside: Path, *, may_fail: bool = False) -> float:
    """Seconds that a command takes."""
    environment = {**os.environ, **ENVIRONMENT, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    began = time.perf_counter()
    done = subprocess.run(command, cwd=inside, env=environment, capture_output=True, text=True)
    if done.returncode and not may_fail:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - began


def ours(submissions: Path, jobs: int) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of `course grade`, and the records it leaves."""
    with tempfile.TemporaryDirectory() as folder:
        course = make_course(Path(folder))
        command = [sys.executable, "-m", "course_lib.cli", "grade", str(submissions), "--jobs", str(jobs)]
        seconds = run(command, course)
        return seconds, [json.loads(path.read_text()) for path in course.glob("build/grading/results/*/*.json")]


def nbgraders(
    submissions: Path, names: list[str], students: list[str], after_each: Callable[[], object]
) -> tuple[float, int]:
    """Seconds of `nbgrader autograde`, a process for each first letter of students' names, and how many it graded.

    `after_each` is called after each problem set, and its time is not counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        course = make_course(Path(folder))
        shutil.copytree(submissions, course / "build" / "grading" / "submitted")
        environment = {**os.environ, **ENVIRONMENT, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        seconds = 0.0
        for name in names:
            run(["nbgrader", "generate_assignment", name, "--force"], course)  # fills the gradebook; not counted
            began = time.perf_counter()
            shares = [f"{letter}*" for letter in sorted({student[0] for student in students})]
            commands = [["nbgrader", "autograde", name, "--student", share] for share in shares]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            running = [subprocess.Popen(command, cwd=course, env=environment, **quiet) for command in commands]
            for process in running:
                process.wait()
            seconds += time.perf_counter() - began
            after_each()
        return seconds, len(list(course.glob("build/grading/autograded/*/*/*.ipynb")))


def compare(names: list[str], count: int, jobs: int) -> bool:
    """Print the ratio, and where the time of our submissions goes. Whether the target is met."""
    students = [f"{chr(ord('a') + k % jobs)}{k:04d}" for k in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        submissions = Path(folder) / "submitted"
        make_class(submissions, names, students)
        total = count * len(names)
        runs = [ours(submissions, jobs)]
        their_seconds, graded = nbgraders(submissions, names, students, lambda: runs.append(ours(submissions, jobs)))
    our_seconds, records = statistics.mean(seconds for seconds, _ in runs), runs[0][1]
    good = sum(record["status"] == "graded" for record in records)
    print(f"{total} submissions ({count} students, {', '.join(names)}), {jobs} jobs on {os.cpu_count()} cores\n")
    print("| | graded | seconds | submissions a minute |\n|---|---|---|---|")
    theirs = f"`nbgrader autograde`, {jobs} processes"
    print(f"| {theirs} | {graded} | {their_seconds:.1f} | {60 * graded / their_seconds:.1f} |")
    each = f"{our_seconds:.1f}, mean of {', '.join(f'{seconds:.1f}' for seconds, _ in runs)}"
    print(f"| `course grade -j {jobs}` | {good} | {each} | {60 * good / our_seconds:.1f} |")
    ratio = (good / our_seconds) / (graded / their_seconds)
    print(f"\nratio: {ratio:.2f} (target: at least {TARGET:g})\n")
    print("| seconds of a submission, median (90th percentile) | " + " | ".join(names) + " |")
    print("|---|" + "---|" * len(names))
    for phase in ("start", "student", "visible", "hidden", "total"):
        row = []
        for name in names:
            values = sorted(record["seconds"][phase] for record in records if record["assignment"] == name)
            row.append(f"{statistics.median(values):.2f} ({values[int(0.9 * (len(values) - 1))]:.2f})")
        print(f"| {phase} | " + " | ".join(row) + " |")
    return ratio >= TARGET and good == total


def flat(names: list[str], counts: list[int], jobs: int) -> None:
    """Print what a submission costs as their number grows."""
    print("| submissions | seconds | seconds each, times the jobs |\n|---|---|---|")
    for count in counts:
        students = [f"s{k:05d}" for k in range(count)]
        with tempfile.TemporaryDirectory() as folder:
            make_class(Path(folder) / "submitted", names, students)
            seconds, _ = ours(Path(folder) / "submitted", jobs)
        total = count * len(names)
        print(f"| {total} | {seconds:.1f} | {seconds * jobs / total:.3f} |", flush=True)


def bridge(rounds: int = 12, calls: int = 300) -> None:
    """Print what a call takes whose argument comes back: the fastest round counts."""
    import socket

    import numpy as np
    import torch

    from course_lib.grading.bridge import student, trusted, wire

    class Shell:
        names: ClassVar = {"same": lambda x: x}

    torch.set_num_threads(1)
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        here.close()
        student.Runtime(there, Shell()).serve()
        os._exit(0)
    there.close()
    session = trusted.Session(wire.Line(here))
    same, array, tensor = session.name("same"), np.ones((16, 72)), torch.ones(16, 8)
    leaf = torch.ones(16, 8, requires_grad=True)
    print("| a call with | ms |\n|---|---|")
    for what, call in (
        ("a number", lambda: same(1.0)),
        ("an array of 16 × 72 numbers", lambda: same(array)),
        ("a tensor of 16 × 8 numbers", lambda: same(tensor)),
        ("the same, and its gradient", lambda: same(leaf).sum().backward()),
    ):
        seconds = []
        for _ in range(rounds):
            began = time.perf_counter()
            for _ in range(calls):
                call()
            seconds.append((time.perf_counter() - began) / calls)
        print(f"| {what} | {1000 * min(seconds):.3f} |")
    here.close()
    os.waitpid(child, 0)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--assignment", "-a", action="append", help="only this problem set; may be repeated")
    parser.add_argument(
        "--flat", type=int, nargs="+", metavar="COUNT", help="only our side, for these numbers of students"
    )
    parser.add_argument("--bridge", action="store_true", help="only calls across the bridge")
    options = parser.parse_args()
    if options.bridge:
        bridge()
        return 0
    names = options.assignment or [path.stem for path in tree.assignment_sources(ROOT)]
    if options.flat:
        flat(names, options.flat, options.jobs)
        return 0
    return 0 if compare(names, options.students, options.jobs) else 1


if __name__ == "__main__":
    sys.exit(main())
