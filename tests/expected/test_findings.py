"""`findings.toml`: what is shipped holds together, and every way of writing it wrong is one error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mtlrepro.errors import SpecError
from mtlrepro.expected.findings import ALL, KEYS, Finding, load_findings

EXPECTED = Path(__file__).resolve().parents[2] / "expected"
PAPERS = sorted(f.parent.name for f in EXPECTED.glob("*/findings.toml"))
ENTRY = {
    "id": '"p-epochs"',
    "tables": '["1"]',
    "title": '"Training length"',
    "paper": '"80 epochs"',
    "paper_place": '"Sec. 4"',
    "code": '"100 epochs"',
    "code_place": '"train.py"',
    "ours": '"the paper"',
    "key": '"recipe.epochs"',
}


def write(root: Path, *changes: dict[str, str | None]) -> Path:
    """A paper with tables 1 and 2a and an entry for every dict, each changed by it (None: left out)."""
    folder = root / "p"
    folder.mkdir()
    for table in ("1", "2a"):
        (folder / f"table_{table}.toml").touch()
    entries = [{**ENTRY, **change} for change in changes]
    text = "\n".join("[[findings]]\n" + "".join(f"{k} = {v}\n" for k, v in e.items() if v) for e in entries)
    (folder / "findings.toml").write_text(text, encoding="utf-8")
    return folder / "findings.toml"


def test_a_good_file_is_read_whole(tmp_path: Path) -> None:
    write(tmp_path, {"effect": '"0.3 mIoU"'}, {"id": '"p-other"', "tables": '["*"]', "key": None})
    first, second = load_findings(tmp_path, "p")
    assert first == Finding(
        "p-epochs", ("1",), "Training length", "80 epochs", "Sec. 4", "100 epochs", "train.py", "the paper",
        "recipe.epochs", "0.3 mIoU",
    )  # fmt: skip
    assert [(f.about("1"), f.about("2a")) for f in (first, second)] == [(True, False), (True, True)]
    assert (second.key, second.effect) == ("", "")


def test_a_paper_without_a_file_has_none(tmp_path: Path) -> None:
    assert load_findings(tmp_path, "p") == ()


def test_a_link_to_nowhere_is_not_a_paper_without_a_file(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "nowhere.toml")
    with pytest.raises(SpecError, match="no such file") as caught:
        load_findings(tmp_path, "p")
    assert caught.value.file == path


def test_an_underscore_of_a_paper_is_a_hyphen_in_ids(tmp_path: Path) -> None:
    path = write(tmp_path, {"id": '"p-q-b2"'})
    path.parent.rename(tmp_path / "p_q")
    assert load_findings(tmp_path, "p_q")[0].id == "p-q-b2"


WRONG: dict[str, tuple[dict[str, str | None], str, str, str]] = {
    "key": ({"efect": '"x"'}, "findings[1]", "unknown key 'efect'", "'effect'"),
    "missing": ({"ours": None}, "findings[1]", "missing key 'ours'", "Add it"),
    "type": ({"tables": '"1"'}, "findings[1].tables", "unexpected value '1'", "Give a value of type"),
    "table": ({"tables": '["1", "2b"]'}, "findings 'p-b'.tables", "unknown table '2b'", "'2a'"),
    "no table": ({"tables": "[]"}, "findings 'p-b'.tables", "no table", "'*'"),
    "setting": ({"key": '"recipe.epoch"'}, "findings 'p-b'.key", "unknown setting 'recipe.epoch'", "'recipe.epochs'"),
    "part": ({"key": '"recipes.epochs"'}, "findings 'p-b'.key", "unknown setting", "'recipe.epochs'"),
    "option of a field": ({"key": '"recipe.epochs.x"'}, "findings 'p-b'.key", "unknown setting", "Known"),
    "option": ({"key": '"model.options.two words"'}, "findings 'p-b'.key", "unknown setting", "Known"),
    **{
        f"id {name!r}": (
            {"id": f'"{name}"'},
            f"findings {name!r}.id",
            f"{name!r} as an id",
            "kebab case and begin with p-",
        )
        for name in ("", "p", "p-", "b", "q-b", "pb", "p_b", "p-B", "p-a--b", "p-a b", "P-b")
    },
    "no option": ({"key": '"model.options."'}, "findings 'p-b'.key", "unknown setting", "'model.options'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_entry_is_told_with_file_entry_and_mend(tmp_path: Path, case: str) -> None:
    change, field, says, mend = WRONG[case]
    path = write(tmp_path, {}, {"id": '"p-b"', **change})
    with pytest.raises(SpecError) as caught:
        load_findings(tmp_path, "p")
    assert (caught.value.file, caught.value.field) == (path, field)
    assert says in caught.value.problem
    assert mend in caught.value.mend
    assert "\n" not in str(caught.value)


def test_an_id_is_there_once(tmp_path: Path) -> None:
    write(tmp_path, {}, {})
    with pytest.raises(SpecError, match=r"findings 'p-epochs': is there twice\. Rename one"):
        load_findings(tmp_path, "p")


@pytest.mark.parametrize(
    "key",
    ["", "protocol", "selection", "data.augment", "model.options.scales", "model.options", "objective.options.variant"],
)
def test_settings_that_exist(tmp_path: Path, key: str) -> None:
    write(tmp_path, {"key": f'"{key}"'})
    assert load_findings(tmp_path, "p")[0].key == key


@pytest.mark.parametrize(("text", "says"), [("[[finding]]\nid = 'x'", "unknown key 'finding'"), ("[[x", "not valid")])
def test_a_file_of_another_form_is_told(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path)
    path.write_text(text)
    with pytest.raises(SpecError, match=says) as caught:
        load_findings(tmp_path, "p")
    assert caught.value.file == path


# --- the shipped files ------------------------------------------------------------------------------------------------


def test_every_paper_has_findings_with_ids_of_their_own() -> None:
    assert [f.parent.name for f in EXPECTED.glob("*/table_*.toml") if f.parent.name not in PAPERS] == []
    ids = [f.id for paper in PAPERS for f in load_findings(EXPECTED, paper)]
    assert len(ids) > 150
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("paper", PAPERS)
def test_shipped_findings_name_their_paper_and_say_all_that_a_reader_needs(paper: str) -> None:
    findings = load_findings(EXPECTED, paper)
    assert findings
    tables = {f.stem.removeprefix("table_") for f in (EXPECTED / paper).glob("table_*.toml")}
    for finding in findings:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", finding.id), finding.id
        assert finding.id.startswith(paper.replace("_", "-") + "-"), finding.id
        assert finding.tables == (ALL,) or set(finding.tables) <= tables, finding.id
        assert len(set(finding.tables)) == len(finding.tables), finding.id
        assert all((finding.title, finding.paper, finding.code, finding.ours)), finding.id
        options = ("data.options.", "model.options.", "objective.options.")
        assert finding.key in ("", *KEYS) or finding.key.startswith(options), finding.id


def test_the_keys_name_fields_of_a_run_s_spec() -> None:
    assert {"protocol", "selection", "data.size", "model.backbone", "objective.weights", "recipe.epochs"} <= set(KEYS)
    assert len(set(KEYS)) == len(KEYS)
