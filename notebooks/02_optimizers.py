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
# # 02 · Practical optimization
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/notebooks/02_optimizers.ipynb)
#
# Backpropagation says in which direction the loss falls. It does not say how far to go. Every optimizer in use is an
# answer to that one question, and all of them fit on a page of code. Today we write that page.
#
# **You will be able to**
#
# - choose a learning rate from the curvature of the loss, and say what goes wrong above and below it;
# - explain why batches are used, by their variance and by their speed, and what a schedule buys;
# - derive momentum, Nesterov's method, Adagrad, RMSProp, Adadelta and Adam, each from a defect of the one before;
# - say what units a learning rate has, and which methods do not care;
# - write batch, layer and weight normalization with their backward passes, and measure what they make possible.
#
# **Time** about 100 minutes of reading and playing. Computing: about a minute at the budget `smoke`, four minutes at
# `laptop`; a GPU makes no difference, because nearly everything here has two parameters.
#
# **You need** lecture 01, means and variances, and what an eigenvalue is.

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

    address = "course_lib @ git+https://github.com/your-organisation/networks-that-generate@main"
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", address])
    import course_lib

import math
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from course_lib.data import digits
from course_lib.draw import COLOURS
from course_lib.explore import choice, explore, slider
from course_lib.outcomes import record
from course_lib.races import contours, race
from course_lib.scratch import optimizers, surfaces

device, budget = course_lib.start(BUDGET, SEED)

# %% [markdown]
# ## 1 · How far is one step?
#
# **Question.** The loss E(w) has slope ∇ = dE/dw at w. Going against the slope lowers E, if the step is short enough.
# How long may it be?
#
# Near a minimum every smooth loss is a parabola. Take the simplest, E = ½ h w²: its slope is hw, and one step of
# *gradient descent* with *learning rate* α is
#
# $$w \leftarrow w - \alpha\,\nabla = w - \alpha h w = (1 - \alpha h)\,w .$$
#
# So w is multiplied by (1 − αh) at every step. It shrinks exactly if |1 − αh| < 1, that is for
#
# $$0 < \alpha < \frac{2}{h},$$
#
# and α = 1/h hits the minimum in one step. The learning rate is an *inverse curvature*.
#
# **Predict.** h = 1. What does the sequence of w look like for α = 0.1, 1, 1.9, and 2.1?

# %%
h = 1.0
_, axes = plt.subplots(1, 4, figsize=(10.4, 2.6), sharey=True)
for ax, alpha in zip(axes, (0.1, 1.0, 1.9, 2.1), strict=True):
    w, path = 1.0, []
    for _ in range(16):
        path.append(w)
        w -= alpha * h * w
    ax.plot(path, "o-", markersize=3)
    ax.axhline(0, color="0.7", linewidth=0.8)
    ax.set(title=f"α = {alpha}:  factor {1 - alpha * h:+.1f}", xlabel="step", ylim=(-4.5, 4.5))
axes[0].set_ylabel("w")
plt.show()

# %% [markdown]
# Too small is slow, too large diverges, and in between the sign flips at every step. In one dimension the choice is
# easy. The trouble starts with the second: E = ½ (a² + κ b²) has curvature 1 along a valley and κ across it. Stability
# demands α < 2/κ, and then the progress along the valley is a factor of (1 − α) > 1 − 2/κ per step. With κ = 100 it takes
# some 50 steps to come e times nearer. κ, the ratio of the largest to the smallest curvature, is the *condition number*.

# %%
bowl = surfaces.ravine(50.0)


def walk_down(alpha, steps=40):
    w = torch.tensor(bowl.start, dtype=torch.float64)
    path = [w]
    for _ in range(steps):
        w = w - alpha * bowl.gradient(w)
        path.append(w)
    return torch.stack(path)  # (steps + 1, 2)


def draw_walk(alpha):
    path = walk_down(alpha)
    ax = contours(bowl)
    ax.plot(*path.T, "o-", color=COLOURS[1], markersize=3, linewidth=1)
    ax.set_title(f"α = {alpha:.3f}, stable below 2/κ = {2 / 50:.3f};  E = {bowl(path[-1]):.2g} at the end")


explore(draw_walk, alpha=slider(0.002, 0.042, 0.036, step=0.002, label="α"))

# %% [markdown]
# **Play.** Find the rate at which E is lowest after 40 steps. (Setting |1 − α| = |1 − ακ| gives α = 2/(1 + κ): as fast
# along as across.)

# %% [markdown]
# ## 2 · Batches
#
# **Question.** The loss is a mean over N examples, E = (1/N) Σᵢ ℓ(xᵢ, yᵢ; w). Must we see all of them to take a step?
#
# *Stochastic* gradient descent takes the gradient on one example, drawn at random (in practice: in a random order, one
# pass over which is an *epoch*). Its mean is right; its variance is that of the examples. A *mini-batch* of N_b examples
# has the mean of their gradients. Independent variances add, and a mean divides by N_b², so
#
# $$\operatorname{Var}\Bigl[\frac{1}{N_b}\sum_{i=1}^{N_b}\nabla_i\Bigr] = \frac{\operatorname{Var}[\nabla_i]}{N_b}.$$
#
# On logarithmic axes that is a line of slope −1. We measure it: logistic regression on real digits, at some fixed w.

# %%
images, labels = digits("train")
x_train = images.flatten(1).double()  # (1437, 64)
y_train = labels
torch.manual_seed(SEED)
weight = 0.1 * torch.randn(10, 64, dtype=torch.float64)


def gradient_of(weight, x, y):
    """dE/dweight of the cross-entropy of logistic regression, (10, 64)."""
    p = torch.softmax(x @ weight.T, dim=1)  # (N, 10)
    p[range(len(y)), y] -= 1
    return p.T @ x / len(x)


sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256]
full = gradient_of(weight, x_train, y_train)
spread, seconds = [], []
for size in sizes:
    errors, times = [], []
    for _ in range(400):
        chosen = torch.randint(len(x_train), (size,))
        began = time.perf_counter()
        gradient = gradient_of(weight, x_train[chosen], y_train[chosen])
        times.append(time.perf_counter() - began)
        errors.append(((gradient - full) ** 2).sum().item())
    spread.append(np.mean(errors))
    seconds.append(np.median(times))  # whatever else the computer does now and then

