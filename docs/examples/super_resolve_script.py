"""Super-resolve a simulated head from a script, and show the result in napari.

python docs/examples/super_resolve_script.py                 opens a window
python docs/examples/super_resolve_script.py --no-window     prints scores and saves files only
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_swig_qmri import (
    Options,
    Progress,
    SuperResolution,
    degrade,
    evaluate,
    make_phantom,
    result_layers,
    super_resolve,
)


def run(voxel_size: float, factor: float, method: str) -> SuperResolution:
    """Degrade a phantom, super-resolve it, and print the scores of the result."""
    truth = make_phantom(voxel_size)
    lr_maps, guides = degrade(truth.maps, factor, map_noise=0.01, guide_noise=0.01)
    result = super_resolve(lr_maps, guides[:2], Options(method=method), progress=show_progress)
    print()
    for name, scores in evaluate(result.maps, truth.maps, truth.mask).items():
        print(f"{name}: SSIM {scores.ssim:.4f}, median error {scores.median_ape:.2f} %")
    return result


def show_progress(progress: Progress) -> None:
    """Rewrite one line with the fraction and the stage of a run."""
    print(f"\r{progress.fraction:4.0%} {progress.stage:60}", end="", flush=True)


def show(result: SuperResolution) -> None:
    """Open the window with every layer of a result."""
    import napari

    viewer = napari.Viewer()
    for data, attributes, kind in result_layers(result):
        getattr(viewer, f"add_{kind}")(data, **attributes)
    napari.run()


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--voxel-size", type=float, default=1.0, help="of the head, in mm")
    parser.add_argument("--factor", type=float, default=2.0, help="LR voxel edge in HR voxels")
    parser.add_argument("--method", choices=["posterior", "regression"], default="posterior")
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the maps")
    parser.add_argument("--no-window", action="store_true", help="do not open napari")
    options = parser.parse_args()
    result = run(options.voxel_size, options.factor, options.method)
    for path in result.save(options.output, overwrite=True):
        print("wrote", path)
    if not options.no_window:
        show(result)


if __name__ == "__main__":
    main()
