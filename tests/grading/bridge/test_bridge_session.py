"""What a session of the tests with a student's process means: calls, gradients, changes, errors, ends, releases."""

from __future__ import annotations

import copy
import gc
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from bridge_material import PATIENCE, Bridge, Shell, answered_by, bridge, same
from torch import nn

from course_lib.grading.bridge.student import Runtime
from course_lib.grading.bridge.trusted import DEPTH, MISSING, Lost, Session, StudentError, StudentObject
from course_lib.grading.bridge.wire import HEADER, Line

# ------------------------------------------------------------------------------------------ calls and names


def test_names_are_found_or_missing():
    with bridge("one = 1\nnothing = None") as across:
        assert across["one"] == 1
        assert across["nothing"] is None
        assert across["two"] is MISSING


def test_a_cell_says_what_it_raised():
    with bridge() as across:
        assert across.session.run("x = 1") == {"outputs": [], "error": ""}
        assert across.session.run("1 / 0")["error"] == "ZeroDivisionError"


def test_the_students_random_numbers_are_seeded():
    with bridge("import torch\ndef draw(): return torch.rand(3)") as across:
        across.session.seed(5)
        drawn = across["draw"]()
    torch.manual_seed(5)
    assert same(drawn, torch.rand(3))


BOX = """
class Box:
    def __init__(self): self.items = [1, 2, 3]
    def __len__(self): return len(self.items)
    def __getitem__(self, place): return self.items[place]
    def __setitem__(self, place, value): self.items[place] = value
    def __contains__(self, item): return item in self.items
    def __iter__(self): return iter(self.items)
    def add(self, item, *, times=1): self.items += [item] * times; return self
    @property
    def last(self): return self.items[-1]
    @staticmethod
    def double(x): return 2 * x
box = Box()
def who(x): return type(x).__name__, x is box
def count():
    yield 1
    yield 2
def stops(): raise StopIteration("enough")
"""


def test_an_object_does_what_its_class_can():
    with bridge(BOX) as across:
        box = across["box"]
        assert len(box) == 3 and box[1] == 2 and 3 in box and 9 not in box and list(box) == [1, 2, 3]
        box[0] = 7
        assert box.last == 7 - 4 and box.items == [7, 2, 3]
        assert box.add(5, times=2) is box
        assert box.items == [7, 2, 3, 5, 5]
        box.items = [0]
        assert across.theirs["box"].items == [0]
        assert box.double(4) == 8
        assert not callable(box) and callable(across["Box"])
        assert len(across["Box"]()) == 3
        assert list(across["count"]()) == [1, 2]
        with pytest.raises(AttributeError, match="no_such"):
            _ = box.no_such


def test_an_object_is_equal_to_itself_alone_and_goes_home_as_itself():
    with bridge(BOX) as across:
        box, other = across["box"], across["Box"]()
        assert isinstance(box, StudentObject) and box is across["box"]
        assert box == across["box"] and box != other
        assert across["who"](box) == ("Box", True)
        assert across["who"](other) == ("Box", False)
        with pytest.raises(TypeError, match="cannot be copied"):
            copy.copy(box)
        with pytest.raises(TypeError):
            float(box)


def test_the_end_of_an_iterator_ends_no_loop_of_the_tests_elsewhere():
    with bridge(BOX) as across:
        with pytest.raises(RuntimeError, match="enough"):
            across["stops"]()
        counted = iter(across["count"]())
        assert [next(counted), next(counted), next(counted, "end")] == [1, 2, "end"]


# ------------------------------------------------------------------------------------------------- gradients

MATH = """
import torch
scale = torch.tensor([2.0, 3.0], requires_grad=True)
def f(x, y=None): return (x ** 2 * (x if y is None else y)).sum()
def both(x): return {"square": x ** 2, "more": [x.exp(), 3.0]}
def scaled(x): return scale * x
def detached(x): return x.detach() * 2
def first(pair): return pair[0] * 3
def with_grad(): return torch.is_grad_enabled()
def own(): return scale
"""
BY_HAND: dict[str, Any] = {}
exec(MATH, BY_HAND)


