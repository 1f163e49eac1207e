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
# # Problem set 02 · Practical optimization
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/assignments/ps02_optimizers/ps02_optimizers.ipynb)
#
# Eight tasks in code (44 points) and two written answers (6 points): **50 points**, about 260 minutes. No GPU is needed.
# The lecture is `notebooks/02_optimizers.ipynb`.
#
# | task | | minutes | points |
# |---|---|---|---|
# | 1 | A schedule that warms up, and how low it gets | 25 | 5 |
# | 2 | Batches of a weighted loss | 25 | 5 |
# | 3 | Looking ahead with a momentum that changes | 30 | 5 |
# | 4 | Dividing by the spread of the gradient | 30 | 5 |
# | 5 | The units of a learning rate, by experiment | 20 | 3 |
# | 6 | Adam with decay on the side | 40 | 8 |
# | 7 | Group normalization, both ways | 40 | 7 |
# | 8 | The fastest ball in a ravine | 30 | 6 |
# | 9, 10 | Written answers | 20 | 3 + 3 |
#
# **How it works.** Replace each `raise NotImplementedError()` by your code. The cell below it checks your work and says
# what is likely wrong. After you hand in, hidden tests use other data, other shapes and extreme cases. No task needs
# another task's code, so do them in any order.
#
# **Rules.** Functions return new tensors and leave what they are given as it was. `torch.optim`, torch's normalization
# layers and those of `course_lib.scratch` are there to compare with, not to be called in an answer.
#
# **Notation** as in the lecture: parameters $w$, their gradient $\nabla = dE/dw$, learning rate $\alpha$, windows $v$
# (of gradients or steps) and $g$ (of squared gradients), decays $\mu$ and $\beta$, steps $t$ counted from 0. Products,
# quotients and roots are elementwise, and the present gradient is counted before it is used. Everything is float64
# unless a task says otherwise.

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
import numpy as np
import torch
from torch import nn

from course_lib.checks import optimizers as checks
from course_lib.scratch import Layer

device, budget = course_lib.start(BUDGET, SEED, device="cpu")

# %% [markdown]
# ## Task 1 · A schedule that warms up, and how low it gets
#
# *25 minutes, 5 points*
#
# Large rates are dangerous in the first steps, when gradients are largest. So let the rate climb to its full value in
# $W$ steps (`warmup`), and fall harmonically from then on: it starts at the full value and is divided anew after every
# $n$ steps (`every`),
#
# $$\alpha[t] = \begin{cases} \alpha_0\,\dfrac{t + 1}{W} & t < W\\[2mm]
#   \alpha_0\,\dfrac{c}{\lfloor (t - W)/n \rfloor + c} & t \ge W, \end{cases}$$
#
# with $\alpha_0$ = `rate` and $c$ = `offset`. `warm_harmonic` gets the steps as a tensor of integers of **any** shape
# and returns their rates in float64. $W$ may be 0, and $t$ may be a thousand million.
#
# How good is a schedule? On $E = \tfrac12 h w^2$ the optimizer sees the gradient $hw + \sigma\xi$, with fresh $\xi$ of
# mean 0 and variance 1 at every step. The lecture followed the *variance* of $w$ at a constant rate. Follow its *mean
# square* $M[t] = \mathbb E\, w[t]^2$ instead, which also knows the start: $M[0] = w_0^2$. Derive $M[t{+}1]$ from $M[t]$
# and $\alpha[t]$. `expected_energy` returns $\mathbb E\, E(w[t]) = \tfrac12 h M[t]$ for $t = 0, \dots, T$, where the
# $T$ rates may be any.


