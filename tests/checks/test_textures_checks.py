# ruff: noqa: E501
"""The visible checks of problem set 07, textures: each hint comes from the mistake it names, right answers pass, stubs do not raise."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from course_lib.checks import textures as checks
from tests.checks.visible_checks import VisibleChecks

# What the visible check says to a mutant: (task, mutant, part of the message). Where it ends in a full stop, the whole hint.
OF_MUTANTS = [
    ("shifted", "gram: transposed", "the matrix is transposed, or, which is the same, the shift has the wrong sign: the first index is that of the place which is not moved."),
    ("shifted", "gram: sign of the shift", "the matrix is transposed, or, which is the same, the shift has the wrong sign: the first index is that of the place which is not moved."),
    ("shifted", "gram: down and across exchanged", "down and across are exchanged."),
    ("shifted", "gram: divided by all places", "divided by all places; only those count whose partner is in the image."),
    ("shifted", "gram: a sum", "a sum over the places; a mean is asked."),
    ("shifted", "gram: round the border", "the image is joined at its borders; places without a partner are left out."),
    ("shifted", "gram: no shift", "the plain Gram matrix, without the shift."),
    ("shifted", "gram: the mean of the images", "the images are averaged too; one matrix for each image."),
    ("shifted", "slope: role of k only", "only the role of k; each place is k + δ as well."),
    ("shifted", "slope: role of k + δ only", "only the role of k + δ; each place is k as well."),
    ("shifted", "slope: as if symmetric", "twice the role of k, as if the matrix were symmetric."),
    ("shifted", "slope: transposed", "G - Ĝ is transposed."),
    ("shifted", "slope: sign", "the sign: this is the way down."),
    ("shifted", "slope: 2 missing", "the 2 of the square is missing, or a mean over the two images was taken."),
    ("shifted", "slope: not divided", "not divided by the number of places."),
    ("shifted", "slope: divided by all places", "divided by all places; only those count whose partner is in the image."),
    ("shifted", "slope: autograd", "it asks autograd, and here autograd is off"),
    ("moved", "adain: n - 1", "n - 1 in the variance; n is asked."),
    ("moved", "adain: over the batch", "statistics over the whole batch; each image has its own."),
    ("moved", "adain: over the filters", "statistics over the filters too; each filter has its own."),
    ("moved", "adain: eps at the deviations", "eps is added to the deviations; to the variances is asked."),
    ("moved", "adain: no eps", "eps is missing."),
    ("moved", "adain: eps at the content only", "eps is added to the variance of the content only."),
    ("moved", "adain: by the variance", "divided by the variance, not by its root."),
    ("moved", "adain: content's mean kept", "the mean of the content is not taken off."),
    ("moved", "adain: style's mean missing", "the mean of the style is not added."),
    ("moved", "adain: upside down", "content and style are exchanged in the deviations."),
    ("moved", "nearest: root of n missing", "the root of n is missing: the Gram matrix is a mean over the places."),
    ("moved", "nearest: n", "n in place of its root."),
    ("moved", "nearest: the matrix for its root", "the Gram matrix in place of its root."),
    ("moved", "nearest: white and coloured", "F is made white and coloured anew: that has the Gram matrix, and is not the nearest."),
    ("moved", "nearest: Q from F", "F is made white and coloured anew: that has the Gram matrix, and is not the nearest."),
    ("moved", "nearest: Cholesky", "an inverse, a Cholesky factor, or the root of an eigenvalue a little below 0."),
    ("moved", "nearest: negative eigenvalues", "an inverse, a Cholesky factor, or the root of an eigenvalue a little below 0."),
    ("moved", "nearest: transport by inverses", "an inverse, a Cholesky factor, or the root of an eigenvalue a little below 0."),
    ("moved", "nearest: any root of the eigenvalues", "the Gram matrix in place of its root."),
    ("lbfgs", "direction: uphill", "the sign: this is the way up."),
    ("lbfgs", "direction: loops the other way", "the pairs are used in the wrong order: H is improved from the oldest to the newest."),
    ("lbfgs", "direction: gamma missing", "gamma is missing."),
    ("lbfgs", "direction: gamma of the oldest", "gamma is that of the oldest pair."),
    ("lbfgs", "direction: gamma upside down", "gamma is upside down."),
    ("lbfgs", "direction: gamma of s", "gamma is sᵀs / sᵀy; sᵀy / yᵀy is asked."),
    ("lbfgs", "direction: one loop", "only the first loop; the term with s sᵀ is missing."),
    ("lbfgs", "direction: s and y exchanged", "s and y are exchanged."),
    ("lbfgs", "direction: the slope itself", "the slope itself, without the pairs."),
    ("lbfgs", "direction: counts for all or none", "a pair counts for all images or for none; each image decides for itself."),
    ("lbfgs", "direction: negative pairs count", "a pair with sᵀy below 0 counts, too."),
    ("lbfgs", "direction: gamma of the newest, counting or not", "gamma comes from a pair that does not count."),
    ("lbfgs", "direction: NaN for a pair of 0", "holds NaN or infinity"),
    ("lbfgs", "direction: in place", "an operation in place (+=, *=, add_, out=)."),
    ("lbfgs", "wolfe: first condition alone", "the second condition is missing."),
    ("lbfgs", "wolfe: steep enough", "flat enough means a slope of at least 0.9 φ'(0), not at most."),
    ("lbfgs", "wolfe: strong", "the second condition bounds |φ'|; here a positive slope is flat enough."),
    ("lbfgs", "wolfe: done together", "an image that is done must keep its t while others go on."),
    ("lbfgs", "wolfe: plus one", "twice as long: 2·low is asked, not t + 1."),
    ("lbfgs", "wolfe: half of t", "the middle of low and high is asked, not half of t."),
    ("lbfgs", "wolfe: the last t", "an image that is not done gets its low, not the last t."),
    ("lbfgs", "wolfe: NaN is low enough", "a value of NaN is not low enough."),
    ("lbfgs", "wolfe: lower is enough", "lower than φ(0) is not low enough; the slope has a say, by 10⁻⁴."),
    ("lbfgs", "wolfe: low forgotten", "an image that is not done gets its low, not 0."),
    ("lbfgs", "wolfe: goes on to the end", "Stop then."),
    ("lbfgs", "wolfe: one try too many", "an image that is not done gets its low, not the last t."),
    ("sliced", "distance: unit directions", "the directions are made as long as 1; they are used as they are."),
    ("sliced", "distance: cut off", "the longer sample is cut off."),
    ("sliced", "distance: thinned out", "the longer sample is thinned out; every number has its mass."),
    ("sliced", "distance: not sorted", "not sorted: place k is compared with place k."),
    ("sliced", "distance: the root", "the root; the square is asked."),
    ("sliced", "distance: not squared", "the differences are not squared."),
    ("sliced", "distance: a sum", "a sum over the pieces; each counts with its mass."),
    ("sliced", "distance: pieces of equal mass", "every piece between two steps counts alike; they are of different length."),
    ("sliced", "distance: means only", "the difference of the means only."),
    ("sliced", "distance: all pairs", "all pairs of numbers; each mass is carried to one place."),
    ("sliced", "distance: the mean over directions", "the mean over the directions; one number for each."),
    ("sliced", "distance: no slope", ".detach(), .item(), .tolist() or no_grad."),
    ("sliced", "distance: without the directions", "the filters are the directions; project first."),
    ("sliced", "transfer: places for ranks", "the places in sorted order in place of the ranks: argsort once more."),
    ("sliced", "transfer: columns", "the axes are the rows of B, not its columns."),
    ("sliced", "transfer: not back", "not turned back."),
    ("sliced", "transfer: from the first f", "each basis begins with the first f; it goes on from what the one before has made."),
    ("sliced", "transfer: first basis only", "only the first basis."),
    ("sliced", "transfer: f in the order of g", "f's numbers are put in the order of g; g's numbers in the order of f are asked."),
    ("reach", "sees: forwards", "the layers are gone through from the first on; from the last one back is asked."),
    ("reach", "sees: padding forgotten", "the padding is forgotten: it shifts what an output reads."),
    ("reach", "sees: stride forgotten", "the stride is forgotten."),
    ("reach", "sees: one too many", "a filter of `size` ends `size` - 1 behind its first input."),
    ("reach", "sees: enlarging forgotten", "enlarging is forgotten: it divides the number of the place."),
    ("reach", "sees: one place of the enlarged", "the last place is not divided, too, where the layer enlarges."),
    ("reach", "sees: leaves the tensor", "the range leaves the tensor; padding belongs to no input."),
    ("reach", "reaches: first rounded down", "the first output is rounded down; the window that begins before it may not reach the input."),
    ("reach", "reaches: last rounded up", "the last output is rounded up; a window that begins behind the input does not read it."),
    ("reach", "reaches: padding forgotten", "the padding is forgotten."),
    ("reach", "reaches: filter forgotten", "nothing is returned, or the size of the filter is forgotten: windows that begin before the input read it, too."),
    ("reach", "reaches: first copy only", "only the first of the copies where the layer enlarges."),
    ("reach", "reaches: leaves the tensor", "the range leaves the tensor."),
    ("reach", "reaches: never None", "nobody reads input 5"),
    ("pull", "errors: not divided", "not divided by the size of the wanted matrix."),
    ("pull", "errors: divided by the found", "divided by the size of the found matrix."),
    ("pull", "errors: sums over the places", "sums over the places in G; a mean is asked."),
    ("pull", "errors: not squared", "the length, not its square."),
    ("pull", "errors: divisor not squared", "only the divisor is not squared."),
    ("pull", "errors: mean above, sum below", "the mean over the entries is taken above, the sum below."),
    ("pull", "errors: summed over the batch", "the squared distances are summed over the batch."),
    ("pull", "errors: images first", "images come first; layers are asked first."),
    ("pull", "errors: layers summed", "the layers are summed; one number for each."),
    ("pull", "errors: no slope", ".detach(), .item() or no_grad."),
    ("pull", "weights: in proportion", "in proportion to the pull; the harder a layer pulls, the less it should weigh."),
    ("pull", "weights: by the errors", "by the errors, not by their slopes."),
    ("pull", "weights: squared lengths", "by the squared lengths of the slopes."),
    ("pull", "weights: sum is not 1", "the weights do not sum to 1."),
    ("pull", "weights: sum over the images", "the weights sum to 1 over the images; over the layers is asked."),
    ("pull", "weights: one for the batch", "one weight for the batch; each image has its own."),
    ("pull", "weights: sums of |slope|", "by the sums of |slope|; its length is asked."),
    ("pull", "weights: NaN where nothing pulls", "a slope of length 0 is divided by; such a layer has the weight 0."),
    ("pull", "weights: infinite where a layer does not pull", "a slope of length 0 is divided by; such a layer has the weight 0."),
    ("pull", "weights: backward through the net", "loss.backward() fills every .grad there is; torch.autograd.grad(loss, x) gives the slope in x alone."),
    ("precision", "values: columns ask", "the askers are in the rows."),
    ("precision", "values: farthest first", "the farthest come first."),
    ("precision", "values: the asker in its list", "the asker is in its own list."),
    ("precision", "values: the first left out", "the first of the list is left out, not the asker."),
    ("precision", "values: nearest only", "only the nearest one is looked at."),
    ("precision", "values: every rank", "the shares at all ranks; only those where one of the same texture stands."),
    ("precision", "values: divided by all", "divided by the length of the list; by the number of crops of the same texture is asked."),
    ("precision", "values: as many as there are", "the share among as many as there are of the same texture."),
    ("precision", "values: mean of 1/rank", "the mean of 1/rank; at the second hit the share is 2/rank."),
    ("precision", "values: 0 where alone", "0 where no other crop has the label; nan is asked."),
    ("precision", "values: mean over the askers", "the mean over the askers; one number for each."),
    ("precision", "chance: R/K", "R/K is the expected share at a rank of its own, without the hit itself."),
    ("precision", "chance: R/K before", "the share of the others before is (R - 1)/(K - 1), without the hit."),
    ("precision", "chance: without the hit", "the hit itself is missing."),
    ("precision", "chance: without the others", "the others of its texture before it are missing."),
    ("precision", "chance: a sum", "a sum over the ranks; a mean is asked."),
    ("precision", "chance: divided by R", "divided by R; each of K ranks is equally likely."),
]  # fmt: skip

# Mistakes that have a hint, and no mutant of their own.
FURTHER = [
    ("shifted", ("(height, width), (down, across) = F.shape[2:], shift", "(height, width), (down, across) = F.shape[2:], (-shift[0], shift[1])"), "the shift has the wrong sign downwards."),
    ("shifted", ("(height, width), (down, across) = F.shape[2:], shift", "(height, width), (down, across) = F.shape[2:], (shift[0], -shift[1])"), "the shift has the wrong sign across."),
    ("shifted", ('return torch.einsum("nchw,ndhw->ncd", here, there) / here[0, 0].numel()', 'return torch.einsum("nchw,ndhw->ncd", here, here) / here[0, 0].numel()'), "both filters are taken at the same places."),
    ("shifted", ("return 2 * slope / n", "return 4 * slope / n"), "4 in place of 2: the two roles are already added."),
    ("shifted", ("here = F[:, :, max(0, -down)", "F *= 1.5\n    here = F[:, :, max(0, -down)"), ("/ here[0, 0].numel()", "/ here[0, 0].numel() / 2.25"), "an operation in place (+=, *=, add_, out=)."),
    ("moved", ("* (F - m) + m_style", "* 0 + S"), "the style was moved; the content is asked."),
    ("moved", ("return ((v_style + eps) / (v + eps)).sqrt() * (F - m) + m_style", "return F - m + m_style"), "the means are moved, the deviations not."),
    ("moved", ("return ((v_style + eps) / (v + eps)).sqrt() * (F - m) + m_style", "return (F - m) / (v + eps).sqrt() + m_style"), "only normalised, without the style's deviation."),
    ("moved", ("(U @ Vt)).view_as(F)", "(U @ Vt))"), "the places are still in one row; the shape of F is asked."),
    ("moved", ("math.sqrt(flat.shape[2]) * A @ (U @ Vt)", "math.sqrt(flat.shape[2]) * (U @ Vt)"), "Q alone, without the root A."),
    ("lbfgs", ("return torch.where(done, t, low)", "return t.max()"), "t has shape (), expected (8,)."),
    ("lbfgs", ("values, slopes = line(t)", "values, slopes = line(t.max())"), "what `line` is called with has shape (), expected (8,)."),
    ("lbfgs", ("enough = values <= value + 1e-4 * t * slope", "enough = values <= value + 1e-4 * slope"), "the 10⁻⁴ φ'(0) of the first condition is to be multiplied by t."),
    ("lbfgs", ("counts = products > 1e-10 * squares", "counts = products > 1e-3"), "sᵀy is compared with a fixed number; with 10⁻¹⁰ yᵀy is asked."),
    ("lbfgs", ("t, low, high = torch.ones_like(value), torch.zeros_like(value), torch.full_like(value, math.inf)", "t, low, high = torch.ones(8), torch.zeros(8), torch.full((8,), math.inf)"), "without dtype=x.dtype is float32."),
    ("sliced", ("for B in bases:", "f -= 0\n    f += 1e-12\n    for B in bases:"), "an operation in place (+=, *=, add_, out=)."),
    ("reach", ("a = max(-((size - 1 - padding - a) // stride), 0)  # rounded up", "a = max(-((-padding - a) // stride), 0)"), ("if a > b:", "if False:"), "the size of the filter is forgotten: windows that begin before the input read it, too."),
    ("reach", ("return a, b", "pass"), "windows that begin before the input read it, too."),
    ("reach", ("return first, last", "return first"), "2 results were expected: return a, b."),
    ("pull", ("return torch.stack(errors)", "return torch.stack(errors).sum(1)"), "the images are summed; one number for each."),
    ("pull", ("return inverse / inverse.sum(0)", "return (inverse / inverse.sum(0)).mean(1)"), "one weight for each layer; each image has its own."),
    ("pull", ("return inverse / inverse.sum(0)", "return (inverse / inverse.sum(0)).T"), "images come first; layers are asked first."),
    ("pull", ("return inverse / inverse.sum(0)", "return torch.full_like(inverse, 1 / len(inverse))"), "all weights are 1/M."),
    ("pull", ("slopes = [torch.autograd.grad(error.sum(), leaf, retain_graph=True)[0] for error in errors]", "slopes = [torch.autograd.grad(error.sum(), leaf, create_graph=True)[0] for error in errors]"), "the weights have a graph. Likely mistake: .detach() is missing."),
]  # fmt: skip


class TestHints(
    VisibleChecks,
    problem_set="ps07_textures",
    checks=checks,
    names={"torch": torch, "nn": nn, "math": math},
    of_mutants=OF_MUTANTS,
    further=FURTHER,
):
    """Of this problem set."""


# ------------------------------------------------------------------- the references of the hidden tests


def test_staircases_are_the_cheapest_plan() -> None:
    """Masses 1/2 at 0 and 3 against 1/3 at 0, 1 and 3: a sixth goes from 0 to 1, a sixth from 3 to 1."""
    got = checks._staircases(torch.tensor([[0.0, 3.0]]), torch.tensor([[0.0, 1.0, 3.0]]))
    assert float(got) == pytest.approx((1 + 4) / 6)


def test_dependence_by_hand() -> None:
    got = checks.dependence([("conv", 3, 2, 1), ("up", 2)], 4).int().tolist()
    assert got == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1]]


@pytest.mark.parametrize("sparse", [False, True])
def test_some_layers_always_have_outputs(sparse: bool) -> None:
    for seed in range(300):
        layers, length = checks.some_layers(seed, sparse=sparse)
        depends = checks.dependence(layers, length)
        assert len(depends) > 0
        assert bool(depends.any(1).all()), "an output depends on nothing"


def test_some_layers_have_all_kinds_of_inputs() -> None:
    """Where sparse, now and then an input that nothing depends on."""
    unread = [bool((~checks.dependence(*checks.some_layers(seed, sparse=True)).any(0)).any()) for seed in range(200)]
    assert 10 < sum(unread) < 190


def test_some_lines_need_every_rule() -> None:
    """Of seven kinds: one is never done, one has no value somewhere, one is lower at 1 and not low enough, ..."""
    line, value, slope = checks.some_lines(3, 14)
    assert bool((slope < 0).all())
    far, _ = line(torch.full((14,), 100.0))
    assert far.isnan().nonzero()[:, 0].tolist() == [2, 9]
    values, _ = line(torch.ones(14))
    assert bool((values < value)[[4, 11]].all())
    assert not bool((values <= value + 1e-4 * slope)[[4, 11]].any())
    t = checks._searched(line, value, slope, 6)
    assert t[1] == t[8] == 2.0**5
    assert t[5] == t[12] == 0.5  # would not be low enough without the t in 1e-4 * t * slope
    halves = checks._searched(line, value, slope, 20)[[6, 13]]
    assert bool((halves > 1).all()), "low and high must close in on the valley from both sides"


def test_some_pairs_count() -> None:
    for seed in range(50):
        _, moves, turns = checks.some_pairs(seed, 4, 3, 6)
        assert bool(((moves * turns).sum(2) > 0.4 * moves.square().sum(2)).all())


def test_dense_fulfils_the_secant_equation() -> None:
    g, moves, turns = checks.some_pairs(5, 3, 2, 6)
    torch.testing.assert_close(checks._dense(turns[-1], moves, turns), -moves[-1])
    assert bool(((checks._dense(g, moves, turns) * g).sum(1) < 0).all())


def test_chance_by_all_orders() -> None:
    """The expected value of the visible check: 5 others, 2 of them relevant."""
    orders = list(itertools.permutations([1, 1, 0, 0, 0]))
    mean = 0.0
    for order in orders:
        ranks = [i + 1 for i, hit in enumerate(order) if hit]
        mean += (1 / ranks[0] + 2 / ranks[1]) / 2 / len(orders)
    assert mean == pytest.approx(0.5925)
    checks.check_by_chance(lambda others, relevant: mean if others == 5 else 1.0)
