"""Run as a process in an empty network namespace: shows that there is no way out, then lets a real worker work."""

import errno
import fcntl
import runpy
import socket
import struct
import sys

SIOCSIFFLAGS, IFF_UP = 0x8914, 1

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    fcntl.ioctl(asking, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))  # models are served on loopback
assert [name for _, name in socket.if_nameindex()] == ["lo"]
with socket.socket() as way_out:
    assert way_out.connect_ex(("192.0.2.1", 443)) == errno.ENETUNREACH
sys.stderr.write("offline\n")
runpy.run_module("tests.e2e.one_job", run_name="__main__")
