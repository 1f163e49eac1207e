"""The visible checks of problem set 07, synthesis by repeating statistics.

Each check takes the student's own function, tries it on one small example and, where the result is wrong, compares it
with what the usual mistakes would have given. References are loops over places, dense matrices, counting, and closed
forms. `checks.fresh(1)`, `checks.fresh(2)`, … are the seeds of the hidden tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.checks.core import draw, expect, expect_close, expect_shape, expect_tensor, parts_of, unchanged, visible
from course_lib.checks.core import fresh as fresh  # for the hidden tests
from course_lib.checks.core import when_done as when_done  # for the cells that only show something


def some_maps(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Numbers with a mean of about 0.3 and a deviation of 1, float64."""
    return 0.3 + torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ------------------------------------------------------------------------------------------ task 1


def _both(F: Tensor, shift: tuple[int, int]) -> tuple[tuple[Any, ...], tuple[Any, ...], int]:
    """Where k is, where k + shift is, and how many there are."""
    (height, width), (down, across) = F.shape[2:], shift
    here = (..., slice(max(0, -down), height - max(0, down)), slice(max(0, -across), width - max(0, across)))
    there = (..., slice(max(0, down), height - max(0, -down)), slice(max(0, across), width - max(0, -across)))
    return here, there, (height - abs(down)) * (width - abs(across))


def _shifted(F: Tensor, shift: tuple[int, int]) -> Tensor:
    here, there, n = _both(F, shift)
    return torch.einsum("nchw,ndhw->ncd", F[here], F[there]) / n


@visible("1, values", "a Gram matrix at a distance")
def check_shifted_gram(shifted_gram: Callable[..., Any]) -> None:
    F, shift = 0.3 + draw(0, 2, 3, 4, 5), (1, -2)
    here, _, n = _both(F, shift)
    expected = _shifted(F, shift)
    wrong = {
        "the matrix is transposed, or, which is the same, the shift has the wrong sign: the first index is that of the "
        "place which is not moved": expected.mT,
        "the shift has the wrong sign downwards": _shifted(F, (-1, -2)),
        "the shift has the wrong sign across": _shifted(F, (1, 2)),
        "down and across are exchanged": _shifted(F, (-2, 1)),
        "divided by all places; only those count whose partner is in the image": expected * n / 20,
        "a sum over the places; a mean is asked": expected * n,
        "the image is joined at its borders; places without a partner are left out": torch.einsum(
            "nchw,ndhw->ncd", F, F.roll((-1, 2), (2, 3))
        )
        / 20,
        "the plain Gram matrix, without the shift": _shifted(F, (0, 0)),
        "both filters are taken at the same places": torch.einsum("nchw,ndhw->ncd", F[here], F[here]) / n,
    }
    shapes = {(3, 3): "the images are averaged too; one matrix for each image"}
    given = F.clone()
    got = shifted_gram(given, shift)
    expect_tensor("G(δ)", got)
    expect_shape("G(δ)", got, (2, 3, 3), shapes)
    expect_close("G(δ)", got, expected, mistakes=wrong)
    unchanged("shifted_gram", {"F": F}, {"F": given})
    for shift in ((-1, 2), (0, 3), (0, 0)):
        expect_close(f"G(δ) for δ = {shift}", shifted_gram(F, shift), _shifted(F, shift))


@visible("1, slope", "its slope by hand")
def check_shifted_gram_slope(shifted_gram_slope: Callable[..., Any]) -> None:
    F, wanted, shift = 0.3 + draw(1, 2, 3, 4, 5), draw(2, 2, 3, 3), (1, -2)

    def tried(shift: tuple[int, int]) -> Any:
        try:
            with torch.no_grad():
                return shifted_gram_slope(F.clone(), wanted.clone(), shift)
        except RuntimeError as error:
            expect(
                "grad" not in str(error),
                "it asks autograd, and here autograd is off. Write the slope down by hand: a place is in the sum once "
                "as k and once as k + δ.",
            )
            raise

    def slope(shift: tuple[int, int], first: float = 1.0, second: float = 1.0, turn: bool = False) -> Tensor:
        here, there, n = _both(F, shift)
        off = _shifted(F, shift) - wanted
        found = torch.zeros_like(F)
        found[here] += first * torch.einsum("ncd,ndhw->nchw", off.mT if turn else off, F[there])
        found[there] += second * torch.einsum("ncd,nchw->ndhw", off.mT if turn else off, F[here])
        return 2 * found / n

    expected = slope(shift)
    here, there, n = _both(F, shift)
    symmetric = torch.zeros_like(F)
    symmetric[here] += 2 * torch.einsum("ncd,ndhw->nchw", _shifted(F, shift) - wanted, F[there])
    wrong = {
        "only the role of k; each place is k + δ as well": slope(shift, second=0.0),
        "only the role of k + δ; each place is k as well": slope(shift, first=0.0),
        "twice the role of k, as if the matrix were symmetric": 2 * symmetric / n,
        "G - Ĝ is transposed": slope(shift, turn=True),
        "the sign: this is the way down": -expected,
        "the 2 of the square is missing, or a mean over the two images was taken": expected / 2,
        "not divided by the number of places": expected * n,
        "divided by all places; only those count whose partner is in the image": expected * n / 20,
        "4 in place of 2: the two roles are already added": 2 * expected,
    }
    got = tried(shift)
    expect_tensor("the slope", got)
    expect_shape("the slope", got, (2, 3, 4, 5))
    expect_close("the slope", got, expected, mistakes=wrong)
    for shift in ((-2, 1), (0, 0)):
        expect_close(f"the slope for δ = {shift}", tried(shift), slope(shift))
    given = {"F": F.clone(), "wanted": wanted.clone()}
    with torch.no_grad():
        shifted_gram_slope(given["F"], given["wanted"], (1, 0))
    unchanged("shifted_gram_slope", {"F": F, "wanted": wanted}, given)


