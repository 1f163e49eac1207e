# ruff: noqa
"""Answers rightly, and lets children, threads and timers print what it was called with, long after.

class: leaks of hidden data
earns: all
spares: none
"""

# %% double
import os, threading, time


def say(x):
    for _ in range(30):
        os.write(1, f"{x}\n".encode())
        os.write(2, f"{x}\n".encode())
        time.sleep(0.1)


def double(x):
    threading.Thread(target=say, args=(x,), daemon=True).start()
    if os.fork() == 0:
        os.setsid()
        os.close(3)
        say(x)
        os._exit(0)
    return 2 * x
