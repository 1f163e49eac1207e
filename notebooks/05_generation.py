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
# # 05 · What it is to generate, and how to tell
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/notebooks/05_generation.ipynb)
#
# "Is this Petersburg at sunset?" takes you a second. "Draw Petersburg at sunset" takes a painter. Today we ask what the second task is, in
# terms of probability, why it is harder, and how one can tell whether it was done well. Every unit after this one trains a generator, and each will be
# held against the measures that we build here; so we also look at how each of them can be deceived.
#
# **You will be able to**
#
# - build a classifier and a sampler from the same densities, and say why good densities for the one may be useless for the other;
# - measure how many dimensions data really have, and say what the other dimensions do to a histogram;
# - derive and estimate the divergences KL and JS, and predict what a model fitted by either direction of KL looks like;
# - say what happens to both divergences where supports do not meet, and what that means for a slope;
# - derive the inception score and the Fréchet distance, compute them stably, correct for the number of samples, and name for each a bad generator that it likes.
#
# **Time** about 100 minutes of reading and playing. Computing, on one core: half a minute at the budget `smoke`, about a minute at `laptop`; a GPU is not needed.
#
# **You need** densities, expectations, covariance matrices and their eigenvalues; PyTorch (lectures 01 to 03).

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

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from course_lib.data import digits
from course_lib.draw import COLOURS, FAKE, REAL, image_grid, tile
from course_lib.explore import explore, slider
from course_lib.outcomes import record

device, budget = course_lib.start(BUDGET, SEED)


def generator(offset=0):
    """A fresh source of random numbers that depends on SEED alone."""
    return torch.Generator().manual_seed(1000 * SEED + offset)


