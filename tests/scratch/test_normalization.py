"""Normalizations against torch over random shapes, against central differences, and in what they promise."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_lib.errors import CourseError
from course_lib.scratch import Linear, Sequential, Tanh, gradient_check
from course_lib.scratch.compare import Case
from course_lib.scratch.normalization import BatchNorm, LayerNorm, WeightNormLinear, set_training

SHAPES, CLOSE = 100, 1e-10


def randomize(layer, rng):
    for w in layer.w.values():
        w += rng.normal(size=w.shape)


def batch_norm(rng, training=True):
    n, c = rng.integers(2, 7), rng.integers(1, 5)
    epsilon, momentum = 10.0 ** rng.integers(-6, 0), rng.uniform()
    layer = BatchNorm(c, epsilon=epsilon, momentum=momentum)
    randomize(layer, rng)
    layer.training = training
    layer.running_mean, layer.running_variance = rng.normal(size=c), rng.uniform(0.5, 2, c)
    mean, variance = torch.tensor(layer.running_mean), torch.tensor(layer.running_variance)
    x = 2 + 3 * rng.normal(size=(n, c, *rng.integers(1, 5, rng.integers(0, 3))))

    def function(x, weight, bias):
        return F.batch_norm(x, mean.clone(), variance.clone(), weight, bias, training, momentum, epsilon)

    return Case(layer, function, x)


def layer_norm(rng):
    shape = tuple(int(k) for k in rng.integers(1, 5, rng.integers(1, 4)))
    shape = (*shape[:-1], shape[-1] + 1)  # of one number alone only the bias is left
    epsilon = 10.0 ** rng.integers(-6, 0)
    layer = LayerNorm(shape if len(shape) > 1 or rng.random() < 0.5 else shape[0], epsilon=epsilon)
    randomize(layer, rng)
    x = 2 + 3 * rng.normal(size=(*rng.integers(1, 5, rng.integers(0, 3)), *shape))
    return Case(layer, lambda x, weight, bias: F.layer_norm(x, shape, weight, bias, epsilon), x)


def weight_norm(rng):
    n, inputs, outputs = rng.integers(1, 8, 3)
    layer = WeightNormLinear(inputs, outputs, rng=rng)
    randomize(layer, rng)

    def function(x, direction, length, bias):
        return F.linear(x, torch._weight_norm(direction, length[:, None], 0), bias)

    return Case(layer, function, rng.normal(size=(n, inputs)))


RANDOM = {
    "BatchNorm, training": batch_norm,
    "BatchNorm, afterwards": lambda rng: batch_norm(rng, training=False),
    "LayerNorm": layer_norm,
    "WeightNormLinear": weight_norm,
}


@pytest.mark.parametrize("name", RANDOM)
def test_equals_torch_over_random_shapes(name, equals_torch):
    equals_torch(RANDOM[name], shapes=SHAPES, close=CLOSE)


@pytest.mark.parametrize("name", RANDOM)
def test_equals_central_differences(name):
    rng = np.random.default_rng(3)
    for _ in range(8):
        layer, _, x, _ = RANDOM[name](rng)
        check = gradient_check(layer, x)
        assert check.passed, f"{name} {x.shape}\n{check}"


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 5)])
def test_running_statistics_are_torchs(shape):
    rng = np.random.default_rng(0)
    ours, theirs = BatchNorm(3, momentum=0.3), torch.nn.modules.batchnorm.BatchNorm1d(3, momentum=0.3).double()
    if len(shape) == 4:
        theirs = torch.nn.BatchNorm2d(3, momentum=0.3).double()
    for _ in range(5):
        x = 1 + 2 * rng.normal(size=shape)
        assert np.abs(ours.forward(x) - theirs(torch.tensor(x)).detach().numpy()).max() <= CLOSE
    assert np.abs(ours.running_mean - theirs.running_mean.numpy()).max() <= CLOSE
    assert np.abs(ours.running_variance - theirs.running_var.numpy()).max() <= CLOSE
    network = Sequential(Sequential(ours))
    set_training(network, False)
    theirs.eval()
    kept = ours.running_mean.copy()
    x = rng.normal(size=shape)
    assert np.abs(network.forward(x) - theirs(torch.tensor(x)).detach().numpy()).max() <= CLOSE
    assert np.array_equal(ours.running_mean, kept)
    set_training(network, True)
    assert ours.training


def test_backward_goes_back_the_way_that_forward_came():
    """Catches: backward asks for the mode anew."""
    rng = np.random.default_rng(0)
    layer, x, r = BatchNorm(3), rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    layer.forward(x)
    expected = layer.backward(r)
    layer.forward(x)
    set_training(layer, False)
    assert np.array_equal(layer.backward(r), expected)


def test_what_each_normalizes():
    rng = np.random.default_rng(0)
    x = 5 + 3 * rng.normal(size=(64, 8, 4, 4))
    y = BatchNorm(8).forward(x)
    assert np.abs(y.mean(axis=(0, 2, 3))).max() < 1e-12 and np.abs(y.std(axis=(0, 2, 3)) - 1).max() < 1e-5
    y = LayerNorm((8, 4, 4)).forward(x)
    assert np.abs(y.mean(axis=(1, 2, 3))).max() < 1e-12 and np.abs(y.std(axis=(1, 2, 3)) - 1).max() < 1e-5
    assert np.allclose(LayerNorm((8, 4, 4)).forward(x[:1]), y[:1])


def test_weight_normalization_starts_as_the_linear_layer_and_from_a_batch():
    x = 5 + 3 * np.random.default_rng(1).normal(size=(200, 6))
    layer, linear = (make(6, 4, rng=np.random.default_rng(0)) for make in (WeightNormLinear, Linear))
    np.testing.assert_allclose(layer.forward(x), linear.forward(x), atol=1e-12)
    layer.start_from(x)
    y = layer.forward(x)
    assert np.abs(y.mean(axis=0)).max() < 1e-12 and np.abs(y.std(axis=0) - 1).max() < 1e-12
    layer.backward(np.random.default_rng(2).normal(size=y.shape))
    assert np.abs((layer.dz_dw["direction"] * layer.w["direction"]).sum(axis=1)).max() < 1e-10
    with pytest.raises(CourseError, match="larger batch"):
        layer.start_from(x[:1])


def test_gradients_keep_their_size_in_depth():
    """What they are for: badly scaled weights, 30 layers; the gradient at the input is neither nothing nor huge."""

    def ratio(normalization):
        rng, layers = np.random.default_rng(0), []
        for _ in range(30):
            layers.append(Linear(32, 32, rng=rng))
            layers[-1].w["weight"] *= 0.3
            layers += [*normalization(), Tanh()]
        network = Sequential(*layers)
        r = rng.normal(size=network.forward(rng.normal(size=(64, 32))).shape)
        return np.linalg.norm(network.backward(r)) / np.linalg.norm(r)

    assert ratio(lambda: []) < 1e-8
    for normalization in (lambda: [BatchNorm(32)], lambda: [LayerNorm(32)]):
        assert 1e-2 < ratio(normalization) < 1e2


def test_float32_stays_float32():
    rng = np.random.default_rng(0)
    network = Sequential(
        WeightNormLinear(3, 4, rng=rng, dtype=np.float32),
        BatchNorm(4, dtype=np.float32),
        LayerNorm(4, dtype=np.float32),
    )
    y = network.forward(rng.normal(size=(5, 3)).astype(np.float32))
    assert y.dtype == network.backward(y).dtype == np.float32
    assert {g.dtype for g in network.dz_dw.values()} == {np.dtype(np.float32)}
    assert network.layers[1].running_variance.dtype == np.float32


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: BatchNorm(3).forward(np.zeros((2, 4))), "BatchNorm expects"),
        (lambda: BatchNorm(3).forward(np.zeros(3)), "BatchNorm expects"),
        (lambda: BatchNorm(3).forward(np.zeros((1, 3))), "no variance"),
        (lambda: BatchNorm(3, epsilon=0), "Epsilon"),
        (lambda: BatchNorm(3, momentum=2), "momentum"),
        (lambda: LayerNorm(3).forward(np.zeros((3, 4))), "LayerNorm expects"),
        (lambda: LayerNorm((2, 3)).forward(np.zeros(3)), "LayerNorm expects"),
        (lambda: LayerNorm(3, epsilon=-1), "Epsilon"),
        (lambda: WeightNormLinear(3, 2, rng=np.random.default_rng(0)).forward(np.zeros((2, 4))), "Flatten"),
    ],
)
def test_says_what_is_wrong(act, words):
    with pytest.raises(CourseError, match=words):
        act()
