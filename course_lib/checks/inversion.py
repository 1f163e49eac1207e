"""The visible checks of problem set 03, looking inside and fooling nets.

Each check takes the student's own function, tries it on one small example and, where the result is wrong, compares it
with what the usual mistakes would have given. References are autograd's slopes, sorting, and closed forms.
`checks.fresh(1)`, `checks.fresh(2)`, … are the seeds of the hidden tests.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from course_lib.checks.core import draw, expect, expect_close, expect_shape, parts_of, unchanged, visible
from course_lib.checks.core import fresh as fresh  # for the hidden tests
from course_lib.checks.core import when_done as when_done  # for the cells that only show something


def small_net(seed: int, *, channels: int = 1, size: int = 4, classes: int = 4, shift: float = 0.0) -> nn.Sequential:
    """x (N, channels, size, size) -> scores (N, classes), float64: smooth, with weights drawn from `seed`.

    Its six layers are a convolution, tanh, flattening, a matrix, tanh, a matrix. `shift` is added to all scores.
    """
    net = nn.Sequential(
        nn.Conv2d(channels, 3, 3, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(3 * size**2, 6),
        nn.Tanh(),
        nn.Linear(6, classes),
    ).double()
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            fan_in = weight[0].numel() if weight.ndim > 1 else 9
            weight.copy_(1.5 * torch.randn(weight.shape, generator=draws, dtype=torch.float64) / math.sqrt(fan_in))
        net[5].bias += shift
    return net.eval()


def a_batch(seed: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Images in [-1, 1], a fifth of their pixels at an end of it, and slopes, a tenth of them 0; float64."""
    draws = torch.Generator().manual_seed(seed)
    x = (2.5 * torch.rand(shape, generator=draws, dtype=torch.float64) - 1.25).clamp(-1, 1)
    g = torch.randn(shape, generator=draws, dtype=torch.float64)
    return x, torch.where(torch.rand(shape, generator=draws) < 0.1, 0, g)


def _at_rest(what: str, net: nn.Module) -> None:
    """Fail if `what` has left gradients in the weights of a net that had none."""
    expect(
        all(weight.grad is None for weight in net.parameters()),
        f"{what} has left gradients in the net's weights. Likely mistake: loss.backward() fills every .grad there is; "
        "torch.autograd.grad(loss, x) gives the slope in x alone.",
    )


def _each(x: Tensor) -> tuple[int, ...]:
    return (-1, *[1] * (x.ndim - 1))


# ------------------------------------------------------------------------------------------ task 1


def _differences(x: Tensor) -> tuple[Tensor, Tensor]:
    return pad(x.diff(dim=3), (0, 1)), pad(x.diff(dim=2), (0, 0, 0, 1))


def _variation(x: Tensor, beta: float) -> Tensor:
    across, down = _differences(x)
    return ((across.square() + down.square()) ** (beta / 2)).sum((1, 2, 3))


@visible("1, values", "the variation of colours")
def check_variation(colour_variation: Callable[..., Any]) -> None:
    x, beta = 0.5 * draw(0, 2, 3, 4, 5), 3.0
    a, b = _differences(x)
    q = (a**2 + b**2).sum(1)
    round_across, round_down = x.roll(-1, 3) - x, x.roll(-1, 2) - x
    last = pad(x, (0, 1, 0, 1))
    out_across, out_down = last[..., :-1, 1:] - x, last[..., 1:, :-1] - x

    def total(q: Tensor, power: float = beta / 2) -> Tensor:
        return (q**power).sum((1, 2))

    wrong = {
        "every channel for itself, as in the lecture; here the channels share the power": (
            ((a**2 + b**2) ** (beta / 2)).sum((1, 2, 3))
        ),
        "the power is beta, not beta/2: q is squared already": total(q, beta),
        "the power beta is ignored": total(q, 1.0),
        "differences across and down each get the power for themselves; it belongs to their sum": total((a**2).sum(1))
        + total((b**2).sum(1)),
        "the last column meets the first, and the last row the first; there the difference is 0": total(
            (round_across**2 + round_down**2).sum(1)
        ),
        "beyond the border there are zeros here; there the difference is 0": total(
            (out_across**2 + out_down**2).sum(1)
        ),
        "the last row and the last column are left out; one of their two differences remains": (
            q[:, :-1, :-1] ** (beta / 2)
        ).sum((1, 2)),
        "a mean over the pixels; a sum is asked": total(q) / 20,
        "only the differences across": total((a**2).sum(1)),
        "only the differences down": total((b**2).sum(1)),
        "the difference is taken between the two sums of the channels; squares come first": total(
            a.sum(1) ** 2 + b.sum(1) ** 2
        ),
    }
    shapes = {
        (): "the images are summed too; one number for each image",
        (2, 3): "the sum over the channels is missing",
        (2, 4, 5): "the sum over the pixels is missing",
    }
    given = x.clone()
    got = colour_variation(given, beta)
    expect_shape("TV", got, (2,), shapes)
    expect_close("TV", got, total(q), mistakes=wrong)
    unchanged("colour_variation", {"x": x}, {"x": given})
    even = colour_variation(torch.full((1, 2, 3, 3), 0.3).double(), 1.0)
    expect_close("TV of an even image, beta = 1", even, torch.zeros(1), atol=1e-4)


