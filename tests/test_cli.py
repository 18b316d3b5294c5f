"""The real command line: every verb, its help, did-you-mean, bad input, and a comparison on a dataset of one's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mtlrepro.cli import VERBS, main
from mtlrepro.errors import MissingExtra
from mtlrepro.profiling import cost
from mtlrepro.profiling.cost import Cost
from mtlrepro.suite import session
from mtlrepro.suite.launch import CostJob, Inline

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("MTLREPRO_DATA", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([verb, "--help"])
    assert done.value.code == 0
    assert f"mtlrepro {verb}" in capsys.readouterr().out.partition("examples:")[2]


def test_list_names_tables_rows_and_everything_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for word in ("mti_net/nyuv2/2a", "padnet", "hrnet48", "supervised", "scenes", "normals"):
        assert word in text
    assert main(["list", "mti_net/4", "--rows"]) == 0
    text = capsys.readouterr().out
    assert "Front-end @ 1/32 scale" in text
    assert "scale_3" in text


def test_list_names_panels_and_takes_them_as_patterns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "jtr/1"]) == 0
    text = capsys.readouterr().out
    for panel in ("fully labeled", "onelabel", "depth-extended onelabel", "randomlabels"):
        assert f"jtr/nyuv2_13/1/{panel}" in text
    assert main(["list", "jtr/nyuv2_13/1/onelabel", "--rows"]) == 0
    text = capsys.readouterr().out
    assert "jtr/nyuv2_13/1/onelabel" in text
    assert "randomlabels" not in text
    assert main(["list", "dense_mtl/1/S-D-N"]) == 0
    text = capsys.readouterr().out
    for key in ("cityscapes/1/Cityscapes/S-D-N", "synthia/1/Synthia/S-D-N", "vkitti2/1/VKITTI2/S-D-N"):
        assert f"dense_mtl/{key}" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lsit"], ["unknown verb 'lsit'", "'list'"]),
        (["list", "mti_net/2c"], ["unknown table 'mti_net/2c'", "Did you mean"]),
        (["run", "nyuv3"], ["unknown table 'nyuv3'"]),
        (["run"], ["nothing to run"]),
        (["run", "mti_net/7a", "--tier", "full"], ["no selected row can be served", "nyuv2", "MTLREPRO_DATA"]),
        (["run", "mti_net/7a", "--tier", "smok"], ["unknown tier 'smok'", "'smoke'"]),
        (["run", "--dataset", "nowhere.toml"], ["nowhere.toml", "no such description file"]),
        (["run", "mti_net/7a", "--data-option", "policy=disjoint"], ["unknown setting of these datasets 'policy'"]),
        (["run", "mti_net/7a", "--data-option", "policy"], ["--data-option", "'policy' is not NAME=VALUE"]),
        (["run", "dense_mtl/vkitti2/1", "--data-option", "policy=disjunct"], ["unknown split policy", "'disjoint'"]),
        (["run", "mti_net/7a", "--objective-option", "maps=all"], ["--objective-option", "Give it with --dataset"]),
        (["run", "--dataset", "scenes", "--objective-option", "maps"], ["'maps' is not NAME=VALUE", "maps=all"]),
        (["run", "mti_net/7a", "--weighting", "lps"], ["--weighting", "Give it with --dataset"]),
        (["run", "mti_net/7a", "--weighting-option", "kappa=2"], ["--weighting-option", "Give it with --dataset"]),
        (["run", "--dataset", "scenes", "--weighting-option", "kappa"], ["'kappa' is not NAME=VALUE", "kappa=7.5"]),
        (["run", "--dataset", "scenes", "--weighting", "lsp"], ["unknown weighting 'lsp'", "'lps'"]),
        (["report", "nowhere.json"], ["nowhere.json", "no such file"]),
        (["data", "info", "nyuv3"], ["nyuv3"]),
        (["list", "--suites", "nowhere"], ["nowhere", "no suites folder"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for word in words:
        assert word in error


def test_profile_counts_the_paper_exact_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "mti_net/7a"]) == 0
    text = capsys.readouterr().out
    for figure in (
        "3,945,270",
        "3,934,701",
        "4,019,251",
        "7,019,056",
        "8,578,179",
        "11.367",
        "12.772",
        "70.245",
        "17.142",
    ):
        assert figure in text
    assert "upsample_bilinear2d" in text


def test_profile_tells_what_lacks_an_extra_and_counts_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []

    def stand_in(model: Any, *_: object) -> Cost:
        if model.backbone.startswith("mask2former"):
            raise MissingExtra("Mask2Former needs transformers", mend='pip install "mtlrepro[mtcp]"')
        calls.append(model.arch)
        return Cost(7, 10**9, {}, {f"operator_{len(calls)}": 1}, 0)

    monkeypatch.setattr(cost, "model_cost", stand_in)
    assert main(["profile", "dense_mtl/1", "mt_cp/3"]) == 1
    lines, _, uncounted = capsys.readouterr().out.partition("\noperators that are not counted (calls):\n")
    head, _, *body = lines.splitlines()
    assert head.split() == ["network", "params", "GMAC", "not", "counted"]
    lacking = [line for line in body if "Mask2Former needs transformers. pip install" in line]
    assert len(lacking) == 7
    assert len(body) - len(lacking) == len(calls) == 33
    assert len({line.split("  ")[0] for line in body}) < len(body)  # networks of one label, and of other datasets
    assert [line.rpartition(": ")[2] for line in uncounted.splitlines()] == [f"operator_{i} 1" for i in range(1, 34)]
    assert main(["profile", "mt_cp/4"]) == 1
    assert "operators that are not counted" not in capsys.readouterr().out


class Counts:
    """A launcher that trains nothing and counts what MTI-Net's Table 7a prints."""

    PRINTED = {"stl": (4e6, 11e9), "mtl": (4e6, 12.1e9), "padnet": (6.8e6, 66.88e9), "mti_net": (12.56e6, 19.14e9)}

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}

    def submit(self, jobs: Sequence[Any]) -> None:
        self.jobs |= {j.key: j for j in jobs}

    def result(self, key: str) -> dict[str, Any]:
        job = self.jobs[key]
        if isinstance(job, CostJob):
            params, macs = self.PRINTED.get(job.model.arch, (1e6, 1e9))
            return {"params": params, "macs": macs, "uncounted": {}}
        figures: dict[str, Any] = {"metrics": {}, "evaluations": [], "trivial": {}, "speed": {}, "seconds": {}}
        return {"record": {"key": key, **figures}, "reused": True}

    def close(self) -> None:
        self.jobs.clear()


