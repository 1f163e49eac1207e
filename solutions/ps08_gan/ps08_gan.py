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
# # Problem set 08 · The game
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/assignments/ps08_gan/ps08_gan.ipynb)
#
# Nine tasks in code (44 points) and two written answers (6 points): **50 points**, about 220 minutes. No GPU is needed.
# The lecture is `notebooks/08_gan.ipynb`.
#
# | task | | minutes | points |
# |---|---|---|---|
# | 1 | The best critic, and what the game is then worth | 20 | 5 |
# | 2 | The critic's loss, from logits | 20 | 5 |
# | 3 | How steep are the two generator losses? | 15 | 3 |
# | 4 | A round of the game | 35 | 8 |
# | 5 | Players on a bilinear field | 30 | 7 |
# | 6 | Matching means and variances of features | 20 | 4 |
# | 7 | Counting modes | 20 | 4 |
# | 8 | A layer that sees the whole batch | 25 | 5 |
# | 9 | Telling the critic the label | 15 | 3 |
# | 10, 11 | Written answers | 20 | 3 + 3 |
#
# **How it works.** Replace each `raise NotImplementedError()` by your code. The cell below it checks your work and says
# what is likely wrong. After you hand in, hidden tests use other data, other shapes and extreme cases. No task needs
# another task's code, so do them in any order. You may use all of torch and the course's library; no function of the
# library solves a task.
#
# **Notation.** The critic (in the papers: the discriminator) gives each point $x$ a *logit* $a(x)$, any real number;
# the probability it gives to "real" is $D(x) = \sigma(a(x)) = 1/(1 + e^{-a(x)})$. Logarithms are natural. `(N, F)` is a
# tensor's shape.

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

import copy
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import draw
from course_lib.checks import gan as checks
from course_lib.data.toys import ring
from course_lib.losses.games import non_saturating

device, budget = course_lib.start(BUDGET, SEED, device="cpu")

# %% [markdown]
# ## Task 1 · The best critic, and what the game is then worth
#
# *20 minutes, 5 points*
#
# Real points have density $p$, generated ones have density $q$. A share $\pi$ of the points that the critic sees is
# real (`share`; the lecture has $\pi = \tfrac12$). The critic maximises, at every $x$ separately,
#
# $$\pi\, p(x) \log D(x) + (1 - \pi)\, q(x) \log(1 - D(x)) \quad\Longrightarrow\quad
#   D^*(x) = \frac{\pi\, p(x)}{\pi\, p(x) + (1 - \pi)\, q(x)}.$$
#
# In many dimensions densities underflow, so we are given their logarithms. `optimal_critic` returns $\log D^*$ and
# $\log(1 - D^*)$, each of shape `(N,)`. Both must be exact even where `log_p` is −2000 and `log_q` −3000. Where one of
# the densities is zero, its logarithm is `-inf`; this should need no special case.
#
# The value of the game is an integral. On a grid of $G$ points with quadrature weights $w_g$ it is the sum
#
# $$V = \sum_g w_g \big( p_g \log D_g + q_g \log(1 - D_g) \big).$$
#
# `game_value` computes it for **any** critic, given as `log_d` $= \log D_g$ and `log_not_d` $= \log(1 - D_g)$. A point
# that is never drawn adds nothing: $0 \cdot \log 0 = 0$.


# %% nbgrader={"grade": false, "grade_id": "optimal-critic", "locked": false, "schema_version": 3, "solution": true, "task": false}
def optimal_critic(log_p, log_q, share=0.5):
    """The best critic between known densities.

    Args:
        log_p, log_q: log density of real and of generated points, (N,); -inf where it is zero, never both at once.
        share: share of real points among those that the critic sees, between 0 and 1, both excluded.

    Returns:
        (log D*, log(1 - D*)), each (N,), at most 0.
    """
    ### BEGIN SOLUTION
    logit = log_p - log_q + math.log(share) - math.log(1 - share)  # (N,)
    return F.logsigmoid(logit), F.logsigmoid(-logit)
    ### END SOLUTION


def game_value(log_d, log_not_d, log_p, log_q, weights):
    """The value of the game, sum of weights * (p log D + q log(1 - D)), for any critic.

    Args:
        log_d, log_not_d: log D and log(1 - D) on a grid, (G,); may be -inf.
        log_p, log_q: log densities on the grid, (G,); may be -inf.
        weights: quadrature weights, (G,).

    Returns:
        V in nats, (); -inf where the critic is sure and wrong.
    """
    ### BEGIN SOLUTION
    p, q = log_p.exp(), log_q.exp()  # (G,)
    real = torch.where(p > 0, p * log_d, 0.0)  # 0 log 0 = 0
    fake = torch.where(q > 0, q * log_not_d, 0.0)
    return (weights * (real + fake)).sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "optimal-critic-values", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_optimal_critic(optimal_critic)
