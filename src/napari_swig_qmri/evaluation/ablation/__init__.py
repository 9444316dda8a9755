"""The ablation study: what guides, LR input and LR loss each contribute."""
