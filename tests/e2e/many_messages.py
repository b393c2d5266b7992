"""Many messages through `replay`: out of a file into a dead-letter queue, into a file again, and back to the queue.

    python tests/e2e/many_messages.py --messages 2000 --replay target/debug/replay
    python tests/e2e/many_messages.py --messages 100000 --queues target/release/queues

The queues are in another process: MiniStack's, which look at every message for every request and are too slow for very
many, or with --queues those of the tests. Prints what each step took: the rate, and the most memory that replay had. Fails
where a message is missing, comes twice or is not byte for byte what it was, and where replay has more memory than it
may, however many messages there are.
"""

import argparse
import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from datetime import datetime, timezone
from pathlib import Path

import boto3

from e2e import eventually, expect, free_port

REGION = "eu-central-1"
# A release build needs 17 to 22, a debug build 33. A message of 600 bytes, kept in memory with its receipt handle, would be
# 100 for 100,000.
MEGABYTES_AT_MOST = 64
USERS = 100


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--queues", type=Path)
    parser.add_argument("--replay", type=Path, default=Path("target/release/replay"))
    options = parser.parse_args()
    for binary in filter(None, [options.replay, options.queues]):
        expect(binary.exists(), f"{binary} is not there: cargo build --release -p replay -p tests --bins")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        account = Account(Path(folder), options.replay.resolve(), stack)
        if options.queues:
            account.start_queues(options.queues.resolve())
        else:
            account.start_ministack()
        play(account, options.messages)


def play(account, count):
    bodies = write(account.folder / "made.ndjson", count)
    account.replay("send", "made.ndjson", "--to", "user-events-dlq", "--yes", count=count)
    account.replay("inspect", "user-events-dlq", count=count)
    account.replay("save", "user-events-dlq", "--out", "saved.ndjson", "--delete", "--yes", count=count)
    expect(account.visible("user-events-dlq") == 0, "the queue is not empty")
    account.replay("send", "saved.ndjson", "--to", "user-events-dlq", "--yes", count=count)
    account.replay("redrive", "--from", "user-events-dlq", "--to", "user-events", "--by-entry", "--yes", count=count)
    expect(account.visible("user-events-dlq") == 0, "the dead-letter queue is not empty")
    expect(account.visible("user-events") == count, account.visible("user-events"))
    with open(account.folder / "saved.ndjson") as file:
        saved = sorted(line[line.index('"body":') + len('"body":') : -2] for line in file)
    expect(saved == sorted(bodies), "what was saved is not what was sent")


def write(path, count):
    """A file as `replay save` writes it."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    users = [str(uuid.UUID(int=user, version=4)) for user in range(USERS)]
    bodies = []
    with open(path, "w") as file:
        for number in range(count):
            user = users[number % USERS]
            event = {
                "specversion": "1.0",
                "id": f"order-{number}",
                "source": "/shop/orders",
                "type": "order.placed",
                "subject": user,
                "time": now,
                "datacontenttype": "application/json",
                "data": {"order_id": str(number), "amount": "4.90", "currency": "EUR"},
            }
            body = json.dumps(event)
            attribute = {"dataType": "Binary", "binaryValue": base64.b64encode(bytes(200)).decode()}
            message = {
                "messageId": str(uuid.UUID(int=number, version=4)),
                "attributes": {"MessageGroupId": user},
                "messageAttributes": {"thumbnail": attribute},
            }
            file.write(f'{json.dumps(message)[:-1]}, "body":{body}}}\n')
            bodies.append(body)
    return bodies


class Peak(threading.Thread):
    """The most memory that a process had. (The kernel's ru_maxrss begins with that of the parent.)"""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.status, self.kilobytes = Path(f"/proc/{pid}/status"), 0
        self.start()

    def run(self):
        with contextlib.suppress(OSError, StopIteration):
            while True:
                lines = self.status.read_text().splitlines()
                self.kilobytes = int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
                time.sleep(0.005)

    def megabytes(self):
        self.join()
        return self.kilobytes / 1024


def answers(url):
    try:
        return urllib.request.urlopen(url).status == 200
    except OSError:
        return False


class Account:
    """Queues in another process, and replay in a third."""

    def __init__(self, folder, replay, stack):
        self.folder, self.binary, self.stack = folder, replay, stack
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
        }

    def start_queues(self, binary):
        process = self.start([binary], self.environment, subprocess.PIPE)
        self.connect(process.stdout.readline().decode().strip())

    def start_ministack(self):
        port = str(free_port())
        settings = {"GATEWAY_PORT": port, "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1"}
        # Servers that nobody here needs.
        settings |= {"PERSIST_STATE": "0", "SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0"}
        log = self.stack.enter_context(open(self.folder / "ministack.log", "w"))
        self.start([sys.executable, "-m", "ministack"], {**self.environment, **settings}, log)
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: answers(f"{url}/_ministack/health"), "MiniStack to answer")
        self.connect(url)
        self.create("user-events-dlq")
        self.create("user-events", dead_letters="user-events-dlq")

    def start(self, command, environment, stdout):
        process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=stdout, stderr=subprocess.STDOUT)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def connect(self, url):
        self.environment["AWS_ENDPOINT_URL"] = url
        self.sqs = boto3.client(
            "sqs", endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        )

    def create(self, name, dead_letters=None):
        attributes = {}
        if dead_letters:
            url = self.sqs.get_queue_url(QueueName=dead_letters)["QueueUrl"]
            arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "5"})
        self.sqs.create_queue(QueueName=name, Attributes=attributes)

    def visible(self, name):
        url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])

    def replay(self, *arguments, count):
        start = time.monotonic()
        process = subprocess.Popen(
            [self.binary, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        peak = Peak(process.pid)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds, megabytes = time.monotonic() - start, peak.megabytes()
        expect(os.waitstatus_to_exitcode(status) == 0, output)
        expect(f"{count} " in output, output)
        lines = output.splitlines()
        progress = [line for line in lines if "a second" in line]
        print(
            f"{arguments[0]:8} {count} messages, {seconds:6.1f} s, {count / seconds:6.0f} a second, {megabytes:5.1f} MB, "
            f"processor {usage.ru_utime + usage.ru_stime:5.1f} s, {len(progress)} lines of progress"
        )
        if progress:
            print(f"         {progress[len(progress) // 2]}")
        print(f"         {lines[-1]}", flush=True)
        expect(megabytes <= MEGABYTES_AT_MOST, f"{megabytes:.0f} MB: more than {MEGABYTES_AT_MOST}")


if __name__ == "__main__":
    main()
