"""MTI-Net's recipes, row by row, as its paper (sections 3.1, A.2) and, where that is silent, its public implementation.

Compared is what a run does rather than how its spec says it, so that neither a recipe nor a default can change
unnoticed. Rows that are not printed are held to differ from the row that they read otherwise in what a finding names.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import torch
from recipe_facts import Facts, check, described, effective, flat, reader
from suite_fakes import EXPECTED, SUITES
from torch import nn

from mtlrepro.data import dataset_info
from mtlrepro.engine.optim import OPTIMIZERS, learning_rate
from mtlrepro.expected.findings import load_findings
from mtlrepro.models import MODELS, build_model
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.spec import ModelSpec, Recipe, RunSpec
from mtlrepro.suite.evidence import training_length
from mtlrepro.suite.shrink import TWINS
from mtlrepro.suite.table import Row, bind, discover
from mtlrepro.tasks import make_tasks

Runs = tuple[Facts, ...]
"""What the runs of a row do: one, or one for every task."""

S, P, A, D, N, E = "semseg", "parts", "saliency", "depth", "normals", "edges"
ROOMS, SMALL, COMPLETE = (S, D), (S, P, A), (S, P, A, N, E)
WITH_N, WITH_NE = (S, N, D), (S, N, E, D)
"""Tasks of a front-end on NYUD-v2, in the order in which their features are concatenated: auxiliary ones inside."""

LOSSES = {
    **{S: "cross_entropy", P: "cross_entropy", A: "balanced_cross_entropy", D: "l1", N: "l1"},
    E: "weighted_cross_entropy",
}
WEIGHTS = {S: 1, P: 2, A: 5, N: 10, E: 50}
"""On PASCAL-Context, those of ASTMT; on NYUD-v2 losses are added up (section 3.1)."""

# --- data, networks, recipes ------------------------------------------------------------------------------------------

WHOLE: Facts = {
    **{"train": None, "val": None, "normalise": "imagenet", "labels": "full", "labels_over": (), "unlabelled": 0},
    **{"extra": {"name": "", "tasks": (), "train": None, "options": {}, "augment": ""}, "val_name": ""},
    **{"val_options": {}, "options": {}, "percent": 100, "percent_seed": 0},
}
NYUD: Facts = {**WHOLE, "name": "nyuv2", "size": (480, 640), "augment": "flip_zoom"}
PASCAL: Facts = {
    **{**WHOLE, "name": "pascal_context", "size": (512, 512), "augment": "flip_rotate"},
    "options": {"with_people": False},
}
WITH_PEOPLE: Facts = {**PASCAL, "options": {"with_people": True}}
"""Where parts are alone, images without a person are left out of training and test."""

HRNET18 = ("hrnet18", "hrnet_w18_small_v2.ms_in1k")
HRNET48 = ("hrnet48", "hrnet_w48.ms_in1k")
R18 = ("resnet18_fpn", "resnet18.tv_in1k")
R50 = ("resnet50_fpn", "resnet50.tv_in1k")

ADAM: Facts = {
    **{"optimizer": "adam", "lr": 1e-4, "weight_decay": 1e-4, "batch": 6, "extra": 0, "drop_last": True},
    **{"epochs": 80, "steps": 0, "schedule": "poly", "momentum": 0.9, "evaluate_every": 0},
    **{"encoder_lr": None, "clip": 0.0},
}
SGD: Facts = {**ADAM, "optimizer": "sgd", "lr": 1e-2, "batch": 8, "epochs": 60}
ADAM_SMALL: Facts = {**ADAM, "batch": 8, "epochs": 80}
ADAM_COMPLETE: Facts = {**ADAM, "batch": 8, "epochs": 100}

MTI: Facts = {"scales": 4, "fpm": True, "fpm_reduction": 4, "fpm_softmax": "channels", "widths": ()}
PADNET: Facts = {"width": 256, "maps": "fused"}


def run(arch: str, backbone: tuple[str, str], data: Facts, recipe: Facts, main: tuple[str, ...], **more: Any) -> Facts:
    """What a run does; several tasks of PASCAL-Context weigh as in ASTMT."""
    tasks = more.get("first predictions") or main
    weighed = WEIGHTS if data["name"] == "pascal_context" and arch != "stl" else {}
    return {
        "data": data,
        "tasks": main,
        "first predictions": (),
        "weights": {task: weighed.get(task, 1) for task in tasks},
        "losses": {task: LOSSES[task] for task in tasks},
        "network": (arch, *backbone),
        "options": {},
        "recipe": recipe,
        "objective": "supervised",
        "settings": {},
        "start": False,
        "needs": (),
        **more,
    }


def rooms(arch: str, backbone: tuple[str, str], first: tuple[str, ...] = (), **more: Any) -> Runs:
    """A network for segmentation and depth on NYUD-v2."""
    recipe = more.pop("recipe", ADAM)
    return (run(arch, backbone, NYUD, recipe, ROOMS, **{"first predictions": first, **more}),)


def apart(backbone: tuple[str, str]) -> Runs:
    """A network for segmentation and one for depth."""
    return tuple(run("stl", backbone, NYUD, ADAM, (task,)) for task in ROOMS)


def ours(backbone: tuple[str, str], first: tuple[str, ...] = ROOMS, **options: Any) -> Runs:
    """MTI-Net on NYUD-v2."""
    return rooms("mti_net", backbone, first, options={**MTI, **options})


def five_apart(backbone: tuple[str, str]) -> Runs:
    """Five networks on PASCAL-Context."""
    return tuple(run("stl", backbone, WITH_PEOPLE if task == P else PASCAL, SGD, (task,)) for task in COMPLETE)


def shared(backbone: tuple[str, str], main: tuple[str, ...], recipe: Facts = SGD) -> Runs:
    """The multi-task baseline on PASCAL-Context."""
    return (run("mtl", backbone, PASCAL, recipe, main),)


def ours_of_people(backbone: tuple[str, str], main: tuple[str, ...], *extra: str) -> Runs:
    """MTI-Net on PASCAL-Context with the small or the complete set, and auxiliary tasks."""
    recipe = ADAM_COMPLETE if main == COMPLETE else ADAM_SMALL
    return (run("mti_net", backbone, PASCAL, recipe, main, **{"first predictions": (*main, *extra), "options": MTI}),)


# --- rows -------------------------------------------------------------------------------------------------------------


def baselines(backbone: tuple[str, str], **options: Any) -> dict[str, Runs]:
    padnet = {"options": {**PADNET, **options}}
    return {
        "Single task": apart(backbone),
        "MTL": rooms("mtl", backbone),
        "PAD-Net": rooms("padnet", backbone, ROOMS, **padnet),
        "PAD-Net (N)": rooms("padnet", backbone, WITH_N, **padnet),
        "PAD-Net (N+E)": rooms("padnet", backbone, WITH_NE, **padnet),
    }


def ablation(without: str, with_: str) -> dict[str, Runs]:
    return {
        **baselines(HRNET18),
        without: ours(HRNET18, fpm=False),
        f"{without} (N)": ours(HRNET18, WITH_N, fpm=False),
        f"{without} (N+E)": ours(HRNET18, WITH_NE, fpm=False),
        with_: ours(HRNET18),
        f"{with_} (N)": ours(HRNET18, WITH_N),
        f"{with_} (N+E)": ours(HRNET18, WITH_NE),
    }


def ablation_of_people(backbone: tuple[str, str]) -> dict[str, Runs]:
    return {
        "Single task": five_apart(backbone),
        "MTL (s)": shared(backbone, SMALL),
        "MTL (a)": shared(backbone, COMPLETE),
        "Ours (s)": ours_of_people(backbone, SMALL),
        "Ours (s)(E)": ours_of_people(backbone, SMALL, E),
        "Ours (s)(N)": ours_of_people(backbone, SMALL, N),
        "Ours (s)(E+N)": ours_of_people(backbone, SMALL, N, E),
        "Ours (a)": ours_of_people(backbone, COMPLETE),
    }


WEIGHTED: Facts = {"weights": {S: 1, N: 10, E: 50, D: 1}}
RELEASED: Facts = {**WEIGHTED, "recipe": ADAM_COMPLETE}
HRNET48_ROWS = {
    "ST - HRNet48-V2": apart(HRNET48),
    "Ours - HRNet48-V2": ours(HRNET48, WITH_NE),
    "Ours, no auxiliary tasks": ours(HRNET48),
}
ON_R18 = {
    **baselines(R18, maps="first"),
    "Ours": ours(R18),
    "Ours (N)": ours(R18, WITH_N),
    "Ours (N+E)": ours(R18, WITH_NE),
}
PAD_NET_OF_PEOPLE = run(
    *("padnet", HRNET18, PASCAL, ADAM_COMPLETE, COMPLETE), **{"first predictions": COMPLETE, "options": PADNET}
)
BACKBONES = {"R18-FPN": R18, "R50-FPN": R50, "HRNet-18": HRNET18}

TABLE_ROWS: dict[str, dict[str, Runs]] = {
    "nyuv2/2a": {
        **ablation("Ours (w/o FPM)", "Ours (w/ FPM)"),
        "PAD-Net (N+E), weighted": rooms("padnet", HRNET18, WITH_NE, options=PADNET, **WEIGHTED),
        "Ours (w/ FPM), softmax over tasks": ours(HRNET18, fpm_softmax="tasks"),
        "Ours (w/ FPM) (N+E), weighted": rooms("mti_net", HRNET18, WITH_NE, options=MTI, **WEIGHTED),
        "PAD-Net (N+E), weighted, released recipe": rooms("padnet", HRNET18, WITH_NE, options=PADNET, **RELEASED),
        "Ours (w/ FPM) (N+E), weighted, released recipe": rooms("mti_net", HRNET18, WITH_NE, options=MTI, **RELEASED),
    },
    "pascal_context/2b": {
        **ablation_of_people(HRNET18),
        "MTL (s), released recipe": shared(HRNET18, SMALL, ADAM_SMALL),
        "MTL (a), released recipe": shared(HRNET18, COMPLETE, ADAM_COMPLETE),
    },
    "nyuv2/3": {
        "ST": apart(HRNET18),
        "1/4 (Pad-Net)": baselines(HRNET18)["PAD-Net"],
        "1/4, 1/8": ours(HRNET18, scales=2),
        "1/4, 1/8, 1/16": ours(HRNET18, scales=3),
        "1/4, 1/8, 1/16, 1/32 (Ours)": ours(HRNET18),
    },
    "nyuv2/4": {
        "ST": apart(HRNET18),
        **{f"Front-end @ 1/{stride} scale": ours(HRNET18) for stride in (32, 16, 8, 4)},
        "Final output": ours(HRNET18),
    },
    "pascal_context/5": {
        "PAD-Net [47]/ST/HRNet-18": five_apart(HRNET18),
        "PAD-Net [47]/MT/HRNet-18": (PAD_NET_OF_PEOPLE,),
        **{f"Ours/ST/{name}": five_apart(backbone) for name, backbone in BACKBONES.items()},
        **{f"Ours/MT/{name}": ours_of_people(backbone, COMPLETE) for name, backbone in BACKBONES.items()},
    },
    **dict.fromkeys(("nyuv2/6a", "nyuv2/6b"), HRNET48_ROWS),
    "nyuv2/7a": {
        "Single Task": apart(HRNET18),
        "Multi-Task": rooms("mtl", HRNET18),
        "PAD-Net": baselines(HRNET18)["PAD-Net"],
        "MTI-Net (Ours)": ours(HRNET18),
    },
    "pascal_context/7b": {
        "Single Task": five_apart(R50),
        "Multi-Task": shared(R50, COMPLETE),
        "Ours": ours_of_people(R50, COMPLETE),
    },
    "pascal_context/S1": ablation_of_people(R18),
    **dict.fromkeys(("nyuv2/S2a", "nyuv2/S2b"), ablation("Ours - w/o FPM", "Ours - w/ FPM")),
    **dict.fromkeys(("nyuv2/S3a", "nyuv2/S3b", "nyuv2/S3c"), ON_R18),
}

VIEWS = {f"Front-end @ 1/{4 * 2**scale} scale": f"scale_{scale}" for scale in range(4)}
"""Rows of Table 4 -> the initial predictions of one trained network that they read."""

READINGS = {
    ("nyuv2/2a", "PAD-Net (N+E), weighted"): ("PAD-Net (N+E)", "objective.weights"),
    ("nyuv2/2a", "Ours (w/ FPM), softmax over tasks"): ("Ours (w/ FPM)", "model.options.fpm_softmax"),
    ("nyuv2/2a", "Ours (w/ FPM) (N+E), weighted"): ("Ours (w/ FPM) (N+E)", "objective.weights"),
    ("nyuv2/2a", "PAD-Net (N+E), weighted, released recipe"): ("PAD-Net (N+E)", "recipe.epochs"),
    ("nyuv2/2a", "Ours (w/ FPM) (N+E), weighted, released recipe"): ("Ours (w/ FPM) (N+E)", "recipe.epochs"),
    ("pascal_context/2b", "MTL (s), released recipe"): ("MTL (s)", "recipe.optimizer"),
    ("pascal_context/2b", "MTL (a), released recipe"): ("MTL (a)", "recipe.optimizer"),
    ("nyuv2/6a", "Ours, no auxiliary tasks"): ("Ours - HRNet48-V2", "model.aux"),
    ("nyuv2/6b", "Ours, no auxiliary tasks"): ("Ours - HRNet48-V2", "model.aux"),
}
"""Rows that are not printed -> the printed row that they read otherwise, and the setting that a finding names."""

PARTS_OF_READINGS = {
    "objective.weights": {f"weights.{task}" for task in (N, E)},
    "model.options.fpm_softmax": {"options.fpm_softmax"},
    "recipe.epochs": {*(f"weights.{task}" for task in (N, E)), "recipe.batch", "recipe.epochs"},
    "recipe.optimizer": {"recipe.optimizer", "recipe.lr", "recipe.epochs"},
    "model.aux": {"first predictions", *(f"{part}.{task}" for part in ("weights", "losses") for task in (N, E))},
}
"""Setting -> all that differs between a reading and its row: an optimizer has its rate and length, a task its loss."""


def of_widths(*widths: int) -> Runs:
    (run_,) = ours_of_people(R50, COMPLETE)
    return ({**run_, "options": {**MTI, "widths": widths}},)


COUNTED: dict[tuple[str, str], tuple[str, Runs, int | None]] = {
    **{
        ("nyuv2/7a", f"MTI-Net, {name}"): ("MTI-Net (Ours)", runs, count)
        for name, runs, count in (
            ("propagation unreduced", ours(HRNET18, fpm_reduction=1), 12_125_835),
            ("propagation reduced by 2", ours(HRNET18, fpm_reduction=2), None),
            ("with normals", ours(HRNET18, WITH_N), 11_587_653),
            ("with normals and edges", ours(HRNET18, WITH_NE), 14_838_121),
        )
    },
    **{
        ("pascal_context/7b", f"Ours, widths {', '.join(map(str, widths))}"): ("Ours", of_widths(*widths), count)
        for widths, count in (
            ((64, 120, 128, 208), None),
            ((80, 80, 128, 224), None),
            ((64,) * 4, 44_676_097),
            ((128,) * 4, 81_915_293),
            ((256,) * 4, 220_985_557),
        )
    },
}
"""Readings that are not trained -> the row that they read otherwise, what they would do, and parameters if known."""

ASTMT = ("R26-DLv3+", "R50-DLv3+", "R50-FPN")
COPIED = {
    "pascal_context/5": {f"ASTMT [29]/{part}/{name}" for part in ("ST", "MT") for name in ASTMT},
    "nyuv2/6a": {"HCRF [20]", "DCNF [24]", "Wang [46]", "NR forest [36]", "Xu [48]", "PAD-Net [47]", "PAP-Net [51]"},
    "nyuv2/6b": {
        *("FCN [26]", "Context [22]", "Eigen [7]", "B-SegNet [15]", "RefineNet-101 [21]", "PAD-Net [47]"),
        *("TRL-ResNet50 [50]", "PAP-Net [51]"),
    },
    "pascal_context/7b": {"ASTMT"},
}
"""Rows that nothing here runs: of other papers, or of a combination that nobody released."""

# --- what the declared specs do ---------------------------------------------------------------------------------------

FOUND = [(file, table) for file, table in discover(SUITES) if table.paper == "mti_net"]
TABLES = {f"{table.dataset}/{table.id}": table for _, table in FOUND}


def place(row: Row) -> str:
    """A row's name, behind that of its panel where a table has several."""
    return f"{row.panel}/{row.name}" if row.panel else row.name


