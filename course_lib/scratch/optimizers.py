"""Optimizers by hand, on plain tensors: what each remembers, and the lines that turn a gradient into a step.

In all of them w is a parameter, ∇ = dE/dw its gradient (what `backward` left in `w.grad`), t counts the steps from 0,
products, quotients and roots are elementwise, and v, g, d start at zero:

    SGD        w ← w − α∇                          with momentum: v ← μv − α∇,  w ← w + v
    Adagrad    g ← g + ∇²                          w ← w − α∇ / √g
    RMSProp    g ← μg + (1 − μ)∇²                  w ← w − α∇ / √g
    Adadelta   g ← μg + (1 − μ)∇²                  w ← w − ∇·√d / √g,  then d ← μd + (1 − μ)(last step)²
    Adam       v ← βv + (1 − β)∇, g as in RMSProp  w ← w − α·v̂ / √ĝ

Where a root stands in a denominator, ε keeps it from zero, and two habits exist: √g + ε (Duchi, Kingma and Ba; `torch`)
or √(g + ε) (Zeiler; the lecture's slides). `epsilon_inside_root` chooses. The two differ where g is about ε: for the
same number the inner one is far larger, since √(0 + ε) = √ε is 10⁻⁴ for ε = 10⁻⁸.

The slides divide by g[t], from before the present gradient. Its first value is zero, so the first step would be α∇/√ε,
as large as ε is small; here, as in the papers and in torch, the present gradient is counted first.

    optimizer = Adam(network.parameters(), learning_rate=1e-3)
    for step, batch in enumerate(batches):
        optimizer.learning_rate = schedule(step)
        optimizer.zero_grad()
        loss(batch).backward()
        optimizer.step()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from course_lib.errors import CourseError

RANGES: dict[str, tuple[Callable[[Any], bool], str, str]] = {  # of an option: what must hold, and how that is said
    "learning_rate": (lambda rate: rate >= 0, "The learning rate", "at least 0"),
    "momentum": (lambda mu: 0 <= mu < 1, "The momentum", "in [0, 1)"),
    "decay": (lambda mu: 0 <= mu < 1, "The decay", "in [0, 1)"),
    "betas": (
        lambda betas: len(betas) == 2 and all(0 <= beta < 1 for beta in betas),
        "The betas",
        "two numbers in [0, 1)",
    ),
    "epsilon": (lambda epsilon: epsilon > 0, "Epsilon", "above 0"),
}


class Optimizer:
    """The contract: parameters, a learning rate that may be set at any time, `zero_grad`, `step`, and a state to save.

    A rule of one's own names what it remembers in `memory` and writes `update`, which changes one parameter in place.
    `course_lib.loop` takes these optimizers as it takes torch's.

    Args:
        parameters: the tensors to train, as from `module.parameters()`; those without a gradient are left alone.
        learning_rate: α, at least 0.
        options: the rule's other numbers and switches, which become attributes.

    Raises:
        CourseError: there is no parameter, or something else than tensors that can be trained; a negative rate.
    """

    memory: tuple[str, ...] = ()  # names of the tensors kept for each parameter, of its shape, zero at first

    def __init__(self, parameters: Iterable[Tensor], *, learning_rate: float, **options: Any) -> None:
        self.parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        if not self.parameters or not all(isinstance(w, Tensor) and w.is_leaf for w in self.parameters):
            raise CourseError("An optimizer needs the tensors that it shall train; give it module.parameters().")
        if len({id(w) for w in self.parameters}) < len(self.parameters):
            raise CourseError("A parameter was given twice and would be moved twice; give each once.")
        for name, value in {"learning_rate": learning_rate, **options}.items():
            if name in RANGES:
                holds, what, wanted = RANGES[name]
                _require(holds(value), what, value, wanted)
            setattr(self, name, value)
        self.state: list[dict[str, Any]] = [{} for _ in self.parameters]

    def update(self, w: Tensor, gradient: Tensor, state: dict[str, Any]) -> None:
        """Change w in place. `state` holds what `memory` names, and "steps", how many steps w has had with this one."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for w, state in zip(self.parameters, self.state, strict=True):
            if w.grad is not None:
                if not state:  # made here, where the parameter is already on its device
                    state |= {"steps": 0, **{name: torch.zeros_like(w) for name in self.memory}}
                state["steps"] += 1
                self.update(w, w.grad, state)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        for w in self.parameters:
            if set_to_none:
                w.grad = None
            elif w.grad is not None:
                w.grad.zero_()

    @property
    def param_groups(self) -> list[dict[str, list[Tensor]]]:
        """The parameters as torch's tools ask for them; to change the rate, set `learning_rate`."""
        return [{"params": self.parameters}]

    def state_dict(self) -> dict[str, Any]:
        """The rule's name, its numbers, and copies of what it remembers; `torch.load(weights_only=True)` reads it."""
        options = {name: value for name, value in vars(self).items() if name not in ("parameters", "state")}
        state = [{k: v.clone() if isinstance(v, Tensor) else v for k, v in one.items()} for one in self.state]
        return {"rule": type(self).__name__, "options": options, "state": state}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Put back what `state_dict` gave, on the parameters' own devices.

        Raises:
            CourseError: it belongs to another rule, or to parameters of other shapes.
        """
        if saved["rule"] != type(self).__name__:
            raise CourseError(f"This is the state of {saved['rule']}, not of {type(self).__name__}; load it there.")
        shapes = [{v.shape for v in one.values() if isinstance(v, Tensor)} for one in saved["state"]]
        if len(shapes) != len(self.parameters) or any(
            found - {w.shape} for found, w in zip(shapes, self.parameters, strict=True)
        ):
            raise CourseError("The saved state is of parameters of other shapes; build the network as it was saved.")
        vars(self).update(saved["options"])
        self.state = [
            {k: v.to(w, copy=True) if isinstance(v, Tensor) else v for k, v in one.items()}
            for one, w in zip(saved["state"], self.parameters, strict=True)
        ]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and with Nesterov's gradient from further ahead.

        v[t+1] = μ v[t] − α[t] ∇(E, w[t])        w[t+1] = w[t] + v[t+1]

    With constant α this is v[t+1] = −α Σᵢ μⁱ ∇(E, w[t−i]): gradients in an exponential window about 1/(1 − μ) long.

    `nesterov` takes the gradient at u[t] = w[t] + μ v[t], where momentum alone would go. A gradient can only be had
    where the parameters are, so the parameters are u, and the same two lines read

        v[t+1] = μ v[t] − α[t] ∇(E, u[t])        u[t+1] = u[t] + μ v[t+1] − α[t] ∇(E, u[t])

    (the same idea is in Bengio, Boulanger-Lewandowski and Pascanu 2013, arXiv:1212.0901); `behind` gives w.

    Args:
        parameters: the tensors to train.
        learning_rate: α.
        momentum: μ in [0, 1); the slides' usual value is 0.9.
        nesterov: look ahead.
        rate_in_velocity: True is the rule above, in which a step already taken keeps the rate that it was taken with.
            False is torch's: v[t+1] = μ v[t] + ∇, w[t+1] = w[t] − α[t] v[t+1], in which a new rate also scales the old
            steps. They agree while α does not change.

    Raises:
        CourseError: a number out of its range, or `nesterov` without momentum.

    Polyak 1964; Sutskever, Martens, Dahl and Hinton 2013, eqs. 1-2 (momentum) and 3-4 (Nesterov).
    """

    memory = ("v",)

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        learning_rate: float = 1e-2,
        momentum: float = 0.0,
        nesterov: bool = False,
        rate_in_velocity: bool = True,
    ) -> None:
        options = {"momentum": momentum, "nesterov": nesterov, "rate_in_velocity": rate_in_velocity}
        super().__init__(parameters, learning_rate=learning_rate, **options)
        if nesterov and not momentum:
            raise CourseError("Without momentum there is nothing ahead to look at; give nesterov a momentum above 0.")

    def update(self, w: Tensor, gradient: Tensor, state: dict[str, Any]) -> None:
        mu, alpha = self.momentum, self.learning_rate
        inside, outside = (alpha, 1) if self.rate_in_velocity else (1, alpha)
        state["v"] = v = mu * state["v"] - inside * gradient
        w += outside * (mu * v - inside * gradient if self.nesterov else v)

    @torch.no_grad()
    def behind(self) -> list[Tensor]:
        """The slides' w of Nesterov's method, w = u − μv, one tensor for each parameter; without it the parameters."""
        scale = self.momentum * self.nesterov * (1 if self.rate_in_velocity else self.learning_rate)
        return [w - scale * state.get("v", 0) for w, state in zip(self.parameters, self.state, strict=True)]


