# ruff: noqa: E501
"""Wrong and right solutions of problem set 06, moment matching."""

from __future__ import annotations

from course_lib.authoring.mutants import Edit, Task

# ---------------------------------------------------------------------------------------- task 1

OFTEN = "torch.where(i == j, 1, 2)"
SECOND = "second = x.T @ x / len(x) - y.T @ y / len(y)"
LENGTHS = "return 2 * c * first.square().sum() + second.square().sum()"

quadratic = Task(
    wrong={
        "no root of 2": Edit((OFTEN, "torch.where(i == j, 1, 1)")),
        "2 in place of its root": Edit(("often.sqrt() *", "often *")),
        "every product twice": Edit(
            ("i, j = torch.triu_indices(d, d)", "i, j = torch.cartesian_prod(torch.arange(d), torch.arange(d)).T"),
            (OFTEN, "torch.where(i == j, 1, 1)"),
        ),
        "no products of two": Edit(("i, j = torch.triu_indices(d, d)", "i = j = torch.arange(d)")),
        "no constant": Edit(("[constant, ", "[")),
        "three coordinates only": Edit(
            ("i, j = torch.triu_indices(d, d)", "i, j = torch.tensor([[0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]])")
        ),
        "float64 comes back": Edit(("often.sqrt() *", "often.double().sqrt() *")),
        "features of all points together": """
def quadratic_features(x, c):
    n, d = x.shape
    values, vectors = torch.linalg.eigh((c + x @ x.T) ** 2)
    return torch.nn.functional.pad(vectors * values.clamp(min=0).sqrt(), (0, 1 + d + d * (d + 1) // 2 - n))


def mmd2_by_moments(x, y, c):
    return 2 * c * (x.mean(0) - y.mean(0)).square().sum() + (x.T @ x / len(x) - y.T @ y / len(y)).square().sum()
""",
        "moments: covariances": Edit((SECOND, "second = x.T.cov(correction=0) - y.T.cov(correction=0)")),
        "moments: from the table of kernel values": Edit(
            (LENGTHS, "k = lambda a, b: ((c + a @ b.T) ** 2).mean()\n    return k(x, x) - 2 * k(x, y) + k(y, y)")
        ),
        "moments: sums": Edit((SECOND, "second = x.T @ x - y.T @ y")),
        "moments: c for 2c": Edit((LENGTHS, LENGTHS.replace("2 * c", "c"))),
        "moments: squares alone": Edit((SECOND, "second = x.square().mean(0) - y.square().mean(0)")),
        "moments: both divided by N": Edit((SECOND, SECOND.replace("len(y)", "len(x)"))),
    },
    right={
        "loops": """
def quadratic_features(x, c):
    columns = [torch.full_like(x[:, 0], c)]
    for i in range(x.shape[1]):
        columns += [(2 * c) ** 0.5 * x[:, i], x[:, i] ** 2]
        columns += [2**0.5 * x[:, i] * x[:, j] for j in range(i)]
    return torch.stack(columns, dim=1)


def mmd2_by_moments(x, y, c):
    total = 2 * c * torch.linalg.vector_norm(x.mean(0) - y.mean(0)) ** 2
    gap = torch.einsum("ni,nj->ij", x, x) / x.shape[0] - torch.einsum("ni,nj->ij", y, y) / y.shape[0]
    return total + (gap * gap).sum()
""",
        "one more coordinate, the root of c": """
def quadratic_features(x, c):
    z = torch.cat([x, torch.full_like(x[:, :1], c**0.5)], dim=1)
    table = z[:, :, None] * z[:, None, :]
    d = z.shape[1]
    i, j = torch.triu_indices(d, d, offset=1)
    return torch.cat([table.diagonal(dim1=1, dim2=2), 2**0.5 * table[:, i, j]], dim=1)


def mmd2_by_moments(x, y, c):
    def second_moment(points):
        z = torch.cat([points, torch.full_like(points[:, :1], c**0.5)], dim=1)
        return z.T @ z / len(z)

    return torch.linalg.matrix_norm(second_moment(x) - second_moment(y)) ** 2
""",
    },
)

# ---------------------------------------------------------------------------------------- task 2

