"""Networks as people hand them over: a table of kinds, each of which is right or refused in one line."""

import argparse
import collections
import copy
import gzip
import io
import json
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from dfnas import models, profiles
from dfnas.data import exported, teachers
from dfnas.errors import UserError
from dfnas.models import norms
from dfnas.synthesis import controls

NETWORK = models.build("resnet5", 10, 1, seed=0).eval()
STATE = {name: value.clone() for name, value in NETWORK.state_dict().items()}
OTHER = {name: value + 1 for name, value in STATE.items()}
WEIGHTS = {"state_dict": STATE}


def under(prefix, state=STATE):
    return {prefix + name: value for name, value in state.items()}


def without(*names):
    return {name: value for name, value in STATE.items() if not name.startswith(names)}


def torch_bytes(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def zip_of(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("weights.pt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def scripted():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(NETWORK, torch.zeros(1, 1, 16, 16)), buffer)
    return buffer.getvalue()


def on_a_gpu(content=b""):
    """What torch.save writes on a GPU: storages that ask for one."""
    pickled = torch_bytes(STATE)
    read, written = zipfile.ZipFile(io.BytesIO(pickled)), io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name in read.namelist():
            data = read.read(name)
            archive.writestr(name, data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
    assert b"cuda:0" in written.getvalue()
    return written.getvalue()


def changed(name, value, where=0):
    state = {key: tensor.clone() for key, tensor in STATE.items()}
    state[name].view(-1)[where] = value
    return state


RIGHT = {
    "flat": STATE,
    "nested": WEIGHTS,
    "DataParallel": under("module."),
    "nested DataParallel": {"state_dict": under("module."), "epoch": 3, "best_acc1": 91.2, "arch": "resnet"},
    "torch.compile": under("_orig_mod."),
    "DistributedDataParallel of torch.compile": under("module._orig_mod."),
    "torch.compile of DataParallel": under("_orig_mod.module."),
    "torch.compile of a part": {name.replace("layers.", "layers._orig_mod."): value for name, value in STATE.items()},
    "DataParallel of a part": {name.replace("layers.", "layers.module."): value for name, value in STATE.items()},
    "model": {"model": STATE, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}},
    "net": {"net": under("module."), "acc": 93.1},
    "model_state_dict": {"model_state_dict": STATE, "loss": 0.1},
    "a nest in a nest": {"checkpoint": {"model": {"state_dict": STATE}}},
    "the average alone": {"ema": {"module": STATE}},
    "network and average": {"state_dict": STATE, "state_dict_ema": OTHER},
    "average first": {"model_ema": OTHER, "model": STATE},
    "Lightning": {"state_dict": under("model."), "pytorch-lightning_version": "2.1", "callbacks": {"a": STATE}},
    "Lightning with a criterion": {"state_dict": {**under("model."), "criterion.weight": torch.ones(10)}},
    "Lightning with an average": {"state_dict": {**under("model."), **under("ema_model.", OTHER)}},
    "flat beside an optimiser": {**STATE, "optimizer_state": {"exp_avg": torch.ones(2)}},
    "thop": {**STATE, "total_ops": torch.zeros(1), "layers.0.total_params": torch.zeros(1)},
    "before num_batches_tracked": {n: value for n, value in STATE.items() if "num_batches" not in n},
    "half precision": {name: value.half() if value.is_floating_point() else value for name, value in STATE.items()},
    "double precision": {name: value.double() if value.is_floating_point() else value for name, value in STATE.items()},
    "parameters that ask for gradients": {
        name: nn.Parameter(value, value.is_floating_point()) for name, value in STATE.items()
    },
    "an ordered dictionary": collections.OrderedDict(STATE),
    "strided": {name: value.t().contiguous().t() if value.dim() == 2 else value for name, value in STATE.items()},
}


@pytest.mark.parametrize("kind", RIGHT)
def test_weights_are_found_in_what_people_save(tmp_path, kind):
    path = tmp_path / "weights.pth"
    torch.save(RIGHT[kind], path)
    assert weights_of(path, 5e-4 if kind == "half precision" else 0)


FILES = {
    "safetensors": (".safetensors", lambda: save(STATE)),
    "safetensors in capitals": (".SAFETENSORS", lambda: save(STATE)),
    "safetensors named .bin": (".bin", lambda: save(under("module."))),
    "torch's named .safetensors": (".safetensors", lambda: torch_bytes(STATE)),
    "torch's old format": (".t7", lambda: torch_bytes(WEIGHTS, _use_new_zipfile_serialization=False)),
    "no suffix": ("", lambda: torch_bytes(STATE)),
    "saved on a GPU": (".pt", on_a_gpu),
    "TorchScript": (".ts", scripted),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_what_it_holds_and_not_what_it_is_called(tmp_path, kind):
    suffix, content = FILES[kind]
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content())
    assert weights_of(path)


def load(path, *overrides, network="resnet5"):
    chosen = [f"teacher.path={path}", f"teacher.network={network}", *overrides]
    return teachers.load(profiles.load("smoke", 0, chosen))


def weights_of(path, tolerance=0.0):
    """Whether the teacher holds NETWORK's weights and statistics."""
    found = load(path).network.state_dict()
    return all(torch.allclose(found[name], value, atol=tolerance, rtol=tolerance) for name, value in STATE.items())


ALONE = r"torch\.save\(network\.state_dict\(\)"
WRONG = {
    "an empty file": (b"", "is empty"),
    "a web page": (b"\n<!DOCTYPE html><html><title>Sign in</title>", "is a web page"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "git lfs pull"),
    "an error in JSON": (b'{"error": "Invalid username or password."}', "text in JSON"),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(600), "of Keras"),
    "an array of numpy": (b"\x93NUMPY\x01\x00v\x00" + bytes(200), "array of numpy"),
    "arrays of numpy": (zip_of(**{"conv.weight.npy": b"12"}), "is an archive"),
    "gzip": (gzip.compress(torch_bytes(STATE)), "compressed"),
    "tar": (tar_of(torch_bytes(STATE)), "tar archive"),
    "a zip of the file": (zip_of(**{"weights.pt": torch_bytes(STATE)}), "unpack it"),
    "random bytes": (bytes(range(7, 200)) * 9, "nothing that torch or safetensors writes"),
    "a cut torch file": (torch_bytes(STATE)[:20000], "is damaged"),
    "a cut old torch file": (torch_bytes(STATE, _use_new_zipfile_serialization=False)[:900], "is damaged"),
    "a cut safetensors file": (save(STATE)[:-100], "is damaged|nothing that"),
    "a safetensors header cut": (save(STATE)[:90], "nothing that torch"),
    "argparse.Namespace": (
        torch_bytes({**WEIGHTS, "args": argparse.Namespace(lr=0.1)}),
        rf"argparse\.Namespace.*{ALONE}",
    ),
    "numpy.float64": (torch_bytes({**WEIGHTS, "best": np.float64(0.9)}), rf"numpy.*{ALONE}"),
    "a whole network": (torch_bytes(NETWORK), rf"dfnas\.models\.resnet\.ResNet|dfnas\.models\.resnet.*{ALONE}"),
    "a whole network, old format": (
        torch_bytes(NETWORK, _use_new_zipfile_serialization=False),
        rf"dfnas\.models.*{ALONE}",
    ),
    "a pickle": (pickle.dumps(argparse.Namespace(a=1)), f"pickle that torch did not write: .*{ALONE}"),
    "a list of tensors": (torch_bytes(list(STATE.values())), rf"no tensors by name \(list\).*{ALONE}"),
    "one tensor": (torch_bytes(torch.ones(3)), "no tensors by name"),
    "no tensors": (torch_bytes({"epoch": 3, "lr": 0.1}), r"only epoch, lr"),
    "an empty dictionary": (torch_bytes({}), "no tensors by name"),
    "an optimiser alone": (torch_bytes({"optimizer": {"state": {0: torch.ones(2)}}}), "only optimizer"),
    "seven classes": (
        torch_bytes(models.build("resnet5", 7, 1).state_dict()),
        r"2 differ in size \(linear\.weight first: 7x32, and not 10x32\).*linear\.weight\) has 7 classes",
    ),
    "three channels": (
        torch_bytes(models.build("resnet5", 10, 3).state_dict()),
        r"conv\.weight first: 16x3x3x3, and not 16x1x3x3",
    ),
    "a larger network": (
        torch_bytes({"state_dict": under("module.", models.build("resnet8", 10, 1).state_dict())}),
        r"left over \(layers\.2\.conv1\.weight first\).*10 classes",
    ),
    "a smaller network": (
        torch_bytes(under("module.", without("layers.1.conv1"))),
        r"lacks 1 of \d+ tensors \(layers\.1\.conv1\.weight first\)",
    ),
    "another network": (
        torch_bytes(nn.Linear(3, 2).state_dict()),
        r"resnet5: it lacks .*conv\.weight first.*2 classes",
    ),
    "two networks": (
        torch_bytes({"student": STATE, "teacher": OTHER}),
        r"several networks that fit \(under student\., teacher\.\)",
    ),
    "NaN in a weight": (torch_bytes(changed("linear.weight", float("nan"))), r"1 of 320 values in linear\.weight"),
    "an infinite running variance": (
        torch_bytes(changed("bn.running_var", float("inf"))),
        r"bn\.running_var.*not finite",
    ),
    "a negative running variance": (
        torch_bytes(changed("bn.running_var", -9.0)),
        "answers noise with values that are not finite",
    ),
    "weights that overflow": (torch_bytes({name: value * 1e38 for name, value in STATE.items()}), "not finite"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_file_of_weights_is_one_line(tmp_path, kind):
    content, message = WRONG[kind]
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    refused(message, path)


def refused(message, *arguments, **options):
    with pytest.raises(UserError, match=message) as caught:
        load(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((125.3,), (63.0,), "mean=125.3: it must be from 0 to 1: divide values of 0 to 255 by 255"),
        ((0.5,), (-0.25,), "std=.*above 0, at most 1"),
        ((0.5,), (0.0,), "std=.*above 0, at most 1"),
        ((-0.1,), (0.5,), "mean=-0.1: it must be from 0 to 1"),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "must both give 1 values"),
        ((0.5,), (), "must both give 1 values"),
    ],
)
def test_a_card_s_normalisation_is_of_pixels_in_0_to_1(tmp_path, mean, std, message):
    save_file(STATE, tmp_path / "model.safetensors")
    card = {"network": "resnet5", "classes": list("0123456789"), "channels": 1, "mean": mean, "std": std}
    (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
    refused(message, tmp_path)


def test_normalisation_without_a_path_is_not_ignored():
    with pytest.raises(UserError, match=r"give teacher\.path too"):
        teachers.load(profiles.load("smoke", 0, ["teacher.mean=(0.3,)", "teacher.std=(0.2,)"]))


class Odd(nn.Module):
    """A small network; each kind of it answers, keeps or refuses something that is not usual."""

    def __init__(self, kind="plain", classes=10, channels=1):
        super().__init__()
        self.kind, norm = kind, nn.BatchNorm2d(4)
        self.conv, self.linear = nn.Conv2d(channels, 4, 3), nn.Linear(4, classes)
        if kind == "no statistics":
            norm = nn.BatchNorm2d(4, track_running_stats=False)
        elif kind == "frozen":
            norm = Frozen(4)
        elif kind == "sync":
            norm = nn.SyncBatchNorm(4)
        elif kind == "lazy":
            norm = nn.LazyBatchNorm2d()
        elif kind == "group norm":
            norm = nn.GroupNorm(2, 4)
        self.norm = norm
        if kind == "twice":
            self.again = self.norm
        if kind == "unused":
            self.norm, self.head = nn.Identity(), nn.BatchNorm2d(4)
        if kind == "head":
            self.head = nn.BatchNorm1d(4)

    def forward(self, x):
        if self.kind == "assert":
            assert x.shape[2] == 224
        if self.kind == "value error":
            raise ValueError
        if self.kind == "type error":
            return self.linear(x, 3)
        if self.kind == "key error":
            return {}["x"]
        features = self.norm(self.conv(x)).relu().mean((2, 3))
        if self.kind == "head":
            features = self.head(features)
        if self.kind == "dropout":
            features = nn.functional.dropout(features, 0.5)
        y = self.linear(features)
        answers = {
            "tuple": (y, features),
            "features first": (features, y),
            "dictionary": {"features": features, "logits": y},
            "output": argparse.Namespace(logits=y),
            "no tensor": {"loss": 1.0},
            "one by one": y[:, :, None, None],
            "a map": y[:, :, None, None].expand(-1, -1, 4, 4),
            "squeezed": y.squeeze(),
            "flat": y.flatten(),
            "list": [y],
        }
        return answers.get(self.kind, y)


class Extra(Odd):
    def get_extra_state(self):
        return {"scale": 2}

    def set_extra_state(self, state):
        pass


class Frozen(nn.Module):
    """A frozen batch norm that is no subclass of torch's."""

    def __init__(self, channels):
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.ones(channels))

    def forward(self, x):
        scale = self.weight / (self.running_var + 1e-5).sqrt()
        return x * scale[:, None, None] + (self.bias - self.running_mean * scale)[:, None, None]


def odd(kind="plain", classes=10, fails=None):
    torch.manual_seed(0)
    if fails == "exit":
        raise SystemExit(2)
    made = {"parallel": nn.DataParallel, "compiled": torch.compile}.get(fails, lambda net: net)(Odd(kind, classes))
    return {"a tuple": (made, 3), "half": made.half()}.get(fails, made) if fails in ("a tuple", "half") else made


def built(tmp_path, builder, *overrides):
    """A teacher of a builder, from weights that fit it."""
    path, kind = tmp_path / "odd.pt", builder.partition("'")[2].partition("'")[0] or "plain"
    torch.manual_seed(0)
    network = Odd(kind)
    if kind == "lazy":
        network(torch.zeros(2, 1, 16, 16))
        network = network.eval()
    torch.save(network.state_dict(), path)
    return path, (f"teacher.builder={__name__}:{builder}", *overrides)


@pytest.mark.parametrize("kind", ["tuple", "features first", "dictionary", "output", "one by one", "list"])
def test_the_logits_are_taken_out_of_several_answers(tmp_path, kind, capsys):
    path, overrides = built(tmp_path, f"odd('{kind}')")
    teacher = load(path, *overrides)
    torch.manual_seed(0)
    x = torch.randn(3, 1, 16, 16)
    expected = Odd()
    expected.load_state_dict(teacher.network.state_dict())
    assert torch.equal(teacher.network(x), expected.eval()(x))
    assert torch.equal(pickle.loads(pickle.dumps(copy.deepcopy(teacher))).network(x), teacher.network(x))
    assert "its logits are taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        ("odd('assert')", "does not take images 1x16x16.*assert 16 == 224"),
        ("odd('value error')", "does not take images.*ValueError"),
        ("odd('type error')", "does not take images.*argument"),
        ("odd('key error')", "does not take images.*KeyError"),
        ("odd('no tensor')", "answers with no tensor"),
        ("odd('a map')", r"answers \[4, 10, 4, 4\]"),
        ("odd('squeezed')", r"\[10\] for one"),
        ("odd('flat')", r"answers \[40\]"),
        ("odd('dropout')", "differently each time"),
        ("odd('no statistics')", "keeps no batch-norm statistics"),
        ("odd('unused')", "take no part in its answers"),
        ("odd('group norm')", "keeps no batch-norm statistics"),
        ("Extra()", "keeps _extra_state, which is no tensor"),
        ("odd(classes=7)", r"linear\.weight first: 10x4, and not 7x4"),
        ("odd(fails='exit')", r"cannot be called \(SystemExit: 2\)"),
        ("odd(fails='a tuple')", "gives a tuple"),
        ("odd(kinds='plain')", "unexpected keyword argument"),
        ("odd(__import__('os'))", "cannot be called.*plain values"),
        ("odd(", "cannot be called"),
        ("nobody", "cannot be called.*nobody"),
        ("ALONE", "cannot be called"),
    ],
)
def test_networks_that_cannot_be_asked_are_one_line(tmp_path, builder, message):
    path, overrides = built(tmp_path, builder)
    refused(message, path, *overrides)


