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
# # Problem set 03 · Looking inside and fooling nets
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/assignments/ps03_inversion/ps03_inversion.ipynb)
#
# Eight tasks in code (50 points) and two written answers (6 points): **56 points**, about 285 minutes. No GPU is needed.
# The lecture is `notebooks/03_inversion.ipynb`.
#
# | task | | minutes | points |
# |---|---|---|---|
# | 1 | Total variation of colours, and its gradient by hand | 30 | 7 |
# | 2 | A pre-image, every image at its own pace | 40 | 8 |
# | 3 | The best single step, in the box | 40 | 7 |
# | 4 | A slope that nobody can hide by scaling | 20 | 5 |
# | 5 | Many steps, the best of them kept | 35 | 6 |
# | 6 | Szegedy's search for c, a whole batch at once | 35 | 6 |
# | 7 | A control that differs in nothing but the place | 25 | 5 |
# | 8 | How many directions are steep | 40 | 6 |
# | 9, 10 | Written answers | 20 | 3 + 3 |
#
# **How it works.** Replace each `raise NotImplementedError()` by your code. The cell below it checks your work and says
# what is likely wrong. After you hand in, hidden tests use other data, other shapes and extreme cases. No task needs
# another task's code, so do them in any order.
#
# **Rules.** Functions return new tensors and leave what they are given as it was: images, slopes, and also the net, whose
# weights have no gradient (`.grad`) afterwards that they did not have before. `course_lib.systems` and
# `course_lib.metrics` are there to compare with, not to be called in an answer.
#
# **Notation** as in the lecture: images $x$ in the box $[-1, 1]$, shape $(N, C, H, W)$ unless a task says otherwise;
# features $\Phi(x)$; labels $y$, scores $s_k$; a change $r$ and its largest length $\varepsilon$ (`eps`). Every image of
# a batch is a problem of its own: what comes out for it never depends on which others are there. Results have the
# dtype of $x$.

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

from course_lib.checks import inversion as checks
from course_lib.data import digits
from course_lib.draw import image_grid
from course_lib.losses.smoothness import total_variation

device, budget = course_lib.start(BUDGET, SEED, device="cpu")

# %% [markdown]
# ## Task 1 · Total variation of colours, and its gradient by hand
#
# *30 minutes, 7 points*
#
# The lecture sums the variation of each channel for itself. Then a red edge and a green edge cost the same whether they
# lie in one place or in two. In photographs they mostly lie in one place, so let the channels share the power:
#
# $$\mathrm{TV}^\beta(x) = \sum_{i,j} q_{ij}^{\,\beta/2}, \qquad
#   q_{ij} = \sum_c (x_{c,i,j+1} - x_{c,i,j})^2 + (x_{c,i+1,j} - x_{c,i,j})^2 .$$
#
# As in the lecture, differences across the border are 0: in the last column only the second term remains, in the last row
# only the first, in the corner none. `colour_variation` returns one number for each image, $(N,)$.
#
# `colour_variation_slope` returns $\partial\,\mathrm{TV}^\beta/\partial x$, of the shape of $x$, **without autograd**; its check
# runs it under `torch.no_grad()`. One pixel $x_{c,i,j}$ occurs in three of the $q$: in its own, in that of its left and in that of
# its upper neighbour. $\beta \ge 1$ may be any number. Where $q_{ij} = 0$, that term adds nothing to the slope. (For
# $\beta < 2$ the formula has 0/0 there, and a NaN in one even spot of sky would end the descent.)


