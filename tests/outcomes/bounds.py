"""The bounds that the lectures state, read from their sources, so that text, notebook and test cannot disagree."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Bound:
    """What `record("name", value, at_least=…, at_most=…)` asks of a value."""

    name: str
    at_least: float | None
    at_most: float | None

    def met_by(self, value: float) -> bool:
        """Whether a number meets it; NaN meets no bound."""
        value = float(value)
        return (
            not math.isnan(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
        )


def _source(notebook: str) -> Path:
    places = (ROOT / "notebooks" / f"{notebook}.py", ROOT / "solutions" / notebook / f"{notebook}.py")
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise FileNotFoundError(f"no source of {notebook!r} in notebooks/ or solutions/")
    return found


@cache
def bounds_in(notebook: str) -> dict[str, Bound]:
    """Every bound that a lecture ("01_backprop") or problem set ("ps01_backprop") records, by name.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: a recorded name or bound is not a literal, or a name is recorded twice.
    """
    source = _source(notebook)
    return bounds_of_source(source.read_text(encoding="utf-8"), source.name)


def definitions(notebook: str, *names: str, **namespace: Any) -> list[Any]:
    """Functions and classes of a lecture, by name, run in `namespace`: so that a test measures what the lecture does.

    Raises:
        KeyError: the lecture does not define one of them at top level.
    """
    tree = ast.parse(_source(notebook).read_text(encoding="utf-8"))
    found = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    missing = [name for name in names if name not in found]
    if missing:
        raise KeyError(f"{notebook} defines no {', '.join(missing)}")
    for name in names:
        exec(compile(ast.Module([found[name]], type_ignores=[]), f"{notebook}.py", "exec"), namespace)
    return [namespace[name] for name in names]


def bounds_of_source(text: str, origin: str = "source") -> dict[str, Bound]:
    """Every bound recorded in a notebook's text (jupytext py:percent, which is plain Python)."""
    found: dict[str, Bound] = {}
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", getattr(node.func, "attr", None)) != "record":
            continue
        try:
            name = ast.literal_eval(node.args[0])
            keywords = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg in ("at_least", "at_most")}
        except (ValueError, IndexError) as error:
            raise ValueError(f"{origin}:{node.lineno}: record needs a literal name and literal bounds") from error
        if not isinstance(name, str) or not keywords:
            raise ValueError(f"{origin}:{node.lineno}: record needs a name and at_least= or at_most=")
        if name in found:
            raise ValueError(f"{origin}:{node.lineno}: {name!r} is recorded twice")
        found[name] = Bound(name, keywords.get("at_least"), keywords.get("at_most"))
    return found


def bound_of(notebook: str, name: str) -> Bound:
    """The bound that `notebook` records under `name`; KeyError, with the names there are, if it records none."""
    bounds = bounds_in(notebook)
    if name not in bounds:
        raise KeyError(f"{notebook} records no {name!r}; it records {', '.join(map(repr, bounds)) or 'nothing'}")
    return bounds[name]
