"""What the API reads and writes: one pydantic model per body, and the functions that make answers of rows."""
