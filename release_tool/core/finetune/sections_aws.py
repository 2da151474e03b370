"""``[aws]``: what the template in ``templates/aws/finetune`` is told beside the keys of the other sections.

Names and defaults of parameters are those of the OpenSearch fine-tuning sample, where it has them.
"""

from __future__ import annotations

from dataclasses import dataclass

from release_tool.core.finetune.keys import key

CPU_INSTANCES = ("ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge", "ml.c5.2xlarge", "ml.c5.4xlarge")
GPUS = {"ml.g5.xlarge": 1, "ml.g5.2xlarge": 1, "ml.p4d.24xlarge": 8}
"""Instance for scoring and training → its GPUs."""
ENDPOINT_INSTANCES = ("ml.g4dn.xlarge", "ml.g4dn.2xlarge", "ml.g5.xlarge", "ml.g5.2xlarge")


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSection:
    """``[aws]``."""

    search_role: str = key(
        "FineTuning-LambdaInvokeOpenSearchRole",
        "name of the role that reads the index and registers the model; mapped to a role of OpenSearch by hand",
        pattern=r"[a-zA-Z0-9+=,.@_-]{1,64}",
        parameter="FineTuningLambdaInvokeOpenSearchRoleName",
    )
    processing_instance: str = key(
        "ml.c5.4xlarge",
        "machine of the stages without a model",
        choices=CPU_INSTANCES,
        parameter="ProcessingInstanceType",
    )
    scoring_instance: str = key(
        "ml.g5.2xlarge", "machine of stage teach", choices=tuple(GPUS), parameter="ScoringInstanceType"
    )
    training_instance: str = key(
        "ml.g5.2xlarge", "machine of train and evaluate", choices=tuple(GPUS), parameter="TrainingInstanceType"
    )
    volume_gb: int = key(100, "disk of a machine", low=30, high=16_384, parameter="VolumeSizeInGB")
    deploy: bool = key(default=True, meaning="serve the new model by an endpoint", parameter="DeployEndpoint")
    register: bool = key(default=True, meaning="register the endpoint as a remote model", parameter="RegisterConnector")
    inference_instance: str = key(
        "ml.g5.xlarge", "machine of the endpoint", choices=ENDPOINT_INSTANCES, parameter="InferenceInstanceType"
    )
    inference_count: int = key(1, "machines of the endpoint", low=1, high=4, parameter="InitialInstanceCount")
