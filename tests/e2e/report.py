"""Progress output of the end-to-end test: sections, steps and their durations."""

import contextlib
import time


class Report:
    """Prints each section and step while the test runs, and the duration of each section at the end."""

    def __init__(self):
        self.sections = []  # [title, start, end]

    def section(self, title):
        self.end_section()
        self.sections.append([title, time.monotonic(), None])
        print(f"\n{title}", flush=True)

    def end_section(self):
        if self.sections and self.sections[-1][2] is None:
            self.sections[-1][2] = time.monotonic()

    @contextlib.contextmanager
    def step(self, text):
        """Prints the step when its block has ended, with a check mark or, after an exception, a cross."""
        start, step = time.monotonic(), Step()
        try:
            yield step
        except BaseException:
            print(f"  ✗ {time.monotonic() - start:5.2f} s  {text}", flush=True)
            raise
        seconds = time.monotonic() - start
        print(f"  ✓ {seconds:5.2f} s  {text} {step.shown}".rstrip(), flush=True)

    def print_durations(self):
        self.end_section()
        print("\nDuration")
        for title, start, end in self.sections:
            print(f"  {end - start:6.1f} s  {title}")
        print(f"  {self.sections[-1][2] - self.sections[0][1]:6.1f} s  total")


class Step:
    """One step of a section."""

    shown = ""

    def show(self, text):
        """Prints what the test observed after the text of the step, in quotation marks."""
        self.shown = f"“{text}”"
