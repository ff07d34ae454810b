"""Master data: where delivery is measured, what measures it, and what its registers mean; all of it dated."""
