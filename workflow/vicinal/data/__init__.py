"""Data sets: what is known, how it is read, how it is split and how it is stored."""
