package gcp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// recordKind is gcp:dns/recordSet:RecordSet.
type recordKind struct{}

func (recordKind) fields() []field {
	return []field{
		{name: "managedZone", tf: "managed_zone", shape: text, required: true, fixed: true, same: sameLink},
		{name: "name", tf: "name", shape: text, required: true, fixed: true},
		{name: "project", tf: "project", shape: text, computed: true, fixed: true},
		{name: "rrdatas", tf: "rrdatas", shape: texts, same: sameRrdatas},
		{name: "ttl", tf: "ttl", shape: integer},
		// The real plugin changes the type in place.
		{name: "type", tf: "type", shape: text, required: true},
	}
}

func (recordKind) outputs() map[string]shape { return nil }

func (recordKind) check(in props, fail func(property, reason string)) {
	if name, ok := in["name"].(string); ok {
		switch {
		case name == "":
			fail("name", "the empty string is not a valid name field value")
		case !strings.HasSuffix(name, "."):
			fail("name", fmt.Sprintf("%q (%q) doesn't end with %q, name field must end with trailing dot, for example test.example.com. (note the trailing dot)", "name", name, "."))
		}
	}
	if v, ok := in["rrdatas"]; !ok || isEmpty(v) {
		fail("", "\"rrdatas\": one of `routing_policy,rrdatas` must be specified (the stand-in for GCP has rrdatas only)")
	}
}

func (recordKind) defaults(c config, in props) props {
	return addressKind{}.defaults(c, in)
}

func (k recordKind) plan(c config, in props) props {
	out := k.defaults(c, in)
	delete(out, defaultsKey)
	if isEmpty(out["project"]) {
		out["project"] = unknown{}
	}
	return out
}

func recordOf(in props) Record {
	return Record{Name: in.text("name"), Type: in.text("type"), TTL: in.number("ttl"), Rrdatas: in.list("rrdatas")}
}

func recordID(project, zone string, r Record) string {
	return fmt.Sprintf("projects/%s/managedZones/%s/rrsets/%s/%s", project, zone, r.Name, r.Type)
}

// create takes over a record set that is there already, as the real plugin does:
// it asks Cloud DNS to remove the old one and to add the new one at once.
func (k recordKind) create(s *Store, c config, in props) (string, props, error) {
	project, err := c.projectOf(in)
	if err != nil {
		return "", nil, err
	}
	zone, r := lastSegment(in.text("managedZone")), recordOf(in)
	z, err := s.Zone(project, zone)
	if err != nil {
		return "", nil, failed(fmt.Sprintf("Error retrieving record sets for %q", zone), err)
	}
	var there []Record
	for _, o := range z.all() {
		if o.Name == r.Name && o.Type == r.Type {
			there = append(there, o)
		}
	}
	if err := s.Change(project, zone, []Record{r}, there); err != nil {
		return "", nil, failed("Error creating DNS RecordSet", err)
	}
	return recordID(project, zone, r), k.properties(project, in.text("managedZone"), r), nil
}

func (recordKind) properties(project, zone string, r Record) props {
	return props{
		"managedZone": zone, "name": r.Name, "project": project,
		"rrdatas": anys(r.Rrdatas), "ttl": float64(r.TTL), "type": r.Type,
	}
}

// recordFromID takes the forms that the real plugin takes.
func recordFromID(c config, id string) (project, zone string, r Record, err error) {
	parts := strings.Split(id, "/")
	switch {
	case len(parts) == 7 && parts[0] == "projects" && parts[2] == "managedZones" && parts[4] == "rrsets":
		project, zone, r = parts[1], parts[3], Record{Name: parts[5], Type: parts[6]}
	case len(parts) == 4:
		project, zone, r = parts[0], parts[1], Record{Name: parts[2], Type: parts[3]}
	case len(parts) == 3:
		project, zone, r = c.project, parts[0], Record{Name: parts[1], Type: parts[2]}
	}
	if project == "" || zone == "" || r.Name == "" || r.Type == "" {
		err = badImport(id, "projects/{{project}}/managedZones/{{managed_zone}}/rrsets/{{name}}/{{type}} {{project}}/{{managed_zone}}/{{name}}/{{type}} {{managed_zone}}/{{name}}/{{type}}")
	}
	return project, zone, r, err
}

// read looks the record set up by its properties, which an update may have
// changed since the id was given; by its id where it is imported.
func (k recordKind) read(s *Store, c config, id string, old props) (string, props, error) {
	project, zone, r, err := recordFromID(c, id)
	if err != nil {
		return "", nil, err
	}
	link := zone
	if old.text("type") != "" {
		r.Type, link = old.text("type"), old.text("managedZone")
	}
	r, err = s.Record(project, zone, r.Name, r.Type)
	if isNotFound(err) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, failed(fmt.Sprintf("Error when reading or editing DNS Record Set %q", r.Name), err)
	}
	if was := old.list("rrdatas"); sameData(r.Type, was, r.Rrdatas) {
		r.Rrdatas = was
	}
	return recordID(project, zone, r), k.properties(project, link, r), nil
}

func (k recordKind) replan(c config, old, in props) props {
	return k.plan(c, in)
}

func (k recordKind) update(s *Store, c config, id string, old, in props) (props, error) {
	project, zone, _, err := recordFromID(c, id)
	if err != nil {
		return nil, err
	}
	r := recordOf(in)
	if err := s.Change(project, zone, []Record{r}, []Record{recordOf(old)}); err != nil {
		return nil, failed("Error changing DNS RecordSet", err)
	}
	return k.properties(project, in.text("managedZone"), r), nil
}

// remove leaves the record sets that a zone must have, as the real plugin does.
func (recordKind) remove(s *Store, id string, old props) error {
	project, zone, _, err := recordFromID(config{}, id)
	if err != nil {
		return err
	}
	r := recordOf(old)
	z, err := s.Zone(project, zone)
	if isNotFound(err) {
		return nil
	}
	if err == nil && r.Name == z.DNSName && (r.Type == "NS" || r.Type == "SOA") {
		return nil
	}
	if err == nil {
		err = s.Change(project, zone, nil, []Record{r})
	}
	if err == nil || isNotFound(err) {
		return nil
	}
	return failed("Error when reading or editing google_dns_record_set", err)
}

// sameData tells whether two lists of data mean one record set: their order
// means nothing, and how a datum is written may differ.
func sameData(typ string, a, b []string) bool {
	canonical := func(list []string) []string {
		out := make([]string, len(list))
		for i, e := range list {
			out[i] = canonicalData(typ, e)
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(canonical(a), canonical(b))
}

func canonicalData(typ, data string) string {
	switch typ {
	case "AAAA":
		if ip, err := netip.ParseAddr(data); err == nil {
			return ip.String()
		}
	case "MX", "DS":
		return strings.ToLower(data)
	case "TXT":
		return strings.ToLower(strings.Trim(data, `"`))
	}
	return data
}

// sameRrdatas compares the data of a record set of the type that the inputs have.
func sameRrdatas(in props, old, new any) bool {
	return sameData(in.text("type"), props{"x": old}.list("x"), props{"x": new}.list("x"))
}
