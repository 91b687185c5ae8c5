"""A network as Python source of its own: plain torch modules, and nothing of this package.

What a module computes is traced by torch.fx, a module at a time: loops are unrolled, and of branches the one that
evaluation takes is left. The parts keep their names, so that the network's weights fit.
"""

import ast
import inspect
import operator
from collections.abc import Sequence
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.graph import magic_methods

from dfnas.errors import UserError
from dfnas.kernels.separable import Depthwise, Pointwise

UNPATCHED = {"__call__": nn.Module.__call__, "__getattr__": nn.Module.__getattr__}
WIDTH = 100  # columns up to which what builds a module stands in one line
LINE = 90  # and up to which one line computes what could be several
HOMES = {"F": F, "torch": torch}  # where functions are looked for
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
HEAD = '''"""{title}

Needs torch alone. `build()` gives the network with fresh weights; those of the file beside this one fit.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Parts(nn.Module):
    """A module of the parts that it is given by name."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
'''


def write(network: nn.Module, shape: Sequence[int], title: str) -> str:
    """The source of a module with a function `build()`, for normalised images of `shape` (channels, height, width).

    Raises
    ------
    UserError : a network that cannot be traced, or whose source does not compute what it does.
    """
    network = network.eval()
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    classes: dict[str, str] = {}  # body -> name, in the order of use
    try:
        built = _Writer(_inputs(network, images), classes).build(network, 4, "return ")
        parts = [HEAD.format(title=title)]
        parts += [f"class {name}(Parts):\n{body}\n" for body, name in classes.items()]
        parts.append(f'def build():\n    """The network, with fresh weights."""\n    {built}\n')
        text = "\n\n".join(parts)
        _check(text, network, images)
    except Exception as error:  # torch.fx raises many kinds, and each means the same
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{type(network).__name__} cannot be written as source of its own: {reason}") from None
    return text


def _check(text: str, network: nn.Module, images: Tensor) -> None:
    """ValueError unless the source builds a network that takes the weights and computes the same."""
    names: dict[str, Any] = {}
    exec(compile(text, "architecture.py", "exec"), names)
    twin = names["build"]().eval()
    twin.load_state_dict(network.state_dict())
    with torch.no_grad():
        if not torch.allclose(twin(images), network(images), rtol=1e-4, atol=1e-5):
            raise ValueError("its source computes something else")


def _plain(module: nn.Module) -> type[nn.Module] | None:
    """The class of torch.nn that a module is an instance of and computes what that does; else None."""
    base = next(each for each in type(module).__mro__ if each.__module__.startswith("torch.nn"))
    same = type(module).forward is getattr(base, "forward", None) or isinstance(module, (Depthwise, Pointwise))
    named = isinstance(module, nn.Sequential) and not all(name.isdigit() for name, _ in module.named_children())
    return base if base is not nn.Module and same and not named else None


@torch.no_grad()
def _inputs(network: nn.Module, images: Tensor) -> dict[nn.Module, dict[str, Any]]:
    """What each module that is none of torch's is given when the network sees images, by argument."""
    given: dict[nn.Module, dict[str, Any]] = {}

    def note(module: nn.Module, arguments: Any, options: Any) -> None:
        given[module] = dict(inspect.signature(module.forward).bind(*arguments, **options).arguments)

    own = [module for module in network.modules() if _plain(module) is None]
    handles = [module.register_forward_pre_hook(note, with_kwargs=True) for module in own]
    network(images)
    for handle in handles:
        handle.remove()
    return given


