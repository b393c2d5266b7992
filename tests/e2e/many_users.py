"""Load test of `replay reconcile` and `replay users`: a user pool and a table with many users.

    python tests/e2e/many_users.py --users 100000 --account target/debug/many-users --replay target/debug/replay

The pool and the table are in the test binary `many-users`, which plants differences between both. Fails if `replay`
does not find these differences and only these, also after several interruptions, if a difference remains after --yes,
or if the peak memory of `replay` exceeds a limit. Prints the duration, the calls and the peak memory of each step.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from assertions import expect
from many_messages import INTERRUPTED, PeakMemory
from stack import REGION

# A debug build with 100,000 users. Their addresses and names would need some 30 MB more.
MAX_MEGABYTES = 80
POOL = f"{REGION}_EXAMPLE12"
RULES = '[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]'
RECONCILE = ("reconcile", "--user-pool", POOL, "--rate", "100", "--group-rules", RULES)
QUEUES = ("--user-events", "user-events", "--cache-invalidations", "cache-invalidations")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--interruptions", type=int, default=3, help="Ctrl-C so often in one comparison")
    parser.add_argument("--account", type=Path, default=Path("target/debug/many-users"))
    parser.add_argument("--replay", type=Path, default=Path("target/debug/replay"))
    options = parser.parse_args()
    for binary in (options.replay, options.account):
        expect(binary.exists(), f"{binary} does not exist. Run: cargo build -p replay -p tests --bins")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as exit_stack:
        run(LoadTest(Path(folder), options, exit_stack), options.interruptions)


def run(test, interruptions):
    planted = differences(test.folder / "planted.ndjson")
    kinds = Counter(json.loads(line)["kind"] for line in planted)
    print(f"planted: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}")

    test.replay(*RECONCILE, "--out", "found.ndjson", code=1)
    expect(differences(test.folder / "found.ndjson") == planted, "the differences are not the planted ones")

    # Another user pool must not look like one whose users were deleted.
    output = test.replay("reconcile", "--user-pool", f"{REGION}_OTHER12", *QUEUES, "--yes", code=1)
    expect("does not exist in this account and region" in output, f"the wrong pool is not named:\n{output}")

    resumed = (*RECONCILE, "--out", "resumed.ndjson", "--checkpoint", "checkpoint.ndjson")
    for number in range(interruptions):
        # Each run gets further than the last one.
        test.replay(*resumed, code=INTERRUPTED, interrupt_after_bytes=(number + 1) * test.users * 39 // (interruptions + 2))
    test.replay(*resumed, code=1)
    expect(differences(test.folder / "resumed.ndjson") == planted, "the differences are not those of one run")
    size = (test.folder / "checkpoint.ndjson").stat().st_size
    print(f"checkpoint: {size / 1e6:.1f} MB")

    test.replay(*RECONCILE, *QUEUES, "--checkpoint", "checkpoint.ndjson", "--yes", code=0)
    test.replay(*RECONCILE, "--out", "after.ndjson", code=0)
    expect(differences(test.folder / "after.ndjson") == set(), "differences remain")

    output = test.replay("users", "--user-pool", POOL, "--rate", "100", "--inactive-for", "1d", "--csv", code=0)
    # Progress is in the output too.
    lines = sum(",CONFIRMED," in line for line in output.splitlines())
    expect(lines == test.users, f"{lines} lines for {test.users} users")


def differences(path):
    """The lines of a file of differences, each once."""
    lines = [json.dumps(json.loads(line), sort_keys=True) for line in path.read_text().splitlines()]
    expect(len(set(lines)) == len(lines), f"{path.name} has a difference twice")
    return set(lines)


def is_running(pid):
    """True if a child process has not ended. Leaves its exit status for `os.wait4`."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


class LoadTest:
    """Runs `replay` against an account in another process."""

    def __init__(self, folder, options, exit_stack):
        self.folder, self.users, self.binary = folder, options.users, options.replay.resolve()
        start = time.monotonic()
        command = [options.account.resolve(), str(options.users), folder / "planted.ndjson"]
        self.account = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        exit_stack.callback(self.account.wait)
        exit_stack.callback(self.account.kill)
        url = self.account.stdout.readline().strip()
        expect(url, "the account did not start")
        print(f"account with {options.users} users after {time.monotonic() - start:.1f} s", flush=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": url,
            "TABLE_NAME": "cognito-user-events",
        }

    def calls(self):
        """The number of calls since the last question, by operation."""
        self.account.stdin.write("\n")
        self.account.stdin.flush()
        return json.loads(self.account.stdout.readline())

    def replay(self, *arguments, code, interrupt_after_bytes=None):
        """Runs a command, and interrupts it when its checkpoint has so many bytes. Returns its output."""
        start = time.monotonic()
        with open(self.folder / "output", "w") as output:
            process = subprocess.Popen(
                [self.binary, *arguments], env=self.environment, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT
            )
            peak_memory = PeakMemory(process.pid)
            checkpoint = self.folder / "checkpoint.ndjson"
            while interrupt_after_bytes and is_running(process.pid):
                if checkpoint.exists() and checkpoint.stat().st_size >= interrupt_after_bytes:
                    process.send_signal(signal.SIGINT)
                    break
                time.sleep(0.01)
            _, status, usage = os.wait4(process.pid, 0)
        seconds, megabytes = time.monotonic() - start, peak_memory.megabytes()
        text = (self.folder / "output").read_text()
        ended = os.waitstatus_to_exitcode(status)
        expect(ended == code, f"exit code {ended}:\n{text[-2000:]}")
        calls = ", ".join(f"{operation} {count:,}" for operation, count in sorted(self.calls().items()))
        further = [argument for argument in arguments if argument in ("--yes", "--checkpoint")]
        print(f"{' '.join([arguments[0], *further])}: {seconds:.1f} s, {megabytes:.1f} MB, CPU "
              f"{usage.ru_utime + usage.ru_stime:.1f} s, exit code {code}\n  {calls}", flush=True)
        expect(megabytes <= MAX_MEGABYTES, f"peak memory {megabytes:.0f} MB exceeds {MAX_MEGABYTES} MB")
        return text


if __name__ == "__main__":
    main()
