"""Unpacks chosen members of a wheel: unpack_wheel.py WHEEL SHA256 FOLDER MEMBER...

A member that ends in "/" stands for everything below it. The wheel's checksum is verified first,
and the call returns only when the files are on the disk. Prints "PATH SIZE SHA256" per file.
"""

import hashlib
import os
import shutil
import sys
import zipfile

CHUNK = 1 << 20


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def members(archive, wanted):
    names = [info for info in archive.infolist() if not info.is_dir()]
    for want in wanted:
        found = [
            info
            for info in names
            if info.filename == want or (want.endswith("/") and info.filename.startswith(want))
        ]
        if not found:
            sys.exit(f"the wheel has no {want}")
        yield from found


def unpack(archive, info, folder):
    path = os.path.join(folder, *info.filename.split("/"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with archive.open(info) as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target, CHUNK)
        target.flush()
        if info.file_size > CHUNK:
            os.fsync(target.fileno())
    print(f"{info.filename} {info.file_size} {sha256_of(path)}")


def main():
    wheel, expected, folder, *wanted = sys.argv[1:]
    found = sha256_of(wheel)
    if found != expected:
        sys.exit(f"{os.path.basename(wheel)} has sha256 {found}, expected {expected}")
    with zipfile.ZipFile(wheel) as archive:
        for info in members(archive, wanted):
            unpack(archive, info, folder)
    # Ten thousand small headers: one flush of everything is far quicker than one each.
    if hasattr(os, "sync"):
        os.sync()


main()
