"""A part of the scenario: `replay doctor` on the deployed stack, with the permissions that docs/replay.md lists.

MiniStack does not invoke post-confirmation, so a thread invokes it for the user of the doctor. EventBridge has no
metrics there, so the test writes one. The page has a production host name that only the stand-in knows, so a proxy on
loopback passes the requests of the doctor on.
"""

import contextlib
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from assertions import expect
from client import policy
from stack import ACCOUNT, REGION, STACK_NAME
from viewer import Viewer

EMAIL = "doctor@example.com"
# Checks that MiniStack cannot pass, and why.
NOT_HERE = {"page-files": "--page-url names the proxy"}


def run(report, stack):
    report.section("`replay doctor`")
    prepare(stack)
    with proxy(stack) as url:
        with report.step("the plan shows every check and makes none:") as step:
            plan = json.loads(stack.replay("doctor", "--stack", STACK_NAME, "--json"))
            expect({check["state"] for check in plan["checks"]} == {"planned"}, plan)
            step.show(f"{len(plan['checks'])} checks, at most ${plan['costMicrodollars'] / 1e6:.4f}")
        with report.step("the checks that change nothing pass:") as step:
            checks = doctor(stack, url, "--read-only")
            expect(states(checks) == {}, states(checks))
            step.show(f"{len(checks)} checks")
        find_faults(report, stack, url)
        play_first_day(report, stack, url)


def prepare(stack):
    """Gives the operator the permissions, removes what earlier sections leave, and writes a metric of EventBridge."""
    calls = ["DescribeUserPool", "ListUserPoolClients", "DescribeUserPoolClient", "AdminConfirmSignUp"]
    calls += ["AdminDeleteUser"]
    lambda_calls = ["GetFunctionConfiguration", "GetPolicy", "ListEventSourceMappings"]
    statements = [
        {
            "Effect": "Allow",
            "Action": [f"cognito-idp:{call}" for call in calls],
            "Resource": f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{stack.user_pool}",
        },
        {"Effect": "Allow", "Action": [f"lambda:{call}" for call in lambda_calls], "Resource": "*"},
        stack.table_access(["BatchGetItem"], "CACHE#*", "LEDGER#*"),
    ]
    iam = stack.ministack.client("iam")
    iam.put_role_policy(RoleName="operator", PolicyName="doctor", PolicyDocument=policy(*statements))
    # Only for the test: earlier sections leave dead letters.
    purge = {"Effect": "Allow", "Action": "sqs:PurgeQueue", "Resource": "*"}
    iam.put_role_policy(RoleName="operator", PolicyName="purge", PolicyDocument=policy(purge))
    sqs = stack.ministack.client("sqs", credentials=stack.assume_role("operator", ACCOUNT))
    for name, url in stack.outputs.items():
        if name.endswith("DeadLetterQueueUrl"):
            sqs.purge_queue(QueueUrl=url)
    clients = stack.cognito.list_user_pool_clients(UserPoolId=stack.user_pool, MaxResults=60)["UserPoolClients"]
    for client in clients:
        # The attacks use it. No user of the stack does.
        if client["ClientName"] == "foreign":
            stack.cognito.delete_user_pool_client(UserPoolId=stack.user_pool, ClientId=client["ClientId"])
    rule = {"Name": "RuleName", "Value": stack.resources["AccountEventsRule"].split("|")[-1]}
    # Not the current second, which a query does not include.
    time = datetime.now(UTC) - timedelta(minutes=1)
    metric = {"MetricName": "MatchedEvents", "Dimensions": [rule], "Value": 1, "Timestamp": time}
    stack.ministack.client("cloudwatch").put_metric_data(Namespace="AWS/Events", MetricData=[metric])


def doctor(stack, url, *arguments):
    """The checks of a run, by name."""
    arguments = ("doctor", "--stack", STACK_NAME, "--page-url", url, "--json", *arguments)
    document = json.loads(stack.replay(*arguments, codes=(0, 1)))
    expect(document["leftovers"] == [], document["leftovers"])
    return {check["check"]: check for check in document["checks"]}


def states(checks):
    """The checks that neither passed nor are known to be skipped, with their texts."""
    return {
        name: f"{check['state']}: {check['text']}"
        for name, check in checks.items()
        if check["state"] != "ok" and not (check["state"] == "skipped" and name in NOT_HERE)
    }


