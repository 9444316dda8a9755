"""The network: what it may depend on, how it is kept, and that slabs change nothing."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.network.features import N_FEATURES, N_LEVELS, NetworkInput
from napari_swig_qmri.super_resolution.network.model import (
    FORMAT,
    NetworkConfig,
    SwigNet,
    correct,
    fold,
    undoubted,
    unfold,
)
from napari_swig_qmri.super_resolution.weights import FILE, WEIGHTS, weights_file

SHAPE = (41, 10, 9)  # odd, longer than twice the reach of the small network


def random_network(seed: int = 0) -> SwigNet:
    """A small network whose tail is not zero."""
    torch.manual_seed(seed)
    network = SwigNet(NetworkConfig(width=8, n_blocks=1))
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    return network.eval()


def random_input(seed: int = 0) -> NetworkInput:
    generator = torch.Generator().manual_seed(seed)
    return NetworkInput(
        log_maps=torch.randn(3, *SHAPE, generator=generator),
        volumes=torch.randn(N_FEATURES, *SHAPE, generator=generator),
        levels=torch.randn(N_LEVELS, generator=generator),
        unit=torch.rand(3, *SHAPE, generator=generator),
    )


@pytest.mark.slow
def test_an_untrained_network_corrects_nothing():
    inputs = random_input()
    kept = drained(correct(SwigNet(), inputs, n_planes=8))
    torch.testing.assert_close(kept, inputs.log_maps, rtol=0, atol=0)


def test_corrections_are_in_units_of_the_uncertainty():
    """Twice the standard deviation, twice the change."""
    network, inputs = random_network(), random_input()
    once = drained(correct(network, inputs, n_planes=100)) - inputs.log_maps
    wider = replace(inputs, unit=2 * inputs.unit)
    twice = drained(correct(network, wider, n_planes=100)) - inputs.log_maps
    assert once.abs().max() > 0.1
    torch.testing.assert_close(twice, 2 * once, rtol=1e-4, atol=1e-5)


def test_the_larger_a_correction_the_less_it_is_believed():
    """Half of 0.8 standard deviations: 16/17 at half of that, 1/17 at twice, 1/257 at four times."""
    given = torch.tensor([0.0, 0.4, 0.8, 1.6, 3.2], dtype=torch.float64)
    expected = given * torch.tensor([1, 16 / 17, 1 / 2, 1 / 17, 1 / 257], dtype=torch.float64)
    torch.testing.assert_close(undoubted(given), expected)
    torch.testing.assert_close(undoubted(-given), -undoubted(given))


@pytest.mark.parametrize("n_planes", [1, 14, 19, 24])
def test_slabs_change_nothing(n_planes):
    network, inputs = random_network(), random_input()
    whole = drained(correct(network, inputs, n_planes=1000))
    torch.testing.assert_close(drained(correct(network, inputs, n_planes=n_planes)), whole)


def test_layers_that_process_a_few_planes_at_a_time_change_nothing():
    network, inputs = random_network(), random_input()
    with torch.no_grad():
        output = network(inputs.volumes[None], inputs.levels[None])[0]
    expected = inputs.log_maps + inputs.unit * undoubted(output)
    corrected = drained(correct(network, inputs, n_planes=1000, n_together=6))
    torch.testing.assert_close(corrected, expected)


def test_there_is_a_step_to_cancel_at_after_every_layer():
    fractions = list(correct(random_network(), random_input(), n_planes=1000, n_together=10))
    assert len(fractions) == 2 * 5 + 2  # first and last layer in five parts, and two convolutions
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


class LimitedNetwork(SwigNet):
    """A network that runs out of memory on more than `limit` planes."""

    limit = 0

    def last_layer(self, inner: torch.Tensor) -> torch.Tensor:
        if 2 * inner.shape[2] > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().last_layer(inner)


@pytest.mark.parametrize("limit", [40, 30, 22])
def test_out_of_memory_halves_the_slabs_and_goes_on(limit):
    network, limited = random_network(), LimitedNetwork(NetworkConfig(width=8, n_blocks=1))
    limited.load_state_dict(network.state_dict())
    limited.limit = limit
    inputs = random_input()
    whole = drained(correct(network, inputs, n_planes=1000))
    found = drained(correct(limited.eval(), inputs, n_planes=1000, n_together=1000))
    torch.testing.assert_close(found, whole)


def test_out_of_memory_of_two_planes_is_raised():
    limited = LimitedNetwork(NetworkConfig(width=8, n_blocks=1))
    with pytest.raises(torch.OutOfMemoryError):
        drained(correct(limited, random_input(), n_planes=1000))


def test_a_voxel_depends_on_nothing_beyond_the_reach():
    network, inputs = random_network(), random_input()
    volumes = inputs.volumes[None].requires_grad_()
    centre = 20
    (slope,) = torch.autograd.grad(network(volumes, inputs.levels[None])[..., centre, 4, 4].sum(), volumes)
    reached = slope[0].abs().sum((0, 2, 3)).nonzero().flatten()
    assert centre - network.reach <= reached.min() < centre - network.reach + 2
    assert centre + network.reach - 2 < reached.max() <= centre + network.reach


def test_folding_keeps_every_voxel_and_is_undone():
    x = torch.randn(2, 5, 4, 6, 8)
    assert fold(x).shape == (2, 40, 2, 3, 4)
    torch.testing.assert_close(unfold(fold(x)), x, rtol=0, atol=0)
    torch.testing.assert_close(fold(x)[0, :8, 0, 0, 0], x[0, 0, :2, :2, :2].flatten(), rtol=0, atol=0)


def test_weights_come_back_as_they_were(tmp_path):
    """But for the digits that float16 has not."""
    network, inputs = random_network(), random_input()
    network.save(tmp_path / "net.safetensors", {"steps": 3})
    again = SwigNet.from_pretrained(tmp_path / "net.safetensors")
    assert again.config == network.config
    inputs = inputs.volumes[None], inputs.levels[None]
    torch.testing.assert_close(again(*inputs), network.half().float()(*inputs), rtol=0, atol=0)
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_other_files_are_refused_with_a_sentence(tmp_path):
    path = tmp_path / "net.safetensors"
    random_network().save(path, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="no complete safetensors file"):
        SwigNet.from_pretrained(path)
    path.write_bytes(b"PK\x03\x04 a pickle, perhaps")
    with pytest.raises(ValueError, match="no complete safetensors file"):
        SwigNet.from_pretrained(path)
    save_file({"head": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="holds no weights of a SWIG network"):
        SwigNet.from_pretrained(path)
    save_file({"head": torch.zeros(2)}, path, {"format": FORMAT, "network": '{"width": 8, "n_blocks": 1}'})
    with pytest.raises(ValueError, match="do not fit the network"):
        SwigNet.from_pretrained(path)
    with pytest.raises(FileNotFoundError, match="there are no weights"):
        SwigNet.from_pretrained(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ('{"width": 1000, "n_blocks": 3}', "do not fit the network"),
        ('{"width": 48, "n_blocks": 1000000000}', "does not describe its network"),
        ('{"width": 8, "n_blocks": 200}', "do not fit the network"),
        ('{"width": 4.5, "n_blocks": 1}', "does not describe its network"),
        ('{"width": -4, "n_blocks": 1}', "does not describe its network"),
        ('{"wide": 4}', "does not describe its network"),
        ('{"width": ' + "9" * 5000 + "}", "does not describe its network"),
        ("[" * 100_000, "does not describe its network"),
        ("[8, 1]", "does not describe its network"),
        ("no JSON", "does not describe its network"),
        (None, "does not describe its network"),
    ],
)
def test_what_a_file_says_of_its_network_is_checked_before_anything_is_built(tmp_path, network, sentence):
    path = tmp_path / "net.safetensors"
    tensors = {name: tensor.half().contiguous() for name, tensor in random_network().state_dict().items()}
    save_file(tensors, path, {"format": FORMAT} | ({} if network is None else {"network": network}))
    started = time.process_time()
    with pytest.raises(ValueError, match=sentence):
        SwigNet.from_pretrained(path)
    assert time.process_time() - started < 1


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    network = random_network()
    torch.nn.init.constant_(network.tail.bias, torch.nan)
    network.save(tmp_path / "net.safetensors", {})
    with pytest.raises(ValueError, match="weights that are no finite numbers"):
        SwigNet.from_pretrained(tmp_path / "net.safetensors")


def test_weights_come_from_the_hub_by_the_name_of_a_repository(monkeypatch, tmp_path):
    random_network().save(tmp_path / FILE, {})
    asked = []

    def download(repository, name):
        asked.append((repository, name))
        return str(tmp_path / name)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    assert SwigNet.from_pretrained("hub:someone/theirs").config == random_network().config
    assert asked == [("someone/theirs", FILE)]
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed
    with pytest.raises(ValueError, match=r"install napari-swig-qmri\[hub\], or name a file"):
        SwigNet.from_pretrained("hub:someone/theirs")


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_weights_of_the_package_are_small_and_of_the_usual_network(name):
    assert weights_file(name).stat().st_size < 2 * 2**20  # 4 MiB for both
    assert SwigNet.from_pretrained(name).config == NetworkConfig()