@pytest.mark.parametrize(
    ("builder", "layers"),
    [
        ("odd", 1),
        ("odd('plain', classes=10)", 1),
        ("Odd('plain')", 1),
        ("odd(fails='parallel')", 1),
        ("odd(fails='compiled')", 1),
        ("odd(fails='half')", 1),
        ("odd('frozen')", 1),
        ("odd('sync')", 1),
        ("odd('lazy')", 1),
        ("odd('twice')", 1),
        ("odd('head')", 1),
    ],
)
def test_networks_of_any_make(tmp_path, builder, layers, capsys):
    path, overrides = built(tmp_path, builder)
    teacher = load(path, *overrides)
    assert len(norms.layers(teacher.network)) == layers
    assert ("BatchNorm1d are left out" in capsys.readouterr().err) == ("head" in builder)
    assert teacher.network(torch.zeros(2, 1, 16, 16)).dtype == torch.float32


def test_a_network_of_a_fixed_side_is_told_which_side_it_is_asked_for(tmp_path):
    path = tmp_path / "flat.pt"
    torch.save(fixed().state_dict(), path)
    refused(r"images of side 8, which synthesis\.stages", path, f"teacher.builder={__name__}:fixed")
    whole = ["synthesis.stages=((1,5,'grow'),)", "synthesis.learning_rates=(0.1,)"]
    assert load(path, f"teacher.builder={__name__}:fixed", *whole)


