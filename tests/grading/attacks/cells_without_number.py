# ruff: noqa
"""Hands in twenty thousand cells of its own, and one of a megabyte.

class: the file
status: refused
"""


# %% make
def make(notebook):
    own = {"cell_type": "code", "metadata": {}, "source": "x = 1", "outputs": [], "execution_count": None}
    notebook["cells"] += [{**own, "id": f"n{k}"} for k in range(20_000)]
    notebook["cells"].append({**own, "id": "big", "source": "y = '" + "x" * 1_000_000 + "'"})
    return json.dumps(notebook).encode()
