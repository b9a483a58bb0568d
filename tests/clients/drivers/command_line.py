"""Every case by the clients of the command line: grpcurl, and buf curl over gRPC and gRPC-Web.

    command_line.py grpcurl PATH HOST:PORT
    command_line.py buf PATH HOST:PORT grpc|grpcweb grpc-v1|grpc-v1alpha

Both find the schema by the gateway's reflection: grpcurl asks for v1 first, buf for the version it is told.
"""

import base64
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from cases import CASES
from checks import Checks, json_values

# buf prints the names of Connect, which are gRPC's in lower case.
CODES = ("ok canceled unknown invalid_argument deadline_exceeded not_found already_exists permission_denied resource_exhausted "
         "failed_precondition aborted out_of_range unimplemented internal unavailable data_loss unauthenticated").split()


def run(arguments, text):
    done = subprocess.run(arguments, input=text, capture_output=True, encoding="utf-8", timeout=30)
    return done.returncode, done.stdout, done.stderr


def grpcurl(path, address, case):
    sent = "\n".join(json.dumps(nulls(request, None, "NULL_VALUE")) for request in case["requests"])
    code, out, err = run([path, "-plaintext", "-max-time", "20", "-format-error", "-d", "@", address, case["method"]], sent)
    if code == 0:
        return nulls(json_values(out), "NULL_VALUE", None), None
    # The status is the last of what is printed, after `ERROR:` in some versions.
    status = json_values(err[err.index("{"):])[-1] if "{" in err else {"message": err}
    return json_values(out), status


def nulls(value, old, new):
    """grpcurl's own JSON writes and reads a google.protobuf.NullValue by its name, where ProtoJSON says null."""
    if isinstance(value, dict):
        return {key: new if key == "nullValue" and inner == old else nulls(inner, old, new) for key, inner in value.items()}
    return [nulls(inner, old, new) for inner in value] if isinstance(value, list) else value


def buf(path, address, protocol, reflection, case):
    sent = "\n".join(json.dumps(request) for request in case["requests"])
    code, out, err = run(
        [path, "curl", "--protocol", protocol, "--http2-prior-knowledge", "--reflect-protocol", reflection,
         "--connect-timeout", "10", "-d", "@-", f"http://{address}/{case['method']}"],
        sent,
    )
    if code == 0:
        return json_values(out), None
    try:
        failed = json_values(err[err.index("{"):])[-1]
    except ValueError:
        return json_values(out), {"message": err}
    details = [{"@type": detail["type"], "bytes": base64.b64decode(detail["value"] + "==")} for detail in failed.get("details", [])]
    return json_values(out), {"code": CODES.index(failed["code"]), "message": failed.get("message", ""), "details": details}


def without_bytes(status):
    """For buf: which details came is checked by their types; that they are whole, by the other clients."""
    if status is None:
        return None
    names = [{"@type": detail["@type"].rpartition("/")[2]} for detail in status["details"]]
    return {"code": status["code"], "message": status["message"], "details": names}


def main():
    kind, path, address = sys.argv[1:4]
    checks = Checks()

    def call(case):
        if kind == "grpcurl":
            return grpcurl(path, address, case)
        return buf(path, address, sys.argv[4], sys.argv[5], case)

    with ThreadPoolExecutor(max_workers=2) as workers:
        for case, (messages, status) in zip(CASES, workers.map(call, CASES)):
            if kind == "buf":
                case = case | {"status": without_bytes(case["status"])}
                status = without_bytes(status) if status and "details" in status else status
            checks.outcome(case, "by " + " ".join([kind, *sys.argv[4:]]), messages, status)
    if kind == "grpcurl":
        code, out, err = run([path, "-plaintext", address, "list"], "")
        for service in sorted({case["method"].partition("/")[0] for case in CASES} | {"grpc.health.v1.Health"}):
            checks.true(f"grpcurl list shows {service}", service in out.split(), out + err)
        code, out, err = run([path, "-plaintext", "-d", "{}", address, "grpc.health.v1.Health/Check"], "")
        checks.same("grpcurl asks for health", {"status": "SERVING"}, json_values(out)[0] if code == 0 else err)
        code, out, err = run([path, "-plaintext", address, "describe", "google.firestore.v1.Firestore"], "")
        checks.true("grpcurl describe shows the annotations", ":runQuery" in out, out + err)
    checks.finish()


if __name__ == "__main__":
    main()
