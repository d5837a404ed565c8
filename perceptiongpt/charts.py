"""Small charts as SVG text: lines over a square of numbers, and bars. Knows nothing of models or metrics."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

HUES = ("var(--said)", "var(--true)", "var(--soft)")
W, H, LEFT, BELOW, ABOVE = 340, 240, 52, 38, 12

Line = tuple[str, Sequence[tuple[float, float]]]  # its name, its points


def lines(title: str, x: str, y: str, named: Sequence[Line], diagonal: bool = False) -> str:
    """Lines through points with both coordinates in 0..1, an axis each from 0 to 1."""
    body = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        px, py = _at(tick, tick)
        body.append(f'<line class="grid" x1="{LEFT}" y1="{py:.1f}" x2="{W - 10}" y2="{py:.1f}"/>')
        body.append(f'<text x="{LEFT - 6}" y="{py + 4:.1f}" text-anchor="end">{tick:g}</text>')
        body.append(f'<text x="{px:.1f}" y="{H - BELOW + 16}" text-anchor="middle">{tick:g}</text>')
    if diagonal:
        (x0, y0), (x1, y1) = _at(0, 0), _at(1, 1)
        body.append(f'<line class="ideal" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>')
    for number, (name, points) in enumerate(named):
        hue = HUES[number % len(HUES)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (_at(*p) for p in points))
        body.append(f'<polyline fill="none" stroke="{hue}" stroke-width="2.5" points="{path}"/>')
        if len(points) <= 21:
            body += [
                f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{hue}"><title>{a:.3f}, {b:.3f}</title></circle>'
                for (a, b), (px, py) in ((p, _at(*p)) for p in points)
            ]
        body.append(
            f'<text class="key" x="{W - 14}" y="{ABOVE + 14 + 16 * number}" text-anchor="end" fill="{hue}">'
            f"{escape(name)}</text>"
        )
    body.append(f'<text x="{(W + LEFT) / 2:.0f}" y="{H - 4}" text-anchor="middle">{escape(x)}</text>')
    body.append(f'<text transform="translate(11 {H / 2 - 10:.0f}) rotate(-90)" text-anchor="middle">{escape(y)}</text>')
    return _figure(title, f'<svg viewBox="0 0 {W} {H}" role="img" aria-label="{escape(title)}">{"".join(body)}</svg>')


def bars(title: str, rows: Sequence[tuple[str, float | None, float | None, int]], names: tuple[str, str]) -> str:
    """For each row a name, two numbers in 0..1 (or none) as bars, and a count."""
    step, body = 40, []
    height = step * len(rows) + 26
    for number, name in enumerate(names):
        body.append(f'<text class="key" x="{104 + 110 * number}" y="14" fill="{HUES[number]}">{escape(name)}</text>')
    for row, (name, *values, count) in enumerate(rows):
        top = 24 + step * row
        body.append(f'<text x="96" y="{top + 20}" text-anchor="end">{escape(_short(name))}</text>')
        body.append(f'<text x="{W - 4}" y="{top + 20}" text-anchor="end" class="count">n {count}</text>')
        for number, value in enumerate(values):
            if value is None:
                continue
            y = top + 5 + 13 * number
            body.append(
                f'<rect x="104" y="{y}" width="{max(1.0, 150 * value):.1f}" height="11" rx="2" fill="{HUES[number]}"/>'
            )
            body.append(f'<text x="{110 + 150 * value:.1f}" y="{y + 10}" class="value">{value:.2f}</text>')
    return _figure(
        title, f'<svg viewBox="0 0 {W} {height}" role="img" aria-label="{escape(title)}">{"".join(body)}</svg>'
    )


def _figure(title: str, svg: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>"


def _at(x: float, y: float) -> tuple[float, float]:
    return LEFT + x * (W - 10 - LEFT), H - BELOW - y * (H - BELOW - ABOVE)


def _short(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "…"
