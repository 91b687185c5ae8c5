"""In what precision networks are computed, and what becomes of torch.compile where it does not work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._functorch import config

from dfnas import models
from dfnas.profiles import RunSettings
from dfnas.runtime import devices, paths

AUTO = RunSettings(device="cpu")
SPOS = "spos:1;stem=16;stem_stride=1;widths=32,64,128;repeats=2,3,3;strides=2,2,2;tail=256;choices=11100030"
PROXYLESS = "proxyless:1;stem=16;stem_stride=1;first=8;widths=16,32;repeats=1,1;strides=2,2;tail=256;choices=00"


@pytest.fixture
def amx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)


@pytest.mark.parametrize(("text", "expected"), [("resnet20", True), (SPOS, False), (PROXYLESS, False)])
@pytest.mark.usefixtures("amx")
def test_on_a_cpu_that_multiplies_in_bf16_networks_with_depthwise_convolutions_run_in_fp32(text: str, expected: bool):
    network = models.build(text, 10, 3)
    assert devices.bf16(AUTO, network) is expected
    with devices.autocast(AUTO, network):
        assert torch.is_autocast_enabled("cpu") is expected


@pytest.mark.usefixtures("amx")
def test_without_a_network_the_processor_decides_and_a_precision_that_is_asked_for_is_taken():
    network = models.build(SPOS, 10, 3)
    assert devices.bf16(AUTO)
    assert devices.bf16(RunSettings(device="cpu", precision="bf16"), network)
    assert not devices.bf16(RunSettings(device="cpu", precision="fp32"))


def test_no_cpu_runs_in_bf16_that_does_not_multiply_in_it(monkeypatch: pytest.MonkeyPatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert not devices.bf16(AUTO, models.build("resnet20", 10, 3))


TWICE = """
from dfnas.profiles import RunSettings
from dfnas.runtime import devices
run = RunSettings(device="cpu", compile=True)
assert devices.compiled(len, run) is len
assert devices.compiled(len, run) is len
"""


def test_without_a_compiler_that_works_computation_goes_on_and_says_so_once(tmp_path: Path):
    environment = os.environ | {"CXX": "/bin/false", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    environment["PYTHONPATH"] = str(paths.root())
    done = subprocess.run(
        [sys.executable, "-c", TWICE], env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("dfnas: ")]
    assert "torch.compile does not work here" in said
    assert "/bin/false" in said


FAULTS = {  # what torch says -> what is told
    "C++ compile error\n\nOutput:\ng++: fatal error: no input\nstopped.": "(fatal error: no input)",
    "backend='inductor' raised:\nInvalidCxxCompiler: No working C++ compiler": "raised: InvalidCxxCompiler: No working",
    "": "RuntimeError",
}


@pytest.mark.parametrize("text", FAULTS)
def test_the_reason_is_the_compiler_s(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(torch, "compile", fail)
    assert not devices.compiles.__wrapped__("cpu")
    said = capsys.readouterr().err
    assert FAULTS[text] in said
    assert said.count("\n") == 1


def test_programs_with_gradients_of_their_own_are_kept_on_disk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(config, "autograd_cache_allow_custom_autograd_functions", False)
    monkeypatch.setattr(devices, "compiles", lambda kind: True)
    devices.compiled(len, RunSettings(device="cpu", compile=True))
    assert config.autograd_cache_allow_custom_autograd_functions