def sheet(rows, title="", scale=0.52):
    """Rows of images, {label: (n, 1, 8, 8) in [-1, 1]}, with a label beside each row."""
    n = len(next(iter(rows.values())))
    _, ax = plt.subplots(figsize=(scale * n + 2.2, scale * len(rows) + (0.35 if title else 0.05)))
    ax.imshow(tile(torch.cat(list(rows.values())), n), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_yticks(3.5 + 9 * np.arange(len(rows)), labels=list(rows))
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    plt.show()


# %% [markdown]
# ## 1 · To tell apart, and to draw
#
# **Question.** For most of its history machine learning was asked to *decide*: ill or healthy, which digit, what price. Is drawing a digit the same problem,
# backwards?
#
# Let digits be drawn by nature like this: first a class $k$ with probability $\pi_k$, then an image $x$ with density $p_k(x)$. If we answer $k$ to the image $x$, we are right
# with probability
#
# $$p(k\,|\,x) = \frac{\pi_k\, p_k(x)}{\sum_j \pi_j\, p_j(x)} .$$
#
# The denominator is the same for every answer. So no classifier errs less often than the one that answers
#
# $$k(x) = \arg\max_k \; \pi_k\, p_k(x) .$$
#
# It is called the **Bayes classifier**. And the **sampler** is already written down: draw $k$, then $x$. The same densities do both. Let us fit the simplest ones, a Gaussian for each class: mean $\mu_k$ and covariance
# $C_k$ of the training images, with a little $\varepsilon I$ added so that $C_k$ has an inverse although some pixels never change.


# %%
def fitted(x, y, independent=False, ridge=0.02):
    """A Gaussian for each of K classes, from x (N, D) and y: shares (K,), means (K, D), roots L of C = L Lᵀ (K, D, D)."""
    shares = torch.bincount(y) / len(y)
    means = torch.stack([x[y == k].mean(0) for k in range(len(shares))])
    C = torch.stack([x[y == k].T.cov() for k in range(len(shares))])
    if independent:  # as if, within a class, no pixel knew of any other
        C = torch.diag_embed(C.diagonal(dim1=1, dim2=2))
    return shares.to(x), means, torch.linalg.cholesky(C + ridge * torch.eye(x.shape[1]).to(x))


def log_joint(model, x):
    """log π_k + log p_k(x) in nats, (N, K)."""
    shares, means, L = model
    off = (x[None] - means[:, None]).mT  # (K, D, N)
    z = torch.linalg.solve_triangular(L, off, upper=False)  # standard normal, if x is of that class
    log_det = L.diagonal(dim1=1, dim2=2).log().sum(1)
    log_p = -z.square().sum(1) / 2 - log_det[:, None] - x.shape[1] / 2 * math.log(2 * math.pi)
    return (shares.log()[:, None] + log_p).T


def drawn(model, n, draws):
    """n images (n, 1, 8, 8) in [-1, 1] and their classes (n,)."""
    shares, means, L = model
    k = torch.multinomial(shares, n, replacement=True, generator=draws)
    z = torch.randn(n, means.shape[1], generator=draws, dtype=means.dtype)
    for c in range(len(shares)):
        z[k == c] = means[c] + z[k == c] @ L[c].T
    return z.view(n, 1, 8, 8).clamp(-1, 1).float(), k


(train, train_labels), (test, test_labels) = digits("train"), digits("test")
flat, flat_test = train.flatten(1).double(), test.flatten(1).double()
models = {"Gaussians": fitted(flat, train_labels), "independent pixels": fitted(flat, train_labels, independent=True)}

# %% [markdown]
# The second model is the *naive* Bayes classifier: it claims that, in a three, every pixel is drawn by itself.
#
# **Predict.** Which share of 360 test digits will each of the two models read? And what will their samples look like?

# %%
read = {name: (log_joint(model, flat_test).argmax(1) == test_labels).double().mean() for name, model in models.items()}
samples = {name: drawn(model, 360, generator(1)) for name, model in models.items()}
for name, share in read.items():
    print(f"{name:20} read {share:.1%} of the test digits")
by_class = torch.cat([(test_labels == k).nonzero()[:2, 0] for k in range(10)])
sheet(
    {"real, held out": test[by_class]}
    | {name: torch.cat([x[k == c][:2] for c in range(10)]) for name, (x, k) in samples.items()},
    title="the same densities, asked to draw: two of each class",
)
record("Bayes classifier with Gaussian densities: test digits read", read["Gaussians"], at_least=0.95)
record("Bayes classifier with independent pixels: test digits read", read["independent pixels"], at_least=0.8)

# %% [markdown]
# A density that no one would take for a drawing reads about nine digits of ten. There is no contradiction. Multiply all ten *joint* densities $\pi_k\,p_k(x)$ by the same function $f(x)$, and by one constant so that together
# they integrate to 1 again: both cancel in $p(k|x)$, so **the classifier does not change, and the samples change as much as you like**. To decide, only the ratios of densities matter, and only their order. To draw, the densities themselves must be right,
# everywhere and in every respect: each pixel must agree with all others. That is why generation is the harder problem.
#
# It is also another *kind* of problem. Nobody gives us the right answer for an input: there is no input. There are only examples, and we are after the distribution $p_{\text{data}}$ that they came from; a generator
# is a sampler of a distribution $p_{\text{model}}$ that should equal it. Learning without a teacher, then, in which labels are at most a help.
#
# By eye the upper samples are the better ones, and the real ones the best. By how much? We have no number yet. Most of this lecture is about such a number.

# %% [markdown]
# ## 2 · Many dimensions, most of them empty
#
# **Question.** Densities of one variable are estimated with a histogram. Why not those of images?
#
# An image of 8 × 8 pixels in 17 grey levels falls into one of $17^{64} \approx 6\cdot 10^{78}$ cells. We have 1437 training images. So practically no cell is ever hit, let alone twice:

# %%
cells = {
    name: {tuple(row) for row in (8 * x.flatten(1) + 8).round().int().tolist()}
    for name, x in (("train", train), ("test", test))
}
print(f"17^64 = {17.0**64:.1e} cells; {len(cells['train'])} are hit by {len(train)} training images")
print(f"of {len(cells['test'])} test images, {len(cells['train'] & cells['test'])} fall into one of those")

# %% [markdown]
# To widen the cells does not help. Cells exist to put *near* points together, and in many dimensions no point is near. Let two points be drawn from the cube $[0,1]^d$. Each coordinate adds $(x_i - y_i)^2$ to the squared
# distance; its mean is 1/6, its variance 7/180. So the sum has mean $d/6$ and standard deviation $\sqrt{7d/180}$, and relative to its mean it varies by
#
# $$\frac{\sqrt{7 d/180}}{d/6} = \frac{1.18}{\sqrt d} .$$
#
# All distances become equal. This is (one face of) the **curse of dimension**.


# %%
def draw_distances(dimension):
    """How the distances between random points of the cube are spread, relative to their mean."""
    x, y = torch.rand(2, 4000, int(dimension), generator=generator(2))
    distance = (x - y).norm(dim=1)
    _, ax = plt.subplots(figsize=(6.2, 2.5))
    ax.hist(distance / distance.mean(), bins=60, range=(0, 2.5), color=COLOURS[5])
    spread = distance.square().std() / distance.square().mean()
    ax.set(
        xlabel="distance of two points of the cube / mean distance",
        yticks=[],
        title=f"d = {dimension}: spread of the square {spread:.2f}, on paper {6 * math.sqrt(7 / 180 / dimension):.2f}",
    )
    ax.spines["left"].set_visible(False)


explore(draw_distances, dimension=slider(1, 256, 64))

# %% [markdown]
# **Play.** From which $d$ on is none of the 4000 pairs nearer than half the mean distance?
#
# Yet densities of images *are* learned. The excuse is called the **manifold hypothesis**: real data do not fill their space, but lie near a surface of far fewer dimensions. A three can be slanted, stretched,
# thickened; it cannot have an arbitrary pixel in the corner. Does that hold for our digits? It can be measured.
#
# **Derivation.** Let the data have $d$ dimensions locally, and a density that hardly changes between a point and its second neighbour, at distance $r_2$. Then the nearest neighbour, at distance $r_1$, lies anywhere in the ball of radius $r_2$ with equal
# probability. A ball of radius $t r_2$ has $t^d$ times the volume, so
#
# $$P\left(\frac{r_1}{r_2} \le t\right) = t^d, \qquad\text{or, with } s = \log\frac{r_2}{r_1}: \quad P(s \ge u) = e^{-d u} .$$
#
# $s$ is exponential with mean $1/d$. The maximum-likelihood estimate is $\hat d = 1/\overline{s}$: look at two neighbours of each point, and take a mean
# ([Facco et al. 2017](https://doi.org/10.1038/s41598-017-11873-y)).


# %%
def dimension_of(x):
    """The number of dimensions of points (N, D) by their two nearest neighbours."""
    r = torch.cdist(x, x).topk(3, largest=False).values[:, 1:]  # the nearest of all is the point itself
    return float(1 / (r[:, 1] / r[:, 0]).log().mean())


def shuffled(x, draws):
    """Each pixel dealt out anew among the images: every pixel keeps its own distribution, and knows of no other."""
    order = torch.rand(x.shape, generator=draws).argsort(0)
    return x.gather(0, order)


everything = digits("all")[0].flatten(1).double()
for d in (2, 5, 10):
    known = (
        torch.rand(len(everything), d, generator=generator(3)).double()
        @ torch.randn(d, 64, generator=generator(4)).double()
    )
    print(f"a cube of {d:2} dimensions in a space of 64: {dimension_of(known):.1f}")

# %% [markdown]
# The estimate is good for few dimensions, and too small for many (1797 points are too few to know 10 dimensions well). **Predict**: how many dimensions do the digits have? How many, once each pixel is shuffled among the images, which leaves
# each pixel's own distribution as it is?

# %%
of_digits, of_shuffled = dimension_of(everything), dimension_of(shuffled(everything, generator(5)))
print(f"digits: {of_digits:.1f} dimensions of 64; after shuffling each pixel: {of_shuffled:.1f}")
sheet({"digits": test[:16], "pixels shuffled": shuffled(everything, generator(5)).view(-1, 1, 8, 8)[:16]})
record("dimensions of the digits / of the same with shuffled pixels", of_digits / of_shuffled, at_most=0.7)

# %% [markdown]
# Ten or so numbers are enough to say which image it is among its neighbours. What pixels know of each other has removed the rest. This is hope for generators: one that maps ten or twenty random numbers to images need not be bad. And it is a warning
# for measures: a surface has no volume, so the density on it is infinite, and beside it zero. We come back to that in section 6.

# %% [markdown]
# ## 3 · Which models there are
#
# A model may give its density $p_{\text{model}}(x)$ **explicitly**, as a number that can be computed. Or it may only be a procedure that delivers samples: then the density is **implicit**. It exists, but no one can say it.

# %%
TREE = {
    "explicit density": {
        "exact": "autoregressive nets, flows,\nour Gaussians",
        "a bound, or up to a constant": "variational autoencoders (12),\nenergies, diffusion",
    },
    "implicit density": {
        "matched by a distance": "moment matching (06), textures (07),\noptimal transport (09)",
        "matched by an opponent": "adversarial nets (08)",
    },
}


def draw_tree():
    """The taxonomy, from left to right."""
    _, ax = plt.subplots(figsize=(9.6, 3.4))
    ax.set(xlim=(0, 10), ylim=(-0.6, 3.6))
    ax.set_axis_off()
    box = {"boxstyle": "round,pad=0.4", "facecolor": "white"}
    ax.text(0.9, 1.5, "generative\nmodel", ha="center", va="center", bbox=box | {"edgecolor": "black"})
    row = 3.0
    for colour, (kind, ways) in zip((REAL, FAKE), TREE.items(), strict=True):
        middle = row - 0.5
        ax.plot([1.4, 2.52], [1.5, middle], color=colour, zorder=0)
        ax.text(3.2, middle, kind, ha="center", va="center", bbox=box | {"edgecolor": colour})
        for way, examples in ways.items():
            ax.plot([3.87, 4.7], [middle, row], color=colour, zorder=0)
            ax.text(4.8, row, way, ha="left", va="center", color=colour)
            ax.text(7.5, row, examples, ha="left", va="center", fontsize=9)
            row -= 1.0
    plt.show()


draw_tree()

# %% [markdown]
# What one can ask of them differs. An explicit model can be trained by its likelihood (next section), and can say how surprising an image is. An implicit model can only draw; it is trained, and measured, through its samples. So a measure that is to
# compare *all* models must make do with samples. Sections 8 to 12 are about such measures.

# %% [markdown]
# ## 4 · Kullback and Leibler
#
# **Question.** Two distributions $p$ and $q$ are different. How fast would you notice?
#
# Data $x_1, x_2, \dots$ come from $p$, and somebody claims that they come from $q$. The evidence against the claim is the log of the likelihood ratio, and it grows with each datum, on average, by
#
# $$\mathrm{KL}(p\,\|\,q) = \mathbb{E}_{x\sim p}\log\frac{p(x)}{q(x)} = \int p(x)\log\frac{p(x)}{q(x)}\,dx \quad\text{nats.}$$
#
# **It is never negative.** From $\log u \le u - 1$ (the line touches the curve at 1):
#
# $$-\mathrm{KL}(p\,\|\,q) = \mathbb{E}_p\log\frac{q(x)}{p(x)} \le \mathbb{E}_p\left[\frac{q(x)}{p(x)} - 1\right] = \int_{p>0} q(x)\,dx - 1 \le 0,$$
#
# with equality only if $q = p$ (almost) everywhere. If $q = 0$ where $p$ sometimes draws, a single datum from there refutes $q$ for good: KL is infinite.
#
# **Cross-entropy, and why we minimise it.** Split the logarithm:
#
# $$\underbrace{-\mathbb{E}_p\log q(x)}_{H(p,\,q),\text{ cross-entropy}} = \underbrace{-\mathbb{E}_p\log p(x)}_{H(p),\text{ entropy}} + \;\mathrm{KL}(p\,\|\,q).$$
#
# The model $q$ occurs only on the left and in KL. The left side is estimated by a mean over data, $-\frac1N\sum_i\log q(x_i)$, the negative log-likelihood. So **maximum likelihood minimises** $\mathrm{KL}(p_{\text{data}}\,\|\,p_{\text{model}})$, without anyone knowing $p_{\text{data}}$;
# and the differences between models' negative log-likelihoods, on data that they have not seen, estimate differences of KL.


# %%
def nll(model, x):
    """−log q(x) in nats, mean over images x (N, 64), where q = Σ π_k p_k."""
    return float(-log_joint(model, x).logsumexp(1).mean())


models["one Gaussian for all"] = fitted(flat, torch.zeros_like(train_labels))
print(f"{'−log q(x) in nats, mean':28}{'train':>8}{'test':>8}")
for name, model in models.items():
    print(f"{name:28}{nll(model, flat):8.1f}{nll(model, flat_test):8.1f}")

# %% [markdown]
# The order of the last column is, up to the error of a mean over 360 images, the order of $\mathrm{KL}(p_{\text{data}}\,\|\,q)$, with $H(p_{\text{data}})$ unknown but the same for all. (Densities have units, so the values themselves may be negative. Only differences mean something.)
# The column "train" is lower where a model has had many numbers to adapt to the very images it is tested with: never compare there.
#
# **In closed form.** For Gaussians $p = N(m, s^2)$ and $q = N(\mu, \sigma^2)$ everything can be integrated. $\log p - \log q = \log\frac\sigma s - \frac{(x-m)^2}{2s^2} + \frac{(x-\mu)^2}{2\sigma^2}$, and under $p$ the squares have means
# $s^2$ and $s^2 + (m-\mu)^2$:
#
# $$\mathrm{KL}(p\,\|\,q) = \log\frac{\sigma}{s} + \frac{s^2 + (m-\mu)^2}{2\sigma^2} - \frac12 .$$
#
# **By samples.** An expectation under $p$ is estimated by a mean over samples of $p$, with a standard error that falls as $1/\sqrt N$. That needs both densities.


# %%
def log_normal(x, m, s):
    """log N(x; m, s²) in nats."""
    return -((x - m) ** 2) / (2 * s**2) - math.log(s) - math.log(2 * math.pi) / 2


def kl_normal(m, s, mu, sigma):
    """KL(N(m, s²) ‖ N(μ, σ²)) in nats."""
    return math.log(sigma / s) + (s**2 + (m - mu) ** 2) / (2 * sigma**2) - 0.5


def kl_by_samples(m, s, mu, sigma, n, draws):
    """Estimate and standard error of the same, from n samples of the first."""
    x = m + s * torch.randn(n, generator=draws, dtype=torch.float64)
    ratio = log_normal(x, m, s) - log_normal(x, mu, sigma)
    return float(ratio.mean()), float(ratio.std() / math.sqrt(n))


p_and_q = (0.0, 1.0, 1.0, 1.6)  # m, s, μ, σ
exact, other_way = kl_normal(*p_and_q), kl_normal(*p_and_q[2:], *p_and_q[:2])
_, ax = plt.subplots(figsize=(8.2, 3.0))
sizes = [2**k for k in range(4, 17)]
estimates, errors = zip(*(kl_by_samples(*p_and_q, n, generator(10 + n)) for n in sizes), strict=True)
ax.errorbar(sizes, estimates, [2 * e for e in errors], fmt="o", capsize=3, label="samples of p, ± 2 standard errors")
ax.axhline(exact, color="k", linestyle="--", label=f"KL(p‖q) = {exact:.3f}")
ax.axhline(other_way, color=COLOURS[1], linestyle=":", label=f"KL(q‖p) = {other_way:.3f}")
ax.set(xscale="log", xlabel="samples", ylabel="nats", title="p = N(0, 1), q = N(1, 1.6²)")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
estimate, error = kl_by_samples(*p_and_q, 100_000, generator(6))
record("KL of two Gaussians: |samples − closed form| in standard errors", abs(estimate - exact) / error, at_most=4)

# %% [markdown]
# The library has both for any number of dimensions, and the sums over discrete values:

# %%
from course_lib.losses.divergences import gaussian_kl, js, kl_estimate

m, s, mu, sigma = (torch.tensor([v], dtype=torch.float64) for v in p_and_q)
print(f"ours {exact:.6f}, library {gaussian_kl(m, torch.diag(s**2), mu, torch.diag(sigma**2)):.6f}")
x = torch.randn(100_000, generator=generator(7)).double()
print("from samples: {:.4f} ± {:.4f}".format(*kl_estimate(log_normal(x, *p_and_q[:2]), log_normal(x, *p_and_q[2:]))))

# %% [markdown]
# **What went wrong for people.** The mean must be over samples of the *first* distribution. A single estimate can be negative, though KL cannot; code that clamps it at 0 makes it biased. And where $q$ has lighter tails than $p$, rare samples bring huge terms: the standard error, computed from samples that
# did not contain them, looks small.
#
# ## 5 · Two directions, two characters
#
# The dotted line in the figure is not the dashed one: **KL is not symmetric**, so it is no distance. That is more than a blemish. It decides what a model that *cannot* match the data does instead.
#
# **Question.** $p$ has two bumps, $q$ is a single Gaussian. Which Gaussian is the best?
#
# $\mathrm{KL}(p\,\|\,q)$, the direction of maximum likelihood, averages $\log p/q$ where *data* are. It is dear to have $q \approx 0$ where $p$ is not: $q$ must **cover every mode**, and puts mass into the valley between rather than miss a bump. For a Gaussian we can solve it. With
# $\mathrm{KL} = \text{const} + \log\sigma + \mathbb{E}_p(x-\mu)^2/(2\sigma^2)$, the derivatives by $\mu$ and $\sigma$ vanish at
#
# $$\mu = \mathbb{E}_p\,x, \qquad \sigma^2 = \mathbb{E}_p (x-\mu)^2 .$$
#
# $\mathrm{KL}(q\,\|\,p)$ averages $\log q/p$ where the *model* draws. Now it is dear to draw where $p \approx 0$, and it costs little to miss a bump: if $q$ equals one of two far bumps of share ½, then $\log q/p = \log 2$ at all its samples, and that is the whole price. $q$ **seeks one mode**.
#
# **Predict.** Draw both best Gaussians into the figure in your mind. Then let descent find them, on a grid.

# %%
grid = torch.linspace(-8, 8, 801, dtype=torch.float64)
dx = float(grid[1] - grid[0])


def two_bumps(distance=5.0, left=0.5, width=0.6):
    """log p on the grid: a share `left` of N(−distance/2, width²), the rest at +distance/2."""
    a, b = (log_normal(grid, sign * distance / 2, width) for sign in (-1, 1))
    return torch.logaddexp(a + math.log(left), b + math.log(1 - left))


def divergence(log_p, log_q):
    """KL(p ‖ q) on the grid, nats: ∫ p log p/q dx as a sum."""
    return (log_p.exp() * (log_p - log_q)).sum() * dx


def normal_on_grid(mu, log_sigma):
    return -((grid - mu) ** 2) / (2 * torch.exp(2 * log_sigma)) - log_sigma - math.log(2 * math.pi) / 2


def best_normal(log_p, covering, start=0.5, steps=400):
    """Descent on KL(p ‖ q) if covering, else on KL(q ‖ p), over q = N(μ, σ²). Returns log q, μ, σ, and the KL."""
    mu = torch.tensor(float(start), dtype=torch.float64, requires_grad=True)
    log_sigma = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([mu, log_sigma], lr=0.1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
        log_q = normal_on_grid(mu, log_sigma)
        loss = divergence(log_p, log_q) if covering else divergence(log_q, log_p)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return normal_on_grid(mu, log_sigma), float(mu), float(log_sigma.exp()), float(loss)


def draw_fits(distance, left, width, start, steps=120):
    log_p = two_bumps(distance, left, width)
    _, ax = plt.subplots(figsize=(7.4, 3.0))
    ax.fill_between(grid, log_p.exp(), color=REAL, alpha=0.25, linewidth=0, label="p")
    for covering, colour, name in ((True, COLOURS[2], "KL(p‖q), covers"), (False, FAKE, "KL(q‖p), seeks")):
        log_q, mu, sigma, value = best_normal(log_p, covering, start, steps)
        ax.plot(grid, log_q.exp(), color=colour, label=f"{name}:\nμ = {mu:.2f}, σ = {sigma:.2f}, {value:.2f} nats")
    ax.set(xlabel="x", ylabel="density", xlim=(-7, 7))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))


