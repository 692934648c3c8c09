FROM golang:1.26-bookworm AS build
WORKDIR /src
# The modules are a layer of their own: they are fetched again only when one of them changes.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
ARG COMMIT=unknown
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/oskadev/mailroom/internal/cli.version=${VERSION} -X github.com/oskadev/mailroom/internal/cli.commit=${COMMIT}" -o /out/mailroom .

FROM debian:bookworm-slim
# For rediss:// and other TLS; the slim image has none.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/mailroom /usr/local/bin/mailroom
# By number, so that an orchestrator can see that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["mailroom"]
