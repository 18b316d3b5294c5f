"""Δ_m, the average relative gain of a multi-task model over a baseline (Maninis et al., CVPR 2019; MTI-Net, eq. 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mtlrepro.errors import SpecError


def delta_contributions(
    figures: Mapping[str, float], baseline: Mapping[str, float], better: Mapping[str, str]
) -> dict[str, float]:
    """Relative gain per task in percent, positive where the model is better.

    Args:
        figures: task -> the model's figure, any unit.
        baseline: task -> the baseline's figure in the same unit.
        better: task -> `"higher"` or `"lower"`.

    Returns:
        task -> s (M - B) / B x 100 with s = +1 for higher, -1 for lower; NaN where the model's figure is.

    Raises:
        SpecError: if the three mappings do not name the same tasks (at least one), a direction is neither
            "higher" nor "lower", or a baseline is zero, negative, NaN or infinite.
    """
    for name, other in (("baseline", baseline), ("better", better)):
        if set(other) != set(figures):
            raise SpecError(f"tasks {sorted(other)} do not match the figures' {sorted(figures)}", field=name)
    if not figures:
        raise SpecError("no task to compare", field="delta_m")
    gains = {}
    for task, value in figures.items():
        base, direction = baseline[task], better[task]
        if direction not in ("higher", "lower"):
            raise SpecError(f"direction {direction!r}", field=task, mend="Use 'higher' or 'lower'")
        if not math.isfinite(base) or base <= 0:
            raise SpecError(f"no gain relative to {base}", field=task, mend="Baselines must be finite and above 0")
        gains[task] = (100.0 if direction == "higher" else -100.0) * (value - base) / base
    return gains


def delta_m(figures: Mapping[str, float], baseline: Mapping[str, float], better: Mapping[str, str]) -> float:
    """Mean of `delta_contributions` over tasks, in percent.

    Example:
        MTI-Net Table 2a, the row with both auxiliary tasks against the single-task row:

        >>> signs = {"semseg": "higher", "depth": "lower"}
        >>> round(delta_m({"semseg": 37.49, "depth": 0.607}, {"semseg": 33.18, "depth": 0.667}, signs), 4)
        10.9926
    """
    gains = delta_contributions(figures, baseline, better)
    return math.fsum(gains.values()) / len(gains)
