"""The workers of a dask.distributed cluster, with the `run` of `Pool`.

A task is one submission: the job goes there, the result comes back, and nothing else is shared. A dask worker needs
this version of the package, its dependencies and bubblewrap, but no course folder, no gradebook and no secret: the seed
of the test data is that of one submission. Nothing of a submission runs in the dask worker itself, which keeps a `Pool`
of one process for each of its threads.

A task whose worker ended is given to another by the scheduler. Only so many tasks are sent as keep the workers busy, so
that memory stays flat however many submissions there are.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import multiprocessing
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.fingerprint import Library
from course_lib.grading.pool import TRIES, Answer, Call, Pool
from course_lib.grading.sandbox.box import Sandbox
from course_lib.grading.workers import checkers

AHEAD = 2  # tasks sent for each thread of the cluster: one that runs, and one that is there when it ends
CONNECT = 15.0  # seconds to find the scheduler
NOBODY = 60.0  # seconds to wait for a worker where there is none
LOOK = 2.0  # seconds between two looks at who is there


class Cluster:
    """A dask cluster as `Pool`. Use it in a with statement.

    Args:
        address: of the scheduler, such as tcp://10.0.0.1:8786.
        limit: seconds that one call may take.
        sandbox: "bubblewrap", where the workers must have that, or "none"; "" for calls that are no gradings.

    Raises:
        CourseError: dask.distributed is not installed, or nothing answers at the address.
    """

    def __init__(self, address: str, limit: float, sandbox: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise CourseError("A cluster needs dask.distributed; install course_lib[cluster].") from error
        self.address, self.limit, self.sandbox = address, limit, sandbox
        self._looked, self._threads = -LOOK, 0
        for name in list(logging.root.manager.loggerDict):  # what matters is said in a sentence
            if name.split(".")[0] == "distributed":
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            self._client = distributed.Client(address, timeout=CONNECT, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise CourseError(f"No dask scheduler answers at {address}; start one with dask scheduler.") from error

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.close(timeout=5)

    def run(self, calls: Iterable[Call]) -> Iterator[Answer]:
        """Answers in the order in which they come.

        Raises:
            CourseError: the scheduler is gone, no worker comes, or one cannot grade as this machine would.
        """
        source, exhausted = iter(calls), False
        first = next(source, None)
        if first is None:
            return
        self._check_workers()
        source = itertools.chain([first], source)
        flying: dict[str, tuple[Any, Call, float]] = {}
        landed: queue.Queue[Any] = queue.Queue()
        try:
            while True:
                while not exhausted and len(flying) < AHEAD * self._capacity():
                    call = next(source, None)
                    if call is None:
                        exhausted = True
                        break
                    task = (call.function, call.arguments, self.limit, self.sandbox, version())
                    future = self._client.submit(_work, task, pure=False, retries=TRIES - 1)
                    flying[future.key] = future, call, time.monotonic()
                    future.add_done_callback(landed.put)
                if not flying:
                    return
                try:
                    future = landed.get(timeout=LOOK)
                except queue.Empty:
                    self._capacity()  # says so where nobody is left
                    continue
                _, call, began = flying.pop(future.key)
                value, error = self._result(future)
                yield Answer(call.key, value, error, time.monotonic() - began)
        finally:
            for future, _, _ in flying.values():
                with contextlib.suppress(Exception):
                    future.cancel()

    def _result(self, future: Any) -> tuple[Any, str]:
        """A task's value, and why there is none."""
        from distributed.scheduler import KilledWorker

        if future.cancelled():
            raise self._gone()
        try:
            answer = future.result()
        except KilledWorker:
            return None, "the workers that worked on it were killed, one after another"
        except (OSError, TimeoutError) as error:
            raise self._gone() from error
        except Exception as error:
            if future.cancelled():
                raise self._gone() from error
            return None, f"{type(error).__name__}: {error}"
        if isinstance(answer, str):
            raise CourseError(answer)
        return answer

    def _gone(self) -> CourseError:
        return CourseError(
            f"The dask scheduler at {self.address} is gone; what was graded is kept, so start one again and run course "
            "grade again."
        )

    def _capacity(self) -> int:
        """The threads of all workers; waits for some where there are none."""
        began = time.monotonic()
        while time.monotonic() - self._looked > LOOK or not self._threads:
            try:
                self._threads = sum(self._client.nthreads().values())
            except (OSError, TimeoutError, RuntimeError) as error:  # also distributed's CommClosedError
                raise self._gone() from error
            self._looked = time.monotonic()
            if self._threads:
                break
            if time.monotonic() - began > NOBODY:
                raise CourseError(
                    f"The dask scheduler at {self.address} has no workers; start some with dask worker {self.address}, "
                    "then run course grade again."
                )
            time.sleep(0.2)
        return self._threads

    def _check_workers(self) -> None:
        """See that every worker would grade as this machine would."""
        self._capacity()
        try:
            found = self._client.run(_fit, self.sandbox, version(), on_error="return")
        except (OSError, TimeoutError, RuntimeError) as error:
            raise self._gone() from error
        for worker, answer in found.items():
            if isinstance(answer, Exception):
                answer = f"it cannot load course_lib ({type(answer).__name__}: {answer})"
            if answer:
                raise CourseError(f"The dask worker {worker} cannot grade: {answer}.")


