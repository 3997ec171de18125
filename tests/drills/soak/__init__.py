"""Memory and time under hostile traffic: `make soak`."""
