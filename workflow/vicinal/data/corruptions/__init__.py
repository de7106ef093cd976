"""Corrupted test images (CIFAR-10-C, CIFAR-100-C)."""
