"""The gradient check: exact where it must be, and blind to none of the planted bugs."""

import numpy as np
import pytest

from course_lib.errors import CourseError
from course_lib.scratch import Layer, Linear, ReLU, gradient_check, numerical_gradient, relative_error
from course_lib.scratch.planted import BUGS


def test_numerical_gradient_of_a_known_function():
    x = np.array([[0.5, -1.0], [2.0, 0.0]])
    kept = x.copy()
    gradient = numerical_gradient(lambda: np.sum(np.sin(x) * x), x)
    np.testing.assert_allclose(gradient, np.sin(kept) + kept * np.cos(kept), atol=1e-9)
    np.testing.assert_array_equal(x, kept)


def test_the_error_of_central_differences_falls_as_the_square_of_the_step():
    x = np.array([1.0])
    errors = [abs(numerical_gradient(lambda: np.exp(x[0]), x, step=h)[0] - np.e) for h in (1e-2, 1e-3)]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.01)
    assert errors[0] == pytest.approx(np.e * 1e-4 / 6, rel=0.01)


def test_relative_error_closed_forms():
    a = np.array([3.0, 4.0])
    assert relative_error(a, a) == 0
    assert relative_error(a, -a) == 1
    assert relative_error(a, 0 * a) == 1
    assert relative_error(1000 * a, 1001 * a) == pytest.approx(relative_error(a, 1.001 * a))
    assert relative_error(np.array([1e-12]), np.array([-1e-12])) < 1e-8  # rounding of a true zero
    assert np.isnan(relative_error(a, np.array([np.nan, 4.0])))


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
@pytest.mark.parametrize("seed", range(3))
def test_catches_the_planted_bug(bug, seed):
    layer, arguments = bug.layer_and_input(np.random.default_rng(seed))
    check = gradient_check(layer, *arguments, seed=seed)
    assert not check.passed, f"{bug.name} got through\n{check}"
    assert check.complaints or check.worst > 1e-2  # by a wide margin, not by bad luck in the last digit


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_accepts_the_same_layer_without_the_bug(bug):
    """The bug is in what the subclass overrides: the class above it passes on the same input."""
    layer, arguments = bug.layer_and_input(np.random.default_rng(0))
    right = type(layer).__mro__[1]
    repaired = right.__new__(right)
    repaired.__dict__.update(layer.__dict__)
    assert gradient_check(repaired, *arguments).passed


class ChangesGradient(ReLU):
    def backward(self, dz_dy):
        dz_dy[~self.positive] = 0
        return dz_dy


class ForgetsBias(Linear):
    def backward(self, dz_dy):
        dz_dx = super().backward(dz_dy)
        self.dz_dw = {"weight": self.dz_dw["weight"]}
        return dz_dx


class ColumnBias(Linear):
    def backward(self, dz_dy):
        dz_dx = super().backward(dz_dy)
        self.dz_dw["bias"] = dz_dy.sum(axis=0, keepdims=True)
        return dz_dx


class NaNs(ReLU):
    def backward(self, dz_dy):
        return dz_dy / 0 * 0


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (ChangesGradient(), "backward changed its input"),
        (ForgetsBias(4, 3, rng=np.random.default_rng(0)), "left no dz_dw"),
        (ColumnBias(4, 3, rng=np.random.default_rng(0)), r"dz/dbias has shape \(1, 3\)"),
    ],
)
def test_says_how_the_contract_is_broken(layer, words):
    check = gradient_check(layer, np.random.default_rng(1).normal(size=(5, 4)))
    assert not check.passed
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(str(check))


def test_nan_never_passes():
    with np.errstate(all="ignore"):
        check = gradient_check(NaNs(), np.ones((2, 2)))
    assert not check.passed
    assert check.worst == float("inf")


def test_a_layer_that_returns_nothing_to_compare_does_not_pass():
    class Empty(Layer):
        def forward(self, x):
            return x

        def backward(self, dz_dy):
            return None

    assert not gradient_check(Empty(), np.ones((2, 2))).passed


def test_leaves_the_parameters_as_they_were():
    layer = Linear(3, 2, rng=np.random.default_rng(0))
    before = {name: w.copy() for name, w in layer.w.items()}
    x = np.random.default_rng(1).normal(size=(4, 3))
    kept = x.copy()
    gradient_check(layer, x)
    np.testing.assert_array_equal(x, kept)
    for name, w in layer.w.items():
        np.testing.assert_array_equal(w, before[name])


def test_float32_is_refused():
    with pytest.raises(CourseError, match="float64"):
        gradient_check(ReLU(), np.ones((2, 2), np.float32))
