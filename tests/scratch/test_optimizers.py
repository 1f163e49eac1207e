"""Our optimizers against torch's, step by step, against the slides' recursions written out, and what they promise."""

import copy

import pytest
import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.loop import descend, load_system_state, system_state
from course_lib.scratch.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Optimizer,
    RMSProp,
    constant,
    harmonic,
    piecewise,
)

CLOSE = 1e-10
PAIRS = {
    "SGD": (lambda p: SGD(p, learning_rate=0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
    "momentum": (
        lambda p: SGD(p, learning_rate=0.05, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    ),
    "momentum, rate outside": (
        lambda p: SGD(p, learning_rate=0.05, momentum=0.9, rate_in_velocity=False),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    ),
    "Nesterov": (
        lambda p: SGD(p, learning_rate=0.05, momentum=0.8, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True),
    ),
    "Nesterov, rate outside": (
        lambda p: SGD(p, learning_rate=0.05, momentum=0.8, nesterov=True, rate_in_velocity=False),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True),
    ),
    "Adagrad": (lambda p: Adagrad(p, learning_rate=0.1), lambda p: torch.optim.Adagrad(p, lr=0.1, eps=1e-10)),
    "RMSProp": (
        lambda p: RMSProp(p, learning_rate=0.01),
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-8),
    ),
    "Adadelta": (Adadelta, lambda p: torch.optim.Adadelta(p, lr=1.0, rho=0.95, eps=1e-6)),
    "Adadelta, rate 0.5": (
        lambda p: Adadelta(p, learning_rate=0.5, decay=0.9),
        lambda p: torch.optim.Adadelta(p, lr=0.5, rho=0.9, eps=1e-6),
    ),
    "Adam": (lambda p: Adam(p, learning_rate=0.01), lambda p: torch.optim.Adam(p, lr=0.01)),
    "Adam, short windows": (
        lambda p: Adam(p, learning_rate=0.02, betas=(0.5, 0.9), epsilon=1e-3),
        lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.5, 0.9), eps=1e-3),
    ),
}
RULES = {name: ours for name, (ours, _) in PAIRS.items()}
ALL_FORMS = RULES | {
    "Adagrad, inside": lambda p: Adagrad(p, epsilon_inside_root=True),
    "RMSProp, inside": lambda p: RMSProp(p, epsilon_inside_root=True),
    "Adadelta, outside": lambda p: Adadelta(p, epsilon_inside_root=False),
    "Adam, slides": lambda p: Adam(p, bias_correction=False, epsilon_inside_root=True),
}


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def batches(n, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 6, 4, generator=generator, dtype=torch.float64)


def train(net, optimizer, data, after=lambda t: None):
    """The parameters after every step, (T, P)."""
    path = []
    for t, batch in enumerate(data):
        optimizer.zero_grad()
        (net(batch[:, :3]) - batch[:, 3:]).square().mean().backward()
        optimizer.step()
        after(t)
        path.append(nn.utils.parameters_to_vector(net.parameters()).detach().clone())
    return torch.stack(path)


@pytest.mark.parametrize("name", PAIRS)
def test_equals_torch_step_by_step(name):
    ours, theirs = PAIRS[name]
    a, b = network(), network()
    one = train(a, ours(a.parameters()), batches(60))
    other = train(b, theirs(b.parameters()), batches(60))
    assert (one - other).abs().max() <= CLOSE
    assert (one[-1] - one[0]).abs().max() > 1e-3, "nothing moved, so nothing was compared"


@pytest.mark.parametrize("name", [name for name in PAIRS if name not in ("momentum", "Nesterov")])
def test_equals_torch_under_a_schedule(name):
    ours, theirs = PAIRS[name]
    schedule = piecewise(0.08, every=7, factor=2)
    a, b = network(), network()
    mine, torchs = ours(a.parameters()), theirs(b.parameters())
    one = train(a, mine, batches(30), lambda t: setattr(mine, "learning_rate", schedule(t)))
    other = train(b, torchs, batches(30), lambda t: torchs.param_groups[0].update(lr=schedule(t)))
    assert (one - other).abs().max() <= CLOSE


