"""Surfaces against their formulas and minima, and walks on them against closed forms."""

import math

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.scratch.optimizers import SGD, Adadelta, Adagrad, Adam, RMSProp, harmonic
from course_lib.scratch.surfaces import beale, descend, noisy_quadratic, ravine, rosenbrock, saddle, steps_to_level

SURFACES = {
    "ravine": ravine(),
    "ravine, turned": ravine(30, angle=math.pi / 4),
    "ravine, on its side": ravine(angle=math.pi / 2),
    "Beale": beale,
    "saddle": saddle,
    "Rosenbrock": rosenbrock,
    "noisy quadratic": noisy_quadratic(5.0),
}


def grid(surface, n=201):
    left, right, bottom, top = surface.window
    axes = (torch.linspace(left, right, n), torch.linspace(bottom, top, n))
    return torch.stack(torch.meshgrid(*axes, indexing="xy"), dim=-1).double()


def exact(surface, point):
    """The gradient without noise."""
    w = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(surface(w), w)[0]


@pytest.mark.parametrize("name", SURFACES)
def test_minima_saddles_start_and_window(name):
    surface = SURFACES[name]
    values = surface(grid(surface))
    assert values.shape == (201, 201)
    left, right, bottom, top = surface.window
    for x, y in (surface.start, *surface.minima, *surface.saddles):
        assert left < x < right and bottom < y < top
    for point in surface.minima:
        assert surface(torch.tensor(point, dtype=torch.float64)).item() == pytest.approx(0, abs=1e-12)
        assert exact(surface, point).abs().max() < 1e-12
        hessian = torch.autograd.functional.hessian(surface, torch.tensor(point, dtype=torch.float64))
        assert torch.linalg.eigvalsh(hessian).min() > 0
    for point in surface.saddles:
        assert exact(surface, point).abs().max() < 1e-12
        hessian = torch.autograd.functional.hessian(surface, torch.tensor(point, dtype=torch.float64))
        assert torch.linalg.eigvalsh(hessian).prod() < 0
    assert values.min() >= 0 or not surface.minima
    assert surface.citation


def test_values_by_hand():
    w = torch.tensor([[2.0, 3.0], [-1.0, 0.5]], dtype=torch.float64)
    assert ravine(10)(w).tolist() == [47.0, 1.75]
    assert noisy_quadratic(10)(w).tolist() == [47.0, 1.75]
    assert saddle(w).tolist() == [-5.0, 0.75]
    assert rosenbrock(w).tolist() == [101.0, 29.0]
    assert beale(w).tolist() == [5.5**2 + 18.25**2 + 54.625**2, 2.0**2 + 3.0**2 + 3.5**2]


def test_the_ravines_condition_number_whatever_its_angle():
    for angle in (0.0, 0.3, math.pi / 4, 2.0):
        surface = ravine(50, angle=angle)
        hessian = torch.autograd.functional.hessian(surface, torch.zeros(2, dtype=torch.float64))
        values, vectors = torch.linalg.eigh(hessian)
        assert values.tolist() == pytest.approx([1, 50])
        along = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        assert abs(vectors[:, 0] @ along).item() == pytest.approx(1)
        energy = surface(torch.tensor(surface.start, dtype=torch.float64)).item()
        assert energy == pytest.approx(ravine(50)(torch.tensor(ravine().start, dtype=torch.float64)).item())
    assert abs(torch.linalg.cond(torch.autograd.functional.hessian(rosenbrock, torch.ones(2))).item() - 2508) < 1


def test_sgd_on_a_ravine_is_the_closed_form():
    path = descend(ravine(100), lambda w: SGD(w, learning_rate=0.015), steps=30)
    t = torch.arange(31, dtype=torch.float64)
    expected = torch.stack([-4 * (1 - 0.015) ** t, (1 - 1.5) ** t], dim=-1)
    torch.testing.assert_close(path, expected, rtol=0, atol=1e-12)


def test_coordinate_rules_straighten_a_ravine_only_along_the_axes():
    for make, better in (
        (lambda w: Adagrad(w, learning_rate=1.0), True),
        (lambda w: SGD(w, learning_rate=0.015), False),
    ):
        along = steps_to_level(ravine(), descend(ravine(), make, steps=600), 1e-3)
        surface = ravine(angle=math.pi / 4)
        turned = steps_to_level(surface, descend(surface, make, steps=600), 1e-3)
        assert (turned > 3 * along) if better else (turned == along)


