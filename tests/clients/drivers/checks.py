"""What every driver shares: the count of what was checked, and how a difference is shown.

A driver ends with `checked N of M methods, C checks` and exit code 0, or with every difference and exit code 1.
"""

import json
import signal
import sys

from cases import CASES

# No driver outlives this, whatever a server does to it.
signal.alarm(240)


class Checks:
    def __init__(self):
        self._count, self._failures, self._methods = 0, [], set()

    def same(self, label, want, got):
        """Checks one outcome. Numbers are compared as numbers, so 0 is 0.0."""
        self._count += 1
        if want != got:
            self._failures.append(f"{label}\n  want {brief(want)}\n  got  {brief(got)}")

    def true(self, label, value, got=None):
        self.same(label, True, bool(value) or got or value)

    def outcome(self, case, label, messages, status):
        """Checks what came back for a case: the messages, then the status (None is OK)."""
        self._methods.add(case["method"])
        label = f"{case['method']} {label}"
        self.same(label + ": messages", case["responses"], messages)
        self.same(label + ": status", canonical(case["status"]), canonical(status))

    def part(self, function, *arguments):
        """Runs one part of a driver; what it raises is one more difference, and the next part goes on."""
        try:
            function(self, *arguments)
        except Exception as error:  # noqa: BLE001: whatever it was, it is shown
            self._failures.append(f"{function.__name__}: {type(error).__name__}: {error}")

    def finish(self, streaming=None):
        """Ends the program. `streaming` limits the methods that had to be called, for clients that cannot all."""
        expected = {case["method"] for case in CASES if streaming is None or streaming(case)}
        for method in sorted(expected - self._methods):
            self._failures.append(f"{method}: never called")
        for failure in self._failures:
            print("FAILED", failure, file=sys.stderr)
        print(f"checked {len(self._methods)} of {len(expected)} methods, {self._count} checks, {len(self._failures)} failed")
        sys.exit(1 if self._failures else 0)


def attempt(call, *arguments):
    """The `(messages, status)` of a call; whatever it raises becomes a status that no case expects."""
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001: whatever it was, it is shown
        return [], {"code": -1, "message": f"{type(error).__name__}: {error}"}


def canonical(status):
    if status is None:
        return None
    return {"code": status.get("code"), "message": status.get("message", ""), "details": status.get("details") or []}


def brief(value):
    try:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    except TypeError:
        text = repr(value)
    return text if len(text) < 600 else text[:600] + " …"


def json_values(text):
    """The JSON values of a text, one after another with white space between (NDJSON, or what grpcurl prints)."""
    decoder, position, values = json.JSONDecoder(), 0, []
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            return values
        value, position = decoder.raw_decode(text, position)
        values.append(value)
