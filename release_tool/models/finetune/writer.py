"""The process of a local model that writes queries.

Sequence-to-sequence models (doc2query, T5) read the document and are sampled n times, a query each; causal models read
the prompt, in their own chat template where they have one, and answer once. Parts are made in order and kept; every
batch starts its random numbers anew, so that a part does not depend on who made those before it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from release_tool.core.codec import decode_text
from release_tool.core.digest import sha256_bytes
from release_tool.core.finetune.writing_job import ToWrite, WriteJob, Written
from release_tool.errors import MachineError, UnsupportedModel
from release_tool.part_files import part_path, parts, read_part, write_part
from release_tool.workers import report, run_child

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = 8
"""Questions that are written at once; of the same part, and of like length."""
QUERY_TOKENS = 64
"""Tokens of a sampled query: no more words may a query have."""
TOP_P = 0.95
"""Share of the likeliest tokens that is sampled from, as doc2query's authors do it."""
LONGEST_INPUT = 4096


def main(argv: Sequence[str] | None = None) -> int:
    """Write; the argument is the path of the job."""
    path = Path((sys.argv[1:] if argv is None else argv)[0])
    return run_child(lambda: write(decode_text(WriteJob, path.read_text(encoding="utf-8"))))


def write(job: WriteJob) -> None:
    """Make every part of the answers that is not there.

    Raises:
        UnsupportedModel: the folder holds no model that writes.
        MachineError: the memory does not suffice.
    """
    import torch

    folder = Path(job.folder)
    asked = parts(folder, ToWrite.STEM)
    missing = [number for number in range(len(asked)) if not part_path(folder, Written.STEM, number).is_file()]
    if not missing:
        return
    writer = Writer(job)
    try:
        for done, number in enumerate(missing):
            report("progress", done=len(asked) - len(missing) + done, total=len(asked))
            answers = writer.part(list(read_part(asked[number], ToWrite)))
            write_part(part_path(folder, Written.STEM, number), answers)
    except torch.OutOfMemoryError as error:
        raise MachineError("The GPU has too little memory for this model.", hint="Take a smaller one.") from error
    report("progress", done=len(asked), total=len(asked))


class Writer:
    """A loaded model."""

    def __init__(self, job: WriteJob) -> None:
        """Load the model, in bfloat16 on a GPU that has it and in float32 elsewhere.

        Raises:
            UnsupportedModel: the folder holds no model that writes.
        """
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        from release_tool.models.finetune.preparing import threads

        self.job = job
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if self.device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
        try:
            config = AutoConfig.from_pretrained(job.model, trust_remote_code=False)
            self.is_pair = bool(config.is_encoder_decoder)
            cls = AutoModelForSeq2SeqLM if self.is_pair else AutoModelForCausalLM
            model = cls.from_pretrained(job.model, dtype=dtype, trust_remote_code=False, use_safetensors=True)
            self.tokenizer: Any = AutoTokenizer.from_pretrained(job.model, trust_remote_code=False)
        except (ValueError, KeyError, OSError) as error:
            raise UnsupportedModel(
                f"No model in this folder can write: {str(error).splitlines()[0][:200]}",
                hint="queries.model is a sequence-to-sequence or causal model with safetensors weights.",
            ) from error
        self.model: Any = model.eval().to(self.device)
        if self.device == "cpu":
            torch.set_num_threads(threads(1))
            torch.use_deterministic_algorithms(mode=True)
        self.tokenizer.padding_side = "right" if self.is_pair else "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def part(self, rows: list[ToWrite]) -> list[Written]:
        """Return the answers to the questions of a part, in their order."""
        inputs = [self._input(row) for row in rows]
        order = sorted(range(len(rows)), key=lambda place: (len(inputs[place]), rows[place].id))
        found: dict[int, Written] = {}
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            for place, answer in zip(
                places, self._batch([inputs[place] for place in places], rows[places[0]].id), strict=True
            ):
                raw, sent, answered = answer
                found[place] = Written(id=rows[place].id, raw=raw, tokens_in=sent, tokens_out=answered)
        return [found[place] for place in range(len(rows))]

    def _input(self, row: ToWrite) -> list[int]:
        """Return the tokens that the model reads, cut to what it can read."""
        text = row.text if self.is_pair and not self.job.is_prompted else f"{row.system}\n\n{row.prompt}"
        if not self.is_pair and self.tokenizer.chat_template:
            messages = [{"role": "system", "content": row.system}, {"role": "user", "content": row.prompt}]
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return list(self.tokenizer(text)["input_ids"])

    def _limit(self) -> int:
        """Return how many tokens the model can read beside those that it writes."""
        config = self.model.config
        known = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        room = 0 if self.is_pair else self._new_tokens()
        return max(1, min(LONGEST_INPUT, known or LONGEST_INPUT) - room)

    def _new_tokens(self) -> int:
        return min(self.job.max_tokens, QUERY_TOKENS) if self.is_pair else self.job.max_tokens

    def _batch(self, inputs: list[list[int]], first: str) -> list[tuple[str, int, int]]:
        """Return raw answer, tokens in and tokens out of some questions.

        Args:
            inputs: their tokens.
            first: id of the first of them, which the random numbers start from.
        """
        import torch

        limit = self._limit()
        cut = [tokens[-limit:] if not self.is_pair else tokens[:limit] for tokens in inputs]
        batch = self.tokenizer.pad({"input_ids": cut}, return_tensors="pt").to(self.device)
        count = self.job.n if self.is_pair else 1
        how: dict[str, Any] = {"do_sample": False}
        if self.job.temperature > 0:
            how = {
                "do_sample": True,
                "temperature": self.job.temperature,
                "top_p": TOP_P,
                "num_return_sequences": count,
            }
        elif count > 1:  # without chance all would be alike: the best of a beam search differ
            how |= {"num_beams": count, "num_return_sequences": count}
        torch.manual_seed(int(sha256_bytes(f"{self.job.seed}:{first}".encode())[:15], 16))
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=self._new_tokens(),
                pad_token_id=self.tokenizer.pad_token_id,
                **how,
            )
        if not self.is_pair:
            out = out[:, batch["input_ids"].shape[1] :]
        texts = [str(text).strip() for text in self.tokenizer.batch_decode(out, skip_special_tokens=True)]
        found = []
        for place, tokens in enumerate(cut):
            own = texts[place * count : (place + 1) * count]
            rows = out[place * count : (place + 1) * count]
            answered = int((rows != self.tokenizer.pad_token_id).sum())
            raw = json.dumps({"queries": own}, ensure_ascii=False) if self.is_pair else own[0]
            found.append((raw, len(tokens), answered))
        return found
