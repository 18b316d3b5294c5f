"""Datasets without an official split: a random one, as DenseMTL (WACV 2023) draws it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mtlrepro.data.disk.description import Description
from mtlrepro.data.disk.readers.outdoor import Outdoor
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import DataError, unknown

Draw = Callable[[Sequence[str], Mapping[str, int], random.Random], dict[str, list[str]]]


def _released(names: Sequence[str], counts: Mapping[str, int], g: random.Random) -> dict[str, list[str]]:
    train, val = _shuffled(names, g), _shuffled(names, g)
    return {"train": train[: counts["train"]], "val": val[len(val) - counts["val"] :]}


def _all(names: Sequence[str], counts: Mapping[str, int], g: random.Random) -> dict[str, list[str]]:
    return _released(names, {**counts, "train": len(names)}, g)


def _disjoint(names: Sequence[str], counts: Mapping[str, int], g: random.Random) -> dict[str, list[str]]:
    order = _shuffled(names, g)
    return {"train": order[: counts["train"]], "val": order[len(order) - counts["val"] :]}


class Policy(NamedTuple):
    """How names are dealt out, and what a report says of that."""

    deal: Draw
    says: str


POLICY, SPLIT_SEED = "released", 42
"""What is chosen where nothing is said."""

POLICIES = {
    "released": Policy(_released, "most validation images are training images, as in the public code"),
    "disjoint": Policy(_disjoint, "no validation image is a training image, unlike in the public code"),
    "all": Policy(_all, "all images are training images, those of the validation split too"),
}
"""How names are dealt out.

"released" is what the public reference implementation does, and what published figures most likely rest on: train is
the head of one permutation and val the tail of *another*, so that four of five val images are train images too.
"disjoint" takes head and tail of one permutation. Frames of a video that follow each other still fall on both sides.
"all" is for adaptation to another dataset, which is validated there: train is all of the first permutation, and val, as
with "released", a part of it.
"""


class Shuffled(Outdoor):
    """One part of a set of street scenes that has no official split; 80 % train, 20 % val.

    Args:
        policy: "released", as the public reference implementation splits: most of val is in train, too; "disjoint": no
            image is in both; "all": train is all images, val included, to adapt from them to another dataset.
        split_seed: of the permutation. The published runs seed it as the run itself; 42 by default.
        size, normals, classes, description, split, root, length, cache: see `Outdoor`.

    Raises:
        SpecError: an option that does not exist.
        DataError: see `Folder`; also if not all images are there, whichever split they would fall to.
    """

    overlapping = True
    KEPT = {"policy": {"all": "no image of it is evaluated on"}}

    def __init__(self, *args: Any, policy: str = POLICY, split_seed: int = SPLIT_SEED, **options: Any):
        self.policy, self.split_seed = _check_policy(policy), split_seed
        super().__init__(*args, **options)

    @classmethod
    def info_of(cls, description: Description, **options: Any) -> DatasetInfo:
        """`info` without any file, given the reader's options."""
        _check_policy(options.get("policy", POLICY))
        return super().info_of(description, **options)

    @classmethod
    def remark(cls, **options: Any) -> str:
        """What figures on these samples rest on, given the reader's options; see `Outdoor.remark`."""
        policy, seed = _check_policy(options.get("policy", POLICY)), options.get("split_seed", SPLIT_SEED)
        return f"{super().remark(**options)}, policy={policy} ({POLICIES[policy].says}), split_seed={seed}"

    def parameters(self) -> dict[str, Any]:
        """Options of the reader that change samples."""
        return {**super().parameters(), "policy": self.policy, "split_seed": self.split_seed}

    def chosen_ids(self, names: list[str]) -> list[str]:
        """The split's part of all names, in the order of the permutation."""
        counts = self._counts()
        total = sum(counts.values())
        if len(names) != total:
            problem = f"{len(names)} images, expected {total} (of both splits, which are drawn from all of them)"
            mend = "Complete the files: with others the split would be another"
            raise DataError(problem, file=self.root, field="counts", mend=mend)
        return dealt(names, counts, self.policy, self.split_seed)[self.split]

    def expected(self) -> dict[str, int]:
        """How many samples each split has by the policy."""
        counts = self._counts()
        parts = dealt([str(i) for i in range(sum(counts.values()))], counts, self.policy, self.split_seed)
        return {split: len(names) for split, names in parts.items()}

    def _counts(self) -> dict[str, int]:
        return self.marker.counts if self.marker else self.description.counts


def dealt(names: Sequence[str], counts: Mapping[str, int], policy: str, seed: int) -> dict[str, list[str]]:
    """Names of both splits.

    Args:
        names: of all images; they are sorted first.
        counts: number of train and val names; 0 for one that is left out.
        policy: one of `POLICIES`.
        seed: of Python's random numbers.
    """
    return POLICIES[policy].deal(sorted(names), {"train": 0, "val": 0, **counts}, random.Random(seed))


def _check_policy(policy: str) -> str:
    if policy not in POLICIES:
        raise unknown("split policy", policy, POLICIES, field="policy")
    return policy


def _shuffled(names: Sequence[str], g: random.Random) -> list[str]:
    order = list(names)
    g.shuffle(order)
    return order
