package artifact

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// imagePackages hold the programs of the images. What they depend on is left out
// where it serves only an installation.
var imagePackages = packages{
	Want: []string{"influxdb", "influxdb-client", "prometheus", "prometheus-blackbox-exporter", "nginx",
		"bash", "dash", "coreutils", "sed", "grep", "gawk", "ca-certificates", "tzdata"},
	Without: []string{"perl*", "libperl*", "lib*-perl", "dpkg", "tar", "debconf", "adduser", "passwd", "openssl", "iproute2", "usrmerge",
		"libpam*", "libsem*", "libsepol*", "libaudit*", "libkrb5*", "libgssapi*", "libk5*", "libdb5*", "libgdbm*", "libbpf*", "libelf*",
		"init-system-helpers", "sysvinit-utils", "lsb-base", "gcc-*-base"},
}

const packagesName = "image-packages"

var (
	//go:embed files/influxdb.sh
	influxdbEntrypoint string
	//go:embed files/influxdb.conf
	influxdbConfig string
	//go:embed files/nginx.sh
	nginxEntrypoint string
	//go:embed files/grafana.sh
	grafanaEntrypoint string
)

// coreutils is what an init script and a person in a pod expect to find.
var coreutils = []string{"bash", "cat", "chmod", "cp", "cut", "date", "df", "du", "env", "false", "find", "grep", "head", "id", "ls", "mkdir", "mktemp", "mv",
	"od", "printf", "pwd", "rm", "sed", "seq", "sha256sum", "sleep", "sort", "stat", "tail", "test", "timeout", "touch", "tr", "true", "uname", "wc", "whoami", "xargs"}

// part is an image that is made from packages, or from programs of our own.
type part struct {
	name    string
	version func(u unpacked) string
	needs   []Recipe
	cost    time.Duration
	// fill makes the image's files; it may also take files from its needs.
	fill   func(u unpacked, t tree) error
	config v1.Config
}

// Parts are the images by name. The order is that of their builds: those that are
// quick first.
var Parts = []string{"influxdb", "prometheus", "blackbox", "nginx", "pause", "grafana"}

// imageRecipes are the images of the given parts; none: all.
func (b *Builder) imageRecipes(ctx context.Context, only []string) ([]Recipe, error) {
	for _, name := range only {
		if !slices.Contains(Parts, name) {
			return nil, fmt.Errorf("there is no image %q; there are %s", name, strings.Join(Parts, ", "))
		}
	}
	all, err := b.parts()
	if err != nil {
		return nil, err
	}
	var out []Recipe
	for _, p := range all {
		if len(only) == 0 || slices.Contains(only, p.name) {
			out = append(out, b.image(p))
		}
	}
	return b.preferOfficial(ctx, out)
}

func (b *Builder) image(p part) Recipe {
	source := b.debian(packagesName, "packages for the images", imagePackages)
	key := []string{source.Key, p.name, "6", influxdbEntrypoint, influxdbConfig, nginxEntrypoint, grafanaEntrypoint}
	for _, n := range p.needs {
		key = append(key, n.Key)
	}
	return Recipe{
		Name: "image-" + p.name, Title: p.name + " image", Key: Hash(key...), Cost: max(p.cost, 2*time.Second), Space: 1 << 30,
		Needs: append([]Recipe{source}, p.needs...),
		Build: func(_ context.Context, job *Job) error {
			u := unpacked(b.store.dir(source))
			files := merged()
			if err := p.fill(u, files); err != nil {
				return err
			}
			return writeImage(job.Dir, job.Work, imageSpec{Part: p.name, Version: p.version(u), Files: files, Config: p.config})
		},
	}
}

