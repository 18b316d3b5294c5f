"""ATRC: published vectors of the head, sizes, what the relations say, what reaches what, bad input."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_vectors import NYUD, randn, spec
from shape_vectors import assert_statistics, fill_by_shape
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.models.atrc import ATRC, PUBLISHED, Refinement, relation_kinds
from mtlrepro.models.handed import Handed
from mtlrepro.models.layers import resize
from mtlrepro.models.relations import RELATIONS

TASKS = ("semseg", "depth", "normals", "edges")
PASCAL_TASKS = ("semseg", "parts", "saliency", "normals", "edges")
PASCAL = {"semseg": 21, "parts": 7, "saliency": 2, "normals": 3, "edges": 1}
WIDTHS = (8, 16, 32, 64)


def on_handed_maps(relations="nyud_hrnet48", tasks=TASKS, channels=NYUD):
    return ATRC(Handed(WIDTHS, (4, 8, 16, 32)), tasks, channels, relations=relations)


@cache
def published():
    model = on_handed_maps(channels={"semseg": 5, "depth": 1, "normals": 3, "edges": 1})
    model.backbone.maps = randn(2, *[(2, width, 16 // 2**s, 24 // 2**s) for s, width in enumerate(WIDTHS)])
    with torch.no_grad():
        return model, fill_by_shape(model)(torch.zeros(2, 3, 64, 96))


FINAL = {
    "semseg": (-0.195122, 0.562557, 0.148997, 0.953197, -0.413733, 0.675993),
    "depth": (0.593551, 0.608497, 0.716542, 0.593464, 1.167651, 0.308007),
    "normals": (0.417513, 0.745666, 0.406021, -0.305553, 1.004349, -0.603087),
    "edges": (0.567630, 0.588261, 0.665907, 0.605379, 1.060483, 0.321916),
}
AUXILIARY = {
    "semseg": (-0.534179, 0.710849, -2.487933, -0.675613, -2.708760, -0.287093),
    "edges": (0.483437, 0.725418, -1.449245, 0.914424, 0.479845, -0.044022),
}


def test_head_vectors():
    model, outputs = published()
    assert sum(p.numel() for p in model.parameters()) == 201_557
    assert list(outputs.final) == list(TASKS)
    for task, vector in FINAL.items():
        assert outputs.final[task].shape[-2:] == (64, 96)
        assert_statistics(outputs.final[task], *vector)


def test_auxiliary_vectors():
    stages = published()[1].stages
    assert list(stages) == ["auxiliary"]
    assert {t: tuple(p.shape) for t, p in stages["auxiliary"].items()} == {
        "semseg": (2, 5, 16, 24),
        "edges": (2, 2, 16, 24),
    }
    for task, vector in AUXILIARY.items():
        assert_statistics(resize(stages["auxiliary"][task], (64, 96)), *vector)


def meta(name, relations, tasks=TASKS, channels=NYUD):
    with torch.device("meta"):
        return build_model(spec("atrc", " ".join(tasks), backbone=name, relations=relations), channels)


def size_of(module):
    return sum(p.numel() for p in module.parameters())


def test_parts_of_the_published_network():
    model = meta("hrnet48", "nyud_hrnet48")
    parts = {name: size_of(module) for name, module in model.named_children()}
    assert parts["task_features"] == 4_667_040
    assert sum(size_of(m[0]) for m in model.auxiliary.values()) == 1_039_680
    assert sum(size_of(m[1]) for m in model.auxiliary.values()) == 30_282
    assert parts["context"] == 1_408_680
    assert parts["heads"] == 8145
    assert size_of(model) == 65_325_120 + 7_153_827


@pytest.mark.parametrize(
    ("backbone", "relations", "tasks", "channels", "millions"),
    [
        ("hrnet48", "nyud_hrnet48", TASKS, NYUD, 72.479),
        ("hrnet48", "global", TASKS, NYUD, 71.573),
        ("hrnet48", "t-label", TASKS, NYUD, 73.740),
        ("hrnet48", "s-label", TASKS, NYUD, 73.740),
        ("hrnet48", "pascal_hrnet18", PASCAL_TASKS, PASCAL, 76.109),
        ("hrnet18", "nyud_hrnet18", TASKS, NYUD, 5.061),
        ("hrnet18", "pascal_hrnet18", PASCAL_TASKS, PASCAL, 5.383),
    ],
)
def test_published_parameters(backbone, relations, tasks, channels, millions):
    assert round(size_of(meta(backbone, relations, tasks, channels)) / 1e6, 3) == millions


def test_batch_norms_have_the_usual_momentum():
    norms = [m for m in meta("hrnet48", "nyud_hrnet48").modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.momentum for m in norms} == {0.1}


def test_logits_start_small():
    torch.manual_seed(0)
    model = on_handed_maps()
    logits = [*model.heads.values(), *(predict[-1] for predict in model.auxiliary.values())]
    assert len(logits) == 6
    drawn = torch.cat([layer.weight.flatten() for layer in logits])
    assert drawn.std().item() == pytest.approx(0.01, rel=0.1)
    assert not any(layer.bias.any() for layer in logits)


def test_published_relations():
    numbers = dict(zip(RELATIONS, "01234", strict=True))
    rows = {name: ["".join(numbers[k] for k in row.values()) for row in of.values()] for name, of in PUBLISHED.items()}
    assert rows == {
        "nyud_hrnet48": ["3004", "4114", "4114", "3333"],
        "nyud_hrnet18": ["3344", "4344", "4334", "3313"],
        "pascal_hrnet18": ["33404", "33434", "33343", "33334", "33313"],
    }
    assert list(PUBLISHED["nyud_hrnet48"]["edges"]) == list(TASKS)
    assert list(PUBLISHED["pascal_hrnet18"]) == list(PASCAL_TASKS)


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(st.lists(st.sampled_from(list(RELATIONS)), min_size=3, max_size=3), min_size=3, max_size=3))
def test_auxiliary_maps_are_those_that_somebody_needs(rows):
    tasks = ("depth", "semseg", "edges")
    with torch.device("meta"):
        model = on_handed_maps(tuple(zip(tasks, rows, strict=True)), tasks)
    needed = [t for i, t in enumerate(tasks) if "t-label" in rows[i] or "s-label" in [row[i] for row in rows]]
    assert list(model.auxiliary) == needed
    for target, row in zip(tasks, rows, strict=True):
        found = {source: type(block) for source, block in model.context[target].contexts.items()}
        assert found == {s: RELATIONS[kind] for s, kind in zip(tasks, row, strict=True) if kind != "none"}


def test_a_published_set_serves_some_of_its_tasks_in_any_order():
    kinds = relation_kinds("nyud_hrnet48", ("edges", "semseg"))
    assert {t: list(of) for t, of in kinds.items()} == {"edges": ["edges", "semseg"], "semseg": ["edges", "semseg"]}
    assert kinds["semseg"]["edges"] is RELATIONS["s-label"]
    assert relation_kinds("none", TASKS) == {task: {} for task in TASKS}


def trained_step(relations="nyud_hrnet48", **changes):
    torch.manual_seed(0)
    model = build_model(spec("atrc", " ".join(TASKS), relations=relations, **changes), NYUD).train()
    return model, model(torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)))


def gradients(loss, model):
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True), strict=True))


def test_auxiliary_losses_stop_before_the_backbone():
    model, outputs = trained_step()
    found = gradients(sum(p.square().mean() for p in outputs.stages["auxiliary"].values()), model)
    assert {n for n, g in found.items() if g is not None} == {n for n in found if n.startswith("auxiliary.")}


def test_contexts_are_silent_at_the_start():
    model, outputs = trained_step()
    found = gradients(sum(p.square().mean() for p in outputs.final.values()), model)
    silent = [n for n, g in found.items() if g is None or not g.any()]
    assert silent == [n for n in found if n.startswith("auxiliary.") or ".contexts." in n or ".join.0." in n]
    assert all(found[f"context.{t}.join.1.weight"].any() for t in TASKS)  # but they learn to speak
    refinement, maps = model.context["edges"].eval(), outputs.features[0]
    assert not refinement.join(torch.rand(1, refinement.join[0].in_channels, *maps.shape[-2:])).any()


def test_final_losses_train_all_once_contexts_speak():
    model, _ = trained_step()
    for task in TASKS:
        nn.init.ones_(model.context[task].join[1].weight)
    outputs = model(torch.rand(2, 3, 64, 96))
    found = gradients(sum((p - 1).square().mean() for p in outputs.final.values()), model)
    assert [n for n, g in found.items() if g is None or not g.isfinite().all()] == []
    # Some biases shift all places or all keys alike, which neither a batch norm nor a softmax sees.
    assert [n for n, g in found.items() if g.abs().max() < 1e-9 and not n.endswith(".bias")] == []


def test_channels_drop_out_in_training_alone():
    refinement = Refinement({}, 40, 20)
    dropout = refinement.mix[-1]
    assert isinstance(dropout, nn.Dropout2d)
    assert dropout.p == 0.05
    torch.manual_seed(0)
    kept = dropout(torch.ones(500, 40, 2, 2))
    assert kept.flatten(2).mean(2).unique().tolist() == pytest.approx([0, 1 / 0.95])
    assert kept.ne(0).float().mean().item() == pytest.approx(0.95, abs=0.01)
    assert torch.equal(dropout.eval()(kept), kept)


@pytest.mark.parametrize("relations", list(RELATIONS))
@pytest.mark.parametrize("size", [(64, 96), (53, 70)])
def test_any_size_any_type(relations, size):
    torch.manual_seed(0)
    model = build_model(spec("atrc", " ".join(TASKS), relations=relations), NYUD).eval()
    with torch.no_grad():
        outputs = model(torch.zeros(1, 3, *size))
    assert {t: tuple(p.shape) for t, p in outputs.final.items()} == {t: (1, NYUD[t], *size) for t in TASKS}
    fine = (-(-size[0] // 4), -(-size[1] // 4))
    expected = {"semseg": 40, "depth": 40, "normals": 40, "edges": 2} if relations.endswith("label") else {}
    found = outputs.stages.get("auxiliary", {})
    assert {t: tuple(p.shape) for t, p in found.items()} == {t: (1, k, *fine) for t, k in expected.items()}
    assert [f.shape[1] for f in outputs.features] == list(WIDTHS)


@pytest.mark.parametrize(
    ("relations", "tasks", "message"),
    [
        ("nyud", TASKS, "relations: unknown set of relations 'nyud'. Did you mean 'nyud_hrnet"),
        ("pascal_hrnet18", TASKS, "relations: unknown task of the set 'pascal_hrnet18': 'depth'"),
        ((("semseg", ("global",)),), ("depth",), "relations: rows are those of semseg. Give one row each for depth"),
        ((("depth", ("global",)),) * 2, ("depth",), "relations: rows are those of depth, depth"),
        ((), ("depth",), "relations: rows are those of no task"),
        ((("depth", ("none", "none")),), ("depth",), r"relations.depth: \('none', 'none'\) is not one type a source"),
        ((("depth", "none"),), ("depth",), "relations.depth: 'none' is not one type a source. .* order depth"),
        ((("depth", ("t-labels",)),), ("depth",), "relations.depth: unknown type of context 't-labels'. Did you mean"),
        ((("depth", (None,)),), ("depth",), "relations.depth: unknown type of context 'None'"),
        ((("depth", None),), ("depth",), "relations.depth: None is not one type a source"),
        (((1, ("none",)),), ("depth",), "relations: rows are those of 1. Give one row each for depth"),
        (("none",), ("depth",), r"relations: \('none',\) are no relations. Name a set or a type, or give"),
        (None, ("depth",), "relations: None are no relations"),
        (3, ("depth",), "relations: 3 are no relations"),
        (
            "t-label",
            ("depth", "keypoints"),
            "relations: task 'keypoints' has no auxiliary map. Use none, global or loc",
        ),
    ],
)
def test_relations_that_do_not_fit_are_named(relations, tasks, message):
    with torch.device("meta"), pytest.raises(SpecError, match=message):
        on_handed_maps(relations, tasks, NYUD | {"keypoints": 1})


def test_tasks_without_classes_take_other_contexts():
    with torch.device("meta"):
        model = on_handed_maps("global", ("depth", "keypoints"), {"depth": 1, "keypoints": 1})
    assert not model.auxiliary