def fixed():
    return nn.Sequential(nn.Conv2d(1, 2, 3, 1, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(512, 10))


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("mean", "lacks mean and std"),
        ("std", "lacks mean and std"),
        ("classes", "lacks classes"),
        ("network", "lacks network"),
    ],
)
def test_a_card_that_lacks_something_is_one_line(tmp_path, lacking, message):
    card = {"network": "resnet5", "classes": list("0123456789"), "channels": 1, "mean": [0.3], "std": [0.2]}
    save_file(STATE, tmp_path / "model.safetensors")
    (tmp_path / "card.json").write_text(
        json.dumps({name: card[name] for name in card if name != lacking}), encoding="utf-8"
    )
    refused(message, tmp_path)
    if lacking == "mean":
        assert load(tmp_path, "teacher.mean=(0.4,)", "teacher.std=(0.2,)").mean == (0.4,)


@pytest.mark.parametrize("network", ["torchvision:resnet18", "torchvision:mobilenet_v3_small"])
def test_networks_of_torchvision(tmp_path, network):
    torch.save(under("module.", models.build(network, 7).state_dict()), tmp_path / "weights.pth")
    data = ["data.name=none", "data.channels=3", "data.classes=7", "data.region=32", "data.canvas=40"]
    teacher = load(tmp_path / "weights.pth", *data, network=network)
    assert len(norms.layers(teacher.network)) >= 20
    refused("no network 'resnet99' in torchvision", tmp_path / "weights.pth", *data, network="torchvision:resnet99")


