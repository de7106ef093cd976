"""A run as a whole: checks beforehand, estimates, Snakemake, SLURM, the live status."""
