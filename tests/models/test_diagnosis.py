"""Each fault, seeded into answers of a real (tiny) model, is named by the numbers alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from factories import make_proof
from oracle_work import make_work

from release_tool.core.diagnosis import diagnose
from release_tool.core.kinds import ModelKind, PoolingMode
from release_tool.core.plan import Tolerances
from release_tool.models.answers import Answers, read_answers
from release_tool.models.compare import Measured, Rules, compare
from release_tool.models.oracle import answer_all
from release_tool.packaged import packaged_probes

PROBES = packaged_probes()
TOLERANCES = Tolerances()
LENGTH = 256


def answers_of(folder: Path, family: str, kind: str, model: ModelKind, plan=None, **options) -> Answers:
    work = make_work(folder, family, kind, plan={"max_length": LENGTH, **(plan or {})}, **options)
    return read_answers(answer_all(work, model, PROBES))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Return a maker of a bare BERT's answers by plan; each is made once."""
    made: dict[tuple, Answers] = {}

    def make(**plan) -> Answers:
        key = tuple(sorted(plan.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp("bare")
            made[key] = answers_of(folder, "bert", "bare", ModelKind.DENSE, {"normalize_result": False, **plan})
        return made[key]

    return make


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    made: dict[tuple, Answers] = {}

    def make(**plan) -> Answers:
        key = tuple(sorted(plan.items()))
        if key not in made:
            made[key] = answers_of(tmp_path_factory.mktemp("sparse"), "bert", "sparse", ModelKind.SPARSE, plan)
        return made[key]

    return make


def changed(answers: Answers, **arrays: np.ndarray) -> Measured:
    return Measured(arrays={**answers.arrays, **arrays}, texts=answers.facts.texts)


def fault(reference: Answers, measured: Measured, *, ring: str = "runtime", rules: Rules | None = None) -> str | None:
    kind = reference.facts.kind
    found = compare(PROBES.for_kind(kind), reference, measured, rules)
    proof = make_proof(kind, ring=ring, comparisons=found)
    named = diagnose(
        proof,
        TOLERANCES,
        inputs=reference.inputs(),
        special_ids=reference.facts.special_ids,
        max_length=reference.facts.max_length,
    )
    assert (named is not None) == bool(proof.failures(TOLERANCES))
    return None if named is None else named.fault


def test_equal_answers_need_no_diagnosis(bare):
    assert fault(bare(), changed(bare())) is None


@pytest.mark.parametrize("mode", [PoolingMode.CLS, PoolingMode.MAX, PoolingMode.LAST_TOKEN])
def test_another_pooling_is_called_pooling(bare, mode):
    assert fault(bare(), changed(bare(pooling_mode=mode))) == "pooling"


def test_missing_normalisation_is_called_so_in_both_directions(bare):
    plain, unit = bare(), bare(normalize_result=True)
    assert fault(unit, changed(plain)) == "normalisation"
    assert fault(plain, changed(unit)) == "normalisation"


def test_a_sum_divided_by_another_number_is_a_scale(bare):
    assert fault(bare(), changed(bare(pooling_mode=PoolingMode.MEAN_SQRT_LEN))) == "scale"


@pytest.mark.parametrize("length", [128, 300])
def test_another_truncation_is_seen_in_the_lengths(bare, length):
    assert fault(bare(), changed(bare(max_length=length))) == "truncation"


def test_truncation_is_suspected_on_a_node_that_tells_no_lengths(bare):
    other = changed(bare(max_length=300))
    blind = Measured(arrays={"embedding": other.arrays["embedding"]})
    assert fault(bare(), blind, ring="node") == "truncation"


def test_fixed_padding_is_seen_in_the_lengths_even_where_the_answers_agree(bare):
    tokens = np.maximum(bare().arrays["tokens"], 128)
    assert fault(bare(), changed(bare(), tokens=tokens)) == "padding"


def test_missing_special_tokens_are_seen_in_the_lengths(bare):
    tokens = bare().arrays["tokens"]
    fewer = np.where(tokens < LENGTH, tokens - 2, tokens)
    assert fault(bare(), changed(bare(), tokens=fewer)) == "special-tokens"


def test_another_tokenizer_is_seen_in_the_lengths(bare, tmp_path):
    other = answers_of(tmp_path, "roberta", "bare", ModelKind.DENSE)
    assert fault(bare(), changed(bare(), tokens=other.arrays["tokens"])) == "tokenizer"


def test_a_swapped_row_of_the_vocabulary_is_found_by_the_tokens_of_the_failing_probes(tmp_path):
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    plan = {"normalize_result": False}
    work = make_work(tmp_path / "a", "bert", "bare", plan=dict(plan))
    reference = read_answers(answer_all(work, ModelKind.DENSE, PROBES))
    spoilt = make_work(tmp_path / "b", "bert", "bare", plan=dict(plan))
    path = spoilt.path("snapshot") / "model.safetensors"
    state = load_file(path)
    token = AutoTokenizer.from_pretrained(spoilt.path("snapshot")).convert_tokens_to_ids("river")
    rows = state["embeddings.word_embeddings.weight"]
    rows[token] = rows[token + 1].clone()
    save_file(state, path, metadata={"format": "pt"})
    measured = changed(read_answers(answer_all(spoilt, ModelKind.DENSE, PROBES)))
    kind = ModelKind.DENSE
    proof = make_proof(kind, comparisons=compare(PROBES.for_kind(kind), reference, measured))
    named = diagnose(proof, TOLERANCES, inputs=reference.inputs(), max_length=512)
    assert named is not None
    assert named.fault == "vocabulary-row"
    assert str(token) in named.saw


def test_another_dimension_is_named_with_both_numbers(bare, tmp_path):
    other = answers_of(tmp_path, "bert", "bare", ModelKind.DENSE, width=16)
    assert fault(bare(), changed(bare(), embedding=other.arrays["embedding"])) == "dimension"


def test_half_precision_is_called_weights_and_rounding_precision(bare):
    embedding = bare().arrays["embedding"]
    half = embedding.astype(np.float16).astype(np.float32)
    assert fault(bare(), changed(bare(), embedding=half)) == "weights"
    sign = np.where(np.arange(embedding.shape[1]) % 2, 1, -1).astype(np.float32)
    rounding = embedding + 5e-5 * sign * np.abs(embedding).max(axis=1, keepdims=True)
    assert fault(bare(), changed(bare(), embedding=rounding)) == "precision"


def test_numbers_that_are_not_finite_are_the_sources_or_the_archives(bare):
    broken = bare().arrays["embedding"].copy()
    broken[3, 5] = np.nan
    assert fault(bare(), changed(bare(), embedding=broken)) == "not-finite"
    source = Answers(facts=bare().facts, arrays={**bare().arrays, "embedding": broken})
    assert fault(source, changed(bare())) == "source-not-finite"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Unsupported model IR version: 10, max supported IR version: 9", "newer"),
        ("Input mismatch, looking for: [input_ids, attention_mask]", "inputs"),
        ("Unknown builtin op: aten::scaled_dot_product_attention", "SDPA"),
        ("something nobody has seen", "can't serve"),
    ],
)
def test_a_refusal_is_explained_by_the_runtimes_words(bare, words, cause):
    refused = {probe.id: words for probe in PROBES.texts}
    proof = make_proof(comparisons=compare(PROBES.texts, bare(), Measured(arrays={}, errors=refused)))
    named = diagnose(proof, TOLERANCES)
    assert named is not None
    assert named.fault == "refused"
    assert words in named.saw
    assert cause in named.cause


