# ruff: noqa: E501
"""Wrong and right solutions of problem set 03, looking inside and fooling nets."""

from __future__ import annotations

from course_lib.authoring.mutants import Edit, Task

# ---------------------------------------------------------------------------------------- task 1

TOTAL = "q = (across**2 + down**2).sum(1)"
POWER = "return (q ** (beta / 2)).sum((1, 2))"
ACROSS = "across[..., :-1] = x[..., 1:] - x[..., :-1]"
DOWN = "down[..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]"
Q = "q = (a**2 + b**2).sum(1, keepdim=True)"
FACTOR = "torch.where(q > 0, beta * torch.where(q > 0, q, 1) ** (beta / 2 - 1), 0)"
LEFT = "slope[..., 1:] += a[..., :-1]"
UPPER = "slope[..., 1:, :] += b[..., :-1, :]"
VARIATION = """
def colour_variation(x, beta):
    across, down = torch.zeros_like(x), torch.zeros_like(x)
    across[..., :-1] = x[..., 1:] - x[..., :-1]
    down[..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    return ((across**2 + down**2).sum(1) ** (beta / 2)).sum((1, 2))
"""

variation = Task(
    wrong={
        "every channel for itself": Edit(
            (TOTAL, "q = across**2 + down**2"), (POWER, "return (q ** (beta / 2)).sum((1, 2, 3))")
        ),
        "power beta": Edit((POWER, "return (q**beta).sum((1, 2))")),
        "across and down apart": Edit(
            (POWER, "return ((across**2).sum(1) ** (beta / 2) + (down**2).sum(1) ** (beta / 2)).sum((1, 2))")
        ),
        "round the border": Edit((ACROSS, "across = x.roll(-1, 3) - x"), (DOWN, "down = x.roll(-1, 2) - x")),
        "last row and column left out": Edit((POWER, "return (q[:, :-1, :-1] ** (beta / 2)).sum((1, 2))")),
        "summed over the batch": Edit((POWER, "return (q ** (beta / 2)).sum()")),
        "a large epsilon": Edit((POWER, "return ((q + 1e-6) ** (beta / 2)).sum((1, 2))")),
        "three channels only": Edit((TOTAL, "q = sum(across[:, c] ** 2 + down[:, c] ** 2 for c in range(3))")),
        "float64 comes back": Edit((POWER, "return (q.double() ** (beta / 2)).sum((1, 2))")),
        "slope: own q only": Edit((LEFT, "pass"), (UPPER, "pass")),
        "slope: one factor for all three": Edit(
            ("a, b = factor * a, factor * b", "pass"),
            ("return slope", "return factor * slope"),
        ),
        "slope: every channel for itself": Edit((Q, "q = a**2 + b**2")),
        "slope: power beta - 1": Edit((FACTOR, FACTOR.replace("(beta / 2 - 1)", "(beta - 1)"))),
        "slope: that of beta = 2": Edit((FACTOR, "2 + 0 * q")),
        "slope: NaN where even": Edit((FACTOR, "beta * q ** (beta / 2 - 1)")),
        "slope: autograd": VARIATION
        + """

def colour_variation_slope(x, beta):
    x = x.clone().requires_grad_()
    colour_variation(x, beta).sum().backward()
    return x.grad
""",
    },
    right={
        "padded differences, a small epsilon": """
def colour_variation(x, beta):
    across = nn.functional.pad(x.diff(dim=-1), (0, 1))
    down = nn.functional.pad(x.diff(dim=-2), (0, 0, 0, 1))
    return (across.square() + down.square()).sum(1).add(1e-12).pow(beta / 2).flatten(1).sum(1)


def colour_variation_slope(x, beta):
    across = nn.functional.pad(x.diff(dim=-1), (0, 1))
    down = nn.functional.pad(x.diff(dim=-2), (0, 0, 0, 1))
    q = (across.square() + down.square()).sum(1, keepdim=True) + 1e-12
    a, b = (beta * q ** (beta / 2 - 1) * d for d in (across, down))
    return nn.functional.pad(a, (1, 0))[..., :-1] - a + nn.functional.pad(b, (0, 0, 1, 0))[..., :-1, :] - b
""",
        "the last pixel again beyond the border, and pixel by pixel": """
def colour_variation(x, beta):
    right = torch.cat([x[..., 1:], x[..., -1:]], dim=3)
    below = torch.cat([x[..., 1:, :], x[..., -1:, :]], dim=2)
    q = ((right - x) ** 2 + (below - x) ** 2).sum(dim=1)
    return torch.stack([(image ** (beta / 2)).sum() for image in q])


def colour_variation_slope(x, beta):
    slope = torch.zeros_like(x)
    n, c, h, w = x.shape
    for i in range(h):
        for j in range(w):
            across = x[:, :, i, j + 1] - x[:, :, i, j] if j + 1 < w else torch.zeros_like(x[:, :, i, j])
            down = x[:, :, i + 1, j] - x[:, :, i, j] if i + 1 < h else torch.zeros_like(x[:, :, i, j])
            q = (across**2 + down**2).sum(1, keepdim=True)
            factor = beta * q ** (beta / 2 - 1)
            factor[q == 0] = 0
            slope[:, :, i, j] -= factor * (across + down)
            if j + 1 < w:
                slope[:, :, i, j + 1] += factor * across
            if i + 1 < h:
                slope[:, :, i + 1, j] += factor * down
    return slope
""",
    },
)

