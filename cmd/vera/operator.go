package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"vera"
)

// operator asks a peer's admin listener.
type operator struct {
	server    string
	tokenFile string
}

// operatorFlags adds --server and --admin-token-file to an operator's command.
func operatorFlags(flags *pflag.FlagSet) *operator {
	o := &operator{}
	server := os.Getenv("VERA_SERVER")
	if server == "" {
		server = "http://127.0.0.1:8374"
	}
	flags.StringVar(&o.server, "server", server, "the admin listener of any peer; also VERA_SERVER")
	flags.StringVar(&o.tokenFile, "admin-token-file", os.Getenv("VERA_ADMIN_TOKEN_FILE"), "needed when it is not on loopback; also VERA_ADMIN_TOKEN_FILE")
	return o
}

// ask sends a request without a body. The answer's body is open when the error
// is nil; the error says what to do.
func (o *operator) ask(ctx context.Context, method, path string) (*http.Response, error) {
	response, err := o.send(ctx, method, path)
	if err != nil || response.StatusCode == http.StatusOK {
		return response, err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.server, err)
	}
	var answer struct {
		Code    vera.Code `json:"code"`
		Message string    `json:"message"`
	}
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("%s wants its password: --admin-token-file", o.server)
	case json.Unmarshal(said, &answer) != nil || answer.Message == "":
		return nil, fmt.Errorf("%s answered %s: is it a peer's admin listener?", o.server, response.Status)
	case response.StatusCode == http.StatusNotFound && !o.isAdmin(ctx):
		return nil, fmt.Errorf("%s is where clients are served: name the admin listener with --server, by default http://127.0.0.1:8374", o.server)
	}
	if answer.Code == vera.Unavailable {
		return nil, fmt.Errorf("%s. Does a majority of the peers run? /readyz?verbose of each says so", answer.Message)
	}
	return nil, errors.New(answer.Message)
}

// isAdmin says whether the server has what only an admin listener has.
func (o *operator) isAdmin(ctx context.Context) bool {
	response, err := o.send(ctx, http.MethodGet, "/livez")
	if err != nil {
		return false
	}
	_ = response.Body.Close() // its status is all that is wanted
	return response.StatusCode == http.StatusOK
}

func (o *operator) send(ctx context.Context, method, path string) (*http.Response, error) {
	base, err := url.Parse(o.server)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, usageError{fmt.Errorf("--server is %q, not a URL such as http://127.0.0.1:8374", o.server)}
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(o.server, "/")+path, nil)
	if err != nil {
		return nil, usageError{err}
	}
	token, err := readSecret(o.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("--admin-token-file: %w", err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w\nIs a peer running, and this its admin listener? Name that of any peer with --server", err)
	}
	return response, nil
}
