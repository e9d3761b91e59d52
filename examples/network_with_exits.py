"""A network with exits: rows that are sure at an early exit are not computed further."""

from itertools import pairwise

import numpy as np
import torch
from sklearn.datasets import load_digits

import cascade


class Exits(torch.nn.Module):
    """Three segments of one network, each with a head."""

    def __init__(self) -> None:
        super().__init__()
        widths = (64, 32, 128, 256)
        pairs = list(pairwise(widths))
        self.segments = torch.nn.ModuleList(
            torch.nn.Sequential(torch.nn.Linear(a, b), torch.nn.ReLU()) for a, b in pairs
        )
        self.exits = torch.nn.ModuleList(torch.nn.Linear(b, 10) for _, b in pairs)

    def losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Summed cross-entropy of all exits."""
        total = torch.zeros(())
        for segment, head in zip(self.segments, self.exits, strict=True):
            x = segment(x)
            total = total + torch.nn.functional.cross_entropy(head(x), y)
        return total


torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
images = (images / 16).astype(np.float32)
network = Exits()
optimizer = torch.optim.Adam(network.parameters(), 5e-3)
for _ in range(80):
    optimizer.zero_grad()
    network.losses(torch.from_numpy(images[:700]), torch.from_numpy(labels[:700])).backward()
    optimizer.step()

stages = cascade.multi_exit(network, name="net")
with cascade.Predictor.fit(stages, images[700:1300], labels[700:1300], seed=0) as predictor:
    print(predictor.explain(budget_ms=2))
    answers = predictor.predict_batch(images[1300:])
    print("accuracy", round(float(np.mean(answers.labels == labels[1300:])), 4), dict(answers.path_counts))
