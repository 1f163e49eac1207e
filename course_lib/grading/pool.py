"""Processes that grade side by side, one thread each. Any of them may die or hang without harm to the others."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import multiprocessing.connection
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from course_lib.errors import CourseError

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "COURSE_HEADLESS": "1",
    "COURSE_BUDGET": "smoke",  # for demonstrations; no graded cell depends on it
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


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
    seconds: float = 0.0


class Pool:
    """`jobs` processes, started when first needed. Use it in a with statement.

    Args:
        jobs: how many.
        folder: receives grading.log (what nbgrader and the kernels said) and the kernel description.
        limit: seconds that one call may take; its process and all its children are killed after that.
    """

    def __init__(self, jobs: int, folder: Path, limit: float) -> None:
        self.jobs, self.folder, self.limit = jobs, folder, limit
        # A fork server imports nbgrader once; each worker is a fork of it.
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self._context = multiprocessing.get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(["course_lib.grading.plain"])
        self._idle: list[tuple[Any, Any]] = []
        self._busy: dict[Any, tuple[Any, Call, float]] = {}

    def __enter__(self) -> Pool:
        self.folder.mkdir(parents=True, exist_ok=True)
        kernel = self.folder / "jupyter" / "kernels" / "python3" / "kernel.json"
        kernel.parent.mkdir(parents=True, exist_ok=True)
        # The kernel runs in the environment that grades, whatever kernels the user has installed under this name.
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
        return self

    def __exit__(self, *exception: object) -> None:
        for connection, process in self._idle:
            connection.close()  # the worker sees the end and leaves
            process.join(2)
            _kill(process)
        for connection, (process, _, _) in self._busy.items():
            _kill(process)
            connection.close()
        self._idle, self._busy = [], {}

    def run(self, calls: Iterable[Call]) -> Iterator[Answer]:
        """Answers in the order in which they come."""
        waiting = list(calls)[::-1]
        while waiting or self._busy:
            while waiting and len(self._busy) < self.jobs:
                connection, process = self._idle.pop() if self._idle else self._start()
                call = waiting.pop()
                self._busy[connection] = (process, call, time.monotonic())
                connection.send((call.function, call.arguments))
            oldest = min(started for _, _, started in self._busy.values())
            ready = multiprocessing.connection.wait(
                list(self._busy), timeout=max(0.0, oldest + self.limit - time.monotonic())
            )
            for connection in list(self._busy):
                process, call, started = self._busy[connection]
                seconds = time.monotonic() - started
                if connection in ready:
                    try:
                        value, error = connection.recv()
                    except (EOFError, OSError):
                        value, error = None, "the process that graded it was killed"
                        connection.close()
                elif seconds >= self.limit:
                    value, error = None, f"it took more than {self.limit:g} seconds"
                    connection.close()
                else:
                    continue
                del self._busy[connection]
                if connection.closed:
                    _kill(process)
                else:
                    self._idle.append((connection, process))
                yield Answer(call.key, value, error, seconds)

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """One call, and its value. Raises CourseError where it went wrong."""
        answer = next(self.run([Call(None, function, arguments)]))
        if answer.error:
            raise CourseError(answer.error)
        return answer.value

    def _start(self) -> tuple[Any, Any]:
        here, there = self._context.Pipe()
        log, jupyter = self.folder / "grading.log", self.folder / "jupyter"
        process = self._context.Process(target=_work, args=(there, str(log), str(jupyter)), daemon=True)
        process.start()
        there.close()
        return here, process


def _work(connection: Any, log: str, jupyter: str) -> None:
    """The life of a worker: answer calls until the connection closes."""
    os.environ.update(ENVIRONMENT)
    os.environ["JUPYTER_PATH"] = jupyter
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "0"  # JUPYTER_PATH comes first either way; this keeps its order plain
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(levelname)s %(message)s", force=True)
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


def _kill(process: Any) -> None:
    """End a worker and the kernels it started."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except (psutil.Error, ValueError, TypeError):
        family = []
    if process.is_alive():
        process.kill()
    for child in family:
        with contextlib.suppress(psutil.Error):
            child.kill()
    process.join(5)
