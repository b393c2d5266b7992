"""The scenario of the end-to-end test: one user's first day, from sign-up to the deletion of the stack.

Users call Cognito without AWS credentials, as a browser does. MiniStack does not invoke some of the triggers: the
scenario invokes those through Lambda's API, with the events of the folder events/ ("invoked by the test").
docs/end-to-end.md lists these triggers, and what the scenario does not cover.
"""

import re

from boto3.dynamodb.conditions import Attr

import account_changes
import attach_story
import doctor_story
import operator_story
import own_changes
import page_story
import watch_story
from assertions import eventually, expect, expect_client_error
from client import UNLISTED_ROLE, StackClient, order_service_event, token_claims
from stack import ACCOUNT, PARAMETERS, PARTNER_ACCOUNT, STACK_NAME

SIGN_UP_DENIED = "Sign-up is not possible with this email address"
SIGN_IN_DENIED = "Sign-in is not possible, please contact support"


def run(report, stack, build, screenshots):
    """Runs all sections in order. Each section uses the users and events of the sections before it."""
    reject_invalid_parameters(report, stack, build)
    check_managed_login(report, stack)
    deny_sign_ups(report, stack)
    ana = sign_up(report, stack)
    sign_in(report, stack, ana)
    suspend_user(report, stack)
    suspend_email(report, stack)
    events = process_orders(report, stack, ana)
    dead_letter_invalid_messages(report, stack, ana)
    deliver_duplicates(report, stack, ana, events)
    operator_story.run(report, stack)
    attach_story.run(report, stack, build)
    page_story.run(report, stack, ana, screenshots)
    own_changes.measure(report, stack)
    account_changes.run(report, stack)
    watch_story.run(report, stack)
    doctor_story.run(report, stack)
    check_logs(report, stack)
    delete_stack(report, stack)


def reject_invalid_parameters(report, stack, build):
    report.section("Invalid parameters")
    with report.step("a deployment with two origins fails:") as step:
        reason = "Give ApiOriginDomainName or ExistingDistributionId, not both."
        origins = {"ApiOriginDomainName": "api.example.com", "ExistingDistributionId": "E2EXAMPLE1ABCD"}
        two_origins = {**PARAMETERS, **origins, "AdminGroups": "", "IdentityPool": "false"}
        output = stack.ministack.deploy(build, two_origins, must_fail=True)
        expect(reason in output, output)
        step.show(reason)
    with report.step("a deployment of the read API with an invalidation by path fails:") as step:
        reason = "The read API needs InvalidationTarget tag."
        output = stack.ministack.deploy(build, {**PARAMETERS, "InvalidationTarget": "path"}, must_fail=True)
        expect(reason in output, output)
        step.show(reason)
    with report.step("a deployment with a sign-in flow that the feature plan does not have fails:") as step:
        reason = "AuthFlows with ALLOW_USER_AUTH need UserPoolTier ESSENTIALS or PLUS."
        lite = {"UserPoolTier": "LITE", "PreTokenGenerationVersion": "V1_0", "TokenClaims": ""}
        flows = {"AuthFlows": "ALLOW_USER_AUTH,ALLOW_REFRESH_TOKEN_AUTH"}
        output = stack.ministack.deploy(build, {**PARAMETERS, **lite, **flows}, must_fail=True)
        expect(reason in output, output)
        step.show(reason)
    with report.step("the failed deployments change neither resources nor outputs"):
        current = StackClient(stack.ministack, stack.root, stack.replay_binary)
        expect((current.resources, current.outputs) == (stack.resources, stack.outputs), current.resources)


def check_managed_login(report, stack):
    report.section("Managed login")
    with report.step("its app client has the code grant, and may write the mapped attribute custom:groups:") as step:
        client = stack.app_client_settings("ManagedLoginClientId")
        expect(client["AllowedOAuthFlows"] == ["code"] and client["AllowedOAuthFlowsUserPoolClient"], client)
        page = stack.outputs["PageUrl"]
        expect(client["CallbackURLs"] == [page, *PARAMETERS["CallbackUrls"].split(",")], client)
        expect(client["LogoutURLs"] == [page, *PARAMETERS["LogoutUrls"].split(",")], client)
        expect(client["WriteAttributes"] == ["email", "name", "locale", "custom:groups"], client)
        step.show(stack.outputs["ManagedLoginUrl"])
    with report.step("the client of the SDK may not write custom:groups, and has no grant"):
        client = stack.app_client_settings("UserPoolClientId")
        expect(client["WriteAttributes"] == ["email", "name", "locale"], client)
        expect(not client.get("AllowedOAuthFlowsUserPoolClient"), client)
    with report.step("the pool has the attribute custom:groups"):
        pool = stack.cognito.describe_user_pool(UserPoolId=stack.user_pool)["UserPool"]
        expect("custom:groups" in [attribute["Name"] for attribute in pool["SchemaAttributes"]], pool)


