# ruff: noqa
"""Hands in every cell twice, with the same marks, ids and other text.

class: the file
earns: all
"""


# %% make
def make(notebook):
    notebook["cells"] += [{**cell, "source": cell["source"]} for cell in notebook["cells"]] * 3
    return json.dumps(notebook).encode()
