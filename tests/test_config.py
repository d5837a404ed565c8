"""Laws of a run's settings: a change reaches its place and nothing else, and what does not fit is refused by name."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from perceptiongpt.config import KEPT, Rates, Run, Stage, Weights, with_changes
from perceptiongpt.model.perception import Settings
from perceptiongpt.presets import PRESETS, preset


def base() -> Run:
    return Run(
        name="x", stages=(Stage(aim="name", steps=10), Stage(steps=20)), settings={"vis_tokens": 1, "decoder_width": 64}
    )


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_builds_and_says_what_it_is(name: str) -> None:
    run = preset(name)
    assert run.name == name
    assert PRESETS[name].__doc__
    Settings(**run.settings)
    assert run.stages and run.data


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'huge'.*tiny"):
        preset("huge")


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("seed=7", ("seed",), 7),
        ("out=runs/other", ("out",), "runs/other"),
        ("host=tiny:llava", ("host",), "tiny:llava"),
        ("start=runs/a/model", ("start",), "runs/a/model"),
        ("clip=2", ("clip",), 2.0),
        ("weights.cell=0", ("weights", "cell"), 0.0),
        ("stages.0.steps=3", ("stages", 0, "steps"), 3),
        ("stages.1.rates.heads=1e-3", ("stages", 1, "rates", "heads"), 1e-3),
        ("stages.1.aim=words", ("stages", 1, "aim"), "words"),
        ("data.0.1=0.5", ("data", 0, 1), 0.5),
        ("data.0.0=shapes", ("data", 0, 0), "shapes"),
        ('data=[["shapes", 1], ["scenes:train", 3]]', ("data",), (("shapes", 1.0), ("scenes:train", 3.0))),
        ("settings.vis_tokens=2", ("settings", "vis_tokens"), 2),
        ('settings.trained_host_modules=["model.a"]', ("settings", "trained_host_modules"), ["model.a"]),
        ("out=a=b", ("out",), "a=b"),
    ],
)
def test_a_change_reaches_its_place_and_nothing_else(change: str, path: tuple[Any, ...], value: Any) -> None:
    before, after = base(), with_changes(base(), [change])
    found: Any = after
    for key in path:
        found = getattr(found, key) if isinstance(key, str) and hasattr(found, key) else found[key]
    assert found == value and type(found) is type(value)
    one, other = asdict(before), asdict(after)
    assert {k for k in other if one[k] != other[k]} <= {path[0]}
    assert asdict(before) == asdict(base())  # nothing given is changed


def test_changes_follow_one_another() -> None:
    run = with_changes(base(), ["stages.0.steps=3", "stages.0.batch=2", "stages.0.steps=4"])
    assert (run.stages[0].steps, run.stages[0].batch, run.stages[1].steps) == (4, 2, 20)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("seed", "key=value"),
        ("speed=1", "'speed'.*name, host"),
        ("weights.speed=1", "'weights.speed'.*text, box_l1"),
        ("stages.0.speed=1", "'stages.0.speed'"),
        ("stages.2.steps=1", "row of 2"),
        ("stages.x.steps=1", "row of 2"),
        ("stages.-1.steps=1", "row of 2"),
        ("seed=fast", "wanted a int"),
        ("seed=1.5", "wanted a int"),
        ("seed=true", "wanted a int"),
        ("clip=fast", "wanted a float"),
        ("clip=NaN", "finite"),
        ("out=5", "wanted a str"),
        ("seed.x=1", "no parts"),
        ("settings.vis_tokens.x=1", "no parts"),
        ("start.x=1", "no parts"),
        ("weights=1", "wanted a Weights"),
        ("stages=5", "wanted a tuple"),
        ("stages.0=5", "wanted a Stage"),
        ('stages=[{"steps": 1}]', "wanted a Stage"),
        ("data.0.0=5", "wanted a str"),
        ("data.0.1=much", "wanted a float"),
        ('data=["shapes"]', "wanted a tuple"),
        ("data=[]", "no data"),
        ("stages=[]", "no stages"),
        ("stages.0.aim=play", "'play'"),
        ("stages.0.steps=0", "at least 1"),
        ("=1", "''"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_by_name(change: str, word: str) -> None:
    with pytest.raises(ValueError, match=word) as refused:
        with_changes(base(), [change])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("aim", KEPT)
def test_a_stage_that_keeps_no_picture_is_refused(aim: str) -> None:
    with pytest.raises(ValueError, match=f"'{aim}' keeps 0 pictures"):
        Stage(aim=aim, keep=0)
    assert Stage(aim="words", keep=0).keep == 0  # which keeps none anyway


def test_every_loss_part_has_a_weight_and_every_group_a_rate() -> None:
    assert set(asdict(Weights())) == {
        *(
            "text",
            "box_l1",
            "box_giou",
            "mask_bce",
            "mask_dice",
            "cell",
            "score",
            "cycle",
            "apart",
            "look",
            "match",
            "name",
        )
    }
    assert set(asdict(Rates())) == {"heads", "rows", "adapter", "vision", "host"}
