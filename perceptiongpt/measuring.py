"""The commands that measure: evaluate and calibrate ask a model, score reads answers, compare sets two side by side.

Knows which files they read and write. Knows nothing of the command line's grammar (cli.py).
"""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from perceptiongpt.ends import open_eye, writable, write_whole

ENDS = ("more", "counted", "alike")  # what only a model that enumerates has
TEST_SPLITS = {"test", "testA", "testB", "novel"}


def evaluate(told: Namespace) -> None:
    """evaluate MODEL: ask, keep the answers, judge, write numbers, protocol and report, print the table."""
    from perceptiongpt import evaluate as verb
    from perceptiongpt.answers import AnswerFile
    from perceptiongpt.card import run_card
    from perceptiongpt.judging import measured
    from perceptiongpt.questions import questions_of

    target, similarity = writable(told.json) if told.json else None, _similarity(told.wordnet)
    asked, data = questions_of(told.data)
    model, n = (None if told.model == "default" else told.model), 24 if told.quick else told.n
    with redirect_stdout(sys.stderr):
        eye = open_eye(model, told)
        asked, words = _fit(eye, asked)
        run = run_card(eye, data, told.max_new_tokens, told.batch, words)
        folder = _run_folder(told.out, run)
        ask = None
        if told.workers > 1:
            import torch

            threads = max(1, torch.get_num_threads() // told.workers)
            how = {"model": model, **{k: getattr(told, k) for k in ("host", "dtype", "device", "min_score")}}
            ask = verb.Workers(told.workers, how, threads)
        kept = AnswerFile(folder / "answers.jsonl")
        pairs = verb.evaluate(eye, asked, n, told.batch, kept, None, told.max_new_tokens, ask)
        forced = verb.teacher_forced(eye, questions_of(told.data)[0], n) if told.teacher_forced else None
    title = f"{eye.name} on {data}"
    _judge(measured(pairs, similarity), run, told.data, folder, target, title, forced and measured(forced))


def calibrate(told: Namespace) -> None:
    """calibrate MODEL: ask with nothing left out, fit the scores, choose the least one, write both into the config."""
    import json

    from perceptiongpt import evaluate as verb
    from perceptiongpt.calibrate import calibrate as fitted
    from perceptiongpt.core.operating import OperatingPoint
    from perceptiongpt.judging import measured
    from perceptiongpt.model import store
    from perceptiongpt.questions import questions_of

    if TEST_SPLITS & {Path(part).name for part in told.data.split(":")}:
        raise ValueError(
            f"{told.data} is a test split, and what is chosen on one flatters its numbers; give scenes:val"
        )
    folder = store.model_folder(told.model)
    config, file = store.read_config(folder), writable(str(folder / store.CONFIG))
    asked, data = questions_of(told.data)
    with redirect_stdout(sys.stderr):
        eye = open_eye(str(folder), told)
        asked, words = _fit(eye, asked)
        if words or eye.renderer.answer_format != "vis":
            raise ValueError(f"answers of {eye.name} to {data} have no scores; calibrate a model that says regions")
        ends = _ends(eye, told) if eye.model.settings.enumerates else {}
        eye.as_found, eye.operating = False, OperatingPoint(**ends)
        # `agree` is chosen by decoded boxes; what a slice shows is judged by scores that are calibrated already.
        eye.model.settings = replace(eye.model.settings, follows_edges=False, looks_sliced=False)
        pairs, ends["tinted"] = _tinted(eye, told, verb.evaluate(eye, asked, told.n, told.batch))
    point, found = fitted(measured(pairs), told.t_acc, **ends)
    config = {**config, store.OPERATING: asdict(point)}
    write_whole(file, lambda out: out.write((json.dumps(config, indent=1) + "\n").encode()))
    raw, sure, none = found["raw"], found["calibrated"], found["rejection"]
    print(f"{data}, {len(pairs)} questions, {sure['n']} of them answered with a region")
    chosen = {k: v for k, v in asdict(point).items() if "more" in ends or k not in ENDS}
    print("  ".join(f"{name} {value:g}" for name, value in chosen.items()))
    print(f"ECE {raw['ece']:.4f} before, {sure['ece']:.4f} after; AURC {sure['aurc']:.4f}")
    n_acc = "–" if none["n_acc"] is None else f"{none['n_acc']:.4f}"
    print(f"at min_score: T-acc {none['t_acc']:.4f} (n {none['n_some']}), N-acc {n_acc} (n {none['n_none']})")
    if none["t_acc"] < told.t_acc:
        print(f"T-acc {told.t_acc:g} is out of reach: the model itself says too often that there is none")
    print(f"written to {file}")


def _ends(eye: Any, told: Namespace) -> dict[str, float]:
    """The `more`, the `counted` and the `alike` of a model that enumerates, as scores are born: by groups of composed
    scenes and questions for numbers about them, or by what groups other data have. Leaves the eye as it was asked, with
    nothing ended or sorted."""
    from perceptiongpt import evaluate as verb
    from perceptiongpt.calibrate import ALIKE, MORE, count_end, group_end
    from perceptiongpt.core.operating import OperatingPoint
    from perceptiongpt.data.phrases import answer_count
    from perceptiongpt.data.scene_talk import COUNTS_UP_TO
    from perceptiongpt.questions import questions_of

    def asked(data: str, n: int, alike: float = 0.0) -> list[Any]:
        eye.operating = OperatingPoint(more=min(MORE), alike=alike)
        return verb.evaluate(eye, questions_of(data)[0], n, told.batch)

    kind, _, rest = told.data.partition(":")
    split, _, seed = rest.partition(":")
    eye.as_found = True
    if kind != "scenes":
        return {"more": group_end(asked(told.data, told.n))}
    chosen = {"more": group_end(asked(f"groups:{split}:{seed or 1}", max(8, told.n // 8)))}
    number, best = {answer_count(n): n for n in range(COUNTS_UP_TO + 1)}, -1.0
    for alike in ALIKE:
        pairs = asked(f"questions:{split}:{seed or 1}:count", max(8, told.n // 3), alike)
        counted, right = count_end([(pair, number[pair.question.answers[0]]) for pair in pairs])
        if right > best:
            best, chosen = right, chosen | {"counted": counted, "alike": alike}
    return chosen


def _tinted(eye: Any, told: Namespace, pairs: list[Any]) -> tuple[list[Any], float]:
    """The answers with the `tinted` that makes them likeliest, and that: what a phrase's colour asks of is asked anew.
    Of a model that counts no colours, as they are, and 0."""
    from perceptiongpt import evaluate as verb
    from perceptiongpt.calibrate import TINTED, likelihood
    from perceptiongpt.questions import questions_of
    from perceptiongpt.tinted import named_colour

    coloured = {p.question.id for p in pairs if p.question.points and named_colour(p.question.phrase)}
    if not coloured or not eye.model.settings.region_colours:
        return pairs, 0.0
    untinted, kept, best, chosen = eye.operating, pairs, likelihood(pairs), 0.0
    for tinted in TINTED:
        eye.operating = replace(untinted, tinted=tinted)
        again = _those(questions_of(told.data)[0], coloured)
        other = {p.question.id: p for p in verb.evaluate(eye, again, len(coloured), told.batch)}
        tried = [other.get(p.question.id, p) for p in pairs]
        if (worth := likelihood(tried)) > best:
            best, chosen, kept = worth, tinted, tried
    return kept, chosen


def _those(asked: Iterable[Any], ids: set[str]) -> Iterator[Any]:
    """Pictures with those of their questions that have these ids, until all came."""
    left = len(ids)
    for one in asked:
        some = tuple(q for q in one.questions if q.id in ids)
        left -= len(some)
        if some:
            yield replace(one, questions=some)
        if not left:
            return


def score(told: Namespace) -> None:
    """score PREDICTIONS: judge answers that some program gave, ours or another's."""
    from perceptiongpt.foreign import read_predictions, truth
    from perceptiongpt.judging import measured
    from perceptiongpt.questions import questions_of

    target, similarity = writable(told.json) if told.json else None, _similarity(told.wordnet)
    asked, data = questions_of(told.data)
    questions = _first(asked, told.n)
    if told.predictions == told.data:
        pairs, reading = truth(questions)
    else:
        pairs, reading = read_predictions(told.predictions, questions, told.format, told.coordinates)
    run = {"answers": f"read from {Path(told.predictions).name}", "data": data, "model": "not ours to say", **reading}
    folder = Path(told.out).expanduser() if told.out else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    title = f"{Path(told.predictions).name} on {data}"
    _judge(measured(pairs, similarity), run, told.data, folder, target, title, None)


def compare(told: Namespace) -> None:
    """compare A B: the second's numbers minus the first's over the questions that both answered."""
    from perceptiongpt.compare import compared, comparison_page, comparison_table
    from perceptiongpt.foreign import read_predictions
    from perceptiongpt.judging import measured
    from perceptiongpt.questions import questions_of
    from perceptiongpt.tables import to_json

    target, similarity = writable(told.json) if told.json else None, _similarity(told.wordnet)
    page = writable(told.output) if told.output else None
    questions = _first(questions_of(told.data)[0], told.n)
    first, second = (
        measured(read_predictions(file, questions, told.format, told.coordinates)[0], similarity)
        for file in (told.first, told.second)
    )
    result = compared(first, second)
    if target is not None:
        write_whole(target, lambda file: file.write(to_json(result).encode()))
    if page is not None:
        html = comparison_page(result, first, second, questions_of(told.data)[0], (told.first, told.second))
        write_whole(page, lambda file: file.write(html.encode()))
    print(comparison_table(result, (told.first, told.second)))


def _first(asked: Any, n: int) -> list[Any]:
    from itertools import islice

    questions = list(islice((q for one in asked for q in one.questions), n))
    if not questions:
        raise ValueError("the data hold no questions, so nothing can be judged; give data with at least one")
    return questions


def _similarity(wordnet: str | None) -> Any:
    """Of two nouns, by the WordNet folder that was named; None for none."""
    from perceptiongpt.wordnet import WordNet

    return WordNet(wordnet).similarity if wordnet else None


def _fit(eye: Any, asked: Any) -> tuple[Any, bool]:
    """The questions again, and whether they want words; ValueError where a model that only asks can't answer them."""
    from itertools import chain

    first: list[Any] = []
    for one in asked:
        first.append(one)
        if one.questions:
            break
    questions = [q for one in first for q in one.questions]
    if not eye.model.settings.points and any(q.points or q.shown for q in questions):
        raise ValueError(f"{eye.name} only answers in words; evaluate it on questions, such as --data questions:test")
    return chain(first, asked), not any(q.points for q in questions)


def _run_folder(out: str | None, run: dict[str, Any]) -> Path:
    """Where a run's answers are kept; refused where another run's are."""
    import json

    from perceptiongpt.core.operating import OperatingPoint
    from perceptiongpt.data.files import read_json

    name = re.sub(r"[^\w.-]+", "-", f"{run['model']}-{run['model_sha256'][:8]}-{run['data']}")
    folder = Path(out).expanduser() if out else Path("runs/evaluate") / name
    folder.mkdir(parents=True, exist_ok=True)
    card = folder / "run.json"
    if card.is_file():
        before = read_json(card, "another folder with --out")
        if isinstance(before, dict):  # runs of before there were operating points changed nothing by one
            kept = before.get("operating_point", {})
            before["operating_point"] = asdict(OperatingPoint()) | kept if isinstance(kept, dict) else kept
        names = [*run, *before] if isinstance(before, dict) else [*run]
        told = [k for k in names if k not in ("batch", "device", "model")]
        other = [k for k in told if not isinstance(before, dict) or before.get(k) != run.get(k)]
        if other:
            raise ValueError(f"{folder} holds answers of a run with another {other[0]}; name another with --out")
    elif (folder / "answers.jsonl").exists():
        raise ValueError(f"{folder} holds answers of an unknown run; name another with --out")
    write_whole(card, lambda file: file.write((json.dumps(run, indent=1) + "\n").encode()))
    return folder


def _judge(
    rows: Any, run: dict[str, Any], data: str, folder: Path | None, target: Path | None, title: str, forced: Any
) -> None:
    """Numbers, protocol card and report of measured answers: to files, and a table to stdout."""
    from perceptiongpt.card import protocol
    from perceptiongpt.judging import judged
    from perceptiongpt.questions import questions_of
    from perceptiongpt.report import report
    from perceptiongpt.tables import table, to_json

    result = judged(rows)
    if forced is not None:
        result["teacher_forced"] = {k: v for k, v in judged(forced).items() if k in ("rec", "res")}
    result["protocol"] = protocol(run, [row.pair for row in rows], seed=0)
    for path in filter(None, (target, folder and folder / "metrics.json")):
        write_whole(path, lambda file: file.write(to_json(result).encode()))
    if folder is not None:
        write_whole(folder / "protocol.json", lambda file: file.write(to_json(result["protocol"]).encode()))
        page = report(result, rows, questions_of(data)[0], title)
        write_whole(folder / "report.html", lambda file: file.write(page.encode()))
    print(table(result))
    if folder is not None:
        print(f"answers, numbers, protocol and report are in {folder}")
