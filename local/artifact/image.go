package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Image is a container image in the cache.
type Image struct {
	Part string `json:"part"` // influxdb, prometheus, grafana, nginx, blackbox, pause
	Ref  string `json:"ref"`  // what a pod names
	Tar  string `json:"-"`    // path of the archive, for `ctr images import`
}

// ImageRefs maps each part to the reference of its image.
func ImageRefs(images []Image) map[string]string {
	out := map[string]string{}
	for _, i := range images {
		out[i.Part] = i.Ref
	}
	return out
}

// registryName is the host part of the names of images that are built here. There
// is no such registry, so that a mistaken pull fails rather than finds another's image.
const registryName = "velodrome.local"

// epoch is the time of everything in an image, so that one content is one digest.
var epoch = time.Unix(0, 0).UTC()

// tree is a file system in the making: paths without a leading slash.
type tree map[string]node

type node struct {
	mode    fs.FileMode // type and permissions
	from    string      // regular file: where its content is, or
	content []byte      // its content
	link    string      // symbolic link: its target
}

func (t tree) dir(path string, perm fs.FileMode) { t[clean(path)] = node{mode: fs.ModeDir | perm} }
func (t tree) symlink(path, target string) {
	t[clean(path)] = node{mode: fs.ModeSymlink | 0o777, link: target}
}
func (t tree) file(path, content string, p fs.FileMode) {
	t[clean(path)] = node{mode: p, content: []byte(content)}
}
func (t tree) take(path, from string, perm fs.FileMode) {
	t[clean(path)] = node{mode: perm, from: from}
}

// open is the mode of folders that any uid may write to, as in /tmp.
const open = fs.ModeSticky | 0o777

func clean(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

// merged is the layout of Debian's file systems, where /bin is a link to /usr/bin.
func merged() tree {
	t := tree{}
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		t.symlink(d, "usr/"+d)
		t.dir("usr/"+d, 0o755)
	}
	for _, d := range []string{"etc", "var", "run", "proc", "sys", "dev", "root"} {
		t.dir(d, 0o755)
	}
	t.dir("tmp", open)
	t.dir("var/tmp", open)
	return t
}

// inUsr moves a path out of the folders that merged makes links of.
func inUsr(p string) string {
	p = clean(p)
	first, _, _ := strings.Cut(p, "/")
	switch first {
	case "bin", "sbin", "lib", "lib64":
		return "usr/" + p
	}
	return p
}

// takeDir takes a folder with all that is below it.
func (t tree) takeDir(to, from string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		at := path.Join(to, filepath.ToSlash(rel))
		switch {
		case d.IsDir():
			t.dir(at, 0o755)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			t.symlink(at, target)
		case info.Mode().IsRegular():
			t.take(at, p, 0o444|info.Mode().Perm())
		}
		return nil
	})
}

// withParents adds the folders that are implied.
func (t tree) withParents() {
	for p := range t {
		for d := path.Dir(p); d != "."; d = path.Dir(d) {
			if _, ok := t[d]; !ok {
				t.dir(d, 0o755)
			}
		}
	}
}

// write writes the tree as a tar, sorted, owned by root, without times, so that one
// content is always the same bytes.
func (t tree) write(w io.Writer) error {
	t.withParents()
	paths := make([]string, 0, len(t))
	for p := range t {
		if p != "" {
			paths = append(paths, p)
		}
	}
	sort.Strings(paths)
	tw := tar.NewWriter(w)
	for _, p := range paths {
		if err := t[p].write(tw, p); err != nil {
			return fmt.Errorf("put %s into the image: %w", p, err)
		}
	}
	return tw.Close()
}

func (n node) write(tw *tar.Writer, p string) error {
	h := &tar.Header{Name: p, Mode: int64(n.mode.Perm()), ModTime: epoch, Format: tar.FormatPAX}
	if n.mode&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	switch {
	case n.mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, p+"/"
		return tw.WriteHeader(h)
	case n.mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, n.link
		return tw.WriteHeader(h)
	}
	h.Typeflag = tar.TypeReg
	if n.from == "" {
		h.Size = int64(len(n.content))
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err := tw.Write(n.content)
		return err
	}
	f, err := os.Open(n.from)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	h.Size = st.Size()
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(tw, f)
	return err
}

