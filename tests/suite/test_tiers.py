"""Tiers: what a machine can serve, the named reasons for what it cannot."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mtlrepro.data.disk.marker import Marker, write_marker
from mtlrepro.data.disk.origin import PREPARED
from mtlrepro.data.disk.prepare.record import new_record
from mtlrepro.files import write_json
from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, Recipe, RunSpec
from mtlrepro.suite import tiers
from mtlrepro.suite.shrink import REHEARSAL_EPOCHS
from mtlrepro.suite.tiers import Capacity, serve

PAPER = RunSpec(
    DataSpec("nyuv2", (480, 640)),
    ModelSpec("padnet", "hrnet18", ("semseg",), ("semseg",), weights="tag"),
    Recipe("adam", 1e-4, 1e-4, 6, 80),
)


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch) -> list[str | Path]:
    """What looking for the dataset answers."""
    answer: list[str | Path] = [Path("/data")]
    monkeypatch.setattr(tiers, "find_dataset", lambda name, root, cache: answer[0])
    return answer


@pytest.mark.parametrize(
    ("gpus", "found", "tier", "served", "reasons"),
    [
        (
            *(0, False, "auto", "smoke"),
            ["full: nyuv2: not there; and no CUDA GPU is visible", "bench: no CUDA GPU is visible"],
        ),
        (0, False, "full", None, ["full: nyuv2: not there; and no CUDA GPU is visible"]),
        (0, True, "auto", "smoke", ["full: no CUDA GPU is visible", "bench: no CUDA GPU is visible"]),
        (1, False, "auto", "bench", ["full: nyuv2: not there"]),
        (1, True, "auto", "full", []),
        (1, True, "smoke", "smoke", []),
        (1, True, "bench", "bench", []),
        (0, True, "full", None, ["full: no CUDA GPU is visible"]),
        (1, False, "full", None, ["full: nyuv2: not there"]),
        (0, False, "bench", None, ["bench: no CUDA GPU is visible"]),
    ],
)
def test_the_strongest_tier_with_named_reasons(gpus, found, tier, served, reasons, dataset) -> None:
    dataset[0] = Path("/data") if found else "nyuv2: not there"
    service = serve((PAPER,), tier, Capacity(gpus, None))
    assert (service.tier, service.not_run) == (served, "; ".join(reasons))
    assert len(service.specs) == (0 if served is None else 1)


def test_the_real_dataset_search_names_what_is_missing(tmp_path: Path) -> None:
    for root in (None, tmp_path):
        service = serve((PAPER,), "auto", Capacity(0, root))
        assert service.tier == "smoke"
        assert service.not_run.startswith("full: nyuv2: ")
        assert "no CUDA GPU" in service.not_run


def test_one_spec_that_cannot_be_served_holds_its_row_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "find_dataset", lambda name, root, cache: "gone" if name == "taskonomy" else Path("/"))
    other = dataclasses.replace(PAPER, data=DataSpec("taskonomy", (256, 256)))
    assert serve((PAPER, other), "auto", Capacity(1, None)).tier == "bench"


def test_a_second_stream_is_a_dataset_like_the_first_unless_it_comes_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tiers, "find_dataset", lambda name, root, cache: Path("/") if name == "nyuv2" else f"{name}: gone"
    )

    def served(extra: ExtraData) -> tuple[str | None, str]:
        spec = dataclasses.replace(PAPER, data=dataclasses.replace(PAPER.data, extra=extra))
        service = serve((spec,), "auto", Capacity(1, None))
        return service.tier, service.not_run

    assert served(ExtraData("nyuv2_depth", ("depth",))) == ("bench", "full: nyuv2_depth: gone")
    assert served(ExtraData("unlabelled")) == ("full", "")
    elsewhere = dataclasses.replace(PAPER, data=dataclasses.replace(PAPER.data, val_name="cityscapes"))
    assert tiers.datasets(elsewhere) == ["nyuv2", "cityscapes"]
    assert serve((elsewhere,), "auto", Capacity(1, None)).not_run == "full: cityscapes: gone"


@pytest.mark.parametrize(
    ("gpus", "tier", "served", "reason"),
    [
        (1, "auto", "bench", ""),
        (1, "full", "bench", ""),
        (1, "bench", "bench", ""),
        (1, "smoke", "smoke", ""),
        (0, "auto", "smoke", "bench: no CUDA GPU is visible"),
        (0, "full", None, "bench: no CUDA GPU is visible"),
    ],
)
def test_a_panel_of_times_and_memory_needs_no_whole_training(gpus, tier, served, reason, dataset) -> None:
    service = serve((PAPER,), tier, Capacity(gpus, None), timed=True)
    assert (service.tier, service.not_run) == (served, reason)


def test_full_on_a_synthetic_copy_is_a_rehearsal_and_only_where_asked_for(dataset, tmp_path: Path) -> None:
    dataset[0] = tmp_path
    assert serve((PAPER,), "full", Capacity(1, None)).tier == "full"
    write_marker(tmp_path, Marker("nyuv2", {"train": 8, "val": 2}, (64, 96), 0))
    for gpus in (0, 1):
        service = serve((PAPER,), "full", Capacity(gpus, None))
        assert service.tier == "rehearsal"
        assert f"nyuv2 in {tmp_path} is a synthetic copy" in service.not_run
        (spec,) = service.specs
        assert (spec.data.name, spec.data.augment) == ("nyuv2", PAPER.data.augment)
        assert spec.data.train is None
        assert spec.model.backbone == "hrnet_nano"
        assert spec.recipe.epochs == REHEARSAL_EPOCHS
        assert serve((PAPER,), "auto", Capacity(gpus, None)).tier == ("bench" if gpus else "smoke")


def test_a_rehearsal_needs_every_dataset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_marker(tmp_path, Marker("nyuv2", {"train": 8, "val": 2}, (64, 96), 0))
    monkeypatch.setattr(
        tiers, "find_dataset", lambda name, root, cache: tmp_path if name == "nyuv2" else f"{name}: gone"
    )
    spec = dataclasses.replace(PAPER, data=dataclasses.replace(PAPER.data, extra=ExtraData("nyuv2_depth", ("depth",))))
    service = serve((spec,), "full", Capacity(0, None))
    assert service.tier is None
    assert "rehearsal: nyuv2_depth: gone" in service.not_run


def test_files_that_are_not_the_release_are_remarked_on(dataset, tmp_path: Path) -> None:
    dataset[0] = tmp_path
    assert Capacity(1, None).remark("nyuv2") == ""
    write_json(tmp_path / "mtlrepro-prepared.json", new_record("nyuv2", {}))
    capacity = Capacity(1, None)
    assert capacity.remark("nyuv2") == f"nyuv2 in {tmp_path} is {PREPARED}"
    assert serve((PAPER,), "full", capacity).tier == "full"
    dataset[0] = "nyuv2: not there"
    assert Capacity(1, None).remark("nyuv2") == ""
