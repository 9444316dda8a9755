"""The table of scores in Compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_swig_qmri._napari.layers import LayerRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_swig_qmri.evaluation.comparison import ContrastComparison, ContrastScores

VARIANT = (
    "SSIM 7 × 7 and HFEN (LoG 1.5) per axial slice, clipped to the 99.5th percentile of the reference; NRMSE "
    "unclipped. Brain tissue leaves CSF out."
)

NAMES = {"tissue": "brain tissue", "WM": "white matter", "GM": "grey matter", "CSF": "CSF"}


def was_guide(image: Image, t1_map: Image) -> bool:
    """Whether a map was super-resolved with an image, by the name of the guide or by its file."""
    guide, result = (LayerRecord.of(layer).volume for layer in (image, t1_map))
    sidecar, path = result.sidecar, guide.path
    if (guide.name or image.name) in sidecar.get("Guides", ()):
        return True
    folder = Path(result.path or ".").parent
    sources = sidecar.get("Sources", ()) if "Parameters" in sidecar else ()
    return path is not None and Path(path).resolve() in [(folder / source).resolve() for source in sources]


def scores_table(comparison: ContrastComparison, fitted: Sequence[str] = ()) -> str:
    """Scores as a table of rich text, one block per map set; of `fitted` ones the reference was a guide."""
    head = "".join(f"<td align='right'><b>{name}</b></td>" for name in ("SSIM", "HFEN", "NRMSE"))
    rows = [f"<tr><td></td>{head}</tr>"]
    for label, regions in comparison.scores.items():
        rows.append(f"<tr><td colspan='4'><b>{label} against {comparison.reference}</b></td></tr>")
        if label in fitted:
            rows.append(f"<tr><td colspan='4'><i>which was a guide of {label}: a fit, not a test</i></td></tr>")
        rows += [f"<tr><td>{NAMES.get(name, name)}</td>{_cells(scores)}</tr>" for name, scores in regions.items()]
    return f"<table cellspacing='0' cellpadding='2' width='100%'>{''.join(rows)}</table>"


def _cells(scores: ContrastScores) -> str:
    texts = (f"{scores.ssim:.3f}", f"{scores.hfen:.3f}", f"{100 * scores.nrmse:.1f} %")
    return "".join(f"<td align='right'>{text}</td>" for text in texts)
