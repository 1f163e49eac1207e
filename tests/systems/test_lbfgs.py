"""L-BFGS: it finds minima, faster than descent, each problem by itself, and survives functions that misbehave."""

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.systems.lbfgs import LBFGS


def bowl(n=3, d=12, condition=1000.0, seed=0):
    """Quadratics with that condition number: function, minimiser (n, d)."""
    seeded = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(n, d, d, generator=seeded, dtype=torch.float64))[0]
    curvature = torch.logspace(0, torch.tensor(condition).log10().item(), d, dtype=torch.float64)
    bottom = torch.randn(n, d, generator=seeded, dtype=torch.float64)

    def function(x):
        rotated = torch.einsum("nij,nj->ni", axes, x - bottom)
        return 0.5 * (curvature * rotated.square()).sum(1)

    return function, bottom


def run(function, start, steps, **options):
    search = LBFGS(start, **options)
    values = [search.step(function).clone() for _ in range(steps)]
    return search, torch.stack(values)


def test_it_finds_the_bottom_of_a_narrow_valley_and_never_rises():
    function, bottom = bowl()
    search, values = run(function, torch.zeros_like(bottom), 120)
    torch.testing.assert_close(search.x, bottom, rtol=0, atol=1e-5)
    assert (values.diff(dim=0) <= 0).all()
    torch.testing.assert_close(search.value, function(search.x))


def test_the_memory_is_what_makes_it_fast():
    """Catches pairs that are stored but not used: plain descent gets nowhere in as many steps."""
    function, bottom = bowl()
    _, values = run(function, torch.zeros_like(bottom), 60)
    x = torch.zeros_like(bottom)
    for _ in range(60):
        x = x - torch.autograd.functional.jacobian(lambda z: function(z).sum(), x) / 1000
    assert (values[-1] < 1e-3 * function(x)).all()


def test_rosenbrock():
    def banana(x):
        return (1 - x[:, 0]) ** 2 + 100 * (x[:, 1] - x[:, 0] ** 2) ** 2

    start = torch.tensor([[-1.2, 1.0], [2.0, -1.0]], dtype=torch.float64)
    search, _ = run(banana, start, 150)
    torch.testing.assert_close(search.x, torch.ones(2, 2, dtype=torch.float64), rtol=0, atol=1e-4)


def test_problems_do_not_see_each_other():
    function, bottom = bowl(4)
    together, _ = run(function, torch.zeros_like(bottom), 30)
    for k in range(4):
        alone, _ = run(lambda x, k=k: function(x.expand(4, -1))[k : k + 1], torch.zeros_like(bottom[:1]), 30)
        torch.testing.assert_close(alone.x[0], together.x[k])


def test_shapes_are_kept_and_the_start_is_left_alone():
    start = torch.ones(2, 3, 4, 4)
    search, _ = run(lambda x: x.square().sum((1, 2, 3)), start, 20)
    assert search.x.shape == start.shape and (start == 1).all() and search.x.abs().max() < 1e-4


def test_it_backs_off_from_what_is_not_a_number():
    def wall(x):
        return torch.where(x[:, 0] < 1, -torch.log(1 - x[:, 0].clamp(max=0.999999)) - 2 * x[:, 0], torch.nan)

    search, _ = run(wall, torch.tensor([[0.0], [0.9]], dtype=torch.float64), 40, first=5.0)
    torch.testing.assert_close(search.x, torch.full((2, 1), 0.5, dtype=torch.float64), rtol=0, atol=1e-3)


def test_a_step_that_was_too_long_is_cut_to_the_bottom_of_the_parabola_through_what_is_known():
    """Values by hand: the slope at 0 is −1, the first step has length 1, and both tries are refused."""
    given = iter([torch.tensor([0.0]), torch.tensor([2.0]), torch.tensor([0.4]), torch.tensor([0.0])])
    tried = []

    def function(x):
        tried.append(float(x.detach()))
        return -x[:, 0] + (next(given) + x[:, 0]).detach()  # as told; its gradient is −1 everywhere

    run(function, torch.zeros(1, 1, dtype=torch.float64), 4, first=1.0)
    # at a place t with value v the parabola −t + c t² has c = (v + t)/t² and its bottom at t²/(2 (v + t))
    second = 1 / (2 * (2.0 + 1))
    third = second**2 / (2 * (0.4 + second))
    assert tried == pytest.approx([0.0, 1.0, second, third])


def test_when_no_step_helps_it_starts_again_with_a_shorter_one():
    values, tried = [0.0] + 20 * [1.0], []

    def function(x):
        tried.append(float(x.detach()))
        return -x[:, 0] + (values[len(tried) - 1] + x[:, 0]).detach()

    run(function, torch.zeros(1, 1, dtype=torch.float64), 12, first=1.0)
    again = next(k for k in range(2, 12) if tried[k] > tried[k - 1])
    assert tried[again - 1] < 1e-4 and tried[again] == pytest.approx(0.1)


def test_it_needs_a_memory():
    with pytest.raises(CourseError, match="at least one step, not 0"):
        LBFGS(torch.zeros(1, 2), memory=0)
