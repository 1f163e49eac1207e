# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Problem set 07 · Synthesis by repeating statistics
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/assignments/ps07_textures/ps07_textures.ipynb)
#
# Seven tasks in code (48 points) and two written answers (6 points): **54 points**, about 275 minutes. No GPU is needed.
# The lecture is `notebooks/07_textures.ipynb`.
#
# | task | | minutes | points |
# |---|---|---|---|
# | 1 | A Gram matrix that looks into the distance | 35 | 7 |
# | 2 | Statistics moved in one step | 40 | 7 |
# | 3 | L-BFGS, its direction and its step | 45 | 8 |
# | 4 | Whole distributions, slice by slice | 40 | 7 |
# | 5 | How far one number reaches | 30 | 6 |
# | 6 | Every layer pulls alike | 35 | 7 |
# | 7 | More than the nearest crop | 30 | 6 |
# | 8, 9 | Written answers | 20 | 3 + 3 |
#
# **How it works.** Replace each `raise NotImplementedError()` by your code. The cell below it checks your work and says
# what is likely wrong. After you hand in, hidden tests use other data, other shapes and extreme cases. No task needs
# another task's code, so do them in any order.
#
# **Rules.** Functions return new tensors and leave what they are given as it was: maps, images, and also the net, whose
# weights have no gradient (`.grad`) afterwards that they did not have before. `course_lib.losses`, `course_lib.systems`
# and `course_lib.metrics` are there to compare with, not to be called in an answer.
#
# **Notation** as in the lecture: maps $F$ of $C$ filters, $(N, C, H, W)$, with $n = H \cdot W$ places $k$; Gram matrix
# $G_{cd} = \frac1n\sum_k F_{ck} F_{dk}$; what is wanted has a hat. Every image of a batch is a problem of its own: what comes
# out for it never depends on which others are there. Results have the dtype of what is given.

# %% tags=["parameters"]
BUDGET = "auto"  # smoke, laptop, gpu, paper; auto chooses by the device
SEED = 0

# %%
# Setup. On Colab this installs the course and changes nothing else there; elsewhere it only imports it.
try:
    import course_lib
except ImportError:
    import subprocess
    import sys

    subprocess.check_call(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "course_lib @ git+https://github.com/your-organisation/networks-that-generate@main",
        ]
    )
    import course_lib

import math

import matplotlib.pyplot as plt
import torch
from torch import nn

from course_lib.checks import textures as checks
from course_lib.data.textures import drawn_texture, photographs, texture_regions, tiles
from course_lib.draw import COLOURS, image_grid

device, budget = course_lib.start(BUDGET, SEED, device="cpu")

# %% [markdown]
# ## Task 1 · A Gram matrix that looks into the distance
#
# *35 minutes, 7 points*
#
# In the lecture the bricks lost their even lengths: $G$ compares filters at *one* place, and says nothing of what comes a brick
# further on. So compare the map of one filter with the map of another one that is moved by $\delta$ = (down, across)
# ([Berger and Memisevic 2016](https://arxiv.org/abs/1606.01286)):
#
# $$G_{cd}(\delta) = \frac1{n_\delta} \sum_k F_c(k)\, F_d(k + \delta) ,$$
#
# summed over those places $k$ for which $k + \delta$ is in the image too; $n_\delta$ is their number. `shifted_gram` returns it for each
# image, $(N, C, C)$. Both parts of $\delta$ may be negative or 0; they are smaller in size than $H$ and $W$.
#
# `shifted_gram_slope` returns the slope of $L = \lVert G(\delta) - \hat G\rVert^2$ (the sum of all squares, for each image) with respect to $F$,
# **without autograd**; its check runs it under `torch.no_grad()`. The lecture's derivation uses that $G - \hat G$ is symmetric. This one is not: a place occurs in the sum once as $k$ and once as
# $k + \delta$, in two different roles.


# %% nbgrader={"grade": false, "grade_id": "shifted", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shifted_gram(F, shift):
    """How often filter c answers at a place and filter d at the place moved by the shift.

    Args:
        F: maps (N, C, H, W). shift: (down, across), integers, smaller in size than H and W.

    Returns:
        (N, C, C), the first index for the place that is not moved.
    """
    ### BEGIN SOLUTION
    (height, width), (down, across) = F.shape[2:], shift
    here = F[:, :, max(0, -down) : height - max(0, down), max(0, -across) : width - max(0, across)]
    there = F[:, :, max(0, down) : height - max(0, -down), max(0, across) : width - max(0, -across)]
    return torch.einsum("nchw,ndhw->ncd", here, there) / here[0, 0].numel()
    ### END SOLUTION


def shifted_gram_slope(F, wanted, shift):
    """The slope of the squared distance between the shifted Gram matrix and a wanted one, without autograd.

    Args:
        F: maps (N, C, H, W). wanted: (N, C, C). shift: (down, across), as above.

    Returns:
        (N, C, H, W)
    """
    ### BEGIN SOLUTION
    (H, W), (dy, dx) = F.shape[2:], shift
    first = (..., slice(max(0, -dy), H - max(0, dy)), slice(max(0, -dx), W - max(0, dx)))
    second = (..., slice(max(0, dy), H - max(0, -dy)), slice(max(0, dx), W - max(0, -dx)))
    n = (H - abs(dy)) * (W - abs(dx))
    off = torch.einsum("nchw,ndhw->ncd", F[first], F[second]) / n - wanted
    slope = torch.zeros_like(F)
    slope[first] += torch.einsum("ncd,ndhw->nchw", off, F[second])
    slope[second] += torch.einsum("ncd,nchw->ndhw", off, F[first])
    return 2 * slope / n
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "shifted-values", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_shifted_gram(shifted_gram)
### BEGIN HIDDEN TESTS
for seed, shape, shift, dtype in (
    (0, (2, 3, 4, 5), (-1, 2), torch.float64),
    (1, (1, 2, 3, 6), (2, -5), torch.float64),
    (2, (3, 1, 5, 2), (0, 0), torch.float64),
    (3, (2, 4, 3, 3), (-2, -1), torch.float32),
    (4, (1, 2, 4, 4), (3, 0), torch.float64),
):
    F = checks.some_maps(checks.fresh(seed), shape).to(dtype)
    kept = F.clone()
    got = shifted_gram(F, shift)
    assert torch.equal(F, kept), "changed what it was given"
    assert got.dtype == dtype
    (H, W), (dy, dx), terms = shape[2:], shift, []
    for i in range(H):
        for j in range(W):
            if 0 <= i + dy < H and 0 <= j + dx < W:
                terms.append(F[:, :, None, i, j].double() * F[:, None, :, i + dy, j + dx].double())
    torch.testing.assert_close(got.double(), torch.stack(terms).mean(0), rtol=1e-4, atol=1e-5)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "shifted-slope", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_shifted_gram_slope(shifted_gram_slope)
### BEGIN HIDDEN TESTS
for seed, shape, shift, dtype in (
    (5, (2, 3, 4, 5), (1, -2), torch.float64),
    (6, (1, 2, 6, 3), (-4, -1), torch.float64),
    (7, (3, 2, 3, 4), (0, 0), torch.float64),
    (8, (2, 1, 2, 5), (0, 4), torch.float64),
    (9, (2, 3, 5, 4), (2, 1), torch.float32),
):
    F = checks.some_maps(checks.fresh(seed), shape).to(dtype)
    wanted = checks.some_maps(checks.fresh(seed + 10), (shape[0], shape[1], shape[1])).to(dtype)
    kept = F.clone(), wanted.clone()
    leaf, (dy, dx), (H, W) = F.double().requires_grad_(), shift, shape[2:]
    total = 0.0
    for i in range(max(0, -dy), min(H, H - dy)):
        for j in range(max(0, -dx), min(W, W - dx)):
            total = total + leaf[:, :, None, i, j] * leaf[:, None, :, i + dy, j + dx]
    n = (H - abs(dy)) * (W - abs(dx))
    (expected,) = torch.autograd.grad((total / n - wanted.double()).square().sum(), leaf)
    with torch.no_grad():
        got = shifted_gram_slope(F, wanted, shift)
    assert torch.equal(F, kept[0]), "changed what it was given"
    assert torch.equal(wanted, kept[1]), "changed what it was given"
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), expected, rtol=1e-3, atol=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# One map only, the grey image less its mean, moved to the right. Before you look: which of the three textures will correlate with itself again, and after how many pixels?

