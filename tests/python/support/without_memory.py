"""A program that has the system refuse it shared memory."""

from __future__ import annotations

WITHOUT_MEMORY = """
    import ctypes, errno, platform, struct

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    def refuse_memory():
        '''From here on `memfd_create` fails, as where the system has none of it.'''
        number = {"x86_64": 319, "aarch64": 279}[platform.machine()]
        lines = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | errno.ENOSYS), (0x06, 0, 0, 0x7FFF0000)]
        code = b"".join(struct.pack("=HBBI", *line) for line in lines)
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.prctl(38, 1, 0, 0, 0) == 0
        assert libc.prctl(22, 2, ctypes.byref(Filter(len(lines), code)), 0, 0) == 0
"""
