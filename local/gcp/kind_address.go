package gcp

import (
	"errors"
	"fmt"
	"maps"
	"strings"
)

// addressKind is gcp:compute/address:Address.
type addressKind struct{}

func only(what string, allowed ...string) func(any) string {
	return func(v any) string {
		s, isText := v.(string)
		for _, a := range allowed {
			if isText && (s == a || s == "") {
				return ""
			}
		}
		return fmt.Sprintf("the stand-in for GCP has no %s", what)
	}
}

func sameLink(_ props, old, new any) bool {
	a, okA := old.(string)
	b, okB := new.(string)
	return okA && okB && lastSegment(a) == lastSegment(b)
}

// sameOrIPv4 is for the IP version, where none means IPv4.
func sameOrIPv4(_ props, old, new any) bool {
	is4 := func(v any) bool { return isEmpty(v) || v == "IPV4" }
	return old == new || is4(old) && is4(new)
}

func (addressKind) fields() []field {
	return []field{
		{name: "address", tf: "address", shape: text, computed: true, fixed: true},
		{name: "addressType", tf: "address_type", shape: text, fixed: true, fallback: "EXTERNAL", values: addressTypes, refuse: only("internal addresses", "EXTERNAL")},
		{name: "description", tf: "description", shape: text, fixed: true},
		{name: "ipVersion", tf: "ip_version", shape: text, fixed: true, values: ipVersions, same: sameOrIPv4, refuse: only("IPv6 addresses", "IPV4")},
		{name: "ipv6EndpointType", tf: "ipv6_endpoint_type", shape: text, fixed: true, values: endpoints, refuse: only("IPv6 addresses", "")},
		{name: "labels", tf: "labels", shape: table},
		{name: "name", tf: "name", shape: text, fixed: true, named: true, pattern: nameRule},
		{name: "network", tf: "network", shape: text, fixed: true, same: sameLink, refuse: only("internal addresses", "")},
		{name: "networkTier", tf: "network_tier", shape: text, computed: true, fixed: true, values: networkTiers},
		{name: "prefixLength", tf: "prefix_length", shape: integer, computed: true, fixed: true, refuse: only("address ranges")},
		{name: "project", tf: "project", shape: text, computed: true, fixed: true},
		{name: "purpose", tf: "purpose", shape: text, computed: true, fixed: true, refuse: only("internal addresses", "")},
		{name: "region", tf: "region", shape: text, computed: true, fixed: true, same: sameLink},
		{name: "subnetwork", tf: "subnetwork", shape: text, computed: true, fixed: true, same: sameLink, refuse: only("internal addresses", "")},
	}
}

func (addressKind) outputs() map[string]shape {
	return map[string]shape{
		"creationTimestamp": text, "effectiveLabels": table, "labelFingerprint": text,
		"pulumiLabels": table, "selfLink": text, "users": texts,
	}
}

func (addressKind) check(props, func(property, reason string)) {}

// defaults: the project follows the provider's, so that another one moves the
// address; the region is the provider's only when the address is made.
func (addressKind) defaults(c config, in props) props {
	out := maps.Clone(in)
	if isEmpty(out["project"]) && c.project != "" {
		out["project"] = c.project
	}
	return out
}

// addressOutputs are those that the cloud decides when the address is made.
var addressOutputs = []string{"address", "creationTimestamp", "labelFingerprint", "networkTier", "prefixLength", "purpose", "region", "selfLink", "subnetwork", "users"}

func (k addressKind) plan(c config, in props) props {
	out := k.defaults(c, in)
	delete(out, defaultsKey)
	for _, key := range addressOutputs {
		if isEmpty(out[key]) {
			out[key] = unknown{}
		}
	}
	if isEmpty(out["project"]) {
		out["project"] = unknown{}
	}
	labels := planLabels(c, in)
	out["effectiveLabels"], out["pulumiLabels"] = labels, labels
	return out
}

// planLabels are all the labels that an address will have, or unknown.
func planLabels(c config, in props) any {
	if isUnknown(in["labels"]) {
		return unknown{}
	}
	return c.withLabels(in.table("labels"))
}

// wanted is the address that the inputs ask for.
func (k addressKind) wanted(c config, in props) (Address, error) {
	project, err := c.projectOf(in)
	if err != nil {
		return Address{}, err
	}
	region, err := c.regionOf(in)
	if err != nil {
		return Address{}, err
	}
	return Address{
		Project: project, Region: region, Name: in.text("name"), Address: in.text("address"),
		NetworkTier: in.text("networkTier"), IPVersion: in.text("ipVersion"),
		Description: in.text("description"), Labels: c.withLabels(in.table("labels")),
	}, nil
}