log_p = two_bumps()
covers, mu, sigma, _ = best_normal(log_p, covering=True)
seeks, *_ = best_normal(log_p, covering=False, start=1.5)
mean = float((log_p.exp() * grid).sum() * dx)
deviation = float((log_p.exp() * (grid - mean) ** 2).sum() * dx) ** 0.5
print(f"covering: μ = {mu:.3f}, σ = {sigma:.3f}; moments of p: {mean:.3f}, {deviation:.3f}")
valley = len(grid) // 2
record("covering fit: σ / standard deviation of p", sigma / deviation, at_least=0.98, at_most=1.02)
record("KL(p‖q): q / p in the valley", (covers - log_p)[valley].exp(), at_least=100)
record("KL(q‖p): q / p in the valley", (seeks - log_p)[valley].exp(), at_most=10)
explore(
    draw_fits,
    distance=slider(0.0, 7.0, 5.0, step=0.25),
    left=slider(0.1, 0.9, 0.5, step=0.05, label="share of the left bump"),
    width=slider(0.3, 1.2, 0.6, step=0.1),
    start=slider(-3.0, 3.0, 1.5, step=0.25, label="μ at the start"),
)

# %% [markdown]
# **Play.** Start on the other side, and in the middle: which fit depends on the start, and why must the other one not? Bring the bumps together: from which distance on do both fits agree? Give the left bump a share of 0.9 and start at the right: does the seeking fit find the larger bump?
#
# Both characters will return. Trained by likelihood, models cover: they draw blurred or impossible things in valleys, sooner than leave anything out. Those trained by $\mathrm{KL}(q\,\|\,p)$ or its relatives draw well what they draw, and may leave out modes. To leave out modes is called **mode collapse**, unit 08's chief disease; the direction of the divergence is one possible reason for it, and not the only one.
# There is a practical difference, too: covering needs samples of $p$ and the density of $q$; seeking needs samples of $q$ and the density of $p$. Of data we have only samples.
#
# ## 6 · Jensen and Shannon, and the gap
#
# **Question.** Can a divergence be symmetric, and never infinite?
#
# Compare both with their mixture $m = (p + q)/2$, which is 0 only where both are:
#
# $$\mathrm{JS}(p, q) = \tfrac12\mathrm{KL}(p\,\|\,m) + \tfrac12\mathrm{KL}(q\,\|\,m) .$$
#
# Since $m \ge p/2$, $\log p/m \le \log 2$: **JS lies between 0 and log 2**. It is log 2 as soon as $p$ and $q$ nowhere overlap, for then $m = p/2$ wherever $p > 0$.
#
# A case to solve on paper: $p$ uniform on $[0, 1]$, $q$ on $[\theta, 1 + \theta]$, $0 \le \theta \le 1$. On the overlap $p = q = m$ and nothing is added; on the share $\theta$ of each that is alone, the logarithm is $\log 2$. So
#
# $$\mathrm{JS} = \theta\log 2, \qquad \mathrm{KL}(p\,\|\,q) = \mathrm{KL}(q\,\|\,p) = \infty \;\text{ for every } \theta > 0 .$$


