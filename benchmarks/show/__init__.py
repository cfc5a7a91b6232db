"""Says what was measured: figures, tables, pictures and pages."""
