"""Checks of problem set 1: layers by hand, their gradients, a gradient checker, and training.

References come from torch's autograd in float64: `truth` says what y and every gradient should be, `compare` holds a
layer against it, and `agrees`, for the hidden tests, does both with the seeds of `fresh`. A check reads a layer only
through forward, backward, update, w and dz_dw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from course_lib.checks.core import CheckFailed, expect, expect_close, expect_shape, fresh, to_numpy, told, visible

Function = Callable[..., torch.Tensor]  # (x, **w) -> y, in torch
Shape = tuple[int, ...]

TOLERANCE = 1e-6  # a right layer's error in a gradient check is far below, a wrong one's far above
NOTICED = 1e-4


@dataclass(frozen=True)
class Truth:
    """What autograd says: y = function(x, **w), and for z = Σ dz_dy · y the gradients by name ("x" and those of w)."""

    function: Function
    x: np.ndarray
    w: dict[str, np.ndarray]
    dz_dy: np.ndarray
    y: np.ndarray
    gradients: dict[str, np.ndarray]


def truth(function: Function, x: Any, w: Mapping[str, Any], *, dz_dy: Any = None, seed: int = 1) -> Truth:
    """Autograd's answer in float64; dz_dy is Normal(0, 1) of the shape of y unless given."""
    x, w = np.array(x), {name: np.array(to_numpy(value), float) for name, value in w.items()}
    leaves = {"x": x, **w}
    leaves = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in leaves.items()}
    y = function(leaves["x"], **{name: leaf for name, leaf in leaves.items() if name != "x"})
    dz_dy = np.random.default_rng(seed).normal(size=tuple(y.shape)) if dz_dy is None else np.array(dz_dy, float)
    z = (y * torch.from_numpy(dz_dy)).sum()
    found = torch.autograd.grad(z, list(leaves.values()), allow_unused=True)
    gradients = {
        name: np.zeros(leaf.shape) if g is None else g.numpy()
        for (name, leaf), g in zip(leaves.items(), found, strict=True)
    }
    return Truth(function, x, w, dz_dy, y.detach().numpy(), gradients)


def attempt(what: str, call: Callable[[], Any], hint: str = "") -> Any:
    """The result of the student's `call`; an exception in it becomes a CheckFailed with its text and `hint`."""
    try:
        return call()
    except (NotImplementedError, CheckFailed):
        raise
    except Exception as error:
        text = f"{what} raised {type(error).__name__}: {' '.join(str(error).split())}."
        raise CheckFailed(text + (f" Likely mistake: {hint}." if hint else "")) from error


def _forward(layer: Any, x: np.ndarray, hint: str) -> Any:
    given = x.copy()
    y = attempt(f"forward, for x of shape {x.shape},", lambda: layer.forward(given), hint)
    expect(np.array_equal(given, x), "forward changed its input x in place (x += …, x[...] = …); work on a copy.")
    return y


def _backward(layer: Any, dz_dy: np.ndarray, hint: str) -> Any:
    given = dz_dy.copy()
    dz_dx = attempt(f"backward, for dz_dy of shape {dz_dy.shape},", lambda: layer.backward(given), hint)
    expect(np.array_equal(given, dz_dy), "backward changed its input dz_dy in place; work on a copy.")
    return dz_dx


def compare(
    layer: Any,
    true: Truth,
    parts: Sequence[str],
    *,
    mistakes: Mapping[str, Mapping[str, Any] | Callable[[], Mapping[str, Any]]] | None = None,
    shapes: Mapping[str, Mapping[Shape, str] | Callable[[], Mapping[Shape, str]]] | None = None,
    hints: Mapping[str, str] | None = None,
    tolerance: float = 1e-8,
    seed: int = 2,
) -> None:
    """Hold a layer's forward and backward against the truth.

    The layer first sees another batch, one example larger, so that it is found out if it remembers too much.

    Args:
        parts: what to compare: "y", "x" (for dz_dx), and names of parameters (for dz_dw[name]).
        mistakes: for each part, {what is likely wrong: the value that it gives}. shapes: {shape: what is likely wrong}.
            Both may be functions of nothing, called only where the part is wrong.
        hints: for "forward" and "backward", the likely mistake if it raises.
        seed: of the other batch's dz_dy.
    """
    mistakes, shapes, hints = mistakes or {}, shapes or {}, hints or {}
    other_x = np.concatenate([true.x[:1] * 0.5 + 0.25, true.x]).astype(true.x.dtype)
    other_dz_dy = np.random.default_rng(seed).normal(size=(len(other_x), *true.y.shape[1:]))
    attempt("forward", lambda: layer.forward(other_x.copy()), hints.get("forward", ""))
    gradients = [part for part in parts if part != "y"]
    if gradients:
        attempt("backward", lambda: layer.backward(other_dz_dy.copy()), hints.get("backward", ""))
    y = _forward(layer, true.x, hints.get("forward", ""))
    if "y" in parts:
        expect_shape("y", y, true.y.shape, shapes.get("y"))
        _expect_double("y", y, true.y, tolerance)
        expect_close("y", y, true.y, atol=tolerance, rtol=tolerance, mistakes=mistakes.get("y"))
    if not gradients:
        return
    dz_dx = _backward(layer, true.dz_dy, hints.get("backward", ""))
    for part in gradients:
        name = "dz_dx" if part == "x" else f'dz_dw["{part}"]'
        if part != "x":
            expect(part in layer.dz_dw, f"backward left no {name}.")
        got, expected = (dz_dx if part == "x" else layer.dz_dw[part]), true.gradients[part]

        def known(part: str = part, expected: np.ndarray = expected) -> dict[str, Any]:
            known = dict(told(mistakes.get(part)))
            if part != "x":
                other = truth(true.function, other_x, true.w, dz_dy=other_dz_dy).gradients[part]
                known["it is added to the last batch's; write it anew in every backward"] = expected + other
            known.setdefault("the sign", -expected)
            known.setdefault(
                "it is divided by the number of examples; the mean belongs to the loss", expected / len(true.x)
            )
            return known

        expect_shape(name, got, expected.shape, shapes.get(part))
        _expect_double(name, got, expected, tolerance)
        expect_close(name, got, expected, atol=tolerance, rtol=tolerance, mistakes=known)


def _expect_double(name: str, value: Any, expected: np.ndarray, tolerance: float) -> None:
    """Fail if `value` is right but for the rounding of float32."""
    got = to_numpy(value)
    near, exact = (np.allclose(got, expected, rtol=t, atol=t) for t in (1e-6, tolerance))
    expect(exact or not near, f"{name} is right to six digits only: somewhere float32 is used; compute in float64.")


def agrees(layer: Any, x: Any, function: Function, *parts: str, dz_dy: Any = None, tolerance: float = 1e-8) -> None:
    """Fail unless y and every gradient (or only the named parts) are what autograd says of function(x, **layer.w)."""
    true = truth(function, x, layer.w, dz_dy=dz_dy, seed=fresh(1))
    compare(layer, true, parts or ("y", "x", *true.w), tolerance=tolerance, seed=fresh(2))


