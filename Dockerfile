# The image of stock-consumer, for those who have Docker but not Nix: `docker compose build`. The published images are
# built by Nix (nix/images); a test holds both to the same checks.
FROM rust:1.95.0-slim-trixie AS build
WORKDIR /build

# One static program. Naming the target keeps these flags away from build scripts and procedural macros.
ENV RUSTFLAGS="-C target-feature=+crt-static"

# Only Cargo's own files: an edit of our code does not compile the dependencies again.
COPY Cargo.toml Cargo.lock ./
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    mkdir -p src tests/consumer bench && \
    echo 'fn main() {}' | tee src/main.rs tests/consumer/main.rs > bench/drain.rs && \
    touch src/lib.rs && \
    cargo build --release --locked --target "$(rustc --print host-tuple)"

COPY src src
# Cargo compares times, and a clone's files may be older than the ones above.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    touch src/main.rs src/lib.rs && \
    cargo build --release --locked --target "$(rustc --print host-tuple)"

# All that the image holds. Its user can read it, whichever modes the clone's files have.
RUN mkdir -p /image/bin /image/etc/ssl/certs && \
    cp target/*/release/stock-consumer /image/bin/ && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ && \
    echo 'stockmarket:x:10001:10001::/:/sbin/nologin' > /image/etc/passwd && \
    echo 'stockmarket:x:10001:' > /image/etc/group && \
    chmod -R u=rwX,go=rX /image

FROM scratch
COPY --from=build /image /
ARG VERSION=unknown REVISION=unknown
LABEL org.opencontainers.image.title="stock-consumer" \
      org.opencontainers.image.description="Averages the trades of one queue and stores each average exactly once" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
ENV PATH=/bin HTTP_ADDRESS=0.0.0.0:9101
EXPOSE 9101
USER 10001:10001
ENTRYPOINT ["/bin/stock-consumer"]
