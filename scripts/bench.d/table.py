"""One table of every result."""


def verdict(result):
    """`met`, `missed`, or `within noise` when the measurement cannot tell; blank without a budget."""
    if result.budget is None:
        return ""
    if result.value <= result.budget:
        return "met"
    return "within noise" if result.value - result.noise <= result.budget else "missed"


def print_table(results, memory):
    """Prints the results, then what memory the gateways held after the run."""
    lines = [("work", "propylon us", "peer", "peer us", "ratio", "budget", "")]
    previous = None
    for result in results:
        ratio = f"{result.value:.2f} ±{result.noise:.2f}" if result.peer_us is not None else ""
        digits = 0 if result.unit == "rps" else 2
        budget = "" if result.budget is None else f"{result.budget:g} {result.unit}"
        lines.append(
            (
                result.title if result.title != previous else "",
                f"{result.own_us:.{digits}f} ±{result.own_spread:.{digits}f}",
                result.against,
                "" if result.peer_us is None else f"{result.peer_us:.{digits}f} ±{result.peer_spread:.{digits}f}",
                ratio,
                budget,
                verdict(result),
            )
        )
        previous = result.title
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for number, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
        if number == 0:
            print("| " + " | ".join("-" * width for width in widths) + " |")
    print()
    print("us: CPU time per request or conversion, median of the rounds ± half the distance between the quartiles;")
    print("ratio: propylon over the peer within each round. One worker each, a core for the gateway, another for the rest.")
    if memory:
        print("Memory after the run: " + ", ".join(f"{name} {held:.0f} MB" for name, held in memory.items()) + ".")
