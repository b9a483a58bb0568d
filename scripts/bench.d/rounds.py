"""Interleaved rounds, and what is made of them."""

import statistics
import sys
from dataclasses import dataclass

from load import Request, drive


@dataclass(frozen=True)
class Budget:
    """At most this much of a peer's cost, or so many microseconds more than the peer; `rps`: requests per second, as a
    part of the peer's. `None`: told, and not judged."""

    peer: str
    at_most: float | None
    unit: str = "x"


@dataclass(frozen=True)
class Row:
    """One kind of work, and what Propylon may spend on it."""

    name: str
    title: str
    request: Request
    budgets: tuple[Budget, ...]
    # Which gateway is judged: the one that verifies who calls and counts the call, as every deployment does.
    own: str = "policed"
    # Peers that are asked otherwise for the same: their names and requests. Their answers are not compared.
    otherwise: tuple[tuple[str, Request], ...] = ()

    def peers(self):
        return [*dict.fromkeys(budget.peer for budget in self.budgets), self.own]

    def request_of(self, peer):
        return dict(self.otherwise).get(peer, self.request)


@dataclass
class Result:
    """Propylon against one budget of one row; figures in microseconds per request or conversion, or requests per second."""

    row: str
    title: str
    own_us: float
    own_spread: float
    against: str
    peer_us: float | None
    peer_spread: float | None
    # What is judged: a ratio to the peer, or microseconds when there is a budget without a peer.
    value: float
    noise: float
    budget: float | None
    unit: str = "x"


def measure(rows, fleet, rounds, seconds):
    """Runs every row for so many rounds; one result for each budget."""
    results = []
    for row in rows:
        gateways = [fleet.gateways[name] for name in row.peers()]
        # The first run warms up, and tells how many requests make about `seconds`.
        counts = {}
        for gateway in gateways:
            warm = drive(row.request_of(gateway.name), gateway, fleet.scratch, 1000, fleet.load_cores)
            counts[gateway.name] = max(200, int(warm * seconds))
        cost = {gateway.name: [] for gateway in gateways}
        speed = {gateway.name: [] for gateway in gateways}
        for turn in range(rounds):
            # Another one begins each round, so that no peer always follows the same one.
            shift = turn % len(gateways)
            for gateway in gateways[shift:] + gateways[:shift]:
                before = gateway.cpu_seconds()
                rps = drive(row.request_of(gateway.name), gateway, fleet.scratch, counts[gateway.name], fleet.load_cores)
                cost[gateway.name].append((gateway.cpu_seconds() - before) / counts[gateway.name] * 1e6)
                speed[gateway.name].append(rps)
        figures = ", ".join(f"{name} {statistics.median(costs):.1f} us" for name, costs in cost.items())
        print(f"{row.name}: {figures}", file=sys.stderr, flush=True)
        for budget in row.budgets:
            what = speed if budget.unit == "rps" else cost
            pairs = list(zip(what[row.own], what[budget.peer], strict=True))
            if budget.unit == "us":
                ratios = [mine - theirs for mine, theirs in pairs]
            else:
                ratios = [mine / theirs for mine, theirs in pairs]
            results.append(
                Result(
                    row=row.name,
                    title=f"{row.title}: requests per second" if budget.unit == "rps" else row.title,
                    own_us=statistics.median(what[row.own]),
                    own_spread=spread(what[row.own]),
                    against=budget.peer,
                    peer_us=statistics.median(what[budget.peer]),
                    peer_spread=spread(what[budget.peer]),
                    value=statistics.median(ratios),
                    noise=spread(ratios),
                    budget=budget.at_most,
                    unit=budget.unit,
                )
            )
    return results


def spread(values):
    """Half the distance between the quartiles: how far a round usually lies from the median."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2
