"""Ten thousand routes: what each request costs beside ten of them, and how long it takes to read them again under load."""

import re
import statistics
import subprocess
import sys
import time

from load import Request, WrongAnswer, drive, verify
from peers import OPEN, Fleet
from rounds import Result, spread

# The last of the many and the last of the few is the same request.
REQUEST = Request("/r9/book")
MANY = 10_000
FEW = 10
# A reload takes so much time at most, in seconds; a request among many costs so much of what it costs among few.
SECONDS = 1.0
FLAT = 1.15


def routes(count, mark):
    """Routes of which the first answers with `mark`, and the tenth leads to the upstream; more of the same kind behind. With
    another `mark` each of them is another one."""
    lines = [f'[[routes]]\npath = "/mark"\nrespond = {{ body = "{mark}" }}\n']
    for number in range(count - 1, 0, -1):
        lines.append(
            f'[[routes]]\nprefix = "/r{number}"\nupstream = "plain"\nreplace_prefix = "/plain"\n'
            f'response_headers = {{ set = {{ x-mark = "{mark}" }} }}\n'
        )
    return "\n".join(lines)


def run_reload(tools, rounds, seconds):
    """One result for the cost of a request, one for the time of a reload."""
    with Fleet(tools, []) as fleet:
        gateways = {}
        for name, count in (("few", FEW), ("many", MANY)):
            gateways[name] = fleet.start_propylon(name, fleet.upstream, OPEN, more=routes(count, 0))
        for name, differs in verify(REQUEST, list(gateways.values()), fleet.scratch):
            sys.exit(f"bench: reload-10k: {name} answers differently: {differs}")
        count = max(200, int(drive(REQUEST, gateways["few"], fleet.scratch, 1000, fleet.load_cores) * seconds))
        cost = {name: [] for name in gateways}
        for turn in range(rounds):
            names = list(gateways)
            for name in names[turn % 2 :] + names[: turn % 2]:
                before = gateways[name].cpu_seconds()
                drive(REQUEST, gateways[name], fleet.scratch, count, fleet.load_cores)
                cost[name].append((gateways[name].cpu_seconds() - before) / count * 1e6)
        # Alone, to be measured; and under load, of which nothing may fail.
        took = [reload(fleet, gateways["many"], mark) for mark in range(1, rounds + 1)]
        cpu, wall = zip(*took, strict=True)
        for mark in range(rounds + 1, rounds + 3):
            under_load(fleet, gateways["many"], mark, count)
    ratios = [many / few for many, few in zip(cost["many"], cost["few"], strict=True)]
    print(f"reload-10k: {statistics.median(cpu):.2f} s, {statistics.median(wall):.2f} s", file=sys.stderr, flush=True)
    many = {"own_us": statistics.median(cost["many"]), "own_spread": spread(cost["many"])}
    return [
        Result(
            row="reload-10k",
            title="plain HTTP/1.1 among 10,000 routes",
            **many,
            against="10 routes",
            peer_us=statistics.median(cost["few"]),
            peer_spread=spread(cost["few"]),
            value=statistics.median(ratios),
            noise=spread(ratios),
            budget=FLAT,
        ),
        *(
            Result(
                row="reload-10k",
                title=f"10,000 routes that all change read again, in {what}",
                own_us=statistics.median(times),
                own_spread=spread(times),
                against="(absolute)",
                peer_us=None,
                peer_spread=None,
                value=statistics.median(times),
                # A busy machine only ever adds.
                noise=statistics.median(times) - min(times),
                budget=SECONDS,
                unit="s",
            )
            for what, times in (("CPU seconds", cpu), ("seconds", wall))
        ),
    ]


def reload(fleet, gateway, mark):
    """Changes all routes and has them read again; the CPU seconds that it took, and the seconds until it was answered."""
    config = fleet.scratch / f"{gateway.name}.toml"
    text = config.read_text()
    config.write_text(re.sub(rf'(body|x-mark) = "{mark - 1}"', rf'\1 = "{mark}"', text))
    before, begun = gateway.cpu_seconds(), time.monotonic()
    done = curl("--request", "POST", gateway.origin + "/admin/reload")
    took = gateway.cpu_seconds() - before, time.monotonic() - begun
    if "generation" not in done or curl(gateway.origin + "/mark") != str(mark):
        raise WrongAnswer(f"reload-10k: the reload did not happen: {done}")
    return took


def under_load(fleet, gateway, mark, count):
    """The same while requests come, each of which has to succeed."""
    load = fleet.driving(REQUEST, gateway, count)
    reload(fleet, gateway, mark)
    out, _ = load.communicate()
    if load.returncode or f"{count} succeeded" not in out or f"{count} 2xx" not in out:
        raise WrongAnswer(f"reload-10k: not every request was answered meanwhile:\n{out}")


def curl(*arguments):
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
