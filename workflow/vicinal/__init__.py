"""Vicinal: mixup-based knowledge distillation, reproduced."""

__version__ = "0.1.0"
