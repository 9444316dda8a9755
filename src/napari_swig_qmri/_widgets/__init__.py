"""Dock widgets and commands: the only place that imports napari and Qt."""
