"""DenseMTL's cells that a session must not hold a method to, and the settings that its findings name."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import replace
from pathlib import Path

import pytest

from mtlrepro.data import target
from mtlrepro.expected.findings import load_findings
from mtlrepro.expected.load import load_table
from mtlrepro.expected.tolerances import load_tolerances
from mtlrepro.models import MODELS
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.profiling.cost import model_cost
from mtlrepro.suite import verdict
from suites.dense_mtl import test_vkitti2_table_3 as positions
from suites.dense_mtl.methods import METHODS, SDN, VKITTI2

EXPECTED = Path(__file__).resolve().parents[2] / "expected"
CHANNELS = {"semseg": 14, "depth": 1, "normals": 3}
SIZES = {"sd_par": "S-D", "sdn_par": "S-D-N"}
SWAPPED = {("sdn_par", stage) for stage in "4321"}


@pytest.mark.parametrize("table", ["6a", "6b"])
def test_rmse_of_target_rows_is_not_judged_by_a_protocol_that_scales(table: str) -> None:
    printed = load_table(EXPECTED / "dense_mtl" / f"table_{table}.toml")
    assert printed.column("dep").protocol == "depth/images-median@1"
    aside = {row.name: set(row.set_aside) for row in printed.rows if row.set_aside}
    assert aside == {"STL target": {"dep"}, "MTL target": {"dep"}}
    assert all("depth/images@1" in row.set_aside["dep"] for row in printed.rows if row.set_aside)


def block_size(tasks: int, channels: int) -> float:
    """Parameters of an exchange block: for every ordered pair its attention, for every task its fusion."""
    pairs = tasks * (tasks - 1)
    return pairs * (22.5 * channels**2 + 10 * channels) + tasks * ((tasks - 1) * channels**2 + 2 * channels)


@pytest.mark.parametrize(("key", "panel"), SIZES.items())
def test_added_parameters_are_those_of_the_print_but_for_four_swapped_ones(key: str, panel: str) -> None:
    printed = load_table(EXPECTED / "dense_mtl" / "table_3.toml")
    column = printed.column(key)
    tolerance = load_tolerances(EXPECTED / "tolerances.toml").of(column.protocol)
    rows = [row for row in positions.TABLE.rows if row.panel == panel]
    assert len(rows) == 8
    for row in rows:
        model, line = row.specs[0].model, printed.row("", row.name)
        added = model_cost(replace(model, weights=None), CHANNELS, (64, 64)).added_params
        stages = dict(model.options).get("stages", (1,))
        assert added == sum(block_size(len(model.main), {4: 256, 3: 256}.get(stage, 128)) for stage in stages)
        known = next((d for d in printed.deviations if (d.row, d.column) == (line.id, key)), None)
        cell = printed.value(line, column)
        assert cell is not None
        check = verdict.resource(column, cell, added * column.scale, False, tolerance, known)
        assert check.verdict == ("XFAIL" if (key, row.name) in SWAPPED else "PASS"), (row.name, check.reason)
        if known:
            assert known.observed == pytest.approx(added * column.scale, rel=1e-9)
    assert {(d.column, d.row) for d in printed.deviations} == SWAPPED


def settings(*classes: type) -> set[str]:
    """Keyword arguments of classes and their bases."""
    made = [vars(base).get("__init__") for cls in classes for base in cls.__mro__]
    return {name for init in made if init for name in inspect.signature(init).parameters}


def dataset(name: str) -> type:
    """The class of a dataset key."""
    module, attribute = target(name).split(":")
    return getattr(importlib.import_module(module), attribute)


def test_options_that_findings_name_exist() -> None:
    networks = {spec.model.arch for method in METHODS.values() for spec in method(VKITTI2, SDN)}
    known = {
        "data": settings(*map(dataset, ("virtual_kitti2", "nyuv2_invpt", "cityscapes"))),
        "model": settings(*(MODELS[arch] for arch in networks)),
        "objective": settings(*(OBJECTIVES[name] for name in ("multi_scale", "adaptation", "self_supervised"))),
    }
    keys = [f.key for f in load_findings(EXPECTED, "dense_mtl") if ".options." in f.key]
    assert len(keys) >= 9
    for key in keys:
        part, _, option = key.split(".")
        assert option in known[part], key
