"""CloudTrail's part in MiniStack: a call to Cognito becomes an event on the default event bus.

MiniStack records no calls of Cognito, and its PutEvents refuses sources that begin with `aws.`, as EventBridge does. So
the stand-in emits the events with MiniStack's own function, which its services use. EventBridge's rules, their
patterns and their targets are MiniStack's.

The events have the shape of the fixtures in events/account-activity/, whose sources docs/account-events.md lists. On
AWS they arrive minutes later, and not in order. Here they arrive at once.
"""

import contextlib
import json
import uuid
from datetime import datetime, timezone

from ministack.core.responses import get_account_id, get_region
from ministack.services import cognito, eventbridge

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
# The parameters that CloudTrail shows.
SHOWN = {"userPoolId", "clientId", "authFlow", "challengeName", "groupName", "permanent"}
# MiniStack sees the loopback address. This one is for documentation (RFC 5737).
SOURCE_ADDRESS = "192.0.2.10"
READS = ("Get", "List", "Describe", "AdminGet", "AdminList")


def patch_cloudtrail():
    """Emits an event for each call to a user pool that is about a user, also if the call fails."""
    original = cognito._dispatch_idp

    async def dispatch(action, data):
        # Before the call, because it may delete the user.
        sub = None if action.startswith(READS) else sub_of(data)
        response = await original(action, data)
        if sub:
            emit(action, data, sub, response)
        return response

    cognito._dispatch_idp = dispatch


def sub_of(data):
    """The sub of the user that a call is about, or None: the user does not exist, or the call is not about one."""
    user = None
    with contextlib.suppress(Exception):
        if "AccessToken" in data:
            user, _ = cognito._user_pool_for_access_token(data["AccessToken"])
        else:
            parameters = data.get("AuthParameters") or data.get("ChallengeResponses") or {}
            username = data.get("Username") or parameters.get("USERNAME")
            user, _ = cognito._resolve_user(pool_of(data), username)
    attributes = {attribute["Name"]: attribute["Value"] for attribute in (user or {}).get("Attributes", [])}
    return attributes.get("sub")


def pool_of(data):
    pools = cognito._user_pools
    if "UserPoolId" in data:
        return pools[data["UserPoolId"]]
    return next(pool for pool in pools.values() if data["ClientId"] in pool["_clients"])


def emit(action, data, sub, response):
    status, _, body = response[:3]
    now = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    parameters = {name[0].lower() + name[1:]: value for name, value in data.items()}
    detail = {
        "eventVersion": "1.11",
        "userIdentity": {"type": "Unknown", "principalId": "Anonymous"},
        "eventTime": now,
        "eventSource": "cognito-idp.amazonaws.com",
        "eventName": action,
        "awsRegion": get_region(),
        "sourceIPAddress": SOURCE_ADDRESS,
        "userAgent": "end-to-end",
        "requestParameters": {name: value if name in SHOWN else HIDDEN for name, value in parameters.items()},
        "responseElements": None,
        "additionalEventData": {"sub": sub},
        "requestID": str(uuid.uuid4()),
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": get_account_id(),
        "eventCategory": "Management",
    }
    if status >= 400:
        error = json.loads(body)
        detail["errorCode"] = error["__type"].rsplit("#", 1)[-1]
        detail["errorMessage"] = error.get("message") or error.get("Message")
    entry = {"Source": "aws.cognito-idp", "DetailType": "AWS API Call via CloudTrail", "Detail": json.dumps(detail)}
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
