"""What may cross does so unchanged, both ways; what the trusted end is sent by hand is a value or a BadFrame."""

from __future__ import annotations

import collections
import copy
import enum
import gc
import random
import socket
import time
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from bridge_material import QUICK, Bridge, Shell, bridge, same
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from course_lib.grading.bridge.codec import Codec, Shared
from course_lib.grading.bridge.student import Runtime
from course_lib.grading.bridge.trusted import Lost, Session, StudentObject
from course_lib.grading.bridge.wire import DEPTH, DTYPES, ENTRIES, FRAME, BadFrame, Line, Unsendable, unpack

STUDENT = """
import numpy as np, torch
def keep(x):
    global kept
    kept = x
    return x
def draw(generator, n):
    if isinstance(generator, torch.Generator):
        return torch.rand(n, generator=generator)
    return generator.random(n)
def draw_and_add(generator, x):
    draw(generator, 1)
    x += 1
def nested(depth, last):
    for _ in range(depth):
        last = [last]
    return last
def long(n): return list(range(n))
def power(n): return 2 ** n
def zeros(n): return np.zeros(n)
class Thing: pass
def things(): return [Thing(), np.zeros(9_000_000)]
thing = Thing()
"""


@pytest.fixture(scope="module")
def bridges():
    """The bridge that all tests here use, until one breaks it."""
    made: list[Bridge] = []
    yield made
    for one in made:
        one.close()


@pytest.fixture
def across(bridges):
    """A student whose function `keep` keeps what it gets, and returns it."""
    if not bridges or bridges[-1].session.ended:
        bridges.append(Bridge(STUDENT))
    bridges[-1].patient()
    bridges[-1].session.fresh()
    return bridges[-1]


def crosses(across: Bridge, value: Any, arrives: Any) -> None:
    """It arrives over there, and comes back, as `arrives`."""
    across.patient()
    back = across["keep"](value)
    assert same(across.theirs["kept"], arrives), "on the way there"
    assert same(back, arrives), "on the way back"


# ---------------------------------------------------------------------------------------------- round trips

