# ruff: noqa
"""Answers the question itself, from inside the function, and never returns.

class: forged frames
spares: none
limits: question=2
"""

# %% double
import gc, time, sys

runtime = next(o for o in gc.get_objects() if type(o).__name__ == "Runtime")


def double(x):
    frame = sys._getframe()
    while frame and "question" not in frame.f_locals:
        frame = frame.f_back
    runtime.line.send({"id": frame.f_locals["question"]["id"], "value": 6, "error": None})
    time.sleep(60)
