package gcp

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	addressType = "gcp:compute/address:Address"
	recordType  = "gcp:dns/recordSet:RecordSet"
)

// engine talks to a plugin as Pulumi's engine does.
type engine struct {
	t *testing.T
	pulumirpc.ResourceProviderClient
}

// newEngine serves a plugin over a store, configured as a stack does it.
func newEngine(t *testing.T, s *Store) engine {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	srv := grpc.NewServer()
	pulumirpc.RegisterResourceProviderServer(srv, NewProvider(s))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	must(t, err)
	t.Cleanup(func() {
		must(t, conn.Close())
		srv.Stop()
		must(t, <-served)
	})
	e := engine{t, pulumirpc.NewResourceProviderClient(conn)}
	e.configure(props{"project": project, "region": region})
	return e
}

func (e engine) wire(p props) *structpb.Struct {
	e.t.Helper()
	s, err := encode(p, nil)
	must(e.t, err)
	return s
}

func (e engine) configure(p props) {
	e.t.Helper()
	_, err := e.Configure(e.t.Context(), &pulumirpc.ConfigureRequest{Args: e.wire(p), AcceptSecrets: true})
	must(e.t, err)
}

func urn(typ, name string) string {
	return "urn:pulumi:dev::velodrome::velodrome:index:Project$" + typ + "::" + name
}

func (e engine) check(typ string, olds, news props) (props, []string) {
	e.t.Helper()
	res, err := e.Check(e.t.Context(), &pulumirpc.CheckRequest{Urn: urn(typ, "main"), Olds: e.wire(olds), News: e.wire(news), RandomSeed: []byte{1, 2, 3, 4}})
	must(e.t, err)
	in, _ := decode(res.GetInputs())
	var reasons []string
	for _, f := range res.GetFailures() {
		reasons = append(reasons, f.GetReason())
	}
	return in, reasons
}

// checked are inputs that must pass.
func (e engine) checked(typ string, news props) props {
	e.t.Helper()
	in, reasons := e.check(typ, nil, news)
	if len(reasons) > 0 {
		e.t.Fatalf("refused: %v", reasons)
	}
	return in
}

func (e engine) create(typ string, in props) (string, props, error) {
	e.t.Helper()
	res, err := e.Create(e.t.Context(), &pulumirpc.CreateRequest{Urn: urn(typ, "main"), Properties: e.wire(in)})
	out, _ := decode(res.GetProperties())
	return res.GetId(), out, err
}

func (e engine) created(typ string, news props) (string, props) {
	e.t.Helper()
	id, out, err := e.create(typ, e.checked(typ, news))
	must(e.t, err)
	return id, out
}

func (e engine) preview(typ string, news props) props {
	e.t.Helper()
	res, err := e.Create(e.t.Context(), &pulumirpc.CreateRequest{Urn: urn(typ, "main"), Properties: e.wire(e.checked(typ, news)), Preview: true})
	must(e.t, err)
	if res.GetId() != "" {
		e.t.Errorf("a preview gave the id %s", res.GetId())
	}
	out, _ := decode(res.GetProperties())
	return out
}

func (e engine) read(typ, id string, in, out props) (*pulumirpc.ReadResponse, props, props) {
	e.t.Helper()
	res, err := e.Read(e.t.Context(), &pulumirpc.ReadRequest{Urn: urn(typ, "main"), Id: id, Inputs: e.wire(in), Properties: e.wire(out)})
	must(e.t, err)
	now, _ := decode(res.GetProperties())
	inputs, _ := decode(res.GetInputs())
	return res, inputs, now
}

func (e engine) update(typ, id string, old, in props, preview bool) (props, error) {
	e.t.Helper()
	res, err := e.Update(e.t.Context(), &pulumirpc.UpdateRequest{Urn: urn(typ, "main"), Id: id, Olds: e.wire(old), News: e.wire(in), Preview: preview})
	out, _ := decode(res.GetProperties())
	return out, err
}

func (e engine) delete(typ, id string, out props) error {
	e.t.Helper()
	_, err := e.Delete(e.t.Context(), &pulumirpc.DeleteRequest{Urn: urn(typ, "main"), Id: id, Properties: e.wire(out)})
	return err
}

// changes tells what a diff says, a line a property, and how it replaces.
func (e engine) changes(typ, id string, old, in props) []string {
	e.t.Helper()
	res, err := e.Diff(e.t.Context(), &pulumirpc.DiffRequest{Urn: urn(typ, "main"), Id: id, Olds: e.wire(old), News: e.wire(in)})
	must(e.t, err)
	var lines []string
	for path, d := range res.GetDetailedDiff() {
		lines = append(lines, path+" "+d.GetKind().String())
	}
	slices.Sort(lines)
	if (len(lines) > 0) != (res.GetChanges() == pulumirpc.DiffResponse_DIFF_SOME) {
		e.t.Errorf("%d changes are %s", len(lines), res.GetChanges())
	}
	if replaces := strings.Contains(strings.Join(lines, " "), "_REPLACE"); replaces != (len(res.GetReplaces()) > 0) {
		e.t.Errorf("%v, and it replaces %v", lines, res.GetReplaces())
	}
	if res.GetDeleteBeforeReplace() {
		lines = append(lines, "delete first")
	}
	return lines
}

func rpcMessage(err error) string {
	if err == nil {
		return ""
	}
	return status.Convert(err).Message()
}

