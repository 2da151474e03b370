"""A server's reason in plain words, with what to do about it: people don't read Java.

Source of the texts: ML Commons' exceptions, tags 2.4.0.0 to 3.8.0.0, and answers of a 3.6 node.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A reason for people."""

    what: str
    """What is wrong; a sentence."""
    fix: str
    """What to do; a sentence or two."""


_SETTING = "release-tool ml doctor --apply"

_TABLE: tuple[tuple[str, str, str], ...] = (
    (
        r"allow_registering_model_via_url",
        "The cluster does not let models be registered by their address.",
        f"Allow it with {_SETTING} allow_registering_model_via_url, or upload the archive itself.",
    ),
    (
        r"allow_registering_model_via_local_file|upload.*local model.*(?:setting|enable)",
        "The cluster does not let archives be uploaded.",
        f"Allow it with {_SETTING} allow_registering_model_via_local_file, or register by address.",
    ),
    (
        r"URL can't match trusted url regex",
        "The cluster does not trust the archive's address.",
        f"Widen plugins.ml_commons.trusted_url_regex ({_SETTING} trusted_url_regex), or upload the archive itself.",
    ),
    (
        r"trusted.?connector.?endpoints? ?regex|Connector URL is not matching",
        "The cluster does not trust the address that the connector calls.",
        "Add the address to plugins.ml_commons.trusted_connector_endpoints_regex.",
    ),
    (
        r"local_?model.{0,20}(?:disabled|not enabled)|Local Model is currently disabled",
        "The cluster serves no local models.",
        f"Switch on plugins.ml_commons.local_model.enabled ({_SETTING} local_model.enabled).",
    ),
    (
        r"Remote Inference is currently disabled|remote.?inference.{0,20}(?:disabled|not enabled)",
        "The cluster calls no remote models.",
        f"Switch on plugins.ml_commons.remote_inference.enabled ({_SETTING} remote_inference.enabled).",
    ),
    (
        r"No eligible node",
        "No node of the cluster may run models.",
        f"Give a node the role ml, or let data nodes do it: {_SETTING} only_run_on_ml_node=false.",
    ),
    (
        r"Exceed max local model per node limit",
        "The node runs as many models as it may.",
        "Undeploy one, or raise plugins.ml_commons.max_model_on_node.",
    ),
    (
        r"model content changed",
        "The bytes are not those of the hash that was registered.",
        "Register again with the archive's own sha256; the file may have been replaced or cut.",
    ),
    (
        r"Model content Hash code need to be provided",
        "The request names no sha256 of the archive.",
        "Give it with --sha256, or let --config name a config.json that has model_content_hash_value.",
    ),
    (
        r"not in the pre-trained model list",
        "The cluster knows no pretrained model of this name, version and format.",
        "See release-tool ml pretrained list, or register by address or from a file.",
    ),
    (
        r"can only contain letters, numbers, spaces, and basic punctuation",
        "The name or the description holds characters that the server refuses since 3.1.",
        "Leave out signs such as & + ; % < > [ ] = # *.",
    ),
    (
        r"embedding dimension is null",
        "The request's function_name is missing or stands after model_config, or embedding_dimension is missing.",
        "Let function_name stand before model_config, and give embedding_dimension.",
    ),
    (
        r"model config is null",
        "The request has no model_config.",
        "Give the config.json of the archive with --config.",
    ),
    (
        r"Wrong pooling method",
        "The server does not know the pooling_mode.",
        "It is one of mean, mean_sqrt_len, max, weighted_mean, cls, last_token, none.",
    ),
    (
        r"Model cannot be deleted in deploying or deployed state|deployed state.*undeploy",
        "The model is deployed.",
        "Undeploy it first: release-tool ml undeploy.",
    ),
    (
        r"Model not ready yet",
        "The model is not deployed.",
        "Deploy it first: release-tool ml deploy.",
    ),
    (
        r"custom deployment plan",
        "The cluster chooses the nodes of a model itself.",
        f"Leave --node out, or allow it: {_SETTING} allow_custom_deployment_plan.",
    ),
    (
        r"name .* (?:is unavailable because it is used|is taken by)|The name you provided is already being used",
        "A model group of this name is there already.",
        "Give its id with --group, or another name.",
    ),
    (
        r"associated model versions",
        "The model group still holds models.",
        "Delete them first: release-tool ml search, release-tool ml delete.",
    ),
    (
        r"cannot specify model access control parameters",
        "The cluster does not hold anybody to who may see a group: model access control is off.",
        "Leave --access-mode and the roles out, or switch on plugins.ml_commons.model_access_control_enabled.",
    ),
    (
        r"(?:Model group not found|Failed to find model group|Fail to find model group)",
        "There is no such model group.",
        "See release-tool ml group search, or name one to be made.",
    ),
    (
        r"Failed to find model\b|Model not found|Fail to find model|No model found",
        "There is no such model.",
        "See release-tool ml search.",
    ),
    (
        r"Fail to find task|Failed to find task|Task not found",
        "There is no such task: it ended long ago, or its index was deleted.",
        "Look at the model itself: release-tool ml get.",
    ),
    (
        r"Find multiple model files|found multiple models",
        "The archive holds more than one model file.",
        "Pack it again with one .pt or .onnx at its root.",
    ),
    (
        r"No tokenizer file",
        "The archive has no tokenizer.json at its root.",
        "Pack it again.",
    ),
    (
        r"Can't find model file|file not found in:",
        "The archive has no model file at its root.",
        "Pack it again with one .pt or .onnx at its root.",
    ),
    (
        r"Model file size exceeds the limit",
        "The archive is larger than the server takes.",
        "It must stay below 4 GiB.",
    ),
    (
        r"Invalid (?:model )?interface|validating (?:input|output) schema|Error validating",
        "The request or the answer does not fit the interface that the model was registered with.",
        "Compare them with release-tool ml get, field interface.",
    ),
    (
        r"guardrails? triggered",
        "A guardrail of the model stopped the text.",
        "Change the text, or the guardrails with release-tool ml update.",
    ),
    (
        r"host name has private ip address",
        "The model is in a private network, and the cluster asks none there.",
        "Allow it: plugins.ml_commons.connector.private_ip_enabled true, known from 2.16 on.",
    ),
    (
        r"Missing credential",
        "The connector has no access_key and secret_key; a role is taken by Amazon OpenSearch Service only.",
        "Give both by the names of variables: --credential access_key=AWS_ACCESS_KEY_ID.",
    ),
    (
        r"pre_process_function not defined in connector",
        "The connector does not say how texts become a question.",
        "Ask by --parameter, or give its action a pre_process_function.",
    ),
    (
        r"Some parameter placeholder not filled in payload|Invalid payload",
        "The question lacks a parameter that the connector's body names.",
        "Give it with --parameter; a model that is asked by texts is asked by release-tool ml predict.",
    ),
    (
        r"models are still using this connector",
        "Models use the connector.",
        "Undeploy them to change it, delete them to delete it; their ids are named.",
    ),
    (
        r"no predict action found",
        "The connector has no action with action_type predict.",
        "Add one with release-tool ml connector update.",
    ),
    (
        r"Error from remote service",
        "The service behind the connector refused the question.",
        "Its own words stand at the end; look at the connector's parameters and credential.",
    ),
    (
        r"Request is throttled|rate limit",
        "The model's rate limiter stopped the request.",
        "Wait, or change it with release-tool ml update --rate-limit.",
    ),
    (
        r"disabled by (?:user|admin)|Model is disabled|is disabled",
        "The model is switched off.",
        "Switch it on: release-tool ml update --enable.",
    ),
    (
        r"When passing AsymmetricTextEmbeddingParameters",
        "The model does not tell queries from passages: it was registered without prefixes.",
        "Leave --content-type out, or register it with query_prefix and passage_prefix.",
    ),
    (
        r"embedding model chosen is asymmetric",
        "The model tells queries from passages, and the request does not say which this is.",
        "Give --content-type query or --content-type passage.",
    ),
    (
        r"aten::scaled_dot_product_attention|Unknown builtin op",
        "The model was traced with an operator that this server's libtorch does not know.",
        "Trace it for this version: release-tool trace --target-versions; see release-tool compat.",
    ),
    (
        r"Unsupported model IR version|opset \d+ is under development",
        "The ONNX file is newer than this server's onnxruntime.",
        "Export it for this version; see release-tool compat.",
    ),
    (
        r"UnknownHostException",
        "The node can't find a host that it must fetch something from.",
        "Let the node reach it, or upload the archive and bring the native libraries to the node.",
    ),
    (
        r"no permissions for|security_exception",
        "The user has no right to do this.",
        "Ask for a role that holds it, such as ml_full_access.",
    ),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), what, fix) for pattern, what, fix in _TABLE)


def explain(said: str) -> Explained | None:
    """Return a server's words in plain ones; null where nothing better than its own are known."""
    return next((Explained(what=what, fix=fix) for pattern, what, fix in _COMPILED if pattern.search(said)), None)