@visible("1, slope", "the slope of the variation, by hand")
def check_variation_slope(colour_variation_slope: Callable[..., Any]) -> None:
    x, beta = 0.5 * draw(1, 2, 3, 4, 5), 3.0

    def tried(x: Tensor, beta: float) -> Any:
        try:
            with torch.no_grad():
                return colour_variation_slope(x, beta)
        except RuntimeError as error:
            expect(
                "grad" not in str(error),
                "it asks autograd, and here autograd is off. Write the slope down by hand: three of the q hold "
                "x[c, i, j].",
            )
            raise

    def slope(x: Tensor, beta: float, own: float = 1.0, left: float = 1.0, upper: float = 1.0, **how: Any) -> Tensor:
        a, b = _differences(x)
        squares = a**2 + b**2
        q = squares if how.get("alone") else squares.sum(1, keepdim=True)
        factor = how.get("front", beta) * q.clamp(min=1e-30) ** (how.get("power", beta / 2 - 1))
        a, b = factor * a, factor * b
        if how.get("neighbour"):  # the neighbour's difference with the factor of one's own q
            return -a - b + factor * (pad(x.diff(dim=3), (1, 0)) + pad(x.diff(dim=2), (0, 0, 1, 0)))
        return -own * (a + b) + left * pad(a[..., :-1], (1, 0)) + upper * pad(b[..., :-1, :], (0, 0, 1, 0))

    expected = slope(x, beta)
    wrong = {
        "the sign: this is the way down": -expected,
        "only a pixel's own q; it is also in that of its left and of its upper neighbour": slope(
            x, beta, 1.0, 0.0, 0.0
        ),
        "the q of the left neighbour is missing": slope(x, beta, left=0.0),
        "the q of the upper neighbour is missing": slope(x, beta, upper=0.0),
        "a pixel's own q is missing": slope(x, beta, own=0.0),
        "the neighbours' differences belong to the neighbours' q, not to the pixel's own": slope(
            x, beta, neighbour=True
        ),
        "every channel for itself; q is the sum over the channels": slope(x, beta, alone=True),
        "beta/2 in front instead of beta: the 2 of the square is missing": slope(x, beta, front=beta / 2),
        "beta in front is missing": slope(x, beta, front=1.0),
        "the power is beta/2 instead of beta/2 - 1": slope(x, beta, power=beta / 2),
        "the power is beta - 1 instead of beta/2 - 1: q is a square": slope(x, beta, power=beta - 1),
        "the slope for beta = 2": slope(x, 2.0),
        "the neighbours' terms have the sign of the own one: in their q the pixel is the minuend": slope(
            x, beta, left=-1.0, upper=-1.0
        ),
    }
    given = x.clone()
    got = tried(given, beta)
    expect_shape(
        "the slope", got, (2, 3, 4, 5), {(2, 1, 4, 5): "one slope for all channels; every channel has its own"}
    )
    expect_close("the slope", got, expected, mistakes=wrong)
    unchanged("colour_variation_slope", {"x": x}, {"x": given})
    x[0, :, :2, :3] = 0.25
    for beta in (1.0, 1.5):
        got = torch.as_tensor(tried(x.clone(), beta))
        expect(
            bool(torch.isfinite(got).all()),
            f"for beta = {beta:g} the slope is NaN or infinite where the image is even. Likely mistake: q is 0 there, "
            "and 0 to a negative power is infinite; such a term adds nothing.",
        )
        expect_close(f"the slope for beta = {beta:g}, with an even spot", got, slope(x, beta), atol=1e-5)


# ------------------------------------------------------------------------------------------ task 2


@visible("2, loss", "the loss of a pre-image")
def check_pre_image_loss(pre_image_loss: Callable[..., Any]) -> None:
    features, target, x = draw(10, 3, 2, 4), draw(11, 3, 2, 4), 0.4 * draw(12, 3, 2, 4, 5)
    weight, beta = 0.3, 1.0
    off, size = (features - target).flatten(1), target.flatten(1)
    squared, all_of_it = off.square().sum(1), size.square().sum(1)
    rough = _variation(x, beta) / 40
    prior = weight * rough
    wrong = {
        "not divided by the size of the features": squared + prior,
        "divided by the size of all images' features together; each image has its own": squared / all_of_it.sum()
        + prior,
        "divided by the features that were found, not by those that are wanted": squared
        / features.flatten(1).square().sum(1)
        + prior,
        "the lengths are not squared": squared.sqrt() / all_of_it.sqrt() + prior,
        "only the divisor is not squared": squared / all_of_it.sqrt() + prior,
        "a mean in one place and a sum in the other": squared / 8 / all_of_it + prior,
        "TV is not divided by the number of pixels": squared / all_of_it + 40 * prior,
        "M counts the channels too: M = C H W": squared / all_of_it + 2 * prior,
        "TV is divided by the number of features": squared / all_of_it + 5 * prior,
        "TV is summed over the batch": squared / all_of_it + prior.sum(),
        "TV is divided by the pixels of the whole batch": squared / all_of_it + prior / 3,
        "beta is ignored": squared / all_of_it + weight * _variation(x, 2.0) / 40,
        "the weight is missing": squared / all_of_it + rough,
        "TV is missing": squared / all_of_it,
        "the distance of the whole batch; each image has its own": squared.sum() / all_of_it.sum() + prior,
    }
    shapes = {(): "the images are summed; one number for each image"}
    got = pre_image_loss(features, target, x, weight, beta)
    expect_shape("the loss", got, (3,), shapes)
    expect_close("the loss", got, squared / all_of_it + prior, mistakes=wrong)
    weights = torch.tensor([0.0, 0.5, 2.0]).double()
    got = pre_image_loss(features, target, x, weights, beta)
    expect_shape("the loss with a weight for each image", got, (3,), {(3, 3): "the weight meets the wrong axis"})
    expect_close("the loss with a weight for each image", got, squared / all_of_it + weights * rough)
    leaf = x.clone().requires_grad_()
    expect(
        bool(getattr(pre_image_loss(features, target, leaf, weight, beta), "requires_grad", False)),
        "the loss has no slope in x. Likely mistake: .detach(), .item() or no_grad.",
    )


def _inverted(
    phi: nn.Module, target: Tensor, x: Tensor, weight: Tensor, steps: int, rate: float, mistake: str = ""
) -> tuple[Tensor, Tensor]:
    """Where the descent leads, or where it leads with a mistake."""

    def value_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        size = target.flatten(1).square().sum(1)
        rough = _variation(x, 2.0) / x[0].numel()
        z = (phi(x) - target).flatten(1).square().sum(1) / size + weight * rough
        return z.detach(), torch.autograd.grad(z.sum() / (len(x) if mistake == "mean" else 1), x)[0]

    rates, losses = torch.full((len(x),), rate).double(), []
    z, slope = value_and_slope(x)
    losses.append(z)
    for _ in range(steps):
        trial = x + (1 if mistake == "uphill" else -1) * rates.view(-1, 1, 1, 1) * slope
        if mistake != "no box":
            trial = trial.clamp(-1, 1)
        trial_z, trial_slope = value_and_slope(trial)
        better = trial_z < z
        if mistake == "one rate":
            better = (trial_z.sum() < z.sum()).expand(len(x))
        taken = torch.ones_like(better) if mistake in ("always", "never smaller") else better
        x = torch.where(taken.view(-1, 1, 1, 1), trial, x)
        slope = torch.where(taken.view(-1, 1, 1, 1), trial_slope, slope)
        z = torch.where(taken, trial_z, z)
        if mistake != "never smaller":
            grown = rates if mistake == "never larger" else 2 * rates if mistake == "twice" else 1.5 * rates
            rates = torch.where(better, grown, rates if mistake == "not halved" else rates / 2)
        losses.append(trial_z if mistake == "tried" else z)
    return (trial if mistake == "last" else x), torch.stack(losses)


