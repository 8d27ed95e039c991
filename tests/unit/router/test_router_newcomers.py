"""Models that were not trained on: cards, priors, and what labelled answers add."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from router_service.adapters.newcomer_files import read_adapted, read_prior, write_adapted, write_prior
from router_service.adapters.onnx_quality import OnnxQuality, Surroundings, open_quality
from router_service.domain.descriptors import Descriptors, billions_of, descriptor_features, family_of
from router_service.domain.errors import ArtifactMismatch
from router_service.domain.newcomers import LabelledAnswers, NewcomerPrior, correction, newcomer
from servicekit.artifacts import Manifest, load_manifest

PUBLISHED = Path(__file__).parents[3] / "artifacts" / "learned"
ENCODER = PUBLISHED.parent / "encoder"
CARD = Descriptors(
    name="mine",
    upstream_name="gpt-5-mini",
    input_usd_per_mtok=0.25,
    output_usd_per_mtok=2.0,
    context_tokens=400_000,
    reasoning=False,
)
VECTOR = np.eye(1, 384, dtype=np.float32)[0]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_manifest(PUBLISHED)


@pytest.fixture(scope="module")
def prior(manifest: Manifest) -> NewcomerPrior:
    return read_prior(PUBLISHED, manifest)


@pytest.fixture(scope="module")
def published(manifest: Manifest) -> OnnxQuality:
    return open_quality(PUBLISHED, manifest)


@pytest.mark.parametrize(
    ("name", "family", "billions"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt", None),
        ("o3-mini", "gpt", None),
        ("Meta-Llama-3.1-70B-Instruct", "llama", 70.0),
        ("Mixtral-8x7B-Instruct-v0.1", "mistral", 56.0),
        ("qwen2.5-coder-0.5b", "qwen", 0.5),
        ("deepseek-r1-distill-llama-8b", "deepseek", 8.0),
        ("Phi-3.5-mini-instruct", "phi", None),
        ("yi-large", "yi", None),
        ("smollm2-135m", "other", None),
        ("sphinx-yield-8bit", "other", None),
    ],
)
def test_family_and_size_are_read_off_the_name(name: str, family: str, billions: float | None) -> None:
    assert family_of(name) == family
    assert billions_of(name) == billions


def test_a_free_model_has_features_without_infinities() -> None:
    assert np.isfinite(descriptor_features(replace(CARD, input_usd_per_mtok=0.0, output_usd_per_mtok=0.0))).all()


def test_a_model_is_predicted_from_its_card_alone_with_much_doubt(prior: NewcomerPrior, published: OnnxQuality) -> None:
    evidence = published.evidence(VECTOR[np.newaxis], "mine", right=[True], tokens=[10.0])
    found = newcomer(prior, CARD).predict(evidence.quality[0], evidence.log_tokens[0], tokens_noise=prior.tokens_noise)
    assert 0.0 < found.mean < 1.0
    assert found.stddev > 0.03
    assert found.output_tokens > 1.0
    assert (found.observations, found.measured) == (0, False)


def test_dearer_and_larger_models_are_expected_to_be_better(prior: NewcomerPrior, published: OnnxQuality) -> None:
    evidence = published.evidence(VECTOR[np.newaxis], "mine", right=[True], tokens=[10.0])

    def expected(card: Descriptors) -> float:
        return newcomer(prior, card).predict(evidence.quality[0], evidence.log_tokens[0], tokens_noise=prior.tokens_noise).mean

    small = Descriptors(
        name="a", upstream_name="some-1b-chat", input_usd_per_mtok=0.1, output_usd_per_mtok=0.1, context_tokens=8_192, reasoning=False
    )
    large = replace(small, upstream_name="some-405b-chat", input_usd_per_mtok=3.0, output_usd_per_mtok=9.0)
    assert expected(large) > expected(small)
    assert expected(replace(large, reasoning=True)) > expected(large)


def answers(count: int, *, right: float) -> LabelledAnswers:
    bases = np.column_stack([np.full(count, 0.5), np.zeros((count, 9))])
    return LabelledAnswers(bases, np.column_stack([np.full(count, 5.0), np.zeros((count, 3))]), np.full(count, right), np.full(count, 40.0))


def test_labelled_answers_outweigh_the_card(prior: NewcomerPrior) -> None:
    for right in (0.0, 1.0):
        found = newcomer(prior, CARD, answers(400, right=right))
        request = answers(1, right=0.0)
        predicted = found.predict(request.quality[0], request.log_tokens[0], tokens_noise=prior.tokens_noise)
        assert predicted.mean == pytest.approx(right, abs=0.08)
        assert predicted.stddev < 0.1
        assert predicted.output_tokens == pytest.approx(41.0 * np.exp(prior.tokens_noise / 2.0), rel=0.1)
        assert (predicted.observations, predicted.measured) == (400, True)


async def test_a_model_that_was_trained_on_is_corrected_and_the_others_stay(
    prior: NewcomerPrior, published: OnnxQuality, manifest: Manifest
) -> None:
    name, other = published.names[0], published.names[1]
    before = await published.predict(VECTOR)
    evidence = published.evidence(np.tile(VECTOR, (200, 1)), name, right=[False] * 200, tokens=[50.0] * 200)
    corrected = Surroundings((correction(prior, name, evidence),), prior.tokens_noise)
    after = await open_quality(PUBLISHED, manifest, beside=corrected).predict(VECTOR)
    assert after[name].mean < 0.1 < before[name].mean
    assert after[other] == before[other]


def test_an_adapted_file_comes_back_as_it_was_written(prior: NewcomerPrior, manifest: Manifest, tmp_path: Path) -> None:
    path, encoder = tmp_path / "deep" / "adapted.json", load_manifest(ENCODER)
    written = newcomer(prior, CARD, answers(30, right=1.0))
    write_adapted(path, [written], encoder=encoder.fingerprint, learned=manifest.fingerprint)
    (read,) = read_adapted(path, encoder=encoder, learned=manifest)
    assert (read.name, read.answers) == ("mine", 30)
    assert read.quality.mean == pytest.approx(written.quality.mean, abs=1e-5)
    assert read.quality.covariance == pytest.approx(written.quality.covariance, abs=1e-5)


def test_an_adapted_file_for_another_artifact_is_refused_with_what_mends_it(
    prior: NewcomerPrior, manifest: Manifest, tmp_path: Path
) -> None:
    path, encoder = tmp_path / "adapted.json", load_manifest(ENCODER)
    write_adapted(path, [newcomer(prior, CARD, answers(3, right=1.0))], encoder=encoder.fingerprint, learned="0" * 12)
    with pytest.raises(ArtifactMismatch, match=r"made for learned 000000000000.*training\.adapt"):
        read_adapted(path, encoder=encoder, learned=manifest)


@pytest.mark.parametrize("content", ["", "{}", '{"encoder_fingerprint": "a", "learned_fingerprint": "b", "models": [1]}'])
def test_an_adapted_file_that_is_damaged_is_refused(content: str, manifest: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "adapted.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactMismatch, match="can't be read"):
        read_adapted(path, encoder=load_manifest(ENCODER), learned=manifest)
    with pytest.raises(ArtifactMismatch, match="can't be read"):
        read_adapted(tmp_path / "none.json", encoder=load_manifest(ENCODER), learned=manifest)


def test_a_prior_comes_back_as_it_was_written_and_a_damaged_one_is_refused(
    prior: NewcomerPrior, manifest: Manifest, tmp_path: Path
) -> None:
    path = tmp_path / "newcomers.json"
    write_prior(path, prior)
    assert read_prior(tmp_path, manifest).quality.weights == pytest.approx(prior.quality.weights, abs=1e-5)
    path.write_text(path.read_text(encoding="utf-8").replace('"gpt"', '"gtp"'), encoding="utf-8")
    with pytest.raises(ArtifactMismatch, match="families"):
        read_prior(tmp_path, manifest)
