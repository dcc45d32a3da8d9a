"""Asks a ledger over gRPC, knowing nothing of it but what its reflection says.

Arguments: host:port, and for TLS the authority of its certificate, and with a client certificate that and its key. Input:
a JSON array of [method, request] or [method, request, token]. Output: a JSON object for each line: first the services
and the methods, then for each question its messages, or its status with `google.rpc.ErrorInfo`. Reflection is asked with the
token of the first question.
"""

import json
import sys
from pathlib import Path

import grpc
from google.protobuf import any_pb2, descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "realmledger.v1.LedgerService"


def fields(wire):
    """The fields of a message without its descriptor: number and value, as often as they occur."""
    at = 0

    def varint():
        nonlocal at
        number = shift = 0
        while True:
            byte = wire[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while at < len(wire):
        key = varint()
        if key & 7 == 2:
            length = varint()
            yield key >> 3, wire[at : at + length]
            at += length
        else:
            yield key >> 3, varint()


def error_info(error):
    """Reason, domain and metadata, of the details that came with a status."""
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    for number, value in fields(details or b""):
        if number != 3:
            continue
        detail = any_pb2.Any.FromString(value)
        if detail.type_url == "type.googleapis.com/google.rpc.ErrorInfo":
            info, metadata = {}, {}
            for part, text in fields(detail.value):
                if part == 3:
                    entry = {at: of.decode() for at, of in fields(text)}
                    metadata[entry[1]] = entry[2]
                else:
                    info[{1: "reason", 2: "domain"}[part]] = text.decode()
            return {**info, "metadata": metadata}
    return None


def connected(address, *files):
    if not files:
        return grpc.insecure_channel(address)
    authority, certificate, key = ([Path(file).read_bytes() for file in files] + [None, None])[:3]
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(authority, key, certificate))


class WithToken(grpc.StreamStreamClientInterceptor):
    """For reflection, which takes no metadata."""

    def __init__(self, token):
        self.token = token

    def intercept_stream_stream(self, call, details, requests):
        return call(details._replace(metadata=metadata(self.token)), requests)


def metadata(token):
    return [("authorization", f"Bearer {token}")] if token else []


def main():
    channel = connected(*sys.argv[1:])
    questions = [(question + [None])[:3] for question in json.load(sys.stdin)]
    database = ProtoReflectionDescriptorDatabase(grpc.intercept_channel(channel, WithToken(questions[0][2])))
    pool = descriptor_pool.DescriptorPool(database)
    methods = {method.name: method for method in pool.FindServiceByName(SERVICE).methods}
    print(json.dumps({"services": sorted(database.get_services()), "methods": sorted(methods)}))
    for name, request, token in questions:
        method = methods[name]
        to_send = message_factory.GetMessageClass(method.input_type)()
        json_format.ParseDict(request, to_send)
        answer = message_factory.GetMessageClass(method.output_type)
        open_call = channel.unary_stream if method.server_streaming else channel.unary_unary
        call = open_call(
            f"/{SERVICE}/{name}", request_serializer=lambda of: of.SerializeToString(), response_deserializer=answer.FromString
        )
        try:
            answered = call(to_send, timeout=60, metadata=metadata(token))
            messages = list(answered) if method.server_streaming else [answered]
            told = {"code": "OK", "messages": [json_format.MessageToDict(of) for of in messages]}
        except grpc.RpcError as error:
            told = {"code": error.code().name, "detail": error.details(), "info": error_info(error)}
        print(json.dumps({"method": name, **told}))


main()
