"""The network: a small U-Net on a space-to-depth stem, with one head for the line and one for its presence."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecglift.models.strip import COLUMNS_PER_PX, STRIP_PX

_STEM = 4  # space-to-depth factor


def conv(inputs: int, outputs: int) -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class UNet(nn.Module):  # type: ignore[misc]  # torch is not there where this is checked
    """Features at a quarter of the input's resolution: (n, inputs, h, w) → (n, widths[0], h/4, w/4); h, w multiples
    of 4·2^(levels−1)."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = conv(inputs * _STEM**2, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(conv(widths[max(k - 1, 0)], w), conv(w, w)) if k else conv(w, w) for k, w in enumerate(widths)
        )
        self.up = nn.ModuleList(
            nn.Sequential(conv(widths[k] + widths[k + 1], widths[k]), conv(widths[k], widths[k]))
            for k in range(len(widths) - 1)
        )

    def forward(self, x: Tensor, position: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(features at 1/4, features at the deepest level); ``position`` is added to the stem's output."""
        x = self.stem(F.pixel_unshuffle(x, _STEM))
        if position is not None:
            x = x + position
        skips: list[Tensor] = []
        for k, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if k else x)
            skips.append(x)
        deepest = x
        for k in range(len(self.up) - 1, -1, -1):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.up[k](torch.cat([skips[k], x], dim=1))
        return x, deepest


class TraceNetwork(nn.Module):  # type: ignore[misc]
    """Strip (n, 3, STRIP_PX, w), 0 to 255 → logits (n, STRIP_PX, 2w) over rows and presence log-odds (n, 2w).

    A strip of fewer rows is taken as the middle of a whole one.
    """

    def __init__(self, widths: tuple[int, ...] = (48, 64, 96, 128, 128)) -> None:
        super().__init__()
        self.body = UNet(3, widths)
        # Where a pixel stands in the strip tells which row is meant.
        self.position = nn.Parameter(torch.zeros(1, widths[0], STRIP_PX // _STEM, 1))
        self.columns = _STEM * COLUMNS_PER_PX
        self.line = nn.Conv2d(widths[0], _STEM * self.columns, 3, padding=1)
        self.presence = nn.Sequential(
            nn.Conv1d(2 * widths[0], 64, 5, padding=2), nn.ReLU(inplace=True), nn.Conv1d(64, self.columns, 5, padding=2)
        )

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        rows = rgb.shape[2] // _STEM
        first = (STRIP_PX // _STEM - rows) // 2
        x, _ = self.body((rgb - 160.0) / 80.0, self.position[:, :, first : first + rows])
        line = self.line(x)
        n, _, h, w = line.shape
        logits = (
            line.reshape(n, _STEM, self.columns, h, w).permute(0, 3, 1, 4, 2).reshape(n, h * _STEM, w * self.columns)
        )
        pooled = torch.cat([x.amax(dim=2), x.mean(dim=2)], dim=1)
        presence = self.presence(pooled).permute(0, 2, 1).reshape(n, w * self.columns)
        return logits, presence