# ------------------------------------------------------------------------------------------ on the dask worker


@functools.cache
def version() -> str:
    """What this package is, as far as scores depend on it: "0.1.0 (4f0c2a…)"."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        number = installed("course_lib")
    except PackageNotFoundError:
        number = "not installed"
    return f"{number} ({Library().whole[:12]})"


def _fit(sandbox: str, wanted: str) -> str:
    """Why this worker cannot grade, a clause; or ""."""
    if version() != wanted:
        return f"its course_lib is {version()}, here it is {wanted}; install the same there, and start it again"
    if sandbox == "bubblewrap":
        from course_lib.grading.sandbox.box import bubblewrap

        try:
            bubblewrap()
        except CourseError as error:
            return str(error).rstrip(".")
    return ""


_pools: queue.LifoQueue[Pool] = queue.LifoQueue()
_starting = threading.Lock()
_folder: tempfile.TemporaryDirectory[str] | None = None
_kept = contextlib.ExitStack()  # pools and sandbox, while this worker lives


def _work(task: tuple[Callable[..., Any], tuple[Any, ...], float, str, str]) -> tuple[Any, str] | str:
    """One call in a process of this worker's; its value and error, or a sentence that ends the run."""
    function, arguments, limit, sandbox, wanted = task
    if version() != wanted:  # a worker that came later than the others
        return f"A dask worker cannot grade: {_fit('none', wanted)}."
    try:
        pool = _pools.get_nowait()
    except queue.Empty:
        pool = _start(limit, sandbox)
    pool.limit = limit
    try:
        answer = next(pool.run([Call(None, function, arguments)]))
    finally:
        _pools.put(pool)
    return answer.value, answer.error


@functools.cache
def _box(kind: str, log: Path) -> Sandbox:
    return Sandbox(kind, log, wait=False)


def _start(limit: float, sandbox: str) -> Pool:
    """A pool of one process; the pools of this worker share a sandbox."""
    global _folder
    with _starting:
        # dask's nanny makes its worker a daemonic process, and multiprocessing forbids those to have children, lest
        # they are left behind. Ours end with their parent.
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        if _folder is None:
            _folder = tempfile.TemporaryDirectory(prefix="course-grading-")
        folder = Path(_folder.name)
        if not sandbox:
            return _kept.enter_context(Pool(1, folder, limit))
        return _kept.enter_context(checkers(1, folder, limit, _box(sandbox, folder / "grading.log")))
