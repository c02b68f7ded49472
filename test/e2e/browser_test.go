//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a visitor's: it looks names up where the test says, and knows nobody.
type browser struct {
	ctx context.Context
}

// newBrowser starts a browser in which a project's host is where it answers on this
// machine, so that the pages are opened by the URL that people use.
func newBrowser(t *testing.T, projects ...project) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("a browser is needed to look at the page: install chromium")
	}
	var rules []string
	for _, p := range projects {
		rules = append(rules, fmt.Sprintf("MAP %s:80 %s", p.Host, site(p, 80)))
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("host-resolver-rules", strings.Join(rules, ",")),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("lang", "en-GB"),
	)
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if _, err := chromedp.Run(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return &browser{ctx: ctx}
}

// page is one tab, with what a visitor would complain of.
type page struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu         sync.Mutex
	complaints []string
	underWay   map[network.RequestID]string
	quietSince time.Time
	sockets    []int64 // the statuses of WebSocket handshakes
}

// open opens a URL in a tab of its own.
func (b *browser) open(t *testing.T, url string, width, height int64) *page {
	t.Helper()
	ctx, cancelTab := chromedp.NewContext(b.ctx)
	p := &page{underWay: map[network.RequestID]string{}, quietSince: time.Now()}
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		t.Fatal(err)
	}
	ctx, cancelTime := context.WithTimeout(ctx, 2*time.Minute)
	p.ctx, p.cancel = ctx, func() { cancelTime(); cancelTab() }
	t.Cleanup(p.cancel)
	enableLog := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, log.Enable, cdp.Empty{})
		return err
	})
	if _, err := chromedp.Run(ctx, chromedp.Steps(enableLog, chromedp.EmulateViewport(width, height), chromedp.Navigate(url))); err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	return p
}

// hear notes what the browser says of the page.
func (p *page) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		p.complaints = append(p.complaints, "the page threw: "+text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			p.complaints = append(p.complaints, "error in the console: "+consoleText(e.Args))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			p.complaints = append(p.complaints, fmt.Sprintf("error in the console: %s (%s)", e.Entry.Text, e.Entry.URL))
		}
	case *network.EventWebSocketHandshakeResponseReceived:
		p.sockets = append(p.sockets, e.Response.Status)
	case *network.EventRequestWillBeSent:
		p.underWay[e.RequestID] = e.Request.URL
	case *network.EventLoadingFinished:
		p.done(e.RequestID)
	case *network.EventLoadingFailed:
		p.done(e.RequestID)
	}
}

func (p *page) done(id network.RequestID) {
	delete(p.underWay, id)
	p.quietSince = time.Now()
}

func consoleText(args []*runtime.RemoteObject) string {
	var words []string
	for _, a := range args {
		words = append(words, strings.Trim(string(a.Value), `"`)+a.Description)
	}
	return strings.Join(words, " ")
}

// quiet tells whether nothing was asked of the server for half a second.
func (p *page) quiet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.underWay) == 0 && time.Since(p.quietSince) > 500*time.Millisecond
}

// panel is one panel as it is drawn.
type panel struct {
	Title   string
	Text    string // all that is written in it
	Loading bool
	Error   bool
	Drawn   bool // it has a picture
}

// panelsScript reads the panels of a dashboard.
const panelsScript = `[...document.querySelectorAll('[data-testid^="data-testid Panel header"]')]
  .filter(e => !e.parentElement.closest('[data-testid^="data-testid Panel header"]'))
  .map(e => ({
    Title: e.getAttribute('data-testid').replace('data-testid Panel header', '').trim(),
    Text: e.innerText,
    Loading: !!e.querySelector('[aria-label*="oading bar"], [data-testid*="oading bar"], .panel-loading'),
    Error: !!e.querySelector('[data-testid="data-testid Panel status error"], [data-testid="data-testid Panel status message error"], [aria-label="Panel status error"]')
      || /An unexpected error happened|Panel plugin not found/.test(e.innerText),
    Drawn: !!e.querySelector('canvas'),
  }))`

// panels waits until a dashboard with so many panels is drawn, and returns them. A panel
// is drawn when it does not load any more and shows something.
func (p *page) panels(t *testing.T, want int) []panel {
	t.Helper()
	return p.panelsWhen(t, want, func([]panel) bool { return true })
}

func (p *page) panelsWhen(t *testing.T, want int, shown func([]panel) bool) []panel {
	t.Helper()
	var last []panel
	for {
		panels, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]panel](panelsScript))
		if err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Errorf("the dashboard was not drawn: %v\nit has %d of %d panels: %+v\nrequests under way: %v\n%s",
				err, len(last), want, last, p.underWay, strings.Join(p.complaints, "\n"))
			return last
		}
		last = panels
		waits := slices.ContainsFunc(panels, func(e panel) bool {
			return e.Loading || !e.Drawn && strings.TrimSpace(strings.TrimPrefix(e.Text, e.Title)) == ""
		})
		if len(panels) == want && !waits && p.quiet() && shown(panels) {
			return panels
		}
		select {
		case <-p.ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// picture keeps what the page looks like.
func (p *page) picture(t *testing.T, l *local, name string) {
	t.Helper()
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Errorf("take a picture of %s: %v", name, err)
		return
	}
	l.artefact(name+".png", picture)
}

// complain fails the test for what a visitor would complain of.
func (p *page) complain(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.complaints {
		t.Error(c)
	}
}

// shipped is a dashboard of the repository.
type shipped struct {
	UID, Title string
	Panels     []struct {
		Title, Type string
		GridPos     struct{ Y, H int }
	}
}

func readDashboard(t *testing.T, l *local, uid string) shipped {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(l.repo, "dashboards", uid+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var d shipped
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("%s: %v", uid, err)
	}
	return d
}

// visible is how many panels are drawn without opening a row.
func (d shipped) visible() int {
	n := 0
	for _, p := range d.Panels {
		if p.Type != "row" {
			n++
		}
	}
	return n
}

// height of a window in which the whole dashboard is visible: what is below the edge
// of the window does not load.
func (d shipped) height() int64 {
	rows := 0
	for _, p := range d.Panels {
		rows = max(rows, p.GridPos.Y+p.GridPos.H)
	}
	return int64(rows*38 + 130)
}

// looksLikeGrafana opens the site's front page as an anonymous visitor, keeps a
// picture of it, and looks for what a visitor would complain of.
func looksLikeGrafana(t *testing.T, l *local, p project, base string) {
	t.Helper()
	pg := newBrowser(t, p).open(t, base+"/", 1400, 1600)
	if _, err := chromedp.Run(pg.ctx, chromedp.WaitVisible(`[data-testid^="data-testid Panel header"]`)); err != nil {
		t.Errorf("no panel is drawn at %s: %v", base, err)
	}
	title, err := chromedp.Run(pg.ctx, chromedp.Title())
	if err != nil || !strings.Contains(title, "Grafana") {
		t.Errorf("the title of %s is %q: %v", base, title, err)
	}
	pg.picture(t, l, "home-"+p.Namespace)
	pg.complain(t)
}