slope = np.polyfit(np.log(sizes), np.log(spread), 1)[0]
_, axes = plt.subplots(1, 2, figsize=(9.6, 3.2))
axes[0].loglog(sizes, spread, "o-", label="measured")
axes[0].loglog(sizes, spread[0] / np.array(sizes), "k--", linewidth=1, label="slope −1")
axes[0].set(xlabel="examples in a batch, N_b", ylabel="variance of the gradient", title=f"slope {slope:.2f}")
axes[0].legend()
axes[1].loglog(sizes, np.array(sizes) / np.array(seconds), "o-", color=COLOURS[2])
axes[1].set(xlabel="examples in a batch, N_b", ylabel="examples a second", title="why one batches at all")
plt.show()
record("slope of log variance against log batch size", slope, at_least=-1.08, at_most=-0.92)
record("examples a second, batches of 256 / of 1", seconds[0] * 256 / seconds[-1], at_least=4)

# %% [markdown]
# The left plot is a weak argument for batches: a batch of 100 costs a hundred times as much arithmetic as one example and
# makes the error of the gradient only ten times smaller. The right one is the real reason. Processors and graphics cards do many
# multiplications at once, and a batch gives them many; the hundred examples take hardly longer than one.

# %% [markdown]
# ## 3 · Schedules
#
# **Question.** With noise in the gradient, the iterate trembles for ever. How low can it get?
#
# Take E = ½ h w² once more, and let the optimizer see hw + σξ with fresh ξ of variance 1 at each step. Then
# w ← (1 − αh) w − ασξ, and the variance V of w obeys V ← (1 − αh)² V + α²σ². It settles where both sides are equal,
#
# $$V = \frac{\alpha^2\sigma^2}{1 - (1-\alpha h)^2} = \frac{\alpha\,\sigma^2}{h\,(2 - \alpha h)} .$$
#
# For small α the floor is proportional to α: a large rate comes down quickly to a high floor, a small one slowly to a low floor.
# So begin large and end small. Three usual *schedules* α[t]: constant; *piecewise* constant, ten times smaller every so
# many steps; *harmonic*, α[t] = α₀ / (⌊t/n⌋ + c). The sum of 1/t has no limit, so a harmonic rate can still walk anywhere; the
# sum of 1/t² has one, so the noise it lets in is finite
# ([Robbins and Monro 1951](https://doi.org/10.1214/aoms/1177729586)).


# %%
def constant(rate):
    return lambda step: rate


