"""A user's own rows in published tables: which runs they are, what is concluded of them, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evidence_fakes import row_named, table, two_sets
from jtr_session import jtr, open_session
from plugin_files import NET, clean, write  # noqa: F401  (a fixture)
from suite_fakes import SUITES

from mtlrepro.engine.evaluate import record_key
from mtlrepro.errors import SpecError
from mtlrepro.report import words
from mtlrepro.report.headline import headline
from mtlrepro.report.jsonfile import parse_report
from mtlrepro.spec import RunSpec, WeightingSpec, options
from mtlrepro.suite import recorded, shrink, tiers
from mtlrepro.suite.compared import Addition, add_rows, needed_rows, try_additions
from mtlrepro.suite.figures import usual_protocol
from mtlrepro.suite.shrink import TWINS
from mtlrepro.suite.table import BoundTable, Row, bind, load_suite_file
from mtlrepro.suite.tiers import Capacity, serve

pytestmark = pytest.mark.usefixtures("clean")

OWN = "Ours (w/ FPM) (N+E)"
"""The row of table 2a that is the paper's own method: the last one in print."""


@pytest.fixture
def net(tmp_path: Path) -> str:
    return f"{write(tmp_path / 'my_method.py', NET)}:"


def one_row(bound: BoundTable, *models: str, **more: Any) -> Row:
    (row,) = add_rows(bound, Addition(models, **more))[1]
    return row


def test_it_is_the_table_s_own_method_with_another_architecture(net: str) -> None:
    bound = table("2a")
    row, like = one_row(bound, f"{net}Net"), bound.row(OWN)
    (spec,), (of,) = row.specs, like.specs
    assert (row.name, row.reading_of, row.view, row.like) == ("Net", OWN, "final", like.specs)
    assert (spec.model.arch, spec.model.main, spec.model.aux) == (f"{net}Net", of.model.main, ())
    assert (spec.model.backbone, spec.model.weights, spec.model.options) == (of.model.backbone, of.model.weights, ())
    assert replace(spec, model=of.model, objective=of.objective) == of
    assert {task for task, _ in spec.objective.weights} <= set(of.model.main)
    assert "'Net' is a user's own row" in row.own
    assert f"in place of what {OWN!r} has" in row.own


def test_a_front_end_gets_the_auxiliary_tasks_and_a_single_task_class_a_run_a_task(net: str) -> None:
    bound = table("2a")
    aux = bound.row(OWN).specs[0].model.aux
    assert len(aux) == 4
    assert one_row(bound, f"{net}WithFrontEnd").specs[0].model.aux == aux
    mtl = one_row(bound, f"{net}WithFrontEnd", like="MTL").specs[0].model
    assert mtl.aux == mtl.main == ("semseg", "depth")
    singles = one_row(bound, f"{net}Single").specs
    assert [(s.model.main, s.model.aux) for s in singles] == [(("semseg",), ()), (("depth",), ())]
    together = one_row(bound, f"{net}Net", like="Single task")
    assert [s.model.main for s in together.specs] == [("semseg", "depth")]
    assert together.like == bound.row("Single task").specs[:1]


def test_settings_go_to_the_architectures_and_the_objective_that_have_them(net: str) -> None:
    bound = jtr("nyuv2_13", "1", "onelabel")
    wide = Addition((f"{net}Net", "mtl"), names=("a", "b"), options=options(width=8), objective="jtr")
    rows = add_rows(bound, wide)[1]
    assert [r.specs[0].model.options for r in rows] == [options(width=8), ()]
    other = Addition((f"{net}Net",), objective="consistency", objective_options=options(weight=0.5))
    (row,) = add_rows(bound, other)[1]
    assert row.specs[0].objective.name == "consistency"
    assert row.specs[0].objective.options == options(weight=0.5)
    with pytest.raises(SpecError, match="--option: unknown setting of the architecture 'widht'"):
        one_row(bound, f"{net}Net", options=options(widht=8))
    with pytest.raises(SpecError, match="--objective-option: unknown setting of the objective 'colour'"):
        one_row(bound, f"{net}Net", objective_options=options(colour=8))


def test_an_objective_alone_keeps_the_architecture_with_its_settings() -> None:
    bound = jtr("nyuv2_13", "1", "onelabel")
    row = one_row(bound, objective="supervised")
    (spec,), (of,) = row.specs, bound.row(row.reading_of).specs
    assert (spec.model, spec.data, spec.recipe) == (of.model, of.data, of.recipe)
    assert (spec.objective.name, spec.objective.options) == ("supervised", ())
    assert spec.objective.weights == of.objective.weights
    assert row.name == f"{of.model.arch}, supervised"


