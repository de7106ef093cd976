"""Vicinal: mixup-based knowledge distillation, reproduced."""
