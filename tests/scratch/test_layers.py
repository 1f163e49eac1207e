"""Our layers against torch (forward, dz/dx, dz/dw over 100 random shapes) and against central differences."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_lib.errors import CourseError
from course_lib.scratch import (
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
    gradient_check,
)
from course_lib.scratch.compare import RANDOM, Case, difference_from_torch
from course_lib.scratch.planted import ConvOverwrites, LinearMeanBias

SHAPES, CLOSE = 100, 1e-6


@pytest.mark.parametrize("name", RANDOM)
def test_equals_torch_over_random_shapes(name, equals_torch):
    equals_torch(RANDOM[name], shapes=SHAPES, close=CLOSE)


def test_the_comparison_with_torch_sees_a_wrong_backward():
    rng = np.random.default_rng(0)
    wrong = LinearMeanBias(4, 3, rng=rng)
    assert difference_from_torch(Case(wrong, F.linear, rng.normal(size=(5, 4))))["bias"] > 0.1
    wrong = ConvOverwrites(2, 3, 3, rng=rng)
    assert difference_from_torch(Case(wrong, F.conv2d, rng.normal(size=(2, 2, 5, 5))))["x"] > 0.1


def test_the_random_windows_overlap_leave_gaps_and_miss_the_end():
    """The hundred shapes hold what breaks convolutions: stride > kernel, a rest at the end, padding, no padding."""
    rng, seen = np.random.default_rng(0), set()
    for _ in range(SHAPES):
        layer, _, x, _ = RANDOM["Conv2d"](rng)
        for size, k, s, p in zip(x.shape[2:], layer.w["weight"].shape[2:], layer.stride, layer.padding, strict=True):
            seen |= {"overlap" if s < k else "gap" if s > k else "side by side", "padding" if p else "none"}
            seen |= {"rest" if (size + 2 * p - k) % s else "exact"}
    assert seen == {"overlap", "gap", "side by side", "padding", "none", "rest", "exact"}


@pytest.mark.parametrize("name", RANDOM)
def test_equals_central_differences(name):
    rng = np.random.default_rng(3)
    for _ in range(8):
        layer, _, x, more = RANDOM[name](rng)
        x = rng.normal(size=x.shape)  # no ties and no zeros: there the derivative does not exist
        check = gradient_check(layer, x, *more)
        assert check.passed, f"{name} {x.shape}\n{check}"


def small_network(rng):
    return Sequential(
        Conv2d(2, 3, 3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Conv2d(3, 4, 2, stride=2, rng=rng),
        Tanh(),
        Flatten(),
        Linear(4 * 1 * 2, 3, rng=rng),
        Sigmoid(),
    )


def test_sequential_equals_torch_end_to_end():
    rng = np.random.default_rng(0)
    network = small_network(rng)

    def torch_network(x, **w):
        x = F.max_pool2d(F.relu(F.conv2d(x, w["0.weight"], w["0.bias"], padding=1)), 2)
        x = torch.tanh(F.conv2d(x, w["3.weight"], w["3.bias"], stride=2))
        return torch.sigmoid(F.linear(x.flatten(1), w["6.weight"], w["6.bias"]))

    differences = difference_from_torch(Case(network, torch_network, rng.normal(size=(3, 2, 4, 8))))
    assert len(differences) == 8
    assert max(differences.values()) <= CLOSE


def test_sequential_equals_central_differences():
    rng = np.random.default_rng(0)
    check = gradient_check(small_network(rng), rng.normal(size=(2, 2, 4, 8)))
    assert check.passed, str(check)
    assert set(check.errors) == {"x", "0.weight", "0.bias", "3.weight", "3.bias", "6.weight", "6.bias"}


def test_update_walks_downhill_by_the_step_asked_for():
    rng = np.random.default_rng(0)
    layer, loss = Linear(5, 3, rng=rng), SoftmaxCrossEntropy()
    x, labels = rng.normal(size=(8, 5)), rng.integers(0, 3, 8)
    before = loss.forward(layer.forward(x), labels)
    layer.backward(loss.backward())
    w = {name: array.copy() for name, array in layer.w.items()}
    layer.update(1e-3)
    for name, array in layer.w.items():
        np.testing.assert_allclose(array, w[name] - 1e-3 * layer.dz_dw[name], rtol=0, atol=1e-15)
    fall = before - loss.forward(layer.forward(x), labels)
    expected = 1e-3 * sum((g**2).sum() for g in layer.dz_dw.values())  # first order: learning rate · |gradient|²
    assert fall == pytest.approx(expected, rel=0.01)


def test_sequential_update_moves_its_layers():
    rng = np.random.default_rng(0)
    network = small_network(rng)
    network.backward(rng.normal(size=network.forward(rng.normal(size=(2, 2, 4, 8))).shape))
    before = network.layers[3].w["weight"].copy()
    network.update(0.1)
    np.testing.assert_array_equal(network.layers[3].w["weight"], before - 0.1 * network.layers[3].dz_dw["weight"])
    assert network.w["3.weight"] is network.layers[3].w["weight"]


@pytest.mark.parametrize("name", RANDOM)
def test_leaves_its_inputs_alone_and_repeats_itself(name):
    """Catches: work in place; gradients added to the last batch's; memory of an older x."""
    rng = np.random.default_rng(5)
    layer, _, x, more = RANDOM[name](rng)
    kept = x.copy()
    r = rng.normal(size=np.shape(layer.forward(x, *more)))
    r_kept = np.array(r)
    first = layer.backward(r), {k: g.copy() for k, g in layer.dz_dw.items()}
    layer.forward(rng.normal(size=x.shape), *more)
    layer.backward(r)
    layer.forward(x, *more)
    again = layer.backward(r)
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(r, r_kept)
    np.testing.assert_array_equal(again, first[0])
    for k, g in layer.dz_dw.items():
        np.testing.assert_array_equal(g, first[1][k])


