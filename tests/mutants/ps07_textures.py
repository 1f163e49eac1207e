# ruff: noqa: E501
"""Wrong and right solutions of problem set 07, synthesis by repeating statistics."""

from __future__ import annotations

from course_lib.authoring.mutants import Edit, Task

# ---------------------------------------------------------------------------------------- task 1

GRAM = 'return torch.einsum("nchw,ndhw->ncd", here, there) / here[0, 0].numel()'
HERE = "here = F[:, :, max(0, -down) : height - max(0, down), max(0, -across) : width - max(0, across)]"
THERE = "there = F[:, :, max(0, down) : height - max(0, -down), max(0, across) : width - max(0, -across)]"
SHIFT = "(height, width), (down, across) = F.shape[2:], shift"
OFF = 'off = torch.einsum("nchw,ndhw->ncd", F[first], F[second]) / n - wanted'
FIRST = 'slope[first] += torch.einsum("ncd,ndhw->nchw", off, F[second])'
SECOND = 'slope[second] += torch.einsum("ncd,nchw->ndhw", off, F[first])'
SLOPE = "return 2 * slope / n"

shifted = Task(
    wrong={
        "gram: transposed": Edit((GRAM, GRAM.replace("->ncd", "->ndc"))),
        "gram: sign of the shift": Edit(
            (SHIFT, "(height, width), (down, across) = F.shape[2:], (-shift[0], -shift[1])")
        ),
        "gram: down and across exchanged": Edit((SHIFT, "(height, width), (across, down) = F.shape[2:], shift")),
        "gram: divided by all places": Edit((GRAM, GRAM.replace("here[0, 0]", "F[0, 0]"))),
        "gram: a sum": Edit((GRAM, 'return torch.einsum("nchw,ndhw->ncd", here, there)')),
        "gram: round the border": Edit(
            (GRAM, 'return torch.einsum("nchw,ndhw->ncd", F, F.roll((-down, -across), (2, 3))) / (height * width)')
        ),
        "gram: no shift": Edit((GRAM, 'return torch.einsum("nchw,ndhw->ncd", F, F) / (height * width)')),
        "gram: shifts of 0 and more only": Edit(
            (HERE, "here = F[:, :, : height - down, : width - across]"), (THERE, "there = F[:, :, down:, across:]")
        ),
        "gram: negative ends": Edit(
            (HERE, "here = F[:, :, max(0, -down) : -max(0, down), max(0, -across) : -max(0, across)]"),
            (THERE, "there = F[:, :, max(0, down) : -max(0, -down), max(0, across) : -max(0, -across)]"),
        ),
        "gram: the mean of the images": Edit(
            (GRAM, GRAM.replace("->ncd", "->cd").replace("/ here", "/ len(F) / here"))
        ),
        "gram: float64 comes back": Edit((GRAM, GRAM.replace("here, there)", "here.double(), there.double())"))),
        "slope: role of k only": Edit((SECOND, "pass")),
        "slope: role of k + δ only": Edit((FIRST, "pass")),
        "slope: as if symmetric": Edit((SECOND, FIRST)),
        "slope: transposed": Edit((OFF, OFF + "\n    off = off.mT")),
        "slope: sign": Edit((SLOPE, "return -2 * slope / n")),
        "slope: 2 missing": Edit((SLOPE, "return slope / n")),
        "slope: not divided": Edit((SLOPE, "return 2 * slope")),
        "slope: divided by all places": Edit((SLOPE, "return 2 * slope / (H * W)")),
        "slope: roles overwrite each other": Edit((SECOND, SECOND.replace("+=", "="))),
        "slope: the first image's matrix": Edit((OFF, OFF + "[:1]")),
        "slope: autograd": """
def shifted_gram(F, shift):
    (H, W), (dy, dx) = F.shape[2:], shift
    here = F[:, :, max(0, -dy) : H - max(0, dy), max(0, -dx) : W - max(0, dx)]
    there = F[:, :, max(0, dy) : H - max(0, -dy), max(0, dx) : W - max(0, -dx)]
    return torch.einsum("nchw,ndhw->ncd", here, there) / here[0, 0].numel()


def shifted_gram_slope(F, wanted, shift):
    F = F.clone().requires_grad_()
    (shifted_gram(F, shift) - wanted).square().sum().backward()
    return F.grad
""",
    },
    right={
        "place by place": """
def shifted_gram(F, shift):
    n, c, h, w = F.shape
    total, count = torch.zeros(n, c, c, dtype=F.dtype), 0
    for i in range(h):
        for j in range(w):
            if 0 <= i + shift[0] < h and 0 <= j + shift[1] < w:
                total += F[:, :, i, j, None] * F[:, None, :, i + shift[0], j + shift[1]]
                count += 1
    return total / count


def shifted_gram_slope(F, wanted, shift):
    off = shifted_gram(F, shift) - wanted
    h, w = F.shape[2:]
    slope = torch.zeros_like(F)
    for i in range(h):
        for j in range(w):
            y, x = i + shift[0], j + shift[1]
            if 0 <= y < h and 0 <= x < w:
                slope[:, :, i, j] += (off @ F[:, :, y, x, None])[..., 0]
                slope[:, :, y, x] += (off.mT @ F[:, :, i, j, None])[..., 0]
    return 2 * slope / ((h - abs(shift[0])) * (w - abs(shift[1])))
""",
        "rolled, with a mask": """
def shifted_gram(F, shift):
    h, w = F.shape[2:]
    i, j = torch.arange(h) + shift[0], torch.arange(w) + shift[1]
    mask = (((i >= 0) & (i < h))[:, None] & ((j >= 0) & (j < w))[None]).to(F)
    moved = F.roll((-shift[0], -shift[1]), (2, 3)) * mask
    return F.flatten(2) @ moved.flatten(2).mT / mask.sum()


def shifted_gram_slope(F, wanted, shift):
    h, w = F.shape[2:]
    i, j = torch.arange(h) + shift[0], torch.arange(w) + shift[1]
    mask = (((i >= 0) & (i < h))[:, None] & ((j >= 0) & (j < w))[None]).to(F)
    moved = F.roll((-shift[0], -shift[1]), (2, 3)) * mask
    off = (F.flatten(2) @ moved.flatten(2).mT / mask.sum() - wanted) * 2 / mask.sum()
    ahead = (off @ moved.flatten(2)).view_as(F)
    behind = (off.mT @ (F * mask).flatten(2)).view_as(F).roll(tuple(shift), (2, 3))
    return ahead + behind
""",
    },
)

