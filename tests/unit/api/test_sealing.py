import hashlib

import pytest

from usercenter.api.sealing import SealBroken, Sealing

BODY = b'{"token":"very secret"}'


def derive_with(secret):
    def derive(purpose, *, salt=b""):
        return hashlib.blake2b(salt + purpose.encode(), key=secret, digest_size=32).digest()

    return derive


@pytest.fixture
def sealing():
    return Sealing(derive_with(b"one"))


def test_what_was_sealed_is_opened_with_the_same_key_byte_for_byte(sealing):
    assert sealing.open(sealing.seal(BODY, key="k"), key="k") == BODY
    assert sealing.open(sealing.seal(b"", key="k"), key="k") == b""


def test_every_process_with_the_secret_opens_it(sealing):
    assert Sealing(derive_with(b"one")).open(sealing.seal(BODY, key="k"), key="k") == BODY


def test_what_is_sealed_shows_nothing_and_is_other_bytes_each_time(sealing):
    first, second = sealing.seal(BODY, key="k"), sealing.seal(BODY, key="k")

    assert b"secret" not in first
    assert first != second


def test_neither_the_senders_key_nor_the_secret_alone_opens_it(sealing):
    sealed = sealing.seal(BODY, key="k")

    with pytest.raises(SealBroken):
        sealing.open(sealed, key="other")
    with pytest.raises(SealBroken):
        Sealing(derive_with(b"two")).open(sealed, key="k")


@pytest.mark.parametrize("position", [0, 11, 12, -1])
def test_a_changed_byte_breaks_the_seal(sealing, position):
    sealed = bytearray(sealing.seal(BODY, key="k"))
    sealed[position] ^= 1

    with pytest.raises(SealBroken):
        sealing.open(bytes(sealed), key="k")


@pytest.mark.parametrize("sealed", [b"", b"short", b"x" * 12, b"x" * 27])
def test_what_was_never_sealed_cannot_be_opened(sealing, sealed):
    with pytest.raises(SealBroken):
        sealing.open(sealed, key="k")


def test_hashes_tell_things_apart_and_depend_on_the_secret(sealing):
    assert sealing.hash(b"a") == sealing.hash(b"a") != sealing.hash(b"b")
    assert sealing.hash(b"a") != Sealing(derive_with(b"two")).hash(b"a")
    assert sealing.hash(b"a") != hashlib.sha256(b"a").digest()


def test_keys_of_any_characters_serve(sealing):
    for key in ("é" * 255, "\u00ff", "钥匙"):
        assert sealing.open(sealing.seal(BODY, key=key), key=key) == BODY
