"""A look inside a trained net: what one of its layers says, and the net held still while one looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from course_lib.errors import CourseError


@contextmanager
def still(*nets: nn.Module) -> Iterator[None]:
    """In evaluation mode within the block: batch statistics and dropout at rest; afterwards every part as it was."""
    modes = [(module, module.training) for net in nets for module in net.modules()]
    for net in nets:
        net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class LayerOutput(nn.Module):
    """phi(x): what a layer inside a net puts out when the net is given x.

    A forward hook picks it up, so the net needs no change; the rest of the net is computed too, and ignored.

    Args:
        net: x (N, ...) -> anything.
        layer: the layer's name, as in net.named_modules(): "3", "features.4.conv"; "" is the net's own output.

    Shapes: those of the layer's output, (N, ...).

    Raises:
        CourseError: there is no such layer; x did not pass through it; its output is not one tensor.
    """

    def __init__(self, net: nn.Module, layer: str = "") -> None:
        super().__init__()
        names = dict(net.named_modules())
        if layer not in names:
            raise CourseError(f"The net has no layer {layer!r}; it has {', '.join(name for name in names if name)}.")
        self.net, self.layer = net, layer

    def forward(self, x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        layer = self.net.get_submodule(self.layer)
        # a copy: a ReLU(inplace=True) behind the layer would write over what was seen
        hook = layer.register_forward_hook(lambda module, given, output: seen.append(_tensor(output).clone()))
        try:
            self.net(x)
        finally:
            hook.remove()
        if not seen:
            raise CourseError(
                f"The input does not pass through the layer {self.layer!r}; choose one that forward calls."
            )
        return seen[-1]


def _tensor(output: object) -> Tensor:
    if not isinstance(output, Tensor):
        raise CourseError(f"The layer puts out a {type(output).__name__}, not one tensor; choose a layer inside it.")
    return output
