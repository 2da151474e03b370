"""The AWS template of fine-tuning: its parameters, what its roles may, and the shape of its workflow."""

from __future__ import annotations

import json
import re

import pytest
from aws.template import load

from release_tool.core.finetune.keys import keys_of, rule_problem
from release_tool.core.finetune.parameters import parameter_keys, recipe_data
from release_tool.core.finetune.recipe import SECTIONS

SAMPLE = {
    "OpenSearchEndpoint": "",
    "FineTuningLambdaInvokeOpenSearchRoleName": "FineTuning-LambdaInvokeOpenSearchRole",
    "OpenSearchIndexName": "",
    "TextFieldNames": "content",
    "ModelName": None,
    "BaseModelId": "BAAI/bge-m3",
    "InputType": "s3",
    "S3CorpusPath": "",
    "SampleQueryUri": "",
    "MaxCorpusDocuments": 10_000_000,
    "MaxQueryDocuments": 20_000,
    "BedrockModelId": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "QueriesPerDocument": 5,
    "ProcessingInstanceType": "ml.c5.4xlarge",
    "ScoringInstanceType": "ml.g5.2xlarge",
    "TrainingInstanceType": "ml.g5.2xlarge",
    "TrainBatchSize": 1,
    "MaxSteps": 500,
    "LearningRate": "5e-6",
    "MaxSeqLength": 512,
    "DeployEndpoint": "true",
    "RegisterConnector": "true",
    "InferenceInstanceType": "ml.g5.xlarge",
    "InitialInstanceCount": 1,
}
"""Parameter → default of the OpenSearch fine-tuning sample; null where one must be given."""
RANGES = {
    "MaxCorpusDocuments": (1000, 10_000_000), "MaxQueryDocuments": (100, 100_000), "QueriesPerDocument": (1, 10),
    "TrainBatchSize": (1, 64), "MaxSteps": (-1, 1000), "MaxSeqLength": (128, 2048), "InitialInstanceCount": (1, 4),
}  # fmt: skip
OURS = {"RecipeUri", "BucketName", "LambdaZipUrl", "TrainingScriptZipUrl", "ImageAccount"}
"""Parameters that are no key of a recipe: where things lie."""
OTHER_DEFAULTS = {"TrainBatchSize", "InputType", "DollarsIn", "DollarsOut", "MaxDollars"}
"""The recipe's own default is another: on a laptop, nothing is paid for."""
NO_RESOURCE = {
    "ecr:GetAuthorizationToken", "bedrock:ListModelInvocationJobs", "servicequotas:ListServiceQuotas",
    "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
}  # fmt: skip
"""Actions for which AWS knows no resource."""


@pytest.fixture(scope="module")
def template():
    return load("finetune/template.yml")


@pytest.fixture(scope="module")
def states(template):
    return template["Resources"]["Workflow"]["Properties"]["Definition"]["States"]


def test_the_samples_parameters_have_their_names_and_defaults(template):
    found = {name: one.get("Default") for name, one in template["Parameters"].items() if name in SAMPLE}
    assert found == SAMPLE


def test_the_samples_ranges_hold(template):
    parameters = template["Parameters"]
    assert {name: (parameters[name]["MinValue"], parameters[name]["MaxValue"]) for name in RANGES} == RANGES


def test_every_parameter_is_a_key_and_every_keys_parameter_is_there(template):
    assert set(template["Parameters"]) == set(parameter_keys()) | OURS


@pytest.mark.parametrize(("parameter", "place"), list(parameter_keys().items()))
def test_what_the_template_takes_the_key_takes_too(template, parameter, place):
    section, name = place
    one, rule = template["Parameters"][parameter], keys_of(SECTIONS[section])[name]
    values = [one.get("MinValue"), one.get("MaxValue"), one.get("Default"), *one.get("AllowedValues", ())]
    for value in values:
        text = "" if value is None else str(value)
        read = recipe_data({parameter: text}).get(section, {}).get(name) if text else None
        assert read is None or not rule_problem(rule, tuple(read) if isinstance(read, list) else read)
    if rule.choices and parameter != "InputType":
        assert set(one["AllowedValues"]) == set(rule.choices)


