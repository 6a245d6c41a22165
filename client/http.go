package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Reading is a list as it was read over HTTP, and from whom.
type Reading struct {
	Listing
	Unchanged   bool          // the etag is that of IfNoneMatch still: nothing else is told
	Leader      string        // the leader's name, "" when the peer knows none
	LastContact time.Duration // since the peer heard from a leader
}

// Get reads a list by plain HTTP, without a session, as the peer has it or,
// with Consistent, as it is. from nil is http.DefaultClient.
func Get(ctx context.Context, from *http.Client, server, path string, options ...Option) (r Reading, err error) {
	var wanted request
	for _, option := range options {
		option(&wanted)
	}
	where, err := at(server, escaped(path), wanted.query())
	if err != nil {
		return r, err
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return r, fmt.Errorf("get: %w", err)
	}
	ask.Header.Set("Accept", "application/json")
	if wanted.noneMatch != "" {
		ask.Header.Set("If-None-Match", strconv.Quote(wanted.noneMatch))
	}
	if from == nil {
		from = http.DefaultClient
	}
	response, err := from.Do(ask)
	if err != nil {
		return r, fmt.Errorf("get: %w", err)
	}
	defer response.Body.Close()
	return r, r.take(response)
}

// take reads the server's answer.
func (r *Reading) take(response *http.Response) error {
	r.Leader = response.Header.Get("Vera-Leader")
	contact, _ := strconv.ParseInt(response.Header.Get("Vera-Last-Contact"), 10, 64)
	r.LastContact = time.Duration(contact) * time.Millisecond
	switch response.StatusCode {
	case http.StatusOK:
		body, err := io.ReadAll(io.LimitReader(response.Body, maxMessage+1))
		if err != nil {
			return fmt.Errorf("get: %w", err)
		}
		if len(body) > maxMessage {
			return fmt.Errorf("get: the server's answer is larger than %d bytes: ask with a limit", maxMessage)
		}
		if err := json.Unmarshal(body, &r.Listing); err != nil {
			return fmt.Errorf("get: the server's answer: %w", err)
		}
		return nil
	case http.StatusNotModified:
		r.Unchanged = true
		r.ETag = strings.Trim(response.Header.Get("ETag"), `"`)
		r.Index, _ = strconv.ParseUint(response.Header.Get("Vera-Index"), 10, 64)
		return nil
	default:
		return refusedBy(response)
	}
}

// query returns what a read over HTTP asks for.
func (r *request) query() url.Values {
	q := url.Values{}
	if r.Limit != nil {
		q.Set("limit", strconv.Itoa(*r.Limit))
	}
	if r.Consistent {
		q.Set("consistent", "true")
	}
	if r.MinIndex != 0 {
		q.Set("minIndex", strconv.FormatUint(r.MinIndex, 10))
	}
	if r.wait != 0 {
		q.Set("wait", r.wait.String())
	}
	return q
}

// escaped returns a path as a URL has it: each segment percent-encoded once.
func escaped(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return strings.Join(segments, "/")
}