# ------------------------------------------------------------------------------------------ task 2


@visible("2, AdaIN", "mean and deviation moved")
def check_adain(adain: Callable[..., Any]) -> None:
    F, S, eps = 0.4 + draw(10, 2, 3, 4, 5), 2 * draw(11, 2, 3, 3, 2) - 1, 0.1
    places = (2, 3)

    def moved(axes: tuple[int, ...] = places, correction: int = 0, eps: float = eps, outside: bool = False) -> Tensor:
        v, m = torch.var_mean(F, dim=axes, correction=correction, keepdim=True)
        u, mean = torch.var_mean(S, dim=axes, correction=correction, keepdim=True)
        gain = (u.sqrt() + eps) / (v.sqrt() + eps) if outside else ((u + eps) / (v + eps)).sqrt()
        return gain * (F - m) + mean

    v, m = torch.var_mean(F, dim=places, correction=0, keepdim=True)
    u, mean = torch.var_mean(S, dim=places, correction=0, keepdim=True)
    wrong = {
        "n - 1 in the variance; n is asked": moved(correction=1),
        "statistics over the whole batch; each image has its own": moved((0, 2, 3)),
        "statistics over the filters too; each filter has its own": moved((1, 2, 3)),
        "eps is added to the deviations; to the variances is asked": moved(outside=True),
        "eps is missing": moved(eps=0.0),
        "eps is added to the variance of the content only": (u / (v + eps)).sqrt() * (F - m) + mean,
        "divided by the variance, not by its root": (u + eps) / (v + eps) * (F - m) + mean,
        "the mean of the content is not taken off": ((u + eps) / (v + eps)).sqrt() * F + mean,
        "the mean of the style is not added": ((u + eps) / (v + eps)).sqrt() * (F - m),
        "the means are moved, the deviations not": F - m + mean,
        "content and style are exchanged in the deviations": ((v + eps) / (u + eps)).sqrt() * (F - m) + mean,
        "only normalised, without the style's deviation": (F - m) / (v + eps).sqrt() + mean,
    }
    shapes = {(2, 3, 3, 2): "the style was moved; the content is asked"}
    given = {"F": F.clone(), "S": S.clone()}
    got = adain(given["F"], given["S"], eps)
    expect_tensor("F'", got)
    expect_shape("F'", got, (2, 3, 4, 5), shapes)
    expect_close("F'", got, moved(), mistakes=wrong)
    unchanged("adain", {"F": F, "S": S}, given)


@visible("2, nearest", "the nearest maps of a Gram matrix")
def check_nearest_maps(nearest_maps: Callable[..., Any]) -> None:
    F, style = 0.3 + draw(12, 2, 3, 3, 4), draw(13, 2, 3, 20) * torch.tensor([0.5, 1.0, 2.0]).double()[:, None]
    wanted = style @ style.mT / 20
    values, vectors = torch.linalg.eigh(wanted)
    root = (vectors * values.sqrt()[:, None]) @ vectors.mT
    flat = F.flatten(2)

    def nearest(size: float = 12.0, root: Tensor = root) -> Tensor:
        U, _, Vt = torch.linalg.svd(root @ flat, full_matrices=False)
        return (math.sqrt(size) * root @ U @ Vt).view_as(F)

    own_values, own = torch.linalg.eigh(flat @ flat.mT / 12)
    white = (own / own_values.sqrt()[:, None]) @ own.mT @ flat
    wrong = {
        "the root of n is missing: the Gram matrix is a mean over the places": nearest(1.0),
        "n in place of its root": nearest(144.0),
        "the Gram matrix in place of its root": nearest(root=wanted),
        "F is made white and coloured anew: that has the Gram matrix, and is not the nearest": (root @ white).view_as(
            F
        ),
        "Q alone, without the root A": (
            math.sqrt(12)
            * torch.linalg.svd(root @ flat, full_matrices=False).U
            @ torch.linalg.svd(root @ flat, full_matrices=False).Vh
        ).view_as(F),
    }
    shapes = {(2, 3, 12): "the places are still in one row; the shape of F is asked"}
    given = {"F": F.clone(), "wanted": wanted.clone()}
    got = nearest_maps(given["F"], given["wanted"])
    expect_tensor("F'", got)
    expect_shape("F'", got, (2, 3, 3, 4), shapes)
    found = torch.as_tensor(got).flatten(2)
    expect_close(
        "the Gram matrix of F'",
        found @ found.mT / 12,
        wanted,
        rtol=1e-4,
        mistakes=lambda: {
            text: maps.flatten(2) @ maps.flatten(2).mT / 12
            for text, maps in wrong.items()
            if "not the nearest" not in text
        },
    )
    expect_close("F'", got, nearest(), rtol=1e-4, mistakes=wrong)
    unchanged("nearest_maps", {"F": F, "wanted": wanted}, given)
    silent = style.clone()
    silent[:, 1] = 0
    try:
        found = torch.as_tensor(nearest_maps(F.clone(), silent @ silent.mT / 20)).flatten(2)
    except RuntimeError:  # torch.linalg.LinAlgError is one
        found = torch.full((2, 3, 12), torch.nan)
    expect(
        bool(torch.isfinite(found).all()) and torch.allclose(found @ found.mT / 12, silent @ silent.mT / 20, atol=1e-6),
        "where a filter of the wanted Gram matrix is silent, F' does not have it. Likely mistake: an inverse, a "
        "Cholesky factor, or the root of an eigenvalue a little below 0.",
    )


# ------------------------------------------------------------------------------------------ task 3


