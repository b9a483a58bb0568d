"""The one table of calls that every client makes, with the one outcome that each of them must see.

A case is a method, the messages sent and the messages that come back as ProtoJSON, the status if it is not OK,
and the REST requests (verb, path with query, JSON body or None) that say the same by the method's annotation.
Run as a program it prints the table as JSON, for clients in other languages.
"""

import base64
import json

DATABASE = "projects/p/databases/d"
DOCUMENTS = DATABASE + "/documents"
TIME = "2024-05-06T07:08:09.123456789Z"
FIRESTORE = "google.firestore.v1.Firestore/"
ACTIONS = "google.actions.sdk.v2.ActionsSdk/"


def text64(text):
    return base64.b64encode(text.encode()).decode()


def document(name, fields=None):
    made = {"name": name, "fields": fields, "createTime": TIME, "updateTime": TIME}
    return {key: value for key, value in made.items() if value}


def written(*results):
    return {"updateTime": TIME, "transformResults": list(results)}


def missing(name):
    return {
        "code": 5,
        "message": f"no document at {name} (ünï)",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "DOCUMENT_MISSING",
                "domain": "firestore.example",
                "metadata": {"name": name},
            },
            {"@type": "type.googleapis.com/google.firestore.v1.DocumentMask", "fieldPaths": ["a.b", name]},
        ],
    }


def case(method, requests, responses, rest=(), status=None):
    """`requests` and `responses` are a message, or a list where that side streams."""
    return {
        "method": method,
        "client_streaming": isinstance(requests, list),
        "server_streaming": isinstance(responses, list),
        "requests": requests if isinstance(requests, list) else [requests],
        "responses": responses if isinstance(responses, list) else [] if responses is None else [responses],
        "status": status,
        "rest": [{"verb": verb, "path": path, "body": body} for verb, path, body in rest],
    }


WRITES = [
    {
        "update": {"name": f"{DOCUMENTS}/a/1", "fields": {"n": {"integerValue": "-7"}}},
        "updateMask": {"fieldPaths": ["n"]},
        "updateTransforms": [{"fieldPath": "n", "increment": {"integerValue": "21"}}],
    },
    {"delete": f"{DOCUMENTS}/a/2", "currentDocument": {"exists": True}},
]
WRITTEN = [
    written({"stringValue": f"update {DOCUMENTS}/a/1"}, {"integerValue": "42"}),
    written({"stringValue": f"delete {DOCUMENTS}/a/2"}),
]
FIELDS = {
    "text": {"stringValue": "«ünï» \"quoted\" \\ \u2028 😀"},
    "number": {"integerValue": "9223372036854775807"},
    "half": {"doubleValue": -0.5},
    "nan": {"doubleValue": "NaN"},
    "none": {"nullValue": None},
    "yes": {"booleanValue": True},
    "bytes": {"bytesValue": "AP//"},
    "when": {"timestampValue": "1969-12-31T23:59:59.500Z"},
    "place": {"geoPointValue": {"latitude": 52.5, "longitude": 13.4}},
    "list": {"arrayValue": {"values": [{"stringValue": "a"}, {"mapValue": {"fields": {"b": {"integerValue": "1"}}}}]}},
}


