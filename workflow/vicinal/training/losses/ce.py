"""Cross-entropy with mixed labels (Zhang et al. 2018, mixup)."""

import torch
import torch.nn.functional as F

from vicinal.training.losses import Answers


def loss(answers: Answers) -> torch.Tensor:
    """Return the mean over the batch of λ·CE(y_i) + (1 − λ)·CE(y_j), in nats; plain cross-entropy where λ = 1."""
    first = F.cross_entropy(answers.logits, answers.labels, reduction="none")
    second = F.cross_entropy(answers.logits, answers.partner_labels, reduction="none")
    return (answers.lam * first + (1 - answers.lam) * second).mean()