# %% nbgrader={"grade": false, "grade_id": "variation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def colour_variation(x, beta):
    """TV^beta of each image, the channels together.

    Args:
        x: (N, C, H, W). beta: at least 1.

    Returns:
        (N,)
    """
    ### BEGIN SOLUTION
    across, down = torch.zeros_like(x), torch.zeros_like(x)
    across[..., :-1] = x[..., 1:] - x[..., :-1]
    down[..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    q = (across**2 + down**2).sum(1)  # (N, H, W)
    return (q ** (beta / 2)).sum((1, 2))
    ### END SOLUTION


def colour_variation_slope(x, beta):
    """d TV^beta / dx of each image, without autograd.

    Args:
        x: (N, C, H, W). beta: at least 1.

    Returns:
        (N, C, H, W)
    """
    ### BEGIN SOLUTION
    a, b = torch.zeros_like(x), torch.zeros_like(x)
    a[..., :-1] = x[..., 1:] - x[..., :-1]
    b[..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    q = (a**2 + b**2).sum(1, keepdim=True)  # (N, 1, H, W)
    factor = torch.where(q > 0, beta * torch.where(q > 0, q, 1) ** (beta / 2 - 1), 0)
    a, b = factor * a, factor * b
    slope = -a - b
    slope[..., 1:] += a[..., :-1]
    slope[..., 1:, :] += b[..., :-1, :]
    return slope
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "variation-values", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_variation(colour_variation)
### BEGIN HIDDEN TESTS
for seed, shape, beta, dtype in (
    (0, (2, 3, 4, 5), 1.0, torch.float64),
    (1, (3, 1, 5, 3), 3.0, torch.float64),
    (2, (1, 2, 1, 4), 1.5, torch.float32),
):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = 0.7 * torch.randn(shape, generator=draws, dtype=dtype)
    kept = x.clone()
    got = colour_variation(x, beta)
    assert torch.equal(x, kept), "changed what it was given"
    n, _, h, w = shape
    expected = torch.zeros(n, dtype=torch.float64)
    for i in range(h):
        for j in range(w):
            q = (x[:, :, i, min(j + 1, w - 1)] - x[:, :, i, j]) ** 2 + (
                x[:, :, min(i + 1, h - 1), j] - x[:, :, i, j]
            ) ** 2
            expected += q.double().sum(1) ** (beta / 2)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-4)
faint = 1e-2 * torch.randn(1, 2, 4, 4, generator=draws, dtype=torch.float64)
torch.testing.assert_close(colour_variation(faint, 1.0), 1e-2 * colour_variation(100 * faint, 1.0), rtol=1e-5, atol=0)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "variation-slope", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_variation_slope(colour_variation_slope)
### BEGIN HIDDEN TESTS
for seed, shape, beta, dtype in (
    (3, (2, 3, 4, 5), 1.0, torch.float64),
    (4, (3, 1, 5, 3), 3.0, torch.float64),
    (5, (1, 2, 3, 4), 1.5, torch.float32),
    (6, (2, 2, 1, 6), 2.0, torch.float64),
):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = 0.7 * torch.randn(shape, generator=draws, dtype=dtype)
    x[0, :, :2, :3] = 0.25  # an even spot
    kept, leaf = x.clone(), x.double().requires_grad_()
    across = nn.functional.pad(leaf.diff(dim=3), (0, 1)).square().sum(1)
    down = nn.functional.pad(leaf.diff(dim=2), (0, 0, 0, 1)).square().sum(1)
    q = (across + down)[across + down > 0]
    (expected,) = torch.autograd.grad((q ** (beta / 2)).sum(), leaf)
    with torch.no_grad():
        got = colour_variation_slope(x, beta)
    assert torch.equal(x, kept), "changed what it was given"
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 2 · A pre-image, every image at its own pace
#
# *40 minutes, 8 points*
#
# For features of any shape $(N, \dots)$, and with $M = C \cdot H \cdot W$, the loss of one image is the lecture's
#
# $$z(x) = \frac{\lVert\Phi(x) - \Phi(x^*)\rVert^2}{\lVert\Phi(x^*)\rVert^2} + \lambda\,\frac{\mathrm{TV}^\beta(x)}{M} .$$
#
# `pre_image_loss` returns it for each image, $(N,)$. TV is the lecture's: call `total_variation(x, beta=beta)`, which returns
# $(N,)$. The weight $\lambda$ is a number, or a tensor $(N,)$ with one for each image.
#
# Then descend. One rate for all layers and images does not exist: features of different layers have slopes of very different size. So
# **every image has a rate of its own**, $\alpha_n$, that finds its size by trying. Each step does for every image
#
# $$x' = \operatorname{clip}\Bigl(x_n - \alpha_n \frac{dz_n}{dx_n},\, -1,\, 1\Bigr), \qquad
#   \begin{cases} x_n \leftarrow x', \quad \alpha_n \leftarrow 1.5\,\alpha_n & \text{if } z(x') < z(x_n) \\
#                 x_n \text{ stays}, \quad \alpha_n \leftarrow \alpha_n / 2 & \text{otherwise.} \end{cases}$$
#
# `invert` returns the images after all steps, and the losses after $0, 1, \dots$ steps, $(T + 1, N)$. They never rise. `phi` is a
# module; `target` is $\Phi(x^*)$, all that is left of $x^*$. A rate that is too large at first costs a few steps, no more; a
# loss that overflows to `inf` or `nan` is not smaller.


# %% nbgrader={"grade": false, "grade_id": "inversion", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pre_image_loss(features, target, x, weight, beta):
    """How badly each image meets the features, plus how rough it is.

    Args:
        features: Phi(x), (N, ...). target: Phi(x*), of the same shape. x: (N, C, H, W).
        weight: lambda, a number or (N,). beta: the power of the total variation.

    Returns:
        (N,), with a graph where features and x have one.
    """
    ### BEGIN SOLUTION
    distance = (features - target).flatten(1).square().sum(1) / target.flatten(1).square().sum(1)
    return distance + weight * total_variation(x, beta=beta) / x[0].numel()
    ### END SOLUTION


def invert(phi, target, start, weight, beta, steps, rate):
    """Pre-images by descent, every image with a rate of its own.

    Args:
        phi: module, x (N, C, H, W) -> (N, ...). target: Phi(x*). start: (N, C, H, W), in [-1, 1].
        weight, beta: as above. steps: T. rate: alpha at the start, a number.

    Returns:
        (x, losses): images (N, C, H, W) and (T + 1, N), both without a graph.
    """

    ### BEGIN SOLUTION
    def value_and_slope(x):
        x = x.detach().requires_grad_()
        z = pre_image_loss(phi(x), target, x, weight, beta)
        return z.detach(), torch.autograd.grad(z.sum(), x)[0]

    x, each = start, (-1, 1, 1, 1)
    rates = torch.full((len(x),), rate, dtype=x.dtype)
    z, slope = value_and_slope(x)
    losses = [z]
    for _ in range(steps):
        trial = (x - rates.view(each) * slope).clamp(-1, 1)
        trial_z, trial_slope = value_and_slope(trial)
        better = trial_z < z
        x = torch.where(better.view(each), trial, x)
        slope = torch.where(better.view(each), trial_slope, slope)
        z = torch.where(better, trial_z, z)
        rates = torch.where(better, 1.5 * rates, rates / 2)
        losses.append(z)
    return x, torch.stack(losses)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "inversion-loss", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_pre_image_loss(pre_image_loss)
### BEGIN HIDDEN TESTS
for seed, shape, size, beta in (
    (0, (4, 5), (4, 1, 3, 4), 2.0),
    (1, (3, 2, 2, 3), (3, 3, 4, 4), 1.0),
    (2, (1, 7), (1, 2, 5, 2), 3.0),
):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    features, target = torch.randn(2, *shape, generator=draws, dtype=torch.float64)
    x = torch.rand(size, generator=draws, dtype=torch.float64)
    for weight in (0.0, 0.4, torch.rand(shape[0], generator=draws, dtype=torch.float64)):
        got = pre_image_loss(features, target, x, weight, beta)
        lambdas = weight if isinstance(weight, torch.Tensor) else torch.full((shape[0],), weight).double()
        for n in range(shape[0]):
            distance = (features[n] - target[n]).norm() ** 2 / target[n].norm() ** 2
            rough = total_variation(x[n : n + 1], beta=beta)[0] / math.prod(size[1:])
            torch.testing.assert_close(got[n], distance + lambdas[n] * rough, rtol=1e-6, atol=1e-9)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "inversion-steps", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_invert(invert)
### BEGIN HIDDEN TESTS
for seed, layers, rate in ((3, 2, 3.0), (4, 6, 40.0)):
    phi = checks.small_net(checks.fresh(seed), channels=2)[:layers]
    draws = torch.Generator().manual_seed(checks.fresh(seed + 10))
    start, wanted = 2 * torch.rand(2, 3, 2, 4, 4, generator=draws, dtype=torch.float64) - 1
    target = phi(wanted).detach()
    start[1] = wanted[1] + 1e-3 * (start[1] - wanted[1])  # one is nearly there: its steps must be small
    weight = torch.tensor([0.0, 0.01, 0.3], dtype=torch.float64)
    kept = start.clone(), target.clone()
    x, losses = invert(phi, target, start, weight, 2.0, 6, rate)
    assert torch.equal(start, kept[0]), "changed what it was given"
    assert torch.equal(target, kept[1]), "changed what it was given"
    assert all(w.grad is None for w in phi.parameters()), "the net's weights have gradients now"
    assert losses.shape == (7, 3)
    for n in range(3):  # each for itself
        here, alpha, path = start[n : n + 1], rate, []
        for step in range(7):
            leaf = here.clone().requires_grad_()
            off = (phi(leaf) - target[n]).square().sum() / target[n].square().sum()
            z = off + weight[n] * total_variation(leaf, beta=2.0).sum() / 32
            if step == 0 or float(z.detach()) < path[-1]:
                path.append(float(z.detach()))
                settled, (slope,) = here, torch.autograd.grad(z, leaf)
                alpha = alpha * 1.5 if step else alpha
            else:
                path.append(path[-1])
                alpha = alpha / 2
            here = (settled - alpha * slope).clamp(-1, 1)
        torch.testing.assert_close(losses[:, n], torch.tensor(path).double(), rtol=1e-5, atol=1e-9)
        torch.testing.assert_close(x[n : n + 1], settled, rtol=1e-5, atol=1e-7)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "inversion-tenfold", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_invert_tenfold(invert)
### BEGIN HIDDEN TESTS
torch.manual_seed(checks.fresh(5))
deep = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))
draws = torch.Generator().manual_seed(checks.fresh(6))
given = digits("test")[0][torch.randperm(360, generator=draws)[:3]]
start = 0.5 * torch.randn(given.shape, generator=draws).clamp(-1, 1)
for phi, steps in ((deep[:2], 42), (deep, 24)):
    target = phi(given).detach()
    x, losses = invert(phi, target, start, 0.0, 2.0, steps, 1.0)
    assert x.dtype == torch.float32
    assert not x.requires_grad
    assert not losses.requires_grad
    assert x.abs().max() <= 1, "outside the box"
    assert (losses[1:] <= losses[:-1]).all(), "a loss rose"
    with torch.no_grad():
        reached = (phi(x) - target).flatten(1).square().sum(1) / target.flatten(1).square().sum(1)
    torch.testing.assert_close(losses[-1], reached, rtol=1e-3, atol=1e-6)
    # Over all three: of 2,000 draws the reference missed none, and came no closer to it than 0.024 of the first loss.
    assert reached.mean() < losses[0].mean() / 10, "the features are hardly nearer than before"
