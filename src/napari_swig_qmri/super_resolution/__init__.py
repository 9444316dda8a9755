"""From low-resolution maps and guides to high-resolution maps."""