class Adagrad(Optimizer):
    """A rate for every coordinate, that falls with the gradients seen there.

        g[t+1] = g[t] + ∇²        w[t+1] = w[t] − α ∇ / (√g[t+1] + ε)

    α has the units of w, whatever those of E: multiply E by any factor and the path is the same, but for ε.

    Args:
        parameters: the tensors to train.
        learning_rate: α.
        epsilon: ε, above 0 (a coordinate without gradient would be 0/0).
        epsilon_inside_root: √(g + ε), the slides', in place of √g + ε, the paper's δ and torch's.

    Duchi, Hazan and Singer 2011, Adaptive Subgradient Methods, figure 1 (with a diagonal matrix).
    """

    memory = ("g",)

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        learning_rate: float = 1e-2,
        epsilon: float = 1e-10,
        epsilon_inside_root: bool = False,
    ) -> None:
        options = {"epsilon": epsilon, "epsilon_inside_root": epsilon_inside_root}
        super().__init__(parameters, learning_rate=learning_rate, **options)

    def update(self, w: Tensor, gradient: Tensor, state: dict[str, Any]) -> None:
        state["g"] = g = state["g"] + gradient**2
        w -= self.learning_rate / root(g, self.epsilon, self.epsilon_inside_root) * gradient


class RMSProp(Optimizer):
    """Adagrad with an exponential window in place of the sum, so that old gradients are forgotten.

        g[t+1] = μ g[t] + (1 − μ) ∇²        w[t+1] = w[t] − α ∇ / (√g[t+1] + ε)

    The window is not corrected for its empty start: the first step is about α / √(1 − μ) long, 3α for μ = 0.9.

    Args:
        parameters: the tensors to train.
        learning_rate: α, in the units of w.
        decay: μ in [0, 1): Hinton's 0.9; torch's default is 0.99.
        epsilon: ε, above 0.
        epsilon_inside_root: √(g + ε), the slides', in place of √g + ε, torch's.

    Tieleman and Hinton 2012, Neural Networks for Machine Learning, lecture 6.5 (not a paper, and without ε).
    """

    memory = ("g",)

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        learning_rate: float = 1e-3,
        decay: float = 0.9,
        epsilon: float = 1e-8,
        epsilon_inside_root: bool = False,
    ) -> None:
        options = {"decay": decay, "epsilon": epsilon, "epsilon_inside_root": epsilon_inside_root}
        super().__init__(parameters, learning_rate=learning_rate, **options)

    def update(self, w: Tensor, gradient: Tensor, state: dict[str, Any]) -> None:
        mu, alpha = self.decay, self.learning_rate
        state["g"] = g = mu * state["g"] + (1 - mu) * gradient**2
        w -= alpha / root(g, self.epsilon, self.epsilon_inside_root) * gradient


