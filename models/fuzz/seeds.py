"""Writes files to begin fuzzing with: small models that are right, the same cut and spoilt, and the
header of a real model with its vocabulary and its weights cut short.

Usage: seeds.py FOLDER [MODEL.gguf]
"""

import random
import struct
import sys
from pathlib import Path

U32, TEXT, ARRAY = 4, 8, 9
WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
LIST_MAX = 16


def text(value):
    return struct.pack("<Q", len(value)) + value


def number(value):
    return struct.pack("<II", U32, value)


def texts(*values):
    return struct.pack("<IIQ", ARRAY, TEXT, len(values)) + b"".join(map(text, values))


def numbers(*values):
    return struct.pack(f"<IIQ{len(values)}I", ARRAY, U32, len(values), *values)


def model(keys, names, version=3, alignment=32):
    """A file with these keys; each tensor has 32 weights of four bytes."""
    step = max(128, alignment)
    tensors = b"".join(
        text(name) + struct.pack("<IQIQ", 1, 32, 0, place * step) for place, name in enumerate(names)
    )
    head = b"GGUF" + struct.pack("<IQQ", version, len(names), len(keys))
    head += b"".join(text(key) + value for key, value in keys) + tensors
    return head + bytes(-len(head) % alignment + step * len(names))


def sound():
    keys = [
        (b"general.architecture", struct.pack("<I", TEXT) + text(b"llama")),
        (b"general.name", struct.pack("<I", TEXT) + text(b"Tiny")),
        (b"general.file_type", number(3)),
        (b"llama.context_length", number(2048)),
        (b"llama.block_count", number(2)),
        (b"llama.embedding_length", number(64)),
        (b"llama.attention.head_count", number(4)),
        (b"llama.attention.head_count_kv", numbers(1, 2)),
        (b"tokenizer.ggml.tokens", texts(b"a", b"b", b"<eos>")),
        (b"tokenizer.chat_template", struct.pack("<I", TEXT) + text(b"{{ x }}")),
    ]
    yield model(keys, [b"a", b"b"])
    yield model(keys, [b"a"], version=2)
    yield model(keys + [(b"general.alignment", number(8))], [b"a", b"b"], alignment=8)
    yield model(keys + [(b"general.alignment", number(4096))], [b"a"], alignment=4096)
    yield model(keys + [(b"split.count", number(3))], [b"a"])
    yield model(keys + [(b"llama.pooling_type", number(1))], [b"a"])
    yield model(keys[:-2] + [(b"llama.vocab_size", number(9))], [b"a"])


class Reader:
    def __init__(self, data):
        self.data, self.place = data, 0

    def take(self, count):
        self.place += count
        return self.data[self.place - count : self.place]

    def unpack(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def text(self):
        return self.take(self.unpack("<Q")[0])

    def value(self):
        (of,) = self.unpack("<I")
        if of == TEXT:
            return struct.pack("<I", of) + text(self.text())
        if of != ARRAY:
            return struct.pack("<I", of) + self.take(WIDTHS[of])
        element, length = self.unpack("<IQ")
        read = (lambda: text(self.text())) if element == TEXT else lambda: self.take(WIDTHS[element])
        kept = [read() for _ in range(length)][:LIST_MAX]
        return struct.pack("<IIQ", ARRAY, element, len(kept)) + b"".join(kept)


def real(path):
    with path.open("rb") as file:
        reader = Reader(file.read(64 << 20))
    reader.take(4)
    version, tensors, keys = reader.unpack("<IQQ")
    keys = [(reader.text(), reader.value()) for _ in range(keys)]
    names = []
    for _ in range(tensors):
        names.append(reader.text())
        (dimensions,) = reader.unpack("<I")
        reader.take(8 * dimensions + 12)
    return model(keys, names[:LIST_MAX], version)


def spoilt(data, chance):
    data = bytearray(data)
    kind = chance.randrange(4)
    place = chance.randrange(len(data))
    if kind == 0:
        return data[:place]
    if kind == 1:
        data[place] ^= 1 << chance.randrange(8)
    elif kind == 2:
        count = chance.choice([0, 1, 31, 2**32 - 1, 2**63, 2**64 - 1, len(data)])
        data[place : place + 8] = struct.pack("<Q", count)
    else:
        data[place:place] = data[place : place + 64]
    return data


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(1)
    seeds = list(sound()) + [real(Path(path)) for path in sys.argv[2:]]
    seeds += [spoilt(seed, chance) for seed in seeds for _ in range(40)]
    for ordinal, seed in enumerate(seeds):
        (folder / f"seed-{ordinal:04}").write_bytes(seed)


main()
