package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// certificate is the client listener's, read again on SIGHUP and when one of
// its files changes. A new one that does not parse leaves the old one in use.
type certificate struct {
	cert, key string
	current   atomic.Pointer[tls.Certificate]
	read      time.Time // newest change of the files that were read
	log       zerolog.Logger
}

// loadCertificate reads the files for the first time.
func loadCertificate(cert, key string, log zerolog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, log: log}
	return c, c.load()
}

func (c *certificate) load() error {
	changed := c.changed()
	if err := private(c.key); err != nil {
		return fmt.Errorf("--tls-key: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("--tls-cert %s, --tls-key %s: %w", c.cert, c.key, err)
	}
	c.current.Store(&pair)
	c.read = changed
	return nil
}

// changed is when the younger of the two files was changed.
func (c *certificate) changed() (newest time.Time) {
	for _, file := range []string{c.cert, c.key} {
		if info, err := os.Stat(file); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// follow reads the files again when they change, until ctx is done.
func (c *certificate) follow(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	look := time.NewTicker(10 * time.Second)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		case <-look.C:
			if !c.changed().After(c.read) {
				continue
			}
		}
		if err := c.load(); err != nil {
			c.log.Error().Err(err).Msg("the old certificate stays in use")
			c.read = c.changed() // told once a change
			continue
		}
		c.log.Info().Str("file", c.cert).Msg("certificate read again")
	}
}