class Adadelta(Optimizer):
    """Steps as long as the recent steps were, so that no rate has to be chosen.

        g[t+1] = μ g[t] + (1 − μ) ∇²
        s      = ∇ √(d[t] + ε) / √(g[t+1] + ε)        w[t+1] = w[t] − α s,  α = 1 in the paper
        d[t+1] = μ d[t] + (1 − μ) s²

    Units. Let w be in metres and E in joules; then ∇ is in J/m. A step must be in metres:

        SGD                      α∇       α must be in m²/J: a new unit of w or of E needs a new rate
        Adagrad, RMSProp, Adam   α∇/√g    ∇/√g is a pure number; α must be in m
        Adadelta                 ∇√d/√g   m · (J/m) / (J/m) = m: right, with α a pure number
        Newton                   ∇/E″     (J/m) / (J/m²) = m: right; √d/√g stands where 1/E″ does (the paper's eq. 13)

    So the path does not depend on the unit of E. It does depend a little on that of w, through ε: under the upper root
    ε is in m², and d starts at zero, so √ε sets the length of the first steps.

    Args:
        parameters: the tensors to train.
        learning_rate: α, a pure number.
        decay: μ in [0, 1), the paper's ρ.
        epsilon: ε, above 0: with ε = 0 nothing would ever move.
        epsilon_inside_root: False is the second form of the slides, (√d + ε) / (√g + ε).

    Zeiler 2012, ADADELTA, arXiv:1212.5701, algorithm 1 and eqs. 8-9 and 14; torch's rule is the same (with ρ = 0.9).
    """

    memory = ("g", "d")

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        learning_rate: float = 1.0,
        decay: float = 0.95,
        epsilon: float = 1e-6,
        epsilon_inside_root: bool = True,
    ) -> None:
        options = {"decay": decay, "epsilon": epsilon, "epsilon_inside_root": epsilon_inside_root}
        super().__init__(parameters, learning_rate=learning_rate, **options)

    def update(self, w: Tensor, gradient: Tensor, state: dict[str, Any]) -> None:
        mu, d = self.decay, state["d"]
        state["g"] = g = mu * state["g"] + (1 - mu) * gradient**2
        inside = self.epsilon_inside_root
        s = root(d, self.epsilon, inside) / root(g, self.epsilon, inside) * gradient
        w -= self.learning_rate * s
        state["d"] = mu * d + (1 - mu) * s**2


