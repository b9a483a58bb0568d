"""What the rows about tools for agents are asked with: a call of a method as a tool, and a thousand tools to be listed."""

import json

# As many as an agent is shown at once where a whole company's methods are tools.
MANY = 1000


def requests(scratch):
    """Writes the messages that the rows send, beside the order that REST is sent."""
    order = json.loads((scratch / "order.json").read_text())
    call = {"name": "bench_v1_BenchService_CreateOrder", "arguments": order}
    for name, method, params in [("tool-call", "tools/call", call), ("tool-list", "tools/list", {})]:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        (scratch / f"{name}.json").write_text(json.dumps(message, separators=(",", ":")))


CALLED = """
[mcp]
expose = ["bench.v1.*"]
"""


def listed(upstream, scratch):
    """The lines of a config under which a thousand methods are tools, on one page."""
    (scratch / "many.binpb").write_bytes(many())
    return f"""
[mcp]
expose = ["many.v1.*"]
page_size = {MANY}

[[upstreams]]
name = "many"
grpc = "http://{upstream}"
descriptors = "{scratch / "many.binpb"}"
"""


def many():
    """A descriptor set (google.protobuf.FileDescriptorSet) of one service with a thousand methods, each of a message with
    five fields."""
    kinds = [("name", 9), ("count", 5), ("total", 3), ("ready", 8), ("score", 1)]
    fields = [
        text(1, name) + number(3, at + 1) + number(4, 1) + number(5, kind) for at, (name, kind) in enumerate(kinds)
    ]
    message = text(1, "Thing") + b"".join(part(2, field) for field in fields)
    methods = [text(1, f"Method{at}") + text(2, ".many.v1.Thing") + text(3, ".many.v1.Thing") for at in range(MANY)]
    service = text(1, "Many") + b"".join(part(2, method) for method in methods)
    file = text(1, "many.proto") + text(2, "many.v1") + part(4, message) + part(6, service) + text(12, "proto3")
    return part(1, file)


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def part(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def text(field, value):
    return part(field, value.encode())
