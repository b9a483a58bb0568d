"""gRPC-Web by hand over HTTP/1.1, binary and text: every case, read byte by byte as the protocol document says.

    grpc_web.py PROTO_ROOT HOST:PORT
"""

import base64
import http.client
import os
import struct
import sys
from urllib.parse import unquote

from google.protobuf import json_format

from cases import CASES
from checks import Checks, attempt

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "upstream"))
from schema import Schema, compile_descriptor_set  # noqa: E402: found by the line above

TRAILERS = 0x80


def frame(payload):
    return struct.pack(">BI", 0, len(payload)) + payload


def frames(body):
    """The `(flags, payload)` of a body; a truncated one is an error."""
    position = 0
    while position < len(body):
        flags, length = struct.unpack_from(">BI", body, position)
        payload = body[position + 5 : position + 5 + length]
        if len(payload) != length:
            raise ValueError(f"a frame of {length} bytes has {len(payload)}")
        yield flags, payload
        position += 5 + length


def unpadded(text):
    return base64.b64decode(text + "=" * (-len(text) % 4))


def segments(text):
    """A text body may be several base64 texts one after another, each with its own padding."""
    while text:
        end = text.find(b"=")
        end = len(text) if end < 0 else end + (2 if text[end : end + 2] == b"==" else 1)
        yield base64.b64decode(text[:end], validate=True)
        text = text[end:]


class Client:
    def __init__(self, schema, address):
        self._schema, self._address = schema, address

    def run(self, case, text):
        service, _, method = case["method"].partition("/")
        described = self._schema.pool.FindServiceByName(service).FindMethodByName(method)
        request = self._schema.message(described.input_type.full_name)
        response = self._schema.message(described.output_type.full_name)
        body = b"".join(
            frame(json_format.ParseDict(value, request(), descriptor_pool=self._schema.pool).SerializeToString())
            for value in case["requests"]
        )
        content_type = "application/grpc-web-text+proto" if text else "application/grpc-web+proto"
        connection = http.client.HTTPConnection(self._address, timeout=20)
        headers = {"content-type": content_type, "accept": content_type, "x-grpc-web": "1"}
        connection.request("POST", "/" + case["method"], base64.b64encode(body) if text else body, headers)
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        if answer.status != 200:
            return [], {"code": -1, "message": f"HTTP {answer.status}: {raw[:200]}"}
        if not answer.getheader("content-type", "").startswith(content_type.partition("+")[0]):
            return [], {"code": -1, "message": "content type " + str(answer.getheader("content-type"))}
        messages, trailers = [], None
        for flags, payload in frames(b"".join(segments(raw)) if text else raw):
            if trailers is not None:
                return messages, {"code": -1, "message": "a frame after the trailers"}
            if flags & TRAILERS:
                trailers = dict(line.split(":", 1) for line in payload.decode().strip().split("\r\n"))
                trailers = {key.lower(): value.strip() for key, value in trailers.items()}
            else:
                messages.append(self._json(response.FromString(payload)))
        # A reply without messages may carry its status in the head instead.
        trailers = trailers or {key.lower(): value for key, value in answer.getheaders()}
        return messages, self._status(trailers)

    def _json(self, message):
        return json_format.MessageToDict(message, descriptor_pool=self._schema.pool)

    def _status(self, trailers):
        code = int(trailers.get("grpc-status", -1))
        if code == 0:
            return None
        details = []
        if "grpc-status-details-bin" in trailers:
            status = self._schema.message("google.rpc.Status").FromString(unpadded(trailers["grpc-status-details-bin"]))
            details = self._json(status).get("details", [])
        return {"code": code, "message": unquote(trailers.get("grpc-message", "")), "details": details}


def main():
    checks = Checks()
    client = Client(Schema(compile_descriptor_set(sys.argv[1])), sys.argv[2])
    for case in CASES:
        for text in (False, True):
            checks.outcome(case, "by gRPC-Web " + ("text" if text else "binary"), *attempt(client.run, case, text))
    checks.finish()


if __name__ == "__main__":
    main()
