"""Frames on a socket, and plain values as bytes: what may cross the bridge, and how much of it.

A frame is four bytes of length and a msgpack body. Its values are None, booleans, numbers, strings, bytes, and lists
that begin with a tag: containers, arrays, tensors, references. No frame names a class, a function or a module to be
loaded by the trusted side, and every array must bring exactly as many bytes as its shape asks for.
"""

from __future__ import annotations

import gc
import math
import os
import re
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np
import torch

FRAME = 64 * 2**20  # bytes of one frame
DEPTH = 60  # containers inside containers
ENTRIES = 200_000  # elements of one container
ELEMENTS = 1_000_000  # of all containers of one frame: an empty list is one byte here, and 56 in memory
INTEGER = 4096  # bits of an integer
AXES = 32
HEADER = struct.Struct("<I")
PART = 2**16  # bytes that are read at a time

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.complex64,
        torch.complex128,
    )
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
QUICK = {torch.float64, torch.float32, torch.int64, torch.int32}
COMMON = {dtype.str: dtype for dtype in map(np.dtype, ("float64", "float32", "int64", "int32", "bool"))}
NUMPY = re.compile(r"[<>|](?:b1|[iu][1248]|f[248]|c(?:8|16)|[US][1-9]\d{0,4})")


class BadFrame(Exception):
    """What came is no frame of this protocol, or is larger than a frame may be."""


class Unsendable(TypeError):
    """A value that cannot cross the bridge; the message says why, in words for its author."""


class Line:
    """Frames over a socket, with deadlines.

    Args:
        connection: a stream socket.
        spill: a file descriptor to read from meanwhile, so that whoever writes to it is never blocked; -1 for none.
        spilled: receives what came from it.
    """

    def __init__(self, connection: socket.socket, spill: int = -1, spilled: Any = None) -> None:
        self.socket, self.spill, self.spilled = connection, spill, spilled
        self.deadline = math.inf  # time.monotonic() at which sending and receiving end with TimeoutError
        self._buffer = bytearray()
        self._poll, self._room, self._printed = select.poll(), select.poll(), select.poll()
        connection.setblocking(False)
        self._poll.register(connection, select.POLLIN)
        self._room.register(connection, select.POLLOUT)
        if spill >= 0:
            self._poll.register(spill, select.POLLIN)
            self._room.register(spill, select.POLLIN)
            self._printed.register(spill, select.POLLIN)

    def send(self, tree: Any) -> None:
        """Send one frame. Raises BadFrame where it is too large, OSError where nobody listens, TimeoutError."""
        try:
            body = msgpack.packb(tree, use_bin_type=True, unicode_errors="surrogatepass")
        except (ValueError, OverflowError, RecursionError) as error:
            raise Unsendable(f"it cannot be sent ({error})") from None
        if len(body) > FRAME:
            raise Unsendable(f"it has {len(body) / 1e6:.0f} MB, and {FRAME / 1e6:.0f} MB may be sent at a time")
        rest: bytes | memoryview = HEADER.pack(len(body)) + body
        while rest:
            try:
                sent = self.socket.send(rest)
            except BlockingIOError:
                self._wait(self._room)
                continue
            if sent == len(rest):
                return
            rest = memoryview(rest)[sent:]

    def receive(self) -> Any:
        """The next frame. Raises BadFrame, EOFError where the other end is closed, TimeoutError."""
        buffer, end = self._buffer, HEADER.size
        whole = False  # whether `end` is that of the frame, and no more that of its header
        while True:
            if time.monotonic() >= self.deadline:  # also where the other end sends without a pause
                raise TimeoutError
            if len(buffer) >= end and not whole:
                (size,) = HEADER.unpack_from(buffer)
                if size > FRAME:
                    raise BadFrame(f"a frame of {size / 1e6:.0f} MB")
                end, whole = HEADER.size + size, True
            if len(buffer) >= end and whole:
                body = bytes(memoryview(buffer)[HEADER.size : end])
                del buffer[:end]
                return unpack(body)
            self._wait(self._poll)
            try:
                data = self.socket.recv(max(PART, min(end - len(buffer), 2**20)))
            except BlockingIOError:  # it was the spill that had something
                continue
            except ConnectionError:
                raise EOFError from None
            if not data:
                raise EOFError
            buffer += data

    def drain(self) -> None:
        """Read what lies in the spill now, but not for ever: a pipe holds 64 kB."""
        for _ in range(16):
            if self.spill < 0 or not self._printed.poll(0) or not self._read_spill():
                return

    def _wait(self, poll: select.poll) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        ready = poll.poll(min(left, 3600) * 1000)
        if self.spill >= 0 and any(place == self.spill for place, _ in ready):
            self._read_spill()

    def _read_spill(self) -> bool:
        data = os.read(self.spill, 2**16)
        if data:
            self.spilled(data)
        else:  # everyone who could write to it has ended
            self._poll.unregister(self.spill)
            self._room.unregister(self.spill)
            self.spill = -1
        return bool(data)


