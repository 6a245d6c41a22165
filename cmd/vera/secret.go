package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// leastSecret is how many characters a secret's file must hold.
const leastSecret = 16

// newSecret makes a secret of 256 random bits, a line of 43 characters.
func newSecret() string {
	raw := make([]byte, 32)
	rand.Read(raw) // never fails, as of Go 1.24
	return base64.RawURLEncoding.EncodeToString(raw)
}

func secretCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "secret [FILE]", Short: "make a cluster's secret", Args: cobra.MaximumNArgs(1)}
	cmd.Long = "make a cluster's secret: print it, or write it to a new file that only you may read"
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		secret := newSecret()
		switch {
		case len(args) == 1:
			return writeSecret(args[0], secret)
		case *asJSON:
			return json.NewEncoder(s.out).Encode(map[string]string{"secret": secret})
		}
		_, err := fmt.Fprintln(s.out, secret)
		return err
	}
	return cmd
}

// writeSecret makes a file for a secret. One that is there stays as it is: it
// may be in use.
func writeSecret(file, secret string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already and stays as it is: name another file", file)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(secret + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// readSecret reads a secret from a file that nobody else may read; no name, no
// secret.
func readSecret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	if err := private(file); err != nil {
		return "", err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	secret := string(bytes.TrimSpace(text))
	if len(secret) < leastSecret {
		return "", fmt.Errorf("%s holds %d characters, at least %d are needed", file, len(secret), leastSecret)
	}
	return secret, nil
}

// private refuses a secret's file that others may read.
func private(file string) error {
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("%s can be read by others (mode %#o): chmod 600 %s", file, info.Mode().Perm(), file)
	}
	return err
}
