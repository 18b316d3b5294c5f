"""`mtlrepro eval` as a user meets it: its help, the examples in it, what it prints and what it writes."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mtlrepro.cli import main
from mtlrepro.cli.evaluate import Eval
from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.offline.kinds import KINDS

SIZE = (40, 56)
NAMES = ("1", "2", "3")


def _save(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".npy":
        np.save(file, array)
    else:
        Image.fromarray(array).save(file)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder laid out as the help's examples have it."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in NAMES:
        labels = np.kron(random.integers(0, 41, (5, 7)), np.ones((8, 8), int)).astype(np.uint8)
        drawn = np.zeros(SIZE, np.uint8)
        drawn[1:] |= labels[1:] != labels[:-1]
        drawn[:, 1:] |= labels[:, 1:] != labels[:, :-1]
        soft = np.clip(130 * drawn + random.integers(0, 110, SIZE), 0, 255).astype(np.uint8)
        depth = random.integers(1200, 8000, SIZE)
        depth[:3] = 0
        _save(Path(f"out/{name}.png"), soft)
        _save(Path(f"out/edge/{name}.png"), soft)
        _save(Path(f"labels/edge/{name}.png"), drawn)
        guess = np.where(random.random(SIZE) < 0.8, labels.astype(int) - 1, 3).clip(0)
        _save(Path(f"out/semseg/{name}.png"), guess.astype(np.uint8))
        _save(Path(f"labels/semseg/{name}.png"), labels)
        _save(Path(f"out/depth/{name}.npy"), depth / 1000 * 1.1)
        _save(Path(f"labels/depth/{name}.png"), depth.astype(np.uint16))
        cells = np.empty((1, 2), dtype=object)
        for k in range(2):
            cells[0, k] = {"Boundaries": np.roll(drawn, k, 0)}
        Path("BSDS500/groundTruth/test").mkdir(parents=True, exist_ok=True)
        savemat(f"BSDS500/groundTruth/test/{name}.mat", {"groundTruth": cells})
    return tmp_path


EXAMPLES = [line.strip() for line in Eval.examples.splitlines()[1:]]


@pytest.mark.parametrize("example", EXAMPLES, ids=[e.split()[2] + str(k) for k, e in enumerate(EXAMPLES)])
def test_every_example_of_the_help_runs(example: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(example)
    assert program == "mtlrepro"
    if "'out/{id}.png'" in example:
        for name in ("edge", "semseg", "depth"):  # a pattern looks into folders below, and these are not of BSDS500
            (place / "out" / name).rename(place / name)
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.startswith("3 images, ")
    task = arguments[1]
    result = json.loads((place / "eval" / f"{task}.json").read_text(), parse_constant=lambda token: pytest.fail(token))
    asked = (
        arguments[arguments.index("--protocol") + 1 :] if "--protocol" in arguments else [next(iter(PROTOCOLS[task]))]
    )
    assert set(result["figures"]) == set(asked)
    for protocol, figures in result["figures"].items():
        assert list(figures) == sorted(PROTOCOLS[task][protocol].better)
        for figure, value in figures.items():
            shown = 100 * value if result["units"][protocol][figure] == "fraction" else value
            digits = 5 if result["units"][protocol][figure] in ("m", "") else 3
            assert re.search(rf"{re.escape(protocol)} +{figure} [↑↓] +{shown:.{digits}f}", told.out)
    files = sorted(str(p.relative_to(place)) for p in (place / "eval").iterdir())
    assert sorted(told.out.split("\n\n")[-1].split()) == files
    edges = {"eval/edges.json", "eval/edges.png", "eval/edges_counts.npz"}
    assert set(files) == (edges if task == "edges" else {f"eval/{task}.json"})


@pytest.mark.parametrize("task", KINDS)
def test_the_help_of_a_task_names_protocols_files_and_defaults(
    task: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as done:
        main(["eval", task, "--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    for protocol in PROTOCOLS[task]:
        assert protocol in text
    assert f"(default {next(iter(PROTOCOLS[task]))})" in text
    for word in ("{id}", "--ids", "--ignore", "--workers", "--out", "default: eval/", KINDS[task].stored):
        assert word in text
    for option, tasks in (("--max-dist", {"edges"}), ("--classes", {"semseg", "parts"}), ("--gt-unit", {"depth"})):
        assert (option in text) == (task in tasks)


def test_every_task_that_has_protocols_for_maps_can_be_judged(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(KINDS) == set(PROTOCOLS) - {"error maps"}
    with pytest.raises(SystemExit):
        main(["eval", "--help"])
    text = capsys.readouterr().out
    for task in KINDS:
        assert re.search(rf"\b{task}\b", text)


def test_out_is_where_you_say(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["eval", "edges", "--pred", "out/edge", "--gt", "labels/edge", "--truth", "thin", "--out", "new/deep"]
    assert main(arguments) == 0
    assert not (place / "eval").exists()
    assert Image.open(io.BytesIO((place / "new/deep/edges.png").read_bytes())).width > 300
    first = json.loads((place / "new/deep/edges.json").read_text())
    assert first["environment"]
    assert first["seconds"] > 0
    assert main([*arguments, "--mode", "exact"]) == 0
    assert json.loads((place / "new/deep/edges.json").read_text())["settings"]["odsf/nms@1"]["mode"] == "exact"
    assert not [p for p in (place / "new/deep").iterdir() if p.name.startswith(".")]
    capsys.readouterr()


def test_an_error_leaves_what_was_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["eval", "edges", "--pred", "out/edge", "--gt", "labels/edge", "--truth", "thin"]
    assert main(arguments) == 0
    before = {p.name: p.read_bytes() for p in (place / "eval").iterdir()}
    (place / "out/edge/3.png").write_bytes(b"")
    capsys.readouterr()
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("mtlrepro: error: out/edge/3.png: cannot be read")
    assert {p.name: p.read_bytes() for p in (place / "eval").iterdir()} == before


def test_the_first_bad_file_is_named_whatever_the_workers(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("2", "3"):
        (place / f"out/semseg/{name}.png").write_bytes(b"")
    for workers in ("1", "2", "8"):
        options = ["--classes", "40", "--gt-offset", "-1", "--ignore", "0", "--workers", workers]
        assert main(["eval", "semseg", "--pred", "out/semseg", "--gt", "labels/semseg", *options]) == 2
        assert "out/semseg/2.png" in capsys.readouterr().err


def test_a_protocol_named_twice_is_judged_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--gt-unit", "0.001", "--protocol", "depth/pooled@1", "depth/pooled@1"]
    assert main(["eval", "depth", "--pred", "out/depth", "--gt", "labels/depth", *options]) == 0
    assert capsys.readouterr().out.count("rmse ↓") == 2  # rmse and log_rmse


def test_a_stream_that_lacks_arrows_shows_question_marks(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((4, 5), 2.0))
    command = [sys.executable, "-m", "mtlrepro", "eval", "depth", "--pred", ".", "--gt", ".", "--out", "out"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "rmse ?" in done.stdout
    assert (tmp_path / "out" / "depth.json").exists()


def test_help_of_other_verbs_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mtlrepro.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(*{'torch', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.splitlines()[-1], done.returncode) == ("", 0), done.stderr