func TestBadInputsOfTheProgramAreRefusedAtPreview(t *testing.T) {
	e := newEngine(t, zoneStore(t))
	record := func(change props) props {
		p := props{"managedZone": "zone", "name": "www.example.test.", "type": "A", "ttl": 300.0, "rrdatas": []any{"203.0.113.1"}}
		maps.Copy(p, change)
		maps.DeleteFunc(p, func(_ string, v any) bool { return v == nil })
		return p
	}
	for name, c := range map[string]struct {
		typ  string
		in   props
		want []string
	}{
		"an address with a bad name":              {addressType, props{"name": "Foo_Bar"}, []string{`"name" ("Foo_Bar") doesn't match regexp "^(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)$". Examine values at 'main.name'.`}},
		"an address with a long name":             {addressType, props{"name": strings.Repeat("x", 64)}, []string{`"name" ("` + strings.Repeat("x", 64) + `") doesn't match regexp "^(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)$". Examine values at 'main.name'.`}},
		"an address with a typo":                  {addressType, props{"name": "a", "adress": "1.2.3.4"}, []string{"Invalid or unknown key. Examine values at 'main.adress'."}},
		"an address with an unknown type":         {addressType, props{"name": "a", "addressType": "PUBLIC"}, []string{`expected address_type to be one of ["EXTERNAL" "INTERNAL" ""], got PUBLIC. Examine values at 'main.addressType'.`}},
		"an address with an unknown tier":         {addressType, props{"name": "a", "networkTier": "GOLD"}, []string{`expected network_tier to be one of ["PREMIUM" "STANDARD" ""], got GOLD. Examine values at 'main.networkTier'.`}},
		"an internal address":                     {addressType, props{"name": "a", "addressType": "INTERNAL"}, []string{"the stand-in for GCP has no internal addresses. Examine values at 'main.addressType'."}},
		"an internal address by its network":      {addressType, props{"name": "a", "subnetwork": "default"}, []string{"the stand-in for GCP has no internal addresses. Examine values at 'main.subnetwork'."}},
		"an IPv6 address":                         {addressType, props{"name": "a", "ipVersion": "IPV6"}, []string{"the stand-in for GCP has no IPv6 addresses. Examine values at 'main.ipVersion'."}},
		"a range":                                 {addressType, props{"name": "a", "prefixLength": 24.0}, []string{"the stand-in for GCP has no address ranges. Examine values at 'main.prefixLength'."}},
		"labels that are a list":                  {addressType, props{"name": "a", "labels": []any{"x"}}, []string{"'labels' expected type 'map', got unconvertible type '[]interface {}', value: '[x]'. Examine values at 'main.labels'."}},
		"two faults at once":                      {addressType, props{"name": "A", "foo": "x"}, []string{`"name" ("A") doesn't match regexp "^(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)$". Examine values at 'main.name'.`, "Invalid or unknown key. Examine values at 'main.foo'."}},
		"a record without its last dot":           {recordType, record(props{"name": "www.example.test"}), []string{`"name" ("www.example.test") doesn't end with ".", name field must end with trailing dot, for example test.example.com. (note the trailing dot). Examine values at 'main.name'.`}},
		"a record with an empty name":             {recordType, record(props{"name": ""}), []string{"the empty string is not a valid name field value. Examine values at 'main.name'."}},
		"a record without a zone":                 {recordType, record(props{"managedZone": nil}), []string{"Missing required property 'managedZone'"}},
		"a record without a type":                 {recordType, record(props{"type": nil}), []string{"Missing required property 'type'"}},
		"a record without data":                   {recordType, record(props{"rrdatas": nil}), []string{"\"rrdatas\": one of `routing_policy,rrdatas` must be specified (the stand-in for GCP has rrdatas only)"}},
		"a record with a routing policy":          {recordType, record(props{"routingPolicy": map[string]any{}}), []string{"Invalid or unknown key. Examine values at 'main.routingPolicy'."}},
		"a record with labels, which it has none": {recordType, record(props{"labels": map[string]any{"a": "b"}}), []string{"Invalid or unknown key. Examine values at 'main.labels'."}},
		"a TTL in words":                          {recordType, record(props{"ttl": "five minutes"}), []string{"'ttl' expected type 'int', got unconvertible type 'string', value: 'five minutes'. Examine values at 'main.ttl'."}},
		"a TTL with a fraction":                   {recordType, record(props{"ttl": 1.5}), []string{"'ttl' expected type 'int', got unconvertible type 'float64', value: '1.5'. Examine values at 'main.ttl'."}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, reasons := e.check(c.typ, nil, c.in); !slices.Equal(reasons, c.want) {
				t.Errorf("got  %q\nwant %q", reasons, c.want)
			}
		})
	}
}

