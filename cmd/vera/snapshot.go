package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"vera/raft"
)

// snapshotCommand saves the state of a cluster, checks what was saved, and
// makes a data directory of it.
func snapshotCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "snapshot", Short: "save, check or restore the state"}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return noArguments(cmd, args)
		}
		return usageError{errors.New("snapshot: save, check or restore is wanted")}
	}
	cmd.RunE = func(*cobra.Command, []string) error { return nil } // never: Args says what is wanted
	cmd.AddCommand(saveCommand(s), checkCommand(s), restoreCommand(s))
	return cmd
}

// archive is what a command says of an archive.
type archive struct {
	File     string         `json:"file"`
	Cluster  raft.ClusterID `json:"cluster"`
	Peer     string         `json:"peer"` // that wrote it
	Saved    time.Time      `json:"saved"`
	Term     uint64         `json:"term"`
	Index    uint64         `json:"index"`
	Sessions int            `json:"sessions"`
	Items    int            `json:"items"`
	Lists    int            `json:"lists"`
	Watches  int            `json:"watches"`
	Restored uint64         `json:"restored,omitzero"` // the index of the new data directory
}

func archiveOf(file string, a raft.Archive) archive {
	return archive{file, a.Cluster, a.Peer, a.Saved, a.Term, a.Index, a.Sessions, a.Items, a.Lists, a.Watches, a.Restored}
}

// tell prints it, for people with a sentence in front.
func (a archive) tell(s streams, asJSON bool, sentence string) error {
	if asJSON || !isTerminal(s.out) {
		return json.NewEncoder(s.out).Encode(a)
	}
	_, err := fmt.Fprintf(s.out, "%s\n  cluster   %s\n  index     %d (term %d)\n  saved     %s by %s\n  holds     %d sessions, %d items on %d lists, %d watches\n",
		sentence, a.Cluster, a.Index, a.Term, a.Saved.Format(time.RFC3339), a.Peer, a.Sessions, a.Items, a.Lists, a.Watches)
	return err
}

// oneFile wants the name of a file and nothing else.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usageError{fmt.Errorf("usage: %s", cmd.UseLine())}
	}
	return nil
}

func saveCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "save FILE|-", Short: "save the state of the cluster, and check what was saved", Args: oneFile}
	o := operatorFlags(cmd.Flags())
	asJSON := cmd.Flags().Bool("json", false, "print JSON, also on a terminal")
	force := cmd.Flags().Bool("force", false, "replace FILE if there is one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[0] == "-" {
			return o.download(cmd.Context(), s.out)
		}
		a, err := o.save(cmd.Context(), args[0], *force)
		if err != nil {
			return err
		}
		return archiveOf(args[0], a).tell(s, *asJSON, args[0]+" is saved and good.")
	}
	return cmd
}

// save writes to a file, which has its name only when it is whole and good. One
// that is there already is replaced, in one step, only by force.
func (o *operator) save(ctx context.Context, file string, force bool) (a raft.Archive, err error) {
	if err := vacant(file, force); err != nil {
		return a, err
	}
	out, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return a, err
	}
	err = o.download(ctx, out)
	if err == nil {
		_, err = out.Seek(0, io.SeekStart)
	}
	if err == nil {
		a, err = raft.CheckArchive(out)
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = vacant(file, force) // it took a while
	}
	if err == nil {
		err = os.Rename(out.Name(), file)
	}
	if err != nil {
		return a, errors.Join(err, os.Remove(out.Name()))
	}
	return a, syncFolder(filepath.Dir(file))
}

// vacant refuses a name that a file has, unless that may be replaced.
func vacant(file string, force bool) error {
	if _, err := os.Lstat(file); err == nil && !force {
		return fmt.Errorf("%s exists, and is left as it is: give another name, or --force", file)
	}
	return nil // whatever else is wrong with it, who writes there is told
}

// syncFolder has the disk keep the names in a folder.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// download copies the state of the cluster to out.
func (o *operator) download(ctx context.Context, out io.Writer) error {
	response, err := o.ask(ctx, http.MethodGet, "/snapshot")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(out, response.Body); err != nil {
		return fmt.Errorf("%s broke off, so this is no snapshot; try again, or ask another peer: %w", o.server, err)
	}
	return nil
}

func checkCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "check FILE", Short: "say what a file holds, and whether all of it is good", Args: oneFile}
	asJSON := cmd.Flags().Bool("json", false, "print JSON, also on a terminal")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		in, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer in.Close()
		a, err := raft.CheckArchive(in)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		return archiveOf(args[0], a).tell(s, *asJSON, args[0]+" is good.")
	}
	return cmd
}

func restoreCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "restore FILE", Short: "make a new data directory of it, of one peer that others may join", Args: oneFile}
	into := defaultConfig()
	flags := into.groups()[0].flags // all groups, for their defaults
	cmd.Flags().AddFlag(flags.Lookup("data-dir"))
	cmd.Flags().AddFlag(flags.Lookup("name"))
	above := cmd.Flags().Uint64("above", 0, "go on with the index behind this one (default: 2^32 behind the file's), so that no version is given out twice")
	key := cmd.Flags().String("cookie-key-file", "", "cookie.key of the cluster that was saved: its clients are known again (default: a new one; their sessions expire)")
	asJSON := cmd.Flags().Bool("json", false, "print JSON, also on a terminal")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := errors.Join(into.checkNames()...); err != nil {
			return usageError{err}
		}
		cookie, err := readCookieKey(*key)
		if err != nil {
			return fmt.Errorf("--cookie-key-file: %w", err)
		}
		in, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer in.Close()
		a, err := raft.RestoreArchive(into.dataDir, into.name, in, *above, cookie)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		return archiveOf(args[0], a).tell(s, *asJSON, fmt.Sprintf(
			"%s is restored, at index %d. No peer of the old cluster may run any more. Start this one with:\n  vera --data-dir %s --name %s",
			args[0], a.Restored, quoted([]string{into.dataDir}), quoted([]string{into.name})))
	}
	return cmd
}

// readCookieKey reads the key that cookies are signed with, from a data
// directory or a copy of the file; no name, no key.
func readCookieKey(file string) ([]byte, error) {
	text, err := readSecret(file)
	if err != nil || file == "" {
		return nil, err
	}
	key, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%s is no cookie.key: that is 64 hex digits", file)
	}
	return key, nil
}
