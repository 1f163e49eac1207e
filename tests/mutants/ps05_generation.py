# ruff: noqa: E501
"""Wrong and right solutions of problem set 05, what it is to generate and how to tell."""

from __future__ import annotations

from course_lib.authoring.mutants import Edit, Task

# ---------------------------------------------------------------------------------------- task 1

TERMS = "terms = torch.expm1(u) - u"
KL = "return terms.mean(), terms.std() / math.sqrt(len(terms))"
A = "a = math.log(2) - torch.logaddexp(zero, log_q_x - log_p_x)"
B = "b = math.log(2) - torch.logaddexp(zero, log_p_y - log_q_y)"
JS = "return (a.mean() + b.mean()) / 2, (a.var() / len(a) + b.var() / len(b)).sqrt() / 2"
JS_ERROR = "(a.var() / len(a) + b.var() / len(b)).sqrt() / 2"
JS_MEAN = "return (a.mean() + b.mean()) / 2,"

by_samples = Task(
    wrong={
        "kl: plain mean": Edit((TERMS, "terms = -u")),
        "kl: q/p - 1 alone": Edit((TERMS, "terms = torch.expm1(u)")),
        "kl: sign of the logarithm": Edit((TERMS, "terms = torch.expm1(u) + u")),
        "kl: p and q exchanged": Edit(("u = log_q - log_p", "u = log_p - log_q")),
        "kl: 1 not subtracted": Edit((TERMS, "terms = torch.exp(u) - u")),
        "kl: rounded": Edit((TERMS, "terms = torch.exp(u) - 1 - u")),
        "kl: error of one term": Edit((KL, "return terms.mean(), terms.std()")),
        "kl: variance over N": Edit((KL, "return terms.mean(), terms.var() / len(terms)")),
        "kl: error of log p/q": Edit((KL, "return terms.mean(), u.std() / math.sqrt(len(u))")),
        "kl: half a square where u is small": Edit(
            (TERMS, "terms = torch.where(u.abs() < 3e-3, u**2 / 2, torch.expm1(u) - u)")
        ),
        "kl: divided by N": Edit((KL, "return terms.mean(), terms.std() / len(terms)")),
        "kl: N in the variance": Edit((KL, KL.replace(".std()", ".std(correction=0)"))),
        "js: half missing": Edit((JS_MEAN, "return a.mean() + b.mean(),")),
        "js: one mean for all": Edit((JS_MEAN, "return torch.cat([a, b]).mean(),")),
        "js: mixture without half": Edit((A, A.replace("math.log(2) - ", "-")), (B, B.replace("math.log(2) - ", "-"))),
        "js: q where p belongs": Edit(
            (A, A.replace("log_q_x - log_p_x", "log_p_x - log_q_x")),
            (B, B.replace("log_p_y - log_q_y", "log_q_y - log_p_y")),
        ),
        "js: errors added": Edit((JS_ERROR, "((a.var() / len(a)).sqrt() + (b.var() / len(b)).sqrt()) / 2")),
        "js: half missing in the error": Edit((JS_ERROR, "(a.var() / len(a) + b.var() / len(b)).sqrt()")),
        "js: half inside the root": Edit((JS_ERROR, "((a.var() / len(a) + b.var() / len(b)) / 2).sqrt()")),
        "js: densities underflow": Edit(
            (A, "a = log_p_x - ((log_p_x.exp() + log_q_x.exp()) / 2).log()"),
            (B, "b = log_q_y - ((log_p_y.exp() + log_q_y.exp()) / 2).log()"),
        ),
    },
    right={
        "sums and softplus by hand": """
def kl_never_negative(log_p, log_q):
    u = log_q - log_p
    t = torch.special.expm1(u) - u
    n = t.numel()
    mean = t.sum() / n
    return mean, (((t - mean) ** 2).sum() / (n - 1) / n) ** 0.5


def js_by_samples(log_p_x, log_q_x, log_p_y, log_q_y):
    means, squares = [], []
    for own, other in ((log_p_x, log_q_x), (log_q_y, log_p_y)):
        d = other - own
        t = math.log(2) - d.clamp(min=0) - torch.log1p(torch.exp(-d.abs()))
        means.append(t.mean())
        squares.append(t.var() / len(t))
    return sum(means) / 2, math.sqrt(float(sum(squares))) / 2
""",
        "the logarithm of the mixture": """
def kl_never_negative(log_p, log_q):
    ratio = log_p - log_q
    terms = ratio + torch.expm1(-ratio)
    return float(terms.mean()), float(terms.std()) / len(ratio) ** 0.5


def js_by_samples(log_p_x, log_q_x, log_p_y, log_q_y):
    m_x = torch.logsumexp(torch.stack([log_p_x, log_q_x]), dim=0) - math.log(2)
    m_y = torch.logsumexp(torch.stack([log_p_y, log_q_y]), dim=0) - math.log(2)
    a, b = (log_p_x - m_x) / 2, (log_q_y - m_y) / 2
    return a.mean() + b.mean(), torch.sqrt(a.var() / a.numel() + b.var() / b.numel())
""",
    },
)

