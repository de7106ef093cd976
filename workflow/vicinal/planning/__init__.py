"""What an experiment asks for: the grid, the artefacts, their plan files, and why a job runs."""
