"""Whatever ends a grading, the next `course grade` does the rest, and leaves what an undisturbed run leaves.

The coordinator, its workers and the sandbox are killed at random and at chosen moments, the disk is full, the gradebook
is locked. What is compared at the end: the gradebook's rows, the records, the graded notebooks, the files handed in.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import standin
import tiny_course
from conftest import with_code, write
from standin import gradings, outcome
from tiny_course import NAME, REPOSITORY

from course_lib.errors import CourseError
from course_lib.grading import fingerprint
from course_lib.grading.course import Course
from course_lib.grading.release import release
from course_lib.grading.results import Place
from course_lib.grading.samples import students_of
from course_lib.grading.sandbox import box

STUDENTS = 12
SEEDS = int(os.environ.get("COURSE_FAULT_SEEDS", 6))  # how often what is random is tried
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent)])}


class Coordinators:
    """`standin.serve` in a process of its own."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, standin.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )

    def _ask(self, **order: Any) -> int:
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def start(self, given: dict[str, Any], folder: Path) -> int:
        return self._ask(run=given, out=str(folder / "out"), err=str(folder / "err"))

    def wait(self, process: int) -> int:
        return self._ask(wait=process)

    def close(self) -> None:
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()


@pytest.fixture(scope="module")
def coordinators() -> Iterator[Coordinators]:
    made = Coordinators()
    yield made
    made.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """A copy of course_lib: scores depend on its text, which somebody may be editing just now."""
    root = tmp_path_factory.mktemp("library") / "course_lib"
    return Path(shutil.copytree(fingerprint.LIBRARY, root, ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture(scope="module")
def untouched(tmp_path_factory) -> Path:
    """A course with submissions and a secret, nothing graded yet."""
    root = tmp_path_factory.mktemp("untouched")
    course = Course(tiny_course.make_course(root))
    release(course)
    fingerprint.secret(course.grading / "secret")
    kinds = list(students_of(course, NAME).values())
    for k in range(STUDENTS):
        notebook = with_code(kinds[k % 3], "sign", f"def sign(x):\n    return (x > 0) - (x < 0)  # {k}")
        write(root / "downloads" / f"student-{k:02}" / f"{NAME}.ipynb", notebook if k != 5 else "no notebook")
    return root


class Trial:
    """One copy of the course, and what is done to it."""

    def __init__(self, coordinators: Coordinators, untouched: Path, library: Path, folder: Path) -> None:
        self.coordinators, self.library = coordinators, library
        self.folder = Path(shutil.copytree(untouched, folder))
        self.course, self.log = Course(self.folder), self.folder / "log"

    def start(self, **options: Any) -> int:
        given = {"root": self.folder, "folder": self.folder / "downloads", "log": self.log, "library": self.library}
        given = {key: str(value) for key, value in given.items()}
        return self.coordinators.start({**given, **options}, self.folder)

    def run(self, **options: Any) -> int:
        return self.coordinators.wait(self.start(**options))

    @property
    def said(self) -> str:
        path = self.folder / "err"
        return path.read_text() if path.exists() else ""

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.folder / "out").read_text())

    @property
    def complete(self) -> set[str]:
        """Whose submissions have whole results."""
        places = {path.parent.name for path in (self.course.grading / "results").glob("*/*.json")}
        return {student for student in places if Place.counting(self.course, student, NAME).read() is not None}

    def finish(self, **options: Any) -> None:
        """The run after the faults: it does the rest and nothing else."""
        complete, lines = self.complete, len(gradings(self.log))
        assert self.run(**options) == 1, self.said  # 1, for one file is no notebook
        again = {student for student, _ in gradings(self.log)[lines:]}
        assert not again & complete
        assert again | complete == {f"student-{k:02}" for k in range(STUDENTS)}
        assert not list(self.course.grading.rglob(".*"))  # nothing half-written is left


@pytest.fixture
def trial(coordinators, untouched, library, tmp_path) -> Trial:
    return Trial(coordinators, untouched, library, tmp_path / "course")


@pytest.fixture(scope="module")
def undisturbed(coordinators, untouched, library, tmp_path_factory) -> dict[str, Any]:
    """What a run leaves to which nothing happens."""
    trial = Trial(coordinators, untouched, library, tmp_path_factory.mktemp("undisturbed") / "course")
    trial.finish()
    assert trial.report["graded"] == STUDENTS - 1
    return outcome(trial.course)


