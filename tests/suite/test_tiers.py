"""Tiers: what a machine can serve, the named reasons for what it cannot, and the twins."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from suite_fakes import SUITES

from mtlrepro.errors import SpecError
from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec, options
from mtlrepro.suite import tiers
from mtlrepro.suite.table import discover
from mtlrepro.suite.tiers import Capacity, bench, full, serve, smoke

PAPER = RunSpec(
    DataSpec("nyuv2", (480, 640)),
    ModelSpec("padnet", "hrnet18", ("semseg",), ("semseg",), weights="tag", options=options(a=1)),
    Recipe("adam", 1e-4, 1e-4, 6, 80),
)
ALL = [s for _, t in discover(SUITES) for r in t.rows for s in r.specs]


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch) -> list[str | Path]:
    """What looking for the dataset answers."""
    answer: list[str | Path] = [Path("/data")]
    monkeypatch.setattr(tiers, "find_dataset", lambda name, root: answer[0])
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
    monkeypatch.setattr(tiers, "find_dataset", lambda name, root: "gone" if name == "pascal" else Path("/"))
    other = dataclasses.replace(PAPER, data=DataSpec("pascal", (512, 512)))
    assert serve((PAPER, other), "auto", Capacity(1, None)).tier == "bench"


def test_full_is_the_paper_s_run_itself() -> None:
    assert full(PAPER) is PAPER


def test_bench_keeps_model_batch_and_resolution() -> None:
    twin = bench(PAPER)
    assert (twin.data.name, twin.data.size) == ("scenes", PAPER.data.size)
    assert twin.model == dataclasses.replace(PAPER.model, weights=None)
    assert twin.recipe == dataclasses.replace(PAPER.recipe, lr=twin.recipe.lr, epochs=tiers.BENCH_EPOCHS)
    assert twin.objective == PAPER.objective


def test_smoke_shrinks_by_configuration_alone() -> None:
    twin = smoke(PAPER)
    assert (twin.data.name, twin.data.size, twin.model.backbone) == ("scenes", tiers.SMOKE_SIZE, "hrnet_nano")
    assert twin.model.weights is None
    assert dict(twin.model.options) == {"a": 1, "width": 32}
    assert (twin.model.arch, twin.model.main, twin.model.aux) == (PAPER.model.arch, PAPER.model.main, PAPER.model.aux)
    assert twin.recipe.lr == pytest.approx(tiers.SMOKE_LR_FACTOR * PAPER.recipe.lr)
    assert (twin.recipe.optimizer, twin.recipe.schedule) == ("adam", "poly")


def test_a_backbone_without_a_smoke_twin_is_told() -> None:
    spec = dataclasses.replace(PAPER, model=dataclasses.replace(PAPER.model, backbone="resnet50_fpn"))
    with pytest.raises(SpecError, match="no smoke twin for backbone 'resnet50_fpn'") as caught:
        smoke(spec)
    assert "SMOKE_BACKBONES" in caught.value.mend


@pytest.mark.parametrize("shrink", [smoke, bench, full])
def test_distinct_runs_of_the_suites_stay_distinct_in_every_tier(shrink) -> None:
    distinct = set(ALL)
    assert len({shrink(s).hash() for s in distinct}) == len(distinct)