@visible("2, steps", "descent at one's own pace")
def check_invert(invert: Callable[..., Any]) -> None:
    phi, steps, rate = small_net(19, channels=2), 6, 3.0
    wanted, start = (0.6 * draw(14, 3, 2, 4, 4)).clamp(-1, 1), (0.6 * draw(15, 3, 2, 4, 4)).clamp(-1, 1)
    start[1] = (wanted[1] + 1e-2 * start[1]).clamp(-1, 1)
    target, weight = phi(wanted).detach(), torch.tensor([0.0, 0.02, 0.2]).double()
    given = {"start": start.clone(), "target": target.clone()}
    got_x, got_z = parts_of("invert", invert(phi, given["target"], given["start"], weight, 2.0, steps, rate), 2)
    led = {
        "one decision for the whole batch; every image decides for itself, by its own loss": "one rate",
        "every step is taken, also those that make it worse": "always",
        "every step is taken, and the rate never changes": "never smaller",
        "the rate never grows": "never larger",
        "the rate is doubled after a success; the factor is 1.5": "twice",
        "the rate is not halved after a failure": "not halved",
        "the box is missing": "no box",
        "the slope of the mean over the batch; that of an image depends on how many others there are": "mean",
        "the sign: x goes against the slope": "uphill",
    }
    x, z = _inverted(phi, target, start, weight, steps, rate)
    shapes = {
        (steps, 3): "the loss of the start is missing, or that of the end",
        (steps + 1,): "one loss for each image",
    }
    expect_shape("the losses", got_z, (steps + 1, 3), shapes)

    def mistakes(which: int) -> dict[str, Tensor]:
        found = {text: _inverted(phi, target, start, weight, steps, rate, name)[which] for text, name in led.items()}
        if which:
            found["the losses of what was tried; those of what was kept are asked"] = _inverted(
                phi, target, start, weight, steps, rate, "tried"
            )[1]
        else:
            found["the image that was tried last, though it was not better"] = _inverted(
                phi, target, start, weight, steps, rate, "last"
            )[0]
        return found

    expect_close("the block of losses", got_z, z, mistakes=lambda: mistakes(1))
    expect_shape("the images", got_x, (3, 2, 4, 4))
    expect_close("the block of images", got_x, x, mistakes=lambda: mistakes(0))
    unchanged("invert", {"start": start, "target": target}, given)
    _at_rest("invert", phi)
    expect(
        not (got_x.requires_grad or got_z.requires_grad),
        "what invert returns still hangs on a graph. Likely mistake: .detach() is missing.",
    )


@visible("2, tenfold", "ten times nearer")
def check_invert_tenfold(invert: Callable[..., Any]) -> None:
    phi = small_net(16, channels=1, size=8)[:4]
    wanted, start = (0.6 * draw(17, 2, 1, 8, 8)).clamp(-1, 1), (0.3 * draw(18, 2, 1, 8, 8)).clamp(-1, 1)
    x, z = parts_of("invert", invert(phi, phi(wanted).detach(), start, 0.0, 2.0, 30, 1e3), 2)
    with torch.no_grad():
        reached = (phi(x) - phi(wanted)).square().sum(1) / phi(wanted).square().sum(1)
    expect_close("the last loss, against the features of the images returned", z[-1], reached)
    expect(bool((x.abs() <= 1).all()), f"pixels reach {float(x.abs().max()):.3g}; the box is [-1, 1].")
    fall = float((z[0] / reached).min())
    expect(
        fall >= 10,
        f"beginning with a rate of 1000, 30 steps bring the features {fall:.3g} times nearer; 10 times is asked. "
        "Likely mistake: a rate that stays too large or too small, or one for all images.",
    )


# ------------------------------------------------------------------------------------------ task 3


def _room(x: Tensor, g: Tensor) -> Tensor:
    return torch.where(g > 0, 1 - x, torch.where(g < 0, x + 1, 0))


def _greedy(x: Tensor, g: Tensor, eps: float, order: Tensor | None = None, room: Tensor | None = None) -> Tensor:
    """The best step for a sum, (N, D); or with another order or other room."""
    room = _room(x, g) if room is None else room
    order = g.abs().argsort(1, descending=True) if order is None else order
    size, left = torch.zeros_like(x), torch.full((len(x),), eps).double()
    for place in order.T:  # (N,)
        here = torch.minimum(room.gather(1, place[:, None])[:, 0], left)
        size.scatter_(1, place[:, None], here[:, None])
        left = left - here
    return g.sign() * size


def _filled(x: Tensor, g: Tensor, eps: float) -> Tensor:
    """The best step for a length, (N, D): by trying which pixels are full, from the first on."""
    room, steep = _room(x, g), g.abs()
    size = torch.zeros_like(x)
    for n in range(len(x)):
        full = torch.zeros_like(room[n], dtype=torch.bool)
        while True:
            rest = max(eps**2 - float(room[n][full].square().sum()), 0.0)
            free = steep[n].masked_fill(full, 0)
            t = math.sqrt(rest) / max(float(free.norm()), 1e-30)
            over = (t * free > room[n]) & ~full
            if not bool(over.any()):
                break
            full |= over
        size[n] = torch.where(full, room[n], t * free)
    return g.sign() * size


_STEP_X = [[-1.0, -1.0, 0.5, 0.9, -0.2, 0.3, 1.0, -0.6], [0.0, 0.2, -0.9, -1.0, 1.0, 0.4, -0.5, 0.7]]
_STEP_G = [[-2.0, 1.5, 0.9, 3.0, -0.4, 0.0, 0.6, -1.1], [0.3, -2.5, -1.9, 0.7, -0.9, 2.1, 0.05, 1.2]]


def _step_case() -> tuple[Tensor, Tensor]:
    return torch.tensor(_STEP_X).double(), torch.tensor(_STEP_G).double()


def _best_step_check(
    best_step: Callable[..., Any],
    norm: str,
    eps: float,
    best_of: Callable[[Tensor, Tensor, float], Tensor],
    wrong: Callable[[], dict[str, Tensor]],
) -> None:
    x, g = _step_case()
    best = best_of(x, g, eps)
    given = {"x": x.clone(), "g": g.clone()}
    got = best_step(given["x"], given["g"], eps, norm)
    expect_shape("r", got, (2, 8))
    unchanged("best_step", {"x": x, "g": g}, given)
    expect_close(
        "r",
        got,
        best,
        mistakes=lambda: {
            "the sign: r goes along the slope": best_of(x, -g, eps),
            "this is x + r, not r": x + best,
            **wrong(),
        },
    )
    got = best_step(x.view(2, 2, 2, 2), g.view(2, 2, 2, 2), eps, norm)
    expect_shape("r for images (2, 2, 2, 2)", got, (2, 2, 2, 2))
    expect_close("r for images (2, 2, 2, 2)", got, best.view(2, 2, 2, 2))


def _clipped(x: Tensor, g: Tensor, eps: float) -> Tensor:
    """The best step for the largest change, (N, D)."""
    return g.sign() * _room(x, g).clamp(max=eps)


@visible("3, linf", "each pixel bounded")
def check_best_step_linf(best_step: Callable[..., Any]) -> None:
    (x, g), eps = _step_case(), 0.4
    wrong = lambda: {  # noqa: E731
        "the box is missing": eps * g.sign(),
        "the slope itself in place of its sign: however small it is, the pixel can go all the way": (
            (x + eps * g).clamp(-1, 1) - x
        ),
        "the slope is cut at eps; each pixel goes as far as it may": (x + g.clamp(-eps, eps)).clamp(-1, 1) - x,
        "a pixel without enough room stays where it is; it goes as far as there is room": torch.where(
            _room(x, g) >= eps, eps * g.sign(), 0
        ),
        "the room on both sides is compared; a pixel goes one way only": g.sign()
        * torch.minimum(1 - x, x + 1).clamp(max=eps),
    }
    _best_step_check(best_step, "linf", eps, _clipped, wrong)