# ---------------------------------------------------------------------------------------- task 2

DISTANCE = "(features - target).flatten(1).square().sum(1) / target.flatten(1).square().sum(1)"
SQUARED = "(features - target).flatten(1).square().sum(1)"
PRIOR = "weight * total_variation(x, beta=beta) / x[0].numel()"
TRIAL = "trial = (x - rates.view(each) * slope).clamp(-1, 1)"
BETTER = "better = trial_z < z"
RATES = "rates = torch.where(better, 1.5 * rates, rates / 2)"
GRAD = "return z.detach(), torch.autograd.grad(z.sum(), x)[0]"
LAST = "return x, torch.stack(losses)"
TAKEN = "x = torch.where(better.view(each), trial, x)"

inversion = Task(
    wrong={
        "loss: divided by the batch's features": Edit((DISTANCE, SQUARED + " / target.square().sum()")),
        "loss: divided by the found features": Edit((DISTANCE, SQUARED + " / features.flatten(1).square().sum(1)")),
        "loss: TV not divided": Edit((PRIOR, "weight * total_variation(x, beta=beta)")),
        "loss: TV summed": Edit((PRIOR, "weight * total_variation(x, beta=beta).sum() / x[0].numel()")),
        "loss: a number of features only": Edit(
            (DISTANCE, "(features - target).square().sum(1) / target.square().sum(1)")
        ),
        "loss: a number as weight only": Edit((PRIOR, PRIOR.replace("weight", "float(weight)"))),
        "steps: one decision for all": Edit((BETTER, "better = (trial_z.sum() < z.sum()).expand(len(x))")),
        "steps: all taken": Edit(
            (BETTER, BETTER + "\n        taken = torch.ones_like(better)"),
            (TAKEN, "x = trial"),
            ("slope = torch.where(better.view(each), trial_slope, slope)", "slope = trial_slope"),
            ("z = torch.where(better, trial_z, z)", "z = trial_z"),
        ),
        "steps: rate doubled": Edit((RATES, RATES.replace("1.5", "2"))),
        "steps: rate not halved": Edit((RATES, RATES.replace("rates / 2", "rates"))),
        "steps: no box": Edit((TRIAL, "trial = x - rates.view(each) * slope")),
        "steps: box at the end only": Edit(
            (TRIAL, "trial = x - rates.view(each) * slope"), (LAST, "return x.clamp(-1, 1), torch.stack(losses)")
        ),
        "steps: slope of the mean": Edit((GRAD, GRAD.replace("z.sum()", "z.mean()"))),
        "steps: the last try": Edit((LAST, "return trial, torch.stack(losses)")),
        "steps: backward through the net": Edit((GRAD, "z.sum().backward()\n        return z.detach(), x.grad")),
        "steps: a little worse is accepted": Edit((BETTER, "better = trial_z < 1.05 * z")),
        "steps: the old slope": Edit(("slope = torch.where(better.view(each), trial_slope, slope)", "pass")),
    },
    right={
        "each image alone": """
def pre_image_loss(features, target, x, weight, beta):
    off = [(f - t).norm() ** 2 / t.norm() ** 2 for f, t in zip(features, target, strict=True)]
    return torch.stack(off) + weight * total_variation(x, beta=beta) / x[0].numel()


def invert(phi, target, start, weight, beta, steps, rate):
    images, losses = [], []
    for n in range(len(start)):
        of_mine = weight[n] if isinstance(weight, torch.Tensor) else weight
        x, alpha, mine = start[n : n + 1].clone(), rate, []

        def loss(image, n=n, of_mine=of_mine):
            return pre_image_loss(phi(image), target[n : n + 1], image, of_mine, beta)[0]

        z = loss(x).detach()
        mine.append(z)
        for _ in range(steps):
            leaf = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(loss(leaf), leaf)
            with torch.no_grad():
                trial = torch.clip(x - alpha * slope, -1, 1)
                trial_z = loss(trial)
            if trial_z < z:
                x, z, alpha = trial, trial_z, alpha * 1.5
            else:
                alpha = alpha * 0.5
            mine.append(z)
        images.append(x)
        losses.append(torch.stack(mine))
    return torch.cat(images), torch.stack(losses, dim=1)
""",
        "masks, weights of the net at rest": """
def pre_image_loss(features, target, x, weight, beta):
    n, pixels = len(x), x.shape[1] * x.shape[2] * x.shape[3]
    off = ((features - target) ** 2).reshape(n, -1).sum(-1)
    return off / (target**2).reshape(n, -1).sum(-1) + weight * total_variation(x, beta=beta) / pixels


def invert(phi, target, start, weight, beta, steps, rate):
    flags = [w.requires_grad for w in phi.parameters()]
    phi.requires_grad_(False)
    x = start.clone()
    rates = torch.ones(len(x), 1, 1, 1, dtype=x.dtype) * rate
    with torch.no_grad():
        z = pre_image_loss(phi(x), target, x, weight, beta)
    losses = torch.empty(steps + 1, len(x), dtype=x.dtype)
    losses[0] = z
    for t in range(steps):
        leaf = x.clone().requires_grad_()
        pre_image_loss(phi(leaf), target, leaf, weight, beta).sum().backward()
        with torch.no_grad():
            trial = x - rates * leaf.grad
            trial.clamp_(min=-1, max=1)
            trial_z = pre_image_loss(phi(trial), target, trial, weight, beta)
            better = trial_z < z
            x[better], z[better] = trial[better], trial_z[better]
            rates[better] *= 1.5
            rates[~better] /= 2
            losses[t + 1] = z
    for w, flag in zip(phi.parameters(), flags, strict=True):
        w.requires_grad_(flag)
    return x, losses
""",
    },
)