### BEGIN HIDDEN TESTS
for seed, n, share in ((0, 1, 0.5), (1, 7, 0.25), (2, 40, 0.9)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    log_p = 2 * torch.randn(n, generator=draws, dtype=torch.float64) - 1
    log_q = 2 * torch.randn(n, generator=draws, dtype=torch.float64)
    real, fake = share * log_p.exp(), (1 - share) * log_q.exp()
    log_d, log_not_d = optimal_critic(log_p, log_q, share)
    torch.testing.assert_close(log_d, (real / (real + fake)).log(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(log_not_d, (fake / (real + fake)).log(), rtol=1e-9, atol=1e-12)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "optimal-critic-tails", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_optimal_critic_tails(optimal_critic)
### BEGIN HIDDEN TESTS
log_p = torch.tensor([-2000.0, -3000.0, -50.0, -90.0, 0.0, -math.inf], dtype=torch.float64)
log_q = torch.tensor([-3000.0, -2000.0, 0.0, -20.0, -math.inf, -3.0], dtype=torch.float64)
small = torch.tensor([-1000.0, -1000.0, -50.0, -70.0, -math.inf, -math.inf], dtype=torch.float64)
# Which of the two comes first, a lost share and the precision were tested above; here, only that nothing underflows.
pair = torch.stack([torch.as_tensor(part).double() for part in optimal_critic(log_p, log_q)])
torch.testing.assert_close(pair.min(0).values, small, rtol=0, atol=0.8)
torch.testing.assert_close(pair.max(0).values, torch.zeros_like(small), rtol=0, atol=1e-9)
draws = torch.Generator().manual_seed(checks.fresh(6))
log_p = -3000 + 2000 * torch.rand(8, generator=draws, dtype=torch.float64)
gap = 40 + 900 * torch.rand(8, generator=draws, dtype=torch.float64)
log_q = log_p + gap * (1 - 2 * torch.randint(2, (8,), generator=draws))
pair = torch.stack([torch.as_tensor(part).double() for part in optimal_critic(log_p, log_q)])
torch.testing.assert_close(pair.min(0).values, -gap, rtol=0, atol=0.8)
torch.testing.assert_close(pair.max(0).values, torch.zeros_like(gap), rtol=0, atol=1e-9)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "game-value", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_game_value(game_value)
### BEGIN HIDDEN TESTS
draws = torch.Generator().manual_seed(checks.fresh(3))
log_p, log_q, logit = torch.randn(3, 50, generator=draws, dtype=torch.float64)
weights = torch.rand(50, generator=draws, dtype=torch.float64)
expected = (weights * (log_p.exp() * torch.sigmoid(logit).log() + log_q.exp() * torch.sigmoid(-logit).log())).sum()
torch.testing.assert_close(game_value(F.logsigmoid(logit), F.logsigmoid(-logit), log_p, log_q, weights), expected)
# Nothing in common: the best critic is always right, V = 0. A critic that is sure and wrong: V = -inf.
log_p, log_q = torch.tensor([0.0, -math.inf]), torch.tensor([-math.inf, 0.0])
ones = torch.ones(2)
assert game_value(log_p, log_q, log_p, log_q, ones) == 0
assert game_value(log_q, log_p, log_p, log_q, ones) == -math.inf
assert torch.as_tensor(game_value(log_p, log_q, log_p, log_q, ones)).shape == ()
### END HIDDEN TESTS

# %% [markdown]
# With $\pi = \tfrac12$ the value at the best critic is $-\log 4 + 2\,\mathrm{JSD}(p, q)$: between $-\log 4$ (no
# difference) and 0 (nothing in common). Move one Gaussian away from another and watch: beyond some six standard
# deviations the curve is flat, and a generator that descends it learns nothing.

# %%
with checks.when_done("Task 1"):
    grid = torch.linspace(-20, 20, 2001, dtype=torch.float64)  # (G,)
    weights = torch.full_like(grid, 40 / 2000)
    shifts, values = torch.linspace(0, 8, 41), []
    log_p = torch.distributions.Normal(-4.0, 1.0).log_prob(grid)
    for shift in shifts:
        log_q = torch.distributions.Normal(-4.0 + shift, 1.0).log_prob(grid)
        values.append(float(game_value(*optimal_critic(log_p, log_q), log_p, log_q, weights)))
    ax = draw.curves(
        {"V": values}, x=shifts, xlabel="distance of the means, in σ", ylabel="V at the best critic (nats)"
    )
    ax.axhline(-math.log(4), color="gray", linestyle=":")
    ax.set_title("from −log 4 to 0, and then flat")
    plt.show()

# %% [markdown]
# ## Task 2 · The critic's loss, from logits
#
# *20 minutes, 5 points*
#
# With *soft targets* the critic is told that a real point is real with probability $t_r$ (`real_target`) and a
# generated one with probability $t_f$ (`fake_target`); $t_r = 1, t_f = 0$ is the ordinary game. The cross-entropy of a
# logit $a$ with a target $t$ is
#
# $$\ell(a, t) = -t \log \sigma(a) - (1 - t) \log(1 - \sigma(a)).$$
#
# Real points may also carry weights $w_i \ge 0$, which need not add up to 1 (AdaGAN gives more weight to points that
# are not covered yet):
#
# $$L = \frac{\sum_{i=1}^{N} w_i\, \ell(r_i, t_r)}{\sum_{i=1}^{N} w_i} + \frac{1}{M} \sum_{j=1}^{M} \ell(f_j, t_f).$$
#
# $N$ and $M$ may differ. The loss must be exact at logits of ±1000, where `torch.sigmoid` has rounded to 0 or 1.


# %% nbgrader={"grade": false, "grade_id": "critic-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def critic_loss(real_logits, fake_logits, real_target=1.0, fake_target=0.0, real_weights=None):
    """The critic's cross-entropy with soft targets and weighted real points.

    Args:
        real_logits: r, (N,). fake_logits: f, (M,).
        real_target, fake_target: probability of "real" that the critic is told, in [0, 1].
        real_weights: w, (N,), non-negative, not all zero; None weighs all alike.

    Returns:
        L in nats, ().
    """

    ### BEGIN SOLUTION
    def cross_entropy(logits, target):  # softplus(a) = -log(1 - sigmoid(a)) = a - log sigmoid(a)
        return F.softplus(logits) - target * logits

    real = cross_entropy(real_logits, real_target)  # (N,)
    real = real.mean() if real_weights is None else (real_weights * real).sum() / real_weights.sum()
    return real + cross_entropy(fake_logits, fake_target).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "critic-loss-plain", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_critic_loss(critic_loss)
### BEGIN HIDDEN TESTS
for seed, n, m in ((0, 1, 1), (1, 5, 12), (2, 64, 3)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    real, fake = 3 * torch.randn(n, generator=draws), 3 * torch.randn(m, generator=draws)
    expected = -torch.sigmoid(real.double()).log().mean() - (1 - torch.sigmoid(fake.double())).log().mean()
    loss = critic_loss(real, fake)
    torch.testing.assert_close(loss, expected.float(), rtol=1e-4, atol=1e-5)
real.requires_grad_()
critic_loss(real, fake).backward()
torch.testing.assert_close(real.grad, -torch.sigmoid(-real.detach()) / len(real))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "critic-loss-targets", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_critic_loss_targets(critic_loss)
### BEGIN HIDDEN TESTS
# The cross-entropy is linear in the target, and l(a, 0) = l(-a, 1): your own plain loss says what soft targets must give.
draws = torch.Generator().manual_seed(checks.fresh(4))
real, fake = torch.randn(6, generator=draws).double(), torch.randn(9, generator=draws).double()
assert len({round(float(critic_loss(k * real, k * fake)), 6) for k in (1, 2, 3)}) > 1, "the same whatever the logits"
for t_r, t_f in ((0.9, 0.0), (0.7, 0.2), (0.0, 1.0), (1.0, 0.1)):
    expected = t_r * (1 - t_f) * critic_loss(real, fake) + (1 - t_r) * (1 - t_f) * critic_loss(-real, fake)
    expected = expected + t_r * t_f * critic_loss(real, -fake) + (1 - t_r) * t_f * critic_loss(-real, -fake)
    torch.testing.assert_close(critic_loss(real, fake, t_r, t_f), expected, rtol=1e-6, atol=1e-8)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "critic-loss-weights", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_critic_loss_weights(critic_loss)
### BEGIN HIDDEN TESTS
# Your own plain loss of each real point alone says what the weighted mean must be; a common factor changes nothing.
draws = torch.Generator().manual_seed(checks.fresh(5))
real, fake = torch.randn(5, generator=draws).double(), torch.randn(5, generator=draws).double()
weights = 3 * torch.rand(5, generator=draws, dtype=torch.float64)
weights[1] = 0.0
alone = torch.stack([critic_loss(point, fake) for point in real.split(1)])
assert alone.std() > 1e-6, "the same whatever the real point"
for factor in (1.0, 0.01, 50.0):
    loss = critic_loss(real, fake, real_weights=factor * weights)
    torch.testing.assert_close(loss, (weights * alone).sum() / weights.sum())
torch.testing.assert_close(critic_loss(real[:1], fake, real_weights=4 * weights[:1]), alone[0])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "critic-loss-huge", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_critic_loss_huge(critic_loss)
### BEGIN HIDDEN TESTS
# A constant, a factor, a sign and swapped targets were tested above: on one side of 0 the loss must grow with the logit.
zero = torch.zeros(1)
draws = torch.Generator().manual_seed(checks.fresh(7))
for size in (100.0, 1000.0, 1e4, 200 + 1000 * float(torch.rand((), generator=draws))):
    for which in (0, 1):
        growth = 0.0
        for sign in (-1.0, 1.0):
            logits = [torch.zeros(1, requires_grad=True) for _ in range(2)]
            logits[which] = torch.tensor([sign * size], requires_grad=True)
            loss = critic_loss(*logits)
            assert torch.isfinite(loss)
            growth += abs(float((loss - critic_loss(zero, zero)).detach()))
            if loss.requires_grad:
                loss.backward()
            assert all(a.grad is None or torch.isfinite(a.grad).all() for a in logits)
        assert 0.3 * size < growth < 2.1 * size, "the loss of a sure and wrong critic is about the size of its logit"
assert torch.isfinite(critic_loss(torch.tensor([1000.0]), torch.tensor([-1000.0])))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3 · How steep are the two generator losses?
#
# *15 minutes, 3 points*
#
# A generated point with logit $a$ costs the generator
#
# $$\ell_{\text{sat}}(a) = \log(1 - \sigma(a)) \qquad\text{or}\qquad \ell_{\text{non}}(a) = -\log \sigma(a).$$
#
# Derive both slopes $\mathrm{d}\ell/\mathrm{d}a$ on paper and return them for each logit, **without** a mean over the
# batch. They must keep their *relative* accuracy for logits of ±50 (there $1 - \sigma(50)$ rounds to 0, while the slope
# is about $10^{-22}$), and hold no NaN at ±1000.


# %% nbgrader={"grade": false, "grade_id": "generator-slopes", "locked": false, "schema_version": 3, "solution": true, "task": false}
def generator_slopes(fake_logits):
    """The slopes of the two generator losses in the logit.

    Args:
        fake_logits: a, (M,).

    Returns:
        (saturating, non_saturating): d/da log(1 - sigmoid(a)) and d/da [-log sigmoid(a)], each (M,).
    """
    ### BEGIN SOLUTION
    return -torch.sigmoid(fake_logits), -torch.sigmoid(-fake_logits)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "slopes-saturating", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_saturating_slope(generator_slopes)
### BEGIN HIDDEN TESTS
for seed, n in ((0, 1), (1, 30)):
    a = (3 * torch.randn(n, generator=torch.Generator().manual_seed(checks.fresh(seed)))).double().requires_grad_()
    (expected,) = torch.autograd.grad((1 - torch.sigmoid(a)).log().sum(), a)
    torch.testing.assert_close(generator_slopes(a.detach())[0], expected, rtol=1e-7, atol=1e-10)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "slopes-non-saturating", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_non_saturating_slope(generator_slopes)
### BEGIN HIDDEN TESTS
for seed, n in ((0, 1), (1, 30)):
    a = (3 * torch.randn(n, generator=torch.Generator().manual_seed(checks.fresh(seed)))).double().requires_grad_()
    (expected,) = torch.autograd.grad(-torch.sigmoid(a).log().sum(), a)
    torch.testing.assert_close(generator_slopes(a.detach())[1], expected, rtol=1e-7, atol=1e-10)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "slopes-tails", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_slope_tails(generator_slopes)
### BEGIN HIDDEN TESTS
# Signs, factors and the order of the two were tested above: here the smaller one must fall by e^10 each time.
shift = 10 * torch.rand(1, generator=torch.Generator().manual_seed(checks.fresh(2)))
for a in (torch.tensor([40.0, 50.0, 60.0]), torch.tensor([-40.0, -50.0, -60.0]) - shift):
    pair = torch.stack([torch.as_tensor(slopes).abs() for slopes in generator_slopes(a)])
    smaller = pair.min(0).values
    assert (smaller > 0).all()
    torch.testing.assert_close(smaller[1:] / smaller[:-1], torch.full((2,), math.exp(-10)), rtol=1e-3, atol=0)
assert all(torch.isfinite(slopes).all() for slopes in generator_slopes(torch.tensor([-1000.0, 1000.0])))
### END HIDDEN TESTS

# %%
with checks.when_done("Task 3"):
    logits = torch.linspace(-8, 8, 201)
    saturating_slope, non_saturating_slope = generator_slopes(logits)
    _, ax = plt.subplots(figsize=(5.2, 3.0))
    ax.plot(logits, saturating_slope, label="saturating")
    ax.plot(logits, non_saturating_slope, label="non-saturating")
    ax.set(xlabel="logit of a generated point", ylabel="slope of the generator's loss")
    ax.set_title("the critic is sure on the left: who still learns?")
    ax.legend()
    plt.show()

# %% [markdown]
# ## Task 4 · A round of the game
#
# *35 minutes, 8 points*
#
# A `Duel` holds both networks and an optimizer (plain SGD) for each. `critic(x)` returns logits `(N,)`. The two
# formulas are given: `non_saturating.critic(real_logits, fake_logits)` and `non_saturating.generator(fake_logits)`,
# each `()`. What is left to you is *who moves when*:
#
# - `critic_turn(real, z)`: the critic moves once, on `real` and on the points that the generator makes of the noise `z`
#   `(N, Z)`. Real and generated points pass the critic in **two** calls (with batch normalisation it matters). The
#   generator must stay bitwise the same, and no gradient may be left in it.
# - `generator_turn(z)`: the generator moves once; the critic stays bitwise the same.
# - `round(reals, zs, rest_below)`: up to $k$ = `len(reals)` critic turns, turn $i$ on `reals[i]` and `zs[i]`, then one
#   generator turn on the last noise `zs[k]`. *Slowing the critic down*: as soon as a turn's loss lies below
#   `rest_below`, the critic rests, and the remaining turns of this round are left out.
#
# Gradients left over from anything that happened before a turn must not change it. A turn returns its loss **before**
# the move, detached, `()`.


# %% nbgrader={"grade": false, "grade_id": "duel", "locked": false, "schema_version": 3, "solution": true, "task": false}
class Duel:
    """A generator and a critic that take turns."""

    def __init__(self, generator, critic, learning_rate=0.1):
        self.generator, self.critic = generator, critic
        self.generator_opt = torch.optim.SGD(generator.parameters(), lr=learning_rate)
        self.critic_opt = torch.optim.SGD(critic.parameters(), lr=learning_rate)

    def critic_turn(self, real, z):
        """The critic moves once on real points (N, ...) and noise z (N, Z). Returns its loss, detached, ()."""
        ### BEGIN SOLUTION
        fake = self.generator(z).detach()  # (N, ...)
        loss = non_saturating.critic(self.critic(real), self.critic(fake))
        self.critic_opt.zero_grad()
        loss.backward()
        self.critic_opt.step()
        return loss.detach()
        ### END SOLUTION

    def generator_turn(self, z):
        """The generator moves once on noise z (N, Z). Returns its loss, detached, ()."""
        ### BEGIN SOLUTION
        loss = non_saturating.generator(self.critic(self.generator(z)))
        self.generator_opt.zero_grad()
        loss.backward()
        self.generator_opt.step()
        return loss.detach()
        ### END SOLUTION

    def round(self, reals, zs, rest_below=-math.inf):
        """Up to len(reals) critic turns, then one generator turn.

        Args:
            reals: list of k batches (N, ...). zs: list of k + 1 batches of noise (N, Z); the last is the generator's.
            rest_below: after a critic turn whose loss is below this, the critic's other turns are left out.

        Returns:
            {"critic": mean loss of the critic turns taken, (), "generator": its loss, (), "turns": critic turns taken}.
        """
        ### BEGIN SOLUTION
        losses = []
        for real, z in zip(reals, zs[:-1], strict=True):
            losses.append(self.critic_turn(real, z))
            if losses[-1] < rest_below:
                break
        generator = self.generator_turn(zs[-1])
        return {"critic": torch.stack(losses).mean(), "generator": generator, "turns": len(losses)}
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "duel-critic", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_critic_turn(Duel)


### BEGIN HIDDEN TESTS
def parameters_of(network):
    return [parameter.detach().clone() for parameter in network.parameters()]


def normalised(seed):
    """A generator and a critic with batch normalisation, in double precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(checks.fresh(seed))
        generator = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 3))
        critic = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.LeakyReLU(0.2), nn.Linear(6, 1), nn.Flatten(0))
    return generator.double(), critic.double()


generator, critic = normalised(11)
duel = Duel(copy.deepcopy(generator), copy.deepcopy(critic), learning_rate=0.3)
draws = torch.Generator().manual_seed(checks.fresh(12))
for _ in range(3):
    real = 1 + torch.randn(9, 3, generator=draws, dtype=torch.float64)
    z = torch.randn(9, 2, generator=draws, dtype=torch.float64)
    parameters = list(critic.parameters())
    loss = F.softplus(-critic(real)).mean() + F.softplus(critic(generator(z).detach())).mean()
    expected = [p - 0.3 * g for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True)]
    got = duel.critic_turn(real, z)
    assert not got.requires_grad
    torch.testing.assert_close(got, loss.detach())
    torch.testing.assert_close(parameters_of(duel.critic), expected)
    assert all(torch.equal(a, b) for a, b in zip(parameters_of(duel.generator), parameters_of(generator), strict=True))
    assert all(p.grad is None or not p.grad.any() for p in duel.generator.parameters())
    with torch.no_grad():
        for parameter, moved in zip(parameters, expected, strict=True):
            parameter.copy_(moved)
# What a generator turn leaves behind does not enter the next critic turn.
generator, critic = checks.networks(checks.fresh(13))
twins = [Duel(copy.deepcopy(generator), copy.deepcopy(critic)) for _ in range(2)]
real = torch.randn(1, 2, generator=draws, dtype=torch.float64)  # a batch of one
z = torch.randn(1, 3, generator=draws, dtype=torch.float64)
for p in twins[1].critic.parameters():
    p.grad = torch.ones_like(p)
for duel in twins:
    duel.critic_turn(real, z)
assert all(torch.equal(a, b) for a, b in zip(*(parameters_of(duel.critic) for duel in twins), strict=True))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "duel-generator", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_generator_turn(Duel)
### BEGIN HIDDEN TESTS
generator, critic = checks.networks(checks.fresh(21))
duel = Duel(copy.deepcopy(generator), copy.deepcopy(critic), learning_rate=0.3)
draws = torch.Generator().manual_seed(checks.fresh(22))
for n in (6, 1, 6):
    z = torch.randn(n, 3, generator=draws, dtype=torch.float64)
    parameters = list(generator.parameters())
    loss = F.softplus(-critic(generator(z))).mean()
    expected = [p - 0.3 * g for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True)]
    got = duel.generator_turn(z)
    assert not got.requires_grad
    torch.testing.assert_close(got, loss.detach())
    torch.testing.assert_close([p.detach() for p in duel.generator.parameters()], expected)
    assert all(torch.equal(a, b) for a, b in zip(duel.critic.parameters(), critic.parameters(), strict=True))
    assert all(p.requires_grad for p in duel.critic.parameters())
    with torch.no_grad():
        for parameter, moved in zip(parameters, expected, strict=True):
            parameter.copy_(moved)
# Gradients that were left in the generator do not enter its turn.
twins = [Duel(copy.deepcopy(generator), copy.deepcopy(critic)) for _ in range(2)]
for p in twins[1].generator.parameters():
    p.grad = torch.ones_like(p)
for duel in twins:
    duel.generator_turn(z)
assert all(
    torch.equal(a, b) for a, b in zip(twins[0].generator.parameters(), twins[1].generator.parameters(), strict=True)
)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "duel-round", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_round(Duel)


### BEGIN HIDDEN TESTS
# Against your own turns, in the right order: a mistake in a turn was tested above.
def turns_of(duel, reals, zs, rest_below):
    losses = []
    for real, z in zip(reals, zs[:-1], strict=True):
        losses.append(duel.critic_turn(real, z))
        if losses[-1] < rest_below:
            break
    return {"critic": sum(losses) / len(losses), "generator": duel.generator_turn(zs[-1]), "turns": len(losses)}


def fresh_duel():
    return Duel(copy.deepcopy(generator), copy.deepcopy(critic), learning_rate=0.5)


def draw_round(k):
    reals = torch.randn(k, 8, 2, generator=draws, dtype=torch.float64) + 2
    return list(reals), list(torch.randn(k + 1, 8, 3, generator=draws, dtype=torch.float64))


def draw_rest(k):
    """A round of k turns and a bound that the loss first falls below in between, when its mean so far does not."""
    for _ in range(10):
        (reals, zs), duel = draw_round(k), fresh_duel()
        losses = [float(duel.critic_turn(real, z)) for real, z in zip(reals, zs[:-1], strict=True)]
        for turn in range(1, k - 1):
            before = min(losses[:turn])
            if losses[turn] < before:
                return reals, zs, 0.75 * losses[turn] + 0.25 * before
    return reals, zs, 1.0  # never in ten rounds: then the turns were wrong


generator, critic = checks.networks(checks.fresh(31))
draws = torch.Generator().manual_seed(checks.fresh(32))
ours, theirs = fresh_duel(), fresh_duel()
again = [(*draw_round(1), -math.inf) for _ in range(2)]  # these two rounds follow each other, with the same duel
for reals, zs, rest in (*again, (*draw_round(4), -math.inf), (*draw_round(3), 100.0), draw_rest(5)):
    if len(reals) > 1:
        ours, theirs = fresh_duel(), fresh_duel()
    expected, got = turns_of(ours, reals, zs, rest), theirs.round(reals, zs, rest)
    assert int(got["turns"]) == expected["turns"]
    torch.testing.assert_close(torch.as_tensor(got["critic"]), torch.as_tensor(expected["critic"]))
    torch.testing.assert_close(torch.as_tensor(got["generator"]), torch.as_tensor(expected["generator"]))
    for network in ("generator", "critic"):
        a, b = getattr(ours, network).parameters(), getattr(theirs, network).parameters()
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5 · Players on a bilinear field
#
# *30 minutes, 7 points*
#
# Two players share $f(x, y) = x^\top A\, y$ with $x \in \mathbb R^n$, $y \in \mathbb R^m$ and $A$ of shape `(n, m)`.
# The first chooses $x$ to make $f$ small, the second chooses $y$ to make it large. The *pulls* are the directions in
# which they want to go,
#
# $$u(x, y) = -\frac{\partial f}{\partial x}, \qquad v(x, y) = +\frac{\partial f}{\partial y}.$$
#
# Write `bilinear_pulls`, and three ways to move. Each takes `pulls`, a function `(x, y) -> (u, v)` that the tests give
# you (so a wrong `bilinear_pulls` costs you nothing here), and a rate $\eta$ (`eta`), and returns the new $(x', y')$
# **without changing** the tensors that it was given:
#
# - *simultaneous*: $x' = x + \eta\, u(x, y)$, $\;y' = y + \eta\, v(x, y)$;
# - *alternating*: $x$ moves first, and $y$ reacts to where $x$ now is: $y' = y + \eta\, v(x', y)$;
# - *extragradient* (Korpelevich 1976): both look ahead by a simultaneous move to $(\bar x, \bar y)$, then move **from
#   where they stood** by the pulls found there: $x' = x + \eta\, u(\bar x, \bar y)$, $\;y' = y + \eta\, v(\bar x, \bar
#   y)$.
#
# `running_mean` gets a path $z_0, z_1, \dots$ as the rows of a `(T, n)` tensor and returns $\bar z_t = \frac{1}{t + 1}
# \sum_{s \le t} z_s$, `(T, n)`.


# %% nbgrader={"grade": false, "grade_id": "players", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bilinear_pulls(A, x, y):
    """Where the players of f = x^T A y want to go: A (n, m), x (n,), y (m,) -> (u (n,), v (m,))."""
    ### BEGIN SOLUTION
    return -(A @ y), A.T @ x
    ### END SOLUTION


def simultaneous(pulls, x, y, eta):
    """Both move at once: (x', y')."""
    ### BEGIN SOLUTION
    u, v = pulls(x, y)
    return x + eta * u, y + eta * v
    ### END SOLUTION


def alternating(pulls, x, y, eta):
    """x moves, then y reacts: (x', y')."""
    ### BEGIN SOLUTION
    x = x + eta * pulls(x, y)[0]
    return x, y + eta * pulls(x, y)[1]
    ### END SOLUTION


def extragradient(pulls, x, y, eta):
    """Both look ahead, then move from where they stood: (x', y')."""
    ### BEGIN SOLUTION
    u, v = pulls(x, y)
    u, v = pulls(x + eta * u, y + eta * v)
    return x + eta * u, y + eta * v
    ### END SOLUTION


def running_mean(path):
    """Row t of the result is the mean of the rows 0..t: (T, n) -> (T, n)."""
    ### BEGIN SOLUTION
    count = torch.arange(1, len(path) + 1, dtype=path.dtype)
    return path.cumsum(0) / count[:, None]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "players-pulls", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_pulls(bilinear_pulls)
### BEGIN HIDDEN TESTS
for n, m in ((1, 1), (3, 2), (2, 5)):
    draws = torch.Generator().manual_seed(checks.fresh(n))
    A, x, y = (torch.randn(size, generator=draws) for size in ((n, m), (n,), (m,)))
    x.requires_grad_()
    y.requires_grad_()
    dx, dy = torch.autograd.grad(x @ A @ y, (x, y))
    u, v = bilinear_pulls(A, x.detach(), y.detach())
    torch.testing.assert_close(u, -dx)
    torch.testing.assert_close(v, dy)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "players-simultaneous", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_simultaneous(simultaneous)


### BEGIN HIDDEN TESTS
def crossed(x, y):  # the pulls of f = x y, with any shape
    return -y, x


draws = torch.Generator().manual_seed(checks.fresh(1))
(x, y), eta = 0.2 + torch.rand(2, 4, generator=draws), 0.3
size = (x**2 + y**2) * (1 + eta**2) ** 50  # the squared radius grows by 1 + eta² a step
for _ in range(50):
    x, y = simultaneous(crossed, x, y, eta)
torch.testing.assert_close(x**2 + y**2, size, rtol=1e-3, atol=0)
x, y = torch.ones(1), torch.ones(1)
simultaneous(crossed, x, y, 0.5)
assert x == 1
assert y == 1
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "players-alternating", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_alternating(alternating)
### BEGIN HIDDEN TESTS
eta = 0.4
move = torch.tensor([[1, -eta], [eta, 1 - eta**2]], dtype=torch.float64)  # its determinant is 1: a closed orbit
start = torch.randn(2, generator=torch.Generator().manual_seed(checks.fresh(2)), dtype=torch.float64)
x, y = start[:1].clone(), start[1:].clone()
for _ in range(40):
    before = x.clone(), y.clone()
    new = alternating(lambda x, y: (-y, x), x, y, eta)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])
    x, y = new
torch.testing.assert_close(torch.cat([x, y]), torch.linalg.matrix_power(move, 40) @ start)
x, y = torch.tensor([1.0, 2.0], dtype=torch.float64), 3 + start[:1].abs()
new = alternating(lambda x, y: (y.sum() * x, x.sum() * y**2), x, y, 0.1)
ahead = x * (1 + 0.1 * y)
torch.testing.assert_close(new[0], ahead)
torch.testing.assert_close(new[1], y + 0.1 * ahead.sum() * y**2)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "players-extragradient", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_extragradient(extragradient)
### BEGIN HIDDEN TESTS
eta = 0.4
move = torch.tensor([[1 - eta**2, -eta], [eta, 1 - eta**2]], dtype=torch.float64)
start = torch.randn(2, generator=torch.Generator().manual_seed(checks.fresh(3)), dtype=torch.float64)
x, y = start[:1].clone(), start[1:].clone()
for _ in range(40):
    before = x.clone(), y.clone()
    new = extragradient(lambda x, y: (-y, x), x, y, eta)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])
    x, y = new
torch.testing.assert_close(torch.cat([x, y]), torch.linalg.matrix_power(move, 40) @ start)
assert torch.cat([x, y]).norm() < start.norm() / 4
x, y = torch.tensor([1.0, 2.0], dtype=torch.float64), 3 + start[:1].abs()
new = extragradient(lambda x, y: (y.sum() * x, x.sum() * y**2), x, y, 0.1)
ahead_x, ahead_y = x * (1 + 0.1 * y), y + 0.1 * 3 * y**2
torch.testing.assert_close(new[0], x + 0.1 * ahead_y * ahead_x)
torch.testing.assert_close(new[1], y + 0.1 * ahead_x.sum() * ahead_y**2)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "players-mean", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_running_mean(running_mean)
### BEGIN HIDDEN TESTS
for rows, n in ((1, 3), (6, 1), (5, 5)):
    path = torch.randn(
        n, rows, generator=torch.Generator().manual_seed(checks.fresh(rows)), dtype=torch.float64
    ).T  # not contiguous
    before = path.clone()
    expected = torch.stack([path[: t + 1].mean(0) for t in range(rows)])
    torch.testing.assert_close(running_mean(path), expected)
    assert torch.equal(path, before)
### END HIDDEN TESTS

# %%
with checks.when_done("Task 5"):
    paths = {}
    for move in (simultaneous, alternating, extragradient):
        path = [torch.tensor([1.0, 0.0])]
        for _ in range(100):
            x, y = move(lambda x, y: bilinear_pulls(torch.ones(1, 1), x, y), path[-1][:1], path[-1][1:], 0.15)
            path.append(torch.cat([x, y]))
        paths[move.__name__] = torch.stack(path)
    means = {name: running_mean(path) for name, path in paths.items()}
    _, axes = plt.subplots(1, 3, figsize=(9.6, 3.4), sharex=True, sharey=True)
    for ax, (name, path) in zip(axes, paths.items(), strict=True):
        ax.plot(*path.T, linewidth=1, label="players")
        ax.plot(*means[name].T, linewidth=1, label="running mean")
        ax.plot(0, 0, "k+")
        ax.set_aspect("equal")
        ax.set(title=name, xlabel="x")
    axes[0].set_ylabel("y")
    axes[2].legend(loc="upper right")
    plt.show()

# %% [markdown]
# ## Task 6 · Matching means and variances of features
#
# *20 minutes, 4 points*
#
# Feature matching gives the generator a softer goal: the critic's features of generated points should have the same
# mean as those of real points. Means alone do not punish a collapsed generator, so we also match the variances, and we
# do it in several layers of the critic at once. With $\mu$ and $\sigma^2$ the mean and the variance of each feature
# over the batch,
#
# $$L = \sum_{\text{layers } l} \Big( \big\lVert \mu_l^{\text{real}} - \mu_l^{\text{fake}} \big\rVert^2 +
#   \lambda \big\lVert (\sigma_l^{\text{real}})^2 - (\sigma_l^{\text{fake}})^2 \big\rVert^2 \Big), \qquad
#   \sigma^2 = \text{mean of } (h - \mu)^2 ,$$
#
# so the variance of a single point is 0, not NaN. $\lVert d \rVert^2 = \sum_k d_k^2$ adds over features. A layer is
# `(N, F)`, or feature maps `(N, C, H, W)`: then mean and variance of each channel run over $N$, $H$ and $W$. Real and
# generated batches may differ in size. The real statistics are a target: **no gradient** may reach `real_layers`.


# %% nbgrader={"grade": false, "grade_id": "moment-matching", "locked": false, "schema_version": 3, "solution": true, "task": false}
def moment_matching(real_layers, fake_layers, variance_weight=1.0):
    """Squared distance between the means and between the variances of real and generated features.

    Args:
        real_layers: list of (N, F) or (N, C, H, W). fake_layers: the same layers, (M, F) or (M, C, H, W).
        variance_weight: lambda, at least 0.

    Returns:
        L, (); its gradient reaches the fake layers only.
    """

    ### BEGIN SOLUTION
    def moments(h):
        axes = [k for k in range(h.dim()) if k != 1]
        mean = h.mean(axes, keepdim=True)
        return mean, (h - mean).square().mean(axes)

    loss = 0.0
    for real, fake in zip(real_layers, fake_layers, strict=True):
        (real_mean, real_variance), (fake_mean, fake_variance) = moments(real.detach()), moments(fake)
        loss = loss + (real_mean - fake_mean).square().sum()
        loss = loss + variance_weight * (real_variance - fake_variance).square().sum()
    return loss
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "matching-means", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_matching_means(moment_matching)
### BEGIN HIDDEN TESTS
for seed, n, m, size in ((0, 2, 2, 4), (1, 6, 9, 5), (2, 8, 3, 1)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    real, fake = torch.randn(n, size, generator=draws), 1 + torch.randn(m, size, generator=draws)
    real.requires_grad_()
    fake.requires_grad_()
    loss = moment_matching([real], [fake], variance_weight=0.0)
    difference = (real.mean(0) - fake.mean(0)).detach()
    torch.testing.assert_close(loss.detach(), (difference**2).sum())
    loss.backward()
    assert real.grad is None or not real.grad.any(), "the real features are a target: detach them"
    torch.testing.assert_close(fake.grad, (-2 * difference / m).expand(m, size))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "matching-variances", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_matching_variances(moment_matching)
### BEGIN HIDDEN TESTS
draws = torch.Generator().manual_seed(checks.fresh(3))
for n, m, size, weight in ((7, 5, 4, 1.0), (5, 12, 1, 0.3), (4, 1, 3, 2.0)):
    real = torch.randn(n, size, generator=draws, dtype=torch.float64)
    fake = 1 + 2 * torch.randn(m, size, generator=draws, dtype=torch.float64)
    fake.requires_grad_()
    without = moment_matching([real], [fake], variance_weight=0.0)
    # A factor that was lost in the first term, and tested there, may be lost here again.
    unit = float(without.detach() / (real.mean(0) - fake.mean(0)).square().sum().detach())
    unit = unit if math.isfinite(unit) and unit > 0 else 1.0
    extra = moment_matching([real], [fake], variance_weight=weight) - without
    expected = weight * (real.var(0, correction=0) - fake.var(0, correction=0)).square().sum()
    assert any(  # where the variances happen to be all but the same, of their difference only rounding is left
        math.isclose(float(extra.detach()), scale * float(expected.detach()), rel_tol=1e-6, abs_tol=1e-9)
        for scale in (1.0, unit)
    )
    if extra.requires_grad:
        (gradient,) = torch.autograd.grad(extra, fake, retain_graph=True)
        assert torch.isfinite(gradient).all(), "also a batch of one needs a finite gradient"
        (wanted,) = torch.autograd.grad(expected, fake)
        torch.testing.assert_close(gradient * expected.detach(), wanted * extra.detach())
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "matching-layers", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_matching_layers(moment_matching)
### BEGIN HIDDEN TESTS
# Against your own loss of flat layers: a map's pixels are more points with the same features.
draws = torch.Generator().manual_seed(checks.fresh(4))
for n, m, c, h, w in ((3, 2, 4, 2, 5), (2, 5, 1, 3, 3)):
    maps = [torch.randn(k, c, h, w, generator=draws, dtype=torch.float64) + k for k in (n, m)]
    maps = [x.to(memory_format=torch.channels_last) for x in maps]
    flat = [x.permute(0, 2, 3, 1).reshape(-1, c) for x in maps]
    other = [torch.randn(k, 6, generator=draws, dtype=torch.float64) - k for k in (n, m)]
    alone = moment_matching([flat[0]], [flat[1]]), moment_matching([other[0]], [other[1]])
    assert alone[0] != 0
    torch.testing.assert_close(moment_matching([maps[0]], [maps[1]]), alone[0])
    torch.testing.assert_close(moment_matching([maps[0], other[0]], [maps[1], other[1]]), alone[0] + alone[1])
### END HIDDEN TESTS

# %% [markdown]
# ## Task 7 · Counting modes
#
# *20 minutes, 4 points*
#
# Data with known centres $c_0, \dots, c_{K-1}$ tell us what a generator has lost.
#
# - `nearest_mode` gives each sample the index of its nearest centre (Euclidean distance), or −1 where even that one is
#   farther away than `radius`. A sample at exactly `radius` still belongs. A diverged generator makes NaN: such a
#   sample belongs nowhere.
# - `mode_summary` gets such labels $\in \{-1, 0, \dots, K-1\}$ and returns three numbers: how many modes have at least
#   `least` samples; the share of good samples (label ≥ 0) among **all**; and how unevenly the good ones are spread,
#   $\mathrm{KL}(h \,\Vert\, \text{uniform}) = \sum_k h_k \log (K h_k)$ in nats, where $h_k$ is the share of mode $k$
#   among the **good** samples and $0 \log 0 = 0$. Without any good sample it is infinite.


# %% nbgrader={"grade": false, "grade_id": "modes", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nearest_mode(samples, centres, radius):
    """The mode each sample belongs to.

    Args:
        samples: (N, D). centres: (K, D). radius: a distance.

    Returns:
        (N,) int64: index of the nearest centre, or -1 where it is farther away than radius or the sample is NaN.
    """
    ### BEGIN SOLUTION
    distance = (samples[:, None] - centres[None]).norm(dim=2)  # (N, K)
    nearest, mode = distance.min(1)
    return torch.where(nearest <= radius, mode, -1)  # a comparison with NaN is false
    ### END SOLUTION


def mode_summary(labels, modes, least=1):
    """How well the modes are covered.

    Args:
        labels: (N,) int64, -1 for a sample that belongs nowhere.
        modes: K.
        least: samples that a mode needs in order to count as covered, at least 1.

    Returns:
        (covered, good, kl): an int in 0..K, a share in [0, 1], and nats in [0, log K] or math.inf.
    """
    ### BEGIN SOLUTION
    counts = torch.bincount(labels[labels >= 0], minlength=modes)  # (K,)
    covered = int((counts >= least).sum())
    good = counts.sum().item() / len(labels)
    if good == 0:
        return covered, 0.0, math.inf
    h = counts.double() / counts.sum()
    return covered, good, float(torch.xlogy(h, modes * h).sum())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "modes-nearest", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_nearest_mode(nearest_mode)
### BEGIN HIDDEN TESTS
for n, k, d, radius in ((200, 5, 3, 0.9), (1, 1, 1, 1.0), (7, 7, 2, 1.5), (20, 3, 4, 0.0)):
    draws = torch.Generator().manual_seed(checks.fresh(n))
    # Multiples of 1/64: then also |x|² - 2 x·c + |c|² is exact. Samples at which rounding could decide are left out.
    samples, centres = (torch.randn(size, d, generator=draws).mul(64).round() / 64 for size in (n, k))
    samples[-1] = centres[0]
    expected, clear = [], []
    for sample in samples:
        distances = [math.dist(sample.tolist(), centre.tolist()) for centre in centres]
        nearest, second = [*sorted(distances), math.inf][:2]
        expected.append(distances.index(nearest) if nearest <= radius else -1)
        clear.append(second - nearest > 0.01 and (nearest == 0 or abs(nearest - radius) > 0.01))
    samples, expected = samples[clear], [label for label, sure in zip(expected, clear, strict=True) if sure]
    got = nearest_mode(samples, centres, radius)
    assert got.dtype == torch.int64
    assert got.tolist() == expected
centres = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
samples = torch.tensor([[3.0, 4.0], [math.nan, 0.0], [7.0, 4.0], [5.0, 0.1], [math.inf, 0.0]])
assert nearest_mode(samples, centres, 5.0).tolist() == [0, -1, 1, -1, -1]
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "modes-covered", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_mode_counts(mode_summary)
### BEGIN HIDDEN TESTS
for labels, modes, least, expected in (
    ([0, 0, 3, -1], 4, 1, (2, 0.75)),
    ([0, 0, 3, -1], 4, 2, (1, 0.75)),
    ([-1, -1, -1], 3, 1, (0, 0.0)),
    ([2], 3, 1, (1, 1.0)),
    ([1, 1, 0, 2, 2, 2, 2, -1, -1, -1], 3, 2, (2, 0.7)),
):
    covered, good, _ = mode_summary(torch.tensor(labels), modes, least)
    assert int(covered) == expected[0]
    assert abs(float(good) - expected[1]) < 1e-6
draws = torch.Generator().manual_seed(checks.fresh(8))
for modes, least in ((7, 3), (40, 2)):
    labels = torch.randint(-1, modes, (60,), generator=draws)
    counts = [labels.tolist().count(mode) for mode in range(modes)]
    covered, good, _ = mode_summary(labels, modes, least)
    assert int(covered) == sum(count >= least for count in counts)
    assert abs(float(good) - sum(counts) / 60) < 1e-6
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "modes-evenness", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_mode_evenness(mode_summary)
### BEGIN HIDDEN TESTS
assert abs(float(mode_summary(torch.tensor([0, 1, 2, -1]), 3)[2])) < 1e-6
assert abs(float(mode_summary(torch.tensor([5, 5]), 6)[2]) - math.log(6)) < 1e-6
assert (
    abs(float(mode_summary(torch.tensor([0, 0, 0, 2, -1, -1]), 3)[2]) - (0.75 * math.log(2.25) + 0.25 * math.log(0.75)))
    < 1e-6
)
assert abs(float(mode_summary(torch.tensor([0]), 1)[2])) < 1e-6
assert float(mode_summary(torch.tensor([-1, -1]), 3)[2]) == math.inf
labels = torch.randint(-1, 9, (30,), generator=torch.Generator().manual_seed(checks.fresh(9)))
counts = [labels.tolist().count(mode) for mode in range(12)]  # three of the twelve modes have no sample
shares = [count / sum(counts) for count in counts if count]
assert abs(float(mode_summary(labels, 12)[2]) - sum(h * math.log(12 * h) for h in shares)) < 1e-6
### END HIDDEN TESTS

# %% [markdown]
# ## Task 8 · A layer that sees the whole batch
#
# *25 minutes, 5 points*
#
# A critic that judges one point at a time cannot see that all generated points are alike. Salimans et al. (2016,
# section 3.2) give it a layer that compares the points of a batch. Yours differs from theirs, and from the library's,
# in three ways: a Gaussian instead of $e^{-\lVert\cdot\rVert_1}$, a **mean over the other points** instead of a sum
# over all (so that the output does not change its scale with the batch size), and the features stay in front.
#
# `kernel` is a parameter $T$ of shape `(F, B, K)`. With features $x_i \in \mathbb R^F$,
#
# $$m_{ibk} = \sum_f x_{if} T_{fbk}, \qquad c_b(i, j) = \exp\!\Big({-\tfrac12} \sum_k (m_{ibk} - m_{jbk})^2\Big), \qquad
#   o_{ib} = \frac{1}{N - 1} \sum_{j \ne i} c_b(i, j).$$
#
# The layer maps `(N, F)` to `(N, F + B)`: the features, then $o$. A point alone in its batch has no others: its $o$ is
# 0. Start `kernel` at normal random numbers with standard deviation $1/\sqrt F$ (at zero no gradient would ever move
# it).


# %% nbgrader={"grade": false, "grade_id": "closeness", "locked": false, "schema_version": 3, "solution": true, "task": false}
class Closeness(nn.Module):
    """Features, followed by how close the other points of the batch are: (N, F) -> (N, F + B).

    Args:
        features: F. kernels: B. size: K.
    """

    def __init__(self, features, kernels, size):
        super().__init__()
        ### BEGIN SOLUTION
        self.kernel = nn.Parameter(torch.randn(features, kernels, size) / math.sqrt(features))  # (F, B, K)
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        m = torch.einsum("if,fbk->ibk", x, self.kernel)  # (N, B, K)
        squared = (m[:, None] - m[None]).square().sum(3)  # (N, N, B)
        others = 1 - torch.eye(len(x), dtype=x.dtype, device=x.device)  # (N, N)
        o = (others[..., None] * torch.exp(-squared / 2)).sum(1) / max(len(x) - 1, 1)  # (N, B)
        return torch.cat([x, o], 1)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "closeness-parameters", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_closeness_parameters(Closeness)
### BEGIN HIDDEN TESTS
for sizes in ((3, 4, 2), (50, 1, 30)):
    layer = Closeness(*sizes)
    ((name, kernel),) = layer.named_parameters()
    assert name == "kernel"
    assert tuple(kernel.shape) == sizes
    assert kernel.requires_grad
assert abs(float(kernel.detach().std()) * math.sqrt(50) - 1) < 0.15  # eight standard deviations
assert not torch.equal(Closeness(*sizes).kernel.detach(), kernel.detach()), "each layer starts elsewhere"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "closeness-values", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_closeness_values(Closeness)
### BEGIN HIDDEN TESTS
for n, f, b, k in ((2, 3, 1, 1), (6, 4, 3, 2), (5, 2, 5, 5)):
    layer = Closeness(f, b, k)
    x = torch.randn(f, n, generator=torch.Generator().manual_seed(checks.fresh(n))).T  # not contiguous
    m = (x @ layer.kernel.detach().reshape(f, b * k)).reshape(n, b, k)
    expected = torch.zeros(n, b)
    for i in range(n):
        for j in range(n):
            if i != j:
                expected[i] += torch.exp(-0.5 * (m[i] - m[j]).pow(2).sum(1)) / (n - 1)
    got = layer(x)
    torch.testing.assert_close(got[:, :f].detach(), x)
    torch.testing.assert_close(got[:, f:].detach(), expected, rtol=1e-4, atol=1e-4)
if layer.kernel.requires_grad and layer.kernel.any():  # both were tested above
    (gradient,) = torch.autograd.grad(layer(x)[:, f:].sum(), layer.kernel)
    assert gradient.any()
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "closeness-edges", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_closeness_edges(Closeness)
### BEGIN HIDDEN TESTS
layer = Closeness(3, 4, 2)
x = torch.randn(1, 3, generator=torch.Generator().manual_seed(checks.fresh(1))).requires_grad_()
alone = layer(x)
assert alone.shape[0] == 1
assert alone.count_nonzero() <= 3, "no closeness without others"
assert torch.isfinite(torch.autograd.grad(alone.sum() + x.sum(), x)[0]).all()
same = torch.ones(5, 3).requires_grad_()  # a collapsed batch
assert torch.isfinite(torch.autograd.grad(layer(same).sum() + same.sum(), same)[0]).all()
assert torch.isfinite(layer(1000 * torch.eye(3))).all()
### END HIDDEN TESTS

# %% [markdown]
# ## Task 9 · Telling the critic the label
#
# *15 minutes, 3 points*
#
# A conditional critic judges whether an image is real *and* fits its label. For convolutions the label enters as extra
# planes: `with_label` appends to images `(N, C, H, W)` one plane per class, so `(N, C + classes, H, W)`; the plane of
# the point's own class is 1 everywhere, the others are 0.
#
# If the critic only ever sees real images with their right label, it may ignore the label. So it should also be shown
# real images with a **wrong** one, as fakes. `wrong_labels` draws for each point, independently, one of the *other*
# `classes − 1` labels, all equally likely.


# %% nbgrader={"grade": false, "grade_id": "labels", "locked": false, "schema_version": 3, "solution": true, "task": false}
def with_label(images, labels, classes):
    """Append the label as planes: images (N, C, H, W), labels (N,) int64 -> (N, C + classes, H, W), dtype of images."""
    ### BEGIN SOLUTION
    n, _, h, w = images.shape
    planes = F.one_hot(labels, classes).to(images)[:, :, None, None]  # (N, classes, 1, 1)
    return torch.cat([images, planes.expand(n, classes, h, w)], 1)
    ### END SOLUTION


def wrong_labels(labels, classes):
    """For each label (N,) another one in 0..classes-1, uniformly and independently: (N,) int64. classes >= 2."""
    ### BEGIN SOLUTION
    return (labels + torch.randint(1, classes, labels.shape)) % classes
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "labels-planes", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_with_label(with_label)
### BEGIN HIDDEN TESTS
for n, c, h, w, classes, dtype in (
    (3, 2, 4, 5, 4, torch.float32),
    (1, 1, 1, 1, 1, torch.float64),
    (4, 3, 2, 4, 4, torch.float32),
):
    draws = torch.Generator().manual_seed(checks.fresh(n))
    images = torch.randn(n, c, w, h, generator=draws, dtype=dtype).transpose(2, 3)  # not contiguous
    labels = torch.randint(max(1, classes - 1), (n,), generator=draws)  # the last class does not occur
    before = images.clone()
    got = with_label(images, labels, classes)
    assert got.shape == (n, c + classes, h, w)
    assert got.dtype == dtype
    assert torch.equal(got[:, :c], before)
    for i in range(n):
        for k in range(classes):
            assert (got[i, c + k] == float(labels[i] == k)).all()
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "labels-wrong", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_wrong_labels(wrong_labels)
### BEGIN HIDDEN TESTS
for classes in (2, 3, 10):
    labels = torch.arange(classes).repeat_interleave(3000)
    before = labels.clone()
    wrong = wrong_labels(labels, classes)
    assert wrong.dtype == torch.int64
    assert torch.equal(labels, before)
    assert (wrong != labels).all()
    table = torch.bincount(labels * classes + wrong, minlength=classes**2).reshape(classes, classes) / 3000
    expected = (1 - torch.eye(classes)) / (classes - 1)
    assert (table - expected).abs().max() < 0.06  # six standard deviations
assert not torch.equal(wrong_labels(labels, classes), wrong), "drawn anew at each call"
assert len(set(((wrong - labels) % classes)[:50].tolist())) > 1, "each point draws for itself"
### END HIDDEN TESTS

# %% [markdown]
# ## All together
#
# Your `Duel` on a ring of eight Gaussians (radius 2, standard deviation 0.05), watched by your mode counter. Nothing to
# hand in here; before you run it, guess how many modes it will find and whether they will stay found. Then try two
# critic turns a round, or a critic with your `Closeness` layer.


# %%
def play(rounds, critic_turns=1, n=128):
    """Train a Duel on the ring; returns samples (n, 2) and the summaries along the way."""
    mixture = ring(8)
    generator = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    critic = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    duel = Duel(generator, nn.Sequential(critic, nn.Flatten(0)))
    duel.generator_opt = torch.optim.Adam(duel.generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    duel.critic_opt = torch.optim.Adam(duel.critic.parameters(), lr=1e-3, betas=(0.5, 0.999))
    steps, covered, good = [], [], []
    for i in range(1, rounds + 1):
        reals = [mixture.sample(n)[0] for _ in range(critic_turns)]
        duel.round(reals, list(torch.randn(critic_turns + 1, n, 4)))
        if i % max(1, rounds // 20) == 0:
            with torch.no_grad():
                samples = duel.generator(torch.randn(500, 4))
            summary = mode_summary(nearest_mode(samples, mixture.means, 0.15), 8, least=5)
            steps.append(i)
            covered.append(summary[0] / 8)
            good.append(summary[1])
    return samples, {"step": steps, "modes covered": covered, "good samples": good}


with checks.when_done("Tasks 4 and 7"):
    samples, history = play(budget.pick(smoke=20, laptop=1500))
    _, axes = plt.subplots(1, 2, figsize=(8.4, 3.4))
    draw.curves(history, xlabel="round", ylabel="share", title="what your counter sees", ax=axes[0])
    draw.points(ring(8).sample(500)[0], samples, title="samples after the last round", limit=3.4, ax=axes[1])
    axes[1].legend(markerscale=3, loc="upper right")
    plt.show()

# %% [markdown]
# ## Task 10 · Written: a loss that says nothing
#
# *10 minutes, 3 points*
#
# Early in training the critic tells all generated points apart: their logits are about −20. What are then (a) the
# *value* of the saturating loss, (b) the sizes of the slopes of the saturating and of the non-saturating loss? (c) Both
# losses want the same thing of each single point: why, and what differs? Five sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-saturation", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# (a) log(1 − σ(−20)) ≈ −2·10⁻⁹: almost 0, which is the largest value it has, so the generator is doing as badly as it
# can. [1 point]
#
# (b) The saturating slope is −σ(−20) ≈ −2·10⁻⁹, the non-saturating one −σ(20) ≈ −1: the first generator stands still,
# the second moves. [1 point]
#
# (c) Both slopes are negative, so both push each logit up, along the same gradient ∂a/∂θ; what differs is how much each
# point counts in the batch: −σ(a) listens to the points that already fool the critic, −σ(−a) to those that do not. [1
# point]

# %% [markdown]
# ## Task 11 · Written: eight modes out of eight
#
# *10 minutes, 3 points*
#
# Someone reports: "Our generator covers 8 of 8 modes of the ring, and 100 % of its samples are good." Describe **two**
# different generators that reach these numbers and have nevertheless not learned the ring, and for each say what you
# would measure to notice it. Six sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-coverage", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# For example (two of these, each with its measurement: 1½ points a pair):
#
# - Unequal shares: 93 % of the samples in one mode and 1 % in each other one. The KL of Task 7 between the histogram of
#   modes and the uniform one notices it.
# - Collapse inside the modes: eight single points, one at each centre. The variance of the samples within each mode (it
#   should be σ²) notices it.
# - Memory: it repeats the training points. The distance to the nearest training point, compared with that of held-out
#   real points, notices it.
# - Wrong shape within the radius, e.g. a small circle around each centre: the likelihood of the samples, or the
#   distribution of their distances from the centre.
# - A lucky moment: modes come and go during training. Report the numbers along the run and over several seeds.