INTEGERS = st.integers() | st.integers(-(2**4095), 2**4095) | st.sampled_from([2**63, -(2**63) - 1, 2**64, 2**63 - 1])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
HASHABLE = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | TEXTS | st.binary(),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)
PLAIN = (
    st.none()
    | st.booleans()
    | INTEGERS
    | st.floats()
    | TEXTS
    | st.binary()
    | st.complex_numbers()
    | st.just(...)
    | st.slices(10)
    | st.sampled_from(list(DTYPES.values()))
    | st.lists(st.integers(0, 9)).map(torch.Size)
)
VALUES = st.recursive(
    PLAIN | st.sets(HASHABLE, max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(QUICK, max_examples=100)
@given(VALUES)
def test_plain_values_cross(across, value):
    crosses(across, value, value)


@settings(QUICK, max_examples=50)
@given(st.text(st.characters(categories=["Cs", "Lu"]), max_size=5))
def test_lone_surrogates_arrive_replaced(across, text):
    crosses(across, text, text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))


class Number(enum.IntEnum):
    ONE = 1


Pair = collections.namedtuple("Pair", "a b")


class Word(str):
    def __str__(self) -> str:
        return "another"


class Vector(np.ndarray):
    pass


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Number.ONE, 1),
        (Pair(1, "b"), (1, "b")),
        (Word("one"), "one"),
        (frozenset({1}), {1}),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (range(2, 8, 3), [2, 5]),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.items(), [("a", 1)]),
        (bytearray(b"ab"), b"ab"),
        (np.zeros(2).view(Vector), np.zeros(2)),
        (torch.device("cpu"), torch.device("cpu")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_subclass_arrives_as_its_base(across, value, arrives):
    crosses(across, value, arrives)


NUMPY_DTYPES = [
    *("?", "i1", "i2", "<i4", "<i8", ">i4", "u1", "<u2", "<u8", "<f2", "<f4", "<f8", ">f8", "<c8", "<c16", "S3", "<U4"),
    "U1",
]


def laid_out(draw: Any, array: np.ndarray) -> np.ndarray:
    """The same kind of array in another order, with gaps, backwards, repeated or read-only."""
    how = draw(st.sampled_from(["C", "F", "transposed", "gaps", "backwards", "repeated", "permuted"]))
    if how == "F":
        array = np.asfortranarray(array)
    elif how == "transposed":
        array = array.T
    elif how == "gaps" and array.ndim:
        array = array[..., ::2]
    elif how == "backwards" and array.ndim:
        array = array[::-1]
    elif how == "repeated":
        array = np.broadcast_to(array, (2, *array.shape))
    elif how == "permuted":
        array = array.transpose(draw(st.permutations(range(array.ndim))))
    if array.flags.writeable and draw(st.booleans()):
        array = array.view()
        array.flags.writeable = False
    return array


@st.composite
def arrays(draw: Any) -> np.ndarray:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    return laid_out(draw, draw(hnp.arrays(draw(st.sampled_from(NUMPY_DTYPES)), shape)))


@settings(QUICK, max_examples=150)
@given(arrays())
def test_arrays_cross_with_their_layout(across, array):
    crosses(across, array, array)
    kept = across.theirs["kept"]
    if all(n > 1 for n in array.shape) and all(array.strides):
        order = np.argsort([-abs(stride) for stride in array.strides])
        assert np.argsort([-stride for stride in kept.strides]).tolist() == order.tolist()
    if all(n > 1 for n in array.shape) and (array.flags.c_contiguous or array.flags.f_contiguous):
        assert kept.strides == array.strides


@settings(QUICK, max_examples=60)
@given(st.sampled_from(NUMPY_DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, 1)))
def test_scalars_of_numpy_cross(across, array):
    if array.dtype.itemsize and (array.dtype.kind not in "SU" or array[0]):
        crosses(across, array[0], array.astype(array[0].dtype)[0])


@st.composite
def tensors(draw: Any) -> torch.Tensor:
    dtype = draw(st.sampled_from(list(DTYPES.values())))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    numbers = torch.tensor(draw(hnp.arrays("i1", shape)))
    tensor = (numbers % 2 == 0) if dtype == torch.bool else numbers.to(dtype)
    how = draw(st.sampled_from(["as is", "permuted", "expanded", "gaps", "conjugate", "negative", "nan"]))
    if how == "permuted":
        tensor = tensor.permute(draw(st.permutations(range(tensor.dim()))))
    elif how == "expanded":
        tensor = tensor.expand(2, *tensor.shape)
    elif how == "gaps" and tensor.dim():
        tensor = tensor[..., ::2]
    elif how == "conjugate" and tensor.is_complex():
        tensor = tensor.conj()
    elif how == "negative" and tensor.is_floating_point() and dtype in (torch.float32, torch.float64):
        tensor = torch.complex(tensor, tensor).conj().imag
    elif how == "nan" and tensor.is_floating_point():
        tensor = tensor / 0
    return tensor


@settings(QUICK, max_examples=200)
@given(tensors())
def test_tensors_cross_with_their_layout(across, tensor):
    crosses(across, tensor, tensor)
    kept = across.theirs["kept"]
    assert not kept.is_conj() and not kept.is_neg()
    order = sorted(range(tensor.dim()), key=lambda axis: -tensor.stride(axis))
    if all(n > 1 for n in tensor.shape) and tensor.permute(order).is_contiguous():
        assert kept.stride() == tensor.stride()


@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
def test_channels_last_stays_so(across, memory):
    picture = torch.rand(2, 3, 4, 5).contiguous(memory_format=memory)
    crosses(across, picture, picture)
    assert across.theirs["kept"].is_contiguous(memory_format=memory)


