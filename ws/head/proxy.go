package head

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
)

// The two forms of a PROXY header begin so; HAProxy's proxy-protocol.txt
// sections 2.1 and 2.2.
const (
	proxyText   = "PROXY "
	proxyBinary = "\r\n\r\n\x00\r\nQUIT\n"

	maxProxyText   = 107
	maxProxyBinary = 2048
)

// errProxy is what all faulty PROXY headers get: the connection is closed.
var errProxy = errors.New("a PROXY header that is no good")

// Proxy reads the PROXY header that a connection may begin with. It returns
// the client's address, not valid when the proxy tells none, and the header's
// length, 0 when there is none. With more, the bytes so far do not tell yet.
func Proxy(buffer []byte) (client netip.Addr, n int, more bool, err error) {
	switch {
	case begins(buffer, proxyText):
		return proxyLine(buffer)
	case begins(buffer, proxyBinary):
		return proxyBlock(buffer)
	}
	return client, 0, false, nil
}

// begins says whether buffer begins as text does, as far as it goes.
func begins(buffer []byte, text string) bool {
	n := min(len(buffer), len(text))
	return string(buffer[:n]) == text[:n]
}

func proxyLine(buffer []byte) (client netip.Addr, n int, more bool, err error) {
	end := bytes.Index(buffer, []byte("\r\n"))
	if end < 0 {
		if len(buffer) >= maxProxyText {
			return client, 0, false, errProxy
		}
		return client, 0, true, nil
	}
	words := strings.Split(string(buffer[:end]), " ")
	switch {
	case end+2 > maxProxyText:
		return client, 0, false, errProxy
	case len(words) >= 2 && words[1] == "UNKNOWN":
		return client, end + 2, false, nil
	case len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6":
		return client, 0, false, errProxy
	}
	if client, err = netip.ParseAddr(words[2]); err != nil {
		return client, 0, false, errProxy
	}
	return client, end + 2, false, nil
}

func proxyBlock(buffer []byte) (client netip.Addr, n int, more bool, err error) {
	const fixed = 16
	if len(buffer) < fixed {
		return client, 0, true, nil
	}
	n = fixed + int(binary.BigEndian.Uint16(buffer[14:]))
	if buffer[12]>>4 != 2 || buffer[12]&15 > 1 || n > maxProxyBinary {
		return client, 0, false, errProxy
	}
	if len(buffer) < n {
		return client, 0, true, nil
	}
	local := buffer[12]&15 == 0 // the proxy speaks for itself: a health check
	switch addresses := buffer[fixed:n]; {
	case !local && buffer[13]>>4 == 1 && len(addresses) >= 12:
		client = netip.AddrFrom4([4]byte(addresses))
	case !local && buffer[13]>>4 == 2 && len(addresses) >= 36:
		client = netip.AddrFrom16([16]byte(addresses))
	}
	return client, n, false, nil
}
