# ruff: noqa
"""Hands in test cells with other marks, points and texts, and solution cells that claim to be locked.

class: the file
touches: double
"""


# %% make
def make(notebook):
    for cell in notebook["cells"]:
        marks = cell["metadata"].get("nbgrader")
        if marks and marks.get("grade"):
            cell["source"] = "pass"
            marks.update(points=1000, locked=False, schema_version=99, checksum="0")
        elif marks and marks["grade_id"] == "double":
            cell["source"] = "def double(x):\n    return 0"
    return json.dumps(notebook).encode()
