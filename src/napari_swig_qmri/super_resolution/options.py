"""Options of a super-resolution run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.physics.mapping import MappingProtocol
from napari_swig_qmri.physics.protocols import PROTOCOLS, protocol_from, protocol_name

if TYPE_CHECKING:
    from napari_swig_qmri.data.coercion import ImageLike

METHODS: Mapping[str, str] = {
    "regression": "local regression of the maps on the guides; fast, no signal equations",
    "posterior": "regression, then refined until signal equations, guides and LR maps agree",
    "network": "posterior, then corrected by a network trained on simulated subjects",
}
DEFAULT_METHOD: Final = "network"
MAX_GUIDES = 5
AUTO, AVERAGED, UNKNOWN = "auto", "averaged", "unknown"  # values of `maps_from` beside the protocols
MAPS_FROM: Mapping[str, str] = {
    AUTO: "what files and names of the maps mention; without that, what the images show",
    AVERAGED: "averages of maps on finer voxels, as simulated ones",
    UNKNOWN: "a scan whose protocol is not known",
    **{name: f"{kind.title}, which measures {joined(kind.measured)}" for name, kind in PROTOCOLS.items()},
}
DTYPES = ("float32", "float64")
IN_MEMORY = "image in memory"  # stands for it in JSON
DEVICES = ("auto", "cuda", "mps", "cpu")


@dataclass(frozen=True, kw_only=True, eq=False)
class Options:
    """Options of a super-resolution run.

    Read alike by Python, the command line, the window, its preferences and the provenance of a result.

    Parameters
    ----------
    method
        A key of `METHODS`: ``"regression"``, ``"posterior"`` or ``"network"``.
    voxel_size
        Edge of the HR voxels in mm, one number or three, over the field of view of the reference. By default
        along each axis that of the finest guide, or of the reference if it is chosen, but never above that of the maps.
    reference
        Index of the guide whose grid the result has if it is parallel to the maps and nowhere coarser than they are;
        else the result has its field of view and the axes of the maps. By default the guide with the smallest voxels.
    gains
        Image value per unit of signal, one per guide, at the PD unit of the maps. By default found from the data.
    lr_noise
        Standard deviation of the noise in each LR map relative to the value, by map name. By default estimated.
    guide_noise
        Standard deviation of the noise in each guide, in its own unit. By default estimated.
    device
        ``"auto"`` (CUDA, then MPS, then CPU), ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"cpu"``.
    dtype
        ``"float32"`` or ``"float64"``.
    memory_limit
        Bytes for the working memory of one slab of planes. It comes on top of some 40 volumes of the HR grid, 70
        with the network. Slabs do not change the result. By default chosen by device.
    weights
        Weights of the network: a key of `WEIGHTS`, a file written by ``swig-qmri train``, or
        ``hub:owner/repository`` on the Hugging Face hub. By default `DEFAULT_WEIGHTS`.
    adapt
        Train the network on this subject first, for as long as that lowers its cross-scale error.
    resolution
        Use the maps at the voxel size they were measured with, where they are stored on finer voxels, and give guides
        with thick slices the detail of a finer guide, and sharpen blurred guides.
    pose
        Move guides to the LR maps where the head has moved between the scans, and warp them where they are distorted.
    field
        Divide guides by the smooth receive field of the coils that the PD map does not share.
    b1
        Map of the transmit field (B1+) relative to the nominal one, which scales the pulses of all guides: a path, a
        nibabel image, a pair of an array and an affine, or a `Volume`. By default that in the folder ``fmap`` beside
        the files of the maps, if there is one and `field` is on.
    correct_sequence
        Take the sequence or time that fits a guide where the one that it came with does not; otherwise this is only
        told.
    maps_from
        What the LR maps were fitted to: a key of `MAPS_FROM`, or a protocol with its settings, such as ``Qalas(...)``
        or ``{"qalas": {"repetition_time": 4.5}}``. ``"averaged"`` for maps that are averages of HR maps, as simulated
        ones; ``"unknown"`` for a scan of an unknown protocol; ``"auto"`` for what the files of the maps name.
    lr_lock
        Change the maps, as little as possible, until they explain the LR maps to within their noise.
    all_maps
        Return what was not measured as well, estimated from the guides and the usual values of tissue. Results and
        files mark these maps as not measured.
    keep_noise
        Return the maximum of the posterior itself. By default it is averaged over neighbouring voxels that differ
        by no more than noise.

    Raises
    ------
    ValueError
        If a value is impossible by itself, or two options exclude each other.

    Examples
    --------
    >>> from napari_swig_qmri import Options
    >>> Options(method="posterior", voxel_size=1.0).method
    'posterior'
    >>> Options(method="magic")
    Traceback (most recent call last):
    ...
    ValueError: the method must be one of regression, posterior, network, but it is 'magic'.
    """

    method: str = DEFAULT_METHOD
    voxel_size: float | Sequence[float] | None = None  # mm
    reference: int | None = None
    gains: Sequence[float] | None = None
    lr_noise: Mapping[str, float] | None = None  # relative
    guide_noise: Sequence[float] | None = None
    device: str = "auto"
    dtype: str = "float32"
    memory_limit: int | None = None  # bytes
    weights: str | Path | None = None
    adapt: bool = False
    keep_noise: bool = False
    lr_lock: bool = False
    all_maps: bool = False
    resolution: bool = True
    pose: bool = True
    field: bool = True
    b1: ImageLike | None = None
    correct_sequence: bool = False
    maps_from: str | MappingProtocol | Mapping[str, Mapping[str, Any]] = AUTO

    def __post_init__(self) -> None:
        """Check each option by itself, and those that exclude each other."""
        self._check_kinds()
        if self.method not in METHODS:
            raise ValueError(f"the method must be one of {', '.join(METHODS)}, but it is {self.method!r}.")
        if self.method != "network" and (self.weights is not None or self.adapt):
            raise ValueError(
                f"`weights` and `adapt` belong to the method network, but the method is {self.method!r}: leave them "
                "out, or choose the network."
            )
        if self.method == "network" and self.keep_noise:
            raise ValueError(
                "the network needs maps without noise: leave out `keep_noise`, or choose the method posterior."
            )
        if isinstance(self.maps_from, str) and self.maps_from not in MAPS_FROM:
            raise ValueError(f"`maps_from` must be one of {', '.join(MAPS_FROM)}, but it is {self.maps_from!r}.")
        _ = self.protocol  # refuses impossible settings
        if self.method == "regression" and self.all_maps:
            raise ValueError(
                "the regression finds no map that was not measured: leave out `all_maps`, or choose the posterior."
            )
        if self.method == "regression" and self.lr_lock:
            raise ValueError(
                "the regression cannot be locked to the low-resolution maps: leave out `lr_lock`, or choose the "
                "posterior."
            )
        if self.dtype not in DTYPES:
            raise ValueError(f"the dtype must be one of {', '.join(DTYPES)}, but it is {self.dtype!r}.")
        if not isinstance(self.device, str) or self.device.split(":")[0] not in DEVICES:
            raise ValueError(f"the device must be auto, cuda, mps or cpu, but it is {self.device!r}.")
        if self.memory_limit is not None:
            check_positive([self.memory_limit], "memory limit")
        for values, what in ((self.gains, "gain"), (self.guide_noise, "noise level")):
            if values is not None:
                check_positive(np.ravel(np.asarray(values, dtype=object)), what)
        if self.lr_noise is not None:
            check_positive(self.lr_noise.values(), "noise level")
        if self.voxel_size is not None:
            _check_voxel_size(self.voxel_size)

    def _check_kinds(self) -> None:
        """Raise TypeError if an option is of another kind than its annotation."""
        expected: dict[str, tuple[tuple[type, ...], str]] = {
            "method": ((str,), "a text"),
            "dtype": ((str,), "a text"),
            "device": ((str,), "a text"),
            "weights": ((str, Path, NoneType), "a name or a path"),
            "adapt": ((bool,), "True or False"),
            "keep_noise": ((bool,), "True or False"),
            "lr_lock": ((bool,), "True or False"),
            "all_maps": ((bool,), "True or False"),
            "resolution": ((bool,), "True or False"),
            "pose": ((bool,), "True or False"),
            "field": ((bool,), "True or False"),
            "correct_sequence": ((bool,), "True or False"),
            "maps_from": ((str, MappingProtocol, Mapping), "the name of a protocol, or a protocol"),
            "reference": ((int, np.integer, NoneType), "the index of a guide"),
            "lr_noise": ((Mapping, NoneType), "a dict by name of the map"),
        }
        for name, (kinds, text) in expected.items():
            value = getattr(self, name)
            if not isinstance(value, kinds):
                raise TypeError(f"{name} must be {text}, but it is {value!r}.")

    @property
    def protocol(self) -> MappingProtocol | None:
        """Protocol that `maps_from` names, with its settings; None for auto, averaged and unknown."""
        if isinstance(self.maps_from, Mapping):
            if len(self.maps_from) != 1:
                raise ValueError(f"`maps_from` names one protocol with its settings, but it is {self.maps_from!r}.")
            ((name, settings),) = self.maps_from.items()
            return protocol_from(name, settings)
        if isinstance(self.maps_from, str):
            return PROTOCOLS[self.maps_from]() if self.maps_from in PROTOCOLS else None
        return self.maps_from

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # options may hold lists

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON-ready values, by name."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}

    def to_record(self) -> dict[str, Any]:
        """Return the options as `to_json` does, with files by name: folders may have the names of persons."""
        values = self.to_json()
        files = {name: Path(values[name]) for name in ("b1", "weights") if values[name] is not None}
        return values | {name: path.name for name, path in files.items() if path.exists()}


def _plain(value: Any) -> Any:
    """Value made of None, texts, numbers, lists and dicts only."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, MappingProtocol):
        return {protocol_name(value): asdict(value)}
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "source"):  # a `Volume`, whose class would load nibabel
        return value.source
    if hasattr(value, "get_filename"):  # an image of nibabel
        return value.get_filename() or IN_MEMORY
    if isinstance(value, tuple) and len(value) == 2 and np.ndim(value[1]) == 2:
        return IN_MEMORY
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def check_positive(values: Iterable[Any], what: str) -> None:
    """Raise ValueError unless all values are finite numbers above 0."""
    values = list(values)
    if not all(isinstance(value, Real) and np.isfinite(float(value)) and float(value) > 0 for value in values):
        raise ValueError(f"every {what} must be a number above 0, but they are {values}.")


def _check_voxel_size(size: float | Sequence[float]) -> None:
    if not all(isinstance(each, Real) and not isinstance(each, bool) for each in np.ravel(np.asarray(size, object))):
        raise TypeError(f"the voxel size must be one number or three, but it is {size!r}.")
    if np.shape(size) not in ((), (3,)):
        raise ValueError(f"the voxel size must be one number or three, but it is {size}.")
    edges = np.asarray(size, float)
    if not (np.isfinite(edges).all() and (edges > 0).all()):
        raise ValueError(f"the voxel size must be above 0 mm, but it is {size}.")