def find_faults(report, stack, url):
    functions, cognito = stack.functions, stack.cognito
    name = stack.resources["PreSignUpFunction"]
    statement = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"][0]
    with report.step("without the permission to invoke pre-sign-up, only invoke-permissions fails:") as step:
        functions.remove_permission(FunctionName=name, StatementId=statement["Sid"])
        checks = doctor(stack, url, "--read-only")
        expect(list(states(checks)) == ["invoke-permissions"], states(checks))
        step.show(checks["invoke-permissions"]["text"])
        functions.add_permission(
            FunctionName=name,
            StatementId=statement["Sid"],
            Action="lambda:InvokeFunction",
            Principal="cognito-idp.amazonaws.com",
            SourceArn=f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{stack.user_pool}",
        )
    with report.step("an app client that shows which users exist is found:") as step:
        client = stack.app_client_settings("UserPoolClientId")
        accepted = cognito.meta.service_model.operation_model("UpdateUserPoolClient").input_shape.members
        settings = {key: value for key, value in client.items() if key in accepted and value != ""}
        cognito.update_user_pool_client(**{**settings, "PreventUserExistenceErrors": "LEGACY"})
        checks = doctor(stack, url, "--read-only")
        expect(list(states(checks)) == ["user-existence"], states(checks))
        step.show(checks["user-existence"]["text"])
        cognito.update_user_pool_client(**settings)
    with report.step("an alarm that rings is found:") as step:
        alarm = {"AlarmName": f"{STACK_NAME}-throttles", "StateReason": "written by the test"}
        cloudwatch = stack.ministack.client("cloudwatch")
        cloudwatch.set_alarm_state(StateValue="ALARM", **alarm)
        checks = doctor(stack, url, "--read-only")
        expect(list(states(checks)) == ["alarms"], states(checks))
        step.show(checks["alarms"]["text"])
        cloudwatch.set_alarm_state(StateValue="OK", **alarm)
    with report.step("an alarm whose actions are disabled is found:") as step:
        cloudwatch.disable_alarm_actions(AlarmNames=[alarm["AlarmName"]])
        checks = doctor(stack, url, "--read-only")
        expect(list(states(checks)) == ["alarms"], states(checks))
        step.show(checks["alarms"]["text"])
        cloudwatch.enable_alarm_actions(AlarmNames=[alarm["AlarmName"]])


def play_first_day(report, stack, url):
    with report.step("one user's first day passes, from the sign-up to the erasure:") as step:
        with post_confirmation(stack):
            checks = doctor(stack, url, "--yes", "--email", EMAIL)
        expect(states(checks) == {}, states(checks))
        measured = {name: check["measuredMilliseconds"] for name, check in checks.items()}
        step.show(", ".join(f"{name} {time / 1000:.1f} s" for name, time in measured.items() if time is not None))
    with report.step("it leaves no account"):
        users = stack.cognito.list_users(UserPoolId=stack.user_pool, Filter=f'email = "{EMAIL}"')["Users"]
        expect(users == [], users)


@contextlib.contextmanager
def post_confirmation(stack):
    """Invokes post-confirmation as soon as the user of the doctor is confirmed."""
    ended = threading.Event()

    def invoke():
        while not ended.wait(0.2):
            for user in stack.cognito.list_users(UserPoolId=stack.user_pool)["Users"]:
                attributes = {attribute["Name"]: attribute["Value"] for attribute in user["Attributes"]}
                if attributes.get("email") == EMAIL and user["UserStatus"] == "CONFIRMED":
                    event = stack.trigger_event(
                        "post-confirmation/confirm-sign-up.json", attributes["sub"], attributes
                    )
                    stack.invoke("PostConfirmationFunction", event)
                    return

    thread = threading.Thread(target=invoke, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def proxy(stack):
    """Passes requests to the distribution on. Yields the address of the dashboard."""
    viewer = Viewer(stack)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            token = (self.headers.get("authorization") or "").removeprefix("Bearer ") or None
            answer = viewer.request(self.path, token)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name not in ("connection", "content-length", "transfer-encoding", "date", "server"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/api/dashboard"
    finally:
        server.shutdown()
        server.server_close()
