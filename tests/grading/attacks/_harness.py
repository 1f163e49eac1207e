"""Grades hostile submissions one after another, each followed by an honest neighbour, and judges what happened.

A hostile submission is a file of this folder: a docstring that says what it tries, lines `key: value`, and cells.

    '''One sentence or two on what it tries.

    class: forgery            (for the table)
    earns: none               (its tests' points, of the cells that it replaces: none, or all where it also answers)
    touches: double           (tasks whose answers `make` changes)
    spares: all               (other tasks keep their points: all, or none where the attack may cost them too)
    limits: question=2 ...    (other limits than LIMITS)
    '''
    # %% double               (the text of this solution cell)
    # %% own scale            (a cell of the student's own, before that of task scale)
    # %% make                 (def make(notebook: dict) -> bytes: the file itself; runs here)

HOST_CANARY, HOST_FOLDER, HOST_WORKER and HOST_MARK in the text stand for a file on this machine with a secret in it,
for its folder, for the process that grades, and for a name by which what is left behind is found. A line that begins
with "#> " goes without that: it is no Python.
"""

from __future__ import annotations

import ast
import contextlib
import glob
import io
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
from attacks import _course

from course_lib.grading.checker import grade_one
from course_lib.grading.pool import Pool
from course_lib.grading.sandbox.box import Sandbox
from course_lib.grading.sandbox.zygote import family_of
from course_lib.grading.workers import checkers

HERE = Path(__file__).resolve().parent
LIMITS = {
    "question": 5.0,
    "submission": 20.0,
    "memory": 700 * 2**20,
    "disk": 32 * 2**20,
    "processes": 20,
    "output": 20_000,
}
NEIGHBOURS = ("double-test", "scale-test")  # the questions of a neighbour that are graded
NEIGHBOUR = 10.0  # seconds that an honest one may take right after, on a machine that does other things too
EXTRA = 25.0  # seconds beyond its limit that a submission may take: the checker's own grace, and the end of a process


@dataclass(frozen=True)
class Attack:
    """One hostile submission."""

    name: str
    tries: str
    options: dict[str, str]
    cells: list[tuple[str, str]]

    @property
    def kind(self) -> str:
        return self.options.get("class", "")

    @property
    def replaced(self) -> set[str]:
        return {title for title, _ in self.cells if title in _course.TASKS} | set(
            self.options.get("touches", "").split()
        )

    @property
    def limits(self) -> dict[str, float]:
        more = dict(part.split("=") for part in self.options.get("limits", "").split())
        return {**LIMITS, **{name: float(value) for name, value in more.items()}}

    def submission(self, stage: Stage) -> bytes:
        """The file that is handed in."""
        notebook = _course.honest()
        for title, text in self.cells:
            text = stage.fill(text)
            if title == "make":
                names: dict[str, Any] = {"nbformat": nbformat, "json": json}
                exec(compile(text, f"{self.name}.py", "exec"), names)
                return names["make"](notebook)
            task = title.removeprefix("own ")
            at = next(
                k
                for k, cell in enumerate(notebook["cells"])
                if cell["metadata"].get("nbgrader", {}).get("grade_id") == task
            )
            if title == task:
                notebook["cells"][at]["source"] = text
            else:
                own = {"cell_type": "code", "id": f"own-{len(notebook['cells'])}", "metadata": {}, "source": text}
                notebook["cells"].insert(at, {**own, "outputs": [], "execution_count": None})
        return json.dumps(notebook).encode()


def attacks() -> list[Attack]:
    """All hostile submissions of this folder."""
    found = []
    for path in sorted(HERE.glob("[a-z]*.py")):
        text = path.read_text(encoding="utf-8")
        first = ast.parse(text).body[0]
        said = ast.get_docstring(ast.parse(text))
        assert said and isinstance(first, ast.Expr), f"{path.name} says nothing"
        options = dict(re.findall(r"^(class|earns|spares|touches|limits|status): *(.*)$", said, re.MULTILINE))
        tries = " ".join(
            re.split(r"^(?:class|earns|spares|touches|limits|status):", said, flags=re.MULTILINE)[0].split()
        )
        body = "\n".join(text.split("\n")[first.end_lineno :])
        parts = re.split(r"^# %% (.*)\n", body, flags=re.MULTILINE)
        cells = [(title.strip(), code.strip("\n")) for title, code in zip(parts[1::2], parts[2::2], strict=True)]
        assert cells, f"{path.name} has no cells"
        found.append(Attack(path.stem, tries, options, cells))
    return found