def test_teachers_stay_with_their_objective_and_what_a_run_starts_from_stays(net: str) -> None:
    bound = jtr("nyuv2_13", "9", "")
    (must,) = (r for r in bound.rows if r.specs and r.specs[0].objective.name == "must")
    assert one_row(bound, f"{net}Net", like=must.name).specs[0].needs == must.specs[0].needs != ()
    assert one_row(bound, f"{net}Net", like=must.name, objective="partial").specs[0].needs == ()
    file = SUITES / "dense_mtl" / "test_cityscapes_sde_table_5.py"
    (sde,) = bind(load_suite_file(file), file)
    (begun,) = sde.row("3-ways mTEB ours").specs
    assert begun.start
    kept, other = one_row(sde, f"{net}Net").specs[0], one_row(sde, f"{net}Net", objective="supervised").specs[0]
    assert (kept.start, kept.needs) == (other.start, other.needs) == (True, begun.needs)


def test_one_task_has_nothing_to_be_weighed_against(net: str) -> None:
    file = SUITES / "mt_cp" / "test_nyuv2_table_1.py"
    (bound,) = bind(load_suite_file(file), file)
    weighed = bound.row(one_row(bound, f"{net}Net").reading_of)
    assert weighed.specs[0].objective.weighting.name == "lps"
    assert one_row(bound, f"{net}Net").specs[0].objective.weighting.name == "lps"
    assert {s.objective.weighting for s in one_row(bound, f"{net}Single").specs} == {WeightingSpec()}


@pytest.mark.parametrize("tier", ["smoke", "bench", "full"])
def test_its_twins_are_made_like_those_of_the_row_in_whose_place_it_stands(tier: str, net: str) -> None:
    """MT-CP's and ATRC's twins have a pace and a rate of their own, which a new name would not get."""
    for paper, number in (("mt_cp", "1"), ("aware3d", "1")):
        file = SUITES / paper / f"test_nyuv2_table_{number}.py"
        for bound in bind(load_suite_file(file), file):
            row = one_row(bound, f"{net}Net")
            served = serve(row.specs, tier, Everything(1, None), like=row.like)
            for twin, like in zip(served.specs, row.like, strict=True):
                of = TWINS[tier](like)
                assert (twin.data, twin.recipe, twin.model.backbone) == (of.data, of.recipe, of.model.backbone)
                assert twin.model.arch == f"{net}Net"


class Everything(Capacity):
    """A machine with every dataset."""

    def find(self, dataset: str) -> Path | str:
        return Path("/data")


def test_the_pace_of_twins_matters_to_that_test(net: str) -> None:
    file = SUITES / "mt_cp" / "test_nyuv2_table_1.py"
    (bound,) = bind(load_suite_file(file), file)
    row = one_row(bound, f"{net}Net")
    assert shrink.smoke(row.specs[0]).recipe != shrink.smoke(row.like[0]).recipe


