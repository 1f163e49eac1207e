"""How easily a net is fooled: across nets, by mere noise, and how far it stretches its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.nets.features import still


def error_rate(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images (N, ...) for which the net does not say the label (N,), in [0, 1]."""
    with torch.no_grad(), still(net):
        return float((net(images).argmax(1) != labels).double().mean())


def noise_of_norm(
    images: Tensor,
    norm: Tensor,
    *,
    generator: torch.Generator,
    low: float = -1.0,
    high: float = 1.0,
) -> Tensor:
    """Each image plus random noise of a given length, inside the box: the control for an adversarial perturbation.

    The direction is normal noise; at pixels that lie on the border of the box it is turned inwards. What is cut off at
    the border is made up for by a longer step, found by bisection, so that ‖x' − x‖ is `norm` after cutting, too.

    Args:
        images: (N, ...), in [low, high].
        norm: (N,), Euclidean lengths, in units of the image, less than half of what the box allows.
        generator: draws the directions.

    Returns:
        x', of the shape of images, in [low, high].
    """
    noise = torch.randn(images.shape, generator=generator, device=generator.device).to(images)
    outwards = ((images >= high) & (noise > 0)) | ((images <= low) & (noise < 0))
    noise = torch.where(outwards, -noise, noise)
    each = (-1, *[1] * (images.dim() - 1))
    norm = norm.to(images)
    unit = noise / noise.flatten(1).norm(dim=1).view(each)
    short, long = norm.clone(), norm * 2**20
    for _ in range(60):
        middle = (short + long) / 2
        reached = ((images + middle.view(each) * unit).clamp(low, high) - images).flatten(1).norm(dim=1)
        short, long = torch.where(reached < norm, middle, short), torch.where(reached < norm, long, middle)
    return (images + long.view(each) * unit).clamp(low, high)


@dataclass(frozen=True)
class TransferTable:
    """Who is fooled by what was made against whom.

    Attributes:
        names: of the K nets.
        clean: error of each net on the images as they are, (K,).
        fooled: fooled[i, j] is the error of net j on images made against net i, (K, K).
        noise: noise[i, j] is the error of net j on random noise as long as the perturbations made against i, (K, K).
        norm: mean length of the perturbations made against each net, (K,), in units of the image.
    """

    names: list[str]
    clean: Tensor
    fooled: Tensor
    noise: Tensor
    norm: Tensor

    def __str__(self) -> str:
        width = max(12, *(len(name) + 9 for name in self.names))
        head = " " * width + "".join(f"{name:>12}" for name in self.names)
        rows = [("clean", self.clean)]
        for i, name in enumerate(self.names):
            rows += [(f"made on {name}", self.fooled[i]), ("  noise", self.noise[i])]
        return "\n".join([head, *(f"{title:<{width}}" + "".join(f"{x:>12.1%}" for x in row) for title, row in rows)])


def transfer_table(
    nets: dict[str, nn.Module],
    images: Tensor,
    labels: Tensor,
    attack: Callable[[nn.Module, Tensor, Tensor], Tensor],
    *,
    generator: torch.Generator,
    low: float = -1.0,
    high: float = 1.0,
) -> TransferTable:
    """Make adversarial images against each net and show them to all; and to all, noise of the same length.

    Args:
        nets: by name; each images (N, ...) -> logits (N, K).
        images: in [low, high]. labels: (N,), int64, the right ones.
        attack: (net, images, labels) -> images, such as functools.partial(pgd, eps=.1).
        generator: draws the noise.

    Szegedy et al. 2014, Intriguing Properties of Neural Networks, section 4.
    """
    clean = [error_rate(net, images, labels) for net in nets.values()]
    fooled, noise, norms = [], [], []
    for made_on in nets.values():
        adversarial = attack(made_on, images, labels)
        norm = (adversarial - images).flatten(1).norm(dim=1)  # (N,)
        control = noise_of_norm(images, norm, generator=generator, low=low, high=high)
        fooled.append([error_rate(net, adversarial, labels) for net in nets.values()])
        noise.append([error_rate(net, control, labels) for net in nets.values()])
        norms.append(float(norm.mean()))
    return TransferTable(list(nets), *(torch.tensor(x, dtype=torch.float64) for x in (clean, fooled, noise, norms)))


def local_lipschitz(net: nn.Module, images: Tensor, *, steps: int = 30, generator: torch.Generator) -> Tensor:
    """How many times longer than a small change of the input the change of the output can be, at each image.

        sup over small r of ‖φ(x + r) − φ(x)‖ / ‖r‖ = the largest singular value of the Jacobian J at x

    found by power iteration, v ← JᵀJ v divided by its length, without ever forming J. It rises to the true value from
    below; any Lipschitz constant of the net is at least as large.

    Args:
        net: images (N, ...) -> (N, ...), each row from its own image; `LayerOutput(net, layer)` looks at a layer.
        images: (N, ...).
        steps: of the power iteration.
        generator: draws the first v.

    Returns:
        (N,), in units of the output for each unit of the image.
    """
    v = torch.randn(images.shape, generator=generator, device=generator.device).to(images)
    each = (-1, *[1] * (images.dim() - 1))
    stretched = images.new_zeros(len(images))
    with still(net), torch.enable_grad():
        x = images.detach().clone().requires_grad_()
        y = net(x)
        u = torch.zeros_like(y, requires_grad=True)
        back = torch.autograd.grad(y, x, u, create_graph=True)[0]  # Jᵀ u: linear in u, so its own slope there is J
        for _ in range(steps):
            v = v / v.flatten(1).norm(dim=1).clamp(min=1e-30).view(each)
            jv = torch.autograd.grad(back, u, v, retain_graph=True)[0]  # J v
            stretched = jv.flatten(1).norm(dim=1)
            v = torch.autograd.grad(y, x, jv, retain_graph=True)[0]  # Jᵀ J v
    return stretched


def stretch(net: nn.Module, images: Tensor, changed: Tensor) -> Tensor:
    """‖φ(x') − φ(x)‖ / ‖x' − x‖ of each pair, (N,): how much the net stretched that change; NaN where there is none.

    Args:
        net: (N, ...) -> (N, ...). images, changed: x and x', (N, ...).
    """
    with torch.no_grad(), still(net):
        moved = (net(changed) - net(images)).flatten(1).norm(dim=1)
    return moved / (changed - images).flatten(1).norm(dim=1)
