"""The 3D-aware regularizer's recipes, row by row, as its paper (sections 3.2, 4, A) and its hosts' protocols have them.

Compared is what a run does rather than how its spec says it, so that neither a recipe nor a default can change
unnoticed. What the paper leaves open is a setting of the objective; each is pinned here and told in the findings.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch
from recipe_facts import Facts, check, described, effective, reader
from suite_fakes import EXPECTED, ROOT, SUITES
from torch import nn

from mtlrepro.data import dataset_info
from mtlrepro.data.streams import drawn_rows
from mtlrepro.engine.optim import OPTIMIZERS, learning_rate
from mtlrepro.expected.findings import load_findings
from mtlrepro.expected.load import load_table, table_file
from mtlrepro.models import MODELS
from mtlrepro.objectives import OBJECTIVES, build_objective
from mtlrepro.objectives.ramped import ramp
from mtlrepro.spec import Recipe, RunSpec
from mtlrepro.suite.table import Row, bind, discover
from mtlrepro.tasks import make_tasks

Rows = dict[tuple[str, str], Facts]
"""(panel, row) -> what its one run does."""

S, P, A, D, N, E = "semseg", "parts", "saliency", "depth", "normals", "edges"
ROOMS, PEOPLE = (S, D, N, E), (S, P, A, N, E)
WEIGHTS = {S: 1, D: 1, P: 2, A: 5, N: 10, E: 50}
LOSSES = {
    **{S: "cross_entropy", P: "cross_entropy", A: "two_classes", D: "l1", N: "l1_sum"},
    E: "weighted_cross_entropy",
}

# --- data -------------------------------------------------------------------------------------------------------------

NO_STREAM: Facts = {"name": "", "tasks": (), "train": None, "options": {}, "augment": ""}
WHOLE: Facts = {
    **{"train": None, "val": None, "normalise": "imagenet", "labels": "full", "labels_over": (), "unlabelled": 0},
    **{"augment": "scale_flip_distort", "extra": NO_STREAM, "val_name": "", "val_options": {}, "options": {}},
    **{"percent": 100, "percent_seed": 0},
}
"""All labelled images, scaled by 0.5 to 2, cut, mirrored, distorted and padded; ImageNet's mean and deviation."""

NYUD: Facts = {
    **{**WHOLE, "name": "nyuv2_invpt", "size": (448, 576)},
    "options": {"resized": None, "unknown": "direction"},
}
PASCAL: Facts = {**WHOLE, "name": "pascal_context", "size": (512, 512), "options": {"with_people": False}}
FRAMES: Facts = {**NO_STREAM, "name": "nyuv2_video", "tasks": (D,), "augment": "distort"}
MERGED: Facts = {**NYUD, "extra": FRAMES}
UNPADDED: Facts = {**NYUD, "size": (425, 560), "options": {"resized": None, "unknown": "invalid"}}

# --- networks and recipes ---------------------------------------------------------------------------------------------

VIT = ("invpt", "vit_l16", "vit_large_patch16_384.augreg_in21k_ft_in1k")
MTI = ("mti_net", "hrnet48", "hrnet_w48.ms_in1k")
ATRC = ("atrc", "hrnet48", "hrnet_w48.ms_in1k")
ALL_SCALES = {"scales": 4, "fpm": True, "fpm_reduction": 4, "fpm_softmax": "channels", "widths": ()}

ADAM: Facts = {
    **{"optimizer": "adam", "lr": 2e-5, "weight_decay": 1e-6, "batch": 6, "extra": 0, "drop_last": True, "epochs": 0},
    **{"steps": 40_000, "schedule": "poly", "momentum": 0.9, "evaluate_every": 0, "encoder_lr": None, "clip": 0.0},
}
ADAM_MTI: Facts = {**ADAM, "lr": 1e-4, "weight_decay": 1e-4, "batch": 8}
HALVES: Facts = {**ADAM, "batch": 3, "extra": 3}
SGD: Facts = {**ADAM, "optimizer": "sgd", "lr": 1e-2, "weight_decay": 5e-4, "batch": 8}

