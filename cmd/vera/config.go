package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"vera"
)

// config is what `vera serve` was told: one field a flag.
type config struct {
	dataDir, name                  string
	clientAddr, adminAddr          string
	advertiseClientURL             string
	adminTokenFile                 string
	tlsCert, tlsKey                string
	allowedOrigins, trustedProxies []string
	cookieDomain, cookieSameSite   string
	owner                          string
	logLevel, logFormat            string
	drain                          time.Duration
	limits                         vera.Limits
	cluster

	adminToken string  // of adminTokenFile
	wrong      []error // with values that were given
}

// group is a heading of the help and the flags under it.
type group struct {
	title string
	flags *pflag.FlagSet
}

// The groups that `vera --help` leaves to `vera serve --help`.
const (
	limitsTitle = "Limits"
	raftTitle   = "Raft's times"
)

// descriptors is how many files this process may open.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Cur, 1<<24))
}

// defaultConfig is a peer that was told nothing.
func defaultConfig() *config {
	return &config{limits: vera.DefaultLimits(descriptors())}
}

// groups declares every flag of serve, by purpose.
func (c *config) groups() []group {
	return []group{
		{"Identity and data", c.identityFlags()},
		{"Listeners", c.listenerFlags()},
		{"Cluster", c.clusterFlags()},
		{"Who may connect, and how", c.accessFlags()},
		{"Time", c.timeFlags()},
		{limitsTitle, c.limitFlags()},
		{raftTitle, c.raftFlags()},
		{"Logs", c.logFlags()},
	}
}

func (c *config) identityFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("identity", pflag.ContinueOnError)
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "vera"
	}
	f.StringVar(&c.dataDir, "data-dir", "./vera-data", "log, snapshots and the peer's secrets")
	f.StringVar(&c.name, "name", host, "the peer's name")
	f.String("config", "", "a TOML or YAML file with these flags as keys")
	return f
}

func (c *config) listenerFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("listeners", pflag.ContinueOnError)
	f.StringVar(&c.clientAddr, "client-addr", "127.0.0.1:8372", "clients; port 0 picks one")
	f.StringVar(&c.adminAddr, "admin-addr", "127.0.0.1:8374", "health, metrics, introspection")
	f.StringVar(&c.adminTokenFile, "admin-token-file", "", "needed when --admin-addr is not loopback")
	f.StringVar(&c.advertiseClientURL, "advertise-client-url", "", "what others are told (default: from the address)")
	f.StringVar(&c.tlsCert, "tls-cert", "", "client listener over TLS; reloaded on SIGHUP and on change")
	f.StringVar(&c.tlsKey, "tls-key", "", "its key")
	return f
}

func (c *config) accessFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("access", pflag.ContinueOnError)
	f.StringSliceVar(&c.allowedOrigins, "allowed-origins", nil, "pages that may connect (default: same origin; '*' for all)")
	f.StringSliceVar(&c.trustedProxies, "trusted-proxies", nil, "networks whose X-Forwarded-For and PROXY header count")
	f.StringVar(&c.cookieDomain, "cookie-domain", "", "several host names under one domain")
	f.StringVar(&c.cookieSameSite, "cookie-samesite", "lax", "lax, or none for pages of other sites (needs TLS)")
	f.StringVar(&c.owner, "owner", "address", "what items show as owner: address or session")
	return f
}

func (c *config) timeFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("time", pflag.ContinueOnError)
	l := &c.limits
	f.DurationVar(&l.DefaultGrace, "grace", l.DefaultGrace, "a lost session's time to come back, when its client names none")
	f.DurationVar(&l.FailoverGrace, "failover-grace", l.FailoverGrace, "for sessions whose peer died")
	f.DurationVar(&l.Heartbeat, "heartbeat", l.Heartbeat, "ping after this much silence; lost after twice that")
	f.DurationVar(&c.drain, "drain", 10*time.Second, "on SIGTERM, send sockets away over this time")
	return f
}

