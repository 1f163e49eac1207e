"""What every system keeps: finite metrics, the right parameters move, a saved state continues bit by bit.

A new system joins by one line in SYSTEMS: how to build it, how to make a batch for a phase, and for each phase which
parts move (all other parts stay bitwise equal).
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from course_lib.data import ring
from course_lib.device import rng_state, set_rng_state, to_device
from course_lib.loop import load_system_state, system_state
from course_lib.losses.games import saturating, smoothed
from course_lib.nets.autoencoder import Autoencoder
from course_lib.nets.descriptors import RandomFilters
from course_lib.nets.mlp import Critic, Generator
from course_lib.nets.side_by_side import SideBySide
from course_lib.nets.texture_generator import TextureGenerator
from course_lib.systems.adagan import AdaGAN
from course_lib.systems.bilinear import BilinearGame
from course_lib.systems.gan import GAN
from course_lib.systems.gmmn import GMMN
from course_lib.systems.inversion import PreImage
from course_lib.systems.mad_gan import MADGAN
from course_lib.systems.texture import Likeness, TextureNetwork, TexturePreImage

POINTS, LABELS = ring(8).sample(256, generator=torch.Generator().manual_seed(0))


def points(i: int) -> tuple[Tensor, Tensor]:
    """The i-th batch of 16 points and labels."""
    rows = torch.arange(16) + 16 * (i % 16)
    return POINTS[rows], LABELS[rows]


def rows(i: int) -> tuple[Tensor, Tensor]:
    """The i-th batch of 16 points and their rows."""
    index = torch.arange(16) + 16 * (i % 16)
    return POINTS[index], index


def gan(generator: dict[str, Any] | None = None, critic: dict[str, Any] | None = None, **options: Any) -> Callable:
    def build(device: str) -> GAN:
        return GAN(
            generator=Generator(4, [8], (2,), **(generator or {})),
            critic=Critic((2,), [8], **(critic or {})),
            noise_size=4,
            device=device,
            **options,
        )

    return build


def several_seeds(device: str) -> GAN:
    generators, critics = [Generator(4, [8], (2,)) for _ in range(4)], [Critic((2,), [8]) for _ in range(4)]
    return GAN(generator=SideBySide(generators), critic=SideBySide(critics), noise_size=4, device=device)


def mad_gan(device: str) -> MADGAN:
    generators = [Generator(4, [8], (2,)) for _ in range(3)]
    return MADGAN(generators=generators, critic=Critic((2,), [8], outputs=4), noise_size=4, device=device)


def adagan(device: str) -> AdaGAN:
    components = [gan()(device) for _ in range(2)]
    boost = AdaGAN(components=components, arbiter=Critic((2,), [8]), data=POINTS, device=device)
    boost.advance()  # so that the second component is the current one
    return boost


def bilinear(order: str) -> Callable:
    def build(device: str) -> BilinearGame:
        return BilinearGame(order=order)  # on the CPU wherever the rest is: it has no network

    return build


def pre_image(layer: str, **options: Any) -> Callable:
    def build(device: str) -> PreImage:
        layers = torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.Tanh(), torch.nn.MaxPool2d(2), torch.nn.Flatten()
        net, images = torch.nn.Sequential(*layers, torch.nn.Linear(36, 5)), torch.rand(3, 1, 6, 6) * 2 - 1
        return PreImage(net=net, layer=layer, images=images, device=device, **options)  # no batch: it knows its images

    return build


def texture(system: str, content: int = 0, **options: Any) -> Callable:
    def build(device: str) -> TexturePreImage | TextureNetwork:
        seeded = torch.Generator().manual_seed(0)
        look = torch.rand(1, 3, 12, 12, generator=seeded).to(device) * 2 - 1
        filters = RandomFilters(filters=4, size=3, levels=2, generator=seeded).to(device)
        likeness = Likeness(filters, look, content_weight=float(content > 0))
        if system == "pre-image":
            start = torch.rand(2, 3, 8, 8) * 2 - 1
            return TexturePreImage(likeness=likeness, start=start, content=start if content else None, device=device)
        generator = TextureGenerator(scales=2, channels=4, content=content)
        return TextureNetwork(generator=generator, likeness=likeness, batch=2, size=8, device=device, **options)

    return build


def gmmn(codes: bool = False) -> Callable:
    def build(device: str) -> GMMN:
        generator = Generator(4, [8], (4,) if codes else (2,))
        autoencoder = Autoencoder((2,), [8], 4, bounded=False) if codes else None
        return GMMN(generator=generator, noise_size=4, bandwidths=(0.5, 2.0), autoencoder=autoencoder, device=device)

    return build


def photographs(i: int) -> tuple[Tensor]:
    """The i-th batch of two small colour images."""
    return (torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(i)) * 2 - 1,)


@dataclass
class Case:
    build: Callable[[str], Any]  # device -> system
    moves: dict[str, set[str]]  # phase -> attributes (dotted, as in system_state) whose values change
    batch: Callable[[int], tuple[Tensor, ...]] = points
    phases: dict[str, Callable[[Any, Any], Any]] = field(default_factory=dict)  # phases that do not take a batch


GAN_MOVES = {
    "step": {"generator", "critic"},
    "critic_step": {"critic"},
    "generator_step": {"generator"},
}
GAN_PHASES = {
    "critic_step": lambda gan, batch: gan.critic_step(batch[0], batch[1]),
    "generator_step": lambda gan, batch: gan.generator_step(len(batch[0]), batch[1], real=batch[0]),
}
# the first step of L-BFGS looks at where it starts, and moves from the second on
TEXTURE_MOVES = {f"search.{name}" for name in ("value", "gradient", "direction", "slope")}
LABELLED = {"generator": {"classes": 8}, "critic": {"classes": 8}, "conditional": True}

SYSTEMS: dict[str, Case] = {
    "GAN": Case(gan(), GAN_MOVES, phases=GAN_PHASES),
    "GAN, saturating": Case(gan(game=saturating), GAN_MOVES, phases=GAN_PHASES),
    "GAN, smoothed": Case(gan(game=smoothed(saturating)), GAN_MOVES, phases=GAN_PHASES),
    "GAN, three critic steps": Case(gan(critic_steps=3), GAN_MOVES, phases=GAN_PHASES),
    "GAN, slow critic": Case(gan(critic_learning_rate=1e-5), GAN_MOVES, phases=GAN_PHASES),
    "GAN, instance noise": Case(gan(instance_noise=0.1), GAN_MOVES, phases=GAN_PHASES),
    "GAN, feature matching": Case(gan(feature_matching=True), GAN_MOVES, phases=GAN_PHASES),
    "GAN, minibatch discrimination": Case(gan(critic={"minibatch": 3}), GAN_MOVES, phases=GAN_PHASES),
    "GAN, conditional": Case(gan(**LABELLED), GAN_MOVES, phases=GAN_PHASES),
    "GAN, conditional feature matching": Case(gan(**LABELLED, feature_matching=True), GAN_MOVES, phases=GAN_PHASES),
    "GAN, conditional mixed batches": Case(gan(**LABELLED, mixed=True), GAN_MOVES, phases=GAN_PHASES),
    "GAN, uniform noise": Case(gan(draw_noise=torch.rand), GAN_MOVES, phases=GAN_PHASES),
    "GAN, several seeds": Case(several_seeds, GAN_MOVES, phases=GAN_PHASES),
    "MADGAN": Case(mad_gan, {"step": {"generators", "critic"}}),
    "AdaGAN": Case(
        adagan, {"step": {"components.1.generator", "components.1.critic"}, "arbiter_step": {"arbiter"}}, batch=rows
    ),
    "BilinearGame, simultaneous": Case(bilinear("simultaneous"), {"step": {"position", "average", "steps"}}),
    "BilinearGame, alternating": Case(bilinear("alternating"), {"step": {"position", "average", "steps"}}),
    "PreImage": Case(pre_image("4"), {"step": {"image"}}),
    "PreImage, other priors": Case(pre_image("2", beta=1.5, norm=0.1), {"step": {"image"}}),
    "GMMN": Case(gmmn(), {"step": {"generator"}}),
    "GMMN, codes": Case(gmmn(codes=True), {"step": {"generator"}}),
    "TexturePreImage": Case(texture("pre-image"), {"step": TEXTURE_MOVES}),
    "TexturePreImage, content": Case(texture("pre-image", 3), {"step": TEXTURE_MOVES}),
    "TextureNetwork": Case(texture("network"), {"step": {"generator"}}),
    "TextureNetwork, diversity": Case(texture("network", diversity=0.1), {"step": {"generator"}}),
    "TextureNetwork, content": Case(texture("network", 3), {"step": {"generator"}}, batch=photographs),
}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def run(case: Case, system: Any, phase: str, i: int) -> Any:
    batch = to_device(case.batch(i), getattr(system, "device", None))
    return case.phases[phase](system, batch) if phase in case.phases else getattr(system, phase)(batch)


def copied(state: Any) -> Any:
    """A system's state that further steps do not change."""
    return copy.deepcopy(state)