@pytest.mark.parametrize("form", ["scalar", "same twice", "two", "dictionary", "chain", "partly", "steps"])
def test_gradients_are_those_of_the_same_computation_here(form):
    def compute(names: Any) -> list[torch.Tensor | None]:
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        y = torch.tensor([0.5, -1.0], requires_grad=True)
        match form:
            case "scalar":
                names["f"](x).backward()
            case "same twice":
                names["f"](x, x).backward()
            case "two":
                (names["f"](x, y=y) * 3 + y.sum()).backward()
            case "dictionary":
                found = names["both"](x)
                (found["square"] * found["more"][0]).sum().backward()
            case "chain":
                names["f"](names["both"](x * y)["square"]).backward()
            case "partly":
                names["both"](x)["square"].sum().backward()
            case "steps":
                for _ in range(3):
                    names["f"](x).backward()
        return [x.grad, y.grad]

    with bridge(MATH) as across:
        ours, theirs = compute(BY_HAND), compute(across)
    for expected, found in zip(ours, theirs, strict=True):
        assert (expected is None) == (found is None)
        assert expected is None or torch.allclose(expected, found)


def test_gradients_reach_the_students_own_leaves():
    with bridge(MATH) as across:
        scaled = across["scaled"](torch.ones(2))
        scale = across["own"]()  # shared since a result depended on it
        x = torch.tensor([1.0, -1.0], requires_grad=True)
        across["scaled"](x).sum().backward()
        assert x.grad.tolist() == [2.0, 3.0]
        assert scale.grad.tolist() == [1.0, -1.0]
        scaled.sum().backward()
        assert scale.grad.tolist() == [2.0, 0.0]
        assert across["own"]() is scale
        assert across.theirs["scale"].grad.tolist() == [2.0, 0.0]  # told with the question


def test_autograd_grad_asks_without_storing():
    with bridge(MATH) as across:
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        (found,) = torch.autograd.grad(across["f"](x), x)
        assert found.tolist() == [3.0, 12.0]
        assert x.grad is None


def test_no_graph_where_there_is_none():
    with bridge(MATH) as across:
        x = torch.ones(2, requires_grad=True)
        assert not across["detached"](x).requires_grad
        with torch.no_grad():
            assert across["with_grad"]() is False
            assert not across["f"](x).requires_grad
        assert across["with_grad"]() is True
        assert across["first"]([x, 1]).requires_grad


def test_a_second_derivative_is_refused():
    with bridge(MATH) as across:
        x = torch.ones(2, requires_grad=True)
        (first,) = torch.autograd.grad(across["f"](x), x, create_graph=True)
        with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
            first.sum().backward()


# --------------------------------------------------------------------------------- arguments changed in place

CHANGES = """
import numpy as np, torch
def add(x):
    x += 1
    return x.sum()
def deep(d):
    d["a"][0][...] = 5
def fail(x):
    x[0] = 9
    raise ValueError("late")
def look(x): return float(x.sum())
class C:
    def method(self, x): x *= 2
c = C()
def no_grad(x):
    with torch.no_grad(): x.zero_()
"""


@pytest.fixture(scope="module")
def changing():
    with bridge(CHANGES) as across:
        yield across


@pytest.fixture(autouse=True)
def _begin_anew(request):
    if "changing" in request.fixturenames:
        across = request.getfixturevalue("changing")
        across.patient()
        across.session.fresh()


@pytest.mark.parametrize(
    "made",
    [
        lambda: np.zeros(3),
        lambda: np.zeros((2, 3), order="F"),
        lambda: np.zeros((4, 6), dtype="f4")[::2, ::3],
        lambda: torch.zeros(3),
        lambda: torch.zeros(2, 3, dtype=torch.int64).T,
        lambda: np.zeros(()),
        lambda: torch.zeros((), dtype=torch.bfloat16),
    ],
)
def test_a_changed_argument_comes_back(changing, made: Callable[[], Any]):
    ours = made()
    changing["add"](ours)
    assert (ours == 1).all()
    assert changing.session.changed_arguments == 1


