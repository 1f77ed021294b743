"""Files: bounded reading, safe writing, and checked fields of records that came from outside."""
