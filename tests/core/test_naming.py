"""Names of a release, held against what ML Commons derives from the registered name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.kinds import Format
from release_tool.core.naming import default_name, default_prefix, derived_key, name_archive
from release_tool.core.request import NAME_PATTERN, VERSION_PATTERN

WORDS = st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda word: len(word) < 40)
VERSIONS = st.from_regex(VERSION_PATTERN, fullmatch=True)
PARTS = st.fixed_dictionaries(
    {
        "model_source": WORDS,
        "prefix": WORDS | st.just(""),
        "model_name": WORDS,
        "version": VERSIONS,
        "fmt": st.sampled_from(Format),
    }
)


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        (
            ("huggingface", "sentence-transformers", "all-MiniLM-L6-v2", "1.0.2", Format.TORCH_SCRIPT),
            (
                "ml-models/huggingface/sentence-transformers/all-MiniLM-L6-v2/1.0.2/torch_script/"
                "sentence-transformers_all-MiniLM-L6-v2-1.0.2-torch_script.zip"
            ),
        ),
        (
            ("amazon", "neural-sparse", "opensearch-neural-sparse-tokenizer-v1", "1.0.1", Format.TORCH_SCRIPT),
            (
                "ml-models/amazon/neural-sparse/opensearch-neural-sparse-tokenizer-v1/1.0.1/torch_script/"
                "neural-sparse_opensearch-neural-sparse-tokenizer-v1-1.0.1-torch_script.zip"
            ),
        ),
        (
            ("amazon", "", "metrics_correlation", "1.0.0", Format.TORCH_SCRIPT),
            "ml-models/amazon/metrics_correlation/1.0.0/torch_script/metrics_correlation-1.0.0-torch_script.zip",
        ),
        (
            ("huggingface", "cross-encoders", "ms-marco-MiniLM-L-6-v2", "1.0.2", Format.ONNX),
            (
                "ml-models/huggingface/cross-encoders/ms-marco-MiniLM-L-6-v2/1.0.2/onnx/"
                "cross-encoders_ms-marco-MiniLM-L-6-v2-1.0.2-onnx.zip"
            ),
        ),
    ],
)
def test_keys_are_those_of_the_models_in_the_field(parts, key):
    source, prefix, name, version, fmt = parts
    names = name_archive(model_source=source, prefix=prefix, model_name=name, version=version, fmt=fmt)
    assert names.key == key
    assert names.key.endswith("/" + names.file_name)
    assert names.config_key == key.rpartition("/")[0] + "/config.json"


@given(PARTS)
def test_the_key_is_what_ml_commons_derives(parts):
    names = name_archive(**parts)
    assert derived_key(names.registered_name, parts["version"], parts["fmt"]) == names.key


def test_a_prefix_with_a_slash_would_not_be_derived():
    names = name_archive(model_source="hf", prefix="a/b", model_name="c", version="1", fmt=Format.ONNX)
    assert derived_key(names.registered_name, "1", Format.ONNX) != names.key


@given(PARTS, PARTS)
def test_two_releases_share_a_key_only_when_they_are_the_same(one, other):
    assert (name_archive(**one).key == name_archive(**other).key) == (one == other)


def test_the_same_file_name_still_has_its_own_key():
    first = name_archive(model_source="hf", prefix="a_b", model_name="c", version="1", fmt=Format.ONNX)
    second = name_archive(model_source="hf", prefix="a", model_name="b_c", version="1", fmt=Format.ONNX)
    assert first.file_name == second.file_name
    assert first.key != second.key


def test_defaults_come_from_the_model_id():
    assert default_prefix("sentence-transformers/all-MiniLM-L6-v2") == "sentence-transformers"
    assert default_name("sentence-transformers/all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"
    assert default_prefix("local/my-model") == "local"
    assert default_prefix("metrics_correlation") == ""
