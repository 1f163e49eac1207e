"""A submission put back together on the problem set as it was released: the student's text in the release's notebook.

`rebuild` takes the bytes of any file. What it finds of the problem set is found in this order: by nbgrader's grade_id,
by the id of the cell (for solutions after the next two), by exactly the release's text, by the functions and classes
that a cell defines, by the words it shares with the release, and for a written answer by its place between its
neighbours.

A solution cell takes the student's text; a locked cell always has the release's; of any other cell of the release the
student's version counts where there is one. Cells of the student's own stay where they stood.

Which of several copies of a solution cell counts: of those that differ from the stub, one that defines what the task
asks for and is valid Python before one that does not; of these the last in the notebook. (nbgrader too, where it meets
a grade_id twice, keeps the last: nbgrader.preprocessors.DeduplicateIds.) Other copies stay as cells of the student's
own, before it. Of a written answer every copy counts, one after the other.

Standard library only, and linear in the size of the file up to fixed limits, for students run this too.
"""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.handin.cells import nbgrader_of, source_of
from course_lib.handin.reading import Cell, read

# What nbgrader puts where a solution was, and what a graded copy of the notebook has where hidden tests were.
PLACEHOLDERS = {"# YOUR CODE HERE", "raise NotImplementedError()", "YOUR ANSWER HERE"}
HIDDEN = re.compile(r"^[^\n]*BEGIN HIDDEN TESTS.*?(?:END HIDDEN TESTS[^\n]*\n?|\Z)", re.DOTALL | re.MULTILINE)
HIDDEN_RAN = re.compile(r"^# Hidden tests ran here\.[ \t]*\n?", re.MULTILINE)
DEFINES = r"^(?:async[ \t]+)?(?:def|class)[ \t]+({})\b"
ASSIGNS = r"^({})[ \t]*(?::[^=\n]*)?=(?!=)"
MAGIC = re.compile(r"^([ \t]*)[%!].*$", re.MULTILINE)
WORD = re.compile(r"\w+")

ALIKE = 0.6  # share of words from which on an unmarked cell is taken for one of the release
ALIKE_THERE = 0.3  # for one that stands alone where the cell should be
ALIKE_LOCKED = 0.75  # for a locked cell, of which there are many that differ in a word only
COMPARED = 20_000  # pairs of cells whose words are compared
READ_WORDS = 4_000  # characters of a cell that are compared
LONG = 1_000_000  # characters; no cell of a release is as long
PARSED = 200_000  # characters of a cell that Python's parser is given
PARSES = 500_000  # and of all of them together
MARKS = ("grade", "solution", "locked", "points", "task", "schema_version")  # of nbgrader's marks, those that count


@dataclass(frozen=True)
class Piece:
    """One cell of the rebuilt notebook."""

    place: int | None  # index of the release's cell that this is; None for a cell of the student's own
    kind: str  # "code", "markdown" or "raw"
    source: str  # can be encoded in UTF-8
    grade_id: str = ""  # "" where it has none
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)  # the student's pictures in a written text
    origin: int | None = field(default=None, compare=False)  # which of the cells handed in; None where it is none


@dataclass(frozen=True)
class Rebuilt:
    """A submission on the release's notebook. Where `refusal` is not empty there are no pieces."""

    pieces: list[Piece] = field(default_factory=list)  # each cell of the release once, in its order; others in between
    repairs: list[str] = field(default_factory=list)  # sentences: what was repaired
    tampered: list[str] = field(default_factory=list)  # sentences: locked cells in which the text was another
    refusal: str = ""  # a clause that follows "was not graded:"; empty if it can be graded


@dataclass(frozen=True)
class Slot:
    """One cell of the release."""

    place: int
    kind: str
    text: str
    grade_id: str
    cell_id: str
    role: str  # "solution", "locked" or "plain"
    graded: bool
    marks: dict[str, Any]
    attachments: dict[str, dict[str, str]]
    plain_text: str  # without differences that do not count
    names: frozenset[str]  # what a solution in code is asked to define

    @property
    def written(self) -> bool:
        """A solution in words."""
        return self.role == "solution" and self.kind != "code"

    @property
    def title(self) -> str:
        """How a student would know the cell."""
        return f"'{self.grade_id}'" if self.grade_id else excerpt(self.text)


