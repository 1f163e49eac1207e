"""A checker for tests of what is around the checker: the tiny problem set's cells, executed in the worker itself.

`python standin.py '{"root": …, "folder": …, "log": …}'` is `course grade` with it, and `python standin.py` a process
that starts many such, which tests can kill.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import itertools
import json
import os
import signal
import sqlite3
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from course_lib.grading.course import nbgrader_of, source_of


def grade_one(job: dict[str, Any], log: str = "", seconds: float = 0.0) -> dict[str, Any]:
    """As checker.grade_one. Each call leaves a line in `log` and takes `seconds`.

    A solution cell may hold "# standin: ours" or "# standin: repaired".
    """
    result = {
        "student": job["student"],
        "assignment": job["assignment"],
        "status": "graded",
        "reason": "",
        "ours": False,
        "repairs": [],
        "tampered": [],
        "sandbox": job["sandbox"],
        "cells": {},
        "seconds": {"total": 0.0},
        "notebook": b"",
    }
    only = job["only"]
    if log:
        line = json.dumps([job["student"], job["assignment"], only, job["seed"], os.getpid()])
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)
    time.sleep(seconds)
    try:
        submission = json.loads(job["data"])
    except ValueError:
        return result | {"status": "refused", "reason": "it is not JSON, so it is no notebook"}
    if "# standin: ours" in json.dumps(submission):
        return result | {"status": "refused", "reason": "the sandbox broke", "ours": True}
    if "# standin: repaired" in json.dumps(submission):
        result["repairs"] = ["a cell was put back"]
    theirs = {nbgrader_of(cell).get("grade_id"): source_of(cell) for cell in submission["cells"]}
    release = json.loads(job["release"])
    stubs = {nbgrader_of(cell).get("grade_id"): source_of(cell) for cell in release["cells"]}
    notebook = copy.deepcopy(json.loads(job["source"]))
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        grade = nbgrader_of(cell)
        name = grade.get("grade_id")
        if grade.get("solution"):
            cell["source"] = theirs.get(name, stubs[name])
        if grade.get("grade") and grade.get("solution"):
            answered = cell["source"] != stubs[name]
            result["cells"][name] = _mark(0.0, grade["points"], answered, "" if answered else "not done")
        if cell["cell_type"] != "code":
            continue
        cell["outputs"] = []
        test = grade.get("grade") and not grade.get("solution")
        if test and only is not None and name not in only:
            continue
        said, failed = io.StringIO(), ""
        try:
            with contextlib.redirect_stdout(said):
                exec(compile(source_of(cell), name or "cell", "exec"), names)
        except Exception as error:
            failed = type(error).__name__
        print(f"seed {job['seed'][:8]} {failed}" if test else "", file=said)
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": said.getvalue()}]
        if test:
            result["cells"][name] = _mark(0.0 if failed else float(grade["points"]), grade["points"], False, failed)
    return result | {"notebook": json.dumps(notebook).encode()}


def _mark(score: float, points: float, manual: bool, failed: str) -> dict[str, Any]:
    return {"score": score, "points": float(points), "manual": manual, "failed": failed, "message": failed}


def gradings(log: Path) -> list[tuple[str, tuple[str, ...] | None]]:
    """Which submissions were graded, and which of their cells, from a log."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [(student, tuple(only) if only is not None else None) for student, _, only, *_ in lines]


QUERIES = {
    "students": "select id, first_name, last_name, email, lms_user_id from student",
    "assignments": "select name, duedate from assignment",
    "cells": """select a.name, b.type, b.name, g.max_score, g.cell_type, t.max_score from base_cell b
        join notebook n on b.notebook_id = n.id join assignment a on n.assignment_id = a.id
        left join grade_cells g on g.id = b.id left join task_cells t on t.id = b.id""",
    "sources": """select a.name, s.name, s.cell_type, s.locked, s.source, s.checksum from source_cell s
        join notebook n on s.notebook_id = n.id join assignment a on n.assignment_id = a.id""",
    "submissions": """select a.name, s.student_id, s.timestamp, s.extension, n.late_submission_penalty, n.flagged
        from submitted_assignment s join assignment a on s.assignment_id = a.id
        left join submitted_notebook n on n.assignment_id = s.id""",
    "grades": """select a.name, s.student_id, b.type, b.name, g.auto_score, g.manual_score, g.extra_credit,
        g.needs_manual_grade from grade g join base_cell b on g.cell_id = b.id
        join submitted_notebook n on g.notebook_id = n.id join submitted_assignment s on n.assignment_id = s.id
        join assignment a on s.assignment_id = a.id""",
    "comments": """select a.name, s.student_id, b.type, b.name, c.auto_comment, c.manual_comment
        from comment c join base_cell b on c.cell_id = b.id
        join submitted_notebook n on c.notebook_id = n.id join submitted_assignment s on n.assignment_id = s.id
        join assignment a on s.assignment_id = a.id""",
}


