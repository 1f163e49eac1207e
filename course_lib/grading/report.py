"""A page about a class for its instructor: one HTML file that needs nothing else and runs no script.

It is made from the records in build/grading/results and the gradebook, where people's marks are. All text in it that
students wrote, names of files included, goes through the template's escaping; the page's own policy forbids scripts and
anything from elsewhere.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from course_lib.errors import CourseError
from course_lib.grading import late
from course_lib.grading.course import Course, Task, write_whole
from course_lib.grading.export import number
from course_lib.grading.results import Record, all_records, effective, kept_refusals

if TYPE_CHECKING:
    from course_lib.grading.similar import Similar

INK, SOFT, LINE = "#1f2733", "#5b6675", "#d5dae1"
BLUE, PALE = "#44679b", "#b9c8de"
PARTS = {  # of the seconds of a submission: what they are, and their colour
    "start": ("starting the sandbox", "#8f9bb0"),
    "student": ("the student's cells", "#44679b"),
    "visible": ("visible checks", "#2b7a50"),
    "hidden": ("hidden tests", "#c98a1b"),
    "other": ("everything else", "#d5dae1"),
}
FAILURES = 3  # of the most frequent ones are shown for each task
LONG = 240  # characters of a message
DIGITS = re.compile(r"[-−]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Failure:
    """A way to fail that several students have in common."""

    count: int
    cell: str  # grade_id of the test cell
    kind: str
    message: str  # of one of them; the numbers in it may differ
    detail: str  # what the hidden test says to instructors, "" if nothing more


@dataclass(frozen=True)
class TaskSummary:
    """How a class did in one task. Without any score there are no figures: None."""

    task: Task
    scored: int  # submissions with a score, those that wait for a person not among them
    waiting: int
    mean: float | None
    full: int  # with all points
    nothing: int  # with none
    not_done: int
    discrimination: float | None
    failures: list[Failure]
    scores: list[float] = field(repr=False)

    @property
    def share(self) -> float:
        """The mean as a share of the points."""
        return (self.mean or 0.0) / self.task.points if self.task.points else 0.0


@dataclass(frozen=True)
class Row:
    """One submission."""

    student: str
    name: str
    status: str  # "graded", "repaired" or "refused"
    reason: str
    scores: list[float | None]  # by task; None where it waits for a person
    raw: float
    total: float  # after what is taken off
    record: Record

    @property
    def late(self) -> Mapping[str, Any]:
        return self.record.get("late") or {}


@dataclass(frozen=True)
class Summary:
    """What the page says of one problem set."""

    name: str
    points: float
    rows: list[Row]  # those that count, by student
    refused: list[Row]  # those whose last submission was refused; where an earlier one counts, it is in `rows` too
    tasks: list[TaskSummary]
    seconds: dict[str, tuple[float, float]]  # by part and "total": median, 90th percentile
    similar: Similar | None

    def where(self, key: str) -> list[Row]:
        """The rows whose record has something under `key`."""
        return [row for row in self.rows if row.record.get(key)]

    @property
    def handed_in(self) -> int:
        """How many students there are."""
        return len({row.student for row in (*self.rows, *self.refused)})

    @property
    def unboxed(self) -> list[Row]:
        """What was graded without a sandbox."""
        return [row for row in self.rows if row.record.get("sandbox") == "none"]

    @property
    def overdue(self) -> list[Row]:
        """Who was late, or may have been, or had a penalty for an extra attempt."""
        return [row for row in self.rows if row.late.get("why")]

    @property
    def totals(self) -> np.ndarray:
        return np.array([row.total for row in self.rows])


def report(course: Course, names: Sequence[str] = (), output: Path | None = None, *, similar: bool = True) -> Path:
    """Write the page.

    Args:
        names: the problem sets; all that have results unless given.
        output: where to; build/grading/report.html unless given.
        similar: also compare the submissions with each other.

    Raises:
        CourseError: an unknown problem set, nothing has been graded, or the page cannot be written.
    """
    wanted = course.choose(names)
    summaries = [summary for name in wanted if (summary := summarise(course, name, similar=similar)) is not None]
    if not summaries:
        raise CourseError(f"Nothing of {' or '.join(wanted)} has been graded; run course grade first.")
    path = output or course.grading / "report.html"
    listed = {f"{row.student}, {summary.name}" for summary in summaries for row in summary.refused}
    nameless = [(name, why) for name, why in kept_refusals(course) if name.split(", attempt ")[0] not in listed]
    write_whole(path, page(summaries, nameless).encode("utf-8", "backslashreplace"))
    return path


# ------------------------------------------------------------------------------------------------ figures


def summarise(course: Course, name: str, *, similar: bool = False) -> Summary | None:
    """What there is to say of a problem set; None where nothing of it was handed in."""
    records = all_records(course, name)
    if not records:
        return None
    tasks = course.tasks(name)
    marks, people = _gradebook(course, name)
    points = sum(task.points for task in tasks)
    rows, refused = [], []
    for record in records:
        counts = effective(record)
        if counts is not None:
            rows.append(_row(counts, tasks, points, marks, people))
        if record["status"] != "graded":
            refused.append(_row(record, tasks, points, {}, people))
    return Summary(
        name,
        points,
        rows,
        refused,
        [_task(place, task, rows) for place, task in enumerate(tasks)],
        _seconds([row.record.get("seconds") or {} for row in rows]),
        _similar(course, name, [row.student for row in rows]) if similar else None,
    )


def _gradebook(course: Course, name: str) -> tuple[dict[tuple[str, str], tuple[float, bool]], dict[str, str]]:
    """(score, whether somebody has to look) by student and cell, and the names of the students."""
    if not course.gradebook.is_file():
        return {}, {}
    from course_lib.grading import gradebook  # imports nbgrader, which takes seconds

    marks = {
        (score.student, score.cell): (score.score, score.needs_manual_grade)
        for score in gradebook.scores(course.root, [name])
    }
    people = {who: f"{s.first_name} {s.last_name}".strip() for who, s in gradebook.students(course.root).items()}
    return marks, people


def _row(
    record: Record,
    tasks: Sequence[Task],
    points: float,
    marks: Mapping[tuple[str, str], tuple[float, bool]],
    people: Mapping[str, str],
) -> Row:
    student = record["student"]
    scores: list[float | None] = []
    raw = 0.0
    for task in tasks:
        waits, earned = False, 0.0
        for cell in task.cells:
            found = record["cells"].get(cell, {})
            own = (float(found.get("score", 0.0)), bool(found.get("manual")))
            score, manual = marks.get((student, cell), own)
            earned += score
            waits = waits or manual
        raw += earned
        scores.append(None if waits else earned)
    status = record["status"]
    if status == "graded" and record["repairs"]:
        status = "repaired"
    known = people.get(student, "") or (record.get("lms") or {}).get("name", "")
    total = late.adjusted(raw, points, record.get("late") or {})
    return Row(student, known if known != student else "", status, record["reason"], scores, raw, total, record)


def _task(place: int, task: Task, rows: Sequence[Row]) -> TaskSummary:
    given = [row.scores[place] for row in rows]
    scores = [score for score in given if score is not None]
    not_done, failures = 0, Counter[tuple[str, ...]]()
    examples: dict[tuple[str, ...], tuple[str, str]] = {}
    for row in rows:
        cells = [(cell, row.record["cells"].get(cell, {})) for cell in task.cells]
        not_done += any(found.get("failed") == "not done" for _, found in cells)
        for cell, found in cells:
            kind = found.get("failed") or ""
            if kind not in ("", "not done"):
                said = (str(found.get("message") or ""), str(found.get("detail") or ""))
                key = (cell, kind, *(DIGITS.sub("#", text) for text in said))
                failures[key] += 1
                repeats = kind == "visible check" or said[1] in said[0]  # its message is what was said
                examples.setdefault(key, (said[0], "" if repeats else said[1]))
    return TaskSummary(
        task,
        len(scores),
        len(given) - len(scores),
        float(np.mean(scores)) if scores else None,
        sum(math.isclose(score, task.points) for score in scores),
        sum(score <= 0 for score in scores),
        not_done,
        discrimination(given, [[s for k, s in enumerate(row.scores) if k != place] for row in rows]),
        [Failure(n, key[0], key[1], *map(shown, examples[key])) for key, n in failures.most_common(FAILURES)],
        scores,
    )


def discrimination(task: Sequence[float | None], others: Sequence[Sequence[float | None]]) -> float | None:
    """The corrected item-total correlation: Pearson's r of a task's score and the sum of the other tasks' scores.

    Returns:
        None where it is not defined: fewer than three submissions, or no spread in one of the two.
    """
    pairs = [
        (score, sum(other for other in rest if other is not None))
        for score, rest in zip(task, others, strict=True)
        if score is not None
    ]
    if len(pairs) < 3:
        return None
    x, y = np.array(pairs, float).T
    x, y = x - x.mean(), y - y.mean()
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread > 1e-9 else None


def _seconds(all_seconds: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Median and 90th percentile of each part. Empty where nothing was measured."""
    parts: dict[str, list[float]] = {part: [] for part in (*PARTS, "total")}
    for seconds in all_seconds:
        if seconds.get("total", 0) > 0 and "student" in seconds:
            known = {part: float(seconds.get(part, 0.0)) for part in parts if part not in ("other", "total")}
            for part, value in known.items():
                parts[part].append(value)
            parts["other"].append(max(0.0, seconds["total"] - sum(known.values())))
            parts["total"].append(float(seconds["total"]))
    if not parts["total"]:
        return {}
    return {part: (float(np.median(values)), float(np.percentile(values, 90))) for part, values in parts.items()}


