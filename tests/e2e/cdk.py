"""Deploys a release to MiniStack with the CDK construct of deploy/cdk, as an app would.

    python tests/e2e/cdk.py --release DIR    # the folder that `cargo xtask dist` makes

The app is deploy/cdk/example. It gets the construct as the file that `npm pack` makes. The stack `Shop` creates a user
pool, the stack `Forum` has one already.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from botocore import UNSIGNED

from assertions import expect, expect_client_error
from report import Report
from sam_transform import expanded
from stack import ACCOUNT, PARAMETERS, REGION, MiniStack, parse_release_options

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "deploy/cdk"
ARCHITECTURE = PARAMETERS["Architecture"]
SECRET = "0123456789abcdef0123456789abcdef"
PASSWORD = "Corr3ct-horse!"
TRIGGERS = ["PreSignUp", "PostConfirmation", "PreAuthentication", "PreTokenGeneration", "CustomMessage"]


class App:
    """An app with the packed construct, and the CDK CLI in it."""

    def __init__(self, folder, release, ministack):
        self.folder, self.release, self.ministack = folder, release, ministack
        self.environment = {
            **ministack.environment,
            "PATH": os.environ["PATH"],
            "NODE_EXTRA_CA_CERTS": str(ministack.certificate),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",
            "CI": "true",
        }

    def create(self):
        """Packs the construct, and puts it into the app beside the packages of package-lock.json."""
        installed = self.folder / "node_modules"
        installed.mkdir(parents=True)
        package = run("npm", "pack", "--loglevel=error", f"--pack-destination={self.folder}", cwd=PACKAGE)
        archive = self.folder / package.strip().splitlines()[-1]
        for entry in (PACKAGE / "node_modules").iterdir():
            (installed / entry.name).symlink_to(entry)
        shutil.unpack_archive(archive, self.folder)
        (self.folder / "package").rename(installed / "cognito-user-events-cdk")
        for name in ["app.ts", "tsconfig.json"]:
            shutil.copy(PACKAGE / "example" / name, self.folder)
        run(installed / ".bin/tsc", "--project", self.folder, cwd=self.folder)
        return archive

    def cdk(self, command, *arguments, **context):
        """Runs the CDK CLI, and returns what it prints."""
        context = {"release": self.release, "architecture": ARCHITECTURE, **context}
        values = [f"--context={name}={value}" for name, value in context.items()]
        program = self.folder / "node_modules/.bin/cdk"
        options = ["--app", "node app.js", "--no-notices", "--no-color", "--no-version-reporting", *values]
        return run(program, command, *arguments, *options, cwd=self.folder, env=self.environment)


def run(*command, **options):
    """Runs a program, and returns what it prints to standard output. Fails with all its output."""
    result = subprocess.run(command, capture_output=True, text=True, **options)
    output = f"{result.stdout[-4000:]}{result.stderr[-8000:]}"
    expect(result.returncode == 0, f"{' '.join(map(str, command))}: exit code {result.returncode}\n{output}")
    return result.stdout


def main():
    options = parse_release_options(__doc__)
    # sys.exit raises an exception, so that the processes are stopped after SIGTERM too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    report = Report()
    with tempfile.TemporaryDirectory(prefix="cognito-user-events-") as folder:
        ministack = MiniStack(Path(folder))
        app = App(Path(folder) / "app", options.release, ministack)
        try:
            synthesize(report, app)
            ministack.start()
            deploy_new_pool(report, app)
            attach_pool(report, app)
        except Exception:
            traceback.print_exc()
            if ministack.process is not None:
                print("\nLast lines of MiniStack's log\n" + ministack.log_tail(), file=sys.stderr)
            return 1
        finally:
            report.section("Teardown")
            with report.step("MiniStack and all functions have ended"):
                ministack.stop()
    report.print_durations()
    return 0


def synthesize(report, app):
    report.section("Synthesis")
    with report.step("npm pack, and the example app compiles with the package") as step:
        step.show(app.create().name)
    with report.step("cdk synth"):
        app.cdk("synth", "--quiet")
    with report.step(
        "the nested template is what AWS's transform makes of the release's template, function by function"
    ):
        [nested] = (app.folder / "cdk.out").glob("Shop*.nested.template.json")
        actual = json.loads(nested.read_text())
        wanted = expanded(app.release / f"template-{ARCHITECTURE}.yaml")
        for template in (actual, wanted):
            for resource in template["Resources"].values():
                if resource["Type"] == "AWS::Lambda::Function":
                    del resource["Properties"]["Code"]
        expect(actual["Resources"].keys() == wanted["Resources"].keys(), lambda: actual["Resources"].keys())
        for name, resource in wanted["Resources"].items():
            expect(actual["Resources"][name] == resource, lambda: f"{name}\n{actual['Resources'][name]}\n{resource}")
        expect(actual == wanted, "a section other than Resources differs")


def deploy_new_pool(report, app):
    report.section("A stack with a user pool of its own")
    with report.step("cdk bootstrap"):
        app.cdk("bootstrap", f"aws://{ACCOUNT}/{REGION}")
    with report.step("cdk deploy creates the stack:") as step:
        outputs = deploy(app, "Shop", "--parameters", f"OriginSecret={SECRET}")
        nested = stack(app, outputs["EventsStackName"])
        expect(nested["StackStatus"] == "CREATE_COMPLETE", nested)
        step.show(nested["StackName"])
    with report.step("tokens of the app reach the parameters, and the secret is hidden"):
        parameters = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in nested["Parameters"]}
        expect(parameters["EventProducers"].startswith(f"arn:aws:iam::{ACCOUNT}:role/Shop-OrderService"), parameters)
        expect(parameters["AlarmTopicArn"].startswith(f"arn:aws:sns:{REGION}:{ACCOUNT}:"), parameters)
        expect(SECRET not in json.dumps(nested, default=str), "the secret is readable")
    sign_up_rules(report, app, outputs)
    with report.step("cdk destroy keeps the user pool and the table"):
        app.cdk("destroy", "--force", "Shop")
        cognito = app.ministack.client("cognito-idp")
        expect(cognito.describe_user_pool(UserPoolId=outputs["UserPoolId"])["UserPool"], "the pool is gone")
        dynamodb = app.ministack.client("dynamodb")
        expect(dynamodb.describe_table(TableName=outputs["TableName"])["Table"], "the table is gone")


def attach_pool(report, app):
    report.section("A stack that has a user pool already")
    cognito = app.ministack.client("cognito-idp")

    def triggers(pool):
        return cognito.describe_user_pool(UserPoolId=pool)["UserPool"].get("LambdaConfig", {})

    with report.step("the pool calls no function"):
        outputs = deploy(app, "Forum")
        pool = outputs["UserPoolId"]
        expect(triggers(pool) == {}, triggers(pool))
    with report.step("cdk deploy with the pool's ID attaches the five triggers"):
        outputs = deploy(app, "Forum", userPoolId=pool)
        prefix = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{outputs['EventsStackName']}-"
        config = triggers(pool)
        arns = {name: config.get(name) for name in TRIGGERS}
        arns["PreTokenGeneration"] = config["PreTokenGenerationConfig"]["LambdaArn"]
        expect(config["PreTokenGenerationConfig"]["LambdaVersion"] == "V2_0", config)
        expect(all(arn and arn.startswith(prefix) for arn in arns.values()), config)
        wanted = json.loads(output(stack(app, outputs["EventsStackName"]), "LambdaConfig"))
        expect(wanted["PreSignUp"] == config["PreSignUp"], wanted)
    with report.step("the functions existed before the pool called them"):
        history = resource_events(app, "Forum")
        # MiniStack calls it an update, because the stack is updated.
        created = first(history, ("Events", "CREATE_COMPLETE"), ("Events", "UPDATE_COMPLETE"))
        expect(created < first(history, ("Users", "UPDATE_IN_PROGRESS")), history)
    sign_up_rules(report, app, outputs)
    with report.step("without the construct, cdk deploy detaches the triggers and deletes the functions"):
        deploy(app, "Forum")
        expect(triggers(pool) == {}, triggers(pool))
        functions = app.ministack.client("lambda").list_functions()["Functions"]
        expect(not functions, functions)


def sign_up_rules(report, app, outputs):
    browser = app.ministack.client("cognito-idp", signature_version=UNSIGNED, retries={"total_max_attempts": 1})

    def sign_up(email):
        return browser.sign_up(
            ClientId=outputs["ClientId"],
            Username=email,
            Password=PASSWORD,
            UserAttributes=[{"Name": "email", "Value": email}, {"Name": "name", "Value": "Ana"}],
        )

    with report.step("Cognito invokes pre-sign-up: another domain may not sign up"):
        error = expect_client_error(lambda: sign_up("ana@example.org"))
        expect(error["Code"] == "UserLambdaValidationException", error)
        expect("sign_up_denied" in error["Message"], error)
    with report.step("an allowed domain may"):
        expect(sign_up("ana@example.com")["UserSub"], "no sub")


def deploy(app, name, *arguments, **context):
    app.cdk("deploy", name, "--require-approval=never", *arguments, **context)
    return {item["OutputKey"]: item["OutputValue"] for item in stack(app, name)["Outputs"]}


def stack(app, name):
    return app.ministack.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]


def resource_events(app, name):
    """The resources of a stack that changed, oldest first, each with its status. CDK adds a hash to some names."""
    pages = app.ministack.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=name)
    events = [event for page in pages for event in page["StackEvents"]]
    # The newest comes first.
    return [(re.sub("[0-9A-F]{8}$", "", event["LogicalResourceId"]), event["ResourceStatus"]) for event in events[::-1]]


def first(history, *wanted):
    """The position of the first of these events."""
    found = [position for position, event in enumerate(history) if event in wanted]
    expect(found, lambda: f"{wanted} is not in {history}")
    return found[0]


def output(description, key):
    [value] = [item["OutputValue"] for item in description["Outputs"] if item["OutputKey"] == key]
    return value


if __name__ == "__main__":
    sys.exit(main())
