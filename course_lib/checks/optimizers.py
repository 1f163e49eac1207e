"""The visible checks of problem set 02, practical optimization.

Each check takes the student's own function or class, tries it on one small example and, where the result is wrong,
compares it with what the usual mistakes would have given. References are closed forms, torch's operations and
`torch.optim`. `checks.fresh(1)`, `checks.fresh(2)`, … are the seeds of the hidden tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.checks.core import draw, expect, expect_close, expect_shape, parts_of, to_numpy, unchanged, visible
from course_lib.checks.core import fresh as fresh  # for the hidden tests
from course_lib.checks.core import when_done as when_done  # for the cells that only show something

# ------------------------------------------------------------------------------------------ task 1


@visible("1, values", "warm-up, then harmonic")
def check_schedule(warm_harmonic: Callable[..., Any]) -> None:
    t, rate, warmup, every, offset = torch.arange(16), 0.6, 4, 3, 2.0
    late = (t - warmup).double()

    def joined(rising: Any, falling: Any) -> Tensor:
        return torch.where(t < warmup, rising, falling)

    rising = rate * (t + 1).double() / warmup
    piece = torch.div(late, every, rounding_mode="floor")
    falling = rate * offset / (piece + offset)
    whole = torch.div(t.double(), every, rounding_mode="floor")
    got = warm_harmonic(t.clone(), rate, warmup, every, offset)
    wrong = {
        "the warm-up starts at 0, so the first step is wasted; it is (t + 1)/W": joined(rate * t / warmup, falling),
        "the warm-up is divided by W + 1 and stays below the full rate": joined(
            rising * warmup / (warmup + 1), falling
        ),
        "the decay counts from step 0; it begins at t = W, at the full rate": joined(
            rising, rate * offset / (whole + offset)
        ),
        "c is missing above the fraction, so the decay starts at rate/c": joined(rising, rate / (piece + offset)),
        "the rate falls at every step; the quotient is rounded down": joined(
            rising, rate * offset / (late / every + offset)
        ),
        "the first piece of the decay is skipped": joined(rising, rate * offset / (piece + 1 + offset)),
        "the warm-up multiplies the decay; they follow each other": (rising / rate).clamp(max=1)
        * (rate * offset / (whole + offset)),
        "the warm-up is missing": torch.where(t < warmup, rate, falling),
        "the decay is piecewise constant or geometric; a harmonic one is rate c/(k + c)": joined(
            rising, rate / offset**piece
        ),
    }
    expect_close("alpha of the steps 0 to 15", got, joined(rising, falling), mistakes=wrong)


@visible("1, range", "every step there is")
def check_schedule_range(warm_harmonic: Callable[..., Any]) -> None:
    first = warm_harmonic(torch.tensor([0, 1, 2]), 0.6, 0, 1, 1.0)
    expect_shape("alpha of three steps", first, (3,))
    expect(
        bool(torch.isfinite(torch.as_tensor(first)).all()),
        "without a warm-up (W = 0) the rates hold NaN or infinity. Likely mistake: a division by W.",
    )
    expect_close("alpha without a warm-up", first, torch.tensor([0.6, 0.3, 0.2]).double())
    table = warm_harmonic(torch.tensor([[0, 5], [7, 10**9]]), 0.6, 5, 2, 1.0)
    expect_shape("alpha of a table of steps", table, (2, 2))
    expect(
        torch.as_tensor(table).dtype == torch.float64,
        f"the rates are {torch.as_tensor(table).dtype}, not float64. Likely mistake: torch divides integers in "
        "float32, which cannot tell large steps apart; .double() comes first.",
    )
    late = 0.6 / ((10**9 - 5) // 2 + 1)
    expected = torch.tensor([[0.12, 0.6], [0.3, late]]).double()
    expect_close("alpha of the table [[0, 5], [7, 10⁹]]", table, expected, atol=0)
    expect_close("alpha of step 10⁹", torch.as_tensor(table)[1, 1] / late, 1.0, atol=1e-11, rtol=0)
    alone = warm_harmonic(torch.tensor(3), 0.5, 5, 2, 1.0)
    expect_shape("alpha of one step, a tensor of shape ()", alone, ())


@visible("1, energy", "the mean energy along a schedule")
def check_expected_energy(expected_energy: Callable[..., Any]) -> None:
    rates, h, noise, w0 = torch.tensor([0.5, 0.25, 0.1, 0.4]).double(), 1.5, 0.7, -2.0

    def walk(
        start: float = w0**2, factor: Callable[[float], float] = lambda a: (1 - a * h) ** 2, of: Any = None
    ) -> Tensor:
        values = [start]
        for alpha in rates.tolist():
            values.append(factor(alpha) * values[-1] + (alpha**2 * noise**2 if of is None else of(alpha)))
        return 0.5 * h * torch.tensor(values).double()

    wrong = {
        "the factor h/2 of the energy is missing": walk() / (0.5 * h),
        "the factor 1/2 of the energy is missing": 2 * walk(),
        "this is the variance, which starts at 0; the mean square starts at w0^2": walk(start=0.0),
        "the start is w0, not its square": walk(start=w0),
        "the noise is missing": walk(of=lambda alpha: 0.0),
        "1 - alpha h is not squared": walk(factor=lambda alpha: 1 - alpha * h),
        "alpha is not squared in the noise": walk(of=lambda alpha: alpha * noise**2),
        "sigma is not squared": walk(of=lambda alpha: alpha**2 * noise),
        "the noise is not multiplied by alpha": walk(of=lambda alpha: noise**2),
        "the noise is subtracted; a variance adds, whatever the sign of the move": walk(
            of=lambda alpha: -(alpha**2) * noise**2
        ),
    }
    shapes = {(4,): "the start counts too: T rates give T + 1 energies"}
    got = expected_energy(rates, h, noise, w0)
    expect_shape("the energies", got, (5,), shapes)
    expect_close("the mean energy", got, walk(), mistakes=wrong)


# ------------------------------------------------------------------------------------------ task 2


@visible("2, gradient", "an unbiased gradient")
def check_batch_gradient(batch_gradient: Callable[..., Any]) -> None:
    gradients, c = draw(20, 3, 3), torch.tensor([0.5, 2.0, 1.2]).double()
    total, count = 9.0, 8
    weighted = (c[:, None] * gradients).sum(0)
    wrong = {
        "divided by the weights of the batch: that divisor is random, so the mean is not the gradient": weighted
        / c.sum(),
        "N/N_b is missing: an example is in the batch with probability N_b/N only": weighted / total,
        "the weights are ignored": gradients.mean(0),
        "the weights are not used, only their sum": gradients.sum(0) * count / 3 / total,
        "C is missing": weighted * count / 3,
        "divided by N_b, but not multiplied by N": weighted / 3 / total,
        "the mean of the batch; its weights add up to C/N an example, not to 1": weighted / 3,
        "N/N_b is upside down": weighted / total * 3 / count,
        "c meets the wrong axis: it belongs to the examples, c[:, None]": (c * gradients).sum(0) * count / 3 / total,
        "the sum runs along the parameter; it runs over the examples": (c[:, None] * gradients).sum(1)
        * count
        / 3
        / total,
    }
    shapes = {
        (): "the sum runs over everything; it runs over the examples only",
        (3, 3): "the sum over the examples is missing",
    }
    got = batch_gradient(gradients, c, total, count)
    expect_shape("the gradient", got, (3,), shapes)
    expect_close("the gradient", got, weighted * count / 3 / total, mistakes=wrong)
    several = draw(21, 3, 2, 2)
    expected = torch.einsum("n,nij->ij", c, several) * count / 3 / total
    got = batch_gradient(several, c, total, count)
    expect_shape("the gradient of a parameter of shape (2, 2)", got, (2, 2))
    expect_close("the gradient of a parameter of shape (2, 2)", got, expected)


@visible("2, epoch", "one pass over the examples")
def check_epoch(epoch: Callable[..., Any]) -> None:
    generator = torch.Generator().manual_seed(22)
    batches = epoch(20, 6, generator)
    expect(batches is not None, "epoch returns None; did you forget to return the list?")
    batches = [torch.as_tensor(batch) for batch in batches]
    sizes = [len(batch) for batch in batches]
    hints = {
        (6, 6, 6): "the last smaller batch is dropped",
        (6, 6, 6, 6): "the last batch is filled up; it is smaller",
        (4, 4, 4, 4, 4): "size is how many examples are in a batch, not how many batches there are",
        (2, 6, 6, 6): "the small batch comes last",
    }
    hint = hints.get(tuple(sizes))
    expect(
        sizes == [6, 6, 6, 2],
        f"20 examples, 6 at a time, gave batches of {sizes}, expected [6, 6, 6, 2]."
        + (f" Likely mistake: {hint}." if hint else ""),
    )
    order = torch.cat(batches)
    expect(order.dtype == torch.int64, f"the indices are {order.dtype}; indices are torch.int64.")
    expect(
        sorted(order.tolist()) == list(range(20)),
        "some example comes twice, or not at all. Likely mistake: drawn with replacement (randint); an epoch is a "
        "permutation of 0..N-1.",
    )
    expect(order.tolist() != list(range(20)), "the examples come in their own order. Likely mistake: not shuffled.")
    second = torch.cat([torch.as_tensor(batch) for batch in epoch(20, 6, generator)])
    expect(
        second.tolist() != order.tolist(),
        "the second epoch has the same order as the first. Likely mistake: a seed inside the function.",
    )
    again = torch.cat([torch.as_tensor(batch) for batch in epoch(20, 6, torch.Generator().manual_seed(22))])
    expect(
        again.tolist() == order.tolist(),
        "a generator with the same seed gave another order. Likely mistake: the generator is not used; pass "
        "generator=generator.",
    )


# ------------------------------------------------------------------------------------------ task 3


@visible("3, step", "a step of Nesterov's method")
def check_nesterov_step(nesterov_step: Callable[..., Any]) -> None:
    u, v, gradient = draw(30, 3), draw(31, 3), draw(32, 3)
    rate, mu, following = 0.2, 0.9, 0.5
    new_v = mu * v - rate * gradient
    before = {"u": u, "v": v, "gradient": gradient}
    given = {name: tensor.clone() for name, tensor in before.items()}
    got_u, got_v = parts_of("nesterov_step", nesterov_step(*given.values(), rate, mu, following), 2)
    wrong = {
        "next_momentum in place of momentum": following * v - rate * gradient,
        "the sign of the gradient": mu * v + rate * gradient,
        "the rate is missing: this is torch's window of gradients": mu * v + gradient,
        "the momentum is missing": -rate * gradient,
        "this is u; the order is (u, v)": u - rate * gradient + following * new_v,
    }
    expect_close("v", got_v, new_v, mistakes=wrong)
    wrong = {
        "the formula for a constant momentum: the next point ahead is reached with next_momentum": u
        - rate * gradient
        + mu * new_v,
        "this is w after the step; the parameters are the point ahead of it": u - mu * v + new_v,
        "plain momentum, u + v": u + new_v,
        "the gradient's own term is missing": u + following * new_v,
        "u - mu v, which is w, was not taken back: this is u + v + mu v": u + new_v + following * new_v,
        "the old v in place of the new one": u - rate * gradient + following * v,
        "the point ahead is left with next_momentum; it was reached with momentum": u
        - following * v
        + new_v
        + following * new_v,
    }
    expect_close("u", got_u, u - rate * gradient + following * new_v, mistakes=wrong)
    unchanged("nesterov_step", before, given)


@visible("3, to torch", "our window in torch's terms")
def check_to_torch(to_torch: Callable[..., Any]) -> None:
    v, rate = draw(33, 4), 0.2
    wrong = {
        "the sign: b is a window of gradients, and steps go against them": v / rate,
        "multiplied by the rate instead of divided": -v * rate,
        "only the sign is changed": -v,
        "v is returned as it is": v,
    }
    expect_close("b", to_torch(v, rate), -v / rate, mistakes=wrong)


@visible("3, keep steps", "a change of rate")
def check_keep_steps(keep_steps: Callable[..., Any]) -> None:
    b, old, new = draw(34, 4), 0.5, 0.1
    wrong = {
        "old and new rate are swapped: rate * b, the step, is to stay the same": b * new / old,
        "nothing is changed": b,
        "only the new rate is divided by": b / new,
        "only the old rate is multiplied by": b * old,
        "the sign: a window of gradients remains one": -b * old / new,
    }
    expect_close("b after the change", keep_steps(b, old, new), b * old / new, mistakes=wrong)


# ------------------------------------------------------------------------------------------ task 4


@visible("4, values", "a step with the spread")
def check_centred_step(centred_step: Callable[..., Any]) -> None:
    w, m, gradient = draw(40, 4), draw(41, 4), 1 + draw(42, 4)
    s, rate, mu, epsilon = torch.tensor([0.3, 0.1, 1.2, 0.7]).double(), 0.2, 0.8, 0.1
    delta = gradient - m
    new_m = m + (1 - mu) * delta
    new_s = mu * (s + (1 - mu) * delta**2)
    before = {"w": w, "m": m, "s": s, "gradient": gradient}
    given = {name: tensor.clone() for name, tensor in before.items()}
    got_w, got_m, got_s = parts_of("centred_step", centred_step(*given.values(), rate, mu, epsilon), 3)
    wrong = {
        "mu and 1 - mu are swapped": (1 - mu) * m + mu * gradient,
        "m is not updated": m,
        "1 - mu is missing: a sum, not a mean": mu * m + gradient,
        "this is s; the order is (w, m, s)": new_s,
    }
    expect_close("m", got_m, new_m, mistakes=wrong)
    second = mu * s + (1 - mu) * gradient**2
    wrong = {
        "the second moment, not the variance: this is RMSProp": second,
        "the mean is subtracted from a window that has been centred already: s is the variance, not g": second
        - new_m**2,
        "m^2 of before the step is subtracted; s belongs to the new m": mu * (s + m**2) + (1 - mu) * gradient**2 - m**2,
        "the distance to the old mean alone: one of the two factors is the distance to the new one, mu times it": mu * s
        + (1 - mu) * delta**2,
        "the distance to the new mean alone: one of the two factors is the distance to the old one": mu * s
        + (1 - mu) * (mu * delta) ** 2,
        "the distance is not squared": mu * (s + (1 - mu) * delta),
        "mu belongs to both terms: mu (s + ...)": s + mu * (1 - mu) * delta**2,
        "mu and 1 - mu are swapped": (1 - mu) * (s + mu * delta**2),
        "this is the standard deviation; s is the variance": new_s.sqrt(),
    }
    expect_close("s", got_s, new_s, mistakes=wrong)
    wrong = {
        "the old s stands under the root; the present gradient is counted first": w
        - rate * gradient / (s.sqrt() + epsilon),
        "epsilon stands under the root; here it is added to it": w - rate * gradient / (new_s + epsilon).sqrt(),
        "epsilon is missing": w - rate * gradient / new_s.sqrt(),
        "the root is missing": w - rate * gradient / (new_s + epsilon),
        "the mean in place of the gradient: only the divisor is centred": w - rate * new_m / (new_s.sqrt() + epsilon),
        "the gradient without its mean: only the divisor is centred": w - rate * delta / (new_s.sqrt() + epsilon),
        "the sign: w goes against the gradient": w + rate * gradient / (new_s.sqrt() + epsilon),
        "the rate is missing": w - gradient / (new_s.sqrt() + epsilon),
    }
    expect_close("w", got_w, w - rate * gradient / (new_s.sqrt() + epsilon), mistakes=wrong)
    unchanged("centred_step", before, given)


@visible("4, stable", "a small spread around a large mean")
def check_centred_stable(centred_step: Callable[..., Any]) -> None:
    m = torch.full((4,), 1000.0)
    gradient = m + torch.tensor([0.125, -0.125, 0.25, 0.0])
    s = torch.full((4,), 0.01)
    expected = 0.9 * (s + 0.1 * (gradient - m) ** 2)
    _, _, got = parts_of("centred_step", centred_step(torch.zeros(4), m, s, gradient, 0.01, 0.9, 1e-8), 3)
    expect_shape("s", got, (4,))
    got = torch.as_tensor(got)
    close = torch.isfinite(got) & ((got - expected).abs() <= 0.03 * expected)
    expect(
        bool(close.all()),
        f"gradients of 1000 ± 0.2 in float32, s was 0.01: now it is {[round(x, 4) for x in got.tolist()]}, expected "
        f"{[round(x, 4) for x in expected.tolist()]}. Likely mistake: a difference of two numbers near a million; the "
        "squares must be of something small, like the gradient minus m.",
    )
    expect(got.dtype == torch.float32, f"everything given is float32, and s comes back as {got.dtype}.")


# ------------------------------------------------------------------------------------------ task 5


@visible("5", "units by experiment")
def check_rate_units(rate_units: Callable[..., Any]) -> None:
    def sgd(gradients: Tensor, rate: float) -> Tensor:
        return -rate * gradients

    def adagrad(gradients: Tensor, rate: float) -> Tensor:
        g = (gradients**2).cumsum(0)
        return -rate * gradients / g.sqrt().clamp(min=1e-12)

    def rooted(gradients: Tensor, rate: float) -> Tensor:
        moves = -rate * gradients.sign() * gradients.abs().sqrt()
        moves[0] = 0.0
        moves[:, 0] = 0.0
        return moves

    hints = {
        (1.0, -1.0): "the moves are in metres themselves, so one more: a = 1 + k",
        (0.0, 1.0): "the signs of k: the rate has to make good for what the gradients bring",
        (-2.0, 1.0): "the signs of both",
        (2.0, 1.0): "the sign of b: the gradients bring joules, so the rate divides by them",
        (-1.0, 2.0): "the order is (metres, joules)",
        (0.0, -1.0): "the sign in a: the gradients bring 1/m, so the rate needs one metre more",
        (1 + math.log(2), -math.log(2)): "the natural logarithm of the ratio; k is the logarithm to the base of q",
        (3.0, -2.0): "the ratio itself; k is its logarithm to the base of q",
    }
    for name, rule, wanted in (
        ("SGD", sgd, (2.0, -1.0)),
        ("Adagrad", adagrad, (1.0, 0.0)),
        ("a rule with the root of the gradient, which keeps still at times,", rooted, (1.5, -0.5)),
    ):
        found = tuple(float(part) for part in parts_of("rate_units", rate_units(rule), 2))
        said = f"for {name} rate_units gives ({found[0]:.4g}, {found[1]:.4g}), expected {wanted}."
        if not all(map(math.isfinite, found)):
            said += (
                " Likely mistake: 0/0, from a coordinate or a step without a move; compare lengths (norms) of all the "
                "moves."
            )
        elif rule is adagrad and math.dist(found, (2.0, -1.0)) < 1e-3:
            said += " Likely mistake: every rule gets the same; multiply the gradients, not the rate."
        elif rule is sgd:
            near = [text for pair, text in hints.items() if math.dist(pair, found) < 1e-3]
            said += f" Likely mistake: {near[0]}." if near else ""
        expect(math.dist(found, wanted) < 1e-3, said)


# ------------------------------------------------------------------------------------------ task 6

SHAPES = ((4, 3), (3,), (2, 3, 2), ())


def _gradients(draws: torch.Generator, steps: int, size: float, silent: tuple[int, ...], falling: bool) -> list[Any]:
    """For each step a gradient for each parameter; None for the first one in the steps `silent`."""
    rows = []
    for k in range(steps):
        scale = size * (0.2**k if falling else 1.0)
        row: list[Any] = [scale * torch.randn(shape, generator=draws, dtype=torch.float64) for shape in SHAPES]
        row[0] = None if k in silent else row[0]
        rows.append(row)
    return rows


def _adamw(
    starts: list[Tensor],
    rows: list[Any],
    rates: list[float],
    betas: tuple[float, float],
    epsilon: float,
    decay: float,
    keep_largest: bool = False,
    mistake: str = "",
) -> list[Tensor]:
    """Where AdamW leads, or where it leads with a mistake."""
    beta, mu = betas
    ws = [start.clone() for start in starts]
    memory = [{"v": torch.zeros_like(w), "g": torch.zeros_like(w), "G": torch.zeros_like(w), "t": 0} for w in ws]
    for step, (row, alpha) in enumerate(zip(rows, rates, strict=True)):
        for k, (w, one) in enumerate(zip(ws, memory, strict=True)):
            gradient = row[k]
            decays = w.ndim >= 2 or mistake == "biases decay"
            if gradient is None:
                if mistake == "decays without a gradient" and decays:
                    ws[k] = (1 - alpha * decay) * w
                if mistake != "none is zero":
                    continue
                gradient = torch.zeros_like(w)
            if mistake == "into the gradient" and decays:
                gradient = gradient + decay * w
            one["t"] += 1
            t = step + 1 if mistake == "one clock" else one["t"]
            one["v"] = beta * one["v"] + (1 - beta) * gradient
            one["g"] = mu * one["g"] + (1 - mu) * gradient**2
            v, g = one["v"], one["g"]
            corrections = (1 - beta**t, 1 - mu**t)
            if keep_largest and mistake == "corrected first":
                g = g / corrections[1]
                one["G"] = g = torch.maximum(one["G"], g)
                corrections = (corrections[0], 1.0)
            elif keep_largest and mistake != "not kept":
                one["G"] = g = torch.maximum(one["G"], g)
                if mistake == "window of the largest":
                    one["g"] = g
            if mistake == "no correction":
                corrections = (1.0, 1.0)
            elif mistake == "only v":
                corrections = (corrections[0], 1.0)
            elif mistake == "only g":
                corrections = (1.0, corrections[1])
            v_hat, g_hat = v / corrections[0], g / corrections[1]
            if mistake == "epsilon inside":
                divisor = (g_hat + epsilon).sqrt()
            elif mistake == "epsilon before the correction":
                divisor = (g.sqrt() + epsilon) / math.sqrt(corrections[1])
            else:
                divisor = g_hat.sqrt() + epsilon
            if mistake == "no root":
                divisor = g_hat + epsilon
            if mistake == "no window":
                v_hat = gradient
            move = alpha * v_hat / divisor
            if mistake == "sign":
                move = -move
            shrink = {"without the rate": decay, "grows": -alpha * decay, "no decay": 0.0}.get(mistake, alpha * decay)
            if not decays or mistake == "into the gradient":
                shrink = 0.0
            ws[k] = (1 - shrink) * w - move
    return ws


def _try_adamw(
    adamw_class: Callable[..., Any],
    rows: list[Any],
    rates: list[float],
    options: dict[str, Any],
    seed: int,
) -> tuple[list[Tensor], list[Tensor]]:
    """(starts, ends) of the student's optimizer on these gradients."""
    draws = torch.Generator().manual_seed(seed)
    starts = [torch.randn(shape, generator=draws, dtype=torch.float64) for shape in SHAPES]
    parameters = [nn.Parameter(start.clone()) for start in starts]
    optimizer = adamw_class(parameters, **options)
    for row, rate in zip(rows, rates, strict=True):
        for w, gradient in zip(parameters, row, strict=True):
            w.grad = None if gradient is None else gradient.clone()
        optimizer.step(rate)
        for w, gradient in zip(parameters, row, strict=True):
            same = w.grad is None if gradient is None else w.grad is not None and torch.equal(w.grad, gradient)
            expect(
                same,
                "step changed a gradient. Likely mistake: decay or windows written into w.grad; work on a copy.",
            )
    list(optimizer.parameters)  # the grader learns by this of parameters that were changed by way of .data
    return starts, [w.detach().clone() for w in parameters]


