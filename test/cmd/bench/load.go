package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const (
	writers     = 4                // clients that write at the same time
	batchPoints = 5000             // points in each of their requests
	writeFor    = 10 * time.Second // each way, a round
	rounds      = 3
	singles     = 3000 // requests of one point, each way
	viewers     = 500
	viewFor     = 15 * time.Second
)

// load measures both ways from within the cluster's network, and prints the rows.
func load(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var p paths
	if err := decode(text, &p); err != nil {
		return err
	}
	for _, measure := range []func(paths) (row, error){writeRate, addedLatency, manyViewers, drawn} {
		r, err := measure(p)
		if err != nil {
			return err
		}
		fmt.Printf("%s\t%s\t%s\t%s\n", r.what, r.budget, r.measured, r.how)
	}
	return nil
}

func (p paths) direct() string { return "http://" + p.InfluxDB + "/write?db=monitoring" }
func (p paths) behind() string { return "http://" + p.Nginx + "/influxdb/write?db=monitoring" }

func (p paths) write(c *http.Client, url string, body []byte) error {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Host = p.Host
	req.SetBasicAuth("writer", p.WriterPassword)
	return done(c.Do(req))
}

// done reads an answer to its end, so that the connection is used again.
func done(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s %s", resp.Request.URL, resp.Status, text)
	}
	return err
}

// clock gives each point a time of its own.
var clock atomic.Int64

// batch is points of a hundred series.
func batch(points int) []byte {
	var b bytes.Buffer
	for range points {
		at := clock.Add(1)
		fmt.Fprintf(&b, "bench,runner=r%d seconds=%d.5,failed=0i %d\n", at%100, at%977, 1790000000000000000+at*1000)
	}
	return b.Bytes()
}

// writeRate writes in turns both ways, and compares the medians of points a second.
func writeRate(p paths) (row, error) {
	rates := map[string][]float64{}
	for range rounds {
		for _, url := range []string{p.direct(), p.behind()} {
			rate, err := p.writeAll(url)
			if err != nil {
				return row{}, err
			}
			rates[url] = append(rates[url], rate)
		}
	}
	direct, behind := median(rates[p.direct()]), median(rates[p.behind()])
	return row{"points a second through nginx", "0.9 × of those straight to InfluxDB",
		fmt.Sprintf("%.2f × (%.0f against %.0f)", behind/direct, behind, direct),
		fmt.Sprintf("`bench -only data`: %d clients, %d points a request, %d rounds of %s each way in turns, medians", writers, batchPoints, rounds, writeFor)}, nil
}

func (p paths) writeAll(url string) (float64, error) {
	var all sync.WaitGroup
	var points atomic.Int64
	faults := make([]error, writers)
	began := time.Now()
	for i := range writers {
		all.Go(func() {
			c := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
			for time.Since(began) < writeFor && faults[i] == nil {
				faults[i] = p.write(c, url, batch(batchPoints))
				points.Add(batchPoints)
			}
		})
	}
	all.Wait()
	return float64(points.Load()) / time.Since(began).Seconds(), errors.Join(faults...)
}

// addedLatency writes single points both ways in turns.
func addedLatency(p paths) (row, error) {
	c := &http.Client{Timeout: time.Minute}
	took := map[string][]float64{}
	for range singles {
		for _, url := range []string{p.direct(), p.behind()} {
			body := batch(1)
			began := time.Now()
			if err := p.write(c, url, body); err != nil {
				return row{}, err
			}
			took[url] = append(took[url], time.Since(began).Seconds()*1000)
		}
	}
	at := func(url string, share float64) float64 {
		list := slices.Sorted(slices.Values(took[url]))
		return list[int(share*float64(len(list)-1))]
	}
	return row{"latency that nginx adds to the write of a point, p99", "2 ms",
		fmt.Sprintf("%.2f ms (%.2f against %.2f; median %.2f against %.2f)", at(p.behind(), 0.99)-at(p.direct(), 0.99),
			at(p.behind(), 0.99), at(p.direct(), 0.99), at(p.behind(), 0.5), at(p.direct(), 0.5)),
		fmt.Sprintf("`bench -only data`: %d requests each way in turns, one connection each", singles)}, nil
}