func (c *config) limitFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("limits", pflag.ContinueOnError)
	for _, b := range c.bounds() {
		f.IntVar(b.value, b.name, *b.value, b.usage)
	}
	l := &c.limits
	f.DurationVar(&l.HeadFor, "max-head-time", l.HeadFor, "for a whole request head")
	f.DurationVar(&l.RestFor, "max-rest-time", l.RestFor, "for the rest of a frame")
	f.DurationVar(&l.Leader, "max-leader-time", l.Leader, "for a request without a leader, or an index to come")
	f.DurationVar(&l.Wait, "max-wait", l.Wait, "of a long poll")
	f.DurationVar(&l.Stuck, "max-stuck", l.Stuck, "without progress on a socket with something to write")
	f.DurationVar(&l.Grace, "max-grace", l.Grace, "the longest grace that a client may choose")
	f.DurationVar(&l.MinHeartbeat, "min-heartbeat", l.MinHeartbeat, "the shortest heartbeat that a client may choose")
	f.DurationVar(&l.MaxHeartbeat, "max-heartbeat", l.MaxHeartbeat, "the longest")
	return f
}

// bound is one limit that is a number: its flag, its least value and its reason.
type bound struct {
	name  string
	value *int
	least int
	usage string
}

// bounds lists the limits that are numbers.
func (c *config) bounds() []bound {
	l := &c.limits
	return []bound{
		{"max-message", &l.Message, 256, "bytes a WebSocket message"},
		{"max-rid", &l.RID, 1, "bytes a rid"},
		{"max-once", &l.Once, 1, "bytes of a push's once"},
		{"max-data", &l.Data, 2, "bytes an item's data"},
		{"max-path", &l.Path, 8, "bytes a path"},
		{"max-segments", &l.Segments, 1, "segments a path"},
		{"max-depth", &l.Depth, 2, "nesting of a message"},
		{"max-session-items", &l.SessionItems, 1, "items a session"},
		{"max-list-items", &l.ListItems, 1, "items a list"},
		{"max-session-watches", &l.SessionWatches, 1, "watches a session"},
		{"max-session-connections", &l.SessionConnections, 1, "connections a session"},
		{"max-connections", &l.Connections, 1, "connections in all"},
		{"max-address-connections", &l.AddressConnections, 0, "connections an address; 0: any number"},
		{"max-rate", &l.Rate, 1, "requests a second and connection"},
		{"max-in-flight", &l.InFlight, 1, "requests under way a connection"},
		{"max-outbox", &l.Outbox, 4096, "bytes queued to a connection"},
		{"max-head", &l.Head, 512, "bytes of a request head"},
		{"max-lines", &l.Lines, 8, "header lines of a request head"},
	}
}

func (c *config) logFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("logs", pflag.ContinueOnError)
	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&c.logFormat, "log-format", "", "console or json (default: console on a terminal)")
	return f
}

// check names everything that is wrong, at once.
func (c *config) check() error {
	errs := c.wrong
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, b := range c.bounds() {
		if *b.value < b.least {
			wrong("--%s is %d, the least is %d", b.name, *b.value, b.least)
		}
	}
	if most := descriptors() / 10 * 9; c.limits.Connections > most {
		wrong("--max-connections is %d, but this process may open %d files and keeps a tenth: at most %d (see ulimit -n)", c.limits.Connections, descriptors(), most)
	}
	errs = append(errs, c.checkTimes()...)
	errs = append(errs, c.checkNames()...)
	errs = append(errs, c.checkAccess()...)
	errs = append(errs, c.checkCluster()...)
	return errors.Join(errs...)
}

// span is the value of a flag that is a time, and its range.
type span struct {
	name          string
	value         time.Duration
	least, atMost time.Duration
}

