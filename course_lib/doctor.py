"""`course doctor`: is everything here that the course needs, and what will be slow, and why."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import typer

from course_lib.errors import CourseError

GOOD, NOTE, BAD = "good", "note", "bad"
FREE_GB = 5.0  # what data, checkpoints and executed notebooks take at the gpu budget, generously


@dataclass(frozen=True)
class Finding:
    """One line of the report. `bad` means that the course will not work, `note` that something is worth knowing."""

    level: str
    subject: str
    text: str


def versions(
    requirements: list[str] | None = None, version_of: Callable[[str], str] = metadata.version
) -> Iterator[Finding]:
    """Every package that the installed course asks for, against the bounds it was installed with.

    Packages of extras (the instructor's side) are reported only where they are installed.

    Args:
        requirements: in the form of a package's metadata; by default those of course_lib.
        version_of: the installed version of a package, or PackageNotFoundError.
    """
    try:
        from packaging.requirements import Requirement
    except ImportError:  # an environment so bare that nothing can be compared
        yield Finding(BAD, "packaging", "is not installed, so no version can be checked: pip install packaging")
        return
    if requirements is None:
        try:
            requirements = metadata.requires("course_lib") or []
        except metadata.PackageNotFoundError:
            yield Finding(
                NOTE, "course_lib", "is imported from a folder, not installed; its requirements are not known"
            )
            return
    seen = set()
    for line in requirements:
        requirement = Requirement(line)
        wanted, install = str(requirement.specifier), f"pip install '{requirement.name}{requirement.specifier}'"
        if (requirement.name, wanted) in seen:  # extras repeat what other extras ask for
            continue
        seen.add((requirement.name, wanted))
        if requirement.name.replace("-", "_") == "course_lib":
            continue
        optional = requirement.marker is not None and "extra" in str(requirement.marker)
        if not optional and requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            installed = version_of(requirement.name)
        except metadata.PackageNotFoundError:
            if not optional:
                yield Finding(BAD, requirement.name, f"is not installed: {install}")
            continue
        if requirement.specifier.contains(installed, prereleases=True):
            yield Finding(GOOD, requirement.name, installed)
        else:
            yield Finding(BAD, requirement.name, f"is {installed}; the course needs {wanted}: {install}")


def python() -> Iterator[Finding]:
    """The interpreter, and whether it is an environment of its own."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(GOOD if sys.version_info >= (3, 11) else BAD, "Python", f"{version} at {sys.executable}")


def device() -> Iterator[Finding]:
    """GPU, threads, and what they mean for the time that lectures take."""
    try:
        import torch
    except ImportError as error:
        yield Finding(BAD, "torch", f"cannot be imported ({error})")
        return
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            yield Finding(GOOD, "GPU", f"{properties.name}, {properties.total_memory / 2**30:.0f} GB")
        if not torch.cuda.is_bf16_supported():
            yield Finding(NOTE, "GPU", "no bfloat16 in hardware: leave the bf16 switch off")
    elif torch.backends.mps.is_available():
        yield Finding(GOOD, "GPU", "Apple's, through MPS")
    elif torch.version.cuda:
        yield Finding(
            NOTE,
            "GPU",
            f"none, though this torch is built for CUDA {torch.version.cuda}: lectures use the laptop budget; "
            "on Colab choose Runtime > Change runtime type > GPU, elsewhere see whether nvidia-smi lists one",
        )
    else:
        yield Finding(NOTE, "GPU", "none, and this torch is built without CUDA: lectures use the laptop budget")
    cores, threads = _cores(), torch.get_num_threads()
    text = f"{threads} for torch, on {cores} cores"
    if threads < cores:
        limited = os.environ.get("OMP_NUM_THREADS")
        text += f"; OMP_NUM_THREADS={limited} holds it back" if limited else "; fewer than there are"
        yield Finding(NOTE, "threads", text)
    elif threads > cores:
        yield Finding(NOTE, "threads", text + "; more than there are makes everything slower: set OMP_NUM_THREADS")
    elif cores < 4 and not torch.cuda.is_available():
        yield Finding(NOTE, "threads", text + "; with so few, use the smoke budget for a first look")
    else:
        yield Finding(GOOD, "threads", text)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def widgets(version_of: Callable[[str], str] = metadata.version) -> Iterator[Finding]:
    """What the explorers need."""
    try:
        version = version_of("ipywidgets")
    except metadata.PackageNotFoundError:
        yield Finding(NOTE, "explorers", "are still pictures, because ipywidgets is not installed")
        return
    major = int(version.split(".")[0])
    if major in (7, 8):
        yield Finding(GOOD, "explorers", f"ipywidgets {version}; 7 and 8 both work")
    else:
        yield Finding(NOTE, "explorers", f"ipywidgets {version} is not one of the tested 7 and 8")


def storage(folder: Path | None = None, free: Callable[[Path], float] | None = None) -> Iterator[Finding]:
    """The folder of downloaded data, and room for it and for what a run leaves.

    Args:
        folder: the folder of data; by default where the course keeps it.
        free: gigabytes free at a path.
    """
    if folder is None:
        try:
            from course_lib.data.hub import data_root

            folder = data_root()
        except ImportError as error:
            yield Finding(BAD, "data", f"cannot be found ({error})")
            return
    free = free or (lambda path: shutil.disk_usage(path).free / 2**30)
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    size = sum(path.stat().st_size for path in files) / 2**20
    held = f"{len(files)} files, {size:.0f} MB" if files else "nothing downloaded yet"
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if folder.exists() and not folder.is_dir():
        yield Finding(BAD, "data", f"{folder} is a file; delete it or set COURSE_DATA to a folder")
    elif not os.access(existing, os.W_OK):
        yield Finding(NOTE, "data", f"{folder} ({held}) cannot be written; set COURSE_DATA to a folder that can")
    else:
        yield Finding(GOOD, "data", f"{folder} ({held})")
    for name, path in (("disk of the data", existing), ("disk of this folder", Path.cwd())):
        gigabytes = free(path)
        if gigabytes < 0.2:
            yield Finding(BAD, name, f"{gigabytes * 1024:.0f} MB free; checkpoints and results cannot be written")
        elif gigabytes < FREE_GB:
            yield Finding(NOTE, name, f"{gigabytes:.1f} GB free; the larger data sets and checkpoints may not fit")
        else:
            yield Finding(GOOD, name, f"{gigabytes:.0f} GB free")


def sandbox() -> Iterator[Finding]:
    """Whether submissions can be graded in a sandbox; nothing where the instructor's side is not installed."""
    try:
        metadata.version("nbgrader")
        box = importlib.import_module("course_lib.grading.sandbox.box")  # the students' package has no such module
    except (metadata.PackageNotFoundError, ImportError):
        return
    try:
        box.bubblewrap()
    except CourseError as error:
        yield Finding(NOTE, "grading", str(error).rstrip("."))
    else:
        yield Finding(GOOD, "grading", "students' code runs in a sandbox, by bubblewrap")


def examine() -> list[Finding]:
    """The whole report, in order."""
    return [finding for part in (python, versions, device, widgets, storage, sandbox) for finding in part()]


def register(app: typer.Typer) -> None:
    """Add doctor to the command line."""

    @app.command()
    def doctor() -> None:
        """Say whether everything the course needs is here, and what would be slow and why.

        Exits with 1 where something is missing or too old.

        Example: course doctor
        """
        raise typer.Exit(doctor_command())


def doctor_command() -> int:
    """What `course doctor` does; the exit status."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    findings = examine()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    marks = {GOOD: Text("✓", "green"), NOTE: Text("!", "yellow"), BAD: Text("✗", "bold red")}
    for finding in findings:
        table.add_row(marks[finding.level], finding.subject, Text(finding.text))
    console = Console(highlight=False)
    console.print(table)
    bad = sum(finding.level == BAD for finding in findings)
    notes = sum(finding.level == NOTE for finding in findings)
    if bad:
        console.print(
            Text(f"\n{bad} {'things' if bad > 1 else 'thing'} must be mended before the course works here.", "bold red")
        )
        return 1
    console.print(f"\nThe course works here{f', with {notes} to note' if notes else ''}.")
    return 0
