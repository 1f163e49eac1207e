"""The visible checks of problem set 08, the game.

Each check takes the student's own function or class, tries it on one small example and, where the result is wrong,
compares it with what the usual mistakes would have given. References are torch operations and closed forms.
`checks.fresh(1)`, `checks.fresh(2)`, … are the seeds of the hidden tests.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.checks.core import CheckFailed, draw, expect, expect_close, expect_shape, parts_of, to_numpy, visible
from course_lib.checks.core import fresh as fresh  # for the hidden tests
from course_lib.checks.core import when_done as when_done  # for the cells that only show something

# ------------------------------------------------------------------------------------------ task 1


@visible("1", "the best critic")
def check_optimal_critic(optimal_critic: Callable[..., Any]) -> None:
    log_p, log_q, share = draw(0, 5) - 1, draw(1, 5), 0.8
    odds = math.log(share / (1 - share))
    logit = log_p - log_q + odds
    log_d, log_not_d = parts_of("optimal_critic", optimal_critic(log_p, log_q, share), 2)
    wrong = {
        "log D* and log(1 - D*) are swapped, or p and q are": F.logsigmoid(-logit),
        "the sign of log p - log q": F.logsigmoid(log_q - log_p + odds),
        "the share of real points is ignored (here it is 0.8)": F.logsigmoid(log_p - log_q),
        "the share is used, but 1 - share, which belongs to the generated points, is not": F.logsigmoid(
            log_p - log_q + math.log(share)
        ),
        "share and 1 - share are swapped": F.logsigmoid(log_p - log_q - odds),
        "this is the probability D*, not its logarithm": torch.sigmoid(logit),
        "this is the logit log D* - log(1 - D*); log D* is its log-sigmoid": logit,
    }
    expect_close("log D*", log_d, F.logsigmoid(logit), mistakes=wrong)
    wrong = {
        "this is 1 - log D*, not log(1 - D*)": 1 - F.logsigmoid(logit),
        "this is -log D*, not log(1 - D*)": -F.logsigmoid(logit),
        "this is the probability 1 - D*, not its logarithm": torch.sigmoid(-logit),
    }
    expect_close("log(1 - D*)", log_not_d, F.logsigmoid(-logit), mistakes=wrong)


@visible("1, tails", "the best critic where densities underflow")
def check_optimal_critic_tails(optimal_critic: Callable[..., Any]) -> None:
    log_p, log_q = torch.tensor([-2000.0, -1000.0, -60.0]).double(), torch.tensor([-2100.0, -800.0, 0.0]).double()
    log_d, log_not_d = parts_of("optimal_critic", optimal_critic(log_p, log_q), 2)
    pair = torch.stack([torch.as_tensor(log_d), torch.as_tensor(log_not_d)])
    hint = (
        "at log p = -2000, log q = -2100. Likely mistake: exp of the log densities underflows to 0 and the fraction "
        "becomes 0/0; stay in logarithms: the logit of D* is a difference of logarithms"
    )
    expect(bool(torch.isfinite(pair).all()), f"the result holds NaN or infinity {hint}.")
    small, large = pair.min(0).values, pair.max(0).values
    expected = torch.tensor([-100.0, -200.0, -60.0]).double()
    expect(
        bool(((small - expected).abs() < 0.8).all()),
        f"the smaller of log D* and log(1 - D*) is {[round(float(value), 2) for value in small]}, expected "
        f"{expected.tolist()}. Likely mistake: a small constant inside the logarithm hides the underflow and cuts the "
        "tails; stay in logarithms.",
    )
    expect_close("the larger of log D* and log(1 - D*)", large, torch.zeros(3).double())


@visible("1, value", "the value of the game")
def check_game_value(game_value: Callable[..., Any]) -> None:
    log_p, log_q, logit = draw(2, 6), draw(3, 6), draw(4, 6)
    weights = torch.linspace(0.1, 0.6, 6, dtype=torch.float64)
    log_d, log_not_d = F.logsigmoid(logit), F.logsigmoid(-logit)
    p, q = log_p.exp(), log_q.exp()
    real, fake = p * log_d, q * log_not_d
    wrong = {
        "the quadrature weights are missing": (real + fake).sum(),
        "a mean instead of a sum: the weights already carry the grid's spacing": (weights * (real + fake)).mean(),
        "the second term is weighed by p; generated points have density q": (weights * (real + p * log_not_d)).sum(),
        "the sign: this is the critic's loss -V": -(weights * (real + fake)).sum(),
        "log_p and log_q are logarithms; the sum needs the densities": (
            weights * (log_p * log_d + log_q * log_not_d)
        ).sum(),
        "D itself instead of its logarithm": (weights * (p * log_d.exp() + q * log_not_d.exp())).sum(),
        "the generated points are missing": (weights * real).sum(),
    }
    expect_close(
        "V", game_value(log_d, log_not_d, log_p, log_q, weights), (weights * (real + fake)).sum(), mistakes=wrong
    )
    log_p[0], log_d[0], log_not_d[0] = -math.inf, -math.inf, 0.0
    value = torch.as_tensor(game_value(log_d, log_not_d, log_p, log_q, weights))
    expect(
        bool(torch.isfinite(value).all()),
        f"V is {value} where one density is zero and log D is -inf. Likely mistake: 0 * (-inf) is NaN; "
        "a point that is never drawn adds 0 (torch.where).",
    )
    p = log_p.exp()
    expected = (weights * q * log_not_d).sum() + (weights[1:] * p[1:] * log_d[1:]).sum()
    expect_close("V where one density is zero", value, expected)


# ------------------------------------------------------------------------------------------ task 2


def _cross_entropy(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target), reduction="none")


@visible("2", "the critic's loss")
def check_critic_loss(critic_loss: Callable[..., Any]) -> None:
    real, fake = draw(10, 4).requires_grad_(), (draw(11, 6) + 1).requires_grad_()
    sigmoid = torch.sigmoid
    r, f = _cross_entropy(real, 1.0), _cross_entropy(fake, 0.0)
    wrong = {
        "the sign: a loss is minimised, this is the value V that the critic maximises": -(r.mean() + f.mean()),
        "a sum over the batch instead of a mean": r.sum() + f.sum(),
        "one mean over all N + M points; each kind has a mean of its own": torch.cat([r, f]).mean(),
        "half of it: the two means are added, not averaged": (r.mean() + f.mean()) / 2,
        "the targets are swapped: real points have target 1, generated ones 0": _cross_entropy(real, 0.0).mean()
        + _cross_entropy(fake, 1.0).mean(),
        "the term of the generated points uses log D instead of log(1 - D)": r.mean()
        + _cross_entropy(fake, 1.0).mean(),
        "the sigmoid is applied twice": _cross_entropy(sigmoid(real), 1.0).mean()
        + _cross_entropy(sigmoid(fake), 0.0).mean(),
        "the generated points are missing": r.mean(),
    }
    hints = {(4,): "the mean over the real points is missing", (6,): "the mean over the generated points is missing"}
    loss = critic_loss(real, fake)
    expect_shape("the loss", loss, (), hints)
    expect_close("the loss", loss, r.mean() + f.mean(), mistakes=wrong)
    for kind, logits in (("real", real), ("generated", fake)):
        if getattr(loss, "requires_grad", False):
            logits.grad = torch.autograd.grad(loss, logits, retain_graph=True, allow_unused=True)[0]
        expect(
            logits.grad is not None and bool(logits.grad.any()),
            f"no gradient reaches the {kind} logits. Likely mistake: .detach(), .item() or .data in the loss.",
        )


@visible("2, targets", "soft targets")
def check_critic_loss_targets(critic_loss: Callable[..., Any]) -> None:
    real, fake, t_r, t_f = draw(12, 4), draw(13, 6) + 1, 0.9, 0.2

    def softened(a: float, b: float) -> Tensor:
        """The loss with targets a and b from the student's own plain loss: l is linear in t, and l(a, 0) = l(-a, 1)."""
        corners = [(a, real, b, -fake), (a, real, 1 - b, fake), (1 - a, -real, b, -fake), (1 - a, -real, 1 - b, fake)]
        return sum(u * v * torch.as_tensor(critic_loss(r, f)).detach() for u, r, v, f in corners)

    scaled = t_r * _cross_entropy(real, 1.0).mean()
    wrong = {
        "the targets are ignored": softened(1.0, 0.0),
        "fake_target is ignored": softened(t_r, 0.0),
        "real_target is ignored": softened(1.0, t_f),
        "real_target only scales the first term; the rest, 1 - real_target, counts as log(1 - sigmoid)": scaled
        + _cross_entropy(fake, t_f).mean(),
        "both terms are only scaled; each target splits its term in two": scaled
        + (1 - t_f) * _cross_entropy(fake, 0.0).mean(),
    }
    expect_close("the loss with soft targets", critic_loss(real, fake, t_r, t_f), softened(t_r, t_f), mistakes=wrong)


