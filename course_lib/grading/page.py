"""What a feedback page says, and how: the score and what is likely wrong first, then the student's own work.

A page is made of the graded notebook, the record of its grading and what people gave in the gradebook. The text of
tests and tasks is taken from the release, which students have, never from the graded notebook, which holds hidden
tests; of a failed hidden test the page has no more than the record's sentence for the student. Whatever a student
wrote or printed goes through `sanitize`.
"""

from __future__ import annotations

import functools
import html as escaping
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from course_lib.errors import CourseError
from course_lib.grading import late, sanitize
from course_lib.grading.course import Course, nbgrader_of, source_of
from course_lib.grading.results import Place, Record, effective

SECONDS = 20.0  # of the processor, that a page's outputs may take; what comes after is shown as plain text
PICTURES = 12_000_000  # characters of all pictures in a page
TEXTS = 1_000_000  # characters of all its outputs
OUTPUTS = 40  # of a cell
MARKS = {"full": "✓", "part": "◐", "none": "✗", "waiting": "…"}
HEADING = re.compile(r"\s*#{1,6}\s+(.+)")
EXTRAS = re.compile(r"\s*\([^()]*\)\s*$")  # (25 minutes, 4 points)


HINT = {
    "title": "When a hidden test fails",
    "lines": [],
    "text": "Your code passes the check that you can see, but not on other data. Try it on data of another kind: a "
    "single example, sizes that differ and sizes that are equal, zeros, very large and negative numbers, float32, two "
    "calls in a row. And see that it does not change what it is given, unless the task asks for that.",
}


@dataclass(frozen=True)
class Grade:
    """What the gradebook holds of one graded cell. None: nothing was given."""

    auto: float | None = None
    manual: float | None = None
    extra: float | None = None
    pending: bool = False  # a person should look at it


@dataclass(frozen=True)
class Given:
    """What the gradebook holds of one submission."""

    person: str = ""
    grades: Mapping[str, Grade] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)
    penalty: float = 0.0


@dataclass(frozen=True)
class ProblemSet:
    """What all pages of a problem set have in common."""

    title: str
    texts: Mapping[str, str]  # grade_id of a locked cell: its text in the release
    unmarked: frozenset[str]  # the texts of the release's cells without a grade_id
    points: Mapping[str, float]  # grade_id of each graded cell, in order
    written: frozenset[str]  # those that a person grades
    hiding: frozenset[str]  # cells of which students do not see a part


@functools.lru_cache(maxsize=8)
def problem_set(root: Path, name: str) -> ProblemSet:
    """Read the instructor's notebook and the release. Raises CourseError where one is missing."""
    course = Course(root)
    source = course.read_source(name)
    try:
        release = json.loads(course.release(name).read_bytes())
    except (OSError, ValueError) as error:
        raise CourseError(f"{name} has no release that can be read; make it with course release {name}.") from error
    marked = {nbgrader_of(cell)["grade_id"]: cell for cell in release["cells"] if nbgrader_of(cell).get("grade_id")}
    texts = {key: source_of(cell) for key, cell in marked.items() if not nbgrader_of(cell).get("solution")}
    graded = [nbgrader_of(cell) for cell in source["cells"] if nbgrader_of(cell).get("grade")]
    heading = next((found for cell in release["cells"] if (found := _heading(cell))), name)
    return ProblemSet(
        title=heading,
        texts=texts,
        unmarked=frozenset(source_of(c).strip() for c in release["cells"] if not nbgrader_of(c).get("grade_id")),
        points={marks["grade_id"]: float(marks["points"]) for marks in graded},
        written=frozenset(marks["grade_id"] for marks in graded if marks.get("solution")),
        hiding=frozenset(
            key
            for cell in source["cells"]
            if (key := nbgrader_of(cell).get("grade_id", "")) in texts and texts[key].strip() != source_of(cell).strip()
        ),
    )


def _heading(cell: Mapping[str, Any]) -> str:
    """The heading that a Markdown cell begins with, as plain text; "" if it begins otherwise."""
    match = HEADING.match(source_of(dict(cell))) if cell.get("cell_type") == "markdown" else None
    return EXTRAS.sub("", re.sub(r"[*_`$]", "", match.group(1))).strip() if match else ""


# ---------------------------------------------------------------------------------------------- outputs


