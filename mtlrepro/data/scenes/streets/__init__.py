"""Embedded scenes outdoors: procedural streets seen from a car, with exact labels and inverse depth."""