@visible("2, weights", "weighted real points")
def check_critic_loss_weights(critic_loss: Callable[..., Any]) -> None:
    real, fake = draw(14, 4), draw(15, 4) + 1
    weights = torch.tensor([0.5, 2.0, 0.0, 3.0], dtype=torch.float64)
    plain = torch.as_tensor(critic_loss(real, fake)).detach()
    # The student's own loss of each real point alone: what is wrong there is the plain check's business.
    alone = torch.stack([torch.as_tensor(critic_loss(point, fake)).detach() for point in real.split(1)])
    r, f = _cross_entropy(real, 1.0), _cross_entropy(fake, 0.0)
    share = weights / weights.sum()
    wrong = {
        "the weights are ignored": plain,
        "divided by N instead of by the sum of the weights": (weights * r).mean() + f.mean(),
        "not divided by the sum of the weights": (weights * r).sum() + f.mean(),
        "divided twice: by the sum of the weights and by N": (share * r).mean() + f.mean(),
        "the weights also weigh the generated points": (share * (r + f)).sum(),
        "the weights multiply the logits instead of the losses": _cross_entropy(weights * real, 1.0).mean() + f.mean(),
        "softmax of the weights; they are weights, not logits": (torch.softmax(weights, 0) * r).sum() + f.mean(),
    }
    loss = critic_loss(real, fake, real_weights=weights)
    expect_close("the weighted loss", loss, (share * alone).sum(), mistakes=wrong)


@visible("2, huge", "the critic's loss at logits of 1000")
def check_critic_loss_huge(critic_loss: Callable[..., Any]) -> None:
    zero = torch.zeros(1)
    for kind, logits in (("real", (-1000.0, 0.0)), ("generated", (0.0, 1000.0))):
        size = 0.0
        for sign in (
            1.0,
            -1.0,
        ):  # the other sign costs nothing, unless the targets are swapped: that was checked before
            pair = [torch.tensor([sign * logit], requires_grad=True) for logit in logits]
            loss = torch.as_tensor(critic_loss(*pair))
            where = f"a {kind} point with logit {sign * sum(logits):.0f}"
            expect(
                bool(torch.isfinite(loss).all()),
                f"{where} gives the loss {float(loss.detach())}. Likely mistake: the logarithm of a sigmoid that has "
                "rounded to 0, or e^1000; write the cross-entropy with softplus or logsigmoid.",
            )
            size += float((loss - critic_loss(zero, zero)).detach().abs())
            if loss.requires_grad:
                loss.backward()
            expect(
                all(logit.grad is None or bool(torch.isfinite(logit.grad).all()) for logit in pair),
                f"{where} has the right loss but its gradient is NaN. Likely mistake: torch.where around an overflow; "
                "use softplus or logsigmoid.",
            )
        expect(
            size > 300,
            f"for a {kind} point the loss changes only by {size:.4g} between logits of -1000 and 1000; it should be "
            "about 1000. Likely mistake: a small constant inside the logarithm, or a clamp, hides the overflow and "
            "cuts the gradient.",
        )


# ------------------------------------------------------------------------------------------ task 3


def _slope_mistakes(a: Tensor, slope: Tensor) -> dict[str, Tensor]:
    sigmoid = torch.sigmoid(a)
    return {
        "the sign: both losses fall when the logit rises": -slope,
        "divided by the batch size; here every point has its own slope, without a mean": slope / len(a),
        "this is the derivative in D, not in the logit: d sigmoid / da = sigmoid (1 - sigmoid) is missing": slope
        / (sigmoid * (1 - sigmoid)),
        "this is the derivative of the sigmoid alone": -sigmoid * (1 - sigmoid),
        "the sigmoid is applied twice": -torch.sigmoid(sigmoid),
    }


