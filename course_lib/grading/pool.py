"""Processes that work side by side, one thread each. Any of them may die or hang without harm to the others."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from course_lib.authoring.surroundings import UNWATCHED, surroundings
from course_lib.errors import CourseError
from course_lib.grading.sandbox.zygote import family_of

ENVIRONMENT = {
    **UNWATCHED,
    "COURSE_BUDGET": "smoke",  # for demonstrations; no graded cell depends on it
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
TRIES = 3  # how often a call is made whose process is killed, by the system or by a person, before it has answered


@dataclass(frozen=True)
class Call:
    """A function at module level and its plain arguments; `key` is for the caller to know it by."""

    key: Any
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """What came of a call: its value, or one sentence that says what went wrong."""

    key: Any
    value: Any = None
    error: str = ""
    seconds: float = 0.0  # of the try that answered


@dataclass
class _Try:
    """A call under way in a process."""

    process: Any
    call: Call
    number: int  # 1 for the first
    began: float


class Pool:
    """`jobs` processes, started when first needed. Use it in a with statement.

    A process that is killed from outside costs nothing but time: its call is made again, up to `TRIES` times in all.

    Args:
        jobs: how many.
        folder: receives grading.log, with what was printed in the processes.
        limit: seconds that one call may take; its process and all its children are killed after that.
        preload: modules that are imported once, before the processes are forked from the one that holds them.
    """

    def __init__(self, jobs: int, folder: Path, limit: float, preload: Sequence[str] = ()) -> None:
        self.jobs, self.folder, self.limit = jobs, folder, limit
        self.first: tuple[Callable[..., None], tuple[Any, ...]] | None = None  # what a process calls before all else
        self.start: Callable[[], tuple[Any, Any]] = self._start  # makes a process: the connection to it, and itself
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self._context = multiprocessing.get_context(method)
        if method == "forkserver" and preload:
            self._context.set_forkserver_preload(list(preload))
        self._idle: list[tuple[Any, Any]] = []
        self._busy: dict[Any, _Try] = {}

    def __enter__(self) -> Pool:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *exception: object) -> None:
        for connection, _ in self._idle:
            connection.close()  # the worker sees the end and leaves
        for _, process in self._idle:
            process.join(2)
            _kill(process)
        for connection, attempt in self._busy.items():
            _kill(attempt.process)
            connection.close()
        self._idle, self._busy = [], {}

    def warm(self) -> None:
        """Begin to import what is preloaded, and do not wait for it."""
        if self._context.get_start_method() == "forkserver":
            with surroundings(ENVIRONMENT):
                multiprocessing.forkserver.ensure_running()

    def run(self, calls: Iterable[Call]) -> Iterator[Answer]:
        """Answers in the order in which they come. A call is taken from `calls` when a process is free for it."""
        source, again, answers = iter(calls), list[tuple[Call, int]](), list[Answer]()
        exhausted = False
        while True:
            while len(self._busy) < self.jobs and (again or not exhausted):
                if again:
                    self._begin(*again.pop())
                    continue
                call = next(source, None)
                if call is None:
                    exhausted = True
                else:
                    self._begin(call, 1)
            yield from answers  # whoever takes them may take time, which the processes use
            answers.clear()
            if not self._busy:
                return
            oldest = min(attempt.began for attempt in self._busy.values())
            ready = multiprocessing.connection.wait(
                list(self._busy), timeout=max(0.0, oldest + self.limit - time.monotonic())
            )
            for connection in list(self._busy):
                attempt = self._busy[connection]
                seconds = time.monotonic() - attempt.began
                if connection in ready:
                    try:
                        value, error = connection.recv()
                    except (EOFError, OSError):
                        connection.close()
                        if attempt.number < TRIES:
                            again.append((attempt.call, attempt.number + 1))
                            error = None
                        else:
                            error = f"the process that worked on it was killed {TRIES} times"
                        value = None
                elif seconds >= self.limit:
                    value, error = None, f"it took more than {self.limit:g} seconds"
                    connection.close()
                else:
                    continue
                del self._busy[connection]
                if connection.closed:
                    _kill(attempt.process)
                else:
                    self._idle.append((connection, attempt.process))
                if error is not None:
                    answers.append(Answer(attempt.call.key, value, error, seconds))

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """One call, and its value. Raises CourseError where it went wrong."""
        answer = next(self.run([Call(None, function, arguments)]))
        if answer.error:
            raise CourseError(answer.error)
        return answer.value

    def _begin(self, call: Call, number: int) -> None:
        while self._idle:
            connection, process = self._idle.pop()
            if not connection.poll():  # an idle worker says nothing; what can be read is that it was killed
                break
            connection.close()
            _kill(process)
        else:
            connection, process = self.start()
        # Where the worker dies while it receives, the end of its connection is noticed by `run`.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send((call.function, call.arguments))
        self._busy[connection] = _Try(process, call, number, time.monotonic())

    def _start(self) -> tuple[Any, Any]:
        here, there = self._context.Pipe()
        process = self._context.Process(
            target=serve, args=(there, str(self.folder / "grading.log"), self.first), daemon=True
        )
        with surroundings(ENVIRONMENT):
            process.start()
        there.close()
        return here, process


def serve(connection: Any, log: str | None, first: tuple[Callable[..., None], tuple[Any, ...]] | None) -> None:
    """The life of a worker: answer calls until the connection closes. What it prints goes to the file `log`, if any."""
    die_with_parent()
    # Ctrl-C is for the coordinator, which ends its workers. A handler, unlike SIG_IGN, is not inherited by programs.
    signal.signal(signal.SIGINT, lambda *_: None)
    os.environ.update(ENVIRONMENT)  # also where another user of the fork server started it
    if log is not None:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        os.close(descriptor)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(levelname)s %(message)s", force=True)
    if first is not None:
        first[0](*first[1])
    while True:
        try:
            function, arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = function(*arguments), ""
        except CourseError as error:
            answer = None, str(error)
        except Exception as error:
            logging.exception("A call failed")
            answer = None, f"{type(error).__name__}: {error}"
        connection.send(answer)


def die_with_parent() -> None:
    """End this process when its parent ends, however that happens (Linux; elsewhere after the present call).

    A worker's parent is the fork server, which leaves when its one client does, or the sandbox's, which is killed then.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _kill(process: Any) -> None:
    """End a worker and what it started."""
    started = _started_by(process.pid) if process.pid is not None else set()
    if process.is_alive():
        process.kill()
    for child in started:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)
    process.join(5)


def _started_by(pid: int) -> set[int]:
    """The numbers of a process's descendants. psutil compares clocks, and loses some where one is set meanwhile."""
    if sys.platform == "linux":
        return family_of(pid, "/proc") - {pid}
    try:
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    except psutil.Error:
        return set()
