"""The stack under test: MiniStack, an emulator of AWS, and the deployment of template.yaml to it."""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

from assertions import eventually, eventually_empty, expect

REGION = "eu-central-1"
ACCOUNT = "000000000000"
PARTNER_ACCOUNT = "123456789012"
STACK_NAME = "cognito-user-events"

# The parameters that differ from the defaults of the template.
PARAMETERS = {
    "Architecture": "x86_64" if os.uname().machine == "x86_64" else "arm64",
    "ProductName": "Example Shop",
    "AllowedEmailDomains": "example.com",
    "BlockedEmailDomains": "spam.test",
    "CheckSuspendedEmails": "true",
    "SuspendedEmailKey": "an-example-key-with-32-characters-or-more",
    "FirstGroup": "Developer",
    "GroupRules": '[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]',
    "TokenClaims": '{"access": {"tenant": "example"}}',
    "SesIdentityArn": f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/example.com",
    "SesFromAddress": "no-reply@example.com",
    "EventProducers": f"arn:aws:iam::{PARTNER_ACCOUNT}:role/order-service",
    "PermissionProducers": f"arn:aws:iam::{ACCOUNT}:role/sharing-service",
    "OperatorArns": f"arn:aws:iam::{ACCOUNT}:role/operator",
    "CallbackUrls": "https://www.example.com/callback,http://localhost:3000/callback",
    "LogoutUrls": "https://www.example.com/",
    "FirstMappedAttribute": "custom:groups",
    "OriginSecret": "0123456789abcdef0123456789abcdef",
    "SecondGroup": "Support",
    "AdminGroups": "Support",
    "IdentityPool": "true",
    "AccountEvents": "true",
    # By default, only security changes are invalidated if a page lives for at most 60 s.
    "InvalidationPolicy": "*=budget",
    # A change that follows another one waits for this long. The default is a minute.
    "InvalidationIntervalSeconds": "5",
}

HERE = Path(__file__).resolve().parent
# The folder of `sam`, cargo-lambda and zig: they are in the same virtual environment.
TOOLS = Path(sys.executable).parent
PATH_WITH_TOOLS = os.pathsep.join([str(TOOLS), os.environ["PATH"]])


