package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"velodrome/local/gcp"
)

// dialPatience is how long a connection from the host may take to reach the
// cluster; both are on one machine.
const dialPatience = 5 * time.Second

// Forward is one port of a load balancer on the host.
type Forward struct {
	Service string `json:"service"` // namespace/name
	Address string `json:"address"` // of the load balancer, with port
	Host    string `json:"host"`    // on the host's loopback, with port
	Err     string `json:"err,omitempty"`
}

// forwarder holds the listeners on the host.
type forwarder struct {
	network Network
	offset  int
	changed func([]Forward)

	mu   sync.Mutex
	open map[string]*listener // by host address and port
}

type listener struct {
	Forward
	l net.Listener // nil: it could not be opened
}

func newForwarder(network Network, offset int, changed func([]Forward)) *forwarder {
	if changed == nil {
		changed = func([]Forward) {}
	}
	return &forwarder{network: network, offset: offset, changed: changed, open: map[string]*listener{}}
}

// set makes the forwards of one Service those of these ports of an address; no ports,
// none. A port of the host that is taken is an error, and the others are served.
func (f *forwarder) set(service string, ip net.IP, ports []int) error {
	want := map[string]string{}
	if len(ports) > 0 {
		host, err := gcp.Loopback(ip.String())
		if err != nil {
			return err
		}
		for _, p := range ports {
			want[net.JoinHostPort(host, strconv.Itoa(p+f.offset))] = net.JoinHostPort(ip.String(), strconv.Itoa(p))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	change := false
	for host, l := range f.open {
		if l.Service == service && (want[host] != l.Address || l.l == nil) {
			l.close()
			delete(f.open, host)
			change = true
		}
	}
	var errs []error
	for host, address := range want {
		if _, ok := f.open[host]; ok {
			continue
		}
		l := &listener{Forward: Forward{Service: service, Address: address, Host: host}}
		open, err := net.Listen("tcp", host)
		if err != nil {
			err = listenError(host, err)
			l.Err = err.Error()
			errs = append(errs, err)
		} else {
			l.l = open
			go f.serve(open, address)
		}
		f.open[host] = l
		change = true
	}
	if change {
		f.changed(f.list())
	}
	return errors.Join(errs...)
}

func listenError(host string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s on the host is taken by another program: end that one, or set VELODROME_PORT_OFFSET and start again", host)
	}
	return fmt.Errorf("listen on the host: %w", err)
}

// list is what is forwarded, in the order of the host's addresses. The caller holds the lock.
func (f *forwarder) list() []Forward {
	out := make([]Forward, 0, len(f.open))
	for _, l := range f.open {
		out = append(out, l.Forward)
	}
	slices.SortFunc(out, func(a, b Forward) int { return strings.Compare(a.Service+" "+a.Host, b.Service+" "+b.Host) })
	return out
}

func (l *listener) close() {
	if l.l != nil {
		_ = l.l.Close() // nothing is written through a listener
	}
}

func (f *forwarder) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.open {
		l.close()
	}
}

// serve takes connections until the listener is closed.
func (f *forwarder) serve(l net.Listener, address string) {
	Serve(l, func(ctx context.Context) (net.Conn, error) { return f.network.Dial(ctx, "tcp", address) })
}

// Serve joins each connection that a listener takes to one that dial makes, until
// the listener is closed.
func Serve(l net.Listener, dial func(context.Context) (net.Conn, error)) {
	for {
		near, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors, say: others must end first
			continue
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), dialPatience)
			defer cancel()
			far, err := dial(ctx)
			if err != nil {
				reset(near)
				return
			}
			join(near, far)
		}()
	}
}

// reset ends a connection as a port without a server would.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // else it ends politely, which is as good
	}
	_ = c.Close()
}

// join carries bytes both ways until both sides have said all. One that ends early
// ends the other: who reads it will see.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Add(1)
		go func() {
			defer both.Done()
			from, to := way[0], way[1]
			if _, err := io.Copy(to, from); err != nil {
				_ = from.Close()
				_ = to.Close()
				return
			}
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
		}()
	}
	both.Wait()
	_ = a.Close()
	_ = b.Close()
}
