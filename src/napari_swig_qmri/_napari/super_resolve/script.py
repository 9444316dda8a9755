"""Super-resolve the layers of a viewer from a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_swig_qmri._napari.parts.appearance import unwrapped
from napari_swig_qmri._napari.parts.viewer_layers import add_results, proposed_guides, proposed_maps, sequence_of
from napari_swig_qmri._napari.result_layers import result_layers
from napari_swig_qmri._napari.super_resolve.inputs import GuideChoice, MapChoice
from napari_swig_qmri._napari.super_resolve.snapshot import Snapshot, SuperResolveInputs
from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.progress import Progress


def super_resolve_layers(
    viewer: ViewerModel,
    options: Options = Options(),
    *,
    maps: Mapping[str, Image] | None = None,
    guides: Sequence[Image | tuple[Image, SignalModel]] | None = None,
    mask: Layer | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> list[Layer]:
    """Super-resolve maps that are layers of a viewer, and add the results as layers.

    Maps and guides are by default those that the Super-resolve dock proposes: the measured PD, T1 and T2 maps with
    the largest voxels, and up to five measured weighted images.

    Parameters
    ----------
    viewer
        Viewer, or `ViewerModel` without a window.
    options
        Options of the run.
    maps
        Layers of the LR maps by quantity: ``"PD"``, ``"T1"``, ``"T2"``. Layers of T1 and T2 from this plugin show ms,
        which the run takes into account.
    guides
        Layers of weighted images with sidecars, or pairs of a layer and its sequence.
    mask
        Layer on any grid, which its place in the viewer brings to the HR grid. The maps are 0 where it is 0.
    progress
        Called with the `Progress` of the run after every step.

    Returns
    -------
    list of Layer
        The new layers, from the bottom to the top: residuals and conflict (hidden), then the SR maps.

    Raises
    ------
    ValueError
        If the viewer has no maps, or an input cannot be used, with one sentence that says why and what to do.
    TypeError
        If maps or guides are no image layers.

    Examples
    --------
    >>> from napari.components import ViewerModel
    >>> from napari_swig_qmri import Options, make_phantom, degrade, super_resolve_layers, to_layer_data
    >>> from napari_swig_qmri.data.interpretation import map_volumes
    >>> from napari.layers import Layer
    >>> maps, _ = degrade(make_phantom(4.0, extent=((-40, 40), (-48, 48), (0, 32))).maps, 2)
    >>> viewer = ViewerModel()
    >>> for volume in map_volumes(maps, "LR"):
    ...     _ = viewer.add_layer(Layer.create(*to_layer_data(volume)))
    >>> [layer.name for layer in super_resolve_layers(viewer, Options(method="regression", voxel_size=4.0))][-3:]
    ['PD SR', 'T1 SR (ms)', 'T2 SR (ms)']
    """
    from napari_swig_qmri.super_resolution.pipeline import super_resolve  # loads torch

    maps = proposed_maps(viewer) if maps is None else maps
    guides = proposed_guides(viewer) if guides is None else guides
    _check_layers(maps, guides)
    inputs = SuperResolveInputs(
        maps={name: MapChoice(layer) for name, layer in maps.items()},
        guides=tuple(_guide_choice(guide) for guide in guides),
        options=options,
        mask=mask,
    )
    snapshot = Snapshot.of(inputs)
    result = super_resolve(*snapshot.arguments(), mask=snapshot.mask_volume(), progress=progress)
    return add_results(viewer, result_layers(result, snapshot.frame, snapshot.origin))


def _check_layers(maps: Mapping[str, Any], guides: Sequence[Any]) -> None:
    """Refuse names of other quantities, and what is no layer of an image."""
    if not maps:
        raise ValueError("the viewer has no measured PD, T1 or T2 map: open one, or name its layer in `maps`.")
    if unknown := [name for name in maps if name not in QUANTITIES]:
        raise ValueError(
            f"maps are named {joined(QUANTITIES, 'or')}, but {unknown[0]!r} came: name the quantity. A layer of "
            "rates is converted to times."
        )
    layers = [*maps.values(), *(guide[0] if isinstance(guide, tuple) else guide for guide in guides)]
    if others := [layer for layer in layers if not isinstance(unwrapped(layer), Image)]:
        raise TypeError(
            f"maps and guides are image layers of the viewer, but {others[0]!r} came: pass viewer.layers['name']."
        )


def _guide_choice(guide: Any) -> GuideChoice:
    return GuideChoice(*guide) if isinstance(guide, tuple) else GuideChoice(guide, sequence_of(guide)[0])
