# ruff: noqa
"""Hands in JSON that is nested a hundred thousand deep.

class: the file
earns: all
status: refused
"""


# %% make
def make(notebook):
    return b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
