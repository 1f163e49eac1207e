from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from course_lib.scratch.compare import Case, difference_from_torch


@pytest.fixture
def equals_torch() -> Callable[..., None]:
    """Asserts that layers of random shapes, made by `draw(rng)`, give what torch gives: output and all gradients."""

    def over(draw: Callable[[np.random.Generator], Case], *, shapes: int, close: float) -> None:
        rng = np.random.default_rng(0)
        for _ in range(shapes):
            case = draw(rng)
            differences = difference_from_torch(case)
            assert set(differences) == {"y", "x", *case.layer.w}
            assert max(differences.values()) <= close, f"{case.x.shape}: {differences}"

    return over
