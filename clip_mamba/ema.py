"""Exponential moving average of the weights."""

import math

import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


def momentum(start: float, step: int, steps: int) -> float:
    """Return the EMA momentum at a step: from ``start`` to 1 as a cosine (the report's recipe).

    Args:
        start: Momentum at the first step.
        step: The step.
        steps: Number of steps after which it is 1.

    Returns:
        A number in [start, 1].
    """
    progress = min(1.0, step / steps)
    return 1 - (1 - start) * (1 + math.cos(math.pi * progress)) / 2


class CosineEMA(WeightAveraging):
    """Lightning's weight averaging with the cosine momentum of :func:`momentum`.

    Parameters are averaged and buffers copied from the model in training. The reference leaves
    the buffers of its EMA copy at their initial values, BatchNorm's statistics included, which
    changes SiMBA's features by 31 %. Averaging buffers would spoil constant ones: an attention
    mask holds infinities, whose differences are not numbers.
    """

    def __init__(self, start: float, steps: int) -> None:
        """Set the schedule.

        Args:
            start: Momentum at the first step.
            steps: Number of steps after which it is 1.
        """

        def average(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
            torch._foreach_lerp_(averaged, current, 1 - momentum(start, int(count), steps))

        super().__init__(use_buffers=False, multi_avg_fn=average)
