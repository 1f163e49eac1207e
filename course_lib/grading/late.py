"""When something was handed in, what is taken off if that was late, and which of several attempts counts.

The rules stand in grading.toml beside pyproject.toml. Without that file nothing is ever taken off, and the last attempt
counts. All keys are optional; a problem set's own table goes before [default]:

    timezone = "Europe/Berlin"      # of all times without an offset; the computer's unless given

    [default]
    grace_minutes = 15              # this late is not late
    penalty_percent = 10            # of the points possible, for each begun ...
    per = "day"                     # ... day or hour
    floor_percent = 50              # being late never brings a score below this share of the points possible
    attempts = 3                    # how many count
    attempt_percent = 5             # then more count, too, each of them for so much less
    counts = "best"                 # of the attempts; or "last"

    [ps01_backprop]
    due = 2026-11-01 23:59:00
    steps = [{ hours = 1, percent = 5 }, { days = 7, percent = 30 }, { days = 14, percent = 100 }]
    canvas_id = 4711                # Canvas's number of the assignment, for course export --canvas

    [ps01_backprop.extensions]      # a new time for one student, or a number of days more
    ada = 2026-11-08 23:59:00
    "ben@example.org" = 3

    [ps01_backprop.submitted]       # when it was really handed in, where the download does not tell
    eve = 2026-11-01 22:10:00

`penalty_percent`, `per` and `floor_percent` mean what they mean in Canvas
(https://community.canvaslms.com/t5/Instructor-Guide/How-do-I-apply-a-Late-Submission-policy-in-the-Gradebook/ta-p/965):
so much of the points possible for each begun day or hour, and a score at or below the floor stays as it is. With
`steps` instead, the last step that is not longer than the delay holds; before the first, nothing is taken off.

In nbgrader's gradebook the raw score stays in the cells. `due` is `Assignment.duedate`, an extension
`SubmittedAssignment.extension`, the time of submission `SubmittedAssignment.timestamp` (times in UTC, without a zone),
and what is taken off, in points, `SubmittedNotebook.late_submission_penalty`, which formgrader shows and
`nbgrader export` writes beside the score. The plain `nbgrader autograde` asks `preprocessors.LatePenalty`.
"""

from __future__ import annotations

import contextlib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from course_lib.errors import CourseError

POLICY = "grading.toml"
UNITS = {"day": timedelta(days=1), "hour": timedelta(hours=1)}


@dataclass(frozen=True)
class Rule:
    """What holds for one problem set. Shares are of the points possible, from 0 to 1."""

    due: datetime | None = None
    grace: timedelta = timedelta(0)
    share: float = 0.0  # for each begun `per`
    per: str = "day"
    steps: tuple[tuple[timedelta, float], ...] = ()
    floor: float = 0.0
    attempts: int | None = None
    attempt_share: float = 0.0
    counts: str = "last"
    canvas_id: int | None = None
    extensions: Mapping[str, datetime | timedelta] = field(default_factory=dict)
    submitted: Mapping[str, datetime] = field(default_factory=dict)

    def due_for(self, student: str) -> datetime | None:
        """When this student has to hand in; None if at any time."""
        more = self.extensions.get(student)
        if isinstance(more, timedelta):
            return None if self.due is None else self.due + more
        return more or self.due

    def taken(self, delay: timedelta) -> float:
        """The share that is taken off for handing in so much after the time due."""
        if delay <= self.grace:
            return 0.0
        if self.steps:
            return max((share for after, share in self.steps if after <= delay), default=0.0)
        return min(1.0, self.share * math.ceil(delay / UNITS[self.per]))

    def to_grade(self, attempts: int) -> list[int]:
        """Which attempts, counted from 1, can count and so have to be graded."""
        allowed = attempts
        if self.attempts is not None and not self.attempt_share:
            allowed = min(attempts, self.attempts)
        return list(range(1, allowed + 1)) if self.counts == "best" else [allowed]


