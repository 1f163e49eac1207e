# ruff: noqa
"""Computes for ever, with every signal blocked, in the cell itself and in a test.

class: time
limits: question=1.5
"""

# %% double
import signal

for number in range(1, 64):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass


def double(x):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


# %% scale
def scale(x, by):
    return x


while True:
    pass
