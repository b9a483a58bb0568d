"""The upstream of the tests with real clients: a grpcio server with reflection and health.

It serves two services that somebody else published, 27 methods with google.api.http annotations and all four
streaming shapes between them. Prints `upstream on 127.0.0.1:PORT` when it listens; ends with its stdin.

    server.py PROTO_ROOT [PORT]
"""

import sys
from concurrent import futures

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

import actions
import firestore
from schema import SERVICES, Schema, compile_descriptor_set, shape

HANDLERS = {
    "unary": grpc.unary_unary_rpc_method_handler,
    "server": grpc.unary_stream_rpc_method_handler,
    "client": grpc.stream_unary_rpc_method_handler,
    "bidi": grpc.stream_stream_rpc_method_handler,
}


def with_metadata(handler):
    """Answers `x-echo` metadata in the head (as `x-echo-head`) and in the trailers (as `x-echo-trailer`)."""

    def handle(request, context):
        sent = dict(context.invocation_metadata())
        if "x-echo" in sent:
            context.send_initial_metadata((("x-echo-head", sent["x-echo"]),))
            context.set_trailing_metadata((("x-echo-trailer", sent["x-echo"]),))
        return handler(request, context)

    return handle


def add_services(server, schema):
    """Registers a handler for every method of the schema; a method without one is an error here, not a call's."""
    implementations = {
        "google.actions.sdk.v2.ActionsSdk": actions.ActionsSdk(schema),
        "google.firestore.v1.Firestore": firestore.Firestore(schema),
    }
    for name in SERVICES:
        handlers = {}
        for service, method in schema.methods():
            if service == name:
                handlers[method.name] = HANDLERS[shape(method)](
                    with_metadata(getattr(implementations[name], method.name)),
                    request_deserializer=schema.message(method.input_type.full_name).FromString,
                    response_serializer=schema.message(method.output_type.full_name).SerializeToString,
                )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


def main():
    schema = Schema(compile_descriptor_set(sys.argv[1]))
    port = sys.argv[2] if len(sys.argv) > 2 else "0"
    # Streams occupy a thread each for as long as they are open.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    add_services(server, schema)
    checker = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    for name in ("", *SERVICES):
        checker.set(name, health_pb2.HealthCheckResponse.SERVING)
    names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=WithWellKnown(schema.pool))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print(f"upstream on 127.0.0.1:{bound}", flush=True)
    sys.stdin.read()
    server.stop(grace=None).wait()


class WithWellKnown:
    """A pool for reflection: the schema's own first, then the process's (health and reflection itself)."""

    def __init__(self, pool):
        self._pools = (pool, descriptor_pool.Default())

    def __getattr__(self, name):
        def find(*arguments):
            for pool in self._pools:
                try:
                    return getattr(pool, name)(*arguments)
                except KeyError as error:
                    missing = error
            raise missing

        return find


if __name__ == "__main__":
    main()
