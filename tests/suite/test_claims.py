"""Claims: by seed at the full tier, exact ones at once, across panels, against prints, and what cannot be judged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence_fakes import (
    TWO_SETS,
    Figures,
    claims_of,
    evidence_of,
    judged,
    printed,
    reprinted,
    row_of,
    siblings,
    table,
    two_sets,
)
from scipy import stats as scipy_stats
from suite_fakes import SUITES

from mtlrepro.suite.evidence import Evidence, RowEvidence
from mtlrepro.suite.judge import judge_table
from mtlrepro.suite.results import Check
from mtlrepro.suite.table import BoundTable, Row, bind, load_suite_file
from mtlrepro.suite.tiers import Service

FPM = "The FPM improves MTI-Net"
WITHOUT, WITH = "Ours (w/o FPM)", "Ours (w/ FPM)"
NOISE = (-0.004, 0.001, 0.003)
"""What three seeds change, the same in every row: differences are paired by seed."""


def three(figures: Figures, factor: float = 1.0) -> Figures:
    """Three seeds around figures; mIoU times a factor and rmse divided by it."""
    up = {"semseg.miou": factor, "depth.rmse": 1 / factor}
    return {
        m: [v[0] * up[m] * (1 + n + 0.0005 * i * (-1) ** i) for i, n in enumerate(NOISE)] for m, v in figures.items()
    }


def fpm(with_: Figures, without: Figures) -> Check:
    """The claim that the FPM improves MTI-Net, from three rows of Table 2a."""
    bound = table("2a")
    seeds = len(with_["semseg.miou"])
    base = {m: v * seeds for m, v in printed(bound, "Single task").items()}
    return claims_of(judge_table(evidence_of(bound, {"Single task": base, WITHOUT: without, WITH: with_})))[FPM]


# --- trained figures --------------------------------------------------------------------------------------------------


def test_one_seed_decides_nothing() -> None:
    bound = table("2a")
    result = judged(bound, lambda name: printed(bound, name))
    assert len(result.claims) == len(bound.expected.claims)
    assert {(c.verdict, c.n, c.tier) for c in result.claims} == {("SKIPPED", 1, "full")}
    assert all(c.reason.startswith("undecided, one seed and no known spread") for c in result.claims)
    check = claims_of(result)[FPM]
    assert "the means are in that order" in check.reason
    assert "--seeds 3" in check.reason
    claim = next(c for c in bound.expected.claims if c.text == FPM)
    assert check.expected == f"{claim.quote} ({claim.section})"


def test_three_seeds_that_are_clearly_ordered_show_every_claim_of_the_paper() -> None:
    bound = table("2a")
    base = {m: [x * (1 + n) for n in NOISE for x in v] for m, v in printed(bound, "Single task").items()}
    jitter = iter(range(100))

    def figures(name: str) -> Figures:
        k = next(jitter)
        tiny = [1 + 2e-5 * math.sin(7 * k + 3 * i) for i in range(3)]
        return {
            m: [x * (1 + n) * t for n, t in zip(NOISE, tiny, strict=True)] for m, (x,) in printed(bound, name).items()
        }

    result = judged(bound, lambda name: base if name == "Single task" else figures(name))
    assert {(c.verdict, c.n) for c in result.claims} == {("PASS", 3)}
    assert all(c.reason.startswith("p = ") and "t test, paired by seed" in c.reason for c in result.claims)


def test_a_claim_is_refuted_only_where_the_opposite_is_shown() -> None:
    bound = table("2a")
    figures = printed(bound, WITHOUT)
    check = fpm(three(figures, 0.95), three(figures))
    assert check.verdict == "FAIL"
    assert check.reason.startswith("the opposite is shown on Seg ↑: ")
    assert "Dep ↓" in check.reason
    assert "Δ_m% ↑" in check.reason


def test_one_column_that_goes_the_other_way_refutes_a_claim_about_all() -> None:
    bound = table("2a")
    figures = printed(bound, WITHOUT)
    better = three(figures, 1.05)
    check = fpm({**better, "depth.rmse": [v * 1.2 for v in better["depth.rmse"]]}, three(figures))
    assert check.verdict == "FAIL"
    assert "Dep ↓" in check.reason
    assert "Seg ↑" not in check.reason


@pytest.mark.parametrize(
    ("gains", "order"), [((0.01, -0.01, 0.003), "in that order"), ((0.01, -0.02, 0.003), "otherwise")]
)
def test_seeds_that_contradict_each_other_leave_it_undecided(gains: tuple[float, ...], order: str) -> None:
    bound = table("2a")
    figures = three(printed(bound, WITHOUT))
    moved = {
        "semseg.miou": [v + g for v, g in zip(figures["semseg.miou"], gains, strict=True)],
        "depth.rmse": [v - g for v, g in zip(figures["depth.rmse"], gains, strict=True)],
    }
    check = fpm(moved, figures)
    assert check.verdict == "SKIPPED"
    assert check.reason.startswith("undecided with n = 3: ")
    assert order in check.reason
    assert "p = " in check.reason


def test_six_seeds_are_tested_exactly() -> None:
    bound = table("2a")
    figures = {m: [v[0] * (1 + 0.01 * math.sin(i)) for i in range(6)] for m, v in printed(bound, WITHOUT).items()}
    better = {
        "semseg.miou": [v + 0.01 for v in figures["semseg.miou"]],
        "depth.rmse": [v - 0.01 for v in figures["depth.rmse"]],
    }
    check = fpm(better, figures)
    assert (check.verdict, check.n) == ("PASS", 6)
    assert check.reason == "p = 0.016 (exact sign-flip test, paired by seed)"
    assert fpm(figures, better).verdict == "FAIL"


def test_what_all_rows_of_a_seed_share_does_not_hide_a_difference() -> None:
    """Seeds 10 % apart, rows 1 % apart on each: only a paired test can tell."""
    bound = table("2a")
    shared = {m: [v[0] * f for f in (0.9, 1.0, 1.1)] for m, v in printed(bound, WITHOUT).items()}
    better = {
        "semseg.miou": [v * 1.01 for v in shared["semseg.miou"]],
        "depth.rmse": [v * 0.99 for v in shared["depth.rmse"]],
    }
    assert fpm(better, shared).verdict == "PASS"


def test_a_run_that_diverged_does_not_hold_a_claim() -> None:
    bound = table("2a")
    figures = three(printed(bound, WITHOUT))
    bad = {**figures, "semseg.miou": [math.nan, 0.3, 0.3]}
    check = fpm(bad, figures)
    assert check.verdict == "FAIL"
    assert check.reason.startswith("not a number: Seg ↑")


# --- one seed, with a spread known from elsewhere ---------------------------------------------------------------------

ONE_COLUMN = TWO_SETS.replace('columns = ["sd_seg", "sd_dep", "sdn_seg", "sdn_dep"]', 'columns = ["sd_seg"]')


@pytest.mark.parametrize(
    ("ours", "verdict"), [(0.33, "PASS"), (0.3005, "SKIPPED"), (0.2995, "SKIPPED"), (0.27, "FAIL")]
)
def test_one_seed_leans_on_the_printed_deviations(ours: float, verdict: str, tmp_path: Path) -> None:
    panels = two_sets(tmp_path, text=ONE_COLUMN)
    figures = {"Base": 0.30, "Method": ours}
    found = siblings(panels, {("S-D", n): {"semseg.miou": [v], "depth.rmse": [0.7]} for n, v in figures.items()})
    (check,) = judge_table(found["S-D"]).claims
    assert (check.verdict, check.n) == (verdict, 1)
    assert "spread of other runs" in check.reason


# --- several panels ---------------------------------------------------------------------------------------------------

SETS = {
    ("S-D", "Base"): {"semseg.miou": [0.300, 0.301, 0.298], "depth.rmse": [0.700, 0.702, 0.699]},
    ("S-D", "Method"): {"semseg.miou": [0.330, 0.332, 0.329], "depth.rmse": [0.650, 0.651, 0.647]},
    ("S-D-N", "Base"): {"semseg.miou": [0.305, 0.306, 0.304], "depth.rmse": [0.690, 0.691, 0.688]},
    ("S-D-N", "Method"): {"semseg.miou": [0.340, 0.341, 0.340], "depth.rmse": [0.640, 0.640, 0.637]},
}


def test_a_claim_about_columns_of_two_sets_is_one_of_each_panel(tmp_path: Path) -> None:
    found = siblings(two_sets(tmp_path), SETS)
    text = "The method beats the baseline"
    checks = [claims_of(judge_table(found[p]))[text] for p in ("S-D", "S-D-N")]
    assert [c.verdict for c in checks] == ["PASS", "PASS"]
    worse = SETS | {("S-D", "Method"): {m: v[::-1] for m, v in SETS["S-D", "Base"].items()}}
    found = siblings(two_sets(tmp_path), worse)
    assert [claims_of(judge_table(found[p]))[text].verdict for p in ("S-D", "S-D-N")] == ["SKIPPED", "PASS"]


def test_two_sets_are_compared_across_sibling_panels(tmp_path: Path) -> None:
    panels = two_sets(tmp_path)
    check = claims_of(judge_table(siblings(panels, SETS)["S-D-N"]))["A third task helps"]
    assert (check.verdict, check.n) == ("PASS", 3)
    swapped = SETS | {("S-D", "Method"): SETS["S-D-N", "Method"], ("S-D-N", "Method"): SETS["S-D", "Method"]}
    check = claims_of(judge_table(siblings(panels, swapped)["S-D-N"]))["A third task helps"]
    assert check.verdict == "FAIL"
    assert "the opposite is shown on seg" in check.reason
    assert "A third task helps" not in claims_of(judge_table(siblings(panels, SETS)["S-D"]))


def test_a_rival_in_a_panel_that_was_not_selected(tmp_path: Path) -> None:
    only = {k: v for k, v in SETS.items() if k[0] == "S-D-N"}
    check = claims_of(judge_table(siblings(two_sets(tmp_path), only)["S-D-N"]))["A third task helps"]
    assert (check.verdict, check.reason) == ("SKIPPED", "row 'Method' was not selected")


# --- what cannot be judged --------------------------------------------------------------------------------------------


def test_a_claim_against_a_row_that_was_not_selected_is_skipped_and_one_about_it_left_out() -> None:
    bound = table("2a")
    figures = {n: three(printed(bound, n)) for n in ("Single task", "MTL", WITH)}
    claims = claims_of(judge_table(evidence_of(bound, figures)))
    assert claims["The multi-task baseline is worse than the single-task models"].verdict in ("PASS", "SKIPPED")
    assert (claims[FPM].verdict, claims[FPM].reason) == ("SKIPPED", f"row {WITHOUT!r} was not selected")
    assert claims[FPM].expected
    assert "MTI-Net without the FPM beats PAD-Net" not in claims  # about a row that was not selected


def test_weaker_tiers_do_not_judge_what_is_trained() -> None:
    bound = table("2a")
    result = judged(bound, lambda name: printed(bound, name), "smoke")
    assert {(c.verdict, c.reason) for c in result.claims} == {("SKIPPED", "full: no dataset")}


def test_a_failed_run_has_no_figure_for_its_claims() -> None:
    bound = table("2a")
    rows = {r.name: row_of(bound, r.name, three(printed(bound, r.name))) for r in bound.rows}
    rows["PAD-Net"] = dataclasses.replace(rows["PAD-Net"], records=[], error="loss is not finite at step 12")
    claims = claims_of(judge_table(Evidence(bound, rows)))
    check = claims["MTI-Net without the FPM beats PAD-Net"]
    assert (check.verdict, check.reason) == ("MISSING", "no figure of row 'PAD-Net': loss is not finite at step 12")
    assert claims[FPM].verdict != "MISSING"


# --- resources --------------------------------------------------------------------------------------------------------


def of_resources(costs: dict[str, int | None]) -> dict[str, Check]:
    """Claims of Table 7a from multiply-accumulates in units of 1e9; None for a row that nobody counted."""
    bound = table("7a")
    rows = {
        n: row_of(bound, n, {}, None, [] if g is None else [{"params": g * 10**6, "macs": g * 10**9}])
        for n, g in costs.items()
    }
    return claims_of(judge_table(Evidence(bound, rows)))


FEWER = "MTI-Net needs fewer FLOPS than the single-task models"


def test_claims_on_resources_are_exact_and_need_no_training() -> None:
    claims = of_resources({"Single Task": 22, "PAD-Net": 70, "MTI-Net (Ours)": 17})
    assert (claims[FEWER].verdict, claims[FEWER].tier, claims[FEWER].n) == ("PASS", "conformance", 1)
    trained = claims["MTI-Net has a higher multi-task performance than PAD-Net"]
    assert (trained.verdict, trained.reason) == ("SKIPPED", "full: no dataset")
    check = of_resources({"Single Task": 22, "PAD-Net": 70, "MTI-Net (Ours)": 23})[FEWER]
    assert (check.verdict, check.reason) == ("FAIL", "not so on FLOPS (G): -1")
    assert of_resources({"Single Task": 22, "MTI-Net (Ours)": 22})[FEWER].verdict == "FAIL"  # a tie beats nobody


def test_a_resource_claim_about_a_row_that_nobody_counted_is_missing() -> None:
    check = of_resources({"Single Task": 22, "PAD-Net": None, "MTI-Net (Ours)": 17})[
        "MTI-Net needs fewer FLOPS than PAD-Net"
    ]
    assert (check.verdict, check.reason) == ("MISSING", "no figure of row 'PAD-Net'")


def test_several_rivals_are_named_and_every_one_must_be_beaten() -> None:
    bound = table("2a")
    claim = dataclasses.replace(bound.expected.printed.claims[3], over=("MTL", WITHOUT), columns=("seg",))
    one = reprinted(bound, claims=(claim,))
    figures = {n: three(printed(bound, n), f) for n, f in (("MTL", 1.0), (WITHOUT, 1.2), (WITH, 1.0))}
    (check,) = judge_table(evidence_of(one, figures)).claims
    assert check.verdict == "FAIL"
    assert f"Seg ↑ against {WITHOUT}: -" in check.reason
    assert "against MTL" not in check.reason
    figures[WITHOUT] = three(printed(bound, WITHOUT), 0.9)
    assert [c.verdict for c in judge_table(evidence_of(one, figures)).claims] == ["PASS"]


@pytest.mark.parametrize("varied", [WITH, WITHOUT])
def test_another_experiment_neither_confirms_nor_refutes(varied: str) -> None:
    """One side read otherwise is enough."""
    bound = table("2a")
    rows = {name: row_of(bound, name, three(printed(bound, name), f)) for name, f in ((WITH, 1.2), (WITHOUT, 1.0))}
    rows["Single task"] = row_of(bound, "Single task", three(printed(bound, "Single task")))
    assert claims_of(judge_table(Evidence(bound, rows)))[FPM].verdict == "PASS"
    service = dataclasses.replace(rows[varied].service, varied="normals=metric in place of released")
    rows[varied] = dataclasses.replace(rows[varied], service=service)
    check = claims_of(judge_table(Evidence(bound, rows)))[FPM]
    assert (check.verdict, check.tier, check.measured) == ("SKIPPED", None, None)
    assert check.reason == ("run with normals=metric in place of released: another experiment than the printed one")


@pytest.mark.parametrize(("macs", "verdict"), [(2, "PASS"), (9, "FAIL")])
def test_a_claim_about_counts_and_trained_figures_together(macs: int, verdict: str) -> None:
    """As MTI-Net's Table 7b has two: the counts hold or not, the trained figures are tested."""
    bound = table("7a")
    claim = dataclasses.replace(bound.expected.printed.claims[0], columns=("flops", "delta"))
    one = reprinted(bound, claims=(claim,))
    figures = {"Single Task": ([0.30, 0.31, 0.30], 4), "MTI-Net (Ours)": ([0.40, 0.41, 0.405], macs)}
    rows = {
        name: row_of(
            one, name, {"semseg.miou": miou, "depth.rmse": [0.6] * 3}, "full", [{"params": 1, "macs": count * 10**9}]
        )
        for name, (miou, count) in figures.items()
    }
    (check,) = judge_table(Evidence(one, rows)).claims
    assert check.verdict == verdict


