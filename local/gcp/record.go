package gcp

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// apexTTL is the life of the records that Cloud DNS itself puts at the top of a
// zone, in seconds.
const apexTTL = 21600

// Zone is a public managed zone.
type Zone struct {
	Project     string   `json:"project"`
	Name        string   `json:"name"`
	DNSName     string   `json:"dnsName"`
	Description string   `json:"description,omitempty"`
	Records     []Record `json:"records"`
}

// Record is a resource record set.
type Record struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	TTL     int      `json:"ttl"` // seconds
	Rrdatas []string `json:"rrdatas"`
}

// ID is the path of the zone, unique in the store.
func (z Zone) ID() string { return fmt.Sprintf("projects/%s/managedZones/%s", z.Project, z.Name) }

// Number is the zone's numeric id.
func (z Zone) Number() string {
	h := fnv.New64a()
	// A hash never fails to take bytes in.
	_, _ = h.Write([]byte(z.ID()))
	return fmt.Sprint(h.Sum64() >> 1)
}

// NameServers are the servers to which a zone's parent would delegate it.
func (z Zone) NameServers() []string {
	set := "abcde"[len(z.DNSName)%5]
	servers := make([]string, 4)
	for i := range servers {
		servers[i] = fmt.Sprintf("ns-cloud-%c%d.googledomains.com.", set, i+1)
	}
	return servers
}

// apex are the records that each zone has at its top.
func (z Zone) apex() []Record {
	ns := z.NameServers()
	return []Record{
		{Name: z.DNSName, Type: "NS", TTL: apexTTL, Rrdatas: ns},
		{Name: z.DNSName, Type: "SOA", TTL: apexTTL, Rrdatas: []string{ns[0] + " cloud-dns-hostmaster.google.com. 1 21600 3600 259200 300"}},
	}
}

// all are the zone's records with those at its top.
func (z Zone) all() []Record {
	records := slices.Clone(z.Records)
	for _, r := range z.apex() {
		if z.record(r.Name, r.Type) < 0 {
			records = append(records, r)
		}
	}
	return records
}

func (z Zone) record(name, typ string) int {
	return slices.IndexFunc(z.Records, func(r Record) bool { return r.Name == name && r.Type == typ })
}

// Zones are all the managed zones with the records that users made in them.
func (s *Store) Zones() ([]Zone, error) {
	st, err := s.read()
	if err != nil {
		return nil, err
	}
	return st.Zones, nil
}

// Zone looks a managed zone up; absent is a 404.
func (s *Store) Zone(project, name string) (Zone, error) {
	st, err := s.read()
	if err != nil {
		return Zone{}, err
	}
	i, err := st.zone(project, name)
	if err != nil {
		return Zone{}, err
	}
	return st.Zones[i], nil
}

func (st *state) zone(project, name string) (int, error) {
	i := slices.IndexFunc(st.Zones, func(z Zone) bool { return z.Project == project && z.Name == name })
	if i < 0 {
		return i, &APIError{404, fmt.Sprintf("The 'parameters.managedZone' resource named '%s' does not exist.", name), "notFound"}
	}
	return i, nil
}

// EnsureZone makes the managed zone that a stack expects to find. One that is
// there already stays, with its records; its DNS name may change only while it
// has none.
func (s *Store) EnsureZone(project, name, dnsName string) error {
	z := Zone{Project: project, Name: name, DNSName: strings.ToLower(dnsName), Description: "Managed by Velodrome's stand-in for GCP"}
	if err := checkZone(z); err != nil {
		return fmt.Errorf("make the managed zone: %w", err)
	}
	return s.change(func(st *state) error {
		i, err := st.zone(project, name)
		if err != nil {
			st.Zones = append(st.Zones, z)
			return nil
		}
		old := &st.Zones[i]
		if old.DNSName == z.DNSName {
			return nil
		}
		if len(old.Records) > 0 {
			return fmt.Errorf("the managed zone %s is for %s and holds %d record sets; delete these before it can be for %s", old.ID(), old.DNSName, len(old.Records), z.DNSName)
		}
		old.DNSName = z.DNSName
		return nil
	})
}