# ---------------------------------------------------------------------------------------- task 2

OWN = "v, m = torch.var_mean(F, dim=(2, 3), correction=0, keepdim=True)"
STYLES = "v_style, m_style = torch.var_mean(S, dim=(2, 3), correction=0, keepdim=True)"
ADAIN = "return ((v_style + eps) / (v + eps)).sqrt() * (F - m) + m_style"
ROOT = "A = vectors * values.clamp(min=0).sqrt()[:, None]"
SVD = "U, _, Vt = torch.linalg.svd(A.mT @ flat, full_matrices=False)"
NEAREST = "return (math.sqrt(flat.shape[2]) * A @ (U @ Vt)).view_as(F)"

moved = Task(
    wrong={
        "adain: n - 1": Edit(
            (OWN, OWN.replace("correction=0", "correction=1")), (STYLES, STYLES.replace("correction=0", "correction=1"))
        ),
        "adain: over the batch": Edit(
            (OWN, OWN.replace("(2, 3)", "(0, 2, 3)")), (STYLES, STYLES.replace("(2, 3)", "(0, 2, 3)"))
        ),
        "adain: over the filters": Edit(
            (OWN, OWN.replace("(2, 3)", "(1, 2, 3)")), (STYLES, STYLES.replace("(2, 3)", "(1, 2, 3)"))
        ),
        "adain: eps at the deviations": Edit(
            (ADAIN, "return (v_style.sqrt() + eps) / (v.sqrt() + eps) * (F - m) + m_style")
        ),
        "adain: no eps": Edit((ADAIN, "return (v_style / v).sqrt() * (F - m) + m_style")),
        "adain: eps at the content only": Edit((ADAIN, ADAIN.replace("v_style + eps", "v_style"))),
        "adain: by the variance": Edit((ADAIN, ADAIN.replace(".sqrt()", ""))),
        "adain: content's mean kept": Edit((ADAIN, ADAIN.replace("(F - m)", "F"))),
        "adain: style's mean missing": Edit((ADAIN, ADAIN.replace(" + m_style", ""))),
        "adain: upside down": Edit((ADAIN, "return ((v + eps) / (v_style + eps)).sqrt() * (F - m) + m_style")),
        "adain: a batch's eps": Edit(
            (ADAIN, ADAIN.replace("(v + eps)", "(v + 1e-5)").replace("v_style + eps", "v_style + 1e-5"))
        ),
        "nearest: root of n missing": Edit((NEAREST, "return (A @ (U @ Vt)).view_as(F)")),
        "nearest: n": Edit((NEAREST, NEAREST.replace("math.sqrt(flat.shape[2])", "flat.shape[2]"))),
        "nearest: the matrix for its root": Edit((ROOT, "A = wanted")),
        "nearest: white and coloured": Edit(
            (
                SVD,
                "G = flat @ flat.mT / flat.shape[2]\n    own, axes = torch.linalg.eigh(G)\n    root = vectors * values.clamp(min=0).sqrt()[:, None] @ vectors.mT",
            ),
            (NEAREST, "return (root @ (axes / own.sqrt()[:, None]) @ axes.mT @ flat).view_as(F)"),
        ),
        "nearest: Q from F": Edit((SVD, SVD.replace("A.mT @ flat", "flat")), (ROOT, ROOT + "\n    A = A @ vectors.mT")),
        "nearest: Cholesky": Edit((ROOT, "A = torch.linalg.cholesky(wanted)")),
        "nearest: not transposed": Edit((SVD, SVD.replace("A.mT", "A"))),
        "nearest: negative eigenvalues": Edit((ROOT, ROOT.replace(".clamp(min=0)", ""))),
        "nearest: transport by inverses": Edit(
            (SVD, "R = A @ vectors.mT\n    inner, axes = torch.linalg.eigh(R @ flat @ flat.mT @ R / flat.shape[2])"),
            (NEAREST, "return (R @ (axes / inner.sqrt()[:, None]) @ axes.mT @ R @ flat).view_as(F)"),
        ),
        "nearest: V in place of its transpose": Edit(
            (NEAREST, NEAREST.replace("(U @ Vt)", "(U @ Vt[..., :, torch.randperm(Vt.shape[2])])"))
        ),
        "nearest: any root of the eigenvalues": Edit((ROOT, "A = vectors * values.clamp(min=0)[:, None]")),
    },
    right={
        "deviations of flat maps; another root": """
def adain(F, S, eps):
    f, s = F.flatten(2), S.flatten(2)
    f_mean, s_mean = f.mean(2, keepdim=True), s.mean(2, keepdim=True)
    f_size = torch.sqrt((f - f_mean).square().mean(2, keepdim=True) + eps)
    s_size = torch.sqrt((s - s_mean).square().mean(2, keepdim=True) + eps)
    return ((f - f_mean) / f_size * s_size + s_mean).reshape(F.shape)


def nearest_maps(F, wanted):
    n = F.shape[2] * F.shape[3]
    values, vectors = torch.linalg.eigh(wanted)
    root = vectors @ torch.diag_embed(values.clamp(min=0).sqrt()) @ vectors.mT
    parts = torch.linalg.svd(root @ F.flatten(2), full_matrices=False)
    return (n**0.5 * root @ parts.U @ parts.Vh).reshape(F.shape)
""",
        "one image at a time": """
def adain(F, S, eps):
    out = torch.empty_like(F)
    for n in range(len(F)):
        for c in range(F.shape[1]):
            f, s = F[n, c], S[n, c]
            gain = ((s.var(correction=0) + eps) / (f.var(correction=0) + eps)) ** 0.5
            out[n, c] = gain * (f - f.mean()) + s.mean()
    return out


def nearest_maps(F, wanted):
    found = []
    for f, G in zip(F.flatten(2), wanted, strict=True):
        values, vectors = torch.linalg.eigh(G * f.shape[1])
        A = (vectors @ torch.diag(values.clamp(min=0) ** 0.5)).flip(1)
        U, _, V = torch.svd(f.T @ A)
        found.append(A @ V @ U.T)
    return torch.stack(found).view(F.shape)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 3

COUNTS = "counts = products > 1e-10 * squares"
RHO = "rho = torch.where(counts, 1 / torch.where(counts, products, 1), 0)"
GAMMA = "gamma = torch.where(counts[k], products[k] / squares[k], gamma)"
BACK = "for k in reversed(range(len(moves))):"
DOWN = "return -q\n"
SCALED = "q = gamma[:, None] * q"
ON = "q = q + (shares[k] - rho[k] * (turns[k] * q).sum(1))[:, None] * moves[k]"
PASSED = "q = q - shares[0][:, None] * turns[k]"
ENOUGH = "enough = values <= value + 1e-4 * t * slope"
DONE = "done = enough & (slopes >= 0.9 * slope)"
NEXT = "t = torch.where(done, t, torch.where(high.isinf(), 2 * low, (low + high) / 2))"
HIGH = "high = torch.where(enough, high, t)"
LOW = "low = torch.where(enough & ~done, t, low)"
GIVEN = "return torch.where(done, t, low)"

lbfgs = Task(
    wrong={
        "direction: uphill": Edit((DOWN, "return q\n")),
        "direction: loops the other way": Edit(
            (BACK, "moves, turns, rho = moves.flip(0), turns.flip(0), rho.flip(0)\n    " + BACK)
        ),
        "direction: gamma missing": Edit((SCALED, "pass")),
        "direction: gamma of the oldest": Edit(
            (GAMMA, "gamma = torch.where(counts[-1 - k], products[-1 - k] / squares[-1 - k], gamma)")
        ),
        "direction: gamma upside down": Edit(
            (GAMMA, GAMMA.replace("products[k] / squares[k]", "squares[k] / products[k]"))
        ),
        "direction: gamma of s": Edit(
            (GAMMA, GAMMA.replace("products[k] / squares[k]", "moves[k].square().sum(1) / products[k]"))
        ),
        "direction: one loop": Edit((ON, "pass")),
        "direction: s and y exchanged": Edit(
            (COUNTS, COUNTS + "\n    moves, turns, squares = turns, moves, moves.square().sum(2)")
        ),
        "direction: the slope itself": Edit((DOWN, "return -g\n")),
        "direction: counts for all or none": Edit(
            (COUNTS, COUNTS + "\n    counts = counts.all(1, keepdim=True).expand_as(counts)")
        ),
        "direction: all above 0 count": Edit((COUNTS, "counts = products > 0")),
        "direction: a fixed limit": Edit((COUNTS, "counts = products > 1e-10")),
        "direction: a hundredth is the limit": Edit((COUNTS, "counts = products > 1e-2 * squares")),
        "direction: negative pairs count": Edit((COUNTS, "counts = products != 0")),
        "direction: gamma of the newest, counting or not": Edit((GAMMA, "gamma = products[-1] / squares[-1]")),
        "direction: NaN for a pair of 0": Edit(
            (RHO, "rho = torch.where(counts, 1 / products, 0)"),
            (
                GAMMA,
                "gamma = torch.where(counts[k], 1, 0) * products[k] / squares[k] + torch.where(counts[k], 0, 1) * gamma",
            ),
        ),
        "direction: breaks without pairs": Edit(
            (SCALED, "q = (products[-1] / squares[-1]).where(counts[-1], gamma)[:, None] * q")
        ),
        "direction: in place": Edit((PASSED, "q -= shares[0][:, None] * turns[k]")),
        "wolfe: first condition alone": Edit((DONE, "done = enough")),
        "wolfe: steep enough": Edit((DONE, DONE.replace(">=", "<="))),
        "wolfe: strong": Edit((DONE, "done = enough & (slopes.abs() <= -0.9 * slope)")),
        "wolfe: done together": Edit((DONE, DONE + "\n        done = done.all().expand(len(t))")),
        "wolfe: plus one": Edit((NEXT, NEXT.replace("2 * low", "t + 1"))),
        "wolfe: half of t": Edit((NEXT, NEXT.replace("(low + high) / 2", "t / 2"))),
        "wolfe: the last t": Edit((GIVEN, "return t")),
        "wolfe: NaN is low enough": Edit((ENOUGH, "enough = ~(values > value + 1e-4 * t * slope)")),
        "wolfe: lower is enough": Edit((ENOUGH, "enough = values <= value - 1e-9")),
        "wolfe: low forgotten": Edit((LOW, "low = torch.where(enough, t, low)"), (GIVEN, "return t * done")),
        "wolfe: goes on to the end": Edit(("if done.all():\n            break", "pass")),
        "wolfe: one try too many": Edit(("range(tries)", "range(tries + 1)")),
        "wolfe: the first condition without t": Edit((ENOUGH, "enough = values <= value + 1e-4 * slope")),
        "wolfe: ten times as low": Edit((ENOUGH, ENOUGH.replace("1e-4", "1e-3"))),
        "wolfe: the geometric middle": Edit(
            (NEXT, NEXT.replace("(low + high) / 2", "torch.where(low > 0, (low * high).sqrt(), high / 2)"))
        ),
        "wolfe: float32": Edit(
            (
                "t, low, high = torch.ones_like(value), torch.zeros_like(value), torch.full_like(value, math.inf)",
                "count = len(value)\n    t, low, high = torch.ones(count), torch.zeros(count), torch.full((count,), math.inf)",
            )
        ),
        "wolfe: half the condition": Edit((ENOUGH, ENOUGH.replace("1e-4", "0.5"))),
    },
    right={
        "one image at a time": """
def direction(g, moves, turns):
    found = []
    for n in range(len(g)):
        pairs = []
        for s, y in zip(moves[:, n], turns[:, n], strict=True):
            if float(s @ y) > 1e-10 * float(y @ y):
                pairs.append((s, y))
        q, shares = g[n].clone(), []
        for s, y in pairs[::-1]:
            a = (s @ q) / (s @ y)
            q = q - a * y
            shares.append(a)
        if pairs:
            s, y = pairs[-1]
            q = q * (s @ y) / (y @ y)
        for (s, y), a in zip(pairs, shares[::-1], strict=True):
            q = q + s * (a - (y @ q) / (s @ y))
        found.append(-q)
    return torch.stack(found)


def wolfe(line, value, slope, tries):
    count = len(value)
    t, low, high, done = [1.0] * count, [0.0] * count, [math.inf] * count, [False] * count
    for _ in range(tries):
        values, slopes = line(torch.tensor(t, dtype=value.dtype))
        for n in range(count):
            if done[n]:
                continue
            if not bool(values[n] <= value[n] + 1e-4 * t[n] * slope[n]):
                high[n] = t[n]
            elif slopes[n] < 0.9 * slope[n]:
                low[n] = t[n]
            else:
                done[n] = True
                continue
            t[n] = 2 * low[n] if math.isinf(high[n]) else (low[n] + high[n]) / 2
        if all(done):
            break
    return torch.tensor([a if ready else b for a, b, ready in zip(t, low, done, strict=True)], dtype=value.dtype)
""",
        "all pairs at once, and with masks": """
def direction(g, moves, turns):
    found = []
    for n in range(len(g)):
        s, y, v = moves[:, n].double(), turns[:, n].double(), g[n].double()
        use = (s * y).sum(1) > 1e-10 * (y * y).sum(1)
        if not use.any():
            found.append(-v)
            continue
        S, Y = s[use].T, y[use].T  # (D, k)
        gamma = (S[:, -1] @ Y[:, -1]) / (Y[:, -1] @ Y[:, -1])
        R = (S.T @ Y).triu()
        p = torch.linalg.solve_triangular(R, (S.T @ v)[:, None], upper=True)
        inner = (torch.diag(R.diagonal()) + gamma * Y.T @ Y) @ p - gamma * (Y.T @ v)[:, None]
        top = torch.linalg.solve_triangular(R.T, inner, upper=False)
        found.append(-(gamma * v + (S @ top - gamma * Y @ p)[:, 0]))
    return torch.stack(found).to(g)


def wolfe(line, value, slope, tries):
    t, low = torch.ones_like(value), torch.zeros_like(value)
    high = torch.full_like(value, float("inf"))
    going = torch.ones_like(value, dtype=torch.bool)
    while tries > 0 and going.any():
        tries -= 1
        values, slopes = line(t)
        short = going & (values <= value + slope * t * 1e-4)
        long = going & ~short
        going = going & ~(short & (slopes >= slope * 0.9))
        short = short & going
        low, high = torch.where(short, t, low), torch.where(long, t, high)
        t = torch.where(going & high.isinf(), low * 2, t)
        t = torch.where(going & ~high.isinf(), (high + low) * 0.5, t)
    t[going] = low[going]
    return t
""",
    },
)

# ---------------------------------------------------------------------------------------- task 4

SORTED = "a, b = (directions @ f).sort(dim=1).values, (directions @ g).sort(dim=1).values"
ENDS = "ends = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()  # of the pieces, times n m"
MASS = "mass = torch.diff(ends, prepend=torch.zeros(1, dtype=ends.dtype)).to(a) / (n * m)"
APART = "apart = a[:, (ends - 1) // m] - b[:, (ends - 1) // n]"
CARRIED = "return apart.square() @ mass"
RANKS = "ranks = (B @ f).argsort(1).argsort(1)"
PUT = "f = B.T @ (B @ g).sort(1).values.gather(1, ranks)"

sliced = Task(
    wrong={
        "distance: unit directions": Edit(
            (SORTED, "directions = nn.functional.normalize(directions, dim=1)\n    " + SORTED)
        ),
        "distance: cut off": Edit(
            (SORTED, SORTED + "\n    k = min(a.shape[1], b.shape[1])\n    a, b = a[:, :k], b[:, :k]")
        ),
        "distance: thinned out": Edit(
            (
                CARRIED,
                "k = min(n, m)\n    a, b = a[:, torch.linspace(0, n - 1, k).long()], b[:, torch.linspace(0, m - 1, k).long()]\n    return (a - b).square().mean(1)",
            )
        ),
        "distance: not sorted": Edit((SORTED, "a, b = directions @ f, directions @ g")),
        "distance: the root": Edit((CARRIED, "return (apart.square() @ mass.to(apart)).sqrt()")),
        "distance: not squared": Edit((CARRIED, "return apart.abs() @ mass.to(apart)")),
        "distance: a sum": Edit((CARRIED, "return n * m * apart.square() @ mass.to(apart)")),
        "distance: pieces of equal mass": Edit((CARRIED, "return apart.square().mean(1)")),
        "distance: means only": Edit((CARRIED, "return (a.mean(1) - b.mean(1)).square()")),
        "distance: all pairs": Edit((CARRIED, "return (a[:, :, None] - b[:, None]).square().mean((1, 2))")),
        "distance: the mean over directions": Edit((CARRIED, "return (apart.square() @ mass.to(apart)).mean()")),
        "distance: one step late": Edit(
            (APART, "apart = a[:, (ends // m).clamp(max=n - 1)] - b[:, (ends // n).clamp(max=m - 1)]")
        ),
        "distance: no slope": Edit((CARRIED, "return (apart.square() @ mass.to(apart)).detach()")),
        "distance: interpolated": Edit(
            (
                CARRIED,
                "k = max(n, m)\n    a, b = (nn.functional.interpolate(row[None], size=k, mode='linear', align_corners=True)[0] for row in (a, b))\n    return (a - b).square().mean(1)",
            )
        ),
        "distance: without the directions": Edit((SORTED, "a, b = f.sort(dim=1).values, g.sort(dim=1).values")),
        "transfer: places for ranks": Edit((RANKS, "ranks = (B @ f).argsort(1)")),
        "transfer: columns": Edit((RANKS, "B = B.T\n        " + RANKS)),
        "transfer: not back": Edit((PUT, PUT.replace("B.T @ ", ""))),
        "transfer: from the first f": Edit(
            ("for B in bases:", "first = f\n    for B in bases:"), (RANKS, RANKS.replace("B @ f", "B @ first"))
        ),
        "transfer: first basis only": Edit(("for B in bases:", "for B in bases[:1]:")),
        "transfer: f in the order of g": Edit(
            (PUT, "f = B.T @ (B @ f).sort(1).values.gather(1, (B @ g).argsort(1).argsort(1))")
        ),
        "transfer: all rows in the order of the first": Edit((RANKS, RANKS + "[:1].expand_as(f)")),
        "transfer: mean and deviation only": Edit(
            (
                PUT,
                "p, q = B @ f, B @ g\n        f = B.T @ ((p - p.mean(1, keepdim=True)) / p.std(1, keepdim=True) * q.std(1, keepdim=True) + q.mean(1, keepdim=True))",
            )
        ),
    },
    right={
        "repeated to a common length; places assigned": """
def sliced(f, g, directions):
    a, b = torch.sort(directions @ f, dim=1)[0], torch.sort(directions @ g, dim=1)[0]
    length = math.lcm(a.shape[1], b.shape[1])
    a = a.repeat_interleave(length // a.shape[1], dim=1)
    b = b.repeat_interleave(length // b.shape[1], dim=1)
    return ((a - b) ** 2).mean(dim=1)


def transfer(f, g, bases):
    for B in bases:
        p, q = B @ f, torch.sort(B @ g, dim=1)[0]
        for row in range(len(p)):
            p[row, torch.argsort(p[row])] = q[row]
        f = B.T @ p
    return f
""",
        "steps and masses in float32": """
def sliced(f, g, directions):
    a, b = (directions @ f).sort(1).values, (directions @ g).sort(1).values
    n, m = a.shape[1], b.shape[1]
    steps = torch.cat([torch.zeros(1), torch.arange(1, n + 1) / n, torch.arange(1, m + 1) / m]).sort().values
    middle = (steps[1:] + steps[:-1]) / 2
    i, j = (middle * n).long().clamp(max=n - 1), (middle * m).long().clamp(max=m - 1)
    return ((a[:, i] - b[:, j]) ** 2 * steps.diff()).sum(1)


def transfer(f, g, bases):
    for B in bases:
        order, wanted = (B @ f).argsort(dim=1), (B @ g).sort(dim=1).values
        f = B.T @ torch.empty_like(f).scatter(1, order, wanted)
    return f
""",
        "two pointers": """
def sliced(f, g, directions):
    n, m = f.shape[1], g.shape[1]
    i = j = done = 0
    first, second, masses = [], [], []
    while i < n and j < m:
        end = min((i + 1) * m, (j + 1) * n)
        first.append(i)
        second.append(j)
        masses.append((end - done) / (n * m))
        done = end
        i, j = i + (end == (i + 1) * m), j + (end == (j + 1) * n)
    a, b = (directions @ f).sort(1).values[:, first], (directions @ g).sort(1).values[:, second]
    return ((a - b) ** 2 * torch.tensor(masses, dtype=a.dtype)).sum(1)


def transfer(f, g, bases):
    for B in bases:
        order, wanted = (B @ f).argsort(dim=1), (B @ g).sort(dim=1).values
        f = B.T @ torch.empty_like(f).scatter(1, order, wanted)
    return f
""",
    },
)

# ---------------------------------------------------------------------------------------- task 5

UPWARDS = "first, last = first // size, last // size"
READS = "first = max(first * rest[0] - rest[1], 0)"
READS_LAST = "last = min(last * rest[0] - rest[1] + size - 1, inside - 1)"
ORDER = "for (kind, size, *rest), inside in zip(reversed(layers), lengths[-2::-1], strict=True):"
COPIES = "a, b, length = a * size, b * size + size - 1, length * size"
BEGINS = "a = max(-((size - 1 - padding - a) // stride), 0)  # rounded up"
ENDS_AT = "b = min((b + padding) // stride, length - 1)"
NOBODY = "if a > b:\n                return None"

reach = Task(
    wrong={
        "sees: forwards": Edit((ORDER, "for (kind, size, *rest), inside in zip(layers, lengths, strict=False):")),
        "sees: padding forgotten": Edit(
            (READS, "first = max(first * rest[0], 0)"), (READS_LAST, READS_LAST.replace(" - rest[1]", ""))
        ),
        "sees: stride forgotten": Edit(
            (READS, "first = max(first - rest[1], 0)"), (READS_LAST, READS_LAST.replace("last * rest[0]", "last"))
        ),
        "sees: one too many": Edit((READS_LAST, READS_LAST.replace("+ size - 1,", "+ size,"))),
        "sees: enlarging forgotten": Edit((UPWARDS, "pass")),
        "sees: one place of the enlarged": Edit((UPWARDS, "first = last = first // size")),
        "sees: leaves the tensor": Edit(
            (READS, "first = first * rest[0] - rest[1]"), (READS_LAST, "last = last * rest[0] - rest[1] + size - 1")
        ),
        "sees: bounded at the end only": Edit(
            (READS, "first = first * rest[0] - rest[1]"),
            (READS_LAST, "last = last * rest[0] - rest[1] + size - 1"),
            ("return first, last", "return max(first, 0), min(last, length - 1)"),
        ),
        "sees: bounded by the outputs": Edit((READS_LAST, READS_LAST.replace("inside - 1", "length - 1"))),
        "reaches: first rounded down": Edit((BEGINS, "a = max((a + padding - size + 1) // stride, 0)")),
        "reaches: last rounded up": Edit((ENDS_AT, "b = min(-(-(b + padding) // stride), length - 1)")),
        "reaches: padding forgotten": Edit(
            (BEGINS, "a = max(-((size - 1 - a) // stride), 0)"), (ENDS_AT, "b = min(b // stride, length - 1)")
        ),
        "reaches: filter forgotten": Edit((BEGINS, "a = max(-((-padding - a) // stride), 0)")),
        "reaches: first copy only": Edit((COPIES, COPIES.replace("b * size + size - 1", "b * size"))),
        "reaches: leaves the tensor": Edit(
            (BEGINS, "a = -((size - 1 - padding - a) // stride)"), (ENDS_AT, "b = (b + padding) // stride")
        ),
        "reaches: never None": Edit((NOBODY, "pass")),
        "reaches: None asked at the end only": Edit(
            (NOBODY, "pass"), ("return a, b", "return (a, b) if a <= b else None")
        ),
        "reaches: None only where a stride is longer": Edit(
            (NOBODY, NOBODY.replace("a > b", "a > b and stride > size"))
        ),
        "reaches: the ends alone are followed": """
def sees(layers, length, i):
    lengths = [length]
    for layer in layers:
        n = lengths[-1]
        lengths.append(n * layer[1] if layer[0] == "up" else (n + 2 * layer[3] - layer[1]) // layer[2] + 1)
    first = last = i
    for layer, inside in zip(reversed(layers), reversed(lengths[:-1]), strict=True):
        if layer[0] == "up":
            first, last = first // layer[1], last // layer[1]
        else:
            first = max(first * layer[2] - layer[3], 0)
            last = min(last * layer[2] - layer[3] + layer[1] - 1, inside - 1)
    return first, last


def reaches(layers, length, j):
    if not layers:
        return j, j
    kind, size, *rest = layers[0]
    if kind == "up":
        a, b, n = j * size, j * size + size - 1, length * size
    else:
        stride, padding = rest
        n = (length + 2 * padding - size) // stride + 1
        a, b = max(-((size - 1 - padding - j) // stride), 0), min((j + padding) // stride, n - 1)
        if a > b:
            return None
    ends = [reaches(layers[1:], n, end) for end in (a, b)]
    ends = [end for end in ends if end is not None]
    return (ends[0][0], ends[-1][1]) if ends else None
""",
        "reaches: bounded at the end only": Edit(
            (BEGINS, "a = -((size - 1 - padding - a) // stride)"),
            (ENDS_AT, "b = (b + padding) // stride"),
            ("return a, b", "return max(a, 0), min(b, length - 1)"),
        ),
    },
    right={
        "sets of places": """
def sees(layers, length, i):
    lengths = [length]
    for layer in layers:
        n = lengths[-1]
        lengths.append(n * layer[1] if layer[0] == "up" else (n + 2 * layer[3] - layer[1]) // layer[2] + 1)
    places = {i}
    for k in reversed(range(len(layers))):
        if layers[k][0] == "up":
            places = {place // layers[k][1] for place in places}
        else:
            _, size, stride, padding = layers[k]
            reads = {place * stride - padding + t for place in places for t in range(size)}
            places = {place for place in reads if 0 <= place < lengths[k]}
    return min(places), max(places)


def reaches(layers, length, j):
    places, n = {j}, length
    for layer in layers:
        if layer[0] == "up":
            places = {place * layer[1] + t for place in places for t in range(layer[1])}
            n = n * layer[1]
        else:
            _, size, stride, padding = layer
            n = (n + 2 * padding - size) // stride + 1
            places = {o for o in range(n) if any(o * stride - padding + t in places for t in range(size))}
    return (min(places), max(places)) if places else None
""",
        "by trying it with torch": """
def table(layers, length):
    x = torch.eye(length, dtype=torch.float64)[:, None]
    for kind, size, *rest in layers:
        if kind == "up":
            x = x.repeat_interleave(size, dim=2)
        else:
            ones = torch.ones(1, 1, size, dtype=torch.float64)
            x = (nn.functional.conv1d(x, ones, stride=rest[0], padding=rest[1]) > 0).double()
    return x[:, 0] > 0  # (inputs, outputs)


def sees(layers, length, i):
    places = table(layers, length)[:, i].nonzero()
    return [int(places.min()), int(places.max())]


def reaches(layers, length, j):
    places = table(layers, length)[j].nonzero()
    return (int(places.min()), int(places.max())) if len(places) else None
""",
    },
)

# ---------------------------------------------------------------------------------------- task 6

ERROR = "errors.append((flat @ flat.mT / flat.shape[2] - G).square().sum((1, 2)) / G.square().sum())"
TAKEN = "if number in taken:"
STACKED = "return torch.stack(errors)"
LEAF = "leaf = x.detach().clone().requires_grad_()"
SLOPES = "slopes = [torch.autograd.grad(error.sum(), leaf, retain_graph=True)[0] for error in errors]"
LENGTH = "length = torch.stack([slope.flatten(1).norm(dim=1) for slope in slopes])  # (M, N)"
INVERSE = "inverse = torch.where(length > 0, 1 / length.clamp(min=1e-300), 0)"
NONE = "inverse = torch.where((length > 0).any(0), inverse, 1)"
SHARED = "return inverse / inverse.sum(0)"

pull = Task(
    wrong={
        "errors: not divided": Edit((ERROR, ERROR.replace(" / G.square().sum()", ""))),
        "errors: divided by the found": Edit(
            (ERROR, ERROR.replace("G.square().sum()", "(flat @ flat.mT / flat.shape[2]).square().sum((1, 2))"))
        ),
        "errors: sums over the places": Edit((ERROR, ERROR.replace(" / flat.shape[2]", ""))),
        "errors: not squared": Edit(
            (
                ERROR,
                ERROR.replace(
                    " / G.square().sum())", " / G.square().sum())\n            errors[-1] = errors[-1].sqrt()"
                ),
            )
        ),
        "errors: divisor not squared": Edit((ERROR, ERROR.replace("G.square().sum())", "G.norm())"))),
        "errors: mean above, sum below": Edit((ERROR, ERROR.replace("sum((1, 2))", "mean((1, 2))"))),
        "errors: summed over the batch": Edit((ERROR, ERROR.replace("sum((1, 2))", "sum().expand(len(x))"))),
        "errors: counted from 1": Edit((TAKEN, "if number + 1 in taken:")),
        "errors: images first": Edit((STACKED, "return torch.stack(errors).T")),
        "errors: layers summed": Edit((STACKED, "return torch.stack(errors).sum(0)")),
        "errors: no slope": Edit((STACKED, "return torch.stack(errors).detach()")),
        "errors: places of the first layer": Edit(
            (ERROR, ERROR.replace("flat.shape[2]", "(x.shape[2] * x.shape[3] if not errors else 48)"))
        ),
        "weights: in proportion": Edit((INVERSE, "inverse = length")),
        "weights: by the errors": Edit((LENGTH, "length = errors.detach()")),
        "weights: squared lengths": Edit(
            (INVERSE, INVERSE.replace("1 / length.clamp(min=1e-300)", "1 / length.square().clamp(min=1e-300)"))
        ),
        "weights: sum is not 1": Edit((SHARED, "return inverse")),
        "weights: sum over the images": Edit((SHARED, "return inverse / inverse.sum(1, keepdim=True)")),
        "weights: one for the batch": Edit(
            (LENGTH, "length = torch.stack([slope.norm().expand(len(x)) for slope in slopes])")
        ),
        "weights: sums of |slope|": Edit((LENGTH, LENGTH.replace("norm(dim=1)", "norm(p=1, dim=1)"))),
        "weights: NaN where nothing pulls": Edit((NONE, "pass")),
        "weights: infinite where a layer does not pull": Edit((INVERSE, "inverse = 1 / length")),
        "weights: silent layers get 1/M": Edit(
            (INVERSE, "inverse = torch.where(length > 0, 1 / length.clamp(min=1e-300), 1)")
        ),
        "weights: backward through the net": Edit(
            (
                SLOPES,
                "slopes = []\n    for error in errors:\n        leaf.grad = None\n        error.sum().backward(retain_graph=True)\n        slopes.append(leaf.grad)",
            )
        ),
        "weights: a small epsilon": Edit((INVERSE, "inverse = 1 / (length + 1e-2)")),
        "weights: only above a millionth": Edit(
            (INVERSE, INVERSE.replace("length > 0,", "length > 1e-6,")),
            (NONE, NONE.replace("length > 0", "length > 1e-6")),
        ),
        "weights: the net stays frozen": Edit((LEAF, "net.requires_grad_(False)\n    " + LEAF)),
        "weights: x changed": Edit((LEAF, "leaf = x.mul_(1.001).detach().clone().requires_grad_()")),
    },
    right={
        "layer by layer from the start, image by image": """
def layer_errors(net, taken, x, wanted):
    rows = []
    for k, G in zip(taken, wanted, strict=True):
        maps = net[: k + 1](x)
        found = torch.einsum("nchw,ndhw->ncd", maps, maps) / (maps.shape[2] * maps.shape[3])
        rows.append(((found - G) ** 2).flatten(1).sum(1) / (G**2).sum())
    return torch.stack(rows)


def equal_pull(net, taken, x, wanted):
    weights = torch.zeros(len(taken), len(x), dtype=x.dtype)
    for n in range(len(x)):
        image = x[n : n + 1].clone().requires_grad_()
        lengths = []
        for error in layer_errors(net, taken, image, wanted)[:, 0]:
            (slope,) = torch.autograd.grad(error, image, retain_graph=True)
            lengths.append(float(slope.norm()))
        inverse = [1 / length if length > 0 else 0.0 for length in lengths]
        if sum(inverse) == 0:
            inverse = [1.0] * len(taken)
        weights[:, n] = torch.tensor(inverse, dtype=x.dtype) / sum(inverse)
    return weights
""",
        "a counter, and the net's weights at rest": """
def layer_errors(net, taken, x, wanted):
    maps = {}
    for k in range(max(taken) + 1):
        x = net[k](x)
        maps[k] = x
    result = []
    for G, k in zip(wanted, taken, strict=True):
        F = maps[k].reshape(maps[k].shape[0], maps[k].shape[1], -1)
        result.append((torch.bmm(F, F.transpose(1, 2)) / F.shape[-1] - G).norm(dim=(1, 2)) ** 2 / G.norm() ** 2)
    return torch.stack(result, 0)


def equal_pull(net, taken, x, wanted):
    leaf = x.clone().detach().requires_grad_(True)
    flags = [w.requires_grad for w in net.parameters()]
    net.requires_grad_(False)
    M, N = len(taken), len(x)
    lengths = torch.zeros(M, N, dtype=x.dtype)
    for k in range(M):
        leaf.grad = None
        layer_errors(net, taken, leaf, wanted)[k].sum().backward()
        lengths[k] = leaf.grad.reshape(N, -1).pow(2).sum(1).sqrt()
    for w, flag in zip(net.parameters(), flags, strict=True):
        w.requires_grad_(flag)
    alive = lengths > 0
    weights = torch.zeros_like(lengths)
    weights[alive] = 1 / lengths[alive]
    weights[:, ~alive.any(0)] = 1
    return weights / weights.sum(0, keepdim=True)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 7

OTHERS = "others = torch.arange(len(labels)) != q"
HITS = "hits = labels[others][distances[q][others].argsort()] == labels[q]"
SHARES = "shares = hits.double().cumsum(0) / torch.arange(1, len(labels))"
FOUND = "found[q] = shares[hits].mean()"
NAN = "found = torch.full((len(labels),), math.nan, dtype=torch.float64)"
BEFORE = "before = (relevant - 1) / max(others - 1, 1)  # expected share among those before"
CHANCE = "return sum((1 + (i - 1) * before) / i for i in range(1, others + 1)) / others"

precision = Task(
    wrong={
        "values: columns ask": Edit((HITS, HITS.replace("distances[q]", "distances[:, q]"))),
        "values: farthest first": Edit((HITS, HITS.replace("argsort()", "argsort(descending=True)"))),
        "values: the asker in its list": Edit(
            (OTHERS, "others = torch.arange(len(labels)) >= 0"),
            (SHARES, SHARES.replace("len(labels))", "len(labels) + 1)")),
        ),
        "values: the first left out": Edit((HITS, "hits = labels[distances[q].argsort()[1:]] == labels[q]")),
        "values: nearest only": Edit((FOUND, "found[q] = float(hits[0])")),
        "values: every rank": Edit((FOUND, "found[q] = shares.mean()")),
        "values: divided by all": Edit((FOUND, "found[q] = (shares * hits).mean()")),
        "values: as many as there are": Edit((FOUND, "found[q] = hits[: int(hits.sum())].double().mean()")),
        "values: mean of 1/rank": Edit((FOUND, "found[q] = (hits / torch.arange(1, len(labels))).sum() / hits.sum()")),
        "values: 0 where alone": Edit((NAN, "found = torch.zeros(len(labels), dtype=torch.float64)")),
        "values: a diagonal of 1000": Edit(
            (
                OTHERS,
                "others = torch.arange(len(labels)) >= 0\n        row = distances[q].clone()\n        row[q] = 1000",
            ),
            (HITS, "hits = (labels[row.argsort()] == labels[q])[:-1]"),
        ),
        "values: ranks from 0": Edit(
            (SHARES, SHARES.replace("torch.arange(1, len(labels))", "torch.arange(len(labels) - 1).clamp(min=1)"))
        ),
        "values: float32": Edit((NAN, NAN.replace("float64", "float32"))),
        "values: mean over the askers": Edit(("return found\n", "return found.nanmean()\n")),
        "chance: R/K": Edit((CHANCE, "return relevant / others")),
        "chance: R/K before": Edit((BEFORE, "before = relevant / others")),
        "chance: without the hit": Edit((CHANCE, CHANCE.replace("(1 + (i - 1) * before)", "((i - 1) * before)"))),
        "chance: without the others": Edit((BEFORE, "before = 0.0")),
        "chance: a sum": Edit((CHANCE, CHANCE.replace(" / others", ""))),
        "chance: divided by R": Edit((CHANCE, CHANCE.replace("/ others", "/ relevant"))),
        "chance: a single other": Edit((BEFORE, "before = (relevant - 1) / (others - 1)")),
        "chance: a simulation": Edit(
            (
                CHANCE,
                "draws = torch.Generator().manual_seed(0)\n    total = 0.0\n    for _ in range(300):\n        ranks = (torch.randperm(others, generator=draws)[:relevant] + 1).sort().values\n        total += float((torch.arange(1, relevant + 1) / ranks).mean())\n    return total / 300",
            )
        ),
    },
    right={
        "lists, and all at once": """
def average_precisions(distances, labels):
    result = []
    for q, row in enumerate(distances.tolist()):
        order = sorted((j for j in range(len(row)) if j != q), key=lambda j: row[j])
        hits, shares = 0, []
        for rank, j in enumerate(order, start=1):
            if labels[j] == labels[q]:
                hits += 1
                shares.append(hits / rank)
        result.append(sum(shares) / len(shares) if shares else float("nan"))
    return torch.tensor(result, dtype=torch.float64)


def by_chance(others, relevant):
    harmonic = sum(1 / i for i in range(1, others + 1))
    if others == 1:
        return 1.0
    return harmonic / others + (relevant - 1) / (others - 1) * (1 - harmonic / others)
""",
        "chance in float32": """
def average_precisions(distances, labels):
    far = distances.clone().fill_diagonal_(math.inf)
    order = far.argsort(dim=1)[:, :-1]
    hits = labels[order] == labels[:, None]
    shares = hits.cumsum(1) / torch.arange(1, len(labels))
    return ((shares * hits).sum(1) / hits.sum(1)).double()


def by_chance(others, relevant):
    i = torch.arange(1, others + 1)
    return ((1 + (i - 1) * (relevant - 1) / max(others - 1, 1)) / i).mean()
""",
        "a matrix with infinite diagonal": """
def average_precisions(distances, labels):
    count = len(labels)
    far = distances.double().masked_fill(torch.eye(count, dtype=torch.bool), math.inf)
    order = far.argsort(dim=1)[:, :-1]
    hits = (labels[order] == labels[:, None]).double()
    shares = hits.cumsum(1) / torch.arange(1, count, dtype=torch.float64)
    return (shares * hits).sum(1) / hits.sum(1)


def by_chance(others, relevant):
    i = torch.arange(1, others + 1, dtype=torch.float64)
    rest = (relevant - 1) / (others - 1) if others > 1 else 0.0
    return ((1 + (i - 1) * rest) / i).mean()
""",
    },
)

TASKS = {
    "shifted": shifted,
    "moved": moved,
    "lbfgs": lbfgs,
    "sliced": sliced,
    "reach": reach,
    "pull": pull,
    "precision": precision,
}
