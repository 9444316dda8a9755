"""Weighted contrasts computed from maps: rendered, designed, kept as presets and sheets."""