DECLARED: dict[tuple[str, str], Row] = {
    (key, place(row)): row for key, table in TABLES.items() for row in table.rows if not row.counted
}
SPECS = [spec for row in DECLARED.values() for spec in row.specs]


def specs_of(table: str, name: str) -> tuple[RunSpec, ...]:
    return DECLARED[table, name].specs


def spec_of(table: str, name: str) -> RunSpec:
    (spec,) = specs_of(table, name)
    return spec


def test_every_row_is_declared_or_copied() -> None:
    assert {(key, name) for key, rows in TABLE_ROWS.items() for name in rows} == set(DECLARED)
    assert len(TABLES) == 15
    assert not any(table.missing or table.references for table in TABLES.values())
    assert all(row.specs and not row.missing and not row.epochs for row in DECLARED.values())
    without = {
        key: {f"{b.expected.key}/{r.name}".lstrip("/") for b in bind(table, file) for r in b.rows if not r.specs}
        for (key, table), (file, _) in zip(TABLES.items(), FOUND, strict=True)
    }
    assert {key: names for key, names in without.items() if names} == COPIED


@pytest.mark.parametrize(("table", "name"), DECLARED)
def test_recipe(table: str, name: str) -> None:
    check(specs_of(table, name), TABLE_ROWS[table][name])


