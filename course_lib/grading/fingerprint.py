"""What the score of a test cell depends on, as digests: what has the same digests need not be graded again.

The score of a test cell depends on what the student handed in, on the cell's own text, on the cells before it that it
makes use of, on what all of these use of course_lib, and on the engine that grades. What "uses" means is read from the
syntax: a cell, or a definition in a module, depends on those that bind the names which it, or the student's code,
mentions; on what these mention in turn; and on statements that do something other than bind a name. Names are followed
through imports of course_lib, so that a change of one visible check touches the test cells that call it.

What cannot be seen this way: getattr with a computed name, and a decorator that puts what it decorates into a register.
`course grade --again` grades everything anew.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import symtable
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from course_lib.errors import CourseError
from course_lib.grading.course import nbgrader_of, source_of

LIBRARY = Path(__file__).resolve().parents[1]
# Parts of course_lib that no score depends on, unless the checker imports them.
ASIDE = ("authoring", "grading", "handin", "cli.py", "doctor.py", "__main__.py")
ENGINE = "course_lib.grading.checker"
Chain = tuple[str, ...]  # ("checks", "check_linear") for checks.check_linear


def digest(*parts: bytes | str) -> str:
    """SHA-256 of the parts, each with its length, in 64 hexadecimal digits."""
    made = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        made.update(b"%d:" % len(data))
        made.update(data)
    return made.hexdigest()


# ------------------------------------------------------------------------------------------------ the secret


def secret(path: Path) -> bytes:
    """The course's secret, made where there is none yet; only its owner may read it.

    Raises:
        CourseError: it cannot be written or read, or is damaged.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            os.replace(partial, path)
        found = bytes.fromhex(path.read_text())
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CourseError(f"Cannot write {path} ({error.strerror or error}); test data are drawn from it.") from error
    except ValueError:
        found = b""
    if len(found) != 32:
        raise CourseError(f"{path} is damaged; delete it, and the next grading draws new test data.")
    return found


def seed(secret: bytes, student: str, assignment: str, submission: str) -> str:
    """The seed of the test data of one submission, in 64 hexadecimal digits; nothing else follows from it.

    Args:
        submission: the digest of the file handed in.
    """
    message = digest(student, assignment, submission).encode()
    return hmac.new(secret, message, hashlib.sha256).hexdigest()


# ------------------------------------------------------------------------------------------------ names in code