### END HIDDEN TESTS

# %% [markdown]
# For the pictures, here and below, a net that is made in no time: its first layer is random, its last one is solved by
# least squares. `net[:k]` is $\Phi$ of its first $k$ layers. No task needs it.


# %%
def quick_net(images, labels, width=16):
    """x (N, 1, 8, 8) -> ten scores, float64: random filters, then the last layer by least squares."""
    torch.manual_seed(SEED)
    net = nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * width, 10)
    )
    net = net.double().eval().requires_grad_(False)
    features = net[:4](images)  # (N, F)
    wanted = 2 * nn.functional.one_hot(labels, 10).double() - 1
    middle = features.mean(0)
    centred = features - middle
    square = centred.T @ centred + 10 * torch.eye(16 * width, dtype=torch.float64)
    net[4].weight.copy_(torch.linalg.solve(square, centred.T @ (wanted - wanted.mean(0))).T)
    net[4].bias.copy_(wanted.mean(0) - net[4].weight @ middle)
    return net


(x_train, y_train), (x_test, y_test) = ((x.double(), y) for x, y in map(digits, ("train", "test")))
net = quick_net(x_train, y_train)
print(f"{(net(x_test).argmax(1) == y_test).double().mean():.1%} of the test images are read correctly")

# %% [markdown]
# What do you expect: from which of the three layers does the digit come back, and what is in its place where it does not?

# %%
with checks.when_done("Task 2"):
    x = x_test[[3, 12]]
    draws = torch.Generator().manual_seed(SEED)
    start = (0.5 * torch.randn(x.shape, generator=draws, dtype=torch.float64)).clamp(-1, 1)
    pictures = {"x*": x}
    for name, layers, weight in (
        ("ReLU", 2, 0.0),
        ("pooling", 3, 0.0),
        ("ten scores", 5, 0.0),
        ("ten scores", 5, 0.05),
    ):
        phi = net[:layers]
        image, losses = invert(phi, phi(x), start, weight, 2.0, budget.pick(smoke=8, laptop=300), 1.0)
        pictures[f"{name}, λ = {weight:g}\nloss {float((losses[0] / losses[-1]).min()):.2g} × lower"] = image
    _, axes = plt.subplots(1, len(pictures), figsize=(10.5, 4.2))
    for ax, (title, images) in zip(axes, pictures.items(), strict=True):
        image_grid(images, ax=ax, columns=1, title=title)
    plt.show()

# %% [markdown]
# ## Task 3 · The best single step, in the box
#
# *40 minutes, 7 points*
#
# FGSM asks for the $r$ with $\lVert r\rVert_\infty \le \varepsilon$ that raises $L(x + r) \approx L(x) + g^\top r$ most, and then clips to
# the box. Is what is left after clipping still the best? Ask for the box from the beginning:
#
# $$\max_r\; g^\top r \qquad\text{subject to}\quad \lVert r\rVert \le \varepsilon, \quad -1 \le x + r \le 1 .$$
#
# No pixel moves against its slope, so $r_i = \operatorname{sign}(g_i)\, m_i$ with $0 \le m_i \le \rho_i$, where $\rho_i$ is the *room*
# that pixel $i$ has on the side where $g_i$ points. `best_step` returns $r$ for three lengths:
#
# - `"linf"`: $\max_i |r_i| \le \varepsilon$. Every pixel decides for itself.
# - `"l1"`: $\sum_i |r_i| \le \varepsilon$. A unit of length earns $|g_i|$ at pixel $i$. Where would you spend the first? What
#   when that pixel has no room left?
# - `"l2"`: $\sqrt{\sum_i r_i^2} \le \varepsilon$. Show that $m_i = \min(t\,|g_i|, \rho_i)$ with one $t$ for the whole image: if
#   two pixels that both have room left had different $m_i/|g_i|$, moving a little length from one to the other would pay. Then find
#   $t$. Scaling $g$ to length $\varepsilon$ and clipping is **not** the answer: it wastes what was cut off.
#
# A pixel with $g_i = 0$ stays. Where all the room there is, is shorter than $\varepsilon$, all of it is used. `x` may have any
# shape $(N, \dots)$ and touch the ends of the box; in `"l1"` no two $|g_i|$ of an image are equal.


# %% nbgrader={"grade": false, "grade_id": "best-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def best_step(x, g, eps, norm):
    """The change that raises a linear function most, within a length and the box.

    Args:
        x: images (N, ...), in [-1, 1]. g: slopes, of the shape of x. eps: the largest length, a number, at least 0.
        norm: "linf", "l1" or "l2".

    Returns:
        r, of the shape of x.
    """
    ### BEGIN SOLUTION
    steep = g.flatten(1).abs()  # (N, D)
    room = torch.where(g > 0, 1 - x, torch.where(g < 0, x + 1, 0)).flatten(1)
    if norm == "linf":
        size = room.clamp(max=eps)
    elif norm == "l1":
        order = steep.argsort(1, descending=True)
        sorted_room = room.gather(1, order)
        spent = sorted_room.cumsum(1) - sorted_room  # by those before
        size = torch.zeros_like(room).scatter(1, order, torch.minimum(sorted_room, (eps - spent).clamp(min=0)))
    else:
        short = torch.zeros_like(room[:, :1])
        long = (room / steep.clamp(min=1e-30)).amax(1, keepdim=True)  # here all the room is used
        for _ in range(60):
            t = (short + long) / 2
            fits = torch.minimum(t * steep, room).norm(dim=1, keepdim=True) <= eps
            short, long = torch.where(fits, t, short), torch.where(fits, long, t)
        size = torch.minimum(short * steep, room)
    return g.sign() * size.view_as(x)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "best-step-linf", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_best_step_linf(best_step)
### BEGIN HIDDEN TESTS
for seed, shape, eps in ((0, (3, 2, 3, 4), 0.3), (1, (2, 7), 1.5), (2, (1, 1, 2, 2), 0.0)):
    x, g = checks.a_batch(checks.fresh(seed), shape)
    kept = x.clone(), g.clone()
    r = best_step(x, g, eps, "linf")
    assert torch.equal(x, kept[0]), "changed what it was given"
    assert torch.equal(g, kept[1]), "changed what it was given"
    torch.testing.assert_close(x + r, (x + eps * g.sign()).clamp(-1, 1), rtol=0, atol=1e-9)
