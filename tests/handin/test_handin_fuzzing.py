"""Valid submissions mutated thousands of times: none may raise, and what a mutation did not touch must survive.

3,000 examples in the ordinary run; COURSE_FUZZ=100000 asks for more, and for others in each run.
"""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.handin.cells import nbgrader_of, source_of
from course_lib.handin.rebuild import Rebuilt, _rebuild, notebook_of
from tests.handin.handin_material import RELEASES, answers_of, format_3, own, submission, through_colab

pytestmark = pytest.mark.slow
EXAMPLES = int(os.environ.get("COURSE_FUZZ", "3000"))
FUZZ = settings(
    deadline=None,
    database=None,
    derandomize="COURSE_FUZZ" not in os.environ,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
SEEN: Counter[str] = Counter()  # what came of the examples, printed at the end

MINE = {name: submission(release) for name, release in RELEASES.items()}
OWN = {  # ids of cells of the student's own: kind, place, text
    "mine-1": ("code", 12, "def helper(x):\n    return x + 1"),
    "mine-2": ("markdown", 9, "My notes."),
    "mine-3": ("code", 5, "print('scratch')"),
    "mine-4": ("code", 2, "# note"),
}
for _notebook in MINE.values():
    for _id, (_kind, _place, _text) in OWN.items():
        _notebook["cells"].insert(_place, {**own(_text, _kind), "id": _id})
TEXTS = {name: json.dumps(notebook) for name, notebook in MINE.items()}
ANSWERS = {name: answers_of(release) for name, release in RELEASES.items()}

NASTY: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**400, float("nan"), float("inf"), "", "x", " ", "\0", "\ud800", "\u2028é\r\n"),
    *(
        [],
        {},
        [None],
        ["a", None],
        [["a"]],
        {"": {}},
        {"a": [{}]},
        "code",
        "markdown",
        4,
        3,
        "double",
        "linear",
        "duel",
    ),
    *("def double(x):\n    return 0", "class Linear:\n    pass", "    return 1", "def f(:", "'''", "YOUR ANSWER HERE"),
    *("### BEGIN HIDDEN TESTS\nx", "# YOUR CODE HERE\nraise NotImplementedError()", "%%time\n!ls", "((((((((((" * 30),
    json.loads("[" * 60 + "]" * 60),
]
nasty = st.one_of(st.sampled_from(NASTY), st.text(max_size=30))
number = st.integers(0, 10**6)
KEYS = ["cell_type", "id", "metadata", "source", "outputs", "execution_count", "attachments", "input", "level"]
MARKS = ["grade", "grade_id", "solution", "locked", "points", "schema_version", "task", "checksum", "cell_type"]