class _Tracer(fx.Tracer):
    """Traces one module; its parts are not entered, and a branch is the one that the example takes."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        super().__init__()
        self.given = [value for value in inputs.values() if _flows(value)]

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return True

    def to_bool(self, obj: fx.Proxy) -> bool:
        graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
        for node in self.graph.nodes:
            copies[node] = graph.node_copy(node, copies.__getitem__)
        graph.output(copies[obj.node])
        with mock.patch.multiple(nn.Module, **UNPATCHED):  # type: ignore[call-overload]  # as tracing changes both
            return bool(fx.Interpreter(fx.GraphModule(self.root, graph)).run(*self.given))


class _Whole(tuple):
    """A tuple that torch.fx takes for one value."""


class _Writer:
    """Writes what builds modules, and collects the classes that this takes."""

    def __init__(self, inputs: dict[nn.Module, dict[str, Any]], classes: dict[str, str]) -> None:
        self.inputs, self.classes = inputs, classes

    def build(self, module: nn.Module, indent: int, before: str = "") -> str:
        """The expression that builds a module, over several lines where it is long."""
        base = _plain(module)
        if base is None and module not in self.inputs:  # evaluation does not come here
            return "nn.Identity()"
        if base is not None and base not in CONTAINERS:
            return f"{before}nn.{base.__name__}({_arguments(module, base)})"
        children = {name: self.build(child, indent + 4) for name, child in module.named_children()}
        if base is None:
            items = [f"{key}={value}" for key, value in (children | _tensors(module)).items()]
            return before + _call(self._class(module), items, indent, base)
        items = [f'"{key}": {value}' if base is nn.ModuleDict else value for key, value in children.items()]
        return before + _call(f"nn.{base.__name__}", items, indent, base)

    def _class(self, module: nn.Module) -> str:
        """The name of the class of a module that computes what this one does; it is new where there is none yet."""
        body = _body(module, self.inputs[module])
        if body not in self.classes:
            name = type(module).__name__.strip("_")
            names = set(self.classes.values())
            number = next(n for n in range(1, len(names) + 2) if f"{name}{n if n > 1 else ''}" not in names)
            self.classes[body] = f"{name}{number if number > 1 else ''}"
        return self.classes[body]


def _body(module: nn.Module, given: dict[str, Any]) -> str:
    """The inside of a class: what it is, and its forward pass."""
    graph, arguments = _traced(module, given)
    lines, texts = [], dict[fx.Node, str]()
    for node in graph.nodes:
        if node.op == "placeholder":
            texts[node] = str(node.target)
            continue
        if len(_expression(node, module, texts)) > LINE:
            for each in node.all_input_nodes:
                if not texts[each].isidentifier():
                    lines.append(f"{each.name} = {texts[each]}")
                    texts[each] = each.name
        texts[node] = _expression(node, module, texts)
        picked = node.target is operator.getitem and isinstance(node.args[1], int)
        if len(node.users) > 1 and not picked:
            lines.append(f"{node.name} = {texts[node]}")
            texts[node] = node.name
    lines.append(f"return {texts[node]}")
    about = inspect.getdoc(type(module)) if type(module).__module__.startswith("dfnas.") else None
    doc = f'    """{about.partition(chr(10))[0].partition(". ")[0].rstrip(".")}."""\n\n' if about else ""
    head = f"    def forward({', '.join(['self', *arguments])}):\n"
    return doc + head + "\n".join(f"        {line}" for line in lines)


def _traced(module: nn.Module, given: dict[str, Any]) -> tuple[fx.Graph, list[str]]:
    """What a module computes, and the arguments that are tensors; the others are what the example gave them."""
    values = {name: each.default for name, each in inspect.signature(module.forward).parameters.items()} | given
    fixed = {name: value for name, value in values.items() if not _flows(value)}
    fixed |= {name: _Whole(value) for name, value in fixed.items() if isinstance(value, (list, tuple))}
    graph = _Tracer(given).trace(module, concrete_args=fixed)
    for node in reversed(graph.nodes):
        if not node.users and node.op not in ("placeholder", "output"):  # as: that a fixed argument is what it was
            graph.erase_node(node)
    return graph, [name for name in values if name not in fixed]


def _expression(node: fx.Node, module: nn.Module, texts: dict[fx.Node, str]) -> str:
    """What a node computes, with the fewest parentheses."""
    arguments = [_show(value, texts) for value in node.args]
    options = [f"{name}={_show(value, texts)}" for name, value in node.kwargs.items() if name != "inplace"]
    name = getattr(node.target, "__name__", str(node.target))
    if node.op == "output":
        text = arguments[0]
    elif node.op in ("call_module", "get_attr"):
        text = _path(module, name)
        given = [each for each, value in zip(arguments, node.args, strict=True) if _flows(value)]
        text += f"({', '.join([*given, *options])})" * (node.op == "call_module")
    elif node.op == "call_method":
        text = f"({arguments[0]}).{name}({', '.join([*arguments[1:], *options])})"
    elif node.target is getattr:
        text = f"({arguments[0]}).{node.args[1]}"
    elif node.target is operator.getitem:
        text = f"({arguments[0]})[{arguments[1]}]"
    elif getattr(operator, name, None) is node.target:  # in place or not, the value is the same
        text = magic_methods[name if name in magic_methods else name[1:]].format(*(f"({each})" for each in arguments))
    else:
        home = next(home for home, there in HOMES.items() if getattr(there, name, None) is node.target)
        text = f"{home}.{name}({', '.join([*arguments, *options])})"
    return ast.unparse(ast.parse(text))


def _flows(value: Any) -> bool:
    """Whether an argument is a tensor, or holds some."""
    if isinstance(value, (list, tuple)):
        return any(map(_flows, value))
    return isinstance(value, (Tensor, fx.Node))


def _show(value: Any, texts: dict[fx.Node, str]) -> str:
    if isinstance(value, fx.Node):
        return texts[value]
    if isinstance(value, slice):
        ends = [_show(each, texts) if each is not None else "" for each in (value.start, value.stop, value.step)]
        return ":".join(ends)
    if isinstance(value, (list, tuple)):
        inside = ", ".join(_show(each, texts) for each in value)
        if any(isinstance(each, slice) for each in value):  # an index
            return inside
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    return repr(value)


def _path(module: nn.Module, target: str) -> str:
    """How a module reads a part of itself: `blocks.0.main` is self.blocks[0].main."""
    text, here = "self", module
    for name in target.split("."):
        listed = isinstance(here, CONTAINERS) and name.isdigit()
        text += (f"['{name}']" if isinstance(here, nn.ModuleDict) else f"[{name}]") if listed else f".{name}"
        here = getattr(here, name)
    return text


def _arguments(module: nn.Module, base: type[nn.Module]) -> str:
    """What a module of torch's is built with, as far as it differs from the defaults."""
    texts = []
    for name, parameter in inspect.signature(base).parameters.items():
        if parameter.kind.name.startswith("VAR") or name in ("device", "dtype"):
            continue
        value = getattr(module, name)
        if name == "bias":
            value = value is not None or not getattr(module, "affine", True)
        if isinstance(value, tuple) and len(set(value)) == 1 and base is not nn.LayerNorm:
            value = value[0]
        required = parameter.default is parameter.empty
        if required or value != parameter.default:
            texts.append(repr(value) if required else f"{name}={value!r}")
    return ", ".join(texts)


def _tensors(module: nn.Module) -> dict[str, str]:
    """What builds the parameters and buffers that a module has for itself."""
    own: dict[str, tuple[str, Tensor]] = {
        name: ("Parameter", value) for name, value in module.named_parameters(recurse=False)
    }
    kept = module.state_dict().keys()
    own |= {name: ("Buffer", value) for name, value in module.named_buffers(recurse=False) if name in kept}
    return {name: f"nn.{kind}(torch.zeros({tuple(value.shape)}))" for name, (kind, value) in own.items()}


def _call(name: str, items: list[str], indent: int, base: type[nn.Module] | None) -> str:
    """A call, in one line where it fits."""
    start, end = {nn.ModuleList: ("([", "])"), nn.ModuleDict: ("({", "})")}.get(base, ("(", ")"))  # type: ignore
    line = f"{name}{start}{', '.join(items)}{end}"
    if "\n" not in line and indent + len(line) <= WIDTH:
        return line
    pad = " " * indent
    return f"{name}{start}\n" + "".join(f"{pad}    {item},\n" for item in items) + f"{pad}{end}"
