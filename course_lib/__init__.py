"""The library behind the course: what the notebooks import and the assignments are checked with.

Importing it is cheap (no torch, no widgets); `start` is the one call every notebook begins with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

    from course_lib.budget import Budget

__version__ = "0.1.0"


class Session(NamedTuple):
    """What `start` returns: the device to compute on and the budget to spend."""

    device: torch.device
    budget: Budget


def start(budget: str = "auto", seed: int = 0, device: str = "auto") -> Session:
    """Prepare a notebook: choose device and budget, seed every generator, set the plotting style.

    Args:
        budget: "smoke", "laptop", "gpu", "paper", or "auto" (gpu where CUDA is present, else laptop).
        seed: seeds Python, NumPy and torch.
        device: "auto", "cpu", "cuda", "cuda:1", "mps"; "auto" is what COURSE_DEVICE says, where it is set.

    Returns:
        (device, budget); prints one line that says what was chosen.

    Raises:
        CourseError: the device or the budget does not exist.
    """
    import os

    import torch

    from course_lib.budget import Budget
    from course_lib.device import choose_device, describe, seed_everything
    from course_lib.draw import use_style

    chosen = choose_device(os.environ.get("COURSE_DEVICE", "auto") if device == "auto" else device)
    rung = Budget.choose(budget, chosen)
    seed_everything(seed)
    use_style()
    print(f"device {describe(chosen)} · budget {rung.name} · seed {seed} · torch {torch.__version__}")
    return Session(chosen, rung)