@dataclass(frozen=True)
class Policy:
    """The rules of the course."""

    zone: tzinfo | None = None  # None: the computer's
    default: Rule = Rule()
    rules: Mapping[str, Rule] = field(default_factory=dict)

    def of(self, name: str) -> Rule:
        """The rule of a problem set."""
        return self.rules.get(name, self.default)

    def aware(self, moment: datetime) -> datetime:
        """A time with its zone: its own, else that of the course."""
        if moment.tzinfo is not None:
            return moment
        return moment.astimezone() if self.zone is None else moment.replace(tzinfo=self.zone)


@dataclass(frozen=True)
class Attempt:
    """One of the times that a student handed in a problem set."""

    number: int  # from 1
    score: float  # points, as graded
    submitted: datetime | None = None  # with its zone
    clock: str = ""  # where that time is from
    late: bool | None = None  # whether the learning management system marked it as late


@dataclass(frozen=True)
class Outcome:
    """What a submission earns in the end, and why. As a record it is a dict of JSON values (`asdict`)."""

    raw: float  # points, as graded
    adjusted: float  # points
    late_share: float  # of the points possible, taken off for being late
    attempt_share: float  # the same, for being an extra attempt
    floor: float
    attempt: int  # the one that counts
    attempts: int
    seconds_late: float  # 0 if in time or not known
    submitted: str  # ISO 8601, "" if not known
    clock: str
    due: str  # ISO 8601, "" if there is none
    unknown: bool  # whether it may have been late, but nobody knows how much
    why: str  # a sentence to the student, "" if there is nothing to say

    @property
    def penalty(self) -> float:
        """Points taken off: nbgrader's late_submission_penalty."""
        return self.raw - self.adjusted

    def record(self) -> dict[str, Any]:
        return asdict(self)


def adjusted(raw: float, points: float, late: Mapping[str, Any]) -> float:
    """The score after what is taken off, for a raw score that changed since, as by a person's marks.

    Args:
        points: the points possible.
        late: the record of an outcome, or {}.
    """
    off = late.get("late_share", 0.0) * points
    score = raw if off <= 0 else max(raw - off, min(raw, late.get("floor", 0.0) * points))
    return max(0.0, score - late.get("attempt_share", 0.0) * points)


def settle(rule: Rule, student: str, attempts: Sequence[Attempt], points: float, total: int | None = None) -> Outcome:
    """Which attempt counts, and for how much.

    Args:
        attempts: those that were graded, at least one.
        points: the points possible.
        total: how many attempts there were; as many as `attempts` unless given.

    Returns:
        With "best" the attempt that earns most after penalties (the earlier of two equal ones), with "last" the last.
    """
    count = total or len(attempts)
    made = [_one(rule, student, attempt, points, count) for attempt in sorted(attempts, key=lambda a: a.number)]
    return max(made, key=lambda outcome: outcome.adjusted) if rule.counts == "best" else made[-1]