def test_counted_readings() -> None:
    """Of networks whose printed parameters and multiply-accumulates nothing released explains."""
    found = {(key, place(row)): row for key, table in TABLES.items() for row in table.rows if row.counted}
    assert {place_: row.reading_of for place_, row in found.items()} == {k: row for k, (row, *_) in COUNTED.items()}
    for key, (_, runs, count) in COUNTED.items():
        specs = found[key].specs
        check(specs, runs)
        assert count in (None, sum(parameters(spec.model, channels_of(spec)) for spec in specs))


def test_views() -> None:
    """Table 4 reads one training in five ways; all other rows read what the network predicts in the end."""
    assert {name: row.view for (_, name), row in DECLARED.items() if row.view != "final"} == VIEWS
    assert {key for key, row in DECLARED.items() if row.view != "final"} == {("nyuv2/4", name) for name in VIEWS}


def test_specs_spell_what_differs_from_defaults_alone() -> None:
    """So that rows that are one run are equal however they are declared."""
    for spec in SPECS:
        for what, spelt in (
            (OBJECTIVES[spec.objective.name], spec.objective.options),
            (MODELS[spec.model.arch], spec.model.options),
        ):
            usual = effective(what, ())
            assert all(usual[name] != value for name, value in spelt)
        assert all(weight != 1 for _, weight in spec.objective.weights)
        usual = reader(spec.data.name, ())
        assert all(usual[name] != value for name, value in spec.data.options)


