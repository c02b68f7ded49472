package artifact

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// example is a small image with a file of each kind.
func example(t *testing.T) imageSpec {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("ELF"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := merged()
	files.accounts(account{"influxdb", 1500, "/var/lib/influxdb"})
	files.take("usr/bin/influxd", program, 0o755)
	files.file("/etc/influxdb/influxdb.conf", "x", 0o644)
	files.symlink("usr/bin/sh", "bash")
	files.dir("var/lib/influxdb", open)
	return imageSpec{Part: "influxdb", Version: "1.6.7", Files: files, Config: v1.Config{User: "1500:1500", Entrypoint: []string{"/entrypoint.sh"}, Cmd: []string{"influxd"}, Env: []string{"HOME=/tmp"}}}
}

func TestImageHoldsItsFilesAndHowToStart(t *testing.T) {
	dir := t.TempDir()
	if err := writeImage(dir, t.TempDir(), example(t)); err != nil {
		t.Fatal(err)
	}
	got, err := readImage(dir)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(got.Ref)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.Ref, "velodrome.local/influxdb:1.6.7-") {
		t.Errorf("reference %s", got.Ref)
	}
	img, err := tarball.ImageFromPath(got.Tar, &tag)
	if err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{User: "1500:1500", Entrypoint: []string{"/entrypoint.sh"}, Cmd: []string{"influxd"}, WorkingDir: "/",
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp"}}
	if diff := cmp.Diff(want, cf.Config); diff != "" {
		t.Error(diff)
	}
	entries := read(t, img)
	for path, want := range map[string]string{
		"bin":                        "link usr/bin",
		"usr/bin/":                   "dir 755",
		"usr/bin/influxd":            "file 755 ELF",
		"usr/bin/sh":                 "link bash",
		"etc/influxdb/":              "dir 755",
		"etc/influxdb/influxdb.conf": "file 644 x",
		"var/lib/influxdb/":          "dir 1777",
		"tmp/":                       "dir 1777",
		"etc/passwd": "file 644 root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n" +
			"influxdb:x:1500:1500::/var/lib/influxdb:/bin/false\n",
		"etc/nsswitch.conf": "file 644 passwd: files\ngroup: files\nhosts: files dns\n",
	} {
		if diff := cmp.Diff(want, entries[path]); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

// read lists the files of an image: path to kind, permissions and content.
func read(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	out := map[string]string{}
	r := mutate.Extract(img)
	defer r.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s belongs to %d:%d", h.Name, h.Uid, h.Gid)
		}
		perm := strings.TrimPrefix(strings.ToLower(string(rune('0'+h.Mode>>9&7)))+octal(h.Mode&0o777), "0")
		switch h.Typeflag {
		case tar.TypeDir:
			out[strings.TrimSuffix(h.Name, "/")+"/"] = "dir " + perm
		case tar.TypeSymlink:
			out[h.Name] = "link " + h.Linkname
		default:
			b, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			out[h.Name] = "file " + perm + " " + string(b)
		}
	}
}

func octal(m int64) string {
	return string([]byte{byte('0' + m>>6&7), byte('0' + m>>3&7), byte('0' + m&7)})
}

// A pod keeps running where nothing changed: one content has one name and the same bytes.
func TestSameContentIsTheSameImage(t *testing.T) {
	first, second, third := t.TempDir(), t.TempDir(), t.TempDir()
	changed := example(t)
	changed.Files.file("etc/influxdb/influxdb.conf", "y", 0o644)
	if err := errors.Join(writeImage(first, t.TempDir(), example(t)), writeImage(second, t.TempDir(), example(t)), writeImage(third, t.TempDir(), changed)); err != nil {
		t.Fatal(err)
	}
	a, errA := os.ReadFile(filepath.Join(first, imageTar))
	b, errB := os.ReadFile(filepath.Join(second, imageTar))
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("the two archives differ")
	}
	one, errA := readImage(first)
	other, errB := readImage(third)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if one.Ref == other.Ref {
		t.Error("another content has the same name")
	}
}

func TestProgramBringsItsLibraries(t *testing.T) {
	files := merged()
	if err := unpacked("/").program(files, "bin/sh", "bin/sh"); err != nil {
		t.Fatal(err)
	}
	var libc, loader bool
	for p := range files {
		libc = libc || strings.HasSuffix(p, "/libc.so.6") && strings.HasPrefix(p, "usr/lib/")
		loader = loader || strings.HasPrefix(filepath.Base(p), "ld-linux")
	}
	if _, ok := files["usr/bin/sh"]; !ok || !libc || !loader {
		t.Errorf("program %v, C library %v, loader %v", ok, libc, loader)
	}
}

func TestLinksStayWithinTheUnpackedPackages(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"usr/bin", "bin", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(root, "bin", "bash"), nil, 0o755),
		os.Symlink("/bin/bash", filepath.Join(root, "usr/bin/absolute")),
		os.Symlink("../../bin/bash", filepath.Join(root, "usr/bin/relative")),
		os.Symlink("circle", filepath.Join(root, "usr/bin/circle")),
	); err != nil {
		t.Fatal(err)
	}
	u := unpacked(root)
	for _, p := range []string{"/usr/bin/absolute", "usr/bin/relative", "usr/bin/bash"} {
		if at, err := u.find(p); err != nil || at != filepath.Join(root, "bin", "bash") {
			t.Errorf("%s: %s, %v", p, at, err)
		}
	}
	for p, want := range map[string]string{
		"usr/bin/circle":  "usr/bin/circle is a link to a link to a link …",
		"usr/bin/nothing": "the packages have no usr/bin/nothing",
	} {
		if _, err := u.find(p); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", p, err, want)
		}
	}
}

func TestTagSaysThePackagesVersion(t *testing.T) {
	root := t.TempDir()
	list := "influxdb-client_9.9_amd64.deb\ninfluxdb_1.6.7~rc0-1+b13_amd64.deb\nprometheus_2.42.0+ds-5+b6_amd64.deb\nzlib1g_1%3a1.2.13.dfsg-1_amd64.deb\n"
	if err := os.WriteFile(filepath.Join(root, packageList), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	for pkg, want := range map[string]string{"influxdb": "1.6.7", "prometheus": "2.42.0", "zlib1g": "1.2.13", "nginx": "0"} {
		if got := packageVersion(pkg)(unpacked(root)); got != want {
			t.Errorf("%s: %s, want %s", pkg, got, want)
		}
	}
}
