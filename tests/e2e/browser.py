"""A browser for the end-to-end test: Chromium, driven by browser/browser.mjs."""

import json
import os
import subprocess
from pathlib import Path

from assertions import expect

DRIVER = Path(__file__).resolve().parent / "browser/browser.mjs"


class Browser:
    """Chromium, which resolves the host names of AWS to MiniStack."""

    def __init__(self, ministack):
        # Chromium writes its profile to the home folder.
        environment = {**os.environ, "HOME": str(ministack.folder), "TMPDIR": str(ministack.folder)}
        self.process = subprocess.Popen(
            ["node", DRIVER, str(ministack.port)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, command, **options):
        """Runs a command of browser.mjs, and returns its result."""
        self.process.stdin.write(json.dumps({"command": command, **options}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        expect(line, "the driver of the browser ended. Run: npm ci --prefix tests/web")
        answer = json.loads(line)
        expect("error" not in answer, lambda: f"{command} {options}: {answer['error']}")
        return answer["result"]

    def open(self, name, url, **options):
        """Opens the page in a tab with a profile of its own."""
        self.run("open", tab=name, url=url, **options)
        return Tab(self, name)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class Tab:
    """A tab. browser.mjs describes the commands."""

    def __init__(self, browser, name):
        self.browser, self.name = browser, name

    def run(self, command, **options):
        return self.browser.run(command, tab=self.name, **options)

    def read(self):
        """What a person sees on the page."""
        return self.run("read")

    def cache(self):
        """Hit or Miss of the dashboard's latest request, as the page shows it."""
        return self.read()["strip"]["CloudFront"]

    def reload(self):
        """Reloads the data of the dashboard, and returns Hit or Miss."""
        self.run("reload")
        return self.cache()

    def token(self, kind="access_token"):
        """The token of the session, or None without a session."""
        return (self.run("tokens") or {}).get(kind)