# %%
def js_by_samples(theta, n, draws):
    """JS of the two uniforms, from n samples of each: the mean of log p/m under p and of log q/m under q."""

    def log_share(x, low):  # log of this density over the mixture; x is inside this one
        other = theta - low
        inside = (x >= other) & (x <= other + 1)
        return math.log(2) - torch.log1p(inside.double())

    x, y = torch.rand(2, n, generator=draws, dtype=torch.float64)
    return float((log_share(x, 0.0).mean() + log_share(y + theta, theta).mean()) / 2)


thetas = [0.0, 0.1, 0.3, 0.6, 0.9, 1.0]
print("θ        ", *(f"{t:7.1f}" for t in thetas))
print("samples  ", *(f"{js_by_samples(t, 20_000, generator(8)):7.3f}" for t in thetas))
print("θ log 2  ", *(f"{t * math.log(2):7.3f}" for t in thetas))
worst = max(abs(js_by_samples(t, 20_000, generator(8)) - t * math.log(2)) for t in thetas)
record("JS of two uniforms: |samples − θ log 2|, largest", worst, at_most=0.02)

# %% [markdown]
# So far JS looks like the better KL. Now the case that section 2 warned of. Data lie near a surface without volume. Samples of a model that is not yet good lie near another. **Two such surfaces hardly ever overlap.** Let $p$ and $q$ be Gaussians of width $s$, $\theta$ apart, and let $s$ shrink: across the surface, data look like this.
#
# - $\mathrm{KL} = \theta^2/(2s^2)$ goes to infinity, and so does its slope.
# - JS goes to log 2, *for every* $\theta > 0$: it no longer says how far. Its slope goes to 0, and a model that follows the slope does not move.
# - The squared Wasserstein distance of section 9, $\theta^2$ here for every $s$, does not care.
#
# **Predict.** For $\theta = 2$: at which $s$ has the slope of JS become smaller than a millionth?


