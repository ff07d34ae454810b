"""Simulated M-Bus meters on a pseudo-terminal; they share no code with the codec that reads them."""