# ---------------------------------------------------------------------------------------- task 2

ROOTS = "P, Q = torch.linalg.cholesky(covariances), torch.linalg.cholesky(other_covariances)"
PAIRS = "return log_q[None] - log_p[:, None] + (trace + distance - means.shape[1]) / 2"
LOGS = "log_q[None] - log_p[:, None]"
LOG_DETS = "log_p, log_q = (L.diagonal(dim1=1, dim2=2).log().sum(1) for L in (P, Q))"
MEAN = "mean = shares @ means"
WITHIN = "within = (shares[:, None, None] * covariances).sum(0)"
BETWEEN = "between = (shares[:, None] * off).T @ off"
COVER = "return mean, within + between"

gaussians = Task(
    wrong={
        "kl: p and q exchanged": Edit(
            (
                ROOTS,
                "means, covariances, other_means, other_covariances = other_means, other_covariances, means, covariances\n    "
                + ROOTS,
            ),
            (PAIRS, "return (" + PAIRS.removeprefix("return ") + ").T"),
        ),
        "kl: transposed": Edit((PAIRS, "return (" + PAIRS.removeprefix("return ") + ").T")),
        "kl: D not subtracted": Edit((PAIRS, PAIRS.replace(" - means.shape[1]", ""))),
        "kl: determinants twice": Edit((LOGS, "2 * (log_q[None] - log_p[:, None])")),
        "kl: determinants half": Edit((LOGS, "(log_q[None] - log_p[:, None]) / 2")),
        "kl: sign of the determinants": Edit((LOGS, "log_p[:, None] - log_q[None]")),
        "kl: half missing": Edit(
            (PAIRS, "return 2 * (log_q[None] - log_p[:, None]) + trace + distance - means.shape[1]")
        ),
        "kl: means missing": Edit((PAIRS, PAIRS.replace(" + distance", ""))),
        "kl: determinants missing": Edit((PAIRS, "return (trace + distance - means.shape[1]) / 2")),
        "kl: determinants underflow": Edit(
            (
                LOG_DETS,
                "log_p, log_q = torch.linalg.det(covariances).log() / 2, torch.linalg.det(other_covariances).log() / 2",
            )
        ),
        "covering: equal shares": Edit((MEAN, "mean = means.mean(0)")),
        "covering: nothing between": Edit((COVER, "return mean, within")),
        "covering: nothing within": Edit((COVER, "return mean, between")),
        "covering: mean not taken off": Edit(("off = means - mean", "off = means")),
        "covering: shares forgotten between": Edit((BETWEEN, "between = off.T @ off / len(off)")),
        "covering: shares forgotten within": Edit((WITHIN, "within = covariances.mean(0)")),
        "covering: shares squared": Edit((WITHIN, "within = (shares[:, None, None] ** 2 * covariances).sum(0)")),
    },
    right={
        "pair by pair": """
def kl_of_gaussians(means, covariances, other_means, other_covariances):
    rows = []
    for a, A in zip(means, covariances, strict=True):
        row = []
        for b, B in zip(other_means, other_covariances, strict=True):
            P, Q = torch.linalg.cholesky(A), torch.linalg.cholesky(B)
            both = torch.linalg.solve_triangular(Q, torch.cat([P, (b - a)[:, None]], dim=1), upper=False)
            row.append((Q.diag() / P.diag()).log().sum() + ((both**2).sum() - len(a)) / 2)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def covering_gaussian(shares, means, covariances):
    mean = (shares[:, None] * means).sum(0)
    C = torch.zeros_like(covariances[0])
    for share, a, A in zip(shares, means, covariances, strict=True):
        C = C + share * (A + torch.outer(a - mean, a - mean))
    return mean, C
""",
        "NumPy, and torch.cov with weights": """
def kl_of_gaussians(means, covariances, other_means, other_covariances):
    import numpy as np

    a, A, b, B = (part.numpy() for part in (means, covariances, other_means, other_covariances))
    D, found = a.shape[1], np.zeros((len(a), len(b)))
    for j in range(len(b)):
        Q = np.linalg.cholesky(B[j])
        for k in range(len(a)):
            spread, off = np.linalg.solve(Q, np.linalg.cholesky(A[k])), np.linalg.solve(Q, b[j] - a[k])
            logs = np.log(np.diag(Q)).sum() - np.linalg.slogdet(A[k])[1] / 2
            found[k, j] = logs + ((spread**2).sum() + (off**2).sum() - D) / 2
    return found


def covering_gaussian(shares, means, covariances):
    within = torch.einsum("k,kab->ab", shares, covariances)
    between = torch.cov(means.T, correction=0, aweights=shares).reshape(within.shape)
    return shares @ means, within + between
""",
        "cholesky_solve and second moments": """
def kl_of_gaussians(means, covariances, other_means, other_covariances):
    K, J, D = len(means), len(other_means), means.shape[1]
    Q = torch.linalg.cholesky(other_covariances)
    log_det = torch.linalg.slogdet(covariances).logabsdet
    other_log_det = 2 * torch.log(torch.diagonal(Q, dim1=-2, dim2=-1)).sum(-1)
    result = torch.zeros(K, J, dtype=means.dtype)
    for j in range(J):
        inverse_times_A = torch.cholesky_solve(covariances, Q[j].expand(K, D, D))
        off = (means - other_means[j]).unsqueeze(-1)
        far = (off * torch.cholesky_solve(off, Q[j].expand(K, D, D))).sum((1, 2))
        result[:, j] = (other_log_det[j] - log_det + inverse_times_A.diagonal(dim1=1, dim2=2).sum(1) + far - D) / 2
    return result


def covering_gaussian(shares, means, covariances):
    mean = torch.einsum("k,kd->d", shares, means)
    second = torch.einsum("k,kab->ab", shares, covariances + means[:, :, None] * means[:, None, :])
    return mean, second - torch.outer(mean, mean)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 3

PART = "for part in logits.tensor_split(parts):"
SCORE = "scores.append(((log_p.exp() * log_p).sum(1).mean() - torch.xlogy(mean, mean).sum()).exp())"
OTHERS = "mean, others = p.mean(0), ((p.sum(0) - p) / (n - 1)).clamp(min=0)"
WITHOUT = "without = (own.sum() - own) / (n - 1) - torch.xlogy(others, others).sum(1)"
ERROR = "error = ((n - 1) / n * (without - without.mean()).square().sum()).sqrt()"
CORRECTED = "return n * whole - (n - 1) * without.mean(), error"

score = Task(
    wrong={
        "parts: the rest is lost": Edit((PART, "for part in logits.split(len(logits) // parts)[:parts]:")),
        "parts: one part too many": Edit((PART, "for part in logits.split(len(logits) // parts):")),
        "parts: chunk": Edit((PART, "for part in logits.chunk(parts):")),
        "parts: like cards": Edit((PART, "for part in (logits[i::parts] for i in range(parts)):")),
        "parts: no power": Edit((SCORE, SCORE.replace(".exp())", ")"))),
        "parts: sign": Edit(
            (SCORE, "scores.append((torch.xlogy(mean, mean).sum() - (log_p.exp() * log_p).sum(1).mean()).exp())")
        ),
        "parts: one mean for all": Edit(
            (
                SCORE,
                "of_all = logits.softmax(1).mean(0)\n        scores.append((log_p.exp() * (log_p - of_all.log())).sum(1).mean().exp())",
            )
        ),
        "parts: own entropy missing": Edit((SCORE, "scores.append((-torch.xlogy(mean, mean).sum()).exp())")),
        "parts: 0 log 0": Edit(
            (
                SCORE,
                "p = log_p.exp()\n        scores.append(((p * p.log()).sum(1).mean() - (mean * mean.log()).sum()).exp())",
            )
        ),
        "parts: the rest in the last": Edit(
            (
                PART,
                "size = len(logits) // parts\n    for part in (logits[i * size : (i + 1) * size if i < parts - 1 else None] for i in range(parts)):",
            )
        ),
        "parts: a class that is not shown": Edit(
            (SCORE, SCORE.replace("torch.xlogy(mean, mean)", "(mean * mean.log())"))
        ),
        "parts: a class that is not shown, with the lecture's logarithms": Edit(
            (SCORE, "scores.append((log_p.exp() * (log_p - mean.log())).sum(1).mean().exp())")
        ),
        "parts: their mean": Edit(("return torch.stack(scores)", "return torch.stack(scores).mean()")),
        "jackknife: plain": Edit((CORRECTED, "return whole, error")),
        "jackknife: mean of those without one": Edit((CORRECTED, "return without.mean(), error")),
        "jackknife: bias added": Edit((CORRECTED, "return whole - (n - 1) * (whole - without.mean()), error")),
        "jackknife: N + 1": Edit((CORRECTED, "return (n + 1) * whole - n * without.mean(), error")),
        "jackknife: power": Edit((CORRECTED, "return (n * whole - (n - 1) * without.mean()).exp(), error")),
        "jackknife: sums still over N": Edit(
            (OTHERS, OTHERS.replace("(n - 1)", "n")), (WITHOUT, WITHOUT.replace("(n - 1)", "n"))
        ),
        "jackknife: the same mean throughout": Edit(
            (WITHOUT, WITHOUT.replace("torch.xlogy(others, others).sum(1)", "torch.xlogy(mean, mean).sum()"))
        ),
        "jackknife: a logarithm of less than 0": Edit(
            (OTHERS, "mean, others = p.mean(0), (n * p.mean(0) - p) / (n - 1)")
        ),
        "jackknife: deviation as error": Edit((ERROR, "error = without.std()")),
        "jackknife: error of a mean": Edit((ERROR, "error = without.std() / math.sqrt(n)")),
        "jackknife: factor missing": Edit((ERROR, ERROR.replace("(n - 1) / n * ", ""))),
        "jackknife: root missing": Edit((ERROR, ERROR.replace(").sqrt()", ")"))),
    },
    right={
        "bounds of the parts, and a loop": """
def inception_scores(logits, parts):
    n, scores, first = len(logits), [], 0
    for i in range(parts):
        size = n // parts + (1 if i < n % parts else 0)
        p = torch.softmax(logits[first : first + size], dim=1)
        mean = p.mean(dim=0, keepdim=True)
        kl = (torch.xlogy(p, p) - torch.xlogy(p, mean)).sum(dim=1)
        scores.append(math.exp(float(kl.mean())))
        first += size
    return torch.tensor(scores, dtype=logits.dtype)


def jackknife(logits):
    def information(p):
        mean = p.mean(0)
        return float(torch.special.xlogy(p, p).sum() / len(p) - torch.special.xlogy(mean, mean).sum())

    p = logits.softmax(1)
    n = len(p)
    without = [information(p[torch.arange(n) != i]) for i in range(n)]
    middle = sum(without) / n
    error = math.sqrt((n - 1) / n * sum((v - middle) ** 2 for v in without))
    return n * information(p) - (n - 1) * middle, error
""",
        "entropies": """
def inception_scores(logits, parts):
    p = logits.softmax(dim=-1)
    return torch.stack(
        [(torch.special.entr(part.mean(0)).sum() - torch.special.entr(part).sum(1).mean()).exp() for part in torch.tensor_split(p, parts)]
    )


def jackknife(logits):
    p = logits.softmax(dim=-1)
    n = p.shape[0]
    entropy = torch.special.entr(p).sum(1)
    rest = torch.relu(p.sum(0, keepdim=True) - p) / (n - 1)
    without = torch.special.entr(rest).sum(1) - (entropy.sum() - entropy) / (n - 1)
    whole = torch.special.entr(p.mean(0)).sum() - entropy.mean()
    middle = without.mean()
    return whole + (n - 1) * (whole - middle), (n - 1) / math.sqrt(n) * without.std()
""",
    },
)

# ---------------------------------------------------------------------------------------- task 4

DOUBLE = "x, y = x.double(), y.double()"
SCALED = "X, Y = (x - a) / math.sqrt(len(x) - 1), (y - b) / math.sqrt(len(y) - 1)"
COMMON = "common = torch.linalg.svdvals(R @ S.T).sum()"
SQUARE = "return ((a - b).square().sum() + X.square().sum() + Y.square().sum() - 2 * common).clamp(min=0)"

frechet = Task(
    wrong={
        "means not taken off": Edit((SCALED, SCALED.replace("(x - a)", "x").replace("(y - b)", "y"))),
        "N in the covariance": Edit((SCALED, SCALED.replace("len(x) - 1", "len(x)").replace("len(y) - 1", "len(y)"))),
        "distance of the means missing": Edit((SQUARE, SQUARE.replace("(a - b).square().sum() + ", ""))),
        "distance of the means not squared": Edit((SQUARE, SQUARE.replace("(a - b).square().sum()", "(a - b).norm()"))),
        "singular values once": Edit((SQUARE, SQUARE.replace("2 * common", "common"))),
        "singular values squared": Edit((COMMON, "common = torch.linalg.svdvals(R @ S.T).square().sum()")),
        "roots of the singular values": Edit((COMMON, "common = torch.linalg.svdvals(R @ S.T).sqrt().sum()")),
        "the root": Edit((SQUARE, SQUARE + ".sqrt()")),
        "transposed on the wrong side": Edit((COMMON, "common = torch.linalg.svdvals(R.T @ S).sum()")),
        "largest only": Edit((COMMON, "common = torch.linalg.svdvals(R @ S.T)[0]")),
        "float32": Edit((DOUBLE, "pass")),
        "naive eigenvalues": Edit((COMMON, "common = torch.linalg.eigvals(X.T @ X @ Y.T @ Y).real.sqrt().sum()")),
    },
    right={
        "symmetric roots": """
def frechet_of_samples(x, y):
    x, y = x.double(), y.double()
    D = x.shape[1]

    def root(z):
        w, V = torch.linalg.eigh(torch.cov(z.T).reshape(D, D))
        return V @ torch.diag(w.clamp(min=0).sqrt()) @ V.T

    A, B = root(x), root(y)
    d = (x.mean(0) - y.mean(0)).pow(2).sum() + (A * A).sum() + (B * B).sum() - 2 * torch.linalg.matrix_norm(A @ B, ord="nuc")
    return max(float(d), 0.0)
""",
        "right singular vectors": """
def frechet_of_samples(x, y):
    x, y = x.to(torch.float64), y.to(torch.float64)
    a, b = x.mean(dim=0), y.mean(dim=0)
    roots = []
    for z, mean in ((x, a), (y, b)):
        _, s, Vh = torch.linalg.svd((z - mean) / (len(z) - 1) ** 0.5, full_matrices=False)
        roots.append(s[:, None] * Vh)
    common = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    d = ((a - b) ** 2).sum() + sum((root**2).sum() for root in roots) - 2 * common
    return torch.relu(d)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 5

SHUFFLED = "shuffled = x[torch.randperm(len(x), generator=generator)]"
MEASURE = "found.append(sum(float(measure(shuffled[i * n : (i + 1) * n])) for i in range(parts)) / parts)"
T = "t = 1 / torch.tensor(sizes, dtype=torch.float64)"
ALPHA = "alpha = values.mean() - gamma * t.mean()"
NOISE = "noise = (values - alpha - gamma * t).square().sum() / (len(t) - 2)"
LIMIT = "return alpha, gamma, (noise * (1 / len(t) + t.mean() ** 2 / off.square().sum())).sqrt()"

infinity = Task(
    wrong={
        "measured: the rest too": Edit(("parts = len(x) // n", "parts = -(-len(x) // n)")),
        "measured: one part only": Edit(("parts = len(x) // n", "parts = 1")),
        "measured: drawn anew for each part": Edit(
            (
                MEASURE,
                "found.append(sum(float(measure(x[torch.randperm(len(x), generator=generator)[:n]])) for i in range(parts)) / parts)",
            )
        ),
        "measured: old order": Edit((SHUFFLED, "shuffled = x")),
        "measured: one order for all": Edit(
            (SHUFFLED, "shuffled = x[order]"),
            ("found = []", "found = []\n    order = torch.randperm(len(x), generator=generator)"),
        ),
        "measured: no generator": Edit((SHUFFLED, "shuffled = x[torch.randperm(len(x))]")),
        "measured: the last rows never": Edit(
            (SHUFFLED, "kept = len(x) // n * n\n        shuffled = x[:kept][torch.randperm(kept, generator=generator)]")
        ),
        "measured: sizes in order": Edit(("for n in sizes:", "for n in sorted(sizes):")),
        "measured: the first row stays": Edit(
            (SHUFFLED, "shuffled = torch.cat([x[:1], x[1:][torch.randperm(len(x) - 1, generator=generator)]])")
        ),
        "measured: with replacement": Edit(
            (SHUFFLED, "shuffled = x[torch.randint(len(x), (len(x),), generator=generator)]")
        ),
        "measured: sum": Edit((MEASURE, MEASURE.replace(" / parts)", ")"))),
        "measured: last part": Edit(
            (MEASURE, "found.append([float(measure(shuffled[i * n : (i + 1) * n])) for i in range(parts)][-1])")
        ),
        "measured: columns shuffled too": Edit(
            (SHUFFLED, "shuffled = torch.stack([c[torch.randperm(len(x), generator=generator)] for c in x.T], dim=1)")
        ),
        "limit: a line in n": Edit((T, "t = torch.tensor(sizes, dtype=torch.float64)")),
        "limit: 1/n in float32": Edit((T, "t = 1 / torch.tensor(sizes)")),
        "limit: never negative": Edit((ALPHA, "alpha = (values.mean() - gamma * t.mean()).clamp(min=0)")),
        "limit: exchanged": Edit((LIMIT, LIMIT.replace("alpha, gamma,", "gamma, alpha,"))),
        "limit: mean of the values": Edit((ALPHA, "alpha = values.mean()")),
        "limit: S": Edit((NOISE, NOISE.replace("(len(t) - 2)", "len(t)"))),
        "limit: S - 1": Edit((NOISE, NOISE.replace("(len(t) - 2)", "(len(t) - 1)"))),
        "limit: error of gamma": Edit((LIMIT, "return alpha, gamma, (noise / off.square().sum()).sqrt()")),
        "limit: squared error": Edit((LIMIT, LIMIT.replace(".sqrt()", ""))),
        "limit: error of the mean": Edit((LIMIT, "return alpha, gamma, (noise / len(t)).sqrt()")),
    },
    right={
        "split, and lstsq": """
def measured(measure, x, sizes, generator):
    result = torch.empty(len(sizes), dtype=torch.float64)
    for s, n in enumerate(sizes):
        order = torch.randperm(x.shape[0], generator=generator)
        parts = [part for part in order.split(n) if len(part) == n]
        result[s] = torch.tensor([float(measure(x[part])) for part in parts], dtype=torch.float64).mean()
    return result


def limit(sizes, values):
    design = torch.tensor([[1.0, 1.0 / n] for n in sizes], dtype=torch.float64)
    Q, R = torch.linalg.qr(design)
    alpha, gamma = torch.linalg.solve_triangular(R, (Q.T @ values)[:, None], upper=True)[:, 0]
    rest = values - design @ torch.stack([alpha, gamma])
    inverse = torch.linalg.inv(R)
    return alpha, gamma, (rest @ rest / (len(sizes) - 2)).sqrt() * inverse[0].norm()
""",
        "sorted noise, and plain floats": """
def measured(measure, x, sizes, generator):
    result = []
    for n in sizes:
        order = torch.rand(len(x), generator=generator).argsort()
        count = len(x) // n
        total = 0.0
        for part in order[: count * n].view(count, n):
            total += float(measure(x[part]))
        result.append(total / count)
    return torch.tensor(result, dtype=torch.float64)


def limit(sizes, values):
    t, v = [1 / n for n in sizes], values.tolist()
    S = len(t)
    middle, mean = sum(t) / S, sum(v) / S
    spread = sum((a - middle) ** 2 for a in t)
    gamma = sum((a - middle) * (b - mean) for a, b in zip(t, v, strict=True)) / spread
    alpha = mean - gamma * middle
    rest = sum((b - alpha - gamma * a) ** 2 for a, b in zip(t, v, strict=True))
    return alpha, gamma, math.sqrt(rest / (S - 2) * (1 / S + middle**2 / spread))
""",
    },
)

# ---------------------------------------------------------------------------------------- task 6

SELF = "distance = torch.cdist(z, z).fill_diagonal_(math.inf)"
RADIUS = "return distance.kthvalue(k, dim=1).values"
PRECISION = "precision = in_real.any(0).double().mean()"
DENSITY = "density = in_real.double().sum() / (k * len(fake))"
COVERAGE = "coverage = in_real.any(1).double().mean()"
FOUR = "return precision, recall, density, coverage"

neighbours = Task(
    wrong={
        "its own neighbour": Edit((SELF, "distance = torch.cdist(z, z)")),
        "one neighbour too far": Edit((RADIUS, "return distance.kthvalue(k + 1, dim=1).values")),
        "precision and recall exchanged": Edit((FOUR, "return recall, precision, density, coverage")),
        "precision by generated balls": Edit((PRECISION, "precision = in_fake.any(0).double().mean()")),
        "the surface is outside": Edit(
            ("in_real = distance <= radius(real)[:, None]", "in_real = distance < radius(real)[:, None]"),
            ("in_fake = distance <= radius(fake)[None]", "in_fake = distance < radius(fake)[None]"),
        ),
        "float32": Edit(("real, fake = real.double(), fake.double()", "pass")),
        "equal rows are left out": Edit(
            (SELF, "distance = torch.cdist(z, z)\n        distance = distance.masked_fill(distance == 0, math.inf)")
        ),
        "density not divided by k": Edit((DENSITY, "density = in_real.double().sum() / len(fake)")),
        "density divided by the real": Edit((DENSITY, "density = in_real.double().sum() / (k * len(real))")),
        "density summed": Edit((DENSITY, "density = in_real.double().sum() / k")),
        "density at most 1": Edit((DENSITY, DENSITY + "\n    density = density.clamp(max=1)")),
        "density and coverage exchanged": Edit((FOUR, "return precision, recall, coverage, density")),
        "coverage is recall": Edit((COVERAGE, "coverage = recall")),
        "coverage divided by the generated": Edit((COVERAGE, "coverage = in_real.any(1).double().sum() / len(fake)")),
    },
    right={
        "sorted, squared distances": """
def neighbour_scores(real, fake, k):
    real, fake = real.double(), fake.double()

    def square(a, b):
        return ((a[:, None] - b[None]) ** 2).sum(2)

    r = square(real, real).sort(dim=1).values[:, k : k + 1]  # the first of all is the point itself, or its equal
    s = square(fake, fake).sort(dim=1).values[:, k]
    between = square(real, fake)
    inside = (between <= r).double()
    return (
        inside.amax(0).mean(),
        (between <= s).double().amax(1).mean(),
        inside.sum(0).mean() / k,
        inside.amax(1).mean(),
    )
""",
        "point by point": """
def neighbour_scores(real, fake, k):
    real, fake = real.to(torch.float64), fake.to(torch.float64)

    def radii(z):
        found = []
        for i in range(len(z)):
            others = torch.cat([z[:i], z[i + 1 :]])
            found.append((others - z[i]).square().sum(1).sqrt().topk(k, largest=False).values[-1])
        return torch.stack(found)

    r, s = radii(real), radii(fake)
    precise = [bool(((real - y).square().sum(1).sqrt() <= r).any()) for y in fake]
    held = [int(((real - y).square().sum(1).sqrt() <= r).sum()) for y in fake]
    recalled = [bool(((fake - x).square().sum(1).sqrt() <= s).any()) for x in real]
    covered = [bool(((fake - x).square().sum(1).sqrt() <= radius).any()) for x, radius in zip(real, r, strict=True)]
    return sum(precise) / len(fake), sum(recalled) / len(real), sum(held) / len(fake) / k, sum(covered) / len(real)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 7

NEARER = "nearer = (ours[:, None] < new).double() + 0.5 * (ours[:, None] == new).double()"
Z = "return share, (share - 0.5) / math.sqrt((n + m + 1) / (12 * n * m))"
SAME = "same = int((torch.pdist(x) <= radius).sum())"
DAYS = "return n * (n - 1) / 2 / same if same else math.inf"

copies = Task(
    wrong={
        "ties count nothing": Edit((NEARER, "nearer = (ours[:, None] < new).double()")),
        "ties count one": Edit((NEARER, "nearer = (ours[:, None] <= new).double()")),
        "the other way": Edit((NEARER, NEARER.replace("<", ">"))),
        "a number of pairs": Edit(("share = nearer.mean()", "share = nearer.sum()")),
        "z: divided by the variance": Edit((Z, "return share, (share - 0.5) / ((n + m + 1) / (12 * n * m))")),
        "z: half not taken off": Edit((Z, Z.replace("(share - 0.5)", "share"))),
        "z: not divided": Edit((Z, "return share, share - 0.5")),
        "z: independent pairs": Edit((Z, "return share, (share - 0.5) / math.sqrt(0.25 / (n * m))")),
        "z: 12 missing": Edit((Z, Z.replace("(12 * n * m)", "(n * m)"))),
        "z: 1 missing": Edit((Z, Z.replace("(n + m + 1)", "(n + m)"))),
        "z: multiplied": Edit((Z, Z.replace(" / math.sqrt", " * math.sqrt"))),
        "nearest sample, not nearest training point": Edit(
            (
                "new, ours = torch.cdist(held_out, train).amin(1), torch.cdist(fake, train).amin(1)",
                "new, ours = torch.cdist(held_out, train).mean(1), torch.cdist(fake, train).mean(1)",
            )
        ),
        "birthdays: pairs twice": Edit((SAME, "same = int((torch.cdist(x, x) <= radius).sum()) - n")),
        "birthdays: with itself": Edit((SAME, "same = int((torch.cdist(x, x) <= radius).triu().sum())")),
        "birthdays: with itself and twice": Edit((SAME, "same = int((torch.cdist(x, x) <= radius).sum())")),
        "birthdays: number of pairs": Edit((DAYS, "return float(same) if same else math.inf")),
        "birthdays: N squared": Edit((DAYS, "return n * n / 2 / same if same else math.inf")),
        "birthdays: half missing": Edit((DAYS, "return n * (n - 1) / same if same else math.inf")),
        "birthdays: radius is far": Edit((SAME, SAME.replace("<=", "<"))),
        "birthdays: none is none": Edit((DAYS, "return n * (n - 1) / 2 / max(same, 1)")),
    },
    right={
        "loops": """
def copying_test(train, held_out, fake):
    new = [float((train - x).norm(dim=1).min()) for x in held_out]
    ours = [float((train - x).norm(dim=1).min()) for x in fake]
    n, m = len(ours), len(new)
    share = sum(1.0 if a < b else 0.5 if a == b else 0.0 for a in ours for b in new) / (n * m)
    return share, (share - 0.5) * math.sqrt(12 * n * m / (n + m + 1))


def birthdays(x, radius):
    near = 0
    for i in range(1, len(x)):
        near += int(((x[:i] - x[i]).norm(dim=1) <= radius).sum())
    return len(x) * (len(x) - 1) / (2 * near) if near else float("inf")
""",
        "signs, and a division by 0": """
def copying_test(train, held_out, fake):
    d = [((z[:, None] - train[None]) ** 2).sum(2).min(dim=1).values for z in (held_out, fake)]
    share = (1 + torch.sign(d[0][None] - d[1][:, None])).mean() / 2
    n, m = len(fake), len(held_out)
    return share, (share - 0.5) / ((n + m + 1) / 12 / n / m) ** 0.5


def birthdays(x, radius):
    n = len(x)
    near = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist") <= radius
    pairs = near.triu(diagonal=1).sum().double()
    return n * (n - 1) / 2 / pairs
""",
    },
)

TASKS = {
    "by-samples": by_samples,
    "gaussians": gaussians,
    "score": score,
    "frechet": frechet,
    "infinity": infinity,
    "neighbours": neighbours,
    "copies": copies,
}
