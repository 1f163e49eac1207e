# ruff: noqa
"""Puts the marks of hidden tests and solutions into its answers and cells.

class: the file
earns: all
"""


# %% double
### BEGIN HIDDEN TESTS
def check(*_):
    pass


### END HIDDEN TESTS
### BEGIN SOLUTION
def double(x):
    return 2 * x


### END SOLUTION
### BEGIN HIDDEN TESTS
# %% own scale
### END HIDDEN TESTS
raise SystemExit
### BEGIN HIDDEN TESTS
