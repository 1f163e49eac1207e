"""Grade one submission: its code in a sandbox, the tests outside it. Plain data in, plain data out.

`grade_one` runs in a worker and never raises. It forks a *checker* for the submission, a process that has torch and
the course loaded and ends with it; that one rebuilds the notebook on the release and runs it twice. The first time all
of the student's cells and all visible checks run, and what the student's code prints is kept for the feedback. The
second time, in a new process of the student's, the hidden tests run, and nothing that is printed is kept: what the
student's code has seen of a hidden test ends with that process.

Where a student's process ends (it took too long, needed too much memory, ended itself), the question at which it did is
not passed; for the next one a new process runs the student's cells again, without a cell that was the end of the first.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import math
import os
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from course_lib.errors import CourseError
from course_lib.grading.pool import die_with_parent
from course_lib.grading.sandbox.zygote import PRELOAD as SANDBOXED
from course_lib.grading.sandbox.zygote import first_use
from course_lib.grading.script import Part, Step, read_course, write_script

PRELOAD = (  # what tests need of it; an optimizer steps in the student's process only
    *(name for name in SANDBOXED if name not in ("torch._dynamo", "course_lib.grading.bridge.shell")),
    "torch.testing",
    "course_lib.grading.bridge.trusted",
    "course_lib.grading.grade",
    "course_lib.handin.rebuild",
)
GRACE = 20.0  # seconds that a checker may take beyond its submission's limit
PROCESSES = 30  # of the student's, one after another, for one submission
SHOWN = 2000  # characters of a message
RESULT = 64 * 2**20  # bytes
LEAST_MEMORY = 2 * 2**30  # bytes that tests may take, beyond what is loaded
OUTPUT, OUTPUTS = 1_000_000, 10_000_000  # characters of one output, and of all outputs of a notebook
ENDED = {
    "time limit": "it took too long",
    "memory": "it needed too much memory",
    "processes": "it started too many processes",
    "crash": "it ended its process",
    "protocol": "it interfered with the tests",
    "stale": "it ended its process",
}
TOO_MUCH = "[The outputs of this notebook are too large; those of this cell were left out.]\n"
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

_loaded = False
_sandbox: Any = None  # of this worker, started when first needed


def preload() -> None:
    """Import what every checker needs, so that forks of this process need not."""
    global _loaded
    if _loaded:
        return
    _loaded = True
    for name in PRELOAD:
        importlib.import_module(name)
    first_use()
    gc.collect()
    gc.freeze()  # so that no collection in a fork looks at it again, which would copy its pages


def grade_one(job: dict[str, Any]) -> dict[str, Any]:
    """Grade one submission; see the README of this folder for what `job` and the result hold. Never raises."""
    began = time.monotonic()
    try:
        sandbox = _worker_sandbox(job["sandbox"])
        read_course(job["source"], job["release"])  # here, so that the next fork has it too
        result = _in_a_fork(job, sandbox)
    except CourseError as error:
        result = refused(job, str(error).rstrip("."), ours=True)
    except Exception as error:
        traceback.print_exc()
        result = refused(job, f"the grader failed ({type(error).__name__}: {error})", ours=True)
    result["seconds"]["total"] = round(time.monotonic() - began, 4)
    return result


def refused(job: dict[str, Any], reason: str, *, ours: bool = False) -> dict[str, Any]:
    """The result of a submission that cannot be graded. `ours`: not the student's fault, and trying again may help."""
    return {
        "student": job["student"],
        "assignment": job["assignment"],
        "status": "refused",
        "reason": reason,
        "ours": ours,
        "repairs": [],
        "tampered": [],
        "sandbox": job["sandbox"],
        "cells": {},
        "seconds": {"start": 0.0, "student": 0.0, "visible": 0.0, "hidden": 0.0, "total": 0.0},
        "notebook": b"",
    }


def use_sandbox(control: Any, kind: str, isolates: bool, alone: bool) -> None:
    """Let this worker use a sandbox that another process has started."""
    global _sandbox
    from course_lib.grading.sandbox.box import Sandbox

    preload()
    _sandbox = Sandbox.of(control, kind, isolates, alone)


