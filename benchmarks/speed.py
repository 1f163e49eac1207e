"""Speed as ratios within one run: our loop against a bare PyTorch loop, our batches against DataLoader.

    python benchmarks/speed.py                # on the CPU, or on CUDA where there is one
    python benchmarks/speed.py --rounds 40    # steadier medians

Both sides of a ratio run in turn, A B A B …, in one process; each row gives the median of the ratios of neighbours,
which stays put when the machine's speed drifts. DCGAN-size steps with the precision and compile switches run on CUDA
alone.
Exit status 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from course_lib.data import Batches, digits
from course_lib.data.textures import crops, photographs
from course_lib.device import choose_device, describe, prepare
from course_lib.loop import iterate
from course_lib.nets.descriptors import RandomFilters
from course_lib.nets.mlp import Critic, Generator
from course_lib.systems.gan import GAN
from course_lib.systems.texture import Likeness, TexturePreImage


def ratio(
    a: Callable[[], None], b: Callable[[], None], rounds: int, device: torch.device
) -> tuple[float, float, float]:
    """Median seconds of a and of b, and the median of a/b over neighbouring runs; one warm-up of each."""

    def seconds(work: Callable[[], None]) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    seconds(a), seconds(b)
    times = []
    for k in range(rounds):  # who goes first alternates, so that neither profits from a warm cache
        if k % 2:
            second = seconds(b)
            times.append((seconds(a), second))
        else:
            first = seconds(a)
            times.append((first, seconds(b)))
    return (
        statistics.median(t for t, _ in times),
        statistics.median(t for _, t in times),
        statistics.median(x / y for x, y in times),
    )


def bare_loop(
    generator: nn.Module, critic: nn.Module, noise_size: int, batches: Batches, steps: int
) -> Callable[[], None]:
    """The GAN's step written out as a PyTorch user would, on copies of the networks, with a loss printed per window."""
    generator, critic = copy.deepcopy(generator), copy.deepcopy(critic)
    generator_opt = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    critic_opt = torch.optim.Adam(critic.parameters(), lr=2e-4, betas=(0.5, 0.999))
    stream = iter(batches)

    def run() -> None:
        total = 0.0
        for i in range(steps):
            (real,) = next(stream)
            with torch.no_grad():
                fake = generator(torch.randn(len(real), noise_size, device=real.device))
            critic_opt.zero_grad()
            critic_loss = F.softplus(-critic(real)).mean() + F.softplus(critic(fake)).mean()
            critic_loss.backward()
            critic_opt.step()
            fake = generator(torch.randn(len(real), noise_size, device=real.device))
            generator_opt.zero_grad()
            generator_loss = F.softplus(-critic(fake)).mean()
            generator_loss.backward()
            generator_opt.step()
            if i % 50 == 49:
                total += critic_loss.item() + generator_loss.item()

    return run


def through_iterate(
    generator: nn.Module, critic: nn.Module, noise_size: int, batches: Batches, steps: int
) -> Callable[[], None]:
    """The same step as the library's GAN, through `iterate`, with a report per 50 steps."""
    device = batches.tensors[0].device
    gan = GAN(generator=copy.deepcopy(generator), critic=copy.deepcopy(critic), noise_size=noise_size, device=device)

    def run() -> None:
        for _ in iterate(gan.step, batches, steps, every=50, progress=False):
            pass

    return run


def called_bare(
    generator: nn.Module, critic: nn.Module, noise_size: int, batches: Batches, steps: int
) -> Callable[[], None]:
    """The library's `gan.step`, called in a bare for loop: what `iterate` alone adds."""
    device = batches.tensors[0].device
    gan = GAN(generator=copy.deepcopy(generator), critic=copy.deepcopy(critic), noise_size=noise_size, device=device)
    stream = iter(batches)

    def run() -> None:
        for i in range(steps):
            metrics = gan.step(next(stream))
            if i % 50 == 49:
                [value.item() for value in metrics.values()]

    return run


