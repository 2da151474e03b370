"""Tiny random models in the layouts of the hub, one function a family; equal seeds give equal bytes.

``make(folder, family, kind, seed)`` writes a folder as a person would download it. Weights have the family's
default initialisation, tokenizers are built by rule from a short word list (no training: nothing depends on
a thread), and sentence-transformers' own small files are written by hand: importing that package costs ten
seconds and more. The tests of the oracle load every one of these folders with the package itself.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = ("bert", "distilbert", "mpnet", "roberta", "modernbert", "xlm-roberta", "albert")
WORD_PIECE = frozenset({"bert", "distilbert", "mpnet"})
BYTE_PAIR = frozenset({"roberta", "modernbert"})
UNIGRAM = frozenset({"xlm-roberta", "albert"})

KINDS = (
    "dense",
    "bare",
    "sparse",
    "sparse-st",
    "sparse-tokenizer",
    "cross-encoder",
    "question-answering",
    "highlighter",
)
"""``bare`` is dense without modules.json; ``sparse-st`` is sparse with sentence-transformers' modules."""

WIDTH = 32

WORDS = """
the of and to in is was for on that with as by it at from his an are which be this had not were has
have or its who their been one all first two other time after they into more she some no there would
over new when about can search engine index query document vector model sentence token weight river
bank water city mountain winter summer music science history language people house world year state
war government school system program question answer number part place work life hand day night man
woman child king queen north south east west high low long short small large great little old young
good bad best worst early late open close run walk read write speak hear see look find give take
make made come came go went know known think thought say said tell told ing ed er est ly ness ment
tion able less ful ous ive al ity
""".split()  # noqa: SIM905 - a list of words reads better as a text
LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
BEYOND = "éèüößñçàøåαβγδабвгдежзийклмноп中国人大学生日本語東京搜索引擎한국어검색مرحباسلكةشعدينור🙂🚀❤€—“”…"


