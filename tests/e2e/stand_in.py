"""MiniStack with IAM switched on, and six of its differences from AWS mended.

    AUTH=true GATEWAY_PORT=… python stand_in.py

With AUTH=true MiniStack holds every call against the policies of the role that makes it, so that a permission which the
template lacks fails the test. MiniStack 1.5.33 differs from AWS where each function below says so: without them it
refuses a template that is right, or takes one that is wrong. Everything else is MiniStack as it comes; what it does not
do stands in docs/end-to-end.md.

The functions replace functions of MiniStack, so its version is pinned in requirements.txt. A name that a newer version
no longer has ends the start with an AttributeError.
"""

import json
import os
import re
import signal
import sys
import threading
import time

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import lambda_svc, sqs
from ministack.services.cloudformation import provisioners

PARTITION_KEY = "PK"  # of the only table


def mend_batch_actions():
    """On AWS the permission for one message covers a batch. MiniStack asks for sqs:SendMessageBatch and its like, which
    IAM does not know.
    """
    original = iam_actions.extract_iam_action

    def extract_iam_action(service, *arguments):
        action = original(service, *arguments)
        return action.removesuffix("Batch") if service == "sqs" and action else action

    iam_actions.extract_iam_action = extract_iam_action


def mend_principal_arn():
    """aws:PrincipalArn is on AWS the role's ARN, in its sessions too. MiniStack gives the session's."""
    original = iam_evaluator._resolve_condition_key

    def resolve(key, context):
        value = original(key, context)
        if key.lower() == "aws:principalarn":
            session = re.fullmatch(r"arn:(.*):sts::(\d+):assumed-role/(.+)/[^/]+", value or "")
            if session:
                return "arn:{}:iam::{}:role/{}".format(*session.groups())
        return value

    iam_evaluator._resolve_condition_key = resolve


def mend_leading_keys():
    """MiniStack does not know dynamodb:LeadingKeys, so that conditions on it always hold."""
    original = iam_actions.dynamodb_service_context

    def service_context(body):
        return {**original(body), "dynamodb:LeadingKeys": list(leading_keys(json.loads(body or b"{}"))) or None}

    iam_actions.dynamodb_service_context = service_context


def leading_keys(request):
    """The values of the partition key in a request: of its keys and items, at whatever depth, or of a query."""
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


def mend_numbers_from_parameters():
    """What a Number parameter gives to an event source mapping stays text, which stops the poller of all queues."""
    original = lambda_svc._sqs_esm_concurrency

    def concurrency(mapping, *arguments):
        scaling = {name: int(value) for name, value in (mapping.get("ScalingConfig") or {}).items()}
        return original({**mapping, "ScalingConfig": scaling}, *arguments)

    lambda_svc._sqs_esm_concurrency = concurrency


def keep_batching_windows():
    """MiniStack ignores MaximumBatchingWindowInSeconds."""
    original = sqs._receive_messages_for_esm

    def receive(queue_url, batch_size):
        queue, now = sqs._queues[queue_url], time.time()
        mappings = [each for _, _, each in lambda_svc._iter_all_esms()]
        window = max(
            each["MaximumBatchingWindowInSeconds"]
            for each in mappings
            if each["EventSourceArn"] == queue["attributes"]["QueueArn"]
        )
        waiting = [message["visible_at"] for message in queue["messages"] if message["visible_at"] <= now]
        if not waiting or (now - min(waiting) < window and len(waiting) < int(batch_size)):
            return []
        return original(queue_url, batch_size)

    sqs._receive_messages_for_esm = receive


def accept_alarms_on_expressions():
    """MiniStack refuses alarms on expressions, and with them the whole template. Its alarms never ring anyway."""
    original = provisioners._cw_metric_alarm_record

    def record(name, properties):
        if properties.get("Metrics"):
            properties = {**properties, "Metrics": None, "Namespace": "expression", "MetricName": "expression"}
        return original(name, properties)

    provisioners._cw_metric_alarm_record = record


def log_refusals():
    """Not a difference: the test asks at the end what was refused."""
    original = iam_evaluator.enforce

    def enforce(access_key, action, *arguments, **named):
        refusal = original(access_key, action, *arguments, **named)
        if refusal is not None:
            print(f"IAM refuses {action} to {getattr(refusal, 'principal_arn', access_key)}", flush=True)
        return refusal

    iam_evaluator.enforce = enforce


def end_with_parent():
    """Whoever started this holds the other end of standard input. When that is closed, this ends."""

    def wait():
        os.read(sys.stdin.fileno(), 1)
        os.kill(os.getpid(), signal.SIGTERM)
        # It waits for open connections. Not for long: this process leads a group of its own, with all functions.
        time.sleep(5)
        os.killpg(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    mend_batch_actions()
    mend_principal_arn()
    mend_leading_keys()
    mend_numbers_from_parameters()
    keep_batching_windows()
    accept_alarms_on_expressions()
    log_refusals()
    # With TLS it would listen on port 443 too.
    app._port_is_bindable = lambda *_: False
    app.main()