func TestBadInputsThatOnlyGCPKnowsAreRefusedAtUp(t *testing.T) {
	s := zoneStore(t)
	e := newEngine(t, s)
	reserve(t, s, Address{Name: "taken", Address: "104.197.200.129"})
	record := func(name string) props {
		return props{"managedZone": "zone", "name": name, "type": "A", "rrdatas": []any{"203.0.113.1"}}
	}
	elsewhere := record("www.example.test.")
	elsewhere["managedZone"] = "nope"
	for name, c := range map[string]struct {
		typ  string
		in   props
		want string
	}{
		"a name that is taken":          {addressType, props{"name": "taken"}, "Error creating Address: googleapi: Error 409: The resource 'projects/velodrome-test/regions/us-central1/addresses/taken' already exists, alreadyExists"},
		"an address of another name":    {addressType, props{"name": "a", "address": "104.197.200.129"}, "Error creating Address: googleapi: Error 400: Invalid value for field 'resource.address': '104.197.200.129'.  Specified IP address is already reserved., invalid"},
		"a private address":             {addressType, props{"name": "a", "address": "192.168.1.1"}, "Error creating Address: googleapi: Error 400: Invalid value for field 'resource.address': '192.168.1.1'. Must be an external IPv4 address., invalid"},
		"a region that there is not":    {addressType, props{"name": "a", "region": "mars"}, "Error creating Address: googleapi: Error 400: Invalid value for field 'region': 'mars'. Unknown region., invalid"},
		"a zone that there is not":      {recordType, elsewhere, `Error retrieving record sets for "nope": googleapi: Error 404: The 'parameters.managedZone' resource named 'nope' does not exist., notFound`},
		"a record outside of its zone":  {recordType, record("www.elsewhere.test."), "Error creating DNS RecordSet: googleapi: Error 400: Invalid value for 'entity.change.additions[0].name': 'www.elsewhere.test.', invalid"},
		"a record with an empty label":  {recordType, record("a..example.test."), "Error creating DNS RecordSet: googleapi: Error 400: Invalid value for 'entity.change.additions[0].name': 'a..example.test.', invalid"},
		"a record above of its own":     {recordType, record("test."), "Error creating DNS RecordSet: googleapi: Error 400: Invalid value for 'entity.change.additions[0].name': 'test.', invalid"},
		"an unknown type of a resource": {"gcp:storage/bucket:Bucket", nil, "the stand-in for GCP has no resource gcp:storage/bucket:Bucket; it has gcp:compute/address:Address, gcp:dns/recordSet:RecordSet"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := e.create(c.typ, c.in); rpcMessage(err) != c.want {
				t.Errorf("got  %s\nwant %s", rpcMessage(err), c.want)
			}
		})
	}
}

