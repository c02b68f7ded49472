package gcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// maxChase bounds the CNAMEs that one answer follows.
const maxChase = 8

// DNS answers for the managed zones of a store, over UDP and TCP, as Cloud DNS
// does: with authority for its zones, and not at all for anything else. A change
// of the store is answered at once.
type DNS struct {
	store *Store
	udp   net.PacketConn
	tcp   net.Listener

	mu    sync.Mutex
	seen  os.FileInfo // the file whose zones these are
	zones []Zone
}

// ListenDNS takes a port, such as 127.0.0.1:10053, for both protocols. Port 0 is
// one that is free.
func ListenDNS(addr string, store *Store) (*DNS, error) {
	const way = "is another process using the port? End it, or set another port"
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS over TCP on %s: %w; %s", addr, err, way)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for DNS over UDP on %s: %w; %s", tcp.Addr(), err, way), tcp.Close())
	}
	return &DNS{store: store, udp: udp, tcp: tcp}, nil
}

// Addr is the address that was taken.
func (d *DNS) Addr() string { return d.tcp.Addr().String() }

// Serve answers until the context ends, or a listener fails.
func (d *DNS) Serve(ctx context.Context) error {
	servers := []*dns.Server{{PacketConn: d.udp, Handler: d}, {Listener: d.tcp, Handler: d}}
	started := make(chan struct{}, len(servers))
	ended := make(chan error, len(servers))
	for _, s := range servers {
		s.NotifyStartedFunc = func() { started <- struct{}{} }
		go func() { ended <- s.ActivateAndServe() }()
	}
	var errs []error
	running := len(servers)
	// A server that has not started yet cannot be shut down.
	for range servers {
		select {
		case <-started:
		case err := <-ended:
			running--
			errs = append(errs, err)
		}
	}
	if running == len(servers) {
		select {
		case <-ctx.Done():
		case err := <-ended:
			running--
			errs = append(errs, err)
		}
	}
	for _, s := range servers {
		// One that ended by itself says so, which is in errs already.
		_ = s.Shutdown()
	}
	for range running {
		errs = append(errs, <-ended)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("serve DNS on %s: %w", d.Addr(), err)
	}
	return nil
}

// ServeDNS listens and serves until the context ends.
func ServeDNS(ctx context.Context, addr string, store *Store) error {
	d, err := ListenDNS(addr, store)
	if err != nil {
		return err
	}
	return d.Serve(ctx)
}

// current are the zones as the file has them now. The file is replaced whole at
// each change, so that an unchanged file is the same file.
func (d *DNS) current() ([]Zone, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, err := os.Stat(d.store.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look at the state of the stand-in for GCP: %w", err)
	}
	if now != nil && d.seen != nil && os.SameFile(now, d.seen) && now.ModTime().Equal(d.seen.ModTime()) {
		return d.zones, nil
	}
	zones, err := d.store.Zones()
	if err != nil {
		return nil, err
	}
	d.seen, d.zones = now, zones
	return zones, nil
}

// ServeDNS answers one query.
func (d *DNS) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	reply := d.reply(req)
	size := dns.MaxMsgSize
	if w.LocalAddr().Network() == "udp" {
		size = dns.MinMsgSize
		if opt := req.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
	}
	reply.Truncate(size)
	// Whoever asked has gone if this fails.
	_ = w.WriteMsg(reply)
}

func (d *DNS) reply(req *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(req)
	reply.Compress = true
	if opt := req.IsEdns0(); opt != nil {
		reply.SetEdns0(dns.DefaultMsgSize, false)
	}
	switch {
	case req.Opcode != dns.OpcodeQuery:
		reply.Rcode = dns.RcodeNotImplemented
		return reply
	case len(req.Question) != 1:
		reply.Rcode = dns.RcodeFormatError
		return reply
	}
	q := req.Question[0]
	zones, err := d.current()
	if err != nil {
		reply.Rcode = dns.RcodeServerFailure
		return reply
	}
	name := strings.ToLower(q.Name)
	z, ok := zoneOf(zones, name)
	if !ok || q.Qclass != dns.ClassINET || q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR {
		reply.Rcode = dns.RcodeRefused
		return reply
	}
	if err := z.answer(reply, q.Name, name, q.Qtype); err != nil {
		reply.Rcode = dns.RcodeServerFailure
	}
	return reply
}

