"""How much memory large pictures take, at the size that is promised, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import resource, struct, threading, zlib
from captioner.pictures.open import open_photo
from captioner.pictures.preprocess import Preprocess

side = 8000  # 64 megapixels, with transparency: the most that is decoded of what is no JPEG
row = b"\\0" + bytes(range(200)) * (side * 4 // 200)
packed = zlib.compressobj(1)
body = b"".join(packed.compress(row) for _ in range(side)) + packed.flush()
head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
parts = [(b"IHDR", head), (b"IDAT", body), (b"IEND", b"")]
data = b"\\x89PNG\\r\\n\\x1a\\n" + b"".join(
    struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts
)

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

before = most()
threads = [
    threading.Thread(target=lambda: Preprocess(224).pixels(open_photo(data, side=224)))
    for _ in range(2)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(most() - before)
"""


def test_two_threads_with_the_largest_pictures_take_the_memory_of_little_more_than_one() -> None:
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 800  # MiB; both at once took 2,100
