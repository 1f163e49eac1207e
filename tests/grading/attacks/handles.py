# ruff: noqa
"""Answers with more objects than a session may hold.

class: exhaustion
"""


# %% each
def each(f, values):
    return [object() for _ in range(60_000)]


# %% counts
def counts(words):
    return {str(k): type(f"T{k}", (), {})() for k in range(8_000)}