single = best_step(x.float(), g.float(), 0.3, "linf")
assert single.dtype == torch.float32
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "best-step-l1", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_best_step_l1(best_step)
### BEGIN HIDDEN TESTS
for seed, shape, eps in ((3, (3, 2, 2, 4), 2.2), (4, (2, 7), 0.1), (5, (4, 6), 1000.0), (6, (2, 3), 0.0)):
    x, g = checks.a_batch(checks.fresh(seed), shape)
    r = best_step(x, g, eps, "l1")
    for image, slope, change in zip(x.flatten(1).tolist(), g.flatten(1).tolist(), r.flatten(1).tolist(), strict=True):
        left, expected = eps, [0.0] * len(image)
        for i in sorted(range(len(image)), key=lambda i: -abs(slope[i])):
            room = 1 - image[i] if slope[i] > 0 else image[i] + 1 if slope[i] < 0 else 0.0
            expected[i] = math.copysign(min(room, left), slope[i])
            left -= min(room, left)
        torch.testing.assert_close(torch.tensor(change), torch.tensor(expected), rtol=0, atol=1e-6)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "best-step-l2", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_best_step_l2(best_step)
### BEGIN HIDDEN TESTS
for seed, shape, eps in (
    (7, (3, 2, 3, 4), 2.0),
    (8, (2, 9), 0.05),
    (9, (4, 6), 1000.0),
    (10, (5, 1, 3, 3), 1.2),
    (11, (2, 3), 0.0),
):
    x, g = checks.a_batch(checks.fresh(seed), shape)
    r = best_step(x, g, eps, "l2").flatten(1)
    steep, move = g.flatten(1).abs(), (r * g.flatten(1).sign())
    room = torch.where(g > 0, 1 - x, torch.where(g < 0, x + 1, 0)).flatten(1)
    assert (r[g.flatten(1) == 0] == 0).all()
    assert (move > -1e-9).all(), "a pixel moves against its slope"
    assert (move < room + 1e-7).all(), "outside the box"
    for n in range(len(x)):
        if room[n].norm() <= eps:
            torch.testing.assert_close(move[n], room[n], rtol=0, atol=1e-6)
            continue
        torch.testing.assert_close(move[n].norm(), torch.tensor(eps).double(), rtol=1e-5, atol=1e-9)
        free = (steep[n] > 0) & (move[n] < room[n] - 1e-5)  # with room left: one t for all of them
        t = move[n][free] / steep[n][free]
        assert (t - t.max()).abs().max() < 1e-4 * t.max() + 1e-9, "length could be moved to a better pixel"
        full = (steep[n] > 0) & ~free
        assert (room[n][full] <= t.max() * steep[n][full] + 2e-5).all(), "a pixel has moved too far"
### END HIDDEN TESTS

# %%
with checks.when_done("Task 3"):
    x, y = x_test[4:5], y_test[4:5]
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(nn.functional.cross_entropy(net(leaf), y), leaf)
    _, axes = plt.subplots(1, 4, figsize=(9.5, 2.6))
    image_grid(x, ax=axes[0], title=f"x, read as {int(net(x).argmax())}")
    for ax, (norm, eps, name) in zip(
        axes[1:], (("linf", 0.25, "each pixel"), ("l2", 2.0, "length"), ("l1", 8.0, "sum")), strict=True
    ):
        r = best_step(x, g, eps, norm)
        image_grid(
            x + r,
            ax=ax,
            title=f"{name} ≤ {eps:g}: read as {int(net(x + r).argmax())}\n{int((r != 0).sum())} pixels changed",
        )
    plt.show()

# %% [markdown]
# ## Task 4 · A slope that nobody can hide by scaling
#
# *20 minutes, 5 points*
#
# The lecture's "defence" multiplies all scores by 1000, and the slope of the cross-entropy becomes exactly 0. The remedy is a loss that
# does not saturate ([Carlini and Wagner 2017](https://arxiv.org/abs/1608.04644)): by how much does somebody beat the right class? For labels
# $y$ (right ones, or the wanted ones when `targeted`)
#
# $$a(x) = \max_{k \ne y} s_k(x) - s_y(x), \qquad a_{\text{targeted}}(x) = s_y(x) - \max_{k \ne y} s_k(x) .$$
#
# So $a > 0$ says that the attack has succeeded, in both cases. `attack_slope` returns $a$ for each image, $(N,)$, and $da/dx$, of the shape of
# $x$, both without a graph. It must work where scores are in the thousands or negative throughout.


