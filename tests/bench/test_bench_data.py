"""Images a second of every reader with its paper's transforms, and what decoded files and samples in memory bring.

What is compared is measured in turns within one test. Datasets are scenes in the releases' layouts and byte formats, at
the releases' sizes, where benchmarks are asked for alone (`--benchmark-only`); among the tests they only have to run.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from mtlrepro.data import DATASETS, build_dataset
from mtlrepro.data import resident as resident_module
from mtlrepro.data.disk.synthesize import WRITERS, synthesize
from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.sample import Batch, Dataset
from mtlrepro.data.streams import Stream
from mtlrepro.spec import DataSpec
from mtlrepro.tasks import make_tasks

TRANSFORMS = {
    "nyuv2": ("flip_zoom", (480, 640)),  # MTI-Net
    "nyuv2_13": ("crop_photo", (288, 384)),  # JTR
    "nyuv2_invpt": ("scale_flip_distort", (448, 576)),  # InvPT
    "nyuv2_depth": ("crop_photo", (288, 384)),  # JTR, second stream
    "nyuv2_video": ("distort", (480, 640)),  # 3D-aware regulariser
    "pascal_context": ("flip_rotate", (512, 512)),  # MTI-Net
    "cityscapes_7": ("flip_crop_photo", (128, 256)),  # JTR
    "taskonomy": ("crop_photo", (256, 256)),  # JTR
}
"""Augmentation and network input in the papers; of all other datasets as DenseMTL trains on street scenes."""

STREETS = ("flip", (512, 1024))
SAMPLES, BATCH, COPIES = 2, 4, 16


class Pace(NamedTuple):
    """How thoroughly rates are measured: at least over so many seconds and batches, on copies of a size."""

    seconds: float
    batches: int
    size: tuple[int, int] | None


MEASURED, TRIED = Pace(3.0, 16, None), Pace(0.0, 1, (96, 128))


@pytest.fixture(scope="module")
def pace(request: pytest.FixtureRequest) -> Pace:
    return MEASURED if request.config.getoption("benchmark_only") else TRIED


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, pace: Pace) -> Callable[[str], Path]:
    """Name of a dataset -> a data root that holds a small copy of it."""
    roots: dict[str, Path] = {}

    def release(name: str) -> Path:
        if name not in roots:
            roots[name] = tmp_path_factory.mktemp(name)
            synthesize(name, roots[name], {"train": SAMPLES, "val": 1}, pace.size)
        return roots[name]

    return release


def loader(dataset: Dataset, augment: str, size: tuple[int, int], workers: int = 0, **options) -> TrainLoader:
    rows = list(range(len(dataset))) * -(-BATCH // len(dataset))
    stream = Stream(dataset, rows, lambda index, task: True, BATCH)
    tasks = make_tasks(dataset.info.tasks, dataset.info)
    return TrainLoader((stream, None), tasks, size, augment, 0, workers, **options)


def rate(made: TrainLoader, pace: Pace, after: Callable[[Batch], object] = lambda batch: None) -> float:
    """Images a second in the long run: workers have started, and what they made ahead is used up."""
    iterator = made.batches()
    for batch in itertools.islice(iterator, pace.batches // 2):
        after(batch)
    began, images = time.perf_counter(), 0
    for number in itertools.count(1):
        batch = next(iterator)
        after(batch)
        assert batch.image.shape == (BATCH, 3, *made.size)
        images += len(batch.image)
        seconds = time.perf_counter() - began
        if seconds > pace.seconds and number >= pace.batches:
            break
    iterator.close()  # type: ignore[attr-defined]
    return images / seconds


def decoding(dataset: Dataset, pace: Pace) -> float:
    """Images a second that one process reads, without any transform."""
    began, images = time.perf_counter(), 0
    while not images or time.perf_counter() - began < pace.seconds:
        dataset[images % len(dataset)]
        images += 1
    return images / (time.perf_counter() - began)


def report(benchmark: BenchmarkFixture, name: str, figures: dict[str, float]) -> None:
    benchmark.extra_info.update({key: round(value, 2) for key, value in figures.items()})
    print(f"\n{name}: " + ", ".join(f"{key} {value:.1f}" for key, value in figures.items()))


@pytest.mark.parametrize("name", [name for name in WRITERS if name in DATASETS])  # others are raw material
def test_readers(
    benchmark: BenchmarkFixture, releases: Callable[[str], Path], tmp_path: Path, pace: Pace, name: str
) -> None:
    augment, size = TRANSFORMS.get(name, STREETS)
    dataset = build_dataset(DataSpec(name, size), "train", releases(name))

    def measure() -> dict[str, float]:
        return {
            "decoding alone, one process": decoding(dataset, pace),
            "two workers": rate(loader(dataset, augment, size, 2), pace),
            "two workers, decoded files": rate(loader(dataset, augment, size, 2, cache=tmp_path), pace),
            "samples in memory, one process": rate(loader(dataset, augment, size), pace),
        }

    figures = benchmark.pedantic(measure, rounds=1)
    report(benchmark, f"images/s of {name}, {augment} at {size[0]}x{size[1]}", figures)
    assert min(figures.values()) > 0


@pytest.fixture(scope="module")
def nyud(releases: Callable[[str], Path]) -> Dataset:
    """NYUD-v2 whose few samples are there several times, as files of their own."""
    root = next(iter(releases("nyuv2").glob("*/mtlrepro-synthetic.json"))).parent
    listing = root / "gt_sets/train.txt"
    names = listing.read_text().split()
    for file in [file for file in root.rglob("*") if file.stem in names and file.is_file()]:
        for copy in range(COPIES):
            shutil.copy(file, file.with_stem(f"{file.stem}_{copy}"))
    listing.write_text("\n".join(f"{name}_{copy}" for name in names for copy in range(COPIES)))
    marker = json.loads((root / "mtlrepro-synthetic.json").read_text())
    marker["counts"]["train"] = len(names) * COPIES
    (root / "mtlrepro-synthetic.json").write_text(json.dumps(marker))
    return build_dataset(DataSpec("nyuv2", (480, 640)), "train", root.parent)


def evicted(folder: Path) -> None:
    """Take files out of the system's memory, as they are after a restart."""
    for file in (file for file in folder.rglob("*") if file.is_file()):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_epochs(benchmark: BenchmarkFixture, nyud: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first epoch decodes and writes, later ones read what it wrote; nothing is kept by this process."""
    monkeypatch.setattr(resident_module, "CACHE_BYTES", 0)

    def epoch(cache: Path | None) -> float:
        made = loader(nyud, "flip_zoom", (480, 640), cache=cache)
        began = time.perf_counter()
        for step in range(made.steps_per_epoch):
            made.batch_at(step)
        return made.steps_per_epoch * BATCH / (time.perf_counter() - began)

    def measure() -> dict[str, float]:
        nyud.digest()
        evicted(nyud.root)  # type: ignore[attr-defined]
        figures = {"first, from disk": epoch(tmp_path), "later": epoch(tmp_path)}
        evicted(tmp_path)
        figures |= {"later, files not in memory": epoch(tmp_path), "without decoded files": epoch(None)}
        return figures

    figures = benchmark.pedantic(measure, rounds=1)
    report(benchmark, "images/s of an epoch of nyuv2, one process", figures)
    assert min(figures.values()) > 0


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_samples_in_memory_against_workers(
    benchmark: BenchmarkFixture, nyud: Dataset, tmp_path: Path, pace: Pace, device: str
) -> None:
    """Batches on the device they are trained on: made there of samples that stay there, or by two workers."""

    def arrived(batch: Batch) -> None:
        batch.to(device)
        if device == "cuda":
            torch.cuda.synchronize()

    def measure() -> dict[str, float]:
        pairs = [
            (
                rate(loader(nyud, "flip_zoom", (480, 640), device=device), pace, arrived),
                rate(loader(nyud, "flip_zoom", (480, 640), 2, cache=tmp_path), pace, arrived),
            )
            for _ in range(3 if pace is MEASURED else 1)
        ]
        memory, workers = (statistics.median(values) for values in zip(*pairs, strict=True))
        ratio = statistics.median(one / two for one, two in pairs)
        return {"samples in memory": memory, "two workers": workers, "ratio": ratio}

    figures = benchmark.pedantic(measure, rounds=1)
    report(benchmark, f"images/s of nyuv2 on {device}", figures)
    assert figures["ratio"] > 0


def test_a_decoded_sample(benchmark: BenchmarkFixture, nyud: Dataset, tmp_path: Path) -> None:
    """Reading one decoded sample of 480x640, checksums included."""
    made = loader(nyud, "none", (480, 640), cache=tmp_path)
    source = made._base.sources[0]
    rows: Iterator[int] = itertools.cycle(range(len(nyud)))
    for row in range(len(nyud)):
        source[row]
    sample = benchmark(lambda: source[next(rows)])
    assert sample["image"].shape == (3, 480, 640)