def make(folder: Path, family: str, kind: str, seed: int = 0, **options: Any) -> Path:
    """Write a model folder and return it.

    Options: ``max_length`` (tokens, default the family's), ``pooling`` (``mean``, ``cls``, ``max``,
    ``mean_sqrt_len``, ``weighted_mean``, ``last_token``), ``normalize`` (bool), ``dense_module`` (width
    of a Dense module), ``prompts`` (dict), ``dtype`` (``float16``, ``bfloat16``), ``labels`` (cross-encoder),
    ``activation`` (``l0``, sparse-st), ``layers``, ``width``, ``head_scale`` (multiplies the head, so
    that answers are decided), ``alpha`` (highlighter), ``shared_idf`` (weights for tokens that read alike, too).
    """
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    if family not in FAMILIES or kind not in KINDS:
        raise ValueError((family, kind))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(family, options.get("max_length"))
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind != "sparse-tokenizer":
            _save_model(folder, family, kind, tokenizer, options)
    if kind in ("dense", "sparse-st"):
        _sentence_transformers_files(folder, family, kind, tokenizer, options)
    if kind == "sparse-tokenizer":
        _write_json(folder / "idf.json", idf_of(tokenizer, shared=options.get("shared_idf", False)))
        config = _config(family, tokenizer, options)
        config.save_pretrained(folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


CARD = "---\nlicense: apache-2.0\n---\n# tiny\n\nA tiny random model for tests.\n"


def idf_of(tokenizer: Any, *, shared: bool = False) -> dict[str, float]:
    """Return a weight for each vocabulary token but the special ones and every seventh (absent means 1).

    Tokens that read alike are left out unless ``shared``: ML Commons looks weights up by a token's text, so an archive
    can't give them different ones.
    """
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    special = set(tokenizer.all_special_ids)
    words = tokenizer.batch_decode([[index] for _, index in vocabulary])
    alone = {word for word, count in Counter(words).items() if count == 1}
    return {
        token: round(1.0 + (index * 37 % 101) / 13, 6)
        for (token, index), word in zip(vocabulary, words, strict=True)
        if index not in special and index % 7 and (shared or word in alone)
    }


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


# --- tokenizers -----------------------------------------------------------------------------------


def _tokenizer(family: str, max_length: int | None) -> Any:
    import transformers

    length = max_length or (8192 if family == "modernbert" else 512)
    if family in WORD_PIECE:
        special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"] if family == "mpnet" else None
        vocabulary = _word_piece_vocabulary(special or ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        names = {"bert": "BertTokenizer", "distilbert": "BertTokenizer", "mpnet": "MPNetTokenizer"}
        return getattr(transformers, names[family])(vocab=vocabulary, model_max_length=length)
    if family == "roberta":
        vocabulary, merges = _byte_pairs(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
        return transformers.RobertaTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)
    if family == "modernbert":
        return _modernbert_tokenizer(length)
    if family == "albert":
        pieces = _unigram_pieces(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"])
        return transformers.AlbertTokenizer(vocab=pieces, model_max_length=length)
    pieces = [*_unigram_pieces(["<s>", "<pad>", "</s>", "<unk>"]), ("<mask>", 0.0)]
    return transformers.XLMRobertaTokenizer(vocab=pieces, model_max_length=length)


def _word_piece_vocabulary(special: list[str]) -> dict[str, int]:
    characters = LETTERS + DIGITS + MARKS + BEYOND
    tokens = [*special, *characters, *(f"##{c}" for c in LETTERS + DIGITS + BEYOND), *WORDS]
    tokens += [f"##{word}" for word in WORDS[-15:]]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def _byte_alphabet() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def _byte_pairs(special: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return vocabulary and merges: each word is merged from left to right, also after a space."""
    tokens = [*special, *_byte_alphabet()]
    merges: dict[tuple[str, str], None] = {}
    for word in (*WORDS, *(f"Ġ{word}" for word in WORDS)):
        piece = word[0]
        for letter in word[1:]:
            merges[(piece, letter)] = None
            piece += letter
            tokens.append(piece)
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}, list(merges)


def _modernbert_tokenizer(length: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary, merges = _byte_pairs(names)
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:0 [SEP]:0", special_tokens=ends
    )
    roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=length,
        model_input_names=["input_ids", "attention_mask"],
        **dict(zip(roles, names, strict=True)),
    )


def _unigram_pieces(special: list[str]) -> list[tuple[str, float]]:
    """Return (piece, score): words cost less than their letters, so they win."""
    pieces = [(f"▁{word}", -4.0 - index / 100) for index, word in enumerate(WORDS)]
    pieces += [(word, -6.0 - index / 100) for index, word in enumerate(WORDS[-15:])]
    pieces += [(letter, -9.0 - index / 100) for index, letter in enumerate(LETTERS + DIGITS + MARKS + BEYOND)]
    pieces += [("▁", -7.5)]
    unique = dict.fromkeys(name for name in special)
    return [
        *((name, 0.0) for name in unique),
        *((piece, score) for piece, score in pieces if piece not in unique),
    ]


# --- models ---------------------------------------------------------------------------------------


def _config(family: str, tokenizer: Any, options: dict[str, Any]) -> Any:
    import transformers

    width, layers = options.get("width", WIDTH), options.get("layers", 2)
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "num_labels": options.get("labels", 2),
    }
    if family == "distilbert":
        sizes = {
            "dim": width,
            "n_layers": layers,
            "n_heads": 2,
            "hidden_dim": 2 * width,
            "max_position_embeddings": 512,
        }
        return transformers.DistilBertConfig(**common, **sizes)
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 2 * width,
        "max_position_embeddings": 512,
    }
    if family in ("roberta", "xlm-roberta", "mpnet"):
        # These count positions from pad_token_id + 1.
        sizes["max_position_embeddings"] = 514
    if family == "albert":
        return transformers.AlbertConfig(**common, **sizes, embedding_size=width // 2)
    if family == "modernbert":
        ends = {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
        ends |= {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
        sizes["max_position_embeddings"] = 8192
        return transformers.ModernBertConfig(**common, **sizes, **ends, local_attention=64)
    types = {
        "bert": transformers.BertConfig,
        "roberta": transformers.RobertaConfig,
        "mpnet": transformers.MPNetConfig,
    }
    if family == "xlm-roberta":
        return transformers.XLMRobertaConfig(**common, **sizes, type_vocab_size=1)
    if family == "roberta":
        sizes["type_vocab_size"] = 1
    return types[family](**common, **sizes)


HEADS = {
    "dense": "AutoModel",
    "bare": "AutoModel",
    "sparse": "AutoModelForMaskedLM",
    "sparse-st": "AutoModelForMaskedLM",
    "cross-encoder": "AutoModelForSequenceClassification",
    "question-answering": "AutoModelForQuestionAnswering",
}


def _save_model(folder: Path, family: str, kind: str, tokenizer: Any, options: dict[str, Any]) -> None:
    import torch
    import transformers

    if kind == "highlighter":
        _save_highlighter(folder, tokenizer, options)
        return
    if kind == "cross-encoder":
        options = {"labels": 1, **options}
    config = _config(family, tokenizer, options)
    model = getattr(transformers, HEADS[kind]).from_config(config)
    scale = options.get("head_scale", 1.0)
    for name, weight in model.named_parameters():
        if scale != 1.0 and name.startswith(("classifier.", "qa_outputs.")):
            weight.data.mul_(scale)
    if "dtype" in options:
        model = model.to(getattr(torch, options["dtype"]))
    model.save_pretrained(folder)


def _save_highlighter(folder: Path, tokenizer: Any, options: dict[str, Any]) -> None:
    """Write ``bert.*`` and ``classifier.*``, as the published semantic highlighter has them."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertModel

    config = _config("bert", tokenizer, options)
    config.architectures = ["BertTaggerForSentenceExtractionWithBackoff"]
    if "alpha" in options:
        config.alpha = options["alpha"]
    bert = BertModel(config)
    head = torch.nn.Linear(config.hidden_size, 2)
    state = {f"bert.{name}": weight.contiguous() for name, weight in bert.state_dict().items()}
    scale = options.get("head_scale", 1.0)
    state |= {"classifier.weight": head.weight.detach() * scale, "classifier.bias": head.bias.detach()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)


# --- sentence-transformers' files -----------------------------------------------------------------

POOLING_FLAGS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len": "pooling_mode_mean_sqrt_len_tokens",
    "weighted_mean": "pooling_mode_weightedmean_tokens",
    "last_token": "pooling_mode_lasttoken",
}


def _module(index: int, path: str, kind: str) -> dict[str, Any]:
    return {"idx": index, "name": str(index), "path": path, "type": kind}


def _sentence_transformers_files(folder: Path, family: str, kind: str, tokenizer: Any, options: dict[str, Any]) -> None:
    length = options.get("max_length") or 512
    if kind == "sparse-st":
        modules = [
            _module(0, "", "sentence_transformers.sparse_encoder.models.MLMTransformer"),
            _module(1, "1_SpladePooling", "sentence_transformers.sparse_encoder.models.SpladePooling"),
        ]
        settings = {
            "pooling_strategy": "max",
            "activation_function": "relu",
            "word_embedding_dimension": len(tokenizer),
        }
        if options.get("activation") == "l0":
            settings["activation_function"] = "log1p_relu"
        (folder / "1_SpladePooling").mkdir(exist_ok=True)
        _write_json(folder / "1_SpladePooling" / "config.json", settings)
    else:
        modules = _dense_modules(folder, options)
    _write_json(folder / "modules.json", modules)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
    settings = {"__version__": {"sentence_transformers": "5.2.3"}, "prompts": options.get("prompts", {})}
    model_type = "SparseEncoder" if kind == "sparse-st" else "SentenceTransformer"
    _write_json(
        folder / "config_sentence_transformers.json",
        {**settings, "model_type": model_type, "default_prompt_name": None, "similarity_fn_name": None},
    )


def _dense_modules(folder: Path, options: dict[str, Any]) -> list[dict[str, Any]]:
    import torch
    from safetensors.torch import save_file

    width = options.get("width", WIDTH)
    pooling = {flag: mode == options.get("pooling", "mean") for mode, flag in POOLING_FLAGS.items()}
    (folder / "1_Pooling").mkdir(exist_ok=True)
    _write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **pooling})
    modules = [
        _module(0, "", "sentence_transformers.models.Transformer"),
        _module(1, "1_Pooling", "sentence_transformers.models.Pooling"),
    ]
    if options.get("dense_module"):
        out = int(options["dense_module"])
        (folder / "2_Dense").mkdir(exist_ok=True)
        activation = "torch.nn.modules.activation.Tanh"
        settings = {
            "in_features": width,
            "out_features": out,
            "bias": True,
            "activation_function": activation,
        }
        _write_json(folder / "2_Dense" / "config.json", settings)
        generator = torch.Generator().manual_seed(7)
        weights = {
            "linear.weight": torch.randn(out, width, generator=generator) / width**0.5,
            "linear.bias": torch.randn(out, generator=generator) / 10,
        }
        save_file(weights, folder / "2_Dense" / "model.safetensors", metadata={"format": "pt"})
        modules.append(_module(len(modules), "2_Dense", "sentence_transformers.models.Dense"))
    if options.get("normalize", True):
        # No folder: Normalize has no file, as in most models of the hub.
        modules.append(_module(len(modules), f"{len(modules)}_Normalize", "sentence_transformers.models.Normalize"))
    return modules
