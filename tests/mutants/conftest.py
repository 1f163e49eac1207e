"""Mutants are forks of a process that has torch, whichever tests ran before in this one."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _forks(one_fork_server):
    """See `one_fork_server`."""
