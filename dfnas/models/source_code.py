"""A network as Python source of its own: plain torch modules, and nothing of this package.

What a module computes in evaluation is traced by torch.fx, a module at a time: loops are unrolled, and of branches the
one that is taken is left. The parts keep their names, so that the network's weights fit.
"""

import inspect
import itertools
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from dfnas.errors import UserError, reason

WIDTH = 100  # columns up to which what builds a module stands in one line
USUAL = r", (eps=1e-05|momentum=0.1|(affine|bias|track_running_stats)=True|dilation=1|ceil_mode=False)\b"
HEAD = '''"""{title}

Needs torch alone. `build()` gives the network with fresh weights; those of the file beside this one fit.
"""

import torch
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
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    try:
        classes: dict[str, str] = {}  # body -> name, in the order of use
        inputs = _inputs(network.eval(), images)
        built = _built(network, inputs, classes, 4)
        parts = [HEAD.format(title=title)]
        parts += [f"class {name}(Parts):\n{body}\n" for body, name in classes.items()]
        parts.append(f'def build():\n    """The network, with fresh weights."""\n    return {built}\n')
        text = "\n\n".join(parts)
        _check(text, network, images)
    except Exception as error:  # torch.fx raises many kinds, and each means the same
        raise UserError(f"{type(network).__name__} cannot be written as source of its own: {reason(error)}") from None
    return text


@torch.no_grad()
def _check(text: str, network: nn.Module, images: Tensor) -> None:
    """ValueError unless the source builds a network that takes the weights and computes the same."""
    names: dict[str, Any] = {}
    exec(compile(text, "architecture.py", "exec"), names)
    twin = names["build"]().eval()
    twin.load_state_dict(network.state_dict())
    if not torch.allclose(twin(images), network(images), rtol=1e-4, atol=1e-5):
        raise ValueError("its source computes something else")


def _plain(module: nn.Module) -> Any:
    """The class of torch.nn that a module is an instance of and computes what that does; else None."""
    base = next(each for each in type(module).__mro__ if each.__module__.startswith("torch.nn"))
    quicker = base is nn.Conv2d  # as `kernels.separable` has
    same = quicker or type(module).forward is getattr(base, "forward", None)
    named = isinstance(module, nn.Sequential) and not all(name.isdigit() for name, _ in module.named_children())
    return base if same and not named and base is not nn.Module else None


@torch.no_grad()
def _inputs(network: nn.Module, images: Tensor) -> dict[nn.Module, dict[str, Any]]:
    """What each module that is none of torch's is given when the network sees images, by argument."""
    inputs: dict[nn.Module, dict[str, Any]] = {}

    def note(module: nn.Module, arguments: Any, options: Any) -> None:
        inputs[module] = inspect.signature(module.forward).bind(*arguments, **options).arguments

    own = [module for module in network.modules() if _plain(module) is None]
    handles = [module.register_forward_pre_hook(note, with_kwargs=True) for module in own]
    network(images)
    for handle in handles:
        handle.remove()
    return inputs


class _Tracer(fx.Tracer):
    """Traces one module, whose parts are not entered; arguments that are no tensors stay what the example has."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        super().__init__()
        self.inputs = inputs

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return True

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        values = [
            self.create_proxy("placeholder", name, (), {}) if isinstance(value, Tensor) else value
            for name, value in self.inputs.items()
        ]
        return root_fn, [self.root, *values]

    def call_module(self, module: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        tensors = tuple(value for value in (*args, *kwargs.values()) if isinstance(value, fx.Proxy))
        return super().call_module(module, forward, tensors, {})


def _built(module: nn.Module, inputs: dict[nn.Module, dict[str, Any]], classes: dict[str, str], indent: int) -> str:
    """The expression that builds a module, over several lines where it is long."""
    base = _plain(module)
    if base not in (None, nn.Sequential, nn.ModuleList):
        said = module.extra_repr()
        if isinstance(module, nn.AvgPool2d):  # which does not say all
            said += f", ceil_mode={module.ceil_mode}, count_include_pad={module.count_include_pad}"
        return f"nn.{base.__name__}({re.sub(USUAL, '', said)})"
    items = [_built(child, inputs, classes, indent + 4) for child in module.children()]
    if base is None:
        items = [f"{name}={item}" for (name, _), item in zip(module.named_children(), items, strict=True)]
    name = f"nn.{base.__name__}" if base else _class(module, _body(module, inputs[module]), classes)
    start, end = (f"{name}([", "])") if base is nn.ModuleList else (f"{name}(", ")")
    if not any("\n" in item for item in items) and indent + len(start + ", ".join(items)) < WIDTH:
        return start + ", ".join(items) + end
    return f"{start}\n" + "".join(f"{' ' * (indent + 4)}{item},\n" for item in items) + " " * indent + end


def _class(module: nn.Module, body: str, classes: dict[str, str]) -> str:
    """The name of the class that has this inside; it is new where there is none yet."""
    if body not in classes:
        name = type(module).__name__.strip("_")
        names = itertools.chain([name], (f"{name}{number}" for number in itertools.count(2)))
        classes[body] = next(each for each in names if each not in classes.values())
    return classes[body]


def _body(module: nn.Module, inputs: dict[str, Any]) -> str:
    """The inside of a class: what it is, and its forward pass, a line a step."""
    graph = _Tracer(inputs).trace(module)
    for node in graph.nodes:
        node.type = None  # annotations could name what is not there
    lines = graph.python_code("self").src.strip().splitlines()
    code = re.sub(r";  [\w= ]+ = None", "", "\n".join(f"    {line}" for line in lines))
    while code != (code := re.sub(r'getattr\(([\w.\[\]]+), "(\d+)"\)', r"\1[\2]", code)):
        pass
    about = inspect.getdoc(type(module)) if type(module).__module__.startswith("dfnas.") else None
    doc = f'    """{re.split(r"[.:]", about.splitlines()[0])[0]}."""\n\n' if about else ""
    return doc + code.replace("torch._C._nn.", "nn.functional.").replace("torch.nn.", "nn.")
