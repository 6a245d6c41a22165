package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"
)

// lenient is a flag's value that notes what is wrong instead of refusing it, so
// that all of it can be told at once.
type lenient struct {
	pflag.Value
	name  string
	wrong *[]error
}

// Set takes a value, or notes why not.
func (l lenient) Set(text string) error {
	if err := l.Value.Set(text); err != nil {
		*l.wrong = append(*l.wrong, fmt.Errorf("--%s is %q: %w", l.name, text, err))
	}
	return nil
}

// forgive makes flags note what is wrong with their values.
func forgive(flags *pflag.FlagSet, wrong *[]error) {
	flags.VisitAll(func(f *pflag.Flag) { f.Value = lenient{f.Value, f.Name, wrong} })
}

// envName is the environment variable of a flag: --client-addr is
// VERA_CLIENT_ADDR.
func envName(flag string) string {
	return "VERA_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fill sets, in flags that were not given on the command line, what the
// environment says and else what the --config file says. Unknown keys and bad
// values are all named at once.
func fill(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	set := func(f *pflag.Flag, source, value string) {
		if f.Changed {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", source, err))
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if value, ok := lookup(envName(f.Name)); ok {
			set(f, envName(f.Name), value)
		}
	})
	file, err := flags.GetString("config")
	if err != nil || file == "" {
		return errors.Join(errs...)
	}
	values, err := readConfig(file)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		f := flags.Lookup(name)
		if f == nil || name == "config" {
			errs = append(errs, fmt.Errorf("%s: unknown setting %q", file, name))
			continue
		}
		text, err := settingText(values[name])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", file, name, err))
			continue
		}
		set(f, file+": "+name, text)
	}
	return errors.Join(errs...)
}

// readConfig reads a TOML or YAML file of flat settings.
func readConfig(file string) (map[string]any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	values := map[string]any{}
	switch filepath.Ext(file) {
	case ".toml":
		err = toml.Unmarshal(text, &values)
	case ".yaml", ".yml":
		if len(bytes.TrimSpace(text)) > 0 {
			err = yaml.Unmarshal(text, &values)
		}
	default:
		err = errors.New("the name must end in .toml, .yaml or .yml")
	}
	if err != nil {
		return nil, fmt.Errorf("--config %s: %w", file, err)
	}
	return values, nil
}

// settingText turns a file's value into what the flag would be given.
func settingText(value any) (string, error) {
	switch v := value.(type) {
	case []any:
		texts := make([]string, 0, len(v))
		for _, e := range v {
			text, err := settingText(e)
			if err != nil {
				return "", err
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, ","), nil
	case map[string]any, nil:
		return "", errors.New("a text, a number, a boolean or a list of these is wanted")
	default:
		return fmt.Sprint(v), nil
	}
}
