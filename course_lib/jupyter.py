"""Whether there is a notebook to show things in. The library also runs where there is none, and no IPython."""

from __future__ import annotations


def in_notebook() -> bool:
    """True in a notebook's kernel or an IPython session, where `IPython.display` shows rich output."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return get_ipython() is not None
