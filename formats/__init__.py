"""What a stranger needs to check Countersign: formats, digests, proofs. Standard library and cryptography only.

Modules import each other relatively, because this package also travels inside the client and inside every image.
`keys`, `dsse`, `manifest` and `notes` need `cryptography`; the others need no third-party package at all.
"""
