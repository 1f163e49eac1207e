"""Which submissions share passages that most of the class does not: a hint to read both, never a verdict.

What is compared is the students' own text: solution cells, cells of the release that they changed and cells of their
own, without the lines that stand in the release, without comments, docstrings and layout. A shingle is `WIDTH` tokens
in a row. To rename things must not hide a copy, so a variable counts only by how many tokens ago it was last named;
what keeps its name are Python's words, built-in functions, what the release defines or imports, and attributes that
several students use (the library's, such as reshape). Written answers are compared word by word.

A shingle tells nothing if many students have it, or the instructor's solution: it is how the task is solved. What
remains is counted with an inverted index, so the cost grows with the number of submissions, not of pairs.

Shared shingles count where they stand `RUN` in a row, for two solutions of one task meet in short phrases. Two students
are named if that is at least `SHARE` of the remaining shingles of the one who has fewer, or `TASK_SHARE` in one task,
and in both cases at least `LEAST` shingles. What that cannot see: a copy rewritten in other statements, and a text that
more than a twentieth of a class took from one place.

Two right solutions of ps01_backprop that were written apart share 1% of their uncommon shingles, or 4% with the
instructor's; a copy with other names more than 95%. A submission of ps01_backprop takes about 15 ms.

Python is read with one regular expression and not with `tokenize`, which takes ten times as long and stops where the
code is broken.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.handin.cells import nbgrader_of, source_of
from course_lib.handin.reading import read

WIDTH = 12  # tokens of a shingle
RUN = 10  # shingles in a row: 21 tokens
LEAST = 40  # shingles that two must share: a passage of about fifty tokens, or five lines
SHARE = 0.4
TASK_SHARE = 0.8
FEW, MANY, CROWD = 5, 50, 0.05  # what more than max(FEW, min(MANY, CROWD of the class)) have, is common
PAIRS = 200  # of them at most are described
PASSAGES = 3  # for each pair
LINES, LINE = 40, 200  # of a passage are shown: lines, characters of a line
LENGTH = 400_000  # characters of a student's cells that are read; a long problem set has a tenth

STRING = (  # one that is not closed ends with its line, or with the cell
    r"(?:\b[rRbBfFuUtT]{1,2})?"
    r"""(?:\"{3}.*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)"""
)
TOKEN = re.compile(
    rf"(?P<comment>\#[^\n]*)|(?P<newline>\\?\n)|(?P<string>{STRING})|(?P<name>[^\W\d]\w*)"
    r"|(?P<number>\.?\d(?:[eE][+-]|[\w.])*)|(?P<operator>\*\*=?|//=?|<<=?|>>=?|->|:=|[-+*/%@&|^=<>!]=|[^\s\w])",
    re.DOTALL,
)
WORD = re.compile(r"\w+").findall
OPENING, CLOSING = frozenset("([{"), frozenset(")]}")
PYTHON = frozenset({*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "self"})
TURNS = np.array([pow(1_000_003, place, 2**64) for place in range(WIDTH)], dtype=np.uint64)


@dataclass(frozen=True)
class Passage:
    """Text that two students share, as each of them has it."""

    cell: str  # grade_id, or what else the cell is
    tokens: int
    text: tuple[str, str]


@dataclass(frozen=True)
class Pair:
    """Two students who share uncommon passages."""

    students: tuple[str, str]
    share: float  # of the uncommon shingles of the one who has fewer, from 0 to 1
    shared: int  # shingles
    tasks: dict[str, float]  # the same share by cell, where it is at least TASK_SHARE
    passages: list[Passage]  # the longest first


@dataclass(frozen=True)
class Similar:
    """What a comparison came to."""

    pairs: list[Pair]  # those who share most first, at most PAIRS
    found: int  # pairs, also those that are not described
    compared: int  # submissions with enough text of their own


@dataclass
class _Text:
    """The own text of one student: tokens one after another, cell by cell."""

    cells: list[tuple[str, str]]  # (what it is, its source)
    tokens: np.ndarray  # numbers of a vocabulary
    cell: np.ndarray  # of each token
    line: np.ndarray  # of each token, from 0, within its cell
    hashes: np.ndarray  # of the shingle that starts at each token; 0 where none does


