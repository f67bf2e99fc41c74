"""The learning arrow studied: rows, their settings, tables by name, and what they say."""
