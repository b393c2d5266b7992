"""Assertions of the end-to-end tests. They never wait for a fixed time: they poll until a result or a deadline."""

import time

from botocore.exceptions import ClientError


def expect(condition, message):
    """Raises an AssertionError if the condition is false. The message can be a function, called only then."""
    if not condition:
        raise AssertionError(message() if callable(message) else message)


def expect_client_error(call):
    """Makes an AWS call that must fail, and returns the `Error` part of the response."""
    try:
        response = call()
    except ClientError as error:
        return error.response["Error"]
    raise AssertionError(f"the call succeeded: {response}")


def eventually(probe, what, seconds=30, pause=0.1):
    """Calls the probe until it returns a true value, and returns that value. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := probe()):
        expect(time.monotonic() < deadline, f"timeout after {seconds} s waiting for {what}")
        time.sleep(pause)
    return result


def eventually_empty(probe, seconds=5):
    """Calls the probe until it returns an empty value or until `seconds` have passed. Returns the last value."""
    deadline = time.monotonic() + seconds
    while (result := probe()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return result
