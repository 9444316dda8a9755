"""How each image was measured: its resolution, and what lies between it and the HR maps."""