def deny_sign_ups(report, stack):
    report.section("Denied sign-ups")
    for email, domain_is in [("eve@spam.test", "blocked"), ("eve@evilexample.com", "only similar to an allowed one")]:
        with report.step(f"{email} cannot sign up, the domain is {domain_is}:") as step:
            error = expect_client_error(lambda: stack.sign_up(email, "Eve"))
            expect(error["Code"] == "UserLambdaValidationException", error)
            expect(SIGN_UP_DENIED in error["Message"], error)
            step.show(SIGN_UP_DENIED)
    with report.step("the statistics count both, the domain without a rule as `other`"):
        counts = {"signUps": 1, "signUpsAllowed": 0, "signUpsDenied": 1}
        for domain in ("spam.test", "other"):
            eventually(lambda: stack.domain_statistics(domain) == counts, f"one denied sign-up for {domain}")


def sign_up(report, stack):
    report.section("Sign-up of Ana")
    email = "ana@example.com"
    with report.step(f"{email} signs up and receives a code by email"):
        sub = stack.sign_up(email, "Ana Example")["UserSub"]
        code = re.search(r"\b\d{6}\b", stack.latest_email_to(email)["BodyText"])[0]
    with report.step("a wrong code is rejected:") as step:
        error = expect_client_error(lambda: stack.confirm_sign_up(email, "000000"))
        step.show(error["Message"])
    with report.step("the right code confirms her account"):
        stack.confirm_sign_up(email, code)
        user = stack.get_user(email)
        expect(user["UserStatus"] == "CONFIRMED", user["UserStatus"])
    with report.step("post-confirmation creates her profile (invoked by the test)"):
        attributes = {"sub": sub, "email": email, "email_verified": "true", "name": "Ana Example"}
        event = stack.trigger_event("post-confirmation/confirm-sign-up.json", sub, attributes)
        expect(stack.invoke("PostConfirmationFunction", event) == event, "the trigger changed the event")
        profile = eventually(lambda: stack.item(f"USER#{sub}", "PROFILE"), "a profile")
        expect((profile["email"], profile["name"]) == (email, "Ana Example"), profile)
    with report.step("user-stats applies the event that post-confirmation publishes"):
        eventually(lambda: "confirmedAt" in stack.user_statistics(sub), "confirmedAt")
    with report.step("custom-message renders the email with the code in French (invoked by the test):") as step:
        event = stack.trigger_event("custom-message/sign-up.json", sub, {**attributes, "locale": "fr"})
        response = stack.invoke("CustomMessageFunction", event)["response"]
        expect("{####}" in response["emailMessage"], response["emailMessage"])
        step.show(response["emailSubject"])
    return {"email": email, "sub": sub}