# --- quoted rows, which are what they print ---------------------------------------------------------------------------

SEEDS = (-2e-4, 1e-4, 2e-4)
"""What three seeds change, in another order in every row."""


def panels_of(file: str) -> dict[str, BoundTable]:
    """The panels of a table by key, from the path of its suite file."""
    path = SUITES / file
    return {b.expected.key: b for b in bind(load_suite_file(path), path)}


def seeds_of(figures: Figures, turn: int = 0) -> Figures:
    """Three seeds around single values."""
    return {m: [v * (1 + SEEDS[(i + turn) % 3]) for i in range(3)] for m, (v,) in figures.items()}


def claims_in(
    file: str, figures: Callable[[BoundTable, str], Figures] = printed, tier: str = "full", macs: float = 175.0
) -> dict[str, Check]:
    """Claims of all panels of a table whose printed rows have three seeds of these figures, and quoted rows nothing.

    Ours needs `macs` billion multiply-accumulates, the single-task row of Table 7b 219.
    """
    found: dict[str, Evidence] = {}
    for key, bound in panels_of(file).items():
        found[key] = Evidence(bound, {}, siblings=found)
        for turn, line in enumerate(bound.expected.rows):
            row, count = bound.row(line.name), int(1e9 * (macs if line.name == "Ours" else 219))
            if not row.specs:
                found[key].rows[line.name] = RowEvidence(row, Service(None, (), "quoted"), [], [])
            elif mine := figures(bound, line.name):
                costs = [{"params": 1, "macs": count}]
                found[key].rows[line.name] = ran = row_of(bound, line.name, seeds_of(mine, turn), tier, costs)
                for record in (r for by_seed in ran.records for r in by_seed):  # edges are read as in Table 5
                    known = record["metrics"]
                    record["metrics"] = {k.replace("odsf/nms@1", "odsf/png@1"): v for k, v in known.items()}
    return {text: check for there in found.values() for text, check in claims_of(judge_table(there)).items()}


