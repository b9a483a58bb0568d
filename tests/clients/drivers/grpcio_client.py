"""Native gRPC by grpcio: every case, metadata, deadlines, cancellation, bidirectional turns, health, reflection.

The schema comes from the gateway's own reflection (v1alpha, which is what grpcio has).

    grpcio_client.py HOST:PORT
"""

import queue
import sys
import threading
import time

import grpc
from google.protobuf import any_pb2, descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from cases import CASES, DOCUMENTS, FIRESTORE
from checks import Checks

SECONDS = 20
# google.api.http is extension 72295728 of MethodOptions: its tag in a serialized descriptor.
HTTP_TAG = bytes.fromhex("82d3e49302")


class Client:
    def __init__(self, channel):
        self._channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def method(self, name):
        """The callable of a method, with the class of its request."""
        service, _, method = name.partition("/")
        described = self.pool.FindServiceByName(service).FindMethodByName(method)
        request = message_factory.GetMessageClass(described.input_type)
        response = message_factory.GetMessageClass(described.output_type)
        shape = f"{'stream' if described.client_streaming else 'unary'}_{'stream' if described.server_streaming else 'unary'}"
        made = getattr(self._channel, shape)(
            "/" + name, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )
        return made, request

    def json(self, message):
        return json_format.MessageToDict(message, descriptor_pool=self.pool)

    def status(self, error):
        """The status of a failed call, with its details as ProtoJSON."""
        details = []
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                rich = message_factory.GetMessageClass(self.pool.FindMessageTypeByName("google.rpc.Status")).FromString(value)
                details = self.json(rich).get("details", [])
        return {"code": error.code().value[0], "message": error.details(), "details": details}

    def run(self, case):
        call, request = self.method(case["method"])
        sent = [json_format.ParseDict(value, request(), descriptor_pool=self.pool) for value in case["requests"]]
        argument = iter(sent) if case["client_streaming"] else sent[0]
        messages = []
        try:
            answer = call(argument, timeout=SECONDS)
            if case["server_streaming"]:
                for message in answer:
                    messages.append(self.json(message))
            else:
                messages.append(self.json(answer))
        except grpc.RpcError as error:
            return messages, self.status(error)
        return messages, None


def main():
    checks = Checks()
    channel = grpc.insecure_channel(sys.argv[1], options=[("grpc.enable_retries", 0)])
    grpc.channel_ready_future(channel).result(timeout=SECONDS)
    client = Client(channel)
    checks.part(reflection, client)
    for case in CASES:
        checks.outcome(case, "by grpcio", *client.run(case))
    for part in (metadata, deadlines, turns, cancellation, many_at_once):
        checks.part(part, client)
    checks.part(health, channel)
    checks.part(unknown, channel)
    checks.finish()


def reflection(checks, client):
    services = set(client.database.get_services())
    for name in sorted({case["method"].partition("/")[0] for case in CASES} | {"grpc.health.v1.Health"}):
        checks.true(f"reflection lists {name}", name in services, sorted(services))
    for case in CASES:
        service, _, method = case["method"].partition("/")
        described = client.pool.FindServiceByName(service).FindMethodByName(method)
        file = client.database.FindFileContainingSymbol(service)
        for candidate in file.service:
            for found in candidate.method:
                if found.name == method:
                    checks.true(f"{case['method']} keeps google.api.http", HTTP_TAG in found.SerializeToString())
        checks.same(f"{case['method']} shape", case["client_streaming"], described.client_streaming)


def metadata(checks, client):
    call, request = client.method(FIRESTORE + "GetDocument")
    sent = (("x-echo", "a value"), ("x-bytes-bin", b"\x00\xff"))
    _, answer = call.with_call(request(name=f"{DOCUMENTS}/a/1"), timeout=SECONDS, metadata=sent)
    checks.same("metadata in the head", "a value", dict(answer.initial_metadata()).get("x-echo-head"))
    checks.same("metadata in the trailers", "a value", dict(answer.trailing_metadata()).get("x-echo-trailer"))
    try:
        call(request(name=f"{DOCUMENTS}/a/missing"), timeout=SECONDS, metadata=sent)
    except grpc.RpcError as error:
        checks.same("metadata of a failure", "a value", dict(error.trailing_metadata()).get("x-echo-trailer"))


def deadlines(checks, client):
    call, request = client.method(FIRESTORE + "GetDocument")
    begun = time.monotonic()
    try:
        call(request(name=f"{DOCUMENTS}/a/slow"), timeout=0.4)
    except grpc.RpcError as error:
        checks.same("a deadline that passes", grpc.StatusCode.DEADLINE_EXCEEDED, error.code())
    checks.true("a deadline is kept", time.monotonic() - begun < 3)


def turns(checks, client):
    """Each answer of a bidirectional call arrives before the next request is sent."""
    call, request = client.method(FIRESTORE + "Write")
    waiting = queue.Queue()
    answers = call(iter(waiting.get, None), timeout=SECONDS)
    for turn in range(3):
        waiting.put(request(stream_id=f"turn {turn}"))
        checks.same(f"turn {turn} of a bidirectional call", f"turn {turn}", next(answers).stream_id)
    waiting.put(None)
    checks.same("the end of a bidirectional call", [], list(answers))


def cancellation(checks, client):
    """A stream without end is left after three messages; the next call is answered."""
    call, request = client.method(FIRESTORE + "RunQuery")
    endless = request(parent=DOCUMENTS)
    getattr(endless.structured_query, "from").add(collection_id="endless")
    answers = call(endless, timeout=SECONDS)
    names = [next(answers).document.name for _ in range(3)]
    answers.cancel()
    checks.same("an endless stream", [f"{DOCUMENTS}/endless/{index}" for index in range(3)], names)
    checks.same("its status", grpc.StatusCode.CANCELLED, answers.code())
    checks.outcome(CASES[0], "after a cancelled stream", *client.run(CASES[0]))


def many_at_once(checks, client):
    results, threads = [], []

    def several():
        results.extend(client.run(case) == (case["responses"], case["status"] and client.run(case)[1]) for case in CASES[:5])

    for _ in range(8):
        threads.append(threading.Thread(target=several))
        threads[-1].start()
    for thread in threads:
        thread.join(SECONDS)
    checks.same("40 calls at once", [True] * 40, results)


def health(checks, channel):
    stub = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ("", "google.firestore.v1.Firestore"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)
        checks.same(f"health of {service!r}", serving, answer.status)
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=SECONDS)
        checks.true("health of an unknown service fails", False)
    except grpc.RpcError as error:
        checks.same("health of an unknown service", grpc.StatusCode.NOT_FOUND, error.code())
    watched = stub.Watch(health_pb2.HealthCheckRequest(service=""), timeout=SECONDS)
    checks.same("health, watched", serving, next(watched).status)
    watched.cancel()


def unknown(checks, channel):
    call = channel.unary_unary("/no.such.Service/Method", request_serializer=lambda _: b"", response_deserializer=bytes)
    try:
        call(any_pb2.Any(), timeout=SECONDS)
        checks.true("an unknown method fails", False)
    except grpc.RpcError as error:
        checks.same("an unknown method", grpc.StatusCode.UNIMPLEMENTED, error.code())


if __name__ == "__main__":
    main()
