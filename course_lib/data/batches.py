"""Batches of a dataset that lives on the device: shuffled by one permutation an epoch, cut by indexing there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from course_lib.errors import CourseError


class Batches:
    """Endless shuffled batches of tensors that share their first dimension.

        batches = Batches(images, labels, size=128, device=device, seed=0)
        for images, labels in batches.epoch(): ...          # once through the data
        for i, metrics in iterate(gan.step, batches, 2000)  # as long as it takes

    Args:
        tensors: each (N, ...); moved to `device` once, here.
        size: examples a batch.
        seed: of the order; the global generators are neither used nor changed.
        shuffle: a new order each epoch; otherwise the order given.
        drop_last: leave out an incomplete last batch of an epoch (the default, as batch statistics prefer).

    A batch is a tuple with one tensor for each given. The position is part of `state_dict`, so a run resumes exactly.
    """

    def __init__(
        self,
        *tensors: torch.Tensor,
        size: int,
        device: torch.device | str = "cpu",
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
    ) -> None:
        if not tensors or len({len(t) for t in tensors}) != 1:
            raise CourseError(
                f"Batches needs tensors of one length, not {', '.join(str(len(t)) for t in tensors) or 'none'}."
            )
        if size < 1 or (drop_last and size > len(tensors[0])):
            raise CourseError(
                f"Batches of {size} cannot be cut from {len(tensors[0])} examples; give a size from 1 to that number."
            )
        self.tensors = tuple(t.to(device) for t in tensors)
        self.size, self.shuffle, self.drop_last = size, shuffle, drop_last
        self.generator = torch.Generator().manual_seed(seed)
        self._order: torch.Tensor | None = None  # this epoch's permutation, on the device
        self._epoch_state = self.generator.get_state()  # the generator's state before that permutation was drawn
        self._next = 0  # batches of this epoch already served

    def __len__(self) -> int:
        """Batches in an epoch."""
        n = len(self.tensors[0])
        return n // self.size if self.drop_last else -(-n // self.size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        while True:
            yield self._draw()

    def epoch(self) -> Iterator[tuple[torch.Tensor, ...]]:
        """What is left of the current epoch: all of it, unless batches were already drawn."""
        first = True
        while first or self._next:
            first = False
            yield self._draw()

    def _draw(self) -> tuple[torch.Tensor, ...]:
        if self._order is None:
            self._shuffle()
        index = self._order[self._next * self.size : (self._next + 1) * self.size]
        self._next += 1
        if self._next == len(self):
            self._next, self._order = 0, None
        return tuple(t[index] for t in self.tensors)

    def _shuffle(self) -> None:
        n = len(self.tensors[0])
        self._epoch_state = self.generator.get_state()
        order = torch.randperm(n, generator=self.generator) if self.shuffle else torch.arange(n)
        self._order = order.to(self.tensors[0].device)

    def state_dict(self) -> dict[str, Any]:
        """The position: the generator before this epoch's order was drawn, and the batches served since."""
        at_boundary = self._order is None
        return {"generator": self.generator.get_state() if at_boundary else self._epoch_state, "next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved position; what is drawn from here is what was drawn from there."""
        self.generator.set_state(state["generator"])
        self._next, self._order = state["next"], None
        if self._next:
            self._shuffle()
