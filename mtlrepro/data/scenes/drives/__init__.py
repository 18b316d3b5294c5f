"""Embedded drives: streets of several styles, in which others drive and walk too, with metric depth and frames."""