def same(a: Any, b: Any) -> bool:
    """Bitwise equality of nested states."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.shape == b.shape and bool((a == b).all())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SYSTEMS)
def test_metrics_are_finite_scalars_with_the_same_names_at_every_step(name, device):
    torch.manual_seed(0)
    case = SYSTEMS[name]
    system = case.build(device)
    names = None
    for i in range(20):
        metrics = run(case, system, "step", i)
        assert names in (None, list(metrics))
        names = list(metrics)
        for value in metrics.values():
            assert value.numel() == 1
            assert torch.isfinite(value)
            assert not value.requires_grad


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "phase"), [(name, phase) for name, case in SYSTEMS.items() for phase in case.moves])
def test_the_intended_parts_move_and_no_other(name, phase, device):
    """Catches a missing detach, an optimizer over the wrong parameters, gradients left behind in the other player."""
    torch.manual_seed(0)
    case = SYSTEMS[name]
    system = case.build(device)
    before = copied(system_state(system))
    run(case, system, phase, 0)
    after = system_state(system)
    moved = {path.removesuffix("_opt") for path in after if not same(before[path], after[path])}
    assert moved == case.moves[phase]
    for path in after:  # of a module that moves every parameter does, not just some
        if isinstance(before[path], dict) and path in moved:
            still = [key for key in before[path] if same(before[path][key], after[path][key])]
            assert not still, f"{path}: {still} did not move"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_saved_state_continues_bit_by_bit(name, device):
    torch.manual_seed(0)
    case = SYSTEMS[name]
    system = case.build(device)
    for i in range(3):
        run(case, system, "step", i)
    file = io.BytesIO()
    torch.save({"system": system_state(system), "rng": rng_state()}, file)
    for i in range(3, 6):
        run(case, system, "step", i)

    torch.manual_seed(1)
    other = case.build(device)  # other weights, other history
    run(case, other, "step", 9)
    file.seek(0)
    saved = torch.load(file, map_location="cpu", weights_only=True)
    load_system_state(other, saved["system"])
    set_rng_state(saved["rng"])
    for i in range(3, 6):
        run(case, other, "step", i)
    assert same(system_state(system), system_state(other))


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_step_does_not_wait_for_the_device(name, monkeypatch):
    """Catches .item(), float(tensor), .cpu() and `if tensor:` in a step: each would stall a GPU."""
    torch.manual_seed(0)
    case = SYSTEMS[name]
    system = case.build("cpu")
    run(case, system, "step", 0)
    if name == "GAN, several seeds":
        pytest.skip("functorch itself asks for a number on the host while it wraps tensors")

    def wait(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a step waited for the device")

    for method in ("item", "tolist", "__bool__", "__float__", "__int__", "numpy"):
        monkeypatch.setattr(Tensor, method, wait)
    run(case, system, "step", 1)
