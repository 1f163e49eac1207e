"""Is this backward right? Compare it with what forward does when one number at a time is moved a little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course_lib.errors import CourseError

STEP = 1e-5  # near the cube root of float64's 2.2e-16, where cutting off and rounding cost the same
TOLERANCE = 1e-6


def relative_error(a: np.ndarray, b: np.ndarray, *, floor: float = 1e-3) -> float:
    """How far two gradients are apart, as a share of their size.

        |a − b| / max(|a| + |b|, floor),  with |·| the root of the sum of squares

    0 is equal, 1 is as different as a and −a; the floor keeps the rounding of a gradient that is truly zero from
    counting as a difference. NaN where a or b holds one.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(a) + np.linalg.norm(b), floor))


def numerical_gradient(z: Callable[[], float], x: np.ndarray, *, step: float = STEP) -> np.ndarray:
    """dz/dx by central differences, one entry of x at a time; x is changed in place and put back.

        dz/dx_i ≈ (z(x + step·e_i) − z(x − step·e_i)) / (2·step)

    It is wrong by z'''·step²/6 for cutting the Taylor series off, and by about 1e-16·|z|/step for rounding.

    Args:
        z: takes nothing, reads x, returns one number; called twice for each entry.
        x: float64, any shape.
    """
    gradient = np.zeros(x.shape, np.float64)
    for index in np.ndindex(*x.shape):
        kept = x[index]
        x[index] = kept + step
        above = float(z())
        x[index] = kept - step
        below = float(z())
        x[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient


@dataclass
class GradientCheck:
    """What `gradient_check` found: the relative error of each gradient by name, and what breaks the contract."""

    errors: dict[str, float]
    tolerance: float
    complaints: list[str] = field(default_factory=list)

    @property
    def worst(self) -> float:
        """The largest error; infinite if the contract is broken or a gradient is NaN."""
        values = list(self.errors.values())
        return float("inf") if self.complaints or not values or np.isnan(values).any() else max(values)

    @property
    def passed(self) -> bool:
        return self.worst <= self.tolerance

    def __str__(self) -> str:
        lines = [
            f"{'✓' if error <= self.tolerance else '✗'} dz/d{name}: relative error {error:.1e}"
            for name, error in self.errors.items()
        ]
        return "\n".join(lines + [f"✗ {complaint}" for complaint in self.complaints])


def gradient_check(
    layer: Any, x: np.ndarray, *more: Any, step: float = STEP, tolerance: float = TOLERANCE, seed: int = 0
) -> GradientCheck:
    """Compare a layer's `backward` with central differences of its `forward`.

    A random direction r of the shape of y turns the output into one number, z = Σ r · forward(x), whose dz/dy is r;
    dz/dx and every dz/dw must then be what moving x and w shows. Before that the layer sees another batch, forward
    and backward, so that it is caught if it remembers too much: an old x, or a sum of gradients.

    Args:
        layer: has forward, backward, and the dictionaries w and dz_dw (see `Layer`).
        x: float64, its input; choose a random one, away from kinks by more than `step` (a ReLU at 0 has no derivative).
        more: further arguments of forward, such as the labels of a loss.
        step: of the differences. tolerance: on `relative_error`. seed: of r.

    Raises:
        CourseError: x is not float64; with float32 the differences drown in rounding.
    """
    if x.dtype != np.float64 or any(w.dtype != np.float64 for w in layer.w.values()):
        raise CourseError("A gradient check needs x and the parameters in float64; use x.astype(float).")
    rng = np.random.default_rng(seed)
    complaints = []

    other = layer.forward(x + rng.normal(size=x.shape), *more)
    layer.backward(rng.normal(size=np.shape(other)))

    given = x.copy()
    y = layer.forward(given, *more)
    if not np.array_equal(given, x):
        complaints.append("forward changed its input x")
    r = rng.normal(size=np.shape(y))
    r_given = np.array(r)
    dz_dx = layer.backward(r_given)
    if not np.array_equal(r_given, r):
        complaints.append("backward changed its input dz/dy")
    claimed = {"x": dz_dx, **{name: np.array(g) for name, g in layer.dz_dw.items()}}

    moved = {"x": x.copy(), **layer.w}

    def z() -> float:
        # forward sees a copy, so that one that changes its input cannot spoil the differences
        return float(np.sum(r * layer.forward(moved["x"].copy(), *more)))

    errors = {}
    for name, array in moved.items():
        if name not in claimed:
            complaints.append(f"backward left no dz_dw[{name!r}]")
        elif np.shape(claimed[name]) != array.shape:
            complaints.append(f"dz/d{name} has shape {np.shape(claimed[name])}, but {name} has {array.shape}")
        else:
            errors[name] = relative_error(claimed[name], numerical_gradient(z, array, step=step))
    return GradientCheck(errors, tolerance, complaints)