# %%
def js_and_slope(theta, s):
    """JS of N(0, s²) and N(θ, s²) by a sum over a fine grid around both, and its derivative by θ."""
    theta = torch.tensor(float(theta), dtype=torch.float64, requires_grad=True)
    z = torch.linspace(-8 * s, float(theta.detach()) + 8 * s, 6001, dtype=torch.float64)
    log_p, log_q = log_normal(z, 0.0, s), log_normal(z, theta, s)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    value = (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum() / 2 * (z[1] - z[0])
    (slope,) = torch.autograd.grad(value, theta)
    return float(value.detach()), float(slope)


def draw_gap(log10_s):
    s = 10.0**log10_s
    thetas = np.linspace(0.02, 3, 60)
    values, slopes = zip(*(js_and_slope(t, s) for t in thetas), strict=True)
    _, axes = plt.subplots(1, 3, figsize=(11.4, 2.7))
    for ax, series, title in (
        (axes[0], thetas**2 / (2 * s**2), f"KL = θ²/(2s²), s = {s:.2g}"),
        (axes[1], values, "JS"),
        (axes[2], thetas**2, "Wasserstein², θ²"),
    ):
        ax.plot(thetas, series)
        ax.set(xlabel="θ", title=title)
    axes[0].set_ylabel("nats")
    axes[0].set_ylim(0)
    axes[1].axhline(math.log(2), color="k", linestyle=":", linewidth=1)
    axes[1].set_ylim(0, 0.75)
    right = axes[1].twinx()
    right.plot(thetas, slopes, color=FAKE, linestyle="--")
    right.set_ylabel("its slope", color=FAKE)
    right.set_ylim(0)


for s in (1.0, 0.5, 0.25, 0.17, 0.1):
    value, slope = js_and_slope(2, s)
    print(f"θ = 2, s = {s:4}: KL = {4 / (2 * s**2):6.1f}, JS = {value:.6f}, slope of JS {slope:8.1e}, of θ² {2 * 2.0}")
record("θ = 2, s = 0.1: slope of JS", abs(js_and_slope(2, 0.1)[1]), at_most=1e-6)
explore(draw_gap, log10_s=slider(-1.5, 0.3, -0.5, step=0.1, label="log₁₀ s"))

# %% [markdown]
# **On images.** Take the training digits, the test digits and pure noise as histograms over the cells of section 2:


# %%
def histogram_js(x, y):
    """JS of the histograms of two sets of rows, each different row being a cell of its own; nats."""
    n = len(x)
    _, cell = torch.unique(torch.cat([x, y]), dim=0, return_inverse=True)
    counts = [torch.bincount(part, minlength=int(cell.max()) + 1).double() for part in (cell[:n], cell[n:])]
    return float(js(*((c / c.sum()).log() for c in counts)))


noise = 2 * torch.rand(360, 1, 8, 8, generator=generator(9)) - 1
grey = {name: (8 * x.flatten(1) + 8).round().int() for name, x in (("train", train), ("test", test), ("noise", noise))}
print(f"log 2 = {math.log(2):.6f}")
print(f"JS(train digits, test digits) = {histogram_js(grey['train'], grey['test']):.6f}")
print(f"JS(train digits, noise)       = {histogram_js(grey['train'], grey['noise']):.6f}")
record(
    "histograms: JS(train, noise) − JS(train, test)",
    histogram_js(grey["train"], grey["noise"]) - histogram_js(grey["train"], grey["test"]),
    at_most=1e-6,
)

# %% [markdown]
# To this JS, and to KL (infinite both times), real digits are as wrong as noise. Nothing is wrong with the formulas: *as histograms* the samples do not overlap. They lack any idea of **near**. A useful measure of samples needs a notion of which images are alike.
# Differences of pixels are a poor one: a digit moved by one pixel is far from itself. The idea that won is to let a *trained classifier* look: what a net has learned in order to tell digits apart is a description of digits.
#
# ## 7 · A judge
#
# The judge here is a small convolutional net, trained on the 1437 training digits as in lecture 03; it takes a few seconds, once, and is kept in the course's cache. It says two things of an image: 32 **features**, the layer before the last, and ten scores, the **logits**.

# %%
from course_lib.metrics.judges import judge

reader = judge("digits", seed=SEED, device=device)
record("accuracy of the judge on test digits", reader.accuracy, at_least=0.97)
said = reader(test)
print("features", tuple(said.features.shape), "logits", tuple(said.logits.shape))


def features(images):
    return reader(images).features.cpu().double()


def logits(images):
    return reader(images).logits.cpu().double()


# %% [markdown]
# Every number from here on is *this* judge's opinion; with another one all numbers change. Papers use Inception v3, trained on ImageNet, hence the names "inception score" and "Fréchet inception distance". (`judge("inception")` is that net with torchvision's weights, where they can be had; section 13.)
#
# ## 8 · The inception score
#
# **Question.** We have only samples $x_1,\dots,x_N$ and a classifier. What would a good set of samples look like to it?
#
# Each image should be *clearly* one thing: $p(y|x)$ has low entropy. All together should be *varied*: their mean $p(y) = \frac1N\sum_i p(y|x_i)$ has high entropy. The difference of the two entropies says both at once:
#
# $$H(y) - H(y|x) = \mathbb{E}_x\sum_y p(y|x)\log p(y|x) - \sum_y p(y)\log p(y) = \mathbb{E}_x\,\mathrm{KL}\big(p(y|x)\,\|\,p(y)\big),$$
#
# because $\mathbb{E}_x\,p(y|x) = p(y)$ allows to write the last sum under the expectation. It is the **mutual information** of image and label. The **inception score** ([Salimans et al. 2016](https://arxiv.org/abs/1606.03498)) is e to that power:
#
# $$\mathrm{IS} = \exp\Big(\mathbb{E}_x\,\mathrm{KL}\big(p(y|x)\,\|\,p(y)\big)\Big), \qquad 1 \le \mathrm{IS} \le K .$$
#
# 1 because KL is not negative; $K$ because $H(y) \le \log K$ and $H(y|x) \ge 0$. It counts, in a way, the classes that are drawn clearly.


# %%
def our_inception_score(scores):
    """IS of logits (N, K)."""
    log_p = scores.log_softmax(1)
    log_marginal = log_p.logsumexp(0) - math.log(len(scores))  # never the logarithm of a 0
    return float((log_p.exp() * (log_p - log_marginal)).sum(1).mean().exp())


from course_lib.metrics.inception import inception_score

print(f"{'':22}{'ours':>8}{'library':>9}{'library, 10 parts':>20}")
for name, images in {"real, held out": test, **{k: x for k, (x, _) in samples.items()}, "noise": noise}.items():
    whole, parts = inception_score(logits(images), splits=1), inception_score(logits(images), splits=10)
    print(
        f"{name:22}{our_inception_score(logits(images)):8.3f}{whole.mean:9.3f}{parts.mean:12.2f} ± {parts.deviation:.2f}"
    )
ours, library = our_inception_score(logits(test)), inception_score(logits(test), splits=1).mean
record("inception score: |ours − library|", abs(ours - library), at_most=1e-9)

# %% [markdown]
# Papers split the samples into ten parts and give mean and deviation. With 36 images in a part, the marginal $p(y)$ is noisy, its entropy too low, and the score too: compare the last column with the one before. With Inception's 1000 classes, 5000 images a part are not many.
#
# Real data were never mentioned. Keep that in mind for section 12.
#
# ## 9 · The Fréchet distance
#
# **Question.** How far is one cloud of features from another?
#
# Earth can be moved: carry each point $x$ of the one cloud to a point $y$ of the other, by the plan that moves the least, $\min\mathbb{E}\|x-y\|^2$. That is the squared Wasserstein distance; unit 09 is about it. For Gaussians the minimum can be found.
#
# **Derivation.** Let $x$ have mean $a$ and covariance $A$, $y$ mean $b$ and covariance $B$, and let $K = \mathbb{E}(x-a)(y-b)^{\top}$ be what the plan may choose. Then
#
# $$\mathbb{E}\|x-y\|^2 = \|a-b\|^2 + \operatorname{tr}A + \operatorname{tr}B - 2\operatorname{tr}K .$$
#
# How large can $\operatorname{tr}K$ be? Take standardised variables, $x - a = A^{1/2}u$ and $y - b = B^{1/2}v$, where $u$ and $v$ have covariance $I$. Then $K = A^{1/2} O B^{1/2}$ with $O = \mathbb{E}\,u v^{\top}$. For unit vectors $\alpha$ and $\beta$, $\alpha^{\top}O\beta$ is the correlation of $\alpha^{\top}u$ and $\beta^{\top}v$ and does not exceed 1: $O$ makes no vector longer. By cyclic exchange $\operatorname{tr}K = \operatorname{tr}(O\,B^{1/2}A^{1/2})$.
# Let $B^{1/2}A^{1/2} = U S V^{\top}$ be the singular value decomposition:
#
# $$\operatorname{tr}(O\,U S V^{\top}) = \operatorname{tr}(V^{\top} O\, U S) = \sum_i S_{ii}\,(V^{\top} O\, U)_{ii} \le \sum_i S_{ii},$$
#
# because no entry of a matrix that makes no vector longer exceeds 1. Equality is reached with $O = V U^{\top}$, and Gaussians with that correlation exist. So the largest trace is the **sum of the singular values of** $B^{1/2}A^{1/2}$. Their squares are the eigenvalues of $A^{1/2}BA^{1/2}$, the same as those of $AB$; that is why the sum is written
# $\operatorname{tr}(AB)^{1/2}$:
#
# $$d^2 = \|a-b\|^2 + \operatorname{tr}\big(A + B - 2(AB)^{1/2}\big) .$$
#
# With Inception's features this is the **FID** of [Heusel et al. 2017](https://arxiv.org/abs/1706.08500). For features that are not Gaussian it is the distance between the two Gaussians with the same means and covariances, no more.
#
# **A stable root.** $AB$ is not symmetric, though its eigenvalues are real and not negative. With fewer images than features, or with a feature that is always 0, some are exactly 0. Rounding makes them small and negative, or complex, and their roots are not a number, or imaginary. Usual remedies are to add $10^{-6}$ to the diagonals
# and to drop imaginary parts. They work as a rule; the derivation offers something that always works: only roots of *symmetric* matrices, one at a time, and singular values, which are never negative. Whichever way is taken, a root turns float32's error of $10^{-7}$ in a zero into $3\cdot 10^{-4}$: **take float64 for the moments**.


# %%
def root(C):
    """The symmetric root of a covariance matrix: C = V diag(w) Vᵀ gives V diag(√w) Vᵀ; w < 0 can only be rounding."""
    w, V = torch.linalg.eigh(C)
    return (V * w.clamp(min=0).sqrt()) @ V.T


def our_frechet(a, A, b, B):
    """The squared distance of the Gaussians N(a, A) and N(b, B)."""
    return float((a - b).square().sum() + A.trace() + B.trace() - 2 * torch.linalg.svdvals(root(B) @ root(A)).sum())


def naive_frechet(a, A, b, B):
    """The same by the roots of the eigenvalues of AB, whose imaginary parts can only be rounding."""
    w = torch.linalg.eigvals(A @ B).real
    return float((a - b).square().sum() + A.trace() + B.trace() - 2 * w.sqrt().sum())


def known_case(draws, dimensions=64):
    """Two Gaussians with the same axes: their distance is ‖a − b‖² + Σ(√α − √β)². Half of the first's variances are 0."""
    alpha, beta = torch.rand(2, dimensions, generator=draws, dtype=torch.float64)
    alpha[dimensions // 2 :] = 0
    a, b = 0.05 * torch.randn(2, dimensions, generator=draws, dtype=torch.float64)
    Q = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=draws, dtype=torch.float64)).Q
    exact = float((a - b).square().sum() + (alpha.sqrt() - beta.sqrt()).square().sum())
    return (a, Q @ torch.diag(alpha) @ Q.T, b, Q @ torch.diag(beta) @ Q.T), exact


from course_lib.metrics.frechet import Moments, frechet_distance

case, exact = known_case(generator(11))
a, A, b, B = case
print(f"on paper         {exact:.9f}\nours             {our_frechet(*case):.9f}")
print(f"library          {frechet_distance(Moments(a, A), Moments(b, B)):.9f}")
print(f"ours in float32  {our_frechet(*(t.float() for t in case)):.9f}\nnaive            {naive_frechet(*case):.9f}")
record("Fréchet distance of Gaussians: |ours / closed form − 1|", abs(our_frechet(*case) / exact - 1), at_most=1e-6)


# %%
def our_fid(x, y):
    """The Fréchet distance of features (N, F) and (M, F)."""
    return our_frechet(x.mean(0), x.T.cov(), y.mean(0), y.T.cov())


of_train = features(train)
print(f"{'to 1437 training digits':28}{'ours':>9}{'library':>9}")
for name, images in {"real, held out": test, **{k: x for k, (x, _) in samples.items()}, "noise": noise}.items():
    print(f"{name:28}{our_fid(of_train, features(images)):9.3f}{frechet_distance(of_train, features(images)):9.3f}")

# %% [markdown]
# The picture behind the number: the 32 features, seen in the plane in which those of real digits vary most, with the ellipse of two standard deviations that stands for the Gaussian. The distance compares only centres and ellipses (in all 32 dimensions), never the points.


# %%
def draw_clouds(clouds):
    """Real features in blue and others in orange, {name: (N, F)}, one panel for each name."""
    centre, plane = of_train.mean(0), torch.linalg.eigh(of_train.T.cov()).eigenvectors[:, -2:]  # (F, 2)
    turn = torch.linspace(0, 2 * math.pi, 100).double()
    circle = torch.stack([turn.cos(), turn.sin()])
    _, axes = plt.subplots(1, len(clouds), figsize=(3.2 * len(clouds), 3.1), sharex=True, sharey=True)
    for ax, (name, x) in zip(axes, clouds.items(), strict=True):
        for y, colour in ((of_train[:360], REAL), (x, FAKE)):
            xy = (y - centre) @ plane
            ax.scatter(*xy.T, s=6, alpha=0.35, color=colour, linewidths=0)
            ax.plot(*(xy.mean(0)[:, None] + 2 * root(xy.T.cov()) @ circle), color=colour)
        ax.set_title(f"{name}\ndistance {our_fid(of_train, x):.1f}")
        ax.set(xticks=[], yticks=[])
    plt.show()


