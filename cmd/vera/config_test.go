package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// settings parses a command line, an environment and a file as serve does.
func settings(t *testing.T, args []string, env map[string]string) (*config, error) {
	t.Helper()
	c := defaultConfig()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	addFlags(flags, c)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	fromOutside := fill(flags, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	return c, errors.Join(fromOutside, c.check())
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreGood(t *testing.T) {
	if _, err := settings(t, nil, nil); err != nil {
		t.Fatal(err)
	}
}

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	for name, text := range map[string]string{
		"vera.toml": "grace = \"3s\"\nheartbeat = \"6s\"\nmax-data = 700\nallowed-origins = [\"https://a.example\", \"https://b.example\"]\n",
		"vera.yaml": "grace: 3s\nheartbeat: 6s\nmax-data: 700\nallowed-origins: [https://a.example, https://b.example]\n",
	} {
		env := map[string]string{"VERA_CONFIG": file(t, name, text), "VERA_HEARTBEAT": "7s", "VERA_MAX_DATA": "800"}
		c, err := settings(t, []string{"--max-data", "900"}, env)
		if err != nil {
			t.Fatal(name, err)
		}
		if c.limits.DefaultGrace != 3*time.Second || c.limits.Heartbeat != 7*time.Second || c.limits.Data != 900 || len(c.allowedOrigins) != 2 {
			t.Errorf("%s: grace %s heartbeat %s data %d origins %v", name, c.limits.DefaultGrace, c.limits.Heartbeat, c.limits.Data, c.allowedOrigins)
		}
	}
}

func TestEverythingWrongIsToldAtOnce(t *testing.T) {
	_, err := settings(t, []string{"--grace", "20m", "--heartbeat", "1ms", "--failover-grace", "soon", "--owner", "nobody", "--tls-cert", "x", "--client-addr", "8372",
		"--allowed-origins", "example.org", "--trusted-proxies", "ten", "--max-data", "0", "--admin-addr", ":8374", "--name", "a b", "--cookie-samesite", "maybe"}, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, flag := range []string{"grace", "heartbeat", "failover-grace", "owner", "tls-key", "client-addr", "allowed-origins", "trusted-proxies", "max-data", "name", "cookie-samesite", "admin-token-file"} {
		if !strings.Contains(err.Error(), "--"+flag) {
			t.Errorf("--%s is not named in:\n%v", flag, err)
		}
	}
}

func TestUnknownAndBadSettingsOfAFileAreAllNamed(t *testing.T) {
	_, err := settings(t, []string{"--config", file(t, "vera.toml", "grase = 1\nmax-data = \"many\"\n[owner]\nx = 1\n")}, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"grase", "max-data", "owner"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
}

func TestHelpFitsOnOneScreen(t *testing.T) {
	var out, errOut strings.Builder
	if status := run([]string{"--help"}, nil, &out, &errOut); status != 0 {
		t.Fatal(status, errOut.String())
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) > 50 {
		t.Errorf("%d lines:\n%s", len(lines), out.String())
	}
	for _, l := range lines {
		if len(l) > 110 {
			t.Errorf("%d columns: %s", len(l), l)
		}
	}
}

func TestWrongUseIsOneLineAndStatus2(t *testing.T) {
	for _, args := range [][]string{{"--no-such-flag"}, {"frobnicate"}, {"get"}, {"get", "data/x"}, {"push", "/data/x"}, {"--grace", "soon"}} {
		var out, errOut strings.Builder
		if status := run(args, nil, &out, &errOut); status != 2 {
			t.Errorf("%v: status %d, %s", args, status, errOut.String())
		}
		if n := strings.Count(errOut.String(), "\n"); n != 2 || out.Len() > 0 {
			t.Errorf("%v: printed %d lines:\n%s%s", args, n, errOut.String(), out.String())
		}
	}
}
