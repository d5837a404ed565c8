"""Two sets of answers to the same questions: how much better is the second, and where do they differ?

Differences are paired: the same pictures are drawn again for both. Knows measures; defines no metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from perceptiongpt.judging import Measure, ratios
from perceptiongpt.metrics.bootstrap import paired_interval
from perceptiongpt.page import data_url, page
from perceptiongpt.questions import Asked
from perceptiongpt.report import case_picture, pictures_of, worth

CASES = 12


def compared(first: Sequence[Measure], second: Sequence[Measure], seed: int = 0) -> dict[str, Any]:
    """Of each chief number both values, second minus first and its 95 % interval; `sure` if that leaves out 0.

    Both must answer the same questions in the same order; else ValueError.
    """
    if [r.question.id for r in first] != [r.question.id for r in second]:
        raise ValueError(f"{len(first)} and {len(second)} answers to other questions; give both the same --data")
    ours, theirs = ratios(first), ratios(second)
    found = {}
    for key in ours:
        kept, above, below = ours[key]
        _, above2, below2 = theirs[key]
        if not kept:
            continue
        values = [sum(a) / sum(b) if sum(b) else 0.0 for a, b in ((above, below), (above2, below2))]
        clusters = [r.cluster for r in kept]
        low, high = paired_interval([(above, below), (above2, below2)], clusters, seed)
        found[key] = {
            "first": round(values[0], 6),
            "second": round(values[1], 6),
            "difference": round(values[1] - values[0], 6),
            "interval": [round(low, 6), round(high, 6)],
            "sure": bool(low > 0 or high < 0),
        }
    return {"numbers": found, "n": len(first)}


def comparison_table(result: Mapping[str, Any], names: tuple[str, str]) -> str:
    """The comparison as lines to read."""
    lines = [f"{'':<16}{'first':>9}{'second':>9}{'second - first':>16}   95 %"]
    for key, row in result["numbers"].items():
        bounds = f"{row['interval'][0]:+.4f} to {row['interval'][1]:+.4f}"
        note = "" if row["sure"] else "  (may be chance)"
        lines.append(f"{key:<16}{row['first']:>9.4f}{row['second']:>9.4f}{row['difference']:>+16.4f}   {bounds}{note}")
    return "\n".join([*lines, f"first {names[0]}, second {names[1]}, {result['n']} questions both"])


def comparison_page(
    result: Mapping[str, Any],
    first: Sequence[Measure],
    second: Sequence[Measure],
    asked: Iterable[Asked],
    names: tuple[str, str],
) -> str:
    """Numbers, and the pictures on which the two differ most, side by side, as one HTML page."""
    gaps = sorted(
        ((worth(b) - worth(a), a, b) for a, b in zip(first, second, strict=True)), key=lambda row: -abs(row[0])
    )
    shown = [row for row in gaps if row[0]][:CASES]
    pictures = pictures_of({a.question.id for _, a, _ in shown}, asked)
    cases = []
    for gap, a, b in shown:
        q = a.question
        images = "".join(
            f"<div><img src='{data_url(case_picture(pictures[q.id], q.targets, r.pair.said.regions, ''))}' "
            f"alt='{escape(name)}'><p class=meta>{escape(name)}: {worth(r):.2f}</p></div>"
            for name, r in (("first", a), ("second", b))
        )
        cases.append(
            f"<div class='card case pair'><div><p class=tag>{escape(q.phrase)} <span class=meta>{gap:+.2f}</span></p>"
            f"</div><div class=two>{images}</div></div>"
        )
    table = f"<pre class=scroll>{escape(comparison_table(result, names))}</pre>"
    legend = "<span class=true>green is true</span>, <span class=said>orange was said</span>"
    body = f"<div class='cases wide'>{''.join(cases)}</div>" if cases else "<p>They answer alike everywhere.</p>"
    return page(f"{names[0]} against {names[1]}", f"{table}<h2>Where they differ most: {legend}</h2>{body}")