func (b *Builder) parts() ([]part, error) {
	kube, err := b.kube()
	if err != nil {
		return nil, err
	}
	return []part{
		{
			name: "influxdb", version: packageVersion("influxdb"),
			fill: func(u unpacked, t tree) error {
				t.accounts(account{"influxdb", 1500, "/var/lib/influxdb"})
				t.file("entrypoint.sh", influxdbEntrypoint, 0o755)
				t.file("etc/influxdb/influxdb.conf", influxdbConfig, 0o644)
				t.dir("var/lib/influxdb", open)
				return firstError(u.programs(t, "usr/bin/influxd", "usr/bin/influx", "usr/bin/gawk"), u.shell(t), u.certificates(t), u.zones(t))
			},
			config: v1.Config{User: "1500:1500", Entrypoint: []string{"/entrypoint.sh"}, Cmd: []string{"influxd"},
				// The client writes its history there, and a read-only root has no better place.
				Env: []string{"HOME=/tmp"}, ExposedPorts: ports("8086/tcp")},
		},
		{
			name: "prometheus", version: packageVersion("prometheus"),
			fill: func(u unpacked, t tree) error {
				t.accounts()
				t.dir("prometheus", open)
				t.file("etc/prometheus/prometheus.yml", "global: {}\n", 0o644)
				return firstError(u.prometheusPage(t), u.program(t, "bin/prometheus", "usr/bin/prometheus"), u.program(t, "bin/promtool", "usr/bin/promtool"), u.certificates(t), u.zones(t))
			},
			config: v1.Config{User: "65534:65534", WorkingDir: "/prometheus", Entrypoint: []string{"/bin/prometheus"},
				Cmd:          []string{"--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"},
				ExposedPorts: ports("9090/tcp")},
		},
		{
			name: "blackbox", version: packageVersion("prometheus-blackbox-exporter"),
			fill: func(u unpacked, t tree) error {
				t.accounts()
				t.file("etc/blackbox_exporter/config.yml", "modules:\n  http_2xx:\n    prober: http\n", 0o644)
				return firstError(u.program(t, "bin/blackbox_exporter", "usr/bin/prometheus-blackbox-exporter"), u.certificates(t), u.zones(t))
			},
			config: v1.Config{User: "65534:65534", Entrypoint: []string{"/bin/blackbox_exporter"},
				Cmd: []string{"--config.file=/etc/blackbox_exporter/config.yml"}, ExposedPorts: ports("9115/tcp")},
		},
		{
			name: "nginx", version: packageVersion("nginx"),
			fill: func(u unpacked, t tree) error {
				t.accounts(account{"nginx", 101, "/nonexistent"})
				t.file("docker-entrypoint.sh", nginxEntrypoint, 0o755)
				for _, d := range []string{"var/log/nginx", "var/cache/nginx", "var/lib/nginx"} {
					t.dir(d, open)
				}
				t.symlink("var/log/nginx/access.log", "/dev/stdout")
				t.symlink("var/log/nginx/error.log", "/dev/stderr")
				t.dir("etc/nginx/conf.d", 0o755)
				for _, f := range []string{"nginx.conf", "mime.types", "fastcgi_params", "scgi_params", "uwsgi_params"} {
					at, err := u.find("etc/nginx/" + f)
					if err != nil {
						return err
					}
					t.take("etc/nginx/"+f, at, 0o644)
				}
				return firstError(u.programs(t, "usr/sbin/nginx", "bin/dash"), u.link(t, "usr/bin/sh", "dash"), u.certificates(t), u.zones(t))
			},
			config: v1.Config{User: "101:101", Entrypoint: []string{"/docker-entrypoint.sh"}, Cmd: []string{"nginx", "-g", "daemon off;"},
				StopSignal: "SIGQUIT", ExposedPorts: ports("8080/tcp")},
		},
		{
			name: "pause", version: func(unpacked) string { return kubernetesRelease }, needs: []Recipe{kube},
			fill: func(_ unpacked, t tree) error {
				clear(t)
				t.take("pause", filepath.Join(b.store.dir(kube), "pause"), 0o755)
				return nil
			},
			config: v1.Config{User: "65535:65535", Entrypoint: []string{"/pause"}},
		},
		b.grafanaPart(),
	}, nil
}

// prometheusPage takes the files of Prometheus's page, which Debian's build reads
// from disk, and the libraries that the page takes from other packages.
func (u unpacked) prometheusPage(t tree) error {
	for _, d := range []string{"usr/share/prometheus", "usr/share/javascript", "usr/share/nodejs", "usr/share/fonts-glyphicons"} {
		from := filepath.Join(string(u), d)
		if !exists(from) {
			continue
		}
		if err := t.takeDir(d, from); err != nil {
			return err
		}
	}
	// The sources of the time zones' tables are 200 MB that no page asks for.
	for p := range t {
		if strings.HasPrefix(p, "usr/share/javascript/moment-timezone/data/") {
			delete(t, p)
		}
	}
	return nil
}

func ports(list ...string) map[string]struct{} {
	out := map[string]struct{}{}
	for _, p := range list {
		out[p] = struct{}{}
	}
	return out
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// programs takes programs to where the package has them.
func (u unpacked) programs(t tree, paths ...string) error {
	for _, p := range paths {
		if err := u.program(t, p, p); err != nil {
			return err
		}
	}
	return nil
}

func (u unpacked) link(t tree, p, target string) error {
	t.symlink(p, target)
	return nil
}

// shell takes bash, as sh too, and the tools of scripts. What a release of the
// packages lacks of the tools is left out: only bash has to be there.
func (u unpacked) shell(t tree) error {
	for _, name := range coreutils {
		if _, err := u.find("usr/bin/" + name); err != nil && name != "bash" {
			continue
		}
		if err := u.programs(t, "usr/bin/"+name); err != nil {
			return err
		}
	}
	return u.link(t, "usr/bin/sh", "bash")
}

// certificates makes the bundle of authorities that a Debian system makes when the
// package is installed.
func (u unpacked) certificates(t tree) error {
	files, err := filepath.Glob(filepath.Join(string(u), "usr/share/ca-certificates/mozilla/*.crt"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("the packages have no certificates of authorities")
	}
	sort.Strings(files)
	var bundle strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("read a certificate: %w", err)
		}
		bundle.WriteString(strings.TrimRight(string(b), "\n") + "\n")
	}
	t.file("etc/ssl/certs/ca-certificates.crt", bundle.String(), 0o644)
	return nil
}

// zones takes the database of time zones.
func (u unpacked) zones(t tree) error {
	t.symlink("etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
	return t.takeDir("usr/share/zoneinfo", filepath.Join(string(u), "usr/share/zoneinfo"))
}

// packageList is the file in a folder of unpacked packages that names them.
const packageList = ".packages"

// upstream picks the upstream version out of the name of a package's file.
var upstream = regexp.MustCompile(`^[^_]+_(?:\d+%3a)?(\d+(?:\.\d+)*)`)

// packageVersion returns the version of a package, for the tag of an image.
func packageVersion(name string) func(unpacked) string {
	return func(u unpacked) string {
		b, err := os.ReadFile(filepath.Join(string(u), packageList))
		if err != nil {
			return "0"
		}
		for line := range strings.Lines(string(b)) {
			if !strings.HasPrefix(line, name+"_") {
				continue
			}
			if m := upstream.FindStringSubmatch(path.Base(line)); m != nil {
				return m[1]
			}
		}
		return "0"
	}
}