def test_the_defaults_are_those_of_the_recipe_but_for_a_few(template):
    for parameter, (section, name) in parameter_keys().items():
        default = template["Parameters"][parameter].get("Default")
        if parameter in OTHER_DEFAULTS or default in ("", None):
            continue
        read = recipe_data({parameter: str(default)})[section][name]
        own = getattr(SECTIONS[section](), name)
        assert (tuple(read) if isinstance(read, list) else read) == own, parameter


def test_every_parameter_of_a_key_reaches_the_functions_and_starts_the_workflow_anew(template):
    variables = template["Resources"]["Validate"]["Properties"]["Environment"]["Variables"]
    wanted = {*parameter_keys(), "RecipeUri"}
    assert {name.removeprefix("P_") for name in variables if name.startswith("P_")} == wanted
    assert all(variables[f"P_{name}"] == {"Ref": name} for name in wanted)
    watched = template["Resources"]["Start"]["Properties"]["Parameters"]["Fn::Join"][1]
    assert {one["Ref"] for one in watched if "Ref" in one} == wanted


def roles(template):
    return {name: one for name, one in template["Resources"].items() if one["Type"] == "AWS::IAM::Role"}


def statements(template):
    for name, one in template["Resources"].items():
        found = one.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in found.get("Policies", ())]
        documents += [found["PolicyDocument"]] if one["Type"] == "AWS::IAM::Policy" else []
        for statement in (inner for document in documents for inner in document["Statement"]):
            yield name, statement["Fn::If"][1] if "Fn::If" in statement else statement


def listed(value):
    return value if isinstance(value, list) else [value]


def test_no_role_may_more_than_it_names(template):
    for name, statement in statements(template):
        actions = listed(statement["Action"])
        assert not [action for action in actions if "*" in action], name
        if "*" in listed(statement["Resource"]):
            assert set(actions) <= NO_RESOURCE, name
        if "iam:PassRole" in actions:
            assert actions == ["iam:PassRole"]
            assert "Fn::GetAtt" in json.dumps(statement["Resource"])
    assert "ManagedPolicyArns" not in json.dumps(template)


def allowed(template, role, action):
    """Return the resources for which a role may do something, as one text."""
    found = [one for name, one in statements(template) if name == role and action in listed(one["Action"])]
    return json.dumps([listed(one["Resource"]) for one in found])


@pytest.mark.parametrize("role", ["ChecksRole", "JobRole", "SearchRole"])
@pytest.mark.parametrize("parameter", ["S3CorpusPath", "SampleQueryUri"])
def test_who_looks_at_a_file_may_list_its_bucket_and_read_it(template, role, parameter):
    for action in ("s3:ListBucket", "s3:GetObject"):
        assert f'{{"Ref": "{parameter}"}}' in allowed(template, role, action), action


def test_who_searches_the_cluster_may(template, states):
    substitutions = template["Resources"]["Workflow"]["Properties"]["DefinitionSubstitutions"]
    assert "SearchRole" in json.dumps(substitutions["ReadRoleArn"])
    assert "domain/*" in allowed(template, "SearchRole", "es:ESHttpPost")
    # Mining asks the cluster, too, where mine.engine says so.
    assert {states[name]["Parameters"]["RoleArn"] for name in ("Prepare", "Mine")} == {"${ReadRoleArn}"}
    assert states["Train"]["Parameters"]["RoleArn"] == "${JobRoleArn}"


def test_a_service_takes_a_role_for_this_account_only(template):
    for name, role in roles(template).items():
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            service = statement["Principal"]["Service"]
            assert isinstance(service, str)
            # Lambda sends no account with its request.
            condition = statement.get("Condition", {}).get("StringEquals")
            assert condition == (
                {"aws:SourceAccount": {"Ref": "AWS::AccountId"}} if "lambda" not in service else None
            ), name


def test_names_that_a_second_stack_would_meet_are_parameters(template):
    named = ("RoleName", "BucketName", "FunctionName", "StateMachineName", "PolicyName")
    for name, one in template["Resources"].items():
        given = {key: value for key, value in one.get("Properties", {}).items() if key in named and key != "PolicyName"}
        assert all(isinstance(value, dict) for value in given.values()), name


