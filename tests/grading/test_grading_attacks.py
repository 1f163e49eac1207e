"""Hostile submissions gain nothing and harm nobody; and the judgement of that can tell when one does.

`python -m tests.grading.attacks` prints what came of each as a table.
"""

from __future__ import annotations

import copy
import json

import pytest
from attacks import _course, _harness
from attacks._harness import Attack
from needs import needs_sandbox

ATTACKS = {attack.name: attack for attack in _harness.attacks()}


@pytest.fixture(scope="module")
def stage():
    with _harness.stage() as made:
        yield made


@pytest.fixture(scope="module")
def open_stage():
    """Without a sandbox."""
    with _harness.stage("none") as made:
        yield made


def control(code: str, **options: str) -> Attack:
    """One that may be tried without a sandbox."""
    return Attack("control", "", {"safe": "yes", "earns": "all", **options}, [("double", code)])


def kinds(problems: list[str]) -> set[str]:
    return {problem.partition(":")[0] for problem in problems}


# ------------------------------------------------------------------------------------------------- the attacks


@needs_sandbox
@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_gains_nothing_and_harms_nobody(stage, name):
    row = _harness.attempt(ATTACKS[name], stage)
    assert not row.problems, row.outcome


@needs_sandbox
@pytest.mark.parametrize("name", ["writes_what_it_saw", "disk_bomb", "other_in_the_second_pass"])
def test_nothing_passes_from_one_submission_to_the_next(stage, name):
    for _ in range(2):  # an accomplice, who looks in the same places
        row = _harness.attempt(ATTACKS[name], stage)
        assert not row.problems, row.outcome


def test_there_are_many_different_ones():
    assert len(ATTACKS) >= 60
    assert len({json.dumps(attack.cells) for attack in ATTACKS.values()}) == len(ATTACKS)
    assert len({attack.kind for attack in ATTACKS.values()}) >= 10
    assert all(attack.kind and len(attack.tries) > 30 for attack in ATTACKS.values())


# --------------------------------------------------------------------------- the judgement can tell (controls)


def test_points_forged_in_one_process_are_noticed(open_stage):
    """In one process with the tests, as in a kernel, many of them succeed."""
    forgers = [
        "equal_to_anything",
        "array_subclass",
        "tensor_subclass",
        "number_subclass",
        "dictionary_subclass",
        "empty_answers",
        "forged_gradients",
        "zeroes_its_argument",
        "zeroes_through_a_view",
        "patches_comparisons",
        "redefines_names",
        "private_parts",
    ]
    won = set()
    for name in forgers:
        attack = ATTACKS[name]
        got = open_stage.pool.ask(_harness.in_one_process, attack.submission(open_stage))
        cells = {test: {"score": score} for test, score in got.items()}
        if _harness.gains(attack, {"cells": cells}):
            won.add(name)
    assert len(won) >= 6, won
    honest = open_stage.pool.ask(_harness.in_one_process, json.dumps(_course.honest()).encode())
    assert honest == _harness.full()


def test_reading_is_noticed(open_stage):
    code = "print(open('HOST_CANARY').read())\ndef double(x): return 2 * x"
    assert kinds(_harness.attempt(control(code), open_stage).problems) == {"leaks"}


def test_writing_is_noticed(open_stage):
    code = "open('HOST_CANARY', 'a').write('x'); open('/tmp/HOST_MARK', 'w').close()\ndef double(x): return 2 * x"
    problems = _harness.attempt(control(code), open_stage).problems
    open_stage.canary.write_text(open_stage.secret)
    for path in _harness.left_behind(open_stage.mark):
        _harness.Path(path).unlink()
    assert {"harm: the canary was changed", f"harm: left behind: /tmp/{open_stage.mark}"} <= set(problems)


def test_a_survivor_is_noticed(open_stage):
    code = (
        "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.closerange(0, 100)\n"
        "        os.execv('/bin/sleep', ['HOST_MARK', '60'])\n    os._exit(0)\ndef double(x): return 2 * x"
    )
    problems = _harness.attempt(control(code), open_stage).problems
    for process in _harness.named(open_stage.mark):
        process.kill()
    assert any("survives" in problem for problem in problems), problems


@needs_sandbox
def test_hidden_data_in_the_feedback_are_noticed():
    with _harness.stage(inside=False) as stage:
        row = _harness.attempt(ATTACKS["prints_what_it_saw"], stage, _harness.grade_in_one_pass)
    assert "leaks" in kinds(row.problems)


@needs_sandbox
def test_lost_points_are_noticed(stage):
    attack = copy.deepcopy(ATTACKS["sleeps_in_every_question"])
    attack.options["spares"] = "all"
    assert "unfair" in kinds(_harness.attempt(attack, stage).problems)


@needs_sandbox
def test_results_out_of_form_are_noticed(stage):
    result, _ = stage.grade(stage.job(json.dumps(_course.honest()).encode()))
    assert _harness.ill_formed(result) == []
    bad = copy.deepcopy(result)
    bad["cells"]["double-test"]["score"] = float("nan")
    assert _harness.ill_formed(bad)
    for broken in (b"\xff", b"{}", result["notebook"].replace(b'"stream"', b'"strange"')):
        assert _harness.ill_formed({**result, "notebook": broken})