def sign_in(report, stack, ana):
    report.section("Sign-in of Ana")
    with report.step("pre-authentication allows her to sign in (invoked by the test)"):
        event = stack.trigger_event("pre-authentication/authentication.json", ana["sub"], {"sub": ana["sub"]})
        expect(stack.invoke("PreAuthenticationFunction", event) == event, "the trigger changed the event")
    with report.step("she signs in; her access token contains the claim of the parameter TokenClaims"):
        tokens = stack.sign_in(ana["email"])
        access_claims, id_claims = token_claims(tokens["AccessToken"]), token_claims(tokens["IdToken"])
        expect(access_claims["tenant"] == "example", access_claims)
        expect("cognito:groups" not in id_claims, id_claims)
    with report.step("an administrator sets her department; after her next sign-in she is in the group Developer"):
        stack.set_attributes(ana["email"], {"custom:department": "Engineering"})
        stack.sign_in(ana["email"])
        eventually(lambda: "Developer" in stack.groups(ana["sub"]), "the group Developer")
    with report.step("her tokens contain the group:") as step:
        tokens = stack.sign_in(ana["email"])
        for token in ("IdToken", "AccessToken"):
            claims = token_claims(tokens[token])
            expect(claims["cognito:groups"] == ["Developer"], claims)
        step.show("cognito:groups = Developer")
    with report.step("pre-token-generation adds the group to the first token already (invoked by the test)"):
        attributes = {"sub": ana["sub"], "custom:department": "Engineering"}
        event = stack.trigger_event("pre-token-generation/authentication.json", ana["sub"], attributes)
        override = stack.invoke("PreTokenGenerationFunction", event)["response"]["claimsAndScopeOverrideDetails"]
        groups = override["groupOverrideDetails"]["groupsToOverride"]
        expect(set(groups) == {"Developer", "Engineering", "Staff"}, groups)
    with report.step("the statistics count a token refresh separately from sign-ins"):
        stack.refresh_tokens(tokens["RefreshToken"])
        eventually(lambda: stack.user_statistics(ana["sub"]).get("tokenRefreshes"), "a token refresh")
        expect(stack.user_statistics(ana["sub"])["signIns"] >= 3, stack.user_statistics(ana["sub"]))
    with report.step("an unknown user gets the same error as a wrong password:") as step:
        unknown_user = expect_client_error(lambda: stack.sign_in("unknown@example.com"))
        wrong_password = expect_client_error(lambda: stack.sign_in(ana["email"], "Wr0ng-horse!"))
        expect(unknown_user == wrong_password, (unknown_user, wrong_password))
        step.show(wrong_password["Message"])


def suspend_user(report, stack):
    report.section("Invitation and suspension of Ben")
    email = "ben@example.com"
    with report.step(f"an administrator creates {email}; custom-message renders the invitation in German:") as step:
        sub = stack.create_user({"email": email, "email_verified": "true", "name": "Ben", "locale": "de"})["sub"]
        message = stack.latest_email_to(email)
        expect(message["Source"] == "no-reply@example.com", message["Source"])
        expect("Vorläufiges Passwort" in message["BodyHtml"], message["BodyHtml"])
        step.show(message["Subject"])
    with report.step("he signs in"):
        stack.set_password(email)
        tokens = stack.sign_in(email)
    with report.step("after a suspension he cannot sign in, and the error does not contain the reason:") as step:
        stack.suspend_user(sub, "chargebacks")
        error = expect_client_error(lambda: stack.sign_in(email))
        expect(SIGN_IN_DENIED in error["Message"], error)
        expect("chargebacks" not in error["Message"], error)
        step.show(SIGN_IN_DENIED)
    with report.step("he cannot refresh his tokens"):
        error = expect_client_error(lambda: stack.refresh_tokens(tokens["RefreshToken"]))
        expect(SIGN_IN_DENIED in error["Message"], error)
    with report.step(
        "pre-authentication returns the same error before Cognito checks a password (invoked by the test)"
    ):
        event = stack.trigger_event("pre-authentication/authentication.json", sub, {"sub": sub})
        error = stack.invoke("PreAuthenticationFunction", event)
        expect(error["errorMessage"] == SIGN_IN_DENIED, error)
    with report.step("the statistics count three denied attempts"):
        eventually(lambda: stack.user_statistics(sub).get("signInsDenied") == 3, "three denied sign-ins")


