"""Labels of the controls that stand for options, and messages that name options by them."""

from __future__ import annotations

from napari_swig_qmri.data.wording import for_notification, with_names

LABELS = {  # option as in Python -> label of its control
    "adapt": "Adapt to this subject",
    "all_maps": "Also maps that were not measured",
    "b1": "B1+ map",
    "device": "Device",
    "field": "Correct the shading by coils",
    "lr_lock": "Keep to the measured maps",
    "maps_from": "Maps from",
    "mask": "Mask",
    "memory_limit": "Memory limit",
    "method": "Method",
    "pose": "Correct how the head has moved",
    "sequence": "Sequence",
    "units": "Unit in the file",
    "voxel_size": "Voxel size",
    "weights": "Weights",
}
_QUOTED = {option: f"“{label}”" for option, label in LABELS.items()}


def for_window(text: str) -> str:
    """Message with the labels of controls in place of the options that it names."""
    return with_names(text, _QUOTED)


def notification(text: str) -> str:
    """Message for a notification of napari."""
    return for_notification(for_window(text))
