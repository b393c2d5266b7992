"""A part of the scenario: what an operator does with `replay`, with the permissions that docs/replay.md lists."""

import json
import time

from assertions import eventually, expect, expect_client_error
from client import PASSWORD, order_service_event, policy
from stack import ACCOUNT, PARTNER_ACCOUNT, REGION, STACK_NAME

EMAIL = "nora@example.com"


def run(report, stack):
    report.section("An operator, with `replay`")
    permit(stack)
    nora = create_user(report, stack)
    read_stack(report, stack)
    recover(report, stack, nora)
    change_group(report, stack, nora)
    erase(report, stack, nora)


def permit(stack):
    """Gives the role of the operator the permissions that docs/replay.md lists for these commands."""
    everywhere = ["cloudformation:ListStackResources", "cloudformation:DescribeStacks", "logs:FilterLogEvents"]
    everywhere += ["cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "lambda:GetPolicy", "lambda:ListTags"]
    queues = ["GetQueueUrl", "GetQueueAttributes", "ListDeadLetterSourceQueues", "ListMessageMoveTasks"]
    pool = ["ListUsers", "GetGroup", "AdminCreateUser", "AdminSetUserPassword", "AdminAddUserToGroup"]
    pool += ["AdminListGroupsForUser", "AdminRemoveUserFromGroup", "AdminDeleteUser", "DescribeUserPool"]
    statements = [
        {"Effect": "Allow", "Action": everywhere, "Resource": "*"},
        {"Effect": "Allow", "Action": [f"sqs:{call}" for call in queues], "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": "sqs:SendMessage",
            "Resource": [stack.outputs["UserEventsQueueArn"], stack.outputs["CacheInvalidationsQueueArn"]],
        },
        {
            "Effect": "Allow",
            "Action": [f"cognito-idp:{call}" for call in pool],
            "Resource": f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{stack.user_pool}",
        },
        stack.table_access(["Query", "BatchWriteItem"], "USER#*", "GRANT#*"),
        stack.table_access(["DeleteItem"], "USER#*", "SUSPENSION#*"),
        stack.table_access(["GetItem"], f"LEDGER#{stack.distribution}"),
    ]
    stack.assume_role("operator", ACCOUNT)
    stack.ministack.client("iam").put_role_policy(
        RoleName="operator", PolicyName="operate", PolicyDocument=policy(*statements)
    )


def create_user(report, stack):
    create = ["user", "create", "--user-pool", stack.user_pool, "--email", EMAIL, "--password-stdin"]
    with report.step("the dry run of `user create` creates no one"):
        output = stack.replay(*create, input=f"{PASSWORD}\n")
        expect("Dry run" in output and EMAIL not in output and PASSWORD not in output, output)
        expect_client_error(lambda: stack.get_user(EMAIL))
    with report.step("with --yes, Nora can sign in with her password, and has a profile"):
        output = stack.replay(*create, "--yes", input=f"{PASSWORD}\n")
        expect(EMAIL not in output and PASSWORD not in output, output)
        sub = stack.get_user(EMAIL)["Username"]
        expect(stack.item(f"USER#{sub}", "PROFILE")["email"] == EMAIL, "no profile")
        expect("RefreshToken" in stack.sign_in(EMAIL), "no tokens")
    with report.step("`user list` shows her without her address"):
        output = stack.replay("user", "list", "--user-pool", stack.user_pool)
        expect(sub in output and "CONFIRMED" in output and "@" not in output, output)
    return {"sub": sub}


def read_stack(report, stack):
    with report.step("`replay queues` shows the ten queues of the stack:") as step:
        document = json.loads(stack.replay("queues", "--stack", STACK_NAME, "--json", codes=(0, 1)))
        expect(len(document["queues"]) == 10, document)
        step.show(", ".join(sorted({queue["name"].removeprefix(f"{STACK_NAME}-") for queue in document["queues"]})))
    with report.step("`replay status` makes every check:") as step:
        document = json.loads(stack.replay("status", "--stack", STACK_NAME, "--json", codes=(0, 1)))
        checks = {check["check"]: check["state"] for check in document["checks"]}
        expect("unknown" not in checks.values(), document)
        step.show(", ".join(f"{check}: {state}" for check, state in checks.items()))


def recover(report, stack, nora):
    with report.step("post-confirmation logs an event that it could not publish (written by the test)"):
        event = order_service_event("order-of-nora", "order.placed", nora, order_id="7", amount="4.90", currency="EUR")
        fields = {"message": "unsent event", "error_type": "unsent_event", "event": event}
        group = stack.log_group("PostConfirmationFunction")
        stack.logs.create_log_stream(logGroupName=group, logStreamName="written-by-the-test")
        line = {"timestamp": int(time.time() * 1000), "message": json.dumps({"level": "ERROR", "fields": fields})}
        stack.logs.put_log_events(logGroupName=group, logStreamName="written-by-the-test", logEvents=[line])
    with report.step("`replay recover --stack` finds it in the logs of the triggers, and user-stats applies it"):
        output = stack.replay("recover", "--stack", STACK_NAME, "--since", "1h", "--yes")
        expect("1 event sent." in output, output)
        eventually(lambda: stack.user_statistics(nora["sub"]).get("orders") == 1, "her order")
    with report.step("a second run sends it again, and it counts once"):
        stack.replay("recover", "--stack", STACK_NAME, "--since", "1h", "--yes")
        stack.wait_for_workers()
        expect(stack.user_statistics(nora["sub"])["orders"] == 1, stack.user_statistics(nora["sub"]))
    # check_logs expects that no function has written such a line.
    stack.logs.delete_log_stream(logGroupName=group, logStreamName="written-by-the-test")


def change_group(report, stack, nora):
    with report.step("`user group add` says that GROUP_RULES manages Developer, and adds her"):
        add = ["user", "group", "add", nora["sub"], "Developer", "--user-pool", stack.user_pool, "--stack", STACK_NAME]
        output = stack.replay(*add, "--yes")
        expect("GROUP_RULES" in output, output)
        expect(stack.groups(EMAIL) == ["Developer"], stack.groups(EMAIL))


def erase(report, stack, nora):
    erase = ["user", "erase", nora["sub"], "--account", "--user-pool", stack.user_pool]
    erase += ["--queue", stack.outputs["CacheInvalidationsQueueUrl"]]
    with report.step("`user erase --account` leaves no account and no data, only the marker of the erasure"):
        stack.replay(*erase)
        stack.get_user(EMAIL)
        stack.replay(*erase, "--yes")
        expect_client_error(lambda: stack.get_user(EMAIL))
        expect(stack.item(f"USER#{nora['sub']}", "PROFILE") is None, "a profile")
        statistics = stack.user_statistics(nora["sub"])
        expect("erasedAt" in statistics and "orders" not in statistics, statistics)
    with report.step("an event of a token that is still valid brings nothing back"):
        late = order_service_event("late-order", "order.placed", nora, order_id="8", amount="4.90", currency="EUR")
        stack.send_messages(stack.assume_role("order-service", PARTNER_ACCOUNT, may_send=True), [late])
        stack.wait_for_workers()
        expect("orders" not in stack.user_statistics(nora["sub"]), stack.user_statistics(nora["sub"]))
