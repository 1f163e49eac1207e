"""What every test needs: one thread per worker, no windows, and no data in the user's own folders."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Before torch or NumPy is imported. Processes that run side by side get one thread each; alone, a test may use all.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"
os.environ["COURSE_HEADLESS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_data_outside():
    """Downloads and caches go to a folder that is deleted afterwards, whatever COURSE_DATA said before."""
    before = os.environ.get("COURSE_DATA")
    with tempfile.TemporaryDirectory(prefix="course-data-") as folder:
        os.environ["COURSE_DATA"] = folder
        yield
    if before is None:
        del os.environ["COURSE_DATA"]
    else:
        os.environ["COURSE_DATA"] = before


@pytest.fixture(autouse=True)
def _close_figures():
    """No test leaves figures open (matplotlib keeps them all)."""
    yield
    import sys

    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def one_fork_server():
    """A process has one fork server, with what it preloaded when it began: here, what every user of it needs."""
    from multiprocessing import forkserver, get_all_start_methods, get_context

    from course_lib.authoring.mutants import PRELOAD

    if "forkserver" in get_all_start_methods():
        get_context("forkserver").set_forkserver_preload([*PRELOAD, "course_lib.grading.plain"])
        forkserver.ensure_running()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository under test."""
    return Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `cuda` where there is no such device, and say so."""
    if not any("cuda" in item.keywords for item in items):
        return
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and there is none"))
