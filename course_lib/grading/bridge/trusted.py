"""The trusted end of the bridge: what the tests see of a student's process.

A `Session` asks one student's process. Values come back as values; a class, an object, a function comes back as a
`StudentObject` that asks again when it is used. Nothing that the other end sends is run, loaded or believed to be of a
type: a StudentObject is equal to nothing but itself, is no number and no array, and answers no question by itself.
"""

from __future__ import annotations

import builtins
import inspect
import itertools
import re
import secrets
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from course_lib.grading.bridge.codec import Codec, Shared, content, set_state, state_of
from course_lib.grading.bridge.wire import BadFrame, Line, Unsendable, fields, pack_tensor, unpack_tensor

OBJECTS = 20_000  # of the student's that one session may hand out
LENT = 20_000  # of ours that one session may lend
DEPTH = 40  # calls inside calls
TEXT = 10_000  # characters of an error's text
# What a student may use of an object of the tests: the contract of a layer. A class may name more in `lends`.
CONTRACT = frozenset({"forward", "backward", "update", "w", "dz_dw"})
NAME = re.compile(r"[A-Za-z_]\w{0,80}", re.ASCII)
MISSING = object()


class Lost(BaseException):
    """The student's process can no longer be asked. No `except Exception` of a test keeps this from the grader.

    Attributes:
        why: "time limit", "crash", "protocol" or "stale" (the object belongs to a process that has ended).
    """

    def __init__(self, why: str, text: str) -> None:
        super().__init__(text)
        self.why = why


class StudentError(Exception):
    """What the student's code raised. Where that is an exception that Python has, this is one of that kind too."""

    trace = ""  # the traceback of the student's own code
    known = "exception"  # the name of Python's exception that it is of; never one that the student's code made up


def _kinds() -> dict[str, type[StudentError]]:
    kinds = {}
    for name, base in vars(builtins).items():
        if isinstance(base, type) and issubclass(base, Exception) and base.__name__ == name:
            try:
                kinds[name] = type(name, (StudentError, base), {"__module__": "builtins", "known": name})
                kinds[name]("text")  # not one that is made of more than a text
            except TypeError:  # of a layout that cannot be combined
                kinds[name] = StudentError
    return kinds


KINDS = _kinds()


