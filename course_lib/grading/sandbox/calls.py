"""System calls that a student's process has no use for, refused by the kernel (seccomp).

Namespaces and limits bound what a process can reach through files, sockets and its own memory. What is refused here
goes around them: memory that belongs to no file system and no process (memfd_create, shmget), keys that outlive the
process that made them (keyctl), namespaces of one's own, other processes' memory, and parts of the kernel that are
large, seldom needed and often the way out (bpf, io_uring, perf, userfaultfd, mounts).

The filter is written for x86-64 and for 64-bit ARM; elsewhere there is none, and `install` says so.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

# name: number on x86-64, number on 64-bit ARM
REFUSED = {
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "vmsplice": (278, 75),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
}
CLONE, CLONE3 = (56, 220), 435
FORKS = (57, 58)  # fork and vfork, which x86-64 has beside clone
THREAD = 0x00010000  # CLONE_THREAD
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, the kernel's number of the machine
NEW_NAMESPACE = 0x7E020080  # any CLONE_NEW… flag
X32 = 0x40000000  # x86-64 with short pointers has the same calls under other numbers

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
PR_SET_SECCOMP, FILTER = 22, 2


def program(machine: str, alone: bool = False) -> bytes:
    """The filter for a machine (platform.machine()), as the kernel reads it; b"" where there is none.

    Args:
        alone: refuse new processes too, but not threads.
    """
    if machine not in MACHINES:
        return b""
    column, number = MACHINES[machine]
    lines = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, number), (RETURN, 0, 0, REFUSE | errno.EPERM), (LOAD, 0, 0, 0)]
    if machine == "x86_64":
        lines += [(AT_LEAST, 0, 1, X32), (RETURN, 0, 0, REFUSE | errno.EPERM)]
    for numbers in REFUSED.values():
        lines += [(EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, REFUSE | errno.EPERM)]
    # clone3 has its flags in memory, where no filter can see them; the C library then uses clone.
    lines += [(EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    if alone and machine == "x86_64":
        for number in FORKS:
            lines += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | errno.EAGAIN)]
    lines += [(EQUAL, 0, 5 if alone else 3, CLONE[column]), (LOAD, 0, 0, 16), (ANY_BIT, 0, 1, NEW_NAMESPACE)]
    lines += [(RETURN, 0, 0, REFUSE | errno.EPERM)]
    lines += [(ANY_BIT, 1, 0, THREAD), (RETURN, 0, 0, REFUSE | errno.EAGAIN)] if alone else []
    lines += [(RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def install(*, alone: bool = False) -> bool:
    """Refuse the calls to this process and all that it starts; False where there is no filter for this machine.

    The kernel counts a user's processes (RLIMIT_NPROC), but not those of the machine's root. Where that is who runs
    the grader, nothing would hold back a process that forks all the time; there `alone` refuses every fork.

    Needs no_new_privs. Raises OSError where the kernel has no seccomp.
    """
    lines = program(platform.machine(), alone)
    if not lines:
        return False
    text = ctypes.create_string_buffer(lines, len(lines))
    pointer = struct.pack("HxxxxxxP", len(lines) // 8, ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.c_char_p(pointer), 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, "seccomp")
    return True
