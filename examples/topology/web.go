package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// replication is what a primary sends: its log from an entry on.
type replication struct {
	Fence  uint64
	From   int
	Writes []write
}

// routes are what a database answers over HTTP.
func (s *store) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /write", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, func(entry write) error { return s.write(r.Context(), entry) })
	})
	mux.HandleFunc("POST /replicate", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, s.replicate)
	})
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(s.log) // who asked has gone
	})
	return mux
}

// answer does what a request asks for; whatever goes wrong is a conflict.
func answer[T any](w http.ResponseWriter, r *http.Request, do func(T) error) {
	var asked T
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<20)).Decode(&asked)
	if err == nil {
		err = do(asked)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// post sends something to a database.
func post(ctx context.Context, url string, what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	return ask(ctx, http.MethodPost, url, bytes.NewReader(text), nil)
}

// get reads something from a database.
func get(ctx context.Context, url string, into any) error {
	return ask(ctx, http.MethodGet, url, http.NoBody, into)
}

func ask(ctx context.Context, method, url string, body io.Reader, into any) error {
	ctx, cancel := context.WithTimeout(ctx, grace) // for longer nothing is sure to stay as it is
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return errors.New(strings.TrimSpace(string(text)))
	case into != nil:
		return json.Unmarshal(text, into)
	}
	return nil
}
