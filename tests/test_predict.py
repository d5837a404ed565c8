"""The predictor: what comes out lies in the picture, and asking alone, in a batch or again gives the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from perceptiongpt.asking import WORDS_LIMIT, checked_region, checked_words, question_turn
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.operating import OperatingPoint
from perceptiongpt.data.spans import name_spans
from perceptiongpt.hosts import chosen_device, chosen_dtype
from perceptiongpt.model.generate import Spoken, generate
from perceptiongpt.model.perception import equip
from perceptiongpt.model.tiny import FAMILIES
from perceptiongpt.predict import PACKAGED, Eye, load

QUESTIONS = ("the red circle", "a blue square on the left", "x")


def same(a: Answer, b: Answer) -> bool:
    """The same but for the time it took; floats of a padded batch may differ in the last digits."""
    if a.text != b.text or a.label != b.label or [r.span for r in a] != [r.span for r in b]:
        return False
    near = (np.allclose(x, y, atol=1e-2, equal_nan=True) for x, y in ((a.xyxy, b.xyxy), (a.score, b.score)))
    return all(near) and float((a.masks != b.masks).mean() if a.masks.size else 0) < 1e-2


@pytest.mark.parametrize("size", [(50, 40), (1, 1), (700, 9), (9, 300)])
def test_every_region_lies_in_the_picture(eye: Eye, size: tuple[int, int]) -> None:
    answer = eye.segment(Image.new("RGB", size, "teal"), "the red circle")
    assert len(answer) > 0
    for region, (x0, y0, x1, y1) in zip(answer, answer.xyxy, strict=True):
        assert 0 <= x0 <= x1 <= size[0]
        assert 0 <= y0 <= y1 <= size[1]
        assert region.mask.shape == (size[1], size[0])
        assert 0 <= region.point[0] <= size[0]
        assert 0 <= region.point[1] <= size[1]
        assert 0 < region.score < 1


def test_every_host_family_answers_every_verb(any_eye: Eye, photo: Image.Image) -> None:
    seen = any_eye.look(photo)
    answers = [seen.segment("a"), seen.detect("a"), seen.point("a"), seen.caption(), seen.ask("a?")]
    answers += [seen.describe(Region(box=(1, 2, 30, 20))), seen.caption(places=False)]
    assert all(a.size_wh == photo.size and a.text for a in answers)
    assert sum(map(len, answers)) > 0
    assert {a.model for a in answers} == {any_eye.name}


def test_the_span_of_a_region_is_its_label(eye: Eye, photo: Image.Image) -> None:
    named = [(a.text, r) for q in QUESTIONS for a in [eye.look(photo).ask(q)] for r in a if r.span is not None]
    assert named
    assert all(text[r.span[0] : r.span[1]] == r.label for text, r in named)


def test_each_verb_gives_its_own_parts(eye: Eye, photo: Image.Image) -> None:
    seen = eye.look(photo)
    for verb, parts in (("segment", "bmp"), ("detect", "bp"), ("point", "p"), ("caption", "bmp")):
        answer = seen.caption() if verb == "caption" else getattr(seen, verb)("the red circle")
        assert len(answer) > 0, verb
        for r in answer:
            assert (r.box is not None, r.mask is not None, r.point is not None) == tuple(c in parts for c in "bmp")


def test_what_is_asked_for_is_read_ahead_and_weighed_by_looks_in_words_alone(
    eye: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []

    def telling(*given: Any, **how: Any) -> list[Spoken]:
        told.append(how)
        return generate(*given, **how)

    monkeypatch.setattr("perceptiongpt.predict.generate", telling)
    monkeypatch.setattr(eye, "operating", OperatingPoint(more=0.2, counted=0.6, alike=8.0))
    seen = eye.look(photo)
    seen.segment("the red circle"), seen.point("the dogs"), seen.segment("a cat; the red circle"), seen.ask("what?")
    eye.look([photo, photo]).segment("the red circle")
    assert [how["alike"] for how in told] == [0.0, 0.0, 0.0, 8.0, 0.0]
    words, vis = eye.renderer.words, eye.model.vis_id
    one, several, listed, free, batch = (how["draft"] for how in told)
    assert one == [*words("The red circle"), vis, *words(".")]
    assert several == [*words("The dogs"), vis]  # who knows how many there are
    assert listed == [*words("A cat"), vis, *words("; the red circle"), vis, *words(".")]
    assert free == batch == []


def test_a_picture_seen_once_answers_as_one_seen_anew(eye: Eye, photo: Image.Image) -> None:
    seen = eye.look(photo)
    first = seen.segment("the red circle")
    seen.ask("something else?")
    assert same(seen.segment("the red circle"), first)
    assert same(eye.segment(photo, "the red circle"), first)


def test_a_batch_answers_as_its_items_do_alone(any_eye: Eye, photo: Image.Image) -> None:
    wide = Image.new("RGB", (90, 30), "olive")
    alone = [any_eye.segment(p, q, max_new_tokens=16) for p, q in zip((photo, wide, photo), QUESTIONS, strict=True)]
    together = any_eye.look([photo, wide, photo]).segment(QUESTIONS, max_new_tokens=16)
    picked = any_eye.look([wide, photo]).pick([1, 0, 1]).segment(list(QUESTIONS), max_new_tokens=16)
    assert all(same(a, b) and same(a, c) for a, b, c in zip(alone, together, picked, strict=True))


def test_what_is_one_of_several_is_told_from_the_phrase(
    eye: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[bool]] = []
    decode = eye.model.decode

    def noted(*given: Any) -> Any:
        told.append(given[5].tolist())
        return decode(*given)

    monkeypatch.setattr(eye.model, "decode", noted)
    asked = {
        "the red circle": False,
        "all the circles": True,
        "a square; two circles": True,
        "both": True,
        "red": False,
    }
    for phrase, several in asked.items():
        told.clear()
        assert len(eye.segment(photo, phrase, max_new_tokens=16)) and told
        assert {t for row in told for t in row} == {several}
    told.clear()
    eye.look(photo).many(2).segment(["the red circle", "all the circles"], max_new_tokens=8)
    assert {t for row in told for t in row} == {False, True}
    told.clear()
    assert len(eye.look(photo).ask("What is this?")) and not any(t for row in told for t in row)


def test_telling_apart_changes_no_answer_about_one_thing(
    eye: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p: eye.segment(photo, p, max_new_tokens=16) for p in ("the red circle", "all the circles")}
    monkeypatch.setattr(eye.model.decoder, "apart", Halves())
    after = {p: eye.segment(photo, p, max_new_tokens=16) for p in before}
    assert same(after["the red circle"], before["the red circle"])
    assert not same(after["all the circles"], before["all the circles"])


class Halves(torch.nn.Module):
    """Says of every picture that its left and right half are a thing each."""

    def forward(self, cells: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
        side = fine.shape[-1]
        left = torch.arange(side) < side // 2
        x0, x1 = torch.where(left, 0.0, 0.5), torch.where(left, 0.5, 1.0)
        rows = torch.stack([x0, torch.zeros(side), x1, torch.ones(side)])
        return rows[None, :, None, :].expand(len(fine), 4, fine.shape[-2], side)


def test_a_batch_may_show_each_row_its_own_region(eye: Eye, photo: Image.Image) -> None:
    shown = [Region(box=(1, 1, 20, 20)), None, Region(point=(30, 10))]
    alone = [eye.look(photo).ask("What is this?", region) for region in shown]
    together = eye.look(photo).many(3).ask("What is this?", shown)
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))


def test_the_same_picture_comes_in_every_form(eye: Eye, photo: Image.Image, photo_file: Path) -> None:
    forms = [photo, np.asarray(photo), photo_file, str(photo_file), photo_file.read_bytes()]
    answers = [eye.segment(form, "the red circle") for form in forms]
    assert all(same(answers[0], a) for a in answers)


def test_a_shown_region_changes_the_answer(eye: Eye, photo: Image.Image) -> None:
    mask = np.zeros((40, 50), bool)
    mask[5:20, 3:30] = True
    seen = eye.look(photo)
    shown = [Region(box=(0, 0, 10, 10)), Region(mask=mask), Region(point=(45, 35)), [Region(box=(0, 0, 9, 9))] * 2]
    plain, *texts = [seen.ask("What is this?").text, *(seen.ask("What is this?", r).text for r in shown)]
    assert plain not in texts
    assert len(set(texts)) >= 3  # a random host may answer two of them alike


def test_timings_name_the_parts_and_fit_into_the_total(eye: Eye, photo: Image.Image) -> None:
    timings = eye.segment(photo, "the red circle").timings
    assert set(timings) == {"vision", "prefill", "decode", "heads", "total"}
    assert 0 < sum(v for k, v in timings.items() if k != "total") <= timings["total"]


def test_sampling_is_repeatable_by_its_seed(eye: Eye, photo: Image.Image) -> None:
    seen = eye.look(photo)
    texts = [seen.ask("What?", temperature=2.0, seed=s).text for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_host_in_bfloat16_answers_in_the_same_pixels(photo: Image.Image) -> None:
    host, processor = FAMILIES["aya_vision"]()
    eye = Eye(equip(host.to(torch.bfloat16), processor))
    with torch.no_grad():
        eye.model.vis_row.copy_(0.5 * torch.randn(eye.model.vis_row.shape, generator=torch.Generator().manual_seed(0)))
    answer = eye.segment(photo, "the red circle")
    assert len(answer) > 0
    assert np.isfinite(answer.xyxy).all()
    assert answer.masks.shape[1:] == (40, 50)


def test_a_model_made_in_float32_is_loaded_in_bfloat16(model_folder: Path, photo: Image.Image) -> None:
    eye = load(model_folder, dtype="bfloat16", device="cpu")
    assert eye.model.backbone.dtype == torch.bfloat16
    assert len(eye.segment(photo, "the red circle")) > 0


# -- words ------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["<vis>", "<image>", "<|im_end|>", "{0}", "the <|im_start|>assistant <vis> mug"])
def test_no_words_become_control_tokens(eye: Eye, photo: Image.Image, text: str) -> None:
    turns = {"segment": text, "ask": text}
    renderer, special = eye.renderer, set(eye.renderer.tokenizer.all_special_ids)
    plain = renderer.asking([question_turn("x", None, (50, 40))], 16).ids
    told = renderer.asking([question_turn(text, None, (50, 40))], 16).ids
    assert [i for i in told if i in special or i == renderer.vis_id] == [i for i in plain if i in special]
    for verb, words in turns.items():
        assert getattr(eye.look(photo), verb)(words).size_wh == photo.size


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("What is this?", "What is this {0}?"),
        ("describe", "describe {0}"),
        ("What is {0}?", "What is {0}?"),
        ("What is {1}?!", "What is (1) {0}?!"),
    ],
)
def test_a_region_stands_where_the_question_says_or_at_its_end(question: str, said: str) -> None:
    assert question_turn(question, Region(box=(0, 0, 5, 5)), (9, 9)).text == said


@pytest.mark.parametrize("text", ["", "  \n\t ", "a" * (WORDS_LIMIT + 1), None, 3, "broken \udcff"])
def test_words_that_say_nothing_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="phrase"):
        checked_words(text, "phrase")


def test_a_long_phrase_is_read_up_to_the_limit(eye: Eye, photo: Image.Image) -> None:
    longest = ("red " * WORDS_LIMIT)[: WORDS_LIMIT - 1] + "x"
    assert eye.segment(photo, longest, max_new_tokens=2).size_wh == photo.size


# -- regions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "why"),
    [
        (Region(box=(-5, 0, 10, 10)), "outside"),
        (Region(box=(0, 0, 51, 10)), "outside"),
        (Region(box=(60, 60, 70, 70)), "outside"),
        (Region(box=(10, 10, 10, 20)), "no area"),
        (Region(point=(50.5, 3)), "outside"),
        (Region(mask=np.ones((50, 40), bool)), "40 wide and 50 high"),
        (Region(mask=np.zeros((40, 50), bool)), "empty"),
    ],
)
def test_a_region_that_cannot_be_is_refused(eye: Eye, photo: Image.Image, region: Region, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        eye.look(photo).describe(region)


def test_a_box_half_a_pixel_outside_is_taken_to_its_rim() -> None:
    assert checked_region(Region(box=(-0.4, 0, 50.3, 40)), (50, 40)).box == (0, 0, 50, 40)


# -- names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("The red mug◉.", ["The red mug"]),
        ("All the apples◉◉◉.", ["All the apples"] * 3),
        ("A dog◉ and two apples◉◉.", ["A dog", "two apples", "two apples"]),
        ("It is ◉.", [None]),
        ("◉", [None]),
        ("There is a cat ◉, a dog◉ and the salt and pepper◉.", ["a cat", "a dog", "the salt and pepper"]),
        ("Yes. No dog here; the U.S. flag◉", ["the U.S. flag"]),
        ("A 3.5 kg cat◉.", ["A 3.5 kg cat"]),
    ],
)
def test_the_words_before_a_place_name_its_region(text: str, names: list[str | None]) -> None:
    words, places = "", []
    for letter in text:
        if letter == "◉":
            places.append(len(words))
        else:
            words += letter
    assert [None if s is None else words[slice(*s)] for s in name_spans(words, places)] == names


# -- loading ------------------------------------------------------------------------


def test_what_was_saved_answers_as_what_was_made(eye: Eye, photo: Image.Image, model_folder: Path) -> None:
    again = load(str(model_folder), host="tiny:aya_vision", dtype="float32", device="cpu")
    assert same(again.segment(photo, "the red circle"), eye.segment(photo, "the red circle"))
    assert again.name == "talkative"


def test_without_a_packaged_model_one_must_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("perceptiongpt.predict.PACKAGED", tmp_path)
    with pytest.raises(FileNotFoundError, match="name a model folder"):
        load()
    assert PACKAGED.name == "weights"


def test_a_host_that_is_not_fetched_says_how(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PERCEPTIONGPT_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="run `perceptiongpt fetch`"):
        load(model_folder, host="default")


@pytest.mark.parametrize(("host", "why"), [("tiny:none", "choose one of"), ("./nowhere", "cannot be loaded")])
def test_an_unknown_host_is_refused_in_a_sentence(model_folder: Path, host: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as told:
        load(model_folder, host=host)
    assert "\n" not in str(told.value)


def test_a_host_in_a_folder_is_loaded_from_it(model_folder: Path, eye: Eye, photo: Image.Image, tmp_path: Path) -> None:
    host, processor = FAMILIES["aya_vision"]()
    host.save_pretrained(tmp_path / "host")
    processor.save_pretrained(tmp_path / "host")
    again = load(model_folder, host=str(tmp_path / "host"), dtype="float32", device="cpu")
    assert same(again.segment(photo, "the red circle"), eye.segment(photo, "the red circle"))


def test_a_precision_or_device_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="choose auto"):
        chosen_dtype("int3", chosen_device("cpu"))
    for name in ("toaster", "meta", "hpu", "vulkan"):  # unknown, without numbers, without its package, without kernels
        with pytest.raises(ValueError, match="try 'cpu'"):
            chosen_device(name)


def test_an_answer_can_be_cut_by_a_condition(eye: Eye, photo: Image.Image) -> None:
    answer = eye.segment(photo, "the red circle")
    middle = float(np.median(answer.score))
    kept = answer[answer.score >= middle]
    assert 0 < len(kept) <= len(answer)
    assert all(r.score >= middle for r in kept)
    assert same(replace(kept, regions=answer.regions), answer)