# %% nbgrader={"grade": false, "grade_id": "schedule", "locked": false, "schema_version": 3, "solution": true, "task": false}
def warm_harmonic(steps, rate, warmup, every, offset):
    """The learning rate of each step: a linear warm-up, then a harmonic decay.

    Args:
        steps: t, int64, of any shape, at least 0.
        rate: the full rate. warmup: W, an integer, at least 0. every: n, an integer, at least 1. offset: c, above 0.

    Returns:
        alpha[t], float64, of the shape of steps.
    """
    ### BEGIN SOLUTION
    rising = rate * (steps + 1).double() / max(warmup, 1)
    falling = rate * offset / (((steps - warmup) // every).double() + offset)
    return torch.where(steps < warmup, rising, falling)
    ### END SOLUTION


def expected_energy(rates, h, noise, w0):
    """The mean of E = h w^2 / 2 along noisy descent.

    Args:
        rates: alpha[0..T-1], (T,). h: curvature. noise: sigma, standard deviation of the gradient. w0: the start.

    Returns:
        The mean of E(w[t]) for t = 0..T, (T + 1,).
    """
    ### BEGIN SOLUTION
    mean_square = [w0**2]
    for alpha in rates.tolist():
        mean_square.append((1 - alpha * h) ** 2 * mean_square[-1] + alpha**2 * noise**2)
    return 0.5 * h * torch.tensor(mean_square, dtype=torch.float64)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "schedule-values", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_schedule(warm_harmonic)
### BEGIN HIDDEN TESTS
for seed, warmup, every, offset in ((0, 5, 1, 1.0), (1, 12, 7, 4.5), (2, 3, 20, 10.0)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    rate = 0.01 + float(torch.rand((), generator=draws))
    expected = [rate * (t + 1) / warmup for t in range(warmup)]
    expected += [rate * offset / ((t - warmup) // every + offset) for t in range(warmup, 100)]
    got = warm_harmonic(torch.arange(100), rate, warmup, every, offset)
    torch.testing.assert_close(got, torch.tensor(expected).double(), rtol=1e-5, atol=0, check_dtype=False)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "schedule-range", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_schedule_range(warm_harmonic)
### BEGIN HIDDEN TESTS
draws = torch.Generator().manual_seed(checks.fresh(3))
late = 10**9 + torch.randint(10**6, (2, 3), generator=draws)
got = warm_harmonic(late, 0.5, 0, 3, 2.0)
assert got.dtype == torch.float64
torch.testing.assert_close(got, 0.5 * 2.0 / ((late // 3).double() + 2.0), rtol=1e-12, atol=0)
for warmup in (0, 1):  # no warm-up, and one that is over after the first step
    first = warm_harmonic(torch.tensor(0), 0.3, warmup, 4, 2.5)
    assert first.shape == ()
    assert abs(float(first) - 0.3) < 1e-12
long = 10**6 + int(torch.randint(10**6, (), generator=draws))
got = warm_harmonic(torch.tensor([0, long - 1, long, long + 8, long + 9]), 1.0, long, 9, 1.0)
torch.testing.assert_close(got, torch.tensor([1 / long, 1.0, 1.0, 1.0, 0.5]).double(), rtol=1e-6, atol=0)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "schedule-energy", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_expected_energy(expected_energy)
### BEGIN HIDDEN TESTS
for seed, count, sigma in ((4, 1, 1.0), (5, 12, 0.7), (6, 5, 0.0), (7, 0, 1.0)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    rates = 2 * torch.rand(count, generator=draws, dtype=torch.float64)
    h, sigma_, w0 = (0.2 + torch.rand(3, generator=draws, dtype=torch.float64)).tolist()
    mean, variance, expected = -3 * w0, 0.0, [4.5 * h * w0**2]
    for alpha in rates.tolist():  # by another way: the mean and the variance, each for itself
        mean, variance = (1 - alpha * h) * mean, (1 - alpha * h) ** 2 * variance + (alpha * sigma * sigma_) ** 2
        expected.append(0.5 * h * (mean**2 + variance))
    got = expected_energy(rates, h, sigma * sigma_, -3 * w0)
    torch.testing.assert_close(got, torch.tensor(expected).double(), rtol=1e-6, atol=1e-12, check_dtype=False)
### END HIDDEN TESTS

# %% [markdown]
# Before you run this: which of the three schedules leads lowest after 30 steps, and which after 600?

# %%
with checks.when_done("Task 1"):
    steps = torch.arange(600)
    schedules = {
        "constant 0.5": torch.full((600,), 0.5, dtype=torch.float64),
        "constant 0.05": torch.full((600,), 0.05, dtype=torch.float64),
        "warm-up, then harmonic": warm_harmonic(steps, 0.5, warmup=20, every=5, offset=4.0),
    }
    _, axes = plt.subplots(1, 2, figsize=(9.2, 3.2))
    for name, rates in schedules.items():
        axes[0].plot(steps, rates, label=name)
        axes[1].plot(expected_energy(rates, h=1.0, noise=1.0, w0=-4.0), label=name)
    axes[0].set(xlabel="step", ylabel="α", title="schedules")
    axes[1].set(xlabel="step", ylabel="mean of E", yscale="log", title="and where they lead")
    axes[1].legend(fontsize=8)
    plt.show()

# %% [markdown]
# ## Task 2 · Batches of a weighted loss
#
# *25 minutes, 5 points*
#
# Examples are often not equally important. With weights $c_i \ge 0$ and their sum $C = \sum_{i=1}^N c_i$ over **all** $N$
# examples, the loss and its gradient are
#
# $$E = \frac1C \sum_{i=1}^N c_i\, \ell_i, \qquad \nabla = \frac1C \sum_{i=1}^N c_i \nabla_i .$$
#
# Only a batch $B$ of $N_b$ examples is seen, every set of that size as likely as any other. So example $i$ is in it
# with probability $N_b/N$. `batch_gradient` returns the estimate of $\nabla$ whose **mean is exactly** $\nabla$.
# (Dividing by the weights of the batch would be natural, and is biased: the divisor is then random too. Think of a batch
# that happens to have only light examples.) It gets the gradients $\nabla_i$ of the batch, $C$, and $N$; the last batch
# of an epoch is often smaller than the others, so $N_b$ is what came, not what was planned.
#
# `epoch` deals one pass over the examples: a list of tensors of indices, each example exactly once in random order,
# `size` at a time, the rest in a last smaller batch. All randomness must come from `generator`, so that a run can be
# repeated; the next epoch with the same generator has another order.


# %% nbgrader={"grade": false, "grade_id": "batches", "locked": false, "schema_version": 3, "solution": true, "task": false}
def batch_gradient(gradients, c, total, count):
    """An unbiased estimate of the gradient of a weighted loss, from a batch.

    Args:
        gradients: of the examples of the batch, (N_b, ...), with the shape of a parameter behind N_b.
        c: their weights, (N_b,). total: C, the sum of all weights. count: N, the number of all examples.

    Returns:
        (...), the shape of the parameter.
    """
    ### BEGIN SOLUTION
    return torch.tensordot(c, gradients, 1) * (count / len(c)) / total
    ### END SOLUTION


def epoch(count, size, generator):
    """The batches of one pass over the examples 0..count-1, as a list of int64 tensors (N_b,).

    Args:
        count: how many examples, at least 1. size: of a batch, at least 1. generator: a torch.Generator.
    """
    ### BEGIN SOLUTION
    return list(torch.randperm(count, generator=generator).split(size))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "batches-gradient", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_batch_gradient(batch_gradient)
### BEGIN HIDDEN TESTS
for seed, n, n_b, shape in ((0, 7, 4, (4,)), (1, 12, 1, (3,)), (2, 9, 5, (2, 5)), (3, 6, 6, (6, 6))):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    each = torch.randn(n, *shape, generator=draws, dtype=torch.float64)
    c = 3 * torch.rand(n, generator=draws, dtype=torch.float64)
    chosen = torch.randperm(n, generator=draws)[:n_b]
    expected = sum(float(c[i]) * each[i] for i in chosen) * n / n_b / float(c.sum())
    torch.testing.assert_close(batch_gradient(each[chosen], c[chosen], float(c.sum()), n), expected)
# Unbiased: over an epoch, each batch counted by its size, the mean is the gradient of E. A batch may weigh nothing.
c[4:] = 0.0
full = torch.einsum("n,nij->ij", c, each) / c.sum()
parts = [(b, batch_gradient(each[b], c[b], float(c.sum()), n)) for b in torch.arange(n).split(4)]
torch.testing.assert_close(sum(len(b) / n * part for b, part in parts), full)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "batches-epoch", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_epoch(epoch)
### BEGIN HIDDEN TESTS
for seed, n, size in ((4, 23, 5), (5, 12, 4), (6, 3, 8), (7, 40, 1)):
    generator = torch.Generator().manual_seed(checks.fresh(seed))
    batches = list(epoch(n, size, generator))
    assert [len(batch) for batch in batches] == [size] * (n // size) + [n % size] * (n % size > 0)
    order = torch.cat(batches)
    assert order.dtype == torch.int64
    assert order.sort().values.tolist() == list(range(n))
assert len(set((order[1:] - order[:-1]).tolist())) > 5, "a random order, not a rotation"
assert torch.cat(list(epoch(n, size, generator))).tolist() != order.tolist(), "another order in the next epoch"
again = torch.cat(list(epoch(n, size, torch.Generator().manual_seed(checks.fresh(7)))))
assert again.tolist() == order.tolist(), "the same order from the same generator"
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3 · Looking ahead with a momentum that changes
#
# *30 minutes, 5 points*
#
# Nesterov's method takes the gradient where momentum is about to carry us. In practice $\mu$ grows during training (from
# 0.5 to 0.99 in [Sutskever et al. 2013](https://proceedings.mlr.press/v28/sutskever13.html)), so give it an index:
#
# $$v[t{+}1] = \mu_t\, v[t] - \alpha\,\nabla(E, w[t] + \mu_t v[t]), \qquad w[t{+}1] = w[t] + v[t{+}1].$$
#
# A gradient can only be had at the parameters. So the parameters are $u[t] = w[t] + \mu_t v[t]$, and $w$ is never
# stored. `nesterov_step` gets $u[t]$, $v[t]$, the gradient **at $u[t]$**, $\alpha$, $\mu_t$ and $\mu_{t+1}$
# (`next_momentum`), and returns $(u[t{+}1], v[t{+}1])$. The lecture's formula holds for a constant $\mu$ only; derive
# yours. (Write $u[t{+}1]$ by its definition, and get rid of $w$.)
#
# The second half is about another dialect. `torch.optim.SGD` keeps a window of *gradients*, ours one of *steps*:
#
# $$\text{torch:}\quad b \leftarrow \mu b + \nabla, \quad w \leftarrow w - \alpha b \qquad\qquad
#   \text{ours:}\quad v \leftarrow \mu v - \alpha\nabla, \quad w \leftarrow w + v .$$
#
# With a constant $\alpha$ nobody notices. When $\alpha$ changes, torch also rescales the steps that it has already
# taken; ours keeps them.
#
# - `to_torch(v, rate)` turns our $v$ into a $b$ with which torch, at learning rate `rate` from now on, goes exactly as
#   ours goes at that rate.
# - `keep_steps(b, old_rate, new_rate)` is what to do with torch's $b$ when its rate is changed, so that it goes on as
#   ours would.


# %% nbgrader={"grade": false, "grade_id": "nesterov", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nesterov_step(u, v, gradient, rate, momentum, next_momentum):
    """One step of Nesterov's method, in terms of the point ahead.

    Args:
        u: w + momentum * v, where the gradient was taken, any shape. v: the last step. gradient: at u.
        rate: alpha. momentum: of this step. next_momentum: of the next one.

    Returns:
        (u, v) after the step.
    """
    ### BEGIN SOLUTION
    v = momentum * v - rate * gradient
    return u - rate * gradient + next_momentum * v, v
    ### END SOLUTION


def to_torch(v, rate):
    """The momentum buffer with which torch.optim.SGD at this rate goes on as ours does with v."""
    ### BEGIN SOLUTION
    return -v / rate
    ### END SOLUTION


def keep_steps(b, old_rate, new_rate):
    """torch's momentum buffer after a change of rate that is to leave the steps already taken as they were."""
    ### BEGIN SOLUTION
    return b * (old_rate / new_rate)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "nesterov-step", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_nesterov_step(nesterov_step)
### BEGIN HIDDEN TESTS
for seed, shape, steps in ((0, (5,), 4), (1, (2, 3), 2)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    steep = 0.5 + 2 * torch.rand(shape, generator=draws, dtype=torch.float64)
    momenta = [0.0, *torch.rand(4, generator=draws, dtype=torch.float64).tolist(), 0.99]
    w = torch.randn(shape, generator=draws, dtype=torch.float64)
    v, u, v_ahead = torch.zeros_like(w), w, torch.zeros_like(w)
    for k in range(steps):
        rate = 0.3 / (k + 1)
        v = momenta[k] * v - rate * steep * torch.sin(w + momenta[k] * v)  # as it is defined, with w
        w = w + v
        kept = u.clone(), v_ahead.clone()
        moved = nesterov_step(u, v_ahead, steep * torch.sin(u), rate, momenta[k], momenta[k + 1])
        assert torch.equal(u, kept[0])
        assert torch.equal(v_ahead, kept[1])
        u, v_ahead = moved
        torch.testing.assert_close(v_ahead, v)
        torch.testing.assert_close(u, w + momenta[k + 1] * v)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "nesterov-torch", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_to_torch(to_torch)
checks.check_keep_steps(keep_steps)
### BEGIN HIDDEN TESTS
draws = torch.Generator().manual_seed(checks.fresh(2))
w, v = torch.randn(2, 4, generator=draws, dtype=torch.float64)
steep = 0.5 + torch.rand(4, generator=draws, dtype=torch.float64)
rates = (0.05 + 0.5 * torch.rand(5, generator=draws, dtype=torch.float64)).tolist()
theirs = nn.Parameter(w.clone())
sgd = torch.optim.SGD([theirs], lr=rates[0], momentum=0.8)
sgd.state[theirs]["momentum_buffer"] = to_torch(v, rates[0])
for k, rate in enumerate(rates):
    if k > 1:  # the second rate is the first, so that to_torch is seen alone
        b = sgd.state[theirs]["momentum_buffer"]
        sgd.state[theirs]["momentum_buffer"] = keep_steps(b, sgd.param_groups[0]["lr"], rate)
        sgd.param_groups[0]["lr"] = rate
    v = 0.8 * v - sgd.param_groups[0]["lr"] * steep * torch.sin(w)
    w = w + v
    theirs.grad = steep * torch.sin(theirs.detach())
    sgd.step()
    torch.testing.assert_close(theirs.detach(), w)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4 · Dividing by the spread of the gradient
#
# *30 minutes, 5 points*
#
# RMSProp divides by the size of recent gradients. A long slope that never changes has large gradients, and is treated as
# if it were rough. Graves ([2013](https://arxiv.org/abs/1308.0850), section 4.2) divides by their *spread* instead. With
# windows $m$ over $\nabla$ and $g$ over $\nabla^2$,
#
# $$m[t{+}1] = \mu\, m[t] + (1 - \mu) \nabla, \qquad s[t{+}1] = g[t{+}1] - m[t{+}1]^2, \qquad
#   w[t{+}1] = w[t] - \alpha\, \frac{\nabla}{\sqrt{s[t{+}1]} + \varepsilon} .$$
#
# Written so, it is a trap. For gradients of 1000 ± 0.1 in float32, $g$ and $m^2$ are both a million, rounded to the next
# multiple of 1/16, and their difference should be 0.01. It may even be negative. So $g$ must not appear at all: derive
# $s[t{+}1]$ from $s[t]$, $m[t]$ and $\nabla$ alone, as something that cannot be negative. (Write $\nabla = m[t] +
# \delta$.)
#
# `centred_step` returns the new $(w, m, s)$.


# %% nbgrader={"grade": false, "grade_id": "centred", "locked": false, "schema_version": 3, "solution": true, "task": false}
def centred_step(w, m, s, gradient, rate, decay, epsilon):
    """One step of RMSProp with the variance in place of the second moment.

    Args:
        w: parameter, any shape. m: window over the gradients. s: their variance in that window, at least 0.
        gradient: at w. rate: alpha. decay: mu, in [0, 1). epsilon: above 0, added to the root.

    Returns:
        (w, m, s) after the step, each of w's shape and dtype.
    """
    ### BEGIN SOLUTION
    delta = gradient - m
    m = m + (1 - decay) * delta
    s = decay * (s + (1 - decay) * delta**2)
    return w - rate * gradient / (s.sqrt() + epsilon), m, s
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "centred-values", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_centred_step(centred_step)
### BEGIN HIDDEN TESTS
for seed, shape, mu in ((0, (4,), 0.9), (1, (2, 3), 0.5)):  # against torch, from the start
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    theirs = nn.Parameter(torch.randn(shape, generator=draws, dtype=torch.float64))
    rmsprop = torch.optim.RMSprop([theirs], lr=0.05, alpha=mu, eps=1e-3, centered=True)
    w, m, s = theirs.detach().clone(), torch.zeros(shape).double(), torch.zeros(shape).double()
    for _ in range(3):
        theirs.grad = 1 + torch.randn(shape, generator=draws, dtype=torch.float64)
        rmsprop.step()
        w, m, s = centred_step(w, m, s, theirs.grad.clone(), 0.05, mu, 1e-3)
        torch.testing.assert_close(w, theirs.detach(), rtol=1e-6, atol=1e-9)
w, m, gradient = torch.randn(3, 6, generator=draws, dtype=torch.float64)  # from anywhere
s = torch.rand(6, generator=draws, dtype=torch.float64)
given = [x.clone() for x in (w, m, s, gradient)]
new_w, new_m, new_s = centred_step(w, m, s, gradient, 0.2, 0.7, 1e-2)
assert all(torch.equal(a, b) for a, b in zip((w, m, s, gradient), given, strict=True)), "changed what it was given"
mean = 0.7 * m + 0.3 * gradient
variance = 0.7 * (s + m**2) + 0.3 * gradient**2 - mean**2
torch.testing.assert_close(new_m, mean)
torch.testing.assert_close(new_s, variance)
torch.testing.assert_close(new_w, w - 0.2 * gradient / (variance.sqrt() + 1e-2))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "centred-stable", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_centred_stable(centred_step)
### BEGIN HIDDEN TESTS
for seed, dtype, centre, spread in ((2, torch.float32, 1000.0, 0.1), (3, torch.float64, -1e6, 1e-3)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    m = (centre + spread * torch.randn(8, generator=draws)).to(dtype)
    s = (spread**2 * (0.5 + torch.rand(8, generator=draws))).to(dtype)
    sign = 2.0 * torch.randint(2, (8,), generator=draws) - 1
    gradient = m + (spread * sign * (0.5 + torch.rand(8, generator=draws))).to(dtype)
    delta = gradient.double() - m.double()
    variance = 0.9 * (s.double() + 0.1 * delta**2)
    new_w, new_m, new_s = centred_step(torch.zeros(8, dtype=dtype), m, s, gradient, 0.01, 0.9, 1e-9)
    assert new_s.dtype == dtype
    torch.testing.assert_close(new_s.double(), variance, rtol=0.03, atol=0)
    torch.testing.assert_close(new_m.double(), m.double() + 0.1 * delta, rtol=3e-7, atol=0)
    torch.testing.assert_close(new_w.double(), -0.01 * gradient.double() / variance.sqrt(), rtol=0.03, atol=0)
steady = torch.full((8,), 1000.0 / 3)  # nothing has varied, and nothing varies now
_, _, new_s = centred_step(torch.zeros(8), steady, torch.zeros(8), steady, 0.01, 0.9, 1e-3)
assert (new_s >= 0).all()
assert (new_s < 1e-4).all()
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5 · The units of a learning rate, by experiment
#
# *20 minutes, 3 points*
#
# Let $w$ be in metres and $E$ in joules. Someone gives you a *rule*: a function `rule(gradients, rate)` that gets $T$
# gradients, one after another, as the rows of a `(T, D)` tensor, and returns the $T$ moves of $w$, also `(T, D)`. You
# cannot look inside. You know that it sees nothing of $E$ but the gradients, that its moves are proportional to the rate,
# and that they are multiplied by some $q^k$ when all gradients are multiplied by $q > 0$. Nothing in it but the rate has
# units.
#
# Then the rate is in $\mathrm m^a \mathrm J^b$. `rate_units` finds $(a, b)$, two numbers, by trying the rule out. (For
# SGD it is $(2, -1)$, for Adagrad $(1, 0)$. Rewrite $w$ and $E$ in other units: what becomes of the gradients, and what
# has to become of the moves?)
#
# A rule may keep still in its first step or in some coordinates, and it may have a tiny $\varepsilon$: take several
# steps, and gradients of size about 1.


# %% nbgrader={"grade": false, "grade_id": "units", "locked": false, "schema_version": 3, "solution": true, "task": false}
def rate_units(rule):
    """The units of a rule's learning rate.

    Args:
        rule: (gradients (T, D), rate) -> moves (T, D), float64.

    Returns:
        (a, b): the rate is in metres^a joules^b.
    """
    ### BEGIN SOLUTION
    gradients = 1 + torch.arange(12, dtype=torch.float64).reshape(4, 3) / 12
    k = float((rule(2 * gradients, 1.0).norm() / rule(gradients, 1.0).norm()).log2())
    return 1 + k, -k
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "units-found", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_rate_units(rate_units)


### BEGIN HIDDEN TESTS
def power_rule(k, mu, rests=0):
    def rule(gradients, rate):
        v, moves = torch.zeros(gradients.shape[1]).double(), []
        for gradient in gradients:
            v = mu * v - rate * gradient.sign() * gradient.abs() ** k
            moves.append(v)
        moves = torch.stack(moves)
        moves[:, 0] = 0.0  # keeps still in one coordinate, and in the first steps
        moves[:rests] = 0.0
        return moves

    return rule


def rms_rule(gradients, rate):
    g = (0.1 * gradients**2).cumsum(0)
    return -rate * gradients / (g.sqrt() + 1e-10)


draws = torch.Generator().manual_seed(checks.fresh(0))
k = float(0.2 + 2 * torch.rand((), generator=draws))
for rule, power in ((power_rule(2, 0.9), 2), (power_rule(k, 0.5, rests=1), k), (rms_rule, 0)):
    a, b = rate_units(rule)
    assert abs(float(a) - (1 + power)) < 1e-3
    assert abs(float(b) + power) < 1e-3
### END HIDDEN TESTS

# %% [markdown]
# ## Task 6 · Adam with decay on the side
#
# *40 minutes, 8 points*
#
# Weights are often kept small by adding $\tfrac{\lambda}{2}\lVert w\rVert^2$ to $E$, that is $\lambda w$ to the gradient.
# In Adam this goes wrong: $\lambda w$ is divided by $\sqrt{\hat g}$ like everything else, so the weights with the largest
# gradients decay least. *AdamW* ([Loshchilov and Hutter 2019](https://arxiv.org/abs/1711.05101), algorithm 2) keeps the
# decay out of the windows:
#
# $$v \leftarrow \beta v + (1 - \beta)\nabla, \quad g \leftarrow \mu g + (1 - \mu)\nabla^2, \quad
#   \hat v = \frac{v}{1 - \beta^{t+1}}, \quad \hat g = \frac{g}{1 - \mu^{t+1}}, \qquad
#   w \leftarrow (1 - \alpha\lambda)\, w - \alpha\, \frac{\hat v}{\sqrt{\hat g} + \varepsilon} .$$
#
# Write the class. Its `step` gets the learning rate each time, so a schedule is nothing but an argument. And:
#
# 1. *Decay* ($\lambda$ = `decay`) is for parameters with at least two axes. Biases and gains do not decay.
# 2. *A parameter without a gradient* (`w.grad is None`) stays as it is in this step: no move, no decay, its windows
#    untouched. $t$ counts the steps that **this** parameter has had.
# 3. *`keep_largest`* (AMSGrad, [Reddi et al. 2018](https://arxiv.org/abs/1904.09237), as torch has it): $g$'s window
#    forgets a rare large gradient too soon, and then steps grow. So keep $G \leftarrow \max(G, g)$, elementwise, and put
#    $\hat G = G/(1 - \mu^{t+1})$ in place of $\hat g$. Mind the order: first the maximum, then the correction.
#
# The parameters are changed in place, their gradients are not.


# %% nbgrader={"grade": false, "grade_id": "adamw", "locked": false, "schema_version": 3, "solution": true, "task": false}
class AdamW:
    """Adam with decoupled weight decay.

    Args:
        parameters: list of the tensors to train, of any shapes. betas: (beta, mu), each in [0, 1).
        epsilon: added to the root. decay: lambda, for tensors with two axes or more. keep_largest: AMSGrad.
    """

    def __init__(self, parameters, betas=(0.9, 0.999), epsilon=1e-8, decay=0.01, keep_largest=False):
        self.parameters = list(parameters)
        self.beta, self.mu = betas
        self.epsilon, self.decay, self.keep_largest = epsilon, decay, keep_largest
        ### BEGIN SOLUTION
        self.v = [torch.zeros_like(w) for w in self.parameters]
        self.g = [torch.zeros_like(w) for w in self.parameters]
        self.largest = [torch.zeros_like(w) for w in self.parameters]
        self.t = [0] * len(self.parameters)
        ### END SOLUTION

    @torch.no_grad()
    def step(self, rate):
        """Change every parameter that has a gradient, in place, at this learning rate."""
        ### BEGIN SOLUTION
        for k, w in enumerate(self.parameters):
            if w.grad is None:
                continue
            v, g = self.v[k], self.g[k]
            self.t[k] += 1
            v.mul_(self.beta).add_((1 - self.beta) * w.grad)
            g.mul_(self.mu).add_((1 - self.mu) * w.grad**2)
            if self.keep_largest:
                self.largest[k] = g = torch.maximum(self.largest[k], g)
            v_hat = v / (1 - self.beta ** self.t[k])
            g_hat = g / (1 - self.mu ** self.t[k])
            if w.ndim >= 2:
                w *= 1 - rate * self.decay
            w -= rate * v_hat / (g_hat.sqrt() + self.epsilon)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "adamw-moves", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_adamw_moves(AdamW)
### BEGIN HIDDEN TESTS
checks.expect_adamw(AdamW, seed=checks.fresh(0), steps=4, decay=0.0)
checks.expect_adamw(AdamW, seed=checks.fresh(1), steps=2, decay=0.0, betas=(0.0, 0.999), size=1e-7, epsilon=1e-8)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "adamw-decay", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_adamw_decay(AdamW)
### BEGIN HIDDEN TESTS
checks.expect_adamw(AdamW, seed=checks.fresh(3), steps=3, decay=0.5)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "adamw-missing", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_adamw_missing(AdamW)
### BEGIN HIDDEN TESTS
checks.expect_adamw(AdamW, seed=checks.fresh(5), steps=5, decay=0.5, silent=(0, 1, 3))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "adamw-largest", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_adamw_largest(AdamW)
### BEGIN HIDDEN TESTS
checks.expect_adamw(AdamW, seed=checks.fresh(6), steps=4, decay=0.0, keep_largest=True)
checks.expect_adamw(AdamW, seed=checks.fresh(7), steps=3, decay=0.0, keep_largest=True, betas=(0.9, 0.5), falling=True)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 7 · Group normalization, both ways
#
# *40 minutes, 7 points*
#
# Batch normalization needs a batch; layer normalization treats all channels as one. In between, Wu and He
# ([2018](https://arxiv.org/abs/1803.08494)) split the $C$ channels into $G$ groups of $C/G$ neighbours, and normalize
# each group of each example over its channels **and** positions:
#
# $$\hat x = \frac{x - m}{s}, \qquad m = \operatorname{mean} x, \qquad s = \sqrt{\operatorname{mean}(x - m)^2 +
#   \varepsilon}, \qquad y = \text{weight}\cdot\hat x + \text{bias},$$
#
# with weight and bias $(C,)$, one number for each channel. `x` is $(N, C)$, $(N, C, L)$ or $(N, C, H, W)$. With $G = C$
# this is *instance normalization*.
#
# As in problem set 01, a layer keeps in `self` what `backward` needs; `backward(dz_dy)` returns `dz_dx` and writes
# `self.dz_dw` anew, a dictionary with the names and shapes of `self.w`; neither `x` nor `dz_dy` is changed. NumPy only.
# The lecture has derived the gradient for means over the batch; what changes, and where does weight come in?


# %% nbgrader={"grade": false, "grade_id": "group-norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
class GroupNorm(Layer):
    """Group normalization over groups of neighbouring channels, for x (N, C, ...)."""

    def __init__(self, weight, bias, groups, epsilon=1e-5):
        """weight, bias (C,); groups divides C; epsilon is added under the root."""
        super().__init__()
        self.w = {"weight": np.array(weight, dtype=float), "bias": np.array(bias, dtype=float)}
        self.groups, self.epsilon = groups, epsilon

    def forward(self, x):
        """x (N, C, ...) -> y of the same shape"""
        ### BEGIN SOLUTION
        self.column = (-1, *[1] * (x.ndim - 2))  # (C, 1, ...): beside x
        grouped = x.reshape(len(x), self.groups, -1)  # (N, G, M)
        m = grouped.mean(axis=2, keepdims=True)
        self.s = np.sqrt(((grouped - m) ** 2).mean(axis=2, keepdims=True) + self.epsilon)
        self.x_hat = (grouped - m) / self.s
        weight, bias = (self.w[name].reshape(self.column) for name in ("weight", "bias"))
        return weight * self.x_hat.reshape(x.shape) + bias
        ### END SOLUTION

    def backward(self, dz_dy):
        """dz_dy like y -> dz_dx like x; sets dz_dw["weight"] and dz_dw["bias"], (C,)."""
        ### BEGIN SOLUTION
        shared = (0, *range(2, dz_dy.ndim))  # who shares a channel's weight
        x_hat = self.x_hat.reshape(dz_dy.shape)
        self.dz_dw = {"weight": (dz_dy * x_hat).sum(axis=shared), "bias": dz_dy.sum(axis=shared)}
        h = (self.w["weight"].reshape(self.column) * dz_dy).reshape(self.x_hat.shape)  # (N, G, M)
        along = self.x_hat * (h * self.x_hat).mean(axis=2, keepdims=True)
        return ((h - h.mean(axis=2, keepdims=True) - along) / self.s).reshape(dz_dy.shape)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "group-forward", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_group_forward(GroupNorm)
### BEGIN HIDDEN TESTS
checks.expect_group_norm(GroupNorm, (2, 6, 2, 3), 2, ("y",), seed=checks.fresh(0))
checks.expect_group_norm(GroupNorm, (1, 4, 5), 4, ("y",), seed=checks.fresh(2), epsilon=0.5)
checks.expect_group_norm(GroupNorm, (4, 4, 4, 4), 1, ("y",), seed=checks.fresh(3), shift=100.0)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "group-backward", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_group_backward(GroupNorm)
### BEGIN HIDDEN TESTS
checks.expect_group_norm(GroupNorm, (2, 6, 2, 3), 2, ("x",), seed=checks.fresh(5))
checks.expect_group_norm(GroupNorm, (4, 4), 2, ("x",), seed=checks.fresh(6), shift=100.0)
checks.expect_group_norm(GroupNorm, (1, 4, 5), 4, ("x",), seed=checks.fresh(7), epsilon=0.5)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "group-parameters", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_group_parameters(GroupNorm)
### BEGIN HIDDEN TESTS
checks.expect_group_norm(GroupNorm, (2, 6, 2, 3), 3, ("weight", "bias"), seed=checks.fresh(10), twice=True)
checks.expect_group_norm(GroupNorm, (4, 4), 2, ("weight", "bias"), seed=checks.fresh(11))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 8 · The fastest ball in a ravine
#
# *30 minutes, 6 points*
#
# A ball with momentum runs through the valley's bottom and up the other side: having been low once is not having arrived.
# `settled` gets the energies of $R$ runs, `(R, T + 1)`, and returns for each the first step **from which on** $E \le$
# `level` for all the rest of the run, and −1 where there is none. A run that has blown up (`inf` or `nan`) is not low.
#
# Now the ball. On a quadratic, in a direction of curvature $h$, one step of momentum multiplies the pair $(w, v)$ by
#
# $$\begin{pmatrix} 1 - \alpha h & \mu \\ -\alpha h & \mu \end{pmatrix}, \qquad\text{with eigenvalues}\qquad
#   \lambda^2 - (1 + \mu - \alpha h)\,\lambda + \mu = 0 .$$
#
# Their product is $\mu$. Where they are complex or equal, both have size $\sqrt\mu$; where they are real and different,
# one of them is larger. So: which $\alpha h$ make them complex or equal? The ravine has all curvatures from `low` to
# `high`. `best_momentum` returns the $(\alpha, \mu)$ with the **smallest** $\mu$ for which the whole range is inside
# ([Polyak 1964](https://doi.org/10.1016/0041-5553(64)90137-5)). Two unknowns, two ends: two equations, which are linear
# in $\sqrt\alpha$ and $\sqrt\mu$.


# %% nbgrader={"grade": false, "grade_id": "ravine", "locked": false, "schema_version": 3, "solution": true, "task": false}
def settled(energies, level):
    """From which step on each run stays at or below a level.

    Args:
        energies: of R runs after 0..T steps, (R, T + 1); may hold inf and nan. level: a number.

    Returns:
        int64, (R,): the first step from which on all energies are at most level; -1 where there is none.
    """
    ### BEGIN SOLUTION
    low = (energies <= level).long()
    stays = low.flip(1).cumprod(1).sum(1)  # (R,): how many steps at the end are low
    return torch.where(stays > 0, energies.shape[1] - stays, -1)
    ### END SOLUTION


def best_momentum(low, high):
    """(alpha, mu) of the momentum that shrinks all directions of curvatures low..high fastest; 0 < low <= high."""
    ### BEGIN SOLUTION
    root = (math.sqrt(high) - math.sqrt(low)) / (math.sqrt(high) + math.sqrt(low))
    return 4 / (math.sqrt(high) + math.sqrt(low)) ** 2, root**2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "ravine-settled", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_settled(settled)
### BEGIN HIDDEN TESTS
draws = torch.Generator().manual_seed(checks.fresh(0))
for runs, length in ((40, 6), (1, 1), (3, 30)):
    energies = torch.rand(runs, length, generator=draws, dtype=torch.float64)
    energies[torch.rand(runs, length, generator=draws) < 0.1] = math.nan
    expected = []
    for run in energies.tolist():
        rest = [all(e <= 0.7 for e in run[k:]) for k in range(length)]
        expected.append(rest.index(True) if True in rest else -1)
    got = settled(energies, 0.7)
    assert got.dtype == torch.int64
    assert got.tolist() == expected
level = float(torch.rand((), generator=draws))
cases = torch.tensor([[9.0, level, level], [0.0, 0.0, 0.0], [0.0, 0.0, math.nan], [math.inf, math.inf, -1.0]]).double()
cases[0, 1:] = level
assert settled(cases, level).tolist() == [1, 0, -1, 2]
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "ravine-momentum", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_best_momentum(best_momentum)
### BEGIN HIDDEN TESTS
draws = torch.Generator().manual_seed(checks.fresh(1))
for spread in (1.0, 3.0, 50.0, 1e4):
    low = float(0.05 + 20 * torch.rand((), generator=draws))
    alpha, mu = (float(number) for number in best_momentum(low, spread * low))
    assert alpha > 0
    assert -1e-12 <= mu < 1
    h = torch.logspace(0, math.log10(spread), 50, dtype=torch.float64) * low if spread > 1 else torch.tensor([low])
    half = (1 + mu - alpha * h.double()) / 2
    real = half.abs() + (half**2 - mu).clamp(min=0).sqrt()
    size = torch.where(half**2 > mu, real, torch.full_like(half, max(mu, 0.0)).sqrt())  # the larger eigenvalue
    best = (math.sqrt(spread) - 1) / (math.sqrt(spread) + 1)
    assert float(size.max()) < best + 1e-5, "some direction shrinks more slowly than it could"
### END HIDDEN TESTS

# %% [markdown]
# Your momentum against plain descent at its best rate, 2/(low + high), and against the usual $\mu = 0.9$. How many steps
# does each need at curvatures from 1 to 100? From 1 to 10,000?

# %%
with checks.when_done("Task 8"):
    _, axes = plt.subplots(1, 2, figsize=(9.6, 3.3))
    for ax, high, place in zip(axes, (100.0, 10_000.0), ("upper right", "lower left"), strict=True):
        steps = budget.pick(smoke=1500, laptop=6000)
        h = torch.logspace(0, math.log10(high), 25, dtype=torch.float64)
        rivals = {
            "plain": (2 / (1 + high), 0.0),
            "μ = 0.9": (3.0 / high, 0.9),
            "yours": best_momentum(1.0, high),
        }
        energies = torch.zeros(len(rivals), steps + 1, dtype=torch.float64)
        for k, (alpha, mu) in enumerate(rivals.values()):
            w, v = torch.ones_like(h), torch.zeros_like(h)
            for t in range(steps + 1):
                energies[k, t] = (h * w**2).sum() / 2
                v = mu * v - alpha * h * w
                w = w + v
        for name, run, step in zip(rivals, energies, settled(energies, 1e-6).tolist(), strict=True):
            ax.semilogy(run.clamp(min=1e-30), label=f"{name}: {step if step >= 0 else f'more than {steps}'}")
        ax.axhline(1e-6, color="0.6", linewidth=0.8)
        ax.set(
            xlabel="step",
            ylabel="E",
            title=f"curvatures from 1 to {high:,.0f}",
            ylim=(1e-13, None),
            xlim=(0, steps / (2 if high < 1e3 else 1)),
        )
        ax.legend(title="steps to E ≤ 10⁻⁶", fontsize=8, title_fontsize=8, loc=place)
    plt.show()

# %% [markdown]
# ## Task 9 · Written: the unit of ε
#
# *10 minutes, 3 points*
#
# A colleague trains with Adam and its usual $\varepsilon = 10^{-8}$. To keep half-precision gradients from underflowing she
# multiplies the loss by 1024. Then, for another experiment, she divides it by $10^{10}$. (a) In which unit is
# $\varepsilon$ if $E$ is in joules and $w$ in metres? (b) What changes in the path in the first case, and what in the second?
# (c) In Adadelta $\varepsilon$ stands under two roots. In which unit would each have to be? Five sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-epsilon", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# (a) √ĝ and ε are added, so ε is in the unit of the gradient, J/m. [1 point]
#
# (b) Times 1024: v̂ and √ĝ grow by the same factor, and ε matters even less than before, so the path is the same where
# gradients are well above 10⁻⁸. Divided by 10¹⁰: typical gradients are now below ε, the step is about α v̂/ε, and Adam has
# become momentum with a rate of α/ε: its steps shrink with the gradient, and coordinates are no longer treated alike. [1
# point]
#
# (c) Beside g it is in (J/m)², beside d in m²: one number cannot be both, and the second sets the length of the first
# steps. [1 point]

# %% [markdown]
# ## Task 10 · Written: "our optimizer is better"
#
# *10 minutes, 3 points*
#
# A report compares a new optimizer with SGD, Adam and RMSProp. All four run with $\alpha = 10^{-3}$, from the same start,
# once; after 1000 steps the new one has the lowest training loss. Name **three** reasons why this shows little, and for
# each say what you would do instead. Six sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-comparison", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# For example (three of these, each with its remedy: 1 point a pair):
#
# - One rate for all: α has other units in SGD than in Adam, so the same number means nothing. Search the rate of each over
#   the same number of trials, and show the result as a function of the rate.
# - One run: the spread over seeds may be larger than the difference. Run several seeds and report the spread.
# - One moment: curves cross. Compare steps (or seconds) to given levels, or whole curves, and say what a step costs.
# - Constant rates: on a noisy loss a smaller effective step has a lower floor. Give each a schedule, or compare at equal
#   floors.
# - Training loss: what counts is the error on held-out data; measure that.
# - One problem: try others, of other condition and noise, that were not used to design the optimizer.
