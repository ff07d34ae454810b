"""Questions to series and stands: pure aggregation, exact until it is rounded once, last."""
