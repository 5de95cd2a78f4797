"""The domain of Countersign: plain Python and SQLAlchemy; knows no Flask, no Docker, no request."""

VERSION = "0.1.0"
