"""A GPU that is not there: fake tensors on "cuda", and streams that know who waits for whom.

Tensors have shapes, types and strides, but no numbers. What would wait for a GPU (``item()``, a tensor as a condition,
``nonzero``) raises, and so does an operation on tensors of two devices. Autograd cannot run backwards without a driver,
so gradients are played: the parameters that the loss depends on get some.
"""

import contextlib
import weakref
from collections import defaultdict
from typing import NamedTuple
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vicinal.models import build_model

CUDA = torch.device("cuda")


class What(NamedTuple):
    """A tensor of an operation."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    last: bool  # channels last in memory, or with one channel or pixel: both
    device: str


class Op(NamedTuple):
    name: str
    stream: str
    ins: list[What]
    outs: list[What]
    is_view: bool


class FakeStream:
    """A stream, with how many operations of each other one it has waited for."""

    def __init__(self, name):
        self.name, self.count, self.seen = name, 0, {}

    def wait_stream(self, other):
        for name, count in {**other.seen, other.name: other.count}.items():
            if name != self.name:
                self.seen[name] = max(self.seen.get(name, 0), count)

    def knows(self, name, count):
        return name == self.name or self.seen.get(name, 0) >= count


class Memory:
    def __init__(self, owner):
        self.owner, self.written, self.read = owner, (owner.name, owner.count), []


class FakeCuda(TorchDispatchMode):
    """Lists operations (``ops``) and what is wrong with them (``problems``).

    Wrong are: reading or writing memory that another stream may still be at work on; memory that is used again on its
    own stream while another one may still be at work on it; copies between host and GPU once ``watched`` is set.
    """

    def __init__(self):
        super().__init__()
        self.ops, self.problems, self.watched = [], [], False
        self.main = FakeStream("main")
        self._stack, self._streams = [self.main], {}
        self._memory, self._freed = {}, defaultdict(list)

    def __enter__(self):
        self._exits = contextlib.ExitStack()
        for target, value in {
            "vicinal.training.step._stream": self._stream,
            "torch.cuda.current_stream": lambda device=None: self._stack[-1],
            "torch.cuda.stream": self._on,
            "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,
            "torch.cuda.is_bf16_supported": lambda *_, **__: True,
            "torch.nn.Module._apply": _apply,
            "torch.Tensor.backward": _play_backward,
            "vicinal.training.learner.build_model": built,
            # Fused convolutions have no fake kernel.
            "vicinal.training.fused.fuse": lambda model: model,
        }.items():
            self._exits.enter_context(patch(target, value))
        self._exits.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._exits.close()

    def _stream(self, device, k):
        return self._streams.setdefault(k, FakeStream(f"stream {k + 1}"))

    @contextlib.contextmanager
    def _on(self, stream):
        self._stack.append(stream)
        try:
            yield
        finally:
            self._stack.pop()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        # Fused updates have no fake kernel; they change what they are given and return nothing.
        result = None if "_fused_" in function.name() else function(*args, **(kwargs or {}))
        ins, outs = _tensors((args, kwargs)), _tensors(result)
        if any(tensor.device.type == "cuda" for tensor in ins + outs):
            self._note(function, args, kwargs or {}, ins, outs)
        return result

    def _note(self, function, args, kwargs, ins, outs):
        name, stream = function.name(), self._stack[-1]
        # A 0-d tensor of the host is a number: it goes along with the launch.
        if self.watched and any(x.device.type == "cpu" and x.dim() for x in ins + outs):
            self.problems.append(f"{name}: between host and GPU")
        written = []
        for argument, value in [*zip(function._schema.arguments, args, strict=False)]:
            written += _tensors(value) if argument.alias_info and argument.alias_info.is_write else []
        for argument in function._schema.arguments:
            if argument.name in kwargs and argument.alias_info and argument.alias_info.is_write:
                written += _tensors(kwargs[argument.name])
        written = {_key(x) for x in written}
        fresh = {_key(x): x for x in outs if _key(x) not in {_key(y) for y in ins}}
        is_view = not written and not fresh
        self.ops.append(Op(name, stream.name, [_what(x) for x in ins], [_what(x) for x in outs], is_view))
        if is_view:
            return
        stream.count += 1
        for at in self._freed.pop(stream.name, []):
            if not stream.knows(*at):
                self.problems.append(f"{name} on {stream.name} may get memory that {at[0]} is still at work on")
        for key in {_key(x) for x in ins} & self._memory.keys():
            memory = self._memory[key]
            if not stream.knows(*memory.written):
                self.problems.append(f"{name} on {stream.name} does not wait for {memory.written[0]}, which writes")
            if key not in written:
                memory.read.append((stream.name, stream.count))
                continue
            for at in memory.read:
                if not stream.knows(*at):
                    self.problems.append(f"{name} on {stream.name} does not wait for {at[0]}, which reads")
            memory.written, memory.read = (stream.name, stream.count), []
        for key, tensor in fresh.items():
            self._memory[key] = Memory(stream)
            weakref.finalize(tensor.untyped_storage(), self._free, key)

    def _free(self, key):
        if memory := self._memory.pop(key, None):
            self._freed[memory.owner.name] += [
                at for at in (memory.written, *memory.read) if at[0] != memory.owner.name
            ]


def _tensors(value):
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def _key(tensor):
    return tensor.untyped_storage()._cdata


def _what(tensor):
    last = tensor.dim() != 4 or tensor.is_contiguous(memory_format=torch.channels_last)
    return What(tensor.dtype, tuple(tensor.shape), last, tensor.device.type)


def _apply(module, function, recurse=True):
    """As ``torch.nn.Module._apply``, by new parameters: fake ones cannot go to another device in place."""
    for child in module.children():
        _apply(child, function)
    for name, value in module._parameters.items():
        if value is not None:
            module._parameters[name] = torch.nn.Parameter(function(value.detach()), value.requires_grad)
    for name, value in module._buffers.items():
        if value is not None:
            module._buffers[name] = function(value)
    return module


def built(*arguments):
    """Build a network on the CPU: some read numbers meanwhile."""
    with unset_fake_temporarily():
        return build_model(*arguments)


def _play_backward(loss):
    """Give a gradient to each parameter that a loss hangs on."""
    todo, seen = [loss.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            assert node.variable.grad is None
            node.variable.grad = torch.empty_like(node.variable)
        todo += [following for following, _ in node.next_functions]