func checkZone(z Zone) error {
	if err := checkProject(z.Project); err != nil {
		return err
	}
	if !nameRule.MatchString(z.Name) {
		return invalid("Invalid value for 'entity.managedZone.name': '%s'", z.Name)
	}
	// The zone of all names (a private one, on Cloud DNS) is what a stack on one machine has.
	if z.DNSName != "." && !validName(z.DNSName) {
		return invalid("Invalid value for 'entity.managedZone.dnsName': '%s'", z.DNSName)
	}
	return nil
}

// Record looks a record set up; absent is a 404.
func (s *Store) Record(project, zone, name, typ string) (Record, error) {
	z, err := s.Zone(project, zone)
	if err != nil {
		return Record{}, err
	}
	for _, r := range z.all() {
		if r.Name == name && r.Type == typ {
			return r, nil
		}
	}
	return Record{}, &APIError{404, fmt.Sprintf("The 'parameters.name' resource named '%s (%s)' does not exist.", name, typ), "notFound"}
}

// Change removes and adds record sets, all or none, as Cloud DNS does: a record
// set that is removed must be named as it is now, and one that is added must
// not be there.
func (s *Store) Change(project, zone string, additions, deletions []Record) error {
	return s.change(func(st *state) error {
		i, err := st.zone(project, zone)
		if err != nil {
			return err
		}
		z := st.Zones[i]
		z.Records = z.all()
		for n, r := range deletions {
			if err := z.remove(n, r); err != nil {
				return err
			}
		}
		for n, r := range additions {
			if err := z.add(n, r); err != nil {
				return err
			}
		}
		if err := z.checkApex(deletions); err != nil {
			return err
		}
		z.Records = z.made()
		st.Zones[i] = z
		return nil
	})
}

// made are the records of the zone that are not just what each zone has.
func (z Zone) made() []Record {
	apex := z.apex()
	return slices.DeleteFunc(slices.Clone(z.Records), func(r Record) bool {
		return slices.ContainsFunc(apex, r.equal)
	})
}

func (r Record) equal(o Record) bool {
	return r.Name == o.Name && r.Type == o.Type && r.TTL == o.TTL && slices.Equal(r.Rrdatas, o.Rrdatas)
}

func (z *Zone) remove(n int, r Record) error {
	i := z.record(r.Name, r.Type)
	if i < 0 {
		return &APIError{404, fmt.Sprintf("The 'entity.change.deletions[%d]' resource named '%s (%s)' does not exist.", n, r.Name, r.Type), "notFound"}
	}
	if !z.Records[i].equal(r) {
		return &APIError{412, fmt.Sprintf("Precondition not met for 'entity.change.deletions[%d]'", n), "conditionNotMet"}
	}
	z.Records = slices.Delete(slices.Clone(z.Records), i, i+1)
	return nil
}

func (z *Zone) add(n int, r Record) error {
	where := fmt.Sprintf("entity.change.additions[%d]", n)
	if err := z.checkRecord(where, r); err != nil {
		return err
	}
	if z.record(r.Name, r.Type) >= 0 {
		return &APIError{409, fmt.Sprintf("The resource '%s' named '%s (%s)' already exists", where, r.Name, r.Type), "alreadyExists"}
	}
	for _, o := range z.Records {
		if o.Name == r.Name && (o.Type == "CNAME") != (r.Type == "CNAME") {
			return &APIError{400, fmt.Sprintf("The resource record set '%s' is invalid because the DNS name '%s' may have either one CNAME resource record set or resource record sets of other types, but not both.", where, r.Name), "cnameResourceRecordSetConflict"}
		}
	}
	z.Records = append(z.Records, r)
	return nil
}

