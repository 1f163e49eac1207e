# ruff: noqa
"""Sends what it is called with to every stream, terminal, log, warning and display there is.

class: leaks of hidden data
earns: all
"""

# %% double
import logging, os, sys, warnings
from IPython.display import display, HTML


def double(x):
    warnings.warn(f"{x}")
    logging.getLogger().error(x)
    display(HTML(f"<b>{x}</b>"))
    for number in (0, 1, 2):
        try:
            os.write(number, f"{x}\n".encode())
        except OSError:
            pass
    for name in ("/dev/tty", "/dev/console", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/ptmx", "/dev/core"):
        try:
            os.write(os.open(name, os.O_WRONLY | os.O_NOCTTY), f"{x}\n".encode())
        except OSError:
            pass
    os.system(f"echo {x}; echo {x} >&2; (sleep 0.2; echo {x}) & logger {x}")
    return 2 * x