TABLE_5, TABLE_7B = "mti_net/test_pascal_context_table_5.py", "mti_net/test_pascal_context_table_7b.py"
TABLE_6A, TABLE_6B = "mti_net/test_nyuv2_table_6a.py", "mti_net/test_nyuv2_table_6b.py"
SAME_BACKBONE = "MTI-Net beats ASTMT with the same R50-FPN backbone"
SINGLE = "Single-task models of ASTMT with R50-DLv3+ beat those of MTI-Net with R18-FPN"
LOWEST = "MTI-Net has the lowest rmse of all methods"
RESOURCES_7B = "MTI-Net needs fewer FLOPS than ASTMT and has a higher multi-task performance"
FPN_50 = "'ASTMT [29]/R50-FPN'"


@pytest.mark.parametrize(
    ("file", "prints"),
    [
        (
            TABLE_5,
            {
                SAME_BACKBONE: FPN_50,
                "MTI-Net with R18-FPN gains more over its single-task models than any ASTMT": FPN_50,
                "MTI-Net with R50-FPN gains more over its single-task models than any ASTMT": FPN_50,
                "MTI-Net with HRNet-18 gains more over its single-task models than any ASTMT": FPN_50,
                "MTI-Net with R18-FPN beats ASTMT with R50-DLv3+": "'ASTMT [29]/R50-DLv3+'",
            },
        ),
        (TABLE_6A, {LOWEST: "'PAP-Net [51]'"}),
        (
            TABLE_6B,
            {
                "PAP-Net is slightly better than MTI-Net": "'PAP-Net [51]'",
                "PAD-Net is slightly better than MTI-Net": "'PAD-Net [47]'",
            },
        ),
        (TABLE_7B, {RESOURCES_7B: "'ASTMT'"}),
    ],
)
def test_seeds_that_repeat_the_print_show_its_claims_over_quoted_rows(file: str, prints: dict[str, str]) -> None:
    claims = claims_in(file)
    assert {text: claims[text].verdict for text in prints} == dict.fromkeys(prints, "PASS")
    for text, name in prints.items():
        assert (claims[text].tier, claims[text].reason.startswith("p = ")) == ("full", True)
        assert f"against the print of {name}" in claims[text].reason or f", {name}" in claims[text].reason
        assert claims[text].reason.endswith(", the same for every seed")


