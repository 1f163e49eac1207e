"""The reader of bounds itself."""

import pytest

from tests.outcomes.bounds import Bound, bound_of, bounds_of_source, definitions


def test_reads_literal_bounds_wherever_they_stand():
    text = """
# %%
record("accuracy", value, at_least=0.95)
for k in range(2):
    outcomes.record("error", f(k), at_most=-1e-6, at_least=-2)
"""
    assert bounds_of_source(text) == {
        "accuracy": Bound("accuracy", 0.95, None),
        "error": Bound("error", -2, -1e-6),
    }


@pytest.mark.parametrize(
    "text",
    [
        'record(f"accuracy {k}", 1, at_least=0)',
        'record("accuracy", 1, at_least=limit)',
        'record("accuracy", 1)',
        'record("a", 1, at_least=0); record("a", 2, at_least=0)',
    ],
    ids=["computed name", "computed bound", "no bound", "twice"],
)
def test_refuses_what_a_test_could_not_hold_a_notebook_to(text):
    with pytest.raises(ValueError, match="record"):
        bounds_of_source(text)


def test_bound_is_inclusive_and_refuses_nan():
    bound = Bound("x", 0.5, 1.0)
    assert bound.met_by(0.5)
    assert bound.met_by(1.0)
    assert not bound.met_by(0.49)
    assert not bound.met_by(1.01)
    assert not bound.met_by(float("nan"))


def test_definitions_run_the_lectures_own_code():
    (only_last_layer,) = definitions("01_backprop", "only_last_layer")

    class Layer:
        dz_dw = "kept"

    class Network:
        layers = (Layer(), Layer())

    only_last_layer(Network)
    assert [layer.dz_dw for layer in Network.layers] == [{}, "kept"]
    with pytest.raises(KeyError, match="no_such"):
        definitions("01_backprop", "no_such")


def test_a_name_that_is_not_recorded_lists_those_that_are():
    with pytest.raises(KeyError, match="test accuracy of our network on digits"):
        bound_of("01_backprop", "no such outcome")
    with pytest.raises(FileNotFoundError, match="99_nothing"):
        bound_of("99_nothing", "x")
