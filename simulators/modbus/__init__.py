"""A simulated Modbus TCP meter."""
