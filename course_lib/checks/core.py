"""What every visible check is made of.

A check takes the student's own function or class. It passes, or raises `CheckFailed` with the likely mistake, or, where
the stub is still in place, says that the task is not done yet, so that a half-finished notebook runs to its end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch


class CheckFailed(AssertionError):
    """A visible check did not pass. The message says what was expected, what came, and the likely mistake."""


def visible(task: str, title: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a check of task `task`: prints the result, and turns a stub's NotImplementedError into a sentence."""

    def decorate(check: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(check)
        def run(*args: Any, **kwargs: Any) -> None:
            try:
                check(*args, **kwargs)
            except NotImplementedError:
                print(f"Task {task} ({title}) is not done yet.")
            except CheckFailed as failure:
                raise CheckFailed(f"Task {task} ({title}): {failure}") from None
            else:
                print(f"Task {task} ({title}) passes its visible check. Hidden tests use other data and other shapes.")

        return run

    return decorate


def to_numpy(value: Any) -> np.ndarray:
    """An array from an array, tensor, number or nested list; on the host, detached."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    return np.asarray(value)


def expect_shape(
    name: str, value: Any, shape: tuple[int, ...], hints: Mapping[tuple[int, ...], str] | None = None
) -> None:
    """Fail unless `value` has `shape`; `hints` maps a wrong shape to the mistake that gives it."""
    if value is None:
        raise CheckFailed(f"{name} is None; did you forget to return it?")
    if not isinstance(value, (np.ndarray, np.generic, torch.Tensor, float, int, list)):
        raise CheckFailed(f"{name} is a {type(value).__name__}; an array or tensor of shape {shape} was expected.")
    got = tuple(np.shape(to_numpy(value)))
    if got != shape:
        hint = (hints or {}).get(got)
        raise CheckFailed(f"{name} has shape {got}, expected {shape}." + (f" Likely mistake: {hint}." if hint else ""))


def expect_close(
    name: str,
    value: Any,
    expected: Any,
    *,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    mistakes: Mapping[str, Any] | None = None,
) -> None:
    """Fail unless `value` equals `expected` to atol + rtol·|expected|.

    mistakes: {what is likely wrong: the value that this mistake would give}. The first that matches is named.
    """
    expected = to_numpy(expected)
    expect_shape(name, value, expected.shape)
    got = to_numpy(value)
    if not np.all(np.isfinite(got)):
        raise CheckFailed(f"{name} holds NaN or infinity; look for a logarithm or division of zero, or an overflow.")
    if np.allclose(got, expected, atol=atol, rtol=rtol):
        return
    for mistake, wrong in (mistakes or {}).items():
        wrong = to_numpy(wrong)
        if wrong.shape == got.shape and np.allclose(got, wrong, atol=atol, rtol=rtol):
            raise CheckFailed(f"{name} is wrong. Likely mistake: {mistake}.")
    worst = np.unravel_index(int(np.argmax(np.abs(got - expected))), got.shape) if got.shape else ()
    place = f" at {tuple(int(k) for k in worst)}" if got.shape else ""
    raise CheckFailed(f"{name} is wrong{place}: got {got[worst]:.6g}, expected {expected[worst]:.6g}.")


def expect(condition: bool, message: str) -> None:
    """Fail with `message` unless `condition` holds."""
    if not condition:
        raise CheckFailed(message)