# --- rows that are not printed ----------------------------------------------------------------------------------------


def test_readings_are_declared_as_what_they_are() -> None:
    found = {key: row.reading_of for key, row in DECLARED.items() if row.reading_of}
    assert found == {key: row for key, (row, _) in READINGS.items()}


@pytest.mark.parametrize(("table", "name"), READINGS)
def test_a_reading_differs_from_its_row_in_what_a_finding_names(table: str, name: str) -> None:
    row, key = READINGS[table, name]
    found, printed = (dict(flat(described(spec_of(table, which)))) for which in (name, row))
    differing = {part.lstrip(".") for part in {**found, **printed} if found.get(part) != printed.get(part)}
    assert differing == PARTS_OF_READINGS[key]
    findings = [f for f in load_findings(EXPECTED, "mti_net") if f.key == key]
    assert any(table.partition("/")[2] in f.tables for f in findings)


# --- what names of recipes mean ---------------------------------------------------------------------------------------

SHARES = {
    100: {0: 1.0, 1: 0.99099548, 25: 0.77188951, 50: 0.53588673, 90: 0.12589254, 99: 0.015848932},
    80: {0: 1.0, 1: 0.98874294, 20: 0.77188951, 40: 0.53588673, 70: 0.15389305, 79: 0.019373987},
    60: {0: 1.0, 1: 0.98498742, 15: 0.77188951, 30: 0.53588673, 50: 0.19937187, 59: 0.025099431},
}
"""Length -> epoch -> share of the initial rate in the public implementation's schedule."""