@dataclass
class Stage:
    """Where attacks are tried: a worker, its sandbox, and what on this machine is to be neither read nor changed."""

    pool: Pool
    folder: Path
    sandbox: str = "bubblewrap"
    mark: str = field(default_factory=lambda: f"hostile{os.getpid()}")
    secret: str = "canary-4711-secret"
    worker: int = 0  # its process
    first: int = 0  # the process from which all others come
    at_rest: set[int] = field(default_factory=set)

    @property
    def canary(self) -> Path:
        return self.folder / "canary.txt"

    def fill(self, text: str) -> str:
        for name, value in (
            ("CANARY", self.canary),
            ("FOLDER", self.folder),
            ("WORKER", self.worker),
            ("MARK", self.mark),
        ):
            text = text.replace(f"HOST_{name}", str(value))
        return re.sub(r"^#> ", "", text, flags=re.MULTILINE)

    def job(self, data: bytes, limits: dict[str, float] | None = None) -> dict[str, Any]:
        return {
            "student": "mallory",
            "assignment": _course.NAME,
            "data": data,
            "source": nbformat.writes(_course.source()).encode(),
            "release": nbformat.writes(_course.release()).encode(),
            "seed": _course.SEED,
            "sandbox": self.sandbox,
            "only": None,
            "limits": limits or LIMITS,
        }

    def grade(self, job: dict[str, Any], grader: Callable[..., Any] = grade_one) -> tuple[dict[str, Any], float]:
        began = time.monotonic()
        result = self.pool.ask(grader, job)
        return result, time.monotonic() - began

    def processes(self) -> set[int]:
        """The worker, the sandbox, and what belongs to them. psutil compares clocks, and one that is set loses some."""
        return family_of(self.first, "/proc")

    def settled(self, rest: set[int]) -> set[int]:
        """The processes, once none but those of `rest` are left: the end of a namespace takes the kernel a moment."""
        until = time.monotonic() + 3.0
        while (found := self.processes()) - rest and time.monotonic() < until:
            time.sleep(0.1)
        return found


@contextlib.contextmanager
def stage(sandbox: str = "bubblewrap", *, inside: bool = True) -> Iterator[Stage]:
    """A worker that has graded an honest submission, so that everything is loaded.

    Args:
        inside: in the sandbox, as those of `course grade` are; else it may be given functions of the tests to call.
    """
    with tempfile.TemporaryDirectory(prefix="attacked-") as folder, contextlib.ExitStack() as stack:
        if inside and sandbox == "bubblewrap":
            box = stack.enter_context(Sandbox(wait=False))
            made = Stage(stack.enter_context(checkers(1, Path(folder) / "log", 300, box)), Path(folder), sandbox)
            made.pool.ask(os.getpid)
            ((_, worker),) = made.pool._idle
            told = Path(f"/proc/self/fdinfo/{worker._descriptor}").read_text()
            made.worker, made.first = int(re.search(r"^Pid:\s+(\d+)", told, re.MULTILINE)[1]), box._started.pid
        else:
            made = Stage(stack.enter_context(Pool(1, Path(folder) / "log", 300)), Path(folder), sandbox)
            made.worker = made.first = made.pool.ask(os.getpid)
        made.canary.write_text(made.secret)
        before = made.processes()
        result, _ = made.grade(made.job(json.dumps(_course.honest()).encode(), {**LIMITS, "question": 60.0}))
        lost = {name: (mark["failed"], mark["detail"]) for name, mark in result["cells"].items() if mark["failed"]}
        assert points(result) == full(), f"the honest submission is not right: {lost} {result}"
        made.at_rest = made.settled(before)
        yield made
    for path in left_behind(made.mark):
        Path(path).unlink(missing_ok=True)
    for process in named(made.mark):
        process.kill()


def full() -> dict[str, float]:
    return {_course.test_of(task): float(points) for task, (_, points, _, _) in _course.TASKS.items()}


def points(result: dict[str, Any]) -> dict[str, float]:
    return {name: mark["score"] for name, mark in result["cells"].items()}


# ----------------------------------------------------------------------------------------------- judgement


