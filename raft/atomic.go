package raft

import (
	"errors"
	"os"
	"path/filepath"
)

// suffix marks a file that is being written; a crash may leave it.
const suffix = ".new"

// writeFile replaces a file in one step: after a crash it is wholly the old or
// wholly the new one, and after a return without an error it is the new one.
// Only its owner may read it.
func writeFile(file string, content []byte) error {
	f, err := os.OpenFile(file+suffix, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(file+suffix, file); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(file))
}

// syncDirectory makes the names in a directory durable.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
