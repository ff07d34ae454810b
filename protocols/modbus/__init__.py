"""Modbus: registers of a model and their values, without I/O."""
