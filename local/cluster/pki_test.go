package cluster

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// serial is the serial number of a certificate in a folder.
func serial(t *testing.T, dir, name string) string {
	t.Helper()
	cert, _, err := loadPair(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return cert.SerialNumber.String()
}

func ensure(t *testing.T, dir string, now time.Time) {
	t.Helper()
	if err := ensurePKI(dir, identities(), now); err != nil {
		t.Fatal(err)
	}
}

func TestServersAreTrustedUnderTheNamesTheyAreCalledBy(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ensure(t, dir, now)
	ca, _, err := loadPair(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, c := range []struct{ file, name string }{
		{"apiserver", "127.0.0.1"}, {"apiserver", "localhost"}, {"apiserver", "10.96.0.1"}, {"apiserver", "172.30.0.1"},
		{"apiserver", "kubernetes.default.svc"}, {"apiserver", "kubernetes.default.svc.cluster.local"},
		{"kubelet", "172.30.0.1"},
	} {
		cert, _, err := loadPair(dir, c.file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: c.name, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
			t.Errorf("%s as %s: %v", c.file, c.name, err)
		}
	}
}

func TestRestartKeepsKeys(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ensure(t, dir, now)
	before := map[string]string{"ca": serial(t, dir, "ca"), "admin": serial(t, dir, "admin"), "apiserver": serial(t, dir, "apiserver")}
	tokens, err := os.ReadFile(filepath.Join(dir, "sa.key"))
	if err != nil {
		t.Fatal(err)
	}
	ensure(t, dir, now.Add(365*24*time.Hour))
	for name, want := range before {
		if got := serial(t, dir, name); got != want {
			t.Errorf("%s was made anew a year later", name)
		}
	}
	if again, err := os.ReadFile(filepath.Join(dir, "sa.key")); err != nil || string(again) != string(tokens) {
		t.Errorf("the key of the tokens was made anew (%v)", err)
	}
}

func TestExpiringKeysAreMadeAnew(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ensure(t, dir, now)
	ca, admin := serial(t, dir, "ca"), serial(t, dir, "admin")
	ensure(t, dir, now.Add(validity-margin+time.Hour))
	if serial(t, dir, "ca") == ca || serial(t, dir, "admin") == admin {
		t.Error("keys about to expire were kept")
	}
}

func TestDamagedKeysAreMadeAnew(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(dir string) error
	}{
		{"certificate cut short", func(dir string) error { return os.Truncate(filepath.Join(dir, "admin.crt"), 40) }},
		{"key missing", func(dir string) error { return os.Remove(filepath.Join(dir, "admin.key")) }},
		{"key of another", func(dir string) error {
			return os.Rename(filepath.Join(dir, "kubelet.key"), filepath.Join(dir, "admin.key"))
		}},
		{"authority missing", func(dir string) error { return os.Remove(filepath.Join(dir, "ca.key")) }},
		{"public key of the tokens missing", func(dir string) error { return os.Remove(filepath.Join(dir, "sa.pub")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, now := t.TempDir(), time.Now()
			ensure(t, dir, now)
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			ensure(t, dir, now)
			ca, _, err := loadPair(dir, "ca")
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range identities() {
				cert, _, err := loadPair(dir, id.File)
				if err != nil {
					t.Errorf("%s: %v", id.File, err)
				} else if err := cert.CheckSignatureFrom(ca); err != nil {
					t.Errorf("%s: %v", id.File, err)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "sa.pub")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestChangedNamesMakeACertificateAnew(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ids := []identity{{File: "x", Name: "x", Server: true, DNS: []string{"a"}, IPs: []string{"10.0.0.1"}}}
	if err := ensurePKI(dir, ids, now); err != nil {
		t.Fatal(err)
	}
	before := serial(t, dir, "x")
	ids[0].IPs = []string{"10.0.0.2"}
	if err := ensurePKI(dir, ids, now); err != nil {
		t.Fatal(err)
	}
	if serial(t, dir, "x") == before {
		t.Error("the certificate still says the old address")
	}
}
