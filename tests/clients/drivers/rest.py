"""REST/JSON over HTTP/1.1, HTTP/2 and WebSocket: every case by its annotated addresses and by its plain one.

Server streams are read in all three forms, client streams sent in both, bidirectional calls made over HTTP/2,
streams of every shape over WebSocket; plus the gateway's own pages, metadata as headers, a deadline, and requests that are wrong.

    rest.py HOST:PORT
"""

import http.client
import json
import sys
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from cases import CASES, DOCUMENTS
from checks import Checks, attempt, json_values
from http2 import Exchange

HTTP_STATUS = {3: 400, 5: 404, 9: 400, 10: 409}
NDJSON, SSE, JSON = "application/x-ndjson", "text/event-stream", "application/json"


def send(address, verb, path, body=None, headers=None):
    """One request: its status, headers in lower case, and body as text."""
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request(verb, path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, {key.lower(): value for key, value in answer.getheaders()}, text


def failure(value):
    """The google.rpc.Status in an error body."""
    return {"code": value.get("code"), "message": value.get("message"), "details": value.get("details", [])}


def ended(value):
    """The status in a stream's terminal frame, or None when this is a message."""
    return failure(value["error"]) if isinstance(value.get("error"), dict) else None


def messages_of(form, text):
    """The messages of a streamed response in one of the three forms, and the status of its terminal frame."""
    if form == NDJSON:
        values = [json.loads(line) for line in text.splitlines()]
    elif form == JSON:
        values = json.loads(text)
    else:
        values = []
        for event in text.replace("\r\n", "\n").split("\n\n"):
            fields = [line.partition(":")[::2] for line in event.split("\n") if line and not line.startswith(":")]
            data = "\n".join(value.removeprefix(" ") for key, value in fields if key == "data")
            if data:
                values.append(json.loads(data))
    status = ended(values[-1]) if values else None
    return (values[:-1] if status else values), status


def addresses(case):
    """The annotated addresses of a case, and the plain one that every method has."""
    requests = case["requests"] if case["client_streaming"] else case["requests"][0]
    return [*case["rest"], {"verb": "POST", "path": "/" + case["method"], "body": requests}]


def call(address, case, at, accept, array=False):
    """One request for a case that is not bidirectional; its messages and status."""
    headers, body = {"accept": accept}, None
    if at["body"] is not None:
        headers["content-type"] = NDJSON if case["client_streaming"] and not array else JSON
        streamed = case["client_streaming"] and not array
        body = "".join(json.dumps(value) + "\n" for value in at["body"]) if streamed else json.dumps(at["body"])
    code, head, text = send(address, at["verb"], at["path"], body, headers)
    if code != 200:
        try:
            status = failure(json.loads(text))
        except ValueError:
            return [], {"code": -1, "message": f"HTTP {code}: {text[:300]}"}
        if HTTP_STATUS.get(status["code"]) != code:
            status["message"] = f"HTTP {code}: {status['message']}"
        return [], status
    if not head.get("content-type", "").startswith(accept):
        return [], {"code": -1, "message": f"content type {head.get('content-type')}"}
    if case["server_streaming"]:
        return messages_of(accept, text)
    return json_values(text), None


def over_http2(address, case, at):
    """A bidirectional call: the requests as NDJSON, and the answers as they come."""
    exchange = Exchange(address, at["path"], {"content-type": NDJSON, "accept": NDJSON})
    for value in at["body"]:
        exchange.send(value)
    exchange.end()
    messages = list(iter(exchange.line, None))
    exchange.close()
    status = ended(messages[-1]) if messages else None
    return (messages[:-1] if status else messages), status


def over_websocket(address, case, at):
    """A streaming call: every request as a text message, an empty one where the stream of requests ends."""
    requests = at["body"] if case["client_streaming"] else [at["body"]]
    messages, status = [], None
    with connect(f"ws://{address}{at['path']}", open_timeout=20, close_timeout=5) as socket:
        for value in requests:
            socket.send(json.dumps(value))
        if case["client_streaming"]:
            socket.send("")
        try:
            while True:
                messages.append(json.loads(socket.recv(timeout=20)))
        except ConnectionClosed as closed:
            if messages:
                status = ended(messages[-1])
            code = closed.rcvd.code if closed.rcvd else None
    expected = 4000 + status["code"] if status else 1000
    if code != expected:
        status = {"code": -1, "message": f"the socket was closed with {code}, not {expected}"}
    return (messages[:-1] if status else messages), status


def table(checks, address):
    for case in CASES:
        for at in addresses(case):
            where = f"by {at['verb']} {at['path']}"
            if case["client_streaming"] and case["server_streaming"]:
                checks.outcome(case, where + " over HTTP/2", *attempt(over_http2, address, case, at))
            elif case["server_streaming"]:
                for form in (NDJSON, SSE, JSON):
                    checks.outcome(case, f"{where} as {form}", *attempt(call, address, case, at, form))
            elif case["client_streaming"]:
                for array in (False, True):
                    checks.outcome(case, f"{where}, array {array}", *attempt(call, address, case, at, JSON, array))
            else:
                checks.outcome(case, where, *attempt(call, address, case, at, JSON))
            if case["client_streaming"] or case["server_streaming"]:
                checks.outcome(case, where + " over WebSocket", *attempt(over_websocket, address, case, at))


def turns(checks, address):
    """Each answer of a bidirectional call arrives before the next request is sent."""
    path = f"/v1/{DOCUMENTS}:write"
    exchange = Exchange(address, path, {"content-type": NDJSON, "accept": NDJSON})
    with connect(f"ws://{address}{path}", open_timeout=20, close_timeout=5) as socket:
        for turn in range(3):
            name = f"turn {turn}"
            exchange.send({"streamId": name})
            checks.same(f"{name} over HTTP/2", name, exchange.line()["streamId"])
            socket.send(json.dumps({"streamId": name}))
            checks.same(f"{name} over WebSocket", name, json.loads(socket.recv(timeout=20))["streamId"])
    exchange.end()
    checks.same("the end over HTTP/2", None, exchange.line())
    exchange.close()


def endless(checks, address):
    """The first messages of a stream without end come at once; it is left, and the gateway goes on."""
    connection = http.client.HTTPConnection(address, timeout=20)
    body = json.dumps({"structuredQuery": {"from": [{"collectionId": "endless"}]}})
    connection.request("POST", f"/v1/{DOCUMENTS}:runQuery", body, {"content-type": JSON, "accept": NDJSON})
    answer = connection.getresponse()
    names = [json.loads(answer.readline())["document"]["name"] for _ in range(3)]
    connection.close()
    checks.same("an endless stream", [f"{DOCUMENTS}/endless/{index}" for index in range(3)], names)


def metadata(checks, address):
    code, head, _ = send(address, "GET", f"/v1/{DOCUMENTS}/a/1", headers={"x-echo": "a value"})
    checks.same("metadata", (200, "a value", "a value"), (code, head.get("x-echo-head"), head.get("x-echo-trailer")))


def deadline(checks, address):
    begun = time.monotonic()
    code, _, text = send(address, "GET", f"/v1/{DOCUMENTS}/a/slow", headers={"x-request-timeout": "0.4"})
    checks.same("a deadline that passes", (504, 4), (code, json.loads(text).get("code")))
    checks.true("a deadline is kept", time.monotonic() - begun < 3)


def pages(checks, address):
    for path in ("/ping", "/health", "/livez", "/readyz"):
        checks.same(path, 200, send(address, "GET", path)[0])


def wrong(checks, address):
    """Requests that are refused: the status, and words of the message."""
    plain = "/google.firestore.v1.Firestore/CreateDocument"
    begin = f"/v1/{DOCUMENTS}:beginTransaction"
    for verb, path, body, kind, want, words in (
        ("GET", "/v1/projects/p/databases", None, None, 404, ""),
        ("PUT", f"/v1/{DOCUMENTS}/a/1", "{}", JSON, 405, ""),
        ("GET", f"/v1/{DOCUMENTS}/a/1?nonsense=1", None, None, 400, "nonsense"),
        ("GET", f"/v1/{DOCUMENTS}/a/%zz", None, None, 400, ""),
        ("POST", plain, '{"nonsense": 1}', JSON, 400, "nonsense"),
        ("POST", plain, '{"document": {"fields": 1}}', JSON, 400, "document.fields"),
        ("POST", plain, '{"parent": "a", "parent": "b"}', JSON, 400, "parent"),
        ("POST", plain, '{"parent": "a"} x', JSON, 400, ""),
        ("POST", begin, '{"options": {"readOnly": {"readTime": "now"}}}', JSON, 400, "options.read"),
        ("POST", begin, '{"database": "projects/other/databases/d"}', JSON, 400, "database"),
        ("POST", plain, "{}", "text/plain", 415, ""),
        ("POST", "/google.firestore.v1.Firestore/Nonsense", "{}", JSON, 404, ""),
    ):
        code, head, text = send(address, verb, path, body, {"content-type": kind} if kind else {})
        label = f"{verb} {path} {body}"
        checks.same(label, want, code)
        checks.true(label + " says why", words in text and json.loads(text).get("message"), text)
        if want == 405:
            checks.true(label + " says what is allowed", "GET" in head.get("allow", ""), head)


def main():
    checks = Checks()
    for part in (table, turns, endless, metadata, deadline, pages, wrong):
        checks.part(part, sys.argv[1])
    checks.finish()


if __name__ == "__main__":
    main()
