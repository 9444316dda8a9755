"""Tissues that tests of curves and of contrast share, and what is no tissue."""

from __future__ import annotations

from napari_swig_qmri.synthesis.curves import TissueValues

WM = TissueValues(name="WM", pd=0.7, t1=0.8, t2=0.07)
GM = TissueValues(name="GM", pd=0.82, t1=1.3, t2=0.09)
LESION = TissueValues(name="lesion", pd=0.8, t1=1.3, t2=0.16)
CSF = TissueValues(name="CSF", pd=1.0, t1=4.163, t2=2.0)
AIR = TissueValues(name="air", pd=0.0, t1=0.0, t2=0.0)