def firestore():
    name = f"{DOCUMENTS}/coll/doc"
    yield case(
        FIRESTORE + "GetDocument",
        {"name": name, "mask": {"fieldPaths": ["a", "b.c"]}, "transaction": text64("tx")},
        document(name, {
            "mask": {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b.c"}]}},
            "transaction": {"bytesValue": text64("tx")},
        }),
        [("GET", f"/v1/{name}?mask.fieldPaths=a&mask.field_paths=b.c&transaction={text64('tx')}", None)],
    )
    yield case(
        FIRESTORE + "GetDocument",
        {"name": f"{DOCUMENTS}/coll/d/sub/ü x", "readTime": TIME},
        document(f"{DOCUMENTS}/coll/d/sub/ü x", {"readTime": {"timestampValue": TIME}}),
        [("GET", f"/v1/{DOCUMENTS}/coll/d/sub/%C3%BC%20x?readTime={TIME}", None)],
    )
    yield case(
        FIRESTORE + "GetDocument",
        {"name": f"{DOCUMENTS}/coll/missing"},
        None,
        [("GET", f"/v1/{DOCUMENTS}/coll/missing", None)],
        status=missing(f"{DOCUMENTS}/coll/missing"),
    )
    yield case(
        FIRESTORE + "ListDocuments",
        {"parent": DOCUMENTS, "collectionId": "coll", "pageSize": 2, "pageToken": "a b", "orderBy": "n desc", "showMissing": True},
        {
            "documents": [
                document(f"{DOCUMENTS}/coll/{index}", {"orderBy": {"stringValue": "n desc"}, "showMissing": {"booleanValue": True}})
                for index in range(2)
            ],
            "nextPageToken": "a b+",
        },
        [("GET", f"/v1/{DOCUMENTS}/coll?pageSize=2&pageToken=a+b&orderBy=n%20desc&showMissing=true", None)],
    )
    yield case(
        FIRESTORE + "UpdateDocument",
        {"document": {"name": name, "fields": FIELDS}, "updateMask": {"fieldPaths": ["text"]}},
        document(name, FIELDS | {"updateMask": {"arrayValue": {"values": [{"stringValue": "text"}]}}}),
        [("PATCH", f"/v1/{name}?updateMask.fieldPaths=text", {"fields": FIELDS})],
    )
    yield case(
        FIRESTORE + "DeleteDocument",
        {"name": name, "currentDocument": {"exists": True}},
        {},
        [("DELETE", f"/v1/{name}?currentDocument.exists=true", None)],
    )
    yield case(
        FIRESTORE + "DeleteDocument",
        {"name": f"{DOCUMENTS}/coll/missing", "currentDocument": {"exists": True}},
        None,
        [("DELETE", f"/v1/{DOCUMENTS}/coll/missing?currentDocument.exists=true", None)],
        status={"code": 9, "message": f"{DOCUMENTS}/coll/missing does not exist", "details": []},
    )
    names = [f"{DOCUMENTS}/a/1", f"{DOCUMENTS}/a/missing", f"{DOCUMENTS}/a/3"]
    batch = {"documents": names, "newTransaction": {"readWrite": {"retryTransaction": text64("again")}}}
    yield case(
        FIRESTORE + "BatchGetDocuments",
        {"database": DATABASE} | batch,
        [
            {"found": document(names[0]), "transaction": text64("again"), "readTime": TIME},
            {"missing": names[1], "transaction": text64("again"), "readTime": TIME},
            {"found": document(names[2]), "transaction": text64("again"), "readTime": TIME},
        ],
        [("POST", f"/v1/{DOCUMENTS}:batchGet", batch)],
    )
    yield case(
        FIRESTORE + "BeginTransaction",
        {"database": DATABASE, "options": {"readOnly": {}}},
        {"transaction": text64("read_only:" + DATABASE)},
        [("POST", f"/v1/{DOCUMENTS}:beginTransaction", {"options": {"readOnly": {}}})],
    )
    yield case(
        FIRESTORE + "Commit",
        {"database": DATABASE, "writes": WRITES, "transaction": text64("tx")},
        {"writeResults": WRITTEN, "commitTime": TIME},
        [("POST", f"/v1/{DOCUMENTS}:commit", {"writes": WRITES, "transaction": text64("tx")})],
    )
    yield case(
        FIRESTORE + "Rollback",
        {"database": DATABASE, "transaction": text64("tx")},
        {},
        [("POST", f"/v1/{DOCUMENTS}:rollback", {"transaction": text64("tx")})],
    )
    yield case(
        FIRESTORE + "Rollback",
        {"database": DATABASE},
        None,
        [("POST", f"/v1/{DOCUMENTS}:rollback", {})],
        status={"code": 3, "message": "a rollback names its transaction", "details": []},
    )
    query = {"from": [{"collectionId": "coll"}], "limit": 3, "offset": 4}
    yield case(
        FIRESTORE + "RunQuery",
        {"parent": DOCUMENTS, "structuredQuery": query},
        [
            {"document": document(f"{DOCUMENTS}/coll/{index}"), "readTime": TIME, "skippedResults": 4}
            for index in range(3)
        ] + [{"done": True}],
        [("POST", f"/v1/{DOCUMENTS}:runQuery", {"structuredQuery": query})],
    )
    query = {"from": [{"collectionId": "none"}]}
    yield case(
        FIRESTORE + "RunQuery",
        {"parent": f"{DOCUMENTS}/a/1", "structuredQuery": query},
        [{"done": True}],
        [("POST", f"/v1/{DOCUMENTS}/a/1:runQuery", {"structuredQuery": query})],
    )
    query = {"from": [{"collectionId": "broken"}], "limit": 9}
    yield case(
        FIRESTORE + "RunQuery",
        {"parent": DOCUMENTS, "structuredQuery": query},
        [{"document": document(f"{DOCUMENTS}/broken/{index}"), "readTime": TIME} for index in range(2)],
        [("POST", f"/v1/{DOCUMENTS}:runQuery", {"structuredQuery": query})],
        status={
            "code": 10,
            "message": "the index changed",
            "details": [{"@type": "type.googleapis.com/google.firestore.v1.DocumentMask", "fieldPaths": ["broken"]}],
        },
    )
    stages = [{"name": "collection", "args": [{"referenceValue": "/a"}]}, {"name": "limit", "args": [{"integerValue": "3"}]}]
    pipeline = {"structuredPipeline": {"pipeline": {"stages": stages}}}
    yield case(
        FIRESTORE + "ExecutePipeline",
        {"database": DATABASE} | pipeline,
        [
            {"results": [{"name": "collection", "fields": {"0": {"referenceValue": "/a"}}}], "executionTime": TIME},
            {"results": [{"name": "limit", "fields": {"0": {"integerValue": "3"}}}], "executionTime": TIME},
        ],
        [("POST", f"/v1/{DOCUMENTS}:executePipeline", pipeline)],
    )
    aggregations = {"structuredAggregationQuery": {"aggregations": [{"count": {"upTo": "5"}, "alias": "all"}, {"sum": {"field": {"fieldPath": "n"}}, "alias": "n"}]}}
    yield case(
        FIRESTORE + "RunAggregationQuery",
        {"parent": DOCUMENTS} | aggregations,
        [
            {"result": {"aggregateFields": {"all": {"integerValue": "9007199254740993"}, "ratio": {"doubleValue": 0}}}, "readTime": TIME},
            {"result": {"aggregateFields": {"n": {"integerValue": "9007199254740994"}, "ratio": {"doubleValue": 0.25}}}, "readTime": TIME},
        ],
        [
            ("POST", f"/v1/{DOCUMENTS}:runAggregationQuery", aggregations),
        ],
    )
    yield case(
        FIRESTORE + "PartitionQuery",
        {"parent": DOCUMENTS, "partitionCount": "2", "pageToken": "next"},
        {
            "partitions": [
                {"values": [{"referenceValue": f"{DOCUMENTS}/part/0"}, {"nullValue": None}], "before": True},
                {"values": [{"referenceValue": f"{DOCUMENTS}/part/1"}, {"nullValue": None}]},
            ],
            "nextPageToken": "next",
        },
        [("POST", f"/v1/{DOCUMENTS}:partitionQuery", {"partitionCount": 2, "pageToken": "next"})],
    )
    writes = [
        {"streamId": "first", "labels": {"b": "2", "a": "1"}},
        {"writes": WRITES},
        {"writes": WRITES[1:]},
    ]
    yield case(
        FIRESTORE + "Write",
        [{"database": DATABASE} | writes[0], *writes[1:]],
        [
            {"streamId": "first a=1 b=2", "streamToken": text64("token 0"), "commitTime": TIME},
            {"streamId": "stream", "streamToken": text64("token 1"), "writeResults": WRITTEN, "commitTime": TIME},
            {"streamId": "stream", "streamToken": text64("token 2"), "writeResults": WRITTEN[1:], "commitTime": TIME},
        ],
        [("POST", f"/v1/{DOCUMENTS}:write", writes)],
    )
    listens = [{"addTarget": {"targetId": 7, "documents": {"documents": names[:2]}, "once": True}}, {"removeTarget": 7}]
    yield case(
        FIRESTORE + "Listen",
        [{"database": DATABASE} | listens[0], {"database": DATABASE} | listens[1]],
        [
            {"targetChange": {"targetChangeType": "ADD", "targetIds": [7], "resumeToken": "AP8H"}},
            {"documentChange": {"document": document(names[0]), "targetIds": [7]}},
            {"documentChange": {"document": document(names[1]), "targetIds": [7]}},
            {"targetChange": {"targetChangeType": "REMOVE", "targetIds": [7], "cause": missing("target 7")}},
        ],
        [("POST", f"/v1/{DOCUMENTS}:listen", listens)],
    )
    yield case(
        FIRESTORE + "ListCollectionIds",
        {"parent": f"{DOCUMENTS}/a/1", "pageSize": 2, "pageToken": "t"},
        {"collectionIds": ["1-0", "1-1"], "nextPageToken": "t"},
        [("POST", f"/v1/{DOCUMENTS}/a/1:listCollectionIds", {"pageSize": 2, "pageToken": "t"})],
    )
    writes = [{"delete": names[0]}, {"delete": names[1]}]
    yield case(
        FIRESTORE + "BatchWrite",
        {"database": DATABASE, "writes": writes, "labels": {"k": "v"}},
        {
            "writeResults": [written({"stringValue": f"delete {name}"}) for name in names[:2]],
            "status": [{}, missing(names[1]), {"message": "k=v"}],
        },
        [("POST", f"/v1/{DOCUMENTS}:batchWrite", {"writes": writes, "labels": {"k": "v"}})],
    )
    made = {"parent": DOCUMENTS, "collectionId": "coll", "documentId": "new", "document": {"fields": {"yes": {"booleanValue": True}}}}
    yield case(
        FIRESTORE + "CreateDocument",
        made,
        document(f"{DOCUMENTS}/coll/new", {"yes": {"booleanValue": True}}),
        [("POST", f"/v1/{DOCUMENTS}/coll?documentId=new", made["document"])],
    )


def actions():
    data = {"files": {"dataFiles": {"dataFiles": [{"filePath": "a.txt", "payload": text64("abc")}, {"filePath": "b.bin"}]}}}
    config = {"files": {"configFiles": {"configFiles": [{"filePath": "bundle.yaml", "resourceBundle": {"k": [1, None, {"x": "y"}]}}]}}}
    results = {
        "results": [
            {"validationMessage": "0: a.txt of 3 bytes, b.bin of 0 bytes", "validationContext": {"languageCode": "en"}},
            {"validationMessage": "1: bundle.yaml", "validationContext": {"languageCode": "en"}},
        ]
    }
    stream = [{"parent": "projects/p"} | data, {"parent": "projects/p"} | config]
    yield case(
        ACTIONS + "WriteDraft", stream, {"name": "projects/p/draft", "validationResults": results},
        [("POST", "/v2/projects/p/draft:write", [data, config])],
    )
    yield case(
        ACTIONS + "WritePreview",
        stream,
        {"name": "projects/p/previews/1", "validationResults": results, "simulatorUrl": "https://simulator.example/1"},
        [("POST", "/v2/projects/p/preview:write", [data, config])],
    )
    yield case(
        ACTIONS + "CreateVersion",
        stream,
        {
            "name": "projects/p/versions/2",
            "versionState": {"state": "CREATED", "message": "0: a.txt of 3 bytes, b.bin of 0 bytes; 1: bundle.yaml"},
            "creator": "upstream",
            "updateTime": TIME,
        },
        [("POST", "/v2/projects/p/versions:create", [data, config])],
    )
    for method, name, count in (("ReadDraft", "projects/p/draft", 3), ("ReadVersion", "projects/p/versions/3", 2)):
        yield case(
            ACTIONS + method,
            {"name": name, "clientSecretEncryptionKeyVersion": "key 1"},
            [
                {"files": {"dataFiles": {"dataFiles": [
                    {"filePath": f"{name}/{index}", "contentType": "text/plain;zone=test", "payload": text64("key 1")}
                ]}}}
                for index in range(count)
            ],
            [("POST", f"/v2/{name}:read", {"clientSecretEncryptionKeyVersion": "key 1"})],
        )
    yield case(
        ACTIONS + "EncryptSecret", {"clientSecret": "abc"},
        {"accountLinkingSecret": {"encryptedClientSecret": text64("cba"), "encryptionKeyVersion": "v1"}},
        [("POST", "/v2:encryptSecret", {"clientSecret": "abc"})],
    )
    yield case(
        ACTIONS + "DecryptSecret", {"encryptedClientSecret": text64("cba")}, {"clientSecret": "abc"},
        [("POST", "/v2:decryptSecret", {"encryptedClientSecret": text64("cba")})],
    )
    yield case(
        ACTIONS + "ListSampleProjects",
        {"pageSize": 2, "pageToken": "p"},
        {
            "sampleProjects": [
                {"name": f"sampleProjects/{index}", "description": f"a sample, nr. {index} «ünï»"} for index in range(2)
            ],
            "nextPageToken": "p+",
        },
        [("GET", "/v2/sampleProjects?pageSize=2&page_token=p", None)],
    )
    yield case(
        ACTIONS + "ListReleaseChannels",
        {"parent": "projects/p", "pageSize": 1},
        {"releaseChannels": [{"name": "projects/p/releaseChannels/0", "currentVersion": "versions/0"}]},
        [("GET", "/v2/projects/p/releaseChannels?pageSize=1", None)],
    )
    yield case(
        ACTIONS + "ListVersions",
        {"parent": "projects/p", "pageSize": 2},
        {
            "versions": [
                {"name": "projects/p/versions/0", "versionState": {}, "creator": "upstream", "updateTime": TIME},
                {"name": "projects/p/versions/1", "versionState": {"state": "CREATION_IN_PROGRESS"}, "creator": "upstream", "updateTime": TIME},
            ]
        },
        [("GET", "/v2/projects/p/versions?pageSize=2", None)],
    )


CASES = [*firestore(), *actions()]


if __name__ == "__main__":
    print(json.dumps(CASES))
