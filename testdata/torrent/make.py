#!/usr/bin/env python3
"""Makes the torrents in this directory with other people's programs: libtorrent's Python binding, mktorrent and transmission-create.

    python3 testdata/torrent/make.py            (Debian: python3-libtorrent mktorrent transmission-cli)

The content is a pattern that piece/content_test.go makes as well, so the torrents can be compared with what Shoal builds from the same files.
"""
import os, subprocess, sys, tempfile
import libtorrent as lt

HERE = os.path.dirname(os.path.abspath(__file__))
F = lt.create_torrent
PIECE = 32768


def pattern(n, seed):
    out, x = bytearray(n), seed
    for i in range(n):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
        out[i] = x >> 16 & 0xFF
    return bytes(out)


def tree(root, links=True):
    def put(name, data, mode=0o644):
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, mode)

    put(".hidden", b"h\n")
    put("a/deep/f.txt", b"hi\n")
    put("a-b", b"abc")
    put("a.txt", b"abc")
    put("aaa_empty", b"")
    put("b/empty", b"")
    put("b/exact", pattern(PIECE, 1))
    put("bin/run", pattern(70000, 2), 0o755)
    put("dup1", pattern(40000, 3))
    put("dup2", pattern(40000, 3))
    put("z.bin", pattern(100001, 4))
    put("zz_empty", b"")
    put("\u00fcn\u00ef \u2603.txt", b"unicode")
    if links:
        for name, target in (("a/link", "../bin/run"), ("a/local", "deep/f.txt"), ("dangling", "nothere"), ("dirlink", "bin"), ("zlink", "z.bin")):
            os.symlink(target, os.path.join(root, name))


def libtorrent(path, flags, out):
    flags |= F.symlinks
    found = lt.file_storage()
    lt.add_files(found, path, flags=flags)
    # For v1 libtorrent keeps the order of the directory on the disk. Sort as it sorts for v2, so that the result does not depend on the disk.
    files = lt.file_storage()
    for i in sorted(range(found.num_files()), key=lambda i: found.file_path(i).encode().split(b"/")):
        disk = os.path.join(os.path.dirname(path), found.file_path(i))
        link = os.readlink(disk) if os.path.islink(disk) else ""  # found.symlink(i) is already resolved
        files.add_file(found.file_path(i), found.file_size(i), found.file_flags(i), 0, link)
    make = lt.create_torrent(files, piece_size=PIECE, flags=flags)
    lt.set_piece_hashes(make, os.path.dirname(path))
    torrent = make.generate()
    torrent.pop(b"creation date", None)
    with open(os.path.join(HERE, out + ".torrent"), "wb") as f:
        f.write(lt.bencode(torrent))


def main():
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as tmp:
        root = os.path.join(tmp, "tree")
        tree(root)
        one = os.path.join(tmp, "one", "f")  # a directory with a single file
        os.makedirs(os.path.dirname(one))
        pair = os.path.join(tmp, "pair")  # the same beside an empty one: now it is padded
        os.makedirs(pair)
        open(os.path.join(pair, "empty"), "wb").close()
        for path in (one, os.path.join(pair, "f")):
            with open(path, "wb") as f:
                f.write(pattern(40000, 5))
        for kind, flags in (("v1", F.v1_only), ("v2", F.v2_only), ("hybrid", 0)):
            libtorrent(root, flags, "libtorrent-%s-tree" % kind)
            libtorrent(os.path.join(root, "z.bin"), flags, "libtorrent-%s-file" % kind)
            libtorrent(os.path.join(root, "bin", "run"), flags, "libtorrent-%s-exec" % kind)
            libtorrent(os.path.join(root, "a.txt"), flags, "libtorrent-%s-small" % kind)
            libtorrent(os.path.dirname(one), flags, "libtorrent-%s-one" % kind)
            libtorrent(pair, flags, "libtorrent-%s-pair" % kind)
        plain = os.path.join(tmp, "plain")
        tree(plain, links=False)
        for tool, args in (
            ("mktorrent", ["-d", "-l", "15", "-a", "http://tracker.invalid/announce"]),
            ("transmission", ["-s", "32", "-t", "http://tracker.invalid/announce"]),
        ):
            for name, path in (("tree", plain), ("file", os.path.join(plain, "z.bin"))):
                out = os.path.join(HERE, "%s-v1-%s.torrent" % (tool, name))
                if os.path.exists(out):
                    os.remove(out)
                program = "transmission-create" if tool == "transmission" else tool
                subprocess.run([program, *args, "-o", out, path], check=True, stdout=subprocess.DEVNULL)


main()
