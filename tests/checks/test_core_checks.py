"""Where the data of hidden tests come from: fixed in a notebook, drawn afresh while a submission is graded."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch

from course_lib.authoring import mutants
from course_lib.checks import backprop, gan
from course_lib.checks.core import (
    CheckFailed,
    draw_afresh,
    drawn_afresh,
    expect_close,
    expect_shape,
    expect_tensor,
    fresh,
    parts_of,
    unchanged,
    when_done,
)

ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(200)


def test_without_a_grader_a_seed_is_itself() -> None:
    assert [fresh(seed) for seed in SEEDS] == list(SEEDS)


def test_under_a_secret_seeds_are_others_and_always_the_same_ones() -> None:
    with drawn_afresh("one"):
        first = [fresh(seed) for seed in SEEDS]
        again = [fresh(seed) for seed in SEEDS]
    with drawn_afresh("another"):
        second = [fresh(seed) for seed in SEEDS]
    assert first == again
    assert len({*first, *second, *SEEDS}) == 3 * len(SEEDS)
    assert all(0 <= seed < 2**32 for seed in (*first, *second))
    assert max(first) > 2**31 > min(first)  # of the whole range


def test_secrets_nest_and_end_with_an_error() -> None:
    def interrupted() -> None:
        with drawn_afresh("inner"):
            assert fresh(1) != outer
            raise ValueError("inner")

    draw_afresh("outer")
    try:
        outer = fresh(1)
        with pytest.raises(ValueError, match="inner"):
            interrupted()
        assert fresh(1) == outer
    finally:
        draw_afresh(None)
    assert fresh(1) == 1


def test_both_sets_of_checks_have_it() -> None:
    with drawn_afresh("one"):
        assert backprop.fresh(3) == gan.fresh(3) != 3


def hidden_parts(assignment: str) -> list[tuple[str, str]]:
    """(grade_id, code) of each hidden region."""
    return [
        (cell.name, part)
        for cell in mutants._read_cells(assignment, ROOT)
        for part in re.findall(f"{mutants.BEGIN_HIDDEN}(.*?){mutants.END_HIDDEN}", cell.source, re.DOTALL)
    ]


def fixed_draws(code: str) -> list[str]:
    """The calls in `code` that draw what every submission meets: a seed without `fresh`, or no seed at all."""
    found = []
    for call in ast.walk(ast.parse(code)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        name, given = ast.unparse(call.func), {word.arg: ast.unparse(word.value) for word in call.keywords}
        first = ast.unparse(call.args[0]) if call.args else ""
        if name.endswith(("default_rng", "manual_seed", "checks.networks")):
            fixed = not first.startswith("checks.fresh(")
        elif re.fullmatch(r"torch\.(rand|randn|randint|randperm)", name):
            fixed = "generator" not in given
        else:
            fixed = not given.get("seed", "checks.fresh(").startswith(("checks.fresh(", "rng."))
        if fixed:
            found.append(ast.unparse(call))
    return found


@pytest.mark.parametrize("assignment", mutants.assignments(ROOT))
def test_every_hidden_test_draws_afresh(assignment: str) -> None:
    parts = hidden_parts(assignment)
    assert sum("checks.fresh(" in code for _, code in parts) > 10
    assert [(cell, call) for cell, code in parts for call in fixed_draws(code)] == []


@pytest.mark.parametrize(
    "code",
    [
        "rng = np.random.default_rng(1)",
        "rng = np.random.default_rng()",
        "torch.manual_seed(seed)",
        "draws = torch.Generator().manual_seed(n)",
        "x = torch.randn(3, 4)",
        "checks.networks(3)",
        "checks.expect_training(train, 5, 4, 2, seed=7)",
    ],
)
def test_a_fixed_draw_is_found(code: str) -> None:
    assert len(fixed_draws(code)) == 1


def test_hints_are_made_only_where_something_is_wrong() -> None:
    def too_early() -> dict:
        raise AssertionError("asked for, though nothing is wrong")

    expect_close("y", 1.0, 1.0, mistakes=too_early)
    expect_shape("y", 1.0, (), too_early)
    with pytest.raises(CheckFailed, match="Likely mistake: the sign"):
        expect_close("y", -1.0, 1.0, mistakes=lambda: {"the sign": -1.0})
    with pytest.raises(CheckFailed, match="Likely mistake: not summed"):
        expect_shape("y", [1.0, 2.0], (), lambda: {(2,): "not summed"})


def test_a_picture_of_an_unfinished_task_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with when_done("Task 3"):
        raise NotImplementedError
    assert capsys.readouterr().out == "Nothing to see yet: this cell needs your Task 3.\n"
    with pytest.raises(ValueError, match="other"), when_done("Task 3"):
        raise ValueError("other")


def test_results_that_are_not_several_are_a_sentence() -> None:
    assert parts_of("f", [1, 2], 2) == (1, 2)
    with pytest.raises(CheckFailed, match="f returns None; did you forget"):
        parts_of("f", None, 2)
    with pytest.raises(CheckFailed, match="f returns a int; 3 results were expected: return a, b, c"):
        parts_of("f", 1, 3)


def test_an_argument_that_was_changed_is_named() -> None:
    given = {"x": torch.ones(2), "y": torch.ones(2)}
    before = {name: tensor.clone() for name, tensor in given.items()}
    unchanged("f", before, given)
    given["y"] += 1
    with pytest.raises(CheckFailed, match="f changed the y"):
        unchanged("f", before, given)


def test_a_result_that_hidden_tests_take_for_a_tensor_must_be_one():
    expect_tensor("y", torch.ones(2, dtype=torch.float64))
    expect_tensor("y", torch.ones(2), torch.float32)
    expect_tensor("y", None)  # which expect_shape has a sentence for
    with pytest.raises(CheckFailed, match=r"y is a list; a tensor is asked\."):
        expect_tensor("y", [1.0])
    with pytest.raises(CheckFailed, match=r"y has the dtype torch.float32; torch.float64 is asked.*dtype=x.dtype"):
        expect_tensor("y", torch.ones(2))
