"""Starts MiniStack with IAM switched on and with patches for its differences from AWS.

    AUTH=true GATEWAY_PORT=… python stand_in.py

With AUTH=true, MiniStack checks every call against the policies of the role that makes it. A permission that is missing
in the template therefore fails the test.

MiniStack 1.5.33 differs from AWS in many ways. Each patch below removes a difference that makes MiniStack reject a
correct template or accept a wrong one. The patches for the read side are in edge.py and login.py, and
those for CloudTrail in cloudtrail.py.
docs/end-to-end.md lists the differences that remain.

The patches replace functions of MiniStack, so requirements.txt pins its version. If a newer version removes one of
these functions, the start fails with an AttributeError.
"""

import ast
import json
import os
import re
import signal
import sys
import threading
import time

import botocore.loaders
import botocore.model
import hypercorn.config
from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import cloudformation, cognito, lambda_svc, sqs
from ministack.services.cloudformation import changesets, engine, handlers, helpers, provisioners, stacks

import cloudtrail
import edge
import login

PARTITION_KEY = "PK"  # Of the template's only table.


def patch_batch_actions():
    """AWS checks sqs:SendMessage for SendMessageBatch, and likewise for the other batch calls of SQS.

    MiniStack checks sqs:SendMessageBatch, an action that IAM does not have.
    """
    original = iam_actions.extract_iam_action

    def extract_iam_action(service, *arguments):
        action = original(service, *arguments)
        return action.removesuffix("Batch") if service == "sqs" and action else action

    iam_actions.extract_iam_action = extract_iam_action


def patch_principal_arn():
    """On AWS, aws:PrincipalArn is the ARN of the role. MiniStack sets it to the ARN of the role's session."""
    original = iam_evaluator._resolve_condition_key

    def resolve(key, context):
        value = original(key, context)
        if key.lower() == "aws:principalarn":
            session = re.fullmatch(r"arn:(.*):sts::(\d+):assumed-role/(.+)/[^/]+", value or "")
            if session:
                return "arn:{}:iam::{}:role/{}".format(*session.groups())
        return value

    iam_evaluator._resolve_condition_key = resolve


def patch_leading_keys():
    """MiniStack does not know dynamodb:LeadingKeys, and treats a condition on it as fulfilled."""
    original = iam_actions.dynamodb_service_context

    def service_context(body):
        return {**original(body), "dynamodb:LeadingKeys": list(leading_keys(json.loads(body or b"{}"))) or None}

    iam_actions.dynamodb_service_context = service_context


def leading_keys(request):
    """All values of the partition key in a request: in keys and items at any depth, or in the condition of a query."""
    condition = request.get("KeyConditionExpression") if isinstance(request, dict) else None
    if condition:
        names = request.get("ExpressionAttributeNames", {})
        for name, value in re.findall(r"([#\w]+)\s*=\s*(:\w+)", condition):
            if names.get(name, name) == PARTITION_KEY:
                yield request["ExpressionAttributeValues"][value]["S"]
    elif isinstance(request, dict):
        if isinstance(key := request.get(PARTITION_KEY), dict):
            yield key["S"]
        else:
            for value in request.values():
                yield from leading_keys(value)
    elif isinstance(request, list):
        for value in request:
            yield from leading_keys(value)


def patch_event_source_mapping_numbers():
    """MiniStack keeps the value of a Number parameter as text, which stops the pollers of all event source mappings."""
    original = lambda_svc._sqs_esm_concurrency

    def concurrency(mapping, *arguments):
        scaling = {name: int(value) for name, value in (mapping.get("ScalingConfig") or {}).items()}
        return original({**mapping, "ScalingConfig": scaling}, *arguments)

    lambda_svc._sqs_esm_concurrency = concurrency


def patch_password_policy():
    """MiniStack keeps the values of parameters in a password policy as text, such as "12" and "false"."""
    original = cognito._password_policy_errors

    def errors(pool, password):
        policy = {
            name: json.loads(value) if isinstance(value, str) else value
            for name, value in pool["Policies"]["PasswordPolicy"].items()
        }
        return original({**pool, "Policies": {"PasswordPolicy": policy}}, password)

    cognito._password_policy_errors = errors