EXP = "p * torch.exp(-squares / (2 * s**2))"
FIRST = "first = (xx.sum() - xx.trace()) / (n * (n - 1))"
LAST = "last = (yy.sum() - yy.trace()) / (m * (m - 1))"
MIDDLE = "return (ordered[(k - 1) // 2] + ordered[k // 2]) / 2"
DISTANCES = "distances = nn.functional.pdist(torch.cat([x, y])).sort().values"

estimates = Task(
    wrong={
        "shares ignored": Edit((EXP, EXP.replace("p * ", ""))),
        "shares made to sum to 1": Edit((EXP, "p / sum(shares) * torch.exp(-squares / (2 * s**2))")),
        "no half": Edit((EXP, EXP.replace("(2 * s**2)", "s**2"))),
        "k(x, x) = 1": Edit((FIRST, FIRST.replace("xx.trace()", "n")), (LAST, LAST.replace("yy.trace()", "m"))),
        "diagonal in the sum": Edit(
            (FIRST, FIRST.replace(" - xx.trace()", "")), (LAST, LAST.replace(" - yy.trace()", ""))
        ),
        "divided by all": Edit((FIRST, FIRST.replace("(n - 1)", "n")), (LAST, LAST.replace("(m - 1)", "m"))),
        "both samples of N": Edit((LAST, LAST.replace("(m * (m - 1))", "(n * (n - 1))"))),
        "exchanged": Edit(("return biased, first - across + last", "return first - across + last, biased")),
        "multiplied out": Edit(
            (
                "squares = (a[:, None] - b[None]).square().sum(2)",
                "squares = a.square().sum(1)[:, None] - 2 * a @ b.T + b.square().sum(1)",
            )
        ),
        "cut off at 0": Edit(
            ("return biased, first - across + last", "return biased, (first - across + last).clamp(min=0)")
        ),
        "widths: the lower median says whether it is 0": Edit(("if median == 0:", "if torch.median(distances) == 0:")),
        "widths: distances by matrix products": Edit(
            (
                DISTANCES,
                "z = torch.cat([x, y])\n    i, j = torch.triu_indices(len(z), len(z), offset=1)\n    distances = torch.cdist(z, z)[i, j].sort().values",
            )
        ),
        "widths: lower median": Edit((MIDDLE, "return ordered[(k - 1) // 2]")),
        "widths: zeros of the diagonal": Edit(
            (
                DISTANCES,
                "z = torch.cat([x, y])\n    distances = (z[:, None] - z[None]).norm(dim=2).flatten().sort().values",
            )
        ),
        "widths: between samples only": Edit(
            (DISTANCES, "distances = (x[:, None] - y[None]).norm(dim=2).flatten().sort().values")
        ),
        "widths: 0 where most are equal": Edit(("if median == 0:", "if median < 0:")),
        "widths: distances of 0 never count": Edit(
            (DISTANCES, DISTANCES + "\n    distances = distances[distances > 0]")
        ),
        "widths: the mean": Edit(("median = middle(distances)", "median = distances.mean()")),
    },
    right={
        "kernel by kernel, sorted by Python": """
def estimates(x, y, sigmas, shares):
    n, m = len(x), len(y)
    biased = unbiased = 0
    for sigma, share in zip(sigmas, shares, strict=True):
        tables = [share * torch.exp(-0.5 * (a.unsqueeze(1) - b).div(sigma).pow(2).sum(-1)) for a, b in ((x, x), (y, y), (x, y))]
        a, b, between = (table.sum() for table in tables)
        biased = biased + a / n**2 + b / m**2 - 2 * between / (n * m)
        unbiased = unbiased + (a - n * share) / (n * (n - 1)) + (b - m * share) / (m * (m - 1)) - 2 * between / (n * m)
    return biased, unbiased


def median_widths(x, y, factors):
    points = torch.cat([x, y])
    pairs = sorted(float((points[i] - points[j]).norm()) for i in range(len(points)) for j in range(i))
    for listed in (pairs, [pair for pair in pairs if pair > 0], [1.0]):
        if listed:
            k = len(listed)
            d = (listed[k // 2] + listed[(k - 1) // 2]) / 2
            if d > 0:
                break
    return torch.tensor([f * d for f in factors], dtype=x.dtype)
""",
        "the pool moved to its mean, means without the diagonal": """
def estimates(x, y, sigmas, shares):
    pool = torch.cat([x, y])
    pool = pool - pool.mean(0)
    lengths = pool.square().sum(1)
    squares = (lengths[:, None] - 2 * pool @ pool.T + lengths).clamp(min=0)
    squares.fill_diagonal_(0)
    K = sum(share * torch.exp(-squares / (2 * sigma**2)) for sigma, share in zip(sigmas, shares, strict=True))
    n, m = len(x), len(y)
    w = torch.cat([torch.full((n,), 1 / n, dtype=x.dtype), torch.full((m,), -1 / m, dtype=x.dtype)])
    within, after = K[:n, :n], K[n:, n:]
    off_x = within[~torch.eye(n, dtype=torch.bool)].mean()
    off_y = after[~torch.eye(m, dtype=torch.bool)].mean()
    return w @ K @ w, off_x + off_y - 2 * K[:n, n:].mean()


def median_widths(x, y, factors):
    points = torch.cat([x, y])
    i, j = torch.triu_indices(len(points), len(points), offset=1)
    apart = torch.linalg.vector_norm(points[i] - points[j], dim=1)
    d = apart.quantile(0.5)
    if d == 0:
        apart = apart[apart > 0]
        d = apart.quantile(0.5) if apart.numel() else torch.ones_like(d)
    return d * torch.tensor(factors, dtype=x.dtype)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 3

USED = "used = min(len(x), len(y)) // 2 * 2"
X_PAIRS = "x1, x2 = x[0:used:2], x[1:used:2]"
Y_PAIRS = "y1, y2 = y[0:used:2], y[1:used:2]"
TERMS = "return k(x1, x2) + k(y1, y2) - k(x1, y2) - k(x2, y1)"
MEAN = "estimate, error = h.mean(), h.std() / math.sqrt(len(h))"
TAIL = "return estimate, error, torch.erfc(estimate / error / math.sqrt(2)) / 2"

linear = Task(
    wrong={
        "mixed terms added": Edit((TERMS, TERMS.replace(" - ", " + "))),
        "same numbers": Edit((TERMS, TERMS.replace("k(x1, y2) - k(x2, y1)", "k(x1, y1) - k(x2, y2)"))),
        "halves": Edit(
            (X_PAIRS, "x1, x2 = x[: used // 2], x[used // 2 : used]"),
            (Y_PAIRS, "y1, y2 = y[: used // 2], y[used // 2 : used]"),
        ),
        "one mixed term": Edit((TERMS, TERMS.replace(" - k(x2, y1)", ""))),
        "every point twice": Edit(
            (X_PAIRS, "x1, x2 = x[:used], x[1 : used + 1]"), (Y_PAIRS, "y1, y2 = y[:used], y[1 : used + 1]")
        ),
        "averaged": Edit((TERMS, TERMS.replace("return ", "h = ") + "\n    return h.mean()")),
        "the second sample's size": Edit((USED, "used = len(y) // 2 * 2")),
        "all pairs": Edit((TERMS, "for a in x:\n        k(a.expand_as(y), y)\n    " + TERMS)),
        "test: error of one": Edit((MEAN, "estimate, error = h.mean(), h.std()")),
        "test: n below": Edit((MEAN, MEAN.replace("h.std()", "h.std(unbiased=False)"))),
        "test: two-sided": Edit((TAIL, "return estimate, error, torch.erfc((estimate / error).abs() / math.sqrt(2))")),
        "test: lower tail": Edit((TAIL, TAIL.replace("erfc(", "erfc(-"))),
        "test: no root of 2": Edit((TAIL, TAIL.replace(" / math.sqrt(2)", ""))),
        "test: small errors count as 0": Edit(("if error == 0:", "if error < 1e-5:")),
        "test: 0/0": Edit(("if error == 0:", "if error < 0:")),
        "test: 0 wherever the error is 0": Edit(("(estimate <= 0).to(h)", "torch.zeros_like(error)")),
    },
    right={
        "one call, reshaped": """
def pair_values(k, x, y):
    n = min(len(x), len(y)) // 2
    a, b = x[: 2 * n].reshape(n, 2, -1).unbind(1)
    s, t = y[: 2 * n].reshape(n, 2, -1).unbind(1)
    values = k(torch.cat([a, s, a, b]), torch.cat([b, t, t, s])).reshape(4, n)
    return values[0] + values[1] - values[2] - values[3]


def linear_test(h):
    n = h.shape[0]
    m = h.sum() / n
    e = ((h - m).square().sum() / (n - 1) / n).sqrt()
    if float(e) == 0.0:
        return m, e, torch.zeros_like(m) if m > 0 else torch.ones_like(m)
    return m, e, torch.special.ndtr(-m / e)
""",
        "pair by pair": """
def pair_values(k, x, y):
    values = []
    for i in range(0, min(len(x), len(y)) - 1, 2):
        a, b, s, t = x[i : i + 1], x[i + 1 : i + 2], y[i : i + 1], y[i + 1 : i + 2]
        values.append(k(a, b) + k(s, t) - k(a, t) - k(b, s))
    return torch.cat(values)


def linear_test(h):
    estimate = h.mean()
    error = h.var(unbiased=True).div(len(h)).sqrt()
    p = 0.5 * (1 - torch.erf(estimate / error * 0.5**0.5)) if error > 0 else (~(estimate > 0)).to(h.dtype)
    return estimate, error, p
""",
    },
)

# ---------------------------------------------------------------------------------------- task 4

FULL = "w = torch.full(orders.shape, -1 / (size - n), dtype=K.dtype)"
SCATTER = "w = w.scatter(1, orders[:, :n], 1 / n)"
EACH = "each = (values[:, 1:] >= values[:, :1] - 1e-9).sum(1)"
TOGETHER = "together = (best[1:] >= best[0] - 1e-9).sum()"
SHARES = "return (1 + each.to(values)) / (1 + deals), (1 + together.to(values)) / (1 + deals)"
BLOCKS = """
def dealt_mmd2(K, n, deals):
    found = []
    for order in [torch.arange(K.shape[1]), *deals]:
        dealt = K[:, order][:, :, order]
        found.append(dealt[:, :n, :n].mean((1, 2)) - 2 * dealt[:, :n, n:].mean((1, 2)) + dealt[:, n:, n:].mean((1, 2)))
    return torch.stack(found, 1)
"""
P_VALUES = """

def p_values(values):
    ours = torch.cat([values, values.max(0, keepdim=True).values])
    p = (ours[:, 1:] > ours[:, :1] - 1e-9).double().sum(1).add(1).div(ours.shape[1])
    return p[:-1], p[-1]
"""

permutation = Task(
    wrong={
        "places for numbers": Edit((SCATTER, "w = torch.where(orders < n, 1 / n, w)")),
        "the last n": Edit((SCATTER, "w = w.scatter(1, orders[:, size - n :], 1 / n)")),
        "both of n": Edit((FULL, FULL.replace("(size - n)", "n"))),
        "no pool as it stands": Edit(("orders = torch.cat([torch.arange(size)[None], deals])", "orders = deals")),
        "the pool comes last": Edit(
            ("torch.cat([torch.arange(size)[None], deals])", "torch.cat([deals, torch.arange(size)[None]])")
        ),
        "middle term once": BLOCKS.replace("- 2 * dealt", "- dealt") + P_VALUES,
        "deals exchanged with kernels": Edit(("return ((w @ K) * w).sum(2)", "return ((w @ K) * w).sum(2).T")),
        "the first kernel for all": Edit(
            ("return ((w @ K) * w).sum(2)", "return ((w @ K[:1]) * w).sum(2).expand(len(K), -1)")
        ),
        "p: nothing added": Edit((SHARES, "return each.to(values) / deals, together.to(values) / deals")),
        "p: added above only": Edit((SHARES, SHARES.replace("(1 + deals)", "deals"))),
        "p: ties do not count": Edit((EACH, EACH.replace(">=", ">").replace("- 1e-9", "+ 1e-9"))),
        "p: rounding forgotten": Edit((EACH, EACH.replace(" - 1e-9", "")), (TOGETHER, TOGETHER.replace(" - 1e-9", ""))),
        "p: more than rounding": Edit(
            (EACH, EACH.replace("1e-9", "1e-6")), (TOGETHER, TOGETHER.replace("1e-9", "1e-6"))
        ),
        "p: the smallest": Edit((SHARES, "p = (1 + each.to(values)) / (1 + deals)\n    return p, p.min()")),
        "p: Bonferroni": Edit(
            (SHARES, "p = (1 + each.to(values)) / (1 + deals)\n    return p, (len(p) * p.min()).clamp(max=1)")
        ),
        "p: one kernel chosen for all deals": Edit((TOGETHER, "together = each[values[:, 0].argmax()]")),
    },
    right={
        "blocks": BLOCKS + P_VALUES,
        "sums of blocks, counted in Python": """
def dealt_mmd2(K, n, deals):
    m = K.shape[1] - n
    rows = [list(range(n + m)), *deals.tolist()]
    table = torch.zeros(len(K), len(rows), dtype=K.dtype)
    for r, row in enumerate(rows):
        mine = torch.zeros(n + m, dtype=K.dtype)
        mine[row[:n]] = 1.0
        yours = 1 - mine
        for s, k in enumerate(K):
            table[s, r] = mine @ k @ mine / n**2 + yours @ k @ yours / m**2 - 2 * (mine @ k @ yours) / (n * m)
    return table


def p_values(values):
    def p(row):
        ours, *others = row
        return (1 + len([v for v in others if v >= ours - 1e-9])) / (1 + len(others))

    rows = values.tolist()
    best = [max(column) for column in zip(*rows, strict=True)]
    return torch.tensor([p(row) for row in rows], dtype=values.dtype), torch.tensor(p(best), dtype=values.dtype)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 5

NEAR = "near = sum((1 + squares / (2 * a)) ** (-a - 1) for a in alphas)"
FORCES = "return 2 / len(y) * (towards(y) - towards(x))"

slope = Task(
    wrong={
        "downhill": Edit((FORCES, "return 2 / len(y) * (towards(x) - towards(y))")),
        "no repulsion": Edit((FORCES, "return -2 / len(y) * towards(x)")),
        "third sum once": Edit((FORCES, "return 2 / len(y) * (towards(y) / 2 - towards(x))")),
        "power -a": Edit((NEAR, NEAR.replace("(-a - 1)", "(-a)"))),
        "a in front": Edit((NEAR, NEAR.replace("sum((1", "sum(a * (1"))),
        "no 1/M": Edit((FORCES, "return 2 * (towards(y) - towards(x))")),
        "1/N": Edit((FORCES, FORCES.replace("len(y)", "len(x)"))),
        "the first alpha only": Edit((NEAR, NEAR.replace("in alphas", "in alphas[:1]"))),
        "autograd": """
def mmd2_slope(x, y, alphas):
    y = y.clone().requires_grad_()

    def k(a, b):
        squares = (a[:, None] - b[None]).square().sum(2)
        return sum((1 + squares / (2 * alpha)) ** -alpha for alpha in alphas).mean()

    (slope,) = torch.autograd.grad(k(x, x) - 2 * k(x, y) + k(y, y), y)
    return slope
""",
    },
    right={
        "matrix products": """
def mmd2_slope(x, y, alphas):
    def force(z):
        squares = torch.cdist(y, z, compute_mode="donot_use_mm_for_euclid_dist").square()
        g = sum((1 + squares / (2 * a)).pow(-a - 1) for a in alphas)
        return (g @ z - g.sum(1, keepdim=True) * y) / len(z)

    return (force(y) - force(x)).mul(2).div(len(y))
""",
        "point by point": """
def mmd2_slope(x, y, alphas):
    slope = torch.zeros_like(y)
    for j in range(len(y)):
        for a in alphas:
            for z, share in ((x, -2 / (len(x) * len(y))), (y, 2 / len(y) ** 2)):
                way = z - y[j]
                g = (1 + way.square().sum(1) / (2 * a)) ** (-a - 1)
                slope[j] += share * (g[:, None] * way).sum(0)
    return slope
""",
    },
)

# ---------------------------------------------------------------------------------------- task 6

ROOT = "return squared.clamp(min=1e-12).sqrt()"
SQUARED = "squared = kernel(x, x).mean() - 2 * kernel(x, y).mean() + kernel(y, y).mean()"
DOWN = "weight.sub_(rate * slope)"
SLOPES = "slopes = torch.autograd.grad(root, weights)"

root = Task(
    wrong={
        "the bare root": Edit((ROOT, "return squared.sqrt()")),
        "the larger of it and 0": Edit((ROOT, "return squared.maximum(torch.zeros_like(squared)).sqrt()")),
        "chosen after the root": Edit(
            (ROOT, "return torch.where(squared > 1e-12, squared.sqrt(), torch.zeros_like(squared))")
        ),
        "0 up to 1e-4": Edit(
            (
                ROOT,
                "safe = torch.where(squared > 1e-4, squared, torch.ones_like(squared))\n    return torch.where(squared > 1e-4, safe.sqrt(), 0 * squared)",
            )
        ),
        "a large epsilon": Edit((ROOT, "return (squared.clamp(min=0) + 1e-3).sqrt()")),
        "not the root": Edit((ROOT, "return squared.clamp(min=1e-12)")),
        "detached": Edit((ROOT, ROOT + ".detach()")),
        "half forgotten": Edit(("(2 * sigma**2)", "sigma**2")),
        "detached from the data": Edit((SQUARED, "x = x.detach()\n    " + SQUARED)),
        "a constant 0": Edit(
            (ROOT, "return squared.sqrt() if squared > 1e-10 else torch.zeros_like(squared).detach()")
        ),
        "step: cut to length 1": Edit(
            (SLOPES, SLOPES + "\n    rate = rate / max(1.0, float(torch.stack([s.norm() for s in slopes]).norm()))")
        ),
        "step: uphill": Edit((DOWN, "weight.add_(rate * slope)")),
        "step: not in place": Edit((DOWN, "weight = weight - rate * slope")),
        "step: of the square": Edit((SLOPES, "slopes = torch.autograd.grad(root**2, weights)")),
        "step: old gradients": Edit((SLOPES, "root.backward()\n    slopes = [weight.grad for weight in weights]")),
        "step: with a graph": Edit(("return root.detach()", "return root")),
        "step: the first layer only": Edit(
            ("weights = list(net.parameters())", "weights = list(net.parameters())[:2]")
        ),
        "step: the root after": Edit(("return root.detach()", "return root_mmd(data, net(noise), sigma).detach()")),
    },
    right={
        "a small epsilon, SGD": """
def root_mmd(x, y, sigma):
    def mean_kernel(a, b):
        return torch.exp(-0.5 * ((a.unsqueeze(1) - b.unsqueeze(0)) / sigma).pow(2).sum(-1)).mean()

    squared = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    return torch.sqrt(torch.relu(squared) + 1e-12)


def gmmn_step(net, data, noise, sigma, rate):
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    optimizer.zero_grad()
    loss = root_mmd(data, net(noise), sigma)
    loss.backward()
    optimizer.step()
    return loss.detach()
""",
        "relu, which stops an infinite slope": """
def root_mmd(x, y, sigma):
    def kernel(a, b):
        return torch.exp(-(a[:, None] - b[None]).square().sum(2) / (2 * sigma**2)).mean()

    return torch.relu(kernel(x, x) - 2 * kernel(x, y) + kernel(y, y)).sqrt()


def gmmn_step(net, data, noise, sigma, rate):
    for weight in net.parameters():
        weight.grad = None
    root = root_mmd(data, net(noise), sigma)
    root.backward()
    with torch.no_grad():
        for weight in net.parameters():
            weight -= rate * weight.grad
    return root.detach()
""",
        "where, before the root": """
def root_mmd(x, y, sigma):
    pool = torch.cat([x, y])
    K = torch.exp(-(pool[:, None] - pool[None]).square().sum(2) / (2 * sigma**2))
    n = len(x)
    squared = K[:n, :n].mean() - K[:n, n:].mean() - K[n:, :n].mean() + K[n:, n:].mean()
    apart = squared > 1e-12
    safe = torch.where(apart, squared, torch.ones_like(squared))
    return torch.where(apart, safe.sqrt(), 0 * squared)


def gmmn_step(net, data, noise, sigma, rate):
    for weight in net.parameters():
        weight.grad = None
    root = root_mmd(data, net(noise), sigma)
    root.backward()
    for weight in net.parameters():
        weight.data -= rate * weight.grad
    return root.detach()
""",
    },
)

# ---------------------------------------------------------------------------------------- task 7

HEAPS = "heaps = torch.logsumexp(-squares / (2 * width[..., None] ** 2), dim=2)"
DENSITY = "return heaps - math.log(len(samples)) - x.shape[1] / 2 * torch.log(2 * math.pi * width**2)"
ITSELF = "apart = apart + torch.full_like(apart[0], math.inf).diag()  # never itself"
OTHERS = "math.log(len(samples) - 1)"

parzen = Task(
    wrong={
        "underflow": Edit((HEAPS, "heaps = torch.exp(-squares / (2 * width[..., None] ** 2)).sum(2).log()")),
        "log M missing": Edit((DENSITY, DENSITY.replace(" - math.log(len(samples))", ""))),
        "volume of one dimension": Edit((DENSITY, DENSITY.replace("x.shape[1] / 2", "0.5"))),
        "volume missing": Edit((DENSITY, "return heaps - math.log(len(samples))")),
        "no half": Edit((HEAPS, HEAPS.replace("2 * width[..., None]", "width[..., None]"))),
        "transposed": Edit((DENSITY, "return (" + DENSITY.removeprefix("return ") + ").T")),
        "the nearest sample where all vanish": Edit(
            (
                HEAPS,
                "powers = -squares / (2 * width[..., None] ** 2)\n    heaps = powers.exp().sum(2).log()\n    heaps = torch.where(heaps.isinf(), powers.amax(2), heaps)",
            )
        ),
        "others: itself, 1e9 away": Edit((ITSELF, ITSELF.replace("math.inf", "1e9"))),
        "others: itself too": Edit((ITSELF, "pass"), (OTHERS, "math.log(len(samples))")),
        "others: itself, M - 1": Edit((ITSELF, "pass")),
        "others: underflow": Edit(
            (
                "others = torch.logsumexp(-apart / (2 * spread[:, None, None] ** 2), dim=2)",
                "others = torch.exp(-apart / (2 * spread[:, None, None] ** 2)).sum(2).log()",
            )
        ),
        "others: log M": Edit((OTHERS, "math.log(len(samples))")),
        "others: distance 0 left out": Edit((ITSELF, "apart = torch.where(apart == 0, math.inf, apart)")),
        "others: log of the mean": Edit(
            ("return others.mean(1) - constant", "return others.logsumexp(1) - math.log(len(samples)) - constant")
        ),
        "others: summed": Edit(("return others.mean(1) - constant", "return (others - constant[:, None]).sum(1)")),
    },
    right={
        "Gaussians of torch": """
def parzen(x, samples, sigmas):
    rows = []
    for sigma in sigmas:
        window = torch.distributions.Normal(samples, sigma)
        each = window.log_prob(x[:, None]).sum(2)
        rows.append(torch.logsumexp(each, 1) - math.log(samples.shape[0]))
    return torch.stack(rows)


def leave_one_out(samples, sigmas):
    total = 0
    for i in range(len(samples)):
        rest = torch.cat([samples[:i], samples[i + 1 :]])
        total = total + parzen(samples[i : i + 1], rest, sigmas)[:, 0]
    return total / len(samples)
""",
        "the largest power first": """
def parzen(x, samples, sigmas):
    d, table = x.shape[1], []
    for sigma in sigmas:
        powers = -((x[:, None] - samples[None]) / sigma).pow(2).sum(-1) / 2
        top = powers.max(1).values
        table.append(top + (powers - top[:, None]).exp().mean(1).log() - d * math.log(sigma) - d / 2 * math.log(2 * math.pi))
    return torch.stack(table)


def leave_one_out(samples, sigmas):
    m, d = samples.shape
    keep = ~torch.eye(m, dtype=torch.bool)
    squares = (samples[:, None] - samples[None]).square().sum(2)[keep].reshape(m, m - 1)
    means = []
    for sigma in sigmas:
        each = torch.logsumexp(-squares / (2 * sigma**2), 1) - math.log(m - 1)
        means.append(each.mean() - d / 2 * math.log(2 * math.pi * sigma**2))
    return torch.stack(means)
""",
    },
)

TASKS = {
    "quadratic": quadratic,
    "estimates": estimates,
    "linear": linear,
    "permutation": permutation,
    "slope": slope,
    "root": root,
    "parzen": parzen,
}
