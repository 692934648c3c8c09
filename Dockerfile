# Images are named by exact version. If your registry gives digests, pin by them: FROM name:version@sha256:…
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
# The modules are a layer of their own: they are fetched again only when one of them changes.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
ARG COMMIT=unknown
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/oskadev/mailroom/internal/cli.version=${VERSION} -X github.com/oskadev/mailroom/internal/cli.commit=${COMMIT}" -o /out/mailroom .

# For the service "passwords" of compose.yaml alone, whose script needs a shell. An empty volume gets the owner of the
# directory that it is mounted on.
FROM debian:12.12-slim AS passwords
ARG SERVICES=""
ENV SERVICES=${SERVICES}
RUN for name in api admin $SERVICES; do mkdir -p "/passwords/$name"; done && \
    mkdir -p /acl /data && chown -R 65532:65532 /passwords /acl && chown 999:999 /data
COPY --from=build /out/mailroom /usr/local/bin/mailroom
USER 65532:65532
ENTRYPOINT ["bash", "-ceu"]

# The program alone: no shell, no packages, nothing to write to.
FROM scratch
# For rediss:// and other TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/mailroom /usr/local/bin/mailroom
# By number, so that an orchestrator can see that it is not root.
USER 65532:65532
EXPOSE 8080
# Checks --listen of a gateway. A worker needs MAILROOM_OPS_LISTEN for it.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["mailroom", "health"]
ENTRYPOINT ["mailroom"]