# %% nbgrader={"grade": false, "grade_id": "attack-slope", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attack_slope(net, x, labels, targeted=False):
    """How far the attack has got on each image, and in which direction it gets further.

    Args:
        net: module, x (N, ...) -> scores (N, K). x: images (N, ...). labels: y, int64, (N,).
        targeted: labels are the wanted ones, not the right ones.

    Returns:
        (a, slope): (N,) and da/dx of the shape of x, without a graph.
    """
    ### BEGIN SOLUTION
    x = x.detach().clone().requires_grad_()
    scores = net(x)
    own = scores.gather(1, labels[:, None])[:, 0]
    others = scores.scatter(1, labels[:, None], -math.inf).amax(1)
    a = own - others if targeted else others - own
    return a.detach(), torch.autograd.grad(a.sum(), x)[0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "attack-slope-values", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_attack_slope(attack_slope)
### BEGIN HIDDEN TESTS
for seed, classes, shift, targeted in (
    (0, 5, 0.0, False),
    (1, 3, -50.0, False),
    (2, 7, 20.0, True),
    (3, 2, -9.0, True),
):
    attacked = checks.small_net(checks.fresh(seed), channels=2, classes=classes, shift=shift)
    draws = torch.Generator().manual_seed(checks.fresh(seed + 10))
    x = 2 * torch.rand(4, 2, 4, 4, generator=draws, dtype=torch.float64) - 1
    labels = torch.randint(classes, (4,), generator=draws)
    a, slope = attack_slope(attacked, x, labels, targeted)
    for n in range(4):
        leaf = x[n : n + 1].clone().requires_grad_()
        scores, y = attacked(leaf)[0], int(labels[n])
        rival = max((k for k in range(classes) if k != y), key=lambda k: float(scores[k].detach()))
        gap = (scores[y] - scores[rival]) * (1 if targeted else -1)
        torch.testing.assert_close(a[n], gap.detach(), rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(slope[n : n + 1], torch.autograd.grad(gap, leaf)[0], rtol=1e-5, atol=1e-8)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "attack-slope-rest", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_attack_slope_rest(attack_slope)
### BEGIN HIDDEN TESTS
attacked = checks.small_net(checks.fresh(4), channels=1).float()
sharp = nn.Sequential(attacked, nn.Linear(4, 4, bias=False))
with torch.no_grad():
    sharp[1].weight.copy_(3000 * torch.eye(4))
draws = torch.Generator().manual_seed(checks.fresh(5))
x = 2 * torch.rand(3, 1, 4, 4, generator=draws) - 1
labels = attacked(x).argmax(1)
kept = x.clone()
for targeted in (False, True):
    a, slope = attack_slope(attacked, x, labels, targeted=targeted)
    far, steep = attack_slope(sharp, x, labels, targeted=targeted)
    torch.testing.assert_close(far, 3000 * a, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(steep, 3000 * slope, rtol=1e-3, atol=1e-2)
    assert (a > 0).all() if targeted else (a < 0).all()
    assert not a.requires_grad
    assert not slope.requires_grad
    assert slope.dtype == torch.float32
assert torch.equal(x, kept), "changed what it was given"
assert all(w.grad is None for w in sharp.parameters()), "the net's weights have gradients now"
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5 · Many steps, the best of them kept
#
# *35 minutes, 6 points*
#
# PGD's last point need not be its best one: near the top the steps, which do not get shorter, overshoot. So look at every point on the way and
# keep, **for each image**, the one that has got furthest. `pgd` gets a function `gain(x)` that returns what is to be raised and
# its slope, $(a, da/dx)$ of shapes $(N,)$ and $(N, \dots)$ (as in Task 4; whether towards or away from a class is its business), and a radius for
# each image, $\varepsilon$ `(N,)`. From $x^0 = x$ take $T$ steps
#
# $$x^{t+1} = \operatorname{clip}\Bigl(x + \Pi\bigl(x^t + \tfrac{2.5\,\varepsilon}{T}\, d^{\,t} - x\bigr),\, -1,\, 1\Bigr), \qquad
#   d^{\,t} = \begin{cases} \operatorname{sign} da/dx & \text{linf} \\ \dfrac{da/dx}{\lVert da/dx\rVert} & \text{l2.} \end{cases}$$
#
# $\Pi$, `into_ball`, gives for each image the **nearest** point of the ball $\lVert r\rVert \le \varepsilon$: what is inside stays where it is. A slope
# of exactly 0 makes no move (and no NaN); $\varepsilon$ may be 0. `pgd` returns the best of $x^0, \dots, x^T$ for each image, and its $a$; of
# equally good ones, the first.


# %% nbgrader={"grade": false, "grade_id": "pgd", "locked": false, "schema_version": 3, "solution": true, "task": false}
def into_ball(r, eps, norm):
    """The nearest point of the ball around 0, for each image.

    Args:
        r: changes (N, ...). eps: radii (N,), at least 0. norm: "linf" (largest |r_i|) or "l2" (length).

    Returns:
        of the shape of r
    """
    ### BEGIN SOLUTION
    each = (-1, *[1] * (r.ndim - 1))
    eps = eps.view(each)
    if norm == "linf":
        return torch.maximum(torch.minimum(r, eps), -eps)
    length = r.flatten(1).norm(dim=1).view(each)
    return r * (eps / length.clamp(min=1e-30)).clamp(max=1)
    ### END SOLUTION


def pgd(gain, x, eps, norm, steps):
    """Projected gradient ascent that keeps the best point of each image's way.

    Args:
        gain: x (N, ...) -> (a (N,), da/dx (N, ...)). x: images (N, ...), in [-1, 1]. eps: radii (N,).
        norm: "linf" or "l2". steps: T, at least 1.

    Returns:
        (x', a'): the best images on the way, of the shape of x, and their a, (N,).
    """
    ### BEGIN SOLUTION
    each = (-1, *[1] * (x.ndim - 1))
    rate = 2.5 * eps.view(each) / steps
    moved, (a, slope) = x, gain(x)
    best, best_a = moved, a
    for _ in range(steps):
        length = slope.flatten(1).norm(dim=1).view(each).clamp(min=1e-30)
        direction = slope.sign() if norm == "linf" else slope / length
        moved = (x + into_ball(moved + rate * direction - x, eps, norm)).clamp(-1, 1)
        a, slope = gain(moved)
        better = a > best_a
        best = torch.where(better.view(each), moved, best)
        best_a = torch.where(better, a, best_a)
    return best, best_a
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "pgd-ball", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_into_ball(into_ball)
### BEGIN HIDDEN TESTS
for seed, shape in ((0, (4, 2, 3, 3)), (1, (5, 6))):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    r = torch.randn(shape, generator=draws, dtype=torch.float64)
    eps = 2.5 * torch.rand(shape[0], generator=draws, dtype=torch.float64)
    r[0], eps[1], eps[2] = 0.0, 0.0, 100.0
    kept = r.clone(), eps.clone()
    for norm in ("linf", "l2"):
        got = into_ball(r, eps, norm)
        for n in range(shape[0]):
            size = float(eps[n])
            length = float(r[n].norm())
            expected = r[n].clamp(-size, size) if norm == "linf" else r[n] * (size / length if length > size else 1.0)
            torch.testing.assert_close(got[n], expected, rtol=1e-6, atol=1e-9)
    assert torch.equal(r, kept[0]), "changed what it was given"
    assert torch.equal(eps, kept[1]), "changed what it was given"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "pgd-steps", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_pgd(pgd)


### BEGIN HIDDEN TESTS
def rising(weights):
    """Something that PGD only ever raises: the last point is the best."""

    def gain(x):
        assert torch.isfinite(x).all(), "it asks for the slope of NaN"
        return (weights * x).flatten(1).sum(1), weights.clone()

    return gain


for seed, shape in ((2, (4, 1, 3, 3)), (3, (3, 8))):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = 2 * torch.rand(shape, generator=draws, dtype=torch.float64) - 1
    weights = torch.randn(shape, generator=draws, dtype=torch.float64)
    weights[1] = 0.0  # no slope at all
    eps = 0.2 + torch.rand(shape[0], generator=draws, dtype=torch.float64)
    eps[2] = 0.0
    for norm, steps, middle in (("linf", 4, 1.0), ("l2", 7, 0.05), ("l2", 1, 0.05)):
        start = middle * x  # for l2 the box is far away
        kept = start.clone(), eps.clone()
        got, a = pgd(rising(weights), start, eps, norm, steps)
        assert torch.equal(start, kept[0]), "changed what it was given"
        assert torch.equal(eps, kept[1]), "changed what it was given"
        for n in range(shape[0]):
            way = weights[n].sign() if norm == "linf" else weights[n] / max(float(weights[n].norm()), 1e-9)
            expected = start[n] + eps[n] * way
            if norm == "linf" or bool((expected.abs() < 1).all()):  # else the box turns the way
                torch.testing.assert_close(got[n], expected.clamp(-1, 1), rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(a[n], (weights[n] * got[n]).sum(), rtol=1e-6, atol=1e-9)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "pgd-best", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_pgd_best(pgd)


### BEGIN HIDDEN TESTS
def walk(gain, x, eps, norm, steps):
    """Every point of each image's way, (T + 1, N, ...), and its a, (T + 1, N)."""
    points, values = [x], [gain(x)[0]]
    for _ in range(steps):
        slope = gain(points[-1])[1]
        moved = torch.empty_like(x)
        for n in range(len(x)):
            length = float(slope[n].norm())
            way = slope[n].sign() if norm == "linf" else slope[n] / length if length else slope[n]
            r = points[-1][n] + 2.5 * eps[n] / steps * way - x[n]
            if norm == "linf":
                r = r.clamp(-float(eps[n]), float(eps[n]))
            elif float(r.norm()) > float(eps[n]):
                r = r * eps[n] / r.norm()
            moved[n] = (x[n] + r).clamp(-1, 1)
        points.append(moved)
        values.append(gain(moved)[0])
    return torch.stack(points), torch.stack(values)


def wavy(weights, phase):
    """Waves along a line for each image: every step overshoots some top."""

    def gain(x):
        along = (weights * x).flatten(1).sum(1) + phase
        return torch.sin(along), torch.cos(along).view(-1, *[1] * (x.ndim - 1)) * weights

    return gain


for seed, shape, norm, steps in ((4, (6, 1, 3, 3), "l2", 5), (5, (7, 8), "linf", 3), (6, (6, 4), "l2", 3)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = 2 * torch.rand(shape, generator=draws, dtype=torch.float64) - 1
    weights = 2 * torch.randn(shape, generator=draws, dtype=torch.float64)
    phase = 6 * torch.rand(shape[0], generator=draws, dtype=torch.float64)
    phase[0] = math.pi / 2 - float((weights * x)[0].sum())  # at the top from the beginning
    eps = 0.5 + torch.rand(shape[0], generator=draws, dtype=torch.float64)
    points, values = walk(wavy(weights, phase), x, eps, norm, steps)
    got, a = pgd(wavy(weights, phase), x, eps, norm, steps)
    torch.testing.assert_close(a, values.max(0).values, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(got, points[values.argmax(0), torch.arange(len(x))], rtol=1e-6, atol=1e-8)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 6 · Szegedy's search for c, a whole batch at once
#
# *35 minutes, 6 points*
#
# The minimiser of $c\lVert r\rVert^2 + L(x + r, k)$ in the box fools the net while $c$ is small and no longer when it is large. The library looks for the
# largest $c$ that still fools, one image after another. Do it for all images together, each with its own $c$. You are given
#
# - `solve(c)`: the minimisers $x + r$, $(N, \dots)$, for the prices $c$, `(N,)`, float64;
# - `fooled(images)`: `(N,)` bool, whether the net says for each what it shall say.
#
# Begin with $c = 1$ for every image. After each round, for each image:
#
# 1. if it has fooled and failed at least once, the next $c$ is the **geometric** mean of the last $c$ that fooled and the last $c$ that failed (prices span
#    orders of magnitude, so halve their logarithm);
# 2. if it has only fooled so far, ten times the last $c$; if it has only failed, a tenth.
#
# Call `solve` exactly `rounds` times. Of **everything** that fooled, return the nearest to $x$ for each image, with its length $\lVert r\rVert$: real minimisers are
# local ones, and a larger $c$ does not always give a shorter $r$. An image that never fooled comes back as it was, with length `inf`.


# %% nbgrader={"grade": false, "grade_id": "search", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nearest_fooling(solve, fooled, x, rounds):
    """The nearest image that fools the net, by a search over c for each image.

    Args:
        solve: c (N,) -> images (N, ...). fooled: images (N, ...) -> (N,), bool.
        x: where the images come from, (N, ...). rounds: how often solve is called.

    Returns:
        (images, length): (N, ...) and (N,).
    """
    ### BEGIN SOLUTION
    each = (-1, *[1] * (x.ndim - 1))
    c = torch.ones(len(x), dtype=torch.float64)
    fools, fails = torch.full_like(c, math.nan), torch.full_like(c, math.nan)
    best, length = x.clone(), torch.full((len(x),), math.inf, dtype=x.dtype)
    for _ in range(rounds):
        found = solve(c)
        success = fooled(found)
        distance = (found - x).flatten(1).norm(dim=1)
        nearer = success & (distance < length)
        best = torch.where(nearer.view(each), found, best)
        length = torch.where(nearer, distance, length)
        fools, fails = torch.where(success, c, fools), torch.where(success, fails, c)
        one_sided = fools.isnan() | fails.isnan()
        c = torch.where(one_sided, torch.where(success, 10 * c, c / 10), (fools * fails).sqrt())
    return best, length
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "search-prices", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_search(nearest_fooling)


### BEGIN HIDDEN TESTS
def problem(x, way, critical):
    """r grows as c falls, along `way`; the net is fooled while c is at most `critical`. Also the list of all c asked for."""
    asked, each = [], (-1, *[1] * (x.ndim - 1))

    def solve(c):
        asked.append(c.clone())
        return x + way / (1 + c).view(each).to(x)

    def fooled(images):
        size = (images - x).flatten(1).norm(dim=1) / way.flatten(1).norm(dim=1)
        return 1 / size.double() - 1 <= critical * (1 + 1e-9)

    return solve, fooled, asked


for seed, shape, rounds in ((0, (4, 1, 2, 3), 12), (1, (3, 5), 7), (2, (1, 4), 1)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x, way = torch.randn(2, *shape, generator=draws, dtype=torch.float64)
    critical = 10 ** (5 * torch.rand(shape[0], generator=draws, dtype=torch.float64) - 2.5)
    solve, fooled, asked = problem(x, way, critical)
    kept = x.clone()
    images, length = nearest_fooling(solve, fooled, x, rounds)
    assert torch.equal(x, kept), "changed what it was given"
    assert len(asked) == rounds, "solve is called once in each round"
    for n in range(shape[0]):
        c, fools, fails, largest = 1.0, None, None, 0.0
        for k in range(rounds):
            assert abs(float(asked[k][n]) / c - 1) < 1e-6, "another c"
            if c <= float(critical[n]):
                fools, largest = c, max(c, largest)
            else:
                fails = c
            c = math.sqrt(fools * fails) if fools and fails else 10 * c if fools else c / 10
        if largest:
            torch.testing.assert_close(images[n], x[n] + way[n] / (1 + largest), rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(length[n], way[n].norm() / (1 + largest), rtol=1e-6, atol=1e-9)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "search-nearest", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_search_nearest(nearest_fooling)
### BEGIN HIDDEN TESTS
for seed, shape in ((3, (5, 1, 2, 2)), (4, (4, 6))):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = torch.randn(shape, generator=draws, dtype=torch.float64)
    rounds = 6
    ways = torch.randn(rounds, *shape, generator=draws, dtype=torch.float64)  # any solution at any c
    said = torch.rand(rounds, shape[0], generator=draws) < 0.6
    said[:, 0], said[:, 1], said[1:3, 2] = False, True, True
    solutions, answers = iter([x + way for way in ways]), iter(said)
    images, length = nearest_fooling(
        lambda c, given=solutions: next(given), lambda images, given=answers: next(given), x, rounds
    )
    sizes = ways.flatten(2).norm(dim=2).masked_fill(~said, math.inf)  # (rounds, N)
    expected, which = sizes.min(0)
    torch.testing.assert_close(length, expected, rtol=1e-6, atol=1e-9)
    assert torch.equal(images[0], x[0]), "never fooled, so it stays as it was"
    for n in range(1, shape[0]):
        wanted = x[n] + ways[which[n], n] if said[:, n].any() else x[n]
        torch.testing.assert_close(images[n], wanted, rtol=1e-6, atol=1e-9)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 7 · A control that differs in nothing but the place
#
# *25 minutes, 5 points*
#
# Noise with $\lVert r\rVert_2$ of the attack still differs from it in the largest change of a pixel and in the number of pixels that change at all. A sharper control:
# take **the very numbers** $|r_i|$ of the attack, deal them out to the pixels anew, each image for itself, and give each a random sign. Then all lengths are equal,
# whatever the norm; only *where* and *which way* are left to chance.
#
# The result must lie in the box. So where $+|r_i|$ would leave $[-1, 1]$, the sign is $-$, and where $-|r_i|$ would, it is $+$; elsewhere both are equally likely. (All
# $|r_i| \le 1$, so one of them always fits.) All randomness must come from `generator`.
#
# `misread_share` gets what the net said before, $(N,)$, and what it says after each of $R$ attacks, $(R, N)$. It returns for each attack the share of
# misread images, **among those that were read correctly before**: an attack earns nothing for mistakes that the net made anyway. `nan` where none was
# read correctly.


# %% nbgrader={"grade": false, "grade_id": "control", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shuffled_control(x, r, generator):
    """Each image changed by the same numbers |r|, at random places and with random signs, inside the box.

    Args:
        x: images (N, ...), in [-1, 1]. r: the changes of an attack, of the shape of x, at most 1 in size.
        generator: a torch.Generator.

    Returns:
        the changed images, of the shape of x, in [-1, 1].
    """
    ### BEGIN SOLUTION
    size = r.flatten(1).abs()
    order = torch.rand(size.shape, generator=generator).argsort(1)
    size = size.gather(1, order).view_as(x)
    sign = 2 * torch.randint(2, x.shape, generator=generator) - 1
    sign = torch.where(x + size > 1, -1, torch.where(x - size < -1, 1, sign))
    return x + sign * size
    ### END SOLUTION


def misread_share(before, after, labels):
    """The share of misread images, among those that were right before.

    Args:
        before: what was read before, (N,). after: what is read after each attack, (R, N). labels: (N,); all int64.

    Returns:
        (R,), float64.
    """
    ### BEGIN SOLUTION
    right = before == labels
    return (after[:, right] != labels[right]).double().mean(1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "control-shuffled", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_shuffled_control(shuffled_control)
### BEGIN HIDDEN TESTS
for seed, shape in ((0, (3, 2, 8, 8)), (1, (4, 90))):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = (2.6 * torch.rand(shape, generator=draws, dtype=torch.float64) - 1.3).clamp(-1, 1)
    r = 2 * torch.rand(shape, generator=draws, dtype=torch.float64) - 1
    r[1] *= 0.05
    kept = x.clone(), r.clone()
    changed = shuffled_control(x, r, torch.Generator().manual_seed(checks.fresh(seed + 10)))
    again = shuffled_control(x, r, torch.Generator().manual_seed(checks.fresh(seed + 10)))
    assert torch.equal(x, kept[0]), "changed what it was given"
    assert torch.equal(r, kept[1]), "changed what it was given"
    assert torch.equal(changed, again), "the same from the same generator"
    assert changed.abs().max() <= 1, "outside the box"
    sizes, found = r.flatten(1).abs(), (changed - x).flatten(1).abs()
    torch.testing.assert_close(found.sort(1).values, sizes.sort(1).values, rtol=0, atol=1e-9)
    places = [(found[n][:, None] - sizes[n]).abs().argmin(1) for n in range(len(x))]  # where each came from
    assert len({tuple(place.tolist()) for place in places}) == len(x), "every image has an order of its own"
    for place in places:
        assert len(set(((place - torch.arange(len(place))) % len(place)).tolist())) > 5, (
            "a random order, not a rotation"
        )
    size = (changed - x).abs()
    free = (x + size <= 1) & (x - size >= -1)
    up = float((changed > x)[free].double().mean())
    assert abs(up - 0.5) < 5 * 0.5 / int(free.sum()) ** 0.5, "both signs equally likely where both fit"
small = shuffled_control(x.float(), 0.1 * r.float(), draws)
assert small.dtype == torch.float32
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "control-share", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_misread_share(misread_share)
### BEGIN HIDDEN TESTS
for seed, count, attacks in ((2, 40, 3), (3, 9, 1), (4, 5, 6)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    labels = torch.randint(3, (count,), generator=draws)
    before = torch.where(torch.rand(count, generator=draws) < 0.7, labels, (labels + 1) % 3)
    before[0] = labels[0]
    after = torch.randint(3, (attacks, count), generator=draws)
    got = misread_share(before, after, labels)
    assert got.shape == (attacks,)
    for k in range(attacks):
        pairs = [(a, y) for b, a, y in zip(before.tolist(), after[k].tolist(), labels.tolist(), strict=True) if b == y]
        assert abs(float(got[k]) - sum(a != y for a, y in pairs) / len(pairs)) < 1e-6
assert misread_share((labels + 1) % 3, after, labels).isnan().all()
### END HIDDEN TESTS

# %% [markdown]
# The attack of the lecture against your control, and against noise as long. Which of the two controls do you expect to fool the net more often?

# %%
with checks.when_done("Task 7"):
    from course_lib.metrics.robustness import noise_of_norm
    from course_lib.systems.adversarial import pgd as lecture_pgd

    count = budget.pick(smoke=60, laptop=360)
    x, y = x_test[:count], y_test[:count]
    radii = torch.tensor([0.5, 1.0, 1.5, 2.0, 3.0])
    draws = torch.Generator().manual_seed(SEED)
    said = {"PGD": [], "its numbers, shuffled": [], "noise as long": []}
    for radius in radii.tolist():
        attacked = lecture_pgd(net, x, y, eps=radius, norm="l2", steps=budget.pick(smoke=3, laptop=15))
        r = (attacked - x).clamp(-1, 1)
        noise = noise_of_norm(x, r.flatten(1).norm(dim=1), generator=draws)
        for name, images in zip(said, (attacked, shuffled_control(x, r, draws), noise), strict=True):
            said[name].append(net(images).argmax(1))
    _, ax = plt.subplots(figsize=(6, 3.2))
    for name, after in said.items():
        ax.plot(radii, misread_share(net(x).argmax(1), torch.stack(after), y), "o-", label=name)
    ax.set(xlabel="‖r‖ at most", ylabel="misread, of those right before", ylim=(-0.03, 1.03))
    ax.legend()
    plt.show()

# %% [markdown]
# ## Task 8 · How many directions are steep
#
# *40 minutes, 6 points*
#
# Power iteration finds the one direction that $J = d\Phi/dx$ stretches most. Are there others? Iterate with $k$ directions at once, the columns of $V$,
# $(D, k)$ for one image with $D$ pixels:
#
# $$V \leftarrow J^\top J\, \operatorname{orth}(V), \qquad\text{and at the end}\qquad
#   \sigma_1 \ge \dots \ge \sigma_k \ \text{ are the singular values of } J \operatorname{orth}(V) .$$
#
# $\operatorname{orth}$ makes the columns orthonormal without changing their span (`torch.linalg.qr(V).Q`, which takes batches). Without it, all columns would turn to the
# same direction. $V$ begins with normal noise from `generator`. The singular values of the small matrix $J \operatorname{orth}(V)$ (`torch.linalg.svdvals`) can only be
# too small, and converge twice as fast as the directions.
#
# `stretches` returns them for each image, $(N, k)$. $J$ itself is never built: $J^\top u$ is one backward pass (`torch.autograd.grad` with `grad_outputs`), $Jv$ is
# `torch.func.jvp`, or two backward passes: $J^\top u$ is linear in $u$, so its slope along $v$ with respect to $u$ is $Jv$. `phi` may put out any shape $(N, \dots)$,
# with at least $k$ numbers.
#
# The other side is the lecture's guarantee. With scores $s$ whose map has the Lipschitz constant `lipschitz`, no $r$ shorter than
#
# $$\min_{k \ne y} \frac{s_y - s_k}{\sqrt2\;\mathrm{Lip}}$$
#
# makes the net leave $y$. `certified` returns it for each image, and 0 where the net does not say $y$ to begin with.


# %% nbgrader={"grade": false, "grade_id": "stretches", "locked": false, "schema_version": 3, "solution": true, "task": false}
def stretches(phi, x, count, steps, generator):
    """The largest singular values of the Jacobian at each image.

    Args:
        phi: module, x (N, ...) -> (N, ...), each row from its own image. x: (N, ...).
        count: k. steps: how often V is multiplied by J^T J, at least 1. generator: draws the first V.

    Returns:
        (N, k), falling, without a graph.
    """
    ### BEGIN SOLUTION
    leaf = x.detach().clone().requires_grad_()
    y = phi(leaf).flatten(1)  # (N, K)
    u = torch.zeros_like(y, requires_grad=True)
    (back,) = torch.autograd.grad(y, leaf, u, create_graph=True)  # J^T u, linear in u

    def forward(v):  # J v, (N, K)
        return torch.autograd.grad(back, u, v.reshape(x.shape), retain_graph=True)[0]

    def both(v):  # J^T J v, (N, D)
        return torch.autograd.grad(y, leaf, forward(v), retain_graph=True)[0].flatten(1)

    v = torch.randn(len(x), x[0].numel(), count, generator=generator, dtype=x.dtype)
    for _ in range(steps):
        v = torch.linalg.qr(v).Q
        v = torch.stack([both(v[:, :, k]) for k in range(count)], dim=2)
    v = torch.linalg.qr(v).Q
    return torch.linalg.svdvals(torch.stack([forward(v[:, :, k]) for k in range(count)], dim=2))
    ### END SOLUTION


def certified(scores, labels, lipschitz):
    """The length below which no change makes the net leave the label.

    Args:
        scores: (N, K). labels: y, int64, (N,). lipschitz: of the map from images to scores, a number.

    Returns:
        (N,), at least 0.
    """
    ### BEGIN SOLUTION
    own = scores.gather(1, labels[:, None])[:, 0]
    rival = scores.scatter(1, labels[:, None], -math.inf).amax(1)
    return ((own - rival) / (math.sqrt(2) * lipschitz)).clamp(min=0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "stretches-values", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_stretches(stretches)
### BEGIN HIDDEN TESTS
for seed, layers, count, share in ((0, 6, 3, 0.85), (1, 2, 2, 0.6), (2, 5, 1, 0.6)):  # neighbours converge slowly
    phi = checks.small_net(checks.fresh(seed), channels=2)[:layers]
    draws = torch.Generator().manual_seed(checks.fresh(seed + 10))
    x = 2 * torch.rand(3, 2, 4, 4, generator=draws, dtype=torch.float64) - 1
    kept, exact = x.clone(), torch.linalg.svdvals(checks.jacobians(phi, x))[:, :count]
    got = stretches(phi, x, count, 12, torch.Generator().manual_seed(checks.fresh(seed + 20)))
    assert got.shape == (3, count)
    assert not got.requires_grad
    assert torch.equal(x, kept), "changed what it was given"
    assert all(w.grad is None for w in phi.parameters()), "the net's weights have gradients now"
    assert (got < exact * (1 + 1e-6)).all(), "more than J stretches"
    assert (got > exact * share).all(), "less than J stretches"
    few = stretches(phi, x, count, 1, draws)
    assert (few < exact * (1 + 1e-6)).all(), "more than J stretches"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "stretches-certified", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_certified(certified)
### BEGIN HIDDEN TESTS
for seed, count, classes, shift in ((3, 6, 4, -20.0), (4, 5, 2, 0.0), (5, 4, 10, 7.0)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    scores = shift + torch.randn(count, classes, generator=draws, dtype=torch.float64)
    labels = torch.where(torch.arange(count) % 3 > 0, scores.argmax(1), scores.argmin(1))
    kept = scores.clone()
    got = certified(scores, labels, 2.5)
    assert torch.equal(scores, kept), "changed what it was given"
    for n in range(count):
        y = int(labels[n])
        margin = min(float(scores[n, y] - scores[n, k]) for k in range(classes) if k != y)
        assert abs(float(got[n]) - max(margin, 0.0) / (2.5 * 2**0.5)) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# The steepest eight directions after each layer of the net, mean over some images. Is there one bad direction, or many?

# %%
with checks.when_done("Task 8"):
    _, ax = plt.subplots(figsize=(6, 3.2))
    for name, layers in (("ReLU", 2), ("max-pooling", 3), ("ten scores", 5)):
        draws = torch.Generator().manual_seed(SEED)
        found = stretches(net[:layers], x_test[:5], 8, budget.pick(smoke=5, laptop=40), draws)
        ax.plot(range(1, 9), found.mean(0), "o-", label=name)
    ax.set(xlabel="direction", ylabel="stretch σ", ylim=(0, None))
    ax.legend()
    plt.show()

# %% [markdown]
# ## Task 9 · Written: "our net is robust"
#
# *10 minutes, 3 points*
#
# A report: "With FGSM at $\varepsilon = 0.05$ only 8 % of the test images are misread, of which 5 % were misread already without attack; with Gaussian noise of
# standard deviation 0.05, clipped to $[-1, 1]$, 6 %. So our net is hardly more sensitive to attacks than to noise." Images are in $[-1, 1]$ and mostly black. Name **three** reasons
# why this does not follow, and for each say what you would measure instead. Six sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-robust", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# For example (three of these, each with its remedy: 1 point a pair):
#
# - One step of FGSM is a weak attack; a low rate bounds the truth from below only. Use PGD, several starts, a loss that does not saturate, and look whether the
#   slope is exactly 0 for many images.
# - One ε: show the whole curve of misread images against the length, until it reaches 1, or the smallest length for each image.
# - Clipping cuts about half of the noise at black pixels, so it is shorter than the change of the attack (and the two have different norms to begin with).
#   Make the control as long as r after clipping.
# - Images that were misread before count on both sides and hide the difference: count only those that were right, 3 % against 1 %, which is three times as many.
# - There is no yardstick: say how far the nearest image of another class is.

# %% [markdown]
# ## Task 10 · Written: what a pre-image shows
#
# *10 minutes, 3 points*
#
# From the ten scores of a "3", someone finds a pre-image with $\lambda = 0$. It looks like noise, and the net reads it as 3 with $p = 0.999$. "Descent
# has failed", says one. "So this is what the net believes a 3 looks like", says another. (a) Is the first right? (b) Is the second? (c) Which experiment
# shows what the scores do determine of the image? Five sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-pre-image", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# (a) No: the loss asks for the same scores only, and they are met; directions that J maps to (nearly) 0 are never corrected, so they keep the noise of the
# start. [1 point]
#
# (b) No: it is one of very many images with these scores, chosen by the start; the digit x\* itself is another. The net cannot tell them apart, it does not
# prefer this one. [1 point]
#
# (c) Invert from several starts and look at what agrees between the results: that is what the scores determine. What differs comes from the starts; with λ > 0, also what agrees may
# come from the prior, so vary λ too. [1 point]
