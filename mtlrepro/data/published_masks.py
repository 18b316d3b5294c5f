"""The label masks that the public reference implementation comes with (JTR, CVPR 2024): known by digest, not copied.

A user's file that stands for one of them is checked against its digests.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from mtlrepro.data.partial import GENERATED, INSTEAD, KEY, LabelMask
from mtlrepro.errors import DataError


@dataclass(frozen=True)
class Published:
    """What is known of a mask file that the public reference implementation comes with.

    Attributes:
        dataset: key of the dataset.
        setting: key of `SETTINGS`.
        rows: number of images.
        columns: tasks in the order of the columns.
        counts: labels per column.
        file_sha256: hex SHA-256 of the file.
        codes_sha256: hex SHA-256 of the mask's codes; it holds however the tensor was saved again.
    """

    dataset: str
    setting: str
    rows: int
    columns: tuple[str, ...]
    counts: tuple[int, ...]
    file_sha256: str
    codes_sha256: str

    @property
    def name(self) -> str:
        """Dataset and setting."""
        return f"{self.dataset} {self.setting}"


PUBLISHED: tuple[Published, ...] = (
    Published(
        "nyuv2_13",
        "onelabel",
        795,
        ("semseg", "depth", "normals"),
        (265, 265, 265),
        "757b3a95e1bc5145c1e72a783a489539f4c52004de338cb9798d8e227df6f389",
        "73a2888e94c07ff5ac2167e291c24f60ab110637a991497a2fd33264021f386f",
    ),
    Published(
        "nyuv2_13",
        "randomlabels",
        795,
        ("semseg", "depth", "normals"),
        (392, 408, 385),
        "54e7bcbb739bb071d097fd77e4654ab830daeea41730fadaf0a4741ac7436a12",
        "1f26f8682bc9d33523aedaad067dd6e21f26612c9c6ff68a6fc8f2679a69e091",
    ),
    Published(
        "cityscapes_7",
        "onelabel",
        2975,
        ("semseg", "depth"),
        (1487, 1488),
        "3ded35572b875fc36865354418b7f3c1ef23628d00987f8b5d260de8f0aa90d0",
        "ea879fd06dac7eee61d8f0d3cddfea79ba1490bd813d52fffad9891728930c3e",
    ),
)
"""The released masks. Row i belongs to file i of the training arrays that the same authors point to."""


def identify(mask: LabelMask) -> str:
    """The published mask that `mask` is, or was made from: "published nyuv2_13 onelabel"; else an empty text."""
    first = mask.origin or mask
    found = (first.tasks, _digest(first))
    return next((f"published {p.name}" for p in PUBLISHED if (p.columns, p.codes_sha256) == found), "")


def check_published(mask: LabelMask, dataset: str, setting: str) -> None:
    """Refuse a file that stands where a published mask belongs, and is another.

    A generated mask passes, and so does any mask of a dataset and setting for which none was published.

    Raises:
        DataError: if it is another; names the file and both digests of codes.
    """
    if mask.source == GENERATED:
        return
    for known in PUBLISHED:
        if (known.dataset, known.setting) == (dataset, setting) and identify(mask) != f"published {known.name}":
            raise DataError(
                f"is not the published mask {known.name}: its codes have SHA-256 "
                f"{_digest(mask.origin or mask)}, expected {known.codes_sha256}",
                file=mask.source,
                field=KEY,
                mend=f"Get the released file (SHA-256 {known.file_sha256}), or {INSTEAD}",
            )


def _digest(mask: LabelMask) -> str:
    return hashlib.sha256(mask.codes().encode()).hexdigest()
