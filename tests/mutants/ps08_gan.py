# ruff: noqa: E501
"""Wrong and right solutions of problem set 08, the game."""

from __future__ import annotations

from course_lib.authoring.mutants import Edit, Task

# ---------------------------------------------------------------------------------------- task 1

GAME_VALUE = """
def game_value(log_d, log_not_d, log_p, log_q, weights):
    p, q = log_p.exp(), log_q.exp()
    return (weights * (torch.where(p > 0, p * log_d, 0.0) + torch.where(q > 0, q * log_not_d, 0.0))).sum()
"""

OPTIMAL_CRITIC = """
def optimal_critic(log_p, log_q, share=0.5):
    logit = log_p - log_q + math.log(share) - math.log(1 - share)
    return F.logsigmoid(logit), F.logsigmoid(-logit)
"""

LOGIT = "log_p - log_q + math.log(share) - math.log(1 - share)"
RETURN_D = "return F.logsigmoid(logit), F.logsigmoid(-logit)"

optimal_critic = Task(
    wrong={
        "sign: p and q swapped": Edit((LOGIT, "log_q - log_p + math.log(share) - math.log(1 - share)")),
        "share ignored": Edit((LOGIT, "log_p - log_q")),
        "share without its complement": Edit((LOGIT, "log_p - log_q + math.log(share)")),
        "share and its complement swapped": Edit((LOGIT, "log_p - log_q - math.log(share) + math.log(1 - share)")),
        "share on the wrong density": Edit((LOGIT, "log_p + math.log(1 - share) - log_q - math.log(share)")),
        "probabilities instead of logarithms": Edit((RETURN_D, "return torch.sigmoid(logit), torch.sigmoid(-logit)")),
        "logits instead of log-probabilities": Edit((RETURN_D, "return logit, -logit")),
        "log(1 - D) taken as 1 - log D": Edit((RETURN_D, "return F.logsigmoid(logit), 1 - F.logsigmoid(logit)")),
        "returned the other way round": Edit((RETURN_D, "return F.logsigmoid(-logit), F.logsigmoid(logit)")),
        "underflow: exponentiates the densities": """
def optimal_critic(log_p, log_q, share=0.5):
    p, q = share * log_p.exp(), (1 - share) * log_q.exp()
    return (p / (p + q)).log(), (q / (p + q)).log()
"""
        + GAME_VALUE,
        "underflow hidden by an epsilon": """
def optimal_critic(log_p, log_q, share=0.5):
    p, q = share * log_p.exp() + 1e-12, (1 - share) * log_q.exp() + 1e-12
    return (p / (p + q)).log(), (q / (p + q)).log()
"""
        + GAME_VALUE,
        "log of a rounded sigmoid": Edit(
            (RETURN_D, "return torch.sigmoid(logit).log(), (1 - torch.sigmoid(logit)).log()")
        ),
        "1 - D rounded before its logarithm": Edit(
            (RETURN_D, "return F.logsigmoid(logit), torch.log1p(-torch.sigmoid(logit))")
        ),
        "float32 on the way": Edit((LOGIT, "(log_p.float() - log_q.float()) + math.log(share) - math.log(1 - share)")),
        "value: weights missing": Edit(("(weights * (real + fake)).sum()", "(real + fake).sum()")),
        "value: mean instead of sum": Edit(("(weights * (real + fake)).sum()", "(weights * (real + fake)).mean()")),
        "value: sign": Edit(("(weights * (real + fake)).sum()", "-(weights * (real + fake)).sum()")),
        "value: 0 log 0 is NaN": Edit(
            ("torch.where(p > 0, p * log_d, 0.0)", "p * log_d"),
            ("torch.where(q > 0, q * log_not_d, 0.0)", "q * log_not_d"),
        ),
        "value: 0 log 0 forgotten for the generated points": Edit(
            ("torch.where(q > 0, q * log_not_d, 0.0)", "q * log_not_d")
        ),
        "value: both terms weighed by p": Edit(
            ("torch.where(q > 0, q * log_not_d, 0.0)", "torch.where(p > 0, p * log_not_d, 0.0)")
        ),
        "value: log densities not exponentiated": Edit(("log_p.exp(), log_q.exp()", "log_p, log_q")),
        "value: every infinity dropped": Edit(
            ("torch.where(p > 0, p * log_d, 0.0)", "torch.nan_to_num(p * log_d, nan=0.0, neginf=0.0)"),
            ("torch.where(q > 0, q * log_not_d, 0.0)", "torch.nan_to_num(q * log_not_d, nan=0.0, neginf=0.0)"),
        ),
    },
    right={
        "with logaddexp": """
def optimal_critic(log_p, log_q, share=0.5):
    real, fake = log_p + math.log(share), log_q + math.log1p(-share)
    return -F.softplus(fake - real), -F.softplus(real - fake)
"""
        + GAME_VALUE,
        "log_softmax of the two, masked indexing": """
def optimal_critic(log_p, log_q, share=0.5):
    both = torch.stack([log_p + math.log(share), log_q + math.log(1 - share)])
    return tuple(torch.log_softmax(both, 0))


def game_value(log_d, log_not_d, log_p, log_q, weights):
    total = 0.0
    for log_density, log_answer in ((log_p, log_d), (log_q, log_not_d)):
        there = log_density > -math.inf
        total = total + torch.dot(weights[there], log_density[there].exp() * log_answer[there])
    return total
""",
        "value with nan_to_num": OPTIMAL_CRITIC
        + """
def game_value(log_d, log_not_d, log_p, log_q, weights):
    terms = torch.stack([log_p.exp() * log_d, log_q.exp() * log_not_d])
    terms = torch.where(terms.isnan(), torch.zeros_like(terms), terms)
    return torch.einsum("kg,g->", terms, weights)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 2

CROSS_ENTROPY = "return F.softplus(logits) - target * logits"
WEIGHTED = "(real_weights * real).sum() / real_weights.sum()"
FAKE_TERM = "cross_entropy(fake_logits, fake_target).mean()"

critic_loss = Task(
    wrong={
        "sign": Edit((f"return real + {FAKE_TERM}", f"return -(real + {FAKE_TERM})")),
        "missing mean": Edit(("real.mean() if", "real.sum() if"), (FAKE_TERM, FAKE_TERM.replace("mean", "sum"))),
        "one mean over all points": Edit(
            (
                f"return real + {FAKE_TERM}",
                "n, m = len(real_logits), len(fake_logits)\n"
                "    return (n * real + cross_entropy(fake_logits, fake_target).sum()) / (n + m)",
            )
        ),
        "half": Edit((f"return real + {FAKE_TERM}", f"return (real + {FAKE_TERM}) / 2")),
        "targets swapped": Edit(
            ("cross_entropy(real_logits, real_target)", "cross_entropy(real_logits, fake_target)"),
            (FAKE_TERM, "cross_entropy(fake_logits, real_target).mean()"),
        ),
        "broadcast of (N,) with (M,)": Edit(
            (
                f"return real + {FAKE_TERM}",
                "return (cross_entropy(real_logits, real_target)[:, None] + cross_entropy(fake_logits, fake_target)).sum(0).mean()",
            )
        ),
        "sigmoid twice": Edit(
            (CROSS_ENTROPY, "logits = torch.sigmoid(logits)\n        return F.softplus(logits) - target * logits")
        ),
        "log of a rounded sigmoid": Edit(
            (
                CROSS_ENTROPY,
                "d = torch.sigmoid(logits)\n        return -target * d.log() - (1 - target) * (1 - d).log()",
            )
        ),
        "epsilon inside the logarithm": Edit(
            (
                CROSS_ENTROPY,
                "d = torch.sigmoid(logits)\n        return -target * (d + 1e-8).log() - (1 - target) * (1 - d + 1e-8).log()",
            )
        ),
        "torch's BCE on probabilities, which clamps": Edit(
            (
                CROSS_ENTROPY,
                "d = torch.sigmoid(logits)\n        return F.binary_cross_entropy(d, torch.full_like(d, target), reduction='none')",
            )
        ),
        "overflow: log(1 + exp)": Edit((CROSS_ENTROPY, "return torch.log(1 + torch.exp(logits)) - target * logits")),
        "targets ignored": Edit(
            (FAKE_TERM, "cross_entropy(fake_logits, 0.0).mean()"),
            ("cross_entropy(real_logits, real_target)", "cross_entropy(real_logits, 1.0)"),
        ),
        "fake target ignored": Edit((FAKE_TERM, "cross_entropy(fake_logits, 0.0).mean()")),
        "target scales one term only": Edit(
            ("real = cross_entropy(real_logits, real_target)", "real = real_target * cross_entropy(real_logits, 1.0)")
        ),
        "weights ignored": Edit((WEIGHTED, "real.mean()")),
        "weights not normalised": Edit((WEIGHTED, "(real_weights * real).sum()")),
        "weighted mean divided by N": Edit((WEIGHTED, "(real_weights * real).mean()")),
        "weights on the logits": Edit((WEIGHTED, "cross_entropy(real_weights * real_logits, real_target).mean()")),
        "returns a number without gradient": Edit((FAKE_TERM, f"{FAKE_TERM}.detach()")),
    },
    right={
        "torch's cross-entropy with logits": """
def critic_loss(real_logits, fake_logits, real_target=1.0, fake_target=0.0, real_weights=None):
    weights = torch.ones_like(real_logits) if real_weights is None else real_weights
    real = F.binary_cross_entropy_with_logits(
        real_logits, torch.full_like(real_logits, real_target), weight=weights / weights.sum(), reduction="sum"
    )
    return real + F.binary_cross_entropy_with_logits(fake_logits, torch.full_like(fake_logits, fake_target))
""",
        "log-sigmoids, term by term": """
def critic_loss(real_logits, fake_logits, real_target=1.0, fake_target=0.0, real_weights=None):
    if real_weights is None:
        real_weights = torch.full_like(real_logits, 7.0)
    real = -real_target * F.logsigmoid(real_logits) - (1 - real_target) * F.logsigmoid(-real_logits)
    fake = -fake_target * F.logsigmoid(fake_logits) - (1 - fake_target) * F.logsigmoid(-fake_logits)
    return torch.dot(real_weights / real_weights.sum(), real) + fake.mean()
""",
        "written out with log1p": """
def critic_loss(real_logits, fake_logits, real_target=1.0, fake_target=0.0, real_weights=None):
    def entropy(a, t):
        return torch.relu(a) - t * a + torch.log1p(torch.exp(-a.abs()))

    weights = 1 if real_weights is None else real_weights * len(real_logits) / real_weights.sum()
    return (weights * entropy(real_logits, real_target)).mean() + entropy(fake_logits, fake_target).mean()
""",
    },
)

# ---------------------------------------------------------------------------------------- task 3

SLOPES = "return -torch.sigmoid(fake_logits), -torch.sigmoid(-fake_logits)"

generator_slopes = Task(
    wrong={
        "sign": Edit((SLOPES, "return torch.sigmoid(fake_logits), torch.sigmoid(-fake_logits)")),
        "sign of one": Edit((SLOPES, "return -torch.sigmoid(fake_logits), torch.sigmoid(-fake_logits)")),
        "swapped": Edit((SLOPES, "return -torch.sigmoid(-fake_logits), -torch.sigmoid(fake_logits)")),
        "divided by the batch": Edit(
            (
                SLOPES,
                "m = len(fake_logits)\n    return -torch.sigmoid(fake_logits) / m, -torch.sigmoid(-fake_logits) / m",
            )
        ),
        "mean over the batch": Edit(
            (SLOPES, "return -torch.sigmoid(fake_logits).mean(), -torch.sigmoid(-fake_logits).mean()")
        ),
        "slope in D instead of the logit": Edit(
            (SLOPES, "d = torch.sigmoid(fake_logits)\n    return -1 / (1 - d), -1 / d")
        ),
        "slope of the sigmoid alone": Edit(
            (SLOPES, "d = torch.sigmoid(fake_logits)\n    return -d * (1 - d), -d * (1 - d)")
        ),
        "sigmoid twice": Edit(
            (SLOPES, "d = torch.sigmoid(fake_logits)\n    return -torch.sigmoid(d), -torch.sigmoid(-d)")
        ),
        "cancellation: 1 - sigmoid": Edit(
            (SLOPES, "return -torch.sigmoid(fake_logits), torch.sigmoid(fake_logits) - 1")
        ),
        "overflow: exp over exp": Edit((SLOPES, "e = torch.exp(fake_logits)\n    return -e / (1 + e), -1 / (1 + e)")),
        "chain rule through a rounded sigmoid": Edit(
            (SLOPES, "d = torch.sigmoid(fake_logits)\n    return -d * (1 - d) / (1 - d), -d * (1 - d) / d")
        ),
        "both the same": Edit((SLOPES, "return -torch.sigmoid(fake_logits), -torch.sigmoid(fake_logits)")),
    },
    right={
        "by autograd, from softplus": """
def generator_slopes(fake_logits):
    slopes = []
    for loss in (lambda a: -F.softplus(a), lambda a: F.softplus(-a)):
        with torch.enable_grad():
            a = fake_logits.detach().clone().requires_grad_()
            loss(a).sum().backward()
        slopes.append(a.grad)
    return tuple(slopes)
""",
        "exponentials of log-sigmoids": """
def generator_slopes(fake_logits):
    return -F.logsigmoid(fake_logits).exp(), -F.logsigmoid(-fake_logits).exp()
""",
        "one over one plus e": """
def generator_slopes(fake_logits):
    return [-1 / (1 + torch.exp(-fake_logits)), -1 / (1 + torch.exp(fake_logits))]
""",
    },
)

# ---------------------------------------------------------------------------------------- task 4

INIT = """
class Duel:
    def __init__(self, generator, critic, learning_rate=0.1):
        self.generator, self.critic = generator, critic
        self.generator_opt = torch.optim.SGD(generator.parameters(), lr=learning_rate)
        self.critic_opt = torch.optim.SGD(critic.parameters(), lr=learning_rate)
"""

CRITIC_LOSS = "loss = non_saturating.critic(self.critic(real), self.critic(fake))"
GENERATOR_LOSS = "loss = non_saturating.generator(self.critic(self.generator(z)))"
CRITIC_MOVES = "self.critic_opt.zero_grad()\n        loss.backward()\n        self.critic_opt.step()"
GENERATOR_MOVES = "self.generator_opt.zero_grad()\n        loss.backward()\n        self.generator_opt.step()"
TURN = "losses.append(self.critic_turn(real, z))"
MEAN = "torch.stack(losses).mean()"
LAST = "generator = self.generator_turn(zs[-1])"

duel = Task(
    wrong={
        "missing detach": Edit(("self.generator(z).detach()", "self.generator(z)")),
        "critic: the generator moves too": Edit(
            ("self.generator(z).detach()", "self.generator(z)"),
            (CRITIC_MOVES, CRITIC_MOVES + "\n        self.generator_opt.step()"),
        ),
        "critic: no zero_grad": Edit((CRITIC_MOVES, CRITIC_MOVES.split("\n        ", 1)[1])),
        "critic: zero_grad after backward": Edit(
            (CRITIC_MOVES, "loss.backward()\n        self.critic_opt.zero_grad()\n        self.critic_opt.step()")
        ),
        "critic: gradients cleared after the step only": Edit(
            (CRITIC_MOVES, "loss.backward()\n        self.critic_opt.step()\n        self.critic_opt.zero_grad()")
        ),
        "critic: no step": Edit((CRITIC_MOVES, CRITIC_MOVES.rsplit("\n", 1)[0])),
        "critic: climbs": Edit((CRITIC_MOVES, CRITIC_MOVES.replace("loss.backward()", "(-loss).backward()"))),
        "critic: real and fake swapped": Edit(
            (CRITIC_LOSS, "loss = non_saturating.critic(self.critic(fake), self.critic(real))")
        ),
        "critic: one joint batch": Edit(
            (
                CRITIC_LOSS,
                "logits = self.critic(torch.cat([real, fake]))\n        loss = non_saturating.critic(logits[: len(real)], logits[len(real) :])",
            )
        ),
        "critic: probabilities into a loss of logits": Edit(
            (
                CRITIC_LOSS,
                "loss = non_saturating.critic(torch.sigmoid(self.critic(real)), torch.sigmoid(self.critic(fake)))",
            )
        ),
        "critic: loss with its graph": Edit(
            (
                f"{CRITIC_LOSS}\n        {CRITIC_MOVES}\n        return loss.detach()",
                f"{CRITIC_LOSS}\n        {CRITIC_MOVES}\n        return loss",
            )
        ),
        "critic: loss after the move": Edit(
            (
                f"{CRITIC_MOVES}\n        return loss.detach()",
                f"{CRITIC_MOVES}\n        return non_saturating.critic(self.critic(real), self.critic(fake)).detach()",
            )
        ),
        "generator: detached fakes": Edit(
            (GENERATOR_LOSS, GENERATOR_LOSS.replace("self.generator(z)", "self.generator(z).detach()"))
        ),
        "generator: the critic moves too": Edit(
            (GENERATOR_MOVES, GENERATOR_MOVES + "\n        self.critic_opt.step()")
        ),
        "generator: no zero_grad": Edit((GENERATOR_MOVES, GENERATOR_MOVES.split("\n        ", 1)[1])),
        "generator: saturating loss": Edit(
            (GENERATOR_LOSS, "loss = -F.softplus(self.critic(self.generator(z))).mean()")
        ),
        "generator: sign": Edit((GENERATOR_LOSS, "loss = -non_saturating.generator(self.critic(self.generator(z)))")),
        "generator: freezes the critic for good": Edit(
            (GENERATOR_LOSS, f"self.critic.requires_grad_(False)\n        {GENERATOR_LOSS}")
        ),
        "generator: the critic's optimizer": Edit(
            (GENERATOR_MOVES, GENERATOR_MOVES.replace("generator_opt", "critic_opt"))
        ),
        "generator: zeroes the critic's gradients instead of its own": Edit(
            (GENERATOR_MOVES, GENERATOR_MOVES.replace("generator_opt.zero_grad", "critic_opt.zero_grad"))
        ),
        "round: one critic turn": Edit((TURN, f"{TURN}\n            break")),
        "round: the generator moves every turn": Edit(
            (TURN, f"{TURN}\n            generator = self.generator_turn(zs[-1])")
        ),
        "round: the generator first": Edit(
            ("losses = []", f"losses = []\n        {LAST}"), (f"\n        {LAST}\n        return", "\n        return")
        ),
        "round: the same noise for all": Edit((TURN, "losses.append(self.critic_turn(real, zs[0]))")),
        "round: the generator reuses the critic's noise": Edit((LAST, "generator = self.generator_turn(z)")),
        "round: never rests": Edit(("if losses[-1] < rest_below:", "if False:")),
        "round: rests above instead of below": Edit(("losses[-1] < rest_below", "losses[-1] > rest_below")),
        "round: rests before the first turn": Edit(
            (
                f"{TURN}\n            if losses[-1] < rest_below:\n                break",
                "loss = self.critic_turn(real, z)\n            if loss < rest_below:\n                break\n            losses.append(loss)",
            )
        ),
        "round: decides by the mean so far": Edit(
            ("losses[-1] < rest_below", "sum(losses) / len(losses) < rest_below")
        ),
        "round: a rested critic also stops the generator": Edit(
            (
                "                break\n",
                '                return {"critic": losses[-1], "generator": losses[-1], "turns": len(losses)}\n',
            )
        ),
        "round: last loss instead of the mean": Edit((MEAN, "losses[-1]")),
        "round: sum instead of the mean": Edit((MEAN, "torch.stack(losses).sum()")),
        "round: mean over k though it rested": Edit((MEAN, "torch.stack(losses).sum() / len(reals)")),
    },
    right={
        "the course's descend": INIT
        + """
    def critic_turn(self, real, z):
        from course_lib.loop import descend
        with torch.no_grad():
            fake = self.generator(z)
        return descend(self.critic_opt, non_saturating.critic(self.critic(real), self.critic(fake)))

    def generator_turn(self, z):
        from course_lib.loop import descend
        return descend(self.generator_opt, non_saturating.generator(self.critic(self.generator(z))))

    def round(self, reals, zs, rest_below=-math.inf):
        total, turns = 0.0, 0
        while turns < len(reals):
            loss = self.critic_turn(reals[turns], zs[turns])
            total, turns = total + loss, turns + 1
            if loss.item() < rest_below:
                break
        return {"turns": turns, "critic": total / turns, "generator": self.generator_turn(zs[len(reals)])}
""",
        "gradients by hand": INIT
        + """
    def _move(self, network, optimizer, loss):
        parameters = list(network.parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = gradient
        optimizer.step()
        return loss.detach()

    def critic_turn(self, real, z):
        with torch.no_grad():
            fake = self.generator(z)
        loss = F.softplus(-self.critic(real)).mean() + F.softplus(self.critic(fake)).mean()
        return self._move(self.critic, self.critic_opt, loss)

    def generator_turn(self, z):
        return self._move(self.generator, self.generator_opt, F.softplus(-self.critic(self.generator(z))).mean())

    def round(self, reals, zs, rest_below=-math.inf):
        losses = []
        for i in range(len(reals)):
            if not losses or losses[-1] >= rest_below:
                losses.append(self.critic_turn(reals[i], zs[i]))
        generator = self.generator_turn(zs[-1])
        return {"critic": sum(losses) / len(losses), "generator": generator, "turns": len(losses)}
""",
        "the critic frozen for a moment": Edit(
            (GENERATOR_LOSS, f"self.critic.requires_grad_(False)\n        {GENERATOR_LOSS}"),
            (GENERATOR_MOVES, f"{GENERATOR_MOVES}\n        self.critic.requires_grad_(True)"),
        ),
    },
)

# ---------------------------------------------------------------------------------------- task 5

SIMULTANEOUS = "    u, v = pulls(x, y)\n    return x + eta * u, y + eta * v\n    ### END SOLUTION\n\n\ndef alternating"
ALTERNATING = "x = x + eta * pulls(x, y)[0]\n    return x, y + eta * pulls(x, y)[1]"
EXTRA = "u, v = pulls(x + eta * u, y + eta * v)\n    return x + eta * u, y + eta * v"
RUNNING = "return path.cumsum(0) / count[:, None]"


def simultaneous_as(body: str) -> Edit:
    """The reference with another body of `simultaneous`."""
    return Edit((SIMULTANEOUS, f"{body}\n    ### END SOLUTION\n\n\ndef alternating"))


players = Task(
    wrong={
        "pulls: sign of u": Edit(("return -(A @ y), A.T @ x", "return A @ y, A.T @ x")),
        "pulls: sign of v": Edit(("return -(A @ y), A.T @ x", "return -(A @ y), -(A.T @ x)")),
        "pulls: transposed": Edit(("return -(A @ y), A.T @ x", "return -(A.T @ y), A @ x")),
        "pulls: swapped": Edit(("return -(A @ y), A.T @ x", "return A.T @ x, -(A @ y)")),
        "pulls: broadcast instead of a product": Edit(
            ("return -(A @ y), A.T @ x", "return -(A * y).mean(1), (A.T * x).mean(1)")
        ),
        "simultaneous: y sees the new x": simultaneous_as(
            "    x = x + eta * pulls(x, y)[0]\n    return x, y + eta * pulls(x, y)[1]"
        ),
        "simultaneous: in place": simultaneous_as(
            "    u, v = pulls(x, y)\n    x += eta * u\n    y += eta * v\n    return x, y"
        ),
        "simultaneous: descends along pulls": simultaneous_as(
            "    u, v = pulls(x, y)\n    return x - eta * u, y - eta * v"
        ),
        "simultaneous: only x follows its pull": simultaneous_as(
            "    u, v = pulls(x, y)\n    return x + eta * u, y - eta * v"
        ),
        "alternating: y sees the old x": Edit((ALTERNATING, "u, v = pulls(x, y)\n    return x + eta * u, y + eta * v")),
        "alternating: y first": Edit(
            (ALTERNATING, "y = y + eta * pulls(x, y)[1]\n    return x + eta * pulls(x, y)[0], y")
        ),
        "alternating: in place": Edit(
            (ALTERNATING, "x += eta * pulls(x, y)[0]\n    y += eta * pulls(x, y)[1]\n    return x, y")
        ),
        "extragradient: moves from the point ahead": Edit(
            (EXTRA, "x, y = x + eta * u, y + eta * v\n    u, v = pulls(x, y)\n    return x + eta * u, y + eta * v")
        ),
        "extragradient: no look ahead": Edit((EXTRA, "return x + eta * u, y + eta * v")),
        "extragradient: only x looks ahead": Edit((EXTRA, EXTRA.replace("y + eta * v)\n", "y)\n"))),
        "extragradient: each sees itself where it stood": Edit(
            (EXTRA, "u, v = pulls(x, y + eta * v)[0], pulls(x + eta * u, y)[1]\n    return x + eta * u, y + eta * v")
        ),
        "extragradient: alternates ahead": Edit(
            (
                EXTRA,
                "ahead = x + eta * u\n    u, v = pulls(ahead, y + eta * pulls(ahead, y)[1])\n    return x + eta * u, y + eta * v",
            )
        ),
        "mean: not divided": Edit((RUNNING, "return path.cumsum(0)")),
        "mean: divided by T": Edit((RUNNING, "return path.cumsum(0) / len(path)")),
        "mean: divided by t": Edit(("torch.arange(1, len(path) + 1,", "torch.arange(len(path),")),
        "mean: wrong axis": Edit((RUNNING, "return path.cumsum(1) / count[:, None]")),
        "mean: wrong broadcasting": Edit((RUNNING, "return path.cumsum(0) / count")),
        "mean: of the whole path": Edit((RUNNING, "return path.mean(0).expand(len(path), -1)")),
        "mean: in place": Edit((RUNNING, "path.copy_(path.cumsum(0) / count[:, None])\n    return path")),
    },
    right={
        "loops and the other order of arithmetic": """
def bilinear_pulls(A, x, y):
    return torch.einsum("nm,m->n", -A, y), x @ A


def simultaneous(pulls, x, y, eta):
    return tuple(z + eta * w for z, w in zip((x, y), pulls(x, y)))


def alternating(pulls, x, y, eta):
    new_x = torch.add(x, pulls(x, y)[0], alpha=eta)
    new_y = torch.add(y, pulls(new_x, y)[1], alpha=eta)
    return new_x, new_y


def extragradient(pulls, x, y, eta):
    ahead = simultaneous(pulls, x, y, eta)
    return simultaneous(lambda *_: pulls(*ahead), x, y, eta)


def running_mean(path):
    mean, rows = torch.zeros_like(path[0]), []
    for t, row in enumerate(path):
        mean = mean + (row - mean) / (t + 1)
        rows.append(mean)
    return torch.stack(rows)
""",
        "autograd and a triangular matrix": """
def bilinear_pulls(A, x, y):
    x, y = x.detach().clone().requires_grad_(), y.detach().clone().requires_grad_()
    (x @ A @ y).backward()
    return -x.grad, y.grad


def simultaneous(pulls, x, y, eta):
    x, y = x.clone(), y.clone()
    u, v = pulls(x, y)
    u, v = u.clone(), v.clone()
    x += eta * u
    y += eta * v
    return x, y


def alternating(pulls, x, y, eta):
    x, y = x.clone(), y.clone()
    x += eta * pulls(x, y)[0]
    y += eta * pulls(x, y)[1]
    return x, y


def extragradient(pulls, x, y, eta):
    u, v = pulls(x, y)
    ahead_x, ahead_y = x + eta * u, y + eta * v
    u, v = pulls(ahead_x, ahead_y)
    return [x + eta * u, y + eta * v]


def running_mean(path):
    below = torch.ones(len(path), len(path), dtype=path.dtype).tril()
    return (below / below.sum(1, keepdim=True)) @ path
""",
    },
)

# ---------------------------------------------------------------------------------------- task 6

AXES = "[k for k in range(h.dim()) if k != 1]"
VARIANCE = "(h - mean).square().mean(axes)"
MEAN_TERM = "(real_mean - fake_mean).square().sum()"
VARIANCE_TERM = "(real_variance - fake_variance).square().sum()"

moment_matching = Task(
    wrong={
        "mean over the features": Edit((MEAN_TERM, MEAN_TERM.replace("sum", "mean"))),
        "not squared": Edit((MEAN_TERM, "(real_mean - fake_mean).norm()")),
        "means of features, point by point": Edit((AXES, "[k for k in range(h.dim()) if k != 0]")),
        "sum over the batch": Edit(("h.mean(axes, keepdim=True)", "h.sum(axes, keepdim=True)")),
        "missing detach": Edit(("moments(real.detach())", "moments(real)")),
        "detached the generated side": Edit(
            ("moments(real.detach()), moments(fake)", "moments(real), moments(fake.detach())")
        ),
        "variance forgotten": Edit((VARIANCE_TERM, "0.0")),
        "variance divides by N - 1": Edit((VARIANCE, "h.var(axes)")),
        "standard deviation": Edit((VARIANCE, "h.std(axes, correction=0)")),
        "second moment about zero": Edit((VARIANCE, "h.square().mean(axes)")),
        "variance not squared in the loss": Edit((VARIANCE_TERM, "(real_variance - fake_variance).abs().sum()")),
        "the weight on the wrong term": Edit(
            (f"loss = loss + {MEAN_TERM}", f"loss = loss + variance_weight * {MEAN_TERM}"),
            (f"variance_weight * {VARIANCE_TERM}", VARIANCE_TERM),
        ),
        "in-place centring": Edit((VARIANCE, "h.data.sub_(mean.data).square().mean(axes) + 0 * h.sum()")),
        "broadcasting (F,) with (F, 1)": Edit(
            (VARIANCE_TERM, "(real_variance - fake_variance.unsqueeze(1)).square().sum()")
        ),
        "maps flattened": Edit(
            (
                "mean = h.mean(axes, keepdim=True)",
                "h = h.flatten(1)\n        axes = [0]\n        mean = h.mean(axes, keepdim=True)",
            )
        ),
        "maps averaged before the variance": Edit(
            (
                "mean = h.mean(axes, keepdim=True)",
                "h = h.flatten(2).mean(2) if h.dim() == 4 else h\n        axes = [0]\n        mean = h.mean(axes, keepdim=True)",
            )
        ),
        "maps mixed by a reshape": Edit(
            (
                "mean = h.mean(axes, keepdim=True)",
                "h = h.reshape(-1, h.shape[1])\n        axes = [0]\n        mean = h.mean(axes, keepdim=True)",
            )
        ),
        "only the last layer": Edit((f"loss = loss + {MEAN_TERM}", f"loss = {MEAN_TERM}")),
        "returns after the first layer": Edit(("    return loss\n", "        return loss\n")),
        "mean over the layers": Edit(("    return loss\n", "    return loss / len(real_layers)\n")),
    },
    right={
        "torch.var_mean": """
def moment_matching(real_layers, fake_layers, variance_weight=1.0):
    total = torch.zeros(())
    for real, fake in zip(real_layers, fake_layers):
        axes = (0, 2, 3) if real.dim() == 4 else (0,)
        with torch.no_grad():
            target = torch.var_mean(real, axes, correction=0)
        variance, mean = torch.var_mean(fake, axes, correction=0)
        total = total + ((mean - target[1]) ** 2).sum() + variance_weight * ((variance - target[0]) ** 2).sum()
    return total
""",
        "pixels as points, E[h²] - E[h]²": """
def moment_matching(real_layers, fake_layers, variance_weight=1.0):
    def moments(h):
        if h.dim() == 4:
            h = h.transpose(1, 3).reshape(-1, h.shape[1])
        mean = h.sum(0) / h.shape[0]
        return torch.stack([mean, (h * h).sum(0) / h.shape[0] - mean * mean])

    scale = torch.tensor([[1.0], [variance_weight]])
    return sum((scale * (moments(r).detach() - moments(f)) ** 2).sum() for r, f in zip(real_layers, fake_layers))
""",
    },
)

# ---------------------------------------------------------------------------------------- task 7

DISTANCE = "(samples[:, None] - centres[None]).norm(dim=2)"
KEEP = "torch.where(nearest <= radius, mode, -1)"
COUNTS = "torch.bincount(labels[labels >= 0], minlength=modes)"
SHARES = "counts.double() / counts.sum()"
KL = "torch.xlogy(h, modes * h).sum()"

modes = Task(
    wrong={
        "nearest: radius ignored": Edit((KEEP, "mode")),
        "nearest: squared distance against the radius": Edit(
            (DISTANCE, "(samples[:, None] - centres[None]).square().sum(2)")
        ),
        "nearest: radius excluded": Edit((KEEP, KEEP.replace("<=", "<"))),
        "nearest: NaN kept": Edit((KEEP, "torch.where(nearest > radius, -1, mode)")),
        "nearest: wrong axis": Edit(("distance.min(1)", "distance.min(0)")),
        "nearest: absolute differences": Edit((DISTANCE, "(samples[:, None] - centres[None]).abs().sum(2)")),
        "nearest: farthest": Edit(("distance.min(1)", "distance.max(1)")),
        "nearest: marked with K instead of -1": Edit((KEEP, KEEP.replace("-1", "len(centres)"))),
        "nearest: any centre within the radius": Edit(
            (
                "return " + KEEP,
                "inside = distance <= radius\n    return torch.where(inside.any(1), inside.int().argmax(1), -1)",
            )
        ),
        "nearest: float labels": Edit((KEEP, KEEP.replace("mode, -1", "mode.float(), -1.0"))),
        "counts: bad samples make a mode": Edit(
            ("covered = int((counts >= least).sum())", "covered = len(labels.unique())")
        ),
        "counts: least ignored": Edit(("counts >= least", "counts >= 1")),
        "counts: more than least": Edit(("counts >= least", "counts > least")),
        "counts: share among covered modes": Edit(
            ("good = counts.sum().item()", "good = counts[counts >= least].sum().item()")
        ),
        "counts: label 0 is no mode": Edit(("good = counts.sum().item()", "good = (labels > 0).sum().item()")),
        "counts: number instead of a share": Edit(("counts.sum().item() / len(labels)", "counts.sum().item()")),
        "evenness: divided by all samples": Edit((SHARES, "counts.double() / len(labels)")),
        "evenness: 0 log 0 is NaN": Edit((KL, "(h * (modes * h).log()).sum()")),
        "evenness: epsilon in the logarithm": Edit((KL, "(h * (modes * h + 1e-3).log()).sum()")),
        "evenness: bits": Edit((KL, KL + " / math.log(2)")),
        "evenness: entropy": Edit((KL, "-torch.xlogy(h, h).sum()")),
        "evenness: K from the modes that were hit": Edit((KL, "torch.xlogy(h, (counts > 0).sum() * h).sum()")),
        "evenness: reversed": Edit((KL, "-(modes * h).clamp(min=1e-12).log().mean()")),
        "evenness: nothing good counts as even": Edit(("return covered, 0.0, math.inf", "return covered, 0.0, 0.0")),
    },
    right={
        "squares first, and the log of K minus the entropy": """
def nearest_mode(samples, centres, radius):
    square = (samples[:, None, :] - centres[None, :, :]).pow(2).sum(-1)
    label = square.argmin(dim=1)
    inside = square.gather(1, label[:, None])[:, 0].sqrt() <= radius
    label[~inside] = -1
    return label


def mode_summary(labels, modes, least=1):
    counts = torch.stack([(labels == k).sum() for k in range(modes)])
    n = int(counts.sum())
    if n == 0:
        return 0, 0.0, float("inf")
    h = counts[counts > 0] / n
    return (counts >= least).sum().item(), n / len(labels), (h * (h.log() + math.log(modes))).sum().item()
""",
        "torch.cdist, which rounds in large batches": Edit((DISTANCE, "torch.cdist(samples, centres)")),
        "plain Python": """
def nearest_mode(samples, centres, radius):
    labels = []
    for sample in samples:
        distances = torch.linalg.vector_norm(centres - sample, dim=1)
        k = int(distances.argmin())
        labels.append(k if float(distances[k]) <= radius else -1)
    return torch.tensor(labels)


def mode_summary(labels, modes, least=1):
    labels = labels.tolist()
    counts = [labels.count(k) for k in range(modes)]
    n, covered = sum(counts), sum(count >= least for count in counts)
    kl = sum(c / n * math.log(modes * c / n) for c in counts if c) if n else math.inf
    return [covered, n / len(labels), kl]
""",
    },
)

# ---------------------------------------------------------------------------------------- task 8

KERNEL = "nn.Parameter(torch.randn(features, kernels, size) / math.sqrt(features))"
SQUARED = "(m[:, None] - m[None]).square().sum(3)"
MEAN_OF_OTHERS = "(others[..., None] * torch.exp(-squared / 2)).sum(1) / max(len(x) - 1, 1)"

closeness = Task(
    wrong={
        "a plain tensor, not a parameter": Edit((KERNEL, "torch.randn(features, kernels, size) / math.sqrt(features)")),
        "kernel starts at zero": Edit((KERNEL, "nn.Parameter(torch.zeros(features, kernels, size))")),
        "kernel not scaled": Edit((KERNEL, "nn.Parameter(torch.randn(features, kernels, size))")),
        "kernel scaled by F": Edit((KERNEL, "nn.Parameter(torch.randn(features, kernels, size) / features)")),
        "kernel of another shape": Edit(
            (KERNEL, "nn.Parameter(torch.randn(features, kernels * size) / math.sqrt(features))"),
            ('torch.einsum("if,fbk->ibk", x, self.kernel)', "(x @ self.kernel).reshape(len(x), -1, self.size)"),
            ("super().__init__()", "super().__init__()\n        self.size = size"),
        ),
        "counts itself": Edit((MEAN_OF_OTHERS, "torch.exp(-squared / 2).mean(1)")),
        "counts itself and divides by N - 1": Edit(
            (MEAN_OF_OTHERS, "torch.exp(-squared / 2).sum(1) / max(len(x) - 1, 1)")
        ),
        "missing mean": Edit((MEAN_OF_OTHERS, "(others[..., None] * torch.exp(-squared / 2)).sum(1)")),
        "divided by N": Edit((MEAN_OF_OTHERS, "(others[..., None] * torch.exp(-squared / 2)).mean(1)")),
        "absolute differences, as in the paper": Edit((SQUARED, "2 * (m[:, None] - m[None]).abs().sum(3)")),
        "no half": Edit((MEAN_OF_OTHERS, MEAN_OF_OTHERS.replace("-squared / 2", "-squared"))),
        "sign in the exponent": Edit((MEAN_OF_OTHERS, MEAN_OF_OTHERS.replace("-squared", "squared"))),
        "sum over B instead of K": Edit(
            ("torch.randn(features, kernels, size)", "torch.randn(features, kernels, size)"),
            (SQUARED, "(m[:, None] - m[None]).square().sum(2)"),
        ),
        "mean over K": Edit((SQUARED, SQUARED.replace("sum", "mean"))),
        "masked by zeroing distances": Edit(
            (MEAN_OF_OTHERS, "torch.exp(-others[..., None] * squared / 2).sum(1) / max(len(x) - 1, 1)")
        ),
        "o in front": Edit(("torch.cat([x, o], 1)", "torch.cat([o, x], 1)")),
        "features lost": Edit(("torch.cat([x, o], 1)", "o")),
        "detached kernel": Edit(("x, self.kernel)", "x, self.kernel.detach())")),
        "batch of one: 0/0": Edit(("max(len(x) - 1, 1)", "(len(x) - 1)")),
        "batch of one: compared with itself": Edit(
            (
                "others = 1 - torch.eye(len(x), dtype=x.dtype, device=x.device)",
                "others = 1 - torch.eye(len(x), dtype=x.dtype) if len(x) > 1 else torch.ones(1, 1)",
            )
        ),
        "square root, with its NaN gradient": Edit((SQUARED, "(m[:, None] - m[None]).square().sum(3).sqrt().square()")),
        "rows of the sum mixed up": Edit(
            (
                MEAN_OF_OTHERS,
                MEAN_OF_OTHERS.replace(".sum(1)", ".sum((0, 1))") + " * torch.ones(len(x), 1, dtype=x.dtype)",
            )
        ),
    },
    right={
        "expanded square, self subtracted": """
class Closeness(nn.Module):
    def __init__(self, features, kernels, size):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(features, kernels, size).normal_(0, features**-0.5))

    def forward(self, x):
        n = x.shape[0]
        if n == 1:
            return torch.cat([x, x.new_zeros(1, self.kernel.shape[1])], dim=1)
        m = torch.tensordot(x, self.kernel, dims=1).transpose(0, 1)
        length = (m**2).sum(2)
        distance = length[:, :, None] + length[:, None, :] - 2 * m @ m.transpose(1, 2)
        c = torch.exp(-0.5 * distance.clamp(min=0))
        c = c.masked_fill(torch.eye(n, dtype=torch.bool), 0)
        return torch.cat([x, (c.sum(2) / (n - 1)).T], dim=1)
""",
        "torch.cdist squared": Edit(
            (
                "(m[:, None] - m[None]).square().sum(3)",
                "torch.cdist(m.transpose(0, 1), m.transpose(0, 1)).square().permute(1, 2, 0)",
            )
        ),
        "one point at a time": """
class Closeness(nn.Module):
    def __init__(self, features, kernels, size):
        super().__init__()
        kernel = torch.randn(features, kernels, size)
        self.kernel = nn.Parameter(kernel * features**-0.5)

    def forward(self, x):
        m = (x[:, :, None, None] * self.kernel).sum(1)
        rows = []
        for i in range(len(x)):
            rest = torch.cat([m[:i], m[i + 1 :]])
            near = torch.exp(-((rest - m[i]) ** 2).sum(2) / 2)
            rows.append(near.mean(0) if len(rest) else torch.zeros_like(m[i, :, 0]))
        return torch.cat([x, torch.stack(rows)], 1)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 9

PLANES = "F.one_hot(labels, classes).to(images)[:, :, None, None]"
JOIN = "torch.cat([images, planes.expand(n, classes, h, w)], 1)"
WRONG = "(labels + torch.randint(1, classes, labels.shape)) % classes"

labels = Task(
    wrong={
        "one plane with the label's number": Edit(
            (JOIN, "torch.cat([images, labels[:, None, None, None].expand(n, 1, h, w).to(images)], 1)")
        ),
        "planes in front": Edit((JOIN, "torch.cat([planes.expand(n, classes, h, w), images], 1)")),
        "joined along the batch": Edit(
            (JOIN, "torch.cat([images, planes.expand(n, classes, h, w)[:, : images.shape[1]]], 0)")
        ),
        "wrong broadcasting: labels along the batch": Edit(
            (PLANES, "F.one_hot(labels, classes).to(images).T[:, :, None, None]")
        ),
        "wrong broadcasting: one-hot along the width": Edit(
            (PLANES, "F.one_hot(labels, classes).to(images)[:, None, None, :]")
        ),
        "integer planes, all becoming float64": Edit((JOIN, JOIN.replace("[images,", "[images.double(),"))),
        "always float32": Edit((JOIN, f"{JOIN}.float()")),
        "classes guessed from the batch": Edit(
            ("F.one_hot(labels, classes)", "F.one_hot(labels)"),
            ("planes.expand(n, classes, h, w)", "planes.expand(n, -1, h, w)"),
        ),
        "height and width swapped": Edit(("n, _, h, w = images.shape", "n, _, w, h = images.shape")),
        "one pixel instead of a plane": Edit((JOIN, "torch.cat([images, F.pad(planes, (0, w - 1, 0, h - 1))], 1)")),
        "wrong labels: from all classes": Edit((WRONG, "torch.randint(0, classes, labels.shape)")),
        "wrong labels: shuffled batch": Edit((WRONG, "labels[torch.randperm(len(labels))]")),
        "wrong labels: always the next": Edit((WRONG, "(labels + 1) % classes")),
        "wrong labels: one shift for all": Edit((WRONG, "(labels + torch.randint(1, classes, (1,))) % classes")),
        "wrong labels: no remainder": Edit((WRONG, "labels + torch.randint(1, classes, labels.shape)")),
        "wrong labels: the last is never drawn": Edit(
            (WRONG, "(labels + torch.randint(1, max(2, classes - 1), labels.shape)) % classes")
        ),
        "wrong labels: right ones moved to a neighbour": Edit(
            (
                "return " + WRONG,
                "wrong = torch.randint(0, classes, labels.shape)\n    return torch.where(wrong == labels, (labels + 1) % classes, wrong)",
            )
        ),
        "wrong labels: in place": Edit(
            (WRONG, "labels.add_(torch.randint(1, classes, labels.shape)).remainder_(classes)")
        ),
        "wrong labels: the same at every call": Edit(
            (
                WRONG,
                "(labels + torch.randint(1, classes, labels.shape, generator=torch.Generator().manual_seed(0))) % classes",
            )
        ),
    },
    right={
        "scatter, and skipping over the label": """
def with_label(images, labels, classes):
    planes = images.new_zeros(len(images), classes, *images.shape[2:])
    planes[torch.arange(len(images)), labels] = 1
    return torch.cat((images, planes), dim=1)


def wrong_labels(labels, classes):
    other = torch.randint(classes - 1, labels.shape)
    return other + (other >= labels)
""",
        "a comparison, and a draw from weights": """
def with_label(images, labels, classes):
    match = labels[:, None] == torch.arange(classes)
    return torch.cat([images, match[:, :, None, None].to(images.dtype) * torch.ones_like(images[:, :1])], 1)


def wrong_labels(labels, classes):
    weights = 1 - F.one_hot(labels, classes).float()
    return torch.multinomial(weights, 1).squeeze(1)
""",
    },
)

TASKS: dict[str, Task] = {
    "optimal-critic": optimal_critic,
    "critic-loss": critic_loss,
    "generator-slopes": generator_slopes,
    "duel": duel,
    "players": players,
    "moment-matching": moment_matching,
    "modes": modes,
    "closeness": closeness,
    "labels": labels,
}