def parse_release_options(description):
    """The options of a script that deploys a release. `description` is the docstring of the script."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--release", type=lambda path: Path(path).resolve(), required=True, help="folder of a release")
    options = parser.parse_args()
    template = options.release / f"template-{PARAMETERS['Architecture']}.yaml"
    if not template.exists():
        parser.error(f"{template} does not exist. Run: cargo xtask dist")
    return options


def sam_build(root):
    """Runs `sam build` and returns the folder with its result."""
    # Inherits the caller's environment: cargo and its caches are in the caller's home folder.
    command = [TOOLS / "sam", "build", "--parameter-overrides", f"Architecture={PARAMETERS['Architecture']}"]
    subprocess.run(command, cwd=root, env={**os.environ, "PATH": PATH_WITH_TOOLS}, check=True)
    return root / ".aws-sam" / "build"


def template_in(folder):
    """The template in a folder of `sam build`, or in a folder of `cargo xtask dist`, which has one per processor."""
    of_release = folder / f"template-{PARAMETERS['Architecture']}.yaml"
    return of_release if of_release.exists() else folder / "template.yaml"


class MiniStack:
    """MiniStack on a free port of the loopback interface. It writes all its files to one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.endpoint = f"https://127.0.0.1:{self.port}"
        self.certificate = folder / "certificate.pem"
        # The environment of `sam` and MiniStack. The caller's AWS configuration is not inherited.
        self.environment = {
            "PATH": PATH_WITH_TOOLS,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": str(self.certificate),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # MiniStack's root user of the account 000000000000.
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.5",
        }
        self.process, self.clients = None, []

    # Start and stop

    def start(self):
        key = self.folder / "key.pem"
        self.create_certificate(key)
        environment = {
            **self.environment,
            "AUTH": "true",
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(self.certificate),
            "MINISTACK_SSL_KEY": str(key),
            # The functions inherit this environment. They trust the certificate and call AWS_ENDPOINT_URL.
            "SSL_CERT_FILE": str(self.certificate),
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "STATE_DIR": str(self.folder / "state"),
            "S3_DATA_DIR": str(self.folder / "s3"),
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
            # Two servers that this test does not need.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # A failing pre-token-generation fails the sign-in, as on AWS.
            "MINISTACK_COGNITO_PRETOKEN_STRICT": "1",
        }
        self.log_file = open(self.folder / "ministack.log", "w+")
        self.process = subprocess.Popen(
            [sys.executable, HERE / "stand_in.py"],
            env=environment,
            cwd=self.folder,
            stdin=subprocess.PIPE,  # Closed when this process ends for any reason. stand_in.py then ends too.
            stdout=self.log_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # MiniStack and the functions that it starts form one process group.
        )
        eventually(self.is_ready, "MiniStack to answer")

    def create_certificate(self, key):
        # Self-signed and not a certificate authority. rustls and OpenSSL both accept it from a bundle of trusted
        # certificates.
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=stand-in"]
            + ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1"]
            + ["-keyout", key, "-out", self.certificate],
            check=True,
            capture_output=True,
        )

    def is_ready(self):
        expect(self.process.poll() is None, lambda: f"MiniStack ended:\n{self.log_tail()}")
        with contextlib.suppress(OSError):
            return self.get("/_ministack/ready")

    def stop(self):
        """Stops MiniStack and all functions. Fails if a process or a listening socket remains."""
        if self.process is None:
            return
        group = self.process.pid
        # MiniStack waits for open connections before it ends.
        for client in self.clients:
            client.close()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(group, signal.SIGKILL)
            self.process.wait()
            raise
        finally:
            self.process.stdin.close()
            self.log_file.close()
        remaining = eventually_empty(lambda: processes_of_group(group))
        if remaining:
            os.killpg(group, signal.SIGKILL)
        expect(not remaining, f"processes are still running: {remaining}")
        with socket.socket() as probe:
            expect(probe.connect_ex(("127.0.0.1", self.port)) != 0, f"a process still listens on port {self.port}")

    # Log and MiniStack's own API

    def log(self):
        return (self.folder / "ministack.log").read_text(errors="replace").splitlines()

    def log_tail(self):
        return "\n".join(self.log()[-60:])

    def get(self, path):
        context = ssl.create_default_context(cafile=self.certificate)
        with urllib.request.urlopen(self.endpoint + path, context=context, timeout=5) as response:
            return json.load(response)

    # AWS clients

    def client(self, service, account=None, credentials=None, **config):
        """A boto3 client with the credentials, or else of the account's root user."""
        if credentials:
            keys = credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
        else:
            # In MiniStack, the access key of an account's root user is the account number.
            keys = account or "test", "test", None
        session = boto3.Session(*keys, region_name=REGION)
        client = session.client(
            service, endpoint_url=self.endpoint, verify=str(self.certificate), config=Config(**config)
        )
        self.clients.append(client)
        return client

    def table(self, name):
        dynamodb = boto3.resource(
            "dynamodb",
            endpoint_url=self.endpoint,
            verify=str(self.certificate),
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.clients.append(dynamodb.meta.client)
        return dynamodb.Table(name)

    # Deployment

    def deploy(self, build, parameters, must_fail=False, stack_name=STACK_NAME):
        """Runs `sam deploy` on the result of `sam build` or `cargo xtask dist`, and returns its output."""

        def quote(value):
            # Some values are JSON.
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

        settings = ["--stack-name", stack_name, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"]
        if stack_name == STACK_NAME and (build / "samconfig.toml").exists():
            settings = []  # A release has them in this file.
        return self.sam(
            "deploy",
            *["--template-file", str(template_in(build)), *settings, "--no-confirm-changeset", "--no-progressbar"],
            *["--parameter-overrides", *(f"{name}={quote(value)}" for name, value in parameters.items())],
            cwd=build,
            must_fail=must_fail,
        )

    def delete_stack(self, root):
        """Runs `sam delete`."""
        self.sam("delete", "--stack-name", STACK_NAME, "--region", REGION, "--no-prompts", cwd=root)

    def sam(self, *arguments, cwd, must_fail=False):
        """Runs the SAM CLI and returns its output. Checks that it succeeds, or fails if `must_fail`."""
        result = subprocess.run(
            ["sam", *arguments],
            env=self.environment,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        expect(
            (result.returncode != 0) == must_fail,
            f"sam {arguments[0]} ended with exit code {result.returncode}:\n{result.stdout[-6000:]}",
        )
        return result.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes_of_group(group):
    """The running processes of a process group, each as its id and name."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The format is `pid (name) state parent group …`. The name can contain spaces.
            pid, name, fields = re.fullmatch(r"(\d+) \((.*)\) (.*)", stat.read_text().strip(), re.S).groups()
            state, _, process_group = fields.split()[:3]
            # A zombie has ended already. Its parent has not read its exit code yet.
            if int(process_group) == group and state != "Z":
                found.append(f"{pid} {name}")
    return found