def test_the_two_places_of_the_rate_differ_under_a_schedule():
    """Catches: rate_in_velocity ignored."""
    paths = []
    for inside in (True, False):
        net = network()
        optimizer = SGD(net.parameters(), learning_rate=0.05, momentum=0.9, rate_in_velocity=inside)
        paths.append(
            train(net, optimizer, batches(9), lambda t, o=optimizer: setattr(o, "learning_rate", 0.05 / (t + 2)))
        )
    assert (paths[0][:2] - paths[1][:2]).abs().max() > 1e-4


def gradient_of(w):
    """Of E = Σ (cosh wᵢ − 1) · i, elementwise."""
    return w.sinh() * torch.arange(1, len(w) + 1, dtype=torch.float64)


def ours_on_cosh(make, steps, where=lambda optimizer: optimizer.parameters[0]):
    w = torch.tensor([0.7, -1.2, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer, path = make([w]), []
    for t in range(steps):
        w.grad = gradient_of(w.detach())
        optimizer.learning_rate = 0.05 / (1 + t // 5)
        optimizer.step()
        path.append(where(optimizer).detach().clone())
    return torch.stack(path)


def slide(rule, steps):
    """The slides' recursions, written out; `rule(w, rate, memory)` gives the new w."""
    w, memory, path = torch.tensor([0.7, -1.2, 2.0], dtype=torch.float64), {"v": 0.0, "g": 0.0, "d": 0.0}, []
    for t in range(steps):
        w = rule(w, 0.05 / (1 + t // 5), memory)
        path.append(w)
    return torch.stack(path)


def test_momentum_is_the_slides():
    def rule(w, rate, m):
        m["v"] = 0.9 * m["v"] - rate * gradient_of(w)
        return w + m["v"]

    ours = ours_on_cosh(lambda p: SGD(p, momentum=0.9), 40)
    torch.testing.assert_close(ours, slide(rule, 40), rtol=0, atol=1e-12)


def test_nesterov_is_the_slides_seen_from_ahead():
    """The gradient is taken at w + μv; our parameters are that point, and `behind` is the slides' w."""

    def rule(w, rate, m):
        m["v"] = 0.8 * m["v"] - rate * gradient_of(w + 0.8 * m["v"])
        return w + m["v"]

    def make(p):
        return SGD(p, momentum=0.8, nesterov=True)

    ours = ours_on_cosh(make, 40, where=lambda optimizer: optimizer.behind()[0])
    torch.testing.assert_close(ours, slide(rule, 40), rtol=0, atol=1e-12)
    assert (ours_on_cosh(make, 5) - ours[:5]).abs().max() > 0.01


def test_behind_with_the_rate_outside():
    """At a constant rate both places of the rate have the same w behind."""
    behind = []
    for inside in (True, False):
        w = torch.ones(2, dtype=torch.float64, requires_grad=True)
        optimizer = SGD([w], learning_rate=0.1, momentum=0.5, nesterov=True, rate_in_velocity=inside)
        assert torch.equal(optimizer.behind()[0], w), "before the first step"
        for _ in range(3):
            w.grad = gradient_of(w.detach())
            optimizer.step()
        behind.append(optimizer.behind()[0])
    torch.testing.assert_close(*behind, rtol=0, atol=1e-12)
    assert (behind[0] - w.detach()).abs().min() > 1e-3


@pytest.mark.parametrize("rule_name", ["Adagrad", "RMSProp", "Adam", "Adadelta"])
@pytest.mark.parametrize("inside", [True, False])
def test_the_slides_forms(rule_name, inside):
    epsilon = 1e-2  # large, so that its place shows

    def root(g):
        return (g + epsilon) ** 0.5 if inside else g**0.5 + epsilon

    def rule(w, rate, m):
        gradient = gradient_of(w)
        m["v"] = 0.9 * m["v"] + 0.1 * gradient
        m["g"] = m["g"] + gradient**2 if rule_name == "Adagrad" else 0.99 * m["g"] + 0.01 * gradient**2
        if rule_name == "Adam":  # the slides': a constant in place of the correction
            return w - rate * m["v"] / root(m["g"])
        if rule_name == "Adadelta":
            new = w - rate * root(torch.as_tensor(m["d"], dtype=torch.float64)) / root(m["g"]) * gradient
            m["d"] = 0.99 * m["d"] + 0.01 * ((new - w) / rate) ** 2
            return new
        return w - rate / root(m["g"]) * gradient

    makes = {
        "Adagrad": lambda p: Adagrad(p, epsilon=epsilon, epsilon_inside_root=inside),
        "RMSProp": lambda p: RMSProp(p, decay=0.99, epsilon=epsilon, epsilon_inside_root=inside),
        "Adadelta": lambda p: Adadelta(p, decay=0.99, epsilon=epsilon, epsilon_inside_root=inside),
        "Adam": lambda p: Adam(
            p, betas=(0.9, 0.99), epsilon=epsilon, bias_correction=False, epsilon_inside_root=inside
        ),
    }
    torch.testing.assert_close(ours_on_cosh(makes[rule_name], 30), slide(rule, 30), rtol=0, atol=1e-12)


def one_step(make, gradient):
    w = torch.zeros(len(gradient), dtype=torch.float64, requires_grad=True)
    w.grad = torch.tensor(gradient, dtype=torch.float64)
    make([w]).step()
    return w.detach()


def test_first_steps():
    gradient = [4.0, -1e-3, 0.0]
    adam = one_step(lambda p: Adam(p, learning_rate=0.1, epsilon=1e-12), gradient)
    torch.testing.assert_close(adam, torch.tensor([-0.1, 0.1, 0.0], dtype=torch.float64), rtol=0, atol=1e-6)
    plain = one_step(lambda p: Adam(p, learning_rate=0.1, epsilon=1e-12, bias_correction=False), gradient)
    torch.testing.assert_close(plain[0].item(), -0.1 * 0.1 / 0.001**0.5)  # about three times too long
    rms = one_step(lambda p: RMSProp(p, learning_rate=0.1, epsilon=1e-12), gradient)
    torch.testing.assert_close(rms[0].item(), -0.1 / 0.1**0.5)
    delta = one_step(Adadelta, gradient)
    torch.testing.assert_close(delta[0].item(), -((1e-6 / (0.05 * 16 + 1e-6)) ** 0.5 * 4))


def test_the_unit_of_the_loss():
    """E × 1000 bends no path of the rules that divide by √g, and throws SGD far away."""

    def end(make, factor):
        w = torch.tensor([0.7, -1.2, 2.0], dtype=torch.float64, requires_grad=True)
        optimizer = make([w])
        for _ in range(50):
            w.grad = factor * gradient_of(w.detach()).clamp(-50, 50)
            optimizer.step()
        return w.detach()

    for make in (
        Adadelta,
        lambda p: Adam(p, learning_rate=0.01),
        lambda p: Adagrad(p, learning_rate=0.1),
        lambda p: RMSProp(p, learning_rate=0.01),
    ):
        assert (end(make, 1) - end(make, 1000)).abs().max() < 1e-4
    assert (
        end(lambda p: SGD(p, learning_rate=0.01), 1) - end(lambda p: SGD(p, learning_rate=0.01), 1000)
    ).abs().max() > 1


def test_the_unit_of_the_parameters():
    """w in decimetres: Adadelta finds the same path once ε is in square decimetres; Adam takes metres for them."""

    def end(make, unit):
        w = (unit * torch.tensor([0.7, -1.2, 2.0], dtype=torch.float64)).requires_grad_()
        optimizer = make([w])
        for _ in range(50):
            w.grad = gradient_of(w.detach() / unit) / unit
            optimizer.step()
        return w.detach() / unit

    # below, ε is under the root of g too, where it does not count, as long as g is far larger
    metres = end(lambda p: Adadelta(p, epsilon=1e-9), 1)
    decimetres = end(lambda p: Adadelta(p, epsilon=1e-9 * 100), 10)
    assert (metres - decimetres).abs().max() < 5e-6
    assert (metres - end(lambda p: Adadelta(p, epsilon=1e-9), 10)).abs().max() > 1e-4  # what the docstring admits
    adam = [end(lambda p: Adam(p, learning_rate=0.01), unit) for unit in (1, 10)]
    assert (adam[0] - adam[1]).abs().max() > 0.1


@pytest.mark.parametrize("name", ALL_FORMS)
def test_goes_on_from_a_saved_state_as_if_nothing_had_happened(name, tmp_path):
    make, data = ALL_FORMS[name], batches(20)
    net = network()
    optimizer = make(net.parameters())
    train(net, optimizer, data[:10])
    torch.save(optimizer.state_dict(), tmp_path / "state")
    other = copy.deepcopy(net)
    straight = train(net, optimizer, data[10:])
    again = make(other.parameters())
    again.learning_rate = 7.0  # what was saved counts
    again.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert torch.equal(train(other, again, data[10:]), straight)


def test_a_saved_state_is_a_copy_both_ways():
    """Also for a rule that changes its memory in place."""

    class InPlace(Optimizer):
        memory = ("v",)

        def update(self, w, gradient, state):
            state["v"] += gradient

    w = torch.ones(2, requires_grad=True)
    w.grad = torch.ones(2)
    optimizer = InPlace([w], learning_rate=0.1)
    optimizer.step()
    saved = optimizer.state_dict()
    optimizer.step()
    assert saved["state"][0]["v"].tolist() == [1.0, 1.0]
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert saved["state"][0]["v"].tolist() == [1.0, 1.0]
    assert optimizer.state[0]["v"].tolist() == [2.0, 2.0]


def test_a_system_of_the_course_can_hold_one():
    class System:
        def __init__(self):
            self.net = network()
            self.optimizer = Adam(self.net.parameters(), learning_rate=0.01)

        def step(self, batch):
            return {"loss": descend(self.optimizer, (self.net(batch[:, :3]) - batch[:, 3:]).square().mean(), clip=1.0)}

    one, other, data = System(), System(), batches(8)
    for batch in data[:4]:
        one.step(batch)
    load_system_state(other, system_state(one))
    for batch in data[4:]:
        assert torch.equal(one.step(batch)["loss"], other.step(batch)["loss"])


@pytest.mark.parametrize("name", ALL_FORMS)
def test_parameters_without_gradient_are_left_alone(name):
    used, unused = (torch.ones(3, requires_grad=True) for _ in range(2))
    optimizer = ALL_FORMS[name]([used, unused])
    for _ in range(2):
        used.grad = torch.tensor([1.0, -1.0, 0.0])
        optimizer.step()
    assert torch.equal(unused, torch.ones(3))
    assert used[2] == 1, "a gradient of zero moves nothing, and makes no NaN"
    assert (used[0] < 1) and (used[1] > 1)
    assert used.dtype == torch.float32 and used.requires_grad
    assert torch.equal(used.grad, torch.tensor([1.0, -1.0, 0.0])), "the gradient is left as it was"


def test_steps_are_counted_for_each_parameter():
    """Catches: one count for all, with which a parameter that comes later is corrected for a past it has not."""
    late = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    early = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = Adam([early, late], learning_rate=0.1, epsilon=1e-12)
    for t in range(5):
        early.grad = torch.ones(1, dtype=torch.float64)
        late.grad = torch.ones(1, dtype=torch.float64) if t == 4 else None
        optimizer.step()
    assert late.item() == pytest.approx(-0.1)


def test_zero_grad():
    w = torch.ones(2, requires_grad=True)
    optimizer = SGD([w])
    w.grad = torch.ones(2)
    optimizer.zero_grad(set_to_none=False)
    assert torch.equal(w.grad, torch.zeros(2))
    optimizer.zero_grad()
    assert w.grad is None


def test_schedules():
    assert [constant(0.3)(t) for t in (0, 5, 10**6)] == [0.3] * 3
    falls = piecewise(1.0, every=3)
    assert [falls(t) for t in range(7)] == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])
    slides = harmonic(0.001, every=4)
    assert [slides(t) for t in (0, 3, 4, 8)] == pytest.approx([1e-4, 1e-4, 1e-3 / 11, 1e-3 / 12])
    assert sum(harmonic(1.0, offset=1)(t) for t in range(10_000)) == pytest.approx(9.7876, abs=1e-3)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda w: SGD([]), "module.parameters"),
        (lambda w: SGD([("weight", w)]), "module.parameters"),
        (lambda w: SGD([w * 2]), "module.parameters"),
        (lambda w: SGD([w, w]), "twice"),
        (lambda w: SGD([w], learning_rate=-1), "learning rate"),
        (lambda w: SGD([w], momentum=1.0), "momentum"),
        (lambda w: SGD([w], nesterov=True), "nesterov"),
        (lambda w: Adagrad([w], epsilon=0.0), "Epsilon"),
        (lambda w: RMSProp([w], decay=1.0), "decay"),
        (lambda w: Adadelta([w], decay=-0.1), "decay"),
        (lambda w: Adam([w], betas=(0.9, 1.0)), "betas"),
        (lambda w: Adam([w]).load_state_dict(SGD([w]).state_dict()), "state of SGD"),
        (lambda w: SGD([w]).load_state_dict(SGD([w, w.detach().clone()]).state_dict()), "other shapes"),
        (lambda w: piecewise(1.0, every=0), "steps of a piece"),
        (lambda w: piecewise(1.0, every=2, factor=0), "factor"),
        (lambda w: harmonic(1.0, offset=0), "offset"),
        (lambda w: constant(-1), "learning rate"),
    ],
)
def test_says_what_is_wrong(act, words):
    with pytest.raises(CourseError, match=words):
        act(torch.ones(2, requires_grad=True))


