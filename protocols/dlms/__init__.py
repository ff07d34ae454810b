"""DLMS/COSEM (IEC 62056): bytes and meanings, without I/O."""
