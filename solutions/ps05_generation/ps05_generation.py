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
# # Problem set 05 · What it is to generate, and how to tell
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/assignments/ps05_generation/ps05_generation.ipynb)
#
# Seven tasks in code (50 points) and two written answers (6 points): **56 points**, about 250 minutes. No GPU is needed.
# The lecture is `notebooks/05_generation.ipynb`.
#
# | task | | minutes | points |
# |---|---|---|---|
# | 1 | Divergences by samples, with their errors | 30 | 7 |
# | 2 | All Gaussians against all, and the one that covers them | 45 | 8 |
# | 3 | The inception score, in parts and without its bias | 40 | 7 |
# | 4 | A Fréchet distance that never sees a covariance | 20 | 7 |
# | 5 | As if there were infinitely many images | 30 | 7 |
# | 6 | Four questions to the neighbours | 35 | 7 |
# | 7 | Copies and birthdays | 30 | 7 |
# | 8, 9 | Written answers | 20 | 3 + 3 |
#
# **How it works.** Replace each `raise NotImplementedError()` by your code. The cell below it checks your work and says
# what is likely wrong. After you hand in, hidden tests use other data, other shapes and extreme cases. No task needs
# another task's code, so do them in any order.
#
# **Rules.** Functions leave what they are given as it was. `course_lib.losses`, `course_lib.metrics` and
# `torch.distributions` are there to compare with, not to be called in an answer.
#
# **Notation** as in the lecture: natural logarithms (nats); samples or features are rows, $(N, D)$. A single number may be
# returned as a float or as a tensor of shape `()`. Inputs are float64 unless a task says otherwise.

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

from course_lib.checks import generation as checks
from course_lib.data import digits

device, budget = course_lib.start(BUDGET, SEED, device="cpu")

# %% [markdown]
# ## Task 1 · Divergences by samples, with their errors
#
# *30 minutes, 7 points*
#
# The lecture estimates $\mathrm{KL}(p\,\|\,q)$ by the mean of $\log\frac{p}{q}$ over samples of $p$. A single estimate may be negative. There
# is another estimate: with $u = \log\frac{q(x)}{p(x)}$, average
#
# $$t(x) = e^{u} - 1 - u .$$
#
# If $p$ is 0 only where $q$ is, $\mathbb{E}_p\,e^{u} = \int q = 1$, so the mean is KL again; and $t \ge 0$ for every single sample, by the lecture's inequality, which says $e^u \ge 1 + u$. Where
# $p$ and $q$ are nearly equal, $u$ is tiny, and in the computer $e^u - 1$ keeps few of its digits; `torch.expm1` keeps them all.
#
# `kl_never_negative` returns this mean over $N$ samples, and its **standard error**: the standard deviation of the $N$ terms (with $N - 1$) over $\sqrt N$.
#
# `js_by_samples` does the same for $\mathrm{JS} = \frac12\mathbb{E}_p\log\frac pm + \frac12\mathbb{E}_q\log\frac qm$, $m = \frac{p+q}2$, from $N$ samples $x$ of $p$ and
# $M$ samples $y$ of $q$. The two samples are independent: variances of independent means add. Densities span hundreds of orders of magnitude, so never take $e$ to the power of a
# log-density itself; and at a sample of the one, the other may be 0, its logarithm $-\infty$.


# %% nbgrader={"grade": false, "grade_id": "by-samples", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_never_negative(log_p, log_q):
    """KL(p || q) by the mean of q/p - 1 - log q/p.

    Args:
        log_p, log_q: the log-densities at N samples of p, (N,), finite.

    Returns:
        (estimate, standard error), nats.
    """
    ### BEGIN SOLUTION
    u = log_q - log_p
    terms = torch.expm1(u) - u
    return terms.mean(), terms.std() / math.sqrt(len(terms))
    ### END SOLUTION


def js_by_samples(log_p_x, log_q_x, log_p_y, log_q_y):
    """JS(p, q) from samples of both.

    Args:
        log_p_x, log_q_x: the log-densities at N samples of p, (N,); log_q_x may be -inf.
        log_p_y, log_q_y: the same at M samples of q, (M,); log_p_y may be -inf.

    Returns:
        (estimate, standard error), nats.
    """
    ### BEGIN SOLUTION
    zero = torch.zeros((), dtype=log_p_x.dtype)
    a = math.log(2) - torch.logaddexp(zero, log_q_x - log_p_x)  # log p/m at x
    b = math.log(2) - torch.logaddexp(zero, log_p_y - log_q_y)  # log q/m at y
    return (a.mean() + b.mean()) / 2, (a.var() / len(a) + b.var() / len(b)).sqrt() / 2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "by-samples-kl", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_kl_never_negative(kl_never_negative)
