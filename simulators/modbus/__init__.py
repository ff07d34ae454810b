"""Simulated Modbus meters: one over TCP, any number on an RTU line."""
