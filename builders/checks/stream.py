"""The bytes of a pickle stream, read once from front to back, frame by frame."""

from collections.abc import Callable, Iterator
from typing import NoReturn

from builders.checks.report import Refused

_LONGEST_LINE = 256 << 20  # protocol 0 writes a whole array as one line of text
_LARGEST_FRAME = 1 << 20  # picklers close a frame at 64 KiB and write anything larger outside of frames

SAVE_AGAIN = "Save the model again with an unmodified joblib.dump or pickle.dump and push that file."


def truncated(position: int, wanted: int) -> Refused:
    return Refused(
        "truncated",
        f"The file ends too early: at byte {position} at least {wanted} more bytes are needed.",
        "The upload or the copy before it was cut off. Compare the file's size with the original and push it again.",
    )


class Source:
    """A one-way reader. Inside a pickle frame no read may cross the frame's end, as the pure-Python unpickler has it."""

    def __init__(self, chunks: Iterator[bytes], *, length: int, seek: Callable[[int], None] | None = None) -> None:
        """Read ``chunks``.

        :param length: an upper bound of all bytes to come; asking for more is `truncated` before anything is allocated.
        :param seek: moves the chunks' file to an absolute position, where skipping needs no reading.
        """
        self._chunks = chunks
        self._length = length
        self._seek = seek
        self._buffer = b""
        self._start = 0  # position of the buffer's first byte in the stream
        self._at = 0  # next byte in the buffer
        self._fence = 0  # reads that end at or before this index of the buffer need no further check
        self._frame_end: int | None = None

    @property
    def position(self) -> int:
        return self._start + self._at

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes.

        :raises Refused: the file ends first, or a frame does.
        """
        begin = self._at
        end = begin + count
        if end > self._fence:
            return self._read_slowly(count)
        self._at = end
        return self._buffer[begin:end]

    def line(self) -> bytes:
        """The bytes up to a line feed, which is consumed and not returned."""
        parts: list[bytes] = []
        room = _LONGEST_LINE
        while True:
            if self._at >= self._fence:
                self._require(1)
            found = self._buffer.find(b"\n", self._at, self._fence)
            end = self._fence if found < 0 else found
            parts.append(self._buffer[self._at : end])
            room -= end - self._at
            self._at = end if found < 0 else found + 1
            if found >= 0:
                return b"".join(parts)
            if room < 0:
                raise Refused(
                    "malformed", f"A line of text at byte {self.position} does not end within 256 MiB.", SAVE_AGAIN
                )
            if self.position == self._frame_end:
                self._straddles()

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes without keeping them."""
        self._check(count)
        while count > 0:
            here = min(count, len(self._buffer) - self._at)
            self._at += here
            count -= here
            if count and self._seek is not None:
                self._jump(count)
                return
            if count:
                self._fill()
        self._move_fence()

    def open_frame(self, size: int) -> None:
        if not self.at_frame_end():
            raise Refused(
                "unsafe-construct",
                f"A pickle frame begins at byte {self.position} inside another frame.",
                SAVE_AGAIN,
            )
        if size > _LARGEST_FRAME:
            raise Refused(
                "unsafe-construct",
                f"A pickle frame at byte {self.position} claims {size} bytes; picklers close one at 64 KiB.",
                SAVE_AGAIN,
            )
        self._frame_end = None
        self._check(size)
        self._frame_end = self.position + size
        self._move_fence()

    def at_frame_end(self) -> bool:
        return self._frame_end is None or self.position == self._frame_end

    def at_end(self) -> bool:
        """Whether nothing follows."""
        while self._at == len(self._buffer):
            if not self._fill(end_is_error=False):
                return True
        return False

    def _read_slowly(self, count: int) -> bytes:
        self._check(count)
        parts: list[bytes] = []
        while count > 0:
            if self._at == len(self._buffer):
                self._fill()
            part = self._buffer[self._at : self._at + count]
            self._at += len(part)
            count -= len(part)
            parts.append(part)
        self._move_fence()
        return b"".join(parts)

    def _require(self, count: int) -> None:
        self._check(count)
        if self._at == len(self._buffer):
            self._fill()
        self._move_fence()

    def _check(self, count: int) -> None:
        if self._frame_end is not None:
            if self.position == self._frame_end and count:
                self._frame_end = None
            elif self.position + count > self._frame_end:
                self._straddles()
        if self.position + count > self._length:
            raise truncated(self.position, count)

    def _straddles(self) -> NoReturn:
        raise Refused(
            "unsafe-construct", f"A value at byte {self.position} runs over the end of its pickle frame.", SAVE_AGAIN
        )

    def _fill(self, *, end_is_error: bool = True) -> bool:
        """Replace a used-up buffer by the next chunk; False at the end."""
        chunk = next(self._chunks, b"")
        if not chunk:
            if end_is_error:
                raise truncated(self.position, 1)
            return False
        self._start += len(self._buffer)
        self._buffer = chunk
        self._at = 0
        self._move_fence()
        return True

    def _jump(self, count: int) -> None:
        assert self._seek is not None
        target = self.position + count
        self._seek(target)
        self._buffer, self._start, self._at = b"", target, 0
        self._move_fence()

    def _move_fence(self) -> None:
        fence = len(self._buffer)
        if self._frame_end is not None:
            fence = min(fence, self._frame_end - self._start)
        self._fence = fence
