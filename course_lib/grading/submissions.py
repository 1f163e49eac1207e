"""What lies in a folder of submissions: whose, of which problem set, and which of several attempts counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.grading.late import Policy
from course_lib.grading.lms import Found, Person, Roster, is_student, printable, read_path, shortened, timestamp


@dataclass(frozen=True)
class Submission:
    """One notebook that a student handed in. What stands below `path` is not part of its identity."""

    student: str
    assignment: str
    path: Path
    name: str = field(default="", compare=False)  # as the learning management system shows it, "" if there is none
    lms_id: str = field(default="", compare=False)  # the system's number for the student, or in Moodle for this work
    system: str = field(default="plain", compare=False)  # "canvas", "moodle", "blackboard" or "plain"
    person: Person | None = field(default=None, compare=False)  # the line of the roster
    submitted: datetime | None = field(default=None, compare=False)  # with its zone; None if not known
    clock: str = field(default="", compare=False)  # where that time is from; follows "by"
    late: bool | None = field(default=None, compare=False)  # whether the system marked it as late
    order: int | None = field(default=None, compare=False)  # larger: uploaded later
    attempt: int = field(default=1, compare=False)  # which of the student's attempts, from 1
    attempts: int = field(default=1, compare=False)  # how many there are, also those that cannot count
    notes: tuple[str, ...] = field(default=(), compare=False)  # what the instructor should know; clauses


@dataclass(frozen=True)
class Refusal:
    """A file, or a submission, that was not graded, and why: a clause that follows the name and "was not graded:"."""

    name: str
    reason: str


def collect(
    folder: Path,
    known: Sequence[str],
    wanted: Sequence[str],
    *,
    roster: Roster | None = None,
    policy: Policy | None = None,
) -> tuple[list[Submission], list[Refusal]]:
    """The submissions below a folder that have to be graded, sorted by student and attempt.

    Understood, also mixed, are STUDENT/NAME.ipynb, STUDENT/NAME/NAME.ipynb (nbgrader's own) and STUDENT_NAME.ipynb,
    where NAME is a problem set, and the bulk downloads that `lms` describes. A student of the gradebook is then
    lovelaceada-4711 from Canvas, Ada Lovelace from Moodle, or who the roster says.

    Several files of one student are several attempts where their names or timestamp.txt tell the order; the policy says
    which of them can count, and only those are returned. Without an order they are refused.

    Args:
        known: every problem set of the course.
        wanted: those to be graded; submissions of others are passed over.
        roster: who is in the class.
        policy: which attempts count, and in which zone times are; without one the last attempt counts.

    Returns:
        The submissions, and what is none.

    Raises:
        CourseError: there is no such folder, or no notebook of a wanted problem set in it.
    """
    if not folder.exists():
        raise CourseError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder; give the one that holds the submissions.")
    policy = policy or Policy()
    refusals: list[Refusal] = []
    others: dict[Path, Found] = {}  # files that are no notebooks, of somebody who should have handed in one
    pairs: list[tuple[Path, Found]] = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part == "__MACOSX" for part in parts) or not path.is_file():
            continue
        found = read_path(parts, known, wanted)
        if path.suffix.lower() == ".ipynb":
            pairs.append((path, found))
        elif path.name == "timestamp.txt" or not found.student:
            continue
        elif found.assignment in wanted or (found.assignment is None and found.system != "plain"):
            others[path] = found
    located: dict[tuple[str, str], list[Submission]] = {}
    namesakes = _namesakes([found for _, found in pairs])
    for path, found in pairs:
        where = printable(str(path.relative_to(folder)))
        if found.assignment is None or found.student is None:
            if found.system == "unclear":
                why = f"its name could be from Canvas or from Blackboard; put it into STUDENT/{wanted[0]}.ipynb"
            elif found.system != "plain":
                why = "its name is not that of a problem set; say which it is with --assignment"
            else:
                unknown = "not that of a problem set" if found.assignment is None else None
                why = f"its name {'is ' + unknown if unknown else 'does not say whose it is'}"
                why += f"; use STUDENT/{wanted[0]}.ipynb"
                if len(path.relative_to(folder).parts) > 1 and read_path((path.name,), known, wanted).student:
                    why += ", or give the folder in which the files from the learning management system lie"
            refusals.append(Refusal(where, why))
        elif found.assignment in wanted:
            made = _identified(path, found, roster, policy, namesakes, len(wanted) == 1)
            if isinstance(made, str):
                refusals.append(Refusal(where, made))
            else:
                located.setdefault((made.student, made.assignment), []).append(made)
    located = _apart(located, refusals)
    found_submissions: list[Submission] = []
    for (student, name), submissions in sorted(located.items()):
        ordered = _in_order(submissions, name)
        if ordered is None:
            places = " and ".join(printable(str(s.path.relative_to(folder))) for s in submissions)
            reason = f"it is there {len(submissions)} times ({places}); keep one"
            refusals.append(Refusal(f"{student}, {name}", reason))
            continue
        rule, count = policy.of(name), len(ordered)
        if student in rule.submitted:
            ordered[-1] = replace(ordered[-1], submitted=rule.submitted[student], clock="grading.toml")
        for number in rule.to_grade(count):
            found_submissions.append(replace(ordered[number - 1], attempt=number, attempts=count))
    graded = {(found.student, name) for _, found in pairs for name in (found.assignment, None)}
    for path, found in others.items():
        if (found.student, found.assignment) not in graded:
            where = printable(str(path.relative_to(folder)))
            refusals.append(Refusal(where, "it is no notebook; hand in the .ipynb file itself"))
    if not found_submissions and not refusals:
        raise CourseError(
            f"There is no submission of {' or '.join(wanted)} in {folder}; "
            f"it should hold STUDENT/{wanted[0]}.ipynb or STUDENT_{wanted[0]}.ipynb."
        )
    return found_submissions, refusals


def _namesakes(found: Sequence[Found]) -> set[tuple[str, str | None]]:
    """Names that more than one participant of a Moodle assignment has: (student, problem set)."""
    numbers: dict[tuple[str, str | None], set[str]] = {}
    for one in found:
        if one.system == "moodle" and one.student:
            numbers.setdefault((one.student.casefold(), one.assignment), set()).add(one.lms_id)
    return {key for key, values in numbers.items() if len(values) > 1}


def _identified(
    path: Path,
    found: Found,
    roster: Roster | None,
    policy: Policy,
    namesakes: set[tuple[str, str | None]],
    roster_tells_when: bool,
) -> Submission | str:
    """The submission that a file is, or why it cannot be one; a clause."""
    student, person, notes = found.student or "", None, []
    if roster is not None:
        person, problem = roster.find(found.name, found.lms_id, student)
        if problem:
            return f"{problem}; correct the roster"
        if person is None:
            notes.append("is not in the roster")
    if person is not None:
        student = person.student
    elif (student.casefold(), found.assignment) in namesakes:
        student = shortened(f"{student} {found.lms_id}", f" {found.lms_id}")
        notes.append(f"is not the only one of that name; {found.lms_id} is Moodle's number")
    if not is_student(student):
        return (
            f"{printable(student)!r} is no name for a student; "
            "use letters, digits and . _ @ + -, letters or digits first"
        )
    submitted, clock = None, ""
    if found.system == "plain":  # in a download from elsewhere, students may have put a file of that name there
        try:
            with (path.parent / "timestamp.txt").open(encoding="utf-8") as file:
                submitted, clock = timestamp(file.read(200)), "its timestamp.txt"
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            notes.append("has a timestamp.txt that holds no time")
    if submitted is None and found.submitted is not None:
        submitted, clock = policy.aware(found.submitted), "its file name"
    if submitted is None and person is not None and person.submitted is not None and roster_tells_when:
        submitted, clock = policy.aware(person.submitted), "the roster"
    if submitted is None and found.system == "plain":
        submitted, clock = datetime.fromtimestamp(path.stat().st_mtime, UTC), "the time of its file"
        submitted = submitted.astimezone(policy.zone)
    return Submission(
        student,
        found.assignment or "",
        path,
        name=found.name if found.system in ("canvas", "moodle") else "",
        lms_id=(person.lms_id if person is not None else "") or found.lms_id,
        system=found.system,
        person=person,
        submitted=submitted,
        clock=clock,
        late=found.late,
        order=found.order,
        notes=tuple(notes),
    )


def _apart(
    located: dict[tuple[str, str], list[Submission]], refusals: list[Refusal]
) -> dict[tuple[str, str], list[Submission]]:
    """Without students whose names differ only in case: on some disks their folders would be one."""
    spelt: dict[str, set[str]] = {}
    for student, _ in located:
        spelt.setdefault(student.casefold(), set()).add(student)
    kept = {}
    for (student, name), submissions in located.items():
        names = spelt[student.casefold()]
        if len(names) == 1:
            kept[student, name] = submissions
        else:
            other = " and ".join(sorted(names - {student}))
            reason = f"there is also {other}, which differs only in upper and lower case; rename one"
            refusals.append(Refusal(f"{student}, {name}", reason))
    return kept


def _in_order(submissions: list[Submission], name: str) -> list[Submission] | None:
    """One student's attempts from the first to the last; None where nothing tells the order."""
    if len(submissions) == 1:
        return submissions
    told = ("its timestamp.txt", "its file name")
    if all(s.order is not None for s in submissions) and len({s.system for s in submissions}) == 1:
        return sorted(submissions, key=lambda s: (s.order, s.path.name))
    if all(s.submitted is not None and s.clock in told for s in submissions):
        times = {s.submitted for s in submissions}
        return sorted(submissions, key=lambda s: s.submitted) if len(times) == len(submissions) else None  # type: ignore[arg-type, return-value]
    exact = [s for s in submissions if s.path.stem == name or s.path.stem.endswith(f"_{name}")]
    if len(exact) == 1:
        rest = ", ".join(printable(s.path.name) for s in submissions if s is not exact[0])
        return [replace(exact[0], notes=(*exact[0].notes, f"also handed in {rest}, which was passed over"))]
    return None