@visible("3, saturating", "slope of the saturating loss")
def check_saturating_slope(generator_slopes: Callable[..., Any]) -> None:
    a = draw(20, 6)
    slope = parts_of("generator_slopes", generator_slopes(a), 2)[0]
    wrong = {
        "this is the slope of the non-saturating loss": -torch.sigmoid(-a),
        **_slope_mistakes(a, -torch.sigmoid(a)),
    }
    expect_shape("the saturating slope", slope, (6,), {(): "a mean or sum over the batch; keep one slope per logit"})
    expect_close("the saturating slope", slope, -torch.sigmoid(a), mistakes=wrong)


@visible("3, non-saturating", "slope of the non-saturating loss")
def check_non_saturating_slope(generator_slopes: Callable[..., Any]) -> None:
    a = draw(21, 6)
    slope = parts_of("generator_slopes", generator_slopes(a), 2)[1]
    wrong = {
        "this is the slope of the saturating loss": -torch.sigmoid(a),
        **_slope_mistakes(a, -torch.sigmoid(-a)),
    }
    shapes = {(): "a mean or sum over the batch; keep one slope per logit"}
    expect_shape("the non-saturating slope", slope, (6,), shapes)
    expect_close("the non-saturating slope", slope, -torch.sigmoid(-a), mistakes=wrong)


@visible("3, tails", "slopes at huge logits")
def check_slope_tails(generator_slopes: Callable[..., Any]) -> None:
    for logit in (-50.0, 50.0):
        pair = parts_of("generator_slopes", generator_slopes(torch.tensor([logit])), 2)
        smaller = torch.stack([torch.as_tensor(slopes).abs() for slopes in pair]).min(0).values
        name = f"the {'saturating' if logit < 0 else 'non-saturating'} slope at {logit:.0f}"
        expect(
            bool((smaller > 0).all()),
            f"{name} is exactly 0. Likely mistake: 1 - sigmoid(50) rounds to 0; sigmoid(-50) is the same number and "
            "does not.",
        )
        expect_close(f"the size of {name}, in units of e^-50", smaller / math.exp(-50), torch.ones(1), rtol=1e-3)
    for slopes in parts_of("generator_slopes", generator_slopes(torch.tensor([-1000.0, 1000.0])), 2):
        expect(
            bool(torch.isfinite(torch.as_tensor(slopes)).all()),
            "a slope at ±1000 is NaN or infinite. Likely mistake: e^1000 overflows; write it with torch.sigmoid.",
        )


# ------------------------------------------------------------------------------------------ task 4


def networks(seed: int) -> tuple[nn.Module, nn.Module]:
    """A small generator (N, 3) -> (N, 2) and critic (N, 2) -> (N,), in double precision."""
    draws = torch.Generator().manual_seed(seed)
    generator = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    critic = nn.Sequential(nn.Linear(2, 5), nn.LeakyReLU(0.2), nn.Linear(5, 1), nn.Flatten(0)).double()
    with torch.no_grad():
        for parameter in (*generator.parameters(), *critic.parameters()):
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=draws, dtype=torch.float64))
    return generator, critic


def _values(network: nn.Module) -> Tensor:
    """All parameters in one vector."""
    return torch.cat([parameter.detach().reshape(-1).clone() for parameter in network.parameters()])


def _after(network: nn.Module, loss: Tensor, rate: float) -> Tensor:
    """All parameters in one vector after one step of gradient descent on `loss`."""
    gradients = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
    return _values(network) - rate * torch.cat([gradient.reshape(-1) for gradient in gradients])


def _duel(duel: Callable[..., Any], seed: int, rate: float) -> tuple[Any, nn.Module, nn.Module]:
    generator, critic = networks(seed)
    return duel(copy.deepcopy(generator), copy.deepcopy(critic), learning_rate=rate), generator, critic


def _check_loss(name: str, loss: Any, expected: Tensor, mistakes: Mapping[str, Tensor]) -> None:
    expect_shape(f"what {name} returns", loss, ())
    expect_close(f"the loss that {name} returns", loss, expected.detach(), mistakes=mistakes)
    expect(
        not getattr(loss, "requires_grad", False),
        f"the loss that {name} returns still holds its graph, which keeps the whole batch in memory; "
        "return loss.detach().",
    )


@visible("4, critic", "the critic's turn")
def check_critic_turn(duel_class: Callable[..., Any]) -> None:
    rate = 0.3
    duel, generator, critic = _duel(duel_class, 40, rate)
    real, z = draw(41, 7, 2) + 1, draw(42, 7, 3)
    fake = generator(z).detach()
    r, f = critic(real), critic(fake)
    loss = F.softplus(-r).mean() + F.softplus(f).mean()
    got = duel.critic_turn(real, z)
    expect(
        torch.equal(_values(duel.generator), _values(generator)),
        "the generator moved in the critic's turn. Likely mistake: generator_opt.step() does not belong here.",
    )
    touched = [p.grad is not None and bool(p.grad.any()) for p in duel.generator.parameters()]
    expect(
        not any(touched),
        "the critic's turn left gradients in the generator. Likely mistake: the fakes are not detached "
        "(self.generator(z).detach(), or make them under torch.no_grad()).",
    )
    swapped = F.softplus(-f).mean() + F.softplus(r).mean()
    wrong = {
        "the critic climbs its loss instead of descending it": _after(critic, -loss, rate),
        "real and generated logits are swapped in non_saturating.critic": _after(critic, swapped, rate),
        "the critic descends the generator's loss": _after(critic, F.softplus(-f).mean(), rate),
        "the critic did not move: critic_opt.step() is missing, or comes before backward()": _values(critic),
    }
    moved = _after(critic, loss, rate)
    expect_close("the critic after its turn", _values(duel.critic), moved, mistakes=wrong)
    with torch.no_grad():
        nn.utils.vector_to_parameters(moved, critic.parameters())
        after = F.softplus(-critic(real)).mean() + F.softplus(critic(fake)).mean()
    _check_loss("critic_turn", got, loss, {"this is the loss after the move; return the one before it": after})
    second = F.softplus(-critic(real)).mean() + F.softplus(critic(fake)).mean()
    gradients = torch.autograd.grad(second, list(critic.parameters()))
    step = rate * torch.cat([gradient.reshape(-1) for gradient in gradients])
    stale = moved - step - (_values(networks(40)[1]) - moved)
    duel.critic_turn(real, z)
    expect_close(
        "the critic after a second turn",
        _values(duel.critic),
        moved - step,
        mistakes={"gradients add up from turn to turn; critic_opt.zero_grad() is missing": stale},
    )