def piecewise(rate, every, factor=10.0):
    return lambda step: rate / factor ** (step // every)


def harmonic(rate, every, offset):
    return lambda step: rate / (step // every + offset)


noisy = surfaces.noisy_quadratic(4.0, noise=1.0)
starts = torch.tensor(noisy.start).repeat(400, 1)  # 400 walkers, who know nothing of each other
steps = 600
schedules = {
    "constant 0.2": constant(0.2),
    "constant 0.003": constant(0.003),
    "piecewise, from 0.2": piecewise(0.2, every=200),
    "harmonic, from 0.2": harmonic(2.0, every=10, offset=10),
}
_, axes = plt.subplots(1, 2, figsize=(9.6, 3.4))
floors = {}
for name, schedule in schedules.items():
    path = surfaces.descend(
        noisy, lambda w: optimizers.SGD(w, learning_rate=0.1), starts, steps, schedule=schedule, seed=SEED
    )
    energy = noisy(path).mean(dim=1)  # (steps + 1,)
    floors[name] = energy[-50:].mean().item()
    axes[0].plot([schedule(t) for t in range(steps)], label=name)
    axes[1].plot(energy, label=f"{name}: {floors[name]:.3f}")
axes[0].set(yscale="log", xlabel="step", ylabel="α", title="schedules")
axes[1].set(yscale="log", xlabel="step", ylabel="E, mean of 400 runs", title="and where they lead")
axes[1].legend(fontsize=8)
plt.show()
alpha = 0.2
predicted = sum(0.5 * h * alpha / (h * (2 - alpha * h)) for h in (1.0, 4.0))
record("floor of constant 0.2, measured / predicted", floors["constant 0.2"] / predicted, at_least=0.9, at_most=1.1)
record("floor, harmonic / constant 0.2", floors["harmonic, from 0.2"] / floors["constant 0.2"], at_most=0.3)
record(
    "after 600 steps, harmonic / constant 0.003", floors["harmonic, from 0.2"] / floors["constant 0.003"], at_most=0.5
)

# %% [markdown]
# The large constant rate stays on the floor that the formula predicts. The small one aims for a lower floor and is still on
# its way. Both schedules beat both constants.

# %% [markdown]
# ## 4 · Momentum
#
# **Question.** In a ravine the gradient across the valley changes sign at every step, and along it never. Can the
# optimizer notice?
#
# Average the gradients: what changes sign cancels, what persists adds up. Let v be the step, and keep a share μ of it:
#
# $$v[t{+}1] = \mu\,v[t] - \alpha\,\nabla(E, w[t]), \qquad w[t{+}1] = w[t] + v[t{+}1].$$
#
# Put v[t] in terms of v[t−1], that in terms of v[t−2], and so on; with v[0] = 0
#
# $$v[t{+}1] = -\alpha \sum_{i=0}^{t} \mu^{i}\,\nabla(E, w[t-i]),$$
#
# an *exponential window*: a gradient i steps ago counts μⁱ. If the gradient is always the same, the step grows to
# −α∇ (1 + μ + μ² + …) = −α∇/(1 − μ): with μ = 0.9, ten times as long. If it changes sign at every step, the step shrinks to
# α∇/(1 + μ), about half.


# %%
class Momentum:
    """SGD with momentum, for a list of parameters whose .grad is set."""

    def __init__(self, parameters, learning_rate, momentum):
        self.parameters, self.learning_rate, self.momentum = parameters, learning_rate, momentum
        self.v = [torch.zeros_like(w) for w in parameters]

    @torch.no_grad()
    def step(self):
        for w, v in zip(self.parameters, self.v, strict=True):
            v *= self.momentum
            v -= self.learning_rate * w.grad
            w += v


valley = surfaces.ravine(100.0)
plain = surfaces.descend(valley, lambda w: Momentum(w, 0.018, 0.0), steps=150)
heavy = surfaces.descend(valley, lambda w: Momentum(w, 0.018, 0.8), steps=150)


def crossings(path):
    """How often a path crosses the bottom of the valley."""
    return int((path[1:, 1] * path[:-1, 1] < 0).sum())


_, axes = plt.subplots(1, 2, figsize=(10.4, 3.2))
for ax, path, name in zip(axes, (plain, heavy), ("μ = 0", "μ = 0.8"), strict=True):
    contours(valley, ax=ax)
    ax.plot(*path.T, ".-", color=COLOURS[1], linewidth=1, markersize=3)
    ax.set_title(f"{name}: E = {valley(path[-1]):.1e}, valley crossed {crossings(path)} times")
plt.show()
record("ravine, crossings of the valley, with momentum / without", crossings(heavy) / crossings(plain), at_most=0.6)
record("ravine, E after 150 steps, with momentum / without", valley(heavy[-1]) / valley(plain[-1]), at_most=0.01)

# %% [markdown]
# On a quadratic one can do the sums. In a direction of curvature h, (w, v) is multiplied at each step by a 2 × 2 matrix whose
# eigenvalues have product μ; where they are complex, both have size √μ, *whatever h is*. So with μ near enough to 1 every direction
# shrinks by √μ per step, and the best √μ is (√κ − 1)/(√κ + 1): about √κ steps in place of κ
# ([Polyak 1964](https://doi.org/10.1016/0041-5553(64)90137-5); played with in [Goh 2017](https://distill.pub/2017/momentum/)).
#
# **Nesterov's method.** Before the gradient is taken we know already that μv[t] will be added. So take the gradient there, where
# we are about to be: v[t+1] = μv[t] − α∇(E, w[t] + μv[t]). If the momentum is carrying us up the other side, this notices one step
# earlier.
#
# A gradient is only to be had at the parameters. So call u = w + μv the parameters. Then
# v[t+1] = μv[t] − α∇(E, u[t]) as above, and
#
# $$u[t{+}1] = w[t{+}1] + \mu v[t{+}1] = \underbrace{w[t]}_{u[t] - \mu v[t]} + v[t{+}1] + \mu v[t{+}1]
# = u[t] + \mu\,v[t{+}1] - \alpha\,\nabla(E, u[t]).$$
#
# That is how libraries have it: momentum's step, plus one more μ and one more gradient.

# %%
paths = {
    name: surfaces.descend(valley, lambda w, o=options: optimizers.SGD(w, learning_rate=0.009, **o), steps=120)
    for name, options in {
        "SGD": {},
        "momentum 0.9": {"momentum": 0.9},
        "Nesterov 0.9": {"momentum": 0.9, "nesterov": True},
    }.items()
}
race(valley, paths, frames=40)

# %% [markdown]
# **Look.** Momentum swings across like a pendulum; Nesterov's swings die out sooner, because the brake comes a step earlier.

# %% [markdown]
# ## 5 · A rate for every coordinate
#
# **Question.** The ravine lies along an axis. Could each coordinate have its own α?
#
# **Adagrad** ([Duchi, Hazan, Singer 2011](https://jmlr.org/papers/v12/duchi11a.html)) divides by how large the gradients of a
# coordinate have been; products, quotients and roots are elementwise:
#
# $$g[t{+}1] = g[t] + \nabla^2, \qquad w[t{+}1] = w[t] - \frac{\alpha}{\sqrt{g[t{+}1]} + \varepsilon}\,\nabla .$$
#
# A coordinate with gradients a hundred times larger gets steps of the same size. And g only grows: with gradients of constant
# size g ≈ t∇², so the step falls as α/√t, a schedule for free. If the start was steep, though, g remembers it for ever.
#
# **RMSProp** (Hinton, [lecture 6.5](https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf), 2012) forgets: the sum
# becomes an exponential window,
#
# $$g[t{+}1] = \mu\,g[t] + (1-\mu)\,\nabla^2 .$$
#
# **Two details that cost people days.** *The order*: with g[t] in the denominator, as one often sees it written (on this lecture's slides too), the first step
# divides by √0 + ε, and its length is α∇/ε. The papers count the present gradient first; so do we. *The ε*: √g + ε, or √(g + ε)? For
# ε = 10⁻⁸ the first keeps √g above 10⁻⁸, the second above 10⁻⁴. A value for ε means nothing without the form it is for.


# %%
class Adagrad:
    def __init__(self, parameters, learning_rate, epsilon=1e-10):
        self.parameters, self.learning_rate, self.epsilon = parameters, learning_rate, epsilon
        self.g = [torch.zeros_like(w) for w in parameters]

    @torch.no_grad()
    def step(self):
        for w, g in zip(self.parameters, self.g, strict=True):
            self.remember(g, w.grad)
            w -= self.learning_rate / (g.sqrt() + self.epsilon) * w.grad

    def remember(self, g, gradient):
        g += gradient**2


class RMSProp(Adagrad):
    decay = 0.9

    def remember(self, g, gradient):
        g *= self.decay
        g += (1 - self.decay) * gradient**2


# %%
turned = surfaces.ravine(100.0, angle=math.pi / 6)
_, axes = plt.subplots(1, 2, figsize=(10.4, 3.6))
reached = {}
for ax, surface, title in zip(axes, (valley, turned), ("ravine along an axis", "the same, turned by 30°"), strict=True):
    contours(surface, ax=ax)
    for k, (name, rule) in enumerate({"Adagrad": Adagrad, "RMSProp": RMSProp}.items()):
        path = surfaces.descend(surface, lambda w, rule=rule: rule(w, 0.4 if rule is Adagrad else 0.05), steps=150)
        ax.plot(*path.T, ".-", color=COLOURS[k], linewidth=3 - 2 * k, markersize=8 - 5 * k, label=name)
        reached[name, title] = surface(path).min().item()
    ax.set_title(title)
    ax.legend(loc="upper right")
plt.show()
record(
    "Adagrad, lowest E, axis / turned",
    reached["Adagrad", "ravine along an axis"] / reached["Adagrad", "the same, turned by 30°"],
    at_most=0.2,
)

# %% [markdown]
# Along the axis both go to the valley and down it as if it were round. Turn the ravine, and both x and y have large gradients
# across the valley: there is nothing to tell them apart by. A rate for every coordinate helps with bad *scales*, and not with
# bad *directions*.

# %% [markdown]
# ## 6 · Units
#
# **Question.** You measure w in millimetres instead of metres, or the loss in cents instead of euros. Nothing has changed
# in the world. Does your optimizer agree?
#
# Let w be in metres and E in joules. Then ∇ = dE/dw is in J/m, and whatever is added to w must be in metres.
#
# | rule | step | so α must be in |
# |---|---|---|
# | SGD | α∇ | m²/J |
# | Adagrad, RMSProp | α∇/√g, and ∇/√g is a pure number | m |
# | Newton | ∇/E″, (J/m)/(J/m²) | nothing: it comes out in m |
#
# SGD needs a new rate for new units of either; Adagrad and RMSProp only for those of w. Can one have what Newton has, without second
# derivatives? **Adadelta** ([Zeiler 2012](https://arxiv.org/abs/1212.5701)) takes the metres from where they are to be found, the
# recent steps themselves:
#
# $$s = \frac{\sqrt{d[t] + \varepsilon}}{\sqrt{g[t{+}1] + \varepsilon}}\,\nabla, \qquad w[t{+}1] = w[t] - s, \qquad
# d[t{+}1] = \mu\,d[t] + (1-\mu)\,s^2 .$$
#
# √d is a typical step in metres, √g a typical gradient, ∇/√g a pure number. No learning rate is left. (Only ε must get things going, as d
# starts at zero: √ε sets the first steps, and they are in somebody's metres.)
#
# **Predict.** We multiply E by 1000, and in a second experiment write w in millimetres. Which of SGD, RMSProp, Adadelta take the same path?

# %%
rules = {
    "SGD": lambda w: optimizers.SGD(w, learning_rate=0.005),
    "RMSProp": lambda w: optimizers.RMSProp(w, learning_rate=0.01, epsilon=1e-12),
    "Adadelta": lambda w: optimizers.Adadelta(w, epsilon=1e-12),
}


def walk(rule, energy_unit=1.0, length_unit=1.0, steps=200):
    """A path in metres and joules, although the optimizer sees other units."""
    w = (torch.tensor(bowl.start, dtype=torch.float64) * length_unit).requires_grad_()
    optimizer, path = rules[rule]([w]), []
    for _ in range(steps):
        path.append(w.detach() / length_unit)
        optimizer.zero_grad()
        (energy_unit * bowl(w / length_unit)).backward()
        optimizer.step()
    return torch.stack(path)


print(f"{'':10}{'E × 1000':>14}{'w in mm':>14}   largest distance between the two paths, in metres")
apart = {}
for rule in rules:
    usual = walk(rule)
    apart[rule] = [(walk(rule, **unit) - usual).norm(dim=1) for unit in ({"energy_unit": 1e3}, {"length_unit": 1e3})]
    apart[rule] = [value.max().item() if value.isfinite().all() else math.inf for value in apart[rule]]
    print(f"{rule:10}{apart[rule][0]:14.2g}{apart[rule][1]:14.2g}")
record("RMSProp, E × 1000: distance between the paths", apart["RMSProp"][0], at_most=1e-3)
record("RMSProp, w in mm: distance between the paths", apart["RMSProp"][1], at_least=0.5)
record("SGD, E × 1000: distance between the paths", min(apart["SGD"][0], 1e9), at_least=1e3)
record("Adadelta, E × 1000: distance between the paths", apart["Adadelta"][0], at_most=1e-3)

# %% [markdown]
# <details><summary>Answer</summary>
#
# E × 1000: RMSProp and Adadelta do not notice (but for ε); SGD flies away, since its curvature is a thousand times larger and α < 2/h. Millimetres:
# RMSProp's α = 0.01 now means 0.01 mm, and it hardly moves. SGD's curvature falls by 10⁶, and it does not move at all. Adadelta's path
# differs a little, by ε alone.
# </details>

# %% [markdown]
# ## 7 · Adam
#
# **Question.** Momentum smooths the gradient, RMSProp scales it. Why not both? And what is wrong with an average over a window
# that has only just been opened?
#
# **Adam** ([Kingma and Ba 2015](https://arxiv.org/abs/1412.6980)) keeps two windows, over the gradient and over its square:
#
# $$v[t{+}1] = \beta\,v[t] + (1-\beta)\,\nabla, \qquad g[t{+}1] = \mu\,g[t] + (1-\mu)\,\nabla^2 .$$
#
# Both start at zero. If the gradients have mean m, then after t steps
#
# $$\mathbb{E}\,v[t] = (1-\beta)\sum_{i=0}^{t-1}\beta^i\,m = (1-\beta^t)\,m ,$$
#
# too small by the factor 1 − βᵗ: the weights in the window do not yet add up to 1. Dividing by it removes the bias,
#
# $$\hat v = \frac{v[t{+}1]}{1-\beta^{t+1}}, \qquad \hat g = \frac{g[t{+}1]}{1-\mu^{t+1}}, \qquad
# w[t{+}1] = w[t] - \alpha\,\frac{\hat v}{\sqrt{\hat g} + \varepsilon} .$$
#
# The first step is then α · ∇/|∇|: every coordinate moves by exactly α.
#
# **Predict.** With the usual β = 0.9, μ = 0.999 and *no* correction, how long is the first step, in units of α? And the tenth?


# %%
class Adam:
    def __init__(self, parameters, learning_rate, betas=(0.9, 0.999), epsilon=1e-8, correct=True):
        self.parameters, self.learning_rate, self.epsilon, self.correct = parameters, learning_rate, epsilon, correct
        self.beta, self.mu = betas
        self.v = [torch.zeros_like(w) for w in parameters]
        self.g = [torch.zeros_like(w) for w in parameters]
        self.t = 0

    @torch.no_grad()
    def step(self):
        self.t += 1
        for w, v, g in zip(self.parameters, self.v, self.g, strict=True):
            v.mul_(self.beta).add_((1 - self.beta) * w.grad)
            g.mul_(self.mu).add_((1 - self.mu) * w.grad**2)
            scale_v, scale_g = (1 - self.beta**self.t, 1 - self.mu**self.t) if self.correct else (1, 1)
            w -= self.learning_rate * (v / scale_v) / ((g / scale_g).sqrt() + self.epsilon)


_, ax = plt.subplots(figsize=(6.4, 3.2))
lengths = {}
for correct, label in ((True, "with correction"), (False, "without")):
    w = torch.zeros(1, dtype=torch.float64)
    optimizer, before = Adam([w], 1.0, correct=correct), 0.0
    lengths[label] = []
    for _ in range(3000):
        w.grad = torch.ones(1, dtype=torch.float64)  # a slope that never changes
        optimizer.step()
        lengths[label].append(before - w.item())
        before = w.item()
    ax.semilogx(range(1, 3001), lengths[label], label=label)
ax.axhline(1, color="0.7", linewidth=0.8)
ax.set(xlabel="step", ylabel="length of the step / α", title="Adam on a constant slope")
ax.legend()
plt.show()
record("Adam without correction, first step / α", lengths["without"][0], at_least=3.16, at_most=3.17)
record("Adam without correction, longest step / α", max(lengths["without"]), at_least=6)
record("Adam with correction, |longest step / α − 1|", abs(max(lengths["with correction"]) - 1), at_most=1e-6)

# %% [markdown]
# <details><summary>Answer</summary>
#
# The first is (1 − β)/√(1 − μ) = 0.1/√0.001 ≈ 3.2, and then it grows: v's window of 10 steps fills long before g's of 1000. The tenth is
# (1 − 0.9¹⁰)/√(1 − 0.999¹⁰) ≈ 6.5 times α. Just at the start, when least is known, Adam without correction takes its longest steps.
# </details>
#
# The slides of this lecture have neither correction nor √g + ε; their rule is α (1 − β)/(1 − μ) · v/√(g + ε), whose fraction is a constant, 100 for the usual windows.
# It is Adam without correction at another rate. Our library class has switches for both: `Adam(..., bias_correction=False, epsilon_inside_root=True)`.

# %% [markdown]
# ## 8 · Are ours right?
#
# The classes above and those of `course_lib.scratch.optimizers`, whose `update` reads like the formulas, can be used in place of
# `torch.optim` on any module. Where torch has the same rule with the same constants, the two must agree step by step. We train a small network with both, in
# float64, and compare all parameters after each of 50 steps.

# %%
pairs = {
    "SGD": (optimizers.SGD, torch.optim.SGD, {}, {}),
    "momentum": (optimizers.SGD, torch.optim.SGD, {"momentum": 0.9}, {"momentum": 0.9}),
    "Nesterov": (
        optimizers.SGD,
        torch.optim.SGD,
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.9, "nesterov": True},
    ),
    "Adagrad": (optimizers.Adagrad, torch.optim.Adagrad, {}, {}),
    "RMSProp": (optimizers.RMSProp, torch.optim.RMSprop, {"decay": 0.99}, {"alpha": 0.99}),
    "Adadelta": (optimizers.Adadelta, torch.optim.Adadelta, {"decay": 0.9}, {"rho": 0.9}),
    "Adam": (optimizers.Adam, torch.optim.Adam, {}, {}),
    "Adam (this notebook)": (Adam, torch.optim.Adam, {}, {}),
}


def small_network():
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10)).double()


