"""What rate-limit promises, with real Envoy: `make drill-rate-limit`."""
