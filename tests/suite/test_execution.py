"""What a user changes of how declared runs are executed is part of every run's spec, and told."""

from dataclasses import replace

import pytest

from mtlrepro.errors import SpecError
from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec
from mtlrepro.suite.execution import Execution

TEACHER = RunSpec(
    DataSpec("scenes", (32, 32)), ModelSpec("stl", "hrnet_nano", ("depth",)), Recipe("adam", 1e-3, 0.0, 4, epochs=1)
)
SPEC = replace(TEACHER, needs=(TEACHER,))


def test_as_declared_changes_no_spec() -> None:
    assert Execution().applied(SPEC) == SPEC
    assert Execution().applied(SPEC).hash() == SPEC.hash()
    assert Execution().variation == ""
    assert Execution().remarks(["full"]) == []


@pytest.mark.parametrize(
    "execution", [Execution("fast"), Execution("tf32"), Execution(ranks=2), Execution("paper", 2, True)]
)
def test_every_other_way_makes_other_runs_of_a_run_and_of_those_it_needs(execution: Execution) -> None:
    changed = execution.applied(SPEC)
    assert changed.hash() != SPEC.hash()
    assert changed.needs == (execution.applied(TEACHER),)
    assert changed.needs[0].hash() != TEACHER.hash()
    assert RunSpec.from_json(changed.to_json()) == changed


def test_another_arithmetic_and_shares_of_statistics_are_other_experiments_and_shared_statistics_are_not() -> None:
    assert Execution("fast").variation == "precision=fast in place of paper"
    assert "4th of each batch" in Execution(ranks=4).variation
    assert Execution("paper", 4, sync_bn=True).variation == ""


def test_a_table_says_how_its_runs_were_executed() -> None:
    (sentence,) = Execution("fast", 2, sync_bn=True).remarks(["full", None])
    assert all(words in sentence for words in ("'fast'", "2 processes", "shared statistics"))
    assert Execution("fast").remarks([None]) == []  # nothing was trained


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(SpecError, match=r"--precision: unknown precision 'fasst'.*'fast'"):
        Execution("fasst")
    with pytest.raises(SpecError, match="--sync-bn: one process has no statistics to share"):
        Execution(sync_bn=True)
