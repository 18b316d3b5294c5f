"""docs/protocols.md, and that the names in code and in `expected/protocols.toml` are the same."""

from pathlib import Path

from mtlrepro.expected.protocols import load_vocabulary
from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.report.protocols import render_protocols

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = load_vocabulary(ROOT / "expected" / "protocols.toml")


def test_the_page_is_up_to_date() -> None:
    page = ROOT / "docs" / "protocols.md"
    assert page.read_text() == render_protocols(VOCABULARY), (
        "run python -m mtlrepro.report.protocols > docs/protocols.md"
    )


def test_every_protocol_of_a_map_has_a_metric_and_every_metric_is_told() -> None:
    resources = {"delta_m@1", "params@1", "macs@1", "time/training@1", "vram@1"}
    coded = {p for registry in PROTOCOLS.values() for p in registry}
    assert coded == set(VOCABULARY.protocols) - resources


def test_metric_and_text_name_the_same_figures() -> None:
    for registry in PROTOCOLS.values():
        for protocol in registry:
            assert set(registry[protocol].better) == set(VOCABULARY.protocols[protocol].figures), protocol
