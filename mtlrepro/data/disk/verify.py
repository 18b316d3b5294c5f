"""Decode a dataset once before anything is trained on it, so that a bad label does not end a run after hours."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mtlrepro.data.sample import Dataset
from mtlrepro.files import write_json
from mtlrepro.progress import track

SAMPLES = 20_000
"""Of a larger split at most so many samples are decoded, evenly spread: all of Taskonomy would take hours."""


def verify(dataset: Dataset, digest: str, remembered: Path) -> None:
    """Decode the samples of a split, unless that was done before; shows progress on a terminal.

    Args:
        dataset: the split.
        digest: its digest: what was found good stays good while it is the same.
        remembered: folder that remembers what was decoded.

    Raises:
        DataError: the first sample that cannot be read, naming its file.
    """
    stamp = remembered / f"decoded-{digest[:32]}.json"
    if stamp.exists():
        return
    rows = range(0, len(dataset), max(1, -(-len(dataset) // SAMPLES)))
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        futures = [pool.submit(_decode, dataset, i) for i in rows]
        for future in track(futures, len(rows), f"samples of {dataset.info.name} decoded"):
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
    write_json(stamp, {"samples": len(rows)})


def _decode(dataset: Dataset, index: int) -> None:
    dataset[index]