func (c *config) checkTimes() []error {
	l := &c.limits
	return outside([]span{
		{"max-grace", l.Grace, 0, 24 * time.Hour},
		{"grace", l.DefaultGrace, 0, l.Grace},
		{"failover-grace", l.FailoverGrace, 0, 24 * time.Hour},
		{"min-heartbeat", l.MinHeartbeat, 50 * time.Millisecond, l.MaxHeartbeat},
		{"heartbeat", l.Heartbeat, l.MinHeartbeat, l.MaxHeartbeat},
		{"drain", c.drain, 0, time.Hour},
		{"max-heartbeat", l.MaxHeartbeat, time.Second, 24 * time.Hour},
		{"max-head-time", l.HeadFor, 100 * time.Millisecond, 10 * time.Minute},
		{"max-rest-time", l.RestFor, 100 * time.Millisecond, 10 * time.Minute},
		{"max-leader-time", l.Leader, 100 * time.Millisecond, 10 * time.Minute},
		{"max-wait", l.Wait, 0, time.Hour},
		{"max-stuck", l.Stuck, time.Second, time.Hour},
	})
}

// outside names the times that are out of their range.
func outside(spans []span) (errs []error) {
	for _, s := range spans {
		if s.value < s.least || s.value > s.atMost {
			errs = append(errs, fmt.Errorf("--%s is %s, outside %s … %s", s.name, s.value, s.least, s.atMost))
		}
		if s.value%time.Millisecond != 0 {
			errs = append(errs, fmt.Errorf("--%s is %s, not a whole number of milliseconds", s.name, s.value))
		}
	}
	return errs
}

func (c *config) checkNames() (errs []error) {
	if c.dataDir == "" {
		errs = append(errs, errors.New("--data-dir is empty"))
	}
	if c.name == "" || len(c.name) > 64 || strings.ContainsFunc(c.name, func(r rune) bool { return r <= ' ' || r == '/' || r > '~' }) {
		errs = append(errs, fmt.Errorf("--name is %q: 1 to 64 printable ASCII characters without space or slash", c.name))
	}
	for _, choice := range []struct {
		name, value string
		of          []string
	}{
		{"log-level", c.logLevel, []string{"debug", "info", "warn", "error"}},
		{"log-format", c.logFormat, []string{"", "console", "json"}},
		{"owner", c.owner, []string{"address", "session"}},
		{"cookie-samesite", c.cookieSameSite, []string{"lax", "none"}},
	} {
		if !slices.Contains(choice.of, choice.value) {
			errs = append(errs, fmt.Errorf("--%s is %q, not one of %s", choice.name, choice.value, strings.Join(choice.of, " ")))
		}
	}
	return errs
}

func (c *config) checkAccess() (errs []error) {
	for _, l := range []struct{ name, addr string }{{"client-addr", c.clientAddr}, {"admin-addr", c.adminAddr}} {
		if _, _, err := net.SplitHostPort(l.addr); err != nil {
			errs = append(errs, fmt.Errorf("--%s is %q, not host:port", l.name, l.addr))
		}
	}
	if host, _, err := net.SplitHostPort(c.adminAddr); err == nil && c.adminTokenFile == "" && !loopback(host) {
		errs = append(errs, fmt.Errorf("--admin-addr %s is not on loopback, so it needs --admin-token-file", c.adminAddr))
	}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		errs = append(errs, errors.New("--tls-cert and --tls-key go together"))
	}
	if c.cookieSameSite == "none" && c.tlsCert == "" {
		errs = append(errs, errors.New("--cookie-samesite=none needs --tls-cert: browsers take such cookies over TLS only"))
	}
	for _, o := range c.allowedOrigins {
		if u, err := url.Parse(o); o != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "") {
			errs = append(errs, fmt.Errorf("--allowed-origins has %q, not an origin such as https://app.example.org", o))
		}
	}
	if _, err := c.proxies(); err != nil {
		errs = append(errs, err)
	}
	if u := c.advertiseClientURL; u != "" {
		if p, err := url.Parse(u); err != nil || (p.Scheme != "http" && p.Scheme != "https") || p.Host == "" {
			errs = append(errs, fmt.Errorf("--advertise-client-url is %q, not an http or https URL", u))
		}
	}
	return errs
}

// loopback says whether only this machine reaches a host's address.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// proxies reads --trusted-proxies; a lone address stands for itself.
func (c *config) proxies() ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range c.trustedProxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, aerr := netip.ParseAddr(text)
			if aerr != nil {
				return nil, fmt.Errorf("--trusted-proxies has %q, not a network such as 10.0.0.0/8", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

// platform is said by `vera version`.
func platform() string { return runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH }
