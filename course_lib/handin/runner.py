"""Runs the cells of a notebook one after the other: `python -m course_lib.handin.runner`, in a process of its own.

The job is JSON on standard input: {"cells": [source, ...], "limit": seconds for each}. On standard output comes a line
of JSON when a cell begins, {"cell": number}, and one when it ends, {"cell": number, "error": "", "kind": "", "output":
text, "seconds": number}. What the cells print to the file descriptors themselves goes nowhere.

There is no kernel: IPython's shell runs the cells as a notebook would, magics and `display` included.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

OUTPUT = 200_000  # characters kept of what a cell prints
MESSAGE = 2_000  # and of an error


class Kept(io.TextIOBase):
    """A stream that keeps the beginning of what is written to it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.room = OUTPUT

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.room > 0:
            self.parts.append(text[: self.room])
            self.room -= len(text)
        return len(text)


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[Callable[[], bool]]:
    """Interrupt the main thread after that time; yields a function that says whether it came to that."""
    fired = threading.Event()

    def interrupt() -> None:
        fired.set()
        if hasattr(signal, "pthread_kill"):  # also ends a sleep
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:
            import _thread

            _thread.interrupt_main()

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield fired.is_set
    finally:
        timer.cancel()


def shell() -> Any:
    """An IPython shell that keeps no history and reads nobody's start-up files."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"
    return InteractiveShell.instance(config=config)


def run(cells: list[str], limit: float, tell: Callable[..., None]) -> None:
    """Run the cells; a cell that raises does not stop the others."""
    ipython = shell()
    ipython.showtraceback = ipython.showsyntaxerror = lambda *_, **__: None  # what is raised is told, not printed
    for number, source in enumerate(cells):
        tell(cell=number)
        kept, began = Kept(), time.monotonic()
        error: BaseException | None = None
        late: Callable[[], bool] = bool
        try:
            with contextlib.redirect_stdout(kept), contextlib.redirect_stderr(kept), at_most(limit) as late:
                result = ipython.run_cell(source, store_history=False)
                error = result.error_before_exec or result.error_in_exec
        except BaseException as raised:  # the interruption may come a moment late
            error = raised
        kind, text = "", ""
        if late() and isinstance(error, (KeyboardInterrupt, type(None))):
            kind, text = "time limit", f"It took longer than {limit:g} s."
        elif error is not None:
            kind = type(error).__name__
            text = " ".join(_words(error).split())
        said = "".join(kept.parts)
        tell(cell=number, error=text[:MESSAGE], kind=kind, output=said, seconds=round(time.monotonic() - began, 3))


def _words(error: BaseException) -> str:
    try:
        if isinstance(error, SyntaxError):
            return f"{error.msg} (line {error.lineno})"
        return str(error)
    except Exception:  # an exception of the student's own may not be printable
        return ""


def main() -> None:
    """Run the job on standard input."""
    job = json.loads(sys.stdin.buffer.read())
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)

    def tell(**message: Any) -> None:
        events.write(json.dumps(message) + "\n")
        events.flush()

    run(job["cells"], job["limit"], tell)
    os._exit(0)  # whatever threads the cells have left


if __name__ == "__main__":
    main()
