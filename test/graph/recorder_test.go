// Package graph holds what must be true of the graph that the program declares,
// whatever engine carries it out. The graph is recorded over Pulumi's mocks; what it
// says is judged by the libraries that the real servers are made of.
package graph

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"velodrome/stack"
)

// registered is one resource as the program registered it.
type registered struct {
	urn    resource.URN
	inputs resource.PropertyMap // secrets are marked
	rpc    *pulumirpc.RegisterResourceRequest
}

// project returns the project that the resource belongs to; empty for the stack's own.
func (r registered) project() string {
	t := string(r.urn.QualifiedType())
	if !strings.HasPrefix(t, "velodrome:index:Project") {
		return ""
	}
	for _, p := range []string{"kubernetes", "kube"} { // the longer name first
		if name := r.urn.Name(); name == p || strings.HasPrefix(name, p+"-") {
			return p
		}
	}
	return r.urn.Name()
}

// objectName returns the name of the object in Kubernetes or GCP, "(auto)" where
// Pulumi makes one up, and empty for what has none.
func (r registered) objectName() string {
	m := r.object()
	if metadata, ok := m["metadata"].(map[string]any); ok {
		if name, ok := metadata["name"].(string); ok {
			return name
		}
		return "(auto)"
	}
	name, _ := m["name"].(string)
	return name
}

// object returns the inputs as plain values; secrets in clear.
func (r registered) object() map[string]any {
	return plain(resource.NewObjectProperty(r.inputs)).(map[string]any)
}

func plain(v resource.PropertyValue) any {
	switch {
	case v.IsSecret():
		return plain(v.SecretValue().Element)
	case v.IsOutput():
		return plain(v.OutputValue().Element)
	case v.IsObject():
		m := map[string]any{}
		for k, e := range v.ObjectValue() {
			m[string(k)] = plain(e)
		}
		return m
	case v.IsArray():
		a := []any{}
		for _, e := range v.ArrayValue() {
			a = append(a, plain(e))
		}
		return a
	default:
		return v.V
	}
}

// decode turns the inputs into a type of the Kubernetes API.
func decode[T any](t *testing.T, v any) T {
	t.Helper()
	var into T
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &into)
	}
	if err != nil {
		t.Fatalf("read %T back: %v", into, err)
	}
	return into
}

// recorder is a monitor that accepts everything and keeps it.
type recorder struct {
	mu   sync.Mutex
	zone string // the DNS name of the managed zone
	all  []registered
}

func (r *recorder) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if args.Token != "gcp:dns/getManagedZone:getManagedZone" {
		return nil, fmt.Errorf("unexpected call of %s", args.Token)
	}
	return resource.NewPropertyMapFromMap(map[string]any{
		"id": "zone", "name": "zone", "dnsName": r.zone, "nameServers": []any{}, "visibility": "public",
		"description": "", "managedZoneId": 1.0,
	}), nil
}

func (r *recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	parent := resource.URN(args.RegisterRPC.GetParent())
	parentType := parent.QualifiedType()
	if parent == "" || parentType == resource.RootStackType {
		parentType = ""
	}
	r.all = append(r.all, registered{
		urn:    resource.NewURN("test", "velodrome", parentType, tokens.Type(args.TypeToken), args.Name),
		inputs: args.Inputs,
		rpc:    args.RegisterRPC,
	})
	return args.Name + "-id", answer(args), nil
}

// answer is what the cloud adds: made-up names, an address.
func answer(args pulumi.MockResourceArgs) resource.PropertyMap {
	out := args.Inputs.Copy()
	if metadata, ok := out["metadata"]; ok && metadata.IsObject() {
		named := metadata.ObjectValue().Copy()
		if _, ok := named["name"]; !ok {
			named["name"] = resource.NewStringProperty(args.Name + "-0123abcd")
		}
		out["metadata"] = resource.NewObjectProperty(named)
	}
	if strings.HasPrefix(args.TypeToken, "gcp:compute/address") {
		if _, ok := out["address"]; !ok {
			out["address"] = resource.NewStringProperty("203.0.113.7")
		}
	}
	return out
}

// settings are a stack's, as Pulumi hands them over.
type settings map[string]string

// goodSettings are those of a stack that has everything.
func goodSettings() settings {
	return settings{
		"velodrome:gcpProject":  "metrics",
		"velodrome:gcpRegion":   "us-central1",
		"velodrome:managedZone": "k8s-io",
		"velodrome:secretKey":   "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
	}
}

// declare runs the program over a file and returns what it declared.
func declare(t testing.TB, file string, s settings) (*recorder, error) {
	t.Helper()
	t.Chdir("../..")
	s["velodrome:configFile"] = file
	r := &recorder{zone: "k8s.io."}
	err := pulumi.RunErr(stack.Deploy, pulumi.WithMocks("velodrome", "test", r), func(info *pulumi.RunInfo) {
		info.Config = s
		info.ConfigSecretKeys = []string{"velodrome:secretKey", "velodrome:passwords"}
	})
	slices.SortFunc(r.all, func(a, b registered) int { return strings.Compare(string(a.urn), string(b.urn)) })
	return r, err
}

// graph declares testdata/config.yaml.
func graph(t testing.TB) []registered {
	t.Helper()
	file, err := filepath.Abs("testdata/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := declare(t, file, goodSettings())
	if err != nil {
		t.Fatal(err)
	}
	return r.all
}

// write puts a text into a file of the test's own.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
