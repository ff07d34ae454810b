"""The contract between gateway and collector: docs/uplink.md, as code without input or output."""
