"""Several networks of one architecture run as one: an experiment over many seeds for little more than one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from course_lib.errors import CourseError


class SideBySide(nn.Module):
    """S networks of one architecture, the s-th of which sees the s-th part of every batch.

        generator = SideBySide([Generator(16, [64, 64], (2,)) for _ in range(5)])
        critic = SideBySide([Critic((2,), [64, 64]) for _ in range(5)])
        gan = GAN(generator=generator, critic=critic, noise_size=16)     # five games; batches of five times the size
        runs = generator.parts(gan.sample(5 * 2000))                     # (5, 2000, 2)

    Small networks are slow because of the calls, not of the arithmetic; stacked weights (S, ...) make S trainings cost
    little more than one. They stay S separate trainings: a loss that is a mean over the batch gives each network 1/S
    of its own gradient and nothing of another's, and Adam does not see a constant factor. (SGD does: multiply its rate
    by S.)

    Args:
        networks: built alike, with parameters of their own, without buffers (no batch norm).

    Shapes: inputs (S N, ...), network by network -> what the networks return, (S N, ...). `features` returns (N, S F):
        the features of all networks beside each other, so that a squared distance of means sums over the networks.

    Raises:
        CourseError: the networks have buffers.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(list(networks))
        if buffers:
            raise CourseError("Networks with buffers, such as batch norm's, cannot run side by side; run them in turn.")
        self.names = list(parameters)
        self.stacked = nn.ParameterList([nn.Parameter(p.detach().clone()) for p in parameters.values()])  # (S, ...)
        self.count = len(networks)
        self.classes = getattr(networks[0], "classes", 0)
        self._template = [_Features(copy.deepcopy(networks[0])).to("meta")]  # in a list: its parameters are not ours

    def parts(self, x: Tensor) -> Tensor:
        """(S N, ...) -> (S, N, ...): one part for each network."""
        return x.unflatten(0, (self.count, -1))

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._each("forward", inputs).flatten(0, 1)  # (S N, ...)

    def features(self, *inputs: Tensor) -> Tensor:
        return self._each("features", inputs).transpose(0, 1).flatten(1)  # (N, S F)

    def _each(self, method: str, inputs: tuple[Any, ...]) -> Tensor:
        template = self._template[0]
        if template.training != self.training:
            template.train(self.training)

        def one(parameters: dict[str, Tensor], *parts: Tensor) -> Tensor:
            return functional_call(template, parameters, (method, *parts))

        parameters = {f"network.{name}": p for name, p in zip(self.names, self.stacked, strict=True)}
        return torch.vmap(one, randomness="different")(parameters, *(self.parts(x) for x in inputs))


class _Features(nn.Module):
    """Any method of a network as a forward pass, which is all that `functional_call` can call."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, method: str, *inputs: Tensor) -> Tensor:
        return getattr(self.network, method)(*inputs)
