"""The nearest adversarial example: how little must change until a net says what one wants, by L-BFGS-B."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from course_lib.errors import CourseError
from course_lib.nets.features import still

FACTOR, BRACKETS = 10.0, 14  # c is looked for from 1 by factors of ten


class Nearest(NamedTuple):
    """What was found for each image.

    Attributes:
        images: x + r, (N, ...), in the box; x itself where nothing was found.
        norm: ‖r‖, (N,), in units of the image; divided by the root of the number of pixels it is the paper's
            distortion.
        weight: c, (N,); NaN where no search was needed or none succeeded.
        found: does the net say the target, (N,) bool.
    """

    images: Tensor
    norm: Tensor
    weight: Tensor
    found: Tensor


def nearest_adversarial(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    minimize: Callable[..., Any],
    low: float = -1.0,
    high: float = 1.0,
    searches: int = 10,
    iterations: int = 100,
) -> Nearest:
    """The smallest change after which the net says `target`, by box-constrained L-BFGS and a line search over c.

        minimise  c ‖r‖² + L(x + r, target)   with  x + r in [low, high],   L the cross-entropy

    A small c leaves the net free to be fooled, a large one keeps r near 0; the largest c with which the minimiser still
    fools the net gives the smallest r. c is bracketed by factors of ten, then halved in its logarithm; of everything
    that fools the net, what is nearest to x is returned. ‖r‖ is squared here, as the paper's ‖r‖ has no slope at r = 0;
    while L is convex both have the same minimisers, for other c.

    Each image is a problem of its own, solved by SciPy on the CPU (the net may live elsewhere), in float64 numbers and
    the net's own precision: about searches + 3 runs of at most `iterations` iterations for an image.

    Args:
        net: images (N, ...) -> logits (N, K).
        images: in [low, high].
        targets: (N,), int64: what the net shall say.
        minimize: scipy.optimize.minimize; handed in, as SciPy is not among what this library itself imports.
        searches: halvings of the bracket; each run starts at x.
        iterations: of L-BFGS-B in each run.

    Raises:
        CourseError: images and targets do not fit each other, or an image lies outside the box.

    Szegedy et al. 2014, Intriguing Properties of Neural Networks, section 4.1.
    """
    if targets.shape != (len(images),):
        raise CourseError(f"One target for each of the {len(images)} images was expected, not {tuple(targets.shape)}.")
    if len(images) and (float(images.min()) < low or float(images.max()) > high):
        raise CourseError(f"The images must lie in [{low:g}, {high:g}], the box that the search keeps to.")
    from threadpoolctl import threadpool_limits  # here: of use beside SciPy only

    # The solver's matrices have ten rows; BLAS threads would only take the cores from torch's (three times slower).
    with still(net), threadpool_limits(limits=1, user_api="blas"):
        found = [
            _one(net, x[None], t[None], minimize, (low, high), searches, iterations)
            for x, t in zip(images, targets, strict=True)
        ]
    best = torch.cat([images.detach()[:0], *[x for x, _ in found]])
    weight = torch.tensor([c for _, c in found], dtype=torch.float64, device=images.device)
    with torch.no_grad(), still(net):
        right = net(best).argmax(1) == targets if len(images) else targets.bool()
    return Nearest(best, (best - images).flatten(1).norm(dim=1), weight, right)


def _one(
    net: nn.Module,
    x: Tensor,
    target: Tensor,
    minimize: Callable[..., Any],
    box: tuple[float, float],
    searches: int,
    iterations: int,
) -> tuple[Tensor, float]:
    """The nearest image found for one x (1, ...), and its c."""
    flat = x.detach().double().flatten().cpu().numpy()

    def image(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(x).view_as(x).clamp(*box)

    def says_target(candidate: Tensor) -> bool:
        with torch.no_grad():
            return bool(net(candidate).argmax(1) == target)

    if says_target(x):
        return x.detach(), float("nan")

    best: list[tuple[float, Tensor, float]] = []

    def fooled_with(c: float) -> bool:
        def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
            candidate = torch.from_numpy(values).to(x).view_as(x).requires_grad_()
            with torch.enable_grad():
                loss = cross_entropy(net(candidate), target)
                slope = torch.autograd.grad(loss, candidate)[0].double().flatten().cpu().numpy()
            r = values - flat
            return float(loss.detach()) + c * float(r @ r), slope + 2 * c * r

        bounds = [box] * flat.size
        solved = minimize(objective, flat, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations})
        candidate = image(solved.x)
        if fooled := says_target(candidate):
            best.append((float((candidate - x).norm()), candidate, c))
        return fooled

    fools, fails, c = None, None, 1.0
    for _ in range(BRACKETS):
        if fooled_with(c):
            fools, c = c, c * FACTOR
        else:
            fails, c = c, c / FACTOR
        if fools is not None and fails is not None:
            break
    if fools is None:
        return x.detach(), float("nan")
    for _ in range(searches if fails is not None else 0):
        c = (fools * fails) ** 0.5
        if fooled_with(c):
            fools = c
        else:
            fails = c
    _, nearest, c = min(best, key=lambda entry: entry[0])
    return nearest, c
