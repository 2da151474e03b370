"""Sections of a recipe up to mining: the model, its documents, the queries made of them.

Names and defaults of the keys that have a parameter are those of the OpenSearch fine-tuning sample, where it has one.
"""

from __future__ import annotations

from dataclasses import dataclass

from release_tool.core.finetune.keys import key
from release_tool.core.finetune.mining import ANALYSES


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSection:
    """``[model]``."""

    name: str = key(
        "",
        "name of the new model: letters, digits and single hyphens, at most 40",
        pattern=r"[a-zA-Z0-9](?:-?[a-zA-Z0-9]){0,39}",
        parameter="ModelName",
        is_required=True,
    )
    base: str = key("BAAI/bge-m3", "model to start from: an id of the hub or a folder", parameter="BaseModelId")
    revision: str = key("", "branch, tag or commit of the base; plan pins it")
    allow_pickle: bool = key(
        default=False,
        meaning="take a base whose weights are in pickle files only, which can run code when they are read",
        parameter="AllowPickle",
    )
    kind: str = key("dense", "what is trained", choices=("dense", "sparse"))
    max_length: int = key(
        512, "tokens that are read of a text, by teacher and student", low=8, high=8192, parameter="MaxSeqLength"
    )
    seed: int = key(20_261_122, "where everything random starts from", low=0, high=2**31 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSection:
    """``[corpus]``."""

    source: str = key("files", "where the documents are", choices=("files", "s3", "opensearch"), parameter="InputType")
    path: str = key("", "a JSONL file or a folder of them; relative to the recipe")
    s3_path: str = key("", "s3://bucket/path, a JSONL file or a prefix", parameter="S3CorpusPath")
    endpoint: str = key("", "address of the cluster, or its name in release-tool.toml", parameter="OpenSearchEndpoint")
    index: str = key("", "index that holds the documents", parameter="OpenSearchIndexName")
    fields: tuple[str, ...] = key(
        ("content",), "fields whose values make the text, joined by a space in this order", parameter="TextFieldNames"
    )
    max_documents: int = key(
        10_000_000, "documents at most; more are sampled", low=1, high=10_000_000, parameter="MaxCorpusDocuments"
    )
    near_duplicates: bool = key(
        default=True, meaning="group near duplicates, so that none are on both sides of a split"
    )
    similarity: float = key(
        0.8, "share of common word triples above which two documents are near duplicates", low=0.5, high=1
    )
    max_rejected: float = key(0.01, "share of rows that may be unusable", low=0, high=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSection:
    """``[split]``."""

    dev: float = key(0.05, "share of the groups that choose the checkpoint", low=0, high=0.5)
    test: float = key(0.1, "share of the groups that are held out for evaluate", low=0, high=0.5)
    key: str = key("release-tool", "key of the hash that divides: another key, another division")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueriesSection:
    """``[queries]``."""

    provider: str = key(
        "sentences", "who writes the queries", choices=("sentences", "file", "openai", "local", "bedrock")
    )
    documents: int = key(
        20_000,
        "documents that queries are made of; a sample by hash",
        low=1,
        high=100_000,
        parameter="MaxQueryDocuments",
    )
    per_document: int = key(5, "queries a document", low=1, high=10, parameter="QueriesPerDocument")
    path: str = key("", "JSONL of own queries: text (or query, anchor), optional id and document that answers it")
    qrels: str = key("", "TSV of query, document, grade for own queries; without, each names its document")
    examples: str = key("", "JSONL of example queries for the prompt", parameter="SampleQueryUri")
    prompt: str = key("", "file of an own prompt; must hold {document} and {n}, may hold {examples}")
    model: str = key("us.anthropic.claude-haiku-4-5-20251001-v1:0", "model that writes", parameter="BedrockModelId")
    endpoint: str = key("", "address of an OpenAI-compatible service, up to /v1")
    key_variable: str = key(
        "OPENAI_API_KEY", "environment variable that holds its key", pattern=r"[A-Z][A-Z0-9_]*", may_be_secret=True
    )
    mode: str = key("live", "ask one by one, or by a batch file", choices=("live", "batch"))
    parallel: int = key(4, "questions on their way at once", low=1, high=256)
    retries: int = key(5, "times that a question is asked again", low=0, high=20)
    temperature: float = key(0.7, "of the sampling", low=0, high=2)
    max_tokens: int = key(1024, "tokens of an answer at most", low=16, high=32_768)
    max_document_tokens: int = key(2000, "tokens of a document that the prompt holds at most", low=16, high=32_768)
    dollars_in: float = key(0.0, "price of a million tokens that are sent", low=0, high=1000, parameter="DollarsIn")
    dollars_out: float = key(
        0.0, "price of a million tokens that are answered", low=0, high=1000, parameter="DollarsOut"
    )
    max_dollars: float = key(
        0.0,
        "dollars that may be spent; 0 forbids a service with a price",
        low=0,
        high=1_000_000,
        parameter="MaxDollars",
    )
    max_total_tokens: int = key(100_000_000, "tokens that may be sent and answered", low=0, high=10**12)
    max_error_rate: float = key(0.05, "share of documents that may stay without an answer", low=0, high=1)
    region: str = key("", "AWS region of Bedrock; default: that of the credentials")
    batch_s3: str = key("", "s3://bucket/prefix for Bedrock's batch files")
    batch_role: str = key("", "ARN of the role that Bedrock takes to read and write them")
    batch_hours: int = key(24, "hours after which Bedrock ends a batch that is not finished", low=24, high=168)
    wait_hours: float = key(
        25.0, "hours that a batch is waited for; 0: it is started, and a later run fetches it", low=0, high=200
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSection:
    """``[filter]``."""

    min_words: int = key(2, "words of a query at least", low=1, high=1000)
    max_words: int = key(64, "words of a query at most", low=1, high=1000)
    copy_ratio: float = key(
        0.8, "written queries: share of the words that may stand in a row in the document", low=0, high=1
    )
    round_trip: str = key("bm25", "who must find the document again", choices=("bm25", "model", "none"))
    round_trip_depth: int = key(20, "places among which it must be found", low=1, high=1000)
    teacher_percentile: float = key(
        0.0, "share of the queries with the lowest teacher's score that is dropped", low=0, high=0.9
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MineSection:
    """``[mine]``."""

    engine: str = key("tantivy", "who searches, in filter and mine", choices=("tantivy", "bm25s", "opensearch"))
    analysis: str = key(
        "english",
        "language of the stemmer, `wordpiece` for the base's own tokens, `words` for neither",
        choices=ANALYSES,
    )
    depth: int = key(50, "candidates a query", low=1, high=1000)
    skip: int = key(0, "first places that are left out", low=0, high=1000)
    max_share: float = key(0.0, "leave out what scores above this share of the positive; 0: none", low=0, high=10)
    memory_mb: int = key(256, "memory of the index writer", low=15, high=65_536)
