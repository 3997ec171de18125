"""The chaos drill: faults of everything around the filters, while traffic runs. `make chaos`, docs/reliability.md."""