def test_extreme_numbers_neither_overflow_nor_warn():
    with np.errstate(all="raise", under="ignore"):
        assert Sigmoid().forward(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
        loss = SoftmaxCrossEntropy()
        z = loss.forward(np.array([[1e4, -1e4], [0.0, 0.0]]), np.array([0, 1]))
        assert z == pytest.approx(np.log(2) / 2)
        assert np.isfinite(loss.backward()).all()


def test_float32_stays_float32():
    rng = np.random.default_rng(0)
    network = Sequential(
        Conv2d(1, 2, 3, rng=rng, padding=1, dtype=np.float32),
        ReLU(),
        MaxPool2d(3, stride=2, padding=1),
        Tanh(),
        Sigmoid(),
        Flatten(),
        Linear(8, 3, rng=rng, dtype=np.float32),
    )
    loss = SoftmaxCrossEntropy()
    y = network.forward(rng.normal(size=(5, 1, 4, 4)).astype(np.float32))
    loss.forward(y, np.zeros(5, int))
    assert y.dtype == network.backward(loss.backward()).dtype == np.float32
    assert {g.dtype for g in network.dz_dw.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda r: Linear(4, 3, rng=r).forward(np.zeros((2, 5))), "Linear expects"),
        (lambda r: Linear(4, 3, rng=r).forward(np.zeros((2, 4, 1, 1))), "Flatten"),
        (lambda r: Conv2d(2, 3, 3, rng=r).forward(np.zeros((2, 1, 5, 5))), "Conv2d expects"),
        (lambda r: Conv2d(2, 3, 3, rng=r).forward(np.zeros((2, 2, 2, 5))), "does not fit"),
        (lambda r: Conv2d(2, 3, 3, rng=r, stride=0), "stride"),
        (lambda r: MaxPool2d(2, padding=2), "half"),
        (lambda r: MaxPool2d(2, stride=0), "stride"),
        (lambda r: MaxPool2d(3).forward(np.zeros((1, 1, 2, 2))), "does not fit"),
        (lambda r: SoftmaxCrossEntropy().forward(np.zeros((2, 3)), np.array([0, 3])), "Labels"),
        (lambda r: SoftmaxCrossEntropy().forward(np.zeros((2, 3)), np.array([[0], [1]])), "Scores"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(act, words):
    with pytest.raises(CourseError, match=words):
        act(np.random.default_rng(0))


def test_the_contract_itself_computes_nothing():
    with pytest.raises(NotImplementedError):
        Layer().forward(np.zeros(1))
    with pytest.raises(NotImplementedError):
        Layer().backward(np.zeros(1))