def suspend_email(report, stack):
    report.section("Suspension of Carla and of her email address")
    email, other_spelling = "carla@example.com", "Carla+second@example.com"
    with report.step(f"{email} signs up, confirms her account and signs in"):
        sub = stack.sign_up(email, "Carla")["UserSub"]
        stack.confirm_sign_up(email, re.search(r"\b\d{6}\b", stack.latest_email_to(email)["BodyText"])[0])
        tokens = stack.sign_in(email)
    with report.step("post-confirmation creates her profile (invoked by the test)"):
        event = stack.trigger_event("post-confirmation/confirm-sign-up.json", sub, {"sub": sub, "email": email})
        expect(stack.invoke("PostConfirmationFunction", event) == event, "the trigger changed the event")
        expect(stack.item(f"USER#{sub}", "PROFILE")["email"] == email, "no profile")
    pool = ["--user-pool", stack.user_pool]
    suspend = ["user", "suspend", sub, "--reason", "fraud", "--email", "--sign-out", *pool]
    with report.step("the dry run of `replay user suspend` shows each step and changes nothing:") as step:
        output = stack.replay(*suspend)
        expect("Dry run: nothing was changed." in output, output)
        expect(email not in output, output)
        for text in ["suspend the address of the profile", "sign the user out", "disable the account"]:
            expect(text in output, output)
        stack.refresh_tokens(tokens["RefreshToken"])
        step.show(output.splitlines()[-1])
    with report.step("with --yes, she is signed out and her account is disabled"):
        output = stack.replay(*suspend, "--yes")
        expect("User suspended." in output and output.count("  done  ") == 3, output)
        expect(not stack.get_user(email)["Enabled"], stack.get_user(email))
        expect_client_error(lambda: stack.refresh_tokens(tokens["RefreshToken"]))
        expect_client_error(lambda: stack.sign_in(email))
    with report.step(f"after the deletion of her account, {other_spelling} cannot sign up:") as step:
        stack.delete_user(email)
        for address in [other_spelling, email]:
            error = expect_client_error(lambda address=address: stack.sign_up(address, "Carla"))
            expect(SIGN_UP_DENIED in error["Message"], error)
        step.show(SIGN_UP_DENIED)
    with report.step("the statistics count both denials under the domain"):
        eventually(lambda: stack.domain_statistics("example.com")["signUpsDenied"] == 2, "two denied sign-ups")
    with report.step("the item of the address has neither the address nor her sub"):
        items = stack.table.scan(FilterExpression=Attr("PK").begins_with("SUSPENDED_EMAIL#"))["Items"]
        expect(len(items) == 1 and items[0].keys() == {"PK", "SK", "at"}, items)
        expect(sub not in str(items) and "carla" not in str(items), items)
    with report.step("after `replay user reinstate` the address can sign up again"):
        reinstate = ["user", "reinstate", sub, "--reason", "settled", "--email", email]
        expect("User reinstated." in stack.replay(*reinstate, "--yes"), "not reinstated")
        stack.sign_up(other_spelling, "Carla")


def process_orders(report, stack, ana):
    report.section("Orders of Ana")
    events = [
        order_service_event("order-1001-placed", "order.placed", ana, order_id="1001", amount="49.90", currency="EUR"),
        order_service_event("order-1002-placed", "order.placed", ana, order_id="1002", amount="12.50", currency="EUR"),
        order_service_event(
            "order-1002-cancelled", "order.cancelled", ana, order_id="1002", amount="12.50", currency="EUR"
        ),
        order_service_event(
            "notification-1",
            "notification.created",
            ana,
            notification_id="order-1001-confirmed",
            title="Order 1001 is confirmed",
        ),
    ]
    item = f"#user:{ana['sub']}"
    with report.step("so far nothing has invalidated her pages: a page that has just changed lives for seconds"):
        stack.wait_for_workers()
        before = stack.invalidations()
        expect([item] not in before, before)
    with report.step("a role outside EventProducers cannot send, although its own policy allows it:") as step:
        unlisted = stack.assume_role(UNLISTED_ROLE, ACCOUNT, may_send=True)
        error = expect_client_error(lambda: stack.send_messages(unlisted, events))
        expect("AccessDenied" in error["Code"], error)
        step.show(error["Code"])
    with report.step("a role outside OperatorArns cannot receive, although its own policy allows it:") as step:
        unlisted = stack.assume_role(UNLISTED_ROLE, ACCOUNT, may_read_queues=True)
        error = expect_client_error(lambda: stack.receive_as(unlisted, "UserEventsDeadLetterQueue"))
        expect("AccessDenied" in error["Code"], error)
        step.show(error["Code"])
    with report.step("15 minutes pass without a change (the test moves the times of her statistics)"):
        stack.age_data(ana["sub"], 900)
    with report.step("the order service, a role of another account, sends four events"):
        stack.send_messages(stack.assume_role("order-service", PARTNER_ACCOUNT, may_send=True), events)
    with report.step("one item of the table contains her statistics:") as step:
        statistics = eventually(
            lambda: (found := stack.user_statistics(ana["sub"])).get("orders") == 2 and found,
            "two orders in the statistics",
        )
        expect(statistics["ordersCancelled"] == 1, statistics)
        expect(statistics["unreadNotifications"] == 1, statistics)
        expect(statistics["spent"] == {"EUR": "49.90"}, statistics)
        step.show("2 orders, 1 of them cancelled, spent EUR 49.90, 1 notification unread")
    with report.step("cache-invalidation creates one invalidation, with her item only:") as step:
        stack.wait_for_workers()
        new = stack.invalidations()[len(before) :]
        expect(new == [[item]], new)
        step.show(item)
    return events


