"""What runs where when a submission is graded: the cells of the rebuilt notebook, in order, each with its side.

The student's side runs what the student wrote: solution cells, cells of their own, cells of the release that they
changed. The trusted side runs what the course wrote: the setup before the first task, locked cells, tests. The setup
runs on both; another cell of the release that nobody changed runs on the student's side only where a later cell there
uses a name that it binds, for a demonstration that nothing depends on would only cost time.
"""

from __future__ import annotations

import ast
import builtins
import json
import math
import re
import symtable
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from course_lib.grading.course import nbgrader_of, source_of

BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
MAGIC = re.compile(r"^\s*[%!].*$", re.MULTILINE)
WORD = re.compile(r"[^\W\d]\w*")


@dataclass
class Part:
    """Statements of a trusted cell, compiled, with the names that they use and do not bind themselves before."""

    code: list[tuple[Any, bool]]  # (code object, whether its value is the cell's)
    uses: frozenset[str]


@dataclass
class Step:
    """One cell."""

    index: int  # place in the rebuilt notebook
    cell: dict[str, Any]  # of the instructor's notebook; of the student's own: a new one
    source: str  # what stands in the graded notebook
    student: str | None = None  # what runs on the student's side
    visible: Part | None = None  # what runs on the trusted side
    hidden: Part | None = None
    name: str = ""  # grade_id
    points: float = 0.0
    test: bool = False
    task: str = ""  # grade_id of the solution cell that a test belongs to
    written: bool = False  # a person grades it
    unanswered: bool = False
    outputs: list[dict[str, Any]] = field(default_factory=list)
    ran: bool = False
    file: str = ""


@dataclass(frozen=True)
class Course:
    """The instructor's notebook and the release, read and compiled once for all submissions."""

    source: dict[str, Any]
    release: dict[str, Any]
    parts: list[tuple[Part | None, Part | None]]  # of each cell of the source that is not a student's


@lru_cache(maxsize=8)
def read_course(source: bytes, release: bytes) -> Course:
    """Read both notebooks and compile the cells that the trusted side runs."""
    notebook = json.loads(source)
    first = next((k for k, cell in enumerate(notebook["cells"]) if nbgrader_of(cell).get("solution")), math.inf)
    parts = []
    for place, cell in enumerate(notebook["cells"]):
        bound(source_of(cell)), defines(source_of(cell))  # which are remembered
        marks = nbgrader_of(cell)
        trusted = marks.get("grade") or marks.get("locked") or place < first
        ours = cell["cell_type"] == "code" and trusted and not marks.get("solution")
        parts.append(
            split(source_of(cell), file_of(nbgrader_of(cell).get("grade_id", ""), place)) if ours else (None, None)
        )
    return Course(notebook, json.loads(release), parts)


def file_of(name: str, place: int) -> str:
    """What tracebacks call a cell of the trusted side."""
    return f"<{name or place}>"


def write_script(pieces: Sequence[Any], course: Course) -> tuple[list[Step], set[str]]:
    """The steps of a rebuilt submission, and the names that the tests take from the student.

    These are the functions and classes that the course's own solution cells define, and what else cells of the
    student's side bind in the course's notebook if no cell of the trusted side binds it too. A name that the student's
    notebook alone binds means nothing to a test.
    """
    steps: list[Step] = []
    cells, released = course.source["cells"], course.release["cells"]
    solutions = [place for place, cell in enumerate(cells) if nbgrader_of(cell).get("solution")]
    first = solutions[0] if solutions else len(cells)
    defined: set[str] = set()  # functions and classes that solution cells of the course define
    offered: set[str] = set()  # what cells of the student's side bind otherwise
    bound_here = set().union(*(bound(source_of(c)) for c, parts in zip(cells, course.parts, strict=True) if any(parts)))
    waiting: list[tuple[Step, str]] = []  # unchanged cells of the release, which may be needed
    task = ""
    for index, piece in enumerate(pieces):
        code = piece.kind == "code"
        if piece.place is None:
            cell = {"cell_type": piece.kind, "metadata": {}}
            steps.append(Step(index, cell, piece.source, student=piece.source if code else None))
            continue
        cell = cells[piece.place]
        marks, text = nbgrader_of(cell), source_of(cell)
        code = code and cell["cell_type"] == "code"
        same = piece.source.strip() == source_of(released[piece.place]).strip()
        name, points = marks.get("grade_id", ""), float(marks.get("points", 0) or 0)
        if marks.get("solution"):
            task = name
            step = Step(index, cell, piece.source, student=piece.source if code else None, name=name, points=points)
            step.written, step.unanswered, step.task = bool(marks.get("grade")), same, name
            if code:
                defined |= defines(text)
                offered |= bound(text)
        elif marks.get("grade") or marks.get("locked"):
            step = Step(index, cell, text, name=name, points=points, test=bool(marks.get("grade")), task=task)
            if code:
                step.visible, step.hidden = course.parts[piece.place]
                if not step.test:
                    waiting.append((step, text))
        else:
            step = Step(index, cell, piece.source, name=name)
            if code and piece.place < first:
                step.visible, _ = course.parts[piece.place]
                step.student = piece.source
            elif code and not same:
                step.student = piece.source
            elif code:
                waiting.append((step, piece.source))
            if code and piece.place >= first:
                offered |= bound(text)
        step.file = file_of(name, piece.place)
        steps.append(step)
    needed: set[str] = set()
    ahead = dict((step.index, text) for step, text in waiting)
    for step in reversed(steps):
        if step.index in ahead and bound(ahead[step.index]) & needed:
            step.student = ahead[step.index]
        if step.student is not None:
            needed |= used(step.student)
    return steps, defined | (offered - bound_here)


