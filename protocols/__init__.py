"""Bytes and meanings: what meters, gateway and collector say, without any input or output of its own."""
