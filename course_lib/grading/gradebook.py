"""nbgrader's gradebook: read in single queries, and written by one process in batches.

The records of build/grading/results are the truth for automatic scores, the gradebook is for what people give: manual
scores, extra credit and comments are never changed here. Rows are written as nbgrader's SaveAutoGrades writes them, so
that formgrader and the plain tools go on from there.

Two tables of our own lie beside nbgrader's, which does not look at them. `course_lib_graded` holds for each submission
which version of each score the gradebook has, written in the same transaction, so that a grading that was interrupted
is finished exactly once. `course_lib_removed` keeps what people gave for cells that the instructor took out.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading import late, plain
from course_lib.grading.course import Course, nbgrader_of

try:
    import nbformat
    from alembic.script import ScriptDirectory
    from nbgrader import api, dbutil
    from nbgrader.preprocessors import ClearOutput, ClearSolutions, ComputeChecksums, LockCells
    from sqlalchemy import (
        Column,
        MetaData,
        String,
        Table,
        Text,
        create_engine,
        delete,
        func,
        insert,
        select,
        text,
        update,
    )
    from sqlalchemy.exc import DBAPIError
except ImportError as error:
    raise CourseError(f"Grading needs {error.name}; install course_lib[instructor].") from error

PATIENCE = 60.0  # seconds to wait at the end for a gradebook in which another program writes
TELL = 2.0  # seconds of waiting after which the user is told
BATCH, DELAY = 50, 2.0  # results, or seconds, after which a batch is written
CHUNK = 400  # values in one IN (...); SQLite's smallest limit is 999

GRADED = Table(
    "course_lib_graded",
    MetaData(),
    Column("assignment", String(128), primary_key=True),
    Column("student", String(128), primary_key=True),
    Column("cells", Text, nullable=False),  # {grade_id: version}
)
REMOVED = Table(
    "course_lib_removed",
    GRADED.metadata,
    Column("assignment", String(128), primary_key=True),
    Column("student", String(128), primary_key=True),
    Column("cell", String(128), primary_key=True),
    Column("kind", String(16), primary_key=True),  # "grade" or "comment"
    Column("given", Text, nullable=False),  # {column: value}
)
GIVEN = {"grade": ("manual_score", "extra_credit"), "comment": ("manual_comment",)}


class Busy(Exception):
    """The gradebook cannot be written now; the text is a clause that says why."""


@dataclass(frozen=True)
class CellScore:
    """What one graded cell of one submission earned."""

    student: str
    assignment: str
    cell: str  # grade_id
    score: float
    points: float
    needs_manual_grade: bool


@dataclass(frozen=True)
class Student:
    """What the gradebook knows of a person. Only `id` is always there."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""


def url(root: Path) -> str:
    """Where nbgrader_config.py says that the gradebook is."""
    return plain.settings(root).CourseDirectory.db_url


def open_gradebook(root: Path, wait: float = 20.0) -> api.Gradebook:
    """nbgrader's gradebook, made where there is none.

    Args:
        wait: seconds that SQLite waits for another program that writes.

    A new one appears whole or not at all: nbgrader itself makes the tables first and notes their version later, and
    without a version a gradebook could not be upgraded.
    """
    address = url(root)
    path = Path(address.removeprefix("sqlite:///")) if address.startswith("sqlite:///") else None
    if path is not None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".gradebook-", dir=path.parent) as folder:
            engine = create_engine(f"sqlite:///{folder}/new.db")
            with engine.begin() as connection:
                api.Base.metadata.create_all(connection)
                connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
                connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": _version()})
            engine.dispose()
            os.replace(f"{folder}/new.db", path)
    return api.Gradebook(f"{address}?timeout={wait:g}" if path is not None else address)


def _version() -> str | None:
    """The version of nbgrader's tables. nbgrader asks the program alembic for it, which takes seconds to start."""
    return ScriptDirectory(str(Path(dbutil.ALEMBIC_DIR))).get_current_head()


# ------------------------------------------------------------------------------------------------ reading


