package main

import (
	"path/filepath"
	"testing"

	"velodrome/local/gcp"
	"velodrome/local/stack"
)

func TestObjectsAreKnownAsPulumiNamesThem(t *testing.T) {
	for want, o := range map[[2]string]object{
		{"kubernetes:core/v1:Namespace", "velodrome-a"}:          {APIVersion: "v1", Kind: "Namespace"},
		{"kubernetes:apps/v1:Deployment", "velodrome-a/grafana"}: {APIVersion: "apps/v1", Kind: "Deployment"},
	} {
		o.Metadata.Name = "velodrome-a"
		if o.Kind == "Deployment" {
			o.Metadata.Name, o.Metadata.Namespace = "grafana", "velodrome-a"
		}
		if got := o.key(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// An address or a record that a killed run made could never be made again.
func TestAddressesAndRecordsOfAKilledRunAreGivenBack(t *testing.T) {
	s := &session{}
	s.cluster.GCP = filepath.Join(t.TempDir(), "gcp.json")
	if err := s.prepareGCP(); err != nil {
		t.Fatal(err)
	}
	store := gcp.Open(s.cluster.GCP)
	known := map[[2]string]bool{}
	for _, name := range []string{"noted", "lost"} {
		a, err := store.Reserve(gcp.Address{Project: gcpProject, Region: "us-central1", Name: name})
		if err != nil {
			t.Fatal(err)
		}
		known[[2]string{"gcp:compute/address:Address", a.ID()}] = name == "noted"
		r := gcp.Record{Name: name + ".example.com.", Type: "A", TTL: 300, Rrdatas: []string{a.Address}}
		if err := store.Change(gcpProject, stack.ManagedZone, []gcp.Record{r}, nil); err != nil {
			t.Fatal(err)
		}
		known[[2]string{"gcp:dns/recordSet:RecordSet", "projects/velodrome-local/managedZones/everything/rrsets/" + r.Name + "/A"}] = name == "noted"
	}
	if err := forgetUnknown(store, known); err != nil {
		t.Fatal(err)
	}
	addresses, err := store.Addresses()
	if err != nil || len(addresses) != 1 || addresses[0].Name != "noted" {
		t.Errorf("addresses: %v, %v", addresses, err)
	}
	zone, err := store.Zone(gcpProject, stack.ManagedZone)
	if err != nil || len(zone.Records) != 1 || zone.Records[0].Name != "noted.example.com." {
		t.Errorf("records: %v, %v", zone.Records, err)
	}
}