@visible("3, l1", "the sum bounded")
def check_best_step_l1(best_step: Callable[..., Any]) -> None:
    (x, g), eps = _step_case(), 2.6
    every = g.abs() / g.abs().sum(1, keepdim=True)
    room = _room(x, g)
    wrong = lambda: {  # noqa: E731
        "the length is dealt out in proportion to the slopes; the steepest pixel comes first, as far as it has room": (
            (x + g.sign() * eps * every).clamp(-1, 1) - x
        ),
        "the steepest pixel alone; what does not fit there goes to the next": _greedy(x, g, eps)
        * (g.abs() == g.abs().amax(1, keepdim=True)),
        "the steepest pixel gets everything, and the box is missing": g.sign()
        * eps
        * (g.abs() == g.abs().amax(1, keepdim=True)),
        "the sizes are in the order of the slopes; they go back to their pixels": g.sign()
        * _greedy(x, g, eps).abs().gather(1, g.abs().argsort(1, descending=True)),
        "the flattest pixels come first": _greedy(x, g, eps, order=g.abs().argsort(1)),
        "sorted by g, not by |g|: a negative slope earns as much": _greedy(
            x, g, eps, order=g.argsort(1, descending=True)
        ),
        "sorted by the room instead of by what a unit of length earns": _greedy(
            x, g, eps, order=room.argsort(dim=1, descending=True, stable=True)
        ),
        "sorted by |g| times the room; a unit of length earns |g|, however much room there is": _greedy(
            x, g, eps, order=(g.abs() * room).argsort(dim=1, descending=True, stable=True)
        ),
        "all pixels' slopes are sorted together; every image spends its own length": _together(x, g, eps),
        "every pixel moves by eps, or by its room: this is the bound on each pixel": g.sign() * room.clamp(max=eps),
        "the room is 2 everywhere; it is what lies between x and the end of the box": _greedy(
            x, g, eps, room=2.0 * (g != 0)
        )
        .maximum(-1 - x)
        .minimum(1 - x),
    }
    _best_step_check(best_step, "l1", eps, _greedy, wrong)


def _together(x: Tensor, g: Tensor, eps: float) -> Tensor:
    return _greedy(x.reshape(1, -1), g.reshape(1, -1), eps).view_as(x)


@visible("3, l2", "the length bounded")
def check_best_step_l2(best_step: Callable[..., Any]) -> None:
    (x, g), eps = _step_case(), 1.9
    room = _room(x, g)
    scaled = eps * g / g.norm(dim=1, keepdim=True)
    cut = (x + scaled).clamp(-1, 1) - x
    again = cut * eps / cut.norm(dim=1, keepdim=True)
    wrong = lambda: {  # noqa: E731
        "scaled and clipped: what was cut off is wasted; another t uses it at pixels with room": cut,
        "the box is missing": scaled,
        "scaled, clipped, and scaled again leaves the box": again,
        "clipped, and once more scaled and clipped: still shorter than eps": (x + again).clamp(-1, 1) - x,
        "one t for the whole batch; every image has its own": _filled(x.reshape(1, -1), g.reshape(1, -1), eps).view_as(
            x
        ),
        "the sum of the changes is eps; it is the root of the sum of squares": _filled_to(x, g, eps, 1.0),
        "the sum of squares is eps; its root is to be": _filled(x, g, math.sqrt(eps)),
        "all room is used, whatever the length": g.sign() * room,
        "sorted, the steepest first: this is the bound on the sum": _greedy(x, g, eps),
    }
    _best_step_check(best_step, "l2", eps, _filled, wrong)
    got = best_step(x, g, 50.0, "l2")
    expect_close("r where eps is more than all room there is", got, g.sign() * room)


def _filled_to(x: Tensor, g: Tensor, eps: float, power: float) -> Tensor:
    low, high = torch.zeros(len(x), 1).double(), torch.full((len(x), 1), 1e3).double()
    for _ in range(80):
        t = (low + high) / 2
        fits = torch.minimum(t * g.abs(), _room(x, g)).norm(p=power, dim=1, keepdim=True) <= eps
        low, high = torch.where(fits, t, low), torch.where(fits, high, t)
    return g.sign() * torch.minimum(low * g.abs(), _room(x, g))


# ------------------------------------------------------------------------------------------ task 4


@visible("4, values", "how far the attack has got")
def check_attack_slope(attack_slope: Callable[..., Any]) -> None:
    net = small_net(30, channels=1, shift=-9.0)
    x, labels = (0.6 * draw(31, 4, 1, 4, 4)).clamp(-1, 1), torch.tensor([0, 3, 1, 2])
    given = {"x": x.clone(), "labels": labels.clone()}
    leaf = x.clone().requires_grad_()
    s = net(leaf)
    own = s.gather(1, labels[:, None])[:, 0]
    hidden = torch.nn.functional.one_hot(labels, 4).bool()
    rival = s.masked_fill(hidden, -math.inf).amax(1)
    zeroed = s.masked_fill(hidden, 0).amax(1)
    logs = s.log_softmax(1).gather(1, labels[:, None])[:, 0]
    wrong: dict[str, Tensor] = {
        "the signs: a > 0 says that the attack has succeeded": own - rival,
        "the maximum runs over all classes, y too, and a is never below 0": s.amax(1) - own,
        "the rivals' scores are missing, or y's score is replaced by 0 before the maximum: 0 wins where all scores "
        "are negative": zeroed - own,
        "the second largest score in place of the largest of the others; y need not be the largest": s.topk(2).values[
            :, 1
        ]
        - own,
        "the cross-entropy; it saturates": -logs,
        "the probabilities in place of the scores; they saturate": (
            s.softmax(1).masked_fill(hidden, 0).amax(1) - s.softmax(1).gather(1, labels[:, None])[:, 0]
        ),
        "the mean of the others in place of their maximum": s.masked_fill(hidden, 0).sum(1) / 3 - own,
        "the least of the others in place of the largest": s.masked_fill(hidden, math.inf).amin(1) - own,
        "the labels' scores are missing": rival,
    }
    for targeted in (False, True):
        sign, what = (-1, "a, targeted") if targeted else (1, "a")
        a, slope = parts_of("attack_slope", attack_slope(net, given["x"], given["labels"], targeted), 2)
        mistakes = {text: value.detach() for text, value in wrong.items()}
        if targeted:
            mistakes = {"targeted changes nothing: the wanted class shall win": (rival - own).detach()}
        expect_shape(what, a, (4,), {(): "the images are summed; one number for each"})
        expect_close(what, a, sign * (rival - own).detach(), mistakes=mistakes)
        (expected,) = torch.autograd.grad(sign * (rival - own).sum(), leaf, retain_graph=True)
        expect_shape(f"the slope of {what}", slope, (4, 1, 4, 4))
        (entropy,) = torch.autograd.grad(-sign * logs.sum(), leaf, retain_graph=True)
        mistakes = {
            "the slope of the mean over the batch; that of an image depends on how many others there are": expected / 4,
            f"the sign of the slope{'; targeted turns a and its slope' if targeted else ''}": -expected,
            "its sign; the slope itself is asked": expected.sign(),
            "divided by its length; the slope itself is asked": expected
            / expected.flatten(1).norm(dim=1).view(-1, 1, 1, 1),
            "the slope of the cross-entropy": entropy,
        }
        expect_close(f"the slope of {what}", slope, expected, mistakes=mistakes)
    unchanged("attack_slope", {"x": x, "labels": labels}, given)