class _Vocabulary(dict[str, int]):
    """Numbers for tokens, in the order in which they are met. An attribute stands with its dot."""

    def __missing__(self, token: str) -> int:
        self[token] = number = len(self)
        return number


def similar(
    submissions: Mapping[str, bytes],
    release: Mapping[str, Any],
    solution: Mapping[str, Any] | None = None,
    *,
    finished: Callable[[str], None] = lambda student: None,
) -> Similar:
    """Compare the submissions of one problem set with each other.

    Args:
        submissions: the file of each student, as it was handed in; what cannot be read is passed over.
        release: the students' version of the problem set.
        solution: the instructor's; what stands in it is common.
        finished: called with each student whose text was read.
    """
    given = {line.strip() for cell in release["cells"] for line in source_of(cell).split("\n")}
    vocabulary = _Vocabulary()
    students, texts = [], []
    for student, data in sorted(submissions.items()):
        text = _own(_pieces(data, release), given, vocabulary)
        finished(student)
        if len(text.tokens) >= WIDTH:
            students.append(student)
            texts.append(text)
    if len(texts) < 2:
        return Similar([], 0, len(texts))
    answer = []
    if solution is not None:
        cells = [("", "code", source_of(cell)) for cell in solution["cells"] if cell["cell_type"] == "code"]
        answer.append(_own(cells, set(), vocabulary))
    hidden = _hidden(texts, vocabulary, release)
    for text in (*texts, *answer):
        text.hashes = _shingles(text, hidden)
    uncommon = _uncommon(texts, np.concatenate([text.hashes for text in answer] or [np.empty(0, np.uint64)]))
    return _pairs(students, texts, uncommon)


