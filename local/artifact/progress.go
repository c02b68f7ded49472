package artifact

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress tells a person what is being built, since when, and for how long still.
// On a terminal it keeps one line up to date; into a file or a CI log it writes a
// line when something begins or ends, and one every half minute in between.
// A nil Progress is silent.
type Progress struct {
	out      io.Writer
	terminal bool

	mu      sync.Mutex
	total   int
	begun   int
	left    time.Duration // estimated cost of what has not begun
	running []*task
	shown   time.Time
}

// NewProgress reports to out, which is a terminal or not.
func NewProgress(out io.Writer, terminal bool) *Progress {
	return &Progress{out: out, terminal: terminal}
}

// Expect says what is going to be built.
func (p *Progress) Expect(rs []Recipe) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += len(rs)
	for _, r := range rs {
		p.left += r.Cost
	}
}

// Note writes one line for the reader.
func (p *Progress) Note(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(fmt.Sprintf(format, args...))
}

// Tick brings the shown line up to date until done is closed.
func (p *Progress) Tick(done <-chan struct{}) {
	if p == nil {
		return
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-t.C:
			p.mu.Lock()
			p.show(now)
			p.mu.Unlock()
		}
	}
}

type task struct {
	p      *Progress
	recipe Recipe
	number int
	since  time.Time
	doing  string
}

func (p *Progress) start(r Recipe) *task {
	t := &task{p: p, recipe: r, since: time.Now(), doing: "building"}
	if p == nil {
		return t
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun++
	p.total = max(p.total, p.begun)
	p.left = max(0, p.left-r.Cost)
	t.number = p.begun
	p.running = append(p.running, t)
	if !p.terminal {
		p.line(t.text(time.Now(), p.total, p.remaining(time.Now())))
	}
	return t
}

func (t *task) step(what string) {
	if t.p == nil {
		return
	}
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.doing = what
}

func (t *task) end(err error, stopped bool) {
	if t.p == nil {
		return
	}
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	for i, r := range t.p.running {
		if r == t {
			t.p.running = append(t.p.running[:i], t.p.running[i+1:]...)
			break
		}
	}
	how := "ready"
	switch {
	case stopped:
		how = "stopped"
	case err != nil:
		how = "failed"
	}
	t.p.line(fmt.Sprintf("[%d/%d] %s: %s after %s", t.number, t.p.total, t.recipe.Title, how, span(time.Since(t.since))))
}

// text is the line of one running task; left is the estimate for everything.
func (t *task) text(now time.Time, total int, left time.Duration) string {
	s := fmt.Sprintf("[%d/%d] %s: %s", t.number, total, t.recipe.Title, t.doing)
	if d := now.Sub(t.since); d >= time.Second {
		s += ", " + span(d)
	}
	if left >= time.Minute {
		return s + fmt.Sprintf(", about %s left", roughly(left))
	}
	return s + ", under a minute left"
}

// remaining estimates the time to the end of all builds. A build that takes longer
// than its estimate is assumed to have a tenth of it left.
func (p *Progress) remaining(now time.Time) time.Duration {
	var current time.Duration
	for _, t := range p.running {
		current = max(current, t.recipe.Cost-now.Sub(t.since), t.recipe.Cost/10)
	}
	return p.left + current
}

// show is called with the lock held.
func (p *Progress) show(now time.Time) {
	if len(p.running) == 0 {
		return
	}
	t := p.running[0]
	line := t.text(now, p.total, p.remaining(now))
	if n := len(p.running) - 1; n > 0 {
		line += fmt.Sprintf(" (and %s: %s)", p.running[1].recipe.Title, p.running[1].doing)
	}
	if p.terminal {
		fmt.Fprintf(p.out, "\r%s\x1b[K", line)
		return
	}
	if now.Sub(p.shown) >= 30*time.Second {
		p.line(line)
	}
}

func (p *Progress) line(s string) {
	p.shown = time.Now()
	if p.terminal {
		s = "\r" + s + "\x1b[K"
	}
	fmt.Fprintln(p.out, s)
}

// span writes a duration to the second: 8s, 3m10s, 1h02m.
func span(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	default:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
}

// roughly writes an estimate to the minute.
func roughly(d time.Duration) string {
	m := int(d.Round(time.Minute).Minutes())
	if m < 60 {
		return fmt.Sprintf("%dm", m)
	}
	return fmt.Sprintf("%dh%02dm", m/60, m%60)
}
