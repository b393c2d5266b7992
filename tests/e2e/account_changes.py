"""The end-to-end test of account events: Finn changes his name, turns on MFA, and deletes his account.

Finn and an attacker call Cognito's API. The stand-in emits what CloudTrail would report (cloudtrail.py): EventBridge's
rule, the queue and the worker are those of the template.
"""

import base64
import hashlib
import hmac
import json
import struct
import time
import uuid

from boto3.dynamodb.conditions import Key

from assertions import eventually, expect, expect_client_error
from client import UNLISTED_ROLE
from stack import ACCOUNT, REGION
from viewer import Viewer

EMAIL = "finn@example.com"
FAILURES = 10
# The attributes of the marker of an erased user, see docs/data-model.md.
MARKER = {"PK", "SK", "version", "erasedAt", "expiresAt"}


def run(report, stack):
    report.section("Account events of Finn")
    viewer = Viewer(stack)
    with report.step(f"an administrator creates {EMAIL}, who signs in; post-confirmation (invoked by the test)"):
        attributes = {"email": EMAIL, "email_verified": "true", "name": "Finn"}
        finn = stack.create_user(attributes)["sub"]
        stack.set_password(EMAIL)
        event = stack.trigger_event("post-confirmation/confirm-sign-up.json", finn, {"sub": finn, **attributes})
        expect(stack.invoke("PostConfirmationFunction", event) == event, "the trigger changed the event")
        token = stack.sign_in(EMAIL)["AccessToken"]
        eventually(lambda: profile(viewer, token).get("name") == "Finn", "his profile")
    change_name(report, stack, viewer, token, finn)
    turn_on_mfa(report, stack, token, finn)
    guess_passwords(report, stack, finn)
    forge_events(report, stack, finn)
    delete_account(report, stack, viewer, token, finn)


def profile(viewer, token):
    answer = viewer.request("/api/profile", token)
    return answer.json() if answer.status == 200 else {}


def change_name(report, stack, viewer, token, finn):
    with report.step("he changes his name through Cognito's API; the table and his page have the new one:") as step:
        stack.wait_for_workers()
        start = time.monotonic()
        stack.browser.update_user_attributes(
            AccessToken=token, UserAttributes=[{"Name": "name", "Value": "Finn Example"}]
        )
        eventually(lambda: stack.item(f"USER#{finn}", "PROFILE")["name"] == "Finn Example", "the new name")
        eventually(lambda: profile(viewer, token)["name"] == "Finn Example", "the page with the new name", seconds=60)
        step.show(f"after {time.monotonic() - start:.1f} s")
    with report.step("his attributes are not on the bus: the stored event names only what changed"):
        changes = [event for event in events_of(stack, finn) if event["type"] == "profile.updated"]
        expect(len(changes) == 1 and "Finn" not in json.dumps(changes), changes)


def turn_on_mfa(report, stack, token, finn):
    with report.step("he turns on MFA with an authenticator app; his statistics say so"):
        secret = stack.browser.associate_software_token(AccessToken=token)["SecretCode"]
        stack.browser.verify_software_token(AccessToken=token, UserCode=totp(secret))
        stack.browser.set_user_mfa_preference(
            AccessToken=token, SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True}
        )
        eventually(lambda: stack.user_statistics(finn).get("isMfaEnabled"), "MFA")


def guess_passwords(report, stack, finn):
    with report.step(f"someone tries {FAILURES} wrong passwords: counted, with one signal:") as step:
        for number in range(FAILURES):
            expect_client_error(lambda number=number: stack.sign_in(EMAIL, f"Wr0ng-horse-{number}!"))
        eventually(lambda: stack.user_statistics(finn).get("signInsFailed"), "failed sign-ins")
        stack.wait_for_workers()
        failed = stack.user_statistics(finn)["signInsFailed"]
        # MiniStack, like Cognito, refuses further attempts for a while. These calls fail in the same way.
        expect(failed == FAILURES, failed)
        signals = stack.metric_sum("AccountActivityFunction", "UsersWithManyFailures")
        expect(signals == 1, signals)
        step.show(f"UsersWithManyFailures: {signals}")


