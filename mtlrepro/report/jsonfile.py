"""`report.json`: the session result as standard JSON, and back with every key checked.

JSON has no NaN or infinity. Such figures are written as the strings "nan", "inf" and "-inf".
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtlrepro.audit.items import KINDS, STATUSES
from mtlrepro.errors import StoreError, unknown
from mtlrepro.suite.results import ORIGINS, SCHEMA_VERSION, TIERS, VERDICTS, Check, SessionResult

if TYPE_CHECKING:
    import pandas as pd

_NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_CHOICES = {
    "Check.verdict": VERDICTS,
    "Check.holm": VERDICTS,
    "Check.tier": TIERS,
    "RowResult.origin": ORIGINS,
    "RowResult.tier": TIERS,
    "RunInfo.tier": TIERS,
    "Item.kind": KINDS,
    "Item.status": STATUSES,
}


def to_text(result: SessionResult) -> str:
    """The file's text; keys in the order of the dataclasses."""
    return json.dumps(_finite(result.to_json()), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def load_report(path: str | Path) -> SessionResult:
    """Read a `report.json` written by `write_report`.

    Raises:
        StoreError: unreadable file, invalid JSON, another schema version, an unknown or missing key, a value of
            the wrong type or an unknown tier or verdict; names the file, the field and the mend.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError("no such file", file=path, mend="Give the report.json of a session") from None
    except OSError as error:
        raise StoreError(
            f"cannot be read ({error.strerror})", file=path, mend="Give the report.json of a session"
        ) from None
    except ValueError as error:
        raise StoreError(
            f"not valid JSON: {error}", file=path, mend="Write the report again; the file is damaged"
        ) from None
    return parse_report(value, path)


def load_results(path: str | Path = "report/report.json") -> pd.DataFrame:
    """Every check of a `report.json` as a pandas frame, one line each.

    Columns: paper, table, panel, dataset, row (empty for claims), kind, subject, verdict, tier, expected, measured,
    difference, band, bound_by, n, s, reason, p, holm, s_from.

    Args:
        path: `report.json` as a session writes it.

    Raises:
        StoreError: no such file, or not a report of this version.
    """
    import pandas as pd

    lines = []
    for table in load_report(path).tables:
        place = {"paper": table.paper, "table": table.table, "panel": table.panel, "dataset": table.dataset}
        for row in table.rows:
            lines += [{**place, "row": row.name, **dataclasses.asdict(check)} for check in row.checks]
        lines += [{**place, "row": "", **dataclasses.asdict(check)} for check in table.claims]
    place_columns = ["paper", "table", "panel", "dataset", "row"]
    return pd.DataFrame(lines, columns=[*place_columns, *(f.name for f in dataclasses.fields(Check))])


def parse_report(value: Any, path: Path = Path("report.json")) -> SessionResult:
    """The session result in a parsed `report.json`; `path` is for error messages.

    Raises:
        StoreError: as for `load_report`.
    """
    if not isinstance(value, dict):
        raise StoreError(f"expected an object, got {_kind(value)}", file=path, mend="Give the report.json of a session")
    version = value.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise StoreError(
            f"schema version {version!r}, this program reads {SCHEMA_VERSION}",
            file=path,
            field="schema_version",
            mend="Read it with the version of mtlrepro that wrote it",
        )
    return _read(SessionResult, value, path, "report", "")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return next(k for k, v in _NONFINITE.items() if v == value or (math.isnan(v) and math.isnan(value)))
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


def _read(hint: Any, value: Any, path: Path, where: str, owner: str) -> Any:
    """`value` as an instance of the annotation `hint`; `owner` is "Class.field", for closed vocabularies."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _read(args[0], value, path, where, owner)
    if dataclasses.is_dataclass(hint):
        return _read_object(hint, _expect(dict, value, path, where), path, where)
    if origin is list:
        return [
            _read(args[0], v, path, f"{where}[{i}]", owner) for i, v in enumerate(_expect(list, value, path, where))
        ]
    if origin is tuple:
        return tuple(
            _read(args[0], v, path, f"{where}[{i}]", owner) for i, v in enumerate(_expect(list, value, path, where))
        )
    if origin is dict:
        items = _expect(dict, value, path, where).items()
        return {k: _read(args[1], v, path, f"{where}.{k}", owner) for k, v in items}
    if hint is float:
        if isinstance(value, str) and value in _NONFINITE:
            return _NONFINITE[value]
        if type(value) is int and abs(value) < 1 << 1000:
            return float(value)
        return _expect(float, value, path, where)
    value = _expect(hint, value, path, where)
    if owner in _CHOICES and value not in _CHOICES[owner]:
        mend = f"Known: {', '.join(_CHOICES[owner])}"
        raise StoreError(f"unknown value {value!r}", file=path, field=where, mend=mend)
    return value


def _read_object(cls: Any, value: dict[str, Any], path: Path, where: str) -> Any:
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    for key in value:
        if key not in fields:
            error = unknown("key", key, fields)
            raise StoreError(error.problem, file=path, field=where, mend=error.mend)
    for name, f in fields.items():
        if name not in value and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise StoreError(
                f"missing key {name!r}", file=path, field=where, mend="Write the report again; the file is incomplete"
            )
    return cls(**{k: _read(hints[k], v, path, f"{where}.{k}", f"{cls.__name__}.{k}") for k, v in value.items()})


def _expect(kind: type, value: Any, path: Path, where: str) -> Any:
    if type(value) is not kind:
        raise StoreError(
            f"expected {_NAMES[kind]}, got {_kind(value)}", file=path, field=where, mend="Correct the value"
        )
    return value


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), "null")


_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
}