def patch_denied_sign_ins():
    """If pre-token-generation denies, Cognito answers UserLambdaValidationException with the sentence. MiniStack reports an
    internal error."""
    prefix = "PreTokenGeneration error: "
    for name in ("_initiate_auth", "_respond_to_auth_challenge"):

        def answer(data, original=getattr(cognito, name)):
            try:
                return original(data)
            except RuntimeError as error:
                if not str(error).startswith(prefix):
                    raise
                sentence = ast.literal_eval(str(error).removeprefix(prefix))["errorMessage"]
                message = f"PreTokenGeneration failed with error {sentence}."
                return cognito.error_response_json("UserLambdaValidationException", message, 400)

        setattr(cognito, name, answer)


def patch_types_of_answers():
    """MiniStack keeps numbers and truth values of the template as text, which the AWS SDK for Rust does not accept."""
    patch_types("cognito-idp", cognito, _describe_user_pool="DescribeUserPool")
    patch_types("cognito-idp", cognito, _describe_user_pool_client="DescribeUserPoolClient")
    patch_types("lambda", lambda_svc, _list_esms="ListEventSourceMappings")


def patch_types(service, module, **functions):
    """Gives the answers of these functions the types that the service's model has for the operation."""
    loader = botocore.loaders.Loader()
    model = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"))
    for name, operation in functions.items():
        original, shape = getattr(module, name), model.operation_model(operation).output_shape

        def answer(*arguments, original=original, shape=shape):
            status, headers, body = original(*arguments)
            if status == 200:
                body = json.dumps(typed(shape, json.loads(body))).encode()
            return status, headers, body

        setattr(module, name, answer)


