"""L-BFGS for many small problems at once, one evaluation a step, without waiting for the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.errors import CourseError

ENOUGH = 1e-4  # of the fall that the slope promises, to accept a step (Armijo)


class LBFGS:
    """Newton's method with a Hessian guessed from the last few steps; N independent problems side by side.

    After an accepted step the change of place s and of gradient y are kept, and the next direction is d = −H g, with H
    the inverse Hessian that BFGS builds from the last `memory` pairs (the two-loop recursion). The whole step is tried
    first. If it does not lower the value enough, a shorter one along the same d is tried at the next call: so each call
    of `step` evaluates the function once, each problem decides for itself, and all decisions stay on the device, where
    `torch.optim.LBFGS` asks the host several times in each iteration.

    Args:
        x: where to start, (N, ...); copied.
        memory: pairs that are kept.
        first: length of the first step, as the root mean square change of the numbers of x.

    `x` (N, ...) is the best place so far, `value` (N,) the value there: infinite before the first step, never rising.

    Liu & Nocedal 1989, On the Limited Memory BFGS Method for Large Scale Optimization, algorithm 2.1.
    """

    def __init__(self, x: Tensor, *, memory: int = 10, first: float = 0.05) -> None:
        if memory < 1:
            raise CourseError(f"L-BFGS remembers at least one step, not {memory}.")
        self.x = x.detach().clone()
        n, d = len(x), x[0].numel()
        self.first = first * d**0.5
        self.value = x.new_full((n,), torch.inf)
        self.gradient, self.direction = x.new_zeros(n, d), x.new_zeros(n, d)
        self.slope, self.share = x.new_zeros(n), x.new_ones(n)  # gᵀd, and the share of d that is tried next
        self.moves, self.turns = x.new_zeros(memory, n, d), x.new_zeros(memory, n, d)  # s and y, the newest last
        self.weights, self.scale = x.new_zeros(memory, n), x.new_zeros(n)  # 1 / sᵀy (0 if empty), and sᵀy / yᵀy

    @torch.no_grad()
    def step(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Try one place. `function`: (N, ...) -> (N,), each of its own row alone. Returns `value`, (N,)."""
        move = self.share[:, None] * self.direction
        tried = self.x + move.view_as(self.x)
        with torch.enable_grad():
            place = tried.requires_grad_()
            value = function(place)
            (gradient,) = torch.autograd.grad(value.sum(), place)
        value, gradient = value.detach(), gradient.flatten(1)
        good = value <= self.value + ENOUGH * self.share * self.slope  # never if NaN
        self._remember(good, move, gradient - self.gradient)
        # where it was not good: the minimum of the parabola through what is known, within limits
        excess = value - self.value - self.share * self.slope
        shorter = -self.slope * self.share / (2 * excess)
        shorter = self.share * torch.nan_to_num(shorter, nan=0.1).clamp(0.1, 0.5)
        self.x = torch.where(good.view(-1, *[1] * (self.x.ndim - 1)), place.detach(), self.x)
        self.value = torch.where(good, value, self.value)
        self.gradient = torch.where(good[:, None], gradient, self.gradient)
        self._aim(good, shorter)
        return self.value

    def _remember(self, good: Tensor, move: Tensor, turn: Tensor) -> None:
        """Keep a pair where a step was good and the slope along it rose; else the model would have no bottom."""
        product = (move * turn).sum(1)  # sᵀy
        square = turn.square().sum(1)  # yᵀy
        keep = good & (product > 1e-10 * square) & (product > 0)
        newest = torch.where(keep, 1 / product, 0)
        self.moves = torch.where(keep[:, None], torch.cat([self.moves[1:], move[None]]), self.moves)
        self.turns = torch.where(keep[:, None], torch.cat([self.turns[1:], turn[None]]), self.turns)
        self.weights = torch.where(keep, torch.cat([self.weights[1:], newest[None]]), self.weights)
        self.scale = torch.where(keep, product / square, self.scale)

    def _aim(self, good: Tensor, shorter: Tensor) -> None:
        """The next direction and its share to try: a new one after a good step or when nothing helps, else shorter."""
        lost = shorter < 1e-5  # along this direction nothing helps: forget the past, go down the slope
        self.weights = torch.where(lost & ~good, 0, self.weights)
        q, factors = self.gradient, []
        for s, y, w in zip(self.moves.flip(0), self.turns.flip(0), self.weights.flip(0), strict=True):
            factors.append(w * (s * q).sum(1))
            q = q - factors[-1][:, None] * y
        downhill = self.first / self.gradient.norm(dim=1).clamp(min=1e-30)
        empty = self.weights[-1] == 0
        q = torch.where(empty, downhill, self.scale)[:, None] * q
        for s, y, w, a in zip(self.moves, self.turns, self.weights, factors[::-1], strict=True):
            q = q + (a - w * (y * q).sum(1))[:, None] * s
        again = good | lost
        self.direction = torch.where(again[:, None], -q, self.direction)
        self.slope = (self.gradient * self.direction).sum(1)
        fresh = torch.where(good, 1.0, 0.1)  # after a failure a shorter first step, too
        self.share = torch.where(again, fresh, shorter)
