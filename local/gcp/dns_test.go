package gcp

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// newDNS serves a store on a free port of loopback.
func newDNS(t *testing.T, s *Store) *DNS {
	t.Helper()
	d, err := ListenDNS("127.0.0.1:0", s)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-served)
	})
	return d
}

func ask(t *testing.T, d *DNS, network, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	client := &dns.Client{Net: network, Timeout: 10 * time.Second}
	reply, _, err := client.Exchange(m, d.Addr())
	must(t, err)
	return reply
}

// told is a reply in a line: its code, the flag of authority, and the records
// of the answer (and of the authority, after a stroke).
func told(m *dns.Msg) string {
	section := func(rrs []dns.RR) string {
		var out []string
		for _, rr := range rrs {
			out = append(out, strings.Join(strings.Fields(rr.String()), " "))
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	authority := ""
	if m.Authoritative {
		authority = " aa"
	}
	return fmt.Sprintf("%s%s: %s | %s", dns.RcodeToString[m.Rcode], authority, section(m.Answer), section(m.Ns))
}

func TestNamesOfTheZoneAreResolved(t *testing.T) {
	s := zoneStore(t)
	must(t, s.EnsureZone(project, "sub", "sub.example.test."))
	must(t, s.Change(project, "zone", []Record{
		{Name: "www.example.test.", Type: "A", TTL: 300, Rrdatas: []string{"203.0.113.1", "203.0.113.2"}},
		{Name: "alias.example.test.", Type: "CNAME", TTL: 60, Rrdatas: []string{"www.example.test."}},
		{Name: "away.example.test.", Type: "CNAME", TTL: 60, Rrdatas: []string{"www.elsewhere.test."}},
		{Name: "dangling.example.test.", Type: "CNAME", TTL: 60, Rrdatas: []string{"gone.example.test."}},
		{Name: "loop.example.test.", Type: "CNAME", TTL: 60, Rrdatas: []string{"loop.example.test."}},
		{Name: "deep.below.example.test.", Type: "TXT", TTL: 60, Rrdatas: []string{`"hello; world"`}},
		{Name: "*.wild.example.test.", Type: "A", TTL: 60, Rrdatas: []string{"203.0.113.3"}},
		{Name: "own.wild.example.test.", Type: "TXT", TTL: 60, Rrdatas: []string{`"x"`}},
		{Name: "cut.example.test.", Type: "NS", TTL: 60, Rrdatas: []string{"ns.elsewhere.test."}},
	}, nil))
	must(t, s.Change(project, "sub", []Record{{Name: "www.sub.example.test.", Type: "AAAA", TTL: 60, Rrdatas: []string{"2001:db8::1"}}}, nil))
	const soa = "example.test. 300 IN SOA ns-cloud-d1.googledomains.com. cloud-dns-hostmaster.google.com. 1 21600 3600 259200 300"
	const ns = "example.test. 21600 IN NS ns-cloud-d1.googledomains.com., example.test. 21600 IN NS ns-cloud-d2.googledomains.com., example.test. 21600 IN NS ns-cloud-d3.googledomains.com., example.test. 21600 IN NS ns-cloud-d4.googledomains.com."
	d := newDNS(t, s)
	for what, c := range map[string]struct {
		name  string
		qtype uint16
		want  string
	}{
		"a name":                            {"www.example.test.", dns.TypeA, "NOERROR aa: www.example.test. 300 IN A 203.0.113.1, www.example.test. 300 IN A 203.0.113.2 | "},
		"a name in any case":                {"WwW.Example.TEST.", dns.TypeA, "NOERROR aa: WwW.Example.TEST. 300 IN A 203.0.113.1, WwW.Example.TEST. 300 IN A 203.0.113.2 | "},
		"a type that a name has not":        {"www.example.test.", dns.TypeAAAA, "NOERROR aa:  | " + soa},
		"a name that there is not":          {"nope.example.test.", dns.TypeA, "NXDOMAIN aa:  | " + soa},
		"a name that has names below":       {"below.example.test.", dns.TypeA, "NOERROR aa:  | " + soa},
		"the servers of the zone":           {"example.test.", dns.TypeNS, "NOERROR aa: " + ns + " | "},
		"the top of the zone":               {"example.test.", dns.TypeSOA, "NOERROR aa: " + strings.Replace(soa, " 300 IN", " 21600 IN", 1) + " | "},
		"an alias":                          {"alias.example.test.", dns.TypeA, "NOERROR aa: alias.example.test. 60 IN CNAME www.example.test., www.example.test. 300 IN A 203.0.113.1, www.example.test. 300 IN A 203.0.113.2 | "},
		"the alias itself":                  {"alias.example.test.", dns.TypeCNAME, "NOERROR aa: alias.example.test. 60 IN CNAME www.example.test. | "},
		"an alias to elsewhere":             {"away.example.test.", dns.TypeA, "NOERROR aa: away.example.test. 60 IN CNAME www.elsewhere.test. | "},
		"an alias to nothing":               {"dangling.example.test.", dns.TypeA, "NXDOMAIN aa: dangling.example.test. 60 IN CNAME gone.example.test. | " + soa},
		"text":                              {"deep.below.example.test.", dns.TypeTXT, `NOERROR aa: deep.below.example.test. 60 IN TXT "hello; world" | `},
		"a name that a wildcard covers":     {"any.wild.example.test.", dns.TypeA, "NOERROR aa: any.wild.example.test. 60 IN A 203.0.113.3 | "},
		"a name below one covered":          {"a.b.wild.example.test.", dns.TypeA, "NOERROR aa: a.b.wild.example.test. 60 IN A 203.0.113.3 | "},
		"a name beside a wildcard":          {"own.wild.example.test.", dns.TypeA, "NOERROR aa:  | " + soa},
		"a name below one beside":           {"a.own.wild.example.test.", dns.TypeA, "NXDOMAIN aa:  | " + soa},
		"a name that others serve":          {"www.cut.example.test.", dns.TypeA, "NOERROR:  | cut.example.test. 60 IN NS ns.elsewhere.test."},
		"a name of the zone below":          {"www.sub.example.test.", dns.TypeAAAA, "NOERROR aa: www.sub.example.test. 60 IN AAAA 2001:db8::1 | "},
		"a name of no zone":                 {"www.elsewhere.test.", dns.TypeA, "REFUSED:  | "},
		"a name that just ends like a zone": {"badexample.test.", dns.TypeA, "REFUSED:  | "},
		"the whole zone":                    {"example.test.", dns.TypeAXFR, "REFUSED:  | "},
	} {
		t.Run(what, func(t *testing.T) {
			for _, network := range []string{"udp", "tcp"} {
				if got := told(ask(t, d, network, c.name, c.qtype)); got != c.want {
					t.Errorf("over %s\ngot  %s\nwant %s", network, got, c.want)
				}
			}
		})
	}
	if m := ask(t, d, "udp", "loop.example.test.", dns.TypeA); len(m.Answer) > maxChase {
		t.Errorf("a loop of aliases is followed %d times", len(m.Answer))
	}
}

func TestRecordMadeByThePluginIsResolvedAtOnce(t *testing.T) {
	s := zoneStore(t)
	e, d := newEngine(t, s), newDNS(t, s)
	const name = "velodrome.example.test."
	if m := ask(t, d, "udp", name, dns.TypeA); m.Rcode != dns.RcodeNameError {
		t.Errorf("before: %s", told(m))
	}
	_, address := e.created(addressType, props{"name": "ip"})
	id, out := e.created(recordType, props{"managedZone": "zone", "name": name, "type": "A", "ttl": 300.0, "rrdatas": []any{address["address"]}})
	if got := told(ask(t, d, "udp", name, dns.TypeA)); got != "NOERROR aa: "+name+" 300 IN A 203.0.113.1 | " {
		t.Errorf("made: %s", got)
	}
	out, err := e.update(recordType, id, out, e.checked(recordType, props{"managedZone": "zone", "name": name, "type": "A", "ttl": 60.0, "rrdatas": []any{"203.0.113.9"}}), false)
	must(t, err)
	if got := told(ask(t, d, "tcp", name, dns.TypeA)); got != "NOERROR aa: "+name+" 60 IN A 203.0.113.9 | " {
		t.Errorf("changed: %s", got)
	}
	must(t, e.delete(recordType, id, out))
	if m := ask(t, d, "udp", name, dns.TypeA); m.Rcode != dns.RcodeNameError {
		t.Errorf("deleted: %s", told(m))
	}
}

func TestLongAnswerIsCutOverUDPAndWholeOverTCP(t *testing.T) {
	s := zoneStore(t)
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("203.0.113.%d", i+1))
	}
	must(t, s.Change(project, "zone", []Record{{Name: "many.example.test.", Type: "A", TTL: 1, Rrdatas: many}}, nil))
	d := newDNS(t, s)
	if m := ask(t, d, "udp", "many.example.test.", dns.TypeA); !m.Truncated {
		t.Errorf("over UDP came %d records, not marked as cut", len(m.Answer))
	}
	if m := ask(t, d, "tcp", "many.example.test.", dns.TypeA); m.Truncated || len(m.Answer) != len(many) {
		t.Errorf("over TCP came %d records", len(m.Answer))
	}
	big := new(dns.Msg)
	big.SetQuestion("many.example.test.", dns.TypeA)
	big.SetEdns0(4096, false)
	reply, _, err := (&dns.Client{Timeout: 10 * time.Second}).Exchange(big, d.Addr())
	must(t, err)
	if reply.Truncated || len(reply.Answer) != len(many) || reply.IsEdns0() == nil {
		t.Errorf("over UDP with room came %d records", len(reply.Answer))
	}
}

