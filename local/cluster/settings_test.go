package cluster

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(name)+".golden")
	if *update {
		if err := writeFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not as in %s (if it is meant: go test ./cluster -update); got\n%s", name, path, got)
	}
}

func TestPartsReadTheSettingsTheyAlwaysRead(t *testing.T) {
	for name, content := range settings("velodrome") {
		golden(t, name, content)
	}
}

func TestSettingsAreWellFormed(t *testing.T) {
	for name, content := range settings("velodrome") {
		var into map[string]any
		switch filepath.Ext(name) {
		case ".yaml":
			if err := yaml.UnmarshalStrict([]byte(content), &into); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case ".conflist":
			if err := json.Unmarshal([]byte(content), &into); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestPartsAreStartedWithTheFlagsTheyAlwaysHad(t *testing.T) {
	var b strings.Builder
	for _, p := range parts("velodrome") {
		b.WriteString(p.Name + "\n")
		for _, n := range p.Needs {
			b.WriteString("  after " + string(n) + "\n")
		}
		for _, e := range p.Env {
			b.WriteString("  env " + e + "\n")
		}
		for _, a := range p.Args {
			b.WriteString("  " + a + "\n")
		}
	}
	golden(t, "parts", b.String())
}

func TestOnlyFilesThatEtcdDoesNotKeepAreWaitedForAtTheEnd(t *testing.T) {
	var gentle []string
	for _, p := range parts("velodrome") {
		if p.Gentle {
			gentle = append(gentle, p.Name)
		}
	}
	if got := strings.Join(gentle, " "); got != "etcd containerd" {
		t.Errorf("asked to end, and waited for: %s; want etcd containerd", got)
	}
}

func TestKubectlCanReadTheKubeconfig(t *testing.T) {
	cfg := Config{State: t.TempDir(), APIPort: 12345}
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if err := ensurePKI(cfg.path("pki"), identities(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := writeSettings(cfg); err != nil {
		t.Fatal(err)
	}
	raw, err := clientcmd.LoadFromFile(cfg.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if raw.CurrentContext != "velodrome-local" {
		t.Errorf("current context %q, want velodrome-local", raw.CurrentContext)
	}
	rest, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if rest.Host != "https://127.0.0.1:12345" {
		t.Errorf("server %s", rest.Host)
	}
	info, err := os.Stat(cfg.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if perm := info.Mode().Perm(); perm != 0o600 {
		t.Errorf("others may read the administrator's key: %v", perm)
	}
}

func TestSystemObjectsAreComplete(t *testing.T) {
	objects, err := systemObjects()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName())
		b, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "$(") {
			t.Errorf("a variable is not filled in: %s", b)
		}
	}
	golden(t, "system", strings.Join(got, "\n")+"\n")
}
