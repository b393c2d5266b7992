"""pre-token-generation: denies the sign-in of a suspended user, and sets the groups and claims of the token."""

import json
import logging
import os
import re
import time
import uuid
from datetime import datetime, timezone
from urllib.parse import unquote_plus

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

logger = logging.getLogger()

TABLE_NAME = os.environ["TABLE_NAME"]
USER_EVENTS_QUEUE_URL = os.environ["USER_EVENTS_QUEUE_URL"]
GROUP_MEMBERSHIPS_QUEUE_URL = os.environ.get("GROUP_MEMBERSHIPS_QUEUE_URL")
ON_STORE_ERROR = os.environ.get("ON_STORE_ERROR", "deny")
GROUP_RULES = json.loads(os.environ.get("GROUP_RULES") or "[]")
TOKEN_CLAIMS = json.loads(os.environ.get("TOKEN_CLAIMS") or "{}")
MANAGED_GROUPS = {rule["group"] for rule in GROUP_RULES}

FLOWS = {
    "TokenGeneration_HostedAuth": "hosted",
    "TokenGeneration_Authentication": "password",
    "TokenGeneration_NewPasswordChallenge": "new_password",
    "TokenGeneration_AuthenticateDevice": "device",
    "TokenGeneration_RefreshTokens": "refresh",
}

# Cognito waits five seconds for a trigger, including its cold start.
config = Config(connect_timeout=0.5, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2})
dynamodb = boto3.client("dynamodb", config=config)
sqs = boto3.client("sqs", config=config)
deserialize = TypeDeserializer().deserialize


class SignInDenied(Exception):
    """The same text for every reason."""

    def __init__(self):
        super().__init__("Sign-in is not possible, please contact support")


def get_profile_and_suspension(user_id):
    """The items PROFILE and SUSPENSION of the user. Empty if there is none."""
    keys = [
        {"PK": {"S": f"USER#{user_id}"}, "SK": {"S": "PROFILE"}},
        {"PK": {"S": f"SUSPENSION#{user_id}"}, "SK": {"S": "SUSPENSION"}},
    ]
    response = dynamodb.batch_get_item(RequestItems={TABLE_NAME: {"Keys": keys, "ConsistentRead": True}})
    if response.get("UnprocessedKeys"):
        raise RuntimeError("DynamoDB returned only a part")
    items = {}
    for item in response["Responses"].get(TABLE_NAME, []):
        attributes = {name: deserialize(value) for name, value in item.items()}
        items[attributes["SK"]] = attributes
    return items.get("PROFILE", {}), items.get("SUSPENSION", {})


def is_suspended(profile, suspension):
    """Whether the flag isBanned is set, or a suspension is in force. A reinstatement has `until` equal to `at`."""
    if profile.get("isBanned") or not suspension:
        return profile.get("isBanned") is True
    until = suspension.get("until")
    return until is None or (until > suspension["at"] and time.time() * 1000 < until)


def create_event(event, event_type, user_id, data, event_id=None):
    """A CloudEvents 1.0 event about the user."""
    return {
        "specversion": "1.0",
        "id": event_id or str(uuid.uuid4()),
        "source": f"/cognito/{event['userPoolId']}",
        "type": event_type,
        "subject": user_id,
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
    }


def user_confirmed(event, user_id):
    """The event that an account was confirmed, sent if the profile is missing. All repetitions have the same id."""
    attributes = event["request"]["userAttributes"]
    data = {"username": event["userName"], "email_verified": attributes.get("email_verified") == "true"}
    data.update({name: attributes[name] for name in ("email", "name") if name in attributes})
    return create_event(event, "user.confirmed", user_id, data, f"{user_id}-confirmed")


def to_message(message):
    body = {"MessageBody": json.dumps(message)}
    # Fair queues: many messages of one user do not delay those of other users.
    if re.fullmatch(r"[!-~]{1,128}", message["subject"]):
        body["MessageGroupId"] = message["subject"]
    return body


def send(messages, queue_url=USER_EVENTS_QUEUE_URL):
    """Sends messages in one call. If SQS fails, the messages go to the log and the sign-in continues."""
    try:
        if len(messages) == 1:
            sqs.send_message(QueueUrl=queue_url, **to_message(messages[0]))
            return
        entries = [{"Id": str(index), **to_message(message)} for index, message in enumerate(messages)]
        response = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        for failed in response.get("Failed", []):
            logger.error("unsent event: %s", json.dumps(messages[int(failed["Id"])]))
    except Exception:
        logger.exception("unsent events: %s", json.dumps(messages))