def test_timm_is_an_extra(tmp_path, monkeypatch):
    torch.save(STATE, tmp_path / "weights.pt")
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    refused("needs the package timm: pip install timm", tmp_path / "weights.pt", network="timm:resnet18")
    monkeypatch.setitem(__import__("sys").modules, "timm", Timm)
    teacher = load(tmp_path / "weights.pt", network="timm:any")
    assert torch.equal(teacher.network.conv.weight, STATE["conv.weight"])
    refused("timm builds no network 'none' .*unknown", tmp_path / "weights.pt", network="timm:none")


class Timm:
    @staticmethod
    def create_model(name, pretrained, num_classes, in_chans):
        assert not pretrained
        if name == "none":
            raise RuntimeError("an unknown model")
        return models.build("resnet5", num_classes, in_chans)


def program(path, network=NETWORK, side=16, dynamic=True, decomposed=False, train=False):
    """A file of torch.export."""
    network = copy.deepcopy(network).train(train)
    sizes = {"dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},)} if dynamic else {}
    made = torch.export.export(network, (torch.zeros(2, 1, side, side),), **sizes)
    torch.export.save(made.run_decompositions() if decomposed else made, path)
    return path


@pytest.mark.parametrize("options", [{}, {"dynamic": False}, {"decomposed": True}], ids=str)
def test_a_file_of_torch_export_keeps_its_batch_norms(tmp_path, options):
    teacher = load(program(tmp_path / "network.pt2", **options))
    x = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(teacher.network(x), NETWORK(x), atol=1e-5)
    theirs, ours = norms.layers(NETWORK), norms.layers(teacher.network)
    assert len(ours) == len(theirs) == 6
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.running_var, other.running_var)


