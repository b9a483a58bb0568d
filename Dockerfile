# The gateway as an image: `docker build --tag propylon .`. It runs as nobody in particular, listens on 8080, and keeps its
# data in a volume unless its config says PostgreSQL. deploy/README.md says how it is used.

# One Debian for both stages: the program is linked to the C library of the one that it is built on.
ARG DEBIAN=bookworm
ARG RUST=1.95.0

FROM rust:${RUST}-slim-${DEBIAN} AS build
# All that the build wants beside Rust is the C compiler of this image, for aws-lc, mimalloc, SQLite and zstd: no cmake, no
# protoc, no OpenSSL.
WORKDIR /src
# The benches are named in Cargo.toml, and are not built.
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches benches
COPY proto proto
COPY assets assets
COPY config config
COPY src src
# The dependencies stay in caches between builds. What cargo makes is taken out of them in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --bin propylon \
    && cp target/release/propylon /propylon

FROM debian:${DEBIAN}-slim
LABEL org.opencontainers.image.title="Propylon" \
      org.opencontainers.image.description="A gateway for gRPC, gRPC-Web and REST/JSON on one port" \
      org.opencontainers.image.licenses="Apache-2.0"
# The authorities of upstreams and issuers. Their newest list is wanted, whatever its version is.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=65532 --group=65532 --mode=0700 /var/lib/propylon /var/lib/propylon/data
COPY --from=build /propylon /usr/local/bin/propylon
COPY deploy/propylon.toml /etc/propylon/propylon.toml

USER 65532:65532
# SQLite is in ./data of the folder that the gateway is started in.
WORKDIR /var/lib/propylon
VOLUME ["/var/lib/propylon/data"]
# 8080 is for callers, 9090 for operators where the config has an [admin] listener.
EXPOSE 8080 9090
# Calls in flight go on for the config's drain time: give the container that long (`docker stop -t`).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/propylon", "health", "--config", "/etc/propylon/propylon.toml"]
ENTRYPOINT ["/usr/local/bin/propylon"]
CMD ["serve", "--config", "/etc/propylon/propylon.toml"]
