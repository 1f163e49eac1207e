"""Python values as the trees that `wire` sends, and back; the same code at both ends.

What is a value crosses as one: numbers, strings, containers, arrays, tensors, random generators, and torch modules
that go from the tests to the student. Everything else stays where it is, and the other end gets a reference (a number).

Parameters and buffers of modules are *shared*: each end has one object for each, and what an end changes in it
(numbers, gradient, requires_grad) is told with its next frame, so that an optimizer at one end moves the parameters at
the other. Any other tensor that requires a gradient is *live*: it crosses as numbers, and its gradient is asked for
across the bridge.
"""

from __future__ import annotations

import importlib
import itertools
import struct
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from course_lib.grading.bridge.wire import (
    AXES,
    DEPTH,
    DTYPES,
    ENTRIES,
    INTEGER,
    BadFrame,
    Unsendable,
    fields,
    pack_array,
    pack_tensor,
    tensor_bytes,
    unpack_array,
    unpack_tensor,
)

PLAIN = frozenset((type(None), bool, float, str, bytes))
CONTAINERS = (list, dict, tuple, set, frozenset)
SIMPLE = (bool, int, float, str, type(None), tuple)  # attributes of a module that are sent with it
LIBRARIES = ("torch", "numpy", "course_lib", "builtins", "math")  # whose classes and functions are sent by their names
GENERATORS = {"PCG64": np.random.PCG64, "MT19937": np.random.MT19937, "Philox": np.random.Philox}


class Shared:
    """The tensors and modules that both ends have, by number.

    Args:
        first: numbers given here are first, first + 2, …, so that both ends may give them.
    """

    def __init__(self, first: int) -> None:
        self._first, self._numbers = first, itertools.count(first, 2)
        self._by_number: dict[int, weakref.ref[Any]] = {}
        self._ids: dict[int, int] = {}  # id of a tensor: its number; tensors compare elementwise, so they are no keys
        self._known: dict[int, tuple[Any, ...]] = {}  # what the other end knows of a tensor
        self.held: list[Any] = []  # modules that crossed: the other end may name them though nobody here does any more
        self.gone: list[int] = []  # modules that this end gave a number, and that nobody here has any more

    def __len__(self) -> int:
        return len(self._by_number)

    def number(self, thing: Any) -> int | None:
        """The number of a shared thing; None for what is not shared."""
        number = self._ids.get(id(thing))
        return number if number is not None and self._by_number[number]() is thing else None

    def share(self, thing: Any, number: int | None = None) -> int:
        """Share a thing under a new number, or the one that the other end gave it."""
        if number is None:
            number = next(self._numbers)
        key = id(thing)
        gives = isinstance(thing, nn.Module) and number % 2 == self._first % 2

        def forget(_: Any, number: int = number, key: int = key) -> None:
            self._by_number.pop(number, None)
            self._known.pop(number, None)
            if self._ids.get(key) == number:
                del self._ids[key]
            if gives:
                self.gone.append(number)

        self._by_number[number] = weakref.ref(thing, forget)
        self._ids[key] = number
        return number

    def check_new(self, number: int) -> None:
        """Raises BadFrame unless the other end may give this number to something new."""
        if number < 0 or number % 2 == self._first % 2:
            raise BadFrame("a number that this end gives")

    def get(self, number: int) -> Any:
        """The thing of a number, or None."""
        found = self._by_number.get(number)
        return found() if found is not None else None

    @staticmethod
    def _state(tensor: torch.Tensor) -> tuple[Any, ...]:
        """Its numbers, by a hash: writing through `w.data`, or to a shared NumPy array, does not raise the version."""
        grad = tensor.grad
        own = hash(tensor_bytes(tensor)), tuple(tensor.shape)
        return (own, tensor.requires_grad, None if grad is None else (id(grad), hash(tensor_bytes(grad))))

    def told(self, tensor: torch.Tensor) -> None:
        """Both ends know this tensor as it is now."""
        self._known[self._ids[id(tensor)]] = self._state(tensor)

    def changes(self) -> list[list[Any]]:
        """What was changed here since the last frame: [number, numbers or None, requires_grad, gradient or None]."""
        found = []
        for number in list(self._by_number):  # not of pairs: making them may collect garbage, and so `forget` some
            thing = self.get(number)
            if isinstance(thing, nn.Module):
                if self._known.get(number) != (thing.training,):
                    self._known[number] = (thing.training,)
                    found.append([number, None, thing.training, None])
            elif thing is not None and number in self._known:
                state = self._state(thing)
                if state != self._known[number]:
                    moved = state[0] != self._known[number][0]
                    found.append([number, pack_tensor(thing) if moved else None, state[1], _gradient(thing)])
                    self._known[number] = state
        return found

    def apply(self, changes: Any) -> None:
        """Take over what the other end changed. What is unknown here is passed over. Raises BadFrame."""
        if type(changes) is not list:
            raise BadFrame("changes that are no list")
        for change in changes:
            if type(change) is not list or len(change) != 4 or type(change[0]) is not int:
                raise BadFrame("a change that is none")
            number, numbers, flag, gradient = change
            thing = self.get(number)
            if type(flag) is not bool:
                raise BadFrame("a change that is none")
            if isinstance(thing, nn.Module):
                thing.training = flag
                self._known[number] = (flag,)
            elif thing is not None:
                self.put(thing, numbers, flag, gradient)

    def put(self, tensor: torch.Tensor, numbers: Any, requires_grad: bool, gradient: Any) -> None:
        """Give a shared tensor new numbers (None: keep them) and a gradient (None: none)."""
        with torch.no_grad():
            if numbers is not None:
                new = unpack_tensor(numbers)
                if new.shape != tensor.shape or new.dtype != tensor.dtype:
                    raise BadFrame("a shared tensor of another shape")
                tensor.copy_(new)
        if tensor.is_leaf and tensor.requires_grad != requires_grad:
            if requires_grad and not (tensor.is_floating_point() or tensor.is_complex()):
                raise BadFrame("a gradient of what has none")
            tensor.requires_grad_(requires_grad)
        if tensor.is_leaf:
            tensor.grad = None if gradient is None else _like(unpack_tensor(gradient), tensor)
        self.told(tensor)