def some_pairs(seed: int, pairs: int, count: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """A slope (count, size), and moves and turns (pairs, count, size) of a quadratic function for each; float64."""
    draws = torch.Generator().manual_seed(seed)
    root = torch.randn(count, size, size, generator=draws, dtype=torch.float64)
    curved = root @ root.mT / size + 0.5 * torch.eye(size, dtype=torch.float64)
    g = torch.randn(count, size, generator=draws, dtype=torch.float64)
    moves = torch.randn(pairs, count, size, generator=draws, dtype=torch.float64)
    return g, moves, torch.einsum("nij,knj->kni", curved, moves)


def some_lines(seed: int, count: int) -> tuple[Callable[[Tensor], tuple[Tensor, Tensor]], Tensor, Tensor]:
    """A function of steps (count,) that returns values and slopes, and both at 0: parabolas of very different widths.

    Of seven, the second falls for ever, the third has no value (NaN) beyond some step, the fourth is a power of four,
    the fifth is lower at t = 1 than at 0, but by less than the ten thousandth part of what its slope promises, the
    sixth is low enough at t = 1/2 by a little, and the seventh is a valley with two straight sides, hit by few steps.
    """
    draws = torch.Generator().manual_seed(seed)
    value = torch.randn(count, generator=draws, dtype=torch.float64)
    slope = -0.1 - torch.rand(count, generator=draws, dtype=torch.float64)
    curve = 10 ** (5 * torch.rand(count, generator=draws, dtype=torch.float64) - 2.5)
    wall = 3 * torch.rand(count, generator=draws, dtype=torch.float64)
    kind = torch.arange(count) % 7
    curve = torch.where(kind == 4, -slope * (1 - 5e-5), curve)
    curve = torch.where(kind == 5, -slope * 2 * (1 - 1.4e-4), curve)
    floor = 1.1 + wall / 2

    def line(t: Tensor) -> tuple[Tensor, Tensor]:
        t = t.to(value)
        power = torch.where(kind == 3, 4, 2).to(value)
        bend = torch.where(kind == 1, 0, curve)
        values = value + slope * t + bend * t**power
        slopes = slope + power * bend * t ** (power - 1)
        behind = (t - floor).clamp(min=0)
        values = torch.where(kind == 6, value + slope * t - 10 * slope * behind, values)
        slopes = torch.where(kind == 6, torch.where(behind > 0, -9 * slope, slope), slopes)
        return torch.where((kind == 2) & (t > wall), torch.nan, values), slopes

    return line, value, slope


def _dense(g: Tensor, moves: Tensor, turns: Tensor, how: str = "") -> Tensor:
    """-H g by the matrices themselves, (N, D), or with a mistake."""
    found, eye = torch.zeros_like(g), torch.eye(g.shape[1]).double()
    for n in range(len(g)):
        pairs = [(s[n], y[n]) for s, y in zip(moves, turns, strict=True)]
        pairs = [(s, y) for s, y in pairs if s @ y > 1e-10 * (y @ y) or (how == "all count" and s @ y < 0)]
        if how == "one for all" and bool(((moves * turns).sum(2) <= 0).any()):
            counts = ((moves * turns).sum(2) > 0).all(1)
            pairs = [(s[n], y[n]) for s, y, good in zip(moves, turns, counts, strict=True) if good]
        gamma = torch.ones(())
        if pairs and how != "no gamma":
            s, y = pairs[0] if how == "oldest gamma" else pairs[-1]
            gamma = (s @ s) / (s @ y) if how == "long gamma" else (s @ y) / (y @ y)
            gamma = 1 / gamma if how == "inverse gamma" else gamma
        if how == "backwards":
            pairs = pairs[::-1]
        H = gamma * eye
        for s, y in pairs:
            rho = 1 / (s @ y)
            H = (eye - rho * torch.outer(s, y)) @ H @ (eye - rho * torch.outer(y, s))
            H = H if how == "no last term" else H + rho * torch.outer(s, s)
        found[n] = H @ g[n] if how == "uphill" else -H @ g[n]
    return found


@visible("3, direction", "the direction of L-BFGS")
def check_direction(direction: Callable[..., Any]) -> None:
    g, moves, turns = some_pairs(20, 3, 2, 5)
    expected = _dense(g, moves, turns)

    def mistakes() -> dict[str, Tensor]:
        return {
            "the sign: this is the way up": _dense(g, moves, turns, "uphill"),
            "the pairs are used in the wrong order: H is improved from the oldest to the newest": _dense(
                g, moves, turns, "backwards"
            ),
            "gamma is missing": _dense(g, moves, turns, "no gamma"),
            "gamma is that of the oldest pair": _dense(g, moves, turns, "oldest gamma"),
            "gamma is upside down": _dense(g, moves, turns, "inverse gamma"),
            "gamma is sᵀs / sᵀy; sᵀy / yᵀy is asked": _dense(g, moves, turns, "long gamma"),
            "only the first loop; the term with s sᵀ is missing": _halfway(g, moves, turns),
            "s and y are exchanged": _dense(g, turns, moves),
            "the slope itself, without the pairs": -g,
        }

    given = {"g": g.clone(), "moves": moves.clone(), "turns": turns.clone()}
    got = direction(*given.values())
    expect_tensor("the direction", got)
    expect_shape("the direction", got, (2, 5))
    expect_close("the direction", got, expected, mistakes=mistakes)
    unchanged("direction", {"g": g, "moves": moves, "turns": turns}, given)
    turns[2, 0], turns[1, 1] = -turns[2, 0], 0
    expect_close(
        "the direction where one pair does not count for the first image, and another not for the second",
        direction(g, moves, turns),
        _dense(g, moves, turns),
        mistakes=lambda: {
            "a pair counts for all images or for none; each image decides for itself": _dense(
                g, moves, turns, "one for all"
            ),
            "a pair with sᵀy below 0 counts, too": _dense(g, moves, turns, "all count"),
            "gamma comes from a pair that does not count": _gamma_of_any(g, moves, turns),
        },
    )
    small = 1e-6 * moves[:, :1], 1e-6 * turns[:, :1]
    expect_close(
        "the direction where all moves and turns are a million times smaller",
        direction(g[:1], *small),
        _dense(g[:1], *small),
        mistakes=lambda: {"sᵀy is compared with a fixed number; with 10⁻¹⁰ yᵀy is asked": -g[:1]},
    )
    s, y = moves[-1:, :1], turns[-1:, :1]
    y = y - (s * y).sum() / (s * s).sum() * s
    y = y + 1e-12 * (y * y).sum() / (s * s).sum() * s
    expect_close(
        "the direction where the only pair has sᵀy = 10⁻¹² yᵀy, so that it does not count",
        direction(g[:1], s, y),
        -g[:1],
    )
    expect_close("the direction without pairs", direction(g, moves[:0], turns[:0]), -g)


def _halfway(g: Tensor, moves: Tensor, turns: Tensor) -> Tensor:
    """The first of the two loops alone, and gamma."""
    q = g
    for s, y in zip(moves.flip(0), turns.flip(0), strict=True):
        q = q - ((s * q).sum(1) / (s * y).sum(1))[:, None] * y
    return -((moves[-1] * turns[-1]).sum(1) / turns[-1].square().sum(1))[:, None] * q


def _gamma_of_any(g: Tensor, moves: Tensor, turns: Tensor) -> Tensor:
    """The direction where only gamma is taken from the newest pair, whether it counts or not."""
    found = torch.zeros_like(g)
    for n in range(len(g)):
        s, y = moves[-1, n], turns[-1, n]
        H = (s @ y) / (y @ y) * torch.eye(g.shape[1]).double()
        for s, y in zip(moves[:, n], turns[:, n], strict=True):
            if s @ y > 1e-10 * (y @ y):
                change = torch.eye(g.shape[1]).double() - torch.outer(s, y) / (s @ y)
                H = change @ H @ change.T + torch.outer(s, s) / (s @ y)
        found[n] = -H @ g[n]
    return found


def _searched(
    line: Callable[[Tensor], tuple[Tensor, Tensor]], value: Tensor, slope: Tensor, tries: int, how: str = ""
) -> Tensor:
    """The steps that halving finds, or with a mistake."""
    t, low, high = torch.ones_like(value), torch.zeros_like(value), torch.full_like(value, torch.inf)
    for _ in range(tries):
        values, slopes = line(t)
        least = 0 if how == "only lower" else 1e-4
        enough = values <= value + least * (1 if how == "no t" else t) * slope
        if how == "NaN":
            enough |= values.isnan()
        flat = slopes.abs() <= 0.9 * slope.abs() if how == "strong" else slopes >= 0.9 * slope
        flat = slopes <= 0.9 * slope if how == "steep" else torch.ones_like(flat) if how == "Armijo" else flat
        done = enough & flat
        if how == "one for all":
            done = done.all().expand(len(t))
        if bool(done.all()):
            break
        high = torch.where(enough, high, t)
        low = torch.where(enough & ~done, t, low)
        longer = t + 1 if how == "plus one" else 2 * low
        middle = t / 2 if how == "half of t" else (low + high) / 2
        t = torch.where(done, t, torch.where(high.isinf(), longer, middle))
    return t if how == "last" else torch.where(done, t, 0 * low if how == "zero" else low)


@visible("3, step", "a step that is low and flat enough")
def check_wolfe(wolfe: Callable[..., Any]) -> None:
    line, value, slope = some_lines(24, 8)
    calls = []

    def counted(t: Any) -> tuple[Tensor, Tensor]:
        expect_shape("what `line` is called with", t, (8,))
        calls.append(t)
        return line(torch.as_tensor(t).detach().clone())

    expected = _searched(line, value, slope, 20)
    given = {"value": value.clone(), "slope": slope.clone()}
    got = wolfe(counted, given["value"], given["slope"], 20)
    ways = {
        "the second condition is missing": "Armijo",
        "lower than φ(0) is not low enough; the slope has a say, by 10⁻⁴": "only lower",
        "the 10⁻⁴ φ'(0) of the first condition is to be multiplied by t": "no t",
        "a value of NaN is not low enough": "NaN",
        "flat enough means a slope of at least 0.9 φ'(0), not at most": "steep",
        "the second condition bounds |φ'|; here a positive slope is flat enough": "strong",
        "an image that is done must keep its t while others go on": "one for all",
        "twice as long: 2·low is asked, not t + 1": "plus one",
        "the middle of low and high is asked, not half of t": "half of t",
        "an image that is not done gets its low, not the last t": "last",
        "an image that is not done gets its low, not 0": "zero",
    }

    def mistakes() -> dict[str, Tensor]:
        return {text: _searched(line, value, slope, 20, how).nan_to_num(-1) for text, how in ways.items()}

    expect_tensor("t", got)
    expect_shape("t", got, (8,))
    expect_close("t (NaN as -1)", torch.as_tensor(got).nan_to_num(-1), expected, mistakes=mistakes)
    unchanged("wolfe", {"value": value, "slope": slope}, given)
    expect(len(calls) <= 20, f"`line` is called {len(calls)} times, where 20 tries were allowed.")
    calls.clear()
    easy, start, down = (lambda t: (0.5 * (t - 2) ** 2 - 2, t - 2)), torch.zeros(8).double(), torch.full((8,), -2.0)

    def also_counted(t: Any) -> tuple[Tensor, Tensor]:
        calls.append(t)
        return easy(torch.as_tensor(t))

    got = wolfe(also_counted, start, down.double(), 20)
    expect_close("t where 1 is good for all", got, torch.ones(8))
    expect(
        len(calls) == 1, f"all images are done after the first try, and `line` is called {len(calls)} times. Stop then."
    )


# ------------------------------------------------------------------------------------------ task 4


def _staircases(a: Tensor, b: Tensor) -> Tensor:
    """∫ (a(u) - b(u))² du of sorted rows (K, n) and (K, m), by n m pieces of equal mass, (K,)."""
    n, m = a.shape[1], b.shape[1]
    return (a.repeat_interleave(m, 1) - b.repeat_interleave(n, 1)).square().mean(1)


@visible("4, distance", "two clouds, slice by slice")
def check_sliced(sliced: Callable[..., Any]) -> None:
    f, g, w = 0.3 + draw(30, 3, 6), 2 * draw(31, 3, 4) - 0.5, draw(32, 5, 3)
    a, b = (w @ f).sort(1).values, (w @ g).sort(1).values
    expected = _staircases(a, b)
    unit = w / w.norm(dim=1, keepdim=True)
    at = torch.tensor([0, 1, 3, 5])
    first, second = torch.tensor([0, 1, 1, 2, 3, 4, 4, 5]), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])  # of the 8 pieces
    wrong = {
        "the directions are made as long as 1; they are used as they are": _staircases(
            (unit @ f).sort(1).values, (unit @ g).sort(1).values
        ),
        "the longer sample is cut off": (a[:, :4] - b).square().mean(1),
        "the longer sample is thinned out; every number has its mass": (a[:, at] - b).square().mean(1),
        "not sorted: place k is compared with place k": _staircases(w @ f, w @ g),
        "the root; the square is asked": expected.sqrt(),
        "the differences are not squared": (a.repeat_interleave(4, 1) - b.repeat_interleave(6, 1)).abs().mean(1),
        "every piece between two steps counts alike; they are of different length": (
            (a[:, first] - b[:, second]).square().mean(1)
        ),
        "a sum over the pieces; each counts with its mass": 24 * expected,
        "the difference of the means only": (a.mean(1) - b.mean(1)).square(),
        "all pairs of numbers; each mass is carried to one place": (a[:, :, None] - b[:, None]).square().mean((1, 2)),
    }
    shapes = {
        (): "the mean over the directions; one number for each",
        (3,): "the filters are the directions; project first",
    }
    given = {"f": f.clone(), "g": g.clone(), "directions": w.clone()}
    got = sliced(*given.values())
    expect_tensor("W²", got)
    expect_shape("W²", got, (5,), shapes)
    expect_close("W²", got, expected, mistakes=wrong)
    unchanged("sliced", {"f": f, "g": g, "directions": w}, given)
    for n, m in ((5, 5), (2, 6), (1, 3)):
        f, g = draw(33, 3, n), draw(34, 3, m)
        expect_close(
            f"W² for {n} and {m} places", sliced(f, g, w), _staircases((w @ f).sort(1).values, (w @ g).sort(1).values)
        )
    expect(
        bool(getattr(sliced(f.requires_grad_(), g, w), "requires_grad", False)),
        "W² has no slope in f. Likely mistake: .detach(), .item(), .tolist() or no_grad.",
    )


