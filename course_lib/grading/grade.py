"""Grade a folder of submissions: what is new or has changed is graded, each submission on its own, and nothing is lost.

This is the *coordinator*. It gives jobs to workers, which are processes of `Pool` or of a dask cluster, and is the only
one to write: for each result the file handed in, the graded notebook, the record, in this order, and then in batches
the gradebook. Wherever it is interrupted, the next run finds by the records what is missing and does just that.

What is sent to a worker and what comes back is described in course_lib/grading/README.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from course_lib.errors import CourseError
from course_lib.grading import fingerprint, late
from course_lib.grading.course import Course, Task
from course_lib.grading.lms import SIZE, Roster
from course_lib.grading.pool import Call, Pool
from course_lib.grading.results import (
    Place,
    Record,
    Unwritable,
    all_records,
    effective,
    merged,
    merged_notebook,
    put,
    rescaled,
    retouched,
    unanswered,
)
from course_lib.grading.sandbox.box import LIMITS, Sandbox, bubblewrap
from course_lib.grading.submissions import Refusal, Submission, collect
from course_lib.grading.workers import checkers

if TYPE_CHECKING:
    from course_lib.grading.cluster import Cluster
    from course_lib.grading.gradebook import CellScore, Writer

log = logging.getLogger("course.grading")

GRACE = 90.0  # seconds that a worker may take beyond a submission's limit, before it is killed itself
ROUNDS = 3  # how often a submission is tried whose grading failed for a reason that is not the student's
LIMITED = {"time limit", "memory", "processes"}  # why a cell failed, where other limits might change that
Job = dict[str, Any]
Result = dict[str, Any]


@dataclass(frozen=True)
class Mark:
    """What one student earned in one task."""

    score: float
    points: float
    needs_manual_grade: bool


@dataclass
class Report:
    """What came of a folder of submissions. Keys are (assignment, student)."""

    tasks: dict[str, list[Task]]  # of each assignment graded
    marks: dict[tuple[str, str], dict[str, Mark]] = field(default_factory=dict)  # by task
    records: dict[tuple[str, str], Record] = field(default_factory=dict)  # of those that have marks
    refused: list[Refusal] = field(default_factory=list)
    graded: int = 0  # graded now, each attempt counted
    unchanged: int = 0  # as they were at an earlier time
    stopped: str = ""  # why the run ended before everything was graded; a clause
    unwritten: str = ""  # why the gradebook lacks results that the records have; a clause

    @property
    def repaired(self) -> dict[tuple[str, str], list[str]]:
        """What had to be repaired."""
        return {key: record["repairs"] for key, record in self.records.items() if record["repairs"]}

    @property
    def tampered(self) -> dict[tuple[str, str], list[str]]:
        """Which tests a student has changed."""
        return {key: record["tampered"] for key, record in self.records.items() if record["tampered"]}


def by_task(tasks: Sequence[Task], scores: Sequence[CellScore]) -> dict[str, Mark]:
    """The cells of one submission added up by task. A cell without a score counts as 0 of its points."""
    earned = {score.cell: score for score in scores}
    return {
        task.name: Mark(
            sum(earned[cell].score for cell in task.cells if cell in earned),
            task.points,
            any(earned[cell].needs_manual_grade for cell in task.cells if cell in earned),
        )
        for task in tasks
    }


def check(job: Job) -> Result:
    """Grade one submission; runs in a worker, the only place where the checker is imported."""
    from course_lib.grading.checker import grade_one

    return grade_one(job)


@dataclass
class _ProblemSet:
    """What all submissions of one problem set share."""

    name: str
    source: bytes
    release: bytes
    tests: fingerprint.Tests
    rule: late.Rule

    @property
    def possible(self) -> float:
        return sum(self.tests.points.values())


@dataclass
class _Attempt:
    """One file that was handed in, and what has to be done with it."""

    submission: Submission
    digest: str
    size: int
    place: Place  # where its result is kept
    only: list[str] | None = None  # the cells to grade; None: all
    old: Record | None = None  # the result that the new one is merged into
    record: Record | None = None  # the result, once there is one
    error: str = ""  # why there is none
    data: bytes = b""  # the file, while it is graded
    tries: int = 0

    @property
    def key(self) -> tuple[str, str]:
        return self.submission.assignment, self.submission.student

    @property
    def name(self) -> str:
        which = f", attempt {self.submission.attempt}" if self.submission.attempts > 1 else ""
        return f"{self.submission.student}, {self.submission.assignment}{which}"


def grade(
    course: Course,
    folder: Path,
    names: Sequence[str] = (),
    *,
    jobs: int = 1,
    limits: Mapping[str, float] | None = None,
    sandbox: str = "bubblewrap",
    scheduler: str | None = None,
    again: bool = False,
    roster: Roster | None = None,
    grader: Callable[[Job], Result] = check,
    patience: float | None = None,
    started: Callable[[int], None] = lambda total: None,
    finished: Callable[[str, str], None] = lambda name, outcome: None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Report:
    """Grade the submissions in `folder` into build/grading, those that are new or changed since they were graded.

    Args:
        names: the problem sets to grade; all of the course unless given.
        jobs: processes side by side, one thread each.
        limits: what a submission may use; what is not given is as in `sandbox.box.LIMITS`.
        sandbox: "bubblewrap" or "none".
        scheduler: the address of a dask scheduler whose workers grade instead of processes here.
        again: also grade what has not changed.
        roster: who is in the class.
        grader: what a worker calls with each job; a function at module level.
        patience: seconds to wait at the end for a gradebook in which another program writes.
        started: called with the number of submissions that will be graded.
        finished: called with the name of each, as it is done, and with "graded", "repaired", "refused" or "failed".
        tell: called with a sentence when the user should know why nothing seems to happen.

    Returns:
        The marks, and what was refused or failed, each with a reason.

    Raises:
        CourseError: nothing could be graded: an unknown problem set, no such folder, no submission in it that is a
            notebook of the problem set, no sandbox, another grading under way, no scheduler.
    """
    wanted = course.choose(names)
    policy = late.read_policy(course.root, course.choose())
    submissions, refused = collect(folder, course.choose(), wanted, roster=roster, policy=policy)
    if not submissions:
        raise _nothing(folder, refused)
    present = sorted({submission.assignment for submission in submissions})
    bounds = {**LIMITS, **(limits or {})}
    with contextlib.ExitStack() as stack:
        box = None
        if grader is check and scheduler is None:
            released = all(course.release(name).is_file() for name in present)
            new = (not Place.counting(course, s.student, s.assignment).record.exists() for s in submissions)
            if released and any(new):
                box = stack.enter_context(_sandbox(course, sandbox))  # which loads torch while what follows is read
            elif sandbox == "bubblewrap":
                bubblewrap()
        library = fingerprint.Library()
        sets = {name: _problem_set(course, name, library, policy) for name in present}
        with _locked(course):
            run = _Run(course, sets, bounds, sandbox, again, grader, started, finished, tell)
            run.report.refused += refused
            run.work(submissions, lambda: _workers(course, jobs, bounds, sandbox, scheduler, grader, box), patience)
    report = run.report
    if not report.records and not report.stopped and not report.unwritten:
        raise _nothing(folder, report.refused)
    return report


def _nothing(folder: Path, refused: Sequence[Refusal]) -> CourseError:
    listed = "\n".join(f"  {refusal.name}: {refusal.reason}." for refusal in refused)
    return CourseError(f"Nothing in {folder} could be graded:\n{listed}")


def _problem_set(course: Course, name: str, library: fingerprint.Library, policy: late.Policy) -> _ProblemSet:
    course.read_source(name)  # says what is wrong with it
    source = course.source(name).read_bytes()
    try:
        release = course.release(name).read_bytes()
        tests = fingerprint.Tests(source, release, library)
    except FileNotFoundError:
        raise CourseError(f"{name} is not released yet; do that first with course release {name}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CourseError(f"The notebooks of {name} cannot be read ({error}); build and release it again.") from error
    return _ProblemSet(name, source, release, tests, policy.of(name))


@contextlib.contextmanager
def _locked(course: Course) -> Iterator[None]:
    """Let only one `course grade` work on a course. The lock goes with the process, however that ends."""
    path = course.grading / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout:
        raise CourseError("Another course grade is at work on this course; wait until it has finished.") from None
    except OSError as error:
        raise CourseError(f"Cannot write to {path.parent} ({error.strerror or error}).") from error
    try:
        _tidy(course)
        yield
    finally:
        lock.release()


def _tidy(course: Course) -> None:
    """Take away what a run that was killed had begun to write."""
    for folder in ("results", "autograded", "submitted", "attempts"):
        for partial in (course.grading / folder).rglob(".*.partial"):
            partial.unlink(missing_ok=True)
    for partial in course.grading.glob(".*"):
        if partial.name.startswith(".gradebook-"):
            shutil.rmtree(partial, ignore_errors=True)
        elif partial.name.endswith(".partial"):
            partial.unlink(missing_ok=True)


def _sandbox(course: Course, kind: str) -> Sandbox:
    """A sandbox that begins to load what it needs."""
    try:
        course.grading.mkdir(parents=True, exist_ok=True)
        return Sandbox(kind, course.grading / "grading.log", wait=False)
    except OSError as error:
        raise CourseError(f"Cannot write to {course.grading} ({error.strerror or error}).") from error


def _load_nbgrader() -> None:
    importlib.import_module("course_lib.grading.gradebook")  # which takes seconds, as the sandbox does


@contextlib.contextmanager
def _workers(
    course: Course,
    jobs: int,
    limits: Mapping[str, float],
    sandbox: str,
    scheduler: str | None,
    grader: Callable[[Job], Result],
    box: Sandbox | None,
) -> Iterator[Pool | Cluster]:
    """What runs the jobs, here or on a cluster. `box`: the sandbox, where it has been started already."""
    limit = limits["submission"] + GRACE
    with contextlib.ExitStack() as stack:
        if scheduler is not None:
            from course_lib.grading.cluster import Cluster

            yield stack.enter_context(Cluster(scheduler, limit, sandbox if grader is check else ""))
        elif grader is check:
            box = box or stack.enter_context(_sandbox(course, sandbox))
            yield stack.enter_context(checkers(jobs, course.grading, limit, box, _load_nbgrader))
        else:
            yield stack.enter_context(Pool(jobs, course.grading, limit, [grader.__module__]))


class _Run:
    """One run of `course grade`."""

    def __init__(
        self,
        course: Course,
        sets: Mapping[str, _ProblemSet],
        limits: Mapping[str, float],
        sandbox: str,
        again: bool,
        grader: Callable[[Job], Result],
        started: Callable[[int], None],
        finished: Callable[[str, str], None],
        tell: Callable[[str], None],
    ) -> None:
        self.course, self.sets, self.limits, self.sandbox, self.again = course, sets, dict(limits), sandbox, again
        self.grader, self.started, self.finished, self.tell = grader, started, finished, tell
        self.report = Report({name: course.tasks(name) for name in sets})
        self.groups: dict[tuple[str, str], list[_Attempt]] = {}  # the attempts of one student that can count
        self.secret = fingerprint.secret(course.grading / "secret")
        self.writer: Writer | None = None

    # -------------------------------------------------------------------------------------------- what to do

    def _compare_all(self, submissions: Sequence[Submission]) -> None:
        """Find what every submission needs, by its record. Raises Unwritable."""
        several = {(s.assignment, s.student) for s in submissions if s.attempts > 1}
        for submission in submissions:
            try:
                size = submission.path.stat().st_size
                with submission.path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                reason = f"it cannot be read ({error.strerror or error})"
                self.report.refused.append(Refusal(f"{submission.student}, {submission.assignment}", reason))
                continue
            name, student = submission.assignment, submission.student
            place = Place.counting(self.course, student, name)
            if (name, student) in several:
                place = Place.attempt(self.course, student, name, digest)
            attempt = _Attempt(submission, digest, size, place)
            self._compare(attempt)
            self.groups.setdefault(attempt.key, []).append(attempt)

    def _compare(self, attempt: _Attempt) -> None:
        problem_set = self.sets[attempt.submission.assignment]
        tests = problem_set.tests
        counting = Place.counting(self.course, attempt.submission.student, problem_set.name)
        record = attempt.place.read()
        if record is None and attempt.place != counting:
            # It may have been graded when it was the only one.
            record = counting.read()
            if record is not None and record["fingerprint"]["submission"] == attempt.digest:
                notebook = counting.notebook.read_bytes() if record["status"] == "graded" else None
                attempt.place.write(record, notebook)
        if self.again or record is None or record["fingerprint"]["submission"] != attempt.digest:
            return
        marks = record["fingerprint"]
        if record["sandbox"] == "none" and self.sandbox != "none":
            return
        bounded = any(cell.get("failed") in LIMITED for cell in record["cells"].values())
        if marks.get("limits") != self.limits and (bounded or record["status"] == "refused"):
            return
        if marks["tests"] == tests.whole:
            attempt.record = record
            return
        if record["status"] == "refused":
            return
        now = tests.cells(attempt.submission.path.read_bytes())
        anew = fingerprint.changed(marks["cells"], now)
        if anew:
            attempt.old = rescaled(record, tests.points)
            if len(anew) < len(now):
                attempt.only = tests.with_needed(anew, attempt.submission.path.read_bytes())
            return
        touched = rescaled(record, tests.points)
        touched["fingerprint"] = {**touched["fingerprint"], "tests": tests.whole, "cells": now}
        notebook = attempt.place.notebook.read_bytes()
        again = retouched(notebook, json.loads(problem_set.source))
        attempt.place.write(touched, again if again != notebook else None)
        attempt.record = touched

    # -------------------------------------------------------------------------------------------- doing it

    def work(
        self,
        submissions: Sequence[Submission],
        workers: Callable[[], contextlib.AbstractContextManager[Pool | Cluster]],
        patience: float | None,
    ) -> None:
        """Grade what has to be graded, and bring the gradebook up to date with all records."""
        with contextlib.ExitStack() as stack:
            waiting: list[_Attempt] = []
            try:
                self._compare_all(submissions)
                waiting = [attempt for group in self.groups.values() for attempt in group if attempt.record is None]
            except Unwritable as full:
                self.report.stopped = str(full)
            pool = stack.enter_context(workers()) if waiting else None

            from course_lib.grading import gradebook

            patience = gradebook.PATIENCE if patience is None else patience
            cells = {name: gradebook.Cells.of(self.course.root, s.source) for name, s in self.sets.items()}
            due = {name: s.rule.due for name, s in self.sets.items()}
            self.writer = gradebook.Writer(self.course.root, cells, due=due, tell=self.tell)
            try:
                self.started(len(waiting))
                self._reconcile()
                for group in self.groups.values():
                    self.report.unchanged += sum(a.record is not None and a.record["status"] == "graded" for a in group)
                    self._settle(group)
                self.writer.flush()
                while waiting and pool is not None:
                    for answer in pool.run(self._calls(waiting)):
                        self._take(answer.key, answer.value, answer.error)
                        self.writer.flush()
                    waiting = [attempt for attempt in waiting if attempt.record is None and attempt.tries < ROUNDS]
            except Unwritable as full:
                self.report.stopped = str(full)
            except BaseException:  # such as Ctrl-C
                patience = 0.0
                raise
            finally:
                # Also after an interruption, so that less is left for the next run.
                self.report.unwritten = self.writer.finish(patience)
                self._tell_marks()
                self.writer.close()

    def _reconcile(self) -> None:
        """Let the gradebook have what the records have, also those of students who are not in this folder."""
        for name, problem_set in self.sets.items():
            for record in all_records(self.course, name):
                counts = effective(record)
                if counts is not None:
                    self._enter(problem_set, rescaled(counts, problem_set.tests.points))

    def _enter(self, problem_set: _ProblemSet, record: Record, submission: Submission | None = None) -> None:
        from course_lib.grading.gradebook import Entry

        assert self.writer is not None
        entry = Entry(record, _extension(problem_set.rule, record["student"]), _person(submission))
        self.writer.add(entry)

    def _calls(self, attempts: Iterable[_Attempt]) -> Iterator[Call]:
        for attempt in attempts:
            attempt.tries += 1
            try:
                if attempt.size > SIZE:
                    reason = f"it has {attempt.size / 1e6:.0f} MB; clear the outputs and hand it in again"
                    self._take(attempt, self._refused(attempt, reason), "")
                    continue
                data = attempt.submission.path.read_bytes()
            except OSError as error:
                self._take(attempt, None, f"it cannot be read ({error.strerror or error})")
                continue
            if hashlib.sha256(data).hexdigest() != attempt.digest:
                self._take(attempt, None, "the file changed while it was being graded; grade it again")
                continue
            attempt.data = data
            yield Call(attempt, self.grader, (self._job(attempt, data),))

    def _job(self, attempt: _Attempt, data: bytes) -> Job:
        problem_set, student = self.sets[attempt.submission.assignment], attempt.submission.student
        return {
            "student": student,
            "assignment": problem_set.name,
            "data": data,
            "source": problem_set.source,
            "release": problem_set.release,
            "seed": fingerprint.seed(self.secret, student, problem_set.name, attempt.digest),
            "sandbox": self.sandbox,
            "only": attempt.only,
            "limits": self.limits,
        }

    def _refused(self, attempt: _Attempt, reason: str) -> Result:
        return {
            "student": attempt.submission.student,
            "assignment": attempt.submission.assignment,
            "status": "refused",
            "reason": reason,
            "repairs": [],
            "tampered": [],
            "sandbox": self.sandbox,
            "cells": {},
            "seconds": {},
            "notebook": b"",
        }

    def _take(self, attempt: _Attempt, result: Result | None, error: str) -> None:
        """What a worker answered for one submission. Raises Unwritable."""
        if result is not None and not error:
            # A process of the student's that was killed from outside looks like one that ended itself, so the
            # submission has a second try; a submission that does end its process is graded the same again.
            crashed = any(cell.get("failed") == "crash" for cell in result["cells"].values())
            if (result.get("ours") or (crashed and attempt.tries == 1)) and attempt.tries < ROUNDS:
                return
            error = result["reason"] if result.get("ours") else ""
        if error:
            attempt.error, attempt.tries = error, ROUNDS
            self.report.refused.append(Refusal(attempt.name, error))
            self.finished(attempt.name, "failed")
        else:
            assert result is not None
            try:
                attempt.record, notebook = self._record(attempt, result)
            except (KeyError, TypeError, ValueError) as fault:
                log.exception("The answer for %s", attempt.name)
                attempt.error, attempt.tries = f"the checker's answer cannot be used ({type(fault).__name__})", ROUNDS
                self.report.refused.append(Refusal(attempt.name, attempt.error))
                self.finished(attempt.name, "failed")
                return
            self._keep(attempt, notebook)
            outcome = "refused" if attempt.record["status"] == "refused" else "graded"
            self.report.graded += outcome == "graded"
            self.finished(attempt.name, "repaired" if outcome == "graded" and attempt.record["repairs"] else outcome)
        self._settle(self.groups[attempt.key])

    def _record(self, attempt: _Attempt, result: Result) -> tuple[Record, bytes | None]:
        """The record and notebook of a result, with what is kept of an earlier one."""
        problem_set = self.sets[attempt.submission.assignment]
        data, attempt.data = attempt.data, b""
        record = {key: value for key, value in result.items() if key not in ("notebook", "ours")}
        marks: dict[str, Any] = {
            "submission": attempt.digest,
            "tests": problem_set.tests.whole,
            "cells": {},
            "limits": self.limits,
        }
        record["fingerprint"] = marks
        record["unanswered"] = []
        if record["status"] == "refused":
            return record, None
        marks["cells"] = problem_set.tests.cells(data)
        notebook = result["notebook"]
        record["unanswered"] = unanswered(notebook, json.loads(problem_set.release))
        if attempt.only is not None and attempt.old is not None:
            record = merged(attempt.old, record, attempt.only)
            notebook = merged_notebook(attempt.place.notebook.read_bytes(), notebook, attempt.only)
        missing = problem_set.tests.points.keys() - record["cells"].keys()
        if missing:
            raise KeyError(f"no score for {', '.join(sorted(missing))}")
        return record, notebook

    def _keep(self, attempt: _Attempt, notebook: bytes | None) -> None:
        """Write what is kept of one attempt; for the only one, `_settle` does that."""
        assert attempt.record is not None
        if attempt.submission.attempts > 1:
            attempt.place.write(attempt.record, notebook)
        else:
            self._publish(attempt, self._finished_record(attempt, [attempt]), notebook)

    def _settle(self, group: Sequence[_Attempt]) -> None:
        """Where all attempts of a student have results, let the one that counts count."""
        if any(attempt.record is None and not attempt.error for attempt in group):
            return
        graded = [attempt for attempt in group if attempt.record is not None and attempt.record["status"] == "graded"]
        for attempt in group:
            if attempt.record is not None and attempt.record["status"] == "refused":
                self.report.refused.append(Refusal(attempt.name, attempt.record["reason"]))
        known = [attempt for attempt in group if attempt.record is not None]
        if not known:
            return
        number = self._outcome(graded).attempt if graded else known[-1].submission.attempt
        chosen = next(attempt for attempt in graded or known if attempt.submission.attempt == number)
        record = self._finished_record(chosen, graded)
        place = Place.counting(self.course, chosen.submission.student, chosen.submission.assignment)
        if place.read() != record:
            notebook = None
            if chosen.place != place and record["status"] == "graded":
                notebook = chosen.place.notebook.read_bytes()
            self._publish(chosen, record, notebook)
        counts = effective(record)
        if counts is not None:
            self._enter(self.sets[chosen.submission.assignment], counts, chosen.submission)
            if record["status"] == "graded":
                self.report.records[chosen.key] = record

    def _outcome(self, graded: Sequence[_Attempt]) -> late.Outcome:
        """Which of these attempts counts, and what is taken off."""
        one = graded[0].submission
        problem_set = self.sets[one.assignment]
        attempts = [
            late.Attempt(
                attempt.submission.attempt,
                sum(cell["score"] for cell in attempt.record["cells"].values()),
                attempt.submission.submitted,
                attempt.submission.clock,
                attempt.submission.late,
            )
            for attempt in graded
            if attempt.record is not None
        ]
        return late.settle(problem_set.rule, one.student, attempts, problem_set.possible, one.attempts)

    def _finished_record(self, attempt: _Attempt, graded: Sequence[_Attempt]) -> Record:
        """The record as it is published: with the time, and what is taken off for that."""
        assert attempt.record is not None
        submission = attempt.submission
        when = submission.submitted.isoformat(timespec="seconds") if submission.submitted else ""
        record = {**attempt.record, "attempt": submission.attempt, "submitted": when, "late": {}, "adjusted": 0.0}
        record["lms"] = {"system": submission.system, "id": submission.lms_id, "name": submission.name}
        record["notes"] = list(submission.notes)
        if record["status"] == "graded":
            outcome = self._outcome(graded)
            record |= {"late": outcome.record(), "adjusted": outcome.adjusted}
            record.pop("earlier", None)
        else:
            before = Place.counting(self.course, submission.student, submission.assignment).read()
            earlier = effective(before)
            if earlier is not None:
                record["earlier"] = earlier
        return record

    def _publish(self, attempt: _Attempt, record: Record, notebook: bytes | None) -> None:
        """Make a result the one that counts. Raises Unwritable."""
        submission = attempt.submission
        place = Place.counting(self.course, submission.student, submission.assignment)
        handed_in = self.course.submitted(submission.student, submission.assignment)
        if record["status"] == "graded":
            before = place.read()
            if before is None or before["fingerprint"]["submission"] != attempt.digest or not handed_in.is_file():
                put(handed_in, submission.path.read_bytes())
            if record["submitted"]:
                moment = datetime.fromisoformat(record["submitted"])
                put(handed_in.with_name("timestamp.txt"), f"{moment:%Y-%m-%d %H:%M:%S %z}\n".encode())
        place.write(record, notebook)

    def _tell_marks(self) -> None:
        """Put the marks into the report: the gradebook's, with what people gave, or those of the records."""
        from course_lib.grading.gradebook import CellScore, scores

        cells: dict[tuple[str, str], list[CellScore]] = {}
        if not self.report.unwritten:
            with contextlib.suppress(Exception):  # another program may have locked it just now
                for score in scores(self.course.root, list(self.sets)):
                    cells.setdefault((score.assignment, score.student), []).append(score)
        for key, record in self.report.records.items():
            found = cells.get(key) or [
                CellScore(key[1], key[0], name, cell["score"], cell["points"], cell["manual"])
                for name, cell in record["cells"].items()
            ]
            self.report.marks[key] = by_task(self.report.tasks[key[0]], found)


def _extension(rule: late.Rule, student: str) -> timedelta | None:
    """How much more time a student has than the others; None if no more."""
    theirs = rule.due_for(student)
    return theirs - rule.due if theirs is not None and rule.due is not None and theirs != rule.due else None


def _person(submission: Submission | None) -> dict[str, str]:
    """What is known of a student, as columns of the gradebook."""
    if submission is None:
        return {}
    if submission.person is not None:
        person = submission.person
        return {
            "first_name": person.first_name,
            "last_name": person.last_name,
            "email": person.email,
            "lms_user_id": person.lms_id,
        }
    return {"lms_user_id": submission.lms_id} if submission.system == "canvas" else {}