def expect_adamw(
    adamw_class: Callable[..., Any],
    *,
    seed: int,
    steps: int,
    decay: float,
    betas: tuple[float, float] = (0.8, 0.95),
    epsilon: float = 1e-3,
    size: float = 1.0,
    silent: tuple[int, ...] = (),
    keep_largest: bool = False,
    falling: bool = False,
) -> None:
    """Fail unless the student's AdamW goes where torch's goes, on gradients drawn from `seed`.

    Args:
        adamw_class: the student's class.
        steps: how many; the rate is another at each.
        decay, betas, epsilon, keep_largest: passed on to both.
        size: standard deviation of the gradients. falling: divide it by 5 after each step.
        silent: in which steps the first parameter has no gradient.
    """
    rows = _gradients(torch.Generator().manual_seed(seed), steps, size, silent, falling)
    rates = [0.3 / (k + 1) for k in range(steps)]
    options = {"betas": betas, "epsilon": epsilon, "decay": decay, "keep_largest": keep_largest}
    starts, ends = _try_adamw(adamw_class, rows, rates, options, (seed + 1) % 2**32)
    theirs = [nn.Parameter(start.clone()) for start in starts]
    groups = [
        {"params": [w for w in theirs if w.ndim >= 2], "weight_decay": decay},
        {"params": [w for w in theirs if w.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=betas, eps=epsilon, amsgrad=keep_largest)
    for row, rate in zip(rows, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for w, gradient in zip(theirs, row, strict=True):
            w.grad = gradient
        optimizer.step()
    for shape, mine, other in zip(SHAPES, ends, theirs, strict=True):
        expect_close(f"the parameter of shape {shape}", mine, other, atol=1e-10, rtol=1e-8)


def _adamw_check(adamw_class: Callable[..., Any], seed: int, mistakes: dict[str, str], **changes: Any) -> None:
    """Try the class on one example; `mistakes` is {what is likely wrong: its name in `_adamw`}."""
    silent, steps = changes.pop("silent", ()), 3
    options = {"betas": (0.8, 0.95), "epsilon": 1e-2, "decay": 0.0, **changes}
    rows = _gradients(torch.Generator().manual_seed(seed), steps, 1.0, silent, False)
    rates = [0.1, 0.3, 0.2]
    starts, ends = _try_adamw(adamw_class, rows, rates, options, seed + 1)

    def led(mistake: str = "") -> list[Tensor]:
        return _adamw(starts, rows, rates, mistake=mistake, **options)

    expect(
        any(not torch.equal(end, start) for end, start in zip(ends, starts, strict=True)),
        "no parameter has moved. Likely mistake: w = w - ... makes a new tensor and forgets it; change w in place, "
        "w -= ... or w.copy_(...).",
    )
    for k, (shape, expected) in enumerate(zip(SHAPES, led(), strict=True)):
        expect_close(
            f"the parameter of shape {shape} after {steps} steps",
            ends[k],
            expected,
            mistakes=lambda k=k: {text: led(mistake)[k] for text, mistake in mistakes.items()},
        )


@visible("6, moves", "Adam's move, without decay")
def check_adamw_moves(adamw_class: Callable[..., Any]) -> None:
    mistakes = {
        "the bias correction is missing": "no correction",
        "only v is corrected": "only v",
        "only g is corrected": "only g",
        "the sign: w goes against v": "sign",
        "epsilon stands under the root; here it is added to it": "epsilon inside",
        "epsilon is divided by the correction too; it is added to the root of the corrected g": (
            "epsilon before the correction"
        ),
        "the root is missing": "no root",
        "the gradient in place of its window v": "no window",
    }
    _adamw_check(adamw_class, 62, mistakes)


@visible("6, decay", "decay on the side")
def check_adamw_decay(adamw_class: Callable[..., Any]) -> None:
    mistakes = {
        "the decay goes through the windows, as a term of the gradient; it is to stay beside them": "into the gradient",
        "the decay is not multiplied by the rate": "without the rate",
        "the sign: the weights grow": "grows",
        "there is no decay where there should be: tensors with two axes or more decay": "no decay",
        "vectors and single numbers decay too; only tensors with at least two axes do": "biases decay",
    }
    _adamw_check(adamw_class, 64, mistakes, decay=0.5)


@visible("6, missing", "parameters without a gradient")
def check_adamw_missing(adamw_class: Callable[..., Any]) -> None:
    mistakes = {
        "one counter of steps for all; each parameter counts its own": "one clock",
        "a missing gradient is taken for zero: windows shrink and w goes on": "none is zero",
        "it decays without a gradient; it is to stay as it is": "decays without a gradient",
    }
    _adamw_check(adamw_class, 66, mistakes, silent=(0, 2), decay=0.5)


@visible("6, largest", "AMSGrad")
def check_adamw_largest(adamw_class: Callable[..., Any]) -> None:
    mistakes = {
        "the maximum is of corrected windows; take it before the correction": "corrected first",
        "keep_largest changes nothing": "not kept",
        "the window g itself is replaced by the maximum; it goes on beside it": "window of the largest",
    }
    _adamw_check(adamw_class, 68, mistakes, keep_largest=True, betas=(0.8, 0.5))


# ------------------------------------------------------------------------------------------ task 7


def _group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, epsilon: float) -> Tensor:
    grouped = x.reshape(len(x), groups, -1)
    centred = grouped - grouped.mean(2, keepdim=True)
    x_hat = (centred / (centred.square().mean(2, keepdim=True) + epsilon).sqrt()).reshape(x.shape)
    column = (-1, *[1] * (x.ndim - 2))
    return weight.reshape(column) * x_hat + bias.reshape(column)


def _group_case(
    shape: tuple[int, ...], groups: int, epsilon: float, seed: int, shift: float = 0.0
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What goes in (x, weight, bias, dz_dy), and what has to come out (y, x, weight, bias: gradients of the latter)."""
    rng = np.random.default_rng(seed)
    given = {
        "x": shift + 2 * rng.normal(size=shape),
        "weight": rng.normal(size=shape[1]),
        "bias": rng.normal(size=shape[1]),
    }
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in given.items()}
    y = _group_norm(leaves["x"], leaves["weight"], leaves["bias"], groups, epsilon)
    given["dz_dy"] = rng.normal(size=shape)
    gradients = torch.autograd.grad(y, list(leaves.values()), torch.tensor(given["dz_dy"]))
    out = {"y": y.detach().numpy()} | {name: g.numpy() for name, g in zip(leaves, gradients, strict=True)}
    return given, out


def _group_try(
    norm_class: Callable[..., Any], given: dict[str, np.ndarray], groups: int, epsilon: float, backwards: int
) -> dict[str, Any]:
    """What the student's layer gives: y and, after so many backward passes, x, weight and bias."""
    layer = norm_class(given["weight"].copy(), given["bias"].copy(), groups, epsilon)
    x, dz_dy = given["x"].copy(), given["dz_dy"].copy()
    got = {"y": layer.forward(x)}
    expect(np.array_equal(x, given["x"]), "forward changed x. Likely mistake: an operation in place (-=, /=).")
    for _ in range(backwards):
        got["x"] = layer.backward(dz_dy)
    if backwards:
        expect(
            np.array_equal(dz_dy, given["dz_dy"]) and np.array_equal(x, given["x"]),
            "backward changed x or dz_dy. Likely mistake: an operation in place (-=, *=).",
        )
        gradients = layer.dz_dw
        missing = [name for name in ("weight", "bias") if name not in gradients]
        expect(not missing, f"dz_dw has no {' and no '.join(missing)}; write self.dz_dw[...] in backward.")
        got |= {name: gradients[name] for name in ("weight", "bias")}
    return got


def expect_group_norm(
    norm_class: Callable[..., Any],
    shape: tuple[int, ...],
    groups: int,
    parts: tuple[str, ...],
    *,
    seed: int,
    epsilon: float = 1e-5,
    shift: float = 0.0,
    twice: bool = False,
) -> None:
    """Fail unless the named parts, of y, x, weight and bias (the last three: their gradients), are autograd's."""
    given, out = _group_case(shape, groups, epsilon, seed, shift)
    got = _group_try(norm_class, given, groups, epsilon, 0 if parts == ("y",) else 1 + twice)
    for part in parts:
        name = "y" if part == "y" else f"dz_d{part}"
        expect_close(f"{name} for x of shape {shape}, {groups} groups", got[part], out[part], atol=1e-7, rtol=1e-6)


@visible("7, forward", "group normalization, forward")
def check_group_forward(norm_class: Callable[..., Any]) -> None:
    shape, groups, epsilon = (3, 4, 2, 3), 2, 0.2
    given, out = _group_case(shape, groups, epsilon, 70)
    x, weight, bias = (given[name] for name in ("x", "weight", "bias"))
    column = (4, 1, 1)

    def over(z: np.ndarray, axes: Any, inside: bool = True, correction: int = 0) -> np.ndarray:
        variance = z.var(axis=axes, keepdims=True, ddof=correction)
        s = np.sqrt(variance + epsilon) if inside else np.sqrt(variance) + epsilon
        return ((z - z.mean(axis=axes, keepdims=True)) / s).reshape(shape)

    def scaled(x_hat: np.ndarray) -> np.ndarray:
        return weight.reshape(column) * x_hat + bias.reshape(column)

    grouped = x.reshape(3, groups, -1)
    strided = x.reshape(3, 2, groups, 2, 3)
    wrong = {
        "means over the batch: this is batch normalization": scaled(over(x, (0, 2, 3))),
        "means over all channels: this is layer normalization": scaled(over(x, (1, 2, 3))),
        "means over the positions of one channel: this is instance normalization": scaled(over(x, (2, 3))),
        "means over the channels of a group, but not over the positions": scaled(
            over(x.reshape(3, groups, 2, 2, 3), 2)
        ),
        "means over the batch too; every example is on its own": scaled(over(grouped, (0, 2))),
        "the channels of a group are neighbours, not every G-th": scaled(over(strided, (1, 3, 4))),
        "weight and bias are missing": over(grouped, 2),
        "the bias is missing": scaled(over(grouped, 2)) - bias.reshape(column),
        "the weight is missing": over(grouped, 2) + bias.reshape(column),
        "epsilon is added to the root; here it belongs under it": scaled(over(grouped, 2, inside=False)),
        "epsilon is missing": scaled(
            ((grouped - grouped.mean(2, keepdims=True)) / grouped.std(2, keepdims=True)).reshape(shape)
        ),
        "the variance divides by M - 1; the mean of squares divides by M": scaled(over(grouped, 2, correction=1)),
        "the mean is not subtracted": scaled(
            (grouped / np.sqrt(grouped.var(2, keepdims=True) + epsilon)).reshape(shape)
        ),
        "divided by the variance, not by its root": scaled(
            ((grouped - grouped.mean(2, keepdims=True)) / (grouped.var(2, keepdims=True) + epsilon)).reshape(shape)
        ),
    }
    expect_close("y", _group_try(norm_class, given, groups, epsilon, 0)["y"], out["y"], mistakes=wrong)
    given, out = _group_case((3, 4), 2, epsilon, 71)
    y = _group_try(norm_class, given, 2, epsilon, 0)["y"]
    expect_close("y for x of shape (3, 4), without positions", y, out["y"])


@visible("7, backward", "group normalization, dz_dx")
def check_group_backward(norm_class: Callable[..., Any]) -> None:
    shape, groups, epsilon = (3, 4, 2, 3), 2, 0.2
    given, out = _group_case(shape, groups, epsilon, 72)
    x, r = given["x"], given["dz_dy"]
    weight = given["weight"].reshape(4, 1, 1)

    def parts(dz_dy: np.ndarray, axes: Any = 2, inner: Any = (3, groups, -1)) -> tuple[np.ndarray, ...]:
        h, z = dz_dy.reshape(inner), x.reshape(inner)
        s = np.sqrt(z.var(axis=axes, keepdims=True) + epsilon)
        x_hat = (z - z.mean(axis=axes, keepdims=True)) / s
        return h, h.mean(axis=axes, keepdims=True), x_hat, x_hat * (h * x_hat).mean(axis=axes, keepdims=True), s

    h, mean, x_hat, along, s = parts(weight * r)
    bare, bare_mean, _, bare_along, _ = parts(r)
    size = h.shape[2]
    wrong = {
        "m and s are taken for constants; they depend on x too": h / s,
        "the weight is missing": (bare - bare_mean - bare_along) / s,
        "the weight is multiplied at the end; it differs inside a group, so it belongs before the means": (
            weight * ((bare - bare_mean - bare_along) / s).reshape(shape)
        ),
        "s is taken for a constant": (h - mean) / s,
        "m is taken for a constant": (h - along) / s,
        "sums in place of means": (h - size * mean - size * along) / s,
        "the division by s is missing": h - mean - along,
        "multiplied by s instead of divided": (h - mean - along) * s,
        "the sign of the part along x_hat": (h - mean + along) / s,
        "the sign of the mean": (h + mean - along) / s,
        "x_hat is missing before the mean of h x_hat": (h - mean - (h * x_hat).mean(2, keepdims=True)) / s,
    }
    wrong = {text: value.reshape(shape) for text, value in wrong.items()}
    wrong["means over all channels: the gradient of layer normalization"] = _whole(parts(weight * r, (1, 2, 3), shape))
    wrong["means over the batch: the gradient of batch normalization"] = _whole(parts(weight * r, (0, 2, 3), shape))
    expect_close("dz_dx", _group_try(norm_class, given, groups, epsilon, 1)["x"], out["x"], mistakes=wrong)


def _whole(parts: tuple[np.ndarray, ...]) -> np.ndarray:
    h, mean, _, along, s = parts
    return (h - mean - along) / s


@visible("7, parameters", "group normalization, weight and bias")
def check_group_parameters(norm_class: Callable[..., Any]) -> None:
    shape, groups, epsilon = (3, 4, 2, 3), 2, 0.2
    given, out = _group_case(shape, groups, epsilon, 73)
    x, r = given["x"], given["dz_dy"]
    weight = given["weight"].reshape(4, 1, 1)
    shared, positions = (0, 2, 3), 18
    x_hat = (out["y"] - given["bias"].reshape(4, 1, 1)) / weight
    shapes = {
        shape: "it is not summed; all examples and positions share one number for each channel",
        (4, 2, 3): "it is summed over the examples, but not over the positions",
        (3, 4): "it is summed over the positions, but not over the examples",
        (2,): "it is summed over the groups; each channel has its own number",
        (): "it is summed over the channels too",
    }
    wrong = {
        "weight": {
            "x in place of x_hat": (r * x).sum(shared),
            "y in place of x_hat": (r * out["y"]).sum(shared),
            "h, which has the weight in it, in place of dz_dy": (weight * r * x_hat).sum(shared),
            "a mean in place of the sum": out["weight"] / positions,
            "this is dz_dbias": out["bias"],
        },
        "bias": {
            "h, which has the weight in it, in place of dz_dy": (weight * r).sum(shared),
            "a mean in place of the sum": out["bias"] / positions,
            "this is dz_dweight": out["weight"],
        },
    }
    once = _group_try(norm_class, given, groups, epsilon, 1)
    for name in ("weight", "bias"):
        expect_shape(f"dz_d{name}", once[name], (4,), shapes)
        expect_close(f"dz_d{name}", once[name], out[name], mistakes=wrong[name])
    again = _group_try(norm_class, given, groups, epsilon, 2)
    for name in ("weight", "bias"):
        expect_close(
            f"dz_d{name} after backward was called twice",
            again[name],
            out[name],
            mistakes={"it is added to what was there; backward writes it anew": 2 * out[name]},
        )


# ------------------------------------------------------------------------------------------ task 8


@visible("8, settled", "low for good")
def check_settled(settled: Callable[..., Any]) -> None:
    energies = torch.tensor(
        [
            [9.0, 5.0, 1.0, 3.0, 1.0, 0.5],
            [9.0, 8.0, 7.0, 6.0, 5.0, 4.0],
            [9.0, 2.0, 1.0, 1.0, 1.0, 1.0],
            [9.0, 1.0, math.inf, math.nan, math.nan, math.nan],
            [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
            [1.0, 1.0, 1.0, 1.0, 1.0, 7.0],
        ]
    ).double()
    expected = torch.tensor([4, -1, 1, -1, 0, -1])
    wrong = {
        "the first time that E is low; it may rise again": torch.tensor([2, -1, 1, 1, 0, 0]),
        "E at exactly the level is low (<=)": torch.tensor([4, -1, 2, -1, 0, -1]),
        "the last step that is too high, not the first that is low for good": torch.tensor([3, 5, 0, 5, -1, 5]),
        "runs that never settle get the number of steps; -1 is asked": torch.tensor([4, 6, 1, 6, 0, 6]),
        "nan is taken for low: every comparison with nan is false, so ask for E <= level": torch.tensor(
            [4, -1, 1, 3, 0, -1]
        ),
        "counted from 1; the start is step 0": torch.tensor([5, -1, 2, -1, 1, -1]),
        "how many steps are low, not from which on": torch.tensor([2, 0, 5, 0, 6, 0]),
    }
    got = settled(energies, 2.0)
    expect_shape("the steps", got, (6,), {(): "one number for each run"})
    expect_close("the tensor of steps", got, expected, mistakes=wrong)
    expect(torch.as_tensor(got).dtype == torch.int64, f"the steps are {torch.as_tensor(got).dtype}, not torch.int64.")


@visible("8, momentum", "the best momentum")
def check_best_momentum(best_momentum: Callable[..., Any]) -> None:
    low, high = 0.25, 9.0
    small, large = math.sqrt(low), math.sqrt(high)
    root = (large - small) / (large + small)
    rate, mu = (float(to_numpy(part)) for part in parts_of("best_momentum", best_momentum(low, high), 2))
    hints = {
        root: "this is the square root of mu",
        ((high - low) / (high + low)) ** 2: (
            "the equations are linear in the roots of low and high, not in low and high"
        ),
        (high - low) / (high + low): "this is the factor of plain descent",
        4 / (small + large) ** 2: "this is alpha; the order is (alpha, mu)",
        1 - root**2: "this is 1 - mu",
        ((1 - small / large) ** 2): "this is for a rate of 1/high; choose the rate too",
        ((small - large) / (small + large)): "this is minus the square root of mu",
    }
    hint = next((text for value, text in hints.items() if abs(value - mu) < 1e-6), None)
    expect(
        abs(mu - root**2) < 1e-6,
        f"for curvatures from {low} to {high} mu is {mu:.6g}, expected {root**2:.6g}."
        + (f" Likely mistake: {hint}." if hint else ""),
    )
    hints = {
        2 / (low + high): "the best rate of plain descent, 2/(low + high)",
        4 / (low + high): "(sqrt(low) + sqrt(high))^2 is not low + high",
        2 / (small + large): "this is the square root of alpha",
        1 / high: "1/high; with momentum longer steps are stable",
        1 / low: "1/low, which is unstable at high",
        (1 - root) ** 2 / high: "the two ends are swapped: (1 - sqrt(mu))^2 belongs to low",
        2 / (small + large) ** 2: "the factor 4 comes from (1 - sqrt(mu)) + (1 + sqrt(mu)) = 2, squared",
    }
    hint = next((text for value, text in hints.items() if abs(value - rate) < 1e-6), None)
    expect(
        abs(rate - 4 / (small + large) ** 2) < 1e-6,
        f"for curvatures from {low} to {high} alpha is {rate:.6g}, expected {4 / (small + large) ** 2:.6g}."
        + (f" Likely mistake: {hint}." if hint else ""),
    )
