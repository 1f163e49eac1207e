"""The environment variables of processes that work side by side: one thread each, and nobody looks on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
UNWATCHED = {**ONE_THREAD, "COURSE_HEADLESS": "1", "MPLBACKEND": "Agg"}


@contextmanager
def surroundings(variables: Mapping[str, str] = UNWATCHED) -> Iterator[None]:
    """Environment variables for every process that is started inside; what was there before comes back.

    A fork server has to be started so: the libraries that it loads read the number of threads when they are loaded.
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
