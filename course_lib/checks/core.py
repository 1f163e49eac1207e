"""What every visible check is made of, and where hidden tests get their seeds.

A check takes the student's own function or class. It passes, or raises `CheckFailed` with the likely mistake, or, where
the stub is still in place, says that the task is not done yet, so that a half-finished notebook runs to its end.

A visible check has the same data for everyone. A hidden test draws its data from `fresh(1)`, `fresh(2)`, …
"""

from __future__ import annotations

import contextlib
import functools
import hmac
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch


class CheckFailed(AssertionError):
    """A visible check did not pass. The message says what was expected, what came, and the likely mistake."""


# ------------------------------------------------------------------------------------------------- data

_secret: str | None = None


def fresh(seed: int) -> int:
    """The seed of a hidden test's data, from 0 to 2³² − 1: `np.random.default_rng(fresh(1))`.

    In a notebook it is `seed` itself, which must lie in that range. While a submission is graded it follows from `seed`
    and the submission's secret (HMAC-SHA256): each submission meets other data, nobody can know them beforehand, and
    grading it again with the same secret gives the same score.
    """
    if _secret is None:
        return seed
    return int.from_bytes(hmac.digest(_secret.encode(), str(seed).encode(), "sha256")[:4], "big")


def draw_afresh(secret: str | None) -> None:
    """From now on `fresh` depends on `secret`, one per submission; None gives the seeds themselves again."""
    global _secret
    _secret = secret


@contextlib.contextmanager
def drawn_afresh(secret: str | None) -> Iterator[None]:
    """`draw_afresh(secret)` for the statements inside; afterwards as it was before."""
    before = _secret
    draw_afresh(secret)
    try:
        yield
    finally:
        draw_afresh(before)


def draw(seed: int, *shape: int) -> torch.Tensor:
    """Standard normal numbers, float64, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ----------------------------------------------------------------------------------------------- checks


@contextlib.contextmanager
def when_done(task: str) -> Iterator[None]:
    """Around a cell that only shows something: while `task` is still a stub, print a sentence instead of raising."""
    try:
        yield
    except NotImplementedError:
        print(f"Nothing to see yet: this cell needs your {task}.")


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


def told(hints: Any) -> Mapping:
    """Hints as a mapping: they may come as a function of nothing that makes them, or None."""
    return (hints() if callable(hints) else hints) or {}


def expect_shape(
    name: str,
    value: Any,
    shape: tuple[int, ...],
    hints: Mapping[tuple[int, ...], str] | Callable[[], Mapping[tuple[int, ...], str]] | None = None,
) -> None:
    """Fail unless `value` has `shape`.

    hints: {a wrong shape: the mistake that gives it}, or a function of nothing that returns this. It is called only
    where the shape is wrong.
    """
    if value is None:
        raise CheckFailed(f"{name} is None; did you forget to return it?")
    if not isinstance(value, (np.ndarray, np.generic, torch.Tensor, float, int, list)):
        raise CheckFailed(f"{name} is a {type(value).__name__}; an array or tensor of shape {shape} was expected.")
    got = tuple(np.shape(to_numpy(value)))
    if got != shape:
        hint = told(hints).get(got)
        raise CheckFailed(f"{name} has shape {got}, expected {shape}." + (f" Likely mistake: {hint}." if hint else ""))


def expect_tensor(name: str, value: Any, dtype: torch.dtype = torch.float64) -> None:
    """Fail unless `value` is a tensor of this dtype, where hidden tests rely on it. None is left to `expect_shape`."""
    if value is None:
        return
    if not isinstance(value, torch.Tensor):
        raise CheckFailed(f"{name} is a {type(value).__name__}; a tensor is asked.")
    if value.dtype != dtype:
        raise CheckFailed(
            f"{name} has the dtype {value.dtype}; {dtype} is asked. Likely mistake: torch.tensor(…), torch.ones(N) or "
            "torch.zeros(N) without dtype=x.dtype is float32."
        )


def expect_close(
    name: str,
    value: Any,
    expected: Any,
    *,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    mistakes: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
) -> None:
    """Fail unless `value` equals `expected` to atol + rtol·|expected|.

    mistakes: {what is likely wrong: the value that this mistake would give}, or a function of nothing that returns
    this, called only where `value` is wrong. The first that matches is named.
    """
    expected = to_numpy(expected)
    expect_shape(name, value, expected.shape)
    got = to_numpy(value)
    if not np.all(np.isfinite(got)):
        raise CheckFailed(f"{name} holds NaN or infinity; look for a logarithm or division of zero, or an overflow.")
    if np.allclose(got, expected, atol=atol, rtol=rtol):
        return
    for mistake, wrong in told(mistakes).items():
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


def parts_of(name: str, value: Any, count: int) -> tuple[Any, ...]:
    """`value`, which `name` returned, as a tuple of `count` parts; fail with a sentence about what it is instead."""
    expect(value is not None, f"{name} returns None; did you forget to return the result?")
    expect(
        isinstance(value, (tuple, list)) and len(value) == count,
        f"{name} returns a {type(value).__name__}; {count} results were expected: return {', '.join('abc'[:count])}.",
    )
    return tuple(value)


def unchanged(what: str, before: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> None:
    """Fail unless the tensors that `what` was given are as they were before."""
    for name, tensor in given.items():
        expect(
            torch.equal(tensor, before[name]),
            f"{what} changed the {name} that it was given. Likely mistake: an operation in place (+=, *=, add_, out=).",
        )