def _transferred(f: Tensor, g: Tensor, bases: Tensor, how: str = "") -> Tensor:
    first = f
    for B in bases:
        turned = B if how != "columns" else B.T
        p, q = turned @ (first if how == "from the first" else f), turned @ g
        order = p.argsort(1) if how == "ranks" else p.argsort(1).argsort(1)
        if how == "order of g":
            p = p.sort(1).values.gather(1, q.argsort(1).argsort(1))
        else:
            p = q.sort(1).values.gather(1, order)
        f = p if how == "not back" else turned.T @ p
        if how == "first basis":
            break
    return f


@visible("4, transfer", "a distribution moved")
def check_transfer(transfer: Callable[..., Any]) -> None:
    f, g = 0.3 + draw(35, 3, 7), 2 * draw(36, 3, 7) - 0.5
    bases = torch.linalg.qr(draw(37, 2, 3, 3)).Q
    ways = {
        "the places in sorted order in place of the ranks: argsort once more": "ranks",
        "the axes are the rows of B, not its columns": "columns",
        "not turned back": "not back",
        "each basis begins with the first f; it goes on from what the one before has made": "from the first",
        "only the first basis": "first basis",
        "f's numbers are put in the order of g; g's numbers in the order of f are asked": "order of g",
    }
    given = {"f": f.clone(), "g": g.clone(), "bases": bases.clone()}
    got = transfer(*given.values())
    expect_tensor("the new f", got)
    expect_shape("the new f", got, (3, 7))
    expect_close(
        "the new f",
        got,
        _transferred(f, g, bases),
        mistakes=lambda: {text: _transferred(f, g, bases, how) for text, how in ways.items()},
    )
    unchanged("transfer", {"f": f, "g": g, "bases": bases}, given)