def dump(path: Path, own: bool = True) -> dict[str, list[str]]:
    """What a gradebook means, without the ids that are drawn anew for each: its rows, sorted.

    Args:
        own: also what course_lib notes there for itself.
    """
    queries = QUERIES | ({"noted": "select assignment, student, cells from course_lib_graded"} if own else {})
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {name: sorted(repr(row) for row in connection.execute(query)) for name, query in queries.items()}


def outcome(course: Any) -> dict[str, Any]:
    """Everything that a run leaves, without what depends on when it ran: gradebook, records, notebooks, files."""
    records = {}
    for path in sorted((course.grading / "results").glob("*/*.json")):
        record = json.loads(path.read_text())
        records[f"{path.parent.name}/{path.stem}"] = {key: record[key] for key in record.keys() - {"seconds"}}
    files = {
        str(path.relative_to(course.grading)): path.read_bytes()
        for folder in ("autograded", "submitted")
        for path in sorted((course.grading / folder).rglob("*"))
        if path.is_file()
    }
    return {**dump(course.gradebook), "records": records, "files": files}


def run(given: dict[str, Any]) -> int:
    """Run the coordinator; prints what the report says as JSON. The exit status is that of `course grade`.

    Args:
        given: "root", "folder"; "log" and "seconds" for the stand-in, or "real": true for the real checker; "library";
            "jobs", "patience", "scheduler", "nobody", "connect"; "die": at which step to be killed, see `_mortal`.
    """
    import standin

    from course_lib.errors import CourseError
    from course_lib.grading import cluster, fingerprint, grade
    from course_lib.grading.course import Course

    if "nobody" in given:
        cluster.NOBODY = given["nobody"]
    if "connect" in given:
        cluster.CONNECT = given["connect"]
    if "library" in given:
        fingerprint.LIBRARY = Path(given["library"])
    if "die" in given:
        _mortal(given["die"])
    grader = functools.partial(standin.grade_one, log=given.get("log", ""), seconds=given.get("seconds", 0.0))
    try:
        report = grade.grade(
            Course(Path(given["root"])),
            Path(given["folder"]),
            jobs=given.get("jobs", 2),
            scheduler=given.get("scheduler"),
            grader=grade.check if given.get("real") else grader,
            patience=given.get("patience", 5.0),
            finished=lambda name, what: print(f"{what}: {name}", file=sys.stderr, flush=True),
            tell=lambda sentence: print(sentence, file=sys.stderr, flush=True),
        )
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    told = {name: getattr(report, name) for name in ("graded", "unchanged", "stopped", "unwritten")}
    print(json.dumps({**told, "refused": {refusal.name: refusal.reason for refusal in report.refused}}))
    return 1 if report.refused or report.stopped or report.unwritten else 0


def _mortal(at: int) -> None:
    """Kill this process at the step `at`, counted from 0: before and after each file and each transaction appears."""
    from sqlalchemy.orm import Session

    steps = itertools.count()

    def step() -> None:
        if next(steps) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(function: Any) -> Any:
        @functools.wraps(function)
        def called(*args: Any, **options: Any) -> Any:
            step()
            result = function(*args, **options)
            step()
            return result

        return called

    os.replace = around(os.replace)
    Session.commit = around(Session.commit)


def serve() -> None:
    """Run coordinators, each in a fork of this process, which has imported everything once.

    A line of standard input is {"run": what `run` is given, "out": path, "err": path} or {"wait": process id}; the
    answer is the process id, or the exit status (negative: the signal).
    """
    import standin  # noqa: F401  (by this name workers ask for the stand-in)

    from course_lib.grading import grade, gradebook  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
            continue
        child = os.fork()
        if child == 0:
            for name, descriptor in (("out", 1), ("err", 2)):
                os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            status = 70
            try:
                status = run(order["run"])
            finally:
                if status == 70:
                    traceback.print_exc()
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        print(child, flush=True)


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])) if sys.argv[1:] else serve())
