package gcp

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// discovered is a property of one of Google's discovery documents.
type discovered struct {
	Type    string
	Pattern string
	Enum    []string
}

func discovery(t *testing.T) (address, params, record map[string]discovered) {
	t.Helper()
	b, err := os.ReadFile("testdata/discovery.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		AddressInsertParameters, AddressSchema, ResourceRecordSetSchema map[string]discovered
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.AddressSchema, doc.AddressInsertParameters, doc.ResourceRecordSetSchema
}

func TestPatternsAreThoseOfGooglesDiscoveryDocuments(t *testing.T) {
	address, params, _ := discovery(t)
	for what, pair := range map[string][2]string{
		"name":    {namePattern, address["name"].Pattern},
		"region":  {regionPattern, params["region"].Pattern},
		"project": {projectPattern, params["project"].Pattern},
	} {
		if pair[0] != pair[1] || pair[0] == "" {
			t.Errorf("%s: the stand-in has %q, Google has %q", what, pair[0], pair[1])
		}
	}
}

func TestValuesAreThoseOfGooglesDiscoveryDocuments(t *testing.T) {
	address, _, _ := discovery(t)
	for key, ours := range map[string][]string{
		"addressType": addressTypes, "ipVersion": ipVersions, "ipv6EndpointType": endpoints,
	} {
		google := slices.DeleteFunc(slices.Clone(address[key].Enum), func(v string) bool { return strings.HasPrefix(v, "UNSPECIFIED") })
		got := slices.Sorted(slices.Values(ours))
		if slices.Sort(google); !slices.Equal(got, google) {
			t.Errorf("%s: the stand-in has %v, Google has %v", key, got, google)
		}
	}
	// FIXED_STANDARD and its override are for output only; the plugin offers two.
	for _, tier := range networkTiers {
		if !slices.Contains(address["networkTier"].Enum, tier) {
			t.Errorf("networkTier: Google has no %s", tier)
		}
	}
}

func TestPropertiesAreThoseOfGooglesDiscoveryDocuments(t *testing.T) {
	address, params, record := discovery(t)
	types := map[shape]string{text: "string", integer: "integer", texts: "array", table: "object"}
	for token, c := range map[string]struct {
		k       kind
		schemas []map[string]discovered
	}{
		"gcp:compute/address:Address": {addressKind{}, []map[string]discovered{address, params}},
		"gcp:dns/recordSet:RecordSet": {recordKind{}, []map[string]discovered{record, {"managedZone": {Type: "string"}, "project": {Type: "string"}}}},
	} {
		want := map[string]shape{}
		for _, f := range c.k.fields() {
			want[f.name] = f.shape
		}
		for name, s := range c.k.outputs() {
			// These are the plugin's, made of Google's labels.
			if name != "effectiveLabels" && name != "pulumiLabels" {
				want[name] = s
			}
		}
		for name, s := range want {
			i := slices.IndexFunc(c.schemas, func(m map[string]discovered) bool { return m[name].Type == types[s] })
			if i < 0 {
				t.Errorf("%s: Google has no %s of type %s", token, name, types[s])
			}
		}
	}
}

func TestLoopbackOfAnAddress(t *testing.T) {
	for in, want := range map[string]string{"104.197.200.129": "127.197.200.129", "203.0.113.7": "127.0.113.7"} {
		if got, err := Loopback(in); err != nil || got != want {
			t.Errorf("Loopback(%s) = %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "::1"} {
		if got, err := Loopback(in); err == nil {
			t.Errorf("Loopback(%q) = %s, want an error", in, got)
		}
	}
}
