# ruff: noqa
"""Says that its cell had outputs of every wrong form, and of many megabytes.

class: outputs
earns: all
spares: none
"""

# %% double
import gc

runtime = next(o for o in gc.get_objects() if type(o).__name__ == "Runtime")


def double(x):
    return 2 * x


def forged(source):
    del runtime.shell.__dict__["run"]
    return [
        5,
        [],
        {"output_type": "stream", "text": 5},
        {"output_type": "error", "ename": 5, "evalue": [], "traceback": 7},
        {"output_type": "error", "ename": "x" * 10**6, "evalue": "x" * 10**6, "traceback": ["x" * 10**6] * 10},
        {"output_type": "execute_result", "data": {"text/plain": "2"}, "execution_count": "x", "metadata": 3},
        {"output_type": "display_data", "data": {"text/plain": ["a", "b"]}},
        {"output_type": "display_data", "data": {}},
        {"output_type": "display_data", "data": {"image/png": "A" * 999_999}},
        {"output_type": "update_display_data"},
        *[{"output_type": "display_data", "data": {"text/html": "<b>" * 300_000}}] * 20,
    ], {"not": "a name"}


runtime.shell.__dict__["run"] = forged