def test_the_print_refutes_a_claim_of_its_own_about_a_quoted_row() -> None:
    """65.4 against 66.4 in saliency: the other four columns are as the paper says."""
    check = claims_in(TABLE_5)[SINGLE]
    assert check.verdict == "FAIL"
    assert check.reason.startswith("the opposite is shown on Sal ↑: -1.00")
    assert check.reason.endswith(", against the print of 'ASTMT [29]/R50-DLv3+', the same for every seed")


def test_a_method_below_a_quoted_print_is_refuted() -> None:
    def worse(bound: BoundTable, name: str) -> Figures:
        figures = printed(bound, name)
        return {**figures, "semseg.miou": [0.5]} if (bound.expected.key, name) == ("Ours/MT", "R50-FPN") else figures

    check = claims_in(TABLE_5, worse)[SAME_BACKBONE]
    assert check.verdict == "FAIL"
    assert "the opposite is shown on Δ_m ↑ (ST): -" in check.reason


@pytest.mark.parametrize(("macs", "verdict"), [(216.0, "PASS"), (216.8, "SKIPPED"), (218.0, "FAIL")])
def test_a_count_meets_a_print_relative_to_the_baseline_row(macs: float, verdict: str) -> None:
    """ASTMT's -1.0% of 219 are 216.7 to 216.9."""
    check = claims_in(TABLE_7B, macs=macs)[RESOURCES_7B]
    assert check.verdict == verdict
    assert check.reason.startswith("undecided within the rounding of the print: ") == (verdict == "SKIPPED")
    assert check.reason.startswith("not so on FLOPS (G): -") == (verdict == "FAIL")