REGULARIZER: Facts = {
    **{"base": "supervised", "maps": "last", "stride": 8, "planes": "render", "channels": 64, "hidden": 192},
    **{"kernel": 3, "density_bias": -1.0},
    **{"dropout": 0.15, "norm": "per_conv", "aggregate": "sum", "samples": 64, "jitter": "per_ray", "last": "finite"},
    **{"density": "shared", "field_hidden": 64, "slope": 0.2, "two_pass": False, "supervise": "upsample"},
    **{"alpha": 4.0, "ramp": 0.5, "render": (), "cross_view": "", "near": 0.5, "far": 10.0},
}
AUXILIARY: Facts = {"base": "supervised", "alpha": 4.0, "ramp": 0.5}


def run(data: Facts, network: tuple[str, str, str], recipe: Facts, objective: str = "supervised", **more: Any) -> Facts:
    """What a run does."""
    tasks = PEOPLE if data["name"] == "pascal_context" else ROOMS
    return {
        "data": data,
        "tasks": tasks,
        "first predictions": tasks if network == MTI else (),
        "weights": {task: WEIGHTS[task] for task in tasks},
        "losses": {task: LOSSES[task] for task in tasks},
        "network": network,
        "options": ALL_SCALES if network == MTI else {"width": 512, "prediction_width": 64},
        "recipe": recipe,
        "objective": objective,
        "settings": {},
        "start": False,
        "needs": (),
        **more,
    }


def regularized(data: Facts, network: tuple[str, str, str], recipe: Facts, **settings: Any) -> Facts:
    """The same with the regularizer; of HRNet it reads all maps."""
    maps = {"maps": "all"} if network == MTI else {}
    return run(data, network, recipe, "aware3d", settings={**REGULARIZER, **maps, **settings})


INVPT, OURS = run(NYUD, VIT, ADAM), regularized(NYUD, VIT, ADAM)
HALF, QUARTER = ({**NYUD, "percent": percent} for percent in (50, 25))

EXPECTED_ROWS: dict[str, Rows] = {
    "nyuv2/1": {
        ("HRNet-48", "MTI-Net (Vandenhende et al., 2020b)"): run(NYUD, MTI, ADAM_MTI),
        ("HRNet-48", "Ours"): regularized(NYUD, MTI, ADAM_MTI),
        ("ViT-L", "InvPT (Ye & Xu, 2022a)"): INVPT,
        ("ViT-L", "Ours"): OURS,
    },
    "pascal_context/2": {
        ("HRNet-48", "MTI-Net* (Vandenhende et al., 2020b)"): run(PASCAL, MTI, ADAM_MTI),
        ("HRNet-48", "Ours"): regularized(PASCAL, MTI, ADAM_MTI),
        ("ViT-L", "InvPT (Ye & Xu, 2022a)"): run(PASCAL, VIT, ADAM),
        ("ViT-L", "Ours"): regularized(PASCAL, VIT, ADAM),
    },
    "nyuv2_video/3": {
        ("", "InvPT (Ye & Xu, 2022a)."): run(MERGED, VIT, HALVES),
        ("", "Ours"): regularized(MERGED, VIT, HALVES),
        ("", "Ours with cross-view consistency"): regularized(MERGED, VIT, HALVES, cross_view="raw"),
    },
    "nyuv2/4": {
        ("", "InvPT (Ye & Xu, 2022a)"): INVPT,
        ("", "InvPT + Aux. Heads"): run(NYUD, VIT, ADAM, "auxiliary_heads", settings=AUXILIARY),
        ("", "Ours"): OURS,
    },
    "nyuv2/5": {("", name): OURS for name in ("task-specific heads", "regularizer", "avg")},
    "nyuv2/6": {
        ("", "Seg."): regularized(NYUD, VIT, ADAM, render=(S,)),
        ("", "Depth"): regularized(NYUD, VIT, ADAM, render=(D,)),
        ("", "Normal"): regularized(NYUD, VIT, ADAM, render=(N,)),
        ("", "Edge"): regularized(NYUD, VIT, ADAM, render=(E,)),
        ("", "All tasks"): OURS,
    },
    "nyuv2/7": {
        ("795 (100%)", "InvPT (Ye & Xu, 2022a)"): INVPT,
        ("795 (100%)", "Ours"): OURS,
        ("397 (50%)", "InvPT (Ye & Xu, 2022a)"): run(HALF, VIT, ADAM),
        ("397 (50%)", "Ours"): regularized(HALF, VIT, ADAM),
        ("198 (25%)", "InvPT (Ye & Xu, 2022a)"): run(QUARTER, VIT, ADAM),
        ("198 (25%)", "Ours"): regularized(QUARTER, VIT, ADAM),
    },
}
ATRC_ROW = ("nyuv2/1", "HRNet-48", "ATRC (Bruggemann et al., 2021)")

