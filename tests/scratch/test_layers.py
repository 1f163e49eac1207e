"""Our layers against torch (forward, dz/dx, dz/dw over 100 random shapes) and against central differences."""

import numpy as np
import pytest
import torch
from torch import nn
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

SHAPES = 100
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


def same_as_torch(layer, function, x, *more):
    """Forward, input gradient and parameter gradients of `layer` equal autograd's through `function(x, **w)`."""
    y = layer.forward(x, *more)
    r = np.random.default_rng(1).normal(size=np.shape(y))
    dz_dx = layer.backward(r)
    tx = torch.tensor(x, requires_grad=True)
    tw = {name: torch.tensor(w, requires_grad=True) for name, w in layer.w.items()}
    ty = function(tx, **tw)
    ty.backward(torch.as_tensor(r))
    np.testing.assert_allclose(y, ty.detach().numpy(), **CLOSE)
    assert dz_dx.shape == x.shape
    np.testing.assert_allclose(dz_dx, tx.grad.numpy(), **CLOSE)
    assert set(layer.dz_dw) == set(tw)
    for name, w in tw.items():
        np.testing.assert_allclose(layer.dz_dw[name], w.grad.numpy(), **CLOSE, err_msg=name)


def random_linear(rng):
    n, inputs, outputs = rng.integers(1, 8, 3)
    return Linear(inputs, outputs, rng=rng), F.linear, rng.normal(size=(n, inputs)), ()


def random_conv(rng):
    kernel, stride, padding = rng.integers(1, 5, 2), rng.integers(1, 5, 2), rng.integers(0, 4, 2)
    n, s, t = rng.integers(1, 4, 3)
    h, w = np.maximum(rng.integers(1, 10, 2), kernel - 2 * padding)  # any size into which the window fits
    layer = Conv2d(s, t, tuple(kernel), rng=rng, stride=tuple(stride), padding=tuple(padding))
    layer.w["bias"] += rng.normal(size=t)
    return (
        layer,
        lambda x, weight, bias: F.conv2d(x, weight, bias, stride=tuple(stride), padding=tuple(padding)),
        rng.normal(size=(n, s, h, w)),
        (),
    )


def random_pool(rng):
    kernel, stride = rng.integers(1, 5, 2), rng.integers(1, 5, 2)
    padding = rng.integers(0, kernel // 2 + 1)
    h, w = np.maximum(rng.integers(1, 10, 2), kernel - 2 * padding)
    n, c = rng.integers(1, 4, 2)
    # whole numbers half of the time: then windows hold ties, and the first of the largest must win, as in torch
    x = rng.integers(-2, 3, (n, c, h, w)).astype(float) if rng.random() < 0.5 else rng.normal(size=(n, c, h, w))
    layer = MaxPool2d(tuple(kernel), stride=tuple(stride), padding=tuple(padding))
    return layer, lambda x: F.max_pool2d(x, tuple(kernel), tuple(stride), tuple(padding)), x, ()


def random_array(rng):
    x = 3 * rng.normal(size=tuple(rng.integers(1, 5, rng.integers(1, 5))))
    x.flat[0] = 0.0  # where torch, too, says that a ReLU passes nothing
    return x


def random_loss(rng):
    n, k = rng.integers(1, 7, 2)
    labels = rng.integers(0, k, n)
    return (
        SoftmaxCrossEntropy(),
        lambda s: F.cross_entropy(s, torch.as_tensor(labels)),
        3 * rng.normal(size=(n, k)),
        (labels,),
    )


RANDOM = {
    "Linear": random_linear,
    "Conv2d": random_conv,
    "MaxPool2d": random_pool,
    "ReLU": lambda rng: (ReLU(), torch.relu, random_array(rng), ()),
    "Tanh": lambda rng: (Tanh(), torch.tanh, random_array(rng), ()),
    "Sigmoid": lambda rng: (Sigmoid(), torch.sigmoid, random_array(rng), ()),
    "Flatten": lambda rng: (Flatten(), nn.Flatten(), rng.normal(size=tuple(rng.integers(1, 5, 4))), ()),
    "SoftmaxCrossEntropy": random_loss,
}


@pytest.mark.parametrize("name", RANDOM)
def test_equals_torch_over_random_shapes(name):
    rng = np.random.default_rng(0)
    for _ in range(SHAPES):
        layer, function, x, more = RANDOM[name](rng)
        same_as_torch(layer, function, x, *more)


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

    same_as_torch(network, torch_network, rng.normal(size=(3, 2, 4, 8)))


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
