package stack

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gopkg.in/yaml.v3"
)

// settings are a stack's file, as Pulumi writes it.
type settings struct {
	EncryptionSalt string         `yaml:"encryptionsalt,omitempty"`
	Config         map[string]any `yaml:"config"`
}

// KubeContext is the context that Pulumi.local.yaml names.
func (s Stack) KubeContext() (string, error) {
	base, err := readSettings(filepath.Join(s.Repo, "Pulumi.local.yaml"))
	if err != nil {
		return "", err
	}
	name, _ := base.Config["velodrome:kubeContext"].(string)
	return name, nil
}

// writeConfig writes the settings that pulumi reads. What was added to them by hand
// (`pulumi config set`) stays, as do the key and the salt that encrypts it.
func (s Stack) writeConfig(images map[string]string) error {
	base, err := readSettings(filepath.Join(s.Repo, "Pulumi.local.yaml"))
	if err != nil {
		return err
	}
	kept, err := readSettings(s.ConfigFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w; put it right, or delete it: the next run makes it anew, with new passwords", err)
	}
	if kept.Config == nil {
		kept.Config = map[string]any{}
	}
	for k, v := range base.Config {
		kept.Config[k] = v
	}
	if len(images) > 0 {
		kept.Config["velodrome:images"] = images
	}
	text, err := yaml.Marshal(kept)
	if err != nil {
		return fmt.Errorf("write the stack's settings: %w", err)
	}
	header := "# Made from Pulumi.local.yaml at each `make up`; what `pulumi config set` adds stays.\n"
	if err := replaceFile(s.ConfigFile(), append([]byte(header), text...)); err != nil {
		return fmt.Errorf("write the stack's settings: %w", err)
	}
	return nil
}

// hasKey tells whether the stack has its secret key.
func (s Stack) hasKey() (bool, error) {
	have, err := readSettings(s.ConfigFile())
	return have.Config["velodrome:secretKey"] != nil, err
}

// newKey returns a secret key for a stack: 32 random bytes in base64.
func newKey() string {
	key := make([]byte, 32)
	rand.Read(key) // never fails, by its documentation
	return base64.StdEncoding.EncodeToString(key)
}

func readSettings(path string) (settings, error) {
	var s settings
	text, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("read the stack's settings: %w", err)
	}
	if err := yaml.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read the stack's settings %s: %w", path, err)
	}
	return s, nil
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, text []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