def test_changes_of_a_view_reach_only_the_view(changing):
    whole = np.zeros((3, 3))
    changing["add"](whole[:, 1])
    assert whole.tolist() == [[0, 1, 0]] * 3


def test_changes_inside_containers_and_by_methods_come_back(changing):
    deep = {"b": np.zeros(1), "a": [np.zeros(2)]}
    changing["deep"](deep)
    assert deep["a"][0].tolist() == [5, 5] and deep["b"].tolist() == [0]
    x = torch.ones(2)
    changing["c"].method(x)
    assert x.tolist() == [2, 2]
    assert changing.session.changed_arguments == 2


def test_changes_before_an_error_come_back_too(changing):
    x = np.zeros(2)
    with pytest.raises(ValueError, match="late"):
        changing["fail"](x)
    assert x.tolist() == [9, 0]


def test_a_leaf_that_requires_a_gradient_is_changed_too(changing):
    x = torch.ones(2, requires_grad=True)
    changing["no_grad"](x)
    assert x.tolist() == [0, 0] and x.requires_grad


def test_without_write_back_changes_stay_there_and_are_counted(changing):
    changing.session.fresh(write_back=False)
    x, y = np.zeros(2), torch.zeros(2)
    assert changing["add"](x) == 2.0
    changing["add"](y)
    changing["look"](x)
    assert x.tolist() == y.tolist() == [0, 0]
    assert changing.session.changed_arguments == 2
    changing.session.fresh()
    assert changing.session.changed_arguments == 0
    changing["add"](x)
    assert x.tolist() == [1, 1]


def test_a_read_only_array_is_so_there(changing):
    x = np.zeros(2)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        changing["add"](x)
    assert changing.session.changed_arguments == 0


# ------------------------------------------------------------------------------------------------ exceptions

ERRORS = """
import builtins
class TooSmall(ValueError): pass
class Both(KeyError, AttributeError): pass
class Alone(Exception): pass
class NoText(Exception):
    def __str__(self): raise RuntimeError("none")
def fail(kind, *more):
    raise {**vars(builtins), **globals()}[kind](*more)
def deep(): deep()
class CheckFailed(Exception): pass
"""


@pytest.mark.parametrize(
    ("name", "known", "kinds"),
    [
        ("ValueError", "ValueError", (ValueError,)),
        ("TooSmall", "ValueError", (ValueError,)),
        ("Both", "KeyError", (KeyError, LookupError)),
        ("Alone", "Exception", (Exception,)),
        ("NotImplementedError", "NotImplementedError", (NotImplementedError, RuntimeError)),
        ("AssertionError", "AssertionError", (AssertionError,)),
        ("FileNotFoundError", "FileNotFoundError", (OSError,)),
        ("SystemExit", "exception", ()),
        ("KeyboardInterrupt", "exception", ()),
        ("TimeoutError", "TimeoutError", (TimeoutError,)),
        ("NoText", "Exception", ()),
    ],
)
def test_exceptions_arrive_as_their_kinds(name, known, kinds):
    with bridge(ERRORS) as across:
        with pytest.raises(StudentError) as raised:
            across["fail"](name, "why")
        assert type(raised.value).__name__ == name
        assert all(isinstance(raised.value, kind) for kind in kinds)
        assert raised.value.known == known
        assert "why" in str(raised.value) or name == "NoText"
        assert "in fail" in raised.value.trace and "student.py" not in raised.value.trace
        assert across.session.undone == (name == "NotImplementedError")
        assert across.session.ended is None
        with pytest.raises(RecursionError):
            across["deep"]()


def test_a_class_of_the_students_is_never_the_one_of_the_course():
    from course_lib.checks.core import CheckFailed

    with bridge(ERRORS) as across, pytest.raises(StudentError) as raised:
        across["fail"]("CheckFailed")
    assert not isinstance(raised.value, CheckFailed)


# ----------------------------------------------------------------------------------------- objects of the tests

