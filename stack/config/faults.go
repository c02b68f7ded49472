package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Fault is one thing that is wrong with a file, and the way out.
type Fault struct {
	// File is the path of the file as the user gave it.
	File string

	// Line and Column count from 1; both are 0 where the fault has no place in
	// the file, such as a file that is missing.
	Line, Column int

	// Message says what is wrong, and what to do.
	Message string
}

// Error is `file:line:column: message`.
func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// place is where something stands in the file, counted from 1.
type place struct{ line, column int }

// faults collects what is wrong with one file. The same fault at the same
// place counts once: an alias or a section of defaults is read many times.
type faults struct {
	file string
	list []*Fault
	seen map[faultKey]bool
	more int
}

type faultKey struct {
	place
	kind string
}

// maxFaults bounds the message: whoever has more has another kind of problem.
const maxFaults = 50

func newFaults(file string) *faults {
	return &faults{file: file, seen: map[faultKey]bool{}}
}

// add reports a fault; kind tells it from others at the same place.
func (f *faults) add(at place, kind, message string) {
	key := faultKey{at, kind}
	if f.seen[key] {
		return
	}
	f.seen[key] = true
	if len(f.list) >= 10*maxFaults {
		f.more++
		return
	}
	f.list = append(f.list, &Fault{f.file, at.line, at.column, message})
}

// err is nil, or all faults in the order of their places.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	slices.SortStableFunc(f.list, func(a, b *Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	shown := f.list[:min(len(f.list), maxFaults)]
	errs := make([]error, 0, len(shown)+1)
	for _, fault := range shown {
		errs = append(errs, fault)
	}
	if rest := len(f.list) - len(shown) + f.more; rest > 0 {
		errs = append(errs, fmt.Errorf("%s: and %d more faults", f.file, rest))
	}
	return errors.Join(errs...)
}

// quote shows a text of the user's, shortened.
func quote(text string) string {
	const most = 60
	if utf8.RuneCountInString(text) <= most {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q…", string([]rune(text)[:most]))
}

// didYouMean names what comes near, or else everything that is valid.
func didYouMean(got string, valid []string) string {
	if near := nearest(got, valid); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "valid are " + list(valid)
}

// list writes words in the way of a sentence.
func list(words []string) string {
	const most = 20
	quoted := make([]string, 0, len(words))
	for _, w := range words[:min(len(words), most)] {
		quoted = append(quoted, fmt.Sprintf("%q", w))
	}
	if len(words) > most {
		return strings.Join(quoted, ", ") + fmt.Sprintf(" and %d more", len(words)-most)
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " and " + quoted[len(quoted)-1]
}

// nearest is the word that a typo was meant to be, or nothing: one that differs
// only in case and hyphens, that is a quarter of its length away at most, or
// that begins or ends with it.
func nearest(got string, words []string) string {
	const longest = 64
	best, distance := "", 1+max(1, min(len(got)/4, 4))
	for _, w := range words {
		if plain(w) == plain(got) {
			return w
		}
		if len(got) > longest || len(w) > longest {
			continue
		}
		if d := edits(got, w); d < distance {
			best, distance = w, d
		}
	}
	if best == "" {
		best = completion(plain(got), words)
	}
	return best
}

// completion is the only word that begins or ends with what was written, or
// that this begins with.
func completion(got string, words []string) string {
	const shortest = 4
	best := ""
	for _, w := range words {
		p := plain(w)
		if min(len(got), len(p)) < shortest || !strings.HasPrefix(p, got) && !strings.HasSuffix(p, got) && !strings.HasPrefix(got, p) {
			continue
		}
		if best != "" {
			return ""
		}
		best = w
	}
	return best
}

var separators = strings.NewReplacer("-", "", "_", "", ".", "", " ", "")

// plain is a word without what people mix up in keys.
func plain(word string) string {
	return strings.ToLower(separators.Replace(word))
}

// edits counts the insertions, deletions, replacements and swaps of neighbours
// that lead from one word to another.
func edits(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			next[j] = min(next[j-1]+1, row[j]+1, row[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
