"""From the measurements of all models to tables, claims, figures and the report."""