def _worker_sandbox(kind: str) -> Any:
    """This worker's sandbox; a new one where the last has died."""
    global _sandbox
    from course_lib.grading.sandbox.box import Sandbox

    if _sandbox is not None and (_sandbox.kind != kind or not _sandbox.alive()):
        _sandbox.close()
        _sandbox = None
    if _sandbox is None:
        preload()
        _sandbox = Sandbox(kind)
    return _sandbox


def _in_a_fork(job: dict[str, Any], sandbox: Any) -> dict[str, Any]:
    read, written = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            die_with_parent()
            os.close(read)
            result = Checker(job, sandbox).grade()
            with os.fdopen(written, "wb") as stream:
                stream.write(msgpack.packb(result, use_bin_type=True))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(written)
    parts, size = [], 0
    deadline = time.monotonic() + job["limits"]["submission"] + GRACE
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or size > RESULT or not select.select([read], [], [], left)[0]:
                why = (
                    "its results are too large"
                    if size > RESULT
                    else f"it took more than {job['limits']['submission']:g} seconds"
                )
                return refused(job, why)
            part = os.read(read, 2**20)
            if not part:
                break
            parts.append(part)
            size += len(part)
    finally:
        os.close(read)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not parts:
        return refused(job, "the process that graded it ended", ours=True)
    return msgpack.unpackb(b"".join(parts), strict_map_key=False)


@dataclass
class Verdict:
    """What became of a test cell."""

    share: float = 1.0  # of the points
    failed: str = ""
    message: str = ""  # safe to show to the student
    detail: str = ""  # for the instructor


class _Alarm:
    """Ends what the trusted side itself is doing: a test that loops because of what it was given."""

    def __init__(self) -> None:
        signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, *_: Any) -> None:
        from course_lib.grading.bridge.trusted import Lost

        raise Lost("time limit", "it took too long")

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        # Again every second: what is raised in a destructor or a callback is only printed, and the test goes on.
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 1.0)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


