"""What CI systems and metric stores read: JUnit XML, OpenMetrics, a Markdown summary."""
