"""What a reader remembers: as long as files are the same, and never at the price of an error."""

import pytest

from mtlrepro.data.disk.readers.remembered import Remembered


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text("1")
    return tmp_path / "data"


def ask(cache, root, value, key="k", what="things", rules=(), code=()):
    known = Remembered(cache, what, root, dict(rules), code)
    answer = known.get(key, ["a"], lambda: value)
    known.save()
    return answer


def test_a_value_is_made_once(tmp_path, root):
    cache = tmp_path / "cache"
    assert ask(cache, root, {"x": [0.1]}) == {"x": [0.1]}
    assert ask(cache, root, "another") == {"x": [0.1]}
    assert ask(cache, root, "another", key="other") == "another"
    assert ask(cache, root, "another", what="purposes") == "another"
    (root / "a").write_text("22")
    assert ask(cache, root, "new") == "new"
    assert ask(cache, root, "newer", key="other") == "newer"


def test_a_value_is_made_anew_when_what_makes_it_changes(tmp_path, root):
    """A threshold, or a line of the code."""
    cache, code = tmp_path / "cache", tmp_path / "maker.py"
    code.write_text("MOST = 0.15")
    assert ask(cache, root, 1, rules={"least": 50}, code=[code]) == 1
    assert ask(cache, root, 2, rules={"least": 50}, code=[code]) == 1
    assert ask(cache, root, 3, rules={"least": 51}, code=[code]) == 3
    assert ask(cache, root, 4, rules={"least": 51}, code=[code]) == 3
    code.write_text("MOST = 0.25")
    assert ask(cache, root, 5, rules={"least": 51}, code=[code]) == 5


def test_another_folder_is_another_dataset(tmp_path, root):
    cache, twin = tmp_path / "cache", tmp_path / "twin"
    ask(cache, root, 1)
    twin.mkdir()
    assert ask(cache, twin, 2) == 2
    assert ask(cache, root, 3) == 1


def test_nothing_is_kept_without_a_folder(root):
    assert ask(None, root, 1) == 1
    assert ask(None, root, 2) == 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema": 1}', b'{"schema": 9, "known": {"k": [1]}}', b"\xff"]
)
def test_a_damaged_cache_is_made_anew(tmp_path, root, content):
    cache = tmp_path / "cache"
    ask(cache, root, 1)
    (file,) = cache.iterdir()
    file.write_bytes(content)
    assert ask(cache, root, 2) == 2
    assert ask(cache, root, 3) == 2


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path, root):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert ask(tmp_path / "cache", root, 1) == 1


def test_what_cannot_be_made_is_not_remembered(tmp_path, root):
    known = Remembered(tmp_path / "cache", "things", root, {}, ())
    with pytest.raises(ZeroDivisionError):
        known.get("k", ["a"], lambda: 1 / 0)
    known.save()
    assert ask(tmp_path / "cache", root, 1) == 1
