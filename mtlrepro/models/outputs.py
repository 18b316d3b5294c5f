"""What every model returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Outputs:
    """Raw network outputs: no activation, but where an architecture's options say so (`dense_mtl`'s `sigmoid`).

    Attributes:
        final: main task -> (B, C_task, H, W) at the size of the input image.
        stages: name of an intermediate prediction -> task -> (B, C_task, h, w) at that stage's own
            resolution; the objective supervises them, a table row may read them as a view.
        features: encoder maps, finest first, for objectives that regularise them.
        pairs: main task -> (a map of its own (B, C, h, w), one of the other tasks (B, k·C, h, w)) that an objective may
            draw together (MT-CP, sec. 3.3).
    """

    final: dict[str, Tensor]
    stages: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    features: list[Tensor] = field(default_factory=list)
    pairs: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def split(self, parts: int) -> list[Outputs]:
        """Outputs for a batch of equal parts, one below the other, part by part.

        Args:
            parts: their number, a divisor of the batch size.
        """
        final, features = _parts(self.final, parts), [maps.chunk(parts) for maps in self.features]
        stages = {name: _parts(stage, parts) for name, stage in self.stages.items()}
        pairs = [_parts({task: pair[side] for task, pair in self.pairs.items()}, parts) for side in (0, 1)]
        return [
            Outputs(
                final[i],
                {name: stage[i] for name, stage in stages.items()},
                [maps[i] for maps in features],
                {task: (pairs[0][i][task], pairs[1][i][task]) for task in self.pairs},
            )
            for i in range(parts)
        ]


def _parts(predictions: dict[str, Tensor], parts: int) -> list[dict[str, Tensor]]:
    apart = {task: maps.chunk(parts) for task, maps in predictions.items()}
    return [{task: chunks[i] for task, chunks in apart.items()} for i in range(parts)]