worst = {}
for name, (mine, theirs, my_options, their_options) in pairs.items():
    nets = small_network(), small_network()
    steppers = (
        mine(list(nets[0].parameters()), learning_rate=0.003, **my_options),
        theirs(nets[1].parameters(), lr=0.003, **their_options),
    )
    worst[name] = 0.0
    for k in range(50):
        chosen = slice(20 * k, 20 * k + 20)
        for net, stepper in zip(nets, steppers, strict=True):
            net.zero_grad()
            nn.functional.cross_entropy(net(x_train[chosen]), y_train[chosen]).backward()
            stepper.step()
        with torch.no_grad():
            gaps = [(a - b).abs().max().item() for a, b in zip(*(net.parameters() for net in nets), strict=True)]
        worst[name] = max(worst[name], *gaps)
    print(f"{name:22} largest difference in 50 steps: {worst[name]:.1e}")
record("ours against torch.optim, largest difference", max(worst.values()), at_most=1e-10)

# %% [markdown]
# ## 9 · Three races
#
# The slides show three animations by Alec Radford (2014): logistic regression, Beale's function, and the way out of a saddle
# point. We run our own.
#
# ### Beale's function
#
# A flat bent valley between steep walls; the minimum, E = 0, is at (3, ½). Rates were chosen per rule, out of {0.003, 0.01, 0.03, …, 1} the one that reaches
# E ≤ 0.01 soonest: a race at the same α would compare nothing but units.