func TestDNSWithoutAStateKnowsNoZone(t *testing.T) {
	d := newDNS(t, Open(filepath.Join(t.TempDir(), "gcp.json")))
	if got := told(ask(t, d, "udp", "www.example.test.", dns.TypeA)); got != "REFUSED:  | " {
		t.Errorf("got %s", got)
	}
	must(t, d.store.EnsureZone(project, "zone", "example.test."))
	if m := ask(t, d, "udp", "example.test.", dns.TypeSOA); len(m.Answer) != 1 {
		t.Errorf("with a zone: %s", told(m))
	}
}

func TestDNSOverADamagedStateSaysThatItFails(t *testing.T) {
	s := zoneStore(t)
	d := newDNS(t, s)
	must(t, os.WriteFile(s.Path(), []byte("{"), 0o600))
	if m := ask(t, d, "udp", "example.test.", dns.TypeSOA); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %s", told(m))
	}
}

func TestDNSRefusesWhatIsNoQuery(t *testing.T) {
	d := newDNS(t, zoneStore(t))
	update := new(dns.Msg)
	update.SetUpdate("example.test.")
	reply, _, err := (&dns.Client{Timeout: 10 * time.Second}).Exchange(update, d.Addr())
	must(t, err)
	if reply.Rcode != dns.RcodeNotImplemented {
		t.Errorf("got %s", told(reply))
	}
}

