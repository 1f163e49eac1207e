"""Adversarial examples by gradient: one step (FGSM), and many within a ball (PGD).

Both take any classifier, images in a box (here [-1, 1]), and change nothing in the net. A perturbation of eps here is
one of eps/2 for papers whose images lie in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from course_lib.errors import CourseError
from course_lib.nets.features import still


def input_gradient(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The slope of each image's cross-entropy in its pixels, (N, ...); no parameter's gradient is touched.

    Args:
        net: images (N, ...) -> logits (N, K).
        images: any range. labels: (N,), int64.
    """
    images = images.detach().requires_grad_()
    with torch.enable_grad(), still(net):
        loss = cross_entropy(net(images), labels, reduction="sum")
        return torch.autograd.grad(loss, images)[0]


def fgsm(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    targeted: bool = False,
    low: float = -1.0,
    high: float = 1.0,
) -> Tensor:
    """The fast gradient sign method: every pixel moves by eps, the way that raises the loss.

        x' = clip(x + eps · sign ∂L(x, y)/∂x)

    Args:
        net: images (N, ...) -> logits (N, K).
        images: in [low, high]. labels: (N,), int64: the right ones, or the wanted ones where targeted.
        eps: in units of the image.
        targeted: lower the loss of the wanted labels instead.

    Returns:
        x', of the shape of images, in [low, high].

    Goodfellow, Shlens & Szegedy 2015, Explaining and Harnessing Adversarial Examples, section 4.
    """
    way = -1 if targeted else 1
    return (images + way * eps * input_gradient(net, images, labels).sign()).clamp(low, high)


def pgd(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    steps: int = 40,
    step_size: float | None = None,
    targeted: bool = False,
    generator: torch.Generator | None = None,
    low: float = -1.0,
    high: float = 1.0,
) -> Tensor:
    """Projected gradient descent: steps that raise the loss, each followed by a return to the ball and the box.

        x ← clip(Π(x + step_size · direction)),   Π: the nearest point with ‖x − x*‖ <= eps

    direction is the sign of the gradient ("linf") or the gradient divided by its length ("l2"). Clipping brings no
    pixel further from x*, so the result lies both in the ball and in the box.

    Args:
        net: images (N, ...) -> logits (N, K).
        images: x*, in [low, high]. labels: (N,), int64: the right ones, or the wanted ones where targeted.
        eps: radius of the ball: the largest change of a pixel ("linf"), or the length of all changes ("l2").
        step_size: 2.5 · eps / steps unless given.
        targeted: lower the loss of the wanted labels instead.
        generator: draws a random start in the ball; the image itself unless given.

    Returns:
        x', of the shape of images.

    Raises:
        CourseError: another norm, or eps below 0.

    Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks, section 2.1.
    """
    if norm not in ("linf", "l2") or eps < 0:
        raise CourseError(f"PGD needs eps >= 0 and the norm 'linf' or 'l2', not eps={eps}, norm={norm!r}.")
    step_size = 2.5 * eps / steps if step_size is None else step_size
    way = -step_size if targeted else step_size
    x = images
    if generator is not None:
        x = (images + _inside(images, eps, norm, generator)).clamp(low, high)
    for _ in range(steps):
        gradient = input_gradient(net, x, labels)
        direction = gradient.sign() if norm == "linf" else gradient / _length(gradient).clamp(min=1e-30)
        r = x + way * direction - images
        r = r.clamp(-eps, eps) if norm == "linf" else r * (eps / _length(r).clamp(min=1e-30)).clamp(max=1)
        x = (images + r).clamp(low, high)
    return x


def _length(x: Tensor) -> Tensor:
    """The Euclidean norm of each example, (N, 1, ...)."""
    return x.flatten(1).norm(dim=1).view(-1, *[1] * (x.dim() - 1))


def _inside(images: Tensor, eps: float, norm: str, generator: torch.Generator) -> Tensor:
    """A random point of the ball for each image, uniform."""
    options = {"generator": generator, "device": generator.device, "dtype": images.dtype}
    if norm == "linf":
        return eps * (2 * torch.rand(images.shape, **options) - 1).to(images)
    direction = torch.randn(images.shape, **options)
    radius = torch.rand(len(images), **options) ** (1 / images[0].numel())  # most of a ball is near its surface
    return (eps * direction / _length(direction) * radius.view(-1, *[1] * (images.dim() - 1))).to(images)
