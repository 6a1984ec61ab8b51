"""The sheet network: the trace network's U-Net with one head on a 1 mm lattice and one for the whole sheet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecglift.models.sheetmap import DENSE, DENSE_CHANNELS, WHOLE_NUMBERS
from ecglift.training.network import UNet


class SheetNetwork(nn.Module):  # type: ignore[misc]
    """Sheet (n, 3, h, w), 0 to 255 → (n, DENSE_CHANNELS, h/4, w/4) and (n, WHOLE_NUMBERS), see
    :mod:`ecglift.models.sheetmap`.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 48, 64, 96, 128)) -> None:
        super().__init__()
        self.body = UNet(3, widths)
        self.dense = nn.Conv2d(widths[0], DENSE_CHANNELS, 1)
        self.whole = nn.Sequential(
            nn.Linear(2 * widths[-1] + widths[0], 128), nn.ReLU(inplace=True), nn.Linear(128, WHOLE_NUMBERS)
        )
        with torch.no_grad():
            for name, channels in DENSE.items():
                if name.endswith("heat"):  # nearly everywhere there is nothing
                    self.dense.bias[channels] = -4.0

    def seen(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """(features on the lattice, pooled features of the whole sheet)."""
        features, deepest = self.body((rgb - 160.0) / 80.0)
        pooled = torch.cat([deepest.amax(dim=(2, 3)), deepest.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return features, pooled

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        features, pooled = self.seen(rgb)
        return self.dense(features), self.whole(pooled)
