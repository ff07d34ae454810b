"""The centre: verifies, deduplicates, stores and acknowledges what gateways send."""