@pytest.mark.parametrize(
    "value",
    [
        np.array(True),
        np.bool_(False),
        torch.zeros(2, dtype=torch.float16)[::2],
        torch.zeros(0, 2, dtype=torch.bool)[..., ::2],
        torch.tensor(True),
        -(2**4096) + 1,
        np.array(["é\U0001f600", ""]),
    ],
    ids=repr,
)
def test_values_at_the_edge_cross(across, value):
    crosses(across, value, value)


def generators() -> list[Any]:
    made = [np.random.Generator(kind(7)) for kind in (np.random.PCG64, np.random.MT19937, np.random.Philox)]
    made[0].integers(5, dtype=np.int32)  # which leaves half a number behind
    return [*made, torch.Generator().manual_seed(7)]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("write_back", [True, False])
def test_generators_draw_the_same_and_go_on_from_there(across, place, write_back):
    ours, alone = generators()[place], generators()[place]
    across.patient()
    across.session.fresh(write_back=write_back)
    draw = across.theirs["draw"]
    for n in (3, 1, 700):
        drawn = across["draw"](ours, n)
        assert same(drawn, draw(alone, n))
    assert same(draw(ours, 2), draw(alone, 2))
    assert across.session.changed_arguments == 0


@pytest.mark.parametrize("place", range(4))
def test_an_array_behind_a_generator_is_the_one_that_changes(across, place):
    ours, numbers = generators()[place], np.zeros(2)
    across["draw_and_add"](ours, numbers)
    assert numbers.tolist() == [1, 1]
    assert not same(across["draw"](ours, 3), across["draw"](generators()[place], 3))


def test_a_generator_comes_back_in_its_state(across):
    ours = generators()[0]
    back = across["keep"](ours)
    assert back is not ours
    assert same(back.random(4), ours.random(4))
    assert same(across.theirs["kept"].integers(9, size=3, dtype="i4"), generators()[0].integers(9, size=3, dtype="i4"))


@pytest.mark.parametrize("legacy", [np.random.RandomState(1), np.random.Generator(np.random.SFC64(1))])
def test_other_generators_are_lent(across, legacy):
    across["keep"](legacy)
    assert type(across.theirs["kept"]).__name__ == "Lent"


# ---------------------------------------------------------------------------------------------------- limits


def nested(depth: int, last: Any) -> Any:
    for _ in range(depth):
        last = [last]
    return last


@pytest.mark.parametrize("last", [1, [], np.zeros(1), torch.zeros(1), 2**80], ids=lambda value: type(value).__name__)
def test_depth_is_bounded_alike_at_both_ends(across, last):
    deepest = DEPTH - 2 + (not isinstance(last, list))  # of an argument, which is an element of a list of a list
    crosses(across, nested(deepest, last), nested(deepest, last))
    with pytest.raises(Lost, match="more than 60 deep"), bridge(STUDENT) as other:
        other["keep"](nested(deepest + 1, last))


@pytest.mark.parametrize("last", [1, [], np.zeros(1), torch.zeros(1), 2**80], ids=lambda value: type(value).__name__)
def test_what_the_student_returns_too_deep_is_an_error_of_the_student(across, last):
    deepest = DEPTH + (not isinstance(last, list))
    assert same(across["nested"](deepest, last), nested(deepest, last))
    with pytest.raises(TypeError, match="more than 60 deep"):
        across["nested"](deepest + 1, last)


def test_elements_are_bounded(across):
    across.patient()
    assert across["long"](ENTRIES) == list(range(ENTRIES))
    with pytest.raises(TypeError, match="200,001 elements"):
        across["long"](ENTRIES + 1)


def test_bits_are_bounded(across):
    assert across["power"](4095) == 2**4095
    with pytest.raises(TypeError, match="4,097 bits"):
        across["power"](4096)


