# The portal's assets, the program, and a small image that runs it.
#
#   docker build -t onemap .
#   docker run --rm -p 8080:8080 -v "$PWD/workspace:/workspace" onemap

FROM node:22-bookworm-slim AS portal
WORKDIR /build/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web ./
COPY styles /build/styles
RUN npm run build

FROM rust:1.95-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential libclang-dev libgdal-dev libproj-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
COPY --from=portal /build/web/dist web/dist
RUN cargo build --release --locked

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgdal32 libproj25 proj-data \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home onemap \
    && install -d -o onemap /workspace
COPY --from=build /build/target/release/onemap /usr/local/bin/onemap
COPY LICENSE /usr/share/doc/onemap/LICENSE
USER 10001
VOLUME /workspace
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s \
    CMD ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /health/live HTTP/1.0\\r\\n\\r\\n' >&3; grep -qm1 ' 200 ' <&3"]
ENTRYPOINT ["onemap"]
CMD ["serve", "/workspace", "--listen", "0.0.0.0:8080"]
