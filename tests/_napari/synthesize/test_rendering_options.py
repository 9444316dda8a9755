"""Options of a contrast: transmit field, noise, sign and partial-volume marks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from pytestqt.qtbot import QtBot
from transmit_cases import field_map
from widget_cases import HR, MEDIANS, add, make_map

from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.parts.viewer_layers import mask_layers
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.synthesize.rendering_options import RenderingEditor
from napari_swig_qmri._napari.synthesize.side_by_side import PAIR_STRIDE
from napari_swig_qmri._napari.writer import write_layer
from napari_swig_qmri.data.storage.files import read_volume
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.physics.signal_models import InversionRecovery, Mp2rageUni, T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.partial_volume import PARTIAL_VOLUME_CAVEAT, LazyPartialVolume
from napari_swig_qmri.synthesis.rendering import Rendering
from napari_swig_qmri.synthesis.sheets import FLAIR_CAVEAT

NOISY = Rendering(snr=25, seed=7)


def marks_in(viewer: ViewerModel) -> list[Labels]:
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def test_value_is_what_was_set_and_the_title_names_the_options(qtbot: QtBot) -> None:
    editor = RenderingEditor()
    qtbot.addWidget(editor)
    assert (editor.value(), editor.summary()) == (Rendering(), "Options")
    for rendering, title in (
        (Rendering(transmit_field=0.85), "Options: B1+ 85 %"),
        (Rendering(snr=12.5, noise_reference="proton density", seed=42, sign="signed"), "Options: SNR 12.5, signed"),
        (Rendering(), "Options"),
    ):
        editor.set_value(rendering)
        assert editor.value() == rendering
        assert editor.summary() == title


@pytest.mark.slow
def test_live_layers_follow_the_options_and_record_them(lr_widget: SynthesizeWidget, qtbot: QtBot) -> None:
    lr_widget.rendering.set_value(Rendering(transmit_field=0.8))
    (layer,) = lr_widget.run()
    assert layer.data.rendering.transmit_field == 0.8
    lr_widget.rendering.set_value(Rendering())
    qtbot.waitUntil(lambda: layer.data.rendering == Rendering())
    clean = np.asarray(layer.data)
    lr_widget.rendering.set_value(NOISY)
    qtbot.waitUntil(lambda: layer.data.rendering == NOISY)
    noisy = np.asarray(layer.data)
    assert 0 < np.abs(noisy - clean).mean() < 3 * layer.data.noise_deviation
    np.testing.assert_array_equal(noisy[1], layer.data.with_sequence(layer.data.sequence)[1])
    assert Rendering.from_sidecar(from_layer(*layer.as_layer_data_tuple()[:2]).sidecar) == NOISY
    lr_widget.editor.set_value(Mp2rageUni.from_typical())
    assert "no noise can be added" in lr_widget.rendering.problem_label.text()
    assert not lr_widget.add_button.enabled
    qtbot.waitUntil(lambda: "were not changed" in lr_widget.status.text())
    assert layer.data.rendering == NOISY
    lr_widget.rendering.set_value(Rendering())
    assert lr_widget.rendering.problem_label.isHidden()
    assert lr_widget.add_button.enabled
    qtbot.waitUntil(lambda: "The sliders change" in lr_widget.status.text())


@pytest.mark.slow
def test_signed_images_have_negative_limits(lr_widget: SynthesizeWidget, qtbot: QtBot) -> None:
    lr_widget.editor.set_value(InversionRecovery.from_typical())
    (layer,) = lr_widget.run()
    assert layer.contrast_limits[0] == 0
    lr_widget.rendering.set_value(Rendering(sign="signed"))
    qtbot.waitUntil(lambda: layer.contrast_limits[0] < 0)


@pytest.mark.slow
def test_flip_angles_in_degrees_are_not_offered_as_a_b1_map(lr_widget: SynthesizeWidget) -> None:
    viewer, rendering = lr_widget._viewer, lr_widget.rendering
    (layer,) = add(viewer, Volume(data=np.full(HR.shape, 60, np.float32), grid=HR, name="sub-01 TB1TFL"))
    assert len(rendering.map_box) == 1  # none
    assert rendering.map_note.text().startswith("sub-01 TB1TFL")
    assert "divide it by the nominal flip angle" in rendering.map_note.text()
    viewer.layers.remove(layer)
    add(viewer, field_map(0.9))
    assert len(rendering.map_box) == 2
    assert rendering.map_note.isHidden()


@pytest.mark.slow
def test_an_equation_ignores_the_b1_map(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    layer = widget.run()[0]
    (b1,) = add(viewer, field_map(0.8))
    widget.rendering.map_box.choose(b1)
    qtbot.waitUntil(lambda: layer.data.transmit_field is not None)
    flair = np.asarray(layer.data)
    equation = UserEquation(text="PD * exp(-TE / T2)")
    widget.editor.set_value(equation)
    qtbot.waitUntil(lambda: layer.data.sequence == equation)
    assert "B1+ map is not used" in widget.rendering.problem_label.text()
    assert widget.options.button.text() == "Options"
    np.testing.assert_array_equal(np.asarray(layer.data), np.asarray(layer.data.with_transmit_field(None)))
    assert "Rendering" not in from_layer(*layer.as_layer_data_tuple()[:2]).sidecar
    qtbot.waitUntil(lambda: widget.add_button.enabled)
    widget.editor.set_value(T2Flair.from_typical())
    qtbot.waitUntil(lambda: isinstance(layer.data.sequence, T2Flair))
    np.testing.assert_array_equal(np.asarray(layer.data), flair)
    assert widget.options.button.text() == "Options: B1+ map"


@pytest.mark.slow
def test_marks_share_a_cell_with_their_contrast_and_follow_it(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    live = widget.run()
    widget.rendering.mark.value = True
    assert widget.rendering.caveat.text() == PARTIAL_VOLUME_CAVEAT
    assert [each.name for each in marks_in(viewer)] == [f"Partial volume in {layer.name}" for layer in reversed(live)]
    grid, layers = viewer.canvas.grid, list(viewer.layers)
    assert grid.stride == PAIR_STRIDE
    cells = {layer.name: grid.position(index, layers) for index, layer in enumerate(layers) if layer.visible}
    for layer in live:
        assert cells[layer.name] == cells[f"Partial volume in {layer.name}"]
    assert cells[live[0].name] < cells[live[1].name]
    marks = viewer.layers[f"Partial volume in {live[0].name}"]
    np.testing.assert_allclose((marks.scale, marks.translate), (live[0].scale, live[0].translate))
    assert not marks.editable
    widget.editor.parameter_boxes()["echo_time"].value = 80
    qtbot.waitUntil(lambda: marks.data.sequence.echo_time == pytest.approx(0.08))
    viewer.layers.remove(live[0])
    (other,) = marks_in(viewer)
    new = widget.run()
    assert other in viewer.layers  # marks stay with their contrast
    assert len(marks_in(viewer)) == 3
    widget.rendering.mark.value = False
    assert marks_in(viewer) == [other]
    assert grid.stride == 1
    assert [layer for layer in viewer.layers if layer.visible] == new


@pytest.mark.slow
def test_a_marked_flair_has_both_caveats_and_marks_voxels_next_to_fluid(qtbot: QtBot) -> None:
    tissues = np.array([(0.69, 0.939, 0.062), (0.81, 1.31, 0.071), (1.0, 4.163, 1.4)])  # white, grey, fluid at 3 T
    layered = np.repeat(tissues, 4, axis=0).T[..., None, None] * np.ones((1, *HR.shape))
    viewer = ViewerModel()
    add(viewer, *[make_map(suffix, HR, data=data) for suffix, data in zip(MEDIANS, layered, strict=True)])
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.side_by_side.value = False
    (live,) = widget.run()
    widget.rendering.mark.value = True
    assert (widget.caveat.toolTip(), widget.rendering.caveat.text()) == (FLAIR_CAVEAT, PARTIAL_VOLUME_CAVEAT)
    assert (widget.caveat.isHidden(), widget.rendering.caveat.isHidden()) == (False, False)
    marks = viewer.layers[f"Partial volume in {live.name}"]
    marked = from_layer(*marks.as_layer_data_tuple()[:2]).data
    assert set(np.flatnonzero(marked.any(axis=(1, 2)))) == {7, 8}  # last of grey matter and first of fluid
    assert not viewer.canvas.grid.enabled
    assert math.isclose(marks.opacity, 0.35)


@pytest.mark.slow
def test_marks_are_not_offered_as_a_mask_and_can_be_saved(lr_widget: SynthesizeWidget, tmp_path: Path) -> None:
    (live,) = lr_widget.run()
    lr_widget.rendering.mark.value = True
    viewer = lr_widget._viewer
    marks = viewer.layers[f"Partial volume in {live.name}"]
    assert isinstance(marks.data, LazyPartialVolume)
    assert marks not in mask_layers(viewer)
    written = write_layer(tmp_path / "marks.nii.gz", *marks.as_layer_data_tuple()[:2])
    saved = read_volume(Path(written[0]))
    assert saved.sidecar["Description"] == PARTIAL_VOLUME_CAVEAT
    assert set(np.unique(saved.data)) <= {0, 1}
    assert saved.grid.shape == from_layer(*live.as_layer_data_tuple()[:2]).grid.shape
