"""MT-CP's recipes, row by row, as its paper (sections 3.5, 4) and, where that is silent, its public implementation.

Compared is what a run does rather than how its spec says it, so that neither a recipe nor a default can change
unnoticed. Rows that are not printed are held to differ from the row that they read otherwise in one thing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from recipe_facts import Facts, check, effective, reader
from suite_fakes import EXPECTED, ROOT, SUITES
from torch import nn

from mtlrepro.data import dataset_info
from mtlrepro.engine.optim import OPTIMIZERS, learning_rate
from mtlrepro.expected.findings import load_findings
from mtlrepro.expected.load import load_table, table_file
from mtlrepro.models import MODELS
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.weighting import WEIGHTINGS, build_weighting
from mtlrepro.spec import RunSpec, WeightingSpec
from mtlrepro.suite.evidence import training_length
from mtlrepro.suite.shrink import TWINS
from mtlrepro.suite.table import Row, bind, discover
from mtlrepro.tasks import make_tasks

Rows = dict[str, tuple[Facts, Facts]]
"""Row -> what its one run does, and how it weighs its losses."""

S, P, A, D, N = "semseg", "parts", "saliency", "depth", "normals"
ROOMS, PEOPLE = (S, D, N), (S, P, A)
LOSSES = {S: "cross_entropy", P: "cross_entropy", A: "balanced_cross_entropy", D: "l1_near", N: "l1"}

# --- data, networks, recipe -------------------------------------------------------------------------------------------

NO_STREAM: Facts = {"name": "", "tasks": (), "train": None, "options": {}, "augment": ""}
WHOLE: Facts = {
    **{"train": None, "val": None, "normalise": "imagenet", "labels": "full", "labels_over": (), "unlabelled": 0},
    **{"extra": NO_STREAM, "val_name": "", "val_options": {}, "options": {}, "percent": 100, "percent_seed": 0},
}
NYUD: Facts = {**WHOLE, "name": "nyuv2", "size": (480, 640), "augment": "flip_zoom"}
PASCAL: Facts = {
    **{**WHOLE, "name": "pascal_context", "size": (512, 512), "augment": "flip_rotate"},
    "options": {"with_people": False},
}
WITH_PEOPLE: Facts = {**PASCAL, "options": {"with_people": True}}

RECIPE: Facts = {
    **{"optimizer": "adamw", "lr": 5e-5, "weight_decay": 1e-4, "batch": 2, "extra": 0, "drop_last": True},
    **{"epochs": 100, "steps": 0, "schedule": "poly", "momentum": 0.9, "evaluate_every": 10},
    **{"encoder_lr": None, "clip": 0.0},
}
BACKBONE = ("mask2former_swin_s", "facebook/mask2former-swin-small-ade-semantic")

LPS: Facts = {"name": "lps", "history": 3, "kappa": 2.5, "log": "weights"}
LOG_OF_LOSSES, PRIORITY, WIDE = ({**LPS, "log": "losses"}, {**LPS, "log": "none"}, {**LPS, "kappa": 7.5})
LOG: Facts = {"name": "log"}
EQUAL: Facts = {"name": "equal"}
PLAIN_SUM: Facts = {"name": "fixed"}


def run(data: Facts, tasks: tuple[str, ...], arch: str, objective: str, **more: Any) -> Facts:
    """What a run does."""
    heads = {"heads": "pascal" if data["name"] == "pascal_context" else "nyud", "narrowing": (2, 8)}
    single = arch == "mt_cp_single"
    return {
        "data": data,
        "tasks": tasks,
        "first predictions": (),
        "weights": dict.fromkeys(tasks, 1),
        "losses": {task: LOSSES[task] for task in tasks},
        "network": (arch, *BACKBONE),
        "options": heads if single else {**heads, "cfm": True, "srm": True, "gate_momentum": 0.01},
        "recipe": RECIPE,
        "objective": objective,
        "settings": {} if single else {"intermediate": 0.5, "cosine": 0.0},
        "start": False,
        "needs": (),
        **more,
    }


def without(*modules: str) -> Facts:
    """MT-CP on NYUD-v2 without some of its modules."""
    kept = {
        "heads": "nyud",
        "narrowing": (2, 8),
        "gate_momentum": 0.01,
        **{module: module not in modules for module in ("cfm", "srm")},
    }
    return run(NYUD, ROOMS, "mt_cp", "coherence", options=kept)


def single(data: Facts, task: str) -> tuple[Facts, Facts]:
    """A single-task row."""
    return run(data, (task,), "mt_cp_single", "supervised"), PLAIN_SUM


FULL, FULL_PASCAL = without(), run(PASCAL, PEOPLE, "mt_cp", "coherence")
SQUARED: Facts = {**FULL, "losses": {**FULL["losses"], N: "squared"}}
STL: Rows = {"STL Semseg": single(NYUD, S), "STL Depth": single(NYUD, D), "STL Normal": single(NYUD, N)}

EXPECTED_ROWS: dict[str, Rows] = {
    "nyuv2/1": {**STL, "MT-CP": (FULL, LPS)},
    "pascal_context/2": {
        "STL Semseg": single(PASCAL, S),
        "STL Parsing": single(WITH_PEOPLE, P),
        "STL Saliency": single(PASCAL, A),
        "MT-CP": (FULL_PASCAL, LPS),
        "MT-CP, plain sum": (FULL_PASCAL, PLAIN_SUM),
    },
    "nyuv2/3": {
        "MT-CP": (FULL, LPS),
        "MT-CP w/o CFM": (without("cfm"), LPS),
        "MT-CP w/o SRM": (without("srm"), LPS),
        "MT-CP w/o CFM & SRM": (without("cfm", "srm"), LPS),
        **STL,
    },
    "nyuv2/4": {
        "MT-CP (LPS)": (FULL, LPS),
        "MT-CP, log of losses": (FULL, LOG_OF_LOSSES),
        "MT-CP, kappa 7.5": (FULL, WIDE),
        "MT-CP, squared normals": (SQUARED, LPS),
        "MT-CP (w/ EW)": (FULL, EQUAL),
        "MT-CP, plain sum": (FULL, PLAIN_SUM),
        "MT-CP (w/ Log Smoothing)": (FULL, LOG),
        "MT-CP (w/ Loss Prioritization)": (FULL, PRIORITY),
        **STL,
    },
}

READINGS = {
    ("pascal_context/2", "MT-CP, plain sum"): "MT-CP",
    ("nyuv2/4", "MT-CP, log of losses"): "MT-CP (LPS)",
    ("nyuv2/4", "MT-CP, kappa 7.5"): "MT-CP (LPS)",
    ("nyuv2/4", "MT-CP, squared normals"): "MT-CP (LPS)",
    ("nyuv2/4", "MT-CP, plain sum"): "MT-CP (w/ EW)",
}
"""Rows that are not printed -> the printed row that they read otherwise."""

COPIED = {
    "nyuv2/1": {
        *("Cross-Stitch [27]", "PAP [54]", "PSD [56]", "PAD-Net [45]", "MTI-Net [39]", "InvPT [50]", "DeMT [47]"),
        *("MLoRE [49]", "Bi-MTDP [33]"),
    },
    "pascal_context/2": {
        *("Cross-Stitch [27]", "PAD-Net [45]", "MTI-Net [39]", "InvPT [50]", "MTFormer [46]", "DeMT [47]"),
        "Bi-MTDP [33]",
    },
}
"""Rows that nothing here runs by the recipe that their figures are from: other tasks, other backbones."""

# --- what the declared specs do ---------------------------------------------------------------------------------------

FOUND = [(file, table) for file, table in discover(SUITES) if table.paper == "mt_cp"]
TABLES = {f"{table.dataset}/{table.id}": table for _, table in FOUND}
DECLARED: dict[tuple[str, str], Row] = {(key, row.name): row for key, table in TABLES.items() for row in table.rows}
SPECS = [spec for row in DECLARED.values() for spec in row.specs]


def spec_of(table: str, name: str) -> RunSpec:
    (spec,) = DECLARED[table, name].specs
    return spec


def weighs(spec: WeightingSpec) -> Facts:
    """A weighting by its name and all its settings."""
    return {"name": spec.name, **effective(WEIGHTINGS[spec.name], spec.options)}


def test_every_row_is_declared_or_copied() -> None:
    assert {(key, name) for key, rows in EXPECTED_ROWS.items() for name in rows} == set(DECLARED)
    assert len(DECLARED) == sum(len(table.rows) for table in TABLES.values()) == 4 + 5 + 7 + 11
    assert not any(table.missing or table.references for table in TABLES.values())
    assert all(row.view == "final" and not (row.missing or row.panel or row.epochs) for row in DECLARED.values())
    copied = {}
    for key, table in TABLES.items():
        lines = load_table(table_file(EXPECTED, "mt_cp", table.id)).rows
        copied[key] = {line.name for line in lines if line.origin == "quoted"}
        assert {line.name for line in lines} - copied[key] == {
            n for k, n in DECLARED if k == key and (k, n) not in READINGS
        }
    assert {key: names for key, names in copied.items() if names} == COPIED


@pytest.mark.parametrize(("table", "name"), DECLARED)
def test_recipe(table: str, name: str) -> None:
    does, weighted = EXPECTED_ROWS[table][name]
    specs = DECLARED[table, name].specs
    check(specs, (does,))
    assert [weighs(spec.objective.weighting) for spec in specs] == [weighted]


def test_specs_spell_what_differs_from_defaults_alone() -> None:
    """So that rows that are one run are equal however they are declared."""
    for spec in SPECS:
        chosen = spec.objective.weighting
        for what, spelt in (
            (OBJECTIVES[spec.objective.name], spec.objective.options),
            (MODELS[spec.model.arch], spec.model.options),
            (WEIGHTINGS[chosen.name], chosen.options),
        ):
            usual = effective(what, ())
            assert all(usual[name] != value for name, value in spelt)
        tasks = make_tasks(spec.tasks, dataset_info(spec.data.name))
        assert all(tasks[task].loss_name != loss for task, loss in spec.objective.losses)


# --- rows that are not printed ----------------------------------------------------------------------------------------


def test_readings_are_declared_below_the_row_that_they_read_otherwise() -> None:
    assert {place: row.reading_of for place, row in DECLARED.items() if row.reading_of} == READINGS
    for (key, table), (file, _) in zip(TABLES.items(), FOUND, strict=True):
        (bound,) = bind(table, file)
        names = [row.name for row in bound.rows]
        for name in (name for place, name in READINGS if place == key):
            above = names[names.index(name) - 1]
            assert READINGS[key, name] in (above, READINGS.get((key, above)))


@pytest.mark.parametrize(("table", "name"), READINGS)
def test_a_reading_differs_from_its_row_in_one_thing(table: str, name: str) -> None:
    reading, row = spec_of(table, name), spec_of(table, READINGS[table, name])
    assert reading != row
    one = [
        replace(row, objective=replace(row.objective, **{field: getattr(reading.objective, field)}))
        for field in ("weighting", "losses")
    ]
    assert one.count(reading) == 1


# --- what names of recipes mean ---------------------------------------------------------------------------------------

RATES = {
    **{0: 5e-5, 1: 4.9549774e-5, 10: 4.5476629e-5, 25: 3.8594475e-5, 50: 2.6794337e-5, 75: 1.4358729e-5},
    **{90: 6.2946271e-6, 98: 1.4787576e-6, 99: 7.9244660e-7},
}
"""Epoch -> rate of the public implementation's schedule."""