// manyViewers ask at the same time, over a connection each.
func manyViewers(p paths) (row, error) {
	var all sync.WaitGroup
	var asked atomic.Int64
	faults := make([]error, viewers)
	began := time.Now()
	for i := range viewers {
		all.Go(func() {
			c := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
			for time.Since(began) < viewFor && faults[i] == nil {
				faults[i] = done(c.Get("http://" + p.Nginx + "/api/health"))
				asked.Add(1)
			}
		})
	}
	all.Wait()
	failed := 0
	for _, err := range faults {
		if err != nil {
			failed++
		}
	}
	measured := fmt.Sprintf("%d errors in %d requests", failed, asked.Load())
	if err := errors.Join(faults...); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		measured += " (" + first + ")"
	}
	return row{fmt.Sprintf("%d viewers of /api/health at the same time", viewers), "no error", measured,
		fmt.Sprintf("`bench -only data`: a connection each, for %s", viewFor)}, nil
}

// drawn opens the home dashboard in browsers that have never seen it.
func drawn(p paths) (row, error) {
	took := map[string][]float64{}
	for range rounds {
		for _, address := range []string{p.Grafana, p.Nginx} {
			d, err := drawOnce(p.Host, address)
			if err != nil {
				return row{}, err
			}
			took[address] = append(took[address], d.Seconds())
		}
	}
	direct, behind := median(took[p.Grafana]), median(took[p.Nginx])
	return row{"the home dashboard, drawn by a browser that never saw it", "1.5 × of Grafana without nginx",
		fmt.Sprintf("%.2f × (%.1f s against %.1f s)", behind/direct, behind, direct),
		fmt.Sprintf("`bench -only data`: chromium, until every panel is there and nothing is asked for any more; %d times each way in turns, medians", rounds)}, nil
}

// allDrawn tells whether the panels are there and none of them loads.
const allDrawn = `(() => {
  const panels = [...document.querySelectorAll('[data-testid^="data-testid Panel header"]')];
  return panels.length > 5 && !panels.some(e => e.querySelector('[aria-label*="oading bar"], [data-testid*="oading bar"], .panel-loading'));
})()`

// settled is how long nothing must have been asked for.
const settled = 500 * time.Millisecond

func drawOnce(host, address string) (time.Duration, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return 0, fmt.Errorf("a browser is needed to draw the page: install chromium: %w", err)
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("host-resolver-rules", "MAP "+host+":80 "+address),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	defer cancel()
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Navigate("about:blank")); err != nil {
		return 0, fmt.Errorf("start %s: %w", path, err)
	}
	var mu sync.Mutex
	underWay, last := map[network.RequestID]bool{}, time.Now()
	if err := chromedp.Listen(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			underWay[e.RequestID] = true
		case *network.EventLoadingFinished:
			delete(underWay, e.RequestID)
			last = time.Now()
		case *network.EventLoadingFailed:
			delete(underWay, e.RequestID)
			last = time.Now()
		}
	}); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := chromedp.Run(ctx, chromedp.Steps(chromedp.EmulateViewport(1400, 2400), chromedp.Navigate("http://"+host+"/"))); err != nil {
		return 0, fmt.Errorf("open http://%s/ at %s: %w", host, address, err)
	}
	for {
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](allDrawn))
		if err != nil {
			return 0, fmt.Errorf("wait for the panels of http://%s/ at %s: %w", host, address, err)
		}
		mu.Lock()
		quiet := len(underWay) == 0 && time.Since(last) > settled
		at := last
		mu.Unlock()
		if there && quiet {
			return at.Sub(began), nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}
