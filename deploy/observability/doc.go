// Package observability holds no code: prometheus.yml and rules.yml are for Prometheus,
// grafana is for Grafana, and the tests run them against a gateway. Open
// prometheus_test.go first.
package observability
