"""A part of the scenario: someone detaches triggers from the user pool, and user-pool-watch reports it."""

import contextlib
import json

from assertions import eventually, expect
from stack import ACCOUNT, REGION

WATCH = "UserPoolWatchFunction"


def run(report, stack):
    report.section("Detached triggers")
    expected = json.loads(stack.outputs["LambdaConfig"])
    with report.step("the pool calls the five triggers of the stack, and user-pool-watch reports no difference"):
        expect(watch(stack) == [], watch(stack))
    changed = {**expected, "PreSignUp": expected["CustomMessage"]}
    del changed["PreAuthentication"]
    with report.step("after an update of the pool, it reports the two triggers that the pool no longer calls:") as step:
        set_triggers(stack, changed)
        found = [(difference["trigger"], difference["code"]) for difference in watch(stack)]
        expect(found == [("pre-sign-up", "another_function"), ("pre-authentication", "not_attached")], found)
        step.show(", ".join(f"{trigger}: {code}" for trigger, code in found))
    with report.step("its log names them, and the metric of the alarm counts them"):
        eventually(lambda: stack.metric_sum(WATCH, "TriggerDifferences") == 2, "two differences")
        for trigger, code in found:
            expect(stack.log_lines(WATCH, f'error_type="{code}" trigger="{trigger}"'), f"no log line for {trigger}")
    with report.step("it also reports a trigger that Cognito may no longer invoke"):
        set_triggers(stack, expected)
        with without_permission(stack, "CustomMessageFunction"):
            found = [(difference["trigger"], difference["code"]) for difference in watch(stack)]
        expect(found == [("custom-message", "not_permitted")], found)
    with report.step("after all is as before, it reports no difference"):
        expect(watch(stack) == [], watch(stack))


def watch(stack):
    """The differences that the deployed function finds now."""
    answer = stack.invoke(WATCH, {})
    expect(answer.get("user_pool_id") == stack.user_pool, answer)
    return answer["differences"]


@contextlib.contextmanager
def without_permission(stack, function):
    """Removes the permission of Cognito to invoke a function, and adds it again at the end."""
    name = stack.resources[function]
    [statement] = json.loads(stack.functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    permission = {"FunctionName": name, "StatementId": statement["Sid"]}
    stack.functions.remove_permission(**permission)
    try:
        yield
    finally:
        stack.functions.add_permission(
            **permission,
            Action="lambda:InvokeFunction",
            Principal="cognito-idp.amazonaws.com",
            SourceAccount=ACCOUNT,
            SourceArn=f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{stack.user_pool}",
        )


def set_triggers(stack, config):
    """Changes the triggers of the pool, and no other setting."""
    pool = stack.cognito.describe_user_pool(UserPoolId=stack.user_pool)["UserPool"]
    accepted = stack.cognito.meta.service_model.operation_model("UpdateUserPool").input_shape.members
    # MiniStack shows a text that is not set as empty, which UpdateUserPool does not accept.
    settings = {name: value for name, value in pool.items() if name in accepted and value != ""}
    # The password policy has replaced this setting.
    settings.get("AdminCreateUserConfig", {}).pop("UnusedAccountValidityDays", None)
    stack.cognito.update_user_pool(**settings | {"UserPoolId": stack.user_pool, "LambdaConfig": config})