class Checker:
    """The process that grades one submission."""

    def __init__(self, job: dict[str, Any], sandbox: Any) -> None:
        self.job, self.sandbox, self.limits = job, sandbox, job["limits"]
        self.ends_at = time.monotonic() + self.limits["submission"]
        self.seconds = {"start": 0.0, "student": 0.0, "visible": 0.0, "hidden": 0.0}
        self.session: Any = None
        self.process: Any = None
        self.at = 0  # steps whose student's side has run in this process
        self.bad: set[int] = set()  # steps that were the end of a process
        self.started = 0
        self.printed = bytearray()
        self.dropped = 0
        self.room = OUTPUTS
        self.names: dict[str, Any] = {}
        self.borrowed: dict[str, Any] = {}  # of `names`, what is the student's

    # ------------------------------------------------------------------------------------------ the whole

    def grade(self) -> dict[str, Any]:
        """The result, as `grade_one` returns it."""
        from course_lib.handin.rebuild import rebuild

        course = read_course(self.job["source"], self.job["release"])
        rebuilt = rebuild(self.job["data"], course.release)
        if rebuilt.refusal:
            return refused(self.job, rebuilt.refusal)
        self.steps, self.taken = write_script(rebuilt.pieces, course)
        self._prepare()
        only = self.job.get("only")
        tests = [step for step in self.steps if step.test and (only is None or step.name in only)]
        self.last = (
            max((step.index for step in tests), default=len(self.steps)) if only is not None else len(self.steps)
        )
        verdicts: dict[str, Verdict] = {}
        snapshots: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        self._first_pass(tests, verdicts, snapshots)
        self._end_process()
        self._second_pass(tests, verdicts, snapshots)
        self._end_process()
        return {
            "student": self.job["student"],
            "assignment": self.job["assignment"],
            "status": "graded",
            "reason": "",
            "ours": False,
            "repairs": list(rebuilt.repairs),
            "tampered": list(rebuilt.tampered),
            "sandbox": self.job["sandbox"],
            "cells": self._marks(verdicts),
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "notebook": json.dumps(self._notebook(course.source), ensure_ascii=False, indent=1).encode(
                "utf-8", "replace"
            ),
        }

    def _prepare(self) -> None:
        """This process runs tests from here on: their namespace, their time, their random numbers."""
        import builtins

        import matplotlib
        import torch

        from course_lib.checks import core
        from course_lib.grading.sandbox.box import ENVIRONMENT

        _bound_memory(self.limits["memory"])
        os.environ.update({k: v for k, v in ENVIRONMENT.items() if k not in ("PATH", "HOME", "MPLBACKEND")})
        os.environ["MPLBACKEND"] = "Agg"
        matplotlib.use("Agg", force=True)
        torch.set_num_threads(1)
        core.draw_afresh(self.job["seed"])

        def seed_both(number: int) -> Any:
            if self.session is not None and not self.session.ended:
                self.session.seed(number)  # as it would be in one process
            return torch.default_generator.manual_seed(int(number))

        torch.manual_seed = seed_both
        self.alarm = _Alarm()
        self.names = {"__name__": "__main__", "__builtins__": builtins, "display": lambda *_, **__: None}

    def _first_pass(self, tests: list[Step], verdicts: dict[str, Verdict], snapshots: dict[int, Any]) -> None:
        from course_lib.grading.bridge.trusted import Lost

        chosen = {step.index for step in tests}
        for step in self.steps[: self.last + 1]:
            if step.student is not None:
                with contextlib.suppress(Lost):  # the tests that follow will find that there is no time left
                    self._reach(step.index + 1, keep=True)
            if step.visible is None and step.hidden is None:
                continue
            if step.test and step.index not in chosen:
                continue
            verdict = self._run(step, step.visible, "visible", keep=True) if step.visible else Verdict()
            if step.test:
                verdicts[step.name] = verdict
                if not verdict.failed and step.hidden:
                    snapshots[step.index] = (dict(self.names), dict(self.borrowed))

    def _second_pass(self, tests: list[Step], verdicts: dict[str, Verdict], snapshots: dict[int, Any]) -> None:
        for step in tests:
            if step.index not in snapshots:
                continue
            names, self.borrowed = snapshots[step.index]
            self.names = dict(names)
            self._helpers(step)
            verdict = self._run(step, step.hidden, "hidden", keep=False)
            if verdict.failed == "stale":  # it uses what an earlier cell made of the student's objects: make it again
                self.names = {k: v for k, v in names.items() if k.startswith("__") or k == "display"}
                self.borrowed = {}
                for earlier in self.steps[: step.index]:
                    if earlier.visible is not None and not earlier.test:
                        self._run(earlier, earlier.visible, "hidden", keep=False)
                if step.visible is not None:
                    self._run(step, step.visible, "hidden", keep=False)
                self._helpers(step)
                verdict = self._run(step, step.hidden, "hidden", keep=False)
                verdict.failed = "crash" if verdict.failed == "stale" else verdict.failed
            if not verdict.failed and self.session is not None and self.session.changed_arguments:
                # Some function changed its arguments in place. Right answers pass also where that changes nothing.
                self.names = dict(names)
                self._helpers(step)
                again = self._run(step, step.hidden, "hidden", keep=False, write_back=False)
                if again.failed:
                    again.message = "A hidden test failed: your code changes what it is given, in place."
                    verdict = again
            visible = verdicts[step.name]
            verdicts[step.name] = verdict if verdict.failed or visible.share == 1.0 else visible

    def _helpers(self, step: Step) -> None:
        """What locked cells before this test have in regions that students do not see."""
        for earlier in self.steps[: step.index]:
            if earlier.hidden is not None and not earlier.test:
                self._run(earlier, earlier.hidden, "hidden", keep=False)

    # ------------------------------------------------------------------------------------ one part of a cell

    def _run(self, step: Step, part: Part, phase: str, *, keep: bool, write_back: bool = True) -> Verdict:
        """Run statements of a trusted cell; what came of it."""
        from course_lib.grading.bridge.trusted import Lost

        said = io.StringIO()
        try:
            self._reach(step.index, keep=keep)
            self._clock()
            if self.session is not None:
                self.session.fresh(write_back=write_back)
        except Lost as lost:
            return self._lost(step, lost, phase)
        began = time.monotonic()
        self._collect()
        share = 1.0
        try:
            with self.alarm.within(self._left()), contextlib.redirect_stdout(_Both(self, said)):
                self._borrow(part)
                for code, valued in part.code:
                    value = eval(code, self.names)
                    if valued and step.test and type(value) in (int, float) and step.points:
                        share = min(max(value / step.points, 0.0), 1.0) if math.isfinite(value) else 0.0
                        said.write(f"{value}\n")
            verdict = Verdict(share)
            if step.test and self.session is not None and self.session.undone:
                # A check says so, and does not fail; whoever has written nothing has not passed it either.
                verdict = Verdict(0.0, "not done", "This task is not done yet.", "NotImplementedError")
        except Lost as lost:
            verdict = self._lost(step, lost, phase)
        except Exception as error:
            verdict = self._failure(step, error, phase)
        except BaseException as error:  # SystemExit in a test
            verdict = Verdict(0.0, "crash", "The test ended without a result.", repr(error))
        self.seconds[phase] += time.monotonic() - began
        if keep:
            self._collect(said)
            text = said.getvalue()
            if text:
                step.outputs.append(_stream(text, self.limits["output"]))
            if verdict.failed:
                step.outputs.append(self._error_output(step, verdict))
            step.ran = True
        elif verdict.failed and verdict.failed != "stale":
            step.outputs.append(self._error_output(step, verdict))
        self._collect()
        return verdict

    def _borrow(self, part: Part) -> None:
        """Give the tests the student's objects that they name, as they are now."""
        from course_lib.grading.bridge.trusted import MISSING

        self._give_back()
        self.borrowed = {}
        for name in sorted(part.uses):
            if self.session is not None and name in self.taken:
                value = self.session.name(name)
                if value is not MISSING:
                    self.names[name] = self.borrowed[name] = value

    def _give_back(self) -> None:
        """Forget the student's objects, but not what a test has made under a name of theirs."""
        for name, value in self.borrowed.items():
            if self.names.get(name) is value:
                del self.names[name]
        self.borrowed = {}

    def _failure(self, step: Step, error: Exception, phase: str) -> Verdict:
        """The verdict of an exception in a test."""
        from course_lib.checks.core import CheckFailed
        from course_lib.grading.bridge.trusted import StudentError

        kind, text = type(error).__name__, _text(error)
        line = _line(error, step.file)
        detail = f"line {line}: {kind}: {text}" if line else f"{kind}: {text}"
        if isinstance(error, NotImplementedError):
            return Verdict(0.0, "not done", "This task is not done yet.", detail)
        if phase == "hidden":  # the name of a class of the student's could tell what it was called with
            what = (
                f"your code raised {error.known}" if isinstance(error, StudentError) else "what it returns is not right"
            )
            return Verdict(0.0, "hidden test", f"A hidden test failed: {what}.", detail)
        message = text if isinstance(error, CheckFailed) else f"{kind}: {text}"
        verdict = Verdict(0.0, "visible check", message[:SHOWN], detail)
        trace = getattr(error, "trace", "") or getattr(error.__cause__, "trace", "")
        if trace:
            verdict.message += f"\n{trace}"[:SHOWN]
        return verdict

    def _lost(self, step: Step, lost: Any, phase: str) -> Verdict:
        """The verdict where the student's process is gone, or is made to go."""
        why = lost.why
        if why == "stale" and self.session is not None and not self.session.ended:
            return Verdict(0.0, "stale", "", str(lost))
        if why == "stale":
            why = "crash"
        said = self._end_process()
        if not self.sandbox.alive():  # not the student's fault; the submission is graded again
            raise RuntimeError("the sandbox has ended")
        if why == "crash" and said in ("memory", "processes"):
            why = said
        if time.monotonic() >= self.ends_at:
            why, reason = "time limit", f"the whole submission took more than {self.limits['submission']:g} seconds"
        elif why == "time limit":
            reason = f"it took more than {self.limits['question']:g} seconds"
        else:
            reason = ENDED.get(why, "it ended its process")
        where = "A hidden test" if phase == "hidden" else "The check"
        return Verdict(0.0, why, f"{where} was stopped: {reason}.", str(lost))

    # ------------------------------------------------------------------------------- the student's process

    def _reach(self, place: int, *, keep: bool) -> None:
        """See to it that the student's cells before `place` have run, in a new process if there is none."""
        from course_lib.grading.bridge.trusted import Lost

        while self.session is None or self.at < place:
            if time.monotonic() >= self.ends_at:
                raise Lost("time limit", "the submission's time is over")
            if self.session is None:
                self._start_process()
            step = self.steps[self.at]
            if step.student is None or step.index in self.bad:
                self.at += 1
                if self.at >= place:
                    break
                continue
            first = keep and not step.ran
            self._clock()
            began = time.monotonic()
            self._collect()
            try:
                with self.alarm.within(self._left()):
                    answer = self.session.run(step.student)
            except Lost as lost:
                self.bad.add(step.index)
                verdict = self._lost(step, lost, "visible")
                if first:
                    self._keep_printed(step)
                    step.ran = True
                    text = verdict.message.replace("The check", "This cell")
                    step.outputs.append(_error(verdict.failed, text, [text]))
                if place > step.index + 1:
                    continue
                return
            finally:
                self.seconds["student"] += time.monotonic() - began
            if first:
                self._keep_printed(step)
                if step.visible is None:  # the outputs of the setup are those of the trusted side
                    kept = _outputs(answer["outputs"])
                    self.room -= sum(map(_size, kept))
                    step.outputs += kept if self.room > 0 else [_stream(TOO_MUCH, self.limits["output"])]
                step.ran = True
            self._collect()
            self.at += 1

    def _start_process(self) -> None:
        from course_lib.grading.bridge.trusted import Lost, Session
        from course_lib.grading.bridge.wire import Line

        self.started += 1
        if self.started > PROCESSES:
            raise Lost("crash", "it ended its process again and again")
        began = time.monotonic()
        names = ("memory", "disk", "processes")
        self.process = self.sandbox.start({name: self.limits[name] for name in names})
        self.session = Session(Line(self.process.bridge, self.process.output, self._spilled))
        self.at = 0
        self.seconds["start"] += time.monotonic() - began

    def _end_process(self) -> str:
        process, self.process, self.session = self.process, None, None
        self._give_back()
        if process is None:
            return "ended"
        with contextlib.suppress(OSError, BlockingIOError):
            while part := os.read(process.output, 2**16):
                self._spilled(part)
                if self.dropped:
                    break
        return process.end()

    def _clock(self) -> None:
        if self.session is not None:
            self.session.line.deadline = time.monotonic() + self._left()

    def _left(self) -> float:
        return max(0.0, min(self.limits["question"], self.ends_at - time.monotonic()))

    # ------------------------------------------------------------------------------------ what was printed

    def _spilled(self, data: bytes) -> None:
        room = int(self.limits["output"]) - len(self.printed)
        self.printed += data[:room] if room > 0 else b""
        self.dropped += max(0, len(data) - max(room, 0))

    def _collect(self, into: io.StringIO | None = None) -> None:
        """Take what the student's process has printed so far, into `into` or nowhere."""
        if self.session is not None:
            self.session.line.drain()
        if into is not None:
            into.write(self.printed.decode("utf-8", "replace"))
            if self.dropped:
                into.write(f"\n[{self.dropped:,} more bytes were printed.]\n")
        self.printed.clear()
        self.dropped = 0

    def _keep_printed(self, step: Step) -> None:
        said = io.StringIO()
        self._collect(said)
        if said.getvalue() and step.visible is None:
            step.outputs.append(_stream(said.getvalue(), self.limits["output"]))

    # --------------------------------------------------------------------------------------- what comes out

    def _marks(self, verdicts: dict[str, Verdict]) -> dict[str, Any]:
        marks = {}
        for step in self.steps:
            if step.written:
                failed, message = ("not done", "This task is not done yet.") if step.unanswered else ("", "")
                marks[step.name] = _mark(0.0, step.points, not step.unanswered, failed, message, "")
            elif step.test and step.name in verdicts:
                v = verdicts[step.name]
                marks[step.name] = _mark(
                    v.share * step.points if not v.failed else 0.0, step.points, False, v.failed, v.message, v.detail
                )
        return marks

    def _error_output(self, step: Step, verdict: Verdict) -> dict[str, Any]:
        """What nbgrader takes for a failed test, with the line of the cell as IPython heads it."""
        match = re.match(r"line (\d+): (.*)", verdict.detail, re.DOTALL)
        line, said = (int(match.group(1)), match.group(2)) if match else (0, verdict.detail)
        name = said.partition(":")[0] if re.match(r"\w+:", said) else "AssertionError"
        name = {"not done": "NotImplementedError"}.get(verdict.failed, name)
        trace = [f"Cell In[{step.index + 1}], line {line}\n"] if line else []
        lines = step.source.split("\n")
        if 0 < line <= len(lines):
            trace.append(f"----> {line} {lines[line - 1]}\n")
        value = verdict.message if verdict.failed != "hidden test" else said.partition(": ")[2]
        return _error(name, value, [*trace, f"{name}: {value}"])

    def _notebook(self, source: dict[str, Any]) -> dict[str, Any]:
        """The graded notebook, as nbgrader's autograder leaves it."""
        cells, used, count = [], {cell.get("id") for cell in source["cells"]}, 0
        for step in self.steps:
            cell = {"cell_type": step.cell["cell_type"], "metadata": step.cell.get("metadata", {})}
            name = step.cell.get("id")
            if not name:
                name = next(n for k in range(10**6) if (n := f"own-{step.index}-{k}") not in used)
                used.add(name)
            cell |= {"id": name, "source": step.source}
            if cell["cell_type"] == "code":
                count += step.ran or bool(step.outputs)
                for output in step.outputs:
                    if output["output_type"] == "execute_result":
                        output["execution_count"] = count
                cell |= {"execution_count": count if step.ran or step.outputs else None, "outputs": step.outputs}
            elif "attachments" in step.cell:
                cell["attachments"] = step.cell["attachments"]
            cells.append(cell)
        metadata = {k: source["metadata"][k] for k in ("kernelspec", "language_info") if k in source["metadata"]}
        return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _bound_memory(limit: float) -> None:
    """What a test makes of a student's answer may not take all memory: an array of n numbers against one of m, say."""
    if not Path("/proc/self/statm").exists():  # another system than Linux, and then without a sandbox
        return
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    bound = in_use + max(int(limit), LEAST_MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (bound if hard == resource.RLIM_INFINITY else min(bound, hard), hard))