### BEGIN HIDDEN TESTS
for seed, count, shift, scale in (
    (0, 7, 0.0, 0.5),
    (1, 40, -900.0, 1.0),
    (2, 60, 2.0, 1e-6),
    (3, 2, 0.0, 2.0),
    (7, 30, 1.0, 1e-3),
):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    log_p = shift + torch.rand(count, generator=draws, dtype=torch.float64)
    log_q = log_p + scale * (2 * torch.rand(count, generator=draws, dtype=torch.float64) - 1)
    kept = log_p.clone(), log_q.clone()
    got, error = kl_never_negative(log_p, log_q)
    assert torch.equal(log_p, kept[0]), "changed what it was given"
    assert torch.equal(log_q, kept[1]), "changed what it was given"
    terms = [math.expm1(b - a) - (b - a) for a, b in zip(log_p.tolist(), log_q.tolist(), strict=True)]
    mean = sum(terms) / count
    spread = sum((t - mean) ** 2 for t in terms) / (count - 1)
    assert abs(float(got) - mean) < 1e-6 * mean
    assert abs(float(error) - (spread / count) ** 0.5) < 1e-6 * mean
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "by-samples-js", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_js_by_samples(js_by_samples)
### BEGIN HIDDEN TESTS
for seed, n, m, shift in ((4, 6, 15, 0.0), (5, 30, 4, -2000.0), (6, 3, 3, 1500.0)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    given = [shift + 6 * torch.rand(k, generator=draws, dtype=torch.float64) for k in (n, n, m, m)]
    given[1][0] = given[2][1] = -math.inf
    given[1][1] -= 3000.0
    kept = [part.clone() for part in given]
    got, error = js_by_samples(*given)
    assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True)), "changed what it was given"
    means, squares = [], []
    for own, other in ((given[0], given[1]), (given[3], given[2])):
        terms = []
        for a, b in zip(own.tolist(), other.tolist(), strict=True):
            top = max(a, b)
            terms.append(math.log(2) + a - top - math.log(math.exp(a - top) + math.exp(b - top)))
        means.append(sum(terms) / len(terms))
        squares.append(sum((t - means[-1]) ** 2 for t in terms) / (len(terms) - 1) / len(terms))
    assert abs(float(got) - sum(means) / 2) < 1e-7
    assert abs(float(error) - sum(squares) ** 0.5 / 2) < 1e-7
apart, error = js_by_samples(torch.zeros(4), torch.full((4,), -math.inf), torch.full((3,), -math.inf), torch.zeros(3))
assert abs(float(apart) - math.log(2)) < 1e-6 and abs(float(error)) < 1e-6
### END HIDDEN TESTS

# %% [markdown]
# The lecture's estimate of KL against yours, for two Gaussians that come nearer and nearer. Which has the smaller error when they are near, and which when they are far? (Beware of a $q$ much *wider* than $p$: $\mathbb{E}_p\,e^{2u} = \int q^2/p$ is infinite for Gaussians from $\sigma_q^2 = 2\sigma_p^2$ on, and then the standard error that is printed means nothing.)

# %%
with checks.when_done("Task 1"):
    x = torch.randn(budget.pick(smoke=500, laptop=5000), generator=torch.Generator().manual_seed(SEED)).double()
    shifts = torch.logspace(-2, 0.5, 12).double()
    both = {"mean of log p/q": [], "never negative": []}
    for shift in shifts:
        log_p, log_q = -(x**2) / 2, -((x - shift) ** 2) / 2
        both["mean of log p/q"].append(float((log_p - log_q).std()) / len(x) ** 0.5)
        both["never negative"].append(float(kl_never_negative(log_p, log_q)[1]))
    _, ax = plt.subplots(figsize=(6, 3.2))
    for name, errors in both.items():
        ax.loglog(shifts, errors, "o-", label=name)
    ax.loglog(shifts, shifts**2 / 2, "k--", label="KL itself")
    ax.set(xlabel="distance of the means", ylabel="standard error, nats")
    ax.legend()
    plt.show()

# %% [markdown]
# ## Task 2 · All Gaussians against all, and the one that covers them
#
# *45 minutes, 8 points*
#
# In $D$ dimensions, for $p = N(a, A)$ and $q = N(b, B)$,
#
# $$\mathrm{KL}(p\,\|\,q) = \tfrac12\Big(\log\frac{\det B}{\det A} + \operatorname{tr}B^{-1}A + (b-a)^{\top}B^{-1}(b-a) - D\Big) .$$
#
# In 64 dimensions determinants overflow or vanish, and inverses lose digits. With Cholesky's roots, $A = PP^{\top}$ and $B = QQ^{\top}$, neither is needed:
# $\log\det A = 2\sum_i\log P_{ii}$, $\;\operatorname{tr}B^{-1}A = \lVert Q^{-1}P\rVert_F^2$, and the third term is $\lVert Q^{-1}(b - a)\rVert^2$. `torch.linalg.solve_triangular(Q, P, upper=False)` is
# $Q^{-1}P$; it takes batches, leading axes of length 1 are repeated as needed, and a vector must be a column, `[..., None]`.
#
# `kl_of_gaussians` compares each of $K$ Gaussians with each of $J$ others, $(K, J)$; entry $k, j$ is $\mathrm{KL}(p_k\,\|\,q_j)$.
#
# `covering_gaussian` returns the Gaussian $q$ that minimises $\mathrm{KL}(p\,\|\,q)$ where $p = \sum_k\pi_k N(a_k, A_k)$ is their mixture. The lecture has it for one dimension: $q$ has the mean and the covariance of $p$. Express
# both by $\pi_k$, $a_k$, $A_k$. (The covariance has two parts: within the bumps, and between them.)


# %% nbgrader={"grade": false, "grade_id": "gaussians", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_of_gaussians(means, covariances, other_means, other_covariances):
    """KL(p_k || q_j) for all k and j.

    Args:
        means: (K, D). covariances: (K, D, D), positive definite. other_means: (J, D). other_covariances: (J, D, D).

    Returns:
        (K, J), nats.
    """
    ### BEGIN SOLUTION
    P, Q = torch.linalg.cholesky(covariances), torch.linalg.cholesky(other_covariances)
    log_p, log_q = (L.diagonal(dim1=1, dim2=2).log().sum(1) for L in (P, Q))  # half the log-determinants
    spread = torch.linalg.solve_triangular(Q[None], P[:, None], upper=False)  # (K, J, D, D)
    off = torch.linalg.solve_triangular(Q[None], (other_means[None] - means[:, None])[..., None], upper=False)
    trace, distance = spread.square().sum((2, 3)), off.square().sum((2, 3))
    return log_q[None] - log_p[:, None] + (trace + distance - means.shape[1]) / 2
    ### END SOLUTION


