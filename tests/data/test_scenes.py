"""Laws of scenes: the same seed gives the same bytes, masks are what is visible, expressions mean what they say."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from perceptiongpt.core.masks import decode_rle, mask_to_box
from perceptiongpt.data.objects import SPLITS, ObjectLibrary
from perceptiongpt.data.scene_compose import BIGGEST_CROWD, LEAST_AREA, LEAST_VISIBLE, SceneObject, _varied
from perceptiongpt.data.scene_expressions import express
from perceptiongpt.data.scene_referents import Referents
from perceptiongpt.data.scenes import Scene, Scenes, SceneStream, make_scene, scene_samples, write_scenes


@pytest.fixture(scope="module")
def scenes(library: ObjectLibrary) -> list[Scene]:
    return [make_scene(library, "train", 0, i) for i in range(120)]


def thing(name: str, box: tuple[int, int, int, int], **changes: object) -> SceneObject:
    """A rectangle in a picture of 200 x 100 pixels."""
    mask = np.zeros((100, 200), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    kind = name.rpartition(" ")[2]
    plain = SceneObject(name, kind, None, mask, tuple(map(float, box)), 1.0, name, True)
    return dataclasses.replace(plain, **changes)


def said(*things: SceneObject, absent: tuple[str, ...] = ()) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Everything that is ever said of a picture in 40 draws: phrase -> (kind, targets)."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for seed in range(40):
        for e in express(things, (200, 100), absent, np.random.default_rng(seed), most=30):
            assert found.setdefault(e.phrase, (e.kind, e.targets)) == (e.kind, e.targets)
    return found


def test_the_same_seed_and_split_give_the_same_bytes(library: ObjectLibrary) -> None:
    again = ObjectLibrary.open(library.folder)
    for i in (5, 0, 3):  # the order of asking changes nothing
        a, b = make_scene(library, "train", 1, i), make_scene(again, "train", 1, i)
        assert a.image.tobytes() == b.image.tobytes()
        assert a.expressions == b.expressions and a.id == b.id
        assert all((x.mask == y.mask).all() for x, y in zip(a.objects, b.objects, strict=True))
    assert make_scene(library, "train", 2, 0).image.tobytes() != make_scene(library, "train", 1, 0).image.tobytes()
    assert make_scene(library, "val", 1, 0).image.tobytes() != make_scene(library, "test", 1, 0).image.tobytes()


def test_masks_are_what_is_visible_and_boxes_are_tight(scenes: list[Scene]) -> None:
    hidden = 0
    for scene in scenes:
        width, height = scene.image.size
        assert (scene.image.mode == "RGB" and 240 <= height <= 400 and 225 <= width <= 400) or height == 225
        assert all(o.mask.shape == (height, width) and o.box == mask_to_box(o.mask) for o in scene.objects)
        if scene.objects:
            assert np.sum([o.mask for o in scene.objects], axis=0).max() == 1  # a pixel has one owner
        for o in scene.objects:
            assert 0 < o.visible_share <= 1
            assert o.askable == (o.visible_share >= LEAST_VISIBLE and o.mask.mean() >= LEAST_AREA)
            hidden += o.visible_share < 0.95
    assert hidden > 10  # things do cover one another


def test_a_mask_lies_on_the_things_own_paint(library: ObjectLibrary) -> None:
    paint = {"red": 0, "green": 1, "blue": 2}
    right = []
    for i in range(60):
        scene = make_scene(library, "train", 3, i)
        pixels = np.asarray(scene.image).astype(float)
        for o in scene.objects:
            if o.colour in paint:
                inside = pixels[o.mask].mean(0)
                right.append(int(inside.argmax()) == paint[o.colour])
    assert len(right) > 50 and np.mean(right) > 0.98


def test_in_training_a_thing_has_many_looks_keeps_its_colour_and_stays_whole_on_its_foot() -> None:
    cut = Image.new("RGBA", (60, 40))
    cut.paste((200, 60, 40, 255), (6, 4, 54, 40))
    for grounded in (True, False):
        looks = [np.asarray(_varied(cut, grounded, np.random.default_rng(i))) for i in range(20)]
        assert len({look.tobytes() for look in looks}) == 20 and {look.shape for look in looks} == {(40, 60, 4)}
        for look in looks:
            solid = look[..., 3] > 127
            assert 0.25 < solid.mean() < 0.85 and (look[solid][:, :3].argmax(-1) == 0).all()
            assert solid[-1].any() or not grounded
            ends = (solid[:, 0], solid[:, -1], solid[0])
            assert sum(int(end.sum()) for end in ends) < 0.1 * solid.sum()  # nothing is cut off


def test_only_pictures_to_train_on_are_varied(library: ObjectLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {split: make_scene(library, split, 0, 0).image.tobytes() for split in SPLITS}
    monkeypatch.setattr("perceptiongpt.data.scene_compose._varied", lambda cut, grounded, rng: cut)
    again = {split: make_scene(library, split, 0, 0).image.tobytes() for split in SPLITS}
    assert [split for split in SPLITS if plain[split] != again[split]] == ["train"]


def test_every_expression_is_asked_of_things_that_can_be_seen(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert len({e.phrase for e in scene.expressions}) == len(scene.expressions) <= 8
        for e in scene.expressions:
            assert all(scene.objects[i].askable for i in e.targets)
            assert len(set(e.targets)) == len(e.targets)
            assert (e.kind == "none") == (not e.targets)
            assert (len(e.targets) > 1) == (e.kind == "group")
            middles = [sum(scene.objects[i].box[::2]) for i in e.targets]
            assert middles == sorted(middles)  # left to right


def test_names_and_colours_are_unique_when_judged_again(scenes: list[Scene]) -> None:
    judged = Counter()
    for scene in scenes:
        for e in scene.expressions:
            noun = re.sub(r"^(the|all the) ", "", e.phrase)
            colour, _, rest = noun.partition(" ")
            if e.kind == "name":
                meant = [i for i, o in enumerate(scene.objects) if noun in (o.name, o.kind)]
            elif e.kind == "colour":
                meant = [
                    i
                    for i, o in enumerate(scene.objects)
                    if (rest in (o.name, o.kind) or rest == "object") and o.colour == colour
                ]
            elif e.kind == "none" and colour in ("red", "blue", "green", "white"):
                meant = [i for i, o in enumerate(scene.objects) if rest in (o.name, o.kind) and o.colour == colour]
            else:
                continue
            assert tuple(meant) == e.targets, e.phrase
            judged[e.kind] += 1
    assert min(judged[k] for k in ("name", "colour", "none")) > 5


def test_the_mix_of_kinds_is_near_what_was_wanted(library: ObjectLibrary) -> None:
    kinds = Counter(e.kind for i in range(200) for e in make_scene(library, "train", 9, i).expressions)
    share = {kind: n / kinds.total() for kind, n in kinds.items()}
    assert set(share) == {"name", "colour", "place", "size", "relation", "ordinal", "group", "none"}
    assert 0.25 < share["name"] < 0.55
    assert 0.04 < share["none"] < 0.2
    assert 3 <= kinds.total() / 200 <= 8


def test_two_of_a_kind_are_told_apart_and_never_named_alone() -> None:
    phrases = said(
        thing("dog", (10, 40, 40, 60), colour="red"),
        thing("dog", (120, 35, 190, 85), colour="blue"),
        thing("key", (60, 30, 80, 50)),
    )
    assert "the dog" not in phrases
    assert phrases["the key"] == ("name", (2,))
    assert phrases["the red dog"] == ("colour", (0,))
    assert phrases["the dog on the left"] == ("place", (0,))
    assert phrases["the rightmost dog"] == ("place", (1,))
    assert phrases["the bigger dog"] == ("size", (1,))
    assert phrases["the smaller dog"] == ("size", (0,))
    assert phrases["all the dogs"] == ("group", (0, 1))
    assert phrases["both dogs"] == ("group", (0, 1))
    assert phrases["the dog right of the key"] == ("relation", (1,))
    assert "the green dog" in phrases or "the yellow dog" in phrases


def test_ordinals_need_three_of_a_kind_and_count_from_the_named_side() -> None:
    row = [thing("cup", (x, 40, x + 20, 60)) for x in (150, 10, 80)]
    phrases = said(*row)
    assert phrases["the first cup from the left"] == ("ordinal", (1,))
    assert phrases["the second cup from the left"] == phrases["the second cup from the right"] == ("ordinal", (2,))
    assert phrases["the first cup from the right"] == ("ordinal", (0,))
    assert phrases["all the cups"] == ("group", (1, 2, 0))
    assert not any(kind == "ordinal" for kind, _ in said(*row[:2]).values())


def test_the_largest_crowd_can_be_counted_through() -> None:
    crowd = [thing("mug", (20 * i, 10, 20 * i + 12, 60)) for i in range(BIGGEST_CROWD)]
    found = said(*crowd)
    assert found["the ninth mug from the left"] == ("ordinal", (8,))
    assert found["the tenth mug from the right"] == ("ordinal", (0,)) == found["the first mug from the left"]


def test_what_is_hidden_spoils_an_expression_but_is_never_asked_for() -> None:
    hidden = thing("cup", (150, 40, 155, 44), askable=False, visible_share=0.2)
    phrases = said(thing("cup", (10, 40, 40, 60)), hidden)
    assert not any(1 in targets for _, targets in phrases.values())
    assert "the cup" not in phrases and "all the cups" not in phrases and "both cups" not in phrases


def test_a_noun_that_might_mean_somebody_else_is_not_used() -> None:
    phrases = said(thing("mug", (10, 40, 40, 60)), thing("cup", (100, 40, 140, 60)), thing("lamp", (60, 0, 80, 30)))
    assert "the mug" not in phrases and "the cup" not in phrases
    assert phrases["the lamp"] == ("name", (2,))
    assert Referents((thing("table lamp", (0, 0, 9, 9)),), (200, 100)).called("table") is None


def test_near_colours_do_not_tell_things_apart() -> None:
    a, b = (10, 40, 40, 60), (100, 40, 140, 60)
    assert "the red key" not in said(thing("key", a, colour="red"), thing("key", b, colour="orange"))
    assert "the red key" not in said(thing("key", a, colour="red"), thing("key", b, colour=None))
    assert said(thing("key", a, colour="red"), thing("key", b, colour="blue"))["the red key"] == ("colour", (0,))


def test_things_that_are_there_are_never_called_absent() -> None:
    phrases = said(thing("sofa", (10, 40, 60, 70), colour="red"), absent=("couch", "sofa", "anvil", "tree", "red sofa"))
    absent = {p for p, (kind, _) in phrases.items() if kind == "none"}
    assert absent & {"the anvil", "all the anvils"}
    assert not absent & {"the couch", "the sofa", "the tree", "the red sofa", "the orange sofa"}


def test_relations_hold_for_one_only() -> None:
    left, right = thing("fork", (5, 40, 25, 60)), thing("fork", (60, 40, 80, 60))
    plate = thing("vase", (110, 40, 150, 60))
    assert not any("fork left of" in p for p in said(left, right, plate))  # both are
    assert said(left, thing("fork", (170, 40, 190, 60)), plate)["the fork left of the vase"] == ("relation", (0,))


def test_every_sample_is_a_dialogue_about_its_scene(scenes: list[Scene]) -> None:
    tasks = Counter()
    for k, scene in enumerate(scenes[:60]):
        sample = scene_samples(scene, np.random.default_rng(k))
        assert sample.image is scene.image and sample.id == scene.id
        assert 2 <= len(sample.turns) <= 14
        known = {o.box: o for o in scene.objects}
        for question, answer in zip(sample.turns[::2], sample.turns[1::2], strict=True):
            for region in answer.regions:
                o = known[region.box]
                assert region.mask is o.mask and region.label == o.name
            for region in question.regions:
                assert region.box is None or region.box in known
                if region.point:
                    x, y = region.point
                    assert any(o.mask[int(y), int(x)] for o in scene.objects)
            tasks["shown" if question.regions else "found" if answer.regions else "said"] += 1
    assert min(tasks.values()) > 10 and tasks["found"] > sum(tasks.values()) / 2


def test_novel_pictures_ask_for_novel_kinds_only(library: ObjectLibrary) -> None:
    asked = set()
    for i in range(40):
        scene = make_scene(library, "novel", 0, i)
        for e in scene.expressions:
            asked |= {scene.objects[t].kind for t in e.targets}
    assert asked == {"robot", "medal"}


def test_a_picture_holds_only_its_splits_objects(library: ObjectLibrary) -> None:
    for split in SPLITS[:3]:
        own = {o.id for o in library.objects(split)}
        assert {o.object_id for i in range(10) for o in make_scene(library, split, 0, i).objects} <= own


def test_a_stream_is_what_make_scene_makes(library: ObjectLibrary) -> None:
    stream = SceneStream("train", 5, 4, library, turns=(2, 2))
    assert len(stream) == 4 == len(list(stream))
    assert stream[1].image.tobytes() == stream[-3].image.tobytes()
    assert stream[1].image.tobytes() == make_scene(library, "train", 5, 1).image.tobytes()
    assert all(len(stream[i].turns) <= 4 for i in range(4))
    with pytest.raises(IndexError):
        stream[4]


def test_scenes_of_several_of_a_kind_ask_for_all_of_them_and_for_one_among_them() -> None:
    stream = SceneStream("train", 3, 12, ObjectLibrary.open(), turns=(2, 5), flavour="alike")
    said = [[len(t.regions) for t in sample.turns[1::2]] for sample in stream]
    assert sum(max(counts) > 1 for counts in said) >= 3 and sum(1 in counts for counts in said) >= 6
    assert max(map(max, said)) > 3


def test_what_is_missing_is_answered_by_a_region_that_is_nowhere(library: ObjectLibrary) -> None:
    found = [
        r for s in SceneStream("train", 3, 8, library, flavour="missing") for t in s.turns[1::2] for r in t.regions
    ]
    nowhere = [r for r in found if r.mask is not None and not r.mask.any()]
    assert 0.25 < len(nowhere) / len(found) < 0.75


def test_written_scenes_are_read_back(library: ObjectLibrary, tmp_path: Path) -> None:
    out = write_scenes(tmp_path / "out", "val", 6, 3, library)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    folder = Scenes(out)
    samples, stream = list(folder.samples()), SceneStream("val", 3, 6, library)
    for i, sample in enumerate(samples):
        assert sample.image == out / f"images/{i:06d}.jpg"
        assert Image.open(sample.image).size == stream[i].image.size
        assert [t.text for t in sample.turns] == [t.text for t in stream[i].turns]
        for was, now in zip(stream[i].turns, sample.turns, strict=True):
            for a, b in zip(was.regions, now.regions, strict=True):
                assert a.box == b.box and a.point == b.point
                assert (a.mask is None and b.mask is None) or (a.mask == b.mask).all()
    rows = list(folder.expressions())
    expected = [e for i in range(6) for e in make_scene(library, "val", 3, i).expressions]
    assert [(r["phrase"], r["kind"], len(r["boxes"])) for r in rows] == [
        (e.phrase, e.kind, len(e.targets)) for e in expected
    ]
    for row in rows:
        assert row["image"].is_file()
        for box, rle in zip(row["boxes"], row["masks"], strict=True):
            assert mask_to_box(decode_rle(rle)) == tuple(box)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in pycocotools
def test_the_annotations_are_coco(library: ObjectLibrary, tmp_path: Path) -> None:
    out = write_scenes(tmp_path / "out", "test", 4, 0, library)
    coco = COCO(out / "annotations.json")
    assert len(coco.imgs) == 4
    for note in coco.anns.values():
        mask = coco.annToMask(note)
        assert mask.sum() == note["area"]
        x, y, w, h = note["bbox"]
        assert mask_to_box(mask.astype(bool)) == (x, y, x + w, y + h)
        assert coco.cats[note["category_id"]]["name"] == note["name"].rpartition(" ")[2]


def test_writing_twice_gives_the_same_bytes_with_workers_too(library: ObjectLibrary, tmp_path: Path) -> None:
    a = write_scenes(tmp_path / "a", "train", 3, 1, library)
    b = write_scenes(tmp_path / "b", "train", 3, 1, library, workers=1)
    files = sorted(p.relative_to(a) for p in a.rglob("*") if p.is_file())
    assert len(files) == 6
    for file in files:
        assert (a / file).read_bytes() == (b / file).read_bytes(), file


def test_a_filled_folder_is_refused_and_a_failure_leaves_nothing(
    library: ObjectLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not an empty folder; name another"):
        write_scenes(tmp_path / "full", "train", 1, 0, library)
    monkeypatch.setattr(json, "dumps", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_scenes(tmp_path / "new", "train", 1, 0, library)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"]


def test_bad_wishes_are_refused(library: ObjectLibrary, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="count"):
        make_scene(library, "train", 0, 0, count=(3, 2))
    with pytest.raises(ValueError, match="seed -1"):
        make_scene(library, "train", -1, 0)
    with pytest.raises(ValueError, match="'dev' came"):
        make_scene(library, "dev", 0, 0)
    with pytest.raises(ValueError, match="0 scenes"):
        write_scenes(tmp_path / "x", "train", 0, 0, library)
    with pytest.raises(FileNotFoundError, match=r"no samples\.jsonl"):
        Scenes(tmp_path)
