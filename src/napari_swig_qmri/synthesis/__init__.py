"""Weighted contrasts computed from maps: their signal, noise and design, and presets, protocols and sheets of them."""
