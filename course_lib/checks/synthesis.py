"""The visible checks of problem set 04, nets that draw.

Each check takes the student's own function, tries it on one small example and, where the result is wrong, compares it
with what the usual mistakes would have given. References are torch's operations (`grid_sample`, `affine_grid`,
convolutions) and its autograd. `checks.fresh(1)`, `checks.fresh(2)`, … are the seeds of the hidden tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.checks.core import draw, expect, expect_close, expect_shape, parts_of, to_numpy, visible
from course_lib.checks.core import fresh as fresh  # for the hidden tests
from course_lib.checks.core import when_done as when_done  # for the cells that only show something

# ------------------------------------------------------------------------------------------ task 1


def _code(azimuth: Tensor, fold: float = 1) -> Tensor:
    turning = torch.polar(torch.ones_like(azimuth), torch.deg2rad(fold * azimuth))
    return torch.view_as_real(turning).flip(-1)


@visible("1, encode", "an azimuth as sine and cosine")
def check_encode(encode: Callable[..., Any]) -> None:
    azimuth = torch.tensor([20.0, 200.0, -75.0]).double()
    shapes = {
        (2, 3): "sine and cosine go into a new last axis, not a first one",
        (6,): "joined end to end (cat); a new last axis is made by torch.stack(…, -1)",
    }
    code = encode(azimuth.clone())
    expect_shape("the code of three azimuths", code, (3, 2), shapes)
    wrong = {
        "degrees are taken for radians": torch.stack([azimuth.sin(), azimuth.cos()], -1),
        "the order is (sine, cosine)": _code(azimuth).flip(-1),
    }
    expect_close("the code of 20°, 200°, -75°", code, _code(azimuth), mistakes=wrong)
    wrong = {
        "fold is ignored": _code(azimuth),
        "the azimuth is divided by fold; what looks the same four times turns four times as fast": _code(azimuth, 0.25),
        "the code is multiplied by fold, not the azimuth": 4 * _code(azimuth),
        "modulo 360°/fold is not enough: in that part the code is to go around once": _code(azimuth % 90),
    }
    expect_close(
        "the code of 20°, 200°, -75° with fold = 4", encode(azimuth.clone(), 4), _code(azimuth, 4), mistakes=wrong
    )
    table = azimuth[:2, None] + azimuth
    expect_close("the code of a table of azimuths, (2, 3)", encode(table), _code(table))


@visible("1, decode", "back to the azimuth")
def check_decode(decode: Callable[..., Any]) -> None:
    azimuth = torch.tensor([25.0, 140.0, 230.0, 320.0]).double()
    code = torch.tensor([1.0, 2.5, 0.4, 3.0]).double()[:, None] * _code(azimuth)
    sine, cosine = code.unbind(-1)
    degrees = torch.rad2deg(torch.atan2(sine, cosine))
    wrong = {
        "sine and cosine are swapped: atan2(sine, cosine)": torch.rad2deg(torch.atan2(cosine, sine)) % 360,
        "azimuths over 180° come out below 0": degrees,
        "atan of the quotient knows only half a turn; atan2 sees both signs": torch.rad2deg((sine / cosine).atan())
        % 360,
        "radians in place of degrees": torch.atan2(sine, cosine) % (2 * math.pi),
        "the cosine alone knows only half a turn": torch.rad2deg((cosine / code.norm(dim=-1)).acos()),
    }
    shapes = {(): "the last axis holds one code's sine and cosine; code[..., 0] is the sine of all"}
    got = decode(code.clone())
    expect_shape("the azimuths of four codes", got, (4,), shapes)
    expect_close("the azimuth of codes of 25°, 140°, 230°, 320°", got, azimuth, mistakes=wrong)
    azimuth = torch.tensor([20.0, 80.0]).double()
    degrees = torch.tensor([80.0, -40.0]).double()  # four times the azimuth
    wrong = {
        "fold is ignored": degrees % 360,
        "multiplied by fold instead of divided": degrees % 360 * 4,
        "modulo 360°/fold in place of a division by fold": degrees % 90,
        "divided by fold first and brought to 0…360° then; the range ends at 360°/fold": degrees / 4 % 360,
    }
    expect_close(
        "the azimuth of codes of 20° and 80° with fold = 4", decode(_code(azimuth, 4), 4), azimuth, mistakes=wrong
    )


@visible("1, mean", "the mean of azimuths")
def check_mean_azimuth(mean_azimuth: Callable[..., Any]) -> None:
    azimuths = torch.tensor([10.0, 350.0, 300.0]).double()
    mean, length = parts_of("mean_azimuth", mean_azimuth(azimuths.clone()), 2)
    sine, cosine = _code(azimuths).mean(0)
    expected = torch.rad2deg(torch.atan2(sine, cosine))
    wrong = {
        "the mean of the numbers; the mean is to be taken of the codes": azimuths.mean(),
        "an azimuth below 0": expected,
        "this is the length; the order is (azimuth, length)": torch.hypot(sine, cosine),
    }
    expect_close("the mean of 10°, 350° and 300°", mean, expected % 360, mistakes=wrong)
    wrong = {
        "the length of the sum, not of the mean": 3 * torch.hypot(sine, cosine),
        "this is the square of the length": sine**2 + cosine**2,
        "this is 1 - length: 1 is where all agree": 1 - torch.hypot(sine, cosine),
    }
    expect_close("the length of the mean code", length, torch.hypot(sine, cosine), mistakes=wrong)


# ------------------------------------------------------------------------------------------ task 2


def drawing(seed: int, shape: tuple[int, int, int, int]) -> tuple[Tensor, ...]:
    """u, v, photographs x before a wall, masks s, the wall's colour b, and the chair's own part of x."""
    n, c, h, w = shape
    draws = torch.Generator().manual_seed(seed)

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=draws, dtype=torch.float64)

    u, v, s = 2 * uniform(n, c, h, w) - 1, uniform(n, 1, h, w), uniform(n, 1, h, w)
    colour, b = 2 * uniform(n, c, h, w) - 1, 2 * uniform(c) - 1
    part = s * colour
    return u, v, part + (1 - s) * b.view(-1, 1, 1), s, b, part


@visible("2, value", "image and mask")
def check_drawing_loss(drawing_loss: Callable[..., Any]) -> None:
    u, v, x, s, b, part = drawing(20, (2, 3, 2, 3))
    wall = b.view(-1, 1, 1)
    given = [tensor.clone() for tensor in (u, v, x, s, b)]
    z, _, _ = parts_of("drawing_loss", drawing_loss(*given, 6.0, 2.0), 3)

    def loss(of: Tensor = part, mask: Tensor = s, weights: tuple[float, float] = (6.0, 2.0)) -> Tensor:
        return weights[0] * (u - of).square().sum(1).mean() + weights[1] * (v - mask).square().sum(1).mean()

    image, of_mask = (u - part).square(), (v - s).square()
    wrong = {
        "s x in place of s c: where s is below 1, x shows the wall too": loss(s * x),
        "u is compared with the photograph, wall and all": loss(x),
        "the wall's part is added; it has to be taken away from x": loss(x + (1 - s) * wall),
        "the whole wall is taken away; only 1 - s of it is in x": loss(x - wall),
        "s of the wall is taken away; it shows where the chair is not, 1 - s": loss(x - s * wall),
        "u is compared with the colour c; at an edge the chair's part of a pixel is s c": loss(part / s),
        "the wall is taken for white": loss(x - (1 - s)),
        "b lies along the width; b[:, None, None] puts it along the channels": loss(x - (1 - s) * b),
        "the mean over channels; the sum over channels is asked": 6 * image.mean() + 2 * of_mask.mean(),
        "a sum over pixels and examples; their mean is asked": 6 * image.sum() + 2 * of_mask.sum(),
        "a sum over pixels; their mean is asked": (6 * image.sum() + 2 * of_mask.sum()) / 2,
        "the weights are ignored": loss(weights=(1.0, 1.0)),
        "the weights given are ignored: always 10 and 1": loss(weights=(10.0, 1.0)),
        "the two weights are swapped": loss(weights=(2.0, 6.0)),
        "the weights are squared: they belong before the squares": loss(weights=(36.0, 4.0)),
        "the mask's error counts once for each channel": loss(weights=(6.0, 6.0)),
        "norms in place of their squares": 6 * image.sum(1).sqrt().mean() + 2 * of_mask.sqrt().mean(),
        "the mask is 1 where the chair is": loss(mask=1 - s),
        "the image counts only inside the mask; outside, u is to be 0": 6 * (s * image).sum(1).mean()
        + 2 * of_mask.mean(),
    }
    shapes = {(2,): "a loss for each example; their mean is asked", (2, 2, 3): "the mean over pixels is missing"}
    expect_shape("z", z, (), shapes)
    expect_close("z", z, loss(), mistakes=wrong)


@visible("2, gradients", "image and mask, backwards")
def check_drawing_gradients(drawing_loss: Callable[..., Any]) -> None:
    u, v, x, s, b, part = drawing(21, (2, 3, 2, 3))
    _, dz_du, dz_dv = parts_of("drawing_loss", drawing_loss(u.clone(), v.clone(), x, s, b, 6.0, 5.0), 3)
    shapes = {
        (2, 1, 2, 3): "it is summed over channels; u has an error in each",
        (2, 3, 2, 3): "one mask for all channels",
    }
    pixels = 12
    for name, got, error, weight, other in (("dz_du", dz_du, u - part, 6.0, 5.0), ("dz_dv", dz_dv, v - s, 5.0, 6.0)):
        right = 2 * weight * error / pixels
        wrong = {
            "the factor 2 of the square is missing": right / 2,
            "not divided by the number of pixels and examples": right * pixels,
            "divided by the pixels, but not by the examples": right * 2,
            "divided by the number of channels too": right / 3,
            "the sign": -right,
            "the weight is missing": right / weight,
            "the other weight": right / weight * other,
        }
        expect_shape(name, got, tuple(error.shape), shapes)
        expect_close(name, got, right, mistakes=wrong)


@visible("2, walls", "the mean over all walls")
def check_any_wall(any_wall: Callable[..., Any]) -> None:
    e, f, m, variance = draw(22, 2, 3, 2, 2), draw(23, 2, 1, 2, 2), 0.5, 0.09
    ee, ef, ff = e.square().sum(1).mean(), (e * f).sum(1).mean(), f.square().mean()
    moment = m**2 + variance
    wrong = {
        "the sign of the cross term: the picture is u + (1 - v) w, so v's error takes w away": (
            ee + 2 * m * ef + 3 * moment * ff
        ),
        "the cross term -2 m e f is missing": ee + 3 * moment * ff,
        "half of the cross term": ee - m * ef + 3 * moment * ff,
        "the mask's error counts in each channel": ee - 2 * m * ef + moment * ff,
        "this is before the mean wall; the variance adds to it": ee - 2 * m * ef + 3 * m**2 * ff,
        "the mean of w squared is m^2 + sigma^2; here m^2 is missing": ee - 2 * m * ef + 3 * variance * ff,
        "variance is sigma^2 already": ee - 2 * m * ef + 3 * (m**2 + variance**2) * ff,
        "the variance is drawn in a root; it adds as it is": ee - 2 * m * ef + 3 * (m**2 + math.sqrt(variance)) * ff,
        "the mean over channels; the sum is asked": (ee - 2 * m * ef) / 3 + moment * ff,
        "a sum over pixels and examples; their mean is asked": 8 * (ee - 2 * m * ef + 3 * moment * ff),
        "e - w f is averaged before it is squared": (e - m * f).mean().square(),
    }
    got = any_wall(e.clone(), f.clone(), m, variance)
    expect_shape("the error", got, (), {(2,): "an error for each example; their mean is asked"})
    expect_close("the error over all walls", got, ee - 2 * m * ef + 3 * moment * ff, mistakes=wrong)


# ------------------------------------------------------------------------------------------ task 3


@visible("3, best", "the best lightness")
def check_lightness(best_lightness: Callable[..., Any]) -> None:
    O, T = 0.3 * draw(30, 2, 3, 2, 2) - 0.4, 0.2 * draw(31, 2, 3, 2, 2)
    room = 1 - O
    above, below = ((T - O) * room).sum(1, keepdim=True), room.square().sum(1, keepdim=True)
    wrong = {
        "the sign: O' = O + M (1 - O)": -above / below,
        "a mean of each channel's own share; the squares are added before the minimum is sought": ((T - O) / room).mean(
            1, keepdim=True
        ),
        "the shares of the means; that balances the signed errors, not their squares": (T - O).mean(1, keepdim=True)
        / room.mean(1, keepdim=True),
        "1 - O is squared below, and one factor 1 - O is missing above": (T - O).sum(1, keepdim=True) / below,
        "divided by the sum of 1 - O, not of its squares": above / room.sum(1, keepdim=True),
        "T (1 - O) in place of (T - O)(1 - O)": (T * room).sum(1, keepdim=True) / below,
        "this is 1 - M": 1 - above / below,
        "a factor 2 is left over from the derivative": 2 * above / below,
        "one share for the whole image": (above.sum((2, 3), keepdim=True) / below.sum((2, 3), keepdim=True)).expand_as(
            above
        ),
    }
    wrong = {text: value.clamp(0, 1) for text, value in wrong.items()}
    shapes = {
        (2, 3, 2, 2): "a share for each channel; one share serves all channels of a pixel",
        (2, 2, 2): "the axis of the channels is gone; keepdim=True keeps it with length 1",
    }
    got = best_lightness(O.clone(), T.clone())
    expect_shape("M", got, (2, 1, 2, 2), shapes)
    expect_close("M", got, (above / below).clamp(0, 1), mistakes=wrong)


@visible("3, limits", "lightness at its limits")
def check_lightness_limits(best_lightness: Callable[..., Any]) -> None:
    O = torch.tensor([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0], [-1.0, 1.0]]).double()  # four pixels, two channels
    T = torch.tensor([[-0.5, -0.5], [2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]).double()
    got = best_lightness(O.T[None, :, None], T.T[None, :, None])
    expect_shape("M", got, (1, 1, 1, 4))
    M = to_numpy(got)[0, 0, 0]
    expect(bool(np.isfinite(M[2])), "M is NaN or infinite where O is white. Likely mistake: 0/0; there M is 0.")
    expect(M[0] >= 0, f"M is {M[0]:.3g} where the target is darker than O. Likely mistake: no limit at 0.")
    expect(M[1] <= 1, f"M is {M[1]:.3g} where the target is beyond white. Likely mistake: no limit at 1.")
    expect(M[2] == 0, f"M is {M[2]:.3g} where O is white in every channel. Likely mistake: 0 is asked there.")
    expect_close("M", M, np.array([0.0, 1.0, 0.0, 0.5]))


# ------------------------------------------------------------------------------------------ task 4


def _unpooled(x: np.ndarray, stride: int, row: int = 0, column: int = 0) -> np.ndarray:
    block = np.zeros((stride, stride), x.dtype)
    block[row, column] = 1
    return np.kron(x, block)


def upconvolved(
    x: np.ndarray, weight: np.ndarray, stride: int, dz_dy: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """y and, where dz_dy is given, dz_dx and dz_dweight, by torch."""
    k = weight.shape[2]
    leaves = [torch.tensor(value, requires_grad=True) for value in (x, weight)]
    block = torch.zeros(stride, stride, dtype=leaves[0].dtype)
    block[0, 0] = 1
    y = F.conv2d(F.pad(torch.kron(leaves[0], block), [(k - 1) // 2, k // 2] * 2), leaves[1])
    if dz_dy is None:
        return (y.detach().numpy(),)
    return y.detach().numpy(), *(g.numpy() for g in torch.autograd.grad(y, leaves, torch.tensor(dz_dy)))


def _convolved(g: np.ndarray, weight: np.ndarray, before: int, after: int) -> np.ndarray:
    return F.conv2d(F.pad(torch.tensor(g), [before, after] * 2), torch.tensor(weight)).numpy()


@visible("4, unpool", "values among zeros")
def check_unpool(unpool: Callable[..., Any]) -> None:
    x = np.random.default_rng(40).normal(size=(2, 3, 2, 4))
    shapes = {
        (2, 3, 4, 8): "the sides are doubled whatever the stride is (here 3)",
        (2, 3, 4, 10): "zeros between the values only; every pixel becomes a whole block",
        (2, 3, 8, 16): "stride zeros after each value; stride - 1 belong there",
        (2, 3, 12, 6): "height and width are swapped",
    }
    wrong = {
        "copies of the value; all but one are to be zeros": np.kron(x, np.ones((3, 3))),
        "the value belongs in the upper left corner of its block, not in the middle": _unpooled(x, 3, 1, 1),
        "the value belongs in the upper left corner of its block, not in the lower right one": _unpooled(x, 3, 2, 2),
        "the value is shared out; it stays as it is": np.kron(x, np.ones((3, 3))) / 9,
    }
    got = unpool(x.copy(), 3)
    expect_shape("the result for x (2, 3, 2, 4), stride 3,", got, (2, 3, 6, 12), shapes)
    expect_close("the result", got, _unpooled(x, 3), mistakes=wrong)


@visible("4, forward", "up-convolution")
def check_upconvolve(upconvolve: Callable[..., Any]) -> None:
    rng = np.random.default_rng(41)
    x, weight = rng.normal(size=(2, 2, 3, 5)), rng.normal(size=(2, 2, 4, 4))
    g = _unpooled(x, 2)
    shapes = {
        (2, 2, 3, 7): "no zeros around; k - 1 rows and columns of them keep the size",
        (2, 2, 9, 13): "k - 1 rows of zeros are added on both sides; they are shared between the two",
        (2, 2, 7, 11): "too many zeros around: with a kernel of 4 × 4 there is one row above and two below",
        (2, 2, 5, 9): "one row of zeros too few: with a kernel of 4 × 4 there is one above and two below",
    }
    wrong = {
        "two rows of zeros above and one below: p = (k - 1)//2 = 1 of them are above": _convolved(g, weight, 2, 1),
        "all zeros are added below and to the right": _convolved(g, weight, 0, 3),
        "the kernel is reversed": _convolved(g, weight[:, :, ::-1, ::-1].copy(), 1, 2),
        "every value adds its kernel as it is; that is a convolution with the kernel reversed": _convolved(
            g, weight[:, :, ::-1, ::-1].copy(), 2, 1
        ),
        "the kernel's rows and columns are swapped": _convolved(g, weight.swapaxes(2, 3).copy(), 1, 2),
        "the first axis of weight is the output's channels (D), the second the input's": _convolved(
            g, weight.swapaxes(0, 1).copy(), 1, 2
        ),
        "copies in place of zeros": _convolved(np.kron(x, np.ones((2, 2))), weight, 1, 2),
        "the border's values go on around the maps; zeros belong there": F.conv2d(
            F.pad(torch.tensor(g), (1, 2, 1, 2), mode="replicate"), torch.tensor(weight)
        ).numpy(),
    }
    got = upconvolve(x.copy(), weight.copy(), 2)
    expect_shape("y for x (2, 2, 3, 5), weight (2, 2, 4, 4), stride 2,", got, (2, 2, 6, 10), shapes)
    expect_close("y", got, upconvolved(x, weight, 2)[0], mistakes=wrong)
    x, weight = rng.normal(size=(1, 2, 2, 3)), rng.normal(size=(3, 2, 3, 3))
    got = upconvolve(x.copy(), weight.copy(), 3)
    expect_shape("y for x (1, 2, 2, 3), weight (3, 2, 3, 3), stride 3,", got, (1, 3, 6, 9))
    expect_close("y with a kernel of 3 × 3 and stride 3", got, upconvolved(x, weight, 3)[0])


@visible("4, backward", "up-convolution, backwards")
def check_upconvolve_backward(upconvolve_backward: Callable[..., Any]) -> None:
    rng = np.random.default_rng(42)
    x, weight, dz_dy = rng.normal(size=(2, 2, 3, 5)), rng.normal(size=(2, 2, 4, 4)), rng.normal(size=(2, 2, 6, 10))
    dz_dx, dz_dweight = parts_of(
        "upconvolve_backward", upconvolve_backward(dz_dy.copy(), x.copy(), weight.copy(), 2), 2
    )
    _, right, right_weight = upconvolved(x, weight, 2, dz_dy)
    reversed_ = weight[:, :, ::-1, ::-1].swapaxes(0, 1).copy()
    dz_dg = _convolved(dz_dy, reversed_, 2, 1)  # as (1, 2) forward
    blocks = dz_dg.reshape(2, 2, 3, 2, 5, 2)
    wrong = {
        "a sum over each block: that belongs to copies; of a block only the value's place counts": blocks.sum((3, 5)),
        "a mean over each block: of a block only the value's place counts": blocks.mean((3, 5)),
        "off by one: the lower right place of each block, or another padding than forward": dz_dg[:, :, 1::2, 1::2],
        "y's gradient at the values' places alone; each value reaches k × k numbers of y": dz_dy[:, :, ::2, ::2],
        "the kernel is run over dz_dy as it is; backwards it is reversed": _convolved(
            dz_dy, weight.swapaxes(0, 1).copy(), 1, 2
        )[:, :, ::2, ::2],
        "the channels of input and output are swapped": _convolved(dz_dy, reversed_.swapaxes(0, 1).copy(), 2, 1)[
            :, :, ::2, ::2
        ],
    }
    shapes = {
        (2, 2, 6, 10): "this is by the unpooled maps; of each block one number belongs to x",
        (2, 2, 9, 13): "this is by the maps with zeros around; cut these off and take one number of each block",
    }
    expect_shape("dz_dx", dz_dx, x.shape, shapes)
    expect_close("dz_dx", dz_dx, right, mistakes=wrong)
    wrong = {
        "reversed: the kernel runs forward here": right_weight[:, :, ::-1, ::-1],
        "input and output channels are swapped": right_weight.swapaxes(0, 1),
        "a mean over the examples; paths add up": right_weight / 2,
        "rows and columns of the kernel are swapped": right_weight.swapaxes(2, 3),
        "the first example alone": upconvolved(x[:1], weight, 2, dz_dy[:1])[2],
        "a mean over pixels; paths add up": right_weight / 60,
    }
    expect_shape("dz_dweight", dz_dweight, weight.shape)
    expect_close("dz_dweight", dz_dweight, right_weight, mistakes=wrong)


@visible("4, reach", "who is reached")
def check_reach(reach: Callable[..., Any]) -> None:
    got = reach(4, 3)
    wrong = {
        "the padding is left out: at r = 0 the kernel begins p before the value": np.array([2, 1, 1]),
        "the order of the places, or p = k//2": np.array([1, 1, 2]),
        "k//stride holds at some places only": np.array([1, 1, 1]),
        "rounded up at every place": np.array([2, 2, 2]),
        "the mean over the places": np.full(3, 4 / 3),
        "in the plane; in one row is asked": np.array([1, 4, 1]),
        "how many meet a zero": np.array([3, 2, 3]),
    }
    expect_shape("reach(4, 3)", got, (3,), {(4,): "one number for each place of a block, not of the kernel"})
    expect_close("reach(4, 3)", got, np.array([1, 2, 1]), mistakes=wrong)
    expect_close("reach(5, 2)", reach(5, 2), np.array([3, 2]))


# ------------------------------------------------------------------------------------------ task 5


def _grid(p: Tensor, height: int, width: int, mistake: str = "") -> Tensor:
    """The grid of p (N, 4), by inverting a matrix; or that of a mistake."""
    a, q, r, d = p.unbind(1)
    one, none = torch.ones_like(a), torch.zeros_like(a)

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, 1).view(-1, 3, 3)

    if mistake == "units":
        r, d = r * width / 2, d * height / 2
    elif mistake == "shift sign":
        r, d = -r, -d
    elif mistake == "d up":
        d = -d
    elif mistake == "half":
        r, d = r + 0.5, d + 0.5
    a = -a if mistake == "clockwise" else a
    zoom = {"zoom": (-q).exp(), "no exp": q}.get(mistake, q.exp())
    turn = matrix(a.cos(), a.sin(), none, -a.sin(), a.cos(), none, none, none, one)
    scale = matrix(zoom, none, none, none, zoom, none, none, none, one)
    shift = matrix(one, none, r, none, one, d, none, none, one)
    pixels = torch.tensor([width / 2, height / 2, 1]).to(p)
    if mistake == "aspect":
        turn = pixels[:, None] * turn / pixels
    motion = shift @ scale @ turn
    if mistake == "shift first":
        motion = scale @ turn @ shift
    elif mistake == "shift not turned":
        motion = turn @ shift @ scale
    elif mistake == "corner":  # about the centre of the first pixel
        first = matrix(one, none, one * (width - 1) / 2, none, one, one * (height - 1) / 2, none, none, one)
        motion = shift @ torch.linalg.inv(first) @ scale @ turn @ first
    source = motion if mistake == "eye" else torch.linalg.inv(motion)
    grid = F.affine_grid((source * pixels / pixels[:, None])[:, :2], [len(p), 1, height, width], align_corners=False)
    if mistake == "corners":
        sides = torch.tensor([width, height]).to(p)
        grid = grid * sides / (sides - 1)
    return grid.flip(-1) if mistake == "swapped" else grid


def turned_grid(p: np.ndarray, height: int, width: int) -> np.ndarray:
    """The grid of p (N, 4), (N, H, W, 2)."""
    return _grid(torch.tensor(p), height, width).numpy()


def turned_grid_gradient(dz_dgrid: np.ndarray, p: np.ndarray) -> np.ndarray:
    """dz_dp (N, 4), by autograd."""
    leaf = torch.tensor(p, requires_grad=True)
    grid = _grid(leaf, *dz_dgrid.shape[1:3])
    return torch.autograd.grad(grid, leaf, torch.tensor(dz_dgrid))[0].numpy()


GRID_SHAPES = {
    (2, 5, 3, 2): "height and width are swapped: rows come first, and x changes along a row",
    (3, 5, 2): "the axis of the examples is missing",
    (2, 2, 3, 5): "(x, y) is the last axis, not the second",
    (2, 15, 2): "the grid has rows and columns, it is not a list of places",
}


@visible("5, moves", "enlarged and moved")
def check_grid_moves(picture_grid: Callable[..., Any]) -> None:
    p = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).double()
    got = picture_grid(p.numpy(), 3, 5)
    expect_shape("the grid for p (2, 4), H = 3, W = 5,", got, (2, 3, 5, 2), GRID_SHAPES)
    right = _grid(p, 3, 5)
    sides = torch.tensor([5.0, 3.0]).double()
    wrong = {
        "x and y are swapped: the last axis holds (x, y)": right.flip(-1),
        "-1 and 1 are put at the centres of the corner pixels (align_corners=True); they are the outer edges": _grid(
            p, 3, 5, "corners"
        ),
        "half a pixel off: the middle is at (W - 1)/2, not at W/2": right - 1 / sides,
        "pixels; the grid is in units of -1 to 1": right * sides / 2,
        "pixels from the first one; the grid is in units of -1 to 1": (right * sides + sides - 1) / 2,
        "the width scales both; y has the height": right * sides / 5,
        "the sign: the picture is turned by 180°": -right,
    }
    expect_close("the grid of p = (0, 0, 0, 0), the identity,", got, right, mistakes=wrong)
    p = torch.tensor([[0.0, 0.4, 1.5, -0.7], [0.0, -0.3, 0.5, 2.0]]).double()
    wrong = {
        "this moves the eye, not the picture: the grid has to undo what is done to the picture": _grid(p, 3, 5, "eye"),
        "the zoom is upside down: where the picture is enlarged, the places move together": _grid(p, 3, 5, "zoom"),
        "enlarged q times; e^q times is asked": _grid(p, 3, 5, "no exp"),
        "the sign of the shift: where the picture goes right, the place to look at goes left": _grid(
            p, 3, 5, "shift sign"
        ),
        "d goes down, as y does": _grid(p, 3, 5, "d up"),
        "r and d are taken in units of -1 to 1; they are pixels": _grid(p, 3, 5, "units"),
        "the shift is taken back last; the picture is moved last, so it has to be taken back first": _grid(
            p, 3, 5, "shift first"
        ),
        "about the corner of the picture; its middle is to stay where it is": _grid(p, 3, 5, "corner"),
        "the first example's numbers for all": _grid(p[:1].expand(2, -1), 3, 5),
    }
    expect_close("the grid of q and (r, d)", picture_grid(p.numpy(), 3, 5), _grid(p, 3, 5), mistakes=wrong)


@visible("5, turns", "turned")
def check_grid_turns(picture_grid: Callable[..., Any]) -> None:
    p = torch.tensor([[0.7, 0.0, 0.0, 0.0], [-2.0, 0.0, 0.0, 0.0]]).double()
    wrong = {
        "turned clockwise: the eye turns counter-clockwise here, not the picture": _grid(p, 3, 5, "clockwise"),
        "turned in units of -1 to 1, where a pixel is not square unless H = W; turn in pixels": _grid(
            p, 3, 5, "aspect"
        ),
        "degrees; a is in radians": _grid(p * torch.pi / 180, 3, 5),
    }
    expect_close("the grid of a = 0.7 and -2", picture_grid(p.numpy(), 3, 5), _grid(p, 3, 5), mistakes=wrong)
    p = torch.tensor([[0.7, 0.4, 1.5, -0.7], [-2.0, -0.3, 0.5, 2.0]]).double()
    wrong = {
        "the shift is taken back after turning; the picture is moved last, so it has to be taken back first": _grid(
            p, 3, 5, "shift not turned"
        ),
    }
    expect_close("the grid of all four numbers", picture_grid(p.numpy(), 3, 5), _grid(p, 3, 5), mistakes=wrong)


@visible("5, backward", "the grid, backwards")
def check_grid_backward(picture_grid_backward: Callable[..., Any]) -> None:
    rng = np.random.default_rng(50)
    p, dz_dgrid = np.array([[0.7, 0.4, 1.5, -0.7], [-2.0, -0.3, 0.5, 2.0]]), rng.normal(size=(2, 3, 5, 2))
    got = picture_grid_backward(dz_dgrid.copy(), p.copy())
    right = turned_grid_gradient(dz_dgrid, p)
    a, q = p[:, 0], p[:, 1]
    by_X, by_Y = ((dz_dgrid / [2.5, 1.5]).sum((1, 2))).T
    straight = -np.exp(-q)[:, None] * np.stack([by_X, by_Y], 1)
    plain = -np.stack([np.cos(a) * by_X + np.sin(a) * by_Y, np.cos(a) * by_Y - np.sin(a) * by_X], 1)
    eye = -np.exp(-q)[:, None] * np.stack([np.cos(a) * by_X - np.sin(a) * by_Y, np.cos(a) * by_Y + np.sin(a) * by_X], 1)
    shapes = {
        (2, 3, 5, 4): "it is not summed over pixels; all of them share p",
        (4,): "it is summed over the examples; each has its own p",
        (4, 2): "the examples are the first axis",
    }
    everywhere = {
        "pixels and units are mixed up: dz_dgrid is by x, and x = 2 X/W": turned_grid_gradient(
            dz_dgrid * [2.5, 1.5], p
        ),
        "multiplied by W/2 and H/2; x = 2 X/W, so by X it is dz_dgrid · 2/W": turned_grid_gradient(
            dz_dgrid * [2.5**2, 1.5**2], p
        ),
        "W and H are swapped": turned_grid_gradient(dz_dgrid * [5 / 3, 3 / 5], p),
        "x and y of dz_dgrid are swapped": turned_grid_gradient(dz_dgrid[..., ::-1].copy(), p),
        "a mean over the pixels; paths add up": right / 15,
    }
    expect_shape("dz_dp", got, (2, 4), shapes)
    got = to_numpy(got)
    target = np.stack(np.meshgrid(np.arange(5) - 2.0, np.arange(3) - 1.0), -1)  # X_t, Y_t
    each = dz_dgrid / [2.5, 1.5]
    of_angle = {
        "the sign": -right[:, 0],
        "the place in the output (X_t, Y_t) in place of that in the input (X_s, Y_s)": (
            target[..., 0] * each[..., 1] - target[..., 1] * each[..., 0]
        ).sum((1, 2)),
    }
    of_zoom = {
        "the sign: the places are multiplied by e^-q": -right[:, 1],
        "e^-q comes twice: it is in X_s and Y_s already": right[:, 1] * np.exp(-q),
        "the place in the output (X_t, Y_t) in place of that in the input (X_s, Y_s)": -(target * each).sum((1, 2, 3)),
    }
    of_shift = {
        "the sign: the shift is taken away": -right[:, 2:],
        "the shift is turned and zoomed like the place; its gradient is as if it were not": -np.stack([by_X, by_Y], 1),
        "the turn is missing": straight,
        "e^-q is missing": plain,
        "turned the wrong way round: the columns of the matrix, not its rows": eye,
    }
    expect_close("dz_da", got[:, 0], right[:, 0], mistakes={t: v[:, 0] for t, v in everywhere.items()} | of_angle)
    expect_close("dz_dq", got[:, 1], right[:, 1], mistakes={t: v[:, 1] for t, v in everywhere.items()} | of_zoom)
    expect_close(
        "dz_d(r, d)", got[:, 2:], right[:, 2:], mistakes={t: v[:, 2:] for t, v in everywhere.items()} | of_shift
    )


# ------------------------------------------------------------------------------------------ task 6


def places(seed: int, shape: tuple[int, int, int, int], h: int, w: int, far: float) -> tuple[np.ndarray, ...]:
    """Images U, a grid of h × w places up to `far` from the middle, the wall's colour b, and dz_dV."""
    rng = np.random.default_rng(seed)
    n, c = shape[:2]
    grid = rng.uniform(-far, far, (n, h, w, 2))
    return rng.normal(size=shape), grid, rng.normal(size=c), rng.normal(size=(n, c, h, w))