USES = """
import numpy as np
def call(f, *args): return f(*args)
def method(thing, name, *args): return getattr(thing, name)(*args)
def attribute(thing, name): return getattr(thing, name)
def replace(thing, name, value): setattr(thing, name, value)
def zero(layer): layer.w["weight"][...] = 0
def put(layer):
    layer.dz_dw["new"] = np.ones(2)
def read_after(layer):
    w = layer.w["weight"]
    layer.update(1.0)
    return float(w[0])
def catch(f):
    try: f()
    except Exception as error: return type(error).__name__, str(error)
def back(thing): return thing
def twice(f, x): return f(f(x))
"""


class Layer:
    """A layer of the tests, with something to lend and something to keep."""

    lends = frozenset({"more", "twin"})

    def __init__(self) -> None:
        self.w = {"weight": np.ones(2)}
        self.dz_dw: dict[str, Any] = {}
        self.more = "lent"
        self.twin = [1]
        self.secret = "kept"
        self._private = "kept"

    def forward(self, x: Any) -> Any:
        return x * 2

    def update(self, rate: float) -> None:
        self.w["weight"] -= rate

    def answer(self) -> int:
        return 42


@pytest.fixture
def using():
    with bridge(USES) as across:
        yield across


def test_a_function_of_the_tests_is_called_here(using):
    calls = []

    def ours(x: Any) -> Any:
        calls.append(x)
        return x + 1

    assert using["call"](ours, 1) == 2
    assert using["twice"](ours, 1) == 3
    assert calls == [1, 1, 2]
    assert using["back"](ours) is ours
    assert using["call"](lambda f: f is ours, ours) is True


def test_an_object_lends_the_contract_of_a_layer_and_what_its_class_names(using):
    layer = Layer()
    assert using["method"](layer, "forward", np.ones(2)).tolist() == [2, 2]
    assert using["attribute"](layer, "more") == "lent"
    assert using["attribute"](layer, "w")["weight"].tolist() == [1, 1]
    assert using["back"](layer) is layer


@pytest.mark.parametrize("name", ["secret", "_private", "answer", "lends", "__class__", "__dict__", "_at"])
def test_an_object_lends_nothing_else(using, name):
    try:
        found = using["attribute"](Layer(), name)
    except AttributeError:
        return
    assert name in ("__class__", "__dict__")  # of the stand-in over there
    assert found is not Layer and "kept" not in str(found)


@pytest.mark.parametrize("name", ["secret", "_private", "answer", "__class__", "__init__", "w.real", "", None, 1])
@pytest.mark.parametrize("kind", ["attribute", "method"])
def test_nothing_else_is_given_to_who_asks_by_hand(kind, name):
    asked: list[Any] = []

    def answer(line: Line) -> None:
        question = line.receive()
        line.send({"ask": kind, "of": 0, "name": name, "with": ["l", [["l", []], ["d", []]]]})
        asked.append(line.receive())
        line.send({"id": question["id"], "value": None})

    with answered_by(answer) as session:
        session._lend(Layer())
        session.name("anything")
    assert asked[0]["value"] is None
    assert asked[0]["error"][0] == "AttributeError"


def test_a_class_of_the_tests_is_not_called_for_the_student(using):
    with pytest.raises(AttributeError, match="no None for you to use"):
        using["call"](Layer)


def test_what_is_lent_cannot_be_replaced(using):
    layer = Layer()
    with pytest.raises(AttributeError, match="belongs to the tests"):
        using["replace"](layer, "w", {})
    assert layer.w["weight"].tolist() == [1, 1]


def test_arrays_of_what_is_lent_are_mirrored_both_ways(using):
    layer = Layer()
    assert using["read_after"](layer) == 0.0
    using["zero"](layer)
    assert layer.w["weight"].tolist() == [0, 0]
    using["put"](layer)
    assert layer.dz_dw["new"].tolist() == [1, 1]


def test_an_error_of_a_lent_function_has_its_kind_there_and_here(using):
    def ours() -> None:
        raise KeyError("no such")

    kind, text = using["catch"](ours)
    assert kind == "KeyError" and "no such" in text
    with pytest.raises(KeyError, match="no such"):
        using["call"](ours)


