"""Makes an image small: what the services never load is left behind. Runs while the image is built, never in it.

`thin.py prune FOLDER` takes out of an environment what only developers need and strips what is compiled.
`thin.py root FOLDER ENVIRONMENT` makes a root file system of Python, the environment and the libraries that they load,
and of nothing else: no shell, no package manager.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Tests, manuals and what C code is built from.
_FOLDERS: Final = {"SelfTest", "__pycache__", "doc", "docs", "sboms", "test", "testing", "tests"}
_SUFFIXES: Final = {".a", ".c", ".cpp", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx"}
# What our dependencies bring for uses that are none of ours: other databases, picture formats that no scanner opens
# (services/scanners/urls/qr.py), typesetting, other comparisons of strings.
_UNUSED: Final = (
    "sqlalchemy/dialects/mssql",
    "sqlalchemy/dialects/mysql",
    "sqlalchemy/dialects/oracle",
    "fontTools/**/*.so",  # reports take some letters out of a font: Python alone is fast enough for that
    "fontTools/cu2qu",
    "fontTools/merge",
    "fontTools/mtiLib",
    "fontTools/qu2cu",
    "fontTools/ufoLib",
    "fontTools/voltLib",
    "PIL/_avif.*",
    "PIL/_imagingcms.*",
    "PIL/_imagingft.*",
    "pillow.libs/libavif*",
    "pillow.libs/libbrotli*",
    "pillow.libs/libfreetype*",
    "pillow.libs/libharfbuzz*",
    "pillow.libs/liblcms2*",
    "rapidfuzz/distance/metrics_cpp_avx2.*",  # falls back to metrics_cpp; of the rest only a distance is asked for
    "rapidfuzz/fuzz_cpp*",
    "rapidfuzz/process_cpp_impl.*",
    "stdnum/at/postleitzahl.dat",  # registers of what services/scanners/dlp doesn't look for
    "stdnum/cn/loc.dat",
    "stdnum/eu/nace*.dat",
    "stdnum/imsi.dat",
    "stdnum/oui.dat",
)
_STANDARD: Final = {"ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tkinter", "turtledemo"}
# Compiled parts of the standard library for terminals, windows, other databases and Python's own tests.
_DYNAMIC: Final = ("_ctypes_test", "_curses", "_dbm", "_gdbm", "_test", "_tkinter", "_xx", "nis", "readline", "xx")
_FILES: Final = ("etc/nsswitch.conf", "etc/os-release", "etc/ssl/certs/ca-certificates.crt")
_USER: Final = 10001
_USERS: Final = f"root:x:0:0:root:/:/none\ngatepost:x:{_USER}:{_USER}:Gatepost:/tmp:/none\n"
_GROUP: Final = f"root:x:0:\ngatepost:x:{_USER}:\n"
_LATE: Final = "libgcc_s.so.1"  # loaded by name when a thread ends: no program says that it needs it


def prune(folder: Path) -> None:
    """Take out of the environment what isn't ours to run, and strip what is compiled."""
    shutil.rmtree(folder / "share", ignore_errors=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for pattern in _UNUSED:
        for unused in packages.glob(pattern):
            shutil.rmtree(unused) if unused.is_dir() else unused.unlink()
    for at, folders, names in os.walk(packages):
        for name in set(folders) & _FOLDERS:
            shutil.rmtree(Path(at, name))
            folders.remove(name)
        for name in names:
            if Path(name).suffix in _SUFFIXES:
                Path(at, name).unlink()
    # auditwheel moved the tables of what lies in *.libs; strip can break such a file.
    strip([path for path in compiled(packages) if not path.parent.name.endswith(".libs")])


def strip(files: list[Path]) -> None:
    """Take symbols and debugging data out of compiled files."""
    for path in files:
        subprocess.run(["strip", "--strip-unneeded", path], check=True)


def compiled(folder: Path) -> Iterator[Path]:
    """Yield the ELF files under a folder, links left out."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def root(folder: Path, environment: Path) -> None:
    """Make the root file system: Python, the environment, their libraries, users, certificates."""
    for name in ("bin", "lib", "lib64"):  # links into usr/, where the machine has them so
        if Path("/", name).is_symlink():
            copy_link(Path("/", name), folder)
    python(folder)
    shutil.copytree(environment, folder / environment.relative_to("/"), symlinks=True)
    needed = libraries(folder)
    for library in needed:
        target = folder / str(library.parent.resolve() / library.name).lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(library.resolve(), target)
    strip(list(compiled(folder / sys.base_prefix.lstrip("/"))))
    for name in _FILES:
        if Path("/", name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path("/", name), folder / name)
    (folder / "etc/passwd").write_text(_USERS)
    (folder / "etc/group").write_text(_GROUP)
    for path in [Path("/etc/ld.so.conf"), *Path("/etc/ld.so.conf.d").glob("*.conf")]:
        target = folder / str(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    subprocess.run(["/sbin/ldconfig", "-r", folder], check=True)
    (folder / "tmp").mkdir(mode=0o1777)
    (folder / "tmp").chmod(0o1777)
    for name in ("var/lib/gatepost", "var/spool/gatepost"):  # a volume that is mounted there belongs to the services
        (folder / name).mkdir(parents=True)
        os.chown(folder / name, _USER, _USER)
    packages(folder, needed)


def copy_link(link: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / link.name).symlink_to(link.readlink())
    (folder / link.readlink()).mkdir(parents=True, exist_ok=True)


def python(folder: Path) -> None:
    """Copy the interpreter and of its library what a service may import."""
    standard = Path(sysconfig.get_path("stdlib"))

    def unwanted(at: str, names: list[str]) -> set[str]:
        there = Path(at)
        unused = {name for name in names if name in _FOLDERS or name.startswith("config-") or name.endswith(".a")}
        if there == standard:
            unused |= set(names) & _STANDARD
        if there.name == "lib-dynload":
            unused |= {name for name in names if name.startswith(_DYNAMIC)}
        return unused

    shutil.copytree(standard, folder / str(standard).lstrip("/"), symlinks=True, ignore=unwanted)
    real = Path(sys.executable).resolve()
    target = folder / str(real).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(real, target)
    for name in ("python3", "python"):
        target.with_name(name).symlink_to(real.name)


def libraries(folder: Path) -> set[Path]:
    """Return the libraries outside the folder that what is compiled in it loads, by ldd."""
    environ = {**os.environ, "LD_LIBRARY_PATH": f"{sys.base_prefix}/lib"}
    needed = set()
    for path in compiled(folder):
        done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False, env=environ)
        if missing := re.findall(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE):
            sys.exit(f"{path}: no {', '.join(missing)}")
        needed |= {Path(name) for name in re.findall(r"(/\S+) \(0x", done.stdout)}
    for library in list(needed):
        if library.name == "libc.so.6" and (late := library.with_name(_LATE)).exists():
            needed.add(late)
    return {library for library in needed if not library.resolve().is_relative_to(folder.resolve())}


def packages(folder: Path, files: set[Path]) -> None:
    """Say which Debian packages the libraries are of, where scanners for vulnerabilities look for it."""
    said = folder / "var/lib/dpkg/status.d"
    said.mkdir(parents=True)
    for file in sorted({*files, Path("/etc/ssl/certs/ca-certificates.crt")}):
        for name in {file, file.resolve(), Path("/usr") / str(file).lstrip("/")}:
            done = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                package = done.stdout.partition(":")[0]
                known = subprocess.run(["dpkg", "-s", package], capture_output=True, text=True, check=True)
                (said / package).write_text(known.stdout)
                break


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prune", there]:
            prune(Path(there))
        case ["root", there, environment]:
            root(Path(there), Path(environment))
        case _:
            sys.exit(__doc__)
