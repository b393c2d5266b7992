"""Deploys template.yaml to MiniStack, an emulator of AWS, and plays one user's first day with it.

    python tests/e2e/e2e.py                  # runs sam build, sam deploy and the scenario
    python tests/e2e/e2e.py --build DIR      # uses the result of an earlier sam build
    python tests/e2e/e2e.py --dist DIR       # deploys a release: a folder that cargo xtask dist made
    python tests/e2e/e2e.py --replay FILE    # uses this binary `replay`
    python tests/e2e/e2e.py --screenshots docs/images    # writes the pictures of the docs

scenario.py contains the tests. MiniStack runs with IAM switched on (stand_in.py) and listens with TLS: it checks every
call, also those of the functions, against the policies of the template.
"""

import argparse
import base64
import contextlib
import hashlib
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import scenario
from assertions import expect
from client import StackClient
from report import Report
from stack import PARAMETERS, MiniStack, sam_build

ROOT = Path(__file__).resolve().parents[2]


def main():
    options = parse_options()
    # sys.exit raises an exception, so that the processes are stopped after SIGTERM too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    report = Report()
    with tempfile.TemporaryDirectory(prefix="cognito-user-events-") as folder:
        ministack, stack = MiniStack(Path(folder)), None
        try:
            report.section("Build and deployment")
            build = options.dist or options.build or build_stack(report, options.root)
            page = options.dist and options.dist / "page"
            stack = deploy(report, ministack, build, options.root, options.replay, page)
            if options.dist:
                check_code(report, stack, options.dist)
            scenario.run(report, stack, build, options.screenshots)
        except Exception:
            traceback.print_exc()
            print_logs(ministack, stack)
            return 1
        finally:
            report.section("Teardown")
            with report.step("MiniStack and all functions have ended, the port is free"):
                ministack.stop()
    report.print_durations()
    return 0


def parse_options():
    def absolute_path(path):
        return Path(path).resolve()

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=absolute_path, default=ROOT, help="the repository")
    builds = parser.add_mutually_exclusive_group()
    builds.add_argument("--build", type=absolute_path, help="result of an earlier `sam build`; skips the build")
    builds.add_argument(
        "--dist", type=absolute_path, help="folder that `cargo xtask dist` made: deploys its template, zip files and page"
    )
    parser.add_argument(
        "--replay",
        type=absolute_path,
        default=ROOT / "target/debug/replay",
        help="the binary `replay` (default: target/debug/replay)",
    )
    parser.add_argument("--screenshots", type=absolute_path, help="folder for pictures of the page (default: none)")
    options = parser.parse_args()
    if not options.replay.exists():
        parser.error(f"{options.replay} does not exist. Run: cargo build -p replay")
    return options


def build_stack(report, root):
    with report.step("sam build"):
        return sam_build(root)


def deploy(report, ministack, build, root, replay, page):
    with report.step("MiniStack listens on") as step:
        ministack.start()
        step.show(ministack.endpoint)
    with report.step("sam deploy creates the stack:") as step:
        ministack.deploy(build, PARAMETERS)
        stack = StackClient(ministack, root, replay, page)
        step.show(f"{len(stack.resources)} resources")
    return stack


def check_code(report, stack, dist):
    with report.step("Lambda has the zip files of the release, byte for byte:") as step:
        zips = (dist / "functions" / PARAMETERS["Architecture"]).glob("*.zip")
        released = {base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode() for path in zips}
        for name in stack.function_names():
            code = stack.functions.get_function_configuration(FunctionName=stack.resources[name])
            expect(code["CodeSha256"] in released, f"{name} is not in {dist}")
        step.show(f"{len(stack.function_names())} functions")


def print_logs(ministack, stack):
    """Prints the last log lines of MiniStack and of each function, after a failure."""
    if ministack.process is None:
        return
    print("\nLast lines of MiniStack's log\n" + ministack.log_tail(), file=sys.stderr)
    for function in stack.function_names() if stack else []:
        with contextlib.suppress(Exception):
            lines = stack.log_lines(function)[-25:]
            print(f"\nLast lines of {function}'s log", *lines, sep="\n  ", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
