"""What a run would take: wall time by recorded runs or at stated rates, disk, GPU memory; and what each part adds."""
