"""Lecture 04: each recorded outcome is met over several seeds, and missed when its idea is switched off.

What is trained here is smaller than in the lecture, so that the file takes half a minute: two types of chairs at
16 × 16 and every 30°, eyes at 16 × 16, 300 digits. Three outcomes need trainings as long as the lecture's to stand out
from the noise of seeds. They were measured with the lecture itself, budget smoke, and are not repeated here. Each is
the ratio of a net to the same net without the idea, so that without it the ratio is 1, which misses the bound:

    seeds 0, 1, 2
    0.63  0.78  0.79    turned digits, wrong answers: with a spatial transformer / without, twice as wide
    0.81  0.80  0.72    gaze, squared error: two levels / one level
    0.67  0.54  0.46    gaze, white where no white was near: with lightness correction / two levels
"""

import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import one_hot

from course_lib.data import Batches, digits, eye_pairs, render_chairs
from course_lib.loop import descend
from course_lib.nets.spatial_transformer import Localisation, SpatialTransformer
from course_lib.nets.upconv import UpConvNet, Upsample, viewpoint
from course_lib.nets.warp import DeepWarp, DirectRegression
from course_lib.scratch.transformer import AffineGrid, BilinearSampler
from tests.outcomes.bounds import bound_of, definitions

LECTURE = "04_synthesis"
SEEDS = (0, 1, 2)
NAMES = {"torch": torch, "nn": nn, "F": F, "np": np, "one_hot": one_hot, "Batches": Batches, "descend": descend}


def bound(name):
    return bound_of(LECTURE, name)


def of_the_lecture(*names, **more):
    return definitions(LECTURE, *names, **NAMES, **more)


def test_squared_error_ends_at_the_mean_and_another_error_elsewhere():
    x = render_chairs(["kitchen"] * 60, torch.arange(0, 360, 6.0), 20.0, size=16)[0]
    asked = bound("descent on squared error ends at the mean image, largest difference")

    def end(error):
        answer = torch.zeros_like(x[0], requires_grad=True)
        for _ in range(40):
            (slope,) = torch.autograd.grad(error(x - answer).mean(0).sum(), answer)
            answer.data -= 0.2 * slope
        return (answer.detach() - x.mean(0)).abs().max()

    assert asked.met_by(end(torch.square))
    assert not asked.met_by(end(torch.abs))


@pytest.mark.parametrize("seed", SEEDS)
def test_an_up_convolution_is_a_backward_pass_if_its_kernel_is_reversed(seed):
    upconvolve, _ = of_the_lecture("upconvolve", "unpool")
    asked = bound("up-convolution against the backward pass of a strided convolution")
    generator = torch.Generator().manual_seed(seed)
    x, weight, large = (
        torch.randn(shape, dtype=torch.float64, generator=generator)
        for shape in ((2, 3, 4, 6), (5, 3, 5, 5), (2, 5, 8, 12))
    )
    large.requires_grad_()

    def apart(up, kernel):
        y = F.conv2d(large, kernel, stride=2, padding=2)
        return (up - torch.autograd.grad(y, large, grad_outputs=x)[0]).abs().max()

    reversed_kernel = weight.transpose(0, 1).flip(2, 3)
    assert asked.met_by(apart(upconvolve(x, weight), reversed_kernel))
    assert not asked.met_by(apart(upconvolve(x, weight), weight.transpose(0, 1)))
    copies = F.conv2d(Upsample("nearest")(x), weight, padding=2)
    assert not asked.met_by(apart(copies, reversed_kernel))


# --- chairs -----------------------------------------------------------------------------------------------------------


@cache
def chairs(seed):
    """Two types at 16 × 16, trained as in the lecture, with the mask and without it."""
    kinds, size = ("kitchen", "armchair"), 16
    turn, which = torch.arange(0, 360, 30.0).repeat(2), torch.arange(2).repeat_interleave(12)
    high = torch.full_like(turn, 20.0)
    numbers = torch.tensor([0, 5])[which]
    (images, masks), (truth, truth_masks) = (render_chairs(numbers, turn + more, 20.0, size=size) for more in (0, 15))
    more = {
        **{"kinds": kinds, "which": which, "azimuth": turn, "elevation": high, "device": "cpu", "SIZE": size},
        **{"images": images, "masks": masks, "parts": images - (1 - masks), "MASK_WEIGHT": 10.0, "at_once": 6},
        **{"SIZES": {"own": 32, "shared": 64, "maps": (32, 16, 8)}, "UpConvNet": UpConvNet, "viewpoint": viewpoint},
    }
    names = "train_chairs", "new_net", "drawing_loss", "seen_by", "paste", "squared_error", "key"
    train, new_net, _, seen_by, paste, squared_error, key = of_the_lecture(*names, **more)
    net, plain = (train(new_net(seed), with_mask, seed=seed, steps=170)[0] for with_mask in (True, False))
    return SimpleNamespace(**locals())


