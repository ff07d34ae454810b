"""Proofs of values: what a channel delivered, from sealed readings by stated master data, checked without a store."""