# %%
RULES = {
    "SGD": lambda w, a: optimizers.SGD(w, learning_rate=a),
    "momentum": lambda w, a: optimizers.SGD(w, learning_rate=a, momentum=0.9),
    "Nesterov": lambda w, a: optimizers.SGD(w, learning_rate=a, momentum=0.9, nesterov=True),
    "Adagrad": lambda w, a: optimizers.Adagrad(w, learning_rate=a),
    "RMSProp": lambda w, a: optimizers.RMSProp(w, learning_rate=a),
    "Adadelta": lambda w, a: optimizers.Adadelta(w, learning_rate=a),
    "Adam": lambda w, a: optimizers.Adam(w, learning_rate=a),
}
RATES = (3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)


def best_run(surface, rule, level, steps, rates=RATES):
    """(steps to the level, rate, path) with the rate that reaches it soonest."""
    column = torch.tensor(rates, dtype=torch.float64)[:, None]  # a runner for each rate, all at once
    start = torch.tensor(surface.start, dtype=torch.float64).repeat(len(rates), 1)
    paths = surfaces.descend(surface, lambda w: RULES[rule](w, 0.0), start, steps, schedule=lambda step: column)
    found = []
    for rate, path in zip(rates, paths.unbind(1), strict=True):
        reached = surfaces.steps_to_level(surface, path, level)
        found.append((math.inf if reached is None else reached, rate, path))
    return min(found, key=lambda run: (run[0], surface(run[2][-1]).nan_to_num(math.inf).item()))


def table(runs):
    for name, (reached, rate, _) in runs.items():
        print(f"{name:10} α = {rate:<7g} steps to the level: {reached}")


beale_runs = {name: best_run(surfaces.beale, name, 0.01, 320) for name in RULES}
table(beale_runs)
race(surfaces.beale, {name: path[:151] for name, (_, _, path) in beale_runs.items()}, frames=40)

# %%
record("Beale: steps, SGD / Adam", min(beale_runs["SGD"][0], 320) / beale_runs["Adam"][0], at_least=2)