def test_calls_inside_calls_are_bounded(using):
    call = using["call"]

    def ours(n: int) -> int:
        return 0 if n == 0 else 1 + call(ours, n - 1)

    assert using["call"](ours, DEPTH - 2) == DEPTH - 2
    with pytest.raises(RecursionError):
        using["call"](ours, DEPTH + 5)
    assert using["call"](ours, 3) == 3


def test_a_loss_of_the_session_passes_through_the_students_hands(using):
    def ours() -> None:
        using.session.line.deadline = 0
        using["back"](1)

    with pytest.raises(Lost) as lost:
        using["catch"](ours)
    assert lost.value.why == "time limit"


# -------------------------------------------------------------------------------------------- how sessions end


def test_a_deadline_ends_the_session():
    # what the student sleeps is short, for the test waits for the thread
    with bridge("import time\ndef sleep(): time.sleep(0.5)\nthing = object()") as across:
        sleep = across["sleep"]
        began = time.monotonic()
        across.session.line.deadline = began + 0.1
        with pytest.raises(Lost) as lost:
            sleep()
        assert lost.value.why == "time limit"
        assert time.monotonic() - began < 0.4
        across.patient()
        with pytest.raises(Lost) as lost:
            sleep()
        assert lost.value.why == "stale"
        with pytest.raises(Lost) as lost:
            across["thing"]
        assert lost.value.why == "stale"


def test_no_except_exception_of_a_test_keeps_a_loss():
    assert not issubclass(Lost, Exception)


def in_a_fork(source: str) -> tuple[Session, int, bytearray]:
    """A session with a process, whose output is the session's spill; the process; what it printed."""
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            ours.close()
            os.close(read)
            os.dup2(write, 1)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            Runtime(theirs, Shell()).serve()
            status = 0
        finally:
            os._exit(status)
    theirs.close()
    os.close(write)
    printed = bytearray()
    session = Session(Line(ours, read, printed.extend))
    session.line.deadline = time.monotonic() + PATIENCE
    assert session.run(source)["error"] == ""
    return session, child, printed


@pytest.fixture
def forked():
    """`in_a_fork`, whose processes end with the test."""
    made: list[tuple[Session, int, bytearray]] = []

    def fork(source: str) -> tuple[Session, int, bytearray]:
        made.append(in_a_fork(source))
        return made[-1]

    yield fork
    for session, child, _ in made:
        spill = session.line.spill
        session.line.socket.close()
        if spill >= 0:
            os.close(spill)
        os.waitpid(child, 0)