def gains(attack: Attack, result: dict[str, Any]) -> list[str]:
    """Points that the attack has and should not have."""
    if attack.options.get("earns", "none") == "all":
        return []
    allowed = {name: 0.0 for name in map(_course.test_of, attack.replaced)}
    got = points(result)
    found = [f"{name}: {got[name]:g} points" for name in allowed if got.get(name, 0) > 0]
    return found + [
        f"{name}: {got[name]:g} points" for name, most in full().items() if not 0 <= got.get(name, 0) <= most
    ]


def unfair(attack: Attack, result: dict[str, Any]) -> list[str]:
    """Points that the student should have and has not: tasks that the attack does not touch."""
    if attack.options.get("status") == "refused":
        return [] if result["status"] == "refused" and result["reason"] else ["it was not refused"]
    if result["status"] != "graded":
        return [f"not graded: {result['reason']}"]
    due = dict(full())
    if attack.options.get("earns", "none") == "none":
        due = {name: most for name, most in due.items() if name not in map(_course.test_of, attack.replaced)}
    if attack.options.get("spares", "all") == "none":
        due = {}
    got = points(result)
    return [f"{name}: {got.get(name)} of {most}" for name, most in due.items() if got.get(name) != most]


def seen_by_student(result: dict[str, Any]) -> str:
    """All of a result that feedback may show: messages, reasons, and outputs but for the errors of hidden tests."""
    shown = [result["reason"], *result["repairs"], *result["tampered"]]
    for mark in result["cells"].values():
        shown += [mark["failed"], mark["message"]]
    if result["notebook"]:
        for cell in json.loads(result["notebook"])["cells"]:
            grade = cell["metadata"].get("nbgrader", {})
            failed = result["cells"].get(grade.get("grade_id"), {}).get("failed", "")
            for output in cell.get("outputs", ()):
                if output["output_type"] != "error" or not grade.get("grade") or failed == "visible check":
                    shown.append(json.dumps(output, ensure_ascii=False))
    return "\n".join(shown)


def leaks(stage: Stage, result: dict[str, Any]) -> list[str]:
    """What of the hidden tests, or of this machine, a student could read in the feedback."""
    shown = seen_by_student(result)
    escaped = [json.dumps(secret, ensure_ascii=False)[1:-1] for secret in _course.secrets()]
    found = [secret for secret in {*_course.secrets(), *escaped} if secret in shown]
    return found + ([stage.secret] if stage.secret in shown else [])


def left_behind(mark: str) -> list[str]:
    """Files on this machine that an attack has written."""
    places = (tempfile.gettempdir(), "/dev/shm", "/var/tmp", str(Path.home()), str(Path.cwd()), "/dev", "/")
    return [path for place in dict.fromkeys(places) for path in glob.glob(f"{place}/*{mark}*")]