def test_a_rival_that_is_quoted_and_one_that_ran_are_both_to_be_beaten() -> None:
    def worse(bound: BoundTable, name: str) -> Figures:
        return printed(bound, name, 0.9 if name.startswith("ST ") else 1.0)

    check = claims_in(TABLE_6A, worse)[LOWEST]
    assert (check.verdict, check.n) == ("FAIL", 3)
    assert "against ST - HRNet48-V2" in check.reason


@pytest.mark.parametrize("tier", ["smoke", "bench"])
def test_below_full_a_claim_over_a_quoted_row_says_what_full_would_compare(tier: str) -> None:
    claims = claims_in(TABLE_5, tier=tier)
    assert (claims[SAME_BACKBONE].verdict, claims[SAME_BACKBONE].tier) == ("SKIPPED", None)
    assert claims[SAME_BACKBONE].reason == (
        f"{FPN_50} is quoted: nothing here runs it; compared with its print at tier full"
    )
    assert claims_in(TABLE_6A, tier=tier)[LOWEST].reason.endswith(
        "'PAP-Net [51]' are quoted: nothing here runs them; compared with their print at tier full"
    )
    assert claims_in(TABLE_7B, tier=tier)[RESOURCES_7B].verdict == "SKIPPED"


def test_a_quoted_row_over_quoted_rivals_is_nothing_to_judge() -> None:
    checks = claims_in("mt_cp/test_nyuv2_table_1.py")
    assert checks["MT-CP exceeds MLoRE in semantic segmentation and depth"].verdict == "PASS"
    check = checks["MLoRE has the best normals"]
    assert check.verdict == "SKIPPED"
    assert check.reason.startswith("'MLoRE [49]' and ")
    assert check.reason.endswith(" are quoted: nothing here runs either")


