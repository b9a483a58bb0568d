"""gRPC-Web in a real Chromium by connect-web: what the page saw, checked against the table.

    browser.py NODE NODE_MODULES CHROMIUM PROTO_ROOT HOST:PORT
"""

import json
import os
import subprocess
import sys
import tempfile

from cases import CASES, DOCUMENTS
from checks import Checks

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "upstream"))
from schema import compile_descriptor_set  # noqa: E402: found by the line above


def look(node, modules, chromium, proto_root, address):
    """Runs the page and returns what it printed."""
    with tempfile.TemporaryDirectory() as directory:
        cases, descriptors = os.path.join(directory, "cases.json"), os.path.join(directory, "descriptors.binpb")
        with open(cases, "w", encoding="utf-8") as file:
            json.dump(CASES, file)
        with open(descriptors, "wb") as file:
            file.write(compile_descriptor_set(proto_root))
        script = os.path.join(HERE, "..", "browser", "run.mjs")
        arguments = [node, script, modules, chromium, f"http://{address}", cases, descriptors]
        done = subprocess.run(arguments, capture_output=True, encoding="utf-8", timeout=180)
    if done.returncode != 0:
        sys.exit(f"the browser ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    if done.stderr:
        print(done.stderr, file=sys.stderr)
    return json.loads(done.stdout)


def main():
    checks = Checks()
    seen = look(*sys.argv[1:6])
    for case, outcome in zip(CASES, seen["outcomes"]):
        if outcome is not None:
            checks.outcome(case, "by connect-web in Chromium " + seen["version"], outcome["messages"], outcome["status"])
    checks.same("metadata that CORS lets a page read", {"head": "a value", "trailer": "a value"}, seen["metadata"])
    checks.same("a deadline that passes", "DeadlineExceeded", seen["deadline"])
    checks.same("an endless stream, left", {"enough": True, "code": "Canceled"}, seen["aborted"])
    failed = [404, f"no document at {DOCUMENTS}/coll/missing (ünï)"]
    checks.same("REST by fetch", {"read": [200, f"{DOCUMENTS}/coll/doc"], "failed": failed}, seen["rest"])
    checks.same("a WebSocket's turns", ["turn 0", "turn 1", "turn 2"], seen["turns"])
    checks.finish(streaming=lambda case: not case["client_streaming"])


if __name__ == "__main__":
    main()