def envelope_of(event_name, sub):
    """A message of account-activities about a call of the user."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.cognito-idp",
        "account": ACCOUNT,
        "time": now,
        "region": REGION,
        "detail": {
            "eventTime": now,
            "eventSource": "cognito-idp.amazonaws.com",
            "eventName": event_name,
            "eventID": str(uuid.uuid4()),
            "awsRegion": REGION,
            "sourceIPAddress": "192.0.2.10",
            "requestParameters": {"accessToken": "HIDDEN_DUE_TO_SECURITY_REASONS"},
            "additionalEventData": {"sub": sub},
        },
    }


def forge_events(report, stack, finn):
    envelope = envelope_of("DeleteUser", finn)
    with report.step("a role outside OperatorArns cannot send to account-activities:") as step:
        unlisted = stack.assume_role(UNLISTED_ROLE, ACCOUNT, may_send=True)
        error = expect_client_error(
            lambda: stack.send_messages(unlisted, [json.dumps(envelope)], "AccountActivitiesQueue")
        )
        expect("AccessDenied" in error["Code"], error)
        step.show(error["Code"])
    with report.step("nobody can put an event with the source aws.cognito-idp on the bus:") as step:
        detail = json.dumps(envelope["detail"])
        entry = {"Source": "aws.cognito-idp", "DetailType": envelope["detail-type"], "Detail": detail}
        result = stack.ministack.client("events").put_events(Entries=[entry])
        expect(result["FailedEntryCount"] == 1, result)
        step.show(result["Entries"][0]["ErrorCode"])
    with report.step("an event with another source does not match the rule: Finn is still there"):
        entry["Source"] = "shop.cognito-idp"
        result = stack.ministack.client("events").put_events(Entries=[entry])
        expect(result["FailedEntryCount"] == 0, result)
        stack.wait_for_workers()
        expect(stack.item(f"USER#{finn}", "PROFILE"), "Finn is gone")


def delete_account(report, stack, viewer, token, finn):
    with report.step("he deletes his account through Cognito's API; the table has only the marker:") as step:
        start = time.monotonic()
        stack.browser.delete_user(AccessToken=token)
        items = eventually(lambda: only_marker(stack, finn), "nothing but the marker", seconds=60)
        step.show(f"after {time.monotonic() - start:.1f} s: {', '.join(sorted(items[0]))}")
    with report.step("his page is gone, although his token is still valid"):
        eventually(lambda: viewer.request("/api/profile", token).status == 404, "no page", seconds=60)
    with report.step("late events about him change nothing, and no dead letter is left"):
        operator = stack.assume_role("operator", ACCOUNT, may_send=True)
        late = [json.dumps(envelope_of(name, finn)) for name in ("UpdateUserAttributes", "ChangePassword", "DeleteUser")]
        stack.send_messages(operator, late, "AccountActivitiesQueue")
        stack.wait_for_workers()
        expect(only_marker(stack, finn), items_of(stack, finn))
        letters = stack.message_count("AccountActivitiesDeadLetterQueue")
        expect(letters == 0, f"{letters} dead letters")


def items_of(stack, sub):
    return stack.table.query(KeyConditionExpression=Key("PK").eq(f"USER#{sub}"), ConsistentRead=True)["Items"]


def events_of(stack, sub):
    return [json.loads(item["event"]) for item in items_of(stack, sub) if item["SK"].startswith("EVENT#")]


def only_marker(stack, sub):
    """The items of the user, if the only one is the marker."""
    items = items_of(stack, sub)
    return items if [set(item) for item in items] == [MARKER] else None


def totp(secret):
    """The code of an authenticator app (RFC 6238): six digits, 30 seconds, SHA-1."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"
