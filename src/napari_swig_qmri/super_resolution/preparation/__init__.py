"""LR maps and guides brought to one HR and one LR grid, and what they share."""
