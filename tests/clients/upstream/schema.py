"""The schema of the upstream: services whose .proto files Google published (npm `google-proto-files`).

The files are compiled at start with grpc_tools' protoc; nothing is generated to disk. The descriptors keep
their options, so that reflection hands `google.api.http` to whoever asks.
"""

import os
import tempfile

import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

FILES = (
    "google/actions/sdk/v2/actions_sdk.proto",
    "google/firestore/v1/firestore.proto",
    # Not imported by the two above: the types of the details that errors carry.
    "google/rpc/error_details.proto",
)
SERVICES = ("google.actions.sdk.v2.ActionsSdk", "google.firestore.v1.Firestore")


def compile_descriptor_set(proto_root):
    """The serialized FileDescriptorSet of FILES and all they import, in order of dependency."""
    well_known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "upstream.binpb")
        arguments = ["protoc", f"-I{well_known}", f"-I{proto_root}", "--include_imports"]
        if protoc.main([*arguments, f"--descriptor_set_out={path}", *FILES]) != 0:
            raise RuntimeError("protoc did not compile the published files under " + proto_root)
        with open(path, "rb") as file:
            return file.read()


class Schema:
    """Descriptors and message classes, all made at run time."""

    def __init__(self, descriptor_set):
        self.descriptor_set = descriptor_set
        self.pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file:
            self.pool.AddSerializedFile(file.SerializeToString())

    def message(self, name):
        """The class of a message, by its full name."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def methods(self):
        """Every method as `(service name, method descriptor)`."""
        for name in SERVICES:
            for method in self.pool.FindServiceByName(name).methods:
                yield name, method


def shape(method):
    """One of `unary`, `server`, `client`, `bidi`."""
    table = {(False, False): "unary", (False, True): "server", (True, False): "client", (True, True): "bidi"}
    return table[(method.client_streaming, method.server_streaming)]