def test_a_file_of_torch_export_that_cannot_be_taken_is_one_line(tmp_path):
    refused("exported in training mode", program(tmp_path / "train.pt2", train=True))
    refused("does not take images", program(tmp_path / "fixed.pt2", fixed(), 16, dynamic=False))
    path = program(tmp_path / "objects.pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("objects/data/constants/custom_obj_0", pickle.dumps(argparse.Namespace()))
    refused("which are not run", path)
    path.write_bytes(path.read_bytes()[:-3000])
    refused("damaged|cannot be read", path)
    assert exported.AGAIN


def test_code_that_changes_changes_the_digest(tmp_path, monkeypatch):
    """The same weights and another forward: another network, with other keys; what is only written otherwise is not."""
    body = "from dfnas import models\nimport torch\nclass Net(torch.nn.Module):\n    def __init__(self):\n"
    body += "        super().__init__()\n        self.body = models.build('resnet5', 10, 1)\n"
    forwards = {
        "plain": "return self.body(x)",
        "again": "y = self.body(x)  # as before\n        return y",
        "scaled": "return -3 * self.body(x)",
        "scaled otherwise": "return -3.5 * self.body(x)",
        "softmax": "return self.body(x).softmax(1)",
        "constant": "return self.body(x) * torch.tensor([0.5])",
        "other constant": "return self.body(x) * torch.tensor([0.25])",
        "of values": "return self.body(x) if x.sum() > -1e9 else x",
        "of other values": "return self.body(x) if x.sum() > -1e8 else x",
    }
    torch.save(under("body."), tmp_path / "weights.pt")
    digests = {}
    for number, (kind, forward) in enumerate(forwards.items()):
        (tmp_path / f"net_{number}.py").write_text(
            f"{body}    def forward(self, x):\n        {forward}\n", encoding="utf-8"
        )
        monkeypatch.syspath_prepend(tmp_path)
        digests[kind] = load(tmp_path / "weights.pt", f"teacher.builder=net_{number}:Net").digest
    assert digests["plain"] == digests.pop("again")
    assert len(set(digests.values())) == len(digests)


def test_an_artefact_of_a_network_that_has_come_to_answer_otherwise_is_refused(tmp_path, monkeypatch):
    """What a digest does not see: the same graph and weights, and another helper behind Python that torch skips."""
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    settings = profiles.load("smoke")
    teacher = teachers.load(settings)
    controls.noise_stage(settings, teacher, 20)
    assert controls.noise_stage(settings, teacher, 20).seconds > 0
    answers = [value * 1.01 for value in teacher.digest.answers]
    changed = teachers.stages.Digest(teacher.digest, answers)
    object.__setattr__(teacher, "digest", changed)
    with pytest.raises(UserError, match="answered otherwise"):
        controls.noise_stage(settings, teacher, 20)
    close = teachers.stages.Digest(teacher.digest, [value * 1.0001 for value in answers])
    object.__setattr__(teacher, "digest", close)
    monkeypatch.setattr(teachers.stages, "TOLERANCE", 0.02)
    assert controls.noise_stage(settings, teacher, 20).name == "noise"
