"""Training sources by name, as runs write them: drawn shapes, composed scenes, COCO instances, a JSONL file.

Knows which name means which source. Knows nothing of mixing (data.mix) nor of models.
"""

from __future__ import annotations

from pathlib import Path

from perceptiongpt.data.mix import Source

SHAPES = 4096  # pictures of 64 px: a few megabytes, and some seconds to draw
SCENES = 200_000  # made one by one when asked for


def open_source(name: str, seed: int) -> Source:
    """The source called `name`: "shapes", "scenes:SPLIT", "questions:SPLIT" and "captions:SPLIT" (words alone about
    scenes), "coco:FILE[:PART]", "vqa:FORMAT:FILE[:PART]" (data.vqa), a JSONL file, or a written scenes folder.

    "shapes:N" and "scenes:SPLIT:N" say how many samples there are. Raises ValueError (FileNotFoundError for a path)
    that lists what there is.
    """
    kind, _, rest = name.partition(":")
    if kind == "shapes":
        from perceptiongpt.data.shapes import shapes

        return shapes(_count(rest, SHAPES, name), seed)
    if kind == "scenes":
        from perceptiongpt.data.objects import ObjectLibrary
        from perceptiongpt.data.scenes import SceneStream

        split, _, count = rest.partition(":")
        library = ObjectLibrary.open()
        library.objects(split)  # type: ignore[arg-type]  # refuses a split that does not exist
        return SceneStream(split, seed, _count(count, SCENES, name), library, turns=(2, 5))  # type: ignore[arg-type]
    if kind in ("questions", "captions"):
        from perceptiongpt.data.objects import ObjectLibrary
        from perceptiongpt.data.scene_questions import QuestionStream

        split, _, count = rest.partition(":")
        library = ObjectLibrary.open()
        library.objects(split)  # type: ignore[arg-type]  # refuses a split that does not exist
        n = _count(count, SCENES, name)
        return QuestionStream(split, seed, n, library, captions=kind == "captions")  # type: ignore[arg-type]
    if kind == "vqa":
        from perceptiongpt.data.vqa import read_vqa

        form, _, rest = rest.partition(":")
        file, _, part = rest.rpartition(":") if rest.endswith((":train", ":val", ":all")) else (rest, "", "all")
        return _filled([s for s in read_vqa(form, file, part) if s.turns[-1].text], name)
    if kind == "coco":
        from perceptiongpt.data.coco import Coco

        file, _, part = rest.rpartition(":") if rest.endswith((":train", ":val", ":all")) else (rest, "", "all")
        return _filled(Coco(Path(file).expanduser(), part, seed), name)  # type: ignore[arg-type]
    path = Path(name).expanduser()
    if path.is_dir():
        from perceptiongpt.data.scenes import Scenes

        return _filled(list(Scenes(path).samples()), name)
    if path.suffix == ".jsonl":
        from perceptiongpt.data.jsonl import read_jsonl

        return _filled(list(read_jsonl(path)), name)
    raise ValueError(
        f"there is no source {name!r}; give shapes, scenes:SPLIT, questions:SPLIT, captions:SPLIT, coco:FILE.json, "
        "vqa:FORMAT:FILE, a .jsonl file or a folder made by `perceptiongpt data scenes`"
    )


def _count(text: str, default: int, name: str) -> int:
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} in source {name!r} is no number of samples; write 1 or more")
    return int(text)


def _filled(samples: Source, name: str) -> Source:
    if not len(samples):
        raise ValueError(f"source {name} holds no samples; give a file with at least one line")
    return samples