// account is a line of an image's /etc/passwd.
type account struct {
	name string
	uid  int
	home string
}

// accounts adds /etc/passwd, /etc/group and /etc/nsswitch.conf.
func (t tree) accounts(list ...account) {
	passwd := "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
	group := "root:x:0:\nnogroup:x:65534:\n"
	for _, a := range list {
		passwd += fmt.Sprintf("%s:x:%d:%d::%s:/bin/false\n", a.name, a.uid, a.uid, a.home)
		group += fmt.Sprintf("%s:x:%d:\n", a.name, a.uid)
	}
	t.file("etc/passwd", passwd, 0o644)
	t.file("etc/group", group, 0o644)
	t.file("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n", 0o644)
}

// imageSpec is an image that is to be written.
type imageSpec struct {
	Part    string
	Version string
	Files   tree
	Config  v1.Config
}

// imageTar and imageInfo are the files of an image's artifact.
const (
	imageTar  = "image.tar"
	imageInfo = "image.json"
)

// writeImage writes the image into dir: the archive, and its name. The name holds
// a hash of the content, so that a pod whose image is named the same runs the same.
func writeImage(dir, work string, s imageSpec) error {
	layerFile := filepath.Join(work, s.Part+"-layer.tar")
	f, err := os.Create(layerFile)
	if err != nil {
		return fmt.Errorf("write the image's layer: %w", err)
	}
	if err := errors.Join(s.Files.write(f), f.Close()); err != nil {
		return fmt.Errorf("write the image's layer: %w", err)
	}
	// Not compressed: the archive goes from this disk to this disk.
	layer, err := tarball.LayerFromFile(layerFile, tarball.WithCompressionLevel(gzip.NoCompression))
	if err != nil {
		return fmt.Errorf("read the image's layer: %w", err)
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "velodrome-local images"}})
	if err != nil {
		return fmt.Errorf("put the image together: %w", err)
	}
	img, err = mutate.ConfigFile(img, configFile(img, s))
	if err != nil {
		return fmt.Errorf("put the image together: %w", err)
	}
	return saveImage(dir, s.Part, s.Version, img)
}

func configFile(img v1.Image, s imageSpec) *v1.ConfigFile {
	cf, err := img.ConfigFile()
	if err != nil {
		cf = &v1.ConfigFile{}
	}
	cf = cf.DeepCopy()
	cf.Architecture, cf.OS, cf.Created = runtime.GOARCH, "linux", v1.Time{Time: epoch}
	cf.Config = s.Config
	if cf.Config.WorkingDir == "" {
		cf.Config.WorkingDir = "/"
	}
	cf.Config.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, cf.Config.Env...)
	return cf
}

// saveImage writes any image under its local name.
func saveImage(dir, part, version string, img v1.Image) error {
	id, err := img.ConfigName()
	if err != nil {
		return fmt.Errorf("hash the image: %w", err)
	}
	ref := fmt.Sprintf("%s/%s:%s-%s", registryName, part, version, id.Hex[:12])
	tag, err := name.NewTag(ref)
	if err != nil {
		return fmt.Errorf("name the image: %w", err)
	}
	if err := tarball.WriteToFile(filepath.Join(dir, imageTar), tag, img); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	info, err := json.Marshal(Image{Part: part, Ref: ref})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, imageInfo), append(info, '\n'), 0o644)
}

func readImage(dir string) (Image, error) {
	b, err := os.ReadFile(filepath.Join(dir, imageInfo))
	if err != nil {
		return Image{}, fmt.Errorf("read the image's name: %w", err)
	}
	var img Image
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&img); err != nil {
		return Image{}, fmt.Errorf("read the image's name in %s: %w", dir, err)
	}
	img.Tar = filepath.Join(dir, imageTar)
	return img, nil
}

func copyFile(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, st.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
