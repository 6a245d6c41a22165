package main

import (
	"context"
	"log"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// staleTTL is the time to live of what no peer has confirmed lately, in
// seconds.
const staleTTL = 1

// labelsMost is how many labels below the top a name may have: a path has at
// most 32 segments, and the first is "dns".
const labelsMost = 31

// handler answers questions about the names in one zone.
type handler struct {
	zone    string
	ttl     time.Duration
	records *cache
}

// pathOf returns the list of a name; "" when there is none, since it has a
// label that no service has.
func pathOf(name string) string {
	labels := dns.SplitDomainName(strings.ToLower(name))
	for _, label := range labels {
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return ""
		}
	}
	if len(labels) == 0 || len(labels) > labelsMost {
		return ""
	}
	slices.Reverse(labels)
	return "/data/dns/" + strings.Join(labels, "/")
}

// ServeDNS answers one question.
func (h *handler) ServeDNS(w dns.ResponseWriter, asked *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(asked)
	m.Compress = true
	size := dns.MinMsgSize
	if edns := asked.IsEdns0(); edns != nil {
		size = max(size, min(int(edns.UDPSize()), dns.DefaultMsgSize))
		m.SetEdns0(dns.DefaultMsgSize, false)
	}
	switch {
	case asked.Opcode != dns.OpcodeQuery || len(asked.Question) != 1:
		m.Rcode = dns.RcodeNotImplemented
	case !dns.IsSubDomain(h.zone, asked.Question[0].Name) || asked.Question[0].Qclass != dns.ClassINET:
		m.Rcode = dns.RcodeRefused
	default:
		h.answer(m, asked.Question[0])
	}
	if w.LocalAddr().Network() == "udp" {
		m.Truncate(size)
	}
	if err := w.WriteMsg(m); err != nil {
		log.Printf("%s: %v", w.RemoteAddr(), err)
	}
}

func (h *handler) answer(m *dns.Msg, q dns.Question) {
	m.Authoritative = true
	ttl := uint32(h.ttl.Seconds())
	var records []record
	if path := pathOf(q.Name); path != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 4*askMost)
		defer cancel()
		found, fresh, err := h.records.lookup(ctx, path)
		if err != nil {
			log.Printf("%s: %v", q.Name, err)
			m.Rcode = dns.RcodeServerFailure
			return
		}
		records, ttl = found, uint32((fresh + time.Second - 1).Seconds())
		if fresh == 0 {
			ttl = staleTTL
			explain(m, dns.ExtendedErrorCodeStaleAnswer)
		}
	}
	for _, r := range records {
		m.Answer = append(m.Answer, r.answers(q, ttl)...)
	}
	if len(records) == 0 && dns.CanonicalName(q.Name) != h.zone {
		m.Rcode = dns.RcodeNameError
	}
	if len(m.Answer) == 0 { // for how long others may remember that there is nothing
		m.Ns = []dns.RR{&dns.SOA{Hdr: header(h.zone, dns.TypeSOA, ttl), Ns: "ns." + h.zone, Mbox: "hostmaster." + h.zone,
			Serial: 1, Refresh: ttl, Retry: ttl, Expire: ttl, Minttl: ttl}}
	}
}

// explain says more than the code does to whoever understands EDNS.
func explain(m *dns.Msg, code uint16) {
	if edns := m.IsEdns0(); edns != nil {
		edns.Option = append(edns.Option, &dns.EDNS0_EDE{InfoCode: code})
	}
}

func header(name string, kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// answers returns what a record has to say to a question. What a service wrote
// wrongly is not said.
func (r *record) answers(q dns.Question, ttl uint32) (all []dns.RR) {
	wanted := func(kind uint16) bool { return q.Qtype == kind || q.Qtype == dns.TypeANY }
	if ip, err := netip.ParseAddr(r.A); err == nil && ip.Is4() && wanted(dns.TypeA) {
		all = append(all, &dns.A{Hdr: header(q.Name, dns.TypeA, ttl), A: ip.AsSlice()})
	}
	if ip, err := netip.ParseAddr(r.AAAA); err == nil && ip.Is6() && wanted(dns.TypeAAAA) {
		all = append(all, &dns.AAAA{Hdr: header(q.Name, dns.TypeAAAA, ttl), AAAA: ip.AsSlice()})
	}
	if r.TXT != "" && wanted(dns.TypeTXT) {
		all = append(all, &dns.TXT{Hdr: header(q.Name, dns.TypeTXT, ttl), Txt: chunks(r.TXT)})
	}
	if _, ok := dns.IsDomainName(r.target()); ok && r.SRV != nil && wanted(dns.TypeSRV) {
		all = append(all, &dns.SRV{Hdr: header(q.Name, dns.TypeSRV, ttl),
			Priority: r.SRV.Priority, Weight: r.SRV.Weight, Port: r.SRV.Port, Target: dns.Fqdn(r.target())})
	}
	return all
}

func (r *record) target() string {
	if r.SRV == nil {
		return ""
	}
	return r.SRV.Target
}

// chunks cuts a text into strings of at most 255 bytes, as a TXT record has it,
// in the library's notation.
func chunks(text string) (all []string) {
	for chunk := range slices.Chunk([]byte(text), 255) {
		all = append(all, strings.ReplaceAll(string(chunk), `\`, `\\`))
	}
	return all
}