def test_an_answer_that_is_too_large_is_an_error_and_the_session_goes_on(across):
    across.patient()
    with pytest.raises(TypeError, match="MB may be sent at a time"):
        across["zeros"](FRAME // 8 + 1)
    assert same(across["zeros"](2), np.zeros(2))


def test_news_of_an_answer_that_was_too_large_is_not_lost(across):
    with pytest.raises(TypeError, match="MB may be sent at a time"):
        across["things"]()  # its type was told with the answer that could not be sent
    assert type(across["thing"]).__name__ == "Thing"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (2**4096, "4,097 bits"),
        (np.array([None]), "arrays of numbers"),
        (torch.eye(2).to_sparse(), "a dense one"),
        (bytes(FRAME), "may be sent at a time"),
        ([0] * (ENTRIES + 1), "elements"),
    ],
    ids=["integer", "objects", "sparse", "bytes", "long"],
)
def test_what_a_test_cannot_send_ends_the_session_and_says_why(value, why):
    with bridge(STUDENT) as other, pytest.raises(Lost, match=why) as lost:
        other["keep"](value)
    assert lost.value.why == "protocol"


def test_what_contains_itself_is_unsendable():
    inside: list[Any] = []
    inside.append({"a": (inside,)})
    with pytest.raises(Unsendable, match="contains itself"):
        plain_codec().encode(inside)
    shared = [1]
    assert plain_codec().encode([shared, shared]) == ["l", [["l", [1]]] * 2]


# --------------------------------------------------------------------------------------------------- fuzzing


def plain_codec() -> Codec:
    return Codec(Shared(1), lambda thing: ["student", 0, 0], lambda parts: None, sends_modules=False)


