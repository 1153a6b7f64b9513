"""Sealed secrets and the master key."""

import base64
import multiprocessing
import stat

import pytest

from gateway.config import Settings
from gateway.tenants.secrets import MasterKey, SecretError

PLACE = {"tenant": "default", "column": "control.access_keys.secret", "row": "AKID"}
KEY = MasterKey.of(bytes(range(32)))


def settings(**values):
    return Settings(_env_file=None, **values)


def load_in_a_process(path, start, results):
    start.wait()
    results.put(MasterKey.load(settings(), path).key)


def test_sealed_secret_opens_in_its_place():
    sealed = KEY.seal("grüße", **PLACE)
    assert KEY.open(sealed, **PLACE) == "grüße"
    assert "grüße".encode() not in sealed


def test_each_sealing_has_its_own_nonce():
    assert len({KEY.seal("a", **PLACE)[9:21] for _ in range(100)}) == 100


@pytest.mark.parametrize("part", ["tenant", "column", "row"])
def test_moved_ciphertext_does_not_open(part):
    sealed = KEY.seal("secret", **PLACE)
    with pytest.raises(SecretError, match="changed or moved"):
        KEY.open(sealed, **{**PLACE, part: "other"})


def test_each_changed_byte_is_noticed():
    sealed = KEY.seal("secret", **PLACE)
    for index in range(len(sealed)):
        changed = bytearray(sealed)
        changed[index] ^= 1
        with pytest.raises(SecretError):
            KEY.open(bytes(changed), **PLACE)
    for length in range(len(sealed)):
        with pytest.raises(SecretError):
            KEY.open(sealed[:length], **PLACE)


def test_other_master_key_is_named():
    other = MasterKey.of(b"x" * 32)
    with pytest.raises(SecretError, match=f"sealed with master key {other.id.hex()}, not {KEY.id.hex()}"):
        KEY.open(other.seal("secret", **PLACE), **PLACE)


def test_place_cannot_be_forged_with_the_separator():
    with pytest.raises(ValueError, match="cannot hold"):
        KEY.seal("x", tenant="a|b", column="c", row="d")


def test_master_key_is_not_shown():
    assert str(KEY.key) not in repr(KEY)
    assert KEY.key not in KEY.id


def test_setting_wins_over_file_and_both_alphabets_are_read(tmp_path):
    raw = bytes([0xFB, 0xFF] * 16)
    for text in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
        assert MasterKey.load(settings(master_key=text, master_key_file=tmp_path / "none"), tmp_path).key == raw
    (tmp_path / "file").write_bytes(base64.b64encode(raw) + b"\n")
    assert MasterKey.load(settings(master_key_file=tmp_path / "file"), tmp_path).key == raw
    (tmp_path / "file").write_bytes(raw)
    assert MasterKey.load(settings(master_key_file=tmp_path / "file"), tmp_path).key == raw
    assert not (tmp_path / "master.key").exists()


@pytest.mark.parametrize("text", ["", "short", "A" * 44, base64.b64encode(b"x" * 31).decode(), "ü" * 32])
def test_bad_master_key_is_one_clear_line_without_the_key(tmp_path, text):
    (tmp_path / "file").write_text(text)
    with pytest.raises(SecretError) as caught:
        MasterKey.load(settings(master_key_file=tmp_path / "file"), tmp_path)
    assert "\n" not in str(caught.value)
    assert not text or text not in str(caught.value)


def test_missing_file_that_was_named_is_not_made(tmp_path):
    with pytest.raises(SecretError, match="cannot read"):
        MasterKey.load(settings(master_key_file=tmp_path / "none"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_generated_file_is_private_and_stays(tmp_path):
    data = tmp_path / "data"
    first = MasterKey.load(settings(), data)
    assert stat.S_IMODE((data / "master.key").stat().st_mode) == 0o600
    assert MasterKey.load(settings(), data) == first
    assert [path.name for path in data.iterdir()] == ["master.key"]


def test_processes_that_start_at_once_agree(tmp_path):
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    processes = [context.Process(target=load_in_a_process, args=(tmp_path, start, results)) for _ in range(6)]
    for process in processes:
        process.start()
    start.set()
    keys = {results.get(timeout=20) for _ in processes}
    for process in processes:
        process.join(20)
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["master.key"]


def test_unwritable_directory_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretError, match="cannot create"):
        MasterKey.load(settings(), tmp_path / "file" / "data")