@pytest.mark.parametrize("how", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_process_that_ends_is_a_crash(forked, how):
    session, _, _ = forked(f"import os\ndef end(): {how}")
    end = session.name("end")
    with pytest.raises(Lost) as lost:
        end()
    assert lost.value.why == "crash"


def test_a_student_may_print_more_than_a_pipe_holds(forked):
    session, _, printed = forked("def shout(n):\n    print('x' * n)\n    return n")
    assert session.name("shout")(10**6) == 10**6
    for _ in range(3):
        session.line.drain()
    assert len(printed) == 10**6 + 1


def test_a_process_ends_when_nobody_asks_any_more(forked):
    session, child, _ = forked("")
    session.line.socket.shutdown(socket.SHUT_RDWR)
    for _ in range(1000):
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended:
            break
        time.sleep(0.01)
    assert ended.si_status == 0


def answered(*answers: Callable[[str], dict[str, Any]]) -> Callable[[Line], None]:
    """Whoever is asked sends these at the first question, and then nothing."""

    def answer(line: Line) -> None:
        question = line.receive()
        for make in answers:
            line.send(make(question["id"]))
        while True:
            line.receive()

    return answer


def protocol(session: Session, match: str = "broke the rules") -> None:
    with pytest.raises(Lost, match=match) as lost:
        session.name("anything")
    assert lost.value.why == "protocol"
    with pytest.raises(Lost) as lost:
        session.name("anything")
    assert lost.value.why == "stale"


@pytest.mark.parametrize(
    "answer",
    [
        lambda identity: {"id": "0" * 16, "value": 1},
        lambda identity: {"id": identity.upper() + "0", "value": 1},
        lambda identity: {"id": None, "value": 1},
        lambda identity: {"value": 1},
        lambda identity: [identity, 1],
        lambda identity: {"ask": "call", "id": "0", "of": 0},
        lambda identity: {"ask": "call", "of": 0, "name": None, "with": ["l", []]},
        lambda identity: {"ask": 1, "of": 0},
        lambda identity: {"id": identity, "value": ["?"]},
        lambda identity: {"id": identity, "value": ["g", [], 1]},
        lambda identity: {"id": identity, "value": ["r", "student", 0, 0]},
        lambda identity: {"id": identity, "error": ["ValueError"]},
        lambda identity: {"id": identity, "error": 1},
        lambda identity: {"id": identity, "live": 1, "value": None},
        lambda identity: {"id": identity, "live": [["int64", [], [], bytes(8)]], "graph": 0, "leaves": []},
        lambda identity: {"id": identity, "live": [["float32", [], [], bytes(4)]], "graph": "0", "leaves": []},
        lambda identity: {"id": identity, "live": [["float32", [], [], bytes(4)]], "graph": 0, "leaves": [1]},
        lambda identity: {"id": identity, "types": [[0, "T", ["call"]]]},
        lambda identity: {"id": identity, "types": 1},
        lambda identity: {"id": identity, "shared": 1},
        lambda identity: {"id": identity, "shared": [[0, None]]},
        lambda identity: {"id": identity, "mirrors": [[0, None, 1]]},
        lambda identity: {"id": identity, "mirrors": [[[], None, 1]]},
        lambda identity: {"id": identity, "mirrors": 5},
    ],
    ids=map(str, range(24)),  # not the names that functions have, which differ from process to process
)
def test_an_answer_that_breaks_the_rules_ends_the_session(answer):
    with answered_by(answered(answer)) as session:
        protocol(session)


def test_a_second_answer_ends_the_session():
    with answered_by(answered(*[lambda identity: {"id": identity, "value": 1}] * 2)) as session:
        assert session.name("anything") == 1
        protocol(session, "was answered before")


def test_an_answer_before_the_question_ends_the_session():
    def answer(line: Line) -> None:
        line.send({"id": "0" * 16, "value": 1})
        line.receive()

    with answered_by(answer) as session:
        protocol(session)


def test_a_frame_of_four_gigabytes_ends_the_session():
    def answer(line: Line) -> None:
        line.receive()
        line.socket.send(HEADER.pack(2**32 - 1))
        line.receive()

    with answered_by(answer) as session:
        protocol(session, "a frame of")


def test_changes_of_arguments_that_were_not_given_end_the_session():
    numbers = ["a", "<f8", [2], [0], True, bytes(16)]
    for changed in ([[0, numbers]] * 2, [[1, numbers]], [[-1, numbers]], [[0, ["l", []]]], [[0, numbers[:-1]]], 7):

        def answer(line: Line, changed: Any = changed) -> None:
            question = line.receive()
            line.send({"id": question["id"], "types": [[0, "f", ["call"], []]], "value": ["r", "student", 0, 0]})
            line.send({"id": line.receive()["id"], "value": None, "changed": changed})
            line.receive()

        with answered_by(answer) as session:
            f = session.name("f")
            with pytest.raises(Lost) as lost:
                f(np.ones(2))
        assert lost.value.why == "protocol"


@pytest.mark.parametrize("gradients", [[], [None, None], [["float32", [1], [0], bytes(4)]], [1], None])
def test_gradients_of_another_form_end_the_session(gradients):
    def answer(line: Line) -> None:
        question = line.receive()
        line.send({"id": question["id"], "types": [[0, "f", ["call"], []]], "value": ["r", "student", 0, 0]})
        live = [["float32", [], [], bytes(4)]]
        line.send({"id": line.receive()["id"], "value": ["L", 0], "live": live, "graph": 0, "leaves": []})
        line.send({"id": line.receive()["id"], "gradients": gradients})
        line.receive()

    with answered_by(answer) as session:
        found = session.name("f")(torch.ones(2, requires_grad=True))
        with pytest.raises(Lost) as lost:
            found.backward()
        assert lost.value.why == "protocol"


def test_objects_of_another_session_are_stale():
    with bridge(BOX) as one, bridge(BOX) as other:
        box = one["box"]
        who = other["who"]
        with pytest.raises(Lost) as lost:
            who(box)
        assert lost.value.why == "stale"
        assert other.session.ended is None


# ------------------------------------------------------------------------------------------------ releases

MANY = """
class Thing:
    def __init__(self, n): self.n = n
    def number(self): return self.n
def make(n): return [Thing(i) for i in range(n)]
kept = Thing(7)
def is_kept(x): return x is kept
"""


def held(across: Bridge) -> int:
    """How many objects the student's end keeps, once it has been told what is gone."""
    gc.collect()
    across.session.seed(0)
    return len(across.runtime._objects)


def test_objects_without_a_name_here_are_let_go_there():
    with bridge(MANY) as across:
        make = across["make"]
        before = held(across)
        things = make(50)
        assert held(across) == before + 50
        assert len(across.runtime._numbers) == before + 50
        del things[10:]
        assert held(across) == before + 10
        assert things[9].number() == 9
        del things
        assert held(across) == before
        assert len(across.runtime._numbers) == before
        assert len(across.session._objects) == before


def test_an_object_that_was_let_go_can_come_again():
    with bridge(MANY) as across:
        kept = across["kept"]
        number = kept._at[1]
        del kept
        again = across["kept"]  # it was named again in the answer to the question that let it go
        assert again.number() == 7
        assert held(across) == 1
        assert again._at[1] != number
        assert across["is_kept"](again) is True
        assert across["kept"] is again


def test_an_object_let_go_while_its_answer_comes_is_kept():
    with bridge(MANY + "def call(f, x): return f(x)\ndef other(f): f(kept); return kept") as across:
        other = across["other"]
        seen: list[int] = []

        def ours(thing: Any) -> None:
            seen.append(thing._at[1])

        again = other(ours)  # the one of the call was let go before the answer to that call was sent
        assert again.number() == 7
        assert across["is_kept"](again) is True
        assert len(seen) == 1


def test_a_method_keeps_its_object():
    with bridge(MANY) as across:
        number = across["make"](1)[0].number
        held(across)
        assert number() == 0
        del number
        assert held(across) == 0


def test_lost_news_of_what_is_gone_does_not_repeat():
    with bridge(MANY) as across:
        across["make"](3)
        assert held(across) == 0
        assert across.session._gone == set()


# ----------------------------------------------------------------------------------------- shared parameters

TRAINS = """
import torch
from torch import nn
model = nn.Linear(2, 1)
with torch.no_grad():
    for p in model.parameters(): p.fill_(1.0)
def predict(x): return model(x)
def parameters(): return list(model.parameters())
def step(given, x, rate=0.1):
    optimizer = torch.optim.SGD(given.parameters(), rate)
    optimizer.zero_grad()
    given(x).sum().backward()
    optimizer.step()
def output(given, x): return given(x)
def mode(given): return given.training
def freeze(given): given.requires_grad_(False); given.eval()
def seen(given): return [p.grad is None for p in given.parameters()]
def count(given):
    given.running_mean += 1
def name(given): return type(given).__name__
def behind(given):
    given.weight.data.sub_(1.0)
    given.bias.data = given.bias.data - 1.0
    given.weight.grad.data.mul_(2.0)
def keep(given):
    global mine
    mine = given
def kept(x): return mine(x)
"""


@pytest.fixture
def training():
    with bridge(TRAINS) as across:
        yield across


def test_a_step_here_moves_the_students_parameters(training):
    parameters = training["parameters"]()
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in parameters)
    x = torch.tensor([[1.0, 2.0]])
    optimizer = torch.optim.SGD(parameters, 0.5)
    training["predict"](x).sum().backward()
    assert [p.grad.tolist() for p in parameters] == [[[1.0, 2.0]], [1.0]]
    optimizer.step()
    assert training["predict"](x).item() == pytest.approx(0.5 * 1 + 0 * 2 + 0.5)
    assert training.theirs["model"].weight.tolist() == [[0.5, 0.0]]
    optimizer.zero_grad()
    training.session.seed(0)
    assert training.theirs["model"].weight.grad is None
    assert training["parameters"]()[0] is parameters[0]


