"""The random generator Philox4x64-10, independent of NumPy: as published (Salmon et al. 2011), in plain integers."""

WORD = 2**64 - 1


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Return the block of four words of a counter and a key."""
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (second >> 64) ^ b ^ k, second & WORD, (first >> 64) ^ d ^ m, first & WORD
        k, m = (k + 0x9E3779B97F4A7C15) & WORD, (m + 0xBB67AE8584CAA73B) & WORD
    return [a, b, c, d]


def philox_words(key: list[int], count: int) -> list[int]:
    """Return the first words of the stream of a key; NumPy counts from 1."""
    blocks = [philox([block, 0, 0, 0], key) for block in range(1, count // 4 + 2)]
    return [word for block in blocks for word in block][:count]