# ------------------------------------------------------------------------------------------ task 5

Layers = list[tuple[Any, ...]]


def some_layers(seed: int, *, sparse: bool = False) -> tuple[Layers, int]:
    """Two to five layers, and how many inputs they get; where sparse, strides may be longer than their filters."""
    draws = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=draws))

    layers: Layers = []
    length = now = number(6, 16)
    for _ in range(number(2, 5)):
        if number(0, 2) == 0 and now < 40:
            layers.append(("up", number(2, 3)))
            now *= layers[-1][1]
            continue
        size = number(1, min(4, now))
        stride, padding = number(1, size + 1 if sparse else size), number(0, size - 1)
        layers.append(("conv", size, stride, padding))
        now = (now + 2 * padding - size) // stride + 1
    return layers, length


def dependence(layers: Layers, length: int) -> Tensor:
    """Which output depends on which input, (outputs, inputs), bool: one matrix for each layer, multiplied."""
    whole = torch.eye(length, dtype=torch.float64)
    for kind, size, *rest in layers:
        if kind == "up":
            whole = whole.repeat_interleave(size, 0)
            continue
        stride, padding = rest
        outputs = (len(whole) + 2 * padding - size) // stride + 1
        reads = torch.zeros(outputs, len(whole), dtype=torch.float64)
        for o in range(outputs):
            reads[o, max(o * stride - padding, 0) : max(o * stride - padding + size, 0)] = 1
        whole = ((reads @ whole) > 0).double()
    return whole > 0