def test_a_step_there_moves_a_module_of_the_tests(training):
    module = nn.Linear(2, 1)
    alone = nn.Linear(2, 1)
    alone.load_state_dict(module.state_dict())
    x = torch.tensor([[1.0, 2.0]])
    exec(TRAINS, theirs := {})
    for _ in range(3):
        training["step"](module, x)
        theirs["step"](alone, x)
        for ours, expected in zip(module.parameters(), alone.parameters(), strict=True):
            assert torch.allclose(ours, expected) and torch.allclose(ours.grad, expected.grad)
    with torch.no_grad():
        module.weight.zero_()
        module.bias.fill_(4.0)
    assert training["output"](module, x).item() == 4.0


def test_changes_through_data_arrive_though_no_version_rises(training):
    module = nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[3.0, 4.0]]))
        module.bias.fill_(5.0)
    module.weight.grad = torch.ones(1, 2)
    training["behind"](module)
    assert module.weight.tolist() == [[2.0, 3.0]] and module.bias.tolist() == [4.0]
    assert module.weight.grad.tolist() == [[2.0, 2.0]]
    module.weight.data.mul_(10.0)
    assert training["output"](module, torch.zeros(1, 2)).item() == 4.0
    assert training["output"](module, torch.ones(1, 2)).item() == 54.0