@visible("4, at rest", "a sharp net, left as it was")
def check_attack_slope_rest(attack_slope: Callable[..., Any]) -> None:
    net = small_net(32, channels=1).float()
    sharp = nn.Sequential(net, nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        sharp[1].weight.copy_(5000 * torch.eye(4))
        x = (0.6 * draw(33, 3, 1, 4, 4)).clamp(-1, 1).float()
        labels = net(x).argmax(1)
    a, slope = parts_of("attack_slope", attack_slope(sharp, x, labels), 2)
    expect(
        bool((torch.as_tensor(slope).flatten(1) != 0).any(1).all()),
        "with scores 5000 times as large the slope is exactly 0. Likely mistake: a softmax, which rounds to 0 and 1; "
        "the difference of two scores needs none.",
    )
    calm, _ = parts_of("attack_slope", attack_slope(net, x, labels), 2)
    expect_close("a with scores 5000 times as large", a, 5000 * torch.as_tensor(calm), rtol=1e-3)
    _at_rest("attack_slope", sharp)
    hanging = [name for name, value in (("a", a), ("the slope", slope)) if value.requires_grad]
    expect(not hanging, f"{' and '.join(hanging)} still hang on a graph. Likely mistake: .detach() is missing.")


# ------------------------------------------------------------------------------------------ task 5


@visible("5, ball", "back into the ball")
def check_into_ball(into_ball: Callable[..., Any]) -> None:
    r, eps = draw(40, 4, 1, 2, 3), torch.tensor([0.5, 9.0, 1.2, 0.8]).double()
    each = eps.view(-1, 1, 1, 1)
    length = r.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    shrunk = r * (each / length).clamp(max=1)
    clipped = torch.maximum(torch.minimum(r, each), -each)
    largest = r.abs().flatten(1).amax(1).view(-1, 1, 1, 1)
    whole = float(r.norm())
    given = {"r": r.clone(), "eps": eps.clone()}
    wrong = {
        "the whole change is shrunk; each pixel is cut for itself": r * (each / largest).clamp(max=1),
        "the pixels that are too large become 0; they are cut at eps": torch.where(r.abs() <= each, r, 0),
        "eps times the sign: what is inside stays where it is": each * r.sign(),
        "only cut above; -eps is the other end": torch.minimum(r, each),
        "this is the ball of l2": shrunk,
        "the first image's radius for all": r.clamp(-0.5, 0.5),
    }
    got = into_ball(given["r"], given["eps"], "linf")
    expect_shape("linf", got, (4, 1, 2, 3))
    expect_close("the point for linf", got, clipped, mistakes=wrong)
    wrong = {
        "always scaled to eps: what is inside stays where it is": r * each / length,
        "one length for the whole batch": r * (each / whole).clamp(max=1),
        "divided by the length, eps forgotten": r / length.clamp(min=1),
        "divided by the squared length": r * (each / length**2).clamp(max=1),
        "this is the ball of linf": clipped,
        "the length along one axis only; it is that of the whole image": r
        * (each / r.norm(dim=3, keepdim=True)).clamp(max=1),
        "the sum of |r| in place of the length": r * (each / r.abs().flatten(1).sum(1).view(-1, 1, 1, 1)).clamp(max=1),
        "outside it becomes 0; the nearest point lies on the surface": torch.where(length <= each, r, 0),
    }
    got = into_ball(given["r"], given["eps"], "l2")
    unchanged("into_ball", {"r": r, "eps": eps}, given)
    expect_shape("l2", got, (4, 1, 2, 3))
    expect_close("the point for l2", got, shrunk, mistakes=wrong)
    nothing = torch.as_tensor(into_ball(torch.zeros(2, 3).double(), torch.tensor([0.0, 1.0]).double(), "l2"))
    expect(
        bool((nothing == 0).all()),
        f"r = 0 became {nothing.tolist()}. Likely mistake: 0/0; clamp the length from below.",
    )


def _ascent(
    gain: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor, eps: Tensor, norm: str, steps: int, mistake: str = ""
) -> tuple[Tensor, Tensor]:
    """Where PGD leads, or where it leads with a mistake."""
    each = eps.view(_each(x))
    rate = {"eps": each, "2.5": 2.5 * each, "1/T": each / steps}.get(mistake, 2.5 * each / steps)

    def ball(r: Tensor) -> Tensor:
        if norm == "linf":
            return torch.maximum(torch.minimum(r, each), -each)
        return r * (each / r.flatten(1).norm(dim=1).view(_each(x)).clamp(min=1e-30)).clamp(max=1)

    a, slope = gain(x)
    moved, best, best_a = x, x, a
    if mistake == "start":
        best_a = torch.full_like(a, -math.inf)
    for _ in range(steps):
        length = slope.flatten(1).norm(dim=1).view(_each(x)).clamp(min=1e-30)
        way = slope.sign() if (norm == "linf") != (mistake == "other way") else slope / length
        way = slope if mistake == "raw" else -way if mistake == "down" else way
        new = moved + rate * way
        if mistake != "no ball":
            new = x + ball(new - x)
        moved = new if mistake == "no box" else new.clamp(-1, 1)
        a = gain(moved)[0]
        slope = slope if mistake == "stale" else gain(moved)[1]
        better = a > best_a
        better = {"last": torch.ones_like(better), "batch": (a.sum() > best_a.sum()).expand(len(x))}.get(
            mistake, better
        )
        best, best_a = torch.where(better.view(_each(x)), moved, best), torch.where(better, a, best_a)
        if mistake == "from the best":
            moved, slope = best, gain(best)[1]
    return best, best_a


def _waves(weights: Tensor, phase: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    def gain(x: Tensor) -> tuple[Tensor, Tensor]:
        along = (weights * x).flatten(1).sum(1) + phase
        return torch.sin(along), torch.cos(along).view(_each(x)) * weights

    return gain


_BEST = {
    "this is the last point; the best one is asked": "last",
    "the batch as a whole decides which point is best; each image has its own": "batch",
    "the start is not among the points; a step may be worse than none": "start",
    "the way goes on from the best point; it goes on from the last one": "from the best",
}


@visible("5, steps", "steps within the ball and the box")
def check_pgd(pgd: Callable[..., Any]) -> None:
    weights = draw(105, 3, 1, 2, 3)
    x = (0.8 * draw(106, 3, 1, 2, 3)).clamp(-1, 1)
    eps = torch.tensor([0.7, 1.1, 0.4]).double()

    def gain(x: Tensor) -> tuple[Tensor, Tensor]:
        curved = (weights * x - x**2 / 2).flatten(1).sum(1)
        return curved, weights - x

    led = {
        "the box is missing": "no box",
        "the ball is missing, or it is around the last point; it is around the image": "no ball",
        "the step is eps, not 2.5 eps/T": "eps",
        "the step is 2.5 eps, not divided by T": "2.5",
        "the step is eps/T; the factor 2.5 is missing": "1/T",
        "sign and slope divided by its length are swapped": "other way",
        "the slope itself is the step; its sign or its direction is asked": "raw",
        "the images have not moved, or the wrong way: a is to be raised": "down",
        "the slope of the image is used throughout; every step takes that of the point where it starts": "stale",
        **_BEST,
    }
    for norm in ("linf", "l2"):
        best, a = _ascent(gain, x, eps, norm, 4)
        given = {"x": x.clone(), "eps": eps.clone()}
        got, got_a = parts_of("pgd", pgd(gain, given["x"], given["eps"], norm, 4), 2)

        def mistakes(which: int, norm: str = norm) -> dict[str, Tensor]:
            return {text: _ascent(gain, x, eps, norm, 4, name)[which] for text, name in led.items()}

        expect_shape(f"the images for {norm}", got, (3, 1, 2, 3))
        expect_close(f"the block of images for {norm}", got, best, mistakes=lambda m=mistakes: m(0))
        expect_shape(f"a for {norm}", got_a, (3,))
        expect_close(f"a for {norm}", got_a, a, mistakes=lambda m=mistakes: m(1))
        unchanged("pgd", {"x": x, "eps": eps}, given)
    asked: list[Tensor] = []

    def flat(x: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(x)
        return torch.zeros(3).double(), torch.zeros_like(x)

    pgd(flat, x.clone(), eps, "l2", 2)
    expect(
        all(bool(torch.isfinite(point).all()) for point in asked),
        "where the slope is exactly 0 the image becomes NaN. Likely mistake: 0/0; clamp the length from below.",
    )


@visible("5, best", "the best point of the way")
def check_pgd_best(pgd: Callable[..., Any]) -> None:
    weights, phase = 2 * draw(67, 5, 1, 2, 3), draw(45, 5)
    x, eps = (0.5 * draw(46, 5, 1, 2, 3)).clamp(-1, 1), torch.full((5,), 1.2).double()
    phase[0] = math.pi / 2 - (weights * x)[0].sum()
    gain = _waves(weights, phase)
    best, a = _ascent(gain, x, eps, "l2", 4)
    got, got_a = parts_of("pgd", pgd(gain, x.clone(), eps, "l2", 4), 2)
    wrong = {text: _ascent(gain, x, eps, "l2", 4, name) for text, name in _BEST.items()}
    expect_close("the block of images", got, best, mistakes={text: pair[0] for text, pair in wrong.items()})
    expect_close("a of the images", got_a, a)


# ------------------------------------------------------------------------------------------ task 6


def _prices(critical: list[float], rounds: int, mistake: str = "") -> Tensor:
    """The prices asked for, (rounds, N), or those that a mistake asks for."""
    asked = []
    for limit in critical:
        c, fools, fails, mine = 1.0, None, None, []
        for _ in range(rounds):
            mine.append(c)
            success = c <= (min(critical) if mistake == "batch" else limit)
            if mistake == "one-sided":
                fools, fails = (c, None) if success else (None, c)
            elif success:
                fools = fools if mistake == "first" and fools else c
            else:
                fails = fails if mistake == "first" and fails else c
            if mistake == "turned":
                success = not success
            if fools and fails:
                c = (fools + fails) / 2 if mistake == "arithmetic" else math.sqrt(fools * fails)
            else:
                factor = 2 if mistake == "twice" else 10
                c = c * factor if success else c / factor
        asked.append(mine)
    return torch.tensor(asked).double().T


@visible("6, prices", "which c is asked for")
def check_search(nearest_fooling: Callable[..., Any]) -> None:
    critical, rounds = [0.03, 40.0, 1.0], 7
    x, way, asked = draw(50, 3, 1, 2, 2), draw(51, 3, 1, 2, 2), []

    def solve(c: Tensor) -> Tensor:
        asked.append(torch.as_tensor(c).clone())
        return x + way / (1 + torch.as_tensor(c).double().expand(3)).view(-1, 1, 1, 1)

    def fooled(images: Tensor) -> Tensor:
        size = (images - x).flatten(1).norm(dim=1) / way.flatten(1).norm(dim=1)
        return 1 / size - 1 <= torch.tensor(critical) * (1 + 1e-9)

    given = x.clone()
    result = nearest_fooling(solve, fooled, given, rounds)
    expect(bool(asked), "solve was never called.")
    for c in asked:
        expect_shape("c, with which solve is called,", c, (3,), {(): "one c for the whole batch"})
    expect(len(asked) == rounds, f"solve was called {len(asked)} times, {rounds} times is asked.")
    expect(
        bool((torch.stack(asked)[0] == 1).all()),
        f"the first round asks for c = {torch.stack(asked)[0].tolist()}; begin with 1 for every image.",
    )
    wrong = {
        "the arithmetic mean; prices span orders of magnitude": _prices(critical, rounds, "arithmetic"),
        "the search goes the wrong way: a larger c where the net was fooled": _prices(critical, rounds, "turned"),
        "one image decides for all; each has its own bracket": _prices(critical, rounds, "batch"),
        "factors of two; ten is asked while one side is missing": _prices(critical, rounds, "twice"),
        "the first c that fooled, or failed, is kept; the last one narrows the bracket": _prices(
            critical, rounds, "first"
        ),
        "by factors of ten to the end: halve between what fooled and what failed": _prices(
            critical, rounds, "one-sided"
        ),
    }
    expect_close(
        "the block of prices, a row for each round,", torch.stack(asked), _prices(critical, rounds), mistakes=wrong
    )
    images, length = parts_of("nearest_fooling", result, 2)
    used = _prices(critical, rounds)
    largest = used.masked_fill(used > torch.tensor(critical) * (1 + 1e-9), 0).amax(0)
    size = way.flatten(1).norm(dim=1)
    expected = size / (1 + largest)
    expect_shape("the lengths", length, (3,))
    wrong = {
        "the squared lengths": expected**2,
        "the lengths of the last images, fooled or not": size / (1 + used[-1]),
        "the nearest of all, fooled or not": size / (1 + used.amax(0)),
        "the first that fooled, or the farthest; the nearest is asked": size
        / (1 + used.masked_fill(used > torch.tensor(critical) * (1 + 1e-9), math.inf).amin(0)),
    }
    expect_close("the row of lengths", length, expected, mistakes=wrong)
    wrong = {"the last images, not those that belong to the lengths": x + way / (1 + used[-1]).view(-1, 1, 1, 1)}
    expect_close("the block of images", images, x + way / (1 + largest).view(-1, 1, 1, 1), mistakes=wrong)
    unchanged("nearest_fooling", {"x": x}, {"x": given})


@visible("6, nearest", "the nearest of everything that fooled")
def check_search_nearest(nearest_fooling: Callable[..., Any]) -> None:
    x, sizes = (
        draw(52, 4, 2, 2),
        torch.tensor([[1.0, 0.5, 0.2, 3.0], [0.6, 0.8, 0.3, 2.0], [0.9, 0.4, 0.1, 1.0]]).double(),
    )
    says = torch.tensor([[True, True, False, True], [True, False, False, False], [True, True, False, True]])
    unit = draw(53, 4, 2, 2)
    unit = unit / unit.flatten(1).norm(dim=1).view(-1, 1, 1)
    rounds = iter(range(3))
    now = iter(range(3))
    result = nearest_fooling(
        lambda c: x + sizes[next(rounds)].view(-1, 1, 1) * unit, lambda images: says[next(now)], x.clone(), 3
    )
    images, length = parts_of("nearest_fooling", result, 2)
    fooling = sizes.masked_fill(~says, math.inf)
    nearest = fooling.amin(0)
    expect_shape("the lengths", length, (4,))
    got = torch.as_tensor(length).double()
    hints = {
        "the last one that fooled; the nearest is asked, and a larger c need not be nearer": torch.tensor(
            [0.9, 0.4, math.inf, 1.0]
        ),
        "the first one that fooled; the nearest is asked": torch.tensor([1.0, 0.5, math.inf, 3.0]),
        "the farthest that fooled": torch.tensor([1.0, 0.5, math.inf, 3.0]),
        "the nearest of all, fooled or not": sizes.amin(0),
        "an image that never fooled has length inf": nearest.nan_to_num(posinf=0.0),
    }
    hint = next((text for text, value in hints.items() if torch.allclose(got, value.double())), "")
    expect(
        torch.allclose(got, nearest),
        f"the lengths are {[round(v, 4) for v in got.tolist()]}, expected {nearest.tolist()}."
        + (f" Likely mistake: {hint}." if hint else ""),
    )
    expected = torch.where(
        nearest.isfinite().view(-1, 1, 1), x + nearest.nan_to_num(posinf=0.0).view(-1, 1, 1) * unit, x
    )
    wrong = {
        "the image that never fooled is not the one given": torch.where(
            nearest.isfinite().view(-1, 1, 1), expected, x + sizes[2].view(-1, 1, 1) * unit
        ),
    }
    expect_close("the block of images", images, expected, mistakes=wrong)


# ------------------------------------------------------------------------------------------ task 7


@visible("7, control", "the same numbers elsewhere")
def check_shuffled_control(shuffled_control: Callable[..., Any]) -> None:
    x = (0.8 * draw(60, 3, 2, 6, 6)).clamp(-1, 1)
    r = 0.25 * draw(61, 3, 2, 6, 6)
    given = {"x": x.clone(), "r": r.clone()}
    changed = shuffled_control(given["x"], given["r"], torch.Generator().manual_seed(62))
    expect_shape("the control", changed, (3, 2, 6, 6))
    changed = torch.as_tensor(changed)
    unchanged("shuffled_control", {"x": x, "r": r}, given)
    largest = float(changed.abs().max())
    sizes, found = r.flatten(1).abs(), (changed - x).flatten(1).abs()
    same = torch.allclose(found.sort(1).values, sizes.sort(1).values, atol=1e-9)
    alone = torch.allclose(changed.flatten(1).abs().sort(1).values, sizes.sort(1).values, atol=1e-9)
    expect(not alone, "this is the change alone; x is missing.")
    expect(
        same or largest > 1 or float((changed.abs() == 1).double().mean()) < 0.05,
        "the numbers |r| are not all there. Likely mistake: clipped at the ends of the box, which makes the control "
        "shorter than the attack; choose the sign that fits.",
    )
    across = torch.allclose(found.flatten().sort().values, sizes.flatten().sort().values, atol=1e-9)
    expect(
        same or not across,
        "numbers have moved from one image to another. Likely mistake: the batch is shuffled as a whole; each image is "
        "dealt its own numbers.",
    )
    expect(
        same,
        "the sizes of the changes are not the |r| of the attack, dealt out anew. Likely mistake: noise of the same "
        "length, or numbers drawn with replacement.",
    )
    expect(
        largest <= 1,
        f"pixels reach {largest:.3g}; the box is [-1, 1]. Likely mistake: the sign is free only where both signs fit.",
    )
    places = [(found[n][:, None] - sizes[n]).abs().argmin(1) for n in range(3)]
    expect(
        all(place.tolist() != list(range(72)) for place in places),
        "every number is where it was. Likely mistake: only the signs are random.",
    )
    expect(
        len({tuple(place.tolist()) for place in places}) == 3,
        "all images are dealt in the same order. Likely mistake: one randperm for the batch.",
    )
    expect(
        all(len(set(((place - torch.arange(72)) % 72).tolist())) > 5 for place in places),
        "all numbers have moved equally far. Likely mistake: a rotation (roll); a random order is asked.",
    )
    expect(
        any(sorted(place[:36].tolist()) != list(range(36)) for place in places),
        "the channels are dealt each for itself; all numbers of an image are dealt together.",
    )
    size = (changed - x).abs()
    free = (x + size <= 1) & (x - size >= -1)
    before = torch.cat([r[n].sign().flatten()[place] for n, place in enumerate(places)]).view_as(x)
    expect(
        not bool(((changed - x).sign() == before)[free].all()),
        "the numbers have kept their signs. Likely mistake: r is dealt out, not |r|.",
    )
    for half, where in ((x < 0, "dark"), (x >= 0, "bright")):
        up = float((changed > x)[free & half].double().mean())
        expect(
            0.25 < up < 0.75,
            f"at {where} pixels where both signs fit, {up:.0%} of the changes are upwards; half of them should be. "
            "Likely mistake: there is no chance in the sign, or not for all.",
        )
    again = shuffled_control(x.clone(), r.clone(), torch.Generator().manual_seed(62))
    expect(
        torch.equal(torch.as_tensor(again), changed),
        "a generator with the same seed gave another control. Likely mistake: the generator is not used everywhere; "
        "pass generator=generator.",
    )
    second = torch.as_tensor(shuffled_control(x.clone(), r.clone(), torch.Generator().manual_seed(63)))
    expect(
        not torch.equal(second, changed),
        "a generator with another seed gave the same control. Likely mistake: a seed inside the function.",
    )


@visible("7, share", "misread, of those right before")
def check_misread_share(misread_share: Callable[..., Any]) -> None:
    labels = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7])
    before = torch.tensor([0, 1, 2, 3, 4, 5, 0, 0])
    after = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 0], [0, 1, 2, 3, 9, 9, 9, 9], [9, 9, 9, 9, 9, 5, 6, 7]])
    right = before == labels
    moved = (after != before).double()
    wrong = {
        "those that were misread before count too": (after != labels).double().mean(1),
        "divided by all images; divide by those that were right before": ((after != labels) & right).double().sum(1)
        / 8,
        "the share that is still right": (after == labels)[:, right].double().mean(1),
        "every changed answer counts, also of those that were misread before": moved.mean(1),
        "how many, not which share": ((after != labels) & right).double().sum(1),
        "the difference of the two error rates; an image that the attack puts right would count against it": (
            (after != labels).double().mean(1) - (~right).double().mean()
        ),
        "the mistakes are divided by those that were right before, but all mistakes count": (
            (after != labels).double().sum(1) / right.sum()
        ),
    }
    got = misread_share(before, after, labels)
    expect_shape("the shares", got, (3,), {(): "one share for each attack", (8,): "the mean runs over the images"})
    expect_close("the row of shares", got, torch.tensor([0.0, 2 / 6, 5 / 6]).double(), mistakes=wrong)
    expect(
        torch.as_tensor(got).dtype == torch.float64, f"the shares are {torch.as_tensor(got).dtype}, not torch.float64."
    )
    none = misread_share((labels + 1) % 8, after, labels)
    expect_shape("the shares where none was right", none, (3,))
    expect(
        bool(torch.as_tensor(none).isnan().all()),
        f"where none was right before the shares are {torch.as_tensor(none).tolist()}, expected nan: nobody is left to "
        "fool.",
    )


