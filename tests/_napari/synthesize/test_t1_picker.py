"""T1 and T2 of a voxel that is clicked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.synthesize.null_panel import NullChoice
from napari_swig_qmri._napari.synthesize.t1_picker import times_at


def click(viewer: ViewerModel, place: Any, cell: Any = (0, 0)) -> None:
    viewer.mouse_drag_callbacks[-1](viewer, SimpleNamespace(position=place, viewbox=cell))


@pytest.mark.slow
def test_the_t1_of_the_clicked_contrast_is_nulled(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    callbacks = list(viewer.mouse_drag_callbacks)
    layers = {layer.name[-3:-1]: layer for layer in widget.add_contrast()}
    place, grid, null = layers["SR"].data_to_world((4, 6, 6)), viewer.canvas.grid, widget.panel.null
    for name in ("SR", "LR"):
        null.pick_button.native.click()
        click(viewer, (-1e4, 0, 0))
        assert "There is no T1 here" in widget.status.text()
        click(viewer, place, grid.position(viewer.layers.index(layers[name]), viewer.layers))
        t1, t2 = times_at([layers[name]], place) or (0, 0)
        assert t1 == layers[name].data.t1[tuple(np.round(layers[name].world_to_data(place)).astype(int))]
        assert null.t1s() == (pytest.approx(t1, abs=5e-5),)  # shown in tenths of ms
        assert null.t2s() == (t2,)
        assert "There is no T1" not in widget.status.text()
        assert not null.pick_button.value
    assert viewer.mouse_drag_callbacks == callbacks
    widget.editor.parameter_boxes()["refocusing_angle"].value = 120
    value: Any = widget.editor.value()
    t1 = null.t1s()[0]
    assert value.inversion_time == pytest.approx(value.nulling_inversion_time(t1, t2))
    assert value.inversion_time != pytest.approx(value.nulling_inversion_time(t1), rel=1e-6)
    grid.enabled = False  # the contrasts overlap: the finer one counts
    null.set_value(NullChoice())
    null.pick_button.native.click()
    click(viewer, place)
    assert null.t1s() == (pytest.approx(float(layers["SR"].data.t1[4, 6, 6]), abs=5e-5),)
