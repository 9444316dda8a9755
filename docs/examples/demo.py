"""Scan a simulated head, super-resolve it, score the result, and show it in napari.

    python docs/examples/demo.py [--output out/demo] [--voxel-size 1] [--no-wait]

Writes the super-resolved maps as NIfTI, the scores as text, a picture of guides, maps and differences, and a screenshot
of the window. With a display, the window stays open until you close it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import napari
import numpy as np
from demo_picture import LOWEST_PD, Case, picture
from qtpy.QtWidgets import QApplication
from scipy.ndimage import correlate1d

from napari_swig_qmri import (
    Mprage,
    Phantom,
    Progress,
    QuantitativeMaps,
    T2Flair,
    TurboSpinEcho,
    degrade,
    evaluate,
    show_radiologically,
    super_resolve,
    tissue_errors,
)
from napari_swig_qmri._napari.layers import to_layers
from napari_swig_qmri.data.interpretation import map_volumes
from napari_swig_qmri.data.resampling import interpolated as interpolated_to
from napari_swig_qmri.simulation.degradation import ECHO_TIME, SATURATION_TIME
from napari_swig_qmri.simulation.textured_head import make_textured_head

SEED = 0  # of the head and of the noise
EXTENT = ((-84, 84), (-124, 92), (-16, 84))  # mm
SHOWN_HEIGHT = 8.5  # mm: caudate, putamen, thalamus, ventricles and insula
FACTOR = 2  # LR voxel edge in HR voxels
NOISE = 0.02  # relative, of LR maps and guides
FILTER = (0.06, 0.88, 0.06)  # of the measured maps that are shown; keeps 76 % of the highest frequency
PROTOCOL = {  # s and rad
    "T1w": Mprage(repetition_time=2.3, inversion_time=0.9, echo_time=0.003, flip_angle=np.radians(9)),
    "T2w": TurboSpinEcho(repetition_time=5.0, echo_time=0.09),
    "FLAIR": T2Flair(repetition_time=9.0, echo_time=0.12, inversion_time=2.5),
}
FIELD = {"MagneticFieldStrength": 3.0}  # T; sets the range in which T1 and T2 are shown
PD_LIMITS = (0.5, 0.95)
ROWS = ("LR", "SR", "truth")
COLUMNS = ("PD", "T1", "T2")


def main(folder: Path, voxel_size: float, wait: bool) -> None:
    """Run everything and write into `folder`."""
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    say(start, f"making a head of {voxel_size:g} mm voxels")
    head = make_textured_head(voxel_size, extent=EXTENT, seed=SEED)
    lr_maps, guides = degrade(
        head.maps,
        FACTOR,
        PROTOCOL,
        map_noise=NOISE,
        guide_noise=NOISE,
        gains=(812, 95, 400),
        domain="signals",
        generator=np.random.default_rng(SEED),
    )
    lr, hr = (f"{grid.voxel_size[0]:g} mm" for grid in (lr_maps.grid, head.maps.grid))
    say(start, f"super-resolving maps of {lr_maps.grid.shape} voxels of {lr} with T1w, T2w and FLAIR of {hr}")
    result = super_resolve(lr_maps, guides, progress=reporter(start))
    say(start, f"verdict: {result.verdict}")
    say(start, "scoring")
    table, similarities = scores(interpolated_signals(lr_maps, head.maps), result.maps, head)
    print(f"\n{table}\n")
    (folder / "scores.txt").write_text(table + "\n")
    files = result.save(folder / "maps", overwrite=True)
    say(start, f"{len(files)} files written to {folder / 'maps'}")
    case = Case(
        truth=head.maps,
        lr_maps=interpolated_signals(lr_maps, head.maps, FILTER),
        sr_maps=result.maps,
        guides=guides,
        lr_voxel=lr_maps.grid.voxel_size[0],
        seed=SEED,
        table=similarities,
    )
    picture(case, SHOWN_HEIGHT).quantize(256).save(folder / "demo.png", optimize=True)
    say(start, f"picture written to {folder / 'demo.png'}")
    viewer = show(lr_maps, result.maps, head.maps)
    take_picture(viewer, folder / "window.png")
    say(start, f"picture of the window written to {folder / 'window.png'}")
    if wait and not is_virtual_screen():
        napari.run()
    viewer.close()


def interpolated_signals(
    maps: QuantitativeMaps, like: QuantitativeMaps, weights: Sequence[float] = (1,)
) -> QuantitativeMaps:
    """Return maps at the voxels of others, fitted to interpolated signals as on a scanner.

    The signals are PD, PD exp(-TR/T1) and PD exp(-TE/T2). `weights` are those of a filter over neighbouring voxels,
    with which scanners reduce ringing. Maps without it are the closest to the truth, closer than interpolated maps.
    """
    pd, t1, t2 = (np.maximum(values, low) for values, low in zip(maps.data, (0, 1e-3, 1e-3), strict=True))
    signals = np.stack([pd, pd * np.exp(-SATURATION_TIME / t1), pd * np.exp(-ECHO_TIME / t2)])
    for axis in (1, 2, 3):
        signals = correlate1d(signals, weights, axis, mode="nearest")
    signals = interpolated_to(QuantitativeMaps(data=signals, grid=maps.grid), like.grid).data
    decays = np.clip(signals[1:] / np.maximum(signals[0], 1e-4), 1e-6, 1 - 1e-6)
    data = np.stack([signals[0], -SATURATION_TIME / np.log(decays[0]), -ECHO_TIME / np.log(decays[1])])
    return QuantitativeMaps(data=data, grid=like.grid)


def say(start: float, text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"[{time.perf_counter() - start:5.1f} s] {text}", flush=True)


def reporter(start: float) -> Callable[[Progress], None]:
    """Return a function that prints a line for every new stage of a run."""
    stages = []

    def report(progress: Progress) -> None:
        if progress.stage not in stages:
            stages.append(progress.stage)
            say(start, f"  {progress.fraction:4.0%} {progress.stage}")

    return report


def scores(
    interpolated: QuantitativeMaps, sr_maps: QuantitativeMaps, head: Phantom
) -> tuple[str, list[tuple[str, ...]]]:
    """Return tables that compare interpolation and super-resolution with the truth: as text, and of SSIM alone."""
    rows = {"interpolated": interpolated, "super-resolved": sr_maps}
    images = {name: evaluate(maps, head.maps, head.mask) for name, maps in rows.items()}
    tissues = {name: tissue_errors(maps, head.maps, head.mask, head.tissues) for name, maps in rows.items()}
    classes = list(head.tissues)
    lines = [f"{'':20}{'SSIM':>7}{'HFEN':>7}   median error in %: " + "".join(f"{c:>9}" for c in classes)]
    for quantity in COLUMNS:
        for name in rows:
            score, errors = images[name][quantity], tissues[name][quantity]
            medians = "".join(f"{errors[tissue].median_ape:9.2f}" for tissue in classes)
            lines.append(f"{quantity:3} {name:16}{score.ssim:7.4f}{score.hfen:7.3f}{'':22}{medians}")
    lines.append("SSIM and HFEN per axial slice over the brain, clipped to PD 1.2, T1 4 s, T2 0.3 s.")
    similarities = [("", "measured", "super-resolved", "")]
    for quantity in COLUMNS:
        before, after = (images[name][quantity].ssim for name in rows)
        similarities.append((quantity, f"{before:.3f}", f"{after:.3f}", ""))
    return "\n".join(lines), similarities


def where_signal_is(maps: QuantitativeMaps) -> QuantitativeMaps:
    """Return maps whose T1 and T2 are 0 where PD is low, in air and compact bone."""
    has_signal = maps["PD"] > LOWEST_PD
    data = [values if name == "PD" else values * has_signal for name, values in zip(maps.names, maps.data, strict=True)]
    return replace(maps, data=np.stack(data))


def show(lr_maps: QuantitativeMaps, sr_maps: QuantitativeMaps, truth: QuantitativeMaps) -> napari.Viewer:
    """Open a window with a grid of maps: a row per resolution, a column per quantity."""
    viewer = napari.Viewer(title="napari-swig-qmri: super-resolution of the digital head")
    cells = {}
    for row, maps in zip(ROWS, (lr_maps, sr_maps, truth), strict=True):
        layers = to_layers(map_volumes(where_signal_is(maps), row, FIELD))
        for quantity, layer in zip(maps.names, layers, strict=True):
            cells[row, quantity] = layer
    for row in ROWS:
        for quantity in COLUMNS:
            data, attributes, _ = cells[row, quantity]
            like = cells["truth", quantity][1]
            attributes |= {key: like[key] for key in ("contrast_limits", "colormap")}
            layer = viewer.add_image(data, **attributes)
            layer.name_overlay.visible = True
            layer.colorbar.visible = row == "truth"
            layer.colorbar.position, layer.colorbar.size = "bottom_left", (12, 110)
            layer.colorbar.font_size = 8
            if quantity == "PD":
                layer.contrast_limits = PD_LIMITS
    arrange(viewer)
    return viewer


def arrange(viewer: napari.Viewer) -> None:
    """Lay the layers out three by three, in the radiological view, with names and a scale bar."""
    viewer.canvas.grid.enabled = True
    viewer.canvas.grid.shape = (len(ROWS), len(COLUMNS))
    viewer.canvas.overlays["scale_bar"].visible = True
    show_radiologically(viewer)
    viewer.dims.set_point(0, SHOWN_HEIGHT)
    viewer.layers.selection.active = viewer.layers["T1 SR (ms)"]


def take_picture(viewer: napari.Viewer, path: Path) -> None:
    """Save the whole window once it has been drawn."""
    viewer.window.resize(1500, 1150)
    for _ in range(20):
        QApplication.processEvents()
        time.sleep(0.02)
    viewer.reset_view()
    for _ in range(10):
        QApplication.processEvents()
        time.sleep(0.02)
    viewer.screenshot(str(path), canvas_only=False, flash=False)


def is_virtual_screen() -> bool:
    """Return whether the display is a virtual one, made by xvfb-run."""
    return "xvfb-run" in os.environ.get("XAUTHORITY", "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out/demo"))
    parser.add_argument("--voxel-size", type=float, default=1.0, help="of the head, in mm")
    parser.add_argument("--no-wait", action="store_true", help="close the window at once")
    options = parser.parse_args()
    main(options.output, options.voxel_size, wait=not options.no_wait)
