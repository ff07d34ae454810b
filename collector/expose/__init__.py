"""What the collector shows over HTTP: page, JSON, metrics."""