def test_gradients_reach_a_module_of_the_tests_through_the_student(training):
    module = nn.Linear(2, 1)
    training["output"](module, torch.tensor([[1.0, 2.0]])).sum().backward()
    assert module.weight.grad.tolist() == [[1.0, 2.0]]
    assert training["seen"](module) == [False, False]
    module.zero_grad()
    assert training["seen"](module) == [True, True]


def test_flags_and_buffers_of_a_module_are_kept_in_step(training):
    norm = nn.BatchNorm1d(2)
    assert training["mode"](norm) is True
    norm.eval()
    assert training["mode"](norm) is False
    norm.train()
    training["count"](norm)
    assert norm.running_mean.tolist() == [1.0, 1.0]
    training["freeze"](norm)
    assert norm.training is False
    assert not any(p.requires_grad for p in norm.parameters())


def test_a_module_is_the_same_there_each_time(training):
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    training["keep"](module)
    x = torch.rand(4, 2)
    with torch.no_grad():
        module[0].weight.mul_(2)
    assert torch.allclose(training["kept"](x), module(x))
    assert training["name"](module) == "Sequential"


def test_gradients_of_the_students_parameters_outlive_the_graph(training):
    training["predict"](torch.tensor([[1.0, 2.0]])).sum().backward()  # nobody here has the parameters
    assert [p.grad.tolist() for p in training["parameters"]()] == [[[1.0, 2.0]], [1.0]]


def test_a_module_without_a_name_here_is_let_go_there(training):
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    for _ in range(2):
        training["output"](module, torch.zeros(1, 2))
    assert len(training.runtime._shared.held) == 3
    del module
    training.session.fresh()
    gc.collect()
    training.session.seed(0)
    assert training.runtime._shared.held == []


def test_a_module_of_a_class_of_the_tests_is_lent_and_not_built(training):
    class Own(nn.Module):
        def forward(self, x: Any) -> Any:
            return x + 1

    assert training["name"](Own()) == "LentFunction"
    assert training["output"](Own(), torch.zeros(1)).tolist() == [1.0]


def test_functions_of_libraries_go_by_their_names(training):
    assert training["output"](torch.relu, torch.tensor([-1.0, 1.0])).tolist() == [0.0, 1.0]
    assert training["name"](np.exp) == "ufunc"
