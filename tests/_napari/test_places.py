"""No part of the plugin reads the values of a layer or an image apart from its place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

import napari_swig_qmri

PLUGIN = Path(napari_swig_qmri.__file__).parent / "_napari"
PLAIN = {"shape", "dtype", "ndim"}  # of an array; its values stay unread
COMPUTED = {"keep", "coarse", "is_kept", "names", "field_sources", "sequence"}  # of contrasts computed on demand

# Functions that may read `.data`, because they pair it with the grid, or pass one array on as it is.
ALLOWED = {
    "display.py": {"contrast_limits"},  # of one image alone
    "inspect/probe.py": {"probe_of", "error_volume"},  # on the grid of the maps; one image alone
    "layers.py": {"to_layer_data", "_record", "_checksum"},
    "parts/contrast_layers.py": {"contrast_layer", "_placed_field"},  # placed in one frame
    "parts/transmit_layers.py": {"fields_of"},  # only its identity
    "parts/viewer_layers.py": {"unit_of", "volume_of"},  # one image alone; pairs data and attributes
    "placement.py": {"place"},
    "super_resolve/snapshot.py": {"Snapshot.fingerprint"},  # a checksum
    "synthesize/blend_panel.py": {
        "BlendPanel._show",
        "BlendPanel.follow",
        "BlendPanel._flip",
        "_pane",
    },  # with its matrix
    "synthesize/compare_panel.py": {"ComparePanel._contrast"},  # its sequence
    "synthesize/compare_panes.py": {
        "ComparePanes.add",
        "ComparePanes._difference",
    },  # in one frame
    "synthesize/live_contrasts.py": {
        *("LiveContrasts.freeze", "LiveContrasts.adjust", "LiveContrasts.lacks_maps_for_marks", "LiveContrasts.mark"),
        *("LiveContrasts._upcoming", "LiveContrasts._notify"),
    },  # contrasts, each in its own layer
    "synthesize/rendering_options.py": {"mark_layer"},  # marks of one contrast, with its transform
    "synthesize/t1_picker.py": {"times_at"},  # at a world position
    "synthesize/volume_rendering.py": {"VolumeRendering.add", "VolumeRendering._refine"},  # the same array, computed
}


def readers(source: str) -> dict[str, str]:
    """Functions that read values of layers or images, and how."""
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    def above(node: ast.AST) -> Iterator[ast.AST]:
        while node in parents:
            node = parents[node]
            yield node

    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _reads_values(node, *islice(above(node), 2)):
            scopes = [each.name for each in above(node) if isinstance(each, ast.FunctionDef | ast.ClassDef)]
            found[".".join(reversed(scopes))] = ast.unparse(parents[node])
    return found


def _reads_values(node: ast.Attribute, parent: ast.AST, grandparent: ast.AST | None = None) -> bool:
    if node.attr == "as_layer_data_tuple":  # harmless with the attributes, which hold the place, or for these alone
        return not (isinstance(grandparent, ast.Subscript) and ast.unparse(grandparent.slice) in {":2", "1"})
    is_event = isinstance(node.value, ast.Attribute) and node.value.attr == "events"
    if node.attr != "data" or isinstance(node.ctx, ast.Store) or is_event:
        return False
    if isinstance(parent, ast.Attribute):
        return parent.attr not in PLAIN | COMPUTED
    return not (isinstance(parent, ast.Call) and ast.unparse(parent.func) == "isinstance")


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("def f(layer, maps): return maps * (layer.data > 0)", True),
        ("def f(layer): return from_layer(*layer.as_layer_data_tuple()[:2]).data", True),
        ("def f(layer): return layer.as_layer_data_tuple()[0]", True),
        ("def f(layer): return layer.data.mean()", True),
        ("def f(layer): return from_layer(*layer.as_layer_data_tuple()[:2])", False),
        ("def f(layer): return layer.data.shape, isinstance(layer.data, Lazy), layer.events.data", False),
    ],
)
def test_a_planted_reader_is_found(source: str, reads: bool) -> None:
    assert ("f" in readers(source)) == reads


def test_values_are_read_only_together_with_their_place() -> None:
    modules = {path.relative_to(PLUGIN).as_posix(): readers(path.read_text("utf-8")) for path in PLUGIN.rglob("*.py")}
    new = [
        f"{module}: {name} has {how}"
        for module, found in modules.items()
        for name, how in found.items()
        if name not in ALLOWED.get(module, ())
    ]
    assert not new, "give a function of `data` that knows both grids a Volume, from `volume_of` or `from_layer`"
    assert {module: set(found) for module, found in modules.items() if found} == ALLOWED, "no longer all are readers"
