"""What a run would take: wall time from recorded runs or from operations at a stated rate, and disk. Without torch."""
