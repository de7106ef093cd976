"""From a spec to trained weights: batches, losses, the loop, checkpoints, a cohort of students."""