# ------------------------------------------------------------------------------------------- 1 · Linear


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.linear(x, weight, bias)


def _linear_case(Linear: Any, shape: tuple[int, ...], outputs: int = 4, **more: Any) -> tuple[Any, Truth]:
    rng = np.random.default_rng(10)
    weight, bias = rng.normal(size=(outputs, shape[-1])), rng.normal(size=outputs)
    layer = attempt("Linear(weight, bias)", lambda: Linear(weight, bias, **more))
    return layer, truth(_linear, rng.normal(size=shape), {"weight": weight, "bias": bias})


@visible("1a", "linear layer, forward")
def check_linear_forward(Linear: Any) -> None:
    for shape in ((5, 3), (2, 6, 3)):
        layer, true = _linear_case(Linear, shape)
        compare(
            layer,
            true,
            ["y"],
            mistakes={"y": {"the bias is missing": true.y - true.w["bias"]}},
            hints={
                "forward": "weight is (T, S) and x is (..., S), so it must be transposed before x is multiplied by it"
            },
        )


@visible("1b", "linear layer, backward")
def check_linear_backward(Linear: Any) -> None:
    for shape in ((5, 3), (2, 6, 3)):
        layer, true = _linear_case(Linear, shape)
        x, r, t, s = true.x, true.dz_dy, 4, shape[-1]
        last = {"the bias sees only the last position": r.reshape(-1, t)[-1]}
        if len(shape) == 3:
            last["dz_dy is summed over the examples, but not over the positions"] = r.sum(0)
        compare(
            layer,
            true,
            ["x", "weight", "bias"],
            shapes={
                "weight": {
                    (s, t): "it is transposed; dz_dw has the shape of the weight, (T, S)",
                    (*shape[1:-1], t, s): "it is summed over the examples, but not over the positions",
                    (*shape[:1], t, s): "it is summed over the positions, but not over the examples",
                    (*shape[:-1], t, s): "it is not summed; all examples and positions share one weight",
                },
                "bias": {
                    (*shape[:-1], t): "it is not summed; all examples and positions share one bias",
                    (*shape[1:-1], t): "it is summed over the examples, but not over the positions",
                    (): "it is summed over the outputs too; there is one number for each",
                    (shape[0], t): "it is summed over the positions, but not over the examples",
                },
            },
            mistakes={
                "x": {
                    "dz_dx lacks dz_dy: it is the same for every dz_dy": np.broadcast_to(true.w["weight"].sum(0), shape)
                },
                "bias": {
                    "the mean in place of the sum": r.reshape(-1, t).mean(0),
                    "dz_dy is forgotten": np.full(t, float(x[..., 0].size)),
                    **last,
                },
                "weight": {"the mean in place of the sum": true.gradients["weight"] / x[..., 0].size},
            },
            hints={"backward": "x and dz_dy may have more than two axes: (..., S) and (..., T)"},
        )


@visible("1c", "linear layer, update")
def check_linear_update(Linear: Any) -> None:
    rate, decay = 0.1, 0.5
    layer, true = _linear_case(Linear, (5, 3), decay=decay)
    layer.forward(true.x)
    layer.backward(true.dz_dy)
    # From here on only what update does with dz_dw counts, be it right or not.
    g = {name: np.array(to_numpy(layer.dz_dw[name])) for name in ("weight", "bias")}
    attempt("update", lambda: layer.update(rate))
    w, b = true.w["weight"], true.w["bias"]
    expect_close(
        'w["weight"] after update',
        layer.w["weight"],
        w - rate * (g["weight"] + decay * w),
        mistakes={
            "uphill: the sign of the step": w + rate * (g["weight"] + decay * w),
            "there is no decay": w - rate * g["weight"],
            "the decay is not multiplied by the learning rate": w - rate * g["weight"] - decay * w,
            "the decay has the wrong sign": w - rate * (g["weight"] - decay * w),
            "nothing has moved: a new array was made, but not put into w": w,
            "the learning rate is missing": w - (g["weight"] + decay * w),
        },
    )
    expect_close(
        'w["bias"] after update',
        layer.w["bias"],
        b - rate * g["bias"],
        mistakes={
            "the bias decays too; only the weight should": b - rate * (g["bias"] + decay * b),
            "uphill: the sign of the step": b + rate * g["bias"],
            "nothing has moved: a new array was made, but not put into w": b,
            "the learning rate is missing": b - g["bias"],
        },
    )
    expect(
        all(np.array_equal(to_numpy(layer.dz_dw[name]), g[name]) for name in g),
        "update changed dz_dw; it should change only w.",
    )


# -------------------------------------------------------------------------------------------- 2 · Swish


