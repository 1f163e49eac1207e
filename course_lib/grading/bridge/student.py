"""The student's end of the bridge: runs the cells of a submission, and answers what the tests ask of its objects.

This is the process in the sandbox. Nothing here protects anything: the student's code can change all of it. What it
then sends is judged at the other end.
"""

from __future__ import annotations

import builtins
import itertools
import socket
import sys
import traceback
import types
from typing import Any

import torch

from course_lib.grading.bridge.codec import Codec, Shared, content, set_state, state_of
from course_lib.grading.bridge.wire import Line, Unsendable, pack_tensor, unpack_tensor

GRAPHS = 2000  # of the last calls, whose gradients can still be asked for
PICTURES = 2_000_000  # bytes of one output of a cell
ABILITIES = {
    "call": "__call__",
    "len": "__len__",
    "item": "__getitem__",
    "put": "__setitem__",
    "contains": "__contains__",
    "iter": "__iter__",
    "next": "__next__",
}


class Lent:
    """An object of the tests, which stays with them: its methods and attributes are asked for."""

    def __init__(self, runtime: Runtime, number: int, kind: str, methods: list[str], attributes: list[str]) -> None:
        self.__dict__.update(_runtime=runtime, _number=number, _kind=kind, _methods=methods, _attributes=attributes)

    def __getattr__(self, name: str) -> Any:
        if name in self._methods:
            return lambda *args, **kwargs: self._runtime.ask("method", self._number, name, args, kwargs)
        if name in self._attributes:
            return self._runtime.ask("attribute", self._number, name)
        raise AttributeError(f"{self._kind} has no {name!r} for you to use")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{self._kind} belongs to the tests; its {name!r} cannot be replaced")

    def __repr__(self) -> str:
        return f"<{self._kind} of the tests>"


