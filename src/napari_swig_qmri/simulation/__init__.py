"""Heads, subjects and scans whose truth is known."""
