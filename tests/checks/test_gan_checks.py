# ruff: noqa: E501
"""The visible checks of problem set 08: each hint comes from the mistake it names, right answers pass, stubs do not raise."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.authoring import mutants
from course_lib.authoring.mutants import Edit
from course_lib.checks import gan as checks
from course_lib.checks.core import CheckFailed, told
from course_lib.losses.games import non_saturating

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = jupytext.read(ROOT / "solutions" / "ps08_gan" / "ps08_gan.py", fmt="py:percent")
TASKS = mutants.load_tasks("ps08_gan", ROOT)
SOLUTIONS: dict[str, str] = {}  # by grade_id of the solution cell
CHECKS: dict[str, list[tuple[str, str]]] = {}  # the visible checks that follow it: (name of the check, its argument)
for cell in NOTEBOOK.cells:
    grade = cell.metadata.get("nbgrader", {})
    if cell.cell_type == "code" and grade.get("solution"):
        SOLUTIONS[grade["grade_id"]] = cell.source
        CHECKS[grade["grade_id"]] = []
    elif cell.cell_type == "code" and grade.get("grade"):
        (called,) = re.findall(r"^checks\.(\w+)\((\w+)\)$", cell.source, re.MULTILINE)
        CHECKS[list(CHECKS)[-1]].append(called)


def first_failure(task: str, source: str | Edit) -> str:
    """What the first visible check that fails says; "" if all pass."""
    source = source.apply(SOLUTIONS[task]) if isinstance(source, Edit) else source
    names = {"torch": torch, "F": F, "nn": nn, "math": math, "non_saturating": non_saturating}
    exec(source, names)
    for check, argument in CHECKS[task]:
        try:
            getattr(checks, check)(names[argument])
        except CheckFailed as failure:
            return str(failure)
    return ""


# What the visible check says to a mutant: (task, mutant, part of the message). Where it ends in a full stop, the whole hint.
OF_MUTANTS = [
    ("optimal-critic", "sign: p and q swapped", "the sign of log p - log q."),
    ("optimal-critic", "share ignored", "the share of real points is ignored (here it is 0.8)."),
    ("optimal-critic", "share without its complement", "the share is used, but 1 - share, which belongs to the generated points, is not."),
    ("optimal-critic", "share and its complement swapped", "share and 1 - share are swapped."),
    ("optimal-critic", "probabilities instead of logarithms", "this is the probability D*, not its logarithm."),
    ("optimal-critic", "logits instead of log-probabilities", "this is the logit log D* - log(1 - D*); log D* is its log-sigmoid."),
    ("optimal-critic", "log(1 - D) taken as 1 - log D", "this is 1 - log D*, not log(1 - D*)."),
    ("optimal-critic", "returned the other way round", "log D* and log(1 - D*) are swapped, or p and q are."),
    ("optimal-critic", "underflow: exponentiates the densities", "exp of the log densities underflows to 0"),
    ("optimal-critic", "underflow hidden by an epsilon", "a small constant inside the logarithm hides the underflow"),
    ("optimal-critic", "value: weights missing", "the quadrature weights are missing."),
    ("optimal-critic", "value: mean instead of sum", "a mean instead of a sum: the weights already carry the grid's spacing."),
    ("optimal-critic", "value: sign", "the sign: this is the critic's loss -V."),
    ("optimal-critic", "value: 0 log 0 is NaN", "0 * (-inf) is NaN"),
    ("optimal-critic", "value: both terms weighed by p", "the second term is weighed by p; generated points have density q."),
    ("critic-loss", "sign", "the sign: a loss is minimised, this is the value V that the critic maximises."),
    ("critic-loss", "missing mean", "a sum over the batch instead of a mean."),
    ("critic-loss", "one mean over all points", "one mean over all N + M points; each kind has a mean of its own."),
    ("critic-loss", "half", "half of it: the two means are added, not averaged."),
    ("critic-loss", "targets swapped", "the targets are swapped: real points have target 1, generated ones 0."),
    ("critic-loss", "sigmoid twice", "the sigmoid is applied twice."),
    ("critic-loss", "log of a rounded sigmoid", "the logarithm of a sigmoid that has rounded to 0"),
    ("critic-loss", "overflow: log(1 + exp)", "or e^1000"),
    ("critic-loss", "epsilon inside the logarithm", "a small constant inside the logarithm, or a clamp"),
    ("critic-loss", "torch's BCE on probabilities, which clamps", "a small constant inside the logarithm, or a clamp"),
    ("critic-loss", "returns a number without gradient", ".detach(), .item() or .data in the loss."),
    ("critic-loss", "targets ignored", "the targets are ignored."),
    ("critic-loss", "fake target ignored", "fake_target is ignored."),
    ("critic-loss", "target scales one term only", "real_target only scales the first term; the rest, 1 - real_target, counts as log(1 - sigmoid)."),
    ("critic-loss", "weights ignored", "the weights are ignored."),
    ("critic-loss", "weights not normalised", "not divided by the sum of the weights."),
    ("critic-loss", "weighted mean divided by N", "divided by N instead of by the sum of the weights."),
    ("critic-loss", "weights on the logits", "the weights multiply the logits instead of the losses."),
    ("generator-slopes", "sign", "the saturating slope is wrong. Likely mistake: the sign: both losses fall when the logit rises."),
    ("generator-slopes", "sign of one", "the non-saturating slope is wrong. Likely mistake: the sign: both losses fall when the logit rises."),
    ("generator-slopes", "swapped", "this is the slope of the non-saturating loss."),
    ("generator-slopes", "both the same", "this is the slope of the saturating loss."),
    ("generator-slopes", "divided by the batch", "divided by the batch size; here every point has its own slope, without a mean."),
    ("generator-slopes", "mean over the batch", "a mean or sum over the batch; keep one slope per logit."),
    ("generator-slopes", "slope in D instead of the logit", "this is the derivative in D, not in the logit: d sigmoid / da = sigmoid (1 - sigmoid) is missing."),
    ("generator-slopes", "slope of the sigmoid alone", "this is the derivative of the sigmoid alone."),
    ("generator-slopes", "sigmoid twice", "the sigmoid is applied twice."),
    ("generator-slopes", "cancellation: 1 - sigmoid", "1 - sigmoid(50) rounds to 0"),
    ("generator-slopes", "overflow: exp over exp", "e^1000 overflows"),
    ("duel", "missing detach", "the fakes are not detached"),
    ("duel", "critic: the generator moves too", "the generator moved in the critic's turn"),
    ("duel", "critic: no zero_grad", "gradients add up from turn to turn; critic_opt.zero_grad() is missing."),
    ("duel", "critic: zero_grad after backward", "the critic did not move: critic_opt.step() is missing, or comes before backward()."),
    ("duel", "critic: climbs", "the critic climbs its loss instead of descending it."),
    ("duel", "critic: real and fake swapped", "real and generated logits are swapped in non_saturating.critic."),
    ("duel", "critic: loss with its graph", "critic_turn returns still holds its graph"),
    ("duel", "critic: loss after the move", "critic_turn returns is wrong. Likely mistake: this is the loss after the move; return the one before it."),
    ("duel", "generator: detached fakes", "the generator did not move: its points were detached (or made under no_grad), or generator_opt.step() is missing."),
    ("duel", "generator: the critic moves too", "the critic moved in the generator's turn"),
    ("duel", "generator: no zero_grad", "gradients add up from turn to turn; generator_opt.zero_grad() is missing."),
    ("duel", "generator: saturating loss", "this is the saturating loss; use non_saturating.generator."),
    ("duel", "generator: sign", "the generator climbs its loss instead of descending it."),
    ("duel", "generator: freezes the critic for good", "the critic no longer requires gradients"),
    ("duel", "round: one critic turn", "the critic takes only one turn."),
    ("duel", "round: the generator moves every turn", "the generator moves after every critic turn; it moves once a round."),
    ("duel", "round: the generator first", "the generator moves first; the critic's turns come before it."),
    ("duel", "round: the same noise for all", "every critic turn uses the same noise."),
    ("duel", "round: the generator reuses the critic's noise", "the generator uses the noise of the last critic turn; zs[-1] is its own."),
    ("duel", "round: never rests", "with rest_below above every loss the critic rests after its first turn"),
    ("duel", "round: a rested critic also stops the generator", "only the critic rests; the generator still takes its turn."),
    ("duel", "round: last loss instead of the mean", "this is the last turn's loss, not the mean over the turns."),
    ("duel", "round: sum instead of the mean", "this is the sum over the turns, not their mean."),
    ("duel", "round: mean over k though it rested", "the mean is over k, not over the turns taken."),
    ("players", "pulls: sign of u", "the sign: the first player makes f small, so it goes down the gradient."),
    ("players", "pulls: sign of v", "the sign: the second player makes f large, so it goes up the gradient."),
    ("players", "pulls: transposed", "A is transposed: df/dx = A y."),
    ("players", "pulls: swapped", "u and v are swapped."),
    ("players", "simultaneous: y sees the new x", "y already reacts to the new x: this is the alternating move."),
    ("players", "simultaneous: in place", "simultaneous changed the tensors that it was given"),
    ("players", "simultaneous: descends along pulls", "both go against their pulls; pulls already are the directions that the players want."),
    ("players", "simultaneous: only x follows its pull", "y goes against its pull; pulls already are the directions that the players want."),
    ("players", "alternating: y sees the old x", "y reacts to the old x: this is the simultaneous move."),
    ("players", "alternating: y first", "y moves first."),
    ("players", "alternating: in place", "alternating changed the tensors that it was given"),
    ("players", "extragradient: moves from the point ahead", "this moves on from the point ahead; the second move starts where the players stood."),
    ("players", "extragradient: no look ahead", "this is the simultaneous move; the pulls of the second move are those at the point ahead."),
    ("players", "extragradient: only x looks ahead", "only x looked ahead; both do."),
    ("players", "extragradient: each sees itself where it stood", "each player sees only the other one ahead, and itself where it stood."),
    ("players", "extragradient: alternates ahead", "y looks ahead from where x already is; both look ahead at once."),
    ("players", "mean: not divided", "the sum is not divided by the number of rows so far."),
    ("players", "mean: divided by T", "divided by T everywhere, instead of by the number of rows so far."),
    ("players", "mean: divided by t", "row 0 is divided by 0, not by 1."),
    ("players", "mean: wrong axis", "the sum runs along the columns; time runs along the rows, so cumsum(0)."),
    ("players", "mean: wrong broadcasting", "the count runs along the columns; it belongs to the rows (count[:, None])."),
    ("players", "mean: of the whole path", "every row is the mean of the whole path; row t knows only rows 0..t."),
    ("moment-matching", "mean over the features", "a mean over the features instead of a sum."),
    ("moment-matching", "not squared", "the distance is not squared."),
    ("moment-matching", "means of features, point by point", "the mean runs over the features instead of over the batch."),
    ("moment-matching", "sum over the batch", "a sum over the batch instead of its mean."),
    ("moment-matching", "missing detach", "they are a target; detach them."),
    ("moment-matching", "the weight on the wrong term", "variance_weight weighs the means; it belongs to the variances."),
    ("moment-matching", "variance forgotten", "variance_weight is ignored, or the variances are missing."),
    ("moment-matching", "variance divides by N - 1", "the variance divides by N - 1; the mean of (h - mu)^2 divides by N (correction=0)."),
    ("moment-matching", "standard deviation", "standard deviations instead of variances."),
    ("moment-matching", "second moment about zero", "the mean of h^2 instead of (h - mu)^2."),
    ("moment-matching", "variance not squared in the loss", "the differences of the variances are not squared."),
    ("moment-matching", "maps flattened", "the maps are flattened to C·H·W features; statistics of a channel run over N, H and W."),
    ("moment-matching", "maps averaged before the variance", "the maps are averaged over H and W before the variance is taken."),
    ("moment-matching", "maps mixed by a reshape", "the view mixes channels and pixels; permute to (N, H, W, C) first."),
    ("moment-matching", "only the last layer", "only the last layer counts: the loss starts anew in the loop."),
    ("moment-matching", "returns after the first layer", "only the first layer counts: the return stands inside the loop."),
    ("moment-matching", "mean over the layers", "a mean over the layers instead of a sum."),
    ("modes", "nearest: radius ignored", "the radius is ignored: samples far from every centre need -1."),
    ("modes", "nearest: squared distance against the radius", "the squared distance is compared with the radius."),
    ("modes", "nearest: radius excluded", "a sample at exactly the radius still belongs (<=)."),
    ("modes", "nearest: NaN kept", "every comparison with NaN is false"),
    ("modes", "nearest: wrong axis", "the minimum runs over the samples; it runs over the centres."),
    ("modes", "nearest: absolute differences", "distances are sums of absolute differences; Euclidean ones are asked."),
    ("modes", "nearest: farthest", "the farthest centre instead of the nearest."),
    ("modes", "nearest: float labels", "indices are torch.int64."),
    ("modes", "counts: bad samples make a mode", "the -1 of the bad samples counts as a mode."),
    ("modes", "counts: least ignored", "least is ignored: a mode with a single sample is not covered here."),
    ("modes", "counts: more than least", "a mode with exactly `least` samples is covered (>=)."),
    ("modes", "counts: share among covered modes", "the share of samples in covered modes; every good sample counts."),
    ("modes", "counts: label 0 is no mode", "label 0 is a mode too: good means label >= 0."),
    ("modes", "counts: number instead of a share", "this is a number of samples, not a share."),
    ("modes", "evenness: divided by all samples", "h is divided by all samples; the bad ones belong to no mode."),
    ("modes", "evenness: 0 log 0 is NaN", "0 * log 0; torch.xlogy gives 0."),
    ("modes", "evenness: bits", "bits instead of nats."),
    ("modes", "evenness: entropy", "this is the entropy of h; KL = log K - entropy."),
    ("modes", "evenness: K from the modes that were hit", "K is the number of modes, also of those without samples."),
    ("modes", "evenness: nothing good counts as even", "without any good sample the KL is 0.0, expected math.inf."),
    ("closeness", "a plain tensor, not a parameter", "a plain tensor is not registered"),
    ("closeness", "kernel starts at zero", "kernel starts at zero"),
    ("closeness", "kernel not scaled", "not divided by sqrt(F)."),
    ("closeness", "kernel scaled by F", "divided by F, not by its square root."),
    ("closeness", "counts itself", "the point itself is counted among the others (j = i)."),
    ("closeness", "counts itself and divides by N - 1", "the point itself is counted (j = i), and the sum divided by N - 1."),
    ("closeness", "missing mean", "a sum instead of a mean over the others."),
    ("closeness", "divided by N", "divided by N instead of by the N - 1 others."),
    ("closeness", "absolute differences, as in the paper", "absolute instead of squared differences."),
    ("closeness", "no half", "the factor 1/2 in the exponent is missing."),
    ("closeness", "sign in the exponent", "the sign in the exponent."),
    ("closeness", "sum over B instead of K", "the sum runs over B and leaves K."),
    ("closeness", "mean over K", "a mean over K instead of a sum."),
    ("closeness", "o in front", "o stands in front of the features."),
    ("closeness", "features lost", "the features are missing in front; concatenate x and o along dimension 1."),
    ("closeness", "detached kernel", ".data, .detach() or no_grad in forward."),
    ("closeness", "batch of one: 0/0", "0/0, as N - 1 is 0; its o is 0."),
    ("closeness", "batch of one: compared with itself", "it is compared with itself."),
    ("closeness", "square root, with its NaN gradient", "a square root of the squared distance"),
    ("labels", "one plane with the label's number", "the label is one plane with its number; one plane per class is asked."),
    ("labels", "planes in front", "the planes stand in front of the images."),
    ("labels", "joined along the batch", "concatenated along the batch; the channels are dimension 1."),
    ("labels", "wrong broadcasting: labels along the batch", "the labels broadcast along the batch: plane and point are mixed up."),
    ("labels", "wrong broadcasting: one-hot along the width", "the point's row of labels fills a row of the image; unsqueeze H and W: [:, :, None, None]."),
    ("labels", "always float32", "the planes take the dtype of the images."),
    ("labels", "wrong labels: from all classes", "a label drawn from all classes, or a shuffled batch"),
    ("labels", "wrong labels: shuffled batch", "a label drawn from all classes, or a shuffled batch"),
    ("labels", "wrong labels: always the next", "one random number for the whole batch, or always the next class"),
    ("labels", "wrong labels: one shift for all", "one random number for the whole batch, or always the next class"),
    ("labels", "wrong labels: no remainder", "the remainder (% classes) is missing"),
    ("labels", "wrong labels: the last is never drawn", "randint excludes its upper end"),
    ("labels", "wrong labels: right ones moved to a neighbour", "right labels were all moved to one neighbour."),
]  # fmt: skip

# Further mistakes with a hint of their own: (task, (old, new), …, hint).
LOG_D = "return F.logsigmoid(logit), F.logsigmoid(-logit)"
VALUE = "(weights * (real + fake)).sum()"
FAKE_LOSS = "cross_entropy(fake_logits, fake_target).mean()"
REAL_LOSS = "real = cross_entropy(real_logits, real_target)"
WEIGHTED = "(real_weights * real).sum() / real_weights.sum()"
PULLS = "return -(A @ y), A.T @ x"
EXTRA = "u, v = pulls(x + eta * u, y + eta * v)"
MEAN_TERM = "(real_mean - fake_mean).square().sum()"
KL = "torch.xlogy(h, modes * h).sum()"
SHARE = "counts.sum().item() / len(labels)"
NEAR = "(others[..., None] * torch.exp(-squared / 2)).sum(1) / max(len(x) - 1, 1)"
PLANES = "F.one_hot(labels, classes).to(images)[:, :, None, None]"
FURTHER = [
    ("optimal-critic", (LOG_D, "return F.logsigmoid(logit), -F.logsigmoid(logit)"), "this is -log D*, not log(1 - D*)."),
    ("optimal-critic", (LOG_D, "return F.logsigmoid(logit), torch.sigmoid(-logit)"), "this is the probability 1 - D*, not its logarithm."),
    ("optimal-critic", (LOG_D, "F.logsigmoid(logit)"), "did you forget to return the result?"),
    ("optimal-critic", (LOG_D, "return F.logsigmoid(logit)"), "2 results were expected"),
    ("optimal-critic", (VALUE, "(weights * (log_p * log_d + log_q * log_not_d)).sum()"), "log_p and log_q are logarithms; the sum needs the densities."),
    ("optimal-critic", (VALUE, "(weights * (p * log_d.exp() + q * log_not_d.exp())).sum()"), "D itself instead of its logarithm."),
    ("optimal-critic", (VALUE, "(weights * real).sum()"), "the generated points are missing."),
    ("critic-loss", (FAKE_LOSS, "cross_entropy(fake_logits, 1 - fake_target).mean()"), "the term of the generated points uses log D instead of log(1 - D)."),
    ("critic-loss", (f" + {FAKE_LOSS}", ""), "the generated points are missing."),
    ("critic-loss", (FAKE_LOSS, FAKE_LOSS.removesuffix(".mean()")), "the mean over the generated points is missing."),
    ("critic-loss", ("real.mean() if", "real if"), "the mean over the real points is missing."),
    ("critic-loss", (REAL_LOSS, "real = cross_entropy(real_logits, 1.0)"), "real_target is ignored."),
    (
        "critic-loss",
        (REAL_LOSS, "real = real_target * cross_entropy(real_logits, 1.0)"),
        (FAKE_LOSS, "(1 - fake_target) * cross_entropy(fake_logits, 0.0).mean()"),
        "both terms are only scaled; each target splits its term in two.",
    ),
    ("critic-loss", (WEIGHTED, "(real_weights * real / real_weights.sum()).mean()"), "divided twice: by the sum of the weights and by N."),
    (
        "critic-loss",
        (f"return real + {FAKE_LOSS}", f"w = torch.ones_like(fake_logits) if real_weights is None else real_weights\n    return real + (w * {FAKE_LOSS.removesuffix('.mean()')}).sum() / w.sum()"),
        "the weights also weigh the generated points.",
    ),
    ("critic-loss", (WEIGHTED, "(torch.softmax(real_weights, 0) * real).sum()"), "softmax of the weights; they are weights, not logits."),
    ("duel", ("non_saturating.critic(self.critic(real), self.critic(fake))", "non_saturating.generator(self.critic(fake))"), "the critic descends the generator's loss."),
    ("duel", ("non_saturating.generator(self.critic(self.generator(z)))", "F.softplus(self.critic(self.generator(z))).mean()"), "the generator descends the critic's loss, so it helps the critic."),
    ("duel", ("zip(reals, zs[:-1], strict=True)", "zip(reals[:-1], zs)"), "the critic takes one turn too few."),
    ("duel", ("generator = self.generator_turn(zs[-1])", "generator = losses[0]"), "the generator does not move."),
    ("duel", ("self.generator_turn(zs[-1])", "self.generator_turn(zs[0])"), "the generator uses the critic's first noise; zs[-1] is its own."),
    ("duel", ("losses.append(self.critic_turn(real, z))", "losses.append(self.critic_turn(reals[0], z))"), "every critic turn uses the same real batch."),
    ("duel", ("torch.stack(losses).mean()", "losses[0]"), "this is the first turn's loss, not the mean over the turns."),
    ("duel", ("self.generator_turn(zs[-1])", "self.generator_turn(zs[len(losses)])"), "the generator takes zs[1]; its noise is the last one, also after a rest."),
    ("duel", ('"turns": len(losses)', '"turns": len(losses) - 1'), "round counted 2."),
    ("duel", ('"turns": len(losses)', '"moves": len(losses)'), "has no 'turns'"),
    ("players", (PULLS, "return -(A @ x), A.T @ x"), "df/dx depends on y, not on x."),
    ("players", (PULLS, "return -(A @ y), A @ x"), "A is not transposed: df/dy = A^T x."),
    ("players", (PULLS, "return -(A @ y), A.T @ y"), "df/dy depends on x, not on y."),
    ("players", ("    u, v = pulls(x, y)\n    return x + eta * u, y + eta * v\n", "    y = y + eta * pulls(x, y)[1]\n    return x + eta * pulls(x, y)[0], y\n"), "x already reacts to the new y."),
    ("players", (EXTRA, "u, v = pulls(x + eta / 2 * u, y + eta / 2 * v)"), "the look-ahead goes only half of eta."),
    ("players", ("torch.arange(1, len(path) + 1, dtype=path.dtype)", "torch.arange(len(path), dtype=path.dtype).clamp(min=1)"), "divided by t instead of t + 1."),
    ("players", ("path.cumsum(0) / count[:, None]", "path.cumsum(1) / count"), "the sum runs along the columns; time runs along the rows: cumsum(0)."),
    ("players", ("path.cumsum(0) / count[:, None]", "path.mean(0)"), "the mean of the whole path; one row for each time is asked."),
    ("moment-matching", (MEAN_TERM, "(real_mean - fake_mean).abs().sum()"), "absolute instead of squared differences."),
    ("moment-matching", (MEAN_TERM, "(real - fake).square().sum(1).mean()"), "points are compared one by one; compare the means."),
    ("moment-matching", (MEAN_TERM, "(real - fake).square().sum()"), "all points are compared, without any mean."),
    ("moment-matching", (MEAN_TERM, "(real.mean() - fake.mean()).square()"), "one mean over batch and features together."),
    ("moment-matching", (MEAN_TERM, "(real_mean - fake_mean).square()[0]"), "the sum over the features is missing."),
    ("moment-matching", (MEAN_TERM, "(real - fake).square().sum(1)"), "the mean over the batch is missing."),
    ("moment-matching", ("    return loss\n", "    return loss.detach()\n"), "the fake features are detached, or .item() is called."),
    ("moment-matching", ("variance_weight * (", "variance_weight**2 * ("), "the weight is squared, or used twice."),
    ("moment-matching", ("(real_variance - fake_variance)", "(real_variance - (fake - real_mean).square().mean(0))"), "the fake variance is taken about the real mean."),
    ("modes", ("torch.where(nearest <= radius, mode, -1)", "torch.where(nearest <= radius, -1, mode)"), "good and bad are swapped."),
    ("modes", (SHARE, "(labels < 0).sum().item() / len(labels)"), "this is the share of bad samples."),
    ("modes", (SHARE, "counts.sum().item() / max(1, counts.sum().item())"), "the share is taken among the good samples; it is among all."),
    ("modes", (KL, f"-{KL}"), "the sign."),
    ("modes", (KL, "torch.xlogy(h, h).sum()"), "this is minus the entropy of h; the factor K is missing."),
    ("modes", (KL, "torch.xlogy(h, modes * h).mean()"), "a mean over the modes instead of a sum."),
    ("modes", (KL, "-(modes * h).log().mean()"), "this is KL(uniform || h); KL(h || uniform) is asked, and it is finite."),
    ("closeness", (NEAR, "torch.exp(-(others[..., None] * squared).sum(1) / max(len(x) - 1, 1) / 2)"), "distances are averaged before the exponential is taken."),
    ("closeness", (NEAR, NEAR.replace("squared", "squared.sqrt()")), "the distance is not squared."),
    (
        "closeness",
        (".square().sum(3)", ".square()"),
        (NEAR, NEAR.replace("torch.exp(-squared / 2)", "torch.exp(-squared / 2).sum(3)")),
        "the exponential is taken before the sum over K.",
    ),
    ("closeness", ("return torch.cat([x, o], 1)", "return x"), "o is missing behind the features."),
    ("closeness", ("return torch.cat([x, o], 1)", "return torch.exp(-squared / 2)"), "the mean over the other points is missing."),
    ("labels", (PLANES, PLANES.replace("[:, :, None, None]", "[:, None, :, None]")), "the one-hot vectors stand along the image's rows; unsqueeze H and W: [:, :, None, None]."),
    ("labels", (PLANES, "labels[:, None, None, None].to(images)"), "every plane holds the label's number."),
    ("labels", (PLANES, f"1 - {PLANES}"), "the own class is 0 and the others are 1."),
    ("labels", (PLANES, f"2 * {PLANES} - 1"), "-1 for the other classes; 0 is asked."),
    ("labels", ("torch.cat([images, planes.expand(n, classes, h, w)], 1)", "planes.expand(n, classes, h, w)"), "the images are missing in front of the planes."),
]  # fmt: skip

MISTAKES = [pytest.param(task, TASKS[task].wrong[name], text, id=f"{task}-{name}") for task, name, text in OF_MUTANTS]
MISTAKES += [pytest.param(task, Edit(*changes), text, id=f"{task}-{text}") for task, *changes, text in FURTHER]


@pytest.mark.parametrize(("task", "source", "text"), MISTAKES)
def test_a_mistake_gets_its_own_hint(task: str, source: str | Edit, text: str) -> None:
    said = first_failure(task, source)
    assert said.endswith((f"Likely mistake: {text}", f" {text}")) if text.endswith(".") else text in said, said


def test_every_hint_has_a_mistake_that_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given: set[str] = set()
    close, shape = checks.expect_close, checks.expect_shape

    def record_close(name, value, expected, **rest):
        given.update(f"{hint}." for hint in told(rest.get("mistakes")))
        return close(name, value, expected, **rest)

    def record_shape(name, value, expected, hints=None):
        given.update(f"{hint}." for hint in told(hints).values())
        return shape(name, value, expected, hints)

    monkeypatch.setattr(checks, "expect_close", record_close)
    monkeypatch.setattr(checks, "expect_shape", record_shape)
    assert all(first_failure(task, source) == "" for task, source in SOLUTIONS.items())
    tested = [text for *_, text in (*OF_MUTANTS, *FURTHER)]
    assert len(given) > 100
    assert {hint for hint in given if not any(text.endswith(hint) for text in tested)} == set()


@pytest.mark.parametrize(
    ("task", "source"),
    [pytest.param(task, SOLUTIONS[task], id=f"{task}-reference") for task in SOLUTIONS]
    + [pytest.param(task, source, id=f"{task}-{name}") for task in TASKS for name, source in TASKS[task].right.items()],
)
def test_right_answers_pass(task: str, source: str | Edit, capsys: pytest.CaptureFixture[str]) -> None:
    assert first_failure(task, source) == ""
    assert capsys.readouterr().out.count("passes its visible check") == len(CHECKS[task])


@pytest.mark.parametrize("task", list(SOLUTIONS))
def test_a_stub_prints_a_sentence_and_does_not_raise(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert first_failure(task, mutants.stub_of(SOLUTIONS[task])) == ""
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHECKS[task])
    assert all(re.fullmatch(r"Task \d.* \(.*\) is not done yet\.", line) for line in lines), lines


def test_a_picture_of_an_unfinished_task_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with checks.when_done("Task 3"):
        raise NotImplementedError
    assert capsys.readouterr().out == "Nothing to see yet: this cell needs your Task 3.\n"
    with pytest.raises(ValueError, match="other"), checks.when_done("Task 3"):
        raise ValueError("other")


def test_points_add_up_to_what_the_text_says() -> None:
    text = "\n".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")
    graded = [cell.metadata["nbgrader"] for cell in NOTEBOOK.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    written = sum(grade["points"] for grade in graded if grade["solution"])
    automatic = sum(grade["points"] for grade in graded if not grade["solution"])
    assert f"({automatic} points) and two written answers ({written} points): **{automatic + written} points**" in text
    rows = re.findall(r"^\| \d+ \|.*\| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert sum(int(points) for _, points in rows) == automatic
    said = re.findall(r"^\*(\d+) minutes, (\d+) points\*$", text, re.MULTILINE)
    assert rows == said[: len(rows)]
    assert sum(int(points) for _, points in said) == automatic + written
    for task, points in zip(SOLUTIONS, (int(points) for _, points in rows), strict=True):
        cells = [cell for cell in NOTEBOOK.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == task]
        after = NOTEBOOK.cells[NOTEBOOK.cells.index(cells[0]) + 1 :]
        mine = []
        for cell in after:
            grade = cell.metadata.get("nbgrader", {})
            if grade.get("solution"):
                break
            mine.append(grade.get("points", 0) if grade.get("grade") else 0)
        assert sum(mine) == points, task


@pytest.fixture
def always_warn():
    """torch warns at every place again, not once in a process."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.filterwarnings("error")
def test_no_cell_of_the_reference_warns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], always_warn: None
) -> None:
    """nbgrader takes all points of a test cell that writes to stderr."""
    plt.switch_backend("agg")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    names = {"__name__": "__main__"}
    for cell in NOTEBOOK.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, cell.metadata.get("nbgrader", {}).get("grade_id", "cell"), "exec"), names)
            names["BUDGET"] = "smoke"
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("passes its visible check") == sum(len(called) for called in CHECKS.values())


def test_networks_are_reproducible_and_separate() -> None:
    (first, _), (second, _) = checks.networks(3), checks.networks(3)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert copy.deepcopy(first)(torch.zeros(1, 3).double()).shape == (1, 2)