def typed(shape, value):
    """A value of an answer with the types of its shape."""
    if shape.type_name == "structure" and isinstance(value, dict):
        members = shape.members
        return {name: typed(members[name], item) if name in members else item for name, item in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [typed(shape.member, item) for item in value]
    if shape.type_name in ("integer", "long", "boolean") and isinstance(value, str):
        return json.loads(value)
    return value


def patch_user_pool_settings():
    """AWS sets what UpdateUserPool does not get to its default value. MiniStack keeps it, ignores new members, and shows
    settings of GetUserPoolMfaConfig in DescribeUserPool."""
    model = botocore.loaders.Loader().load_service_model("cognito-idp", "service-2")["shapes"]
    shown = set(model["UserPoolType"]["members"])
    # The name and the feature plan stay without a value.
    resettable = set(model["UpdateUserPoolRequest"]["members"]) - {"UserPoolId", "PoolName", "UserPoolTier"}
    original_update, original_output = cognito._update_user_pool, cognito._pool_out

    def update(data):
        response = original_update(data)
        pool, error = cognito._resolve_pool(data.get("UserPoolId"))
        if error or response[0] >= 400:
            return response
        new = json.loads(cognito._create_user_pool({"PoolName": "defaults"})[2])["UserPool"]
        del cognito._user_pools[new["Id"]]
        for member in resettable:
            if member in data:
                pool[member] = data[member]
            elif member in new:
                pool[member] = new[member]
            else:
                pool.pop(member, None)
        pool["Name"] = data.get("PoolName", pool["Name"])
        return response

    def output(pool):
        return {name: value for name, value in original_output(pool).items() if name in shown}

    cognito._update_user_pool, cognito._pool_out = update, output


def patch_stack_of_resource():
    """CloudFormation finds the stack that manages a resource by PhysicalResourceId. MiniStack wants the stack's name."""
    original = handlers._describe_stack_resources

    def describe(params):
        physical_id = handlers._p(params, "PhysicalResourceId")
        for name, stack in cloudformation._stacks.items() if physical_id else ():
            resources = stack.get("_resources", {}).values()
            if any(resource.get("PhysicalResourceId") == physical_id for resource in resources):
                return original({**params, "StackName": name})
        return original(params)

    handlers._ACTION_HANDLERS["DescribeStackResources"] = describe


def patch_batching_window():
    """MiniStack ignores MaximumBatchingWindowInSeconds."""
    original = sqs._receive_messages_for_esm

    def receive(queue_url, batch_size):
        queue, now = sqs._queues[queue_url], time.time()
        mappings = [mapping for _, _, mapping in lambda_svc._iter_all_esms()]
        window = max(
            mapping["MaximumBatchingWindowInSeconds"]
            for mapping in mappings
            if mapping["EventSourceArn"] == queue["attributes"]["QueueArn"]
        )
        visible_since = [message["visible_at"] for message in queue["messages"] if message["visible_at"] <= now]
        if not visible_since or (now - min(visible_since) < window and len(visible_since) < int(batch_size)):
            return []
        return original(queue_url, batch_size)

    sqs._receive_messages_for_esm = receive


def patch_metric_math_alarms():
    """MiniStack rejects alarms on metric math expressions, and with them the template. It never evaluates alarms."""
    original = provisioners._cw_metric_alarm_record

    def record(name, properties):
        if properties.get("Metrics"):
            properties = {**properties, "Metrics": None, "Namespace": "expression", "MetricName": "expression"}
        return original(name, properties)

    provisioners._cw_metric_alarm_record = record


def patch_split_in_conditions():
    """CloudFormation evaluates Fn::Split of a parameter in a condition. MiniStack fails with a KeyError."""
    original = engine._evaluate_conditions

    def evaluate(template, parameters):
        def split(value):
            if isinstance(value, list):
                return [split(item) for item in value]
            if not isinstance(value, dict):
                return value
            if "Fn::Split" in value:
                separator, text = value["Fn::Split"]
                return parameters[text["Ref"]]["Value"].split(separator)
            return {name: split(item) for name, item in value.items()}

        return original({**template, "Conditions": split(template.get("Conditions", {}))}, parameters)

    for module in (engine, changesets, handlers, stacks):
        module._evaluate_conditions = evaluate


def patch_unknown_resources():
    """MiniStack rejects a template with resource types that it does not know. These only change the look of the login
    page, and which metrics there are."""
    for resource_type in ("AWS::Cognito::ManagedLoginBranding", "AWS::CloudFront::MonitoringSubscription"):
        provisioners._RESOURCE_HANDLERS[resource_type] = {
            "create": lambda logical_id, properties, stack_name: (logical_id, {}),
            "delete": lambda physical_id, properties: None,
        }


def patch_deletion_of_nested_stacks():
    """AWS keeps the resources of a nested stack that have DeletionPolicy Retain. MiniStack deletes them."""
    handlers_of_stack = provisioners._RESOURCE_HANDLERS["AWS::CloudFormation::Stack"]
    original = handlers_of_stack["delete"]

    def delete(physical_id, properties):
        nested = cloudformation._stacks[provisioners._nested_stack_lookup_name(physical_id)]
        for logical_id, resource in nested["_template"]["Resources"].items():
            if resource.get("DeletionPolicy") == "Retain":
                nested["_resources"].pop(logical_id, None)
        original(physical_id, properties)

    handlers_of_stack["delete"] = delete


def patch_template_urls():
    """CloudFormation reads a template by both forms of S3's addresses. MiniStack only knows the bucket in the path."""
    original = helpers._resolve_document

    def resolve(params, body_key, url_key, label):
        urls = [re.sub(r"^https://([^./]+)\.(s3[^/]*)/", r"https://\2/\1/", url) for url in params.get(url_key, [])]
        return original({**params, url_key: urls} if urls else params, body_key, url_key, label)

    helpers._resolve_document = resolve


def log_iam_denials():
    """Logs each call that IAM denies, for the check at the end of the scenario. Not a difference from AWS."""
    original = iam_evaluator.enforce

    def enforce(access_key, action, *arguments, **named):
        denial = original(access_key, action, *arguments, **named)
        if denial is not None:
            print(f"IAM denied {action} to {getattr(denial, 'principal_arn', access_key)}", flush=True)
        return denial

    iam_evaluator.enforce = enforce


def end_with_parent():
    """Ends this process when standard input is closed, which happens when the parent process ends."""

    def wait():
        os.read(sys.stdin.fileno(), 1)
        os.kill(os.getpid(), signal.SIGTERM)
        # After SIGTERM, MiniStack waits for open connections. Kill it after 5 s, together with all functions: they
        # are in the process group of this process.
        time.sleep(5)
        os.killpg(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    patch_batch_actions()
    patch_principal_arn()
    patch_leading_keys()
    patch_event_source_mapping_numbers()
    patch_password_policy()
    patch_denied_sign_ins()
    patch_types_of_answers()
    patch_user_pool_settings()
    patch_stack_of_resource()
    patch_batching_window()
    patch_metric_math_alarms()
    patch_split_in_conditions()
    patch_unknown_resources()
    patch_deletion_of_nested_stacks()
    patch_template_urls()
    cloudtrail.patch_cloudtrail()
    edge.patch_jwks()
    edge.patch_http_api_origin()
    edge.patch_cache()
    login.patch_refreshed_tokens()
    login.patch_revocation()
    log_iam_denials()
    # MiniStack closes a connection after 1,000 requests, whatever the browser has just sent on it.
    hypercorn.config.Config.keep_alive_max_requests = sys.maxsize
    # Without this line, MiniStack with TLS also listens on port 443.
    app._port_is_bindable = lambda *_: False
    app.main()