func (k addressKind) create(s *Store, c config, in props) (string, props, error) {
	a, err := k.wanted(c, in)
	if err != nil {
		return "", nil, err
	}
	if a, err = s.Reserve(a); err != nil {
		return "", nil, failed("Error creating Address", err)
	}
	out, err := k.properties(a, in["labels"], c.withLabels(in.table("labels")))
	return a.ID(), out, err
}

// properties describes an address to Pulumi. labels are those that the program
// manages, managed those together with the provider's own.
func (addressKind) properties(a Address, labels any, managed map[string]string) (props, error) {
	fingerprint, err := a.LabelFingerprint()
	if err != nil {
		return nil, err
	}
	out := props{
		"address": a.Address, "addressType": "EXTERNAL", "creationTimestamp": a.CreationTimestamp(),
		"description": a.Description, "effectiveLabels": nonNil(a.Labels), "ipVersion": a.IPVersion, "ipv6EndpointType": "",
		"labelFingerprint": fingerprint, "name": a.Name, "network": "", "networkTier": a.NetworkTier,
		"prefixLength": float64(0), "project": a.Project, "pulumiLabels": nonNil(managed), "purpose": "", "region": a.Region,
		"selfLink": a.SelfLink(), "subnetwork": "", "users": a.UserLinks(),
	}
	if !isEmpty(labels) {
		out["labels"] = labels
	}
	return out, nil
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// addressFromID takes the forms that the real plugin takes, the short ones
// completed from the provider's configuration.
func addressFromID(c config, id string) (Address, error) {
	parts := strings.Split(id, "/")
	var a Address
	switch {
	case len(parts) == 6 && parts[0] == "projects" && parts[2] == "regions" && parts[4] == "addresses":
		a = Address{Project: parts[1], Region: parts[3], Name: parts[5]}
	case len(parts) == 3:
		a = Address{Project: parts[0], Region: parts[1], Name: parts[2]}
	case len(parts) == 2:
		a = Address{Project: c.project, Region: parts[0], Name: parts[1]}
	case len(parts) == 1:
		region, err := c.regionOf(nil)
		if err != nil {
			return a, err
		}
		a = Address{Project: c.project, Region: region, Name: id}
	}
	if a.Project == "" || a.Region == "" || a.Name == "" {
		return a, badImport(id, "projects/{{project}}/regions/{{region}}/addresses/{{name}} {{project}}/{{region}}/{{name}} {{region}}/{{name}} {{name}}")
	}
	return a, nil
}

func (k addressKind) read(s *Store, c config, id string, old props) (string, props, error) {
	a, err := addressFromID(c, id)
	if err != nil {
		return "", nil, err
	}
	a, err = s.Address(a.Project, a.Region, a.Name)
	if isNotFound(err) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, failed(fmt.Sprintf("Error when reading or editing ComputeAddress %q", id), err)
	}
	labels, managed := map[string]any{}, map[string]string{}
	for key, value := range a.Labels {
		if _, ours := old.table("labels")[key]; ours || len(old) == 0 {
			labels[key] = value
		}
		if _, ours := old.table("pulumiLabels")[key]; ours || len(old) == 0 {
			managed[key] = value
		}
	}
	out, err := k.properties(a, labels, managed)
	return a.ID(), out, err
}

func (k addressKind) replan(c config, old, in props) props {
	out := maps.Clone(old)
	if labels, ok := in["labels"]; ok {
		out["labels"] = labels
	} else {
		delete(out, "labels")
	}
	labels := planLabels(c, in)
	out["effectiveLabels"], out["pulumiLabels"], out["labelFingerprint"] = labels, labels, unknown{}
	return out
}

// update changes the labels, the only thing about an address that can change.
// Labels that others put on it stay.
func (k addressKind) update(s *Store, c config, id string, old, in props) (props, error) {
	a, err := addressFromID(c, id)
	if err != nil {
		return nil, err
	}
	a, err = s.Address(a.Project, a.Region, a.Name)
	if err != nil {
		return nil, failed(fmt.Sprintf("Error updating Address %q", id), err)
	}
	managed := c.withLabels(in.table("labels"))
	labels := nonNil(maps.Clone(a.Labels))
	for key := range old.table("pulumiLabels") {
		delete(labels, key)
	}
	maps.Copy(labels, managed)
	a, err = s.SetLabels(a.Project, a.Region, a.Name, labels)
	if err != nil {
		return nil, failed(fmt.Sprintf("Error updating Address %q", id), err)
	}
	return k.properties(a, in["labels"], managed)
}

func (addressKind) remove(s *Store, id string, _ props) error {
	a, err := addressFromID(config{}, id)
	if err != nil {
		return err
	}
	err = s.Unreserve(a.Project, a.Region, a.Name)
	if err == nil || isNotFound(err) {
		return nil
	}
	return failed("Error when reading or editing Address", err)
}

func isNotFound(err error) bool {
	var api *APIError
	return errors.As(err, &api) && api.Code == 404
}