# %% [markdown]
# ### Leaving a saddle point
#
# E = x² − y², from (1, 0.001): a thousandth beside the ridge. Down along x is easy. Along y the slope is tiny, and plain descent multiplies it by
# (1 + 2α) per step: the rate at which one leaves a saddle is exponential, with a small exponent.
#
# **Predict.** Who leaves first, and why? And who leaves if we start *on* the ridge, at (1, 0)?

# %%
saddle_paths = {
    name: surfaces.descend(
        surfaces.saddle, lambda w, name=name: RULES[name](w, 1.0 if name == "Adadelta" else 0.02), steps=160
    )
    for name in RULES
}
left = {name: surfaces.steps_to_level(surfaces.saddle, path, -1.0) for name, path in saddle_paths.items()}
for name, steps_needed in left.items():
    print(f"{name:10} steps to E ≤ −1: {steps_needed if steps_needed is not None else 'more than 160'}")
race(surfaces.saddle, saddle_paths, frames=40)

# %%
on_the_ridge = {
    name: surfaces.descend(surfaces.saddle, lambda w, name=name: RULES[name](w, 0.02), start=(1.0, 0.0), steps=500)[-1]
    for name in RULES
}
farthest = max(abs(end[1].item()) for end in on_the_ridge.values())
shaken = surfaces.Surface("saddle with noise", surfaces.saddle.function, (1.0, 0.0), surfaces.saddle.window, noise=0.01)
with_noise = surfaces.descend(shaken, lambda w: RULES["SGD"](w, 0.02), steps=300, seed=SEED)
print(f"on the ridge, all rules, after 500 steps: |y| ≤ {farthest}")
print(f"SGD with gradient noise 0.01: E ≤ −1 after {surfaces.steps_to_level(shaken, with_noise, -1.0)} steps")
record("saddle, start on the ridge, no noise: largest |y| of all rules", farthest, at_most=0.0)
record("saddle, SGD with noise: E after 300 steps", shaken(with_noise[-1]), at_most=-1.0)
record("saddle: steps to leave, SGD / RMSProp", (left["SGD"] or 160) / left["RMSProp"], at_least=1.5)

# %% [markdown]
# RMSProp and Adadelta leave first: along y the gradient is tiny, and so is √g; their quotient is not. Adagrad leaves the ridge as
# early, but its steps shrink like α/√t, and at this rate it does not get far. On the ridge itself ∂E/∂y is exactly zero for ever, and no
# rule can find a direction that no gradient has. The noise of mini-batches can: section 2's defect is here a virtue.
#
# ### Logistic regression
#
# Real digits, 640 weights, batches of 32. Two parameters can be looked at; 640 must be judged by the loss.

# %%
x_test, y_test = digits("test")
x_test = x_test.flatten(1).double()
epochs = budget.pick(smoke=3, laptop=8)


def logistic(rule, rate, epochs):
    """The training loss after every 5 steps, and the accuracy on the test digits."""
    w = torch.zeros(10, 64, dtype=torch.float64, requires_grad=True)
    optimizer, generator, losses = RULES[rule]([w], rate), torch.Generator().manual_seed(SEED), []
    for _ in range(epochs):
        order = torch.randperm(len(x_train), generator=generator)
        for k, start in enumerate(range(0, len(order) - 31, 32)):
            chosen = order[start : start + 32]
            w.grad = gradient_of(w.detach(), x_train[chosen], y_train[chosen])
            optimizer.step()
            if k % 5 == 0:
                losses.append(nn.functional.cross_entropy(x_train @ w.detach().T, y_train).item())
    return losses, ((x_test @ w.detach().T).argmax(1) == y_test).double().mean().item()


_, ax = plt.subplots(figsize=(7.2, 3.4))
area = {}
for k, name in enumerate(RULES):
    runs = [(*logistic(name, rate, epochs), rate) for rate in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)]
    losses, accuracy, rate = min(runs, key=lambda run: np.mean(run[0]))
    area[name] = np.mean(losses)
    ax.plot(5 * np.arange(len(losses)), losses, color=COLOURS[k], label=f"{name}, α = {rate:g}: {accuracy:.1%}")
ax.set(
    yscale="log", xlabel="step", ylabel="loss on all training digits", title="logistic regression, best rate of each"
)
ax.legend(fontsize=8, loc="upper right")
plt.show()
tuned = {name: value for name, value in area.items() if name != "Adadelta"}
record(
    "logistic regression, loss on the way, worst / best of the rules with a tuned rate",
    max(tuned.values()) / min(tuned.values()),
    at_most=2.5,
)
record(
    "logistic regression, loss on the way, Adadelta / worst of the others",
    area["Adadelta"] / max(tuned.values()),
    at_least=1.3,
)

# %% [markdown]
# Six of the seven are nearly alike. Logistic regression is convex, its inputs have similar scales, and six rates were tried for each. Much of
# what is said about optimizers is said about *untuned* ones. Adadelta, whose first steps √ε makes short, is still getting up to speed:
# to have no rate to choose is not to have a good one.

# %% [markdown]
# ### Your own race

# %%
PLACES = {
    "ravine": surfaces.ravine(50.0),
    "turned ravine": surfaces.ravine(50.0, angle=math.pi / 4),
    "Beale": surfaces.beale,
    "saddle": surfaces.saddle,
    "Rosenbrock": surfaces.rosenbrock,
    "noisy bowl": surfaces.noisy_quadratic(4.0),
}


def draw_race(place, first, second, rate_1, rate_2, x, y, steps):
    surface = PLACES[place]
    left_, right_, bottom, top = surface.window
    start = (left_ + x * (right_ - left_), bottom + y * (top - bottom))
    ax = contours(surface)
    for k, (rule, rate) in enumerate(((first, 10**rate_1), (second, 10**rate_2))):
        path = surfaces.descend(surface, lambda w, rule=rule, a=rate: RULES[rule](w, a), start, steps, seed=SEED)
        end = surface(path[-1]).item()
        path = path[path.isfinite().all(dim=1)].clamp(-1e3, 1e3)
        ax.plot(
            *path.T, ".-", color=COLOURS[k], linewidth=1, markersize=3, label=f"{rule}, α = {rate:.2g}: E = {end:.2g}"
        )
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.18))


