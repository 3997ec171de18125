"""What the worst input costs: `make worst-case`."""
