"""The trusted end of the sandbox: finds bubblewrap, starts the zygote in it, and asks it for students' processes."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import course_lib
from course_lib.errors import CourseError

ENVIRONMENT = {  # all that a student's code finds; nothing of the instructor's environment
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "COURSE_HEADLESS": "1",
    "COURSE_BUDGET": "smoke",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONDONTWRITEBYTECODE": "1",
}
LIMITS = {
    "question": 120.0,  # seconds that one cell may take
    "submission": 900.0,  # seconds in all
    "memory": 2 * 2**30,  # bytes, all processes together
    "disk": 256 * 2**20,  # bytes in each of its home, /tmp and /dev/shm
    "processes": 64,
    "output": 200_000,  # characters that are kept of what a cell prints
}
SCRATCH = ("/home/student", "/tmp", "/dev/shm")  # empty folders in memory, for each student's process its own
TRIES = 3  # how often a zygote that has died is started again for one worker
START = 120.0  # seconds that the zygote may take to load everything
HOW = (
    "install bubblewrap (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap), or grade on a Linux "
    "machine that has it; --sandbox none runs students' code with your rights"
)


def need_linux() -> None:
    """Raises CourseError on any other system: processes are watched and ended by what only Linux has."""
    if sys.platform != "linux":
        raise CourseError(
            "course grade runs on Linux, a container or WSL included; grade there, give --scheduler a cluster of such "
            "machines, or use nbgrader autograde, which protects from nothing."
        )


def bubblewrap() -> str:
    """The path of bwrap. Raises CourseError where there is none, or it cannot make namespaces here."""
    need_linux()
    program = shutil.which("bwrap")
    if program is None:
        raise CourseError(f"Grading runs students' code in a sandbox, and there is no bubblewrap here; {HOW}.")
    command = [program, "--unshare-all", "--ro-bind", "/usr", "/usr", *_links(), "/usr/bin/true"]
    tried = subprocess.run(command, capture_output=True, text=True)
    if tried.returncode:
        said = tried.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise CourseError(f"bubblewrap cannot make a sandbox here ({said[0]}); {HOW}.")
    return program


def _links() -> list[str]:
    """/bin, /lib … as this machine has them."""
    arguments = []
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        path = Path(name)
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), name]
        elif path.is_dir():
            arguments += ["--ro-bind", name, name]
    return arguments


def _command(program: str, control: int) -> list[str]:
    """bubblewrap around the zygote: system, Python and this package read-only, and nothing else of the disk."""
    places = {sys.prefix, sys.base_prefix, *site.getsitepackages(), str(Path(course_lib.__file__).parent)}
    places |= {path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}
    binds: list[str] = []
    for place in sorted(places):
        inside = any(Path(place).is_relative_to(other) for other in ("/usr", *binds))
        if Path(place).is_dir() and not inside:
            binds.append(place)
    for place in binds:
        hidden = next((folder for folder in SCRATCH if Path(place).is_relative_to(folder)), None)
        if hidden is not None:
            raise CourseError(
                f"{place} cannot be used for grading, because {hidden} is an empty folder in the sandbox; have the "
                "course and its environment elsewhere."
            )
    etc = [
        p
        for p in ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")
        if os.path.exists(p)
    ]
    # Where matplotlib keeps its list of fonts. To ask it takes a quarter of a second, in which nothing else begins.
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    fonts = os.environ.get("MPLCONFIGDIR") or os.path.join(cache, "matplotlib")
    command = [
        program,
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
        *("--uid", "1000", "--gid", "1000", "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--ro-bind", "/usr", "/usr"),
        *_links(),
    ]
    for place in (*binds, *etc):
        command += ["--ro-bind", place, place]
    command += ["--ro-bind", fonts, "/fonts"] if os.path.isdir(fonts) else []
    command += ["--proc", "/proc", "--dev", "/dev"]
    for folder in SCRATCH:
        command += ["--size", str(LIMITS["disk"]), "--tmpfs", folder]
    command += ["--remount-ro", "/dev"]  # a file there would be seen by the next student's process, and has no bound
    command += ["--clearenv"]
    parent = str(Path(course_lib.__file__).parent.parent)
    more = {"HOME": "/home/student", "MPLCONFIGDIR": "/tmp/matplotlib", "COURSE_FONTS": "/fonts", "PYTHONPATH": parent}
    for name, value in {**ENVIRONMENT, **more}.items():
        command += ["--setenv", name, value]
    return [*command, "--chdir", "/home/student", "--remount-ro", "/", *_zygote(control)]


def _zygote(control: int) -> list[str]:
    return [sys.executable, "-m", "course_lib.grading.sandbox.zygote", str(control)]


@dataclass
class Process:
    """A student's process: the bridge to it, what it prints, and the watch that ends it when closed."""

    bridge: socket.socket
    output: int
    watch: socket.socket
    folder: tempfile.TemporaryDirectory[str] | None = None
    own: Sandbox | None = None  # a sandbox that serves this process only

    def end(self) -> str:
        """Kill it, with all that it started: "ended" where it was alive, else "memory", "processes" or "crash"."""
        said = b""
        with contextlib.suppress(OSError):
            self.watch.shutdown(socket.SHUT_WR)
            self.watch.settimeout(10)
            while part := self.watch.recv(4096):
                said += part
        self.bridge.close()
        self.watch.close()
        with contextlib.suppress(OSError):
            os.close(self.output)
        if self.folder is not None:
            self.folder.cleanup()
        if self.own is not None:
            self.own.close()
        return said.decode(errors="replace").partition(" ")[0] or "ended"