def swish(x: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """y = x σ(βx), one β for each channel (axis 1), in torch."""
    return x * torch.sigmoid(x * beta.reshape(-1, *[1] * (x.dim() - 2)))


def _swish_case(Swish: Any, shape: tuple[int, ...]) -> tuple[Any, Truth, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20)
    beta = rng.uniform(0.5, 2.0, size=shape[1])
    layer = attempt("Swish(beta)", lambda: Swish(beta))
    true = truth(swish, rng.normal(size=shape), {"beta": beta})
    wide = beta.reshape(-1, *[1] * (len(shape) - 2))
    return layer, true, wide, 1 / (1 + np.exp(-wide * true.x))


@visible("2a", "Swish, forward")
def check_swish_forward(Swish: Any) -> None:
    hint = "beta is (C,) and belongs to axis 1 of x (N, C, ...); it must be reshaped to (C, 1, 1) for images"
    for shape in ((4, 3), (2, 3, 4, 5)):
        layer, true, wide, s = _swish_case(Swish, shape)
        x = true.x
        compare(
            layer,
            true,
            ["y"],
            mistakes={
                "y": {
                    "beta is left out": x / (1 + np.exp(-x)),
                    "the factor x before the sigmoid is missing": s,
                    "beta also multiplies the x in front of the sigmoid": wide * x * s,
                    "the sign inside the exponential": x * (1 - s),
                }
            },
            hints={"forward": hint},
        )
    same = truth(swish, np.random.default_rng(21).normal(size=(2, 3, 3, 3)), {"beta": [0.2, 1.0, 3.0]})
    last = same.x / (1 + np.exp(-same.x * same.w["beta"]))
    rows = same.x / (1 + np.exp(-same.x * same.w["beta"][:, None]))
    wrong = {
        "beta is spread along the wrong axis; it belongs to axis 1": last,
        "beta is spread along axis 2, not 1": rows,
    }
    compare(Swish(same.w["beta"]), same, ["y"], mistakes={"y": wrong})
    far = truth(swish, np.array([[-2000.0, 2000.0], [0.0, -800.0]]), {"beta": [1.0, 1.0]})
    with np.errstate(all="ignore"):
        compare(Swish(far.w["beta"]), far, ["y"])


@visible("2b", "Swish, backward")
def check_swish_backward(Swish: Any) -> None:
    for shape in ((4, 3), (2, 3, 4, 5)):
        layer, true, wide, s = _swish_case(Swish, shape)
        x, r = true.x, true.dz_dy
        axes = (0, *range(2, len(shape)))
        compare(
            layer,
            true,
            ["x", "beta"],
            shapes={
                "beta": {
                    shape: "it is not summed over the examples (and pixels) that share one beta",
                    shape[1:]: "it is summed over the examples, but not over the pixels",
                    (): "it is summed over the channels too; each has a beta of its own",
                    shape[:2]: "it is summed over the pixels, but not over the examples",
                }
            },
            mistakes={
                "x": {
                    "the product rule: the second term is missing": r * s,
                    "the product rule: the first term is missing": r * wide * x * s * (1 - s),
                    "the chain rule: beta, the derivative of what is inside the sigmoid, is missing": r
                    * (s + x * s * (1 - s)),
                    "dz_dy is forgotten": s + wide * x * s * (1 - s),
                },
                "beta": {
                    "x counts twice: once before the sigmoid and once inside it": (r * x * s * (1 - s)).sum(axes),
                    "the mean in place of the sum": true.gradients["beta"] * shape[1] / x.size,
                    "dz_dy is forgotten": (x**2 * s * (1 - s)).sum(axes),
                    "the factor 1 − σ is missing": (r * x**2 * s).sum(axes),
                },
            },
        )


# --------------------------------------------------------------------------------------------- 3 · loss


def _loss_case(seed: int = 30, n: int = 6, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 2 * rng.normal(size=(n, k)), rng.integers(0, k, n)


def loss_truth(scores: Any, labels: Any, smoothing: float) -> tuple[float, np.ndarray]:
    """The smoothed cross-entropy in nats, averaged over the batch, and its gradient (N, K), by torch in float64."""
    leaf = torch.tensor(np.asarray(scores, float), requires_grad=True)
    target = torch.tensor(np.asarray(labels)).long()
    z = F.cross_entropy(leaf, target, label_smoothing=smoothing)
    return float(z.detach()), torch.autograd.grad(z, leaf)[0].numpy()


def _targets(labels: np.ndarray, k: int, smoothing: float) -> np.ndarray:
    return (1 - smoothing) * np.eye(k)[labels] + smoothing / k


@visible("3a", "cross-entropy, value")
def check_loss_value(SmoothedCrossEntropy: Any) -> None:
    eps = 0.2
    scores, labels = _loss_case()
    n, k = scores.shape
    log_p = torch.log_softmax(torch.from_numpy(scores), 1).numpy()
    hot = np.eye(k)[labels]
    true, _ = loss_truth(scores, labels, eps)
    given = scores.copy()
    loss = attempt("SmoothedCrossEntropy(smoothing)", lambda: SmoothedCrossEntropy(eps))
    z = attempt("forward", lambda: loss.forward(given, labels.copy()))
    expect(np.array_equal(given, scores), "forward changed the scores in place (scores -= …); work on a copy.")
    expect_shape(
        "z", z, (), {(n,): "z is one number, the mean over the batch", (n, k): "sum over classes, mean over examples"}
    )
    others = (1 - eps) * hot + eps / (k - 1) * (1 - hot)
    expect_close(
        "z",
        z,
        true,
        atol=1e-9,
        rtol=1e-9,
        mistakes={
            "the sum over the examples in place of their mean": n * true,
            "the mean is also taken over the classes; there it is a sum": true / k,
            "the sign: a loss is minus the log-probability": -true,
            "the targets are not smoothed": -(hot * log_p).sum() / n,
            "smoothing is shared by the K − 1 other classes; here all K get ε/K": -(others * log_p).sum() / n,
            "the right class keeps 1 and the rest get ε/K on top": -((hot + eps / k) * log_p).sum() / n,
            "log2 in place of the natural logarithm": true / np.log(2),
            "the softmax is over the examples (axis 0), not over the classes (axis 1)": -(
                _targets(labels, k, eps) * torch.log_softmax(torch.from_numpy(scores), 0).numpy()
            ).sum()
            / n,
        },
    )
    huge = np.array([[900.0, -900.0, 0.0], [-3000.0, -3000.0, -3001.0]])
    with np.errstate(all="ignore"):
        z = attempt("forward", lambda: loss.forward(huge.copy(), np.array([1, 2])))
    expect(
        bool(np.isfinite(to_numpy(z)).all()),
        "z is not finite for scores of ±900. Likely mistake: exp overflows, or log(0) is taken; subtract each row's "
        "largest score before exp, and compute log p without computing p first.",
    )
    expect_close(
        "z for scores of ±900",
        z,
        loss_truth(huge, [1, 2], eps)[0],
        mistakes={
            "a small number inside the logarithm hides log(0); compute log p from the scores": _clipped(
                huge, [1, 2], eps
            )
        },
        rtol=1e-9,
    )


def _clipped(scores: np.ndarray, labels: Sequence[int], eps: float) -> float:
    p = torch.softmax(torch.from_numpy(scores), 1).numpy()
    return float(-(_targets(np.array(labels), scores.shape[1], eps) * np.log(p + 1e-12)).sum() / len(scores))


@visible("3b", "cross-entropy, gradient")
def check_loss_gradient(SmoothedCrossEntropy: Any) -> None:
    eps = 0.2
    scores, labels = _loss_case(31)
    n, k = scores.shape
    _, true = loss_truth(scores, labels, eps)
    p = torch.softmax(torch.from_numpy(scores), 1).numpy()
    loss = attempt("SmoothedCrossEntropy(smoothing)", lambda: SmoothedCrossEntropy(eps))
    mistakes = {
        "the mean over the batch is missing: divide by N": n * true,
        "the sign: it is p − q, not q − p": -true,
        "the targets q are not smoothed": (p - np.eye(k)[labels]) / n,
        "q is forgotten": p / n,
        "divided by N·K; the classes are summed, not averaged": true / k,
    }
    loss.forward(*_loss_case(32, n + 1))
    loss.forward(scores.copy(), labels.copy())
    got = attempt("backward()", lambda: loss.backward())
    expect_close("dz_dscores", got, true, atol=1e-9, rtol=1e-9, mistakes=mistakes)
    got = attempt("backward(3.0)", lambda: loss.backward(3.0))
    wrong = {
        "dz_dy is forgotten; it multiplies everything": true,
        "each call changes what forward kept": 3 * (true - _targets(labels, k, eps) / n),
    }
    expect_close("dz_dscores for dz_dy = 3", got, 3 * true, atol=1e-9, rtol=1e-9, mistakes=wrong)


# ------------------------------------------------------------------------------------------ 4 · pooling


def mixed_pool(kernel: tuple[int, int], stride: tuple[int, int]) -> Function:
    """y = mix · max + (1 − mix) · mean over windows, in torch."""
    return lambda x, mix: mix * F.max_pool2d(x, kernel, stride) + (1 - mix) * F.avg_pool2d(x, kernel, stride)


def _assigned(true: Truth, *, backwards: bool) -> np.ndarray:
    """dz_dx if each window wrote (=) where it should add (+=), windows taken in reading order or backwards."""
    dz_dx = np.zeros(true.x.shape)
    places = list(np.ndindex(true.y.shape[2:]))
    for i, j in reversed(places) if backwards else places:
        only = np.zeros(true.y.shape)
        only[:, :, i, j] = true.dz_dy[:, :, i, j]
        part = truth(true.function, true.x, true.w, dz_dy=only).gradients["x"]
        dz_dx = np.where(part != 0, part, dz_dx)
    return dz_dx


def _overlaps(true: Truth) -> dict[str, np.ndarray]:
    return {
        "windows overlap, and a pixel gets the sum of what they say: += in place of =": _assigned(
            true, backwards=False
        ),
        "windows overlap; every one that sees a pixel adds to it: += in place of =": _assigned(true, backwards=True),
    }


def _pool_case(
    MixedPool2d: Any, x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int], mix: float
) -> tuple[Any, Truth]:
    layer = attempt("MixedPool2d(kernel, stride, mix)", lambda: MixedPool2d(kernel, stride, mix))
    return layer, truth(mixed_pool(kernel, stride), x, {"mix": mix})


@visible("4a", "mixed pooling, forward")
def check_pool_forward(MixedPool2d: Any) -> None:
    x, mix = np.random.default_rng(40).normal(size=(2, 3, 7, 6)), 0.3
    for kernel, stride in (((2, 2), (2, 2)), ((3, 2), (2, 1)), ((2, 3), (1, 2))):
        layer, true = _pool_case(MixedPool2d, x, kernel, stride, mix)
        most, mean = (truth(true.function, x, {"mix": m}).y for m in (1.0, 0.0))
        side = truth(mixed_pool(kernel, kernel), x, {"mix": mix}).y.shape
        turned = truth(mixed_pool(kernel, stride[::-1]), x, {"mix": mix}).y.shape
        both = truth(mixed_pool(kernel[::-1], stride[::-1]), x, {"mix": mix}).y.shape
        hint = "rows and columns are exchanged in kernel or stride"
        shapes = {both: hint, turned: hint, side: "the stride is not used"}
        compare(
            layer,
            true,
            ["y"],
            shapes={"y": {shape: hint for shape, hint in shapes.items() if shape != true.y.shape}},
            mistakes={
                "y": {
                    "mix and 1 − mix are exchanged": mix * mean + (1 - mix) * most,
                    "only the maximum": most,
                    "only the mean": mean,
                    "mix times the maximum plus the whole mean; the mean's share is 1 − mix": mix * most + mean,
                    "the sum in place of the mean": mix * most + (1 - mix) * mean * kernel[0] * kernel[1],
                }
            },
        )
    below = -1 - np.abs(x)
    layer, true = _pool_case(MixedPool2d, below, (3, 3), (2, 2), 1.0)
    zero = np.zeros(true.y.shape)
    compare(layer, true, ["y"], mistakes={"y": {"the maximum starts from 0, and all values here are below": zero}})


def _pool_mistakes(
    true: Truth, most: np.ndarray, mean: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Wrong dz_dx, given those of the maximum alone and of the mean alone."""
    mix = true.w["mix"]
    return {
        "mix and 1 − mix are exchanged": mix * mean + (1 - mix) * most,
        "the mean's part is not divided by the number of pixels in a window": mix * most
        + (1 - mix) * kernel[0] * kernel[1] * mean,
        "only the maximum's part; the mean depends on every pixel": mix * most,
        "only the mean's part; the maximum has one too": (1 - mix) * mean,
        "mix is forgotten": most + mean,
        **(_overlaps(true) if stride == (1, 1) else {}),
    }


@visible("4b", "mixed pooling, backward")
def check_pool_backward(MixedPool2d: Any) -> None:
    x, mix = np.random.default_rng(41).normal(size=(2, 2, 5, 6)), 0.3
    for kernel, stride in (((2, 2), (2, 2)), ((3, 2), (1, 1))):
        layer, true = _pool_case(MixedPool2d, x, kernel, stride, mix)
        most, mean = (truth(true.function, x, {"mix": m}, dz_dy=true.dz_dy) for m in (1.0, 0.0))
        compare(
            layer,
            true,
            ["x", "mix"],
            shapes={
                "mix": {
                    true.y.shape: "all windows share one mix: sum",
                    (1,): "mix is one number, of shape ()",
                    x.shape[1:2]: "all maps share one mix too",
                }
            },
            mistakes={
                "x": partial(_pool_mistakes, true, most.gradients["x"], mean.gradients["x"], kernel, stride),
                "mix": {
                    "the derivative of 1 − mix is −1: maximum minus mean": (true.dz_dy * most.y).sum(),
                    "dz_dy is forgotten": (most.y - mean.y).sum(),
                    "the mean over the windows in place of the sum": true.gradients["mix"] / true.y.size,
                },
            },
        )
    flat = np.zeros((1, 1, 2, 3))
    layer, true = _pool_case(MixedPool2d, flat, (2, 3), (1, 1), 1.0)
    compare(
        layer,
        true,
        ["x"],
        mistakes={
            "x": {
                "a tie: all the largest pixels get the whole gradient; only the first should": np.full(
                    flat.shape, true.dz_dy.item()
                ),
                "a tie: the largest pixels share the gradient; the first gets all": np.full(
                    flat.shape, true.dz_dy.item() / 6
                ),
                "a tie: the last of the largest pixels wins; the first should": true.gradients["x"][..., ::-1, ::-1],
            }
        },
    )


# -------------------------------------------------------------------------------------- 5 · convolution


def convolution(stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]) -> Function:
    """The generalized convolution in torch."""
    return lambda x, weight, bias: F.conv2d(x, weight, bias, stride, padding, dilation)


CONVOLUTIONS = (  # shape of x, outputs T, kernel, stride, padding, dilation
    ((2, 2, 5, 6), 3, (3, 3), (1, 1), (0, 0), (1, 1)),
    ((2, 2, 6, 5), 3, (3, 2), (2, 1), (1, 2), (1, 1)),
    ((2, 3, 8, 7), 2, (2, 3), (1, 2), (1, 1), (3, 2)),
)


def _conv_case(DilatedConv2d: Any, case: tuple) -> tuple[Any, Truth]:
    shape, outputs, kernel, stride, padding, dilation = case
    rng = np.random.default_rng(50)
    weight, bias = rng.normal(size=(outputs, shape[1], *kernel)), rng.normal(size=outputs)
    layer = attempt("DilatedConv2d(…)", lambda: DilatedConv2d(weight, bias, stride, padding, dilation))
    function = convolution(stride, padding, dilation)
    return layer, truth(function, rng.normal(size=shape), {"weight": weight, "bias": bias})


def _conv_variants(case: tuple, true: Truth) -> dict[str, np.ndarray]:
    """What likely mistakes give in place of y."""
    stride, padding, dilation = case[3:]
    x, w, b = true.x, true.w["weight"], true.w["bias"]

    def otherwise(
        stride: tuple[int, int] = stride,
        padding: tuple[int, int] = padding,
        dilation: tuple[int, int] = dilation,
        x: np.ndarray = x,
        weight: np.ndarray = w,
    ) -> np.ndarray:
        try:
            return truth(convolution(stride, padding, dilation), x, {"weight": weight, "bias": b}).y
        except RuntimeError:  # there is no such convolution of this image
            return np.zeros(0)

    variants = {
        "the dilation is not used": otherwise(dilation=(1, 1)),
        "the padding is not used": otherwise(padding=(0, 0)),
        "the stride is not used": otherwise(stride=(1, 1)),
        "stride and dilation are exchanged": otherwise(stride=dilation, dilation=stride),
        "rows and columns of the stride are exchanged": otherwise(stride=stride[::-1]),
        "rows and columns of the padding are exchanged": otherwise(padding=padding[::-1]),
        "rows and columns of the dilation are exchanged": otherwise(dilation=dilation[::-1]),
        "the kernel is flipped; here a goes forward, i·sh + a·dh": otherwise(weight=w[:, :, ::-1, ::-1]),
        "the bias is missing": true.y - b[:, None, None],
        "only the first input map is used": otherwise(x=x * (np.arange(x.shape[1]) == 0)[:, None, None]),
        "the padding is not zeros, but repeats the edge": otherwise(
            padding=(0, 0), x=np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2), mode="edge")
        ),
        "rows' numbers are used for the columns too": otherwise(
            (stride[0],) * 2, (padding[0],) * 2, (dilation[0],) * 2
        ),
        "the stride of the rows is used for the columns too": otherwise(stride=(stride[0],) * 2),
        "the padding of the rows is used for the columns too": otherwise(padding=(padding[0],) * 2),
        "the size of y is that of no dilation": np.zeros(otherwise(dilation=(1, 1)).shape if dilation != (1, 1) else 0),
    }
    return {hint: value for hint, value in variants.items() if value.size}


def _conv_shapes(case: tuple, true: Truth) -> dict[Shape, str]:
    variants = reversed(_conv_variants(case, true).items())
    return {value.shape: hint for hint, value in variants if value.shape != true.y.shape}


def _conv_values(case: tuple, true: Truth) -> dict[str, np.ndarray]:
    variants = _conv_variants(case, true).items()
    return {hint: value for hint, value in variants if value.shape != true.y.shape or not np.allclose(value, true.y)}


@visible("5a", "convolution, forward")
def check_convolution_forward(DilatedConv2d: Any) -> None:
    for case in CONVOLUTIONS:
        layer, true = _conv_case(DilatedConv2d, case)
        compare(
            layer,
            true,
            ["y"],
            shapes={"y": partial(_conv_shapes, case, true)},
            mistakes={"y": partial(_conv_values, case, true)},
            hints={"forward": "look at the shapes: padded x is (N, S, H + 2·ph, W + 2·pw), weight (T, S, kh, kw)"},
        )


@visible("5b", "convolution, gradient of the input")
def check_convolution_input(DilatedConv2d: Any) -> None:
    for case in CONVOLUTIONS:
        layer, true = _conv_case(DilatedConv2d, case)
        (n, s, height, width), (ph, pw) = case[0], case[4]
        cut = {(n, s, height + 2 * ph, width + 2 * pw): "the padding is not cut off"} if ph + pw else {}
        cut |= {(n, s, 0, 0): "[p:-p] is empty where the padding p is 0"}
        compare(
            layer,
            true,
            ["x"],
            shapes={"x": {**cut, true.y.shape: "it has the shape of y; dz_dx has that of x"}},
            mistakes={"x": partial(_conv_mistakes, case, true)},
        )


def _conv_mistakes(case: tuple, true: Truth) -> dict[str, np.ndarray]:
    """What likely mistakes give in place of dz_dx."""
    turned = {**true.w, "weight": true.w["weight"][:, :, ::-1, ::-1]}
    return {
        **_overlaps(true),
        "the kernel is turned the wrong way": truth(true.function, true.x, turned, dz_dy=true.dz_dy).gradients["x"],
        "the padding is cut from the wrong side": _cut_wrongly(case, true),
    }


def _cut_wrongly(case: tuple, true: Truth) -> np.ndarray:
    (_, _, height, width), stride, (ph, pw), dilation = case[0], *case[3:]
    padded = np.pad(true.x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    whole = truth(convolution(stride, (0, 0), dilation), padded, true.w, dz_dy=true.dz_dy).gradients["x"]
    return whole[:, :, :height, :width] if ph + pw else np.zeros(0)


@visible("5c", "convolution, gradients of the parameters")
def check_convolution_parameters(DilatedConv2d: Any) -> None:
    for case in CONVOLUTIONS:
        layer, true = _conv_case(DilatedConv2d, case)
        x, r, g = true.x, true.dz_dy, true.gradients["weight"]
        compare(
            layer,
            true,
            ["weight", "bias"],
            shapes={
                "weight": {
                    (g.shape[1], g.shape[0], *g.shape[2:]): "input and output maps are exchanged",
                    (len(x), *g.shape): "it is not summed over the examples",
                },
                "bias": {
                    r.shape: "all examples and pixels share one bias: sum over N, H' and W'",
                    r.shape[1:]: "it is summed over the examples, but not over the pixels",
                    r.shape[:2]: "it is summed over the pixels, but not over the examples",
                    (): "there is one bias for each output map",
                },
            },
            mistakes={
                "weight": partial(_conv_weight_mistakes, true),
                "bias": {
                    "the mean in place of the sum": r.mean((0, 2, 3)),
                    "the mean over the pixels in place of the sum": r.mean((2, 3)).sum(0),
                },
            },
        )


def _conv_weight_mistakes(true: Truth) -> dict[str, np.ndarray]:
    """What likely mistakes give in place of dz_dw["weight"]."""
    r, g = true.dz_dy, true.gradients["weight"]
    first = (np.arange(len(r)) == 0)[:, None, None, None]
    corner = np.zeros_like(r)
    corner[:, :, -1, -1] = r[:, :, -1, -1]
    alone, late, place = (
        truth(true.function, true.x, true.w, dz_dy=part).gradients["weight"] for part in (r * first, r * ~first, corner)
    )
    return {
        "only the first example counts": alone,
        "only the last example counts: = in place of +=": late,
        "only the last position counts: = in place of +=": place,
        "the kernel is turned by half a turn": g[:, :, ::-1, ::-1],
        "the mean over the pixels in place of the sum": g / (r.shape[2] * r.shape[3]),
    }


# -------------------------------------------------------------------------------------- 6 · a new layer


def rms_norm(eps: float) -> Function:
    """y = gain · x / sqrt(mean(x²) + eps) over the last axis, in torch."""
    return lambda x, gain: gain * x / torch.sqrt((x**2).mean(-1, keepdim=True) + eps)


def _norm_case(RMSNorm: Any, shape: tuple[int, ...]) -> tuple[Any, Truth, float]:
    rng = np.random.default_rng(60)
    eps, gain = 0.5, rng.normal(size=shape[-1])
    layer = attempt("RMSNorm(gain, eps)", lambda: RMSNorm(gain, eps))
    return layer, truth(rms_norm(eps), 1 + rng.normal(size=shape), {"gain": gain}), eps


@visible("6a", "RMS normalization, forward")
def check_norm_forward(RMSNorm: Any) -> None:
    for shape in ((5, 4), (2, 3, 4)):
        layer, true, eps = _norm_case(RMSNorm, shape)
        x, gain = true.x, true.w["gain"]
        square = (x**2).mean(-1, keepdims=True)
        centred = x - x.mean(-1, keepdims=True)
        compare(
            layer,
            true,
            ["y"],
            mistakes={
                "y": {
                    "the gain is missing": true.y / gain,
                    "eps is added to the root; it belongs under it": gain * x / (np.sqrt(square) + eps),
                    "eps is missing": gain * x / np.sqrt(square),
                    "the sum of squares in place of their mean": gain * x / np.sqrt(x.shape[-1] * square + eps),
                    "the root is missing": gain * x / (square + eps),
                    "the mean is taken over the examples (axis 0); it is over the last axis": gain
                    * x
                    / np.sqrt((x**2).mean(0) + eps),
                    "the mean is taken over everything; it is over the last axis": gain
                    * x
                    / np.sqrt((x**2).mean() + eps),
                    "the mean of x is subtracted, as layer normalization does; here it is not": gain
                    * centred
                    / np.sqrt((centred**2).mean(-1, keepdims=True) + eps),
                    "the standard deviation in place of the root mean square": gain
                    * x
                    / np.sqrt((centred**2).mean(-1, keepdims=True) + eps),
                }
            },
            hints={"forward": "keepdims=True keeps the last axis, so that (..., 1) divides (..., S)"},
        )


@visible("6b", "RMS normalization, backward")
def check_norm_backward(RMSNorm: Any) -> None:
    for shape in ((5, 4), (2, 3, 4)):
        layer, true, eps = _norm_case(RMSNorm, shape)
        x, r, gain = true.x, true.dz_dy, true.w["gain"]
        rho = np.sqrt((x**2).mean(-1, keepdims=True) + eps)
        direct, product = gain * r / rho, gain * r * x
        through = x * product.mean(-1, keepdims=True) / rho**3
        bare = r / rho - x * (r * x).mean(-1, keepdims=True) / rho**3
        axes = tuple(range(len(shape) - 1))
        compare(
            layer,
            true,
            ["x", "gain"],
            shapes={
                "gain": {
                    shape[1:]: "it is summed over the first axis only; sum over every axis but the last",
                    shape: "all examples share one gain: sum over every axis but the last",
                }
            },
            mistakes={
                "x": {
                    "ρ is treated as a constant; it depends on x too": direct,
                    "the sign of the term that comes through ρ": direct + through,
                    "the gain is left out": bare,
                    "the sum over the last axis in place of the mean, in the term through ρ": direct
                    - x.shape[-1] * through,
                    "ρ² in place of ρ³ in the term through ρ": direct - rho * through,
                    "only the term through ρ": -through,
                    "ρ in place of ρ³ in the term through ρ": direct - rho**2 * through,
                    "the sum is missing: in the term through ρ every x_s of a row hears from all": direct
                    - x * product / x.shape[-1] / rho**3,
                },
                "gain": {
                    "x in place of x/ρ": (r * x).sum(axes),
                    "y in place of x/ρ: the gain itself is in it": (r * true.y).sum(axes),
                    "the mean in place of the sum": true.gradients["gain"] * shape[-1] / x.size,
                },
            },
        )


# ---------------------------------------------------------------------------------- 7 · gradient checker


class Planted:
    """A small layer, y = x³·a + x·b (+ tanh x), for trying gradient checkers on; `bug` breaks its backward.

    x (N, S); a, b (S,). The forward is always right. Bugs are named in `BUGS`.
    """

    def __init__(self, bug: str = "", *, size: int = 4, seed: int = 0, scale: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        self.bug, self.calls, self.scale = bug, 0, scale
        self.w = {"a": scale * rng.normal(size=size), "b": scale * rng.normal(size=size)}
        self.dz_dw: dict[str, Any] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.calls += 1
        if self.bug != "remembers the first x" or not hasattr(self, "x"):
            self.x = np.array(x)
        return self.w["a"] * x**3 + self.w["b"] * x

    def backward(self, dz_dy: np.ndarray) -> Any:
        x, bug = self.x, self.bug
        r = np.ones_like(x) if bug == "ignores dz_dy" else dz_dy
        r = r[:, ::-1] if bug == "columns of dz_dy reversed" else r
        r = r[::-1] if bug == "examples of dz_dy reversed" else r
        dz_dx = r * (3 * self.w["a"] * x**2 + self.w["b"])
        new = {"a": (dz_dy * x**3).sum(0), "b": (dz_dy * x).sum(0)}
        if bug == "wrong sign":
            dz_dx = -dz_dx
        elif bug == "forgets a term":
            dz_dx = r * self.w["b"]
        elif bug == "a factor of 1.001":
            dz_dx = 1.001 * dz_dx
        elif bug == "one entry wrong":
            dz_dx = dz_dx.copy()
            dz_dx[-1, -1] += 5 * (self.scale + abs(dz_dx[-1, -1]))  # seen along any direction that moves this entry
        elif bug == "no gradient at all":
            dz_dx = np.zeros_like(dz_dx)
        elif bug == "not a number":
            dz_dx = np.full_like(dz_dx, np.nan)
        elif bug == "dz_dx has the wrong shape":
            dz_dx = dz_dx.sum(0)
        elif bug == "parameter: mean over the batch":
            new["b"] = new["b"] / len(x)
        elif bug == "parameter: last entry wrong":
            new["b"][-1] += 0.5 * (self.scale + abs(new["b"][-1]))
        elif bug == "parameter: not summed":
            new["a"] = dz_dy * x**3
        elif bug == "parameter: missing":
            del new["a"]
        elif bug == "parameter: one for another":
            new["a"], new["b"] = new["b"], new["a"]
        elif bug == "adds to the last batch" and self.dz_dw:
            new = {name: new[name] + self.dz_dw[name] for name in new}
        self.dz_dw = new
        return dz_dx


BUGS = {  # bug: where it shows
    "wrong sign": "x",
    "forgets a term": "x",
    "a factor of 1.001": "x",
    "one entry wrong": "x",
    "no gradient at all": "x",
    "not a number": "x",
    "dz_dx has the wrong shape": "x",
    "ignores dz_dy": "x",
    "columns of dz_dy reversed": "x",
    "examples of dz_dy reversed": "x",
    "remembers the first x": "x",
    "parameter: mean over the batch": "b",
    "parameter: last entry wrong": "b",
    "parameter: not summed": "a",
    "parameter: missing": "a",
    "parameter: one for another": "a",
    "adds to the last batch": "b",
}
WHY = {
    "one entry wrong": "a direction must move every entry at once",
    "not a number": "max() and > drop NaN; ask whether the error is below, not whether it is above",
    "dz_dx has the wrong shape": "NumPy stretches shapes that differ; compare shapes first",
    "parameter: not summed": "NumPy stretches shapes that differ; compare shapes first",
    "parameter: missing": "go through the names in layer.w, not through those in layer.dz_dw",
    "ignores dz_dy": "a random dz_dy is needed; with ones this cannot be seen",
    "columns of dz_dy reversed": "a random dz_dy is needed; with ones this cannot be seen",
    "examples of dz_dy reversed": "a random dz_dy is needed; with ones this cannot be seen",
    "remembers the first x": "show the layer another batch first",
    "adds to the last batch": "show the layer another batch first, forward and backward",
    "parameter: mean over the batch": "check the gradient of every parameter, not only of x",
    "parameter: last entry wrong": "check the gradient of every parameter, in every entry",
    "parameter: one for another": "check the gradient of every parameter, not only of x",
}


class Level:
    """y = a·(sin² x + cos² x − 1) + b: it depends on nothing but b, except for rounding. x (N, S); a, b (S,)."""

    def __init__(self, size: int = 4) -> None:
        self.w, self.dz_dw = {"a": np.ones(size), "b": np.zeros(size)}, {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.w["a"] * (np.sin(x) ** 2 + np.cos(x) ** 2 - 1) + self.w["b"]

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        self.dz_dw = {"a": np.zeros(dz_dy.shape[1]), "b": dz_dy.sum(0)}
        return np.zeros(dz_dy.shape)


class _View:
    """A layer whose w is made anew at each look, as a container's is: only changes inside its arrays are seen."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @property
    def w(self) -> dict[str, np.ndarray]:
        return dict(self.layer.w)

    @property
    def dz_dw(self) -> dict[str, np.ndarray]:
        return dict(self.layer.dz_dw)

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.layer.forward(x)

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        return self.layer.backward(dz_dy)


def errors_of(gradient_errors: Any, layer: Any, x: Any, names: Sequence[str], seed: int = 0) -> dict[str, float]:
    """What the student's checker says, after looking at its form: one number for x and for each parameter."""
    found = attempt("gradient_errors", lambda: gradient_errors(layer, x, np.random.default_rng(seed)))
    expect(isinstance(found, Mapping), f"gradient_errors returned a {type(found).__name__}, not a dictionary.")
    expect(
        set(found) == {"x", *names},
        f"gradient_errors names {sorted(map(str, found))}; expected {sorted(['x', *names])}.",
    )
    for name, value in found.items():
        expect_shape(f"the error of {name}", value, ())
    return {name: float(value) for name, value in found.items()}


@visible("7a", "gradient checker, right layers")
def check_checker_accepts(gradient_errors: Any) -> None:
    x = np.random.default_rng(70).normal(size=(3, 4))
    cases = {
        "a right layer": (
            Planted(),
            x,
            "the difference is not central, or an array is not put back before the next one is moved",
        ),
        "a right layer inside a container": (
            _View(Planted(seed=1)),
            x,
            "w was given a new array; change the numbers inside: layer.w[name][...] = …",
        ),
        "a right layer that does nothing": (Planted(scale=0.0), x, "0/0: the denominator needs a floor"),
        "a right layer whose gradient is zero": (
            Level(),
            x,
            "the denominator needs a floor, so that the rounding of a zero gradient is no error",
        ),
        "a right layer, and x in float32": (
            Planted(seed=2),
            x.astype(np.float32),
            "float32 is too coarse for a step of 1e-5; turn x into float64 first",
        ),
    }
    for what, (layer, given, hint) in cases.items():
        kept, before = given.copy(), {name: w.copy() for name, w in layer.w.items()}
        found = errors_of(gradient_errors, layer, given, ["a", "b"])
        expect(np.array_equal(given, kept), f"{what}: x is not as it was before the check; work on a copy.")
        for name, error in found.items():
            if what == "a right layer" and abs(error - 1 / 3) < 1e-3:
                hint = "a difference over 2·step is divided by step, or the other way round"
            expect(
                error <= TOLERANCE,
                f"{what}: the error of {name} is {error:.2g}, above {TOLERANCE:g}. Likely mistake: {hint}.",
            )
        expect(
            all(np.array_equal(layer.w[name], before[name]) for name in before),
            f"{what}: its parameters are not exactly as they were; keep a copy and put it back "
            "(w + h·d − h·d is not w, by rounding).",
        )
    wide = Planted(size=300, seed=3)
    errors_of(gradient_errors, wide, np.random.default_rng(71).normal(size=(2, 300)), ["a", "b"])
    expect(
        wide.calls <= 40,
        f"forward was called {wide.calls} times for 1,200 numbers. Likely mistake: one entry at a time is moved; move "
        "along a few random directions (2 calls each).",
    )


@visible("7b", "gradient checker, planted bugs")
def check_checker_catches(gradient_errors: Any) -> None:
    x = np.random.default_rng(72).normal(size=(3, 4))
    for bug, name in BUGS.items():
        found = errors_of(gradient_errors, Planted(bug), x, ["a", "b"])
        hint = f" Likely mistake: {WHY[bug]}." if bug in WHY else ""
        expect(
            not found[name] <= NOTICED,
            f"the bug “{bug}” is not caught: the error of {name} is {found[name]:.2g}, "
            f"it should be above {NOTICED:g}.{hint}",
        )
        expect(not np.isnan(found[name]), f"the bug “{bug}”: the error of {name} is NaN; make it infinite.")


# ----------------------------------------------------------------------------------------- 8 · residual


class Stretch:
    """y = w · x² with one parameter; writes down its calls in `log`."""

    def __init__(self, w: float, log: list[str] | None = None, name: str = "") -> None:
        self.w, self.dz_dw = {"w": np.array(float(w))}, {}
        self.log, self.name = [] if log is None else log, name

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.log.append(f"forward {self.name}")
        self.x = np.array(x)
        return self.w["w"] * x**2

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        self.log.append(f"backward {self.name}")
        self.dz_dw = {"w": np.sum(dz_dy * self.x**2)}
        return dz_dy * 2 * self.w["w"] * self.x

    def update(self, learning_rate: float) -> None:
        self.log.append(f"update {self.name}")
        self.w["w"] -= learning_rate * self.dz_dw["w"]


def residual(*factors: float) -> Function:
    """y = x + f(x), f a row of `Stretch` layers with these factors, in torch."""

    def function(x: torch.Tensor) -> torch.Tensor:
        y = x
        for w in factors:
            y = w * y**2
        return x + y

    return function


@visible("8", "residual block")
def check_residual(Residual: Any) -> None:
    factors = (0.5, -1.5, 0.8)
    true = truth(residual(*factors), np.random.default_rng(80).normal(size=(4, 3)), {})
    log: list[str] = []
    layers = [Stretch(w, log, str(k)) for k, w in enumerate(factors)]
    block = attempt("Residual(*layers)", lambda: Residual(*layers))
    inside = true.y - true.x
    turned = truth(residual(*factors[::-1]), true.x, {}).y
    ones = truth(true.function, true.x, {}, dz_dy=np.ones_like(true.y)).gradients["x"]
    y = _forward(block, true.x, "")
    expect_close(
        "y",
        y,
        true.y,
        atol=1e-9,
        mistakes={
            "x itself is not added": inside,
            "the layers are applied last to first": turned,
            "y is subtracted": true.x - inside,
            "each layer has its own shortcut; there is one, around all of them": _chained(factors, true.x),
        },
    )
    log.clear()
    dz_dx = _backward(block, true.dz_dy, "")
    through = true.gradients["x"] - true.dz_dy
    expect(
        log == [f"backward {k}" for k in (2, 1, 0)],
        f"backward visited {', '.join(log) or 'no layer'}; it goes from the last layer to the first, once each.",
    )
    expect_close(
        "dz_dx",
        dz_dx,
        true.gradients["x"],
        atol=1e-9,
        mistakes={
            "the path around the layers is missing: dz_dy itself is part of dz_dx": through,
            "1 in place of dz_dy for the path around the layers": through + 1,
            "dz_dy is ignored": ones,
            "the two paths are multiplied; they add": through * true.dz_dy,
        },
    )
    before = [layer.w["w"].copy() for layer in layers]
    log.clear()
    attempt("update", lambda: block.update(0.1))
    for k, layer in enumerate(layers):
        expect(
            log.count(f"update {k}") == 1,
            f"update reached {', '.join(log) or 'no layer'}; each layer inside is updated once.",
        )
        expect_close(f"the parameter of layer {k} after update(0.1)", layer.w["w"], before[k] - 0.1 * layer.dz_dw["w"])


def _chained(factors: Sequence[float], x: np.ndarray) -> np.ndarray:
    for w in factors:
        x = x + w * x**2
    return x


# ----------------------------------------------------------------------------------------- 9 · training


class Recorder:
    """A network and a loss in one that learn nothing and write down everything, for looking at a training loop.

    Every image holds its own number; the loss of an example is its label, so that means can be foretold.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.batches: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.rates: list[float] = []
        self.network = _RecordedNetwork(self)
        self.loss = _RecordedLoss(self)


class _RecordedNetwork:
    def __init__(self, recorder: Recorder) -> None:
        self.to, self.w, self.dz_dw = recorder, {}, {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.to.events.append("forward")
        self.to.batches.append(np.array(x).reshape(len(x), -1)[:, 0])
        return np.array(x)

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        expect(
            np.shape(dz_dy) == (len(self.to.batches[-1]), 7),
            "network.backward was not given what loss.backward returned.",
        )
        self.to.events.append("backward")
        return np.zeros_like(dz_dy)

    def update(self, learning_rate: float) -> None:
        self.to.events.append("update")
        self.to.rates.append(learning_rate)


class _RecordedLoss:
    def __init__(self, recorder: Recorder) -> None:
        self.to = recorder

    def forward(self, scores: np.ndarray, labels: np.ndarray) -> float:
        self.to.events.append("loss")
        self.to.labels.append(np.array(labels))
        return float(np.mean(labels))

    def backward(self, dz_dy: float = 1.0) -> np.ndarray:
        self.to.events.append("gradient of the loss")
        return np.zeros((len(self.to.labels[-1]), 7))


def recorded_training(
    train: Any, n: int, batch_size: int, epochs: int, seed: int = 0
) -> tuple[Recorder, Any, np.ndarray]:
    """Run the student's `train` on a `Recorder`: (what it did, what it returned, the labels)."""
    to = Recorder()
    images = np.broadcast_to(np.arange(n, dtype=float)[:, None, None, None], (n, 1, 2, 2)).copy()
    labels = np.arange(n) ** 2
    kept = images.copy(), labels.copy()
    losses = attempt(
        "train",
        lambda: train(
            to.network,
            to.loss,
            images,
            labels,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=0.25,
            rng=np.random.default_rng(seed),
        ),
    )
    same = np.array_equal(images, kept[0]) and np.array_equal(labels, kept[1])
    expect(
        same, "train changed the images or labels it was given (rng.shuffle works in place); index with a permutation."
    )
    return to, losses, labels


def expect_training(train: Any, n: int, batch_size: int, epochs: int, seed: int = 0) -> None:
    """Fail unless `train` visits the data, updates and reports as it should."""
    to, losses, labels = recorded_training(train, n, batch_size, epochs, seed)
    per_epoch = -(-n // batch_size)
    seen = sum(len(batch) for batch in to.batches)
    if seen == epochs * (n // batch_size) * batch_size != epochs * n:
        raise CheckFailed(f"the last, smaller batch is left out: {n % batch_size} of {n} examples in each epoch.")
    sizes = [min(batch_size, n - k * batch_size) for k in range(per_epoch)] * epochs
    expect(
        [len(batch) for batch in to.batches] == sizes,
        f"the batches had sizes {[len(b) for b in to.batches][:8]}…, expected {sizes[:8]}… over {epochs} epochs.",
    )
    steps = ["forward", "loss", "gradient of the loss", "backward", "update"]
    for k in range(len(sizes)):
        got = to.events[5 * k : 5 * k + 5]
        expect(got == steps, f"a step did: {', '.join(got)}. Expected: {', '.join(steps)}.")
    expect(len(to.events) == 5 * len(sizes), "after the last step something else is called.")
    for batch, of in zip(to.batches, to.labels, strict=True):
        expect(
            np.array_equal(batch**2, of),
            "images and labels do not belong together. Likely mistake: they are shuffled separately, or only one is.",
        )
    orders = [np.concatenate(to.batches[e * per_epoch : (e + 1) * per_epoch]) for e in range(epochs)]
    for order in orders:
        expect(
            np.array_equal(np.sort(order), np.arange(n)),
            "an epoch does not visit every example exactly once. Likely mistake: batches are drawn with replacement.",
        )
    if n > 10:  # so many that one order in n! (4·10⁷) is not met by chance
        expect(not np.array_equal(orders[0], np.arange(n)), "the examples are not shuffled.")
        if epochs > 1:
            expect(
                not np.array_equal(orders[0], orders[1]),
                "the examples are shuffled once; draw a new order every epoch.",
            )
    expect(set(to.rates) == {0.25}, "update was not given the learning rate.")
    expect(losses is not None, "train returned None; it returns the list of the epochs' mean losses.")
    batch_means = np.array([np.mean(of) for of in to.labels])
    unweighted = batch_means.reshape(epochs, per_epoch).mean(1)
    expect_shape(
        "the list of losses",
        list(losses),
        (epochs,),
        {
            (epochs * per_epoch,): "one loss for each step; the mean over each epoch is asked for",
            (): "one number for all",
        },
    )
    expect_close(
        "the list of losses",
        list(losses),
        np.full(epochs, labels.mean()),
        rtol=1e-9,
        mistakes={
            "the mean of the batches' means; the smaller batch must count less": unweighted,
            "the loss of the last batch only": batch_means.reshape(epochs, per_epoch)[:, -1],
            "the sum of the batches' losses": unweighted * per_epoch,
            "a sum over the examples, not divided by their number": np.full(epochs, float(labels.sum())),
        },
    )


@visible("9a", "training loop")
def check_training(train: Any) -> None:
    expect_training(train, n=12, batch_size=4, epochs=2)
    expect_training(train, n=11, batch_size=4, epochs=3)


@visible("9b", "your layers together")
def check_digits(accuracy: float | None, at_least: float) -> None:
    if accuracy is None:
        raise NotImplementedError
    expect(
        accuracy >= at_least,
        f"the net gets {accuracy:.1%} of the test digits right, and {at_least:.0%} are within reach. "
        "If the checks of all tasks pass, look at train: is every layer updated, with the loss of this batch?",
    )