@pytest.mark.parametrize(
    ("addition", "says"),
    [
        (Addition(), "mti_net/nyuv2/2a: nothing to compare. Give --model, such as my_method.py:MyNet, or --objective"),
        (Addition(("mtl",), like="Single tsk"), "unknown row 'Single tsk'. Did you mean 'Single task'"),
        (Addition(("mtl",), names=("MTL",)), "--name: 'MTL' is the name of another row. Give --name, another one"),
        (Addition(("mtl",), names=(" ",)), "--name: ' ' is the name of another row"),
        (Addition(("mtl", "mtl")), "--name: 'mtl' is the name of another row"),
        (Addition(("mtl", "stl"), names=("x",)), "--name: 1 names for 2 rows. Give --name once for every --model"),
        (Addition(("mtll",)), "unknown architecture 'mtll'. Did you mean 'mtl'"),
        (Addition(("mtl",), objective="jrt"), "unknown objective 'jrt'. Did you mean 'jtr'"),
    ],
)
def test_what_cannot_be_is_told(addition: Addition, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        add_rows(table("2a"), addition)
    assert says in str(caught.value)


def test_rows_without_a_printed_run_cannot_be_copied(tmp_path: Path) -> None:
    bound = two_sets(tmp_path, missing=("Method",))["S-D"]
    for name, why in (("Copied", "it is quoted and has no recipe"), ("Method", "the method is not written")):
        with pytest.raises(SpecError, match=rf"--like: row '{name}' has no printed run: {why}\. Choose one of 'Base'"):
            one_row(bound, "mtl", like=name)
    assert one_row(bound, "mtl").reading_of == "Base"
    nothing = two_sets(tmp_path / "b", missing=("Method", "Base"))["S-D"]
    with pytest.raises(SpecError, match="no row of this table has a run to take"):
        one_row(nothing, "mtl")


def test_it_stands_below_its_row_in_its_panel_alone_and_all_panels_know(tmp_path: Path, net: str) -> None:
    panels = two_sets(tmp_path)
    bound, (row,) = add_rows(panels["S-D"], Addition((f"{net}Net",)))
    assert [r.name for r in bound.rows] == ["Base", "Method", "Net", "Copied"]
    assert bound.siblings["S-D"] is bound
    assert bound.siblings["S-D-N"].siblings is bound.siblings
    assert [r.name for r in bound.siblings["S-D-N"].rows] == ["Base", "Method"]
    assert (bound.line("Net").origin, bound.line("Net").source, bound.line("Net").cells) == ("own", "Method", {})
    assert needed_rows(bound, [row], [], False) == [bound.row("Method"), row]
    assert needed_rows(bound, [row], ["Base"], False) == [bound.row("Base"), bound.row("Method"), row]
    assert needed_rows(bound, [row], [], True) == list(bound.rows)
    with pytest.raises(SpecError, match="unknown row 'Bse'"):
        needed_rows(bound, [row], ["Bse"], False)


# --- concluded --------------------------------------------------------------------------------------------------------


GAINS = {"mtl": 0.0, "padnet": 0.03}
"""What the printed rows' architectures gain on the baseline's figures; any other one gains 0.04."""


def figures(spec: RunSpec) -> dict[str, float]:
    gain = GAINS.get(spec.model.arch, 0.04)
    found = {"semseg.miou": 0.30 + gain, "depth.rmse": 0.70 - gain, "normals.mean": 20.0}
    mine = {m: v for m, v in found.items() if m.partition(".")[0] in spec.model.main}
    return {record_key("final", m, usual_protocol(m)): v for m, v in mine.items()}


def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, panel: str = "S-D", **more: Any) -> Any:
    """A session with an own row that is the best of all, and its table's result."""
    monkeypatch.setattr(recorded, "program_digest", lambda spec: "p" * 16)

    bound, own = add_rows(two_sets(tmp_path / "tables")[panel], Addition((model,), names=("Mine",)))
    one, launcher = open_session(monkeypatch, tmp_path / "runs", figures, **more)
    one.plan([(bound, row) for row in needed_rows(bound, own, [], False)])
    return one, bound, one.table(bound), launcher


def test_it_has_delta_beside_the_print_and_is_held_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: str
) -> None:
    one, bound, result, launcher = judged(tmp_path, monkeypatch, f"{net}Net", seeds=2)
    assert [r.name for r in result.rows] == ["Base", "Method", "Mine"]
    row = row_named(result, "Mine")
    assert (row.origin, row.source, row.tier, row.printed, row.checks) == ("own", "Method", "full", {}, [])
    assert row.measured["sd_seg"].mean == pytest.approx(34.0)
    assert row.delta["own"] == pytest.approx(100 * ((0.34 / 0.30 - 1) - (0.66 / 0.70 - 1)) / 2)
    assert row.beside == row_named(result, "Method").printed
    assert row.resources == {"params": 1000, "macs": 2000}
    assert one.outcome(bound, "Mine").failures == []
    assert "'Mine' is a user's own row" in one.outcome(bound, "Mine").skipped
    assert [note for note in result.notes if "'Mine' is a user's own row" in note]
    assert {r.spec.model.arch for r in launcher.runs} == {"mtl", "padnet", f"{net}Net"}


def test_at_smoke_it_has_to_beat_the_best_constant_and_no_recorded_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: str
) -> None:
    _, _, result, _ = judged(tmp_path, monkeypatch, f"{net}Net", tier="smoke", gpus=0, data=False)
    assert {c.kind for c in row_named(result, "Mine").checks} <= {"trivial"}
    assert "recorded" in {c.kind for c in row_named(result, "Method").checks} or result.rows[0].checks


def test_from_the_second_panel_the_first_one_s_baseline_joins_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: str
) -> None:
    one, _, result, _ = judged(tmp_path, monkeypatch, f"{net}Net", panel="S-D-N")
    assert [r.name for r in result.rows] == ["Method", "Mine"]
    assert row_named(result, "Mine").delta["own"] == pytest.approx(100 * ((0.34 / 0.30 - 1) - (0.66 / 0.70 - 1)) / 2)
    assert {t.panel for t in one.finish().tables} == {"S-D", "S-D-N"}


