"""How long, how fast and in which batches to train."""

import math
from dataclasses import dataclass

WARM_UP = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Attributes
    ----------
    lr, weight_decay : float
    batch_size, max_epochs, patience : int
    clip : float
        Largest gradient norm.
    settled : int
        First epoch that is judged. Before, what is minimised still changes, and the least factual
        loss would be that of a network which is not yet what was asked for.
    """

    lr: float = 2e-3
    weight_decay: float = 1e-2
    batch_size: int = 128
    max_epochs: int = 300
    patience: int = 20
    clip: float = 1.0
    settled: int = 0

    def n_steps(self, n_rows: int) -> int:
        """Batches of an epoch."""
        return max(1, math.ceil(n_rows / self.batch_size))

    def rows_per_batch(self, n_rows: int) -> int:
        """Rows of a batch: the same for all, and at most ``batch_size``."""
        return n_rows // self.n_steps(n_rows)

    def rate(self, step: int, n_steps: int) -> float:
        """Learning rate of an update: linear warm-up, then a cosine to zero over all epochs."""
        warm = min(1.0, (step + 1) / WARM_UP)
        turn = math.pi * step / max(1, self.max_epochs * n_steps)
        return self.lr * (warm * 0.5 * (1.0 + math.cos(turn)))
