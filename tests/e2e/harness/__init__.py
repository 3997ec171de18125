"""Everything an end-to-end test needs: real Envoy, an upstream that records, an identity provider, raw clients."""