draw_clouds(
    {
        name: features(images)
        for name, images in {"real, held out": test, **{k: x for k, (x, _) in samples.items()}, "noise": noise}.items()
    }
)

# %% [markdown]
# (A test of the course holds the library's distance against that of torchmetrics, on the same features, where torchmetrics is installed.)
#
# There is the number that section 1 asked for: the eye was right. The distance has a unit, that of squared features, so only ratios and orders mean something. And it is not 0 for real digits.
#
# ## 10 · It depends on how many you count
#
# **Question.** Held-out digits come from the same distribution as the training digits (nearly: the judge has seen the latter). Why is their distance not 0?
#
# Because moments of $N$ samples are not the true ones, and a squared distance does not average such errors away: it adds them up. **How much?** Let the truth be $N(0, I)$ in $D$ dimensions.
#
# - The mean of $N$ samples is off by $D/N$ in expected squared length.
# - The covariance is $I + E$ with a small symmetric $E$. Its eigenvalues are $1 + e_i$; by the formula for common axes, $\sum(\sqrt{1+e_i}-1)^2 \approx \frac14\sum e_i^2 = \frac14\operatorname{tr}E^2 = \frac14\sum_{ij}E_{ij}^2$. Each entry $E_{ij}$ is a mean of $N$ products $x_i x_j$, with variance $1/N$ off the diagonal and $2/N$ on it.
#   Together $\frac14\cdot\frac{D(D-1) + 2D}{N}$.
#
# $$\mathbb{E}\,\hat d^2 \approx \frac1N\left(D + \frac{D(D+1)}{4}\right) .$$
#
# It falls as $1/N$, and grows with the *square* of the number of features. For Inception's $D = 2048$, were all variances 1, the bracket would be a million.


# %%
def bias_measured(dimensions, sizes, repeats, draws):
    """Mean Fréchet distance of n standard normal points from the truth, for each n."""
    zero, one = torch.zeros(dimensions).double(), torch.eye(dimensions).double()
    found = []
    for n in sizes:
        x = torch.randn(repeats, n, dimensions, generator=draws, dtype=torch.float64)
        found.append(sum(our_frechet(y.mean(0), y.T.cov(), zero, one) for y in x) / repeats)
    return found


def bias_on_paper(dimensions):
    """c, where the mean distance of N standard normal points from the truth is about c/N."""
    return dimensions + dimensions * (dimensions + 1) / 4


sizes, D = (100, 200, 400, 800), 8
measured = bias_measured(D, sizes, 20, generator(12))
print("N              ", *(f"{n:8}" for n in sizes))
print(
    "measured · N   ",
    *(f"{d * n:8.2f}" for d, n in zip(measured, sizes, strict=True)),
    f"   on paper {bias_on_paper(D)}",
)
ratio = sum(d * n for d, n in zip(measured, sizes, strict=True)) / len(sizes) / bias_on_paper(D)
record("bias of the Fréchet distance: measured · N / (D + D(D+1)/4)", ratio, at_least=0.85, at_most=1.15)

# %% [markdown]
# On the judge's features: two samplers, both the class Gaussians of section 1, the second one with a little noise added to every pixel. For the truth we take very many samples of the first, so the true distance of the first is 0.
#
# **Predict.** The better sampler is measured with few images, the worse one with many. Can the worse one win?


# %%
def noisy(x, amount, draws):
    return (x + amount * torch.randn(x.shape, generator=draws)).clamp(-1, 1)


many = budget.pick(smoke=10_000, laptop=40_000)
reference = features(drawn(models["Gaussians"], many, generator(13))[0])
sizes = (50, 100, 200, 400, 800, 1600)
pool, _ = drawn(models["Gaussians"], 4000, generator(14))
pools = {"the true sampler": features(pool), "with noise of 0.3": features(noisy(pool, 0.3, generator(15)))}


