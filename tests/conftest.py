"""What many tests share: talkative tiny models, random and in memory, and dialogues and batches about pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from perceptiongpt.core.answer import Region
from perceptiongpt.core.batch import Batch
from perceptiongpt.data.collate import assemble, collate, pad_id
from perceptiongpt.data.render import Renderer
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.model.perception import PerceptionModel, equip
from perceptiongpt.model.store import save
from perceptiongpt.model.tiny import FAMILIES
from perceptiongpt.predict import Eye, load

settings.register_profile("laws", deadline=None)  # no test is timed: a machine may be busy
settings.load_profile("laws")


def talkative(family: str) -> PerceptionModel:
    """A tiny host whose answers are letters with a region now and then: its row of `<vis>` is drawn loud."""
    model = equip(*FAMILIES[family]())
    with torch.no_grad():
        model.vis_row.copy_(0.5 * torch.randn(model.vis_row.shape, generator=torch.Generator().manual_seed(0)))
    return model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(talkative("aya_vision"), tmp_path_factory.mktemp("models") / "talkative", "tiny:aya_vision")


@pytest.fixture(scope="session")
def eye(model_folder: Path) -> Eye:
    return load(model_folder, device="cpu")


@pytest.fixture(params=sorted(FAMILIES))
def any_eye(request: pytest.FixtureRequest) -> Eye:
    """The same for each family of hosts."""
    return Eye(talkative(request.param), request.param)


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """A picture, 50 wide and 40 high."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8))


@pytest.fixture
def photo_file(photo: Image.Image, tmp_path: Path) -> Path:
    photo.save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


# -- a plug-in taken apart: hosts, dialogues and batches for the laws of model/, data/ and train ----------------------


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    """The name of each family of hosts in turn."""
    return request.param


def _equipped(family: str = "aya_vision", seed: int = 0, **settings: Any) -> PerceptionModel:
    host, processor = FAMILIES[family](seed)
    return equip(host, processor, **{"decoder_width": 32, "decoder_depth": 1, **settings}).eval()


@pytest.fixture(scope="session")
def equipped() -> Callable[..., PerceptionModel]:
    """`equipped(family, **settings)`: a fresh small plug-in on a fresh tiny host."""
    return _equipped


@torch.no_grad()
def _stir(model: PerceptionModel, seed: int = 1, place: bool = True) -> PerceptionModel:
    drawn = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if ("host." not in name or ".lora_" in name) and (place or not name.startswith("place.")):
            p.add_(0.05 * torch.randn(p.shape, generator=drawn))
    # A long random row: <vis> wins wherever it happens to point the way of the state, about every other token.
    model.vis_row.copy_(2.0 * torch.randn(model.vis_row.shape, generator=drawn))
    return model


@pytest.fixture(scope="session")
def stir() -> Callable[..., PerceptionModel]:
    """`stir(model)`: as if trained. Nothing added is zero any more, and `<vis>` is said now and then."""
    return _stir


def _picture(seed: int = 0, size_wh: tuple[int, int] = (40, 30)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 5, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize(size_wh, Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image.Image]:
    """`picture(seed, size_wh)`: soft blobs of colour."""
    return _picture


def _region(parts: str, at: int = 0) -> Region:
    x, y = 4 + 3 * at, 5 + 2 * at
    mask = np.zeros((30, 40), bool)
    mask[y : y + 10, x : x + 12] = True
    known = {"box": (x, y, x + 12, y + 10), "mask": mask, "point": (x + 6.0, y + 5.0)}
    return Region(**{k: known[k] for k in parts.split("+")}, label=f"thing {at}")


@pytest.fixture(scope="session")
def region() -> Callable[..., Region]:
    """`region(parts, at)`: in a picture of 40 x 30; parts is any of box, mask, point joined by +, `at` moves it."""
    return _region


@pytest.fixture(scope="session")
def sample() -> Callable[..., Sample]:
    """`sample(said=[parts], shown=[parts])`: a question showing regions, an answer with some; seed -1: no picture."""

    def make(
        said: Sequence[str] = (), shown: Sequence[str] = (), seed: int = 0, words: str = "where is the red"
    ) -> Sample:
        asked = tuple(_region(p, i) for i, p in enumerate(shown))
        found = tuple(_region(p, i + 2) for i, p in enumerate(said))
        question = words + "".join(f" {{{i}}}" for i in range(len(asked))) + "?"
        answer = "the red circle is" + "".join(f" {{{i}}} in" for i in range(len(found))) + " the left"
        image = _picture(seed) if seed >= 0 else None
        return Sample(image, (Turn("user", question, asked), Turn("assistant", answer, found)))

    return make


def _renderer(model: PerceptionModel) -> Renderer:
    return Renderer(model.backbone.processor, **model.spelling())


@pytest.fixture(scope="session")
def renderer() -> Callable[[PerceptionModel], Renderer]:
    """`renderer(model)`: what training and asking render with."""
    return _renderer


@pytest.fixture(scope="session")
def batch() -> Callable[..., Batch]:
    """`batch(model, samples)`: the samples collated for training."""

    def make(model: PerceptionModel, samples: Sequence[Sample], seed: int = 0) -> Batch:
        return collate(samples, _renderer(model), model.backbone, np.random.default_rng(seed))

    return make


@pytest.fixture(scope="session")
def prompts() -> Callable[..., Batch]:
    """`prompts(model, samples)`: the questions of the samples, padded on the left, with their pictures' pixels."""

    def make(model: PerceptionModel, samples: Sequence[Sample]) -> Batch:
        held, render = model.backbone, _renderer(model)
        canvases = [None if s.image is None else held.canvas(s.image.size) for s in samples]
        views = [c.view(s.image) for s, c in zip(samples, canvases, strict=True) if c is not None]
        rendered = [
            render.asking(s.turns[:-1], 0 if c is None else held.spelled(c))
            for s, c in zip(samples, canvases, strict=True)
        ]
        return assemble(rendered, canvases, held.pixels(views), pad_id(render.tokenizer), left=True)

    return make