def unpack(body: bytes) -> Any:
    """The tree in a frame's body. Raises BadFrame."""
    if len(body) < ELEMENTS:  # a value takes a byte, so there is nothing to count
        return _unpack(body)
    left = ELEMENTS

    def count(found: Any) -> Any:
        nonlocal left
        left -= len(found) + 1
        if left < 0:
            raise BadFrame(f"more than {ELEMENTS:,} values in one frame")
        return found

    collects = gc.isenabled()
    gc.disable()  # nothing of a tree is garbage, and to look for it again and again takes longer than to read it
    try:
        return _unpack(body, list_hook=count, object_hook=count)
    finally:
        if collects:
            gc.enable()


def _unpack(body: bytes, **hooks: Any) -> Any:
    try:
        return msgpack.unpackb(
            body,
            raw=False,
            unicode_errors="replace",
            strict_map_key=True,
            max_array_len=ENTRIES + 1,
            max_map_len=64,
            max_ext_len=0,
            **hooks,
        )
    except BadFrame:
        raise
    except Exception as error:  # msgpack raises errors of many kinds
        raise BadFrame(f"no msgpack ({type(error).__name__})") from None


# ------------------------------------------------------------------------------------- arrays as bytes


def _order(strides: Sequence[int]) -> list[int]:
    """The axes from the outermost in memory to the innermost."""
    return sorted(range(len(strides)), key=lambda axis: -abs(strides[axis]))


def _inverse(order: Sequence[int]) -> list[int]:
    back = [0] * len(order)
    for place, axis in enumerate(order):
        back[axis] = place
    return back


def pack_array(array: np.ndarray) -> list[Any]:
    """[dtype, shape, order of the axes in memory, writeable, bytes]; the order survives, gaps and overlaps do not."""
    code = array.dtype.str
    if code not in COMMON and not NUMPY.fullmatch(code):
        raise Unsendable(f"an array of dtype {array.dtype} cannot cross; arrays of numbers can")
    flags = array.flags
    if flags.c_contiguous:
        order, data = list(range(array.ndim)), array
    else:
        order = _order(array.strides)
        data = array.transpose(order)
    return [code, list(array.shape), order, flags.writeable, data.tobytes()]


def unpack_array(parts: Any) -> np.ndarray:
    """A new array, from what `pack_array` gave. Raises BadFrame where the parts do not fit each other."""
    code, shape, order, writeable, data = fields(parts, str, list, list, bool, bytes)
    dtype = COMMON.get(code)
    if dtype is None:
        if not NUMPY.fullmatch(code):
            raise BadFrame("an array of a dtype that may not cross")
        dtype = np.dtype(code)
    shape = _shape(shape, order, dtype.itemsize, data)
    if data and order == sorted(order) and dtype.kind != "b":
        array = np.frombuffer(bytearray(data), dtype).reshape(shape)
        array.flags.writeable = writeable
        return array
    try:
        flat = np.frombuffer(bytearray(data), dtype) if data else np.empty(0, dtype)
        array = flat.reshape([shape[axis] for axis in order]).transpose(_inverse(order))
    except ValueError:  # of no elements, and too many axes or too long ones
        raise BadFrame("a shape that no array has") from None
    if dtype.kind == "b":
        array = np.asarray(array.view(np.uint8) != 0)  # without axes it would be a scalar
    array.flags.writeable = writeable
    return array


