"""Runs a command while AWS's DynamoDB Local listens on loopback, at the address in DYNAMODB_SERVER.

    python tests/e2e/dynamodb_local.py cargo test --workspace --test it -- user_stats

With this variable, the tests' account in memory (sandbox/src/aws/dynamodb_server.rs) hands all calls of DynamoDB to
AWS's own implementation: transactions, conditions, queries and their limits. Needs Java 17 and npm.
"""

import base64
import hashlib
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import boto3

from assertions import eventually, expect
from stack import REGION, free_port

# This package of AWS Amplify contains DynamoDB Local 1.25.1, unchanged. npm is the only registry that has it.
PACKAGE, VERSION = "amplify-dynamodb-simulator", "2.9.30"
SHA512 = "xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="

FOLDER = Path(__file__).resolve().parents[2] / "target/tools" / f"dynamodb-local-{VERSION}"


def main():
    emulator = install()
    port = free_port()
    # Without -sharedDb, each access key has its own database: tests that run at the same time do not meet.
    server = ["java", f"-Djava.library.path={emulator / 'DynamoDBLocal_lib'}", "-jar", emulator / "DynamoDBLocal.jar"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*server, "-inMemory", "-port", str(port)], cwd=emulator, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            eventually(lambda: is_listening(process, port), "DynamoDB Local to listen")
            warm_up(port)
            environment = {**os.environ, "DYNAMODB_SERVER": f"127.0.0.1:{port}"}
            return subprocess.run(sys.argv[1:], env=environment).returncode
        finally:
            process.terminate()
            process.wait()


def install():
    """Puts the package below target/tools if it is not there. Returns the folder of DynamoDB Local."""
    emulator = FOLDER / "package/emulator"
    if not emulator.exists():
        with tempfile.TemporaryDirectory() as folder:
            command = ["npm", "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            [archive] = Path(folder).iterdir()
            digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            expect(digest == SHA512, f"{PACKAGE} {VERSION} has another hash than the pinned one: {digest}")
            unpacked = FOLDER.with_suffix(".unpacking")
            with tarfile.open(archive) as files:
                files.extractall(unpacked, filter="data")
            unpacked.rename(FOLDER)
    return emulator


def is_listening(process, port):
    expect(process.poll() is None, "DynamoDB Local ended. Is Java 17 installed?")
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def warm_up(port):
    """Makes some calls. The first ones after a start take hundreds of milliseconds, longer than a trigger waits."""
    session = boto3.Session("WARMUP", "WARMUP", region_name=REGION)
    client = session.client("dynamodb", endpoint_url=f"http://127.0.0.1:{port}")
    key = {"AttributeName": "PK", "KeyType": "HASH"}
    client.create_table(
        TableName="warm-up",
        KeySchema=[key],
        AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number in range(100):
        put = {"Put": {"TableName": "warm-up", "Item": {"PK": {"S": str(number)}}}}
        client.transact_write_items(TransactItems=[put])
        client.get_item(TableName="warm-up", Key={"PK": {"S": str(number)}}, ConsistentRead=True)


if __name__ == "__main__":
    sys.exit(main())