def _similar(course: Course, name: str, students: Sequence[str]) -> Similar | None:
    import json

    from course_lib.grading.similar import similar

    try:
        release = json.loads(course.release(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    files = {who: path.read_bytes() for who in students if (path := course.submitted(who, name)).is_file()}
    return similar(files, release, course.read_source(name))


# ------------------------------------------------------------------------------------------------ drawing


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(length=0, colors=SOFT, labelsize=9)
    axes.xaxis.label.set(color=SOFT, fontsize=9)
    axes.yaxis.label.set(color=SOFT, fontsize=9)
    return figure, axes


def _svg(figure: Figure, title: str) -> Markup:
    """A figure as an SVG element that takes the width there is, with text as text."""
    stream = io.StringIO()
    style = {"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif", "svg.id": None}
    with matplotlib.rc_context({key: value for key, value in style.items() if key in matplotlib.rcParams}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups()  # type: ignore[union-attr]
    opening = (
        f'<svg role="img" viewBox="0 0 {width} {height}" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'style="max-width: {1.45 * float(width):.0f}px">'
    )
    label = f"<title>{escape(title)}</title>"
    return Markup(re.sub(r"<svg[^>]*>", lambda _: opening + label, text, count=1))


def totals_plot(summary: Summary) -> Markup:
    """How the totals are distributed, after what is taken off; before that as a line, where it differs."""
    figure, axes = _figure(5.2, 2.3)
    top = max(summary.points, 1.0)
    edges = np.linspace(0, top, int(min(20, max(4, round(top)))) + 1)
    totals, raw = summary.totals, np.array([row.raw for row in summary.rows])
    counts, _ = np.histogram(np.clip(totals, 0, top), edges)
    width = edges[1] - edges[0]
    axes.bar(edges[:-1], counts, width=0.92 * width, align="edge", color=BLUE)
    if not np.allclose(totals, raw):
        before, _ = np.histogram(np.clip(raw, 0, top), edges)
        axes.stairs(before, edges, color="#c98a1b", linewidth=1.2, label="before penalties")
        axes.legend(frameon=False, fontsize=9, labelcolor=SOFT, loc="upper left")
        counts = np.maximum(counts, before)
    if len(totals):
        median = float(np.median(totals))
        axes.axvline(median, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        left = median > 0.8 * top
        axes.annotate(
            f"median {number(median)}",
            (median, 1.0),
            (-4 if left else 4, -2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if left else "left",
            va="top",
            fontsize=9,
            color=INK,
        )
    axes.set(xlim=(0, top), ylim=(0, 1.2 * max(1, counts.max(initial=1))), xlabel=f"points, of {number(top)}")
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=True))
    axes.set_ylabel("submissions")
    return _svg(figure, f"Totals of {summary.name}")


def task_plot(name: str, summary: TaskSummary) -> Markup:
    """How many have how many points in a task."""
    figure, axes = _figure(3.0, 1.15)
    points, scores = summary.task.points, np.array(summary.scores, float)
    met = np.append(scores, points)
    fits = [s for s in (1.0, 0.5) if points / s <= 12 and np.allclose(np.rint(met / s) * s, met)]
    step = fits[0] if fits else (points or 1.0) / 10
    bins = round(points / step)
    places = np.clip(np.rint(scores / step), 0, bins).astype(int)
    counts = np.bincount(places, minlength=bins + 1) if len(places) else np.zeros(bins + 1, int)
    centres = np.arange(bins + 1) * step
    axes.bar(centres, counts, width=0.86 * step, color=[PALE] * bins + [BLUE])
    for x, count in zip(centres, counts, strict=True):
        if count:
            axes.annotate(
                str(count), (x, count), (0, 1.5), textcoords="offset points", ha="center", fontsize=8, color=SOFT
            )
    axes.set(xlim=(-0.6 * step, points + 0.6 * step), ylim=(0, 1.3 * max(1, counts.max())), yticks=[])
    ticks = np.arange(points + 1) if fits else np.array([0, points / 2, points])
    axes.set_xticks(ticks, [number(tick) for tick in ticks])
    return _svg(figure, f"Scores of {name}, {summary.task.name}")


def seconds_plot(summary: Summary) -> Markup:
    """Where the time of a submission goes: medians of the parts, and 90th percentiles, each as a bar."""
    figure, axes = _figure(5.2, 1.35)
    for place, row in enumerate((1, 0)):
        start = 0.0
        for part, (_, colour) in PARTS.items():
            length = summary.seconds[part][place]
            axes.barh(row, length, left=start, color=colour, height=0.55)
            start += length
    axes.set_yticks([1, 0], ["median", "90th percentile"])
    axes.set(xlabel="seconds", ylim=(-0.5, 1.5))
    return _svg(figure, f"Seconds of {summary.name}")


# ------------------------------------------------------------------------------------------------ the page


def shown(text: str) -> str:
    """A student's text as it can stand in a page: shortened, without control characters."""
    kept = "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
    return kept if len(kept) <= LONG else f"{kept[: LONG - 1]}…"


def page(summaries: Sequence[Summary], nameless: Sequence[tuple[str, str]] = ()) -> str:
    """The text of the HTML file.

    Args:
        nameless: what else the last run could not grade, (name, why).
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "percent": lambda share: f"{100 * share:.0f}%",
        "visible": lambda text: "".join(c if c.isprintable() or c in "\n\t" else "�" for c in str(text)),
        "seconds": lambda value: f"{value:.1f}" if value < 10 else f"{value:.0f}",
    }
    return environment.get_template("report.html.j2").render(
        summaries=summaries,
        nameless=nameless,
        parts=PARTS,
        now=datetime.now().astimezone(),
        np=np,
        totals_plot=totals_plot,
        task_plot=task_plot,
        seconds_plot=seconds_plot,
        length=lambda seconds: late.length(_span(seconds)),
    )


def _span(seconds: float) -> Any:
    from datetime import timedelta

    return timedelta(seconds=seconds)
