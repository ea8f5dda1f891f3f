from __future__ import annotations

import errno
import os

import pytest

from pumice.errors import ImageError, PumiceError, StoreError
from pumice.os_errors import IMAGE, STORE, USER_FILE, Translation, translate_os_errors


def system_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "no space left on the device"),
        (errno.EDQUOT, "disk quota exceeded"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "permission denied"),
        (errno.EFBIG, "the file would be larger than the limit"),
        (errno.EMFILE, "too many open files"),
        (errno.EIO, "the device failed to read or write"),
        (errno.ENOTDIR, "not a directory"),
        (errno.ELOOP, "too many levels of symbolic links"),
    ],
)
def test_each_error_number_has_one_sentence(number: int, sentence: str) -> None:
    error = STORE.translate(system_error(number), "/some/where")
    assert (type(error), error.message, error.where) == (StoreError, sentence, "/some/where")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_hints_about_a_users_file_do_not_name_the_store(number: int) -> None:
    error = USER_FILE.translate(system_error(number), "/project/recipe.lock")
    assert error.message.startswith("cannot write the file: ")
    assert "PUMICE_HOME" not in (error.hint or "")
    assert "PUMICE_HOME" in (STORE.translate(system_error(number), "/some/where").hint or "")


@pytest.mark.parametrize("translation", [STORE, USER_FILE, IMAGE])
@pytest.mark.parametrize(
    "pair", [(errno.EPERM, errno.EACCES), (errno.ENFILE, errno.EMFILE), (errno.EDQUOT, errno.ENOSPC)]
)
def test_errors_that_a_person_cannot_tell_apart_have_the_same_hint(
    translation: Translation, pair: tuple[int, int]
) -> None:
    assert translation.hints.get(pair[0]) == translation.hints.get(pair[1])


def test_a_block_raises_the_translated_error_and_keeps_the_cause() -> None:
    expected = pytest.raises(ImageError, match="a file exists where a directory is needed")
    with expected as caught, translate_os_errors("oci:image", IMAGE):
        raise system_error(errno.ENOTDIR)
    assert caught.value.where == "oci:image"
    assert isinstance(caught.value.__cause__, OSError)


def test_a_broken_pipe_stays_a_broken_pipe() -> None:
    with pytest.raises(BrokenPipeError), translate_os_errors("-", IMAGE):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_full_disk_can_have_an_error_class_of_its_own() -> None:
    class FullError(StoreError):
        pass

    translation = Translation(StoreError, {}, no_space=FullError)
    classes = [
        type(translation.translate(system_error(number), "x"))
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
    ]
    assert classes == [FullError, FullError, FullError, StoreError]


def test_an_error_without_a_number_keeps_its_text() -> None:
    error: PumiceError = STORE.translate(OSError("Something happened."), "x")
    assert error.message == "something happened"