@pytest.mark.parametrize("seed", SEEDS)
def test_unseen_angles_are_drawn_better_than_the_nearest_image_by_a_net_that_is_told_the_angle(seed):
    c = chairs(seed)
    asked = bound("held-out azimuths: our net / nearest trained image, squared error")
    after = c.images.view(2, 12, 3, c.size, c.size).roll(-1, 1).reshape(c.images.shape)
    nearest = torch.minimum(c.squared_error(c.images, c.truth), c.squared_error(after, c.truth)).mean()
    drawn = c.paste(*c.seen_by(c.net, c.which, c.turn + 15, c.high))
    assert asked.met_by(c.squared_error(drawn, c.truth).mean() / nearest)
    not_told = torch.stack([c.images[c.which == kind].mean(0) for kind in (0, 1)])[c.which]
    assert not asked.met_by(c.squared_error(not_told, c.truth).mean() / nearest)
    always_behind = c.paste(*c.seen_by(c.net, c.which, c.turn - 15, c.high))
    assert not asked.met_by(c.squared_error(always_behind, c.truth).mean() / nearest)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mask_that_was_taught_sets_chairs_before_another_wall(seed):
    c = chairs(seed)
    asked = bound("another wall: squared error with the mask term / without it")
    wall = -0.6
    real = render_chairs(c.numbers, c.turn + 15, 20.0, size=c.size, background=wall)[0]
    u, v = c.seen_by(c.net, c.which, c.turn + 15, c.high)
    flat, trained = (1 + c.seen_by(c.plain, c.which, turn, c.high)[0] for turn in (c.turn + 15, c.turn))
    softness = min(np.arange(0.1, 2, 0.1), key=lambda t: (c.key(trained, t) - c.masks).square().mean().item())
    by_colour = c.key(flat, softness)
    without = c.squared_error(c.paste(flat - (1 - by_colour), by_colour, wall), real).mean()
    assert asked.met_by(c.squared_error(c.paste(u, v, wall), real).mean() / without)
    untaught = c.seen_by(c.plain, c.which, c.turn + 15, c.high)[1]  # its mask stream was never trained
    assert not asked.met_by(c.squared_error(c.paste(u, untaught, wall), real).mean() / without)


@pytest.mark.parametrize("seed", SEEDS)
def test_half_way_between_types_is_no_ghost_unless_one_fades(seed):
    c = chairs(seed)
    between, undecided = of_the_lecture(
        "between", "undecided", kinds=c.kinds, net=c.net, viewpoint=viewpoint, device="cpu"
    )
    asked = bound("ghosts half-way between types: our net / fading")
    more = {"net": [], "fading": [], "net, faded": []}
    for at in (45.0, 165.0, 285.0):
        s = render_chairs(list(c.kinds), at, 20.0, size=c.size)[1]
        v = between(*c.kinds, torch.tensor([0.0, 1.0, 0.5]), at)[1]
        for name, ends, half in (
            ("net", v[:2], v[2:]),
            ("fading", s, s.mean(0)),
            ("net, faded", v[:2], v[:2].mean(0)),
        ):
            more[name].append((undecided(half), undecided(ends)))
    ratio = {name: np.divide(*np.mean(both, axis=0)) for name, both in more.items()}
    assert asked.met_by(ratio["net"] / ratio["fading"])
    assert not asked.met_by(ratio["fading"] / ratio["fading"])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_neuron_does_alike_to_two_chairs_and_two_neurons_do_not(seed):
    c = chairs(seed)
    changes, likeness = of_the_lecture("changes", "likeness")
    asked = bound("cosine of the changes of two chairs, same neuron − different neurons")
    with torch.no_grad():
        codes = c.net.code(one_hot(c.which, 2).float(), viewpoint(c.turn, c.high))
    spread, base = codes.std(0), codes.view(2, 12, -1)[:, 1]
    strongest = spread.argsort(descending=True)[:20].tolist()
    change = changes(c.net.draw, base, strongest, spread)
    same, other = likeness(change)
    assert asked.met_by(same - other)
    mixed = change.clone()
    mixed[:, 1] = change[:, 1].roll(1, 0)  # the second chair is changed by another neuron
    same, other = likeness(mixed)
    assert not asked.met_by(same - other)