# ------------------------------------------------------------------------------------------ task 8


def jacobians(phi: nn.Module, x: Tensor) -> Tensor:
    """The Jacobian at each image, (N, K, D), one backward pass for each of the K features."""
    leaf = x.detach().clone().requires_grad_()
    y = phi(leaf).flatten(1)
    rows = [torch.autograd.grad(y[:, k].sum(), leaf, retain_graph=True)[0].flatten(1) for k in range(y.shape[1])]
    return torch.stack(rows, dim=1)


@visible("8, stretches", "the steepest directions")
def check_stretches(stretches: Callable[..., Any]) -> None:
    phi = small_net(70, channels=2)[:2]
    x = (0.6 * draw(71, 2, 2, 4, 4)).clamp(-1, 1)
    J = jacobians(phi, x)
    exact = torch.linalg.svdvals(J)[:, :3]
    given = x.clone()
    with warnings.catch_warnings():  # torch's own, when something is used for the first time
        warnings.simplefilter("ignore", FutureWarning)
        got = stretches(phi, given, 3, 24, torch.Generator().manual_seed(72))
    expect_shape("the stretches", got, (2, 3), {(3,): "one row for each image", (3, 2): "images first: (N, k)"})
    got = torch.as_tensor(got)
    wrong = {
        "these are eigenvalues of J^T J, the squares; their roots are asked": exact**2,
        "all columns have turned to the steepest direction: orth is missing": exact[:, :1].expand(2, 3),
        "one Jacobian for the whole batch; every image has its own": exact.norm(dim=0).expand(2, 3),
        "the smallest come first": exact.flip(1),
        "the roots of the stretches: one root too many": exact.sqrt(),
    }
    expect(bool(torch.isfinite(got).all()), "the stretches hold NaN or infinity. Likely mistake: orth is missing.")
    expect_close("the block of stretches", got.detach(), exact, rtol=0.02, mistakes=wrong)
    expect(not got.requires_grad, "the stretches still hang on a graph. Likely mistake: .detach() is missing.")
    unchanged("stretches", {"x": x}, {"x": given})
    _at_rest("stretches", phi)
    few = torch.as_tensor(stretches(phi, x, 3, 1, torch.Generator().manual_seed(73))).detach()
    expect(
        bool((few <= exact * (1 + 1e-6)).all()),
        "after one step a stretch is larger than the singular value itself, which cannot be. Likely mistake: the last "
        "V is not made orthonormal, or divided by the wrong length.",
    )


