package ws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vera"
)

// Steward changes the cluster for an operator. All methods may be called from
// any goroutine and on any peer. Their errors are *vera.Error: NotFound for a
// name that no peer has, InvalidParameter for what cannot be done, Unavailable
// when it was not done in time.
type Steward interface {
	// Remove takes a peer out of the cluster, for good.
	Remove(ctx context.Context, name string) error
	// Promote gives an observer a vote.
	Promote(ctx context.Context, name string) error
	// Transfer has a peer lead.
	Transfer(ctx context.Context, name string) error
	// Save writes the state of the cluster to w.
	Save(ctx context.Context, w io.Writer) error
}

const (
	// changeFor bounds a change of the cluster: it is told when it is done.
	changeFor = 30 * time.Second
	// saveFor bounds the sending of a snapshot.
	saveFor = 30 * time.Minute
)

// steward serves what changes the cluster or saves it. Not done: it is none of
// its routes.
func (v *visit) steward() (done bool, err error) {
	if v.site.Steward == nil {
		return false, nil
	}
	if v.path == "/snapshot" {
		return true, v.show(v.save)
	}
	name, below := strings.CutPrefix(v.path, "/peers/")
	at := strings.LastIndexByte(name, '/')
	if !below || at <= 0 {
		return false, nil
	}
	change, ok := map[string]func(context.Context, string) error{
		"remove": v.site.Steward.Remove, "promote": v.site.Steward.Promote, "transfer": v.site.Steward.Transfer,
	}[name[at+1:]]
	if !ok {
		return false, nil
	}
	return true, v.change(name[at+1:], name[:at], change)
}

// change changes the cluster by a peer's name, escaped.
func (v *visit) change(what, escaped string, change func(context.Context, string) error) error {
	if done, err := v.post(); done {
		return err
	}
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return noRoute(v.path)
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), changeFor)
	defer cancel()
	if err := change(ctx, name); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return &vera.Error{Code: vera.Unavailable, Message: fmt.Sprintf("%v; not known to be done within %v: look at /peers", err, changeFor), Applied: vera.AppliedUnknown}
		}
		return err
	}
	v.site.Logger.Info().Str("peer", name).Str("change", what).Str("address", v.owner()).Msg("the cluster changed by an operator")
	v.answer(200, vera.AppendOK(nil, nil))
	return nil
}

// save sends a snapshot. What breaks off on its way is not closed properly, so
// that nobody takes half of one for a whole.
func (v *visit) save() error {
	header := v.w.Header()
	header.Set("Cache-Control", "no-store")
	if v.r.Method == http.MethodHead {
		header.Set("Content-Type", "application/octet-stream")
		v.w.WriteHeader(200)
		return nil
	}
	ctx, cancel := v.untilDrain()
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, saveFor)
	defer cancel()
	out := &begun{w: v.w}
	err := v.site.Steward.Save(ctx, out)
	if err != nil && !out.yes {
		return err
	}
	if err != nil {
		v.site.Logger.Warn().Err(err).Str("address", v.owner()).Msg("a snapshot broke off on its way")
		panic(http.ErrAbortHandler)
	}
	v.site.Logger.Info().Str("address", v.owner()).Msg("a snapshot was saved by an operator")
	return nil
}

// begun notes whether an answer has begun: then it is too late for an error.
type begun struct {
	w   http.ResponseWriter
	yes bool
}

// Write begins the answer, or goes on with it.
func (b *begun) Write(p []byte) (int, error) {
	if !b.yes {
		b.yes = true
		b.w.Header().Set("Content-Type", "application/octet-stream")
		b.w.Header().Set("Content-Disposition", `attachment; filename="vera.snapshot"`)
	}
	return b.w.Write(p)
}