# --- sampler ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sampler_by_hand_equals_torchs_and_small_mistakes_do_not(seed):
    names = "hat", "hat_as_printed", "in_pixels", "sample", "sample_backward", "torch_sampler", "affine_grid", "targets"
    hat, printed, _, sample, backward, torch_sampler, affine_grid, _ = of_the_lecture(*names)
    corners = {"in_pixels": lambda grid, w, h: ((grid[:, 0] + 1) * (w - 1) / 2, (grid[:, 1] + 1) * (h - 1) / 2)}
    sample_corners, backward_corners = of_the_lecture("sample", "sample_backward", hat=hat, **corners)
    rng = np.random.default_rng(seed)
    U, grid, r = rng.normal(size=(3, 4, 6)), rng.uniform(-1.3, 1.3, (20, 2)), rng.normal(size=(3, 20))
    expected = torch_sampler(U, grid, r)
    right = sample(U, grid), *backward(r, U, grid)
    wrong = sample_corners(U, grid), *backward_corners(r, U, grid)
    for name, a, b, e in zip(("V", "dz/dU", "dz/dgrid"), right, wrong, expected, strict=True):
        asked = bound(f"sampler by hand against torch, {name}")
        assert asked.met_by(np.abs(a - e).max()), name
        assert not asked.met_by(np.abs(b - e).max()), name

    U, r = rng.normal(size=(2, 4, 8)), rng.normal(size=(2, 32))
    whole = affine_grid(np.eye(2, 3), 4, 8).reshape(-1, 2)
    e = torch_sampler(U, whole, r)[2]
    ours, other = (np.abs(backward(r, U, whole, kernel)[1] - e).max() for kernel in (hat, printed))
    equal = bound("at whole pixels: our slope to the right against torch")
    apart = bound("at whole pixels: the printed cases against torch")
    assert equal.met_by(ours) and not equal.met_by(other)
    assert apart.met_by(other) and not apart.met_by(ours)


def test_descent_through_the_sampler_finds_its_goal_from_a_blurred_picture_only():
    names = "theta_of", "seen_with", "align", "blurred"
    theta_of, seen_with, align, blurred = of_the_lecture(
        *names, SIDE=32, AffineGrid=AffineGrid, BilinearSampler=BilinearSampler
    )
    still = (1 - render_chairs(["carver"], 40.0, 20.0, size=32)[0][0].double().numpy()) / 2
    goal = seen_with(theta_of(20, 1.2, 0.15, -0.1), still)[0]
    sharp = align(still, goal, theta_of(0))
    coarse = align(blurred(still, 2), blurred(goal, 2), theta_of(0), steps=75)
    fine = align(still, goal, coarse[-1][0], steps=75)
    found = bound("descent through the sampler, blurred then sharp: share of error left")
    lost = bound("descent through the sampler, sharp only: share of error left")
    by_both, by_sharp = fine[-1][2] / sharp[0][2], sharp[-1][2] / sharp[0][2]
    assert found.met_by(by_both) and not found.met_by(by_sharp)
    assert lost.met_by(by_sharp) and not lost.met_by(by_both)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_transformer_puts_digits_upright_if_it_may_turn_them(seed):
    turned, classifier, transformer = of_the_lecture(
        "turned", "classifier", "transformer", Localisation=Localisation, SpatialTransformer=SpatialTransformer
    )
    asked = bound("spread of angles within a digit, after / before the transformer")
    x, y = digits("train", seed=seed)
    x, y = x[:300].repeat(8, 1, 1, 1), y[:300].repeat(8)
    x, degrees = turned(x, seed)
    data = {"x_train": x, "train_labels": y, "x_test": x, "test_labels": y, "device": "cpu"}
    (train,) = of_the_lecture("train_reader", **data)

    def ratio(eye, steps):
        torch.manual_seed(seed)
        reader = nn.Sequential(eye(), classifier())
        train(reader, seed=seed, steps=steps)
        with torch.no_grad():
            theta = reader[0].theta(x)
        left = degrees + torch.rad2deg(torch.atan2(theta[:, 1, 0] - theta[:, 0, 1], theta[:, 0, 0] + theta[:, 1, 1]))
        after, before = (torch.stack([a[y == d].std() for d in range(10)]).mean() for a in (left, degrees))
        return after / before

    assert asked.met_by(ratio(transformer, 90))
    attention = lambda: SpatialTransformer(in_shape=(1, 16, 16), fill=-1.0, kind="attention")  # noqa: E731
    assert not asked.met_by(ratio(attention, 10)), "one that scales and shifts turns nothing, however long it learns"


