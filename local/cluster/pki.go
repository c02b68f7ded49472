package cluster

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// validity of every certificate: the cluster lasts as long as its user likes.
	validity = 10 * 365 * 24 * time.Hour
	// margin before the end of validity in which a certificate is made anew, at a start.
	margin = 90 * 24 * time.Hour
)

// identity is what a certificate of the cluster says.
type identity struct {
	File   string // base name of FILE.crt and FILE.key
	Name   string // common name: the user
	Groups []string
	Server bool // serves TLS too, under the names below
	DNS    []string
	IPs    []string
}

// identities of the cluster's parts, each with no more rights than it needs.
func identities() []identity {
	return []identity{
		{File: "apiserver", Name: "kube-apiserver", Server: true,
			DNS: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + clusterDomain, "localhost"},
			IPs: []string{"127.0.0.1", nodeIP, apiServiceIP}},
		{File: "apiserver-kubelet", Name: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
		{File: "admin", Name: "velodrome-admin", Groups: []string{"system:masters"}},
		{File: "controller-manager", Name: "system:kube-controller-manager"},
		{File: "scheduler", Name: "system:kube-scheduler"},
		{File: "proxy", Name: "system:kube-proxy"},
		{File: "netpol", Name: "velodrome:netpol"},
		{File: "kubelet", Name: "system:node:" + nodeName, Groups: []string{"system:nodes"}, Server: true,
			DNS: []string{nodeName}, IPs: []string{nodeIP}},
	}
}

// authority signs the cluster's certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// ensurePKI makes what is missing, damaged, about to expire, or no longer as wanted
// in a folder of keys and certificates: ca, the identities, and the key pair sa that
// signs the tokens of service accounts.
func ensurePKI(dir string, ids []identity, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of keys: %w", err)
	}
	ca, err := ensureCA(dir, now)
	if err != nil {
		return err
	}
	if err := ensureTokenKey(dir); err != nil {
		return err
	}
	for _, id := range ids {
		if err := ensureCertificate(dir, ca, id, now); err != nil {
			return err
		}
	}
	return nil
}

func ensureCA(dir string, now time.Time) (*authority, error) {
	if cert, key, err := loadPair(dir, "ca"); err == nil && cert.IsCA && fresh(cert, now) {
		return &authority{cert, key}, nil
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "velodrome-local"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(validity),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key}, savePair(dir, "ca", cert, key)
}

func ensureCertificate(dir string, ca *authority, id identity, now time.Time) error {
	if cert, _, err := loadPair(dir, id.File); err == nil && fresh(cert, now) && says(cert, id) && cert.CheckSignatureFrom(ca.cert) == nil {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	cert, err := sign(certificateTemplate(id, now), ca.cert, key.Public(), ca.key)
	if err != nil {
		return err
	}
	return savePair(dir, id.File, cert, key)
}

func certificateTemplate(id identity, now time.Time) *x509.Certificate {
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: id.Name, Organization: id.Groups},
		NotBefore:   now.Add(-time.Hour), // the clock may be set back a little
		NotAfter:    now.Add(validity),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames:    id.DNS,
	}
	if id.Server {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, ip := range id.IPs {
		t.IPAddresses = append(t.IPAddresses, net.ParseIP(ip))
	}
	return t
}

// fresh tells whether a certificate is valid now and for a good while yet.
func fresh(cert *x509.Certificate, now time.Time) bool {
	return now.After(cert.NotBefore) && now.Add(margin).Before(cert.NotAfter)
}

// says tells whether a certificate says what an identity wants.
func says(cert *x509.Certificate, id identity) bool {
	ips := make([]string, 0, len(cert.IPAddresses))
	for _, ip := range cert.IPAddresses {
		ips = append(ips, ip.String())
	}
	return cert.Subject.CommonName == id.Name &&
		slices.Equal(cert.Subject.Organization, id.Groups) &&
		slices.Equal(cert.DNSNames, id.DNS) &&
		slices.Equal(ips, id.IPs) &&
		slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) == id.Server
}

// ensureTokenKey makes the key pair of the service accounts' tokens.
func ensureTokenKey(dir string) error {
	if key, err := loadKey(filepath.Join(dir, "sa.key")); err == nil {
		if pub, err := publicPEM(key); err == nil {
			if have, err := os.ReadFile(filepath.Join(dir, "sa.pub")); err == nil && bytes.Equal(have, pub) {
				return nil
			}
		}
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	pub, err := publicPEM(key)
	if err != nil {
		return err
	}
	if err := saveKey(filepath.Join(dir, "sa.key"), key); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "sa.pub"), pub, 0o600)
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

// sign gives the template a serial number and has it signed.
func sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

func publicPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode a public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func savePair(dir, name string, cert *x509.Certificate, key *ecdsa.PrivateKey) error {
	if err := saveKey(filepath.Join(dir, name+".key"), key); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600)
}

func saveKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode a key: %w", err)
	}
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// loadPair reads NAME.crt and NAME.key, which must belong together.
func loadPair(dir, name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := loadKey(filepath.Join(dir, name+".key"))
	if err != nil {
		return nil, nil, err
	}
	der, err := loadPEM(filepath.Join(dir, name+".crt"), "CERTIFICATE")
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("%s.crt and %s.key do not belong together", name, name)
	}
	return cert, key, nil
}

func loadKey(path string) (*ecdsa.PrivateKey, error) {
	der, err := loadPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a key of another kind", path)
	}
	return ec, nil
}

func loadPEM(path, kind string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s holds no %s", path, kind)
	}
	return block.Bytes, nil
}

// writeFile replaces a file whole, or leaves it alone where it is right already, so
// that a crash leaves no half of one.
func writeFile(path string, content []byte, perm fs.FileMode) error {
	have, err := os.ReadFile(path)
	if err == nil && bytes.Equal(have, content) {
		return os.Chmod(path, perm)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, content, perm); err != nil {
		return err
	}
	if err := os.Chmod(temp, perm); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
