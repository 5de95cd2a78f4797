"""The domain of Countersign: plain Python and SQLAlchemy; knows no Flask, no Docker, no request."""