def test_another_shape_of_the_same_number_is_refused():
    one, other = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    first = SGD([one], momentum=0.9)
    one.grad = torch.ones(2)
    first.step()
    with pytest.raises(CourseError, match="other shapes"):
        SGD([other], momentum=0.9).load_state_dict(first.state_dict())


def test_a_rule_of_ones_own():
    class Sign(Optimizer):
        def update(self, w, gradient, state):
            w -= self.learning_rate * gradient.sign()

    assert one_step(lambda p: Sign(p, learning_rate=0.5), [3.0, -2.0, 0.0]).tolist() == [-0.5, 0.5, 0.0]


@pytest.mark.cuda
@pytest.mark.parametrize("name", ALL_FORMS)
def test_on_a_gpu(name, tmp_path):
    """The same path as on the CPU, without waiting for the device, and a saved state can change devices."""
    path = []
    for device in ("cpu", "cuda"):
        net = network()
        optimizer = ALL_FORMS[name](net.parameters())
        net.to(device)
        path.append(train(net, optimizer, batches(10).to(device)).cpu())
    torch.testing.assert_close(*path, rtol=0, atol=1e-9)
    torch.cuda.set_sync_debug_mode("error")
    try:
        optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    back = ALL_FORMS[name](network().parameters())
    back.load_state_dict(optimizer.state_dict())
    assert all(v.device.type == "cpu" for v in back.state[0].values() if isinstance(v, torch.Tensor))
