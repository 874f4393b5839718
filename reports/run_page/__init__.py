"""`report.html`: everything a run found on one page that opens offline, and its plots as files."""
