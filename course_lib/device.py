"""Where things are computed: device, seeds, nested batches, and the three switches for speed."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import nn

from course_lib.errors import CourseError


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is CUDA where present, else Apple's MPS, else the CPU.

    Raises:
        CourseError: a device was asked for by name and is not there. Nothing falls back silently.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise CourseError(f"There is no device {name!r}; use auto, cpu, cuda or mps.") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise CourseError(
                f"The device {name!r} was asked for but torch sees {count} CUDA devices; "
                "use device='cpu', or on Colab choose Runtime > Change runtime type > GPU."
            )
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise CourseError("The device 'mps' was asked for but this machine has none; use device='cpu'.")
    elif device.type not in ("cpu", "cuda", "mps"):
        raise CourseError(f"The course does not run on {name!r}; use auto, cpu, cuda or mps.")
    return device


def describe(device: torch.device) -> str:
    """A device in words: "cpu (2 threads)", "cuda (Tesla T4)"."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else device.type


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def to_device(batch: Any, device: torch.device | None) -> Any:
    """`batch` with every tensor inside (tuples, lists, dicts, named tuples) on `device`; None leaves it as it is."""
    if device is None:
        return batch
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def in_float64(x: torch.Tensor) -> torch.Tensor:
    """`x` without its graph, as float64, where it is; from MPS, which has no float64, it comes to the CPU."""
    x = x.detach()
    return (x.cpu() if x.device.type == "mps" else x).double()


def prepare(network: nn.Module, *, bf16: bool = False, channels_last: bool = False, compile: bool = False) -> nn.Module:
    """Switch on what makes `network` faster on a GPU; each switch is off unless asked for. Changes it in place.

    bf16: the forward pass runs under bfloat16 autocast; inputs and outputs stay float32, so losses and the systems
        need not know. channels_last: weights and 4-D inputs in NHWC memory order, which tensor cores prefer.
    compile: `torch.compile` on first use (about a minute, so it pays from some thousand steps on).
    The keys of the state dict do not change.
    """
    if channels_last:
        network.to(memory_format=torch.channels_last)
        network.register_forward_pre_hook(
            lambda _, args: tuple(
                a.contiguous(memory_format=torch.channels_last) if isinstance(a, torch.Tensor) and a.dim() == 4 else a
                for a in args
            )
        )
    if bf16:
        forward = network.forward

        def forward_in_bf16(*args: Any, **kwargs: Any) -> Any:
            device = next(network.parameters()).device
            with torch.autocast(device.type, dtype=torch.bfloat16):
                output = forward(*args, **kwargs)
            return output.float() if isinstance(output, torch.Tensor) else tuple(o.float() for o in output)

        network.forward = forward_in_bf16
    if compile:
        network.compile()
    return network


def rng_state() -> dict[str, Any]:
    """The state of every global generator, in plain values and tensors."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Put back what `rng_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