class Target:
    """The trusted end, with something of every kind that a frame may name."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        theirs.close()
        self.session = Session(Line(ours))
        self.codec = self.session._codec
        self.session._learn([[0, "Thing", ["call", "len"], ["method"]]])
        self.known = [torch.nn.Parameter(torch.ones(2)), torch.arange(3), torch.nn.Linear(1, 1), [1]]
        for number, thing in zip((1, 3, 0), self.known, strict=False):
            self.session._shared.share(thing, number)
        self.session._lend(self.known[3])

    def decode(self, tree: Any) -> Any:
        with self.codec.noting(arrays=[], live=[torch.ones(1)]):
            return self.codec.decode(tree)

    def close(self) -> None:
        self.session.line.socket.close()


@pytest.fixture(scope="module")
def target():
    made = Target()
    yield made
    made.close()


def corpus() -> list[Any]:
    """Trees that are values."""
    values = [
        *(None, True, 2**70, -1, 0.5, "text", b"bytes", 1j, ..., slice(1, None, 2), torch.float32, torch.Size([2, 3])),
        *([1, [2]], (1,), {1, "a"}, {"a": [1], 2: None}, torch.device("cpu")),
        *(np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((2, 2), "i4")), np.array(True), np.float32(1)),
        *(torch.ones(2, 3), torch.ones(2, 3).T, torch.zeros(0, 2), torch.tensor(True), np.array(["ab"])),
        *generators(),
    ]
    trees = [plain_codec().encode(value) for value in values]
    gradient = ["float32", [2], [0], bytes(8)]
    return [
        *trees,
        ["L", 0],
        ["p", 1, gradient, True, gradient, True],
        ["p", 3, ["int64", [3], [0], bytes(24)], False, None, False],
        ["p", 5, gradient, True, None, True],
        ["m", 0],
        ["r", "student", 0, 0],
        ["r", "tests", 0],
        ["M", 2, ["torch.nn.modules.linear", "Linear"], True, [], [], [], [], []],
        ["q", "builtins", "print"],
    ]


CORPUS = corpus()
NASTY = [
    *(None, True, False, 0, 1, -1, 2, 3, 5, 2**31, 2**40, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, 1e300, float("nan")),
    *("", "a", "ff", "_", "x" * 2000, "PCG64", "MT19937", "state", "int64", "bool", "<U4", "student", "tests", b""),
    *(b"\xff" * 8, [], [[]], {}, {"a": 1}, ["l", []], ["d", []], ["r", "student", 0, 0], ["a"], ["p"], ["g", [], {}]),
    *"aTltsdnLpmMqicDvzSegGr",
]


def places(tree: Any) -> list[tuple[list[Any], int]]:
    """Every element of every list of a tree."""
    found, waiting = [], [tree]
    while waiting:
        part = waiting.pop()
        if type(part) is list:
            found += [(part, place) for place in range(len(part))]
            waiting += part
    return found


def mutated(chance: random.Random, tree: Any) -> Any:
    tree = [copy.deepcopy(tree)]
    for _ in range(chance.choice((1, 1, 2, 4))):
        part, place = chance.choice(places(tree))
        match chance.randrange(6):
            case 0 | 1:
                part[place] = copy.deepcopy(chance.choice(NASTY))
            case 2:
                part[place] = copy.deepcopy(chance.choice(CORPUS))
            case 3:
                part.insert(place, copy.deepcopy(chance.choice(NASTY)))
            case 4 if len(part) > 1:
                del part[place]
            case _:
                other, where = chance.choice(places(tree))
                part[place] = copy.deepcopy(other[where])
    return tree[0] if tree else None


def with_bytes_changed(chance: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.choice((1, 2, 8))):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(3):
            case 0:
                changed[place : place + 1] = chance.randbytes(1)
            case 1:
                changed[place:place] = chance.randbytes(chance.randrange(1, 5))
            case _:
                del changed[place : place + chance.randrange(1, 5)]
    return bytes(changed)


def packed(tree: Any) -> bytes:
    return msgpack.packb(tree, use_bin_type=True, unicode_errors="surrogatepass")


def harmless(value: Any, depth: int = 0) -> bool:
    """Whether a decoded value is of the types that a frame may bring."""
    if isinstance(value, list | tuple | set):
        return all(harmless(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return all(harmless(k, depth + 1) and harmless(v, depth + 1) for k, v in value.items())
    plain = (type(None), bool, int, float, complex, str, bytes, slice, type(...), torch.Size, torch.dtype, torch.device)
    more = (np.ndarray, np.generic, torch.Tensor, np.random.Generator, torch.Generator, StudentObject, torch.nn.Linear)
    return type(value) in plain or isinstance(value, more)


def decoded(target: Target, body: bytes) -> bool:
    """Whether these bytes are a value. Anything but a value and a BadFrame comes out of here."""
    try:
        value = target.decode(unpack(body))
    except BadFrame:
        return False
    assert harmless(value)
    return True


def test_the_corpus_is_what_the_decoder_reads(target):
    refused = [tree[0] for tree in CORPUS if not decoded(target, packed(tree))]
    assert refused == ["M", "q"]  # modules and names of functions go only the other way


@settings(QUICK, max_examples=250)
@given(st.integers(0, 2**63))
def test_a_mutated_frame_is_a_value_or_a_bad_frame(target, seed):
    chance = random.Random(seed)
    began = time.monotonic()
    for _ in range(20):
        tree = mutated(chance, chance.choice(CORPUS))
        decoded(target, packed(tree))
    assert time.monotonic() - began < 10


@settings(QUICK, max_examples=100)
@given(st.integers(0, 2**63))
def test_a_frame_with_changed_bytes_is_a_value_or_a_bad_frame(target, seed):
    chance = random.Random(seed)
    for _ in range(20):
        decoded(target, with_bytes_changed(chance, packed(chance.choice(CORPUS))))


TAGS = st.sampled_from([*"aTltsdnLpmMqicDvzSegGr", "", "é"])
TREES = st.recursive(
    st.sampled_from([thing for thing in NASTY if type(thing) is not dict]),
    lambda inner: st.tuples(TAGS, st.lists(inner, max_size=5)).map(lambda pair: [pair[0], *pair[1]]) | st.lists(inner),
    max_leaves=12,
)


@settings(QUICK, max_examples=300)
@given(TREES)
def test_a_tree_of_any_form_is_a_value_or_a_bad_frame(target, tree):
    decoded(target, packed(tree))


@pytest.mark.parametrize(
    "tree",
    [
        ["g", [], ["d", []]],
        ["p", 3, ["int64", [3], [0], bytes(24)], True, None, False],
        ["p", 7, ["int64", [3], [0], bytes(24)], True, None, True],
        ["p", 2, ["int64", [3], [0], bytes(24)], False, None, False],
        ["p", 0, ["float32", [1], [0], bytes(4)], False, None, False],
        ["p", 1, ["float32", [3], [0], bytes(12)], True, None, True],
        ["p", 1, ["float32", [2], [0], bytes(8)], True, ["float32", [3], [0], bytes(12)], True],
        ["L", 1],
        ["L", -1],
        ["m", 9],
        ["r", "student", 0, 9],
        ["r", "tests", 1],
        ["r", "tests", -1],
        ["i", "f" * 1028],
        ["i", "no"],
        ["s", [["l", []]]],
        ["d", [[1, 2, 3]]],
        ["d", [[["l", []], 1]]],
        ["z", [-1]],
        ["z", [0] * 33],
        ["v", "xpu"],
        ["D", "qint8"],
        ["n", "<f8", [1], [0], True, bytes(8)],
        ["G", ["uint8", [3], [0], bytes(3)]],
        ["_module"],
        [["a"]],
        {"a": 1},
    ],
    ids=lambda tree: repr(tree)[:30],
)
def test_what_breaks_the_grammar_is_a_bad_frame(target, tree):
    with pytest.raises(BadFrame):
        target.decode(tree)


def test_states_that_would_be_read_beyond_a_generators_numbers_are_bad_frames(target):
    twister = np.random.Generator(np.random.MT19937(1)).bit_generator.state
    twister["state"]["pos"] = 625
    philox = np.random.Generator(np.random.Philox(1)).bit_generator.state | {"buffer_pos": 5}
    for name, state in (("MT19937", twister), ("Philox", philox)):
        with pytest.raises(BadFrame, match="no generator has"):
            target.decode(["g", name, plain_codec().encode(state)])
    numbers = bytearray(torch.Generator().manual_seed(1).get_state().numpy().tobytes())
    numbers[16:24] = (10**6).to_bytes(8, "little")
    with pytest.raises(BadFrame, match="no generator has"):
        target.decode(["G", ["uint8", [len(numbers)], [0], bytes(numbers)]])


def test_the_student_may_not_hand_out_objects_without_end(target, monkeypatch):
    from course_lib.grading.bridge import trusted

    monkeypatch.setattr(trusted, "OBJECTS", 5)
    with pytest.raises(BadFrame, match="more than 5 objects"):
        target.decode(["l", [["r", "student", number, 0] for number in range(100, 107)]])


def test_a_frame_full_of_values_takes_bounded_time(target):
    began = time.monotonic()
    row = ["l", [["l", []]] * 60_000]
    assert decoded(target, packed(["l", [row, row]]))
    assert not decoded(target, packed(["l", [row] * 8]))  # more than a million
    assert time.monotonic() - began < 10


def test_the_runtime_survives_what_it_cannot_read():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        runtime = Runtime(theirs, Shell())
        runtime._answer({"id": "x", "do": "call", "of": 5, "with": ["?"]})
        line = Line(ours)
        line.deadline = time.monotonic() + 10
        assert line.receive()["error"][0] == "KeyError"


def test_garbage_collected_while_changes_are_listed_is_no_error():
    before = gc.get_threshold()
    gc.disable()
    try:
        shared, modules = Shared(1), [nn.Linear(1, 1) for _ in range(300)]
        for k, module in enumerate(modules):
            shared.share(module)
            if k % 2:
                module.circle = [module]  # only the collector can free it
        del modules[1::2], module
        assert len(shared) == 300
        gc.set_threshold(gc.get_count()[0] + 150)  # in the midst of 300 pairs, if pairs are made
        gc.enable()
        assert {number for number, *_ in shared.changes()} >= set(range(1, 600, 4))
    finally:
        gc.set_threshold(*before)
        gc.enable()