def sampled(
    U: np.ndarray, grid: np.ndarray, b: np.ndarray, dz_dV: np.ndarray | None = None, **rest: Any
) -> tuple[np.ndarray, ...]:
    """V and, where dz_dV is given, its gradients by image, grid and wall, by torch; `rest` goes to grid_sample."""
    leaves = [torch.tensor(value, requires_grad=True) for value in (U, grid, b)]
    wall = leaves[2].view(-1, 1, 1)
    V = F.grid_sample(leaves[0] - wall, leaves[1], **{"align_corners": False, **rest}) + wall
    if dz_dV is None:
        return (V.detach().numpy(),)
    return V.detach().numpy(), *(g.numpy() for g in torch.autograd.grad(V, leaves, torch.tensor(dz_dV)))


def _share(U: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """How much of each place is inside the image, (N, 1, H', W')."""
    return sampled(np.ones_like(U[:, :1]), grid, np.zeros(1))[0]


def _far_from_near(U: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Inside the image: the nearer a pixel the smaller its share."""
    mirrored = []
    for axis, size in ((0, U.shape[3]), (1, U.shape[2])):
        place = ((grid[..., axis] + 1) * size - 1) / 2
        mirrored.append((2 * (2 * np.floor(place) + 1 - place) + 1) / size - 1)
    return np.stack(mirrored, -1)


@visible("6, values", "what is seen")
def check_sample(sample: Callable[..., Any]) -> None:
    U, grid, b, _ = places(60, (2, 2, 4, 5), 2, 3, 0.7)
    sides = np.array([5, 4])
    zero = np.zeros(2)
    wrong = {
        "x and y are swapped: the last axis of the grid holds (x, y), and x goes along the width": sampled(
            U, grid[..., ::-1].copy(), b
        )[0],
        "-1 and 1 are put at the centres of the corner pixels ((x + 1)(W - 1)/2); they are the outer edges": sampled(
            U, grid, b, align_corners=True
        )[0],
        "half a pixel off: the centre of the first pixel is at 0, so (x + 1) W/2 is too much by 1/2": sampled(
            U, grid + 1 / sides, b
        )[0],
        "the nearest pixel alone; four have a part": sampled(U, grid, b, mode="nearest")[0],
        "the shares are swapped: the nearer pixel has the larger one": sampled(U, _far_from_near(U, grid), b)[0],
        "the pixel to the upper left alone; four have a part": sampled(
            U, (2 * np.floor(((grid + 1) * sides - 1) / 2) + 1) / sides - 1, b
        )[0],
        "the wall is added inside too; its share is 1 - S": sampled(U, grid, b)[0] + b[:, None, None],
    }
    shapes = {
        (2, 2, 2, 2, 3): "an axis too many: each example has its own grid",
        (2, 2, 3, 2): "the channels come before the places: (N, C, H', W')",
        (2, 2, 3, 2, 2): "the channels come before the places: (N, C, H', W')",
    }
    got = sample(U.copy(), grid.copy(), b.copy())
    expect_shape("V for U (2, 2, 4, 5) and a grid (2, 2, 3, 2)", got, (2, 2, 2, 3), shapes)
    expect_close("V at places inside", got, sampled(U, grid, b)[0], mistakes=wrong)
    grid = np.array([[[[-1.0, 0.1], [0.3, 1.1], [0.95, -0.95]], [[-1.3, 0.0], [3.0, -4.0], [0.45, -1.0]]]]).repeat(2, 0)
    share = _share(U, grid)
    right, wall = sampled(U, grid, b)[0], b[:, None, None]
    seen = sampled(U, grid, zero)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = np.where(share > 0, seen / share, wall)
    wrong = {
        "outside is 0 and not the wall": seen,
        "the border's pixels go on outside; there is a wall": sampled(U, grid, zero, padding_mode="border")[0],
        "the wall shows only where all of the four pixels are outside": np.where(share > 0, seen, wall),
        "the wall hides everything where one of the four pixels is outside": np.where(share < 1, wall, seen),
        "divided by S; the rest of the share belongs to the wall": whole,
    }
    got = sample(U.copy(), grid.copy(), b.copy())
    expect_close("V at places at the border and outside", got, right, mistakes=wrong)


@visible("6, image", "the gradient by the image")
def check_sample_image(sample_backward: Callable[..., Any]) -> None:
    U, grid, b, dz_dV = places(61, (2, 2, 4, 5), 3, 3, 1.2)
    dz_dU = parts_of("sample_backward", sample_backward(dz_dV.copy(), U.copy(), grid.copy(), b.copy()), 3)[0]
    right = sampled(U, grid, b, dz_dV)[1]
    wrong = {
        "x and y are swapped": sampled(U, grid[..., ::-1].copy(), b, dz_dV)[1],
        "-1 and 1 are put at the centres of the corner pixels": sampled(U, grid, b, dz_dV, align_corners=True)[1],
        "half a pixel off": sampled(U, grid + 1 / np.array([5, 4]), b, dz_dV)[1],
        "what is seen outside is counted at the border's pixels": sampled(
            U, grid, np.zeros(2), dz_dV, padding_mode="border"
        )[1],
        "a mean over the places; paths add up": right / 9,
        "summed over the examples; each has its own": np.broadcast_to(right.sum(0), right.shape),
        "multiplied by U: V is linear in U, and its factor is the derivative": right * U,
        "summed over the channels; each has its own": np.broadcast_to(right.sum(1, keepdims=True), right.shape),
    }
    expect_shape("dz_dU", dz_dU, U.shape)
    middle = np.broadcast_to([0.0, 0.25], (1, 1, 3, 2)).copy()  # three times the pixel in row 2, column 2
    several = sample_backward(np.array([[[[1.0, 10.0, 100.0]]]]), U[:1, :1].copy(), middle, b[:1].copy())[0]
    expect_shape("dz_dU of one image", several, (1, 1, 4, 5))
    at = float(to_numpy(several)[0, 0, 2, 2])
    expect(
        abs(at - 100) > 1e-6 and abs(at - 1) > 1e-6,
        "three places look at the same pixel, and only one of them counts. Likely mistake: A[indices] += … "
        "keeps one of several equal indices; np.add.at adds them all.",
    )
    expect_close("dz_dU", dz_dU, right, mistakes=wrong)


def _sampled_slopes(U: np.ndarray, grid: np.ndarray, dz_dV: np.ndarray) -> np.ndarray:
    """The image's central differences, seen at the places."""
    zero = np.zeros(U.shape[1])
    slopes = [sampled(np.gradient(U, axis=axis), grid, zero)[0] * U.shape[axis] / 2 for axis in (3, 2)]
    return np.stack([(dz_dV * slope).sum(1) for slope in slopes], -1)


@visible("6, grid", "the gradient by the grid")
def check_sample_grid(sample_backward: Callable[..., Any]) -> None:
    U, grid, b, dz_dV = places(62, (2, 3, 4, 5), 2, 3, 0.7)
    dz_dgrid = parts_of("sample_backward", sample_backward(dz_dV.copy(), U.copy(), grid.copy(), b.copy()), 3)[1]
    right = sampled(U, grid, b, dz_dV)[2]
    first = sampled(U[:, :1], grid, b[:1], dz_dV[:, :1])[2]
    wrong = {
        "in pixels: one unit of x is W/2 pixels, one of y is H/2": right / [2.5, 2.0],
        "divided by W/2 and H/2; multiply by them": right / [2.5**2, 2.0**2],
        "W/2 and H/2 are swapped": right * [2.0 / 2.5, 2.5 / 2.0],
        "(W - 1)/2 in place of W/2; that belongs to align_corners=True": right * [2.0 / 2.5, 1.5 / 2.0],
        "W in place of W/2": right * 2,
        "the sign: V rises where the pixel to the right is the brighter one": -right,
        "x and y of the gradient are swapped": right[..., ::-1],
        "a mean over the channels; paths add up": right / 3,
        "the first channel alone; the place serves all": first,
        "dz_dV is missing": sampled(U, grid, b, np.ones_like(dz_dV))[2],
        "the slope of the image, sampled; asked is the slope of what is sampled": _sampled_slopes(U, grid, dz_dV),
    }
    shapes = {
        (2, 3, 2, 3, 2): "it is not summed over channels; the place serves them all",
        (2, 2, 2, 3): "(x, y) is the last axis",
    }
    expect_shape("dz_dgrid", dz_dgrid, grid.shape, shapes)
    expect_close("dz_dgrid at places inside", dz_dgrid, right, mistakes=wrong)
    grid = np.array([[[[-0.95, 0.1], [0.3, 0.9], [0.95, -0.9]], [[-1.3, 0.0], [3.0, -4.0], [0.45, -1.1]]]]).repeat(2, 0)
    right = sampled(U, grid, b, dz_dV)[2]
    zero = np.zeros(3)
    wrong = {
        "the wall's part is missing: where the image leaves, the wall comes, U - b": sampled(U, grid, zero, dz_dV)[2],
        "the wall's part has the wrong sign: U - b": sampled(U, grid, -b, dz_dV)[2],
        "the border's pixels go on outside; there is a wall": sampled(U, grid, zero, dz_dV, padding_mode="border")[2],
    }
    dz_dgrid = sample_backward(dz_dV.copy(), U.copy(), grid, b.copy())[1]
    expect_close("dz_dgrid at places at the border and outside", dz_dgrid, right, mistakes=wrong)


@visible("6, wall", "the gradient by the wall")
def check_sample_wall(sample_backward: Callable[..., Any]) -> None:
    U, grid, b, dz_dV = places(63, (2, 3, 4, 5), 4, 4, 1.3)
    dz_db = parts_of("sample_backward", sample_backward(dz_dV.copy(), U.copy(), grid.copy(), b.copy()), 3)[2]
    share = _share(U, grid)
    right = ((1 - share) * dz_dV).sum((0, 2, 3))
    wrong = {
        "the sum of dz_dV; a place sees only 1 - S of the wall": dz_dV.sum((0, 2, 3)),
        "S in place of 1 - S": (share * dz_dV).sum((0, 2, 3)),
        "only the places that see nothing but the wall": ((share == 0) * dz_dV).sum((0, 2, 3)),
        "every place that sees some of the wall counts fully": ((share < 1 - 1e-9) * dz_dV).sum((0, 2, 3)),
        "a mean over examples and places; paths add up": right / 32,
        "multiplied by b; V is linear in b": right * b,
    }
    shapes = {
        (2, 3): "it is not summed over the examples; all have the same wall",
        (): "it is summed over the channels; the wall has a number for each",
        (2, 3, 4, 4): "it is not summed over examples and places",
        (3, 1, 1): "b is (3,), without further axes",
    }
    expect_shape("dz_db", dz_db, (3,), shapes)
    expect_close("dz_db", dz_db, right, mistakes=wrong)


@visible("6, kinks", "whole pixels")
def check_sample_kinks(sample_backward: Callable[..., Any]) -> None:
    U = np.array([[[[1.0, 4.0, 2.0, 8.0], [3.0, 9.0, 5.0, 7.0]]]])
    grid = np.array([[[[-0.75, -0.5], [-0.25, -0.5], [0.25, -0.5]]]])  # columns 0, 1, 2 of the first row
    got = sample_backward(np.ones((1, 1, 1, 3)), U, grid, np.zeros(1))[1]
    x = np.array([3.0, -2.0, 6.0]) * 2  # W/2 = 2 pixels in a unit
    wrong = {
        "the slope to the left; the one to the right is asked": np.array([1.0, 3.0, -2.0]) * 2,
        "as printed in the paper: at a whole x the pixel itself has slope 1, whatever its neighbours are": (
            np.array([1.0, 4.0, 2.0]) * 2
        ),
        "the pixel itself is left out: the slope to the right is U of the next minus U of this one": (
            np.array([4.0, 2.0, 8.0]) * 2
        ),
        "minus the pixel itself; the next one is missing, at a distance of exactly 1": -np.array([1.0, 4.0, 2.0]) * 2,
        "half of both slopes; the one to the right is asked": np.array([2.0, 0.5, 2.0]) * 2,
        "the pixel itself and the next one both count with 1; the pixel itself has -1": np.array([5.0, 6.0, 10.0]) * 2,
        "0; the slope to the right is asked": np.zeros(3),
    }
    expect_shape("dz_dgrid", got, (1, 1, 3, 2))
    got = to_numpy(got)
    expect_close("dz_dx at the whole pixels 0, 1, 2 of the row 1, 4, 2, 8", got[0, 0, :, 0], x, mistakes=wrong)
    expect_close("dz_dy there, with the row 3, 9, 5, 7 below,", got[0, 0, :, 1], np.array([2.0, 5.0, 3.0]))


# ------------------------------------------------------------------------------------------ task 7


def moved(image: Tensor, field: Tensor, mistake: str = "") -> Tensor:
    """A panorama moved by a field, as a sum over all pixels; or what a mistake makes of it."""
    h, w = image.shape[2:]
    u, v = field.unbind(1)
    if mistake == "swapped":
        u, v = v, u
    elif mistake == "sign":
        u, v = -u, -v
    elif mistake == "v up":
        v = -v
    elif mistake == "half":
        u, v = u + 0.5, v + 0.5
    elif mistake == "units":
        u, v = u * w / 2, v * h / 2
    x = torch.arange(w) + u  # (N, H, W)
    y = torch.arange(h)[:, None] + v
    if mistake == "nearest":
        x, y = x.round(), y.round()
    elif mistake == "floor":
        x, y = x.floor(), y.floor()
    if mistake not in ("y around", "y zero"):
        y = y.clamp(0, h - 1)
    x = x.clamp(0, w - 1) if mistake == "x ends" else x
    across, down = torch.arange(w) - x[..., None], torch.arange(h) - y[..., None]  # (N, H, W, W), (N, H, W, H)
    if mistake == "short":
        across = torch.arange(w) - (x % (w - 1))[..., None]
    elif mistake == "seam":  # the last column and the first are not neighbours
        across = torch.arange(w) - (x % w).clamp(max=w - 1)[..., None]
    elif mistake not in ("x ends", "x zero"):
        across = (across + w / 2) % w - w / 2
    if mistake == "y around":
        down = (down + h / 2) % h - h / 2
    hats = [(1 - distance.abs()).clamp(min=0) for distance in (across, down)]
    if mistake == "shares":  # above the border, the line through the first two rows goes on
        above = (torch.arange(h)[:, None] + v).clamp(max=0)
        hats[1] = hats[1] + torch.stack([-above, above, *[torch.zeros_like(v)] * (h - 2)], -1)
    return torch.einsum("ncij,nhwj,nhwi->nchw", image, *hats)


@visible("7, move", "moving a panorama")
def check_move(move: Callable[..., Any]) -> None:
    image, field = draw(70, 2, 2, 4, 6), draw(71, 2, 2, 4, 6)
    got = move(image.clone(), torch.zeros_like(field))
    expect_shape("O", got, (2, 2, 4, 6))
    wrong = {
        "half a pixel off": moved(image, torch.zeros_like(field), "half"),
        "x modulo W - 1: the panorama is W pixels around": moved(image, torch.zeros_like(field), "short"),
    }
    expect_close("O where nothing moves", got, image, mistakes=wrong)
    inside = 0.9 * torch.rand(field.shape, generator=torch.Generator().manual_seed(72)).double()
    inside[:, 0, :, 3:] *= -1
    inside[:, 1, 2:] *= -1
    wrong = {
        "the sign: O(x, y) = I(x + u, y + v) looks to the right where u > 0": moved(image, inside, "sign"),
        "u and v are swapped: u goes along the width": moved(image, inside, "swapped"),
        "v goes down, as y does": moved(image, inside, "v up"),
        "the nearest pixel alone; four have a part": moved(image, inside, "nearest"),
        "the pixel to the upper left alone; four have a part": moved(image, inside, "floor"),
        "the field is taken in units of -1 to 1; it counts pixels": moved(image, inside, "units"),
        "the first example's field for all": moved(image, inside[:1].expand_as(inside)),
    }
    expect_close("O with a small field", move(image.clone(), inside.clone()), moved(image, inside), mistakes=wrong)
    field = 5 * field
    wrong = {
        "x ends at the border's columns; the panorama goes around": moved(image, field, "x ends"),
        "y goes around too; above and below the border's rows go on": moved(image, field, "y around"),
        "0 where x is outside; the panorama goes around": moved(image, field, "x zero"),
        "0 where y is outside; the border's rows go on": moved(image, field, "y zero"),
        "the shares are those of a place beyond the border; bring y back before they are taken": moved(
            image, field, "shares"
        ),
        "between the last column and the first the picture breaks; column W is column 0": moved(image, field, "seam"),
    }
    expect_close("O with a large field", move(image.clone(), field.clone()), moved(image, field), mistakes=wrong)


@visible("7, gradient", "moving a panorama, backwards")
def check_move_gradient(move: Callable[..., Any]) -> None:
    image, field, dz_dO = draw(73, 1, 2, 3, 4), 2 * draw(74, 1, 2, 3, 4), draw(75, 1, 2, 3, 4)
    for name, which in (("image", 0), ("field", 1)):
        leaves = [tensor.clone().requires_grad_(k == which) for k, tensor in enumerate((image, field))]
        z = (move(*leaves) * dz_dO).sum()
        if z.requires_grad:
            z.backward()
        got = leaves[which].grad
        expect(
            got is not None,
            f"no gradient reaches the {name}. Likely mistake: .detach(), .long() or .numpy() on the "
            "way; shares like x - floor(x) have to keep x's graph.",
        )
        again = [tensor.clone().requires_grad_(k == which) for k, tensor in enumerate((image, field))]
        expected = torch.autograd.grad((moved(*again) * dz_dO).sum(), again[which])[0]
        expect_close(f"the gradient by the {name}", got, expected)


@visible("7, total", "coarse and fine")
def check_total_field(total_field: Callable[..., Any]) -> None:
    coarse, fine = draw(76, 2, 2, 2, 3), draw(77, 2, 2, 4, 6)
    larger = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    wrong = {
        "the coarse field counts in pixels of half the size; in those of the full size it is twice as large": (
            larger + fine
        ),
        "halved instead of doubled": larger / 2 + fine,
        "the fine field is doubled too": 2 * (larger + fine),
        "copies of the coarse pixels; enlarge bilinearly": 2 * F.interpolate(coarse, scale_factor=2) + fine,
        "align_corners=True; the course has False": 2
        * F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=True)
        + fine,
        "the fine field is missing": 2 * larger,
    }
    got = total_field(coarse.clone(), fine.clone())
    expect_shape("D", got, (2, 2, 4, 6), {(2, 2, 2, 3): "the sum is at half the size; enlarge the coarse field"})
    expect_close("D", got, 2 * larger + fine, mistakes=wrong)


@visible("7, one", "two moves as one")
def check_as_one(as_one: Callable[..., Any]) -> None:
    first, second = draw(78, 2, 2, 4, 5), draw(79, 2, 2, 4, 5)
    wrong = {
        "the sum of the fields: the first one has to be read where the second one points": first + second,
        "the order is the other way round: the last move is looked through first": first + moved(second, first),
        "the first field is moved the wrong way": second + moved(first, -second),
        "the second field itself is missing": moved(first, second),
        "the first field is taken away; displacements add up": second - moved(first, second),
    }
    expect_close("the field", as_one(first.clone(), second.clone()), second + moved(first, second), mistakes=wrong)
