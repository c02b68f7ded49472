package stack

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Settings are what a stack is told in its Pulumi.<stack>.yaml, below the namespace
// velodrome. Pulumi.yaml declares each with its type, default and description.
type Settings struct {
	// ConfigFile is the path of config.yaml.
	ConfigFile string
	// Projects are those of config.yaml that the stack includes; none means all.
	Projects []string
	// GCPProject and GCPRegion are where the addresses are: the cluster's.
	GCPProject, GCPRegion string
	// ManagedZone is the Cloud DNS zone for the domains; empty means no records.
	ManagedZone string
	// KubeContext is the context of the kubeconfig; empty means the current one.
	KubeContext string
	// StorageClass of the claims; empty means the cluster's default.
	StorageClass string
	// Images replace those of components.DefaultImages, by part.
	Images map[string]string
	// Protect keeps Pulumi from deleting what holds data, and the addresses.
	Protect bool
	// SecretKey is what the passwords are derived from.
	SecretKey []byte
	// Passwords are set outright, by project and account.
	Passwords map[string]map[string]string
}

// minKeyBytes is the size of the secret key: as much as HKDF-SHA-256 can use.
const minKeyBytes = 32

// readSettings returns the stack's settings, or one error with all their faults.
func readSettings(ctx *pulumi.Context) (Settings, error) {
	r := settingsReader{ctx: ctx}
	s := Settings{
		ConfigFile:   r.text("configFile", "config.yaml"),
		GCPProject:   r.required("gcpProject", "my-gcp-project"),
		GCPRegion:    r.required("gcpRegion", "us-central1"),
		ManagedZone:  r.text("managedZone", ""),
		KubeContext:  r.text("kubeContext", ""),
		StorageClass: r.text("storageClass", ""),
		Protect:      r.boolean("protect", true),
		SecretKey:    r.secretKey(),
	}
	r.object("projects", &s.Projects)
	r.object("images", &s.Images)
	if _, err := images(s.Images); err != nil {
		r.fault("images", err.Error())
	}
	r.object("passwords", &s.Passwords)
	if len(s.Passwords) > 0 && !ctx.IsConfigSecret(key("passwords")) {
		r.fault("passwords", "they are not encrypted. Set each with: pulumi config set --secret --path "+
			"velodrome:passwords.PROJECT.ACCOUNT")
	}
	return s, errors.Join(r.faults...)
}

// settingsReader reads single settings and collects what is wrong with them.
type settingsReader struct {
	ctx    *pulumi.Context
	faults []error
}

func key(name string) string { return "velodrome:" + name }

func (r *settingsReader) fault(name, text string) {
	r.faults = append(r.faults, fmt.Errorf("Pulumi.%s.yaml: %s: %s", r.ctx.Stack(), key(name), text))
}

func (r *settingsReader) text(name, otherwise string) string {
	if v, ok := r.ctx.GetConfig(key(name)); ok && v != "" {
		return v
	}
	return otherwise
}

func (r *settingsReader) required(name, example string) string {
	v := r.text(name, "")
	if v == "" {
		r.fault(name, fmt.Sprintf("it is not set. Set it with: pulumi config set %s %s", key(name), example))
	}
	return v
}

func (r *settingsReader) boolean(name string, otherwise bool) bool {
	text := r.text(name, strconv.FormatBool(otherwise))
	v, err := strconv.ParseBool(text)
	if err != nil {
		r.fault(name, fmt.Sprintf("%q is neither true nor false", text))
	}
	return v
}

// object reads a setting that is a list or a map, which Pulumi gives as JSON.
func (r *settingsReader) object(name string, into any) {
	text := r.text(name, "null")
	if err := json.Unmarshal([]byte(text), into); err != nil {
		// The text is not repeated: it may hold a password.
		r.fault(name, "it has not the form that Pulumi.yaml describes: "+typeFault(err))
	}
}

// typeFault says what is wrong with a JSON text without repeating any of it.
func typeFault(err error) string {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return fmt.Sprintf("a %s stands where a %s belongs", t.Value, t.Type)
	}
	return "it is not a list or a map"
}

// secretKeyCommand makes a key and keeps it encrypted.
const secretKeyCommand = `pulumi config set --secret velodrome:secretKey "$(openssl rand -base64 32)"`

func (r *settingsReader) secretKey() []byte {
	text := r.text("secretKey", "")
	decoded, err := base64.StdEncoding.DecodeString(text)
	switch {
	case text == "":
		r.fault("secretKey", "it is not set; every password is derived from it. Set it once, and keep a copy where your team keeps its secrets:\n  "+secretKeyCommand)
	case !r.ctx.IsConfigSecret(key("secretKey")):
		r.fault("secretKey", "it is not encrypted. Make another, since this one has been in a plain file:\n  "+secretKeyCommand)
	case err != nil:
		r.fault("secretKey", "it is not base64. Set it with:\n  "+secretKeyCommand)
	case len(decoded) < minKeyBytes:
		r.fault("secretKey", fmt.Sprintf("it has %d bytes, and %d are needed. Set it with:\n  %s", len(decoded), minKeyBytes, secretKeyCommand))
	}
	return decoded
}