# %%
with checks.when_done("Task 1"):
    side, shifts = budget.pick(smoke=64, laptop=128), range(0, 41, budget.pick(smoke=2, laptop=1))
    _, axes = plt.subplots(1, 4, figsize=(10.5, 2.7), width_ratios=[1, 1, 1, 2.6])
    for ax, kind in zip(axes, ("bricks", "labyrinth", "straw"), strict=False):
        x = drawn_texture(kind, side, generator=torch.Generator().manual_seed(SEED))[None]
        grey = x.mean(1, keepdim=True)
        grey = grey - grey.mean()
        image_grid(x[..., :48, :48], ax=ax, title=kind)
        along = [float(shifted_gram(grey, (0, k))) for k in shifts]
        axes[3].plot(shifts, [value / along[0] for value in along], label=kind)
    axes[3].set(xlabel="moved to the right, pixels", ylabel="G(δ) / G(0)", ylim=(-0.65, 1.4))
    axes[3].legend(loc="upper center", ncols=3, fontsize=8)
    plt.show()

# %% [markdown]
# ## Task 2 · Statistics moved in one step
#
# *40 minutes, 7 points*
#
# Must one descend to give maps $F$ the statistics of a style? For some statistics there is a formula.
#
# **Mean and deviation of each filter** ([Huang and Belongie 2017](https://arxiv.org/abs/1703.06868)). With the mean $\mu_c$ and the variance $v_c$ of filter $c$ over
# the places of one image (divided by $n$, not by $n - 1$),
#
# $$F'_{ck} = \sqrt{\frac{\hat v_c + \varepsilon}{v_c + \varepsilon}}\,(F_{ck} - \mu_c) + \hat\mu_c .$$
#
# `adain` does it for content maps `F` and style maps `S`, which may have other heights and widths.
#
# **All of the Gram matrix.** Many maps have the Gram matrix $\hat G$; we want those *nearest* to $F$, so that the layout suffers least
# ([Lu et al. 2019](https://arxiv.org/abs/1906.00668)). Write $F$ as a matrix $(C, n)$ with $n \ge C$. All maps with $\frac1n F'F'^\top = \hat G$ are
# $F' = \sqrt n\, A\, Q$ with a root $A$ of $\hat G = A A^\top$ and any $(C, n)$ matrix $Q$ with orthonormal rows. Multiply out:
#
# $$\lVert F' - F\rVert^2 = n \operatorname{tr}\hat G + \lVert F\rVert^2 - 2\sqrt n\,\langle Q,\, A^\top F\rangle .$$
#
# Which $Q$ makes the last product largest? Let $A^\top F = U \Sigma V^\top$ be the thin singular value decomposition (`torch.linalg.svd(…, full_matrices=False)` takes batches and
# returns $V^\top$); then $\langle Q, U\Sigma V^\top\rangle = \sum_i \Sigma_i\, u_i^\top Q\, v_i \le \sum_i \Sigma_i$. When is it equal? `nearest_maps` returns this $F'$ (any one of them where several are equally near). A filter may be silent (a row of zeros in $\hat G$), and
# two filters of $F$ may be equal, so nothing here can be inverted, and a Cholesky factor need not exist: take $A$ from `torch.linalg.eigh`, whose eigenvalues may come out a little below 0.


# %% nbgrader={"grade": false, "grade_id": "moved", "locked": false, "schema_version": 3, "solution": true, "task": false}
def adain(F, S, eps):
    """Content maps with the mean and deviation of the style's, filter by filter.

    Args:
        F: content (N, C, H, W). S: style (N, C, H', W'). eps: added to both variances, more than 0.

    Returns:
        (N, C, H, W)
    """
    ### BEGIN SOLUTION
    v, m = torch.var_mean(F, dim=(2, 3), correction=0, keepdim=True)
    v_style, m_style = torch.var_mean(S, dim=(2, 3), correction=0, keepdim=True)
    return ((v_style + eps) / (v + eps)).sqrt() * (F - m) + m_style
    ### END SOLUTION


def nearest_maps(F, wanted):
    """The maps nearest to F that have a given Gram matrix.

    Args:
        F: (N, C, H, W), at least as many places as filters. wanted: Gram matrices (N, C, C), means over the places.

    Returns:
        (N, C, H, W)
    """
    ### BEGIN SOLUTION
    flat = F.flatten(2)  # (N, C, n)
    values, vectors = torch.linalg.eigh(wanted)
    A = vectors * values.clamp(min=0).sqrt()[:, None]
    U, _, Vt = torch.linalg.svd(A.mT @ flat, full_matrices=False)
    return (math.sqrt(flat.shape[2]) * A @ (U @ Vt)).view_as(F)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "moved-adain", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_adain(adain)
### BEGIN HIDDEN TESTS
for seed, shape, places, eps, dtype in (
    (0, (2, 3, 4, 5), (3, 7), 1e-5, torch.float64),
    (1, (1, 1, 2, 2), (5, 1), 0.3, torch.float64),
    (2, (3, 2, 6, 3), (1, 4), 1e-3, torch.float32),
):
    F = checks.some_maps(checks.fresh(seed), shape).to(dtype)
    S = (0.3 + 2 * checks.some_maps(checks.fresh(seed + 10), (*shape[:2], *places))).to(dtype)
    F[0, 0] = 0.25  # a silent filter
    kept = F.clone(), S.clone()
    got = adain(F, S, eps)
    assert torch.equal(F, kept[0]), "changed what it was given"
    assert torch.equal(S, kept[1]), "changed what it was given"
    assert got.dtype == dtype
    for n in range(shape[0]):
        for c in range(shape[1]):
            f, s = F[n, c].double(), S[n, c].double()
            off, style = f - f.sum() / f.numel(), s - s.sum() / s.numel()
            gain = ((style.norm() ** 2 / s.numel() + eps) / (off.norm() ** 2 / f.numel() + eps)) ** 0.5
            torch.testing.assert_close(got[n, c].double(), gain * off + s.mean(), rtol=1e-3, atol=1e-4)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "moved-nearest", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_nearest_maps(nearest_maps)
### BEGIN HIDDEN TESTS
for seed, shape, how, dtype in (
    (3, (2, 3, 4, 5), "", torch.float64),
    (4, (1, 4, 2, 2), "", torch.float64),
    (5, (3, 4, 5, 3), "silent", torch.float64),
    (6, (2, 5, 4, 4), "equal", torch.float64),
    (7, (2, 3, 6, 5), "", torch.float32),
    (8, (2, 1, 3, 3), "", torch.float64),
):
    F = checks.some_maps(checks.fresh(seed), shape)
    style = (
        checks.some_maps(checks.fresh(seed + 10), (shape[0], shape[1], 40)) * torch.linspace(0.3, 2, shape[1])[:, None]
    )
    if how == "silent":
        style[:, 1] = 0
    if how == "equal":
        F[:, 2] = F[:, 0]
    wanted = style @ style.mT / 40
    given = F.to(dtype), wanted.to(dtype)
    kept = given[0].clone(), given[1].clone()
    got = nearest_maps(*given)
    assert torch.equal(given[0], kept[0]), "changed what it was given"
    assert torch.equal(given[1], kept[1]), "changed what it was given"
    assert got.dtype == dtype
    assert got.shape == shape
    flat, found = F.flatten(2), got.double().flatten(2)
    n = flat.shape[2]
    small = 1e-6 if dtype == torch.float64 else 1e-3
    torch.testing.assert_close(found @ found.mT / n, wanted, rtol=small, atol=small)
    values, vectors = torch.linalg.eigh(wanted)
    root = (vectors * values.clamp(min=0).sqrt()[:, None]) @ vectors.mT
    overlap = torch.linalg.svdvals(root @ flat).sum(1)
    least = n * style.square().sum((1, 2)) / 40 + flat.square().sum((1, 2)) - 2 * math.sqrt(n) * overlap
    reached = (found - flat).square().sum((1, 2))
    torch.testing.assert_close(reached, least, rtol=10 * small, atol=10 * small)  # the nearest
