"""Two players on x·y: the smallest game on which gradient descent does not converge."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from course_lib.errors import CourseError


class BilinearGame:
    """Player A holds x and ascends x·y, player B holds y and descends it; the only equilibrium is (0, 0).

    simultaneous: x' = x + eta y,  y' = y - eta x.     The radius grows by exactly sqrt(1 + eta²) a step.
    alternating:  x' = x + eta y,  y' = y - eta x'.    x² + y² + eta x y never changes: for eta < 2 a closed ellipse.
    averaged:     either, looked at through `average`, the mean of all positions so far. Under alternation it comes to
                  (0, 0) like 1/t; under simultaneous steps only if eta shrinks with the length T of the run, as
                  1/sqrt(T).

    Args:
        start: (x, y).
        learning_rate: eta, at least 0.
        order: "simultaneous" or "alternating".

    Attributes:
        position: (x, y), (2,), float64.
        average: mean of the positions after each step, (2,), float64; zeros before the first.

    Raises:
        CourseError: unknown order.

    Goodfellow 2016, NIPS Tutorial: Generative Adversarial Networks, section 7.1 and exercise 8.2 (x·y);
    averaging: Freund & Schapire 1999, Adaptive Game Playing Using Multiplicative Weights.
    """

    def __init__(
        self, *, start: tuple[float, float] = (1.0, 0.0), learning_rate: float = 0.1, order: str = "simultaneous"
    ) -> None:
        if order not in ("simultaneous", "alternating"):
            raise CourseError(f"The players move simultaneous or alternating, not {order!r}.")
        self.position = torch.tensor(start, dtype=torch.float64)
        self.average = torch.zeros(2, dtype=torch.float64)
        self.learning_rate, self.order, self.steps = learning_rate, order, 0

    def step(self, batch: Any = None) -> dict[str, Tensor]:
        """One move of each player; `batch` is not looked at. Returns the radii of the position and of the average."""
        x, y = self.position
        new_x = x + self.learning_rate * y
        new_y = y - self.learning_rate * (x if self.order == "simultaneous" else new_x)
        self.position = torch.stack([new_x, new_y])
        self.steps += 1
        self.average = self.average + (self.position - self.average) / self.steps
        return {"radius": self.position.norm(), "average": self.average.norm()}
