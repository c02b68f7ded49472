package graph

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	psaapi "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A name that changes is an object that is made anew, perhaps with an empty volume.
func TestNoURNOrObjectNameChangesUnnoticed(t *testing.T) {
	golden, err := filepath.Abs("testdata/urns.golden")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range graph(t) {
		fmt.Fprintf(&b, "%s  %s\n", strings.TrimPrefix(string(r.urn), "urn:pulumi:test::velodrome::"), r.objectName())
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("the graph is another one (if you mean it: go test ./graph -update):\n%s", diff)
	}
}

// One project's teardown must not reach, or wait for, another's.
func TestNoProjectDependsOnAnother(t *testing.T) {
	all := graph(t)
	project := map[string]string{}
	for _, r := range all {
		project[string(r.urn)] = r.project()
	}
	for _, r := range all {
		for _, urn := range dependencies(r) {
			if other := project[urn]; other != r.project() && other != "" {
				t.Errorf("%s depends on %s", r.urn, urn)
			}
		}
	}
}

func dependencies(r registered) []string {
	all := append(slices.Clone(r.rpc.GetDependencies()), r.rpc.GetParent(), r.rpc.GetDeletedWith())
	for _, d := range r.rpc.GetPropertyDependencies() {
		all = append(all, d.GetUrns()...)
	}
	return slices.DeleteFunc(all, func(urn string) bool { return urn == "" })
}

// A resource outside its project's component would survive `destroy --target`.
func TestEverythingOfAProjectIsBelowItsComponent(t *testing.T) {
	for _, r := range graph(t) {
		typ := string(r.urn.Type())
		if strings.HasPrefix(typ, "pulumi:") || typ == "velodrome:index:Project" {
			continue
		}
		if !strings.HasPrefix(string(r.urn.QualifiedType()), "velodrome:index:Project$") {
			t.Errorf("%s is not below a Project", r.urn)
		}
	}
}

// With a default provider, what is meant for one cluster ends up in another.
func TestEveryResourceHasAnExplicitProvider(t *testing.T) {
	for _, r := range graph(t) {
		pkg, _, _ := strings.Cut(string(r.urn.Type()), ":")
		if pkg != "kubernetes" && pkg != "gcp" {
			continue
		}
		want := "::pulumi:providers:" + pkg + "::" + pkg + "::"
		if !strings.Contains(r.rpc.GetProvider(), want) {
			t.Errorf("%s has the provider %q", r.urn, r.rpc.GetProvider())
		}
	}
}

// Data and addresses cannot be had again: what holds them is protected, and nothing
// that comes and goes with an update is.
func TestWhatHoldsDataIsProtected(t *testing.T) {
	holds := []string{
		"kubernetes:core/v1:Namespace", "kubernetes:core/v1:PersistentVolumeClaim", "gcp:compute/address:Address",
	}
	protected := 0
	for _, r := range graph(t) {
		if want := slices.Contains(holds, string(r.urn.Type())); r.rpc.GetProtect() != want {
			t.Errorf("%s: protect is %t", r.urn, r.rpc.GetProtect())
		}
		if r.rpc.GetProtect() {
			protected++
		}
	}
	if protected != 2*2+3+2 { // namespaces and addresses; three claims of one project, two of the other
		t.Errorf("%d resources are protected", protected)
	}
}

// An alias by name or parent could adopt an object that is another project's. Those by
// type are the SDK's own, for older versions of the Kubernetes API.
func TestNoResourceOfTheFirstReleaseTakesOverAnother(t *testing.T) {
	for _, r := range graph(t) {
		for _, a := range r.rpc.GetAliases() {
			if s := a.GetSpec(); s == nil || s.GetName() != "" || s.GetParentUrn() != "" || s.GetNoParent() {
				t.Errorf("%s has the alias %v", r.urn, a)
			}
		}
	}
}

// workload is a Deployment or a StatefulSet: what both have.
type workload struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Replicas *int32
		Selector *metav1.LabelSelector
		Template corev1.PodTemplateSpec
	}
}

func workloads(t *testing.T) map[string]workload {
	t.Helper()
	m := map[string]workload{}
	for _, r := range graph(t) {
		switch r.urn.Type() {
		case "kubernetes:apps/v1:Deployment", "kubernetes:apps/v1:StatefulSet":
			m[r.urn.Name()] = decode[workload](t, r.object())
		}
	}
	if len(m) != 5+3 {
		t.Fatalf("there are %d workloads", len(m))
	}
	return m
}

