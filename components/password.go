package components

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// Passwords derives the passwords of one project from the stack's secret key.
// The same key brings the same passwords back, so that a lost state loses none.
type Passwords struct {
	Key        []byte // the stack's secret key, 32 random bytes
	Stack      string
	Project    string
	Generation int // a higher one gives other passwords
}

// The accounts of a project, as they enter the derivation. A change of a name is a
// change of its password.
const (
	AccountGrafanaAdmin   = "grafana/admin"
	AccountInfluxDBAdmin  = "influxdb/admin"
	AccountInfluxDBWriter = "influxdb/writer"
	AccountInfluxDBReader = "influxdb/reader"
	// AccountGrafanaKey is the key under which Grafana encrypts what it keeps. It
	// stays the same over the generations: another one makes what people saved
	// unreadable.
	AccountGrafanaKey = "grafana/secret-key"
)

// Derive returns the password of an account: 32 characters of A-Z, a-z, 0-9, - and
// _, from 24 bytes of HKDF-SHA-256 (RFC 5869).
func (p Passwords) Derive(account string) (string, error) {
	// Lengths are part of the text, so that no two different inputs read the same.
	info := fmt.Sprintf("velodrome/1 %d:%s %d:%s %d:%s %d",
		len(p.Stack), p.Stack, len(p.Project), p.Project, len(account), account, p.Generation)
	b, err := hkdf.Key(sha256.New, p.Key, nil, info, 24)
	if err != nil {
		return "", fmt.Errorf("derive the password of %s of project %s: %w", account, p.Project, err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}