def test_learning_rates() -> None:
    for spec in SPECS:
        shares = SHARES[spec.recipe.epochs]
        rates = {epoch: learning_rate(spec.recipe, epoch) for epoch in shares}
        first = {"adam": 1e-4, "sgd": 1e-2}[spec.recipe.optimizer]
        assert rates == pytest.approx({epoch: first * share for epoch, share in shares.items()}, rel=1e-6)


def defaults(chosen: Recipe) -> Facts:
    made = OPTIMIZERS[chosen.optimizer]([{"params": [nn.Parameter(torch.zeros(1))]}], chosen)
    return {"class": type(made), **made.defaults}


def test_optimizers() -> None:
    """Weight decay is added to the gradient, as L2; momentum without Nesterov's correction."""
    adam, sgd = (defaults(spec_of("pascal_context/2b", name).recipe) for name in ("Ours (a)", "MTL (a)"))
    expected = {"class": torch.optim.Adam, "lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-4}
    assert {name: adam[name] for name in (*expected, "amsgrad")} == {**expected, "amsgrad": False}
    expected = {"class": torch.optim.SGD, "lr": 1e-2, "momentum": 0.9, "dampening": 0, "weight_decay": 1e-4}
    assert {name: sgd[name] for name in (*expected, "nesterov")} == {**expected, "nesterov": False}


LENGTHS = [
    *[("nyuv2/2a", "MTL", (132 * 80, 654)), ("nyuv2/6a", "Ours - HRNet48-V2", (132 * 80, 654))],
    *[("pascal_context/2b", "MTL (a)", (624 * 60, 5105)), ("pascal_context/S1", "Ours (s)", (624 * 80, 5105))],
    *[("pascal_context/5", "PAD-Net [47]/MT/HRNet-18", (624 * 100, 5105))],
    *[("pascal_context/7b", "Ours", (624 * 100, 5105)), ("pascal_context/7b", "Multi-Task", (624 * 60, 5105))],
]


@pytest.mark.parametrize(("table", "name", "length"), LENGTHS)
def test_lengths(table: str, name: str, length: tuple[int, int]) -> None:
    """795 images in batches of 6 and 4,998 in batches of 8, the rest dropped; the test set is judged at the end."""
    assert training_length(spec_of(table, name)) == length


def channels_of(spec: RunSpec) -> dict[str, int]:
    tasks = make_tasks(spec.tasks, dataset_info(spec.data.name, spec.data.options), spec.objective.losses)
    return {name: task.channels for name, task in tasks.items()}


def test_channels() -> None:
    """Saliency and edges are one logit; unlabelled pixels of NYUD-v2 are no class."""
    assert channels_of(spec_of("nyuv2/2a", "Ours (w/ FPM) (N+E)")) == {S: 40, N: 3, E: 1, D: 1}
    assert channels_of(spec_of("pascal_context/2b", "Ours (a)")) == {S: 21, P: 7, A: 1, N: 3, E: 1}


# --- networks ---------------------------------------------------------------------------------------------------------

ON_FPN = {
    ("nyuv2/S3a", "Single task"): (15_412_584, 15_407_553),
    ("nyuv2/S3a", "MTL"): (17_036_521,),
    ("nyuv2/S3a", "Ours"): (30_397_383,),
    ("nyuv2/S3a", "Ours (N)"): (39_723_384,),
    ("nyuv2/S3a", "Ours (N+E)"): (49_714_017,),
    ("pascal_context/S1", "MTL (s)"): (18_658_781,),
    ("pascal_context/S1", "MTL (a)"): (21_906_913,),
    ("pascal_context/S1", "Ours (s)"): (43_614_016,),
    ("pascal_context/S1", "Ours (s)(E)"): (55_028_521,),
    ("pascal_context/S1", "Ours (s)(N)"): (55_029_585,),
    ("pascal_context/S1", "Ours (s)(E+N)"): (67_109_786,),
    ("pascal_context/S1", "Ours (a)"): (80_606_110,),
    ("pascal_context/7b", "Single Task"): (28_478_933, 28_477_127, 28_476_353, 28_476_611, 28_476_353),
    ("pascal_context/7b", "Multi-Task"): (34_975_713,),
    ("pascal_context/7b", "Ours"): (93_674_910,),
}
"""Rows on pyramids -> parameters of their networks, counted on a re-implementation of the paper's text."""


def parameters(model: ModelSpec, channels: dict[str, int]) -> int:
    with torch.device("meta"):
        network = build_model(replace(model, weights=None), channels)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("table", "name"), ON_FPN)
