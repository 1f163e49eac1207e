"""How much to compute: the ladder smoke / laptop / gpu / paper.

`smoke` proves in CI, on two CPU cores, that every cell runs and every outcome is met; `laptop` is for learning without
a GPU; `gpu` is for a Colab T4; `paper` is the protocol of the paper.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from course_lib.errors import CourseError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

RUNGS = ("smoke", "laptop", "gpu", "paper")
SCALE = {"smoke": 0.2, "laptop": 1.0, "gpu": 5.0, "paper": 20.0}  # steps, relative to a laptop


@dataclass(frozen=True)
class Budget:
    """One rung of the ladder."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in RUNGS:
            raise CourseError(f"There is no budget {self.name!r}; choose one of auto, {', '.join(RUNGS)}.")

    @classmethod
    def choose(cls, name: str, device: torch.device) -> Budget:
        """The named rung; "auto" is the environment's COURSE_BUDGET if that is set (the grader sets it to smoke), else
        "gpu" on a CUDA device and "laptop" elsewhere.
        """
        if name == "auto":
            name = os.environ.get("COURSE_BUDGET") or ("gpu" if device.type == "cuda" else "laptop")
        return cls(name)

    def pick(self, **rungs: T) -> T:
        """The value given for this rung, or for the nearest smaller one that was given.

        >>> Budget("gpu").pick(smoke=200, laptop=1000)
        1000
        """
        unknown = set(rungs) - set(RUNGS)
        if unknown:
            raise CourseError(f"There is no budget {min(unknown)!r}; the rungs are {', '.join(RUNGS)}.")
        if "smoke" not in rungs:
            raise CourseError("Give a value for the smoke budget: the smaller rungs stand in for the larger ones.")
        for name in reversed(RUNGS[: RUNGS.index(self.name) + 1]):
            if name in rungs:
                return rungs[name]
        raise AssertionError("unreachable: smoke is always given")

    def steps(self, laptop: int, **rungs: int) -> int:
        """A number of steps: `laptop` of them on a laptop, scaled for the other rungs unless given there.

        >>> Budget("smoke").steps(2000), Budget("smoke").steps(2000, smoke=500)
        (400, 500)
        """
        unknown = set(rungs) - set(RUNGS)
        if unknown:
            raise CourseError(f"There is no budget {min(unknown)!r}; the rungs are {', '.join(RUNGS)}.")
        return rungs.get(self.name, max(1, round(laptop * SCALE[self.name])))