def test_printed_rows_are_judged_as_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: str) -> None:
    _, _, more, _ = judged(tmp_path, monkeypatch, f"{net}Net", seeds=3)
    plain = two_sets(tmp_path / "plain")["S-D"]
    one, _ = open_session(monkeypatch, tmp_path / "runs_2", figures, seeds=3)
    one.plan([(plain, plain.row(name)) for name in ("Base", "Method")])
    without = one.table(plain)
    assert [(r.name, r.checks, r.measured) for r in without.rows] == [
        (r.name, r.checks, r.measured) for r in more.rows if r.origin != "own"
    ]
    assert more.claims == without.claims


def test_the_report_says_that_it_is_the_user_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: str) -> None:
    one, *_ = judged(tmp_path, monkeypatch, f"{net}Net")
    result = parse_report(one.finish().to_json())
    (mine,) = (row for t in result.tables for row in t.rows if row.origin == "own")
    assert words.is_unprinted(mine)
    assert words.mark(mine) == "own method, like Method, not printed"
    said = " ".join(headline(result).sentences)
    assert "2 rows in 1 table" in said
    assert "Besides, 1 row of the user's own, which no paper prints: 1 at full." in said


# --- tried ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "Narrow",
            "my_method.py:Narrow: predicts semseg of shape (2, 40, 120, 160) for two images. Predict (2, 40, 480, 640)",
        ),
        ("Lacks", "predicts no depth, only semseg. Predict every task that the network is given"),
        ("Bare", "returns a dict. Return a mtlrepro.models.outputs.Outputs"),
        ("Fails", "my_method.py:24: Mine: ValueError: no"),
        ("Homeless", "has no `backbone`. Keep the backbone that it is given as `self.backbone`"),
        ("Takes", "TypeError: Takes.__init__() takes 2 positional arguments but 4 were given"),
        ("Only", "Mine: model.main: a single-task network cannot predict ('semseg', 'depth')"),
    ],
)
def test_a_network_that_does_not_fit_is_told_before_anything_is_trained(name: str, says: str, tmp_path: Path) -> None:
    file = write(
        tmp_path / "my_method.py",
        """
        from torch import nn
        from mtlrepro.models.baselines import MultiTask, SingleTask
        from mtlrepro.models.outputs import Outputs


        class Narrow(MultiTask):
            def forward(self, image):
                return Outputs({t: head(self.backbone(image)) for t, head in self.heads.items()})


        class Lacks(MultiTask):
            def forward(self, image):
                return Outputs({"semseg": super().forward(image).final["semseg"]})


        class Bare(MultiTask):
            def forward(self, image):
                return super().forward(image).final


        class Fails(MultiTask):
            def forward(self, image):
                raise ValueError("no")


        class Homeless(nn.Module):
            def __init__(self, backbone, main, channels):
                super().__init__()


        class Takes(nn.Module):
            def __init__(self, backbone):
                super().__init__()


        class Only(SingleTask):
            single_task = False
        """,
    )
    bound, rows = add_rows(table("2a"), Addition((f"{file}:{name}",), like="MTL", names=("Mine",)))
    with pytest.raises(SpecError) as caught:
        try_additions(bound, rows, "smoke", Capacity(0, None))
    assert says in str(caught.value)


def test_the_twin_is_tried_too(tmp_path: Path) -> None:
    text = f"{NET}\n\nclass Wide(Net):\n    def __init__(self, backbone, main, channels):\n"
    text += "        assert backbone.channels[0] == 18, 'not mine'\n"
    text += "        super().__init__(backbone, main, channels)\n"
    file = write(tmp_path / "my_method.py", text)
    bound, rows = add_rows(table("2a"), Addition((f"{file}:Wide",)))
    with pytest.raises(SpecError, match=r"my_method\.py:\d+: Wide: AssertionError: not mine"):
        try_additions(bound, rows, "smoke", Capacity(0, None))
    try_additions(bound, rows, "bench", Capacity(1, None))


def test_those_that_fit_pass(net: str) -> None:
    bound, rows = add_rows(table("2a"), Addition((f"{net}Net", f"{net}Single", f"{net}WithFrontEnd", "padnet")))
    try_additions(bound, rows, "auto", Capacity(0, None))


def test_nothing_is_served_where_a_machine_lacks_it(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "find_dataset", lambda name, root, cache: f"{name}: not there")
    bound, rows = add_rows(table("2a"), Addition((f"{net}Net",)))
    try_additions(bound, rows, "full", Capacity(0, None))