def test_learning_rates() -> None:
    for spec in SPECS:
        assert {epoch: learning_rate(spec.recipe, epoch) for epoch in RATES} == pytest.approx(RATES, rel=1e-6)


def test_optimizer() -> None:
    chosen = spec_of("nyuv2/1", "MT-CP").recipe
    made = OPTIMIZERS[chosen.optimizer]([{"params": [nn.Parameter(torch.zeros(1))]}], chosen)
    assert isinstance(made, torch.optim.AdamW)
    expected = {"lr": 5e-5, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-4, "amsgrad": False}
    assert {name: made.defaults[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("table", "length"), [("nyuv2/1", (39_700, 10 * 654)), ("pascal_context/2", (249_900, 10 * 5105))]
)
def test_lengths(table: str, length: tuple[int, int]) -> None:
    """397 and 2,499 steps an epoch; the test set is judged after every tenth epoch."""
    assert training_length(spec_of(table, "MT-CP")) == length


def test_channels() -> None:
    for table, channels in (("nyuv2/1", {S: 40, D: 1, N: 3}), ("pascal_context/2", {S: 21, P: 7, A: 1})):
        spec = spec_of(table, "MT-CP")
        tasks = make_tasks(spec.tasks, dataset_info(spec.data.name), spec.objective.losses)
        assert {name: task.channels for name, task in tasks.items()} == channels


EPOCHS = {
    S: (2.00, 1.50, 1.20, 1.02, 0.90, 0.81),
    D: (0.90, 0.72, 0.66, 0.62, 0.60, 0.59),
    N: (0.30, 0.27, 0.22, 0.20, 0.19, 0.18),
}
"""Task -> losses of six epochs."""

MINIMISED = {
    "MT-CP (LPS)": (2.218071, 3.188356, 1.369713, 1.209878, 1.095048, 1.064426),
    "MT-CP, log of losses": (2.002832, 5.187316, 1.454188, 1.353958, 1.275153, 1.243804),
    "MT-CP, kappa 7.5": (2.218071, 3.188356, 1.060093, 0.809137, 0.836589, 0.840263),
    "MT-CP (w/ EW)": (1.066667, 0.830000, 0.693333, 0.613333, 0.563333, 0.526667),
    "MT-CP, plain sum": (3.20, 2.49, 2.08, 1.84, 1.69, 1.58),
    "MT-CP (w/ Log Smoothing)": (2.002830, 1.697632, 1.494126, 1.367845, 1.285811, 1.222575),
    "MT-CP (w/ Loss Prioritization)": (3.20, 7.84, 1.949558, 1.741538, 1.601923, 1.580301),
}
"""Row of table 4 -> what is minimised of the final predictions in each of them, by equations 2 to 6."""


@pytest.mark.parametrize("name", MINIMISED)
def test_what_the_loss_schemes_minimise(name: str) -> None:
    """Six epochs of one step; the logarithm of losses has 1e-6 in it, which the figures lack."""
    spec = spec_of("nyuv2/4", name)
    tasks = make_tasks(spec.tasks, dataset_info(spec.data.name), spec.objective.losses)
    weighting, found = build_weighting(spec.objective.weighting, tasks), []
    for epoch in range(6):
        losses = {task: torch.tensor(EPOCHS[task][epoch], dtype=torch.float64) for task in spec.tasks}
        found.append(float(weighting(Losses(sum(losses.values(), torch.zeros(())), {}, losses), nn.Identity())))
        weighting.end_epoch()
    assert found == pytest.approx(MINIMISED[name], abs=5e-6)


# --- runs that rows share, and their twins ----------------------------------------------------------------------------


def trained(*tables: str) -> dict[str, RunSpec]:
    return {spec.hash(): spec for key in tables for row in TABLES[key].rows for spec in row.specs}


def test_rows_that_are_one_run() -> None:
    assert spec_of("nyuv2/1", "MT-CP") == spec_of("nyuv2/3", "MT-CP") == spec_of("nyuv2/4", "MT-CP (LPS)")
    for name in STL:
        assert spec_of("nyuv2/1", name) == spec_of("nyuv2/3", name) == spec_of("nyuv2/4", name)


@pytest.mark.parametrize(
    ("table", "count"), [("nyuv2/1", 4), ("pascal_context/2", 4 + 1), ("nyuv2/3", 3), ("nyuv2/4", 3 + 4)]
)
def test_new_trainings_of_a_table(table: str, count: int) -> None:
    """Trainings of one seed that no earlier table has, printed rows first, then other readings."""
    order = sorted(TABLES, key=lambda key: key.rpartition("/")[2])
    before = order[: order.index(table)]
    assert len(trained(*before, table)) - len(trained(*before)) == count


def test_trainings_of_all_tables() -> None:
    """Ten on NYUD-v2 and four on PASCAL-Context, and five readings."""
    assert len(trained(*TABLES)) == (10 + 4) + (4 + 1) == 19


@pytest.mark.parametrize("tier", TWINS)
def test_twins_learn_what_the_papers_runs_learn(tier: str) -> None:
    """Modules, losses and their weighting are those of the row; all runs remain different ones."""
    twins = {key: TWINS[tier](spec) for key, spec in trained(*TABLES).items()}
    assert len({twin.hash() for twin in twins.values()}) == len(twins)
    for key, spec in trained(*TABLES).items():
        twin = twins[key]
        chosen = dict(twin.model.options)
        assert chosen.pop("narrowing", (1, 1)) == (1, 1)  # an eighth of so few channels is none to speak of
        assert chosen.pop("gate_momentum", 0.1) == 0.1  # running averages that keep up with so few steps
        assert (twin.model.arch, chosen, twin.tasks) == (spec.model.arch, dict(spec.model.options), spec.tasks)
        assert twin.objective == spec.objective
        assert twin.recipe.optimizer == "adamw"
        assert twin.recipe.evaluate_every > 0


# --- what is told of the settings -------------------------------------------------------------------------------------


def test_settings_that_findings_name_exist_and_all_of_them_are_told() -> None:
    """Options of objective, networks and reader, each where the finding says; every one of the method's is named."""
    findings = load_findings(EXPECTED, "mt_cp")
    keys = {f.key for f in findings}
    offered = {
        "objective": set(effective(OBJECTIVES["coherence"], ())),
        "model": set(effective(MODELS["mt_cp"], ())) | set(effective(MODELS["mt_cp_single"], ())),
        "data": set(reader("pascal_context", ())),
    }
    assert {k for k in keys if ".options." in k} <= {f"{part}.options.{o}" for part, os in offered.items() for o in os}
    said = " ".join((*keys, *(f.ours for f in findings)))
    settings = [*offered["objective"], *offered["model"], *offered["data"], *effective(WEIGHTINGS["lps"], ())]
    assert [name for name in settings if name not in said] == []
    page = (ROOT / "docs" / "mt-cp.md").read_text(encoding="utf-8")
    assert [name for name in settings if not re.search(rf"`[a-z.]*\b{name}\b", page)] == []


def test_weightings_of_the_tables_are_described() -> None:
    page = (ROOT / "docs" / "mt-cp.md").read_text(encoding="utf-8")
    assert [name for name in WEIGHTINGS if f"| `{name}` |" not in page] == []