def test_on_the_ridge_every_rule_stays_and_noise_frees():
    rules = [lambda w: SGD(w, learning_rate=0.05, momentum=0.9), lambda w: Adam(w, learning_rate=0.05), Adadelta]
    rules += [lambda w: RMSProp(w, learning_rate=0.01), lambda w: SGD(w, learning_rate=0.05)]
    for make in rules:
        path = descend(saddle, make, (1.0, 0.0), 300)
        assert (path[:, 1] == 0).all()
        assert saddle(path).min() >= 0
    assert steps_to_level(saddle, descend(saddle, rules[1], steps=300), -1.0) < 100
    noisy = type(saddle)("noisy saddle", saddle.function, (1.0, 0.0), saddle.window, noise=0.01)
    assert steps_to_level(noisy, descend(noisy, rules[-1], steps=300), -1.0) is not None


def test_the_floor_of_sgd_on_a_noisy_quadratic():
    """Variance α σ² / (h (2 − αh)) in each coordinate, and a harmonic rate goes below it."""
    surface, alpha = noisy_quadratic(4.0, noise=0.5), 0.2
    starts = torch.zeros(4000, 2, dtype=torch.float64)
    path = descend(surface, lambda w: SGD(w, learning_rate=alpha), starts, 60)
    assert path.shape == (61, 4000, 2)
    for h, end in ((1.0, path[-1, :, 0]), (4.0, path[-1, :, 1])):
        assert end.var().item() == pytest.approx(alpha * 0.25 / (h * (2 - alpha * h)), rel=0.1)
    falling = descend(surface, SGD, starts, 60, schedule=harmonic(2.0, offset=10))
    assert surface(falling[-1]).mean() < 0.5 * surface(path[-1]).mean()


def test_a_schedule_is_followed_from_the_first_step():
    path = descend(ravine(1), SGD, (1.0, 2.0), 5, schedule=harmonic(1.0, offset=2))
    shares = torch.tensor([1 - 1 / (t + 2) for t in range(5)], dtype=torch.float64).cumprod(0)
    torch.testing.assert_close(path[1:, 0], shares)


def test_noise_is_seeded_and_new_at_every_step():
    surface = noisy_quadratic(noise=1.0)
    one, again, other = (descend(surface, SGD, steps=5, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    noise = -(one[1:] - one[:-1]) / 0.01 - one[:-1]  # SGD's step is −0.01 (w + ξ)
    assert noise.flatten().unique().numel() == 10
    before = torch.get_rng_state()
    descend(surface, SGD, steps=2)
    assert torch.equal(torch.get_rng_state(), before), "the global generator is left alone"


def test_many_starts_are_as_one_by_one():
    starts = torch.tensor([[1.0, 1.0], [0.5, -0.5], [3.0, 1.0]])
    paths = descend(beale, lambda w: Adam(w, learning_rate=0.1), starts, 50)
    for k in range(3):
        alone = descend(beale, lambda w: Adam(w, learning_rate=0.1), starts[k], 50)
        torch.testing.assert_close(paths[:, k], alone, rtol=0, atol=1e-12)


def test_takes_torchs_optimizers_too():
    ours = descend(rosenbrock, lambda w: Adam(w, learning_rate=0.02), steps=100)
    theirs = descend(rosenbrock, lambda w: torch.optim.Adam(w, lr=0.02), steps=100)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    assert ours[0].tolist() == list(rosenbrock.start)
    assert descend(rosenbrock, SGD, steps=0).shape == (1, 2)


def test_steps_to_level():
    path = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.1, 0.0], [2.0, 0.0], [0.0, 0.0]])
    assert steps_to_level(ravine(), path, 2.0) == 0
    assert steps_to_level(ravine(), path, 0.5) == 1
    assert steps_to_level(ravine(), path, 0.1) == 2
    assert steps_to_level(ravine(), path, -1.0) is None
    assert steps_to_level(ravine(), torch.full((3, 2), math.nan), 1.0) is None


def test_a_path_that_flies_away_is_given_as_it_is():
    path = descend(rosenbrock, lambda w: SGD(w, learning_rate=1.0), steps=20)
    assert not path[-1].isfinite().all()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: ravine(0.5), "condition number"),
        (lambda: noisy_quadratic(noise=-1), "standard deviation"),
        (lambda: descend(beale, SGD, (1.0, 2.0, 3.0)), "start"),
        (lambda: descend(beale, SGD, 1.0), "start"),
        (lambda: descend(beale, SGD, steps=-1), "steps"),
        (lambda: descend(beale, torch.optim.SGD, schedule=harmonic(1.0)), "schedule"),
        (lambda: steps_to_level(beale, torch.zeros(3, 4, 2), 1.0), "One path"),
    ],
)
def test_says_what_is_wrong(act, words):
    with pytest.raises(CourseError, match=words):
        act()


@pytest.mark.cuda
def test_on_a_gpu():
    path = [descend(beale, lambda w: Adam(w, learning_rate=0.1), steps=50, device=d).cpu() for d in ("cpu", "cuda")]
    torch.testing.assert_close(*path, rtol=0, atol=1e-9)
    assert descend(noisy_quadratic(), SGD, steps=3, device="cuda").device.type == "cuda"
