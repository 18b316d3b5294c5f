"""The schema of what a session concludes: plain dataclasses, JSON in and out, one documented field a line.

`SessionResult` is everything a report needs besides the run directories it points to. It is what
`report.json` contains.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from mtlrepro.audit.items import Item
from mtlrepro.expected.findings import Finding

SCHEMA_VERSION = 3

CONFORMANCE = "conformance"
"""The tier of exact counts, which need no training."""

TIERS = (CONFORMANCE, "rehearsal", "smoke", "bench", "full", "own")
"""Evidence in rising strength; "own" stands apart: a user's own dataset and settings, no paper's numbers involved."""

VERDICTS = ("PASS", "XFAIL", "IMPROVED", "FAIL", "ERROR", "MISSING", "SKIPPED", "QUOTED")
"""Every verdict a check can have; only PASS and XFAIL are green, QUOTED and SKIPPED are grey."""

ORIGINS = ("run", "quoted", "reading", "own")
"""Where a row is from: the authors ran it, they copied it from other work, or it is not printed at all: another reading
of a printed row, or a user's own method in its place."""

GREEN = frozenset({"PASS", "XFAIL"})
GREY = frozenset({"QUOTED", "SKIPPED"})


@dataclass
class Value:
    """A measured figure, in the unit of its column.

    Attributes:
        mean: mean over seeds.
        n: number of seeds.
        s: sample standard deviation over seeds; None for one seed.
    """

    mean: float
    n: int = 1
    s: float | None = None


@dataclass
class Check:
    """One comparison and its outcome.

    Attributes:
        kind: "printed" (a cell against the paper), "resource" (parameters or MACs against the paper; time or memory as
            a multiple of another row's, in print and here), "claim"
            (an ordering the paper asserts), "trivial" (beats the best constant predictor), "recorded" (against
            this project's own recorded result), "run" (a run that failed, or a rehearsal whose figures came out).
        subject: column key, metric id or claim text.
        tier: tier of the evidence behind `measured`; None if there is none.
        verdict: one of `VERDICTS`.
        expected: the printed string, or the reference figure as text.
        measured: the figure compared, in the column's unit.
        difference: measured minus expected, same unit (relative checks: in percent; time and memory: multiples of
            another row's).
        band: half-width of the accepted band, same unit as `difference`.
        bound_by: what set the band: "rounding", "tolerance", "spread" or "margin".
        n: seeds behind `measured`.
        s: spread used for the band, None where none was.
        s_from: where that spread comes from, with its degrees of freedom.
        reason: why SKIPPED, XFAIL, MISSING, FAIL or ERROR; empty for a plain PASS.
        p: two-sided p-value where a spread was used, for the Holm adjustment.
        holm: verdict after Holm's adjustment over the table, where p exists.
    """

    kind: str
    subject: str
    verdict: str
    tier: str | None = None
    expected: str | None = None
    measured: float | None = None
    difference: float | None = None
    band: float | None = None
    bound_by: str = ""
    n: int = 0
    s: float | None = None
    reason: str = ""
    p: float | None = None
    holm: str | None = None
    s_from: str = ""


@dataclass
class ColumnInfo:
    """A column as the report shows it.

    Attributes:
        key: the column's key in `RowResult.printed` and `RowResult.measured`.
        title: heading, as printed in the paper.
        unit: unit of every figure in the column.
        better: "higher" or "lower".
        protocol: id of the metric's protocol.
    """

    key: str
    title: str
    unit: str
    better: str
    protocol: str