@pytest.mark.parametrize(("option", "code"), [([], 0), (["--strict"], 1)])
def test_a_figure_better_than_its_band_fails_only_with_strict(
    option: list[str],
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counts as printed: three registered deviations are none any more."""
    monkeypatch.setattr(session, "Pool", lambda devices, report: Counts())
    folders = ["--runs", str(tmp_path / "runs"), "--report", str(tmp_path / "report")]
    assert main(["run", "mti_net/7a", "--tier", "smoke", *folders, *option]) == code
    told = [line for line in capsys.readouterr().err.splitlines() if "IMPROVED" in line]
    assert len(told) == 3 * code
    assert all("remove the entry" in line for line in told)
    rows = json.loads((tmp_path / "report" / "report.json").read_text())["tables"][0]["rows"]
    verdicts = [c["verdict"] for r in rows for c in r["checks"] if c["kind"] == "resource"]
    assert (verdicts.count("IMPROVED"), verdicts.count("PASS")) == (3, 5)


def test_a_report_names_what_was_chosen_of_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "Pool", lambda devices, report: Counts())
    folders = ["--runs", str(tmp_path / "runs"), "--report", str(tmp_path / "report")]
    chosen = ["--data-option", "normals=metric", "--data-option", "policy=disjoint"]
    main(["run", *chosen, "dense_mtl/vkitti2/4b", "--tier", "smoke", *folders])
    capsys.readouterr()
    for name in ("report.md", "report.html", "report.json"):
        text = (tmp_path / "report" / name).read_text()
        for words in ("virtual_kitti2 normals=metric in place of released", "policy=disjoint in place of released"):
            assert words in text, name


def test_results_are_recorded_by_another_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["run", "mti_net/7a", "--record"])
    assert done.value.code == 2
    assert "--record" in capsys.readouterr().err


@pytest.mark.slow
def test_compare_methods_on_a_dataset_of_ones_own(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "run",
        "--dataset",
        str(tiny_dataset),
        "--methods",
        "stl",
        "mtl",
        "--size",
        "32x32",
        "--epochs",
        "6",
        "--batch",
        "4",
        "--weighting",
        "lps",
    ]
    folders = ["--runs", str(tmp_path / "runs"), "--report", str(tmp_path / "report")]
    code = main([*arguments, *folders])
    result = json.loads((tmp_path / "report" / "report.json").read_text())
    table = result["tables"][0]
    assert [r["name"] for r in table["rows"]] == ["stl", "mtl (lps)"]
    assert table["rows"][0]["delta"]["own"] == 0
    assert "own" in table["rows"][1]["delta"]
    assert len(result["runs"]) == 3
    verdicts = {c["verdict"] for r in table["rows"] for c in r["checks"]}
    assert code == (0 if verdicts <= {"PASS"} else 1)
    assert len(list((tmp_path / "report" / "figures").glob("*-weights.png"))) == 1
    capsys.readouterr()

    assert main([*arguments, *folders]) == code
    assert "3 reused" in capsys.readouterr().out

    (tmp_path / "report" / "report.html").unlink()
    assert main(["report", str(tmp_path / "report" / "report.json"), "--runs", str(tmp_path / "runs")]) == 0
    assert (tmp_path / "report" / "report.html").exists()


def test_compare_objectives_under_partial_labels(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "Pool", lambda devices, report: Inline())
    what = ["run", "--dataset", str(tiny_dataset), "--methods", "segnet/partial", "segnet/jtr"]
    how = ["--backbone", "segnet_nano", "--labels", "onelabel", "--augment", "flip_photo", "--size", "32x32"]
    length = ["--epochs", "2", "--batch", "4", "--evaluate-every", "1"]
    folders = ["--runs", str(tmp_path / "runs"), "--report", str(tmp_path / "report")]
    code = main([*what, *how, *length, *folders])
    result = json.loads((tmp_path / "report" / "report.json").read_text())
    (table,) = result["tables"]
    assert "onelabel: segnet_nano, 32x32" in table["caption"]
    partial, ours = table["rows"]
    assert [partial["name"], ours["name"]] == ["segnet/partial", "segnet/jtr"]
    assert partial["delta"]["own"] == pytest.approx(0, abs=1e-9)
    assert {"semseg", "depth", "delta"} == ours["measured"].keys()
    assert ours["metrics"] != partial["metrics"]
    records = [json.loads(file.read_text()) for file in (tmp_path / "runs").glob("*/result.json")]
    assert len(result["runs"]) == len(records) == 2
    assert [(r["steps"], [e["step"] for e in r["evaluations"]]) for r in records] == [(4, [2])] * 2
    verdicts = {c["verdict"] for r in table["rows"] for c in r["checks"]}
    assert verdicts <= {"PASS", "FAIL"}  # four steps promise nothing, and nothing else goes wrong
    assert code == (1 if "FAIL" in verdicts else 0)
    lines = [
        json.loads(line)
        for f in (tmp_path / "runs").glob("*/metrics.jsonl")
        for line in f.read_text().split("\n")
        if line
    ]
    assert any("jtr/model" in json.dumps(line) for line in lines)
    capsys.readouterr()


@pytest.mark.slow
def test_a_damaged_sample_stops_before_training(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_dataset.parent, copy)
    label = copy / "semseg" / "train" / "3.png"
    label.write_bytes(label.read_bytes()[:40])
    arguments = [
        "run",
        "--dataset",
        str(copy / "tiny.toml"),
        "--methods",
        "mtl",
        "--size",
        "32x32",
        "--epochs",
        "1",
        "--batch",
        "4",
    ]
    assert main([*arguments, "--runs", str(tmp_path / "runs"), "--report", str(tmp_path / "report")]) == 2
    assert f"{label}: cannot be read" in capsys.readouterr().err
    assert not list((tmp_path / "runs").glob("*/result.json"))


@pytest.mark.parametrize("arguments", [["run", "mti_net/5/ASTMT [29]"], ["profile", "mti_net/5/ASTMT [29]"]])
def test_tables_without_a_row_that_can_be_run_are_told(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ["--suites", str(ROOT / "suites")]
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, *where]) == 2
    error = capsys.readouterr().err
    assert "no row of these tables" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("TABLE = (", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("from mtlrepro.suite.table import Table\nTABLE = Table(papr='x')", "TypeError"),
        ("from mtlrepro.suite.table import Table\nTABLE = Table('p', 'd', '1', rows='abc')", "declares no TABLE"),
        ("TABLE = 3", "declares no TABLE"),
    ],
)
def test_a_broken_suite_file_is_one_line(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "suites" / "p" / "test_d_table_1.py"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert main(["list", "--suites", str(tmp_path / "suites")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert str(file) in error
    assert error.count("\n") == 1
