package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"velodrome/local/gcp"
	"velodrome/local/stack"
)

// gcpProject is the project of the stand-in for GCP.
const gcpProject = "velodrome-local"

// mend puts right what a run that was killed has left: its plugins, its lock, and what
// it had made and not noted yet, which could never be made again, because it is there.
func (s *session) mend(ctx context.Context) error {
	if err := s.stack.Mend(); err != nil {
		return err
	}
	if !s.stack.Unfinished() {
		return nil
	}
	known, err := s.stack.Known()
	if err != nil {
		return err
	}
	if !s.own { // in a cluster of the user's own there may be other stacks
		if err := s.deleteUnknown(ctx, known); err != nil {
			return err
		}
	}
	return forgetUnknown(gcp.Open(s.cluster.GCP), known)
}

// kinds are those of the objects that the program declares.
var kinds = []string{"namespaces", "deployments", "statefulsets", "services", "configmaps", "secrets", "persistentvolumeclaims", "networkpolicies", "poddisruptionbudgets"}

// object is what there is of an object of the cluster.
type object struct {
	APIVersion, Kind string
	Metadata         struct{ Name, Namespace string }
}

// key is what Pulumi knows the object by.
func (o object) key() [2]string {
	version := o.APIVersion
	if !strings.Contains(version, "/") {
		version = "core/" + version
	}
	return [2]string{"kubernetes:" + version + ":" + o.Kind, strings.TrimPrefix(o.Metadata.Namespace+"/"+o.Metadata.Name, "/")}
}

// deleteUnknown deletes the objects that the state does not know of.
func (s *session) deleteUnknown(ctx context.Context, known map[[2]string]bool) error {
	var text strings.Builder
	if err := s.kubectl(ctx, &text, "get", strings.Join(kinds, ","), "--all-namespaces", "--output", "json",
		"--selector", "app.kubernetes.io/part-of=velodrome,app.kubernetes.io/managed-by=pulumi"); err != nil {
		return err
	}
	var there struct{ Items []object }
	if err := json.Unmarshal([]byte(text.String()), &there); err != nil {
		return fmt.Errorf("read the list of objects: %w", err)
	}
	for _, o := range there.Items {
		if known[o.key()] {
			continue
		}
		s.log("%s %s was being made when the last run ended: making it anew", o.Kind, o.key()[1])
		args := []string{"delete", o.Kind, o.Metadata.Name, "--ignore-not-found", "--timeout", "1m"}
		if o.Metadata.Namespace != "" {
			args = append(args, "--namespace", o.Metadata.Namespace)
		}
		if err := s.kubectl(ctx, &text, args...); err != nil {
			return err
		}
	}
	return nil
}

// forgetUnknown gives back what the stand-in for GCP has and the state does not know of.
func forgetUnknown(store *gcp.Store, known map[[2]string]bool) error {
	addresses, err := store.Addresses()
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if known[[2]string{"gcp:compute/address:Address", a.ID()}] || a.Project != gcpProject || a.Status() == "IN_USE" {
			continue
		}
		if err := store.Unreserve(a.Project, a.Region, a.Name); err != nil {
			return fmt.Errorf("give back the address %s of a run that was killed: %w", a.Name, err)
		}
	}
	zone, err := store.Zone(gcpProject, stack.ManagedZone)
	if err != nil {
		return err
	}
	for _, r := range zone.Records {
		id := fmt.Sprintf("projects/%s/managedZones/%s/rrsets/%s/%s", gcpProject, stack.ManagedZone, r.Name, r.Type)
		if known[[2]string{"gcp:dns/recordSet:RecordSet", id}] {
			continue
		}
		if err := store.Change(gcpProject, stack.ManagedZone, nil, []gcp.Record{r}); err != nil {
			return fmt.Errorf("delete the record %s of a run that was killed: %w", r.Name, err)
		}
	}
	return nil
}
