"""Uploaded bytes become checked versions, and approved versions become images."""
