"""Where `expected/` is."""

from __future__ import annotations

from pathlib import Path

from mtlrepro.errors import SpecError


def expected_root(folder: str | Path | None = None) -> Path:
    """The folder given, or `expected/` of the working directory, or that of the checkout this package lies in.

    Raises:
        SpecError: there is none.
    """
    places = (
        [Path(folder)] if folder is not None else [Path("expected"), Path(__file__).resolve().parents[2] / "expected"]
    )
    for place in places:
        if (place / "protocols.toml").is_file():
            return place
    mend = "Run from the checkout, or name the folder"
    raise SpecError("no folder of printed tables with a protocols.toml", file=places[0], mend=mend)
