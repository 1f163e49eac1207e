"""Both ends of the bridge in one process: the student's end in a thread, with a stand-in for the notebook's shell."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, settings

from course_lib.grading.bridge.student import Runtime
from course_lib.grading.bridge.trusted import Session
from course_lib.grading.bridge.wire import Line

QUICK = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
PATIENCE = 20.0  # seconds after which a test that hangs fails instead


class Shell:
    """What a Runtime needs of a shell."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def run(self, source: str) -> tuple[list[Any], str]:
        try:
            exec(compile(source, "<cell>", "exec"), self.names)
        except Exception as error:
            return [], type(error).__name__
        return [], ""


class Bridge:
    """A session and the runtime that answers it."""

    def __init__(self, source: str) -> None:
        ours, theirs = socket.socketpair()
        self.runtime = Runtime(theirs, Shell())
        self._theirs = theirs
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.session = Session(Line(ours))
        self.patient()
        assert self.session.run(source)["error"] == ""

    def _serve(self) -> None:
        try:
            self.runtime.serve()
        except OSError:  # the tests did not wait for the answer
            pass
        finally:
            self._theirs.close()

    def patient(self) -> None:
        self.session.line.deadline = time.monotonic() + PATIENCE

    def __getitem__(self, name: str) -> Any:
        """What the tests get for a name of the student's."""
        return self.session.name(name)

    @property
    def theirs(self) -> dict[str, Any]:
        """The student's names, as they are at the other end."""
        return self.runtime.shell.names

    def close(self) -> None:
        self.session.line.socket.close()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@contextmanager
def bridge(source: str = "") -> Iterator[Bridge]:
    """A bridge whose student has run `source`."""
    made = Bridge(source)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def answered_by(answer: Callable[[Line], None]) -> Iterator[Session]:
    """A session whose other end is a function, in a thread, that gets the other end's line."""
    ours, theirs = socket.socketpair()
    line, session = Line(theirs), Session(Line(ours))
    line.deadline = session.line.deadline = time.monotonic() + PATIENCE
    thread = threading.Thread(target=lambda: _until_closed(answer, line), daemon=True)
    thread.start()
    try:
        yield session
    finally:
        ours.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def _until_closed(answer: Callable[[Line], None], line: Line) -> None:
    try:
        answer(line)
    except (EOFError, OSError):  # the session ended first
        pass
    finally:
        line.socket.close()


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, and of the same types: 1 is not True, and nan is nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return np.float64(one).tobytes() == np.float64(other).tobytes() or (one != one and other != other)
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, set):
        return one == other and sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, slice):
        return same([one.start, one.stop, one.step], [other.start, other.stop, other.step])
    if isinstance(one, np.ndarray | np.generic):
        return (one.dtype, one.shape, one.flags.writeable) == (other.dtype, other.shape, other.flags.writeable) and (
            one.tobytes() == other.tobytes()
        )
    if isinstance(one, torch.Tensor):
        if (one.dtype, one.shape, one.requires_grad) != (other.dtype, other.shape, other.requires_grad):
            return False
        return bytes_of(one) == bytes_of(other)
    return bool(one == other)


def bytes_of(tensor: torch.Tensor) -> bytes:
    """The numbers of a tensor in the order of its axes, written here a second way."""
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous().clone()
    return bytes(plain.untyped_storage())