def _pieces(data: bytes, release: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(what it is, kind, source) of each cell. Those that are the release's have no line that is not given."""
    tasks = {mark["grade_id"] for mark in map(nbgrader_of, release["cells"]) if mark.get("solution")}
    found, own = [], 0
    for cell in read(data).cells:
        own += cell.grade_id not in tasks
        found.append((cell.grade_id if cell.grade_id in tasks else f"cell {own}", cell.kind, cell.source))
    return found


def _defined(release: Mapping[str, Any]) -> set[str]:
    """Names that the release imports or defines, outside functions and classes."""
    found: set[str] = set()
    for cell in release["cells"]:
        if cell["cell_type"] == "code":
            text = source_of(cell)
            found.update(re.findall(r"^(?:def|class)\s+(\w+)", text, re.MULTILINE))
            for line in re.findall(r"^\s*(?:from\s+\S+\s+)?import\s+(.*)$", text, re.MULTILINE):
                found.update(re.findall(r"\w+", line))
    return found


def _own(pieces: Sequence[tuple[str, str, str]], given: set[str], vocabulary: _Vocabulary) -> _Text:
    """The tokens of the cells, without the lines in `given`."""
    cells, parts, room = [], [], LENGTH
    for name, kind, whole in pieces:
        source = whole[:room]
        room -= len(source)
        lines = source.split("\n")
        keep = np.array([line.strip() not in given for line in lines])
        if keep.any():
            tokens, at = _code(source, vocabulary) if kind == "code" else _prose(lines, vocabulary)
            line = np.array(at, int)
            kept = keep[np.minimum(line, len(keep) - 1)]
            parts.append((np.array(tokens, int)[kept], np.full(kept.sum(), len(cells)), line[kept]))
            cells.append((name, source))
    empty = np.empty(0, int)
    tokens, cell, line = (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else (empty,) * 3
    return _Text(cells, tokens, cell, line, np.zeros(len(tokens), np.uint64))


def _prose(lines: Sequence[str], vocabulary: _Vocabulary) -> tuple[list[int], list[int]]:
    """The words of a text, as numbers, and the line of each. In the vocabulary they start with a space."""
    found = [(vocabulary[f" {word.casefold()}"], number) for number, line in enumerate(lines) for word in WORD(line)]
    return [word for word, _ in found], [number for _, number in found]


def _code(source: str, vocabulary: _Vocabulary) -> tuple[list[int], list[int]]:
    """The tokens of a cell, as numbers, and the line of each, be it valid Python or not."""
    tokens: list[int] = []
    lines: list[int] = []
    line, depth, start, docstring, dot = 0, 0, True, False, False
    for match in TOKEN.finditer(source):
        kind, token = match.lastgroup, match[0]
        if kind == "name":
            tokens.append(vocabulary[f".{token}" if dot else token])
            lines.append(line)
            start = docstring = dot = False
        elif kind == "newline":
            if docstring:
                tokens.pop()
                lines.pop()
            start = start or (depth == 0 and token == "\n")
            docstring = False
            line += 1
        elif kind == "string":
            tokens.append(vocabulary["''"])
            lines.append(line)
            docstring, start, dot = start and depth == 0, False, False
            line += token.count("\n")
        elif kind != "comment":
            tokens.append(vocabulary[token])
            lines.append(line)
            start = docstring = False
            dot = token == "."
            if token in OPENING:
                depth += 1
            elif token in CLOSING and depth:
                depth -= 1
    if docstring:
        tokens.pop()
        lines.pop()
    return tokens, lines


def _hidden(texts: Sequence[_Text], vocabulary: _Vocabulary, release: Mapping[str, Any]) -> np.ndarray:
    """Of each token of the vocabulary, whether it is a name that the student may have chosen."""
    public = PYTHON | _defined(release)
    given = {f".{name}" for cell in release["cells"] for name in re.findall(r"\.(\w+)", source_of(cell))}
    times = np.zeros(len(vocabulary), int)
    for text in texts:
        times[np.unique(text.tokens)] += 1
    several = max(3, len(texts) // 10)
    hidden = np.zeros(len(vocabulary), bool)
    for token, number in vocabulary.items():
        if token.isidentifier():
            hidden[number] = token not in public
        elif token.startswith(".") and token[1:].isidentifier():
            hidden[number] = times[number] < several and token not in given
    return hidden


def _shingles(text: _Text, hidden: np.ndarray) -> np.ndarray:
    """A number for each token: the shingle that starts there, 0 where the cell ends before it does."""
    count = len(text.tokens)
    hashes = np.zeros(count, np.uint64)
    if count < WIDTH:
        return hashes
    codes = text.tokens + WIDTH + 1
    places = np.flatnonzero(hidden[text.tokens])
    if len(places):  # a hidden name becomes the number of tokens since it was last met in its cell
        key = text.tokens[places] + len(hidden) * text.cell[places]
        order = np.argsort(key, kind="stable")
        ago = np.full(len(places), WIDTH)
        again = np.flatnonzero(key[order][1:] == key[order][:-1]) + 1
        ago[order[again]] = places[order[again]] - places[order[again - 1]]
        codes[places] = np.minimum(ago, WIDTH)
    mixed = codes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    windows = np.lib.stride_tricks.sliding_window_view(mixed, WIDTH)
    found = (windows * TURNS).sum(axis=1, dtype=np.uint64) | np.uint64(1)
    hashes[: len(found)] = np.where(text.cell[: len(found)] == text.cell[WIDTH - 1 :], found, 0)
    return hashes


def _uncommon(texts: Sequence[_Text], known: np.ndarray) -> list[np.ndarray]:
    """The different shingles of each text that few others have, sorted."""
    sets = [np.unique(text.hashes[text.hashes != 0]) for text in texts]
    values, counts = np.unique(np.concatenate(sets), return_counts=True)
    limit = max(FEW, min(MANY, int(CROWD * len(texts))))
    common = np.union1d(values[counts > limit], known)
    return [np.setdiff1d(one, common, assume_unique=True) for one in sets]


def _pairs(students: Sequence[str], texts: Sequence[_Text], uncommon: Sequence[np.ndarray]) -> Similar:
    owner = np.repeat(np.arange(len(uncommon)), [len(one) for one in uncommon])
    values = np.concatenate(uncommon)
    order = np.lexsort((owner, values))
    owner, values = owner[order], values[order]
    found: list[np.ndarray] = []
    step = 1
    while True:  # shingles are sorted, so those of the same value stand together: compare each with the next, and so on
        same = np.flatnonzero(values[step:] == values[:-step]) if step < len(values) else np.empty(0, int)
        if not len(same):
            break
        found.append(owner[same] * len(texts) + owner[same + step])
        step += 1
    keys, shared = np.unique(np.concatenate(found), return_counts=True) if found else (np.empty(0, int),) * 2
    keys = keys[shared >= LEAST]
    index = [_Index.of(text, one) for text, one in zip(texts, uncommon, strict=True)]
    rated = []
    for a, b in zip((keys // len(texts)).tolist(), (keys % len(texts)).tolist(), strict=True):
        _, by_cell = index[a].shared_with(index[b])
        count, whole = sum(by_cell.values()), min(len(uncommon[a]), len(uncommon[b]))
        share = min(1.0, count / whole)
        tasks = {}
        for name, within in by_cell.items():
            size = min(index[a].sizes[name], index[b].sizes.get(name, whole))
            if within >= LEAST and within >= TASK_SHARE * size:
                tasks[name] = min(1.0, within / size)
        if count >= LEAST and (share >= SHARE or tasks):
            rated.append((count, a, b, share, dict(sorted(tasks.items()))))
    rated.sort(key=lambda row: (-row[0], row[1], row[2]))
    pairs = [
        Pair((students[a], students[b]), share, count, tasks, _passages(index[a], index[b]))
        for count, a, b, share, tasks in rated[:PAIRS]
    ]
    return Similar(pairs, len(rated), len(texts))


@dataclass(frozen=True)
class _Index:
    """What is looked up of one text for each pair that it is in."""

    text: _Text
    all: np.ndarray  # its different shingles, sorted
    fresh: np.ndarray  # of each token, whether the shingle that starts there is uncommon and was not there before
    cells: list[str]  # of each token: what its cell is
    sizes: dict[str, int]  # how many different uncommon shingles each cell has

    @classmethod
    def of(cls, text: _Text, uncommon: np.ndarray) -> _Index:
        values, places = np.unique(text.hashes, return_index=True)
        fresh = np.zeros(len(text.hashes), bool)
        fresh[places[np.searchsorted(values, uncommon)]] = True
        cells = [text.cells[number][0] for number in text.cell.tolist()]
        sizes = Counter(cells[place] for place in np.flatnonzero(fresh).tolist())
        return cls(text, values[values != 0], fresh, cells, dict(sizes))

    def shared_with(self, other: _Index) -> tuple[list[tuple[int, int]], Counter[str]]:
        """The runs of RUN shingles or more that `other` has as well, and how many uncommon ones they hold by cell.

        Common shingles belong to a run, too, but a run of nothing else does not count.

        Returns:
            (first, last) token at which a shingle of the run starts, for each run; the numbers.
        """
        at = np.minimum(np.searchsorted(other.all, self.text.hashes), len(other.all) - 1)
        both = np.flatnonzero(other.all[at] == self.text.hashes)
        ends = np.flatnonzero(np.diff(both) != 1)
        firsts, lasts = both[np.append(0, ends + 1)], both[np.append(ends, len(both) - 1)]
        runs, counts = [], Counter[str]()
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            if last - first + 1 >= RUN:
                fresh = np.flatnonzero(self.fresh[first : last + 1]).tolist()
                if fresh:
                    runs.append((first, last))
                    counts.update(self.cells[first + place] for place in fresh)
        return runs, counts


def _passages(one: _Index, other: _Index) -> list[Passage]:
    """The longest runs, as lines of both."""
    there: dict[int, list[int]] = {}
    for place, value in enumerate(other.text.hashes.tolist()):
        there.setdefault(value, []).append(place)
    runs, _ = one.shared_with(other)
    found = []
    for first, last in sorted(runs, key=lambda run: run[0] - run[1])[:PASSAGES]:
        best, length = 0, 0
        for begin in there[int(one.text.hashes[first])][:LINES]:  # where it goes on for longest
            same = one.text.hashes[first : last + 1][: len(other.text.hashes) - begin]
            unlike = np.flatnonzero(same != other.text.hashes[begin : begin + len(same)])
            reached = int(unlike[0]) if len(unlike) else len(same)
            if reached > length:
                best, length = begin, reached
        tokens = last - first + WIDTH
        texts = (_lines(one.text, first, last + WIDTH), _lines(other.text, best, best + length - 1 + WIDTH))
        found.append(Passage(one.cells[first], tokens, texts))
    return found


def _lines(text: _Text, start: int, end: int) -> str:
    lines = text.cells[text.cell[start]][1].split("\n")
    shown = lines[text.line[start] : text.line[end - 1] + 1]
    cut = [line if len(line) <= LINE else f"{line[:LINE]}…" for line in shown[:LINES]]
    return "\n".join([*cut, *(["…"] if len(shown) > LINES else [])])