# --- gaze -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_most_of_a_turned_gaze_is_motion_if_pixels_move_on_their_own(seed):
    (move,) = of_the_lecture("move")
    asked = bound("best smooth field: share of the squared error that it leaves")
    pairs = eye_pairs(7, seed=seed, size=24, horizontal=(-20.0, 20.0), vertical=(-15.0, 15.0))

    def left(cells):
        field = torch.zeros(7, 2, cells, cells, requires_grad=True)
        optimizer = torch.optim.Adam([field], lr=0.3)
        enlarged = lambda: F.interpolate(field, size=24, mode="bilinear", align_corners=False)  # noqa: E731
        for _ in range(120):
            loss = descend(optimizer, (move(pairs.source, enlarged()) - pairs.target).square().mean())
        return loss / (pairs.source - pairs.target).square().mean()

    assert asked.met_by(left(6))
    assert not asked.met_by(left(1)), "the whole picture moves alike"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_three_levels_written_out_are_the_librarys(seed):
    deepwarp, _ = of_the_lecture("deepwarp", "move")
    asked = bound("our three levels against the library's, largest difference")
    torch.manual_seed(seed)
    net = DeepWarp(levels=3, reach=0.5, width=8).eval()
    for p in net.parameters():
        p.data += 0.05 * torch.randn_like(p)
    image, angle = torch.rand(3, 3, 16, 16) * 2 - 1, torch.randn(3, 2)
    with torch.no_grad():
        theirs = net(image, angle)
        assert asked.met_by((deepwarp(net, image, angle)[0] - theirs).abs().max())
        coarse_only, _ = of_the_lecture("move", "squared_error")
        _, D_c, _, M = deepwarp(net, image, angle)
        assert not asked.met_by((coarse_only(image, D_c) * (1 - M) + M - theirs).abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_moving_beats_painting_on_unseen_eyes_unless_nothing_moves(seed):
    ranges, size = {"horizontal": (-20.0, 20.0), "vertical": (-15.0, 15.0)}, 16
    seen = eye_pairs(600, identities=200, seed=seed, size=size, **ranges)
    train, redirect, squared_error = of_the_lecture(
        "train_gaze", "redirect", "squared_error", seen=seen, LARGEST=30.0, device="cpu"
    )
    torch.manual_seed(seed)
    direct = DirectRegression(width=16)
    torch.manual_seed(seed)
    two = DeepWarp(levels=2, reach=0.5, width=16)
    for net in (direct, two):
        train(net, seed=seed, steps=60)
    for way, other in (("vertical", "horizontal"), ("horizontal", "vertical")):
        asked = bound(f"{way}: two levels / direct regression, squared error")
        pairs = eye_pairs(100, seed=seed + 1000, size=size, **{**ranges, other: (0.0, 0.0)})

        def error(net, pairs=pairs):
            return squared_error(redirect(net, pairs.source, pairs.turn), pairs.target).mean()

        painted = error(direct)
        assert asked.met_by(error(two) / painted), way
        two.reach, reach = 0.0, two.reach  # the field is switched off
        assert not asked.met_by(error(two) / painted), way
        two.reach = reach


def test_the_ratios_that_are_not_measured_here_are_missed_by_one():
    for name in (
        "turned digits: wrong answers with a spatial transformer / without, twice as wide",
        "two levels / one level, squared error, both directions",
        "horizontal, white where no white was near: with lightness correction / two levels, squared error",
    ):
        assert not bound(name).met_by(1.0)
        assert not bound(name).met_by(math.nan)