class LentFunction(Lent):
    """A function, or another object that can be called, of the tests."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._runtime.ask("call", self._number, None, args, kwargs)


class Runtime:
    """The student's notebook, run cell by cell."""

    def __init__(self, connection: socket.socket, shell: Any) -> None:
        self.line, self.shell = Line(connection), shell
        self._shared = Shared(1)
        self._codec = Codec(self._shared, self._refer, self._meet, sends_modules=False)
        self._objects: dict[int, Any] = {}
        self._object_numbers = itertools.count()
        self._numbers: dict[int, int] = {}  # id of an object: its number
        self._kinds: dict[type, int] = {}
        self._new_kinds: list[list[Any]] = []
        self._lent: dict[int, Lent] = {}
        self._graphs: dict[int, tuple[list[torch.Tensor], list[torch.Tensor]]] = {}
        self._graph_numbers = itertools.count()
        self._mirrors: dict[int, list[Any]] = {}
        self._depth = 0

    def serve(self) -> None:
        """Answer questions until nobody is there to ask them."""
        while True:
            try:
                question = self.line.receive()
            except EOFError:
                return
            self._answer(question)

    def _answer(self, question: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"id": question["id"]}
        self._depth += 1
        try:
            self._synchronise(question)
            answer |= getattr(self, f"_do_{question['do']}", self._use)(question)
        except BaseException as error:
            answer["error"] = self._error(error)
        self._depth -= 1
        self._flush()
        news = self._news()
        if self._depth == 0:
            self._mirrors.clear()
        try:
            self.line.send({**answer, **news})
        except Unsendable as error:
            error = self._error(TypeError(f"what it returns: {error}"))
            self.line.send({"id": question["id"], "error": error, **news})

    def _news(self) -> dict[str, Any]:
        """What goes with every frame: types that were not named before, changed tensors and arrays."""
        kinds, self._new_kinds = self._new_kinds, []
        news: dict[str, Any] = {"types": kinds} if kinds else {}
        if len(self._shared) and (changes := self._shared.changes()):
            news["shared"] = changes
        mirrors = []
        for number, entry in self._mirrors.items():
            value, known = entry
            if isinstance(value, dict):
                for key, item in value.items():
                    if isinstance(key, str) and known.get(key) is not item:
                        known[key] = item
                        mirrors.append([number, key, self._codec.encode(item)])
            elif (now := content(value)) != known:
                entry[1] = now
                mirrors.append([number, None, self._codec.encode(state_of(value))])
        if mirrors:
            news["mirrors"] = mirrors
        return news

    def _synchronise(self, frame: dict[str, Any]) -> None:
        for number in frame.get("gone", ()):  # the tests have these no more
            self._numbers.pop(id(self._objects.pop(number, None)), None)
        if "modules" in frame:
            gone = set(frame["modules"])
            self._shared.held = [m for m in self._shared.held if self._shared.number(m) not in gone]
        if "shared" in frame:
            self._shared.apply(frame["shared"])
        for number, _, tree in frame.get("mirrors") or ():
            if number in self._mirrors:
                entry = self._mirrors[number]
                set_state(entry[0], self._codec.decode(tree))
                entry[1] = content(entry[0])

    @staticmethod
    def _flush() -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # closed or replaced by the student's code
                continue

    # -------------------------------------------------------------------------------------------- questions

    def _do_run(self, question: dict[str, Any]) -> dict[str, Any]:
        outputs, failed = self.shell.run(question["source"])
        return {"outputs": outputs, "failed": failed}

    def _do_name(self, question: dict[str, Any]) -> dict[str, Any]:
        names = self.shell.names
        if question["name"] not in names:
            return {"missing": True}
        return self._result(names[question["name"]], [])

    def _do_seed(self, question: dict[str, Any]) -> dict[str, Any]:
        torch.default_generator.manual_seed(question["seed"])  # torch.manual_seed would look for other devices first
        return {}

    def _do_gradients(self, question: dict[str, Any]) -> dict[str, Any]:
        if question["graph"] not in self._graphs:
            raise RuntimeError("this gradient was asked for too late")
        outputs, inputs = self._graphs[question["graph"]]
        pairs = [(o, unpack_tensor(g)) for o, g in zip(outputs, question["given"], strict=True) if g is not None]
        wanted = [tensor for tensor in inputs if tensor.requires_grad]
        found: list[torch.Tensor | None] = [None] * len(wanted)
        if pairs and wanted:
            outputs, given = zip(*pairs, strict=True)
            found = list(torch.autograd.grad(outputs, wanted, given, retain_graph=True, allow_unused=True))
        at = iter(found)
        gradients = [next(at) if tensor.requires_grad else None for tensor in inputs]
        return {
            "gradients": [None if gradient is None else pack_tensor(gradient.contiguous()) for gradient in gradients]
        }

    def _use(self, question: dict[str, Any]) -> dict[str, Any]:
        """Call an object, take an attribute or an element of it …"""
        thing = self._objects[question["of"]]
        inputs = [unpack_tensor(tree).requires_grad_() for tree in question.get("live", ())]
        with self._codec.noting(arrays=[], live=inputs) as (arguments, _):
            args, kwargs = self._codec.decode(question["with"])
        question["held"] = args, kwargs  # until it is told what was changed in them, though nobody here keeps them
        before = [content(argument) for argument in arguments] if "back" in question else []
        with torch.set_grad_enabled(question["grad"]):
            answer: dict[str, Any] = {}
            try:
                answer = self._result(self._used(thing, question["do"], question["name"], args, kwargs), inputs)
            except Exception as error:
                answer["error"] = self._error(error)
        if not before:
            return answer
        changed = [
            [place, self._codec.encode(state_of(argument))]
            for place, (argument, was) in enumerate(zip(arguments, before, strict=False))
            if content(argument) != was
        ]
        return {**answer, "changed": changed} if changed else answer

    @staticmethod
    def _used(thing: Any, kind: str, name: str | None, args: list[Any], kwargs: dict[str, Any]) -> Any:
        match kind:
            case "call":
                return thing(*args, **kwargs)
            case "method":
                return getattr(thing, name)(*args, **kwargs)
            case "attribute":
                return getattr(thing, name)
            case "assign":
                return setattr(thing, name, *args)
            case "item":
                return thing[args[0]]
            case "put":
                thing[args[0]] = args[1]
                return None
            case "contains":
                return args[0] in thing
            case "len":
                return len(thing)
            case "iter":
                return iter(thing)
            case "next":
                return next(thing)
        raise TypeError(f"{kind} is nothing that can be done")

    def _result(self, value: Any, inputs: list[torch.Tensor]) -> dict[str, Any]:
        """An answer with this value: its tensors that have a graph go apart, with the leaves of the graph."""
        with self._codec.noting(live=[]) as (_, live):
            tree = self._codec.encode(value)
        answer: dict[str, Any] = {"value": tree}
        if live:
            leaves = [leaf for leaf in _leaves(live) if not any(leaf is tensor for tensor in inputs)]
            number = next(self._graph_numbers)
            self._graphs[number] = (live, [*inputs, *leaves])
            if len(self._graphs) > GRAPHS:
                del self._graphs[next(iter(self._graphs))]
            answer |= {
                "live": [pack_tensor(tensor) for tensor in live],
                "graph": number,
                "leaves": [self._codec._encode_shared(leaf) for leaf in leaves],
            }
        return answer

    def _error(self, error: BaseException) -> list[Any]:
        bases = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        try:
            text = str(error)
        except Exception:
            text = ""
        # What the course's own code was doing is of no use to the student.
        frames = [
            f
            for f in traceback.extract_tb(error.__traceback__)
            if f.filename.startswith("<") or "ipykernel" in f.filename
        ]
        trace = "".join(traceback.format_list(frames)) if frames else ""
        return [type(error).__name__, text[:20_000], bases, trace[:20_000]]

    # ------------------------------------------------------------------------------- objects of the tests

    def ask(self, kind: str, number: int, name: str | None, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Use an object of the tests."""
        tree = self._codec.encode([list(args), kwargs or {}])
        self._flush()
        self.line.send({"ask": kind, "of": number, "name": name, "with": tree, **self._news()})
        while True:
            frame = self.line.receive()
            if "do" in frame:  # the tests need something of ours to answer
                self._answer(frame)
                continue
            self._synchronise(frame)
            if frame.get("error") is not None:
                name, text = frame["error"]
                kind = getattr(builtins, name, None)
                if not (isinstance(kind, type) and issubclass(kind, Exception)):
                    kind = type(name, (AssertionError,), {}) if name == "CheckFailed" else RuntimeError
                raise kind(text)
            return self._mirrored(frame)

    def _mirrored(self, frame: dict[str, Any]) -> Any:
        with self._codec.noting(arrays=[]) as (arrays, _):
            value = self._codec.decode(frame["value"])
        for number, array in zip(frame.get("mirrored") or (), arrays, strict=False):
            self._mirrors[number] = [array, content(array)]
        if "dictionary" in frame and isinstance(value, dict):
            self._mirrors[frame["dictionary"]] = [value, dict(value)]
        return value

    # -------------------------------------------------------------------------------------------- references

    def _refer(self, thing: Any) -> list[Any]:
        if isinstance(thing, Lent):
            return ["tests", thing._number]
        number = self._numbers.get(id(thing))
        if number is None:
            number = self._numbers[id(thing)] = next(self._object_numbers)
            self._objects[number] = thing  # kept while the tests have it, so that its id stays its own
        return ["student", number, self._kind(thing)]

    def _kind(self, thing: Any) -> int:
        kind = type(thing)
        if kind not in self._kinds:
            self._kinds[kind] = len(self._kinds)
            names = {name for base in kind.__mro__ for name in vars(base)}
            abilities = [word for word, method in ABILITIES.items() if method in names and vars_of(kind, method)]
            methods = [
                name
                for name in names
                if not name.startswith("__")
                and isinstance(vars_of(kind, name), types.FunctionType | classmethod | staticmethod)
            ]
            name = "type" if isinstance(thing, type) else kind.__name__
            self._new_kinds.append([self._kinds[kind], name, abilities, sorted(methods)])
        return self._kinds[kind]

    def _meet(self, parts: list[Any]) -> Any:
        if parts[0] == "student":
            return self._objects[parts[1]]
        _, number, kind, called, methods, attributes = parts
        if number not in self._lent:
            made = LentFunction if called else Lent
            self._lent[number] = made(self, number, kind, methods, attributes)
        return self._lent[number]


def vars_of(kind: type, name: str) -> Any:
    """What a class holds under a name, itself or from a base, without binding it."""
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


def _leaves(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """The leaves from which tensors were computed."""
    found: dict[int, torch.Tensor] = {}
    seen, waiting = set(), [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    for tensor in tensors:
        if tensor.grad_fn is None:
            found[id(tensor)] = tensor
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        waiting += [after for after, _ in node.next_functions if after is not None]
    return list(found.values())