func TestBadConfigurationOfTheProviderIsRefused(t *testing.T) {
	e := newEngine(t, newStore(t))
	for name, c := range map[string]struct {
		in   props
		want []string
	}{
		"all well":             {props{"project": "velodrome-test", "region": "us-central1", "version": "7.38.0", "dnsCustomEndpoint": "http://x"}, nil},
		"not known yet":        {props{"project": unknown{}}, nil},
		"an unknown key":       {props{"projct": "x"}, []string{"could not validate provider configuration: Invalid or unknown key. Examine values at 'gcp.projct'."}},
		"a bad project":        {props{"project": "Foo_Bar"}, []string{`could not validate provider configuration: "project" ("Foo_Bar") doesn't match regexp "` + strings.ReplaceAll(projectRule.String(), `\`, `\\`) + `". Examine values at 'gcp.project'.`}},
		"a zone for a region":  {props{"region": "us-central1-a"}, []string{`could not validate provider configuration: "region" ("us-central1-a") is not the name of a region, as us-central1 is. Examine values at 'gcp.region'.`}},
		"a region in capitals": {props{"region": "US"}, []string{`could not validate provider configuration: "region" ("US") is not the name of a region, as us-central1 is. Examine values at 'gcp.region'.`}},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := e.CheckConfig(t.Context(), &pulumirpc.CheckRequest{Urn: "urn:pulumi:dev::velodrome::pulumi:providers:gcp::gcp", News: e.wire(c.in)})
			must(t, err)
			var reasons []string
			for _, f := range res.GetFailures() {
				reasons = append(reasons, f.GetReason())
			}
			if !slices.Equal(reasons, c.want) {
				t.Errorf("got  %q\nwant %q", reasons, c.want)
			}
		})
	}
}

func TestLackOfProjectOrRegionIsTold(t *testing.T) {
	for _, v := range slices.Concat(projectVariables, regionVariables, zoneVariables) {
		t.Setenv(v, "")
	}
	e := newEngine(t, newStore(t))
	e.configure(props{})
	if _, _, err := e.create(addressType, props{"name": "a"}); rpcMessage(err) != "project: required field is not set" {
		t.Errorf("got %v", err)
	}
	e.configure(props{"project": project})
	if _, _, err := e.create(addressType, props{"name": "a"}); rpcMessage(err) != "Cannot determine region: set in this resource, or set provider-level 'region' or 'zone'." {
		t.Errorf("got %v", err)
	}
	e.configure(props{"project": project, "zone": "europe-west1-b"})
	if id, _, err := e.create(addressType, props{"name": "a"}); err != nil || id != "projects/velodrome-test/regions/europe-west1/addresses/a" {
		t.Errorf("got %s, %v", id, err)
	}
}

func TestPreviewHasNoEffect(t *testing.T) {
	s := zoneStore(t)
	e := newEngine(t, s)
	before, err := os.ReadFile(s.Path())
	must(t, err)
	out := e.preview(addressType, props{"name": "ip", "labels": map[string]any{"app": "nginx"}})
	for _, key := range []string{"address", "selfLink", "creationTimestamp", "users", "region"} {
		if out[key] != (unknown{}) {
			t.Errorf("before it is made, %s is %v", key, out[key])
		}
	}
	if out.text("name") != "ip" || out.text("project") != project || out.text("addressType") != "EXTERNAL" || out.table("effectiveLabels")["app"] != "nginx" {
		t.Errorf("got %v", out)
	}
	if asked := e.preview(addressType, props{"name": "ip", "address": "104.197.200.129"}); asked.text("address") != "104.197.200.129" {
		t.Errorf("the address that is asked for is %v", asked["address"])
	}
	out = e.preview(recordType, props{"managedZone": "zone", "name": unknown{}, "type": "A", "rrdatas": []any{unknown{}}})
	if out["name"] != (unknown{}) || !isUnknown(out["rrdatas"]) || out.text("project") != project {
		t.Errorf("got %v", out)
	}
	if after, err := os.ReadFile(s.Path()); err != nil || string(after) != string(before) {
		t.Errorf("the preview changed the state: %s, %v", after, err)
	}
}

func TestLifeOfAnAddress(t *testing.T) {
	s := newStore(t)
	e := newEngine(t, s)
	news := props{"name": "velodrome-kubernetes", "description": "nginx of kubernetes", "labels": map[string]any{"app": "nginx"}}
	in := e.checked(addressType, news)
	id, out, err := e.create(addressType, in)
	must(t, err)
	const wantID = "projects/velodrome-test/regions/us-central1/addresses/velodrome-kubernetes"
	if id != wantID {
		t.Errorf("the id is %s", id)
	}
	created := out.text("creationTimestamp")
	want := props{
		"address": "203.0.113.1", "addressType": "EXTERNAL", "creationTimestamp": created, "description": "nginx of kubernetes",
		"effectiveLabels": map[string]any{"app": "nginx"}, "ipVersion": "", "ipv6EndpointType": "", "labelFingerprint": out["labelFingerprint"],
		"labels": map[string]any{"app": "nginx"}, "name": "velodrome-kubernetes", "network": "", "networkTier": "PREMIUM", "prefixLength": 0.0,
		"project": project, "pulumiLabels": map[string]any{"app": "nginx"}, "purpose": "", "region": region,
		"selfLink": "https://www.googleapis.com/compute/v1/" + wantID, "subnetwork": "", "users": []any{},
	}
	if !reflect.DeepEqual(out, want) {
		t.Errorf("got  %v\nwant %v", out, want)
	}
	if got := e.changes(addressType, id, out, in); len(got) > 0 {
		t.Errorf("just made, it changes: %v", got)
	}

	// A second one of the name.
	if _, _, err := e.create(addressType, in); rpcMessage(err) != "Error creating Address: googleapi: Error 409: The resource '"+wantID+"' already exists, alreadyExists" {
		t.Errorf("the second time: %v", err)
	}

	// A refresh.
	res, inputs, now := e.read(addressType, id, in, out)
	if res.GetId() != id || !reflect.DeepEqual(now, out) || !reflect.DeepEqual(inputs, in) {
		t.Errorf("refreshed it is\n%v from %v, want\n%v from %v", now, inputs, out, in)
	}

	// An import, by each form of its name.
	for _, form := range []string{wantID, "velodrome-test/us-central1/velodrome-kubernetes", "us-central1/velodrome-kubernetes", "velodrome-kubernetes"} {
		res, inputs, now := e.read(addressType, form, nil, nil)
		if res.GetId() != wantID || !reflect.DeepEqual(now, out) {
			t.Errorf("imported as %s it is %s %v", form, res.GetId(), now)
		}
		if got := e.changes(addressType, id, now, e.checked(addressType, inputs)); len(got) > 0 {
			t.Errorf("imported as %s it changes: %v", form, got)
		}
	}

	// Another label.
	news["labels"] = map[string]any{"app": "web", "project": "kubernetes"}
	in = e.checked(addressType, news)
	if got := e.changes(addressType, id, out, in); !slices.Equal(got, []string{"labels.app UPDATE", "labels.project ADD"}) {
		t.Errorf("labels: %v", got)
	}
	planned, err := e.update(addressType, id, out, in, true)
	must(t, err)
	if a, err := s.Address(project, region, "velodrome-kubernetes"); err != nil || a.Labels["app"] != "nginx" {
		t.Errorf("the preview of an update changed the labels to %v, %v", a.Labels, err)
	}
	updated, err := e.update(addressType, id, out, in, false)
	must(t, err)
	if updated["labelFingerprint"] == out["labelFingerprint"] || planned["labelFingerprint"] != (unknown{}) {
		t.Errorf("the fingerprint was %v, planned %v, is %v", out["labelFingerprint"], planned["labelFingerprint"], updated["labelFingerprint"])
	}
	planned["labelFingerprint"] = updated["labelFingerprint"]
	if !reflect.DeepEqual(planned, updated) {
		t.Errorf("planned %v, got %v", planned, updated)
	}
	out = updated

	// In use, it stays.
	must(t, s.Use(out.text("address"), "velodrome-kubernetes/nginx"))
	const busy = "Error when reading or editing Address: googleapi: Error 400: The address resource '" + wantID + "' is already being used by 'projects/velodrome-test/regions/us-central1/forwardingRules/velodrome-kubernetes-nginx', resourceInUseByAnotherResource"
	if err := e.delete(addressType, id, out); rpcMessage(err) != busy {
		t.Errorf("deleting it in use: %v", err)
	}
	must(t, s.Release("velodrome-kubernetes/nginx"))

	// The end; the second time too, as somebody else may have done it.
	must(t, e.delete(addressType, id, out))
	must(t, e.delete(addressType, id, out))
	if res, _, _ := e.read(addressType, id, in, out); res.GetId() != "" {
		t.Errorf("deleted, it is still read as %s", res.GetId())
	}
	if all, err := s.Addresses(); err != nil || len(all) > 0 {
		t.Errorf("left: %v, %v", all, err)
	}
}

func TestWhatReplacesAnAddress(t *testing.T) {
	e := newEngine(t, newStore(t))
	base := props{"name": "ip", "description": "x", "networkTier": "PREMIUM", "region": region, "labels": map[string]any{"a-b": "c"}}
	id, out := e.created(addressType, maps.Clone(base))
	for name, c := range map[string]struct {
		change props
		want   []string
	}{
		"nothing":                        {props{}, nil},
		"the same address":               {props{"address": "203.0.113.1"}, nil},
		"the region by its link":         {props{"region": "https://www.googleapis.com/compute/v1/projects/p/regions/us-central1"}, nil},
		"no region, the provider's":      {props{"region": nil}, nil},
		"no tier, GCP's choice":          {props{"networkTier": nil}, nil},
		"IPv4, which it is":              {props{"ipVersion": "IPV4"}, nil},
		"another address":                {props{"address": "104.197.200.129"}, []string{"address UPDATE_REPLACE", "delete first"}},
		"an address not known yet":       {props{"address": unknown{}}, []string{"address UPDATE_REPLACE", "delete first"}},
		"another name":                   {props{"name": "ip2"}, []string{"name UPDATE_REPLACE", "delete first"}},
		"another region":                 {props{"region": "europe-west1"}, []string{"region UPDATE_REPLACE", "delete first"}},
		"another project":                {props{"project": "another"}, []string{"project UPDATE_REPLACE", "delete first"}},
		"another tier":                   {props{"networkTier": "STANDARD"}, []string{"networkTier UPDATE_REPLACE", "delete first"}},
		"another description":            {props{"description": "y"}, []string{"description UPDATE_REPLACE", "delete first"}},
		"no description":                 {props{"description": nil}, []string{"description DELETE_REPLACE", "delete first"}},
		"no labels":                      {props{"labels": nil}, []string{"labels DELETE"}},
		"labels not known yet":           {props{"labels": unknown{}}, []string{"labels UPDATE"}},
		"a label with a dash in its key": {props{"labels": map[string]any{"a-b": "d"}}, []string{`labels["a-b"] UPDATE`}},
	} {
		t.Run(name, func(t *testing.T) {
			news := maps.Clone(base)
			maps.Copy(news, c.change)
			if got := e.changes(addressType, id, out, e.checked(addressType, news)); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	t.Run("another project of the provider", func(t *testing.T) {
		e.configure(props{"project": "another", "region": region})
		want := []string{"project UPDATE_REPLACE", "delete first"}
		if got := e.changes(addressType, id, out, e.checked(addressType, base)); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("another region of the provider", func(t *testing.T) {
		e.configure(props{"project": project, "region": "europe-west1"})
		news := maps.Clone(base)
		delete(news, "region")
		if got := e.changes(addressType, id, out, e.checked(addressType, news)); len(got) > 0 {
			t.Errorf("got %q, want no change", got)
		}
	})
}

func TestAddressWithoutANameKeepsTheOneMadeUp(t *testing.T) {
	e := newEngine(t, newStore(t))
	in := e.checked(addressType, props{})
	if in.text("name") != "main-0102030" {
		t.Errorf("the name is %s", in["name"])
	}
	id, out, err := e.create(addressType, in)
	must(t, err)
	res, err := e.Check(t.Context(), &pulumirpc.CheckRequest{Urn: urn(addressType, "main"), Olds: e.wire(in), News: e.wire(props{"description": "x"}), RandomSeed: []byte{9, 9, 9, 9}})
	must(t, err)
	again, _ := decode(res.GetInputs())
	if again.text("name") != in.text("name") {
		t.Errorf("the name became %s", again["name"])
	}
	// Both can be there at once, so that the new one comes first.
	if got := e.changes(addressType, id, out, again); !slices.Equal(got, []string{"description ADD_REPLACE"}) {
		t.Errorf("got %q", got)
	}
}

func TestChangesMadeElsewhereAreFound(t *testing.T) {
	s := zoneStore(t)
	e := newEngine(t, s)
	in := e.checked(addressType, props{"name": "ip", "labels": map[string]any{"app": "nginx"}})
	id, out, err := e.create(addressType, in)
	must(t, err)
	_, err = s.SetLabels(project, region, "ip", map[string]string{"app": "other", "theirs": "x"})
	must(t, err)
	_, inputs, now := e.read(addressType, id, in, out)
	if got := now.table("labels"); !maps.Equal(got, map[string]string{"app": "other"}) {
		t.Errorf("the labels of the program are %v", got)
	}
	if got := now.table("effectiveLabels"); !maps.Equal(got, map[string]string{"app": "other", "theirs": "x"}) {
		t.Errorf("all labels are %v", got)
	}
	if got := inputs.table("labels")["app"]; got != "other" {
		t.Errorf("the inputs would bring %s", got)
	}
	if got := e.changes(addressType, id, now, in); !slices.Equal(got, []string{"labels.app UPDATE"}) {
		t.Errorf("got %q", got)
	}
	// The way back leaves alone what others put there.
	_, err = e.update(addressType, id, now, in, false)
	must(t, err)
	if a, err := s.Address(project, region, "ip"); err != nil || !maps.Equal(a.Labels, map[string]string{"app": "nginx", "theirs": "x"}) {
		t.Errorf("got %v, %v", a.Labels, err)
	}
}

func TestLabelsOfTheProviderAreOnEachAddress(t *testing.T) {
	s := newStore(t)
	e := newEngine(t, s)
	e.configure(props{"project": project, "region": region, "defaultLabels": `{"team":"test","app":"x"}`})
	id, out := e.created(addressType, props{"name": "ip", "labels": map[string]any{"app": "nginx"}})
	want := map[string]string{"team": "test", "app": "nginx"}
	if a, err := s.Address(project, region, "ip"); err != nil || !maps.Equal(a.Labels, want) || !maps.Equal(out.table("pulumiLabels"), want) {
		t.Errorf("got %v, %v and %v", a.Labels, err, out["pulumiLabels"])
	}
	if got := out.table("labels"); !maps.Equal(got, map[string]string{"app": "nginx"}) {
		t.Errorf("its own labels are %v", got)
	}
	if _, _, now := e.read(addressType, id, nil, out); !reflect.DeepEqual(now, out) {
		t.Errorf("refreshed it is %v, want %v", now, out)
	}
}

func TestLifeOfARecord(t *testing.T) {
	s := zoneStore(t)
	e := newEngine(t, s)
	news := props{"managedZone": "zone", "name": "velodrome.example.test.", "type": "A", "ttl": 300.0, "rrdatas": []any{"203.0.113.1"}}
	in := e.checked(recordType, news)
	id, out, err := e.create(recordType, in)
	must(t, err)
	const wantID = "projects/velodrome-test/managedZones/zone/rrsets/velodrome.example.test./A"
	want := maps.Clone(news)
	want["project"] = project
	if id != wantID || !reflect.DeepEqual(out, want) {
		t.Errorf("got %s %v, want %s %v", id, out, wantID, want)
	}
	if got := e.changes(recordType, id, out, in); len(got) > 0 {
		t.Errorf("just made, it changes: %v", got)
	}

	// A refresh and an import.
	if res, inputs, now := e.read(recordType, id, in, out); res.GetId() != id || !reflect.DeepEqual(now, out) || !reflect.DeepEqual(inputs, in) {
		t.Errorf("refreshed it is %v from %v", now, inputs)
	}
	for _, form := range []string{wantID, "velodrome-test/zone/velodrome.example.test./A", "zone/velodrome.example.test./A"} {
		res, inputs, now := e.read(recordType, form, nil, nil)
		if res.GetId() != wantID || !reflect.DeepEqual(now, out) {
			t.Errorf("imported as %s it is %s %v", form, res.GetId(), now)
		}
		if got := e.changes(recordType, id, now, e.checked(recordType, inputs)); len(got) > 0 {
			t.Errorf("imported as %s it changes: %v", form, got)
		}
	}

	// Another address.
	news["rrdatas"], news["ttl"] = []any{"203.0.113.2", "203.0.113.3"}, 60.0
	in = e.checked(recordType, news)
	if got := e.changes(recordType, id, out, in); !slices.Equal(got, []string{"rrdatas[0] UPDATE", "rrdatas[1] ADD", "ttl UPDATE"}) {
		t.Errorf("got %q", got)
	}
	if _, err := e.update(recordType, id, out, in, true); err != nil {
		t.Error(err)
	}
	if r, err := s.Record(project, "zone", "velodrome.example.test.", "A"); err != nil || r.TTL != 300 {
		t.Errorf("the preview of an update made it %v, %v", r, err)
	}
	out, err = e.update(recordType, id, out, in, false)
	must(t, err)
	if r, err := s.Record(project, "zone", "velodrome.example.test.", "A"); err != nil || r.TTL != 60 || len(r.Rrdatas) != 2 {
		t.Errorf("got %v, %v", r, err)
	}

	// Another type, in place.
	stale := maps.Clone(out)
	news["type"], news["rrdatas"] = "AAAA", []any{"2001:db8::1"}
	in = e.checked(recordType, news)
	out, err = e.update(recordType, id, out, in, false)
	must(t, err)
	if _, _, now := e.read(recordType, id, in, out); now.text("type") != "AAAA" {
		t.Errorf("of another type it is %v", now)
	}
	const other = "Error changing DNS RecordSet: googleapi: Error 404: The 'entity.change.deletions[0]' resource named 'velodrome.example.test. (A)' does not exist., notFound"
	if _, err := e.update(recordType, id, stale, in, false); rpcMessage(err) != other {
		t.Errorf("changing what is gone: %v", err)
	}

	must(t, e.delete(recordType, id, out))
	must(t, e.delete(recordType, id, out))
	if res, _, _ := e.read(recordType, id, in, out); res.GetId() != "" {
		t.Errorf("deleted, it is still read as %s", res.GetId())
	}
	if z, err := s.Zone(project, "zone"); err != nil || len(z.Records) > 0 {
		t.Errorf("left: %v, %v", z.Records, err)
	}
}

func TestWhatReplacesARecord(t *testing.T) {
	e := newEngine(t, zoneStore(t))
	base := props{"managedZone": "zone", "name": "www.example.test.", "type": "A", "ttl": 300.0, "rrdatas": []any{"203.0.113.1", "203.0.113.2"}}
	id, out := e.created(recordType, maps.Clone(base))
	for name, c := range map[string]struct {
		change props
		want   []string
	}{
		"another order of the data": {props{"rrdatas": []any{"203.0.113.2", "203.0.113.1"}}, nil},
		"the zone by its path":      {props{"managedZone": "projects/velodrome-test/managedZones/zone"}, nil},
		"the TTL in a string":       {props{"ttl": "300"}, nil},
		"another TTL":               {props{"ttl": 60.0}, []string{"ttl UPDATE"}},
		"no TTL":                    {props{"ttl": nil}, []string{"ttl DELETE"}},
		"less data":                 {props{"rrdatas": []any{"203.0.113.1"}}, []string{"rrdatas[1] DELETE"}},
		"data not known yet":        {props{"rrdatas": []any{unknown{}}}, []string{"rrdatas[0] UPDATE", "rrdatas[1] DELETE"}},
		"another type":              {props{"type": "TXT"}, []string{"type UPDATE"}},
		"another name":              {props{"name": "web.example.test."}, []string{"name UPDATE_REPLACE"}},
		"another zone":              {props{"managedZone": "other"}, []string{"managedZone UPDATE_REPLACE"}},
		"another project":           {props{"project": "another"}, []string{"project UPDATE_REPLACE"}},
	} {
		t.Run(name, func(t *testing.T) {
			news := maps.Clone(base)
			maps.Copy(news, c.change)
			if got := e.changes(recordType, id, out, e.checked(recordType, news)); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRecordThatIsThereIsTakenOver(t *testing.T) {
	s := zoneStore(t)
	e := newEngine(t, s)
	must(t, s.Change(project, "zone", []Record{{Name: "www.example.test.", Type: "A", TTL: 1, Rrdatas: []string{"198.51.100.1"}}}, nil))
	e.created(recordType, props{"managedZone": "zone", "name": "www.example.test.", "type": "A", "ttl": 300.0, "rrdatas": []any{"203.0.113.1"}})
	if r, err := s.Record(project, "zone", "www.example.test.", "A"); err != nil || r.TTL != 300 || r.Rrdatas[0] != "203.0.113.1" {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestRecordAtTheTopThatAZoneMustHaveStays(t *testing.T) {
	s := zoneStore(t)
	e := newEngine(t, s)
	id, out := e.created(recordType, props{"managedZone": "zone", "name": "example.test.", "type": "NS", "ttl": 300.0, "rrdatas": []any{"ns.elsewhere.test."}})
	must(t, e.delete(recordType, id, out))
	if r, err := s.Record(project, "zone", "example.test.", "NS"); err != nil || r.Rrdatas[0] != "ns.elsewhere.test." {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestBadImportIsTold(t *testing.T) {
	e := newEngine(t, zoneStore(t))
	for typ, want := range map[string]string{
		addressType: `Import id "a/b/c/d" doesn't match any of the accepted formats: [projects/{{project}}/regions/{{region}}/addresses/{{name}} {{project}}/{{region}}/{{name}} {{region}}/{{name}} {{name}}]`,
		recordType:  `Import id "a" doesn't match any of the accepted formats: [projects/{{project}}/managedZones/{{managed_zone}}/rrsets/{{name}}/{{type}} {{project}}/{{managed_zone}}/{{name}}/{{type}} {{managed_zone}}/{{name}}/{{type}}]`,
	} {
		id := map[string]string{addressType: "a/b/c/d", recordType: "a"}[typ]
		if _, err := e.Read(t.Context(), &pulumirpc.ReadRequest{Urn: urn(typ, "main"), Id: id}); rpcMessage(err) != want {
			t.Errorf("got %v", err)
		}
	}
	if res, _, _ := e.read(recordType, "nope/www.example.test./A", nil, nil); res.GetId() != "" {
		t.Errorf("a record of no zone is read as %s", res.GetId())
	}
}

func TestManagedZoneIsLookedUp(t *testing.T) {
	e := newEngine(t, zoneStore(t))
	look := func(args props) (props, []*pulumirpc.CheckFailure, error) {
		res, err := e.Invoke(t.Context(), &pulumirpc.InvokeRequest{Tok: managedZoneFunction, Args: e.wire(args)})
		out, _ := decode(res.GetReturn())
		return out, res.GetFailures(), err
	}
	out, _, err := look(props{"name": "zone"})
	must(t, err)
	servers := out.list("nameServers")
	if out.text("dnsName") != "example.test." || out.text("id") != "projects/velodrome-test/managedZones/zone" || out.text("project") != project ||
		out.text("visibility") != "public" || out.text("managedZoneId") == "" || len(servers) != 4 || !strings.HasSuffix(servers[0], ".googledomains.com.") {
		t.Errorf("got %v", out)
	}
	const want = "googleapi: Error 404: The 'parameters.managedZone' resource named 'nope' does not exist., notFound"
	if _, _, err := look(props{"name": "nope"}); rpcMessage(err) != want {
		t.Errorf("got %v", err)
	}
	if _, _, err := look(props{"name": "zone", "project": "another"}); err == nil {
		t.Error("the zone was found in another project")
	}
	if _, failures, err := look(props{}); err != nil || len(failures) != 1 {
		t.Errorf("without a name: %v, %v", failures, err)
	}
	if _, err := e.Invoke(t.Context(), &pulumirpc.InvokeRequest{Tok: "gcp:dns/getKeys:getKeys"}); rpcMessage(err) != "the stand-in for GCP has no function gcp:dns/getKeys:getKeys; it has gcp:dns/getManagedZone:getManagedZone" {
		t.Errorf("got %v", err)
	}
}

// secret and output are values as the engine marks them.
func secretOf(v string) *structpb.Value {
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
		"4dabf18193072939515e22adb298388d": structpb.NewStringValue("1b47061264138c4ac30d75fd1eb44270"), "value": structpb.NewStringValue(v)}})
}

func outputOf(fields map[string]*structpb.Value) *structpb.Value {
	fields["4dabf18193072939515e22adb298388d"] = structpb.NewStringValue("d0e6a833031e9bbcd3f4e8bde6ca49a4")
	return structpb.NewStructValue(&structpb.Struct{Fields: fields})
}

func TestSecretsStaySecret(t *testing.T) {
	e := newEngine(t, newStore(t))
	in := &structpb.Struct{Fields: map[string]*structpb.Value{
		"name":        structpb.NewStringValue("ip"),
		"description": secretOf("hidden"),
		"labels":      structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"app": secretOf("hidden")}}),
		"networkTier": outputOf(map[string]*structpb.Value{"value": structpb.NewStringValue("STANDARD")}),
	}}
	checked, err := e.Check(t.Context(), &pulumirpc.CheckRequest{Urn: urn(addressType, "main"), News: in})
	must(t, err)
	created, err := e.Create(t.Context(), &pulumirpc.CreateRequest{Urn: urn(addressType, "main"), Properties: checked.GetInputs()})
	must(t, err)
	read, err := e.Read(t.Context(), &pulumirpc.ReadRequest{Urn: urn(addressType, "main"), Id: created.GetId(), Properties: created.GetProperties(), Inputs: checked.GetInputs()})
	must(t, err)
	for what, s := range map[string]*structpb.Struct{"inputs": checked.GetInputs(), "outputs": created.GetProperties(), "refreshed outputs": read.GetProperties(), "refreshed inputs": read.GetInputs()} {
		out, hidden := decode(s)
		for _, key := range []string{"description", "labels", "effectiveLabels", "pulumiLabels"} {
			if _, has := out[key]; has && !hidden[key] {
				t.Errorf("%s: %s is in the open: %v", what, key, out[key])
			}
		}
		if hidden["name"] || out.text("networkTier") != "STANDARD" {
			t.Errorf("%s: got %v, hidden %v", what, out, hidden)
		}
	}
}

func TestOutputThatIsNotKnownYetPasses(t *testing.T) {
	e := newEngine(t, zoneStore(t))
	in := e.wire(props{"managedZone": "zone", "name": "www.example.test.", "type": "A"})
	in.Fields["rrdatas"] = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{outputOf(map[string]*structpb.Value{})}})
	res, err := e.Check(t.Context(), &pulumirpc.CheckRequest{Urn: urn(recordType, "main"), News: in})
	must(t, err)
	if out, _ := decode(res.GetInputs()); len(res.GetFailures()) > 0 || !isUnknown(out["rrdatas"]) {
		t.Errorf("got %v, %v", out, res.GetFailures())
	}
}

func TestConfigurationOfTheProviderNeverReplacesIt(t *testing.T) {
	e := newEngine(t, newStore(t))
	res, err := e.DiffConfig(t.Context(), &pulumirpc.DiffRequest{Urn: "urn:pulumi:dev::velodrome::pulumi:providers:gcp::gcp",
		OldInputs: e.wire(props{"project": "a", "zone": "x"}), News: e.wire(props{"project": "b", "region": "us-central1"})})
	must(t, err)
	if len(res.GetReplaces()) > 0 || !slices.Equal(res.GetDiffs(), []string{"project", "region", "zone"}) {
		t.Errorf("got %v", res)
	}
}

func TestPluginTellsWhatItIs(t *testing.T) {
	e := newEngine(t, newStore(t))
	info, err := e.GetPluginInfo(t.Context(), &emptypb.Empty{})
	must(t, err)
	if info.GetVersion() != "7.38.0" {
		t.Errorf("the version is %s", info.GetVersion())
	}
	hello, err := e.Handshake(t.Context(), &pulumirpc.ProviderHandshakeRequest{})
	must(t, err)
	if !hello.GetAcceptSecrets() || !hello.GetAcceptOutputs() {
		t.Errorf("got %v", hello)
	}
	_, err = e.Attach(t.Context(), &pulumirpc.PluginAttach{})
	must(t, err)
	_, err = e.Cancel(t.Context(), &emptypb.Empty{})
	must(t, err)
	res, err := e.GetSchema(t.Context(), &pulumirpc.GetSchemaRequest{})
	must(t, err)
	var schema struct {
		Name, Version string
		Resources     map[string]struct {
			InputProperties, Properties map[string]any
		}
		Functions map[string]any
	}
	must(t, json.Unmarshal([]byte(res.GetSchema()), &schema))
	if schema.Name != "gcp" || schema.Version != "7.38.0" || schema.Functions[managedZoneFunction] == nil ||
		len(schema.Resources[addressType].InputProperties) != 14 || len(schema.Resources[addressType].Properties) != 20 || len(schema.Resources[recordType].Properties) != 6 {
		t.Errorf("got %+v", schema)
	}
}

func TestEngineMayCallInParallel(t *testing.T) {
	s := zoneStore(t)
	must(t, s.SetQuota(100))
	e := newEngine(t, s)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			name := fmt.Sprintf("n%d", i)
			id, out, err := e.create(addressType, props{"name": name})
			if err != nil {
				t.Error(err)
				return
			}
			if _, _, err := e.create(recordType, props{"managedZone": "zone", "name": name + ".example.test.", "type": "A", "ttl": 60.0, "rrdatas": []any{out["address"]}}); err != nil {
				t.Error(err)
			}
			if i%2 == 0 {
				if err := e.delete(addressType, id, out); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := s.Addresses()
	must(t, err)
	z, err := s.Zone(project, "zone")
	must(t, err)
	if len(all) != 10 || len(z.Records) != 20 {
		t.Errorf("there are %d addresses and %d records, want 10 and 20", len(all), len(z.Records))
	}
}

// TestPluginThatDiesLosesNothing runs the plugin as Pulumi does, ends it hard,
// and starts it again.
func TestPluginThatDiesLosesNothing(t *testing.T) {
	s := newStore(t)
	start := func() engine {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "VELODROME_GCP_TEST=serve", "VELODROME_GCP_STATE="+s.Path())
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		port, err := bufio.NewReader(stdout).ReadString('\n')
		must(t, err)
		conn, err := grpc.NewClient("127.0.0.1:"+strings.TrimSpace(port), grpc.WithTransportCredentials(insecure.NewCredentials()))
		must(t, err)
		t.Cleanup(func() {
			must(t, conn.Close())
			must(t, cmd.Process.Kill())
			_ = cmd.Wait() // it was killed, and says so
		})
		e := engine{t, pulumirpc.NewResourceProviderClient(conn)}
		e.configure(props{"project": project, "region": region})
		return e
	}
	id, out := start().created(addressType, props{"name": "ip"})
	if _, _, now := start().read(addressType, id, nil, out); !reflect.DeepEqual(now, out) {
		t.Errorf("got %v, want %v", now, out)
	}
}