@visible("8, certified", "what cannot be fooled")
def check_certified(certified: Callable[..., Any]) -> None:
    scores = torch.tensor([[3.0, 1.0, -2.0], [0.0, 4.0, 5.0], [-7.0, -3.0, -9.0], [1.0, 1.0, 0.0]]).double()
    labels, lipschitz = torch.tensor([0, 1, 1, 0]), 3.0
    margin = torch.tensor([2.0, -1.0, 4.0, 0.0]).double()
    expected = margin.clamp(min=0) / (math.sqrt(2) * lipschitz)
    far = torch.tensor([5.0, 4.0, 6.0, 1.0]).double()
    wrong = {
        "the root of 2 is missing": margin.clamp(min=0) / lipschitz,
        "2 in place of its root": margin.clamp(min=0) / 2 / lipschitz,
        "multiplied by the root of 2": margin.clamp(min=0) * math.sqrt(2) / lipschitz,
        "the Lipschitz constant is missing": margin.clamp(min=0) / math.sqrt(2),
        "multiplied by the Lipschitz constant; a steep net can promise less": margin.clamp(min=0)
        * lipschitz
        / math.sqrt(2),
        "negative where the net does not say y; there it is 0": margin / (math.sqrt(2) * lipschitz),
        "the size of the margin, also where the net does not say y": margin.abs() / (math.sqrt(2) * lipschitz),
        "the farthest class; the nearest one is the danger": far / (math.sqrt(2) * lipschitz),
        "y's score is replaced by 0 before the maximum: where all scores are negative, 0 wins": (
            scores.gather(1, labels[:, None])[:, 0]
            - scores.masked_fill(torch.nn.functional.one_hot(labels, 3).bool(), 0).amax(1)
        ).clamp(min=0)
        / (math.sqrt(2) * lipschitz),
        "y itself is among the k: its margin is 0": torch.zeros(4).double(),
        "the score itself in place of its lead": scores.gather(1, labels[:, None])[:, 0].clamp(min=0)
        / (math.sqrt(2) * lipschitz),
    }
    given = {"scores": scores.clone(), "labels": labels.clone()}
    got = certified(given["scores"], given["labels"], lipschitz)
    expect_shape(
        "the lengths", got, (4,), {(4, 3): "one for each class; the least of them is asked", (): "one for each image"}
    )
    expect_close("the row of lengths", got, expected, mistakes=wrong)
    unchanged("certified", {"scores": scores, "labels": labels}, given)
