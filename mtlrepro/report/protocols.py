"""Documentation of the protocols, from `expected/protocols.toml`. `python -m mtlrepro.report.protocols` prints it."""

from __future__ import annotations

from mtlrepro.expected.protocols import Protocol, Vocabulary, load_vocabulary
from mtlrepro.expected.root import expected_root
from mtlrepro.metrics.protocols import PROTOCOLS

_HEAD = """# The protocols

A figure without its protocol is not a result: the same predictions have several mIoU, rmse and odsF. This page is
generated from `expected/protocols.toml` by `python -m mtlrepro.report.protocols > docs/protocols.md`. An id ends with
its version: a change of rule is a new number. The first of a task is the one that `mtlrepro eval` uses unless told
otherwise; figures without unit are fractions in [0, 1] or pure numbers, ↑ and ↓ say which way is better.
"""


def render_protocols(vocabulary: Vocabulary) -> str:
    """The text of `docs/protocols.md`."""
    parts = [_HEAD]
    for task, registry in PROTOCOLS.items():
        parts += [f"## {task.capitalize()}\n", _table([vocabulary.protocols[p] for p in registry], task)]
    known = {p for registry in PROTOCOLS.values() for p in registry}
    rest = [p for name, p in vocabulary.protocols.items() if name not in known]
    return "\n".join([*parts, "## What is not a map's quality\n", _table(rest, "")])


def _table(protocols: list[Protocol], task: str) -> str:
    lines = ["| protocol | figures | rule | source |", "|---|---|---|---|"]
    for p in protocols:
        units = PROTOCOLS[task][p.id].units if task else {}
        figures = [
            f"{name}{' ' + units[name] if units.get(name) else ''} {'↑' if better == 'higher' else '↓'}"
            for name, better in p.figures.items()
        ]
        lines.append(f"| `{p.id}` | {', '.join(figures)} | {p.says} | {p.source} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render_protocols(load_vocabulary(expected_root() / "protocols.toml")), end="")