def until(condition: Any, seconds: float = 60.0) -> None:
    """Wait until something has become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.003)


def running(process: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_coordinator_is_killed_at_random_moments(trial, undisturbed, seed):
    chance = random.Random(seed)
    for _ in range(chance.choice([1, 1, 2, 3])):
        process, lines = trial.start(seconds=0.02), len(gradings(trial.log))
        wanted = lines + chance.randrange(0, STUDENTS - 2)
        until(lambda process=process, wanted=wanted: len(gradings(trial.log)) > wanted or not running(process))
        time.sleep(chance.uniform(0, 0.1))
        family = psutil.Process(process).children(recursive=True) if running(process) else []
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        trial.coordinators.wait(process)
        until(lambda family=family: not any(running(child.pid) for child in family))  # nothing of it is left
    trial.finish()
    assert outcome(trial.course) == undisturbed


def fewer(untouched: Path, folder: Path, students: tuple[int, ...]) -> Path:
    """A copy of the course with these students alone."""
    shutil.copytree(untouched, folder)
    for k in range(STUDENTS):
        if k not in students:
            shutil.rmtree(folder / "downloads" / f"student-{k:02}")
    return folder


@pytest.mark.slow
def test_the_coordinator_is_killed_at_every_step(coordinators, untouched, library, tmp_path):
    """Before and after each file is put in place, and each transaction ended: no moment between is different."""
    folder = fewer(untouched, tmp_path / "few", (4, 5))  # one that is graded, and one that is refused
    plain = Trial(coordinators, folder, library, tmp_path / "plain")
    assert plain.run(jobs=1) == 1
    expected, step = outcome(plain.course), 0
    while True:
        trial = Trial(coordinators, folder, library, tmp_path / f"step-{step}")
        status = trial.run(die=step, jobs=1)
        if status == 1:
            break  # there is no such step any more
        assert status == -signal.SIGKILL, trial.said
        assert trial.run(jobs=1) == 1, trial.said
        assert outcome(trial.course) == expected, f"killed at step {step}"
        shutil.rmtree(trial.folder)
        step += 1
    assert step > 15


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_workers_are_killed(trial, undisturbed, seed):
    chance = random.Random(seed)
    process, killed = trial.start(seconds=0.1), 0
    while running(process) and killed < 5:
        lines = trial.log.read_text().splitlines() if trial.log.exists() else []
        if lines and chance.random() < 0.2:
            with contextlib.suppress(ProcessLookupError):
                os.kill(json.loads(lines[-1])[-1], signal.SIGKILL)
                killed += 1
        time.sleep(0.03)
    assert killed
    status = trial.coordinators.wait(process)
    assert status == 1
    trial.finish()
    assert outcome(trial.course) == undisturbed


def test_the_fork_server_is_killed(trial, undisturbed):
    process = trial.start(seconds=0.1)
    until(lambda: len(gradings(trial.log)) > 3)
    for child in psutil.Process(process).children():
        if "forkserver" in " ".join(child.cmdline()):
            child.kill()
    assert trial.coordinators.wait(process) == 1
    trial.finish()
    assert outcome(trial.course) == undisturbed


def test_whose_worker_is_killed_again_and_again_is_refused_for_now(trial, undisturbed):
    """As by the system when the machine runs out of memory."""
    process, killed = trial.start(seconds=0.3, jobs=1), 0
    while running(process):
        lines = [json.loads(line) for line in trial.log.read_text().splitlines()] if trial.log.exists() else []
        if lines and lines[-1][0] == "student-01":
            with contextlib.suppress(ProcessLookupError):
                os.kill(lines[-1][-1], signal.SIGKILL)
                killed += 1
                number = len(lines)
                until(lambda number=number: len(gradings(trial.log)) > number or not running(process))
        time.sleep(0.02)
    assert trial.coordinators.wait(process) == 1
    assert [student for student, _ in gradings(trial.log)].count("student-01") == 3
    assert "killed 3 times" in trial.report["refused"][f"student-01, {NAME}"]
    assert "student-01" not in trial.complete
    trial.finish()
    assert outcome(trial.course) == undisturbed


@contextlib.contextmanager
def held(gradebook: Path) -> Iterator[None]:
    """Another program writes in the gradebook."""
    connection = sqlite3.connect(gradebook, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()


def test_a_gradebook_that_stays_locked_costs_no_grading(trial, undisturbed):
    from course_lib.grading.gradebook import open_gradebook

    open_gradebook(trial.course.root).close()
    with held(trial.course.gradebook):
        assert trial.run(patience=3.0) == 1
    assert trial.report["unwritten"] == "another program is writing in it"
    assert trial.report["graded"] == STUDENTS - 1
    assert "waiting up to 3 seconds" in trial.said
    lines = len(gradings(trial.log))
    trial.finish()
    assert len(gradings(trial.log)) == lines
    assert trial.report["unwritten"] == ""
    assert outcome(trial.course) == undisturbed


def test_a_gradebook_that_is_locked_for_a_while_is_waited_for(trial, undisturbed):
    from course_lib.grading.gradebook import open_gradebook

    open_gradebook(trial.course.root).close()
    with contextlib.ExitStack() as stack:
        stack.enter_context(held(trial.course.gradebook))
        process = trial.start(patience=60.0)
        until(lambda: "waiting up to 60 seconds" in trial.said)
    assert trial.coordinators.wait(process) == 1
    assert trial.report["unwritten"] == ""
    assert outcome(trial.course) == undisturbed


def test_many_short_locks_are_not_noticed(trial, undisturbed):
    from course_lib.grading.gradebook import open_gradebook

    open_gradebook(trial.course.root).close()
    done = threading.Event()

    def disturb() -> None:
        while not done.is_set():
            with held(trial.course.gradebook):
                time.sleep(0.05)
            time.sleep(0.02)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        assert trial.run(patience=60.0, seconds=0.05) == 1
    finally:
        done.set()
        thread.join()
    assert trial.report["unwritten"] == ""
    assert outcome(trial.course) == undisturbed


FULL = """set -e
mount -t tmpfs -o size={size}k tmpfs {build}
mkdir -p {build}/grading
cp {secret} {build}/grading/secret
set +e
{python} {standin} '{given}' >{folder}/out1 2>{folder}/err1
echo $? >{folder}/status1
set -e
mount -o remount,size=100m {build}
cp -r {build} {folder}/full
set +e
{python} {standin} '{given}' >{folder}/out2 2>{folder}/err2
echo $? >{folder}/status2
cp -r {build} {folder}/after
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 200, 320])
def test_the_disk_is_full(trial, undisturbed, size):
    """A disk of so many kilobytes, in a mount namespace of its own; then room is made."""
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    build, secret = trial.folder / "build", trial.folder / "secret"
    shutil.move(trial.course.grading / "secret", secret)
    given = {"root": trial.folder, "folder": trial.folder / "downloads", "log": trial.log, "library": trial.library}
    script = FULL.format(
        size=size,
        build=build,
        secret=secret,
        folder=trial.folder,
        python=sys.executable,
        standin=standin.__file__,
        given=json.dumps({key: str(value) for key, value in given.items()} | {"patience": 1.0}),
    )
    ran = subprocess.run(["unshare", "-rm", "sh", "-c", script], env=ENVIRONMENT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    first = (trial.folder / "err1").read_text()
    assert (trial.folder / "status1").read_text().strip() == "1", first
    told = json.loads((trial.folder / "out1").read_text())
    assert told["stopped"] == "No space left on device" or told["unwritten"] == "the disk is full"
    assert "Traceback" not in first
    shutil.rmtree(build)
    shutil.copytree(trial.folder / "full", build)
    assert trial.complete != {f"student-{k:02}" for k in range(STUDENTS)} or told["unwritten"]
    assert (trial.folder / "status2").read_text().strip() == "1", (trial.folder / "err2").read_text()
    shutil.rmtree(build)
    shutil.copytree(trial.folder / "after", build)
    assert outcome(trial.course) == undisturbed


@pytest.fixture(scope="module")
def four(untouched, tmp_path_factory) -> Path:
    """Fewer students, for each takes a second."""
    return fewer(untouched, tmp_path_factory.mktemp("four") / "course", (3, 4, 5, 6))


@pytest.fixture(scope="module")
def real_undisturbed(coordinators, four, library, tmp_path_factory) -> dict[str, Any]:
    trial = Trial(coordinators, four, library, tmp_path_factory.mktemp("undisturbed-real") / "course")
    assert trial.run(real=True, jobs=1) == 1, trial.said
    assert trial.report["graded"] == 3
    return outcome(trial.course)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS // 3))
def test_anything_is_killed_with_the_real_checker(coordinators, four, library, tmp_path, real_undisturbed, seed):
    """Workers, fork server, checkers, the sandbox and what runs in it; in the end the coordinator."""
    trial = Trial(coordinators, four, library, tmp_path / "course")
    try:
        box.bubblewrap()
    except CourseError as error:
        pytest.skip(str(error))
    chance = random.Random(seed)
    process = trial.start(real=True, jobs=1)
    until(lambda: "graded:" in trial.said or not running(process), 120)
    for _ in range(3):
        time.sleep(chance.uniform(0, 0.7))
        with contextlib.suppress(psutil.Error, IndexError):
            chance.choice(psutil.Process(process).children(recursive=True)).kill()
    time.sleep(chance.uniform(0, 1.0))
    family = psutil.Process(process).children(recursive=True) if running(process) else []
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    trial.coordinators.wait(process)
    until(lambda: not any(running(child.pid) for child in family))
    assert trial.run(real=True, jobs=1) == 1, trial.said
    assert trial.report["refused"].keys() == {f"student-05, {NAME}"}
    assert outcome(trial.course) == real_undisturbed
