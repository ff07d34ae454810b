"""The edge daemon: polls meters, seals readings, keeps them, forwards them."""
