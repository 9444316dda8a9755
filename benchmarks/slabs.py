"""Dependence of the maps on the thickness of slabs: built-in head of 2 mm, single planes and default slabs."""

from __future__ import annotations

import numpy as np

from napari_swig_qmri import Options, degrade, make_phantom, super_resolve

SMALL = 1_000_000  # bytes, less than one plane needs


def main() -> None:
    truth = make_phantom(2.0)
    lr_maps, guides = degrade(truth.maps, 2.0, map_noise=0.01, guide_noise=0.01)
    whole, parts = (super_resolve(lr_maps, guides, Options(memory_limit=limit)).maps for limit in (None, SMALL))
    for name in whole.names:
        gap, size = (parts[name] - whole[name])[truth.mask], whole[name][truth.mask]
        print(f"{name}: RMS difference over the brain {100 * np.sqrt((gap**2).mean() / (size**2).mean()):.5f} %")


if __name__ == "__main__":
    main()