# ---------------------------------------------------------------------------------------- task 3

LINF = "size = room.clamp(max=eps)"
ORDER = "order = steep.argsort(1, descending=True)"
DEALT = "size = torch.zeros_like(room).scatter(1, order, torch.minimum(sorted_room, (eps - spent).clamp(min=0)))"
FITS = "fits = torch.minimum(t * steep, room).norm(dim=1, keepdim=True) <= eps"
FILLED = "size = torch.minimum(short * steep, room)"
LONG = "long = (room / steep.clamp(min=1e-30)).amax(1, keepdim=True)  # here all the room is used"

best_step = Task(
    wrong={
        "sign": Edit(("steep = g.flatten(1).abs()", "g = -g\n    steep = g.flatten(1).abs()")),
        "linf: the slope itself": Edit((LINF, "return (x + eps * g).clamp(-1, 1) - x")),
        "linf: all or nothing": Edit((LINF, "size = torch.where(room >= eps, eps, torch.zeros_like(room))")),
        "linf: float64 comes back": Edit((LINF, "size = room.double().clamp(max=eps)")),
        "l1: in proportion": Edit((DEALT, "size = torch.minimum(eps * steep / steep.sum(1, keepdim=True), room)")),
        "l1: the steepest alone": Edit((DEALT, "size = room.clamp(max=eps) * (steep == steep.amax(1, keepdim=True))")),
        "l1: sorted by g": Edit((ORDER, "order = g.flatten(1).argsort(1, descending=True)")),
        "l1: sorted by slope times room": Edit(
            (ORDER, "order = (steep * room).argsort(dim=1, descending=True, stable=True)")
        ),
        "l1: not put back in order": Edit((DEALT, "size = torch.minimum(sorted_room, (eps - spent).clamp(min=0))")),
        "l1: the last pixel whole": Edit(
            (DEALT, DEALT.replace("(eps - spent).clamp(min=0)", "torch.where(spent < eps, 2.0, 0.0).to(x)"))
        ),
        "l2: scaled and clipped": Edit(
            (FILLED, "size = torch.minimum(eps * steep / steep.norm(dim=1, keepdim=True), room)")
        ),
        "l2: scaled, clipped, scaled": Edit(
            (
                FILLED,
                "size = torch.minimum(eps * steep / steep.norm(dim=1, keepdim=True), room)\n        size = size * eps / size.norm(dim=1, keepdim=True)",
            )
        ),
        "l2: twice scaled and clipped": Edit(
            (
                FILLED,
                "size = torch.minimum(eps * steep / steep.norm(dim=1, keepdim=True), room)\n        size = torch.minimum(size * eps / size.norm(dim=1, keepdim=True), room)",
            )
        ),
        "l2: one t for the batch": Edit(
            (FITS, "fits = (torch.minimum(t * steep, room).norm() <= eps).expand(len(x), 1)"),
            (LONG, "long = (room / steep.clamp(min=1e-30)).amax().expand(len(x), 1)"),
        ),
        "l2: a fixed bracket": Edit((LONG, "long = torch.ones_like(short)")),
    },
    right={
        "clip for linf, a loop for l1, filling up for l2": """
def best_step(x, g, eps, norm):
    if norm == "linf":
        return (x + eps * torch.sign(g)).clip(-1, 1) - x
    result = torch.zeros_like(x).reshape(len(x), -1)
    for n, (image, slope) in enumerate(zip(x.reshape(len(x), -1), g.reshape(len(x), -1), strict=True)):
        room = torch.where(slope >= 0, 1 - image, 1 + image) * (slope != 0)
        if norm == "l1":
            left = eps
            for i in torch.argsort(-slope.abs()).tolist():
                use = min(left, float(room[i]))
                result[n, i] = use * torch.sign(slope[i])
                left -= use
        else:
            full = slope == 0
            while True:
                rest = max(eps**2 - float((room[full] ** 2).sum()), 0.0) ** 0.5
                free = torch.where(full, torch.zeros_like(slope), slope.abs())
                move = rest * free / max(float(free.norm()), 1e-30)
                over = (move > room) & ~full
                if not over.any():
                    break
                full = full | over
            result[n] = torch.where(full, room, move) * torch.sign(slope)
    return result.reshape(x.shape)
""",
        "t by sorting": """
def best_step(x, g, eps, norm):
    s, d = g.flatten(1).sign(), g.flatten(1).abs()
    end = torch.where(s == 0, x.flatten(1), s)
    m = (end - x.flatten(1)).abs()
    if norm == "linf":
        m = torch.minimum(m, torch.full_like(m, eps))
    elif norm == "l1":
        d_sorted, order = d.sort(dim=1, descending=True)
        till = m.gather(1, order).cumsum(1).clamp(max=eps)
        dealt = torch.diff(till, dim=1, prepend=torch.zeros_like(till[:, :1]))
        m = dealt.gather(1, order.argsort(1))
    else:
        ratio = torch.where(d > 0, m / d.clamp(min=1e-30), 0)
        ratio, order = ratio.sort(dim=1)  # pixels get full in this order
        room, steep = m.gather(1, order), d.gather(1, order)
        full = room.square().cumsum(1) - room.square()  # of those before
        rest = steep.square().flip(1).cumsum(1).flip(1)  # of this one and all behind it
        at_full = full + ratio**2 * rest  # the squared length when this one gets full
        k = (at_full < eps**2).sum(1, keepdim=True)
        safe = k.clamp(max=m.shape[1] - 1)
        t = ((eps**2 - full.gather(1, safe)).clamp(min=0) / rest.gather(1, safe).clamp(min=1e-30)).sqrt()
        m = torch.where(k == m.shape[1], m, torch.minimum(t * d, m))
    return (s * m).view(x.shape)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 4

OTHERS = "others = scores.scatter(1, labels[:, None], -math.inf).amax(1)"
GAP = "a = own - others if targeted else others - own"
SLOPE = "return a.detach(), torch.autograd.grad(a.sum(), x)[0]"

attack_slope = Task(
    wrong={
        "signs": Edit((GAP, "a = others - own if targeted else own - others")),
        "y among the others": Edit((OTHERS, "others = scores.amax(1)")),
        "y's score is zeroed": Edit((OTHERS, OTHERS.replace("-math.inf", "0.0"))),
        "cross-entropy": Edit(
            (GAP, "a = (-1 if targeted else 1) * nn.functional.cross_entropy(scores, labels, reduction='none')")
        ),
        "log-probabilities of a rounded softmax": Edit(
            ("scores = net(x)", "scores = net(x).softmax(1).clamp(min=1e-12).log()")
        ),
        "targeted ignored": Edit((GAP, "a = others - own")),
        "targeted turns a only": Edit((SLOPE, "return a.detach(), torch.autograd.grad((others - own).sum(), x)[0]")),
        "slope of the mean": Edit((SLOPE, SLOPE.replace("a.sum()", "a.mean()"))),
        "backward through the net": Edit((SLOPE, "a.sum().backward()\n    return a.detach(), x.grad")),
        "hangs on the graph": Edit((SLOPE, "return a, torch.autograd.grad(a.sum(), x, retain_graph=True)[0]")),
        "four classes": Edit(
            (
                OTHERS,
                "others = torch.stack([scores[:, k] for k in range(4)], 1).scatter(1, labels[:, None], -math.inf).amax(1)",
            )
        ),
        "the second largest": Edit((OTHERS, "others = scores.topk(2, dim=1).values[:, 1]")),
    },
    right={
        "one-hot masks": """
def attack_slope(net, x, labels, targeted=False):
    leaf = x.clone().detach().requires_grad_(True)
    s = net(leaf)
    mine = nn.functional.one_hot(labels, s.shape[1]).bool()
    lead = s[~mine].view(len(x), -1).max(dim=1).values - s[mine]
    if targeted:
        lead = -lead
    (slope,) = torch.autograd.grad(lead, leaf, torch.ones_like(lead))
    return lead.detach(), slope
""",
        "each image alone": """
def attack_slope(net, x, labels, targeted=False):
    values, slopes = [], []
    for image, y in zip(x, labels.tolist(), strict=True):
        leaf = image[None].clone().requires_grad_()
        s = net(leaf)[0]
        rival = torch.cat([s[:y], s[y + 1 :]]).max()
        a = (s[y] - rival) if targeted else (rival - s[y])
        slopes.append(torch.autograd.grad(a, leaf)[0])
        values.append(a.detach())
    return torch.stack(values), torch.cat(slopes)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 5

CUT = "return torch.maximum(torch.minimum(r, eps), -eps)"
SHRUNK = "return r * (eps / length.clamp(min=1e-30)).clamp(max=1)"
LENGTH = "length = r.flatten(1).norm(dim=1).view(each)"
RATE = "rate = 2.5 * eps.view(each) / steps"
MOVED = "moved = (x + into_ball(moved + rate * direction - x, eps, norm)).clamp(-1, 1)"
KEEP = "better = a > best_a"
WAY = 'direction = slope.sign() if norm == "linf" else slope / length'

pgd = Task(
    wrong={
        "ball: linf shrinks the whole": Edit(
            (CUT, "return r * (eps / r.flatten(1).abs().amax(1).view(each).clamp(min=1e-30)).clamp(max=1)")
        ),
        "ball: l2 always at the surface": Edit((SHRUNK, "return r * (eps / length.clamp(min=1e-30))")),
        "ball: l2 of the whole batch": Edit((LENGTH, "length = r.norm()")),
        "ball: 0/0": Edit((SHRUNK, "return r * (eps / length).clamp(max=1)")),
        "ball: images of four axes only": Edit(("each = (-1, *[1] * (r.ndim - 1))", "each = (-1, 1, 1, 1)")),
        "steps: no box": Edit((MOVED, "moved = x + into_ball(moved + rate * direction - x, eps, norm)")),
        "steps: of eps / T": Edit((RATE, "rate = eps.view(each) / steps")),
        "steps: sign and direction swapped": Edit((WAY, WAY.replace('"linf"', '"l2"'))),
        "steps: around the last point": Edit(
            (MOVED, "moved = (moved + into_ball(rate * direction, eps, norm)).clamp(-1, 1)")
        ),
        "steps: NaN without a slope": Edit(
            ("norm(dim=1).view(each).clamp(min=1e-30)\n        direction", "norm(dim=1).view(each)\n        direction")
        ),
        "steps: one fewer": Edit(("for _ in range(steps)", "for _ in range(steps - 1)")),
        "best: the last": Edit((KEEP, "better = torch.ones_like(a, dtype=torch.bool)")),
        "best: of the batch": Edit((KEEP, "better = (a.sum() > best_a.sum()).expand(len(a))")),
        "best: without the start": Edit(
            ("best, best_a = moved, a", "best, best_a = moved, torch.full_like(a, -math.inf)")
        ),
        "best: the way goes on from it": Edit(
            (
                "best_a = torch.where(better, a, best_a)",
                "best_a = torch.where(better, a, best_a)\n        moved, slope = best, gain(best)[1]",
            )
        ),
        "best: a of the last": Edit(("return best, best_a", "return best, a")),
    },
    right={
        "everything recorded, then chosen": """
def into_ball(r, eps, norm):
    parts = []
    for change, radius in zip(r, eps.tolist(), strict=True):
        length = float(change.norm())
        if norm == "linf":
            parts.append(change.clamp(-radius, radius))
        else:
            parts.append(change if length <= radius else change * (radius / length))
    return torch.stack(parts)


def pgd(gain, x, eps, norm, steps):
    points, values, current = [], [], x.clone()
    for t in range(steps + 1):
        a, slope = gain(current)
        points.append(current)
        values.append(a)
        if t == steps:
            break
        if norm == "linf":
            way = torch.sign(slope)
        else:
            way = torch.stack([s / s.norm() if s.any() else s for s in slope])
        step = way * (2.5 / steps) * eps.reshape(-1, *(1 for _ in x.shape[1:]))
        current = torch.clamp(x + into_ball(current + step - x, eps, norm), -1.0, 1.0)
    values = torch.stack(values)
    which = values.argmax(0)
    images = torch.stack([points[int(k)][n] for n, k in enumerate(which)])
    return images, values.max(0).values
""",
        "nan_to_num and in-place on its own": """
def into_ball(r, eps, norm):
    wide = eps.reshape([len(eps)] + [1] * (r.dim() - 1)).expand_as(r)
    if norm == "linf":
        return torch.where(r > wide, wide, torch.where(r < -wide, -wide, r))
    length = torch.linalg.vector_norm(r, dim=tuple(range(1, r.dim())), keepdim=True)
    return torch.where(length > wide, r * (wide / length).nan_to_num(posinf=1.0), r)


def pgd(gain, x, eps, norm, steps):
    shape = [len(eps)] + [1] * (x.dim() - 1)
    now = x.clone()
    a, slope = gain(now)
    best, high = now.clone(), a.clone()
    for _ in range(steps):
        if norm == "l2":
            length = slope.reshape(len(x), -1).norm(dim=-1).reshape(shape)
            way = (slope / length).nan_to_num()
        else:
            way = slope.sign()
        r = into_ball(now - x + eps.reshape(shape) * 2.5 / steps * way, eps, norm)
        now = torch.clip(x + r, -1, 1)
        a, slope = gain(now)
        up = a > high
        best[up], high[up] = now[up], a[up]
    return best, high
""",
    },
)

# ---------------------------------------------------------------------------------------- task 6

NEXT = "c = torch.where(one_sided, torch.where(success, 10 * c, c / 10), (fools * fails).sqrt())"
NEARER = "nearer = success & (distance < length)"
SIDES = "fools, fails = torch.where(success, c, fools), torch.where(success, fails, c)"

search = Task(
    wrong={
        "arithmetic mean": Edit((NEXT, NEXT.replace("(fools * fails).sqrt()", "(fools + fails) / 2"))),
        "the wrong way": Edit((NEXT, NEXT.replace("10 * c, c / 10", "c / 10, 10 * c"))),
        "one bracket for all": Edit(("success = fooled(found)", "success = fooled(found).all().expand(len(x))")),
        "halves from the beginning": Edit(
            (
                "torch.full_like(c, math.nan), torch.full_like(c, math.nan)",
                "torch.full_like(c, 1e-6), torch.full_like(c, 1e6)",
            )
        ),
        "the first bracket kept": Edit(
            (
                SIDES,
                "fools = torch.where(success & fools.isnan(), c, fools)\n        fails = torch.where(success | ~fails.isnan(), fails, c)",
            )
        ),
        "squared lengths": Edit(
            ("distance = (found - x).flatten(1).norm(dim=1)", "distance = (found - x).flatten(1).square().sum(1)")
        ),
        "the last that fooled": Edit((NEARER, "nearer = success")),
        "fooled or not": Edit((NEARER, "nearer = distance < length")),
        "length 0 where never": Edit(("return best, length", "return best, length.nan_to_num(posinf=0.0)")),
        "the last image where never": Edit(
            ("return best, length", "return torch.where(length.isinf().view(each), found, best), length")
        ),
        "the last images": Edit(("return best, length", "return found, length")),
        "largest c in place of the least length": Edit((NEARER, "nearer = success & (fools.isnan() | (c > fools))")),
        "lengths of four axes only": Edit(
            ("distance = (found - x).flatten(1).norm(dim=1)", "distance = (found - x).square().sum((1, 2, 3)).sqrt()")
        ),
    },
    right={
        "one image at a time, in Python": """
def nearest_fooling(solve, fooled, x, rounds):
    count = len(x)
    c, fools, fails = [1.0] * count, [None] * count, [None] * count
    images, lengths = [image.clone() for image in x], [float("inf")] * count
    for _ in range(rounds):
        found = solve(torch.tensor(c, dtype=torch.float64))
        answers = fooled(found).tolist()
        for n in range(count):
            length = float((found[n] - x[n]).norm())
            if answers[n]:
                fools[n] = c[n]
                if length < lengths[n]:
                    images[n], lengths[n] = found[n], length
            else:
                fails[n] = c[n]
            if fools[n] is None:
                c[n] = c[n] / 10
            elif fails[n] is None:
                c[n] = c[n] * 10
            else:
                c[n] = math.exp((math.log(fools[n]) + math.log(fails[n])) / 2)
    return torch.stack(images), torch.tensor(lengths, dtype=x.dtype)
""",
        "logarithms, masks": """
def nearest_fooling(solve, fooled, x, rounds):
    log_c = torch.zeros(len(x), dtype=torch.float64)
    low, high = torch.full_like(log_c, -math.inf), torch.full_like(log_c, math.inf)
    best = x.clone()
    length = torch.full_like(log_c, math.inf).to(x.dtype)
    for _ in range(rounds):
        found = solve(10**log_c)
        ok = fooled(found)
        new = torch.linalg.vector_norm((found - x).reshape(len(x), -1), dim=1)
        take = (new < length) & ok
        best[take], length[take] = found[take], new[take]
        low[ok] = log_c[ok]
        high[~ok] = log_c[~ok]
        middle = (low + high) / 2
        log_c = torch.where(low.isinf(), log_c - 1, torch.where(high.isinf(), log_c + 1, middle))
    return best, length
""",
    },
)

# ---------------------------------------------------------------------------------------- task 7

ORDERED = "order = torch.rand(size.shape, generator=generator).argsort(1)"
SIGN = "sign = 2 * torch.randint(2, x.shape, generator=generator) - 1"
FITTING = "sign = torch.where(x + size > 1, -1, torch.where(x - size < -1, 1, sign))"
SHARE = "return (after[:, right] != labels[right]).double().mean(1)"

control = Task(
    wrong={
        "clipped": Edit((FITTING, "return (x + sign * size).clamp(-1, 1)")),
        "images mixed": Edit(
            (
                "size = r.flatten(1).abs()",
                "size = r.abs().flatten()[torch.randperm(r.numel(), generator=generator)].view(len(r), -1)",
            )
        ),
        "signs only": Edit(("size = size.gather(1, order).view_as(x)", "size = size.view_as(x)")),
        "one order for all": Edit(
            (ORDERED, "order = torch.randperm(size.shape[1], generator=generator).expand(size.shape)")
        ),
        "channel by channel": Edit(
            (
                ORDERED,
                "c = x.shape[1] if x.ndim > 2 else 1\n    inner = torch.rand(len(x), c, size.shape[1] // c, generator=generator).argsort(2)\n    order = (inner + torch.arange(c)[:, None] * (size.shape[1] // c)).flatten(1)",
            )
        ),
        "signs kept": Edit((SIGN, "sign = r.flatten(1).sign().gather(1, order).view_as(x)")),
        "towards the middle": Edit((SIGN, "sign = torch.where(x > 0, -1, 1)")),
        "generator not for the signs": Edit((SIGN, "sign = 2 * torch.randint(2, x.shape) - 1")),
        "rotated": Edit(
            (
                ORDERED,
                "order = (torch.arange(size.shape[1]) + torch.randint(1, size.shape[1], (len(x), 1), generator=generator)) % size.shape[1]",
            )
        ),
        "images of four axes only": Edit(
            ("size = r.flatten(1).abs()", "n, c, h, w = r.shape\n    size = r.flatten(1).abs()")
        ),
        "share: of all": Edit((SHARE, "return (after != labels).double().mean(1)")),
        "share: divided by all": Edit((SHARE, "return ((after != labels) & right).double().mean(1)")),
        "share: difference of error rates": Edit(
            (SHARE, "return (after != labels).double().mean(1) - (~right).double().mean()")
        ),
        "share: 0 where none was right": Edit((SHARE, SHARE + ".nan_to_num()")),
    },
    right={
        "each image alone": """
def shuffled_control(x, r, generator):
    images = []
    for image, change in zip(x, r, strict=True):
        size = change.abs().reshape(-1)[torch.randperm(change.numel(), generator=generator)].reshape(image.shape)
        up, down = image + size, image - size
        coin = torch.rand(image.shape, generator=generator) < 0.5
        images.append(torch.where((up <= 1) & ((down < -1) | coin), up, down))
    return torch.stack(images)


def misread_share(before, after, labels):
    shares = []
    for row in after:
        pairs = [a != y for b, a, y in zip(before.tolist(), row.tolist(), labels.tolist(), strict=True) if b == y]
        shares.append(sum(pairs) / len(pairs) if pairs else math.nan)
    return torch.tensor(shares, dtype=torch.float64)
""",
        "flipped where it does not fit": """
def shuffled_control(x, r, generator):
    n = len(x)
    order = torch.stack([torch.randperm(r[0].numel(), generator=generator) for _ in range(n)])
    dealt = torch.gather(r.reshape(n, -1).abs(), 1, order).reshape(x.shape)
    dealt = dealt * (2.0 * torch.bernoulli(torch.full(x.shape, 0.5), generator=generator) - 1).to(x.dtype)
    outside = (x + dealt).abs() > 1
    return x + torch.where(outside, -dealt, dealt)


def misread_share(before, after, labels):
    mask = (before == labels).double()
    return ((after != labels).double() @ mask) / mask.sum()
""",
    },
)

# ---------------------------------------------------------------------------------------- task 8

FORWARD = "return torch.autograd.grad(back, u, v.reshape(x.shape), retain_graph=True)[0]"
LOOP = "v = torch.linalg.qr(v).Q\n        v = torch.stack("
FINAL = "v = torch.linalg.qr(v).Q\n    return torch.linalg.svdvals(torch.stack([forward(v[:, :, k]) for k in range(count)], dim=2))"
PROMISE = "return ((own - rival) / (math.sqrt(2) * lipschitz)).clamp(min=0)"
RIVAL = "rival = scores.scatter(1, labels[:, None], -math.inf).amax(1)"
LENGTHS = "return torch.stack([forward(v[:, :, k]) for k in range(count)], dim=2).norm(dim=1)"
CERTIFIED = """

def certified(scores, labels, lipschitz):
    own = scores.gather(1, labels[:, None])[:, 0]
    rival = scores.scatter(1, labels[:, None], -math.inf).amax(1)
    return ((own - rival) / (math.sqrt(2) * lipschitz)).clamp(min=0)
"""

stretches = Task(
    wrong={
        "squares": Edit((FINAL, FINAL + "**2")),
        "no orth": Edit(
            (LOOP, "v = v / v.norm(dim=1, keepdim=True)\n        v = torch.stack("),
            (FINAL, "v = v / v.norm(dim=1, keepdim=True)\n    " + LENGTHS),
        ),
        "no orth at the end": Edit((FINAL, FINAL.replace("v = torch.linalg.qr(v).Q\n    ", ""))),
        "one Jacobian for all": Edit(
            (FINAL, FINAL.replace("dim=2)", "dim=2).flatten(0, 1)") + ".expand(len(x), count)")
        ),
        "transposed": Edit((FINAL, FINAL + ".T")),
        "hangs on the graph": Edit((FORWARD, FORWARD.replace("retain_graph=True", "create_graph=True"))),
        "backward through the net": Edit(("(back,) = ", "y.sum().backward(retain_graph=True)\n    (back,) = ")),
        "only J, never its transpose": Edit(
            (
                "return torch.autograd.grad(y, leaf, forward(v), retain_graph=True)[0].flatten(1)",
                "return v + 0 * torch.autograd.grad(y, leaf, forward(v), retain_graph=True)[0].flatten(1)",
            )
        ),
        "flat features only": Edit(("y = phi(leaf).flatten(1)  # (N, K)", "y = phi(leaf)\n    n, _ = y.shape")),
        "certified: no root of 2": Edit((PROMISE, PROMISE.replace("math.sqrt(2) * ", ""))),
        "certified: negative": Edit((PROMISE, PROMISE.replace(".clamp(min=0)", ""))),
        "certified: the farthest class": Edit((RIVAL, RIVAL.replace("-math.inf).amax", "math.inf).amin"))),
        "certified: y's score is zeroed": Edit((RIVAL, RIVAL.replace("-math.inf", "0.0"))),
        "certified: in place": Edit((RIVAL, "rival = scores.scatter_(1, labels[:, None], -math.inf).amax(1)")),
    },
    right={
        "torch.func, the Gram matrix": """
def stretches(phi, x, count, steps, generator):
    def flat(z):
        return phi(z.reshape(x.shape)).reshape(len(x), -1)

    z = x.detach().reshape(len(x), -1)
    basis = torch.randn(len(x), z.shape[1], count, generator=generator).to(z)
    for step in range(steps + 1):
        basis, _ = torch.linalg.qr(basis)
        columns = [torch.func.jvp(flat, (z,), (basis[..., k].contiguous(),))[1].detach() for k in range(count)]
        if step == steps:
            break
        _, pull = torch.func.vjp(flat, z)
        basis = torch.stack([pull(column)[0].detach() for column in columns], dim=-1)
    along = torch.stack(columns, dim=-1)
    return torch.linalg.eigvalsh(along.mT @ along).clamp(min=0).sqrt().flip(-1)
"""
        + CERTIFIED,
        "each image alone": """
def stretches(phi, x, count, steps, generator):
    found = []
    for image in x:

        def flat(z):
            return phi(z[None]).flatten()

        def forward(v):
            return torch.autograd.functional.jvp(flat, image, v.reshape(image.shape))[1]

        v = torch.randn(image.numel(), count, generator=generator, dtype=x.dtype)
        for _ in range(steps):
            v, _ = torch.linalg.qr(v)
            v = [torch.autograd.functional.vjp(flat, image, forward(column))[1].flatten() for column in v.T]
            v = torch.stack(v, dim=1)
        v, _ = torch.linalg.qr(v)
        found.append(torch.linalg.svdvals(torch.stack([forward(column) for column in v.T], dim=1)))
    return torch.stack(found).detach()


def certified(scores, labels, lipschitz):
    rows = torch.arange(len(scores))
    margin = scores[rows, labels][:, None] - scores
    margin[rows, labels] = math.inf
    least = margin.min(dim=1).values
    return torch.where(least > 0, least, 0.0) / lipschitz / 2**0.5
""",
    },
)

TASKS = {
    "variation": variation,
    "inversion": inversion,
    "best-step": best_step,
    "attack-slope": attack_slope,
    "pgd": pgd,
    "search": search,
    "control": control,
    "stretches": stretches,
}