def dead_letter_invalid_messages(report, stack, ana):
    report.section("Dead letters")
    invalid = {
        "not_json": "not JSON",
        "invalid_data": order_service_event(
            "order-1003-placed", "order.placed", ana, order_id="1003", amount="-1", currency="EUR"
        ),
        "unknown_type": order_service_event("order-1004-shipped", "order.shipped", ana, order_id="1004"),
    }
    with report.step("the order service sends three invalid messages"):
        stack.send_messages(stack.assume_role("order-service", PARTNER_ACCOUNT), invalid.values())
    with report.step("user-stats dead-letters them unchanged, each with its error.type:") as step:
        dead_letters = {}

        def all_received():
            dead_letters.update((attributes["error.type"], body) for attributes, body in stack.receive_dead_letters())
            return dead_letters.keys() >= invalid.keys()

        eventually(all_received, "three dead letters")
        expect(dead_letters == invalid, dead_letters)
        step.show(", ".join(sorted(dead_letters)))


def deliver_duplicates(report, stack, ana, events):
    report.section("Duplicates")
    stack.wait_for_workers()
    statistics, invalidations = stack.user_statistics(ana["sub"]), stack.invalidations()
    duplicates = stack.metric_sum("UserStatsFunction", "DuplicateEvents")
    with report.step("the order service sends its four events again; user-stats counts in its log:") as step:
        stack.send_messages(stack.assume_role("order-service", PARTNER_ACCOUNT), events)
        stack.wait_for_workers()
        duplicates = stack.metric_sum("UserStatsFunction", "DuplicateEvents") - duplicates
        expect(duplicates == len(events), duplicates)
        step.show(f"DuplicateEvents: {duplicates}")
    with report.step("her statistics do not change"):
        expect(stack.user_statistics(ana["sub"]) == statistics, stack.user_statistics(ana["sub"]))
    with report.step("no new invalidation is created; cache-invalidation counts in its log:") as step:
        expect(stack.invalidations() == invalidations, stack.invalidations())
        skipped = stack.metric_sum("CacheInvalidationFunction", "InvalidationsSkipped")
        expect(skipped >= 1, skipped)
        step.show(f"InvalidationsSkipped: {skipped}")
    with report.step("the dead-letter queues contain only the three invalid messages"):
        for queue, expected in [
            ("UserEvents", 3),
            ("CacheInvalidations", 0),
            ("GroupMemberships", 0),
            ("ResourcePermissions", 0),
            ("AccountActivities", 0),
        ]:
            count = stack.message_count(f"{queue}DeadLetterQueue")
            expect(count == expected, f"{count} dead letters of {queue}")


def check_logs(report, stack):
    report.section("Logs")
    with report.step("IAM denied no call of a function: the roles contain all permissions that the functions need"):
        denials = [line for line in stack.ministack.log() if line.startswith("IAM denied")]
        unexpected = [line for line in denials if f"/{UNLISTED_ROLE}/" not in line]
        # The denial of the unlisted role proves that denials are logged.
        expect(denials and not unexpected, "\n".join(unexpected) or "IAM denied nothing, not even the unlisted role")
    with report.step("all events were published: the logs contain no unsent event"):
        unsent = [line for function in stack.function_names() for line in stack.log_lines(function, "unsent event")]
        expect(not unsent, "\n".join(unsent))


def delete_stack(report, stack):
    report.section("Deletion of the stack")
    with report.step("the bucket of the page is emptied, as docs/deploying.md says"):
        s3, bucket = stack.ministack.client("s3"), stack.outputs["PageBucketName"]
        for item in s3.list_objects_v2(Bucket=bucket)["Contents"]:
            s3.delete_object(Bucket=bucket, Key=item["Key"])
    with report.step("sam delete keeps the user pool with its users, and the table with its items"):
        stack.ministack.delete_stack(stack.root)
        stack.get_user("ana@example.com")
        expect(stack.table.item_count > 0, "the table is empty")
    with report.step("sam delete removes all functions and queues"):
        # The second stack of attach_story.py has functions and queues too.
        functions = [each["FunctionName"] for each in stack.functions.list_functions()["Functions"]]
        left = [name for name in functions if name.startswith(f"{STACK_NAME}-")]
        expect(not left, f"there are functions left: {left}")
        queues = stack.ministack.client("sqs").list_queues(QueueNamePrefix=f"{STACK_NAME}-")
        expect(not queues.get("QueueUrls"), f"there are queues left: {queues}")