def test_the_packages_are_pinned_by_the_sha256_that_the_functions_are_loaded_from(template):
    pins = template["Mappings"]["Artifacts"]
    assert all(re.fullmatch("[0-9a-f]{64}", pins[one]["Sha256"]) for one in ("Lambda", "Training"))
    for name in ("Validate", "CheckQueries", "SmokePredict", "Register"):
        key = template["Resources"][name]["Properties"]["Code"]["S3Key"]["Fn::Sub"]
        assert key[0] == "packages/${Sha256}/finetune-lambda.zip"
        assert template["Resources"][name]["DependsOn"] == "Packages"


def test_every_task_has_an_end_a_second_try_and_a_place_for_its_failure(states):
    for name, state in states.items():
        if state["Type"] == "Task":
            assert state["TimeoutSeconds"] > 0
            assert state["Retry"]
            (catch,) = state["Catch"]
            assert catch["ErrorEquals"] == ["States.ALL"]
            assert catch["ResultPath"].startswith("$."), name


def following(state):
    choices = [one["Next"] for one in state.get("Choices", ())]
    return [*filter(None, [state.get("Next"), state.get("Default")]), *choices,
            *(one["Next"] for one in state.get("Catch", ()))]  # fmt: skip


def test_every_state_can_be_reached_and_every_next_one_is_there(template, states):
    definition = template["Resources"]["Workflow"]["Properties"]["Definition"]
    assert definition["QueryLanguage"] == "JSONPath"
    assert definition["TimeoutSeconds"] > 0
    reached, open_ = set(), [definition["StartAt"]]
    while open_:
        name = open_.pop()
        if name not in reached:
            reached.add(name)
            open_ += following(states[name])
    assert reached == set(states)
    ends = [state for state in states.values() if not following(state)]
    assert {state["Type"] for state in ends} == {"Succeed", "Fail"}


def test_every_failure_has_a_name_of_its_own(states):
    names = [state["Error"] for state in states.values() if state["Type"] == "Fail"]
    assert len(names) == len(set(names)) >= 10
    assert all(("Cause" in state) != ("CausePath" in state) for state in states.values() if state["Type"] == "Fail")


def test_a_job_never_has_the_name_of_another(states):
    jobs = [state for state in states.values() if "createTrainingJob" in state.get("Resource", "")]
    names = [state["Parameters"]["TrainingJobName.$"] for state in jobs]
    assert len(set(names)) == len(jobs) == 6
    for name in names:
        prefix = re.match(r"States.Format\('([a-z]+)-\{\}-\{\}', \$\.name, ", name)[1]
        assert len(prefix) <= 9
        assert "States.UUID()" in name


def test_the_workflow_goes_through_all_stages_in_their_order(states):
    from release_tool.core.finetune.stages import Stage

    last = [
        re.search(r"'job', '([a-z-]+)'", state["Parameters"]["AlgorithmSpecification"]["ContainerArguments.$"])[1]
        for state in states.values()
        if "createTrainingJob" in state.get("Resource", "")
    ]
    order = [stage.value for stage in Stage]
    assert [order.index(one) for one in last] == sorted(order.index(one) for one in last)
    assert last[-1] == order[-1]


def test_every_end_of_an_endpoint_is_met(states):
    known = re.findall(r"'StringEquals': '(\w+)'", str(states["EndpointState"]))
    assert known == ["InService", "Creating", "Updating", "SystemUpdating", "RollingBack"]
    assert states[states["EndpointState"]["Default"]]["Next"] == "DeleteEndpoint"


def test_what_a_function_is_called_is_there(template, repository):
    for name in ("Validate", "CheckQueries", "SmokePredict", "Register"):
        module, function = template["Resources"][name]["Properties"]["Handler"].split(".")
        text = (repository / "templates" / "aws" / "finetune" / f"{module}.py").read_text(encoding="utf-8")
        assert f"def {function}(event" in text


def test_the_helper_fits_into_the_template(template):
    assert len(template["Resources"]["Helper"]["Properties"]["Code"]["ZipFile"]) <= 4096
