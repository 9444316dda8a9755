"""What an image is: its kind, unit and sequence, from names, sidecars, headers and values."""