def rebuild(data: bytes, release: dict[str, Any]) -> Rebuilt:
    """A submission rebuilt on the release. Never raises, whatever the bytes are.

    Args:
        data: the file as it was handed in.
        release: the students' version of the problem set, as JSON gives it; it is trusted to be well-formed.
    """
    try:
        return _rebuild(data, release)
    except Exception as error:  # none is known; one submission must not stop the others
        reason = f"it has a form that was not foreseen ({type(error).__name__})"
        return Rebuilt(refusal=f"{reason}; copy your answers into a fresh copy of the problem set")


def _rebuild(data: bytes, release: dict[str, Any]) -> Rebuilt:
    slots = slots_of(release)
    notebook = read(data)
    if notebook.refusal:
        return Rebuilt(refusal=notebook.refusal)
    work = _Work(slots, notebook.cells)
    work.by_grade_id()
    work.by_cell_id("plain", "locked")
    work.by_text()
    work.by_names()
    work.by_cell_id("solution")
    work.by_words()
    if not any(slots[place].graded for place in work.at):
        return Rebuilt(refusal=_nothing_of_it(notebook.cells))
    work.by_place()
    work.split_merged()
    work.put_in_order()
    work.join_split()
    pieces = work.pieces()
    return Rebuilt(pieces, notebook.repairs + work.repairs(), work.tampered)


