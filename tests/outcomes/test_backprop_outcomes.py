"""Lecture 01: each recorded outcome is met over several seeds, and missed when its idea is switched off."""

from functools import cache

import numpy as np
import pytest
from torch.nn import functional as F

from course_lib import scratch
from course_lib.data import digits
from course_lib.scratch.classify import accuracy, convolutional, moved, train
from course_lib.scratch.compare import RANDOM, Case, difference_from_torch
from course_lib.scratch.planted import BUGS, ConvNotFlipped, ConvOverwrites
from tests.outcomes.bounds import bound_of, definitions

LECTURE = "01_backprop"
SEEDS = (0, 1, 2)
STEPS = 1200  # the smoke budget's

only_last_layer, wrong_sign, one_matrix, two_matrices = definitions(
    LECTURE, "only_last_layer", "wrong_sign", "one_matrix", "two_matrices",
    np=np, scratch=scratch, Sequential=scratch.Sequential, Flatten=scratch.Flatten, SEED=0,
)  # fmt: skip


def bound(name):
    return bound_of(LECTURE, name)


@cache
def data():
    return tuple((x.numpy(), y.numpy()) for x, y in (digits("train"), digits("test")))


@cache
def digit_accuracy(seed, each_step=None, images=None, steps=STEPS):
    """Test accuracy of the lecture's network; each_step spoils its gradients, `images` limits what it learns from."""
    (x, y), (x_test, y_test) = data()
    network = convolutional(rng=np.random.default_rng(seed))
    train(network, x[:images], y[:images], steps=steps, seed=seed, each_step=each_step)
    return accuracy(network, x_test, y_test)


@cache
def moved_accuracy(seed, make):
    (x, y), (x_test, y_test) = data()
    rng = np.random.default_rng(seed)
    x, x_test = moved(x, rng=rng), moved(x_test, rng=rng)
    network = make(seed)
    train(network, x, y, steps=900, learning_rate=0.1, seed=seed)
    return accuracy(network, x_test, y_test)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_our_network_reads_digits(seed):
    value = digit_accuracy(seed)
    assert bound("test accuracy of our network on digits").met_by(value), value


def test_it_does_not_with_random_convolutions():
    value = digit_accuracy(0, only_last_layer)
    assert not bound("test accuracy of our network on digits").met_by(value), value
    gain = bound("gain from letting the convolutions learn")
    assert gain.met_by(digit_accuracy(0) - value)
    assert not gain.met_by(value - value)


def test_it_does_not_with_the_wrong_sign():
    with np.errstate(all="ignore"):
        value = digit_accuracy(0, wrong_sign, steps=150)
    assert not bound("test accuracy of our network on digits").met_by(value), value


def test_it_does_not_from_fifty_images_and_the_twelfth_power_tells():
    few, all_ = digit_accuracy(0, images=50), digit_accuracy(0)
    twelve = bound("twelve digits in a row, all data − 50 images")
    assert twelve.met_by(all_**12 - few**12), (all_, few)
    assert not twelve.met_by(few**12 - few**12)
    assert not twelve.met_by(all_ - few), "the single digit must not show what twelve in a row show"
    assert not bound("test accuracy of our network on digits").met_by(few)


def convolutions(seed):
    return convolutional(rng=np.random.default_rng(seed), size=12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_convolutions_read_digits_that_moved_and_matrices_do_not(seed):
    gain = bound("moved digits: convolutions − one matrix")
    flat = moved_accuracy(seed, lambda s: one_matrix(12, seed=s))
    conv = moved_accuracy(seed, convolutions)
    deep = moved_accuracy(seed, lambda s: two_matrices(12, seed=s))
    assert gain.met_by(conv - flat), (conv, flat)
    assert not gain.met_by(deep - flat), (deep, flat)  # more parameters, a ReLU, but no convolution


@pytest.mark.parametrize("seed", range(5))
def test_relu_keeps_the_gradient_that_sigmoids_lose(seed):
    (lengths,) = definitions(
        LECTURE, "lengths_on_the_way_back", np=np, scratch=scratch, depth=10, width=128, SEED=0
    )  # fmt: skip
    left = {f: lengths(f, seed)[-1] for f in (scratch.ReLU, scratch.Tanh, scratch.Sigmoid)}
    ratio = bound("gradient left after ten layers, ReLU / sigmoid")
    assert ratio.met_by(left[scratch.ReLU] / left[scratch.Sigmoid])
    assert not ratio.met_by(left[scratch.ReLU] / left[scratch.Tanh])  # with another nonlinearity in its place


@pytest.mark.parametrize("seed", SEEDS)
def test_locks_open_as_the_twelfth_power_says(seed):
    locks = bound("simulated locks opened at 98.9 % a picture")
    rng = np.random.default_rng(seed)
    answers = rng.random((100_000, 12))
    assert locks.met_by((answers < 0.989).all(axis=1).mean())
    assert not locks.met_by((answers < 0.98).all(axis=1).mean())  # a slightly worse classifier
    assert not locks.met_by((answers[:, :1] < 0.989).all(axis=1).mean())  # errors that are not independent


def test_every_layer_equals_torch_and_a_planted_bug_does_not():
    closeness = bound("largest difference from torch, 100 random shapes each")
    rng = np.random.default_rng(7)
    for random_case in RANDOM.values():
        assert closeness.met_by(max(max(difference_from_torch(random_case(rng)).values()) for _ in range(10)))
    x = rng.normal(size=(2, 2, 5, 6))
    for kind, right in ((scratch.Conv2d, True), (ConvNotFlipped, False), (ConvOverwrites, False)):
        case = Case(kind(2, 3, 3, padding=1, rng=rng), lambda x, **w: F.conv2d(x, **w, padding=1), x)
        assert closeness.met_by(max(difference_from_torch(case).values())) is right


def test_every_layer_equals_central_differences_and_a_float32_step_does_not():
    closeness = bound("largest relative error against central differences")
    rng = np.random.default_rng(7)
    for random_case in RANDOM.values():
        case = random_case(rng)
        x = rng.normal(size=case.x.shape)
        assert closeness.met_by(scratch.gradient_check(case.layer, x, *case.more).worst)
    x = rng.normal(size=(4, 5))
    assert not closeness.met_by(scratch.gradient_check(scratch.Tanh(), x, step=1e-2).worst)  # too large a step
    assert not closeness.met_by(scratch.gradient_check(scratch.Tanh(), x, step=1e-13).worst)  # too small a one


@pytest.mark.parametrize("seed", SEEDS)
def test_the_careful_check_catches_every_planted_bug_and_the_hurried_one_does_not(seed):
    (hurried_check,) = definitions(LECTURE, "hurried_check", np=np, scratch=scratch)
    all_caught = bound("planted bugs caught by the gradient check")
    assert all_caught.at_least == len(BUGS)
    careful = hurried = 0
    for bug in BUGS:
        layer, arguments = bug.layer_and_input(np.random.default_rng(seed))
        careful += not scratch.gradient_check(layer, *arguments).passed
        layer, arguments = bug.layer_and_input(np.random.default_rng(seed), easy=True)
        hurried += hurried_check(layer, *arguments) > 1e-6
    assert all_caught.met_by(careful)
    assert not all_caught.met_by(hurried)
