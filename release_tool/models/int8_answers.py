"""What an ONNX graph answers, in this process: for the search for what int8 may not touch.

Nothing here is proof: `validate` and `quality` ask the archive itself, in the server's own libraries. The search only
needs the same graph's answers before and after, on the same texts.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from release_tool.core.kinds import ModelKind, PoolingMode
from release_tool.core.probes import Probe, Role
from release_tool.models.onnx_writer import canonical, onnx_type
from release_tool.models.pooling import normalise, pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.core.plan import ReleasePlan
    from release_tool.models.onnx_weights import Graph
    from release_tool.models.tokenizer_json import ArchiveTokenizer

LEAST_SHARED = 1024
"""Numbers; smaller ones go along with the graph."""
AT_ONCE = 2
"""Texts; a session answers each on one thread, as the server does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Turns probes into what a graph is fed, and its outputs into answers."""

    plan: ReleasePlan
    kind: ModelKind
    tokenizer: ArchiveTokenizer
    shared: dict[str, Any] = field(default_factory=dict)
    """Initialiser → its numbers in float32, as onnxruntime takes them: the same in every graph of a search."""

    def answers(self, graph: Graph, probes: Sequence[Probe]) -> np.ndarray:
        """Return float32 [probes, width]: embeddings, weights of the vocabulary, or logits (width 1)."""
        session = self._session(graph)
        with ThreadPoolExecutor(AT_ONCE) as pool_of_threads:
            rows = list(pool_of_threads.map(lambda probe: self._answer(session, probe), probes))
        return np.stack(rows)

    def _session(self, graph: Graph) -> Any:
        """Load a graph whose weights stay where they are: dozens are loaded, one after the other."""
        import onnx
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = onnx.ModelProto()
        model.CopyFrom(graph.model)
        canonical(model)
        values = []
        for name, weight in graph.weights.items():
            if weight.made or weight.parts[0].numel() < LEAST_SHARED:
                model.graph.initializer.append(onnx.numpy_helper.from_array(weight.tensor().numpy(), name))
                continue
            if name not in self.shared:
                self.shared[name] = onnxruntime.OrtValue.ortvalue_from_numpy(weight.tensor().numpy())
            proto = model.graph.initializer.add(name=name, data_type=onnx_type(weight.dtype), dims=weight.shape)
            proto.data_location = onnx.TensorProto.EXTERNAL
            proto.external_data.add(key="location", value="memory")
            values.append(name)
        options.add_external_initializers(values, [self.shared[name] for name in values])
        content = model.SerializeToString()
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def tokens(self, probe: Probe) -> int:
        """Return the length of the input."""
        return len(self._encoded(probe).ids)

    def _encoded(self, probe: Probe) -> Any:
        facts = self.plan.source.model
        prefix = {Role.QUERY: facts.query_prefix, Role.PASSAGE: facts.passage_prefix}.get(probe.role or Role.PASSAGE)
        text = probe.text if probe.second is not None else (prefix or "") + probe.text
        return self.tokenizer.tokenizer.encode(text, probe.second)

    def _answer(self, session: Any, probe: Probe) -> np.ndarray:
        encoding = self._encoded(probe)
        arrays = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        feeds = {
            item.name: np.asarray([arrays[item.name.rsplit(".", 1)[-1]]], np.int64) for item in session.get_inputs()
        }
        output = session.run(None, feeds)[0]
        if self.kind is not ModelKind.DENSE:
            row: np.ndarray = output.reshape(-1)
            return row
        hidden, mask = torch.from_numpy(output), torch.from_numpy(feeds["attention_mask"])
        embedding = pool(self.plan.pooling_mode or PoolingMode.MEAN, hidden, mask)
        pooled: np.ndarray = (normalise(embedding) if self.plan.normalize_result else embedding)[0].numpy()
        return pooled


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows [n]; 1 where both are empty, 0 where one is."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    empty = (np.abs(first).max(axis=1) == 0) & (np.abs(second).max(axis=1) == 0)
    found: np.ndarray = np.where(empty, 1.0, products / np.where(lengths > 0, lengths, 1.0))
    return found


def figures(kind: ModelKind, before: np.ndarray, after: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the plan has tolerances for, each [n]: how far answers moved.

    Args:
        kind: what the rows are.
        before: float32 [n, width], of the graph in float32.
        after: the same of the quantised one.
    """
    if kind is ModelKind.CROSS_ENCODER:
        spread = float(before.max() - before.min())
        return {"logit": np.abs(after - before)[:, 0] / (spread or 1.0)}
    found = {"cosine": 1.0 - cosines(before, after)}
    if kind is ModelKind.DENSE:
        lengths = np.linalg.norm(before, axis=1)
        off = np.abs(np.linalg.norm(after, axis=1) - lengths)
        found["norm"] = off / np.where(lengths > 0, lengths, 1.0)
    return found