def test_networks_on_pyramids(table: str, name: str) -> None:
    """Of these the declared settings say little: widths and heads come with the backbone."""
    assert tuple(parameters(spec.model, channels_of(spec)) for spec in specs_of(table, name)) == ON_FPN[table, name]


def test_pad_net_on_a_pyramid() -> None:
    """16.73, 19.23 and 21.73 million parameters, where the paper leaves open which map it reads."""
    for name, millions in (("PAD-Net", 16.73), ("PAD-Net (N)", 19.23), ("PAD-Net (N+E)", 21.73)):
        spec = spec_of("nyuv2/S3a", name)
        assert round(parameters(spec.model, channels_of(spec)) / 1e6, 2) == millions


# --- runs that rows share ---------------------------------------------------------------------------------------------


def trained(*tables: str, readings: bool = False) -> set[RunSpec]:
    """Trainings of one seed that printed rows read, or other readings of them."""
    rows = [row for (key, _), row in DECLARED.items() if key in tables and bool(row.reading_of) == readings]
    return {spec for row in rows for spec in row.specs}


def test_rows_that_are_one_run() -> None:
    """Those that do the same, and no others; tables 3, 4, 7a and S2 read runs of 2a, and 5 some of 2b and S1."""
    for one, other in combinations(DECLARED, 2):
        same = TABLE_ROWS[one[0]][one[1]] == TABLE_ROWS[other[0]][other[1]]
        assert (specs_of(*one) == specs_of(*other)) == same, (one, other)
    assert trained("nyuv2/2a") == trained("nyuv2/S2a") == trained("nyuv2/S2b")
    assert trained("nyuv2/2a") > trained("nyuv2/4") | trained("nyuv2/7a")
    assert trained("nyuv2/S3a") == trained("nyuv2/S3b") == trained("nyuv2/S3c")


