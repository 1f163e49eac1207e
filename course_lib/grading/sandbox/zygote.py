"""The process inside bubblewrap: loads torch and the course once, then makes a fork for each process that needs them.

`python -m course_lib.grading.sandbox.zygote FD` takes orders on the socket FD. An order is one JSON message with
descriptors. One for a student's process brings three: the bridge (a socket), the output (a pipe) and the watch (a
socket). It makes two processes. The *warden* holds the watch: when the other end closes it, or memory or processes run
out, it kills the student's process and all that this one has started, and says why. The student's process is process 1
of namespaces of its own, so that it sees neither the others nor what they leave behind, and nothing that it starts
outlives it. One for a *worker*, a process of the grader's own, brings the socket on which it is given its jobs and one
on which it gives orders in its turn. Students' processes are never forked from one that has seen a job.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import math
import os
import random
import resource
import select
import shutil
import signal
import socket
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

from course_lib.grading.sandbox import calls
from course_lib.grading.sandbox.box import SCRATCH

PRELOAD = (
    "numpy",
    "torch",
    "torch._dynamo",  # what the first optimizer and the first assert_close import, for seconds
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "sklearn.datasets",
    "sklearn.model_selection",
    "course_lib.budget",
    "course_lib.checks.backprop",
    "course_lib.checks.gan",
    "course_lib.checks.inversion",
    "course_lib.checks.optimizers",
    "course_lib.checks.synthesis",
    "course_lib.data",
    "course_lib.data.toys",
    "course_lib.draw",
    "course_lib.explore",
    "course_lib.loop",
    "course_lib.losses.games",
    "course_lib.scratch",
    "course_lib.scratch.planted",
    "course_lib.grading.bridge.student",
    "course_lib.grading.bridge.shell",
)
POLL = 0.2  # seconds between two looks at memory and processes
FILES = 20_000  # in each folder: an empty file takes memory too
COUNTING = 5.0  # seconds that counting memory may take; whoever needs more keeps it from being counted
MORE_THREADS = 64  # than processes
THREADS = 8  # of all its processes together; a submission that has more runs after the others
WORK = SCRATCH[0]

NEW_NAMESPACES = 0x10000000 | 0x00020000 | 0x20000000 | 0x08000000 | 0x04000000 | 0x40000000  # user mnt pid ipc uts net
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x4000, 0x40000
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 24, 38
MADV_COLLAPSE, LARGE = 25, 2**21  # bytes of a large page

libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: bytes, target: str, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    _check(libc.mount(source, target.encode(), kind, flags, data), f"mount {target}")


def enter_namespaces() -> None:
    """Give this process, and more so its children, a world of their own. Raises OSError where that is not allowed."""
    user, group = os.getuid(), os.getgid()
    _check(libc.unshare(NEW_NAMESPACES), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # else the warden may not read its child's memory
    _mount(b"none", "/", None, MS_REC | MS_PRIVATE)


def make_scratch(disk: int) -> None:
    """Empty folders in memory for what the student's code writes, `disk` bytes in each; no view of other processes."""
    for folder in SCRATCH:
        _mount(b"tmpfs", folder, b"tmpfs", MS_NOSUID | MS_NODEV, f"size={disk},nr_inodes={FILES},mode=1777".encode())
    try:
        _mount(b"proc", "/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:  # not allowed in every container; then there is no /proc at all
        _mount(b"tmpfs", "/proc", b"tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, b"size=4096,mode=555")
    # Deeper namespaces would only widen what of the kernel can be attacked.
    with contextlib.suppress(OSError):
        Path("/proc/sys/user/max_user_namespaces").write_text("0")


def drop_capabilities() -> None:
    """No capability is left, nor can one be had again."""
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def set_limits(memory: int, disk: int, processes: int) -> None:
    """Bounds of one process; the warden bounds them together."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for which, bound in (
        (resource.RLIMIT_AS, in_use + memory),
        (resource.RLIMIT_FSIZE, disk),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_NPROC, processes + MORE_THREADS),
    ):
        hard = resource.getrlimit(which)[1]
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(which, (bound, bound))


def student(bridge: int, output: int, order: dict[str, Any], shell: Any) -> None:
    """The student's process, from its first line to its last."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    limits = order["limits"]
    set_limits(limits["memory"], limits["disk"], limits["processes"])
    if order["isolate"]:
        make_scratch(limits["disk"])
    if order["confined"]:
        drop_capabilities()
        with contextlib.suppress(OSError):  # a kernel without seccomp; the namespaces hold all the same
            calls.install(alone=order["alone"])
    os.chdir(WORK if order["confined"] else order["folder"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(bridge, 3)
    os.closerange(4, 1024)
    for number, stream in ((1, "stdout"), (2, "stderr")):
        opened = open(number, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        setattr(sys, stream, opened)
    import numpy as np
    import torch

    from course_lib.grading.bridge.student import Runtime

    random.seed()
    np.random.seed(random.getrandbits(32))
    torch.default_generator.manual_seed(random.getrandbits(63))  # torch.manual_seed takes 8 ms, for devices too
    gc.enable()
    Runtime(socket.socket(fileno=3), shell).serve()


def worker(jobs: int, control: int, order: dict[str, Any]) -> None:
    """A process of the grader's own, from its first line to its last."""
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    from multiprocessing.connection import Connection

    from course_lib.grading.checker import use_sandbox
    from course_lib.grading.pool import serve

    with socket.socket(fileno=os.dup(jobs)) as calls:
        own = os.pidfd_open(os.getpid())
        socket.send_fds(calls, [b"w"], [own])
        os.close(own)
    serve(Connection(jobs), None, (use_sandbox, (socket.socket(fileno=control), order["kind"], True, order["alone"])))


def warden(bridge: int, output: int, watch: int, order: dict[str, Any], shell: Any, accountant: socket.socket) -> None:
    """Watch over one student's process; tells the other end why it ended: "ended", "memory", "processes", "crash"."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    said = socket.socket(fileno=watch)
    try:
        os.chdir("/proc")  # the student's process will hide it, from this one too; a working directory stays
        if order["isolate"]:
            enter_namespaces()
        child = os.fork()
    except OSError as error:
        said.sendall(f"crash {error}".encode())
        return
    if child == 0:
        status = 1
        try:
            said.close()
            accountant.close()
            student(bridge, output, order, shell)
            status = 0
        finally:
            os._exit(status)
    os.close(bridge)
    os.close(output)
    ended = os.pidfd_open(child)
    why, bounds = b"ended", _Bounds(child, order["limits"], accountant)
    while True:
        ready, _, _ = select.select([said, ended], [], [], POLL)
        if ready:
            break
        too_much = bounds.exceeded()
        if too_much:
            why = too_much.encode()
            break
    with contextlib.suppress(ProcessLookupError):
        _kill(child, order["isolate"])
    _, status = os.waitpid(child, 0)
    if why == b"ended" and status and said not in ready:
        why = b"crash"
    with contextlib.suppress(OSError):
        said.sendall(why)


def _kill(child: int, isolated: bool) -> None:
    """Process 1 of a namespace takes all others with it; without one, what has kept its session goes."""
    if not isolated:
        for other in family_of(child):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(other, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)


def family_of(process: int, proc: str = ".") -> set[int]:
    """The numbers of a process and its descendants. `proc` is /proc; the warden, as in what follows, works there."""
    parents = {}
    for entry in os.listdir(proc):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parents[int(entry)] = int(Path(f"{proc}/{entry}/stat").read_text().rpartition(")")[2].split()[1])
    family, grown = {process} & parents.keys(), True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return family


def _lines(path: str) -> dict[str, int]:
    """The numbers of a file of lines such as "VmRSS:   1234 kB"; kB as bytes. Empty where the process has ended."""
    found = {}
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            name, _, rest = line.partition(":")
            number, *unit = rest.split() or [""]
            if number.isdigit():
                found[name] = int(number) * (1024 if unit == ["kB"] else 1)
    return found


class _Bounds:
    """What the processes of `child` may have together; `accountant` is the other end of `keep_accounts`."""

    def __init__(self, child: int, limits: dict[str, int], accountant: socket.socket) -> None:
        self.child, self.limits, self.accountant = child, limits, accountant
        self.answer, self.asked_at = -1, 0.0

    def exceeded(self) -> str:
        """ "processes", "memory", or "" for neither."""
        family = family_of(self.child)
        if len(family) > self.limits["processes"]:
            return "processes"
        known = [_lines(f"{pid}/status") for pid in family]
        threads = sum(lines.get("Threads", 0) for lines in known)
        if threads > self.limits["processes"] + MORE_THREADS:
            return "processes"
        if threads > THREADS:
            _give_way(family)
        most = sum(lines.get("RssAnon", 0) + lines.get("RssShmem", 0) for lines in known)
        return "memory" if most > self.limits["memory"] and self._counted(family) > self.limits["memory"] else ""

    def _counted(self, family: set[int]) -> float:
        """The bytes that these processes have together, shared pages counted once; 0 while that is not known."""
        if self.answer < 0:
            self.answer, written = os.pipe()
            self.asked_at = time.monotonic()
            try:
                socket.send_fds(self.accountant, [json.dumps(list(family)).encode()], [written])
            finally:
                os.close(written)
        if not select.select([self.answer], [], [], POLL)[0]:
            return math.inf if time.monotonic() - self.asked_at > COUNTING else 0
        found = int(os.read(self.answer, 100) or 0)
        os.close(self.answer)
        self.answer = -1
        return found


def keep_accounts(orders: socket.socket) -> None:
    """Count memory for wardens: an order is a list of processes, with a pipe for the sum of their bytes.

    The kernel lets whoever asks wait for a process that forks. This process can wait for several; a warden could not,
    for it may have no threads.
    """

    def count(family: list[int], answer: int) -> None:
        total = sum(_lines(f"{pid}/smaps_rollup").get("Pss", 0) for pid in family)
        with contextlib.suppress(OSError):
            os.write(answer, str(total).encode())
        os.close(answer)

    os.chdir("/proc")
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, 65536, 1)
        if not message:
            return
        threading.Thread(target=count, args=(json.loads(message), *descriptors), daemon=True).start()


def _give_way(family: set[int]) -> None:
    """Let every thread of these processes wait for others: many that compute must not slow a neighbour down."""
    for pid in family:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"{pid}/task"):
                with contextlib.suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, int(thread), 19)


def first_use() -> None:
    """Load what only the first use of something loads."""
    import torch

    from course_lib.data import digits

    leaf = torch.ones(2, requires_grad=True)
    torch.autograd.grad(2 * leaf, leaf, torch.ones(2))
    torch.testing.assert_close(leaf, leaf)
    digits("train")


def use_large_pages() -> None:
    """Move what this process has written into large pages, so that a fork has hundreds of entries to copy, not 100,000.

    It takes half a second, and makes a fork and its end three and two times as fast: 5 and 7 ms where they took 14 and
    13. Before Linux 6.1 there is no such order, and everything stays as it is.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, access, _, _, _, *name = line.split(maxsplit=5)
        if access == "rw-p" and name in ([], ["[heap]"]):
            first, last = (int(address, 16) // LARGE * LARGE for address in addresses.split("-"))
            libc.madvise(ctypes.c_void_p(first + LARGE), ctypes.c_size_t(max(0, last - first - LARGE)), MADV_COLLAPSE)


def can_isolate() -> bool:
    """Whether namespaces inside bubblewrap's are allowed here."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            enter_namespaces()
            inner = os.fork()
            if inner == 0:
                worked = 1
                try:
                    make_scratch(2**20)
                    worked = 0
                finally:
                    os._exit(worked)
            status = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main() -> None:
    """Load everything, then take orders until nobody gives any."""
    control = socket.socket(fileno=int(sys.argv[1]))
    accountant, orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:  # before anything is loaded: it should be small
        try:
            control.close()
            accountant.close()
            keep_accounts(orders)
        finally:
            os._exit(0)
    orders.close()
    cache = os.environ.get("COURSE_FONTS")  # matplotlib looks for fonts for seconds where it has no list
    if cache and os.path.isdir(cache):
        with contextlib.suppress(OSError):
            shutil.copytree(cache, os.environ["MPLCONFIGDIR"], dirs_exist_ok=True)
    began = time.monotonic()
    gc.disable()  # nothing of what is loaded is garbage; to look for it takes a sixth of the time
    for name in PRELOAD:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    main_module = types.ModuleType("__main__")
    sys.modules["__main__"] = main_module
    from course_lib.grading import checker
    from course_lib.grading.bridge import shell

    made = shell.make()
    checker.preload()  # for workers
    use_large_pages()
    hello = {"isolates": can_isolate(), "seconds": time.monotonic() - began}
    control.sendall(json.dumps(hello).encode())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(control, 65536, 3)
        except OSError:
            return
        if not message:
            return
        order = json.loads(message)
        if os.fork() == 0:
            try:
                control.close()
                if order["do"] == "worker":
                    accountant.close()
                    worker(*descriptors, order)
                else:
                    warden(*descriptors, order, made, accountant)
            finally:
                os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


if __name__ == "__main__":
    main()
