// Names is a DNS server that answers from Vera: a name is there as long as who
// it names is.
//
//	go -C examples run ./names
//
// The name web.shop.test. is the list /data/dns/test/shop/web: the labels from
// right to left, in small letters. Each item on it is one or more records:
//
//	{"a": "192.0.2.1"}
//	{"aaaa": "2001:db8::1"}
//	{"txt": "hello"}
//	{"srv": {"port": 8080, "target": "web.shop.test.", "priority": 1, "weight": 10}}
//
// Lists are read by plain HTTP and kept. For as long as the time to live a name
// is answered from what is kept; then it is asked for again with its ETag, and
// mostly a 304 without a body says that nothing changed. When no peer answers,
// what is kept goes on being told for a bounded time, and with a time to live
// of one second, so that whoever asks comes back soon (RFC 8767); who asks with
// EDNS reads that it is stale (RFC 8914).
//
// A name without items does not exist, says the answer. Vera does not tell
// which lists are below a path, so that is also said of a name that only has
// names below it.
package main
