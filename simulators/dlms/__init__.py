"""Simulated DLMS/COSEM electricity meters."""