class Outputs:
    """The outputs of a page, within limits for all of them together."""

    def __init__(self) -> None:
        self.pictures, self.texts, self.ends_at = PICTURES, TEXTS, time.process_time() + SECONDS

    def of(self, cell: Mapping[str, Any], kinds: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The outputs of a cell, ready for the template; only those of `kinds` where any is given."""
        found: list[dict[str, Any]] = []
        outputs = cell.get("outputs")
        outputs = [one for one in outputs if isinstance(one, dict)] if isinstance(outputs, list) else []
        outputs = [one for one in outputs if not kinds or one.get("output_type") in kinds]
        for output in outputs[:OUTPUTS]:
            made = self._one(output)
            if made:
                found.append({"html": made, "error": output.get("output_type") == "error"})
        if len(outputs) > OUTPUTS:
            found.append({"html": _note(f"{len(outputs) - OUTPUTS} more outputs are not shown."), "error": False})
        return found

    def _one(self, output: Mapping[str, Any]) -> Markup:
        kind = output.get("output_type")
        if kind == "stream":
            return self.printed(_text(output.get("text")))
        if kind == "error":
            lines = output.get("traceback")
            said = "\n".join(line for line in lines if isinstance(line, str)) if isinstance(lines, list) else ""
            return self.printed(said or f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}")
        data = output.get("data")
        return (
            self._rich({str(kind): _text(value) for kind, value in data.items()})
            if isinstance(data, dict)
            else Markup()
        )

    def printed(self, text: str) -> Markup:
        """What a program printed."""
        if self.texts <= 0:
            return _note("More was printed than a page can hold.")
        made = sanitize.terminal(text)
        self.texts -= len(made)
        return Markup("<pre>{}</pre>").format(made) if made.strip() else Markup()

    def _rich(self, data: Mapping[str, str]) -> Markup:
        """An output that comes in several forms: the first that can be shown."""
        late = time.process_time() > self.ends_at
        if data.get("text/html") and not late:
            made = sanitize.html(data["text/html"])
            if made is not None and _visible(made) and self._room(made):
                return made
        for kind in ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp"):
            if data.get(kind) and not late:
                address = sanitize.svg(data[kind]) if kind == "image/svg+xml" else sanitize.raster(data[kind])
                if address is not None and self._room(address):
                    return Markup('<img src="{}" alt="an output of this cell">').format(address)
        for kind in ("text/markdown", "text/latex"):
            if data.get(kind) and not late:
                made = sanitize.markdown(data[kind])
                if self._room(made):
                    return Markup('<div class="text">{}</div>').format(made)
        if data.get("text/plain"):
            return self.printed(data["text/plain"])
        return _note("An output that cannot be shown here.") if data else Markup()

    def _room(self, made: str) -> bool:
        pictures = made.count("data:") > 0
        left = self.pictures if pictures else self.texts
        if len(made) > left:
            return False
        if pictures:
            self.pictures -= len(made)
        else:
            self.texts -= len(made)
        return True

    def text(self, cell: Mapping[str, Any], source: str) -> Markup:
        """A Markdown or raw cell."""
        if cell.get("cell_type") == "markdown" and time.process_time() <= self.ends_at:
            return sanitize.markdown(source, cell.get("attachments"))
        return Markup('<pre class="text">{}</pre>').format(sanitize.plain(source))


def _text(value: Any) -> str:
    """A text that a notebook file may hold as a list of lines."""
    if isinstance(value, list):
        value = "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _note(sentence: str) -> Markup:
    return Markup('<p class="note">{}</p>').format(sentence)


def _visible(made: str) -> bool:
    return "<img src" in made or "<hr" in made or bool(escaping.unescape(re.sub(r"<[^<>]*>", "", made)).strip())


@functools.lru_cache(maxsize=512)
def _given_text(kind: str, source: str) -> Markup:
    """A cell of the release; the same in every page."""
    return sanitize.code(source.rstrip()) if kind == "code" else sanitize.markdown(source)


# ---------------------------------------------------------------------------------------------- verdicts


def _state(score: float, points: float, pending: bool) -> str:
    if pending:
        return "waiting"
    return "full" if score >= points else "part" if score > 0 else "none"


def _counted(score: float, points: float, pending: bool = False) -> dict[str, Any]:
    from course_lib.grading.export import number

    state = _state(score, points, pending)
    shown = "–" if pending and not score else number(score)
    return {
        "state": state,
        "mark": MARKS[state],
        "shown": shown,
        "out_of": number(points),
        "score": score,
        "points": points,
        "percent": 100 if pending else round(100 * min(max(score / points, 0.0), 1.0), 1) if points else 0,
    }


class Page:
    """One page in the making."""

    def __init__(self, root: Path, student: str, name: str, given: Given | None) -> None:
        self.course, self.student, self.name, self.given = Course(root), student, name, given or Given()
        self.set = problem_set(root, name)
        place = Place.counting(self.course, student, name)
        self.newest: Record | None = place.read()
        self.record: Record = effective(self.newest) or {}
        try:
            self.notebook = json.loads(place.notebook.read_bytes())
        except FileNotFoundError:
            self.notebook = {"cells": []}
        self.outputs = Outputs()

    def html(self) -> str:
        """The whole page."""
        refused = self.newest is not None and self.newest["status"] == "refused"
        values = {
            "policy": sanitize.POLICY,
            "colours": Markup(_colours()),
            "title": self.set.title,
            "student": self.student,
            "person": self.given.person,
            "refused": sanitize.clean(self.newest["reason"]).rstrip(".") if refused and self.newest else "",
            "submitted": _moment(self.record.get("submitted")),
            "attempt": self.record.get("attempt", 1),
            "total": None,
            "sections": [],
            "rest": [],
            "notes": [],
            "hint": None,
        }
        if self.notebook["cells"]:
            sections, rest = self._parts()
            values |= self._summary(sections) | {"sections": sections, "rest": rest, "notes": self._notes()}
            values["hint"] = HINT if any(check["hidden"] for one in sections for check in one["checks"]) else None
        return _template().render(values)

    # ------------------------------------------------------------------------------------------ the head

    def _summary(self, sections: list[dict[str, Any]]) -> dict[str, Any]:
        from course_lib.grading.export import number

        checks = [check for section in sections for check in section["checks"]]
        raw, possible = sum(check["score"] for check in checks), sum(self.set.points.values())
        total = late.adjusted(raw, possible, self.record.get("late") or {}) if self.record else raw - self.given.penalty
        self.off = raw - total
        waiting = [check for check in checks if check["state"] == "waiting"]
        failed = [section for section in sections if any(c["state"] in ("none", "part") for c in section["checks"])]
        leads = []
        if self.off > 0.004:
            leads.append(f"{number(raw)} points for the work, less {number(self.off)}; see below why.")
        if failed:
            worth = sum(c["points"] - c["score"] for s in failed for c in s["checks"] if c["state"] in ("none", "part"))
            first = max(
                failed, key=lambda s: sum(c["points"] - c["score"] for c in s["checks"] if c["state"] != "waiting")
            )
            where = f"{len(failed)} tasks" if len(failed) > 1 else failed[0]["title"]
            leads.append(
                f"{_count(worth)} {'is' if worth == 1 else 'are'} missing in {where}"
                + (f", most of them in {first['title']}." if len(failed) > 1 else ".")
            )
        elif not waiting:
            leads.append("Everything is right.")
        else:
            leads.append("Everything that has been graded is right.")
        if waiting:
            worth = sum(check["points"] for check in waiting)
            answers = f"{len(waiting)} written answers wait" if len(waiting) > 1 else "A written answer waits"
            leads.append(
                f"{answers} for a person to read ({_count(worth)}) and counts 0 until then.".replace(
                    "and counts", "and count" if len(waiting) > 1 else "and counts"
                )
            )
        return {"total": number(total), "possible": number(possible), "leads": leads}

    def _notes(self) -> list[dict[str, Any]]:
        from course_lib.grading.export import number

        notes: list[dict[str, Any]] = []

        def note(title: str, text: str, lines: Sequence[str] = ()) -> None:
            notes.append({"title": title, "text": text, "lines": [sanitize.clean(line) for line in lines[:40]]})

        why = (self.record.get("late") or {}).get("why", "")
        if why:
            note("Time and attempts", sanitize.clean(why))
        elif self.off > 0.004:
            note("Late", f"{number(self.off)} points are taken off for handing in late.")
        if self.record.get("repairs"):
            note(
                "Your notebook was repaired before it was graded",
                "Nothing is taken off for this. To avoid it, work in the notebook as it was handed out and leave its "
                "cells where they are.",
                self.record["repairs"],
            )
        if self.record.get("tampered"):
            note(
                "Cells that belong to the course were changed",
                "They were graded as they were handed out, so what was changed there had no effect. To try something "
                "out, add a cell of your own.",
                self.record["tampered"],
            )
        return notes

    # ------------------------------------------------------------------------------------------ the parts

    def _parts(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The notebook in tasks, in order, and what belongs to none."""
        sections: list[dict[str, Any]] = []
        rest: list[dict[str, Any]] = []
        waiting: list[Mapping[str, Any]] = []
        for cell in self._cells():
            marks = nbgrader_of(dict(cell))
            waiting.append(cell)
            if not (marks.get("solution") or marks.get("grade")):
                continue
            start = max((k for k, one in enumerate(waiting) if self._title(one)), default=None)
            titled = self._title(waiting[start]) if start is not None else ""
            same = bool(sections) and not titled and (bool(sections[-1]["titled"]) or not marks.get("solution"))
            if not same:
                rest += [self._shown(one) for one in waiting[: start or 0]]
                waiting = waiting[start or 0 :]
                title = titled or str(marks.get("grade_id", "")).replace("-", " ").replace("_", " ").capitalize()
                made = {"title": title, "titled": titled, "checks": [], "stopped": ""}
                made |= {"comments": [], "own": [], "given": []}
                sections.append(made | {"id": f"task-{len(sections) + 1}"})
            for one in waiting:
                self._place(sections[-1], one)
            waiting = []
        rest += [self._shown(one) for one in waiting]
        for section in sections:
            self._finish(section)
        return [section for section in sections if section["checks"]], rest

    def _cells(self) -> Iterator[Mapping[str, Any]]:
        for cell in self.notebook["cells"]:
            if isinstance(cell, dict) and cell.get("cell_type") in ("code", "markdown", "raw"):
                yield cell

    def _title(self, cell: Mapping[str, Any]) -> str:
        """The heading of a cell of the course, but for the title of the whole; never one of the student's."""
        grade_id, found = nbgrader_of(dict(cell)).get("grade_id"), ""
        if grade_id in self.set.texts:
            found = _heading({"cell_type": cell.get("cell_type"), "source": self.set.texts[grade_id]})
        elif self._unchanged(cell):
            found = _heading(cell)
        return found if found != self.set.title else ""

    def _unchanged(self, cell: Mapping[str, Any]) -> bool:
        marks = nbgrader_of(dict(cell))
        return not marks.get("grade_id") and source_of(dict(cell)).strip() in self.set.unmarked

    def _shown(self, cell: Mapping[str, Any], outputs: bool = True) -> dict[str, Any]:
        """A cell for the template."""
        grade_id = nbgrader_of(dict(cell)).get("grade_id")
        kind, given = str(cell.get("cell_type")), grade_id in self.set.texts
        source = self.set.texts[grade_id] if given else source_of(dict(cell))
        same = kind != "raw" and (given or self._unchanged(cell)) and not cell.get("attachments")
        made: dict[str, Any] = {"code": None, "text": None, "answer": False, "outputs": []}
        if kind == "code":
            made["code"] = _given_text(kind, source) if same else sanitize.code(source)
        else:
            made["text"] = _given_text(kind, source) if same else self.outputs.text(cell, source)
        if outputs and kind == "code" and not (grade_id in self.set.hiding and not self._ours(cell)):
            made["outputs"] = self.outputs.of(cell)
        return made

    def _ours(self, cell: Mapping[str, Any]) -> bool:
        """Whether our checker ran this cell, outside of the student's process: nbgrader notes when it ran a cell."""
        metadata = cell.get("metadata")
        return bool(self.record) and not (isinstance(metadata, dict) and "execution" in metadata)

    def _place(self, section: dict[str, Any], cell: Mapping[str, Any]) -> None:
        """Put a cell where it belongs in its section."""
        marks = nbgrader_of(dict(cell))
        grade_id = str(marks.get("grade_id", ""))
        if grade_id in self.set.points:
            section["checks"].append(self._check(grade_id, cell))
        if marks.get("solution"):
            if comment := self.given.comments.get(grade_id):
                section["comments"].append(
                    {"title": "From the person who read your work", "text": sanitize.markdown(comment)}
                )
            section["own"].append(self._shown(cell) | {"answer": cell.get("cell_type") == "markdown"})
            section["stopped"] = section["stopped"] or self._stopped(cell)
        elif marks.get("grade"):
            section["given"].append(self._shown(cell, outputs=False))
        elif grade_id in self.set.texts or self._unchanged(cell):
            section["given"].append(self._shown(cell))
        else:
            section["own"].append(self._shown(cell))

    def _check(self, grade_id: str, cell: Mapping[str, Any]) -> dict[str, Any]:
        """What became of a graded cell."""
        points, found = self.set.points[grade_id], self.record.get("cells", {}).get(grade_id) or {}
        grade = self.given.grades.get(grade_id)
        written = grade_id in self.set.written
        if grade is None:  # not in the gradebook yet
            grade = Grade(None if found.get("manual") else found.get("score"), pending=bool(found.get("manual")))
        score = (grade.manual if grade.manual is not None else grade.auto or 0.0) + (grade.extra or 0.0)
        pending = grade.pending and grade.manual is None and (written or grade.auto is None)
        message, trace, hidden = "", "", False
        if score < points and not pending:
            failed, message = self._failure(grade_id, cell, found)
            hidden = failed == "hidden test"
            message, _, trace = message.partition("\n") if failed == "visible check" else (message, "", "")
            if not message and grade.manual is None:
                message = "There is no answer." if written else "Part of the points." if score else ""
        label = grade_id.replace("-", " ").replace("_", " ")
        return _counted(score, points, pending) | {
            "label": f"{label}: a written answer" if written else label,
            "message": ("Waits for a person to read it." if pending else sanitize.clean(message)),
            "trace": sanitize.terminal(trace) if trace else "",
            "hidden": hidden,
            "printed": self.outputs.of(cell, ("stream",))
            if score < points and self._ours(cell) and not written
            else [],
        }

    def _failure(self, grade_id: str, cell: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, str]:
        """Why a cell has not all its points: the kind, and a message that is safe to show."""
        if found and (self._ours(cell) or grade_id in self.set.written):
            return str(found.get("failed", "")), str(found.get("message", ""))
        if cell.get("cell_type") != "code" or grade_id in self.set.written:
            return "", ""
        from nbformat import from_dict

        from course_lib.grading.preprocessors import HideHiddenTests

        made, _ = HideHiddenTests().preprocess_cell(from_dict(cell), {}, 0)
        said = next((" ".join(o.traceback) for o in made.outputs if o.output_type == "error" and o.traceback), "")
        if not said:
            return "", ""
        if said.startswith("A hidden test failed"):
            return "hidden test", "A hidden test failed."
        return ("not done" if said.startswith("This task") else "visible check"), sanitize.strip(said)

    def _stopped(self, cell: Mapping[str, Any]) -> str:
        """The error that ended a solution cell, on which all its checks depend."""
        outputs = cell.get("outputs")
        for output in outputs if isinstance(outputs, list) else []:
            if isinstance(output, dict) and output.get("output_type") == "error":
                said = f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}".strip(": ")
                return sanitize.cut(sanitize.strip(said), 300)
        return ""

    def _finish(self, section: dict[str, Any]) -> None:
        checks = section["checks"]
        pending = bool(checks) and all(check["state"] in ("waiting", "full") for check in checks)
        pending = pending and any(check["state"] == "waiting" for check in checks)
        section |= _counted(sum(c["score"] for c in checks), sum(c["points"] for c in checks))
        if pending:
            section |= {"state": "waiting", "mark": MARKS["waiting"]}
        section["open"] = any(check["state"] in ("none", "part") for check in checks)
        section["own_title"] = "Your work, with what it printed"