def covering_gaussian(shares, means, covariances):
    """The Gaussian nearest to a mixture of Gaussians, by KL(mixture || Gaussian).

    Args:
        shares: (K,), at least 0, with sum 1. means: (K, D). covariances: (K, D, D).

    Returns:
        (mean, covariance): (D,) and (D, D).
    """
    ### BEGIN SOLUTION
    mean = shares @ means
    off = means - mean
    within = (shares[:, None, None] * covariances).sum(0)
    between = (shares[:, None] * off).T @ off
    return mean, within + between
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "gaussians-kl", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
checks.check_kl_of_gaussians(kl_of_gaussians)
### BEGIN HIDDEN TESTS
for seed, K, J, D, unit in ((0, 3, 2, 4, 1.0), (1, 1, 4, 1, 1.0), (2, 2, 3, 64, 1e-7), (3, 2, 2, 64, 1e7)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    a, A = checks.some_gaussians(draws, K, D)
    b, B = checks.some_gaussians(draws, J, D)
    expected = torch.empty(K, J, dtype=torch.float64)
    for k in range(K):  # KL does not depend on the unit of x
        for j in range(J):
            inverse = torch.linalg.inv(B[j])
            ratio = torch.linalg.slogdet(B[j]).logabsdet - torch.linalg.slogdet(A[k]).logabsdet
            away = b[j] - a[k]
            expected[k, j] = (ratio + (inverse @ A[k]).trace() + away @ inverse @ away - D) / 2
    given = [unit * a, unit**2 * A, unit * b, unit**2 * B]
    kept = [part.clone() for part in given]
    got = torch.as_tensor(kl_of_gaussians(*given), dtype=torch.float64)
    assert all(torch.equal(c, d) for c, d in zip(given, kept, strict=True)), "changed what it was given"
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-7)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "gaussians-covering", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_covering_gaussian(covering_gaussian)
### BEGIN HIDDEN TESTS
for seed, K, D in ((4, 3, 2), (5, 2, 5), (6, 6, 1)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    a, A = checks.some_gaussians(draws, K, D)
    a = a + 5
    shares = 0.1 + torch.rand(K, generator=draws, dtype=torch.float64)
    shares = shares / shares.sum()
    kept = shares.clone(), a.clone(), A.clone()
    mean, covariance = (torch.as_tensor(part, dtype=torch.float64) for part in covering_gaussian(shares, a, A))
    assert torch.equal(shares, kept[0]) and torch.equal(a, kept[1]) and torch.equal(A, kept[2]), "changed"
    first = sum(float(shares[k]) * a[k] for k in range(K))
    second = sum(float(shares[k]) * (A[k] + torch.outer(a[k], a[k])) for k in range(K))
    torch.testing.assert_close(mean, first, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(covariance, second - torch.outer(first, first), rtol=1e-8, atol=1e-8)
### END HIDDEN TESTS

# %% [markdown]
# A Gaussian for each class of digits. Row: $p$; column: $q$. Which two classes are hardest to tell apart? Is the matrix symmetric?

# %%
with checks.when_done("Task 2"):
    x, y = digits("train")
    x = x.flatten(1).double()
    means = torch.stack([x[y == k].mean(0) for k in range(10)])
    covariances = torch.stack([x[y == k].T.cov() for k in range(10)]) + 0.05 * torch.eye(64).double()
    between = kl_of_gaussians(means, covariances, means, covariances)
    _, ax = plt.subplots(figsize=(4.4, 3.6))
    shown = ax.imshow(between.clamp(min=0).numpy(), cmap="viridis")
    ax.figure.colorbar(shown, label="KL, nats")
    ax.set(xlabel="digit of q", ylabel="digit of p", xticks=range(10), yticks=range(10))
    plt.show()

# %% [markdown]
# ## Task 3 · The inception score, in parts and without its bias
#
# *40 minutes, 7 points*
#
# The score of $N$ images is $e^{I}$ with $I = \frac1N\sum_i\sum_k p_{ik}\log p_{ik} - \sum_k\bar p_k\log\bar p_k$, where $p_{ik}$ is the softmax of the logits and $\bar p_k$ its mean over the images. $0\log 0$ is 0
# (`torch.xlogy`). Logits may be in the thousands, so that many $p_{ik}$ are 0 in the computer, and $\bar p_k$ of a class that no image shows is 0, too.
#
# `inception_scores` cuts the images, in their order, into `parts` contiguous blocks whose sizes differ by at most one, the longer ones first; **no image is lost**. It returns the score of each.
#
# Few images have too uneven a mean $\bar p$, so the score depends on their number. The **jackknife** estimates this bias from the images at hand: leave each image out in turn, and let $I_{-i}$ be the information of the
# other $N - 1$. If the bias is $c/N$, leaving one out changes it by $c/(N-1) - c/N$, and
#
# $$\hat I = N I - (N-1)\,\overline{I_{-i}}, \qquad \text{standard error} = \sqrt{\tfrac{N-1}{N}\sum_i \big(I_{-i} - \overline{I_{-i}}\big)^2} ,$$
#
# where the bar is the mean over $i$. The bias has gone, and an error came along for free. `jackknife` returns both, **in nats** (no power of $e$). You need no loop: the sums without image $i$ are the sums minus its own term. Taken as $N\bar p_k - p_{ik}$,
# what is 0 in exact arithmetic may be $-10^{-17}$, which has no logarithm.


# %% nbgrader={"grade": false, "grade_id": "score", "locked": false, "schema_version": 3, "solution": true, "task": false}
def inception_scores(logits, parts):
    """The inception score of each part of the images.

    Args:
        logits: (N, K). parts: how many parts, at most N.

    Returns:
        (parts,), each from 1 to K.
    """
    ### BEGIN SOLUTION
    scores = []
    for part in logits.tensor_split(parts):
        log_p = part.log_softmax(1)
        mean = log_p.exp().mean(0)
        scores.append(((log_p.exp() * log_p).sum(1).mean() - torch.xlogy(mean, mean).sum()).exp())
    return torch.stack(scores)
    ### END SOLUTION


def jackknife(logits):
    """The information between image and label, without the bias of order 1/N.

    Args:
        logits: (N, K), N at least 2.

    Returns:
        (information, standard error), nats.
    """
    ### BEGIN SOLUTION
    n = len(logits)
    log_p = logits.log_softmax(1)
    p = log_p.exp()
    own = (p * log_p).sum(1)  # minus each image's entropy
    mean, others = p.mean(0), ((p.sum(0) - p) / (n - 1)).clamp(min=0)
    whole = own.mean() - torch.xlogy(mean, mean).sum()
    without = (own.sum() - own) / (n - 1) - torch.xlogy(others, others).sum(1)
    error = ((n - 1) / n * (without - without.mean()).square().sum()).sqrt()
    return n * whole - (n - 1) * without.mean(), error
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "score-parts", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_inception_scores(inception_scores)
### BEGIN HIDDEN TESTS
for seed, count, classes, parts, size in (
    (0, 11, 4, 3, 1.0),
    (1, 20, 3, 1, 2000.0),
    (2, 14, 6, 4, 3.0),
    (3, 5, 2, 5, 1.0),
):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    logits = size * (torch.rand(count, classes, generator=draws, dtype=torch.float64) - 0.5) + 30
    kept = logits.clone()
    got = torch.as_tensor(inception_scores(logits, parts))
    assert torch.equal(logits, kept), "changed what it was given"
    assert got.shape == (parts,)
    first = 0
    for i in range(parts):
        length = count // parts + (i < count % parts)
        expected = math.exp(checks.information(logits[first : first + length]))
        assert abs(float(got[i]) - expected) < 1e-8 * expected
        first += length
for shown in (7, 4):  # sure images of 7 classes, of which 3 may never be shown
    sure = inception_scores(5000 * torch.eye(7, dtype=torch.float64)[:shown], 1)
    assert abs(float(sure[0]) - shown) < 1e-8
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "score-jackknife", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_jackknife(jackknife)
### BEGIN HIDDEN TESTS
for seed, count, classes, size in ((4, 6, 3, 2.0), (5, 49, 10, 3000.0), (6, 2, 2, 1.0)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    logits = size * torch.rand(count, classes, generator=draws, dtype=torch.float64)
    logits[0], logits[:, -1] = -2.0 * size, -2.0 * size  # and now one image has a class for itself
    logits[0, -1] = 2.0 * size
    kept = logits.clone()
    got, error = jackknife(logits)
    assert torch.equal(logits, kept), "changed what it was given"
    without = [checks.information(torch.cat([logits[:i], logits[i + 1 :]])) for i in range(count)]
    mean = sum(without) / count
    assert abs(float(got) - (count * checks.information(logits) - (count - 1) * mean)) < 1e-7
    expected = ((count - 1) / count * sum((v - mean) ** 2 for v in without)) ** 0.5
    assert abs(float(error) - expected) < 1e-7
### END HIDDEN TESTS

# %% [markdown]
# Ten equally likely classes, and a classifier that is nearly sure each time. What do small parts say, and what does the jackknife make of it?

# %%
with checks.when_done("Task 3"):
    draws = torch.Generator().manual_seed(SEED)
    sizes, plain, corrected = (20, 40, 80, 160, 320), [], []
    for n in sizes:
        tries = [8 * torch.eye(10).double()[torch.randint(10, (n,), generator=draws)] for _ in range(20)]
        plain.append(sum(float(inception_scores(t, 1)[0]) for t in tries) / 20)
        corrected.append(sum(math.exp(float(jackknife(t)[0])) for t in tries) / 20)
    _, ax = plt.subplots(figsize=(6, 3.2))
    ax.semilogx(sizes, plain, "o-", label="inception score")
    ax.semilogx(sizes, corrected, "o-", label="with the jackknife")
    ax.minorticks_off()
    ax.set(xticks=sizes, xticklabels=sizes, xlabel="images", ylabel="score, mean of 20 tries")
    ax.legend()
    plt.show()

# %% [markdown]
# ## Task 4 · A Fréchet distance that never sees a covariance
#
# *20 minutes, 7 points*
#
# Let $X$ be the $N\times D$ matrix of the features of one set, minus their mean, over $\sqrt{N-1}$, and $Y$ ($M\times D$) that of another. Then $A = X^{\top}X$ and $B = Y^{\top}Y$ are the covariances. The eigenvalues of $AB$ that are not 0 are those of
# $(XY^{\top})(XY^{\top})^{\top} = X B X^{\top}$ (cyclic exchange). So $\operatorname{tr}(AB)^{1/2}$ is the sum of the **singular values of** $XY^{\top}$, and no root of a matrix is left:
#
# $$d^2 = \lVert a - b\rVert^2 + \lVert X\rVert_F^2 + \lVert Y\rVert_F^2 - 2\sum_i\sigma_i(XY^{\top}) .$$
#
# $XY^{\top}$ is $N\times M$, though, and 20 000 images are usual. Write $X = Q_X R_X$ and $Y = Q_Y R_Y$ with orthonormal columns in $Q$ (`torch.linalg.qr(X, mode="r").R`); then $XY^{\top}$ and the small $R_X R_Y^{\top}$ have the same singular values.
#
# `frechet_of_samples` returns $d^2$. There may be fewer images than features, and features that never change. Features may be float32 with means much larger than their deviations: compute in float64. $d^2$ is never negative, also not by $10^{-15}$.


# %% nbgrader={"grade": false, "grade_id": "frechet", "locked": false, "schema_version": 3, "solution": true, "task": false}
def frechet_of_samples(x, y):
    """The squared Fréchet distance of the Gaussians with the moments of two sets of features.

    Args:
        x: (N, D). y: (M, D). N and M at least 2; float32 or float64.

    Returns:
        a number, float64, at least 0.
    """
    ### BEGIN SOLUTION
    x, y = x.double(), y.double()
    a, b = x.mean(0), y.mean(0)
    X, Y = (x - a) / math.sqrt(len(x) - 1), (y - b) / math.sqrt(len(y) - 1)
    R, S = torch.linalg.qr(X, mode="r").R, torch.linalg.qr(Y, mode="r").R
    common = torch.linalg.svdvals(R @ S.T).sum()
    return ((a - b).square().sum() + X.square().sum() + Y.square().sum() - 2 * common).clamp(min=0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "frechet-values", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_frechet(frechet_of_samples)
### BEGIN HIDDEN TESTS
for seed, n, m, D in ((0, 30, 20, 4), (1, 12, 50, 1), (2, 20_000, 15_000, 6)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    mix = torch.rand(2, D, D, generator=draws, dtype=torch.float64) + torch.eye(D, dtype=torch.float64)
    x = torch.rand(n, D, generator=draws, dtype=torch.float64) @ mix[0]
    y = torch.rand(m, D, generator=draws, dtype=torch.float64) @ mix[1] - 0.4
    kept = x.clone(), y.clone()
    got = float(frechet_of_samples(x, y))
    assert torch.equal(x, kept[0]) and torch.equal(y, kept[1]), "changed what it was given"
    expected = checks.frechet_by_roots(x, y)
    assert abs(got - expected) < 1e-6 * (1 + expected)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "frechet-extremes", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_frechet_extremes(frechet_of_samples)
### BEGIN HIDDEN TESTS
for seed, n, D in ((3, 5, 40), (4, 9, 9), (5, 2, 3)):  # fewer images than features
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = torch.rand(n, D, generator=draws, dtype=torch.float64)
    x[:, 0] = 0.5
    spread = float((x - x.mean(0)).square().sum()) / (n - 1)
    shift = torch.rand(D, generator=draws, dtype=torch.float64)
    # with c A beside A the formula can be done on paper
    y = (1.5 * (x - x.mean(0)) + x.mean(0) + shift).flip(0)
    expected = float(shift.square().sum()) + 0.25 * spread
    assert abs(float(frechet_of_samples(x, y)) - expected) < 1e-6
    same = float(frechet_of_samples(x, x.flip(0)))
    assert 0 <= same < 1e-6
    far, near = (4096 + x).float(), (4096 + y).float()
    got, wanted = float(frechet_of_samples(far, near)), checks.frechet_by_roots(far, near)
    assert abs(got - wanted) < 1e-6 * (1 + wanted)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5 · As if there were infinitely many images
#
# *30 minutes, 7 points*
#
# The Fréchet distance of $n$ images is about $d_\infty^2 + c/n$. Measure it for several $n$, draw a line through the values against $t = 1/n$, and read off where it meets $t = 0$.
#
# `measured` gets a function `measure` (features $(n, D)$ to a number) and features $x$. For each $n$ of `sizes` it puts the rows of $x$ into a **new random order** from `generator`, cuts off as many disjoint parts of $n$ rows as there
# are, $\lfloor N/n\rfloor$, and returns the mean of `measure` over them. (Rows left over are not used: a smaller part would have a larger bias.)
#
# `limit` fits the line $v = \alpha + \gamma t$ by least squares to $S \ge 3$ values and returns $\alpha$, $\gamma$ and the standard error of $\alpha$. With means over the sizes, $\bar t$ and $\bar v$,
#
# $$\gamma = \frac{\sum(t_s-\bar t)(v_s - \bar v)}{\sum(t_s-\bar t)^2}, \quad \alpha = \bar v - \gamma\,\bar t, \quad
#   \mathrm{se}(\alpha)^2 = \frac{\sum(v_s - \alpha - \gamma t_s)^2}{S - 2}\Big(\frac1S + \frac{\bar t^{\,2}}{\sum(t_s-\bar t)^2}\Big) .$$


# %% nbgrader={"grade": false, "grade_id": "infinity", "locked": false, "schema_version": 3, "solution": true, "task": false}
def measured(measure, x, sizes, generator):
    """For each n of sizes, the mean of a measure over disjoint random parts of n rows.

    Args:
        measure: features (n, D) -> a number. x: (N, D). sizes: integers, each at most N. generator: a torch.Generator.

    Returns:
        (S,), float64.
    """
    ### BEGIN SOLUTION
    found = []
    for n in sizes:
        shuffled = x[torch.randperm(len(x), generator=generator)]
        parts = len(x) // n
        found.append(sum(float(measure(shuffled[i * n : (i + 1) * n])) for i in range(parts)) / parts)
    return torch.tensor(found, dtype=torch.float64)
    ### END SOLUTION


def limit(sizes, values):
    """Where a straight line in 1/n meets 1/n = 0.

    Args:
        sizes: S integers, not all the same, S at least 3. values: (S,), float64.

    Returns:
        (alpha, gamma, standard error of alpha)
    """
    ### BEGIN SOLUTION
    t = 1 / torch.tensor(sizes, dtype=torch.float64)
    off = t - t.mean()
    gamma = (off * (values - values.mean())).sum() / off.square().sum()
    alpha = values.mean() - gamma * t.mean()
    noise = (values - alpha - gamma * t).square().sum() / (len(t) - 2)
    return alpha, gamma, (noise * (1 / len(t) + t.mean() ** 2 / off.square().sum())).sqrt()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "infinity-measured", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_measured(measured)
### BEGIN HIDDEN TESTS
for seed, count, sizes in ((0, 50, (7, 12, 50)), (1, 64, (16, 16, 64)), (2, 41, (20,))):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = torch.rand(count, 2, generator=draws, dtype=torch.float64)
    x[:, 0] = torch.arange(count)  # rows that can be recognised
    kept, asked = x.clone(), []

    def remembered(part, asked=asked):
        asked.append(part.clone())
        return len(asked) ** 2 + 0.25

    got = torch.as_tensor(measured(remembered, x, list(sizes), torch.Generator().manual_seed(checks.fresh(seed + 10))))
    assert torch.equal(x, kept), "changed what it was given"
    assert got.shape == (len(sizes),)
    assert len(asked) == sum(count // n for n in sizes)
    first, orders = 0, []
    for s, n in enumerate(sizes):
        parts = asked[first : first + count // n]
        assert all(part.shape == (n, 2) for part in parts)
        rows = [int(row) for part in parts for row in part[:, 0].tolist()]
        assert len(set(rows)) == len(rows), "a row occurs twice"
        assert rows != sorted(rows), "the order is random"
        assert all(torch.equal(part, x[part[:, 0].long()]) for part in parts), "whole rows"
        mean = sum((first + i + 1) ** 2 + 0.25 for i in range(len(parts))) / len(parts)
        assert abs(float(got[s]) - mean) < 1e-9
        orders.append(rows[:14])
        first += len(parts)
    assert len({tuple(rows) for rows in orders}) == len(orders), "a new order for each size"
    before = [part.clone() for part in asked]
    asked.clear()
    measured(remembered, x, list(sizes), torch.Generator().manual_seed(checks.fresh(seed + 10)))
    assert all(torch.equal(a, b) for a, b in zip(before, asked, strict=True)), "the same from the same generator"
draws, x = torch.Generator().manual_seed(checks.fresh(30)), torch.arange(50, dtype=torch.float64)[:, None]
asked.clear()
measured(remembered, x, [26] * 30, draws)
assert len({int(row) for part in asked for row in part[:, 0].tolist()}) == 50, "every row has its turn"
assert len({int(part[0, 0]) for part in asked}) > 1, "every place is shuffled"
assert [int(value) for value in measured(lambda part: len(part), x, [20, 50, 7], draws)] == [20, 50, 7], (
    "sizes in any order"
)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "infinity-limit", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_limit(limit)
### BEGIN HIDDEN TESTS
for seed, sizes in ((3, [100, 200, 400, 800]), (4, [5, 7, 50]), (5, [10_000, 20_000, 20_000, 50_000, 15_000])):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    values = 3 * torch.rand(len(sizes), generator=draws, dtype=torch.float64)
    kept = values.clone()
    alpha, gamma, error = (float(part) for part in limit(sizes, values))
    assert torch.equal(values, kept), "changed what it was given"
    unit = min(sizes)  # in units of 1/unit the matrix is well conditioned
    design = torch.tensor([[1.0, unit / n] for n in sizes], dtype=torch.float64)
    fit = torch.linalg.pinv(design) @ values
    noise = (values - design @ fit).square().sum() / (len(sizes) - 2)
    covariance = noise * torch.linalg.inv(design.T @ design)
    assert abs(alpha - float(fit[0])) < 1e-7 * (1 + abs(alpha))
    assert abs(gamma - unit * float(fit[1])) < 1e-7 * (1 + abs(gamma))
    assert abs(error - float(covariance[0, 0].sqrt())) < 1e-6 * (1 + error)
    for start in (2.5, -0.5):
        exact = start + 7.0 / torch.tensor(sizes, dtype=torch.float64)
        alpha, gamma, error = (float(part) for part in limit(sizes, exact))
        assert abs(alpha - start) < 1e-7 and abs(gamma - 7) < 3e-8 and abs(error) < 1e-7
### END HIDDEN TESTS

# %% [markdown]
# The distance of standard normal points in 8 dimensions from many others. The line should begin at 0: does it, within twice its error? (The error knows only how the values scatter about the line. It does not know that all parts are cut
# from the same points, nor that the bias bends a little where $n$ is small.)

# %%
with checks.when_done("Tasks 4 and 5"):
    draws = torch.Generator().manual_seed(SEED)
    truth = torch.randn(20_000, 8, generator=draws).double()
    x = torch.randn(budget.pick(smoke=2000, laptop=16_000), 8, generator=draws).double()
    sizes = [50, 100, 200, 400, 1000]
    values = measured(lambda part: frechet_of_samples(part, truth), x, sizes, draws)
    alpha, gamma, error = (float(part) for part in limit(sizes, values))
    _, ax = plt.subplots(figsize=(6, 3.2))
    ax.plot([1 / n for n in sizes], values, "o", label="measured")
    ax.plot([0, 0.02], [alpha, alpha + 0.02 * gamma], label=f"at 1/n = 0: {alpha:.4f} ± {error:.4f}")
    ax.set(xlabel="1/n", ylabel="squared Fréchet distance")
    ax.legend()
    plt.show()

# %% [markdown]
# ## Task 6 · Four questions to the neighbours
#
# *35 minutes, 7 points*
#
# Around each of $N$ real features lies a ball that reaches to its $k$-th nearest *other* real feature; around each of $M$ generated ones a ball that reaches to its $k$-th nearest other generated one. A point on the surface is inside. The lecture has two
# questions; [Naeem et al. 2020](https://arxiv.org/abs/2002.09797) add two:
#
# - **precision**: the share of generated points that are in at least one real ball;
# - **recall**: the share of real points that are in at least one generated ball;
# - **density**: in how many real balls a generated point is, on average, divided by $k$;
# - **coverage**: the share of real balls that hold at least one generated point.
#
# A single real outlier has a huge ball, and everything inside it counts as precise. Density gives it the weight of one ball only, at most $1/k$. A single generated outlier does the same to recall; coverage never looks at generated balls.
#
# `neighbour_scores` returns the four, in this order. "Other" means another row: two rows may be equal, and then their distance is 0. Features may be float32 and far from 0, where `torch.cdist` loses their differences; converted to float64
# they are safe. (Do not shift or scale them: a point on a surface would leave it by a rounding error.)


# %% nbgrader={"grade": false, "grade_id": "neighbours", "locked": false, "schema_version": 3, "solution": true, "task": false}
def neighbour_scores(real, fake, k):
    """Precision, recall, density and coverage.

    Args:
        real: (N, D). fake: (M, D); float32 or float64. k: from 1 to min(N, M) - 1.

    Returns:
        (precision, recall, density, coverage)
    """
    ### BEGIN SOLUTION
    real, fake = real.double(), fake.double()

    def radius(z):
        distance = torch.cdist(z, z).fill_diagonal_(math.inf)
        return distance.kthvalue(k, dim=1).values

    distance = torch.cdist(real, fake)  # (N, M)
    in_real = distance <= radius(real)[:, None]
    in_fake = distance <= radius(fake)[None]
    precision = in_real.any(0).double().mean()
    recall = in_fake.any(1).double().mean()
    density = in_real.double().sum() / (k * len(fake))
    coverage = in_real.any(1).double().mean()
    return precision, recall, density, coverage
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "neighbours-lecture", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_precision_recall(neighbour_scores)
### BEGIN HIDDEN TESTS
for seed, n, m, D, k, high, far in ((0, 40, 25, 3, 3, 6, 0), (1, 9, 30, 1, 1, 12, 0), (2, 60, 60, 8, 5, 9, 30_000)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    real = checks.some_points(draws, n, D, 0, high, far)
    fake = checks.some_points(draws, m, D, high / 3, high + high / 3, far)
    kept = real.clone(), fake.clone()
    got = [float(part) for part in neighbour_scores(real, fake, k)]
    assert torch.equal(real, kept[0]) and torch.equal(fake, kept[1]), "changed what it was given"
    expected = checks.scores_by_counting(real.tolist(), fake.tolist(), k)
    assert all(abs(a - b) < 1e-6 for a, b in zip(got[:2], expected[:2], strict=True))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "neighbours-density", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_density_coverage(neighbour_scores)
### BEGIN HIDDEN TESTS
for seed, n, m, D, k, high, far in ((3, 30, 45, 2, 4, 7, 0), (4, 12, 5, 1, 2, 9, 0), (5, 50, 70, 8, 3, 9, 30_000)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    real = checks.some_points(draws, n, D, 0, high, far)
    fake = checks.some_points(draws, m, D, high / 3, high + high / 3, far)
    real[1] = real[0]  # two equal rows
    got = [float(part) for part in neighbour_scores(real, fake, k)]
    expected = checks.scores_by_counting(real.tolist(), fake.tolist(), k)
    assert all(abs(a - b) < 1e-6 for a, b in zip(got[2:], expected[2:], strict=True))
    other = [float(part) for part in neighbour_scores(fake, real, k)]
    expected = checks.scores_by_counting(fake.tolist(), real.tolist(), k)
    assert all(abs(a - b) < 1e-6 for a, b in zip(other[2:], expected[2:], strict=True))
line = torch.arange(5, dtype=torch.float64)[:, None]
got = [float(part) for part in neighbour_scores(line, torch.full((3, 1), 2.0, dtype=torch.float64), 2)]
assert abs(got[2] - 2.5) < 1e-6 and abs(got[3] - 1) < 1e-6, "a density may exceed 1"
### END HIDDEN TESTS

# %% [markdown]
# Real and generated points from two Gaussians that are apart, and one real point that moves away from all others. Which of the scores believe this one point?

# %%
with checks.when_done("Task 6"):
    draws = torch.Generator().manual_seed(SEED)
    real, fake = torch.randn(2, budget.pick(smoke=150, laptop=600), 8, generator=draws).double()
    fake = fake + 1.2
    distances, found = [d / 2 for d in range(17)], []
    for distance in distances:
        moved = real.clone()
        moved[0] = distance
        found.append([float(part) for part in neighbour_scores(moved, fake, 3)])
    _, ax = plt.subplots(figsize=(6, 3.2))
    for name, series in zip(("precision", "recall", "density", "coverage"), zip(*found, strict=True), strict=True):
        ax.plot(distances, series, "o-", label=name)
    ax.set(xlabel="each coordinate of one real point", ylabel="score")
    ax.legend()
    plt.show()

# %% [markdown]
# ## Task 7 · Copies and birthdays
#
# *30 minutes, 7 points*
#
# **Copies.** Let $d(x)$ be the distance from $x$ to the nearest training point. For $n$ samples and $m$ held-out points, `copying_test` returns the share of the $nm$ pairs in which the sample is nearer to the training data, $d(\text{sample}) < d(\text{held out})$; **a
# tie counts one half**. It is ½ for new samples, 1 for copies, and below ½ for samples that are farther from all data than new data are. Is 0.6 a lot? Were both kinds drawn from the same distribution, without ties, the share would have the mean ½ and the variance $\frac{n+m+1}{12\,nm}$. So it also returns
#
# $$z = \frac{\text{share} - \frac12}{\sqrt{(n+m+1)/(12\,nm)}} .$$
#
# **Birthdays.** Among 23 people two have the same birthday more often than not: with $S$ equally likely days and $N$ people, the $\frac{N(N-1)}2$ pairs contain $\frac{N(N-1)}{2S}$ equal ones on average. Turned round, a sampler's samples tell how many different images it can draw
# ([Arora and Zhang 2017](https://arxiv.org/abs/1706.08224)). `birthdays` counts the pairs of different rows whose distance is at most `radius` and returns the estimate of $S$, and `inf` where there is no such pair.


# %% nbgrader={"grade": false, "grade_id": "copies", "locked": false, "schema_version": 3, "solution": true, "task": false}
def copying_test(train, held_out, fake):
    """How often samples are nearer to the training data than new data are, and whether that can be chance.

    Args:
        train: (N, D). held_out: (m, D). fake: (n, D).

    Returns:
        (share, z)
    """
    ### BEGIN SOLUTION
    new, ours = torch.cdist(held_out, train).amin(1), torch.cdist(fake, train).amin(1)
    nearer = (ours[:, None] < new).double() + 0.5 * (ours[:, None] == new).double()
    share = nearer.mean()
    n, m = nearer.shape
    return share, (share - 0.5) / math.sqrt((n + m + 1) / (12 * n * m))
    ### END SOLUTION


def birthdays(x, radius):
    """How many different points a sampler can draw, from the number of near pairs.

    Args:
        x: (N, D), N at least 2. radius: up to which distance two points are the same.

    Returns:
        the estimate, a number; inf where no two points are the same.
    """
    ### BEGIN SOLUTION
    n = len(x)
    same = int((torch.pdist(x) <= radius).sum())
    return n * (n - 1) / 2 / same if same else math.inf
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "copies-test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_copying_test(copying_test)
### BEGIN HIDDEN TESTS
for seed, count, m, n, D, high in ((0, 12, 9, 15, 2, 20), (1, 5, 30, 4, 3, 9), (2, 40, 11, 11, 1, 60)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    train, held_out, fake = (checks.some_points(draws, k, D, 0, high, 0) for k in (count, m, n))
    fake[0] = train[0]
    kept = train.clone(), held_out.clone(), fake.clone()
    share, z = (float(part) for part in copying_test(train, held_out, fake))
    assert torch.equal(train, kept[0]) and torch.equal(held_out, kept[1]) and torch.equal(fake, kept[2]), "changed"
    new, ours = (
        [min(sum((a - b) ** 2 for a, b in zip(row, other, strict=True)) for other in train.tolist()) for row in part]
        for part in (held_out.tolist(), fake.tolist())
    )
    expected = sum((a < b) + 0.5 * (a == b) for a in ours for b in new) / (n * m)
    assert abs(share - expected) < 1e-6
    assert abs(z - (expected - 0.5) / ((n + m + 1) / (12 * n * m)) ** 0.5) < 1e-5
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "copies-birthdays", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_birthdays(birthdays)
### BEGIN HIDDEN TESTS
for seed, count, D, high, radius in ((3, 30, 2, 6, 0.0), (4, 20, 3, 5, 1.0), (5, 2, 1, 3, 5.0)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = torch.randint(high, (count, D), generator=draws).double()
    x[-1] = x[0]
    kept, rows = x.clone(), x.tolist()
    got = float(birthdays(x, radius))
    assert torch.equal(x, kept), "changed what it was given"
    same = 0
    for i in range(count):
        for j in range(i):
            same += sum((a - b) ** 2 for a, b in zip(rows[i], rows[j], strict=True)) <= radius**2
    assert abs(got - count * (count - 1) / 2 / same) < 1e-6 * got
assert float(birthdays(3.0 * torch.arange(6, dtype=torch.float64)[:, None], 2.0)) == math.inf
### END HIDDEN TESTS

# %% [markdown]
# Two sets of 180 test digits, and 180 training digits passed off as samples. And: how many images has a sampler that draws from 500 training digits, each time with the same chance?

# %%
with checks.when_done("Task 7"):
    train, test = (digits(which)[0].flatten(1).double() for which in ("train", "test"))
    for name, samples in (("new digits", test[180:]), ("training digits", train[:180])):
        print(
            "{:16} share {:.2f}, z = {:.1f}".format(name, *(float(v) for v in copying_test(train, test[:180], samples)))
        )
    for count in (30, 100, 300):
        drawn = torch.randint(500, (count,), generator=torch.Generator().manual_seed(SEED))
        print(f"{count} samples of 500 digits: about {float(birthdays(train[drawn], 1e-3)):.0f} different ones")

# %% [markdown]
# ## Task 8 · Written: "better than the state of the art"
#
# *10 minutes, 3 points*
#
# A report: "Our generator reaches an FID of 8.1, measured with 50 000 of its samples against the 10 000 training images. The best published value is 9.4, from 5 000 samples. We chose the checkpoint with the lowest FID of 200." Name
# **three** reasons why this does not show that the generator is better, and for each say what you would do. Six sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-fid", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# For example (three of these, each with its remedy: 1 point a pair):
#
# - The numbers of samples differ, and the bias falls as 1/N: the published generator, measured with 50 000, may well be below 8.1. Measure both with equally many, or extrapolate both to 1/N = 0.
# - Against the training images, copies look best. Use held-out images as the reference, and report a test for copying.
# - The least of 200 noisy values is too low by chance, and fits this judge and this reference. Choose the checkpoint with other images (and another judge) than those that give the reported value.
# - Judge, weights, resizing and reference may differ between the two papers. Run both samplers through the same code.
# - One number has no error and does not say what is wrong. Repeat with other seeds; add precision and recall, and pictures.

# %% [markdown]
# ## Task 9 · Written: which direction, which symptom
#
# *10 minutes, 3 points*
#
# Two models are trained on the same data, which have many separate modes. $A$ minimises $\mathrm{KL}(p_{\text{data}}\,\|\,q)$, $B$ minimises $\mathrm{KL}(q\,\|\,p_{\text{data}})$; both are too simple to fit. (a) What do you expect of precision and recall of each? (b) Which
# of the two can be trained from data alone, and why? (c) $B$'s inception score is near its maximum. Does that refute your answer to (a)? Five sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-directions", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# (a) A must not have q ≈ 0 where data are: it covers, so recall is high and, with samples in the valleys, precision low. B must not draw where no data are: precision is high, and modes that are left out cost little, so recall is low. [1 point]
#
# (b) A: its mean runs over data, and only q's density must be known. B needs the density of the data at its own samples, which nobody has (or an estimate of the ratio from samples, as in unit 08: accepted). [1 point]
#
# (c) No: the score asks only whether all classes occur and are clear. One sharp image for each class reaches the maximum, though nearly all of the variety within the classes is missing, and recall sees that. [1 point]
