"""From the bytes of a file to its cells, whatever the bytes are: damaged encodings, odd JSON, old formats, wrong types.

nbformat is not used: students need not have it, and it raises where a repair is possible.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIZE = 20_000_000  # bytes of a file; a notebook with many pictures has two million
CELLS = 5_000  # cells of a notebook; a long one has two hundred
VALUES = 2_000_000  # JSON objects and lists in a file; those of interactive plots are the most numerous
DIGITS = 300  # of an integer; more than a notebook has any use for

KINDS = ("code", "markdown", "raw")
ENCODINGS = {"cp1252": "Windows-1252"} | {name: name.upper() for name in ("utf-16", "utf-16-le", "utf-16-be")}
ENCODINGS |= {name: name.upper() for name in ("utf-32", "utf-32-le", "utf-32-be")}


@dataclass(frozen=True)
class Cell:
    """One cell as it was handed in, with every field of the right type."""

    kind: str  # one of KINDS
    source: str
    grade_id: str = ""  # "" where it has none
    ids: tuple[str, ...] = ()  # its id, and the one that Colab keeps in the metadata
    marks: dict[str, Any] = field(default_factory=dict)  # nbgrader's metadata
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)  # pictures: {name: {media type: base64}}
    original: dict[str, Any] = field(default_factory=dict)  # the cell in the file


@dataclass(frozen=True)
class Notebook:
    """What could be read. Where `refusal` is not empty, there are no cells."""

    cells: list[Cell] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)  # sentences
    refusal: str = ""  # a clause


class _Unreadable(Exception):
    """Its text is the refusal."""


def load(path: Path) -> bytes:
    """The bytes of a file; of one that is too large, enough to see that it is. Raises OSError."""
    with path.open("rb") as file:
        return file.read(SIZE + 1)


def read(data: bytes) -> Notebook:
    """The cells of a notebook file, with what had to be repaired, or a refusal."""
    repairs: list[str] = []
    try:
        notebook = _notebook(data, repairs)
        entries = list(_entries(notebook, repairs))
        if len(entries) > CELLS:
            raise _Unreadable(
                f"it has {len(entries)} cells; at most {CELLS} are read, so delete those that you do not need"
            )
        damage: dict[str, int] = {}
        cells = [_cell(entry, damage) for entry in entries if isinstance(entry, dict)]
    except _Unreadable as error:
        return Notebook(refusal=str(error))
    lost = len(entries) - len(cells)
    if lost:
        repairs.append(f"{_times(lost, 'entry', 'entries')} in the list of cells had not the form of a cell.")
    repairs += [f"{text.format(_times(count, 'cell', 'cells'))}." for text, count in damage.items()]
    return Notebook(cells, repairs)


def _times(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count} {many}"


# ------------------------------------------------------------------------------------------------------- the file


def _notebook(data: bytes, repairs: list[str]) -> dict[str, Any]:
    """The notebook's JSON object. Raises _Unreadable."""
    if len(data) > SIZE:
        raise _Unreadable(f"it is larger than {SIZE // 10**6} MB; clear the outputs, save it and hand it in again")
    if not data.strip(b"\0 \t\r\n"):
        raise _Unreadable("it is empty; save the notebook and hand it in again")
    for start, what in ((b"PK\x03\x04", "a zip archive"), (b"%PDF", "a PDF"), (b"\x1f\x8b", "a gzip archive")):
        if data.startswith(start):
            raise _Unreadable(f"it is {what}, not a notebook; hand in the .ipynb file itself")
    value = _parse(_decode(data, repairs), repairs)
    for _ in range(3):  # a notebook inside something else
        if isinstance(value, dict) and not ("cells" in value or "worksheets" in value):
            inner = next((value[key] for key in ("ipynb", "content") if isinstance(value.get(key), (dict, str))), None)
        else:
            inner = value if isinstance(value, str) else None
        if inner is None:
            break
        value = _parse(inner, repairs) if isinstance(inner, str) else inner
        repairs.append("The notebook was wrapped in something else and was taken out of it.")
    if not isinstance(value, dict):
        raise _Unreadable("it is JSON but no notebook; hand in the .ipynb file itself")
    return value


def _decode(data: bytes, repairs: list[str]) -> str:
    """The text of a file: UTF-8 as it should be, or what an editor made of it."""
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        if encoding.startswith("utf-8"):
            text = data.decode("utf-8", "replace")
            foreign = len(data) - len(data.translate(None, bytes(range(0x80, 0x100))))
            if 2 * text.count("\ufffd") <= foreign:  # most of it is UTF-8
                repairs.append("Some characters were damaged; \ufffd stands in their place.")
                return text
            encoding = "cp1252"
        text = data.decode(encoding, "replace")
    if not encoding.startswith("utf-8"):
        repairs.append(f"The file was not in UTF-8; it was read as {ENCODINGS[encoding]}.")
    return text


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= DIGITS else float(digits)