@visible("4, generator", "the generator's turn")
def check_generator_turn(duel_class: Callable[..., Any]) -> None:
    rate = 0.3
    duel, generator, critic = _duel(duel_class, 43, rate)
    z = draw(44, 7, 3)
    got = duel.generator_turn(z)
    expect(
        torch.equal(_values(duel.critic), _values(critic)),
        "the critic moved in the generator's turn. Likely mistake: one optimizer for both networks, or "
        "critic_opt.step() in the wrong place.",
    )
    expect(
        all(parameter.requires_grad for parameter in duel.critic.parameters()),
        "after the generator's turn the critic no longer requires gradients, so it will never move again; "
        "switch requires_grad back on, or leave it alone.",
    )
    a = critic(generator(z))
    loss = F.softplus(-a).mean()
    moved = _after(generator, loss, rate)
    wrong = {
        "the generator did not move: its points were detached (or made under no_grad), or generator_opt.step() is "
        "missing": _values(generator),
        "the generator climbs its loss instead of descending it": _after(generator, -loss, rate),
        "this is the saturating loss; use non_saturating.generator": _after(generator, -F.softplus(a).mean(), rate),
        "the generator descends the critic's loss, so it helps the critic": _after(
            generator, F.softplus(a).mean(), rate
        ),
    }
    expect_close("the generator after its turn", _values(duel.generator), moved, mistakes=wrong)
    with torch.no_grad():
        nn.utils.vector_to_parameters(moved, generator.parameters())
        after = F.softplus(-critic(generator(z))).mean()
    _check_loss("generator_turn", got, loss, {"this is the loss after the move; return the one before it": after})
    first = _values(networks(43)[0]) - moved
    second = _after(generator, F.softplus(-critic(generator(z))).mean(), rate)
    duel.generator_turn(z)
    expect_close(
        "the generator after a second turn",
        _values(duel.generator),
        second,
        mistakes={"gradients add up from turn to turn; generator_opt.zero_grad() is missing": second - first},
    )


@visible("4, round", "a round")
def check_round(duel_class: Callable[..., Any]) -> None:
    reals, zs = list(draw(45, 3, 7, 2) + 2), list(draw(46, 4, 7, 3))

    def play(turns: list[tuple[int, int]], last: int | None, when: str = "last") -> tuple[Any, list[Any], Any]:
        """A fresh duel after critic turns on (reals[i], zs[j]) for each (i, j) and a generator turn on zs[last]."""
        duel, _, _ = _duel(duel_class, 47, 0.3)
        losses, generator = [], None
        if when == "first":
            duel.generator_turn(zs[last])
        for i, j in turns:
            losses.append(duel.critic_turn(reals[i], zs[j]))
            if when == "every":
                duel.generator_turn(zs[last])
        if when != "first" and last is not None:
            generator = duel.generator_turn(zs[last])
        return duel, losses, generator

    def both(duel: Any) -> Tensor:
        return torch.cat([_values(duel.generator), _values(duel.critic)])

    in_order = [(0, 0), (1, 1), (2, 2)]
    duel, _, _ = _duel(duel_class, 47, 0.3)
    result = duel.round(list(reals), list(zs))
    expect(result is not None, "round returns None; did you forget to return the dictionary?")
    for key in ("critic", "generator", "turns"):
        expect(key in result, f"what round returns has no {key!r}; it should hold critic, generator and turns.")
    ours, losses, generator_loss = play(in_order, 3)

    def other_orders() -> dict[str, Tensor]:
        return {
            "the critic takes only one turn": both(play(in_order[:1], 3)[0]),
            "the critic takes one turn too few": both(play(in_order[:2], 3)[0]),
            "the generator moves first; the critic's turns come before it": both(play(in_order, 3, "first")[0]),
            "the generator moves after every critic turn; it moves once a round": both(play(in_order, 3, "every")[0]),
            "the generator does not move": both(play(in_order, None)[0]),
            "the generator uses the noise of the last critic turn; zs[-1] is its own": both(play(in_order, 2)[0]),
            "the generator uses the critic's first noise; zs[-1] is its own": both(play(in_order, 0)[0]),
            "every critic turn uses the same noise": both(play([(0, 0), (1, 0), (2, 0)], 3)[0]),
            "every critic turn uses the same real batch": both(play([(0, 0), (0, 1), (0, 2)], 3)[0]),
        }

    expect_close("the state of both networks after a round", both(duel), both(ours), mistakes=other_orders)
    expect(
        int(result["turns"]) == 3, f"with 3 real batches the critic takes 3 turns, but round counted {result['turns']}."
    )
    mean = torch.stack([torch.as_tensor(loss).detach() for loss in losses]).mean()
    wrong = {
        "this is the last turn's loss, not the mean over the turns": losses[-1],
        "this is the sum over the turns, not their mean": 3 * mean,
        "this is the first turn's loss, not the mean over the turns": losses[0],
    }
    expect_close("the critic's loss of a round", result["critic"], mean, mistakes=wrong)
    expect_close("the generator's loss of a round", result["generator"], generator_loss)
    duel, _, _ = _duel(duel_class, 47, 0.3)
    result = duel.round(list(reals), list(zs), rest_below=1e6)
    expect(
        int(result["turns"]) == 1,
        f"with rest_below above every loss the critic rests after its first turn, but it took {result['turns']} turns. "
        "The first turn is always taken; its loss is what decides about the next one.",
    )
    expect_close(
        "the state of both networks after a round in which the critic rested",
        both(duel),
        both(play(in_order[:1], 3)[0]),
        mistakes=lambda: {
            "the generator takes zs[1]; its noise is the last one, also after a rest": both(play(in_order[:1], 1)[0]),
            "only the critic rests; the generator still takes its turn": both(play(in_order[:1], None)[0]),
        },
    )
    expect_close(
        "the critic's loss of a round in which it rested",
        result["critic"],
        torch.as_tensor(losses[0]),
        mistakes={"the mean is over k, not over the turns taken": torch.as_tensor(losses[0]) / 3},
    )


# ------------------------------------------------------------------------------------------ task 5


