"""How declared runs are executed where a user asks for another way than the papers': arithmetic, and shared batches.

Both are part of a run's spec, so that what was made so can never be taken for what was not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mtlrepro.engine.precision import PRECISIONS
from mtlrepro.errors import SpecError, unknown
from mtlrepro.spec import RunSpec


@dataclass(frozen=True)
class Execution:
    """What `--precision`, `--sync-bn` and the number of processes under torchrun change of every run.

    Attributes:
        precision: see `mtlrepro.spec.Recipe`, as for the following.
        ranks: processes that share every batch.
        sync_bn: whether they share the statistics of batch normalisation.
    """

    precision: str = "paper"
    ranks: int = 1
    sync_bn: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS, field="--precision")
        if self.sync_bn and self.ranks == 1:
            mend = "Leave it out, or start with torchrun --nproc-per-node N"
            raise SpecError("one process has no statistics to share", field="--sync-bn", mend=mend)

    def applied(self, spec: RunSpec) -> RunSpec:
        """A run, and those it needs, executed so."""
        recipe = replace(spec.recipe, precision=self.precision, ranks=self.ranks, sync_bn=self.sync_bn)
        return replace(spec, recipe=recipe, needs=tuple(map(self.applied, spec.needs)))

    @property
    def variation(self) -> str:
        """What of it makes another experiment than the declared one; "" where nothing does.

        Batches whose statistics are shared are the declared ones but for rounding.
        """
        changes = [f"precision={self.precision} in place of paper"] if self.precision != "paper" else []
        if self.ranks > 1 and not self.sync_bn:
            changes.append(f"batch normalisation over a {self.ranks}th of each batch")
        return "; ".join(changes)

    def remarks(self, tiers: Iterable[str | None]) -> list[str]:
        """What is said of it below a table whose rows were served at these tiers."""
        how = [f"precision {self.precision!r} in place of 'paper'"] if self.precision != "paper" else []
        if self.ranks > 1:
            statistics = "shared statistics" if self.sync_bn else "statistics of its own share in each"
            how.append(f"every batch dealt to {self.ranks} processes, batch normalisation by {statistics}")
        return [f"Trained with {'; '.join(how)}."] if how and any(tiers) else []


DECLARED = Execution()
"""As declared."""