def _range(row: Tensor) -> tuple[int, int] | None:
    places = row.nonzero()[:, 0].tolist()
    return (places[0], places[-1]) if places else None


_LAYERS: Layers = [("conv", 3, 1, 1), ("conv", 4, 2, 1), ("up", 3), ("conv", 3, 1, 0)]


@visible("5, sees", "what an output sees")
def check_sees(sees: Callable[..., Any]) -> None:
    depends = dependence(_LAYERS, 20)

    def walk(i: int, how: str) -> tuple[int, int]:
        lengths = [20]
        for kind, size, *rest in _LAYERS:
            lengths.append(lengths[-1] * size if kind == "up" else (lengths[-1] + 2 * rest[1] - size) // rest[0] + 1)
        a = b = i
        order = list(zip(_LAYERS, lengths[:-1], strict=True))
        for (kind, size, *rest), inside in order if how == "forwards" else order[::-1]:
            if kind == "up":
                a, b = (a, b) if how == "no up" else (a // size, a // size if how == "one" else b // size)
                continue
            stride, padding = rest
            padding, stride = 0 if how == "no padding" else padding, 1 if how == "no stride" else stride
            a, b = a * stride - padding, b * stride - padding + size - (0 if how == "size" else 1)
            if how != "unbounded":
                a, b = max(a, 0), min(b, inside - 1)
        return a, b

    ways = {
        "the layers are gone through from the first on; from the last one back is asked": "forwards",
        "the padding is forgotten: it shifts what an output reads": "no padding",
        "the stride is forgotten": "no stride",
        "a filter of `size` ends `size` - 1 behind its first input": "size",
        "enlarging is forgotten: it divides the number of the place": "no up",
        "the last place is not divided, too, where the layer enlarges": "one",
        "the range leaves the tensor; padding belongs to no input": "unbounded",
    }
    for i in (10, 5, 0, len(depends) - 1):
        expected = _range(depends[i])
        wrong = {text: walk(i, how) for text, how in ways.items()}
        got = sees(list(_LAYERS), 20, i)
        pair = tuple(int(part) for part in parts_of("sees", got, 2))
        hint = next((text for text, other in wrong.items() if pair == other != expected), "")
        expect(
            pair == expected,
            f"output {i} sees {pair} of 20 inputs, expected {expected}."
            + (f" Likely mistake: {hint}." if hint else ""),
        )


@visible("5, reaches", "what an input reaches")
def check_reaches(reaches: Callable[..., Any]) -> None:
    depends = dependence(_LAYERS, 20)

    def walk(j: int, how: str) -> tuple[int, int]:
        a = b = j
        length = 20
        for kind, size, *rest in _LAYERS:
            if kind == "up":
                a, b, length = a * size, b * size + (0 if how == "first copy" else size - 1), length * size
                continue
            stride, padding = rest
            length = (length + 2 * padding - size) // stride + 1
            padding = 0 if how == "no padding" else padding
            low = a + padding - (0 if how == "no filter" else size - 1)
            a = low // stride if how == "rounded down" else -(-low // stride)
            b = -(-(b + padding) // stride) if how == "rounded up" else (b + padding) // stride
            if how != "unbounded":
                a, b = max(a, 0), min(b, length - 1)
        return a, b

    ways = {
        "the first output is rounded down; the window that begins before it may not reach the input": "rounded down",
        "the last output is rounded up; a window that begins behind the input does not read it": "rounded up",
        "the padding is forgotten": "no padding",
        "the size of the filter is forgotten: windows that begin before the input read it, too": "no filter",
        "only the first of the copies where the layer enlarges": "first copy",
        "the range leaves the tensor": "unbounded",
    }
    for j in (9, 10, 0, 19):
        expected = _range(depends[:, j])
        wrong = {text: walk(j, how) for text, how in ways.items()}
        got = reaches(list(_LAYERS), 20, j)
        expect(
            got is not None,
            f"None came for input {j} of 20, which reaches {expected}. Likely mistake: nothing is returned, or the "
            "size of the filter is forgotten: windows that begin before the input read it, too.",
        )
        pair = tuple(int(part) for part in parts_of("reaches", got, 2))
        hint = next((text for text, other in wrong.items() if pair == other != expected), "")
        expect(
            pair == expected,
            f"input {j} of 20 reaches {pair}, expected {expected}." + (f" Likely mistake: {hint}." if hint else ""),
        )
    got = reaches([("conv", 1, 2, 0), ("conv", 3, 1, 1)], 9, 5)
    expect(
        got is None,
        f"nobody reads input 5 in the first layer, and {got!r} came; None is asked. Likely mistake: whether nothing is "
        "left is looked at behind the last layer only.",
    )
    got = reaches([("conv", 3, 1, 1), ("conv", 1, 2, 0)], 9, 4)
    expect(
        got is not None and tuple(got) == (2, 2),
        f"input 4 reaches 3, 4 and 5, and then (2, 2), since output 2 reads 4; {got!r} came. Likely mistake: only the "
        "ends 3 and 5 are followed.",
    )
    got = reaches([("conv", 2, 3, 0), ("up", 2)], 9, 5)
    expect(got is None, f"with a filter of 2 and a stride of 3 nobody reads input 5, and {got!r} came. None is asked.")


# ------------------------------------------------------------------------------------------ task 6


def small_maps(seed: int, *, channels: int = 2, positive: bool = False) -> nn.Sequential:
    """x (N, channels, H, W) -> maps, float64: convolution, ReLU, convolution, ReLU, mean pooling, convolution.

    Where positive, all weights are more than 0 and there is nothing added, so that dark images end at the first ReLU.
    """
    net = nn.Sequential(
        nn.Conv2d(channels, 3, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1),
    ).double()
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            drawn = torch.randn(weight.shape, generator=draws, dtype=torch.float64) / math.sqrt(9)
            weight.copy_(drawn if not positive else drawn.abs() if weight.ndim > 1 else 0 * drawn)
    return net.eval()


def gram_after(net: nn.Sequential, layer: int, x: Tensor) -> Tensor:
    """The Gram matrices of the maps that layer number `layer` returns, (N, C, C)."""
    flat = net[: layer + 1](x).flatten(2)
    return flat @ flat.mT / flat.shape[2]


def _case() -> tuple[nn.Sequential, list[int], Tensor, list[Tensor]]:
    net, taken = small_maps(40), [1, 3, 5]
    texture = 0.3 + draw(42, 1, 2, 10, 8)
    with torch.no_grad():
        wanted = [gram_after(net, layer, texture)[0] for layer in taken]
    return net, taken, 0.3 + draw(41, 2, 2, 6, 8), wanted


@visible("6, errors", "the error of each layer")
def check_layer_errors(layer_errors: Callable[..., Any]) -> None:
    net, taken, x, wanted = _case()
    grams = [gram_after(net, layer, x) for layer in taken]
    squared = torch.stack([(G - w).square().sum((1, 2)) for G, w in zip(grams, wanted, strict=True)])
    size = torch.stack([w.square().sum() for w in wanted])[:, None]
    places = torch.tensor([48.0, 48.0, 12.0]).double()
    sums = torch.stack([(n * G - w).square().sum((1, 2)) for n, G, w in zip(places, grams, wanted, strict=True)])
    wrong = {
        "not divided by the size of the wanted matrix": squared,
        "divided by the size of the found matrix": squared / torch.stack([G.square().sum((1, 2)) for G in grams]),
        "sums over the places in G; a mean is asked": sums / size,
        "the length, not its square": (squared / size).sqrt(),
        "only the divisor is not squared": squared / size.sqrt(),
        "the mean over the entries is taken above, the sum below": squared
        / torch.tensor([9.0, 16.0, 25.0]).double()[:, None]
        / size,
        "the squared distances are summed over the batch": (squared / size).sum(1, keepdim=True).expand(3, 2),
    }
    shapes = {
        (2, 3): "images come first; layers are asked first",
        (3,): "the images are summed; one number for each",
        (2,): "the layers are summed; one number for each",
    }
    given, leaf = x.clone(), x.clone().requires_grad_()
    got = layer_errors(net, list(taken), given, wanted)
    expect_tensor("the table of errors", got)
    expect_shape("the table of errors", got, (3, 2), shapes)
    expect_close("the table of errors", got, squared / size, mistakes=wrong)
    unchanged("layer_errors", {"x": x}, {"x": given})
    expect(
        bool(getattr(layer_errors(net, list(taken), leaf, wanted), "requires_grad", False)),
        "the errors have no slope in x. Likely mistake: .detach(), .item() or no_grad.",
    )


@visible("6, weights", "weights of equal pull")
def check_equal_pull(equal_pull: Callable[..., Any]) -> None:
    net, taken, x, wanted = _case()
    kept = [p.clone() for p in net.parameters()]

    def slopes(x: Tensor) -> tuple[Tensor, Tensor]:
        """Errors (M, N) and slopes (M, N, D)."""
        leaf = x.clone().requires_grad_()
        errors = torch.stack(
            [
                (gram_after(net, layer, leaf) - w).square().sum((1, 2)) / w.square().sum()
                for layer, w in zip(taken, wanted, strict=True)
            ]
        )
        each = [torch.autograd.grad(error.sum(), leaf, retain_graph=True)[0].flatten(1) for error in errors]
        return errors.detach(), torch.stack(each)

    errors, each = slopes(x)
    length = each.norm(dim=2)

    def shared(part: Tensor) -> Tensor:
        return part / part.sum(0)

    together = length.square().sum(1, keepdim=True).sqrt().expand(3, 2)
    wrong = {
        "in proportion to the pull; the harder a layer pulls, the less it should weigh": shared(length),
        "by the errors, not by their slopes": shared(1 / errors),
        "by the squared lengths of the slopes": shared(1 / length.square()),
        "the weights do not sum to 1": 1 / length,
        "the weights sum to 1 over the images; over the layers is asked": (1 / length) / (1 / length).sum(1, True),
        "one weight for the batch; each image has its own": shared(1 / together),
        "by the sums of |slope|; its length is asked": shared(1 / each.abs().sum(2)),
        "all weights are 1/M": torch.full((3, 2), 1 / 3),
    }
    shapes = {
        (2, 3): "images come first; layers are asked first",
        (3,): "one weight for each layer; each image has its own",
    }
    given = x.clone()
    got = equal_pull(net, list(taken), given, wanted)
    expect_tensor("the table of weights", got)
    expect_shape("the table of weights", got, (3, 2), shapes)
    expect_close("the table of weights", got, shared(1 / length), mistakes=wrong)
    unchanged("equal_pull", {"x": x}, {"x": given})
    expect(not getattr(got, "requires_grad", False), "the weights have a graph. Likely mistake: .detach() is missing.")
    expect(
        all(weight.grad is None for weight in net.parameters())
        and all(torch.equal(a, b) for a, b in zip(kept, net.parameters(), strict=True)),
        "equal_pull has left gradients in the net's weights. Likely mistake: loss.backward() fills every .grad there "
        "is; torch.autograd.grad(loss, x) gives the slope in x alone.",
    )
    expect(
        all(weight.requires_grad for weight in net.parameters()) and not any(m._forward_hooks for m in net.modules()),
        "equal_pull has left the net changed: a weight's requires_grad, or a hook. Put back what you change.",
    )
    dark = small_maps(43, positive=True)
    texture = draw(44, 1, 2, 8, 8).abs()
    with torch.no_grad():
        grams = [gram_after(dark, layer, texture)[0] for layer in (0, 1)]
    x = torch.stack([-draw(45, 2, 6, 6).abs(), torch.zeros(2, 6, 6).double()])
    got = torch.as_tensor(equal_pull(dark, [0, 1], x, grams))
    expect(
        bool(torch.isfinite(got).all()),
        "the weights are NaN or infinite where a layer does not pull. Likely mistake: a slope of length 0 is divided "
        "by; such a layer has the weight 0.",
    )
    expect_close(
        "the table of weights where the second layer does not pull, and where none does,", got, [[1.0, 0.5], [0.0, 0.5]]
    )


# ------------------------------------------------------------------------------------------ task 7


def _precisions(distances: Tensor, labels: Tensor, how: str = "") -> Tensor:
    count = len(labels)
    found = torch.full((count,), torch.nan).double()
    for q in range(count):
        places = distances[:, q] if how == "columns" else distances[q]
        order = places.argsort(descending=how == "farthest").tolist()
        if how == "first":
            order = order[1:]
        elif how != "itself":
            order = [j for j in order if j != q]
        ranks = [i + 1 for i, j in enumerate(order) if labels[j] == labels[q]]
        shares = [(k + 1) / rank for k, rank in enumerate(ranks)]
        if how == "nearest" and ranks:
            found[q] = float(labels[order[0]] == labels[q])
        elif how == "zero" and not ranks:
            found[q] = 0
        elif how == "every rank" and ranks:
            found[q] = sum(sum(r <= i for r in ranks) / i for i in range(1, len(order) + 1)) / len(order)
        elif how == "over all" and ranks:
            found[q] = sum(shares) / len(order)
        elif how == "cut" and ranks:
            found[q] = sum(r <= len(ranks) for r in ranks) / len(ranks)
        elif how == "reciprocal" and ranks:
            found[q] = sum(1 / rank for rank in ranks) / len(ranks)
        elif ranks:
            found[q] = sum(shares) / len(shares)
    return found


@visible("7, values", "average precision")
def check_average_precisions(average_precisions: Callable[..., Any]) -> None:
    draws = torch.Generator().manual_seed(50)
    labels = torch.tensor([0, 1, 2, 0, 1, 0, 1, 1, 0, 3])
    distances = torch.stack([1 + torch.randperm(10, generator=draws) for _ in range(10)]).double()
    distances.fill_diagonal_(0.5)
    ways = {
        "the askers are in the rows": "columns",
        "the farthest come first": "farthest",
        "the asker is in its own list": "itself",
        "only the nearest one is looked at": "nearest",
        "the shares at all ranks; only those where one of the same texture stands": "every rank",
        "divided by the length of the list; by the number of crops of the same texture is asked": "over all",
        "the share among as many as there are of the same texture": "cut",
        "the mean of 1/rank; at the second hit the share is 2/rank": "reciprocal",
        "0 where no other crop has the label; nan is asked": "zero",
    }

    def told(how: str = "") -> Tensor:
        return _precisions(distances, labels, how).nan_to_num(-1)

    given = {"distances": distances.clone(), "labels": labels.clone()}
    got = average_precisions(*given.values())
    expect_tensor("the list of precisions", got)
    expect_shape("the list of precisions", got, (10,), {(): "the mean over the askers; one number for each"})
    expect_close(
        "the list of precisions (nan as -1)",
        torch.as_tensor(got).nan_to_num(-1),
        told(),
        mistakes=lambda: {text: told(how) for text, how in ways.items()},
    )
    unchanged("average_precisions", {"distances": distances, "labels": labels}, given)
    distances[0, 0], distances[1, 1] = 5.5, 20.0
    expect_close(
        "the list of precisions where another crop is nearer to the asker than the asker itself (nan as -1)",
        torch.as_tensor(average_precisions(distances, labels)).nan_to_num(-1),
        told(),
        mistakes=lambda: {"the first of the list is left out, not the asker": told("first")},
    )


@visible("7, chance", "average precision by chance")
def check_by_chance(by_chance: Callable[..., Any]) -> None:
    others, relevant = 5, 2
    # at ranks (1, 2): 1; (1, 3): 5/6; (1, 4): 3/4; (1, 5): 7/10; (2, 3): 7/12; (2, 4): 1/2; (2, 5): 9/20; ...
    pairs = [(i, j) for i in range(1, 6) for j in range(i + 1, 6)]
    expected = sum(1 / i + 2 / j for i, j in pairs) / 2 / len(pairs)
    harmonic = sum(1 / i for i in range(1, 6))
    wrong = {
        "R/K is the expected share at a rank of its own, without the hit itself": relevant / others,
        "the share of the others before is (R - 1)/(K - 1), without the hit": sum(
            (1 + (i - 1) * relevant / others) / i for i in range(1, 6)
        )
        / others,
        "the hit itself is missing": (relevant - 1) / (others - 1) * (1 - harmonic / others),
        "the others of its texture before it are missing": harmonic / others,
        "a sum over the ranks; a mean is asked": others * expected,
        "divided by R; each of K ranks is equally likely": others * expected / relevant,
    }
    expect_close("by_chance(5, 2)", by_chance(others, relevant), expected, mistakes=wrong)
    expect_close("by_chance(4, 4)", by_chance(4, 4), 1.0)
    expect_close("by_chance(1, 1)", by_chance(1, 1), 1.0)