NEW = {
    "nyuv2/2a": 2 + 10,
    "pascal_context/2b": 5 + 7,
    "nyuv2/3": 2,
    "pascal_context/5": 1 + 2 * (5 + 1),  # PAD-Net, and two pyramids
    "nyuv2/6a": 2 + 1,
    "pascal_context/7b": 1,
    "pascal_context/S1": 6,  # besides the six of Table 5
    "nyuv2/S3a": 2 + 7,
}
"""Table -> trainings of one seed that printed rows of no earlier table have, where there are any."""


def test_new_trainings_of_tables() -> None:
    order = sorted(TABLES, key=lambda key: key.partition("/")[2])
    new = {key: len(trained(*order[: i + 1])) - len(trained(*order[:i])) for i, key in enumerate(order)}
    assert {key: count for key, count in new.items() if count} == NEW


def test_trainings_of_all_tables() -> None:
    """On each backbone as many as the rows call for, and eight other readings."""
    assert len(trained(*TABLES)) == sum(NEW.values()) == 58
    assert len(trained(*TABLES, readings=True) - trained(*TABLES)) == 5 + 2 + 1
    kinds = [(spec.model.backbone, spec.data.name) for spec in trained(*TABLES)]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        ("hrnet18", "nyuv2"): 12 + 2,
        ("hrnet18", "pascal_context"): 12 + 1,
        ("hrnet48", "nyuv2"): 2 + 1,
        ("resnet18_fpn", "nyuv2"): 2 + 7,
        ("resnet18_fpn", "pascal_context"): 5 + 7,
        ("resnet50_fpn", "pascal_context"): 5 + 2,
    }


