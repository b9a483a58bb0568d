"""google.firestore.v1.Firestore: unary, server streaming and bidirectional methods.

Nothing is stored: every answer is a function of the request, so that a client can check it. Names steer what
fails: a document called `missing` is NOT_FOUND, one called `slow` takes longer than any deadline here, a
collection called `broken` ends its stream with ABORTED after two messages, one called `endless` never ends. Whatever else is
asked, an answer has a bounded size: callers that try everything ask for 2147483647 of it.
"""

import time

from failures import fail, status

SECONDS, NANOS = 1714979289, 123456789

MOST_INTEGER = 2**63 - 1
# The most messages of a stream, or elements of an answer, whatever number is asked for.
MOST = 100


def bounded(number):
    """As many as are asked for, at most `MOST`."""
    return range(min(number, MOST))


def stamp(field):
    """2024-05-06T07:08:09.123456789Z, whatever pool the Timestamp's class is from."""
    field.seconds, field.nanos = SECONDS, NANOS


class Firestore:
    def __init__(self, schema):
        self._schema = schema

    def _new(self, name, /, **fields):
        return self._schema.message("google.firestore.v1." + name)(**fields)

    def _document(self, name, /, **texts):
        document = self._new("Document", name=name)
        for key, text in texts.items():
            document.fields[key].string_value = text
        stamp(document.create_time)
        stamp(document.update_time)
        return document

    def _missing(self, name):
        return status(
            self._schema, 5, f"no document at {name} (ünï)",
            self._schema.message("google.rpc.ErrorInfo")(reason="DOCUMENT_MISSING", domain="firestore.example", metadata={"name": name}),
            self._new("DocumentMask", field_paths=["a.b", name]),
        )

    def GetDocument(self, request, context):
        last = request.name.rsplit("/", 1)[-1]
        if last == "missing":
            fail(context, self._missing(request.name))
        if last == "slow":
            while context.is_active():
                time.sleep(0.02)
        document = self._document(request.name)
        for path in request.mask.field_paths:
            document.fields["mask"].array_value.values.add(string_value=path)
        which = request.WhichOneof("consistency_selector")
        if which == "transaction":
            document.fields["transaction"].bytes_value = request.transaction
        elif which == "read_time":
            document.fields["readTime"].timestamp_value.CopyFrom(request.read_time)
        return document

    def ListDocuments(self, request, context):
        response = self._new("ListDocumentsResponse", next_page_token=request.page_token + "+")
        for index in bounded(request.page_size):
            document = self._document(f"{request.parent}/{request.collection_id}/{index}", orderBy=request.order_by)
            document.fields["showMissing"].boolean_value = request.show_missing
            response.documents.append(document)
        return response

    def UpdateDocument(self, request, context):
        document = self._document(request.document.name)
        for key, value in request.document.fields.items():
            document.fields[key].CopyFrom(value)
        for path in request.update_mask.field_paths:
            document.fields["updateMask"].array_value.values.add(string_value=path)
        return document

    def DeleteDocument(self, request, context):
        if request.current_document.exists and request.name.endswith("/missing"):
            fail(context, status(self._schema, 9, f"{request.name} does not exist"))
        return self._schema.message("google.protobuf.Empty")()

    def BatchGetDocuments(self, request, context):
        for name in request.documents:
            response = self._new("BatchGetDocumentsResponse", transaction=request.new_transaction.read_write.retry_transaction)
            if name.endswith("/missing"):
                response.missing = name
            else:
                response.found.CopyFrom(self._document(name))
            stamp(response.read_time)
            yield response

    def BeginTransaction(self, request, context):
        mode = request.options.WhichOneof("mode") or "none"
        return self._new("BeginTransactionResponse", transaction=f"{mode}:{request.database}".encode())

    def Commit(self, request, context):
        response = self._new("CommitResponse", write_results=[self._written(write) for write in request.writes])
        stamp(response.commit_time)
        return response

    def _written(self, write):
        """The result of one write: what was written, and each increment doubled."""
        result = self._new("WriteResult")
        stamp(result.update_time)
        operation = write.WhichOneof("operation")
        named = {"update": write.update.name, "delete": write.delete, "transform": write.transform.document}
        result.transform_results.add(string_value=f"{operation} {named.get(operation, '')}")
        for transform in write.update_transforms:
            result.transform_results.add(integer_value=max(-MOST_INTEGER, min(2 * transform.increment.integer_value, MOST_INTEGER)))
        return result

    def Rollback(self, request, context):
        if not request.transaction:
            fail(context, status(self._schema, 3, "a rollback names its transaction"))
        return self._schema.message("google.protobuf.Empty")()

    def RunQuery(self, request, context):
        query = request.structured_query
        named = query.__getattribute__("from")
        collection = named[0].collection_id if named else ""
        index = 0
        while index < min(query.limit.value, MOST) or collection == "endless":
            if not context.is_active():
                return
            if collection == "broken" and index == 2:
                fail(context, status(self._schema, 10, "the index changed", self._new("DocumentMask", field_paths=["broken"])))
            if collection == "endless":
                time.sleep(0.01)
            response = self._new("RunQueryResponse", skipped_results=query.offset)
            response.document.CopyFrom(self._document(f"{request.parent}/{collection}/{index}"))
            stamp(response.read_time)
            yield response
            index += 1
        yield self._new("RunQueryResponse", done=True)

    def ExecutePipeline(self, request, context):
        for stage in request.structured_pipeline.pipeline.stages:
            response = self._new("ExecutePipelineResponse")
            document = response.results.add(name=stage.name)
            for index, argument in enumerate(stage.args):
                document.fields[str(index)].CopyFrom(argument)
            stamp(response.execution_time)
            yield response

    def RunAggregationQuery(self, request, context):
        for index, aggregation in enumerate(request.structured_aggregation_query.aggregations):
            response = self._new("RunAggregationQueryResponse")
            response.result.aggregate_fields[aggregation.alias].integer_value = 9007199254740993 + index
            response.result.aggregate_fields["ratio"].double_value = index / 4
            stamp(response.read_time)
            yield response

    def PartitionQuery(self, request, context):
        response = self._new("PartitionQueryResponse", next_page_token=request.page_token)
        for index in bounded(request.partition_count):
            cursor = response.partitions.add(before=index % 2 == 0)
            cursor.values.add(reference_value=f"{request.parent}/part/{index}")
            cursor.values.add(null_value=0)
        return response

    def Write(self, requests, context):
        for index, request in enumerate(requests):
            response = self._new("WriteResponse", stream_id=request.stream_id or "stream", stream_token=f"token {index}".encode())
            response.write_results.extend(self._written(write) for write in request.writes)
            if request.labels:
                response.stream_id += "".join(f" {key}={request.labels[key]}" for key in sorted(request.labels))
            stamp(response.commit_time)
            yield response

    def Listen(self, requests, context):
        for request in requests:
            if request.WhichOneof("target_change") == "remove_target":
                response = self._new("ListenResponse")
                response.target_change.target_change_type = 2
                response.target_change.target_ids.append(request.remove_target)
                # A google.rpc.Status as a field, with an Any inside.
                response.target_change.cause.CopyFrom(self._missing(f"target {request.remove_target}"))
                yield response
                continue
            target = request.add_target
            response = self._new("ListenResponse")
            response.target_change.target_change_type = 1
            response.target_change.target_ids.append(target.target_id)
            response.target_change.resume_token = b"\x00\xff" + bytes([target.target_id % 256])
            yield response
            for name in target.documents.documents:
                response = self._new("ListenResponse")
                response.document_change.document.CopyFrom(self._document(name))
                response.document_change.target_ids.append(target.target_id)
                yield response

    def ListCollectionIds(self, request, context):
        ids = [f"{request.parent.rsplit('/', 1)[-1]}-{index}" for index in bounded(request.page_size)]
        return self._new("ListCollectionIdsResponse", collection_ids=ids, next_page_token=request.page_token)

    def BatchWrite(self, request, context):
        response = self._new("BatchWriteResponse")
        for write in request.writes:
            response.write_results.append(self._written(write))
            failed = write.delete.endswith("/missing")
            response.status.append(self._missing(write.delete) if failed else status(self._schema, 0, ""))
        for key in sorted(request.labels):
            response.status.append(status(self._schema, 0, f"{key}={request.labels[key]}"))
        return response

    def CreateDocument(self, request, context):
        document = self._document(f"{request.parent}/{request.collection_id}/{request.document_id or 'made'}")
        for key, value in request.document.fields.items():
            document.fields[key].CopyFrom(value)
        return document