func TestPortOfDNSThatIsTakenIsTold(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, taken.Close()) }()
	want := fmt.Sprintf("listen for DNS over TCP on %[1]s: listen tcp %[1]s: bind: address already in use; is another process using the port? End it, or set another port", taken.Addr())
	if err := ServeDNS(t.Context(), taken.Addr().String(), newStore(t)); message(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// FuzzRecordThatIsTakenCanBeSent: what the rules let in must not break an answer.
func FuzzRecordThatIsTakenCanBeSent(f *testing.F) {
	f.Add("www.example.test.", "A", 300, "203.0.113.1")
	f.Add("*.example.test.", "TXT", 0, `"a;b" (c "`)
	f.Add("_x.example.test.", "SRV", 1, "0 5 443 a.example.test.")
	f.Add("a.example.test.", "MX", 1, "10 $ORIGIN")
	f.Add("example.test.", "SOA", 1, "a. b. 1 2 3 4 5")
	f.Fuzz(func(t *testing.T, name, typ string, ttl int, data string) {
		z := Zone{Project: project, Name: "zone", DNSName: "example.test."}
		r := Record{Name: name, Type: typ, TTL: ttl, Rrdatas: []string{data}}
		if z.checkRecord("entity.change.additions[0]", r) != nil {
			return
		}
		z.Records = []Record{r}
		reply := new(dns.Msg)
		reply.SetQuestion(name, dns.StringToType[typ])
		if err := z.answer(reply, name, name, dns.StringToType[typ]); err != nil {
			t.Fatalf("%+v cannot be answered: %v", r, err)
		}
		packed, err := reply.Pack()
		if err != nil {
			t.Fatalf("%+v cannot be sent: %v", r, err)
		}
		if err := new(dns.Msg).Unpack(packed); err != nil {
			t.Fatalf("%+v cannot be read: %v", r, err)
		}
	})
}

// The local stack has one zone, of all names.
func TestZoneOfAllNamesAnswersForEveryName(t *testing.T) {
	s := Open(filepath.Join(t.TempDir(), "gcp.json"))
	must(t, s.EnsureZone(project, "everything", "."))
	must(t, s.Change(project, "everything", []Record{
		{Name: "velodrome.k8s.io.", Type: "A", TTL: 300, Rrdatas: []string{"203.0.113.1"}},
	}, nil))
	d := newDNS(t, s)
	if got := told(ask(t, d, "udp", "velodrome.k8s.io.", dns.TypeA)); !strings.HasPrefix(got, "NOERROR aa: velodrome.k8s.io. 300 IN A 203.0.113.1") {
		t.Error(got)
	}
	for _, absent := range []string{"absent.test.", "test.", "."} {
		if got := told(ask(t, d, "udp", absent, dns.TypeA)); strings.Contains(got, "203.0.113.1") {
			t.Errorf("%s: %s", absent, got)
		}
	}
}
