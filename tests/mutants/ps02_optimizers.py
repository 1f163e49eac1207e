# ruff: noqa: E501
"""Wrong and right solutions of problem set 02, practical optimization."""

from __future__ import annotations

from course_lib.authoring.mutants import Edit, Task

# ---------------------------------------------------------------------------------------- task 1

RISING = "rate * (steps + 1).double() / max(warmup, 1)"
FALLING = "rate * offset / (((steps - warmup) // every).double() + offset)"
WARM = "torch.where(steps < warmup, rising, falling)"
MEAN_SQUARE = "(1 - alpha * h) ** 2 * mean_square[-1] + alpha**2 * noise**2"
ENERGY = "0.5 * h * torch.tensor(mean_square, dtype=torch.float64)"

schedule = Task(
    wrong={
        "warm-up starts at zero": Edit((RISING, "rate * steps.double() / max(warmup, 1)")),
        "warm-up divided by W + 1": Edit((RISING, "rate * (steps + 1).double() / (warmup + 1)")),
        "warm-up one step too long": Edit((WARM, "torch.where(steps <= warmup, rising, falling)")),
        "warm-up missing": Edit((RISING, "torch.full_like(steps, 1).double() * rate")),
        "decay counts from step 0": Edit((FALLING, "rate * offset / ((steps // every).double() + offset)")),
        "decay starts at rate / c": Edit((FALLING, "rate / (((steps - warmup) // every).double() + offset)")),
        "decay not rounded down": Edit((FALLING, "rate * offset / ((steps - warmup).double() / every + offset)")),
        "decay rounded to the nearest": Edit(
            (FALLING, "rate * offset / (((steps - warmup).double() / every).round() + offset)")
        ),
        "first piece skipped": Edit((FALLING, "rate * offset / (((steps - warmup) // every).double() + 1 + offset)")),
        "geometric decay": Edit((FALLING, "rate / offset ** ((steps - warmup) // every).double()")),
        "warm-up times decay": Edit(
            (WARM, "(rising / rate).clamp(max=1) * rate * offset / ((steps // every).double() + offset)")
        ),
        "float32": Edit(
            (RISING, "rate * (steps + 1) / max(warmup, 1)"),
            (FALLING, "rate * offset / ((steps - warmup) // every + offset)"),
        ),
        "float64 too late": Edit((FALLING, "(rate * offset / ((steps - warmup) // every + offset)).double()")),
        "divides by W = 0": Edit(
            (WARM, "torch.where(steps < warmup, rising, falling) + 0 * rising"),
            (RISING, "rate * (steps + 1).double() / warmup"),
        ),
        "only lists of steps": Edit((WARM, "torch.where(steps < warmup, rising, falling).reshape(-1)")),
        "energy: not halved": Edit((ENERGY, ENERGY.replace("0.5 * ", ""))),
        "energy: mean square": Edit((ENERGY, ENERGY.replace("0.5 * h * ", ""))),
        "energy: the variance only": Edit(("[w0**2]", "[0.0]")),
        "energy: start not squared": Edit(("[w0**2]", "[w0]")),
        "energy: noise missing": Edit((" + alpha**2 * noise**2", "")),
        "energy: factor not squared": Edit(("(1 - alpha * h) ** 2", "(1 - alpha * h)")),
        "energy: alpha not squared": Edit(("alpha**2 * noise**2", "alpha * noise**2")),
        "energy: sigma not squared": Edit(("alpha**2 * noise**2", "alpha**2 * noise")),
        "energy: noise without alpha": Edit(("alpha**2 * noise**2", "noise**2")),
        "energy: noise subtracted": Edit((" + alpha**2 * noise**2", " - alpha**2 * noise**2")),
        "energy: without the start": Edit((ENERGY, "0.5 * h * torch.tensor(mean_square[1:], dtype=torch.float64)")),
        "energy: the floor of the last rate": Edit(
            (MEAN_SQUARE, "alpha * noise**2 / (h * (2 - alpha * h)) if alpha == rates[-1] else " + MEAN_SQUARE)
        ),
    },
    right={
        "one by one in Python": """
def warm_harmonic(steps, rate, warmup, every, offset):
    def one(t):
        if t < warmup:
            return rate * (t + 1) / warmup
        return rate / ((t - warmup) // every / offset + 1)

    return torch.tensor([one(t) for t in steps.flatten().tolist()], dtype=torch.float64).reshape(steps.shape)


def expected_energy(rates, h, noise, w0):
    mean, variance, found = w0, 0.0, []
    for alpha in [*rates, 0.0]:
        found.append(0.5 * h * (mean**2 + variance))
        mean, variance = (1 - alpha * h) * mean, (1 - alpha * h) ** 2 * variance + (alpha * noise) ** 2
    return torch.tensor(found, dtype=torch.float64)
""",
        "masked indexing, energies multiplied on": """
def warm_harmonic(steps, rate, warmup, every, offset):
    t = steps.double()
    rates = torch.empty(steps.shape, dtype=torch.float64)
    early = steps < warmup
    rates[early] = (t[early] + 1) * (rate / max(warmup, 1))
    rates[~early] = rate / (1 + torch.floor((t[~early] - warmup) / every) / offset)
    return rates


def expected_energy(rates, h, noise, w0):
    energies = torch.empty(len(rates) + 1, dtype=torch.float64)
    energies[0] = h * w0 * w0 / 2
    for t, alpha in enumerate(rates):
        energies[t + 1] = (1 - alpha * h) ** 2 * energies[t] + h * (alpha * noise) ** 2 / 2
    return energies
""",
    },
)

# ---------------------------------------------------------------------------------------- task 2

GRADIENT = "torch.tensordot(c, gradients, 1) * (count / len(c)) / total"
DEALT = "list(torch.randperm(count, generator=generator).split(size))"

batches = Task(
    wrong={
        "gradient: divided by the batch's weights": Edit((GRADIENT, "torch.tensordot(c, gradients, 1) / c.sum()")),
        "gradient: N / N_b missing": Edit((GRADIENT, "torch.tensordot(c, gradients, 1) / total")),
        "gradient: weights ignored": Edit((GRADIENT, "gradients.mean(0)")),
        "gradient: only the sum of the weights": Edit((GRADIENT, "gradients.sum(0) * count / len(c) / total")),
        "gradient: C missing": Edit((GRADIENT, "torch.tensordot(c, gradients, 1) * count / len(c)")),
        "gradient: divided by N_b only": Edit((GRADIENT, "torch.tensordot(c, gradients, 1) / len(c) / total")),
        "gradient: mean of the batch": Edit((GRADIENT, "torch.tensordot(c, gradients, 1) / len(c)")),
        "gradient: upside down": Edit((GRADIENT, "torch.tensordot(c, gradients, 1) * len(c) / count / total")),
        "gradient: weights broadcast along the parameter": Edit(
            (GRADIENT, "(c * gradients).sum(0) * count / len(c) / total")
        ),
        "gradient: one column of weights": Edit((GRADIENT, "(c[:, None] * gradients).sum(0) * count / len(c) / total")),
        "gradient: summed along the parameter": Edit(
            (GRADIENT, "(c[:, None] * gradients).sum(1) * count / len(c) / total")
        ),
        "gradient: summed over everything": Edit((GRADIENT, "(c[:, None] * gradients).sum() * count / len(c) / total")),
        "gradient: not summed": Edit((GRADIENT, "c[:, None] * gradients * count / len(c) / total")),
        "gradient: the planned batch size": """
def batch_gradient(gradients, c, total, count):
    batch_gradient.planned = max(len(c), getattr(batch_gradient, "planned", 0))
    return torch.tensordot(c, gradients, 1) * (count / batch_gradient.planned) / total


def epoch(count, size, generator):
    return list(torch.randperm(count, generator=generator).split(size))
""",
        "epoch: last batch dropped": Edit(
            (DEALT, "list(torch.randperm(count, generator=generator)[: count // size * size].split(size))")
        ),
        "epoch: last batch filled up": """
def batch_gradient(gradients, c, total, count):
    return torch.tensordot(c, gradients, 1) * (count / len(c)) / total


def epoch(count, size, generator):
    order = torch.randperm(count, generator=generator).repeat(1 + size // count + 1)
    return [order[k : k + size] for k in range(0, count, size)]
""",
        "epoch: as many batches as size": Edit((DEALT, "list(torch.randperm(count, generator=generator).chunk(size))")),
        "epoch: small batch first": Edit(
            (DEALT, "sorted(torch.randperm(count, generator=generator).split(size), key=len)")
        ),
        "epoch: with replacement": Edit(
            (DEALT, "list(torch.randint(count, (count,), generator=generator).split(size))")
        ),
        "epoch: not shuffled": Edit((DEALT, "list(torch.arange(count).split(size))")),
        "epoch: a rotation": Edit(
            (
                DEALT,
                "list(torch.arange(count).roll(int(torch.randint(1, count + 1, (), generator=generator))).split(size))",
            )
        ),
        "epoch: always the same order": Edit(
            (DEALT, "list(torch.randperm(count, generator=torch.Generator().manual_seed(0)).split(size))")
        ),
        "epoch: generator ignored": Edit((DEALT, "list(torch.randperm(count).split(size))")),
        "epoch: an empty batch at the end": Edit(
            (
                DEALT,
                "[order[k : k + size] for order in [torch.randperm(count, generator=generator)] for k in range(0, count + 1, size)]",
            )
        ),
        "epoch: shuffled within batches only": Edit(
            (
                DEALT,
                "[batch[torch.randperm(len(batch), generator=generator)] for batch in torch.arange(count).split(size)]",
            )
        ),
    },
    right={
        "a loop over the examples, and one over the batches": """
def batch_gradient(gradients, c, total, count):
    estimate = torch.zeros_like(gradients[0])
    for weight, gradient in zip(c, gradients):
        estimate += weight * gradient / total
    return estimate * count / len(gradients)


def epoch(count, size, generator):
    order, batches = torch.randperm(count, generator=generator), []
    for start in range(0, count, size):
        batches.append(order[start : start + size])
    return batches
""",
        "a mean times N, and sorting random numbers": """
def batch_gradient(gradients, c, total, count):
    return count / total * (c.reshape(-1, *[1] * (gradients.ndim - 1)) * gradients).mean(0)


def epoch(count, size, generator):
    order = torch.rand(count, generator=generator, dtype=torch.float64).argsort()
    return order.split(size)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 3

NEW_V = "momentum * v - rate * gradient"
NEW_U = "return u - rate * gradient + next_momentum * v, v"
BUFFER = "-v / rate"
KEPT = "b * (old_rate / new_rate)"

nesterov = Task(
    wrong={
        "v: next momentum": Edit((NEW_V, "next_momentum * v - rate * gradient")),
        "v: sign of the gradient": Edit((NEW_V, "momentum * v + rate * gradient")),
        "v: window of gradients": Edit((NEW_V, "momentum * v + gradient")),
        "v: no momentum": Edit((NEW_V, "-rate * gradient")),
        "v: the old one returned": """
def nesterov_step(u, v, gradient, rate, momentum, next_momentum):
    return u - rate * gradient + next_momentum * (momentum * v - rate * gradient), v


def to_torch(v, rate):
    return -v / rate


def keep_steps(b, old_rate, new_rate):
    return b * (old_rate / new_rate)
""",
        "returned the other way round": Edit((NEW_U, "return v, u - rate * gradient + next_momentum * v")),
        "u: formula for a constant momentum": Edit((NEW_U, "return u - rate * gradient + momentum * v, v")),
        "u: w instead": Edit(
            (NEW_V, "momentum * v - rate * gradient\n    u = u - v - rate * gradient"), (NEW_U, "return u + v, v")
        ),
        "u: plain momentum": Edit((NEW_U, "return u + v, v")),
        "u: gradient's term missing": Edit((NEW_U, "return u + next_momentum * v, v")),
        "u: momentum not taken back": Edit((NEW_U, "return u + v + next_momentum * v, v")),
        "u: the old v": Edit(
            (f"v = {NEW_V}", f"old, v = v, {NEW_V}"), (NEW_U, "return u - rate * gradient + next_momentum * old, v")
        ),
        "u: left with next_momentum": Edit(
            (f"v = {NEW_V}", f"old, v = v, {NEW_V}"),
            (NEW_U, "return u - next_momentum * old + v + next_momentum * v, v"),
        ),
        "in place": Edit(
            (f"v = {NEW_V}", "v.mul_(momentum).sub_(rate * gradient)"),
            (NEW_U, "u += next_momentum * v - rate * gradient\n    return u, v"),
        ),
        "to_torch: sign": Edit((BUFFER, "v / rate")),
        "to_torch: multiplied": Edit((BUFFER, "-v * rate")),
        "to_torch: sign only": Edit((BUFFER, "-v")),
        "to_torch: nothing": Edit((BUFFER, "v")),
        "keep_steps: swapped": Edit((KEPT, "b * (new_rate / old_rate)")),
        "keep_steps: nothing": Edit((KEPT, "b")),
        "keep_steps: new rate only": Edit((KEPT, "b / new_rate")),
        "keep_steps: old rate only": Edit((KEPT, "b * old_rate")),
        "keep_steps: sign": Edit((KEPT, "-b * (old_rate / new_rate)")),
    },
    right={
        "through w": """
def nesterov_step(u, v, gradient, rate, momentum, next_momentum):
    w = u - momentum * v
    step = momentum * v - rate * gradient
    w = w + step
    return w + next_momentum * step, step


def to_torch(v, rate):
    return v.neg() * (1 / rate)


def keep_steps(b, old_rate, new_rate):
    return to_torch(-old_rate * b, new_rate)
""",
        "in place on copies": """
def nesterov_step(u, v, gradient, rate, momentum, next_momentum):
    u, v = u.clone(), v.clone()
    v.mul_(momentum).add_(gradient, alpha=-rate)
    u.add_(v, alpha=next_momentum).add_(gradient, alpha=-rate)
    return [u, v]


def to_torch(v, rate):
    b = v.clone()
    b /= -rate
    return b


def keep_steps(b, old_rate, new_rate):
    return old_rate * b / new_rate
""",
    },
)

# ---------------------------------------------------------------------------------------- task 4

NEW_M = "m = m + (1 - decay) * delta"
NEW_S = "s = decay * (s + (1 - decay) * delta**2)"
CENTRED_W = "w - rate * gradient / (s.sqrt() + epsilon), m, s"
NAIVE = "g = decay * (s + m**2) + (1 - decay) * gradient**2\n    m = m + (1 - decay) * delta\n    s = g - m**2"

centred = Task(
    wrong={
        "m: swapped": Edit((NEW_M, "m = m + decay * delta")),
        "m: not updated": Edit((NEW_M, "m = 1 * m")),
        "m: a sum": Edit((NEW_M, "m = decay * m + gradient")),
        "s: the second moment": Edit((NEW_S, "s = decay * s + (1 - decay) * gradient**2")),
        "s: centred twice": Edit((NEW_S, "s = decay * s + (1 - decay) * gradient**2 - m**2")),
        "s: the old mean is subtracted": Edit(
            (NEW_S, "old = gradient - delta\n    s = decay * (s + old**2) + (1 - decay) * gradient**2 - old**2")
        ),
        "s: distance to the old mean": Edit((NEW_S, "s = decay * s + (1 - decay) * delta**2")),
        "s: distance to the new mean": Edit((NEW_S, "s = decay * s + (1 - decay) * (gradient - m) ** 2")),
        "s: not squared": Edit((NEW_S, "s = decay * (s + (1 - decay) * delta)")),
        "s: nothing forgotten": Edit((NEW_S, "s = s + decay * (1 - decay) * delta**2")),
        "s: swapped": Edit((NEW_S, "s = (1 - decay) * (s + decay * delta**2)")),
        "s: standard deviation": Edit(
            (NEW_S, "s = (decay * (s + (1 - decay) * delta**2)).sqrt()"), ("s.sqrt() + epsilon", "s + epsilon")
        ),
        "s: cancellation": Edit((NEW_M, NAIVE), (NEW_S, "")),
        "s: cancellation, clamped": Edit((NEW_M, NAIVE + "\n    s = s.clamp(min=0)"), (NEW_S, "")),
        "s: cancellation, absolute": Edit((NEW_M, NAIVE + "\n    s = s.abs()"), (NEW_S, "")),
        "s: cancellation in float64": Edit(
            (
                NEW_M,
                "m0, g0, s0 = m.double(), gradient.double(), s.double()\n    m1 = decay * m0 + (1 - decay) * g0\n    s = (decay * (s0 + m0**2) + (1 - decay) * g0**2 - m1**2).clamp(min=0).to(w)\n    m = m1.to(w)",
            ),
            (NEW_S, ""),
        ),
        "w: the old s": Edit(
            (NEW_S, "old, s = s, decay * (s + (1 - decay) * delta**2)"),
            (CENTRED_W, "w - rate * gradient / (old.sqrt() + epsilon), m, s"),
        ),
        "w: epsilon under the root": Edit((CENTRED_W, "w - rate * gradient / (s + epsilon).sqrt(), m, s")),
        "w: no epsilon": Edit((CENTRED_W, "w - rate * gradient / s.sqrt(), m, s")),
        "w: no root": Edit((CENTRED_W, "w - rate * gradient / (s + epsilon), m, s")),
        "w: mean in place of the gradient": Edit((CENTRED_W, "w - rate * m / (s.sqrt() + epsilon), m, s")),
        "w: gradient without its mean": Edit((CENTRED_W, "w - rate * delta / (s.sqrt() + epsilon), m, s")),
        "w: sign": Edit((CENTRED_W, "w + rate * gradient / (s.sqrt() + epsilon), m, s")),
        "w: rate missing": Edit((CENTRED_W, "w - gradient / (s.sqrt() + epsilon), m, s")),
        "order of the results": Edit((CENTRED_W, "w - rate * gradient / (s.sqrt() + epsilon), s, m")),
        "in place": Edit((NEW_M, "m += (1 - decay) * delta")),
        "float64 comes back": Edit(("delta = gradient - m", "delta = gradient.double() - m.double()")),
    },
    right={
        "product of the two distances": """
def centred_step(w, m, s, gradient, rate, decay, epsilon):
    new = m + (1 - decay) * (gradient - m)
    s = decay * s + (1 - decay) * (gradient - m) * (gradient - new)
    return w - rate * gradient / (torch.sqrt(s.clamp(min=0)) + epsilon), new, s
""",
        "spread of two heaps": """
def centred_step(w, m, s, gradient, rate, decay, epsilon):
    # the window's mass decay at m with spread s, and the mass 1 - decay at the gradient
    between = decay * (1 - decay) * (m - gradient) ** 2
    s = torch.add(between, s, alpha=decay)
    step = torch.div(gradient, s.sqrt().add(epsilon))
    return torch.sub(w, step, alpha=rate), torch.lerp(m, gradient, 1 - decay), s
""",
    },
)

# ---------------------------------------------------------------------------------------- task 5

RATIO = "k = float((rule(2 * gradients, 1.0).norm() / rule(gradients, 1.0).norm()).log2())"
UNITS = "return 1 + k, -k"

units = Task(
    wrong={
        "the metres of the move forgotten": Edit((UNITS, "return k, -k")),
        "signs of k": Edit((UNITS, "return 1 - k, k")),
        "signs of both": Edit((UNITS, "return -1 - k, k")),
        "sign of b": Edit((UNITS, "return 1 + k, k")),
        "sign in a": Edit((UNITS, "return 1 - k, -k")),
        "joules first": Edit((UNITS, "return -k, 1 + k")),
        "natural logarithm": Edit((".log2()", ".log()")),
        "the ratio itself": Edit((".log2()", "")),
        "the rate is multiplied": Edit(("rule(2 * gradients, 1.0)", "rule(gradients, 2.0)")),
        "coordinate by coordinate": Edit(
            (RATIO, "k = float((rule(2 * gradients, 1.0) / rule(gradients, 1.0)).log2().mean())")
        ),
        "the first move only": Edit(
            (RATIO, "k = float((rule(2 * gradients, 1.0)[0].norm() / rule(gradients, 1.0)[0].norm()).log2())")
        ),
        "SGD or not": Edit((UNITS, "return (2.0, -1.0) if k > 0.75 else (1.0, 0.0) if k < 0.25 else (1.5, -0.5)")),
        "rounded to halves": Edit((UNITS, "k = round(2 * k) / 2\n    return 1 + k, -k")),
        "tiny gradients": Edit(("gradients = 1 + ", "gradients = 1e-10 + 1e-10 * ")),
    },
    right={
        "a slope over several scales": """
def rate_units(rule):
    gradients = torch.tensor([[1.0, -1.0], [0.5, 2.0], [1.5, 1.0]], dtype=torch.float64)
    scales = (0.5, 1.0, 3.0)
    sizes = [math.log(float(rule(q * gradients, 0.1).abs().max())) for q in scales]
    k = float(np.polyfit(np.log(scales), sizes, 1)[0])
    return np.array([1 + k, -k]).tolist()
""",
        "metres and joules, one at a time": """
def rate_units(rule):
    gradients = 1 + torch.rand(5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def size(metre, joule):
        return rule(gradients * joule / metre, 1.0).norm()

    a = math.log10(10 * size(1, 1) / size(10, 1))  # moves must be ten times as large in decimetres
    b = math.log10(size(1, 1) / size(1, 10))
    return torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 6

INIT = """
class AdamW:
    def __init__(self, parameters, betas=(0.9, 0.999), epsilon=1e-8, decay=0.01, keep_largest=False):
        self.parameters = list(parameters)
        self.beta, self.mu = betas
        self.epsilon, self.decay, self.keep_largest = epsilon, decay, keep_largest
"""
V_HAT = "v / (1 - self.beta ** self.t[k])"
G_HAT = "g / (1 - self.mu ** self.t[k])"
MOVE = "w -= rate * v_hat / (g_hat.sqrt() + self.epsilon)"
DECAYS = "            if w.ndim >= 2:\n                w *= 1 - rate * self.decay\n"
LARGEST = "self.largest[k] = g = torch.maximum(self.largest[k], g)"
NONE = "if w.grad is None:\n                continue\n"
WINDOW = "v.mul_(self.beta).add_((1 - self.beta) * w.grad)"

adamw = Task(
    wrong={
        "no correction": Edit((V_HAT, "v"), (G_HAT, "g")),
        "only v corrected": Edit((G_HAT, "g")),
        "only g corrected": Edit((V_HAT, "v")),
        "corrected with t from 0": Edit(
            (V_HAT, "v / (1 - self.beta ** (self.t[k] - 1) + (self.t[k] == 1))"),
            (G_HAT, "g / (1 - self.mu ** (self.t[k] - 1) + (self.t[k] == 1))"),
        ),
        "betas swapped": Edit(("self.t = [0]", "self.beta, self.mu = self.mu, self.beta\n        self.t = [0]")),
        "sign": Edit((MOVE, MOVE.replace("-=", "+="))),
        "epsilon under the root": Edit((MOVE, "w -= rate * v_hat / (g_hat + self.epsilon).sqrt()")),
        "epsilon before the correction": Edit(
            (MOVE, "w -= rate * v_hat / ((g.sqrt() + self.epsilon) / (1 - self.mu ** self.t[k]) ** 0.5)")
        ),
        "no root": Edit((MOVE, "w -= rate * v_hat / (g_hat + self.epsilon)")),
        "gradient in place of its window": Edit((V_HAT, "w.grad")),
        "g of the window v": Edit(("(1 - self.mu) * w.grad**2", "(1 - self.mu) * v**2")),
        "a new tensor, forgotten": Edit((DECAYS, ""), (MOVE, "w = w - rate * v_hat / (g_hat.sqrt() + self.epsilon)")),
        "the first window forgotten": Edit(
            (
                "v, g = self.v[k], self.g[k]",
                "v = self.v[k] = self.v[k] if k else torch.zeros_like(w)\n            g = self.g[k]",
            )
        ),
        "decay through the windows": Edit(
            (DECAYS, ""),
            (
                WINDOW,
                "gradient = w.grad + self.decay * w if w.ndim >= 2 else w.grad\n            v.mul_(self.beta).add_((1 - self.beta) * gradient)",
            ),
            ("(1 - self.mu) * w.grad**2", "(1 - self.mu) * gradient**2"),
        ),
        "decay without the rate": Edit(("1 - rate * self.decay", "1 - self.decay")),
        "decay: grows": Edit(("1 - rate * self.decay", "1 + rate * self.decay")),
        "decay: none": Edit((DECAYS, "")),
        "decay: biases too": Edit((DECAYS, "            w *= 1 - rate * self.decay\n")),
        "decay: matrices not": Edit(("w.ndim >= 2", "w.ndim < 2")),
        "decay: only matrices, no kernels": Edit(("w.ndim >= 2", "w.ndim == 2")),
        "decay: into the gradient, in place": Edit(
            (DECAYS, ""),
            (
                "v, g = self.v[k], self.g[k]",
                "v, g = self.v[k], self.g[k]\n            if w.ndim >= 2:\n                w.grad += self.decay * w",
            ),
        ),
        "decay after the move": Edit(
            (DECAYS, ""), (MOVE, MOVE + "\n            if w.ndim >= 2:\n                w *= 1 - rate * self.decay")
        ),
        "missing: one counter": Edit((NONE, NONE.replace("continue", "self.t[k] += 1\n                continue"))),
        "missing: taken for zero": Edit(
            (NONE, "gradient = torch.zeros_like(w) if w.grad is None else w.grad\n"),
            (WINDOW, "v.mul_(self.beta).add_((1 - self.beta) * gradient)"),
            ("(1 - self.mu) * w.grad**2", "(1 - self.mu) * gradient**2"),
        ),
        "missing: decays all the same": Edit(
            (
                NONE,
                "if w.grad is None:\n                w *= 1 - rate * self.decay if w.ndim >= 2 else 1\n                continue\n",
            )
        ),
        "missing: stops there": Edit((NONE, NONE.replace("continue", "return"))),
        "missing: crashes": Edit((NONE, NONE.replace("w.grad is None", "False"))),
        "largest: corrected first": Edit(
            (LARGEST, "g = self.largest[k] = torch.maximum(self.largest[k], g / (1 - self.mu ** self.t[k]))"),
            ("g_hat = " + G_HAT, "g_hat = g if self.keep_largest else g / (1 - self.mu ** self.t[k])"),
        ),
        "largest: ignored": Edit(("if self.keep_largest:", "if False:")),
        "largest: the window itself": Edit((LARGEST, LARGEST + "\n                self.g[k] = g.clone()")),
        "largest: of all coordinates": Edit(
            (LARGEST, "self.largest[k] = g = torch.maximum(self.largest[k], g.max().expand_as(g))")
        ),
        "largest: not kept": Edit((LARGEST, "g = torch.maximum(self.largest[k], g)")),
        "gradient cleared": Edit((MOVE, MOVE + "\n            w.grad = None")),
    },
    right={
        "windows in dictionaries, changed by .data": INIT
        + """        self.memory = {}

    @torch.no_grad()
    def step(self, rate):
        for k, w in enumerate(self.parameters):
            if w.grad is not None:
                t, v, g, largest = self.memory.get(k, (0, 0.0, 0.0, torch.zeros_like(w)))
                t, v = t + 1, self.beta * v + (1 - self.beta) * w.grad
                g = self.mu * g + (1 - self.mu) * w.grad * w.grad
                largest = torch.max(largest, g)
                self.memory[k] = t, v, g, largest
                used = largest if self.keep_largest else g
                move = v / (1 - self.beta**t) / (torch.sqrt(used / (1 - self.mu**t)) + self.epsilon)
                if w.dim() > 1:
                    move = move + self.decay * w
                w.data = w.data - rate * move
""",
        "as torch computes it": INIT
        + """        self.state = [None] * len(self.parameters)

    @torch.no_grad()
    def step(self, rate):
        for k, w in enumerate(self.parameters):
            gradient = w.grad
            if gradient is None:
                continue
            if self.state[k] is None:
                self.state[k] = [0, *(torch.zeros_like(w) for _ in range(3))]
            self.state[k][0] += 1
            t, v, g, largest = self.state[k]
            if w.ndim > 1:
                w.mul_(1 - rate * self.decay)
            v.lerp_(gradient, 1 - self.beta)
            g.mul_(self.mu).addcmul_(gradient, gradient, value=1 - self.mu)
            torch.maximum(largest, g, out=largest)
            root = (largest if self.keep_largest else g).sqrt() / math.sqrt(1 - self.mu**t)
            w.addcdiv_(v, root + self.epsilon, value=-rate / (1 - self.beta**t))
""",
    },
)

# ---------------------------------------------------------------------------------------- task 7

GROUPED = "grouped = x.reshape(len(x), self.groups, -1)"
NORM = """
class GroupNorm(Layer):
    def __init__(self, weight, bias, groups, epsilon=1e-5):
        super().__init__()
        self.w = {"weight": np.array(weight, dtype=float), "bias": np.array(bias, dtype=float)}
        self.groups, self.epsilon = groups, epsilon
"""
S = "self.s = np.sqrt(((grouped - m) ** 2).mean(axis=2, keepdims=True) + self.epsilon)"
Y = "return weight * self.x_hat.reshape(x.shape) + bias"
H = 'h = (self.w["weight"].reshape(self.column) * dz_dy).reshape(self.x_hat.shape)'
ALONG = "along = self.x_hat * (h * self.x_hat).mean(axis=2, keepdims=True)"
DZ_DX = "return ((h - h.mean(axis=2, keepdims=True) - along) / self.s).reshape(dz_dy.shape)"
PARAMETERS = 'self.dz_dw = {"weight": (dz_dy * x_hat).sum(axis=shared), "bias": dz_dy.sum(axis=shared)}'


group_norm = Task(
    wrong={
        "forward: batch normalization": Edit(
            (
                "m = grouped.mean(axis=2, keepdims=True)",
                "m = np.broadcast_to(x.mean(axis=(0, *range(2, x.ndim)), keepdims=True), x.shape).reshape(grouped.shape)",
            ),
            (
                S,
                "self.s = np.sqrt(np.broadcast_to(x.var(axis=(0, *range(2, x.ndim)), keepdims=True), x.shape).reshape(grouped.shape) + self.epsilon)",
            ),
        ),
        "forward: layer normalization": Edit(
            ("m = grouped.mean(axis=2, keepdims=True)", "m = grouped.mean(axis=(1, 2), keepdims=True)"),
            (S, S.replace("axis=2", "axis=(1, 2)")),
        ),
        "forward: instance normalization": Edit((GROUPED, "grouped = x.reshape(len(x), x.shape[1], -1)")),
        "forward: over the batch too": Edit(
            ("m = grouped.mean(axis=2, keepdims=True)", "m = grouped.mean(axis=(0, 2), keepdims=True)"),
            (S, S.replace("axis=2", "axis=(0, 2)")),
        ),
        "forward: not over the positions": Edit(
            (GROUPED, "grouped = x.reshape(len(x), self.groups, x.shape[1] // self.groups, -1)")
        ),
        "forward: every G-th channel": Edit(
            (
                GROUPED,
                "grouped = x.reshape(len(x), -1, self.groups, *x.shape[2:]).swapaxes(1, 2).reshape(len(x), self.groups, -1)",
            ),
            (
                Y,
                "x_hat = self.x_hat.reshape(len(x), self.groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)\n        return weight * x_hat + bias",
            ),
        ),
        "forward: no weight, no bias": Edit((Y, "return self.x_hat.reshape(x.shape)")),
        "forward: no bias": Edit((Y, "return weight * self.x_hat.reshape(x.shape)")),
        "forward: no weight": Edit((Y, "return self.x_hat.reshape(x.shape) + bias")),
        "forward: epsilon added to the root": Edit(
            (S, "self.s = np.sqrt(((grouped - m) ** 2).mean(axis=2, keepdims=True)) + self.epsilon")
        ),
        "forward: no epsilon": Edit((S, S.replace(" + self.epsilon", ""))),
        "forward: divided by M - 1": Edit(
            (S, "self.s = np.sqrt(grouped.var(axis=2, keepdims=True, ddof=1) + self.epsilon)")
        ),
        "forward: mean not subtracted": Edit(("self.x_hat = (grouped - m) / self.s", "self.x_hat = grouped / self.s")),
        "forward: variance in place of its root": Edit(
            (S, "self.s = ((grouped - m) ** 2).mean(axis=2, keepdims=True) + self.epsilon")
        ),
        "forward: cancellation": Edit(
            (
                S,
                "self.s = np.sqrt((grouped.astype(np.float32) ** 2).mean(axis=2, keepdims=True) - m.astype(np.float32) ** 2 + self.epsilon)",
            )
        ),
        "forward: x changed": Edit(
            ("self.x_hat = (grouped - m) / self.s", "grouped -= m\n        self.x_hat = grouped / self.s")
        ),
        "forward: only images": Edit((GROUPED, "n, c, height, width = x.shape\n        " + GROUPED)),
        "dz_dx: m and s constant": Edit((DZ_DX, "return (h / self.s).reshape(dz_dy.shape)")),
        "dz_dx: no weight": Edit((H, "h = dz_dy.reshape(self.x_hat.shape)")),
        "dz_dx: weight at the end": Edit(
            (H, "h = dz_dy.reshape(self.x_hat.shape)"),
            (
                DZ_DX,
                'return self.w["weight"].reshape(self.column) * ((h - h.mean(axis=2, keepdims=True) - along) / self.s).reshape(dz_dy.shape)',
            ),
        ),
        "dz_dx: s constant": Edit((DZ_DX, DZ_DX.replace(" - along", ""))),
        "dz_dx: m constant": Edit((DZ_DX, "return ((h - along) / self.s).reshape(dz_dy.shape)")),
        "dz_dx: sums": Edit((ALONG, ALONG.replace("mean", "sum")), (DZ_DX, DZ_DX.replace("h.mean", "h.sum"))),
        "dz_dx: not divided by s": Edit(
            (DZ_DX, "return (h - h.mean(axis=2, keepdims=True) - along).reshape(dz_dy.shape)")
        ),
        "dz_dx: multiplied by s": Edit((DZ_DX, DZ_DX.replace("/ self.s", "* self.s"))),
        "dz_dx: sign of the part along x_hat": Edit((DZ_DX, DZ_DX.replace("- along", "+ along"))),
        "dz_dx: sign of the mean": Edit((DZ_DX, DZ_DX.replace("(h - h.mean", "(h + h.mean"))),
        "dz_dx: product of means": Edit(
            (ALONG, "along = self.x_hat * h.mean(axis=2, keepdims=True) * self.x_hat.mean(axis=2, keepdims=True)")
        ),
        "dz_dx: x_hat missing": Edit((ALONG, "along = (h * self.x_hat).mean(axis=2, keepdims=True)")),
        "dz_dx: layer normalization's": Edit(
            (
                "along = self.x_hat * (h * self.x_hat).mean(axis=2, keepdims=True)",
                "x = self.x.reshape(len(self.x), 1, -1)\n        s = np.sqrt(x.var(axis=2, keepdims=True) + self.epsilon)\n        x_hat, h = (x - x.mean(axis=2, keepdims=True)) / s, h.reshape(x.shape)\n        self.s = s\n        along = x_hat * (h * x_hat).mean(axis=2, keepdims=True)",
            ),
            ("self.column = (-1", "self.x = x\n        self.column = (-1"),
        ),
        "dz_dx: batch normalization's": Edit(
            (
                DZ_DX,
                "x, h, axes = self.x, h.reshape(dz_dy.shape), shared\n        s = np.sqrt(x.var(axis=axes, keepdims=True) + self.epsilon)\n        x_hat = (x - x.mean(axis=axes, keepdims=True)) / s\n        return (h - h.mean(axis=axes, keepdims=True) - x_hat * (h * x_hat).mean(axis=axes, keepdims=True)) / s",
            ),
            ("self.column = (-1", "self.x = x\n        self.column = (-1"),
        ),
        "parameters: x in place of x_hat": Edit(
            ("(dz_dy * x_hat).sum", "(dz_dy * self.x).sum"),
            ("self.column = (-1", "self.x = x\n        self.column = (-1"),
        ),
        "parameters: y in place of x_hat": Edit(
            ("(dz_dy * x_hat).sum", "(dz_dy * self.y).sum"),
            (Y, Y.replace("return", "self.y =") + "\n        return self.y"),
        ),
        "parameters: weight in dz_dweight": Edit(
            ("(dz_dy * x_hat).sum", '(self.w["weight"].reshape(self.column) * dz_dy * x_hat).sum')
        ),
        "parameters: weight in dz_dbias": Edit(
            ("dz_dy.sum(axis=shared)}", '(self.w["weight"].reshape(self.column) * dz_dy).sum(axis=shared)}')
        ),
        "parameters: mean of the weight's": Edit(("(dz_dy * x_hat).sum", "(dz_dy * x_hat).mean")),
        "parameters: mean of the bias's": Edit(("dz_dy.sum(axis=shared)}", "dz_dy.mean(axis=shared)}")),
        "parameters: swapped": Edit(
            (PARAMETERS, PARAMETERS.replace('"weight"', '"b"').replace('"bias"', '"weight"').replace('"b"', '"bias"'))
        ),
        "parameters: not summed": Edit((PARAMETERS, 'self.dz_dw = {"weight": dz_dy * x_hat, "bias": dz_dy}')),
        "parameters: summed over the examples only": Edit(("shared = (0, *range(2, dz_dy.ndim))", "shared = 0")),
        "parameters: summed over the positions only": Edit(
            ("shared = (0, *range(2, dz_dy.ndim))", "shared = tuple(range(2, dz_dy.ndim))")
        ),
        "parameters: one for each group": Edit(
            (
                PARAMETERS,
                'self.dz_dw = {"weight": (dz_dy * x_hat).reshape(self.x_hat.shape).sum(axis=(0, 2)), "bias": dz_dy.reshape(self.x_hat.shape).sum(axis=(0, 2))}',
            )
        ),
        "parameters: summed over everything": Edit(("shared = (0, *range(2, dz_dy.ndim))", "shared = None")),
        "parameters: added up": Edit(
            (
                PARAMETERS,
                PARAMETERS.replace("self.dz_dw =", "new =")
                + "\n        self.dz_dw = {name: new[name] + self.dz_dw.get(name, 0) for name in new}",
            )
        ),
        "parameters: no bias": Edit((PARAMETERS, 'self.dz_dw = {"weight": (dz_dy * x_hat).sum(axis=shared)}')),
        "dz_dy changed": Edit(
            (H, 'dz_dy *= self.w["weight"].reshape(self.column)\n        h = dz_dy.reshape(self.x_hat.shape)')
        ),
    },
    right={
        "example by example, group by group": NORM
        + """
    def forward(self, x):
        self.x = np.array(x)
        y = np.empty(x.shape)
        self.x_hat, self.s = np.empty(x.shape), {}
        size = x.shape[1] // self.groups
        for n in range(len(x)):
            for group in range(self.groups):
                block = slice(group * size, (group + 1) * size)
                self.s[n, group] = np.sqrt(x[n, block].var() + self.epsilon)
                self.x_hat[n, block] = (x[n, block] - x[n, block].mean()) / self.s[n, group]
            for channel in range(x.shape[1]):
                y[n, channel] = self.w["weight"][channel] * self.x_hat[n, channel] + self.w["bias"][channel]
        return y

    def backward(self, dz_dy):
        channels = self.x.shape[1]
        size = channels // self.groups
        self.dz_dw["weight"] = np.array([(dz_dy[:, c] * self.x_hat[:, c]).sum() for c in range(channels)])
        self.dz_dw["bias"] = np.array([dz_dy[:, c].sum() for c in range(channels)])
        dz_dx = np.empty(self.x.shape)
        for (n, group), s in self.s.items():
            block = slice(group * size, (group + 1) * size)
            h = np.stack([self.w["weight"][c] * dz_dy[n, c] for c in range(group * size, (group + 1) * size)])
            x_hat = self.x_hat[n, block]
            dz_dx[n, block] = (h - h.mean() - x_hat * (h * x_hat).mean()) / s
        return dz_dx
""",
        "the chain rule through the mean and the variance": NORM
        + """
    def forward(self, x):
        n, c = x.shape[:2]
        self.inner = (n, self.groups, c // self.groups, x[0, 0].size)
        z = x.reshape(self.inner)
        self.centred = z - z.mean((2, 3), keepdims=True)
        self.inverse = ((self.centred**2).mean((2, 3), keepdims=True) + self.epsilon) ** -0.5
        weight, bias = (self.w[name].reshape(1, self.groups, -1, 1) for name in ("weight", "bias"))
        return (weight * self.centred * self.inverse + bias).reshape(x.shape)

    def backward(self, dz_dy):
        r = dz_dy.reshape(self.inner)
        x_hat = self.centred * self.inverse
        self.dz_dw = {"weight": np.einsum("ngkp,ngkp->gk", r, x_hat).ravel(), "bias": np.einsum("ngkp->gk", r).ravel()}
        h = r * self.w["weight"].reshape(1, self.groups, -1, 1)
        count = self.inner[2] * self.inner[3]
        dvar = (h * self.centred).sum((2, 3), keepdims=True) * -0.5 * self.inverse**3
        dcentred = h * self.inverse + dvar * 2 * self.centred / count
        dx = dcentred - dcentred.sum((2, 3), keepdims=True) / count
        return dx.reshape(dz_dy.shape)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 8

LOW = "low = (energies <= level).long()"
STAYS = "stays = low.flip(1).cumprod(1).sum(1)"
SETTLED = "torch.where(stays > 0, energies.shape[1] - stays, -1)"
ROOT = "(math.sqrt(high) - math.sqrt(low)) / (math.sqrt(high) + math.sqrt(low))"
BEST = "4 / (math.sqrt(high) + math.sqrt(low)) ** 2, root**2"

ravine = Task(
    wrong={
        "settled: the first time": Edit((SETTLED, "torch.where(low.any(1), low.argmax(1), -1)")),
        "settled: strictly below": Edit((LOW, "low = (energies < level).long()")),
        "settled: nan is low": Edit((LOW, "low = 1 - (energies > level).long()")),
        "settled: nan and infinity dropped": Edit((LOW, "low = (energies.nan_to_num(nan=-math.inf) <= level).long()")),
        "settled: the last high step": Edit((SETTLED, "energies.shape[1] - stays - 1")),
        "settled: T + 1 where never": Edit((SETTLED, "energies.shape[1] - stays")),
        "settled: from 1": Edit((SETTLED, "torch.where(stays > 0, energies.shape[1] - stays + 1, -1)")),
        "settled: how many": Edit((SETTLED, "stays")),
        "settled: float": Edit((SETTLED, "torch.where(stays > 0, energies.shape[1] - stays, -1).double()")),
        "settled: only the first run": Edit((SETTLED, "torch.where(stays > 0, energies.shape[1] - stays, -1)[0]")),
        "settled: all steps low, not those at the end": Edit((STAYS, "stays = low.sum(1)")),
        "settled: two low steps are enough": """
def settled(energies, level):
    found = []
    for run in energies.tolist():
        low = [e <= level for e in run]
        at = [k for k in range(len(low)) if all(low[k : k + 2])]
        found.append(at[0] if at else -1)
    return torch.tensor(found)


def best_momentum(low, high):
    root = (math.sqrt(high) - math.sqrt(low)) / (math.sqrt(high) + math.sqrt(low))
    return 4 / (math.sqrt(high) + math.sqrt(low)) ** 2, root**2
""",
        "momentum: the root of mu": Edit((BEST, BEST.replace("root**2", "root"))),
        "momentum: curvatures in place of their roots": Edit((ROOT, "(high - low) / (high + low)")),
        "momentum: plain descent's factor": Edit((BEST, BEST.replace("root**2", "(high - low) / (high + low)"))),
        "momentum: the other way round": Edit((BEST, "root**2, 4 / (math.sqrt(high) + math.sqrt(low)) ** 2")),
        "momentum: one minus mu": Edit((BEST, BEST.replace("root**2", "1 - root**2"))),
        "momentum: for a rate of 1/high": Edit((BEST, "1 / high, (1 - math.sqrt(low / high)) ** 2")),
        "momentum: sign of the root": Edit((BEST, BEST.replace("root**2", "-root"))),
        "rate: plain descent's": Edit((BEST, "2 / (low + high), root**2")),
        "rate: sum of curvatures": Edit((BEST, "4 / (low + high), root**2")),
        "rate: its root": Edit((BEST, "2 / (math.sqrt(high) + math.sqrt(low)), root**2")),
        "rate: 1/high": Edit((BEST, "1 / high, root**2")),
        "rate: 1/low": Edit((BEST, "1 / low, root**2")),
        "rate: the ends swapped": Edit((BEST, "(1 - root) ** 2 / high, root**2")),
        "rate: half": Edit((BEST, BEST.replace("4 /", "2 /"))),
        "always 0.9": Edit((BEST, "1 / high, 0.9")),
    },
    right={
        "a loop from the end, and the two equations solved": """
def settled(energies, level):
    steps = []
    for run in energies.tolist():
        at = len(run)
        while at > 0 and run[at - 1] <= level:
            at -= 1
        steps.append(at if at < len(run) else -1)
    return torch.tensor(steps)


def best_momentum(low, high):
    # sqrt(low) x + y = 1 and sqrt(high) x - y = 1, with x = sqrt(alpha) and y = sqrt(mu)
    x, y = np.linalg.solve([[low**0.5, 1.0], [high**0.5, -1.0]], [1.0, 1.0])
    return x**2, y**2
""",
        "the last high step, and the condition number": """
def settled(energies, level):
    high = ~(energies <= level)
    places = torch.arange(1, energies.shape[1] + 1) * high
    first = places.max(1).values
    return torch.where(first == energies.shape[1], torch.tensor(-1), first)


def best_momentum(low, high):
    kappa = math.sqrt(high / low)
    mu = ((kappa - 1) / (kappa + 1)) ** 2
    return (1 - math.sqrt(mu)) ** 2 / low, mu
""",
    },
)

TASKS = {
    "schedule": schedule,
    "batches": batches,
    "nesterov": nesterov,
    "centred": centred,
    "units": units,
    "adamw": adamw,
    "group-norm": group_norm,
    "ravine": ravine,
}