COPIED = {
    "nyuv2/1": {f"HRNet-48/{name}" for name in ("Cross-Stitch (Misra et al., 2016)", "PAP (Zhang et al., 2019)")}
    | {f"HRNet-48/{name}" for name in ("PSD (Zhou et al., 2020)", "PAD-Net (Xu et al., 2018)")},
    "pascal_context/2": {f"HRNet-48/{name}" for name in ("ASTMT (Maninis et al., 2019)", "PAD-Net (Xu et al., 2018)")}
    | {f"HRNet-48/{name}" for name in ("MTI-Net (Vandenhende et al., 2020b)", "ATRC (Bruggemann et al., 2021)")},
}
"""Rows that nothing here runs: their networks are not those of the heading."""

BASELINES = {
    ("nyuv2/1", "HRNet-48", "ATRC (Bruggemann et al., 2021)"),
    ("nyuv2/1", "HRNet-48", "MTI-Net (Vandenhende et al., 2020b)"),
    ("nyuv2/1", "ViT-L", "InvPT (Ye & Xu, 2022a)"),
    ("pascal_context/2", "ViT-L", "InvPT (Ye & Xu, 2022a)"),
    ("nyuv2/4", "", "InvPT (Ye & Xu, 2022a)"),
    ("nyuv2/7", "795 (100%)", "InvPT (Ye & Xu, 2022a)"),
}
"""Rows that are quoted in print and run here, as what the regularizer is compared with."""

# --- what the declared specs do ---------------------------------------------------------------------------------------

FOUND = [(file, table) for file, table in discover(SUITES) if table.paper == "aware3d"]
TABLES = {f"{table.dataset}/{table.id}": table for _, table in FOUND}
DECLARED: dict[tuple[str, str, str], Row] = {
    (key, row.panel, row.name): row for key, table in TABLES.items() for row in table.rows
}

SPECS = [spec for row in DECLARED.values() for spec in row.specs]


def spec_of(table: str, name: str, panel: str = "") -> RunSpec:
    (spec,) = DECLARED[table, panel, name].specs
    return spec


def test_every_row_is_declared_or_copied() -> None:
    assert {(key, *row) for key, rows in EXPECTED_ROWS.items() for row in rows} | {ATRC_ROW} == set(DECLARED)
    assert len(DECLARED) == sum(len(table.rows) for table in TABLES.values()) == 29
    assert not any(table.missing or table.references for table in TABLES.values())
    assert all(row.specs and not row.missing and not row.epochs for row in DECLARED.values())
    bound = {key: bind(table, file) for (key, table), (file, _) in zip(TABLES.items(), FOUND, strict=True)}
    without = {
        key: {f"{b.expected.key}/{r.name}" for b in bs for r in b.rows if not r.specs} for key, bs in bound.items()
    }
    assert {key: names for key, names in without.items() if names} == COPIED


