"""Degrade the digital head, super-resolve it, score the result, and show it in napari.

    python docs/examples/demo.py [--output out/demo] [--voxel-size 1] [--no-wait]

Writes the super-resolved maps as NIfTI, the scores as text and a screenshot of the window. With a display, the
window stays open until you close it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import torch
from qtpy.QtWidgets import QApplication

from napari_swig_qmri import (
    KSpaceTruncation,
    Phantom,
    Progress,
    QuantitativeMaps,
    degrade,
    evaluate,
    make_phantom,
    super_resolve,
    tissue_errors,
)
from napari_swig_qmri._napari.layers import to_layers
from napari_swig_qmri.data.interpretation import map_volumes

EXTENT = ((-84, 84), (-124, 92), (-16, 84))  # mm
SHOWN_POSITION = (18.0, -14.0, 0.0)  # mm, z y x: ventricles, deep grey matter and lesions
NOISE = 0.01
FIELD = {"MagneticFieldStrength": 3.0}  # T; sets the range in which T1 and T2 are shown
PD_LIMITS = (0.4, 1.05)
ROWS = ("LR", "SR", "truth")
COLUMNS = ("PD", "T1", "T2")


def main(folder: Path, voxel_size: float, wait: bool) -> None:
    """Run everything and write into `folder`."""
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    say(start, f"making a head of {voxel_size:g} mm voxels")
    phantom = make_phantom(voxel_size, extent=EXTENT)
    noise = {"map_noise": NOISE, "guide_noise": NOISE, "generator": np.random.default_rng(0)}
    lr_maps, guides = degrade(phantom.maps, 2, gains=(812, 95, 400), **noise)
    lr, hr = (f"{grid.voxel_size[0]:g} mm" for grid in (lr_maps.grid, phantom.maps.grid))
    say(start, f"super-resolving maps of {lr_maps.grid.shape} voxels of {lr} with T1w, T2w and FLAIR of {hr}")
    result = super_resolve(lr_maps, guides, progress=reporter(start))
    say(start, "scoring")
    table = scores(lr_maps, result.maps, phantom)
    print(f"\n{table}\n")
    (folder / "scores.txt").write_text(table + "\n")
    files = result.save(folder / "maps", overwrite=True)
    say(start, f"{len(files)} files written to {folder / 'maps'}")
    viewer = show(lr_maps, result.maps, phantom.maps)
    take_picture(viewer, folder / "demo.png")
    say(start, f"picture of the window written to {folder / 'demo.png'}")
    if wait and not is_virtual_screen():
        napari.run()
    viewer.close()


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


def scores(lr_maps: QuantitativeMaps, sr_maps: QuantitativeMaps, phantom: Phantom) -> str:
    """Return a table that compares zero filling and super-resolution with the truth, map by map."""
    truth, mask = phantom.maps, phantom.mask
    zero_filled = KSpaceTruncation(truth.grid, lr_maps.grid).zero_filled(torch.as_tensor(lr_maps.data))
    rows = {
        "zero-filled": QuantitativeMaps(data=zero_filled.numpy(), grid=truth.grid, names=lr_maps.names),
        "super-resolved": sr_maps,
    }
    images = {name: evaluate(maps, truth, mask) for name, maps in rows.items()}
    tissues = {name: tissue_errors(maps, truth, mask, phantom.tissues) for name, maps in rows.items()}
    classes = list(phantom.tissues)
    lines = [f"{'':20}{'SSIM':>7}{'HFEN':>7}   median error in %: " + "".join(f"{c:>9}" for c in classes)]
    for quantity in COLUMNS:
        for name in rows:
            score, errors = images[name][quantity], tissues[name][quantity]
            medians = "".join(f"{errors[tissue].median_ape:9.2f}" for tissue in classes)
            lines.append(f"{quantity:3} {name:16}{score.ssim:7.4f}{score.hfen:7.3f}{'':22}{medians}")
    lines.append("SSIM and HFEN per axial slice over the brain, clipped to PD 1.2, T1 4 s, T2 0.3 s.")
    return "\n".join(lines)


def show(lr_maps: QuantitativeMaps, sr_maps: QuantitativeMaps, truth: QuantitativeMaps) -> napari.Viewer:
    """Open a window with a grid of maps: a row per resolution, a column per quantity."""
    viewer = napari.Viewer(title="napari-swig-qmri: super-resolution of the digital head")
    cells = {}
    for row, maps in zip(ROWS, (lr_maps, sr_maps, truth), strict=True):
        for quantity, layer in zip(maps.names, to_layers(map_volumes(maps, row, FIELD)), strict=True):
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
    viewer.scene.camera.orientation2d = ("up", "left")
    viewer.dims.set_point((0, 1, 2), SHOWN_POSITION)
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