class Attack:
    """A notebook under mutation, and which graded cells were touched (their text, or what says whose text it is)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notebook: dict[str, Any] = json.loads(TEXTS[name])
        self.cells: list[Any] = self.notebook["cells"]
        self.touched: set[str] = set()
        self.at_last: list[Callable[[Any], Any]] = []  # changes of the notebook as a whole

    def finished(self) -> Any:
        found: Any = self.notebook
        for change in self.at_last:
            found = change(found)
        return found

    def at(self, number: int) -> Any:
        return self.cells[number % len(self.cells)]

    def touch(self, *cells: Any) -> None:
        for cell in cells:
            if isinstance(cell, dict):  # its id may be gone
                source = cell.get("source")
                text = "".join(map(str, source)) if isinstance(source, list) else source
                self.touched |= {
                    name for name, (_, _, own_text) in OWN.items() if cell.get("id") == name or text == own_text
                }
            if isinstance(cell, dict) and isinstance(cell.get("metadata"), dict):
                found = nbgrader_of(cell).get("grade_id")
                if isinstance(found, str):
                    self.touched.add(found)

    def touch_all(self) -> None:
        self.touched |= set(ANSWERS[self.name])


Mutation = Callable[[Attack, int, int, Any], None]


def delete(a: Attack, i: int, j: int, value: Any) -> None:
    a.touch(a.at(i))
    del a.cells[i % len(a.cells)]


def duplicate(a: Attack, i: int, j: int, value: Any) -> None:
    a.touch(a.at(i))
    a.cells.insert(j % (len(a.cells) + 1), copy.deepcopy(a.at(i)))


def duplicate_and_edit(a: Attack, i: int, j: int, value: Any) -> None:
    a.touch(a.at(i))
    twin = copy.deepcopy(a.at(i))
    if isinstance(twin, dict):
        twin["source"] = value
    a.cells.insert(j % (len(a.cells) + 1), twin)


def swap(a: Attack, i: int, j: int, value: Any) -> None:
    i, j = i % len(a.cells), j % len(a.cells)
    a.cells[i], a.cells[j] = a.cells[j], a.cells[i]


def move(a: Attack, i: int, j: int, value: Any) -> None:
    a.cells.insert(j % len(a.cells), a.cells.pop(i % len(a.cells)))


def merge(a: Attack, i: int, j: int, value: Any) -> None:
    i %= len(a.cells)
    if i + 1 < len(a.cells) and all(isinstance(cell, dict) for cell in a.cells[i : i + 2]):
        first, second = a.cells[i], a.cells[i + 1]
        a.touch(first, second)
        keep, drop = (first, i + 1) if j % 2 else (second, i)
        texts = [cell.get("source") for cell in (first, second)]
        if all(isinstance(text, str) for text in texts):
            keep["source"] = "\n\n".join(texts)
            del a.cells[drop]


def split(a: Attack, i: int, j: int, value: Any) -> None:
    cell = a.at(i)
    a.touch(cell)
    if isinstance(cell, dict) and isinstance(cell.get("source"), str):
        lines = cell["source"].split("\n")
        twin = copy.deepcopy(cell)
        cell["source"], twin["source"] = "\n".join(lines[: j % len(lines)]), "\n".join(lines[j % len(lines) :])
        if j % 3 == 0:
            twin["metadata"] = {}
        a.cells.insert(i % len(a.cells) + 1, twin)


def replace_cell(a: Attack, i: int, j: int, value: Any) -> None:
    a.touch(a.at(i))
    a.cells[i % len(a.cells)] = value


def insert(a: Attack, i: int, j: int, value: Any) -> None:
    kind = ("code", "markdown", "raw", value)[j % 4]
    a.cells.insert(i % (len(a.cells) + 1), {"cell_type": kind, "metadata": {}, "source": value})


def set_key(a: Attack, i: int, j: int, value: Any) -> None:
    cell, key = a.at(i), KEYS[j % len(KEYS)]
    if isinstance(cell, dict):
        if key in ("source", "metadata"):
            a.touch(cell)
        cell[key] = value


def drop_key(a: Attack, i: int, j: int, value: Any) -> None:
    cell, key = a.at(i), KEYS[j % len(KEYS)]
    if isinstance(cell, dict):
        if key in ("source", "metadata"):
            a.touch(cell)
        cell.pop(key, None)


def set_mark(a: Attack, i: int, j: int, value: Any) -> None:
    cell, key = a.at(i), MARKS[j % len(MARKS)]
    if isinstance(cell, dict) and isinstance(cell.get("metadata"), dict):
        if key == "grade_id":
            a.touch(cell)
        cell["metadata"].setdefault("nbgrader", {})
        if isinstance(cell["metadata"]["nbgrader"], dict):
            cell["metadata"]["nbgrader"][key] = value
        a.touch(cell)


def take_marks(a: Attack, i: int, j: int, value: Any) -> None:
    """The marks of one cell put on another."""
    one, other = a.at(i), a.at(j)
    if all(isinstance(cell, dict) and isinstance(cell.get("metadata"), dict) for cell in (one, other)):
        a.touch(one, other)
        other["metadata"] = copy.deepcopy(one["metadata"])


def take_id(a: Attack, i: int, j: int, value: Any) -> None:
    one, other = a.at(i), a.at(j)
    if isinstance(one, dict) and isinstance(other, dict) and "id" in one:
        if other.get("id") in OWN:
            a.touch(other)
        other["id"] = one["id"]


def take_source(a: Attack, i: int, j: int, value: Any) -> None:
    one, other = a.at(i), a.at(j)
    if isinstance(one, dict) and isinstance(other, dict) and "source" in one:
        a.touch(other)
        other["source"] = one["source"]


def graded(a: Attack, i: int, j: int, value: Any) -> None:
    """Hidden tests put into a cell, as nbgrader does."""
    cell = a.at(i)
    if isinstance(cell, dict) and isinstance(cell.get("source"), str):
        a.touch(cell)
        cell["source"] += f"### BEGIN HIDDEN TESTS\n{value}\n### END HIDDEN TESTS"


def strip_marks(a: Attack, i: int, j: int, value: Any) -> None:
    a.touch(a.at(i))
    if isinstance(a.at(i), dict):
        a.at(i)["metadata"] = {}


def strip_all(a: Attack, i: int, j: int, value: Any) -> None:
    a.touch_all()
    for cell in a.cells:
        if isinstance(cell, dict):
            cell["metadata"] = {}
            if j % 2:
                cell.pop("id", None)


def as_lines(a: Attack, i: int, j: int, value: Any) -> None:
    cell = a.at(i)
    if isinstance(cell, dict) and isinstance(cell.get("source"), str):
        cell["source"] = cell["source"].splitlines(keepends=True)


def reverse(a: Attack, i: int, j: int, value: Any) -> None:
    a.cells.reverse()


def rotate(a: Attack, i: int, j: int, value: Any) -> None:
    k = i % len(a.cells)
    a.cells[:] = a.cells[k:] + a.cells[:k]


def double_all(a: Attack, i: int, j: int, value: Any) -> None:
    a.touch_all()
    if len(a.cells) < 300:
        a.cells.extend(copy.deepcopy(a.cells))


def well_formed(notebook: Any) -> bool:
    return isinstance(notebook, dict) and all(
        isinstance(cell, dict) and isinstance(cell.get("metadata"), dict) and isinstance(cell.get("source"), str)
        for cell in notebook.get("cells", [None])
    )


def colab(a: Attack, i: int, j: int, value: Any) -> None:
    a.at_last.append(lambda notebook: through_colab(notebook) if well_formed(notebook) else notebook)


def old_format(a: Attack, i: int, j: int, value: Any) -> None:
    a.at_last.append(lambda notebook: format_3(notebook) if well_formed(notebook) else notebook)


def wrap(a: Attack, i: int, j: int, value: Any) -> None:
    if len(a.at_last) < 3:
        a.at_last.append(lambda notebook: [{"ipynb": notebook}, {"type": "notebook", "content": notebook}][i % 2])


def set_top(a: Attack, i: int, j: int, value: Any) -> None:
    a.notebook[("nbformat", "nbformat_minor", "metadata", "extra", "worksheets")[j % 5]] = value


def set_deep(a: Attack, i: int, j: int, value: Any) -> None:
    """A value anywhere in a cell replaced by another."""
    node, key, rest = a.cells, i % len(a.cells), j
    a.touch(a.at(i))
    while isinstance(node[key], (dict, list)) and node[key] and rest % 4:
        node, rest = node[key], rest // 4
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = keys[rest % len(keys)]
    node[key] = value


MUTATIONS: list[Mutation] = [
    *(delete, duplicate, duplicate_and_edit, swap, move, merge, split, replace_cell, insert, set_key, drop_key),
    *(
        take_source,
        graded,
        set_mark,
        take_marks,
        take_id,
        strip_marks,
        strip_all,
        as_lines,
        reverse,
        rotate,
        double_all,
        colab,
    ),
    *(old_format, wrap, set_top, set_deep),
]
mutations = st.lists(st.tuples(st.sampled_from(MUTATIONS), number, number, nasty), min_size=1, max_size=6)
ENCODINGS = ["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"]
names = st.sampled_from(["tiny", "tiny", "tiny", "ps01_backprop", "ps08_gan"])


def holds(data: bytes, name: str, touched: set[str] | None = None, validate: bool = False) -> Rebuilt:
    """Every property of a rebuilt submission. `touched`: answers that need not survive; None for all."""
    release, answers = RELEASES[name], ANSWERS[name]
    found = _rebuild(data, release)
    for sentence in (*found.repairs, *found.tampered, found.refusal):
        sentence.encode("utf-8")
        assert "\n" not in sentence and len(sentence) < 1_000
    SEEN["refused" if found.refusal else "repaired" if found.repairs or found.tampered else "as it was"] += 1
    if found.refusal:
        assert found.pieces == []
        assert touched is None or touched >= set(answers), f"refused, though an answer was untouched: {found.refusal}"
        return found
    assert [piece.place for piece in found.pieces if piece.place is not None] == list(range(len(release["cells"])))
    for piece in found.pieces:
        piece.source.encode("utf-8")
        assert "\0" not in piece.source and piece.kind in ("code", "markdown", "raw")
        if piece.place is None:
            assert piece.grade_id == ""
            continue
        cell = release["cells"][piece.place]
        marks = nbgrader_of(cell)
        assert (piece.kind, piece.grade_id) == (cell["cell_type"], marks.get("grade_id", ""))
        if marks.get("locked"):
            assert piece.source == source_of(cell)
        elif marks.get("solution") and touched is not None and piece.grade_id not in touched:
            text = answers[piece.grade_id]
            if piece.source != text:  # only a cell beside it, not valid by itself, may have been joined to it
                assert text in piece.source
                assert any("which were put together" in repair for repair in found.repairs)
    for name_of_cell, (_, _, text) in OWN.items() if touched is not None else ():
        if name_of_cell not in touched:
            assert any(text in piece.source for piece in found.pieces), f"{text!r} was lost"
    again = notebook_of(found, release)
    if validate:
        nbformat.validate(again)
    assert _rebuild(json.dumps(again).encode(), release) == Rebuilt(found.pieces)
    return found


@settings(FUZZ, max_examples=max(1, EXAMPLES * 6 // 10))
@given(names, mutations, st.sampled_from(ENCODINGS), st.booleans(), number)
def test_structure(name, steps, encoding, escaped, chance):
    attack = Attack(name)
    for mutate, i, j, value in steps:
        if attack.cells:
            mutate(attack, i, j, copy.deepcopy(value))
    text = json.dumps(attack.finished(), ensure_ascii=escaped)
    data = text.encode(encoding, "surrogatepass")
    touched = attack.touched
    if "\ud800" in text:  # cannot be written in any encoding; what comes of the other characters is another matter
        touched = touched | set(ANSWERS[name]) | set(OWN)
    holds(data, name, touched, validate=chance % 50 == 0)


@settings(FUZZ, max_examples=max(1, EXAMPLES * 3 // 10))
@given(
    names,
    st.lists(
        st.tuples(
            st.sampled_from(["flip", "cut", "insert", "repeat", "end", "swap"]), number, number, st.binary(max_size=8)
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
    st.booleans(),
)
def test_bytes(name, steps, encoding, escaped):
    data = bytearray(json.dumps(MINE[name], ensure_ascii=escaped).encode(encoding, "replace"))
    for what, i, j, extra in steps:
        i %= len(data) + 1
        if what == "flip" and i < len(data):
            data[i] ^= 1 << j % 8
        elif what == "cut":
            del data[i : i + j % 200]
        elif what == "insert":
            data[i:i] = extra
        elif what == "repeat":
            data[i:i] = data[i : i + j % 2_000]
        elif what == "end":
            del data[max(i, len(data) // 2) :]
        elif i + 50 < len(data):
            data[i : i + 20], data[i + 30 : i + 50] = data[i + 30 : i + 50], data[i : i + 20]
        if not data:
            break
    holds(bytes(data), name)


@settings(FUZZ, max_examples=max(1, EXAMPLES // 20))
@given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_anything(data):
    holds(data, "tiny")


json_values = st.recursive(
    nasty,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*KEYS, *MARKS, "cells", "nbgrader"]), inner, max_size=5)
    ),
)


@settings(FUZZ, max_examples=max(1, EXAMPLES // 20))
@given(json_values, st.lists(json_values, max_size=5))
def test_any_json(value, cells):
    holds(json.dumps(value).encode(), "tiny")
    holds(json.dumps({"nbformat": 4, "metadata": value, "cells": [*cells, MINE["tiny"]["cells"][4]]}).encode(), "tiny")


@pytest.fixture(scope="module", autouse=True)
def _count():
    yield
    print(f"\n{sum(SEEN.values())} examples: {dict(SEEN)}")
