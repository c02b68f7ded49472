// Command probe is a pod's view of the cluster, over HTTP: what it can reach, what
// names it finds, what it may write. The test of the cluster builds an image of it.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { answer(w, "ok", nil) })
	http.HandleFunc("/fetch", func(w http.ResponseWriter, r *http.Request) {
		got, err := fetch(r.FormValue("url"))
		answer(w, got, err)
	})
	http.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		answer(w, "written", os.WriteFile(r.FormValue("path"), []byte(r.FormValue("text")), 0o600))
	})
	http.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		b, err := os.ReadFile(r.FormValue("path"))
		answer(w, string(b), err)
	})
	http.HandleFunc("/lookup", func(w http.ResponseWriter, r *http.Request) {
		got, err := lookup(r.Context(), r.FormValue("network"), r.FormValue("kind"), r.FormValue("name"))
		answer(w, got, err)
	})
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: 5 * time.Second}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}

// answer tells an error as text, so that a test sees it.
func answer(w io.Writer, text string, err error) {
	if err != nil {
		text = "error: " + err.Error()
	}
	if _, err := fmt.Fprint(w, text); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func fetch(url string) (string, error) {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	return string(b), err
}

// lookup asks the pod's name server over UDP or TCP.
func lookup(ctx context.Context, network, kind, name string) (string, error) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, address)
	}}
	switch kind {
	case "A":
		got, err := resolver.LookupIP(ctx, "ip4", name)
		return fmt.Sprint(got), err
	case "AAAA":
		got, err := resolver.LookupIP(ctx, "ip6", name)
		return fmt.Sprint(got), err
	case "SRV":
		_, got, err := resolver.LookupSRV(ctx, "", "", name)
		if err != nil || len(got) == 0 {
			return "", err
		}
		return fmt.Sprintf("%s:%d", got[0].Target, got[0].Port), nil
	}
	return "", fmt.Errorf("unknown kind %q", kind)
}