# --- twins ------------------------------------------------------------------------------------------------------------

FAMILIES = {"hrnet18": "hrnet_nano", "hrnet48": "hrnet_nano", "resnet18_fpn": "fpn_nano", "resnet50_fpn": "fpn_nano"}
DISTINCT = set(SPECS)


@pytest.mark.parametrize("tier", TWINS)
def test_twins_learn_what_the_papers_runs_learn(tier: str) -> None:
    for spec in DISTINCT:
        twin = TWINS[tier](spec)
        chosen = dict(twin.model.options)
        if spec.model.arch == "padnet" and tier in ("smoke", "rehearsal"):
            assert chosen.pop("width") == 32
        assert (twin.model.arch, chosen) == (spec.model.arch, dict(spec.model.options))
        assert (twin.model.main, twin.model.aux) == (spec.model.main, spec.model.aux)
        assert twin.objective == spec.objective
        assert twin.recipe.optimizer == spec.recipe.optimizer


@pytest.mark.parametrize(("tier", "count"), [("smoke", 53), ("bench", 66), ("full", 66), ("rehearsal", 53)])
def test_trainings_of_a_tier(tier: str, count: int) -> None:
    """Small twins of one family's backbones are one: four runs of HRNet-48 and seven of R50-FPN are others' then.

    So are those that differ in batch and length alone, as two by the released recipe do.
    """
    assert len({TWINS[tier](spec).hash() for spec in DISTINCT}) == count
    small = tier in ("smoke", "rehearsal")
    said: dict[str, set[RunSpec]] = {}
    for spec in DISTINCT:
        twin = TWINS[tier](spec)
        name = FAMILIES[spec.model.backbone] if small else spec.model.backbone
        assert twin.model.backbone == name
        paper = replace(spec, model=replace(spec.model, backbone=name, weights=None))
        said.setdefault(twin.hash(), set()).add(replace(paper, recipe=twin.recipe) if small else paper)
    assert {len(runs) for runs in said.values()} == {1}  # nothing but backbone, batch and length tells them apart


def test_small_twins_can_be_built() -> None:
    """With the tasks that their data have; rehearsals have the networks of smoke runs."""
    twins = {TWINS["smoke"](spec).model: TWINS["smoke"](spec) for spec in DISTINCT}
    assert set(twins) == {TWINS["rehearsal"](spec).model for spec in DISTINCT}
    for model, twin in twins.items():
        assert 0 < parameters(model, channels_of(twin)) < 5_000_000


# --- what is told of the settings -------------------------------------------------------------------------------------


def test_settings_that_findings_name_exist() -> None:
    """Options of networks and readers, each where the finding says; and every option of the networks has a finding."""
    keys = {f.key for f in load_findings(EXPECTED, "mti_net")}
    networks = {f"model.options.{option}" for arch in ("mti_net", "padnet") for option in effective(MODELS[arch], ())}
    readers = {f"data.options.{option}" for option in reader("pascal_context", ())}
    assert networks <= {key for key in keys if ".options." in key} <= networks | readers
