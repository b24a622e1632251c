/**
 * Unpacks chosen members of a wheel: WHEEL SHA256 FOLDER MEMBER... The checksum is verified first; a
 * member that ends in "/" stands for everything below it; a name that leads out of FOLDER is
 * refused. Prints "SIZE PATH" for each file. Python, because the published package unpacks with
 * what pip has anyway, and Node has no zip reader.
 */
export const UNPACK_SCRIPT = `
import hashlib, os, shutil, sys, zipfile
CHUNK = 1 << 20
wheel, expected, folder, *wanted = sys.argv[1:]
digest = hashlib.sha256()
with open(wheel, "rb") as file:
    for chunk in iter(lambda: file.read(CHUNK), b""):
        digest.update(chunk)
if digest.hexdigest() != expected:
    sys.exit(f"{os.path.basename(wheel)} has sha256 {digest.hexdigest()}, expected {expected}")
root = os.path.realpath(folder)
with zipfile.ZipFile(wheel) as archive:
    names = [info for info in archive.infolist() if not info.is_dir()]
    for want in wanted:
        found = [i for i in names if i.filename == want or (want.endswith("/") and i.filename.startswith(want))]
        if not found:
            sys.exit(f"the wheel has no {want}")
        for info in found:
            path = os.path.realpath(os.path.join(root, *info.filename.split("/")))
            if os.path.commonpath([root, path]) != root:
                sys.exit(f"the wheel names {info.filename}, outside its folder")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(info) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target, CHUNK)
                target.flush()
                os.fsync(target.fileno())
            print(info.file_size, info.filename)
`
