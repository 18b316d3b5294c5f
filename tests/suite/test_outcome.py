"""What a row's checks amount to."""

from __future__ import annotations

import dataclasses

import pytest
from suite_fakes import make_spec

from mtlrepro.suite.outcome import describe, outcome
from mtlrepro.suite.results import VERDICTS, Check, RowResult
from mtlrepro.suite.table import Row

ROW = Row("A", (make_spec(),))


def result(*verdicts: str, tier: str | None = "full", **more: str) -> RowResult:
    return RowResult(
        "A", tier=tier, checks=[Check("printed", f"column {v}", v, reason=f"why {v}") for v in verdicts], **more
    )


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("verdict", VERDICTS)
def test_what_fails_a_row(verdict: str, strict: bool) -> None:
    fails = {"FAIL", "ERROR", "MISSING"} | ({"IMPROVED"} if strict else set())
    for end in (
        outcome(ROW, result("PASS", verdict), [], strict),
        outcome(ROW, result("PASS"), [Check("claim", "A beats B", verdict)], strict),
    ):
        assert [f.split()[0] for f in end.failures] == ([verdict] if verdict in fails else [])
        assert end.skipped == ""


def test_an_improvement_fails_only_when_asked_for_and_is_never_called_a_pass() -> None:
    improved = result("IMPROVED")
    assert outcome(ROW, improved, []).failures == []
    assert outcome(ROW, improved, [], strict=True).failures == ["IMPROVED printed column IMPROVED (why IMPROVED)"]
    assert improved.checks[0].verdict == "IMPROVED"


@pytest.mark.parametrize("strict", [False, True])
def test_rows_without_recipe_are_skipped_with_every_reason_and_never_green(strict: bool) -> None:
    for verdict in ("MISSING", "QUOTED"):
        end = outcome(Row("A"), result(verdict, verdict, tier=None), [], strict)
        assert (end.failures, end.skipped) == ([], f"{verdict}: why {verdict}")
    claim = Check("claim", "A beats B", "SKIPPED", reason="no full-tier result")
    assert outcome(Row("A"), result("QUOTED", tier=None), [claim], strict).skipped == "QUOTED: why QUOTED"
    assert outcome(Row("A"), result(tier=None, not_run="no code"), [], strict).skipped == "no code"
    assert outcome(Row("A"), result(tier=None), [], strict).skipped == "nothing is printed"


def test_a_row_that_was_asked_for_and_not_served_fails() -> None:
    end = outcome(ROW, result(tier=None, not_run="full: no dataset"), [])
    assert end.failures == ["not served: full: no dataset"]


def test_a_check_in_one_line() -> None:
    check = Check("printed", "seg", "FAIL", "full", "33.18", 31.123456, reason="-2.06 % from print")
    assert describe(check) == "FAIL printed seg: measured 31.123, expected 33.18 (-2.06 % from print)"
    assert describe(dataclasses.replace(check, measured=None, expected=None, reason="")) == "FAIL printed seg"


@pytest.mark.parametrize("verdicts", [(), ("SKIPPED",), ("SKIPPED", "SKIPPED")])
def test_a_row_of_which_nothing_was_decided_is_not_green(verdicts: tuple[str, ...]) -> None:
    end = outcome(ROW, result(*verdicts, tier="bench"), [])
    assert end.failures == []
    assert end.skipped.startswith("nothing was decided")
    assert outcome(ROW, result(*verdicts, "PASS", tier="bench"), []).skipped == ""
