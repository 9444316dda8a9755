"""Laws of every sequence: Bloch's equations, transmit field, T2*, gradients, precision and shapes."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import bloch
import numpy as np
import pytest
import torch
from signal_cases import (
    ALL,
    IN_FIELDS,
    LOW,
    LOW_ANGLES,
    PROTOCOLS,
    TISSUES,
    TRAINS,
    UNIFORM,
    bloch_signal,
    crushed_signal,
    name_of,
    tissue_tensors,
)

from napari_swig_qmri.physics.quantities import T1, T2
from napari_swig_qmri.physics.signal_models import SEQUENCES, Mp2rageUni, SignalModel

models = pytest.mark.parametrize("model", ALL + LOW, ids=name_of)


@pytest.mark.parametrize(("model", "sequence"), PROTOCOLS + TRAINS, ids=name_of)
def test_equation_is_the_bloch_steady_state(model: SignalModel, sequence: Callable[..., Any]) -> None:
    # equations are exact, except that trains neglect Mz = (ESP / 2 T1)^2 after an odd number of pulses, 2e-4 in fat
    tolerance = 5e-5 if hasattr(model, "echo_train_length") else 1e-6
    np.testing.assert_allclose(model(*tissue_tensors()).numpy(), bloch_signal(model, sequence), atol=tolerance)


@pytest.mark.parametrize(("model", "field"), [(UNIFORM[0], 1.0), (UNIFORM[1], 1.0), (UNIFORM[1], 0.8)], ids=name_of)
def test_uniform_image_combines_both_bloch_blocks(model: Mp2rageUni, field: float) -> None:
    _, t1, t2 = TISSUES.T
    first, second = bloch.steady(bloch.Spins(t1, t2), bloch.mp2rage(model, field))
    uniform = model.signed(*tissue_tensors(), transmit_field=field).numpy()
    np.testing.assert_allclose(uniform, first * second / (first**2 + second**2), atol=1e-6)


@pytest.mark.parametrize(("model", "sequence"), LOW_ANGLES, ids=name_of)
def test_low_refocusing_angles_are_the_steady_state_of_crushed_isochromats(
    model: SignalModel, sequence: Callable[..., Any]
) -> None:
    # 1e-4: error of the table of longitudinal magnetisation, reduced by the decay until the next excitation
    signal = model.signed(*tissue_tensors()).numpy()
    np.testing.assert_allclose(signal, crushed_signal(model, sequence), atol=1e-4)


@pytest.mark.parametrize("field", [0.7, 1.2])
@pytest.mark.parametrize(("model", "sequence"), IN_FIELDS, ids=name_of)
def test_transmit_field_scales_excitation_and_refocusing(
    model: SignalModel, sequence: Callable[..., Any], field: float
) -> None:
    # 1e-4 as for low refocusing angles; gradient echoes and single echoes are exact
    signal = model.signed(*tissue_tensors(), transmit_field=field).numpy()
    expected = crushed_signal(model, sequence, field)
    sign = np.sign(expected) if not model.is_signed and model.is_gradient_echo else 1
    np.testing.assert_allclose(signal * sign, expected * sign, atol=1e-4 if hasattr(model, "echo_spacing") else 1e-6)


def test_every_sequence_is_compared_with_bloch_with_and_without_a_field() -> None:
    for cases in (PROTOCOLS + TRAINS, IN_FIELDS):
        assert {type(model) for model, _ in cases} | {Mp2rageUni} == set(SEQUENCES.values())


@pytest.mark.parametrize("model", ALL, ids=name_of)
def test_a_nominal_transmit_field_changes_nothing(model: SignalModel) -> None:
    plain, nearly = (model.signed(*tissue_tensors(), transmit_field=field) for field in (1.0, 1 + 1e-9))
    # 3e-4: the short spin echo neglects the time to refocusing, and trains of 180 degrees (ESP / 2 T1)^2
    torch.testing.assert_close(plain, nearly, atol=3e-4, rtol=0)
    assert torch.equal(plain if model.is_signed else plain.abs(), model(*tissue_tensors()))


@pytest.mark.parametrize("model", [each for each in ALL if each.is_gradient_echo], ids=name_of)
def test_a_field_is_the_sequence_with_scaled_flip_angles(model: SignalModel) -> None:
    in_field = model.signed(*tissue_tensors(), transmit_field=0.9)
    torch.testing.assert_close(in_field, model.in_field(0.9).signed(*tissue_tensors()))


def test_t2star_acts_in_gradient_echoes_only() -> None:
    maps = [torch.tensor(x, dtype=torch.float64) for x in (0.8, 1.2, 0.08)]
    t2star = torch.tensor(0.04, dtype=torch.float64)
    for model in ALL:
        ratio = (model(*maps, t2star) / model(*maps)).item()
        faster = model.is_gradient_echo and model.is_scaled_by_pd
        loss = model.echo_time * (1 / 0.04 - 1 / 0.08) if faster else 0.0
        assert ratio == pytest.approx(math.exp(-loss))


def test_only_signed_sequences_are_negative() -> None:
    t1 = torch.logspace(-1.5, 0.8, 100, dtype=torch.float64)
    for model in ALL:
        assert (model(torch.ones(()), t1, torch.ones(())).min() < 0) == model.is_signed


@models
def test_gradient_is_that_of_finite_differences(model: SignalModel) -> None:
    maps = tuple(column[[0, 2, 4]].clone().requires_grad_() for column in tissue_tensors())
    t2star = (0.6 * maps[2].detach()).requires_grad_()
    assert torch.autograd.gradcheck(model, (*maps, t2star))


@models
def test_background_and_bounds_have_finite_values_and_gradients(model: SignalModel) -> None:
    t1, t2 = torch.meshgrid(torch.tensor(T1.bounds), torch.tensor(T2.bounds), indexing="ij")
    maps = [each.flatten().requires_grad_() for each in (torch.zeros(2, 2), t1, t2)]
    signal = model(*maps)
    assert all(torch.isfinite(each).all() for each in (signal, *torch.autograd.grad(signal.sum(), maps)))
    if model.is_scaled_by_pd:
        assert (signal == 0).all()


@pytest.mark.parametrize("model", ALL, ids=name_of)
def test_single_precision_is_enough(model: SignalModel) -> None:
    # 2e-6 of PD: some 20 roundings of 6e-8; the uniform image divides small signals by each other
    single = model(*tissue_tensors(torch.float32))
    tolerance = 2e-6 if model.is_scaled_by_pd else 2e-5
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), model(*tissue_tensors()), atol=tolerance, rtol=0)


def test_maps_broadcast() -> None:
    pd, t1, t2 = torch.rand(2, 1, 4, 5, 6) + 0.1, torch.tensor(0.9), torch.rand(6) + 0.1
    for model in ALL + LOW:
        assert model(pd, t1, t2).shape == (2, 1, 4, 5, 6)


def test_every_setting_has_label_unit_and_range() -> None:
    for sequence in SEQUENCES.values():
        for field in fields(sequence):
            low, high = field.metadata["range"]
            assert field.metadata["label"]
            assert field.metadata["unit"] in ("s", "rad", "1")
            assert low < high


def test_names_on_the_command_line() -> None:
    assert " ".join(SEQUENCES) == "spin-echo tse ir-se psir t2-flair stir dir spgr mprage mp2rage-uni bssfp"


def test_importing_signal_models_loads_no_torch() -> None:
    code = "import sys, napari_swig_qmri.data.recognition.sidecars; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
