"""The real command line of `mtlrepro data`: what a dataset needs, checking, synthetic copies, contact sheets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mtlrepro.cli import main
from mtlrepro.cli.data import ACTIONS, GENERATED
from mtlrepro.data import DATASETS, description_file
from mtlrepro.data.disk.marker import read_marker
from mtlrepro.data.disk.origin import PREPARED
from mtlrepro.data.disk.synthesize import RAW
from mtlrepro.suite.session import MANIFESTS

SMALL = ["--n", "2", "--val", "1", "--size", "32x64"]


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTLREPRO_DATA", raising=False)


def synthesize(layout: str, directory: Path, *more: str) -> int:
    return main(["data", "synthesize", "--layout", layout, *SMALL, *more, str(directory)])


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_has_help_with_examples(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["data", action, "--help"])
    assert done.value.code == 0
    assert f"mtlrepro data {action}" in capsys.readouterr().out.partition("examples:")[2]


def test_a_preparation_starts_from_a_folder_such_as_synthesize_writes() -> None:
    assert all(f"--from {raw} " in ACTIONS["prepare"].examples for raw in RAW)


@pytest.mark.parametrize("name", ["nyuv2", "nyud_mt", "NYUD_MT"])
def test_info_by_key_or_folder(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", name]) == 0
    text = capsys.readouterr().out
    for word in ("NYUD_MT", "795", "654", "normals", "edge"):
        assert word in text


def test_info_on_a_dataset_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", "folder"]) == 0
    assert "[tasks.semseg]" in capsys.readouterr().out


def test_info_without_a_name_lists_what_is_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synthesize("cityscapes_7", tmp_path) == 0
    capsys.readouterr()
    assert main(["data", "info", "--data-root", str(tmp_path)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(DATASETS) <= set(lines)
    assert f"{tmp_path / 'cityscapes2'} (a synthetic copy)" in lines["cityscapes_7"]
    assert "(not found)" in lines["nyuv2"]


def test_a_synthetic_copy_is_written_kept_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synthesize("nyud_mt", tmp_path) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'NYUD_MT'}\n"
    marker = read_marker(tmp_path / "NYUD_MT")
    assert marker is not None
    assert (marker.dataset, marker.counts, marker.size) == ("nyuv2", {"train": 2, "val": 1}, (32, 64))
    assert synthesize("nyuv2", tmp_path) == 0
    assert synthesize("nyuv2", tmp_path, "--seed", "1") == 2
    assert "other parameters" in capsys.readouterr().err

    picture, file = tmp_path / "samples.png", tmp_path / "check.json"
    command = ["data", "check", "nyud_mt", "--data-root", str(tmp_path), "--picture", str(picture)]
    main([*command, "--json", str(file)])
    assert "synthetic" in capsys.readouterr().out
    assert json.loads(file.read_text())["dataset"] == "nyuv2"
    assert Image.open(picture).size[0] > 64


def test_check_ends_with_1_if_a_file_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synthesize("cityscapes_7", tmp_path) == 0
    command = ["data", "check", "cityscapes_7", "--data-root", str(tmp_path)]
    assert main(command) in (0, 1)  # tiny scenes may be suspicious
    (tmp_path / "cityscapes2/val/depth/0.npy").unlink()
    capsys.readouterr()
    assert main(command) == 1
    assert "val/depth/0.npy" in capsys.readouterr().out


def test_check_remembers_in_the_cache_of_a_run_store(tmp_path: Path) -> None:
    assert synthesize("nyuv2_video", tmp_path / "data") == 0
    main(["data", "check", "nyuv2_video", "--data-root", str(tmp_path / "data"), "--runs", str(tmp_path / "runs")])
    assert [file.suffix for file in (tmp_path / "runs" / MANIFESTS).iterdir()] == [".json"]


def test_val_is_a_quarter_and_at_least_two(tmp_path: Path) -> None:
    for n, val in ((3, 2), (12, 3)):
        command = ["data", "synthesize", "--layout", "nyuv2_13", "--n", str(n), "--size", "32x64"]
        assert main([*command, str(tmp_path / str(n))]) == 0
        marker = read_marker(tmp_path / str(n) / "nyuv2")
        assert marker is not None
        assert marker.counts == {"train": n, "val": val}


def test_verify_prints_the_errors_of_every_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synthesize("nyuv2_13", tmp_path, "--verify") == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| nyuv2_13")]
    assert [row[1] for row in rows] == ["image", "semseg", "depth", "normals"]
    assert {row[2] for row in rows} == {"3"}


def test_a_raw_form_is_written_prepared_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("h5py")
    raw, root = tmp_path / "raw", tmp_path / "data"
    root.mkdir()
    assert main(["data", "synthesize", "--layout", "nyu_depth_v2", "--n", "2", "--size", "120x160", str(raw)]) == 0
    command = ["data", "prepare", "nyud_mt", "--from", str(raw / "nyu_depth_v2"), "--data-root", str(root)]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(root / "NYUD_MT")
    marker = read_marker(root / "NYUD_MT")
    assert marker is not None
    assert (marker.dataset, marker.counts) == ("nyuv2", {"train": 2, "val": 2})
    main(["data", "check", "nyuv2", "--data-root", str(root)])
    told = capsys.readouterr().out
    assert "train: 2 samples, 2 expected, 2 read" in told
    assert PREPARED in told
    assert main(["data", "info", "--data-root", str(root)]) == 0
    assert f"{root / 'NYUD_MT'} (a synthetic copy, {PREPARED})" in capsys.readouterr().out
    assert main(command) == 0
    assert "NYUD_MT is there already" in capsys.readouterr().out
    assert (
        main(["data", "synthesize", "--layout", "nyu_depth_v2", "--n", "3", "--size", "120x160", str(raw / "b")]) == 0
    )
    command[4] = str(raw / "b" / "nyu_depth_v2")
    assert main(command) == 2
    assert "NYUD_MT: is there already" in capsys.readouterr().err


def test_every_generated_dataset_has_a_preview() -> None:
    assert set(GENERATED) == {name for name in DATASETS if description_file(name) is None}


@pytest.mark.parametrize("name", ["scenes", "streets", "scenes_pascal"])
def test_preview(name: str, tmp_path: Path) -> None:
    picture = tmp_path / "scenes.png"
    assert main(["data", "preview", str(picture), "--dataset", name, "--scenes", "1", "--size", "64x96"]) == 0
    assert Image.open(picture).size[0] > 96


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "nyuv2"], ["nyuv2", "MTLREPRO_DATA"]),
        (["check", "scenes"], ["scenes", "no files"]),
        (["info", "nyuv3"], ["unknown dataset 'nyuv3'", "'nyuv2'"]),
        (["info", "nowhere.toml"], ["nowhere.toml", "no such description file"]),
        (["synthesize", "--layout", "nyudmt", "nowhere"], ["unknown dataset 'nyudmt'", "'nyud_mt'"]),
        (["synthesize", "--layout", "scenes", "nowhere"], ["unknown dataset 'scenes'", "cityscapes_7"]),
        (["synthesize", "--layout", "nyuv2", "--n", "0", "nowhere"], ["nyuv2: train: 0 samples"]),
        (["synthesize", "--layout", "nyuv2", "--size", "8x8", "nowhere"], ["nyuv2: size: 8x8 pixels", "at least 32"]),
        (["prepare", "nyuv3", "--from", "nowhere"], ["unknown dataset 'nyuv3'", "'nyuv2'"]),
        (["prepare", "nyuv2", "--from", "nowhere"], ["nyuv2", "MTLREPRO_DATA", "--data-root"]),
        (["prepare", "taskonomy", "--from", "x", "--data-root", "y"], ["unknown preparation 'taskonomy'", "nyuv2_13"]),
        (["prepare", "nyud_mt", "--from", "nowhere", "--data-root", "."], ["nowhere"]),
        (["check", "nyu_depth_v2"], ["nyu_depth_v2", "raw form", "prepare"]),
        (["synthesize", "--layout", "nyuv2", "--size", "100000x100000", "nowhere"], ["size", "at most 8192"]),
        (["check", "nyuv2", "--picture", "/"], ["is a folder"]),
        (["check", "nyuv2", "--picture", "a.jpg"], ["a.jpg", ".png"]),
        (["check", "nyuv2", "--picture", "/dev/null/a.png"], ["/dev/null/a.png", "cannot be written"]),
        (["check", "nyuv2", "--json", "/dev/null/a.json"], ["/dev/null/a.json", "cannot be written"]),
        (["preview", "/"], ["is a folder"]),
        (["preview", "/dev/null/a.png"], ["/dev/null/a.png", "cannot be written"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for word in words:
        assert word in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["synthesize", "--layout", "nyuv2", "--size", "8", "x"],
        ["synthesize", "--layout", "nyuv2", "--seed", "-1", "x"],
        ["preview", "x.png", "--seed", "-1"],
        ["preview", "x.png", "--scenes", "0"],
        ["preview", "x.png", "--size", "102400x102400"],
        ["chek", "nyuv2"],
    ],
)
def test_bad_arguments_are_refused_with_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["data", *arguments])
    assert done.value.code == 2
    assert "usage: mtlrepro data" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["check", "prepare", "synthesize", "preview"])
def test_what_is_said_after_ctrl_c_is_true_of_the_action(
    action: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(ACTIONS[action], "run", interrupt)
    arguments = {
        "check": ["nyuv2"],
        "prepare": ["nyuv2", "--from", "x"],
        "synthesize": ["--layout", "nyuv2", "x"],
        "preview": ["x.png"],
    }
    assert main(["data", action, *arguments[action]]) == 130
    told = capsys.readouterr().err
    assert "interrupted" in told
    assert ("goes on" in told) == (action == "prepare")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["data", "synthesize", "--layout", "nyuv2_13", *SMALL, "~/data"]) == 0
    main(["data", "check", "nyuv2_13", "--data-root", "~/data", "--json", "~/a.json", "--picture", "~/a.png"])
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"data", "a.json", "a.png"}
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