class Adam(Optimizer):
    """Momentum and RMSProp at once: windows over the gradient (v) and over its square (g).

        v[t+1] = β v[t] + (1 − β) ∇        g[t+1] = μ g[t] + (1 − μ) ∇²
        v̂ = v[t+1] / (1 − βᵗ⁺¹)            ĝ = g[t+1] / (1 − μᵗ⁺¹)            w[t+1] = w[t] − α v̂ / (√ĝ + ε)

    Both windows start empty, so early v and g are too small, by the shares 1 − βᵗ⁺¹ and 1 − μᵗ⁺¹; v̂ and ĝ put that
    right. The first step is then α in every coordinate, with the gradient's sign.

    The slides correct nothing: they have α (1 − β)/(1 − μ) · v / √(g + ε), in which the fraction is a constant, 100 for
    the usual windows. To have their rule, set `bias_correction=False`, `epsilon_inside_root=True` and the rate to
    α (1 − β)/(1 − μ).

    Args:
        parameters: the tensors to train.
        learning_rate: α, in the units of w; no coordinate moves by much more in one step.
        betas: (β, μ), each in [0, 1); the paper's β₁ and β₂.
        epsilon: ε, above 0.
        bias_correction: use v̂ and ĝ (the paper and torch), else v and g.
        epsilon_inside_root: √(ĝ + ε), the slides', in place of √ĝ + ε, the paper's and torch's.

    Kingma and Ba 2015, Adam, arXiv:1412.6980, algorithm 1; the correction is derived in section 3, eqs. 1-4.
    """

    memory = ("v", "g")

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        bias_correction: bool = True,
        epsilon_inside_root: bool = False,
    ) -> None:
        options = {"bias_correction": bias_correction, "epsilon_inside_root": epsilon_inside_root}
        super().__init__(parameters, learning_rate=learning_rate, betas=tuple(betas), epsilon=epsilon, **options)

    def update(self, w: Tensor, gradient: Tensor, state: dict[str, Any]) -> None:
        (beta, mu), t = self.betas, state["steps"]
        state["v"] = v = beta * state["v"] + (1 - beta) * gradient
        state["g"] = g = mu * state["g"] + (1 - mu) * gradient**2
        if self.bias_correction:
            v, g = v / (1 - beta**t), g / (1 - mu**t)
        w -= self.learning_rate / root(g, self.epsilon, self.epsilon_inside_root) * v


def root(g: Tensor, epsilon: float, inside: bool) -> Tensor:
    """√(g + ε) if `inside`, else √g + ε; g is at least 0, any shape."""
    return (g + epsilon).sqrt() if inside else g.sqrt() + epsilon


Schedule = Callable[[int], float]
"""A learning rate for every step: `optimizer.learning_rate = schedule(step)`, steps counted from 0."""


def constant(rate: float) -> Schedule:
    """α[t] = rate.

    On a noisy gradient the error falls to a floor that grows with the rate, and stays there.

    Raises:
        CourseError: a negative rate.
    """
    _require(rate >= 0, "The learning rate", rate, "at least 0")
    return lambda step: rate


def piecewise(rate: float, *, every: int, factor: float = 10.0) -> Schedule:
    """α[t] = rate / factor^⌊t / every⌋: the rate falls by `factor` after each `every` steps.

    Raises:
        CourseError: a negative rate, or `every` below 1, or `factor` not above 0.
    """
    _require(rate >= 0, "The learning rate", rate, "at least 0")
    _require(every >= 1, "The number of steps of a piece", every, "at least 1")
    _require(factor > 0, "The factor", factor, "above 0")
    return lambda step: rate / factor ** (step // every)


def harmonic(rate: float, *, every: int = 1, offset: float = 10.0) -> Schedule:
    """α[t] = rate / (⌊t / every⌋ + offset): the sum of the rates has no limit, and that of their squares has one.

    That is enough to get anywhere, and for the noise to die out on the way (Robbins and Monro 1951).
    It starts at rate / offset: the slides' 0.001 / (⌊t/N⌋ + 10) starts at 0.0001.

    Raises:
        CourseError: a negative rate, or `every` below 1, or `offset` not above 0.
    """
    _require(rate >= 0, "The learning rate", rate, "at least 0")
    _require(every >= 1, "The number of steps of a piece", every, "at least 1")
    _require(offset > 0, "The offset", offset, "above 0")
    return lambda step: rate / (step // every + offset)


def _require(holds: bool, what: str, value: Any, wanted: str) -> None:
    if not holds:
        raise CourseError(f"{what} must be {wanted}, not {value}.")