def test_what_is_quoted_in_print_and_run_here() -> None:
    quoted = {
        (key, row.group, row.name)
        for key, table in TABLES.items()
        for row in load_table(table_file(EXPECTED, "aware3d", table.id)).rows
        if row.origin == "quoted"
    }
    assert quoted & set(DECLARED) == BASELINES
    assert {f"{group}/{name}" for key, group, name in quoted - set(DECLARED) if key == "nyuv2/1"} == COPIED["nyuv2/1"]
    assert len(quoted) == 6 + 4 + 4


@pytest.mark.parametrize(("table", "panel", "name"), [place for place in DECLARED if place != ATRC_ROW])
def test_recipe(table: str, panel: str, name: str) -> None:
    check(DECLARED[table, panel, name].specs, (EXPECTED_ROWS[table][panel, name],))


def test_the_protocol_of_atrc_is_its_own() -> None:
    """Unpadded pictures, edges weighted 0.80, SGD at 1e-2, batches of 8, the relations published for HRNet-48."""
    specs = DECLARED[ATRC_ROW].specs
    losses = {**{task: LOSSES[task] for task in ROOMS}, E: "weighted_cross_entropy_80"}
    own = {"losses": losses, "options": {"relations": "nyud_hrnet48"}, "settings": {"centroids": ()}}
    check(specs, (run(UNPADDED, ATRC, SGD, "atrc", **own),))
    loss = make_tasks(ROOMS, dataset_info("nyuv2_invpt"), specs[0].objective.losses)[E].loss
    edge, other = (loss(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), label)) for label in (1.0, 0.0))
    assert float(edge / other) == pytest.approx(4.0)


def test_views() -> None:
    """Table 5 reads one training in three ways; all other rows read what the network predicts."""
    views = {name: DECLARED["nyuv2/5", "", name].view for name in ("task-specific heads", "regularizer", "avg")}
    assert views == {"task-specific heads": "final", "regularizer": "regularizer", "avg": "average"}
    assert all(row.view == "final" for (table, _, _), row in DECLARED.items() if table != "nyuv2/5")


def test_specs_spell_what_differs_from_defaults_alone() -> None:
    """So that rows that are one run are equal however they are declared."""
    for spec in SPECS:
        usual = effective(OBJECTIVES[spec.objective.name], ())
        assert all(usual[name] != value for name, value in spec.objective.options)
        assert all(weight != 1 for _, weight in spec.objective.weights)


# --- what names of recipes mean ---------------------------------------------------------------------------------------

RATES: list[tuple[tuple[str, str, str], dict[int, float]]] = [
    (
        ("nyuv2/1", "Ours", "ViT-L"),
        {0: 2e-5, 1: 1.999955e-5, 1_000: 1.954943e-5, 20_000: 1.071773e-5, 39_999: 1.442700e-9},
    ),
    (("nyuv2/1", "Ours", "HRNet-48"), {0: 1e-4, 10_000: 7.718895e-5, 30_000: 2.871746e-5, 39_999: 7.213500e-9}),
    (("nyuv2/1", ATRC_ROW[2], "HRNet-48"), {0: 1e-2, 100: 9.977497e-3, 39_000: 3.615314e-4}),
    (("nyuv2/7", "Ours", "198 (25%)"), {0: 2e-5, 20_000: 1.071773e-5}),
]


@pytest.mark.parametrize(("place", "rates"), RATES, ids=["InvPT", "MTI-Net", "ATRC", "a quarter"])
def test_learning_rates(place: tuple[str, str, str], rates: dict[int, float]) -> None:
    chosen = spec_of(*place).recipe
    assert {step: learning_rate(chosen, step) for step in rates} == pytest.approx(rates, rel=1e-6)


def defaults(chosen: Recipe) -> Facts:
    made = OPTIMIZERS[chosen.optimizer]([{"params": [nn.Parameter(torch.zeros(1))]}], chosen)
    return made.defaults