def list_values(attribute):
    """The values of an attribute: a JSON list, Cognito's form-encoded `[a, b]`, or one value."""
    attribute_list = attribute.strip()
    inner = attribute_list[1:-1]
    if not (attribute_list.startswith("[") and attribute_list.endswith("]")):
        return [attribute]
    if '"' in inner:
        try:
            return json.loads(attribute_list)
        except ValueError:
            return [attribute]
    if "[" in inner or "]" in inner:
        return [attribute]
    return [unquote_plus(value.strip()) for value in inner.split(",")]


def gives_group(rule, attributes, providers):
    attribute = attributes.get(rule["attribute"])
    if attribute is None or (rule.get("provider") and rule["provider"] not in providers):
        return False
    values = list_values(attribute)
    if "equals" in rule:
        return values == [rule["equals"]]
    if "one_of" in rule:
        return len(values) == 1 and values[0] in rule["one_of"]
    return rule["contains"] in values


def map_groups(sent, attributes):
    """A group that is named in a rule is in the token if a rule gives it, and only then. Other groups stay as sent."""
    providers = [identity["providerName"] for identity in json.loads(attributes.get("identities", "[]"))]
    given = [rule["group"] for rule in GROUP_RULES if gives_group(rule, attributes, providers)]
    kept = [group for group in sent if group not in MANAGED_GROUPS or group in given]
    return list(dict.fromkeys(kept + given))


def set_response(event, groups, groups_changed):
    first_version = event["version"] == "1"
    has_claims = bool(TOKEN_CLAIMS) and not first_version
    if not groups_changed and not has_claims:
        return
    # An override replaces all groups, so it must contain the unchanged groups too.
    sent = event["request"].get("groupConfiguration") or {}
    details = {
        "groupOverrideDetails": {
            "groupsToOverride": groups,
            "iamRolesToOverride": sent.get("iamRolesToOverride") or [],
            "preferredRole": sent.get("preferredRole"),
        }
    }
    if first_version:
        details.update(claimsToAddOrOverride={}, claimsToSuppress=[])
        event["response"]["claimsOverrideDetails"] = details
        return
    if "id" in TOKEN_CLAIMS:
        details["idTokenGeneration"] = {"claimsToAddOrOverride": TOKEN_CLAIMS["id"], "claimsToSuppress": []}
    if TOKEN_CLAIMS.keys() & {"access", "scopes_to_add", "scopes_to_suppress"}:
        details["accessTokenGeneration"] = {
            "claimsToAddOrOverride": TOKEN_CLAIMS.get("access", {}),
            "claimsToSuppress": [],
            "scopesToAdd": TOKEN_CLAIMS.get("scopes_to_add", []),
            "scopesToSuppress": TOKEN_CLAIMS.get("scopes_to_suppress", []),
        }
    event["response"]["claimsAndScopeOverrideDetails"] = details


def handler(event, context):
    # Client credentials have no user.
    if event["triggerSource"] == "TokenGeneration_ClientCredentials":
        return event

    attributes = event["request"]["userAttributes"]
    user_id = attributes.get("sub") or event["userName"]
    flow = FLOWS.get(event["triggerSource"], "other")
    profile = None
    try:
        profile, suspension = get_profile_and_suspension(user_id)
        denied, reason = is_suspended(profile, suspension), "suspended"
    except Exception:
        logger.exception("could not read the suspension")
        denied, reason = ON_STORE_ERROR != "allow", "store_error"
    if denied:
        data = {"flow": flow, "outcome": "denied", "reason": reason}
        send([create_event(event, "user.sign_in_attempted", user_id, data)])
        raise SignInDenied

    sent = (event["request"].get("groupConfiguration") or {}).get("groupsToOverride") or []
    groups = map_groups(sent, attributes)
    if profile is None:
        # The table could not be read: the user keeps groups but gets no new ones.
        groups = [group for group in groups if group in sent]
    add = [group for group in groups if group not in sent]
    remove = [group for group in sent if group not in groups]

    client_id = event["callerContext"]["clientId"]
    if flow == "refresh":
        messages = [create_event(event, "user.token_refreshed", user_id, {"client_id": client_id})]
    else:
        data = {"flow": flow, "client_id": client_id, "groups": groups}
        messages = [create_event(event, "user.signed_in", user_id, data)]
    if profile is not None and "cognitoId" not in profile:
        messages.append(user_confirmed(event, user_id))
    send(messages)
    if (add or remove) and GROUP_MEMBERSHIPS_QUEUE_URL:
        data = {"user_pool_id": event["userPoolId"], "username": event["userName"], "add": add, "remove": remove}
        send([create_event(event, "user.groups_mapped", user_id, data)], GROUP_MEMBERSHIPS_QUEUE_URL)

    set_response(event, groups, bool(add or remove))
    return event