// The namespace enforces it: a pod that is not restricted never starts.
func TestEveryPodIsRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
	for name, d := range workloads(t) {
		for _, result := range evaluator.EvaluatePod(level, &d.Spec.Template.ObjectMeta, &d.Spec.Template.Spec) {
			if !result.Allowed {
				t.Errorf("%s: %s: %s", name, result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
	}
}

// Beyond what Pod Security asks for.
func TestEveryContainerIsProbedBoundedAndReadOnly(t *testing.T) {
	for name, d := range workloads(t) {
		spec := d.Spec.Template.Spec
		if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
			t.Errorf("%s mounts a service account token", name)
		}
		for _, c := range slices.Concat(spec.Containers, spec.InitContainers) {
			if !*c.SecurityContext.ReadOnlyRootFilesystem {
				t.Errorf("%s/%s can write to its root file system", name, c.Name)
			}
			for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
				if list.Cpu().IsZero() || list.Memory().IsZero() {
					t.Errorf("%s/%s has the resources %v", name, c.Name, c.Resources)
				}
			}
		}
		for _, c := range spec.Containers {
			if c.StartupProbe == nil || c.ReadinessProbe == nil || c.LivenessProbe == nil {
				t.Errorf("%s/%s lacks a probe", name, c.Name)
			}
		}
	}
}

// A workload's selector can never change: with a version in it, every upgrade would
// be a replacement.
func TestSelectorsHoldNothingThatChanges(t *testing.T) {
	for name, d := range workloads(t) {
		keys := slices.Sorted(maps.Keys(d.Spec.Selector.MatchLabels))
		if want := []string{"app", "project"}; !slices.Equal(keys, want) {
			t.Errorf("%s selects by %v", name, keys)
		}
		for k, v := range d.Spec.Selector.MatchLabels {
			if d.Spec.Template.Labels[k] != v {
				t.Errorf("%s does not select its own pods", name)
			}
		}
	}
}

// Two pods on one volume: the second waits for the disk for ever.
func TestEveryVolumeHasOneWriter(t *testing.T) {
	writers := map[string]int{}
	for name, d := range workloads(t) {
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.PersistentVolumeClaim == nil {
				continue
			}
			writers[d.Namespace+"/"+v.PersistentVolumeClaim.ClaimName]++
			if *d.Spec.Replicas != 1 || d.Kind != "StatefulSet" {
				t.Errorf("%s has a volume, %d replicas, and is a %s", name, *d.Spec.Replicas, d.Kind)
			}
		}
	}
	if len(writers) != 3+2 {
		t.Errorf("there are %d volumes", len(writers))
	}
	for claim, n := range writers {
		if n != 1 {
			t.Errorf("%s has %d writers", claim, n)
		}
	}
}

// People who find a password in a preview, a state file or a pod spec have it.
func TestPasswordsStandInSecretsOnly(t *testing.T) {
	all := graph(t)
	passwords := map[string]bool{}
	for _, r := range all {
		if r.urn.Type() == "kubernetes:core/v1:Secret" {
			for file, content := range r.object()["stringData"].(map[string]any) {
				for _, p := range passwordsIn(file, content.(string)) {
					passwords[p] = true
				}
			}
		}
	}
	if len(passwords) != 2*(3+2) { // InfluxDB's three and Grafana's two, of each project
		t.Fatalf("found %d passwords", len(passwords))
	}
	for _, r := range all {
		walk(resource.NewObjectProperty(r.inputs), func(text string) {
			for p := range passwords {
				if strings.Contains(text, p) {
					t.Errorf("%s holds a password in clear", r.urn)
				}
			}
		})
	}
}

// passwordsIn returns the passwords in a file of a Secret.
func passwordsIn(file, content string) []string {
	if file == "retention" { // of each database: no secret, but part of the statements
		return nil
	}
	if !strings.HasSuffix(file, ".iql") {
		return []string{content}
	}
	var found []string
	for _, line := range strings.Split(content, "\n") {
		if before, after, ok := strings.Cut(line, " PASSWORD "); ok && strings.HasPrefix(before, "CREATE USER") {
			found = append(found, strings.Split(after, "'")[1])
		}
	}
	return found
}

// walk calls see for every text that is not marked as a secret.
func walk(v resource.PropertyValue, see func(string)) {
	switch {
	case v.IsSecret():
	case v.IsString():
		see(v.StringValue())
	case v.IsObject():
		for _, e := range v.ObjectValue() {
			walk(e, see)
		}
	case v.IsArray():
		for _, e := range v.ArrayValue() {
			walk(e, see)
		}
	}
}
