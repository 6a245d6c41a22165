package main

import (
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// protocolVersion is the version of the interface that this program serves.
const protocolVersion = 0

// release is the program's version; a build from a module version or a
// checkout says more through its build information.
const release = "0.1.0"

func versionCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "say which vera this is", Args: noArguments}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(*cobra.Command, []string) error {
		revision := ""
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, setting := range info.Settings {
				if setting.Key == "vcs.revision" {
					revision = setting.Value
				}
			}
		}
		if *asJSON {
			return json.NewEncoder(s.out).Encode(map[string]any{"version": release, "protocol": protocolVersion, "revision": revision, "platform": platform()})
		}
		if revision != "" {
			revision = " " + revision
		}
		_, err := fmt.Fprintf(s.out, "vera %s (protocol %d%s) %s\n", release, protocolVersion, revision, platform())
		return err
	}
	return cmd
}
