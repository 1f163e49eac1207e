"""One notebook in one process: `python -m course_lib.authoring.worker` reads a job from standard input and runs it.

The job is one line of JSON: {"notebook": text, "output": path, "parameters": {...}, "cwd": path, "scratch": path of an
empty folder that is deleted at the end}. What happens is told on standard output, a line of JSON each: {"cell": cells
done, "of": cells, "code": code cells done}, at the end {"end": "ok" | "raised" | "died" | "broken", "message": str}.
Standard input stays open as long as the parent lives; when it closes, this process and its kernel end.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any


def tell(**message: Any) -> None:
    """One line to the parent."""
    sys.__stdout__.write(json.dumps(message) + "\n")
    sys.__stdout__.flush()


def end_tree() -> None:
    """Kill every descendant of this process, the kernel above all."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def _die_with_parent(scratch: str) -> None:
    sys.stdin.read()  # returns when the other end is closed, however the parent ended
    end_tree()
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def use_this_python(folder: Path) -> None:
    """Make `python3` mean the interpreter that runs this, whatever kernels the user has installed.

    JUPYTER_PATH is searched before every folder of the user or of the environment. IPython's own folder is a fresh one
    too, so that no start-up file or history of the user takes part.
    """
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    os.environ["JUPYTER_PATH"] = str(folder)
    os.environ["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")
    os.environ["IPYTHONDIR"] = str(folder / "ipython")


def execute(job: dict[str, Any]) -> tuple[str, str]:
    """Run the notebook with papermill; how it ended, and the error in words.

    Returns:
        ("ok", ""), ("raised", the cell's traceback), ("died", which cell) or ("broken", why it did not start).
    """
    sys.modules["rfc3987_syntax"] = None  # jsonschema does without it; importing it costs more than a small notebook

    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    at = {"code": 0}

    class Telling(NBClientEngine):
        """papermill's engine, telling the parent about each cell."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
            complete = nb_man.cell_complete

            def told(cell: Any, cell_index: int | None = None, **more: Any) -> None:
                complete(cell, cell_index=cell_index, **more)
                at["code"] += cell.cell_type == "code"
                tell(cell=(cell_index or 0) + 1, of=len(nb_man.nb.cells), code=at["code"])

            nb_man.cell_complete = told
            tell(cell=0, of=len(nb_man.nb.cells), code=0)
            if os.name != "nt":  # sockets in a folder of its own: kernels started at once may choose the same port
                kwargs["config"] = Config(KernelManager={"transport": "ipc", "ip": f"{job['scratch']}/at"})
            return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)

    papermill_engines.register("course", Telling)
    notebook = nbformat.reads(job["notebook"], as_version=4)
    try:
        papermill.execute_notebook(
            notebook,
            job["output"],
            parameters=job["parameters"],
            engine_name="course",
            kernel_name="python3",
            progress_bar=False,
            cwd=job["cwd"],
            start_timeout=120,
        )
    except PapermillExecutionError as error:
        return "raised", f"Cell [{error.exec_count}] raised {error.ename}.\n" + "\n".join(error.traceback)
    except DeadKernelError:
        return "died", f"The kernel died in cell [{at['code']}]; most often the machine ran out of memory."
    except Exception as error:  # a kernel that does not start, a full disk
        return "broken", f"{type(error).__name__}: {error}"
    return "ok", ""


def main() -> None:
    """Run the job that the parent sends."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_die_with_parent, args=(job["scratch"],), daemon=True).start()
    use_this_python(Path(job["scratch"]))
    try:
        end, message = execute(job)
    finally:
        end_tree()
        shutil.rmtree(job["scratch"], ignore_errors=True)
    tell(end=end, message=message)
    sys.stdout.flush()
    os._exit(0)  # threads of the dead kernel's client may still wait


if __name__ == "__main__":
    main()
