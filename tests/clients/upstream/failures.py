"""How the upstream fails: a google.rpc.Status with details, in the trailers, as a published service would."""

import grpc
from google.protobuf import any_pb2

CODES = {code.value[0]: code for code in grpc.StatusCode}


def status(schema, code, message, *details):
    """A google.rpc.Status; each detail is a message of the schema."""
    made = schema.message("google.rpc.Status")(code=code, message=message)
    for detail in details:
        packed = any_pb2.Any(type_url="type.googleapis.com/" + detail.DESCRIPTOR.full_name, value=detail.SerializeToString())
        made.details.add().ParseFromString(packed.SerializeToString())
    return made


def fail(context, made):
    """Ends the call with this status. Does not return."""
    echo = dict(context.invocation_metadata()).get("x-echo")
    trailers = [("grpc-status-details-bin", made.SerializeToString())]
    if echo is not None:
        trailers.append(("x-echo-trailer", echo))
    context.set_trailing_metadata(tuple(trailers))
    context.abort(CODES[made.code], made.message)