// checkApex keeps the two record sets that a zone must have at its top.
func (z *Zone) checkApex(deletions []Record) error {
	for _, typ := range []string{"NS", "SOA"} {
		if z.record(z.DNSName, typ) >= 0 {
			continue
		}
		n := slices.IndexFunc(deletions, func(r Record) bool { return r.Type == typ && r.Name == z.DNSName })
		return invalidApex(fmt.Sprintf("entity.change.deletions[%d]", n), typ)
	}
	return nil
}

func invalidApex(where, typ string) error {
	return &APIError{400, fmt.Sprintf("The resource record set '%s' is invalid because a zone must contain exactly one resource record set of type '%s' at the apex.", where, typ), "invalidZoneApex"}
}

// checkRecord holds the rules for one record set that need only its zone.
func (z *Zone) checkRecord(where string, r Record) error {
	switch {
	case !validName(r.Name) || !within(r.Name, z.DNSName):
		return invalid("Invalid value for '%s.name': '%s'", where, r.Name)
	case !slices.Contains(recordTypes, r.Type):
		return invalid("Invalid value for '%s.type': '%s'", where, r.Type)
	case r.TTL < 0 || r.TTL > 1<<31-1:
		return invalid("Invalid value for '%s.ttl': '%d'", where, r.TTL)
	case len(r.Rrdatas) == 0:
		return invalid("Invalid value for '%s.rrdata': '<empty>'", where)
	case len(r.Rrdatas) > 1 && (r.Type == "CNAME" || r.Type == "SOA"):
		return &APIError{400, fmt.Sprintf("The resource record set '%s' is only permitted to have one record because it is of type '%s'.", where, r.Type), "invalidRecordCount"}
	case r.Type == "SOA" && r.Name != z.DNSName:
		return invalidApex(where, "SOA")
	case r.Type == "NS" && strings.HasPrefix(r.Name, "*."):
		return &APIError{400, fmt.Sprintf("The resource record set '%s' has the wrong type to be a wildcard.", where), "wildcardNotAllowed"}
	}
	for i, data := range r.Rrdatas {
		if _, err := parseRecord(r, data); err != nil || slices.Contains(r.Rrdatas[:i], data) {
			return invalid("Invalid value for '%s.rrdata[%d]': '%s'", where, i, data)
		}
	}
	return nil
}

// within tells whether a name belongs to a zone. Both end in a dot.
func within(name, zone string) bool {
	if zone == "." {
		return name != "" // above the last label there is no name
	}
	return name == zone || strings.HasSuffix(name, "."+zone)
}

// validName tells whether a DNS name is complete (it ends in a dot), in lower
// case and of characters that names of hosts and services have; only its first
// label may be a wildcard.
func validName(name string) bool {
	if _, ok := dns.IsDomainName(name); !ok || !dns.IsFqdn(name) || len(name) > 254 {
		return false
	}
	for i, label := range strings.Split(strings.TrimSuffix(name, "."), ".") {
		if label == "*" && i == 0 {
			continue
		}
		odd := func(r rune) bool {
			return r != '-' && r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
		}
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, odd) {
			return false
		}
	}
	return true
}

// parseRecord turns one datum of a record set into what is sent over the wire.
func parseRecord(r Record, data string) (dns.RR, error) {
	if strings.ContainsFunc(data, func(c rune) bool { return c < ' ' || c == ';' && r.Type != "TXT" }) || strings.TrimSpace(data) == "" {
		return nil, fmt.Errorf("%q is not data of a record", data)
	}
	switch r.Type {
	case "A", "AAAA":
		ip, err := netip.ParseAddr(data)
		if err != nil || ip.Is4() != (r.Type == "A") || ip.Zone() != "" {
			return nil, fmt.Errorf("%q is not an address of type %s", data, r.Type)
		}
	case "CNAME", "NS", "PTR":
		if !dns.IsFqdn(data) {
			return nil, fmt.Errorf("%q is not a complete name", data)
		}
	}
	rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", r.Name, r.TTL, r.Type, data))
	if err != nil {
		return nil, err
	}
	if rr == nil {
		return nil, fmt.Errorf("%q is not data of a record", data)
	}
	return rr, nil
}