def test_optimizers() -> None:
    adam = defaults(spec_of("nyuv2/1", "Ours", "ViT-L").recipe)
    assert {k: adam[k] for k in ("betas", "eps", "weight_decay")} == {
        **{"betas": (0.9, 0.999), "eps": 1e-8},
        "weight_decay": 1e-6,
    }
    sgd = defaults(spec_of("nyuv2/1", ATRC_ROW[2], "HRNet-48").recipe)
    assert {k: sgd[k] for k in ("momentum", "nesterov", "weight_decay")} == {
        **{"momentum": 0.9, "nesterov": False},
        "weight_decay": 5e-4,
    }


def test_the_regularizer_s_weight_over_the_training() -> None:
    """From 0 to 4 in 20,000 of 40,000 steps, then 4 (appendix A), step by step."""
    chosen = described(spec_of("nyuv2/1", "Ours", "ViT-L"))
    height, share, steps = chosen["settings"]["alpha"], chosen["settings"]["ramp"], chosen["recipe"]["steps"]
    expected = {0: 0.0, 1: 2e-4, 5_000: 1.0, 10_000: 2.0, 19_999: 3.9998, 20_000: 4.0, 39_999: 4.0}
    assert {step: ramp(step / steps, height, share) for step in expected} == pytest.approx(expected)


@pytest.mark.parametrize(("place", "grid"), [(("nyuv2/1", "Ours", "ViT-L"), (56, 72)), (None, (64, 64))])
def test_rendered_sizes(place: tuple[str, str, str] | None, grid: tuple[int, int]) -> None:
    """56x72 on NYUD-v2 and 64x64 on PASCAL-Context (appendix A) are an eighth of the input."""
    spec = spec_of(*(place or ("pascal_context/2", "Ours", "ViT-L")))
    stride = described(spec)["settings"]["stride"]
    assert (spec.data.size[0] // stride, spec.data.size[1] // stride) == grid


def test_shares_of_the_training_images() -> None:
    """As many images as the panels of table 7 name, smaller shares inside larger ones."""
    drawn = {}
    for panel, count in (("795 (100%)", 795), ("397 (50%)", 397), ("198 (25%)", 198)):
        data = spec_of("nyuv2/7", "Ours", panel).data
        drawn[count] = set(drawn_rows(795, data.percent, data.percent_seed))
        assert len(drawn[count]) == count
        assert data == spec_of("nyuv2/7", "InvPT (Ye & Xu, 2022a)", panel).data
    assert drawn[198] < drawn[397] < drawn[795]


def test_outputs_of_saliency() -> None:
    """Two channels in all rows, MTI-Net's too, whose own code has one."""
    for name, panel in (("MTI-Net* (Vandenhende et al., 2020b)", "HRNet-48"), ("Ours", "ViT-L")):
        spec = spec_of("pascal_context/2", name, panel)
        tasks = make_tasks(spec.tasks, dataset_info(spec.data.name), spec.objective.losses)
        assert {task: t.channels for task, t in tasks.items()} == {S: 21, P: 7, A: 2, N: 3, E: 1}


@pytest.mark.parametrize(
    ("table", "panel", "features", "parameters"),
    [
        ("nyuv2/1", "ViT-L", (1024,) * 4, 2_125_806),
        ("pascal_context/2", "ViT-L", (1024,) * 4, 2_129_251),
        ("nyuv2/1", "HRNet-48", (48, 96, 192, 384), 1_600_494),
        ("pascal_context/2", "HRNet-48", (48, 96, 192, 384), 1_603_939),
    ],
)
def test_what_the_regularizer_adds_while_training(
    table: str, panel: str, features: tuple[int, ...], parameters: int
) -> None:
    """An encoder of the last map or of all, a field for every task and one for the density."""
    spec = spec_of(table, "Ours", panel)
    tasks = make_tasks(spec.tasks, dataset_info(spec.data.name), spec.objective.losses)
    with torch.device("meta"):
        objective = build_objective(spec.objective, tasks, features)
    assert sum(p.numel() for p in objective.parameters()) == parameters


# --- runs that rows share ---------------------------------------------------------------------------------------------


def trained(*tables: str) -> set[str]:
    return {spec.hash() for key in tables for row in TABLES[key].rows for spec in row.specs}


def test_rows_that_are_one_run() -> None:
    ours, invpt = spec_of("nyuv2/1", "Ours", "ViT-L"), spec_of("nyuv2/1", "InvPT (Ye & Xu, 2022a)", "ViT-L")
    assert ours == spec_of("nyuv2/4", "Ours") == spec_of("nyuv2/6", "All tasks")
    assert ours == spec_of("nyuv2/7", "Ours", "795 (100%)")
    assert all(ours == spec_of("nyuv2/5", name) for name in ("task-specific heads", "regularizer", "avg"))
    assert invpt == spec_of("nyuv2/4", "InvPT (Ye & Xu, 2022a)")
    assert invpt == spec_of("nyuv2/7", "InvPT (Ye & Xu, 2022a)", "795 (100%)")


@pytest.mark.parametrize(
    ("table", "count"),
    [
        ("nyuv2/1", 2 + 2 + 1),
        ("pascal_context/2", 2 + 2),
        ("nyuv2_video/3", 3),
        ("nyuv2/4", 1),
        ("nyuv2/5", 0),
        ("nyuv2/6", 4),
        ("nyuv2/7", 4),
    ],
)
def test_new_trainings_of_a_table(table: str, count: int) -> None:
    """Trainings of one seed that no earlier table has; table 1 has ATRC's beside those of the two hosts."""
    order = sorted(TABLES, key=lambda key: key.rpartition("/")[2])
    before = order[: order.index(table)]
    assert len(trained(*before, table)) - len(trained(*before)) == count


def test_trainings_of_all_tables() -> None:
    """Fourteen of InvPT on NYUD-v2, two of MTI-Net there, two of each on PASCAL-Context, and ATRC's."""
    assert len(trained(*TABLES)) == 14 + 2 + 2 + 2 + 1
    every = {spec.hash(): spec for spec in SPECS}.values()
    kinds = [(spec.model.arch, spec.data.name) for spec in every]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        ("invpt", "nyuv2_invpt"): 14,
        ("mti_net", "nyuv2_invpt"): 2,
        ("invpt", "pascal_context"): 2,
        ("mti_net", "pascal_context"): 2,
        ("atrc", "nyuv2_invpt"): 1,
    }