class _Both(io.TextIOBase):
    """What a test prints, in its place between what the student's code prints."""

    def __init__(self, checker: Checker, said: io.StringIO) -> None:
        self.checker, self.said = checker, said

    def write(self, text: str) -> int:
        self.checker._collect(self.said)
        return self.said.write(text)

    def flush(self) -> None:
        """Nothing is held back."""


def _mark(score: float, points: float, manual: bool, failed: str, message: str, detail: str) -> dict[str, Any]:
    return {
        "score": round(score, 6),
        "points": points,
        "manual": manual,
        "failed": failed,
        "message": ANSI.sub("", message)[:SHOWN],
        "detail": ANSI.sub("", detail)[:SHOWN],
    }


def _text(error: BaseException) -> str:
    try:
        return str(error)[: 4 * SHOWN]
    except Exception:
        return ""


def _line(error: BaseException, filename: str) -> int:
    """The line of the test cell at which `error` left it; 0 where it was never inside."""
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            return trace.tb_lineno
        trace = trace.tb_next
    return line


def _stream(text: str, limit: float) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text[: int(limit) + 200]}


def _line_of(value: Any) -> str:
    return value[:10_000] if type(value) is str else ""


def _size(output: dict[str, Any]) -> int:
    """The characters of an output, about."""
    texts = (output.get("evalue", ""), *output.get("traceback", ()), *output.get("data", {}).values())
    return sum(map(len, texts))


def _error(name: str, value: str, trace: list[str]) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": trace}


def _outputs(outputs: Any) -> list[dict[str, Any]]:
    """The outputs that a student's process says a cell had, if they are such."""
    found: list[dict[str, Any]] = []
    for output in outputs[:200] if type(outputs) is list else []:
        if type(output) is not dict:
            continue
        kind = output.get("output_type")
        if kind == "error":
            lines = output.get("traceback")
            lines = [_line_of(line) for line in lines[:200]] if type(lines) is list else []
            found.append(_error(_line_of(output.get("ename"))[:200], _line_of(output.get("evalue")), lines))
        elif kind in ("display_data", "execute_result"):
            data = output.get("data")
            if type(data) is dict and all(type(k) is str and type(v) is str for k, v in data.items()):
                data = {k: v for k, v in data.items() if len(k) <= 200 and len(v) <= OUTPUT}
                made = {"output_type": kind, "data": data, "metadata": {}}
                found.append({**made, "execution_count": None} if kind == "execute_result" else made)
    return found