@dataclass
class RowResult:
    """One row of a table.

    Attributes:
        name: the row's name in the paper; of another reading of a printed row the name that the suite gives it.
        origin: one of `ORIGINS`: "run", or "quoted", which may have been run here, too; "reading" for a row that is
            not printed: another reading of the row that `source` names; "own" for a user's own method in place of it.
        source: what a quoted row's figures were copied from, or the printed row that this is another reading of, or
            stands in the place of.
        tier: tier that served the row's trained figures, None if nothing could be trained; "conformance" where nothing
            had to be, since parameters and MACs are all that was asked of the row.
        runs: keys of the runs behind it (directory names in the run store), seeds included.
        view: which of the runs' predictions the row reads ("final", "scale_0", "initial" ...), as in picture names.
        printed: column key -> printed string; empty for a row that is not printed.
        beside: column key -> printed string of the row that `source` names, of one that is not printed, wherever the
            measured figure is of the same kind and can be read beside it; no figure of this row is held to it.
        measured: column key -> figure in the column's unit; absent where nothing was measured.
        metrics: metric id ("semseg.miou", "depth.rmse" ...) -> figure in the metric's own unit, all of them; by the
            protocol of the table's column where there is one, else by the task's usual one.
        last: metric id -> figure after the last step, of those that the table prints or averages; empty where that is
            what the table's selection rule reads anyway.
        trivial: metric id -> the best constant predictor's figure on the same data, by the same protocol.
        delta: Δ_m in percent: "own" against this session's baseline row, "printed" against the paper's
            (tier full alone), "paper" the paper's own printed Δ; a key is absent where it cannot be computed.
        resources: "params", "macs" of the paper's exact model summed over the row's networks; in tables of times also
            "train_params", "train_macs": with what its objective owns, and of a training step's forward passes, an
            image. At bench also "step_ms", "images_per_s", "vram_bytes", and in tables of times "train_s", the
            seconds of the printed training as its steps take them.
        checks: comparisons made for this row.
        reused: True if every run was found in the store.
        not_run: why a stronger tier (or anything at all) was not run; empty if nothing is missing.
        varied: what the user chose in place of what is declared, such as "policy=disjoint in place of released" or
            "precision=fast in place of paper"; its trained figures and claims are then not held against the print.
    """

    name: str
    origin: str = "run"
    tier: str | None = None
    runs: list[str] = field(default_factory=list)
    printed: dict[str, str] = field(default_factory=dict)
    measured: dict[str, Value] = field(default_factory=dict)
    metrics: dict[str, Value] = field(default_factory=dict)
    last: dict[str, Value] = field(default_factory=dict)
    trivial: dict[str, float] = field(default_factory=dict)
    delta: dict[str, float] = field(default_factory=dict)
    resources: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    reused: bool = False
    not_run: str = ""
    view: str = "final"
    varied: str = ""
    source: str = ""
    beside: dict[str, str] = field(default_factory=dict)


@dataclass
class TableResult:
    """One table of one paper.

    Attributes:
        paper: the paper's key.
        table: the table's id in the paper.
        dataset: dataset key.
        caption: what the table shows.
        columns: in printed order.
        rows: in printed order, other readings of a printed row below it.
        baseline: name of the row that Δ_m and relative resources refer to; empty where there is none.
        claims: orderings that the paper asserts, and their outcome.
        notes: doubts and readings, in plain sentences.
        chance_failures: failures to expect by chance among the spread-bound checks of this table.
        panel: which part of the printed table it is, where the print is divided; empty otherwise.
        findings: where paper and public code disagree, as far as it matters to this table.
        audit: printed values of this panel that do not follow from other printed values.
    """

    paper: str
    table: str
    dataset: str
    caption: str
    columns: list[ColumnInfo]
    rows: list[RowResult]
    baseline: str = ""
    claims: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    row_names: list[str] = field(default_factory=list)
    """All rows of the table, in the order of `rows`, whether selected or not."""
    chance_failures: float | None = None
    panel: str = ""
    findings: list[Finding] = field(default_factory=list)
    audit: list[Item] = field(default_factory=list)


@dataclass
class RunInfo:
    """One run behind the session.

    Attributes:
        key: directory name in the run store.
        directory: its path, absolute or relative to the run store.
        label: short human name; not unique.
        tier: tier of the evidence it gives.
        seconds: seconds of work when it was executed.
        reused: True if it was found in the store.
        seed: the run's seed.
    """

    key: str
    directory: str
    label: str
    tier: str
    seconds: float
    reused: bool
    seed: int


@dataclass
class Part:
    """A session whose report was merged into another one.

    Attributes:
        name: how the report calls it: its shard, else the file that it was read from.
        shard: which part of the rows it ran, as "K/N"; empty for all that were selected.
        command: the command line that produced it.
        created: ISO 8601 time, UTC.
        seconds: wall time of the session.
        environment: as in `SessionResult`.
    """

    name: str
    shard: str
    command: str
    created: str
    seconds: float
    environment: dict[str, str]


@dataclass
class SessionResult:
    """Everything a session concluded (the JSON report).

    Attributes:
        command: the command line that produced it.
        created: ISO 8601 time, UTC.
        tier: the tier asked for ("auto" or one of `TIERS`).
        seconds: wall time of the session.
        environment: flat name -> text (python, torch, cpu, gpu, commit ...).
        tables: in the order they ran.
        runs: every run used, once.
        schema_version: version of this schema.
        shard: which part of the selected rows the session ran, as "K/N"; empty for all of them.
        parts: the sessions that a merged report consists of; its time is then the sum of theirs, and where their
            environments differ each value is given with the sessions that have it.
    """

    command: str
    created: str
    tier: str
    seconds: float
    environment: dict[str, str]
    tables: list[TableResult]
    runs: list[RunInfo]
    schema_version: int = SCHEMA_VERSION
    shard: str = ""
    parts: list[Part] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict."""
        return dataclasses.asdict(self)

    def checks(self) -> list[Check]:
        """All checks and claims of all tables."""
        return [c for t in self.tables for c in [*(c for r in t.rows for c in r.checks), *t.claims]]