def notebook_of(
    rebuilt: Rebuilt, release: dict[str, Any], submitted: Sequence[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """A rebuilt submission as a notebook of format 4.5, with the release's marks, ids and metadata.

    Args:
        submitted: the cells as they were handed in; where given, outputs of cells that ran are kept.
    """
    used = {cell.get("id") for cell in release["cells"]}
    cells = []
    for number, piece in enumerate(rebuilt.pieces):
        if piece.place is not None:
            cell = {key: value for key, value in release["cells"][piece.place].items() if key != "attachments"}
            cell = {"id": f"release-{piece.place}", "metadata": {}} | cell | {"source": piece.source}
        else:
            name = next(name for k in range(len(used) + 1) if (name := f"own-{number}" + f"-{k}" * bool(k)) not in used)
            used.add(name)
            cell = {"cell_type": piece.kind, "id": name, "metadata": {}, "source": piece.source}
        if piece.kind == "code":
            cell |= {"outputs": [], "execution_count": None}
            original = submitted[piece.origin] if submitted is not None and piece.origin is not None else {}
            count = original.get("execution_count")
            if isinstance(original.get("outputs"), list):
                cell["outputs"] = [output for output in original["outputs"] if isinstance(output, dict)]
            if isinstance(count, int) and not isinstance(count, bool):
                cell["execution_count"] = count
        elif piece.attachments:
            cell["attachments"] = piece.attachments
        cells.append(cell)
    return {"cells": cells, "metadata": release.get("metadata", {}), "nbformat": 4, "nbformat_minor": 5}


# -------------------------------------------------------------------------------------------------- the release


def slots_of(release: dict[str, Any]) -> list[Slot]:
    """What is to be known of each cell of the release."""
    slots = []
    for place, cell in enumerate(release["cells"]):
        marks, text, kind = nbgrader_of(cell), source_of(cell), cell["cell_type"]
        solution = bool(marks.get("solution"))
        locked = not solution and bool(marks.get("locked") or marks.get("grade") or marks.get("task"))
        slots.append(
            Slot(
                place,
                kind,
                text,
                str(marks.get("grade_id") or ""),
                str(cell.get("id") or ""),
                "solution" if solution else "locked" if locked else "plain",
                solution or bool(marks.get("grade")),
                marks,
                cell.get("attachments", {}),
                normal(text),
                asked(text) if solution and kind == "code" else frozenset(),
            )
        )
    return slots


def _nothing_of_it(cells: Sequence[Cell]) -> str:
    strange = next((cell.grade_id for cell in cells if cell.grade_id), "")
    if strange:
        return (
            f"none of its graded cells is of this problem set (one is {excerpt(strange)}); "
            "hand in the notebook of this problem set"
        )
    return (
        "it has none of the problem set's graded cells; "
        "copy your answers into a fresh copy of the problem set and hand that in"
    )


# ------------------------------------------------------------------------------------------------------ the texts


def normal(text: str) -> str:
    """`text` without what editors change by themselves: ends of lines, white space there, empty lines around it.

    A text that is far too long to be one of the release's is left as it is.
    """
    if len(text) > LONG:
        return text
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def without_hidden(text: str) -> str:
    """`text` of a test cell without the hidden tests that nbgrader, or a graded copy, has put into it."""
    if len(text) > PARSED:
        return normal(text)
    return normal(HIDDEN_RAN.sub("", HIDDEN.sub("", normal(text) + "\n")))


def asked(stub: str) -> frozenset[str]:
    """The functions and classes that a stub defines at its top level; where there are none, the names it assigns."""
    patterns = (re.compile(form.format(r"\w+"), re.MULTILINE) for form in (DEFINES, ASSIGNS))
    return next((frozenset(found) for pattern in patterns if (found := pattern.findall(stub))), frozenset())


def words(text: str) -> Counter[str]:
    """How often each word stands in the beginning of a text, placeholders left out."""
    lines = [line for line in text[:READ_WORDS].split("\n") if line.strip() not in PLACEHOLDERS]
    return Counter(WORD.findall("\n".join(lines)))


def excerpt(text: str, length: int = 40) -> str:
    """The first line of a text that is not empty, shortened, in quotes."""
    line = next((line.strip() for line in text[:2_000].split("\n") if line.strip()), "")
    return repr(line if len(line) <= length else line[: length - 1] + "…")


def first_difference(text: str, original: str) -> str:
    """The first line of `text` that the original has not, in quotes; "" where it only lacks some."""
    known = set(normal(original).split("\n"))
    line = next((line for line in normal(text[:PARSED]).split("\n") if line and line not in known), "")
    return excerpt(line, 60) if line else ""


def cut(text: str, block: str) -> str | None:
    """`text`, normalised, without the lines of `block`; None where they do not stand in it one after the other."""
    lines = f"\n{normal(text)}\n"
    at = lines.find(f"\n{block}\n")
    return None if at < 0 else (lines[:at] + lines[at + len(block) + 1 :]).strip("\n")


# --------------------------------------------------------------------------------------------------- the matching


class _Work:
    """Which of the student's cells stands for which of the release's, worked out step by step."""

    def __init__(self, slots: list[Slot], cells: list[Cell]) -> None:
        self.slots, self.cells = slots, cells
        self.at: dict[int, int] = {}  # place in the release: index of the student's cell
        self.taken: dict[int, int] = {}  # the reverse
        self.text: dict[int, str] = {}  # place: text, where it is not that of the cell
        self.gone: set[int] = set()  # student's cells that are in others, or copies
        self.copies: dict[int, int] = {}  # student's cell: place that it is another copy of
        self.after: dict[int, list[tuple[str, int]]] = {}  # place: (text, index) of a note to be kept after it
        self.told: dict[str, list[str]] = {}  # sentence with {}: titles of cells
        self.marked: set[int] = set()  # places found by their mark
        self.tampered: list[str] = []
        self.before: dict[int, list[int]] = {}  # place: student's own cells that come before it
        self.rests: dict[int, str] = {}  # place of a locked cell: what the student's has more than the release's
        self.found: dict[int, set[str]] = {}  # student's cell: what it defines
        self.plain: dict[int, str] = {}  # student's cell: its text, normalised
        self.parsed = 0
        names = "|".join(map(re.escape, sorted(set().union(*(slot.names for slot in slots)))))
        forms = f"{DEFINES.format(names)}|{ASSIGNS.format(names)}"
        self.wanted = re.compile(forms, re.MULTILINE) if names else None  # definitions of what the tasks ask for
        self.known = {slot.grade_id: slot.place for slot in slots if slot.grade_id}

    def tell(self, sentence: str, slot: Slot) -> None:
        """A repair; the sentence is one for all cells to which it applies, see `_sentence`."""
        self.told.setdefault(sentence, []).append(slot.title)

    def repairs(self) -> list[str]:
        """The sentences, one for cells that share a repair."""
        return [_sentence(form, titles) for form, titles in self.told.items()]

    def take(self, place: int, index: int) -> None:
        self.at[place], self.taken[index] = index, place

    def free(self) -> list[int]:
        """The student's cells that stand for nothing yet, in order."""
        return [
            index
            for index in range(len(self.cells))
            if index not in self.taken and index not in self.gone and index not in self.copies
        ]

    def open(self, *roles: str) -> list[Slot]:
        """The release's cells that are not found yet; of these roles, or all."""
        return [slot for slot in self.slots if slot.place not in self.at and (not roles or slot.role in roles)]

    def names_in(self, text: str) -> set[str]:
        """What the tasks ask for and `text` defines at its top level."""
        return {first or second for first, second in self.wanted.findall(text[:LONG])} if self.wanted else set()

    def defines(self, index: int) -> set[str]:
        """The same of a student's cell."""
        if index not in self.found:
            self.found[index] = self.names_in(self.cells[index].source)
        return self.found[index]

    def normal(self, index: int) -> str:
        """The text of a student's cell, normalised."""
        if index not in self.plain:
            self.plain[index] = normal(self.cells[index].source)
        return self.plain[index]

    def text_at(self, place: int) -> str:
        """The student's text for a cell of the release that was found."""
        return self.text.get(place, self.cells[self.at[place]].source)

    def valid(self, text: str) -> bool:
        """Whether code can be compiled, magics aside. What is too long to be tried counts as valid."""
        self.parsed += len(text)
        if len(text) > PARSED or self.parsed > PARSES:
            return True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(MAGIC.sub(r"\1pass", text))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
        return True

    # ------------------------------------------------------------------------------------------------- one by one

    def by_grade_id(self) -> None:
        """Cells that carry a grade_id of the release; of several with one, the copy that counts."""
        groups: dict[str, list[int]] = {}
        for index, cell in enumerate(self.cells):
            if cell.grade_id in self.known:
                groups.setdefault(cell.grade_id, []).append(index)
        lacking = [slot for slot in self.slots if slot.names and slot.grade_id not in groups]
        for grade_id, found in groups.items():
            slot = self.slots[self.known[grade_id]]
            if len(found) > 1 and slot.names:  # copies that were made into the solution of another task
                own = [
                    index
                    for index in found
                    if slot.names & self.defines(index)
                    or not any(other.names & self.defines(index) for other in lacking)
                ]
                found = own or found
            self.marked.add(slot.place)
            if len(found) == 1:
                self.take(slot.place, found[0])
            else:
                self._choose(slot, found)

    def _choose(self, slot: Slot, found: list[int]) -> None:
        """Of several cells for one place, the one that counts."""
        done = [index for index in found if self.normal(index) not in (slot.plain_text, "")]
        if slot.role == "locked":
            same = [index for index in found if without_hidden(self.cells[index].source) == slot.plain_text]
            chosen = (same or found)[0]
            sentence = "{Cells} {was} there more than once; one was kept."
        elif slot.written and done:
            chosen = done[-1]
            texts = list(dict.fromkeys(self.cells[index].source for index in done))
            if len(texts) > 1:
                self.text[slot.place] = "\n\n".join(texts)
                self.gone |= set(done) - {chosen}
            sentence = "{Cells} {was} there more than once; all that was written counts."
        elif done:
            complete = [(slot.names <= self.defines(k), self.valid(self.cells[k].source), k) for k in done]
            chosen = max(complete)[-1]
            others = {self.normal(index) for index in done} - {self.normal(chosen)}
            if not others:
                sentence = "{Cells} {was} there more than once; what was changed counts."
            elif any(self.defines(index) & self.defines(chosen) for index in done if index != chosen):
                sentence = "{Cells} {was} there more than once; the last complete one counts, others stay as your own."
            else:
                sentence = "{Cells} {was} there more than once, in different parts; all of them were kept."
        else:
            chosen = found[0]
            sentence = "{Cells} {was} there more than once; one was kept."
        self.take(slot.place, chosen)
        self.tell(sentence, slot)
        known = {slot.plain_text, "", self.normal(chosen)}
        for index in found:
            if index != chosen and index not in self.gone:
                if self.normal(index) in known or (slot.role == "locked" and index in same):
                    self.gone.add(index)
                else:  # before the one that counts, so that it does not undo it
                    undoes = self.defines(index) & self.defines(chosen)
                    self.copies[index] = slot.place if undoes else len(self.slots)

    def by_text(self) -> None:
        """Unmarked cells with exactly the text of the release; of equal ones the first is the first."""
        free: dict[str, list[int]] = {}
        longest = 2 * max((len(slot.text) for slot in self.slots), default=0)
        for index in self.free():
            if len(self.cells[index].source) <= longest:
                free.setdefault(self.normal(index), []).append(index)
        for slot in self.open():
            if slot.written or not slot.plain_text:
                continue
            same = free.get(slot.plain_text)
            if same:  # the one with the id, or else the first
                index = next((index for index in same if slot.cell_id in self.cells[index].ids), same[0])
                same.remove(index)
                self.take(slot.place, index)
                self._recognised(slot)

    def _recognised(self, slot: Slot) -> None:
        if slot.grade_id:
            self.tell("{Cells} had lost nbgrader's marks and {was} recognised by what {it} {hold}.", slot)

    def by_names(self) -> None:
        """Unmarked cells that define what a solution in code is asked to define."""
        defining: dict[str, list[int]] = {}
        for index in self.free():
            for name in self.defines(index):
                defining.setdefault(name, []).append(index)
        for slot in self.open("solution"):
            others = set().union(*(other.names for other in self.slots if other.place != slot.place))
            found = {index for name in slot.names - others for index in defining.get(name, ())}
            found -= self.taken.keys()
            if not found:
                continue
            most = max(len(slot.names & self.defines(index)) for index in found)
            best = sorted(index for index in found if len(slot.names & self.defines(index)) == most)
            if len(best) == 1:
                self.take(slot.place, best[0])
            else:
                self._choose(slot, best[-20:])
            self._recognised(slot)

    def by_cell_id(self, *roles: str) -> None:
        """Cells without a grade_id of the release that have the id of one of its cells."""
        where: dict[str, int] = {}
        for index in reversed(self.free()):
            if self.cells[index].grade_id not in self.known:
                where |= dict.fromkeys(self.cells[index].ids, index)
        for slot in self.open(*roles):
            index = where.get(slot.cell_id)
            if slot.cell_id and index is not None and index not in self.taken:
                self.take(slot.place, index)
                self._recognised(slot)

    def by_words(self) -> None:
        """Unmarked cells that share most of their words with a cell of the release."""
        free, wanted = self.free(), [slot for slot in self.open() if not slot.written]
        if not free or not wanted:
            return
        free = free[: max(1, COMPARED // len(wanted))]
        bags = {index: words(self.cells[index].source) for index in free}
        sizes = {index: bag.total() for index, bag in bags.items()}
        scores = []
        for slot in wanted:
            bag = words(slot.text)
            size = bag.total()
            for index in free:
                shared = (bag & bags[index]).total()
                # a solution grows around the stub; other cells stay as long as they were
                grows = slot.role == "solution" and size > 5
                scores.append((shared / size if grows else 2 * shared / (size + sizes[index] or 1), slot, index))
        scores.sort(key=lambda score: (-score[0], score[1].place, score[2]))
        for alike, slot, index in scores:
            least = ALIKE_LOCKED if slot.role == "locked" else ALIKE
            if alike < ALIKE_THERE:
                break
            if slot.place in self.at or index in self.taken:
                continue
            if alike >= least or (slot.role == "plain" and self._between(slot) == [index]):
                self.take(slot.place, index)
                self._recognised(slot)

    def _between(self, slot: Slot) -> list[int]:
        """The student's cells of the same kind between the two that stand around a place."""
        below = self.at.get(slot.place - 1, -1 if slot.place == 0 else len(self.cells))
        above = self.at.get(slot.place + 1, len(self.cells) if slot.place + 1 == len(self.slots) else -1)
        if above - below > 20:
            return []
        return [index for index in range(below + 1, above) if self.cells[index].kind == slot.kind]

    def by_place(self) -> None:
        """Written answers without a mark: unmarked text between the cells that stand around the answer."""
        free = self.free()
        gaps: dict[tuple[int, int], list[Slot]] = {}
        for slot in self.open("solution"):
            if slot.written:
                below = max((self.at[p] for p in self.at if p < slot.place), default=-1)
                above = min((self.at[p] for p in self.at if p > slot.place), default=len(self.cells))
                gaps.setdefault((below, above), []).append(slot)
        for (below, above), slots in gaps.items():
            there = [index for index in free if below < index < above and self.cells[index].kind != "code"]
            for number, slot in enumerate(slots[: len(there)]):
                last = number == len(slots) - 1
                parts = there[number:] if last else [there[number]]
                self.take(slot.place, parts[0])
                if len(parts) > 1:
                    self.text[slot.place] = "\n\n".join(self.cells[index].source for index in parts)
                    self.gone |= set(parts[1:])
                self._recognised(slot)

    # -------------------------------------------------------------------------------------------- split and merged

    def split_merged(self) -> None:
        """Cells of the release that stand inside another of the student's cells."""
        whole = [slot for slot in self.open() if slot.role != "solution" and len(slot.plain_text) >= 15]
        for place, index in list(self.at.items()):
            slot, text = self.slots[place], self.text_at(place)
            if normal(text) == slot.plain_text:
                continue
            rest, merged = text, False
            if slot.role != "solution":
                own = cut(without_hidden(text) if slot.role == "locked" else text, slot.plain_text)
                if own is None and slot.role == "locked":
                    continue
                rest = text if own is None else own
            for inside in list(whole):
                shorter = cut(rest, inside.plain_text)
                if shorter is not None:
                    rest, merged = shorter, True
                    whole.remove(inside)
                    self.at[inside.place], self.text[inside.place] = index, inside.text
                    self.tell("{Cells} had been merged with another; they were taken apart.", inside)
            if slot.role != "solution" and own is not None:
                self.rests[place] = rest
                if merged:
                    self.text[place] = f"{slot.text}\n{rest}"
            elif merged:
                self.text[place] = rest
        for slot in self.slots:
            missing = slot.place not in self.at
            if slot.role == "solution" and (missing or normal(self.text_at(slot.place)) == slot.plain_text):
                self._inside(slot, missing)
        for place, rest in self.rests.items():
            slot = self.slots[place]
            if slot.role == "plain" and not rest:
                self.text[place] = slot.text

    def _inside(self, slot: Slot, missing: bool) -> None:
        """Find a solution that is missing, or still the stub, in what was merged or written into another cell."""
        for place, rest in self.rests.items():
            between = range(place + 1, slot.place)
            if slot.names:
                there = slot.names <= self.names_in(rest)
            else:  # words have no names; they must follow the question
                there = bool(missing and rest and between) or place == slot.place - 1
                there = there and bool(rest) and missing and all(self.at.get(p) == self.at[place] for p in between)
            if there:
                self.text[slot.place], self.rests[place] = rest, ""
                self.at.setdefault(slot.place, self.at[place])
                self.tell("What {cells} {ask} for stood in another cell, and was taken from there.", slot)
                return
        for other in self.slots if missing and slot.names else ():
            if other.names and other.place in self.at and slot.names <= self.names_in(self.text_at(other.place)):
                self.at[slot.place] = self.at[other.place]
                self.text[slot.place] = f"# The code of this task stands in the cell {other.title}."
                self.tell("What {cells} {ask} for stood in the cell of another task, and counts.", slot)
                return

    def join_split(self) -> None:
        """A solution that is valid code only together with the student's cells beside it: put together again."""
        for slot in self.slots:
            if slot.names and slot.place in self.at and normal(self.text_at(slot.place)) != slot.plain_text:
                joined = False
                while self._join(slot):
                    joined = True
                if joined:
                    self.tell("{Cells} stood there in parts, which were put together.", slot)

    def _join(self, slot: Slot) -> bool:
        """Join the smallest number of cells that helps; whether there was something to join."""
        text = self.text_at(slot.place)
        above, below = self.before.get(slot.place, []), self.before.get(slot.place + 1, [])
        if not above and not below:
            return False
        partial = not (slot.names <= self.names_in(text) and self.valid(text))
        broken_above = bool(above) and self._broken(above[-1])
        broken_below = bool(below) and self._broken(below[0])
        for first, last in ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 2)):
            if not (partial or (first and broken_above) or (last and broken_below)):
                continue
            upper, lower = above[len(above) - first :] if first else [], below[:last]
            parts = [self.cells[index] for index in upper + lower]
            if len(above) < first or len(below) < last or any(part.kind != "code" for part in parts):
                continue
            sources = [part.source for part in parts]
            joined = "\n".join([*sources[:first], text, *sources[first:]])
            if slot.names <= self.names_in(joined) and self.valid(joined):
                self.text[slot.place] = joined
                del above[len(above) - first :], below[:last]
                return True
        return False

    def _broken(self, index: int) -> bool:
        """Whether a cell of the student's own is not valid code by itself."""
        return self.cells[index].kind == "code" and not self.valid(self.cells[index].source)

    # ---------------------------------------------------------------------------------------------------- together

    def pieces(self) -> list[Piece]:
        """Every cell of the release once, in its order, and the student's own between them."""
        before, pieces = self.before, []
        for slot in self.slots:
            pieces += [self._own(index) for index in before.get(slot.place, ())]
            pieces.append(self._piece(slot))
            pieces += [Piece(None, "markdown", text, origin=index) for text, index in self.after.get(slot.place, ())]
        return pieces + [self._own(index) for index in before.get(len(self.slots), ())]

    def _own(self, index: int) -> Piece:
        cell = self.cells[index]
        return Piece(None, cell.kind, cell.source, "", cell.attachments if cell.kind != "code" else {}, index)

    def _piece(self, slot: Slot) -> Piece:
        index = self.at.get(slot.place)
        release = Piece(slot.place, slot.kind, slot.text, slot.grade_id, slot.attachments)
        if index is None:
            self._missing(slot)
            return release
        cell = self.cells[index]
        found = self.taken.get(index) == slot.place  # and not merged into another one
        if slot.place in self.marked and found:
            self._compare_marks(slot, cell)
        if slot.role == "locked":
            if found:
                self._compare(slot, index)
            return release
        if cell.kind != slot.kind and found:
            self.tell(f"{{Cells}} had become {cell.kind}; {{it}} {{count}} as {slot.kind}.", slot)
        attachments = cell.attachments if slot.kind != "code" else {}
        text = self.text.get(slot.place, cell.source)
        origin = index if found else None
        return Piece(slot.place, slot.kind, text, slot.grade_id, attachments or slot.attachments, origin)

    def _compare_marks(self, slot: Slot, cell: Cell) -> None:
        if any(not _equal(cell.marks.get(key), slot.marks.get(key)) for key in MARKS if key in slot.marks):
            self.tell("{Cells} had marks that were changed; those of the problem set count.", slot)

    def _missing(self, slot: Slot) -> None:
        if slot.role == "solution":
            self.tell("{Cells} {was} missing and {count} as not done.", slot)
        elif slot.plain_text:  # a cell that has only hidden tests is empty for students, and cannot be recognised
            self.tell("{Cells} {was} missing and {was} put back.", slot)

    def _compare(self, slot: Slot, index: int) -> None:
        """Say so if the text of a locked cell is not the release's; keep what was written into a text."""
        cell = self.cells[index]
        if self.normal(index) == slot.plain_text:
            if cell.kind != slot.kind:
                self.tell(f"{{Cells}} had become {cell.kind}; {{it}} {{count}} as {slot.kind}.", slot)
            return
        if without_hidden(cell.source) in (slot.plain_text, without_hidden(slot.text)):
            self.tell("{Cells} came from a graded notebook; the problem set's own text was used.", slot)
            return
        if self.rests.get(slot.place) == "":  # it was merged with other cells, which were taken out of it
            return
        what = "test cell" if slot.graded else "locked cell"
        changed = first_difference(cell.source, slot.text)
        how = f"it held {changed}" if changed else "some of it was missing"
        self.tampered.append(f"The {what} {slot.title} was not as released ({how}); the released text was used.")
        if slot.kind == "markdown" and changed:  # perhaps an answer, written into the question
            self.after.setdefault(slot.place, []).append((cell.source, index))

    def put_in_order(self) -> None:
        """Find what stood in another order, and before which cell of the release each of the student's own belongs."""
        order = sorted((index, place) for index, place in self.taken.items())
        steady = _longest_increasing([place for _, place in order])
        moved = [place for _, place in order if place not in steady]
        for place in moved:
            self.tell("{Cells} stood elsewhere and {was} put back in place.", self.slots[place])
        following: dict[int, int] = {}  # student's cell: the next place after it
        upcoming = -1
        for index in reversed(range(len(self.cells))):
            following[index] = upcoming
            upcoming = self.taken.get(index, upcoming)
        last = -1
        for index in range(len(self.cells)):
            if index in self.taken:
                last = self.taken[index]
            elif index not in self.gone:
                upcoming = following[index]
                goes_along = -1 < upcoming < last and upcoming not in steady and self.slots[upcoming].role == "solution"
                place = upcoming if goes_along else last + 1
                place = min(place, self.copies.get(index, place))
                self.before.setdefault(place, []).append(index)


def _equal(mark: Any, wanted: Any) -> bool:
    return mark == wanted or (not mark and not wanted)


def _sentence(form: str, titles: Sequence[str]) -> str:
    """A repair in words, about one cell or several."""
    titles = list(dict.fromkeys(titles))
    many = len(titles) > 1
    listed = f"cell{'s' * many} {_listed(titles)}"
    words = {
        "was": ("was", "were"),
        "it": ("it", "they"),
        "count": ("counts", "count"),
        "ask": ("asks", "ask"),
        "hold": ("holds", "hold"),
    }
    return form.format(Cells=f"The {listed}", cells=f"the {listed}", **{key: both[many] for key, both in words.items()})


def _listed(titles: Sequence[str], most: int = 8) -> str:
    """'a', 'b' and 'c'."""
    if len(titles) > most:
        return f"{', '.join(titles[:most])} and {len(titles) - most} more"
    return " and ".join(filter(None, (", ".join(titles[:-1]), titles[-1])))


def _longest_increasing(places: Iterable[int]) -> set[int]:
    """The members of a longest increasing subsequence of different numbers."""
    tails: list[int] = []
    before: dict[int, int | None] = {}
    for place in places:
        at = bisect_left(tails, place)
        before[place] = tails[at - 1] if at else None
        tails[at : at + 1] = [place]
    found: set[int] = set()
    place = tails[-1] if tails else None
    while place is not None:
        found.add(place)
        place = before[place]
    return found
