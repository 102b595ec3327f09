package piece

import "strconv"

// encodeInfo writes an info dictionary as libtorrent 2.0 does, so that the same content has the same hash wherever it is made. files have the
// symlinks' targets as they are to be written.
func encodeInfo(in *Info, files []File) []byte {
	b := []byte{'d'}
	single := !in.Dir
	if single && in.HasV1 {
		b = appendAttr(b, &in.Files[0])
	}
	if in.HasV2 {
		b = appendString(b, "file tree")
		if single {
			b = appendString(append(b, 'd'), in.Name)
			b = append(appendLeaf(b, &in.Files[0], nil), 'e')
		} else {
			b = appendTree(b, in.Files, files, 0)
		}
	}
	if in.HasV1 && in.Dir {
		b = appendFiles(appendString(b, "files"), in, files)
	}
	if in.HasV1 && single {
		b = appendInt(appendString(b, "length"), in.Files[0].Length)
	}
	if in.HasV2 {
		b = appendInt(appendString(b, "meta version"), 2)
	}
	b = appendString(appendString(b, "name"), in.Name)
	b = appendInt(appendString(b, "piece length"), in.PieceLength)
	if in.HasV1 {
		b = appendString(appendString(b, "pieces"), in.hashes)
	}
	if in.Private {
		b = appendInt(appendString(b, "private"), 1)
	}
	return append(b, 'e')
}

// appendTree writes the directory whose files these are; depth is how many names lead to it. The files are sorted by name, name by name.
func appendTree(b []byte, files, written []File, depth int) []byte {
	b = append(b, 'd')
	for len(files) > 0 {
		name, n := files[0].Path[depth], 1
		for n < len(files) && len(files[n].Path) > depth && files[n].Path[depth] == name {
			n++
		}
		b = appendString(b, name)
		if len(files[0].Path) == depth+1 {
			b = appendLeaf(b, &files[0], written[0].Symlink)
		} else {
			b = appendTree(b, files[:n], written[:n], depth+1)
		}
		files, written = files[n:], written[n:]
	}
	return append(b, 'e')
}

// appendLeaf writes what stands behind a file's name in the tree.
func appendLeaf(b []byte, f *File, link []string) []byte {
	b = append(b, "d0:d"...)
	b = appendAttr(b, f)
	switch {
	case link != nil:
		b = appendStrings(appendString(b, "symlink path"), link)
	case f.Length == 0:
		b = appendInt(appendString(b, "length"), 0)
	default:
		b = appendInt(appendString(b, "length"), f.Length)
		b = appendString(appendString(b, "pieces root"), f.Root[:])
	}
	return append(b, "ee"...)
}

func appendAttr(b []byte, f *File) []byte {
	switch {
	case f.Symlink != nil:
		b = appendString(appendString(b, "attr"), "xl") // lstat gives every symlink all permissions
	case f.Executable:
		b = appendString(appendString(b, "attr"), "x")
	}
	return b
}

// appendFiles writes the v1 list, with pad files in a hybrid.
func appendFiles(b []byte, in *Info, written []File) []byte {
	b = append(b, 'l')
	pad := in.HasV2 && padded(in.Dir, in.Files)
	for i := range in.Files {
		f := &in.Files[i]
		b = appendAttr(append(b, 'd'), f)
		b = appendInt(appendString(b, "length"), f.Length)
		b = appendStrings(appendString(b, "path"), f.Path)
		if link := written[i].Symlink; link != nil {
			b = appendStrings(appendString(b, "symlink path"), link)
		}
		b = append(b, 'e')
		if n := padAfter(f.Length, in.PieceLength); pad && n > 0 {
			b = appendInt(append(b, "d4:attr1:p6:length"...), n)
			b = appendStrings(appendString(b, "path"), []string{".pad", strconv.FormatInt(n, 10)})
			b = append(b, 'e')
		}
	}
	return append(b, 'e')
}
