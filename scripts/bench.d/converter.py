"""The converter alone: runs `benches/pure.rs` and judges what it printed."""

import subprocess
import sys

from rounds import Result

# Microseconds for the book of 343 bytes; the other messages are measured beside prost-reflect and have no budget.
BUDGETS = {("book", "wire to JSON"): 0.6, ("book", "JSON to wire"): 1.0}


def run_converter(rounds):
    """One result for each message and direction."""
    command = ["cargo", "bench", "--quiet", "--bench", "pure", "--", "--rounds", str(rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("bench: the converter's benchmark failed")
    print(done.stdout, file=sys.stderr)
    results = []
    for line in done.stdout.splitlines():
        # message, direction, size, Propylon's fastest round, then median and spread of its own, prost-reflect's, their ratio.
        cells = line.split("\t")
        if len(cells) != 10:
            continue
        message, direction, size = cells[:3]
        fastest, own, own_spread, peer, peer_spread, ratio, noise = map(float, cells[3:])
        shared = {
            "row": f"converter {message} {direction}",
            "title": f"converter, {message} ({size}), {direction}",
            "own_us": own,
            "own_spread": own_spread,
        }
        budget = BUDGETS.get((message, direction))
        if budget is not None:
            results.append(
                Result(
                    **shared,
                    against="(absolute)",
                    peer_us=None,
                    peer_spread=None,
                    value=own,
                    # A busy machine only ever adds: without a peer to compare with, the fastest round tells the most.
                    noise=own - fastest,
                    budget=budget,
                    unit="us",
                )
            )
        results.append(
            Result(
                **shared,
                against="prost-reflect",
                peer_us=peer,
                peer_spread=peer_spread,
                value=ratio,
                noise=noise,
                budget=None,
            )
        )
    if not results:
        sys.exit(f"bench: the converter's benchmark printed no figures:\n{done.stdout}")
    return results