class StudentObject:
    """Something that stays in the student's process. Subclasses, made by `_class_of`, add what its type can do."""

    def __init__(self, session: Session, number: int, methods: frozenset[str]) -> None:
        object.__setattr__(self, "_at", (session, number, methods))

    def __getattr__(self, name: str) -> Any:
        session, number, methods = self._at
        if name.startswith("__"):
            raise AttributeError(name)  # what copy, pickle, NumPy and others look for
        if name in methods:
            return lambda *args, **kwargs: self._at[0].ask("method", number, name, *args, **kwargs)  # keeps `self`
        return session.ask("attribute", number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        session, number, _ = self._at
        session.ask("assign", number, name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of the submission>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("an object of the submission cannot be copied; make a second one")


def _can(kind: str) -> Callable[..., Any]:
    def ask(self: StudentObject, *args: Any, **kwargs: Any) -> Any:
        session, number, _ = self._at
        return session.ask(kind, number, None, *args, **kwargs)

    return ask


ABILITIES = {
    "call": ("__call__", _can("call")),
    "len": ("__len__", _can("len")),
    "item": ("__getitem__", _can("item")),
    "put": ("__setitem__", _can("put")),
    "contains": ("__contains__", _can("contains")),
    "iter": ("__iter__", _can("iter")),
    "next": ("__next__", _can("next")),
}


class _Across(torch.autograd.Function):
    """Tensors that came with a graph of the student's process; the way back asks that process for gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        session: Session,
        graph: int,
        values: list[torch.Tensor],
        leaves: list[torch.Tensor],
        *inputs: torch.Tensor,
    ) -> Any:
        ctx.session, ctx.graph, ctx.leaves, ctx.shapes = session, graph, leaves, [tensor.shape for tensor in inputs]
        ctx.set_materialize_grads(False)
        return tuple(values)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> Any:
        found = ctx.session.gradients(ctx.graph, gradients, ctx.shapes)
        ctx.session._leaves += ctx.leaves
        return (None, None, None, None, *found)


class Session:
    """One student's process, reached over `line`.

    Args:
        line: frames to and from it.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.write_back = True  # whether in-place changes of arguments come back
        self.changed_arguments = 0  # how often a call changed its arguments in place
        self.ended: Lost | None = None
        self.crossings = 0
        self.undone = 0  # how often the student's code said, since `fresh`, that it is not written yet
        self._shared = Shared(0)
        self._codec = Codec(self._shared, self._lend, self._meet, sends_modules=True)
        self._lent: list[Any] = []
        self._lent_as: list[list[Any]] = []  # how each is told of
        self._lent_ids: dict[int, int] = {}
        self._objects: dict[int, weakref.ref[StudentObject]] = {}
        self._gone: set[int] = set()  # objects that nobody here needs any more; the next frame tells
        self._classes: dict[int, tuple[type, frozenset[str]]] = {}
        self._mirrors: dict[
            int, list[Any]
        ] = {}  # what the student's code sees of lent objects' arrays: [array, content]
        self._mirror_numbers = itertools.count()
        self._leaves: list[torch.Tensor] = []  # the student's, kept until their new gradients have been told
        self._depth = 0

    def fresh(self, *, write_back: bool = True) -> None:
        """A new test begins: what was made for the last one, and has no name any more, may go."""
        self._shared.held.clear()
        self.write_back, self.changed_arguments, self.undone = write_back, 0, 0

    # ------------------------------------------------------------------------------------------- questions

    def run(self, source: str) -> dict[str, Any]:
        """Execute a cell of the student's: {"outputs": [nbformat outputs], "error": ename or ""}."""
        answer = self._request({"do": "run", "source": source})
        return {"outputs": answer.get("outputs", []), "error": answer.get("failed", "")}

    def name(self, name: str) -> Any:
        """What a name means in the student's notebook; MISSING where nothing."""
        found = self._request({"do": "name", "name": name})
        return MISSING if found.get("missing") is True else self._take(found, [])

    def seed(self, seed: int) -> None:
        """Seed the student's random numbers as the tests have just seeded theirs."""
        self._request({"do": "seed", "seed": int(seed) & (2**63 - 1)})

    def ask(self, kind: str, number: int, name: str | None, *args: Any, **kwargs: Any) -> Any:
        """Use an object of the student's: call it, take an attribute, an element …"""
        if self._objects.get(number) is None or self.ended:
            raise Lost("stale", "an object of a process that has ended")
        try:
            with self._codec.noting(arrays=[], live=[]) as (arguments, live):
                tree = self._codec.encode([list(args), kwargs])
        except Unsendable as error:
            raise Lost("protocol", f"a test sends what cannot be sent: {error}") from None
        frame = {"do": kind, "of": number, "name": name, "with": tree, "grad": torch.is_grad_enabled()}
        if live:
            frame["live"] = [pack_tensor(tensor) for tensor in live]
        if arguments and kind in ("call", "method"):
            frame["back"] = True
        answer = self._request(frame)
        self._copy_back(answer.get("changed"), arguments)
        try:
            return self._take(answer, live)
        except StopIteration as stopped:  # elsewhere it would end a loop of the tests before its first check
            if kind == "next":
                raise
            raise KINDS["RuntimeError"](f"StopIteration: {stopped}") from None

    def gradients(self, graph: int, given: tuple[Any, ...], shapes: list[torch.Size]) -> list[torch.Tensor | None]:
        """dz/d(inputs) from dz/d(outputs) of a call, computed by the student's process."""
        packed = [None if gradient is None else pack_tensor(gradient.contiguous()) for gradient in given]
        answer = self._request({"do": "gradients", "graph": graph, "given": packed})
        self._raise(answer)
        found = answer.get("gradients")
        if type(found) is not list or len(found) != len(shapes):
            self._break("gradients for other tensors than were asked for")
        gradients = []
        for tree, shape in zip(found, shapes, strict=True):
            gradient = None if tree is None else self._safely(unpack_tensor, tree)
            if gradient is not None and gradient.shape != shape:
                self._break("a gradient of another shape than its tensor")
            gradients.append(gradient)
        return gradients

    # ------------------------------------------------------------------------------- one question, one answer

    def _request(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Send a question and wait for its answer; meanwhile answer what the student's code asks of lent objects."""
        if self.ended:
            raise Lost("stale", "an object of a process that has ended")
        if self._depth >= DEPTH:
            raise RecursionError("calls between the tests and the submission are nested too deep")
        identity = secrets.token_hex(8)
        self.crossings += 1
        self._depth += 1
        try:
            frame["id"] = identity
            self._send(frame)
            while True:
                answer = self.line.receive()
                if type(answer) is not dict:
                    self._break("a frame that is no message")
                self._synchronise(answer)
                if answer.get("id") == identity:
                    return answer
                if type(answer.get("ask")) is not str or "id" in answer:
                    self._break("an answer to a question that was not asked, or was answered before")
                self._serve(answer)
        except TimeoutError:
            self._end("time limit", "it took too long")
        except BadFrame as error:
            self._break(str(error))
        except (EOFError, OSError):
            self._end("crash", "its process ended")
        except Unsendable as error:
            self._end("protocol", str(error))
        except Exception as error:  # of whatever form the frame was: what follows it cannot be told apart
            self._break(f"a frame of a form that was not foreseen ({type(error).__name__})")
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._mirrors.clear()
        raise AssertionError("unreachable")

    def _send(self, frame: dict[str, Any]) -> None:
        """Send a frame, with what was changed here since the last one."""
        if len(self._shared) and (changes := self._shared.changes()):
            frame["shared"] = changes
        self._leaves.clear()
        if self._mirrors and (mirrors := self._mirrored()):
            frame["mirrors"] = mirrors
        if self._shared.gone:
            frame["modules"], self._shared.gone = self._shared.gone, []
        if self._gone:
            gone, self._gone = self._gone, set()
            frame["gone"] = list(gone)
        self.line.send(frame)

    def _take(self, answer: dict[str, Any], inputs: list[torch.Tensor]) -> Any:
        """The value of an answer, with its graph tied to `inputs`; or the student's exception, raised."""
        self._raise(answer)
        live = answer.get("live")
        if not live:
            return self._safely(self._codec.decode, answer.get("value"))
        if type(live) is not list:
            self._break("a list that is none")
        values = [self._safely(unpack_tensor, tree) for tree in live]
        graph, leaves = answer.get("graph"), answer.get("leaves")
        if type(graph) is not int or type(leaves) is not list or len(leaves) > 100_000:
            self._break("a graph that is none")
        if any(not (v.is_floating_point() or v.is_complex()) for v in values):
            self._break("a gradient of what has none")
        known = [self._safely(self._codec.decode, leaf) for leaf in leaves]
        if any(not isinstance(leaf, torch.Tensor) for leaf in known):
            self._break("a leaf that is no tensor")
        values = list(_Across.apply(self, graph, values, known, *inputs, *known))
        values = [v if v.requires_grad or not torch.is_grad_enabled() else v.requires_grad_() for v in values]
        with self._codec.noting(live=values):
            return self._safely(self._codec.decode, answer.get("value"))

    def _raise(self, answer: dict[str, Any]) -> None:
        error = answer.get("error")
        if error is None:
            return
        name, text, bases, trace = self._safely(fields, error, str, str, list, str)
        found = next((KINDS[base] for base in bases[:20] if type(base) is str and base in KINDS), StudentError)
        self.undone += issubclass(found, NotImplementedError)
        kind = found
        if name != found.__name__ and NAME.fullmatch(name):
            kind = type(name, (found,), {"__module__": "submission"})
        raised = kind(text[:TEXT])
        raised.trace = trace[: 4 * TEXT]
        raise raised

    def _copy_back(self, changed: Any, arguments: list[Any]) -> None:
        """What a call changed in its arguments, array by array."""
        if not changed:
            return
        if type(changed) is not list or len(changed) > len(arguments):
            self._break("changes of arguments that it was not given")
        for change in changed:
            place, tree = self._safely(fields, change, int, list)
            if not 0 <= place < len(arguments):
                self._break("changes of arguments that it was not given")
            # To draw from a random generator is to change it; no right answer could do without.
            generator = isinstance(arguments[place], torch.Generator | np.random.Generator)
            self.changed_arguments += not generator
            if self.write_back or generator:
                self._safely(set_state, arguments[place], self._safely(self._codec.decode, tree))

    # -------------------------------------------------------------------------- what the student's code asks

    def _serve(self, question: dict[str, Any]) -> None:
        """Answer a question about a lent object: call it, or give an attribute that its class lends."""
        answer: dict[str, Any] = {"answer": True, "value": None, "error": None}
        self.crossings += 1
        number, name = question.get("of"), question.get("name")
        if type(number) is not int or not 0 <= number < len(self._lent):
            self._break("a question about an object that was not lent")
        target = self._lent[number]
        try:
            if question["ask"] == "call" and callable(target) and not isinstance(target, type):
                answer["value"] = self._codec.encode(self._called(target, question))
            elif question["ask"] == "method" and _lends(target, name):
                answer["value"] = self._codec.encode(self._called(getattr(target, name), question))
            elif question["ask"] == "attribute" and _lends(target, name):
                answer |= self._mirror(getattr(target, name))
            else:
                raise AttributeError(f"{type(target).__name__} has no {name!r} for you to use")
        except Exception as error:
            answer["error"] = [type(error).__name__, str(error)[:TEXT]]
        self._send(answer)

    def _called(self, target: Callable[..., Any], question: dict[str, Any]) -> Any:
        arguments = self._safely(self._codec.decode, question.get("with"))
        if type(arguments) is not list or len(arguments) != 2 or type(arguments[0]) is not list:
            self._break("a call without arguments")
        args, kwargs = arguments
        if type(kwargs) is not dict or any(type(key) is not str for key in kwargs):
            self._break("a call without arguments")
        return target(*args, **kwargs)

    def _mirror(self, value: Any) -> dict[str, Any]:
        """An attribute of a lent object: its arrays are mirrored, so that they can be changed in place from there."""
        with self._codec.noting(arrays=[]) as (arrays, _):
            tree = self._codec.encode(value)
        numbers = [next(self._mirror_numbers) for _ in arrays]
        self._mirrors |= {number: [array, content(array)] for number, array in zip(numbers, arrays, strict=True)}
        answer = {"value": tree, "mirrored": numbers}
        if type(value) is dict:
            answer["dictionary"] = number = next(self._mirror_numbers)
            self._mirrors[number] = [value, None]
        return answer

    def _mirrored(self) -> list[list[Any]]:
        """Mirrored arrays that were changed here."""
        found = []
        for number, entry in self._mirrors.items():
            if entry[1] is not None and (now := content(entry[0])) != entry[1]:
                entry[1] = now
                found.append([number, None, self._codec.encode(state_of(entry[0]))])
        return found

    def _synchronise(self, frame: dict[str, Any]) -> None:
        """Take over what the student's code changed in shared tensors and in mirrored arrays."""
        kinds = frame.get("types")
        if kinds is not None:
            self._learn(kinds)
        if frame.get("shared"):
            self._shared.apply(frame["shared"])
        for change in frame.get("mirrors") or ():
            if type(change) is not list or len(change) != 3 or change[0] not in self._mirrors:
                raise BadFrame("a change of what was not lent")
            number, key, tree = change
            entry, value = self._mirrors[number], self._codec.decode(tree)
            if key is not None:
                if type(entry[0]) is not dict or type(key) is not str:
                    raise BadFrame("a change of what was not lent")
                entry[0][key] = value
            else:
                set_state(entry[0], value)
                entry[1] = content(entry[0])

    # -------------------------------------------------------------------------------------------- references

    def _lend(self, thing: Any) -> list[Any]:
        """Refer to something that stays here; a student's object that goes home is named by its number."""
        if isinstance(thing, StudentObject):
            session, number, _ = thing._at
            if session is not self:
                raise Lost("stale", "an object of a process that has ended")
            return ["student", number]
        number = self._lent_ids.get(id(thing))
        if number is None:
            if len(self._lent) >= LENT:
                self._break("it made the tests lend too many objects")
            number = self._lent_ids[id(thing)] = len(self._lent)
            self._lent.append(thing)  # kept, so that its id stays its own
            names = sorted(lends(thing))
            methods = [name for name in names if callable(inspect.getattr_static(thing, name))]
            attributes = [name for name in names if name not in methods]
            self._lent_as.append(["tests", number, type(thing).__name__, callable(thing), methods, attributes])
        return self._lent_as[number]

    def _meet(self, parts: list[Any]) -> Any:
        """The object that a reference of the student's names."""
        if len(parts) == 2 and parts[0] == "tests":
            number = parts[1]
            if type(number) is not int or not 0 <= number < len(self._lent):
                raise BadFrame("a reference to what was not lent")
            return self._lent[number]
        where, number, kind = fields(parts, str, int, int)
        if where != "student" or kind not in self._classes:
            raise BadFrame("a reference to nothing")
        known = self._objects.get(number)
        found = None if known is None else known()
        if found is None:
            if len(self._objects) >= OBJECTS:
                raise BadFrame(f"more than {OBJECTS:,} objects")
            made, methods = self._classes[kind]
            found = made(self, number, methods)
            self._gone.discard(number)
            self._objects[number] = weakref.ref(found, lambda ref: self._forget(number, ref))
        return found

    def _forget(self, number: int, reference: weakref.ref[StudentObject]) -> None:
        if self._objects.get(number) is reference:
            del self._objects[number]
            self._gone.add(number)

    def _learn(self, kinds: Any) -> None:
        """Types of the student's objects: [number, name, abilities, names of methods]."""
        if type(kinds) is not list:
            raise BadFrame("types that are none")
        for kind in kinds:
            number, name, abilities, methods = fields(kind, int, str, list, list)
            if len(self._classes) >= 5000 or len(methods) > 2000:
                raise BadFrame("too many types")
            if any(type(word) is not str for word in (*abilities, *methods)):
                raise BadFrame("types that are none")
            name = name if NAME.fullmatch(name) else "object"
            able = dict(ABILITIES[word] for word in abilities if word in ABILITIES)
            self._classes[number] = (type(name, (StudentObject,), able), frozenset(methods))

    # ------------------------------------------------------------------------------------------------ the end

    def _safely(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except BadFrame as error:
            self._break(str(error))

    def _break(self, what: str) -> Any:
        self._end("protocol", f"its process broke the rules of the bridge: {what}")

    def _end(self, why: str, text: str) -> Any:
        self.ended = Lost(why, text)
        raise self.ended from None


def lends(thing: Any) -> frozenset[str]:
    """The attributes that a student's code may use of an object of the tests."""
    return frozenset(name for name in CONTRACT.union(getattr(type(thing), "lends", ())) if _lends(thing, name))


def _lends(thing: Any, name: Any) -> bool:
    """Whether a student's code may use this attribute of an object of the tests."""
    if type(name) is not str or name.startswith("_"):
        return False
    return (name in CONTRACT or name in getattr(type(thing), "lends", ())) and _has(thing, name)


def _has(thing: Any, name: str) -> bool:
    """hasattr, without running the code of a property."""
    if not isinstance(thing, type) and any(name in vars(kind) for kind in type(thing).__mro__):
        return True
    try:
        inspect.getattr_static(thing, name)
    except AttributeError:
        return False
    return True
