"""The rules that every path given to the library must keep."""

import os
import re
import stat
from pathlib import Path

MAX_PATH_LENGTH = 4096
MAX_FILE_BYTES = 100 * 1024 * 1024
PATTERN = re.compile(r"[0-9a-zA-Z_./-]*")


def standardize_path(path: str) -> str:
    """Return `path` absolute and resolved, having checked its characters, its length and its leaf."""
    if len(path) > MAX_PATH_LENGTH:
        raise ValueError(f"The length of path should not be greater than {MAX_PATH_LENGTH}.")
    if os.path.islink(path.rstrip("/")):  # noqa: PTH114 - as the library does
        raise ValueError(f"The path should not be a symbolic link file. Please check the input path:{path}.")
    real = os.path.realpath(path)
    if not PATTERN.fullmatch(real):
        raise ValueError("The path contains special characters. Please check the input path.")
    return real


def is_checked() -> bool:
    """Say whether owners and permissions are checked; the characters always are."""
    return os.getenv("MINDIE_CHECK_INPUTFILES_PERMISSION", "1") != "0"


def check_path_permission(path: str) -> None:
    """Refuse what others could have written, or somebody else owns."""
    if not is_checked():
        return
    found = Path(path).stat()
    if found.st_uid not in (os.geteuid(), 0) and found.st_gid != os.getgid():
        raise PermissionError(f"Current user cannot access the path: {path}")
    if found.st_mode & stat.S_IWOTH:
        raise PermissionError(
            f"The file should not be writable by others who are neither the owner nor in the group: {path}"
        )


def check_file_safety(path: str, *, size_bytes: int = MAX_FILE_BYTES) -> str:
    """Return `path` standardized, having checked the file, or its folder when there is none yet."""
    real = standardize_path(path)
    if os.path.exists(real):  # noqa: PTH110 - as the library does
        if Path(real).is_file() and Path(real).stat().st_size > size_bytes:
            raise ValueError(f"The size of {real} is more than {size_bytes} bytes.")
        check_path_permission(real)
    else:
        parent = str(Path(real).parent)
        if os.path.exists(parent):  # noqa: PTH110
            check_path_permission(parent)
    return real