### END HIDDEN TESTS

# %% [markdown]
# Here the "filters" are the three colours. AdaIN knows nothing of how red and blue go together; with the mean taken off, `nearest_maps` moves the covariance. Where do you see the difference?

# %%
with checks.when_done("Task 2"):
    content = photographs()["flower"][None, :, 78:366:3, 164:452:3].double()
    style = photographs()["china"][None, :, 4:420:4, 60:580:4].double()
    mean, own = style.mean((2, 3), keepdim=True), content.mean((2, 3), keepdim=True)
    colours = (style - mean).flatten(2)
    covariance = colours @ colours.mT / colours.shape[2]
    images = {
        "content": content,
        "its colours are wanted": style[..., :96, 20:116],
        "AdaIN": adain(content, style, 1e-5),
        "nearest, whole covariance": nearest_maps(content - own, covariance) + mean,
    }
    _, axes = plt.subplots(1, 4, figsize=(10, 2.8))
    for ax, (name, image) in zip(axes, images.items(), strict=True):
        image_grid(image.clamp(-1, 1), ax=ax, title=name)
    plt.show()

# %% [markdown]
# ## Task 3 · L-BFGS, its direction and its step
#
# *45 minutes, 8 points*
#
# The lecture lets L-BFGS guess the curvature from its last steps. What does it guess? Step $k$ moved by $s_k$, and the slope turned by $y_k$. BFGS improves
# a guess $H$ of the inverse Hessian with each pair, from the oldest to the newest, so that $H y_k = s_k$ holds for the pair just used:
#
# $$H \leftarrow (I - \rho\, s y^\top)\, H\, (I - \rho\, y s^\top) + \rho\, s s^\top , \qquad \rho = \frac1{s^\top y} .$$
#
# Images have too many pixels for any $H$. But $-Hg$ needs only the pairs: with $q = g$, go from the newest pair to the oldest, $a_k = \rho_k s_k^\top q$ and $q \leftarrow q - a_k y_k$; multiply by the
# guess of the beginning, $H = \gamma I$: $q \leftarrow \gamma q$; go from the oldest to the newest, $q \leftarrow q + (a_k - \rho_k y_k^\top q)\, s_k$. Now $q = Hg$. (Convince yourself with one pair.)
#
# A pair with $s^\top y \le 0$ would give a model without a bottom, and with little more than 0 a huge $H$. So a pair with $s^\top y \le 10^{-10}\, y^\top y$ **does not count**: for this image, it is as if it had never been. $\gamma = s^\top y / y^\top y$ is taken from the newest pair that
# counts, $\gamma = 1$ where none does. `direction` returns $-Hg$ for each image; a pair may count for one image and not for another, and there may be no pairs at all.
#
# **The step.** How far along $d$? With $\varphi(t) = L(x + t d)$ we want (Wolfe's conditions)
#
# $$\varphi(t) \le \varphi(0) + 10^{-4}\, t\, \varphi'(0) \quad\text{(low enough)}, \qquad \varphi'(t) \ge 0.9\, \varphi'(0) \quad\text{(flat enough)} .$$
#
# The second makes $s^\top y = t\,(\varphi'(t) - \varphi'(0)) > 0$, so that the model keeps its bottom. `wolfe` finds such $t$ for each image by halving
# ([Lewis and Overton 2013](https://doi.org/10.1007/s10107-012-0514-2)), beginning with $t = 1$, `low` $= 0$, `high` $= \infty$. Try $t$ and look:
#
# - not low enough (a value of NaN is not): `high` becomes $t$;
# - low enough, but not flat enough: `low` becomes $t$;
# - both: this image keeps its $t$.
#
# The next $t$ is $(\text{low} + \text{high})/2$, or $2 \cdot \text{low}$ while `high` is infinite. Stop as soon as all images are done, and after `tries` tries at the latest; an image that is not done by then gets its `low`, which is
# 0 or at least low enough. `line(t)` returns values and slopes, $(N,)$ each, for steps $t$ of all images, $(N,)$; each call is one try.


# %% nbgrader={"grade": false, "grade_id": "lbfgs", "locked": false, "schema_version": 3, "solution": true, "task": false}
def direction(g, moves, turns):
    """The direction -H g of L-BFGS, for each image.

    Args:
        g: slopes (N, D). moves: s, (K, N, D). turns: y, (K, N, D); the oldest pair first, K may be 0.

    Returns:
        (N, D)
    """
    ### BEGIN SOLUTION
    products, squares = (moves * turns).sum(2), turns.square().sum(2)  # (K, N)
    counts = products > 1e-10 * squares
    rho = torch.where(counts, 1 / torch.where(counts, products, 1), 0)
    gamma = torch.ones_like(g[:, 0])
    for k in range(len(moves)):
        gamma = torch.where(counts[k], products[k] / squares[k], gamma)
    q, shares = g, []
    for k in reversed(range(len(moves))):
        shares.insert(0, rho[k] * (moves[k] * q).sum(1))
        q = q - shares[0][:, None] * turns[k]
    q = gamma[:, None] * q
    for k in range(len(moves)):
        q = q + (shares[k] - rho[k] * (turns[k] * q).sum(1))[:, None] * moves[k]
    return -q
    ### END SOLUTION


def wolfe(line, value, slope, tries):
    """Steps that are low and flat enough, found by halving, for each image.

    Args:
        line: t (N,) -> (values (N,), slopes (N,)). value, slope: the same at t = 0, (N,); slope less than 0.
        tries: how often `line` may be called, at least 1.

    Returns:
        t, (N,)
    """
    ### BEGIN SOLUTION
    t, low, high = torch.ones_like(value), torch.zeros_like(value), torch.full_like(value, math.inf)
    for _ in range(tries):
        values, slopes = line(t)
        enough = values <= value + 1e-4 * t * slope
        done = enough & (slopes >= 0.9 * slope)
        if done.all():
            break
        high = torch.where(enough, high, t)
        low = torch.where(enough & ~done, t, low)
        t = torch.where(done, t, torch.where(high.isinf(), 2 * low, (low + high) / 2))
    return torch.where(done, t, low)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "lbfgs-direction", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_direction(direction)