def _quickly(tensor: torch.Tensor) -> np.ndarray | None:
    """What nearly all tensors are: numbers on the CPU, in order. As an array, at a tenth of the cost of other ways."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.dtype not in QUICK or not tensor.is_cpu:
        return None
    try:
        array = tensor.detach().numpy()
    except (RuntimeError, TypeError):  # of a layout, or a kind, that NumPy does not have
        return None
    return array if array.flags.c_contiguous else None


def tensor_bytes(tensor: torch.Tensor) -> bytes:
    """The numbers of a tensor, as `pack_tensor` sends them."""
    array = _quickly(tensor)
    return pack_tensor(tensor)[-1] if array is None else array.tobytes()


def pack_tensor(tensor: torch.Tensor) -> list[Any]:
    """[dtype, shape, order of the axes in memory, bytes]."""
    array = _quickly(tensor)
    if array is not None:
        return [NAMES[tensor.dtype], list(array.shape), list(range(array.ndim)), array.tobytes()]
    name = NAMES.get(tensor.dtype, "")
    if name not in DTYPES or tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        raise Unsendable(f"a tensor of {tensor.dtype}, {tensor.layout} cannot cross; a dense one of numbers can")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    order = list(range(tensor.dim())) if tensor.is_contiguous() else _order(tensor.stride())
    dense = tensor.permute(order).contiguous()
    flat = dense.as_strided((dense.numel(),), (1,))  # contiguous() leaves one element, or none, any stride
    return [name, list(tensor.shape), order, flat.view(torch.uint8).numpy().tobytes()]


def unpack_tensor(parts: Any) -> torch.Tensor:
    """A new tensor on the CPU, without gradient. Raises BadFrame where the parts do not fit each other."""
    name, shape, order, data = fields(parts, str, list, list, bytes)
    if name not in DTYPES:
        raise BadFrame("a tensor of a dtype that may not cross")
    dtype = DTYPES[name]
    shape = _shape(shape, order, dtype.itemsize, data)
    if data and dtype in QUICK and order == sorted(order):
        return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
    if not data:
        try:
            return torch.empty([shape[axis] for axis in order], dtype=dtype).permute(_inverse(order))
        except RuntimeError:
            raise BadFrame("a shape that no tensor has") from None
    flat = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    flat = flat != 0 if dtype == torch.bool else flat.view(dtype)
    return flat.reshape([shape[axis] for axis in order]).permute(_inverse(order))


def _shape(shape: list[Any], order: list[Any], itemsize: int, data: bytes) -> list[int]:
    if len(shape) > AXES:
        raise BadFrame("a shape that no array has")
    size = itemsize
    for n in shape:
        if type(n) is not int or not 0 <= n <= 2**40:
            raise BadFrame("a shape that no array has")
        size *= n
    for axis in order:
        if type(axis) is not int:
            raise BadFrame("an order that its axes do not have")
    if sorted(order) != list(range(len(shape))):
        raise BadFrame("an order that its axes do not have")
    if size != len(data):
        raise BadFrame(f"{len(data)} bytes for an array of shape {tuple(shape)}")
    return shape


def fields(parts: Any, *kinds: type) -> Any:
    if type(parts) is not list or len(parts) != len(kinds):
        raise BadFrame("a value with too few or too many parts")
    for part, kind in zip(parts, kinds, strict=True):
        if type(part) is not kind:
            raise BadFrame("a value with parts of the wrong kind")
    return parts