def _gradient(tensor: torch.Tensor) -> list[Any] | None:
    return None if tensor.grad is None else pack_tensor(tensor.grad)


def _like(gradient: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    if gradient.shape != tensor.shape or gradient.dtype != tensor.dtype:
        raise BadFrame("a gradient of another shape than its tensor")
    return gradient


class _Noting:
    """What `Codec.noting` returns; a class, for a generator takes twice the time, and every call passes here."""

    __slots__ = ("before", "codec", "lists")

    def __init__(self, codec: Codec, arrays: list[Any] | None, live: list[torch.Tensor] | None) -> None:
        self.codec, self.lists = codec, (arrays, live)

    def __enter__(self) -> tuple[Any, Any]:
        self.before = self.codec.arrays, self.codec.live
        self.codec.arrays, self.codec.live = self.lists
        return self.lists

    def __exit__(self, *exception: object) -> None:
        self.codec.arrays, self.codec.live = self.before


class Codec:
    """One end's translation.

    Args:
        shared: this end's table.
        refer: makes the tree of a reference to something that stays here.
        meet: makes this end's stand-in from such a tree of the other end.
        sends_modules: modules of torch and course_lib go across as values (from the tests to the student only).
    """

    def __init__(
        self,
        shared: Shared,
        refer: Callable[[Any], list[Any]],
        meet: Callable[[list[Any]], Any],
        *,
        sends_modules: bool,
    ) -> None:
        self.shared, self.refer, self.meet, self.sends_modules = shared, refer, meet, sends_modules
        self.arrays: list[Any] | None = None  # where set: arrays and plain tensors that pass are noted here, in order
        self.live: list[torch.Tensor] | None = None  # tensors that require a gradient are noted here, and sent apart

    def noting(self, *, arrays: list[Any] | None = None, live: list[torch.Tensor] | None = None) -> _Noting:
        """Within, note arrays that can be changed in place, and tensors that require a gradient, in these lists."""
        return _Noting(self, arrays, live)

    # ------------------------------------------------------------------------------------------- to the wire

    def encode(self, value: Any, depth: int = 0, inside: tuple[int, ...] = ()) -> Any:
        """The tree of a value. Raises Unsendable."""
        kind = type(value)
        if kind in PLAIN:
            return value
        if kind is np.ndarray:  # what passes most is asked for first
            return self._encode_array(value)
        if kind is int:
            return value if -(2**63) <= value < 2**63 else ["i", _hexadecimal(value)]
        if kind is torch.Tensor:
            return self._encode_tensor(value)
        if depth > DEPTH:
            raise Unsendable(f"it is nested more than {DEPTH} deep")
        if inside and id(value) in inside:
            raise Unsendable("it contains itself")
        if kind in CONTAINERS:
            return self._encode_container(value, depth, inside)
        if isinstance(value, torch.Tensor):
            return self._encode_tensor(value)
        if isinstance(value, np.ndarray):
            return self._encode_array(value)
        if isinstance(value, np.generic):
            return ["n", *pack_array(np.asarray(value))]
        if isinstance(value, CONTAINERS) and not isinstance(value, torch.Size):
            return self._encode_container(value, depth, inside)
        return self._encode_other(value, depth, inside)

    def _encode_array(self, array: np.ndarray) -> Any:
        if self.arrays is not None:
            self.arrays.append(array)
        return ["a", *pack_array(np.asarray(array))]

    def _encode_container(self, value: Any, depth: int, inside: tuple[int, ...]) -> Any:
        if len(value) > ENTRIES:
            raise Unsendable(f"it has {len(value):,} elements, and {ENTRIES:,} may be sent at a time")
        inside, depth, encode = (*inside, id(value)), depth + 1, self.encode
        if isinstance(value, dict):
            return ["d", [[encode(k, depth, inside), encode(v, depth, inside)] for k, v in dict.items(value)]]
        tag = "l" if isinstance(value, list) else "t" if isinstance(value, tuple) else "s"
        return [tag, [encode(item, depth, inside) for item in value]]

    def _encode_other(self, value: Any, depth: int, inside: tuple[int, ...]) -> Any:
        if isinstance(value, torch.Size):
            return ["z", list(value)]
        if isinstance(value, torch.dtype):
            return ["D", str(value).removeprefix("torch.")]
        if isinstance(value, torch.device):
            return ["v", value.type]
        if isinstance(value, complex):
            return ["c", value.real, value.imag]
        if isinstance(value, slice):
            return ["S", *(self.encode(part, depth + 1) for part in (value.start, value.stop, value.step))]
        if value is Ellipsis:
            return ["e"]
        if isinstance(value, bool | int):  # of a subclass
            return self.encode(int(value))
        if isinstance(value, float | str | bytes):
            base = next(base for base in (float, str, bytes) if isinstance(value, base))
            return base(value) if base is not str else str.__str__(value)
        if isinstance(value, range | type({}.keys()) | type({}.values()) | type({}.items())):
            return self.encode(list(itertools.islice(value, ENTRIES + 1)), depth + 1, inside)
        if isinstance(value, bytearray | memoryview):
            return bytes(value)
        if isinstance(value, np.random.Generator) and type(value.bit_generator).__name__ in GENERATORS:
            if self.arrays is not None:
                self.arrays.append(value)
            with self.noting(live=self.live):  # an array of its state is none that was passed
                return ["g", type(value.bit_generator).__name__, self.encode(value.bit_generator.state)]
        if isinstance(value, torch.Generator) and value.device.type == "cpu":
            if self.arrays is not None:
                self.arrays.append(value)
            return ["G", pack_tensor(value.get_state())]
        number = self.shared.number(value)
        if number is not None:
            return ["m", number]
        if self.sends_modules:
            if isinstance(value, nn.Module) and _of_a_library(type(value)):
                return self._encode_module(value, depth, inside)
            name = _public_name(value)
            if name is not None:
                return ["q", *name]
        return ["r", *self.refer(value)]

    def _encode_tensor(self, tensor: torch.Tensor) -> Any:
        if isinstance(tensor, nn.Parameter) or self.shared.number(tensor) is not None:
            return self._encode_shared(tensor)
        if self.arrays is not None:
            self.arrays.append(tensor)
        if tensor.requires_grad and self.live is not None:
            self.live.append(tensor)
            return ["L", len(self.live) - 1]
        return ["T", *pack_tensor(tensor)]

    def _encode_shared(self, tensor: torch.Tensor) -> Any:
        number = self.shared.number(tensor)
        if number is None:
            number = self.shared.share(tensor)
        self.shared.told(tensor)
        parameter = isinstance(tensor, nn.Parameter)
        return ["p", number, pack_tensor(tensor), tensor.requires_grad, _gradient(tensor), parameter]

    def _encode_module(self, module: nn.Module, depth: int, inside: tuple[int, ...]) -> Any:
        number = self.shared.share(module)
        self.shared.held.append(module)
        self.shared._known[number] = (module.training,)
        simple = {
            name: self.encode(value, depth + 1)
            for name, value in vars(module).items()
            if not name.startswith("_") and name != "training" and (isinstance(value, SIMPLE) or _public_name(value))
        }
        parameters = {k: None if p is None else self._encode_shared(p) for k, p in module._parameters.items()}
        buffers = {k: None if b is None else self._encode_shared(b) for k, b in module._buffers.items()}
        children = {
            k: None if child is None else self.encode(child, depth + 1, (*inside, id(module)))
            for k, child in module._modules.items()
        }
        name = [type(module).__module__, type(module).__qualname__]
        parts = [[[k, v] for k, v in part.items()] for part in (simple, parameters, buffers, children)]
        return ["M", number, name, module.training, *parts, sorted(module._non_persistent_buffers_set)]

    # ----------------------------------------------------------------------------------------- from the wire

    def decode(self, tree: Any, depth: int = 0) -> Any:
        """The value of a tree. Raises BadFrame where it is none."""
        kind = type(tree)
        if kind in PLAIN or kind is int:
            return tree
        # One more than `encode` counts for containers, for an array may be inside the deepest.
        if depth > DEPTH + 1 or kind is not list or not tree or type(tree[0]) is not str:
            raise BadFrame("a value of no kind")
        tag, parts = tree[0], tree[1:]
        if tag == "a":
            return self._decode_array(parts, depth)
        if tag == "T":
            return self._decode_tensor(parts, depth)
        if tag in ("l", "t", "s"):
            (items,) = fields(parts, list)
            found = [self.decode(item, depth + 1) for item in items]
            if tag == "l":
                return found
            try:  # one by one: a million numbers of one hash must not keep the deadline from being noticed
                return tuple(found) if tag == "t" else {item for item in found}
            except TypeError:
                raise BadFrame("a set of what cannot be in one") from None
        if tag == "d":
            (items,) = fields(parts, list)
            try:
                return {self.decode(k, depth + 1): self.decode(v, depth + 1) for k, v in items}
            except (TypeError, ValueError):
                raise BadFrame("a dictionary that is none") from None
        reader = getattr(self, f"_decode_{NAMES[tag]}", None) if tag in NAMES else None
        if reader is None:
            raise BadFrame("a value of an unknown kind")
        return reader(parts, depth)

    def _decode_array(self, parts: list[Any], depth: int) -> np.ndarray:
        array = unpack_array(parts)
        if self.arrays is not None:
            self.arrays.append(array)
        return array

    def _decode_scalar(self, parts: list[Any], depth: int) -> np.generic:
        array = unpack_array(parts)
        if array.ndim:
            raise BadFrame("a scalar with axes")
        return array[()]

    def _decode_tensor(self, parts: list[Any], depth: int) -> torch.Tensor:
        tensor = unpack_tensor(parts)
        if self.arrays is not None:
            self.arrays.append(tensor)
        return tensor

    def _decode_live(self, parts: list[Any], depth: int) -> torch.Tensor:
        (place,) = fields(parts, int)
        if self.live is None or not 0 <= place < len(self.live):
            raise BadFrame("a tensor with a graph that was not sent")
        if self.arrays is not None:
            self.arrays.append(self.live[place])
        return self.live[place]

    def _decode_shared(self, parts: list[Any], depth: int) -> torch.Tensor:
        if len(parts) != 5 or type(parts[0]) is not int or type(parts[2]) is not bool or type(parts[4]) is not bool:
            raise BadFrame("a shared tensor that is none")
        number, numbers, requires_grad, gradient, parameter = parts
        tensor = self.shared.get(number)
        if tensor is None:
            self.shared.check_new(number)
            new = unpack_tensor(numbers)
            if requires_grad and not (new.is_floating_point() or new.is_complex()):
                raise BadFrame("a gradient of what has none")
            tensor = nn.Parameter(new, requires_grad) if parameter else new.requires_grad_(requires_grad)
            self.shared.share(tensor, number)
            numbers = None
        elif isinstance(tensor, nn.Module):
            raise BadFrame("a module in place of a tensor")
        self.shared.put(tensor, numbers, requires_grad, gradient)
        return tensor

    def _decode_known_module(self, parts: list[Any], depth: int) -> Any:
        (number,) = fields(parts, int)
        found = self.shared.get(number)
        if found is None:
            raise BadFrame("a module that nobody sent")
        return found

    def _decode_module(self, parts: list[Any], depth: int) -> nn.Module:
        if self.sends_modules:  # the trusted end builds no module that it is told to build
            raise BadFrame("a module")
        number, (library, name), training, *groups, fleeting = parts
        kind = getattr(importlib.import_module(library), name)
        module = kind.__new__(kind)
        nn.Module.__init__(module)
        simple, parameters, buffers, children = groups
        for key, value in simple:
            setattr(module, key, self.decode(value, depth + 1))
        for key, value in parameters:
            module.register_parameter(key, self.decode(value, depth + 1))
        for key, value in buffers:
            module.register_buffer(key, self.decode(value, depth + 1), persistent=key not in fleeting)
        for key, value in children:
            module.add_module(key, self.decode(value, depth + 1))
        module.training = training
        self.shared.share(module, number)
        self.shared.held.append(module)
        self.shared._known[number] = (training,)
        return module

    def _decode_name(self, parts: list[Any], depth: int) -> Any:
        if self.sends_modules:
            raise BadFrame("the name of a function")
        library, name = parts
        found = importlib.import_module(library)
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def _decode_integer(self, parts: list[Any], depth: int) -> int:
        (digits,) = fields(parts, str)
        try:
            if len(digits) > INTEGER // 4 + len("-0x"):
                raise ValueError
            return int(digits, 16)
        except ValueError:
            raise BadFrame("a number that is none, or too long") from None

    def _decode_complex(self, parts: list[Any], depth: int) -> complex:
        return complex(*fields(parts, float, float))

    def _decode_size(self, parts: list[Any], depth: int) -> torch.Size:
        (sizes,) = fields(parts, list)
        if len(sizes) > AXES or any(type(n) is not int or not 0 <= n < 2**63 for n in sizes):
            raise BadFrame("a size that is none")
        return torch.Size(sizes)

    def _decode_dtype(self, parts: list[Any], depth: int) -> torch.dtype:
        (name,) = fields(parts, str)
        if name not in DTYPES:
            raise BadFrame("a dtype that may not cross")
        return DTYPES[name]

    def _decode_device(self, parts: list[Any], depth: int) -> torch.device:
        (name,) = fields(parts, str)
        if name not in ("cpu", "cuda", "mps"):
            raise BadFrame("a device that there is not")
        return torch.device(name)

    def _decode_slice(self, parts: list[Any], depth: int) -> slice:
        if len(parts) != 3:
            raise BadFrame("a slice that is none")
        return slice(*(self.decode(part, depth + 1) for part in parts))

    def _decode_ellipsis(self, parts: list[Any], depth: int) -> Any:
        return Ellipsis

    def _decode_numpy_generator(self, parts: list[Any], depth: int) -> np.random.Generator:
        if len(parts) != 2 or type(parts[0]) is not str or parts[0] not in GENERATORS:
            raise BadFrame("a random generator that may not cross")
        generator = np.random.Generator(GENERATORS[parts[0]]())
        with self.noting(live=self.live):
            state = self.decode(parts[1], depth + 1)
        set_state(generator, state)
        if self.arrays is not None:
            self.arrays.append(generator)
        return generator

    def _decode_torch_generator(self, parts: list[Any], depth: int) -> torch.Generator:
        (state,) = fields(parts, list)
        generator = torch.Generator()
        set_state(generator, unpack_tensor(state))
        if self.arrays is not None:
            self.arrays.append(generator)
        return generator

    def _decode_reference(self, parts: list[Any], depth: int) -> Any:
        return self.meet(parts)


NAMES = {
    "a": "array",
    "n": "scalar",
    "T": "tensor",
    "L": "live",
    "p": "shared",
    "m": "known_module",
    "M": "module",
    "q": "name",
    "i": "integer",
    "c": "complex",
    "z": "size",
    "D": "dtype",
    "v": "device",
    "S": "slice",
    "e": "ellipsis",
    "g": "numpy_generator",
    "G": "torch_generator",
    "r": "reference",
}


def _hexadecimal(value: int) -> str:
    if value.bit_length() > INTEGER:
        raise Unsendable(f"an integer of {value.bit_length():,} bits")
    return hex(value)


def _of_a_library(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("torch", "course_lib") and "<" not in kind.__qualname__


def _public_name(value: Any) -> tuple[str, str] | None:
    """(module, name) of a class or function that can be found under its name in a library; None for any other."""
    if not isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | np.ufunc):
        return None
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", getattr(value, "__name__", None))
    if not isinstance(module, str) or not isinstance(name, str) or module.partition(".")[0] not in LIBRARIES:
        return None
    found: Any
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return (module, name) if found is value else None


def content(value: Any) -> Any:
    """Something that differs after the numbers of an array, tensor or random generator have been changed in place."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, torch.Tensor):
        return tensor_bytes(value)
    if isinstance(value, torch.Generator):
        return pack_tensor(value.get_state())[-1]
    return repr(value.bit_generator.state)


def state_of(value: Any) -> Any:
    """The numbers of an array, tensor or random generator, as a value that `set_state` takes."""
    if isinstance(value, torch.Generator):
        return value.get_state()
    return value.bit_generator.state if isinstance(value, np.random.Generator) else value


def set_state(value: Any, state: Any) -> None:
    """Give an array, tensor or random generator the numbers of `state`. Raises BadFrame where they do not fit."""
    try:
        if isinstance(value, np.ndarray):
            if not isinstance(state, np.ndarray) or state.shape != value.shape or state.dtype != value.dtype:
                raise BadFrame("an array that became another")
            value[...] = state
        elif isinstance(value, torch.Tensor):
            if not isinstance(state, torch.Tensor) or state.shape != value.shape or state.dtype != value.dtype:
                raise BadFrame("a tensor that became another")
            with torch.no_grad():
                value.copy_(state)
        elif isinstance(value, torch.Generator):
            if not isinstance(state, torch.Tensor) or not _is_torch_state(state):
                raise BadFrame("a state that no generator has")
            value.set_state(state)
        else:
            if not _is_numpy_state(type(value.bit_generator).__name__, state):
                raise BadFrame("a state that no generator has")
            value.bit_generator.state = state
    except BadFrame:
        raise
    except Exception as error:  # NumPy and torch refuse a state in many ways
        raise BadFrame(f"a state that does not fit ({type(error).__name__})") from None


def _is_torch_state(state: torch.Tensor) -> bool:
    """Whether a Mersenne Twister may be given this state: torch would look beyond its numbers where `next` is too far.

    The state is a struct: 8 bytes seed, 4 left, 4 seeded, 8 next, 624 numbers of 8 bytes, and the last normal number.
    """
    if state.dtype != torch.uint8 or state.dim() != 1 or len(state) < 5000:
        return False
    left, _, after = struct.unpack_from("<iiQ", state.numpy().tobytes(), 8)
    return 1 <= left <= 624 and after <= 624 and (after + left == 625 or (left, after) == (1, 0))


def _is_numpy_state(kind: str, state: Any) -> bool:
    """The same for NumPy's generators, which believe any position that they are told."""
    if type(state) is not dict or type(state.get("state")) is not dict:
        return False
    if kind == "MT19937":
        place = state["state"].get("pos")
        return type(place) is int and 0 <= place <= 624
    half = state.get("has_uint32"), state.get("uinteger")
    if any(type(number) is not int for number in half) or half[0] not in (0, 1) or not 0 <= half[1] < 2**32:
        return False
    place = state.get("buffer_pos", 0)
    return type(place) is int and 0 <= place <= 4


def walk(value: Any, depth: int = 0) -> Iterator[Any]:
    """The values inside containers."""
    if isinstance(value, Mapping) and depth < DEPTH:
        for item in value.values():
            yield from walk(item, depth + 1)
    elif isinstance(value, list | tuple) and depth < DEPTH:
        for item in value:
            yield from walk(item, depth + 1)
    else:
        yield value