@visible("5, pulls", "the pulls of x^T A y")
def check_pulls(bilinear_pulls: Callable[..., Any]) -> None:
    A, x, y = draw(50, 3, 3), draw(51, 3), draw(52, 3)
    u, v = parts_of("bilinear_pulls", bilinear_pulls(A, x, y), 2)
    Ay, Atx = A @ y, A.T @ x
    wrong = {
        "the sign: the first player makes f small, so it goes down the gradient": Ay,
        "A is transposed: df/dx = A y": -(A.T @ y),
        "df/dx depends on y, not on x": -(A @ x),
        "u and v are swapped": Atx,
    }
    expect_close("u", u, -Ay, mistakes=wrong)
    wrong = {
        "the sign: the second player makes f large, so it goes up the gradient": -Atx,
        "A is not transposed: df/dy = A^T x": A @ x,
        "df/dy depends on x, not on y": A.T @ y,
    }
    expect_close("v", v, Atx, mistakes=wrong)


def _field(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Pulls without any symmetry, so that each mistake gives another result."""
    return -y + 0.1 * x, x * y + 0.3


def _check_move(move: Callable[..., Any], name: str, expected: tuple[Tensor, Tensor], wrong: Mapping[str, Any]) -> None:
    x, y = _start()
    new = parts_of(name, move(_field, x, y, 0.2), 2)
    expect(
        torch.equal(x, _start()[0]) and torch.equal(y, _start()[1]),
        f"{name} changed the tensors that it was given. Likely mistake: += works in place; write x = x + ...",
    )
    both = torch.stack([torch.as_tensor(part) for part in new])
    expect_close(
        f"(x', y') of {name}", both, torch.stack(expected), mistakes={k: torch.stack(v) for k, v in wrong.items()}
    )


def _start() -> tuple[Tensor, Tensor]:
    return torch.tensor([1.0, -0.5], dtype=torch.float64), torch.tensor([0.7, 2.0], dtype=torch.float64)


def _moves(eta: float = 0.2) -> dict[str, tuple[Tensor, Tensor]]:
    x, y = _start()
    u, v = _field(x, y)
    ahead = x + eta * u, y + eta * v
    u2, v2 = _field(*ahead)
    y_first = y + eta * v
    half = x + eta / 2 * u, y + eta / 2 * v
    u3, v3 = _field(*half)
    return {
        "simultaneous": ahead,
        "alternating": (ahead[0], y + eta * _field(ahead[0], y)[1]),
        "y first": (x + eta * _field(x, y_first)[0], y_first),
        "extragradient": (x + eta * u2, y + eta * v2),
        "from ahead": (ahead[0] + eta * u2, ahead[1] + eta * v2),
        "one ahead": (x + eta * _field(ahead[0], y)[0], y + eta * _field(ahead[0], y)[1]),
        "own old place": (x + eta * _field(x, ahead[1])[0], y + eta * _field(ahead[0], y)[1]),
        "half": (x + eta * u3, y + eta * v3),
        "alternating ahead": tuple(
            z + eta * w for z, w in zip((x, y), _field(ahead[0], y + eta * _field(ahead[0], y)[1]), strict=True)
        ),
        "downhill": (x + eta * u, y - eta * v),
        "against": (x - eta * u, y - eta * v),
    }


@visible("5, simultaneous", "both move at once")
def check_simultaneous(simultaneous: Callable[..., Any]) -> None:
    m = _moves()
    wrong = {
        "y already reacts to the new x: this is the alternating move": m["alternating"],
        "x already reacts to the new y": m["y first"],
        "y goes against its pull; pulls already are the directions that the players want": m["downhill"],
        "both go against their pulls; pulls already are the directions that the players want": m["against"],
    }
    _check_move(simultaneous, "simultaneous", m["simultaneous"], wrong)


@visible("5, alternating", "x moves, y reacts")
def check_alternating(alternating: Callable[..., Any]) -> None:
    m = _moves()
    wrong = {
        "y reacts to the old x: this is the simultaneous move": m["simultaneous"],
        "y moves first": m["y first"],
    }
    _check_move(alternating, "alternating", m["alternating"], wrong)


@visible("5, extragradient", "look ahead, then move")
def check_extragradient(extragradient: Callable[..., Any]) -> None:
    m = _moves()
    wrong = {
        "this is the simultaneous move; the pulls of the second move are those at the point ahead": m["simultaneous"],
        "this moves on from the point ahead; the second move starts where the players stood": m["from ahead"],
        "only x looked ahead; both do": m["one ahead"],
        "each player sees only the other one ahead, and itself where it stood": m["own old place"],
        "the look-ahead goes only half of eta": m["half"],
        "y looks ahead from where x already is; both look ahead at once": m["alternating ahead"],
    }
    _check_move(extragradient, "extragradient", m["extragradient"], wrong)


@visible("5, mean", "the running mean")
def check_running_mean(running_mean: Callable[..., Any]) -> None:
    path = draw(53, 4, 4)
    expected = torch.stack([path[: t + 1].mean(0) for t in range(4)])
    total = path.cumsum(0)
    count = torch.arange(1, 5, dtype=torch.float64)
    with_zero = torch.cat([path[:1], total[1:] / count[:-1, None]])
    value = running_mean(path)
    if isinstance(value, Tensor) and tuple(value.shape) == (4, 4) and not bool(torch.isfinite(value).all()):
        raise CheckFailed("the running mean holds infinity or NaN. Likely mistake: row 0 is divided by 0, not by 1.")
    wrong = {
        "the sum is not divided by the number of rows so far": total,
        "divided by T everywhere, instead of by the number of rows so far": total / 4,
        "divided by t instead of t + 1": with_zero,
        "the count runs along the columns; it belongs to the rows (count[:, None])": total / count,
        "the sum runs along the columns; time runs along the rows: cumsum(0)": path.cumsum(1) / count,
        "the sum runs along the columns; time runs along the rows, so cumsum(0)": path.cumsum(1) / count[:, None],
        "every row is the mean of the whole path; row t knows only rows 0..t": path.mean(0).expand(4, 4),
    }
    expect_shape(
        "the running mean", value, (4, 4), {(4,): "the mean of the whole path; one row for each time is asked"}
    )
    expect_close("the running mean", value, expected, mistakes=wrong)


# ------------------------------------------------------------------------------------------ task 6


@visible("6, means", "matching means")
def check_matching_means(moment_matching: Callable[..., Any]) -> None:
    real, fake = draw(60, 5, 3).requires_grad_(), (1 + draw(61, 5, 3)).requires_grad_()
    loss = moment_matching([real], [fake], variance_weight=0.0)
    difference = (real.mean(0) - fake.mean(0)).detach()
    points = (real - fake).detach()
    wrong = {
        "a mean over the features instead of a sum": difference.square().mean(),
        "the distance is not squared": difference.norm(),
        "absolute instead of squared differences": difference.abs().sum(),
        "points are compared one by one; compare the means": points.square().sum(1).mean(),
        "all points are compared, without any mean": points.square().sum(),
        "a sum over the batch instead of its mean": points.sum(0).square().sum(),
        "the mean runs over the features instead of over the batch": points.mean(1).square().sum(),
        "one mean over batch and features together": points.mean().square(),
        "variance_weight weighs the means; it belongs to the variances": (
            (real.var(0, correction=0) - fake.var(0, correction=0)).square().sum().detach()
        ),
    }
    hints = {(3,): "the sum over the features is missing", (5,): "the mean over the batch is missing"}
    expect_shape("the loss", loss, (), hints)
    expect_close("the loss", loss, difference.square().sum(), mistakes=wrong)
    expect(
        bool(getattr(loss, "requires_grad", False)),
        "the loss has no gradient. Likely mistake: the fake features are detached, or .item() is called.",
    )
    loss.backward()
    expect(
        real.grad is None or not bool(real.grad.any()),
        "the real features receive a gradient. Likely mistake: they are a target; detach them.",
    )
    expect(
        fake.grad is not None and bool(fake.grad.any()),
        "the fake features receive no gradient. Likely mistake: they are detached.",
    )


@visible("6, variances", "matching variances")
def check_matching_variances(moment_matching: Callable[..., Any]) -> None:
    real, fake, weight = draw(62, 5, 3), 1 + 2 * draw(63, 4, 3), 0.5
    first = torch.as_tensor(moment_matching([real], [fake], variance_weight=0.0))
    means = (real.mean(0) - fake.mean(0)).square().sum()
    extra = torch.as_tensor(moment_matching([real], [fake], variance_weight=weight)) - first
    v_r, v_f = real.var(0, correction=0), fake.var(0, correction=0)
    unbiased = (real.var(0) - fake.var(0)).square().sum()
    expected = weight * (v_r - v_f).square().sum()
    wrong = {
        "variance_weight is ignored, or the variances are missing": torch.zeros(()).double(),
        "the variance divides by N - 1; the mean of (h - mu)^2 divides by N (correction=0)": weight * unbiased,
        "standard deviations instead of variances": weight * (v_r.sqrt() - v_f.sqrt()).square().sum(),
        "the mean of h^2 instead of (h - mu)^2": weight
        * (real.square().mean(0) - fake.square().mean(0)).square().sum(),
        "the weight is squared, or used twice": weight * expected,
        "the differences of the variances are not squared": weight * (v_r - v_f).abs().sum(),
        "the fake variance is taken about the real mean": weight
        * (v_r - (fake - real.mean(0)).square().mean(0)).square().sum(),
    }
    unit = first / means  # 1, unless the means lost a factor; that is their check's business, also if it is lost here
    if not torch.allclose(extra, expected) and bool(torch.isfinite(unit)) and bool(unit > 0):
        extra = extra / unit
    expect_close("what the variances add to the loss", extra, expected, mistakes=wrong)
    alone = draw(64, 1, 3).requires_grad_()
    loss = torch.as_tensor(moment_matching([real], [alone], variance_weight=1.0))
    expect(
        bool(torch.isfinite(loss).all()),
        "with a batch of one the loss is NaN. Likely mistake: the variance divides by N - 1 = 0 (correction=0).",
    )
    if loss.requires_grad:
        loss.backward()
    expect(
        alone.grad is None or bool(torch.isfinite(alone.grad).all()),
        "with a batch of one the gradient is NaN. Likely mistake: the square root at 0; variances need none.",
    )


@visible("6, layers", "several layers and feature maps")
def check_matching_layers(moment_matching: Callable[..., Any]) -> None:
    real, fake = draw(65, 3, 2, 4, 4), 1 + draw(66, 3, 2, 4, 4)

    def own(*layers: tuple[Tensor, Tensor]) -> Tensor:
        return sum(torch.as_tensor(moment_matching([r], [f])).detach() for r, f in layers)

    def pixels(x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).reshape(-1, 2)

    expected = own((pixels(real), pixels(fake)))
    pooled = own((real.mean((2, 3)), fake.mean((2, 3))))
    wrong = {
        "the maps are flattened to C·H·W features; statistics of a channel run over N, H and W": own(
            (real.flatten(1), fake.flatten(1))
        ),
        "the maps are averaged over H and W before the variance is taken": pooled,
        "the view mixes channels and pixels; permute to (N, H, W, C) first": own(
            (real.reshape(-1, 2), fake.reshape(-1, 2))
        ),
    }
    expect_close("the loss of feature maps", moment_matching([real], [fake]), expected, mistakes=wrong)
    flat = draw(67, 6, 3), draw(68, 5, 3)
    first, second = own((pixels(real), pixels(fake))), own(flat)
    wrong = {
        "a mean over the layers instead of a sum": (first + second) / 2,
        "only the first layer counts: the return stands inside the loop": first,
        "only the last layer counts: the loss starts anew in the loop": second,
    }
    loss = moment_matching([real, flat[0]], [fake, flat[1]])
    expect_close("the loss of two layers", loss, first + second, mistakes=wrong)


# ------------------------------------------------------------------------------------------ task 7


@visible("7, nearest", "the nearest mode")
def check_nearest_mode(nearest_mode: Callable[..., Any]) -> None:
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    samples = torch.tensor([[0.5, 0.5], [3.0, 1.0], [0.0, 2.0], [1.8, 1.8], [9.0, 0.0], [1.5, 0.0], [4.0, 1.6]])
    radius = 1.5
    expected = torch.tensor([0, 1, -1, -1, -1, 0, -1])
    label = nearest_mode(samples, centres, radius)
    distance = torch.cdist(samples, centres)
    near, mode = distance.min(1)
    city = (samples[:, None] - centres).abs().sum(2)
    wrong = {
        "the radius is ignored: samples far from every centre need -1": mode,
        "the squared distance is compared with the radius": torch.where(near**2 <= radius, mode, -1),
        "a sample at exactly the radius still belongs (<=)": torch.where(near < radius, mode, -1),
        "distances are sums of absolute differences; Euclidean ones are asked": torch.where(
            city.min(1).values <= radius, city.argmin(1), -1
        ),
        "the farthest centre instead of the nearest": torch.where(
            distance.max(1).values <= radius, distance.argmax(1), -1
        ),
        "good and bad are swapped": torch.where(near <= radius, -1, mode),
    }
    shapes = {(3,): "the minimum runs over the samples; it runs over the centres"}
    expect_shape("the labels", label, (7,), shapes)
    expect_close("the tensor of labels", label, expected, mistakes=wrong)
    expect(
        torch.as_tensor(label).dtype == torch.int64,
        f"the labels are {torch.as_tensor(label).dtype}; indices are torch.int64.",
    )
    lost = to_numpy(nearest_mode(torch.tensor([[math.nan, 0.0]]), centres, radius))
    expect(
        lost.tolist() == [-1],
        f"a NaN sample got the label {lost.tolist()}, expected [-1]. Likely mistake: every comparison with NaN is "
        "false; keep what is within the radius instead of dropping what is outside.",
    )


@visible("7, counts", "modes covered and good samples")
def check_mode_counts(mode_summary: Callable[..., Any]) -> None:
    labels = torch.tensor([0, 0, 0, 1, 3, 3, -1, -1, -1, -1])
    covered, good, _ = parts_of("mode_summary", mode_summary(labels, 5, 2), 3)
    counts = {
        3: "least is ignored: a mode with a single sample is not covered here",
        4: "the -1 of the bad samples counts as a mode",
        1: "a mode with exactly `least` samples is covered (>=)",
    }
    hint = counts.get(int(covered))
    message = f"covered is {int(covered)}, expected 2."
    expect(int(covered) == 2, message + (f" Likely mistake: {hint}." if hint else ""))
    wrong = {
        "this is the share of bad samples": torch.tensor(0.4),
        "the share is taken among the good samples; it is among all": torch.tensor(1.0),
        "this is a number of samples, not a share": torch.tensor(6.0),
        "the share of samples in covered modes; every good sample counts": torch.tensor(0.5),
        "label 0 is a mode too: good means label >= 0": torch.tensor(0.3),
    }
    expect_close("the share of good samples", good, torch.tensor(0.6), mistakes=wrong)


@visible("7, evenness", "how evenly the modes are hit")
def check_mode_evenness(mode_summary: Callable[..., Any]) -> None:
    labels = torch.tensor([0, 0, 0, 1, -1, -1, 2, 2])
    kl = parts_of("mode_summary", mode_summary(labels, 4, 1), 3)[2]
    counts = torch.tensor([3.0, 1.0, 2.0, 0.0], dtype=torch.float64)
    h = counts / counts.sum()
    over_all = counts / len(labels)
    reference = torch.xlogy(h, 4 * h).sum()
    value = float(torch.as_tensor(kl))
    if math.isnan(value):
        raise CheckFailed("the KL is NaN where a mode has no sample. Likely mistake: 0 * log 0; torch.xlogy gives 0.")
    if math.isinf(value):
        raise CheckFailed(
            "the KL is infinite where a mode has no sample. Likely mistake: this is KL(uniform || h); "
            "KL(h || uniform) is asked, and it is finite."
        )
    wrong = {
        "h is divided by all samples; the bad ones belong to no mode": torch.xlogy(over_all, 4 * over_all).sum(),
        "bits instead of nats": reference / math.log(2),
        "the sign": -reference,
        "this is the entropy of h; KL = log K - entropy": -torch.xlogy(h, h).sum(),
        "this is minus the entropy of h; the factor K is missing": torch.xlogy(h, h).sum(),
        "K is the number of modes, also of those without samples": torch.xlogy(h, 3 * h).sum(),
        "a mean over the modes instead of a sum": torch.xlogy(h, 4 * h).mean(),
    }
    expect_close("the KL", kl, reference, mistakes=wrong)
    lost = float(torch.as_tensor(parts_of("mode_summary", mode_summary(torch.tensor([-1, -1]), 4, 1), 3)[2]))
    expect(lost == math.inf, f"without any good sample the KL is {lost}, expected math.inf.")


# ------------------------------------------------------------------------------------------ task 8


@visible("8, parameters", "the layer's parameter")
def check_closeness_parameters(closeness_class: Callable[..., Any]) -> None:
    layer = closeness_class(6, 4, 3)
    names = [name for name, _ in layer.named_parameters()]
    expect(
        "kernel" in names,
        f"the layer's parameters are {names or 'none'}; 'kernel' is missing. Likely mistake: a plain tensor is not "
        "registered, so no optimizer finds it; wrap it in nn.Parameter and store it as self.kernel.",
    )
    expect(names == ["kernel"], f"the layer's parameters are {names}; kernel is the only one.")
    expect_shape("kernel", layer.kernel, (6, 4, 3))
    kernel = layer.kernel.detach()
    expect(bool(kernel.any()), "kernel starts at zero: all points look alike, and no gradient ever moves it.")
    wide = closeness_class(100, 10, 10).kernel.detach().std()
    hints = {1.0: "not divided by sqrt(F)", 0.01: "divided by F, not by its square root"}
    hint = next((text for size, text in hints.items() if abs(float(wide) / size - 1) < 0.2), None)
    expect(
        abs(float(wide) / 0.1 - 1) < 0.2,
        f"with F = 100 kernel starts with standard deviation {float(wide):.3g}, expected 0.1."
        + (f" Likely mistake: {hint}." if hint else ""),
    )


@visible("8, values", "how close the others are")
def check_closeness_values(closeness_class: Callable[..., Any]) -> None:
    layer = closeness_class(3, 2, 2)
    x = 0.7 * draw(80, 5, 3).float()
    m = (x @ layer.kernel.detach().reshape(3, 4)).reshape(5, 2, 2)
    gap = m[:, None] - m[None]  # (N, N, B, K)
    c = torch.exp(-gap.square().sum(3) / 2)
    off = (1 - torch.eye(5))[..., None]
    o = (off * c).sum(1) / 4

    def mean_of(closeness: Tensor) -> Tensor:
        return (off * closeness).sum(1) / 4

    output = layer(x)
    shapes = {
        (5, 2): "the features are missing in front; concatenate x and o along dimension 1",
        (5, 3): "o is missing behind the features",
        (5, 5, 2): "the mean over the other points is missing",
    }
    expect_shape("the output", output, (5, 5), shapes)
    wrong_order = torch.cat([o, x], 1)
    expect_close(
        "the front part of the output",
        output[:, :3],
        x,
        mistakes={"o stands in front of the features": wrong_order[:, :3]},
    )
    wrong = {
        "the point itself is counted among the others (j = i)": c.mean(1),
        "the point itself is counted (j = i), and the sum divided by N - 1": c.sum(1) / 4,
        "a sum instead of a mean over the others": (off * c).sum(1),
        "divided by N instead of by the N - 1 others": (off * c).sum(1) / 5,
        "absolute instead of squared differences": mean_of(torch.exp(-gap.abs().sum(3))),
        "the factor 1/2 in the exponent is missing": mean_of(torch.exp(-gap.square().sum(3))),
        "the distance is not squared": mean_of(torch.exp(-gap.square().sum(3).sqrt() / 2)),
        "a mean over K instead of a sum": mean_of(torch.exp(-gap.square().mean(3) / 2)),
        "the exponential is taken before the sum over K": mean_of(torch.exp(-gap.square() / 2).sum(3)),
        "distances are averaged before the exponential is taken": torch.exp(-mean_of(gap.square().sum(3)) / 2),
        "the sign in the exponent": mean_of(torch.exp(gap.square().sum(3) / 2)),
        "the sum runs over B and leaves K": mean_of(torch.exp(-gap.square().sum(2) / 2)),
    }
    expect_close("o", output[:, 3:], o, mistakes=wrong)
    expect(
        bool(getattr(output, "requires_grad", False)) or not layer.kernel.requires_grad,
        "the output has no gradient with respect to kernel. Likely mistake: .data, .detach() or no_grad in forward.",
    )


@visible("8, edges", "a batch of one")
def check_closeness_edges(closeness_class: Callable[..., Any]) -> None:
    layer = closeness_class(3, 2, 2)
    alone = layer(torch.ones(1, 3)).detach()
    expect(
        bool(torch.isfinite(alone).all()),
        "a point alone in its batch gives NaN. Likely mistake: 0/0, as N - 1 is 0; its o is 0.",
    )
    expect(
        int(alone.count_nonzero()) <= 3,
        "a point alone in its batch has an o that is not 0. Likely mistake: it is compared with itself.",
    )
    same = torch.ones(4, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(layer(same).sum() + same.sum(), same)
    expect(
        bool(torch.isfinite(gradient).all()),
        "four equal points give a gradient of NaN. Likely mistake: a square root of the squared distance, whose slope "
        "at 0 is infinite.",
    )


# ------------------------------------------------------------------------------------------ task 9


@visible("9, planes", "the label as planes")
def check_with_label(with_label: Callable[..., Any]) -> None:
    images, labels = draw(90, 4, 2, 4, 4).float(), torch.tensor([2, 0, 3, 2])
    result = with_label(images, labels, 4)
    shapes = {
        (4, 3, 4, 4): "the label is one plane with its number; one plane per class is asked",
        (4, 4, 4, 4): "the images are missing in front of the planes",
        (8, 2, 4, 4): "concatenated along the batch; the channels are dimension 1",
    }
    expect_shape("the result", result, (4, 6, 4, 4), shapes)
    one_hot = F.one_hot(labels, 4).float()
    planes = one_hot[:, :, None, None].expand(4, 4, 4, 4)
    expect_close(
        "the part in front of the planes",
        result[:, :2],
        images,
        mistakes={"the planes stand in front of the images": planes[:, :2]},
    )
    wrong = {
        "the point's row of labels fills a row of the image; unsqueeze H and W: [:, :, None, None]": one_hot[
            :, None, None, :
        ].expand(4, 4, 4, 4),
        "the labels broadcast along the batch: plane and point are mixed up": one_hot.T[:, :, None, None].expand(
            4, 4, 4, 4
        ),
        "the one-hot vectors stand along the image's rows; unsqueeze H and W: [:, :, None, None]": one_hot[
            :, None, :, None
        ].expand(4, 4, 4, 4),
        "every plane holds the label's number": labels[:, None, None, None].expand(4, 4, 4, 4),
        "the own class is 0 and the others are 1": 1 - planes,
        "-1 for the other classes; 0 is asked": 2 * planes - 1,
    }
    expect_close("the block of planes", result[:, 2:], planes, mistakes=wrong)
    expect(
        with_label(images.double(), labels, 4).dtype == torch.float64,
        "images in float64 came back in another dtype; the planes take the dtype of the images.",
    )


@visible("9, wrong labels", "another label for each")
def check_wrong_labels(wrong_labels: Callable[..., Any]) -> None:
    labels = torch.arange(4).repeat(500)
    wrong = wrong_labels(labels.clone(), 4)
    expect_shape("the wrong labels", wrong, (2000,))
    wrong = torch.as_tensor(wrong)
    expect(wrong.dtype == torch.int64, f"the labels are {wrong.dtype}; labels are torch.int64.")
    expect(
        bool(((wrong >= 0) & (wrong < 4)).all()),
        f"labels run from {int(wrong.min())} to {int(wrong.max())}, expected 0..3. Likely mistake: the remainder "
        "(% classes) is missing, or randint's upper end, which it excludes, is off by one.",
    )
    same = float((wrong == labels).double().mean())
    expect(
        same == 0,
        f"{same:.0%} of the labels are still right. Likely mistake: a label drawn from all classes, or a shuffled "
        "batch, hits the right one now and then.",
    )
    offset = (wrong - labels) % 4
    expect(
        len(set(offset.tolist())) > 1,
        "every label is shifted by the same amount. Likely mistake: one random number for the whole batch, or always "
        "the next class; each point draws for itself.",
    )
    share = torch.bincount(offset, minlength=4)[1:].double() / 2000
    expect(
        bool(((share - 1 / 3).abs() < 0.07).all()),
        f"the other classes are not equally likely: shifts by 1, 2, 3 have shares "
        f"{[round(s, 2) for s in share.tolist()]}. "
        "Likely mistake: randint excludes its upper end, or right labels were all moved to one neighbour.",
    )
