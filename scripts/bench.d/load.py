"""The load on a gateway, and the proof that what it answered was right."""

import json
import re
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """One request, sent again and again: a POST when it has a body (a file of the scratch directory), else a GET."""

    path: str
    headers: tuple[str, ...] = ()
    body: str | None = None
    http2: bool = False
    clients: int = 64
    streams: int = 1


class WrongAnswer(Exception):
    """A gateway answered, and not as it should."""


def verify(request, gateways, scratch):
    """Sends the request once to each gateway; yields those whose answer differs from the first one's, and how."""
    first = None
    for gateway in gateways:
        answer = ask(request, gateway, scratch)
        gateway.answer_bytes[request] = len(answer)
        meaning = read(request, answer)
        if first is None:
            first = meaning
        elif meaning != first:
            yield gateway.name, f"{meaning!r:.400} instead of {first!r:.400}"


def ask(request, gateway, scratch):
    """The body of one answer, after its status was seen to be a success."""
    command = ["curl", "--silent", "--show-error", "--max-time", "10", "--dump-header", "-", "--output", scratch / "answer"]
    command += ["--http2-prior-knowledge" if request.http2 else "--http1.1"]
    for header in request.headers:
        command += ["--header", header]
    if request.body:
        command += ["--data-binary", f"@{scratch / request.body}"]
    heads = subprocess.run([*command, gateway.origin + request.path], check=True, capture_output=True, text=True).stdout
    if not re.match(r"HTTP/\S+ 200", heads):
        raise WrongAnswer(f"{gateway.name}: {request.path}: {heads}")
    if request.http2 and not re.search(r"^grpc-status: *0\s*$", heads, re.MULTILINE | re.IGNORECASE):
        raise WrongAnswer(f"{gateway.name}: {request.path}: no grpc-status 0 in {heads}")
    return (scratch / "answer").read_bytes()


def read(request, answer):
    """What the answer says, apart from the freedoms that each protocol leaves to its writer."""
    if not any("application/grpc" in header for header in request.headers):
        return json.loads(answer)
    length = 5 + int.from_bytes(answer[1:5], "big")
    message, rest = answer[:length], answer[length:]
    if request.http2:
        return message, rest
    # gRPC-Web ends with its trailers as a frame of their own.
    if rest[:1] != b"\x80" or not re.search(rb"(?im)^grpc-status: *0\s*$", rest[5:]):
        raise WrongAnswer(f"gRPC-Web trailers: {rest!r}")
    return message, b""


def load_command(request, gateway, scratch, count, cores):
    """h2load that sends the request `count` times."""
    command = ["taskset", "--cpu-list", cores] if cores else []
    command += ["h2load", f"--requests={count}", f"--clients={min(request.clients, count)}"]
    command += [f"--max-concurrent-streams={request.streams}", "--threads=1"]
    if not request.http2:
        command += ["--h1"]
    for header in request.headers:
        command += ["--header", header]
    if request.body:
        command += ["--data", scratch / request.body]
    return [*command, gateway.origin + request.path]


def drive(request, gateway, scratch, count, cores):
    """Sends the request `count` times with h2load; returns requests per second once all were seen to succeed."""
    command = load_command(request, gateway, scratch, count, cores)
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    succeeded = number(r"(\d+) succeeded", out)
    good = number(r"(\d+) 2xx", out)
    body_bytes = number(r"\((\d+)\) data", out)
    # h2load sees no trailers. A call that failed in them has no message, so the bytes tell.
    want = count * gateway.answer_bytes[request]
    if succeeded != count or good != count or body_bytes != want:
        raise WrongAnswer(f"{gateway.name}: {request.path}: not every answer was whole ({want} bytes awaited):\n{out}")
    return number(r"([\d.]+) req/s", out)


def number(pattern, text):
    """The one figure that the pattern finds."""
    found = re.search(pattern, text)
    if not found:
        raise WrongAnswer(f"h2load said no {pattern}:\n{text}")
    return float(found.group(1))
