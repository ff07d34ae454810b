"""What we know of meter models, as data: registers, sources and example bytes."""
