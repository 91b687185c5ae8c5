"""In what precision networks are computed."""

import pytest
import torch

from dfnas import models
from dfnas.errors import UserError
from dfnas.profiles import RunSettings
from dfnas.runtime import devices

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
    with pytest.raises(UserError, match="no precision 'int8'"):
        devices.bf16(RunSettings(precision="int8"))


def test_no_cpu_runs_in_bf16_that_does_not_multiply_in_it(monkeypatch: pytest.MonkeyPatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert not devices.bf16(AUTO, models.build("resnet20", 10, 3))