def scores(root: Path, names: Sequence[str], student: str | None = None) -> list[CellScore]:
    """What is in the gradebook of these problem sets: sorted by problem set and student, cells in their order."""
    course = Course(root)
    order = {
        (name, cell): k for name in names for k, cell in enumerate(c for task in course.tasks(name) for c in task.cells)
    }
    points = func.coalesce(api.GradeCell.max_score, api.TaskCell.max_score, 0.0)
    query = (
        select(
            api.SubmittedAssignment.student_id,
            api.Assignment.name,
            api.BaseCell.name,
            api.Grade.score,
            points,
            api.Grade.needs_manual_grade,
        )
        .select_from(api.Grade)
        .join(api.SubmittedNotebook, api.Grade.notebook_id == api.SubmittedNotebook.id)
        .join(api.SubmittedAssignment, api.SubmittedNotebook.assignment_id == api.SubmittedAssignment.id)
        .join(api.Assignment, api.SubmittedAssignment.assignment_id == api.Assignment.id)
        .join(api.BaseCell.__table__, api.Grade.cell_id == api.BaseCell.__table__.c.id)
        .outerjoin(api.GradeCell.__table__, api.Grade.cell_id == api.GradeCell.__table__.c.id)
        .outerjoin(api.TaskCell.__table__, api.Grade.cell_id == api.TaskCell.__table__.c.id)
        .where(api.Assignment.name.in_(names))
    )
    if student is not None:
        query = query.where(api.SubmittedAssignment.student_id == student)
    with open_gradebook(root) as gradebook:
        rows = [CellScore(*row) for row in gradebook.db.execute(query)]
    return sorted(
        rows, key=lambda r: (names.index(r.assignment), r.student, order.get((r.assignment, r.cell), 1 << 30))
    )


def students(root: Path) -> dict[str, Student]:
    """The students in the gradebook, by id."""
    columns = [api.Student.id, *(getattr(api.Student, name) for name in PERSON)]
    with open_gradebook(root) as gradebook:
        return {
            row[0]: Student(row[0], *(value or "" for value in row[1:]))
            for row in gradebook.db.execute(select(*columns).order_by(api.Student.id))
        }


PERSON = ("first_name", "last_name", "email", "lms_user_id")


# ------------------------------------------------------------------------------------------------ writing


@dataclass(frozen=True)
class Cells:
    """The rows that nbgrader keeps of an instructor's notebook."""

    graded: dict[tuple[str, str], tuple[float, str]]  # ("GradeCell" or "TaskCell", grade_id): points, cell type
    solutions: frozenset[str]  # grade_ids
    sources: dict[str, tuple[str, bool, str, str | None]]  # grade_id: cell type, locked, text, checksum
    kernelspec: str

    @classmethod
    def of(cls, root: Path, source: bytes) -> Cells:
        """What `nbgrader generate_assignment` would save of this notebook."""
        config = plain.settings(root)
        notebook = nbformat.reads(source.decode("utf-8"), as_version=4)
        resources: dict[str, Any] = {"nbgrader": {}}
        for kind in (LockCells, ClearSolutions, ClearOutput, ComputeChecksums):
            notebook, resources = kind(config=config, log=plain.log).preprocess(notebook, resources)
        graded, solutions, sources = {}, set(), {}
        for cell in notebook.cells:
            grade = nbgrader_of(cell)
            name = grade.get("grade_id")
            for key, kind in (("grade", "GradeCell"), ("task", "TaskCell")):
                if grade.get(key):
                    graded[kind, name] = (float(grade["points"]), cell.cell_type)
            if grade.get("solution"):
                solutions.add(name)
            if any(grade.get(key) for key in ("grade", "task", "solution", "locked")):
                sources[name] = (cell.cell_type, bool(grade.get("locked")), cell.source, grade.get("checksum"))
        return cls(graded, frozenset(solutions), sources, json.dumps(notebook.metadata.get("kernelspec", {})))


@dataclass(frozen=True)
class Entry:
    """One submission as it should stand in the gradebook."""

    record: Mapping[str, Any]  # see course_lib.grading.results
    extension: timedelta | None = None
    person: Mapping[str, str] = field(default_factory=dict)  # columns of PERSON, where more is known than the id


