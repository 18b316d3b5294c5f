"""What the cost of a row is counted as, with and without its training."""

from __future__ import annotations

from pathlib import Path

from jtr_session import jtr

from mtlrepro.suite.launch import CostJob
from mtlrepro.suite.session import Options, Session


class Asked:
    """A launcher that keeps what it is given and does nothing."""

    def __init__(self) -> None:
        self.jobs: list[object] = []

    def submit(self, jobs: list[object]) -> None:
        self.jobs += jobs

    def close(self) -> None:
        pass


def cost_jobs(tmp_path: Path, dataset: str, table: str, panel: str, row: str) -> list[CostJob]:
    launcher, bound = Asked(), jtr(dataset, table, panel)
    Session(Options("smoke", runs=tmp_path), launcher).plan([(bound, bound.row(row))])  # type: ignore[arg-type]
    return [job for job in launcher.jobs if isinstance(job, CostJob)]


def test_a_table_of_times_counts_what_the_objective_adds(tmp_path: Path) -> None:
    (job,) = cost_jobs(tmp_path, "nyuv2_13", "6", "SegNet", "Ours (JTR)")
    cost = job.execute(lambda event: None, wait=True)
    assert cost is not None
    assert (cost["params"], cost["train_params"]) == (25_055_185, 50_044_578)
    assert round(cost["macs"] / 1e9, 1) == 68.6
    assert round(cost["train_macs"] / 1e9, 1) == 397.9
    assert job.execute(lambda event: None, wait=True) == cost  # from the store


def test_other_tables_count_the_network_alone(tmp_path: Path) -> None:
    (plain,) = cost_jobs(tmp_path, "nyuv2_13", "16", "", "Cosine Distance")
    assert plain.training is None
    cost = plain.execute(lambda event: None, wait=True)
    assert cost is not None
    assert {"train_params", "train_macs"}.isdisjoint(cost)
    (timed,) = cost_jobs(tmp_path, "nyuv2_13", "6", "SegNet", "Ours (JTR)")
    assert timed.key != plain.key  # the same network, but more is counted
