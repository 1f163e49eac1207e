"""The loop: one descent step, and a generator that repeats a system's step and reports.

    for i, metrics in iterate(gan.step, batches, budget.steps(2000)):
        board.update(i, metrics, images=gan.sample(64))

Plotting, annealing and stopping are ordinary statements in the reader's own loop body.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from course_lib.device import rng_state, set_rng_state, to_device
from course_lib.errors import CourseError

Metrics = dict[str, float]
CHECKPOINT_FORMAT = 1


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor, *, clip: float | None = None) -> torch.Tensor:
    """One step of `optimizer` down `loss`: clear its gradients, backpropagate to its parameters alone, update them.

    No other parameter's `.grad` is touched: in a game, the generator's step leaves nothing behind in the critic.

    Args:
        optimizer: whose parameters move.
        loss: scalar tensor, ().
        clip: largest allowed Euclidean norm of the whole gradient; None does not clip.

    Returns:
        The loss before the step, detached, ().
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    if clip is not None:
        nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    return loss.detach()


def in_parallel(*jobs: Callable[[], Any], device: torch.device | str = "cpu") -> list[Any]:
    """What each job returns, in order; on a CPU with several threads they run at the same time.

        net, rival = in_parallel(lambda: train(net), lambda: train(rival), device=device)

    Two small nets on one core each are trained sooner than one after the other on two cores, since threads within a
    small operation mostly wait for each other. torch's threads are shared out: with 4 threads and 2 jobs each gets 2.
    With one thread, or on a GPU, where small jobs would only queue, they run one after the other.

    The jobs must not share what they change, and not draw from torch's global generator: build the nets before, and
    give every sampler a generator of its own; then the results do not depend on who runs first.

    Args:
        jobs: functions without arguments.
        device: where they compute.

    Raises:
        whatever a job raises, or KeyboardInterrupt; the others are stopped first.
    """
    threads = torch.get_num_threads()
    runners = min(len(jobs), threads)
    if runners < 2 or torch.device(device).type != "cpu":
        return [job() for job in jobs]
    working: set[int] = set()
    gate, stopped = threading.Lock(), threading.Event()

    def run(job: Callable[[], Any]) -> Any:
        torch.set_num_threads(threads // runners)  # of this thread
        with gate:
            if stopped.is_set():
                raise KeyboardInterrupt
            working.add(threading.get_ident())
        try:
            return job()
        finally:
            with gate:
                working.discard(threading.get_ident())

    try:
        with ThreadPoolExecutor(runners) as pool:
            try:
                futures = [pool.submit(run, job) for job in jobs]
                while True:  # not one long wait: an interrupt is seen only between two
                    done, others = wait(futures, timeout=0.1, return_when=FIRST_EXCEPTION)
                    if not others or any(future.exception() for future in done):
                        return [future.result() for future in sorted(done, key=futures.index)]
            except BaseException:
                with gate:
                    stopped.set()
                    for thread in working:
                        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
                        raise_in(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
                raise
    finally:
        torch.set_num_threads(threads)


def iterate(
    step: Callable[[Any], dict[str, Any]],
    batches: Iterable[Any],
    steps: int,
    *,
    every: int | None = None,
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 30.0,
    history: list[tuple[int, Metrics]] | None = None,
) -> Iterator[tuple[int, Metrics]]:
    """Call `step` on `steps` batches; every `every` steps yield (steps done so far, mean of each metric since then).

    Metrics stay on the device until a report, so the device is waited for once per report, not once per step. The
    last report covers what is left over. Batches are moved to `system.device`, where `system` is what `step` is a
    method of, and started again when they run out.

    With `checkpoint=path` the run survives a kill at any moment: the system, its optimizers, the position in the
    batches and all random generators are saved after the loop body has finished with a report (at most every
    `checkpoint_seconds`, and at the end), and the same call continues from there bit by bit. The file is replaced
    atomically. Only what the system and `batches` hold is saved: keep no other state in the loop body.

    Args:
        step: a bound method `system.step(batch) -> {name: scalar tensor or number}`.
        batches: re-iterable or endless; `course_lib.data.Batches` where a checkpoint is wanted.
        steps: total number of steps, those before a resume included.
        every: steps between reports; about a hundredth of `steps` unless given.
        progress: show a bar; by default yes, except where COURSE_HEADLESS is set.
        checkpoint: path of the file to save to and resume from.
        checkpoint_seconds: least time between two saves, in seconds.
        history: a list that receives every report, those from before a resume included.

    Raises:
        CourseError: a metric became NaN or infinite (names system, step and metric); batches ran out; the checkpoint
            is damaged, belongs to another system, or cannot be written.
    """
    if steps < 0 or (every is not None and every < 1):
        raise CourseError(f"iterate needs steps >= 0 and every >= 1, not steps={steps}, every={every}.")
    every = every or max(1, steps // 100)
    history = [] if history is None else history
    system = getattr(step, "__self__", None)
    name = type(system).__name__ if system is not None else getattr(step, "__name__", "step")
    device = getattr(system, "device", None)
    saver = _Checkpoint(Path(checkpoint), name, system, batches, checkpoint_seconds) if checkpoint is not None else None
    done = saver.resume(history) if saver else 0
    if progress is None:
        progress = not os.environ.get("COURSE_HEADLESS")

    stream = _endless(batches)
    window = _Window(name, every)
    with tqdm(total=steps, initial=done, desc=name, leave=False, disable=not progress) as bar:
        while done < steps:
            size = min(every - done % every, steps - done)
            for _ in range(size):
                try:
                    batch = next(stream)
                except StopIteration:
                    raise CourseError(
                        f"The batches ran out after {done} of {steps} steps; "
                        "pass something that can be iterated again, such as course_lib.data.Batches."
                    ) from None
                window.add(step(to_device(batch, device)))
                done += 1
            metrics = window.flush(done)
            history.append((done, metrics))
            bar.update(size)
            bar.set_postfix({key: f"{value:.3g}" for key, value in metrics.items()}, refresh=False)
            yield done, metrics
            if saver:
                saver.save(done, history, force=done >= steps)


def fit(
    step: Callable[[Any], dict[str, Any]], batches: Iterable[Any], steps: int, **options: Any
) -> dict[str, list[float]]:
    """`iterate` with an empty loop body. Returns {"step": [...], metric: [...], ...}, one entry per report."""
    history: list[tuple[int, Metrics]] = options.pop("history", [])
    for _ in iterate(step, batches, steps, history=history, **options):
        pass
    curves: dict[str, list[float]] = {"step": [i for i, _ in history]}
    for _, metrics in history:
        for key, value in metrics.items():
            curves.setdefault(key, []).append(value)
    return curves


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    """`batches` again and again; ends where a second pass would be empty (a generator that is used up)."""
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            return


class _Window:
    """Metrics of the steps since the last report, kept on the device in one (size, metrics) buffer."""

    def __init__(self, system: str, size: int) -> None:
        self.system, self.size, self.count = system, size, 0
        self.on_device: list[str] = []  # names of the tensor metrics
        self.on_host: dict[str, list[float]] = {}  # plain numbers, by name
        self.buffer: torch.Tensor | None = None

    def add(self, metrics: dict[str, Any]) -> None:
        tensors = {key: value.detach() for key, value in metrics.items() if isinstance(value, torch.Tensor)}
        numbers = {key: float(value) for key, value in metrics.items() if key not in tensors}
        if self.count == 0:
            self.on_device, self.on_host = list(tensors), {key: [] for key in numbers}
            for key, value in tensors.items():
                if value.numel() != 1:
                    raise CourseError(
                        f"{self.system}.step returned a metric {key!r} of shape {tuple(value.shape)}; "
                        "a metric is one number: take its mean."
                    )
            if tensors and (self.buffer is None or self.buffer.shape[1] != len(tensors)):
                first = next(iter(tensors.values()))
                self.buffer = torch.empty(self.size, len(tensors), device=first.device)
        elif list(tensors) != self.on_device or list(numbers) != list(self.on_host):
            raise CourseError(
                f"{self.system}.step returned the metrics {', '.join(metrics)} "
                f"after {', '.join([*self.on_device, *self.on_host])}; return the same ones at every step."
            )
        if tensors:
            torch.stack([value.reshape(()).float() for value in tensors.values()], out=self.buffer[self.count])
        for key, value in numbers.items():
            self.on_host[key].append(value)
        self.count += 1

    def flush(self, done: int) -> Metrics:
        """Means over the window; the only place that waits for the device."""
        columns = dict(self.on_host)
        if self.on_device:
            rows = self.buffer[: self.count].cpu().double()
            columns |= {key: rows[:, j].tolist() for j, key in enumerate(self.on_device)}
        for row in range(self.count):
            for key, values in columns.items():
                if not math.isfinite(values[row]):
                    step = done - self.count + row + 1
                    raise CourseError(
                        f"{self.system}: the metric {key!r} became {values[row]} at step {step}; "
                        "lower the learning rate or look for a logarithm or division of zero."
                    )
        means = {key: sum(values) / self.count for key, values in columns.items()}
        self.count = 0
        return means


def system_state(system: Any) -> dict[str, Any]:
    """Everything in `system` that changes as it trains, in a form that `torch.load(weights_only=True)` reads.

    That is: its `state_dict()` if it has one; else of its attributes every module, optimizer, scheduler, generator,
    tensor and number, also inside lists, tuples, dicts and systems (whatever has a `step`).
    """
    if hasattr(system, "state_dict"):
        return {"": system.state_dict()}
    state: dict[str, Any] = {}
    for path, value in _stateful(vars(system)):
        if isinstance(value, torch.Generator):
            state[path] = value.get_state()
        elif hasattr(value, "state_dict"):
            state[path] = value.state_dict()
        else:
            state[path] = value
    return state


def load_system_state(system: Any, state: dict[str, Any]) -> None:
    """Put what `system_state` returned back into a system that was built in the same way.

    Raises:
        CourseError: the state belongs to a system with other parts or other shapes.
    """
    if hasattr(system, "state_dict"):
        system.load_state_dict(state[""])
        return
    parts = dict(_stateful(vars(system)))
    if set(parts) != set(state):
        raise CourseError(
            f"The saved state has other parts than this {type(system).__name__} "
            f"({', '.join(sorted(set(parts) ^ set(state)))}); delete it or build the system as before."
        )
    for path, value in parts.items():
        try:
            if isinstance(value, torch.Generator):
                value.set_state(state[path])
            elif hasattr(value, "load_state_dict"):
                value.load_state_dict(copy.deepcopy(state[path]))  # optimizers would share the tensors
            elif isinstance(value, torch.Tensor):
                with torch.no_grad():
                    value.copy_(state[path])
            else:
                _assign(system, path, state[path])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CourseError(
                f"The saved state does not fit {type(system).__name__}.{path}; "
                "delete it or build the system with the same sizes."
            ) from error


def _stateful(attributes: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in attributes.items():
        path = f"{prefix}{key}"
        if isinstance(value, (torch.Tensor, torch.Generator, int, float)) or (
            hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
        ):
            yield path, value
        elif isinstance(value, dict):
            yield from _stateful(value, path + ".")
        elif isinstance(value, (list, tuple)):
            yield from _stateful({str(j): item for j, item in enumerate(value)}, path + ".")
        elif callable(getattr(value, "step", None)) and hasattr(value, "__dict__"):
            yield from _stateful(vars(value), path + ".")  # a system inside a system


def _assign(system: Any, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    target: Any = vars(system)
    for key in parents:
        target = target[int(key)] if isinstance(target, (list, tuple)) else target[key]
        if not isinstance(target, (list, tuple, dict)):
            target = vars(target)
    if isinstance(target, tuple):
        return  # a number in a tuple cannot have changed
    target[int(last) if isinstance(target, list) else last] = value


class _Checkpoint:
    """One file that holds a whole run: system, batches, random generators, reports."""

    def __init__(self, path: Path, name: str, system: Any, batches: Any, seconds: float) -> None:
        if system is None:
            raise CourseError(
                "A checkpoint needs a bound method such as gan.step, so that what it changes can be saved."
            )
        if not hasattr(batches, "state_dict"):
            raise CourseError(
                "A checkpoint needs batches that know their position; wrap the data in course_lib.data.Batches."
            )
        self.path, self.name, self.system, self.batches, self.seconds = path, name, system, batches, seconds
        self.saved = time.monotonic()

    def resume(self, history: list[tuple[int, Metrics]]) -> int:
        """Restore from the file if there is one; returns the number of steps already done."""
        if not self.path.exists():
            return 0
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            fits = state["format"] == CHECKPOINT_FORMAT and state["name"] == self.name
        except Exception as error:
            raise CourseError(
                f"The checkpoint {self.path} is damaged or not a checkpoint of the course; delete it to start afresh."
            ) from error
        if not fits:
            raise CourseError(
                f"The checkpoint {self.path} was made by {state['name']}, not {self.name} as it is now; "
                "delete it or give this run another path."
            )
        load_system_state(self.system, state["system"])
        self.batches.load_state_dict(state["batches"])
        set_rng_state(state["rng"])
        history[:] = [(i, dict(metrics)) for i, metrics in state["history"]]
        print(f"{self.name} resumed after step {state['done']} from {self.path}")
        return state["done"]

    def save(self, done: int, history: list[tuple[int, Metrics]], force: bool) -> None:
        if not force and time.monotonic() - self.saved < self.seconds:
            return
        state = {
            "format": CHECKPOINT_FORMAT,
            "name": self.name,
            "done": done,
            "system": system_state(self.system),
            "batches": self.batches.state_dict(),
            "rng": rng_state(),
            "history": history,
        }
        write_atomically(self.path, lambda file: torch.save(state, file))
        self.saved = time.monotonic()


_serial = itertools.count()


def write_atomically(path: Path, write: Callable[[Any], None]) -> None:
    """Write a file so that `path` holds either the old content or the whole new one, whatever happens.

    Raises:
        CourseError: the disk is full or the folder cannot be written; what was at `path` is still there.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{next(_serial)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        raise CourseError(
            f"Could not write {path} ({getattr(error, 'strerror', None) or error}); "
            "free some disk space or choose another folder, then run again."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