def _one(rule: Rule, student: str, attempt: Attempt, points: float, count: int) -> Outcome:
    due = rule.due_for(student)
    taken, seconds, unknown, said = 0.0, 0.0, False, []
    if due is not None and attempt.submitted is not None:
        # in UTC: between two times of one zone Python would forget that its clocks were changed meanwhile
        delay = attempt.submitted.astimezone(UTC) - due.astimezone(UTC)
        taken = rule.taken(delay)
        if delay > timedelta(0):
            seconds = delay.total_seconds()
        if delay > rule.grace:
            by = f" (by {attempt.clock})" if attempt.clock else ""
            cost = f"{percent(taken)} of the points possible are taken off" if taken else "nothing is taken off"
            said.append(f"handed in {length(delay)} after the time due, {shown(due)}{by}: {cost}")
    elif due is not None and (attempt.late or attempt.late is None):
        unknown = True
        known = "marked as late, but by how much is" if attempt.late else "when it was handed in is"
        said.append(f"{known} not known, so nothing is taken off for that")
    extra = max(0, attempt.number - rule.attempts) if rule.attempts is not None else 0
    attempt_share = min(1.0, extra * rule.attempt_share)
    if attempt_share:
        said.append(
            f"attempt {attempt.number} where {rule.attempts} are free: {percent(attempt_share)} of the points possible "
            "are taken off"
        )
    if count > 1:
        best = "the best" if rule.counts == "best" else "the last"
        allowed = f" of the first {rule.attempts}" if rule.attempts is not None and not rule.attempt_share else ""
        said.append(f"of {count} attempts {best}{allowed if count > (rule.attempts or count) else ''} counts")
    terms = {"late_share": taken, "attempt_share": attempt_share, "floor": rule.floor}
    score = adjusted(attempt.score, points, terms)
    if taken and score > attempt.score - (taken + attempt_share) * points + 1e-9 and score > 0:
        said.append(f"being late brings no score below {percent(rule.floor)}")
    why = "; ".join(said)
    return Outcome(
        attempt.score,
        score,
        attempt=attempt.number,
        attempts=count,
        seconds_late=seconds,
        submitted=attempt.submitted.isoformat(timespec="seconds") if attempt.submitted else "",
        clock=attempt.clock,
        due=due.isoformat(timespec="seconds") if due else "",
        unknown=unknown,
        why=f"{why[0].upper()}{why[1:]}." if why else "",
        **terms,
    )


def percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def shown(moment: datetime) -> str:
    """A time as people write it, with its zone."""
    zone = moment.tzname() or ""
    return f"{moment:%Y-%m-%d %H:%M}{f' {zone}' if zone else ''}"


