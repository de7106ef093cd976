"""What is measured of a model: metrics, vicinal pairs, confusion, robustness."""
