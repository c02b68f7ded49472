package artifact

import (
	"os"
	"os/exec"
	"path/filepath"
)

// borrowed is a program that a build runs: the machine's, or, where it has none,
// one out of unpacked packages. It is no part of a key, since what is built with
// either is the same.
type borrowed struct {
	command []string // the program, and words that go before its arguments
	needs   []Recipe // what has to be unpacked before env is called
	env     func() []string
}

// asInstalled runs node with /usr/share of its package laid over the machine's, in a
// mount namespace that ends with it: Debian's node reads parts of itself from there.
const asInstalled = `mount -t overlay overlay -o "lowerdir=$0/usr/share:/usr/share" /usr/share && exec "$0/usr/bin/node" "$@"`

// node runs the build of Grafana's web page.
func (b *Builder) node() borrowed {
	if path, err := exec.LookPath("node"); err == nil {
		return borrowed{command: []string{path}, env: func() []string { return nil }}
	}
	r := b.debian("node", "Node.js", packages{Want: []string{"nodejs"}, Without: append([]string{"python3*", "libpython3*"}, systemPackages.Without...)})
	root := b.store.dir(r)
	unshare := []string{"unshare", "--mount"}
	if os.Geteuid() != 0 {
		unshare = append(unshare, "--map-root-user")
	}
	return borrowed{command: append(unshare, "sh", "-c", asInstalled, root), needs: []Recipe{r},
		env: func() []string { return []string{librariesOf(root), pathWith(root)} }}
}

// compiler is a C compiler, as Go's environment names it.
func (b *Builder) compiler() borrowed {
	for _, c := range []struct {
		name string
		env  []string
	}{{os.Getenv("CC"), nil}, {"gcc", nil}, {"clang", []string{"CC=clang"}}} {
		if _, err := exec.LookPath(c.name); err == nil {
			return borrowed{command: []string{c.name}, env: func() []string { return c.env }}
		}
	}
	r := b.debian("compiler", "C compiler", packages{Want: []string{"gcc", "libc6-dev"}})
	root := b.store.dir(r)
	gcc := filepath.Join(root, "usr/bin/gcc")
	return borrowed{command: []string{gcc}, needs: []Recipe{r},
		env: func() []string {
			return []string{"CC=" + gcc + " --sysroot=" + root, librariesOf(root), pathWith(root)}
		}}
}

// librariesOf lets programs find their libraries in unpacked packages. The C library
// is not among them: its loader is the host's, and so it has to be.
func librariesOf(root string) string {
	dirs, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*"))
	if err != nil || len(dirs) == 0 {
		return "LD_LIBRARY_PATH="
	}
	return "LD_LIBRARY_PATH=" + dirs[0]
}

func pathWith(root string) string {
	return "PATH=" + filepath.Join(root, "usr/bin") + ":" + os.Getenv("PATH")
}