class Worker:
    """A process of the grader's own that was forked from the zygote: what a pool needs of a process.

    Args:
        descriptor: of the process (a pidfd); process numbers in the sandbox are others than here.
    """

    pid = None

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not select.select([self._descriptor], [], [], 0)[0]

    def kill(self) -> None:
        """End it, and with it what it has started."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        select.select([self._descriptor], [], [], timeout)


class Sandbox:
    """A zygote, in bubblewrap or (`kind` "none") without. Use it in a with statement, or close it.

    Several processes may ask one zygote for students' processes: `Sandbox.of` makes a Sandbox of `control`, which can
    be given to another process.

    Args:
        kind: "bubblewrap" or "none".
        log: a file for what the zygote complains about.
        wait: until it is ready; else call `ready` before `start`, and do something else meanwhile.

    Raises:
        CourseError: there is no bubblewrap, or the zygote does not start.
    """

    def __init__(self, kind: str = "bubblewrap", log: Path | None = None, *, wait: bool = True) -> None:
        self.kind, self._log, self.isolates, self.alone = kind, log, False, os.geteuid() == 0
        need_linux()
        self._lock = threading.Lock()
        self._begin()
        if wait:
            self.ready()

    def _begin(self) -> None:
        self._ready = False
        kind, log = self.kind, self._log
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if kind == "bubblewrap":
            command = _command(bubblewrap(), theirs.fileno())
            environment = {}
        else:
            command = _zygote(theirs.fileno())
            keep = {name: os.environ[name] for name in ("HOME", "SYSTEMROOT") if name in os.environ}
            parent = str(Path(course_lib.__file__).parent.parent)
            environment = {**keep, **ENVIRONMENT, "PYTHONPATH": parent}
        with open(log or os.devnull, "ab") as said:
            self._started: subprocess.Popen[bytes] | None = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        theirs.close()
        self.control = ours
        ours.settimeout(START)

    @classmethod
    def of(cls, control: socket.socket, kind: str, isolates: bool, alone: bool, log: Path | None = None) -> Sandbox:
        """The sandbox that another process has started; `alone`: as root, so that students' code has no processes."""
        self = cls.__new__(cls)
        self.kind, self.isolates, self.alone, self._log = kind, isolates, alone, log
        self._started, self.control, self._ready = None, control, True
        control.settimeout(START)
        return self

    def ready(self) -> None:
        """Wait until the zygote has loaded everything. Raises CourseError where it does not."""
        if self._ready:
            return
        try:
            hello = json.loads(self.control.recv(65536) or b"{}")
        except (TimeoutError, ValueError):
            hello = {}
        if not hello:
            self.close()
            raise CourseError("The sandbox does not start; build/grading/grading.log says why.")
        self.isolates, self._ready = hello["isolates"], True

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def alive(self) -> bool:
        """Whether the zygote still takes orders; can be asked in a fork too."""
        poll = select.poll()
        poll.register(self.control, 0)
        return not poll.poll(0)

    def close(self) -> None:
        """End the zygote and every process that came from it, if it was started here."""
        self.control.close()
        if self._started is None:
            return
        self._started.kill()  # there is nothing that it would have to finish
        self._started.wait()

    def worker(self) -> tuple[Connection, Worker]:
        """A new process of the grader's own: `Pool` serves calls in it. With it torch is loaded once for all.

        It is in this sandbox, but not in one of the students' processes, which neither see it nor what it has.

        Raises:
            CourseError: the zygote has died, and does not start again.
        """
        for _ in range(TRIES):
            with self._lock:
                if not self.alive():
                    self.close()
                    self._begin()
                    self.ready()
            ours, theirs = socket.socketpair()
            ours.settimeout(START)
            order = {"do": "worker", "kind": self.kind, "alone": self.alone}
            with theirs, self.control.dup() as control, contextlib.suppress(OSError):
                socket.send_fds(self.control, [json.dumps(order).encode()], [theirs.fileno(), control.fileno()])
            with contextlib.suppress(OSError):
                _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
                if descriptors:
                    ours.settimeout(None)
                    return Connection(ours.detach()), Worker(descriptors[0])
            ours.close()
        raise CourseError("The sandbox does not start; build/grading/grading.log says why.")

    def start(self, limits: dict[str, float]) -> Process:
        """A new student's process.

        Where bubblewrap does not allow namespaces inside its own, each process gets a bubblewrap of its own, which has
        to load torch again; nothing is shared either way.

        Raises:
            OSError: the zygote is gone.
        """
        own = None
        if self.kind == "bubblewrap" and not self.isolates:
            own = Sandbox(self.kind, self._log)
        control = (own or self).control
        bridge, theirs = socket.socketpair()
        watch, warden = socket.socketpair()
        output, written = os.pipe()
        folder = None if self.kind == "bubblewrap" else tempfile.TemporaryDirectory(prefix="submission-")
        order = {
            "do": "student",
            "limits": {name: int(value) for name, value in limits.items()},
            "isolate": self.kind == "bubblewrap" and self.isolates,
            "confined": self.kind == "bubblewrap",
            "alone": self.alone,
            "folder": folder.name if folder else "",
        }
        try:
            socket.send_fds(control, [json.dumps(order).encode()], [theirs.fileno(), written, warden.fileno()])
        finally:
            theirs.close()
            warden.close()
            os.close(written)
        os.set_blocking(output, False)
        return Process(bridge, output, watch, folder, own)
