"""user-stats: counts events per user, with Powertools for AWS Lambda (Python).

Batch processing and idempotency are combined as in the documentation of Powertools. A failed record is reported as a
batch item failure. For an event that was counted before, the result comes from the idempotency table.
"""

import json
import os
from datetime import datetime, timezone
from decimal import Decimal

import boto3
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

TABLE_NAME = os.environ["TABLE_NAME"]
CACHE_INVALIDATIONS_QUEUE_URL = os.environ["CACHE_INVALIDATIONS_QUEUE_URL"]

dynamodb = boto3.client("dynamodb")
sqs = boto3.client("sqs")

processor = BatchProcessor(event_type=EventType.SQS)
persistence_layer = DynamoDBPersistenceLayer(
    table_name=os.environ["IDEMPOTENCY_TABLE_NAME"], boto3_client=dynamodb
)
# Source and id identify an event. A message can be redelivered for 28 days: from its queue, then from the dead-letter
# queue.
config = IdempotencyConfig(event_key_jmespath="[source, id]", expires_after_seconds=28 * 24 * 3600)

# The counter of an event type, and the number that an event adds to it.
COUNTERS = {
    "user.password_reset": ("passwordResets", 1),
    "user.signed_in": ("signIns", 1),
    "user.token_refreshed": ("tokenRefreshes", 1),
    "order.placed": ("orders", 1),
    "order.cancelled": ("ordersCancelled", 1),
    "activity.recorded": ("activities", 1),
    "notification.created": ("unreadNotifications", 1),
    "notification.read": ("unreadNotifications", -1),
}
# Event types that show that the user was active. Types that anyone can cause without signing in are not included.
SEEN = {
    "user.confirmed",
    "user.password_reset",
    "user.signed_in",
    "user.token_refreshed",
    "profile.updated",
    "order.placed",
    "activity.recorded",
    "notification.read",
}
# The views of the user's data that an event type changes.
VIEWS = {
    "user.confirmed": ["dashboard", "profile"],
    "user.password_reset": ["dashboard"],
    "user.suspended": ["dashboard", "orders", "profile"],
    "user.reinstated": ["dashboard", "orders", "profile"],
    "profile.updated": ["dashboard", "profile"],
    "order.placed": ["dashboard", "orders"],
    "order.cancelled": ["dashboard", "orders"],
    "activity.recorded": ["dashboard"],
    "notification.created": ["dashboard"],
    "notification.read": ["dashboard"],
}
ATTEMPTS = {"user.sign_up_attempted", "user.sign_in_attempted", "user.message_requested"}
KNOWN = COUNTERS.keys() | SEEN | VIEWS.keys() | ATTEMPTS


def counters(event: dict) -> dict:
    """The numbers that the event adds to the counters. Raises ValueError if the event cannot be counted."""
    event_type, data = event["type"], event.get("data", {})
    if event_type not in KNOWN:
        raise ValueError("unknown event type")
    added = dict([COUNTERS[event_type]]) if event_type in COUNTERS else {}
    if event_type in ("order.placed", "order.cancelled"):
        amount = Decimal(data["amount"])
        if amount <= 0:
            raise ValueError("the amount is not positive")
        # ADD does not support nested attributes, so each currency has an attribute of its own.
        added[f"spent{data['currency']}"] = amount if event_type == "order.placed" else -amount
    elif event_type == "user.sign_up_attempted":
        added = {"signUps": 1, "signUpsDenied" if data["outcome"] == "denied" else "signUpsAllowed": 1}
    elif event_type == "user.sign_in_attempted" and data["outcome"] == "denied" and event["subject"] != "unknown":
        added = {"signInsDenied": 1}
    elif event_type == "user.message_requested":
        added = {f"messages_{data['kind']}": 1}
    return added


def partition_key(subject: str) -> str:
    return f"DOMAIN#{subject.removeprefix('domain:')}" if subject.startswith("domain:") else f"USER#{subject}"


def update_statistics(event: dict) -> None:
    added = counters(event)
    names = {f"#{name}": name for name in added}
    values = {f":{name}": {"N": str(value)} for name, value in added.items()}
    expressions = []
    if event["type"] in SEEN:
        at = datetime.fromisoformat(event["time"])
        names |= {"#firstSeenAt": "firstSeenAt", "#lastSeenAt": "lastSeenAt"}
        values[":at"] = {"N": str(int(at.timestamp() * 1000))}
        expressions.append("SET #lastSeenAt = :at, #firstSeenAt = if_not_exists(#firstSeenAt, :at)")
    if added:
        expressions.append("ADD " + ", ".join(f"#{name} :{name}" for name in added))
    if not expressions:
        return
    dynamodb.update_item(
        TableName=TABLE_NAME,
        Key={"PK": {"S": partition_key(event["subject"])}, "SK": {"S": "STATS"}},
        UpdateExpression=" ".join(expressions),
        ExpressionAttributeNames=names,
        ExpressionAttributeValues=values,
    )


def send_data_changed(event: dict) -> None:
    """Publishes that the cached pages of the user are stale."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = {
        "specversion": "1.0",
        "id": f"{event['id']}-changed",
        "source": "/user-stats",
        "type": "user.data_changed",
        "subject": event["subject"],
        "time": now,
        "datacontenttype": "application/json",
        "data": {"views": VIEWS[event["type"]], "changed_at": now},
    }
    sqs.send_message(QueueUrl=CACHE_INVALIDATIONS_QUEUE_URL, MessageBody=json.dumps(message))


@idempotent_function(data_keyword_argument="event", persistence_store=persistence_layer, config=config)
def apply(event: dict) -> None:
    update_statistics(event)
    if event["type"] in VIEWS:
        send_data_changed(event)


def record_handler(record: SQSRecord) -> None:
    apply(event=json.loads(record.body))


def handler(event: dict, context: LambdaContext) -> dict:
    config.register_lambda_context(context)
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