def length(delay: timedelta) -> str:
    """A time span in its two largest units, rounded down: 2 days 3 hours."""
    minutes = int(delay.total_seconds() // 60)
    amounts = {"day": minutes // 1440, "hour": minutes // 60 % 24, "minute": minutes % 60}
    parts = [f"{amount} {unit}{'s' if amount > 1 else ''}" for unit, amount in amounts.items() if amount]
    return " ".join(parts[:2]) or "less than a minute"


# Reading grading.toml


def read_policy(root: Path, known: Sequence[str] | None = None) -> Policy:
    """The rules in ROOT/grading.toml; those that take nothing off where there is no such file.

    Args:
        known: the problem sets of the course; None: any name will do.

    Raises:
        CourseError: it is no TOML, has a key or a problem set that there is not, or a value that makes no sense.
    """
    path = root / POLICY
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Policy()
    except OSError as error:
        raise CourseError(f"Cannot read {POLICY} ({error.strerror or error}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CourseError(f"{POLICY} is not TOML: {error}; correct it, or take it away.") from error
    zone = None
    if "timezone" in table:
        name = table.pop("timezone")
        try:
            zone = ZoneInfo(name)
        except Exception:  # what ZoneInfo raises depends on what is wrong with the name
            _fault("timezone", f"{name!r} is no time zone", 'a name such as "Europe/Berlin"')
    policy = Policy(zone)
    for name, values in table.items():
        if known is not None and name != "default" and name not in known:
            _fault(name, "there is no such problem set", f"one of {', '.join([*known, 'default'])}")
        if not isinstance(values, dict):
            _fault(name, "it is no table", f"[{name}] on a line of its own")
    default = table.pop("default", {})
    for key in ("due", "extensions", "submitted", "canvas_id"):
        if key in default:
            _fault(f"default.{key}", "it is different for each problem set", "it in the table of one")
    rules = {name: _rule(policy, name, _merged(default, values)) for name, values in table.items()}
    return Policy(zone, _rule(policy, "default", default), rules)


def _merged(default: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The two ways to say a penalty exclude each other, so the one given for the problem set drops the other."""
    other = {"steps": ("penalty_percent", "per"), "penalty_percent": ("steps",)}
    dropped = {name for key in own for name in other.get(key, ())}
    return {**{key: value for key, value in default.items() if key not in dropped}, **own}


def _rule(policy: Policy, name: str, values: dict[str, Any]) -> Rule:
    at = f"{name}."
    readers = {
        "due": lambda v: _moment(policy, f"{at}due", v),
        "grace_minutes": lambda v: timedelta(minutes=_number(f"{at}grace_minutes", v, 0, 1e6)),
        "penalty_percent": lambda v: _number(f"{at}penalty_percent", v, 0, 100) / 100,
        "per": lambda v: _choice(f"{at}per", v, tuple(UNITS)),
        "steps": lambda v: _steps(f"{at}steps", v),
        "floor_percent": lambda v: _number(f"{at}floor_percent", v, 0, 100) / 100,
        "attempts": lambda v: _whole(f"{at}attempts", v),
        "attempt_percent": lambda v: _number(f"{at}attempt_percent", v, 0, 100) / 100,
        "counts": lambda v: _choice(f"{at}counts", v, ("last", "best")),
        "canvas_id": lambda v: _whole(f"{at}canvas_id", v),
        "extensions": lambda v: {
            student: _more(policy, f"{at}extensions.{student}", more)
            for student, more in _table(f"{at}extensions", v).items()
        },
        "submitted": lambda v: {
            student: _moment(policy, f"{at}submitted.{student}", when)
            for student, when in _table(f"{at}submitted", v).items()
        },
    }
    attribute = {
        "grace_minutes": "grace",
        "penalty_percent": "share",
        "floor_percent": "floor",
        "attempt_percent": "attempt_share",
    }
    for key in values:
        if key not in readers:
            _fault(at + key, "there is no such key", f"one of {', '.join(readers)}")
    if "steps" in values and "penalty_percent" in values:
        _fault(f"{at}steps", "it excludes penalty_percent", "one of the two")
    found = {attribute.get(key, key): readers[key](value) for key, value in values.items()}
    assert set(found) <= {field.name for field in fields(Rule)}
    return Rule(**found)


def _fault(key: str, wrong: str, instead: str) -> None:
    raise CourseError(f"{POLICY}, {key}: {wrong}; write {instead}.")


def _number(key: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        _fault(key, f"{value!r} will not do", f"a number from {low:g} to {high:g}")
    return float(value)


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _fault(key, f"{value!r} will not do", "a whole number from 1")
    return value


def _choice(key: str, value: Any, options: tuple[str, ...]) -> str:
    if value not in options:
        _fault(key, f"{value!r} will not do", " or ".join(f'"{option}"' for option in options))
    return value


def _table(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        _fault(key, "it is no table", f"[{key}] on a line of its own")
    return value


def _moment(policy: Policy, key: str, value: Any) -> datetime:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(23, 59, 59))  # a day lasts until its end
    if not isinstance(value, datetime):
        _fault(key, f"{value!r} is no time", "2026-11-01 23:59:00")
    return policy.aware(value)


def _more(policy: Policy, key: str, value: Any) -> datetime | timedelta:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return timedelta(days=_number(key, value, 0, 10_000))
    return _moment(policy, key, value)


def _steps(key: str, value: Any) -> tuple[tuple[timedelta, float], ...]:
    steps: list[tuple[timedelta, float]] = []
    for step in value if isinstance(value, list) else [None]:
        if not isinstance(step, dict) or "percent" not in step or len(step) != 2 or not {"hours", "days"} & set(step):
            _fault(key, f"{step!r} is no step", "{ hours = 1, percent = 5 }, { days = 7, percent = 30 }")
        after = timedelta(**{unit: _number(key, step[unit], 0, 1e5) for unit in ("hours", "days") if unit in step})
        steps.append((after, _number(key, step["percent"], 0, 100) / 100))
    ordered = sorted(steps)
    if not steps or [share for _, share in ordered] != sorted(share for _, share in steps):
        _fault(key, "later steps have to cost more", "them in order")
    return tuple(ordered)
