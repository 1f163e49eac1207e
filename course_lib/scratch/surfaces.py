"""Surfaces to race optimizers on: functions of two numbers whose difficulty can be seen, and the walk down them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.scratch.optimizers import Schedule


@dataclass(frozen=True)
class Surface:
    """A function E of two numbers, with what is needed to race on it and to draw it.

        surface(w): E at the points w (..., 2), of shape (...), a pure number.

    Attributes:
        name: what it is called in titles.
        function: computes E by torch's operations, so that it can be differentiated.
        start: where a race begins, (x, y).
        window: what to draw, (left, right, bottom, top).
        minima: the places of its smallest value, ((x, y), ...); none where E falls for ever.
        noise: standard deviation of what is added to each entry of every gradient.
        saddles: its saddle points.
        citation: where it comes from.
    """

    name: str
    function: Callable[[Tensor], Tensor] = field(repr=False)
    start: tuple[float, float]
    window: tuple[float, float, float, float]
    minima: tuple[tuple[float, float], ...] = ()
    noise: float = 0.0
    saddles: tuple[tuple[float, float], ...] = ()
    citation: str = ""

    def __call__(self, w: Tensor) -> Tensor:
        return self.function(w)

    def gradient(self, w: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """dE/dw (..., 2) at w (..., 2), plus the noise: `noise` · ξ with ξ ~ Normal(0, 1), drawn from `generator`."""
        with torch.enable_grad():
            w = w.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.function(w).sum(), w)  # E of one point knows nothing of the others
        if self.noise:
            gradient = gradient + self.noise * torch.randn(w.shape, generator=generator, device=w.device, dtype=w.dtype)
        return gradient


def ravine(condition: float = 100.0, *, angle: float = 0.0) -> Surface:
    """A long valley: curvature 1 along it and κ across.

        E = ½ (a² + κ b²)        with (a, b) = w turned back by `angle`

    Gradient descent is stable for α < 2/κ, and then needs about κ steps to come e times nearer along the valley.
    Along the axes (angle 0), rules with a rate for every coordinate make it round; turned by 45°, they cannot.

    Args:
        condition: κ, at least 1.
        angle: from the x-axis to the valley, in radians, counterclockwise.

    Raises:
        CourseError: κ below 1.

    The model of Polyak 1964; Goh 2017, Why Momentum Really Works, distill.pub.
    """
    if condition < 1:
        raise CourseError(f"The condition number of a ravine is at least 1, not {condition}.")
    c, s = math.cos(angle), math.sin(angle)

    def energy(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        return 0.5 * ((c * x + s * y) ** 2 + condition * (c * y - s * x) ** 2)

    a, b = -4.0, 1.0
    turned = bool(angle % (math.pi / 2))
    return Surface(
        f"ravine, condition number {condition:g}",
        energy,
        start=(c * a - s * b, s * a + c * b),
        window=(-5.0, 5.0, -5.0, 5.0) if turned or abs(s) > 0.5 else (-5.0, 2.0, -2.0, 2.0),
        minima=((0.0, 0.0),),
        citation="Polyak 1964; Goh 2017, Why Momentum Really Works",
    )


def _beale(w: Tensor) -> Tensor:
    x, y = w.unbind(-1)
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


beale = Surface(
    "Beale's function",
    _beale,
    start=(1.0, 1.0),
    window=(-0.5, 4.5, -1.0, 2.0),
    minima=((3.0, 0.5),),
    saddles=((0.0, 1.0),),
    citation="Beale 1958; Moré, Garbow and Hillstrom 1981, problem 5, with their start",
)
"""E = (1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²: a flat bent valley between steep walls.

The one minimum is E(3, ½) = 0. Near the line y = 1 the valley is so flat that plain gradient descent hardly moves.
"""


def _saddle(w: Tensor) -> Tensor:
    x, y = w.unbind(-1)
    return x**2 - y**2


saddle = Surface(
    "saddle",
    _saddle,
    start=(1.0, 1e-3),
    window=(-1.5, 1.5, -1.5, 1.5),
    saddles=((0.0, 0.0),),
    citation="after A. Radford's animation, 2014",
)
"""E = x² − y²: down along x to the saddle point (0, 0), then away along y, for ever. It has no minimum.

The start is a thousandth beside the ridge y = 0. On the ridge (start (1, 0)) no gradient ever points away from it, so
without noise every rule here goes to the saddle point and stays.
"""


def _rosenbrock(w: Tensor) -> Tensor:
    x, y = w.unbind(-1)
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


rosenbrock = Surface(
    "Rosenbrock's function",
    _rosenbrock,
    start=(-1.2, 1.0),
    window=(-2.0, 2.0, -1.0, 3.0),
    minima=((1.0, 1.0),),
    citation="Rosenbrock 1960, with his start; Moré, Garbow and Hillstrom 1981, problem 1",
)
"""E = (1 − x)² + 100 (y − x²)²: a ravine that bends.

The one minimum is E(1, 1) = 0; the condition number there is 2508.
"""


def noisy_quadratic(condition: float = 1.0, *, noise: float = 1.0) -> Surface:
    """A bowl whose gradient is known only up to noise, as that of a mini-batch is.

        E = ½ (x² + κ y²)        the optimizer sees ∇E + σ ξ,  ξ ~ Normal(0, 1) in each coordinate, new at every step

    This is what batches of size N_b make of a quadratic, with σ ∝ 1/√N_b. For SGD with constant α a coordinate of
    curvature h ends with variance α σ² / (h (2 − αh)), so with E = Σ ½ h · variance: the floor falls with α.

    Args:
        condition: κ, at least 1.
        noise: σ, at least 0.

    Raises:
        CourseError: κ below 1, or σ below 0.

    Schaul, Zhang and LeCun 2013, No More Pesky Learning Rates, arXiv:1206.1106.
    """
    if noise < 0:
        raise CourseError(f"The noise is a standard deviation, at least 0, not {noise}.")
    quiet = ravine(condition)
    return Surface(
        f"noisy quadratic, condition number {condition:g}",
        quiet.function,
        start=(-4.0, 3.0),
        window=(-5.0, 5.0, -4.0, 4.0),
        minima=quiet.minima,
        noise=noise,
        citation="Schaul, Zhang and LeCun 2013, arXiv:1206.1106",
    )


def descend(
    surface: Surface,
    optimizer_factory: Callable[[list[Tensor]], Any],
    start: Any = None,
    steps: int = 100,
    *,
    schedule: Schedule | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Tensor:
    """The path of an optimizer down a surface.

        path = descend(beale, lambda w: Adam(w, learning_rate=0.1), steps=200)

    Every rule of `scratch.optimizers` works coordinate by coordinate, so many starts, (N, 2), run at once and know
    nothing of each other; each meets noise of its own.

    Args:
        surface: what to go down.
        optimizer_factory: takes the list of parameters and gives an optimizer, ours or one of torch's.
        start: (x, y), or a tensor (..., 2); the surface's own unless given.
        steps: how many, at least 0.
        schedule: sets `learning_rate` before every step; for our optimizers only.
        seed: of the noise in the gradients, if the surface has any.
        device: where to compute; that of `start` unless given.

    Returns:
        (steps + 1, ..., 2), float64: the start and where each step led. Where a path flies away, inf or NaN.

    Raises:
        CourseError: a start that is not (..., 2), fewer than 0 steps, or a schedule for an optimizer of torch's.
    """
    w = torch.as_tensor(surface.start if start is None else start, dtype=torch.float64, device=device).detach().clone()
    if w.dim() == 0 or w.shape[-1] != 2:
        raise CourseError(f"A start on a surface is (x, y) or a tensor (..., 2), not of shape {tuple(w.shape)}.")
    if steps < 0:
        raise CourseError(f"A path has 0 steps or more, not {steps}.")
    w.requires_grad_()
    optimizer = optimizer_factory([w])
    if schedule is not None and not hasattr(optimizer, "learning_rate"):
        raise CourseError("Only the course's optimizers follow a schedule by learning_rate; take one of those.")
    generator = torch.Generator(w.device).manual_seed(seed)
    path = torch.empty(steps + 1, *w.shape, dtype=w.dtype, device=w.device)
    path[0] = w.detach()
    for step in range(steps):
        if schedule is not None:
            optimizer.learning_rate = schedule(step)
        w.grad = surface.gradient(w, generator=generator)
        optimizer.step()
        path[step + 1] = w.detach()
    return path


def steps_to_level(surface: Surface, path: Tensor, level: float) -> int | None:
    """After how many steps a path (steps + 1, 2) first has E ≤ level; None if it never does.

    Raises:
        CourseError: not one path, (steps + 1, 2).
    """
    if path.dim() != 2 or path.shape[1] != 2:
        raise CourseError(f"One path (steps + 1, 2) was expected, not {tuple(path.shape)}; take one start at a time.")
    reached = (surface(path) <= level).nonzero()
    return int(reached[0]) if len(reached) else None