def test_refusals_of_long_inputs_only_are_a_missing_truncation(bare):
    long = {
        probe.id: "The size of tensor a (514) must match the size of tensor b (512)"
        for probe, tokens in zip(PROBES.texts, bare().arrays["tokens"], strict=True)
        if tokens == LENGTH
    }
    measured = Measured(arrays=bare().arrays, errors=long)
    assert fault(bare(), measured) == "truncation"


# --- sparse ------------------------------------------------------------------------------------------------------


def test_special_tokens_that_were_not_zeroed_are_named(sparse):
    reference = sparse()
    special = int(reference.facts.special_ids[0])
    arrays = reference.arrays
    ids, weights = [], []
    bounds = arrays["indptr"]
    for row in range(len(bounds) - 1):
        part = slice(bounds[row], bounds[row + 1])
        ids += [special, *arrays["ids"][part].tolist()]
        weights += [1.5, *arrays["weights"][part].tolist()]
    more = {
        "indptr": bounds + np.arange(len(bounds)),
        "ids": np.asarray(ids, np.int32),
        "weights": np.asarray(weights, np.float32),
    }
    assert fault(reference, changed(reference, **more)) == "special-tokens"


def test_one_changed_column_of_the_vocabulary_is_named(sparse):
    reference = sparse()
    ids = reference.arrays["ids"]
    token = np.bincount(ids).argmax()
    weights = np.where(ids == token, reference.arrays["weights"] + 0.01, reference.arrays["weights"])
    assert fault(reference, changed(reference, weights=weights.astype(np.float32))) == "vocabulary-row"


def test_a_forgotten_and_a_stronger_pruning_are_named(sparse):
    pruned = Rules(prune_ratio=0.3)
    assert fault(sparse(prune_ratio=0.3), changed(sparse()), rules=pruned) == "pruning"
    assert fault(sparse(prune_ratio=0.3), changed(sparse(prune_ratio=0.6)), rules=pruned) == "pruning"


def test_another_activation_is_named(sparse):
    assert fault(sparse(), changed(sparse(activation="l0"))) in {"activation", "pruning"}
    twice = changed(sparse(), weights=np.log1p(sparse().arrays["weights"]))
    assert fault(sparse(), twice) == "activation"


def test_other_token_weights_of_a_tokenizer_are_named(tmp_path):
    reference = answers_of(tmp_path, "bert", "sparse-tokenizer", ModelKind.SPARSE_TOKENIZER)
    weights = np.ones_like(reference.arrays["weights"])
    assert fault(reference, changed(reference, weights=weights)) == "token-weights"


# --- pairs -------------------------------------------------------------------------------------------------------


def test_equal_logits_with_other_words_are_the_tokenizers_fault(tmp_path):
    kind = ModelKind.QUESTION_ANSWERING
    reference = answers_of(tmp_path, "bert", "question-answering", kind, head_scale=20.0)
    shouted = Measured(arrays=reference.arrays, texts=[text.upper() for text in reference.facts.texts])
    assert fault(reference, shouted) == "answer-text"


def test_a_lost_head_is_at_least_shown_by_the_shapes_that_fail(tmp_path):
    kind = ModelKind.CROSS_ENCODER
    reference = answers_of(tmp_path, "bert", "cross-encoder", kind)
    assert fault(reference, changed(reference, logit=-reference.arrays["logit"])) == "weights"


def test_a_diagnosis_does_not_depend_on_the_order_of_the_probes(bare):
    measured = changed(bare(pooling_mode=PoolingMode.CLS))
    found = compare(PROBES.texts, bare(), measured)
    straight = diagnose(make_proof(comparisons=found), TOLERANCES)
    assert straight is not None
    assert straight == diagnose(make_proof(comparisons=found[::-1]), TOLERANCES)
