"""Knowledge distillation (Hinton et al. 2015): T² · KL(teacher ‖ student), both softened by T."""

import torch
import torch.nn.functional as F

from vicinal.training.losses import Answers

# Added to the standard deviation of a sample's logits: constant logits would else be divided by zero.
EPSILON = 1e-6


def loss(answers: Answers) -> torch.Tensor:
    """Return the mean over the batch of T²·KL(softmax(teacher/T) ‖ softmax(student/T)), in nats.

    T = ``"std"``: both sides are divided by their own standard deviation over the classes, sample by sample
    (Choi et al. 2023), and the factor is 1.
    """
    if answers.temperature == "std":
        teacher, student, factor = _standardised(answers.teacher_logits), _standardised(answers.logits), 1.0
    else:
        teacher = answers.teacher_logits / answers.temperature
        student = answers.logits / answers.temperature
        factor = answers.temperature**2
    teacher_log, student_log = F.log_softmax(teacher, dim=1), F.log_softmax(student, dim=1)
    return factor * F.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)


def _standardised(logits: torch.Tensor) -> torch.Tensor:
    return logits / (logits.std(dim=1, correction=0, keepdim=True) + EPSILON)