def named(mark: str) -> list[psutil.Process]:
    """Processes on this machine that an attack has started."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        words = [process.info["name"] or "", *(process.info["cmdline"] or ())]
        if any(mark[:15] in word for word in words) and process.pid != psutil.Process().pid:
            found.append(process)
    return found


def harm(stage: Stage) -> list[str]:
    """What is not as it was on this machine."""
    found = []
    if not stage.canary.exists() or stage.canary.read_text() != stage.secret:
        found.append("the canary was changed")
    if {path.name for path in stage.folder.iterdir()} != {"canary.txt", "log"}:
        found.append("files were written beside the canary")
    found += [f"left behind: {path}" for path in left_behind(stage.mark)]
    now = stage.settled(stage.at_rest)
    if more := now - stage.at_rest:
        found.append(f"{len(more)} processes survive")
    if not stage.at_rest <= now:
        found.append("the worker or its sandbox was killed")
        stage.at_rest = now
    found += [f"survives: {process}" for process in named(stage.mark)]
    return found


def ill_formed(result: dict[str, Any]) -> list[str]:
    """What is wrong with the form of a result."""
    found = []
    try:
        json.dumps({key: value for key, value in result.items() if key != "notebook"}, allow_nan=False)
    except (TypeError, ValueError) as error:
        found.append(f"the record is no JSON: {error}")
    if result["status"] == "graded":
        try:
            notebook = json.loads(result["notebook"].decode("utf-8"))
            nbformat.validate(notebook)
            json.dumps(notebook, allow_nan=False)
        except Exception as error:
            found.append(f"the notebook is none: {type(error).__name__}: {str(error)[:200]}")
        if len(result["notebook"]) > 20_000_000:
            found.append(f"the notebook has {len(result['notebook']) / 1e6:.0f} MB")
    return found


@dataclass
class Row:
    """What came of an attack."""

    attack: Attack
    result: dict[str, Any]
    seconds: float
    neighbour: float
    problems: list[str]

    @property
    def outcome(self) -> str:
        """For the table."""
        if self.result["status"] != "graded":
            return f"refused: {self.result['reason']}"
        marks, mine = self.result["cells"], sorted(map(_course.test_of, self.attack.replaced))
        total = sum(mark["score"] for mark in marks.values())
        whole = f"{total:g} of {sum(full().values()):g}"
        if not mine:
            return whole
        got, most = (sum(marks[name][key] for name in mine) for key in ("score", "points"))
        why = ", ".join(sorted({marks[name]["failed"] for name in mine} - {""})) or "answered"
        return f"{got:g} of {most:g} ({why}); in all {whole}"


def attempt(attack: Attack, stage: Stage, grader: Callable[..., Any] = grade_one) -> Row:
    """Grade an attack and then an honest neighbour, and look at everything."""
    assert stage.sandbox != "none" or attack.options.get("safe"), "this one would do harm"
    result, seconds = stage.grade(stage.job(attack.submission(stage), attack.limits), grader)
    problems = [f"gains: {what}" for what in gains(attack, result)]
    problems += [f"unfair: {what}" for what in unfair(attack, result)]
    problems += [f"leaks: {what}" for what in leaks(stage, result)]
    problems += [f"form: {what}" for what in ill_formed(result)]
    if seconds > attack.limits["submission"] + EXTRA:
        problems.append(f"late: {seconds:.0f} seconds")
    problems += [f"harm: {what}" for what in harm(stage)]
    asked = {name: most for name, most in full().items() if name in NEIGHBOURS}
    job = {**stage.job(json.dumps(_course.honest()).encode()), "only": list(asked)}
    neighbour, took = stage.grade(job)
    if {name: points(neighbour)[name] for name in asked} != asked:
        problems.append(f"harm: the neighbour has {points(neighbour)}")
    if took > NEIGHBOUR:
        problems.append(f"harm: the neighbour took {took:.0f} seconds")
    return Row(attack, result, seconds, took, problems)


def in_one_process(submission: bytes) -> dict[str, float]:
    """The points that a grader would give that runs tests and submission in one process, as a kernel does."""
    read, written = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(written, json.dumps(_run_in_one_process(submission)).encode())
        finally:
            os._exit(0)
    os.close(written)
    with os.fdopen(read, "rb") as answer:
        found = json.loads(answer.read() or b"{}")
    os.waitpid(child, 0)
    return found


def _run_in_one_process(submission: bytes) -> dict[str, float]:
    from course_lib.checks import core

    core.draw_afresh(_course.SEED)
    tests = {
        cell.metadata["nbgrader"]["grade_id"]: cell.source
        for cell in _course.source().cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }
    names: dict[str, Any] = {"__name__": "__main__"}
    got = {}
    for cell in json.loads(submission)["cells"]:
        if cell["cell_type"] != "code":
            continue
        name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(tests.get(name, cell["source"]), names)
            passed = True
        except Exception:
            passed = False
        if name in tests:
            got[name] = full()[name] * passed
    return got


def grade_in_one_pass(job: dict[str, Any]) -> dict[str, Any]:
    """A weaker grader: what is printed while hidden tests run is kept, as a kernel would keep it."""
    from unittest import mock

    from course_lib.grading import checker

    run = checker.Checker._run

    def kept(self: Any, *args: Any, **options: Any) -> Any:
        return run(self, *args, **{**options, "keep": True})

    with mock.patch.object(checker.Checker, "_run", kept):
        return grade_one(job)


def table(rows: list[Row]) -> str:
    """The attacks as a Markdown table."""
    lines = ["| attack | class | tries | what came of it | s |", "|---|---|---|---|---|"]
    for row in rows:
        tries = row.attack.tries.replace("|", "\\|")
        lines.append(f"| {row.attack.name} | {row.attack.kind} | {tries} | {row.outcome} | {row.seconds:.1f} |")
    return "\n".join(lines)