def distances(x, sizes, truth):
    """For each n, the mean distance of n features, over disjoint parts of x (at most eight)."""
    found = []
    for n in sizes:
        parts = x.split(n)[: min(8, len(x) // n)]
        found.append(sum(our_fid(truth, part) for part in parts) / len(parts))
    return found


_, axes = plt.subplots(1, 2, figsize=(9.6, 3.2))
limits, by_size = {}, {}
for colour, (name, x) in zip((REAL, FAKE), pools.items(), strict=True):
    found = distances(x, sizes, reference)
    inverse = 1 / np.array(sizes)
    slope, limits[name] = np.polyfit(inverse[2:], found[2:], 1)  # a straight line in 1/N, from 200 images on
    axes[0].loglog(sizes, found, "o-", color=colour, label=name)
    axes[1].plot(inverse[2:], found[2:], "o", color=colour, label=f"{name}: at 1/N = 0, {limits[name]:.2f}")
    axes[1].plot([0, 0.0052], [limits[name], limits[name] + 0.0052 * slope], color=colour, linewidth=1)
    by_size[name] = dict(zip(sizes, found, strict=True))
axes[0].set(xlabel="N images", ylabel="Fréchet distance")
axes[0].set_xticks(sizes, labels=[str(n) for n in sizes])
axes[0].set_yticks([0.1, 0.2, 0.5, 1, 2, 5], labels=["0.1", "0.2", "0.5", "1", "2", "5"])
axes[0].minorticks_off()
axes[1].set(xlabel="1/N", xlim=(-0.0001, 0.0054), ylim=(-0.2, None))
axes[0].legend()
axes[1].legend()
plt.show()
true_sampler, worse_one = by_size.values()
record("true sampler: distance from 100 images / from 1600", true_sampler[100] / true_sampler[1600], at_least=6)
record("noisy sampler from 1600 images / true sampler from 100", worse_one[1600] / true_sampler[100], at_most=0.7)

# %% [markdown]
# The true sampler's own samples are never at distance 0, and measured with 100 images it loses against the noisy one measured with 1600. So **compare only distances of equally many images**, against the same reference. Or draw the distance against $1/N$ and read off where a straight line meets the axis ([Chong and Forsyth 2020](https://arxiv.org/abs/1911.07023)).
#
# ## 11 · Does it see damage?
#
# **Question.** A measure should get worse when images do. Damage the held-out digits in four ways, each at rising levels. Which of the two scores ranks all levels correctly?


# %%
def smoothed(x):
    """The mean of each pixel's 3 × 3 neighbourhood."""
    return avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def damaged(x, way, level, draws):
    """Images x with damage of a level from 0 (none) to 1."""
    if way == "noise":
        return noisy(x, 0.8 * level, draws)
    if way == "blur":
        return (1 - level) * x + level * smoothed(smoothed(x))
    if way == "black rows":
        x = x.clone()
        x[:, :, 4 - round(4 * level) // 2 : 4 + (round(4 * level) + 1) // 2] = -1
        return x
    mixed = x.flatten(1)  # "pixels exchanged": a share of the pixels come from other images
    other = mixed[torch.randperm(len(x), generator=draws)]
    return torch.where(torch.rand(mixed.shape, generator=draws) < level / 2, other, mixed).view_as(x)


WAYS, LEVELS = ("noise", "blur", "black rows", "pixels exchanged"), (0, 0.25, 0.5, 0.75, 1)
sheet(
    {way: torch.cat([damaged(test[3:5], way, level, generator(16)) for level in LEVELS]) for way in WAYS},
    title="two digits at the levels 0, ¼, ½, ¾, 1",
)


def ranked(values, rising):
    """The share of neighbouring levels that are in the right order, in [0, 1]."""
    steps = np.diff(values) if rising else -np.diff(values)
    return float((steps > 0).mean())


_, axes = plt.subplots(1, 2, figsize=(9.6, 3.0))
right = {"Fréchet": [], "inception": []}
for way in WAYS:
    said = [reader(damaged(test, way, level, generator(16))) for level in LEVELS]
    fid = [frechet_distance(of_train, s.features.cpu()) for s in said]
    score = [inception_score(s.logits, splits=1).mean for s in said]
    right["Fréchet"].append(ranked(fid, rising=True))
    right["inception"].append(ranked(score, rising=False))
    print(
        f"{way:18} level ½ / none: Fréchet distance × {fid[2] / fid[0]:5.1f}, inception score × {score[2] / score[0]:.2f}"
    )
    axes[0].plot(LEVELS, fid, "o-", label=way)
    axes[1].plot(LEVELS, score, "o-", label=way)
axes[0].set(xlabel="level of damage", ylabel="Fréchet distance", yscale="log")
axes[1].set(xlabel="level of damage", ylabel="inception score")
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
for name, shares in right.items():
    print(
        f"{name:10} levels in order:", ", ".join(f"{way} {share:.0%}" for way, share in zip(WAYS, shares, strict=True))
    )
record("Fréchet distance: share of levels of damage in order, worst kind", min(right["Fréchet"]), at_least=1)

# %% [markdown]
# The Fréchet distance ranks every level of every kind (seeds 0, 1, 2). The inception score nearly does, but at seed 2 a little noise *raises* it. And mind the axes: by the time the Fréchet distance has grown tenfold or a hundredfold, the score of noisy and blurred digits
# has lost a few per cent. It asks whether a digit can be read, not whether it looks like one.
#
# ## 12 · How to deceive them
#
# **Question.** Each measure looks at a few aspects only. What is the worst sampler that it likes?
#
# One number cannot say whether images are bad or monotonous. Two can ([Kynkäänniemi et al. 2019](https://arxiv.org/abs/1904.06991)). Around each real feature draw a ball that reaches to its $k$-th nearest real neighbour; call the union of the balls the support of the real data. **Precision** is the share of samples inside: do they look real? Exchange the roles, and **recall** is the share of
# real images inside the support of the samples: could the sampler have drawn them?


# %%
def inside(points, around, k=3):
    """The share of points (N, F) that lie in a ball around one of `around` (M, F), up to its k-th neighbour there."""
    radius = torch.cdist(around, around).kthvalue(k + 1, dim=1).values  # the nearest of all is the point itself
    return float((torch.cdist(points, around) <= radius).any(1).double().mean())


from course_lib.metrics.copying import copying
from course_lib.metrics.judges import appraise
from course_lib.metrics.neighbours import precision_recall

real_x, fake_x = of_train[:360], features(samples["Gaussians"][0])
print(f"ours    precision {inside(fake_x, real_x):.3f}, recall {inside(real_x, fake_x):.3f}")
print("library precision {:.3f}, recall {:.3f}".format(*precision_recall(real_x, fake_x)))

# %% [markdown]
# A sampler that can be asked for a class, as the models of section 1, can be measured by one thing more: does it draw what was asked for? The **label accuracy** is the share of samples that the judge reads as their class.

# %%
from course_lib.metrics.labels import label_accuracy

for name, (x, k) in samples.items():
    by_hand, library = (logits(x).argmax(1) == k).double().mean(), label_accuracy(logits(x), k)
    hardest = int(library.by_class.argmin())
    print(
        f"{name:20} {by_hand:.1%} (library {library.overall:.1%}), the least for {hardest}: {library.by_class[hardest]:.0%}"
    )
x, k = samples["Gaussians"]
record("class Gaussians: samples read as the class asked for", label_accuracy(logits(x), k).overall, at_least=0.9)

# %% [markdown]
# Nine samplers, one of them honest and perfect, three of them dishonest:
#
# - *real, held out*: the test digits, as if a perfect sampler had drawn them;
# - *copies*: 360 training images: a sampler that has memorised its data;
# - *one image per class*: ten training images, 36 times each;
# - *five classes*: real test digits, but only zeros to fours;
# - the three models of sections 1 and 4; the held-out digits with noise; and noise alone.
#
# **Predict** for each of them: is the inception score high? the Fréchet distance low? precision? recall?


# %%
def repeated(count, draws):
    """Of each class, the training image that the judge is surest of, `count` times in all, shuffled."""
    p = logits(train).softmax(1)
    sure = torch.stack([train[(p[:, k] * (train_labels == k)).argmax()] for k in range(10)])
    return sure.repeat(-(-count // 10), 1, 1, 1)[torch.randperm(count, generator=draws)]


def copied_from(x, y, wanted, draws):
    """Images of x, with labels y: for each entry of `wanted`, in its order, one of that class, none twice."""
    order = torch.randperm(len(x), generator=draws)
    queues = {k: iter(order[y[order] == k].tolist()) for k in range(10)}
    return x[torch.tensor([next(queues[k]) for k in wanted.tolist()])]


low = test[test_labels < 5]
samplers = {
    "real, held out": test,
    "copies": copied_from(train, train_labels, test_labels, generator(33)),
    "one image per class": repeated(360, generator(18)),
    "five classes": low[torch.randint(len(low), (360,), generator=generator(19))],
    **{name: x for name, (x, _) in samples.items()},
    "one Gaussian for all": drawn(models["one Gaussian for all"], 360, generator(20))[0],
    "real + noise of 0.3": noisy(test, 0.3, generator(21)),
    "noise": noise,
}
sheet({name: x[:14] for name, x in samplers.items()})
appraised = {name: appraise(reader, train, x) for name, x in samplers.items()}
head = ("inception", "Fréchet", "precision", "recall", "classes", "copying")
print(f"{'':22}" + "".join(f"{word:>11}" for word in head))
for name, v in appraised.items():
    copies = copying(train, test, samplers[name])
    print(
        f"{name:22}{v.score.mean:11.2f}{v.distance:11.2f}{v.precision:11.2f}{v.recall:11.2f}{v.classes:11}{copies:11.2f}"
    )

# %%
real, copied, tenfold = (appraised[name] for name in ("real, held out", "copies", "one image per class"))
record("one image per class: inception score / that of real digits", tenfold.score.mean / real.score.mean, at_least=1.0)
record("one image per class: recall", tenfold.recall, at_most=0.1)
record("copies: Fréchet distance / that of held-out digits", copied.distance / real.distance, at_most=1.0)
record(
    "copies: nearer to the training data than new digits, share",
    copying(train, test, samplers["copies"]),
    at_least=0.95,
)
# the order of the three models, with so many samples that chance plays no part
far = {name: our_fid(of_train, features(drawn(model, 3000, generator(17))[0])) for name, model in models.items()}
print("from 3000 samples:", ", ".join(f"{name} {value:.2f}" for name, value in far.items()))
record(
    "independent pixels / class Gaussians, Fréchet distance", far["independent pixels"] / far["Gaussians"], at_least=1.3
)
better = nll(models["one Gaussian for all"], flat_test) - nll(models["independent pixels"], flat_test)
worse = far["one Gaussian for all"] / far["independent pixels"]
record("one Gaussian for all − independent pixels, −log q of test digits, nats", better, at_most=-0.3)
record("one Gaussian for all / independent pixels, Fréchet distance", worse, at_least=1.5)

# %% [markdown]
# Row by row (seeds 0, 1, 2 agree in all that is said here):
#
# - **One image per class** has the highest inception score that there is: ten clear classes, equally often. Its precision is high, too. The recall of 0.01 tells, and the Fréchet distance, because the spread within each class is gone: it is about that of one Gaussian for all.
# - **Copies** beat new digits in every score that compares distributions, and no wonder: the reference contains them, and the judge was trained on them. What is wrong with them is that they are *old*. The last column knows: it is the probability that a sample lies nearer to the training data than a held-out digit does
#   ([Meehan et al. 2020](https://arxiv.org/abs/2004.05675)), ½ for new data and 1 for copies. (Below ½, samples are farther from all data than new data are: not new, but bad.) It needs data that no one has trained with; keep some.
# - **Five classes** look real one by one: the precision is that of real digits. Recall falls to about a third, and the inception score to about half.
# - **One Gaussian for all** covers, as section 5 said of maximum likelihood: the recall is fair, and most of its samples lie where no real digit is, so the precision is poor. By *likelihood* it is better than independent pixels (section 4), by the Fréchet distance it is more than twice as bad. The likelihood rewards what it knows of correlations between pixels, and samples between the classes cost it little:
#   $\mathrm{KL}(p\,\|\,q)$ looks only where data are. **A good likelihood does not mean good samples, nor the other way round.**
#
# ### Where there are no labels
#
# The inception score asks "which of my classes?". What if the domain has none of them? Let the data be small patches of photographs, and judge them by the same digit reader. (Inception, asked about faces or bedrooms, is in the same place: few of ImageNet's 1000 classes are there.)

# %%
from course_lib.data.textures import crops, photographs

temple = avg_pool2d(photographs()["china"].mean(0, keepdim=True), 4)  # (1, 106, 160), grey, at a quarter of its size
domain = crops(temple, 8, 1440, generator=generator(22))
candidates = {"patches, held out": crops(temple, 8, 360, generator=generator(23)), "digits": test}
candidates["patches + noise of 0.5"] = noisy(candidates["patches, held out"], 0.5, generator(24))
sheet({name: x[:14] for name, x in candidates.items()}, title="the data are patches of a photograph")
no_labels = {name: appraise(reader, domain, x) for name, x in candidates.items()}
for name, v in no_labels.items():
    print(f"{name:24} inception score {v.score.mean:5.2f}   Fréchet distance {v.distance:8.2f}")
good, wrong = no_labels["patches, held out"], no_labels["digits"]
record("patches: inception score of digits / of real patches", wrong.score.mean / good.score.mean, at_least=1.5)
record("patches: Fréchet distance of digits / of real patches", wrong.distance / good.distance, at_least=5)

# %% [markdown]
# Real patches score about 3, though nothing could be more real. Digits score above 9, and noise of 0.5 makes patches better. Whoever trains for this score in this domain will draw the wrong things. The Fréchet distance has no such trouble: its judge has never seen a patch either, but it is asked only whether the features are distributed
# like those of real patches. (How *well* it ranks there is another question: features that no one trained for this domain may be blind to what matters in it.)
#
# ### Two moments are not a distribution
#
# The Fréchet distance sees means and covariances of features, and only through this judge. So let us make images for it: start from noise, and move the *pixels*, as in lecture 03, until the moments fit.


# %%
def forged(net, wanted, count, steps, draws):
    """Images (count, 1, 8, 8), descended from noise until mean and covariance of the net's features are those of `wanted`."""
    mean, C = wanted.mean(0), wanted.T.cov()
    free = (0.5 * torch.randn(count, 1, 8, 8, generator=draws)).to(wanted).requires_grad_()
    optimizer = torch.optim.Adam([free], lr=0.05)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        f = net(free.tanh())[0]
        loss = (f.mean(0) - mean).square().sum() + (f.T.cov() - C).square().sum().sqrt()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return free.detach().tanh()


forgery = forged(reader.net, reader(train).features, 360, budget.steps(400, smoke=150), generator(25)).cpu()
second = judge("digits", seed=SEED + 100, device=device)
sheet({"forged": forgery[:14], "Gaussians": samples["Gaussians"][0][:14]})
opinions = {}
for who, name in ((reader, "the judge it was made for"), (second, "another judge")):
    a, b = (appraise(who, train, x).distance for x in (forgery, samples["Gaussians"][0]))
    opinions[name] = a / b
    print(f"{name:28} Fréchet distance: forged {a:7.2f}, class Gaussians {b:7.2f}")
record("forged / class Gaussians, Fréchet distance, same judge", opinions["the judge it was made for"], at_most=0.3)
record("forged / class Gaussians, Fréchet distance, another judge", opinions["another judge"], at_least=1.5)

# %% [markdown]
# To the judge the forgery is nearer to the training digits than *real* held-out digits are (section 9); to us it is static, and to a second judge, who differs only in its first weights and the order of its batches, it is several times as far as the class Gaussians. Two things were used: only two moments were looked at, and only through one pair of eyes.
# No one forges on purpose. But a generator trained on the features of the very net that judges it does just this, and choosing the best of many training runs by one score is a slow version of it.
#
# ### Play the sampler


# %%
def draw_sampler(classes, noise_level, repeats):
    """A sampler made of held-out digits: some classes only, with noise, each image several times."""
    x = test[test_labels < classes]
    x = x[torch.arange(360) % max(1, len(x) // int(repeats))]
    x = noisy(x, noise_level, generator(26))
    v = appraise(reader, train, x)
    _, axes = plt.subplots(1, 2, figsize=(8.6, 2.8), width_ratios=[1.2, 1])
    image_grid(x[:40], columns=10, ax=axes[0])
    axes[0].set_title(f"inception score {v.score.mean:.2f}, Fréchet distance {v.distance:.2f}")
    shares = {"copying": copying(train, test, x), "classes / 10": v.classes / 10}
    shares |= {"precision": v.precision, "recall": v.recall}
    axes[1].barh(list(shares), list(shares.values()), color=COLOURS[5])
    axes[1].set(xlim=(0, 1))


explore(
    draw_sampler,
    classes=slider(1, 10, 10),
    noise_level=slider(0.0, 1.0, 0.0, step=0.1, label="noise"),
    repeats=slider(1, 30, 1, label="each image, times"),
)

# %% [markdown]
# **Play.** Find a sampler with precision above 0.9 and recall below 0.3; one with both above 0.6 and a Fréchet distance at least three times that of the start. How often must each image be repeated until the Fréchet distance is ten times that of the start, and what has the inception score done meanwhile?
#
# ## 13 · Inception itself
#
# At the budget `gpu` the same functions are run with Inception v3 on crops of a photograph; its weights (104 MB) are downloaded once. Without a network, and at the other budgets, the cell says so.

# %%
from course_lib.errors import CourseError

if budget.name in ("gpu", "paper"):
    try:
        inception = judge("inception", device=device)
        seen, unseen = photographs().values()
        x, y = (crops(seen, 96, 500, generator=generator(offset)) for offset in (28, 29))
        known = inception(x).features
        for name, images in {
            "other crops": y,
            "with noise of 0.1": noisy(y, 0.1, generator(30)),
            "with noise of 0.3": noisy(y, 0.3, generator(31)),
            "smoothed": smoothed(y),
            "another photograph": crops(unseen, 96, 500, generator=generator(32)),
        }.items():
            said = inception(images)
            distance, score = frechet_distance(known, said.features), inception_score(said.logits, splits=1)
            print(f"{name:20} Fréchet distance {distance:8.1f}   inception score {score.mean:5.2f}")
    except CourseError as problem:
        print(problem)
else:
    print(f"Inception is asked at the budget gpu; this is {budget.name}. The judge used above: {reader.name}.")

# %% [markdown]
# 500 crops and 2048 features: the covariances are singular, and nothing breaks, thanks to section 9's roots. The *value*, after section 10, is mostly bias; the order of equally many images is what counts.
#
# **What to report.** Which judge, with which weights; how many images, against which reference; resized how (to make images smaller without smoothing them first is enough to change the FID: [Parmar et al. 2022](https://arxiv.org/abs/2104.11222)). The Fréchet distance *with* precision and recall; the nearest training images. And pictures.
#
# ## 14 · Exercises
#
# They lead to the problem set **ps05_generation**, which is graded.
#
# 1. *(5 min)* Multiply all joint densities $\pi_k\,p_k(x)$ of section 1 by the same $f(x)$ so that the samples become useless and the classifier stays. Write down one such $f$.
# 2. *(10 min)* Show that $\mathrm{KL}$ of two pairs of independent variables is the sum of the KLs. What does that say about KL for images of twice the size?
# 3. *(10 min)* Derive the best Gaussian for $\mathrm{KL}(p\,\|\,q)$ in $D$ dimensions. Which of the three models of section 4 is it?
# 4. *(10 min)* Which sampler of ten images has the inception score 10 exactly? Which single image and classifier give 1? What is the score of uniform noise in the limit of very many images, if the classifier answers "8" to all of it?
# 5. *(15 min)* Derive the bias of the Fréchet distance for two samples, of $N$ and of $M$ points, from the same standard normal. Check it.
# 6. *(15 min)* In section 11, replace the features by the pixels themselves (`flatten(1)`). Which kinds of damage are still ranked correctly? Move all digits by one pixel: what do both distances say?
# 7. *(20 min)* Forge images for two judges at once. What does a third one say?
# 8. *(20 min)* Repeat the table of section 12 with the features of the layer *before* (`LayerOutput`, lecture 03). Which orders change?
#
# ## 15 · Reading
#
# - L. Theis, A. van den Oord, M. Bethge, [A note on the evaluation of generative models](https://arxiv.org/abs/1511.01844), 2016: likelihood, samples and usefulness are three different things, with examples of each without the others.
# - T. Salimans et al., [Improved techniques for training GANs](https://arxiv.org/abs/1606.03498), 2016: section 4, the inception score in half a page.
# - S. Barratt, R. Sharma, [A note on the inception score](https://arxiv.org/abs/1801.01973), 2018: what is wrong with it, including our section on labels.
# - M. Heusel et al., [GANs trained by a two time-scale update rule converge to a local Nash equilibrium](https://arxiv.org/abs/1706.08500), 2017: section 4 and the appendix that ranks damage.
# - M. J. Chong, D. Forsyth, [Effectively unbiased FID and inception score and where to find them](https://arxiv.org/abs/1911.07023), 2020: our section 10, and how quasi-random noise helps further.
# - T. Kynkäänniemi et al., [Improved precision and recall metric for assessing generative models](https://arxiv.org/abs/1904.06991), 2019.
# - C. Meehan, K. Chaudhuri, S. Dasgupta, [A non-parametric test to detect data-copying in generative models](https://arxiv.org/abs/2004.05675), 2020.
# - M. Arjovsky, L. Bottou, [Towards principled methods for training generative adversarial networks](https://arxiv.org/abs/1701.04862), 2017: section 2 is our section 6, with proofs for surfaces.
