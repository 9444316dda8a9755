"""How good maps and contrasts are: scores, comparisons, regions and the ablation study."""