MORE = """
[[claims]]
text = "The method beats the copy"
row = "Method"
over = ["Copied"]
columns = ["{key}"]
"""


def over_copy(tmp_path: Path, key: str, figures: Figures, varied: str = "", base: Figures | None = None) -> Check:
    """The claim that the method of `TWO_SETS` beats the row copied there, whose mIoU is 31.00 and Δ_m +2.00."""
    text = TWO_SETS.replace('cells = { sd_seg = "31.00" }', 'cells = { sd_seg = "31.00", sd_delta = "+ 2.00" }')
    rows = {("S-D", "Method"): figures, ("S-D", "Base"): base or {m: [v[0]] for m, v in figures.items()}}
    found = siblings(two_sets(tmp_path, text=text + MORE.format(key=key)), rows)["S-D"]
    found.rows["Copied"] = RowEvidence(Row("Copied"), Service(None, (), "quoted"), [], [])
    if varied:
        row = found.rows["Method"]
        found.rows["Method"] = dataclasses.replace(row, service=dataclasses.replace(row.service, varied=varied))
    return claims_of(judge_table(found))["The method beats the copy"]


def test_a_column_that_a_quoted_row_does_not_print(tmp_path: Path) -> None:
    check = over_copy(tmp_path, "sd_dep", {"semseg.miou": [0.33], "depth.rmse": [0.6]})
    reason = "'Copied' is quoted: nothing here runs it; its print has no figure to compare: dep"
    assert (check.verdict, check.reason) == ("SKIPPED", reason)


