"""Small volumes and a stand-in for the engine, shared by the widget tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_swig_qmri._napari.layers import to_layer_data
from napari_swig_qmri.data.coercion import GuideLike, MapsLike, guides_from, maps_from
from napari_swig_qmri.data.interpretation import as_maps
from napari_swig_qmri.data.provenance import generated_by
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid, WeightedImage
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.results import SuperResolution, Verdict

HR = VoxelGrid((12, 14, 10), np.diag([1.0, 1.0, 1.0, 1.0]))
LR = HR.with_shape((6, 7, 5))
MEDIANS = {"PDmap": 0.8, "T1map": 1.2, "T2map": 0.08}
SIDECARS = {
    "T1w": {"EchoTime": 0.012, "RepetitionTime": 0.6, "PulseSequenceType": "Spin echo"},
    "T2w": {
        "EchoTime": 0.09,
        "RepetitionTime": 5.0,
        "PulseSequenceType": "TSE",
        "EchoTrainLength": 16,
        "EchoSpacing": 0.01,
    },
}


def make_map(suffix: str, grid: VoxelGrid = LR, **more: Any) -> Volume:
    """A map with values spread around those of tissue."""
    spread = np.random.default_rng(len(suffix)).uniform(0.8, 1.2, grid.shape)
    data = (MEDIANS[suffix] * spread).astype(np.float32)
    unit = "arbitrary" if suffix == "PDmap" else "s"
    return Volume(**{"name": f"sub-01 {suffix}", "unit": unit, "data": data} | more, grid=grid, suffix=suffix)


def make_guide(suffix: str, **more: Any) -> Volume:
    """A weighted image in scanner units with its sidecar."""
    data = np.random.default_rng(1).uniform(100, 900, HR.shape).astype(np.float32)
    return Volume(
        **{"name": f"sub-01 {suffix}", "sidecar": SIDECARS.get(suffix, {})} | more,
        data=data,
        grid=HR,
        suffix=suffix,
    )


def layers_of(*volumes: Volume) -> list[Image]:
    """Layers of volumes as the reader makes them."""
    return [Layer.create(*to_layer_data(volume)) for volume in volumes]


def add(viewer: ViewerModel, *volumes: Volume) -> list[Image]:
    """Add volumes as the reader would."""
    return [viewer.add_layer(layer) for layer in layers_of(*volumes)]


def case() -> list[Volume]:
    """Three LR maps and two guides."""
    return [*(make_map(suffix) for suffix in MEDIANS), make_guide("T1w"), make_guide("T2w")]


def add_case(viewer: ViewerModel) -> list[Image]:
    """Add three LR maps and two guides."""
    return add(viewer, *case())


@dataclass
class FakeEngine:
    """Engine that only enlarges the maps; it counts its calls and can be told to fail or to hang."""

    error: Exception | None = None
    n_steps: int = 3
    pause: float = 0.002  # s per step
    problems: tuple[str, ...] = ()
    preflights: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    errors: tuple[float, float] = (0.9, 0.8)  # cross-scale, before and after adapting
    verdict: Verdict = field(default_factory=Verdict)
    closed: threading.Event = field(default_factory=threading.Event)

    def preflight(self, maps: MapsLike, guides: Sequence[GuideLike], options: Options, *, mask: Any = None) -> Any:
        maps, guides = maps_from(maps)[0], guides_from(guides)
        self.preflights.append({"maps": maps, "guides": guides, "mask": mask, **vars(options)})
        plan = FakePlan(maps, guides, options, mask)
        return FakePreflight(("Maps 2 mm become 1 mm.",), self.problems, 4.2, 600_000_000, plan)

    def super_resolve(
        self, maps: Any, guides: Sequence[GuideLike] = (), options: Options | None = None, *, mask: Any = None
    ) -> Generator[Progress, None, SuperResolution]:
        is_planned = isinstance(maps, FakePlan)
        plan = maps if is_planned else FakePlan(maps_from(maps)[0], guides_from(guides), options or Options(), mask)
        maps, guides, options = plan.maps, plan.guides, plan.options
        self.runs.append({**vars(plan), "is_planned": is_planned, **vars(options)})
        try:
            for step in range(self.n_steps):
                time.sleep(self.pause)
                yield Progress(step / self.n_steps, "Refining", 1.5)
                if self.error and step == 1:
                    raise self.error
        finally:
            self.closed.set()
        weights, adapted = options.weights, dict(zip(("error_before", "error_after"), self.errors, strict=True))
        return fake_result(
            maps,
            guides,
            self.verdict,
            method=options.method,
            weights=weights and {"name": weights, "sha256": "0123456789abcdef"},
            adapted=adapted if options.adapt else None,
        )


@dataclass(frozen=True)
class FakePlan:
    maps: QuantitativeMaps
    guides: Sequence[WeightedImage]
    options: Options
    mask: Any


@dataclass(frozen=True)
class FakePreflight:
    statements: tuple[str, ...]
    problems: tuple[str, ...]
    seconds: float
    memory: int
    plan: Any = None
    sharpness: Any = field(default_factory=dict)


def fake_result(
    maps: QuantitativeMaps, guides: Sequence[WeightedImage], verdict: Verdict | None = None, **parameters: Any
) -> SuperResolution:
    """Result with every part filled: enlarged maps, and half the guide as what was synthesised."""
    grid = guides[0].grid if guides else maps.grid
    factors = [n // m for n, m in zip(grid.shape, maps.grid.shape, strict=True)]
    fine = np.stack([np.kron(values, np.ones(factors, np.float32)) for values in maps.data])
    return SuperResolution(
        maps=QuantitativeMaps(data=fine, grid=grid, names=maps.names),
        guides=tuple(guides),
        synthesised=tuple(replace(guide, data=guide.data / 2) for guide in guides),
        lr_residual=QuantitativeMaps(data=0.01 * maps.data, grid=maps.grid, names=maps.names),
        lr_maps=maps,
        gains=tuple(800.0 for _ in guides),
        verdict=verdict or Verdict(),
        notices=("Nothing was computed: this is a stand-in.",),
        parameters={"method": "fake"} | parameters,
    )


def lr_maps() -> QuantitativeMaps:
    return as_maps([make_map(suffix) for suffix in MEDIANS])


def lr_sr_and_a_guide() -> ViewerModel:
    """A viewer with LR maps, maps of a run and a T1w image."""
    viewer = ViewerModel()
    add(viewer, *[make_map(suffix) for suffix in MEDIANS])
    made = {"GeneratedBy": [generated_by()], "Parameters": {}}
    add(viewer, *[make_map(suffix, HR, sidecar=made, name=f"{suffix} SR") for suffix in MEDIANS])
    add(viewer, make_guide("T1w"))
    return viewer
