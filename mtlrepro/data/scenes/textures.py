"""The texture atlas: tileable procedural patterns with mip levels, and the look-up.

A texel holds three weights in [0, 1]: `m1` and `m2` mix a material's three colours, `shade` scales the result, so one
pattern serves any palette. The atlas is drawn once per process from a fixed seed, in numpy; look-ups use only
exactly rounded operations, so that every thread count gives the same bits.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

SIZE = 256
LEVELS = 6  # 256, 128 ... 8 texels
_SEED = 20240229


class _Ink:
    """Tileable noise on a SIZE × SIZE torus."""

    def __init__(self, name: str):
        self.rng = np.random.Generator(np.random.PCG64([_SEED, *name.encode()]))
        self.v, self.u = np.meshgrid(*[(np.arange(SIZE) + 0.5) / SIZE] * 2, indexing="ij")

    def noise(self, gu: int, gv: int | None = None) -> np.ndarray:
        """Smooth value noise with gu × gv cells, in [0, 1]."""
        gv = gv or gu
        grid = self.rng.random((gv, gu))
        x, y = self.u * gu, self.v * gv
        x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
        fx, fy = x - x0, y - y0
        fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
        g = lambda i, j: grid[(y0 + j) % gv, (x0 + i) % gu]  # noqa: E731
        top = g(0, 0) * (1 - fx) + g(1, 0) * fx
        return top * (1 - fy) + (g(0, 1) * (1 - fx) + g(1, 1) * fx) * fy

    def fractal(self, gu: int, gv: int | None = None, octaves: int = 4) -> np.ndarray:
        """Summed octaves of value noise, in [0, 1]."""
        total, weight, gv = np.zeros((SIZE, SIZE)), 0.0, gv or gu
        for i in range(octaves):
            total += self.noise(gu << i, gv << i) * 0.5**i
            weight += 0.5**i
        return total / weight

    def cells(self, nu: int, nv: int, shift: float = 0.0):
        """Brick-like cells: fractional position in the cell, and a random number per cell."""
        row = np.floor(self.v * nv).astype(int)
        x = self.u * nu + shift * row
        column = np.floor(x).astype(int) % nu
        values = self.rng.random((nv, nu))
        return x % 1.0, self.v * nv % 1.0, values[row % nv, column]


def _step(x, edge=0.5, soft=0.05):
    return np.clip((x - edge) / soft + 0.5, 0, 1)


def _wave(x):
    return 0.5 - 0.5 * np.cos(2 * np.pi * x)


def _grout(fu, fv, wu, wv):
    return (np.minimum(fu, 1 - fu) < wu) | (np.minimum(fv, 1 - fv) < wv)


def _plain(ink):
    return 0.0, 0.0, 0.94 + 0.06 * ink.fractal(32, octaves=3)


def _stucco(ink):
    n = ink.fractal(8, octaves=6)
    return 0.35 * ink.noise(3), 0.0, 0.82 + 0.36 * (n - 0.5) + 0.1


def _wood(ink, rings=7, along=2):
    warp = ink.fractal(4, along) * 1.6
    n = _wave(ink.u * rings + warp)
    return 0.8 * n + 0.2 * ink.fractal(64, 3, 2), 0.25 * ink.fractal(96, 4, 2), 0.9 + 0.1 * ink.fractal(128, 8, 2)


def _knotty(ink):
    return _wood(ink, rings=3, along=5)


def _planks(ink, columns=6, rows=2):
    fv, fu, tone = ink.cells(rows, columns, 0.37)  # placeholder orientation is fixed below by transposing
    gap = _grout(fu, fv, 0.02, 0.004)
    grain = ink.fractal(4, 48, 3)
    return np.where(gap, 1.0, 0.55 * tone + 0.3 * grain), 0.3 * grain, np.where(gap, 0.55, 0.9 + 0.1 * grain)


def _parquet(ink):
    n = 4
    fu, fv, tone = ink.cells(n, n)
    flip = (np.floor(ink.u * n) + np.floor(ink.v * n)) % 2 > 0
    across = np.where(flip, fu, fv) * 4
    strip = np.floor(across)
    gap = np.minimum(across % 1, 1 - across % 1) < 0.04
    tone = (tone * 7.13 + strip * 0.37) % 1
    grain = np.where(flip, ink.fractal(64, 6, 2), ink.fractal(6, 64, 2))
    return np.where(gap, 1.0, 0.6 * tone + 0.3 * grain), 0.2 * tone, np.where(gap, 0.6, 0.92 + 0.08 * grain)


def _tiles(ink, n=4, width=0.025):
    fu, fv, tone = ink.cells(n, n)
    gap = _grout(fu, fv, width, width)
    return np.where(gap, 1.0, 0.12 * tone), 0.15 * ink.noise(16), np.where(gap, 0.8, 0.93 + 0.07 * tone)


def _chequer(ink, n=4):
    fu, fv, tone = ink.cells(n, n)
    dark = (np.floor(ink.u * n) + np.floor(ink.v * n)) % 2
    gap = _grout(fu, fv, 0.02, 0.02)
    return dark * 0.9 + 0.1 * tone, np.where(gap, 0.6, 0.1 * tone), np.where(gap, 0.75, 1.0)


def _subway(ink, nu=4, nv=8):
    fu, fv, tone = ink.cells(nu, nv, 0.5)
    gap = _grout(fu, fv, 0.02, 0.05)
    return np.where(gap, 1.0, 0.15 * tone), 0.0, np.where(gap, 0.85, 0.92 + 0.08 * tone)


def _brick(ink):
    fu, fv, tone = ink.cells(4, 12, 0.5)
    gap = _grout(fu, fv, 0.03, 0.09)
    n = ink.fractal(32)
    return np.where(gap, 1.0, 0.0), np.where(gap, 0.0, 0.6 * tone), 0.75 + 0.25 * n


def _carpet(ink):
    n = ink.noise(128)
    return 0.5 * ink.fractal(24), 0.35 * n, 0.7 + 0.3 * ink.noise(120)


def _persian(ink):
    edge = np.minimum(np.minimum(ink.u, 1 - ink.u), np.minimum(ink.v, 1 - ink.v))
    border = (edge > 0.04) & (edge < 0.13)
    r = np.hypot(ink.u - 0.5, ink.v - 0.5)
    bloom = _wave(r * 7 + 0.3 * _wave(np.arctan2(ink.v - 0.5, ink.u - 0.5) * 8 / (2 * np.pi)))
    figure = _step(_wave(ink.u * 12) * _wave(ink.v * 12), 0.45, 0.2)
    m1 = np.where(border, 1 - 0.7 * figure, 0.75 * _step(bloom, 0.55, 0.2))
    m2 = np.where(edge < 0.04, 0.9, np.where(border, 0.4 * figure, 0.6 * figure * (bloom < 0.4)))
    return m1, m2, 0.85 + 0.15 * ink.noise(100)


def _shag(ink):
    return ink.fractal(20, octaves=4), 0.3 * ink.noise(64), 0.55 + 0.45 * ink.fractal(60, octaves=2)


def _marble(ink):
    vein = 1 - np.abs(2 * ink.fractal(4, octaves=5) - 1)
    return np.clip((vein - 0.86) / 0.14, 0, 1), 0.4 * ink.noise(4), 0.95 + 0.05 * ink.noise(8)


def _terrazzo(ink):
    n, m = ink.noise(40), ink.noise(52)
    return _step(n, 0.72, 0.08), _step(m, 0.72, 0.08) * 0.8, 0.97 + 0.03 * n


def _stripes(ink, n=8, share=0.5):
    return _step(np.abs(2 * (ink.u * n % 1) - 1), share, 0.1), 0.0, 0.95 + 0.05 * ink.noise(64)


def _pinstripes(ink):
    return _stripes(ink, 16, 0.82)


def _bands(ink):
    x = np.minimum(np.abs((ink.u * 4 % 1) - 0.3), np.abs((ink.u * 4 % 1) - 0.7))
    return 1 - _step(x, 0.1, 0.03), 0.8 * (1 - _step(np.abs((ink.u * 4 % 1) - 0.5), 0.05, 0.02)), 1.0


def _gingham(ink, n=8):
    return (
        0.5 * (_step(ink.u * n % 1) + _step(ink.v * n % 1)),
        0.0,
        0.93 + 0.07 * ink.noise(128),
    )


def _plaid(ink):
    a = _step(_wave(ink.u * 4), 0.6, 0.1) + _step(_wave(ink.v * 4), 0.6, 0.1)
    b = _step(_wave(ink.u * 4 + 0.5), 0.97, 0.02) + _step(_wave(ink.v * 4 + 0.5), 0.97, 0.02)
    return 0.45 * a, np.clip(b, 0, 1) * 0.7, 0.95 + 0.05 * ink.noise(100)


def _dots(ink, n=8):
    u, v = ink.u * n, ink.v * n
    u = u + 0.5 * (np.floor(v) % 2)
    return 1 - _step(np.hypot(u % 1 - 0.5, v % 1 - 0.5), 0.26, 0.08), 0.0, 0.96 + 0.04 * ink.noise(64)


def _floral(ink, n=6):
    u, v = ink.u * n, ink.v * n
    u = u + 0.5 * (np.floor(v) % 2)
    x, y = u % 1 - 0.5, v % 1 - 0.5
    r, a = np.hypot(x, y), np.arctan2(y, x)
    petal = 1 - _step(r, 0.2 + 0.1 * np.cos(5 * a), 0.06)
    leaf = (1 - _step(np.abs(x * 0.7 + y * 0.7), 0.035, 0.03)) * (r > 0.25) * (r < 0.48)
    return np.maximum(petal * (r > 0.07), 0), np.clip(leaf + (r <= 0.07), 0, 1), 0.96 + 0.04 * ink.noise(32)


def _damask(ink):
    n = _wave(ink.u * 4) * _wave(ink.v * 3) + _wave(ink.u * 4 + 0.5) * _wave(ink.v * 3 + 0.5)
    return _step(_wave(2.5 * n + 0.2 * ink.noise(8)), 0.6, 0.15) * 0.7, 0.0, 0.97 + 0.03 * ink.noise(64)


def _chevron(ink, n=8):
    zig = np.abs(ink.u * n % 1 - 0.5)
    return _step(np.abs(2 * ((ink.v * n + zig) % 1) - 1), 0.5, 0.12), 0.0, 0.97


def _diamonds(ink, n=6):
    a, b = (ink.u + ink.v) * n % 1, (ink.u - ink.v) * n % 1
    line = (np.minimum(a, 1 - a) < 0.05) | (np.minimum(b, 1 - b) < 0.05)
    return np.where(line, 0.0, ((a > 0.5) ^ (b > 0.5)) * 0.7), np.where(line, 0.9, 0.0), 0.97


def _weave(ink, n=48):
    over = (np.floor(ink.u * n) + np.floor(ink.v * n)) % 2
    bulge = np.where(over > 0, _wave(ink.u * n), _wave(ink.v * n))
    return 0.5 * over, 0.25 * ink.fractal(12), 0.75 + 0.25 * bulge


def _fur(ink):
    return ink.fractal(6, octaves=5), 0.3 * ink.noise(4), 0.7 + 0.3 * ink.fractal(40, 12, 3)


def _quilt(ink, n=4):
    fu, fv, tone = ink.cells(n, n)
    puff = np.clip(4 * np.minimum(np.minimum(fu, 1 - fu), np.minimum(fv, 1 - fv)), 0, 1) ** 0.5
    inner = np.hypot(fu - 0.5, fv - 0.5) < 0.28
    return (tone > 0.5) * 0.8, inner * (tone > 0.3) * 0.9, 0.65 + 0.35 * puff


def _spines(ink, rows=1, most=0.06):
    """Books side by side along u, standing on v = 1; `rows` stacks of them."""
    m1, m2, shade = (np.zeros((SIZE, SIZE)) for _ in range(3))
    tall = SIZE // rows
    for row in range(rows):
        at = 0
        while at < SIZE:
            width = int(SIZE * ink.rng.uniform(0.022, most)) if at < SIZE - 10 else SIZE - at
            block = (slice(row * tall, (row + 1) * tall), slice(at, at + width))
            a, b = ink.rng.random(2)
            m1[block], m2[block] = (a > 0.45) * ink.rng.uniform(0.6, 1), (b > 0.6) * ink.rng.uniform(0.5, 1)
            across = np.linspace(-1, 1, m1[block].shape[1])
            shade[block] = ink.rng.uniform(0.55, 1) * (1 - 0.45 * across**4)
            band = row * tall + int(tall * ink.rng.uniform(0.12, 0.6))
            label = (slice(band, band + int(tall * ink.rng.uniform(0.05, 0.25))), slice(at + 1, at + width - 1))
            m2[label] = 1 - m2[label]
            top = (slice(row * tall, row * tall + int(tall * ink.rng.uniform(0.0, 0.14))), slice(at, at + width))
            shade[top] = 0.12
            at += width
    return m1, m2, shade


def _landscape(ink):
    hill = 0.5 + 0.25 * (ink.noise(3)[:1] - 0.5) + 0.12 * (ink.noise(12)[:1] - 0.5)
    near = hill + 0.18 + 0.2 * (ink.noise(5)[:1] - 0.5)
    ground, close = ink.v > hill, ink.v > near
    return np.where(ground, 1.0, 0.3 * ink.v), np.where(close, 1.0, 0.0), 0.75 + 0.25 * ink.fractal(16)


def _abstract(ink):
    m1, m2, shade = np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE)), np.ones((SIZE, SIZE))
    for _ in range(14):
        (x, y), (w, h) = ink.rng.uniform(0, 0.8, 2), ink.rng.uniform(0.1, 0.5, 2)
        inside = (ink.u > x) & (ink.u < x + w) & (ink.v > y) & (ink.v < y + h)
        m1[inside], m2[inside], shade[inside] = ink.rng.random(), ink.rng.random() ** 2, ink.rng.uniform(0.4, 1)
    return m1, m2, shade


def _portrait(ink):
    head = np.hypot((ink.u - 0.5) / 0.17, (ink.v - 0.38) / 0.22) < 1
    body = np.hypot((ink.u - 0.5) / 0.4, (ink.v - 1.0) / 0.42) < 1
    return np.where(head, 1.0, 0.0), np.where(body & ~head, 1.0, 0.0), 0.65 + 0.35 * ink.fractal(8)


def _still(ink):
    m1, m2, shade = 0.2 * ink.noise(4), (ink.v > 0.68) * 0.6, np.full((SIZE, SIZE), 0.8)
    for _ in range(7):
        x, y, r = ink.rng.uniform(0.2, 0.8), ink.rng.uniform(0.45, 0.75), ink.rng.uniform(0.06, 0.16)
        d = np.hypot(ink.u - x, ink.v - y)
        m1, m2 = np.where(d < r, 1 - m1 * 0.5, m1), np.where(d < r, ink.rng.random() * 0.7, m2)
        shade = np.where(d < r, 1 - 0.6 * d / r, shade)
    return m1, m2, shade


def _view(ink):
    """Outdoors: sky, buildings or trees, ground."""
    cloud = np.clip(ink.fractal(4, 8) * 2 - 0.9, 0, 1)
    skyline = 0.55 + 0.12 * (ink.noise(9)[:1] - 0.5) + 0.05 * (ink.noise(40)[:1] - 0.5)
    trees = ink.v > skyline
    return (
        np.where(trees, 1.0, 0.1 * cloud),
        np.where(ink.v > 0.8, 0.7, 0.0),
        np.where(trees, 0.35 + 0.4 * ink.fractal(24), 0.85 + 0.15 * cloud),
    )


def _street(ink):
    x = np.floor(ink.u * 7).astype(int)
    roof = np.array([0.42, 0.25, 0.5, 0.35, 0.2, 0.46, 0.3])[x]
    block = ink.v > roof
    pane = (_wave(ink.u * 42) > 0.4) & (_wave(ink.v * 24) > 0.45)
    return (
        np.where(block, 0.9, 0.0),
        np.where(block & pane, 0.6, 0.0),
        np.where(block, 0.3 + 0.3 * ink.rng.random(7)[x], 1.0 - 0.15 * ink.v),
    )


def _screen(ink):
    m1, m2, shade = _abstract(ink)
    text = (_wave(ink.v * 24) > 0.6) & (ink.noise(40, 24) > 0.45) & (ink.u > 0.1) & (ink.u < 0.55)
    return np.where(text, 0.0, 0.5 * m1), np.where(text, 1.0, 0.5 * m2), 0.4 + 0.6 * shade


def _page(ink):
    inside = (ink.u > 0.1) & (ink.u < 0.9) & (ink.v > 0.08) & (ink.v < 0.92)
    line = (_wave(ink.v * 22) > 0.65) & (ink.noise(44, 22) > 0.35) & inside
    return line * 0.8, 0.0, 0.97


def _scribble(ink):
    n = np.abs(ink.fractal(9, 14, 3) - 0.5)
    where = ink.noise(5, 7) > 0.5
    line = (n < 0.012) & where
    diagram = (np.abs(ink.fractal(3, octaves=2) - 0.5) < 0.008) & ~where
    return line * 1.0, diagram * 1.0, 0.96 + 0.04 * ink.noise(6)


def _keys(ink):
    fu, fv, tone = ink.cells(14, 5)
    gap = _grout(fu, fv, 0.1, 0.12)
    return np.where(gap, 1.0, 0.0), (tone > 0.9) * 0.5, np.where(gap, 0.5, 1.0)


def _slats(ink, n=16):
    f = ink.v * n % 1
    return (f > 0.86) * 1.0, 0.0, np.where(f > 0.86, 0.35, 0.65 + 0.35 * (1 - f))


def _folds(ink, n=5):
    n1 = _wave(ink.u * n + 0.35 * _wave(ink.u * 2) + 0.05 * ink.noise(4, 1))
    return 0.2 * n1, 0.0, 0.5 + 0.5 * n1


def _grille(ink, n=10):
    return (ink.v * n % 1 > 0.55) * 1.0, 0.0, 0.95


def _hob(ink):
    r = np.hypot(ink.u * 2 % 1 - 0.5, ink.v * 2 % 1 - 0.5)
    return 1 - _step(r, 0.34, 0.03), 1 - _step(np.abs(r - 0.2), 0.05, 0.03), 0.95


def _leaves(ink):
    return ink.fractal(12), _step(ink.noise(18), 0.7, 0.1) * 0.5, 0.4 + 0.6 * ink.fractal(16)


def _cork(ink):
    notes = ink.cells(4, 3)
    card = (np.abs(notes[0] - 0.5) < 0.32) & (np.abs(notes[1] - 0.5) < 0.36) & (notes[2] > 0.35)
    return (
        np.where(card, 0.9 * (notes[2] > 0.6), 0.3 * ink.noise(90)),
        np.where(card, 0.8 * (notes[2] <= 0.7), 0.0),
        0.9,
    )


def _asphalt(ink):
    patch = _step(ink.fractal(3, octaves=3), 0.58, 0.04)
    crack = (np.abs(ink.fractal(5, octaves=4) - 0.5) < 0.004) * (ink.noise(4) > 0.55) * 0.5
    return 0.5 * patch, crack, 0.78 + 0.22 * ink.fractal(48, octaves=3)


def _clouds(ink):
    return np.clip(ink.fractal(3, octaves=6) * 3.2 - 1.45, 0, 1), 0.0, 1.0


def _foliage(ink):
    clump = ink.fractal(9, octaves=5)
    return _step(clump, 0.5, 0.3), _step(ink.noise(40), 0.75, 0.2) * 0.5, 0.3 + 0.7 * _step(clump, 0.45, 0.35)


def _facade(ink, half_width=0.22, top=0.2, bottom=0.74, bars=(0.0,)):
    """Four storeys of four windows: m1 is glass, m2 the frames and sills."""
    fu, fv, tone = ink.cells(4, 4)
    x = np.abs(fu - 0.5)
    pane = (x < half_width) & (fv > top) & (fv < bottom)
    frame = (x < half_width + 0.05) & (fv > top - 0.05) & (fv < bottom + 0.06) & ~pane
    for bar in bars:
        frame |= pane & (np.abs(fu - 0.5 - bar) < 0.015)
    wall = 0.85 + 0.15 * ink.fractal(12)
    return pane & ~frame, frame * 1.0, np.where(pane, 0.45 + 0.55 * tone, wall)


def _balconies(ink):
    m1, m2, shade = _facade(ink, 0.3, 0.12, 0.92, (-0.1, 0.1))
    f = ink.v * 4 % 1
    rail = (f > 0.62) & (f < 0.95) & (np.floor(ink.u * 4) % 2 > 0)
    return m1 & ~rail, np.maximum(m2, rail * (0.6 + 0.4 * (ink.u * 64 % 1 > 0.5))), np.where(rail, 0.8, shade)


def _ribbons(ink):
    f = ink.v * 4 % 1
    glass, bar = (f > 0.22) & (f < 0.78), (ink.u * 12 % 1) < 0.08
    _, _, tone = ink.cells(12, 4)
    return glass & ~bar, (glass & bar) * 0.9, np.where(glass, 0.5 + 0.5 * tone, 0.9 + 0.1 * ink.noise(16))


def _shops(ink):
    """Two shop windows under a band of lettering, fitted to a ground floor."""
    fu, _, tone = ink.cells(4, 1)
    glass = (np.abs(fu - 0.5) < 0.42) & (ink.v > 0.34) & (ink.v < 0.94)
    letters = (ink.v > 0.1) & (ink.v < 0.25) & (ink.noise(40, 4) > 0.55)
    return glass * 1.0, letters * 1.0, np.where(glass, 0.35 + 0.65 * ink.fractal(12), 0.75 + 0.25 * tone)


def _ring_sign(ink):
    r = np.hypot(ink.u - 0.5, ink.v - 0.5)
    return (r > 0.32) * 1.0, (np.abs(ink.u - 0.5) < 0.06) * (r < 0.22) * 1.0, 1.0


def _arrow_sign(ink):
    x, y = np.abs(ink.u - 0.5), ink.v
    arrow = ((x < 0.07) & (y > 0.3) & (y < 0.8)) | ((x < (y - 0.15) * 0.6) & (y < 0.42))
    edge = np.minimum(np.minimum(ink.u, 1 - ink.u), np.minimum(ink.v, 1 - ink.v)) < 0.06
    return np.where(arrow | edge, 1.0, 0.0), 0.0, 1.0


def _signals(ink):
    """Three lamps above each other: m1 is the lit one."""
    r = np.hypot((ink.u - 0.5) * 0.4, (ink.v * 3 % 1 - 0.5) / 3)
    lamp = r < 0.12
    return (lamp & (ink.v < 0.34)) * 1.0, (lamp & (ink.v >= 0.34)) * 0.15, 1.0


def _cabin(ink):
    """A side of windows: glass between posts, for buses and vans."""
    glass = (ink.v > 0.16) & (ink.v < 0.5) & ((ink.u * 6 % 1) > 0.1) & (ink.u > 0.03) & (ink.u < 0.97)
    stripe = (ink.v > 0.66) & (ink.v < 0.76)
    return glass * 1.0, stripe * 0.8, np.where(glass, 0.6 + 0.4 * ink.fractal(6), 1.0)


def _planting(ink):
    return ink.fractal(10, octaves=5), 0.4 * _step(ink.noise(24), 0.7, 0.2), 0.6 + 0.4 * ink.fractal(40, octaves=3)


_DRAW = {
    name[1:]: value
    for name, value in list(globals().items())
    if name.startswith("_") and name not in {"_step", "_wave", "_grout"} and callable(value) and name[1].islower()
}
_DRAW |= {
    "wood2": lambda ink: _wood(ink, 11, 3),
    "deck": lambda ink: _planks(ink, 10, 3),
    "tiles_small": lambda ink: _tiles(ink, 10, 0.05),
    "tiles_large": lambda ink: _tiles(ink, 2, 0.012),
    "stripes_wide": lambda ink: _stripes(ink, 3),
    "spines2": lambda ink: _spines(ink, 1, 0.045),
    "spines3": lambda ink: _spines(ink, 2, 0.09),
    "abstract2": _abstract,
    "landscape2": _landscape,
    "screen2": _screen,
    "folds2": lambda ink: _folds(ink, 9),
    "weave_coarse": lambda ink: _weave(ink, 20),
    "facade_tall": lambda ink: _facade(ink, 0.17, 0.1, 0.86, ()),
    "facade_wide": lambda ink: _facade(ink, 0.34, 0.26, 0.7, (-0.12, 0.12)),
}
TEXTURES = {name: i for i, name in enumerate(_DRAW)}
"""Texture name -> atlas index."""


def _levels(name: str) -> list[np.ndarray]:
    weights = np.stack([np.broadcast_to(np.asarray(w, float), (SIZE, SIZE)) for w in _DRAW[name](_Ink(name))], -1)
    level, levels = np.clip(weights, 0, 1), []
    for _ in range(LEVELS):
        levels.append(np.round(level * 255).astype(np.uint8).reshape(-1, 3))
        n = level.shape[0] // 2
        level = level.reshape(n, 2, n, 2, 3).mean((1, 3))
    return levels


TEXELS = sum((SIZE >> i) ** 2 for i in range(LEVELS))


@lru_cache(maxsize=4)
def atlas(device: torch.device) -> Tensor:
    """All textures and mip levels packed as 0x00m1m2sh int32 texels, (textures × TEXELS,)."""
    return _packed().to(device)


@cache
def _packed() -> Tensor:
    texels = np.concatenate([np.concatenate(_levels(name)) for name in TEXTURES]).astype(np.int32)
    return torch.from_numpy(texels[:, 0] << 16 | texels[:, 1] << 8 | texels[:, 2])


def lookup(texture: Tensor, u: Tensor, v: Tensor, footprint: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Bilinear look-up in the mip level that fits.

    Args:
        texture: atlas index, float, any shape.
        u, v: position in tiles; wraps around.
        footprint: size of a pixel in tiles; picks the level so that texels are no smaller than half a pixel.

    Returns:
        the weights m1, m2 and shade, each in [0, 1].
    """
    table = atlas(texture.device)
    texels = footprint * float(SIZE)
    level = torch.zeros_like(texels)
    for i in range(1, LEVELS):
        level += (texels > 0.75 * 2**i).float()
    level = level.int()
    size = torch.bitwise_right_shift(torch.full_like(level, SIZE), level)
    # Levels before this one hold SIZE² (1 + 1/4 + ...) = (4 SIZE² - 4 size²) / 3 texels.
    start = texture.int() * TEXELS + (4 * SIZE * SIZE - 4 * size * size).div(3, rounding_mode="floor")
    extent = size.float()
    x, y = (u - u.floor()) * extent - 0.5, (v - v.floor()) * extent - 0.5
    x0, y0 = x.floor(), y.floor()
    fx, fy = x - x0, y - y0
    wrap = size - 1
    columns = [x0.int().bitwise_and(wrap), (x0.int() + 1).bitwise_and(wrap)]
    rows = [y0.int().bitwise_and(wrap) * size + start, (y0.int() + 1).bitwise_and(wrap) * size + start]
    out = [torch.zeros_like(u) for _ in range(3)]
    for j, wy in enumerate((1 - fy, fy)):
        for i, wx in enumerate((1 - fx, fx)):
            texel = table.index_select(0, (rows[j] + columns[i]).flatten()).view_as(level)
            weight = wx * wy * (1 / 255)
            out[0] += weight * (texel >> 16).float()
            out[1] += weight * (texel >> 8 & 255).float()
            out[2] += weight * (texel & 255).float()
    return out[0], out[1], out[2]
