package artifact

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// unpacked is a folder of unpacked Debian packages that images take files from.
type unpacked string

// program takes a program to a path of the image, with its libraries.
func (u unpacked) program(t tree, to, from string) error {
	at, err := u.find(from)
	if err != nil {
		return err
	}
	t.take(inUsr(to), at, 0o755)
	return u.libraries(t, at)
}

// libraries takes the shared libraries of a program, and theirs, and the loader.
func (u unpacked) libraries(t tree, program string) error {
	f, err := elf.Open(program)
	if err != nil {
		var bad *elf.FormatError
		if errors.As(err, &bad) { // a script
			return nil
		}
		return fmt.Errorf("read the program %s: %w", program, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return fmt.Errorf("read the loader's name in %s: %w", program, err)
		}
		loader := strings.TrimRight(string(b), "\x00")
		at, err := u.find(loader)
		if err != nil {
			return err
		}
		t.take(inUsr(loader), at, 0o755)
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("read the libraries of %s: %w", program, err)
	}
	for _, lib := range needed {
		at, dir, err := u.library(lib)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(program), err)
		}
		to := path.Join(dir, lib)
		if _, ok := t[to]; ok {
			continue
		}
		t.take(to, at, 0o644)
		if err := u.libraries(t, at); err != nil {
			return err
		}
	}
	return nil
}

// library finds a library by name: the file, and the folder that it is to be in.
func (u unpacked) library(name string) (file, dir string, err error) {
	for _, pattern := range []string{"usr/lib/*-linux-gnu*/", "lib/*-linux-gnu*/", "lib64/", "usr/lib/"} {
		found, err := filepath.Glob(filepath.Join(string(u), pattern, name))
		if err != nil {
			return "", "", err
		}
		for _, f := range found {
			rel, err := filepath.Rel(string(u), f)
			if err != nil {
				return "", "", err
			}
			at, err := u.find(rel)
			return at, path.Dir(inUsr(filepath.ToSlash(rel))), err
		}
	}
	return "", "", fmt.Errorf("no package brings the library %s", name)
}

// find follows the links of a path within the folder, as a chroot would.
func (u unpacked) find(p string) (string, error) {
	p = clean(p)
	for range 10 {
		at := filepath.Join(string(u), p)
		info, err := os.Lstat(at)
		if err != nil {
			if q := strings.TrimPrefix(p, "usr/"); q != p { // /usr/bin/x of a package that still says /bin/x
				if _, e := os.Lstat(filepath.Join(string(u), q)); e == nil {
					p = q
					continue
				}
			}
			return "", fmt.Errorf("the packages have no %s", p)
		}
		if info.Mode()&os.ModeSymlink == 0 {
			return at, nil
		}
		target, err := os.Readlink(at)
		if err != nil {
			return "", err
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir("/"+p), target)
		}
		p = clean(target)
	}
	return "", fmt.Errorf("%s is a link to a link to a link …", p)
}
