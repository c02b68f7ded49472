package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// manifestName is the file in an artifact's folder that lists what belongs there.
const manifestName = ".manifest.json"

// entry describes one file of an artifact.
type entry struct {
	Path string `json:"path"`
	Size int64  `json:"size,omitempty"`
	// Time is the file's modification time, in nanoseconds. While it stands, the
	// content is taken to stand too, so that a check costs a stat a file.
	Time int64  `json:"time,omitempty"`
	Sum  string `json:"sha256,omitempty"`
	Link string `json:"link,omitempty"` // what a symbolic link points at
}

// seal writes the manifest of a finished folder.
func seal(dir string) error {
	list, err := describe(dir)
	if err != nil {
		return fmt.Errorf("list what was built: %w", err)
	}
	if len(list) == 0 {
		return errors.New("the build made no file")
	}
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), b, 0o644)
}

func describe(dir string) ([]entry, error) {
	var list []entry
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		e := entry{Path: rel}
		if info.Mode()&fs.ModeSymlink != 0 {
			if e.Link, err = os.Readlink(path); err != nil {
				return err
			}
		} else if info.Mode().IsRegular() {
			e.Size, e.Time = info.Size(), info.ModTime().UnixNano()
			if e.Sum, err = sum(path); err != nil {
				return err
			}
		}
		list = append(list, e)
		return nil
	})
	return list, err
}

// check returns nil if the folder is whole, an error that is os.ErrNotExist if there
// is none, and what is wrong with it otherwise.
func check(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return errors.New("its list of files can't be read")
	}
	var list []entry
	if err := json.Unmarshal(b, &list); err != nil || len(list) == 0 {
		return errors.New("its list of files is damaged")
	}
	for _, e := range list {
		if err := e.check(dir); err != nil {
			return fmt.Errorf("%s %w", e.Path, err)
		}
	}
	return nil
}

func (e entry) check(dir string) error {
	path := filepath.Join(dir, e.Path)
	if e.Link != "" {
		if to, err := os.Readlink(path); err != nil || to != e.Link {
			return errors.New("is no longer the link that it was")
		}
		return nil
	}
	info, err := os.Lstat(path)
	if err != nil {
		return errors.New("is missing")
	}
	if e.Sum == "" || info.Size() == e.Size && info.ModTime().UnixNano() == e.Time {
		return nil
	}
	if info.Size() != e.Size {
		return fmt.Errorf("has %d bytes instead of %d", info.Size(), e.Size)
	}
	if got, err := sum(path); err != nil || got != e.Sum {
		return errors.New("has another content")
	}
	return nil
}

// markUsed notes the use of an artifact in the time of its manifest.
func markUsed(dir string) error {
	now := time.Now()
	if err := os.Chtimes(filepath.Join(dir, manifestName), now, now); err != nil {
		return fmt.Errorf("note the use of %s: %w", dir, err)
	}
	return nil
}

func usedSince(dir string, t time.Time) bool {
	info, err := os.Stat(filepath.Join(dir, manifestName))
	return err == nil && info.ModTime().After(t)
}

func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
