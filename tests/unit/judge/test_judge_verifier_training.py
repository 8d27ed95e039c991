"""Training of the verifier on a small made-up directory of recorded answers: the services say what training measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judge_service.adapters.onnx_verifier import load_verifier
from judge_service.domain.candidates import Candidate, Case, Speaker, Turn
from judge_service.domain.verifier import Verifier
from judge_service.domain.verifier_features import ANSWER_FEATURES

pa: Any = pytest.importorskip("pyarrow", reason="needs the extra `recorded`")
pq: Any = pytest.importorskip("pyarrow.parquet")
corpora: Any = pytest.importorskip("training.verifier_corpus")

MODELS = ("plain", "hasty", "lost")


def recorded(folder: Path, questions: int) -> Path:
    """Sums, two thirds with four options. `plain` is mostly right, `lost` mostly wrong and says so; a fifth is held out."""
    rng = np.random.default_rng(5)
    asked: list[dict[str, Any]] = []
    answered: list[dict[str, Any]] = []
    for number in range(questions):
        one, two = (int(value) for value in rng.integers(2, 50, 2))
        options = [one + two, one * two, one - two, one + two + 1]
        letters = rng.permutation(4)
        lines = "\n".join(f"({'ABCD'[place]}) {options[which]}" for place, which in enumerate(letters))
        key = "ABCD"[int(np.flatnonzero(letters == 0)[0])]
        has_options = number % 3 > 0
        prompt = f"What is {one} plus {two}?" + (f"\nOptions:\n{lines}\nAnswer:" if has_options else "")
        name = f"sums/{number:04}"
        asked.append(
            {
                "question_id": name,
                "arena": "mmlupro",
                "dataset": "sums",
                "domain": "math",
                "subdomain": "math",
                "question": prompt,
                "prompt": prompt,
                "reference": key if has_options else str(one + two),
                "split": "dev" if number % 5 == 0 else "train",
            }
        )
        for model, rate in zip(MODELS, (0.9, 0.6, 0.2), strict=True):
            right = bool(rng.random() < rate)
            letter = key if right else "ABCD"[("ABCD".index(key) + 1) % 4]
            doubt = "" if right or rng.random() < 0.2 else "However, it is unclear which is closest. "
            said = f"{doubt}We add: {one} + {two} = {one + two if right else one + two + 3}. The answer is "
            said += f"({letter})." if has_options else f"{one + two if right else one + two + 3}."
            answered.append({"question_id": name, "arena": "mmlupro", "model": model, "response": said, "correct": right})
    answered.append({"question_id": "sums/0001", "arena": "mmlupro", "model": "unlabelled", "response": "?", "correct": None})
    pq.write_table(pa.Table.from_pylist(asked), folder / "questions.parquet")
    pq.write_table(pa.Table.from_pylist(answered), folder / "responses.parquet")
    return folder


def test_the_corpus_is_what_the_directory_holds(tmp_path: Path) -> None:
    said: list[str] = []
    corpus = corpora.read_corpus(recorded(tmp_path, 20), answers_max=2, processes=1, tell=said.append)
    train = corpus.train[corpus.question]
    assert len(corpus.questions) == 20
    assert int(corpus.train.sum()) == 16
    assert (int(train.sum()), int((~train).sum())) == (16 * 2, 4 * 3)
    assert set(corpus.model.tolist()) == set(MODELS)
    chosen = np.array([sheet.choice for sheet in corpus.sheets])
    offered = corpus.key[corpus.question] >= 0
    assert (chosen[~offered] == -1).all()
    assert ((chosen == corpus.key[corpus.question]) == (corpus.correct == 1))[offered].all()
    assert 0 < offered.sum() < len(offered)
    right_sums = corpus.features[:, ANSWER_FEATURES.index("a_arith_right")]
    assert right_sums.tolist() == corpus.correct.tolist()


def test_a_missing_directory_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"questions\.parquet"):
        corpora.read_corpus(tmp_path, answers_max=2, processes=1, tell=print)


def test_the_service_says_what_training_measured(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm", reason="needs the extra `training`")
    pytest.importorskip("onnxmltools", reason="needs the extra `training`")
    verifier: Any = pytest.importorskip("training.verifier")

    data = recorded(tmp_path, 300)
    verifier.main(["--data", str(data), "--artifact", str(tmp_path / "verifier"), "--processes", "1"])
    corpus = verifier.read_corpus(data, answers_max=16, processes=1, tell=print)
    fitted = verifier.fit(corpus, corpus.train[corpus.question], threads=1, tell=print)
    evidence = verifier.evidence_of(corpus, fitted)
    served = Verifier(load_verifier(tmp_path / "verifier"))
    prompts = {entry["question_id"]: entry["prompt"] for entry in pq.read_table(data / "questions.parquet").to_pylist()}
    texts = {(entry["question_id"], entry["model"]): entry["response"] for entry in pq.read_table(data / "responses.parquet").to_pylist()}
    names = sorted(prompts)
    answers = evidence.answers("mmlupro", "plain", ("hasty", "lost"))
    for others in ((), ("hasty", "lost")):
        measured = evidence.say(answers, others)
        for index, value in list(zip(answers, measured, strict=True))[:20]:
            name = names[int(corpus.question[index])]
            own, *rest = (Candidate(id=model, model=model, text=texts[name, model]) for model in ("plain", *others))
            case = Case(conversation=(Turn(Speaker.USER, prompts[name]),), candidate=own, others=tuple(rest))
            assert served.opinion_of(case).score == pytest.approx(value, abs=2e-3)
    found = evidence.measure("mmlupro", "hasty")
    assert found is not None
    assert found.auroc_low > 0.7
