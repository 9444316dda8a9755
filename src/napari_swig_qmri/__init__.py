"""Quantitative MRI super-resolution guided by weighted images."""
