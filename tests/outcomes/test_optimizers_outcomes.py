"""Lecture 02: each recorded outcome is met over several seeds, and missed when its idea is switched off."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.data import digits
from course_lib.scratch import optimizers, surfaces
from tests.outcomes.bounds import bound_of, definitions

LECTURE = "02_optimizers"
SEEDS = (0, 1, 2)
NORMS = {"none": None, "batch norm": nn.BatchNorm1d, "layer norm": nn.LayerNorm}
DEPTH = 12  # the deepest of the smoke budget
NAMES = {"torch": torch, "nn": nn, "np": np, "math": math, "optimizers": optimizers, "surfaces": surfaces}


def bound(name):
    return bound_of(LECTURE, name)


def of_the_lecture(*names, **more):
    return definitions(LECTURE, *names, **NAMES, **more)


@cache
def data():
    (x, y), (x_test, y_test) = digits("train"), digits("test")
    return x.flatten(1), y, x_test.flatten(1), y_test


@pytest.mark.parametrize("seed", SEEDS)
def test_variance_falls_with_the_size_of_a_batch_but_not_of_copies(seed):
    (gradient_of,) = of_the_lecture("gradient_of")
    x, y, _, _ = data()
    x = x.double()
    generator = torch.Generator().manual_seed(seed)
    weight = 0.1 * torch.randn(10, 64, dtype=torch.float64, generator=generator)
    full, sizes = gradient_of(weight, x, y), (1, 4, 16, 64, 256)

    def slope(draw):
        spread = []
        for size in sizes:
            chosen = [draw(size) for _ in range(400)]
            spread.append(np.mean([((gradient_of(weight, x[c], y[c]) - full) ** 2).sum().item() for c in chosen]))
        return np.polyfit(np.log(sizes), np.log(spread), 1)[0]

    asked = bound("slope of log variance against log batch size")
    assert asked.met_by(slope(lambda size: torch.randint(len(x), (size,), generator=generator)))
    assert not asked.met_by(slope(lambda size: torch.randint(len(x), (1,), generator=generator).repeat(size)))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_schedule_reaches_what_no_constant_rate_does(seed):
    constant, harmonic = of_the_lecture("constant", "harmonic")
    starts = torch.tensor(surfaces.noisy_quadratic().start).repeat(400, 1)

    def floor(schedule, noise=1.0):
        noisy = surfaces.noisy_quadratic(4.0, noise=noise)
        made = lambda w: optimizers.SGD(w, learning_rate=0.1)  # noqa: E731
        return noisy(surfaces.descend(noisy, made, starts, 600, schedule=schedule, seed=seed)[-50:]).mean().item()

    predicted = sum(0.5 * 0.2 / (2 - 0.2 * h) for h in (1.0, 4.0))
    high, small, falling = floor(constant(0.2)), floor(constant(0.003)), floor(harmonic(2.0, 10, 10))
    formula = bound("floor of constant 0.2, measured / predicted")
    assert formula.met_by(high / predicted) and not formula.met_by(floor(constant(0.2), noise=1.2) / predicted)
    for name, other in (
        ("floor, harmonic / constant 0.2", high),
        ("after 600 steps, harmonic / constant 0.003", small),
    ):
        assert bound(name).met_by(falling / other), name
        assert not bound(name).met_by(floor(harmonic(2.0, 10**6, 10)) / other), "one that never falls"


def test_momentum_calms_a_ravine_and_without_it_nothing_does():
    Momentum, crossings = of_the_lecture("Momentum", "crossings")
    valley = surfaces.ravine(100.0)

    def path(momentum):
        return surfaces.descend(valley, lambda w: Momentum(w, 0.018, momentum), steps=150)

    plain = path(0.0)
    fewer = bound("ravine, crossings of the valley, with momentum / without")
    lower = bound("ravine, E after 150 steps, with momentum / without")
    for momentum, met in ((0.8, True), (0.0, False), (0.05, False)):
        heavy = path(momentum)
        assert fewer.met_by(crossings(heavy) / crossings(plain)) is met
        assert lower.met_by(valley(heavy[-1]) / valley(plain[-1])) is met


def test_a_rate_for_every_coordinate_helps_along_axes_only_and_one_rate_nowhere():
    Adagrad, RMSProp = of_the_lecture("Adagrad", "RMSProp", Adagrad=None)
    asked = bound("Adagrad, lowest E, axis / turned")

    def lowest(rule, angle):
        surface = surfaces.ravine(100.0, angle=angle)
        return surface(surfaces.descend(surface, rule, steps=150)).min().item()

    def ratio(rule):
        return lowest(rule, 0.0) / lowest(rule, math.pi / 6)

    assert asked.met_by(ratio(lambda w: Adagrad(w, 0.4)))
    assert not asked.met_by(ratio(lambda w: optimizers.SGD(w, learning_rate=0.018)))
    assert issubclass(RMSProp, Adagrad)


def test_units_matter_to_whom_the_table_says():
    bowl = surfaces.ravine(50.0)
    rules = {
        "SGD": lambda w: optimizers.SGD(w, learning_rate=0.005),
        "RMSProp": lambda w: optimizers.RMSProp(w, learning_rate=0.01, epsilon=1e-12),
        "Adadelta": lambda w: optimizers.Adadelta(w, epsilon=1e-12),
    }
    (walk,) = of_the_lecture("walk", bowl=bowl, rules=rules)
    apart = {}
    for rule in rules:
        usual = walk(rule)
        for unit in ("energy_unit", "length_unit"):
            distance = (walk(rule, **{unit: 1e3}) - usual).norm(dim=1)
            apart[rule, unit] = distance.max().item() if distance.isfinite().all() else 1e9
    energy = bound("RMSProp, E × 1000: distance between the paths")
    assert energy.met_by(apart["RMSProp", "energy_unit"]) and not energy.met_by(apart["SGD", "energy_unit"])
    energy = bound("Adadelta, E × 1000: distance between the paths")
    assert energy.met_by(apart["Adadelta", "energy_unit"]) and not energy.met_by(apart["SGD", "energy_unit"])
    length = bound("RMSProp, w in mm: distance between the paths")
    assert length.met_by(apart["RMSProp", "length_unit"]) and not length.met_by(apart["Adadelta", "length_unit"])
    flies = bound("SGD, E × 1000: distance between the paths")
    assert flies.met_by(apart["SGD", "energy_unit"]) and not flies.met_by(apart["RMSProp", "energy_unit"])


def test_the_correction_of_adam_is_what_keeps_its_first_steps_short():
    (Adam,) = of_the_lecture("Adam")

    def lengths(correct):
        w, found = torch.zeros(1, dtype=torch.float64), []
        optimizer = Adam([w], 1.0, correct=correct)
        for _ in range(300):
            before, w.grad = w.item(), torch.ones(1, dtype=torch.float64)
            optimizer.step()
            found.append(before - w.item())
        return found

    corrected, plain = lengths(True), lengths(False)
    first, longest = (
        bound("Adam without correction, first step / α"),
        bound("Adam without correction, longest step / α"),
    )
    assert first.met_by(plain[0]) and not first.met_by(corrected[0])
    assert longest.met_by(max(plain)) and not longest.met_by(max(corrected))
    even = bound("Adam with correction, |longest step / α − 1|")
    assert even.met_by(abs(max(corrected) - 1)) and not even.met_by(abs(max(plain) - 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_ours_equal_torchs_and_another_epsilon_does_not(seed):
    (Adam,) = of_the_lecture("Adam")
    x, y, _, _ = data()

    def apart(made):
        nets = []
        for _ in range(2):
            torch.manual_seed(seed)
            nets.append(nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10)).double())
        steppers = made(list(nets[0].parameters())), torch.optim.Adam(nets[1].parameters(), lr=0.003)
        for k in range(20):
            chosen = slice(20 * k, 20 * k + 20)
            for net, stepper in zip(nets, steppers, strict=True):
                net.zero_grad()
                nn.functional.cross_entropy(net(x[chosen].double()), y[chosen]).backward()
                stepper.step()
        pairs = zip(*(net.parameters() for net in nets), strict=True)
        return max((a - b).abs().max().item() for a, b in pairs)

    asked = bound("ours against torch.optim, largest difference")
    assert asked.met_by(apart(lambda w: optimizers.Adam(w, learning_rate=0.003)))
    assert asked.met_by(apart(lambda w: Adam(w, 0.003)))
    assert not asked.met_by(apart(lambda w: Adam(w, 0.003, epsilon=1e-6)))
    assert not asked.met_by(apart(lambda w: Adam(w, 0.003, correct=False)))


def test_beale_is_quicker_by_adam_than_by_the_best_plain_descent():
    def steps(rule):
        found = [
            surfaces.steps_to_level(surfaces.beale, surfaces.descend(surfaces.beale, made, steps=320), 0.01) or 320
            for rate in (3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
            for made in [lambda w, a=rate: rule(w, learning_rate=a)]
        ]
        return min(found)

    asked = bound("Beale: steps, SGD / Adam")
    assert asked.met_by(steps(optimizers.SGD) / steps(optimizers.Adam))
    assert not asked.met_by(steps(optimizers.SGD) / steps(optimizers.SGD))


@pytest.mark.parametrize("seed", SEEDS)
def test_only_noise_leaves_the_ridge_of_a_saddle(seed):
    quiet, far = bound("saddle, start on the ridge, no noise: largest |y| of all rules"), (1.0, 0.0)
    shaken = surfaces.Surface("shaken", surfaces.saddle.function, far, surfaces.saddle.window, noise=0.01)
    for rule in (optimizers.SGD, optimizers.RMSProp, optimizers.Adadelta, optimizers.Adam):
        made = lambda w, rule=rule: rule(w, learning_rate=0.02)  # noqa: E731
        assert quiet.met_by(surfaces.descend(surfaces.saddle, made, far, 500)[-1, 1].abs())
    sgd = lambda w: optimizers.SGD(w, learning_rate=0.02)  # noqa: E731
    noisy, still = (surfaces.descend(s, sgd, far, 300, seed=seed)[-1] for s in (shaken, surfaces.saddle))
    gone = bound("saddle, SGD with noise: E after 300 steps")
    assert gone.met_by(shaken(noisy)) and not gone.met_by(surfaces.saddle(still))
    assert not quiet.met_by(noisy[1].abs())


@pytest.mark.parametrize("seed", SEEDS)
def test_batch_norm_goes_back_as_torch_does_and_without_its_means_it_does_not(seed):
    normalize, back = of_the_lecture("normalize", "normalize_backward")
    rng = np.random.default_rng(seed)
    x, h = rng.normal(3, 5, size=(6, 4)), rng.normal(size=(6, 4))
    x_hat, s = normalize(x)
    x_torch = torch.tensor(x, requires_grad=True)
    nn.functional.batch_norm(x_torch, None, None, training=True).backward(torch.tensor(h))
    equal, no_shift = (
        bound("batch norm, dz/dx by hand against torch"),
        bound("batch norm, part of dz/dx along a common shift"),
    )
    for dz_dx, met in ((back(h, x_hat, s), True), (h / s, False)):  # the other takes m and s for constants
        assert equal.met_by(np.abs(dz_dx - x_torch.grad.numpy()).max()) is met
        assert no_shift.met_by(np.abs(dz_dx.sum(0)).max()) is met


def network(seed, norm, gain=1.0):
    (deep_network,) = of_the_lecture("deep_network")
    torch.manual_seed(seed)
    net = deep_network(DEPTH, NORMS[norm])
    with torch.no_grad():
        for layer in net[:-1]:
            if isinstance(layer, nn.Linear):
                layer.weight *= gain
    return net


@pytest.mark.parametrize("seed", range(5))
def test_norms_keep_gradients_large_and_batch_norm_keeps_digits_apart(seed):
    (alike,) = of_the_lecture("alike")
    x, y, _, _ = data()

    def size(norm, gain=1.0):
        net = network(seed, norm, gain)
        nn.functional.cross_entropy(net(x[:256]), y[:256]).backward()
        return np.median([layer.weight.grad.norm().item() for layer in net if isinstance(layer, nn.Linear)][:-1])

    for name in ("layer norm", "batch norm"):
        larger = bound(f"size of the gradients, {name} / none")
        assert larger.met_by(size(name) / size("none"))
        assert not larger.met_by(size(name) / size("none", gain=1 / 0.7)), "with σ = √(2/n) the sizes are right anyway"
    cosine = {name: alike(network(seed, name), x[:256]) for name in NORMS}
    apart = bound("cosine of two digits, layer norm − batch norm")
    assert apart.met_by(cosine["layer norm"] - cosine["batch norm"])
    assert not apart.met_by(cosine["layer norm"] - cosine["none"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_batch_norm_trains_a_depth_at_which_its_absence_does_not(seed):
    x, y, x_test, y_test = data()
    (deep_network,) = of_the_lecture("deep_network")
    (trained_accuracy,) = of_the_lecture(
        "trained_accuracy", deep_network=deep_network, x32=x, y_train=y, x32_test=x_test, y_test=y_test, train_steps=150
    )

    def reached(depth, norm):
        return max(trained_accuracy(depth, NORMS[norm], rate, seed) for rate in (0.03, 0.1))

    none, shallow = reached(DEPTH, "none"), bound("shallowest net, test accuracy, none")
    gain = bound("deepest net, test accuracy, batch norm − none")
    assert gain.met_by(reached(DEPTH, "batch norm") - none)
    assert not gain.met_by(reached(DEPTH, "layer norm") - none)
    assert shallow.met_by(reached(2, "none")) and not shallow.met_by(none)
