package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keyLength is how many hex digits of a hash a key has: 64 bits, enough for a
// handful of versions of one thing, and short enough to read in a path.
const keyLength = 16

// Hash returns the key of an artifact that is made from the given things.
func Hash(from ...string) string {
	h := sha256.New()
	for _, s := range from {
		fmt.Fprintf(h, "%d:%s\n", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil))[:keyLength]
}

// Sources hashes the files that make up Go programs: go.mod, go.sum and every other
// file below the given paths but the tests, by name and content. What embeds other
// files is covered by that too.
func Sources(paths ...string) (string, error) {
	var parts []string
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if d.Name() == "testdata" {
					return filepath.SkipDir
				}
				return nil
			}
			if strings.HasSuffix(d.Name(), "_test.go") || !d.Type().IsRegular() {
				return nil
			}
			s, err := sum(path)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			parts = append(parts, filepath.Base(root), rel, s)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("read the sources in %s: %w", root, err)
		}
	}
	return Hash(parts...), nil
}

// exists says whether there is a file or folder at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
