"""Runs the cells of a notebook in this process, as a kernel would: magics, rich outputs, `display`, tracebacks."""

from __future__ import annotations

import base64
import sys
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Any as AnyTrait
from traitlets import Instance, Type
from traitlets.config import Config

LARGEST = 1_000_000  # characters of one output


class _Publisher(DisplayPublisher):
    """Keeps what `display` is given."""

    outputs = AnyTrait()

    def publish(self, data: Any, metadata: Any = None, **more: Any) -> None:
        if self.outputs is not None:
            self.outputs.append({"output_type": "display_data", "data": _plain(data), "metadata": {}})


class _Hook(DisplayHook):
    """Keeps the value of a cell's last line."""

    outputs = AnyTrait()

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        if self.outputs is not None:
            data = {"output_type": "execute_result", "data": _plain(format_dict), "metadata": {}}
            self.outputs.append({**data, "execution_count": None})


class Shell(InteractiveShell):
    """IPython without a terminal and without a history."""

    display_pub_class = Type(_Publisher)
    displayhook_class = Type(_Hook)
    display_pub = Instance(DisplayPublisher, allow_none=True)

    def __init__(self, **kwargs: Any) -> None:
        self.traces: list[dict[str, Any]] = []
        super().__init__(**kwargs)

    def init_history(self) -> None:
        """A database that is not there."""
        self.config.HistoryManager.enabled = False
        super().init_history()

    def init_virtualenv(self) -> None:
        """This environment is the right one."""

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        lines = [str(line)[:LARGEST] for line in stb]
        self.traces.append(
            {"output_type": "error", "ename": etype.__name__, "evalue": str(evalue)[:LARGEST], "traceback": lines}
        )

    @property
    def names(self) -> dict[str, Any]:
        """The notebook's names."""
        return self.user_ns

    def run(self, source: str) -> tuple[list[dict[str, Any]], str]:
        """Execute a cell: its outputs but for what it printed, in nbformat's form, and what it raised or ""."""
        outputs: list[dict[str, Any]] = []
        self.traces = []
        self.display_pub.outputs = self.displayhook.outputs = outputs
        result = self.run_cell(source, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        return [*outputs, *self.traces], type(error).__name__ if error is not None else ""


def make() -> Shell:
    """The shell of this process; `__main__` is the notebook."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor" if "NoColor" in str(InteractiveShell.colors.__class__) else "nocolor"
    main = sys.modules["__main__"]
    shell = Shell.instance(config=config, user_module=main, user_ns=vars(main))
    return shell


def _plain(data: Any) -> dict[str, Any]:
    """A bundle of representations with nothing in it but text; pictures in base64, what is too large left out."""
    found = {}
    for kind, content in dict(data).items():
        text = base64.b64encode(content).decode() if isinstance(content, bytes) else content
        if isinstance(text, str) and len(text) <= LARGEST:
            found[str(kind)] = text
    return found
