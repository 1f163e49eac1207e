"""What is taken off for being late and for extra attempts, at the edges, and what a bad grading.toml is answered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import nbformat
import pytest
import tiny_course
from hypothesis import given
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.grading.late import POLICY, Attempt, Policy, Rule, adjusted, length, read_policy, settle

DUE = datetime(2026, 11, 1, 23, 59, tzinfo=UTC)
DAILY = Rule(due=DUE, grace=timedelta(minutes=15), share=0.1, floor=0.5)
KNOWN = ["ps01", "ps02"]


def after(seconds: float, score: float = 36.0, number: int = 1, **options) -> Attempt:
    return Attempt(number, score, DUE + timedelta(seconds=seconds), "its timestamp.txt", **options)


DAY = 86400


@pytest.mark.parametrize(
    ("seconds", "off"),
    [
        (-1e6, 0),
        (0, 0),
        (15 * 60, 0),  # the last moment of the grace
        (15 * 60 + 1, 4),  # then the whole of the first day, 10% of 40
        (DAY, 4),
        (DAY + 1, 8),  # each begun day
        (4 * DAY, 16),
        (30 * DAY, 16),  # not below half of the points possible
    ],
)
def test_each_begun_day_costs_its_share_down_to_the_floor(seconds, off):
    outcome = settle(DAILY, "ada", [after(seconds)], 40)
    assert (outcome.raw, outcome.adjusted, outcome.penalty) == (36, 36 - off, off)
    assert bool(outcome.why) == (off > 0)
    assert outcome.seconds_late == max(0, seconds)


def test_a_score_at_or_below_the_floor_stays_as_it_is():
    for score in (20, 11, 0):
        assert settle(DAILY, "ada", [after(9 * DAY, score)], 40).adjusted == score
    assert settle(DAILY, "ada", [after(9 * DAY, 21)], 40).adjusted == 20


def test_by_the_hour():
    rule = Rule(due=DUE, share=0.02, per="hour")
    assert [settle(rule, "ada", [after(s, 50)], 50).adjusted for s in (1, 3600, 3601, 40 * 3600, 60 * 3600)] == [
        49,
        49,
        48,
        10,
        0,
    ]


def test_steps_hold_from_their_delay_on():
    rule = Rule(due=DUE, steps=((timedelta(hours=1), 0.05), (timedelta(days=7), 0.3), (timedelta(days=14), 1.0)))
    shares = [rule.taken(timedelta(seconds=s)) for s in (-5, 0, 3599, 3600, 7 * DAY - 1, 7 * DAY, 14 * DAY, 99 * DAY)]
    assert shares == [0, 0, 0, 0.05, 0.05, 0.3, 1, 1]
    assert settle(rule, "ada", [after(20 * DAY)], 40).adjusted == 0


def test_an_extension_is_a_new_time_or_some_days_more():
    rule = Rule(due=DUE, share=0.1, extensions={"ada": timedelta(days=2), "ben": DUE + timedelta(days=5)})
    late = after(2 * DAY + 60)
    assert [settle(rule, who, [late], 40).adjusted for who in ("ada", "ben", "eve")] == [32, 36, 24]
    assert settle(rule, "ada", [late], 40).due == "2026-11-03T23:59:00+00:00"
    assert Rule(extensions={"ada": timedelta(days=2)}).due_for("ada") is None


def test_a_time_that_nobody_knows_costs_nothing_and_is_said():
    for late, words in ((None, "when it was handed in is not known"), (True, "marked as late")):
        outcome = settle(DAILY, "ada", [Attempt(1, 36, late=late)], 40)
        assert outcome.adjusted == 36
        assert outcome.unknown
        assert words in outcome.why.lower()
    fine = settle(DAILY, "ada", [Attempt(1, 36, late=False)], 40)  # Canvas would have marked it
    assert (fine.unknown, fine.why) == (False, "")
    assert not settle(Rule(), "ada", [Attempt(1, 36)], 40).unknown  # nothing is ever late


def test_the_sentence_says_how_late_by_which_clock_and_what_it_costs():
    why = settle(DAILY, "ada", [after(DAY + 3 * 3600 + 61)], 40).why
    assert why == (
        "Handed in 1 day 3 hours after the time due, 2026-11-01 23:59 UTC (by its timestamp.txt): "
        "20% of the points possible are taken off."
    )
    assert settle(DAILY, "ada", [after(9 * DAY)], 40).why.endswith("being late brings no score below 50%.")
    assert [length(timedelta(seconds=s)) for s in (5, 61, 3600, 90000, 2 * DAY + 59)] == [
        "less than a minute",
        "1 minute",
        "1 hour",
        "1 day 1 hour",
        "2 days",
    ]


def test_summer_time_ends_between_due_and_handed_in():
    berlin = ZoneInfo("Europe/Berlin")
    rule = Rule(due=datetime(2026, 10, 24, 23, 0, tzinfo=berlin), share=0.1)
    a_day_on_the_clock = datetime(2026, 10, 25, 23, 0, tzinfo=berlin)  # but 25 hours have passed
    assert settle(rule, "ada", [Attempt(1, 40, a_day_on_the_clock)], 40).adjusted == 32


def test_the_last_attempt_counts_or_the_best_after_penalties():
    three = [after(-10, 30, 1), after(-5, 39, 2), after(2 * DAY, 40, 3)]
    assert settle(DAILY, "ada", three, 40).attempt == 3
    best = settle(Rule(due=DUE, share=0.1, counts="best"), "ada", three, 40)
    assert (best.attempt, best.adjusted, best.attempts) == (2, 39, 3)
    assert "Of 3 attempts the best counts." in best.why
    assert settle(DAILY, "ada", list(reversed(three)), 40).attempt == 3


def test_attempts_beyond_the_free_ones_cost_or_do_not_count():
    paid = Rule(attempts=2, attempt_share=0.05, counts="best")
    outcome = settle(paid, "ada", [Attempt(k, score) for k, score in enumerate((10, 20, 21, 40), start=1)], 40)
    assert (outcome.attempt, outcome.adjusted, outcome.penalty) == (4, 36, 4)
    assert "attempt 4 where 2 are free" in outcome.why.lower()
    assert paid.to_grade(4) == [1, 2, 3, 4]
    assert Rule(attempts=2).to_grade(4) == [2]
    assert Rule(attempts=2, counts="best").to_grade(4) == [1, 2]
    assert Rule().to_grade(4) == [4]
    limited = settle(Rule(attempts=2), "ada", [Attempt(2, 20)], 40, total=4)
    assert (limited.attempt, limited.adjusted, limited.attempts) == (2, 20, 4)
    assert limited.why == "Of 4 attempts the last of the first 2 counts."


rules = st.builds(
    Rule,
    due=st.just(DUE),
    grace=st.timedeltas(timedelta(0), timedelta(days=1)),
    share=st.floats(0, 1),
    per=st.sampled_from(["day", "hour"]),
    floor=st.floats(0, 1),
    attempts=st.none() | st.integers(1, 5),
    attempt_share=st.floats(0, 1),
    counts=st.sampled_from(["last", "best"]),
)


@given(rules, st.lists(st.tuples(st.floats(-1e6, 1e7), st.floats(0, 40)), min_size=1, max_size=6))
def test_no_score_grows_or_goes_below_nothing_and_the_record_gives_it_again(rule, made):
    attempts = [after(seconds, score, k) for k, (seconds, score) in enumerate(made, start=1)]
    outcome = settle(rule, "ada", attempts, 40)
    assert 0 <= outcome.adjusted <= outcome.raw
    record = json.loads(json.dumps(outcome.record()))
    assert adjusted(outcome.raw, 40, record) == outcome.adjusted
    assert adjusted(outcome.raw, 40, {}) == outcome.raw  # nothing on record, nothing taken off


@given(rules, st.floats(0, 1e7), st.floats(0, 1e7), st.floats(0, 40))
def test_to_be_later_is_never_better(rule, one, other, score):
    sooner, later = (settle(rule, "ada", [after(s, score)], 40).adjusted for s in sorted((one, other)))
    assert later <= sooner


FULL = """
timezone = "Europe/Berlin"
[default]
grace_minutes = 15
penalty_percent = 10
per = "hour"
floor_percent = 50
attempts = 3
attempt_percent = 5
counts = "best"
[ps01]
due = 2026-11-01 23:59:00
steps = [{ days = 7, percent = 30 }, { hours = 1, percent = 5 }]
canvas_id = 4711
[ps01.extensions]
ada = 2026-11-08
"ben@example.org" = 3
[ps01.submitted]
eve = "2026-11-01T22:10:00+02:00"
[ps02]
due = 2026-12-01T12:00:00Z
counts = "last"
"""


def test_every_key_of_the_file_is_understood(tmp_path):
    (tmp_path / POLICY).write_text(FULL)
    policy = read_policy(tmp_path, KNOWN)
    berlin = ZoneInfo("Europe/Berlin")
    one, two = policy.of("ps01"), policy.of("ps02")
    assert one.due == datetime(2026, 11, 1, 22, 59, tzinfo=UTC)
    assert one.steps == ((timedelta(hours=1), 0.05), (timedelta(days=7), 0.3))
    assert one.share == 0  # steps of its own replace the default's penalty
    assert (one.floor, one.attempts, one.attempt_share, one.counts) == (0.5, 3, 0.05, "best")
    assert one.extensions == {
        "ada": datetime(2026, 11, 8, 23, 59, 59, tzinfo=berlin),
        "ben@example.org": timedelta(days=3),
    }
    assert one.submitted["eve"] == datetime(2026, 11, 1, 20, 10, tzinfo=UTC)
    assert one.canvas_id == 4711
    assert (two.share, two.per, two.counts, two.grace) == (0.1, "hour", "last", timedelta(minutes=15))
    assert two.due == datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert policy.of("ps03").due is None


def test_without_a_file_nothing_is_ever_taken_off(tmp_path):
    policy = read_policy(tmp_path, KNOWN)
    assert policy == Policy()
    assert settle(policy.of("ps01"), "ada", [after(99 * DAY)], 40).adjusted == 36


BAD = {
    "no TOML": ("[ps01\n", "is not TOML"),
    "no text": (b"\xff\xfe", "is not TOML"),
    "an unknown set": ("[ps07]\n", "ps07: there is no such problem set; write one of ps01, ps02, default"),
    "an unknown key": ("[ps01]\npenalty = 3\n", "ps01.penalty: there is no such key"),
    "a key at the top": ("due = 2026-01-01\n", "due: there is no such problem set"),
    "no table": ("default = 3\n", "default: it is no table"),
    "a time that is none": ('[ps01]\ndue = "tomorrow"\n', "ps01.due: 'tomorrow' is no time"),
    "a zone that is none": ('timezone = "Mars"\n', "'Mars' is no time zone"),
    "a zone that is a path": ('timezone = "../../etc/passwd"\n', "is no time zone"),
    "a zone that is a number": ("timezone = 1\n", "is no time zone"),
    "more than all": ("[ps01]\npenalty_percent = 110\n", "a number from 0 to 100"),
    "true is no number": ("[ps01]\nfloor_percent = true\n", "a number from 0 to 100"),
    "not a number": ("[ps01]\npenalty_percent = nan\n", "a number from 0 to 100"),
    "no attempts": ("[ps01]\nattempts = 0\n", "a whole number from 1"),
    "neither best nor last": ('[ps01]\ncounts = "first"\n', 'write "last" or "best"'),
    "by the week": ('[ps01]\nper = "week"\n', 'write "day" or "hour"'),
    "a step without a cost": ("[ps01]\nsteps = [{ days = 1 }]\n", "is no step"),
    "no steps": ("[ps01]\nsteps = []\n", "later steps have to cost more"),
    "steps that get cheaper": (
        "[ps01]\nsteps = [{ days = 1, percent = 20 }, { days = 2, percent = 10 }]\n",
        "later steps have to cost more",
    ),
    "steps and a rate": ("[ps01]\nsteps = [{ days = 1, percent = 2 }]\npenalty_percent = 1\n", "it excludes"),
    "a due time for all": ("[default]\ndue = 2026-01-01\n", "it is different for each problem set"),
    "an extension that is none": ('[ps01.extensions]\nada = "long"\n', "ps01.extensions.ada: 'long' is no time"),
    "extensions that are none": ("[ps01]\nextensions = 3\n", "ps01.extensions: it is no table"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_clear_sentence(tmp_path, case):
    text, sentence = BAD[case]
    (tmp_path / POLICY).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CourseError) as raised:
        read_policy(tmp_path, KNOWN)
    message = str(raised.value)
    assert sentence in message
    assert POLICY in message
    assert message.endswith(".") and "\n" not in message


def test_nbgrader_itself_takes_off_the_same(tmp_path):
    """Through nbgrader's own preprocessor, which nbgrader_config.py tells to ask us."""
    from nbgrader.preprocessors.latesubmissions import AssignLatePenalties

    from course_lib.grading.gradebook import open_gradebook
    from course_lib.grading.plain import settings

    root = tiny_course.make_course(tmp_path)
    rule = "due = 2026-11-01T12:00:00Z\npenalty_percent = 10\nfloor_percent = 25\n"
    (root / POLICY).write_text(f"[{tiny_course.NAME}]\n{rule}")
    config = settings(root)
    address = config.CourseDirectory.db_url
    name = tiny_course.NAME
    with open_gradebook(root) as gradebook:
        gradebook.add_assignment(name, duedate="2026-11-01 12:00:00 UTC")
        gradebook.add_notebook(name, name)
        gradebook.add_grade_cell("double-test", name, name, max_score=20, cell_type="code")
        for student, day, score in (("ada", 3, 18), ("ben", 1, 18), ("eve", 9, 18), ("zoe", 9, 4)):
            gradebook.add_student(student)
            gradebook.add_submission(name, student, timestamp=f"2026-11-{day:02d} 11:00:00 UTC")
            gradebook.find_grade("double-test", name, name, student).auto_score = score
        gradebook.db.commit()
    for student in ("ada", "ben", "eve", "zoe"):
        resources = {"nbgrader": {"notebook": name, "assignment": name, "student": student, "db_url": address}}
        AssignLatePenalties(config=config).preprocess(nbformat.v4.new_notebook(), resources)
    with open_gradebook(root) as gradebook:
        taken = {s.student.id: s.notebooks[0].late_submission_penalty for s in gradebook.assignment_submissions(name)}
    assert taken == {"ada": 4, "ben": None, "eve": 13, "zoe": 0}
