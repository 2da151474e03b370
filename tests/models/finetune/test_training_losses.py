"""A student is trained, chosen and measured by what its documents are ranked by when it serves."""

from __future__ import annotations

import pytest
from toy_training import base_of, job_of

from release_tool.core.finetune.training_job import Start

START = Start(row_tokens=10, label_spread=0.5, score_spread=0.5)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return base_of(tmp_path_factory.mktemp("losses"), "dense")


@pytest.mark.parametrize(("named", "wanted"), [("cosine", 1.0), ("dot", 6.0), ("euclidean", 1.0)])
def test_a_dense_student_is_trained_by_its_own_similarity(base, tmp_path, named, wanted):
    import torch

    from release_tool.models.finetune.dev_measure import similarity
    from release_tool.models.finetune.students import load_dense
    from release_tool.models.finetune.training_losses import make_loss

    model = load_dense(base, 32, "cpu")
    model.similarity_fn_name = named
    query, document = torch.tensor([[1.0, 0.0]]), torch.tensor([[6.0, 0.0]])
    assert float(similarity(model, query, document)) == pytest.approx(wanted)
    for name in ("kl", "margin_mse", "mnrl"):
        loss = make_loss(job_of(tmp_path, "dense", base), model, START, name)
        assert float(loss.similarity_fct(query, document)) == pytest.approx(wanted), name
    assert loss.scale == (1.0 if named == "dot" else 20.0)
