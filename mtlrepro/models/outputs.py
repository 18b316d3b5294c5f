"""What every model returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Outputs:
    """Raw network outputs (no activation applied anywhere).

    Attributes:
        final: main task -> (B, C_task, H, W) at the size of the input image.
        stages: name of an intermediate prediction -> task -> (B, C_task, h, w) at that stage's own
            resolution; the objective supervises them, a table row may read them as a view.
        features: encoder maps, finest first, for objectives that regularise them.
    """

    final: dict[str, Tensor]
    stages: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    features: list[Tensor] = field(default_factory=list)
