"""What a run would take: wall time from recorded runs or from operations at a stated rate, disk and memory. Torch counts a network once."""