explore(
    draw_race,
    place=choice(*PLACES, start="Rosenbrock", label="surface"),
    first=choice(*RULES, start="momentum", label="blue"),
    second=choice(*RULES, start="Adam", label="orange"),
    rate_1=slider(-5.0, 0.5, -3.3, step=0.1, label="log₁₀ α, blue"),
    rate_2=slider(-5.0, 0.5, -1.0, step=0.1, label="log₁₀ α, orange"),
    x=slider(0.0, 1.0, 0.2, step=0.05, label="start, x"),
    y=slider(0.0, 1.0, 0.5, step=0.05, label="start, y"),
    steps=slider(10, 400, 150, step=10, label="steps"),
)

# %% [markdown]
# **Play.** Beat Adam on Rosenbrock's function with momentum. Make RMSProp tremble around the minimum of the ravine: how does the size of the trembling depend on α, and why does it
# not stop although there is no noise?

# %% [markdown]
# ## 10 · Layers that make the slope better
#
# **Question.** So far we accepted the surface and looked for a better way down. Can the network be built so that the surface is
# better?
#
# Suppose one input of a layer is a hundred times larger than another. Then so are the gradients of its weights, and the
# layer is a ravine. Whitening the *data* helps the first layer only; and what the others receive changes with each step of those before
# them. **Batch normalization** ([Ioffe and Szegedy 2015](https://arxiv.org/abs/1502.03167)) does it inside, after every layer, for each channel:
#
# $$\hat x = \frac{x - m}{s}, \qquad m = \operatorname{mean} x, \qquad s = \sqrt{\operatorname{mean}(x-m)^2 + \varepsilon},
# \qquad y = \gamma\,\hat x + b,$$
#
# with means over the batch; γ and b are learned, so that nothing the layer could represent before is lost.
#
# **Backward.** Let h = dz/dx̂ = γ dz/dy. One xᵢ acts on every x̂ⱼ of its channel, directly and through m and s. With n numbers in the mean,
# ∂m/∂xᵢ = 1/n and ∂s/∂xᵢ = (xᵢ − m)/(n s) = x̂ᵢ/n, so
#
# $$\frac{\partial \hat x_j}{\partial x_i} = \frac{[i = j] - 1/n}{s} - \frac{x_j - m}{s^2}\,\frac{\hat x_i}{n}
# = \frac{1}{s}\Bigl([i=j] - \frac{1}{n} - \frac{\hat x_i\,\hat x_j}{n}\Bigr).$$
#
# Multiply by hⱼ and add over j:
#
# $$\boxed{\;\frac{dz}{dx} = \frac{1}{s}\Bigl(h - \operatorname{mean} h - \hat x\,\operatorname{mean}(h\,\hat x)\Bigr)\;}$$
#
# The gradient loses its mean and its part along x̂. It must: x̂ does not change when all x are shifted or scaled together, so no gradient may
# point that way.


# %%
def normalize(x, epsilon=1e-5):
    """x̂ and s, over the first axis; x is (N, C)."""
    s = np.sqrt(((x - x.mean(0)) ** 2).mean(0) + epsilon)
    return (x - x.mean(0)) / s, s


def normalize_backward(h, x_hat, s):
    return (h - h.mean(0) - x_hat * (h * x_hat).mean(0)) / s


rng = np.random.default_rng(SEED)
x, h = rng.normal(3, 5, size=(6, 4)), rng.normal(size=(6, 4))
x_hat, s = normalize(x)
mine = normalize_backward(h, x_hat, s)
x_torch = torch.tensor(x, requires_grad=True)
nn.functional.batch_norm(x_torch, None, None, training=True).backward(torch.tensor(h))
print("dz/dx, largest difference to torch:", np.abs(mine - x_torch.grad.numpy()).max())
record("batch norm, dz/dx by hand against torch", np.abs(mine - x_torch.grad.numpy()).max(), at_most=1e-12)
record("batch norm, part of dz/dx along a common shift", np.abs(mine.sum(0)).max(), at_most=1e-12)

# %% [markdown]
# **Two faces.** In training, m and s are those of the batch. Later there may be one example, and its output must not depend on its
# neighbours; so running averages of m and s² are kept, and used as constants. Forgetting to switch (`model.eval()`) is the classic bug.
#
# **Layer normalization** ([Ba, Kiros, Hinton 2016](https://arxiv.org/abs/1607.06450)): the same formula, with means over the numbers of one example. No batch, no two
# faces. **Weight normalization** ([Salimans and Kingma 2016](https://arxiv.org/abs/1602.07868)) leaves x alone and gives each row of a matrix its length as a parameter of its own, Wₖ = ℓₖ uₖ/‖uₖ‖.
# The gradient of uₖ is at right angles to uₖ: turning and stretching are separated.
#
# `course_lib.scratch.normalization` has all three, forward and backward, in NumPy; the tests compare them with torch.
#
# ### What it buys: depth
#
# A ReLU layer whose weights are drawn 30 % too small multiplies the signal by about 0.7, and on the way back the gradient too: after 20 layers
# 0.7²⁰ ≈ 0.0008 is left of each. We train networks of growing depth on the digits, for the same number of steps, by SGD with momentum
# at the better of two rates.

# %%
NORMS = {"none": None, "batch norm": nn.BatchNorm1d, "layer norm": nn.LayerNorm}
depths = budget.pick(smoke=(2, 6, 12), laptop=(2, 5, 10, 16, 24))
train_steps = budget.pick(smoke=150, laptop=400)
x32, x32_test = x_train.float(), x_test.float()


def deep_network(depth, norm, width=32):
    layers, size = [], 64
    for _ in range(depth):
        linear = nn.Linear(size, width)
        nn.init.normal_(linear.weight, 0, 0.7 * math.sqrt(2 / size))
        nn.init.zeros_(linear.bias)
        layers += [linear, *([norm(width)] if norm else []), nn.ReLU()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, 10))


def trained_accuracy(depth, norm, rate, seed):
    torch.manual_seed(seed)
    net = deep_network(depth, norm)
    optimizer = optimizers.SGD(net.parameters(), learning_rate=rate, momentum=0.9)
    for _ in range(train_steps):
        chosen = torch.randint(len(x32), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x32[chosen]), y_train[chosen]).backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        return (net(x32_test).argmax(1) == y_test).float().mean().item()


