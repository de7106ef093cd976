"""What a standalone script needs around its work: its plan, the device, locks, progress, provenance."""
