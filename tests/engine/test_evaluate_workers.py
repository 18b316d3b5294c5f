"""Evaluation by several processes: readers, counters, and shares of a split leave every bit as it is."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_runs import complete, spec_over
from hypothesis import given
from hypothesis import strategies as st
from test_evaluate import CPU, FOUR, TASKS, Oracle, pairs, states
from torch import Tensor, nn

from mtlrepro import collective
from mtlrepro.data.loader import eval_samples
from mtlrepro.data.sample import Dataset
from mtlrepro.engine import evaluate as evaluate_module
from mtlrepro.engine.evaluate import FORWARD, Meters, evaluate, figures, merge, share, whole
from mtlrepro.engine.run import Machine
from mtlrepro.errors import DataError, SpecError, TrainingError
from mtlrepro.metrics import odsf
from mtlrepro.metrics.base import HostMetric
from mtlrepro.spec import RunSpec, options


class Blurred(nn.Module):
    """Predicts something else than the labels, the same for the same image."""

    def __init__(self, samples: Any):
        super().__init__()
        self.oracle = Oracle(samples)

    def forward(self, image: Tensor) -> Any:
        outputs = self.oracle(image)
        for name, maps in outputs.final.items():
            outputs.final[name] = maps / 8 + image[:, :1, :, :] / 3
        return outputs


def judged(count: int, workers: int, **options: Any) -> dict[Any, Tensor]:
    samples = pairs(count)
    return states(evaluate(Blurred([*samples]), TASKS, samples, device=CPU, workers=workers, **options))


def same(one: dict[Any, Tensor], two: dict[Any, Tensor]) -> bool:
    assert one.keys() == two.keys()
    return all(torch.equal(value.nan_to_num(-1.0), two[name].nan_to_num(-1.0)) for name, value in one.items())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    before = multiprocessing.active_children()
    yield
    assert multiprocessing.active_children() == before, "a process is left"


@pytest.mark.parametrize("count", [3, FORWARD + 3])
def test_workers_change_no_bit(count: int) -> None:
    alone = judged(count, 0)
    assert any("odsf" in protocol for _, _, protocol, _ in alone)
    assert same(alone, judged(count, 2))


def test_no_process_is_started_for_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*arguments: Any) -> Any:
        raise AssertionError("a process was started")

    monkeypatch.setattr(evaluate_module, "ahead", started)
    assert not any("odsf" in protocol for _, _, protocol, _ in judged(3, 2, costly=False))


class Refusing(odsf.BoundaryNMS):
    """Finds an error where an image is counted."""

    def jobs(self, prediction: Tensor, target: Tensor) -> list[Callable[[], Any]]:
        return [refuse for _ in super().jobs(prediction, target)]


class Deadly(odsf.BoundaryNMS):
    """Kills the process that counts."""

    def jobs(self, prediction: Tensor, target: Tensor) -> list[Callable[[], Any]]:
        return [die for _ in super().jobs(prediction, target)]


def refuse() -> None:
    raise SpecError("no such thing", field="edges")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def by(metric: type[HostMetric], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(TASKS["edges"]), "metrics", lambda task: [metric()])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_a_counter_is_the_one_it_raised(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    by(Refusing, monkeypatch)
    with pytest.raises(SpecError, match="no such thing") as caught:
        judged(3, workers)
    assert caught.value.field == "edges"


def test_an_error_of_a_label_is_told_while_counters_work() -> None:
    samples = pairs(2 * FORWARD)
    samples[-1][1]["semseg"][5, 5] = 77
    network = Oracle(pairs(2 * FORWARD)).train()
    with pytest.raises(DataError, match="77"):
        evaluate(network, TASKS, samples, device=CPU, workers=2)
    assert network.training


def test_a_killed_counter_is_named(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtlrepro.tasks.depth.Depth.metrics", lambda task: [Deadly()])
    monkeypatch.setattr(Deadly, "__init__", lambda self: odsf.BoundaryNMS.__init__(self))
    real = Deadly.jobs

    def jobs(self: Deadly, prediction: Tensor, target: Tensor) -> list[Callable[[], Any]]:
        return real(self, torch.rand_like(prediction), (target > 3).float())

    monkeypatch.setattr(Deadly, "jobs", jobs)
    with pytest.raises(TrainingError, match="a worker process died") as caught:
        complete(spec_over(tiny_dataset, epochs=1), tmp_path, machine=Machine(workers=1))
    assert caught.value.field == "workers"
    assert (tmp_path / "checkpoint.safetensors").exists()


# --- readers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", [None, [0, 2, 3]])
def test_readers_change_no_sample(positions: list[int] | None, tiny_dataset: Path) -> None:
    from mtlrepro.data import build_dataset

    dataset: Dataset = build_dataset(spec_over(tiny_dataset).data, "val")
    alone, read = (list(eval_samples(dataset, (24, 40), "resize", workers, positions)) for workers in (0, 2))
    assert len(alone) == len(read) == len(positions or range(4))
    for (image, labels), (other, others) in zip(alone, read, strict=True):
        assert torch.equal(image, other)
        assert labels.keys() == others.keys()
        assert all(torch.equal(label, others[name]) for name, label in labels.items())
    if positions:
        assert torch.equal(alone[1][0], list(eval_samples(dataset, (24, 40)))[2][0])


def scenes_with_edges() -> RunSpec:
    spec = spec_over(Path("scenes"), epochs=1)
    data = replace(spec.data, train=4, val=10, options=options(classes=13))
    return replace(spec, data=data, model=replace(spec.model, main=("edges", "depth")))


def test_a_run_with_workers_keeps_every_bit(tmp_path: Path) -> None:
    alone = complete(scenes_with_edges(), tmp_path / "alone")
    shared = complete(scenes_with_edges(), tmp_path / "shared", machine=Machine(workers=2))
    assert shared.differences(alone) == []
    assert any("odsf" in name for name in alone.metrics)


# --- shares -----------------------------------------------------------------------------------------------------------


@given(samples=st.integers(0, 70), ranks=st.integers(1, 5))
def test_groups_are_dealt_whole_and_once(samples: int, ranks: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collective, "ranks", lambda: ranks)
        shares = []
        for rank in range(ranks):
            patch.setattr(collective, "rank", lambda rank=rank: rank)
            shares.append(share(samples))
    assert sorted(position for mine in shares for position in mine) == list(range(samples))
    assert all(mine == sorted(mine) for mine in shares)
    groups = [{position // FORWARD for position in mine} for mine in shares]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


@pytest.mark.parametrize("count", [19, 4])
@pytest.mark.parametrize("ranks", [2, 3])
def test_shares_merge_to_the_whole(ranks: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """19 samples are three groups, and 4 are one, so that the other processes have none."""
    samples = pairs(count)
    network = Blurred(samples)
    expected = states(evaluate(network, TASKS, samples, device=CPU))
    parts: list[Meters] = []
    monkeypatch.setattr(collective, "ranks", lambda: ranks)
    for rank in range(ranks):
        monkeypatch.setattr(collective, "rank", lambda rank=rank: rank)
        mine = share(count)
        parts.append(evaluate(network, TASKS, [samples[i] for i in mine], device=CPU, positions=mine))
    monkeypatch.setattr(collective, "gathered", lambda meters: parts)
    found = states(whole(parts[-1]))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.dtype == expected[name].dtype
        assert torch.allclose(value.double(), expected[name].double(), rtol=1e-12, atol=0, equal_nan=True)
        assert value.is_floating_point() or torch.equal(value, expected[name])


def test_a_process_alone_gathers_nothing() -> None:
    samples = pairs(2)
    meters = evaluate(Oracle(samples), TASKS, samples, device=CPU)
    assert whole(meters) is meters
    assert figures(merge({}, meters)).keys() == figures(meters).keys()
    assert set(meters["final"]) == set(FOUR)