# --- what is told of the settings -------------------------------------------------------------------------------------


STATED = {"base", "channels", "field_hidden", "render"}
"""Settings that the paper states once and nothing contradicts."""


def test_every_setting_of_the_regularizer_is_told() -> None:
    """In the page with its default, and what the paper leaves open or says twice as a finding too."""
    page = (ROOT / "docs" / "3d-aware.md").read_text(encoding="utf-8")
    findings = load_findings(EXPECTED, "aware3d")
    told = {f.key.removeprefix("objective.options.") for f in findings}
    told |= {word for f in findings for word in re.findall("`(.+?)`", f.ours)}
    signature = inspect.signature(OBJECTIVES["aware3d"]).parameters.values()
    options = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY}
    assert options == REGULARIZER
    assert set(options) <= told | STATED
    for name, default in options.items():
        shown = {"": '""', (): "()"}.get(default, str(default))
        assert f"| `{name}` | `{shown}` |" in page, name


def test_every_setting_that_a_finding_names_exists() -> None:
    """Options of objectives, networks and readers, each where the finding says."""
    named = {f.key for f in load_findings(EXPECTED, "aware3d") if ".options." in f.key}
    offered = {
        *(f"objective.options.{o}" for spec in SPECS for o in effective(OBJECTIVES[spec.objective.name], ())),
        *(f"model.options.{o}" for spec in SPECS for o in effective(MODELS[spec.model.arch], ())),
        *(f"data.options.{o}" for spec in SPECS for o in reader(spec.data.name, ())),
    }
    assert named <= offered