def _stored(node: ast.AST) -> set[str]:
    """The names that are bound somewhere inside, as by an assignment's left side."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}


def _mentions(node: ast.AST) -> set[Chain]:
    """Every name that is read anywhere inside, with the attributes that are taken of it right there."""
    found: set[Chain] = set()
    waiting = [node]
    while waiting:
        inner = waiting.pop()
        chain: list[str] = []
        while isinstance(inner, ast.Attribute):
            chain.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            if chain or not isinstance(inner.ctx, ast.Store):
                found.add((inner.id, *reversed(chain)))
        else:
            waiting += ast.iter_child_nodes(inner)
    return found


SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
SCOPES += (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _outer(node: ast.AST) -> set[str] | None:
    """The names in a statement that some scope of it takes from the top, not those local to a function; None: all."""
    if not any(isinstance(part, SCOPES) for part in ast.walk(node)):
        return None
    waiting, found = [symtable.symtable(ast.unparse(ast.fix_missing_locations(node)), "cell", "exec")], set()
    for table in waiting:
        top = table.get_type() == "module"
        found |= {symbol.get_name() for symbol in table.get_symbols() if top or symbol.is_global()}
        waiting += table.get_children()
    return found


@dataclass
class Uses:
    """What a run of statements, executed in order in one namespace, takes from outside and leaves behind."""

    used: set[Chain] = field(default_factory=set)  # everything read
    free: set[Chain] = field(default_factory=set)  # read before it is certainly bound
    certain: set[str] = field(default_factory=set)  # bound in any case
    binds: set[str] = field(default_factory=set)  # bound perhaps
    imports: dict[str, set[str]] = field(default_factory=dict)  # name: what it may be, "course_lib.nets.mlp.MLP"
    acts: bool = False  # some statement does more than bind names

    def follow(self, body: Iterable[ast.stmt]) -> None:
        """Take in statements, in order."""
        for node in body:
            self._statement(node)

    def imported(self) -> set[Chain]:
        """What is read of modules that are imported here, in full: ("course_lib", "checks", "gan", "check_round")."""
        return {(*target.split("."), *chain[1:]) for chain in self.used for target in self.imports.get(chain[0], ())}

    @property
    def reads(self) -> set[Chain]:
        """What is read from outside, by name or by a module's full name."""
        return self.free | self.imported()

    def _read(self, *nodes: ast.AST | None) -> None:
        for node in filter(None, nodes):
            outer = _outer(node)
            chains = {chain for chain in _mentions(node) if outer is None or chain[0] in outer | self.imports.keys()}
            self.used |= chains
            self.free |= {chain for chain in chains if chain[0] not in self.certain}

    def _bind(self, names: Iterable[str]) -> None:
        names = set(names)
        self.binds |= names
        self.certain |= names

    def _perhaps(self, *bodies: Iterable[ast.stmt], given: Iterable[str] = ()) -> None:
        """Bodies that may or may not run, each with the names `given` bound."""
        before = set(self.certain)
        for body in bodies:
            self._bind(given)
            self.follow(body)
            self.certain = set(before)

    def _import(self, node: ast.Import | ast.ImportFrom) -> dict[str, str]:
        if isinstance(node, ast.ImportFrom):
            return {name.asname or name.name: f"{node.module or ''}.{name.name}" for name in node.names}
        return {
            name.asname or name.name.split(".")[0]: name.name if name.asname else name.name.split(".")[0]
            for name in node.names
        }

    def _statement(self, node: ast.stmt) -> None:
        for part in ast.walk(node):  # also those inside a function
            if isinstance(part, ast.Import | ast.ImportFrom):
                for name, target in self._import(part).items():
                    self.imports.setdefault(name, set()).add(target)
        if isinstance(node, ast.Import | ast.ImportFrom):
            self._bind(self._import(node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._read(node)
            self._bind([node.name])
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            self._read(node)
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                self._read(ast.Name(node.target.id, ast.Load()))
            self.acts |= any(isinstance(part, ast.Attribute | ast.Subscript) for t in targets for part in ast.walk(t))
            self._bind(set().union(*map(_stored, targets)))
        elif isinstance(node, ast.If):
            self._read(node.test)
            self._perhaps(node.body, node.orelse)
        elif isinstance(node, ast.For | ast.AsyncFor):
            self._read(node.iter)
            self._bind(_stored(node.target))
            self.follow(node.body)  # a loop in a test has something to loop over
            self.follow(node.orelse)
            self.acts = True
        elif isinstance(node, ast.While):
            self._read(node.test)
            self._perhaps(node.body, node.orelse)
            self.acts = True
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                self._read(item.context_expr, item.optional_vars)
                self._bind(_stored(item.optional_vars) if item.optional_vars is not None else ())
            self.follow(node.body)
            self.acts = True
        elif isinstance(node, ast.Try | ast.TryStar):
            before = set(self.certain)
            self.follow(node.body)
            self.follow(node.orelse)
            whole, self.certain = self.certain, before
            for handler in node.handlers:
                self._read(handler.type)
                self._perhaps(handler.body, given={handler.name} - {None})
            self.certain = whole  # in a test, what is to fail is not what binds
            self.follow(node.finalbody)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            pass  # a docstring
        elif not isinstance(node, ast.Pass | ast.Global):  # an expression, assert, del, match, raise
            self._read(node)
            self.binds |= _stored(node)
            self.acts = True


def uses_of(text: str) -> Uses:
    """What a cell uses and binds. Of text that is not Python: every word in it is used, and perhaps bound."""
    lines = ["pass" if line.lstrip().startswith(("%", "!")) else line for line in text.split("\n")]
    code = "\n".join(lines)
    try:
        uses = Uses()
        uses.follow(ast.parse(code).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        words = set(re.findall(r"[^\W\d]\w*", text))
        chains = {(word,) for word in words}
        return Uses(used=chains, free=chains, binds=words, acts=True)
    return uses


# ------------------------------------------------------------------------------------------------ course_lib


@dataclass
class _Statement:
    """One top-level statement of a module; its digest does not depend on comments and formatting."""

    digest: str
    uses: Uses


class Library:
    """The modules of course_lib, each read when first asked for.

    Args:
        root: the folder of the package; of the one that runs unless given.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or LIBRARY
        self._modules: dict[str, list[_Statement] | None] = {}
        self._reached: dict[Chain, frozenset[str]] = {}

    @cached_property
    def whole(self) -> str:
        """The digest of everything in course_lib that a score may depend on."""
        found = []
        for path in sorted(self.root.rglob("*.py")):
            name = path.relative_to(self.root).as_posix()
            if not name.startswith(ASIDE):
                found += [name, digest(path.read_bytes())]
        return digest(*found, self.engine)

    @cached_property
    def engine(self) -> str:
        """The digest of the checker and of what it imports of the parts that hand in and grade."""
        found: dict[str, str] = {}
        waiting = [ENGINE]
        while waiting:
            name = waiting.pop()
            path = self._path(name)
            if path is None or name in found or not name.startswith(("course_lib.grading.", "course_lib.handin.")):
                continue
            data = path.read_bytes()
            found[name] = digest(data)
            if path.parent.name != "grading":  # of a part with a folder of its own all modules count
                waiting += [f"{name.rpartition('.')[0]}.{beside.stem}" for beside in path.parent.glob("*.py")]
            for node in ast.walk(ast.parse(data)):
                if isinstance(node, ast.Import):
                    waiting += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module:
                    waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        return digest(*(part for item in sorted(found.items()) for part in item))

    def _path(self, module: str) -> Path | None:
        """The file of "course_lib.nets.mlp", or None."""
        first, *rest = module.split(".")
        if first != "course_lib" or not all(part.isidentifier() for part in rest):
            return None
        base = self.root.joinpath(*rest)
        for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if path.is_file() and path.is_relative_to(self.root):
                return path
        return None

    def _module(self, name: str) -> list[_Statement] | None:
        """The statements of a module of course_lib, or None where there is no such module."""
        if name not in self._modules:
            path = self._path(name)
            statements = None
            if path is not None:
                text, statements = path.read_text(encoding="utf-8"), []
                for node in ast.parse(text).body:
                    uses = Uses()
                    uses.follow([node])
                    statements.append(_Statement(digest(name, ast.dump(node)), uses))
            self._modules[name] = statements
        return self._modules[name]

    def reach(self, chain: Chain) -> frozenset[str]:
        """The digests of all statements that ("course_lib", "checks", "gan", "check_round") depends on.

        A chain that is a module depends on everything in it. Empty where the chain is not of course_lib.
        """
        if chain not in self._reached:
            found: dict[tuple[str, int], str] = {}
            seen: set[Chain] = set()
            waiting = [chain]
            while waiting:
                now = waiting.pop()
                if now not in seen and now[0] == "course_lib":
                    seen.add(now)
                    waiting += self._step(now, found)
            self._reached[chain] = frozenset(found.values())
        return self._reached[chain]

    def _step(self, chain: Chain, found: dict[tuple[str, int], str]) -> Iterator[Chain]:
        """Note the statements that a chain names; yields the chains that these mention."""
        depth = 0  # of the longest beginning that is a module; what follows is a name in it
        while depth < len(chain) and self._module(".".join(chain[: depth + 1])) is not None:
            depth += 1
        rest = chain[depth:]
        for length in range(1, depth + 1):
            module = chain[:length]
            for place, statement in enumerate(self._module(".".join(module)) or ()):
                uses = statement.uses
                named = length == depth and (not rest or rest[0] in uses.binds)
                if not (named or uses.acts):  # importing a module runs what acts in it and in its packages
                    continue
                if named and rest:
                    yield from ((*target.split("."), *rest[1:]) for target in uses.imports.get(rest[0], ()))
                elif named:
                    yield from (tuple(target.split(".")) for targets in uses.imports.values() for target in targets)
                if (".".join(module), place) not in found:
                    found[".".join(module), place] = statement.digest
                    yield from uses.imported()
                    yield from ((*module, *used) for used in uses.used)


# ------------------------------------------------------------------------------------------------ a problem set


@dataclass
class _Piece:
    """A code cell of the instructor's notebook, other than a solution cell."""

    text: str
    uses: Uses
    grade_id: str  # of a test cell; "" for a cell that is not graded


class _Reach(NamedTuple):
    """What something depends on: cells, by their place in `Tests._pieces`, and statements of course_lib, by digest."""

    pieces: set[int]
    statements: set[str]

    def add(self, other: _Reach) -> None:
        self.pieces.update(other.pieces)
        self.statements.update(other.statements)


def _is_ours(cell: Mapping[str, Any]) -> bool:
    """Whether a code cell of the release is nobody's to solve."""
    return cell["cell_type"] == "code" and "id" in cell and not nbgrader_of(dict(cell)).get("solution")


class Tests:
    """The graded cells of a problem set, and what the score of each depends on.

    Args:
        source: the instructor's notebook as bytes.
        release: the students' as bytes.
    """

    __test__ = False  # not for pytest

    def __init__(self, source: bytes, release: bytes, library: Library) -> None:
        self.library = library
        self.whole = digest(source, release, library.whole)  # as long as this is the same, everything is
        self.points: dict[str, float] = {}  # of every graded cell, in order
        released = json.loads(release)["cells"]
        # What the release's own cells read; solution cells come from students.
        self._known = {cell["id"]: uses_of(source_of(cell)).reads for cell in released if _is_ours(cell)}
        self._given = {source_of(cell).strip() for cell in released}
        self._answers = {nbgrader_of(cell).get("grade_id"): source_of(cell) for cell in released}
        self._pieces: list[_Piece] = []
        self._tests: dict[str, tuple[int, str]] = {}  # grade_id: its place in _pieces, solution cells before it
        self._memory: dict[Any, _Reach] = {}
        self._written: set[str] = set()  # answers that a person grades
        solutions: list[str] = []
        for cell in json.loads(source)["cells"]:
            grade, text = nbgrader_of(cell), source_of(cell)
            if grade.get("solution"):
                solutions.append(grade["grade_id"])
            if grade.get("grade"):
                self.points[grade["grade_id"]] = float(grade["points"])
                if grade.get("solution"):
                    self._written.add(grade["grade_id"])
                else:
                    self._tests[grade["grade_id"]] = (len(self._pieces), " ".join(solutions))
            if cell["cell_type"] == "code" and not grade.get("solution"):
                self._pieces.append(_Piece(text, uses_of(text), grade["grade_id"] if grade.get("grade") else ""))

    def cells(self, data: bytes) -> dict[str, str]:
        """By grade_id, the digest of what a score depends on besides the file handed in and the points.

        Args:
            data: the file handed in; what its code mentions of the notebook and of course_lib counts too.
        """
        mentioned = self._mentioned(data)
        found = {}
        for name in self.points:
            if name in self._written:
                found[name] = digest("answer", self._answers.get(name, ""))
            else:
                solutions = self._tests[name][1]
                pieces, reached = self._depends(name, mentioned)
                texts = [self._pieces[k].text for k in sorted(pieces)]
                found[name] = digest(self.library.engine, solutions, *texts, *sorted(reached))
        return found

    def with_needed(self, names: Iterable[str], data: bytes) -> list[str]:
        """These graded cells and the test cells before them whose names they use, in order."""
        mentioned, wanted = self._mentioned(data), set(names)
        for name in wanted & set(self._tests):
            wanted |= {self._pieces[k].grade_id for k in self._depends(name, mentioned)[0]}
        return [name for name in self.points if name in wanted]

    def _mentioned(self, data: bytes) -> _Reach:
        """What the student's own cells depend on in the notebook; nothing where the file is no notebook."""
        chains: set[Chain] = set()
        with contextlib.suppress(Exception):  # whatever the file holds, the checker will say what is wrong
            for cell in json.loads(data)["cells"]:
                grade, text = nbgrader_of(cell), source_of(cell) if cell["cell_type"] == "code" else ""
                # The copies of tests that a student has take no part, whether as they are now or as they were.
                copied = grade.get("grade_id") in self._tests and not grade.get("solution")
                if text.strip() and not copied and text.strip() not in self._given:
                    # Of the release's cells that a student has edited, or has as they were before, what they add.
                    known = self._known.get(cell.get("id") or cell["metadata"].get("id"), set())
                    chains |= uses_of(text).reads - known
        found = _Reach(set(), set())
        for chain in chains:
            if chain not in self._memory:
                self._memory[chain] = self._reach([chain], range(len(self._pieces)))
            found.add(self._memory[chain])
        return found

    def _depends(self, name: str, mentioned: _Reach) -> _Reach:
        """What a test cell depends on, with what the student's code mentions."""
        place = self._tests[name][0]
        if name not in self._memory:
            # Cells that act may set what all others use; the tests themselves do not: each draws its own data.
            before = [k for k in range(place) if not self._pieces[k].grade_id]
            acting = [k for k in before if self._pieces[k].uses.acts]
            found = self._reach([chain for k in acting for chain in self._pieces[k].uses.reads], before)
            uses = self._pieces[place].uses
            found.add(self._reach(uses.reads, range(place)))
            found.pieces.update(acting, [place])
            self._memory[name] = found
        found = _Reach({k for k in mentioned.pieces if k <= place}, set(mentioned.statements))
        found.add(self._memory[name])
        return found

    def _reach(self, chains: Iterable[Chain], among: Sequence[int]) -> _Reach:
        """What these names depend on, in some of the notebook's cells and in course_lib."""
        found = _Reach(set(), set())
        seen: set[Chain] = set()
        waiting = list(chains)
        while waiting:
            chain = waiting.pop()
            if chain in seen:
                continue
            seen.add(chain)
            found.statements.update(self.library.reach(chain))
            for k in among:
                uses = self._pieces[k].uses
                if chain[0] not in uses.binds and "*" not in uses.binds:
                    continue
                for target in uses.imports.get(chain[0], ()):
                    found.statements.update(self.library.reach((*target.split("."), *chain[1:])))
                for target in uses.imports.get("*", ()):
                    found.statements.update(self.library.reach((*target.split(".")[:-1], *chain)))
                if k not in found.pieces:
                    found.pieces.add(k)
                    waiting += uses.reads
        return found


def changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The graded cells of `new` whose score has to be found anew."""
    return [name for name, made in new.items() if old.get(name) != made]
