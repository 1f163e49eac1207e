"""Lecture 05: each recorded outcome is met over several seeds, and missed when its idea is switched off.

The lecture's own functions, here and there on fewer images than there.
"""

from __future__ import annotations

import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from course_lib.data import digits
from course_lib.data.textures import crops, photographs
from course_lib.losses.divergences import js
from course_lib.metrics.copying import copying
from course_lib.metrics.frechet import frechet_distance
from course_lib.metrics.inception import inception_score
from course_lib.metrics.judges import Judge, appraise, train_digit_reader
from course_lib.metrics.labels import label_accuracy
from tests.outcomes.bounds import bound_of, definitions

LECTURE = "05_generation"
SEEDS = (0, 1, 2)
GRID = torch.linspace(-8, 8, 401, dtype=torch.float64)
FUNCTIONS = (
    *("fitted", "log_joint", "drawn", "dimension_of", "shuffled", "log_normal", "kl_normal", "kl_by_samples"),
    *("two_bumps", "divergence", "normal_on_grid", "best_normal", "js_by_samples", "js_and_slope", "histogram_js"),
    *("our_inception_score", "root", "our_frechet", "naive_frechet", "known_case", "our_fid", "bias_measured"),
    *("bias_on_paper", "noisy", "distances", "smoothed", "damaged", "ranked", "inside", "repeated", "forged"),
    *("nll", "copied_from"),
)


def bound(name):
    return bound_of(LECTURE, name)


def seeded(seed):
    return torch.Generator().manual_seed(1000 + seed)


def lecture(**more):
    names = {"torch": torch, "np": np, "math": math, "js": js, "avg_pool2d": avg_pool2d, "grid": GRID}
    names |= {"dx": float(GRID[1] - GRID[0])}
    return SimpleNamespace(**dict(zip(FUNCTIONS, definitions(LECTURE, *FUNCTIONS, **names | more), strict=True)))


of = lecture()


@cache
def net(seed):
    return train_digit_reader(seed, epochs=15)  # in the lecture, 20


@cache
def room(seed):
    """A judge, digits, the lecture's models and their samples."""
    (train, labels), (test, test_labels) = digits("train"), digits("test")
    x = train.flatten(1).double()
    models = {
        "Gaussians": of.fitted(x, labels),
        "independent pixels": of.fitted(x, labels, independent=True),
    }
    samples = {name: of.drawn(model, 360, seeded(seed))[0] for name, model in models.items()}
    reader = Judge(net(seed)[0], name=f"reader {seed}")
    return SimpleNamespace(**locals())


