"""Load test of `replay`: sends messages from a file to a dead-letter queue, saves them, and moves them to a queue.

    python tests/e2e/many_messages.py --messages 2000 --replay target/debug/replay
    python tests/e2e/many_messages.py --messages 100000 --queues target/release/queues

The queues are in MiniStack, or with --queues in the test binary `queues`. MiniStack reads all messages of a queue for
each request, so it is too slow for 100,000 messages.

Prints the duration, the rate and the peak memory of each step. save, send and redrive are interrupted several times,
and the saved file is edited before it is sent. Fails if a message is missing, duplicated or changed by a single byte,
or if the peak memory of `replay` exceeds a limit that does not depend on the number of messages.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import signal
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

from assertions import eventually, expect
from stack import REGION, free_port

# A release build needs 17 to 22 MB, a debug build 33 MB. 100,000 messages of 600 bytes in memory, with their receipt
# handles, would need 100 MB.
MAX_MEGABYTES = 64
USERS = 100
INTERRUPTED = 130
QUEUE, DEAD_LETTER_QUEUE = "user-events", "user-events-dead-letters"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--interruptions", type=int, default=2, help="Ctrl-C so often in each of save, send, redrive")
    parser.add_argument("--queues", type=Path, help="the binary `queues`, instead of MiniStack")
    parser.add_argument("--replay", type=Path, default=Path("target/release/replay"), help="the binary `replay`")
    options = parser.parse_args()
    for binary in filter(None, [options.replay, options.queues]):
        expect(binary.exists(), f"{binary} does not exist. Run: cargo build --release -p replay -p tests --bins")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as exit_stack:
        test = LoadTest(Path(folder), options.replay.resolve(), exit_stack)
        if options.queues:
            test.start_queues(options.queues.resolve())
        else:
            test.start_ministack()
        run(test, options.messages, options.interruptions)


def run(test, count, interruptions):
    bodies = write_messages(test.folder / "sent.ndjson", count)
    dead_letters = ("--to", DEAD_LETTER_QUEUE)
    test.replay("send", "sent.ndjson", *dead_letters, "--yes", count=count)
    test.replay("inspect", DEAD_LETTER_QUEUE, count=count)
    save = ("save", DEAD_LETTER_QUEUE, "--out", "saved.ndjson", "--delete", "--yes")
    test.interrupted(save, interruptions, count, resume=("--resume",))
    expect(test.visible_messages(DEAD_LETTER_QUEUE) == 0, "the dead-letter queue is not empty after save --delete")
    saved = (test.folder / "saved.ndjson").read_text()
    expect(bodies_of(saved) == sorted(bodies), "the saved messages differ from the sent messages")
    (test.folder / "edited.ndjson").write_text(saved.replace('"4.90"', '"4.95"'))
    test.interrupted(("send", "edited.ndjson", *dead_letters, "--yes"), interruptions, count)
    redrive = ("redrive", "--from", DEAD_LETTER_QUEUE, "--to", QUEUE, "--by-entry", "--yes")
    test.interrupted(redrive, interruptions, count)
    expect(test.visible_messages(DEAD_LETTER_QUEUE) == 0, "the dead-letter queue is not empty after redrive")
    received = test.take_all(QUEUE)
    edited = sorted(body.replace('"4.90"', '"4.95"') for body in bodies)
    expect(sorted(received) == edited, f"{len(received)} messages arrived, or not those of the edited file")


def bodies_of(text):
    return sorted(line[line.index('"body":') + len('"body":') : -1] for line in text.splitlines())


def write_messages(path, count):
    """Writes a file in the format of `replay save`, and returns the bodies of its messages."""
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


class PeakMemory(threading.Thread):
    """Samples the peak memory of a process (VmHWM) until the process ends.

    The kernel's ru_maxrss is not used, because its initial value is the peak memory of the parent process.
    """

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


class LoadTest:
    """Runs `replay` against queues in another process."""

    def __init__(self, folder, replay, exit_stack):
        self.folder, self.binary, self.exit_stack = folder, replay, exit_stack
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
        }

    def start_queues(self, binary):
        """Starts the test binary `queues`. It creates both queues and prints its URL."""
        process = self.start([binary], self.environment, subprocess.PIPE)
        self.connect(process.stdout.readline().decode().strip())

    def start_ministack(self):
        port = str(free_port())
        settings = {"GATEWAY_PORT": port, "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1"}
        # Two servers that this test does not need.
        settings |= {"PERSIST_STATE": "0", "SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0"}
        log_file = self.exit_stack.enter_context(open(self.folder / "ministack.log", "w"))
        self.start([sys.executable, "-m", "ministack"], {**self.environment, **settings}, log_file)
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: is_ready(f"{url}/_ministack/health"), "MiniStack to answer")
        self.connect(url)
        self.create_queue(DEAD_LETTER_QUEUE)
        self.create_queue(QUEUE, dead_letter_queue=DEAD_LETTER_QUEUE)

    def start(self, command, environment, stdout):
        process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=stdout, stderr=subprocess.STDOUT)
        self.exit_stack.callback(process.wait)
        self.exit_stack.callback(process.kill)
        return process

    def connect(self, url):
        self.environment["AWS_ENDPOINT_URL"] = url
        self.sqs = boto3.client(
            "sqs", endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        )

    def create_queue(self, name, dead_letter_queue=None):
        attributes = {}
        if dead_letter_queue:
            url = self.sqs.get_queue_url(QueueName=dead_letter_queue)["QueueUrl"]
            arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "5"})
        self.sqs.create_queue(QueueName=name, Attributes=attributes)

    def visible_messages(self, name):
        url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])

    def take_all(self, name):
        """Receives all messages of a queue, and makes them invisible. Returns their bodies."""
        url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        call = {"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 43_200}
        bodies = []
        while messages := self.sqs.receive_message(**call).get("Messages"):
            bodies += [message["Body"] for message in messages]
        return bodies

    def interrupted(self, arguments, times, count, resume=()):
        """Runs a command, interrupts it so often with Ctrl-C, and runs it to the end.

        Each run is interrupted after it has done a share of the work. `resume` are further arguments after the first
        run. Expects that the counts of the runs add up: an interruption neither loses nor repeats a message.
        """
        total, interruptions, bars = 0, 0, []
        start = time.monotonic()
        for number in range(times + 1):
            share = count // (times + 2) if number < times else None
            code, output, new_bars = self.run_on_terminal(arguments, share)
            total, bars = total + number_of_messages(output), bars + new_bars
            if code == 0:
                break
            expect(code == INTERRUPTED and number < times, f"exit code {code}:\n{output}")
            expect("replay: interrupted: " in output, output)
            interruptions += 1
            arguments = (*arguments, *(option for option in resume if option not in arguments))
        seconds = time.monotonic() - start
        print(
            f"{arguments[0]:8} {total} messages, {seconds:6.1f} s, {count / seconds:6.0f}/s, "
            f"{interruptions} interruptions, {len(bars)} states of the bar"
        )
        print(f"         {bars[len(bars) // 2] if bars else 'ended before the first bar'}", flush=True)
        expect(code == 0 and total == count, f"{arguments[0]}: {total} messages in total:\n{output}")

    def run_on_terminal(self, arguments, interrupt_after=None):
        """Runs a command with a terminal as its standard error, and interrupts it after this many messages.

        Returns the exit code, the output with the last line of the terminal, and the states of the progress bar.
        """
        leader, follower = os.openpty()
        process = subprocess.Popen(
            [self.binary, *arguments],
            env={**self.environment, "TERM": "xterm", "NO_COLOR": "1"},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=follower,
        )
        os.close(follower)
        peak_memory = PeakMemory(process.pid)
        screen = Screen(leader, process, interrupt_after)
        output = process.stdout.read().decode()
        code = process.wait()
        megabytes = peak_memory.megabytes()
        expect(megabytes <= MAX_MEGABYTES, f"peak memory {megabytes:.0f} MB exceeds {MAX_MEGABYTES} MB")
        screen.join()
        return code, output + "\n".join(screen.messages), screen.bars

    def replay(self, *arguments, count):
        """Runs a command of `replay`, checks that its output contains the count, and prints the measurements."""
        start = time.monotonic()
        process = subprocess.Popen(
            [self.binary, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        peak_memory = PeakMemory(process.pid)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds, megabytes = time.monotonic() - start, peak_memory.megabytes()
        expect(os.waitstatus_to_exitcode(status) == 0, output)
        expect(f"{count} " in output or f"{count:,} " in output, output)
        lines = output.splitlines()
        progress = [line for line in lines if "a second" in line]
        print(
            f"{arguments[0]:8} {count} messages, {seconds:6.1f} s, {count / seconds:6.0f}/s, {megabytes:5.1f} MB, "
            f"CPU {usage.ru_utime + usage.ru_stime:5.1f} s, {len(progress)} progress lines"
        )
        if progress:
            print(f"         {progress[len(progress) // 2]}")
        print(f"         {lines[-1]}", flush=True)
        expect(megabytes <= MAX_MEGABYTES, f"peak memory {megabytes:.0f} MB exceeds {MAX_MEGABYTES} MB")


class Screen(threading.Thread):
    """Reads what a process writes to its terminal, and interrupts it after so many messages."""

    BAR = re.compile(r"(sent|saved|moved) .* ([\d,]+) of [\d,]+, [\d,]+ a second")

    def __init__(self, leader, process, interrupt_after):
        super().__init__(daemon=True)
        self.leader, self.process, self.interrupt_after = leader, process, interrupt_after
        self.bars, self.messages = [], []
        self.start()

    def run(self):
        rest = ""
        # Linux: reading fails once the process has closed the terminal.
        with contextlib.suppress(OSError):
            while chunk := os.read(self.leader, 4096):
                *lines, rest = re.split(r"[\r\n]+", rest + re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", chunk.decode()))
                self.read(lines)
        self.read([rest])

    def read(self, lines):
        for line in map(str.strip, filter(str.strip, lines)):
            if " a second" not in line:
                self.messages.append(line)
            elif bar := self.BAR.search(line):
                self.bars.append(line)
                self.interrupt_if_due(int(bar[2].replace(",", "")))

    def interrupt_if_due(self, position):
        # A resumed run begins where the last one ended.
        self.first = getattr(self, "first", position)
        if self.interrupt_after is not None and position - self.first >= self.interrupt_after:
            self.interrupt_after = None
            self.process.send_signal(signal.SIGINT)


def number_of_messages(output):
    """How many messages a run sent, saved or moved, as it says itself."""
    counts = re.findall(r"([\d,]+)(?: of [\d,]+)?(?: messages?)? (?:sent|saved|moved)\b", output)
    return int(counts[-1].replace(",", "")) if counts else 0


def is_ready(url):
    try:
        return urllib.request.urlopen(url).status == 200
    except OSError:
        return False


if __name__ == "__main__":
    main()
