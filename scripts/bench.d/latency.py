"""How much later an answer comes through a gateway: the 99th percentile of requests that come at a steady rate, over that of
the upstream asked by itself."""

import statistics
import subprocess
import sys

from load import Request, WrongAnswer
from peers import TOKEN, Fleet
from rounds import Result, spread

REQUEST = Request("/plain/book", headers=(f"authorization: Bearer {TOKEN}",))
# Requests per second, each connection waiting for its own alone: a late answer holds up one in a hundred of those behind it.
RATE = 2_000
CONNECTIONS = 100
# Seconds that are not counted.
WARM = 1


def run_latency(tools, rounds, seconds):
    """One result: what the gateway adds at the 99th percentile, against what nginx adds in the same round."""
    with Fleet(tools, ["nginx", "policed"]) as fleet:
        targets = {"direct": f"http://{fleet.upstream}", **{name: gateway.origin for name, gateway in fleet.gateways.items()}}
        added = {name: [] for name in targets}
        for turn in range(rounds):
            names = list(targets)
            shift = turn % len(names)
            late = {name: late_at(fleet, targets[name], seconds) for name in names[shift:] + names[:shift]}
            for name in names:
                added[name].append(late[name] - late["direct"])
    print(f"latency: {', '.join(f'{name} +{statistics.median(times):.0f} us' for name, times in added.items())}", file=sys.stderr)
    differences = [own - nginx for own, nginx in zip(added["policed"], added["nginx"], strict=True)]
    return [
        Result(
            row="latency",
            title=f"added to the 99th percentile at {RATE} requests a second",
            own_us=statistics.median(added["policed"]),
            own_spread=spread(added["policed"]),
            against="nginx",
            peer_us=statistics.median(added["nginx"]),
            peer_spread=spread(added["nginx"]),
            value=statistics.median(differences),
            noise=spread(differences),
            budget=0.0,
            unit="us",
        )
    ]


def late_at(fleet, origin, seconds):
    """The 99th percentile of the time to a whole answer, in microseconds."""
    log = fleet.scratch / "latency.log"
    log.unlink(missing_ok=True)
    command = ["taskset", "--cpu-list", fleet.load_cores] if fleet.load_cores else []
    command += ["h2load", "--h1", f"--clients={CONNECTIONS}", f"--rps={RATE // CONNECTIONS}", "--threads=1"]
    command += [f"--requests={int(RATE * (max(seconds, 1) + WARM))}", f"--log-file={log}"]
    for header in REQUEST.headers:
        command += ["--header", header]
    subprocess.run([*command, origin + REQUEST.path], check=True, capture_output=True)
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    if not rows or any(row[1] != "200" for row in rows):
        raise WrongAnswer(f"latency: {origin}: not every answer was a success")
    # Connections are opened at first, all at once, here and to the upstream.
    begun = min(int(row[0]) for row in rows) + WARM * 1_000_000
    times = sorted(int(row[2]) for row in rows if int(row[0]) >= begun)
    return times[int(len(times) * 0.99)]
