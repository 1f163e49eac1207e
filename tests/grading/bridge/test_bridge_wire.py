"""Frames and arrays as bytes: what is too large, too deep or no frame at all, and a Line's deadlines and spill."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
import tracemalloc

import msgpack
import numpy as np
import pytest
import torch
from bridge_material import QUICK
from hypothesis import example, given, settings
from hypothesis import strategies as st

from course_lib.grading.bridge import wire
from course_lib.grading.bridge.wire import (
    ELEMENTS,
    ENTRIES,
    FRAME,
    HEADER,
    BadFrame,
    Line,
    Unsendable,
    pack_array,
    pack_tensor,
    unpack,
    unpack_array,
    unpack_tensor,
)

LIST = b"\xdd"  # msgpack's list with four bytes of length


@pytest.fixture
def lines():
    """Two ends, each of which gives up after ten seconds."""
    ours, theirs = (Line(end) for end in socket.socketpair())
    ours.deadline = theirs.deadline = time.monotonic() + 10
    yield ours, theirs
    ours.socket.close()
    theirs.socket.close()


# --------------------------------------------------------------------------------------------------- frames


def test_frames_arrive_one_by_one_and_in_order(lines):
    ours, theirs = lines
    sent = [{"id": "a", "value": [1, 2.5, None, b"\x00", "é"]}, {"id": "b"}, {}]
    for frame in sent:
        ours.send(frame)
    assert [theirs.receive() for _ in sent] == sent


def test_a_frame_larger_than_the_sockets_buffer_crosses(lines):
    ours, theirs = lines
    frame = {"value": os.urandom(8 * 2**20)}
    thread = threading.Thread(target=ours.send, args=(frame,))
    thread.start()
    assert theirs.receive() == frame
    thread.join(10)


def test_a_frame_that_comes_byte_by_byte_is_read(lines):
    ours, theirs = lines
    body = msgpack.packb(["slowly", 1])

    def write():
        for byte in HEADER.pack(len(body)) + body:
            ours.socket.send(bytes([byte]))

    thread = threading.Thread(target=write)
    thread.start()
    assert theirs.receive() == ["slowly", 1]
    thread.join(10)


def test_a_frame_that_says_it_is_too_large_is_refused_before_it_is_read(lines):
    ours, theirs = lines
    ours.socket.send(HEADER.pack(FRAME + 1))
    with pytest.raises(BadFrame, match="MB"):
        theirs.receive()


def test_a_frame_of_just_the_size_is_read(lines, monkeypatch):
    monkeypatch.setattr(wire, "FRAME", 1000)
    ours, theirs = lines
    ours.send(b"x" * 997)  # and three bytes of msgpack's
    assert theirs.receive() == b"x" * 997
    with pytest.raises(Unsendable, match="may be sent at a time"):
        ours.send(b"x" * 998)


@pytest.mark.parametrize("tree", [2**64, object(), {"a": {1, 2}}], ids=["integer", "object", "set"])
def test_what_msgpack_does_not_know_is_not_sent(lines, tree):
    with pytest.raises((Unsendable, TypeError)):
        lines[0].send(tree)


def test_nesting_that_msgpack_refuses_is_unsendable(lines):
    tree: list = []
    for _ in range(2000):
        tree = [tree]
    with pytest.raises(Unsendable, match="cannot be sent"):
        lines[0].send(tree)


def test_the_end_of_the_other_end_is_eof(lines):
    ours, theirs = lines
    ours.socket.send(HEADER.pack(100) + b"half")
    ours.socket.close()
    with pytest.raises(EOFError):
        theirs.receive()


def test_nothing_comes_until_the_deadline(lines):
    _, theirs = lines
    began = time.monotonic()
    theirs.deadline = began + 0.1
    with pytest.raises(TimeoutError):
        theirs.receive()
    assert 0.1 <= time.monotonic() - began < 5


def test_bytes_without_a_pause_do_not_outlast_the_deadline(lines):
    ours, theirs = lines
    theirs.deadline = time.monotonic() + 0.2
    ours.socket.send(HEADER.pack(FRAME))
    ended = threading.Event()

    def drip():
        while not ended.is_set():
            try:
                ours.socket.send(b"x")
            except BlockingIOError:
                time.sleep(0.001)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        with pytest.raises(TimeoutError):
            theirs.receive()
    finally:
        ended.set()
        thread.join(10)


def test_sending_to_who_does_not_read_ends_at_the_deadline(lines):
    ours, _ = lines
    ours.deadline = time.monotonic() + 0.1
    with pytest.raises(TimeoutError):
        ours.send(bytes(16 * 2**20))


# ------------------------------------------------------------------------------------------ what unpack bounds


def listed(count: int, body: bytes) -> bytes:
    return LIST + struct.pack(">I", count) + body


def test_a_list_has_at_most_so_many_elements():
    # encode() allows ENTRIES; a list of a frame has a tag besides
    assert len(unpack(listed(ENTRIES + 1, bytes(ENTRIES + 1)))) == ENTRIES + 1
    with pytest.raises(BadFrame):
        unpack(listed(ENTRIES + 2, bytes(ENTRIES + 2)))


def test_a_map_has_at_most_64_keys():
    assert len(unpack(msgpack.packb({str(n): n for n in range(64)}))) == 64
    with pytest.raises(BadFrame):
        unpack(msgpack.packb({str(n): n for n in range(65)}))


@pytest.mark.parametrize("inner", [b"\x90", b"\x80", b"\x00"], ids=["lists", "maps", "numbers"])
def test_a_frame_has_at_most_so_many_values(inner):
    row = listed(100_000, inner * 100_000)
    with pytest.raises(BadFrame, match="more than"):
        unpack(listed(ELEMENTS // 100_000 + 1, row * (ELEMENTS // 100_000 + 1)))
    few = 4  # with empty containers, each counts twice
    assert len(unpack(listed(few, row * few))) == few


def test_lists_that_only_promise_to_be_long_take_little_memory():
    frame = (LIST + struct.pack(">I", ENTRIES)) * 2000
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(BadFrame):
            unpack(frame)
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\x92\x01",
        b"\xd4\x01\x00",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\x81\x01\x02",
        b"\x81\x90\x02",
    ],
    ids=["empty", "never used", "more after it", "half", "extension", "time", "number as key", "list as key"],
)
def test_no_msgpack_of_ours_is_a_bad_frame(body):
    with pytest.raises(BadFrame):
        unpack(body)


@settings(QUICK, max_examples=300)
@given(st.binary(max_size=200))
@example(b"\x91" * 1024 + b"\x90")
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
def test_random_bytes_are_a_tree_or_a_bad_frame(body):
    try:
        tree = unpack(body)
    except BadFrame:
        return
    assert type(tree) in (type(None), bool, int, float, str, bytes, list, dict) or type(tree).__name__ == "ExtType"


def test_lone_surrogates_do_not_cross(lines):
    ours, theirs = lines
    ours.send("a\ud800b")
    assert theirs.receive() == "a\ufffd\ufffd\ufffdb"  # one for each of its three bytes


# -------------------------------------------------------------------------------------------------- arrays

ARRAY = pack_array(np.arange(6.0).reshape(2, 3))
TENSOR = pack_tensor(torch.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("place", "part"),
    [
        (0, "|O"),
        (0, "<M8"),
        (0, "<f8,<f8"),
        (0, "<f16"),
        (0, "<U0"),
        (0, "<U99999"),
        (0, None),
        (1, [2]),
        (1, [6, 1, 1]),
        (1, [2, -3]),
        (1, [-2, -3]),
        (1, [2.0, 3]),
        (1, [True, 6]),
        (1, [2, 2**70]),
        (2, [0]),
        (2, [0, 0]),
        (2, [0, 2]),
        (2, [-1, 0]),
        (2, ["0", 1]),
        (2, [[], 1]),
        (2, [0.0, 1]),
        (3, 1),
        (4, b""),
        (4, bytes(47)),
        (4, bytes(49)),
        (4, "x" * 48),
    ],
)
def test_an_array_whose_parts_do_not_fit_is_a_bad_frame(place, part):
    parts = list(ARRAY)
    parts[place] = part
    with pytest.raises(BadFrame):
        unpack_array(parts)
    if place == 3:
        return
    parts = list(TENSOR)
    parts[min(place, 3)] = part
    with pytest.raises(BadFrame):
        unpack_tensor(parts)


@pytest.mark.parametrize("shape", [[0, 2**40, 2**40], [0] * 33, [0, 2**41]], ids=["too long", "axes", "axis"])
def test_an_empty_array_that_cannot_be_is_a_bad_frame(shape):
    order = list(range(len(shape)))
    with pytest.raises(BadFrame):
        unpack_array(["<f8", shape, order, True, b""])
    with pytest.raises(BadFrame):
        unpack_tensor(["float64", shape, order, b""])


def test_a_truth_value_that_is_no_bit_becomes_one():
    # torch and NumPy compute nonsense with a boolean whose byte is 2
    assert unpack_array(["|b1", [2], [0], True, b"\x02\x00"]).tobytes() == b"\x01\x00"
    assert bytes(unpack_tensor(["bool", [2], [0], b"\x02\x00"]).untyped_storage()) == b"\x01\x00"


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.zeros(2, dtype=[("a", "f8")]),
        np.zeros(2, dtype=np.longdouble),
        np.zeros(2, dtype="V3"),
    ],
    ids=["objects", "dates", "records", "long doubles", "void"],
)
def test_an_array_of_no_numbers_is_unsendable(array):
    with pytest.raises(Unsendable, match="arrays of numbers can"):
        pack_array(array)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(3).to_sparse(),
        torch.empty(3, device="meta"),
    ],
    ids=["sparse", "meta"],
)
def test_a_tensor_that_is_not_dense_is_unsendable(tensor):
    with pytest.raises(Unsendable, match="dense"):
        pack_tensor(tensor)


def test_what_is_unpacked_is_new_and_can_be_changed():
    data = np.arange(4.0)
    array, tensor = unpack_array(pack_array(data)), unpack_tensor(pack_tensor(torch.from_numpy(data)))
    array += 1
    tensor += 1
    assert data.tolist() == [0, 1, 2, 3]
    assert array.tolist() == tensor.tolist() == [1, 2, 3, 4]


# --------------------------------------------------------------------------------------------------- spill


@pytest.fixture
def spilling():
    """A line that reads a pipe meanwhile, its other end, where to write, and what came."""
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    came = bytearray()
    line, other = Line(ours, read, came.extend), Line(theirs)
    line.deadline = other.deadline = time.monotonic() + 10
    yield line, other, write, came
    for end in (ours, theirs):
        end.close()
    for descriptor in (read, write):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_who_prints_more_than_a_pipe_holds_is_not_blocked(spilling):
    line, other, write, came = spilling
    text = random.Random(1).randbytes(2**20)

    def print_and_answer():
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(write, rest) :]
        other.send("done")

    thread = threading.Thread(target=print_and_answer)
    thread.start()
    assert line.receive() == "done"
    thread.join(10)
    for _ in range(100):
        line.drain()
    assert bytes(came) == text


def test_the_spill_is_read_while_sending(spilling):
    line, other, write, came = spilling
    text = bytes(2**19)

    def print_and_read():
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(write, rest) :]
        other.receive()
        other.send("read")

    thread = threading.Thread(target=print_and_read)
    thread.start()
    line.send(bytes(2**23))
    assert line.receive() == "read"
    thread.join(10)
    line.drain()
    assert len(came) == len(text)


def test_drain_reads_what_is_there_and_does_not_wait(spilling):
    line, _, write, came = spilling
    line.drain()
    assert came == b""
    os.write(write, b"some")
    line.drain()
    assert came == b"some"


def test_drain_ends_though_the_printing_does_not(spilling):
    line, _, write, came = spilling
    os.write(write, b"x")
    line.spilled = lambda data: (came.extend(data), os.write(write, data))
    began = time.monotonic()
    line.drain()
    assert 1 <= len(came) <= 100
    assert time.monotonic() - began < 5


def test_a_spill_that_everyone_has_closed_is_left_alone(spilling):
    line, other, write, came = spilling
    os.write(write, b"last words")
    os.close(write)
    other.send("answer")
    assert line.receive() == "answer"
    line.drain()
    line.drain()
    assert came == b"last words"
    assert line.spill == -1
    line.deadline = time.monotonic() + 0.1
    with pytest.raises(TimeoutError):  # and the closed pipe wakes nobody
        line.receive()
