# ruff: noqa
"""Replaces builtins, switches assertions off, and hooks tracing and imports.

class: patching
spares: none
"""

# %% double
import builtins, sys, ctypes


def double(x):
    return 6


def yes(*_, **__):
    return True


sys.settrace(lambda *_: None)
sys.setprofile(lambda *_: None)
sys.meta_path.clear()
sys.path.clear()
sys.excepthook = sys.unraisablehook = lambda *_: None
builtins.__import__ = lambda *_, **__: builtins
builtins.AssertionError = builtins.Exception
for name in ("all", "any", "abs", "sum", "max", "min", "round", "float", "int"):
    setattr(builtins, name, yes)