# ------------------------------------------------------------------------------------------ names in code


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(MAGIC.sub("pass", source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@lru_cache(maxsize=2000)
def bound(source: str) -> frozenset[str]:
    """The names that a cell binds at its top level; of code that cannot be read, every word."""
    tree = _parsed(source)
    return frozenset(WORD.findall(source) if tree is None else _bound(tree.body))


def _bound(statements: Iterable[ast.stmt]) -> set[str]:
    names: set[str] = set()
    for statement in statements:
        waiting: list[ast.AST] = [statement]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
                names |= {inner for part in ast.walk(node) if isinstance(part, ast.Global) for inner in part.names}
                continue  # what is bound inside is its own
            if isinstance(node, ast.Import | ast.ImportFrom):
                names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
                names.add(node.id)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                names.add(node.name)
            if not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                waiting += ast.iter_child_nodes(node)
    return names


@lru_cache(maxsize=2000)
def defines(source: str) -> frozenset[str]:
    """The functions and classes that a cell defines."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    tree = _parsed(source)
    return frozenset(statement.name for statement in tree.body if isinstance(statement, kinds)) if tree else frozenset()


def used(source: str) -> set[str]:
    """The names of the notebook that a cell reads, not those of its functions; every word of what is no Python."""
    try:
        waiting = [symtable.symtable(MAGIC.sub("pass", source), "<cell>", "exec")]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(WORD.findall(source))
    names = {word for magic in MAGIC.findall(source) for word in WORD.findall(magic)}  # %timeit f(x) and the like
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        top = table.get_type() == "module"
        names |= {name.get_name() for name in table.get_symbols() if name.is_referenced() and (top or name.is_global())}
    return names


# ------------------------------------------------------------------------------------- visible and hidden


def hidden_lines(source: str) -> set[int]:
    """The lines (from 1) of a test cell that lie in a hidden region."""
    found, inside = set(), False
    for number, line in enumerate(source.split("\n"), start=1):
        inside = (inside or BEGIN_HIDDEN in line) and END_HIDDEN not in line
        if inside:
            found.add(number)
    return found


def split(source: str, filename: str) -> tuple[Part | None, Part | None]:
    """The visible and the hidden statements of a trusted cell. Raises SyntaxError: it is the course's own code."""
    tree = ast.parse(MAGIC.sub("pass", source), filename)
    hidden = hidden_lines(source)
    parts = ([s for s in tree.body if s.lineno not in hidden], [s for s in tree.body if s.lineno in hidden])
    last = tree.body[-1] if tree.body else None
    visible, unseen = (_part(statements, filename, last) if statements else None for statements in parts)
    return visible, unseen


def _part(statements: list[ast.stmt], filename: str, last: ast.stmt | None) -> Part:
    code: list[tuple[Any, bool]] = []
    if statements[-1] is last and isinstance(last, ast.Expr):  # its value is the cell's, which may be partial credit
        if statements[:-1]:
            code.append((compile(ast.Module(statements[:-1], []), filename, "exec"), False))
        code.append((compile(ast.Expression(last.value), filename, "eval"), True))
    else:
        code.append((compile(ast.Module(statements, []), filename, "exec"), False))
    names = {n.id for s in statements for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return Part(code, frozenset(names - set(dir(builtins))))
