"""The same jobs on a dask cluster: the same results, also where workers and the scheduler are killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import standin
import tiny_course
from conftest import with_code, write
from standin import gradings, outcome
from tiny_course import NAME

from course_lib.errors import CourseError
from course_lib.grading import fingerprint
from course_lib.grading.course import Course
from course_lib.grading.release import release
from course_lib.grading.samples import students_of
from course_lib.grading.sandbox import box

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow
STUDENTS = 10
LOCAL = """import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print("at", cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """A copy of course_lib for all processes of a test: they have to agree on it, and somebody may be editing it."""
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
        write(root / "downloads" / f"student-{k:02}" / f"{NAME}.ipynb", notebook)
    return root


class Machines:
    """Processes that a test starts, in a folder that is nobody's course."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder, self.library = folder, library
        self.started: list[subprocess.Popen[str]] = []
        folder.mkdir()

    def environment(self, library: Path | None = None) -> dict[str, str]:
        paths = [str((library or self.library).parent), str(Path(standin.__file__).parent)]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "DASK_DISTRIBUTED__ADMIN__LOG_FORMAT": "%(message)s",
        }

    def start(self, *command: str, library: Path | None = None) -> subprocess.Popen[str]:
        log = (self.folder / f"log-{len(self.started)}").open("w")
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment(library),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def said(self, process: subprocess.Popen[str]) -> str:
        return (self.folder / f"log-{self.started.index(process)}").read_text()

    def address(self, process: subprocess.Popen[str]) -> str:
        """Where a scheduler listens, once it says so."""
        until(lambda: re.search(r"at:? +tcp://\S+", self.said(process)) or process.poll() is not None)
        found = re.search(r"at:? +(tcp://\S+)", self.said(process))
        assert found, self.said(process)
        return found.group(1)

    def scheduler(self) -> tuple[str, subprocess.Popen[str]]:
        process = self.start(
            "-m", "distributed.cli.dask_scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard"
        )
        return self.address(process), process

    def worker(self, address: str, library: Path | None = None) -> subprocess.Popen[str]:
        command = ("-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny")
        return self.start(*command, library=library)

    def end(self) -> None:
        for process in self.started:
            family = []
            with contextlib.suppress(psutil.Error):
                family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait()
            process.stdin.close()
            for child in family:
                with contextlib.suppress(psutil.Error):
                    child.kill()


@pytest.fixture
def machines(tmp_path, library) -> Iterator[Machines]:
    made = Machines(tmp_path / "elsewhere", library)
    yield made
    made.end()


def until(condition: Callable[[], Any], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


class Grading:
    """`course grade` on a copy of the course, as a process."""

    def __init__(self, untouched: Path, folder: Path, machines: Machines) -> None:
        self.folder, self.machines = Path(shutil.copytree(untouched, folder)), machines
        self.course, self.log = Course(self.folder), self.folder / "log"

    def start(self, **options: Any) -> subprocess.Popen[str]:
        given = {"root": str(self.folder), "folder": str(self.folder / "downloads"), "log": str(self.log)}
        return subprocess.Popen(
            [sys.executable, standin.__file__, json.dumps({**given, "jobs": 1, **options})],
            env=self.machines.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, **options: Any) -> tuple[int, str, str]:
        process = self.start(**options)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err


@pytest.fixture
def grading(untouched, machines, tmp_path) -> Grading:
    return Grading(untouched, tmp_path / "course", machines)


@pytest.fixture(scope="module")
def undisturbed(untouched, library, tmp_path_factory) -> dict[str, Any]:
    """What a run on this machine alone leaves."""
    folder = tmp_path_factory.mktemp("undisturbed")
    grading = Grading(untouched, folder / "course", Machines(folder / "elsewhere", library))
    status, out, err = grading.run()
    assert (status, json.loads(out)["graded"]) == (0, STUDENTS), err
    return outcome(grading.course)


def test_a_local_cluster_gives_the_same_results(grading, machines, undisturbed):
    address = machines.address(machines.start("-c", LOCAL))
    status, out, err = grading.run(scheduler=address)
    assert (status, json.loads(out)["graded"]) == (0, STUDENTS), err
    assert outcome(grading.course) == undisturbed
    graded_by = {json.loads(line)[-1] for line in grading.log.read_text().splitlines()}
    assert len(graded_by) == 2  # a process for each worker, kept from task to task
    status, out, err = grading.run(scheduler=address)
    assert (status, json.loads(out)["unchanged"]) == (0, STUDENTS), err


def test_two_workers_of_which_one_is_killed_halfway(grading, machines, undisturbed):
    address, _ = machines.scheduler()
    first, _ = machines.worker(address), machines.worker(address)
    process = grading.start(scheduler=address, seconds=0.3)
    until(lambda: len(gradings(grading.log)) >= 4 or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    family = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert json.loads(out)["graded"] == STUDENTS
    assert outcome(grading.course) == undisturbed
    until(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in family))


def test_the_scheduler_is_lost_and_nothing_else(grading, machines, undisturbed):
    address, scheduler = machines.scheduler()
    machines.worker(address)
    process = grading.start(scheduler=address, seconds=0.3)
    until(lambda: len(gradings(grading.log)) >= 4 or process.poll() is not None)
    scheduler.kill()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    sentences = [line for line in err.splitlines() if not line.startswith("graded:")]
    assert len(sentences) == 1, err
    assert f"The dask scheduler at {address} is gone" in sentences[0]
    complete = len(list((grading.course.grading / "results").glob("*/*.json")))
    assert complete >= 1
    status, out, err = grading.run()
    assert (status, json.loads(out)["unchanged"]) == (0, complete), err
    assert outcome(grading.course) == undisturbed


def test_workers_get_no_secret_and_write_nothing(grading, machines):
    address, _ = machines.scheduler()
    machines.worker(address)
    assert grading.run(scheduler=address)[0] == 0
    secret = (grading.course.grading / "secret").read_text()
    seeds = {json.loads(line)[3] for line in grading.log.read_text().splitlines()}
    assert len(seeds) == STUDENTS
    assert secret not in seeds
    assert [path.name for path in machines.folder.rglob("*") if not path.name.startswith("log-")] == []


def test_another_version_is_told_apart(grading, machines, library, tmp_path):
    other = Path(shutil.copytree(library, tmp_path / "other" / "course_lib"))
    check = other / "checks" / "core.py"
    check.write_text(check.read_text() + "\nTHING = 1\n")
    address, _ = machines.scheduler()
    machines.worker(address, other)
    status, _, err = grading.run(scheduler=address)
    assert status == 2
    assert re.search(r"The dask worker tcp://\S+ cannot grade: its course_lib is .*; install the same there", err), err
    assert len(err.strip().splitlines()) == 1
    assert not (grading.course.grading / "results").exists()


def test_no_scheduler_and_no_workers_are_one_sentence(grading, machines):
    status, _, err = grading.run(scheduler="tcp://127.0.0.1:9", connect=2.0)
    assert status == 2
    assert "No dask scheduler answers at tcp://127.0.0.1:9" in err
    assert len(err.strip().splitlines()) == 1
    address, _ = machines.scheduler()
    status, _, err = grading.run(scheduler=address, nobody=2.0)
    assert status == 2
    assert "has no workers" in err
    assert len(err.strip().splitlines()) == 1


def test_the_real_checker_on_a_cluster(grading, machines):
    try:
        box.bubblewrap()
    except CourseError as error:
        pytest.skip(str(error))
    machines.library = fingerprint.LIBRARY  # the sandbox covers /tmp
    for k in range(3, STUDENTS):
        shutil.rmtree(grading.folder / "downloads" / f"student-{k:02}")
    address, _ = machines.scheduler()
    machines.worker(address)
    status, _, err = grading.run(scheduler=address, real=True)
    assert status == 0, err
    records = outcome(grading.course)["records"]
    totals = {key: sum(cell["score"] for cell in record["cells"].values()) for key, record in records.items()}
    assert totals == {f"student-00/{NAME}": 10, f"student-01/{NAME}": 6, f"student-02/{NAME}": 1}