def _count(points: float) -> str:
    from course_lib.grading.export import number

    return f"{number(points)} point{'' if points == 1 else 's'}"


def _moment(text: Any) -> str:
    try:
        return late.shown(datetime.fromisoformat(text)) if text else ""
    except (TypeError, ValueError):
        return ""


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(Path(__file__).with_name("feedback.html.j2").read_text(encoding="utf-8"))


@functools.cache
def _colours() -> str:
    """The style of code and of terminal colours."""
    from pygments.formatters import HtmlFormatter

    code = HtmlFormatter(style="friendly").get_style_defs([".code pre", ".text .highlight"])
    kept = [line for line in code.splitlines() if line.startswith((".code pre .", ".text .highlight ."))]
    names = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
    plain = ("#3b4252", "#b03a33", "#2b7a50", "#96670c", "#2f62a3", "#86408f", "#1f7a86", "#6b7480")
    for name, colour in zip(names, plain, strict=True):
        for suffix in ("", "-intense"):
            kept.append(f".ansi-{name}{suffix}-fg {{ color: {colour}; }}")
            kept.append(f".ansi-{name}{suffix}-bg {{ background-color: {colour}33; }}")
    kept += [".ansi-bold { font-weight: 600; }", ".ansi-underline { text-decoration: underline; }"]
    kept += [".ansi-default-inverse-fg { color: #fff; }", ".ansi-default-inverse-bg { background-color: #3b4252; }"]
    return "\n".join(kept)
