package artifact

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPackagesAreReadFromWhatAptPrints(t *testing.T) {
	list := "Reading package lists...\n" +
		"'http://mirror/pool/r/runc_1.1.5+ds1-1_amd64.deb' runc_1.1.5+ds1-1_amd64.deb 2709960 MD5Sum:55\n" +
		"'http://mirror/pool/g/libc6_2.36_amd64.deb' libc6_2.36_amd64.deb 2759320 MD5Sum:8d\n" +
		"'http://mirror/pool/g/gcc-12-base_12_amd64.deb' gcc-12-base_12_amd64.deb 37596 MD5Sum:8e\n" +
		"'http://mirror/pool/l/libgmp10_2%3a6.2_amd64.deb' libgmp10_2%3a6.2_amd64.deb 562588 MD5Sum:22\n"
	got, err := packageFiles(list, []string{"libc6", "gcc-*-base"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"runc_1.1.5+ds1-1_amd64.deb", "libgmp10_2%3a6.2_amd64.deb"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := packageFiles("E: nothing\n", nil); err == nil || err.Error() != "apt-get named no package" {
		t.Errorf("an empty answer: %v", err)
	}
}

// A new machine has no lists of packages.
func TestEmptyPackageListsAreRenewed(t *testing.T) {
	bin, mark := t.TempDir(), filepath.Join(t.TempDir(), "updated")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	script(t, filepath.Join(bin, "apt-get"), `
if [ "$1" = update ]; then touch `+mark+`; exit; fi
if [ ! -e `+mark+` ]; then echo "E: Unable to locate package runc" >&2; exit 100; fi
case "$*" in *--print-uris*) echo "'http://mirror/runc_1_amd64.deb' runc_1_amd64.deb 1 MD5Sum:1";; esac`)
	script(t, filepath.Join(bin, "dpkg-deb"), `mkdir -p "$3/usr/sbin"; echo "$2" > "$3/usr/sbin/runc"`)
	b := newBuilderForTest(t)
	r := b.debian("system", "packages", packages{Want: []string{"runc"}, Links: map[string]string{"usr/sbin/run": "runc"}})
	dir, err := b.store.Ensure(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "usr/sbin/run"))
	if want := filepath.Join(b.cfg.Cache, "debs", "runc_1_amd64.deb") + "\n"; err != nil || string(got) != want {
		t.Errorf("unpacked %q, %v, want %q", got, err, want)
	}
}

func TestGrafanasDevelopersToolsAreNotDownloaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "package.json")
	before := `{"name":"grafana","workspaces":{"packages":["packages/*"]},"dependencies":{"react":"17.0.2","xlsx":"https://elsewhere/xlsx.tgz"},"devDependencies":{"jest":"29.3.1","webpack":"5.76.0"}}`
	if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := trimPackage(file, false); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "dependencies": {
    "react": "17.0.2",
    "xlsx": "0.18.5"
  },
  "devDependencies": {
    "webpack": "5.76.0"
  },
  "name": "grafana",
  "workspaces": {
    "packages": [
      "packages/*"
    ]
  }
}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatABrowserAsksForIsInTheImage(t *testing.T) {
	for path, want := range map[string]bool{
		"public/build/app.1234.js": true, "public/build/app.1234.js.map": false, "public/views/index.html": true, "public/img/grafana_icon.svg": true,
		"public/app/plugins/panel/graph/plugin.json": true, "public/app/plugins/panel/graph/graph.ts": false, "public/app/core/app.js": false,
	} {
		if got := servedFile(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestSchemaHasItsVersionAndNothingElseChanges(t *testing.T) {
	got, err := stampSchema([]byte("{\n  \"name\": \"kubernetes\",\n  \"url\": \"a<b&c\",\n  \"types\": {\"n\": 1.0}\n}\n"), "4.29.0")
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"kubernetes","types":{"n":1.0},"url":"a<b&c","version":"4.29.0"}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestInstalledPulumiIsUsedOnlyIfItWillDo(t *testing.T) {
	for version, want := range map[string]bool{"v3.228.0\n": true, "v3.200.0": true, "v3.199.9": false, "v2.300.0": false, "v4.0.0": false, "": false, "3.228.0-dev": false} {
		if got := newEnough(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
	dir, home, ours := t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("PULUMI_HOME", home)
	script(t, filepath.Join(dir, "pulumi"), "echo v3.228.0")
	if got := findInstalled(t.Context(), ours); got != (installed{}) {
		t.Errorf("without a language host: %+v", got)
	}
	script(t, filepath.Join(dir, "pulumi-language-go"), "")
	if got := findInstalled(t.Context(), ours); got != (installed{bin: dir}) {
		t.Errorf("without the plugin: %+v", got)
	}
	plugin := filepath.Join(home, "plugins", kubernetesPlugin)
	if err := os.MkdirAll(plugin, 0o755); err != nil {
		t.Fatal(err)
	}
	script(t, filepath.Join(plugin, "pulumi-resource-kubernetes"), "")
	if got := findInstalled(t.Context(), ours); got != (installed{bin: dir, kubernetes: plugin}) {
		t.Errorf("with everything: %+v", got)
	}
}

// What was built must not be taken for what is installed: it would be linked to itself.
func TestShellWithTheStacksEnvironmentCanRunUpToo(t *testing.T) {
	cache, home, linked := t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("PULUMI_HOME", home)
	script(t, filepath.Join(cache, "pulumi"), "echo v3.228.0")
	script(t, filepath.Join(cache, "pulumi-language-go"), "")
	script(t, filepath.Join(cache, "pulumi-resource-kubernetes"), "")
	if err := (Tools{Plugins: map[string]string{kubernetesPlugin: cache}}).Install(home); err != nil {
		t.Fatal(err)
	}
	path := os.Getenv("PATH")
	t.Setenv("PATH", cache+":"+path)
	if got := findInstalled(t.Context(), cache); got != (installed{}) {
		t.Errorf("what was built is taken for what is installed: %+v", got)
	}
	script(t, filepath.Join(linked, "pulumi"), "echo v3.228.0")
	script(t, filepath.Join(linked, "pulumi-language-go"), "")
	t.Setenv("PATH", linked+":"+path)
	if got := findInstalled(t.Context(), cache); got != (installed{bin: linked}) {
		t.Errorf("the plugin that was built is taken for one that is installed: %+v", got)
	}
}

func TestPluginsAreVisibleInPulumiHome(t *testing.T) {
	home := t.TempDir()
	for _, content := range []string{"first", "second"} { // the second time over the first
		from := t.TempDir()
		for _, f := range []string{"pulumi-resource-kubernetes", "schema.json", manifestName} {
			if err := os.WriteFile(filepath.Join(from, f), []byte(content), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		tools := Tools{Plugins: map[string]string{kubernetesPlugin: from}}
		for range 2 {
			if err := tools.Install(home); err != nil {
				t.Fatal(err)
			}
		}
		dir := filepath.Join(home, "plugins", "resource-kubernetes-v4.29.0")
		for _, f := range []string{"pulumi-resource-kubernetes", "schema.json"} {
			if b, err := os.ReadFile(filepath.Join(dir, f)); err != nil || string(b) != content {
				t.Errorf("%s holds %q, %v", f, b, err)
			}
		}
		if exists(filepath.Join(dir, manifestName)) {
			t.Error("the list of files is taken for a part of the plugin")
		}
	}
}

func TestKeyFollowsTheSourcesButNotTheTests(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key := func() string {
		k, err := Sources(dir)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write("go.sum", "a")
	write("main.go", "package main")
	first := key()
	write("main_test.go", "package main")
	if key() != first {
		t.Error("a test changes the key")
	}
	write("go.sum", "b")
	if key() == first {
		t.Error("go.sum does not change the key")
	}
}

func TestGrafanaStartsFromTheEnvironmentOfTheOfficialImage(t *testing.T) {
	dir := t.TempDir()
	script(t, filepath.Join(dir, "grafana"), `printf '%s\n' "$@"; echo "HOME=$HOME"; echo "password=$GF_SECURITY_ADMIN_PASSWORD"; env | grep -c __FILE || true`)
	run := filepath.Join(dir, "run.sh")
	password := filepath.Join(dir, "password")
	for f, content := range map[string]string{run: grafanaEntrypoint, password: "secret\n"} {
		if err := os.WriteFile(f, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "GF_PATHS_HOME=/h", "GF_PATHS_CONFIG=/c", "GF_PATHS_DATA=/d", "GF_PATHS_LOGS=/l",
		"GF_PATHS_PLUGINS=/p", "GF_PATHS_PROVISIONING=/v", "GF_SECURITY_ADMIN_PASSWORD__FILE=" + password}
	cmd := exec.CommandContext(t.Context(), "bash", run, "extra")
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := strings.Join([]string{"server", "--homepath=/h", "--config=/c", "--packaging=docker", "extra", "cfg:default.log.mode=console", "cfg:default.paths.data=/d",
		"cfg:default.paths.logs=/l", "cfg:default.paths.plugins=/p", "cfg:default.paths.provisioning=/v", "HOME=/h", "password=secret", "0", ""}, "\n")
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Error(diff)
	}
	cmd = exec.CommandContext(t.Context(), "bash", run)
	cmd.Env = append(env, "GF_SECURITY_ADMIN_PASSWORD=other")
	out, err = cmd.CombinedOutput()
	if want := "ERROR: Both GF_SECURITY_ADMIN_PASSWORD and GF_SECURITY_ADMIN_PASSWORD__FILE are set (but are exclusive)\n"; err == nil || string(out) != want {
		t.Errorf("both set: %v: %s", err, out)
	}
}

func TestProgressSaysWhatIsLeft(t *testing.T) {
	begin := time.Now()
	for _, c := range []struct {
		after, left time.Duration
		want        string
	}{
		{0, 12 * time.Minute, "[2/9] Kubernetes plugin: building, about 12m left"},
		{3*time.Minute + 10*time.Second, 5 * time.Minute, "[2/9] Kubernetes plugin: building, 3m10s, about 5m left"},
		{9 * time.Second, 20 * time.Second, "[2/9] Kubernetes plugin: building, 9s, under a minute left"},
		{62 * time.Minute, 61 * time.Minute, "[2/9] Kubernetes plugin: building, 1h02m, about 1h01m left"},
	} {
		task := &task{recipe: Recipe{Title: "Kubernetes plugin"}, number: 2, since: begin, doing: "building"}
		if got := task.text(begin.Add(c.after), 9, c.left); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestRepositoryIsFoundFromAnyFolderInIt(t *testing.T) {
	want, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := FindRepo("."); err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
	dir := t.TempDir()
	_, err = FindRepo(dir)
	if want := "run this in the repository of Velodrome, or name its folder with --repo: there is no tools/pulumi in " + dir + " or above it"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func script(t *testing.T, path, body string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/bash\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
