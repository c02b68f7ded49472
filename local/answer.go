package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"velodrome/local/cluster"
)

// answerPatience is how long a site has to answer once pulumi has brought it up. A port
// that was taken is tried again at least every 15 seconds.
const answerPatience = 20 * time.Second

// waitForSites waits until each site answers, and says what keeps one from it.
func (s *session) waitForSites(ctx context.Context) error {
	if s.own {
		return nil // whether the addresses lead anywhere is the cluster's own business
	}
	projects, err := s.stack.Projects(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(projects)) {
		url, err := s.siteURL(projects[name].IP)
		if err == nil {
			err = s.waitForSite(ctx, url)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("project %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *session) waitForSite(ctx context.Context, url string) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		// While another program has the port, it is that one that would answer.
		err := s.refused(url)
		if err == nil {
			err = ask(ctx, url+"/api/health")
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s/ does not answer: %w", url, err)
		case <-tick.C:
		}
	}
}

// refused is why the host has no port open for a site, if it has none.
func (s *session) refused(url string) error {
	status, err := cluster.Get(s.cluster)
	if err != nil {
		return err
	}
	host := strings.TrimPrefix(url, "http://")
	if !strings.Contains(host, ":") {
		host += ":80"
	}
	for _, f := range status.Forwards {
		if f.Host == host && f.Err != "" {
			return errors.New(f.Err)
		}
	}
	return nil
}

// ask gets a page.
func ask(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w; `make status` shows the pods, `make logs` what they say", err)
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode >= 500 {
		return fmt.Errorf("it says %s; `make status` shows the pods, `make logs` what they say", resp.Status)
	}
	return nil
}
