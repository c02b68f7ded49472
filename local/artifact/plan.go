package artifact

import (
	"context"
	"errors"
)

// EnsureAll builds what is missing of the recipes and of what they need, at most
// lanes at a time, begun in the order given. It returns the folder of each recipe
// by name. After a failure nothing new begins, and what runs is stopped.
func (s *Store) EnsureAll(ctx context.Context, recipes []Recipe, lanes int) (map[string]string, error) {
	folders := map[string]string{}
	todo, err := s.missing(ctx, recipes, folders)
	if err != nil {
		return nil, err
	}
	s.Progress.Expect(todo)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go s.Progress.Tick(done)

	type result struct {
		recipe Recipe
		dir    string
		err    error
	}
	results := make(chan result)
	var failure error
	for running := 0; ; {
		for running < lanes && failure == nil {
			i := nextReady(todo, folders)
			if i < 0 {
				break
			}
			r := todo[i]
			todo = append(todo[:i:i], todo[i+1:]...)
			running++
			go func() {
				dir, err := s.Ensure(ctx, r)
				results <- result{r, dir, err}
			}()
		}
		if running == 0 {
			break
		}
		got := <-results
		running--
		if got.err == nil {
			folders[got.recipe.Name] = got.dir
			continue
		}
		// The first failure is the cause; the others were stopped because of it.
		if failure == nil {
			failure = got.err
			cancel()
		}
	}
	if failure == nil && len(todo) > 0 {
		failure = errors.New("the recipes need each other in a circle")
	}
	return folders, failure
}

// missing lists the recipes that have to be built, each after what it needs and none
// twice, and adds what is there to folders. What only a finished artifact needed is
// not asked for.
func (s *Store) missing(ctx context.Context, recipes []Recipe, folders map[string]string) ([]Recipe, error) {
	var todo []Recipe
	seen := map[string]bool{}
	var add func([]Recipe) error
	add = func(rs []Recipe) error {
		for _, r := range rs {
			if seen[r.Name] {
				continue
			}
			seen[r.Name] = true
			if _, ok := s.Ready(r); ok {
				dir, err := s.Ensure(ctx, r) // notes the use
				if err != nil {
					return err
				}
				folders[r.Name] = dir
				continue
			}
			if err := add(r.Needs); err != nil {
				return err
			}
			todo = append(todo, r)
		}
		return nil
	}
	err := add(recipes)
	return todo, err
}

// nextReady is the index of the first recipe of which all needs are built, or -1.
func nextReady(todo []Recipe, built map[string]string) int {
next:
	for i, r := range todo {
		for _, n := range r.Needs {
			if _, ok := built[n.Name]; !ok {
				continue next
			}
		}
		return i
	}
	return -1
}
