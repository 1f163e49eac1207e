"""What the tests of handing in share is in handin_material.py, beside this file."""

from __future__ import annotations

import sys

# jsonschema, which nbformat needs, builds a parser from it that takes seconds, and does without where it is absent.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