def dcgan(size: int = 64, width: int = 64, noise_size: int = 100) -> tuple[nn.Module, nn.Module]:
    """Networks of DCGAN's size (Radford et al. 2016) for 64 x 64 colour images: a load for the clock, no lesson."""

    class FromNoise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            blocks: list[nn.Module] = [
                nn.ConvTranspose2d(noise_size, 8 * width, 4, bias=False),
                nn.BatchNorm2d(8 * width),
            ]
            for k in (8, 4, 2):
                blocks += [nn.ReLU(), nn.ConvTranspose2d(k * width, k * width // 2, 4, 2, 1, bias=False)]
                blocks += [nn.BatchNorm2d(k * width // 2)]
            self.body = nn.Sequential(*blocks, nn.ReLU(), nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.body(z[:, :, None, None])

    blocks: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for k in (1, 2, 4):
        blocks += [
            nn.Conv2d(k * width, 2 * k * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * k * width),
            nn.LeakyReLU(0.2),
        ]
    critic = nn.Sequential(*blocks, nn.Conv2d(8 * width, 1, 4), nn.Flatten(0))
    return FromNoise(), critic


def pre_images(device: torch.device, count: int, steps: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Textures by L-BFGS, as many evaluations of each: all at once, and one after the other by torch.optim."""
    filters = RandomFilters(filters=32, size=5, levels=3, generator=torch.Generator().manual_seed(0)).to(device)
    source = crops(photographs()["flower"], 32, count, generator=torch.Generator().manual_seed(1)).to(device)
    start = 0.1 * torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(2)).to(device)

    def together() -> None:
        search = TexturePreImage(likeness=Likeness(filters, source), start=start, device=device)
        for _ in iterate(search.step, [()], steps, every=steps, progress=False):
            pass

    def in_turn() -> None:
        for k in range(count):
            likeness, x = Likeness(filters, source[k : k + 1]), start[k : k + 1].clone().requires_grad_()
            optimizer = torch.optim.LBFGS(
                [x], max_iter=steps, max_eval=steps, history_size=10, tolerance_grad=0, tolerance_change=0
            )

            def closure(likeness: Likeness = likeness, x: torch.Tensor = x, optimizer=optimizer) -> torch.Tensor:
                optimizer.zero_grad()
                beyond = (x.abs() - 1).clamp(min=0).square().mean()
                loss = likeness(x).sum() + beyond
                loss.backward()
                return loss

            optimizer.step(closure)

    return together, in_turn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="pairs of runs per row")
    parser.add_argument("--steps", type=int, default=200, help="GAN steps per run")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    print(f"torch {torch.__version__}, {describe(device)}, {arguments.rounds} pairs, {arguments.steps} steps a run\n")
    print("| A | B | A, ms a step | B, ms a step | A / B | target |\n|---|---|---|---|---|---|")
    missed = False

    def row(a: str, b: str, work_a, work_b, per: int, target: str, met: Callable[[float], bool]) -> None:
        nonlocal missed
        seconds_a, seconds_b, quotient = ratio(work_a, work_b, arguments.rounds, device)
        missed |= not met(quotient)
        print(
            f"| {a} | {b} | {1e3 * seconds_a / per:.3f} | {1e3 * seconds_b / per:.3f} | {quotient:.3f} | {target} |",
            flush=True,
        )

    images, labels = digits("train")
    batches = Batches(images, size=128, device=device)
    shape = tuple(images.shape[1:])
    players = Generator(16, (128, 128), shape).to(device), Critic(shape, (128, 128)).to(device)
    load = (*players, 16, batches, arguments.steps)
    row(
        "GAN step through `iterate`",
        "the same step in a bare PyTorch loop",
        through_iterate(*load),
        bare_loop(*load),
        arguments.steps,
        "≤ 1.03",
        lambda q: q <= 1.03,
    )
    row(
        "GAN step through `iterate`",
        "`gan.step` in a bare for loop",
        through_iterate(*load),
        called_bare(*load),
        arguments.steps,
        "≤ 1.03",
        lambda q: q <= 1.03,
    )

    ours = Batches(images, labels, size=128, device=device)
    theirs = DataLoader(TensorDataset(images, labels), batch_size=128, shuffle=True, drop_last=True)

    def epoch_of_loader() -> None:
        for x, y in theirs:
            x.to(device), y.to(device)

    row(
        "epoch of digits, `DataLoader`, batch 128",
        "the same, `Batches`",
        epoch_of_loader,
        lambda: [None for _ in ours.epoch()],
        len(ours),
        "≥ 5",
        lambda q: q >= 5,
    )

    row(
        "step of 8 textures by our L-BFGS",
        "the same by `torch.optim.LBFGS`, one after the other",
        *pre_images(device, 8, 30),
        30,
        "≤ 1",
        lambda q: q <= 1,
    )

    if device.type == "cuda":
        generator, critic = (network.to(device) for network in dcgan())
        colour = Batches(torch.rand(2048, 3, 64, 64) * 2 - 1, size=128, device=device)
        plain = (generator, critic, 100, colour, 50)
        row(
            "DCGAN step through `iterate`",
            "the same step in a bare PyTorch loop",
            through_iterate(*plain),
            bare_loop(*plain),
            50,
            "≤ 1.03",
            lambda q: q <= 1.03,
        )
        for name, switches in (
            ("bf16", {"bf16": True}),
            ("bf16 + channels_last", {"bf16": True, "channels_last": True}),
            ("bf16 + channels_last + compile", {"bf16": True, "channels_last": True, "compile": True}),
        ):
            gan = GAN(
                generator=prepare(copy.deepcopy(generator), **switches),
                critic=prepare(copy.deepcopy(critic), **switches),
                noise_size=100,
                device=device,
            )

            def fast(gan: GAN = gan) -> None:
                for _ in iterate(gan.step, colour, 50, every=50, progress=False):
                    pass

            row(f"DCGAN step, {name}", "DCGAN step, float32", fast, through_iterate(*plain), 50, "none", lambda q: True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
