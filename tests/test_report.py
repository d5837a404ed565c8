"""The report: whole in itself, safe with any phrase, honest in what it shows, and alive in a real browser."""

from __future__ import annotations

import html
import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.answers import Said
from perceptiongpt.core.answer import Region
from perceptiongpt.core.masks import mask_to_box
from perceptiongpt.core.packed import pack
from perceptiongpt.judging import Judged, judged, measure
from perceptiongpt.questions import Asked, Question
from perceptiongpt.report import CASES, choose, report, worth

WH = (120, 80)
HOSTILE = "the <script>window.broken=1</script> \"mug\" & 'cup'"


def thing(x: int, w: int = 30) -> Region:
    mask = np.zeros(WH[::-1], bool)
    mask[20:50, x : x + w] = True
    return Region(box=mask_to_box(mask), mask=mask, score=min(1.0, x / 100))


def made(many: int = 30) -> tuple[list[Any], list[Asked]]:
    """Questions whose answers are off by one more pixel each, some without a target, one with a hostile phrase."""
    rows, asked = [], []
    for i in range(many):
        targets = () if i % 5 == 4 else (pack(thing(40)),)
        phrase = HOSTILE if i == 0 else f"thing {i}"
        kind = "name" if targets else "none"
        question = Question(f"{i:03d}-0", phrase, kind, targets, WH, f"kind {i % 2}", i % 4)
        rows.append(measure(Judged(question, Said("The <b>thing</b>.", (pack(thing(40 + i)),)))))
        asked.append(Asked(Image.new("RGB", WH, (8 * i, 90, 120)), (question,)))
    return rows, asked


@pytest.fixture(scope="module")
def page() -> str:
    rows, asked = made()
    result = {**judged(rows), "teacher_forced": {k: judged(rows[:4])[k] for k in ("rec", "res")}}
    result["protocol"] = {"data": "thirty pictures", "answers": "generated freely", "versions": {"torch": "2"}}
    return report(result, rows, iter(asked), "a model on thirty pictures")


def test_every_number_stands_once() -> None:
    question = Question("1-0", "how many?", "count", (), WH, judge="vqa", answers=("two",))
    rows = [measure(Judged(question, Said("two")))]
    asked = [Asked(Image.new("RGB", WH), (question,))]
    shown = report({**judged(rows), "protocol": {}}, rows, iter(asked), "words")
    keys = re.findall(r"<td>([a-z_]+\.[a-z0-9_]+)</td>", shown)
    assert "vqa.accuracy" in keys and len(keys) == len(set(keys))


def test_the_page_holds_all_that_it_shows(page: str) -> None:
    shown = page.partition("<script>")[0]
    fetched = re.findall(r"""(?:src|href)=["']?([^"' >]+)""", shown)
    assert {link.partition(",")[0] for link in fetched if not link.startswith("#")} == {"data:image/jpeg;base64"}
    assert "url(" not in page
    assert "@import" not in page
    assert page.count("<img src=") == 3 * CASES
    assert {link for link in fetched if link.startswith("#")} <= {f"#{i}" for i in re.findall(r'id="(\w+)"', page)}
    for word in ("rec.acc50", "teacher-forced", "thirty pictures", "versions"):
        assert word in page


def test_a_hostile_phrase_stays_words(page: str) -> None:
    assert "<script>window" not in page
    assert "<b>thing" not in page
    assert html.escape(HOSTILE) in page


def test_the_worst_the_best_and_random_answers_are_what_they_are_called() -> None:
    rows, _ = made()
    found = choose(rows, random.Random(0))
    assert [len(v) for v in found.values()] == [CASES] * 3
    assert max(map(worth, found["worst"])) <= min(map(worth, found["random"]))
    assert min(map(worth, found["best"])) >= max(map(worth, found["random"]))
    assert len({r.question.id for v in found.values() for r in v}) == 3 * CASES
    few = choose(rows[:3], random.Random(0))
    assert sum(len(v) for v in few.values()) == 3


def test_an_answer_is_worth_what_its_kind_asks_for() -> None:
    single, none = made()[0][0], made()[0][4]
    assert worth(single) == 1.0
    assert worth(none) == 0.0
    group = Question("g-0", "all", "group", tuple(pack(thing(x, 10)) for x in (0, 40, 80)), WH)
    assert worth(measure(Judged(group, Said("", (pack(thing(40, 10)),))))) == pytest.approx(0.5)


def test_a_picture_that_the_data_no_longer_holds_is_told() -> None:
    rows, asked = made(6)
    with pytest.raises(ValueError, match="no longer in the data"):
        report({**judged(rows), "protocol": {}}, rows, asked[:3], "t")


CHECK = """<script>
const faults=[];window.onerror=m=>{faults.push(String(m))};
addEventListener('load',async()=>{
 const pictures=[...document.querySelectorAll('.case img')];
 pictures.forEach(i=>{i.loading='eager'});await new Promise(r=>setTimeout(r,3000));
 pictures[0].click();
 const seen={faults,wide:document.documentElement.scrollWidth-innerWidth,open:document.querySelector('dialog').open,
  broken:pictures.filter(i=>!i.naturalWidth).length,pictures:pictures.length,hostile:!!window.broken,
  charts:[...document.querySelectorAll('svg')].filter(s=>s.getBoundingClientRect().height>50).length,
  lines:document.querySelectorAll('polyline').length,title:document.querySelector('h1').textContent};
 const out=document.createElement('pre');out.id='seen';out.textContent=JSON.stringify(seen);document.body.append(out);
});</script>"""


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_lives_in_a_real_browser(page: str, tmp_path: Path, width: int) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert chromium, "no Chromium is installed; install one (Debian: apt-get install chromium)"
    file = tmp_path / "report.html"
    file.write_text(page.replace("<main>", CHECK + "<main>", 1), encoding="utf-8")
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", f"--window-size={width},900"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    run = subprocess.run(
        [chromium, *words, profile, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', run.stdout, re.DOTALL)
    assert found, run.stderr[-2000:]
    seen = json.loads(html.unescape(found[1]))
    assert seen == {
        "faults": [],
        "wide": seen["wide"],
        "open": True,
        "broken": 0,
        "pictures": 3 * CASES,
        "hostile": False,
        "charts": 7,
        "lines": 5,
        "title": "a model on thirty pictures",
    }
    assert seen["wide"] <= 0  # nothing has to be scrolled sideways
