"""Super-resolution of quantitative MRI maps guided by weighted images.

The public names are listed in ``__init__.pyi`` and loaded when they are first used, so that importing the package
needs neither torch nor napari.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name != "__version__":
        return _load(name)
    try:
        return version("napari-swig-qmri")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