### BEGIN HIDDEN TESTS
for seed, pairs, count, size, dtype in (
    (0, 3, 2, 6, torch.float64),
    (1, 1, 3, 4, torch.float64),
    (2, 5, 4, 3, torch.float64),
    (3, 0, 2, 5, torch.float64),
    (4, 2, 2, 4, torch.float32),
    (20, 3, 4, 6, torch.float64),
):
    g, moves, turns = checks.some_pairs(checks.fresh(seed), pairs, count, size)
    if pairs > 1:
        turns[-1, 0] = -turns[-1, 0]  # the newest does not count for the first image
        turns[0, 1] = 0
    if pairs == 5:
        turns[1:, 2] *= -1  # only the oldest counts
        turns[:, 3] *= -1  # none
    if seed == 20:  # products of any size, small ones too
        moves[:, 0], turns[:, 0] = 1e-8 * moves[:, 0], 1e-8 * turns[:, 0]
        for k, n, share in ((0, 1, 1e-12), (2, 2, 1e-12), (0, 3, 1e-4)):  # sᵀy / yᵀy
            s, y = moves[k, n], turns[k, n]
            y = y - (s @ y) / (s @ s) * s
            turns[k, n] = y + share * (y @ y) / (s @ s) * s
    given = g.to(dtype), moves.to(dtype), turns.to(dtype)
    kept = [part.clone() for part in given]
    got = direction(*given)
    assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True)), "changed what it was given"
    assert got.dtype == dtype
    for n in range(count):
        of_mine = [(s[n], y[n]) for s, y in zip(moves, turns, strict=True) if s[n] @ y[n] > 1e-10 * (y[n] @ y[n])]
        eye = torch.eye(size, dtype=torch.float64)
        H = eye
        if of_mine:
            s, y = of_mine[-1]
            H = (s @ y) / (y @ y) * eye
        for s, y in of_mine:
            rho = 1 / (s @ y)
            H = (eye - rho * torch.outer(s, y)) @ H @ (eye - rho * torch.outer(y, s)) + rho * torch.outer(s, s)
        small = 1e-7 if dtype == torch.float64 else 1e-2
        torch.testing.assert_close(got[n].double(), -H @ g[n], rtol=small, atol=small * float((H @ g[n]).norm()))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "lbfgs-wolfe", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_wolfe(wolfe)
### BEGIN HIDDEN TESTS
for seed, count, tries in ((5, 8, 20), (6, 5, 4), (7, 1, 12), (8, 6, 1), (9, 12, 9)):
    line, value, slope = checks.some_lines(checks.fresh(seed), count)
    calls, kept = [], (value.clone(), slope.clone())

    def counted(t, line=line, calls=calls):
        calls.append(t.clone())
        return line(t)

    got = wolfe(counted, value, slope, tries)
    assert torch.equal(value, kept[0]), "changed what it was given"
    assert torch.equal(slope, kept[1]), "changed what it was given"
    assert len(calls) <= tries, "too many tries"
    assert got.shape == (count,)
    t, low, high = [1.0] * count, [0.0] * count, [math.inf] * count
    needed, result = tries, [None] * count
    for attempt in range(tries):
        values, slopes = (part.tolist() for part in line(torch.tensor(t, dtype=torch.float64)))
        for n in range(count):
            if result[n] is not None:
                continue
            if not values[n] <= float(value[n]) + 1e-4 * t[n] * float(slope[n]):
                high[n] = t[n]
            elif slopes[n] < 0.9 * float(slope[n]):
                low[n] = t[n]
            else:
                result[n] = t[n]
                continue
            t[n] = 2 * low[n] if high[n] == math.inf else (low[n] + high[n]) / 2
        if all(step is not None for step in result):
            needed = attempt + 1
            break
    assert len(calls) == needed, "goes on although all are done, or stops too early"
    expected = [low[n] if result[n] is None else result[n] for n in range(count)]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)
### END HIDDEN TESTS

# %% [markdown]
# Both together, on the lecture's loss: two labyrinths of 32 × 32 pixels from noise, with as many evaluations for the slope itself as for your direction. What do you expect after sixty evaluations?

# %%
from course_lib.metrics.texture import texture_descriptor
from course_lib.systems.texture import Likeness

descriptor = texture_descriptor("random", filters=32, levels=3)

with checks.when_done("Task 3"):
    draws = torch.Generator().manual_seed(SEED)
    look = Likeness(descriptor.double(), drawn_texture("labyrinth", 64, generator=draws)[None].double())
    start = 0.2 * torch.randn(2, 1, 32, 32, generator=draws, dtype=torch.float64).expand(-1, 3, -1, -1)

    def descend_by(memory, evaluations):
        """Best loss after each evaluation, mean of two images, and the images; memory 0 is the slope itself."""
        x, curve, last = start.clone(), [], {}

        def evaluate(x):
            if not torch.equal(x, last.get("x", x[:0])):  # what was just evaluated is not evaluated again
                leaf = x.clone().requires_grad_()
                loss = look(leaf)
                (g,) = torch.autograd.grad(loss.sum(), leaf)
                last.update(x=x, loss=loss.detach(), g=g.flatten(1))
                curve.append(min([float(last["loss"].mean()), *curve[-1:]]))
            return last["loss"], last["g"]

        value, g = evaluate(x)
        moves = turns = g.new_zeros(0, *g.shape)
        t = 1 / g.norm(dim=1)
        for _ in range(evaluations):
            if len(curve) >= evaluations:
                break
            d = direction(g, moves, turns)
            if not len(moves):  # as long as the last step was; 1 at first
                d = d * t[:, None]

            def line(t, x=x, d=d):
                values, slopes = evaluate(x + (t[:, None] * d).view_as(x))
                return values, (slopes * d).sum(1)

            tried = wolfe(line, value, (g * d).sum(1), 8)
            s = tried[:, None] * d
            t = tried if len(moves) else tried * t
            x = x + s.view_as(x)
            value, new = evaluate(x)
            if memory:
                moves, turns = (
                    torch.cat([kept, pair[None]])[-memory:] for kept, pair in ((moves, s), (turns, new - g))
                )
            g = new
        return curve[:evaluations], x.clamp(-1, 1)

    _, axes = plt.subplots(1, 3, figsize=(10, 2.8), width_ratios=[2, 1, 1])
    for ax, (memory, name) in zip(axes[1:], ((0, "the slope itself"), (10, "L-BFGS, 10 pairs")), strict=True):
        curve, found = descend_by(memory, budget.pick(smoke=60, laptop=300))
        axes[0].semilogy(curve, label=name)
        image_grid(found, ax=ax, columns=1, title=name)
    axes[0].set(xlabel="evaluations of L and its slope", ylabel="best L")
    axes[0].legend()
    plt.show()

# %% [markdown]
# ## Task 4 · Whole distributions, slice by slice
#
# *40 minutes, 7 points*
#
# $G$ holds second moments of what filters say; two distributions may share them and differ. Can one compare *everything* that the places' vectors $f_k$ say? Project them on a direction $w$: the
# numbers $w^\top f_k$ and $w^\top g_k$ of two images are two clouds on a line, and on a line the cheapest way to carry the one over to the other is to keep the order: smallest to smallest. If
# there are $n$ of either, the cost is $\frac1n\sum_k (a_{(k)} - b_{(k)})^2$, with sorted $a$ and $b$ ([Heitz et al. 2021](https://arxiv.org/abs/2006.07229) take its mean over random
# directions as a loss).
#
# With $n$ numbers $a$ and $m$ numbers $b$, let each $a$ have the mass $1/n$ and each $b$ the mass $1/m$, and carry mass. Let $a(u)$ be the smallest number with at least the share $u$ of the mass at it or below it: a staircase, $a_{(k)}$ for $\frac{k-1}n < u \le \frac kn$; $b(u)$ likewise. Then
#
# $$W^2 = \int_0^1 \bigl(a(u) - b(u)\bigr)^2\, du ,$$
#
# exactly, so it is a sum over the pieces between all steps $\frac1n, \frac2n, \dots$ and $\frac1m, \frac2m, \dots$. (Multiply these by $n m$, and the arithmetic is of integers.) `sliced` returns $W^2$ for each of $K$ directions, $(K,)$; it has a slope in $f$ where $f$ asks for one.
# Directions are used as they are, of any length.
#
# `transfer` makes one distribution into another, without descent ([Pitié et al. 2007](https://doi.org/10.1016/j.cviu.2006.11.011)). Here $n = m$. For each orthogonal matrix $B$ in `bases`, in turn, look along all $C$ axes of the turned space at once: $p = B f$, and replace in each row of $p$ the
# $k$-th smallest number by the $k$-th smallest in the same row of $B g$; then turn back, $f \leftarrow B^\top p$. No two numbers in a row are equal.