def accuracy(model, x, y):
    return float((of.log_joint(model, x.flatten(1).double()).argmax(1) == y).double().mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_densities_of_classes_read_and_densities_of_shuffled_classes_do_not(seed):
    (x, y), (x_test, y_test) = digits("train", seed=seed), digits("test", seed=seed)
    x, wrong = x.flatten(1).double(), y[torch.randperm(len(y), generator=seeded(seed))]
    for name, independent in (("Gaussian densities", False), ("independent pixels", True)):
        asked = bound(f"Bayes classifier with {name}: test digits read")
        assert asked.met_by(accuracy(of.fitted(x, y, independent), x_test, y_test))
        assert not asked.met_by(accuracy(of.fitted(x, wrong, independent), x_test, y_test))


@pytest.mark.parametrize("seed", SEEDS)
def test_pixels_that_know_of_each_other_leave_fewer_dimensions(seed):
    asked = bound("dimensions of the digits / of the same with shuffled pixels")
    x = digits("all")[0].flatten(1).double()
    apart, again = (of.dimension_of(of.shuffled(x, seeded(seed + k))) for k in (0, 10))
    assert asked.met_by(of.dimension_of(x) / apart)
    assert not asked.met_by(again / apart)


@pytest.mark.parametrize("seed", SEEDS)
def test_kl_by_samples_is_that_of_the_right_direction(seed):
    asked = bound("KL of two Gaussians: |samples − closed form| in standard errors")
    case = (0.0, 1.0, 1.0, 1.6)
    estimate, error = of.kl_by_samples(*case, 20_000, seeded(seed))
    assert asked.met_by(abs(estimate - of.kl_normal(*case)) / error)
    assert not asked.met_by(abs(estimate - of.kl_normal(*case[2:], *case[:2])) / error)


@pytest.mark.parametrize("start", [-1.5, 1.0, 1.5])
def test_one_direction_covers_and_the_other_seeks(start):
    log_p = of.two_bumps()
    deviation = float((log_p.exp() * GRID**2).sum() * (GRID[1] - GRID[0])) ** 0.5
    valley = len(GRID) // 2
    covers, _, wide, _ = of.best_normal(log_p, True, start, 200)
    seeks, _, narrow, _ = of.best_normal(log_p, False, start, 200)
    width = bound("covering fit: σ / standard deviation of p")
    assert width.met_by(wide / deviation) and not width.met_by(narrow / deviation)
    fills, leaves = (bound(f"KL({way}): q / p in the valley") for way in ("p‖q", "q‖p"))
    there = [(log_q - log_p)[valley].exp() for log_q in (covers, seeks)]
    assert fills.met_by(there[0]) and not fills.met_by(there[1])
    assert leaves.met_by(there[1]) and not leaves.met_by(there[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_js_of_uniforms_is_known_and_log_2_only_without_overlap(seed):
    asked = bound("JS of two uniforms: |samples − θ log 2|, largest")
    found = {t: of.js_by_samples(t, 20_000, seeded(seed)) for t in (0.0, 0.1, 0.3, 0.6, 0.9, 1.0)}
    assert asked.met_by(max(abs(v - t * math.log(2)) for t, v in found.items()))
    assert not asked.met_by(abs(found[0.9] - math.log(2))), "as if there were no overlap"


def test_narrow_gaussians_leave_js_without_slope_and_wide_ones_do_not():
    asked = bound("θ = 2, s = 0.1: slope of JS")
    assert asked.met_by(abs(of.js_and_slope(2, 0.1)[1]))
    assert not asked.met_by(of.js_and_slope(2, 1.0)[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_histograms_of_images_know_nothing_and_coarse_ones_something(seed):
    asked = bound("histograms: JS(train, noise) − JS(train, test)")
    noise = 2 * torch.rand(360, 1, 8, 8, generator=seeded(seed)) - 1
    grey = [(8 * x.flatten(1) + 8).round().int() for x in (digits("train")[0], digits("test")[0], noise)]
    train, test, noise = grey
    assert asked.met_by(of.histogram_js(train, noise) - of.histogram_js(train, test))
    train, test, noise = (x.sum(1, keepdim=True) // 64 for x in grey)  # mean grey level: a few cells
    assert not asked.met_by(of.histogram_js(train, noise) - of.histogram_js(train, test))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_judge_has_learned_to_read(seed):
    asked = bound("accuracy of the judge on test digits")
    assert asked.met_by(net(seed)[1])
    assert not asked.met_by(train_digit_reader(seed, epochs=0)[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_our_inception_score_is_the_librarys_for_all_images_together(seed):
    asked = bound("inception score: |ours − library|")
    scores = room(seed).reader(room(seed).test).logits.double()
    for splits, met in ((1, True), (10, False)):
        found = abs(of.our_inception_score(scores) - inception_score(scores, splits=splits).mean)
        assert asked.met_by(found) is met


@pytest.mark.parametrize("seed", SEEDS)
def test_symmetric_roots_in_float64_keep_their_digits(seed):
    asked = bound("Fréchet distance of Gaussians: |ours / closed form − 1|")
    case, exact = of.known_case(seeded(seed))
    assert asked.met_by(abs(of.our_frechet(*case) / exact - 1))
    assert not asked.met_by(abs(of.naive_frechet(*case) / exact - 1)), "roots of eigenvalues below 0"
    assert not asked.met_by(abs(of.our_frechet(*(t.float() for t in case)) / exact - 1)), "float32"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_bias_is_that_of_mean_and_covariance(seed):
    asked = bound("bias of the Fréchet distance: measured · N / (D + D(D+1)/4)")
    sizes, dimensions = (100, 200, 400, 800), 8
    found = of.bias_measured(dimensions, sizes, 20, seeded(seed))
    scaled = sum(d * n for d, n in zip(found, sizes, strict=True)) / len(sizes)
    assert asked.met_by(scaled / of.bias_on_paper(dimensions))
    assert not asked.met_by(scaled / dimensions), "the mean alone"


@pytest.mark.parametrize("seed", SEEDS)
def test_fewer_images_are_farther_away(seed):
    asked = bound("true sampler: distance from 100 images / from 1600")
    here = room(seed)
    truth, pool = (
        here.reader(of.drawn(here.models["Gaussians"], n, seeded(seed + k))[0]).features.double()
        for n, k in ((5000, 1), (1600, 2))
    )
    few, many = of.distances(pool, (100, 1600), truth)
    assert asked.met_by(few / many)
    assert not asked.met_by(few / of.distances(pool.flip(0), (100,), truth)[0]), "equally many"

    asked = bound("noisy sampler from 1600 images / true sampler from 100")
    images = of.noisy(of.drawn(here.models["Gaussians"], 1600, seeded(seed + 3))[0], 0.3, seeded(seed + 4))
    worse = of.distances(here.reader(images).features.double(), (100, 1600), truth)
    assert asked.met_by(worse[1] / few) and not asked.met_by(worse[0] / few), "equally many"


@pytest.mark.parametrize("seed", SEEDS)
def test_more_damage_is_farther_away(seed):
    asked = bound("Fréchet distance: share of levels of damage in order, worst kind")
    here = room(seed)
    known = here.reader(here.train).features

    def worst(levels):
        return min(
            of.ranked(
                [
                    frechet_distance(known, here.reader(of.damaged(here.test, way, level, seeded(seed))).features)
                    for level in levels
                ],
                rising=True,
            )
            for way in ("noise", "blur", "black rows", "pixels exchanged")
        )

    assert asked.met_by(worst((0, 0.25, 0.5, 0.75, 1)))
    assert not asked.met_by(worst((0.5,) * 5))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_class_is_drawn_that_was_asked_for(seed):
    asked = bound("class Gaussians: samples read as the class asked for")
    here = room(seed)
    images, classes = of.drawn(here.models["Gaussians"], 360, seeded(seed))
    said = here.reader(images).logits
    assert asked.met_by(label_accuracy(said, classes).overall)
    assert not asked.met_by(label_accuracy(said, classes.flip(0)).overall)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_score_likes_a_bad_sampler(seed):
    here = room(seed)

    def logits(images):
        return here.reader(images).logits.double()

    own = lecture(logits=logits, train=here.train, train_labels=here.labels)
    tenfold, low = own.repeated(360, seeded(seed)), here.test[here.test_labels < 5]
    copies = of.copied_from(here.train, here.labels, here.test_labels, seeded(seed))
    named = {"real": here.test, "copies": copies, "tenfold": tenfold, "low": low, **here.samples}
    said = {name: appraise(here.reader, here.train, x) for name, x in named.items()}

    asked = bound("one image per class: inception score / that of real digits")
    assert asked.met_by(said["tenfold"].score.mean / said["real"].score.mean)
    assert not asked.met_by(said["low"].score.mean / said["real"].score.mean)
    asked = bound("one image per class: recall")
    assert asked.met_by(said["tenfold"].recall) and not asked.met_by(said["real"].recall)
    asked = bound("copies: Fréchet distance / that of held-out digits")
    assert asked.met_by(said["copies"].distance / said["real"].distance)
    assert not asked.met_by(said["Gaussians"].distance / said["real"].distance)
    asked = bound("copies: nearer to the training data than new digits, share")
    assert asked.met_by(copying(here.train, here.test, copies))
    assert not asked.met_by(copying(here.train, here.test[:180], here.test[180:]))


@pytest.mark.parametrize("seed", SEEDS)
def test_likelihood_and_samples_disagree_about_one_gaussian(seed):
    here, rival = room(seed), "independent pixels"
    x, test, none = here.x, here.test.flatten(1).double(), torch.zeros_like(here.labels)
    one, torn = of.fitted(x, none), of.fitted(of.shuffled(x, seeded(seed)), none)
    better = bound("one Gaussian for all − independent pixels, −log q of test digits, nats")
    for model, met in ((one, True), (torn, False)):  # torn: without what pixels know of each other
        assert better.met_by(of.nll(model, test) - of.nll(here.models[rival], test)) is met
    worse = bound("one Gaussian for all / independent pixels, Fréchet distance")
    known = here.reader(here.train).features
    three = here.models | {"one": one}
    far, again = (
        {k: frechet_distance(known, here.reader(of.drawn(m, 1500, draws)[0]).features) for k, m in three.items()}
        for draws in (seeded(seed), seeded(seed + 10))
    )
    assert worse.met_by(far["one"] / far[rival]) and not worse.met_by(far["Gaussians"] / far[rival])
    asked = bound("independent pixels / class Gaussians, Fréchet distance")
    assert asked.met_by(far[rival] / far["Gaussians"]) and not asked.met_by(again["Gaussians"] / far["Gaussians"])


@pytest.mark.parametrize("seed", SEEDS)
def test_where_there_are_no_labels_the_inception_score_prefers_the_wrong_domain(seed):
    here = room(seed)
    temple = avg_pool2d(photographs()["china"].mean(0, keepdim=True), 4)
    domain, good, again = (crops(temple, 8, n, generator=seeded(seed + k)) for n, k in ((1440, 0), (360, 1), (360, 2)))
    good, wrong, again = (appraise(here.reader, domain, x) for x in (good, here.test, again))
    for name, ratio in (
        ("inception score", lambda a, b: a.score.mean / b.score.mean),
        ("Fréchet distance", lambda a, b: a.distance / b.distance),
    ):
        asked = bound(f"patches: {name} of digits / of real patches")
        assert asked.met_by(ratio(wrong, good)) and not asked.met_by(ratio(again, good))


@pytest.mark.parametrize("seed", SEEDS)
def test_two_moments_can_be_forged_for_one_judge_and_not_for_another(seed):
    here = room(seed)
    other = Judge(net((seed + 1) % len(SEEDS))[0], name="other")
    same, another = (
        bound(f"forged / class Gaussians, Fréchet distance, {who}") for who in ("same judge", "another judge")
    )

    def compared(reader, images):
        near = reader(here.train).features
        return frechet_distance(near, reader(images).features) / frechet_distance(
            near, reader(here.samples["Gaussians"]).features
        )

    forged, noise = (
        of.forged(here.reader.net, here.reader(here.train).features, 240, steps, seeded(seed)) for steps in (100, 0)
    )
    assert same.met_by(compared(here.reader, forged)) and not same.met_by(compared(here.reader, noise))
    assert another.met_by(compared(other, forged)) and not another.met_by(compared(other, here.test))
