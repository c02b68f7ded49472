package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Check finds, before anything is built for it, what would keep Start from starting
// the cluster: it costs milliseconds, and what is built may cost half an hour.
func Check(cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errNotRoot
	}
	if running, err := daemonRuns(cfg); running || err != nil {
		return err
	}
	disk, err := existing(cfg.State)
	if err != nil {
		return err
	}
	if err := checkSpace(disk); err != nil {
		return err
	}
	if err := checkOverlay(disk); err != nil {
		return err
	}
	if _, err := hostHierarchies(); err != nil {
		return err
	}
	return checkPorts(cfg)
}

// existing is the folder itself or, where it is still to be made, the one above that
// is there.
func existing(dir string) (string, error) {
	for {
		_, err := os.Stat(dir)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir, err
		}
		dir = filepath.Dir(dir)
	}
}