# %% nbgrader={"grade": false, "grade_id": "sliced", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sliced(f, g, directions):
    """The squared transport distance between two clouds, along each direction.

    Args:
        f: (C, n). g: (C, m). directions: (K, C).

    Returns:
        (K,)
    """
    ### BEGIN SOLUTION
    a, b = (directions @ f).sort(dim=1).values, (directions @ g).sort(dim=1).values
    n, m = a.shape[1], b.shape[1]
    ends = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()  # of the pieces, times n m
    mass = torch.diff(ends, prepend=torch.zeros(1, dtype=ends.dtype)).to(a) / (n * m)
    apart = a[:, (ends - 1) // m] - b[:, (ends - 1) // n]
    return apart.square() @ mass
    ### END SOLUTION


def transfer(f, g, bases):
    """The cloud f with the distribution of g along the axes of each basis, one basis after the other.

    Args:
        f, g: (C, n). bases: orthogonal matrices (R, C, C), whose rows are the axes.

    Returns:
        (C, n)
    """
    ### BEGIN SOLUTION
    for B in bases:
        ranks = (B @ f).argsort(1).argsort(1)
        f = B.T @ (B @ g).sort(1).values.gather(1, ranks)
    return f
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "sliced-distance", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_sliced(sliced)
### BEGIN HIDDEN TESTS
for seed, c, n, m, k, dtype in (
    (0, 3, 8, 8, 4, torch.float64),
    (1, 2, 6, 9, 3, torch.float64),
    (2, 1, 1, 5, 2, torch.float64),
    (3, 4, 7, 3, 1, torch.float64),
    (4, 5, 10, 4, 3, torch.float32),
):
    f = checks.some_maps(checks.fresh(seed), (c, n))
    g = 0.5 + checks.some_maps(checks.fresh(seed + 10), (c, m))
    w = checks.some_maps(checks.fresh(seed + 20), (k, c))
    ours, kept = f.to(dtype, copy=True).requires_grad_(), (f.to(dtype), g.to(dtype), w.to(dtype))
    given = g.to(dtype).clone(), w.to(dtype).clone()
    got = sliced(ours, *given)
    assert torch.equal(ours.detach(), kept[0]), "changed what it was given"
    assert torch.equal(given[0], kept[1]), "changed what it was given"
    assert got.dtype == dtype
    assert got.shape == (k,)
    leaf, expected = f.clone().requires_grad_(), []
    for direction_k in w:
        a, b = sorted(direction_k @ leaf), sorted(direction_k @ g)
        expected.append(sum((a[u // m] - b[u // n]) ** 2 for u in range(n * m)) / (n * m))
    expected = torch.stack(expected)
    expected.sum().backward()
    got.sum().backward()
    small = 1e-5 if dtype == torch.float64 else 1e-3  # masses in float32 are good enough
    torch.testing.assert_close(got.detach().double(), expected.detach(), rtol=small, atol=small)
    if dtype == torch.float64:  # two projections that float32 takes for equal may change places
        torch.testing.assert_close(ours.grad, leaf.grad, rtol=small, atol=small)
many = checks.some_maps(checks.fresh(30), (2, 3001))
few = many[:, :1997] + 1.5
w = torch.eye(2, dtype=torch.float64)
assert (sliced(many, many[:, torch.arange(3000, -1, -1)], w) < 1e-12).all(), "the same cloud in another order"
torch.testing.assert_close(sliced(few, few - 3.0, w), torch.full((2,), 9.0).double(), rtol=1e-6, atol=0)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "sliced-transfer", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_transfer(transfer)
### BEGIN HIDDEN TESTS
for seed, c, n, rounds, dtype in (
    (5, 3, 9, 2, torch.float64),
    (6, 1, 12, 1, torch.float64),
    (7, 4, 7, 3, torch.float64),
    (8, 2, 30, 2, torch.float32),
):
    f = checks.some_maps(checks.fresh(seed), (c, n)).to(dtype)
    g = (2 * checks.some_maps(checks.fresh(seed + 10), (c, n)) - 1).to(dtype)
    bases = torch.linalg.qr(checks.some_maps(checks.fresh(seed + 20), (rounds, c, c))).Q.to(dtype)
    kept = f.clone(), g.clone(), bases.clone()
    got = transfer(f, g, bases)
    assert torch.equal(f, kept[0]), "changed what it was given"
    assert torch.equal(g, kept[1]), "changed what it was given"
    assert torch.equal(bases, kept[2]), "changed what it was given"
    assert got.dtype == dtype
    # the axes of the last basis: there the two are the same
    last = bases[-1]
    torch.testing.assert_close((last @ got).sort(1).values, (last @ g).sort(1).values, rtol=1e-3, atol=1e-5)
    now = f
    for B in bases:
        p, q = B @ now, B @ g
        for row in range(c):
            wanted = sorted(q[row].tolist())
            for rank, place in enumerate(sorted(range(n), key=p[row].tolist().__getitem__)):
                p[row, place] = wanted[rank]
        now = B.T @ p
    if dtype == torch.float64:
        torch.testing.assert_close(got, now, rtol=1e-7, atol=1e-9)
### END HIDDEN TESTS

# %% [markdown]
# Pixels once more, and their colours: the temple in the colours of the flower, after one basis (red, green, blue) and after more, turned at random. What does one basis get wrong that many get right? The number is the mean of `sliced` over fifty other directions.

# %%
with checks.when_done("Task 4"):
    whole = photographs()
    source = whole["flower"][:, 40:400:3, 120:480:3].double()
    content = whole["china"][:, 10:410:4, 100:580:4].double()
    source = source[:, : content.shape[1], : content.shape[2]]
    content = content[:, : source.shape[1], : source.shape[2]]
    f, g = content.flatten(1), source.flatten(1)
    draws = torch.Generator().manual_seed(SEED)
    f = f + 1e-4 * torch.randn(f.shape, generator=draws, dtype=torch.float64)  # no two equal
    g = g + 1e-4 * torch.randn(g.shape, generator=draws, dtype=torch.float64)
    turned = torch.linalg.qr(torch.randn(20, 3, 3, generator=draws, dtype=torch.float64)).Q
    bases = torch.cat([torch.eye(3, dtype=torch.float64)[None], turned])
    w = nn.functional.normalize(torch.randn(50, 3, generator=draws, dtype=torch.float64), dim=1)
    _, axes = plt.subplots(1, 4, figsize=(10.5, 3.0))
    image_grid(source[None], ax=axes[0], title="its colours are wanted")
    for ax, rounds in zip(axes[1:], (0, 1, 20), strict=True):
        image = transfer(f, g, bases[:rounds]) if rounds else f
        apart = float(sliced(image, g, w).mean())
        image_grid(
            image.view(1, *content.shape).clamp(-1, 1),
            ax=ax,
            title={0: "as it is", 1: "1 basis"}.get(rounds, f"{rounds} bases") + f"\nW² = {apart:.2g}",
        )
    plt.show()

# %% [markdown]
# ## Task 5 · How far one number reaches
#
# *30 minutes, 6 points*
#
# A filter that sees too little cannot know of a brick; a number of the noise that moves too few pixels cannot place one. Count along one axis. Layers are told as tuples:
#
# - `("conv", size, stride, padding)`: output $o$ reads the inputs $o \cdot \text{stride} - \text{padding}, \dots$, `size` of them; from $L$ inputs come
#   $\lfloor (L + 2\,\text{padding} - \text{size}) / \text{stride} \rfloor + 1$ outputs. Padding (less than `size`) is of zeros and belongs to no input. Pooling reads in the same way.
# - `("up", factor)`: every input is repeated `factor` times.
#
# `sees(layers, length, i)` returns `(first, last)`: the first and the last of the `length` inputs on which output number `i` of all the layers depends. `reaches(layers, length, j)` answers the opposite question: the first and
# the last *output* that depends on input number `j`; and `None` if none does, which happens where inputs are skipped: if a stride is longer than its filter, or at the end, where a last filter does not fit any more. All numbers count from 0, and ranges never leave the tensor, nor that between two layers. (Between the first and the last input there may be some on which the output does not depend; that does not matter.)


# %% nbgrader={"grade": false, "grade_id": "reach", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sees(layers, length, i):
    """The first and the last input on which an output depends.

    Args:
        layers: tuples, the first layer first. length: number of inputs. i: number of the output.

    Returns:
        (first, last)
    """
    ### BEGIN SOLUTION
    lengths = [length]
    for kind, size, *rest in layers:
        lengths.append(lengths[-1] * size if kind == "up" else (lengths[-1] + 2 * rest[1] - size) // rest[0] + 1)
    first = last = i
    for (kind, size, *rest), inside in zip(reversed(layers), lengths[-2::-1], strict=True):
        if kind == "up":
            first, last = first // size, last // size
        else:
            first = max(first * rest[0] - rest[1], 0)
            last = min(last * rest[0] - rest[1] + size - 1, inside - 1)
    return first, last
    ### END SOLUTION


def reaches(layers, length, j):
    """The first and the last output that depend on an input; None if none does.

    Args:
        layers: tuples, the first layer first. length: number of inputs. j: number of the input.

    Returns:
        (first, last) or None
    """
    ### BEGIN SOLUTION
    a = b = j
    for kind, size, *rest in layers:
        if kind == "up":
            a, b, length = a * size, b * size + size - 1, length * size
        else:
            stride, padding = rest
            length = (length + 2 * padding - size) // stride + 1
            a = max(-((size - 1 - padding - a) // stride), 0)  # rounded up
            b = min((b + padding) // stride, length - 1)
            if a > b:
                return None
    return a, b
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "reach-sees", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_sees(sees)
### BEGIN HIDDEN TESTS
for seed in range(8):
    layers, length = checks.some_layers(checks.fresh(seed))
    depends = checks.dependence(layers, length)  # (outputs, inputs), by trying
    kept = list(layers)
    for i in sorted({0, 1, len(depends) // 2, len(depends) - 1} & set(range(len(depends)))):
        places = depends[i].nonzero()[:, 0].tolist()
        assert tuple(sees(layers, length, i)) == (places[0], places[-1])
    assert layers == kept, "changed what it was given"
for length in (7, 8, 9):  # what is left over at the end is read by nobody
    for layers in ([("conv", 3, 3, 0), ("conv", 3, 1, 1)], [("conv", 2, 1, 0), ("conv", 4, 3, 1), ("conv", 3, 1, 2)]):
        depends = checks.dependence(layers, length)
        for i in range(len(depends)):
            places = depends[i].nonzero()[:, 0].tolist()
            assert tuple(sees(layers, length, i)) == (places[0], places[-1])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "reach-reaches", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_reaches(reaches)
### BEGIN HIDDEN TESTS
for seed in range(20, 28):
    layers, length = checks.some_layers(checks.fresh(seed), sparse=seed % 2 == 0)
    depends = checks.dependence(layers, length)
    for j in sorted({0, 1, length // 3, length // 2, length - 2, length - 1}):
        places = depends[:, j].nonzero()[:, 0].tolist()
        got = reaches(layers, length, j)
        assert (None if got is None else tuple(got)) == ((places[0], places[-1]) if places else None)
for length in (7, 8, 9):  # some inputs are read by nobody: between two filters, or at the end
    for layers in (
        [("conv", 1, 3, 0)],
        [("conv", 3, 1, 1), ("conv", 2, 4, 1)],
        [("conv", 1, 3, 0), ("conv", 3, 1, 1)],
        [("conv", 2, 3, 0), ("up", 2), ("conv", 3, 1, 2)],
        [("conv", 4, 3, 0), ("conv", 2, 1, 1)],
        [("conv", 3, 1, 1), ("conv", 1, 2, 0)],
    ):
        depends = checks.dependence(layers, length)
        for j in range(length):
            places = depends[:, j].nonzero()[:, 0].tolist()
            got = reaches(layers, length, j)
            assert (None if got is None else tuple(got)) == ((places[0], places[-1]) if places else None)
### END HIDDEN TESTS

# %% [markdown]
# The lecture's generator with four scales. How many pixels does one number of each scale's noise move? Your count beside what the library's generator does (its weights are as they were drawn, its normalisation is fixed).

# %%
with checks.when_done("Task 5"):
    from course_lib.nets.texture_generator import TextureGenerator

    side, block = 96, [("conv", 3, 1, 1), ("conv", 3, 1, 1), ("conv", 1, 1, 0)]
    torch.manual_seed(SEED)
    drawer = TextureGenerator(scales=4).double().eval()
    noise = [z.double() for z in drawer.draw(1, side, generator=torch.Generator().manual_seed(SEED))]
    counted, tried = [], []
    with torch.no_grad():
        before = drawer(noise)
        for scale in range(4):
            layers = [*block, *(block if scale < 3 else []), *(scale * [("up", 2), *block])]
            if scale == 3:  # the coarsest has nothing to be joined with
                layers = [*block, *(scale * [("up", 2), *block])]
            middle = noise[scale].shape[3] // 2
            first, last = reaches(layers, noise[scale].shape[3], middle)
            counted.append(last - first + 1)
            other = [z.clone() for z in noise]
            other[scale][..., middle, middle] += 10
            moved = (drawer(other) != before).flatten(0, 2).any(0).nonzero()[:, 0]
            tried.append(int(moved.max() - moved.min() + 1))
    _, ax = plt.subplots(figsize=(6, 3))
    ax.bar([k - 0.2 for k in range(4)], counted, width=0.4, label="counted")
    ax.bar([k + 0.2 for k in range(4)], tried, width=0.4, label="moved in the generator")
    ax.axhline(16, color="black", linestyle=":", label="one brick")
    ax.set(xlabel="scale of the noise, 0 is the finest", ylabel="pixels in a row", xticks=range(4))
    ax.legend()
    plt.show()

# %% [markdown]
# ## Task 6 · Every layer pulls alike
#
# *35 minutes, 7 points*
#
# The lecture weighs layers so that each *error* is relative. An error does not move pixels; its slope does. Do equal errors pull equally hard? Here $E_l(x) = \lVert G_l(x) - \hat G_l\rVert^2 / \lVert\hat G_l\rVert^2$, where the maps $F_l$ are the outputs of
# some layers of a net.
#
# `layer_errors` returns $E_l$ for each layer and image, $(M, N)$, with a graph to the images. `net` is an `nn.Sequential`, `taken` the numbers of the $M$ layers that count (`net[taken[0]]` is the first one), rising; `wanted` holds their $\hat G_l$, $(C_l, C_l)$, the same for all images. Layers have
# different numbers of filters and places. Run the net once.
#
# `equal_pull` returns weights, $(M, N)$ without a graph, with
#
# $$\sum_l w_{ln} = 1 \qquad\text{and}\qquad w_{ln} \Bigl\lVert \frac{\partial E_l}{\partial x_n} \Bigr\rVert \text{ the same for all } l .$$
#
# A layer whose slope is exactly 0 at this image pulls nowhere: its weight is 0, and the rule holds for the others. Where no layer pulls, all weights are $1/M$. (A cousin of [GradNorm](https://arxiv.org/abs/1711.02257), which balances the slopes of several tasks.)


# %% nbgrader={"grade": false, "grade_id": "pull", "locked": false, "schema_version": 3, "solution": true, "task": false}
def layer_errors(net, taken, x, wanted):
    """The relative error of each layer's Gram matrix, for each image.

    Args:
        net: nn.Sequential, x -> ...; each layer taken returns maps (N, C_l, H_l, W_l). taken: numbers of M layers.
        x: (N, C, H, W). wanted: list of M Gram matrices (C_l, C_l), means over the places.

    Returns:
        (M, N), with a graph where x has one.
    """
    ### BEGIN SOLUTION
    errors = []
    for number, layer in enumerate(net[: taken[-1] + 1]):
        x = layer(x)
        if number in taken:
            flat, G = x.flatten(2), wanted[len(errors)]
            errors.append((flat @ flat.mT / flat.shape[2] - G).square().sum((1, 2)) / G.square().sum())
    return torch.stack(errors)
    ### END SOLUTION


def equal_pull(net, taken, x, wanted):
    """Weights with which all layers pull equally hard at each image.

    Args:
        net, taken, x, wanted: as above.

    Returns:
        (M, N), without a graph; each column sums to 1.
    """
    ### BEGIN SOLUTION
    leaf = x.detach().clone().requires_grad_()
    errors = layer_errors(net, taken, leaf, wanted)
    slopes = [torch.autograd.grad(error.sum(), leaf, retain_graph=True)[0] for error in errors]
    length = torch.stack([slope.flatten(1).norm(dim=1) for slope in slopes])  # (M, N)
    inverse = torch.where(length > 0, 1 / length.clamp(min=1e-300), 0)
    inverse = torch.where((length > 0).any(0), inverse, 1)
    return inverse / inverse.sum(0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "pull-errors", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_layer_errors(layer_errors)
### BEGIN HIDDEN TESTS
for seed, taken, count in ((0, [1, 3, 5], 2), (1, [0, 4], 3), (2, [3], 1)):
    net = checks.small_maps(checks.fresh(seed), channels=2)
    x = checks.some_maps(checks.fresh(seed + 10), (count, 2, 8, 6))
    texture = checks.some_maps(checks.fresh(seed + 20), (1, 2, 12, 10))
    wanted, kept = [checks.gram_after(net, layer, texture)[0].detach() for layer in taken], x.clone()
    leaf = x.clone().requires_grad_()
    got = layer_errors(net, taken, leaf, wanted)
    assert torch.equal(leaf.detach(), kept), "changed what it was given"
    assert got.shape == (len(taken), count)
    other = x.clone().requires_grad_()
    expected = torch.stack(
        [
            torch.stack([(G - w).norm() ** 2 / w.norm() ** 2 for G in checks.gram_after(net, layer, other)])
            for layer, w in zip(taken, wanted, strict=True)
        ]
    )
    torch.testing.assert_close(got.detach(), expected.detach(), rtol=1e-6, atol=1e-9)
    got.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-5, atol=1e-8)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "pull-weights", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_equal_pull(equal_pull)
### BEGIN HIDDEN TESTS
for seed, taken, count, special, scale in (
    (3, [1, 3, 5], 3, False, 1),
    (4, [0, 1, 5], 3, True, 1),
    (5, [4], 2, False, 1),
    (6, [1, 5], 2, False, 1e9),  # small slopes, and none is 0
):
    net = checks.small_maps(checks.fresh(seed), channels=2, positive=special)
    x = scale * checks.some_maps(checks.fresh(seed + 10), (count, 2, 8, 6))
    if special:
        x[1] = -x[1].abs()  # all filters are positive: nothing is left after the first ReLU
        x[2] = 0  # nothing anywhere
    texture = scale * checks.some_maps(checks.fresh(seed + 20), (1, 2, 12, 10)).abs()
    wanted, kept = [checks.gram_after(net, layer, texture)[0].detach() for layer in taken], x.clone()
    got = equal_pull(net, taken, x, wanted)
    assert torch.equal(x, kept), "changed what it was given"
    assert all(w.grad is None for w in net.parameters()), "the net's weights have gradients now"
    assert all(w.requires_grad for w in net.parameters()), "the net's weights were frozen"
    assert not any(m._forward_hooks for m in net.modules()), "hooks were left in the net"
    assert got.shape == (len(taken), count)
    assert not got.requires_grad
    lengths = []
    for layer, w in zip(taken, wanted, strict=True):
        leaf = x.clone().requires_grad_()
        error = (checks.gram_after(net, layer, leaf) - w).square().sum() / w.square().sum()
        (slope,) = torch.autograd.grad(error, leaf)
        lengths.append([float(part.norm()) for part in slope])
    for n in range(count):
        pulls = [length[n] for length in lengths]
        inverse = [1 / pull if pull > 0 else 0.0 for pull in pulls] if max(pulls) > 0 else [1.0] * len(pulls)
        expected = torch.tensor([part / sum(inverse) for part in inverse], dtype=torch.float64)
        torch.testing.assert_close(got[:, n], expected, rtol=1e-5, atol=1e-8)
### END HIDDEN TESTS

# %% [markdown]
# A random net, and a piece of a labyrinth under noise that is to become clean. What share of the pull has each layer if plain squared errors are added, if relative errors are, and with your weights?

# %%
with checks.when_done("Task 6"):
    torch.manual_seed(SEED)
    net, inside = nn.Sequential(), 3
    for outside in (16, 32, 64):
        net.extend([nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)])
        inside = outside
    net, taken = net.double().requires_grad_(False), [1, 4, 7]
    draws = torch.Generator().manual_seed(SEED)
    texture = drawn_texture("labyrinth", 64, generator=draws)[None].double()
    with torch.no_grad():
        wanted = [net[: k + 1](texture).flatten(2)[0] for k in taken]
        wanted = [flat @ flat.T / flat.shape[1] for flat in wanted]
    noise = torch.randn(1, 1, 32, 32, generator=draws, dtype=torch.float64)
    x = (texture[..., 32:, 32:] + 0.3 * noise).requires_grad_()
    errors = layer_errors(net, taken, x, wanted)[:, 0]
    pulls = torch.stack([torch.autograd.grad(error, x, retain_graph=True)[0].norm() for error in errors])
    sizes = torch.stack([G.square().sum() for G in wanted])
    _, ax = plt.subplots(figsize=(6.4, 3))
    choices = {
        "squared errors": sizes,
        "relative errors": torch.ones(3).double(),
        "equal pull": equal_pull(net, taken, x, wanted)[:, 0],
    }
    for k, (name, weights) in enumerate(choices.items()):
        share = weights * pulls / (weights * pulls).sum()
        ax.bar([layer + 0.27 * (k - 1) for layer in range(3)], share.tolist(), width=0.25, label=name)
    ax.set(xticks=range(3), xticklabels=["first ReLU", "second", "third"], ylabel="share of the pull")
    ax.legend()
    plt.show()

# %% [markdown]
# ## Task 7 · More than the nearest crop
#
# *30 minutes, 6 points*
#
# The lecture asks whether the *nearest* other crop is of the same texture, and throws away all that the rest of the order says. **Average precision** uses it. Let one crop ask, and put all others in order of their distance from it, nearest first. For every crop of the asker's
# texture, at rank $i$ of this list, look at the share of its texture among the first $i$; the mean of these shares is the average precision. It is 1 if all of the same texture come first.
#
# `average_precisions` returns it for each crop as the asker, $(Q,)$, float64, and `nan` where no other crop has its label. `distances[q, j]` is the distance from asker $q$ to crop $j$. The asker is never in its own list, and it must be left out *by its number*: rounding may make another crop nearer to it than it is to itself. No two others are equally far from an asker.
#
# What would a coin get? Let the order of $K$ others, $R$ of them of the asker's texture, be equally likely to be any. `by_chance` returns the mean of the average precision over all orders. One of the $R$ is at each rank $i = 1, \dots, K$ equally often. Given that it is at rank $i$, how many of the $R - 1$ others of its texture do you expect before it?


# %% nbgrader={"grade": false, "grade_id": "precision", "locked": false, "schema_version": 3, "solution": true, "task": false}
def average_precisions(distances, labels):
    """The average precision of each crop's list of the others.

    Args:
        distances: from the askers (rows) to all crops, (Q, Q). labels: int64, (Q,).

    Returns:
        (Q,), float64, nan where no other crop has the asker's label.
    """
    ### BEGIN SOLUTION
    found = torch.full((len(labels),), math.nan, dtype=torch.float64)
    for q in range(len(labels)):
        others = torch.arange(len(labels)) != q
        hits = labels[others][distances[q][others].argsort()] == labels[q]
        if hits.any():
            shares = hits.double().cumsum(0) / torch.arange(1, len(labels))
            found[q] = shares[hits].mean()
    return found
    ### END SOLUTION


def by_chance(others, relevant):
    """The mean average precision over all orders of a list.

    Args:
        others: K, the length of the list. relevant: R, how many of them are of the asker's texture, 1 to K.

    Returns:
        a number
    """
    ### BEGIN SOLUTION
    before = (relevant - 1) / max(others - 1, 1)  # expected share among those before
    return sum((1 + (i - 1) * before) / i for i in range(1, others + 1)) / others
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "precision-values", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_average_precisions(average_precisions)
### BEGIN HIDDEN TESTS
for seed, count, classes, dtype in (
    (0, 12, 3, torch.float64),
    (1, 7, 6, torch.float32),
    (2, 2, 1, torch.float64),
    (3, 25, 2, torch.float64),
):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    distances = torch.stack([torch.randperm(count, generator=draws) for _ in range(count)]).to(dtype)
    distances = distances / count * (1e9 if seed == 3 else 1)
    labels = torch.randint(classes, (count,), generator=draws)
    kept = distances.clone(), labels.clone()
    got = average_precisions(distances, labels)
    assert torch.equal(distances, kept[0]), "changed what it was given"
    assert torch.equal(labels, kept[1]), "changed what it was given"
    assert got.shape == (count,)
    assert got.dtype == torch.float64
    for q in range(count):
        order = sorted((j for j in range(count) if j != q), key=distances[q].tolist().__getitem__)
        ranks = [i + 1 for i, j in enumerate(order) if int(labels[j]) == int(labels[q])]
        if ranks:
            assert abs(float(got[q]) - sum((k + 1) / rank for k, rank in enumerate(ranks)) / len(ranks)) < 1e-6
        else:
            assert math.isnan(float(got[q])), "no other of this label"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "precision-chance", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_by_chance(by_chance)
### BEGIN HIDDEN TESTS
import itertools

draws = torch.Generator().manual_seed(checks.fresh(4))
for others, relevant in ((1, 1), (5, 5), (6, 1), *torch.randint(1, 5, (4, 2), generator=draws).cumsum(1).tolist()):
    others, relevant = max(others, relevant), min(others, relevant)
    values = [
        sum((k + 1) / rank for k, rank in enumerate(ranks)) / relevant
        for ranks in itertools.combinations(range(1, others + 1), relevant)
    ]
    assert abs(float(by_chance(others, relevant)) - sum(values) / len(values)) < 1e-6
assert 0.1 < float(by_chance(20_000, 2_000)) < 0.101
### END HIDDEN TESTS

# %% [markdown]
# The lecture's crops, in colour and in grey. Bars are the mean of your average precisions; dots are the lecture's measure, how often the nearest crop is of the same texture. Do they rank the statistics alike?

# %%
with checks.when_done("Task 7"):
    regions = texture_regions()
    crops = [tiles(region, 32) for region in regions.values()]
    crops = torch.cat([cut[torch.linspace(0, len(cut) - 1, 6).long()] for cut in crops])
    labels = torch.arange(len(regions)).repeat_interleave(6)

    def by_gram(x):
        total = 0
        for maps in descriptor.float()(x):
            G = (maps.flatten(2) @ maps.flatten(2).mT / maps[0, 0].numel()).flatten(1)
            total = total + torch.cdist(G, G).square() / (G.norm(dim=1)[:, None] * G.norm(dim=1)[None])
        return total

    def by_mean_and_deviation(x):
        maps = torch.cat([torch.cat(torch.std_mean(m, dim=(2, 3)), 1) for m in descriptor.float()(x)], 1)
        return torch.cdist(maps, maps)

    statistics = {
        "pixels": lambda x: torch.cdist(x.flatten(1), x.flatten(1)),
        "mean and deviation": by_mean_and_deviation,
        "Gram": by_gram,
    }
    _, ax = plt.subplots(figsize=(6.4, 3))
    for k, (name, statistic) in enumerate(statistics.items()):
        for v, x in enumerate((crops, crops.mean(1, keepdim=True).expand_as(crops))):
            apart, place = statistic(x), v + 0.27 * (k - 1)
            precision = float(average_precisions(apart, labels).nanmean())
            ax.bar(place, precision, width=0.25, color=COLOURS[k], label="" if v else name)
            nearest = (apart + torch.full((len(x),), math.inf).diag()).argmin(1)
            ax.plot(place, float((labels[nearest] == labels).double().mean()), "o", color="black")
    ax.axhline(by_chance(len(labels) - 1, 5), color="black", linestyle=":", label="by chance")
    ax.set(xticks=range(2), xticklabels=["colour", "grey"], ylabel="mean average precision; nearest", ylim=(0, 1.02))
    ax.legend(bbox_to_anchor=(1.0, 1.0), loc="upper left")
    plt.show()

# %% [markdown]
# ## Task 8 · Written: four symptoms
#
# *10 minutes, 3 points*
#
# Four texture networks, trained on Gram matrices, each with something wrong in what it draws. (a) A fine grid of period 2 over every image, though the source has none. (b) Tiles of the image do not fit to each other at
# their borders, although noise is periodic. (c) Strokes and colours are right, but one half of each image is bright and the other dark; the source is even. (d) All samples are nearly the same image.
# For **three** of them name a likely cause and the change that you would try first. Two sentences each at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-symptoms", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# One point for each of three, half for the cause and half for the change. For example:
#
# - (a) Transposed convolutions whose stride does not divide their filter, so that neighbours get unequal numbers of terms. Enlarge by repeating or interpolating, then convolve.
# - (b) Convolutions padded with zeros make the border special. Pad circularly in every layer of the generator (and mirror or wrap in the descriptor).
# - (c) Nothing in the loss looks that far: the coarsest layer's filters see less than half of the image. Add a coarser band or a deeper layer, or Gram matrices of shifted maps (Task 1).
# - (d) The mean loss does not ask for different images; one good image is enough. Add a term that pays for distance between the images of a batch; also check that the noise reaches the output at the coarse scales.

# %% [markdown]
# ## Task 9 · Written: a plot with two lines
#
# *10 minutes, 3 points*
#
# A plot as in the lecture: the optimizer's loss falls from 1 to $10^{-2}$ in 10 s and to $10^{-4}$ in 60 s; a horizontal line at $10^{-2}$ begins at 0.05 s, the network's. Training took two hours. "The network is 200 times as fast, and as good", says the caption.
# (a) From how many images on has the network saved time, at its own loss? (b) Somebody needs the loss of $10^{-4}$: what follows from the plot, and what does not? (c) The loss was measured with the descriptor that both minimise. Name one further measurement that "as good" needs, and why. Five sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-plot", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# (a) Training costs 7200 s, each image then saves 10 s − 0.05 s: from about 724 images on. [1 point]
#
# (b) The plot shows that the optimizer gets there in 60 s and that this network does not; it does not show that no network can, nor that images with $10^{-4}$ look better. (The network's image could also be the optimizer's start.) [1 point]
#
# (c) One of these: a statistic that neither minimised (another net, textons), since a loss says nothing of what is not in it; the variety of the samples, since one good image repeated has a low loss; copies of the source; people's choice between the two. [1 point]