def _parse(text: str, repairs: list[str]) -> Any:
    """The value of a JSON text, also where it holds control characters, NaN or huge numbers. Raises _Unreadable."""
    twice: set[str] = set()

    def gather(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        gathered = dict(pairs)
        if len(gathered) != len(pairs):
            seen: set[str] = set()
            twice.update(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return gathered

    decoder = json.JSONDecoder(strict=False, parse_int=_integer, object_pairs_hook=gather)
    text = text.strip("\0 \t\r\n\ufeff")
    if text.count("{") + text.count("[") > VALUES:
        raise _Unreadable("it holds millions of values; clear the outputs, save it and hand it in again")
    try:
        value, end = decoder.raw_decode(text)
    except (RecursionError, MemoryError):
        raise _Unreadable("it is nested too deeply to be a notebook; hand in the .ipynb file itself") from None
    except ValueError as error:
        raise _Unreadable(_why_not_json(text, error)) from None
    if text[end:].strip():
        repairs.append("Text that followed the end of the notebook was passed over.")
    if twice:
        names = ", ".join(sorted(repr(key[:40]) for key in sorted(twice)[:3]))
        repairs.append(f"The file names {names} more than once in one place; the last one counts, as in Jupyter.")
    return value


def _why_not_json(text: str, error: ValueError) -> str:
    if text.startswith("<") and not text.startswith("<<<<<<<"):
        return "it is a web page, not a notebook; download the .ipynb file itself and hand that in"
    if re.search(r"^(<{7} |>{7} |={7}$)", text, re.MULTILINE):
        return "it holds the marks of a git merge conflict (<<<<<<<); resolve the conflict and hand it in again"
    place = getattr(error, "pos", 0)
    unfinished = place >= len(text) - 1 or "Unterminated" in str(error)
    if text.startswith("{") and unfinished and not text.endswith("}"):
        return "it is cut off, as by a broken download or upload; save the notebook and hand it in again"
    if text.startswith("{"):
        line = text.count("\n", 0, place) + 1
        return f"it is damaged (no JSON from line {line} on); save it again in Jupyter or Colab and hand that in"
    return "it is not JSON, so it is no notebook; hand in the .ipynb file itself"


# ------------------------------------------------------------------------------------------------------ the cells


def _entries(notebook: dict[str, Any], repairs: list[str]) -> Iterator[Any]:
    """What stands in the list of cells, of the present format or of format 3. Raises _Unreadable."""
    cells, sheets = notebook.get("cells"), notebook.get("worksheets")
    if isinstance(cells, dict) and cells and all(isinstance(cell, dict) for cell in cells.values()):
        repairs.append("The cells stood in an object instead of a list.")
        cells = list(cells.values())
    if isinstance(cells, list):
        if notebook.get("nbformat") != 4:
            repairs.append("The file did not say that it is a notebook of format 4; it was read as one.")
        yield from cells
        return
    if isinstance(sheets, list):
        repairs.append("The notebook was in the old format 3.")
        for sheet in sheets:
            if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list):
                yield from sheet["cells"]
        return
    raise _Unreadable("it has no list of cells; open it in Jupyter or Colab, save it and hand it in again")


def _cell(entry: dict[str, Any], damage: dict[str, int]) -> Cell:
    """A cell with every field of the right type; `damage` counts cells by what was wrong."""

    def wrong(what: str) -> None:
        damage[what] = damage.get(what, 0) + 1

    metadata = entry.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
        wrong("{} had no metadata")
    marks = metadata.get("nbgrader")
    marks = marks if isinstance(marks, dict) else {}
    grade_id = marks.get("grade_id")
    ids = [name for name in (entry.get("id"), metadata.get("id")) if isinstance(name, str) and name]

    kind = entry.get("cell_type")
    text = _text(entry.get("source", entry.get("input")))
    if kind == "heading":  # of format 3
        level = entry.get("level")
        kind, text = "markdown", "#" * (level if isinstance(level, int) and 0 < level < 7 else 1) + " " + (text or "")
    if kind not in KINDS:
        named = kind.strip().lower() if isinstance(kind, str) else ""
        runs = named == "code" or (named not in ("text", "html") and ("outputs" in entry or "execution_count" in entry))
        kind = "code" if runs else "markdown"
        wrong("{} had no known type")
    if text is None:
        text = ""
        wrong("{} had no text, or something else in its place")
    cleaned = clean(text)
    if cleaned != text:
        wrong("{} held characters that cannot be written to a file (NUL, halves of surrogate pairs)")
    return Cell(
        kind,
        cleaned,
        clean(grade_id) if isinstance(grade_id, str) else "",
        tuple(dict.fromkeys(ids)),
        marks,
        _attachments(entry.get("attachments")),
        entry,
    )


def _text(source: Any) -> str | None:
    """The text of a cell; None where there is none."""
    if isinstance(source, str):
        return source
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    if isinstance(source, list) and any(isinstance(line, str) for line in source):
        return "".join(line if isinstance(line, str) else "\n" for line in source)
    return None


def clean(text: str) -> str:
    """`text` without NUL, and with the replacement character for what UTF-8 cannot encode."""
    if "\0" in text:
        text = text.replace("\0", "")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _attachments(found: Any) -> dict[str, dict[str, str]]:
    """The pictures that were pasted into a cell; what has another form is left out."""
    if not isinstance(found, dict):
        return {}
    kept = {
        clean(name): {clean(kind): clean(data) for kind, data in bundle.items() if isinstance(data, str)}
        for name, bundle in found.items()
        if isinstance(bundle, dict)
    }
    return {name: bundle for name, bundle in kept.items() if bundle}
