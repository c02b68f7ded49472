//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// looksLikeGrafana opens the site's front page as an anonymous visitor, keeps a
// picture of it, and looks for what a visitor would complain of.
func looksLikeGrafana(t *testing.T, l *local, p project, base string) {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("a browser is needed to look at the page: install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1400, 1600),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()

	var mu sync.Mutex
	var complaints []string
	if err := chromedp.Listen(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		if e, ok := event.(*runtime.EventExceptionThrown); ok {
			complaints = append(complaints, e.ExceptionDetails.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}
	visit := func() error {
		if _, err := chromedp.Run(ctx, chromedp.Navigate(base+"/")); err != nil {
			return err
		}
		// The panels of the home dashboard are drawn.
		if _, err := chromedp.Run(ctx, chromedp.WaitVisible(`[data-panelid], [data-viz-panel-key], .panel-container`)); err != nil {
			return err
		}
		title, err := chromedp.Run(ctx, chromedp.Title())
		if err == nil && !strings.Contains(title, "Grafana") {
			err = fmt.Errorf("the title is %q", title)
		}
		return err
	}
	if err := visit(); err != nil {
		t.Errorf("open %s: %v", base, err)
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Errorf("take a picture of %s: %v", base, err)
	}
	l.artefact(fmt.Sprintf("home-%s.png", p.Namespace), picture)
	mu.Lock()
	defer mu.Unlock()
	for _, c := range complaints {
		t.Errorf("the page threw: %s", c)
	}
}