// zoneOf is the zone with the longest DNS name to which the name belongs.
func zoneOf(zones []Zone, name string) (Zone, bool) {
	var best Zone
	for _, z := range zones {
		if within(name, z.DNSName) && len(z.DNSName) > len(best.DNSName) {
			best = z
		}
	}
	return best, best.DNSName != ""
}

// answer fills a reply in for a name, asked as it was written, in lower case.
func (z Zone) answer(reply *dns.Msg, asked, name string, qtype uint16) error {
	reply.Authoritative = true
	records := z.all()
	for range maxChase {
		if cut := delegation(records, z.DNSName, name, qtype); cut != nil {
			rrs, err := cut.wire(cut.Name)
			if err != nil {
				return err
			}
			reply.Authoritative = len(reply.Answer) > 0
			reply.Ns = rrs
			return nil
		}
		found, exists := lookup(records, z.DNSName, name)
		next := ""
		answered := false
		for _, r := range found {
			typ := dns.StringToType[r.Type]
			if typ != qtype && qtype != dns.TypeANY && typ != dns.TypeCNAME {
				continue
			}
			rrs, err := r.wire(asked)
			if err != nil {
				return err
			}
			reply.Answer = append(reply.Answer, rrs...)
			answered = true
			if c, ok := rrs[0].(*dns.CNAME); ok && qtype != dns.TypeCNAME && qtype != dns.TypeANY {
				next = c.Target
			}
		}
		if next == "" {
			if answered {
				return nil
			}
			return z.negative(reply, records, exists)
		}
		asked, name = next, strings.ToLower(next)
		if !within(name, z.DNSName) {
			return nil
		}
	}
	return nil
}

// negative says that there is no such name, or nothing of the type at it. How
// long that holds is in the zone's SOA.
func (z Zone) negative(reply *dns.Msg, records []Record, exists bool) error {
	if !exists {
		reply.Rcode = dns.RcodeNameError
	}
	for _, r := range records {
		if r.Type != "SOA" {
			continue
		}
		rrs, err := r.wire(r.Name)
		if err != nil {
			return err
		}
		if soa, ok := rrs[0].(*dns.SOA); ok {
			soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
		}
		reply.Ns = rrs
	}
	return nil
}

// lookup finds the record sets at a name, else those of the wildcard that covers
// it, and tells whether the name exists. It does, too, where only names below it
// have records.
func lookup(records []Record, apex, name string) (found []Record, exists bool) {
	if has(records, name) {
		return at(records, name), true
	}
	for above := parent(name); within(above, apex); above = parent(above) {
		if has(records, above) {
			found = at(records, "*."+above)
			return found, len(found) > 0
		}
	}
	return nil, false
}

// has tells whether there are records at a name or below it.
func has(records []Record, name string) bool {
	return slices.ContainsFunc(records, func(r Record) bool { return within(r.Name, name) })
}

func at(records []Record, name string) []Record {
	return slices.DeleteFunc(slices.Clone(records), func(r Record) bool { return r.Name != name })
}

// parent is the name without its first label.
func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// delegation is the NS record set, below the top of the zone, that hands the
// name over to other servers.
func delegation(records []Record, apex, name string, qtype uint16) *Record {
	for cut := name; cut != apex && within(cut, apex); cut = parent(cut) {
		i := slices.IndexFunc(records, func(r Record) bool { return r.Name == cut && r.Type == "NS" })
		if i >= 0 && (cut != name || qtype != dns.TypeDS) {
			return &records[i]
		}
	}
	return nil
}

// wire is a record set as it is sent, under the name that was asked for.
func (r Record) wire(owner string) ([]dns.RR, error) {
	rrs := make([]dns.RR, 0, len(r.Rrdatas))
	for _, data := range r.Rrdatas {
		rr, err := parseRecord(r, data)
		if err != nil {
			return nil, fmt.Errorf("the record set %s of type %s: %w", r.Name, r.Type, err)
		}
		rr.Header().Name = owner
		rrs = append(rrs, rr)
	}
	if len(rrs) == 0 {
		return nil, fmt.Errorf("the record set %s of type %s is empty", r.Name, r.Type)
	}
	return rrs, nil
}