_, ax = plt.subplots(figsize=(6.4, 3.4))
reached = {}
for k, (name, norm) in enumerate(NORMS.items()):
    reached[name] = [max(trained_accuracy(depth, norm, rate, SEED) for rate in (0.03, 0.1)) for depth in depths]
    ax.plot(depths, reached[name], "osD"[k] + "-", color=COLOURS[k], label=name)
ax.axhline(0.1, color="0.7", linewidth=0.8)
ax.set(xlabel="hidden layers", ylabel="accuracy on the test digits", ylim=(0, 1.02), title=f"after {train_steps} steps")
ax.legend()
plt.show()
print({name: [round(value, 3) for value in values] for name, values in reached.items()})
record("deepest net, test accuracy, batch norm − none", reached["batch norm"][-1] - reached["none"][-1], at_least=0.3)
record("shallowest net, test accuracy, none", reached["none"][0], at_least=0.85)

# %% [markdown]
# The shallow networks do not need it. The deep one without normalization learns little in this time; the same weights with batch norm learn nearly
# as well as the shallow net. (At the budget `smoke` and seeds 0 to 3 the difference was 0.48 to 0.69.) And layer norm, to our surprise, does not help here.
#
# ### Why: two ways to lose a signal
#
# Two things can be measured before the first step: the size of the gradient of each layer's weights, and how alike the activations of two different digits are at
# the last hidden layer, as the cosine of the angle between them.
#
# **Predict.** Which of the three nets has a healthy gradient? In which can the last layer still tell the digits apart?


# %%
def alike(net, x):
    """The mean cosine between the last hidden layer's activations of two different examples."""
    with torch.no_grad():
        h = nn.functional.normalize(net[:-1](x), dim=1)  # (N, width), rows of length 1
        return ((h @ h.T).sum() - len(h)).item() / (len(h) * (len(h) - 1))


_, ax = plt.subplots(figsize=(6.4, 3.2))
gradient_size, cosine = {}, {}
for k, (name, norm) in enumerate(NORMS.items()):
    torch.manual_seed(SEED)
    net = deep_network(depths[-1], norm)
    cosine[name] = alike(net, x32[:256])
    nn.functional.cross_entropy(net(x32[:256]), y_train[:256]).backward()
    norms = [layer.weight.grad.norm().item() for layer in net if isinstance(layer, nn.Linear)][:-1]
    gradient_size[name] = np.median(norms)
    label = f"{name}: cosine {cosine[name]:.2f}"
    ax.semilogy(range(1, len(norms) + 1), norms, "osD"[k] + "-", color=COLOURS[k], markersize=4, label=label)
ax.set(xlabel="layer", ylabel="norm of dE/dW", title=f"{depths[-1]} layers, before training")
ax.legend()
plt.show()
record("size of the gradients, layer norm / none", gradient_size["layer norm"] / gradient_size["none"], at_least=15)
record("size of the gradients, batch norm / none", gradient_size["batch norm"] / gradient_size["none"], at_least=30)
record("cosine of two digits, layer norm − batch norm", cosine["layer norm"] - cosine["batch norm"], at_least=0.3)

# %% [markdown]
# Without normalization every gradient is tiny: it is a product of the signal, which has shrunk on the way to the layer, and of what comes back, which
# has shrunk on the way from the loss. Both norms repair that. But each ReLU also keeps only positive numbers, which makes all activations a little more
# alike, and after a dozen layers all digits point nearly the same way. Layer norm scales every example by itself and cannot undo it. Batch norm subtracts the mean
# *over the examples*, which is just what they have in common
# ([Daneshmand et al. 2020](https://arxiv.org/abs/2003.01652)). A better initialization, σ = √(2/n), would keep the size as well, and not the angles. (Layer norm is at
# home in transformers, whose shortcuts carry the differences past the layers.)

# %% [markdown]
# ## 11 · So which one?
#
# - Start with Adam, α = 10⁻³ for networks of usual size; try a rate three times larger and smaller before you try another optimizer.
# - A loss that explodes or oscillates: smaller α. One that crawls: larger α. One that trembles on a floor: a schedule, or larger batches.
# - SGD with momentum and a good schedule is still what many of the best classifiers are trained with; it needs its rate tuned.
# - Networks deeper than a few layers: normalize.
#
# | rule | remembers | α is in | its defect |
# |---|---|---|---|
# | SGD | nothing | m²/J | ravines, noise |
# | momentum, Nesterov | v | m²/J | one rate for all coordinates |
# | Adagrad | g, for ever | m | stops |
# | RMSProp | g, a window | m | long first steps, trembles |
# | Adadelta | g, d | – | ε sets the start |
# | Adam | v, g, t | m | one rate for each coordinate cannot round a turned ravine |

# %% [markdown]
# ## 12 · Exercises
#
# They lead to the problem set **ps02_optimizers**, which is graded.
#
# 1. *(5 min)* With torch's form of momentum, v ← μv + ∇, w ← w − αv, and a schedule: which steps does a new rate apply to? Which in ours?
# 2. *(10 min)* Prove that on E = ½hw² momentum's two eigenvalues have product μ, and find for which α they are complex.
# 3. *(10 min)* Adagrad on a constant gradient: show that after t steps w has moved by about 2α√t.
# 4. *(15 min)* Units of Adam's ε? Of Adadelta's two? Confirm with `walk`.
# 5. *(15 min)* Layer norm of a batch of one example; batch norm of a batch of one. What do your formulas say?
# 6. *(20 min)* Find a surface on which Adam with its usual numbers is slower than SGD by a factor of ten.
#
# ## 13 · Reading
#
# - G. Goh, [Why momentum really works](https://distill.pub/2017/momentum/), 2017: section 4's eigenvalues, to be played with.
# - I. Sutskever, J. Martens, G. Dahl, G. Hinton, *On the importance of initialization and momentum in deep learning*, 2013.
# - D. Kingma, J. Ba, [Adam](https://arxiv.org/abs/1412.6980), 2015: sections 2 and 3 are today's.
# - M. Zeiler, [ADADELTA](https://arxiv.org/abs/1212.5701), 2012: section 3 on units, in the author's words.
# - S. Ioffe, C. Szegedy, [Batch normalization](https://arxiv.org/abs/1502.03167), 2015.
# - S. Ruder, [An overview of gradient descent optimization algorithms](https://arxiv.org/abs/1609.04747), 2016.