class Writer:
    """The one writer to the gradebook of a course. Nothing here waits except `finish`.

    Args:
        assignments: what the gradebook should hold of each problem set before its submissions.
        due: when each problem set is due, with its zone.
        tell: called with a sentence when the user has waited for `TELL` seconds.
    """

    def __init__(
        self,
        root: Path,
        assignments: Mapping[str, Cells],
        *,
        due: Mapping[str, datetime | None] | None = None,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.root, self.assignments, self.due, self.tell = root, dict(assignments), dict(due or {}), tell
        self.seconds = 0.0  # spent writing
        self._waiting: dict[tuple[str, str], Entry] = {}
        self._since = time.monotonic()
        self._gradebook: api.Gradebook | None = None
        self._ready: dict[str, _Assignment] = {}

    def add(self, entry: Entry) -> None:
        """Write this submission with the next batch; it takes the place of an earlier entry of the same one."""
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting[entry.record["assignment"], entry.record["student"]] = entry

    def flush(self) -> None:
        """Write the batch if it is due; where another program holds the gradebook, that is tried again later."""
        if len(self._waiting) >= BATCH or time.monotonic() - self._since > DELAY:
            try:
                self._write()
            except Busy:
                self._since = time.monotonic()

    def finish(self, patience: float = PATIENCE) -> str:
        """Write everything that is left.

        Returns:
            "", or a clause that says why the gradebook could not be written within `patience` seconds. The records
            hold what it lacks.
        """
        began, told = time.monotonic(), False
        while True:
            try:
                self._write()
                return ""
            except Busy as busy:
                reason, waited = str(busy), time.monotonic() - began
            if waited > TELL and not told:
                self.tell(f"The gradebook cannot be written ({reason}); waiting up to {patience:.0f} seconds.")
                told = True
            if waited >= patience:
                return reason
            time.sleep(0.2)

    def close(self) -> None:
        """Let go of the gradebook."""
        if self._gradebook is not None:
            self._gradebook.close()
            self._gradebook = None

    def _write(self) -> None:
        began = time.monotonic()
        try:
            if self._gradebook is None:
                self._gradebook = open_gradebook(self.root, 0.2)
                GRADED.metadata.create_all(self._gradebook.engine)
            session = self._gradebook.db
            for name, cells in self.assignments.items():
                if name not in self._ready:
                    _begin(session)
                    made = _prepare(session, name, cells, self.due.get(name))
                    session.commit()
                    self._ready[name] = made
            for name in self.assignments:
                entries = [entry for (of, _), entry in self._waiting.items() if of == name]
                for start in range(0, len(entries), CHUNK):
                    some = entries[start : start + CHUNK]
                    _begin(session)
                    _enter(session, self._ready[name], some)
                    session.commit()
                    for entry in some:
                        del self._waiting[name, entry.record["student"]]
            self._since = time.monotonic()
        except (DBAPIError, OSError, api.InvalidEntry) as error:
            self._forget()
            raise Busy(_why(error)) from error
        finally:
            self.seconds += time.monotonic() - began

    def _forget(self) -> None:
        """Start anew with the next batch: what was prepared may be gone with the transaction."""
        self._ready.clear()
        if self._gradebook is not None:
            try:
                self._gradebook.db.rollback()
                self.close()
            except (DBAPIError, OSError):
                self._gradebook = None


def _begin(session: Any) -> None:
    """Begin a transaction that writes, so that nobody else writes between what it reads and what it writes."""
    if session.get_bind().dialect.name == "sqlite":
        session.execute(text("BEGIN IMMEDIATE"))


def _why(error: BaseException) -> str:
    said = str(getattr(error, "orig", None) or error).strip()
    if "locked" in said:
        return "another program is writing in it"
    if "full" in said or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    return said.splitlines()[0] if said else type(error).__name__


@dataclass
class _Assignment:
    """What the rows of submissions refer to."""

    name: str
    id: str
    notebook: str  # id
    graded: dict[str, tuple[str, float]]  # grade_id: id of the cell, points
    answers: dict[str, str]  # grade_id of a cell that can have a comment: its id
    due: datetime | None


def _utc(moment: datetime | str | None) -> datetime | None:
    """As nbgrader keeps times: in UTC, without a zone."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment) if moment else None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment is not None else None


def _prepare(session: Any, name: str, cells: Cells, due: datetime | None) -> _Assignment:
    """Bring the rows of a problem set up to date; cells may come and go while there are submissions."""
    assignment = session.scalar(select(api.Assignment).where(api.Assignment.name == name))
    if assignment is None:
        assignment = api.Assignment(name=name)
        session.add(assignment)
        session.flush()
    if due is not None and assignment.duedate != _utc(due):
        assignment.duedate = _utc(due)
    notebook = session.scalar(
        select(api.Notebook).where(api.Notebook.assignment_id == assignment.id, api.Notebook.name == name)
    )
    if notebook is None:
        notebook = api.Notebook(name=name, assignment_id=assignment.id)
        session.add(notebook)
        session.flush()
    if notebook.kernelspec != cells.kernelspec:
        notebook.kernelspec = cells.kernelspec

    wanted: dict[tuple[str, str], tuple[float, str] | None] = {**cells.graded}
    wanted |= {("SolutionCell", solution): None for solution in cells.solutions}
    present = {
        (cell.type, cell.name): cell
        for cell in session.scalars(select(api.BaseCell).where(api.BaseCell.notebook_id == notebook.id))
    }
    for key in present.keys() - wanted.keys():
        _remove(session, name, present.pop(key))
    for (kind, cell_name), values in wanted.items():
        cell = present.get((kind, cell_name))
        options = {} if values is None else {"max_score": values[0], "cell_type": values[1]}
        if cell is None:
            cell = getattr(api, kind)(name=cell_name, notebook_id=notebook.id, **options)
            session.add(cell)
            session.flush()
            present[kind, cell_name] = cell
            _add_rows(session, name, notebook.id, cell)
        for option, value in options.items():
            if getattr(cell, option) != value:
                setattr(cell, option, value)

    sources = {
        cell.name: cell
        for cell in session.scalars(select(api.SourceCell).where(api.SourceCell.notebook_id == notebook.id))
    }
    for gone in sources.keys() - cells.sources.keys():
        session.delete(sources[gone])
    for cell_name, values in cells.sources.items():
        cell = sources.get(cell_name)
        if cell is None:
            cell = api.SourceCell(name=cell_name, notebook_id=notebook.id)
            session.add(cell)
        for option, value in zip(("cell_type", "locked", "source", "checksum"), values, strict=True):
            if getattr(cell, option) != value:
                setattr(cell, option, value)
    session.flush()
    graded = {
        cell_name: (present[kind, cell_name].id, points) for (kind, cell_name), (points, _) in cells.graded.items()
    }
    answers = {
        cell_name: cell.id for (kind, cell_name), cell in present.items() if kind in ("SolutionCell", "TaskCell")
    }
    return _Assignment(name, assignment.id, notebook.id, graded, answers, due)


def _rows_of(kind: str) -> tuple[tuple[str, Any], ...]:
    """The tables that have a row for each submission and cell of a kind."""
    grades, comments = ("grade", api.Grade), ("comment", api.Comment)
    return {"GradeCell": (grades,), "SolutionCell": (comments,), "TaskCell": (grades, comments)}[kind]


def _remove(session: Any, name: str, cell: Any) -> None:
    """Take a cell out, and put aside what people gave for it."""
    for kind, table in _rows_of(cell.type):
        columns = [getattr(table, column) for column in GIVEN[kind]]
        query = (
            select(api.SubmittedAssignment.student_id, *columns)
            .select_from(table)
            .join(api.SubmittedNotebook, table.notebook_id == api.SubmittedNotebook.id)
            .join(api.SubmittedAssignment, api.SubmittedNotebook.assignment_id == api.SubmittedAssignment.id)
            .where(table.cell_id == cell.id)
        )
        for student, *values in session.execute(query).all():
            if any(value is not None for value in values):
                key = {"assignment": name, "student": student, "cell": cell.name, "kind": kind}
                session.execute(delete(REMOVED).where(*(REMOVED.c[part] == value for part, value in key.items())))
                given = json.dumps(dict(zip(GIVEN[kind], values, strict=True)))
                session.execute(insert(REMOVED).values(**key, given=given))
        session.execute(delete(table).where(table.cell_id == cell.id))
    session.expire_all()
    session.delete(cell)
    session.flush()


def _add_rows(session: Any, name: str, notebook: str, cell: Any) -> None:
    """Rows of a new cell for the submissions that are there; what was put aside comes back."""
    query = (
        select(api.SubmittedNotebook.id, api.SubmittedAssignment.student_id)
        .join(api.SubmittedAssignment, api.SubmittedNotebook.assignment_id == api.SubmittedAssignment.id)
        .where(api.SubmittedNotebook.notebook_id == notebook)
    )
    submissions = session.execute(query).all()
    for kind, table in _rows_of(cell.type):
        here = (REMOVED.c.assignment == name, REMOVED.c.cell == cell.name, REMOVED.c.kind == kind)
        given = {row.student: json.loads(row.given) for row in session.execute(select(REMOVED).where(*here))}
        empty = dict.fromkeys(GIVEN[kind])
        rows = [
            {"notebook_id": submission, "cell_id": cell.id, **(given.get(student) or empty)}
            for submission, student in submissions
        ]
        if rows:
            session.execute(insert(table), rows)
        session.execute(delete(REMOVED).where(*here))


def _versions(record: Mapping[str, Any]) -> dict[str, str]:
    """By grade_id, what a score was found from: it changes when the score was found anew, not with the points."""
    mark = record["fingerprint"]
    return {name: f"{mark['submission'][:16]}-{made[:16]}" for name, made in mark["cells"].items()}


def _enter(session: Any, assignment: _Assignment, entries: Sequence[Entry]) -> None:
    """Make the rows of these submissions what their records say, in as many queries for one as for many."""
    wanted = {entry.record["student"]: entry for entry in entries}
    people = {
        row[0]: row[1:]
        for row in session.execute(
            select(api.Student.id, *(getattr(api.Student, column) for column in PERSON)).where(
                api.Student.id.in_(wanted)
            )
        )
    }
    new = [
        {"id": student, **{column: entry.person.get(column) or None for column in PERSON}}
        for student, entry in wanted.items()
        if student not in people
    ]
    _insert(session, api.Student, new)
    _update(
        session,
        api.Student,
        [
            {"id": student, **{column: value for column, value in wanted[student].person.items() if value}}
            for student, known in people.items()
            if any(value and value != known[PERSON.index(column)] for column, value in wanted[student].person.items())
        ],
    )

    submitted = {
        row.student_id: row
        for row in session.execute(
            select(
                api.SubmittedAssignment.student_id,
                api.SubmittedAssignment.id,
                api.SubmittedAssignment.timestamp,
                api.SubmittedAssignment.extension,
                api.SubmittedNotebook.id.label("notebook"),
                api.SubmittedNotebook.late_submission_penalty.label("penalty"),
            )
            .outerjoin(
                api.SubmittedNotebook,
                (api.SubmittedNotebook.assignment_id == api.SubmittedAssignment.id)
                & (api.SubmittedNotebook.notebook_id == assignment.notebook),
            )
            .where(
                api.SubmittedAssignment.assignment_id == assignment.id, api.SubmittedAssignment.student_id.in_(wanted)
            )
        )
    }
    notebooks: dict[str, str] = {}
    new_submissions, new_notebooks, moved = [], [], []
    for student, entry in wanted.items():
        row = submitted.get(student)
        values = {"timestamp": _utc(entry.record.get("submitted")), "extension": entry.extension}
        if row is None:
            made = api.new_uuid()
            new_submissions.append({"id": made, "assignment_id": assignment.id, "student_id": student, **values})
        else:
            made = row.id
            if values["timestamp"] is None:  # not known here, perhaps known from elsewhere
                values["timestamp"] = row.timestamp
            if (values["timestamp"], values["extension"]) != (row.timestamp, row.extension):
                moved.append({"id": made, **values})
        notebooks[student] = row.notebook if row is not None and row.notebook is not None else api.new_uuid()
        if row is None or row.notebook is None:
            new_notebooks.append(
                {"id": notebooks[student], "assignment_id": made, "notebook_id": assignment.notebook, "flagged": False}
            )
    _insert(session, api.SubmittedAssignment, new_submissions)
    _update(session, api.SubmittedAssignment, moved)
    _insert(session, api.SubmittedNotebook, new_notebooks)

    known = {
        row.student: json.loads(row.cells)
        for row in session.execute(
            select(GRADED).where(GRADED.c.assignment == assignment.name, GRADED.c.student.in_(wanted))
        )
    }
    grades = _by_cell(session, api.Grade, notebooks.values(), ("auto_score", "manual_score", "extra_credit"))
    comments = _by_cell(session, api.Comment, notebooks.values(), ("auto_comment",))
    new_grades, grade_changes, new_comments, comment_changes, penalties = [], [], [], [], []
    for student, entry in wanted.items():
        notebook, record = notebooks[student], entry.record
        versions, before = _versions(record), known.get(student, {})
        raw = 0.0
        for name, (cell, points) in assignment.graded.items():
            found = record["cells"].get(name)
            auto = None if found is None or found["manual"] else _scaled(found, points)
            row = grades.get((notebook, cell))
            if row is None:
                row_values = {"auto_score": auto, "needs_manual_grade": auto is None}
                new_grades.append({"notebook_id": notebook, "cell_id": cell, **row_values})
                raw += auto or 0.0
                continue
            if found is not None and before.get(name) != versions.get(name):
                again = row.manual_score is not None or auto is None  # as nbgrader has it: somebody should look again
                grade_changes.append({"id": row.id, "auto_score": auto, "needs_manual_grade": again})
            elif found is not None and row.auto_score != auto:
                grade_changes.append({"id": row.id, "auto_score": auto})
            else:
                auto = row.auto_score
            raw += (row.manual_score if row.manual_score is not None else auto or 0.0) + (row.extra_credit or 0.0)
        for name, cell in assignment.answers.items():
            said = "No response." if name in record.get("unanswered", ()) else None
            row = comments.get((notebook, cell))
            if row is None:
                new_comments.append({"notebook_id": notebook, "cell_id": cell, "auto_comment": said})
            elif row.auto_comment != said:
                comment_changes.append({"id": row.id, "auto_comment": said})
        possible = sum(points for _, points in assignment.graded.values())
        penalty = raw - late.adjusted(raw, possible, record.get("late") or {})
        penalty = round(min(max(penalty, 0.0), raw), 9) or None
        row = submitted.get(student)
        if (row.penalty if row is not None else None) != penalty:
            penalties.append({"id": notebook, "late_submission_penalty": penalty})
    _insert(session, api.Grade, new_grades)
    _insert(session, api.Comment, new_comments)
    _update(session, api.Grade, [change for change in grade_changes if "needs_manual_grade" in change])
    _update(session, api.Grade, [change for change in grade_changes if "needs_manual_grade" not in change])
    _update(session, api.Comment, comment_changes)
    _update(session, api.SubmittedNotebook, penalties)

    stale = [student for student, entry in wanted.items() if known.get(student) != _versions(entry.record)]
    if stale:
        session.execute(delete(GRADED).where(GRADED.c.assignment == assignment.name, GRADED.c.student.in_(stale)))
        rows = [
            {
                "assignment": assignment.name,
                "student": student,
                "cells": json.dumps(_versions(wanted[student].record), sort_keys=True),
            }
            for student in stale
        ]
        session.execute(insert(GRADED), rows)


def _scaled(found: Mapping[str, Any], points: float) -> float:
    """A score out of other points than those that the cell has now."""
    if found["points"] == points or not found["points"]:
        return min(float(found["score"]), points)
    return float(found["score"]) * points / float(found["points"])


def _by_cell(session: Any, table: Any, notebooks: Iterable[str], columns: Sequence[str]) -> dict[tuple[str, str], Any]:
    """Rows of submitted notebooks by (notebook, cell)."""
    query = select(table.id, table.notebook_id, table.cell_id, *(getattr(table, column) for column in columns))
    return {
        (row.notebook_id, row.cell_id): row
        for row in session.execute(query.where(table.notebook_id.in_(list(notebooks))))
    }


def _insert(session: Any, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        session.execute(insert(table), rows)


def _update(session: Any, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with "id" and the columns to change, the same in each."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    for some in groups.values():
        session.execute(update(table), some)
