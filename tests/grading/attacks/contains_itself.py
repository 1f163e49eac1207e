# ruff: noqa
"""Answers with a list that contains itself.

class: exhaustion
"""


# %% each
def each(f, values):
    answer = [f(v) for v in values]
    answer.append(answer)
    return answer


# %% counts
def counts(words):
    answer = {}
    answer["a"] = answer
    return answer
