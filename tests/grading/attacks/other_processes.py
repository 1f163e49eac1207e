# ruff: noqa
"""Looks for other processes to read, stop or kill: the grader, its parent, all.

class: escape
"""

# %% double
import os, signal, ctypes

libc = ctypes.CDLL(None, use_errno=True)


def double(x):
    for pid in (HOST_WORKER, os.getppid(), -1, 0, 2, 3, *range(4, 40)):
        for what in (signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM):
            try:
                if pid not in (0,):
                    os.kill(pid, what)
            except OSError:
                pass
        libc.ptrace(16, pid, 0, 0)
        libc.process_vm_readv(pid, 0, 0, 0, 0, 0)
        for name in ("mem", "environ", "maps", "root/etc/passwd", "cwd", "fd/0"):
            try:
                print(pid, name, open(f"/proc/{pid}/{name}", "rb").read(10))
            except OSError:
                pass
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    return 6