def test_other_data_meet_no_print(tmp_path: Path) -> None:
    figures = {"semseg.miou": [0.33, 0.331, 0.329], "depth.rmse": [0.6] * 3}
    assert over_copy(tmp_path, "sd_seg", figures).verdict == "PASS"
    check = over_copy(tmp_path, "sd_seg", figures, "normals=metric in place of released")
    assert check.verdict == "SKIPPED"
    assert check.reason.startswith("run with normals=metric")


def test_seeds_are_tested_against_one_number(tmp_path: Path) -> None:
    """One-sample Student's t against the constant; one seed leans on the printed deviations of a single run."""
    seeds = [0.315, 0.313, 0.317]
    oracle = scipy_stats.ttest_1samp(seeds, 0.31, alternative="greater").pvalue
    check = over_copy(tmp_path, "sd_seg", {"semseg.miou": seeds, "depth.rmse": [0.6] * 3})
    assert (check.verdict, check.n) == ("PASS", 3)
    assert check.reason.startswith(f"p = {oracle:.2g} (t test")
    lone = over_copy(tmp_path, "sd_seg", {"semseg.miou": [0.313], "depth.rmse": [0.6]})
    s = math.sqrt((0.3**2 + 0.4**2) / 2)  # printed for "Base" in two sets, of three runs each
    oracle = scipy_stats.t.sf(0.3 / s, 4)
    assert (lone.verdict, lone.n) == ("SKIPPED", 1)
    assert f"p = {oracle:.2g} (t test, spread of other runs)" in lone.reason


def test_what_the_baseline_row_varies_is_not_hidden_in_a_delta(tmp_path: Path) -> None:
    """Δ_m of +10 on the mean against +2 in print: clear with a steady baseline row, not with one of three moods."""
    ours = {"semseg.miou": [0.33, 0.3301, 0.3299], "depth.rmse": [0.63, 0.6301, 0.6299]}
    steady = {"semseg.miou": [0.3, 0.3001, 0.2999], "depth.rmse": [0.7, 0.6999, 0.7001]}
    moody = {"semseg.miou": [0.36, 0.30, 0.24], "depth.rmse": [0.6, 0.7, 0.8]}
    assert over_copy(tmp_path, "sd_delta", ours, base=steady).verdict == "PASS"
    check = over_copy(tmp_path, "sd_delta", ours, base=moody)
    assert check.verdict == "SKIPPED"
    assert check.reason.startswith("undecided with n = 3: the means are in that order, p = 0.")
    lone = {m: v[:1] for m, v in ours.items()}
    verdicts = [over_copy(tmp_path, "sd_delta", lone, base=base).verdict for base in (steady, moody)]
    assert verdicts == ["PASS", "SKIPPED"]  # by what the baseline row varies
